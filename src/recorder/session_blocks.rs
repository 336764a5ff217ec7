//! Which blocks hold something of a session, in order, as its index rows say.
//!
//! Invariants:
//! - A few hundred rows are held at a time, however many blocks a session has.
//! - Asked again after the last, it gives what was stored in the meantime.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;

use super::error::RecorderError;
use super::keys::{self, BlockKey, DAY_NS, day_of};
use super::rows::{BlockKind, SessionRow};
use super::store::{Direction, Store};
use crate::event::varint::Reader;
use crate::event::{ConnectionNo, SessionId};
use crate::limits::BLOCK_SPAN;

/// Blocks found at a time.
const BLOCKS_AT_ONCE: usize = 256;

/// A block of a session, as its index row says.
#[derive(Debug)]
pub(super) struct BlockOfSession {
    pub key: BlockKey,
    /// Connections that the block's own table does not give to the session.
    pub late: BTreeSet<ConnectionNo>,
}

impl BlockOfSession {
    /// The connections in the block that are the session's; `table` is the block's own.
    pub(super) fn connections(
        &self,
        session: SessionId,
        table: &[(ConnectionNo, Option<SessionId>)],
    ) -> BTreeSet<ConnectionNo> {
        let ours = table.iter().filter(|(_, whose)| *whose == Some(session)).map(|(connection, _)| *connection);
        ours.chain(self.late.iter().copied()).collect()
    }
}

/// The blocks of a session that reach beyond a moment.
pub(super) struct SessionBlocks<'a> {
    store: &'a Store,
    session: SessionId,
    kind: BlockKind,
    from_ns: u64,
    day: u32,
    last_day: u32,
    /// The key in `day` from which to look on.
    from: Vec<u8>,
    found: VecDeque<BlockOfSession>,
}

impl<'a> SessionBlocks<'a> {
    /// Blocks of `kind` that end at `from_ns` or later.
    pub(super) fn new(
        store: &'a Store,
        row: &SessionRow,
        kind: BlockKind,
        from_ns: u64,
    ) -> Result<SessionBlocks<'a>, RecorderError> {
        // A block belongs to the day of its first event, which may be another session's on the day before.
        let day = day_of(row.started_ns.max(from_ns)).saturating_sub(1);
        // Blocks of the first schema were of any length.
        let look_back_ns = if day < store.second_schema_from()? { u64::MAX } else { BLOCK_SPAN.as_nanos() as u64 };
        let first_ns = from_ns.saturating_sub(look_back_ns);
        let day = day.max(day_of(first_ns));
        let mut from = keys::day_and_session(day, row.id);
        if day_of(first_ns) == day {
            from.extend_from_slice(&first_ns.to_be_bytes());
        }
        // A session that goes on may enter the next day while it is read.
        let last_day = day_of(row.last_activity_ns.saturating_add(DAY_NS));
        Ok(SessionBlocks { store, session: row.id, kind, from_ns, day, last_day, from, found: VecDeque::new() })
    }

    /// When the next block begins; none after the last.
    pub(super) fn peek_ns(&mut self) -> Result<Option<u64>, RecorderError> {
        self.find()?;
        Ok(self.found.front().map(|block| block.key.first_ns))
    }

    /// The next block.
    pub(super) fn next(&mut self) -> Result<Option<BlockOfSession>, RecorderError> {
        self.find()?;
        Ok(self.found.pop_front())
    }

    fn find(&mut self) -> Result<(), RecorderError> {
        while self.found.is_empty() {
            let is_last = !self.find_in_day()?;
            if self.found.is_empty() && is_last {
                if self.day >= self.last_day {
                    return Ok(());
                }
                self.day += 1;
                self.from = keys::day_and_session(self.day, self.session);
            }
        }
        Ok(())
    }

    /// Looks at the next rows of the day; true when there may be more.
    fn find_in_day(&mut self) -> Result<bool, RecorderError> {
        let to = keys::after(&keys::day_and_session(self.day, self.session));
        let (found, from_ns) = (&mut self.found, self.from_ns);
        let (mut seen, mut damage, mut last) = (0, None, None);
        self.store.scan(
            self.kind.by_session(),
            (&self.from, to.as_deref()),
            Direction::Up,
            &mut |row_key, value| {
                let Some((key, late)) = keys::block_of_session_of(row_key) else {
                    return ControlFlow::Continue(());
                };
                if last != Some(key) {
                    if seen == BLOCKS_AT_ONCE {
                        return ControlFlow::Break(());
                    }
                    (seen, last) = (seen + 1, Some(key));
                }
                let span_ns = match Reader::new(value).varint() {
                    Ok(span_ns) => span_ns,
                    Err(error) => {
                        damage = Some(error);
                        return ControlFlow::Break(());
                    }
                };
                if key.first_ns.saturating_add(span_ns) < from_ns {
                    return ControlFlow::Continue(());
                }
                if found.back().is_none_or(|block: &BlockOfSession| block.key != key) {
                    found.push_back(BlockOfSession { key, late: BTreeSet::new() });
                }
                if let (Some(block), Some(late)) = (found.back_mut(), late) {
                    block.late.insert(late);
                }
                ControlFlow::Continue(())
            },
        )?;
        if let Some(damage) = damage {
            return Err(RecorderError::damaged("index row")(damage));
        }
        if let Some(after) = last.and_then(|key| keys::after(&keys::block_of_session(self.session, &key, None))) {
            self.from = after;
        }
        Ok(seen == BLOCKS_AT_ONCE)
    }
}
