//! One event of a session as a line of `weir show`: what was asked, how long each side took, what came of it.

use kafka_protocol::ResponseError;

use super::terminal::{bytes, harmless};
use super::time::length;
use super::view::{EventKind, Item, Outcome, Request, Response};
use crate::wire::kafka::api;

/// Resources that fit one line; more are counted.
const ITEMS_SHOWN: usize = 4;

/// The columns of a line, but for its time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) what: String,
    /// Client, Weir, broker.
    pub(super) latency: [String; 3],
    pub(super) result: String,
}

impl Line {
    pub(super) fn of(kind: &EventKind) -> Self {
        match kind {
            EventKind::Exchange { request, response, .. } => exchange(request.as_ref(), response),
            EventKind::Noted { request } => {
                plain(api_of(request), format!("outcome unknown{}", resources(&request.items, request.items_omitted)))
            }
            EventKind::Opened { listener, peer, broker } => {
                let to = broker.map_or_else(|| "bootstrap".to_owned(), |broker| format!("broker {broker}"));
                plain("connected", format!("{peer} to {listener}, {to}"))
            }
            EventKind::Identified { identity } => {
                plain("identified", format!("{} by {}", harmless(&identity.subject), identity.issuer))
            }
            EventKind::LoginFailed { mechanism, claimed, reason } => {
                let who = claimed.as_deref().map(|claimed| format!(" as {}", harmless(claimed))).unwrap_or_default();
                plain("login failed", format!("{}{who}: {}", harmless(mechanism), harmless(reason)))
            }
            EventKind::Held { request, stage } => {
                let id = harmless(request);
                let result = match stage.as_str() {
                    "asked" => format!("waits for approval; request {id}"),
                    "granted" => format!("approved: a use of the grant of request {id}"),
                    "denied" => format!("denied; request {id}"),
                    "undecided" => format!("nobody has decided yet; request {id}"),
                    _ => format!("the client has gone, nothing is done; request {id}"),
                };
                plain("held", result)
            }
            EventKind::NotCaptured { events } => {
                plain("not captured", format!("{events} exchanges without all of their frames"))
            }
            EventKind::Closed { reason } => plain("closed", reason.replace('_', " ")),
        }
    }
}

fn plain(what: impl Into<String>, result: String) -> Line {
    Line { what: what.into(), latency: Default::default(), result }
}

fn api_of(request: &Request) -> String {
    format!("{} v{}", api::name(request.api_key), request.api_version)
}

fn exchange(request: Option<&Request>, response: &Response) -> Line {
    let mut result = outcome(response);
    let asked = request.map_or(&[][..], |request| &request.items);
    let omitted = u32::max(request.map_or(0, |request| request.items_omitted), response.items_omitted);
    // The answer says where and how much; the request alone is shown where no answer came.
    let items = if response.items.is_empty() { asked } else { &response.items };
    result.push_str(&resources(items, omitted));
    if response.throttle_ms > 0 {
        result.push_str(&format!("; throttled {} ms", response.throttle_ms));
    }
    if request.is_some_and(|request| request.secret_withheld) {
        result.push_str("; secret withheld");
    }
    let frames = request.map_or(0, |request| request.bytes) + response.bytes;
    result.push_str(&format!("; frames {}", bytes(frames)));
    let latency = &response.latency;
    let timed = response.outcome != Outcome::Unknown;
    let latency = [latency.client_ns, latency.weir_ns, latency.broker_ns];
    Line {
        what: request.map_or_else(|| "(request not recorded)".to_owned(), api_of),
        latency: latency.map(|ns| if timed { length(ns) } else { "-".to_owned() }),
        result,
    }
}

fn outcome(response: &Response) -> String {
    let error = match response.error_code {
        0 => response.items.iter().map(|item| item.error_code).find(|code| *code != 0),
        code => Some(code),
    };
    let verdict = match response.outcome {
        Outcome::Answered => "ok",
        Outcome::NoAnswer => "sent (no answer by protocol)",
        Outcome::AnsweredHere => "ok (by weir)",
        Outcome::Refused => "refused by weir",
        Outcome::Unknown => "outcome unknown",
    };
    match error {
        None => verdict.to_owned(),
        Some(code) if response.outcome == Outcome::Refused => {
            format!("{verdict}: {}", error_name(code))
        }
        Some(code) => error_name(code),
    }
}

