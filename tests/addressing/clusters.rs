//! Several clusters behind one gateway, and several listeners before one cluster.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use kafka_protocol::messages::{FetchRequest, MetadataRequest, ProduceRequest};
use loadtest::admin::{self, fetch_request, known_by, produce_request};
use loadtest::batch::Batch;
use loadtest::clients::{Client, Record, Target};
use loadtest::ports::Block;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use loadtest::{http, wait_for};
use uuid::Uuid;

use crate::common::RUNTIMES;
use crate::world::{LOCALHOST, METADATA, SOON, brokers_told, cluster, is_broker, other_cluster, plays};

const UNKNOWN_TOPIC_ID: i16 = 100;

/// A gateway whose listener `main` serves one cluster, `other` another one, and `again` the first once more.
struct Gateways {
    gateway: Gateway,
    /// Bootstrap address of a listener, and the port of its node id 0.
    other: (SocketAddr, u16),
    again: (SocketAddr, u16),
    _ports: Block,
}

impl Gateways {
    fn prepare(runtime: &str, other: &str) -> Self {
        let mut ports = Block::claim().unwrap();
        let mut options = Options::new(cluster().bootstrap()).runtime(runtime);
        let bootstrap: Vec<String> = other.split(',').map(|address| format!("\"{address}\"")).collect();
        options.clusters = vec![format!("{{ name: other, bootstrap: [{}] }}", bootstrap.join(", "))];
        let mut listener = |name: &str, cluster: &str| {
            let taken: Vec<u16> = (0..5).map(|_| ports.take().unwrap()).collect();
            let (bind, low, high) = (SocketAddr::new(LOCALHOST, taken[0]), taken[1], taken[4]);
            options.listeners.push(format!(
                "{{ name: {name}, cluster: {cluster}, bind: \"{bind}\", brokers: \"127.0.0.1:{low}-{high}\", auth: [anonymous] }}"
            ));
            (bind, low)
        };
        let (other, again) = (listener("other", "other"), listener("again", "main"));
        let gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
        Self { gateway, other, again, _ports: ports }
    }

    fn start(runtime: &str) -> Self {
        let mut gateways = Self::prepare(runtime, &other_cluster().bootstrap());
        gateways.gateway.start_again().unwrap();
        for node in [1, 2] {
            for door in gateways.doors(node) {
                wait_for("a door", SOON, || Ok(Connection::open(door).ok())).unwrap();
            }
        }
        gateways
    }

    /// Of a broker: on `main`, `other` and `again`.
    fn doors(&self, node: u16) -> [SocketAddr; 3] {
        let door = |low: u16| SocketAddr::new(LOCALHOST, low + node);
        [self.gateway.broker_address(i32::from(node)).unwrap(), door(self.other.1), door(self.again.1)]
    }
}

/// The values of a partition's records, asked for by the topic's id; else the error.
fn read(door: SocketAddr, id: Uuid) -> Result<Vec<String>, i16> {
    let request = fetch_request("", id, 13, &[0], 1 << 20);
    let answer = Connection::open(door).unwrap().call::<FetchRequest>(13, &request).unwrap();
    let partition = &answer.responses[0].partitions[0];
    if partition.error_code != 0 {
        return Err(partition.error_code);
    }
    let text = String::from_utf8_lossy(&partition.records.clone().unwrap_or_default()).into_owned();
    Ok(["of-main", "of-other", "by-id-main", "by-id-other"]
        .into_iter()
        .filter(|v| text.contains(v))
        .map(Into::into)
        .collect())
}

fn batch(value: &str) -> Vec<u8> {
    Batch::of(vec![Record { key: None, value: Some(value.to_owned()), headers: Vec::new() }]).bytes()
}

