//! Kafka's features work through Weir as they do without it: transactions, groups old and new, share groups, leader hints,
//! fetch sessions, reading from followers, topic ids, telemetry, quotas.
//!
//! Each test is named for what could go wrong on the way. Three brokers in three racks stand behind a gateway on either
//! runtime; what is true is asked from the brokers themselves, and no answer that passes Weir may name their addresses.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod fetching;
mod groups;
mod idempotence;
mod leaders;
mod limits;
mod producer;
mod programs;
mod share;
mod stage;
mod static_members;
mod telemetry;
mod topic_ids;
mod transactions;
