//! Connections between gateway and brokers that break within an answer, over and over, by resets and by closes.

use loadtest::operate;

use crate::world::{all_flow, all_hold, cluster, streams_to};

/// Often enough to hit every client many times, and seldom enough that they get on.
const EVERY: usize = 150;

#[test]
fn connections_that_break_within_an_answer_lose_and_double_nothing() {
    let cluster = cluster();
    operate::wait_in_sync(&cluster).unwrap();
    let fronts: Vec<String> = cluster.proxies().map(|proxy| proxy.address().to_string()).collect();
    let mut streams = streams_to(&cluster, &fronts.join(","), "breaks", |plan| plan);
    let breaks = || cluster.proxies().map(|proxy| proxy.breaks()).sum::<usize>();
    let before = breaks();
    cluster.proxies().for_each(|proxy| proxy.break_every(EVERY));
    for round in 0..20 {
        all_flow(&mut streams);
        if round >= 3 && breaks() >= before + 10 {
            break;
        }
    }
    cluster.proxies().for_each(|proxy| proxy.break_every(0));
    assert!(breaks() >= before + 10, "only {} answers were broken", breaks() - before);
    all_flow(&mut streams);
    all_hold(streams, &cluster);
}
