//! `recording` in the policy file: which exchanges are kept with their frames.
//!
//! A rule that can never decide anything is a mistake of whoever wrote it, and is told like one.

use super::reader::{Reader, Section, found};
use super::value;
use super::yaml::Node;
use crate::policy::{RecordingMode, RecordingRule, RecordingRules, Sample, TopicPatterns};

const KEYS: &[&str] = &["name", "listeners", "groups", "topics", "mode", "sample"];

pub(super) fn read(node: &Node, reader: &mut Reader, listeners: &[String]) -> Option<RecordingRules> {
    let items = reader.list(node, "recording", "recording rules")?;
    let mut rules: Vec<(usize, RecordingRule)> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("recording[{index}]");
        let section = reader.section(item, &path, KEYS, &[]);
        let Some(rule) = section.and_then(|section| rule(&section, reader, listeners)) else { continue };
        if let Some((earlier, _)) = rules.iter().find(|(_, earlier)| earlier.covers(&rule)) {
            reader.report(item.at, format!("{path}: never decides: recording[{earlier}] matches all that it does"));
        }
        rules.push((index, rule));
    }
    Some(RecordingRules::new(rules.into_iter().map(|(_, rule)| rule).collect()))
}

fn rule(section: &Section<'_>, reader: &mut Reader, listeners: &[String]) -> Option<RecordingRule> {
    let name = section.or(reader, "name", None, |node| value::text(node).map(|name| Some(name.to_owned())));
    let on = names(section, reader, "listeners", "listener names", |name| match listeners {
        // None could be read: their own mistakes are told already.
        [] => Ok(()),
        known if known.iter().any(|listener| listener == name) => Ok(()),
        known => Err(format!("no listener has this name; expected {}", super::reader::keys(&refs(known)))),
    });
    let groups = names(section, reader, "groups", "group names", |_| Ok(()));
    let topics = names(section, reader, "topics", "topic patterns", |pattern| {
        TopicPatterns::new(vec![pattern.to_owned()]).map(drop)
    });
    let mode = mode(section, reader);
    // Each pattern was tried alone.
    let topics = TopicPatterns::new(topics?).ok();
    Some(RecordingRule { name: name?, listeners: on?, groups: groups?, topics: topics?, mode: mode? })
}

fn refs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// A list of names that may be left out; each is held against `check`, whose error says what is wrong with it.
fn names(
    section: &Section<'_>,
    reader: &mut Reader,
    key: &str,
    of: &str,
    check: impl Fn(&str) -> Result<(), String>,
) -> Option<Vec<String>> {
    let Some(node) = section.node(key) else { return Some(Vec::new()) };
    let path = section.path(key);
    let items = reader.list(node, &path, of)?;
    let mut read = Some(Vec::new());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let name = reader.scalar(item, &path, |node| value::text(node).map(str::to_owned));
        if let Some(Err(wrong)) = name.as_deref().map(&check) {
            reader.report(item.at, format!("{path}: found {}; {wrong}", found(item)));
            read = None;
            continue;
        }
        read = read.zip(name).map(|(mut read, name)| {
            read.push(name);
            read
        });
    }
    read
}

fn mode(section: &Section<'_>, reader: &mut Reader) -> Option<RecordingMode> {
    let sample = match section.node("sample") {
        None => Some(None),
        Some(node) => sample(node, &section.path("sample"), reader).map(Some),
    };
    let node = section.needed(reader, "mode", "`full` or `metadata`")?;
    let path = section.path("mode");
    match (value::text(node), sample?) {
        (Ok("metadata"), None) => return Some(RecordingMode::Metadata),
        (Ok("metadata"), Some(sample)) => return Some(RecordingMode::Sample(sample)),
        (Ok("full"), None) => return Some(RecordingMode::Full),
        (Ok("full"), Some(_)) => {
            reader.report(node.at, format!("{path}: `full` keeps everything; `sample` goes with `mode: metadata`"));
        }
        (Ok("sample"), _) => reader.report(
            node.at,
            format!(
                "{path}: found `sample`; expected `mode: metadata` with `sample: {{ rate: 0.01, max_bytes_per_second: \
                 1MiB }}` beside it"
            ),
        ),
        _ => reader.report(node.at, format!("{path}: found {}; expected `full` or `metadata`", found(node))),
    }
    None
}

fn sample(node: &Node, path: &str, reader: &mut Reader) -> Option<Sample> {
    let section = reader.section(node, path, &["rate", "max_bytes_per_second"], &[])?;
    let rate = section.required(reader, "rate", "the share of exchanges, such as 0.01", |node| {
        let expected = "a share above 0 and at most 1, such as 0.01";
        let rate: f64 = value::text(node)?.parse().map_err(|_| expected.to_owned())?;
        if rate > 0.0 && rate <= 1.0 { Ok(rate) } else { Err(expected.to_owned()) }
    });
    let budget = "the most that is kept, such as 1MiB";
    let budget = section.required(reader, "max_bytes_per_second", budget, value::size("1KiB", "1GiB"));
    Some(Sample::new(rate?, budget?))
}
