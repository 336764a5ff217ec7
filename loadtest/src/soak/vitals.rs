//! What a gateway holds, looked at from outside: memory, file descriptors, threads, connections; and whether it grows.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use crate::weir::Gateway;
use crate::{During, Failure, Result};

/// What memory may grow by between two quarters of a run, KiB: what an allocator does not give back, and what the store
/// needs for an entry beside the entry itself.
const GROWTH_KIB: u64 = 12 << 10;
/// The same as a share; the greater of both counts, percent.
const GROWTH_PERCENT: u64 = 10;

/// One look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vitals {
    /// Since the first look.
    pub at: Duration,
    /// Memory of its own (`RssAnon`), KiB: without the journals' mapped pages, which are the kernel's to take back.
    pub anonymous_kib: u64,
    /// What of it holds entries of the recording that are not in table files yet, as the store's log has them, KiB: they
    /// fill buffers of a fixed size for an hour or so, which is no leak.
    pub unwritten_kib: u64,
    /// All of its resident memory (`VmRSS`), KiB.
    pub resident_kib: u64,
    /// Open descriptors that are sockets.
    pub sockets: usize,
    /// Open descriptors that are not: the store's files, mostly.
    pub files: usize,
    /// Threads.
    pub threads: usize,
    /// `weir_connections` over all listeners and states: each has one or two tasks, and a place for its exchanges.
    pub connections: i64,
}

impl Vitals {
    /// Looks at a running gateway.
    pub fn of(gateway: &Gateway, started: Instant) -> Result<Self> {
        let pid = gateway.pid().ok_or_else(|| Failure::new("the gateway is not running"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).during("read a gateway's status")?;
        let number = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let value = value.and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok());
            value.ok_or_else(|| Failure::new(format!("no {name} in a gateway's status")))
        };
        let (mut sockets, mut files) = (0, 0);
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).during("list a gateway's descriptors")?.flatten() {
            // One that is closed between the listing and this look counts no more.
            match fs::read_link(entry.path()) {
                Ok(target) if target.to_string_lossy().starts_with("socket:") => sockets += 1,
                Ok(_) => files += 1,
                Err(_) => {}
            }
        }
        let mut unwritten = 0;
        for entry in fs::read_dir(gateway.store_path().join("db")).during("list the store")?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                unwritten += entry.metadata().map_or(0, |log| log.len());
            }
        }
        let connections = gateway.metrics()?.sum("weir_connections", &[]).unwrap_or_default();
        Ok(Self {
            at: started.elapsed(),
            anonymous_kib: number("RssAnon")?,
            unwritten_kib: unwritten >> 10,
            resident_kib: number("VmRSS")?,
            sockets,
            files,
            threads: usize::try_from(number("Threads")?).during("a count of threads")?,
            connections: connections as i64,
        })
    }

    /// What it still holds beyond `before`, in words; none when it is back.
    ///
    /// The scrape that looks is a connection too, and so are the watcher's to brokers, of which a restart leaves a
    /// different number: a few sockets are no leak of clients' connections, of which there were dozens.
    pub fn beyond(&self, before: &Self) -> Option<String> {
        const OWN_SOCKETS: usize = 4;
        let mut held = Vec::new();
        if self.connections > before.connections {
            held.push(format!("{} connections, {} before", self.connections, before.connections));
        }
        if self.sockets > before.sockets + OWN_SOCKETS {
            held.push(format!("{} sockets, {} before", self.sockets, before.sockets));
        }
        if self.threads > before.threads {
            held.push(format!("{} threads, {} before", self.threads, before.threads));
        }
        if self.files > before.files + STORE_FILES {
            held.push(format!("{} other descriptors, {} before", self.files, before.files));
        }
        (!held.is_empty()).then(|| held.join(", "))
    }
}

/// The store opens at most 256 table files, and a few of its own: docs/operations.md, "Sizing".
const STORE_FILES: usize = 300;

impl fmt::Display for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |kib: u64| format!("{}.{} MiB", kib >> 10, ((kib & 1023) * 10) >> 10);
        write!(
            f,
            "{:>5} s {:>11} {:>11} {:>11} {:>8} {:>6} {:>8} {:>12}",
            self.at.as_secs(),
            mib(self.anonymous_kib),
            mib(self.unwritten_kib),
            mib(self.resident_kib),
            self.sockets,
            self.files,
            self.threads,
            self.connections
        )
    }
}

/// Names the columns of [`Vitals`].
pub const COLUMNS: &str = "   time         own   unwritten    resident  sockets  files  threads  connections";

/// Memory of one's own, without what the store has not written yet, once warm and at the end: medians of the second and
/// the last quarter, KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Of the second quarter; the first is warm-up.
    pub warm_kib: u64,
    /// Of the last quarter.
    pub end_kib: u64,
}

impl Memory {
    /// Over looks at even distances; none with fewer than eight.
    pub fn over(looks: &[Vitals]) -> Option<Self> {
        let quarter = looks.len() / 4;
        let median = |looks: &[Vitals]| {
            let mut sizes: Vec<u64> =
                looks.iter().map(|look| look.anonymous_kib.saturating_sub(look.unwritten_kib)).collect();
            sizes.sort_unstable();
            sizes.get(sizes.len() / 2).copied()
        };
        let (warm, end) = (looks.get(quarter..2 * quarter)?, looks.get(looks.len() - quarter..)?);
        (quarter >= 2).then_some(Self { warm_kib: median(warm)?, end_kib: median(end)? })
    }

    /// What it may have at the end.
    pub fn allowed_kib(&self) -> u64 {
        self.warm_kib + GROWTH_KIB.max(self.warm_kib * GROWTH_PERCENT / 100)
    }

    /// Whether it grew by more than it may.
    pub fn grew(&self) -> bool {
        self.end_kib > self.allowed_kib()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn looks(kib: impl Fn(u64) -> u64) -> Vec<Vitals> {
        (0..600).map(|n| Vitals { anonymous_kib: kib(n), ..Vitals::default() }).collect()
    }

    #[test]
    fn memory_that_levels_out_is_in_order_and_a_leak_is_found() {
        let memory = |kib: &dyn Fn(u64) -> u64| Memory::over(&looks(kib)).unwrap();
        assert!(!memory(&|n| 100_000 + 30_000 * n.min(150) / 150).grew(), "warm-up is no growth");
        assert!(!memory(&|n| 100_000 + if n % 100 == 0 { 500_000 } else { 0 }).grew(), "a peak is no growth");
        assert!(memory(&|n| 100_000 + 50 * n).grew(), "50 KiB a look");
        let mut filling = looks(|n| 100_000 + 50 * n);
        filling.iter_mut().zip(0..).for_each(|(look, n)| look.unwritten_kib = 50 * n);
        assert!(!Memory::over(&filling).unwrap().grew(), "the store's buffers fill");
        assert!(Memory::over(&looks(|_| 1)[..7]).is_none());
    }

    #[test]
    fn what_is_left_behind_is_found() {
        let before = Vitals { sockets: 10, threads: 8, files: 40, ..Vitals::default() };
        assert_eq!(before.beyond(&before), None);
        assert!(Vitals { connections: 1, ..before }.beyond(&before).unwrap().contains("1 connections"));
        assert!(Vitals { sockets: 15, ..before }.beyond(&before).unwrap().contains("15 sockets"));
        assert!(Vitals { threads: 9, ..before }.beyond(&before).unwrap().contains("9 threads"));
        assert!(Vitals { files: 400, ..before }.beyond(&before).unwrap().contains("400 other"));
    }
}
