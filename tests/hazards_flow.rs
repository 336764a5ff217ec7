//! Many requests at once, large ones, and peers that do not read: everything comes back in order, nothing is lost, only
//! the slow one waits, and memory stays bounded.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hazards_support;

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hazards_support::*;
use kafka_protocol::messages::{ApiVersionsRequest, FetchRequest, MetadataRequest, ProduceRequest};
use loadtest::kafka::{self, Cluster};
use loadtest::wait_for;
use loadtest::weir::Gateway;
use loadtest::wire::{Connection, encode};

/// Twice what one produce of these tests holds.
const MESSAGE_MAX: usize = 48 << 20;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let properties =
        vec![format!("message.max.bytes={MESSAGE_MAX}"), format!("socket.request.max.bytes={MESSAGE_MAX}")];
    CLUSTER
        .get_or_init(|| Cluster::start(1, kafka::Options { properties, heap_mib: 768, ..Default::default() }).unwrap())
}

fn broker() -> SocketAddr {
    cluster().address(1).unwrap()
}

fn each_gateway(check: impl Fn(&Gateway, &str)) {
    for (gateway, runtime) in gateways(&cluster().bootstrap(), &[]).iter().zip(RUNTIMES) {
        check(gateway, runtime);
    }
}

#[test]
fn pipelined_requests_come_back_in_order_whoever_answers_them() {
    each_gateway(|gateway, runtime| {
        let topic = format!("mixed-{runtime}");
        create_topic(broker(), &topic);
        let mut connection = Connection::open(gateway.address()).unwrap();
        let produce = produce(&topic, -1, batch(3, 100));
        let mut sent = Vec::new();
        for n in 1..=210 {
            sent.extend(
                match n % 3 {
                    0 => encode("mixed", n, 0, &ApiVersionsRequest::default()),
                    1 => encode("mixed", n, METADATA, &no_topics()),
                    _ => encode("mixed", n, PRODUCE, &produce),
                }
                .unwrap(),
            );
        }
        connection.send_bytes(&sent).unwrap();
        for n in 1..=210 {
            match n % 3 {
                0 => assert_eq!(connection.receive::<ApiVersionsRequest>(0, n).unwrap().error_code, 0),
                1 => assert_eq!(connection.receive::<MetadataRequest>(METADATA, n).unwrap().brokers.len(), 1),
                _ => {
                    let answer = connection.receive::<ProduceRequest>(PRODUCE, n).unwrap();
                    let written = &answer.responses[0].partition_responses[0];
                    assert_eq!((written.error_code, written.base_offset), (0, i64::from(n / 3) * 3));
                }
            }
        }
    });
}

#[test]
fn more_requests_than_may_be_in_flight_are_all_answered() {
    const REQUESTS: i32 = 1500;
    each_gateway(|gateway, _| {
        let all = |frame: &dyn Fn(i32) -> Bytes, check: &dyn Fn(&mut Connection, i32)| {
            let mut connection = Connection::open(gateway.address()).unwrap();
            let sent: Vec<u8> = (1..=REQUESTS).flat_map(frame).collect();
            connection.send_bytes(&sent).unwrap();
            (1..=REQUESTS).for_each(|n| check(&mut connection, n));
        };
        all(&|n| encode("many", n, 0, &ApiVersionsRequest::default()).unwrap(), &|connection, n| {
            connection.receive::<ApiVersionsRequest>(0, n).unwrap();
        });
        all(&|n| encode("many", n, METADATA, &no_topics()).unwrap(), &|connection, n| {
            connection.receive::<MetadataRequest>(METADATA, n).unwrap();
        });
    });
}

#[test]
fn records_sent_without_acknowledgement_before_a_close_are_not_lost() {
    const BATCHES: i32 = 200;
    each_gateway(|gateway, runtime| {
        let topic = format!("acks-0-{runtime}");
        create_topic(broker(), &topic);
        let frame = |n| encode("acks-0", n, PRODUCE, &produce(&topic, 0, batch(10, 200))).unwrap();
        let sent: Vec<u8> = (1..=BATCHES).flat_map(frame).collect();
        // One that closes at once, and one that has been answered before.
        Connection::open(gateway.address()).unwrap().send_bytes(&sent).unwrap();
        let mut warm = Connection::open(gateway.address()).unwrap();
        warm.call(METADATA, &no_topics()).unwrap();
        warm.send_bytes(&sent).unwrap();
        drop(warm);
        let expected = i64::from(BATCHES) * 10 * 2;
        let arrived = wait_for("the records", Duration::from_secs(20), || {
            Ok((end_offset(broker(), &topic) == Some(expected)).then_some(()))
        });
        arrived.unwrap_or_else(|e| panic!("{runtime}: {:?} of {expected}: {e}", end_offset(broker(), &topic)));
    });
}

#[test]
fn answers_of_many_buffers_arrive_as_the_broker_sent_them() {
    let topic = "large-answers";
    create_topic(broker(), topic);
    fill(topic, 16);
    let direct = read(&mut Connection::open(broker()).unwrap(), topic);
    assert!(direct.len() > 16 << 20);
    each_gateway(|gateway, runtime| {
        let mut connection = Connection::open(gateway.address()).unwrap();
        let read = read(&mut connection, topic);
        assert!(read == direct, "{runtime}: {} bytes through Weir, {} direct", read.len(), direct.len());
        connection.call(METADATA, &no_topics()).unwrap();
    });
}

