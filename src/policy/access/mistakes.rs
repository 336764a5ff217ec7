//! Access rules that do nothing: told before they are used, since whoever wrote them relies on them. What only does no good is
//! worth a warning.

use std::collections::BTreeSet;
use std::fmt;

use super::super::patterns::{can_be_a_topic, covers_names};
use super::AccessRules;
use super::operation::{ON_PARTITIONS, Operations, ResourceKind};
use super::rule::{AccessRule, Effect};
use crate::limits;

/// What is wrong with a rule, seen beside the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessMistake {
    /// It is about no resource.
    NamesNothing,
    /// It names operations that cannot be done with anything that it names.
    NeverApplies(Operations),
    /// It names partitions only, and operations that are done with whole topics.
    OnlyPartitions(Operations),
    /// A topic's name holds letters, digits, `.`, `_` and `-`; the pattern asks for more, or for none that is a topic's.
    NoSuchTopic(String),
    /// All that it allows a deny takes away.
    Denied(usize),
    /// An earlier rule says the same.
    Same(usize),
    /// More rules than logins are held against.
    TooManyRules,
}

impl fmt::Display for AccessMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessMistake::NamesNothing => f.write_str(
                "is about nothing; expected one or more of `topics`, `consumer_groups`, `transactional_ids` or `cluster: true`",
            ),
            AccessMistake::NeverApplies(operations) => {
                write!(f, "never applies: {operations} cannot be done with what it names; with ")?;
                for (index, kind) in ResourceKind::ALL.into_iter().enumerate() {
                    write!(f, "{}`{}`: {}", if index == 0 { "" } else { "; " }, kind.key(), kind.operations())?;
                }
                Ok(())
            }
            AccessMistake::OnlyPartitions(operations) => write!(
                f,
                "never applies: {operations} is done with a topic as a whole, and the rule names partitions only; with \
                 partitions: {ON_PARTITIONS}"
            ),
            AccessMistake::NoSuchTopic(pattern) => write!(
                f,
                "never applies: no topic's name can match `{pattern}`; names are 1 to 249 letters, digits, `.`, `_` and `-`"
            ),
            AccessMistake::Denied(other) => write!(f, "allows nothing: access[{other}] denies all that it allows"),
            AccessMistake::Same(other) => write!(f, "does nothing: access[{other}] says the same"),
            AccessMistake::TooManyRules => {
                write!(f, "one rule more than the {} there may be", limits::ACCESS_RULES_MAX)
            }
        }
    }
}

/// What is wrong, each with the number of its rule, in the order of rules.
pub(super) fn find(rules: &[AccessRule]) -> Vec<(usize, AccessMistake)> {
    let mut found = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        if number >= limits::ACCESS_RULES_MAX {
            found.push((number, AccessMistake::TooManyRules));
            break;
        }
        let own = alone(rule);
        if own.is_empty() {
            let same = |other: &AccessRule| AccessRule { name: rule.name.clone(), ..other.clone() } == *rule;
            let same = rules[..number].iter().position(same).map(AccessMistake::Same);
            let denied = || {
                let denies = |by: &AccessRule| by.effect == Effect::Deny && does_all_of(by, rule);
                rules.iter().position(denies).filter(|_| rule.effect == Effect::Allow).map(AccessMistake::Denied)
            };
            found.extend(same.or_else(denied).map(|mistake| (number, mistake)));
        }
        found.extend(own.into_iter().map(|mistake| (number, mistake)));
    }
    found
}

/// What is wrong with a rule whatever the others say.
fn alone(rule: &AccessRule) -> Vec<AccessMistake> {
    let kinds: Vec<ResourceKind> = ResourceKind::ALL.into_iter().filter(|kind| rule.is_about(*kind)).collect();
    if kinds.is_empty() {
        return vec![AccessMistake::NamesNothing];
    }
    let impossible = |pattern: &&super::NamePattern| !can_be_a_topic(pattern.name_text());
    let no_topics = rule.topics.iter().filter(impossible);
    let mut found: Vec<AccessMistake> = no_topics.map(|p| AccessMistake::NoSuchTopic(p.to_string())).collect();
    if rule.operations == Operations::ALL {
        return found;
    }
    let possible = kinds.iter().fold(Operations::NONE, |all, kind| all.union(kind.operations()));
    let never = rule.operations.without(possible);
    if !never.is_empty() {
        found.push(AccessMistake::NeverApplies(never));
    }
    let on_whole_topics = rule.operations.intersect(ResourceKind::Topic.operations()).without(ON_PARTITIONS);
    let partitions_only = kinds == [ResourceKind::Topic] && rule.topics.iter().all(|p| p.partitions().is_some());
    if partitions_only && !on_whole_topics.is_empty() {
        found.push(AccessMistake::OnlyPartitions(on_whole_topics));
    }
    found
}

/// Whether all that `rule` is about, for whomever and whenever, `by` is about, too.
fn does_all_of(by: &AccessRule, rule: &AccessRule) -> bool {
    let network = |inner: &super::Network| by.networks.iter().any(|outer| outer.covers(inner));
    let networks = by.networks.is_empty() || (!rule.networks.is_empty() && rule.networks.iter().all(network));
    let hours = match (&by.hours, &rule.hours) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => outer.cover(inner),
    };
    let of = |rule: &AccessRule| match rule.effect {
        Effect::Allow => rule.operations.with_implied(),
        Effect::Deny => rule.operations,
    };
    let on_kind = |kind: &ResourceKind| match (by.names_of(*kind), rule.names_of(*kind)) {
        (Some(outer), Some(inner)) => outer.cover(inner),
        _ => by.cluster || !rule.cluster,
    };
    let operations =
        |kind: &ResourceKind| !rule.is_about(*kind) || of(rule).intersect(kind.operations()).without(of(by)).is_empty();
    ResourceKind::ALL.iter().all(|kind| on_kind(kind) && operations(kind))
        && covers_names(&by.listeners, &rule.listeners)
        && by.issuers.cover(&rule.issuers)
        && by.subjects.cover(&rule.subjects)
        && covers_names(&by.groups, &rule.groups)
        && by.client_ids.cover(&rule.client_ids)
        && networks
        && hours
}

/// What whoever wrote lawful rules should know of them, a line each.
pub(super) fn warnings(rules: &AccessRules) -> Vec<String> {
    let allows = |listener: &str| rules.iter().any(|rule| rule.effect == Effect::Allow && rule.is_on(listener));
    let named: BTreeSet<&String> = rules.iter().flat_map(|rule| &rule.listeners).collect();
    let mut warnings = Vec::new();
    if !rules.is_empty() && rules.iter().all(|rule| rule.effect == Effect::Deny) {
        warnings.push("no access rule allows anything: wherever they hold, everybody is denied everything".to_owned());
    } else {
        let closed = named.into_iter().filter(|listener| !allows(listener));
        warnings.extend(closed.map(|listener| {
            format!("access rules hold on listener `{listener}` and none allows anything: everybody is denied everything there")
        }));
    }
    for (number, rule) in rules.iter().enumerate() {
        let does = |(other, by): &(usize, &AccessRule)| {
            *other != number
                && by.effect == rule.effect
                && does_all_of(by, rule)
                && (*other < number || !does_all_of(rule, by))
        };
        if let Some((other, _)) = rules.iter().enumerate().find(does) {
            warnings.push(format!("access[{number}] adds nothing to access[{other}], which does all that it does"));
        }
    }
    warnings
}
