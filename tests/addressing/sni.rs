//! One TLS port, a host name per broker.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::MetadataRequest;
use loadtest::clients::{Client, Target};
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use crate::common::{self, RUNTIMES};
use crate::world::{
    LOCALHOST, METADATA, SOON, TLS12, TLS13, brokers_told, cluster, hosts, is_broker, listener_tls, pki, plays,
};

fn gateway(runtime: &str) -> Gateway {
    let mut options = Options::new(cluster().bootstrap()).runtime(runtime);
    options.brokers = Some(r#"{ sni: "b{node}.kafka.test" }"#.to_owned());
    options.listener = vec!["advertised: kafka.test".to_owned(), listener_tls(&pki().weir)];
    common::gateway(options)
}

fn connect(gateway: &Gateway, name: &str, config: &Arc<ClientConfig>) -> Connection {
    Connection::open_tls(gateway.address(), name, config.clone()).unwrap()
}

fn logged(gateway: &Gateway, connection: &Connection, what: &str) {
    let peer = connection.stream().local_addr().unwrap().to_string();
    let said = || Ok(gateway.log().lines().any(|line| line.contains(&peer) && line.contains(what)).then_some(()));
    wait_for(what, SOON, said).unwrap_or_else(|e| panic!("{e}; the log:\n{}", gateway.log()));
}

#[test]
fn every_connection_with_a_brokers_name_reaches_that_broker() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime);
        for versions in [TLS12, TLS13] {
            let config = pki().client(versions);
            // Many, so that every shard serves some of each.
            for n in 0..12 {
                let node = 1 + n % 2;
                let mut connection = connect(&gateway, &format!("b{node}.kafka.test"), &config);
                assert!(is_broker(&mut connection, node).is_some(), "{runtime}: broker {node}");
                assert!(is_broker(&mut connection, 3 - node).is_none(), "{runtime}: broker {node}");
            }
            let mut shouted = connect(&gateway, "B2.Kafka.TEST", &config);
            assert!(is_broker(&mut shouted, 2).is_some());
        }
    }
}

#[test]
fn brokers_are_told_by_their_names_on_the_one_port_and_by_no_address_of_their_own() {
    let gateway = gateway("auto");
    let port = i32::from(gateway.address().port());
    let expected = [(1, "b1.kafka.test".to_owned(), port), (2, "b2.kafka.test".to_owned(), port)];
    let config = pki().client(TLS13);
    for name in ["kafka.test", "KAFKA.test", "b1.kafka.test"] {
        assert_eq!(brokers_told(&mut connect(&gateway, name, &config)), expected);
    }
    let told = is_broker(&mut connect(&gateway, "b2.kafka.test", &config), 2).unwrap();
    assert_eq!(told, format!("PLAINTEXT://b2.kafka.test:{port}"));
}

#[test]
fn a_client_that_asks_for_no_name_is_served_as_on_the_bootstrap_address() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime);
        for versions in [TLS12, TLS13] {
            // For an address no name is sent (RFC 6066, 3).
            let mut connection = connect(&gateway, "127.0.0.1", &pki().client(versions));
            assert_eq!(brokers_told(&mut connection).len(), 2);
        }
    }
}

#[test]
fn a_name_that_is_no_brokers_is_refused_before_it_is_answered_and_told_of() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime);
        let mut bystander = connect(&gateway, "kafka.test", &pki().client(TLS13));
        brokers_told(&mut bystander);
        for versions in [TLS12, TLS13] {
            for name in ["b01.kafka.test", "b.kafka.test", "kafka.example.com", "b1.kafka.test.example.com"] {
                let mut refused = connect(&gateway, name, &pki().client(versions));
                let error = refused.call(METADATA, &MetadataRequest::default()).unwrap_err().to_string();
                assert!(error.contains("UnrecognisedName"), "{name}: {error}");
                let asked = format!("the client asks for \"{name}\", and here are kafka.test and b{{node}}.kafka.test");
                logged(&gateway, &refused, &asked);
            }
        }
        let metrics = gateway.metrics().unwrap();
        let failures = metrics.sum("weir_tls_failures_total", &[("owner", "listener"), ("name", "main")]);
        assert_eq!(failures, Some(8.0));
        brokers_told(&mut bystander);
    }
}

#[test]
fn a_broker_that_is_not_there_is_unreachable_and_nobody_else_is_reached_for_it() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime);
        let mut absent = connect(&gateway, "b99.kafka.test", &pki().client(TLS13));
        absent.send(METADATA, &MetadataRequest::default()).unwrap();
        assert!(absent.closes_within(SOON).unwrap());
        logged(&gateway, &absent, "client: broker 99 of cluster main is not known");
        // The client's mistake: nobody looks for a fault of the cluster's.
        let failures = gateway.metrics().unwrap().sum("weir_upstream_connect_failures_total", &[]);
        assert_eq!(failures.unwrap_or(0.0), 0.0, "{runtime}");
    }
}

