//! What the recording says about itself, to `/readyz` and the metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::journal::ring::Gauge;
use super::recovery::JournalDamage;

/// The state of the recording.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RecorderHealth {
    /// The store takes what the writer brings.
    pub writable: bool,
    /// Why not, when it does not.
    pub failed: Option<String>,
    /// Bytes in the journals that are not in the store yet.
    pub lag_bytes: u64,
    /// Events in the journals that are not in the store yet.
    pub lag_events: u64,
    /// Journals of the previous life that were damaged.
    pub damage: Vec<JournalDamage>,
}

/// Shared between the writer and whoever asks.
#[derive(Debug)]
pub(super) struct HealthState {
    gauges: Vec<Gauge>,
    events_stored: AtomicU64,
    failed: Mutex<Option<String>>,
    damage: Vec<JournalDamage>,
}

impl HealthState {
    pub(super) fn new(gauges: Vec<Gauge>, damage: Vec<JournalDamage>) -> HealthState {
        HealthState { gauges, events_stored: AtomicU64::new(0), failed: Mutex::new(None), damage }
    }

    pub(super) fn stored(&self, events: u64) {
        self.events_stored.fetch_add(events, Ordering::Relaxed);
    }

    pub(super) fn set_failed(&self, reason: Option<String>) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    pub(super) fn lag_bytes(&self) -> u64 {
        self.gauges.iter().map(Gauge::lag_bytes).sum()
    }

    pub(super) fn report(&self) -> RecorderHealth {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stored = self.events_stored.load(Ordering::Relaxed);
        let appended: u64 = self.gauges.iter().map(Gauge::entries).sum();
        RecorderHealth {
            writable: failed.is_none(),
            failed,
            lag_bytes: self.lag_bytes(),
            lag_events: appended.saturating_sub(stored),
            damage: self.damage.clone(),
        }
    }
}
