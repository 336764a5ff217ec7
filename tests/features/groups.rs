//! Consumer groups: the ones that the broker arranges (KIP-848), by names and by regular expression, and the classic ones.

use std::collections::BTreeSet;

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, OffsetCommitRequest,
};
use loadtest::admin::{self, Coordinates, text, topic};
use loadtest::kafka::Cluster;
use loadtest::wait_for;
use serde_json::{Value, json};
use uuid::Uuid;

use super::producer::batch;
use super::programs::Program;
use super::stage::{Client, SETTLED, Side, Topic, cluster, create_topic, sides};

const FENCED_MEMBER_EPOCH: i16 = 110;
const UNSUPPORTED_ASSIGNOR: i16 = 112;
const STALE_MEMBER_EPOCH: i16 = 113;
const INVALID_REGULAR_EXPRESSION: i16 = 128;

/// What a member asks for when it joins.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub names: Vec<String>,
    pub regex: Option<String>,
    pub assignor: Option<&'static str>,
    pub instance: Option<String>,
}

/// A member of a group that the broker arranges.
pub struct Member {
    group: String,
    pub id: String,
    coordinator: Client,
    wish: Wish,
    pub epoch: i32,
    pub assigned: BTreeSet<(Uuid, i32)>,
}

impl Member {
    pub fn new(side: &Side, cluster: &Cluster, group: &str, wish: Wish) -> Self {
        let coordinator = side.coordinator(cluster, Coordinates::Group, group);
        let id = Uuid::new_v4().to_string();
        Self { group: group.to_owned(), id, coordinator, wish, epoch: 0, assigned: BTreeSet::new() }
    }

    /// A heartbeat as clients send it: everything when joining, what it has otherwise.
    pub fn ask(&mut self) -> ConsumerGroupHeartbeatResponse {
        let joining = self.epoch <= 0;
        let mut owned: Vec<TopicPartitions> = Vec::new();
        for (id, partition) in &self.assigned {
            match owned.last_mut().filter(|t| t.topic_id == *id) {
                Some(of_topic) => of_topic.partitions.push(*partition),
                None => {
                    owned.push(TopicPartitions::default().with_topic_id(*id).with_partitions(vec![*partition]));
                }
            }
        }
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&*self.group)))
            .with_member_id(text(&*self.id))
            .with_member_epoch(self.epoch)
            .with_instance_id(self.wish.instance.as_deref().map(text))
            .with_rebalance_timeout_ms(if joining { 60_000 } else { -1 })
            .with_topic_partitions(Some(owned));
        let request = match joining {
            true => request
                .with_subscribed_topic_names(Some(self.wish.names.iter().map(|name| topic(name)).collect()))
                .with_subscribed_topic_regex(self.wish.regex.as_deref().map(text))
                .with_server_assignor(self.wish.assignor.map(text)),
            false => request,
        };
        self.coordinator.call(1, &request)
    }

    /// A heartbeat that has to go well; what the broker takes away or gives is taken at once.
    pub fn beat(&mut self) {
        let answer = self.ask();
        assert_eq!(answer.error_code, 0, "{}: {answer:?}", self.group);
        self.epoch = answer.member_epoch;
        if let Some(assignment) = answer.assignment {
            let each = assignment.topic_partitions.into_iter();
            self.assigned =
                each.flat_map(|t| t.partitions.into_iter().map(move |partition| (t.topic_id, partition))).collect();
        }
    }

    /// Leaves; a static member with `epoch` -2 leaves for a while only.
    pub fn leave(mut self, epoch: i32) {
        self.epoch = epoch;
        self.assigned.clear();
        let answer = self.ask();
        assert_eq!(answer.error_code, 0, "{}: {answer:?}", self.group);
    }

    fn commit(&mut self, of: &Topic, epoch: i32) -> i16 {
        let partition =
            OffsetCommitRequestPartition::default().with_committed_offset(1).with_committed_metadata(Some(text("")));
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(&*self.group)))
            .with_member_id(text(&*self.id))
            .with_generation_id_or_member_epoch(epoch)
            .with_topics(vec![
                OffsetCommitRequestTopic::default().with_name(topic(&of.name)).with_partitions(vec![partition]),
            ]);
        self.coordinator.call(9, &request).topics[0].partitions[0].error_code
    }
}

/// Lets the members beat until together they have all of this, each as much, nothing twice.
pub fn share_out(members: &mut [&mut Member], all: &BTreeSet<(Uuid, i32)>) {
    let waited = wait_for("the partitions to be shared out", SETTLED, || {
        members.iter_mut().for_each(|member| member.beat());
        let fair = members.iter().all(|member| member.assigned.len() == all.len() / members.len());
        let given: BTreeSet<_> = members.iter().flat_map(|member| &member.assigned).copied().collect();
        Ok((fair && given == *all).then_some(()))
    });
    let has = || members.iter().map(|member| format!("{:?}", member.assigned)).collect::<Vec<_>>().join(" and ");
    waited.unwrap_or_else(|e| panic!("{e}: {} of {all:?}", has()));
}

pub fn partitions_of(topics: &[&Topic]) -> BTreeSet<(Uuid, i32)> {
    let of = |topic: &Topic| (0..topic.leaders.len() as i32).map(|partition| (topic.id, partition)).collect::<Vec<_>>();
    topics.iter().flat_map(|topic| of(topic)).collect()
}

