//! What a gateway holds, looked at from outside: memory, file descriptors, threads, tasks, connections; and whether it
//! grows.
//!
//! Two things are asked. Does what is held level out while clients come and go ([`Memory`], [`Trend`])? And is it back where
//! it was once they have left ([`Vitals::beyond`])?

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
    /// Open descriptors of the store's files: table files come and go, within a bound.
    pub store_files: usize,
    /// Open descriptors that are neither.
    pub files: usize,
    /// Threads.
    pub threads: usize,
    /// `weir_connections` over all listeners and states: each has at most two sockets and two tasks.
    pub connections: i64,
    /// `weir_tasks`: of all shards.
    pub tasks: i64,
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
        let store = gateway.store_path().join("db");
        let (mut sockets, mut store_files, mut files) = (0, 0, 0);
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).during("list a gateway's descriptors")?.flatten() {
            // One that is closed between the listing and this look counts no more.
            match fs::read_link(entry.path()) {
                Ok(target) if target.to_string_lossy().starts_with("socket:") => sockets += 1,
                Ok(target) if target.starts_with(&store) => store_files += 1,
                Ok(_) => files += 1,
                Err(_) => {}
            }
        }
        let mut unwritten = 0;
        for entry in fs::read_dir(&store).during("list the store")?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                unwritten += entry.metadata().map_or(0, |log| log.len());
            }
        }
        let metrics = gateway.metrics()?;
        let gauge = |name: &str| metrics.sum(name, &[]).unwrap_or_default() as i64;
        Ok(Self {
            at: started.elapsed(),
            anonymous_kib: number("RssAnon")?,
            unwritten_kib: unwritten >> 10,
            resident_kib: number("VmRSS")?,
            sockets,
            store_files,
            files,
            threads: usize::try_from(number("Threads")?).during("a count of threads")?,
            connections: gauge("weir_connections"),
            tasks: gauge("weir_tasks"),
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
        if self.files > before.files {
            held.push(format!("{} other descriptors, {} before", self.files, before.files));
        }
        if self.tasks > before.tasks {
            held.push(format!("{} tasks, {} before", self.tasks, before.tasks));
        }
        if self.store_files > STORE_FILES {
            held.push(format!("{} files of the store, at most {STORE_FILES} by promise", self.store_files));
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
            "{:>5} s {:>11} {:>11} {:>11} {:>8} {:>6} {:>6} {:>8} {:>12} {:>6}",
            self.at.as_secs(),
            mib(self.anonymous_kib),
            mib(self.unwritten_kib),
            mib(self.resident_kib),
            self.sockets,
            self.store_files,
            self.files,
            self.threads,
            self.connections,
            self.tasks
        )
    }
}

/// Names the columns of [`Vitals`].
pub const COLUMNS: &str =
    "   time         own   unwritten    resident  sockets  store  files  threads  connections  tasks";

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

/// Something that has to level out: its medians over the first and the last third of the looks.
///
/// What connections account for is taken off, two sockets and two tasks each: there are more or fewer of them as brokers
/// come back. Looks fall between a socket's end and its connection's, which medians even out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trend {
    /// What it is.
    pub what: &'static str,
    /// Over the first third.
    pub first: i64,
    /// Over the last.
    pub last: i64,
    /// By how much it may have grown.
    pub allowed: i64,
}

/// What is looked at, by how much it may grow, and how much of it there is.
type Level = (&'static str, i64, fn(&Vitals) -> i64);

const LEVELS: [Level; 5] = [
    ("sockets beyond two a connection", 8, |look| look.sockets as i64 - 2 * look.connections),
    ("tasks beyond two a connection", 8, |look| look.tasks - 2 * look.connections),
    ("other descriptors", 4, |look| look.files as i64),
    ("threads", 2, |look| look.threads as i64),
    ("connections", 40, |look| look.connections),
];

impl Trend {
    /// Of everything there is, over looks at even distances; none with fewer than nine.
    pub fn over(looks: &[Vitals]) -> Option<Vec<Self>> {
        let third = looks.len() / 3;
        let median = |looks: &[Vitals], of: fn(&Vitals) -> i64| {
            let mut counts: Vec<i64> = looks.iter().map(of).collect();
            counts.sort_unstable();
            counts[counts.len() / 2]
        };
        let (first, last) = (&looks[..third], &looks[looks.len() - third..]);
        let trend = |(what, allowed, of)| Self { what, first: median(first, of), last: median(last, of), allowed };
        (third >= 3).then(|| LEVELS.map(trend).into())
    }

    /// Whether it grew by more than it may.
    pub fn grew(&self) -> bool {
        self.last > self.first + self.allowed
    }
}

impl fmt::Display for Trend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} to {} ({} more allowed)", self.what, self.first, self.last, self.allowed)
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
    fn what_grows_while_clients_are_there_is_found_and_what_connections_account_for_is_not() {
        let grown = |of: &dyn Fn(i64) -> Vitals| {
            let looks: Vec<Vitals> = (0..90).map(of).collect();
            let grown = Trend::over(&looks).unwrap().into_iter().filter(Trend::grew);
            grown.map(|trend| trend.what).collect::<Vec<_>>()
        };
        let steady = Vitals { connections: 50, sockets: 110, tasks: 106, files: 20, threads: 9, ..Vitals::default() };
        let more = |base: usize, n: i64| base + usize::try_from(n).unwrap();
        assert!(grown(&|_| steady).is_empty());
        let reconnecting = |n: i64| Vitals {
            connections: 50 + n % 30,
            sockets: more(110, 2 * (n % 30)),
            tasks: 106 + 2 * (n % 30),
            ..steady
        };
        assert!(grown(&reconnecting).is_empty());
        assert_eq!(grown(&|n| Vitals { files: more(20, n / 9), ..steady }), ["other descriptors"]);
        assert_eq!(grown(&|n| Vitals { sockets: more(110, n / 5), ..steady }), ["sockets beyond two a connection"]);
        assert_eq!(grown(&|n| Vitals { tasks: 106 + n / 5, ..steady }), ["tasks beyond two a connection"]);
        assert_eq!(grown(&|n| Vitals { threads: more(9, n / 20), ..steady }), ["threads"]);
        assert!(Trend::over(&[steady; 8]).is_none());
    }

    #[test]
    fn what_is_left_behind_is_found() {
        let before = Vitals { sockets: 10, threads: 8, files: 40, ..Vitals::default() };
        assert_eq!(before.beyond(&before), None);
        assert!(Vitals { connections: 1, ..before }.beyond(&before).unwrap().contains("1 connections"));
        assert!(Vitals { sockets: 15, ..before }.beyond(&before).unwrap().contains("15 sockets"));
        assert!(Vitals { threads: 9, ..before }.beyond(&before).unwrap().contains("9 threads"));
        assert!(Vitals { files: 41, ..before }.beyond(&before).unwrap().contains("41 other"));
        assert!(Vitals { tasks: 1, ..before }.beyond(&before).unwrap().contains("1 tasks"));
        assert!(Vitals { store_files: 301, ..before }.beyond(&before).unwrap().contains("301 files"));
    }
}
