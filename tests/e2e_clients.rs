//! Stock clients change their bootstrap address and nothing else: what a group reads through Weir is what was sent, keys,
//! headers, nulls and codecs included, on both runtimes; and the recording says who did it and how much it was.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{ApiKey, BrokerId, FetchRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use loadtest::clients::{CODECS, Client, JavaTools, Record, Script, Target};
use loadtest::kafka::Cluster;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use loadtest::{Result, wait_for};
use serde_json::Value;

const CLIENTS: [Client; 3] = [Client::JavaConsole, Client::ConfluentKafka, Client::FranzGo];
const PARTITIONS: u32 = 6;
const RECORDS_PER_CODEC: usize = 24;

#[test]
fn every_stock_client_reads_back_what_it_sent_on_both_runtimes() {
    let cluster = common::cluster();
    for runtime in common::RUNTIMES {
        let options = Options::new(cluster.bootstrap()).runtime(runtime).auth(&["anonymous", "weir_token"]);
        let gateway = common::gateway(options);
        // Side by side: they wait for each other's Java start more than for anything else.
        std::thread::scope(|scope| {
            for client in CLIENTS {
                let (gateway, name) = (&gateway, format!("{}-{runtime}", client.name()));
                scope.spawn(move || {
                    plays_as_a_named_identity(client, cluster, gateway, &name);
                    plays_anonymously(client, cluster, gateway, &format!("{name}-anonymous"));
                });
            }
        });
    }
}

