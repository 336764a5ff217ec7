//! What an event of the recording says: who did which operation on which resource, where, how much, with what outcome.
//!
//! No protocol's frames appear here; an API is a number and a version, everything else is in the vocabulary below. The
//! encoding (`codec`) and the block (`block`) are format-versioned, so that a recording outlives the gateway that made it.
//!
//! Invariants:
//! - An event never holds a secret: a handshake says that one was there (`RequestPart::secret_withheld`), nothing more.
//! - Times are nanoseconds since the Unix epoch and never step back within a connection.
//! - `Noted` and `Exchange` of one exchange carry the same `ordinal`; an exchange that was noted carries its request part
//!   in the note only.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub mod block;
pub mod codec;
pub mod entry;
pub mod piece;
pub mod piece_block;
pub mod session_id;
pub mod varint;

pub use session_id::SessionId;

/// One client connection as its shard counts it; unique with node, boot and shard, which the journal and block carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConnectionNo(pub u64);

/// Who: the outcome of a login.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Identity {
    /// Who vouches: `anonymous`, `weir` (tokens issued here), an identity provider's issuer URL, or `certificate`.
    pub issuer: String,
    /// The person or service; `anonymous` where the listener lets anybody in.
    pub subject: String,
    /// Groups as the issuer states them, sorted.
    pub groups: Vec<String>,
    /// How it was proven.
    pub mechanism: Mechanism,
}

/// How an identity was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Mechanism {
    /// Not at all: the listener says `anonymous`.
    Anonymous = 0,
    /// SASL/PLAIN with a token that Weir issued.
    PlainToken = 1,
    /// SCRAM with a token that Weir issued.
    ScramToken = 2,
    /// A JWT of an identity provider, in SASL/OAUTHBEARER or SASL/PLAIN.
    Jwt = 3,
    /// The certificate of a mutual TLS handshake.
    Certificate = 4,
}

impl Mechanism {
    /// The mechanism of a stored number.
    pub fn from_number(number: u64) -> Option<Mechanism> {
        Some(match number {
            0 => Mechanism::Anonymous,
            1 => Mechanism::PlainToken,
            2 => Mechanism::ScramToken,
            3 => Mechanism::Jwt,
            4 => Mechanism::Certificate,
            _ => return None,
        })
    }
}

/// One entry of the recording, as a shard appends it to its journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The connection it happened on.
    pub connection: ConnectionNo,
    /// When, in ns since the Unix epoch.
    pub at_ns: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A client's TCP connection was accepted.
    Opened {
        /// The configured listener's name.
        listener: String,
        /// The client's address.
        peer: SocketAddr,
        /// The broker this port stands for; none on the bootstrap address.
        broker: Option<i32>,
    },
    /// The connection is bound to who it acts for; from here on it belongs to a session.
    Identified {
        /// Who.
        identity: Identity,
        /// The client id of the first request after login.
        client_id: Option<String>,
    },
    /// A login failed.
    LoginFailed {
        /// The SASL mechanism's name as the client sent it (at most 64 bytes kept).
        mechanism: String,
        /// The subject that was claimed, where one was stated.
        claimed: Option<String>,
        /// Why, in words fit for an operator; never a secret.
        reason: String,
    },
    /// A request that changes something is about to be forwarded (written before its last byte leaves).
    Noted {
        /// Counts the connection's exchanges from 0.
        ordinal: u64,
        /// What was asked.
        request: RequestPart,
    },
    /// An exchange ended: answered by the broker, answered here, or left without an answer.
    Exchange {
        /// Counts the connection's exchanges from 0.
        ordinal: u64,
        /// What was asked; none when a `Noted` of the same ordinal says it.
        request: Option<RequestPart>,
        /// What came of it.
        response: ResponsePart,
    },
    /// An exchange was held for approval, or it was decided what becomes of it.
    Held {
        /// Counts the connection's exchanges from 0.
        ordinal: u64,
        /// The access request.
        request: String,
        /// What came of it so far.
        stage: HeldStage,
    },
    /// Detail that was not captured, because of overload or a failure of the recording itself.
    NotCaptured {
        /// How many events.
        events: u64,
    },
    /// The connection ended.
    Closed {
        /// Why.
        reason: CloseReason,
        /// Bytes read from the client.
        bytes_in: u64,
        /// Bytes written to the client.
        bytes_out: u64,
    },
}

