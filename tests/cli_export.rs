//! `weir export` on a recording written here: the container's layout as its page tells it, and captures that hang together.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cli_support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use cli_support::*;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use loadtest::admin;
use loadtest::batch::Batch;
use loadtest::wire;
use serde_json::Value;
use uuid::Uuid;
use weir::event::piece::{Content, Piece, Way, Withheld};
use weir::event::{ConnectionNo, EventKind, Item, Outcome, RequestPart, ResponsePart};

fn frames() -> [Vec<u8>; 4] {
    let produce = |records| {
        let request = admin::produce_request("orders", Uuid::nil(), 9, 0, -1, Batch::counting(records).bytes());
        wire::encode("perf", records as i32, 9, &request).unwrap().to_vec()
    };
    [produce(3), vec![0, 0, 0, 4, 0, 0, 0, 3], produce(4000), vec![0, 0, 0, 4, 0, 0, 0x0f, 0xa0]]
}

/// A session of two exchanges, the second with a secret and larger than a packet.
fn recorded(peer: &str) -> (Gateway, String) {
    let mut gateway = Gateway::start();
    gateway.open(1, START_NS, "analyst-7", peer);
    let [first, answer, second, other] = frames();
    gateway.frame(1, START_NS + 1000, (0, Way::Request), &first);
    gateway.frame(1, START_NS + 2000, (0, Way::Response), &answer);
    for (at, content) in [
        (0, Content::Bytes(&second[..100])),
        (100, Content::Withheld { bytes: 50, why: Withheld::Secret }),
        (150, Content::Bytes(&second[150..])),
    ] {
        let piece = Piece { ordinal: 1, way: Way::Request, at, content };
        gateway.journals[0].append_piece(ConnectionNo(1), START_NS + 3000, &piece).unwrap();
    }
    gateway.frame(1, START_NS + 4000, (1, Way::Response), &other);
    let item = Item { name: "orders".to_owned(), partition: Some(0), records: Some(3), ..Item::default() };
    let request = RequestPart { api_version: 9, items: vec![item], ..RequestPart::default() };
    let response = ResponsePart { outcome: Outcome::Answered, ..ResponsePart::default() };
    gateway.append(1, START_NS + 2000, EventKind::Exchange { ordinal: 0, request: Some(request), response });
    gateway.close(1, START_NS + 5000);
    gateway.wait_until_recorded(1);
    let id = json_lines(&gateway.folder, &["sessions", "--json"])[0]["id"].as_str().unwrap().to_owned();
    (gateway, id)
}

#[test]
fn the_reader_that_the_page_shows_reads_the_container() {
    let (gateway, id) = recorded("127.0.0.1:50000");
    let path = gateway.folder.path().join("frames");
    let output = path.to_str().unwrap();
    assert_eq!(printed(&gateway.folder, &["export", &id, "--format", "frames", "--output", output]), "");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/frames.md")).unwrap();
    let script = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(script.lines().count() <= 20);
    let read = Command::new("python3").args(["-c", script, output]).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let [first, answer, second, other] = frames().map(|frame| frame.len());
    let at = [1000, 2000, 3000, 4000].map(|after_ns| START_NS + after_ns);
    let expected = format!(
        "{} 0.0.1 exchange 0 request API 0 v9 correlation 3 {first} of {first} bytes\n\
         {} 0.0.1 exchange 0 response {answer} of {answer} bytes\n\
         {} 0.0.1 exchange 1 request API 0 v9 correlation 4000 {second} of {second} bytes, without [(0, 100, 50)]\n\
         {} 0.0.1 exchange 1 response {other} of {other} bytes\n",
        at[0], at[1], at[2], at[3],
    );
    let text = String::from_utf8(read.stdout).unwrap();
    let boot = text.split_whitespace().nth(1).unwrap().split('.').next().unwrap().to_owned();
    assert_eq!(text, expected.replace(" 0.0.1 ", &format!(" {boot}.0.1 ")));

    let again = weir(&gateway.folder, &["export", &id, "--format", "frames", "--output", output]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8(again.stderr).unwrap().contains("cannot be written"));
    let piped = weir(&gateway.folder, &["export", &id, "--format", "frames"]);
    assert_eq!(piped.stdout, fs::read(&path).unwrap());
    let kept = gateway.stop();
    assert_eq!(weir(&kept.folder, &["export", &id, "--format", "frames"]).stdout, fs::read(&path).unwrap());
}

