//! The gateway's pure folders, built for fuzzing: everything that reads bytes from the wire, from a login or from a
//! recording, without the database, the runtimes and TLS, which would take ten minutes to build once more.
//!
//! The folders are mounted as they stand in `src/`; what they use of other folders is in `policy.rs` and `recorder.rs`.

#![allow(dead_code, missing_docs)]

#[path = "../../src/event/mod.rs"]
pub mod event;
#[path = "../targets/mod.rs"]
pub mod fuzz_targets;
#[path = "../../src/limits.rs"]
pub mod limits;
#[path = "../../src/mask/mod.rs"]
pub mod mask;
#[path = "../../src/pipeline/mod.rs"]
pub mod pipeline;
pub mod policy;
pub mod recorder;
#[path = "../../src/scram/mod.rs"]
pub mod scram;
#[path = "../../src/wire/mod.rs"]
pub mod wire;

use std::path::Path;

use fuzz_targets::Target;
use peak_alloc::PeakAlloc;

/// Counts what is allocated, so that a run can be held to its bound.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// A libFuzzer target by its name in `fuzz/targets/mod.rs`.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(init: $crate::write_seeds($name), |bytes: &[u8]| $crate::run($name, bytes));
    };
}

/// Runs a target and holds it to what it may allocate.
pub fn run(name: &str, bytes: &[u8]) {
    let target = fuzz_targets::target(name);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    (target.run)(bytes);
    let used = MEMORY.peak_usage().saturating_sub(before);
    let (spare, times) = target.memory;
    assert!(used <= spare + times * bytes.len(), "{} bytes of input took {used} bytes of memory", bytes.len());
}

/// Writes the target's seeds into the corpus folder that libFuzzer was given, before it is read.
pub fn write_seeds(name: &str) {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-') && Path::new(argument).is_dir());
    let Some(folder) = folder else { return };
    let Target { seeds, run, .. } = fuzz_targets::target(name);
    for (number, seed) in seeds().into_iter().enumerate() {
        // The first run fills tables that stay, which no bound is about.
        run(&seed);
        let path = Path::new(&folder).join(format!("seed-{number:04}"));
        if !path.exists() {
            std::fs::write(path, seed).expect("the corpus folder can be written");
        }
    }
}
