//! The keys of every column family. All numbers are big-endian, so that keys sort as what they mean.
//!
//! | family | key | value |
//! |---|---|---|
//! | `sessions` | session | the session's row |
//! | `blocks-YYYYMMDD` | time of the first event or piece, boot, shard, sequence | the block |
//! | `by_session`, `frames_by_session` | day, session, block's key, for a late connection its number | span, count |
//! | `by_time` | hour, session | - |
//! | `by_identity`, `by_topic` | hour, name with its length, session | - |
//! | `by_address` | hour, address in IPv6's form, session | - |
//! | `live` | `c`, boot, shard, connection; or `s`, session | an open connection's row; - |
//! | `meta` | a name | schema, boots, journals' positions |
//! | `access` | `look/`, time; others are the caller's | who looked; the caller's |
//!
//! Invariants:
//! - A day's index rows stand together, so that retention drops them as ranges.
//! - Block keys sort by time; an index row by session and day leads to exactly its blocks.

use std::net::Ipv6Addr;

use crate::event::{ConnectionNo, SessionId};

/// Nanoseconds of an hour.
pub const HOUR_NS: u64 = 3_600_000_000_000;
/// Nanoseconds of a day.
pub const DAY_NS: u64 = HOURS_PER_DAY as u64 * HOUR_NS;
/// Hours of a day.
pub const HOURS_PER_DAY: u32 = 24;

/// A day since the Unix epoch, UTC.
pub fn day_of(at_ns: u64) -> u32 {
    (at_ns / DAY_NS) as u32
}

/// An hour since the Unix epoch.
pub fn hour_of(at_ns: u64) -> u32 {
    (at_ns / HOUR_NS) as u32
}

/// A block's key. Sorts by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockKey {
    /// The earliest event's time, ns since the Unix epoch.
    pub first_ns: u64,
    /// Which start of the gateway.
    pub boot: u32,
    /// Which shard.
    pub shard: u16,
    /// Which of the shard's blocks.
    pub sequence: u32,
}

impl BlockKey {
    /// Its bytes.
    pub const BYTES: usize = 18;

    /// The day whose family holds the block.
    pub fn day(&self) -> u32 {
        day_of(self.first_ns)
    }

    /// As stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(Self::BYTES);
        key.extend_from_slice(&self.first_ns.to_be_bytes());
        key.extend_from_slice(&self.boot.to_be_bytes());
        key.extend_from_slice(&self.shard.to_be_bytes());
        key.extend_from_slice(&self.sequence.to_be_bytes());
        key
    }

    /// From its bytes.
    pub fn decode(bytes: &[u8]) -> Option<BlockKey> {
        let (first_ns, rest) = bytes.split_first_chunk()?;
        let (boot, rest) = rest.split_first_chunk()?;
        let (shard, rest) = rest.split_first_chunk()?;
        let (sequence, _) = rest.split_first_chunk()?;
        Some(BlockKey {
            first_ns: u64::from_be_bytes(*first_ns),
            boot: u32::from_be_bytes(*boot),
            shard: u16::from_be_bytes(*shard),
            sequence: u32::from_be_bytes(*sequence),
        })
    }
}

/// One connection of one shard of one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey {
    /// Which start of the gateway.
    pub boot: u32,
    /// Which shard.
    pub shard: u16,
    /// Which of the shard's connections.
    pub connection: ConnectionNo,
}

/// The first byte of `live` keys of connections.
pub const LIVE_CONNECTION: u8 = b'c';
/// The first byte of `live` keys of sessions.
pub const LIVE_SESSION: u8 = b's';

/// A connection in `live`.
pub fn live_connection(key: &ConnectionKey) -> Vec<u8> {
    let mut out = vec![LIVE_CONNECTION];
    out.extend_from_slice(&key.boot.to_be_bytes());
    out.extend_from_slice(&key.shard.to_be_bytes());
    out.extend_from_slice(&key.connection.0.to_be_bytes());
    out
}

/// The way back from [`live_connection`].
pub fn live_connection_of(key: &[u8]) -> Option<ConnectionKey> {
    let (boot, rest) = key.strip_prefix(&[LIVE_CONNECTION])?.split_first_chunk()?;
    let (shard, rest) = rest.split_first_chunk()?;
    Some(ConnectionKey {
        boot: u32::from_be_bytes(*boot),
        shard: u16::from_be_bytes(*shard),
        connection: ConnectionNo(u64::from_be_bytes(*rest.first_chunk()?)),
    })
}

/// An open session in `live`.
pub fn live_session(id: SessionId) -> Vec<u8> {
    let mut out = vec![LIVE_SESSION];
    out.extend_from_slice(&session(id));
    out
}

/// A session's row.
pub fn session(id: SessionId) -> [u8; 8] {
    id.as_u64().to_be_bytes()
}

/// The session that a key ends with.
pub fn session_at_end(key: &[u8]) -> Option<SessionId> {
    key.last_chunk().map(|bytes| SessionId::from_u64(u64::from_be_bytes(*bytes)))
}

