//! Transactions, where errors stand at partitions or transactional ids.

use bytes::Bytes;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, TopicResponse};
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::*;

use super::Refusal;
use crate::wire::kafka::api::key;

/// Replies to the APIs of this family; none for all others.
pub(super) fn reply(refusal: &Refusal<'_>) -> Option<Bytes> {
    match refusal.api.key {
        key::ADD_PARTITIONS_TO_TXN => add_partitions_to_txn(refusal),
        key::TXN_OFFSET_COMMIT => txn_offset_commit(refusal),
        key::WRITE_TXN_MARKERS => write_txn_markers(refusal),
        key::DESCRIBE_PRODUCERS => describe_producers(refusal),
        key::DESCRIBE_TRANSACTIONS => describe_transactions(refusal),
        _ => None,
    }
}

/// The clients' form, v0 to v3; the brokers' batched form has its error at the top.
fn add_partitions_to_txn(r: &Refusal<'_>) -> Option<Bytes> {
    let request: AddPartitionsToTxnRequest = r.request()?;
    let topics = request.v3_and_below_topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|index| {
            AddPartitionsToTxnPartitionResult::default().with_partition_index(index).with_partition_error_code(r.error)
        });
        AddPartitionsToTxnTopicResult::default().with_results_by_partition(partitions.collect()).with_name(topic.name)
    });
    r.reply(&AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect()))
}

fn txn_offset_commit(r: &Refusal<'_>) -> Option<Bytes> {
    let request: TxnOffsetCommitRequest = r.request()?;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(r.error)
        });
        TxnOffsetCommitResponseTopic::default().with_partitions(partitions.collect()).with_name(topic.name)
    });
    r.reply(&TxnOffsetCommitResponse::default().with_topics(topics.collect()))
}

/// Sent by `kafka-transactions.sh abort` to brokers that advertise it.
fn write_txn_markers(r: &Refusal<'_>) -> Option<Bytes> {
    let request: WriteTxnMarkersRequest = r.request()?;
    let markers = request.markers.into_iter().map(|marker| {
        let topics = marker.topics.into_iter().map(|topic| {
            let partitions = topic.partition_indexes.into_iter().map(|index| {
                WritableTxnMarkerPartitionResult::default().with_partition_index(index).with_error_code(r.error)
            });
            WritableTxnMarkerTopicResult::default().with_partitions(partitions.collect()).with_name(topic.name)
        });
        WritableTxnMarkerResult::default().with_topics(topics.collect()).with_producer_id(marker.producer_id)
    });
    r.reply(&WriteTxnMarkersResponse::default().with_markers(markers.collect()))
}

fn describe_producers(r: &Refusal<'_>) -> Option<Bytes> {
    let request: DescribeProducersRequest = r.request()?;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.into_iter().map(|index| {
            let partition = PartitionResponse::default().with_partition_index(index);
            partition.with_error_code(r.error).with_error_message(r.message.clone())
        });
        TopicResponse::default().with_partitions(partitions.collect()).with_name(topic.name)
    });
    r.reply(&DescribeProducersResponse::default().with_topics(topics.collect()))
}

fn describe_transactions(r: &Refusal<'_>) -> Option<Bytes> {
    let request: DescribeTransactionsRequest = r.request()?;
    let states = request
        .transactional_ids
        .into_iter()
        .map(|id| TransactionState::default().with_transactional_id(id).with_error_code(r.error));
    r.reply(&DescribeTransactionsResponse::default().with_transaction_states(states.collect()))
}
