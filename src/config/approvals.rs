//! `approvals` in the policy file: what is held until people have said yes, and who they are.
//!
//! A rule that holds nothing, or that nobody could meet, is a mistake of whoever wrote it, and is told like one.

use std::time::Duration;

use super::gathered::{Gathered, Part};
use super::reader::{Reader, Section, found, suggestion};
use super::yaml::Node;
use super::{access, rule, value};
use crate::policy::{
    ApprovalMistake, ApprovalRule, ApprovalRules, Approvers, HeldOperation, NamePattern, NamePatterns, Terms, Volume,
    When,
};

pub(super) const KEYS: &[&str] = &[
    "name",
    "listeners",
    "issuers",
    "subjects",
    "groups",
    "unless_groups",
    "operations",
    "topics",
    "consumer_groups",
    "cluster",
    "when",
    "approvers",
    "reason",
    "hold",
    "expires",
    "grant",
    "break_glass",
];

pub(super) const WHEN_KEYS: &[&str] = &["from", "over", "within"];
pub(super) const GRANT_KEYS: &[&str] = &["valid", "uses", "window"];

const APPROVERS: &str = "`{ group: sre, count: 1 }`, or `{ all: […] }` or `{ any: […] }` of those";

/// A quorum that a person can read nests no deeper.
const NESTED_MAX: usize = 4;

const HOLD: Duration = Duration::from_secs(5);
const EXPIRES: Duration = Duration::from_secs(24 * 3600);
const VALID: Duration = Duration::from_secs(15 * 60);

