//! `weir explain` on access and approval rules, the built command, without a gateway: what decides, and what would have to change.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "cli_support/folder.rs"]
mod folder;

use folder::Folder;
use serde_json::{Value, json};

const CONFIG: &str = r#"store: { path: ./data }
policy: policy.yaml
control: { bind: "127.0.0.1:9280" }
clusters: [{ name: main, bootstrap: ["127.0.0.1:19092"] }]
listeners:
  - { name: main, cluster: main, bind: "127.0.0.1:9292", brokers: "127.0.0.1:9300-9399", auth: [weir_token] }
  - { name: open, cluster: main, bind: "127.0.0.1:9293", brokers: "127.0.0.1:9400-9499", auth: [anonymous] }
"#;

const RULES: &str = r#"access:
  - name: analysts read orders
    listeners: [main]
    groups: [analysts]
    operations: [read]
    topics: ["orders.*", "events[0-3]"]
    consumer_groups: ["analytics-*"]
  - name: auditors
    listeners: [main]
    groups: [auditors]
    networks: ["10.0.0.0/8"]
    operations: [read]
    topics: ["*"]
  - name: no secrets at night
    listeners: [main]
    effect: deny
    hours: { from: "22:00", to: "06:00" }
    groups: [analysts]
    operations: [read]
    topics: [orders.secret]
"#;

const HELD: &str = r#"access:
  - { name: all of dev, groups: [dev], operations: [all], topics: ["*"], consumer_groups: ["*"] }
  - { name: orders, groups: [analysts], operations: [read], topics: ["orders.*"] }
approvals:
  - name: production topics
    operations: [create_topics, delete_topics, alter_configs, reset_offsets]
    topics: ["prod.*"]
    approvers: { all: [{ group: sre, count: 2 }, { group: security }] }
    reason: required
    hold: 8s
    break_glass: [oncall]
  - name: exports
    operations: [fetch]
    groups: [dev]
    topics: ["prod.*"]
    when: { from: earliest, over: 1GiB, within: 1h }
    approvers: { group: owners }
    grant: { valid: 2h, window: 10m }
  - { name: users, operations: [alter_users, change_policy], approvers: { group: security } }
"#;

fn folder() -> Folder {
    Folder::new(CONFIG, RULES).columns(100)
}

impl Folder {
    /// What is explained to an analyst at noon who connects from 10.1.1.1, but for what `arguments` say.
    fn explain(&self, arguments: &[&str]) -> String {
        let who = ["explain", "--listener", "main", "--groups", "analysts"];
        let from: &[&str] = if arguments.contains(&"--address") { &[] } else { &["--address", "10.1.1.1"] };
        self.printed(&[&who[..], from, arguments].concat())
    }

    fn answer(&self, arguments: &[&str]) -> Value {
        let noon: &[&str] = if arguments.contains(&"--at") { &[] } else { &["--at", "2026-11-30T12:00:00Z"] };
        let told: Value = serde_json::from_str(&self.explain(&[arguments, noon, &["--json"]].concat())).unwrap();
        told["logins"][0]["access"][0].clone()
    }
}

#[test]
fn the_deciding_rule_is_named() {
    let folder = folder();
    let allowed = folder.answer(&["--op", "read", "--topic", "orders.eu"]);
    assert_eq!(allowed["allowed"], true, "{allowed}");
    assert_eq!((&allowed["by"], &allowed["rule"]), (&json!("rule"), &json!("access[0]")));
    assert_eq!(allowed["changes"], json!([]));
    let denied = folder.answer(&["--op", "read", "--topic", "orders.secret", "--at", "2026-11-30T23:00:00Z"]);
    assert_eq!((&denied["allowed"], &denied["rule"]), (&json!(false), &json!("access[2]")));
    assert_eq!(denied["rule_name"], "no secrets at night");
    let texts: Vec<&str> = denied["changes"].as_array().unwrap().iter().map(|c| c["text"].as_str().unwrap()).collect();
    let elsewhere = "come through a listener other than main";
    assert_eq!(texts, [elsewhere, "be in none of analysts", "do it at another time than from 22:00 to 06:00 (UTC)"]);
    let noon = folder.answer(&["--op", "read", "--topic", "orders.secret"]);
    assert_eq!((&noon["allowed"], &noon["rule"]), (&json!(true), &json!("access[0]")));
}

