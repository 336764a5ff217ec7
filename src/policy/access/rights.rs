//! What one client may do, and until when that holds.
//!
//! Computed once it is known who the client is ([`super::AccessRules::rights_of`]): the rules that are about it, and what its
//! token narrows it to. Asked for a name, it goes through these rules, not through those of everybody.
//!
//! Invariants, which are Kafka's for its ACLs:
//! - A deny that holds takes away what it names, whatever allows it.
//! - What no rule allows is not allowed.
//! - What a token's scopes do not leave is not allowed, whatever rules say.

use std::sync::Arc;

use super::AccessRules;
use super::names::NamePattern;
use super::operation::{Operation, Operations, ResourceKind};
use super::rule::{AccessRule, Effect};
use super::scopes::{Scope, Scopes};

/// What one client may do. Owned and cheap to copy.
#[derive(Debug, Clone)]
pub struct Rights {
    pub(super) rules: AccessRules,
    /// The numbers of the rules that are about the client; none: its listener has no rules, and all is allowed.
    pub(super) own: Option<Arc<[usize]>>,
    pub(super) scopes: Option<Arc<Scopes>>,
}

/// Whether something is allowed, and what says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Whether it is.
    pub allowed: bool,
    /// What says so.
    pub by: DecidedBy<'a>,
}

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecidedBy<'a> {
    /// A rule: the first deny that is about it, else the first allow.
    Rule {
        /// Its place in the policy.
        number: usize,
        /// What people call it.
        name: Option<&'a str>,
    },
    /// No rule allows it.
    NoRule,
    /// The listener has no rules.
    NoRules,
    /// What the token is narrowed to does not hold it.
    Scope,
    /// It cannot be done with a resource of this kind.
    Kind,
}

impl Rights {
    /// What may be done with something, now in seconds since the Unix epoch, with what that implies; as Kafka's
    /// `authorizedOperations`. The cluster has no name.
    ///
    /// Of a topic whose partitions rules tell apart, asked without a partition: to describe it, it is enough that some
    /// partition may be described; whatever else is allowed is allowed on all of its partitions, however many there are or
    /// will be. So nothing that is asked of the topic as a whole lets through what one of its partitions would not.
    pub fn operations(&self, kind: ResourceKind, name: &str, partition: Option<i32>, now_s: i64) -> Operations {
        let describe = Operations::of(&[Operation::Describe]);
        let (mut all, mut any) = (Operations::ALL, Operations::NONE);
        for place in self.places(kind, name, partition) {
            let here = self.on(kind, name, place, now_s);
            (all, any) = (all.intersect(here), any.union(here));
        }
        all.union(any.intersect(describe))
    }

    /// Whether some rule or scope tells that topic's partitions apart, at one time or another.
    pub fn is_partitioned(&self, name: &str) -> bool {
        self.bounds(name).next().is_some()
    }

    /// What surely is allowed on every name of a kind, and on every partition.
    pub fn everywhere(&self, kind: ResourceKind, now_s: i64) -> Operations {
        let (mut allowed, mut denied) = (Operations::NONE, Operations::NONE);
        for rule in self.in_force(now_s).filter(|rule| rule.is_about(kind)) {
            match rule.effect {
                Effect::Deny => denied = denied.union(rule.operations),
                Effect::Allow if rule.names_of(kind).is_none_or(|names| names.is_everything()) => {
                    allowed = allowed.union(rule.operations);
                }
                Effect::Allow => {}
            }
        }
        let by_rules = if self.own.is_some() { allowed.with_implied().without(denied) } else { Operations::ALL };
        let by_scopes = self.scopes.as_ref().map_or(Operations::ALL, |scopes| scopes.leave_everywhere(kind));
        by_rules.intersect(by_scopes).intersect(kind.operations())
    }

    /// What may be allowed on some name of a kind, or on a partition of it. What a deny takes away from all that an allow
    /// names does not count, as in Kafka's `authorizeByResourceType`.
    pub fn somewhere(&self, kind: ResourceKind, now_s: i64) -> Operations {
        if kind == ResourceKind::Cluster {
            return self.operations(kind, "", None, now_s);
        }
        let left_on = |pattern: Option<&NamePattern>| match &self.scopes {
            None => Operations::ALL,
            Some(scopes) => scopes.sum(|scope| may_hold(scope, kind, pattern)),
        };
        let mut found = Operations::NONE;
        if self.own.is_none() {
            found = left_on(None);
        }
        for rule in self.in_force(now_s).filter(|rule| rule.effect == Effect::Allow) {
            for pattern in rule.names_of(kind).into_iter().flat_map(|names| names.iter()) {
                let allowed = rule.operations.with_implied().without(self.denied_on(kind, pattern, now_s));
                found = found.union(allowed.intersect(left_on(Some(pattern))));
            }
        }
        found.intersect(kind.operations())
    }

    /// Until when, in seconds since the Unix epoch, all answers stay as they are now; `i64::MAX`: for good. It may be said too
    /// early, never too late.
    pub fn valid_until(&self, now_s: i64) -> i64 {
        let hours = self.own().filter_map(|(_, rule)| rule.hours.as_ref());
        hours.map(|hours| hours.same_until(now_s)).min().unwrap_or(i64::MAX)
    }

