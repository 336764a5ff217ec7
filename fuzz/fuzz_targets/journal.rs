//! `cargo fuzz run journal`: see `fuzz/targets/`.
#![no_main]

weir_fuzz::target!("journal");
