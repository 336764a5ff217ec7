//! What is not in the table: versions beside those served, keys that no Kafka has, and all that only brokers say to
//! each other, in bodies that the broker itself would take. Each is refused or closed, whatever the listener allows. A
//! broker's log holds what it answered; before one that writes down every frame it gets, none is to be seen either.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Mutex, mpsc};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Message, Request};
use loadtest::fake_broker::{Act, FakeBroker};
use loadtest::weir::Options;
use weir::pipeline::guard::{CLUSTER_AUTHORIZATION_FAILED, UNSUPPORTED_VERSION};
use weir::wire::kafka::api::{self, Api, Class, key};
use weir::wire::kafka::layout::Direction;

use super::arena::{Arena, Outcome, address, ask, refuses};
use super::common;
use super::generated::Sent;
use super::sample::{Shape, framed, header, layout, sample};

/// The codes by which Weir refuses what it never lets pass.
const NO: [i16; 2] = [CLUSTER_AUTHORIZATION_FAILED, UNSUPPORTED_VERSION];

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
    let all = outsiders();
    for outsider in &all {
        for gateway in [&arena.gateway, &arena.open] {
            let name = arena.names().0[1].clone();
            sent.wrong.extend(outsider.is_let_in(gateway.broker_address(1).unwrap(), &name));
            sent.kept_back.push((name, outsider.key, outsider.version));
        }
    }
    the_broker_would_have_obeyed(&all);
    sent
}

/// The same before a broker that writes down what it gets: gives what reached it, and what was neither refused nor
/// closed.
pub fn reaches_nobody(runtime: &str) -> Vec<String> {
    let (tell, arrived) = mpsc::channel::<Bytes>();
    let tell = Mutex::new(tell);
    let broker = FakeBroker::start(0, move |asked| {
        tell.lock().unwrap().send(asked.frame.clone()).unwrap();
        Act::Send(asked.answer.clone())
    });
    let mut options = Options::new(broker.unwrap().address().to_string()).runtime(runtime);
    options.listener = vec!["allow_security_changes: true".to_owned()];
    let gateway = common::gateway(options);
    let all = outsiders();
    let mut wrong: Vec<String> =
        all.iter().filter_map(|outsider| outsider.is_let_in(gateway.address(), "outsider")).collect();
    // What is lawful does reach it, after all that came before.
    let known = api::lookup(key::METADATA).unwrap();
    let lawful = of_row(known, 9).frame("insider");
    assert!(matches!(ask(gateway.address(), &lawful), Ok(Outcome::Answer(_))));
    let arrived: Vec<Bytes> = arrived.try_iter().collect();
    assert_eq!(arrived.last(), Some(&lawful.slice(4..)), "{runtime}");
    wrong.extend(arrived[..arrived.len() - 1].iter().map(|frame| format!("reached the broker: {frame:?}")));
    wrong
}

fn outsiders() -> Vec<Outsider> {
    [between_brokers(), beside_what_is_served(), of_no_api()].into_iter().flatten().collect()
}

impl Outsider {
    fn frame(&self, name: &str) -> Bytes {
        framed(&header(self.key, self.version, Some(name), &[0]), &self.body)
    }

    /// Sends it; none where it is refused, in its API's own form, or closed.
    fn is_let_in(&self, door: SocketAddr, name: &str) -> Option<String> {
        let Outsider { key, version, .. } = *self;
        let outcome = ask(door, &self.frame(name)).map_err(|e| e.to_string());
        let refused = match &outcome {
            Ok(Outcome::Closed) => Ok(true),
            Ok(Outcome::Answer(answer)) => refuses(key, version, answer, &NO),
            Err(why) => Err(why.clone()),
        };
        (refused != Ok(true)).then(|| format!("{} {key} v{version}: {outcome:?}, {refused:?}", api::name(key)))
    }
}

/// Of what is served to brokers on this same address: that a client cannot say it is Weir's doing.
fn the_broker_would_have_obeyed(all: &[Outsider]) {
    let answered: BTreeSet<i16> = all
        .iter()
        .filter(|outsider| matches!(ask(address(), &outsider.frame("direct")), Ok(Outcome::Answer(_))))
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
