//! Taking over what a previous life left in its journals, and the read-only view of the same.
//!
//! Invariants:
//! - Recovery and the read-only view run the same code; one writes its rows, the other lays them over the store.
//! - A journal's file is removed only after all of its entries are in the store.
//! - Damage is reported with the bytes that could not be read, never passed over in silence.

use std::path::{Path, PathBuf};

use super::assemble::Assembler;
use super::error::RecorderError;
use super::journal::tail::{self, Tail};
use super::keys;
use super::rows::EndReason;
use super::store::{Family, Rows, Store};

/// A journal whose committed entries could not all be read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct JournalDamage {
    /// The journal's file.
    pub path: PathBuf,
    /// Bytes from the first unreadable entry to the last committed one.
    pub lost_bytes: u64,
    /// Entries that were whole but in no form known to this build.
    pub unreadable_entries: u64,
}

/// What recovery found.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// Every journal's file, taken over completely, and its random number.
    pub journals: Vec<(PathBuf, u64)>,
    /// Those that were damaged.
    pub damage: Vec<JournalDamage>,
    /// Events taken over.
    pub events: u64,
}

/// Replays all journals of `folder` on top of `store` and ends what was open; `commit` gets the rows in order.
pub(super) fn replay(
    store: &Store,
    folder: &Path,
    mut commit: impl FnMut(Rows) -> Result<(), RecorderError>,
) -> Result<Recovered, RecorderError> {
    let idle_ns = store.number(keys::SESSION_IDLE)?.unwrap_or(u64::MAX);
    let mut assembler = Assembler::load(store, idle_ns)?;
    let mut recovered = Recovered::default();
    let mut tails = Vec::new();
    for path in journal_files(folder)? {
        let Some(mut tail) = Tail::open(&path)? else {
            recovered.damage.push(JournalDamage { path, lost_bytes: 0, unreadable_entries: 0 });
            continue;
        };
        tail.start_at(assembler.add_journal(store, tail.head.clone())?);
        recovered.journals.push((path, tail.head.epoch));
        tails.push(tail);
    }
    // Beyond the head there may be entries that were complete when the process died; the checksums end them.
    let limits = vec![u64::MAX; tails.len()];
    while let Some(lane) = tail::earliest(&mut tails, &limits)? {
        if let Some((taken, position)) = tails[lane].take()? {
            assembler.push(lane, &taken, position);
        }
        if assembler.is_full() {
            let (rows, done) = assembler.finish();
            recovered.events += done.events;
            commit(rows)?;
        }
    }
    for (lane, (tail, (path, _))) in tails.iter().zip(&recovered.journals).enumerate() {
        assembler.skip_to(lane, tail.position);
        let lost_bytes = tail.bytes.head().saturating_sub(tail.position);
        if lost_bytes > 0 || tail.unreadable > 0 {
            let damage = JournalDamage { path: path.clone(), lost_bytes, unreadable_entries: tail.unreadable };
            recovered.damage.push(damage);
        }
    }
    assembler.end_all(EndReason::Recovered, None);
    let (rows, done) = assembler.finish();
    recovered.events += done.events;
    commit(rows)?;
    Ok(recovered)
}

/// Removes journals that were taken over, and what the store remembers of them.
pub(super) fn discard(store: &Store, recovered: &Recovered) -> Result<(), RecorderError> {
    let mut rows = Rows::default();
    for (path, epoch) in &recovered.journals {
        std::fs::remove_file(path).map_err(RecorderError::io("remove the journal", path))?;
        rows.delete(Family::Meta, keys::journal(*epoch));
    }
    for damage in recovered.damage.iter().filter(|damage| damage.path.exists()) {
        keep_aside(&damage.path)?;
    }
    if rows.is_empty() { Ok(()) } else { store.write(&rows) }
}

/// A file that is no journal any more is kept for whoever wants to look, out of the way of the next journal.
fn keep_aside(path: &Path) -> Result<(), RecorderError> {
    std::fs::rename(path, path.with_extension("damaged")).map_err(RecorderError::io("put aside the journal", path))
}

fn journal_files(folder: &Path) -> Result<Vec<PathBuf>, RecorderError> {
    let mut files = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(RecorderError::io("list the journals in", folder)(error)),
    };
    for entry in entries {
        let path = entry.map_err(RecorderError::io("list the journals in", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "journal") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
