//! How a gateway starts, stops and dies: the smallest configuration works as written, a stop finishes what is in flight,
//! and a kill loses nothing that a client was told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hazards_support;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use hazards_support::*;
use kafka_protocol::messages::FetchRequest;
use loadtest::kafka::{self, Cluster};
use loadtest::ports::Block;
use loadtest::process::Process;
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use serde_json::Value;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(1, kafka::Options::default()).unwrap())
}

fn broker() -> SocketAddr {
    cluster().address(1).unwrap()
}

fn start(runtime: &str, top: &[&str]) -> Gateway {
    let mut options = Options::new(cluster().bootstrap()).runtime(runtime);
    options.top = top.iter().map(|&line| line.to_owned()).collect();
    gateway(options)
}

/// Every session of a gateway that has stopped, each with an end for `reason`.
fn all_ended(gateway: &Gateway, reasons: &[&str]) -> Vec<Value> {
    let sessions = gateway.weir_json(&["sessions"]).unwrap();
    for session in &sessions {
        assert_eq!(session["state"], "ended", "{session}");
        assert!(reasons.contains(&session["end_reason"].as_str().unwrap()), "{session}");
    }
    sessions
}

#[test]
fn a_stop_finishes_what_is_in_flight_takes_nobody_new_and_ends_every_session() {
    for runtime in RUNTIMES {
        let topic = format!("long-poll-{runtime}");
        create_topic(broker(), &topic);
        let mut gateway = start(runtime, &[]);
        let mut idle = Bystander::open(&gateway);
        idle.still_works();
        let mut polling = Connection::open(gateway.address()).unwrap().with_client_id("polling");
        let id = polling.send(FETCH, &fetch(&topic, 0, 1 << 20, 4000)).unwrap();
        sleep(Duration::from_millis(300));
        let (address, begun) = (gateway.address(), Instant::now());
        std::thread::scope(|scope| {
            let answered = scope.spawn(move || (polling.receive::<FetchRequest>(FETCH, id), begun.elapsed()));
            let late = scope.spawn(move || {
                sleep(Duration::from_millis(1000));
                TcpStream::connect(address).map(drop).map_err(|e| e.kind())
            });
            // Fails unless the exit code is 0.
            gateway.stop().unwrap();
            let (answer, took) = answered.join().unwrap();
            assert_eq!(answer.unwrap().responses[0].partitions[0].error_code, 0, "{runtime}");
            assert!(
                took > Duration::from_secs(3),
                "{runtime}: the answer came after {took:?}, before the poll was over"
            );
            assert_eq!(late.join().unwrap(), Err(ErrorKind::ConnectionRefused), "{runtime}");
        });
        assert!(begun.elapsed() < Duration::from_secs(9), "{runtime}: {:?}", begun.elapsed());
        let sessions = all_ended(&gateway, &["stopped"]);
        assert!(sessions.iter().any(|s| s["client_id"] == "polling"), "{runtime}: {sessions:?}");
    }
}

#[test]
fn a_stop_does_not_cut_off_an_answer_that_is_under_way() {
    let topic = "under-way";
    create_topic(broker(), topic);
    let mut writer = Connection::open(broker()).unwrap();
    for _ in 0..24 {
        let answer = writer.call(PRODUCE, &produce(topic, -1, batch(60, 16 << 10))).unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    let request = fetch(topic, 0, 24 << 20, 0);
    let direct = Connection::open(broker()).unwrap().call(FETCH, &request).unwrap();
    for runtime in RUNTIMES {
        let mut gateway = start(runtime, &[]);
        let mut slow = Connection::open(gateway.address()).unwrap();
        let id = slow.send(FETCH, &request).unwrap();
        sleep(Duration::from_millis(500));
        std::thread::scope(|scope| {
            let read = scope.spawn(move || {
                sleep(Duration::from_millis(1500));
                slow.receive::<FetchRequest>(FETCH, id)
            });
            gateway.stop().unwrap();
            let answer = read.join().unwrap().unwrap();
            assert!(answer.responses == direct.responses, "{runtime}");
        });
    }
}

#[test]
fn a_stop_waits_no_longer_than_its_limit_for_who_does_not_read() {
    let topic = "never-read";
    create_topic(broker(), topic);
    let mut writer = Connection::open(broker()).unwrap();
    for _ in 0..24 {
        writer.call(PRODUCE, &produce(topic, -1, batch(60, 16 << 10))).unwrap();
    }
    for runtime in RUNTIMES {
        let mut gateway = start(runtime, &["drain: 1s"]);
        let mut deaf = Connection::open(gateway.address()).unwrap();
        deaf.send(FETCH, &fetch(topic, 0, 24 << 20, 0)).unwrap();
        sleep(Duration::from_millis(500));
        let begun = Instant::now();
        gateway.stop().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(6), "{runtime}: {:?}", begun.elapsed());
        all_ended(&gateway, &["stopped"]);
    }
}

