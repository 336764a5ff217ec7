//! `limits`: what clients may take from a gateway, with the reason for each default.

use std::time::Duration;

use super::reader::{Reader, Section};
use super::value;

/// What clients may take. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Client connections of the whole gateway; each costs two sockets.
    pub connections: u64,
    /// Client connections of one identity, so that one of them cannot shut out the others.
    pub connections_per_identity: u64,
    /// The largest frame taken from a client; Kafka's own `socket.request.max.bytes` by default.
    pub frame_bytes: u64,
    /// The largest request that is gathered in memory because a rule needs it whole; others are relayed in pieces.
    pub gathered_request_bytes: u64,
    /// Request bytes in flight on one shard; at the limit it stops reading from clients.
    pub request_budget_bytes: u64,
    /// Response bytes in flight on one shard: a budget of their own, since responses are what frees requests.
    pub response_budget_bytes: u64,
    /// How long a client may take from connecting to being logged in.
    pub handshake: Duration,
    /// How long a connection may be silent; Kafka's own `connections.max.idle.ms` by default.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_identity: 2_000,
            frame_bytes: 100 << 20,
            gathered_request_bytes: 8 << 20,
            request_budget_bytes: 64 << 20,
            response_budget_bytes: 64 << 20,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(600),
        }
    }
}

const KEYS: &[&str] = &[
    "connections",
    "connections_per_identity",
    "frame_bytes",
    "gathered_request_bytes",
    "request_budget_bytes",
    "response_budget_bytes",
    "handshake",
    "idle",
];

pub(super) fn read(root: &Section<'_>, reader: &mut Reader) -> Option<Limits> {
    let default = Limits::default();
    let Some(node) = root.node("limits") else {
        return Some(default);
    };
    let section = reader.section(node, "limits", KEYS, &[])?;
    let count = || value::whole(1, 10_000_000);
    let connections = section.or(reader, "connections", default.connections, count());
    let per_identity = section.or(
        reader,
        "connections_per_identity",
        default.connections_per_identity,
        count(),
    );
    // A length on the wire is a signed 32-bit number.
    let frame = section.or(
        reader,
        "frame_bytes",
        default.frame_bytes,
        value::size("64KiB", "2047MiB"),
    );
    let gathered_size = value::size("64KiB", "1GiB");
    let gathered = section.or(
        reader,
        "gathered_request_bytes",
        default.gathered_request_bytes,
        gathered_size,
    );
    let budget = || value::size("1MiB", "64GiB");
    let requests = section.or(
        reader,
        "request_budget_bytes",
        default.request_budget_bytes,
        budget(),
    );
    let responses = section.or(
        reader,
        "response_budget_bytes",
        default.response_budget_bytes,
        budget(),
    );
    let handshake = section.or(
        reader,
        "handshake",
        default.handshake,
        value::duration("100ms", "10m"),
    );
    let idle = section.or(reader, "idle", default.idle, value::duration("1s", "7d"));
    fits(&section, reader, gathered, requests)?;
    Some(Limits {
        connections: connections?,
        connections_per_identity: per_identity?,
        frame_bytes: frame?,
        gathered_request_bytes: gathered?,
        request_budget_bytes: requests?,
        response_budget_bytes: responses?,
        handshake: handshake?,
        idle: idle?,
    })
}

/// A request that may be gathered must fit the budget it is taken from, else it would wait for ever.
fn fits(
    section: &Section<'_>,
    reader: &mut Reader,
    gathered: Option<u64>,
    budget: Option<u64>,
) -> Option<()> {
    if gathered? <= budget? {
        return Some(());
    }
    let node = section
        .node("gathered_request_bytes")
        .or(section.node("request_budget_bytes"));
    let what = format!(
        "limits.gathered_request_bytes: found {} bytes; expected at most request_budget_bytes, {} bytes",
        gathered?, budget?
    );
    reader.report(node.map_or(section.at, |node| node.at), what);
    None
}
