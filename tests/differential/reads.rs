//! Requests that change nothing: both sides ask about the same things.

use bytes::BytesMut;
use kafka_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::{
    BrokerId, ConsumerGroupDescribeRequest, DescribeAclsRequest, DescribeClientQuotasRequest, DescribeConfigsRequest,
    DescribeGroupsRequest, DescribeLogDirsRequest, DescribeProducersRequest, DescribeQuorumRequest,
    DescribeTopicPartitionsRequest, DescribeTransactionsRequest, DescribeUserScramCredentialsRequest,
    FindCoordinatorRequest, GroupId, ListConfigResourcesRequest, ListGroupsRequest, ListOffsetsRequest,
    ListPartitionReassignmentsRequest, ListTransactionsRequest, MetadataRequest, OffsetFetchRequest,
    OffsetForLeaderEpochRequest, TransactionalId, describe_producers_request, describe_quorum_request,
    describe_topic_partitions_request,
};
use loadtest::admin::{self, text, topic};
use weir::wire::kafka::api::key;

use super::case::{Case, Flexible, case, raw};
use super::world::Side;

/// `ConfigResource.Type.TOPIC`.
pub const TOPIC_CONFIGS: i8 = 2;

const GROUP_ID_NOT_FOUND: i16 = 69;

/// Addresses, and the controller: a broker names any broker as such, since clients cannot speak to controllers.
const PLACES: &[&str] = &["host", "port", "controller_id"];

pub fn cases() -> Vec<Case> {
    [topics(), cluster(), groups()].into_iter().flatten().collect()
}

fn topics() -> Vec<Case> {
    vec![
        case(|side, v| (1, admin::fetch_request(&side.world.topic, side.world.topic_id, v, &[0], 1 << 20))),
        case(|side, _| {
            let earliest = ListOffsetsPartition::default().with_current_leader_epoch(-1).with_timestamp(-2);
            let asked = ListOffsetsTopic::default().with_name(topic(&side.world.topic)).with_partitions(vec![earliest]);
            (1, ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]))
        })
        .up_to(11),
        case(|side, v| {
            let asked = MetadataRequestTopic::default().with_name(Some(topic(&side.world.topic)));
            (1, MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(v < 4))
        })
        .differs(PLACES),
        case(|side, _| {
            let epoch = OffsetForLeaderPartition::default().with_current_leader_epoch(-1).with_leader_epoch(0);
            let asked =
                OffsetForLeaderTopic::default().with_topic(topic(&side.world.topic)).with_partitions(vec![epoch]);
            (1, OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]))
        }),
        case(|side, _| {
            let asked = DescribeConfigsResource::default()
                .with_resource_type(TOPIC_CONFIGS)
                .with_resource_name(text(&side.world.topic))
                .with_configuration_keys(None);
            (1, DescribeConfigsRequest::default().with_resources(vec![asked]).with_include_synonyms(true))
        }),
        case(|side, _| {
            let asked = DescribableLogDirTopic::default().with_topic(topic(&side.world.topic)).with_partitions(vec![0]);
            (1, DescribeLogDirsRequest::default().with_topics(Some(vec![asked])))
        })
        .up_to(5)
        .differs(&["total_bytes", "usable_bytes"]),
        case(|side, _| {
            let asked = describe_producers_request::TopicRequest::default().with_name(topic(&side.world.topic));
            (1, DescribeProducersRequest::default().with_topics(vec![asked.with_partition_indexes(vec![0])]))
        }),
        case(|side, _| {
            let asked = describe_topic_partitions_request::TopicRequest::default().with_name(topic(&side.world.topic));
            (2, DescribeTopicPartitionsRequest::default().with_topics(vec![asked]).with_response_partition_limit(10))
        }),
        case(|side, _| {
            let asked = ListPartitionReassignmentsTopics::default().with_name(topic(&side.world.topic));
            (
                2,
                ListPartitionReassignmentsRequest::default()
                    .with_topics(Some(vec![asked.with_partition_indexes(vec![0, 1])])),
            )
        }),
    ]
}