#[test]
fn what_would_have_to_change_is_told() {
    let folder = folder();
    let payments = folder.answer(&["--op", "fetch", "--topic", "payments", "--address", "192.0.2.1"]);
    let text = "be in one of auditors, and connect from 10.0.0.0/8";
    assert_eq!(payments["by"], "no_rule", "{payments}");
    assert_eq!(payments["changes"], json!([{ "rule": "access[1]", "text": text }]));
    let nobody = folder.answer(&["--op", "write", "--topic", "orders.eu"]);
    let text = "a rule with `operations: [write]` and `topics: [orders.eu]`; none allows it to anybody";
    assert_eq!(nobody["changes"], json!([{ "rule": null, "text": text }]));
    let partition = |number| folder.answer(&["--op", "read", "--topic", "events", "--partition", number]);
    assert_eq!((&partition("3")["allowed"], &partition("4")["allowed"]), (&json!(true), &json!(false)));
    let printed = folder.explain(&["--op", "read", "--group", "other"]);
    assert!(
        printed.contains("ACCESS  denied\n\n  read consumer group other: denied, since no rule allows it\n"),
        "{printed}"
    );
    assert!(!printed.contains("MASKING"), "{printed}");
}

#[test]
fn a_fetch_needs_its_topic_and_its_group_and_tells_masking_too() {
    let folder = folder();
    let printed = folder.explain(&["--op", "fetch", "--topic", "orders.eu", "--consumer-group", "other"]);
    assert!(printed.contains("ACCESS  denied"), "{printed}");
    assert!(printed.contains("read topic orders.eu: allowed by access[0] \"analysts read orders\""), "{printed}");
    assert!(printed.contains("read consumer group other: denied") && printed.contains("MASKING"), "{printed}");
}

#[test]
fn a_token_that_is_narrowed_is_told_apart() {
    let folder = folder();
    let create = ["token", "create", "--subject", "a", "--groups", "analysts", "--ttl", "1h"];
    folder.printed(&[&create[..], &["--topics", "orders.us"]].concat());
    let ask =
        ["explain", "--listener", "main", "--as", "a", "--address", "10.1.1.1", "--op", "read", "--topic", "orders.eu"];
    let printed = folder.printed(&ask);
    assert!(printed.contains("only all on topics orders.us"), "{printed}");
    assert!(printed.contains("denied, since the token is narrowed to something else"), "{printed}");
    let other = "log in with a token that is not narrowed, or to this, too";
    assert_eq!(printed.matches(other).count(), 1, "{printed}");
    let payments =
        ["explain", "--listener", "main", "--as", "a", "--address", "10.1.1.1", "--op", "read", "--topic", "b"];
    let payments = folder.printed(&payments);
    assert!(payments.contains("be in one of auditors") && payments.contains(other), "{payments}");
    folder.printed(&create);
    let both = folder.printed(&ask);
    assert!(both.contains("different groups or scopes"), "{both}");
}

