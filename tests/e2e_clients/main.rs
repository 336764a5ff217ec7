//! Stock clients change their bootstrap address and nothing else. Every family plays one script before three brokers: what
//! it reads through Weir is what it sent, keys, headers, nulls and codecs included; what it committed, aborted and deleted is
//! so on the brokers; it learns no address but Weir's and speaks no older version than it knows; and the recording says who
//! did it and how much it was. On both runtimes; in plaintext and over TLS; anonymous, by PLAIN and by SCRAM.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod recorded;
mod stored;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use kafka_protocol::messages::ApiKey;
use loadtest::clients::{CODECS, ClientTls, JavaTools, Login, Played, Record, Scene, Step, Target};
use loadtest::kafka::{self, Cluster};
use loadtest::scratch::Scratch;
use loadtest::tls::{A_DAY, Authority, replace};
use loadtest::weir::{Gateway, Options};

use crate::recorded::{recorded, spoken};
use crate::table::{RECORDS_PER_CODEC, Row, TABLE};

const PARTITIONS: u32 = 3;
const REPLICATION: u16 = 3;
/// Each of the two transactions has as many records.
const IN_TRANSACTION: usize = 12;

/// Three brokers; they go with the process.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(3, kafka::Options::default()).unwrap())
}

#[test]
fn every_client_plays_the_whole_script_with_a_token_and_anonymously_on_both_runtimes() {
    for (runtime, named) in [("io_uring", true), ("epoll", false)] {
        let auth = if named { "weir_token" } else { "anonymous" };
        let gateway =
            common::gateway_before(cluster(), Options::new(cluster().bootstrap()).runtime(runtime).auth(&[auth]));
        side_by_side(|row| {
            let name = format!("{}-{runtime}", row.client.name());
            let target = if named {
                Target::with_token(gateway.bootstrap(), &name, gateway.token(&name, "e2e,stock-clients").unwrap())
            } else {
                Target::anonymous(gateway.bootstrap(), &name)
            };
            plays_the_whole_script(row, &gateway, &target, &name);
            if named {
                is_recorded(row, &gateway, &name);
            }
        });
    }
}

#[test]
fn every_client_logs_in_by_scram_over_tls_on_both_runtimes() {
    let dir = Scratch::new("weir-e2e-tls-").unwrap();
    let authority = Authority::new("weir test").unwrap();
    let ca = dir.path().join("ca.pem");
    replace(&ca, &authority.pem()).unwrap();
    let certificate = authority.issue(&[("CN", "weir")], &["127.0.0.1", "localhost"], A_DAY).unwrap();
    let files = certificate.write(dir.path(), "weir").unwrap();
    for (runtime, mechanism) in common::RUNTIMES.into_iter().zip(["SCRAM-SHA-256", "SCRAM-SHA-512"]) {
        let mut options = Options::new(cluster().bootstrap()).runtime(runtime).auth(&["scram", "weir_token"]);
        let (certificate, key) = (files.certificate.display(), files.key.display());
        options.listener.push(format!("tls: {{ certificate: {certificate}, key: {key} }}"));
        let gateway = common::gateway(options);
        side_by_side(|row| {
            let name = format!("{}-tls-{runtime}", row.client.name());
            let token = gateway.token(&name, "e2e").unwrap();
            let tls = ClientTls { ca: ca.clone(), identity: None, version: None };
            let target = match row.no_scram {
                None => Target::with_login(gateway.bootstrap(), &name, Login::Scram { mechanism, token }),
                Some(_) => Target::with_token(gateway.bootstrap(), &name, token),
            };
            let target = target.over_tls(tls);
            perform(row, &target, &name, &Step::BASIC);
            let sent = (CODECS.len() * RECORDS_PER_CODEC) as u64;
            recorded(&gateway, &name, &name, ApiKey::Produce, |written| written == sent);
        });
    }
}

#[test]
fn perf_tools_run_on_both_runtimes() {
    const RECORDS: u64 = 20_000;
    let cluster = cluster();
    for runtime in common::RUNTIMES {
        let gateway = common::gateway(Options::new(cluster.bootstrap()).runtime(runtime).auth(&["weir_token"]));
        let token = gateway.token("perf", "load").unwrap();
        let tools = JavaTools::new(&Target::with_token(gateway.bootstrap(), "perf", token)).unwrap();
        let topic = format!("perf-{runtime}");
        tools.create_topic(&topic, PARTITIONS).unwrap();
        let produced = tools.producer_perf(&topic, RECORDS, 500, &["batch.size=65536", "linger.ms=5"]).unwrap();
        assert!(produced.starts_with(&format!("{RECORDS} records sent")), "{runtime}: {produced}");
        let consumed = tools.consumer_perf(&topic, &topic, RECORDS).unwrap();
        let read: u64 = consumed.split(", ").nth(4).and_then(|n| n.parse().ok()).expect(&consumed);
        assert_eq!(read, RECORDS, "{runtime}: {consumed}");
        recorded(&gateway, "perf", &topic, ApiKey::Produce, |written| written == RECORDS);
    }
}

