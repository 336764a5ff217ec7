//! Whoever is slow, large, many or silent waits alone: meanwhile bystanders on the same gateway are answered as before, and the
//! gateway's memory stays bounded.
//!
//! Two brokers; hazards meet one of them, bystanders talk to the other. Tests take turns, since each is a load of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hazards;
#[path = "../hazards_support/mod.rs"]
mod hazards_support;
mod many;
mod world;