#[test]
fn what_has_to_be_said_is_asked_for() {
    let folder = folder();
    for (arguments, expected) in [
        (&["--op", "read", "--topic", "a"][..], "--address"),
        (&["--op", "read", "--address", "10.1.1.1"], "--topic, --group"),
        (&["--op", "fetch", "--address", "10.1.1.1"], "--topic"),
        (&["--op", "create", "--group", "a", "--address", "10.1.1.1"], "cannot be done with a consumer group"),
        (&["--op", "consume", "--topic", "a"], "expected fetch, produce, read"),
    ] {
        let output = folder.weir(&[&["explain", "--listener", "main", "--groups", "analysts"], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    let open = folder.printed(&["explain", "--listener", "open", "--op", "create", "--cluster"]);
    assert!(open.contains("allowed: the listener has no access rules"), "{open}");
}

fn held(arguments: &[&str]) -> Value {
    let folder = Folder::new(CONFIG, HELD);
    let told = folder.printed(&[&["explain", "--listener", "main"][..], arguments, &["--json"]].concat());
    serde_json::from_str::<Value>(&told).unwrap()["logins"][0].clone()
}

#[test]
fn which_rules_hold_it_and_what_they_ask_for_is_told() {
    let dev = |arguments: &[&str]| held(&[&["--groups", "dev"][..], arguments].concat())["approvals"].clone();
    let delete = dev(&["--op", "delete_topics", "--topic", "prod.eu"]);
    assert_eq!((&delete["held"], &delete["not_asked"]), (&json!(true), &Value::Null));
    let rule = json!({
        "rule": "approvals[0]", "name": "production topics", "things": [{ "resource": "topic", "name": "prod.eu" }],
        "when": null, "approvers": "2 of sre and 1 of security", "reason_required": true, "hold_ms": 8000,
        "expires_s": 86400, "valid_s": 900, "uses": 1, "window_s": null, "break_glass": ["oncall"],
    });
    assert_eq!(delete["rules"], json!([rule]));
    let read = dev(&["--op", "fetch", "--topic", "prod.eu"]);
    let when = json!({ "from_earliest": true, "over_bytes": 1_u64 << 30, "within_s": 3600 });
    assert_eq!((&read["rules"][0]["when"], &read["rules"][0]["window_s"]), (&when, &json!(600)));
    assert_eq!(
        dev(&["--op", "delete_topics", "--topic", "dev.eu"]),
        json!({ "held": false, "not_asked": null, "rules": [] })
    );
    assert_eq!(dev(&["--op", "alter_configs", "--topic", "prod.eu"])["rules"][0]["rule"], "approvals[0]");
    let moved = dev(&["--op", "reset_offsets", "--topic", "prod.eu", "--group", "g"]);
    assert_eq!(moved["rules"][0]["things"], json!([{ "resource": "topic", "name": "prod.eu" }]));
    assert_eq!(dev(&["--op", "describe", "--topic", "prod.eu"]), Value::Null);
    assert_eq!(dev(&["--op", "change_policy"])["rules"][0]["name"], "users");
}

#[test]
fn nobody_is_asked_for_what_is_denied() {
    let told = held(&["--groups", "analysts", "--op", "delete_topics", "--topic", "prod.eu"]);
    assert_eq!((&told["access"][0]["operation"], &told["access"][0]["allowed"]), (&json!("delete"), &json!(false)));
    assert_eq!((&told["approvals"]["held"], &told["approvals"]["not_asked"]), (&json!(true), &json!("denied")));
    let users = held(&["--groups", "dev", "--op", "alter_users"]);
    assert_eq!(users["approvals"]["not_asked"], "security_changes");
    let folder = Folder::new(CONFIG, HELD).columns(160);
    let explain = |arguments: &[&str]| folder.printed(&[&["explain", "--listener", "main"][..], arguments].concat());
    let printed = explain(&["--groups", "analysts", "--op", "delete_topics", "--topic", "prod.eu"]);
    assert!(printed.contains("APPROVALS  nobody is asked, since it is denied\n"), "{printed}");
    assert!(printed.starts_with("somebody asks to delete topics prod.eu through listener main\n"), "{printed}");
    let printed = explain(&["--groups", "dev", "--op", "delete_topics", "--topic", "prod.eu"]);
    for line in [
        "APPROVALS  held until others have approved it\n\n  approvals[0] \"production topics\"\n",
        "    holds it of       topic prod.eu\n",
        "    to approve        2 of sre and 1 of security, once the requester has said why; never the requester\n",
        "    waits             8s on the wire, less where its client is less patient; then it can be approved",
        "    grants            once, within 15m of the approval\n",
        "    in an emergency   whoever is in oncall may go ahead alone, for all to see\n",
    ] {
        assert!(printed.contains(line), "{line}{printed}");
    }
    let printed = explain(&["--groups", "dev", "--op", "fetch", "--topic", "prod.eu"]);
    let only = "    only              what begins at the earliest offset, or what is more than 1.0 GiB within 1h\n";
    assert!(
        printed.contains("some of it is held") && printed.contains(only) && printed.contains("MASKING"),
        "{printed}"
    );
    let printed = explain(&["--groups", "dev", "--op", "fetch", "--topic", "dev.eu"]);
    assert!(!printed.contains("APPROVALS"), "{printed}");
    let wrong = folder.weir(&["explain", "--listener", "main", "--op", "delete_topics", "--group", "g"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("say what to delete topics with: --topic"), "{wrong:?}");
}
