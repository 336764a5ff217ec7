//! Segments from before Kafka 0.11, as clusters that were upgraded over the years still hold: their records cannot be
//! rewritten, so they pass where no rule looks inside, and not at all where one does.

use std::fs;
use std::path::Path;

use kafka_protocol::messages::FetchRequest;
use loadtest::admin;
use loadtest::kafka::{self, Cluster};
use loadtest::wire::{Connection, decode};

use super::*;
use crate::hazards_support::{FETCH, fetch};

const TOPIC_AUTHORIZATION_FAILED: i16 = 29;

/// A message of magic 0 or 1 without a key, at this offset.
fn message(magic: u8, offset: i64, value: &[u8]) -> Vec<u8> {
    let mut covered = vec![magic, 0];
    if magic == 1 {
        covered.extend(1_700_000_000_000_i64.to_be_bytes());
    }
    covered.extend((-1_i32).to_be_bytes());
    covered.extend((value.len() as i32).to_be_bytes());
    covered.extend(value);
    let mut checksum = flate2::Crc::new();
    checksum.update(&covered);
    let size = 4 + covered.len() as i32;
    [&offset.to_be_bytes()[..], &size.to_be_bytes(), &checksum.sum().to_be_bytes(), &covered].concat()
}

/// Puts a segment in the place of the one that is there, for the broker to find when it starts.
fn lay(segments: &Path, bytes: &[u8]) {
    for entry in fs::read_dir(segments).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|kind| ["index", "timeindex", "txnindex", "snapshot"].iter().any(|k| kind == *k))
        {
            fs::remove_file(path).unwrap();
        }
    }
    fs::write(segments.join("00000000000000000000.log"), bytes).unwrap();
    // So that it looks at what there is, as after a crash.
    let _ = fs::remove_file(segments.parent().unwrap().join(".kafka_cleanshutdown"));
}

#[test]
fn old_batches_pass_where_no_rule_looks_inside_and_not_at_all_where_one_does() {
    let properties = vec!["log.retention.ms=-1".to_owned()];
    // The first one is the controller, and stays up.
    let mut cluster = Cluster::start(2, kafka::Options { properties, ..kafka::Options::default() }).unwrap();
    let value = format!(r#"{{"card":{{"number":"{CARD}"}}}}"#);
    let topics = ["old-0", "old-1", "free-1"];
    for topic in topics {
        admin::create_topic(&cluster, topic, &[2]).unwrap();
    }
    cluster.stop(2).unwrap();
    for topic in topics {
        let magic = u8::from(topic.ends_with('1'));
        let messages: Vec<u8> = (0..3).flat_map(|offset| message(magic, offset, value.as_bytes())).collect();
        lay(&cluster.segments(2, topic, 0), &messages);
    }
    cluster.start_again(2).unwrap();
    for topic in topics {
        admin::await_topic(&cluster, topic, &[2]).unwrap();
    }
    let rules = "masking: [{ topics: [\"old-*\"], fields: [\"card.number\"], action: redact }]\n";
    for runtime in common::RUNTIMES {
        let options = Options::new(cluster.bootstrap()).runtime(runtime).policy(rules);
        let gateway = common::gateway_before(&cluster, options);
        let read = |address, topic| {
            let mut connection = Connection::open(address).unwrap();
            connection.send(FETCH, &fetch(topic, 0, 1 << 20, 500)).unwrap();
            let frame = connection.receive_frame().unwrap().unwrap();
            let cards = memchr::memmem::find_iter(&frame, CARD).count();
            let (_, answer) = decode::<FetchRequest>(FETCH, frame).unwrap();
            (cards, answer.responses[0].partitions[0].error_code)
        };
        let door = gateway.broker_address(2).unwrap();
        for topic in topics {
            assert_eq!(read(cluster.address(2).unwrap(), topic), (3, 0), "{topic}: the broker has them");
            let expected = if topic == "free-1" { (3, 0) } else { (0, TOPIC_AUTHORIZATION_FAILED) };
            assert_eq!(read(door, topic), expected, "{runtime}: {topic}");
        }
        assert!(
            gateway.log().contains("is of magic 0") && gateway.log().contains("is of magic 1"),
            "{}",
            gateway.log()
        );
    }
}
