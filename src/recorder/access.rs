//! A small key-value store beside the recording, for what decides who may do what: tokens, access requests, and the notices
//! that tell others of them.
//!
//! Invariants:
//! - What `put`, `delete` and `write` say is on the disk when they return: a revoked token stays revoked.
//! - All of one `write` is there after a crash, or none of it.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::error::RecorderError;
use super::folder::{Folder, Lock};
use super::keys;
use super::store::{Direction, Family, Rows, Store};

/// A key and its value.
pub type AccessRow = (Vec<u8>, Vec<u8>);

/// A key and what it is to hold from now on; none removes its row.
pub type AccessChange = (Vec<u8>, Option<Vec<u8>>);

/// The rows of the `access` family.
#[derive(Clone)]
pub struct AccessStore {
    store: Arc<Store>,
    /// Held where no gateway holds it.
    _lock: Option<Arc<Lock>>,
}

/// Opens the access rows of the store at `path` while no gateway runs: takes the store's lock, makes the store where there
/// is none. With a gateway running this is [`RecorderError::InUse`]: ask the gateway instead.
pub fn open_access(path: &Path) -> Result<AccessStore, RecorderError> {
    let folder = Folder::create(path)?;
    let lock = folder.lock()?;
    let store = Arc::new(Store::open(folder.path())?);
    Ok(AccessStore { store, _lock: Some(Arc::new(lock)) })
}

impl AccessStore {
    pub(super) fn of(store: Arc<Store>) -> AccessStore {
        AccessStore { store, _lock: None }
    }

    /// Sets a row.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), RecorderError> {
        let mut rows = Rows::default();
        rows.put(Family::Access, key, value);
        self.store.write_synced(&rows)
    }

    /// The value of a row; none where there is no such row.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RecorderError> {
        self.store.get(Family::Access, key)
    }

    /// Removes a row, if there is one.
    pub fn delete(&self, key: &[u8]) -> Result<(), RecorderError> {
        let mut rows = Rows::default();
        rows.delete(Family::Access, key);
        self.store.write_synced(&rows)
    }

    /// Makes all of `changes` or none of them. Of several for one key the last counts.
    pub fn write(&self, changes: impl IntoIterator<Item = AccessChange>) -> Result<(), RecorderError> {
        let mut rows = Rows::default();
        for (key, value) in changes {
            match value {
                Some(value) => rows.put(Family::Access, key, value),
                None => rows.delete(Family::Access, key),
            }
        }
        self.store.write_synced(&rows)
    }

    /// All rows whose key starts with `prefix`, in the order of their keys.
    pub fn scan(&self, prefix: &[u8]) -> Result<Vec<AccessRow>, RecorderError> {
        self.scan_from(prefix, prefix, usize::MAX)
    }

    /// The first `most` rows from the key `from` on whose keys start with `prefix`, in the order of their keys. `from` starts
    /// with `prefix`.
    pub fn scan_from(&self, from: &[u8], prefix: &[u8], most: usize) -> Result<Vec<AccessRow>, RecorderError> {
        self.collect((from, keys::after(prefix).as_deref()), Direction::Up, most)
    }

    /// The row with the last of the keys that start with `prefix`.
    pub fn last(&self, prefix: &[u8]) -> Result<Option<AccessRow>, RecorderError> {
        let rows = self.collect((prefix, keys::after(prefix).as_deref()), Direction::Down, 1)?;
        Ok(rows.into_iter().next())
    }

    fn collect(
        &self,
        range: (&[u8], Option<&[u8]>),
        direction: Direction,
        most: usize,
    ) -> Result<Vec<AccessRow>, RecorderError> {
        let mut rows = Vec::new();
        if most == 0 {
            return Ok(rows);
        }
        self.store.scan(Family::Access, range, direction, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            if rows.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(rows)
    }
}

impl fmt::Debug for AccessStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessStore").finish_non_exhaustive()
    }
}
