//! What a token narrows its holder's rights to, whatever the policy says.
//!
//! Invariant: scopes only take away. Where they name nothing of a kind, its names are not narrowed, but operations are: a
//! token for `topics: [orders.*]` and `operations: [read]` reads these topics for whatever consumer group the policy allows,
//! and writes and creates nothing anywhere. On the cluster, which has no name, operations alone decide.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::patterns::can_be_a_topic;
use super::names::{self, NamePatterns};
use super::operation::{Operation, Operations, ResourceKind};

/// What a login is narrowed to: whatever one of these allows. None of them allow nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(pub Vec<Scope>);

/// Some operations on some names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "ScopeText", into = "ScopeText")]
pub struct Scope {
    /// Topics, and partitions of them; none: all.
    pub topics: NamePatterns,
    /// Consumer, share and streams groups; none: all.
    pub consumer_groups: NamePatterns,
    /// Transactional ids; none: all.
    pub transactional_ids: NamePatterns,
    /// What may be done, and what that implies: `read` is to describe, too.
    pub operations: Operations,
}

/// A scope as it is kept and asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeText {
    /// Patterns of topics; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// Patterns of groups; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumer_groups: Vec<String>,
    /// Patterns of transactional ids; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transactional_ids: Vec<String>,
    /// Names of operations; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<String>,
}

impl Scope {
    /// The patterns of names of a kind.
    pub(super) fn names_of(&self, kind: ResourceKind) -> Option<&NamePatterns> {
        let patterns = names::of_kind(kind, &self.topics, &self.consumer_groups, &self.transactional_ids);
        patterns.filter(|patterns| !patterns.is_empty())
    }

    fn names(&self, kind: ResourceKind, name: &str, partition: Option<i32>) -> bool {
        self.names_of(kind).is_none_or(|patterns| patterns.matches(name, partition))
    }
}

impl Scopes {
    /// What they leave of all that could be done with something.
    pub(super) fn leave(&self, kind: ResourceKind, name: &str, partition: Option<i32>) -> Operations {
        self.sum(|scope| scope.names(kind, name, partition))
    }

    /// What they leave on every name of a kind.
    pub(super) fn leave_everywhere(&self, kind: ResourceKind) -> Operations {
        self.sum(|scope| scope.names_of(kind).is_none_or(NamePatterns::is_everything))
    }

    /// What those leave of which `chosen` says so.
    pub(super) fn sum(&self, chosen: impl Fn(&Scope) -> bool) -> Operations {
        let chosen = self.0.iter().filter(|scope| chosen(scope));
        chosen.fold(Operations::NONE, |all, scope| all.union(scope.operations.with_implied()))
    }
}

impl TryFrom<ScopeText> for Scope {
    type Error = String;

    fn try_from(text: ScopeText) -> Result<Self, String> {
        let operations = match text.operations.as_slice() {
            [] => Operations::ALL,
            names => names.iter().map(|name| name.parse::<Operation>()).collect::<Result<_, _>>()?,
        };
        let topics = NamePatterns::topics(&text.topics)?;
        if let Some(pattern) = topics.iter().find(|pattern| !can_be_a_topic(pattern.name_text())) {
            return Err(format!("no topic's name can match `{pattern}`"));
        }
        Ok(Scope {
            topics,
            consumer_groups: NamePatterns::names(&text.consumer_groups)?,
            transactional_ids: NamePatterns::names(&text.transactional_ids)?,
            operations,
        })
    }
}

impl From<Scope> for ScopeText {
    fn from(scope: Scope) -> Self {
        let texts = |patterns: &NamePatterns| patterns.iter().map(ToString::to_string).collect();
        let operations = match scope.operations {
            Operations::ALL => Vec::new(),
            some => some.iter().map(|operation| operation.name().to_owned()).collect(),
        };
        ScopeText {
            topics: texts(&scope.topics),
            consumer_groups: texts(&scope.consumer_groups),
            transactional_ids: texts(&scope.transactional_ids),
            operations,
        }
    }
}

impl fmt::Display for Scope {
    /// `read, write on topics orders.*`, as lists of tokens show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.operations)?;
        let named = ResourceKind::ALL.into_iter().filter_map(|kind| Some((kind, self.names_of(kind)?)));
        for (index, (kind, patterns)) in named.enumerate() {
            write!(f, "{} {} {patterns}", if index == 0 { " on" } else { ";" }, kind.key())?;
        }
        Ok(())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        let texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(" or "))
    }
}
