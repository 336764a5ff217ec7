//! Bringing journals to the disk, on demand: one thread for all shards, one fdatasync for all that wait.
//!
//! A shard's connection asks for a position and awaits it. While the disk is busy others ask too; the next sync covers
//! them together. What has to be on the disk is the file as a whole: the entries, and the page with the head, which may
//! be older than they are, since reading goes on behind the head as long as checksums hold.
//!
//! Invariants:
//! - A position counts as reached only when an fdatasync that began after it was appended has succeeded.
//! - A journal whose sync failed once promises nothing any more: the kernel may have dropped what it could not write.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::channel::{Receiver, Sender, bounded};
use thiserror::Error;
use tokio::sync::Notify;

use crate::recorder::error::RecorderError;

/// The disk did not take a journal: nothing more of it can be promised until the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the journal could not be synced to the disk")]
pub struct NotSynced;

/// One journal, as the thread and its shard share it.
#[derive(Debug)]
struct Lane {
    file: File,
    wanted: AtomicU64,
    reached: AtomicU64,
    failed: AtomicBool,
    /// Wakes those who wait for a position.
    moved: Notify,
}

/// A shard's end: asks for positions of its own journal.
#[derive(Debug, Clone)]
pub struct JournalSync {
    lane: Arc<Lane>,
    ask: Sender<()>,
}

impl JournalSync {
    /// Waits until everything before `position` is on the disk. Blocks no thread, on any executor.
    pub async fn reached(&self, position: u64) -> Result<(), NotSynced> {
        let lane = &*self.lane;
        loop {
            // Made before looking: a sync that ends in between is not missed.
            let moved = lane.moved.notified();
            if lane.failed.load(Ordering::Acquire) {
                return Err(NotSynced);
            }
            if lane.reached.load(Ordering::Acquire) >= position {
                return Ok(());
            }
            lane.wanted.fetch_max(position, Ordering::AcqRel);
            // A full channel means that it was asked already.
            let _ = self.ask.try_send(());
            moved.await;
        }
    }
}

/// The thread in the making: journals are added, then it starts.
#[derive(Debug)]
pub(in crate::recorder) struct Syncer {
    lanes: Vec<Arc<Lane>>,
    ask: Sender<()>,
    asked: Receiver<()>,
}

/// What shards were told is on the disk, and up to where the store on the disk has taken it over.
#[derive(Debug)]
pub(in crate::recorder) struct Promises {
    lanes: Vec<Arc<Lane>>,
    stored: Vec<u64>,
}

impl Promises {
    /// The journals' bytes before these positions are about to be given back: whether the store has to be on the disk
    /// before they are, because somebody was promised that they are. A promise stands until [`Promises::kept`].
    pub(in crate::recorder) fn are_due(&self, positions: impl Iterator<Item = u64>) -> bool {
        let lanes = self.lanes.iter().zip(positions).zip(&self.stored);
        lanes.into_iter().any(|((lane, position), stored)| {
            // What is promised beyond the position stays in the journal.
            lane.reached.load(Ordering::Acquire).min(position) > *stored
        })
    }

    /// The store is on the disk, with all that the journals held before these positions.
    pub(in crate::recorder) fn kept(&mut self, positions: impl Iterator<Item = u64>) {
        self.stored = positions.collect();
    }
}

impl Syncer {
    pub(in crate::recorder) fn new() -> Self {
        let (ask, asked) = bounded(1);
        Syncer { lanes: Vec::new(), ask, asked }
    }

    /// Adds a journal's file.
    pub(super) fn add(&mut self, file: File) -> JournalSync {
        let lane = Arc::new(Lane {
            file,
            wanted: AtomicU64::new(0),
            reached: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            moved: Notify::new(),
        });
        self.lanes.push(Arc::clone(&lane));
        JournalSync { lane, ask: self.ask.clone() }
    }

    pub(in crate::recorder) fn promises(&self) -> Promises {
        let zeros = vec![0; self.lanes.len()];
        Promises { lanes: self.lanes.clone(), stored: zeros }
    }

    /// Starts the thread; it ends when no journal is left to ask.
    pub(in crate::recorder) fn start(self) -> Result<(), RecorderError> {
        let Syncer { lanes, ask, asked } = self;
        drop(ask);
        let run = move || {
            while asked.recv().is_ok() {
                lanes.iter().for_each(|lane| sync(lane));
            }
        };
        let thread = std::thread::Builder::new().name("weir-sync".to_owned()).spawn(run);
        thread.map(drop).map_err(|error| RecorderError::Writer(error.to_string()))
    }
}

fn sync(lane: &Lane) {
    let wanted = lane.wanted.load(Ordering::Acquire);
    if wanted <= lane.reached.load(Ordering::Acquire) {
        return;
    }
    match lane.file.sync_data() {
        Ok(()) => {
            lane.reached.store(wanted, Ordering::Release);
            metrics::counter!("weir_journal_syncs_total").increment(1);
        }
        Err(error) => {
            tracing::error!(%error, "a journal could not be synced; connections that rely on it end");
            lane.failed.store(true, Ordering::Release);
        }
    }
    lane.moved.notify_waiters();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lane() -> (Syncer, JournalSync) {
        let mut syncer = Syncer::new();
        let sync = syncer.add(tempfile::tempfile().unwrap());
        (syncer, sync)
    }

    #[test]
    fn all_who_wait_are_served_by_one_sync() {
        let (syncer, sync) = lane();
        let mut promises = syncer.promises();
        let lanes = syncer.lanes.clone();
        futures_lite::future::block_on(async {
            let mut first = Box::pin(sync.reached(10));
            let mut second = Box::pin(sync.reached(30));
            assert!(futures_lite::future::poll_once(&mut first).await.is_none());
            assert!(futures_lite::future::poll_once(&mut second).await.is_none());
            assert!(!promises.are_due([5].into_iter()), "nothing was promised yet");
            super::sync(&lanes[0]);
            assert_eq!((first.await, second.await), (Ok(()), Ok(())));
        });
        assert!(promises.are_due([20].into_iter()), "a promise was made");
        assert!(promises.are_due([20].into_iter()), "and stands, however often it is asked about, until it is kept");
        promises.kept([20].into_iter());
        assert!(!promises.are_due([20].into_iter()));
        assert!(promises.are_due([40].into_iter()), "it stands for what was not taken over then");
        promises.kept([40].into_iter());
        assert!(!promises.are_due([50].into_iter()));
        assert_eq!(lanes[0].reached.load(Ordering::Acquire), 30);
    }

    #[test]
    fn a_journal_that_could_not_be_synced_promises_nothing_any_more() {
        let mut syncer = Syncer::new();
        // A pipe's end takes no fdatasync.
        let (reader, _writer) = std::io::pipe().unwrap();
        let sync = syncer.add(File::from(std::os::fd::OwnedFd::from(reader)));
        let lanes = syncer.lanes.clone();
        syncer.start().unwrap();
        assert_eq!(futures_lite::future::block_on(sync.reached(1)), Err(NotSynced));
        assert_eq!(futures_lite::future::block_on(sync.reached(0)), Err(NotSynced));
        assert_eq!(lanes[0].reached.load(Ordering::Acquire), 0);
    }
}
