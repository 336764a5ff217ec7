//! What actions would come to, on topics and groups whose numbers are known.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;
use loadtest::admin::{self, text};
use loadtest::kafka;
use loadtest::scratch::Scratch;
use loadtest::wire::Connection;
use weir::control::approvals::effect::effect;
use weir::limits;
use weir::policy::{Action, ActionEffect, ActionItem, ActionKind, HeldOperation};
use weir::recorder::{Queries, open_read_only};
use weir::upstream::CredentialOptions;
use zeroize::Zeroizing;

use crate::groups;
use crate::recorder_support::{self, SECOND_NS};
use crate::world::*;

fn item(kind: ActionKind, name: &str, parameters: &[(&str, &str)]) -> ActionItem {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ActionItem { kind, name: name.to_owned(), parameters }
}

pub fn of_topic(name: &str, parameters: &[(&str, &str)]) -> ActionItem {
    item(ActionKind::Topic, name, parameters)
}

/// Spawned, as whoever shows it does not wait for it either.
fn effect_of(
    weir: &Weir,
    recording: Option<Queries>,
    operation: HeldOperation,
    items: Vec<ActionItem>,
) -> ActionEffect {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (cluster, action) = (weir.cluster.clone(), Action::new("main", operation, items, Vec::new()));
    let found = async move { effect(&cluster, recording.as_ref(), &action).await };
    runtime.block_on(runtime.spawn(found)).unwrap()
}

/// As `about what: value`, where nothing is amiss.
pub fn facts(weir: &Weir, operation: HeldOperation, items: Vec<ActionItem>) -> Vec<String> {
    let effect = effect_of(weir, None, operation, items);
    assert_eq!(effect.trouble, None, "{effect:?}");
    told(&effect)
}

fn told(effect: &ActionEffect) -> Vec<String> {
    effect.facts.iter().map(|fact| format!("{} {}: {}", fact.about, fact.what, fact.value)).collect()
}

/// What a partition's segments take on the broker's disk.
fn segment_bytes(kafka: &kafka::Cluster, topic: &str, partition: i32) -> u64 {
    let files = std::fs::read_dir(kafka.segments(1, topic, partition)).unwrap().map(Result::unwrap);
    let logs = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
    logs.map(|file| file.metadata().unwrap().len()).sum()
}

/// 10 and 5 records, 4 of which are gone, and groups of each kind: two with a member, two without.
fn doomed(kafka: &kafka::Cluster, name: &str) {
    topic(kafka, name, &[1, 1], &[10, 5]);
    delete_records(kafka, 1, name, 0, 4);
    for (group, offsets) in [("idle", [6, 5]), ("busy", [10, 4]), ("modern", [10, 5])] {
        commit(kafka, &format!("{name}-{group}"), name, &offsets);
    }
    groups::join_classic(kafka, &format!("{name}-busy"), name);
}

#[test]
fn deleting_a_topic_tells_what_is_lost_and_who_reads_it() {
    let (kafka, weir) = (&world().kafka, plain());
    doomed(kafka, "doomed");
    groups::join_consumer(kafka, "doomed-modern", "doomed");
    groups::share(kafka, "doomed-shared", "doomed", 1, 3);
    let bytes = segment_bytes(kafka, "doomed", 0) + segment_bytes(kafka, "doomed", 1);
    assert!((1..1024).contains(&bytes), "{bytes}");
    let items = || vec![of_topic("doomed", &[]), of_topic("no-such-topic", &[])];
    let deleted = [
        "no-such-topic exists: it does not exist".to_owned(),
        "doomed partitions: 2 partitions, 1 replica each".to_owned(),
        "doomed records: 11 records".to_owned(),
        format!("doomed bytes: {bytes} B"),
        "doomed groups: 4 groups read it, 2 active".to_owned(),
        "doomed group: doomed-busy: active, 1 member, 1 record behind".to_owned(),
        "doomed group: doomed-idle: empty, 4 records behind".to_owned(),
        "doomed group: doomed-modern: active, 1 member, 0 records behind".to_owned(),
        "doomed group: doomed-shared: empty, 2 records behind".to_owned(),
    ];
    assert_eq!(facts(weir, HeldOperation::DeleteTopics, items()), deleted);
    // Who would read or write all of it is told how much it is.
    for operation in [HeldOperation::Produce, HeldOperation::Fetch] {
        assert_eq!(facts(weir, operation, items()), deleted[..4]);
    }
    let action = facts(weir, HeldOperation::DeleteGroups, ["doomed-busy", "doomed-idle", "nobody"].map(group).to_vec());
    assert_eq!(
        action,
        [
            "doomed-busy members: active, 1 member",
            "doomed-busy topics: positions on 1 topic are lost: doomed",
            "doomed-idle members: empty",
            "doomed-idle topics: positions on 1 topic are lost: doomed",
            "nobody exists: it does not exist",
        ]
    );
}

