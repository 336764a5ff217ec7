//! The script as a client plays it, and what has to have come of it: what the client read, what lies on the brokers.

use std::collections::{BTreeMap, BTreeSet};

use loadtest::clients::{CODECS, Played, Record, Scene, Step, Target};
use loadtest::kafka::Cluster;
use loadtest::weir::Gateway;

use crate::stored;
use crate::table::{RECORDS_PER_CODEC, Row, TABLE};

const PARTITIONS: u32 = 3;
const REPLICATION: u16 = 3;
/// Each of the two transactions has as many records.
const IN_TRANSACTION: usize = 12;

/// All clients at once: they wait for their own starts more than for anything else.
pub fn side_by_side(play: impl Fn(&'static Row) + Sync) {
    static ROWS: &[Row] = &TABLE;
    std::thread::scope(|scope| {
        for row in ROWS {
            let play = &play;
            scope.spawn(move || play(row));
        }
    });
}

/// Plays those of the steps that the client can, the topic's making as a scene of its own, and compares what it read.
pub fn perform(cluster: &Cluster, row: &Row, target: &Target, topic: &str, steps: &[Step]) -> Played {
    let mut can = row.can(steps);
    let (script, group) = (row.script(), format!("{topic}-group"));
    let play = |steps: &[Step]| {
        let (partitions, replication) = (PARTITIONS, REPLICATION);
        let scene = Scene { target, steps, topic, partitions, replication, group: &group, script: &script };
        row.client.perform(&scene).unwrap()
    };
    if steps.contains(&Step::Create) {
        match can.iter().position(|step| *step == Step::Create) {
            Some(at) => drop(play(&[can.remove(at)])),
            None => drop(loadtest::admin::create_topic(cluster, topic, &[1, 2, 3]).unwrap()),
        }
        stored::settled(cluster, topic, PARTITIONS as usize);
    }
    let played = play(&can);
    let mut sent: Vec<Record> = script.values().flatten().cloned().collect();
    sent.sort();
    for step in can.into_iter().filter(|step| matches!(step, Step::Consume | Step::Seek)) {
        let mut read = played.records(step).unwrap();
        read.sort();
        assert_eq!(read, sent, "{topic}, {}", step.name());
    }
    played
}

/// Plays all that the client can, and holds it against what lies on the brokers.
pub fn plays_the_whole_script(cluster: &Cluster, row: &Row, gateway: &Gateway, target: &Target, topic: &str) {
    // The second act takes away what the first one left to look at.
    let at = Step::ALL.iter().position(|step| *step == Step::DeleteRecords).unwrap();
    let (first, second) = Step::ALL.split_at(at);
    let played = perform(cluster, row, target, topic, first);
    let sent = CODECS.len() * RECORDS_PER_CODEC;
    let expected: BTreeMap<String, usize> = CODECS.iter().map(|c| ((*c).to_owned(), RECORDS_PER_CODEC)).collect();
    let stored = stored::stored(cluster, topic);
    assert_eq!(stored.by_codec, expected, "{topic}: records in the brokers' logs by their batch's codec");
    let committed = stored::committed(cluster, &format!("{topic}-group"), topic);
    assert_eq!(usize::try_from(committed).unwrap(), sent, "{topic}: what the group committed");
    if row.can(first).contains(&Step::Transaction) {
        reads_what_is_committed_only(cluster, &played, topic);
    }
    learns_only(gateway, &played, topic);

    if row.can(second).is_empty() {
        return;
    }
    let played = perform(cluster, row, target, topic, second);
    learns_only(gateway, &played, topic);
    for step in row.can(second) {
        let outcome = played.outcome(step).unwrap();
        match step {
            Step::DeleteRecords => {
                assert_eq!(stored::earliest(cluster, topic, 0), 1, "{topic}: {outcome}");
            }
            Step::DescribeTopic => assert_eq!(outcome["partitions"], PARTITIONS, "{topic}: {outcome}"),
            Step::DescribeCluster => {
                let brokers: BTreeSet<_> =
                    outcome["addresses"].as_array().unwrap().iter().map(|a| a.as_str()).collect();
                assert_eq!(brokers.len(), 3, "{topic}: {outcome}");
            }
            Step::DescribeConfigs => assert_eq!(outcome["cleanup.policy"], "delete", "{topic}: {outcome}"),
            Step::DescribeGroup => {
                assert!(outcome["state"].as_str().unwrap().eq_ignore_ascii_case("empty"), "{topic}: {outcome}");
            }
            other => panic!("{} is of the first act", other.name()),
        }
    }
}

fn reads_what_is_committed_only(cluster: &Cluster, played: &Played, topic: &str) {
    let outcome = played.outcome(Step::Transaction).unwrap();
    let values = outcome["values"].as_array().unwrap().iter();
    let read: BTreeSet<String> = values.map(|value| value.as_str().unwrap().to_owned()).collect();
    let expected: BTreeSet<String> = (0..IN_TRANSACTION).map(|n| format!("committed-{n}")).collect();
    assert_eq!(read, expected, "{topic}");
    let stored = stored::stored(cluster, &format!("{topic}-transactions"));
    assert_eq!(stored.transactional, 2 * IN_TRANSACTION, "{topic}: the aborted ones were written, too");
}

/// No broker's own address may reach a client.
fn learns_only(gateway: &Gateway, played: &Played, topic: &str) {
    for address in played.addresses() {
        let port = address.strip_prefix("127.0.0.1:").and_then(|port| port.parse().ok());
        assert!(port.is_some_and(|port| gateway.owns_port(port)), "{topic} learnt {address}");
    }
}
