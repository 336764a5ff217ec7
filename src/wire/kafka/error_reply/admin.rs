//! Administration of topics, records, settings and placement.

use bytes::Bytes;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as ReplacedConfigs;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as AlteredConfigs;
use kafka_protocol::messages::*;

use super::Refusal;
use crate::wire::kafka::api::key;

/// Replies to the APIs of this family; none for all others.
pub(super) fn reply(refusal: &Refusal<'_>) -> Option<Bytes> {
    match refusal.api.key {
        key::CREATE_TOPICS => create_topics(refusal),
        key::DELETE_TOPICS => delete_topics(refusal),
        key::CREATE_PARTITIONS => create_partitions(refusal),
        key::DELETE_RECORDS => delete_records(refusal),
        key::DESCRIBE_CONFIGS => describe_configs(refusal),
        key::ALTER_CONFIGS => alter_configs(refusal),
        key::INCREMENTAL_ALTER_CONFIGS => incremental_alter_configs(refusal),
        key::ELECT_LEADERS => elect_leaders(refusal),
        key::ALTER_PARTITION_REASSIGNMENTS => alter_partition_reassignments(refusal),
        key::ALTER_REPLICA_LOG_DIRS => alter_replica_log_dirs(refusal),
        key::DESCRIBE_LOG_DIRS => describe_log_dirs(refusal),
        _ => None,
    }
}

fn create_topics(r: &Refusal<'_>) -> Option<Bytes> {
    let request: CreateTopicsRequest = r.request()?;
    let topics = request.topics.into_iter().map(|topic| {
        let result = CreatableTopicResult::default().with_name(topic.name);
        result.with_error_code(r.error).with_error_message(r.message.clone())
    });
    r.reply(&CreateTopicsResponse::default().with_topics(topics.collect()))
}

fn delete_topics(r: &Refusal<'_>) -> Option<Bytes> {
    let request: DeleteTopicsRequest = r.request()?;
    let by_name = request.topic_names.into_iter().map(|name| DeletableTopicResult::default().with_name(Some(name)));
    let by_state = request
        .topics
        .into_iter()
        .map(|topic| DeletableTopicResult::default().with_name(topic.name).with_topic_id(topic.topic_id));
    let results =
        by_name.chain(by_state).map(|result| result.with_error_code(r.error).with_error_message(r.message_since(5)));
    r.reply(&DeleteTopicsResponse::default().with_responses(results.collect()))
}

fn create_partitions(r: &Refusal<'_>) -> Option<Bytes> {
    let request: CreatePartitionsRequest = r.request()?;
    let results = request.topics.into_iter().map(|topic| {
        let result = CreatePartitionsTopicResult::default().with_name(topic.name);
        result.with_error_code(r.error).with_error_message(r.message.clone())
    });
    r.reply(&CreatePartitionsResponse::default().with_results(results.collect()))
}

fn delete_records(r: &Refusal<'_>) -> Option<Bytes> {
    const NO_WATERMARK: i64 = -1;
    let request: DeleteRecordsRequest = r.request()?;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index)
                .with_low_watermark(NO_WATERMARK)
                .with_error_code(r.error)
        });
        DeleteRecordsTopicResult::default().with_partitions(partitions.collect()).with_name(topic.name)
    });
    r.reply(&DeleteRecordsResponse::default().with_topics(topics.collect()))
}

fn describe_configs(r: &Refusal<'_>) -> Option<Bytes> {
    let request: DescribeConfigsRequest = r.request()?;
    let results = request.resources.into_iter().map(|resource| {
        DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_error_code(r.error)
            .with_error_message(r.message.clone())
    });
    r.reply(&DescribeConfigsResponse::default().with_results(results.collect()))
}

fn alter_configs(r: &Refusal<'_>) -> Option<Bytes> {
    let request: AlterConfigsRequest = r.request()?;
    let responses = request.resources.into_iter().map(|resource| {
        ReplacedConfigs::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_error_code(r.error)
            .with_error_message(r.message.clone())
    });
    r.reply(&AlterConfigsResponse::default().with_responses(responses.collect()))
}

fn incremental_alter_configs(r: &Refusal<'_>) -> Option<Bytes> {
    let request: IncrementalAlterConfigsRequest = r.request()?;
    let responses = request.resources.into_iter().map(|resource| {
        AlteredConfigs::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_error_code(r.error)
            .with_error_message(r.message.clone())
    });
    r.reply(&IncrementalAlterConfigsResponse::default().with_responses(responses.collect()))
}

/// At the top (v1 and up) and at each partition; a v0 request for all partitions has no place for an error.
fn elect_leaders(r: &Refusal<'_>) -> Option<Bytes> {
    const TOP_LEVEL_SINCE: i16 = 1;
    let request: ElectLeadersRequest = r.request()?;
    if request.topic_partitions.is_none() && r.version < TOP_LEVEL_SINCE {
        return None;
    }
    let results = request.topic_partitions.unwrap_or_default().into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|id| {
            let result = PartitionResult::default().with_partition_id(id);
            result.with_error_code(r.error).with_error_message(r.message.clone())
        });
        ReplicaElectionResult::default().with_partition_result(partitions.collect()).with_topic(topic.topic)
    });
    let response = ElectLeadersResponse::default().with_replica_election_results(results.collect());
    r.reply(&response.with_error_code(if r.version >= TOP_LEVEL_SINCE { r.error } else { 0 }))
}

fn alter_partition_reassignments(r: &Refusal<'_>) -> Option<Bytes> {
    let request: AlterPartitionReassignmentsRequest = r.request()?;
    let responses = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            let result = ReassignablePartitionResponse::default().with_partition_index(partition.partition_index);
            result.with_error_code(r.error).with_error_message(r.message.clone())
        });
        ReassignableTopicResponse::default().with_partitions(partitions.collect()).with_name(topic.name)
    });
    let response = AlterPartitionReassignmentsResponse::default().with_responses(responses.collect());
    r.reply(&response.with_error_code(r.error).with_error_message(r.message.clone()))
}

fn alter_replica_log_dirs(r: &Refusal<'_>) -> Option<Bytes> {
    let request: AlterReplicaLogDirsRequest = r.request()?;
    let topics = request.dirs.into_iter().flat_map(|dir| dir.topics);
    let results = topics.map(|topic| {
        let partitions = topic.partitions.into_iter().map(|index| {
            AlterReplicaLogDirPartitionResult::default().with_partition_index(index).with_error_code(r.error)
        });
        AlterReplicaLogDirTopicResult::default().with_partitions(partitions.collect()).with_topic_name(topic.name)
    });
    r.reply(&AlterReplicaLogDirsResponse::default().with_results(results.collect()))
}

/// Before v3 an error can only stand at a directory: one without a name says it.
fn describe_log_dirs(r: &Refusal<'_>) -> Option<Bytes> {
    let nameless = DescribeLogDirsResult::default().with_error_code(r.error);
    r.reply(&DescribeLogDirsResponse::default().with_results(vec![nameless]))
}
