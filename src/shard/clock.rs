//! Time on a shard: nanoseconds since the Unix epoch that never step back within a connection.
//!
//! The wall clock is read once, when a connection is accepted; from then on its monotonic clock counts.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A connection's clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall_ns: u64,
    start: Instant,
}

impl Clock {
    /// Reads the wall clock.
    pub fn start() -> Self {
        Clock { wall_ns: wall_ns(), start: Instant::now() }
    }

    /// Now, ns since the Unix epoch.
    pub fn now_ns(&self) -> u64 {
        let elapsed = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.wall_ns.saturating_add(elapsed)
    }
}

/// The wall clock, ns since the Unix epoch.
pub fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
