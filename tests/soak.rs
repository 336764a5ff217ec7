//! A minute of `make soak`, and longer until every broker has restarted: on both runtimes, with clients of five families,
//! every partition holds what producers were told and what groups read, byte for byte, and the gateways hold no more in the
//! end than before.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use loadtest::soak::{self, Settings};

#[test]
fn a_rolling_restart_of_all_brokers_under_mixed_clients_loses_and_doubles_nothing_and_leaves_nothing_behind() {
    let settings = Settings { rate: 60, ..Settings::new(env!("CARGO_BIN_EXE_weir"), Duration::from_secs(60)) };
    let report = soak::run(&settings, |_| {}).unwrap();
    assert!(report.restarts >= 3, "every broker at least once: {report}");
    assert!(report.breaches().is_empty(), "{report}");
}
