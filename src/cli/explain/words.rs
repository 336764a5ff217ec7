//! How rules are named and told, in the policy's own words.

use crate::policy::{Detector, MaskAction, MaskExemption, MaskingRule, Patterns};

/// As mistakes in the policy file are told: by place, `masking[0]`.
pub(super) fn place(number: usize) -> String {
    format!("masking[{number}]")
}

/// By place and by what people call it: `masking[0] "card data"`.
pub(super) fn named(place: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{place} \"{name}\""),
        None => place.to_owned(),
    }
}

/// What a client is told of records that may not pass, by Kafka's name.
pub(super) fn refusal(is_read: bool) -> &'static str {
    if is_read { "TOPIC_AUTHORIZATION_FAILED" } else { "POLICY_VIOLATION" }
}

pub(super) fn operation(is_read: bool) -> &'static str {
    if is_read { "fetch" } else { "produce" }
}

/// The action's key in the policy file, and how many characters it keeps.
pub(super) fn action(action: &MaskAction) -> (&'static str, Option<u32>) {
    match action {
        MaskAction::Redact => ("redact", None),
        MaskAction::KeepFirst(count) => ("keep_first", Some(*count)),
        MaskAction::KeepLast(count) => ("keep_last", Some(*count)),
        MaskAction::Hash(_) => ("hash", None),
        MaskAction::Null => ("null", None),
        MaskAction::DropField => ("drop_field", None),
        MaskAction::DropRecord => ("drop_record", None),
    }
}

/// The action in a word or two.
pub(super) fn action_briefly(of: &MaskAction) -> String {
    match action(of) {
        (word, Some(count)) => format!("{word} {count}"),
        (word, None) => word.to_owned(),
    }
}

/// What it does.
pub(super) fn action_told(of: &MaskAction) -> String {
    let kept = |end, count: &u32| match count {
        1 => format!("only its {end} character stays"),
        count => format!("only its {end} {count} characters stay"),
    };
    let does = match of {
        MaskAction::Redact => "stars in its place".to_owned(),
        MaskAction::KeepFirst(count) => kept("first", count),
        MaskAction::KeepLast(count) => kept("last", count),
        MaskAction::Hash(_) => "a keyed hash in its place, the same for the same value".to_owned(),
        MaskAction::Null => "null in its place".to_owned(),
        MaskAction::DropField => "name and value go".to_owned(),
        MaskAction::DropRecord => "the whole record is left out".to_owned(),
    };
    format!("{}: {does}", action_briefly(of))
}

pub(super) fn detector(of: &Detector) -> String {
    match of {
        Detector::Pattern(pattern) => format!("pattern {pattern}"),
        other => other.name().unwrap_or_default().to_owned(),
    }
}

/// Why a rule does not hold.
pub(super) fn exemption(why: &MaskExemption<'_>, rule: &MaskingRule) -> String {
    let patterns = |patterns: &Patterns| patterns.iter().cloned().collect::<Vec<String>>();
    let (about, names) = match why {
        MaskExemption::Direction if rule.on.produce => {
            return "it masks what is produced, not what is fetched".to_owned();
        }
        MaskExemption::Direction if rule.on.fetch => {
            return "it masks what is fetched, not what is produced".to_owned();
        }
        MaskExemption::Direction => return "it masks the recording only".to_owned(),
        MaskExemption::Excepted(group) => return format!("it excepts group {group}"),
        MaskExemption::Listener => ("listeners", rule.listeners.clone()),
        MaskExemption::Topic => ("topics", patterns(&rule.topics)),
        MaskExemption::Groups => ("groups", rule.groups.clone()),
        MaskExemption::ClientId => ("client ids", patterns(&rule.client_ids)),
        MaskExemption::ConsumerGroup => ("consumer groups", patterns(&rule.consumer_groups)),
    };
    format!("it holds for other {about} ({})", names.join(", "))
}
