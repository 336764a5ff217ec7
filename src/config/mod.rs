//! The typed configuration: what `weir.yaml` says, checked whole before anything starts.
//!
//! `boot.rs` hands its parts down as plain values. Invariants: a `Config` that exists has no contradiction that reading
//! files can find (names refer to something, ports do not clash, secrets are there); every problem of a load is told at
//! once, each with file, line and column; a secret is in no problem, no `Debug` and no log.
//!
//! `yaml` is the tree with places, `reader` takes typed values off it, `value` knows scalars; then a file a section.

mod access;
mod approvals;
mod clusters;
mod control;
mod gathered;
mod issuers;
mod limits;
mod listeners;
mod masking;
mod policy_file;
mod policy_put;
mod ports;
mod problem;
mod process;
mod reader;
mod recording;
mod root;
mod rule;
mod sasl;
mod secret;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod told;
mod value;
mod webhooks;
mod yaml;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use crate::addressing::{Advertised, Brokers};
use crate::policy::{IssuerRules, PolicySnapshot, PolicyText, RoleGroups, SubjectMapping};
use crate::scram::Hash;
use crate::tls::{ClientFiles, ServerFiles, TlsError};

pub use limits::Limits;
pub use policy_put::{PolicyPutError, PutPolicy};
pub use problem::{Mark, Problem, Problems};
pub use secret::Secret;
pub use value::parse_duration;
pub use webhooks::SigningKey;

/// Everything `weir.yaml` says, with defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from, as it was named.
    pub file: PathBuf,
    /// This gateway's name in recordings; the host name by default.
    pub node: String,
    /// How shards do I/O.
    pub runtime: Runtime,
    /// How many shards; as many as there are cores by default.
    pub shards: usize,
    /// Where recordings are kept.
    pub store: Store,
    /// Where the control plane listens.
    pub control: Control,
    /// The policy file, if one is named.
    pub policy: Policy,
    /// How to log.
    pub log: Log,
    /// How long a stop waits for exchanges in flight.
    pub drain: Duration,
    /// What one client may take.
    pub limits: Limits,
    /// The identity providers whose JWTs clients may log in with.
    pub issuers: Vec<Issuer>,
    /// Who else is told of requests, decisions and grants.
    pub webhooks: Vec<Webhook>,
    /// The Kafka clusters behind.
    pub clusters: Vec<Cluster>,
    /// The addresses in front.
    pub listeners: Vec<Listener>,
}

/// How shards do I/O.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// `io_uring` where it works, else epoll.
    Auto,
    /// glommio on `io_uring`, or do not start.
    IoUring,
    /// tokio on epoll.
    Epoll,
}

/// Where recordings are kept and what is promised about them.
#[derive(Debug, Clone)]
pub struct Store {
    /// The store's folder.
    pub path: PathBuf,
    /// When an exchange counts as recorded.
    pub durability: Durability,
    /// What happens when recording cannot keep up.
    pub on_overload: OnOverload,
    /// How long recordings are kept: they go a whole day at a time.
    pub retention_days: u32,
    /// Size of each shard's journal, bytes.
    pub journal_bytes: u64,
}

/// When an exchange counts as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// In the journal before the response's last byte leaves: survives a process kill.
    Flushed,
    /// On the disk before the response's last byte leaves: survives a loss of power.
    Synced,
    /// In the journal soon after the response has left.
    Relaxed,
}

/// What happens when recording cannot keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnOverload {
    /// Shards stop reading until it has caught up.
    Block,
    /// Frames that find no room are not kept, which is counted; metadata waits as with `block`.
    Metadata,
}

/// Where the control plane listens.
#[derive(Debug, Clone)]
pub struct Control {
    /// HTTP: the API, `/metrics`, `/healthz`, `/readyz`.
    pub bind: SocketAddr,
    /// Where people reach that, without a slash at its end: `control.url`, else the address itself. None where the API is
    /// not served, or is on a wildcard.
    pub url: Option<String>,
    /// TLS there; none where it is plain HTTP.
    pub tls: Option<ServerFiles>,
    /// Which groups may use the API for what.
    pub roles: RoleGroups,
    /// The names of the issuers whose JWTs are taken there.
    pub issuers: Vec<String>,
    /// The local unix socket that the command line talks to.
    pub socket: PathBuf,
}

/// The policy and what it says.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The file or folder that is named, resolved; none when the configuration names none.
    pub path: Option<PathBuf>,
    /// It is named and does not exist: no rules apply, which is worth a loud warning at start.
    pub missing: bool,
    /// What it says.
    pub snapshot: Arc<PolicySnapshot>,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important level that is shown.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Readable: time, level, message, `key=value`.
    Text,
    /// One JSON object a line.
    Json,
}

