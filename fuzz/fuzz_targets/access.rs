//! `cargo fuzz run access`: see `fuzz/targets/`.
#![no_main]

weir_fuzz::target!("access");