pub(super) fn read(parts: &mut [Part<'_>], listeners: &[String]) -> Option<ApprovalRules> {
    let one = |section: &Section<'_>, reader: &mut Reader| one(section, reader, listeners);
    let gathered = Gathered::read(parts, "approvals", "approval rules", KEYS, one);
    let mistakes = match ApprovalRules::new(gathered.rules.clone()) {
        Ok(rules) => return Some(rules),
        Err(mistakes) => mistakes,
    };
    for (place, mistake) in mistakes {
        let mistake = match mistake {
            ApprovalMistake::SameName(other) => ApprovalMistake::SameName(gathered.number(other)),
            other => other,
        };
        gathered.report(parts, place, mistake);
    }
    None
}

/// As rules about access name them, without partitions.
fn whole_topics(section: &Section<'_>, reader: &mut Reader) -> Option<NamePatterns> {
    let lawful = |text: &str| match NamePattern::topic(text) {
        Ok(pattern) if pattern.names_partitions() => {
            Err("approvals are of all of a topic's partitions; expected a topic without a bracket, such as `orders`"
                .to_owned())
        }
        other => other.map(drop),
    };
    NamePatterns::names(&rule::names(section, reader, "topics", "topic patterns", lawful)?).ok()
}

fn one(section: &Section<'_>, reader: &mut Reader, listeners: &[String]) -> Option<ApprovalRule> {
    let any = |_: &str| Ok(());
    let name = section
        .required(reader, "name", "what requests are to call the rule", |node| value::text(node).map(str::to_owned));
    let on = rule::listeners(section, reader, listeners);
    let issuers = rule::patterns(section, reader, "issuers", "patterns of issuers");
    let subjects = rule::patterns(section, reader, "subjects", "patterns of subjects");
    let groups = rule::names(section, reader, "groups", "group names", any);
    let unless_groups = rule::names(section, reader, "unless_groups", "group names", any);
    let operations = match section.needed(reader, "operations", "a list of operations, such as [delete_topics]") {
        Some(_) => operations(section, reader),
        None => None,
    };
    let topics = whole_topics(section, reader);
    let consumer_groups = access::resource_names(section, reader, "consumer_groups", "patterns of consumer groups");
    let cluster = section.or(reader, "cluster", false, value::boolean);
    let when = section.node("when").map(|node| when(node, &section.path("when"), reader));
    let approvers = match section.needed(reader, "approvers", APPROVERS) {
        Some(node) => approvers(node, &section.path("approvers"), NESTED_MAX, reader),
        None => None,
    };
    let reason = section.or(reader, "reason", false, value::one_of(&[("required", true), ("optional", false)]));
    let hold = section.or(reader, "hold", HOLD, value::duration("0s", "25s"));
    let expires = section.or(reader, "expires", EXPIRES, value::duration("1m", "30d"));
    let grant = match section.node("grant") {
        None => Some((VALID, 1, None)),
        Some(node) => grant(node, &section.path("grant"), reader),
    };
    let break_glass = rule::names(section, reader, "break_glass", "group names", any);
    let (valid, uses, window) = grant?;
    Some(ApprovalRule {
        listeners: on?,
        issuers: issuers?,
        subjects: subjects?,
        groups: groups?,
        unless_groups: unless_groups?,
        operations: operations?,
        topics: topics?,
        consumer_groups: consumer_groups?,
        cluster: cluster?,
        when: match when {
            None => None,
            Some(when) => Some(when?),
        },
        hold: hold?,
        terms: Terms {
            rule: name?,
            approvers: approvers?,
            reason_required: reason?,
            expires_s: expires?.as_secs(),
            valid_s: valid.as_secs(),
            uses,
            window_s: window.unwrap_or(valid).as_secs(),
            break_glass: break_glass?,
        },
    })
}

fn operations(section: &Section<'_>, reader: &mut Reader) -> Option<Vec<HeldOperation>> {
    let known: Vec<&str> = HeldOperation::all().map(HeldOperation::name).collect();
    let lawful = |name: &str| match known.contains(&name) {
        true => Ok(()),
        false => Err(suggestion(name, &known)),
    };
    let names = rule::names(section, reader, "operations", "operations", lawful)?;
    Some(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// `{ from: earliest }`, `{ over: 1GiB, within: 1h }`, or both.
fn when(node: &Node, path: &str, reader: &mut Reader) -> Option<When> {
    let section = reader.section(node, path, WHEN_KEYS, &[])?;
    let from_earliest = section.or(reader, "from", false, value::one_of(&[("earliest", true)]));
    let over = section.node("over").map(|_| section.required(reader, "over", "", value::size("1B", "1024TiB")));
    let within = section.node("within").map(|_| section.required(reader, "within", "", value::duration("1m", "24h")));
    let volume = match (over, within) {
        (None, None) => None,
        (Some(over), Some(within)) => Some(Volume { over: over?, within: within? }),
        _ => {
            reader.report(node.at, format!("{path}: `over` and `within` go together, such as over: 1GiB, within: 1h"));
            return None;
        }
    };
    let from_earliest = from_earliest?;
    if !from_earliest && volume.is_none() {
        reader.report(node.at, format!("{path}: says nothing; expected `from: earliest`, or `over` and `within`"));
        return None;
    }
    Some(When { from_earliest, volume })
}

fn approvers(node: &Node, path: &str, nested: usize, reader: &mut Reader) -> Option<Approvers> {
    let section = reader.section(node, path, &["group", "count", "all", "any"], &[])?;
    let has = |key| section.node(key).is_some();
    let alone = [has("group"), has("all"), has("any")].into_iter().filter(|it| *it).count() == 1;
    if !alone || (has("count") && !has("group")) || nested == 0 {
        reader.report(node.at, format!("{path}: found {}; expected {APPROVERS}", found(node)));
        return None;
    }
    if has("group") {
        let group =
            section.required(reader, "group", "the name of a group", |node| value::text(node).map(str::to_owned));
        let count = section.or(reader, "count", 1, value::whole(1, 16));
        return Some(Approvers::Of { group: group?, count: usize::try_from(count?).ok()? });
    }
    let mut inner = |key: &str| {
        let path = section.path(key);
        let items = reader.list(section.node(key)?, &path, "groups with counts")?;
        let read: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(index, item)| approvers(item, &format!("{path}[{index}]"), nested - 1, reader))
            .collect();
        // All are read before one that cannot be ends it.
        read.into_iter().collect::<Option<Vec<_>>>()
    };
    if has("all") { inner("all").map(Approvers::All) } else { inner("any").map(Approvers::Any) }
}

fn grant(node: &Node, path: &str, reader: &mut Reader) -> Option<(Duration, u32, Option<Duration>)> {
    let section = reader.section(node, path, GRANT_KEYS, &[])?;
    let valid = section.or(reader, "valid", VALID, value::duration("1s", "30d"));
    let uses = section.or(reader, "uses", 1, value::whole(1, 1_000));
    let window = section.or(reader, "window", None, |node| value::duration("1s", "30d")(node).map(Some));
    Some((valid?, u32::try_from(uses?).ok()?, window?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::yaml::{self, Data};
    use super::*;

    fn read_one(text: &str) -> Result<ApprovalRule, Vec<String>> {
        let mut reader = Reader::new(std::path::Path::new("policy.yaml"));
        let tree = yaml::parse(text).unwrap();
        let Data::Mapping(_) = &tree.data else { return Err(vec!["not a mapping".to_owned()]) };
        let section = reader.section(&tree, "", KEYS, &[]).unwrap();
        let read = one(&section, &mut reader, &[]);
        let problems: Vec<String> = reader.into_problems().iter().map(ToString::to_string).collect();
        read.filter(|_| problems.is_empty()).ok_or(problems)
    }

    #[test]
    fn a_rule_is_read_with_its_defaults() {
        let rule = read_one(
            "{ name: p, operations: [delete_topics, produce], topics: [\"prod.*\"], approvers: { group: sre } }",
        );
        let rule = rule.unwrap();
        assert_eq!(rule.operations, [HeldOperation::DeleteTopics, HeldOperation::Produce]);
        assert_eq!((rule.hold, rule.terms.valid_s, rule.terms.uses, rule.terms.window_s), (HOLD, 900, 1, 900));
        assert!(rule.topics.matches("prod.a", None) && !rule.topics.matches("dev.a", None));
        let full = "{ name: p, operations: [fetch], topics: [a], when: { from: earliest, over: 1GiB, within: 1h }, \
                    approvers: { any: [{ group: owners }, { all: [{ group: sre, count: 2 }, { group: security }] }] }, \
                    reason: required, hold: 2s, expires: 2h, grant: { valid: 1h, uses: 5, window: 10m }, break_glass: [oncall] }";
        let rule = read_one(full).unwrap();
        assert_eq!(rule.terms.approvers.to_string(), "1 of owners or (2 of sre and 1 of security)");
        assert_eq!((rule.terms.valid_s, rule.terms.uses, rule.terms.window_s), (3600, 5, 600));
        let volume = Some(Volume { over: 1 << 30, within: Duration::from_secs(3600) });
        assert_eq!(rule.when, Some(When { from_earliest: true, volume }));
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_told_with_its_place() {
        let said = |text: &str| read_one(text).unwrap_err().join("\n");
        let base = "name: p, operations: [fetch], topics: [a]";
        for (text, expected) in [
            ("{ operations: [fetch], topics: [a], approvers: { group: a } }", "name: missing"),
            ("{ name: p, operations: [drop], topics: [a], approvers: { group: a } }", "operations[0]: found `drop`"),
            (&format!("{{ {base} }}"), "approvers: missing"),
            (&format!("{{ {base}, approvers: {{ count: 2 }} }}"), "approvers: found a mapping; expected"),
            (&format!("{{ {base}, approvers: {{ group: a, all: [{{ group: b }}] }} }}"), "approvers: found a mapping"),
            (&format!("{{ {base}, approvers: {{ all: [] }} }}"), "approvers.all: found an empty list"),
            (&format!("{{ {base}, approvers: {{ group: a, count: 0 }} }}"), "approvers.count: found `0`"),
            (&format!("{{ {base}, approvers: {{ group: a }}, hold: 30s }}"), "hold: found `30s`"),
            (
                &format!("{{ {base}, approvers: {{ group: a }}, when: {{ over: 1GiB }} }}"),
                "`over` and `within` go together",
            ),
            (&format!("{{ {base}, approvers: {{ group: a }}, when: {{}} }}"), "says nothing"),
            (&format!("{{ {base}, approvers: {{ group: a }}, grant: {{ uses: 0 }} }}"), "grant.uses: found `0`"),
        ] {
            assert!(said(text).contains(expected), "{text}\n{}", said(text));
        }
    }
}
