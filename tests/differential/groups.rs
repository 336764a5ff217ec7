//! Consumer groups: members come and go, offsets are committed and deleted, in groups of each side's own.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, DeleteGroupsRequest, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, OffsetDeleteRequest, SyncGroupRequest,
};
use loadtest::admin::{text, topic};
use weir::wire::kafka::api::key;

use super::case::{Case, Flexible, case, raw};
use super::world::{MEMBER, Side};

/// Longer than the test takes, so that no member is put out meanwhile.
const SESSION_MS: i32 = 600_000;

pub fn cases() -> Vec<Case> {
    [offsets(), members()].into_iter().flatten().collect()
}

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

fn offsets() -> Vec<Case> {
    vec![
        case(|side, v| {
            let name = side.own("committed", v);
            let partition = OffsetCommitRequestPartition::default().with_committed_offset(2);
            let partition = partition.with_committed_metadata(Some(text("mid-way")));
            let asked = OffsetCommitRequestTopic::default().with_name(topic(&side.world.topic));
            let request = OffsetCommitRequest::default()
                .with_group_id(group(&name))
                .with_generation_id_or_member_epoch(-1)
                .with_topics(vec![asked.with_partitions(vec![partition])]);
            (side.group(&name), request)
        }),
        raw(key::OFFSET_COMMIT, 10, |side| {
            let name = side.own("committed", 10);
            let mut body = BytesMut::new();
            body.compact(&name).int(-1).compact("").count(None);
            body.count(Some(1)).plain(side.world.topic_id.as_bytes());
            body.count(Some(1)).int(0).plain(&2i64.to_be_bytes()).int(-1).compact("mid-way").plain(&[0, 0, 0]);
            (side.group(&name), body)
        }),
        case(|side, v| {
            let name = side.own("forgetful", v);
            side.world.commit(&name).unwrap();
            let asked = OffsetDeleteRequestTopic::default().with_name(topic(&side.world.topic));
            let asked = asked.with_partitions(vec![OffsetDeleteRequestPartition::default()]);
            (side.group(&name), OffsetDeleteRequest::default().with_group_id(group(&name)).with_topics(vec![asked]))
        }),
        case(|side, v| {
            let name = side.own("deleted", v);
            side.world.commit(&name).unwrap();
            (side.group(&name), DeleteGroupsRequest::default().with_groups_names(vec![group(&name)]))
        }),
    ]
}

fn members() -> Vec<Case> {
    vec![
        // MEMBER_ID_REQUIRED: in v4 a member without an instance id has to come twice.
        case(|side, v| {
            let name = side.own("joined", v);
            (side.group(&name), join(&name, v))
        })
        .differs(&["member_id", "leader"])
        .errors(&[79]),
        case(|side, v| {
            let name = side.own("synced", v);
            let member = joined(side, &name);
            let request = sync(&name, &member);
            let request = match v {
                0..=4 => request,
                _ => request.with_protocol_type(Some(text("consumer"))).with_protocol_name(Some(text("range"))),
            };
            (side.group(&name), request)
        }),
        case(|side, v| {
            let name = side.own("beating", v);
            let member = settled(side, &name);
            let request = HeartbeatRequest::default().with_group_id(group(&name)).with_generation_id(1);
            (side.group(&name), request.with_member_id(text(member)))
        }),
        case(|side, v| {
            let name = side.own("left", v);
            let member = text(settled(side, &name));
            let request = LeaveGroupRequest::default().with_group_id(group(&name));
            let request = match v {
                0..=2 => request.with_member_id(member),
                _ => request.with_members(vec![MemberIdentity::default().with_member_id(member)]),
            };
            (side.group(&name), request)
        })
        .differs(&["member_id"]),
        case(|side, v| {
            let name = side.own("modern", v);
            let request = ConsumerGroupHeartbeatRequest::default()
                .with_group_id(group(&name))
                .with_member_id(text(if v == 0 { "" } else { MEMBER }))
                .with_rebalance_timeout_ms(60_000)
                .with_subscribed_topic_names(Some(vec![topic(&side.world.topic)]))
                .with_topic_partitions(Some(Vec::<TopicPartitions>::new()));
            (side.group(&name), request)
        })
        .differs(&["member_id"]),
        // A goodbye to a group that nobody is in: the broker answers it with an error and a message.
        raw(key::STREAMS_GROUP_HEARTBEAT, 0, |side| {
            let name = side.own("streaming", 0);
            let mut body = BytesMut::new();
            body.compact(&name).compact(MEMBER).int(-1).int(0).count(None).count(None).int(-1).plain(&[0xff]);
            body.count(None).count(None).count(None).count(None).plain(&[0xff]);
            body.count(None).count(None).count(None).plain(&[0, 0]);
            (side.group(&name), body)
        })
        // GROUP_ID_NOT_FOUND: it leaves what is not there.
        .errors(&[69]),
    ]
}

fn join(name: &str, version: i16) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    let request = JoinGroupRequest::default()
        .with_group_id(group(name))
        .with_session_timeout_ms(SESSION_MS)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol.with_metadata(Bytes::from_static(b"\0\x01\0\0\0\0\xff\xff\xff\xff"))]);
    let request = if version > 0 { request.with_rebalance_timeout_ms(SESSION_MS) } else { request };
    if version < 5 { request } else { request.with_group_instance_id(Some(text("instance"))) }
}

fn sync(name: &str, member: &str) -> SyncGroupRequest {
    let assignment = SyncGroupRequestAssignment::default().with_member_id(text(member));
    SyncGroupRequest::default()
        .with_group_id(group(name))
        .with_generation_id(1)
        .with_member_id(text(member))
        .with_assignments(vec![assignment.with_assignment(Bytes::from_static(b"\0\x01\0\0\0\0\xff\xff\xff\xff"))])
}

/// The only member of a group that was just joined, straight at the broker.
fn joined(side: &Side<'_>, name: &str) -> String {
    let answer = side.world.to_group(name).unwrap().call(3, &join(name, 3)).unwrap();
    assert_eq!((answer.error_code, answer.generation_id), (0, 1), "{name}");
    answer.member_id.to_string()
}

/// The only member of a group that has its assignment.
fn settled(side: &Side<'_>, name: &str) -> String {
    let member = joined(side, name);
    let answer = side.world.to_group(name).unwrap().call(3, &sync(name, &member)).unwrap();
    assert_eq!(answer.error_code, 0, "{name}");
    member
}
