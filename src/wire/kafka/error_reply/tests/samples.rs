//! A request of each API whose reply looks at it, with at least one item; all others get an empty body, which their
//! replies must not mind.

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData};
use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_producers_request::TopicRequest as ProducersTopic;
use kafka_protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource as AlteredResource;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, StrBytes};
use uuid::Uuid;

use crate::wire::kafka::api::key;
use crate::wire::kafka::fields::put_compact_nullable_string;

/// The topic's id where topics are named by id.
pub(super) const TOPIC_ID: Uuid = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic() -> TopicName {
    TopicName(text("payments.eu"))
}

fn group() -> GroupId {
    GroupId(text("analytics"))
}

fn encoded(request: &impl Encodable, version: i16) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    request.encode(&mut bytes, version).unwrap();
    bytes.to_vec()
}

/// A request's body.
pub(super) fn body(key: i16, version: i16) -> Vec<u8> {
    match key {
        key::PRODUCE => produce(version, -1),
        key::FETCH => fetch(version),
        key::LIST_OFFSETS => list_offsets(version.min(10)),
        key::OFFSET_FOR_LEADER_EPOCH => offset_for_leader_epoch(version),
        key::METADATA => metadata(version),
        key::DESCRIBE_TOPIC_PARTITIONS => encoded(
            &DescribeTopicPartitionsRequest::default().with_topics(vec![TopicRequest::default().with_name(topic())]),
            version,
        ),
        key::OFFSET_COMMIT if version == 10 => offset_commit_by_id(),
        key::OFFSET_COMMIT => offset_commit(version),
        key::OFFSET_FETCH if version == 10 => offset_fetch_by_id(),
        key::OFFSET_FETCH => offset_fetch(version),
        key::STREAMS_GROUP_DESCRIBE => b"\x02\x0aanalytics\x00\x00".to_vec(),
        _ => groups(key, version)
            .or_else(|| transactions(key, version))
            .or_else(|| topics(key, version))
            .or_else(|| placement(key, version))
            .or_else(|| settings(key, version))
            .or_else(|| security(key, version))
            .unwrap_or_default(),
    }
}

pub(super) fn produce(version: i16, acks: i16) -> Vec<u8> {
    let partition = PartitionProduceData::default().with_index(3).with_records(Some(vec![7; 90].into()));
    let mut data = TopicProduceData::default().with_partition_data(vec![partition]);
    if version >= 13 {
        data.topic_id = TOPIC_ID;
    } else {
        data.name = topic();
    }
    encoded(&ProduceRequest::default().with_acks(acks).with_topic_data(vec![data]), version)
}

fn fetch(version: i16) -> Vec<u8> {
    let partition = FetchPartition::default().with_partition(3);
    let mut asked = FetchTopic::default().with_partitions(vec![partition]);
    if version >= 13 {
        asked.topic_id = TOPIC_ID;
    } else {
        asked.topic = topic();
    }
    encoded(&FetchRequest::default().with_topics(vec![asked]), version)
}

pub(super) fn fetch_of_a_session(version: i16) -> Vec<u8> {
    encoded(&FetchRequest::default().with_session_id(5).with_session_epoch(2), version)
}

fn list_offsets(version: i16) -> Vec<u8> {
    let partition = ListOffsetsPartition::default().with_partition_index(3);
    let asked = ListOffsetsTopic::default().with_name(topic()).with_partitions(vec![partition]);
    encoded(&ListOffsetsRequest::default().with_topics(vec![asked]), version)
}

fn offset_for_leader_epoch(version: i16) -> Vec<u8> {
    let partition = OffsetForLeaderPartition::default().with_partition(3);
    let asked = OffsetForLeaderTopic::default().with_topic(topic()).with_partitions(vec![partition]);
    encoded(&OffsetForLeaderEpochRequest::default().with_topics(vec![asked]), version)
}

fn metadata(version: i16) -> Vec<u8> {
    let mut asked = MetadataRequestTopic::default().with_name(Some(topic()));
    if version >= 12 {
        asked = asked.with_name(None).with_topic_id(TOPIC_ID);
    }
    encoded(&MetadataRequest::default().with_topics(Some(vec![asked])), version)
}

pub(super) fn metadata_of_all(version: i16) -> Vec<u8> {
    let all = if version == 0 { Some(Vec::new()) } else { None };
    encoded(&MetadataRequest::default().with_topics(all), version)
}

pub(super) fn elect_all(version: i16) -> Vec<u8> {
    encoded(&ElectLeadersRequest::default().with_topic_partitions(None), version)
}

