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
    pub request_frame_bytes: u64,
    /// The largest request that is gathered in memory because a rule needs it whole; others are relayed in pieces.
    pub gathered_request_bytes: u64,
    /// How long a client may take from connecting to being logged in.
    pub handshake: Duration,
    /// How long a request may take to come in while bytes of it are held; so a client that sends a byte a second ends.
    pub request: Duration,
    /// How long a connection may be silent; Kafka's own `connections.max.idle.ms` by default.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_identity: 2_000,
            request_frame_bytes: 100 << 20,
            gathered_request_bytes: 16 << 20,
            handshake: Duration::from_secs(10),
            request: Duration::from_secs(30),
            idle: Duration::from_secs(600),
        }
    }
}

const KEYS: &[&str] = &[
    "connections",
    "connections_per_identity",
    "request_frame_bytes",
    "gathered_request_bytes",
    "handshake",
    "request",
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
    let per_identity = section.or(reader, "connections_per_identity", default.connections_per_identity, count());
    // A length on the wire is a signed 32-bit number.
    let frame = section.or(reader, "request_frame_bytes", default.request_frame_bytes, value::size("64KiB", "2047MiB"));
    // A shard gathers within a budget of 64 MiB; no frame may take more than half of it, or one could stop all others.
    let gathered_size = value::size("64KiB", "32MiB");
    let gathered = section.or(reader, "gathered_request_bytes", default.gathered_request_bytes, gathered_size);
    let handshake = section.or(reader, "handshake", default.handshake, value::duration("100ms", "10m"));
    let request = section.or(reader, "request", default.request, value::duration("100ms", "10m"));
    let idle = section.or(reader, "idle", default.idle, value::duration("1s", "7d"));
    Some(Limits {
        connections: connections?,
        connections_per_identity: per_identity?,
        request_frame_bytes: frame?,
        gathered_request_bytes: gathered?,
        handshake: handshake?,
        request: request?,
        idle: idle?,
    })
}
