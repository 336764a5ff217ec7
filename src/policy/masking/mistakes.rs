//! Masking rules that do nothing, or too much: told before they are used, since whoever wrote them relies on them.

use std::fmt;

use super::super::patterns::{can_be_a_topic, covers_names};
use super::MaskingRule;
use super::strictest::covers_path;
use crate::limits;
use crate::mask::Action;
use crate::mask::detect::Detector;

/// What is wrong with a rule, seen beside the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaskMistake {
    /// It names neither fields nor detectors.
    MasksNothing,
    /// A topic's name holds letters, digits, `.`, `_` and `-`; the pattern asks for more, or for none that is a topic's.
    NoSuchTopic(String),
    /// Everybody it is for is excepted.
    ExceptsItself,
    /// It asks to drop records of what is produced: a batch's count of records is its range of offsets.
    DropsProduced,
    /// It names consumer groups and holds for nothing that is fetched.
    NothingConsumed,
    /// It can hold only in the recording, where groups, clients and consumer groups make no difference.
    NobodyInRecording,
    /// Another rule does all that it does, at least as strictly.
    Shadowed(usize),
    /// More rules than are compiled.
    TooManyRules,
    /// Rules that may meet on one topic name more paths than are searched at once.
    TooManyFields(usize),
    /// Rules that may meet on one topic have more own patterns, each of which is a scan of its own.
    TooManyPatterns(usize),
}

impl fmt::Display for MaskMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaskMistake::MasksNothing => f.write_str("masks nothing; expected `fields`, `detect` or both"),
            MaskMistake::NoSuchTopic(pattern) => write!(
                f,
                "never applies: no topic's name can match `{pattern}`; names are 1 to 249 letters, digits, `.`, `_` and `-`"
            ),
            MaskMistake::ExceptsItself => f.write_str("never applies: all of its `groups` are in `unless_groups`"),
            MaskMistake::DropsProduced => f.write_str(
                "`drop_record` cannot be done on `produce`: the number of records in a batch is its range of offsets; \
                 expected `on: [fetch]`, or `drop_field`, `null` or `redact`",
            ),
            MaskMistake::NothingConsumed => {
                f.write_str("never applies: only what is fetched has consumer groups, and `on` does not name `fetch`")
            }
            MaskMistake::NobodyInRecording => f.write_str(
                "a recording is masked for everyone; `groups`, `unless_groups`, `client_ids` and `consumer_groups` need \
                 `produce` or `fetch` in `on`",
            ),
            MaskMistake::Shadowed(other) => {
                write!(f, "does nothing: masking[{other}] masks all that it does, wherever it applies, as strictly")
            }
            MaskMistake::TooManyRules => write!(f, "one rule more than the {} there may be", limits::MASKING_RULES_MAX),
            MaskMistake::TooManyFields(count) => write!(
                f,
                "costs too much: with the rules before it that may apply to the same topic it makes {count} `fields`; at \
                 most {} are searched at once",
                limits::MASKING_FIELDS_MAX
            ),
            MaskMistake::TooManyPatterns(count) => write!(
                f,
                "costs too much: with the rules before it that may apply to the same topic it makes {count} own patterns; \
                 each is a scan of its own, and {} are the most",
                limits::MASKING_PATTERNS_MAX
            ),
        }
    }
}

/// What is wrong, each with the number of its rule, in the order of rules.
pub(super) fn find(rules: &[MaskingRule]) -> Vec<(usize, MaskMistake)> {
    let mut found = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        if number >= limits::MASKING_RULES_MAX {
            found.push((number, MaskMistake::TooManyRules));
            break;
        }
        let own = alone(rule);
        if own.is_empty() {
            found.extend(shadow(rules, number).map(|other| (number, MaskMistake::Shadowed(other))));
            found.extend(cost(rules, number).map(|mistake| (number, mistake)));
        }
        found.extend(own.into_iter().map(|mistake| (number, mistake)));
    }
    found
}

