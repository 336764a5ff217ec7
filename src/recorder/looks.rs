//! Who looked at the recording: rows in the order of time, beside the tokens, kept as many days as recordings are.
//!
//! Invariants:
//! - A look is on the disk when `note` returns: what is shown after it has been noted.
//! - No two looks share a time, so that a time names a place among them for good.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use super::access::AccessStore;
use super::error::RecorderError;
use super::keys;
use super::store::{Direction, Family, Rows};

/// The looks of a store.
#[derive(Clone)]
pub struct LookStore {
    access: AccessStore,
    /// One at a time: each takes the first free moment.
    noting: Arc<Mutex<()>>,
}

/// The place of a look among all of them: its time, ns since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookCursor(pub u64);

/// A look: its place, and what was noted of it.
pub type LookRow = (LookCursor, Vec<u8>);

impl LookStore {
    /// The looks that are kept in `access`.
    pub fn of(access: AccessStore) -> LookStore {
        LookStore { access, noting: Arc::default() }
    }

    /// Notes a look at `now_ns`, or at the first moment after it that is free.
    pub fn note(&self, now_ns: u64, look: &[u8]) -> Result<(), RecorderError> {
        let store = self.access.store();
        let _one_at_a_time = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at_ns = now_ns;
        while store.get(Family::Access, &keys::look(at_ns))?.is_some() {
            at_ns = at_ns.saturating_add(1);
        }
        let mut rows = Rows::default();
        rows.put(Family::Access, keys::look(at_ns), look);
        store.write_synced(&rows)
    }

    /// At most `limit` looks before `before`, the latest first; all there are where it is not given.
    pub fn before(&self, before: Option<LookCursor>, limit: usize) -> Result<Vec<LookRow>, RecorderError> {
        let to = before.map(|LookCursor(at_ns)| keys::look(at_ns)).or_else(|| keys::after(keys::LOOK));
        let mut rows = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        let range = (keys::LOOK, to.as_deref());
        self.access.store().scan(Family::Access, range, Direction::Down, &mut |key, look| {
            if let Some(at_ns) = key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes)) {
                rows.push((LookCursor(at_ns), look.to_vec()));
            }
            if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(rows)
    }
}

impl fmt::Display for LookCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for LookCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at_ns = u64::from_str_radix(text, 16);
        at_ns.map(LookCursor).map_err(|_| "that cursor is not one of this list".to_owned())
    }
}

impl fmt::Debug for LookStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookStore").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::recorder::{open_access, retention};

    #[test]
    fn looks_of_one_moment_are_all_kept_paged_backwards_and_forgotten_by_days() {
        let folder = tempfile::tempdir().unwrap();
        let access = open_access(&folder.path().join("store")).unwrap();
        access.put(b"token/x", b"stays").unwrap();
        let looks = LookStore::of(access.clone());
        let day = keys::DAY_NS;
        for (at_ns, who) in [(day, "a"), (20 * day, "b"), (20 * day, "c"), (21 * day, "d")] {
            looks.note(at_ns, who.as_bytes()).unwrap();
        }
        let page = looks.before(None, 2).unwrap();
        let said =
            |rows: &[LookRow]| String::from_utf8(rows.iter().flat_map(|(_, who)| who.clone()).collect()).unwrap();
        assert_eq!(said(&page), "dc");
        let from: LookCursor = page[1].0.to_string().parse().unwrap();
        assert_eq!(said(&looks.before(Some(from), 5).unwrap()), "ba");
        retention::drop_old(access.store(), 1, 21 * day + 1).unwrap();
        assert_eq!(said(&looks.before(None, 9).unwrap()), "dcb");
        assert!(access.get(b"token/x").unwrap().is_some());
    }
}
