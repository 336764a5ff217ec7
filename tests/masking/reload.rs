//! Rules that change while clients are at work: no connection drops, and once a reload is said to be done nothing passes that
//! the new rules would mask. What is wrong with a file changes nothing.

use std::fs;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use loadtest::batch::Batch;
use loadtest::clients::Record;
use loadtest::kafka::{self, Cluster};
use loadtest::wait_for;
use loadtest::wire::Connection;

use super::*;
use crate::hazards_support::{FETCH, PRODUCE, create_topic, fetch, produce};

const NO_RULES: &str = "recording: [{ mode: full }]\n";
const RULES: &str = "recording: [{ mode: full }]\nmasking:\n  - topics: [\"changing-*\"]\n    fields: [\"card.number\"]\n    \
                     action: { keep_last: 4 }\n    on: [produce, fetch]\n";
const SOON: Duration = Duration::from_secs(30);

/// One broker, so that it is known who leads a topic.
pub fn one_broker() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        // What tests write has the times of 2023, and must outlast the broker's first look for what is too old.
        let properties = vec!["log.retention.ms=-1".to_owned()];
        Cluster::start(1, kafka::Options { properties, ..kafka::Options::default() }).unwrap()
    })
}

fn gateway(runtime: &str) -> Gateway {
    let options = Options::new(one_broker().bootstrap()).runtime(runtime).policy(NO_RULES);
    common::gateway_before(one_broker(), options)
}

fn write_policy(gateway: &Gateway, text: &str) {
    // As editors do: the file is never half there.
    let path = gateway.config_path().with_file_name("policy.yaml");
    let aside = path.with_extension("new");
    fs::write(&aside, text).unwrap();
    fs::rename(aside, path).unwrap();
}

pub fn reload(gateway: &Gateway, text: &str) {
    write_policy(gateway, text);
    let reloaded = gateway.weir_json(&["reload"]).unwrap();
    assert_eq!(reloaded[0]["changed"], true);
    assert_eq!(reloaded[0]["connections_closed"], 0);
}

fn batch(mark: &str, count: usize, codec: &'static str) -> Vec<u8> {
    let record = |_| Record {
        key: None,
        value: Some(format!(r#"{{"mark":"{mark}","card":{{"number":"{CARD}"}}}}"#)),
        headers: Vec::new(),
    };
    Batch::of((0..count).map(record).collect()).codec(codec).bytes()
}

fn holds_card(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, CARD.as_bytes()).is_some()
}

/// Which policy answers have to be under: counts up with each reload, odd while the rules hold.
struct Phase(AtomicU64);

impl Phase {
    fn rules_hold(&self) -> bool {
        self.0.load(Ordering::SeqCst) % 2 == 1
    }
}

/// Reads the topic over and over on one connection; answers to what was asked while rules held hold no card.
fn reads_on(door: SocketAddr, topic: &str, phase: &Phase, stop: &AtomicBool) -> (u64, u64) {
    let mut connection = Connection::open(door).unwrap().with_client_id("reader");
    let (mut clear, mut masked) = (0, 0);
    while !stop.load(Ordering::SeqCst) {
        let held = phase.rules_hold().then(|| phase.0.load(Ordering::SeqCst));
        connection.send(FETCH, &fetch(topic, 0, 1 << 20, 100)).unwrap();
        let answer = connection.receive_frame().unwrap().expect("the connection stays");
        let card = holds_card(&answer);
        if card {
            assert_ne!(held, Some(phase.0.load(Ordering::SeqCst)), "a card passed while rules held");
            clear += 1;
        } else {
            assert!(memchr::memmem::find(&answer, MASKED.as_bytes()).is_some(), "something was read");
            masked += 1;
        }
    }
    (clear, masked)
}

/// Writes on and on, each record marked with whether rules held when it was begun.
fn writes_on(door: SocketAddr, topic: &str, phase: &Phase, stop: &AtomicBool) -> u64 {
    let mut connection = Connection::open(door).unwrap().with_client_id("writer");
    let mut written = 0;
    while !stop.load(Ordering::SeqCst) {
        let mark = if phase.rules_hold() { "under rules" } else { "before rules" };
        let answer = connection.call(PRODUCE, &produce(topic, -1, batch(mark, 3, "none").into())).unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        written += 1;
    }
    written
}

#[test]
fn rules_change_under_load_without_a_dropped_connection_or_an_unmasked_record_after() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime);
        let broker = one_broker().address(1).unwrap();
        let door = gateway.broker_address(1).unwrap();
        let (read, written) = (format!("changing-read-{runtime}"), format!("changing-written-{runtime}"));
        create_topic(broker, &read);
        create_topic(broker, &written);
        let mut direct = Connection::open(broker).unwrap();
        for codec in ["none", "lz4", "zstd"] {
            direct.call(PRODUCE, &produce(&read, -1, batch("stored", 200, codec).into())).unwrap();
        }
        let (phase, stop) = (Phase(AtomicU64::new(0)), AtomicBool::new(false));
        let (clear, masked) = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..4).map(|_| scope.spawn(|| reads_on(door, &read, &phase, &stop))).collect();
            let writers: Vec<_> = (0..2).map(|_| scope.spawn(|| writes_on(door, &written, &phase, &stop))).collect();
            for _ in 0..6 {
                std::thread::sleep(Duration::from_millis(300));
                reload(&gateway, RULES);
                phase.0.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(300));
                // Rules end with the command that ends them, at the latest.
                phase.0.fetch_add(1, Ordering::SeqCst);
                reload(&gateway, NO_RULES);
            }
            stop.store(true, Ordering::SeqCst);
            assert!(writers.into_iter().map(|writer| writer.join().unwrap()).sum::<u64>() > 50);
            readers.into_iter().map(|reader| reader.join().unwrap()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
        });
        assert!(clear > 20 && masked > 20, "{clear} answers in clear, {masked} masked");
        let stored = lines(&kcat(&one_broker().bootstrap(), &read_all(&written), ""));
        let under_rules: Vec<&String> = stored.iter().filter(|value| value.contains("under rules")).collect();
        assert!(under_rules.len() > 20 && stored.iter().any(|value| holds_card(value.as_bytes())));
        assert!(under_rules.iter().all(|value| !holds_card(value.as_bytes())), "written in clear under rules");
        println!("{runtime}: {clear} answers in clear, {masked} masked, over 12 reloads");
    }
}

