//! A session as it is shown to people and programs.

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::rows::{EndReason, SessionRow};
use crate::event::{Identity, SessionId};

/// A time in ns since the Unix epoch, written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rfc3339(pub u64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(self.0.into()) {
            Ok(time) => f.pad(&time.to_string()),
            Err(_) => write!(f, "{} ns", self.0),
        }
    }
}

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether a session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// A connection is open.
    Open,
    /// No connection is open; a new one within the idle time joins it.
    Idle,
    /// It has ended.
    Ended,
}

/// What one identity did through one client id from one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionSummary {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub identity: Identity,
    /// The client id of its connections.
    pub client_id: Option<String>,
    /// The address of its connections.
    pub client_address: IpAddr,
    /// The listeners it came through.
    pub listeners: Vec<String>,
    /// Whether it goes on.
    pub state: SessionState,
    /// When its first connection was accepted.
    pub started: Rfc3339,
    /// The same in ns since the Unix epoch.
    pub started_ns: u64,
    /// Its latest event.
    pub last_activity: Rfc3339,
    /// The same in ns since the Unix epoch.
    pub last_activity_ns: u64,
    /// When it ended.
    pub ended: Option<Rfc3339>,
    /// The same in ns since the Unix epoch.
    pub ended_ns: Option<u64>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// Connections open now.
    pub connections_open: u32,
    /// Connections ever.
    pub connections_total: u32,
    /// Exchanges that ended.
    pub exchanges: u64,
    /// Exchanges with an error code, and failed logins.
    pub errors: u64,
    /// Exchanges refused by Weir.
    pub refused: u64,
    /// Bytes of requests.
    pub bytes_in: u64,
    /// Bytes of responses.
    pub bytes_out: u64,
    /// Records in requests handed to a broker.
    pub records_written: u64,
    /// Records in responses.
    pub records_read: u64,
    /// Events without their detail.
    pub not_captured: u64,
    /// Frames that full recording kept.
    pub frames: u64,
    /// Bytes of them that are kept.
    pub frame_bytes: u64,
    /// Bytes of them that were withheld.
    pub frame_bytes_withheld: u64,
    /// The first topics it touched.
    pub topics: Vec<String>,
    /// Topics beyond those, each counted once an hour.
    pub topics_omitted: u64,
}

impl From<SessionRow> for SessionSummary {
    fn from(row: SessionRow) -> SessionSummary {
        let state = match (&row.end, row.connections_open) {
            (Some(_), _) => SessionState::Ended,
            (None, 0) => SessionState::Idle,
            (None, _) => SessionState::Open,
        };
        SessionSummary {
            id: row.id,
            identity: row.identity,
            client_id: row.client_id,
            client_address: row.client_ip,
            listeners: row.listeners,
            state,
            started: Rfc3339(row.started_ns),
            started_ns: row.started_ns,
            last_activity: Rfc3339(row.last_activity_ns),
            last_activity_ns: row.last_activity_ns,
            ended: row.end.map(|(ended_ns, _)| Rfc3339(ended_ns)),
            ended_ns: row.end.map(|(ended_ns, _)| ended_ns),
            end_reason: row.end.map(|(_, reason)| reason),
            connections_open: row.connections_open,
            connections_total: row.connections_total,
            exchanges: row.tally.exchanges,
            errors: row.tally.errors,
            refused: row.tally.refused,
            bytes_in: row.tally.bytes_in,
            bytes_out: row.tally.bytes_out,
            records_written: row.tally.records_written,
            records_read: row.tally.records_read,
            not_captured: row.tally.not_captured,
            frames: row.tally.frames,
            frame_bytes: row.tally.frame_bytes,
            frame_bytes_withheld: row.tally.frame_bytes_withheld,
            topics: row.topics,
            topics_omitted: row.topics_omitted,
        }
    }
}
