//! An idempotent producer sends again what it has no answer to, and it is stored once, wherever the connection broke.

use std::time::Duration;

use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use loadtest::admin;
use loadtest::weir::Options;
use loadtest::wire;
use serde_json::json;

use super::common;
use super::producer::{again, batch};
use super::programs::Program;
use super::stage::{Client, Isolation, Side, Topic, await_stored, cluster, create_topic, sides};

const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;

/// Clients have at most five requests of an idempotent producer in flight: brokers remember as many.
const IN_FLIGHT: usize = 5;

/// Where the connection breaks.
#[derive(Debug, Clone, Copy)]
enum Cut {
    WithinARequest,
    BeforeAnyAnswer,
    AfterTheFirstAnswer,
}

#[test]
fn batches_sent_again_after_their_connection_was_cut_are_stored_once_and_in_order() {
    let cluster = cluster();
    for side in sides() {
        for cut in [Cut::WithinARequest, Cut::BeforeAnyAnswer, Cut::AfterTheFirstAnswer] {
            let at = format!("{}, cut {cut:?}", side.runtime);
            let topic = create_topic(&cluster, &side.own(&format!("once-{cut:?}")), &[&[2, 3]]);
            let request = InitProducerIdRequest::default().with_transactional_id(None);
            let answer = again("a producer id", || {
                let answer = side.client(2).call(4, &request);
                (answer.error_code, answer)
            });
            assert_eq!(answer.error_code, 0, "{at}");
            let values: Vec<String> = (0..IN_FLIGHT).map(|n| format!("v{n}")).collect();
            let requests = (0..).zip(&values).map(|(sequence, value)| {
                let batch = batch(&[value]).producer(answer.producer_id.0, answer.producer_epoch, sequence);
                admin::produce_request(&topic.name, topic.id, 9, 0, -1, batch.bytes())
            });
            let requests: Vec<ProduceRequest> = requests.collect();
            send_and_cut(&side, &requests, cut);

            let mut again = side.client(2);
            for (n, request) in requests.iter().enumerate() {
                assert_eq!(written(&mut again, request), (0, n as i64), "{at}: batch {n}, sent again");
            }
            let skipping = batch(&["too far"]).producer(answer.producer_id.0, answer.producer_epoch, 9);
            let skipping = admin::produce_request(&topic.name, topic.id, 9, 0, -1, skipping.bytes());
            assert_eq!(written(&mut again, &skipping).0, OUT_OF_ORDER_SEQUENCE_NUMBER, "{at}");
            let expected: Vec<&str> = values.iter().map(String::as_str).collect();
            await_stored(&cluster, &topic, 0, Isolation::Uncommitted, &expected);
        }
    }
}

fn send_and_cut(side: &Side, requests: &[ProduceRequest], cut: Cut) {
    let mut client = side.client(2);
    let frames: Vec<_> = requests.iter().map(|request| wire::encode("cut", 1, 9, request).unwrap()).collect();
    let mut bytes = frames.concat();
    if matches!(cut, Cut::WithinARequest) {
        bytes.truncate(bytes.len() - frames[0].len() / 2);
    }
    client.connection().send_bytes(&bytes).unwrap();
    if matches!(cut, Cut::AfterTheFirstAnswer) {
        client.receive::<ProduceRequest>(9, 1).unwrap();
    }
}

/// Error and base offset.
fn written(client: &mut Client, request: &ProduceRequest) -> (i16, i64) {
    let answer = client.call(9, request);
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

#[test]
fn a_stock_producer_whose_gateway_is_killed_again_and_again_duplicates_and_loses_nothing() {
    const RECORDS: usize = 3_000;
    let cluster = cluster();
    for side in sides() {
        let topic: Topic = create_topic(&cluster, &side.own("killed"), &[&[3, 2, 1]]);
        let options = Options::new(cluster.bootstrap()).runtime(side.runtime);
        let mut gateway = common::gateway_before(&cluster, options);
        // Slowly enough for something to happen meanwhile.
        let scene = json!({
            "bootstrap": gateway.bootstrap(), "topic": topic.name, "first": 100, "records": RECORDS, "pause_s": 0.0005
        });
        let mut program = Program::start("numbers.py", &scene).unwrap();
        program.says("begun").unwrap();
        program.go_on().unwrap();
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(300));
            gateway.kill9().unwrap();
            gateway.start_again().unwrap();
        }
        program.ends_well().unwrap();
        let expected: Vec<String> = (0..RECORDS).map(|n| n.to_string()).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        await_stored(&cluster, &topic, 0, Isolation::Uncommitted, &expected);
    }
}
