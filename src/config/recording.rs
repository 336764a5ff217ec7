//! `recording` in the policy file: which exchanges are kept with their frames.
//!
//! A rule that can never decide anything is a mistake of whoever wrote it, and is told like one.

use super::gathered::{Gathered, Part};
use super::reader::{Reader, Section, found};
use super::yaml::Node;
use super::{rule, value};
use crate::policy::{RecordingMode, RecordingRule, RecordingRules, Sample};

pub(super) const KEYS: &[&str] = &["name", "listeners", "groups", "topics", "mode", "sample"];

pub(super) fn read(parts: &mut [Part<'_>], listeners: &[String]) -> RecordingRules {
    let one = |section: &Section<'_>, reader: &mut Reader| one(section, reader, listeners);
    let gathered = Gathered::read(parts, "recording", "recording rules", KEYS, one);
    for (place, rule) in gathered.rules.iter().enumerate() {
        if let Some(earlier) = gathered.rules[..place].iter().position(|earlier| earlier.covers(rule)) {
            let earlier = gathered.number(earlier);
            gathered.report(parts, place, format!("never decides: recording[{earlier}] matches all that it does"));
        }
    }
    RecordingRules::new(gathered.rules)
}

fn one(section: &Section<'_>, reader: &mut Reader, listeners: &[String]) -> Option<RecordingRule> {
    let name = rule::name(section, reader);
    let on = rule::listeners(section, reader, listeners);
    let groups = rule::names(section, reader, "groups", "group names", |_| Ok(()));
    let topics = rule::patterns(section, reader, "topics", "topic patterns");
    let mode = mode(section, reader);
    Some(RecordingRule { name: name?, listeners: on?, groups: groups?, topics: topics?, mode: mode? })
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
