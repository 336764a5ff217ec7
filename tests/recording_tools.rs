//! What people do with whole recordings of stock clients: read their records under every codec, follow them live, open them
//! in Wireshark's dissector.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use loadtest::batch::Batch;
use loadtest::clients::{CODECS, Client, Record, Script, Target};
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use loadtest::{admin, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use uuid::Uuid;

const FULL: &str = "recording: [{ mode: full }]\n";
const RECORDS_PER_CODEC: usize = 8;

/// Keys and none, values, empty ones and tombstones, repeated and null headers, Unicode; each compresses by itself.
fn script() -> Script {
    let record = |codec: &str, n: usize| {
        let padding = "weir ".repeat(60);
        let headers = [("codec", Some(codec)), ("wörd", Some(padding.as_str())), ("wörd", Some("")), ("null", None)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)));
        let value = match n % 4 {
            0 => None,
            1 => Some(String::new()),
            2 => Some(format!("{codec} {n}: grüße {padding}")),
            _ => Some(format!("{{\"n\": {n}, \"codec\": \"{codec}\", \"padding\": \"{padding}\"}}")),
        };
        let key = (!n.is_multiple_of(3)).then(|| format!("{codec}-schlüssel-{n}"));
        Record { key, value, headers: if n % 5 == 4 { Vec::new() } else { headers.to_vec() } }
    };
    CODECS.iter().map(|codec| (*codec, (0..RECORDS_PER_CODEC).map(|n| record(codec, n)).collect())).collect()
}

fn sent(script: &Script) -> Vec<Record> {
    let mut sent: Vec<Record> = script.values().flatten().cloned().collect();
    sent.sort();
    sent
}

/// A record as a line of `--json` tells it.
fn told(line: &Value) -> Record {
    assert!(line.get("key_base64").is_none() && line.get("value_base64").is_none(), "{line}");
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let header = |header: &Value| (header["name"].as_str().unwrap().to_owned(), text(&header["value"]));
    let headers = line["headers"].as_array().unwrap().iter().map(header).collect();
    Record { key: text(&line["key"]), value: text(&line["value"]), headers }
}

