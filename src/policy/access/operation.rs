//! What may be done, with what kind of thing: Kafka's words and codes.
//!
//! Sources: Kafka's `AclOperation` (codes), `AclEntry.supportedOperations` (what goes with which resource),
//! `StandardAuthorizerData` (what an allow implies).

use std::fmt;
use std::str::FromStr;

/// One operation of Kafka's ACLs, by its code there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Operation {
    /// Records of a topic, membership and offsets of a group.
    Read = 3,
    /// Records of a topic, transactions of a transactional id.
    Write = 4,
    /// Topics.
    Create = 5,
    /// Topics, their records up to an offset, groups and their offsets.
    Delete = 6,
    /// The number of partitions; on the cluster where replicas lie, users, quotas and features.
    Alter = 7,
    /// That it is there, and its state.
    Describe = 8,
    /// What brokers do among themselves.
    ClusterAction = 9,
    /// Its settings.
    DescribeConfigs = 10,
    /// Changes to its settings.
    AlterConfigs = 11,
    /// Producing with idempotence; Kafka since 2.8 takes `write` on any topic for it.
    IdempotentWrite = 12,
    /// Delegation tokens of others.
    CreateTokens = 13,
    /// Delegation tokens of others.
    DescribeTokens = 14,
    /// Transactions that something else than Kafka decides on (KIP-939).
    TwoPhaseCommit = 15,
}

/// All operations by the names that the policy file has for them.
const NAMES: &[(&str, Operation)] = &[
    ("read", Operation::Read),
    ("write", Operation::Write),
    ("create", Operation::Create),
    ("delete", Operation::Delete),
    ("alter", Operation::Alter),
    ("describe", Operation::Describe),
    ("cluster_action", Operation::ClusterAction),
    ("describe_configs", Operation::DescribeConfigs),
    ("alter_configs", Operation::AlterConfigs),
    ("idempotent_write", Operation::IdempotentWrite),
    ("create_tokens", Operation::CreateTokens),
    ("describe_tokens", Operation::DescribeTokens),
    ("two_phase_commit", Operation::TwoPhaseCommit),
];

impl Operation {
    /// Every one, in the order of codes.
    pub fn all() -> impl Iterator<Item = Operation> {
        NAMES.iter().map(|(_, operation)| *operation)
    }

    /// Its name in the policy file.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, operation)| *operation == self).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, operation)| *operation).ok_or_else(|| format!("no operation is called `{name}`"))
    }
}

/// A set of operations, a bit each at its code: what Kafka calls `authorizedOperations`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Operations(i32);

impl Operations {
    /// No operation.
    pub const NONE: Operations = Operations(0);
    /// Every operation there is.
    pub const ALL: Operations = Operations(0b1111_1111_1111_1000);

    /// These and no others.
    pub const fn of(operations: &[Operation]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < operations.len() {
            bits |= 1 << operations[at] as i32;
            at += 1;
        }
        Operations(bits)
    }

    /// Whether `operation` is one of them.
    pub fn contains(self, operation: Operation) -> bool {
        self.0 >> operation as i32 & 1 == 1
    }

    /// Adds one.
    pub fn insert(&mut self, operation: Operation) {
        self.0 |= 1 << operation as i32;
    }

    /// What is in either.
    pub fn union(self, other: Operations) -> Self {
        Operations(self.0 | other.0)
    }

    /// What is in both.
    pub fn intersect(self, other: Operations) -> Self {
        Operations(self.0 & other.0)
    }

    /// What is in this and not in `other`.
    pub fn without(self, other: Operations) -> Self {
        Operations(self.0 & !other.0)
    }

    /// Whether there is none in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As Kafka writes it in `authorizedOperations`: bit 3 for `read` to bit 15.
    pub fn bits(self) -> i32 {
        self.0
    }

