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

use super::error::RecorderError;
use super::events::{EventCursor, EventReader, JoinedReader, RecordedEvent};
use super::folder;
use super::frame_reader::FrameReader;
use super::frames::{FrameCursor, FramePage};
use super::keys::{self, hour_of};
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
        SessionFilter { identity: None, topic: None, since_ns: None, until_ns: None, limit: 100 }
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
        let touching = match (&filter.topic, &filter.identity) {
            (Some(topic), Some(_)) => Some(self.touching(topic, filter)?),
            _ => None,
        };
        let (family, name) = match (&filter.identity, &filter.topic) {
            (Some(subject), _) => (Family::ByIdentity, Some(subject.as_str())),
            (None, Some(topic)) => (Family::ByTopic, Some(topic.as_str())),
            (None, None) => (Family::ByTime, None),
        };
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        self.visit_hours(family, filter, |hour| {
            for id in self.sessions_of_hour(family, hour, name)? {
                let asked = touching.as_ref().is_none_or(|touching| touching.contains(&id));
                if asked && seen.insert(id) {
                    found.extend(self.row(id)?.filter(|row| is_within(row, filter)));
                }
            }
            Ok(found.len() < filter.limit)
        })?;
        found.sort_by_key(|row| std::cmp::Reverse((row.last_activity_ns, row.id)));
        found.truncate(filter.limit);
        Ok(found.into_iter().map(SessionSummary::from).collect())
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

    fn row(&self, id: SessionId) -> Result<Option<SessionRow>, RecorderError> {
        let Some(bytes) = self.store.get(Family::Sessions, &keys::session(id))? else {
            return Ok(None);
        };
        SessionRow::decode(&bytes).map(Some).map_err(RecorderError::damaged("session"))
    }

    /// All sessions that touched `topic` in the window's hours.
    fn touching(&self, topic: &str, filter: &SessionFilter) -> Result<BTreeSet<SessionId>, RecorderError> {
        let mut ids = BTreeSet::new();
        self.visit_hours(Family::ByTopic, filter, |hour| {
            ids.extend(self.sessions_of_hour(Family::ByTopic, hour, Some(topic))?);
            Ok(true)
        })?;
        Ok(ids)
    }

    /// Visits the hours of the window that have rows in `family`, the latest first, until `visit` says false.
    fn visit_hours(
        &self,
        family: Family,
        filter: &SessionFilter,
        mut visit: impl FnMut(u32) -> Result<bool, RecorderError>,
    ) -> Result<(), RecorderError> {
        let from = keys::hour(filter.since_ns.map_or(0, hour_of));
        let mut to = filter.until_ns.and_then(|until_ns| keys::after(&keys::hour(hour_of(until_ns))));
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

    fn sessions_of_hour(&self, family: Family, hour: u32, name: Option<&str>) -> Result<Vec<SessionId>, RecorderError> {
        let prefix = name.map_or_else(|| keys::hour(hour), |name| keys::hour_and_name(hour, name));
        let to = keys::after(&prefix);
        let mut ids = Vec::new();
        self.store.scan(family, (&prefix, to.as_deref()), Direction::Down, &mut |key, _| {
            ids.extend(keys::session_at_end(key));
            ControlFlow::Continue(())
        })?;
        Ok(ids)
    }
}

fn is_within(row: &SessionRow, filter: &SessionFilter) -> bool {
    filter.since_ns.is_none_or(|since_ns| row.last_activity_ns >= since_ns)
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
