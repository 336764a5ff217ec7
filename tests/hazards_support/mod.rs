//! What the hazard tests share: requests as clients write them, a bystander whom nothing may disturb, and what the gateway
//! says and holds.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{BrokerId, FetchRequest, MetadataRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use loadtest::{load, wait_for};

/// Both, always: what holds on one runtime only does not hold.
pub const RUNTIMES: [&str; 2] = ["io_uring", "epoll"];

/// Versions that every client of today speaks.
pub const METADATA: i16 = 12;
pub const PRODUCE: i16 = 9;
pub const FETCH: i16 = 12;

/// How long an end of a connection may take to show, on a machine busy with brokers.
pub const SOON: Duration = Duration::from_secs(10);

pub fn gateway(options: Options) -> Gateway {
    Gateway::start(env!("CARGO_BIN_EXE_weir"), options).unwrap()
}

/// A gateway of each runtime in front of `upstream`, with these lines added to its configuration.
pub fn gateways(upstream: &str, top: &[&str]) -> [Gateway; 2] {
    RUNTIMES.map(|runtime| {
        let mut options = Options::new(upstream).runtime(runtime);
        options.top = top.iter().map(|&line| line.to_owned()).collect();
        gateway(options)
    })
}

/// Somebody else's connection: opened before a hazard, it has to work after.
pub struct Bystander(Connection);

impl Bystander {
    pub fn open(gateway: &Gateway) -> Self {
        let mut bystander = Self(Connection::open(gateway.address()).unwrap().with_client_id("bystander"));
        bystander.still_works();
        bystander
    }

    pub fn still_works(&mut self) {
        let answer = self.0.call(METADATA, &no_topics()).unwrap();
        assert!(!answer.brokers.is_empty());
    }
}

/// Waits for a line of the log that is about `connection` and says `what`.
pub fn logged(gateway: &Gateway, connection: &Connection, what: &str) {
    let peer = connection.stream().local_addr().unwrap().to_string();
    let found = wait_for("a log line", SOON, || {
        let log = gateway.log();
        Ok(log.lines().any(|line| line.contains(&peer) && line.contains(what)).then_some(()))
    });
    found.unwrap_or_else(|e| panic!("no line about {peer} says {what:?}: {e}; the log:\n{}", gateway.log()));
}

/// Waits for the gateway to end this connection, without a byte sent on it, and to say why.
pub fn ends_saying(gateway: &Gateway, connection: &mut Connection, what: &str) {
    assert!(connection.closes_within(SOON).unwrap(), "still open, awaited: {what}; the log:\n{}", gateway.log());
    logged(gateway, connection, what);
}

/// Metadata that asks for the brokers only.
pub fn no_topics() -> MetadataRequest {
    MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false)
}

pub fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// Creates a topic of one partition.
pub fn create_topic(broker: SocketAddr, topic: &str) {
    load::create_topic(broker, topic, &[]).unwrap();
}

/// The offset behind the last record of partition 0, as the broker says it; none while it does not lead it.
pub fn end_offset(broker: SocketAddr, topic: &str) -> Option<i64> {
    load::end_offset(broker, topic).unwrap()
}

/// One batch of `count` records of `bytes` bytes each, without compression.
pub fn batch(count: usize, bytes: usize) -> Bytes {
    let record = |n: usize| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: n as i64,
        // The encoder begins another batch where this does not count on with the offset; only the first one is written.
        sequence: NO_SEQUENCE + n as i32,
        timestamp: 1_795_341_600_000,
        key: None,
        value: Some(Bytes::from((0..bytes).map(|at| (at * 31 + n) as u8).collect::<Vec<u8>>())),
        headers: IndexMap::new(),
    };
    let records: Vec<Record> = (0..count).map(record).collect();
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, &records, &options).unwrap();
    batch.freeze()
}

pub fn produce(topic: &str, acks: i16, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(batch));
    let data = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(20_000).with_topic_data(vec![data])
}

/// Fetches partition 0 from `offset`; waits up to `wait_ms` for a first byte.
pub fn fetch(topic: &str, offset: i64, max_bytes: i32, wait_ms: i32) -> FetchRequest {
    let wanted = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(max_bytes);
    let wanted = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![wanted]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_bytes(max_bytes)
        .with_min_bytes(1)
        .with_max_wait_ms(wait_ms)
        .with_topics(vec![wanted])
}

/// Memory of the gateway's own, mapped files left out: what a hazard could make grow; MiB.
pub fn own_memory_mib(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Files below `folder` that hold these bytes.
pub fn files_with(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if path.is_file() {
            let content = fs::read(&path).unwrap_or_default();
            if content.windows(bytes.len()).any(|window| window == bytes) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}
