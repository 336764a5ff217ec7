//! What an exchange touches, read along while its body is walked: topics, partitions, offsets, counts, errors.
//!
//! One visitor serves every API, since the layouts say what a field means. Its state lives in [`Description`], which is
//! kept between the pieces of a body.
//!
//! Invariants:
//! - No content is kept: names, numbers and counts only; of a secret, that it was there.
//! - A body names at most `limits::EVENT_ITEMS_MAX` items in an event; the rest is counted.

use std::sync::Arc;

use super::hold::Passed;
use crate::event::{Item, RequestPart, Resource};
use crate::limits;
use crate::wire::kafka::addresses::BROKER_CONFIGS;
use crate::wire::kafka::api::{self, key};
use crate::wire::kafka::batch::{Batch, Format};
use crate::wire::kafka::layout::{Group, Role};
use crate::wire::kafka::walk::{Span, Value, Visitor};

/// Names of topics by id, as far as they are known (KIP-516).
pub trait TopicDirectory {
    /// The name of a topic id.
    fn name(&self, id: &[u8; 16]) -> Option<Arc<str>>;
    /// A response used an id without a name: later ones should find one.
    fn met(&self, _id: &[u8; 16]) {}
    /// A response named these topics' ids.
    fn learn(&self, topics: Vec<([u8; 16], Arc<str>)>);
}

/// How fast brokers may copy replicas (KIP-73, KIP-113): whoever may move a partition may say at which pace, and
/// `kafka-reassign-partitions` takes these back whenever it looks whether a move has ended.
pub const REPLICATION_THROTTLES: [&str; 3] = [
    "leader.replication.throttled.rate",
    "follower.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
];

/// `ConfigResource.Type.BROKER_LOGGER`.
const BROKER_LOGGERS: i64 = 8;

/// Which of an exchange's two bodies is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The request.
    Request,
    /// The response.
    Response,
}

/// What has been read of a body so far.
#[derive(Debug)]
pub struct Description {
    api_key: i16,
    side: Side,
    /// What it touches.
    pub items: Vec<Item>,
    /// Items beyond the limit.
    pub omitted: u32,
    /// The response's own error code.
    pub error_code: i16,
    /// Throttle time, ms.
    pub throttle_ms: u32,
    /// Produce's acks.
    pub acks: Option<i16>,
    /// Fetch's, ListOffsets' or OffsetForLeaderEpoch's replica id, where the body has one.
    pub replica_id: Option<i32>,
    /// Generation or member epoch that a group's member states.
    pub generation: Option<i32>,
    /// JoinGroup's session timeout, ms.
    pub session_timeout_ms: Option<u32>,
    /// The fetch session that an answer goes on with or opens (KIP-227).
    pub session_id: Option<i32>,
    /// Metadata that may create the topics it names.
    pub may_create_topics: bool,
    /// The body only asks what would happen.
    pub validate_only: bool,
    /// The body holds a secret.
    pub secret: bool,
    /// The body names a host, or a setting that may.
    pub names_hosts: bool,
    /// The request sets something of a broker besides [`REPLICATION_THROTTLES`].
    pub configures_brokers: bool,
    /// Topic ids of the request that have no name yet, at most as many as there are items.
    pub unnamed: Vec<[u8; 16]>,
    /// What was read, partition by partition; none where nobody counts it.
    pub passed: Option<Vec<Passed>>,
    /// Topic ids that the response named.
    pub learnt: Vec<([u8; 16], Arc<str>)>,
    topic: Option<Arc<str>>,
    partition: i32,
    topic_id: Option<[u8; 16]>,
    group_error: i16,
    /// The topic that is being read stands there with an error of its own: what it says of it is not known to be so.
    topic_in_error: bool,
    depth: u32,
    items_before_topic: usize,
    item: Option<usize>,
    resource: Resource,
    /// The resource is a broker itself, not one of its loggers.
    broker_itself: bool,
    transactions: bool,
}

