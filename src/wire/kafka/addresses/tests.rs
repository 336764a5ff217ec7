//! Rewriting held against kafka-protocol: what is rewritten equals its encoding of the expected message.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::*;

/// Outward addresses by node id; what is not in it is not reachable through Weir.
struct Known(BTreeMap<i32, (String, u16)>);

impl Outward for Known {
    fn outward(&mut self, node: i32, host: &str, _port: i32) -> Option<(String, u16)> {
        assert!(host.starts_with("inside"), "{host} is no broker's own address");
        self.0.get(&node).cloned()
    }
}

/// Brokers 1 and 2 are known, at a shorter and at a longer host than their own; others are not.
fn known() -> Known {
    let longer = format!("gateway.{}example.org", "far-".repeat(40));
    Known([(1, ("gw".to_owned(), 9301)), (2, (longer, 9302))].into())
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Node id, host and port, of the brokers as the cluster tells them and as clients are to see them.
fn inside() -> Vec<(BrokerId, StrBytes, i32)> {
    (1..=3).map(|node| (BrokerId(node), text("inside.cluster.local"), 19092)).collect()
}

fn outside() -> Vec<(BrokerId, StrBytes, i32)> {
    let mut known = known();
    let outward = |(node, host, port): (BrokerId, StrBytes, i32)| {
        let (host, port) = known.outward(node.0, &host, port)?;
        Some((node, text(&host), i32::from(port)))
    };
    inside().into_iter().filter_map(outward).collect()
}

fn encode(message: &impl Encodable, version: i16) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes, version).unwrap();
    bytes.to_vec()
}

/// Brokers are reached at the very addresses that they tell.
struct Same;

impl Outward for Same {
    fn outward(&mut self, _node: i32, host: &str, port: i32) -> Option<(String, u16)> {
        Some((host.to_owned(), port.try_into().unwrap()))
    }
}

/// Rewriting one message must give, byte for byte, the other, in which then nothing is left to change.
#[track_caller]
fn becomes(api_key: i16, version: i16, before: &impl Encodable, after: &impl Encodable) {
    let (before, after) = (encode(before, version), encode(after, version));
    let rewritten = rewrite(api_key, version, &before, &mut known()).unwrap();
    assert_eq!(rewritten.expect("has addresses"), after, "v{version}");
    assert_eq!(rewrite(api_key, version, &after, &mut Same).unwrap(), None, "v{version}");
}

#[test]
fn metadata_names_the_gateway_and_leaves_out_unknown_brokers() {
    use metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
    for version in 0..=13 {
        let rack = (version >= 1).then(|| text("rack"));
        let with = |brokers: Vec<(BrokerId, StrBytes, i32)>| {
            let broker = |(node, host, port)| {
                let broker = MetadataResponseBroker::default().with_node_id(node).with_host(host);
                broker.with_port(port).with_rack(rack.clone())
            };
            let partition = MetadataResponsePartition::default().with_leader_id(BrokerId(3));
            let topic = MetadataResponseTopic::default().with_name(Some(TopicName(text("orders"))));
            MetadataResponse::default()
                .with_brokers(brokers.into_iter().map(broker).collect())
                .with_topics(vec![topic.with_partitions(vec![partition])])
        };
        becomes(METADATA, version, &with(inside()), &with(outside()));
    }
}

#[test]
fn describe_cluster_names_the_gateway_and_leaves_out_unknown_brokers() {
    use describe_cluster_response::DescribeClusterBroker;
    for version in 0..=2 {
        let with = |brokers: Vec<(BrokerId, StrBytes, i32)>| {
            let broker = |(node, host, port)| {
                DescribeClusterBroker::default().with_broker_id(node).with_host(host).with_port(port)
            };
            DescribeClusterResponse::default().with_brokers(brokers.into_iter().map(broker).collect())
        };
        becomes(DESCRIBE_CLUSTER, version, &with(inside()), &with(outside()));
    }
}

#[test]
fn a_coordinator_that_is_not_known_becomes_unavailable() {
    use find_coordinator_response::Coordinator;
    let answers = |brokers: &[(i32, &str, i32, i16)], version| {
        if version < 4 {
            let (node, host, port, error) = brokers[0];
            let answer = FindCoordinatorResponse::default().with_node_id(BrokerId(node)).with_host(text(host));
            return answer.with_port(port).with_error_code(error);
        }
        let coordinator = |&(node, host, port, error): &(i32, &str, i32, i16)| {
            let coordinator = Coordinator::default().with_node_id(BrokerId(node)).with_host(text(host));
            coordinator.with_port(port).with_error_code(error).with_key(text("group"))
        };
        FindCoordinatorResponse::default().with_coordinators(brokers.iter().map(coordinator).collect())
    };
    let (longer, _) = known().0[&2].clone();
    let none = (-1, "", -1, 16);
    let (one, two, three) = ((1, "inside", 1, 0), (2, "inside.cluster", 1, 0), (3, "inside.cluster", 1, 0));
    let (one_out, two_out, three_out) = ((1, "gw", 9301, 0), (2, &longer[..], 9302, 0), (3, "", -1, 15));
    for version in 0..=6 {
        becomes(FIND_COORDINATOR, version, &answers(&[one, none], version), &answers(&[one_out, none], version));
        becomes(FIND_COORDINATOR, version, &answers(&[two, one], version), &answers(&[two_out, one_out], version));
        becomes(FIND_COORDINATOR, version, &answers(&[three, one], version), &answers(&[three_out, one_out], version));
        let failed = encode(&answers(&[none], version), version);
        assert_eq!(rewrite(FIND_COORDINATOR, version, &failed, &mut known()).unwrap(), None);
    }
}

