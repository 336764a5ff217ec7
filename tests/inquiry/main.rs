//! What Weir itself asks real brokers: the questions that decide whether something is held, and what an action would come to.
//! Asking creates nothing, waits for no broker that hangs, and goes to the broker that knows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod effects;
mod groups;
mod questions;
#[path = "../recorder_support/mod.rs"]
mod recorder_support;
mod routes;
mod world;
