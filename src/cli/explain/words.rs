//! How rules are named and told, in the policy's own words.

use crate::policy::{Detector, MaskAction, MaskExemption, MaskingRule};

/// As mistakes in the policy file are told: by place, `masking[0]`.
pub(super) fn place(number: usize) -> String {
    format!("masking[{number}]")
}

/// By place and by what people call it.
pub(super) fn named(place: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{place} {name}"),
        None => place.to_owned(),
    }
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
    let plural = |count: &u32| if *count == 1 { "character stays" } else { "characters stay" };
    let does = match of {
        MaskAction::Redact => "stars in its place".to_owned(),
        MaskAction::KeepFirst(count) => format!("the first {count} {} of it", plural(count)),
        MaskAction::KeepLast(count) => format!("the last {count} {} of it", plural(count)),
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
    let listed = |names: &[String]| names.join(", ");
    let patterns = |patterns: &crate::policy::Patterns| patterns.iter().cloned().collect::<Vec<String>>().join(", ");
    match why {
        MaskExemption::Listener => format!("it holds on other listeners: {}", listed(&rule.listeners)),
        MaskExemption::Topic => format!("it holds for other topics: {}", patterns(&rule.topics)),
        MaskExemption::Direction if rule.on.produce => "it masks what is produced, not what is fetched".to_owned(),
        MaskExemption::Direction if rule.on.fetch => "it masks what is fetched, not what is produced".to_owned(),
        MaskExemption::Direction => "it masks the recording only".to_owned(),
        MaskExemption::Groups => format!("it holds for other groups: {}", listed(&rule.groups)),
        MaskExemption::Excepted(group) => format!("it does not hold for group {group}"),
        MaskExemption::ClientId => format!("it holds for other client ids: {}", patterns(&rule.client_ids)),
        MaskExemption::ConsumerGroup => {
            format!("it holds for other consumer groups: {}", patterns(&rule.consumer_groups))
        }
    }
}
