//! A broker joins, gets partitions, moves to another address and leaves for good, all under load.

use std::time::Duration;

use kafka_protocol::messages::MetadataRequest;
use loadtest::kafka::Cluster;
use loadtest::wire::Connection;
use loadtest::{operate, wait_for};

use crate::world::{PARTITIONS, Through, all_flow, all_hold, cluster, streams};

/// Whose partitions are led by `leaders`, one after the other, with two more replicas each.
fn led_by(leaders: &[i32], brokers: &[i32]) -> Vec<Vec<i32>> {
    let replicas = |leader: i32| [leader].into_iter().chain(brokers.iter().copied().filter(move |b| *b != leader));
    (0..PARTITIONS as usize).map(|n| replicas(leaders[n % leaders.len()]).take(3).collect()).collect()
}

fn reassign(cluster: &Cluster, streams: &[Through], replicas: &[Vec<i32>]) {
    streams.iter().for_each(|through| operate::reassign(cluster, &through.topic, replicas).unwrap());
}

/// Which nodes a client of the gateway is told of.
fn told(through: &Through) -> Vec<i32> {
    let mut connection = Connection::open(through.gateway.address()).unwrap();
    let answer = connection.call(12, &MetadataRequest::default().with_topics(Some(Vec::new()))).unwrap();
    let mut nodes: Vec<i32> = answer.brokers.iter().map(|broker| broker.node_id.0).collect();
    nodes.sort_unstable();
    nodes
}

/// Waits until a client sees the broker's door answer with what that broker says.
fn reaches(through: &Through, node: i32) {
    let door = through.gateway.broker_address(node).unwrap();
    let asks = || Connection::open(door)?.call(12, &MetadataRequest::default().with_topics(Some(Vec::new())));
    let reached = wait_for(&format!("broker {node} behind its door"), Duration::from_secs(20), || Ok(asks().ok()));
    reached.unwrap_or_else(|e| panic!("{}: {e:?}\n{}", through.runtime, through.gateway.log()));
}

#[test]
fn a_broker_that_joins_takes_over_moves_to_another_address_and_leaves_loses_and_doubles_nothing() {
    let mut cluster = cluster();
    let mut streams = streams(&cluster, "membership");

    let new = cluster.add_broker().unwrap();
    reassign(&cluster, &streams, &led_by(&[new], &[1, 2, 3]));
    // Every partition is led by it: what flows has gone through its door.
    all_flow(&mut streams);
    streams.iter().for_each(|through| reaches(through, new));

    let before = cluster.address(new).unwrap();
    cluster.stop(new).unwrap();
    all_flow(&mut streams);
    cluster.start_elsewhere(new).unwrap();
    assert_ne!(cluster.address(new).unwrap(), before);
    operate::wait_in_sync(&cluster).unwrap();
    reassign(&cluster, &streams, &led_by(&[new], &[1, 2, 3]));
    all_flow(&mut streams);
    streams.iter().for_each(|through| reaches(through, new));

    reassign(&cluster, &streams, &led_by(&[1, 2, 3], &[1, 2, 3]));
    cluster.remove(new).unwrap();
    operate::unregister(&cluster, new).unwrap();
    all_flow(&mut streams);
    for through in &streams {
        wait_for("Metadata without the broker that left", Duration::from_secs(20), || {
            Ok((told(through) == [1, 2, 3]).then_some(()))
        })
        .unwrap();
    }
    all_hold(streams, &cluster);
}
