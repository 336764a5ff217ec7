//! `weir simulate` on a recording that the tests write, through a gateway's socket and from the store alone: what is newly
//! denied, by which rule, and what is said of what could not be judged.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cli_support;

use std::fs;

use cli_support::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use weir::event::{EventKind, Identity, Item, Mechanism, Outcome, RequestPart, Resource, ResponsePart};

/// 2026-11-22T09:00:00Z, before everything.
const BEFORE: &str = "2026-11-22T09:00:00Z";
const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const JOIN_GROUP: i16 = 11;

fn topic(name: &str, partition: i32) -> Item {
    Item { name: name.to_owned(), partition: Some(partition), ..Item::default() }
}

fn group(name: &str) -> Item {
    Item { resource: Resource::Group, name: name.to_owned(), ..Item::default() }
}

fn exchange(ordinal: u64, api_key: i16, items: Vec<Item>) -> EventKind {
    EventKind::Exchange {
        ordinal,
        request: Some(RequestPart { api_key, api_version: 5, bytes: 100, items, ..RequestPart::default() }),
        response: ResponsePart { outcome: Outcome::Answered, bytes: 24, ..ResponsePart::default() },
    }
}

fn identified(subject: &str, groups: &[&str], client_id: &str) -> EventKind {
    let groups = groups.iter().map(ToString::to_string).collect();
    let identity =
        Identity { issuer: "weir".to_owned(), subject: subject.to_owned(), groups, mechanism: Mechanism::PlainToken };
    EventKind::Identified { identity, client_id: Some(client_id.to_owned()) }
}

fn opened(listener: &str, peer: &str) -> EventKind {
    EventKind::Opened { listener: listener.to_owned(), peer: peer.parse().unwrap(), broker: Some(1) }
}

/// An analyst who reads orders in a group, a maker who writes them, and somebody who reads salaries at noon and at night.
fn recorded() -> Gateway {
    let mut gateway = Gateway::start();
    let events = [
        (1, 0, opened("main", "10.1.1.1:50000")),
        (1, 0, identified("analyst-7", &["analysts"], "perf")),
        (1, 1, exchange(0, JOIN_GROUP, vec![group("analytics-1")])),
        (1, 2, exchange(1, FETCH, vec![topic("orders", 0), topic("orders", 1), topic("orders", 2)])),
        (1, 3, exchange(2, FETCH, vec![topic("orders", 0), topic("events", 3), topic("events", 4)])),
        (2, 4, opened("main", "10.2.2.2:50000")),
        (2, 4, identified("maker", &["makers"], "app")),
        (2, 5, exchange(0, PRODUCE, vec![topic("orders", 0)])),
        (2, 6, exchange(1, PRODUCE, vec![topic("orders", 0)])),
        (2, 7, exchange(2, FETCH, vec![topic("3b2c0f6e-51f4-4a3a-9d41-0d6b3a3d0b11", 0)])),
        (3, 8, opened("main", "10.3.3.3:50000")),
        (3, 8, identified("auditor", &["auditors"], "desk")),
        (3, 2 * 3600, exchange(0, FETCH, vec![topic("hr.salaries", 0)])),
        (3, 13 * 3600, exchange(1, FETCH, vec![topic("hr.salaries", 0)])),
    ];
    for (connection, second, kind) in events {
        gateway.append(connection, START_NS + second * SECOND_NS, kind);
    }
    for (connection, second) in [(1, 20), (2, 20), (3, 13 * 3600 + 1)] {
        gateway.close(connection, START_NS + second * SECOND_NS);
    }
    gateway.wait_until_recorded(3);
    gateway
}

const ALL: &str = r#"
  - { name: everything, operations: [all], topics: ["*"], consumer_groups: ["*"], transactional_ids: ["*"], cluster: true }
"#;

