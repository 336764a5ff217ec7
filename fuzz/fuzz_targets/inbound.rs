//! `cargo fuzz run inbound`: see `fuzz/targets/`.
#![no_main]

weir_fuzz::target!("inbound");
