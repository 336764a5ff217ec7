//! What masks records, at work in the gateway: whatever a client produces, reads or leaves in the recording is what a rule
//! made of it, under every codec, with Kafka's own clients and librdkafka's; whom no rule names sees the same topic raw.
//!
//! The gateway under test is this file's own program: `gateway_process` starts it with rules of the test's.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use loadtest::clients::{JavaTools, Record as Sent, Target};
use loadtest::process;
use loadtest::scratch::Scratch;
use loadtest::weir::{Gateway, Options};
use weir::boot;
use weir::config::Config;
use weir::pipeline::masking::{Client, Masking, MaskingRules, On};
use weir::wire::kafka::compression::Levels;
use weir::wire::kafka::records::Record;
use weir::wire::kafka::records::rewrite::{Replacement, Verdict};

const CARD: &str = "4111111111111111";
const SAME_LENGTH: &str = "************1111";
const LONGER: &str = "a card was here, and this is longer than it";
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const LIMIT: Duration = Duration::from_secs(90);

/// Where the gateway under test finds its configuration.
const CONFIG: &str = "WEIR_MASKED_CONFIG";

/// Cards become others: as long in topics that say so, else longer. `left out` is dropped from what is read.
struct Cards {
    /// The client's records are masked when it reads or writes them, and not only in the recording.
    masked: bool,
    same_length: bool,
}

impl Masking for Cards {
    fn any(&self, on: On) -> bool {
        self.masked || on == On::Recording
    }

    fn choose(&mut self, on: On, topic: &str) -> bool {
        self.same_length = topic.contains("same");
        self.any(on) && topic.starts_with("cards")
    }

    fn record(&mut self, record: &Record<'_>, with: &mut Replacement) -> Verdict {
        let text = record.value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
        match text.as_str() {
            "left out" => return Verdict::Drop,
            "not to be read" => return Verdict::Refuse,
            _ if !text.contains(CARD) => return Verdict::Keep,
            _ => {}
        }
        let by = if self.same_length { SAME_LENGTH } else { LONGER };
        with.set_value(Some(text.replace(CARD, by).as_bytes()));
        Verdict::Replace
    }
}

struct Rules;

impl MaskingRules for Rules {
    fn of(&self, client: Client<'_>) -> Option<Box<dyn Masking>> {
        Some(Box::new(Cards { masked: client.client_id.starts_with("masked"), same_length: false }))
    }

    fn levels(&self) -> Levels {
        Levels::default()
    }
}

/// Started by `gateway` below; alone it does nothing.
#[test]
#[ignore = "the gateway under test, not a test"]
fn gateway_process() {
    if let Some(config) = std::env::var_os(CONFIG) {
        let config = Config::load(Path::new(&config)).unwrap();
        boot::serve_masked(config, Some(Arc::new(Rules))).unwrap();
    }
}

/// A program that serves as this one does under the rules above, and is the gateway's own binary otherwise.
fn program(dir: &Scratch) -> PathBuf {
    let path = dir.path().join("weir");
    let own = std::env::current_exe().unwrap();
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = serve ] || exec '{}' \"$@\"\n\
         {CONFIG}=\"$3\" exec '{}' --exact gateway_process --ignored --nocapture\n",
        env!("CARGO_BIN_EXE_weir"),
        own.display()
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn gateway(dir: &Scratch, runtime: &str) -> Gateway {
    let options = Options::new(common::cluster().bootstrap()).runtime(runtime);
    Gateway::start(program(dir), options.policy("recording: [{ mode: full }]\n")).unwrap()
}

fn kcat(bootstrap: &str, client: &str, args: &[&str], input: &str) -> process::Output {
    let mut command = Command::new("kcat");
    command.env("KCAT_CONFIG", "/dev/null").args(["-b", bootstrap, "-q", "-m", "30"]);
    command.args(["-X", &format!("client.id={client}")]).args(args);
    process::run_any("kcat", &command, input.as_bytes(), LIMIT).unwrap().1
}

/// Everything in a topic, as librdkafka reads it, checksums looked at.
fn read(bootstrap: &str, client: &str, topic: &str) -> Vec<String> {
    let args = ["-C", "-t", topic, "-o", "beginning", "-e", "-X", "check.crcs=true"];
    kcat(bootstrap, client, &args, "").stdout.lines().map(str::to_owned).collect()
}

fn java(bootstrap: &str, client: &str) -> JavaTools {
    JavaTools::new(&Target::anonymous(bootstrap, client)).unwrap()
}

fn record(value: String) -> Sent {
    Sent { key: Some("k".to_owned()), value: Some(value), headers: vec![("h".to_owned(), Some("v".to_owned()))] }
}

/// Records that a codec shortens, with cards in the first and the last.
fn sent(codec: &str) -> Vec<String> {
    let padding = "lorem ipsum ".repeat(20);
    vec![format!("{codec} {CARD} {padding}"), format!("{codec} {padding}"), format!("{codec} {padding} {CARD}")]
}