#[test]
fn listeners_in_describe_quorum_are_outward_or_left_out() {
    use describe_quorum_response::{Listener, Node, TopicData};
    let with = |nodes: &[(i32, &[(&str, u16)])]| {
        let listener = |&(host, port): &(&str, u16)| {
            Listener::default().with_name(text("CONTROLLER")).with_host(text(host)).with_port(port)
        };
        let node = |&(node, listeners): &(i32, &[(&str, u16)])| {
            Node::default().with_node_id(BrokerId(node)).with_listeners(listeners.iter().map(listener).collect())
        };
        let topic = TopicData::default().with_topic_name(TopicName(text("__cluster_metadata")));
        DescribeQuorumResponse::default().with_topics(vec![topic]).with_nodes(nodes.iter().map(node).collect())
    };
    let before = with(&[(1, &[("inside", 60_000), ("inside", 5)]), (3000, &[("inside", 6)]), (2, &[])]);
    let after = with(&[(1, &[("gw", 9301), ("gw", 9301)]), (3000, &[]), (2, &[])]);
    becomes(DESCRIBE_QUORUM, 2, &before, &after);
}

type Entries<'a> = &'a [(&'a str, Option<&'a str>)];

/// The configurations of one resource, each with itself as its synonym.
fn configurations(resource_type: i8, resource: &str, entries: Entries<'_>) -> DescribeConfigsResponse {
    use describe_configs_response::*;
    let config = |&(name, value): &(&str, Option<&str>)| {
        let (name, value) = (text(name), value.map(text));
        let synonym = DescribeConfigsSynonym::default().with_name(name.clone()).with_value(value.clone());
        let config = DescribeConfigsResourceResult::default().with_name(name).with_value(value);
        config.with_synonyms(vec![synonym])
    };
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource_type)
        .with_resource_name(text(resource))
        .with_configs(entries.iter().map(config).collect());
    DescribeConfigsResponse::default().with_results(vec![result])
}

#[test]
fn a_brokers_configurations_show_no_address_of_its_own() {
    let before: Entries<'_> = &[
        ("advertised.listeners", Some("PLAINTEXT://inside.cluster:9092,OTHER://inside:1")),
        ("listeners", Some("PLAINTEXT://inside:9092")),
        ("controller.quorum.bootstrap.servers", Some("inside:9093")),
        ("log.dirs", Some("/var/lib/kafka")),
        ("controller.quorum.voters", None),
    ];
    for version in 1..=4 {
        let outward = [("1", Some("PLAINTEXT://gw:9301")), ("3", None), ("", None)];
        for (broker, advertised) in outward {
            let mut after = before.to_vec();
            (after[0].1, after[1].1, after[2].1) = (advertised, None, None);
            let (before, after) = (configurations(4, broker, before), configurations(4, broker, &after));
            becomes(DESCRIBE_CONFIGS, version, &before, &after);
        }
        let topic = encode(&configurations(2, "1", before), version);
        assert_eq!(rewrite(DESCRIBE_CONFIGS, version, &topic, &mut known()).unwrap(), None);
    }
}

/// A response of each API with node endpoints, holding these.
macro_rules! with_endpoints {
    ($response:ident, $module:ident, $endpoints:expr) => {{
        let endpoint =
            |(node, host, port)| $module::NodeEndpoint::default().with_node_id(node).with_host(host).with_port(port);
        $response::default().with_node_endpoints($endpoints.into_iter().map(endpoint).collect())
    }};
}

#[test]
fn node_endpoints_of_gathered_responses_name_the_gateway() {
    for version in 10..=13 {
        let before = with_endpoints!(ProduceResponse, produce_response, inside());
        becomes(PRODUCE, version, &before, &with_endpoints!(ProduceResponse, produce_response, outside()));
    }
    for version in 16..=18 {
        let before = with_endpoints!(FetchResponse, fetch_response, inside());
        becomes(FETCH, version, &before, &with_endpoints!(FetchResponse, fetch_response, outside()));
    }
    let before = with_endpoints!(ShareAcknowledgeResponse, share_acknowledge_response, inside());
    let after = with_endpoints!(ShareAcknowledgeResponse, share_acknowledge_response, outside());
    becomes(SHARE_ACKNOWLEDGE, 1, &before, &after);
}

