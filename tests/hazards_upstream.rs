//! A broker that breaks the protocol, or is not there, costs the connections that meet it and nothing else: each ends
//! cleanly with a line in the log, the gateway stays up, and says at `/readyz` what is the matter.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hazards_support;

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use hazards_support::*;
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use loadtest::fake_broker::{Act, Asked, FakeBroker};
use loadtest::ports::Block;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::{Connection, encode};
use loadtest::{http, wait_for};

/// Asks once as `trick`, while a bystander of the same broker is there, and awaits the end and its reason.
fn ends_for_the_one_who_meets_it(trick: impl Fn(&Asked) -> Act + Send + Sync + 'static, why: &str) {
    let broker = FakeBroker::start(0, move |asked| match asked.client_id.as_str() {
        "trick" => trick(asked),
        _ => Act::Send(asked.answer.clone()),
    });
    let upstream = broker.unwrap().address().to_string();
    for gateway in gateways(&upstream, &[]) {
        let mut bystander = Bystander::open(&gateway);
        let mut connection = Connection::open(gateway.address()).unwrap().with_client_id("trick");
        connection.send(METADATA, &no_topics()).unwrap();
        // What had come whole before the trick may be read; then comes the end.
        while let Ok(Some(_)) = connection.receive_frame() {}
        logged(&gateway, &connection, why);
        bystander.still_works();
    }
}

#[test]
fn an_answer_with_an_unknown_correlation_id_is_not_passed_on() {
    let broker = FakeBroker::start(0, |asked| {
        let mut answer = asked.answer.to_vec();
        answer[4..8].copy_from_slice(&4242i32.to_be_bytes());
        Act::Send(answer.into())
    });
    let upstream = broker.unwrap().address().to_string();
    for gateway in gateways(&upstream, &[]) {
        let mut connection = Connection::open(gateway.address()).unwrap();
        connection.send(METADATA, &no_topics()).unwrap();
        ends_saying(&gateway, &mut connection, "response with correlation id 4242, the next one awaited is 1");
    }
}

#[test]
fn an_answer_to_nothing_ends_the_connection() {
    let twice = |asked: &Asked| Act::Send([&asked.answer[..], &asked.answer].concat().into());
    ends_for_the_one_who_meets_it(twice, "response with correlation id 1 while none was awaited");
}

#[test]
fn a_broker_that_closes_within_an_answer_ends_the_connection() {
    for kept in [0, 3, 6, 20] {
        let cut = move |asked: &Asked| Act::SendAndClose(asked.answer.slice(..kept));
        ends_for_the_one_who_meets_it(cut, "the broker closed the connection with 1 requests unanswered");
    }
}

/// The gateway learns of the close where it writes; what it has not read yet is the client's all the same.
#[test]
fn what_a_broker_said_before_it_closed_reaches_a_client_whose_next_request_is_on_its_way() {
    const TIMES: usize = 10;
    let broker = FakeBroker::start(0, |asked| match asked.client_id.as_str() {
        "writes on" => Act::SendAndClose(asked.answer.clone()),
        _ => Act::Send(asked.answer.clone()),
    });
    let upstream = broker.unwrap().address().to_string();
    let large = encode("writes on", 2, PRODUCE, &produce("t", -1, batch(8, 1 << 20))).unwrap();
    for gateway in gateways(&upstream, &[]) {
        let mut bystander = Bystander::open(&gateway);
        for _ in 0..TIMES {
            let mut connection = Connection::open(gateway.address()).unwrap().with_client_id("writes on");
            let id = connection.send(METADATA, &no_topics()).unwrap();
            let mut way_in = connection.stream().try_clone().unwrap();
            std::thread::scope(|scope| {
                // It ends with the connection, before the last byte.
                scope.spawn(|| drop(way_in.write_all(&large)));
                assert!(!connection.receive::<MetadataRequest>(METADATA, id).unwrap().brokers.is_empty());
                while let Ok(Some(_)) = connection.receive_frame() {}
            });
            logged(&gateway, &connection, "upstream: the broker closed the connection with 1 requests unanswered");
        }
        bystander.still_works();
    }
}

#[test]
fn a_length_that_no_answer_has_ends_the_connection() {
    let negative = |_: &Asked| Act::Send(Bytes::from_static(b"\xff\xff\xff\xfb"));
    ends_for_the_one_who_meets_it(negative, "upstream: the length prefix says -5 bytes, which no Kafka frame has");
    let http = |_: &Asked| Act::Send(Bytes::from_static(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    ends_for_the_one_who_meets_it(http, "upstream: ");
}

#[test]
fn an_answer_with_addresses_that_leaves_its_layout_is_never_passed_on() {
    let broker = FakeBroker::start(0, |asked| {
        // The count of brokers, behind length, correlation id, the header's tags and the throttle time: past the end.
        let mut answer = asked.answer.to_vec();
        answer[13] = 0x7f;
        Act::Send(answer.into())
    });
    let upstream = broker.unwrap().address().to_string();
    for gateway in gateways(&upstream, &[]) {
        let mut connection = Connection::open(gateway.address()).unwrap();
        connection.send(METADATA, &no_topics()).unwrap();
        ends_saying(&gateway, &mut connection, "connection closed, upstream: ");
    }
}

#[test]
fn a_broker_that_never_answers_leaves_the_gateway_up_and_unready() {
    let broker = FakeBroker::silent(0).unwrap();
    for runtime in RUNTIMES {
        let gateway = unready(&broker.address().to_string(), runtime);
        wait_for("the reason at /readyz", Duration::from_secs(20), || {
            let (status, body) = http::get(gateway.control(), "/readyz")?;
            Ok((status == 503 && body.contains("did not answer within 5 s")).then_some(()))
        })
        .unwrap();
        let mut connection = Connection::open(gateway.address()).unwrap();
        connection.send(0, &ApiVersionsRequest::default()).unwrap();
        ends_saying(&gateway, &mut connection, "cluster main has not been reached yet");
        assert_eq!(http::get(gateway.control(), "/healthz").unwrap().0, 200);
    }
}

#[test]
fn a_cluster_that_comes_later_is_found_and_clients_work() {
    for runtime in RUNTIMES {
        let mut ports = Block::claim().unwrap();
        let port = ports.take().unwrap();
        let gateway = unready(&format!("127.0.0.1:{port}"), runtime);
        let mut early = Connection::open(gateway.address()).unwrap();
        early.send(METADATA, &no_topics()).unwrap();
        wait_for("the reason at /readyz", SOON, || {
            let (status, body) = http::get(gateway.control(), "/readyz")?;
            Ok((status == 503 && body.contains("cannot connect to broker")).then_some(()))
        })
        .unwrap();
        assert!(
            early.receive_frame().map_or(true, |frame| frame.is_none()),
            "an answer from a broker that is not there"
        );

        FakeBroker::start(port, |asked| Act::Send(asked.answer.clone())).unwrap();
        wait_for("/readyz answering 200", SOON, || {
            Ok((http::get(gateway.control(), "/readyz")?.0 == 200).then_some(()))
        })
        .unwrap();
        let mut connection = Connection::open(gateway.address()).unwrap();
        connection.call(0, &ApiVersionsRequest::default()).unwrap();
        let answer = connection.call::<MetadataRequest>(METADATA, &no_topics()).unwrap();
        assert!(gateway.owns_port(answer.brokers[0].port as u16), "{answer:?}");
    }
}

fn unready(upstream: &str, runtime: &str) -> Gateway {
    let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), Options::new(upstream).runtime(runtime)).unwrap();
    gateway.start_unready().unwrap();
    gateway
}
