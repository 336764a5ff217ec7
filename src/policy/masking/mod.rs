//! Masking rules: what of records is hidden from whom, by listener, topic, direction, groups, client and consumer group.
//!
//! All rules that apply hold together, whatever their order; of several on one value the strictest wins. Which of them could
//! apply to a connection is known once it is known who it acts for: they make its [`ConnectionMasking`], which says for each
//! topic and direction which do. That set is the key under which what they compile to is kept.
//!
//! Invariants:
//! - What is not known (a topic behind an unknown id, a consumer group, a client that states no id) counts as what a rule is
//!   about. Only groups are always known, since they are the identity's.
//! - The recording is masked for everyone: there a rule holds whatever it says of direction, groups, clients and consumer
//!   groups.

mod mistakes;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::patterns::Patterns;
use crate::limits;
use crate::mask::detect::Detector;
use crate::mask::{Action, Path, Unparsable};

pub use mistakes::MaskMistake;

/// All masking rules of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MaskingRules(Vec<Arc<MaskingRule>>);

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

/// Records on their way.
#[derive(Debug, Clone, Copy)]
pub struct MaskTraffic<'a> {
    /// Which way.
    pub direction: Direction,
    /// Their topic; none where only an unknown id is known.
    pub topic: Option<&'a str>,
    /// What the client calls itself, if it does.
    pub client_id: Option<&'a str>,
    /// For which consumer group they are read; none where it is not known, or none.
    pub consumer_group: Option<&'a str>,
}

/// Numbers of rules of one policy: what is compiled of them depends on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RuleSet([u64; limits::MASKING_RULES_MAX / 64]);

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

impl MaskingRule {
    fn holds_on(&self, listener: &str) -> bool {
        self.listeners.is_empty() || self.listeners.iter().any(|name| name == listener)
    }

    fn holds_for(&self, groups: &[String]) -> bool {
        let any = |names: &[String]| names.iter().any(|name| groups.contains(name));
        (self.groups.is_empty() || any(&self.groups)) && !any(&self.unless_groups)
    }

    fn applies(&self, traffic: &MaskTraffic<'_>) -> bool {
        let holds = |patterns: &Patterns, name: Option<&str>| name.is_none_or(|name| patterns.matches(name));
        let way = match traffic.direction {
            Direction::Recording => true,
            Direction::Produce => self.on.produce && holds(&self.client_ids, traffic.client_id),
            Direction::Fetch => {
                self.on.fetch
                    && holds(&self.client_ids, traffic.client_id)
                    && holds(&self.consumer_groups, traffic.consumer_group)
            }
        };
        way && holds(&self.topics, traffic.topic)
    }
}

impl MaskingRules {
    /// Rules in the policy's order, at most [`limits::MASKING_RULES_MAX`]; more are a mistake that is told.
    pub fn new(rules: Vec<MaskingRule>) -> Result<Self, Vec<(usize, MaskMistake)>> {
        let mistakes = mistakes::find(&rules);
        if mistakes.is_empty() { Ok(MaskingRules(rules.into_iter().map(Arc::new).collect())) } else { Err(mistakes) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rules of a set, in the policy's order.
    pub fn of(&self, set: RuleSet) -> impl Iterator<Item = &MaskingRule> {
        set.iter().filter_map(|number| self.0.get(number)).map(AsRef::as_ref)
    }

    /// What could hold for connections through `listener` by somebody in `groups`, their recording included; none where
    /// nothing does.
    pub fn of_connection(&self, listener: &str, groups: &[String]) -> Option<ConnectionMasking> {
        let on_listener = self.0.iter().enumerate().filter(|(_, rule)| rule.holds_on(listener));
        let rules: Vec<Bound> = on_listener
            .map(|(number, rule)| Bound { number, rule: rule.clone(), to_identity: rule.holds_for(groups) })
            .collect();
        (!rules.is_empty()).then_some(ConnectionMasking { rules })
    }
}

/// The rules that could apply to one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionMasking {
    rules: Vec<Bound>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    number: usize,
    rule: Arc<MaskingRule>,
    /// Whether the identity's groups make it hold beyond the recording.
    to_identity: bool,
}

impl ConnectionMasking {
    /// Whether any rule could apply to records that go this way, whatever their topic.
    pub fn concerns(&self, direction: Direction) -> bool {
        self.rules.iter().any(|bound| match direction {
            Direction::Recording => true,
            Direction::Produce => bound.to_identity && bound.rule.on.produce,
            Direction::Fetch => bound.to_identity && bound.rule.on.fetch,
        })
    }

    /// Which rules apply to these records.
    pub fn select(&self, traffic: &MaskTraffic<'_>) -> RuleSet {
        let recorded = traffic.direction == Direction::Recording;
        let apply = |bound: &&Bound| (recorded || bound.to_identity) && bound.rule.applies(traffic);
        let mut set = RuleSet::default();
        self.rules.iter().filter(apply).for_each(|bound| set.insert(bound.number));
        set
    }
}