impl Description {
    /// Nothing read yet.
    pub fn new(api_key: i16, side: Side) -> Self {
        Description {
            api_key,
            side,
            items: Vec::new(),
            omitted: 0,
            error_code: 0,
            throttle_ms: 0,
            acks: None,
            replica_id: None,
            generation: None,
            session_timeout_ms: None,
            session_id: None,
            may_create_topics: false,
            validate_only: false,
            secret: false,
            names_hosts: false,
            configures_brokers: false,
            unnamed: Vec::new(),
            passed: None,
            learnt: Vec::new(),
            topic: None,
            partition: -1,
            topic_id: None,
            group_error: 0,
            topic_in_error: false,
            depth: 0,
            items_before_topic: 0,
            item: None,
            resource: Resource::Topic,
            broker_itself: false,
            transactions: false,
        }
    }

    /// The same, counting what was read where that is asked for.
    pub fn counting(api_key: i16, side: Side, counted: bool) -> Self {
        Description { passed: counted.then(Vec::new), ..Description::new(api_key, side) }
    }

    /// The request's part of the event.
    pub fn into_request(self, api_version: i16, correlation_id: i32, frame_bytes: u64) -> RequestPart {
        RequestPart {
            api_key: self.api_key,
            api_version,
            correlation_id,
            bytes: frame_bytes,
            items: self.items,
            items_omitted: self.omitted,
            secret_withheld: self.secret,
        }
    }

    /// The API whose body is read.
    pub fn api_key(&self) -> i16 {
        self.api_key
    }

    /// Whether carrying the request out changes what remains on the cluster.
    pub fn changes_something(&self) -> bool {
        let creates = self.api_key == key::METADATA && self.may_create_topics && !self.items.is_empty();
        !self.validate_only && (creates || api::lookup(self.api_key).is_some_and(|api| api.changes))
    }

    /// In answers about what topics exist, partitions would drown what was asked.
    fn topics_only(&self) -> bool {
        matches!(self.api_key, key::METADATA | key::DESCRIBE_TOPIC_PARTITIONS)
    }

    fn begin(&mut self, resource: Resource, name: &str, partition: Option<i32>) {
        if self.items.len() >= limits::EVENT_ITEMS_MAX {
            self.omitted = self.omitted.saturating_add(1);
            self.item = None;
            return;
        }
        self.item = Some(self.items.len());
        self.items.push(Item { resource, name: name.to_owned(), partition, ..Item::default() });
    }

    fn current(&mut self) -> Option<&mut Item> {
        self.item.and_then(|index| self.items.get_mut(index))
    }

    fn error(&mut self, code: i16) {
        let in_a_group = self.depth > 0;
        self.topic_in_error |= self.depth == 1 && code != 0;
        match self.current() {
            Some(item) => item.error_code = code,
            None if in_a_group => self.group_error = code,
            None => self.error_code = code,
        }
    }

    /// Counts a partition's records, where somebody asked for that.
    fn count(&mut self, bytes: u64) {
        let (Some(passed), Some(topic)) = (&mut self.passed, &self.topic) else { return };
        passed.push(Passed { topic: topic.clone(), partition: self.partition, upto: None, bytes });
    }

    fn end_topic(&mut self) {
        if let Some(topic) = self.topic.take()
            && self.items.len() == self.items_before_topic
            && self.item.is_none()
            && !(self.api_key == key::FETCH && self.side == Side::Response)
        {
            self.begin(Resource::Topic, &topic, None);
            let code = self.group_error;
            if let Some(item) = self.current() {
                item.error_code = code;
            }
        }
        self.item = None;
        self.group_error = 0;
    }

    /// A fetched partition without records and without an error says nothing.
    fn end_partition(&mut self) {
        if self.api_key == key::FETCH
            && self.side == Side::Response
            && self.current().is_some_and(|i| i.records.unwrap_or(0) == 0 && i.error_code == 0)
        {
            self.items.pop();
        }
        self.item = None;
    }
}

