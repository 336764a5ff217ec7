//! Start and drain order: the configuration's parts are handed down here, as plain values. `signals` hears what the process
//! is told, `policy` follows the policy file, `webhooks` hands webhooks down.
//!
//! Start: recording, identities, clusters, shards (which bind), control plane. Stop: shards drain, the recording is
//! flushed, the control plane goes last, so that it can be watched. Whatever fails to start takes the rest down with it:
//! a gateway that cannot record, or cannot tell who is who, does not open its doors.

mod approvals;
mod policy;
mod signals;
mod webhooks;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity};
use thiserror::Error;

use crate::config::{self, Config};
use crate::control::approvals::ApprovalDesk;
use crate::control::{
    self, Check, ControlOptions, IssuerKeys, IssuerSource, KeysAt, LoginOptions, Outbox, Readiness, TokenRegistry,
    Webhooks,
};
use crate::limits;
use crate::mask::detect::PatternError;
use crate::policy::{IssuerTable, SubjectMapping};
use crate::recorder::{Recorder, RecorderError, RecorderHealth, RecorderOptions};
use crate::shard::{
    self, Census, Command, Durability, IoUring, ListenerOptions, ListenerTls, Members, OnOverload, Policy, Readings,
    RecordingOptions, ShardHandle, ShardOptions, Subjects,
};
use crate::tls::{ClientTls, Reload, Reloader, ServerTls, TlsError};
use crate::upstream::{Cluster, ClusterOptions, CredentialOptions, OauthOptions, WatchError, Watcher};
use policy::PolicyKeeper;
use signals::Signals;

