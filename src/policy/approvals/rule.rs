//! One approval rule: what of whom is held until who has said yes, and what follows from that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::approvers::Approvers;
use super::operation::HeldOperation;
use crate::policy::access::{AccessClient, NamePatterns};
use crate::policy::{Patterns, ResourceKind};

/// One rule of `approvals` in the policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRule {
    /// The listeners it holds on; empty: all.
    pub listeners: Vec<String>,
    /// Who vouches for the client.
    pub issuers: Patterns,
    /// Who the client is.
    pub subjects: Patterns,
    /// It is about whoever is in one of these groups; empty: about everybody.
    pub groups: Vec<String>,
    /// It is not about those.
    pub unless_groups: Vec<String>,
    /// What is held.
    pub operations: Vec<HeldOperation>,
    /// With which topics.
    pub topics: NamePatterns,
    /// With which consumer, share and streams groups.
    pub consumer_groups: NamePatterns,
    /// With the cluster: its brokers' settings.
    pub cluster: bool,
    /// Of produce and fetch, what of it; none: all.
    pub when: Option<When>,
    /// How long a client's request waits on the wire.
    pub hold: Duration,
    /// What is asked of reviewers.
    pub terms: Terms,
}

/// Of produce and fetch, what is held; where both are said, either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// Fetching from the beginning of a partition: a replay, or an export.
    pub from_earliest: bool,
    /// More than this of a topic.
    pub volume: Option<Volume>,
}

/// So many bytes of records in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// Bytes of records, as they are on the wire.
    pub over: u64,
    /// The time that is looked back.
    pub within: Duration,
}

/// What a rule asks of reviewers and gives the requester: kept with each request, so that a later policy changes neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What people call the rule.
    pub rule: String,
    /// Who has to say yes.
    pub approvers: Approvers,
    /// Nobody says yes before there is a reason.
    pub reason_required: bool,
    /// How long it may stay undecided, seconds.
    pub expires_s: u64,
    /// How long a grant is good for, seconds from the last approval needed.
    pub valid_s: u64,
    /// How often it may be used.
    pub uses: u32,
    /// How long one use of it lasts where it opens a time, seconds.
    pub window_s: u64,
    /// Who may go ahead without approval, in an emergency, for all to see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub break_glass: Vec<String>,
}

/// All approval rules of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApprovalRules(std::sync::Arc<[ApprovalRule]>);

/// Why a rule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalMistake {
    /// It says nothing of what an operation is done to.
    #[error("holds {0} of nothing; name what with {1}")]
    NamesNothing(HeldOperation, String),
    /// `when` is about produce and fetch.
    #[error("`when` is about produce and fetch; {0} is held always, in a rule without it")]
    WhenOf(HeldOperation),
    /// Nothing is produced from the beginning.
    #[error("`when.from` is about fetch; produce is held in a rule of its own, or by its volume")]
    FromOf,
    /// The policy is every listener's, and is changed through none.
    #[error(
        "`listeners` is about what clients do; change_policy is held whichever way the policy's text comes to the API, in a \
         rule without it"
    )]
    ListenersOf,
    /// No quorum can be had.
    #[error(
        "approvers come to more than {} alternatives or {} people",
        super::approvers::ALTERNATIVES_MAX,
        super::approvers::PEOPLE_MAX
    )]
    Approvers,
    /// Two rules cannot be told apart by whoever reads a request.
    #[error("has the name of approvals[{0}]; a request says which rules hold it, by their names")]
    SameName(usize),
}

impl ApprovalRules {
    /// Rules in the policy's order, which decides nothing: approvals accumulate.
    pub fn new(rules: Vec<ApprovalRule>) -> Result<Self, Vec<(usize, ApprovalMistake)>> {
        let mut mistakes = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            mistakes.extend(rule.mistakes().into_iter().map(|mistake| (number, mistake)));
            let same = rules[..number].iter().position(|other| other.terms.rule == rule.terms.rule);
            mistakes.extend(same.map(|other| (number, ApprovalMistake::SameName(other))));
        }
        if mistakes.is_empty() { Ok(ApprovalRules(rules.into())) } else { Err(mistakes) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the policy's order.
    pub fn iter(&self) -> impl Iterator<Item = &ApprovalRule> {
        self.0.iter()
    }

    /// What of a client's doing may be held; none where nothing is, whatever it does.
    pub fn about(&self, client: &AccessClient<'_>) -> Option<HeldRules> {
        let own: Vec<usize> =
            self.0.iter().enumerate().filter(|(_, rule)| rule.is_about(client)).map(|(number, _)| number).collect();
        (!own.is_empty()).then(|| HeldRules { rules: self.clone(), own })
    }
}

/// The rules that are about one client.
#[derive(Debug, Clone)]
pub struct HeldRules {
    rules: ApprovalRules,
    own: Vec<usize>,
}

impl HeldRules {
    /// Rules that hold an operation on something.
    pub fn holding(&self, operation: HeldOperation, kind: ResourceKind, name: &str) -> Vec<&ApprovalRule> {
        self.of(operation).filter(|rule| rule.names(operation, kind, name)).collect()
    }

