//! Clients and brokers on IPv6, and on both.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use loadtest::clients::{Client, Target};
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;

use crate::common::{self, RUNTIMES};
use crate::world::{LOCALHOST, SOON, brokers_told, hosts, is_broker, other_cluster, plays};

const LOCALHOST6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn gateway(runtime: &str) -> Gateway {
    let mut options = Options::new(other_cluster().bootstrap()).runtime(runtime);
    options.host = LOCALHOST6;
    common::gateway_before(other_cluster(), options)
}

/// Where a session of this client came from, as the recording has it: its address, and that of one of its connections.
fn came_from(gateway: &Gateway, client_id: &str) -> (String, String) {
    let seen = || {
        let Some(session) = gateway.weir_json(&["sessions"])?.into_iter().find(|s| s["client_id"] == client_id) else {
            return Ok(None);
        };
        let events = gateway.weir_json(&["show", session["id"].as_str().unwrap()])?;
        let opened = events.into_iter().find(|event| event["event"] == "opened");
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        Ok(opened.map(|opened| (text(&session["client_address"]), text(&opened["peer"]))))
    };
    wait_for("the session", SOON, seen).unwrap()
}

#[test]
fn clients_and_brokers_on_ipv6_meet_and_addresses_are_told_as_kafka_writes_them() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime);
        let port = |node| gateway.broker_address(node).unwrap().port();
        let mut connection = Connection::open(gateway.address()).unwrap().with_client_id("six");
        // A host without brackets, which stand in URLs and lists only.
        let expected = [1, 2].map(|node| (node, "::1".to_owned(), i32::from(port(node))));
        assert_eq!(brokers_told(&mut connection), expected);
        for node in [1, 2] {
            let mut connection = Connection::open(gateway.broker_address(node).unwrap()).unwrap();
            assert_eq!(is_broker(&mut connection, node).unwrap(), format!("PLAINTEXT://[::1]:{}", port(node)));
        }
        let own = connection.stream().local_addr().unwrap().to_string();
        assert!(own.starts_with("[::1]:"));
        assert_eq!(came_from(&gateway, "six"), ("::1".to_owned(), own));
    }
}

#[test]
fn stock_clients_bootstrap_over_ipv6() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime);
        std::thread::scope(|scope| {
            for client in [Client::JavaConsole, Client::ConfluentKafka, Client::FranzGo] {
                let bootstrap = gateway.bootstrap();
                scope.spawn(move || {
                    let name = format!("six-{}-{runtime}", client.name());
                    plays(client, &Target::anonymous(bootstrap, &name), &name, &name);
                });
            }
        });
    }
}

#[test]
fn a_listener_on_all_addresses_takes_both_and_knows_ipv4_clients_by_their_own_address() {
    for runtime in RUNTIMES {
        let mut options = Options::new(other_cluster().bootstrap()).runtime(runtime);
        options.host = Ipv6Addr::UNSPECIFIED.into();
        options.listener = vec!["advertised: localhost".to_owned()];
        let gateway = common::gateway(options);
        for (address, client) in [(LOCALHOST, "four"), (LOCALHOST6, "six")] {
            let mut connection = Connection::open(SocketAddr::new(address, gateway.address().port())).unwrap();
            connection = connection.with_client_id(client);
            assert_eq!(brokers_told(&mut connection)[0].1, "localhost");
            let own = connection.stream().local_addr().unwrap();
            assert_eq!(came_from(&gateway, client), (address.to_string(), own.to_string()), "{runtime}");
        }
    }
}

#[test]
fn of_a_name_with_addresses_of_both_kinds_the_one_that_answers_is_taken() {
    let hosts = hosts("dual", &[("dual.test", LOCALHOST), ("dual.test", LOCALHOST6)]);
    for runtime in RUNTIMES {
        // Nobody listens on its IPv4 address.
        let port = other_cluster().address(1).unwrap().port();
        let mut options = Options::new(format!("dual.test:{port}")).runtime(runtime);
        options.env = hosts.env();
        let gateway = common::gateway(options);
        for _ in 0..4 {
            assert_eq!(brokers_told(&mut Connection::open(gateway.address()).unwrap()).len(), 2);
        }
    }
}
