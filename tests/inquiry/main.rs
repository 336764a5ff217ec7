//! What Weir itself asks real brokers: the questions that decide whether something is held, and what an action would come to.
//! Asking creates nothing, waits for no broker that hangs, and goes to the broker that knows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod questions;
mod routes;
mod world;
