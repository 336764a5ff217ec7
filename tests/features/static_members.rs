//! Static members (KIP-345): who comes back under its instance id keeps what it had, and whoever it replaced is fenced.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, OffsetCommitRequest, SyncGroupRequest,
};
use loadtest::admin::{Coordinates, text, topic};
use loadtest::kafka::Cluster;

use super::groups::{Member, Wish, partitions_of, share_out};
use super::stage::{Client, Side, cluster, create_topic, sides};

const FENCED_INSTANCE_ID: i16 = 82;
const UNRELEASED_INSTANCE_ID: i16 = 111;
/// What a member is told that was replaced: unknown, or fenced.
const REPLACED: [i16; 3] = [25, FENCED_INSTANCE_ID, 110];

/// Longer than the tests take, so that no member is put out meanwhile.
const SESSION_MS: i32 = 600_000;
const INSTANCE: &str = "instance-1";

/// A member of a classic group, with a connection of its own.
struct Classic {
    group: GroupId,
    coordinator: Client,
    member: String,
    generation: i32,
}

impl Classic {
    /// Joins under the instance id, as a process does that has just started.
    fn join(side: &Side, cluster: &Cluster, group: &str) -> (Self, JoinGroupResponse) {
        let mut coordinator = side.coordinator(cluster, Coordinates::Group, group);
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"\0\x01\0\0\0\0\xff\xff\xff\xff"));
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(SESSION_MS)
            .with_group_instance_id(Some(text(INSTANCE)))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        let answer = coordinator.call(9, &request);
        assert_eq!(answer.error_code, 0, "{group}: {answer:?}");
        let (member, generation) = (answer.member_id.to_string(), answer.generation_id);
        (Self { group: GroupId(text(group)), coordinator, member, generation }, answer)
    }

    /// Error and assignment; the leader says what it is.
    fn sync(&mut self, assigns: Option<&'static [u8]>) -> (i16, Bytes) {
        let assignment = assigns.map(|bytes| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(&*self.member))
                .with_assignment(Bytes::from_static(bytes))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id(self.generation)
            .with_member_id(text(&*self.member))
            .with_group_instance_id(Some(text(INSTANCE)))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(assignment.into_iter().collect());
        let answer = self.coordinator.call(5, &request);
        (answer.error_code, answer.assignment)
    }

    fn heartbeat(&mut self) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id(self.generation)
            .with_member_id(text(&*self.member))
            .with_group_instance_id(Some(text(INSTANCE)));
        self.coordinator.call(4, &request).error_code
    }

    fn commit(&mut self, of: &str) -> i16 {
        let partition =
            OffsetCommitRequestPartition::default().with_committed_offset(1).with_committed_metadata(Some(text("")));
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(text(&*self.member))
            .with_group_instance_id(Some(text(INSTANCE)))
            .with_topics(vec![
                OffsetCommitRequestTopic::default().with_name(topic(of)).with_partitions(vec![partition]),
            ]);
        self.coordinator.call(8, &request).topics[0].partitions[0].error_code
    }
}

#[test]
fn a_static_member_of_a_classic_group_restarts_without_a_rebalance_and_fences_its_double() {
    const ASSIGNMENT: &[u8] = b"\0\x01\0\0\0\0\xff\xff\xff\xff";
    let cluster = cluster();
    for side in sides() {
        let at = side.runtime;
        let group = side.own("static-classic");
        create_topic(&cluster, &group, &[&[2, 3]]);
        let (mut before, joined) = Classic::join(&side, &cluster, &group);
        assert!(!joined.skip_assignment, "{at}");
        assert_eq!(before.sync(Some(ASSIGNMENT)), (0, Bytes::from_static(ASSIGNMENT)), "{at}");
        assert_eq!((before.heartbeat(), before.commit(&group)), (0, 0), "{at}");

        let (mut after, joined) = Classic::join(&side, &cluster, &group);
        assert_eq!(after.generation, before.generation, "{at}: no rebalance");
        assert_ne!(after.member, before.member, "{at}");
        assert!(joined.skip_assignment, "{at}: the leader need not assign again");
        assert_eq!(after.sync(None), (0, Bytes::from_static(ASSIGNMENT)), "{at}: it keeps what it had");
        assert_eq!((after.heartbeat(), after.commit(&group)), (0, 0), "{at}");

        let fenced = (before.heartbeat(), before.commit(&group), before.sync(None).0);
        assert_eq!(fenced, (FENCED_INSTANCE_ID, FENCED_INSTANCE_ID, FENCED_INSTANCE_ID), "{at}");
        assert_eq!(after.heartbeat(), 0, "{at}");
    }
}

#[test]
fn a_static_member_of_a_group_the_broker_arranges_keeps_its_partitions_over_a_restart() {
    let cluster = cluster();
    for side in sides() {
        let at = side.runtime;
        let group = side.own("static-arranged");
        let topic = create_topic(&cluster, &group, &[&[1], &[2], &[3], &[2]]);
        let all = partitions_of(&[&topic]);
        let wish = |instance: &str| Wish {
            names: vec![topic.name.clone()],
            instance: Some(instance.to_owned()),
            ..Default::default()
        };
        let member = |instance: &str| Member::new(&side, &cluster, &group, wish(instance));
        let (mut one, mut two) = (member("one"), member("two"));
        share_out(&mut [&mut one], &all);
        share_out(&mut [&mut one, &mut two], &all);
        let (had, epoch) = (two.assigned.clone(), two.epoch);
        assert_eq!(member("two").ask().error_code, UNRELEASED_INSTANCE_ID, "{at}: a double");

        // It goes away for a while, and what it had is kept for it: the other one is given nothing.
        let gone = two.id.clone();
        two.leave(-2);
        (0..5).for_each(|_| one.beat());
        assert!(one.assigned.is_disjoint(&had), "{at}");
        let mut again = member("two");
        share_out(&mut [&mut again], &had);
        assert_eq!(again.epoch, epoch, "{at}: no rebalance");
        let mut replaced = member("two");
        (replaced.id, replaced.epoch) = (gone, epoch);
        let error = replaced.ask().error_code;
        assert!(REPLACED.contains(&error), "{at}: error {error}");
        share_out(&mut [&mut one, &mut again], &all);
    }
}