#[test]
fn nothing_is_resumed_so_that_the_name_of_this_handshake_counts() {
    let gateway = gateway("auto");
    for versions in [TLS12, TLS13] {
        // One configuration, and with it one cache of sessions.
        let config = pki().client(versions);
        for node in [1, 2, 1, 2] {
            let mut connection = connect(&gateway, &format!("b{node}.kafka.test"), &config);
            assert!(is_broker(&mut connection, node).is_some());
            assert_eq!(connection.tls().unwrap().handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}

/// Writes a byte at a time.
struct Drip(TcpStream);

impl Read for Drip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Drip {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_hello_that_comes_byte_by_byte_or_not_at_all_is_no_different() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime);
        for (name, works) in [("b1.kafka.test", true), ("c1.kafka.test", false)] {
            let socket = TcpStream::connect(gateway.address()).unwrap();
            socket.set_nodelay(true).unwrap();
            socket.set_read_timeout(Some(SOON)).unwrap();
            let mut tls = ClientConnection::new(pki().client(TLS13), ServerName::try_from(name).unwrap()).unwrap();
            let done = tls.complete_io(&mut Drip(socket));
            assert_eq!(done.is_ok(), works, "{runtime}: {name}: {done:?}");
        }
        let mut plaintext = Connection::open(gateway.address()).unwrap();
        plaintext.send(METADATA, &MetadataRequest::default()).unwrap();
        logged(&gateway, &plaintext, "this is Kafka in plaintext, on a listener that speaks TLS");
        let mut web = Connection::open(gateway.address()).unwrap();
        web.send_bytes(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        logged(&gateway, &web, "this is HTTP, on a listener that speaks Kafka over TLS");
        drop(Connection::open(gateway.address()).unwrap());
        brokers_told(&mut connect(&gateway, "kafka.test", &pki().client(TLS13)));
    }
}

/// Writes the hello, which is the first that a client writes, as two TLS records in a segment each.
struct TwoRecords {
    socket: TcpStream,
    /// Where it is cut; none once it is written.
    cut: Option<Cut>,
}

/// Where a hello is cut in two.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Behind so many of its bytes; its own type and length are the first four.
    At(usize),
    /// In the midst of the name that it asks for.
    InName(&'static str),
}

impl Read for TwoRecords {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

impl Write for TwoRecords {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(cut) = self.cut.take() else { return self.socket.write(bytes) };
        // A record: its type, the version, a length, and what it carries (RFC 8446, 5.1).
        let (head, hello) = bytes.split_at(5);
        assert_eq!((head[0], usize::from(u16::from_be_bytes([head[3], head[4]]))), (22, hello.len()));
        let cut = match cut {
            Cut::At(cut) => cut,
            Cut::InName(name) => hello.windows(name.len()).position(|part| part == name.as_bytes()).unwrap() + 3,
        };
        for part in [&hello[..cut], &hello[cut..]] {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            self.socket.write_all(&[&head[..3], &length, part].concat())?;
            // Long enough to be read apart.
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

#[test]
fn a_hello_in_two_tls_records_is_no_different() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime);
        for versions in [TLS12, TLS13] {
            for (name, works) in [("b2.kafka.test", true), ("c2.kafka.test", false)] {
                for cut in [Cut::At(1), Cut::At(4), Cut::At(60), Cut::InName(name)] {
                    let socket = TcpStream::connect(gateway.address()).unwrap();
                    socket.set_nodelay(true).unwrap();
                    socket.set_read_timeout(Some(SOON)).unwrap();
                    let name = ServerName::try_from(name).unwrap();
                    let mut tls = ClientConnection::new(pki().client(versions), name.clone()).unwrap();
                    let done = tls.complete_io(&mut TwoRecords { socket, cut: Some(cut) });
                    assert_eq!(done.is_ok(), works, "{runtime}: {name:?} cut {cut:?}: {done:?}");
                }
            }
        }
        let asked = || gateway.log().matches("the client asks for \"c2.kafka.test\"").count();
        wait_for("the names in the log", SOON, || Ok((asked() == 8).then_some(()))).unwrap();
    }
}

#[test]
fn a_recording_says_which_broker_a_connection_was_for() {
    let gateway = gateway("auto");
    let config = pki().client(TLS13);
    let mut connection = connect(&gateway, "b2.kafka.test", &config).with_client_id("by-name");
    brokers_told(&mut connection);
    let opened = || {
        let Some(session) = gateway.weir_json(&["sessions"])?.into_iter().find(|s| s["client_id"] == "by-name") else {
            return Ok(None);
        };
        let events = gateway.weir_json(&["show", session["id"].as_str().unwrap()])?;
        Ok(events.into_iter().find(|event| event["event"] == "opened"))
    };
    let opened = wait_for("the connection in the recording", SOON, opened).unwrap();
    assert_eq!((&opened["listener"], &opened["broker"]), (&"main".into(), &2.into()), "{opened}");
}

#[test]
fn stock_clients_produce_and_consume_by_names() {
    let names: [(&str, IpAddr); 3] =
        [("kafka.test", LOCALHOST), ("b1.kafka.test", LOCALHOST), ("b2.kafka.test", LOCALHOST)];
    let hosts = hosts("sni", &names);
    for runtime in RUNTIMES {
        let gateway = gateway(runtime);
        let bootstrap = format!("kafka.test:{}", gateway.address().port());
        std::thread::scope(|scope| {
            for client in [Client::JavaConsole, Client::ConfluentKafka] {
                let (hosts, bootstrap) = (hosts.clone(), bootstrap.clone());
                scope.spawn(move || {
                    let name = format!("sni-{}-{runtime}", client.name());
                    let target = Target::anonymous(bootstrap, &name).over_tls(pki().stock_client()).knowing(hosts);
                    plays(client, &target, &name, &name);
                });
            }
        });
        assert!(!gateway.log().contains("ERROR"), "{}", gateway.log());
    }
}
