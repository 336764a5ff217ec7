//! The policy over the API: which is in force, what it says, what is wrong with another, which rules decide, reading it again.

use serde_json::json;

use crate::rig::{gateway, get, login, post};

#[test]
fn the_policy_in_force_is_shown_checked_explained_and_read_again() {
    let gateway = gateway();
    let (admin, viewer) = (login(&gateway, "ann", "platform"), login(&gateway, "vic", "overseers"));
    let before = get(&gateway, "policy", &viewer).json();
    let text = get(&gateway, "policy/text", &admin).json();
    assert_eq!(text["hash"], before["hash"]);
    assert_eq!(text["files"], json!([{ "name": "policy.yaml", "text": "recording: [{ mode: metadata }]\n" }]));

    let policy = "access:\n  - { name: readers, groups: [dev], operations: [read], topics: [\"orders.*\"] }\n";
    let checked = |text: &str| {
        let body = json!({ "files": [{ "name": "new.yaml", "text": text }] }).to_string();
        post(&gateway, "policy/check", &admin, &body).json()
    };
    assert_eq!(checked(policy), json!({ "valid": true, "problems": [], "warnings": [] }));
    let wrong = checked(&policy.replace("groups", "gruops"));
    assert_eq!(wrong["valid"], false);
    let problem = &wrong["problems"][0];
    assert_eq!((&problem["file"], &problem["line"]), (&json!("new.yaml"), &json!(2)));
    assert!(problem["reason"].as_str().unwrap().contains("did you mean `groups`?"), "{problem}");
    assert_eq!(get(&gateway, "policy", &viewer).json(), before, "checking changes nothing");

    let file = gateway.config_path().with_file_name("policy.yaml");
    std::fs::write(&file, policy).unwrap();
    let reloaded = post(&gateway, "policy/reload", &admin, "").json();
    assert_eq!((&reloaded["changed"], &reloaded["access_rules"]), (&json!(true), &json!(1)));
    assert_eq!(get(&gateway, "policy", &viewer).json()["hash"], reloaded["hash"]);
    assert_eq!(get(&gateway, "policy/text", &admin).json()["files"][0]["text"], policy);

    let question = json!({ "operation": "fetch", "topic": "orders.eu", "groups": ["dev"] });
    let explained = post(&gateway, "policy/explain", &admin, &question.to_string()).json();
    let args = ["explain", "--op", "fetch", "--topic", "orders.eu", "--groups", "dev"];
    assert_eq!(explained["logins"], gateway.weir_json(&args).unwrap()[0]["logins"]);
    assert_eq!(explained["logins"][0]["access"][0]["rule_name"], "readers");

    std::fs::write(&file, "access: 1\n").unwrap();
    let refused = post(&gateway, "policy/reload", &admin, "{}");
    assert_eq!(refused.status, 422);
    assert!(refused.problem().contains("policy.yaml:1:9"), "{refused:?}");
    assert_eq!(get(&gateway, "policy", &viewer).json()["hash"], reloaded["hash"], "the policy in force stays");
}

#[test]
fn checking_a_policy_reads_nothing_that_it_refers_to() {
    let gateway = gateway();
    let admin = login(&gateway, "ann", "platform");
    for source in ["file: /etc/shadow", "file: /nowhere/at/all", "env: HOME", "env: NO_SUCH_VARIABLE"] {
        let text = format!("masking: [{{ fields: [a], action: {{ hash: {{ key: {{ {source} }} }} }} }}]\n");
        let body = json!({ "files": [{ "name": "p.yaml", "text": text }] }).to_string();
        let answer = post(&gateway, "policy/check", &admin, &body).json();
        assert_eq!(answer["valid"], true, "{source}: {answer}");
    }
}

#[test]
fn a_question_about_the_policy_that_makes_no_sense_is_told_so() {
    let gateway = gateway();
    let admin = login(&gateway, "ann", "platform");
    for (question, what) in [
        (json!({ "operation": "reed", "topic": "a" }), "expected fetch"),
        (json!({ "operation": "fetch" }), "topic"),
        (json!({ "operation": "fetch", "topic": "a", "listener": "nosuch" }), "nosuch"),
        (json!({ "operation": "fetch", "topic": "a", "partition": -1 }), "partition"),
    ] {
        let refused = post(&gateway, "policy/explain", &admin, &question.to_string());
        assert_eq!(refused.status, 422, "{question}");
        assert!(refused.problem().contains(what), "{refused:?}");
    }
}
