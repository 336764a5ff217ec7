//! The gateway itself restarts under load: as an operator restarts it, and by being killed.

use crate::world::{Through, all_flow, all_hold, cluster, streams};

fn restarted(name: &str, end: impl Fn(&mut Through)) {
    let cluster = cluster();
    let mut streams = streams(&cluster, name);
    for _ in 0..2 {
        for through in &mut streams {
            end(through);
            through.gateway.start_again().unwrap();
        }
        all_flow(&mut streams);
    }
    all_hold(streams, &cluster);
}

#[test]
fn a_gateway_that_is_stopped_and_started_under_load_loses_and_doubles_nothing() {
    // Fails unless it drains and exits with 0.
    restarted("stopped", |through| through.gateway.stop().unwrap());
}

#[test]
fn a_gateway_that_is_killed_and_started_under_load_loses_and_doubles_nothing() {
    restarted("killed", |through| through.gateway.kill9().unwrap());
}
