//! `weir show --records` on recorded frames: every codec, what is not there and why, and records that would like to do harm.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cli_support;

use bytes::{Bytes, BytesMut};
use cli_support::*;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchResponse, ResponseHeader};
use kafka_protocol::protocol::Encodable;
use loadtest::admin;
use loadtest::batch::Batch;
use loadtest::clients::{CODECS, Record};
use loadtest::wire;
use serde_json::{Value, json};
use uuid::Uuid;
use weir::event::piece::{Content, Piece, Way, Withheld};
use weir::event::{ConnectionNo, EventKind, Item, Outcome, RequestPart, ResponsePart};

const TOPIC: Uuid = Uuid::from_u128(0x1234_5678);

fn record(key: Option<&str>, value: Option<&str>, headers: &[(&str, Option<&str>)]) -> Record {
    let text = |text: &str| text.to_owned();
    let headers = headers.iter().map(|(name, value)| (text(name), value.map(text))).collect();
    Record { key: key.map(text), value: value.map(text), headers }
}

fn some_records() -> Vec<Record> {
    vec![
        record(Some("user-7"), Some(r#"{"n": 1}"#), &[("trace", Some("abc")), ("trace", Some("abd")), ("none", None)]),
        record(None, None, &[]),
        record(Some("schlüssel"), Some("grüße 👋"), &[("über", Some("ß"))]),
        record(Some(""), Some(""), &[]),
    ]
}

/// What `--json` has to say of them.
fn as_told(records: &[Record]) -> Vec<Value> {
    let header = |(name, value): &(String, Option<String>)| json!({ "name": name, "value": value });
    let told = |record: &Record| {
        let headers: Vec<Value> = record.headers.iter().map(header).collect();
        json!({ "key": record.key, "value": record.value, "headers": headers })
    };
    records.iter().map(told).collect()
}

fn told_of(lines: &[Value]) -> Vec<Value> {
    let records = lines.iter().filter(|line| line["event"] == "record");
    records.map(|line| json!({ "key": line["key"], "value": line["value"], "headers": line["headers"] })).collect()
}

fn item(partition: i32, bytes: usize) -> Item {
    let (records, bytes) = (Some(1), Some(bytes as u64));
    Item { name: "orders".to_owned(), partition: Some(partition), records, bytes, ..Item::default() }
}

fn exchange(ordinal: u64, api_key: i16, api_version: i16, asked: Vec<Item>, answered: Vec<Item>) -> EventKind {
    let request = RequestPart { api_key, api_version, bytes: 100, items: asked, ..RequestPart::default() };
    let response = ResponsePart { outcome: Outcome::Answered, bytes: 100, items: answered, ..ResponsePart::default() };
    EventKind::Exchange { ordinal, request: Some(request), response }
}

fn produce_frame(version: i16, records: Vec<u8>) -> Bytes {
    wire::encode("perf", 7, version, &admin::produce_request("orders", TOPIC, version, 0, -1, records)).unwrap()
}

fn fetch_frame(version: i16, partitions: &[Vec<u8>]) -> Bytes {
    let data = |(index, records): (i32, &Vec<u8>)| {
        PartitionData::default().with_partition_index(index).with_records(Some(Bytes::from(records.clone())))
    };
    let mut topic = FetchableTopicResponse::default().with_partitions((0..).zip(partitions).map(data).collect());
    if version < 13 {
        topic = topic.with_topic(admin::topic("orders"));
    } else {
        topic = topic.with_topic_id(TOPIC);
    }
    let response = FetchResponse::default().with_responses(vec![topic]);
    let mut body = BytesMut::new();
    let header_version = i16::from(version >= 12);
    ResponseHeader::default().with_correlation_id(7).encode(&mut body, header_version).unwrap();
    response.encode(&mut body, version).unwrap();
    wire::framed(&body).unwrap()
}

/// A session of one connection in which one exchange is told after the other, a second apart.
struct Teller {
    gateway: Gateway,
    next: u64,
}

impl Teller {
    fn new() -> Self {
        let mut gateway = Gateway::start();
        gateway.open(1, START_NS, "analyst-7", "127.0.0.1:50000");
        Self { gateway, next: 0 }
    }

    fn at_ns(&self) -> u64 {
        START_NS + (self.next + 1) * SECOND_NS
    }

    fn produce(&mut self, version: i16, records: Vec<u8>) {
        let (ordinal, items) = (self.next, vec![item(0, records.len())]);
        let frame = produce_frame(version, records);
        self.gateway.frame(1, self.at_ns() - 500, (ordinal, Way::Request), &frame);
        self.gateway.append(1, self.at_ns(), exchange(ordinal, 0, version, items.clone(), items));
        self.next += 1;
    }

    fn fetch(&mut self, version: i16, partitions: &[Vec<u8>]) {
        let ordinal = self.next;
        let items = (0..).zip(partitions).map(|(partition, records)| item(partition, records.len())).collect();
        let frame = fetch_frame(version, partitions);
        self.gateway.append(1, self.at_ns(), exchange(ordinal, 1, version, Vec::new(), items));
        self.gateway.frame(1, self.at_ns() + 500, (ordinal, Way::Response), &frame);
        self.next += 1;
    }

    /// A Produce of which only the pieces of `keep` are recorded; what `withheld` covers is said to be withheld.
    fn produce_in_pieces(&mut self, records: Vec<u8>, pieces: &[(std::ops::Range<usize>, Option<Withheld>)]) {
        let (ordinal, items) = (self.next, vec![item(0, records.len())]);
        let (frame, at_ns) = (produce_frame(9, records), self.at_ns() - 500);
        for (range, why) in pieces {
            let range = range.start..range.end.min(frame.len());
            let content = match why {
                None => Content::Bytes(&frame[range.clone()]),
                Some(why) => Content::Withheld { bytes: range.len() as u64, why: *why },
            };
            let piece = Piece { ordinal, way: Way::Request, at: range.start as u64, content };
            self.gateway.journals[0].append_piece(ConnectionNo(1), at_ns, &piece).unwrap();
        }
        self.gateway.append(1, self.at_ns(), exchange(ordinal, 0, 9, items.clone(), items));
        self.next += 1;
    }

    fn done(mut self) -> (Gateway, String) {
        self.gateway.close(1, self.at_ns());
        self.gateway.wait_until_recorded(1);
        let id = json_lines(&self.gateway.folder, &["sessions", "--json"])[0]["id"].as_str().unwrap().to_owned();
        (self.gateway, id)
    }
}

#[test]
fn records_of_every_codec_and_version_are_shown_as_they_were() {
    let mut teller = Teller::new();
    let mut expected = Vec::new();
    for (codec, version) in CODECS.iter().zip([3, 7, 9, 12, 13]) {
        let batch = Batch::of(some_records()).codec(codec).bytes();
        teller.produce(version, [batch.clone(), batch.clone()].concat());
        teller.fetch([4, 11, 12, 13, 17][usize::from(version > 8)], &[batch.clone(), Vec::new(), batch]);
        (0..4).for_each(|_| expected.extend(as_told(&some_records())));
    }
    let (gateway, id) = teller.done();
    let live = json_lines(&gateway.folder, &["show", &id, "--records", "--json"]);
    assert_eq!(told_of(&live), expected);
    let records: Vec<&Value> = live.iter().filter(|line| line["event"] == "record").collect();
    assert!(records.iter().all(|record| record["topic"] == "orders"), "{records:#?}");
    assert_eq!(records[1]["timestamp"], "2023-11-14T22:13:20.001Z");
    assert!(live.iter().all(|line| line["event"] != "records_missing"), "{live:#?}");
    let exchanges: Vec<&Value> = live.iter().filter(|line| line["event"] == "exchange").collect();
    assert!(records.iter().all(|record| exchanges.iter().any(|exchange| exchange["id"] == record["exchange"])));

    let text = printed(&gateway.folder, &["show", &id, "--records"]);
    for shown in ["orders-0 @0", "2023-11-14T22:13:20.000Z  key user-7", "trace: abc", r#"{"n": 1}"#, "a tombstone"] {
        assert!(text.contains(shown), "{shown}\n{text}");
    }
    let kept = json_lines(&gateway.stop().folder, &["show", &id, "--records", "--json"]);
    assert_eq!(live, kept);
}

#[test]
fn topics_times_and_text_select_what_is_shown() {
    let mut teller = Teller::new();
    teller.produce(9, Batch::of(vec![record(Some("a"), Some("one"), &[])]).bytes());
    teller.produce(9, Batch::of(vec![record(Some("b"), Some("two"), &[]), record(Some("c"), None, &[])]).bytes());
    let (gateway, id) = teller.done();
    let keys = |arguments: &[&str]| {
        let lines = json_lines(&gateway.folder, &[&["show", &id, "--json"], arguments].concat());
        let records = lines.iter().filter(|line| line["event"] == "record");
        let keys: Vec<String> = records.map(|line| line["key"].as_str().unwrap().to_owned()).collect();
        (lines.iter().filter(|line| line["event"] == "exchange").count(), keys.join(" "))
    };
    assert_eq!(keys(&[]), (2, String::new()));
    assert_eq!(keys(&["--records"]), (2, "a b c".to_owned()));
    assert_eq!(keys(&["--grep", "two"]), (1, "b".to_owned()));
    assert_eq!(keys(&["--records", "--topic", "orders"]), (2, "a b c".to_owned()));
    assert_eq!(keys(&["--records", "--topic", "payments"]), (0, String::new()));
    assert_eq!(keys(&["--records", "--since", "2026-11-22T10:00:01.5Z"]), (1, "b c".to_owned()));
    assert_eq!(keys(&["--records", "--until", "2026-11-22T10:00:01.5Z"]), (1, "a".to_owned()));
    let text = printed(&gateway.folder, &["show", &id, "--grep", "two"]);
    assert_eq!((text.matches("Produce").count(), text.matches("key").count()), (1, 1), "{text}");
}

#[test]
fn what_is_not_there_is_said_with_the_reason() {
    let batch = || Batch::of(some_records()).bytes();
    let frame = produce_frame(9, batch()).len();
    let start = frame - batch().len() - 3; // three sections of tagged fields stand behind the records
    let mut teller = Teller::new();
    // Withheld records, withheld with their header left; lost in the records; lost in front of them; a frame of which
    // nothing was kept; a batch that the broker cut off.
    teller.produce_in_pieces(
        batch(),
        &[(0..start, None), (start..frame - 3, Some(Withheld::NotAsked)), (frame - 3..frame, None)],
    );
    let records = start + 61;
    teller.produce_in_pieces(
        [batch(), batch()].concat(),
        &[(0..start + 70, None), (start + 70..start + 80, Some(Withheld::NotAsked)), (start + 80..9999, None)],
    );
    teller.produce_in_pieces(batch(), &[(0..records, None), (records + 9..9999, None)]);
    teller.produce_in_pieces(batch(), &[(0..30, None), (33..9999, None)]);
    teller.produce_in_pieces(batch(), &[]);
    teller.fetch(12, &[[batch(), batch()[..100].to_vec()].concat()]);
    let (gateway, id) = teller.done();
    let lines = json_lines(&gateway.folder, &["show", &id, "--records", "--json"]);
    let mut told = Vec::new();
    for line in lines.iter().filter(|line| line["event"] != "opened" && line["event"] != "identified") {
        match line["event"].as_str().unwrap() {
            "exchange" => told.push(String::new()),
            "record" => told.last_mut().unwrap().push('r'),
            "records_missing" => told.last_mut().unwrap().push_str(&format!(" {}", line["why"].as_str().unwrap())),
            _ => {}
        }
    }
    let expected = [" not_asked", " not_askedrrrr", " not_captured", " not_captured", " not_recorded", "rrrr cut_off"];
    assert_eq!(told, expected, "{lines:#?}");
    let text = printed(&gateway.folder, &["show", &id, "--records"]);
    for said in ["withheld: no rule asks", "not captured: the recording could not", "cut off by the broker"] {
        assert!(text.contains(said), "{said}\n{text}");
    }
}

#[test]
fn a_session_in_metadata_mode_says_how_records_are_kept() {
    let mut gateway = Gateway::start();
    gateway.record(1, START_NS, "analyst-7", "orders");
    gateway.wait_until_recorded(1);
    let id = json_lines(&gateway.folder, &["sessions", "--json"])[0]["id"].as_str().unwrap().to_owned();
    let text = printed(&gateway.folder, &["show", &id, "--records"]);
    assert!(text.contains("recorded in metadata mode") && text.contains("mode: full"), "{text}");
    assert!(text.contains("records not recorded"), "{text}");
    let output = weir(&gateway.folder, &["show", &id, "--records", "--json"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("mode: full"));
    assert!(String::from_utf8(output.stdout).unwrap().contains(r#""why":"not_recorded""#));
}

#[test]
fn records_that_would_do_harm_are_shown_harmlessly_and_bounded() {
    let mut teller = Teller::new();
    let hostile = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\u{202e}\u{9b}31m";
    teller.produce(9, Batch::of(vec![record(Some(hostile), Some(hostile), &[(hostile, Some(hostile))])]).bytes());
    // A quarter of a gigabyte of zeros in some kilobytes.
    let bomb = zstd::bulk::compress(&vec![0; 256 << 20], 1).unwrap();
    let mut batch = Batch::counting(1).codec("zstd").bytes()[..61].to_vec();
    batch.extend(bomb);
    teller.produce(9, sealed(batch));
    teller.produce(9, Batch::of(vec![record(None, Some(&"x".repeat(60_000)), &[])]).bytes());
    // Raw bytes that are no text, under a checksum that does not hold.
    let mut raw = Batch::of(vec![record(None, Some("AAAA"), &[])]).bytes();
    let at = raw.len() - 5;
    raw[at..at + 4].copy_from_slice(&[0xff, 0x1b, b'[', 0x07]);
    teller.produce(9, raw);
    let (gateway, id) = teller.done();
    let text = printed(&gateway.folder, &["show", &id, "--records"]);
    let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(acts), "{text:?}");
    assert!(text.contains("\\u{1b}[2J"), "{text}");
    assert!(text.contains("inflates to more than 67108864 bytes"), "{text}");
    assert!(text.contains("56.5 KiB more, --full shows all"), "{text}");
    assert!(text.contains("checksum does not hold") && text.contains("ff1b5b07"), "{text}");
    assert!(printed(&gateway.folder, &["show", &id, "--records", "--full"]).contains(&"x".repeat(60_000)));
    let json = printed(&gateway.folder, &["show", &id, "--records", "--json"]);
    assert!(!json.contains(|c: char| c.is_control() && c != '\n' && c < '\u{80}'));
    assert!(json.contains(r#""value_base64":"/xtbBw==""#), "{json}");
}

/// Makes length and checksum right.
fn sealed(mut batch: Vec<u8>) -> Vec<u8> {
    let length = batch.len() as i32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}
