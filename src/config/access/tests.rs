//! Access rules as they are read, and all that can be wrong with them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use crate::config::Config;
use crate::policy::{AccessClient, Operation, ResourceKind};

const CONFIG: &str = r#"policy: policy.d
store: { path: ./data }
control: { bind: "127.0.0.1:9280" }
clusters: [{ name: main, bootstrap: ["127.0.0.1:19092"] }]
listeners: [{ name: main, cluster: main, bind: "127.0.0.1:9292", brokers: "127.0.0.1:9300-9399", auth: [anonymous] }]
"#;

const GOOD: &str = r#"access:
  - name: analysts read orders
    listeners: [main]
    issuers: ["https://id.example.com/*", weir]
    subjects: ["analyst-*"]
    groups: [analysts]
    client_ids: ["report-*"]
    networks: ["10.0.0.0/8", "2001:db8::/32"]
    hours: { from: "08:00", to: "18:00", days: [mon, tue], zone: Europe/Paris }
    operations: [read, describe]
    topics: ["orders.*", "payments[0-3]"]
    consumer_groups: ["analytics-*"]
  - effect: deny
    operations: [all]
    topics: [secret]
    cluster: true
"#;

fn load(files: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("policy.d")).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join("policy.d").join(name), text).unwrap();
    }
    fs::write(folder.path().join("weir.yaml"), CONFIG).unwrap();
    let told = |path: &Path, text: String| {
        let prefix = format!("{}/", path.display());
        text.replace(&prefix, "").lines().map(str::to_owned).collect()
    };
    Config::load(&folder.path().join("weir.yaml")).map_err(|problems| told(folder.path(), problems.to_string()))
}

#[test]
fn access_rules_mean_what_is_written() {
    let config = load(&[("a.yaml", GOOD)]).unwrap();
    let rules = &config.policy.snapshot.access;
    assert_eq!(rules.len(), 2);
    let groups = ["analysts".to_owned()];
    let client = AccessClient {
        listener: "main",
        issuer: "weir",
        subject: "analyst-7",
        groups: &groups,
        client_id: Some("report-1"),
        address: IpAddr::from([10, 1, 1, 1]),
        scopes: None,
    };
    let rights = rules.rights_of(&client).unwrap();
    // A Monday in Paris, at half past eight and an hour before.
    let (morning, early) = (1_796_023_800, 1_796_020_200);
    let reads =
        |name, partition, now| rights.operations(ResourceKind::Topic, name, partition, now).contains(Operation::Read);
    assert!(reads("orders.eu", None, morning) && !reads("orders.eu", None, early));
    assert!(reads("payments", Some(3), morning) && !reads("payments", Some(4), morning));
    assert!(!reads("secret", None, morning));
    assert!(rights.decide(Operation::Read, ResourceKind::Group, "analytics-1", None, morning).allowed);
}

#[test]
fn all_mistakes_of_access_rules_are_told_with_their_places() {
    let wrong = r#"access:
  - operations: [reed, all]
    topics: ["a[3-1]", "{a"]
  - topics: [a]
  - operations: [read]
  - operations: [cluster_action]
    topics: [a]
  - effect: denied
    operations: [read]
    topic: [a]
    networks: ["10.1.2.3/8", nowhere]
    hours: { from: "8:00", to: "24:30", days: [mon, monday], zone: Paris/Europe }
    listeners: [nowhere]
  - operations: [read]
    topics: [a]
    hours: { from: "08:00", to: "08:00" }
  - operations: [write]
    topics: [a]
  - operations: [write]
    topics: [a]
    name: again
"#;
    let found = load(&[("a.yaml", wrong)]).unwrap_err();
    let begin = |line: &String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    assert_eq!(
        found.iter().map(begin).collect::<Vec<_>>(),
        [
            "policy.d/a.yaml:2:18: access[0].operations[0]:",
            "policy.d/a.yaml:3:14: access[0].topics[0]:",
            "policy.d/a.yaml:3:24: access[0].topics[1]:",
            "policy.d/a.yaml:4:5: access[1].operations:",
            "policy.d/a.yaml:5:5: access[2]:",
            "policy.d/a.yaml:6:5: access[3]:",
            "policy.d/a.yaml:8:13: access[4].effect:",
            "policy.d/a.yaml:10:5: access[4].topic:",
            "policy.d/a.yaml:11:16: access[4].networks[0]:",
            "policy.d/a.yaml:11:30: access[4].networks[1]:",
            "policy.d/a.yaml:12:20: access[4].hours.from:",
            "policy.d/a.yaml:12:32: access[4].hours.to:",
            "policy.d/a.yaml:12:53: access[4].hours.days[1]:",
            "policy.d/a.yaml:12:68: access[4].hours.zone:",
            "policy.d/a.yaml:13:17: access[4].listeners[0]:",
            "policy.d/a.yaml:16:12: access[5].hours:",
            "policy.d/a.yaml:19:5: access[7]:",
        ],
        "{found:#?}"
    );
    assert!(found[0].contains("did you mean `read`?"), "{found:#?}");
    assert!(found[16].ends_with("access[6] says the same"), "{found:#?}");
}