fn group(name: &str) -> ActionItem {
    item(ActionKind::Group, name, &[])
}

#[test]
fn creating_topics_tells_what_exists_and_how_large_they_get() {
    let (kafka, weir) = (&world().kafka, plain());
    topic(kafka, "made-before", &[1, 1, 1], &[]);
    let items = vec![
        of_topic("made-before", &[("num_partitions", "6"), ("replication_factor", "3"), ("config retention.ms", "1")]),
        of_topic("made-plain", &[("num_partitions", "-1"), ("replication_factor", "-1")]),
        of_topic("made-placed", &[("partition 0", "replicas=1,2"), ("partition 1", "replicas=2,1")]),
    ];
    let created = facts(weir, HeldOperation::CreateTopics, items);
    assert_eq!(
        created,
        [
            "made-before exists: it exists already, with 3 partitions, 1 replica each",
            "made-before partitions: 6 partitions",
            "made-before replication: 3 replicas",
            "made-placed exists: it does not exist yet",
            "made-placed partitions: 2 partitions",
            "made-placed replication: 2 replicas",
            "made-plain exists: it does not exist yet",
            "made-plain partitions: 1 partition, by the cluster's default",
            "made-plain replication: 1 replica, by the cluster's default",
        ]
    );
    let more = facts(weir, HeldOperation::CreatePartitions, vec![of_topic("made-before", &[("count", "1200")])]);
    assert_eq!(more, ["made-before partitions: 3 -> 1,200 partitions: keys move to others"]);
    assert!(!topics(kafka).iter().any(|name| name.starts_with("made-p")), "asking creates none");
}

#[test]
fn changing_settings_tells_old_and_new() {
    let (kafka, weir) = (&world().kafka, plain());
    let setting =
        |name: &str, value: &str| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)));
    let made = admin::placed("tuned", &[&[1]]);
    let made = made.with_configs(vec![setting("retention.ms", "1000"), setting("cleanup.policy", "compact")]);
    let request = CreateTopicsRequest::default().with_topics(vec![made]).with_timeout_ms(20_000);
    let answer = Connection::open(kafka.address(1).unwrap()).unwrap().call(7, &request).unwrap();
    assert_eq!(answer.topics[0].error_code, 0);
    admin::await_topic(kafka, "tuned", &[1]).unwrap();
    let changed =
        |parameters: &[(&str, &str)]| facts(weir, HeldOperation::AlterConfigs, vec![of_topic("tuned", parameters)]);
    // The brokers' default of `retention.ms` is a number of hours, so it is not shown.
    let incremental = [
        ("config cleanup.policy", "append delete"),
        ("config max.message.bytes", "set 2000"),
        ("config no.such.setting", "set x"),
        ("config retention.ms", "delete"),
    ];
    assert_eq!(
        changed(&incremental),
        [
            "tuned setting: cleanup.policy: compact -> with delete",
            "tuned setting: max.message.bytes: 1048588 (default) -> 2000",
            "tuned setting: no.such.setting: not set -> x",
            "tuned setting: retention.ms: 1000 -> its default",
        ]
    );
    // Where the whole is replaced, what is not named goes back to its default.
    assert_eq!(
        changed(&[("config retention.ms", "2000")]),
        ["tuned setting: retention.ms: 1000 -> 2000", "tuned setting: cleanup.policy: compact -> delete (default)"]
    );
    let brokers = vec![
        item(ActionKind::Broker, "", &[("config log.cleaner.threads", "set 2")]),
        item(ActionKind::Broker, "1", &[("config log.cleaner.threads", "set 2")]),
    ];
    assert_eq!(
        facts(weir, HeldOperation::AlterConfigs, brokers),
        ["all brokers setting: log.cleaner.threads: not set -> 2", "1 setting: log.cleaner.threads: 1 (default) -> 2"]
    );
}

#[test]
fn deleting_records_tells_which_share_goes_and_who_has_not_read_it() {
    let (kafka, weir) = (&world().kafka, plain());
    topic(kafka, "shrinking", &[1, 1], &[10, 5]);
    delete_records(kafka, 1, "shrinking", 0, 2);
    commit(kafka, "shrinking-slow", "shrinking", &[4, 5]);
    commit(kafka, "shrinking-fast", "shrinking", &[9, 0]);
    let gone = of_topic("shrinking", &[("partition 0", "offset=7"), ("partition 1", "offset=-1")]);
    assert_eq!(
        facts(weir, HeldOperation::DeleteRecords, vec![gone]),
        [
            "shrinking records: 10 of 13 records go (77 %)",
            "shrinking group: shrinking-slow: empty, at 4 in partition 0: 3 records go that it has not read",
            "shrinking group: shrinking-fast: empty, at 0 in partition 1: 5 records go that it has not read",
        ]
    );
}

