//! Puts a session's frames together from its blocks of pieces, in the order in which they began.
//!
//! Pieces are read in the order of time. A frame is given out once it is whole and so is every frame that began before it.
//! Until then only the places of its pieces are kept; their bytes are read again, mostly from the few blocks at hand, when
//! its turn comes.
//!
//! Invariants:
//! - Memory: the blocks at hand, one part of a frame, and a few dozen bytes for each piece on its way.
//! - The same frames under the same ids, wherever reading began.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use super::error::RecorderError;
use super::frames::{CapturedFrame, FrameCursor, Stretch};
use super::keys::{self, BlockKey, ConnectionKey};
use super::rows::{BlockKind, SessionRow};
use super::session_blocks::{BlockOfSession, SessionBlocks};
use super::store::{Family, Store};
use crate::event::SessionId;
use crate::event::piece::{Content, Way};
use crate::event::piece_block::{PieceBlock, StoredPiece};
use crate::event::varint::DecodeError;
use crate::limits::{FRAME_PART_BYTES, FRAME_PARTS_WAITING_MAX};

/// Blocks kept at hand: what a dozen busy connections have open at a time.
const BLOCKS_AT_HAND: usize = 64;
const PREFIX_BYTES: u64 = 4;
/// No frame reaches further: what its length prefix can say.
const FRAME_BYTES_MAX: u64 = i32::MAX as u64 + PREFIX_BYTES;

/// One direction of a connection: its frames follow each other.
type Lane = (ConnectionKey, Way);
/// A frame of a lane: its exchange's ordinal, which grows along the lane.
type FrameKey = (Lane, u64);
/// A part of a frame.
type PartKey = (Lane, u64, u32);

/// What orders pieces: time, boot, shard, block and place.
type ReadyAt = (u64, u32, u16, u32, u32);
/// What orders parts: the place of the piece with which they begin.
type Order = (u64, u32, u16, u32, u32, u32);

/// Where a piece lies: block and place in it.
#[derive(Debug, Clone, Copy)]
struct PieceAt {
    block: BlockKey,
    place: usize,
    at: u64,
    bytes: u64,
}

/// A frame that is on its way on a lane.
#[derive(Debug)]
struct Frame {
    start_ns: u64,
    part: u32,
    prefix: [u8; PREFIX_BYTES as usize],
    prefix_bytes: u64,
    /// Began before the place from which was to be read.
    foreign: bool,
}

impl Frame {
    /// Its length with its prefix.
    fn length(&self) -> Option<u64> {
        (self.prefix_bytes == PREFIX_BYTES).then(|| u64::from(u32::from_be_bytes(self.prefix)) + PREFIX_BYTES)
    }
}

/// A part of a frame, most often all of it, on its way.
#[derive(Debug)]
struct Part {
    start: FrameCursor,
    frame_start_ns: u64,
    last_ns: u64,
    pieces: Vec<PieceAt>,
    /// Behind the last piece, within the part.
    end: u64,
    length: Option<u64>,
    /// Something later came on its lane, or nothing comes on it any more.
    passed: bool,
    closed: bool,
    foreign: bool,
}

/// Reads a session's frames after `from`, in order.
pub(super) struct FrameReader<'a> {
    store: &'a Store,
    session: SessionId,
    ended: bool,
    from: FrameCursor,
    blocks: SessionBlocks<'a>,
    /// Pieces of blocks that were opened, by time, block and place.
    ready: BTreeMap<ReadyAt, (BlockKey, StoredPiece)>,
    at_hand: VecDeque<(BlockKey, Rc<PieceBlock>)>,
    frames: BTreeMap<FrameKey, Frame>,
    parts: HashMap<PartKey, Part>,
    order: BTreeMap<Order, PartKey>,
    /// Of those given out, which may still be on their way: when their frame began, when they ended.
    recent: Vec<(u64, u64)>,
    settled: bool,
}