/// The start of all rows of an hour.
pub fn hour(hour: u32) -> Vec<u8> {
    hour.to_be_bytes().to_vec()
}

/// The hour a key starts with.
pub fn hour_at_start(key: &[u8]) -> Option<u32> {
    key.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// A name with its length, as it follows the hour.
pub fn name(name: &str) -> Vec<u8> {
    let mut out = (name.len() as u16).to_be_bytes().to_vec();
    out.extend_from_slice(name.as_bytes());
    out
}

/// The name behind the hour that a key starts with: with its length, as [`name`] makes it, and as text.
pub fn name_after_hour(key: &[u8]) -> Option<(Vec<u8>, String)> {
    let rest = key.get(4..)?;
    let (length, text) = rest.split_first_chunk()?;
    let text = text.get(..usize::from(u16::from_be_bytes(*length)))?;
    Some((rest.get(..2 + text.len())?.to_vec(), String::from_utf8_lossy(text).into_owned()))
}

/// The start of all rows of a name in an hour.
pub fn hour_and_name(hour: u32, name: &str) -> Vec<u8> {
    let mut out = self::hour(hour);
    out.extend_from_slice(&self::name(name));
    out
}

/// The start of all rows of a client address in an hour.
pub fn hour_and_address(hour: u32, address: Ipv6Addr) -> Vec<u8> {
    let mut out = self::hour(hour);
    out.extend_from_slice(&address.octets());
    out
}

/// A session behind a prefix.
pub fn with_session(mut prefix: Vec<u8>, id: SessionId) -> Vec<u8> {
    prefix.extend_from_slice(&session(id));
    prefix
}

/// The start of all blocks of a session on a day.
pub fn day_and_session(day: u32, id: SessionId) -> Vec<u8> {
    with_session(day.to_be_bytes().to_vec(), id)
}

/// A block of a session. A late connection is one that the block's own table does not give to the session.
pub fn block_of_session(id: SessionId, block: &BlockKey, late: Option<ConnectionNo>) -> Vec<u8> {
    let mut out = day_and_session(block.day(), id);
    out.extend_from_slice(&block.encode());
    if let Some(connection) = late {
        out.extend_from_slice(&connection.0.to_be_bytes());
    }
    out
}

/// The way back from [`block_of_session`].
pub fn block_of_session_of(key: &[u8]) -> Option<(BlockKey, Option<ConnectionNo>)> {
    let rest = key.get(12..)?;
    let late = rest.get(BlockKey::BYTES..)?.first_chunk().map(|bytes| ConnectionNo(u64::from_be_bytes(*bytes)));
    Some((BlockKey::decode(rest)?, late))
}

/// What the keys in `access` begin with that say who looked at the recording; their time follows.
pub const LOOK: &[u8] = b"look/";

/// A look in `access`; its time, ns since the Unix epoch, is its own.
pub fn look(at_ns: u64) -> Vec<u8> {
    [LOOK, &at_ns.to_be_bytes()].concat()
}

/// The first key after all that start with `prefix`; none when nothing can follow.
pub fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut out = prefix[..=last].to_vec();
    out[last] += 1;
    Some(out)
}

/// Where `meta` keeps how far a journal was taken over.
pub fn journal(epoch: u64) -> Vec<u8> {
    let mut out = b"journal/".to_vec();
    out.extend_from_slice(&epoch.to_be_bytes());
    out
}

/// Where `meta` keeps the schema version.
pub const SCHEMA: &[u8] = b"schema";
/// Where `meta` keeps the day from which on a store that began under the first schema holds what the second added.
pub const SECOND_SCHEMA_FROM: &[u8] = b"second-schema-from";
/// Where `meta` keeps the number of the latest start.
pub const BOOT: &[u8] = b"boot";
/// Where `meta` keeps how long after its last connection a session ends, ns: what was recorded is taken over by the rule
/// that was in force, whatever the next start is configured to.
pub const SESSION_IDLE: &[u8] = b"session-idle";
/// Where `meta` keeps the last session id handed out.
pub const LAST_SESSION: &[u8] = b"last-session";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_come_back() {
        let block = BlockKey { first_ns: 1_800_000_000_000_000_000, boot: 7, shard: 3, sequence: 9 };
        let id = SessionId::next(block.first_ns, None);
        for late in [None, Some(ConnectionNo(5))] {
            assert_eq!(block_of_session_of(&block_of_session(id, &block, late)), Some((block, late)));
        }
        let connection = ConnectionKey { boot: 1, shard: 2, connection: ConnectionNo(3) };
        assert_eq!(live_connection_of(&live_connection(&connection)), Some(connection));
        assert_eq!(session_at_end(&with_session(hour_and_name(9, "orders"), id)), Some(id));
    }

    #[test]
    fn the_end_of_a_prefix_is_behind_all_that_start_with_it() {
        assert_eq!(after(b"ab").unwrap(), b"ac");
        assert_eq!(after(&[1, 255]).unwrap(), [2]);
        assert_eq!(after(&[255, 255]), None);
    }
}
