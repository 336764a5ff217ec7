//! Approvals as people meet them: what a rule holds waits until others have said yes, whoever tries whatever.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod decisions;
#[path = "../common/person.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod person;
mod reading;
mod tools;
mod waiting;
mod world;
