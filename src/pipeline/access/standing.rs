//! What one connection may do, as it is asked on the way: its rights, and what they came to for the names met so far.
//!
//! Invariants:
//! - What is kept holds for the rights and the hours it was found under; when either changes, it is gone.
//! - It is bounded: clients choose the names.

use std::collections::HashMap;

use super::sessions::Sessions;
use crate::limits;
use crate::policy::{Operation, Operations, ResourceKind, Rights};
use crate::wire::kafka::layout::Role;

/// A connection's rights, with what they came to.
#[derive(Debug)]
pub struct Standing {
    rights: Rights,
    now_s: i64,
    /// Until when what is kept here holds, in seconds since the Unix epoch.
    valid_until: i64,
    /// What may be done with names: of topics, of groups, of transactional ids.
    names: [HashMap<Box<str>, Operations>; 3],
    everywhere: Vec<(ResourceKind, Operations)>,
    cluster: Operations,
    pub(super) sessions: Sessions,
}

impl Standing {
    /// Nothing asked yet.
    pub fn new(rights: Rights, now_s: i64) -> Self {
        let mut standing = Standing {
            rights,
            now_s,
            valid_until: i64::MIN,
            names: Default::default(),
            everywhere: Vec::new(),
            cluster: Operations::NONE,
            sessions: Sessions::default(),
        };
        standing.at(now_s);
        standing
    }

    /// Brings it to the present: what held for other hours is forgotten, sessions that were opened then included. Whether
    /// anything was.
    pub fn at(&mut self, now_s: i64) -> bool {
        self.now_s = now_s;
        if now_s < self.valid_until {
            return false;
        }
        let kinds = [ResourceKind::Topic, ResourceKind::Group, ResourceKind::TransactionalId];
        self.everywhere = kinds.map(|kind| (kind, self.rights.everywhere(kind, now_s))).to_vec();
        self.cluster = self.rights.operations(ResourceKind::Cluster, "", None, now_s);
        self.names.iter_mut().for_each(HashMap::clear);
        self.sessions = Sessions::default();
        self.valid_until = self.rights.valid_until(now_s);
        true
    }

    /// Whether nothing at all is allowed.
    pub fn is_nothing(&self) -> bool {
        let kinds = [ResourceKind::Topic, ResourceKind::Group, ResourceKind::TransactionalId, ResourceKind::Cluster];
        kinds.into_iter().all(|kind| self.rights.somewhere(kind, self.now_s) == Operations::NONE)
    }

    /// What may be done with the cluster.
    pub fn cluster(&self) -> Operations {
        self.cluster
    }

    /// Whether it may read every topic.
    pub fn reads_everything(&self) -> bool {
        self.everywhere(ResourceKind::Topic).contains(Operation::Read)
    }

    /// What surely may be done with everything of a kind.
    pub fn everywhere(&self, kind: ResourceKind) -> Operations {
        self.everywhere.iter().find(|(of, _)| *of == kind).map_or(Operations::NONE, |(_, operations)| *operations)
    }

    /// Whether an operation may be allowed with something of a kind.
    pub fn somewhere(&self, operation: Operation, kind: ResourceKind) -> bool {
        self.rights.somewhere(kind, self.now_s).contains(operation)
    }

    /// What may be done with a topic.
    pub fn topic(&mut self, name: &str) -> Operations {
        self.named(ResourceKind::Topic, name)
    }

    /// What may be done with something that has a name.
    pub fn named(&mut self, kind: ResourceKind, name: &str) -> Operations {
        let known = match kind {
            ResourceKind::Topic => &mut self.names[0],
            ResourceKind::Group => &mut self.names[1],
            ResourceKind::TransactionalId => &mut self.names[2],
            ResourceKind::Cluster => return self.cluster,
        };
        if let Some(known) = known.get(name) {
            return *known;
        }
        let operations = self.rights.operations(kind, name, None, self.now_s);
        if name.len() > limits::EVENT_NAME_BYTES_MAX {
            // No topic's name is as long, and hardly another's.
            return operations;
        }
        if known.len() >= limits::KNOWN_RIGHTS_MAX {
            known.clear();
        }
        known.insert(name.into(), operations);
        operations
    }

    /// What may be done with one partition of a topic.
    pub fn partition(&self, topic: &str, partition: i32) -> Operations {
        self.rights.operations(ResourceKind::Topic, topic, Some(partition), self.now_s)
    }

    /// Whether a topic's partitions are told apart.
    pub fn is_partitioned(&self, topic: &str) -> bool {
        self.rights.is_partitioned(topic)
    }

    /// A broker opened a fetch session for this connection.
    pub fn opened_session(&mut self, id: i32) {
        self.sessions.opened(id);
    }

    fn of(&mut self, role: Role, name: &str) -> Operations {
        match role {
            Role::Topic => self.topic(name),
            Role::GroupId => self.named(ResourceKind::Group, name),
            Role::TransactionalId => self.named(ResourceKind::TransactionalId, name),
            _ => Operations::NONE,
        }
    }

    /// Whether the client may know of what bears this name.
    pub(super) fn knows(&mut self, role: Role, name: &str) -> bool {
        match role {
            Role::Topic | Role::GroupId | Role::TransactionalId => self.of(role, name).contains(Operation::Describe),
            // Names of other kinds are not what a listing may hide.
            _ => true,
        }
    }

    /// What it may do with what bears a name, or with the cluster, as Kafka's `authorizedOperations`.
    pub(super) fn may(&mut self, named: Option<(Role, &str)>) -> i32 {
        match named {
            Some((role, name)) => self.of(role, name).bits(),
            // A broker says nothing of it to whoever may not describe the cluster.
            None if self.cluster.contains(Operation::Describe) => self.cluster.bits(),
            None => 0,
        }
    }
}
