//! Record batches pass through Weir byte for byte, whatever is in them and however they come in: produced ones arrive as
//! they were sent, fetched ones are what the broker itself sends, cut-off tails included.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, FetchRequest, InitProducerIdRequest, ProduceRequest, ProducerId,
    TransactionalId,
};
use loadtest::admin::{self, Coordinates, text, topic};
use loadtest::batch::{Batch, split, untouchable};
use loadtest::clients::{CODECS, Record};
use loadtest::kafka::Cluster;
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::{self, ANSWER_LIMIT, Connection};
use uuid::Uuid;

#[test]
fn produced_batches_arrive_byte_for_byte_in_every_version() {
    let cluster = common::cluster();
    for runtime in common::RUNTIMES {
        let gateway = common::gateway_before(cluster, Options::new(cluster.bootstrap()).runtime(runtime));
        for version in 3..=13 {
            let name = format!("produced-{runtime}-{version}");
            let id = admin::create_topic(cluster, &name, &[1]).unwrap();
            let mut through_weir = Connection::open(gateway.broker_address(1).unwrap()).unwrap();
            let sent = batches(cluster);
            // zstd, the fifth of them, came with version 7 (KIP-110).
            let sent: Vec<_> =
                sent.into_iter().enumerate().filter(|(n, _)| version >= 7 || *n != 4).map(|(_, b)| b).collect();
            for batch in &sent {
                let request = admin::produce_request(&name, id, version, 0, -1, batch.clone());
                let answer = through_weir.call(version, &request).unwrap();
                assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{name}");
            }
            arrived(cluster, &name, &sent);
        }
    }
}

#[test]
fn transactional_batches_arrive_byte_for_byte() {
    let cluster = common::cluster();
    for runtime in common::RUNTIMES {
        let gateway = common::gateway_before(cluster, Options::new(cluster.bootstrap()).runtime(runtime));
        let name = format!("transactional-{runtime}");
        admin::create_topic(cluster, &name, &[1]).unwrap();
        let sent = in_a_transaction(cluster, &gateway, &name);
        // Behind them may lie the marker of the commit, which is the broker's own.
        let stored = admin::fetch(cluster.address(1).unwrap(), &name, 0).unwrap();
        assert!(split(&stored).len() >= sent.len(), "{name}");
        for (sent, stored) in sent.iter().zip(split(&stored)) {
            assert_eq!(untouchable(sent), untouchable(stored), "{name}");
        }
    }
}

#[test]
fn a_request_that_comes_in_awkward_pieces_arrives_whole() {
    let cluster = common::cluster();
    for runtime in common::RUNTIMES {
        let gateway = common::gateway_before(cluster, Options::new(cluster.bootstrap()).runtime(runtime));
        for version in [3, 9, 13] {
            let name = format!("pieces-{runtime}-{version}");
            let id = admin::create_topic(cluster, &name, &[1]).unwrap();
            let batch = batches(cluster).remove(0);
            let request = admin::produce_request(&name, id, version, 0, -1, batch.clone());
            let frame = wire::encode("pieces", 1, version, &request).unwrap();
            let begins = frame.windows(batch.len()).position(|window| window == batch).unwrap();
            // In the length, in the header, in the names before the batch, and in every field of the batch's own header.
            let before = [1, 3, 4, 5, 8, 12, 15, 20, begins - 9, begins - 1];
            let within = [0, 1, 8, 11, 12, 16, 17, 19, 21, 23, 27, 43, 57, 60, 61, 62, batch.len() - 1];
            let cuts = before.into_iter().chain(within.map(|at| begins + at));
            let mut through_weir = Connection::open(gateway.broker_address(1).unwrap()).unwrap();
            let mut from = 0;
            for cut in cuts.chain([frame.len()]) {
                through_weir.send_bytes(&frame[from..cut.max(from)]).unwrap();
                from = cut.max(from);
                // Long enough for the piece to be read before the next one comes.
                std::thread::sleep(Duration::from_millis(3));
            }
            let answer = through_weir.receive::<ProduceRequest>(version, 1).unwrap();
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{name}");
            arrived(cluster, &name, &[batch]);
        }
    }
}

#[test]
fn what_is_fetched_through_weir_is_what_the_broker_sends_in_every_version_and_size() {
    let cluster = common::cluster();
    let name = "fetched";
    let id = admin::create_topic(cluster, name, &[1, 1, 1]).unwrap();
    let sent = batches(cluster);
    let leader = cluster.address(1).unwrap();
    for (n, batch) in sent.iter().enumerate() {
        admin::produce(leader, name, (n % 2) as i32, batch.clone()).unwrap();
    }
    let whole: usize = sent.iter().map(Vec::len).sum();
    for runtime in common::RUNTIMES {
        let gateway = common::gateway_before(cluster, Options::new(cluster.bootstrap()).runtime(runtime));
        let mut cut_off = 0;
        for version in 4..=18 {
            for max_bytes in [1, 60, sent[0].len() + 70, whole / 3, 1 << 20] {
                let request = admin::fetch_request(name, id, version, &[0, 1, 2], i32::try_from(max_bytes).unwrap());
                let direct = fetched(Connection::open(leader).unwrap(), version, &request);
                let door = gateway.broker_address(1).unwrap();
                let through_weir = fetched(Connection::open(door).unwrap(), version, &request);
                assert_eq!(direct, through_weir, "{runtime}, v{version}, at most {max_bytes} bytes");
                cut_off += usize::from(has_cut_off_tail(version, direct));
            }
        }
        assert!(cut_off > 15, "hardly any answer had a cut-off tail: {cut_off}");
    }
}