#[test]
fn moving_positions_tells_what_is_read_again_and_what_is_skipped() {
    let (kafka, weir) = (&world().kafka, plain());
    topic(kafka, "replayed", &[1, 1, 1], &[10, 5, 5]);
    delete_records(kafka, 1, "replayed", 0, 3);
    commit(kafka, "replayers", "replayed", &[8, 2]);
    let targets = [("partition 0", "offset=0"), ("partition 1", "offset=5"), ("partition 2", "offset=1")];
    let expected = [
        "replayers members: empty",
        "replayers position: replayed partition 0: 8 -> 0, 5 records read again",
        "replayers position: replayed partition 1: 2 -> 5, 3 records skipped",
        "replayers position: replayed partition 2: none -> 1",
        "replayers lag: 5 records read again, 3 skipped; 11 behind afterwards",
    ];
    let reset = facts(weir, HeldOperation::ResetOffsets, vec![group("replayers"), of_topic("replayed", &targets)]);
    assert_eq!(reset, expected);
    // However group and topic are told.
    let by_group = targets.map(|(partition, offset)| (format!("replayed {partition}"), offset));
    let by_group: Vec<(&str, &str)> = by_group.iter().map(|(name, value)| (&**name, *value)).collect();
    let reset = facts(weir, HeldOperation::ResetOffsets, vec![item(ActionKind::Group, "replayers", &by_group)]);
    assert_eq!(reset, expected);
    // Positions that are removed (OffsetDelete), and a group that is not there yet.
    let removed = vec![group("replayers"), of_topic("replayed", &[("partition 0", "")])];
    assert_eq!(
        facts(weir, HeldOperation::ResetOffsets, removed)[1],
        "replayers position: replayed partition 0: 8 -> none"
    );
    let new = vec![group("newcomers"), of_topic("replayed", &[("partition 1", "offset=5")])];
    assert_eq!(
        facts(weir, HeldOperation::ResetOffsets, new),
        [
            "newcomers exists: it does not exist yet",
            "newcomers position: replayed partition 1: none -> 5",
            "newcomers lag: 0 records read again, 0 skipped; 0 behind afterwards"
        ]
    );
}

#[test]
fn moving_replicas_and_leaders_tells_what_is_copied_and_led_by_whom() {
    let (kafka, weir) = (&world().kafka, plain());
    topic(kafka, "moving", &[1, 1], &[10, 0]);
    let bytes = segment_bytes(kafka, "moving", 0);
    let targets = [("partition 0", "replicas=1,2,3"), ("partition 1", "null"), ("partition 7", "replicas=1")];
    assert_eq!(
        facts(weir, HeldOperation::AlterReassignments, vec![of_topic("moving", &targets)]),
        [
            format!("moving moves: partition 0: brokers 1 -> 1,2,3, {} B copied to 2 brokers", 2 * bytes),
            "moving moves: partition 1: a move under way is called off".to_owned(),
            "moving moves: partition 7: there is none".to_owned(),
            format!("cluster bytes: {} B move", 2 * bytes),
        ]
    );
    assert_eq!(
        facts(weir, HeldOperation::ElectLeaders, vec![of_topic("moving", &[("partition 0", "")])]),
        ["moving leaders: 1 partition: 0 led by another broker than preferred, 0 by none"]
    );
    assert_eq!(facts(weir, HeldOperation::ElectLeaders, Vec::new()), ["cluster leaders: all partitions of all topics"]);
}

#[test]
fn users_and_quotas_are_named() {
    let user = item(ActionKind::User, "alice", &[("mechanism", "SCRAM-SHA-512")]);
    assert_eq!(facts(plain(), HeldOperation::AlterUsers, vec![user]), ["alice user: mechanism SCRAM-SHA-512"]);
    let quota = item(ActionKind::Quota, "", &[("producer_byte_rate", "set 1000")]);
    assert_eq!(facts(plain(), HeldOperation::AlterQuotas, vec![quota]), ["default quota: producer_byte_rate set 1000"]);
}

