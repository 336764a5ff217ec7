//! Share groups (KIP-932): records are acquired by one member, and accepted, released to others, or rejected for good.

use bytes::Bytes;
use kafka_protocol::messages::share_acknowledge_request::{AcknowledgePartition, AcknowledgeTopic};
use kafka_protocol::messages::share_fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::share_fetch_response::PartitionData;
use kafka_protocol::messages::{
    GroupId, ShareAcknowledgeRequest, ShareFetchRequest, ShareGroupHeartbeatRequest, share_acknowledge_request,
    share_fetch_request,
};
use kafka_protocol::records::RecordBatchDecoder;
use loadtest::admin::{self, Coordinates, text, topic};
use loadtest::kafka::Cluster;
use loadtest::wait_for;
use serde_json::{Value, json};
use uuid::Uuid;

use super::leaders::move_leader;
use super::producer::batch;
use super::programs::run;
use super::stage::{Client, SETTLED, Side, Topic, cluster, configure, create_topic, sides};

/// `ConfigResource.Type.GROUP`.
const GROUP_CONFIGS: i8 = 32;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;

/// `AcknowledgeType` of Kafka's clients.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Accept = 1,
    Release = 2,
    Reject = 3,
}

/// Offsets from the first to the last, and what becomes of them.
type Acknowledged = (i64, i64, Outcome);

/// A member with its share session at the leader of the only partition.
struct Member<'a> {
    topic: &'a Topic,
    group: String,
    id: String,
    coordinator: Client,
    member_epoch: i32,
    leader: Client,
    session_epoch: i32,
}

impl<'a> Member<'a> {
    fn join(side: &Side, cluster: &Cluster, group: &str, topic: &'a Topic) -> Self {
        let coordinator = side.coordinator(cluster, Coordinates::Group, group);
        Self::with(coordinator, side.client(topic.leaders[0]), group, topic)
    }

    /// The same, straight at the brokers.
    fn join_directly(side: &Side, cluster: &Cluster, group: &str, topic: &'a Topic) -> Self {
        let client = |node| Client::open(side, cluster.address(node).unwrap());
        let coordinator = admin::coordinator(cluster, Coordinates::Group, group).unwrap();
        Self::with(client(coordinator), client(topic.leaders[0]), group, topic)
    }

    fn with(coordinator: Client, leader: Client, group: &str, topic: &'a Topic) -> Self {
        let (group, id) = (group.to_owned(), Uuid::new_v4().to_string());
        let mut member = Member { topic, group, id, coordinator, member_epoch: 0, leader, session_epoch: 0 };
        wait_for("a partition for the member", SETTLED, || Ok(member.beat().then_some(()))).unwrap();
        member
    }

