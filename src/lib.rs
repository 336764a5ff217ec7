//! Weir: a gateway on the wire between Kafka clients and Kafka clusters.
//!
//! Clients change the address they connect to, nothing else. From then on every exchange is tied to an identity, checked
//! against policy and kept as evidence. `docs/architecture.md` tells the way of one exchange, file by file; each folder
//! here opens with what it is for and what it may use (`tests/tidy.rs` holds the edges).

pub mod addressing;
pub mod boot;
pub mod cli;
pub mod config;
pub mod control;
pub mod event;
#[cfg(test)]
#[path = "../fuzz/targets/mod.rs"]
mod fuzz_targets;
pub mod limits;
pub mod mask;
pub mod pipeline;
pub mod policy;
pub mod recorder;
pub mod scram;
pub mod shard;
pub mod tls;
pub mod upstream;
pub mod wire;
