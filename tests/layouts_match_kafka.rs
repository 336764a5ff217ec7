//! Every layout in `messages.txt` is that of the message definitions inside Kafka's own client library.
//!
//! A field that is added, missing, of another type, in other versions, at another place or under another tag fails the
//! test by its name. So does an API that brokers serve to clients and that has no layout.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use serde_json::Value;
use weir::wire::kafka::layout::{Direction, Field, Kind, Message, Versions, messages};

/// APIs that brokers serve on any listener but that only brokers call.
const INTER_BROKER: [(i64, &str); 6] = [
    (27, "WriteTxnMarkers"),
    (83, "InitializeShareGroupState"),
    (84, "ReadShareGroupState"),
    (85, "WriteShareGroupState"),
    (86, "DeleteShareGroupState"),
    (87, "ReadShareGroupStateSummary"),
];

/// A field as both sides tell it: its path, type and versions, in wire order.
type Line = String;

#[test]
fn every_layout_is_that_of_kafkas_own_definitions() {
    let definitions = definitions();
    let mut differences = Vec::new();
    for message in messages() {
        let name = format!("{}{}", message.name, kafkas_word(message.direction));
        // a last version that is not stable yet is not served; only the request's definition says so
        let unstable = definitions[&format!("{}Request", message.name)]["latestVersionUnstable"] == true;
        match definitions.get(&name) {
            Some(definition) => compare(&name, message, definition, unstable, &mut differences),
            None => differences.push(format!("{name} is not in kafka-clients")),
        }
    }
    assert!(differences.is_empty(), "messages.txt differs from kafka-clients:\n{}", differences.join("\n"));
}

#[test]
fn every_api_that_brokers_serve_to_clients_has_a_layout() {
    let definitions = definitions();
    for (name, definition) in &definitions {
        let to_brokers = definition["listeners"].as_array().is_some_and(|all| all.iter().any(|on| on == "broker"));
        let api_key = definition["apiKey"].as_i64().unwrap_or(-1);
        if !to_brokers || INTER_BROKER.iter().any(|(key, _)| *key == api_key) {
            continue;
        }
        for direction in [Direction::Request, Direction::Response] {
            let found = messages()
                .iter()
                .any(|message| i64::from(message.api_key) == api_key && message.direction == direction);
            assert!(found, "{name}: no layout of the {direction}");
        }
    }
    for (api_key, api) in INTER_BROKER {
        assert_eq!(definitions[&format!("{api}Request")]["apiKey"], api_key);
    }
}

fn compare(name: &str, message: &Message, definition: &Value, unstable: bool, differences: &mut Vec<String>) {
    let mut check = |what: &str, ours: String, kafkas: String| {
        if ours != kafkas {
            differences.push(format!("{name}: {what} is {ours} here, {kafkas} in kafka-clients"));
        }
    };
    check("API key", message.api_key.to_string(), definition["apiKey"].to_string());
    let valid = versions(&definition["validVersions"]).expect("a message has versions");
    let served = Versions { last: valid.last - i16::from(unstable), ..valid };
    let flexible = versions(&definition["flexibleVersions"]).map(|versions| versions.first);
    check("first flexible version", format!("{:?}", message.flexible_from), format!("{flexible:?}"));
    check("range of versions", show(message.versions), show(served));

    let mut ours = Vec::new();
    message.fields.iter().for_each(|field| our_lines(field, "", &mut ours));
    let mut kafkas = Vec::new();
    kafka_lines(&definition["fields"], "", message.versions, definition, &mut kafkas);
    for line in kafkas.iter().filter(|line| !ours.contains(line)) {
        differences.push(format!("{name}: only in kafka-clients: {line}"));
    }
    for line in ours.iter().filter(|line| !kafkas.contains(line)) {
        differences.push(format!("{name}: only in messages.txt: {line}"));
    }
    if differences.is_empty() && ours != kafkas {
        differences.push(format!("{name}: fields stand in another order"));
    }
}

fn our_lines(field: &Field, around: &str, lines: &mut Vec<Line>) {
    let path = format!("{around}{}", field.name);
    let kind = match field.kind {
        Kind::Structure => "structure".to_owned(),
        kind => format!("{kind:?}").to_lowercase(),
    };
    lines.push(line(&path, field.array, &kind, field.versions, field.nullable, field.tag.map(i64::from)));
    field.fields.iter().for_each(|inner| our_lines(inner, &format!("{path}."), lines));
}

