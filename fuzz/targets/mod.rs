//! What each fuzz target does with its bytes, and the seeds it starts from.
//!
//! One place for both ways to run them: `make fuzz` (libFuzzer, guided by coverage, for as long as one likes) and the
//! library's own tests (`smoke`, on stable, seeds and some thousand changed ones, for seconds).
//!
//! Invariants:
//! - A target panics when a promise is broken, and only then: its bytes may be anything.
//! - Seeds are made, the same ones every time; none is kept as a file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, missing_docs)]

pub mod access;
pub mod addresses;
pub mod batches;
pub mod compression;
pub mod events;
pub mod frames;
pub mod input;
pub mod mask;
pub mod masked;
pub mod pipeline;
pub mod sasl;
#[cfg(test)]
mod smoke;
pub mod walks;

use crate::limits::GATHERED_RESPONSE_BYTES_MAX;
use crate::recorder::journal::fuzz_target as journal;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is its binary's, too.
    pub name: &'static str,
    /// Takes any bytes; panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Lawful inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What it may allocate at a time, bytes: so much, and so much for each byte of its input.
    pub memory: (usize, usize),
}

const KIB: usize = 1024;

/// All of them.
pub const TARGETS: [Target; 13] = [
    Target { name: "frames", run: frames::run, seeds: frames::seeds, memory: (16 * KIB, 16) },
    Target { name: "walks", run: walks::run, seeds: walks::seeds, memory: (64 * KIB, 64) },
    Target { name: "addresses", run: addresses::run, seeds: addresses::seeds, memory: (64 * KIB, 128) },
    Target { name: "access", run: access::run, seeds: access::seeds, memory: (1024 * KIB, 512) },
    Target { name: "batches", run: batches::run, seeds: batches::seeds, memory: (16 * KIB * KIB, 64) },
    Target { name: "compression", run: compression::run, seeds: compression::seeds, memory: (16 * KIB * KIB, 64) },
    Target { name: "sasl", run: sasl::run, seeds: sasl::seeds, memory: (32 * KIB, 32) },
    Target { name: "journal", run: journal::run, seeds: journal::seeds, memory: (1024 * KIB, 64) },
    Target { name: "events", run: events::run, seeds: events::seeds, memory: (48 * KIB * KIB, 512) },
    Target { name: "mask", run: mask::run, seeds: mask::seeds, memory: (256 * KIB, 64) },
    Target { name: "masked", run: masked::run, seeds: masked::seeds, memory: (128 * KIB * KIB, 512) },
    Target { name: "inbound", run: pipeline::inbound, seeds: pipeline::inbound_seeds, memory: (1024 * KIB, 256) },
    // An answer that is gathered gets its room at once, out of its shard's budget.
    Target {
        name: "outbound",
        run: pipeline::outbound,
        seeds: pipeline::outbound_seeds,
        memory: (GATHERED_RESPONSE_BYTES_MAX as usize + 1024 * KIB, 256),
    },
];

/// The target of this name.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a target of that name")
}