fn offset_commit(version: i16) -> Vec<u8> {
    let partition = OffsetCommitRequestPartition::default().with_partition_index(3);
    let asked = OffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
    encoded(&OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![asked]), version)
}

/// OffsetCommit v10: group, generation, member, instance, topics by id.
fn offset_commit_by_id() -> Vec<u8> {
    let mut body = Vec::new();
    put_compact_nullable_string(&mut body, Some("analytics")).unwrap();
    body.put_i32(-1);
    put_compact_nullable_string(&mut body, Some("")).unwrap();
    put_compact_nullable_string(&mut body, None).unwrap();
    body.put_u8(2);
    body.put_slice(TOPIC_ID.as_bytes());
    body.put_u8(3);
    for index in [3, 4] {
        body.put_i32(index);
        body.put_i64(1000);
        body.put_i32(-1);
        put_compact_nullable_string(&mut body, Some("metadata")).unwrap();
        body.put_u8(0);
    }
    body.put_slice(&[0, 0]);
    body
}

fn offset_fetch(version: i16) -> Vec<u8> {
    let asked = OffsetFetchRequestTopic::default().with_name(topic()).with_partition_indexes(vec![3]);
    let request = match version {
        8.. => OffsetFetchRequest::default()
            .with_groups(vec![OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(None)]),
        _ => OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![asked])),
    };
    encoded(&request, version)
}

/// OffsetFetch v10: one group with one topic by id, one without topics.
fn offset_fetch_by_id() -> Vec<u8> {
    let mut body = vec![3];
    for topics in [true, false] {
        put_compact_nullable_string(&mut body, Some("analytics")).unwrap();
        put_compact_nullable_string(&mut body, None).unwrap();
        body.put_i32(-1);
        if topics {
            body.put_u8(2);
            body.put_slice(TOPIC_ID.as_bytes());
            body.put_u8(2);
            body.put_i32(3);
            body.put_u8(0);
        } else {
            body.put_u8(0);
        }
        body.put_u8(0);
    }
    body.put_slice(&[1, 0]);
    body
}

fn groups(key: i16, v: i16) -> Option<Vec<u8>> {
    let names = vec![group()];
    Some(match key {
        key::FIND_COORDINATOR if v >= 4 => {
            encoded(&FindCoordinatorRequest::default().with_coordinator_keys(vec![text("analytics")]), v)
        }
        key::JOIN_GROUP => encoded(&JoinGroupRequest::default().with_group_id(group()), v),
        key::DESCRIBE_GROUPS => encoded(&DescribeGroupsRequest::default().with_groups(names), v),
        key::CONSUMER_GROUP_DESCRIBE => encoded(&ConsumerGroupDescribeRequest::default().with_group_ids(names), v),
        key::SHARE_GROUP_DESCRIBE => encoded(&ShareGroupDescribeRequest::default().with_group_ids(names), v),
        key::DESCRIBE_SHARE_GROUP_OFFSETS => {
            let asked = DescribeShareGroupOffsetsRequestGroup::default().with_group_id(group());
            encoded(&DescribeShareGroupOffsetsRequest::default().with_groups(vec![asked]), 0)
        }
        key::DELETE_GROUPS => encoded(&DeleteGroupsRequest::default().with_groups_names(names), v),
        _ => return None,
    })
}

fn transactions(key: i16, v: i16) -> Option<Vec<u8>> {
    Some(match key {
        key::ADD_PARTITIONS_TO_TXN if v <= 3 => {
            let added = AddPartitionsToTxnTopic::default().with_name(topic()).with_partitions(vec![3]);
            encoded(&AddPartitionsToTxnRequest::default().with_v3_and_below_topics(vec![added]), v)
        }
        key::TXN_OFFSET_COMMIT => {
            let partition = TxnOffsetCommitRequestPartition::default().with_partition_index(3);
            let asked = TxnOffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
            encoded(&TxnOffsetCommitRequest::default().with_topics(vec![asked]), v)
        }
        key::WRITE_TXN_MARKERS if v == 1 => {
            let marked = WritableTxnMarkerTopic::default().with_name(topic()).with_partition_indexes(vec![3]);
            let marker = WritableTxnMarker::default().with_topics(vec![marked]);
            encoded(&WriteTxnMarkersRequest::default().with_markers(vec![marker]), v)
        }
        key::DESCRIBE_PRODUCERS => {
            let asked = ProducersTopic::default().with_name(topic()).with_partition_indexes(vec![3]);
            encoded(&DescribeProducersRequest::default().with_topics(vec![asked]), v)
        }
        key::DESCRIBE_TRANSACTIONS => {
            let ids = vec![TransactionalId(text("billing"))];
            encoded(&DescribeTransactionsRequest::default().with_transactional_ids(ids), v)
        }
        _ => return None,
    })
}