#[test]
fn the_last_writer_is_who_the_recording_names() {
    let (kafka, weir) = (&world().kafka, plain());
    topic(kafka, "written", &[1], &[1]);
    topic(kafka, "unwritten", &[1], &[1]);
    let dir = Scratch::new("weir-last-writer-").unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let second = now - now % SECOND_NS;
    let (recorder, mut journals) = recorder_support::open(dir.path(), 1);
    // One who wrote long before it went away, one who wrote last, one who wrote elsewhere, one who only read.
    for (no, who, wrote, topic) in
        [(1, "early", 7200, "written"), (2, "late", 60, "written"), (3, "elsewhere", 30, "unwritten-too")]
    {
        let journal = &mut journals[0];
        recorder_support::append(journal, no, second - 9000 * SECOND_NS, recorder_support::opened("10.0.0.1:1000"));
        recorder_support::append(journal, no, second - 9000 * SECOND_NS, recorder_support::identified(who, "loader"));
        let at = second - wrote * SECOND_NS;
        recorder_support::append(journal, no, at, recorder_support::produce_noted(0, topic, 3));
        recorder_support::append(journal, no, at, recorder_support::produce_answered(0, topic, 0));
        recorder_support::append(journal, no, second - 5 * SECOND_NS, recorder_support::fetch(1, "written", 0, 3));
        recorder_support::append(journal, no, second - SECOND_NS, recorder_support::closed());
    }
    recorder_support::settle(&recorder);
    drop(journals);
    recorder.shutdown().unwrap();
    let queries = open_read_only(dir.path()).unwrap();
    let items = vec![of_topic("unwritten", &[]), of_topic("written", &[])];
    let effect = effect_of(weir, Some(queries), HeldOperation::DeleteTopics, items);
    let at = weir::recorder::Rfc3339(second - 60 * SECOND_NS);
    let writers: BTreeSet<String> = told(&effect).into_iter().filter(|fact| fact.contains("last_writer")).collect();
    let expected = [
        "unwritten last_writer: none is recorded".to_owned(),
        format!("written last_writer: late (client loader) at {at}"),
    ];
    assert_eq!(writers, BTreeSet::from(expected));
}

#[test]
fn what_a_broker_does_not_tell_is_said_and_stops_nothing() {
    let options = kafka::Options {
        users: vec![(USER.to_owned(), PASSWORD.to_owned())],
        properties: vec![
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
            "super.users=User:ANONYMOUS".to_owned(),
        ],
        ..Default::default()
    };
    let kafka = kafka::Cluster::start(1, options).unwrap();
    topic(&kafka, "secret", &[1], &[3]);
    let password = Arc::new(Zeroizing::new(PASSWORD.to_owned()));
    let credential = CredentialOptions::Plain { username: USER.to_owned(), password };
    let side = weir(&kafka.sasl_bootstrap(), None, Some(credential));
    for operation in HeldOperation::all() {
        let items = vec![of_topic("secret", &[("partition 0", "offset=1")]), group("any")];
        let effect = effect_of(&side, None, operation, items);
        let knows_all = [HeldOperation::AlterUsers, HeldOperation::AlterQuotas, HeldOperation::ChangePolicy];
        assert_eq!(effect.trouble.is_none(), knows_all.contains(&operation), "{operation}: {effect:?}");
    }
    // A broker that hangs, and one that is gone.
    let side = weir(&kafka.bootstrap(), None, None);
    kafka.pause(1).unwrap();
    let began = Instant::now();
    let hanging = effect_of(&side, None, HeldOperation::DeleteTopics, vec![of_topic("secret", &[])]);
    assert!(began.elapsed() < limits::EFFECT_WAIT + Duration::from_secs(5), "{:?}", began.elapsed());
    let said = hanging.trouble.unwrap();
    assert!(said.contains("broker 1 did not answer within 5 s"), "{said}");
    assert!(!said.contains("127.0.0.1"), "{said}");
    kafka.resume(1).unwrap();
    drop(kafka);
    let gone = effect_of(&side, None, HeldOperation::DeleteTopics, vec![of_topic("secret", &[])]);
    assert!(gone.trouble.unwrap().contains("broker 1 cannot be reached"));
}

#[test]
fn brokers_one_major_version_older_tell_the_same() {
    let options = kafka::Options { version: kafka::OLDER, ..Default::default() };
    let kafka = kafka::Cluster::start(1, options).unwrap();
    let weir = weir(&kafka.bootstrap(), None, None);
    doomed(&kafka, "old");
    let told = facts(&weir, HeldOperation::DeleteTopics, vec![of_topic("old", &[])]);
    let expected = [
        "old partitions: 2 partitions, 1 replica each",
        "old records: 11 records",
        "old groups: 3 groups read it, 1 active",
        "old group: old-busy: active, 1 member, 1 record behind",
        "old group: old-idle: empty, 4 records behind",
        "old group: old-modern: empty, 0 records behind",
    ];
    assert_eq!(told.iter().filter(|fact| !fact.starts_with("old bytes")).collect::<Vec<_>>(), expected);
    let tuned = vec![of_topic("old", &[("config retention.ms", "set 5")])];
    assert_eq!(
        facts(&weir, HeldOperation::AlterConfigs, tuned),
        ["old setting: retention.ms: 604800000 (default) -> 5"]
    );
}
