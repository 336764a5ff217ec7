//! Load: Produce and Fetch frames on blocking sockets, a thread a connection.
//!
//! What generates load shares the machine with what is measured, so it does as little as it can: a Produce is built once,
//! a Fetch's records are not looked at. Every answer is still matched and its error code read: load that is refused would
//! make anything look fast.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, FetchRequest, ListOffsetsRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};

use crate::wire::{self, ANSWER_LIMIT, Connection};
use crate::{During, Failure, Result, wait_for};

/// The last versions that name topics instead of numbering them.
const PRODUCE_VERSION: i16 = 12;
const FETCH_VERSION: i16 = 12;

/// How long a new topic may be without a leader, on a machine busy with brokers.
const LEADER_LIMIT: Duration = Duration::from_secs(20);

/// Where a request frame has its correlation id: behind length, API key and version.
const CORRELATION_ID: std::ops::Range<usize> = 8..12;

/// What is asked over and over, always of partition 0.
#[derive(Debug, Clone)]
pub enum Load {
    /// Produce with `acks=1`.
    Produce {
        /// The topic.
        topic: String,
        /// One encoded batch ([`batch`]).
        records: Bytes,
    },
    /// Fetch.
    Fetch {
        /// The topic.
        topic: String,
        /// How much is asked for at a time, bytes.
        bytes: i32,
        /// Offsets to start from, one after the other and again from the first.
        offsets: Vec<i64>,
    },
}

/// How much of it goes on at a time, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Connections.
    pub connections: usize,
    /// Requests that await their answer on each of them.
    pub in_flight: usize,
    /// For how long requests are sent; the answers to the last ones come after it.
    pub time: Duration,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// Requests answered.
    pub requests: u64,
    /// Bytes of their frames, both ways.
    pub bytes: u64,
    /// Until the last answer.
    pub took: Duration,
}

/// Puts load on an address.
pub fn run(address: SocketAddr, load: &Load, shape: Shape) -> Result<Done> {
    let lanes = (0..shape.connections).map(|_| Lane::open(address, load)).collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    let mut done = std::thread::scope(|scope| {
        let running: Vec<_> = lanes.into_iter().map(|lane| scope.spawn(move || lane.run(shape, begun))).collect();
        running.into_iter().try_fold(Done::default(), |sum, lane| {
            let lane = lane.join().map_err(|_| Failure::new("a load generator panicked"))??;
            Ok(Done { requests: sum.requests + lane.requests, bytes: sum.bytes + lane.bytes, ..sum })
        })
    })?;
    done.took = begun.elapsed();
    Ok(done)
}

/// One uncompressed batch of `records` records whose values have `value_bytes` bytes each.
pub fn batch(records: i32, value_bytes: usize) -> Result<Bytes> {
    let value = Bytes::from(vec![b'w'; value_bytes]);
    batch_of((0..records).map(|_| value.clone()))
}

/// One uncompressed batch of records with these values.
pub fn batch_of(values: impl IntoIterator<Item = Bytes>) -> Result<Bytes> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).during("the clock")?;
    let timestamp = i64::try_from(now.as_millis()).during("the clock")?;
    let record = |(number, value): (i32, Bytes)| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(number),
        sequence: number,
        timestamp,
        key: None,
        value: Some(value),
        headers: Default::default(),
    };
    let records: Vec<Record> = (0..).zip(values).map(record).collect();
    let mut encoded = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut encoded, &records, &options).during("encode a batch")?;
    Ok(encoded.freeze())
}

/// Creates a topic with one partition, which the broker leads when this returns.
pub fn create_topic(broker: SocketAddr, name: &str, configs: &[(&str, &str)]) -> Result<()> {
    let text = |s: &str| StrBytes::from_string(s.to_owned());
    let config = |&(k, v): &(&str, &str)| CreatableTopicConfig::default().with_name(text(k)).with_value(Some(text(v)));
    let topic = CreatableTopic::default().with_name(TopicName(text(name))).with_num_partitions(1);
    let topic = topic.with_replication_factor(1).with_configs(configs.iter().map(config).collect());
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let answer = Connection::open(broker)?.call(7, &request)?;
    match answer.topics.iter().find(|t| t.error_code != 0) {
        Some(failed) => Err(Failure::new(format!("CreateTopics {name}: error {}", failed.error_code))),
        // The controller says yes before the broker leads the partition.
        None => wait_for(&format!("the leader of {name}"), LEADER_LIMIT, || Ok(end_offset(broker, name)?.map(|_| ()))),
    }
}

/// The offset behind the last record of partition 0, as the broker says it; none while it does not lead it.
pub fn end_offset(broker: SocketAddr, topic: &str) -> Result<Option<i64>> {
    let latest = ListOffsetsPartition::default().with_timestamp(-1);
    let name = TopicName(StrBytes::from_string(topic.to_owned()));
    let latest = ListOffsetsTopic::default().with_name(name).with_partitions(vec![latest]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![latest]);
    let answer = Connection::open(broker)?.call(6, &request)?;
    let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
    Ok(partition.filter(|partition| partition.error_code == 0).map(|partition| partition.offset))
}

