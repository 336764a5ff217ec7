//! Finds the frames of exchanges while both are read in the order of time, each once.
//!
//! Frames come in the order in which they began, exchanges in that of their events, which is nearly the same. What is met
//! before its exchange is kept until then, if it is of a kind that holds records.
//!
//! Invariants:
//! - Memory is bounded: beyond `FRAMES_AHEAD_BYTES_MAX` the frames met first are dropped, and their records then told as not
//!   shown.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::Absent;
use crate::cli::error::CliError;
use crate::cli::source::Recording;
use crate::cli::view::Event;
use crate::event::SessionId;
use crate::event::piece::Way;
use crate::limits::{FRAMES_AHEAD_BYTES_MAX, SHOWN_FRAME_BYTES_MAX};
use crate::recorder::{CapturedFrame, FrameCursor, Stretch};
use crate::wire::kafka::layout::Direction;
use crate::wire::kafka::records::locate::carries_records;

/// Frames that begin so long after an exchange's event are not that exchange's: an answer's first byte goes out when its
/// event is written, and waits at most for a socket; ns.
const BEGINS_WITHIN_NS: u64 = 5_000_000_000;

/// How long a frame of a live session is waited for: it is stored with its event, or a tick of the writer later.
const LIVE_WAIT: Duration = Duration::from_millis(100);
const LIVE_WAITS: u32 = 5;

/// Connection of shard of boot, exchange.
type ExchangeKey = (u32, u16, u64, u64);
type FrameKey = (ExchangeKey, Way);

/// A frame put together from its parts.
#[derive(Debug, Default)]
pub(in crate::cli) struct Found {
    pub(in crate::cli) bytes: Vec<u8>,
    pub(in crate::cli) holes: Vec<Stretch>,
}

impl Found {
    /// Adds a frame, or the next part of one. A part before it that is not there was lost.
    pub(in crate::cli) fn add(&mut self, frame: CapturedFrame) {
        let expected = self.bytes.len() as u64;
        if let Some(bytes) = frame.at.checked_sub(expected).filter(|bytes| *bytes > 0) {
            self.holes.push(Stretch { at: expected, bytes, why: None });
            self.bytes.resize(frame.at as usize, 0);
        }
        let mut holes = [frame.withheld, frame.lost].concat();
        holes.sort_by_key(|hole| hole.at);
        self.holes.extend(holes);
        if self.bytes.is_empty() {
            self.bytes = frame.bytes;
        } else {
            self.bytes.extend_from_slice(&frame.bytes);
        }
    }
}

/// The frames of one session.
pub(in crate::cli) struct Finder<'a> {
    recording: &'a Recording,
    session: SessionId,
    cursor: FrameCursor,
    /// When the latest frame that was read began.
    read_up_to_ns: u64,
    at_end: bool,
    /// The recording goes on: its end is no end.
    is_live: bool,
    ahead: HashMap<FrameKey, Result<Found, Absent>>,
    /// Exchanges whose answer holds no records, until it comes by.
    without: HashSet<ExchangeKey>,
    /// Their order; what was given out meanwhile is still in it.
    order: VecDeque<FrameKey>,
    ahead_bytes: usize,
}

impl<'a> Finder<'a> {
    /// For exchanges from `from_ns` on; a request begins before its event.
    pub(in crate::cli) fn new(recording: &'a Recording, session: SessionId, from_ns: u64) -> Self {
        let cursor = match from_ns.checked_sub(BEGINS_WITHIN_NS) {
            Some(from_ns) => FrameCursor::at(from_ns),
            None => FrameCursor::default(),
        };
        Finder {
            recording,
            session,
            cursor,
            read_up_to_ns: 0,
            at_end: false,
            is_live: false,
            ahead: HashMap::new(),
            without: HashSet::new(),
            order: VecDeque::new(),
            ahead_bytes: 0,
        }
    }

