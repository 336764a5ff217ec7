//! What an action would come to, found out of the cluster before anybody decides on it.
//!
//! Facts are short texts for people; `what` of each is a word for programs: `exists`, `partitions`, `records`, `bytes`, `groups`
//! and `group`, `setting`, `position`, `lag`, `members`, `topics`, `moves`, `leaders`, `user`, `quota`, `last_writer`.
//!
//! Invariants: nothing on the cluster changes; what cannot be found out is said as trouble, beside what could; it ends within
//! [`limits::EFFECT_WAIT`]. Records are counted by offsets, which compaction and transactions make more than there are.

mod groups;
mod offsets;
mod parameters;
mod settings;
mod topics;
mod words;
mod writers;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::timeout;

use crate::limits;
use crate::policy::{Action, ActionEffect, ActionItem, ActionKind, Fact, HeldOperation};
use crate::recorder::Queries;
use crate::upstream::{Cluster, Inquirer, Place, TopicFacts, Trouble};

/// What is known of an action's topics.
type Topics = BTreeMap<String, TopicFacts>;

/// First offsets, and those behind the last, by topic and partition.
type Bounds = HashMap<Place, Result<Range<i64>, Trouble>>;

/// Finds out what `action` would come to on `cluster` now; from the recording, who has written last. Takes up to
/// [`limits::EFFECT_WAIT`] and never fails: what could not be found out is said so.
pub async fn effect(cluster: &Arc<Cluster>, recording: Option<&Queries>, action: &Action) -> ActionEffect {
    let mut survey = Survey {
        inquirer: Inquirer::new(cluster.clone()),
        recording: recording.cloned(),
        action,
        facts: Vec::new(),
        left_out: 0,
        trouble: Vec::new(),
    };
    if timeout(limits::EFFECT_WAIT, survey.look()).await.is_err() {
        survey.amiss(format!("the cluster did not tell all of it within {} s", limits::EFFECT_WAIT.as_secs()));
    }
    survey.into_effect()
}

/// One action, and what has been found out of it so far.
struct Survey<'a> {
    inquirer: Inquirer,
    recording: Option<Queries>,
    action: &'a Action,
    facts: Vec<Fact>,
    left_out: usize,
    trouble: Vec<String>,
}

impl Survey<'_> {
    async fn look(&mut self) {
        match self.action.operation {
            HeldOperation::CreateTopics => self.create_topics().await,
            HeldOperation::CreatePartitions => self.create_partitions().await,
            HeldOperation::DeleteTopics => {
                let (topics, bounds) = self.volume().await;
                self.readers(&topics, &bounds).await;
                self.last_writers().await;
            }
            HeldOperation::Produce => {
                self.volume().await;
                self.last_writers().await;
            }
            HeldOperation::Fetch => drop(self.volume().await),
            HeldOperation::AlterConfigs => self.alter_configs().await,
            HeldOperation::DeleteRecords => {
                self.delete_records().await;
                self.last_writers().await;
            }
            HeldOperation::ResetOffsets => self.reset_offsets().await,
            HeldOperation::DeleteGroups => self.delete_groups().await,
            HeldOperation::AlterReassignments => self.alter_reassignments().await,
            HeldOperation::ElectLeaders => self.elect_leaders().await,
            HeldOperation::AlterUsers => self.names_of("user"),
            HeldOperation::AlterQuotas => self.names_of("quota"),
            // Of no cluster.
            HeldOperation::ChangePolicy => {}
        }
    }

    /// The action's things of one kind.
    fn items(&self, kind: ActionKind) -> Vec<&ActionItem> {
        self.action.items.iter().filter(|item| item.kind == kind).collect()
    }

    /// Notes a fact, while there is room.
    fn tell(&mut self, about: &str, what: &str, value: impl Into<String>) {
        if self.facts.len() >= limits::EFFECT_FACTS_MAX {
            self.left_out += 1;
            return;
        }
        self.facts.push(Fact { about: about.to_owned(), what: what.to_owned(), value: value.into() });
    }

    /// Notes what could not be found out, once.
    fn amiss(&mut self, why: String) {
        if !self.trouble.contains(&why) {
            self.trouble.push(why);
        }
    }

    /// The same of a part of it.
    fn unknown(&mut self, part: &str, why: impl Display) {
        self.amiss(format!("{part} not known: {why}"));
    }

    /// Who or what it is for, with what changes.
    fn names_of(&mut self, what: &str) {
        for item in &self.action.items {
            let changes: Vec<String> = item.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
            let name = if item.name.is_empty() { "default" } else { &item.name };
            self.tell(name, what, changes.join(", "));
        }
    }

    fn into_effect(mut self) -> ActionEffect {
        if self.left_out > 0 {
            self.amiss(format!("{} more facts are left out", self.left_out));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ActionEffect {
            at_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            facts: self.facts,
            trouble: (!self.trouble.is_empty()).then(|| self.trouble.join("; ")),
        }
    }
}
