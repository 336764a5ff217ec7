//! Reads the parameters of actions: texts that were made for people and digests, so whatever does not fit is passed over.

use std::collections::BTreeMap;

use crate::policy::{ActionItem, Parameter};
use crate::upstream::Place;

/// The value of the first parameter of one of these names.
pub(super) fn value<'a>(parameters: &'a [Parameter], names: &[&str]) -> Option<&'a str> {
    parameters.iter().find(|(name, _)| names.contains(&&**name)).map(|(_, value)| &**value)
}

/// The same as a number.
pub(super) fn number(parameters: &[Parameter], names: &[&str]) -> Option<i64> {
    value(parameters, names)?.trim().parse().ok()
}

/// What is said of each partition: `partition 3` of a topic, `orders partition 3` or `orders-3` of something else.
pub(super) fn partitions(item: &ActionItem, is_topic: bool) -> BTreeMap<Place, &str> {
    let place = |name: &str| {
        if let Some((before, number)) = name.rsplit_once("partition ") {
            let before = before.trim().trim_start_matches("topic ").trim_end_matches([',', ':']).trim();
            let topic = if before.is_empty() && is_topic { &item.name } else { before };
            return Some((topic.to_owned(), number.trim().parse().ok()?)).filter(|(topic, _)| !topic.is_empty());
        }
        let (topic, number) = name.trim_start_matches("topic ").rsplit_once('-').filter(|_| !is_topic)?;
        Some((topic.to_owned(), number.parse().ok()?))
    };
    item.parameters.iter().filter_map(|(name, value)| Some((place(name)?, &**value))).collect()
}

/// The offset in `offset=42`, `start_offset=42, metadata=x`, `offset 42` or `42`.
pub(super) fn offset(value: &str) -> Option<i64> {
    let after = value.split_once("offset").map_or(value, |(_, after)| after.trim_start_matches(['=', ':', ' ']));
    let end = after.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(after.len());
    after[..end].parse().ok()
}

/// The brokers in `replicas=1,2,3`, `[1, 2, 3]`; none where it names none.
pub(super) fn brokers(value: &str) -> Vec<i32> {
    let listed = value.split_once("replicas").map_or(value, |(_, listed)| listed);
    listed.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ActionKind;

    fn item(kind: ActionKind, parameters: &[(&str, &str)]) -> ActionItem {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ActionItem { kind, name: "named".to_owned(), parameters }
    }

    #[test]
    fn partitions_are_read_of_topics_and_of_groups_and_nothing_else_is() {
        let topic = item(ActionKind::Topic, &[("partition 3", "offset=42"), ("partition x", "1"), ("count", "7")]);
        assert_eq!(partitions(&topic, true), BTreeMap::from([(("named".to_owned(), 3), "offset=42")]));
        let group = item(ActionKind::Group, &[("a-b partition 1", "1"), ("topic c, partition 2", "2"), ("d-e-3", "3")]);
        let of_group = partitions(&group, false).into_keys().collect::<Vec<_>>();
        assert_eq!(of_group, [("a-b".to_owned(), 1), ("c".to_owned(), 2), ("d-e".to_owned(), 3)]);
        assert!(partitions(&item(ActionKind::Group, &[("partition 1", "1")]), false).is_empty());
    }

    #[test]
    fn offsets_and_brokers_are_read_however_they_are_written() {
        let offsets = ["offset=42", "start_offset=-1, x=7", "42", "offset 42", "none", "", "offset="].map(offset);
        assert_eq!(offsets, [Some(42), Some(-1), Some(42), Some(42), None, None, None]);
        assert_eq!(brokers("replicas=1,2,3"), [1, 2, 3]);
        assert_eq!(brokers("[4, 5]"), [4, 5]);
        assert!(brokers("null").is_empty());
    }
}
