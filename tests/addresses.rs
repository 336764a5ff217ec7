//! No client learns a broker's own address: every answer that could name one names Weir's door instead, and the door works.
//!
//! Each probe is asked straight as well: an answer that names no address there would prove nothing here.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use bytes::Bytes;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeConfigsRequest, DescribeQuorumRequest, FetchRequest, FindCoordinatorRequest,
    MetadataRequest, ProduceRequest,
};
use kafka_protocol::protocol::Request;
use loadtest::admin::{self, Coordinates, text, topic};
use loadtest::batch::Batch;
use loadtest::exposure;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::{self, Connection};
use uuid::Uuid;

/// `ConfigResource.Type.BROKER`.
const BROKER_CONFIGS: i8 = 4;

/// A question whose answer names addresses.
struct Probe {
    what: String,
    node: i32,
    frame: Bytes,
}

#[test]
fn no_answer_names_a_brokers_own_address() {
    let cluster = common::cluster();
    let ports = exposure::ports(cluster).unwrap();
    assert_eq!(ports.len(), 3, "two brokers and a controller");
    for runtime in common::RUNTIMES {
        let gateway = common::gateway_before(cluster, Options::new(cluster.bootstrap()).runtime(runtime));
        let name = format!("led-by-2-{runtime}");
        let id = admin::create_topic(cluster, &name, &[2]).unwrap();
        admin::coordinator(cluster, Coordinates::Group, &name).unwrap();
        for probe in probes(&name, id) {
            let direct = answer(cluster.address(probe.node).unwrap(), &probe);
            let through_weir = answer(gateway.broker_address(probe.node).unwrap(), &probe);
            assert!(
                !exposure::named(&direct, &ports).is_empty(),
                "{}: the broker names no address: {direct:?}",
                probe.what
            );
            let leaked = exposure::named(&through_weir, &ports);
            assert!(leaked.is_empty(), "{runtime}, {}: {leaked:?} in {through_weir:?}", probe.what);
        }
        leads_where_it_should(&gateway, &name);
    }
}

#[test]
fn the_addresses_in_answers_are_doors_that_open() {
    let cluster = common::cluster();
    for runtime in common::RUNTIMES {
        let gateway = common::gateway_before(cluster, Options::new(cluster.bootstrap()).runtime(runtime));
        let name = format!("behind-doors-{runtime}");
        let id = admin::create_topic(cluster, &name, &[2]).unwrap();
        let mut told = BTreeSet::new();
        let mut tell = |node: i32, host: &str, port: i32| {
            told.insert((node, format!("{host}:{port}").parse::<SocketAddr>().unwrap()));
        };
        let mut door = Connection::open(gateway.broker_address(1).unwrap()).unwrap();
        let cluster_of = door.call(2, &DescribeClusterRequest::default()).unwrap();
        cluster_of.brokers.iter().for_each(|b| tell(b.broker_id.0, &b.host, b.port));
        let metadata = door.call(13, &MetadataRequest::default().with_topics(None)).unwrap();
        metadata.brokers.iter().for_each(|b| tell(b.node_id.0, &b.host, b.port));
        let produced = door.call(13, &admin::produce_request(&name, id, 13, 0, -1, batch())).unwrap();
        produced.node_endpoints.iter().for_each(|e| tell(e.node_id.0, &e.host, e.port));
        assert_eq!(produced.node_endpoints.len(), 1, "{runtime}: Produce says where the leader is");

        let doors = [1, 2].map(|node| (node, gateway.broker_address(node).unwrap()));
        assert_eq!(told, BTreeSet::from(doors), "{runtime}");
        leads_where_it_should(&gateway, &name);
    }
}

/// Broker 2's door leads to broker 2: a topic that it leads is written and read there, and not behind broker 1's.
fn leads_where_it_should(gateway: &Gateway, name: &str) {
    const NOT_LEADER_OR_FOLLOWER: i16 = 6;
    for (node, error) in [(1, NOT_LEADER_OR_FOLLOWER), (2, 0)] {
        let mut door = Connection::open(gateway.broker_address(node).unwrap()).unwrap();
        let produced = door.call(9, &admin::produce_request(name, Uuid::nil(), 9, 0, -1, batch())).unwrap();
        assert_eq!(produced.responses[0].partition_responses[0].error_code, error, "{name} at broker {node}");
        let fetched = door.call(12, &admin::fetch_request(name, Uuid::nil(), 12, &[0], 1 << 20)).unwrap();
        assert_eq!(fetched.responses[0].partitions[0].error_code, error, "{name} at broker {node}");
    }
}

fn probes(name: &str, id: Uuid) -> Vec<Probe> {
    [of_the_cluster(name), of_the_wrong_broker(name, id), of_settings()].into_iter().flatten().collect()
}

fn probe<R: Request>(what: &str, node: i32, version: i16, request: &R) -> Probe {
    let frame = wire::encode("addresses", 1, version, request).unwrap();
    Probe { what: format!("{what} v{version}"), node, frame }
}

fn of_the_cluster(name: &str) -> Vec<Probe> {
    let mut probes = Vec::new();
    for version in 0..=13 {
        let request = MetadataRequest::default().with_topics(if version == 0 { Some(Vec::new()) } else { None });
        probes.push(probe("Metadata", 1, version, &request));
    }
    for version in 0..=6 {
        let request = FindCoordinatorRequest::default();
        let request = match version {
            0..=3 => request.with_key(text(name)),
            _ => request.with_coordinator_keys(vec![text(name)]),
        };
        probes.push(probe("FindCoordinator", 2, version, &request));
    }
    for version in 0..=2 {
        probes.push(probe("DescribeCluster", 2, version, &DescribeClusterRequest::default()));
    }
    // The quorum's listeners came with version 2.
    let quorum = TopicData::default().with_topic_name(topic("__cluster_metadata"));
    let quorum = quorum.with_partitions(vec![PartitionData::default()]);
    probes.push(probe("DescribeQuorum", 1, 2, &DescribeQuorumRequest::default().with_topics(vec![quorum])));
    probes
}

/// Who asks the wrong broker is told where the right one is (KIP-951).
fn of_the_wrong_broker(name: &str, id: Uuid) -> Vec<Probe> {
    let mut probes = Vec::new();
    for version in 10..=ProduceRequest::default_version() {
        let request = admin::produce_request(name, id, version, 0, -1, batch());
        probes.push(probe("Produce", 1, version, &request));
    }
    for version in 16..=FetchRequest::default_version() {
        let request = admin::fetch_request(name, id, version, &[0], 1 << 20);
        probes.push(probe("Fetch", 1, version, &request));
    }
    probes
}

fn of_settings() -> Vec<Probe> {
    let mut probes = Vec::new();
    for (node, version) in [(1, 1), (2, 2), (1, 3), (2, 4)] {
        let asked = DescribeConfigsResource::default()
            .with_resource_type(BROKER_CONFIGS)
            .with_resource_name(text(node.to_string()))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![asked]).with_include_synonyms(true);
        probes.push(probe("DescribeConfigs", node, version, &request));
    }
    probes
}

/// The latest version of a request.
trait Latest {
    fn default_version() -> i16;
}

impl<R: Request> Latest for R {
    fn default_version() -> i16 {
        R::VERSIONS.max
    }
}

fn batch() -> Vec<u8> {
    Batch::counting(2).bytes()
}

fn answer(address: SocketAddr, probe: &Probe) -> Bytes {
    let mut connection = Connection::open(address).unwrap();
    connection.send_bytes(&probe.frame).unwrap();
    connection.receive_frame().unwrap().unwrap_or_else(|| panic!("{}: closed without an answer", probe.what))
}
