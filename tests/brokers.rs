//! Brokers join, move, stop and die, and the gateway restarts: clients keep their addresses and come back.
//!
//! The tests take turns at one cluster, each with a gateway on either runtime before it, and leave it whole.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use loadtest::admin;
use loadtest::batch::Batch;
use loadtest::clients::Record;
use loadtest::kafka::{self, Cluster};
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use loadtest::{Result, wait_for};
use serde_json::Value;
use uuid::Uuid;

/// Clients notice and come back within this; the gateway looks at a cluster at once when a broker is gone.
const BACK: Duration = Duration::from_secs(20);

fn cluster() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| Mutex::new(Cluster::start(2, kafka::Options::default()).unwrap()));
    // One test's failure is not the next one's.
    cluster.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn gateways(cluster: &Cluster) -> Vec<Gateway> {
    let options = |runtime| Options::new(cluster.bootstrap()).runtime(runtime);
    common::RUNTIMES.into_iter().map(|runtime| common::gateway_before(cluster, options(runtime))).collect()
}

fn metadata(address: SocketAddr) -> Result<MetadataResponse> {
    Connection::open(address)?.call(12, &MetadataRequest::default().with_topics(Some(Vec::new())))
}

#[test]
fn a_broker_that_joins_can_be_reached_as_soon_as_metadata_names_it() {
    let mut cluster = cluster();
    let gateways = gateways(&cluster);
    let node = cluster.add_broker().unwrap();
    for gateway in &gateways {
        let door = gateway.broker_address(node).unwrap();
        let mut told = None;
        // Asked without a pause, so that nothing but the answer itself can have opened the door.
        wait_for("Metadata to name the new broker", BACK, || {
            let brokers = metadata(gateway.address())?.brokers;
            told = brokers.into_iter().find(|broker| broker.node_id.0 == node);
            Ok(told.as_ref().map(|_| ()))
        })
        .unwrap();
        let told = told.unwrap();
        assert_eq!(format!("{}:{}", &*told.host, told.port), door.to_string());
        // The kernel may give the connection to any shard: each of a few has to find the door open.
        for _ in 0..8 {
            metadata(door).unwrap();
        }
    }
}

