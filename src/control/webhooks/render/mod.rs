//! What is sent: a notice as a CloudEvent, a Slack message or PagerDuty events.
//!
//! Invariants:
//! - Of a notice, every field may be missing, of another type, or hostile: what clients chose is text, never markup.
//! - Whatever is too long is cut, so that no receiver refuses a notice for what a client wrote.

mod cloudevents;
mod facts;
mod pagerduty;
mod slack;

use std::sync::Arc;

use zeroize::Zeroizing;

use super::sign::{SigningKey, signature};
use crate::control::notices::Notice;
use facts::Facts;

/// How a webhook's receiver is spoken to.
#[derive(Clone)]
pub enum WebhookFormat {
    /// CloudEvents 1.0, signed after Standard Webhooks with each of these keys.
    CloudEvents {
        /// The keys, the newest first.
        keys: Vec<SigningKey>,
    },
    /// Slack's incoming webhooks; their URL is the secret.
    Slack,
    /// PagerDuty's Events API v2.
    PagerDuty {
        /// The integration's key.
        routing_key: Arc<Zeroizing<String>>,
    },
}

impl WebhookFormat {
    /// As the configuration writes it.
    pub fn name(&self) -> &'static str {
        match self {
            WebhookFormat::CloudEvents { .. } => "cloudevents",
            WebhookFormat::Slack => "slack",
            WebhookFormat::PagerDuty { .. } => "pagerduty",
        }
    }
}

/// One HTTP request's headers and body.
pub(super) struct Message {
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// What tells `notice` to a receiver, in order: for PagerDuty none where it has nothing to open or close, and two where it has
/// two things to. `timestamp` is the attempt's, s since the Unix epoch.
pub(super) fn render(format: &WebhookFormat, node: &str, notice: &Notice, timestamp: u64) -> Vec<Message> {
    let json = || vec![("content-type", "application/json".to_owned())];
    match format {
        WebhookFormat::CloudEvents { keys } => {
            let body = cloudevents::event(node, notice).into_bytes();
            let headers = vec![
                ("content-type", "application/cloudevents+json; charset=utf-8".to_owned()),
                ("webhook-id", notice.id.clone()),
                ("webhook-timestamp", timestamp.to_string()),
                ("webhook-signature", signature(keys, &notice.id, timestamp, &body)),
            ];
            vec![Message { headers, body }]
        }
        WebhookFormat::Slack => {
            let body = slack::message(node, notice.kind, &Facts::of(notice)).to_string().into_bytes();
            vec![Message { headers: json(), body }]
        }
        WebhookFormat::PagerDuty { routing_key } => {
            let events = pagerduty::events(node, notice, &Facts::of(notice), routing_key);
            events.iter().map(|event| Message { headers: json(), body: event.to_string().into_bytes() }).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::control::notices::NoticeKind;
    use crate::limits::WEBHOOK_EVENT_BYTES_MAX;

    fn formats() -> [WebhookFormat; 3] {
        let keys = vec![Arc::new(Zeroizing::new(vec![7; 32]))];
        let routing_key = Arc::new(Zeroizing::new("R".repeat(32)));
        [WebhookFormat::CloudEvents { keys }, WebhookFormat::Slack, WebhookFormat::PagerDuty { routing_key }]
    }

    fn notice(kind: NoticeKind, data: Value) -> Notice {
        Notice { seq: 1, id: "018f".to_owned(), at_ns: 1_795_341_600_000_000_000, kind, data }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".{0,400}".prop_map(Value::from),
            Just(Value::from("<!channel> <https://evil.example|here> *b* :x: \u{202e}")),
        ];
        let keys = prop::sample::select(vec![
            "request",
            "decision",
            "grant",
            "break_glass",
            "id",
            "requester",
            "subject",
            "issuer",
            "resources",
            "kind",
            "name",
            "parameters",
            "reason",
            "rules",
            "effect",
            "url",
            "operation",
            "by",
            "verdict",
            "comment",
            "until",
        ]);
        leaf.prop_recursive(4, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(keys.clone(), inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_a_notice_holds_becomes_a_lawful_body(data in any_json(), kind in prop::sample::select(&NoticeKind::ALL[..])) {
            for format in formats() {
                for message in render(&format, "n1", &notice(kind, data.clone()), 1) {
                    let body: Value = serde_json::from_slice(&message.body).unwrap();
                    prop_assert!(body.is_object());
                    prop_assert!(message.body.len() <= WEBHOOK_EVENT_BYTES_MAX);
                }
            }
        }
    }

    #[test]
    fn a_request_for_thousands_of_topics_fits_everywhere() {
        let resources: Vec<Value> =
            (0..20_000).map(|i| json!({"kind": "topic", "name": format!("prod.{i}")})).collect();
        let data = json!({"request": {"id": "r1", "url": "https://weir/r1", "reason": "r".repeat(1 << 20),
            "resources": resources}});
        for format in formats() {
            for message in render(&format, "n1", &notice(NoticeKind::RequestCreated, data.clone()), 1) {
                assert!(message.body.len() <= WEBHOOK_EVENT_BYTES_MAX, "{}", message.body.len());
                assert!(String::from_utf8(message.body).unwrap().contains("prod.0"), "{}", format.name());
            }
        }
    }
}
