//! What of an exchange rules would hold, told from its event: for whoever tries rules on what was done already.
//!
//! `table` says as what it can be held, as on the way. An event keeps no body, so of some that can be held it cannot be told
//! whether they are ([`Holding::Perhaps`]): whether a commit only goes on with what was read, whether a topic was there already,
//! how much was read in the time that a rule looks back, where a partition began. What only asks what would happen
//! (`validate_only`) looks as if it were done.

use super::table::{self, Held as Row};
use crate::event::{Item, Resource};
use crate::policy::{ApprovalRule, HeldOperation, HeldRules, ResourceKind};
use crate::wire::kafka::api::key;

/// Something of an exchange that can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holdable<'a> {
    /// As what.
    pub operation: HeldOperation,
    /// What kind of thing it is done to.
    pub kind: ResourceKind,
    /// Its name; empty for the cluster, and for all of its kind.
    pub name: &'a str,
    /// How far its event tells whether it is held.
    pub how: How,
}

/// How far an event tells whether something is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// Where a rule names it.
    Named,
    /// Whatever a rule names.
    All,
    /// Where a rule names it and its condition is met, which may be that a partition is read from its beginning.
    Read {
        /// It surely is, since it is read from its first offset.
        earliest: bool,
    },
    /// Where a rule names it and more than is recorded says so.
    Unsure,
}

/// What rules say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding<'r> {
    /// It passes.
    No,
    /// One may hold it.
    Perhaps,
    /// This one does, and maybe others.
    By(&'r ApprovalRule),
}

impl Holdable<'_> {
    /// What the rules about its client say.
    pub fn held_by<'r>(&self, rules: &'r HeldRules) -> Holding<'r> {
        let holding = match self.how {
            How::All => rules.of(self.operation).collect(),
            _ => rules.holding(self.operation, self.kind, self.name),
        };
        let surely = holding.iter().find(|rule| match (rule.when, self.how) {
            (_, How::Unsure) => false,
            (Some(when), How::Read { earliest }) => earliest && when.from_earliest,
            (Some(_), _) => false,
            (None, _) => true,
        });
        match (surely, holding.is_empty()) {
            (Some(rule), _) => Holding::By(rule),
            (None, true) => Holding::No,
            (None, false) => Holding::Perhaps,
        }
    }
}

/// What of an exchange can be held, each once: by the items of its request and those of its answer.
pub fn holdable<'a>(api_key: i16, request: &'a [Item], response: &'a [Item]) -> Vec<Holdable<'a>> {
    let Some(row) = table::of(api_key) else { return Vec::new() };
    let mut found = Vec::new();
    let mut add = |holdable: Holdable<'a>| {
        if !found.contains(&holdable) {
            found.push(holdable);
        }
    };
    match row {
        Row::Whole(operation, _) => {
            add(Holdable { operation, kind: ResourceKind::Cluster, name: "", how: How::All });
        }
        Row::Each(operation) if operation == HeldOperation::ElectLeaders && request.is_empty() => {
            add(Holdable { operation, kind: ResourceKind::Cluster, name: "", how: How::All });
        }
        Row::Each(operation) => {
            for (kind, item) in named(request) {
                let name = if kind == ResourceKind::Cluster { "" } else { &item.name };
                add(Holdable { operation, kind, name, how: How::Named });
            }
        }
        Row::Positions => {
            // A consumer that commits what it read is not held.
            let commits = matches!(api_key, key::OFFSET_COMMIT | key::TXN_OFFSET_COMMIT);
            let how = if commits { How::Unsure } else { How::Named };
            for (kind, item) in named(request).filter(|(kind, _)| *kind != ResourceKind::Cluster) {
                add(Holdable { operation: HeldOperation::ResetOffsets, kind, name: &item.name, how });
            }
        }
        Row::Records(operation) => {
            let reads = operation == HeldOperation::Fetch;
            for (kind, item) in named(request).filter(|(kind, _)| *kind == ResourceKind::Topic) {
                let earliest = api_key == key::FETCH && item.offset.is_some_and(|offset| offset <= 0);
                add(Holdable { operation, kind, name: &item.name, how: How::Read { earliest } });
            }
            let read = |item: &Item| reads && item.records.is_some_and(|records| records > 0);
            for (kind, item) in named(response).filter(|(_, item)| read(item)) {
                add(Holdable { operation, kind, name: &item.name, how: How::Read { earliest: false } });
            }
        }
        Row::Creation => {
            let is_there = |name: &str| response.iter().any(|item| item.name == name && item.error_code == 0);
            let topics = named(request).filter(|(kind, item)| *kind == ResourceKind::Topic && !is_there(&item.name));
            for (kind, item) in topics {
                add(Holdable { operation: HeldOperation::CreateTopics, kind, name: &item.name, how: How::Unsure });
            }
        }
    }
    found
}

/// Items that rules can name. A topic whose name was not known is none of them.
fn named(items: &[Item]) -> impl Iterator<Item = (ResourceKind, &Item)> {
    items.iter().filter_map(|item| {
        let kind = match item.resource {
            Resource::Topic => ResourceKind::Topic,
            Resource::Group => ResourceKind::Group,
            Resource::Cluster | Resource::Broker => ResourceKind::Cluster,
            Resource::TransactionalId | Resource::User | Resource::DelegationToken => return None,
        };
        Some((kind, item))
    })
}
