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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::*;
    use crate::policy::{AccessClient, ApprovalRules, Approvers, NamePatterns, Patterns, Terms, When};

    fn rule(operations: &[HeldOperation], when: Option<When>) -> ApprovalRule {
        let terms = Terms {
            rule: "production".to_owned(),
            approvers: Approvers::Of { group: "sre".to_owned(), count: 1 },
            reason_required: false,
            expires_s: 100,
            valid_s: 50,
            uses: 1,
            window_s: 50,
            break_glass: Vec::new(),
        };
        ApprovalRule {
            listeners: Vec::new(),
            issuers: Patterns::default(),
            subjects: Patterns::default(),
            groups: Vec::new(),
            unless_groups: Vec::new(),
            operations: operations.to_vec(),
            topics: NamePatterns::topics(&["prod.*".to_owned()]).unwrap(),
            consumer_groups: NamePatterns::names(&["team-*".to_owned()]).unwrap(),
            cluster: true,
            when,
            hold: Duration::from_secs(5),
            terms,
        }
    }

    /// `yes`, `no` or `perhaps` for each thing that can be held.
    fn held(rule: ApprovalRule, api_key: i16, request: &[Item], response: &[Item]) -> Vec<&'static str> {
        let client = AccessClient {
            listener: "main",
            issuer: "weir",
            subject: "somebody",
            groups: &[],
            client_id: None,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            scopes: None,
        };
        let rules = ApprovalRules::new(vec![rule]).unwrap().about(&client).unwrap();
        let word = |one: &Holdable<'_>| match one.held_by(&rules) {
            Holding::By(_) => "yes",
            Holding::No => "no",
            Holding::Perhaps => "perhaps",
        };
        holdable(api_key, request, response).iter().map(word).collect()
    }

    fn topic(name: &str, offset: Option<i64>, records: Option<u32>) -> Item {
        Item { name: name.to_owned(), partition: Some(0), offset, records, ..Item::default() }
    }

    fn group(name: &str) -> Item {
        Item { resource: Resource::Group, name: name.to_owned(), ..Item::default() }
    }

    #[test]
    fn what_a_rule_names_is_held_and_nothing_else() {
        use HeldOperation::*;
        let topics = [topic("prod.a", None, None), topic("prod.a", None, None), topic("dev.a", None, None)];
        assert_eq!(held(rule(&[DeleteTopics], None), key::DELETE_TOPICS, &topics, &[]), ["yes", "no"]);
        assert_eq!(held(rule(&[Produce], None), key::DELETE_TOPICS, &topics, &[]), ["no", "no"]);
        assert_eq!(held(rule(&[Produce], None), key::PRODUCE, &topics, &[]), ["yes", "no"]);
        let groups = [group("team-1"), group("other")];
        assert_eq!(held(rule(&[DeleteGroups], None), key::DELETE_GROUPS, &groups, &[]), ["yes", "no"]);
        assert_eq!(held(rule(&[ElectLeaders], None), key::ELECT_LEADERS, &[], &[]), ["yes"], "all of them");
        assert_eq!(held(rule(&[AlterQuotas], None), key::ALTER_CLIENT_QUOTAS, &[], &[]), ["yes"]);
        let broker = Item { resource: Resource::Broker, name: "1".to_owned(), ..Item::default() };
        assert_eq!(held(rule(&[AlterConfigs], None), key::INCREMENTAL_ALTER_CONFIGS, &[broker], &[]), ["yes"]);
        assert_eq!(held(rule(&[DeleteTopics], None), key::LIST_OFFSETS, &topics, &[]), [""; 0]);
    }

    #[test]
    fn what_more_than_an_event_decides_is_perhaps_held() {
        use HeldOperation::*;
        let earliest = Some(When { from_earliest: true, volume: None });
        let asked = |offset| [topic("prod.a", Some(offset), None)];
        assert_eq!(held(rule(&[Fetch], earliest), key::FETCH, &asked(0), &[]), ["yes"]);
        assert_eq!(held(rule(&[Fetch], earliest), key::FETCH, &asked(7), &[]), ["perhaps"]);
        let read = [topic("prod.a", Some(7), Some(3)), topic("prod.b", None, None)];
        assert_eq!(held(rule(&[Fetch], None), key::FETCH, &[], &read), ["yes"], "a session goes on");
        assert_eq!(held(rule(&[Produce], None), key::PRODUCE, &[], &read), [""; 0]);
        let committed = [group("team-1"), topic("dev.a", Some(7), None)];
        assert_eq!(held(rule(&[ResetOffsets], None), key::OFFSET_COMMIT, &committed, &[]), ["perhaps", "no"]);
        assert_eq!(held(rule(&[ResetOffsets], None), key::OFFSET_DELETE, &committed, &[]), ["yes", "no"]);
        let named = [topic("prod.a", None, None), topic("prod.b", None, None)];
        let missing = Item { error_code: 3, ..topic("prod.b", None, None) };
        let answer = [topic("prod.a", None, None), missing];
        assert_eq!(held(rule(&[CreateTopics], None), key::METADATA, &named, &answer), ["perhaps"], "one is there");
    }
}
