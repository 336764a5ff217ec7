//! Events over all sessions: what is asked for and nothing else, each once, and whoever is shown a session has looked at it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cli_support::{SECOND_NS, START_NS, produce};
use crate::pages::{Api, api};

impl Api {
    /// All events of a question, and in how many pages they came.
    fn events(&self, question: &str, limit: usize) -> (Vec<Value>, usize) {
        let (mut events, mut pages, mut cursor) = (Vec::new(), 0, String::new());
        loop {
            let answer = self.get(&format!("events?since_ns=0&{question}&limit={limit}{cursor}"));
            let page = answer.json();
            let of_page = page["events"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
            assert!(of_page.len() <= limit);
            events.extend(of_page.iter().cloned());
            pages += 1;
            assert!(pages < 500, "no end of pages");
            let Some(next) = page["next_cursor"].as_str() else { return (events, pages) };
            cursor = format!("&cursor={next}");
        }
    }
}

fn ids(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["id"].to_string()).collect()
}

#[test]
fn events_of_all_sessions_are_found_by_what_they_are_about() {
    let mut api = api();
    for nth in 0..12 {
        let at_ns = START_NS + nth * 600 * SECOND_NS;
        api.gateway.record(nth, at_ns, &format!("person-{}", nth % 3), &format!("topic-{}", nth % 4));
    }
    api.gateway.wait_until_recorded(12);
    let (all, _) = api.events("", 1000);
    let kinds: BTreeSet<&str> = all.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["closed", "exchange", "identified", "opened"].into());
    assert_eq!(all.len(), 12 * 5, "{all:?}");
    let of_sessions: BTreeSet<String> = all.iter().map(|event| event["session"]["id"].to_string()).collect();
    assert_eq!(of_sessions.len(), 12);
    let first = all[0]["session"]["identity"]["subject"].clone();
    assert_eq!(first, "person-2", "the session that was active last comes first");

    for question in ["", "identity=person-1", "topic=topic-2", "api_key=8", "outcome=unknown", "errors_only=true"] {
        let (expected, _) = api.events(question, 1000);
        assert!(!expected.is_empty(), "{question}");
        for limit in [1, 7] {
            let (found, _) = api.events(question, limit);
            assert_eq!(ids(&found), ids(&expected), "{question} {limit}");
        }
        for event in &expected {
            match question {
                "identity=person-1" => assert_eq!(event["session"]["identity"]["subject"], "person-1"),
                "topic=topic-2" => assert!(event.to_string().contains("\"topic-2\"")),
                "api_key=8" => assert_eq!(event["request"]["api_key"], 8),
                // Its connection ended before it was answered.
                "outcome=unknown" | "errors_only=true" => assert_eq!(event["response"]["outcome"], "unknown"),
                _ => {}
            }
        }
    }
    let (since, until) = (START_NS + 1200 * SECOND_NS, START_NS + 1202 * SECOND_NS);
    let within = api.get(&format!("events?since_ns={since}&until_ns={until}")).json();
    let times: Vec<u64> =
        within["events"].as_array().unwrap().iter().map(|event| event["at_ns"].as_u64().unwrap()).collect();
    assert!(times.len() == 4 && times.iter().all(|at| (since..=until).contains(at)), "{times:?}");
    assert_eq!(api.get("events").json()["events"], json!([]), "the last day, where nothing is said");
    for wrong in ["cursor=x", "limit=0", "outcome=fine", "address=x", "api_key=x", "operation=Fetch"] {
        assert_eq!(api.get(&format!("events?{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn whoever_is_shown_an_event_has_looked_at_its_session() {
    let mut api = api();
    api.gateway.record(1, START_NS, "ann", "orders");
    api.gateway.record(2, START_NS + SECOND_NS, "bob", "payments");
    api.gateway.append(2, START_NS + 2 * SECOND_NS, produce("orders"));
    api.gateway.wait_until_recorded(2);
    let (shown, _) = api.events("identity=ann", 100);
    let session = shown[0]["session"]["id"].clone();
    let looks = api.get("looks").json()["looks"].as_array().unwrap().clone();
    let seen: Vec<&Value> = looks.iter().map(|look| &look["session"]).collect();
    assert_eq!(seen, [&session], "bob's was not shown");
    assert_eq!((&looks[0]["subject"], &looks[0]["seen"]), (&json!("aud"), &json!("session")));
    assert_eq!(api.events("identity=nobody", 100).0, Vec::<Value>::new());
}
