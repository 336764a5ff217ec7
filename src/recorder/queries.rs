//! Questions about the recording, answered from the indexes.
//!
//! Invariants:
//! - A question reads index rows of the hours it asks about and the sessions they name, never every session.
//! - Answers of a running gateway, of the read-only view and after recovery come from the same code.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::addresses::AddressRange;
use super::error::RecorderError;
use super::events::{EventCursor, EventReader, JoinedReader, RecordedEvent};
use super::folder;
use super::frame_reader::FrameReader;
use super::frames::{FrameCursor, FramePage};
use super::keys::{self, HOURS_PER_DAY};
use super::recovery;
use super::rows::SessionRow;
use super::store::{Direction, Family, Store};
use super::summary::SessionSummary;
use crate::event::SessionId;

/// Which sessions are asked for; all conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFilter {
    /// The identity's subject.
    pub identity: Option<String>,
    /// A topic the session touched, within the hours of the window where one is given.
    pub topic: Option<String>,
    /// The client's address, or a network.
    pub address: Option<AddressRange>,
    /// With activity at or after this, ns since the Unix epoch.
    pub since_ns: Option<u64>,
    /// Started at or before this and active in its hour or earlier, ns since the Unix epoch.
    pub until_ns: Option<u64>,
    /// At most so many, the most recently active first.
    pub limit: usize,
}

impl Default for SessionFilter {
    /// The hundred most recently active sessions.
    fn default() -> Self {
        SessionFilter { identity: None, topic: None, address: None, since_ns: None, until_ns: None, limit: 100 }
    }
}

/// Reads what was recorded.
#[derive(Clone)]
pub struct Queries {
    store: Arc<Store>,
}

/// Opens the recording at `path` while no gateway runs, also after it was killed: what its journals still hold is laid over
/// the store in memory, as the next start will write it. Changes no file and takes no lock.
pub fn open_read_only(path: &Path) -> Result<Queries, RecorderError> {
    let mut store = Store::open_read_only(path)?;
    let mut overlay = Vec::new();
    recovery::replay(&store, &folder::journals_of(path), |rows| {
        overlay.push(rows);
        Ok(())
    })?;
    overlay.into_iter().for_each(|rows| store.lay_over(rows));
    Ok(Queries::of(Arc::new(store)))
}

impl Queries {
    pub(super) fn of(store: Arc<Store>) -> Queries {
        Queries { store }
    }

    /// The store that is asked.
    pub(super) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// The sessions that `filter` describes, the most recently active first.
    pub fn sessions(&self, filter: &SessionFilter) -> Result<Vec<SessionSummary>, RecorderError> {
        Ok(self.session_page(filter, None)?.sessions)
    }

    /// One session; none where there is no such session.
    pub fn session(&self, id: SessionId) -> Result<Option<SessionSummary>, RecorderError> {
        Ok(self.row(id)?.map(SessionSummary::from))
    }

