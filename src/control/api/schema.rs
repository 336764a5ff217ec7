//! What answers look like whose types live in folders that know no API: for the OpenAPI document.
//!
//! Nothing here is ever made. A test reads real answers by these types, which refuse a field that they do not name, so that
//! a field that is added there is documented here.

use serde::Deserialize;
use utoipa::ToSchema;

/// Somebody, whatever their groups.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes, and is never made")]
pub(in crate::control) struct Person {
    /// Who vouches.
    issuer: String,
    /// The person or service.
    subject: String,
    /// The person that made the token they came with.
    #[serde(default)]
    #[schema(no_recursion)]
    minted_by: Option<Box<Person>>,
}

/// Who asks for something, or decides on it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes, and is never made")]
pub(in crate::control) struct Requester {
    /// Who vouches.
    issuer: String,
    /// The person or service.
    subject: String,
    /// The person that made the token they came with.
    #[serde(default)]
    #[schema(no_recursion)]
    minted_by: Option<Box<Person>>,
    /// Their groups then.
    groups: Vec<String>,
}

/// Where a request stands.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::control) enum RequestState {
    /// Nobody has decided yet, or not enough have.
    Pending,
    /// Enough have said yes.
    Approved,
    /// Somebody said no.
    Denied,
    /// Nobody decided in time.
    Expired,
}

/// What somebody says of a request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::control) enum Said {
    /// Yes.
    Approve,
    /// No.
    Deny,
    /// The requester goes ahead in an emergency.
    BreakGlass,
    /// An emergency was looked at afterwards.
    Review,
}

/// What an action would come to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes, and is never made")]
pub(in crate::control) struct ActionEffect {
    /// When it was found out, ns since the Unix epoch.
    at_ns: u64,
    /// What a reviewer should know.
    facts: Vec<Fact>,
    /// Why it is not all of it.
    trouble: Option<String>,
}

/// One thing that a reviewer should know.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes, and is never made")]
pub(in crate::control) struct Fact {
    /// Of what.
    about: String,
    /// What it is.
    what: String,
    /// How much or which.
    value: String,
}

/// What a token narrows its holder to: what each list that is there allows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes, and is never made")]
pub(in crate::control) struct Scope {
    /// Patterns of topics; left out: all.
    #[serde(default)]
    topics: Vec<String>,
    /// Patterns of groups; left out: all.
    #[serde(default)]
    consumer_groups: Vec<String>,
    /// Patterns of transactional ids; left out: all.
    #[serde(default)]
    transactional_ids: Vec<String>,
    /// Names of operations; left out: all.
    #[serde(default)]
    operations: Vec<String>,
}

/// Who: the outcome of a login.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes, and is never made")]
pub(in crate::control) struct Identity {
    /// Who vouches: `anonymous`, `weir`, an identity provider's issuer URL, or `certificate`.
    issuer: String,
    /// The person or service.
    subject: String,
    /// Groups as the issuer states them, sorted.
    groups: Vec<String>,
    /// How it was proven.
    mechanism: Mechanism,
}

/// How an identity was proven.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::control) enum Mechanism {
    /// Not at all.
    Anonymous,
    /// SASL/PLAIN with a token that Weir issued.
    PlainToken,
    /// SCRAM with a token that Weir issued.
    ScramToken,
    /// A JWT of an identity provider.
    Jwt,
    /// The certificate of a mutual TLS handshake.
    Certificate,
}

/// What one identity did through one client id from one address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes, and is never made")]
pub(in crate::control) struct Session {
    /// Its id.
    id: String,
    /// Who.
    identity: Identity,
    /// The client id of its connections, as the client sent it.
    client_id: Option<String>,
    /// The address of its connections.
    client_address: String,
    /// The listeners it came through.
    listeners: Vec<String>,
    /// `open`, `idle` or `ended`.
    state: SessionState,
    /// When its first connection was accepted, RFC 3339.
    started: String,
    /// The same in ns since the Unix epoch.
    started_ns: u64,
    /// Its latest event.
    last_activity: String,
    /// The same in ns since the Unix epoch.
    last_activity_ns: u64,
    /// When it ended.
    ended: Option<String>,
    /// The same in ns since the Unix epoch.
    ended_ns: Option<u64>,
    /// Why it ended: `idle`, `stopped` or `recovered`.
    end_reason: Option<String>,
    /// Connections open now.
    connections_open: u32,
    /// Connections ever.
    connections_total: u32,
    /// Exchanges that ended.
    exchanges: u64,
    /// Exchanges with an error code, and failed logins.
    errors: u64,
    /// Exchanges refused by Weir.
    refused: u64,
    /// Bytes of requests.
    bytes_in: u64,
    /// Bytes of responses.
    bytes_out: u64,
    /// Records in requests handed to a broker.
    records_written: u64,
    /// Records in responses.
    records_read: u64,
    /// Events without their detail.
    not_captured: u64,
    /// Frames that full recording kept.
    frames: u64,
    /// Bytes of them that are kept.
    frame_bytes: u64,
    /// Bytes of them that were withheld.
    frame_bytes_withheld: u64,
    /// The first topics it touched, as the client named them.
    topics: Vec<String>,
    /// Topics beyond those, each counted once an hour.
    topics_omitted: u64,
}