fn cluster() -> Vec<Case> {
    vec![
        case(|_, _| (2, DescribeClusterRequest::default())).differs(PLACES),
        case(|_, _| {
            let asked = describe_quorum_request::TopicData::default().with_topic_name(topic("__cluster_metadata"));
            let asked = asked.with_partitions(vec![describe_quorum_request::PartitionData::default()]);
            (1, DescribeQuorumRequest::default().with_topics(vec![asked]))
        })
        .differs(&[
            "host",
            "port",
            "high_watermark",
            "log_end_offset",
            "last_fetch_timestamp",
            "last_caught_up_timestamp",
        ]),
        // SECURITY_DISABLED: the brokers have no authorizer.
        case(|_, _| {
            let anything = DescribeAclsRequest::default().with_resource_type_filter(1).with_operation(1);
            (1, anything.with_permission_type(1).with_pattern_type_filter(1))
        })
        .errors(&[54]),
        case(|_, _| (1, DescribeClientQuotasRequest::default())),
        case(|_, _| (1, DescribeUserScramCredentialsRequest::default().with_users(None))),
        case(|_, _| (1, ListConfigResourcesRequest::default())),
    ]
}

fn groups() -> Vec<Case> {
    let group = |name: &str| GroupId(text(name));
    vec![
        case(|side, v| {
            let key = text(&side.world.settled);
            let request = FindCoordinatorRequest::default();
            (1, if v < 4 { request.with_key(key) } else { request.with_coordinator_keys(vec![key]) })
        })
        .differs(&["host", "port"]),
        case(offset_fetch),
        raw(key::OFFSET_FETCH, 10, |side| {
            let mut body = BytesMut::new();
            body.count(Some(1)).compact(&side.world.settled).count(None).int(-1);
            body.count(Some(1)).plain(side.world.topic_id.as_bytes()).count(Some(1)).int(0).plain(&[0, 0, 0, 0]);
            (side.group(&side.world.settled), body)
        }),
        case(move |side, _| {
            let settled = &side.world.settled;
            (side.group(settled), DescribeGroupsRequest::default().with_groups(vec![group(settled)]))
        }),
        case(|_, _| (1, ListGroupsRequest::default())),
        case(move |side, _| {
            let modern = &side.world.modern;
            (side.group(modern), ConsumerGroupDescribeRequest::default().with_group_ids(vec![group(modern)]))
        }),
        // Only answers, by an error, for a group that is none of streams.
        raw(key::STREAMS_GROUP_DESCRIBE, 0, |side| {
            let mut body = BytesMut::new();
            body.count(Some(1)).compact(&side.world.modern).plain(&[0, 0]);
            (side.group(&side.world.modern), body)
        })
        .errors(&[GROUP_ID_NOT_FOUND]),
        case(|side, _| {
            let quiet = &side.world.quiet;
            let asked = vec![TransactionalId(text(quiet))];
            (side.transaction(quiet), DescribeTransactionsRequest::default().with_transactional_ids(asked))
        }),
        case(|side, _| (side.transaction(&side.world.quiet), ListTransactionsRequest::default())),
    ]
}

fn offset_fetch(side: &Side<'_>, version: i16) -> (i32, OffsetFetchRequest) {
    let (group, name) = (&side.world.settled, topic(&side.world.topic));
    let request = if version < 8 {
        let asked = OffsetFetchRequestTopic::default().with_name(name).with_partition_indexes(vec![0]);
        OffsetFetchRequest::default().with_group_id(GroupId(text(group))).with_topics(Some(vec![asked]))
    } else {
        let asked = OffsetFetchRequestTopics::default().with_name(name).with_partition_indexes(vec![0]);
        let asked =
            OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_topics(Some(vec![asked]));
        OffsetFetchRequest::default().with_groups(vec![asked]).with_topics(Some(Vec::new()))
    };
    (side.group(group), request)
}
