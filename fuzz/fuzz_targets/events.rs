//! `cargo fuzz run events`: see `fuzz/targets/`.
#![no_main]

weir_fuzz::target!("events");
