//! The gateway itself restarts under load: as an operator restarts it, and by being killed.

use crate::world::{all_flow, all_hold, cluster, streams};

#[test]
fn a_gateway_that_is_stopped_and_one_that_is_killed_under_load_come_back_and_lose_and_double_nothing() {
    let cluster = cluster();
    let mut streams = streams(&cluster, "restarted");
    for through in &mut streams {
        // Fails unless it drains and exits with 0.
        through.gateway.stop().unwrap();
        through.gateway.start_again().unwrap();
    }
    all_flow(&mut streams);
    for _ in 0..2 {
        for through in &mut streams {
            through.gateway.kill9().unwrap();
            through.gateway.start_again().unwrap();
        }
        all_flow(&mut streams);
    }
    all_hold(streams, &cluster);
}
