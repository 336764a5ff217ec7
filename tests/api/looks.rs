//! Looking at a recording is itself kept, whichever way somebody looks, and shown to auditors.

use serde_json::json;

use crate::cli_support::{START_NS, json_lines, printed};
use crate::pages::api;
use crate::rig::send;

#[test]
fn who_looks_at_a_session_is_kept_whichever_way_they_look() {
    let mut api = api();
    api.gateway.record(1, START_NS, "ann", "orders");
    api.gateway.wait_until_recorded(1);
    let id = api.get("sessions").json()["sessions"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(api.get("looks").json()["looks"], json!([]), "a list of sessions is no look at one");

    api.get(&format!("sessions/{id}"));
    api.get(&format!("sessions/{id}/events?limit=1"));
    let refused = send(api.address, "GET", &format!("/api/v1/sessions/{id}"), &[], "");
    assert_eq!(refused.status, 401);
    printed(&api.gateway.folder, &["show", &id]);

    let looks = api.get("looks").json()["looks"].as_array().unwrap().clone();
    let said: Vec<_> =
        looks.iter().map(|look| (look["subject"].as_str().unwrap(), look["way"].as_str().unwrap())).collect();
    assert_eq!(said.len(), 2, "pages of one session are one look, and who saw nothing did not look: {looks:?}");
    assert!(said[0].0.starts_with("uid ") && said[0].1 == "local_socket", "{said:?}");
    assert_eq!(said[1], ("aud", "weir_token"));
    assert_eq!((&looks[1]["address"], &looks[1]["session"]), (&json!("127.0.0.1"), &json!(id)));
    assert_eq!(looks[1]["seen"], "session");

    assert_eq!(json_lines(&api.gateway.folder, &["looks", "--json"]), looks);
    let table = printed(&api.gateway.folder, &["looks"]);
    assert!(table.contains("aud") && table.contains("its events") && table.contains(&id), "{table}");
    let first = api.get("looks?limit=1").json();
    let second = api.get(&format!("looks?limit=1&cursor={}", first["next_cursor"].as_str().unwrap())).json();
    assert_eq!((&first["looks"][0], &second["looks"][0]), (&looks[0], &looks[1]));
    assert!(second["next_cursor"].is_null());

    let folder = api.gateway.stop().folder;
    assert_eq!(json_lines(&folder, &["looks", "--json"]), looks, "they outlive the gateway");
}