#[test]
fn after_a_kill_under_load_every_acknowledged_produce_is_recorded_and_every_session_has_an_end() {
    for runtime in RUNTIMES {
        let mut gateway = start(runtime, &[]);
        let topics: Vec<String> = (0..4).map(|n| format!("killed-{runtime}-{n}")).collect();
        topics.iter().for_each(|topic| create_topic(broker(), topic));
        let address = gateway.address();
        let mut acknowledged = BTreeSet::new();
        std::thread::scope(|scope| {
            let writers: Vec<_> =
                topics.iter().map(|topic| scope.spawn(move || write_until_cut(address, topic))).collect();
            sleep(Duration::from_secs(2));
            gateway.kill9().unwrap();
            for writer in writers {
                acknowledged.extend(writer.join().unwrap());
            }
        });
        assert!(acknowledged.len() > 100, "{runtime}: only {}", acknowledged.len());
        // The store can be asked while nothing runs, and says the same after a start.
        assert!(!gateway.weir_json(&["sessions"]).unwrap().is_empty());
        gateway.start_again().unwrap();
        let sessions = all_ended(&gateway, &["recovered"]);
        let recorded: BTreeSet<(String, i64)> =
            sessions.iter().flat_map(|session| written(&gateway, session)).collect();
        let lost: Vec<_> = acknowledged.difference(&recorded).collect();
        assert!(lost.is_empty(), "{runtime}: {} of {} lost: {lost:?}", lost.len(), acknowledged.len());
    }
}

/// Topic and base offset of every produce that was acknowledged before the connection broke.
fn write_until_cut(address: SocketAddr, topic: &str) -> Vec<(String, i64)> {
    let mut connection = Connection::open(address).unwrap().with_client_id(topic);
    let request = produce(topic, -1, batch(1, 100));
    let mut acknowledged = Vec::new();
    while let Ok(answer) = connection.call(PRODUCE, &request) {
        let partition = &answer.responses[0].partition_responses[0];
        assert_eq!(partition.error_code, 0);
        acknowledged.push((topic.to_owned(), partition.base_offset));
    }
    acknowledged
}

/// Topic and base offset of every produce that `weir show` tells of.
fn written(gateway: &Gateway, session: &Value) -> Vec<(String, i64)> {
    let shown = gateway.weir_json(&["show", session["id"].as_str().unwrap()]).unwrap();
    let produces = shown.iter().filter(|e| e["event"] == "exchange" && e["request"]["api_key"] == 0);
    let items = produces.flat_map(|e| e["response"]["items"].as_array().unwrap());
    items.map(|item| (item["name"].as_str().unwrap().to_owned(), item["offset"].as_i64().unwrap())).collect()
}

/// As the design shows it.
const SMALLEST: &str = r#"store: { path: ./weir-data, durability: flushed }
control: { bind: "127.0.0.1:9280" }     # API, console, /metrics
policy: policy.yaml                     # optional; without it: whoever is let in may do all, metadata is recorded
clusters:
  - name: main
    bootstrap: ["127.0.0.1:19092"]      # tls and sasl below it say how Weir logs in
listeners:
  - name: main
    cluster: main
    bind: "127.0.0.1:9292"              # what clients get as bootstrap address
    brokers: "127.0.0.1:9300-9399"      # a port per broker: 9300 + node id
    auth: [anonymous]                   # or any of: weir_token, jwt, scram, mtls
"#;

#[test]
fn the_smallest_configuration_works_as_written_but_for_its_ports() {
    create_topic(broker(), "smallest");
    let mut ports = Block::claim().unwrap();
    let (control, listener) = (ports.take().unwrap(), ports.take().unwrap());
    let (first, last) = ports.rest().unwrap();
    let text = SMALLEST
        .replace("127.0.0.1:9280", &format!("127.0.0.1:{control}"))
        .replace("127.0.0.1:19092", &broker().to_string())
        .replace("127.0.0.1:9292", &format!("127.0.0.1:{listener}"))
        .replace("127.0.0.1:9300-9399", &format!("127.0.0.1:{first}-{last}"));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("weir.yaml");
    fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.arg("serve").arg("--config").arg(&config);
    let mut gateway = Process::start("weir serve", &command, &folder.path().join("log")).unwrap();
    let control = SocketAddr::from(([127, 0, 0, 1], control));
    gateway
        .wait_ready("/readyz", Duration::from_secs(20), || {
            Ok(loadtest::http::get(control, "/readyz").is_ok_and(|(status, _)| status == 200).then_some(()))
        })
        .unwrap();

    let mut client = Connection::open(SocketAddr::from(([127, 0, 0, 1], listener))).unwrap();
    let brokers = client.call(METADATA, &no_topics()).unwrap().brokers;
    assert_eq!((brokers[0].host.as_str(), brokers[0].port), ("127.0.0.1", i32::from(first) + 1));
    let mut leader = Connection::open(SocketAddr::from(([127, 0, 0, 1], first + 1))).unwrap();
    let sent = batch(1, 100);
    let answer = leader.call(PRODUCE, &produce("smallest", -1, sent.clone())).unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    let answer = leader.call(FETCH, &fetch("smallest", 0, 1 << 20, 1000)).unwrap();
    let read = answer.responses[0].partitions[0].records.clone().unwrap();
    assert_eq!(read[17..], sent[17..]);
    wait_for("the store beside the configuration", SOON, || Ok(folder.path().join("weir-data").is_dir().then_some(())))
        .unwrap();
    assert!(gateway.terminate(Duration::from_secs(20)).unwrap().success());
}
