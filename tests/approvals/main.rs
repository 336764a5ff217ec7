//! Approvals as people meet them: what a rule holds waits until others have said yes, whoever tries whatever.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod administration;
#[path = "../common/mod.rs"]
mod common;
mod consumers;
mod decisions;
mod desk;
mod hazards;
#[path = "../common/person.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod person;
mod positions;
#[path = "../features/programs.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod programs;
mod reading;
mod room;
mod share;
mod streams;
mod tools;
mod waiting;
mod world;
