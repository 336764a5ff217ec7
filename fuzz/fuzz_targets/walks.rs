//! `cargo fuzz run walks`: see `fuzz/targets/`.
#![no_main]

weir_fuzz::target!("walks");
