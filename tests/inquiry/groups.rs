//! Groups with a member, of each kind, that stays for as long as a test looks at it.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, ConsumerGroupHeartbeatRequest, GroupId, JoinGroupRequest,
    ShareGroupHeartbeatRequest, SyncGroupRequest,
};
use loadtest::admin::{self, Coordinates, text};
use loadtest::kafka::Cluster;
use loadtest::wait_for;
use loadtest::wire::Connection;
use uuid::Uuid;

use crate::world::SOON;

fn coordinator(kafka: &Cluster, group: &str) -> Connection {
    let node = admin::coordinator(kafka, Coordinates::Group, group).unwrap();
    Connection::open(kafka.address(node).unwrap()).unwrap()
}

fn id(group: &str) -> GroupId {
    GroupId(text(group))
}

/// A member by the protocol that consumers have spoken from the start; it is missed after a minute.
pub fn join_classic(kafka: &Cluster, group: &str, topic: &str) {
    let mut subscription = BytesMut::new();
    subscription.put_i16(0);
    subscription.put_i32(1);
    subscription.put_i16(topic.len() as i16);
    subscription.put_slice(topic.as_bytes());
    subscription.put_i32(-1);
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(subscription.freeze());
    let mut join = JoinGroupRequest::default()
        .with_group_id(id(group))
        .with_session_timeout_ms(60_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let mut connection = coordinator(kafka, group);
    let joined = wait_for(&format!("{group} to take a member"), SOON, || {
        let answer = connection.call(5, &join)?;
        // The first time it is only given its name.
        join.member_id = answer.member_id.clone();
        Ok((answer.error_code == 0).then_some(answer))
    })
    .unwrap();
    let assigned =
        SyncGroupRequestAssignment::default().with_member_id(joined.member_id.clone()).with_assignment(Bytes::new());
    let sync = SyncGroupRequest::default()
        .with_group_id(id(group))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id)
        .with_assignments(vec![assigned]);
    assert_eq!(connection.call(3, &sync).unwrap().error_code, 0);
}

/// A member by the protocol of KIP-848.
pub fn join_consumer(kafka: &Cluster, group: &str, topic: &str) {
    let heartbeat = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(id(group))
        .with_member_id(text(Uuid::new_v4().to_string()))
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![admin::topic(topic)]))
        .with_topic_partitions(Some(Vec::new()));
    let answer = coordinator(kafka, group).call(0, &heartbeat).unwrap();
    assert_eq!(answer.error_code, 0, "{answer:?}");
}

/// A share group without members that begins where it is told.
pub fn share(kafka: &Cluster, group: &str, topic: &str, partition: i32, start: i64) {
    let mut connection = coordinator(kafka, group);
    let member = text(Uuid::new_v4().to_string());
    for epoch in [0, -1] {
        let heartbeat = ShareGroupHeartbeatRequest::default()
            .with_group_id(id(group))
            .with_member_id(member.clone())
            .with_member_epoch(epoch)
            .with_subscribed_topic_names((epoch == 0).then(|| vec![admin::topic(topic)]));
        let answer = connection.call(1, &heartbeat).unwrap();
        assert_eq!(answer.error_code, 0, "{answer:?}");
    }
    let partition =
        AlterShareGroupOffsetsRequestPartition::default().with_partition_index(partition).with_start_offset(start);
    let topic = AlterShareGroupOffsetsRequestTopic::default()
        .with_topic_name(admin::topic(topic))
        .with_partitions(vec![partition]);
    let alter = AlterShareGroupOffsetsRequest::default().with_group_id(id(group)).with_topics(vec![topic]);
    wait_for(&format!("{group} to begin at {start}"), SOON, || {
        let answer = connection.call(0, &alter)?;
        let is_done = answer.error_code == 0
            && answer.responses.iter().flat_map(|t| &t.partitions).all(|partition| partition.error_code == 0);
        Ok(is_done.then_some(()))
    })
    .unwrap();
}
