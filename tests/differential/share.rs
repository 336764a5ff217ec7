//! Share groups (KIP-932): a shared one is described, others are each side's own.

use bytes::BytesMut;
use kafka_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, DeleteShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequest, GroupId,
    ShareAcknowledgeRequest, ShareFetchRequest, ShareGroupDescribeRequest, ShareGroupHeartbeatRequest,
};
use loadtest::admin::{text, topic};

use weir::wire::kafka::api::key;

use super::case::{Case, Flexible, case, raw};
use super::world::MEMBER;

pub fn cases() -> Vec<Case> {
    let group = |name: &str| GroupId(text(name));
    vec![
        case(move |side, _| {
            let name = &side.world.sharing;
            (side.group(name), ShareGroupDescribeRequest::default().with_group_ids(vec![group(name)]))
        }),
        case(move |side, _| {
            let name = &side.world.sharing;
            let asked = DescribeShareGroupOffsetsRequestTopic::default().with_topic_name(topic(&side.world.topic));
            let asked = DescribeShareGroupOffsetsRequestGroup::default()
                .with_group_id(group(name))
                .with_topics(Some(vec![asked.with_partitions(vec![0])]));
            (side.group(name), DescribeShareGroupOffsetsRequest::default().with_groups(vec![asked]))
        })
        .up_to(1),
        case(move |side, v| {
            let name = side.own("sharing", v);
            let request =
                ShareGroupHeartbeatRequest::default().with_group_id(group(&name)).with_member_id(text(MEMBER));
            (side.group(&name), request.with_subscribed_topic_names(Some(vec![topic(&side.world.topic)])))
        }),
        // Opens a session without partitions: what a broker says of them depends on what it has loaded by then.
        case(move |side, v| {
            let request = ShareFetchRequest::default()
                .with_group_id(Some(group(&side.own("share-fetching", v))))
                .with_member_id(Some(text(MEMBER)))
                .with_max_bytes(1 << 20)
                .with_max_records(10)
                .with_batch_size(10);
            (1, request)
        }),
        raw(key::SHARE_FETCH, 2, |side| {
            let mut body = BytesMut::new();
            body.compact(&side.own("share-fetching", 2)).compact(MEMBER);
            // Session epoch, longest wait, fewest and most bytes, records, batch size.
            for number in [0, 0, 0, 1 << 20, 10, 10] {
                body.int(number);
            }
            // Acquire mode, no renewal, topics, forgotten ones.
            body.plain(&[0, 0]).count(Some(0)).count(Some(0)).plain(&[0]);
            (1, body)
        }),
        // SHARE_SESSION_NOT_FOUND: an acknowledgement continues a session.
        case(move |side, v| {
            let request = ShareAcknowledgeRequest::default()
                .with_group_id(Some(group(&side.own("acknowledging", v))))
                .with_member_id(Some(text(MEMBER)));
            (1, request.with_share_session_epoch(1))
        })
        .errors(&[122]),
        raw(key::SHARE_ACKNOWLEDGE, 2, |side| {
            let mut body = BytesMut::new();
            body.compact(&side.own("acknowledging", 2)).compact(MEMBER).int(1);
            body.plain(&[0]).count(Some(0)).plain(&[0]);
            (1, body)
        })
        .errors(&[122]),
        // GROUP_ID_NOT_FOUND: nobody has shared there.
        case(move |side, v| {
            let name = side.own("unshared", v);
            let partition = AlterShareGroupOffsetsRequestPartition::default();
            let asked = AlterShareGroupOffsetsRequestTopic::default().with_topic_name(topic(&side.world.topic));
            let asked = asked.with_partitions(vec![partition]);
            (
                side.group(&name),
                AlterShareGroupOffsetsRequest::default().with_group_id(group(&name)).with_topics(vec![asked]),
            )
        })
        .errors(&[69]),
        case(move |side, v| {
            let name = side.own("unshared", v);
            let asked = DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(topic(&side.world.topic));
            (
                side.group(&name),
                DeleteShareGroupOffsetsRequest::default().with_group_id(group(&name)).with_topics(vec![asked]),
            )
        })
        .errors(&[69]),
    ]
}
