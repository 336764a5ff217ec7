//! Masking rules: what of records is hidden from whom, by listener, topic, direction, groups, client and consumer group.
//!
//! All rules that apply hold together, whatever their order; of several on one value the strictest wins. Which of them could
//! apply to a client is known once it is known who it acts for ([`MaskingRules::of_client`]); which do, with each topic
//! ([`MaskingRules::on_topic`]). That set is the key under which what they compile to is kept. Whether one holds is decided
//! in `bounds`, which also says why not.
//!
//! Invariants:
//! - What is not known (a topic behind an unknown id, a consumer group, a client that states no id) counts as what a rule is
//!   about. Only groups are always known, since they are the identity's.
//! - The recording is masked for everyone: there a rule holds whatever it says of direction, groups, clients and consumer
//!   groups.

mod bounds;
mod mistakes;
mod strictest;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::patterns::Patterns;
use crate::limits;
use crate::mask::detect::Detector;
use crate::mask::{Action, Path, Target, Unparsable};

pub use bounds::MaskExemption;
pub use mistakes::MaskMistake;
pub use strictest::{MaskDecision, MaskNamed};

/// All masking rules of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MaskingRules(Arc<[MaskingRule]>);

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskingRule {
    /// What people call it.
    pub name: Option<String>,
    /// The listeners it holds on; empty: all.
    pub listeners: Vec<String>,
    /// The topics it holds for.
    pub topics: Patterns,
    /// Paths of the fields that are masked.
    pub fields: Vec<Path>,
    /// What is masked wherever it stands.
    pub detect: Vec<Detector>,
    /// What is put in its place.
    pub action: Action,
    /// Which way records go.
    pub on: MaskDirections,
    /// It holds for whoever is in one of these groups; empty: for everybody.
    pub groups: Vec<String>,
    /// It does not hold for whoever is in one of these.
    pub unless_groups: Vec<String>,
    /// The client ids it holds for. Clients choose theirs freely.
    pub client_ids: Patterns,
    /// The consumer groups it holds for.
    pub consumer_groups: Patterns,
    /// What becomes of a value that cannot be looked into.
    pub unparsable: Unparsable,
    /// Whether strings that hold JSON are looked into.
    pub nested_json: bool,
    /// How hard changed batches are compressed, from 1 to 9, where their codec has levels; none: its default.
    pub compression_level: Option<u32>,
}

/// Which way records go to be masked beside the recording, which always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaskDirections {
    /// What clients write: the topic holds the masked form.
    pub produce: bool,
    /// What clients read.
    pub fetch: bool,
}

/// Where records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From a client to a broker.
    Produce,
    /// From a broker to a client.
    Fetch,
    /// Into the recording, of whichever.
    Recording,
}

/// Whom records are masked for.
#[derive(Debug, Clone, Copy)]
pub struct MaskClient<'a> {
    /// The listener it came through.
    pub listener: &'a str,
    /// The groups of whoever it acts for.
    pub groups: &'a [String],
    /// What it calls itself, if it does.
    pub client_id: Option<&'a str>,
    /// The consumer groups it may be reading for; none: not known, or none.
    pub consumer_groups: &'a [Arc<str>],
}

/// Numbers of rules of one policy: what is compiled of them depends on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RuleSet([u64; limits::MASKING_RULES_MAX / 64]);

impl MaskingRule {
    fn changes_stored_keys(&self) -> bool {
        self.on.produce && self.fields.iter().any(|path| matches!(path.target(), Target::Key(_)))
    }
}

impl RuleSet {
    /// Whether no rule applies.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + use<> {
        let words = self.0;
        (0..limits::MASKING_RULES_MAX).filter(move |number| words[number / 64] >> (number % 64) & 1 == 1)
    }

    fn insert(&mut self, number: usize) {
        self.0[number / 64] |= 1 << (number % 64);
    }
}

impl MaskingRules {
    /// Rules in the policy's order, at most [`limits::MASKING_RULES_MAX`]; more are a mistake that is told.
    pub fn new(rules: Vec<MaskingRule>) -> Result<Self, Vec<(usize, MaskMistake)>> {
        let mistakes = mistakes::find(&rules);
        if mistakes.is_empty() { Ok(MaskingRules(rules.into())) } else { Err(mistakes) }
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
    pub fn iter(&self) -> impl Iterator<Item = &MaskingRule> {
        self.0.iter()
    }

    /// The rules of a set, in the policy's order.
    pub fn of(&self, set: RuleSet) -> impl Iterator<Item = &MaskingRule> {
        set.iter().filter_map(|number| self.0.get(number))
    }

    /// Which rules hold for a client's records that go this way, on one topic or other.
    pub fn of_client(&self, direction: Direction, client: &MaskClient<'_>) -> RuleSet {
        self.narrowed(|rule| rule.why_not(direction, client, None).is_none())
    }

    /// Which of a set hold on a topic; on one of which the name is not known all do.
    pub fn on_topic(&self, set: RuleSet, topic: Option<&str>) -> RuleSet {
        let mut on_topic = RuleSet::default();
        let holds = |number: &usize| self.0.get(*number).is_some_and(|rule| rule.holds_on_topic(topic));
        set.iter().filter(holds).for_each(|number| on_topic.insert(number));
        on_topic
    }

    /// What whoever wrote the rules should know of them, a line each, though it is lawful.
    pub fn warnings(&self) -> Vec<String> {
        let of_keys = self.0.iter().enumerate().filter(|(_, rule)| rule.changes_stored_keys());
        let warning = |(number, _): (usize, &MaskingRule)| {
            format!(
                "masking[{number}] masks keys on produce: records stay in the partition of the raw key, and compaction keeps one \
                 for each masked key, so that those of different raw keys may replace each other"
            )
        };
        of_keys.map(warning).collect()
    }

    /// Whether what a client reads may depend on the consumer group that it reads for.
    pub fn ask_for_consumer_groups(&self) -> bool {
        self.0.iter().any(|rule| !rule.consumer_groups.is_everything())
    }

    fn narrowed(&self, holds: impl Fn(&MaskingRule) -> bool) -> RuleSet {
        let mut set = RuleSet::default();
        let numbered = self.0.iter().enumerate();
        numbered.filter(|(_, rule)| holds(rule)).for_each(|(number, _)| set.insert(number));
        set
    }
}
