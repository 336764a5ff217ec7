//! `cargo fuzz run addresses`: see `fuzz/targets/`.
#![no_main]

weir_fuzz::target!("addresses");
