//! However brokers are addressed, a client reaches the one it means, through Weir, and never the wrong one: by a port or by a
//! server name, by names and ports of a NAT or of Kubernetes, over IPv6, and with several clusters behind one gateway.
//!
//! One cluster on IPv4 and one on IPv6, two brokers each with the same node ids, serve them all.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod advertised;
mod clusters;
#[path = "../common/mod.rs"]
mod common;
mod configured;
mod ipv6;
mod sni;
mod world;