/// The part of a response behind its topics, as a relay gathers it.
fn tail_of(api_key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    struct Nobody;
    impl Visitor for Nobody {}
    let mut walker = Walker::response(api_key, version, body.len() as u64).unwrap();
    let mut fed = 0;
    while walker.tail_at().is_none() {
        walker.feed(&body[fed..=fed], &mut Nobody).unwrap();
        fed += 1;
    }
    assert_eq!(walker.tail_at(), Some(fed as u64), "told as soon as it is reached");
    body[fed..].to_vec()
}

#[test]
fn the_tail_of_a_relayed_response_keeps_its_length_whatever_the_hosts() {
    let mut kept = 0;
    for own in [7, 30, 250] {
        for outer in (1..=own + 3).chain([own + 200]) {
            let own_host = format!("inside{}", "x".repeat(own - 6));
            let brokers = vec![(BrokerId(1), text(&own_host), 19092), (BrokerId(3), text(&own_host), 19092)];
            let mut outward = Known([(1, ("g".repeat(outer), 9301))].into());
            let fetch = encode(&with_endpoints!(FetchResponse, fetch_response, brokers.clone()), 16);
            let share = encode(&with_endpoints!(ShareFetchResponse, share_fetch_response, brokers), 1);
            for (api_key, version, body) in [(FETCH, 16, fetch), (SHARE_FETCH, 1, share)] {
                let tail = tail_of(api_key, version, &body);
                let rewritten = rewrite_tail(api_key, version, &tail, &mut outward).unwrap().unwrap();
                assert_eq!(rewritten.len(), tail.len());
                let body = [&body[..body.len() - tail.len()], &rewritten].concat();
                assert!(!body.windows(6).any(|window| window == b"inside"));
                let named: Vec<(i32, String)> = if api_key == FETCH {
                    let read = FetchResponse::decode(&mut Bytes::from(body), version).unwrap();
                    read.node_endpoints.iter().map(|node| (node.node_id.0, node.host.to_string())).collect()
                } else {
                    let read = ShareFetchResponse::decode(&mut Bytes::from(body), version).unwrap();
                    read.node_endpoints.iter().map(|node| (node.node_id.0, node.host.to_string())).collect()
                };
                if !named.is_empty() {
                    assert_eq!(named, [(1, "g".repeat(outer))]);
                    kept += 1;
                }
            }
        }
    }
    assert!(kept > 500, "only {kept} kept their addresses");
}

#[test]
fn each_small_difference_of_length_is_filled_up_or_goes_without_addresses() {
    for difference in -3..=200i64 {
        let own = "inside-of-a-very-long-host-name-".repeat(8);
        let outer = "g".repeat((own.len() as i64 - difference) as usize);
        let brokers = vec![(BrokerId(1), text(&own), 19092)];
        let tail = tail_of(FETCH, 17, &encode(&with_endpoints!(FetchResponse, fetch_response, brokers), 17));
        let rewritten = rewrite_tail(FETCH, 17, &tail, &mut Known([(1, (outer.clone(), 9301))].into()));
        let rewritten = rewritten.unwrap().unwrap();
        assert_eq!(rewritten.len(), tail.len());
        let named = rewritten.windows(outer.len()).any(|window| window == outer.as_bytes());
        assert_eq!(named, difference == 0 || difference >= 2, "{difference}");
    }
}

#[test]
fn a_tail_without_endpoints_passes_as_it_is() {
    let nobody: Vec<(BrokerId, StrBytes, i32)> = Vec::new();
    let tail = tail_of(FETCH, 17, &encode(&with_endpoints!(FetchResponse, fetch_response, nobody.clone()), 17));
    assert_eq!(rewrite_tail(FETCH, 17, &tail, &mut known()).unwrap(), None);
    let tail = tail_of(SHARE_FETCH, 1, &encode(&with_endpoints!(ShareFetchResponse, share_fetch_response, nobody), 1));
    assert_eq!(rewrite_tail(SHARE_FETCH, 1, &tail, &mut known()).unwrap(), None);
    assert_eq!(rewrite_tail(FETCH, 4, &[], &mut known()).unwrap(), None);
}

#[test]
fn every_response_with_a_brokers_host_has_a_place_for_it() {
    use crate::wire::kafka::layout::{Direction, Field, messages};
    fn has_host(fields: &[Field], version: i16) -> bool {
        let present = |field: &&Field| field.versions.contains(version);
        fields.iter().filter(present).any(|field| field.role == Some(Role::Host) || has_host(&field.fields, version))
    }
    for message in messages().iter().filter(|message| message.direction == Direction::Response) {
        for version in message.versions.first..=message.versions.last {
            let expected = has_host(&message.fields, version) || message.api_key == DESCRIBE_CONFIGS;
            let placed = place(message.api_key, version) != Place::Nowhere;
            assert_eq!(placed, expected, "{} v{version}", message.name);
        }
    }
}