#[test]
fn topics_of_one_name_and_brokers_of_one_id_are_never_mixed() {
    for runtime in RUNTIMES {
        let gateways = Gateways::start(runtime);
        let topic = format!("same-{runtime}");
        let ids = [cluster(), other_cluster()].map(|cluster| admin::create_topic(cluster, &topic, &[1]).unwrap());
        assert_ne!(ids[0], ids[1]);
        let [main, other, again] = gateways.doors(1);
        admin::produce(main, &topic, 0, batch("of-main")).unwrap();
        admin::produce(other, &topic, 0, batch("of-other")).unwrap();
        for (door, id, mark) in [(main, ids[0], "by-id-main"), (other, ids[1], "by-id-other")] {
            let request = produce_request("", id, 13, 0, -1, batch(mark));
            let answer = Connection::open(door).unwrap().call::<ProduceRequest>(13, &request).unwrap();
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{runtime}: {mark}");
        }
        // Each has what was written to it, by whatever listener, and does not know the other's id.
        for door in [main, again] {
            assert_eq!(read(door, ids[0]).unwrap(), ["of-main", "by-id-main"], "{runtime}");
            assert_eq!(read(door, ids[1]), Err(UNKNOWN_TOPIC_ID), "{runtime}");
        }
        assert_eq!(read(other, ids[1]).unwrap(), ["of-other", "by-id-other"], "{runtime}");
        assert_eq!(read(other, ids[0]), Err(UNKNOWN_TOPIC_ID), "{runtime}");
        for (door, id) in [(main, ids[0]), (other, ids[1]), (again, ids[0])] {
            assert_eq!(known_by(&mut Connection::open(door).unwrap(), &[&topic]).unwrap(), [id], "{runtime}");
        }
        recorded(&gateways, &topic);
    }
}

#[test]
fn the_first_request_with_a_topic_id_is_recorded_under_the_topics_name() {
    for runtime in RUNTIMES {
        let gateways = Gateways::start(runtime);
        let [door, ..] = gateways.doors(1);
        let unheard = ["written", "read"].map(|name| {
            let name = format!("unheard-{name}-{runtime}");
            let id = admin::create_topic(cluster(), &name, &[1]).unwrap();
            (name, id)
        });
        let [written, fetched] = unheard.each_ref().map(|(_, id)| *id);
        // Relayed, and gathered.
        let request = produce_request("", written, 13, 0, -1, batch("by-id-main"));
        let answer = Connection::open(door).unwrap().call::<ProduceRequest>(13, &request).unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{runtime}");
        assert_eq!(read(door, fetched), Ok(Vec::new()), "{runtime}");
        // One that no cluster has is asked for, too, and answered by the broker.
        assert_eq!(read(door, Uuid::from_u128(7)), Err(UNKNOWN_TOPIC_ID), "{runtime}");
        let named = || {
            let mut named = Vec::new();
            for session in gateways.gateway.weir_json(&["sessions"])? {
                let events = gateways.gateway.weir_json(&["show", session["id"].as_str().unwrap()])?;
                let requests = events.iter().filter(|event| event["request"]["api_version"] == 13);
                let name = |event: &serde_json::Value| event["request"]["items"][0]["name"].as_str().map(str::to_owned);
                named.extend(requests.filter_map(name));
            }
            named.sort();
            Ok((named.len() == 3).then_some(named))
        };
        let named = wait_for("the requests in the recording", SOON, named).unwrap();
        assert_eq!(named[1..], [unheard[1].0.clone(), unheard[0].0.clone()], "{runtime}");
        assert_eq!(named[0], Uuid::from_u128(7).to_string());
    }
}

/// Every fetch by id is recorded under the topic's name, where its listener's cluster has that id, and counted with its cluster.
fn recorded(gateways: &Gateways, topic: &str) {
    let mut names: Vec<(String, Option<String>)> = Vec::new();
    let fetched = || {
        names.clear();
        for session in gateways.gateway.weir_json(&["sessions"])? {
            let events = gateways.gateway.weir_json(&["show", session["id"].as_str().unwrap()])?;
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let opened: Vec<_> = events.iter().filter(|event| event["event"] == "opened").collect();
            for event in
                events.iter().filter(|event| event["request"]["api_key"] == 1 && event["request"]["api_version"] == 13)
            {
                let of = opened.iter().find(|o| o["connection"] == event["connection"] && o["shard"] == event["shard"]);
                let listener = of.map(|o| text(&o["listener"])).unwrap_or_default();
                let name = event["request"]["items"][0]["name"].as_str().map(ToOwned::to_owned);
                names.push((listener, name));
            }
        }
        Ok((names.len() == 6).then_some(()))
    };
    wait_for("the fetches in the recording", SOON, fetched).unwrap();
    names.sort();
    let named = |listener: &str| names.iter().filter(|(l, n)| l == listener && n.as_deref() == Some(topic)).count();
    assert_eq!(["main", "other", "again"].map(named), [1, 1, 1], "{names:?}");
}

