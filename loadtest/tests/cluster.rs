//! The harness itself, against a real Kafka and without a gateway: when these fail, the end-to-end tests say nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use kafka_protocol::messages::ApiVersionsRequest;
use loadtest::clients::{CODECS, Client, JavaTools, Record, Target};
use loadtest::kafka::{Cluster, Options};
use loadtest::wait_for;
use loadtest::weir::Token;
use loadtest::wire::Connection;

const USER: (&str, &str) = ("svc", "s3cret");

fn options() -> Options {
    Options { users: vec![(USER.0.to_owned(), USER.1.to_owned())], request_log: true, ..Options::default() }
}

fn record(n: usize, codec: &str) -> Record {
    let headers = vec![("codec".to_owned(), Some(codec.to_owned())), ("codec".to_owned(), None)];
    Record { key: (!n.is_multiple_of(3)).then(|| format!("key-{n}")), value: Some(format!("{{\"n\":{n}}}")), headers }
}

#[test]
fn every_client_reads_back_what_it_sent_and_the_login_counts() {
    let cluster = Cluster::start(2, options()).unwrap();
    let token = |password: &str| Token { subject: USER.0.into(), id: String::new(), token: password.into() };
    let target = Target::with_token(cluster.sasl_bootstrap(), "scene", token(USER.1));
    let script: BTreeMap<_, Vec<Record>> =
        CODECS.iter().map(|&codec| (codec, (0..20).map(|n| record(n, codec)).collect())).collect();
    let mut sent: Vec<Record> = script.values().flatten().cloned().collect();
    sent.sort();
    for client in [Client::JavaConsole, Client::ConfluentKafka, Client::FranzGo] {
        let mut read = client.play(&target, client.name(), 4, &format!("group-{}", client.name()), &script).unwrap();
        read.sort();
        assert_eq!(read, sent, "{}", client.name());
    }

    let tools = JavaTools::new(&target).unwrap();
    let produced =
        tools.producer_perf(Client::FranzGo.name(), 1000, 100, &["linger.ms=5", "batch.size=65536"]).unwrap();
    assert!(produced.starts_with("1000 records sent"), "{produced}");
    let consumed = tools.consumer_perf(Client::FranzGo.name(), "perf", 1000).unwrap();
    assert!(consumed.split(", ").nth(4).unwrap().parse::<u64>().unwrap() >= 1000, "{consumed}");

    let mut raw = Connection::open(cluster.sasl_bootstrap().split(',').next().unwrap().parse().unwrap()).unwrap();
    assert_ne!(raw.login_plain(USER.0, "wrong").unwrap().error_code, 0);
    let seen = cluster.request_log(1).unwrap();
    assert!(seen.iter().any(|r| r["requestHeader"]["clientId"] == "scene"), "{} requests, none of ours", seen.len());
}

#[test]
fn brokers_stop_start_move_and_join() {
    let mut cluster = Cluster::start(2, Options::default()).unwrap();
    let before = cluster.address(2).unwrap();
    cluster.stop(2).unwrap();
    cluster.wait_gone(2).unwrap();
    assert!(Connection::open(before).is_err());
    cluster.start_elsewhere(2).unwrap();
    assert_ne!(cluster.address(2).unwrap(), before);
    assert_eq!(cluster.add_broker().unwrap(), 3);
    let versions = Connection::open(cluster.address(3).unwrap()).unwrap().call(2, &ApiVersionsRequest::default());
    assert_eq!(versions.unwrap().error_code, 0);
}

/// Set for the run of this same binary that plays the victim.
const VICTIM: &str = "WEIR_TEST_VICTIM";

#[test]
fn kill_9_of_the_test_leaves_no_broker() {
    if std::env::var_os(VICTIM).is_some() {
        let cluster = Cluster::start(1, Options::default()).unwrap();
        println!("broker at {}", cluster.bootstrap());
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill_9_of_the_test_leaves_no_broker", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = line.into_iter().find(|l| l.contains("broker at ")).expect("the broker of the victim");
    let address = line.rsplit(' ').next().unwrap().parse().unwrap();
    Connection::open(address).expect("it is there before");
    let folders = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten().map(|e| e.path());
        entries.filter(|p| p.display().to_string().contains("weir-kafka-")).collect()
    };
    let mine = folders().into_iter().find(|dir| {
        let properties = std::fs::read_to_string(dir.join("broker-1/server.properties")).unwrap_or_default();
        properties.contains(&format!("PLAINTEXT://{address}"))
    });
    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_for("the broker's end", Duration::from_secs(5), || Ok(Connection::open(address).is_err().then_some(())))
        .unwrap();
    let folder = mine.expect("its folder");
    wait_for("the end of its folder", Duration::from_secs(5), || Ok((!folder.exists()).then_some(()))).unwrap();
}
