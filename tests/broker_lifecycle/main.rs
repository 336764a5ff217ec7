//! Brokers join, move, leave, die and fall silent, controllers change, connections break within an answer, and the gateway
//! itself restarts, all under the load of stock clients on either runtime. Idempotent producers with acks from all
//! lose and double nothing, order within a partition holds, groups see every record, and clients are told nothing
//! but Kafka's own passing errors.
//!
//! Brokers that restart one after the other are in `tests/soak.rs`, by the same means.
//!
//! The tests take turns at one cluster of three brokers that are controllers too, each with a gateway on either runtime
//! before it, and leave it whole.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod breaks;
#[path = "../common/mod.rs"]
mod common;
mod controllers;
mod doors;
mod gateway;
mod membership;
mod silence;
mod world;
