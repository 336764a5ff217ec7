//! From events to rows: the one place where blocks are cut and everything that belongs to them is put together.
//!
//! Invariants:
//! - What [`Assembler::finish`] gives is complete: blocks, their index rows, sessions, open connections and how far each
//!   journal was taken over. Written together, they make every event counted exactly once, whenever the process dies.
//! - The same rows and the same journals give the same result, in a running gateway, at recovery and in the read-only view.

use std::collections::BTreeMap;

use super::error::RecorderError;
use super::journal::JournalHead;
use super::keys::{self, BlockKey, ConnectionKey};
use super::registry::{Registry, block_of_session_value};
use super::rows::{BlockRef, EndReason};
use super::store::{Family, Rows, Store};
use crate::event::block::{BlockBuilder, BlockHeader};
use crate::event::varint::{self, Reader};
use crate::event::{Event, SessionId};
use crate::limits;

/// No policy is in force yet: its hash is zeros.
const NO_POLICY: [u8; 32] = [0; 32];

/// One journal on its way into blocks.
#[derive(Debug)]
struct Lane {
    head: JournalHead,
    builder: BlockBuilder,
    position: u64,
    sequence: u32,
    moved: bool,
}

/// What was done since the last report, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Done {
    pub events: u64,
    pub blocks: u64,
    pub block_bytes: u64,
    pub not_captured: u64,
}

/// Turns events into rows.
#[derive(Debug)]
pub(super) struct Assembler {
    registry: Registry,
    lanes: Vec<Lane>,
    rows: Rows,
    done: Done,
}

impl Assembler {
    /// Goes on from what `store` says.
    pub(super) fn load(store: &Store, idle_ns: u64) -> Result<Assembler, RecorderError> {
        let registry = Registry::load(store, idle_ns)?;
        Ok(Assembler { registry, lanes: Vec::new(), rows: Rows::default(), done: Done::default() })
    }

    /// Adds a journal; the answer is the position from which it must be read.
    pub(super) fn add_journal(&mut self, store: &Store, head: JournalHead) -> Result<u64, RecorderError> {
        let (position, sequence) = match store.get(Family::Meta, &keys::journal(head.epoch))? {
            Some(value) => decode_progress(&value)?,
            None => (0, 0),
        };
        self.lanes.push(Lane { head, builder: BlockBuilder::default(), position, sequence, moved: false });
        Ok(position)
    }

    /// Follows one event of the journal that was added as number `lane`; it ends at `position`.
    pub(super) fn push(&mut self, lane: usize, event: &Event, position: u64) {
        let Some(lane) = self.lanes.get_mut(lane) else {
            return;
        };
        let (boot, shard) = (lane.head.boot, lane.head.shard);
        self.registry.apply(ConnectionKey { boot, shard, connection: event.connection }, event, &mut self.rows);
        lane.builder.push(event);
        lane.position = position;
        lane.moved = true;
        self.done.events += 1;
        if let crate::event::EventKind::NotCaptured { events } = event.kind {
            self.done.not_captured += events;
        }
        if lane.builder.is_full() {
            cut(lane, &mut self.registry, &mut self.rows, &mut self.done);
        }
    }

    /// The journal was read up to `position`, though no event ends there.
    pub(super) fn skip_to(&mut self, lane: usize, position: u64) {
        if let Some(lane) = self.lanes.get_mut(lane).filter(|lane| lane.position < position) {
            lane.position = position;
            lane.moved = true;
        }
    }

    /// True when so much has come together that it should be written.
    pub(super) fn is_full(&self) -> bool {
        self.rows.bytes() >= limits::WRITE_BATCH_BYTES
    }

    /// Ends sessions that have been idle by `now_ns`; all events before must have been pushed.
    pub(super) fn end_idle(&mut self, now_ns: u64) {
        self.registry.end_idle(now_ns, &mut self.rows);
    }

    /// Ends all sessions, after everything was pushed.
    pub(super) fn end_all(&mut self, reason: EndReason, at_ns: Option<u64>) {
        self.cut_all();
        self.registry.end_all(reason, at_ns, &mut self.rows);
    }

    fn cut_all(&mut self) {
        for lane in &mut self.lanes {
            if !lane.builder.is_empty() {
                cut(lane, &mut self.registry, &mut self.rows, &mut self.done);
            }
        }
    }

    /// Closes what is open and gives the rows to be written in one piece.
    pub(super) fn finish(&mut self) -> (Rows, Done) {
        self.cut_all();
        self.registry.flush(&mut self.rows);
        for lane in self.lanes.iter_mut().filter(|lane| lane.moved) {
            lane.moved = false;
            self.rows.put(Family::Meta, keys::journal(lane.head.epoch), encode_progress(lane.position, lane.sequence));
        }
        (std::mem::take(&mut self.rows), std::mem::take(&mut self.done))
    }
}

/// Closes a lane's block: the block, its rows by session and (with the ledger) its leaf go into the same rows.
fn cut(lane: &mut Lane, registry: &mut Registry, rows: &mut Rows, done: &mut Done) {
    let builder = std::mem::take(&mut lane.builder);
    let (first_ns, last_ns) = builder.span_ns();
    let JournalHead { ref node, boot, shard, .. } = lane.head;
    let key = BlockKey { first_ns, boot, shard, sequence: lane.sequence };
    lane.sequence += 1;
    let span_ns = last_ns - first_ns;
    let mut connections = Vec::with_capacity(builder.connections().len());
    let mut events_of: BTreeMap<SessionId, u32> = BTreeMap::new();
    for (connection, events) in builder.connections().iter().copied() {
        let whose = ConnectionKey { boot, shard, connection };
        let session = registry.session_of(&whose);
        connections.push((connection, session));
        match session {
            Some(id) => *events_of.entry(id).or_default() += events,
            None => registry.await_session(whose, BlockRef { key, span_ns, events }, rows),
        }
    }
    let header = BlockHeader {
        node: node.clone(),
        boot,
        shard,
        sequence: key.sequence,
        first_ns,
        last_ns,
        events: builder.events(),
        policy_hash: NO_POLICY,
        connections,
    };
    let block = builder.finish(&header);
    done.blocks += 1;
    done.block_bytes += block.len() as u64;
    rows.put(Family::Blocks(key.day()), key.encode(), block);
    for (id, events) in events_of {
        rows.put(Family::BySession, keys::block_of_session(id, &key, None), block_of_session_value(span_ns, events));
    }
}

fn encode_progress(position: u64, sequence: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(12);
    varint::put(&mut out, position);
    varint::put(&mut out, sequence.into());
    out
}

fn decode_progress(value: &[u8]) -> Result<(u64, u32), RecorderError> {
    let mut reader = Reader::new(value);
    let both = reader.varint().and_then(|position| Ok((position, reader.number("a block's sequence")?)));
    both.map_err(RecorderError::damaged("journal position"))
}
