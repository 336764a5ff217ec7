//! Groups: membership, their offsets, their descriptions, their coordinators.

use bytes::Bytes;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as ConsumerGroup;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::DescribedGroup as ClassicGroup;
use kafka_protocol::messages::describe_share_group_offsets_response::DescribeShareGroupOffsetsResponseGroup;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use kafka_protocol::messages::share_group_describe_response::DescribedGroup as ShareGroup;
use kafka_protocol::messages::*;

use super::Refusal;
use crate::wire::kafka::api::key;

/// Replies to the APIs of this family; none for all others.
pub(super) fn reply(refusal: &Refusal<'_>) -> Option<Bytes> {
    match refusal.api.key {
        key::FIND_COORDINATOR => find_coordinator(refusal),
        key::JOIN_GROUP => join_group(refusal),
        key::OFFSET_COMMIT => offset_commit(refusal),
        key::OFFSET_FETCH => offset_fetch(refusal),
        key::DESCRIBE_GROUPS => describe_groups(refusal),
        key::CONSUMER_GROUP_DESCRIBE => consumer_group_describe(refusal),
        key::SHARE_GROUP_DESCRIBE => share_group_describe(refusal),
        key::DESCRIBE_SHARE_GROUP_OFFSETS => describe_share_group_offsets(refusal),
        key::DELETE_GROUPS => delete_groups(refusal),
        _ => None,
    }
}

/// No coordinator: a node id and a port that are none.
const NO_NODE: BrokerId = BrokerId(-1);
const NO_PORT: i32 = -1;

fn find_coordinator(r: &Refusal<'_>) -> Option<Bytes> {
    const BATCHED_SINCE: i16 = 4;
    if r.version < BATCHED_SINCE {
        let response = FindCoordinatorResponse::default().with_error_code(r.error);
        return r.reply(&response.with_error_message(r.message_since(1)).with_node_id(NO_NODE).with_port(NO_PORT));
    }
    let request: FindCoordinatorRequest = r.request()?;
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_node_id(NO_NODE)
            .with_port(NO_PORT)
            .with_error_code(r.error)
            .with_error_message(r.message.clone())
    });
    r.reply(&FindCoordinatorResponse::default().with_coordinators(coordinators.collect()))
}

fn join_group(r: &Refusal<'_>) -> Option<Bytes> {
    const NULL_PROTOCOL_SINCE: i16 = 7;
    let request: JoinGroupRequest = r.request()?;
    let response = JoinGroupResponse::default().with_error_code(r.error).with_member_id(request.member_id);
    if r.version >= NULL_PROTOCOL_SINCE {
        return r.reply(&response.with_protocol_name(None));
    }
    r.reply(&response)
}

fn offset_commit(r: &Refusal<'_>) -> Option<Bytes> {
    let request: OffsetCommitRequest = r.request()?;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(r.error)
        });
        OffsetCommitResponseTopic::default().with_partitions(partitions.collect()).with_name(topic.name)
    });
    r.reply(&OffsetCommitResponse::default().with_topics(topics.collect()))
}

/// At each partition in v1, at the top up to v7, at each group from v8 on.
fn offset_fetch(r: &Refusal<'_>) -> Option<Bytes> {
    match r.version {
        1 => offset_fetch_partitions(r),
        2..=7 => r.reply(&OffsetFetchResponse::default().with_error_code(r.error)),
        _ => {
            let request: OffsetFetchRequest = r.request()?;
            let groups = request.groups.into_iter().map(|group| {
                OffsetFetchResponseGroup::default().with_group_id(group.group_id).with_error_code(r.error)
            });
            r.reply(&OffsetFetchResponse::default().with_groups(groups.collect()))
        }
    }
}

fn offset_fetch_partitions(r: &Refusal<'_>) -> Option<Bytes> {
    const NO_OFFSET: i64 = -1;
    let request: OffsetFetchRequest = r.request()?;
    let topics = request.topics?.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.into_iter().map(|index| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(NO_OFFSET)
                .with_error_code(r.error)
        });
        OffsetFetchResponseTopic::default().with_partitions(partitions.collect()).with_name(topic.name)
    });
    r.reply(&OffsetFetchResponse::default().with_topics(topics.collect()))
}

fn describe_groups(r: &Refusal<'_>) -> Option<Bytes> {
    let request: DescribeGroupsRequest = r.request()?;
    let groups = request.groups.into_iter().map(|id| {
        ClassicGroup::default().with_group_id(id).with_error_code(r.error).with_error_message(r.message_since(6))
    });
    r.reply(&DescribeGroupsResponse::default().with_groups(groups.collect()))
}

fn consumer_group_describe(r: &Refusal<'_>) -> Option<Bytes> {
    let request: ConsumerGroupDescribeRequest = r.request()?;
    let groups = request.group_ids.into_iter().map(|id| {
        let group = ConsumerGroup::default().with_group_id(id);
        group.with_error_code(r.error).with_error_message(r.message.clone())
    });
    r.reply(&ConsumerGroupDescribeResponse::default().with_groups(groups.collect()))
}

fn share_group_describe(r: &Refusal<'_>) -> Option<Bytes> {
    let request: ShareGroupDescribeRequest = r.request()?;
    let groups = request.group_ids.into_iter().map(|id| {
        let group = ShareGroup::default().with_group_id(id);
        group.with_error_code(r.error).with_error_message(r.message.clone())
    });
    r.reply(&ShareGroupDescribeResponse::default().with_groups(groups.collect()))
}

fn describe_share_group_offsets(r: &Refusal<'_>) -> Option<Bytes> {
    let request: DescribeShareGroupOffsetsRequest = r.request()?;
    let groups = request.groups.into_iter().map(|asked| {
        let group = DescribeShareGroupOffsetsResponseGroup::default().with_group_id(asked.group_id);
        group.with_error_code(r.error).with_error_message(r.message.clone())
    });
    r.reply(&DescribeShareGroupOffsetsResponse::default().with_groups(groups.collect()))
}

fn delete_groups(r: &Refusal<'_>) -> Option<Bytes> {
    let request: DeleteGroupsRequest = r.request()?;
    let results = request
        .groups_names
        .into_iter()
        .map(|id| DeletableGroupResult::default().with_group_id(id).with_error_code(r.error));
    r.reply(&DeleteGroupsResponse::default().with_results(results.collect()))
}
