//! Canaries are planted wherever a value can hide, read and written through Weir under every codec, and looked for in all that
//! Weir sent and wrote: frames to clients and brokers, records however compressed, the store's files, journals, what commands
//! show and export, logs at their most talkative, metrics.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use loadtest::batch::{Batch, split};
use loadtest::clients::Record;
use loadtest::http;
use loadtest::wire::{Connection, decode};
use regex::bytes::{Regex, RegexBuilder};
use weir::wire::kafka::records;

use super::*;
use crate::hazards_support::{FETCH, PRODUCE, create_topic, end_offset, fetch, produce};
use crate::reload::one_broker;

const RULES: &str = r#"recording: [{ mode: full }]
masking:
  - name: by name
    topics: ["canary-*"]
    fields: ["**.pan", '**."card/no"', "$key.pan", "headers.x-pan"]
    action: redact
    on: [produce, fetch]
    nested_json: true
  - name: by form
    topics: ["canary-*"]
    detect: [payment_card]
    action: redact
    on: [produce, fetch]
  - name: or not at all
    topics: ["canary-refused-*"]
    fields: ["**.pan"]
    action: redact
    on: [produce, fetch]
    unparsable: refuse
"#;

/// Values that hide a canary: `§` stands for one that has to be found by the name of its field, `¤` for a card number that
/// has to be found by its form.
const HIDING_PLACES: &[&str] = &[
    r#"{"pan":"§"}"#,
    r#"{"pan":"§","pan":"§"}"#,
    r#"{"a":1,"pan":"","pan":"§","b":{"pan":null,"pan":"§"}}"#,
    r#"{"\u0070an":"§","p\u0061n":"§","\u0070\u0061\u006E":"§"}"#,
    r#"{"card\/no":"§","card/no":"§","card\u002fno":"§"}"#,
    r#"{"a":[[{"pan":["§",["§",{"x":"§"}]]}]]}"#,
    r#"{"pan":{"x":"§","y":{"z":["§"]}}}"#,
    r#"[{"pan":"§"},[{"pan":"§"}]]"#,
    "{\"x\":1}\n{\"pan\":\"§\"}\r\n{\"y\":{\"pan\":\"§\"}}\n",
    "  \t\n{ \"pan\"\r\n\t :\n  \"§\" }  ",
    r#"{"doc":"{\"pan\":\"§\"}"}"#,
    r#"{"doc":"{\"doc\":\"{\\\"pan\\\":\\\"§\\\"}\"}"}"#,
    r#"{"doc":"{\u0022pan\u0022:\u0022§\u0022}"}"#,
    // Numbers, as they may be written.
    r#"{"pan":¤,"b":{"pan":-¤}}"#,
    r#"{"pan":¤.5,"b":{"pan":¤e0},"c":{"pan":0.¤E+16}}"#,
    r#"{"other":¤}"#,
    // What is no JSON, or no longer.
    r#"{"pan":"§"#,
    r#"{"x":"y","pan":"§","#,
    r#"{"pan":"§"}}"#,
    r#"{"a":1/* x */,"pan":"§"}"#,
    "{'pan':'§'}",
    "pan=§",
    r#"{"pan":"§"} and more"#,
    "{\"pan\":\"a\nb§\"}",
    r#"{"pan":"\x§"}"#,
    // Found by their form.
    "¤",
    r#""¤""#,
    "a card: ¤, and more",
    r#"{"note":"paid with ¤."}"#,
    r#"{"note":"\u0034¤"}"#,
    r#"{"¤":"a name that is a card"}"#,
    r#"["¤",["x ¤"]]"#,
    r#"{"note":"broken ¤"#,
];

/// The same in bytes that are no text: what stands before and after the canary.
const RAW_PLACES: &[(&[u8], &[u8])] = &[
    (b"\xef\xbb\xbf{\"pan\":\"", b"\"}"),
    (b"{\"x\":\"\xff\xfe\",\"pan\":\"", b"\"}"),
    (b"{\"pan\":\"\xc3\x28", b"\"}"),
    (b"{\"pan\":\"", b"\xed\xa0\x80\"}"),
    // A schema registry's format, of which nothing can be read.
    (b"\0\0\0\0\x07\x02{\"pan\":\"", b"\"}"),
];