/// The answer begun under the older policy passes to its end, and only then the change counts as done.
#[test]
fn a_change_waits_for_an_answer_that_is_under_way() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime);
        let broker = one_broker().address(1).unwrap();
        let topic = format!("changing-slow-{runtime}");
        create_topic(broker, &topic);
        let mut direct = Connection::open(broker).unwrap();
        for _ in 0..200 {
            direct.call(PRODUCE, &produce(&topic, -1, batch("stored", 1000, "none").into())).unwrap();
        }
        let mut slow = Connection::open(gateway.broker_address(1).unwrap()).unwrap().with_client_id("slow");
        slow.send(FETCH, &fetch(&topic, 0, 64 << 20, 100)).unwrap();
        // Far more than the sockets between hold.
        std::thread::sleep(Duration::from_secs(1));
        write_policy(&gateway, RULES);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (gateway, done) = (&gateway, &done);
            let reloading = scope.spawn(move || {
                let reloaded = gateway.weir_json(&["reload"]).unwrap();
                done.store(true, Ordering::SeqCst);
                reloaded
            });
            std::thread::sleep(Duration::from_secs(2));
            assert!(!done.load(Ordering::SeqCst), "the change was done with an answer under way");
            assert!(holds_card(&slow.receive_frame().unwrap().unwrap()));
            let reloaded = reloading.join().unwrap();
            assert_eq!((&reloaded[0]["changed"], &reloaded[0]["connections_closed"]), (&true.into(), &0.into()));
        });
        slow.send(FETCH, &fetch(&topic, 0, 1 << 20, 100)).unwrap();
        assert!(!holds_card(&slow.receive_frame().unwrap().expect("the connection stays")));
    }
}

#[test]
fn a_client_that_does_not_take_an_answer_of_the_older_policy_is_closed_in_time() {
    let gateway = gateway("auto");
    let broker = one_broker().address(1).unwrap();
    create_topic(broker, "changing-stuck");
    let mut direct = Connection::open(broker).unwrap();
    for _ in 0..200 {
        direct.call(PRODUCE, &produce("changing-stuck", -1, batch("stored", 1000, "none").into())).unwrap();
    }
    let mut stuck = Connection::open(gateway.broker_address(1).unwrap()).unwrap().with_client_id("stuck");
    stuck.send(FETCH, &fetch("changing-stuck", 0, 64 << 20, 100)).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    write_policy(&gateway, RULES);
    let begun = Instant::now();
    let reloaded = gateway.weir(&["reload"]).unwrap().stdout;
    assert!(begun.elapsed() >= weir::limits::POLICY_DRAIN);
    assert!(reloaded.contains("connections closed: 1"), "{reloaded}");
    assert!(gateway.log().contains("records that an older policy let pass"), "{}", gateway.log());
}

/// A topic with a card in it, and a connection to read it.
fn reader_of_one_card(gateway: &Gateway, topic: &str) -> Connection {
    let broker = one_broker().address(1).unwrap();
    create_topic(broker, topic);
    let mut direct = Connection::open(broker).unwrap();
    direct.call(PRODUCE, &produce(topic, -1, batch("stored", 1, "none").into())).unwrap();
    Connection::open(gateway.broker_address(1).unwrap()).unwrap()
}

/// What was compiled for a connection under the older rules is not kept.
#[test]
fn rules_that_take_the_place_of_others_hold_on_connections_that_are_open() {
    let gateway = gateway("auto");
    let mut reader = reader_of_one_card(&gateway, "changing-rules");
    for (action, card) in
        [("{ keep_last: 4 }", MASKED), ("{ keep_first: 4 }", "4111************"), ("redact", "****************")]
    {
        reload(&gateway, &RULES.replace("{ keep_last: 4 }", action));
        reader.send(FETCH, &fetch("changing-rules", 0, 1 << 20, 100)).unwrap();
        let answer = reader.receive_frame().unwrap().expect("the connection stays");
        let card = format!("\"number\":\"{card}\"");
        assert!(memchr::memmem::find(&answer, card.as_bytes()).is_some(), "{action}: {}", answer.escape_ascii());
    }
}

