//! What is not in the table: versions beside those served, keys that no Kafka has, and all that only brokers say to
//! each other, in bodies that the broker itself would take. Each is refused or closed, whatever the listener allows.

use std::collections::BTreeSet;

use bytes::BytesMut;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Message, Request};
use weir::wire::kafka::api::{self, Api, Class, key};
use weir::wire::kafka::layout::Direction;

use super::arena::{Arena, Outcome, address, ask, says_no};
use super::generated::Sent;
use super::sample::{Shape, framed, header, layout, sample};

/// Makes an API's key and a body of it in a version.
type Body = fn(i16) -> (i16, Vec<u8>);

/// Lawful bodies of what only brokers say, by API key; where a library lacks a version, that of the last it has.
const BETWEEN_BROKERS: &[Body] = &[
    empty::<WriteTxnMarkersRequest>,
    empty::<VoteRequest>,
    empty::<BeginQuorumEpochRequest>,
    empty::<EndQuorumEpochRequest>,
    empty::<AlterPartitionRequest>,
    empty::<EnvelopeRequest>,
    empty::<FetchSnapshotRequest>,
    empty::<BrokerRegistrationRequest>,
    empty::<BrokerHeartbeatRequest>,
    empty::<AllocateProducerIdsRequest>,
    empty::<ControllerRegistrationRequest>,
    empty::<AssignReplicasToDirsRequest>,
    empty::<UpdateRaftVoterRequest>,
    empty::<InitializeShareGroupStateRequest>,
    empty::<ReadShareGroupStateRequest>,
    empty::<WriteShareGroupStateRequest>,
    empty::<DeleteShareGroupStateRequest>,
    empty::<ReadShareGroupStateSummaryRequest>,
];

fn empty<R: Request + Default>(version: i16) -> (i16, Vec<u8>) {
    let mut body = BytesMut::new();
    let codec = <R as Message>::VERSIONS;
    R::default().encode(&mut body, version.clamp(codec.min, codec.max)).unwrap();
    (R::KEY, body.to_vec())
}

/// A request that no listener lets pass.
struct Outsider {
    key: i16,
    version: i16,
    body: Vec<u8>,
}

/// Sends all of it, to listeners that allow changes of security and to others.
pub fn run(arena: &Arena) -> Sent {
    let mut sent = Sent::default();
    let all: Vec<Outsider> = [between_brokers(), beside_what_is_served(), of_no_api()].into_iter().flatten().collect();
    for outsider in &all {
        for gateway in [&arena.gateway, &arena.open] {
            let name = arena.names().0[1].clone();
            let frame = framed(&header(outsider.key, outsider.version, Some(&name), &[0]), &outsider.body);
            let place = format!("{} {} v{}", api::name(outsider.key), outsider.key, outsider.version);
            match ask(gateway.broker_address(1).unwrap(), &frame) {
                Ok(Outcome::Closed) => {}
                Ok(Outcome::Answer(answer)) if says_no(&answer) => {}
                other => sent.wrong.push(format!("{place}: {other:?}")),
            }
            sent.kept_back.push((name, outsider.key, outsider.version));
        }
    }
    the_broker_would_have_obeyed(&all);
    sent
}

/// Of what is served to brokers on this same address: that a client cannot say it is Weir's doing.
fn the_broker_would_have_obeyed(all: &[Outsider]) {
    let answered: BTreeSet<i16> = all
        .iter()
        .filter(|outsider| {
            let frame = framed(&header(outsider.key, outsider.version, Some("direct"), &[0]), &outsider.body);
            matches!(ask(address(), &frame), Ok(Outcome::Answer(_)))
        })
        .map(|outsider| outsider.key)
        .collect();
    for key in [key::WRITE_TXN_MARKERS, key::READ_SHARE_GROUP_STATE, key::WRITE_SHARE_GROUP_STATE] {
        assert!(answered.contains(&key), "{}: {answered:?}", api::name(key));
    }
}

fn between_brokers() -> Vec<Outsider> {
    let refused = || api::TABLE.iter().filter(|row| row.class == Class::Refused);
    let mut all = Vec::new();
    for row in refused() {
        // Where none is defined any more, what a broker of old would have sent first.
        let versions = if row.defined.is_empty() { 0..=0 } else { row.defined.min..=row.defined.max + 1 };
        for version in versions {
            let lawful = BETWEEN_BROKERS.iter().map(|body| body(version)).find(|(key, _)| *key == row.key);
            assert!(lawful.is_some() || row.defined.is_empty(), "{} has no body here", row.name);
            let body = lawful.map_or(Vec::new(), |(_, body)| body);
            all.push(Outsider { key: row.key, version, body });
        }
    }
    all
}

fn beside_what_is_served() -> Vec<Outsider> {
    let mut all = Vec::new();
    for row in api::TABLE.iter().filter(|row| !matches!(row.class, Class::Refused | Class::Here)) {
        let defined = row.defined.min..=row.defined.max;
        let beside = [row.served.min - 1, row.served.max + 1, row.defined.max + 1, -1, i16::MIN, i16::MAX];
        let versions: BTreeSet<i16> = beside.into_iter().chain(defined).filter(|v| !row.serves(*v)).collect();
        all.extend(versions.into_iter().map(|version| of_row(row, version)));
    }
    all
}

/// In the layout of that version, or of the nearest that has one.
fn of_row(row: &Api, version: i16) -> Outsider {
    let message = layout(row.key, Direction::Request).unwrap();
    let nearest = version.clamp(message.versions.first, message.versions.last);
    Outsider { key: row.key, version, body: sample(message, nearest, Shape::Full, "outside").body }
}

fn of_no_api() -> Vec<Outsider> {
    let first = i16::try_from(api::TABLE.len()).unwrap();
    let keys = [first, first + 1, 500, i16::MAX, -1, i16::MIN];
    let of = |key| [0, 1].map(|version| Outsider { key, version, body: vec![0; 16] });
    keys.into_iter().flat_map(of).collect()
}
