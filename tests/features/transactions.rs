//! Transactions: the newest producer of an id is the only one, what is aborted is never committed, records and offsets
//! come together, and none of it depends on which of the two protocols a client speaks.

use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    ApiVersionsRequest, DescribeTransactionsRequest, EndTxnRequest, FetchRequest, GroupId, OffsetFetchRequest,
    ProducerId, TransactionalId,
};
use loadtest::admin::{self, Coordinates, text, topic};
use loadtest::kafka::Cluster;
use loadtest::wait_for;
use loadtest::wire::Connection;
use serde_json::json;

use super::producer::{PROTOCOLS, Producer, Protocol, batch};
use super::programs::{Program, run};
use super::stage::{
    Isolation, SETTLED, Side, Topic, await_stored, await_through_all, cluster, cluster_alone, create_topic,
    partition_of, sides, stored, visible,
};

const INVALID_PRODUCER_EPOCH: i16 = 47;
const UNSTABLE_OFFSET_COMMIT: i16 = 88;
const PRODUCER_FENCED: i16 = 90;
/// What a producer is told that is not the one any more.
const FENCED: [i16; 2] = [INVALID_PRODUCER_EPOCH, PRODUCER_FENCED];
/// What it is told in the second protocol whose transaction has been ended for it.
const INVALID_TXN_STATE: i16 = 48;

const NEVER_TIMES_OUT_MS: i32 = 600_000;

fn tries() -> Vec<(Side, Protocol)> {
    sides().into_iter().flat_map(|side| PROTOCOLS.map(|protocol| (side, protocol))).collect()
}

#[test]
fn a_zombie_producer_is_fenced_and_nothing_it_writes_is_ever_committed() {
    let cluster = cluster();
    for (side, protocol) in tries() {
        let at = format!("{}, {protocol:?} protocol", side.runtime);
        let id = side.own(&format!("fenced-{}", protocol.name()));
        let topic = create_topic(&cluster, &id, &[&[2, 3]]);
        let init = || Producer::init(&side, &cluster, &id, protocol, NEVER_TIMES_OUT_MS);
        let mut old = init();
        assert_eq!(old.write(&topic, 0, &["old, while it was the one"]), 0, "{at}");
        let mut new = init();
        assert!(new.producer_id == old.producer_id && new.epoch > old.epoch, "{at}: {} {}", new.epoch, old.epoch);

        let error = old.write(&topic, 0, &["old, when it was not"]);
        assert!(FENCED.contains(&error), "{at}: a zombie's write: error {error}");
        let error = old.send_offset(&cluster, &id, &topic, 7);
        assert!(FENCED.contains(&error), "{at}: a zombie's offset: error {error}");
        let error = old.end(true);
        assert!(FENCED.contains(&error), "{at}: a zombie's commit: error {error}");

        assert_eq!(new.write(&topic, 0, &["new"]), 0, "{at}");
        assert_eq!(new.end(true), 0, "{at}");
        await_stored(&cluster, &topic, 0, Isolation::Committed, &["new"]);
        await_stored(&cluster, &topic, 0, Isolation::Uncommitted, &["old, while it was the one", "new"]);
        assert_eq!(committed_offset(&cluster, &id, &topic), (0, -1), "{at}");
    }
}