/// The records under exchanges of one API, with their codecs.
fn records_of(lines: &[Value], api_key: i64, topic: &str) -> (Vec<Record>, BTreeMap<String, usize>) {
    let keys: HashMap<&str, i64> = lines
        .iter()
        .filter(|line| line["event"] == "exchange")
        .map(|line| (line["id"].as_str().unwrap(), line["request"]["api_key"].as_i64().unwrap()))
        .collect();
    let mut codecs = BTreeMap::new();
    let of_topic = |line: &&Value| line["event"] == "record" && line["topic"] == topic;
    let mut records: Vec<Record> = lines
        .iter()
        .filter(of_topic)
        .filter(|line| keys[line["exchange"].as_str().unwrap()] == api_key)
        .map(|line| {
            *codecs.entry(line["compression"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            told(line)
        })
        .collect();
    records.sort();
    (records, codecs)
}

/// Everything that was recorded of an identity, once its connections are closed.
fn shown(gateway: &Gateway, subject: &str) -> Vec<Value> {
    // The store is a quarter second behind: the last connection may not be in it yet when all others are closed.
    let mut before = Vec::new();
    wait_for("the sessions to be over", Duration::from_secs(20), || {
        std::thread::sleep(Duration::from_secs(1));
        let sessions = gateway.weir_json(&["sessions", "--identity", subject])?;
        let over = sessions.iter().all(|session| session["connections_open"] == 0);
        let settled = over && !sessions.is_empty() && sessions == before;
        before = sessions;
        Ok(settled.then_some(()))
    })
    .unwrap();
    let sessions = gateway.weir_json(&["sessions", "--identity", subject]).unwrap();
    let ids = sessions.iter().map(|session| session["id"].as_str().unwrap());
    ids.flat_map(|id| gateway.weir_json(&["show", id, "--records"]).unwrap()).collect()
}

#[test]
fn records_of_stock_clients_are_shown_as_they_were_sent_under_every_codec() {
    let cluster = common::cluster();
    let options = Options::new(cluster.bootstrap()).auth(&["weir_token"]).policy(FULL);
    let gateway = common::gateway_before(cluster, options);
    std::thread::scope(|scope| {
        for client in [Client::JavaConsole, Client::ConfluentKafka, Client::FranzGo] {
            let (gateway, name) = (&gateway, client.name());
            scope.spawn(move || {
                let token = gateway.token(name, "people").unwrap();
                let target = Target::with_token(gateway.bootstrap(), name, token);
                let script = script();
                let played = client.play(&target, name, 3, &format!("{name}-group"), &script);
                played.unwrap_or_else(|e| panic!("{e}\n{}", gateway.log()));
                let lines = shown(gateway, name);
                let (produced, codecs) = records_of(&lines, 0, name);
                assert_eq!(produced, sent(&script), "{name}");
                let all = CODECS.iter().map(|codec| ((*codec).to_owned(), RECORDS_PER_CODEC)).collect();
                assert_eq!(codecs, all, "{name}");
                // A client may fetch again what it has not handed on.
                let fetched: BTreeSet<Record> = records_of(&lines, 1, name).0.into_iter().collect();
                assert_eq!(fetched, sent(&script).into_iter().collect(), "{name}");
                let missing: Vec<&Value> = lines.iter().filter(|line| line["event"] == "records_missing").collect();
                assert!(missing.iter().all(|line| line["why"] == "cut_off"), "{name}: {missing:#?}");
            });
        }
    });
}

#[test]
fn follow_shows_records_while_a_client_is_at_work() {
    let cluster = common::cluster();
    for runtime in common::RUNTIMES {
        let options = Options::new(cluster.bootstrap()).runtime(runtime).auth(&["weir_token"]).policy(FULL);
        let mut gateway = common::gateway_before(cluster, options);
        let name = format!("followed-{runtime}");
        let token = gateway.token(&name, "people").unwrap();
        admin::create_topic(cluster, &name, &[1]).unwrap();
        let mut follow = Command::new(env!("CARGO_BIN_EXE_weir"));
        follow.args(["follow", "--topic", &name, "--records", "--json", "--config"]).arg(gateway.config_path());
        let mut follow = follow.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines().map(|line| line.unwrap());

        let mut connection = Connection::open(gateway.broker_address(1).unwrap()).unwrap();
        connection.login_plain(&token.subject, &token.token).unwrap();
        // Until the follower is there and has told of a first exchange, and with it that it follows.
        let seen = std::thread::scope(|scope| {
            let reader = scope.spawn(|| lines.by_ref().find(|line| line.contains(r#""event":"record""#)));
            let mut n = 0;
            while !reader.is_finished() {
                n += 1;
                assert!(n < 200, "no record came");
                let record =
                    Record { key: Some(format!("key-{n}")), value: Some("{\"a\": 1}".to_owned()), headers: Vec::new() };
                let batch = Batch::of(vec![record]).codec("zstd").bytes();
                connection.call(9, &admin::produce_request(&name, Uuid::nil(), 9, 0, -1, batch)).unwrap();
                std::thread::sleep(Duration::from_millis(100));
            }
            reader.join().unwrap().unwrap()
        });
        let seen: Value = serde_json::from_str(&seen).unwrap();
        assert_eq!((&seen["topic"], &seen["value"]), (&name.as_str().into(), &"{\"a\": 1}".into()), "{seen}");
        if runtime == "epoll" {
            gateway.stop().unwrap();
        } else {
            kill_process(Pid::from_raw(follow.id() as i32).unwrap(), Signal::INT).unwrap();
        }
        lines.by_ref().for_each(drop);
        assert!(follow.wait().unwrap().success());
    }
}

/// What tshark prints of a capture: a line a packet, the fields parted by tabs.
fn tshark(gateway: &Gateway, capture: &str, arguments: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.args(["-r", capture, "-n"]);
    let ports = [
        gateway.address().port(),
        gateway.broker_address(1).unwrap().port(),
        gateway.broker_address(2).unwrap().port(),
    ];
    for port in ports {
        command.args(["-d", &format!("tcp.port=={port},kafka")]);
    }
    let output = command.args(arguments).output().expect("tshark is installed by loadtest/setup.sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('\t').map(ToOwned::to_owned).collect()).collect()
}

/// The requests of a session as `weir show` lists them: API key, correlation id.
fn requests_shown(gateway: &Gateway, id: &str) -> Vec<(i64, i64)> {
    let events = gateway.weir_json(&["show", id]).unwrap();
    let requests = events.iter().filter(|event| event["event"] == "exchange").map(|event| &event["request"]);
    let mut requests: Vec<(i64, i64)> = requests
        .map(|request| (request["api_key"].as_i64().unwrap(), request["correlation_id"].as_i64().unwrap()))
        .collect();
    requests.sort_unstable();
    requests
}

fn requests_dissected(gateway: &Gateway, capture: &str) -> Vec<(i64, i64)> {
    let fields = ["-T", "fields", "-e", "kafka.request_key", "-e", "kafka.correlation_id", "-Y", "kafka.request_key"];
    let mut requests = Vec::new();
    for packet in tshark(gateway, capture, &fields) {
        let numbers = |field: &str| field.split(',').map(|n| n.parse().unwrap()).collect::<Vec<i64>>();
        requests.extend(numbers(&packet[0]).into_iter().zip(numbers(&packet[1])));
    }
    requests.sort_unstable();
    requests
}

fn export(gateway: &Gateway, subject: &str, capture: &str) -> String {
    shown(gateway, subject);
    let sessions = gateway.weir_json(&["sessions", "--identity", subject]).unwrap();
    let id = sessions[0]["id"].as_str().unwrap().to_owned();
    gateway.weir(&["export", &id, "--format", "pcapng", "--output", capture]).unwrap();
    id
}

#[test]
fn wireshark_s_dissector_reads_what_is_exported() {
    let cluster = common::cluster();
    let options = Options::new(cluster.bootstrap()).auth(&["weir_token"]).policy(FULL);
    let gateway = common::gateway_before(cluster, options);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();

    // Versions that the dissector knows to their end, an answer of several packets among them.
    admin::create_topic(cluster, "dissected", &[1]).unwrap();
    let token = gateway.token("old", "people").unwrap();
    let mut old = Connection::open(gateway.broker_address(1).unwrap()).unwrap();
    assert_eq!(old.login_plain(&token.subject, &token.token).unwrap().error_code, 0);
    let asked = MetadataRequestTopic::default().with_name(Some(admin::topic("dissected")));
    old.call(7, &MetadataRequest::default().with_topics(Some(vec![asked]))).unwrap();
    for codec in CODECS {
        let value = "weir ".repeat(6_000);
        let records = (0..2).map(|n| Record {
            key: Some(format!("{codec}-{n}")),
            value: Some(value.clone()),
            headers: Vec::new(),
        });
        let batch = Batch::of(records.collect()).codec(codec).bytes();
        old.call(7, &admin::produce_request("dissected", Uuid::nil(), 7, 0, -1, batch)).unwrap();
    }
    let fetched = old.call(11, &admin::fetch_request("dissected", Uuid::nil(), 11, &[0], 1 << 20)).unwrap();
    assert!(fetched.responses[0].partitions[0].records.as_ref().unwrap().len() > 200_000);
    drop(old);
    let capture = path("old.pcapng");
    let id = export(&gateway, "old", &capture);
    assert_eq!(requests_dissected(&gateway, &capture), requests_shown(&gateway, &id));
    assert_eq!(tshark(&gateway, &capture, &["-Y", "_ws.malformed"]), Vec::<Vec<String>>::new());
    assert_eq!(tshark(&gateway, &capture, &["-Y", "tcp.analysis.flags"]), Vec::<Vec<String>>::new());
    let names = tshark(&gateway, &capture, &["-Y", "kafka.topic_name", "-T", "fields", "-e", "kafka.topic_name"]);
    assert!(names.iter().flatten().all(|name| name.split(',').all(|name| name == "dissected")), "{names:?}");
    // Metadata, Produce and Fetch, each asked and answered.
    assert_eq!(names.len(), 2 * (1 + CODECS.len() + 1), "{names:?}");
    // Each answer is found to be its request's.
    let answers = tshark(&gateway, &capture, &["-Y", "kafka.request_frame"]);
    assert_eq!(answers.len(), 2 + 1 + CODECS.len() + 1, "{answers:#?}");

    // Whatever a current client speaks: the dissector of the day may not know the version, the frames are found all the same.
    let token = gateway.token("new", "people").unwrap();
    let secret = token.token.clone();
    let target = Target::with_token(gateway.bootstrap(), "new", token);
    let script = script();
    Client::ConfluentKafka.play(&target, "new", 2, "new-group", &script).unwrap();
    let capture = path("new.pcapng");
    let id = export(&gateway, "new", &capture);
    assert_eq!(requests_dissected(&gateway, &capture), requests_shown(&gateway, &id));
    assert_eq!(tshark(&gateway, &capture, &["-Y", "tcp.analysis.flags"]), Vec::<Vec<String>>::new());
    let secrets = tshark(&gateway, &capture, &["-Y", "frame.comment contains \"a secret\""]);
    assert!(!secrets.is_empty());
    let bytes = std::fs::read(&capture).unwrap();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
}