#[test]
fn a_produce_of_20_mib_is_relayed_without_being_held() {
    let large = batch(20, 1 << 20);
    each_gateway(|gateway, runtime| {
        let topic = format!("large-produce-{runtime}");
        create_topic(broker(), &topic);
        let mut connection = Connection::open(gateway.address()).unwrap();
        connection.call(METADATA, &no_topics()).unwrap();
        let request = produce(&topic, -1, large.clone());
        let peak = peak_memory_mib(gateway, || {
            for n in 0..3 {
                let answer = connection.call(PRODUCE, &request).unwrap();
                let written = &answer.responses[0].partition_responses[0];
                assert_eq!((written.error_code, written.base_offset), (0, n * 20), "{runtime}");
            }
        });
        assert!(peak < 10, "{runtime}: memory grew by {peak} MiB");
        let mut stored = Vec::new();
        let mut direct = Connection::open(broker()).unwrap();
        let answer = direct.call(FETCH, &fetch(&topic, 0, MESSAGE_MAX as i32, 0)).unwrap();
        stored.extend(answer.responses[0].partitions[0].records.clone().unwrap());
        // What the broker sets itself: base offset and leader epoch, before the checksum and outside of it.
        assert!(stored[17..large.len()] == large[17..], "{runtime}: the records changed on the way");
    });
}

#[test]
fn consumers_that_stop_reading_stop_nobody_else_and_hold_little() {
    const SLOW: usize = 40;
    let topic = "slow-consumers";
    create_topic(broker(), topic);
    fill(topic, 16);
    let direct = read(&mut Connection::open(broker()).unwrap(), topic);
    each_gateway(|gateway, runtime| {
        let mut bystander = Bystander::open(gateway);
        let mut slow: Vec<Connection> = (0..SLOW).map(|_| Connection::open(gateway.address()).unwrap()).collect();
        let grown = peak_memory_mib(gateway, || {
            for connection in &mut slow {
                // Several at a time: the second must not be read while the first is not taken.
                for _ in 0..3 {
                    connection.send(FETCH, &fetch(topic, 0, 20 << 20, 0)).unwrap();
                }
            }
            let until = Instant::now() + Duration::from_secs(3);
            while Instant::now() < until {
                let begun = Instant::now();
                bystander.still_works();
                assert!(begun.elapsed() < Duration::from_secs(2), "{runtime}: {:?}", begun.elapsed());
                sleep(Duration::from_millis(20));
            }
        });
        // 40 connections with a buffer of 256 KiB each are 10 MiB; what they asked for is 1.9 GiB.
        assert!(grown < 24, "{runtime}: memory grew by {grown} MiB");
        let mut one = slow.pop().unwrap();
        drop(slow);
        for id in 1..=3 {
            let answer = one.receive::<FetchRequest>(FETCH, id).unwrap();
            let records = answer.responses[0].partitions[0].records.clone().unwrap();
            assert!(records == direct, "{runtime}: answer {id}");
        }
        bystander.still_works();
    });
}

#[test]
fn a_client_that_asks_and_never_reads_is_not_read_any_more() {
    each_gateway(|gateway, runtime| {
        let mut bystander = Bystander::open(gateway);
        let mut connection = Connection::open(gateway.address()).unwrap();
        connection.stream().set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        let frames: Vec<u8> =
            (1..=1000).flat_map(|n| encode("deaf", n, 0, &ApiVersionsRequest::default()).unwrap()).collect();
        let grown = peak_memory_mib(gateway, || {
            // Sockets take some MiB each way; 100 MiB of requests would make more than a GiB of answers.
            let accepted = (0..4000).take_while(|_| connection.send_bytes(&frames).is_ok()).count();
            assert!(accepted < 4000, "{runtime}: everything was taken");
        });
        assert!(grown < 24, "{runtime}: memory grew by {grown} MiB");
        bystander.still_works();
    });
}

/// Writes 1 MiB batches straight to the broker.
fn fill(topic: &str, mib: usize) {
    let mut connection = Connection::open(broker()).unwrap();
    let request = produce(topic, -1, batch(64, 16 << 10));
    for _ in 0..=mib {
        let answer = connection.call(PRODUCE, &request).unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
}

/// The first 20 MiB of the topic, in one answer.
fn read(connection: &mut Connection, topic: &str) -> Bytes {
    let answer = connection.call(FETCH, &fetch(topic, 0, 20 << 20, 0)).unwrap();
    answer.responses[0].partitions[0].records.clone().unwrap()
}

/// By how much the gateway's own memory grew at most during `work`, MiB.
fn peak_memory_mib(gateway: &Gateway, work: impl FnOnce()) -> u64 {
    let before = own_memory_mib(gateway);
    let (done, peak) = (AtomicBool::new(false), AtomicU64::new(before));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(own_memory_mib(gateway), Ordering::Relaxed);
                sleep(Duration::from_millis(10));
            }
        });
        // A work that fails must still end the watching thread.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    peak.into_inner() - before
}
