//! `cargo fuzz run batches`: see `fuzz/targets/`.
#![no_main]

weir_fuzz::target!("batches");