/// All canaries planted so far, and how to plant more.
#[derive(Default)]
struct Aviary {
    all: Vec<String>,
    /// Of those, by their places, what went through a codec whose decoder gives back a window of its own as it is.
    in_windows: Vec<Range<usize>>,
}

impl Aviary {
    fn canary(&mut self) -> String {
        let canary = format!("canary{:04}tweets", self.all.len());
        self.all.push(canary.clone());
        canary
    }

    /// A card number with Luhn's digit. It is looked for without its last three digits, which no number shares.
    fn card(&mut self) -> String {
        let digits = format!("4539{:011}", 70_000_000 + 7919 * self.all.len());
        let doubled = |(place, digit): (usize, u8)| {
            let digit = u32::from(digit - b'0');
            if place % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit }
        };
        let sum: u32 = digits.bytes().enumerate().map(doubled).sum();
        self.all.push(digits.clone());
        format!("{digits}{}", (10 - sum % 10) % 10)
    }

    fn plant(&mut self, place: &str) -> String {
        let mut planted = String::new();
        for c in place.chars() {
            match c {
                '§' => planted += &self.canary(),
                '¤' => planted += &self.card(),
                c => planted.push(c),
            }
        }
        planted
    }

    /// A record for each hiding place; keys and headers hide canaries too.
    fn records(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        for place in HIDING_PLACES {
            // An escape before a card number makes another number of it.
            let value = self.plant(place).replace("\\u00344539", "\\u0034539");
            let key = Some(self.plant(r#"{"n":1,"p\u0061n":"§"}"#));
            let header = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
            let headers = vec![header("x-pan", &self.canary()), header("other", "x"), header("x-pan", &self.canary())];
            records.push(Record { key, value: Some(value), headers });
        }
        records.push(Record { key: Some(self.plant("no JSON, pan §")), value: None, headers: Vec::new() });
        let deep = format!("{}{}{}", "[".repeat(200), self.plant(r#"{"pan":"§"}"#), "]".repeat(200));
        records.push(Record { key: None, value: Some(deep), headers: Vec::new() });
        records
    }

    /// Batches of one record each that is no text.
    fn raw_batches(&mut self) -> Vec<Vec<u8>> {
        let mut values: Vec<Vec<u8>> =
            RAW_PLACES.iter().map(|(before, after)| [before, self.canary().as_bytes(), after].concat()).collect();
        for mark in [&b"\xff\xfe"[..], b"\xfe\xff"] {
            let wide = self.plant(r#"{"pan":"§"}"#).bytes().flat_map(|byte| [byte, 0]).collect::<Vec<u8>>();
            // With the other mark the bytes are of the other order.
            let wide = if mark[0] == 0xff { wide } else { [&[0], &wide[..wide.len() - 1]].concat() };
            values.push([mark, &wide].concat());
        }
        values
            .into_iter()
            .map(|value| {
                let filler = "\u{1}".repeat(value.len());
                let record = Record { key: None, value: Some(filler.clone()), headers: Vec::new() };
                let mut batch = Batch::of(vec![record]).bytes();
                let at = memchr::memmem::find(&batch, filler.as_bytes()).unwrap();
                batch[at..at + value.len()].copy_from_slice(&value);
                let checksum = crc32c::crc32c(&batch[21..]);
                batch[17..21].copy_from_slice(&checksum.to_be_bytes());
                batch
            })
            .collect()
    }

    /// Batches of every codec, and those that are no text.
    fn batches(&mut self) -> Vec<Vec<u8>> {
        let mut batches = Vec::new();
        for codec in CODECS {
            let from = self.all.len();
            batches.push(Batch::of(self.records()).codec(codec).bytes());
            self.in_windows.extend(["gzip", "lz4", "zstd"].contains(&codec).then_some(from..self.all.len()));
        }
        batches.extend(self.raw_batches());
        batches
    }

    /// Finds any of them, in UTF-8 or UTF-16.
    fn finder(&self) -> Regex {
        finder(self.all.iter())
    }

    /// Finds any of them that memory may not hold.
    fn finder_in_memory(&self) -> Regex {
        let in_windows = |place: &usize| self.in_windows.iter().any(|range| range.contains(place));
        finder(self.all.iter().enumerate().filter(|(place, _)| !in_windows(place)).map(|(_, canary)| canary))
    }
}

fn finder<'a>(canaries: impl Iterator<Item = &'a String>) -> Regex {
    let forms: Vec<String> = canaries.flat_map(|canary| [canary.clone(), wide(canary, "\\x00")]).collect();
    RegexBuilder::new(&format!("(?-u:{})", forms.join("|"))).size_limit(64 << 20).build().unwrap()
}

/// Each letter with `zero` behind it, as UTF-16 has it.
fn wide(canary: &str, zero: &str) -> String {
    canary.chars().map(|c| format!("{c}{zero}")).collect()
}

/// Where bytes were found, and the bytes.
type Evidence = Vec<(String, Vec<u8>)>;

fn free_of(finder: &Regex, evidence: &Evidence) {
    for (place, bytes) in evidence {
        if let Some(found) = finder.find(bytes) {
            let around = &bytes[found.start().saturating_sub(60)..(found.end() + 20).min(bytes.len())];
            panic!("in {place}: {}", around.escape_ascii());
        }
    }
}

/// Everything in a topic as an address gives it: frames, and records out of their compression. Each answer holds several
/// batches and, where `tail` is asked for, one that is cut off.
fn read(address: std::net::SocketAddr, topic: &str, end: i64, max_bytes: i32) -> Evidence {
    let mut connection = Connection::open(address).unwrap().with_client_id("reader");
    let (mut evidence, mut offset) = (Vec::new(), 0);
    while offset < end {
        connection.send(FETCH, &fetch(topic, offset, max_bytes, 100)).unwrap();
        let frame = connection.receive_frame().unwrap().expect("the connection stays");
        evidence.push((format!("an answer to a Fetch of {topic}"), frame.to_vec()));
        let (_, answer) = decode::<FetchRequest>(FETCH, frame).unwrap();
        let set = records_of(&answer);
        let before = offset;
        for batch in split(&set) {
            let mut inflated = Vec::new();
            let Ok(opened) = records::open(batch, 1 << 20, &mut inflated) else { continue };
            offset = opened.records.map(|record| record.unwrap().offset).last().unwrap() + 1;
            evidence.push((format!("records of {topic}"), inflated));
        }
        assert!(offset > before, "{topic} at {offset}: {:?}", answer.responses[0].partitions[0].error_code);
    }
    evidence
}

fn records_of(answer: &FetchResponse) -> Bytes {
    answer.responses[0].partitions[0].records.clone().unwrap_or_default()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// All that the gateway wrote or shows.
fn left_behind(gateway: &Gateway) -> Evidence {
    let mut evidence = vec![("the log".to_owned(), gateway.log().into_bytes())];
    for path in ["/metrics", "/readyz"] {
        evidence.push((path.to_owned(), http::get(gateway.control(), path).unwrap().1.into_bytes()));
    }
    for session in gateway.weir_json(&["sessions"]).unwrap() {
        let id = session["id"].as_str().unwrap();
        for args in [
            &["show", id, "--json"][..],
            &["show", id, "--records", "--full"],
            &["show", id, "--records", "--json"],
            &["export", id, "--format", "jsonl"],
            &["export", id, "--format", "frames"],
            &["export", id, "--format", "pcapng"],
        ] {
            // Of a connection that only came and went there is nothing to export.
            let Ok(printed) = gateway.weir_bytes(args) else { continue };
            evidence.push((format!("weir {args:?}"), printed));
        }
        evidence.push(("weir sessions".to_owned(), session.to_string().into_bytes()));
    }
    for file in files_below(&gateway.store_path()) {
        evidence.push((file.display().to_string(), fs::read(&file).unwrap_or_default()));
    }
    evidence
}

/// Once its clients are gone, no canary stands in what the gateway may write to: heap, stacks, buffers.
fn forgets(gateway: &Gateway, finder: &Regex) {
    let pid = gateway.pid().unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut mapped = vec![0; usize::try_from(to - from).unwrap().min(256 << 20)];
        let read = memory.read_at(&mut mapped, from).unwrap_or(0);
        free_of(finder, &vec![(format!("memory {line}"), mapped[..read].to_vec())]);
    }
}

#[test]
fn no_canary_leaves_weir_wherever_it_was_planted() {
    for runtime in common::RUNTIMES {
        let mut options = Options::new(one_broker().bootstrap()).runtime(runtime).policy(RULES);
        options.top.push("log: { level: trace }".to_owned());
        let gateway = common::gateway_before(one_broker(), options);
        let broker = one_broker().address(1).unwrap();
        let door = gateway.broker_address(1).unwrap();
        let topic = |what: &str| format!("canary-{what}-{runtime}");
        let (stored, written, refused) = (topic("stored"), topic("written"), topic("refused"));
        [&stored, &written, &refused].into_iter().for_each(|topic| create_topic(broker, topic));
        let mut aviary = Aviary::default();

        // Read through Weir: two ways to ask, so that answers end between batches and within them.
        let mut direct = Connection::open(broker).unwrap();
        for batch in aviary.batches() {
            let answer = direct.call(PRODUCE, &produce(&stored, -1, batch.into())).unwrap();
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
        let end = end_offset(broker, &stored).unwrap();
        let raw: Vec<u8> = read(broker, &stored, end, 1 << 20).into_iter().flat_map(|(_, bytes)| bytes).collect();
        let is_in = |form: &str| memchr::memmem::find(&raw, form.as_bytes()).is_some();
        let lost = aviary.all.iter().find(|canary| !is_in(canary) && !is_in(&wide(canary, "\0")));
        assert_eq!(lost, None, "every canary is in the topic");
        let finder = aviary.finder();
        for max_bytes in [1 << 20, 30_000, 12_345] {
            free_of(&finder, &read(door, &stored, end, max_bytes));
        }
        let shown = kcat(&gateway.bootstrap(), &[&read_all(&stored)[..], &["-f", "%k %h %s\n"]].concat(), "");
        assert!(shown.stdout.contains("***"));
        free_of(&finder, &vec![("kcat".to_owned(), [shown.stdout, shown.stderr].concat().into_bytes())]);

        // Written through Weir: the broker has none of them.
        let mut writer = Connection::open(door).unwrap().with_client_id("writer");
        for batch in aviary.batches() {
            let answer = writer.call(PRODUCE, &produce(&written, -1, batch.into())).unwrap();
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
        let finder = aviary.finder();
        free_of(&finder, &read(broker, &written, end_offset(broker, &written).unwrap(), 1 << 20));

        // Refused: neither way, and not in what is said about it.
        let broken = Record { key: None, value: Some(aviary.plant(r#"{"pan":"§"#)), headers: Vec::new() };
        let batch = Batch::of(vec![broken]).bytes();
        let answer = writer.call(PRODUCE, &produce(&refused, -1, batch.clone().into())).unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 44, "POLICY_VIOLATION");
        assert_eq!(end_offset(broker, &refused), Some(0), "nothing was written");
        direct.call(PRODUCE, &produce(&refused, -1, batch.into())).unwrap();
        writer.send(FETCH, &fetch(&refused, 0, 1 << 20, 100)).unwrap();
        let answer = writer.receive_frame().unwrap().unwrap();
        free_of(&aviary.finder(), &vec![("an answer that refuses".to_owned(), answer.to_vec())]);

        let left = left_behind(&gateway);
        free_of(&aviary.finder(), &left);
        drop(writer);
        forgets(&gateway, &aviary.finder_in_memory());
        let shows = |what: &str| left.iter().any(|(_, bytes)| memchr::memmem::find(bytes, what.as_bytes()).is_some());
        assert!(shows("****************") && shows("paid with "), "the recording holds what they became");
    }
}
