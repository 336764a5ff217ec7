//! The one thread that moves events from the journals to the store.
//!
//! Invariants:
//! - A journal's bytes are given back only after the store has taken what they hold, and has it on the disk where a shard
//!   was told that the journal had.
//! - A failing store is never silent: health and metrics say so, the write is repeated with growing pauses, and the
//!   events wait in the journals, whose shards wait when they are full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, RecvTimeoutError};

use super::assemble::Assembler;
use super::error::RecorderError;
use super::health::HealthState;
use super::journal::sync::Promises;
use super::journal::tail::{self, Bytes, Tail};
use super::retention;
use super::rows::EndReason;
use super::store::{Rows, Store};
use crate::limits::JOURNAL_WAKE_BYTES;

/// A block's time: how stale a query's answer may be.
const TICK: Duration = Duration::from_millis(250);
const RETENTION_EVERY: Duration = Duration::from_secs(3600);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Failed writes after which the database is opened anew: RocksDB clears some failures itself, others only so.
const REOPEN_AFTER: u32 = 3;

/// How a stop ended that could not write everything.
type Stopped = Result<(), RecorderError>;

/// The writer's state, moved to its thread.
pub(super) struct Writer {
    pub store: Arc<Store>,
    pub assembler: Assembler,
    /// Live journals, numbered as they were added to the assembler.
    pub tails: Vec<Tail>,
    pub wake: Receiver<()>,
    pub stopping: Arc<AtomicBool>,
    /// How long a stop waits for a failing store.
    pub stop_limit: Duration,
    pub health: Arc<HealthState>,
    pub retention_days: Option<u32>,
    /// Every exchange is promised to be on the disk before its answer leaves.
    pub synced: bool,
    /// What shards were told is on the disk.
    pub promises: Promises,
}

impl Writer {
    /// Runs until stopped; then everything is in the store, or the error says why not.
    pub(super) fn run(mut self) -> Stopped {
        let mut next_tick = Instant::now() + TICK;
        let mut next_retention = Instant::now();
        loop {
            let woken = match self.wake.recv_deadline(next_tick) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
            };
            if self.stopping.load(Ordering::Acquire) {
                return self.stop();
            }
            if woken && Instant::now() < next_tick {
                self.drain(JOURNAL_WAKE_BYTES / 2)?;
                continue;
            }
            next_tick = Instant::now() + TICK;
            self.tick()?;
            if Instant::now() >= next_retention {
                next_retention = Instant::now() + RETENTION_EVERY;
                self.retain();
            }
        }
    }

    fn tick(&mut self) -> Stopped {
        let now_ns = now_ns();
        self.drain(0)?;
        self.assembler.end_idle(now_ns);
        self.commit()
    }

    fn stop(mut self) -> Stopped {
        self.drain(0)?;
        self.assembler.end_all(EndReason::Stopped, Some(now_ns()));
        self.commit()?;
        self.store.flush(false)
    }

    /// Takes over what the journals hold now, those with more than `over_bytes`, in the order of time.
    fn drain(&mut self, over_bytes: u64) -> Stopped {
        let limit_of = |tail: &Tail| {
            let head = tail.bytes.head();
            if head - tail.position > over_bytes { head } else { tail.position }
        };
        let limits: Vec<u64> = self.tails.iter().map(limit_of).collect();
        while let Some(lane) = tail::earliest(&mut self.tails, &limits)? {
            if let Some((taken, position)) = self.tails[lane].take()? {
                self.assembler.push(lane, &taken, position);
            }
            if self.assembler.is_full() {
                self.commit()?;
            }
        }
        for (lane, (tail, limit)) in self.tails.iter_mut().zip(limits).enumerate() {
            let lost_bytes = tail.give_up_to(limit);
            if lost_bytes > 0 {
                // Memory that changed under us: a hardware fault or a stray write. What follows is readable again.
                tracing::error!(lane, lost_bytes, "entries of a journal were damaged before they could be stored");
                metrics::counter!("weir_recorder_not_captured_total").increment(1);
            }
            self.assembler.skip_to(lane, tail.position);
        }
        self.commit()
    }

    /// Writes what the assembler has, however long it takes, then gives the journals' bytes back.
    fn commit(&mut self) -> Stopped {
        let (rows, done) = self.assembler.finish();
        let mut on_disk = false;
        if !rows.is_empty() {
            on_disk = self.synced || self.promises.are_due(positions(&self.tails));
            self.write(&rows, on_disk)?;
            self.health.stored(done.events);
            metrics::counter!("weir_recorder_events_total").increment(done.events);
            metrics::counter!("weir_recorder_blocks_total").increment(done.blocks);
            metrics::counter!("weir_recorder_bytes_total").increment(done.block_bytes);
            metrics::counter!("weir_recorder_not_captured_total").increment(done.not_captured);
        }
        // A promise may have been made while the store was written.
        if !on_disk && self.promises.are_due(positions(&self.tails)) {
            if let Err(error) = self.store.sync() {
                // The journals keep their bytes; the next commit tries again.
                self.report_failure(&error, 1);
                return Ok(());
            }
            on_disk = true;
        }
        if on_disk {
            self.promises.kept(positions(&self.tails));
        }
        for tail in &mut self.tails {
            if let Bytes::Live(consumer) = &mut tail.bytes {
                consumer.release_to(tail.position);
            }
        }
        metrics::gauge!("weir_recorder_lag_bytes").set(self.health.lag_bytes() as f64);
        Ok(())
    }

    fn write(&mut self, rows: &Rows, promised: bool) -> Stopped {
        let mut pause = RETRY_FIRST;
        let mut stop_by = None;
        for attempt in 1u32.. {
            let written = if promised { self.store.write_synced(rows) } else { self.store.write(rows) };
            let Err(error) = written else {
                break;
            };
            self.report_failure(&error, attempt);
            if self.stopping.load(Ordering::Acquire) {
                let by = *stop_by.get_or_insert_with(|| Instant::now() + self.stop_limit);
                if Instant::now() >= by {
                    return Err(error);
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(RETRY_MAX);
            if attempt % REOPEN_AFTER == 0
                && let Err(error) = self.store.reopen()
            {
                self.report_failure(&error, attempt);
            }
        }
        if self.health.report().failed.is_some() {
            tracing::info!("the recording's store takes writes again");
            self.health.set_failed(None);
        }
        metrics::gauge!("weir_recorder_degraded").set(0.0);
        Ok(())
    }

    fn report_failure(&self, error: &RecorderError, attempt: u32) {
        tracing::error!(%error, attempt, "the recording cannot be written; events wait in the journals");
        self.health.set_failed(Some(error.to_string()));
        metrics::gauge!("weir_recorder_degraded").set(1.0);
        metrics::gauge!("weir_recorder_lag_bytes").set(self.health.lag_bytes() as f64);
    }

    fn retain(&self) {
        let Some(days) = self.retention_days else {
            return;
        };
        match retention::drop_old(&self.store, days, now_ns()) {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(days = dropped, "dropped days beyond retention"),
            Err(error) => tracing::error!(%error, "retention failed; it is tried again in an hour"),
        }
    }
}

/// Up to where each journal was taken over.
fn positions(tails: &[Tail]) -> impl Iterator<Item = u64> {
    tails.iter().map(|tail| tail.position)
}

/// Now, ns since the Unix epoch.
pub(super) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
