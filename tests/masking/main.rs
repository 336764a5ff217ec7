//! Masking as people meet it: two who read one topic see what their groups let them see, with every client family, under
//! every codec, on both runtimes; what is produced under a rule is masked before a broker has it; the recording is masked for
//! everyone; for which consumer group somebody reads is learnt from the group's coordinator; rules change under load without a
//! record that slips through; and what cannot be rewritten does not pass.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod canaries;
#[path = "../common/mod.rs"]
mod common;
mod consumer_groups;
#[path = "../hazards_support/mod.rs"]
mod hazards_support;
mod old_batches;
#[path = "../common/person.rs"]
mod person;
mod read;
mod reload;
mod room;
mod share;
mod written;

use std::process::Command;
use std::time::Duration;

use loadtest::clients::{CODECS, JavaTools, Record, Script, Target};
use loadtest::process;
use loadtest::weir::{Gateway, Options};
use person::{Person, kcat_command};

const CARD: &str = "4111111111111111";
const MASKED: &str = "************1111";
const LIMIT: Duration = Duration::from_secs(90);

/// A gateway that records everything, under these masking rules; clients log in with tokens.
fn gateway(runtime: &str, rules: &str) -> Gateway {
    let policy = format!("recording: [{{ mode: full }}]\nmasking:\n{rules}");
    let options = Options::new(common::cluster().bootstrap()).runtime(runtime).auth(&["weir_token"]);
    common::gateway_before(common::cluster(), options.policy(&policy))
}

impl Person {
    fn kcat(&self, args: &[&str], input: &str) -> process::Output {
        run_kcat(&self.kcat_command(&quietly(args)), input)
    }

    /// Everything in a topic, as librdkafka reads it, checksums looked at.
    fn reads(&self, topic: &str) -> Vec<String> {
        lines(&self.kcat(&read_all(topic), ""))
    }
}

/// What the brokers have in a topic.
fn stored(topic: &str) -> Vec<String> {
    lines(&kcat(&common::cluster().bootstrap(), &read_all(topic), ""))
}

fn read_all(topic: &str) -> [&str; 8] {
    ["-C", "-t", topic, "-o", "beginning", "-e", "-X", "check.crcs=true"]
}

fn kcat(bootstrap: &str, args: &[&str], input: &str) -> process::Output {
    run_kcat(&kcat_command(bootstrap, &quietly(args)), input)
}

/// Without a word on what goes well.
fn quietly<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["-q"], args].concat()
}

fn run_kcat(command: &Command, input: &str) -> process::Output {
    process::run_any("kcat", command, input.as_bytes(), LIMIT).unwrap().1
}

fn lines(output: &process::Output) -> Vec<String> {
    sorted(output.stdout.lines().map(str::to_owned).collect())
}

/// Events that a codec shortens, with a card in the first and the last.
fn events(codec: &str) -> Vec<String> {
    let padding = "lorem ipsum ".repeat(20);
    let event = |number: usize, card: &str| {
        format!(r#"{{"id":"{codec}-{number}","card":{{"number":"{card}","brand":"x"}},"note":"{padding}"}}"#)
    };
    vec![event(0, CARD), event(1, "none"), event(2, CARD)]
}

fn all_events() -> Vec<String> {
    sorted(CODECS.into_iter().flat_map(events).collect())
}

/// The same, as records of every codec.
fn script() -> Script {
    let record = |value| Record { key: Some("k".to_owned()), value: Some(value), headers: Vec::new() };
    CODECS.into_iter().map(|codec| (codec, events(codec).into_iter().map(record).collect())).collect()
}

/// What keeping the last four characters of `card.number` makes of them.
fn masked(values: &[String]) -> Vec<String> {
    let of = |value: &String| value.replace(CARD, MASKED).replace(r#""number":"none""#, r#""number":"****""#);
    sorted(values.iter().map(of).collect())
}

fn sorted(mut values: Vec<String>) -> Vec<String> {
    values.sort();
    values
}

/// No card is in what the commands show of the recording, and what it became is.
fn is_recorded_masked(gateway: &Gateway) {
    let mut found = false;
    for session in gateway.weir_json(&["sessions"]).unwrap() {
        let shown = gateway.weir(&["show", session["id"].as_str().unwrap(), "--records", "--json"]).unwrap().stdout;
        assert!(!shown.contains(CARD), "the recording holds a card");
        found |= shown.contains(MASKED);
    }
    assert!(found, "the recording holds what became of the cards");
}