/// Versions of a field never reach beyond those of what surrounds it, and fields of no served version are left out.
fn kafka_lines(fields: &Value, around: &str, versions_around: Versions, message: &Value, lines: &mut Vec<Line>) {
    for field in fields.as_array().into_iter().flatten() {
        let Some(present) = versions(&field["versions"]).and_then(|some| both(some, versions_around)) else {
            continue;
        };
        let path = format!("{around}{}", field["name"].as_str().expect("a field has a name"));
        let kind = field["type"].as_str().expect("a field has a type");
        let (array, kind) = kind.strip_prefix("[]").map_or((false, kind), |element| (true, element));
        let structure = kind.starts_with(char::is_uppercase);
        let nullable = versions(&field["nullableVersions"]).and_then(|some| both(some, present));
        let tagged = versions(&field["taggedVersions"]).and_then(|some| both(some, present));
        let tag = tagged.and_then(|_| field["tag"].as_i64());
        lines.push(line(&path, array, if structure { "structure" } else { kind }, present, nullable, tag));
        if structure {
            let fields = if field["fields"].is_array() { &field["fields"] } else { common(message, kind) };
            kafka_lines(fields, &format!("{path}."), present, message, lines);
        }
    }
}

/// The fields of a structure that a message uses in several places.
fn common<'a>(message: &'a Value, name: &str) -> &'a Value {
    let mut structures = message["commonStructs"].as_array().into_iter().flatten();
    let structure = structures.find(|structure| structure["name"] == name);
    &structure.unwrap_or_else(|| panic!("{name} is defined nowhere"))["fields"]
}

fn line(path: &str, array: bool, kind: &str, versions: Versions, nullable: Option<Versions>, tag: Option<i64>) -> Line {
    let brackets = if array { "[]" } else { "" };
    let nullable = nullable.map_or_else(String::new, |versions| format!(", null in {}", show(versions)));
    let tag = tag.map_or_else(String::new, |tag| format!(", tag {tag}"));
    format!("{path} {brackets}{kind} in {}{nullable}{tag}", show(versions))
}

fn show(versions: Versions) -> String {
    format!("{}-{}", versions.first, versions.last)
}

fn both(one: Versions, other: Versions) -> Option<Versions> {
    let both = Versions { first: one.first.max(other.first), last: one.last.min(other.last) };
    (both.first <= both.last).then_some(both)
}

/// Kafka's own notation: `3+`, `3-9`, `7` or `none`.
fn versions(text: &Value) -> Option<Versions> {
    let text = text.as_str().filter(|text| *text != "none")?;
    let number = |text: &str| text.parse().expect("a version is a number");
    Some(match (text.strip_suffix('+'), text.split_once('-')) {
        (Some(first), _) => Versions { first: number(first), last: i16::MAX },
        (None, Some((first, last))) => Versions { first: number(first), last: number(last) },
        (None, None) => Versions { first: number(text), last: number(text) },
    })
}

fn kafkas_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Request => "Request",
        Direction::Response => "Response",
    }
}

/// The definitions of all requests and responses, by name.
fn definitions() -> BTreeMap<String, Value> {
    let cache = std::env::var_os("WEIR_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache/weir"))).expect("HOME or WEIR_CACHE is set");
    let jar = cache.join("kafka/4.3.1/libs/kafka-clients-4.3.1.jar");
    let file = File::open(&jar).unwrap_or_else(|error| panic!("{}: {error}; run `make setup`", jar.display()));
    let mut archive = zip::ZipArchive::new(file).expect("the jar is whole; remove it and run `make setup`");
    let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    let mut definitions = BTreeMap::new();
    for name in names {
        let path = name.strip_prefix("common/message/").and_then(|name| name.strip_suffix(".json"));
        if let Some(message) = path.filter(|path| path.ends_with("Request") || path.ends_with("Response")) {
            let mut text = String::new();
            archive.by_name(&name).unwrap().read_to_string(&mut text).unwrap();
            let definition = serde_json::from_str(&without_comments(&text)).expect("a definition is JSON");
            definitions.insert(message.to_owned(), definition);
        }
    }
    assert!(definitions.len() > 150, "{} definitions in {}", definitions.len(), jar.display());
    definitions
}

/// JSON without the `//` comments that Kafka's definitions have; none of their strings holds a `//`.
fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split_once("//").map_or(line, |(json, _)| json)).collect::<Vec<_>>().join("\n")
}
