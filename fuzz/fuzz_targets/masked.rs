//! `cargo fuzz run masked`: see `fuzz/targets/`.
#![no_main]

weir_fuzz::target!("masked");