/// The request's side of an exchange.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RequestPart {
    /// API key, as the protocol numbers it.
    pub api_key: i16,
    /// API version.
    pub api_version: i16,
    /// Correlation id.
    pub correlation_id: i32,
    /// Frame size with its length prefix, bytes.
    pub bytes: u64,
    /// What it touches, in the request's order; at most `limits::EVENT_ITEMS_MAX`.
    pub items: Vec<Item>,
    /// Items beyond the limit, counted only.
    pub items_omitted: u32,
    /// The frame carried a secret, which was left out.
    pub secret_withheld: bool,
}

/// The response's side of an exchange.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ResponsePart {
    /// How it ended.
    pub outcome: Outcome,
    /// Frame size with its length prefix, bytes; 0 without a response.
    pub bytes: u64,
    /// Top-level error code, 0 for none.
    pub error_code: i16,
    /// Outcomes per item: positions, counts, errors. Where the request named the same topic and partition, equal to it.
    pub items: Vec<Item>,
    /// Items beyond the limit, counted only.
    pub items_omitted: u32,
    /// Throttle time the broker asked for, ms.
    pub throttle_ms: u32,
    /// Where the time went.
    pub latency: Latency,
}

/// What came of an exchange that was held for approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum HeldStage {
    /// Reviewers are asked, and the client waits.
    Asked = 0,
    /// A use of a grant was claimed for it: it goes on.
    Granted = 1,
    /// A reviewer said no.
    Denied = 2,
    /// Nobody decided while the client waited.
    Undecided = 3,
    /// The client has gone meanwhile: nothing of it is done.
    Gone = 4,
}

impl HeldStage {
    /// The stage of a stored number.
    pub fn from_number(number: u64) -> Option<HeldStage> {
        Some(match number {
            0 => HeldStage::Asked,
            1 => HeldStage::Granted,
            2 => HeldStage::Denied,
            3 => HeldStage::Undecided,
            4 => HeldStage::Gone,
            _ => return None,
        })
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Outcome {
    /// The broker answered and the answer was passed on.
    #[default]
    Answered = 0,
    /// Forwarded; by protocol there is no answer (`acks=0`).
    NoAnswer = 1,
    /// Answered by Weir itself (ApiVersions, login).
    AnsweredHere = 2,
    /// Refused by Weir: never forwarded.
    Refused = 3,
    /// Forwarded, and the connection ended before an answer: what the broker did is unknown.
    Unknown = 4,
}

/// Where an exchange's time went, ns each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Latency {
    /// Waiting for the client: its request's bytes coming in, its socket taking the answer.
    pub client_ns: u64,
    /// Weir's own.
    pub weir_ns: u64,
    /// From the request's last byte going out to the answer's last byte coming in.
    pub broker_ns: u64,
}

/// One resource that an exchange touches.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Item {
    /// What kind of resource.
    pub resource: Resource,
    /// Its name; the UUID's text for a topic whose id could not be resolved.
    pub name: String,
    /// Partition, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// Offset: asked for, written at, or read from; which one the API says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Records written or read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u32>,
    /// Record bytes written or read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Error code of this item, 0 for none.
    pub error_code: i16,
}

/// Kinds of resource, in Kafka's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Resource {
    /// A topic.
    #[default]
    Topic = 0,
    /// A consumer, share or streams group.
    Group = 1,
    /// A transactional id.
    TransactionalId = 2,
    /// The cluster.
    Cluster = 3,
    /// A broker, by node id.
    Broker = 4,
    /// A user (credentials, quotas).
    User = 5,
    /// A delegation token.
    DelegationToken = 6,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum CloseReason {
    /// The client closed it.
    Client = 0,
    /// The broker closed its side.
    Upstream = 1,
    /// Bytes that are not Kafka, or not lawful Kafka.
    Malformed = 2,
    /// Login failed, expired or was revoked.
    Authentication = 3,
    /// Idle for too long.
    Idle = 4,
    /// A limit was reached.
    Limit = 5,
    /// The gateway is stopping.
    Drained = 6,
    /// A fault of Weir's own.
    Internal = 7,
    /// No broker could be reached or logged in to.
    UpstreamUnreachable = 8,
    /// A request that may not be forwarded and has no error answer.
    Refused = 9,
}
