//! Kafka's own command-line tools do through Weir what they do at the brokers, three of them here: what a tool changes is
//! what the brokers then say themselves, what it shows is what it shows there, and no address it prints is a broker's.
//! What Weir refuses, the tools refuse with words that say why.
//!
//! Every tool runs through a gateway on each runtime. Only clients that have to live meanwhile (members of groups, an open
//! transaction) take one runtime each, so that both have some.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod cluster;
mod configs;
mod desk;
mod groups;
mod old_client;
mod placement;
mod security;
mod share;
mod topics;
mod transactions;
