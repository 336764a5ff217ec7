//! What masked answers may take of a gateway's memory, and what becomes of one that is too large to be masked.

use std::time::Instant;

use kafka_protocol::messages::FetchRequest;
use loadtest::batch::Batch;
use loadtest::wait_for;
use loadtest::wire::Connection;

use super::reload::{one_broker, reload};
use super::*;
use crate::hazards_support::{FETCH, PRODUCE, create_topic, fetch, own_memory_mib, produce};

const RULES: &str = "masking:\n  - topics: [\"room-*\"]\n    fields: [\"card.number\"]\n    action: { keep_last: 4 }\n";
const NO_RULES: &str = "recording: [{ mode: metadata }]\n";
/// More than an answer that is gathered may have.
const BATCHES: usize = 56;
const RECORDS: usize = 9_000;

fn gateway(runtime: &str, policy: &str) -> Gateway {
    common::gateway_before(one_broker(), Options::new(one_broker().bootstrap()).runtime(runtime).policy(policy))
}

/// Batches of some 700 KiB, without compression.
fn fill(topic: &str, batches: usize) {
    let broker = one_broker().address(1).unwrap();
    create_topic(broker, topic);
    let record = |_| Record {
        key: None,
        value: Some(format!(r#"{{"card":{{"number":"{CARD}"}},"note":"{}"}}"#, "n".repeat(24))),
        headers: Vec::new(),
    };
    let batch = Batch::of((0..RECORDS).map(record).collect()).codec("none").bytes();
    let mut direct = Connection::open(broker).unwrap();
    for _ in 0..batches {
        let answer = direct.call(PRODUCE, &produce(topic, -1, batch.clone().into())).unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
}

fn holds(bytes: &[u8], what: &str) -> bool {
    memchr::memmem::find(bytes, what.as_bytes()).is_some()
}

#[test]
fn masked_answers_that_nobody_takes_are_bounded_and_make_room_for_those_that_are_taken() {
    const CONSUMERS: usize = 60;
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, RULES);
        let topic = format!("room-{runtime}");
        fill(&topic, 16);
        let door = gateway.broker_address(1).unwrap();
        let mut reader = Connection::open(door).unwrap().with_client_id("reader");
        reader.stream().set_read_timeout(Some(LIMIT)).unwrap();
        let request = fetch(&topic, 0, 8 << 20, 100);
        let mut reads = || {
            let begun = Instant::now();
            reader.send(FETCH, &request).unwrap();
            let answer = reader.receive_frame().unwrap().expect("the connection stays");
            assert!(holds(&answer, MASKED) && !holds(&answer, CARD));
            begun.elapsed()
        };
        reads();
        let before = own_memory_mib(&gateway);
        let mut sitters: Vec<Connection> =
            (0..CONSUMERS).map(|_| Connection::open(door).unwrap().with_client_id("sitter")).collect();
        for sitter in &mut sitters {
            sitter.send(FETCH, &request).unwrap();
        }
        std::thread::sleep(Duration::from_secs(4));
        let grown = own_memory_mib(&gateway).saturating_sub(before);
        // Two shards with 64 MiB each for what was masked, and read buffers of 256 KiB; what was asked for is 480 MiB. The
        // allocator's own share moves: 195 to 221 MiB were seen.
        assert!(grown < 240, "{runtime}: memory grew by {grown} MiB");
        let waited = reads();
        println!(
            "{runtime}: {CONSUMERS} answers of 8 MiB untaken, memory grew by {grown} MiB; a reader waited {waited:?}"
        );
        assert!(waited < 6 * weir::limits::MASKED_UNTAKEN, "{runtime}: {waited:?}");
        assert!(gateway.log().contains("did not take what was masked for it"), "{}", gateway.log());
    }
}

/// What a client asks for within a fetch session, all of it or what has changed (KIP-227).
fn in_session(topic: &str, session: i32, epoch: i32) -> FetchRequest {
    let mut request = fetch(topic, 0, 64 << 20, 3_000).with_session_id(session).with_session_epoch(epoch);
    // More than there is: the broker waits, and then answers with what it has.
    request.min_bytes = 100_000_000;
    if epoch > 0 {
        request.topics.clear();
    }
    request
}

#[test]
fn an_answer_too_large_to_be_masked_comes_without_records_and_the_client_gets_all_of_them_later() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, NO_RULES);
        let topic = format!("room-large-{runtime}");
        fill(&topic, BATCHES);
        let mut client = Connection::open(gateway.broker_address(1).unwrap()).unwrap().with_client_id("asked-before");
        let bootstrap = gateway.bootstrap();
        let waits = ["fetch.min.bytes=100000000", "fetch.wait.max.ms=5000", "fetch.message.max.bytes=64000000"];
        let room = ["fetch.max.bytes=64000000", "receive.message.max.bytes=128000000"];
        let settings: Vec<&str> = waits.iter().chain(&room).flat_map(|setting| ["-X", setting]).collect();
        let (id, read) = std::thread::scope(|scope| {
            let reading = scope.spawn(|| kcat(&bootstrap, &[&read_all(&topic)[..], &settings].concat(), ""));
            std::thread::sleep(Duration::from_millis(2_500));
            let id = client.send(FETCH, &in_session(&topic, 0, 0)).unwrap();
            reload(&gateway, RULES);
            (id, reading.join().unwrap())
        });
        let first = client.receive::<FetchRequest>(FETCH, id).unwrap();
        let partition = &first.responses[0].partitions[0];
        assert_eq!((first.error_code, partition.error_code), (0, 0));
        assert!(partition.records.as_ref().is_none_or(|records| records.is_empty()), "{runtime}");
        assert_eq!(partition.high_watermark, (BATCHES * RECORDS) as i64);
        client.send(FETCH, &in_session(&topic, first.session_id, 1)).unwrap();
        let next = client.receive_frame().unwrap().expect("the connection stays");
        assert!(holds(&next, MASKED) && !holds(&next, CARD), "{runtime}: records come, and masked");
        // librdkafka, with a Fetch under way as well: each record once, none in clear.
        assert_eq!((read.stdout.lines().count(), read.stderr.as_str()), (BATCHES * RECORDS, ""), "{runtime}");
        assert!(read.stdout.lines().all(|line| line.contains(MASKED)), "{runtime}");
        let emptied = || Ok((gateway.log().matches("passes without its records").count() >= 2).then_some(()));
        wait_for("both answers without their records in the log", LIMIT, emptied).unwrap();
    }
}
