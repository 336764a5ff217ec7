//! The built `weir` command, without a gateway: what it prints where, and how it exits.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write(
            r#"store: { path: ./data }
control: { bind: "127.0.0.1:9280" }
clusters: [{ name: main, bootstrap: ["127.0.0.1:19092"] }]
listeners:
  - { name: main, cluster: main, bind: "127.0.0.1:9292", brokers: "127.0.0.1:9300-9399", auth: [weir_token] }
"#,
        );
        folder
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("weir.yaml")
    }

    fn write(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
    }

    fn weir(&self, arguments: &[&str]) -> Output {
        weir(&self.config(), arguments)
    }

    /// What a command prints that must succeed.
    fn printed(&self, arguments: &[&str]) -> String {
        let output = self.weir(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn weir(config: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(arguments)
        .arg("--config")
        .arg(config)
        .env("TZ", "UTC")
        .env_remove("WEIR_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn check_says_good_and_starts_nothing() {
    let folder = Folder::new();
    let printed = folder.printed(&["check"]);
    assert_eq!(printed, format!("{}: good; listeners: 1, clusters: 1\n", folder.config().display()));
    assert!(!folder.0.path().join("data").exists());
}

#[test]
fn check_and_serve_report_every_problem_and_start_nothing() {
    let folder = Folder::new();
    folder.write("shards: none\nstore: { path: ./data }\nlog: { level: loud }\n");
    for command in ["check", "serve"] {
        let output = folder.weir(&[command]);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(output.stdout, b"");
        let stderr = stderr(&output);
        for place in ["weir.yaml:1:9: shards: ", "weir.yaml:3:15: log.level: ", "weir.yaml:1:1: listeners: missing"] {
            assert!(stderr.contains(place), "{stderr}");
        }
        assert!(!folder.0.path().join("data").exists());
    }
}

#[test]
fn a_wrong_command_line_exits_with_2_and_help_tells_the_exit_codes() {
    let folder = Folder::new();
    assert_eq!(folder.weir(&["token", "create", "--subject", "a", "--ttl", "24"]).status.code(), Some(2));
    assert_eq!(folder.weir(&["sessions", "--since", "yesterday"]).status.code(), Some(2));
    let help = Command::new(env!("CARGO_BIN_EXE_weir")).arg("--help").output().unwrap();
    assert!(String::from_utf8(help.stdout).unwrap().contains("  3  nothing has that id or name"));
}

#[test]
fn a_token_is_created_listed_and_revoked_without_a_gateway() {
    let folder = Folder::new();
    let arguments = ["token", "create", "--subject", "analyst-7", "--groups", "dev,analysts", "--ttl", "24h", "--json"];
    let created: Value = serde_json::from_str(&folder.printed(&arguments)).unwrap();
    let id = created["id"].as_str().unwrap();
    let token = created["token"].as_str().unwrap();
    assert!(token.starts_with(&format!("weir_{id}_")), "{created}");
    let day_ns = 24 * 3600 * 1_000_000_000;
    assert_eq!(created["expires_ns"].as_u64().unwrap() - created["created_ns"].as_u64().unwrap(), day_ns);

    let listed: Value = serde_json::from_str(&folder.printed(&["token", "list", "--json"])).unwrap();
    assert_eq!(listed["id"], id);
    assert_eq!(listed["subject"], "analyst-7");
    assert_eq!(listed["groups"], serde_json::json!(["analysts", "dev"]));
    assert_eq!(listed["state"], "active");
    assert_eq!(listed["token"], Value::Null);
    assert!(listed["expires"].as_str().unwrap().ends_with('Z'), "{listed}");

    let table = folder.printed(&["token", "list"]);
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(table.contains("analyst-7") && table.contains("EXPIRES (UTC)"), "{table}");
    assert!(!table.contains('\u{1b}'), "colour where no terminal is: {table:?}");

    assert_eq!(folder.printed(&["token", "revoke", id]), format!("token {id} of analyst-7 is revoked\n"));
    let listed: Value = serde_json::from_str(&folder.printed(&["token", "list", "--json"])).unwrap();
    assert_eq!(listed["state"], "revoked");
}

#[test]
fn a_token_is_printed_once_and_in_no_list() {
    let folder = Folder::new();
    let printed = folder.printed(&["token", "create", "--subject", "analyst-7", "--ttl", "1h"]);
    let token = printed.lines().find_map(|line| line.strip_prefix("token:    ")).unwrap();
    assert!(token.starts_with("weir_"));
    let listed = folder.printed(&["token", "list"]) + &folder.printed(&["token", "list", "--json"]);
    assert!(!listed.contains(token.rsplit('_').next().unwrap()));
}

#[test]
fn what_does_not_exist_exits_with_3_and_says_what_to_do() {
    let folder = Folder::new();
    folder.printed(&["token", "create", "--subject", "a", "--ttl", "1h"]);
    let output = folder.weir(&["token", "revoke", "nosuch"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("no token has the id nosuch; `weir token list`"), "{}", stderr(&output));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let folder = Folder::new();
    folder.printed(&["token", "create", "--subject", "a", "--ttl", "1h"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["token", "list", "--config"])
        .arg(folder.config())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}

/// A policy may be a folder, and the guide's examples are one: each is read, and all of them together.
#[test]
fn the_policies_of_the_guide_to_access_are_good() {
    let folder = Folder::new();
    folder.write(&format!("policy: policy.d\n{}", fs::read_to_string(folder.config()).unwrap()));
    fs::create_dir(folder.0.path().join("policy.d")).unwrap();
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/access.md")).unwrap();
    let examples: Vec<&str> = guide.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    assert!(examples.len() >= 3, "{examples:?}");
    for (number, example) in examples.iter().enumerate() {
        fs::write(folder.0.path().join(format!("policy.d/{number}.yaml")), example).unwrap();
        let printed = folder.printed(&["check"]);
        assert!(printed.lines().count() == 2 && printed.ends_with("policy.d: good\n"), "{printed}\n{example}");
    }
}

#[test]
fn a_token_is_narrowed_to_what_the_command_line_says() {
    let folder = Folder::new();
    let create = ["token", "create", "--subject", "analyst-7", "--ttl", "1h", "--operations", "read,write"];
    let topics = ["--topics", "orders.*", "--topics", "payments[0,2-3]"];
    let printed = folder.printed(&[&create[..], &topics].concat());
    assert!(printed.contains("only:     read, write on topics orders.*, payments[0,2-3]\n"), "{printed}");
    let listed: Value = serde_json::from_str(&folder.printed(&["token", "list", "--json"])).unwrap();
    let scopes = serde_json::json!([{ "topics": ["orders.*", "payments[0,2-3]"], "operations": ["read", "write"] }]);
    assert_eq!(listed["scopes"], scopes);
    let refused = folder.weir(&[&create[..], &["--topics", "orders,payments"]].concat());
    assert_ne!(refused.status.code(), Some(0));
    assert!(stderr(&refused).contains("no topic's name can match `orders,payments`"), "{}", stderr(&refused));
}
