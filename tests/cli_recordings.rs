//! `weir sessions` and `weir show` on a real recording: through a running gateway's socket, and from the store alone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cli_support;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cli_support::*;
use serde_json::Value;
use tempfile::TempDir;

/// Two sessions, an hour apart.
fn two_sessions() -> Gateway {
    let mut gateway = Gateway::start();
    gateway.record(1, START_NS, "analyst-7", "orders");
    gateway.record(2, START_NS + 3600 * SECOND_NS, "billing", "payments");
    gateway.wait_until_recorded(2);
    gateway
}

fn subjects(sessions: &[Value]) -> Vec<&str> {
    sessions.iter().map(|session| session["identity"]["subject"].as_str().unwrap()).collect()
}

#[test]
fn sessions_are_found_by_identity_topic_address_and_time() {
    let gateway = two_sessions();
    let found = |arguments: &[&str]| {
        let sessions = json_lines(&gateway.folder, &[&["sessions", "--json"], arguments].concat());
        subjects(&sessions).join(" ")
    };
    assert_eq!(found(&[]), "billing analyst-7");
    assert_eq!(found(&["--limit", "1"]), "billing");
    assert_eq!(found(&["--identity", "analyst-7"]), "analyst-7");
    assert_eq!(found(&["--identity", "a&identity=billing"]), "");
    assert_eq!(found(&["--topic", "payments"]), "billing");
    assert_eq!(found(&["--address", "127.0.0.1"]), "billing analyst-7");
    assert_eq!(found(&["--address", "127.0.0.0/8", "--topic", "payments"]), "billing");
    assert_eq!(found(&["--address", "10.0.0.0/8"]), "");
    assert_eq!(found(&["--since", "2026-11-22T10:30"]), "billing");
    assert_eq!(found(&["--until", "2026-11-22T10:30:00Z"]), "analyst-7");
}

#[test]
fn tables_fit_eighty_columns_and_keep_ids_whole() {
    let gateway = two_sessions();
    let id = json_lines(&gateway.folder, &["sessions", "--json", "--limit", "1"])[0]["id"].clone();
    for arguments in [vec!["sessions"], vec!["show", id.as_str().unwrap()]] {
        let table = printed(&gateway.folder, &arguments);
        assert!(table.contains(id.as_str().unwrap()), "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        assert!(!table.contains('\u{1b}'), "{table:?}");
    }
}

#[test]
fn at_eighty_columns_no_name_of_a_session_breaks_within_a_word() {
    let mut gateway = Gateway::start();
    let subject = "system:serviceaccount:payments:ledger-exporter-7";
    gateway.record(1, START_NS, subject, "orders");
    gateway.wait_until_recorded(1);
    let table = printed(&gateway.folder, &["sessions"]);
    for whole in ["system:serv…exporter-7", "perf", "127.0.0.1", "2026-11-22", "10:00:00", "1.1 KiB", "orders"] {
        assert!(table.split_whitespace().any(|word| word.contains(whole)) || table.contains(whole), "{whole}\n{table}");
    }
    assert_eq!(table.lines().count(), 4, "{table}");
}

#[test]
fn show_tells_every_exchange_with_place_amount_and_outcome() {
    let gateway = two_sessions();
    let sessions = json_lines(&gateway.folder, &["sessions", "--json", "--identity", "analyst-7"]);
    let id = sessions[0]["id"].as_str().unwrap();
    let text = printed(&gateway.folder, &["show", id]);
    let words: Vec<&str> = text.split_whitespace().collect();
    let words = words.join(" ");
    for expected in [
        "analyst-7 (by weir; groups: analysts)",
        "perf from 127.0.0.1, through main; connections: 1",
        "2026-11-22 10:00:00 to 2026-11-22 10:00:03 UTC",
        "10:00:01.000 Produce v9 1us 31us 1.8ms ok; orders-0 @42,",
        "10:00:02.000 OffsetCommit v9 - - - outcome unknown;",
    ] {
        assert!(words.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn the_store_alone_answers_as_the_gateway_did() {
    let gateway = two_sessions();
    let sessions = json_lines(&gateway.folder, &["sessions", "--json"]);
    let id = sessions[0]["id"].as_str().unwrap().to_owned();
    let live = json_lines(&gateway.folder, &["show", &id, "--json"]);
    let stopped = gateway.stop();
    let kept = json_lines(&stopped.folder, &["show", &id, "--json"]);
    assert_eq!(live, kept);
    assert_eq!(live.len(), 5);
    assert!(live.iter().all(|event| event["id"].is_string()));
    let after = json_lines(&stopped.folder, &["sessions", "--json"]);
    assert_eq!(subjects(&after), subjects(&sessions));
    assert!(after.iter().all(|session| session["state"] == "ended"), "{after:?}");
}

#[test]
fn a_session_longer_than_a_page_is_shown_whole_and_in_order() {
    let mut gateway = Gateway::start();
    gateway.record(1, START_NS, "analyst-7", "orders");
    for ordinal in 0..2500 {
        gateway.append(1, START_NS + 4 * SECOND_NS + ordinal, produce("orders"));
    }
    gateway.wait_until_recorded(1);
    let id = json_lines(&gateway.folder, &["sessions", "--json"])[0]["id"].as_str().unwrap().to_owned();
    let deadline = Instant::now() + Duration::from_secs(20);
    let events = loop {
        let events = json_lines(&gateway.folder, &["show", &id, "--json"]);
        if events.len() >= 2505 || Instant::now() > deadline {
            break events;
        }
        gateway.journals[0].wake_writer();
    };
    assert_eq!(events.len(), 2505);
    let times: Vec<u64> = events.iter().map(|event| event["at_ns"].as_u64().unwrap()).collect();
    assert!(times.is_sorted());
    let table = printed(&gateway.folder, &["show", &id]);
    assert_eq!(table.matches("RESULT").count(), 1);
    assert_eq!(table.matches("Produce v9").count(), 2501);
}

#[test]
fn what_is_not_recorded_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("weir.yaml"), CONFIG).unwrap();
    let failed = |folder: &TempDir, arguments: &[&str]| {
        let output = weir(folder, arguments);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = failed(&folder, &["sessions"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("there is no recording at"), "{stderr}");

    let gateway = two_sessions();
    let id = json_lines(&gateway.folder, &["sessions", "--json", "--limit", "1"])[0]["id"].clone();
    let (code, stderr) = failed(&gateway.folder, &["show", "nosuch"]);
    assert_eq!(code, Some(2), "{stderr}");
    let other = weir::event::SessionId::from_u64(7).to_string();
    for folder in [&gateway.folder.path().join("s"), &PathBuf::from("nowhere")] {
        let config = CONFIG.replace("./s", &folder.display().to_string());
        fs::write(gateway.folder.path().join("weir.yaml"), config).unwrap();
        let (code, stderr) = failed(&gateway.folder, &["show", &other]);
        assert_eq!(code, Some(3), "{stderr}");
        assert!(stderr.contains(&format!("no session has the id {other}")), "{stderr}");
    }
    assert!(id.is_string());
}