/// All clients at once: they wait for their own starts more than for anything else.
fn side_by_side(play: impl Fn(&'static Row) + Sync) {
    static ROWS: &[Row] = &TABLE;
    std::thread::scope(|scope| {
        for row in ROWS {
            let play = &play;
            scope.spawn(move || play(row));
        }
    });
}

/// Plays those of the steps that the client can, the topic's making as a scene of its own, and compares what it read.
fn perform(row: &Row, target: &Target, topic: &str, steps: &[Step]) -> Played {
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
            None => drop(loadtest::admin::create_topic(cluster(), topic, &[1, 2, 3]).unwrap()),
        }
        stored::settled(cluster(), topic, PARTITIONS as usize);
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

fn plays_the_whole_script(row: &Row, gateway: &Gateway, target: &Target, topic: &str) {
    // The second act takes away what the first one left to look at.
    let at = Step::ALL.iter().position(|step| *step == Step::DeleteRecords).unwrap();
    let (first, second) = Step::ALL.split_at(at);
    let played = perform(row, target, topic, first);
    let sent = CODECS.len() * RECORDS_PER_CODEC;
    let expected: BTreeMap<String, usize> = CODECS.iter().map(|c| ((*c).to_owned(), RECORDS_PER_CODEC)).collect();
    let stored = stored::stored(cluster(), topic);
    assert_eq!(stored.by_codec, expected, "{topic}: records in the brokers' logs by their batch's codec");
    let committed = stored::committed(cluster(), &format!("{topic}-group"), topic);
    assert_eq!(usize::try_from(committed).unwrap(), sent, "{topic}: what the group committed");
    if row.can(first).contains(&Step::Transaction) {
        reads_what_is_committed_only(&played, topic);
    }
    learns_only(gateway, &played, topic);

    if row.can(second).is_empty() {
        return;
    }
    let played = perform(row, target, topic, second);
    learns_only(gateway, &played, topic);
    for step in row.can(second) {
        let outcome = played.outcome(step).unwrap();
        match step {
            Step::DeleteRecords => {
                assert_eq!(stored::earliest(cluster(), topic, 0), 1, "{topic}: {outcome}");
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

fn reads_what_is_committed_only(played: &Played, topic: &str) {
    let outcome = played.outcome(Step::Transaction).unwrap();
    let values = outcome["values"].as_array().unwrap().iter();
    let read: BTreeSet<String> = values.map(|value| value.as_str().unwrap().to_owned()).collect();
    let expected: BTreeSet<String> = (0..IN_TRANSACTION).map(|n| format!("committed-{n}")).collect();
    assert_eq!(read, expected, "{topic}");
    let stored = stored::stored(cluster(), &format!("{topic}-transactions"));
    assert_eq!(stored.transactional, 2 * IN_TRANSACTION, "{topic}: the aborted ones were written, too");
}

/// No broker's own address may reach a client.
fn learns_only(gateway: &Gateway, played: &Played, topic: &str) {
    for address in played.addresses() {
        let port = address.strip_prefix("127.0.0.1:").and_then(|port| port.parse().ok());
        assert!(port.is_some_and(|port| gateway.owns_port(port)), "{topic} learnt {address}");
    }
}

fn is_recorded(row: &Row, gateway: &Gateway, name: &str) {
    let sent = (CODECS.len() * RECORDS_PER_CODEC) as u64;
    recorded(gateway, name, name, ApiKey::Produce, |written| written == sent);
    // Batches are fetched whole, and a client may fetch what it does not hand on any more.
    recorded(gateway, name, name, ApiKey::Fetch, |read| read >= sent);
    // kcat comes from the system's packages, and may be newer than the table.
    let (spoken, speaks) = (spoken(gateway, name).unwrap(), row.speaks);
    assert!(
        spoken.0 >= speaks.0 && spoken.1 >= speaks.1,
        "{name}: speaks Produce and Fetch {spoken:?}, knows {speaks:?}"
    );
}