#[test]
fn what_is_aborted_or_still_open_is_seen_by_those_only_who_read_uncommitted() {
    let cluster = cluster();
    for (side, protocol) in tries() {
        let id = side.own(&format!("aborted-{}", protocol.name()));
        let topic = create_topic(&cluster, &id, &[&[3, 2]]);
        let mut producer = Producer::init(&side, &cluster, &id, protocol, NEVER_TIMES_OUT_MS);
        for (values, commit) in [(["a", "b"], false), (["c", "d"], true), (["e", "f"], false)] {
            assert_eq!(producer.write(&topic, 0, &values), 0);
            assert_eq!(producer.end(commit), 0);
        }
        await_stored(&cluster, &topic, 0, Isolation::Committed, &["c", "d"]);
        assert_eq!(producer.write(&topic, 0, &["open"]), 0);
        await_stored(&cluster, &topic, 0, Isolation::Uncommitted, &["a", "b", "c", "d", "e", "f", "open"]);

        for version in [4, 6, 11, 12, 13, 16, 17, 18] {
            for (isolation, expected) in [(Isolation::Committed, 2), (Isolation::Uncommitted, 7)] {
                let request = admin::fetch_request(&topic.name, topic.id, version, &[0], 1 << 20);
                let request: FetchRequest = request.with_isolation_level(isolation as i8);
                let through = partition_of(side.client(3).call(version, &request));
                let mut direct = Connection::open(cluster.address(3).unwrap()).unwrap();
                let direct = partition_of(direct.call(version, &request).unwrap());
                let at = format!("{}, {protocol:?} protocol, Fetch v{version}, {isolation:?}", side.runtime);
                assert_eq!(through, direct, "{at}");
                assert_eq!(visible(&through).len(), expected, "{at}");
                let aborted = through.aborted_transactions.map_or(0, |listed| listed.len());
                assert_eq!(aborted, if isolation == Isolation::Committed { 2 } else { 0 }, "{at}");
            }
        }
        assert_eq!(producer.end(true), 0);
        await_stored(&cluster, &topic, 0, Isolation::Committed, &["c", "d", "open"]);
    }
}

#[test]
fn offsets_and_records_of_a_transaction_come_together_or_not_at_all() {
    let cluster = cluster();
    for (side, protocol) in tries() {
        let at = format!("{}, {protocol:?} protocol", side.runtime);
        let id = side.own(&format!("atomic-{}", protocol.name()));
        let topic = create_topic(&cluster, &id, &[&[2, 1]]);
        let mut producer = Producer::init(&side, &cluster, &id, protocol, NEVER_TIMES_OUT_MS);
        for (offset, value, commit) in [(10, "lost", false), (20, "kept", true), (30, "lost again", false)] {
            assert_eq!(producer.write(&topic, 0, &[value]), 0, "{at}");
            assert_eq!(producer.send_offset(&cluster, &id, &topic, offset), 0, "{at}");
            let open = stable_offset_through(&side, &cluster, &id, &topic);
            assert_eq!(open.0, UNSTABLE_OFFSET_COMMIT, "{at}: an offset may come in a transaction still open");
            assert_eq!(producer.end(commit), 0, "{at}");
            let settled = wait_for("the transaction to be settled", SETTLED, || {
                let (error, offset) = stable_offset_through(&side, &cluster, &id, &topic);
                Ok((error != UNSTABLE_OFFSET_COMMIT).then_some((error, offset)))
            });
            let expected = (0, if offset == 10 { -1 } else { 20 });
            assert_eq!(settled.unwrap(), expected, "{at}");
            assert_eq!(committed_offset(&cluster, &id, &topic), expected, "{at}");
        }
        await_stored(&cluster, &topic, 0, Isolation::Committed, &["kept"]);
    }
}

#[test]
fn every_transaction_of_the_second_protocol_has_an_epoch_of_its_own_and_earlier_ones_are_refused() {
    let cluster = cluster();
    for side in sides() {
        let at = side.runtime;
        let features = side.client(1).call(3, &software()).finalized_features;
        let transactions = features.iter().find(|feature| feature.name.as_str() == "transaction.version");
        assert!(transactions.is_some_and(|feature| feature.max_version_level == 2), "{at}: {features:?}");
        let id = side.own("epochs");
        let topic = create_topic(&cluster, &id, &[&[2, 3]]);
        let mut producer = Producer::init(&side, &cluster, &id, Protocol::Second, NEVER_TIMES_OUT_MS);
        let values = ["one", "two", "three"];
        for (n, value) in values.into_iter().enumerate() {
            let epoch = producer.epoch;
            assert_eq!(producer.write(&topic, 0, &[value]), 0, "{at}");
            assert_eq!(producer.end(true), 0, "{at}");
            assert_eq!(producer.epoch, epoch + 1, "{at}");
            await_stored(&cluster, &topic, 0, Isolation::Committed, &values[..=n]);
            // What was under way when the transaction ended must not slip into the next one.
            let late = batch(&["late"]).producer(producer.producer_id, epoch, 1).transactional();
            let late = admin::produce_request(&topic.name, topic.id, 12, 0, -1, late.bytes());
            let late = late.with_transactional_id(Some(TransactionalId(text(&*id))));
            let answer = side.client(2).call(12, &late);
            let error = answer.responses[0].partition_responses[0].error_code;
            assert!(FENCED.contains(&error), "{at}: a write of the epoch before: error {error}");
        }
        await_stored(&cluster, &topic, 0, Isolation::Uncommitted, &values);
    }
}

