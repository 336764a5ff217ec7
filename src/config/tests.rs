//! The JSON Schema of the policy that is published for editors: that it knows what the readers know, and takes the policies
//! that the documentation shows.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::yaml::{self, Data, Node};
use super::{access, approvals, masking, policy_file, recording};
use crate::policy::{Detector, HOURS_DAYS, HeldOperation, Operation};

const SCHEMA: &str = include_str!("../../docs/policy.schema.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn sorted<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    names.sort();
    names
}

fn keys_at(pointer: &str) -> Vec<String> {
    let schema = schema();
    let object = schema.pointer(pointer).and_then(|at| at["properties"].as_object()).unwrap();
    sorted(object.keys().map(String::as_str))
}

fn words_at(pointer: &str) -> Vec<String> {
    let schema = schema();
    sorted(schema.pointer(pointer).unwrap().as_array().unwrap().iter().filter_map(Value::as_str))
}

#[test]
fn the_published_schema_knows_what_the_readers_know() {
    assert_eq!(keys_at(""), sorted(policy_file::SECTIONS.iter().copied()));
    for (section, keys) in [
        ("access", access::KEYS),
        ("approvals", approvals::KEYS),
        ("masking", masking::KEYS),
        ("recording", recording::KEYS),
    ] {
        assert_eq!(keys_at(&format!("/definitions/{section}")), sorted(keys.iter().copied()), "{section}");
    }
    let access = "/definitions/access/properties";
    assert_eq!(keys_at(&format!("{access}/hours")), sorted(access::HOURS_KEYS.iter().copied()));
    assert_eq!(words_at(&format!("{access}/hours/properties/days/items/enum")), sorted(HOURS_DAYS));
    let operations = Operation::all().map(Operation::name).chain(["all"]);
    assert_eq!(words_at(&format!("{access}/operations/items/enum")), sorted(operations));
    let approvals = "/definitions/approvals/properties";
    assert_eq!(keys_at(&format!("{approvals}/when")), sorted(approvals::WHEN_KEYS.iter().copied()));
    assert_eq!(keys_at(&format!("{approvals}/grant")), sorted(approvals::GRANT_KEYS.iter().copied()));
    let held = HeldOperation::all().map(HeldOperation::name);
    assert_eq!(words_at(&format!("{approvals}/operations/items/enum")), sorted(held));
    let detectors = "/definitions/masking/properties/detect/items/oneOf/0/enum";
    assert_eq!(words_at(detectors), sorted(Detector::names()));
}

/// The policies that the documentation shows: blocks of YAML with sections of policies.
fn shown() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    files.extend(fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let mut shown = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "md")) {
        let text = fs::read_to_string(file).unwrap();
        for block in text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            // What stands before it belongs into weir.yaml.
            let sections = policy_file::SECTIONS.iter().filter_map(|section| block.find(&format!("{section}:")));
            let top = sections.filter(|at| *at == 0 || block.as_bytes()[at - 1] == b'\n').min();
            shown.extend(top.map(|at| (file.display().to_string(), block[at..].to_owned())));
        }
    }
    shown
}

#[test]
fn the_policies_that_the_documentation_shows_fit_the_schema() {
    let shown = shown();
    assert!(shown.len() >= 3, "{shown:?}");
    let schema = schema();
    for (file, text) in shown {
        let policy = json_of(&yaml::parse(&text).unwrap());
        assert_eq!(fits(&schema, &schema, &policy), Ok(()), "{file}:\n{text}");
    }
}

#[test]
fn what_the_readers_refuse_does_not_fit_the_schema() {
    let schema = schema();
    for wrong in [
        "acess: []",
        "access: []",
        "access: [{ topics: [a] }]",
        "access: [{ operations: [read] }]",
        "access: [{ operations: [reed], topics: [a] }]",
        "access: [{ operations: [read], topics: [a], effect: maybe }]",
        "access: [{ operations: [read], topics: a }]",
        "access: [{ operations: [read], topics: [a], hours: { from: \"8:00\", to: \"18:00\" } }]",
        "approvals: [{ name: a, operations: [fetch], topics: [a] }]",
        "approvals: [{ name: a, operations: [read], topics: [a], approvers: { group: a } }]",
        "approvals: [{ name: a, operations: [fetch], topics: [a], approvers: { group: a, count: 0 } }]",
        "approvals: [{ name: a, operations: [fetch], topics: [a], approvers: { all: [] } }]",
        "masking: [{ fields: [a], action: { keep_last: 0 } }]",
        "masking: [{ action: redact }]",
        "masking: [{ detect: [emial], action: redact }]",
        "recording: [{ mode: all }]",
    ] {
        let policy = json_of(&yaml::parse(wrong).unwrap());
        assert!(fits(&schema, &schema, &policy).is_err(), "{wrong}");
    }
}

/// A tree of YAML as the JSON that editors hold against the schema.
fn json_of(node: &Node) -> Value {
    match &node.data {
        Data::Null => Value::Null,
        Data::Plain(text) => match serde_json::from_str(text) {
            Ok(number_or_boolean @ (Value::Number(_) | Value::Bool(_))) => number_or_boolean,
            _ => json!(text),
        },
        Data::Quoted(text) => json!(text),
        Data::List(items) => items.iter().map(json_of).collect(),
        Data::Mapping(entries) => {
            let entries = entries.iter().map(|(key, value)| (key.name.clone(), json_of(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// As much of a validator as the schema has words for; it knows none that it passes over.
fn fits(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    for (word, said) in schema.as_object().unwrap() {
        let holds = match word.as_str() {
            "$schema" | "title" | "description" | "definitions" | "additionalProperties" => true,
            "$ref" => {
                let at = said.as_str().unwrap().trim_start_matches('#');
                fits(root, root.pointer(at).unwrap(), value)?;
                true
            }
            "type" => said.as_array().map_or_else(|| is(said, value), |any| any.iter().any(|one| is(one, value))),
            "enum" => said.as_array().unwrap().contains(value),
            "pattern" => {
                let pattern = regex::Regex::new(said.as_str().unwrap()).unwrap();
                value.as_str().is_some_and(|text| pattern.is_match(text))
            }
            "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= said.as_u64().unwrap()),
            "minimum" => value.as_f64().is_some_and(|number| number >= said.as_f64().unwrap()),
            "maximum" => value.as_f64().is_some_and(|number| number <= said.as_f64().unwrap()),
            "minItems" => value.as_array().is_some_and(|items| items.len() as u64 >= said.as_u64().unwrap()),
            "items" => {
                value.as_array().unwrap_or(&Vec::new()).iter().try_for_each(|item| fits(root, said, item))?;
                true
            }
            "required" => said.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
            "properties" => {
                for (key, value) in value.as_object().unwrap_or(&Map::new()) {
                    let known = said.get(key).ok_or_else(|| format!("{key} is not known"))?;
                    fits(root, known, value).map_err(|why| format!("{key}: {why}"))?;
                }
                true
            }
            "anyOf" => said.as_array().unwrap().iter().any(|one| fits(root, one, value).is_ok()),
            "oneOf" => said.as_array().unwrap().iter().filter(|one| fits(root, one, value).is_ok()).count() == 1,
            unknown => panic!("the schema says {unknown}"),
        };
        if !holds {
            return Err(format!("{word} does not hold of {value}"));
        }
    }
    Ok(())
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type is called {other}"),
    }
}
