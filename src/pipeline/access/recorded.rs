//! What an exchange asked for, told from its event: for whoever judges what was done already by rules that did not hold then.
//!
//! `table` says it as it does on the way, of less: an event names items and keeps no body. So what the items tell is what the
//! data path's own judge asks (a test holds them together), but for what no item tells:
//! - that a topic was let go of in an incremental fetch and not asked for: it counts as asked for;
//! - that a topic is an internal one of a streams application, which has to be created: that it is described is asked;
//! - a regular expression over topics, a group without a name, whether Metadata would have created what it names, and
//!   whether a fetch session was opened under the same rights: nothing is asked of them;
//! - a topic's name where only its id was known: counted in [`Asks::unnamed`].

use super::table::{self, Answers, Rule};
use crate::event::{Item, Resource};
use crate::policy::{Decision, Operation, ResourceKind, Rights};
use crate::wire::kafka::api::key;

/// What one exchange asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asks<'a> {
    /// Each once, in the order in which they were named.
    pub asks: Vec<Ask<'a>>,
    /// Topics of which only the id is known.
    pub unnamed: u32,
}

/// One right that has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ask<'a> {
    /// What is done.
    pub operation: Operation,
    /// With what kind of resource.
    pub kind: ResourceKind,
    /// Empty for the cluster.
    pub name: &'a str,
    /// Of a topic, where it is asked of a partition.
    pub partition: Option<i32>,
    /// Another right that does as well.
    or: Or,
}

/// What does as well as a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Or {
    Nothing,
    OnCluster(Operation),
    /// On any topic.
    Somewhere(Operation),
}

impl Ask<'_> {
    /// Whether it is allowed at a time, in seconds since the Unix epoch, and what says so. Where the other right allows it, `by`
    /// is still what was said of this one.
    pub fn decide<'r>(&self, rights: &'r Rights, now_s: i64) -> Decision<'r> {
        let decision = rights.decide(self.operation, self.kind, self.name, self.partition, now_s);
        let otherwise = match self.or {
            Or::Nothing => false,
            Or::OnCluster(operation) => rights.decide(operation, ResourceKind::Cluster, "", None, now_s).allowed,
            Or::Somewhere(operation) => rights.somewhere(ResourceKind::Topic, now_s).contains(operation),
        };
        Decision { allowed: decision.allowed || otherwise, ..decision }
    }
}

/// What an exchange asked for: the items that its request named, and those that its answer did.
pub fn asks<'a>(api_key: i16, request: &'a [Item], response: &'a [Item]) -> Asks<'a> {
    let mut found = Asks::default();
    let Rule::Asks(rule) = table::rule(api_key) else { return found };
    let or = rule.or_cluster.map_or(Or::Nothing, Or::OnCluster);
    if let Some(operation) = rule.cluster {
        found.add(Ask { operation, kind: ResourceKind::Cluster, name: "", partition: None, or: Or::Nothing });
    }
    let producer = request.iter().any(|item| item.resource == Resource::TransactionalId);
    if api_key == key::INIT_PRODUCER_ID && !producer {
        let (operation, or) = (Operation::IdempotentWrite, Or::Somewhere(Operation::Write));
        found.add(Ask { operation, kind: ResourceKind::Cluster, name: "", partition: None, or });
    }
    // An incremental fetch names nothing of what its session reads; the records say of which topics they are.
    let reads = matches!(api_key, key::FETCH | key::SHARE_FETCH);
    let read = response.iter().filter(|item| reads && item.records.is_some_and(|records| records > 0));
    for item in request.iter().chain(read) {
        let (operation, kind) = match item.resource {
            Resource::Topic => (rule.topic.or(rule.resource), ResourceKind::Topic),
            Resource::Group => (rule.group.or(rule.resource), ResourceKind::Group),
            Resource::TransactionalId => (rule.transactional_id, ResourceKind::TransactionalId),
            Resource::Cluster | Resource::Broker => (rule.resource, ResourceKind::Cluster),
            Resource::User | Resource::DelegationToken => continue,
        };
        // A member's heartbeat names partitions by id: those that it was assigned, which asks for nothing.
        let assigned = rule.answers == Answers::Whole && item.partition.is_some();
        let Some(operation) = operation.filter(|_| !assigned) else { continue };
        if kind == ResourceKind::Topic && is_id(&item.name) {
            found.unnamed += 1;
            continue;
        }
        let name = if kind == ResourceKind::Cluster { "" } else { item.name.as_str() };
        let partition = item.partition.filter(|_| kind == ResourceKind::Topic && is_parted(operation));
        found.add(Ask { operation, kind, name, partition, or });
    }
    found
}

impl<'a> Asks<'a> {
    fn add(&mut self, ask: Ask<'a>) {
        if !self.asks.contains(&ask) {
            self.asks.push(ask);
        }
    }
}

/// Whether it is asked of each partition; a topic is described to whoever may describe one of them.
fn is_parted(operation: Operation) -> bool {
    matches!(operation, Operation::Read | Operation::Write | Operation::Delete)
}

/// Whether it stands for a topic whose name was not known when it was recorded.
fn is_id(name: &str) -> bool {
    name.len() == uuid::fmt::Hyphenated::LENGTH && uuid::Uuid::try_parse(name).is_ok()
}