#[test]
fn a_commit_asked_again_after_its_answer_was_lost_commits_once() {
    let cluster = cluster();
    for (side, protocol) in tries() {
        let at = format!("{}, {protocol:?} protocol", side.runtime);
        let id = side.own(&format!("asked-again-{}", protocol.name()));
        let topic = create_topic(&cluster, &id, &[&[2, 3]]);
        let mut producer = Producer::init(&side, &cluster, &id, protocol, NEVER_TIMES_OUT_MS);
        let epoch = producer.epoch;
        assert_eq!(producer.write(&topic, 0, &["once"]), 0, "{at}");
        let mut cut = side.coordinator(&cluster, Coordinates::Transaction, &id);
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&*id)))
            .with_producer_id(ProducerId(producer.producer_id))
            .with_producer_epoch(producer.epoch)
            .with_committed(true);
        cut.send(if protocol == Protocol::First { 4 } else { 5 }, &request);
        drop(cut);
        await_stored(&cluster, &topic, 0, Isolation::Committed, &["once"]);
        assert_eq!(producer.end(true), 0, "{at}");
        let raised = if protocol == Protocol::First { 0 } else { 1 };
        assert_eq!(producer.epoch, epoch + raised, "{at}: the answer that was lost");
        assert_eq!(producer.write(&topic, 0, &["twice"]), 0, "{at}");
        assert_eq!(producer.end(true), 0, "{at}");
        await_stored(&cluster, &topic, 0, Isolation::Committed, &["once", "twice"]);
    }
}

#[test]
fn a_transaction_past_its_timeout_is_aborted_and_its_producer_fenced() {
    const TIMEOUT_MS: i32 = 500;
    let cluster = cluster();
    for (side, protocol) in tries() {
        let at = format!("{}, {protocol:?} protocol", side.runtime);
        let id = side.own(&format!("timed-out-{}", protocol.name()));
        let topic = create_topic(&cluster, &id, &[&[3, 1]]);
        let mut producer = Producer::init(&side, &cluster, &id, protocol, TIMEOUT_MS);
        assert_eq!(producer.write(&topic, 0, &["too slow"]), 0, "{at}");
        wait_for("the abort of the transaction", SETTLED, || {
            let ids = vec![TransactionalId(text(&*id))];
            let asked = DescribeTransactionsRequest::default().with_transactional_ids(ids);
            let mut coordinator = side.coordinator(&cluster, Coordinates::Transaction, &id);
            let state = coordinator.call(0, &asked).transaction_states.remove(0).transaction_state;
            Ok((state.as_str() == "CompleteAbort").then_some(()))
        })
        .unwrap();
        let error = producer.write(&topic, 0, &["later"]);
        assert!(FENCED.contains(&error), "{at}: a write after the timeout: error {error}");
        let error = producer.end(true);
        let refused = FENCED.contains(&error) || (error, protocol) == (INVALID_TXN_STATE, Protocol::Second);
        assert!(refused, "{at}: a commit after the timeout: error {error}");
        await_stored(&cluster, &topic, 0, Isolation::Committed, &[]);
        await_stored(&cluster, &topic, 0, Isolation::Uncommitted, &["too slow"]);
    }
}

