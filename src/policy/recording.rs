//! Recording rules: how much of an exchange is kept, by listener, group and topic.
//!
//! The first rule that matches decides; where none does, metadata is recorded. Which rules apply to a connection is known
//! once it is known who it acts for: they make its [`RecordingPlan`], which is then asked about topics.
//!
//! Invariants:
//! - A rule that names topics never decides on what names no topic.
//! - Metadata is recorded whatever the rules say; they decide on frames.

use std::sync::Arc;

use super::patterns::{Patterns, covers_names};

/// Patterns of topic names; everything holds for what names no topic, too.
pub type TopicPatterns = Patterns;

/// All recording rules of a policy, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordingRules(Vec<Arc<RecordingRule>>);

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingRule {
    /// What people call it.
    pub name: Option<String>,
    /// The listeners it holds on; empty: all.
    pub listeners: Vec<String>,
    /// It holds for whoever is in one of these groups; empty: for everybody.
    pub groups: Vec<String>,
    /// The topics it holds for.
    pub topics: TopicPatterns,
    /// What is kept.
    pub mode: RecordingMode,
}

/// How much of an exchange is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordingMode {
    /// Who, what, where, how much, with what outcome; no payload.
    #[default]
    Metadata,
    /// The same, and the frames of a share of the exchanges.
    Sample(Sample),
    /// Every frame.
    Full,
}

/// Which share of the exchanges is kept with its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The share, in 2^64ths, less one.
    threshold: u64,
    /// Bytes of frames kept a second at the most, by the whole gateway.
    pub max_bytes_per_second: u64,
}

impl Sample {
    /// A share of more than 0 and at most 1.
    pub fn new(rate: f64, max_bytes_per_second: u64) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, which is meant")]
        let threshold = (rate * 2f64.powi(64)) as u64;
        Sample { threshold, max_bytes_per_second }
    }

    /// The share, above 0 and at most 1.
    pub fn rate(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "it was made of a number of that precision")]
        let threshold = self.threshold as f64;
        threshold / 2f64.powi(64)
    }

    /// Whether the exchange with this evenly spread number is in the share.
    pub fn takes(&self, number: u64) -> bool {
        number <= self.threshold
    }
}

impl RecordingRule {
    fn holds_on(&self, listener: &str) -> bool {
        self.listeners.is_empty() || self.listeners.iter().any(|name| name == listener)
    }

    fn holds_for(&self, groups: &[String]) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|name| groups.contains(name))
    }

    /// Whether nothing that `later` would decide on is left to it.
    pub fn covers(&self, later: &RecordingRule) -> bool {
        self.topics.cover(&later.topics)
            && covers_names(&self.listeners, &later.listeners)
            && covers_names(&self.groups, &later.groups)
    }
}

impl RecordingRules {
    /// Rules in their order.
    pub fn new(rules: Vec<RecordingRule>) -> Self {
        RecordingRules(rules.into_iter().map(Arc::new).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rules in their order.
    pub fn iter(&self) -> impl Iterator<Item = &RecordingRule> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// What is kept of connections through `listener` by somebody in `groups`; none where no frame is.
    pub fn plan(&self, listener: &str, groups: &[String]) -> Option<RecordingPlan> {
        self.collect(self.applying(listener, groups), |_| true)
    }

    /// The rule that decides what is kept of exchanges about `topic`, with its number; none where no rule does.
    pub fn deciding<'a>(
        &'a self,
        listener: &'a str,
        groups: &'a [String],
        topic: &str,
    ) -> Option<(usize, &'a RecordingRule)> {
        let decides = |(_, rule): &(usize, &Arc<RecordingRule>)| rule.topics.matches(topic);
        self.applying(listener, groups).find(decides).map(|(number, rule)| (number, rule.as_ref()))
    }

    fn applying<'a>(
        &'a self,
        listener: &'a str,
        groups: &'a [String],
    ) -> impl Iterator<Item = (usize, &'a Arc<RecordingRule>)> {
        let applies = move |rule: &Arc<RecordingRule>| rule.holds_on(listener) && rule.holds_for(groups);
        self.0.iter().enumerate().filter(move |(_, rule)| applies(rule))
    }

