//! From events to rows: the one place where blocks are cut and everything that belongs to them is put together.
//!
//! Invariants:
//! - What [`Assembler::finish`] gives is complete: blocks, their index rows, sessions, open connections and how far each
//!   journal was taken over. Written together, they make every event counted exactly once, whenever the process dies.
//! - The same rows and the same journals give the same result, in a running gateway, at recovery and in the read-only view.

use std::collections::BTreeMap;

use super::error::RecorderError;
use super::gather::Gathered;
use super::journal::JournalHead;
use super::journal::tail::Taken;
use super::keys::{self, BlockKey, ConnectionKey};
use super::registry::{Registry, block_of_session_value};
use super::rows::{BlockKind, BlockRef, EndReason};
use super::store::{Family, Rows, Store};
use crate::event::block::{BlockBuilder, BlockHeader};
use crate::event::piece::Piece;
use crate::event::piece_block::Packer;
use crate::event::varint::{self, Reader};
use crate::event::{ConnectionNo, Event, EventKind, SessionId};
use crate::limits;

/// The longest span of a block, ns.
const SPAN_NS: u64 = limits::BLOCK_SPAN.as_nanos() as u64;

/// One journal on its way into blocks.
#[derive(Debug)]
struct Lane {
    head: JournalHead,
    builder: BlockBuilder,
    pieces: Gathered,
    position: u64,
    sequence: u32,
    /// Of the policy under which what comes next happened.
    policy_hash: [u8; 32],
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
    packer: Packer,
    rows: Rows,
    done: Done,
}

impl Assembler {
    /// Goes on from what `store` says.
    pub(super) fn load(store: &Store, idle_ns: u64) -> Result<Assembler, RecorderError> {
        let registry = Registry::load(store, idle_ns)?;
        let (packer, rows) = (Packer::default(), Rows::default());
        Ok(Assembler { registry, lanes: Vec::new(), packer, rows, done: Done::default() })
    }

    /// Adds a journal; the answer is the position from which it must be read.
    pub(super) fn add_journal(&mut self, store: &Store, head: JournalHead) -> Result<u64, RecorderError> {
        let progress = match store.get(Family::Meta, &keys::journal(head.epoch))? {
            Some(value) => Progress::decode(&value)?,
            None => Progress::default(),
        };
        let Progress { position, sequence, policy_hash } = progress;
        let policy_hash = policy_hash.unwrap_or(head.policy_hash);
        let (builder, pieces) = (BlockBuilder::default(), Gathered::default());
        self.lanes.push(Lane { head, builder, pieces, position, sequence, policy_hash, moved: false });
        Ok(position)
    }

    /// Follows one entry of the journal that was added as number `lane`; it ends at `position`.
    pub(super) fn push(&mut self, lane: usize, taken: &Taken<'_>, position: u64) {
        let Some(at) = self.lanes.get_mut(lane) else {
            return;
        };
        at.position = position;
        at.moved = true;
        match taken {
            Taken::Event(event) => self.push_event(lane, event),
            Taken::Piece(connection, at_ns, piece) => self.push_piece(lane, *connection, *at_ns, piece),
            Taken::Policy(hash) => self.change_policy(lane, *hash),
        }
    }

    fn push_event(&mut self, lane: usize, event: &Event) {
        let lane = &mut self.lanes[lane];
        if lane.builder.would_span_ns(event.at_ns) > SPAN_NS {
            cut(lane, &mut self.registry, &mut self.rows, &mut self.done);
        }
        let (boot, shard) = (lane.head.boot, lane.head.shard);
        let connection = ConnectionKey { boot, shard, connection: event.connection };
        // A block's connections have one session each: what was done before a login changed it belongs to the one before.
        if matches!(event.kind, EventKind::Identified { .. }) && self.registry.session_of(&connection).is_some() {
            cut(lane, &mut self.registry, &mut self.rows, &mut self.done);
            cut_pieces(lane, &mut self.registry, &mut self.packer, &mut self.rows, &mut self.done);
        }
        self.registry.apply(connection, event, &mut self.rows);
        lane.builder.push(event);
        self.done.events += 1;
        if let EventKind::NotCaptured { events } = event.kind {
            self.done.not_captured += events;
        }
        if lane.builder.is_full() {
            cut(lane, &mut self.registry, &mut self.rows, &mut self.done);
        }
    }

