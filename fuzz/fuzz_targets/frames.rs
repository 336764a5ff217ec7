//! `cargo fuzz run frames`: see `fuzz/targets/`.
#![no_main]

weir_fuzz::target!("frames");
