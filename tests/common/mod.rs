//! What the end-to-end tests share: one cluster per test binary, the gateway's binary, both runtimes.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

use std::sync::OnceLock;
use std::time::Duration;

use loadtest::kafka::{self, Cluster};
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;

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

/// The gateway in front of `cluster`, with the doors of all its brokers open.
pub fn gateway_before(cluster: &Cluster, options: Options) -> Gateway {
    let gateway = gateway(options);
    for (node, _) in cluster.addresses() {
        let Ok(door) = gateway.broker_address(node) else { continue };
        let open = || Ok(Connection::open(door).ok());
        wait_for(&format!("the door of broker {node}"), Duration::from_secs(10), open).unwrap();
    }
    gateway
}
