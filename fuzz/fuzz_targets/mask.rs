//! `cargo fuzz run mask`: see `fuzz/targets/`.
#![no_main]

weir_fuzz::target!("mask");
