//! A session's events in order, read from its blocks as they are asked for.
//!
//! Blocks of several shards overlap in time; events are merged by time, and among equals by shard, block and place, which
//! keeps each connection's own order.
//!
//! Invariants:
//! - Any event can be gone on from: its cursor names its place for good, whatever is recorded later.
//! - Memory is bounded by the blocks that overlap at one moment, not by the session's length.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::error::RecorderError;
use super::keys::BlockKey;
use super::rows::{BlockKind, SessionRow};
use super::session_blocks::{BlockOfSession, SessionBlocks};
use super::store::{Family, Store};
use super::summary::Rfc3339;
use crate::event::block::{Block, BlockHeader};
use crate::event::{ConnectionNo, Event, EventKind, Outcome, RequestPart, ResponsePart, SessionId};

/// The place of an event among all of its node's. The default is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventCursor {
    at_ns: u64,
    boot: u32,
    shard: u16,
    sequence: u32,
    /// From 1 within its block.
    place: u32,
}

impl EventCursor {
    /// Before all events that happened at `at_ns` or later.
    pub fn at(at_ns: u64) -> EventCursor {
        EventCursor { at_ns, ..EventCursor::default() }
    }

    /// When its event happened, ns since the Unix epoch.
    pub fn at_ns(&self) -> u64 {
        self.at_ns
    }
}

impl fmt::Display for EventCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EventCursor { at_ns, boot, shard, sequence, place } = self;
        write!(f, "{at_ns:x}-{boot:x}-{shard:x}-{sequence:x}-{place:x}")
    }
}

impl FromStr for EventCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<u64> = text.split('-').map_while(|part| u64::from_str_radix(part, 16).ok()).collect();
        let read = || {
            let [at_ns, boot, shard, sequence, place] = *parts.as_slice() else {
                return None;
            };
            let (boot, shard) = (boot.try_into().ok()?, shard.try_into().ok()?);
            Some(EventCursor { at_ns, boot, shard, sequence: sequence.try_into().ok()?, place: place.try_into().ok()? })
        };
        read().ok_or_else(|| format!("'{text}' is no event id; `weir show --json` prints them"))
    }
}

impl Serialize for EventCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which policy was in force: the SHA-256 of its file; zeros without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyHash(pub [u8; 32]);

impl fmt::Display for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for PolicyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == [0; 32] { serializer.serialize_none() } else { serializer.collect_str(self) }
    }
}

/// An event as it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordedEvent {
    /// Its place, from which reading can go on.
    pub id: EventCursor,
    /// When.
    pub at: Rfc3339,
    /// The same in ns since the Unix epoch.
    pub at_ns: u64,
    /// The gateway.
    pub node: String,
    /// Which start of the gateway.
    pub boot: u32,
    /// Which of its shards.
    pub shard: u16,
    /// Which of the shard's connections.
    pub connection: ConnectionNo,
    /// The policy under which it happened.
    pub policy_hash: PolicyHash,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Reads a session's events after `from`, in order.
pub(super) struct EventReader<'a> {
    store: &'a Store,
    session: SessionId,
    from: EventCursor,
    blocks: SessionBlocks<'a>,
    ready: BTreeMap<EventCursor, RecordedEvent>,
}

