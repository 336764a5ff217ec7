//! What the end-to-end tests share: one cluster per test binary, the gateway's binary, both runtimes.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

use std::sync::OnceLock;

use loadtest::kafka::{self, Cluster};
use loadtest::weir::{Gateway, Options};

/// Both, always: what holds on one runtime only does not hold.
pub const RUNTIMES: [&str; 2] = ["io_uring", "epoll"];

/// Two brokers, so that addresses matter; for tests that leave the brokers as they are. It goes with the process.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(2, kafka::Options::default()).unwrap())
}

/// The gateway under test.
pub fn gateway(options: Options) -> Gateway {
    Gateway::start(env!("CARGO_BIN_EXE_weir"), options).unwrap()
}
