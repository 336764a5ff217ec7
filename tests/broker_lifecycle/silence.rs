//! A broker that stops answering while its connections stay open, and comes back.

use loadtest::operate;

use crate::world::{all_flow, all_hold, cluster, streams};

#[test]
fn a_broker_that_falls_silent_with_its_connections_open_and_comes_back_loses_and_doubles_nothing() {
    let cluster = cluster();
    let mut streams = streams(&cluster, "silent");
    cluster.pause(2).unwrap();
    // The others take over, after the time in which the controller waits for its heartbeat.
    operate::wait_leads_nothing(&cluster, 2).unwrap();
    all_flow(&mut streams);
    cluster.resume(2).unwrap();
    operate::wait_in_sync(&cluster).unwrap();
    all_flow(&mut streams);
    all_hold(streams, &cluster);
}