/// Tries rules, with or without rules in force; the exit code and what is printed.
fn simulate(folder: &TempDir, tried: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let policy = folder.path().join("new.yaml");
    fs::write(&policy, tried).unwrap();
    let fixed = ["simulate", "--policy", policy.to_str().unwrap()];
    let since: &[&str] = if arguments.contains(&"--since") { &[] } else { &["--since", BEFORE] };
    let output = weir(folder, &[&fixed[..], since, arguments].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn report(folder: &TempDir, tried: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let (code, printed, errors) = simulate(folder, tried, &[arguments, &["--json"]].concat());
    (code, serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed} {errors}")))
}

/// Who would be denied what, how often and why.
fn ways(report: &Value) -> Vec<(String, u64, Value)> {
    let way = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let partition = row["partition"].as_i64().map(|partition| format!("[{partition}]")).unwrap_or_default();
        let what = [text("subject"), text("operation"), text("resource"), text("name")].join(" ") + &partition;
        (what, row["exchanges"].as_u64().unwrap(), row["rule"].clone())
    };
    report["denied"].as_array().unwrap().iter().map(way).collect()
}

fn way(what: &str, exchanges: u64, rule: Option<&str>) -> (String, u64, Value) {
    (what.to_owned(), exchanges, json!(rule))
}

#[test]
fn what_no_rule_would_allow_is_listed_worst_first_and_nothing_else() {
    let gateway = recorded();
    let tried = r#"access:
  - { groups: [analysts], operations: [read], topics: ["orders", "events[0-3]"], consumer_groups: ["analytics-*"] }
  - { groups: [auditors], operations: [read], topics: ["hr.*"] }
"#;
    let (code, told) = report(&gateway.folder, tried, &[]);
    assert_eq!(code, Some(6));
    let expected = [way("maker write topic orders", 2, None), way("analyst-7 read topic events[4]", 1, None)];
    assert_eq!(ways(&told), expected, "{told}");
    assert_eq!((&told["newly_denied"], &told["newly_allowed"]), (&json!(3), &json!(0)));
    let looked_at = &told["looked_at"];
    assert_eq!((&looked_at["sessions"], &looked_at["exchanges"]), (&json!(3), &json!(8)), "{told}");
    assert_eq!(looked_at["first_ns"], START_NS + SECOND_NS);
    assert_eq!(looked_at["last_ns"], START_NS + 13 * 3600 * SECOND_NS);
    let row = &told["denied"][0];
    assert_eq!((&row["client_id"], &row["listener"]), (&json!("app"), &json!("main")));
    assert_eq!((&row["groups"], &row["address"]), (&json!(["makers"]), &json!("10.2.2.2")));
    assert_eq!((&row["apis"], &row["last_ns"]), (&json!(["Produce"]), &json!(START_NS + 6 * SECOND_NS)));
    assert_eq!(told["not_judged"]["unnamed_topics"], 1);
}

#[test]
fn a_policy_that_takes_nothing_ends_with_zero_and_says_how_much_was_looked_at() {
    let gateway = recorded();
    let (code, printed, _) = simulate(&gateway.folder, &format!("access: {ALL}"), &[]);
    assert_eq!(code, Some(0), "{printed}");
    let words: Vec<&str> = printed.split_whitespace().collect();
    let words = words.join(" ");
    assert!(words.contains("NEWLY DENIED nothing"), "{printed}");
    let looked_at = "exchanges: 8, sessions: 3, from 2026-11-22 10:00:01 to 2026-11-22 23:00:00 UTC";
    assert!(words.contains(looked_at), "{printed}");
}

#[test]
fn hours_are_those_of_the_exchange_and_the_rule_that_denies_is_named() {
    let gateway = recorded();
    let night = r#"
  - name: no salaries at night
    effect: deny
    hours: { from: "20:00", to: "06:00" }
    operations: [read]
    topics: ["hr.*"]
"#;
    let tried = format!("access: {ALL}{night}");
    let (code, told) = report(&gateway.folder, &tried, &[]);
    assert_eq!(code, Some(6));
    assert_eq!(ways(&told), [way("auditor read topic hr.salaries", 1, Some("access[1]"))]);
    assert_eq!(told["denied"][0]["rule_name"], "no salaries at night");
    // A network is that of the client.
    let elsewhere = night.replace("hours: { from: \"20:00\", to: \"06:00\" }", "networks: [\"10.3.0.0/16\"]");
    let (_, told) = report(&gateway.folder, &format!("access: {ALL}{elsewhere}"), &[]);
    assert_eq!(ways(&told), [way("auditor read topic hr.salaries", 2, Some("access[1]"))]);
}

#[test]
fn only_what_the_policy_in_force_allows_can_be_newly_denied() {
    let gateway = recorded();
    let config = gateway.folder.path().join("weir.yaml");
    fs::write(&config, format!("policy: policy.yaml\n{CONFIG}")).unwrap();
    let in_force =
        "access:\n  - { groups: [analysts], operations: [all], topics: [\"*\"], consumer_groups: [\"*\"] }\n";
    fs::write(gateway.folder.path().join("policy.yaml"), in_force).unwrap();
    let tried = "access:\n  - { groups: [makers], operations: [write], topics: [\"*\"] }\n";
    let (code, told) = report(&gateway.folder, tried, &[]);
    assert_eq!(code, Some(6));
    let expected = [
        way("analyst-7 read topic orders", 2, None),
        way("analyst-7 read topic events", 1, None),
        way("analyst-7 read consumer_group analytics-1", 1, None),
    ];
    assert_eq!(ways(&told), expected, "{told}");
    assert_eq!((&told["newly_denied"], &told["newly_allowed"]), (&json!(3), &json!(2)));
    let (code, told) = report(&gateway.folder, in_force, &[]);
    assert_eq!((code, &told["newly_denied"], &told["newly_allowed"]), (Some(0), &json!(0), &json!(0)));
    assert_eq!(told["policy"]["sha256"], told["in_force"]["sha256"]);
}

#[test]
fn the_store_alone_tells_what_the_gateway_did_and_a_time_or_a_subject_narrows_it() {
    let gateway = recorded();
    let tried = "access:\n  - { groups: [nobody], operations: [read], topics: [\"orders\"] }\n";
    let (_, live) = report(&gateway.folder, tried, &["--until", "2026-11-23T00:00:00Z"]);
    let stopped = gateway.stop();
    let (_, kept) = report(&stopped.folder, tried, &["--until", "2026-11-23T00:00:00Z"]);
    assert_eq!(live, kept);
    assert_eq!(live["newly_denied"], 7);
    let count = |arguments: &[&str]| report(&stopped.folder, tried, arguments).1["newly_denied"].clone();
    assert_eq!(count(&["--as", "maker"]), 2);
    assert_eq!(count(&["--as", "a&identity=maker"]), 0);
    assert_eq!(count(&["--listener", "main"]), 7);
    assert_eq!(count(&["--since", "2026-11-22T10:00:03Z"]), 5);
    assert_eq!(count(&["--until", "2026-11-22T10:00:03Z"]), 2);
    assert_eq!(count(&["--since", "2026-11-22T11:00:00Z", "--until", "2026-11-22T20:00:00Z"]), 1);
    let (code, _, errors) = simulate(&stopped.folder, tried, &["--listener", "other"]);
    assert_eq!(code, Some(2), "{errors}");
    let (code, _, errors) = simulate(&stopped.folder, tried, &["--until", "2026-11-20"]);
    assert_eq!(code, Some(2), "{errors}");
}

#[test]
fn a_session_of_several_pages_and_days_is_judged_once_and_whole() {
    let mut gateway = recorded();
    gateway.append(4, START_NS, opened("main", "10.4.4.4:50000"));
    gateway.append(4, START_NS, identified("steady", &[], "app"));
    for ordinal in 0..2500 {
        let kind = exchange(ordinal, PRODUCE, vec![topic("steady", 0)]);
        gateway.append(4, START_NS + ordinal * 60 * SECOND_NS, kind);
    }
    gateway.close(4, START_NS + 2500 * 60 * SECOND_NS);
    gateway.wait_until_recorded(4);
    let tried = "access:\n  - { groups: [nobody], operations: [read], topics: [\"orders\"] }\n";
    let (_, told) = report(&gateway.folder, tried, &["--as", "steady"]);
    assert_eq!(ways(&told), [way("steady write topic steady", 2500, None)]);
    assert_eq!((&told["looked_at"]["exchanges"], &told["looked_at"]["sessions"]), (&json!(2500), &json!(1)));
}

#[test]
fn each_listener_of_a_session_has_its_own_rules_and_what_is_older_is_said_not_to_be_known() {
    let mut gateway = Gateway::start();
    let two = CONFIG.replace(
        "auth: [weir_token] }",
        "auth: [weir_token] }\n  - { name: inner, cluster: main, bind: \"127.0.0.1:9293\", brokers: \
         \"127.0.0.1:9400-9499\", auth: [weir_token] }",
    );
    fs::write(gateway.folder.path().join("weir.yaml"), two).unwrap();
    for (connection, listener) in [(1, "main"), (2, "inner")] {
        gateway.append(connection, START_NS, opened(listener, "10.1.1.1:50000"));
        gateway.append(connection, START_NS, identified("maker", &[], "app"));
        for ordinal in 0..3 {
            let kind = exchange(ordinal, PRODUCE, vec![topic("orders", 0)]);
            gateway.append(connection, START_NS + (1 + ordinal) * SECOND_NS, kind);
        }
    }
    (1..=2).for_each(|connection| gateway.close(connection, START_NS + 9 * SECOND_NS));
    gateway.wait_until_recorded(1);
    let tried = "access:\n  - { listeners: [inner], operations: [read], topics: [\"*\"] }\n";
    let (_, told) = report(&gateway.folder, tried, &[]);
    assert_eq!(ways(&told), [way("maker write topic orders", 3, None)]);
    assert_eq!(told["denied"][0]["listener"], "inner");
    let (_, told) = report(&gateway.folder, tried, &["--listener", "main"]);
    assert_eq!((&told["looked_at"]["exchanges"], &told["newly_denied"]), (&json!(3), &json!(0)));
    let (code, told) = report(&gateway.folder, tried, &["--since", "2026-11-22T10:00:02Z"]);
    assert_eq!((code, &told["not_judged"]["listener_unknown"]), (Some(0), &json!(4)), "{told}");
}

#[test]
fn what_an_event_does_not_tell_is_counted_and_said() {
    let gateway = recorded();
    let create = ["token", "create", "--subject", "maker", "--ttl", "1h", "--topics", "orders"];
    printed(&gateway.folder, &create);
    let tried = "access:\n  - { groups: [nobody], operations: [read], topics: [\"orders\"] }\n";
    let (_, told) = report(&gateway.folder, tried, &[]);
    assert_eq!(told["not_judged"]["maybe_narrowed"], 2);
    let (_, text, _) = simulate(&gateway.folder, tried, &[]);
    assert!(text.contains("1 name topics by ids whose names were not known"), "{text}");
    assert!(text.contains("2 are of clients whose tokens may be narrowed"), "{text}");
}

#[test]
fn people_read_a_table_that_fits_and_a_command_that_tells_why() {
    let gateway = recorded();
    let tried = "access:\n  - { groups: [nobody], operations: [read], topics: [\"orders\"] }\n";
    let (_, text, _) = simulate(&gateway.folder, tried, &["--limit", "2"]);
    for line in text.lines().filter(|line| !line.contains("/new.yaml")) {
        assert!(line.chars().count() <= 80, "{line}\n{text}");
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let words = words.join(" ");
    for expected in ["auditor read topic 2 2026-11-22 no rule", "desk hr.salaries 23:00:00 it maker", "shown are the 2"]
    {
        assert!(words.contains(expected), "{expected}\n{text}");
    }
    let command = text.lines().last().unwrap().trim();
    assert!(command.starts_with("weir explain --config "), "{text}");
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    let config = arguments.iter().position(|word| *word == "--config").unwrap();
    let arguments = [&arguments[..config], &arguments[config + 2..]].concat();
    let explained = printed(&gateway.folder, &arguments);
    assert!(explained.contains("read topic hr.salaries: denied, since no rule allows it"), "{explained}");
}

#[test]
fn a_policy_that_is_wrong_is_told_as_by_check_and_nothing_is_tried() {
    let gateway = recorded();
    let (code, printed, errors) = simulate(&gateway.folder, "access:\n  - { operations: [fly], topics: [a] }\n", &[]);
    assert_eq!((code, printed.as_str()), (Some(2), ""), "{errors}");
    assert!(errors.contains("new.yaml:2:") && errors.contains("nothing was tried"), "{errors}");
    let output = weir(&gateway.folder, &["simulate", "--policy", "/nowhere/policy.yaml"]);
    assert_eq!(output.status.code(), Some(2));
}

/// Topics and groups under approval, for some.
const HELD: &str = r#"approvals:
  - name: production
    operations: [delete_topics, produce, fetch, delete_groups]
    topics: ["orders", "hr.*"]
    consumer_groups: ["analytics-*"]
    unless_groups: [auditors]
    approvers: { all: [{ group: sre, count: 1 }] }
  - name: exports
    operations: [fetch]
    topics: ["events"]
    when: { from: earliest }
    approvers: { all: [{ group: sre, count: 1 }] }
"#;

#[test]
fn what_would_wait_for_approval_is_told_apart_from_what_is_denied() {
    let gateway = recorded();
    let (code, told) = report(&gateway.folder, HELD, &[]);
    assert_eq!(code, Some(6), "{told}");
    let held = json!({ "denied": told["held"] });
    let expected = [
        way("maker produce topic orders", 2, Some("approvals[0]")),
        way("analyst-7 fetch topic orders", 2, Some("approvals[0]")),
    ];
    assert_eq!(ways(&held), expected, "{told}");
    assert_eq!(told["held"][0]["rule_name"], "production");
    assert_eq!((&told["newly_denied"], &told["newly_held"]), (&json!(0), &json!(4)));
    // Nobody recorded where the log of events began.
    assert_eq!(told["not_judged"]["maybe_held"], 0, "that exchange is held already, for orders");
    // What is denied is not held besides.
    let tried = format!("access:\n  - {{ groups: [analysts], operations: [read], topics: [\"*\"] }}\n{HELD}");
    let (_, told) = report(&gateway.folder, &tried, &["--as", "maker"]);
    assert_eq!((&told["newly_denied"], &told["newly_held"]), (&json!(2), &json!(0)), "{told}");
    let (_, text, _) = simulate(&gateway.folder, HELD, &[]);
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains("NEWLY HELD exchanges: 4, in ways: 2"), "{text}");
    assert!(text.contains("approvals[0]"), "{text}");
}

#[test]
fn what_is_held_already_is_not_newly_held_and_what_no_longer_is_is_counted() {
    let gateway = recorded();
    let config = gateway.folder.path().join("weir.yaml");
    fs::write(&config, format!("policy: policy.yaml\n{CONFIG}")).unwrap();
    fs::write(gateway.folder.path().join("policy.yaml"), HELD).unwrap();
    let (code, told) = report(&gateway.folder, HELD, &[]);
    assert_eq!((code, &told["newly_held"], &told["no_longer_held"]), (Some(0), &json!(0), &json!(0)), "{told}");
    assert_eq!(told["not_judged"]["maybe_held"], 0, "rules that are the same change nothing");
    let fewer = HELD.replace("produce, fetch, ", "");
    let (code, told) = report(&gateway.folder, &fewer, &[]);
    assert_eq!((code, &told["newly_held"], &told["no_longer_held"]), (Some(0), &json!(0), &json!(4)), "{told}");
    assert_eq!(told["not_judged"]["maybe_held"], 1);
    let other = HELD.replace("\"orders\", \"hr.*\"", "\"other\"");
    let (_, told) = report(&gateway.folder, &other, &["--as", "analyst-7"]);
    assert_eq!((&told["newly_held"], &told["not_judged"]["maybe_held"]), (&json!(0), &json!(1)), "{told}");
}
