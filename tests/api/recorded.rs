//! What a real client does on a real cluster, as the API tells it.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use loadtest::kafka::{self, Cluster};
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use serde_json::{Value, json};

use crate::person::Person;
use crate::rig::{ROLES, get, login, post};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn what_a_client_does_is_told_by_session_identity_and_topic() {
    let cluster = Cluster::start(1, kafka::Options::default()).unwrap();
    let mut options = Options::new(cluster.bootstrap()).auth(&["weir_token"]);
    options.control = vec![ROLES.to_owned()];
    let gateway = Gateway::start(env!("CARGO_BIN_EXE_weir"), options).unwrap();
    let auditor = login(&gateway, "aud", "audit");
    let ann = Person::of(&gateway, "ann", "dev");
    loadtest::admin::create_topic(&cluster, "orders.eu", &[1]).unwrap();
    let mut kcat = ann.kcat_command(&["-P", "-t", "orders.eu", "-X", "client.id=books"]);
    let mut kcat = kcat.stdin(Stdio::piped()).spawn().unwrap();
    kcat.stdin.take().unwrap().write_all(b"a\nb\n").unwrap();
    assert!(kcat.wait().unwrap().success());

    let of_ann = || {
        let page = get(&gateway, "sessions?identity=ann&topic=orders.eu", &auditor).json();
        Ok(page["sessions"].as_array().unwrap().first().filter(|session| session["records_written"] == 2).cloned())
    };
    let session = wait_for("the session of ann", SOON, of_ann).unwrap();
    assert_eq!(
        (&session["client_id"], &session["identity"]["groups"][0]),
        (&Value::from("books"), &Value::from("dev"))
    );
    let id = session["id"].as_str().unwrap();
    // Noted before it was answered: its outcome may come later.
    let wrote = |event: &&Value| event["request"]["api_key"] == 0 && event["response"]["outcome"] == "answered";
    let answered = || {
        let events = get(&gateway, &format!("sessions/{id}/events"), &auditor).json();
        Ok(events["events"].as_array().unwrap().iter().find(wrote).cloned())
    };
    let produced = wait_for("an exchange that produced", SOON, answered).unwrap();
    assert_eq!(produced["response"]["items"][0]["name"], "orders.eu");

    let names = |path: &str, key: &str, name: &str| {
        let page = get(&gateway, path, &auditor).json();
        let names: Vec<String> = page[key].as_array().unwrap().iter().map(|one| one[name].to_string()).collect();
        names
    };
    assert!(names("identities", "identities", "subject").contains(&"\"ann\"".to_owned()));
    assert!(names("topics", "topics", "topic").contains(&"\"orders.eu\"".to_owned()));
    a_policy_is_tried_on_it(&gateway, &auditor);
    let health = crate::rig::send(gateway.control(), "GET", "/api/v1/health", &[], "");
    assert_eq!(health.json()["ready"], true);
}

/// Who reads may not write under it.
fn a_policy_is_tried_on_it(gateway: &Gateway, auditor: &str) {
    let tried = |text: &str| {
        let body = json!({ "files": [{ "name": "new.yaml", "text": text }], "subject": "ann" });
        post(gateway, "policy/simulate", auditor, &body.to_string())
    };
    let readers = "access:\n  - { name: readers, groups: [dev], operations: [read], topics: [\"orders.*\"] }\n";
    let found = tried(readers).json();
    let worst = &found["denied"][0];
    assert_eq!(
        (&worst["subject"], &worst["operation"], &worst["name"]),
        (&json!("ann"), &json!("write"), &json!("orders.eu"))
    );
    assert!(found["newly_denied"].as_u64() >= Some(1) && found["looked_at"]["stopped_in"].is_null(), "{found}");
    let open = tried(&readers.replace("[read]", "[read, write]")).json();
    assert_eq!(open["newly_denied"], 0, "{open}");
    let wrong = tried("access: 1\n");
    assert_eq!(wrong.status, 422);
    assert!(wrong.problem().contains("new.yaml:1:9"), "{wrong:?}");
    let looks = get(gateway, "looks", auditor).json();
    assert!(looks["looks"].as_array().unwrap().iter().any(|look| look["seen"] == "simulation"), "{looks}");
}