#[test]
fn json_lines_are_the_session_its_events_and_its_records() {
    let (gateway, id) = recorded("127.0.0.1:50000");
    let lines = json_lines(&gateway.folder, &["export", &id, "--format", "jsonl"]);
    assert_eq!(lines[0]["id"], id.as_str());
    let events: Vec<&str> = lines[1..].iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["opened", "identified", "exchange", "record", "record", "record", "closed"]);
    let mut shown = json_lines(&gateway.folder, &["show", &id, "--records", "--json"]);
    shown.insert(0, lines[0].clone());
    assert_eq!(lines, shown);
}

/// Packets of a capture: time, bytes, options.
fn packets(mut capture: &[u8]) -> Vec<(u64, Vec<u8>, Vec<u8>)> {
    let mut packets = Vec::new();
    while !capture.is_empty() {
        let word = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap());
        let length = word(4) as usize;
        if word(0) == 6 {
            let (at, size) = (u64::from(word(12)) << 32 | u64::from(word(16)), word(20) as usize);
            let options = capture[28 + size.next_multiple_of(4)..length - 4].to_vec();
            packets.push((at, capture[28..28 + size].to_vec(), options));
        }
        capture = &capture[length..];
    }
    packets
}

#[test]
fn a_capture_s_streams_are_contiguous_and_hold_every_frame() {
    for peer in ["10.1.2.3:50000", "[fd00::3]:50000"] {
        let (gateway, id) = recorded(peer);
        let capture = weir(&gateway.folder, &["export", &id, "--format", "pcapng"]).stdout;
        let [first, answer, mut second, other] = frames();
        second[100..150].fill(0);
        let mut streams = [Vec::new(), Vec::new()];
        let mut next = [None; 2];
        let mut last_ns = 0;
        let mut flags = String::new();
        for (at_ns, packet, options) in packets(&capture) {
            assert!(at_ns >= last_ns);
            last_ns = at_ns;
            let sliced = SlicedPacket::from_ethernet(&packet).unwrap();
            let addresses = match sliced.net.unwrap() {
                NetSlice::Ipv4(ip) => {
                    (ip.header().source_addr().to_string(), ip.header().destination_addr().to_string())
                }
                NetSlice::Ipv6(ip) => {
                    (ip.header().source_addr().to_string(), ip.header().destination_addr().to_string())
                }
                NetSlice::Arp(_) => panic!("no address"),
            };
            let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP") };
            let from = usize::from(tcp.source_port() != 50000);
            let address = if from == 0 { &addresses.0 } else { &addresses.1 };
            assert_eq!(peer.parse::<std::net::SocketAddr>().unwrap().ip().to_string(), *address);
            assert_eq!(if from == 0 { tcp.destination_port() } else { tcp.source_port() }, 9301, "9300 + node id");
            let expected = *next[from].get_or_insert(tcp.sequence_number());
            assert_eq!(tcp.sequence_number(), expected);
            if tcp.ack() {
                assert_eq!(Some(tcp.acknowledgment_number()), next[1 - from]);
            }
            let counts = tcp.payload().len() as u32 + u32::from(tcp.syn()) + u32::from(tcp.fin());
            next[from] = Some(expected.wrapping_add(counts));
            streams[from].extend_from_slice(tcp.payload());
            for (set, flag) in [(tcp.syn(), 'S'), (tcp.fin(), 'F')] {
                flags.extend(set.then_some(flag));
            }
            let comment = String::from_utf8_lossy(&options);
            assert_eq!(comment.contains("50 bytes from byte 100 of the frame (withheld, a secret)"), comment.len() > 8);
        }
        assert_eq!(streams[0], [first, second].concat());
        assert_eq!(streams[1], [answer, other].concat());
        assert_eq!(flags, "SSFF");
    }
}

#[test]
fn a_session_without_frames_cannot_be_exported_as_frames_and_says_why() {
    let mut gateway = Gateway::start();
    gateway.record(1, START_NS, "analyst-7", "orders");
    gateway.wait_until_recorded(1);
    let id = json_lines(&gateway.folder, &["sessions", "--json"])[0]["id"].as_str().unwrap().to_owned();
    for format in ["frames", "pcapng"] {
        let output = weir(&gateway.folder, &["export", &id, "--format", format]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        assert!(String::from_utf8(output.stderr).unwrap().contains("recorded in metadata mode"));
    }
    let lines: Vec<Value> = json_lines(&gateway.folder, &["export", &id, "--format", "jsonl"]);
    assert!(lines.iter().any(|line| line["event"] == "records_missing"), "{lines:#?}");
}
