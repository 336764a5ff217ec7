//! `cargo fuzz run compression`: see `fuzz/targets/`.
#![no_main]

weir_fuzz::target!("compression");