    /// For a session that is being recorded.
    pub(in crate::cli) fn live(recording: &'a Recording, session: SessionId, from_ns: u64) -> Self {
        Finder { is_live: true, ..Finder::new(recording, session, from_ns) }
    }

    /// The frame of an exchange.
    pub(in crate::cli) fn find(
        &mut self,
        event: &Event,
        ordinal: u64,
        way: Way,
    ) -> Result<Result<Found, Absent>, CliError> {
        let key = ((event.boot, event.shard, event.connection, ordinal), way);
        let last_ns = event.at_ns.saturating_add(BEGINS_WITHIN_NS);
        let mut waits_left = if self.is_live { LIVE_WAITS } else { 0 };
        while !self.is_complete(&key) && self.read_up_to_ns <= last_ns {
            if self.at_end {
                if waits_left == 0 {
                    break;
                }
                waits_left -= 1;
                std::thread::sleep(LIVE_WAIT);
            }
            self.read_on()?;
        }
        let found = self.ahead.remove(&key).unwrap_or(Err(Absent::NotRecorded));
        if let Ok(found) = &found {
            self.ahead_bytes -= found.bytes.len();
        }
        while self.order.front().is_some_and(|key| !self.ahead.contains_key(key)) {
            self.order.pop_front();
        }
        Ok(found)
    }

    /// Whether a frame is here to its last byte: long ones come in parts.
    fn is_complete(&self, key: &FrameKey) -> bool {
        let length = |found: &Found| found.bytes.first_chunk().map(|prefix| u32::from_be_bytes(*prefix) as usize + 4);
        match self.ahead.get(key) {
            Some(Ok(found)) => length(found).is_some_and(|length| found.bytes.len() >= length),
            Some(Err(_)) => true,
            None => false,
        }
    }

    fn read_on(&mut self) -> Result<(), CliError> {
        let page = self.recording.frames(self.session, self.cursor)?;
        self.at_end = page.is_last;
        self.cursor = page.next;
        for frame in page.frames {
            self.read_up_to_ns = self.read_up_to_ns.max(frame.at_ns);
            self.keep(frame);
        }
        while self.ahead_bytes > FRAMES_AHEAD_BYTES_MAX
            && let Some(key) = self.order.pop_front()
        {
            if let Some(Ok(found)) = self.ahead.get(&key) {
                self.ahead_bytes -= found.bytes.len();
                let length = found.bytes.len() as u64;
                self.ahead.insert(key, Err(Absent::TooLong(length)));
            }
        }
        Ok(())
    }

    /// Requests say of which API they and their answers are. An answer whose request is not in sight may hold records.
    fn may_hold_records(&mut self, exchange: ExchangeKey, frame: &CapturedFrame) -> bool {
        if frame.at > 0 {
            return self.ahead.contains_key(&(exchange, frame.way));
        }
        if frame.way == Way::Response {
            return !self.without.remove(&exchange);
        }
        let api_key = frame.bytes.get(4..6).map_or(-1, |bytes| i16::from_be_bytes([bytes[0], bytes[1]]));
        if !carries_records(api_key, Direction::Response) {
            self.without.insert(exchange);
        }
        carries_records(api_key, Direction::Request)
    }

    fn keep(&mut self, frame: CapturedFrame) {
        let exchange = (frame.boot, frame.shard, frame.connection.0, frame.ordinal);
        if !self.may_hold_records(exchange, &frame) {
            return;
        }
        let key = (exchange, frame.way);
        let length = frame.frame_bytes.unwrap_or(0);
        if length > SHOWN_FRAME_BYTES_MAX || frame.at > SHOWN_FRAME_BYTES_MAX {
            self.ahead.insert(key, Err(Absent::TooLong(length)));
            return;
        }
        let order = &mut self.order;
        let entry = self.ahead.entry(key).or_insert_with(|| {
            order.push_back(key);
            Ok(Found::default())
        });
        let Ok(found) = entry else { return };
        let before = found.bytes.len();
        found.add(frame);
        self.ahead_bytes += found.bytes.len() - before;
    }
}