fn topics(key: i16, v: i16) -> Option<Vec<u8>> {
    Some(match key {
        key::CREATE_TOPICS => {
            encoded(&CreateTopicsRequest::default().with_topics(vec![CreatableTopic::default().with_name(topic())]), v)
        }
        key::DELETE_TOPICS if v >= 6 => {
            let by_id = DeleteTopicState::default().with_name(None).with_topic_id(TOPIC_ID);
            encoded(&DeleteTopicsRequest::default().with_topics(vec![by_id]), v)
        }
        key::DELETE_TOPICS => encoded(&DeleteTopicsRequest::default().with_topic_names(vec![topic()]), v),
        key::CREATE_PARTITIONS => {
            let asked = CreatePartitionsTopic::default().with_name(topic()).with_count(9);
            encoded(&CreatePartitionsRequest::default().with_topics(vec![asked]), v)
        }
        key::DELETE_RECORDS => {
            let partition = DeleteRecordsPartition::default().with_partition_index(3);
            let asked = DeleteRecordsTopic::default().with_name(topic()).with_partitions(vec![partition]);
            encoded(&DeleteRecordsRequest::default().with_topics(vec![asked]), v)
        }
        _ => return None,
    })
}

fn placement(key: i16, v: i16) -> Option<Vec<u8>> {
    Some(match key {
        key::ELECT_LEADERS => {
            let asked = TopicPartitions::default().with_topic(topic()).with_partitions(vec![3]);
            encoded(&ElectLeadersRequest::default().with_topic_partitions(Some(vec![asked])), v)
        }
        key::ALTER_PARTITION_REASSIGNMENTS => {
            let partition = ReassignablePartition::default().with_partition_index(3);
            let asked = ReassignableTopic::default().with_name(topic()).with_partitions(vec![partition]);
            encoded(&AlterPartitionReassignmentsRequest::default().with_topics(vec![asked]), v)
        }
        key::ALTER_REPLICA_LOG_DIRS => {
            let moved = AlterReplicaLogDirTopic::default().with_name(topic()).with_partitions(vec![3]);
            let dir = AlterReplicaLogDir::default().with_topics(vec![moved]);
            encoded(&AlterReplicaLogDirsRequest::default().with_dirs(vec![dir]), v)
        }
        _ => return None,
    })
}

fn settings(key: i16, v: i16) -> Option<Vec<u8>> {
    Some(match key {
        key::DESCRIBE_CONFIGS => {
            let asked =
                DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text("payments.eu"));
            encoded(&DescribeConfigsRequest::default().with_resources(vec![asked]), v)
        }
        key::ALTER_CONFIGS => {
            let asked = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text("payments.eu"));
            encoded(&AlterConfigsRequest::default().with_resources(vec![asked]), v)
        }
        key::INCREMENTAL_ALTER_CONFIGS => {
            let asked = AlteredResource::default().with_resource_type(2).with_resource_name(text("payments.eu"));
            encoded(&IncrementalAlterConfigsRequest::default().with_resources(vec![asked]), v)
        }
        _ => return None,
    })
}

fn security(key: i16, v: i16) -> Option<Vec<u8>> {
    Some(match key {
        key::CREATE_ACLS => encoded(&CreateAclsRequest::default().with_creations(vec![AclCreation::default()]), v),
        key::DELETE_ACLS => encoded(&DeleteAclsRequest::default().with_filters(vec![DeleteAclsFilter::default()]), v),
        key::ALTER_CLIENT_QUOTAS => {
            let entity = EntityData::default().with_entity_type(text("user")).with_entity_name(None);
            let entry = EntryData::default().with_entity(vec![entity]);
            encoded(&AlterClientQuotasRequest::default().with_entries(vec![entry]), v)
        }
        key::ALTER_USER_SCRAM_CREDENTIALS => {
            let deleted = ScramCredentialDeletion::default().with_name(text("analyst-7"));
            let inserted = ScramCredentialUpsertion::default().with_name(text("analyst-7"));
            let request = AlterUserScramCredentialsRequest::default().with_deletions(vec![deleted]);
            encoded(&request.with_upsertions(vec![inserted]), v)
        }
        _ => return None,
    })
}