    /// A block says under which policy all of it happened.
    fn change_policy(&mut self, lane: usize, hash: [u8; 32]) {
        let lane = &mut self.lanes[lane];
        cut(lane, &mut self.registry, &mut self.rows, &mut self.done);
        cut_pieces(lane, &mut self.registry, &mut self.packer, &mut self.rows, &mut self.done);
        lane.policy_hash = hash;
    }

    fn push_piece(&mut self, lane: usize, connection: ConnectionNo, at_ns: u64, piece: &Piece<'_>) {
        let lane = &mut self.lanes[lane];
        if lane.pieces.would_span_ns(at_ns) > SPAN_NS {
            cut_pieces(lane, &mut self.registry, &mut self.packer, &mut self.rows, &mut self.done);
        }
        let (boot, shard) = (lane.head.boot, lane.head.shard);
        self.registry.apply_piece(ConnectionKey { boot, shard, connection }, at_ns, piece, &mut self.rows);
        lane.pieces.push(connection, at_ns, piece);
        if lane.pieces.is_full() {
            cut_pieces(lane, &mut self.registry, &mut self.packer, &mut self.rows, &mut self.done);
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
            cut(lane, &mut self.registry, &mut self.rows, &mut self.done);
            cut_pieces(lane, &mut self.registry, &mut self.packer, &mut self.rows, &mut self.done);
        }
    }

    /// Closes what is open and gives the rows to be written in one piece.
    pub(super) fn finish(&mut self) -> (Rows, Done) {
        self.cut_all();
        self.registry.flush(&mut self.rows);
        for lane in self.lanes.iter_mut().filter(|lane| lane.moved) {
            lane.moved = false;
            let Lane { position, sequence, policy_hash, .. } = *lane;
            let progress = Progress { position, sequence, policy_hash: Some(policy_hash) };
            self.rows.put(Family::Meta, keys::journal(lane.head.epoch), progress.encode());
        }
        (std::mem::take(&mut self.rows), std::mem::take(&mut self.done))
    }
}

/// Closes a lane's block of events, if there is one.
fn cut(lane: &mut Lane, registry: &mut Registry, rows: &mut Rows, done: &mut Done) {
    if lane.builder.is_empty() {
        return;
    }
    let builder = std::mem::take(&mut lane.builder);
    let contents = Contents {
        kind: BlockKind::Events,
        span_ns: builder.span_ns(),
        count: builder.events(),
        connections: builder.connections(),
    };
    let (key, header) = place(lane, &contents, registry, rows);
    put_block(key, builder.finish(&header), rows, done);
}

/// Closes a lane's blocks of pieces, if there are any.
fn cut_pieces(lane: &mut Lane, registry: &mut Registry, packer: &mut Packer, rows: &mut Rows, done: &mut Done) {
    let mut pieces = std::mem::take(&mut lane.pieces);
    pieces.cut(|builder| {
        let contents = Contents {
            kind: BlockKind::Pieces,
            span_ns: builder.span_ns(),
            count: builder.pieces(),
            connections: builder.connections(),
        };
        let (key, header) = place(lane, &contents, registry, rows);
        put_block(key, builder.finish(&header, packer), rows, done);
    });
    // Given back empty, for the room it has.
    lane.pieces = pieces;
}

/// What a block is about to hold.
struct Contents<'a> {
    kind: BlockKind,
    span_ns: (u64, u64),
    count: u32,
    connections: &'a [(ConnectionNo, u32)],
}