#[test]
fn consume_transform_produce_is_exactly_once_though_the_program_is_killed_midway() {
    let cluster = cluster();
    for side in sides() {
        let [source, sink] = ["source", "sink"].map(|what| create_topic(&cluster, &side.own(what), &[&[2, 3, 1]]));
        let values: Vec<String> = (0..40).map(|n| format!("v{n}")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let leader = cluster.address(2).unwrap();
        admin::produce(leader, &source.name, 0, batch(&values).bytes()).unwrap();
        let scene = |crash_after: Option<u32>| {
            json!({
                "bootstrap": side.gateway.bootstrap(), "source": source.name, "sink": sink.name,
                "group": side.own("transformers"), "transactional_id": side.own("transformer"),
                "crash_after": crash_after,
            })
        };
        let (status, _) = run("transform.py", &scene(Some(3))).unwrap();
        assert_eq!(status.code(), Some(9), "{}: it dies with a transaction open", side.runtime);
        let open = stored(&cluster, &sink, 0, Isolation::Uncommitted).unwrap();
        assert_eq!(open.len(), 20, "{}: three transactions of five records, and one that is open", side.runtime);
        let (status, output) = run("transform.py", &scene(None)).unwrap();
        assert!(status.success(), "{}: {}", side.runtime, output.stderr);
        let expected: Vec<String> = values.iter().map(|value| format!("{value}!")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        await_stored(&cluster, &sink, 0, Isolation::Committed, &expected);
        assert_eq!(committed_offset(&cluster, &side.own("transformers"), &source), (0, 40), "{}", side.runtime);
    }
}

#[test]
fn a_transaction_survives_the_death_of_its_coordinator_and_of_the_leader_it_writes_to() {
    let mut cluster = cluster_alone();
    for side in sides() {
        // A name whose coordinator is a broker that may be killed: broker 1 is the controller.
        let (id, doomed) = (0..)
            .map(|n| side.own(&format!("survives-{n}")))
            .find_map(|id| {
                let node = admin::coordinator(&cluster, Coordinates::Transaction, &id).unwrap();
                (node != 1).then_some((id, node))
            })
            .unwrap();
        let mut topic = create_topic(&cluster, &id, &[&[doomed, 5 - doomed, 1]]);
        let scene = json!({
            "bootstrap": side.gateway.bootstrap(), "topic": id, "transactional_id": id, "first": 50, "records": 100
        });
        let mut program = Program::start("numbers.py", &scene).unwrap();
        program.says("begun").unwrap();
        cluster.kill(doomed).unwrap();
        program.go_on().unwrap();
        program.says("sent").unwrap();
        cluster.start_again(doomed).unwrap();
        await_through_all(doomed);
        program.go_on().unwrap();
        program.ends_well().unwrap();
        topic.leaders = vec![leader(&cluster, &topic)];
        let expected: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        await_stored(&cluster, &topic, 0, Isolation::Committed, &expected);
        await_stored(&cluster, &topic, 0, Isolation::Uncommitted, &expected);
    }
}

/// Who leads partition 0 now, once all replicas follow.
fn leader(cluster: &Cluster, of: &Topic) -> i32 {
    super::leaders::settled(cluster, &of.name, 3).unwrap()
}

fn software() -> ApiVersionsRequest {
    ApiVersionsRequest::default().with_client_software_name(text("weir-test")).with_client_software_version(text("1"))
}

fn offset_fetch(group: &str, of: &Topic) -> OffsetFetchRequest {
    let asked = OffsetFetchRequestTopics::default().with_name(topic(&of.name)).with_partition_indexes(vec![0]);
    let asked = OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_topics(Some(vec![asked]));
    OffsetFetchRequest::default().with_groups(vec![asked])
}

/// Error and offset, as a consumer asks that waits for open transactions.
fn stable_offset_through(side: &Side, cluster: &Cluster, group: &str, of: &Topic) -> (i16, i64) {
    let mut coordinator = side.coordinator(cluster, Coordinates::Group, group);
    let answer = coordinator.call(8, &offset_fetch(group, of).with_require_stable(true));
    let partition = &answer.groups[0].topics[0].partitions[0];
    (partition.error_code, partition.committed_offset)
}

/// Error and offset, as the broker itself tells them.
pub fn committed_offset(cluster: &Cluster, group: &str, of: &Topic) -> (i16, i64) {
    let node = admin::coordinator(cluster, Coordinates::Group, group).unwrap();
    let mut coordinator = Connection::open(cluster.address(node).unwrap()).unwrap();
    let answer = coordinator.call(8, &offset_fetch(group, of)).unwrap();
    let partition = &answer.groups[0].topics[0].partitions[0];
    (partition.error_code, partition.committed_offset)
}