    /// At most `limit` events of a session after `from`, in order, as they were recorded: a note and its exchange apart.
    pub fn exchanges(
        &self,
        id: SessionId,
        from: EventCursor,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, RecorderError> {
        let Some(row) = self.row(id)? else {
            return Ok(Vec::new());
        };
        let mut reader = EventReader::new(&self.store, &row, from)?;
        collect(limit, || reader.next())
    }

    /// The same with each note joined to its exchange, which then states its request and stands in the note's place. A
    /// note without an exchange comes as one whose outcome is unknown.
    pub fn joined_exchanges(
        &self,
        id: SessionId,
        from: EventCursor,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, RecorderError> {
        let Some(row) = self.row(id)? else {
            return Ok(Vec::new());
        };
        let mut reader = JoinedReader::new(EventReader::new(&self.store, &row, from)?);
        collect(limit, || reader.next())
    }

    /// The frames of a session after `from`, in the order in which they began, until they have `limit_bytes` together: at
    /// least one, where there is one. A frame that is still on its way is not there yet, nor is what began after it. A
    /// frame of more than [`crate::limits::FRAME_PART_BYTES`] comes in parts of that size.
    pub fn frames(&self, id: SessionId, from: FrameCursor, limit_bytes: usize) -> Result<FramePage, RecorderError> {
        let mut page = FramePage { frames: Vec::new(), next: from, is_last: true };
        let Some(row) = self.row(id)? else {
            return Ok(page);
        };
        let mut reader = FrameReader::new(&self.store, &row, from)?;
        let mut bytes = 0;
        while let Some(frame) = reader.next()? {
            bytes += frame.bytes.len();
            page.next = frame.id;
            page.frames.push(frame);
            if bytes >= limit_bytes {
                page.is_last = false;
                break;
            }
        }
        Ok(page)
    }

    pub(super) fn row(&self, id: SessionId) -> Result<Option<SessionRow>, RecorderError> {
        let Some(bytes) = self.store.get(Family::Sessions, &keys::session(id))? else {
            return Ok(None);
        };
        SessionRow::decode(&bytes).map(Some).map_err(RecorderError::damaged("session"))
    }

    /// The indexes in which a session has to stand, all of them in the same hour.
    pub(super) fn indexes(&self, filter: &SessionFilter) -> Result<Indexes, RecorderError> {
        let mut indexes = Indexes { all: Vec::new(), by_address: None };
        if let Some(topic) = &filter.topic {
            indexes.all.push((Family::ByTopic, keys::name(topic)));
        }
        if let Some(subject) = &filter.identity {
            indexes.all.push((Family::ByIdentity, keys::name(subject)));
        }
        if let Some(address) = &filter.address {
            let from_hour = self.store.second_schema_from()?.saturating_mul(HOURS_PER_DAY);
            indexes.by_address = Some((*address, from_hour));
        }
        Ok(indexes)
    }

    /// Visits the hours of the window, its last one included, that have rows in `family`, the latest first, until `visit` says
    /// false.
    pub(super) fn visit_hours(
        &self,
        family: Family,
        (first, last): (u32, Option<u32>),
        mut visit: impl FnMut(u32) -> Result<bool, RecorderError>,
    ) -> Result<(), RecorderError> {
        let from = keys::hour(first);
        let mut to = last.and_then(|last| keys::after(&keys::hour(last)));
        loop {
            let mut latest = None;
            self.store.scan(family, (&from, to.as_deref()), Direction::Down, &mut |key, _| {
                latest = keys::hour_at_start(key);
                ControlFlow::Break(())
            })?;
            let Some(hour) = latest else { return Ok(()) };
            if !visit(hour)? {
                return Ok(());
            }
            to = Some(keys::hour(hour));
        }
    }

    /// The sessions of an hour that stand in all of the indexes. A store that began before there was an index by address
    /// has none for its first days: there the sessions' own rows tell, see `is_within`.
    pub(super) fn sessions_of_hour(&self, indexes: &Indexes, hour: u32) -> Result<Vec<SessionId>, RecorderError> {
        let mut ranges: Vec<(Family, Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        for (family, name) in &indexes.all {
            let prefix = [keys::hour(hour), name.clone()].concat();
            let to = keys::after(&prefix);
            ranges.push((*family, prefix, to));
        }
        if let Some((address, _)) = indexes.by_address.filter(|(_, from_hour)| hour >= *from_hour) {
            let (first, last) = address.bounds();
            let to = keys::after(&keys::hour_and_address(hour, last));
            ranges.push((Family::ByAddress, keys::hour_and_address(hour, first), to));
        }
        if ranges.is_empty() {
            let to = keys::after(&keys::hour(hour));
            ranges.push((Family::ByTime, keys::hour(hour), to));
        }
        let mut common: Option<BTreeSet<SessionId>> = None;
        for (family, from, to) in ranges {
            let mut ids = BTreeSet::new();
            self.store.scan(family, (&from, to.as_deref()), Direction::Up, &mut |key, _| {
                let id = keys::session_at_end(key);
                ids.extend(id.filter(|id| common.as_ref().is_none_or(|common| common.contains(id))));
                ControlFlow::Continue(())
            })?;
            let none = ids.is_empty();
            common = Some(ids);
            if none {
                break;
            }
        }
        Ok(common.into_iter().flatten().rev().collect())
    }
}

/// Where the sessions that are asked for have to stand.
pub(super) struct Indexes {
    /// Families and what follows the hour there, the one that likely has the fewest first.
    pub(super) all: Vec<(Family, Vec<u8>)>,
    /// The address, and the hour from which on it is indexed.
    pub(super) by_address: Option<(AddressRange, u32)>,
}

impl Indexes {
    /// The index whose hours are looked at.
    pub(super) fn rarest(&self) -> Family {
        self.all.first().map_or(Family::ByTime, |(family, _)| *family)
    }
}

pub(super) fn is_within(row: &SessionRow, filter: &SessionFilter) -> bool {
    filter.address.is_none_or(|address| address.contains(row.client_ip))
        && filter.since_ns.is_none_or(|since_ns| row.last_activity_ns >= since_ns)
        && filter.until_ns.is_none_or(|until_ns| row.started_ns <= until_ns)
}

fn collect(
    limit: usize,
    mut next: impl FnMut() -> Result<Option<RecordedEvent>, RecorderError>,
) -> Result<Vec<RecordedEvent>, RecorderError> {
    let mut events = Vec::new();
    while events.len() < limit {
        match next()? {
            Some(event) => events.push(event),
            None => break,
        }
    }
    Ok(events)
}

impl fmt::Debug for Queries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queries").finish_non_exhaustive()
    }
}