/// A batch of every codec with all that records may have, and an idempotent producer's.
fn batches(cluster: &Cluster) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = CODECS.iter().map(|codec| Batch::of(records()).codec(codec).bytes()).collect();
    let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    let mut broker = Connection::open(cluster.address(1).unwrap()).unwrap();
    let producer = wait_for("a producer id", ANSWER_LIMIT, || {
        Ok(Some(broker.call(4, &request)?).filter(|answer| answer.error_code == 0))
    });
    let producer = producer.unwrap();
    let (id, epoch) = (producer.producer_id.0, producer.producer_epoch);
    all.push(Batch::of(records()).producer(id, epoch, 0).bytes());
    all.push(Batch::of(records()).codec("lz4").producer(id, epoch, records().len() as i32).bytes());
    all
}

/// Keys and none, tombstones, empty values, headers without values and of the same name.
fn records() -> Vec<Record> {
    let some = |value: &str| Some(value.to_owned());
    let headers = vec![("h".to_owned(), some("1")), ("h".to_owned(), None), (String::new(), some(""))];
    vec![
        Record { key: some("key"), value: some("{\"välue\": 1}"), headers: headers.clone() },
        Record { key: None, value: some(&"long ".repeat(60)), headers: Vec::new() },
        Record { key: some("gone"), value: None, headers },
        Record { key: some(""), value: some(""), headers: Vec::new() },
        Record { key: None, value: None, headers: Vec::new() },
    ]
}

fn in_a_transaction(cluster: &Cluster, gateway: &Gateway, name: &str) -> Vec<Vec<u8>> {
    let id = TransactionalId(text(name));
    let coordinator = admin::coordinator(cluster, Coordinates::Transaction, name).unwrap();
    let mut coordinator = Connection::open(gateway.broker_address(coordinator).unwrap()).unwrap();
    let init =
        InitProducerIdRequest::default().with_transactional_id(Some(id.clone())).with_transaction_timeout_ms(60_000);
    let producer = wait_for("a producer id", ANSWER_LIMIT, || {
        Ok(Some(coordinator.call(4, &init)?).filter(|answer| answer.error_code == 0))
    });
    let producer = producer.unwrap();
    let partitions = AddPartitionsToTxnTopic::default().with_name(topic(name)).with_partitions(vec![0]);
    let add = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(id.clone())
        .with_v3_and_below_producer_id(producer.producer_id)
        .with_v3_and_below_producer_epoch(producer.producer_epoch)
        .with_v3_and_below_topics(vec![partitions]);
    let added = coordinator.call(3, &add).unwrap();
    assert_eq!(added.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, 0);

    let mut leader = Connection::open(gateway.broker_address(1).unwrap()).unwrap();
    let mut sent = Vec::new();
    for (n, codec) in CODECS.iter().enumerate() {
        let sequence = (n * records().len()) as i32;
        let batch =
            Batch::of(records()).codec(codec).producer(producer.producer_id.0, producer.producer_epoch, sequence);
        let batch = batch.transactional().bytes();
        let request = admin::produce_request(name, Uuid::nil(), 11, 0, -1, batch.clone());
        let answer = leader.call(11, &request.with_transactional_id(Some(id.clone()))).unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{name}, {codec}");
        sent.push(batch);
    }
    let end = EndTxnRequest::default()
        .with_transactional_id(id)
        .with_producer_id(ProducerId(producer.producer_id.0))
        .with_producer_epoch(producer.producer_epoch)
        .with_committed(true);
    assert_eq!(coordinator.call(3, &end).unwrap().error_code, 0);
    sent
}

/// The partition holds these batches, as they were sent.
fn arrived(cluster: &Cluster, name: &str, sent: &[Vec<u8>]) {
    let stored = admin::fetch(cluster.address(1).unwrap(), name, 0).unwrap();
    let stored = split(&stored);
    assert_eq!(stored.len(), sent.len(), "{name}: batches");
    for (sent, stored) in sent.iter().zip(stored) {
        assert_eq!(untouchable(sent), untouchable(stored), "{name}");
    }
}

/// The answer's frame; the request's correlation id is always the same.
fn fetched(mut connection: Connection, version: i16, request: &FetchRequest) -> bytes::Bytes {
    connection.send(version, request).unwrap();
    connection.receive_frame().unwrap().expect("an answer")
}

fn has_cut_off_tail(version: i16, frame: bytes::Bytes) -> bool {
    let (_, answer) = wire::decode::<FetchRequest>(version, frame).unwrap();
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.filter_map(|partition| partition.records.as_ref()).any(|records| {
        let last = split(records).pop().unwrap_or_default().to_vec();
        let said = last.get(8..12).map(|length| 12 + i32::from_be_bytes(length.try_into().unwrap()));
        !last.is_empty() && said.is_none_or(|said| last.len() < usize::try_from(said).unwrap())
    })
}
