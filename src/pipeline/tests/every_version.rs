//! What a client or a broker may lawfully send, in every API and version: it is passed on byte for byte, or it becomes what
//! `kafka-protocol` reads as the same message with the gateway's addresses in place of brokers'.

use std::fmt::Debug;

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Message as Versioned, StrBytes};

use super::super::drive::{messages, request, response, scope};
use super::{way_back, way_in};
use crate::wire::kafka::addresses::{Place, place};
use crate::wire::kafka::api::Api;
use crate::wire::kafka::layout::{Direction, Message};
use crate::wire::kafka::samples::Dice;

const ROUNDS: u64 = 6;

/// Every message of a direction in every version served, some times over, each with what chooses its content.
fn rounds(direction: Direction) -> impl Iterator<Item = (&'static Api, &'static Message, i16, u64)> {
    let all = messages(direction).into_iter().enumerate();
    all.flat_map(|(at, (api, message, version))| {
        (0..ROUNDS).map(move |round| (api, message, version, 1 + at as u64 * 7919 + round * 104_729))
    })
}

#[test]
fn a_request_of_every_api_and_version_leaves_as_it_came() {
    for (api, message, version, seed) in rounds(Direction::Request) {
        let stream = request(api, message, version, 9, seed);
        let size = 1 + Dice(seed).roll(stream.len());
        let passed = way_in(&stream, size, Some(scope(&[])));
        assert!(passed.bytes == stream, "{} v{version}, seed {seed}, in pieces of {size}", api.name);
        passed.captured.covers(&stream);
    }
}

#[test]
fn an_answer_of_every_api_and_version_without_addresses_leaves_as_it_came() {
    for (api, message, version, seed) in rounds(Direction::Response) {
        if place(api.key, version) == Place::Nowhere {
            let stream = response(api, message, version, 0, seed);
            let size = 1 + Dice(seed).roll(stream.len());
            let passed = way_back(&stream, &[(api, version)], size, None);
            assert!(passed.bytes == stream, "{} v{version}, seed {seed}, in pieces of {size}", api.name);
        }
    }
}

/// The gateway's address for a broker's, as the harness gives it; none for a broker that cannot be reached.
fn outward(node: BrokerId, host: &mut StrBytes) -> Option<i32> {
    *host = StrBytes::from_static_str("gateway.example");
    (node.0 % 3 != 0).then_some(9300)
}

/// Replaces an address; false when what has it is left out.
fn reached(node: BrokerId, host: &mut StrBytes, port: &mut i32) -> bool {
    if host.is_empty() {
        return true;
    }
    outward(node, host).map(|outward| *port = outward).is_some()
}

/// What clients see of an answer, by the codec's own reading of it.
trait Outwards: Decodable + Versioned + PartialEq + Debug {
    /// Replaces the addresses.
    fn replace(&mut self);
    /// Takes out what an answer that keeps its length may be filled up with.
    fn unpad(&mut self) {}
    /// Takes out what such an answer may have to go without.
    fn without_hints(&mut self) {}
}

macro_rules! brokers {
    ($($message:ty: $array:ident, $id:ident);+ $(;)?) => { $(
        impl Outwards for $message {
            fn replace(&mut self) {
                self.$array.retain_mut(|broker| reached(broker.$id, &mut broker.host, &mut broker.port));
            }
        } )+
    };
}

macro_rules! hints {
    ($($message:ty),+) => { $(
        impl Outwards for $message {
            fn replace(&mut self) {
                self.node_endpoints.retain_mut(|broker| reached(broker.node_id, &mut broker.host, &mut broker.port));
            }
            fn unpad(&mut self) {
                self.unknown_tagged_fields.retain(|tag, _| ![0x7f, 0x3fff].contains(tag));
            }
            fn without_hints(&mut self) {
                self.node_endpoints.clear();
            }
        } )+
    };
}

brokers! {
    MetadataResponse: brokers, node_id;
    DescribeClusterResponse: brokers, broker_id;
    ProduceResponse: node_endpoints, node_id;
    ShareAcknowledgeResponse: node_endpoints, node_id;
}
hints!(FetchResponse, ShareFetchResponse);

impl Outwards for FindCoordinatorResponse {
    fn replace(&mut self) {
        let gone = |host: &mut StrBytes, port: &mut i32, error: &mut i16| {
            (*host, *port) = (StrBytes::default(), -1);
            *error = if *error == 0 { 15 } else { *error };
        };
        if !reached(self.node_id, &mut self.host, &mut self.port) {
            gone(&mut self.host, &mut self.port, &mut self.error_code);
        }
        for coordinator in &mut self.coordinators {
            if !reached(coordinator.node_id, &mut coordinator.host, &mut coordinator.port) {
                gone(&mut coordinator.host, &mut coordinator.port, &mut coordinator.error_code);
            }
        }
    }
}

impl Outwards for DescribeQuorumResponse {
    fn replace(&mut self) {
        for node in &mut self.nodes {
            let id = node.node_id;
            node.listeners.retain_mut(|listener| {
                let mut port = i32::from(listener.port);
                let kept = reached(id, &mut listener.host, &mut port);
                listener.port = port as u16;
                kept
            });
        }
    }
}

/// Holds every version of an API to it; how many answers that were.
fn becomes<R: Outwards>(api_key: i16) -> usize {
    let of_api = rounds(Direction::Response).filter(|(api, _, version, _)| {
        api.key == api_key && place(api_key, *version) != Place::Nowhere && *version <= R::VERSIONS.max
    });
    let mut held = 0;
    for (api, message, version, seed) in of_api.flat_map(|(api, message, version, seed)| {
        (0..8).map(move |more| (api, message, version, seed + more * 15_485_863))
    }) {
        let stream = response(api, message, version, 0, seed);
        let size = 1 + Dice(seed).roll(stream.len());
        let passed = way_back(&stream, &[(api, version)], size, None).bytes;
        let body_at = if api.response_header_version(version) == 1 { 9 } else { 8 };
        let read = |frame: &[u8]| {
            assert_eq!(frame.len(), 4 + u32::from_be_bytes(*frame.first_chunk().unwrap()) as usize);
            let mut body = Bytes::copy_from_slice(&frame[body_at..]);
            let message = R::decode(&mut body, version).unwrap();
            assert!(body.is_empty(), "the codec reads all of it");
            message
        };
        let (mut expected, mut found) = (read(&stream), read(&passed));
        expected.replace();
        found.unpad();
        if expected != found {
            expected.without_hints();
        }
        assert_eq!(found, expected, "{} v{version}, seed {seed}, in pieces of {size}", api.name);
        held += 1;
    }
    held
}

#[test]
fn an_answer_with_addresses_is_read_as_the_same_one_with_the_gateways() {
    let held = [
        becomes::<ProduceResponse>(0),
        becomes::<FetchResponse>(1),
        becomes::<MetadataResponse>(3),
        becomes::<FindCoordinatorResponse>(10),
        becomes::<DescribeQuorumResponse>(55),
        becomes::<DescribeClusterResponse>(60),
        becomes::<ShareFetchResponse>(78),
        becomes::<ShareAcknowledgeResponse>(79),
    ];
    assert!(held.iter().all(|held| *held >= 48), "{held:?}");
}
