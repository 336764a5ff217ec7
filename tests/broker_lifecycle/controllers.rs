//! The active controller dies while clients create topics through the gateway.

use std::collections::BTreeSet;

use kafka_protocol::messages::MetadataRequest;
use loadtest::operate;
use loadtest::stream::Plan;
use loadtest::wait_for;
use loadtest::wire::Connection;

use crate::world::{BACK, all_flow, all_hold, cluster, streams_to};

/// What an admin client may be told: it asks again. A topic is there already when the answer to the request that made it
/// was lost.
const ADMIN_ERRORS: [&str; 8] = [
    "OK",
    "TOPIC_ALREADY_EXISTS",
    "_TIMED_OUT",
    "_TRANSPORT",
    "REQUEST_TIMED_OUT",
    "NOT_CONTROLLER",
    "INVALID_REPLICATION_FACTOR",
    "BROKER_NOT_AVAILABLE",
];

#[test]
fn a_change_of_the_active_controller_under_admin_requests_loses_neither_a_topic_nor_a_record() {
    let mut cluster = cluster();
    let upstream = cluster.bootstrap();
    let mut streams = streams_to(&cluster, &upstream, "controller", |plan| Plan { admin: true, ..plan });
    let first = operate::active_controller(&cluster).unwrap();
    cluster.kill(first).unwrap();
    let second = operate::active_controller(&cluster).unwrap();
    let before: Vec<usize> = streams.iter().map(|through| through.stream.created().unwrap().0.len()).collect();
    all_flow(&mut streams);
    for (through, before) in streams.iter().zip(before) {
        wait_for("topics made with another controller", BACK, || {
            Ok((through.stream.created()?.0.len() > before + 1).then_some(()))
        })
        .unwrap_or_else(|e| {
            let (created, told) = through.stream.created().unwrap();
            let (count, last) = (created.len(), &told[told.len().saturating_sub(20)..]);
            panic!(
                "{}: {e:?}: {before} before, {count} now, last told {last:?}\n{}",
                through.runtime,
                through.gateway.log()
            )
        });
    }
    cluster.start_again(first).unwrap();
    operate::wait_in_sync(&cluster).unwrap();
    all_flow(&mut streams);
    let created: Vec<_> = streams.iter().map(|through| through.stream.created().unwrap()).collect();
    let there: BTreeSet<String> = {
        let address = cluster.address(second).unwrap();
        let answer =
            Connection::open(address).unwrap().call(12, &MetadataRequest::default().with_topics(None)).unwrap();
        answer.topics.iter().filter_map(|topic| topic.name.as_ref().map(|name| name.to_string())).collect()
    };
    for (through, (created, told)) in streams.iter().zip(created) {
        assert!(created.len() >= 10, "{}: only {created:?}", through.runtime);
        let strange: Vec<_> = told.iter().filter(|code| !ADMIN_ERRORS.contains(&code.as_str())).collect();
        assert!(strange.is_empty(), "{}: {strange:?}", through.runtime);
        let missing: Vec<_> = created.iter().filter(|name| !there.contains(*name)).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", through.runtime);
    }
    all_hold(streams, &cluster);
}