impl<'a> EventReader<'a> {
    pub(super) fn new(store: &'a Store, row: &SessionRow, from: EventCursor) -> Result<EventReader<'a>, RecorderError> {
        let blocks = SessionBlocks::new(store, row, BlockKind::Events, from.at_ns)?;
        Ok(EventReader { store, session: row.id, from, blocks, ready: BTreeMap::new() })
    }

    /// The next event.
    pub(super) fn next(&mut self) -> Result<Option<RecordedEvent>, RecorderError> {
        loop {
            let next_block_ns = self.blocks.peek_ns()?;
            let is_next = |at_ns| next_block_ns.is_none_or(|first_ns| at_ns < first_ns);
            if let Some(entry) = self.ready.first_entry().filter(|entry| is_next(entry.key().at_ns)) {
                return Ok(Some(entry.remove()));
            }
            match self.blocks.next()? {
                Some(block) => self.open(&block)?,
                None => return Ok(None),
            }
        }
    }

    /// Makes the session's events of a block ready.
    fn open(&mut self, wanted: &BlockOfSession) -> Result<(), RecorderError> {
        // A day that retention has just dropped takes its blocks along.
        let Some(bytes) = self.store.get(Family::Blocks(wanted.key.day()), &wanted.key.encode())? else {
            return Ok(());
        };
        let block = Block::parse(&bytes).map_err(RecorderError::damaged("block"))?;
        let ours = wanted.connections(self.session, &block.header.connections);
        let events = block.events().map_err(RecorderError::damaged("block"))?;
        for (event, place) in events.zip(1u32..) {
            let event = event.map_err(RecorderError::damaged("block"))?;
            if !ours.contains(&event.connection) {
                continue;
            }
            let event = recorded(event, &wanted.key, place, &block.header);
            if event.id > self.from {
                self.ready.insert(event.id, event);
            }
        }
        Ok(())
    }
}

/// An event with its place: the `place`th of the block with this header, from 1.
pub(super) fn recorded(event: Event, block: &BlockKey, place: u32, header: &BlockHeader) -> RecordedEvent {
    let BlockKey { boot, shard, sequence, .. } = *block;
    let Event { connection, at_ns, kind } = event;
    let id = EventCursor { at_ns, boot, shard, sequence, place };
    let (node, policy_hash) = (header.node.clone(), PolicyHash(header.policy_hash));
    RecordedEvent { id, at: Rfc3339(at_ns), at_ns, node, boot, shard, connection, policy_hash, kind }
}

/// Which exchange: connection of shard of boot, and its ordinal.
type ExchangeKey = (u32, u16, ConnectionNo, u64);

/// Joins each note with the exchange it belongs to, in the notes' place.
pub(super) struct JoinedReader<'a> {
    events: EventReader<'a>,
    waiting: VecDeque<RecordedEvent>,
    answers: BTreeMap<ExchangeKey, ResponsePart>,
    closed: BTreeSet<(u32, u16, ConnectionNo)>,
    notes: BTreeSet<ExchangeKey>,
}

impl<'a> JoinedReader<'a> {
    pub(super) fn new(events: EventReader<'a>) -> JoinedReader<'a> {
        let (waiting, answers) = (VecDeque::new(), BTreeMap::new());
        JoinedReader { events, waiting, answers, closed: BTreeSet::new(), notes: BTreeSet::new() }
    }

    /// The next event; a note comes as its exchange, with outcome unknown where no answer was recorded.
    pub(super) fn next(&mut self) -> Result<Option<RecordedEvent>, RecorderError> {
        loop {
            match self.waiting.front() {
                Some(front) if self.is_settled(front) => return Ok(self.release()),
                _ => {}
            }
            match self.events.next()? {
                Some(event) => self.take_in(event),
                None => return Ok(self.release()),
            }
        }
    }

    fn is_settled(&self, event: &RecordedEvent) -> bool {
        let EventKind::Noted { ordinal, .. } = event.kind else {
            return true;
        };
        let connection = (event.boot, event.shard, event.connection);
        self.answers.contains_key(&(event.boot, event.shard, event.connection, ordinal))
            || self.closed.contains(&connection)
    }

    fn take_in(&mut self, event: RecordedEvent) {
        let RecordedEvent { boot, shard, connection, .. } = event;
        match event.kind {
            EventKind::Exchange { ordinal, request: None, response } => {
                // The answer to a note before the place from which reading began was shown there.
                if self.notes.contains(&(boot, shard, connection, ordinal)) {
                    self.answers.insert((boot, shard, connection, ordinal), response);
                }
                return;
            }
            EventKind::Noted { ordinal, .. } => {
                self.notes.insert((boot, shard, connection, ordinal));
            }
            EventKind::Closed { .. } => {
                self.closed.insert((boot, shard, connection));
            }
            _ => {}
        }
        self.waiting.push_back(event);
    }

    fn release(&mut self) -> Option<RecordedEvent> {
        let mut event = self.waiting.pop_front()?;
        let connection = (event.boot, event.shard, event.connection);
        match &mut event.kind {
            EventKind::Noted { ordinal, request } => {
                let key = (event.boot, event.shard, event.connection, *ordinal);
                self.notes.remove(&key);
                let unknown = || ResponsePart { outcome: Outcome::Unknown, ..ResponsePart::default() };
                let response = self.answers.remove(&key).unwrap_or_else(unknown);
                let (ordinal, request): (u64, RequestPart) = (*ordinal, std::mem::take(request));
                event.kind = EventKind::Exchange { ordinal, request: Some(request), response };
            }
            EventKind::Closed { .. } => {
                self.closed.remove(&connection);
            }
            _ => {}
        }
        Some(event)
    }
}