    /// A heartbeat; whether the member has been given the partition.
    fn beat(&mut self) -> bool {
        let request = ShareGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&*self.group)))
            .with_member_id(text(&*self.id))
            .with_member_epoch(self.member_epoch)
            .with_subscribed_topic_names(Some(vec![topic(&self.topic.name)]));
        let answer = self.coordinator.call(1, &request);
        assert_eq!(answer.error_code, 0, "{answer:?}");
        self.member_epoch = answer.member_epoch;
        answer.assignment.is_some_and(|given| given.topic_partitions.iter().any(|t| t.topic_id == self.topic.id))
    }

    /// Acknowledges, and asks for up to ten records: their values, each with the number of its deliveries.
    fn fetch(&mut self, acknowledged: &[Acknowledged]) -> Vec<(String, i16)> {
        let answer = self.leader.call(1, &self.fetch_request(acknowledged));
        assert_eq!(answer.error_code, 0, "{answer:?}");
        self.session_epoch += 1;
        let Some(partition) = answer.responses.into_iter().next().and_then(|mut t| t.partitions.pop()) else {
            return Vec::new();
        };
        assert_eq!((partition.error_code, partition.acknowledge_error_code), (0, 0), "{partition:?}");
        acquired(partition)
    }

    fn fetch_request(&self, acknowledged: &[Acknowledged]) -> ShareFetchRequest {
        let batches = acknowledged.iter().map(|(first, last, outcome)| {
            share_fetch_request::AcknowledgementBatch::default()
                .with_first_offset(*first)
                .with_last_offset(*last)
                .with_acknowledge_types(vec![*outcome as i8])
        });
        let partition = FetchPartition::default().with_acknowledgement_batches(batches.collect());
        let asked = FetchTopic::default().with_topic_id(self.topic.id).with_partitions(vec![partition]);
        ShareFetchRequest::default()
            .with_group_id(Some(GroupId(text(&*self.group))))
            .with_member_id(Some(text(&*self.id)))
            .with_share_session_epoch(self.session_epoch)
            .with_max_wait_ms(100)
            .with_max_bytes(1 << 20)
            .with_max_records(10)
            .with_batch_size(10)
            .with_topics(vec![asked])
    }

    /// Fetches until something has been acquired.
    fn acquire(&mut self) -> Vec<(String, i16)> {
        wait_for("records for the member", SETTLED, || {
            let acquired = self.fetch(&[]);
            Ok((!acquired.is_empty()).then_some(acquired))
        })
        .unwrap()
    }

    /// Acknowledges in a request of its own; gives the partition's error.
    fn acknowledge(&mut self, acknowledged: &[Acknowledged]) -> i16 {
        let answer = self.leader.call(1, &self.acknowledgement(acknowledged));
        assert_eq!(answer.error_code, 0, "{answer:?}");
        self.session_epoch += 1;
        answer.responses[0].partitions[0].error_code
    }

    fn acknowledgement(&self, acknowledged: &[Acknowledged]) -> ShareAcknowledgeRequest {
        let batches = acknowledged.iter().map(|(first, last, outcome)| {
            share_acknowledge_request::AcknowledgementBatch::default()
                .with_first_offset(*first)
                .with_last_offset(*last)
                .with_acknowledge_types(vec![*outcome as i8])
        });
        let partition = AcknowledgePartition::default().with_acknowledgement_batches(batches.collect());
        ShareAcknowledgeRequest::default()
            .with_group_id(Some(GroupId(text(&*self.group))))
            .with_member_id(Some(text(&*self.id)))
            .with_share_session_epoch(self.session_epoch)
            .with_topics(vec![
                AcknowledgeTopic::default().with_topic_id(self.topic.id).with_partitions(vec![partition]),
            ])
    }

    /// Closes its session and leaves the group.
    fn leave(mut self) {
        self.session_epoch = -1;
        let answer = self.leader.call(1, &self.acknowledgement(&[]).with_topics(Vec::new()));
        assert_eq!(answer.error_code, 0, "{answer:?}");
        self.member_epoch = -1;
        self.beat();
    }
}

/// The values of acquired records, each with the number of its deliveries. A batch comes whole: what is not acquired is not
/// for this member.
fn acquired(partition: PartitionData) -> Vec<(String, i16)> {
    let sets = RecordBatchDecoder::decode_all(&mut partition.records.unwrap_or_default()).unwrap();
    let records = sets.into_iter().flat_map(|set| set.records);
    let deliveries = |offset| {
        let acquired = &partition.acquired_records;
        acquired.iter().find(|a| (a.first_offset..=a.last_offset).contains(&offset)).map(|a| a.delivery_count)
    };
    let value = |value: Bytes| String::from_utf8(value.to_vec()).unwrap();
    records.filter_map(|r| Some((value(r.value.unwrap_or_default()), deliveries(r.offset)?))).collect()
}

