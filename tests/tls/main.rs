//! TLS on both sides, and who clients are by their certificates, with real brokers and real clients on both runtimes.
//!
//! One broker with a plaintext listener, an SSL one and an SSL one that asks for certificates serves them all.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clients;
mod handshakes;
#[path = "../hazards_support/mod.rs"]
mod hazards_support;
mod identities;
mod reload;
mod transfer;
mod upstream;
mod world;
