//! What the recording tells of a client.

use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use loadtest::weir::Gateway;
use loadtest::{Result, wait_for};
use serde_json::Value;

/// Waits until the sessions of `subject` tell as many records of `topic` written or read by `api` as they should; blocks of
/// the recording reach the store within a second.
pub fn recorded(gateway: &Gateway, subject: &str, topic: &str, api: ApiKey, enough: impl Fn(u64) -> bool) {
    let mut told = 0;
    let waited = wait_for("the records in the recording", Duration::from_secs(10), || {
        told = told_records(gateway, subject, topic, api)?;
        Ok(enough(told).then_some(()))
    });
    waited.unwrap_or_else(|e| panic!("{subject}: {told} records of {topic} by {api:?} in the recording: {e}"));
}

/// What `weir sessions` and `weir show` say.
fn told_records(gateway: &Gateway, subject: &str, topic: &str, api: ApiKey) -> Result<u64> {
    let mut records = 0;
    for session in gateway.weir_json(&["sessions", "--identity", subject])? {
        assert_eq!(session["identity"]["subject"], subject, "{session}");
        let shown = gateway.weir_json(&["show", session["id"].as_str().expect("a session's id")])?;
        let exchanges = shown.iter().filter(|e| e["event"] == "exchange" && e["request"]["api_key"] == api as i16);
        // A request tells what it writes, a response what is read.
        let of = |e: &Value| written(e, topic).max(records_of(&e["response"]["items"], topic));
        records += exchanges.map(of).sum::<u64>();
    }
    Ok(records)
}

/// Records of the request that the broker took; a client sends again what it did not.
fn written(exchange: &Value, topic: &str) -> u64 {
    let answers = exchange["response"]["items"].as_array().map_or(&[][..], Vec::as_slice);
    let taken = |item: &&Value| {
        answers.iter().any(|a| a["partition"] == item["partition"] && a["error_code"].as_i64().unwrap_or(0) == 0)
    };
    let items = exchange["request"]["items"].as_array().map_or(&[][..], Vec::as_slice).iter();
    items.filter(|i| i["name"] == topic).filter(taken).filter_map(|i| i["records"].as_u64()).sum()
}

fn records_of(items: &Value, topic: &str) -> u64 {
    let items = items.as_array().map_or(&[][..], Vec::as_slice).iter();
    items.filter(|item| item["name"] == topic).filter_map(|item| item["records"].as_u64()).sum()
}

/// The highest versions of Produce and Fetch that `subject` spoke.
pub fn spoken(gateway: &Gateway, subject: &str) -> Result<(i64, i64)> {
    let mut spoken = (-1, -1);
    for session in gateway.weir_json(&["sessions", "--identity", subject])? {
        for event in gateway.weir_json(&["show", session["id"].as_str().expect("a session's id")])? {
            let (api, version) = (&event["request"]["api_key"], &event["request"]["api_version"]);
            let highest = match api.as_i64().map(|api| api == ApiKey::Produce as i64) {
                Some(true) => &mut spoken.0,
                Some(false) if *api == ApiKey::Fetch as i64 => &mut spoken.1,
                _ => continue,
            };
            *highest = version.as_i64().expect("a version").max(*highest);
        }
    }
    Ok(spoken)
}