/// Gives a block its key and its header, and writes the rows that lead to it from the sessions in it.
fn place(
    lane: &mut Lane,
    contents: &Contents<'_>,
    registry: &mut Registry,
    rows: &mut Rows,
) -> (BlockKey, BlockHeader) {
    let (first_ns, last_ns) = contents.span_ns;
    let JournalHead { ref node, boot, shard, .. } = lane.head;
    let policy_hash = lane.policy_hash;
    let key = BlockKey { first_ns, boot, shard, sequence: lane.sequence };
    lane.sequence += 1;
    let span_ns = last_ns - first_ns;
    let mut connections = Vec::with_capacity(contents.connections.len());
    let mut count_of: BTreeMap<SessionId, u32> = BTreeMap::new();
    for (connection, count) in contents.connections.iter().copied() {
        let whose = ConnectionKey { boot, shard, connection };
        let session = registry.session_of(&whose);
        connections.push((connection, session));
        match session {
            Some(id) => *count_of.entry(id).or_default() += count,
            None => registry.await_session(whose, BlockRef { kind: contents.kind, key, span_ns, count }, rows),
        }
    }
    for (id, count) in count_of {
        let row_key = keys::block_of_session(id, &key, None);
        rows.put(contents.kind.by_session(), row_key, block_of_session_value(span_ns, count));
    }
    let (node, sequence, events) = (node.clone(), key.sequence, contents.count);
    (key, BlockHeader { node, boot, shard, sequence, first_ns, last_ns, events, policy_hash, connections })
}

fn put_block(key: BlockKey, block: Vec<u8>, rows: &mut Rows, done: &mut Done) {
    done.blocks += 1;
    done.block_bytes += block.len() as u64;
    rows.put(Family::Blocks(key.day()), key.encode(), block);
}

/// How far a journal was taken over.
#[derive(Debug, Default)]
struct Progress {
    position: u64,
    /// Of the next block.
    sequence: u32,
    /// Of the policy in force there; none where the journal's head says it.
    policy_hash: Option<[u8; 32]>,
}

impl Progress {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(12 + 32);
        varint::put(&mut out, self.position);
        varint::put(&mut out, self.sequence.into());
        out.extend(self.policy_hash.iter().flatten());
        out
    }

    fn decode(value: &[u8]) -> Result<Progress, RecorderError> {
        let mut reader = Reader::new(value);
        let both = reader.varint().and_then(|position| Ok((position, reader.number("a block's sequence")?)));
        let (position, sequence) = both.map_err(RecorderError::damaged("journal position"))?;
        // Stores of before policies could change end here.
        Ok(Progress { position, sequence, policy_hash: reader.rest().first_chunk().copied() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::ops::ControlFlow;

    use super::*;
    use crate::event::block::Block;
    use crate::recorder::store::Direction;

    const DAY_NS: u64 = 86_400_000_000_000;

    fn event(at_ns: u64) -> Taken<'static> {
        let kind = EventKind::NotCaptured { events: 1 };
        Taken::Event(Event { connection: ConnectionNo(1), at_ns, kind })
    }

    fn policies(store: &Store) -> Vec<(u32, u8)> {
        let mut found = Vec::new();
        store
            .scan(Family::Blocks(1), (&[], None), Direction::Up, &mut |_, block| {
                let header = Block::parse(block).unwrap().header;
                found.push((header.events, header.policy_hash[0]));
                ControlFlow::Continue(())
            })
            .unwrap();
        found
    }

    #[test]
    fn a_block_holds_what_happened_under_one_policy_whenever_the_process_died() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let head =
            JournalHead { node: "weir-1".into(), boot: 1, shard: 0, capacity: 1 << 20, epoch: 7, policy_hash: [1; 32] };
        let mut position = 0;
        // Each round is a life of the process: it goes on from what the store says.
        for (first, entries) in [
            (0, vec![event(DAY_NS), event(DAY_NS + 1), Taken::Policy([2; 32]), event(DAY_NS + 2)]),
            (4, vec![event(DAY_NS + 3), Taken::Policy([3; 32])]),
            (6, vec![event(DAY_NS + 4)]),
        ] {
            let mut assembler = Assembler::load(&store, u64::MAX).unwrap();
            assert_eq!(assembler.add_journal(&store, head.clone()).unwrap(), first);
            for taken in entries {
                position += 1;
                assembler.push(0, &taken, position);
            }
            store.write(&assembler.finish().0).unwrap();
        }
        assert_eq!(policies(&store), [(2, 1), (1, 2), (1, 2), (1, 3)]);
    }
}