/// A topic with `records` records that say their offset, and a group that reads it from its beginning.
fn set_up(cluster: &Cluster, name: &str, records: usize) -> Topic {
    configure(cluster, GROUP_CONFIGS, name, "share.auto.offset.reset", "earliest");
    let topic = create_topic(cluster, name, &[&[2, 3]]);
    let values: Vec<String> = (0..records).map(|n| n.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    admin::produce(cluster.address(2).unwrap(), name, 0, batch(&values).bytes()).unwrap();
    topic
}

/// These values in their n-th delivery.
fn delivered(values: &[&str], n: i16) -> Vec<(String, i16)> {
    values.iter().map(|value| ((*value).to_owned(), n)).collect()
}

#[test]
fn records_are_accepted_released_to_another_member_or_rejected_for_good() {
    let cluster = cluster();
    for side in sides() {
        let name = side.own("shared");
        let topic = set_up(&cluster, &name, 6);
        let mut one = Member::join(&side, &cluster, &name, &topic);
        let mut other = Member::join(&side, &cluster, &name, &topic);
        assert_eq!(one.acquire(), delivered(&["0", "1", "2", "3", "4", "5"], 1), "{}", side.runtime);
        assert_eq!(other.fetch(&[]), [], "{}: all are the first one's", side.runtime);
        let outcomes = [(0, 1, Outcome::Accept), (2, 3, Outcome::Release), (4, 5, Outcome::Reject)];
        assert_eq!(one.acknowledge(&outcomes), 0, "{}", side.runtime);
        assert_eq!(other.acquire(), delivered(&["2", "3"], 2), "{}", side.runtime);
        // With the next request, as clients do it.
        let mut again = other.fetch(&[(2, 2, Outcome::Accept), (3, 3, Outcome::Release)]);
        if again.is_empty() {
            again = other.acquire();
        }
        assert_eq!(again, delivered(&["3"], 3), "{}", side.runtime);
        assert_eq!(other.fetch(&[(3, 3, Outcome::Accept)]), [], "{}", side.runtime);
        is_done(&side, &cluster, &topic);
    }
}

#[test]
fn records_of_a_member_that_leaves_or_whose_connection_is_cut_come_to_the_others() {
    let cluster = cluster();
    for side in sides() {
        let name = side.own("handed-on");
        let topic = set_up(&cluster, &name, 3);
        let join = || Member::join(&side, &cluster, &name, &topic);
        let (mut first, mut second, mut third) = (join(), join(), join());
        assert_eq!(first.acquire(), delivered(&["0", "1", "2"], 1), "{}", side.runtime);
        first.leave();
        assert_eq!(second.acquire(), delivered(&["0", "1", "2"], 2), "{}", side.runtime);
        // Nobody says anything: the broker sees the connection end, which Weir must not keep up.
        drop(second);
        assert_eq!(third.acquire(), delivered(&["0", "1", "2"], 3), "{}", side.runtime);
        assert_eq!(third.acknowledge(&[(0, 2, Outcome::Accept)]), 0, "{}", side.runtime);
        third.leave();
        is_done(&side, &cluster, &topic);
    }
}

#[test]
fn share_consumers_of_a_leader_that_moved_are_led_to_the_new_ones_door() {
    let cluster = cluster();
    for side in sides() {
        let name = side.own("shared-moves");
        let topic = set_up(&cluster, &name, 3);
        let mut member = Member::join(&side, &cluster, &name, &topic);
        assert_eq!(member.acquire(), delivered(&["0", "1", "2"], 1), "{}", side.runtime);
        move_leader(&cluster, &name, 2, &[3, 2]);
        let answer = member.leader.call(1, &member.fetch_request(&[]));
        let partition = &answer.responses[0].partitions[0];
        let told = (partition.error_code, partition.current_leader.leader_id);
        assert_eq!(told, (NOT_LEADER_OR_FOLLOWER, 3), "{}", side.runtime);
        let doors = answer.node_endpoints.iter().map(|e| (e.node_id.0, format!("{}:{}", &*e.host, e.port)));
        let door = side.gateway.broker_address(3).unwrap();
        assert_eq!(doors.collect::<Vec<_>>(), [(3, door.to_string())], "{}", side.runtime);
        let moved = Topic { name: topic.name.clone(), id: topic.id, leaders: vec![3] };
        let mut there = Member::join(&side, &cluster, &name, &moved);
        let again = there.acquire();
        assert_eq!(again.iter().map(|(value, _)| &**value).collect::<Vec<_>>(), ["0", "1", "2"], "{}", side.runtime);
        assert_eq!(there.acknowledge(&[(0, 2, Outcome::Accept)]), 0, "{}", side.runtime);
        is_done(&side, &cluster, &moved);
    }
}

#[test]
fn stock_share_consumers_share_a_topic_out_whether_they_acknowledge_or_not() {
    let cluster = cluster();
    for side in sides() {
        for mode in ["implicit", "explicit"] {
            let name = side.own(&format!("stock-{mode}"));
            let topic = set_up(&cluster, &name, 20);
            let scene = json!({
                "bootstrap": side.gateway.bootstrap(), "topic": name, "group": name, "mode": mode, "records": 20,
            });
            let (status, output) = run("share.py", &scene).unwrap();
            assert!(status.success(), "{}, {mode}: {}", side.runtime, output.stderr);
            let told: Value = serde_json::from_str(&output.stdout).unwrap();
            let numbers: Vec<String> = (0..20).map(|n| n.to_string()).collect();
            assert_eq!(told["accepted"], json!(numbers), "{}, {mode}", side.runtime);
            let released = if mode == "explicit" { json!(["0"]) } else { json!([]) };
            assert_eq!(told["released"], released, "{}, {mode}", side.runtime);
            is_done(&side, &cluster, &topic);
        }
    }
}

/// Nothing is left of the topic for the group: a member at the brokers themselves is given what is written now, and no more.
fn is_done(side: &Side, cluster: &Cluster, topic: &Topic) {
    let leader = cluster.address(topic.leaders[0]).unwrap();
    admin::produce(leader, &topic.name, 0, batch(&["the last"]).bytes()).unwrap();
    let mut member = Member::join_directly(side, cluster, &topic.name, topic);
    assert_eq!(member.acquire(), delivered(&["the last"], 1), "{}", topic.name);
    assert_eq!(member.fetch(&[]), [], "{}", topic.name);
}
