//! Much data over TLS on both sides: every byte as it was, whatever the sizes of records, reads and writes.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::TopicProduceData;
use loadtest::wire::Connection;

use crate::hazards_support::{FETCH, PRODUCE, RUNTIMES, batch, create_topic, fetch, produce};
use crate::world::{TLS12, TLS13, client, connect_to_broker, gateway, world};

const TOPICS: usize = 6;

/// Everything in a topic from its beginning on.
fn records(connection: &mut Connection, topic: &str) -> Bytes {
    let answer = connection.call(FETCH, &fetch(topic, 0, 64 << 20, 1000)).unwrap();
    let partition = &answer.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    partition.records.clone().unwrap()
}

#[test]
fn megabytes_pass_byte_for_byte_both_ways_on_both_runtimes() {
    let broker = world().cluster.address(1).unwrap();
    for (runtime, versions, name) in
        [(RUNTIMES[0], TLS12, "a"), (RUNTIMES[0], TLS13, "b"), (RUNTIMES[1], TLS12, "c"), (RUNTIMES[1], TLS13, "d")]
    {
        let gateway = gateway(runtime, &["anonymous"], "", &[]);
        let config = client(None, versions);
        let topics: Vec<String> = (0..TOPICS).map(|n| format!("transfer-{name}-{n}")).collect();
        topics.iter().for_each(|topic| create_topic(broker, topic));
        let mut connection = connect_to_broker(&gateway, &config);
        // One request of several MiB, then many batches one by one.
        let large: Vec<TopicProduceData> = topics
            .iter()
            .enumerate()
            .map(|(n, topic)| produce(topic, -1, batch(700 + n, 1201)).topic_data.remove(0))
            .collect();
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(20_000).with_topic_data(large);
        let answer = connection.call(PRODUCE, &request).unwrap();
        assert!(answer.responses.iter().all(|t| t.partition_responses[0].error_code == 0), "{answer:?}");
        for n in 1..40 {
            let answer = connection.call(PRODUCE, &produce(&topics[0], -1, batch(n, 37 * n))).unwrap();
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
        let mut direct = Connection::open(broker).unwrap();
        let stored: Vec<Bytes> = topics.iter().map(|topic| records(&mut direct, topic)).collect();
        assert!(stored.iter().map(Bytes::len).sum::<usize>() > 5 << 20);
        for (topic, stored) in topics.iter().zip(&stored) {
            assert!(records(&mut connection, topic) == *stored, "{topic}");
        }
        slowly(&mut connection, &topics, &stored);
        assert_eq!(connection.tls().unwrap().protocol_version(), Some(versions[0].version));
    }
}

/// All topics asked for at once, and nothing read until every socket on the way is full.
fn slowly(connection: &mut Connection, topics: &[String], stored: &[Bytes]) {
    let asked: Vec<i32> =
        topics.iter().map(|topic| connection.send(FETCH, &fetch(topic, 0, 64 << 20, 1000)).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(300));
    for (id, stored) in asked.into_iter().zip(stored) {
        let answer = connection.receive::<kafka_protocol::messages::FetchRequest>(FETCH, id).unwrap();
        assert!(answer.responses[0].partitions[0].records.as_ref() == Some(stored));
    }
}