#[test]
fn clients_of_two_clusters_with_the_same_topic_and_group_read_their_own() {
    for runtime in RUNTIMES {
        let gateways = Gateways::start(runtime);
        let targets = [("main", gateways.gateway.address()), ("other", gateways.other.0)];
        std::thread::scope(|scope| {
            for (mark, address) in targets {
                scope.spawn(move || {
                    let target = Target::anonymous(address.to_string(), mark);
                    plays(Client::ConfluentKafka, &target, &format!("shared-{runtime}"), mark);
                });
            }
        });
    }
}

#[test]
fn each_listener_tells_its_own_doors_and_is_counted_by_itself() {
    for runtime in RUNTIMES {
        let gateways = Gateways::start(runtime);
        let low = gateways.gateway.broker_address(0).unwrap().port();
        let listeners = [("main", gateways.gateway.address(), low), ("other", gateways.other.0, gateways.other.1)];
        let mut open = Vec::new();
        for (name, address, low) in listeners.into_iter().chain([("again", gateways.again.0, gateways.again.1)]) {
            let mut connection = Connection::open(address).unwrap();
            let told = brokers_told(&mut connection);
            let expected = [1, 2].map(|node| (node, "127.0.0.1".to_owned(), i32::from(low) + node));
            assert_eq!(told, expected, "{runtime}: {name}");
            for node in [1, 2] {
                let door = SocketAddr::new(LOCALHOST, low + node);
                assert!(is_broker(&mut Connection::open(door).unwrap(), i32::from(node)).is_some());
            }
            open.push((name, connection));
        }
        let counted = || {
            let metrics = gateways.gateway.metrics()?;
            let one = |name: &str| {
                metrics.sum("weir_connections", &[("listener", name), ("state", "identified")]) == Some(1.0)
            };
            Ok(open.iter().all(|(name, _)| one(name)).then_some(()))
        };
        wait_for("one connection on each listener", SOON, counted).unwrap();
    }
}

#[test]
fn a_cluster_that_is_down_or_silent_hurts_no_client_of_another_from_the_start_on() {
    // Takes connections, as far as the kernel does, and never answers.
    let silent = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let refused = TcpListener::bind((LOCALHOST, 0)).unwrap().local_addr().unwrap();
    for (runtime, other) in RUNTIMES.into_iter().flat_map(|r| [(r, silent.local_addr().unwrap()), (r, refused)]) {
        let mut gateways = Gateways::prepare(runtime, &other.to_string());
        gateways.gateway.start_unready().unwrap();
        let mut waiting = Connection::open(gateways.other.0).unwrap();
        waiting.send(METADATA, &MetadataRequest::default()).unwrap();
        // Served while the other client waits for its cluster, which takes seconds.
        let reached =
            || Ok((brokers_told(&mut Connection::open(gateways.gateway.address()).unwrap()).len() == 2).then_some(()));
        wait_for("the cluster that is up", SOON, reached).unwrap();
        let ready = || {
            let (status, body) = http::get(gateways.gateway.control(), "/readyz")?;
            let ready: serde_json::Value = serde_json::from_str(&body).unwrap();
            let ok = |name: &str| {
                ready["checks"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap()["ok"] == true
            };
            Ok((status == 503 && ok("upstream main") && !ok("upstream other")).then_some(()))
        };
        wait_for("readiness that tells them apart", SOON, ready).unwrap();
        assert!(waiting.closes_within(Duration::from_secs(30)).unwrap(), "{runtime}: {other}");
        let failures = |cluster: &str| {
            let metrics = gateways.gateway.metrics().unwrap();
            metrics.sum("weir_upstream_connect_failures_total", &[("cluster", cluster)]).unwrap_or(0.0)
        };
        assert_eq!((failures("main"), failures("other")), (0.0, 1.0), "{runtime}: {other}");
    }
}