/// The visitor: a description in the making, and the names it needs.
pub struct Describer<'a> {
    description: &'a mut Description,
    topics: &'a dyn TopicDirectory,
}

impl<'a> Describer<'a> {
    /// Goes on with `description`.
    pub fn new(description: &'a mut Description, topics: &'a dyn TopicDirectory) -> Self {
        Describer { description, topics }
    }

    fn name(&mut self, role: Role, name: &str) {
        let description = &mut *self.description;
        let resource = match role {
            Role::Topic => {
                description.topic = Some(Arc::from(name));
                if description.depth == 0 {
                    description.begin(Resource::Topic, name, None);
                }
                return;
            }
            Role::GroupId => Resource::Group,
            Role::CoordinatorKey if description.transactions => Resource::TransactionalId,
            Role::CoordinatorKey => Resource::Group,
            Role::TransactionalId => Resource::TransactionalId,
            Role::ResourceName => description.resource,
            Role::User => Resource::User,
            Role::TokenId => Resource::DelegationToken,
            _ => return,
        };
        description.begin(resource, name, None);
        if description.group_error != 0 {
            let code = std::mem::take(&mut description.group_error);
            description.error(code);
        }
        // A group's or transaction's own name stands before the topics it covers; they are items of their own.
        if matches!(role, Role::GroupId | Role::TransactionalId) && description.side == Side::Request {
            description.item = None;
        }
    }

    fn number(&mut self, role: Role, number: i64) {
        let description = &mut *self.description;
        match role {
            Role::Partition if !description.topics_only() => {
                description.partition = i32::try_from(number).unwrap_or(-1);
                let topic = description.topic.clone().unwrap_or_default();
                let partition = i32::try_from(number).ok();
                description.begin(Resource::Topic, &topic, partition);
            }
            Role::ErrorCode => description.error(i16::try_from(number).unwrap_or(-1)),
            Role::Offset | Role::BaseOffset => {
                if let Some(item) = description.current() {
                    item.offset = Some(number);
                }
            }
            Role::ThrottleMs => description.throttle_ms = u32::try_from(number).unwrap_or(0),
            Role::Acks => description.acks = i16::try_from(number).ok(),
            Role::ReplicaId => description.replica_id = i32::try_from(number).ok(),
            Role::Generation => description.generation = i32::try_from(number).ok(),
            Role::SessionId => description.session_id = i32::try_from(number).ok(),
            Role::SessionTimeoutMs => description.session_timeout_ms = u32::try_from(number).ok(),
            Role::ResourceType => {
                description.resource = resource_of(description.api_key, number);
                description.broker_itself = number == BROKER_CONFIGS;
            }
            Role::KeyType => {
                description.transactions = number == 1;
                if let Some(item) = description.items.last_mut().filter(|i| i.resource == Resource::Group) {
                    item.resource = if number == 1 { Resource::TransactionalId } else { Resource::Group };
                }
            }
            _ => {}
        }
    }

    fn setting(&mut self, name: Option<&str>) {
        // A logger may bear any name.
        let throttles =
            self.description.broker_itself && name.is_some_and(|name| REPLICATION_THROTTLES.contains(&name));
        self.description.configures_brokers |= self.description.resource == Resource::Broker && !throttles;
    }

    /// What stands for a topic as long as its name is not known.
    fn stand_in(&mut self, id: [u8; 16]) -> Arc<str> {
        let unnamed = &mut self.description.unnamed;
        match self.description.side {
            Side::Response => self.topics.met(&id),
            Side::Request if unnamed.len() < limits::EVENT_ITEMS_MAX && !unnamed.contains(&id) => unnamed.push(id),
            Side::Request => {}
        }
        Arc::from(text_of(&id))
    }

    fn topic_id(&mut self, id: [u8; 16]) {
        if id == [0; 16] {
            return;
        }
        self.description.topic_id = Some(id);
        if self.description.topic.as_deref().is_none_or(str::is_empty) {
            let name = self.topics.name(&id).unwrap_or_else(|| self.stand_in(id));
            if self.description.depth == 0 {
                self.description.begin(Resource::Topic, &name, None);
            }
            self.description.topic = Some(name);
        }
    }
}