/// Whether a session goes on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::control) enum SessionState {
    /// A connection is open.
    Open,
    /// None is; a new one within the idle time joins it.
    Idle,
    /// It has ended.
    Ended,
}

/// An event of a session. Further fields depend on `event`; docs/json.md lists them.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes, and is never made")]
pub(in crate::control) struct Event {
    /// Its place.
    id: String,
    /// When, RFC 3339.
    at: String,
    /// The same in ns since the Unix epoch.
    at_ns: u64,
    /// The gateway.
    node: String,
    /// Which start of the gateway.
    boot: u32,
    /// Which of its shards.
    shard: u16,
    /// Which of the shard's connections.
    connection: u64,
    /// The policy under which it happened: its SHA-256; none without one.
    policy_hash: Option<String>,
    /// What happened: `opened`, `identified`, `login_failed`, `exchange`, `not_captured` or `closed`.
    event: String,
}

/// An event, and whose it is.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes, and is never made")]
pub(in crate::control) struct EventOfSession {
    /// Whose.
    session: EventSession,
    /// What happened.
    #[serde(flatten)]
    event: Event,
}

/// Whose an event is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes, and is never made")]
pub(in crate::control) struct EventSession {
    /// The session.
    id: String,
    /// Who.
    identity: Identity,
    /// The client id of its connections, as the client sent it.
    client_id: Option<String>,
    /// The address of its connections.
    client_address: String,
}

/// How an exchange ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::control) enum Outcome {
    /// The broker answered.
    Answered,
    /// By protocol there is no answer.
    NoAnswer,
    /// Weir answered itself.
    AnsweredHere,
    /// Weir refused it.
    Refused,
    /// The connection ended before an answer.
    Unknown,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::event::{ConnectionNo, EventKind, SessionId};
    use crate::policy::{Scopes, TokenRequest};
    use crate::recorder::{
        EndReason, EventCursor, FollowedEvent, FollowedSession, PolicyHash, RecordedEvent, Rfc3339,
        SessionState as State, SessionSummary,
    };

    fn read<T: for<'de> Deserialize<'de>>(answer: &Value) {
        serde_json::from_value::<T>(answer.clone()).unwrap_or_else(|e| panic!("{e}: {answer}"));
    }

    #[test]
    fn every_field_of_an_answer_is_described() {
        let identity = crate::event::Identity {
            issuer: "weir".into(),
            subject: "ann".into(),
            groups: vec!["dev".into()],
            mechanism: crate::event::Mechanism::PlainToken,
        };
        let session = SessionSummary {
            id: SessionId::from_u64(7),
            identity,
            client_id: None,
            client_address: "127.0.0.1".parse().unwrap(),
            listeners: vec!["main".into()],
            state: State::Ended,
            started: Rfc3339(1),
            started_ns: 1,
            last_activity: Rfc3339(2),
            last_activity_ns: 2,
            ended: Some(Rfc3339(3)),
            ended_ns: Some(3),
            end_reason: Some(EndReason::Idle),
            connections_open: 0,
            connections_total: 1,
            exchanges: 1,
            errors: 0,
            refused: 0,
            bytes_in: 1,
            bytes_out: 1,
            records_written: 0,
            records_read: 0,
            not_captured: 0,
            frames: 0,
            frame_bytes: 0,
            frame_bytes_withheld: 0,
            topics: vec!["orders".into()],
            topics_omitted: 0,
        };
        read::<Session>(&json!(session));
        let event = RecordedEvent {
            id: EventCursor::at(5),
            at: Rfc3339(5),
            at_ns: 5,
            node: "n".into(),
            boot: 1,
            shard: 0,
            connection: ConnectionNo(1),
            policy_hash: PolicyHash([0; 32]),
            kind: EventKind::NotCaptured { events: 1 },
        };
        read::<Event>(&json!(event));
        let whose = FollowedSession {
            id: session.id,
            identity: session.identity,
            client_id: session.client_id,
            client_address: session.client_address,
        };
        read::<EventOfSession>(&json!(FollowedEvent { session: whose, event }));
        read::<Person>(&json!(crate::policy::Person::new("weir", "ann")));
    }

    #[test]
    fn a_scope_is_described_as_tokens_take_it() {
        let text = json!({ "topics": ["orders.*"], "consumer_groups": ["g"], "transactional_ids": ["t"], "operations": ["read"] });
        read::<Scope>(&text);
        let request = TokenRequest {
            subject: "ann".into(),
            groups: Vec::new(),
            ttl_ns: 1,
            minted_by: String::new(),
            minter: None,
            scope: serde_json::from_value(text).unwrap(),
        };
        let minted = request.mint(&zeroize::Zeroizing::new([7; crate::policy::TOKEN_RANDOM_BYTES]), 1).unwrap();
        let Scopes(scopes) = minted.record.scopes.unwrap();
        scopes.iter().for_each(|scope| read::<Scope>(&json!(scope)));
    }
}
