//! `masking` in the policy file: what of records is hidden from whom.
//!
//! A rule that does nothing, or that costs more than is measured, is a mistake of whoever wrote it, and is told like one.

use super::gathered::{Gathered, Part};
use super::reader::{Reader, Section, found, keys, suggestion};
use super::yaml::{Data, Node};
use super::{rule, secret, value};
use crate::limits::MASKING_KEPT_MAX;
use crate::policy::{
    Detector, Detectors, FieldPath, HashKey, MaskAction, MaskDirections, MaskMistake, MaskingRule, MaskingRules,
    Unparsable,
};

pub(super) const KEYS: &[&str] = &[
    "name",
    "listeners",
    "topics",
    "fields",
    "detect",
    "action",
    "on",
    "groups",
    "unless_groups",
    "client_ids",
    "consumer_groups",
    "unparsable",
    "nested_json",
    "compression_level",
];

const ACTIONS: &str = "`redact`, `null`, `drop_field`, `drop_record`, `{ keep_first: 4 }`, `{ keep_last: 4 }` or \
                       `{ hash: { key: { file: PATH } } }`";

const UNPARSABLE: &[(&str, Unparsable)] = &[("redact", Unparsable::Redact), ("refuse", Unparsable::Refuse)];

pub(super) fn read(parts: &mut [Part<'_>], listeners: &[String]) -> Option<MaskingRules> {
    let one = |section: &Section<'_>, reader: &mut Reader| one(section, reader, listeners);
    let gathered = Gathered::read(parts, "masking", "masking rules", KEYS, one);
    let mistakes = match MaskingRules::new(gathered.rules.clone()) {
        Ok(rules) => return Some(rules),
        Err(mistakes) => mistakes,
    };
    for (place, mistake) in mistakes {
        let mistake = match mistake {
            MaskMistake::Shadowed(other) => MaskMistake::Shadowed(gathered.number(other)),
            other => other,
        };
        gathered.report(parts, place, mistake);
    }
    None
}

fn one(section: &Section<'_>, reader: &mut Reader, listeners: &[String]) -> Option<MaskingRule> {
    let any = |_: &str| Ok(());
    let name = rule::name(section, reader);
    let on_listeners = rule::listeners(section, reader, listeners);
    let topics = rule::patterns(section, reader, "topics", "topic patterns");
    let fields = fields(section, reader);
    let detect = detectors(section, reader);
    let action = match section.needed(reader, "action", ACTIONS) {
        Some(node) => action(node, &section.path("action"), reader),
        None => None,
    };
    let on = directions(section, reader);
    let groups = rule::names(section, reader, "groups", "group names", any);
    let unless_groups = rule::names(section, reader, "unless_groups", "group names", any);
    let client_ids = rule::patterns(section, reader, "client_ids", "patterns of client ids");
    let consumer_groups = rule::patterns(section, reader, "consumer_groups", "patterns of consumer groups");
    let unparsable = section.or(reader, "unparsable", Unparsable::default(), value::one_of(UNPARSABLE));
    let nested_json = section.or(reader, "nested_json", false, value::boolean);
    let level = value::whole(1, 9);
    #[allow(clippy::cast_possible_truncation, reason = "at most 9")]
    let compression_level =
        section.or(reader, "compression_level", None, |node| level(node).map(|level| Some(level as u32)));
    Some(MaskingRule {
        name: name?,
        listeners: on_listeners?,
        topics: topics?,
        fields: fields?,
        detect: detect?,
        action: action?,
        on: on?,
        groups: groups?,
        unless_groups: unless_groups?,
        client_ids: client_ids?,
        consumer_groups: consumer_groups?,
        unparsable: unparsable?,
        nested_json: nested_json?,
        compression_level: compression_level?,
    })
}

fn fields(section: &Section<'_>, reader: &mut Reader) -> Option<Vec<FieldPath>> {
    let lawful = |path: &str| path.parse::<FieldPath>().map(drop).map_err(|wrong| wrong.to_string());
    let fields = rule::names(section, reader, "fields", "field paths", lawful)?;
    // Each was read alone.
    Some(fields.iter().filter_map(|path| path.parse().ok()).collect())
}

fn detectors(section: &Section<'_>, reader: &mut Reader) -> Option<Vec<Detector>> {
    let Some(node) = section.node("detect") else { return Some(Vec::new()) };
    let path = section.path("detect");
    let items = reader.list(node, &path, "detectors")?;
    let read = items.iter().enumerate().map(|(index, item)| detector(item, &format!("{path}[{index}]"), reader));
    // All are read before one that cannot be ends it.
    read.collect::<Vec<_>>().into_iter().collect()
}

/// The name of a detector, or `{ pattern: "…" }`.
fn detector(node: &Node, path: &str, reader: &mut Reader) -> Option<Detector> {
    if matches!(node.data, Data::Mapping(_)) {
        let section = reader.section(node, path, &["pattern"], &[])?;
        let expected = "a regular expression, such as 'EMP-[0-9]{6}'";
        return section.required(reader, "pattern", expected, |node| {
            let pattern = Detector::Pattern(value::text(node).map_err(|_| expected.to_owned())?.to_owned());
            match Detectors::new([pattern.clone()]) {
                Ok(_) => Ok(pattern),
                Err(error) => Err(format!("a pattern that can be used: {}", error.why)),
            }
        });
    }
    reader.scalar(node, path, |node| {
        let known: Vec<&str> = Detector::names().collect();
        let name = value::text(node).unwrap_or_default();
        name.parse().map_err(|_| format!("the name of a detector or {{ pattern: … }}; {}", suggestion(name, &known)))
    })
}

fn action(node: &Node, path: &str, reader: &mut Reader) -> Option<MaskAction> {
    let Data::Mapping(_) = &node.data else {
        return reader.scalar(node, path, |node| match &node.data {
            // YAML's own null, and the word.
            Data::Null => Ok(MaskAction::Null),
            Data::Plain(word) | Data::Quoted(word) => match word.as_str() {
                "redact" => Ok(MaskAction::Redact),
                "null" => Ok(MaskAction::Null),
                "drop_field" => Ok(MaskAction::DropField),
                "drop_record" => Ok(MaskAction::DropRecord),
                _ => Err(ACTIONS.to_owned()),
            },
            _ => Err(ACTIONS.to_owned()),
        });
    };
    let section = reader.section(node, path, &["keep_first", "keep_last", "hash"], &[])?;
    let one = |key: &str| section.node(key).map(|node| (node, section.path(key)));
    match (one("keep_first"), one("keep_last"), one("hash")) {
        (Some((node, path)), None, None) => kept(node, &path, reader).map(MaskAction::KeepFirst),
        (None, Some((node, path)), None) => kept(node, &path, reader).map(MaskAction::KeepLast),
        (None, None, Some((node, path))) => hash(node, &path, reader).map(MaskAction::Hash),
        _ => {
            reader.report(node.at, format!("{path}: expected one of {}", keys(&["keep_first", "keep_last", "hash"])));
            None
        }
    }
}

fn kept(node: &Node, path: &str, reader: &mut Reader) -> Option<u32> {
    let count = reader.scalar(node, path, value::whole(1, MASKING_KEPT_MAX))?;
    u32::try_from(count).ok()
}

fn hash(node: &Node, path: &str, reader: &mut Reader) -> Option<HashKey> {
    let section = reader.section(node, path, &["key"], &[])?;
    let key = section.needed(reader, "key", secret::EXPECTED)?;
    let (at, path) = (key.at, section.path("key"));
    let secret = secret::read(key, &path, reader)?;
    HashKey::new(secret.expose().as_bytes()).map_err(|short| reader.report(at, format!("{path}: {short}"))).ok()
}

/// What is fetched, unless the rule says otherwise: masked on its way in, a value is gone for everybody.
fn directions(section: &Section<'_>, reader: &mut Reader) -> Option<MaskDirections> {
    let mut on = MaskDirections { produce: false, fetch: false };
    let Some(node) = section.node("on") else { return Some(MaskDirections { fetch: true, ..on }) };
    let path = section.path("on");
    let mut good = true;
    for (index, item) in reader.list(node, &path, "directions")?.iter().enumerate() {
        match value::text(item).unwrap_or_default() {
            "produce" => on.produce = true,
            "fetch" => on.fetch = true,
            "recording" => {}
            _ => {
                let expected = keys(&["produce", "fetch", "recording"]);
                reader.report(item.at, format!("{path}[{index}]: found {}; expected {expected}", found(item)));
                good = false;
            }
        }
    }
    good.then_some(on)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use crate::config::Config;

    const CONFIG: &str = r#"policy: policy.yaml
store: { path: ./data }
control: { bind: "127.0.0.1:9280" }
clusters: [{ name: main, bootstrap: ["127.0.0.1:19092"] }]
listeners: [{ name: main, cluster: main, bind: "127.0.0.1:9292", brokers: "127.0.0.1:9300-9399", auth: [anonymous] }]
"#;

    const RULES: &str = r#"masking:
  - name: good
    topics: ["payments.*"]
    fields: ["card.number"]
    detect: [email, { pattern: 'EMP-[0-9]{6}' }]
    action: { keep_last: 4 }
    on: [produce, fetch, recording]
    unless_groups: [pci]
    unparsable: refuse
    nested_json: true
    compression_level: 3
  - topics: ["a b"]
    detect: [emial, { pattern: "(" }]
    action: { keep_last: 0 }
    on: [consume]
  - fields: [x]
    action: drop_record
    on: [produce]
  - listeners: [nowhere]
    fields: [x]
    action: { hash: { key: sesame } }
  - topics: ["a b"]
    action: null
"#;

    #[test]
    fn masking_rules_are_read_whole_and_all_their_mistakes_are_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("policy.yaml"), RULES).unwrap();
        let file = folder.path().join("weir.yaml");
        fs::write(&file, CONFIG).unwrap();
        let prefix = format!("{}/", folder.path().display());
        let found = Config::load(&file).unwrap_err().to_string().replace(&prefix, "");
        let found: Vec<&str> = found.lines().collect();
        let places: Vec<String> =
            found.iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            places,
            [
                "policy.yaml:13:14: masking[1].detect[0]:",
                "policy.yaml:13:32: masking[1].detect[1].pattern:",
                "policy.yaml:14:26: masking[1].action.keep_last:",
                "policy.yaml:15:10: masking[1].on[0]:",
                "policy.yaml:16:5: masking[2]:",
                "policy.yaml:19:17: masking[3].listeners[0]:",
                "policy.yaml:21:28: masking[3].action.hash.key:",
                "policy.yaml:22:5: masking[4]:",
                "policy.yaml:22:5: masking[4]:",
            ],
            "{found:#?}"
        );
        assert!(found.iter().all(|line| !line.contains("sesame")), "{found:#?}");
    }
}