fn all_sent() -> Vec<String> {
    CODECS.into_iter().flat_map(sent).collect()
}

fn masked(values: &[String], by: &str) -> Vec<String> {
    values.iter().map(|value| value.replace(CARD, by)).collect()
}

fn sorted(mut values: Vec<String>) -> Vec<String> {
    values.sort();
    values
}

/// No card is in what the commands show of the recording, and what it became is.
fn recorded(gateway: &Gateway, by: &str) {
    let mut found = false;
    for session in gateway.weir_json(&["sessions"]).unwrap() {
        let shown = gateway.weir(&["show", session["id"].as_str().unwrap(), "--records", "--json"]).unwrap().stdout;
        assert!(!shown.contains(CARD), "the recording holds a card");
        found |= shown.contains(by);
    }
    assert!(found, "the recording holds what became of the cards");
}

#[test]
fn what_is_read_is_masked_for_whom_a_rule_says_and_in_every_recording() {
    let dir = Scratch::new("weir-masking-").unwrap();
    for (runtime, topic, by) in [("io_uring", "cards-same-read", SAME_LENGTH), ("epoll", "cards-read", LONGER)] {
        let gateway = gateway(&dir, runtime);
        let bootstrap = gateway.bootstrap();
        java(&bootstrap, "clear").create_topic(topic, 1).unwrap();
        for codec in CODECS {
            if runtime == "io_uring" {
                let records: Vec<Sent> = sent(codec).into_iter().map(record).collect();
                java(&bootstrap, "clear").produce(topic, codec, &records).unwrap();
            } else {
                let told = kcat(&bootstrap, "clear", &["-P", "-t", topic, "-z", codec], &sent(codec).join("\n"));
                assert_eq!(told.stderr, "");
            }
        }
        kcat(&bootstrap, "clear", &["-P", "-t", topic], "left out\n");
        let clear = sorted([all_sent(), vec!["left out".to_owned()]].concat());
        assert_eq!(sorted(read(&bootstrap, "clear", topic)), clear);
        let expected = sorted(masked(&all_sent(), by));
        assert_eq!(sorted(read(&bootstrap, "masked", topic)), expected);
        let by_java = java(&bootstrap, "masked-java").consume(topic, "readers", expected.len()).unwrap();
        assert_eq!(sorted(by_java.into_iter().filter_map(|record| record.value).collect()), expected);
        recorded(&gateway, by);
    }
}

#[test]
fn what_is_produced_reaches_the_broker_masked_or_not_at_all() {
    let dir = Scratch::new("weir-masking-").unwrap();
    for (runtime, topic, by) in [("io_uring", "cards-written", LONGER), ("epoll", "cards-same-written", SAME_LENGTH)] {
        let gateway = gateway(&dir, runtime);
        let bootstrap = gateway.bootstrap();
        java(&bootstrap, "clear").create_topic(topic, 1).unwrap();
        for codec in CODECS {
            let told = kcat(&bootstrap, "masked", &["-P", "-t", topic, "-z", codec], &sent(codec).join("\n"));
            assert_eq!(told.stderr, "");
        }
        let idempotent = ["-P", "-t", topic, "-X", "enable.idempotence=true"];
        kcat(&bootstrap, "masked", &idempotent, CARD);
        let expected = sorted(masked(&[all_sent(), vec![CARD.to_owned()]].concat(), by));
        assert_eq!(sorted(read(&common::cluster().bootstrap(), "clear", topic)), expected);

        let told = kcat(&bootstrap, "masked", &["-v", "-P", "-t", topic], "not to be read\n");
        assert!(told.stderr.contains("Policy violation"), "{}", told.stderr);
        assert_eq!(sorted(read(&common::cluster().bootstrap(), "clear", topic)), expected, "nothing of it was written");
        recorded(&gateway, by);
    }
}

#[test]
fn a_partition_that_may_not_be_read_is_an_error_that_clients_show() {
    let dir = Scratch::new("weir-masking-").unwrap();
    let topic = "cards-refused";
    let gateway = gateway(&dir, "auto");
    let bootstrap = gateway.bootstrap();
    java(&bootstrap, "clear").create_topic(topic, 1).unwrap();
    kcat(&bootstrap, "clear", &["-P", "-t", topic], "not to be read\n");
    let told = kcat(&bootstrap, "masked", &["-C", "-t", topic, "-o", "beginning", "-e"], "");
    assert_eq!(told.stdout, "");
    assert!(told.stderr.contains("authorization failed"), "{}", told.stderr);
    // It stops with an exception that names the topic; its tool prints none and ends.
    assert_eq!(java(&bootstrap, "masked-java").consume(topic, "refused", 1).unwrap(), []);
}
