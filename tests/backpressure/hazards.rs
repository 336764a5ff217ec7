//! Large requests, requests that never end, consumers that do not read, a broker that stops answering.

use std::thread::{self, sleep};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{CreateTopicsRequest, FetchRequest, MetadataRequest};
use loadtest::wait_for;
use loadtest::wire::{Connection, encode};

use crate::hazards_support::{FETCH, METADATA, PRODUCE, RUNTIMES, SOON, batch, end_offset, fetch, no_topics, produce};
use crate::world::{Bystanders, HAZARD, Silent, cluster, gateway, growth_mib, topic_on};

#[test]
fn producers_with_requests_of_64_mib_are_relayed_side_by_side_and_hold_nobody_up() {
    const PRODUCERS: usize = 3;
    let cluster = cluster();
    let large = batch(64, 1 << 20);
    for runtime in RUNTIMES {
        let gateway = gateway(&cluster, runtime, &[]);
        let bystanders = Bystanders::new(&cluster, &gateway, &format!("beside-large-{runtime}"));
        let topics: Vec<String> = (0..PRODUCERS).map(|n| format!("large-{n}-{runtime}")).collect();
        topics.iter().for_each(|topic| topic_on(&cluster, topic, HAZARD));
        let door = gateway.broker_address(HAZARD).unwrap();
        let produce_all = || {
            thread::scope(|scope| {
                for topic in &topics {
                    let large = large.clone();
                    scope.spawn(move || {
                        let answer = Connection::open(door).unwrap().call(PRODUCE, &produce(topic, -1, large)).unwrap();
                        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{topic}");
                    });
                }
            });
        };
        let hazard = || bystanders.keep_their_latency(&format!("{runtime}: requests of 64 MiB"), produce_all);
        let ((), grown) = growth_mib(&gateway, hazard);
        assert!(grown < 24, "{runtime}: memory grew by {grown} MiB");
        for topic in &topics {
            assert_eq!(end_offset(cluster.address(HAZARD).unwrap(), topic), Some(64), "{topic}");
        }
    }
}

#[test]
fn requests_of_which_the_rest_never_comes_hold_up_nobody_whose_requests_come() {
    const CONNECTIONS: usize = 24;
    let cluster = cluster();
    // As large as a request may be that is kept until it is whole: a few of them are all that a shard keeps at a time.
    let length = 16 << 20;
    let head = encode("never", 1, 5, &CreateTopicsRequest::default()).unwrap();
    for runtime in RUNTIMES {
        let gateway = gateway(&cluster, runtime, &[]);
        let bystanders = Bystanders::new(&cluster, &gateway, &format!("beside-unfinished-{runtime}"));
        let never = || {
            let mut unfinished: Vec<Connection> =
                (0..CONNECTIONS).map(|_| Connection::open(gateway.address()).unwrap()).collect();
            for connection in &mut unfinished {
                let bytes = [&i32::to_be_bytes(length)[..], &head[4..], &[0; 200_000]].concat();
                connection.send_bytes(&bytes).unwrap();
            }
            sleep(Duration::from_secs(2));
            unfinished
        };
        let hazard = || bystanders.keep_their_latency(&format!("{runtime}: unfinished requests"), never);
        let (unfinished, grown) = growth_mib(&gateway, hazard);
        // What has come is 5 MiB; what was promised, 384 MiB.
        assert!(grown < 24, "{runtime}: memory grew by {grown} MiB");
        drop(unfinished);
    }
}