    /// What is kept of a connection before it is known who it acts for: everything, if any rule could keep a frame of
    /// somebody's on this listener, so that a recording begins with the handshake.
    pub fn plan_before_login(&self, listener: &str) -> Option<RecordingPlan> {
        let anybodys = self.0.iter().enumerate().filter(|(_, rule)| rule.holds_on(listener));
        self.collect(anybodys, |rule| rule.groups.is_empty())
            .map(|_| RecordingPlan { rules: vec![(0, Arc::new(everything()))] })
    }

    fn collect<'a>(
        &self,
        rules: impl Iterator<Item = (usize, &'a Arc<RecordingRule>)>,
        for_all_groups: impl Fn(&RecordingRule) -> bool,
    ) -> Option<RecordingPlan> {
        let mut plan = RecordingPlan { rules: Vec::new() };
        for (index, rule) in rules {
            plan.rules.push((index, rule.clone()));
            if rule.topics.is_everything() && for_all_groups(rule) {
                break;
            }
        }
        let keeps = plan.rules.iter().any(|(_, rule)| rule.mode != RecordingMode::Metadata);
        keeps.then_some(plan)
    }
}

fn everything() -> RecordingRule {
    RecordingRule {
        name: None,
        listeners: Vec::new(),
        groups: Vec::new(),
        topics: TopicPatterns::default(),
        mode: RecordingMode::Full,
    }
}

/// What a plan says of a topic, or of what names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// No frame.
    Nothing,
    /// The frames of a share: the rule's number in the policy, and which share.
    Share(usize, Sample),
    /// Every frame.
    Everything,
}

/// The rules that apply to one connection, in their order, each with its number in the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingPlan {
    rules: Vec<(usize, Arc<RecordingRule>)>,
}

impl RecordingPlan {
    /// What is kept of exchanges about `topic`.
    pub fn of_topic(&self, topic: &str) -> Keep {
        self.first(|rule| rule.topics.matches(topic))
    }

    /// What is kept of exchanges that name no topic.
    pub fn of_no_topic(&self) -> Keep {
        self.first(|rule| rule.topics.is_everything())
    }

    /// What is kept of exchanges about a topic of which only an unknown id is known: the most that any rule keeps.
    pub fn of_unknown_topic(&self) -> impl Iterator<Item = Keep> {
        self.rules.iter().map(|(index, rule)| keep(*index, rule.mode))
    }

    /// The one answer to every question, where no rule asks for topics.
    pub fn of_everything(&self) -> Option<Keep> {
        let (index, rule) = self.rules.first()?;
        rule.topics.is_everything().then(|| keep(*index, rule.mode))
    }

    fn first(&self, matches: impl Fn(&RecordingRule) -> bool) -> Keep {
        let rule = self.rules.iter().find(|(_, rule)| matches(rule));
        rule.map_or(Keep::Nothing, |(index, rule)| keep(*index, rule.mode))
    }
}

