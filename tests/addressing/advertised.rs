//! What clients are told is not where the gateway listens: behind a NAT, and behind services of Kubernetes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use loadtest::clients::{Client, Target};
use loadtest::ports::Block;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;

use crate::common::{self, RUNTIMES};
use crate::world::{LOCALHOST, brokers_told, cluster, hosts, is_broker, nat, plays};

fn gateway(runtime: &str, advertised: &str) -> Gateway {
    let mut options = Options::new(cluster().bootstrap()).runtime(runtime);
    options.broker_ports = Some(4);
    options.listener = vec![format!("advertised: \"{advertised}\"")];
    common::gateway_before(cluster(), options)
}

/// Brokers 1 and 2 as clients know them, and as they say it of themselves.
fn tells(gateway: &Gateway, expected: [(&str, u16); 2]) {
    let told = brokers_told(&mut Connection::open(gateway.address()).unwrap());
    let brokers = (1..).zip(expected);
    let expected: Vec<_> =
        brokers.clone().map(|(node, (host, port))| (node, host.to_owned(), i32::from(port))).collect();
    assert_eq!(told, expected);
    for (node, (host, port)) in brokers {
        let mut connection = Connection::open(gateway.broker_address(node).unwrap()).unwrap();
        assert_eq!(is_broker(&mut connection, node).unwrap(), format!("PLAINTEXT://{host}:{port}"));
    }
}

#[test]
fn behind_a_nat_clients_are_told_its_host_and_ports() {
    for runtime in RUNTIMES {
        let mut outside = Block::claim().unwrap();
        let [bootstrap, zero, one, two, three] = [0; 5].map(|_| outside.take().unwrap());
        assert_eq!(three - zero, 3, "ports of a block follow each other");
        let gateway = gateway(runtime, &format!("gw.test:{zero}-{three}"));
        tells(&gateway, [("gw.test", one), ("gw.test", two)]);
        let local = |port| SocketAddr::new(LOCALHOST, port);
        nat(local(bootstrap), gateway.address());
        nat(local(one), gateway.broker_address(1).unwrap());
        nat(local(two), gateway.broker_address(2).unwrap());
        let hosts = hosts(&format!("nat-{runtime}"), &[("gw.test", LOCALHOST)]);
        let name = format!("nat-{runtime}");
        let target = Target::anonymous(format!("gw.test:{bootstrap}"), &name).knowing(hosts);
        plays(Client::ConfluentKafka, &target, &name, &name);
    }
}

#[test]
fn behind_a_service_per_broker_clients_are_told_its_name_and_the_one_port_of_all() {
    for (net, runtime) in (71..).zip(RUNTIMES) {
        let mut block = Block::claim().unwrap();
        let port = block.take().unwrap();
        let gateway = gateway(runtime, &format!("weir-{{node}}.kafka.svc:{port}"));
        tells(&gateway, [("weir-1.kafka.svc", port), ("weir-2.kafka.svc", port)]);
        // A service is an address of its own.
        let service = |node: u8| IpAddr::V4(Ipv4Addr::new(127, 0, net, node));
        let names =
            [("weir.kafka.svc", service(100)), ("weir-1.kafka.svc", service(1)), ("weir-2.kafka.svc", service(2))];
        nat(SocketAddr::new(service(100), port), gateway.address());
        nat(SocketAddr::new(service(1), port), gateway.broker_address(1).unwrap());
        nat(SocketAddr::new(service(2), port), gateway.broker_address(2).unwrap());
        let hosts = hosts(&format!("svc-{runtime}"), &names);
        let name = format!("svc-{runtime}");
        let target = Target::anonymous(format!("weir.kafka.svc:{port}"), &name).knowing(hosts);
        plays(Client::JavaConsole, &target, &name, &name);
    }
}

#[test]
fn a_name_per_broker_goes_with_the_ports_that_are_listened_on() {
    let gateway = gateway("auto", "weir-{node}.example.com");
    let port = |node| gateway.broker_address(node).unwrap().port();
    tells(&gateway, [("weir-1.example.com", port(1)), ("weir-2.example.com", port(2))]);
}