/// Policies of an identity's fetches, in order, by a command that prints JSON lines.
fn policies_of_fetches(gateway: &Gateway, command: &[&str]) -> Vec<String> {
    let lines = gateway.weir(command).unwrap().stdout;
    let events = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let fetches = events.filter(|event| event["request"]["api_key"] == 1);
    fetches.map(|event| event["policy_hash"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_recording_tells_under_which_policy_an_exchange_happened() {
    let gateway = gateway("auto");
    let mut reader = reader_of_one_card(&gateway, "changing-told").with_client_id("told");
    let mut hashes = vec![gateway.weir_json(&["reload"]).unwrap()[0]["hash"].as_str().unwrap().to_owned()];
    let mut read = || {
        reader.send(FETCH, &fetch("changing-told", 0, 1 << 20, 100)).unwrap();
        reader.receive_frame().unwrap().unwrap();
    };
    read();
    for rules in [RULES, NO_RULES] {
        write_policy(&gateway, rules);
        hashes.push(gateway.weir_json(&["reload"]).unwrap()[0]["hash"].as_str().unwrap().to_owned());
        read();
    }
    assert!(hashes[0] == hashes[2] && hashes[0] != hashes[1]);
    let session = wait_for("the session in the recording", SOON, || {
        let sessions = gateway.weir_json(&["sessions", "--topic", "changing-told"])?;
        let told = sessions.into_iter().find(|session| session["client_id"] == "told");
        Ok(told.map(|session| session["id"].as_str().unwrap().to_owned()))
    });
    let session = session.unwrap();
    wait_for("the exchanges in the recording", SOON, || {
        Ok((policies_of_fetches(&gateway, &["show", &session, "--json"]) == hashes).then_some(()))
    })
    .unwrap();
    assert_eq!(policies_of_fetches(&gateway, &["export", &session, "--format", "jsonl"]), hashes);
    let shown = gateway.weir(&["show", &session]).unwrap().stdout;
    let said = shown.lines().filter_map(|line| line.split_once(" policy ")?.1.split_whitespace().next());
    let changes: Vec<&str> = said.collect();
    assert_eq!(changes, [1, 2].map(|at| format!("{}…", &hashes[at][..12])), "{shown}");
}

#[test]
fn a_policy_that_is_wrong_or_gone_changes_nothing_and_its_problems_are_told() {
    let gateway = gateway("auto");
    let mut reader = reader_of_one_card(&gateway, "changing-wrong");
    let mut reads_card = || {
        reader.send(FETCH, &fetch("changing-wrong", 0, 1 << 20, 100)).unwrap();
        holds_card(&reader.receive_frame().unwrap().unwrap())
    };
    reload(&gateway, RULES);
    assert!(!reads_card());
    for wrong in ["masking: [{ fields: [a] }]\n", "masking: 7\n", "{"] {
        write_policy(&gateway, wrong);
        let told = gateway.weir(&["reload"]).unwrap_err().to_string();
        assert!(told.contains("policy.yaml:") && told.contains("the policy in force stays"), "{told}");
        assert!(!reads_card(), "{wrong}");
    }
    fs::remove_file(gateway.config_path().with_file_name("policy.yaml")).unwrap();
    gateway.weir(&["reload"]).unwrap_err();
    assert!(!reads_card(), "a file that is gone takes no rule away");
    write_policy(&gateway, RULES);
    assert_eq!(gateway.weir_json(&["reload"]).unwrap()[0]["changed"], false);
}

#[test]
fn a_change_is_followed_once_it_was_seen_twice_alike_and_at_sighup_at_once() {
    let gateway = gateway("auto");
    let mut reader = reader_of_one_card(&gateway, "changing-followed");
    let mut reads_card = || {
        reader.send(FETCH, &fetch("changing-followed", 0, 1 << 20, 100)).unwrap();
        holds_card(&reader.receive_frame().unwrap().expect("the connection stays"))
    };
    assert!(reads_card());
    write_policy(&gateway, RULES);
    wait_for("the policy to be followed", SOON, || Ok((!reads_card()).then_some(()))).unwrap();

    // A file that is another one at each look is still being written, for all that anybody knows.
    let begun = Instant::now();
    let mut edit = 0;
    let mut edits = || {
        edit += 1;
        write_policy(&gateway, &format!("{NO_RULES}# edit {edit}\n"));
    };
    while begun.elapsed() < 3 * weir::limits::FILES_LOOK {
        edits();
        assert!(!reads_card(), "followed at the first look");
        std::thread::sleep(Duration::from_millis(200));
    }
    // So this is by the signal.
    let pid = rustix::process::Pid::from_raw(gateway.pid().unwrap().try_into().unwrap()).unwrap();
    wait_for("the policy to be followed", SOON, || {
        edits();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        Ok(reads_card().then_some(()))
    })
    .unwrap();
}