/// Log levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed and somebody has to act.
    Error,
    /// Something is odd and works nevertheless.
    Warn,
    /// The important facts.
    Info,
    /// For finding faults: a line per connection.
    Debug,
    /// For finding faults: a line per exchange.
    Trace,
}

/// An identity provider.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// What its tokens have to be, and how they are read.
    pub rules: IssuerRules,
    /// Its URL; the rules hold it as it is written.
    pub url: Url,
    /// Where its keys are; none: where its discovery document says.
    pub jwks: Option<Url>,
    /// Who may vouch for its server; none: whom the system trusts.
    pub ca: Option<PathBuf>,
    /// It may be asked over plain HTTP.
    pub allow_http: bool,
}

/// Somebody else who is told of requests, decisions and grants.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its name, unique.
    pub name: String,
    /// The receiver's URL; kept as a secret, since some receivers have no other.
    pub url: Secret,
    /// How the receiver is spoken to.
    pub format: WebhookFormat,
    /// What it is told of.
    pub events: Vec<WebhookEvent>,
    /// It may lead to addresses that only machines nearby reach.
    pub allow_private: bool,
    /// Who may vouch for its server; none: whom the system trusts.
    pub ca: Option<PathBuf>,
}

/// How a webhook's receiver is spoken to, and what proves who speaks.
#[derive(Debug, Clone)]
pub enum WebhookFormat {
    /// CloudEvents, signed with each of these keys.
    CloudEvents {
        /// The keys, the newest first.
        keys: Vec<SigningKey>,
    },
    /// Slack's incoming webhooks.
    Slack,
    /// PagerDuty's Events API v2.
    PagerDuty {
        /// The integration's key.
        routing_key: Secret,
    },
}

/// What a webhook may be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookEvent {
    /// Somebody needs an approval.
    RequestCreated,
    /// A request was decided.
    RequestDecided,
    /// Something was done under a grant.
    GrantUsed,
    /// A grant was taken back.
    GrantRevoked,
    /// Somebody took a right without approval.
    BreakGlass,
}

/// A Kafka cluster behind Weir.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name, unique.
    pub name: String,
    /// Brokers to ask first; any one that answers will do.
    pub bootstrap: Vec<HostPort>,
    /// TLS; none for a cluster that is reached in plaintext.
    pub tls: Option<ClientFiles>,
    /// How Weir logs in; none for a cluster without login.
    pub sasl: Option<Sasl>,
}

/// A host and a port to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A DNS name or an IP address, an IPv6 one without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}:{}", self.host, self.port)
    }
}

/// How Weir logs in to a cluster.
#[derive(Debug, Clone)]
pub enum Sasl {
    /// SASL/PLAIN (RFC 4616).
    Plain {
        /// The user.
        username: String,
        /// Its password, from a file or the environment.
        password: Secret,
    },
    /// SCRAM-SHA-256 or SCRAM-SHA-512 (RFC 5802).
    Scram {
        /// Which of them.
        hash: Hash,
        /// The user.
        username: String,
        /// Its password, from a file or the environment.
        password: Secret,
    },
    /// OAUTHBEARER (RFC 7628) with tokens of the client credentials grant (RFC 6749, 4.4).
    Oauthbearer(Oauth),
}

/// Where tokens come from and what is sent with them.
#[derive(Debug, Clone)]
pub struct Oauth {
    /// The provider's token endpoint, https unless it is on this machine or plain HTTP was allowed.
    pub token_endpoint: String,
    /// The client Weir is registered as.
    pub client_id: String,
    /// Its secret, from a file or the environment.
    pub client_secret: Secret,
    /// What the token should be good for.
    pub scope: Option<String>,
    /// Whom the token should be for.
    pub audience: Option<String>,
    /// Further parameters of the token request.
    pub parameters: Vec<(String, String)>,
    /// SASL extensions for the broker (KIP-342).
    pub extensions: Vec<(String, String)>,
    /// Certificates of the endpoint's authority, resolved; the system's where none is named.
    pub ca: Option<PathBuf>,
}

