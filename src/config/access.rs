//! `access` in the policy file: who may do what.
//!
//! A rule that does nothing is a mistake of whoever wrote it, and is told like one.

use std::str::FromStr;

use jiff::tz::TimeZone;

use super::gathered::{Gathered, Part};
use super::reader::{Reader, Section, found, keys, suggestion};
use super::yaml::Node;
use super::{rule, value};
use crate::policy::{
    AccessMistake, AccessRule, AccessRules, Effect, HOURS_DAYS, Hours, NamePattern, NamePatterns, Network, Operation,
    Operations,
};

pub(super) const KEYS: &[&str] = &[
    "name",
    "effect",
    "listeners",
    "issuers",
    "subjects",
    "groups",
    "client_ids",
    "networks",
    "hours",
    "operations",
    "topics",
    "consumer_groups",
    "transactional_ids",
    "cluster",
];

pub(super) const HOURS_KEYS: &[&str] = &["from", "to", "days", "zone"];

const EFFECTS: &[(&str, Effect)] = &[("allow", Effect::Allow), ("deny", Effect::Deny)];

pub(super) fn read(parts: &mut [Part<'_>], listeners: &[String]) -> Option<AccessRules> {
    let one = |section: &Section<'_>, reader: &mut Reader| one(section, reader, listeners);
    let gathered = Gathered::read(parts, "access", "access rules", KEYS, one);
    let mistakes = match AccessRules::new(gathered.rules.clone()) {
        Ok(rules) => return Some(rules),
        Err(mistakes) => mistakes,
    };
    for (place, mistake) in mistakes {
        let mistake = match mistake {
            AccessMistake::Denied(other) => AccessMistake::Denied(gathered.number(other)),
            AccessMistake::Same(other) => AccessMistake::Same(gathered.number(other)),
            other => other,
        };
        gathered.report(parts, place, mistake);
    }
    None
}

fn one(section: &Section<'_>, reader: &mut Reader, listeners: &[String]) -> Option<AccessRule> {
    let any = |_: &str| Ok(());
    let name = rule::name(section, reader);
    let effect = section.or(reader, "effect", Effect::Allow, value::one_of(EFFECTS));
    let listeners = rule::listeners(section, reader, listeners);
    let issuers = rule::patterns(section, reader, "issuers", "patterns of issuers");
    let subjects = rule::patterns(section, reader, "subjects", "patterns of subjects");
    let groups = rule::names(section, reader, "groups", "group names", any);
    let client_ids = rule::patterns(section, reader, "client_ids", "patterns of client ids");
    let networks = networks(section, reader);
    let hours = section.node("hours").map(|node| hours(node, &section.path("hours"), reader));
    let operations = match section.needed(reader, "operations", "a list of operations, such as [read, describe]") {
        Some(_) => operations(section, reader),
        None => None,
    };
    let topics = topics(section, reader);
    let consumer_groups = resource_names(section, reader, "consumer_groups", "patterns of consumer groups");
    let transactional_ids = resource_names(section, reader, "transactional_ids", "patterns of transactional ids");
    let cluster = section.or(reader, "cluster", false, value::boolean);
    Some(AccessRule {
        name: name?,
        effect: effect?,
        listeners: listeners?,
        issuers: issuers?,
        subjects: subjects?,
        groups: groups?,
        client_ids: client_ids?,
        networks: networks?,
        hours: match hours {
            None => None,
            Some(hours) => Some(hours?),
        },
        operations: operations?,
        topics: topics?,
        consumer_groups: consumer_groups?,
        transactional_ids: transactional_ids?,
        cluster: cluster?,
    })
}

fn networks(section: &Section<'_>, reader: &mut Reader) -> Option<Vec<Network>> {
    let lawful = |text: &str| Network::from_str(text).map(drop);
    let texts = rule::names(section, reader, "networks", "networks", lawful)?;
    // Each was read alone.
    Some(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

/// Names of operations, or `all`; left out they are all.
pub(super) fn operations(section: &Section<'_>, reader: &mut Reader) -> Option<Operations> {
    let known: Vec<&str> = Operation::all().map(Operation::name).chain(["all"]).collect();
    let lawful = |name: &str| match known.contains(&name) {
        true => Ok(()),
        false => Err(suggestion(name, &known)),
    };
    let names = rule::names(section, reader, "operations", "operations", lawful)?;
    if names.is_empty() || names.iter().any(|name| name == "all") {
        return Some(Operations::ALL);
    }
    Some(names.iter().filter_map(|name| name.parse::<Operation>().ok()).collect())
}

/// Patterns of topics, and of partitions of them.
pub(super) fn topics(section: &Section<'_>, reader: &mut Reader) -> Option<NamePatterns> {
    let lawful = |text: &str| NamePattern::topic(text).map(drop);
    // Each was read alone.
    NamePatterns::topics(&rule::names(section, reader, "topics", "topic patterns", lawful)?).ok()
}

/// Patterns of names that have no partitions.
pub(super) fn resource_names(section: &Section<'_>, reader: &mut Reader, key: &str, of: &str) -> Option<NamePatterns> {
    let lawful = |text: &str| NamePattern::name(text).map(drop);
    NamePatterns::names(&rule::names(section, reader, key, of, lawful)?).ok()
}

fn hours(node: &Node, path: &str, reader: &mut Reader) -> Option<Hours> {
    let section = reader.section(node, path, HOURS_KEYS, &[])?;
    let from = section.required(reader, "from", "a time of day, such as \"08:00\"", |node| clock(node, 24 * 60 - 1));
    let to = section.required(reader, "to", "a time of day, such as \"18:00\"", |node| clock(node, 24 * 60));
    let days = days(&section, reader);
    let zone = section.or(reader, "zone", TimeZone::UTC, |node| {
        let known = value::text(node).ok().and_then(|name| TimeZone::get(name).ok());
        known.ok_or_else(|| {
            "an IANA time zone that this machine's database (tzdata) has, such as `Europe/Paris`, or `UTC`".to_owned()
        })
    });
    let hours = Hours::new(from?, to?, &days?, zone?);
    hours.map_err(|wrong| reader.report(node.at, format!("{path}: {wrong}"))).ok()
}

/// Minutes after midnight, at most so many.
fn clock(node: &Node, most: u16) -> Result<u16, String> {
    let two = |text: &str| text.parse::<u16>().ok().filter(|_| text.len() == 2);
    let read = || {
        let (hour, minute) = value::text(node).ok()?.split_once(':')?;
        let minutes = two(hour)?.checked_mul(60)?.checked_add(two(minute).filter(|minute| *minute < 60)?)?;
        (minutes <= most).then_some(minutes)
    };
    read().ok_or_else(|| format!("a time of day from \"00:00\" to \"{:02}:{:02}\"", most / 60, most % 60))
}

/// Places in [`HOURS_DAYS`]; all where none are said.
fn days(section: &Section<'_>, reader: &mut Reader) -> Option<Vec<usize>> {
    let place = |name: &str| HOURS_DAYS.iter().position(|day| *day == name);
    let Some(node) = section.node("days") else { return Some((0..HOURS_DAYS.len()).collect()) };
    let path = section.path("days");
    let mut days = Some(Vec::new());
    for (index, item) in reader.list(node, &path, "days")?.iter().enumerate() {
        let day = value::text(item).ok().and_then(place);
        if day.is_none() {
            let expected = keys(&HOURS_DAYS);
            reader.report(item.at, format!("{path}[{index}]: found {}; expected {expected}", found(item)));
        }
        days = days.zip(day).map(|(mut days, day)| {
            days.push(day);
            days
        });
    }
    days
}

#[cfg(test)]
mod tests;