impl Visitor for Describer<'_> {
    fn value(&mut self, role: Role, value: Value<'_>, _span: Span) {
        match value {
            Value::Text(name) if role == Role::ConfigName => self.setting(name),
            Value::Text(Some(name)) => self.name(role, name),
            Value::Int(number) => self.number(role, number),
            Value::Uuid(id) if role == Role::TopicId => self.topic_id(id),
            Value::Bool(on) => match role {
                Role::AllowAutoTopicCreation => self.description.may_create_topics = on,
                Role::ValidateOnly => self.description.validate_only = on,
                _ => {}
            },
            Value::Records(len) => {
                self.description.count(len.unwrap_or(0).into());
                if let Some(item) = self.description.current() {
                    item.bytes = Some(len.unwrap_or(0).into());
                    item.records = Some(0);
                }
            }
            _ => {}
        }
        match role {
            Role::Secret => self.description.secret = true,
            Role::Host | Role::ConfigValue => self.description.names_hosts = true,
            _ => {}
        }
    }

    fn open(&mut self, group: Group, _at: u64) {
        let description = &mut *self.description;
        description.depth += 1;
        if matches!(group, Group::Topic | Group::ForgottenTopic) {
            description.topic = None;
            description.topic_id = None;
            description.topic_in_error = false;
            description.items_before_topic = description.items.len();
            description.item = None;
            description.group_error = 0;
        }
    }

    fn close(&mut self, group: Group, _at: u64) {
        let description = &mut *self.description;
        description.depth = description.depth.saturating_sub(1);
        match group {
            Group::Topic | Group::ForgottenTopic => {
                if let (Side::Response, Some(id), Some(topic)) =
                    (description.side, description.topic_id, description.topic.clone())
                    && description.topics_only()
                    && !description.topic_in_error
                {
                    description.learnt.push((id, topic));
                }
                description.end_topic();
            }
            Group::Partition => description.end_partition(),
            _ if description.depth == 0 => {
                description.item = None;
                description.group_error = 0;
            }
            _ => {}
        }
    }

    fn batch(&mut self, batch: &Batch) {
        let read = self.description.api_key == key::FETCH && self.description.side == Side::Response;
        let records = match batch.format {
            Format::V2(header) => u32::try_from(header.records).unwrap_or(0),
            Format::Legacy { .. } => 1,
        };
        if let (Some(passed), Format::V2(header)) = (&mut self.description.passed, &batch.format)
            && let Some(last) = passed.last_mut()
        {
            let behind = batch.base_offset.saturating_add(i64::from(header.last_offset_delta)).saturating_add(1);
            last.upto = last.upto.max(Some(behind));
        }
        if let Some(item) = self.description.current() {
            if read && item.offset.is_none() {
                item.offset = Some(batch.base_offset);
            }
            item.records = Some(item.records.unwrap_or(0).saturating_add(records));
        }
    }
}

/// A topic id as text.
pub(super) fn text_of(id: &[u8; 16]) -> String {
    uuid::Uuid::from_bytes(*id).to_string()
}

/// Kafka numbers resources twice: ConfigResource.Type for configurations, ResourceType for ACLs.
pub(super) fn resource_of(api_key: i16, number: i64) -> Resource {
    let acls = matches!(api_key, key::DESCRIBE_ACLS | key::CREATE_ACLS | key::DELETE_ACLS);
    match (acls, number) {
        (_, 2) => Resource::Topic,
        (true, 3) | (false, 32) => Resource::Group,
        (true, 5) => Resource::TransactionalId,
        (true, 6) => Resource::DelegationToken,
        (false, BROKER_CONFIGS | BROKER_LOGGERS) => Resource::Broker,
        _ => Resource::Cluster,
    }
}