#[test]
fn a_stopped_broker_ends_its_connections_and_is_reached_again_where_it_moved() {
    let mut cluster = cluster();
    let gateways = gateways(&cluster);
    let mut clients: Vec<Connection> = gateways
        .iter()
        .map(|gateway| {
            let mut client = Connection::open(gateway.broker_address(2).unwrap()).unwrap();
            client.call(12, &MetadataRequest::default().with_topics(Some(Vec::new()))).unwrap();
            client
        })
        .collect();
    let before = cluster.address(2).unwrap();
    cluster.stop(2).unwrap();
    for client in &mut clients {
        assert!(client.closes_within(Duration::from_secs(5)).unwrap(), "the broker is gone, its connections are not");
    }
    // While it is away, connections to its door end: no client waits for ever.
    for gateway in &gateways {
        let mut early = Connection::open(gateway.broker_address(2).unwrap()).unwrap();
        early.send(12, &MetadataRequest::default().with_topics(Some(Vec::new()))).unwrap();
        assert!(early.closes_within(Duration::from_secs(15)).unwrap());
    }
    cluster.start_elsewhere(2).unwrap();
    assert_ne!(cluster.address(2).unwrap(), before);
    for gateway in &gateways {
        reached(gateway, 2);
        let log = gateway.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn after_a_restart_clients_come_straight_to_a_brokers_door() {
    let cluster = cluster();
    for mut gateway in gateways(&cluster) {
        let door = gateway.broker_address(2).unwrap();
        reached(&gateway, 2);
        gateway.stop().unwrap();
        assert!(Connection::open(door).is_err(), "a stopped gateway listens");
        gateway.start_again().unwrap();
        let started = Instant::now();
        // Nobody asks on the bootstrap address, where Metadata would open the door.
        wait_for("the door of broker 2", BACK, || Ok(metadata(door).ok())).unwrap();
        assert!(started.elapsed() < Duration::from_secs(3), "it took {:?}", started.elapsed());
    }
}

#[test]
fn a_broker_beyond_the_range_of_ports_is_left_out_and_logged_once() {
    let cluster = cluster();
    for runtime in common::RUNTIMES {
        let mut options = Options::new(cluster.bootstrap()).runtime(runtime);
        options.broker_ports = Some(2);
        options.top.push("shards: 1".to_owned());
        let gateway = common::gateway(options);
        for _ in 0..3 {
            let brokers = metadata(gateway.address()).unwrap().brokers;
            let nodes: Vec<i32> = brokers.iter().map(|broker| broker.node_id.0).collect();
            assert_eq!(nodes, [1], "{runtime}: ports for the node ids 0 and 1 only");
        }
        let log = gateway.log();
        let lines = log.lines().filter(|l| l.contains("beyond the range") && l.contains("node=2")).count();
        assert_eq!(lines, 1, "{runtime}: {log}");
    }
}

#[test]
fn a_change_whose_answer_never_came_is_recorded_as_of_unknown_outcome() {
    const REQUESTS: i32 = 400;
    for runtime in common::RUNTIMES {
        let mut cluster = cluster();
        let gateway = common::gateway_before(&cluster, Options::new(cluster.bootstrap()).runtime(runtime));
        let name = format!("cut-short-{runtime}");
        admin::create_topic(&cluster, &name, &[2]).unwrap();
        let mut client = Connection::open(gateway.broker_address(2).unwrap()).unwrap().with_client_id(&name);
        let record = Record { key: None, value: Some("x".repeat(8_000)), headers: Vec::new() };
        let request = admin::produce_request(&name, Uuid::nil(), 9, 0, -1, Batch::of(vec![record]).bytes());
        for _ in 0..REQUESTS {
            client.send(9, &request).unwrap();
        }
        // The first answer is there: the broker works on what follows.
        client.receive_frame().unwrap().expect("an answer");
        cluster.kill(2).unwrap();
        let mut answered = 1;
        while let Ok(Some(_)) = client.receive_frame() {
            answered += 1;
        }
        let outcomes = produce_outcomes(&gateway, &name);
        let count = |outcome: &str| outcomes.iter().filter(|o| *o == outcome).count();
        assert!(answered < REQUESTS as usize, "{runtime}: the broker died too late to show anything");
        assert!(count("unknown") > 0, "{runtime}: {outcomes:?}");
        assert!(count("answered") >= answered, "{runtime}: {answered} answers, recorded: {}", count("answered"));
        assert_eq!(count("answered") + count("unknown"), outcomes.len(), "{runtime}: {outcomes:?}");
        cluster.start_again(2).unwrap();
        reached(&gateway, 2);
    }
}

fn reached(gateway: &Gateway, node: i32) {
    let door = gateway.broker_address(node).unwrap();
    let reached = wait_for(&format!("broker {node} behind its door"), BACK, || Ok(metadata(door).ok()));
    reached.unwrap_or_else(|e| panic!("{e}\n{}", gateway.log()));
}

/// The outcomes of the session's Produce requests, once it is over.
fn produce_outcomes(gateway: &Gateway, client_id: &str) -> Vec<String> {
    let shown = wait_for("the session in the recording", Duration::from_secs(10), || {
        let sessions = gateway.weir_json(&["sessions"])?;
        let Some(session) = sessions.iter().find(|session| session["client_id"] == client_id) else { return Ok(None) };
        let shown = gateway.weir_json(&["show", session["id"].as_str().unwrap_or_default()])?;
        Ok(shown.iter().any(|event| event["event"] == "closed").then_some(shown))
    });
    let is_produce = |event: &&Value| event["event"] == "exchange" && event["request"]["api_key"] == 0;
    let outcome = |event: &Value| event["response"]["outcome"].as_str().unwrap_or_default().to_owned();
    shown.unwrap().iter().filter(is_produce).map(outcome).collect()
}