    /// Whether an operation is allowed, and what says so.
    pub fn decide(
        &self,
        operation: Operation,
        kind: ResourceKind,
        name: &str,
        partition: Option<i32>,
        now_s: i64,
    ) -> Decision<'_> {
        if !kind.operations().contains(operation) {
            return Decision { allowed: false, by: DecidedBy::Kind };
        }
        let decisions = self.places(kind, name, partition).into_iter();
        let mut decisions = decisions.map(|place| self.decide_on(operation, kind, name, place, now_s)).peekable();
        let first = decisions.peek().copied();
        // As in `operations`: one partition that may be described is enough, one that may not else be is enough against.
        let enough = operation == Operation::Describe;
        let decisive = decisions.find(|decision| decision.allowed == enough);
        decisive.or(first).unwrap_or(Decision { allowed: false, by: DecidedBy::NoRule })
    }

    fn decide_on(
        &self,
        operation: Operation,
        kind: ResourceKind,
        name: &str,
        partition: Option<i32>,
        now_s: i64,
    ) -> Decision<'_> {
        let about = |(_, rule): &(usize, &AccessRule)| rule.holds_at(now_s) && rule.names(kind, name, partition);
        let denies =
            |(_, rule): &(usize, &AccessRule)| rule.effect == Effect::Deny && rule.operations.contains(operation);
        let allows = |(_, rule): &(usize, &AccessRule)| {
            rule.effect == Effect::Allow && rule.operations.with_implied().contains(operation)
        };
        let deciding = self.own().filter(about).find(denies).or_else(|| self.own().filter(about).find(allows));
        let by_rules = match (deciding, &self.own) {
            (Some((number, rule)), _) => Decision {
                allowed: rule.effect == Effect::Allow,
                by: DecidedBy::Rule { number, name: rule.name.as_deref() },
            },
            (None, Some(_)) => Decision { allowed: false, by: DecidedBy::NoRule },
            (None, None) => Decision { allowed: true, by: DecidedBy::NoRules },
        };
        let left = self.scopes.as_ref().is_none_or(|s| s.leave(kind, name, partition).contains(operation));
        if by_rules.allowed && !left { Decision { allowed: false, by: DecidedBy::Scope } } else { by_rules }
    }

    /// What is allowed on one partition, or on what rules do not tell apart.
    fn on(&self, kind: ResourceKind, name: &str, partition: Option<i32>, now_s: i64) -> Operations {
        let (mut allowed, mut denied) = (Operations::NONE, Operations::NONE);
        for (_, rule) in self.own() {
            if !rule.names(kind, name, partition) || !rule.holds_at(now_s) {
                continue;
            }
            match rule.effect {
                Effect::Allow => allowed = allowed.union(rule.operations),
                Effect::Deny => denied = denied.union(rule.operations),
            }
        }
        let by_rules = if self.own.is_some() { allowed.with_implied().without(denied) } else { Operations::ALL };
        let by_scopes = self.scopes.as_ref().map_or(Operations::ALL, |scopes| scopes.leave(kind, name, partition));
        by_rules.intersect(by_scopes).intersect(kind.operations())
    }

    /// Where to ask so that all partitions were asked about: where one is given or none is told apart, there; else on one
    /// partition of each stretch that rules and scopes treat alike.
    fn places(&self, kind: ResourceKind, name: &str, partition: Option<i32>) -> Vec<Option<i32>> {
        // A negative partition is none that a rule could speak of.
        let partition = partition.filter(|partition| *partition >= 0);
        if kind != ResourceKind::Topic || partition.is_some() || !self.is_partitioned(name) {
            return vec![partition];
        }
        let mut places: Vec<i32> = std::iter::once(0).chain(self.bounds(name)).collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(Some).collect()
    }

    /// Where what is said of a topic's partitions may change.
    fn bounds<'a>(&'a self, name: &'a str) -> impl Iterator<Item = i32> + 'a {
        let of_rules = self.own().map(|(_, rule)| &rule.topics);
        let of_scopes = self.scopes.iter().flat_map(|scopes| scopes.0.iter()).map(|scope| &scope.topics);
        of_rules.chain(of_scopes).flat_map(move |topics| topics.partitions_of(name)).flat_map(|ranges| ranges.bounds())
    }

    /// What denies take away from all that a pattern names.
    fn denied_on(&self, kind: ResourceKind, pattern: &NamePattern, now_s: i64) -> Operations {
        let denies = self.in_force(now_s).filter(|rule| rule.effect == Effect::Deny);
        let about = denies.filter(|rule| rule.names_of(kind).is_some_and(|names| names.covers(pattern)));
        about.fold(Operations::NONE, |all, rule| all.union(rule.operations))
    }

    fn in_force(&self, now_s: i64) -> impl Iterator<Item = &AccessRule> {
        self.own().map(|(_, rule)| rule).filter(move |rule| rule.holds_at(now_s))
    }

    /// The rules that are about the client, with their places in the policy.
    fn own(&self) -> impl Iterator<Item = (usize, &AccessRule)> {
        let numbers = self.own.as_deref().unwrap_or_default();
        numbers.iter().filter_map(|number| Some((*number, self.rules.get(*number)?)))
    }
}

/// Whether a scope may hold for some name of a kind that a pattern is about; without one, for any at all.
fn may_hold(scope: &Scope, kind: ResourceKind, pattern: Option<&NamePattern>) -> bool {
    match (scope.names_of(kind), pattern) {
        (None, _) | (_, None) => true,
        (Some(names), Some(pattern)) => names.iter().any(|name| name.may_overlap(pattern)),
    }
}