/// An address that clients connect to.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name, unique.
    pub name: String,
    /// The name of the cluster it serves.
    pub cluster: String,
    /// The bootstrap address.
    pub bind: SocketAddr,
    /// TLS; none on a plaintext listener.
    pub tls: Option<ListenerTls>,
    /// What tells brokers apart.
    pub brokers: Brokers,
    /// What clients are told in place of the brokers' own addresses.
    pub advertised: Advertised,
    /// How clients may say who they are; not empty.
    pub auth: Vec<Auth>,
    /// The names of the issuers whose JWTs are taken.
    pub issuers: Vec<String>,
    /// Whether clients may change credentials, ACLs, quotas, features and the quorum with Weir's upstream rights.
    pub allow_security_changes: bool,
}

impl Listener {
    /// Every address that brokers may be served on, besides `bind`.
    pub fn broker_addresses(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        let ports = match self.brokers {
            Brokers::Ports(ports) => Some(ports),
            Brokers::Sni { .. } => None,
        };
        ports.into_iter().flat_map(|ports| (ports.low..=ports.high).map(move |port| SocketAddr::new(ports.host, port)))
    }

    /// Hosts that clients are told and the certificate is not for; none without TLS.
    pub fn hosts_without_certificate(&self) -> Result<Vec<String>, TlsError> {
        let Some(tls) = &self.tls else { return Ok(Vec::new()) };
        let hosts = tls.files.hosts()?;
        let bootstrap = match &self.brokers {
            Brokers::Sni { bootstrap } if !hosts.cover(bootstrap) => Some(bootstrap.clone()),
            _ => None,
        };
        let pattern = &self.advertised.host;
        let brokers = (!hosts.may_cover(pattern)).then(|| pattern.to_string());
        Ok(bootstrap.into_iter().chain(brokers).collect())
    }
}

/// TLS towards clients.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    /// Our certificate, and what is asked of clients.
    pub files: ServerFiles,
    /// What is made of the subjects of clients' certificates.
    pub mapping: Arc<SubjectMapping>,
    /// Whether a subject's organizational units are the client's groups.
    pub units_are_groups: bool,
}

/// How a client says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Not at all: everybody is let in, as `anonymous`.
    Anonymous,
    /// SASL/PLAIN with a token that Weir issued.
    WeirToken,
    /// SASL/SCRAM-SHA-256 or -512 with a token that Weir issued.
    Scram,
    /// A JWT of one of the issuers, in SASL/OAUTHBEARER or SASL/PLAIN.
    Jwt,
    /// The certificate of a mutual TLS handshake.
    Mtls,
}

impl Config {
    /// Reads and checks a configuration file, and the policy file it names.
    ///
    /// Opens no socket and no store. An error carries every problem there is, not the first one.
    pub fn load(path: &Path) -> Result<Config, Problems> {
        let mut reader = reader::Reader::new(path);
        let tree = reader.parse(yaml::read_text(path));
        let config = tree.and_then(|tree| root::read(&tree, &mut reader));
        match (config, reader.into_problems()) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(Problems(problems)),
        }
    }

    /// Reads and checks the policy file once more, and nothing else; none where no policy is named.
    pub fn read_policy(&self) -> Option<Result<PolicySnapshot, Problems>> {
        self.policy.path.as_ref().map(|path| self.read_policy_at(path))
    }

    /// Reads and checks another policy, a file or a folder, as if the configuration named it.
    pub fn read_policy_at(&self, path: &Path) -> Result<PolicySnapshot, Problems> {
        policy_file::read_again(path, &self.listener_names())
    }

    /// The hash of what the policy's files say now, lawful or not; none where there are none, or they cannot be read.
    pub fn policy_on_disk(&self) -> Option<[u8; 32]> {
        self.policy.path.as_deref().and_then(policy_file::hash_on_disk)
    }

    /// The policy's files were read and are one policy: a change of them that was begun is over.
    pub fn forget_policy_change(&self) {
        self.policy.path.iter().filter(|path| path.is_dir()).for_each(|path| policy_put::forget_change(path));
    }

    /// Checks a policy that is not in files; nothing that it refers to is read.
    pub fn check_policy(&self, files: Vec<PolicyText>) -> Result<PolicySnapshot, Problems> {
        policy_file::of_texts(files, None, &self.listener_names())
    }

    /// Reads and checks a policy that is to be put in the place of the one there is, with what it refers to.
    pub fn read_policy_to_put(&self, put: &PutPolicy) -> Result<PolicySnapshot, Problems> {
        policy_file::of_texts(put.files.clone(), Some(put.folder()), &self.listener_names())
    }

    fn listener_names(&self) -> Vec<String> {
        self.listeners.iter().map(|listener| listener.name.clone()).collect()
    }

    /// The cluster that a listener serves.
    pub fn cluster_of(&self, listener: &Listener) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == listener.cluster)
    }
}