/// What is wrong with a rule whatever the others say.
fn alone(rule: &MaskingRule) -> Vec<MaskMistake> {
    let recording_only = !rule.on.produce && !rule.on.fetch;
    let by_group = !rule.groups.is_empty() || !rule.unless_groups.is_empty();
    let by_client = !rule.client_ids.is_everything();
    let by_consumer_group = !rule.consumer_groups.is_everything();
    let excepted = |group: &String| rule.unless_groups.contains(group);
    let mut found: Vec<MaskMistake> =
        rule.topics.iter().filter(|p| !can_be_a_topic(p)).map(|p| MaskMistake::NoSuchTopic(p.clone())).collect();
    let mut add = |is: bool, mistake: MaskMistake| found.extend(is.then_some(mistake));
    add(rule.fields.is_empty() && rule.detect.is_empty(), MaskMistake::MasksNothing);
    add(!rule.groups.is_empty() && rule.groups.iter().all(excepted), MaskMistake::ExceptsItself);
    add(rule.on.produce && rule.action == Action::DropRecord, MaskMistake::DropsProduced);
    add(recording_only && (by_group || by_client || by_consumer_group), MaskMistake::NobodyInRecording);
    add(!recording_only && by_consumer_group && !rule.on.fetch, MaskMistake::NothingConsumed);
    found
}

/// The first other rule that does all of this one's work. Of two that are equal the later one does nothing.
fn shadow(rules: &[MaskingRule], number: usize) -> Option<usize> {
    let rule = &rules[number];
    let others = rules.iter().enumerate().take(limits::MASKING_RULES_MAX);
    let shadows = |(other, by): &(usize, &MaskingRule)| {
        *other != number && alone(by).is_empty() && does_all_of(by, rule) && (*other < number || !does_all_of(rule, by))
    };
    others.into_iter().find(shadows).map(|(other, _)| other)
}

fn does_all_of(by: &MaskingRule, rule: &MaskingRule) -> bool {
    let directions = (by.on.produce || !rule.on.produce) && (by.on.fetch || !rule.on.fetch);
    let excepts_less = by.unless_groups.iter().all(|group| rule.unless_groups.contains(group));
    let fields = rule.fields.iter().all(|field| by.fields.iter().any(|outer| covers_path(outer, field)));
    let detect = rule.detect.iter().all(|detector| by.detect.contains(detector));
    by.topics.cover(&rule.topics)
        && covers_names(&by.listeners, &rule.listeners)
        && covers_names(&by.groups, &rule.groups)
        && excepts_less
        && directions
        && by.client_ids.cover(&rule.client_ids)
        && by.consumer_groups.cover(&rule.consumer_groups)
        && fields
        && detect
        && by.action.leaves_at_most(&rule.action)
        && by.unparsable >= rule.unparsable
        && (by.nested_json || !rule.nested_json)
        && (rule.compression_level.is_none() || by.compression_level >= rule.compression_level)
}

/// Counts what meets on one topic: rules before this one that may apply where it does, the recording included, in which
/// groups and clients make no difference.
fn cost(rules: &[MaskingRule], number: usize) -> Option<MaskMistake> {
    let rule = &rules[number];
    let listeners = |other: &MaskingRule| {
        rule.listeners.is_empty()
            || other.listeners.is_empty()
            || other.listeners.iter().any(|l| rule.listeners.contains(l))
    };
    let meets = |other: &&MaskingRule| listeners(other) && other.topics.may_overlap(&rule.topics);
    let own = |rule: &MaskingRule| rule.detect.iter().filter(|d| matches!(d, Detector::Pattern(_))).count();
    let met: Vec<&MaskingRule> = rules[..number].iter().filter(meets).collect();
    let fields = rule.fields.len() + met.iter().map(|met| met.fields.len()).sum::<usize>();
    let patterns = own(rule) + met.iter().map(|met| own(met)).sum::<usize>();
    if !rule.fields.is_empty() && fields > limits::MASKING_FIELDS_MAX {
        return Some(MaskMistake::TooManyFields(fields));
    }
    (own(rule) > 0 && patterns > limits::MASKING_PATTERNS_MAX).then_some(MaskMistake::TooManyPatterns(patterns))
}
