//! `cargo fuzz run outbound`: see `fuzz/targets/`.
#![no_main]

weir_fuzz::target!("outbound");
