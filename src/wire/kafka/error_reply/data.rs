//! Producing, fetching and what clients ask to do so: Produce, Fetch, ListOffsets, OffsetForLeaderEpoch, Metadata,
//! DescribeTopicPartitions.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::*;

use super::Refusal;
use crate::wire::kafka::api::key;

/// No offset, as Kafka writes it.
const NO_OFFSET: i64 = -1;

/// Replies to the APIs of this family; none for all others.
pub(super) fn reply(refusal: &Refusal<'_>) -> Option<Bytes> {
    match refusal.api.key {
        key::PRODUCE => produce(refusal),
        key::FETCH => fetch(refusal),
        key::LIST_OFFSETS => list_offsets(refusal),
        key::OFFSET_FOR_LEADER_EPOCH => offset_for_leader_epoch(refusal),
        key::METADATA => metadata(refusal),
        key::DESCRIBE_TOPIC_PARTITIONS => describe_topic_partitions(refusal),
        _ => None,
    }
}

fn produce(r: &Refusal<'_>) -> Option<Bytes> {
    let request: ProduceRequest = r.request()?;
    if request.acks == 0 {
        return None;
    }
    let topics = request.topic_data.into_iter().map(|topic| {
        let partitions = topic.partition_data.into_iter().map(|partition| {
            PartitionProduceResponse::default()
                .with_index(partition.index)
                .with_error_code(r.error)
                .with_error_message(r.message_since(8))
                .with_base_offset(NO_OFFSET)
        });
        TopicProduceResponse::default()
            .with_partition_responses(partitions.collect())
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
    });
    r.reply(&ProduceResponse::default().with_responses(topics.collect()))
}

/// Errors about a topic stand at the partitions asked for, where consumers raise them by name; all others, and those of
/// a fetch session that names no partition, at the top (v7 and up), where clients drop the session and start again.
fn fetch(r: &Refusal<'_>) -> Option<Bytes> {
    let request: FetchRequest = r.request()?;
    let about_a_topic = [
        ResponseError::TopicAuthorizationFailed.code(),
        ResponseError::UnknownTopicOrPartition.code(),
        ResponseError::UnknownTopicId.code(),
    ]
    .contains(&r.error);
    if r.version >= 7 && (!about_a_topic || request.topics.is_empty()) {
        return r.reply(&FetchResponse::default().with_error_code(r.error));
    }
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            PartitionData::default()
                .with_partition_index(partition.partition)
                .with_error_code(r.error)
                .with_high_watermark(NO_OFFSET)
                .with_records(Some(Bytes::new()))
        });
        FetchableTopicResponse::default()
            .with_partitions(partitions.collect())
            .with_topic(topic.topic)
            .with_topic_id(topic.topic_id)
    });
    r.reply(&FetchResponse::default().with_responses(topics.collect()))
}

fn list_offsets(r: &Refusal<'_>) -> Option<Bytes> {
    let request: ListOffsetsRequest = r.request()?;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            ListOffsetsPartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(r.error)
        });
        ListOffsetsTopicResponse::default().with_partitions(partitions.collect()).with_name(topic.name)
    });
    r.reply(&ListOffsetsResponse::default().with_topics(topics.collect()))
}

fn offset_for_leader_epoch(r: &Refusal<'_>) -> Option<Bytes> {
    let request: OffsetForLeaderEpochRequest = r.request()?;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic
            .partitions
            .into_iter()
            .map(|partition| EpochEndOffset::default().with_partition(partition.partition).with_error_code(r.error));
        OffsetForLeaderTopicResult::default().with_partitions(partitions.collect()).with_topic(topic.topic)
    });
    r.reply(&OffsetForLeaderEpochResponse::default().with_topics(topics.collect()))
}

/// Before v13 only a topic that is named has a place for an error; a request for all of them has none.
fn metadata(r: &Refusal<'_>) -> Option<Bytes> {
    const TOP_LEVEL_SINCE: i16 = 13;
    const NULL_NAME_SINCE: i16 = 12;
    let request: MetadataRequest = r.request()?;
    let asked = request.topics.unwrap_or_default();
    if asked.is_empty() && r.version < TOP_LEVEL_SINCE {
        return None;
    }
    let topics = asked.into_iter().map(|topic| {
        let name = topic.name.or_else(|| (r.version < NULL_NAME_SINCE).then(TopicName::default));
        MetadataResponseTopic::default().with_error_code(r.error).with_topic_id(topic.topic_id).with_name(name)
    });
    let response = MetadataResponse::default().with_topics(topics.collect());
    r.reply(&response.with_error_code(if r.version >= TOP_LEVEL_SINCE { r.error } else { 0 }))
}

/// A request that names no topic asks for all of them, and has no place for an error.
fn describe_topic_partitions(r: &Refusal<'_>) -> Option<Bytes> {
    let request: DescribeTopicPartitionsRequest = r.request()?;
    if request.topics.is_empty() {
        return None;
    }
    let topics = request.topics.into_iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default().with_error_code(r.error).with_name(Some(topic.name))
    });
    r.reply(&DescribeTopicPartitionsResponse::default().with_topics(topics.collect()))
}