/// One connection with its thread.
struct Lane<'a> {
    load: &'a Load,
    stream: TcpStream,
    frame: Vec<u8>,
    answer: BytesMut,
    sent: i32,
    answered: i32,
    bytes: u64,
}

impl<'a> Lane<'a> {
    fn open(address: SocketAddr, load: &'a Load) -> Result<Self> {
        let doing = || format!("connect to {address}");
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).during(doing())?;
        stream.set_nodelay(true).during(doing())?;
        stream.set_read_timeout(Some(ANSWER_LIMIT)).during(doing())?;
        stream.set_write_timeout(Some(ANSWER_LIMIT)).during(doing())?;
        let frame = load.frame(0)?.to_vec();
        Ok(Self { load, stream, frame, answer: BytesMut::new(), sent: 0, answered: 0, bytes: 0 })
    }

    fn run(mut self, shape: Shape, begun: Instant) -> Result<Done> {
        for _ in 0..shape.in_flight {
            self.send()?;
        }
        while begun.elapsed() < shape.time {
            self.receive()?;
            self.send()?;
        }
        while self.answered < self.sent {
            self.receive()?;
        }
        Ok(Done { requests: self.answered.unsigned_abs().into(), bytes: self.bytes, took: Duration::ZERO })
    }

    fn send(&mut self) -> Result<()> {
        if matches!(self.load, Load::Fetch { .. }) {
            self.frame = self.load.frame(self.sent.unsigned_abs() as usize)?.to_vec();
        }
        self.sent += 1;
        self.frame[CORRELATION_ID].copy_from_slice(&self.sent.to_be_bytes());
        self.bytes += self.frame.len() as u64;
        self.stream.write_all(&self.frame).during("send load")
    }

    fn receive(&mut self) -> Result<()> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).during("receive an answer to load")?;
        let length = usize::try_from(i32::from_be_bytes(length)).during("an answer's length")?;
        self.answer.resize(length, 0);
        self.stream.read_exact(&mut self.answer).during("receive an answer to load")?;
        self.bytes += 4 + length as u64;
        self.answered += 1;
        self.load.check(self.answer.split().freeze(), self.answered)
    }
}

impl Load {
    /// The frame of the request number `turn`.
    fn frame(&self, turn: usize) -> Result<Bytes> {
        let name = |topic: &str| TopicName(StrBytes::from_string(topic.to_owned()));
        match self {
            Load::Produce { topic, records } => {
                let data = PartitionProduceData::default().with_index(0).with_records(Some(records.clone()));
                let data = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
                let request =
                    ProduceRequest::default().with_acks(1).with_timeout_ms(10_000).with_topic_data(vec![data]);
                wire::encode("weir-load", 0, PRODUCE_VERSION, &request)
            }
            Load::Fetch { topic, bytes, offsets } => {
                let partition = FetchPartition::default().with_partition(0).with_partition_max_bytes(*bytes);
                let partition = partition.with_fetch_offset(offsets[turn % offsets.len()]);
                let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
                let request = FetchRequest::default().with_replica_id(BrokerId(-1)).with_session_epoch(-1);
                let request = request.with_max_wait_ms(500).with_min_bytes(1).with_max_bytes(*bytes);
                wire::encode("weir-load", 0, FETCH_VERSION, &request.with_topics(vec![topic]))
            }
        }
    }

    fn check(&self, answer: Bytes, expected: i32) -> Result<()> {
        let (id, failed) = match self {
            Load::Produce { .. } => {
                let (id, answer) = wire::decode::<ProduceRequest>(PRODUCE_VERSION, answer)?;
                let partitions = answer.responses.iter().flat_map(|t| &t.partition_responses);
                (id, partitions.map(|p| p.error_code).find(|&code| code != 0))
            }
            Load::Fetch { .. } => {
                let (id, answer) = wire::decode::<FetchRequest>(FETCH_VERSION, answer)?;
                let partitions = answer.responses.iter().flat_map(|t| &t.partitions);
                let empty = |p: &kafka_protocol::messages::fetch_response::PartitionData| {
                    p.records.as_ref().is_none_or(Bytes::is_empty)
                };
                let mut failed = None;
                for partition in partitions {
                    if empty(partition) {
                        return Err(Failure::new("a Fetch under load came back without records"));
                    }
                    failed = failed.or(Some(partition.error_code).filter(|&code| code != 0));
                }
                (id, failed)
            }
        };
        match failed {
            Some(code) => Err(Failure::new(format!("load was answered with error {code}"))),
            None if id != expected => Err(Failure::new(format!("load was answered {id}, {expected} was next"))),
            None => Ok(()),
        }
    }
}
