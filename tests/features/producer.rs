//! A transactional producer written out: each request in the version asked for, nothing repeated in secret.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, GroupId, InitProducerIdRequest, ProducerId,
    TransactionalId, TxnOffsetCommitRequest,
};
use loadtest::admin::{self, Coordinates, text, topic};
use loadtest::batch::Batch;
use loadtest::clients::Record;
use loadtest::kafka::Cluster;
use loadtest::wait_for;

use super::stage::{Client, SETTLED, Side, Topic};

/// A coordinator that loads, or still writes the markers of the transaction before: clients ask again.
const AGAIN: [i16; 4] = [14, 15, 16, 51];

/// How a client takes part in transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Partitions and groups are added first, one epoch serves many transactions.
    First,
    /// KIP-890: what is written to is added by the broker, every transaction has an epoch of its own.
    Second,
}

pub const PROTOCOLS: [Protocol; 2] = [Protocol::First, Protocol::Second];

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }

    fn produce(self) -> i16 {
        if self == Self::First { 11 } else { 12 }
    }

    fn end(self) -> i16 {
        if self == Self::First { 4 } else { 5 }
    }

    fn commit(self) -> i16 {
        if self == Self::First { 4 } else { 5 }
    }
}

pub struct Producer {
    side: Side,
    pub id: String,
    protocol: Protocol,
    coordinator: Client,
    pub producer_id: i64,
    pub epoch: i16,
    sequences: BTreeMap<(String, i32), i32>,
    added: BTreeSet<(String, i32)>,
}

impl Producer {
    /// Takes the transactional id, from whoever had it before.
    pub fn init(side: &Side, cluster: &Cluster, id: &str, protocol: Protocol, timeout_ms: i32) -> Self {
        let mut coordinator = side.coordinator(cluster, Coordinates::Transaction, id);
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let answer = again(&format!("a producer id for {id}"), || {
            let answer = coordinator.call(if protocol == Protocol::First { 4 } else { 5 }, &request);
            (answer.error_code, answer)
        });
        assert_eq!(answer.error_code, 0, "{id}");
        let (producer_id, epoch) = (answer.producer_id.0, answer.producer_epoch);
        Self {
            side: *side,
            id: id.to_owned(),
            protocol,
            coordinator,
            producer_id,
            epoch,
            sequences: BTreeMap::new(),
            added: BTreeSet::new(),
        }
    }

    /// Writes these values as one batch of the transaction, at the leader; gives the broker's error.
    pub fn write(&mut self, topic: &Topic, partition: i32, values: &[&str]) -> i16 {
        let at = (topic.name.clone(), partition);
        if self.protocol == Protocol::First && !self.added.contains(&at) {
            let error = self.add_partition(topic, partition);
            if error != 0 {
                return error;
            }
            self.added.insert(at.clone());
        }
        let sequence = self.sequences.entry(at).or_default();
        let batch = batch(values).producer(self.producer_id, self.epoch, *sequence).transactional();
        let version = self.protocol.produce();
        let request = admin::produce_request(&topic.name, topic.id, version, partition, -1, batch.bytes());
        let request = request.with_transactional_id(Some(TransactionalId(text(&*self.id))));
        let mut leader = self.side.client(topic.leaders[partition as usize]);
        let error = again("a write", || {
            let answer = leader.call(version, &request);
            let error = answer.responses[0].partition_responses[0].error_code;
            (error, error)
        });
        if error == 0 {
            *sequence += values.len() as i32;
        }
        error
    }

    fn add_partition(&mut self, of: &Topic, partition: i32) -> i16 {
        let partitions = AddPartitionsToTxnTopic::default().with_name(topic(&of.name)).with_partitions(vec![partition]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(&*self.id)))
            .with_v3_and_below_producer_id(ProducerId(self.producer_id))
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![partitions]);
        again("a partition in the transaction", || {
            let answer = self.coordinator.call(3, &request);
            let error = answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code;
            (error, error)
        })
    }

    /// Commits an offset of partition 0 with the transaction; gives the first error.
    pub fn send_offset(&mut self, cluster: &Cluster, group: &str, of: &Topic, offset: i64) -> i16 {
        let id = TransactionalId(text(&*self.id));
        if self.protocol == Protocol::First {
            let request = AddOffsetsToTxnRequest::default()
                .with_transactional_id(id.clone())
                .with_producer_id(ProducerId(self.producer_id))
                .with_producer_epoch(self.epoch)
                .with_group_id(GroupId(text(group)));
            let error = again("offsets in the transaction", || {
                let answer = self.coordinator.call(3, &request);
                (answer.error_code, answer.error_code)
            });
            if error != 0 {
                return error;
            }
        }
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("")));
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(id)
            .with_group_id(GroupId(text(group)))
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.epoch)
            .with_generation_id(-1)
            .with_topics(vec![
                TxnOffsetCommitRequestTopic::default().with_name(topic(&of.name)).with_partitions(vec![partition]),
            ]);
        let mut coordinator = self.side.coordinator(cluster, Coordinates::Group, group);
        again("an offset in the transaction", || {
            let answer = coordinator.call(self.protocol.commit(), &request);
            let error = answer.topics[0].partitions[0].error_code;
            (error, error)
        })
    }

    /// Commits or aborts; gives the broker's error. Where the epoch has been raised the next transaction has the new one.
    pub fn end(&mut self, committed: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&*self.id)))
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.epoch)
            .with_committed(committed);
        let version = self.protocol.end();
        let answer = again("an end of the transaction", || {
            let answer = self.coordinator.call(version, &request);
            (answer.error_code, answer)
        });
        self.added.clear();
        if answer.error_code == 0 && self.protocol == Protocol::Second {
            (self.producer_id, self.epoch) = (answer.producer_id.0, answer.producer_epoch);
            self.sequences.clear();
        }
        answer.error_code
    }
}

/// A batch of these values, as of now: what is older than a week brokers delete when they come to it.
pub fn batch(values: &[&str]) -> Batch {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let record = |value: &&str| Record { key: None, value: Some((*value).to_owned()), headers: Vec::new() };
    Batch { timestamp_ms: now, ..Batch::of(values.iter().map(record).collect()) }
}

/// Asks until the error is another than "not yet".
pub fn again<T>(what: &str, mut ask: impl FnMut() -> (i16, T)) -> T {
    wait_for(what, SETTLED, || {
        let (error, answer) = ask();
        Ok((!AGAIN.contains(&error)).then_some(answer))
    })
    .unwrap()
}
