//! `cargo fuzz run sasl`: see `fuzz/targets/`.
#![no_main]

weir_fuzz::target!("sasl");