#[test]
fn a_group_that_the_broker_arranges_shares_out_every_partition_once_by_either_assignor() {
    let cluster = cluster();
    for side in sides() {
        for assignor in ["uniform", "range"] {
            let at = format!("{}, {assignor}", side.runtime);
            let group = side.own(&format!("arranged-{assignor}"));
            let topic = create_topic(&cluster, &group, &[&[1], &[2], &[3], &[2]]);
            let wish = Wish { names: vec![topic.name.clone()], assignor: Some(assignor), ..Default::default() };
            let mut one = Member::new(&side, &cluster, &group, wish.clone());
            let mut two = Member::new(&side, &cluster, &group, wish.clone());
            let all = partitions_of(&[&topic]);
            share_out(&mut [&mut one], &all);
            let alone = one.epoch;
            share_out(&mut [&mut one, &mut two], &all);
            if assignor == "range" {
                let consecutive = |m: &Member| {
                    let numbers: Vec<i32> = m.assigned.iter().map(|(_, partition)| *partition).collect();
                    numbers[1] == numbers[0] + 1
                };
                assert!(consecutive(&one) && consecutive(&two), "{at}: {:?} {:?}", one.assigned, two.assigned);
            }
            assert!(one.epoch > alone, "{at}");
            let now = one.epoch;
            assert_eq!(one.commit(&topic, now), 0, "{at}");
            assert_eq!(one.commit(&topic, now + 7), STALE_MEMBER_EPOCH, "{at}");
            two.leave(-1);
            share_out(&mut [&mut one], &all);

            one.epoch += 7;
            assert_eq!(one.ask().error_code, FENCED_MEMBER_EPOCH, "{at}");
            let wish = Wish { assignor: Some("no such"), ..wish };
            let refused = Member::new(&side, &cluster, &group, wish).ask();
            assert_eq!(refused.error_code, UNSUPPORTED_ASSIGNOR, "{at}");
        }
    }
}

#[test]
fn a_regular_expression_is_the_brokers_to_evaluate_and_follows_topics_made_later() {
    let cluster = cluster();
    let mut members = Vec::new();
    for side in sides() {
        let first = create_topic(&cluster, &side.own("pattern-a"), &[&[2], &[3]]);
        let other = create_topic(&cluster, &side.own("other-a"), &[&[2]]);
        let regex = Some(side.own("pattern-.*"));
        let group = side.own("by-pattern");
        let mut member = Member::new(&side, &cluster, &group, Wish { regex, ..Default::default() });
        share_out(&mut [&mut member], &partitions_of(&[&first]));
        assert!(!member.assigned.contains(&(other.id, 0)), "{}", side.runtime);
        let wrong = Wish { regex: Some("pattern-(".to_owned()), ..Default::default() };
        let answer = Member::new(&side, &cluster, &side.own("wrong-pattern"), wrong).ask();
        assert_eq!(answer.error_code, INVALID_REGULAR_EXPRESSION, "{}: {answer:?}", side.runtime);
        members.push((side, member, first));
    }
    // Brokers look at most every ten seconds whether there is another topic: both runtimes wait together.
    for (side, member, first) in &mut members {
        let later = create_topic(&cluster, &side.own("pattern-b"), &[&[3]]);
        share_out(&mut [member], &partitions_of(&[first, &later]));
    }
}

/// Strategies of librdkafka and, for the last, the protocol in which the broker arranges.
const STRATEGIES: [(&str, &str); 3] =
    [("range", "classic"), ("cooperative-sticky", "classic"), ("uniform", "consumer")];

#[test]
fn members_of_stock_groups_come_and_go_and_every_record_is_read_once() {
    let cluster = cluster();
    for side in sides() {
        for (strategy, protocol) in STRATEGIES {
            let at = format!("{}, {strategy}", side.runtime);
            let name = side.own(&format!("members-{strategy}"));
            let topic = create_topic(&cluster, &name, &[&[1], &[2], &[3], &[2]]);
            let scene = json!({
                "bootstrap": side.gateway.bootstrap(), "topic": name, "group": name,
                "strategy": strategy, "protocol": protocol, "expected": 24,
            });
            let mut program = Program::start("members.py", &scene).unwrap();
            for (n, step) in ["alone", "together", "alone again"].into_iter().enumerate() {
                program.says(step).unwrap_or_else(|e| panic!("{at}: {e}\n{}", side.gateway.log()));
                for (partition, leader) in (0..).zip(&topic.leaders) {
                    let values = [0, 1].map(|k| format!("{n}-{partition}-{k}"));
                    let batch = batch(&[&values[0], &values[1]]);
                    admin::produce(cluster.address(*leader).unwrap(), &name, partition, batch.bytes()).unwrap();
                }
                program.go_on().unwrap();
            }
            let log = program.ends_well().unwrap();
            let told: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
            let mut read: Vec<String> =
                told["read"].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect();
            read.sort();
            let mut expected: Vec<String> = (0..24).map(|k| format!("{}-{}-{}", k / 8, k / 2 % 4, k % 2)).collect();
            expected.sort();
            assert_eq!(read, expected, "{at}");
            // Only the eager way stops the world: there all is taken from the first member when the second one comes.
            let taken = told["taken"].as_u64().unwrap();
            assert_eq!(taken, if strategy == "range" { 4 } else { 2 }, "{at}: {log}");
        }
    }
}