/// Kafka's name of an error code, as its protocol guide writes it.
fn error_name(code: i16) -> String {
    let Some(error) = ResponseError::try_from_code(code) else {
        return "NONE".to_owned();
    };
    if let ResponseError::Unknown(code) = error {
        return format!("ERROR_{code}");
    }
    let mut name = String::new();
    for c in error.to_string().chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// "; orders-0 @42, 3 records, 1.2 KiB; and 5 more", empty without any.
fn resources(items: &[Item], omitted: u32) -> String {
    let mut text = String::new();
    for item in items.iter().take(ITEMS_SHOWN) {
        text.push_str("; ");
        text.push_str(&resource(item));
    }
    let more = items.len().saturating_sub(ITEMS_SHOWN) + omitted as usize;
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

fn resource(item: &Item) -> String {
    let mut text = match item.resource.as_str() {
        "topic" => harmless(&item.name),
        kind => format!("{} {}", kind.replace('_', " "), harmless(&item.name)),
    };
    if let Some(partition) = item.partition {
        text.push_str(&format!("-{partition}"));
    }
    if let Some(offset) = item.offset {
        text.push_str(&format!(" @{offset}"));
    }
    if let Some(records) = item.records {
        text.push_str(&format!(", {records} records"));
    }
    if let Some(count) = item.bytes {
        text.push_str(&format!(", {}", bytes(count)));
    }
    if item.error_code != 0 {
        text.push_str(&format!(" {}", error_name(item.error_code)));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn line(kind: serde_json::Value) -> Line {
        Line::of(&serde_json::from_value(kind).unwrap())
    }

    fn request() -> serde_json::Value {
        json!({
            "api_key": 0, "api_version": 9, "correlation_id": 7, "bytes": 1000, "items_omitted": 0,
            "secret_withheld": false,
            "items": [{ "resource": "topic", "name": "orders", "partition": 0, "error_code": 0 }],
        })
    }

    fn response(outcome: &str, error_code: i16) -> serde_json::Value {
        json!({
            "outcome": outcome, "bytes": 24, "error_code": error_code, "items_omitted": 2, "throttle_ms": 0,
            "latency": { "client_ns": 1_000, "weir_ns": 31_000, "broker_ns": 1_800_000 },
            "items": [{ "resource": "topic", "name": "orders", "partition": 0, "offset": 42, "records": 3,
                        "bytes": 1229, "error_code": 0 }],
        })
    }

    #[test]
    fn an_exchange_tells_api_place_amount_and_who_took_how_long() {
        let shown = line(json!({ "event": "exchange", "ordinal": 0, "request": request(),
                                 "response": response("answered", 0) }));
        assert_eq!(shown.what, "Produce v9");
        assert_eq!(shown.latency, ["1us", "31us", "1.8ms"]);
        assert_eq!(shown.result, "ok; orders-0 @42, 3 records, 1.2 KiB; and 2 more; frames 1.0 KiB");
    }

    #[test]
    fn errors_bear_kafka_s_own_names_wherever_they_stand() {
        let shown =
            |response| line(json!({ "event": "exchange", "ordinal": 0, "request": null, "response": response }));
        assert!(shown(response("answered", 29)).result.starts_with("TOPIC_AUTHORIZATION_FAILED; "));
        assert!(shown(response("refused", 35)).result.starts_with("refused by weir: UNSUPPORTED_VERSION; "));
        assert!(shown(response("answered", 9999)).result.starts_with("ERROR_9999; "));
        let mut inner = response("answered", 0);
        inner["items"][0]["error_code"] = json!(6);
        assert!(shown(inner).result.starts_with("NOT_LEADER_OR_FOLLOWER; orders-0"));
    }

    #[test]
    fn what_was_forwarded_and_never_answered_is_said_to_be_unknown() {
        let noted = line(json!({ "event": "noted", "ordinal": 0, "request": request() }));
        assert_eq!((noted.what.as_str(), noted.result.as_str()), ("Produce v9", "outcome unknown; orders-0"));
        let mut lost = response("unknown", 0);
        lost["items"] = json!([]);
        let lost = line(json!({ "event": "exchange", "ordinal": 0, "request": request(), "response": lost }));
        assert!(lost.result.starts_with("outcome unknown; orders-0; "), "{}", lost.result);
        assert_eq!(lost.latency, ["-", "-", "-"]);
    }

    #[test]
    fn a_topic_s_name_cannot_steer_the_terminal() {
        let mut request = request();
        request["items"][0]["name"] = json!("a\u{1b}[2Jb");
        let shown = line(json!({ "event": "noted", "ordinal": 0, "request": request }));
        assert!(!shown.result.contains('\u{1b}'));
    }
}
