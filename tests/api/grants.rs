//! Grants over the API: each with what became of it, by state, by whose they are, and page by page.

use std::time::Duration;

use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use serde_json::{Value, json};

use crate::rig::{ROLES, get, login, post, send};

const HELD: &str =
    "approvals: [{ name: policy, operations: [change_policy], approvers: { group: sre }, grant: { uses: 1 } }]\n";

/// The id of a request to put this text in the place of the policy, which stays what it is.
fn asked(gateway: &Gateway, login: &str, text: &str) -> (u16, Value) {
    let hash = get(gateway, "policy", login).json()["hash"].as_str().unwrap().to_owned();
    let body = json!({ "files": [{ "name": "policy.yaml", "text": text }] }).to_string();
    let headers = [login, "Content-Type: application/json", &format!("If-Match: {hash}")];
    let answer = send(gateway.control(), "PUT", "/api/v1/policy/text", &headers, &body);
    (answer.status, answer.json())
}

#[test]
fn grants_are_told_with_what_became_of_them() {
    let mut options = Options::new("127.0.0.1:1").auth(&["weir_token"]).policy(HELD);
    options.control = vec![ROLES.to_owned()];
    let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
    gateway.start_unready().unwrap();
    let [ann, amy, rev, vic] = [("ann", "platform"), ("amy", "platform"), ("rev", "sre"), ("vic", "overseers")]
        .map(|(subject, groups)| login(&gateway, subject, groups));
    let approve = |who: &str, text: &str, said: Value| {
        let (status, case) = asked(&gateway, who, text);
        let id = case["id"].as_str().unwrap().to_owned();
        let decided = post(&gateway, &format!("requests/{id}/decisions"), &rev, &said.to_string());
        assert_eq!((status, decided.status), (202, 200), "{decided:?}");
        (id, decided.json()["grant"]["id"].as_str().unwrap().to_owned())
    };
    let yes = json!({ "said": "approve" });
    let (revoked, _) = approve(&ann, "# a\n", yes.clone());
    assert_eq!(post(&gateway, &format!("grants/{revoked}/revocation"), &rev, "{\"reason\":\"no\"}").status, 200);
    let (run_out, _) = approve(&ann, "# b\n", json!({ "said": "approve", "valid_s": 1 }));
    let (open, grant) = approve(&amy, "# c\n", yes.clone());
    let (used_up, _) = approve(&ann, "# d\n", yes);
    assert_eq!(asked(&gateway, &ann, "# d\n").0, 200);

    let all = || get(&gateway, "grants", &rev).json()["grants"].as_array().unwrap().clone();
    let state = |id: &str| all().into_iter().find(|one| one["request"] == *id).unwrap()["state"].clone();
    wait_for("a grant to run out", Duration::from_secs(5), || Ok((state(&run_out) == "run_out").then_some(())))
        .unwrap();
    let told: Vec<(String, Value)> =
        all().iter().map(|one| (one["request"].to_string(), one["state"].clone())).collect();
    let named = |id: &str, state: &str| (json!(id).to_string(), json!(state));
    let expected =
        [named(&used_up, "used_up"), named(&open, "open"), named(&run_out, "run_out"), named(&revoked, "revoked")];
    assert_eq!(told, expected, "the latest first");
    for (id, state) in [(&used_up, "used_up"), (&open, "open"), (&run_out, "run_out"), (&revoked, "revoked")] {
        let only = get(&gateway, &format!("grants?state={state}"), &rev).json();
        assert_eq!((only["grants"].as_array().unwrap().len(), &only["grants"][0]["request"]), (1, &json!(id)));
    }
    let first = all()[0].clone();
    assert_eq!((&first["uses_left"], &first["rules"], &first["cluster"]), (&json!(0), &json!(["policy"]), &json!("")));
    assert_eq!(first["used"].as_array().unwrap().len(), 1);
    assert_eq!(all()[3]["revoked_because"], "no");

    let mine = get(&gateway, "grants?mine=true", &amy).json();
    assert_eq!((mine["grants"].as_array().unwrap().len(), &mine["grants"][0]["id"]), (1, &json!(grant)));
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&gateway, &format!("grants?limit=1{cursor}"), &rev).json();
        paged.extend(page["grants"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, all());
    for id in [&grant, &open] {
        assert_eq!(get(&gateway, &format!("grants/{id}"), &rev).json()["id"], grant.as_str());
    }
    assert_eq!(get(&gateway, "grants/g-nosuch", &rev).status, 404);
    assert_eq!(get(&gateway, "grants", &vic).status, 403);
}
