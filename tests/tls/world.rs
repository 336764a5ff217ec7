//! What the TLS tests share: an authority that everybody trusts and one that nobody does, certificates, the broker, and
//! gateways before it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use loadtest::kafka::{self, BrokerTls, Cluster};
use loadtest::scratch::Scratch;
use loadtest::tls::{A_DAY, Authority, Files, Issued, client_config, replace};
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use rustls::{ClientConfig, SupportedProtocolVersion};

use crate::hazards_support::{self, SOON};

pub const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The address that gateways listen on, and that their certificates are for.
pub const HOST: &str = "127.0.0.1";

pub struct World {
    pub authority: Authority,
    /// Nobody trusts it.
    pub stranger: Authority,
    /// The PEM file of the authority.
    pub ca: PathBuf,
    /// Weir's certificate, for clients and brokers.
    pub weir: Files,
    pub cluster: Cluster,
    dir: Scratch,
}

/// Made once; it goes with the process.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(World::new)
}

impl World {
    fn new() -> Self {
        let dir = Scratch::new("weir-tls-").unwrap();
        let (authority, stranger) = (Authority::new("weir test").unwrap(), Authority::new("stranger").unwrap());
        let ca = dir.path().join("ca.pem");
        replace(&ca, &authority.pem()).unwrap();
        // By its name only: what connects to the broker's address finds the wrong host.
        let broker = authority.issue(&[("CN", "broker")], &["localhost"], A_DAY).unwrap();
        let key_store = broker.write(dir.path(), "broker").unwrap().both;
        let weir = server_certificate(&authority).write(dir.path(), "weir").unwrap();
        let tls = Some(BrokerTls { key_store, trust_store: ca.clone() });
        let cluster = Cluster::start(1, kafka::Options { tls, ..Default::default() }).unwrap();
        Self { authority, stranger, ca, weir, cluster, dir }
    }

    /// A folder for a test's own files.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The certificate of an analyst.
    pub fn person(&self, name: &str) -> Issued {
        self.authority.issue(&[("O", "Weir"), ("OU", "analysts"), ("CN", name)], &[], A_DAY).unwrap()
    }
}

/// A certificate for [`HOST`].
pub fn server_certificate(authority: &Authority) -> Issued {
    authority.issue(&[("CN", "weir")], &[HOST, "localhost"], A_DAY).unwrap()
}

/// Makes names of common names, and groups of units.
pub const COMMON_NAME: &str = r#"principal_mapping: ["RULE:^CN=([^,]+),.*$/$1/L"], groups: organizational_unit"#;

/// The line that lets a listener speak TLS with these files; `more` are further settings.
pub fn listener_tls(files: &Files, more: &str) -> String {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    format!("tls: {{ certificate: {certificate}, key: {key}, {more} }}")
}

/// The setting that asks for clients' certificates.
pub fn client_ca(path: &Path) -> String {
    format!("client_ca: {}, ", path.display())
}

/// A gateway that speaks TLS on both sides, whose clients say who they are in these ways; `more` are further settings of
/// the listener's `tls`, `top` of the whole.
pub fn gateway(runtime: &str, auth: &[&str], more: &str, top: &[&str]) -> Gateway {
    let world = world();
    let [upstream, _] = world.cluster.tls_bootstraps();
    let mut options = Options::new(upstream).runtime(runtime).auth(auth);
    options.cluster.push(format!("tls: {{ ca: {} }}", world.ca.display()));
    let mtls = if auth.contains(&"mtls") { client_ca(&world.ca) } else { String::new() };
    options.listener.push(listener_tls(&world.weir, &format!("{mtls}{more}")));
    options.top = top.iter().map(|&line| line.to_owned()).collect();
    hazards_support::gateway(options)
}

/// What a client that trusts the authority speaks TLS with.
pub fn client(identity: Option<&Issued>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    client_config(&world().authority.pem(), identity, versions).unwrap()
}

/// Connects to the bootstrap address.
pub fn connect(gateway: &Gateway, config: &Arc<ClientConfig>) -> Connection {
    Connection::open_tls(gateway.address(), HOST, config.clone()).unwrap()
}

/// Connects to the door of the broker, once it is open.
pub fn connect_to_broker(gateway: &Gateway, config: &Arc<ClientConfig>) -> Connection {
    let door = gateway.broker_address(1).unwrap();
    wait_for("the broker's door", SOON, || Ok(Connection::open_tls(door, HOST, config.clone()).ok())).unwrap()
}

/// Waits for a line of the log that holds all of these.
pub fn log_says(gateway: &Gateway, what: &[&str]) {
    let found = wait_for("a log line", SOON, || {
        Ok(gateway.log().lines().any(|line| what.iter().all(|part| line.contains(part))).then_some(()))
    });
    found.unwrap_or_else(|e| panic!("no line says {what:?}: {e}; the log:\n{}", gateway.log()));
}