    /// Each of them, in the order of codes.
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::all().filter(move |operation| self.contains(*operation))
    }

    /// With what an allow of these allows, too, as Kafka's authorizers have it: to read, write, delete or alter is to
    /// describe, to alter configs is to describe them. A deny implies nothing.
    pub fn with_implied(self) -> Self {
        use Operation::{Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
        let mut all = self;
        if !self.intersect(Operations::of(&[Read, Write, Delete, Alter])).is_empty() {
            all.insert(Describe);
        }
        if self.contains(AlterConfigs) {
            all.insert(DescribeConfigs);
        }
        all
    }
}

impl fmt::Display for Operations {
    /// `read, write`, or `all`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Operations::ALL {
            return f.write_str("all");
        }
        let names: Vec<&str> = self.iter().map(Operation::name).collect();
        f.write_str(&names.join(", "))
    }
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

impl FromIterator<Operation> for Operations {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        let mut all = Operations::NONE;
        operations.into_iter().for_each(|operation| all.insert(operation));
        all
    }
}

/// What a right is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// A topic, or some of its partitions.
    Topic,
    /// A consumer, share or streams group.
    Group,
    /// What a transactional producer calls itself.
    TransactionalId,
    /// The cluster as a whole: it has no name.
    Cluster,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: [ResourceKind; 4] =
        [ResourceKind::Topic, ResourceKind::Group, ResourceKind::TransactionalId, ResourceKind::Cluster];

    /// What can be done with it at all.
    pub fn operations(self) -> Operations {
        use Operation::{
            Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs, IdempotentWrite, Read,
            TwoPhaseCommit, Write,
        };
        match self {
            ResourceKind::Topic => {
                Operations::of(&[Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs])
            }
            ResourceKind::Group => Operations::of(&[Read, Delete, Describe, DescribeConfigs, AlterConfigs]),
            ResourceKind::TransactionalId => Operations::of(&[Write, Describe, TwoPhaseCommit]),
            ResourceKind::Cluster => Operations::of(&[
                Create,
                ClusterAction,
                DescribeConfigs,
                AlterConfigs,
                IdempotentWrite,
                Alter,
                Describe,
            ]),
        }
    }

    /// The key that names it in a rule.
    pub fn key(self) -> &'static str {
        match self {
            ResourceKind::Topic => "topics",
            ResourceKind::Group => "consumer_groups",
            ResourceKind::TransactionalId => "transactional_ids",
            ResourceKind::Cluster => "cluster",
        }
    }
}

/// What can be done with some partitions of a topic; all else is done with the topic as a whole.
pub(super) const ON_PARTITIONS: Operations =
    Operations::of(&[Operation::Read, Operation::Write, Operation::Delete, Operation::Describe]);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sets_are_what_kafka_calls_authorized_operations() {
        assert_eq!(Operations::of(&[Operation::Read]).bits(), 1 << 3);
        // What brokers answer of whoever may do all, in Metadata of a topic and in DescribeCluster.
        assert_eq!(ResourceKind::Topic.operations().bits(), 3576);
        assert_eq!(ResourceKind::Cluster.operations().bits(), 8096);
        assert_eq!(Operation::all().collect::<Operations>(), Operations::ALL);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for operation in Operation::all() {
            assert_eq!(operation.name().parse(), Ok(operation));
        }
        assert!("READ".parse::<Operation>().is_err() && "all".parse::<Operation>().is_err());
        assert_eq!(Operations::of(&[Operation::Write, Operation::Read]).to_string(), "read, write");
        assert_eq!(Operations::ALL.to_string(), "all");
    }

    #[test]
    fn an_allow_implies_describe_as_in_kafka() {
        use Operation::*;
        for operation in Operation::all() {
            let implied = Operations::of(&[operation]).with_implied();
            let describes = matches!(operation, Read | Write | Delete | Alter | Describe);
            assert_eq!(implied.contains(Describe), describes, "{operation}");
            assert_eq!(implied.contains(DescribeConfigs), matches!(operation, AlterConfigs | DescribeConfigs));
        }
    }
}
