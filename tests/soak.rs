//! A minute of `make soak`: on both runtimes, while brokers restart, every partition holds what producers were told and
//! what groups read, byte for byte, and the gateways hold no more in the end than before.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use loadtest::soak::{self, Settings};

#[test]
fn a_minute_of_mixed_clients_and_broker_restarts_loses_nothing_and_leaves_nothing_behind() {
    let settings = Settings { rate: 100, ..Settings::new(env!("CARGO_BIN_EXE_weir"), Duration::from_secs(60)) };
    let report = soak::run(&settings, |_| {}).unwrap();
    assert!(report.restarts >= 3, "every broker at least once: {report}");
    assert!(report.breaches().is_empty(), "{report}");
}
