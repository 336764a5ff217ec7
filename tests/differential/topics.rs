//! Topics, their records and their settings: each side has topics of its own.

use kafka_protocol::messages::alter_configs_request::{self, AlterConfigsRequest};
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::elect_leaders_request::{ElectLeadersRequest, TopicPartitions};
use kafka_protocol::messages::incremental_alter_configs_request::{self, IncrementalAlterConfigsRequest};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, BrokerId, CreatePartitionsRequest,
    CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
};
use loadtest::admin::{self, placed, text, topic};
use loadtest::batch::Batch;

use super::case::{Case, case};
use super::reads::TOPIC_CONFIGS;
use super::world::Side;

pub fn cases() -> Vec<Case> {
    [records(), life(), settings()].into_iter().flatten().collect()
}

fn records() -> Vec<Case> {
    vec![
        case(|side, v| {
            let (name, id) = side.own_topic("produced", 0);
            // zstd came with version 7 (KIP-110).
            let codec = if v < 7 { "gzip" } else { "zstd" };
            (1, admin::produce_request(&name, id, v, 0, -1, Batch::counting(4).codec(codec).bytes()))
        })
        .differs(&["topic_id"]),
        case(|side, v| {
            let (name, _) = side.own_topic("shortened", v);
            admin::produce(side.world.cluster.address(1).unwrap(), &name, 0, Batch::counting(4).bytes()).unwrap();
            let up_to = DeleteRecordsPartition::default().with_offset(2);
            let asked = DeleteRecordsTopic::default().with_name(topic(&name)).with_partitions(vec![up_to]);
            (1, DeleteRecordsRequest::default().with_topics(vec![asked]).with_timeout_ms(20_000))
        }),
    ]
}

fn life() -> Vec<Case> {
    vec![
        case(|side, v| {
            let asked = vec![placed(&side.own("made", v), &[&[1], &[2]])];
            (2, CreateTopicsRequest::default().with_topics(asked).with_timeout_ms(20_000))
        })
        .differs(&["topic_id"]),
        case(delete_topics).differs(&["topic_id"]),
        case(|side, v| {
            let (name, _) = side.own_topic("grown", v);
            let asked = CreatePartitionsTopic::default().with_name(topic(&name)).with_count(3).with_assignments(None);
            (2, CreatePartitionsRequest::default().with_topics(vec![asked]).with_timeout_ms(20_000))
        }),
        // ELECTION_NOT_NEEDED: the preferred leader leads.
        case(|side, _| {
            let asked = TopicPartitions::default().with_topic(topic(&side.world.topic)).with_partitions(vec![0]);
            (1, ElectLeadersRequest::default().with_topic_partitions(Some(vec![asked])).with_timeout_ms(20_000))
        })
        .errors(&[84]),
        case(|side, v| {
            let (name, _) = side.own_topic("moved", v);
            let to = ReassignablePartition::default().with_replicas(Some(vec![BrokerId(2)]));
            let asked = ReassignableTopic::default().with_name(topic(&name)).with_partitions(vec![to]);
            (1, AlterPartitionReassignmentsRequest::default().with_topics(vec![asked]).with_timeout_ms(20_000))
        }),
        // LOG_DIR_NOT_FOUND: no broker has a second folder.
        case(|side, _| {
            let asked = AlterReplicaLogDirTopic::default().with_name(topic(&side.world.topic)).with_partitions(vec![0]);
            let asked = AlterReplicaLogDir::default().with_path(text("/no/such/folder")).with_topics(vec![asked]);
            (1, AlterReplicaLogDirsRequest::default().with_dirs(vec![asked]))
        })
        .errors(&[57]),
    ]
}

fn delete_topics(side: &Side<'_>, version: i16) -> (i32, DeleteTopicsRequest) {
    let (name, id) = side.own_topic("deleted", version);
    let request = DeleteTopicsRequest::default().with_timeout_ms(20_000);
    let request = match version {
        6 => request.with_topics(vec![DeleteTopicState::default().with_topic_id(id).with_name(None)]),
        _ => request.with_topic_names(vec![topic(&name)]),
    };
    (1, request)
}

fn settings() -> Vec<Case> {
    vec![
        case(|side, v| {
            let (name, _) = side.own_topic("configured", v);
            let config = alter_configs_request::AlterableConfig::default().with_name(text("retention.ms"));
            let asked = alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(TOPIC_CONFIGS)
                .with_resource_name(text(name))
                .with_configs(vec![config.with_value(Some(text("86400000")))]);
            (1, AlterConfigsRequest::default().with_resources(vec![asked]))
        }),
        // INVALID_CONFIG comes with a message, which has to arrive as well.
        case(|side, v| {
            let (name, _) = side.own_topic("configured", v);
            let config = |name, value| {
                incremental_alter_configs_request::AlterableConfig::default()
                    .with_name(text(name))
                    .with_value(Some(text(value)))
            };
            let resource = |configs| {
                incremental_alter_configs_request::AlterConfigsResource::default()
                    .with_resource_type(TOPIC_CONFIGS)
                    .with_resource_name(text(&name))
                    .with_configs(configs)
            };
            let asked = match v {
                0 => resource(vec![config("retention.ms", "86400001")]),
                _ => resource(vec![config("retention.ms", "for ever")]),
            };
            (2, IncrementalAlterConfigsRequest::default().with_resources(vec![asked]))
        })
        .errors(&[40]),
    ]
}
