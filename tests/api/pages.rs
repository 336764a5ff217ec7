//! Pages of sessions, events, identities, topics and tokens: together they hold everything once, in order.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::Value;
use weir::control::{LoginOptions, Minter, NewToken};
use weir::policy::{Role, RoleGroups, ScopeText};

use crate::cli_support::{Gateway, SECOND_NS, START_NS, produce};
use crate::rig::{Answer, send};

const HOUR_NS: u64 = 3600 * SECOND_NS;

pub struct Api {
    pub gateway: Gateway,
    pub address: SocketAddr,
    pub login: String,
}

/// A gateway with a recording that a test writes, and somebody who may see all of it.
pub fn api() -> Api {
    let roles = Role::ALL.map(|role| (role, vec!["all".to_owned()]));
    let gateway = Gateway::start_with(LoginOptions { roles: RoleGroups::new(roles), ..LoginOptions::default() });
    let scope = ScopeText::default();
    let new = NewToken { subject: "aud".to_owned(), groups: vec!["all".to_owned()], ttl_seconds: 600, scope };
    let token = gateway.tokens.create(new, &Minter::LocalUser("uid 0".to_owned())).unwrap().token;
    let address = gateway.control.as_ref().unwrap().bound();
    Api { gateway, address, login: format!("Authorization: Bearer {}", *token) }
}

impl Api {
    pub fn get(&self, path: &str) -> Answer {
        send(self.address, "GET", &format!("/api/v1/{path}"), &[&self.login], "")
    }

    /// All items of a list, and how many pages they came in.
    fn all(&self, path: &str, key: &str, limit: usize) -> (Vec<Value>, usize) {
        let (mut items, mut pages, mut cursor) = (Vec::new(), 0, None::<String>);
        loop {
            let from = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page = self.get(&format!("{path}limit={limit}{from}")).json();
            let page_items = page[key].as_array().unwrap();
            assert!(page_items.len() <= limit);
            items.extend(page_items.iter().cloned());
            pages += 1;
            assert!(pages < 100, "no end of pages");
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return (items, pages);
            }
        }
    }
}

#[test]
fn pages_of_sessions_hold_each_once_the_most_recently_active_first() {
    let mut api = api();
    // Three an hour, and three that go on over all of them.
    for hour in 0..5 {
        for nth in 3 * hour..(3 * hour + 3).min(12) {
            let at_ns = START_NS + hour * HOUR_NS + nth * SECOND_NS;
            api.gateway.record(nth, at_ns, &format!("person-{}", nth % 4), &format!("topic-{}", nth % 5));
        }
        for nth in 12..15 {
            let at_ns = START_NS + hour * HOUR_NS + nth * SECOND_NS;
            match hour {
                0 => api.gateway.open(nth, at_ns, "stayer", &format!("127.0.0.{nth}:1")),
                4 => api.gateway.close(nth, at_ns),
                _ => api.gateway.append(nth, at_ns, produce("kept")),
            }
        }
    }
    api.gateway.wait_until_recorded(15);
    let whole = api.get("sessions?limit=1000").json();
    let whole: Vec<Value> = whole["sessions"].as_array().unwrap().clone();
    assert_eq!(whole.len(), 15);
    let until_ns = START_NS + 3 * HOUR_NS;
    let bounded = format!("sessions?until_ns={until_ns}&");
    for filter in
        ["sessions?", "sessions?topic=kept&", "sessions?identity=stayer&", "sessions?address=127.0.0.0/8&", &bounded]
    {
        let (expected, _) = api.all(filter, "sessions", 1000);
        for limit in [1, 2, 3, 7] {
            let (found, pages) = api.all(filter, "sessions", limit);
            let ids = |sessions: &[Value]| sessions.iter().map(|s| s["id"].to_string()).collect::<Vec<_>>();
            let unique: BTreeSet<String> = ids(&found).into_iter().collect();
            assert_eq!(unique.len(), found.len(), "{filter} {limit}: one twice");
            assert_eq!(unique, ids(&expected).into_iter().collect(), "{filter} {limit}");
            assert_eq!(pages, expected.len().div_ceil(limit).max(1), "{filter} {limit}: no page is empty");
            if filter == "sessions?" {
                assert_eq!(ids(&found), ids(&expected), "{limit}");
            }
        }
    }
}

#[test]
fn pages_of_events_go_on_where_the_one_before_ended() {
    let mut api = api();
    api.gateway.record(1, START_NS, "ann", "orders");
    api.gateway.wait_until_recorded(1);
    let id = api.get("sessions").json()["sessions"][0]["id"].as_str().unwrap().to_owned();
    let (whole, _) = api.all(&format!("sessions/{id}/events?"), "events", 1000);
    let (one_by_one, _) = api.all(&format!("sessions/{id}/events?"), "events", 1);
    assert_eq!(one_by_one, whole);
    assert!(whole.iter().any(|event| event["event"] == "exchange"), "{whole:?}");
    assert_eq!(api.get(&format!("sessions/{id}")).json()["identity"]["subject"], "ann");
}

#[test]
fn names_are_told_once_and_most_recently_seen_first_and_as_data() {
    let mut api = api();
    let strange = "\"</script>\\\u{1b}[31m\u{202e}é";
    for nth in 0..9 {
        let subject = if nth == 4 { strange.to_owned() } else { format!("person-{}", nth % 5) };
        api.gateway.record(nth, START_NS + nth * HOUR_NS, &subject, &format!("topic-{}", nth % 3));
    }
    api.gateway.wait_until_recorded(9);
    for (path, key, name, count) in
        [("identities?since_ns=0&", "identities", "subject", 5), ("topics?since_ns=0&", "topics", "topic", 3)]
    {
        let (whole, _) = api.all(path, key, 1000);
        assert_eq!(whole.len(), count, "{whole:?}");
        let hours: Vec<u64> = whole.iter().map(|item| item["last_hour_ns"].as_u64().unwrap()).collect();
        assert!(hours.is_sorted_by(|a, b| a >= b), "{hours:?}");
        for limit in [1, 2, 4] {
            assert_eq!(api.all(path, key, limit).0, whole, "{limit}");
        }
        assert!(whole.iter().all(|item| item[name].is_string() && item["session"].is_string()), "{whole:?}");
    }
    let named = api.get("identities?since_ns=0");
    assert!(named.json()["identities"].as_array().unwrap().iter().any(|one| one["subject"] == strange));
    assert!(!named.body.contains('\u{1b}'), "control characters are escaped");
}

#[test]
fn pages_of_tokens_hold_each_once() {
    let api = api();
    for nth in 0..5 {
        let (subject, scope) = (format!("bot-{nth}"), ScopeText::default());
        let new = NewToken { subject, groups: Vec::new(), ttl_seconds: 60, scope };
        api.gateway.tokens.create(new, &Minter::LocalUser("uid 0".to_owned())).unwrap();
    }
    let (whole, _) = api.all("tokens?", "tokens", 1000);
    assert_eq!(whole.len(), 6);
    for limit in [1, 2, 5] {
        assert_eq!(api.all("tokens?", "tokens", limit).0, whole, "{limit}");
    }
    assert!(whole.iter().all(|token| token.get("token").is_none() && token.get("secret_sha256").is_none()));
}
