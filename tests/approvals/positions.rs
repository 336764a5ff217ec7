//! Positions of groups that are moved by something else than reading.

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, EndTxnRequest, GroupId, InitProducerIdRequest, OffsetCommitRequest, ProducerId,
    TransactionalId, TxnOffsetCommitRequest,
};
use loadtest::admin::{self, Coordinates};
use loadtest::batch::Batch;
use loadtest::wait_for;
use loadtest::wire::Connection;

use super::common::{self, RUNTIMES};
use super::desk::{Case, Desk, GROUPS, SHARE_GROUPS, Says, Told};
use super::world::{SOON, World, committed, coordinator};

const RULES: &str = r#"approvals:
  - name: positions
    operations: [reset_offsets]
    topics: ["pay.*"]
    approvers: { group: sre }
    hold: 1s
"#;

const TOPIC_AUTHORIZATION_FAILED: i16 = 29;

/// A topic with records, and a group of its name that stands before the fourth.
fn read_by_a_group(name: &str) {
    admin::create_topic(common::cluster(), name, &[1]).unwrap();
    admin::produce(common::cluster().address(1).unwrap(), name, 0, Batch::counting(5).bytes()).unwrap();
    let position = OffsetCommitRequestPartition::default().with_committed_offset(3);
    let position = OffsetCommitRequestTopic::default().with_name(admin::topic(name)).with_partitions(vec![position]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(GroupId(admin::text(name)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![position]);
    let answer = coordinator(name).call(7, &commit).unwrap();
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}

#[test]
fn positions_are_moved_and_deleted_by_kafkas_own_tools_once_it_is_approved() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, RULES);
        let mut desk = Desk::new(&world);
        let (name, share) = (format!("pay.moved-{runtime}"), format!("pay.shared-{runtime}"));
        [&name, &share].into_iter().for_each(|name| read_by_a_group(name));
        let group = format!("shares-{runtime}");
        desk.direct(SHARE_GROUPS, &format!("--reset-offsets --execute --group {group} --topic {share} --to-latest"));
        for case in cases(&name, &share, &group) {
            desk.plays(&case);
        }
    }
}

fn cases(name: &str, share: &str, group: &str) -> Vec<Case> {
    let stands = |group: &str, topic: &str, at: i64| Says::This(format!("{group} {topic} 0 {at}"));
    let of_group = format!("--group {name} --topic {name}");
    let of_shares = format!("--group {group} --topic {share}");
    vec![
        Case {
            asks: format!("reset offsets {name}, {name}"),
            does: (GROUPS, format!("--reset-offsets --execute --to-offset 1 {of_group}")),
            told: Told::Error("TopicAuthorizationException"),
            shows: (GROUPS, format!("--describe --group {name}"), stands(name, name, 1)),
        },
        Case {
            asks: format!("reset offsets {name}, {name}"),
            does: (GROUPS, format!("--delete-offsets {of_group}")),
            told: Told::Error("Topic authorization failed"),
            shows: (GROUPS, format!("--describe --group {name}"), Says::Nothing(format!("{name} {name} 0"))),
        },
        Case {
            asks: format!("reset offsets {share}, {group}"),
            does: (SHARE_GROUPS, format!("--reset-offsets --execute --to-earliest {of_shares}")),
            told: Told::Words,
            shows: (SHARE_GROUPS, format!("--describe --group {group}"), stands(group, share, 0)),
        },
        Case {
            asks: format!("reset offsets {share}, {group}"),
            does: (SHARE_GROUPS, format!("--delete-offsets {of_shares}")),
            told: Told::Words,
            shows: (SHARE_GROUPS, format!("--describe --group {group}"), Says::Nothing(format!("{group} {share} 0"))),
        },
    ]
}

/// What a transaction of one producer commits for a group.
struct Transaction {
    id: TransactionalId,
    group: String,
    topic: String,
    coordinator: Connection,
    of_group: Connection,
    producer: (ProducerId, i16),
}

impl Transaction {
    fn begin(world: &World, id: &str, group: &str, topic: &str) -> Self {
        let node = |of, key| admin::coordinator(common::cluster(), of, key).unwrap();
        let mut coordinator = world.connection_to(&world.dev, node(Coordinates::Transaction, id));
        let of_group = world.connection_to(&world.dev, node(Coordinates::Group, group));
        let id = TransactionalId(admin::text(id));
        let begins = InitProducerIdRequest::default().with_transactional_id(Some(id.clone()));
        let begins = begins.with_transaction_timeout_ms(60_000);
        // Brokers say for a moment that they are not ready yet, and end what was begun before after they have said so.
        let begun = || Ok(Some(coordinator.call(4, &begins)?).filter(|answer| answer.error_code == 0));
        let begun = wait_for("a producer's id", SOON, begun).unwrap();
        let producer = (begun.producer_id, begun.producer_epoch);
        Self { id, group: group.to_owned(), topic: topic.to_owned(), coordinator, of_group, producer }
    }

    /// What its group's coordinator says of a position that goes with it.
    fn commit(&mut self, offset: i64) -> i16 {
        let group = GroupId(admin::text(&*self.group));
        let adds = AddOffsetsToTxnRequest::default()
            .with_transactional_id(self.id.clone())
            .with_producer_id(self.producer.0)
            .with_producer_epoch(self.producer.1)
            .with_group_id(group.clone());
        let added = || Ok((self.coordinator.call(3, &adds)?.error_code == 0).then_some(()));
        wait_for("the group in the transaction", SOON, added).unwrap();
        let position = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let position = TxnOffsetCommitRequestTopic::default()
            .with_name(admin::topic(&self.topic))
            .with_partitions(vec![position.with_committed_metadata(Some(admin::text("")))]);
        let commit = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.id.clone())
            .with_group_id(group)
            .with_producer_id(self.producer.0)
            .with_producer_epoch(self.producer.1)
            .with_topics(vec![position]);
        self.of_group.call(3, &commit).unwrap().topics[0].partitions[0].error_code
    }

    fn end(mut self) {
        let end = EndTxnRequest::default()
            .with_transactional_id(self.id)
            .with_producer_id(self.producer.0)
            .with_producer_epoch(self.producer.1)
            .with_committed(true);
        assert_eq!(self.coordinator.call(3, &end).unwrap().error_code, 0);
    }
}

#[test]
fn a_transaction_that_moves_a_position_back_commits_it_once_it_is_approved() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, RULES);
        let name = format!("pay.transaction-{runtime}");
        read_by_a_group(&name);
        let mut transaction = Transaction::begin(&world, &name, &name, &name);
        assert_eq!(transaction.commit(1), TOPIC_AUTHORIZATION_FAILED);
        let id = world.pending(&format!("reset offsets {name}, {name}"));
        transaction.end();
        assert_eq!(committed(&name, &name), [3], "{runtime}: what was held is no part of it");
        world.says(&world.ann, &["approve", &id]);
        // As an application does that was told no: it begins anew.
        let mut transaction = Transaction::begin(&world, &name, &name, &name);
        assert_eq!(transaction.commit(1), 0, "{runtime}");
        transaction.end();
        let moved = || Ok((committed(&name, &name) == [1]).then_some(()));
        wait_for("the position that was committed", SOON, moved).unwrap();
        assert_eq!(world.requests().len(), 1, "{runtime}: the same commit is the same action");
    }
}
