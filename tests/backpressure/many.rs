//! Thousands of connections at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest, ProduceRequest};
use loadtest::wait_for;
use loadtest::weir::Gateway;
use loadtest::wire::Connection;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::hazards_support::{METADATA, PRODUCE, RUNTIMES, SOON, batch, no_topics, own_memory_mib, produce};
use crate::world::{Bystanders, HAZARD, cluster, gateway, topic_on};

/// Of which these have a broker's connection too: clients ask for Metadata, and then most of their connections wait.
const IDLE: usize = 5000;
const IDLE_WITH_BROKER: usize = 1000;

/// In so many threads, each of which keeps a request of all of its connections in flight.
const ACTIVE: usize = 500;
const THREADS: usize = 10;

/// Descriptors for both ends of the connections, in this process, the gateway and a broker.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let needed = (IDLE + ACTIVE) as u64 + 500;
    assert!(limit.maximum.is_none_or(|most| most >= 2 * needed), "ulimit -Hn has to be at least {}", 2 * needed);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

fn open_idle(gateway: &Gateway) -> Vec<Connection> {
    let doors = [gateway.address(), gateway.broker_address(HAZARD).unwrap()];
    let open = |n: usize| {
        let mut connection = Connection::open(doors[n % 2]).unwrap().with_client_id("idle");
        if n < IDLE_WITH_BROKER {
            connection.call(METADATA, &no_topics()).unwrap();
        } else {
            assert_eq!(connection.call(0, &ApiVersionsRequest::default()).unwrap().error_code, 0);
        }
        connection
    };
    (0..IDLE).map(open).collect()
}

/// Produces on all of them at once, again and again: how many requests were answered.
fn keep_busy(door: SocketAddr, topic: &str, time: Duration) -> usize {
    let work = || {
        let mut lane: Vec<Connection> = (0..ACTIVE / THREADS).map(|_| Connection::open(door).unwrap()).collect();
        let record = produce(topic, 1, batch(1, 200));
        let begun = Instant::now();
        let mut round = 0;
        while begun.elapsed() < time {
            round += 1;
            for connection in &mut lane {
                connection.send(PRODUCE, &record).unwrap();
            }
            for connection in &mut lane {
                let answer = connection.receive::<ProduceRequest>(PRODUCE, round).unwrap();
                assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
            }
        }
        lane.len() * round as usize
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|lane| lane.join().unwrap()).sum()
    })
}

#[test]
fn five_thousand_idle_and_five_hundred_busy_connections_are_served_side_by_side() {
    raise_open_files();
    let cluster = cluster();
    for runtime in RUNTIMES {
        // Nobody logs in here, so all of them are one identity.
        let gateway = gateway(&cluster, runtime, &["limits: { connections_per_identity: 10000 }"]);
        let topic = format!("busy-{runtime}");
        topic_on(&cluster, &topic, HAZARD);
        let bystanders = Bystanders::new(&cluster, &gateway, &format!("beside-many-{runtime}"));
        let before = own_memory_mib(&gateway);
        let mut idle = open_idle(&gateway);
        let grown = own_memory_mib(&gateway) - before;
        println!("{runtime}: {IDLE} idle connections, {IDLE_WITH_BROKER} of them with a broker's: {grown} MiB");
        assert!(grown < 50, "{runtime}: {IDLE} idle connections hold {grown} MiB");
        let open = || {
            let scrape = gateway.metrics()?;
            Ok((scrape.sum("weir_connections", &[]) >= Some(IDLE as f64)).then_some(()))
        };
        wait_for("all idle connections in the metrics", SOON, open).unwrap();
        let door = gateway.broker_address(HAZARD).unwrap();
        let hazard = || keep_busy(door, &topic, Duration::from_secs(4));
        let answered = bystanders.keep_their_latency(&format!("{runtime}: many connections"), hazard);
        println!("{runtime}: {answered} requests on {ACTIVE} busy connections");
        assert!(answered >= 2 * ACTIVE, "{runtime}: {answered} requests answered");
        // Who was idle is still served, of both kinds.
        for connection in idle.iter_mut().step_by(IDLE / 100 - 1) {
            let id = connection.send(METADATA, &no_topics()).unwrap();
            assert!(!connection.receive::<MetadataRequest>(METADATA, id).unwrap().brokers.is_empty());
        }
        let refused = gateway.metrics().unwrap().sum("weir_connections_refused_total", &[]);
        assert_eq!(refused.unwrap_or(0.0), 0.0);
        assert!(!gateway.log().contains("ERROR"), "{}", gateway.log());
    }
}