impl<'a> FrameReader<'a> {
    pub(super) fn new(store: &'a Store, row: &SessionRow, from: FrameCursor) -> Result<FrameReader<'a>, RecorderError> {
        let blocks = SessionBlocks::new(store, row, BlockKind::Pieces, from.look_from_ns)?;
        Ok(FrameReader {
            store,
            session: row.id,
            ended: row.end.is_some(),
            from,
            blocks,
            ready: BTreeMap::new(),
            at_hand: VecDeque::new(),
            frames: BTreeMap::new(),
            parts: HashMap::new(),
            order: BTreeMap::new(),
            recent: Vec::new(),
            settled: false,
        })
    }

    /// The next frame, or part of one; none when there is no further whole one.
    pub(super) fn next(&mut self) -> Result<Option<CapturedFrame>, RecorderError> {
        loop {
            self.bound_what_waits();
            if let Some(part) = self.first_if_done() {
                match self.release(part)? {
                    Some(frame) => return Ok(Some(frame)),
                    None => continue,
                }
            }
            if let Some((block, place, piece)) = self.next_piece()? {
                self.settled = false;
                self.take_in(block, place, &piece)?;
            } else if !std::mem::replace(&mut self.settled, true) {
                self.see_who_is_gone()?;
            } else if !self.pass_closed() {
                return Ok(None);
            }
        }
    }

    fn next_piece(&mut self) -> Result<Option<(BlockKey, u32, StoredPiece)>, RecorderError> {
        loop {
            let next_block_ns = self.blocks.peek_ns()?;
            let is_next = |at_ns| next_block_ns.is_none_or(|first_ns| at_ns < first_ns);
            if let Some(entry) = self.ready.first_entry().filter(|entry| is_next(entry.key().0)) {
                let place = entry.key().4;
                let (block, piece) = entry.remove();
                return Ok(Some((block, place, piece)));
            }
            match self.blocks.next()? {
                Some(block) => self.open(&block)?,
                None => return Ok(None),
            }
        }
    }

    /// Makes the session's pieces of a block ready.
    fn open(&mut self, wanted: &BlockOfSession) -> Result<(), RecorderError> {
        let BlockKey { boot, shard, sequence, .. } = wanted.key;
        let Some(block) = self.block(wanted.key)? else {
            return Ok(());
        };
        let ours = wanted.connections(self.session, &block.header.connections);
        for (piece, place) in block.pieces.iter().zip(1u32..).filter(|(piece, _)| ours.contains(&piece.connection)) {
            self.ready.insert((piece.at_ns, boot, shard, sequence, place), (wanted.key, *piece));
        }
        Ok(())
    }

    /// A block, from those at hand or from the store; none when retention has just dropped its day.
    fn block(&mut self, key: BlockKey) -> Result<Option<Rc<PieceBlock>>, RecorderError> {
        if let Some((_, block)) = self.at_hand.iter().rev().find(|(at_hand, _)| *at_hand == key) {
            return Ok(Some(Rc::clone(block)));
        }
        let Some(bytes) = self.store.get(Family::Blocks(key.day()), &key.encode())? else {
            return Ok(None);
        };
        let block = Rc::new(PieceBlock::parse(&bytes).map_err(RecorderError::damaged("block"))?);
        if self.at_hand.len() == BLOCKS_AT_HAND {
            self.at_hand.pop_front();
        }
        self.at_hand.push_back((key, Rc::clone(&block)));
        Ok(Some(block))
    }

    /// Follows one piece: it goes to its frame's part, or parts.
    fn take_in(&mut self, block: BlockKey, place: u32, piece: &StoredPiece) -> Result<(), RecorderError> {
        let end = piece.at.checked_add(piece.bytes).filter(|end| *end <= FRAME_BYTES_MAX);
        let end = end.ok_or_else(|| {
            RecorderError::damaged("block")(DecodeError::Value { what: "a piece's place", value: piece.at })
        })?;
        let connection = ConnectionKey { boot: block.boot, shard: block.shard, connection: piece.connection };
        let frame = ((connection, piece.way), piece.ordinal);
        self.enter_frame(frame, piece);
        self.learn_prefix(frame, block, place, piece)?;
        let mut at = piece.at;
        while at < end {
            let part = (at / FRAME_PART_BYTES) as u32;
            let bytes = (u64::from(part + 1) * FRAME_PART_BYTES).min(end) - at;
            self.enter_part(frame, part);
            self.add(frame, part, piece.at_ns, PieceAt { block, place: place as usize - 1, at, bytes });
            at += bytes;
        }
        Ok(())
    }

    /// A piece of a later exchange than those on its lane begins a frame, and those before it are over. An earlier one may
    /// still come behind it: pieces that were held, or an answer of Weir's own, have the time of what they came with.
    fn enter_frame(&mut self, key: FrameKey, piece: &StoredPiece) {
        if self.frames.contains_key(&key) {
            return;
        }
        let (lane, ordinal) = key;
        let is_first = self.frames.range((lane, 0)..=(lane, u64::MAX)).next().is_none();
        let over: Vec<(FrameKey, u32)> =
            self.frames.range((lane, 0)..(lane, ordinal)).map(|(key, frame)| (*key, frame.part)).collect();
        for (key, part) in over {
            self.frames.remove(&key);
            if let Some(part) = self.parts.get_mut(&(lane, key.1, part)) {
                (part.passed, part.closed) = (true, false);
            }
        }
        // Where reading begins at a time, what was on its way then is not asked for.
        let foreign = is_first && self.from.place == 0 && self.from.at_ns > 0 && piece.at > 0;
        let part = (piece.at / FRAME_PART_BYTES) as u32;
        let prefix = [0; PREFIX_BYTES as usize];
        self.frames.insert(key, Frame { start_ns: piece.at_ns, part, prefix, prefix_bytes: 0, foreign });
    }

    /// The first bytes of a frame say how long it is, once they are all there.
    fn learn_prefix(
        &mut self,
        frame: FrameKey,
        block: BlockKey,
        place: u32,
        piece: &StoredPiece,
    ) -> Result<(), RecorderError> {
        let known = |frame: &Frame| frame.prefix_bytes;
        if piece.withheld.is_some() || self.frames.get(&frame).map(known) != Some(piece.at) || piece.at >= PREFIX_BYTES
        {
            return Ok(());
        }
        let Some(block) = self.block(block)? else {
            return Ok(());
        };
        let content = block.pieces.get(place as usize - 1).map(|piece| block.content(piece)).transpose();
        let content = content.map_err(RecorderError::damaged("block"))?;
        let (Some(Content::Bytes(bytes)), Some(frame)) = (content, self.frames.get_mut(&frame)) else {
            return Ok(());
        };
        for byte in bytes.iter().take((PREFIX_BYTES - piece.at) as usize) {
            frame.prefix[frame.prefix_bytes as usize] = *byte;
            frame.prefix_bytes += 1;
        }
        Ok(())
    }

    /// The part before is over when a piece of the next has come.
    fn enter_part(&mut self, key: FrameKey, part: u32) {
        let Some(frame) = self.frames.get_mut(&key) else {
            return;
        };
        let before = std::mem::replace(&mut frame.part, part);
        let (lane, ordinal) = key;
        if before != part
            && let Some(before) = self.parts.get_mut(&(lane, ordinal, before))
        {
            before.passed = true;
        }
    }

    fn add(&mut self, frame: FrameKey, part: u32, at_ns: u64, piece: PieceAt) {
        let key = (frame.0, frame.1, part);
        let Some(frame) = self.frames.get(&frame) else {
            return;
        };
        let BlockKey { boot, shard, sequence, .. } = piece.block;
        let place = piece.place as u32 + 1;
        let start = FrameCursor { at_ns, boot, shard, sequence, place, part, look_from_ns: 0 };
        let (frame_start_ns, foreign) = (frame.start_ns, frame.foreign);
        let order = &mut self.order;
        let part = self.parts.entry(key).or_insert_with(|| {
            order.insert(start.order(), key);
            Part {
                start,
                frame_start_ns,
                last_ns: at_ns,
                pieces: Vec::new(),
                end: 0,
                length: None,
                passed: false,
                closed: false,
                foreign,
            }
        });
        part.length = frame.length();
        part.end = part.end.max(piece.at + piece.bytes);
        part.last_ns = part.last_ns.max(at_ns);
        part.pieces.push(piece);
    }

    /// A frame that never comes to its end must not keep everything behind it in memory: it is given out as far as it came.
    fn bound_what_waits(&mut self) {
        if self.parts.len() <= FRAME_PARTS_WAITING_MAX {
            return;
        }
        if let Some(part) = self.order.first_key_value().and_then(|(_, key)| self.parts.get_mut(key)) {
            (part.passed, part.closed) = (true, true);
        }
    }

    /// The first part in order, when all of it has come and nothing can come before it.
    fn first_if_done(&self) -> Option<PartKey> {
        let key = *self.order.first_key_value()?.1;
        let part = self.parts.get(&key)?;
        let part_end = (u64::from(part.start.part) + 1) * FRAME_PART_BYTES;
        let whole = part.end >= part.length.map_or(part_end, |length| length.min(part_end));
        (part.passed || part.foreign || whole).then_some(key)
    }

    /// Gives a part out, or none when it was not asked for.
    fn release(&mut self, key: PartKey) -> Result<Option<CapturedFrame>, RecorderError> {
        let Some(part) = self.parts.remove(&key) else {
            return Ok(None);
        };
        self.order.remove(&part.start.order());
        let at_ns = part.start.at_ns;
        self.recent.retain(|(_, last_ns)| *last_ns >= at_ns);
        let began = self.recent.iter().map(|(start_ns, _)| *start_ns).min().unwrap_or(at_ns);
        let look_from_ns = began.min(part.frame_start_ns).min(at_ns);
        self.recent.push((part.frame_start_ns, part.last_ns));
        if part.foreign || part.start.order() <= self.from.order() {
            return Ok(None);
        }
        self.put_together(key, &part, FrameCursor { look_from_ns, ..part.start }).map(Some)
    }

    fn put_together(&mut self, key: PartKey, part: &Part, id: FrameCursor) -> Result<CapturedFrame, RecorderError> {
        let ((ConnectionKey { boot, shard, connection }, way), ordinal, number) = key;
        let at = u64::from(number) * FRAME_PART_BYTES;
        let part_end = at + FRAME_PART_BYTES;
        // What a connection's end cut off never came; what a later frame passed by was lost.
        let end = if part.closed { part.end } else { part.length.map_or(part.end, |length| length.max(part.end)) };
        let mut bytes = vec![0; (end.min(part_end) - at) as usize];
        let (mut withheld, mut lost, mut upto) = (Vec::<Stretch>::new(), Vec::new(), at);
        for piece in &part.pieces {
            if piece.at > upto {
                lost.push(Stretch { at: upto, bytes: piece.at - upto, why: None });
            }
            upto = upto.max(piece.at + piece.bytes);
            let block = self.block(piece.block)?;
            let stored = block.as_ref().and_then(|block| block.pieces.get(piece.place).map(|stored| (block, stored)));
            let Some((block, stored)) = stored else {
                lost.push(Stretch { at: piece.at, bytes: piece.bytes, why: None });
                continue;
            };
            match block.content(stored).map_err(RecorderError::damaged("block"))? {
                Content::Bytes(content) => {
                    let from = (piece.at - stored.at) as usize;
                    let to = (piece.at - at) as usize;
                    let length = piece.bytes as usize;
                    bytes[to..to + length].copy_from_slice(&content[from..from + length]);
                }
                Content::Withheld { why, .. } => match withheld.last_mut() {
                    Some(last) if last.at + last.bytes == piece.at && last.why == Some(why) => {
                        last.bytes += piece.bytes
                    }
                    _ => withheld.push(Stretch { at: piece.at, bytes: piece.bytes, why: Some(why) }),
                },
            }
        }
        let end = at + bytes.len() as u64;
        if upto < end {
            lost.push(Stretch { at: upto, bytes: end - upto, why: None });
        }
        let (at_ns, frame_bytes) = (id.at_ns, part.length);
        Ok(CapturedFrame { id, boot, shard, connection, ordinal, way, at_ns, at, bytes, frame_bytes, withheld, lost })
    }

    /// Marks the parts of connections that are closed. What such a connection left is stored by then; it is read before
    /// its parts pass. One that was passed already has lost what is missing, whatever became of its connection.
    fn see_who_is_gone(&mut self) -> Result<(), RecorderError> {
        for (((connection, _), _, _), part) in self.parts.iter_mut().filter(|(_, part)| !part.passed) {
            part.closed = self.ended || self.store.get(Family::Live, &keys::live_connection(connection))?.is_none();
        }
        Ok(())
    }

    /// Lets the parts of closed connections pass; false when there is none.
    fn pass_closed(&mut self) -> bool {
        let mut any = false;
        for part in self.parts.values_mut().filter(|part| part.closed && !part.passed) {
            part.passed = true;
            any = true;
        }
        any
    }
}
