//! What the corpus asks about: a cluster with something in it, a gateway before it, and the two sides to ask from.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{
    ApiVersionsRequest, ConsumerGroupHeartbeatRequest, GroupId, InitProducerIdRequest, OffsetCommitRequest,
    ShareGroupHeartbeatRequest, TransactionalId,
};
use loadtest::admin::{self, Coordinates, text, topic};
use loadtest::batch::Batch;
use loadtest::kafka::Cluster;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use loadtest::{Result, wait_for};
use uuid::Uuid;

use super::common;

/// A member id as clients make them up (KIP-1082), the same on both sides.
pub const MEMBER: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

/// Both sides' names begin with these, of one length, so that answers have the same layout.
const TAGS: [&str; 2] = ["side-a", "side-b"];

/// A cluster with a topic and groups that no case changes, and a gateway.
pub struct World {
    pub cluster: &'static Cluster,
    /// Partition 0 is led by broker 1 and has records, partition 1 by broker 2.
    pub topic: String,
    pub topic_id: Uuid,
    /// A group that is empty and has committed offsets of the topic.
    pub settled: String,
    /// A group of KIP-848 with a member.
    pub modern: String,
    /// A share group with a member.
    pub sharing: String,
    /// A transactional id without an open transaction.
    pub quiet: String,
    gateway: Gateway,
    runtime: &'static str,
    served: BTreeMap<i16, (i16, i16)>,
    topics: RefCell<BTreeMap<String, Uuid>>,
}

/// One of the two ways to a broker.
pub struct Side<'a> {
    pub world: &'a World,
    tag: &'static str,
    through_weir: bool,
}

impl World {
    pub fn start(runtime: &'static str) -> Self {
        let cluster = common::cluster();
        let mut options = Options::new(cluster.bootstrap()).runtime(runtime);
        options.listener = vec!["allow_security_changes: true".to_owned()];
        let gateway = common::gateway_before(cluster, options);
        let (_, any) = cluster.addresses()[0];
        let served = Connection::open(any).unwrap().call(0, &ApiVersionsRequest::default()).unwrap().api_keys;
        let named = |what: &str| format!("{what}-{runtime}");
        let world = World {
            cluster,
            topic: named("shared"),
            topic_id: admin::create_topic(cluster, &named("shared"), &[1, 2]).unwrap(),
            settled: named("settled"),
            modern: named("modern"),
            sharing: named("sharing"),
            quiet: named("quiet"),
            gateway,
            runtime,
            served: served.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect(),
            topics: RefCell::default(),
        };
        world.fill().unwrap();
        world
    }

    /// What the brokers serve, Weir's table allows.
    pub fn serves(&self, key: i16, version: i16) -> bool {
        let allowed = weir::wire::kafka::api::lookup(key).is_some_and(|row| row.serves(version));
        allowed && self.served.get(&key).is_some_and(|(min, max)| (*min..=*max).contains(&version))
    }

    pub fn sides(&self) -> [Side<'_>; 2] {
        [false, true].map(|through_weir| Side { world: self, tag: TAGS[usize::from(through_weir)], through_weir })
    }

    pub fn gateway_log(&self) -> String {
        self.gateway.log()
    }

    fn fill(&self) -> Result<()> {
        let leader = self.cluster.address(1)?;
        for codec in loadtest::clients::CODECS {
            admin::produce(leader, &self.topic, 0, Batch::counting(5).codec(codec).bytes())?;
        }
        let (id, epoch) = self.producer(None)?;
        admin::produce(leader, &self.topic, 0, Batch::counting(3).producer(id, epoch, 0).bytes())?;
        self.producer(Some(&self.quiet))?;
        self.commit(&self.settled)?;
        let modern = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&self.modern)))
            .with_member_id(text(MEMBER))
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_names(Some(vec![topic(&self.topic)]))
            .with_topic_partitions(Some(Vec::<TopicPartitions>::new()));
        self.to_group(&self.modern)?.call(1, &modern)?;
        let sharing = ShareGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&self.sharing)))
            .with_member_id(text(MEMBER))
            .with_subscribed_topic_names(Some(vec![topic(&self.topic)]));
        self.to_group(&self.sharing)?.call(1, &sharing)?;
        Ok(())
    }

    /// Commits an offset of the topic, as a consumer without group management does; the group is then there, and empty.
    pub fn commit(&self, group: &str) -> Result<()> {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(3);
        let partition = partition.with_committed_metadata(Some(text("by hand")));
        let topics = OffsetCommitRequestTopic::default().with_name(topic(&self.topic)).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topics]);
        wait_for(&format!("a commit of {group}"), loadtest::wire::ANSWER_LIMIT, || {
            let answer = self.to_group(group)?.call(8, &request)?;
            Ok((answer.topics[0].partitions[0].error_code == 0).then_some(()))
        })
    }

    /// Id and epoch of a producer, transactional where it has a name.
    pub fn producer(&self, transactional_id: Option<&str>) -> Result<(i64, i16)> {
        let node = transactional_id.map_or(Ok(1), |id| self.coordinator(Coordinates::Transaction, id))?;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))))
            .with_transaction_timeout_ms(60_000);
        wait_for("a producer id", loadtest::wire::ANSWER_LIMIT, || {
            let answer = Connection::open(self.cluster.address(node)?)?.call(4, &request)?;
            Ok((answer.error_code == 0).then_some((answer.producer_id.0, answer.producer_epoch)))
        })
    }

    pub fn coordinator(&self, of: Coordinates, key: &str) -> Result<i32> {
        admin::coordinator(self.cluster, of, key)
    }

    /// A connection straight to a group's coordinator.
    pub fn to_group(&self, group: &str) -> Result<Connection> {
        Connection::open(self.cluster.address(self.coordinator(Coordinates::Group, group)?)?)
    }
}

impl Side<'_> {
    /// The address of a broker, or of its door.
    pub fn door(&self, node: i32) -> Result<SocketAddr> {
        match self.through_weir {
            true => self.world.gateway.broker_address(node),
            false => self.world.cluster.address(node),
        }
    }

    /// The name of a thing that this side has for itself.
    pub fn own(&self, what: &str, version: i16) -> String {
        format!("{}-{}-{what}-{version:02}", self.tag, self.world.runtime)
    }

    /// Where the group, and the transactional id, of that name are coordinated.
    pub fn group(&self, name: &str) -> i32 {
        self.world.coordinator(Coordinates::Group, name).unwrap()
    }

    /// See `group`.
    pub fn transaction(&self, id: &str) -> i32 {
        self.world.coordinator(Coordinates::Transaction, id).unwrap()
    }

    /// A topic of this side's own with a partition on broker 1, made when it is first asked for.
    pub fn own_topic(&self, what: &str, version: i16) -> (String, Uuid) {
        let name = self.own(what, version);
        let made = self.world.topics.borrow().get(&name).copied();
        let id = made.unwrap_or_else(|| admin::create_topic(self.world.cluster, &name, &[1]).unwrap());
        self.world.topics.borrow_mut().insert(name.clone(), id);
        (name, id)
    }

    /// Bytes with this side's tag replaced by one for both, of the same length. What was made on the other runtime is in
    /// both sides' lists, and stays as it is.
    pub fn unnamed(&self, bytes: &Bytes) -> Bytes {
        let mut bytes = bytes.to_vec();
        let named = format!("{}-{}-", self.tag, self.world.runtime);
        for at in 0..bytes.len() {
            if bytes[at..].starts_with(named.as_bytes()) {
                bytes[at..at + self.tag.len()].copy_from_slice(b"either");
            }
        }
        bytes.into()
    }
}