#[test]
fn consumers_that_stop_reading_wait_alone_and_find_their_answers_whole_later() {
    const CONSUMERS: usize = 60;
    let cluster = cluster();
    let broker = cluster.address(HAZARD).unwrap();
    topic_on(&cluster, "unread", HAZARD);
    let mut direct = Connection::open(broker).unwrap();
    for _ in 0..17 {
        let answer = direct.call(PRODUCE, &produce("unread", -1, batch(64, 16 << 10))).unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    let records = |answer: kafka_protocol::messages::FetchResponse| -> Bytes {
        answer.responses[0].partitions[0].records.clone().unwrap()
    };
    let whole = records(direct.call(FETCH, &fetch("unread", 0, 20 << 20, 0)).unwrap());
    for runtime in RUNTIMES {
        let gateway = gateway(&cluster, runtime, &[]);
        let bystanders = Bystanders::new(&cluster, &gateway, &format!("beside-unread-{runtime}"));
        let door = gateway.broker_address(HAZARD).unwrap();
        let stop_reading = || {
            let mut consumers: Vec<Connection> = (0..CONSUMERS).map(|_| Connection::open(door).unwrap()).collect();
            for consumer in &mut consumers {
                // The second must not be read from the broker while the first is not taken.
                for _ in 0..2 {
                    consumer.send(FETCH, &fetch("unread", 0, 20 << 20, 0)).unwrap();
                }
            }
            sleep(Duration::from_secs(2));
            consumers
        };
        let hazard = || bystanders.keep_their_latency(&format!("{runtime}: unread answers"), stop_reading);
        let (mut consumers, grown) = growth_mib(&gateway, hazard);
        // 60 connections with a buffer of 256 KiB each are 15 MiB; what they asked for is 2 GiB.
        assert!(grown < 32, "{runtime}: memory grew by {grown} MiB");
        let mut late = consumers.swap_remove(CONSUMERS / 2);
        drop(consumers);
        for id in 1..=2 {
            let read = records(late.receive::<FetchRequest>(FETCH, id).unwrap());
            assert!(read == whole, "{runtime}: answer {id} is not what the broker has");
        }
    }
}

#[test]
fn a_broker_that_stops_answering_stops_nobody_who_talks_to_another() {
    let cluster = cluster();
    for runtime in RUNTIMES {
        let gateway = gateway(&cluster, runtime, &[]);
        let bystanders = Bystanders::new(&cluster, &gateway, &format!("beside-silent-{runtime}"));
        let topic = format!("silent-{runtime}");
        topic_on(&cluster, &topic, HAZARD);
        let door = gateway.broker_address(HAZARD).unwrap();
        let mut waiting: Vec<Connection> = (0..50).map(|_| Connection::open(door).unwrap()).collect();
        for connection in &mut waiting {
            connection.call(METADATA, &no_topics()).unwrap();
        }
        let large = produce(&topic, -1, batch(8, 1 << 20));
        let silence = || {
            let silent = Silent::begin(&cluster);
            // Small requests and, of ten of them, more than sockets hold.
            for (n, connection) in waiting.iter_mut().enumerate() {
                connection.stream().set_write_timeout(Some(Duration::from_millis(100))).unwrap();
                let _ = if n < 10 { connection.send(PRODUCE, &large) } else { connection.send(METADATA, &no_topics()) };
            }
            // New ones come as well.
            let mut late: Vec<Connection> = (0..10).map(|_| Connection::open(door).unwrap()).collect();
            for connection in &mut late {
                connection.send(METADATA, &no_topics()).unwrap();
            }
            // Less than the controller takes to call a broker dead, 9 s: clients are still sent there.
            sleep(Duration::from_secs(4));
            (late, silent)
        };
        let hazard = || bystanders.keep_their_latency(&format!("{runtime}: a silent broker"), silence);
        let ((mut late, silent), grown) = growth_mib(&gateway, hazard);
        drop(silent);
        assert!(grown < 24, "{runtime}: memory grew by {grown} MiB");
        // Who waited is answered now.
        for connection in &mut late {
            connection.receive::<MetadataRequest>(METADATA, 1).unwrap();
        }
        for connection in &mut waiting[10..] {
            connection.receive::<MetadataRequest>(METADATA, 2).unwrap();
        }
        drop(waiting);
        let answers = || Ok(Connection::open(door)?.call(METADATA, &no_topics()).ok());
        wait_for("the broker to be back", SOON, answers).unwrap();
    }
}

#[test]
fn clients_that_bootstrap_are_not_sent_to_a_broker_that_has_stopped_answering() {
    /// Noticed at the next regular look, and after what a broker may take to answer it.
    const NOTICED: Duration = Duration::from_secs(30);
    const CLIENTS: usize = 12;
    let cluster = cluster();
    let gateways = RUNTIMES.map(|runtime| gateway(&cluster, runtime, &[]));
    let silent = Silent::begin(&cluster);
    for gateway in &gateways {
        let answered = || {
            let mut clients: Vec<Connection> =
                (0..CLIENTS).map(|_| Connection::open(gateway.address()).unwrap()).collect();
            let answered = clients.iter_mut().all(|client| {
                client.stream().set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                client.call(METADATA, &no_topics()).is_ok()
            });
            Ok(answered.then_some(()))
        };
        wait_for("every client that bootstraps to be answered", NOTICED, answered).unwrap();
    }
    drop(silent);
    for gateway in &gateways {
        let door = gateway.broker_address(HAZARD).unwrap();
        let back = || Ok(Connection::open(door)?.call(METADATA, &no_topics()).ok());
        wait_for("the broker to be back", NOTICED, back).unwrap();
    }
    // And back in the cluster, for who comes next.
    let whole =
        || Ok((Connection::open(cluster.address(1)?)?.call(METADATA, &no_topics())?.brokers.len() == 2).then_some(()));
    wait_for("the cluster to have both brokers", NOTICED, whole).unwrap();
}