fn keep(index: usize, mode: RecordingMode) -> Keep {
    match mode {
        RecordingMode::Metadata => Keep::Nothing,
        RecordingMode::Sample(sample) => Keep::Share(index, sample),
        RecordingMode::Full => Keep::Everything,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rule(listeners: &[&str], groups: &[&str], topics: &[&str], mode: RecordingMode) -> RecordingRule {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let topics = TopicPatterns::new(own(topics)).unwrap();
        RecordingRule { name: None, listeners: own(listeners), groups: own(groups), topics, mode }
    }

    const FULL: RecordingMode = RecordingMode::Full;
    const METADATA: RecordingMode = RecordingMode::Metadata;

    #[test]
    fn the_first_rule_that_matches_wins() {
        let rules = RecordingRules::new(vec![
            rule(&[], &[], &["payments.test"], METADATA),
            rule(&[], &[], &["payments.*"], FULL),
            rule(&[], &["auditors"], &[], FULL),
        ]);
        let plan = rules.plan("main", &["dev".to_owned()]).unwrap();
        assert_eq!(plan.of_topic("payments.test"), Keep::Nothing);
        assert_eq!(plan.of_topic("payments.eu"), Keep::Everything);
        assert_eq!(plan.of_topic("orders"), Keep::Nothing);
        assert_eq!(plan.of_no_topic(), Keep::Nothing);
        assert_eq!(plan.of_everything(), None);
        let plan = rules.plan("main", &["auditors".to_owned()]).unwrap();
        assert_eq!((plan.of_topic("orders"), plan.of_no_topic()), (Keep::Everything, Keep::Everything));
        assert_eq!(plan.of_topic("payments.test"), Keep::Nothing);
    }

    #[test]
    fn the_rule_that_is_said_to_decide_is_the_one_that_does() {
        let sample = RecordingMode::Sample(Sample::new(0.25, 1));
        let rules = RecordingRules::new(vec![
            rule(&["inner"], &[], &["payments.*"], METADATA),
            rule(&[], &["auditors"], &["payments.eu"], FULL),
            rule(&[], &[], &["payments.*"], sample),
        ]);
        for listener in ["inner", "outer"] {
            for groups in [vec![], vec!["auditors".to_owned()]] {
                for topic in ["payments.eu", "payments.us", "orders"] {
                    let does = rules.plan(listener, &groups).map_or(Keep::Nothing, |plan| plan.of_topic(topic));
                    let said = rules.deciding(listener, &groups, topic);
                    let said = said.map_or(Keep::Nothing, |(number, rule)| keep(number, rule.mode));
                    assert_eq!(said, does, "{listener} {groups:?} {topic}");
                }
            }
        }
        assert_eq!(rules.deciding("outer", &[], "payments.eu").unwrap().0, 2);
    }

    #[test]
    fn a_connection_to_which_no_keeping_rule_applies_has_no_plan() {
        let rules = RecordingRules::new(vec![rule(&["inner"], &["dev"], &[], FULL), rule(&[], &[], &[], METADATA)]);
        assert!(rules.plan("outer", &["dev".to_owned()]).is_none());
        assert!(rules.plan("inner", &[]).is_none());
        assert_eq!(rules.plan("inner", &["dev".to_owned()]).unwrap().of_everything(), Some(Keep::Everything));
        assert!(rules.plan_before_login("outer").is_none());
        assert_eq!(rules.plan_before_login("inner").unwrap().of_everything(), Some(Keep::Everything));
        assert!(RecordingRules::default().plan("inner", &[]).is_none());
    }

    #[test]
    fn a_rule_behind_one_that_takes_everything_of_its_kind_is_covered() {
        let all = rule(&[], &[], &[], METADATA);
        let of_dev = rule(&[], &["dev"], &[], FULL);
        let payments = rule(&["inner"], &[], &["payments.*"], FULL);
        assert!(all.covers(&of_dev) && all.covers(&payments));
        assert!(!of_dev.covers(&all) && !of_dev.covers(&payments) && !payments.covers(&all));
        assert!(payments.covers(&rule(&["inner"], &["dev"], &["payments.*"], METADATA)));
        assert!(!payments.covers(&rule(&[], &[], &["payments.*"], METADATA)));
    }

    #[test]
    fn a_share_is_taken_by_its_size() {
        let share = |rate| Sample::new(rate, 1);
        assert_eq!([1.0, 0.5, 0.01].map(|rate| share(rate).rate()), [1.0, 0.5, 0.01]);
        assert!(share(1.0).takes(u64::MAX) && share(1.0).takes(0));
        assert!(share(0.5).takes(u64::MAX / 4) && !share(0.5).takes(u64::MAX / 4 * 3));
        let kept = (0..10_000u64).filter(|i| share(0.01).takes(i * (u64::MAX / 10_000))).count();
        assert!((95..=105).contains(&kept), "{kept}");
    }
}