    /// Rules that hold an operation on anything.
    pub fn of(&self, operation: HeldOperation) -> impl Iterator<Item = &ApprovalRule> {
        let rules = self.own.iter().filter_map(|number| self.rules.0.get(*number));
        rules.filter(move |rule| rule.operations.contains(&operation))
    }

    /// Whether it has to be counted what their client reads.
    pub fn count_reads(&self) -> bool {
        self.hold(HeldOperation::ResetOffsets) || self.bound_reads()
    }

    /// Whether any rule bounds how much is read.
    pub fn bound_reads(&self) -> bool {
        self.of(HeldOperation::Fetch).any(|rule| rule.when.is_some_and(|when| when.volume.is_some()))
    }

    /// Whether any rule bounds how much is done of an operation on a topic.
    pub fn bound(&self, operation: HeldOperation, topic: &str) -> bool {
        let bounds = |rule: &ApprovalRule| rule.when.is_some_and(|when| when.volume.is_some());
        self.of(operation).any(|rule| bounds(rule) && rule.names(operation, ResourceKind::Topic, topic))
    }

    /// Whether any rule holds an operation.
    pub fn hold(&self, operation: HeldOperation) -> bool {
        self.of(operation).next().is_some()
    }
}

impl ApprovalRule {
    /// Whether it is about a client.
    pub fn is_about(&self, client: &AccessClient<'_>) -> bool {
        let among = |groups: &[String]| groups.iter().any(|group| client.groups.contains(group));
        (self.listeners.is_empty() || self.listeners.iter().any(|name| name == client.listener))
            && self.issuers.matches(client.issuer)
            && self.subjects.matches(client.subject)
            && (self.groups.is_empty() || among(&self.groups))
            && !among(&self.unless_groups)
    }

    /// Whether it is about something that an operation is done to.
    pub fn names(&self, operation: HeldOperation, kind: ResourceKind, name: &str) -> bool {
        let kinds = operation.kinds();
        kinds.is_empty()
            || (kinds.contains(&kind)
                && match kind {
                    ResourceKind::Topic => self.topics.matches(name, None),
                    ResourceKind::Group => self.consumer_groups.matches(name, None),
                    ResourceKind::Cluster => self.cluster,
                    ResourceKind::TransactionalId => false,
                })
    }

    fn mistakes(&self) -> Vec<ApprovalMistake> {
        let named = |kind: &ResourceKind| match kind {
            ResourceKind::Topic => !self.topics.is_empty(),
            ResourceKind::Group => !self.consumer_groups.is_empty(),
            ResourceKind::Cluster => self.cluster,
            ResourceKind::TransactionalId => false,
        };
        let key = |kind: &ResourceKind| match kind {
            ResourceKind::Topic => "`topics`",
            ResourceKind::Group => "`consumer_groups`",
            ResourceKind::Cluster => "`cluster: true`",
            ResourceKind::TransactionalId => "",
        };
        let mut mistakes = Vec::new();
        for operation in &self.operations {
            let kinds = operation.kinds();
            if !kinds.is_empty() && !kinds.iter().any(named) {
                let keys = kinds.iter().map(key).collect::<Vec<_>>().join(" or ");
                mistakes.push(ApprovalMistake::NamesNothing(*operation, keys));
            }
            if self.when.is_some() && !operation.goes_on() {
                mistakes.push(ApprovalMistake::WhenOf(*operation));
            }
            if *operation == HeldOperation::ChangePolicy && !self.listeners.is_empty() {
                mistakes.push(ApprovalMistake::ListenersOf);
            }
            if *operation == HeldOperation::Produce && self.when.is_some_and(|when| when.volume.is_none()) {
                mistakes.push(ApprovalMistake::FromOf);
            }
        }
        if self.terms.approvers.alternatives().is_none_or(|ways| ways.iter().any(Vec::is_empty)) {
            mistakes.push(ApprovalMistake::Approvers);
        }
        mistakes
    }
}
