//! What these tests share: two clusters, an authority with a wildcard certificate, names that lead here, a way through a NAT,
//! and questions whose answers tell which broker gave them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{DescribeConfigsRequest, MetadataRequest};
use loadtest::admin::text;
use loadtest::clients::{Client, ClientTls, Record, Script, Target};
use loadtest::hosts::Hosts;
use loadtest::kafka::{self, Cluster};
use loadtest::scratch::Scratch;
use loadtest::tls::{A_DAY, Authority, Files, client_config, replace};
use loadtest::wire::Connection;
use rustls::{ClientConfig, SupportedProtocolVersion};

pub const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

pub const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub const METADATA: i16 = 12;
pub const SOON: Duration = Duration::from_secs(15);

/// On IPv4.
pub fn cluster() -> &'static Cluster {
    crate::common::cluster()
}

/// On IPv6, with the same node ids.
pub fn other_cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let options = || kafka::Options { host: Ipv6Addr::LOCALHOST.into(), ..Default::default() };
    CLUSTER.get_or_init(|| Cluster::start(2, options()).unwrap())
}

pub struct Pki {
    authority: Authority,
    /// The PEM file of the authority.
    pub ca: PathBuf,
    /// For kafka.test, every name below it, and this machine.
    pub weir: Files,
    dir: Scratch,
}

/// Made once; it goes with the process.
pub fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let dir = Scratch::new("weir-addressing-").unwrap();
        let authority = Authority::new("weir test").unwrap();
        let ca = dir.path().join("ca.pem");
        replace(&ca, &authority.pem()).unwrap();
        let names = ["kafka.test", "*.kafka.test", "127.0.0.1", "localhost"];
        let weir = authority.issue(&[("CN", "weir")], &names, A_DAY).unwrap().write(dir.path(), "weir").unwrap();
        Pki { authority, ca, weir, dir }
    })
}

impl Pki {
    /// What a client that trusts the authority speaks TLS with.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        client_config(&self.authority.pem(), None, versions).unwrap()
    }

    /// The same for stock clients.
    pub fn stock_client(&self) -> ClientTls {
        ClientTls { ca: self.ca.clone(), identity: None, version: None }
    }

    /// A certificate for these hosts.
    pub fn certificate(&self, name: &str, hosts: &[&str]) -> Files {
        self.authority.issue(&[("CN", name)], hosts, A_DAY).unwrap().write(self.dir.path(), name).unwrap()
    }
}

/// The line that lets a listener speak TLS with these files.
pub fn listener_tls(files: &Files) -> String {
    format!("tls: {{ certificate: {}, key: {} }}", files.certificate.display(), files.key.display())
}

/// A hosts file with these names.
pub fn hosts(file: &str, names: &[(&str, IpAddr)]) -> Hosts {
    Hosts::write(&pki().dir.path().join(file), names).unwrap()
}

/// Metadata that asks for the brokers only: node id, host, port.
pub fn brokers_told(connection: &mut Connection) -> Vec<(i32, String, i32)> {
    let request = MetadataRequest::default().with_topics(Some(Vec::new()));
    let answer = connection.call(METADATA, &request).unwrap();
    let mut told: Vec<_> = answer.brokers.iter().map(|b| (b.node_id.0, b.host.to_string(), b.port)).collect();
    told.sort();
    told
}

/// Whether this broker answers: the configuration of a broker is told by nobody but itself. With it, what it says in
/// `advertised.listeners`.
pub fn is_broker(connection: &mut Connection, node: i32) -> Option<String> {
    let resource = DescribeConfigsResource::default().with_resource_type(4).with_resource_name(text(node.to_string()));
    let resource = resource.with_configuration_keys(Some(vec![text("advertised.listeners")]));
    let answer = connection.call(4, &DescribeConfigsRequest::default().with_resources(vec![resource])).unwrap();
    let result = &answer.results[0];
    (result.error_code == 0).then(|| result.configs[0].value.clone().unwrap_or_default().to_string())
}

/// The scene of a stock client, with records that name `mark`, which it has to read back and nothing else.
pub fn plays(client: Client, target: &Target, topic: &str, mark: &str) {
    let record =
        |n: usize| Record { key: Some(format!("{n}")), value: Some(format!("{mark} {n}")), headers: Vec::new() };
    let script: Script = [("none", 0..20), ("lz4", 20..40)].map(|(codec, n)| (codec, n.map(record).collect())).into();
    let mut read = client.play(target, topic, 4, &format!("{topic}-group"), &script).unwrap();
    let mut sent: Vec<Record> = script.values().flatten().cloned().collect();
    read.sort();
    sent.sort();
    assert_eq!(read, sent, "{} at {}", client.name(), target.bootstrap);
}

/// Passes connections on as a NAT does; ends with the process.
pub fn nat(from: SocketAddr, to: SocketAddr) {
    let listener = TcpListener::bind(from).unwrap();
    std::thread::spawn(move || {
        for inside in listener.incoming().map_while(Result::ok) {
            let Ok(outside) = TcpStream::connect(to) else { continue };
            for (mut from, mut to) in [(inside.try_clone().unwrap(), outside.try_clone().unwrap()), (outside, inside)] {
                std::thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
}