#[test]
fn perf_tools_run_on_both_runtimes() {
    const RECORDS: u64 = 20_000;
    let cluster = common::cluster();
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

fn plays_as_a_named_identity(client: Client, cluster: &Cluster, gateway: &Gateway, name: &str) {
    let token = gateway.token(name, "e2e,stock-clients").unwrap();
    let target = Target::with_token(gateway.bootstrap(), name, token);
    plays(client, &target, cluster, name);

    let sent = (CODECS.len() * RECORDS_PER_CODEC) as u64;
    recorded(gateway, name, name, ApiKey::Produce, |written| written == sent);
    // Batches are fetched whole, and a client may fetch what it does not hand on any more.
    recorded(gateway, name, name, ApiKey::Fetch, |read| read >= sent);
}

fn plays_anonymously(client: Client, cluster: &Cluster, gateway: &Gateway, name: &str) {
    plays(client, &Target::anonymous(gateway.bootstrap(), name), cluster, name);
}

fn plays(client: Client, target: &Target, cluster: &Cluster, topic: &str) {
    let script = script();
    let mut read = client.play(target, topic, PARTITIONS, &format!("{topic}-group"), &script).unwrap();
    let mut sent: Vec<Record> = script.values().flatten().cloned().collect();
    read.sort();
    sent.sort();
    assert_eq!(read, sent, "{topic}");

    let stored = stored_by_codec(cluster, topic);
    let expected: BTreeMap<String, usize> = CODECS.iter().map(|c| ((*c).to_owned(), RECORDS_PER_CODEC)).collect();
    assert_eq!(stored, expected, "{topic}: records in the broker's log by their batch's codec");
}

/// Keys and none, values, empty values and tombstones, headers, repeated names, null values and no headers at all. Every
/// record compresses well by itself: some clients send a batch bare when its codec gains nothing.
fn script() -> Script {
    let text = |s: String| Some(s);
    let record = |codec: &str, n: usize| {
        let padding = "weir ".repeat(40 + n);
        let mut headers = vec![
            ("codec".to_owned(), text(codec.to_owned())),
            ("repeated".to_owned(), text(format!("first {padding}"))),
            ("repeated".to_owned(), text(format!("sécond {n}"))),
            ("null".to_owned(), None),
        ];
        let value = match n % 6 {
            0 => None,
            1 => text(String::new()),
            2 => {
                headers.clear();
                text(format!("{codec} {n} {padding}"))
            }
            _ => text(format!("{{\"n\": {n}, \"codec\": \"{codec}\", \"ünïcode\": \"{padding}\"}}")),
        };
        Record { key: (n % 4 != 3).then(|| format!("{codec}-{n}")), value, headers }
    };
    CODECS.iter().map(|&codec| (codec, (0..RECORDS_PER_CODEC).map(|n| record(codec, n)).collect())).collect()
}

/// Reads the topic straight from the brokers, and counts its records by the codec their batch is stored under.
fn stored_by_codec(cluster: &Cluster, topic: &str) -> BTreeMap<String, usize> {
    let name = TopicName(StrBytes::from_string(topic.to_owned()));
    let asked = MetadataRequestTopic::default().with_name(Some(name.clone()));
    let asked = MetadataRequest::default().with_topics(Some(vec![asked]));
    let (_, any_broker) = cluster.addresses()[0];
    let metadata = Connection::open(any_broker).unwrap().call(12, &asked).unwrap();

    let mut counts = BTreeMap::new();
    for partition in &metadata.topics[0].partitions {
        let mut leader = Connection::open(cluster.address(partition.leader_id.0).unwrap()).unwrap();
        let wanted = FetchPartition::default().with_partition(partition.partition_index);
        let wanted = FetchTopic::default()
            .with_topic(name.clone())
            .with_partitions(vec![wanted.with_partition_max_bytes(16 << 20)]);
        let fetch = FetchRequest::default().with_replica_id(BrokerId(-1)).with_max_bytes(16 << 20);
        let answer = leader.call(12, &fetch.with_topics(vec![wanted])).unwrap();
        let records = answer.responses[0].partitions[0].records.clone().unwrap_or_default();
        count_batches(&records, &mut counts);
    }
    counts
}

/// Record batch v2: the length of what follows at 8, attributes at 21 (codec in the low three bits), record count at 57.
fn count_batches(mut batches: &[u8], counts: &mut BTreeMap<String, usize>) {
    while !batches.is_empty() {
        let number = |at: usize| usize::try_from(i32::from_be_bytes(batches[at..at + 4].try_into().unwrap())).unwrap();
        let codec = ["none", "gzip", "snappy", "lz4", "zstd"][usize::from(batches[22] & 7)];
        *counts.entry(codec.to_owned()).or_default() += number(57);
        batches = &batches[12 + number(8)..];
    }
}

/// Waits until the sessions of `subject` tell as many records of `topic` written or read by `api` as they should; blocks of
/// the recording reach the store within a second.
fn recorded(gateway: &Gateway, subject: &str, topic: &str, api: ApiKey, enough: impl Fn(u64) -> bool) {
    let mut told = 0;
    let waited = wait_for("the records in the recording", Duration::from_secs(10), || {
        told = told_records(gateway, subject, topic, api)?;
        Ok(enough(told).then_some(()))
    });
    waited.unwrap_or_else(|e| panic!("{subject}: {told} records of {topic} by {api:?} in the recording: {e}"));
}

/// What `weir sessions` and `weir show` say.
fn told_records(gateway: &Gateway, subject: &str, topic: &str, api: ApiKey) -> Result<u64> {
    let mut records = 0;
    for session in gateway.weir_json(&["sessions", "--identity", subject])? {
        assert_eq!(session["identity"]["subject"], subject, "{session}");
        let shown = gateway.weir_json(&["show", session["id"].as_str().expect("a session's id")])?;
        let exchanges = shown.iter().filter(|e| e["event"] == "exchange" && e["request"]["api_key"] == api as i16);
        // A request tells what it writes, a response what is read.
        let of = |e: &Value| written(e, topic).max(records_of(&e["response"]["items"], topic));
        records += exchanges.map(of).sum::<u64>();
    }
    Ok(records)
}

/// Records of the request that the broker took; a client sends again what it did not.
fn written(exchange: &Value, topic: &str) -> u64 {
    let answers = exchange["response"]["items"].as_array().map_or(&[][..], Vec::as_slice);
    let taken = |item: &&Value| {
        answers.iter().any(|a| a["partition"] == item["partition"] && a["error_code"].as_i64().unwrap_or(0) == 0)
    };
    let items = exchange["request"]["items"].as_array().map_or(&[][..], Vec::as_slice).iter();
    items.filter(|i| i["name"] == topic).filter(taken).filter_map(|i| i["records"].as_u64()).sum()
}

fn records_of(items: &Value, topic: &str) -> u64 {
    let items = items.as_array().map_or(&[][..], Vec::as_slice).iter();
    items.filter(|item| item["name"] == topic).filter_map(|item| item["records"].as_u64()).sum()
}
