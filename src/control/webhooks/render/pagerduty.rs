//! PagerDuty's Events API v2 (developer.pagerduty.com, "Send an alert event"): an asked approval and a break-glass open an
//! alert, the decision closes it.
//!
//! `dedup_key` is the request's id. A break-glass has a key of its own, the id with `/break_glass`: as one more event of an
//! alert that is open already it would page nobody.

use serde_json::{Value, json};

use super::facts::{Facts, cut};
use crate::control::notices::{Notice, NoticeKind};
use crate::recorder::Rfc3339;

/// Characters PagerDuty takes of a summary.
const SUMMARY_MAX: usize = 1024;
/// Characters it takes of a key.
const KEY_MAX: usize = 255;

/// The events, in the order in which they are sent.
pub(super) fn events(node: &str, notice: &Notice, facts: &Facts, routing_key: &str) -> Vec<Value> {
    let request = facts.request_id.clone().unwrap_or_else(|| notice.id.clone());
    let glass = format!("{}/break_glass", cut(&request, KEY_MAX - 16));
    let request = cut(&request, KEY_MAX);
    let trigger = |key: &str, severity: &str, what: &str| {
        without_nulls(json!({
            "routing_key": routing_key,
            "event_action": "trigger",
            "dedup_key": key,
            "client": "Weir",
            "client_url": facts.url,
            "links": facts.url.iter().map(|url| json!({ "href": url, "text": "Open the request" })).collect::<Vec<_>>(),
            "payload": {
                "summary": summary(what, facts),
                "source": node,
                "severity": severity,
                "timestamp": Rfc3339(notice.at_ns).to_string(),
                "component": facts.cluster,
                "group": facts.listener,
                "class": facts.operation,
                "custom_details": details(facts),
            },
        }))
    };
    let resolve = |key: &str| json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": key });
    match notice.kind {
        NoticeKind::RequestCreated => vec![trigger(&request, "warning", "Approval asked for")],
        NoticeKind::BreakGlass => vec![trigger(&glass, "critical", "Break-glass")],
        NoticeKind::RequestDecided if facts.break_glass => vec![resolve(&request), resolve(&glass)],
        NoticeKind::RequestDecided => vec![resolve(&request)],
        NoticeKind::GrantUsed | NoticeKind::GrantRevoked => Vec::new(),
        NoticeKind::Test => {
            vec![trigger(&request, "info", "A test of Weir's webhook; nothing has happened"), resolve(&request)]
        }
    }
}

/// What is not known is left out.
fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(entries) = &mut value {
        entries.retain(|_, value| !value.is_null());
        entries.values_mut().for_each(|value| *value = without_nulls(value.take()));
    }
    value
}

fn summary(what: &str, facts: &Facts) -> String {
    let mut text = what.to_owned();
    let who = facts.broken_by.as_ref().or(facts.who.as_ref());
    let parts =
        [(": ", facts.operation.as_ref()), (" of ", facts.resources.as_ref()), (" on ", facts.cluster.as_ref())];
    for (word, part) in parts.into_iter().chain([(" by ", who)]) {
        if let Some(part) = part {
            text.push_str(word);
            text.push_str(part);
        }
    }
    cut(&text, SUMMARY_MAX)
}

fn details(facts: &Facts) -> Value {
    let all = [
        ("requester", &facts.who),
        ("client_id", &facts.client_id),
        ("address", &facts.address),
        ("resources", &facts.resources),
        ("reason", &facts.reason),
        ("effect", &facts.effect),
        ("rules", &facts.rules),
        ("expires", &facts.expires),
        ("request", &facts.request_id),
        ("break_glass_by", &facts.broken_by),
        ("break_glass_reason", &facts.broken_because),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value.clone()?)))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn render(kind: NoticeKind, data: Value) -> Vec<Value> {
        let notice = Notice { seq: 1, id: "n1".to_owned(), at_ns: 1_795_341_600_000_000_000, kind, data };
        events("weir-1", &notice, &Facts::of(&notice), "KEY")
    }

    fn actions(events: &[Value]) -> Vec<(&str, &str)> {
        events.iter().map(|e| (e["event_action"].as_str().unwrap(), e["dedup_key"].as_str().unwrap())).collect()
    }

    #[test]
    fn a_request_opens_an_alert_and_its_decision_closes_it() {
        let request = json!({"id": "r1", "operation": "delete_topics", "cluster": "main", "url": "https://weir/r1",
            "requester": {"subject": "ann"}, "resources": [{"kind": "topic", "name": "prod.a"}]});
        let created = render(NoticeKind::RequestCreated, json!({ "request": request }));
        assert_eq!(actions(&created), [("trigger", "r1")]);
        let payload = &created[0]["payload"];
        assert_eq!(payload["summary"], "Approval asked for: delete_topics of topic prod.a on main by ann");
        assert_eq!((&payload["severity"], &payload["source"]), (&json!("warning"), &json!("weir-1")));
        assert_eq!(created[0]["links"][0]["href"], "https://weir/r1");
        let decided = render(NoticeKind::RequestDecided, json!({ "request": request }));
        assert_eq!(actions(&decided), [("resolve", "r1")]);
        assert!(render(NoticeKind::GrantUsed, json!({ "request": request })).is_empty());
    }

    #[test]
    fn a_break_glass_pages_though_its_request_is_open() {
        let data = json!({"request": {"id": "r1"}, "break_glass": {"by": "bob", "reason": "outage"}});
        let broken = render(NoticeKind::BreakGlass, data.clone());
        assert_eq!(actions(&broken), [("trigger", "r1/break_glass")]);
        assert_eq!(broken[0]["payload"]["severity"], "critical");
        let reviewed = render(NoticeKind::RequestDecided, data);
        assert_eq!(actions(&reviewed), [("resolve", "r1"), ("resolve", "r1/break_glass")]);
    }

    #[test]
    fn keys_and_summaries_stay_within_bounds() {
        let long = "x".repeat(5000);
        let data = json!({"request": {"id": long, "operation": long, "resources": vec![json!({"name": long}); 30]}});
        for kind in [NoticeKind::RequestCreated, NoticeKind::BreakGlass] {
            let event = render(kind, data.clone()).remove(0);
            assert!(event["dedup_key"].as_str().unwrap().chars().count() <= KEY_MAX);
            assert!(event["payload"]["summary"].as_str().unwrap().chars().count() <= SUMMARY_MAX);
        }
    }
}
