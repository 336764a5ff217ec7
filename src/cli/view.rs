//! What tables show of the JSON that describes sessions and events; `docs/json.md` is the contract.

use serde::Deserialize;

use super::terminal::harmless;

/// A session, as far as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) identity: Identity,
    pub(super) client_id: Option<String>,
    pub(super) client_address: String,
    pub(super) listeners: Vec<String>,
    pub(super) state: String,
    pub(super) started_ns: u64,
    pub(super) last_activity_ns: u64,
    pub(super) end_reason: Option<String>,
    pub(super) connections_total: u32,
    pub(super) exchanges: u64,
    pub(super) errors: u64,
    pub(super) refused: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) records_written: u64,
    pub(super) records_read: u64,
    pub(super) not_captured: u64,
    pub(super) topics: Vec<String>,
    pub(super) topics_omitted: u64,
    pub(super) frames: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Identity {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) groups: Vec<String>,
}

impl Session {
    /// The topics as one text, `-` without any.
    pub(super) fn topics(&self) -> String {
        let mut topics = harmless(&self.topics.join(", "));
        if self.topics_omitted > 0 {
            topics.push_str(&format!(" and {} more", self.topics_omitted));
        }
        if topics.is_empty() { "-".to_owned() } else { topics }
    }
}

/// An event of a session, as far as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) at_ns: u64,
    pub(super) boot: u32,
    pub(super) shard: u16,
    pub(super) connection: u64,
    /// None without a policy file.
    pub(super) policy_hash: Option<String>,
    #[serde(flatten)]
    pub(super) kind: EventKind,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum EventKind {
    Opened { listener: String, peer: String, broker: Option<i32> },
    Identified { identity: Identity },
    LoginFailed { mechanism: String, claimed: Option<String>, reason: String },
    Noted { request: Request },
    Exchange { ordinal: u64, request: Option<Request>, response: Response },
    Held { request: String, stage: String },
    NotCaptured { events: u64 },
    Closed { reason: String },
}

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    pub(super) api_key: i16,
    pub(super) api_version: i16,
    pub(super) bytes: u64,
    pub(super) items: Vec<Item>,
    pub(super) items_omitted: u32,
    pub(super) secret_withheld: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Response {
    pub(super) outcome: Outcome,
    pub(super) bytes: u64,
    pub(super) error_code: i16,
    pub(super) items: Vec<Item>,
    pub(super) items_omitted: u32,
    pub(super) throttle_ms: u32,
    pub(super) latency: Latency,
}

impl Response {
    /// Whether it, or a part of it, did not do what was asked.
    pub(super) fn failed(&self) -> bool {
        let error = self.error_code != 0 || self.items.iter().any(|item| item.error_code != 0);
        error || matches!(self.outcome, Outcome::Refused | Outcome::Unknown)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Answered,
    NoAnswer,
    AnsweredHere,
    Refused,
    Unknown,
}

#[derive(Debug, Deserialize)]
pub(super) struct Latency {
    pub(super) client_ns: u64,
    pub(super) weir_ns: u64,
    pub(super) broker_ns: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Item {
    pub(super) resource: String,
    pub(super) name: String,
    pub(super) partition: Option<i32>,
    pub(super) offset: Option<i64>,
    pub(super) records: Option<u32>,
    pub(super) bytes: Option<u64>,
    pub(super) error_code: i16,
}