#[test]
fn the_files_of_a_folder_are_one_policy() {
    let rule = |topic: &str| format!("access: [{{ operations: [read], topics: [{topic}] }}]\n");
    let config = load(&[
        ("b.yaml", &rule("b")),
        ("a.yaml", &rule("a")),
        ("c.yaml", "recording: [{ mode: full }]\n"),
        ("d.yaml", ""),
        (".hidden.yaml", "nonsense"),
        ("README.md", "nonsense"),
    ])
    .unwrap();
    let topics: Vec<String> = config.policy.snapshot.access.iter().map(|rule| rule.topics.to_string()).collect();
    assert_eq!(topics, ["a", "b"]);
    assert_eq!(config.policy.snapshot.recording.len(), 1);
}

#[test]
fn mistakes_name_their_file_and_rules_are_numbered_through_all_files() {
    let rule = |topic: &str| format!("access: [{{ operations: [read], topics: [{topic}] }}]\n");
    let found = load(&[
        ("a.yaml", &(rule("a") + "aces: 1\n")),
        ("b.yaml", "access: [\n"),
        ("c.yaml", &rule("c")),
        ("d.yaml", &rule("a")),
    ]);
    let found = found.unwrap_err();
    assert!(found[0].starts_with("policy.d/a.yaml:2:1: aces: unknown key; did you mean `access`?"), "{found:#?}");
    assert!(found[1].starts_with("policy.d/b.yaml:2:1: not valid YAML"), "{found:#?}");
    assert_eq!(found[2], "policy.d/d.yaml:1:10: access[2]: does nothing: access[0] says the same");
    assert_eq!(found.len(), 3);
}

#[test]
fn a_folder_that_says_nothing_or_not_all_stops_the_start() {
    let none = load(&[("policy.txt", "access: []")]).unwrap_err();
    assert_eq!(none, ["policy.d:1:1: holds no file that ends in `.yaml`; expected one or more"]);
    let other = load(&[("a.yaml", GOOD), ("b.yml", GOOD)]).unwrap_err();
    assert_eq!(other, ["policy.d/b.yml:1:1: would be passed over; expected the ending `.yaml`"]);
}

#[test]
fn the_version_of_a_folder_changes_with_every_name_and_content() {
    let hash = |files: &[(&str, &str)]| load(files).unwrap().policy.snapshot.hash;
    let (one, two) = ("recording: [{ mode: full }]\n", "recording: [{ mode: metadata, topics: [a] }]\n");
    let all = [
        hash(&[("a.yaml", two)]),
        hash(&[("b.yaml", two)]),
        hash(&[("a.yaml", two), ("b.yaml", one)]),
        hash(&[("a.yaml", two), ("c.yaml", one)]),
        hash(&[("a.yaml", two), ("b.yaml", one), ("c.yaml", "")]),
    ];
    for (index, hash) in all.iter().enumerate() {
        assert!(!all[..index].contains(hash), "{index}");
    }
    assert_eq!(all[0], hash(&[("a.yaml", two), ("notes.txt", "more")]));
}

#[test]
fn scopes_of_issuers_are_read_and_mistakes_in_them_are_told() {
    let load = |map: &str| {
        let folder = tempfile::tempdir().unwrap();
        let issuer = format!(
            "issuers:\n  - {{ name: idp, issuer: \"https://id.test\", audience: [weir], scopes: {{ map: {map} }} }}\n"
        );
        let config = CONFIG.replace("policy: policy.d\n", "") + &issuer;
        fs::write(folder.path().join("weir.yaml"), config).unwrap();
        Config::load(&folder.path().join("weir.yaml")).map_err(|problems| problems.to_string())
    };
    let config = load(r#"{ "read:orders": { topics: ["orders.*"], operations: [read] }, all: { operations: [all] } }"#);
    let map = config.unwrap().issuers[0].rules.scopes.clone().unwrap().map;
    let told: Vec<String> = map.iter().map(|(name, scope)| format!("{name}: {scope}")).collect();
    assert_eq!(told, ["read:orders: read on topics orders.*", "all: all"]);
    for (map, expected) in [
        ("[]", "issuers[0].scopes.map: found a list; expected what each scope is here"),
        ("{ a: {} }", "issuers[0].scopes.map.a: found nothing; expected one or more of `topics`"),
        ("{ a: { operations: [reed] } }", "issuers[0].scopes.map.a.operations[0]: found `reed`; did you mean `read`?"),
        ("{ a: { topics: [b] }, a: { topics: [c] } }", "issuers[0].scopes.map: found `a` a second time; expected once"),
    ] {
        let found = load(map).unwrap_err();
        assert!(found.contains(expected), "{found}");
    }
}