/// Why the gateway does not start, or did not stop cleanly.
#[derive(Debug, Error)]
pub enum BootError {
    /// An address is not to be had.
    #[error("{}", .0.join("\n"))]
    Addresses(Vec<String>),
    /// io_uring was asked for and cannot be used.
    #[error("runtime: io_uring cannot be used here: {0}; set `runtime: auto` or `epoll`")]
    IoUring(String),
    /// The recording cannot be kept.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// The tokens cannot be read.
    #[error(transparent)]
    Tokens(#[from] control::TokenError),
    /// Approvals cannot be read.
    #[error(transparent)]
    Approvals(#[from] control::approvals::ApprovalError),
    /// Identity providers cannot be followed.
    #[error(transparent)]
    Issuers(#[from] control::IssuerError),
    /// Webhooks cannot be delivered.
    #[error(transparent)]
    Webhooks(#[from] control::WebhookError),
    /// The control plane does not start.
    #[error(transparent)]
    Control(#[from] control::ControlError),
    /// The metrics registry does not start.
    #[error(transparent)]
    Metrics(#[from] control::InstallError),
    /// Certificates cannot be used.
    #[error("TLS of {owner}: {source}")]
    Tls {
        /// The listener or cluster.
        owner: String,
        /// Why.
        source: TlsError,
    },
    /// A pattern of the policy cannot be compiled.
    #[error("policy: {0}")]
    Policy(#[from] PatternError),
    /// The clusters cannot be watched.
    #[error(transparent)]
    Upstream(#[from] WatchError),
    /// A thread or socket of our own failed.
    #[error("{what}: {source}")]
    Own {
        /// What failed.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// The environment variable that lets the gateway's memory be looked at, for finding faults.
pub const ALLOW_CORE: &str = "WEIR_ALLOW_CORE";

/// How often brokers are looked at without a cause.
const CLUSTER_REFRESH: Duration = Duration::from_secs(15);

/// Runs the gateway until SIGTERM or SIGINT; returns after a clean drain.
pub fn serve(config: Config) -> Result<(), BootError> {
    let begun = Instant::now();
    let own = |what| move |source| BootError::Own { what, source };
    let signals = Signals::take_over().map_err(own("signals"))?;
    let config = Arc::new(config);
    let policy = policy::for_shards(&config.policy.snapshot)?;
    raise_open_files();
    keep_memory_private();
    let io_uring = choose_runtime(&config)?;
    can_bind(&config)?;
    let metrics = control::install_metrics()?;
    describe_build(io_uring);
    let (recorder, journals) = Recorder::open(recorder_options(&config))?;
    let tokens = Arc::new(TokenRegistry::open(recorder.access())?);
    let outbox = Outbox::open(recorder.access())?;
    let webhooks = Webhooks::start(webhooks::options(&config), outbox.clone(), recorder.access(), &config.node)?;
    let (approvals, desk) = approvals::open(&config, &recorder, outbox)?;
    let issuers = IssuerKeys::start(issuers(&config))?;
    let mut followed: Vec<Arc<dyn Reload>> = Vec::new();
    let (watcher, clusters) = Watcher::start(clusters(&config, &mut followed)?)?;
    approvals::find_effects(&approvals, &clusters, &recorder)?;
    let listeners = listeners(&config, &clusters, &mut followed)?;
    let who = Who { tokens: &tokens, issuers: &issuers, policy, desk: desk.clone() };
    let shards = shard_options(&config, io_uring, &listeners, journals, &who);
    let shards = shard::start(shards).map_err(own("a shard did not start"))?;
    let keeper = PolicyKeeper::new(&config, &tokens, shards.iter().map(ShardHandle::ear).collect());
    if config.policy.path.is_some() {
        followed.push(keeper.clone());
    }
    let control_tls = control_tls(&config, &mut followed)?;
    let reloader = Reloader::start(followed).map_err(own("the thread that follows files"))?;
    let health = Box::new(recorder.health_reporter());
    let readiness = Arc::new(Ready::of(clusters.clone(), listeners.len(), issuers.table(), health));
    let control = control::start(ControlOptions {
        bind: config.control.bind,
        url: config.control.url.clone(),
        tls: control_tls,
        logins: logins(&config, &issuers),
        looks: recorder.looks(),
        socket: config.control.socket.clone(),
        queries: recorder.queries(),
        tokens,
        approvals,
        policy: keeper.clone(),
        webhooks: webhooks.desk(),
        readiness: readiness.clone(),
        metrics,
    })?;
    announce(&config, io_uring, begun);
    signals.wait_for_stop(|| keeper.reload_aside());
    readiness.draining.store(true, Ordering::Relaxed);
    tracing::info!(limit = ?config.drain, "draining: no new connections, exchanges in flight finish");
    drain(shards, config.drain);
    drop((reloader, watcher, issuers, desk, webhooks));
    recorder.shutdown()?;
    control.stop();
    tracing::info!("stopped");
    Ok(())
}

/// Connections need descriptors; the soft limit is for programs that use select(2), which this one does not.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("the limit on open files stays at {:?}: {error}", limit.current);
    }
}

/// A core file, or another process of the same user that attaches, would give away what Weir logs in with and what clients
/// send. Core files that are piped to a collector heed no limit, hence both.
fn keep_memory_private() {
    if std::env::var_os(ALLOW_CORE).is_some() {
        tracing::warn!("{ALLOW_CORE} is set: a core file may be written, and it holds secrets");
        return;
    }
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let kept = setrlimit(Resource::Core, none).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = kept {
        tracing::warn!("the process's memory cannot be kept from core files: {error}");
    }
}

fn choose_runtime(config: &Config) -> Result<bool, BootError> {
    let probed = || match shard::probe_io_uring() {
        IoUring::Usable => None,
        IoUring::Missing(why) => Some(why),
    };
    match config.runtime {
        config::Runtime::Epoll => Ok(false),
        config::Runtime::IoUring => probed().map_or(Ok(true), |why| Err(BootError::IoUring(why))),
        config::Runtime::Auto => {
            Ok(probed().inspect(|why| tracing::warn!("io_uring cannot be used, running on epoll: {why}")).is_none())
        }
    }
}

/// Tries every address that will be bound, all the ports that brokers may get included, so that what clashes is known
/// now and not when a broker joins.
fn can_bind(config: &Config) -> Result<(), BootError> {
    let deadline = Instant::now() + limits::PORTS_WAIT;
    loop {
        let (trouble, may_pass) = taken_addresses(config);
        if trouble.is_empty() {
            return Ok(());
        }
        if !may_pass || Instant::now() >= deadline {
            return Err(BootError::Addresses(trouble));
        }
        std::thread::sleep(limits::PORTS_PAUSE);
    }
}

/// What cannot be listened on, and whether all of it is only in use.
fn taken_addresses(config: &Config) -> (Vec<String>, bool) {
    let mut trouble = Vec::new();
    let mut may_pass = true;
    let mut try_bind = |what: String, address: SocketAddr| {
        if let Err(error) = TcpListener::bind(address) {
            may_pass &= error.kind() == std::io::ErrorKind::AddrInUse;
            trouble.push(format!("{what}: {address} cannot be listened on: {error}"));
        }
    };
    try_bind("control.bind".into(), config.control.bind);
    for listener in &config.listeners {
        try_bind(format!("listener {}, bind", listener.name), listener.bind);
        for address in listener.broker_addresses() {
            try_bind(format!("listener {}, brokers", listener.name), address);
        }
    }
    (trouble, may_pass)
}

fn describe_build(io_uring: bool) {
    metrics::gauge!("weir_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::gauge!("weir_runtime_info", "runtime" => runtime_name(io_uring)).set(1.0);
}

fn runtime_name(io_uring: bool) -> &'static str {
    if io_uring { "io_uring" } else { "epoll" }
}

fn recorder_options(config: &Config) -> RecorderOptions {
    let mut options = RecorderOptions::new(&config.store.path, &config.node, config.shards);
    options.journal_bytes = config.store.journal_bytes;
    options.synced = config.store.durability == config::Durability::Synced;
    options.policy_hash = config.policy.snapshot.hash;
    options.retention_days = Some(config.store.retention_days);
    options
}

fn recording_options(config: &Config) -> RecordingOptions {
    RecordingOptions {
        durability: match config.store.durability {
            config::Durability::Flushed => Durability::Flushed,
            config::Durability::Synced => Durability::Synced,
            config::Durability::Relaxed => Durability::Relaxed,
        },
        on_overload: match config.store.on_overload {
            config::OnOverload::Block => OnOverload::Block,
            config::OnOverload::Metadata => OnOverload::Metadata,
        },
        shards: config.shards,
    }
}

/// The clusters, as the upstream side takes them; whatever has to follow its files is added to `followed`.
pub fn clusters(config: &Config, followed: &mut Vec<Arc<dyn Reload>>) -> Result<Vec<ClusterOptions>, BootError> {
    let mut options = |cluster: &config::Cluster| {
        let tls = cluster.tls.clone().map(|files| {
            let owner = || format!("cluster {}", cluster.name);
            let live =
                ClientTls::open(&cluster.name, files).map_err(|source| BootError::Tls { owner: owner(), source });
            live.map(Arc::new).inspect(|live| followed.push(live.clone()))
        });
        Ok(ClusterOptions {
            name: cluster.name.clone(),
            bootstrap: cluster.bootstrap.iter().map(ToString::to_string).collect(),
            tls: tls.transpose()?,
            credential: cluster.sasl.as_ref().map(credential_options),
            refresh: CLUSTER_REFRESH,
        })
    };
    config.clusters.iter().map(&mut options).collect()
}

/// How Weir logs in to a cluster, as the upstream side takes it.
fn credential_options(sasl: &config::Sasl) -> CredentialOptions {
    match sasl {
        config::Sasl::Plain { username, password } => {
            CredentialOptions::Plain { username: username.clone(), password: password.share() }
        }
        config::Sasl::Scram { hash, username, password } => {
            CredentialOptions::Scram { hash: *hash, username: username.clone(), password: password.share() }
        }
        config::Sasl::Oauthbearer(oauth) => CredentialOptions::Oauth(OauthOptions {
            token_endpoint: oauth.token_endpoint.clone(),
            client_id: oauth.client_id.clone(),
            client_secret: oauth.client_secret.share(),
            scope: oauth.scope.clone(),
            audience: oauth.audience.clone(),
            parameters: oauth.parameters.clone(),
            extensions: oauth.extensions.clone(),
            ca: oauth.ca.clone(),
        }),
    }
}

/// The issuers, as the control plane takes them.
pub fn issuers(config: &Config) -> Vec<IssuerSource> {
    let source = |issuer: &config::Issuer| IssuerSource {
        rules: issuer.rules.clone(),
        keys: issuer.jwks.clone().map_or_else(|| KeysAt::Discovery(issuer.url.clone()), KeysAt::Jwks),
        ca: issuer.ca.clone(),
        allow_http: issuer.allow_http,
    };
    config.issuers.iter().map(source).collect()
}

/// The control plane's TLS, which has to follow its files like the listeners'.
fn control_tls(config: &Config, followed: &mut Vec<Arc<dyn Reload>>) -> Result<Option<Arc<ServerTls>>, BootError> {
    let Some(files) = config.control.tls.clone() else { return Ok(None) };
    let owner = || "control".to_owned();
    let live = ServerTls::open("control", files).map_err(|source| BootError::Tls { owner: owner(), source })?;
    let live = Arc::new(live);
    followed.push(live.clone());
    Ok(Some(live))
}

/// Who may log in to the API.
fn logins(config: &Config, issuers: &IssuerKeys) -> LoginOptions {
    LoginOptions {
        roles: config.control.roles.clone(),
        issuers: config.control.issuers.clone(),
        issuer_table: issuers.table(),
        refresh: Arc::new(issuers.refresher()),
    }
}

/// The listeners; whatever has to follow its files is added to `followed`.
fn listeners(
    config: &Config,
    clusters: &[Arc<Cluster>],
    followed: &mut Vec<Arc<dyn Reload>>,
) -> Result<Vec<Arc<ListenerOptions>>, BootError> {
    let mut options = |listener: &config::Listener| {
        // The configuration was checked: every listener's cluster exists.
        let cluster = clusters.iter().find(|cluster| cluster.name == listener.cluster)?.clone();
        let tls = match listener.tls.as_ref().map(|tls| listener_tls(listener, tls, followed)).transpose() {
            Ok(tls) => tls,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(Arc::new(ListenerOptions {
            name: listener.name.clone(),
            cluster,
            bind: listener.bind,
            brokers: listener.brokers.clone(),
            tls,
            advertised: listener.advertised.clone(),
            anonymous: listener.auth.contains(&config::Auth::Anonymous),
            weir_token: listener.auth.contains(&config::Auth::WeirToken),
            scram: listener.auth.contains(&config::Auth::Scram),
            jwt: listener.auth.contains(&config::Auth::Jwt),
            issuers: listener.issuers.clone(),
            allow_security_changes: listener.allow_security_changes,
        })))
    };
    config.listeners.iter().filter_map(&mut options).collect()
}

fn listener_tls(
    listener: &config::Listener,
    tls: &config::ListenerTls,
    followed: &mut Vec<Arc<dyn Reload>>,
) -> Result<ListenerTls, BootError> {
    let owner = || format!("listener {}", listener.name);
    let live = ServerTls::open(&listener.name, tls.files.clone())
        .map_err(|source| BootError::Tls { owner: owner(), source })?;
    let server = Arc::new(live);
    followed.push(server.clone());
    for host in listener.hosts_without_certificate().map_err(|source| BootError::Tls { owner: owner(), source })? {
        let name = &listener.name;
        tracing::warn!(name, "the certificate is not for {host}: clients that verify host names will refuse it");
    }
    let subjects = listener.auth.contains(&config::Auth::Mtls).then(|| {
        Arc::new(Subjects { mapping: SubjectMapping::clone(&tls.mapping), units_are_groups: tls.units_are_groups })
    });
    Ok(ListenerTls { server, subjects })
}

/// What says who clients are, and what becomes of what they do.
struct Who<'a> {
    tokens: &'a TokenRegistry,
    issuers: &'a IssuerKeys,
    policy: Policy,
    desk: Arc<ApprovalDesk>,
}

fn shard_options(
    config: &Config,
    io_uring: bool,
    listeners: &[Arc<ListenerOptions>],
    journals: Vec<crate::recorder::ShardJournal>,
    who: &Who<'_>,
) -> Vec<ShardOptions> {
    let cores = cores_for(config.shards);
    let limits = shard::Limits {
        connections: usize::try_from(config.limits.connections).unwrap_or(usize::MAX).div_ceil(config.shards),
        request_frame_bytes: config.limits.request_frame_bytes,
        gathered_request_bytes: config.limits.gathered_request_bytes,
        idle: config.limits.idle,
        handshake: config.limits.handshake,
        request: config.limits.request,
    };
    let census = Census::new(usize::try_from(config.limits.connections_per_identity).unwrap_or(usize::MAX));
    let members = Members::default();
    let readings = Readings::default();
    let issuers = shard::Issuers { table: who.issuers.table(), refresh: Arc::new(who.issuers.refresher()) };
    let recording = recording_options(config);
    let options = |(index, journal)| ShardOptions {
        index,
        core: cores.get(index).copied(),
        io_uring,
        listeners: listeners.to_vec(),
        journal,
        recording: recording.clone(),
        policy: who.policy.clone(),
        desk: who.desk.clone(),
        readings: readings.clone(),
        tokens: who.tokens.table(),
        issuers: issuers.clone(),
        limits,
        census: census.clone(),
        members: members.clone(),
    };
    journals.into_iter().enumerate().map(options).collect()
}

/// The cores to pin shards to, out of those that this process may use: a container's set need not begin with 0. None
/// where shards would have to share them, or where a quota gives less time than the cores have: every gateway of a host
/// would crowd onto the same first few.
pub fn cores_for(shards: usize) -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(None) else { return Vec::new() };
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    let time_for = std::thread::available_parallelism().map_or(1, usize::from);
    if shards <= cores.len() && time_for == cores.len() { cores } else { Vec::new() }
}

fn announce(config: &Config, io_uring: bool, begun: Instant) {
    for listener in &config.listeners {
        tracing::info!(name = listener.name, bind = %listener.bind, cluster = listener.cluster, "listening");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        runtime = runtime_name(io_uring),
        shards = config.shards,
        store = %config.store.path.display(),
        control = %config.control.bind,
        "weir is up after {} ms",
        begun.elapsed().as_millis()
    );
}

fn drain(shards: Vec<ShardHandle>, limit: Duration) {
    for shard in &shards {
        shard.tell(Command::Drain(limit));
    }
    for shard in shards {
        if let Err(error) = shard.join() {
            tracing::error!("a shard did not end cleanly: {error}");
        }
    }
}

struct Ready {
    clusters: Vec<Arc<Cluster>>,
    listeners: usize,
    issuers: Arc<ArcSwap<IssuerTable>>,
    health: Box<dyn Fn() -> RecorderHealth + Send + Sync>,
    draining: AtomicBool,
}

impl Ready {
    fn of(
        clusters: Vec<Arc<Cluster>>,
        listeners: usize,
        issuers: Arc<ArcSwap<IssuerTable>>,
        health: Box<dyn Fn() -> RecorderHealth + Send + Sync>,
    ) -> Self {
        Ready { clusters, listeners, issuers, health, draining: AtomicBool::new(false) }
    }
}

impl Readiness for Ready {
    fn checks(&self) -> Vec<Check> {
        let draining = self.draining.load(Ordering::Relaxed);
        let listeners = Check {
            name: "listeners".into(),
            ok: !draining,
            detail: if draining { "draining".into() } else { format!("{} bound", self.listeners) },
        };
        let health = (self.health)();
        let store = Check {
            name: "store".into(),
            ok: health.writable,
            detail: health.failed.unwrap_or_else(|| format!("writable, {} bytes behind", health.lag_bytes)),
        };
        let upstream = self.clusters.iter().map(|cluster| {
            let view = cluster.view();
            let detail = match &view.trouble {
                Some(trouble) => trouble.clone(),
                None if view.versions.is_none() => "not reached yet".into(),
                None => format!("{} brokers", view.brokers.len()),
            };
            Check { name: format!("upstream {}", cluster.name), ok: cluster.is_reachable(), detail }
        });
        let issuers = self.issuers.load();
        let issuers = issuers.issuers().iter().map(|issuer| Check {
            name: format!("issuer {}", issuer.rules.name),
            // One that is down keeps nobody out, as long as its keys are known.
            ok: issuer.keys.is_some(),
            detail: match (&issuer.trouble, &issuer.keys) {
                (Some(trouble), Some(_)) => format!("working with the keys fetched before; {trouble}"),
                (Some(trouble), None) => trouble.to_string(),
                (None, Some(keys)) => format!("{} keys", keys.ids().len()),
                (None, None) => "its keys are being fetched".into(),
            },
        });
        [listeners, store].into_iter().chain(upstream).chain(issuers).collect()
    }
}
