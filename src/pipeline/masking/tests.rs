//! Answers that are masked on their way back, in any pieces; what the recording has of them; and what clients are told.
#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, NodeEndpoint, PartitionData};
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{BrokerId, FetchResponse, ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::{
    Compression, Record as CodecRecord, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::*;
use crate::pipeline::drive::{self, PassedOn};
use crate::pipeline::exchange::Exchange;
use crate::wire::kafka::api::{self, key};
use crate::wire::kafka::compression::Codec;

const CARD: &[u8] = b"4111111111111111";

/// Masks whatever looks like the card in topics of this name, on these ways.
struct Cards(&'static [On]);

impl Masking for Cards {
    fn any(&self, on: On) -> bool {
        self.0.contains(&on)
    }

    fn choose(&mut self, on: On, topic: &str) -> bool {
        self.any(on) && topic == "cards"
    }

    fn record(&mut self, record: &Record<'_>, with: &mut Replacement) -> Verdict {
        if record.value != Some(CARD) {
            return Verdict::Keep;
        }
        with.set_value(Some(b"************1111+"));
        Verdict::Replace
    }
}

fn batch() -> Bytes {
    let record = CodecRecord {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 3,
        producer_id: 9,
        producer_epoch: 1,
        timestamp_type: TimestampType::Creation,
        offset: 5,
        sequence: 0,
        timestamp: 1,
        key: None,
        value: Some(Bytes::from_static(CARD)),
        headers: Default::default(),
    };
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, [&record], &options).unwrap();
    bytes.freeze()
}

/// A broker's answer, to the request with correlation id 0.
fn answer(api_key: i16, version: i16, body: &impl Encodable) -> Vec<u8> {
    let mut encoded = BytesMut::new();
    body.encode(&mut encoded, version).unwrap();
    let header: &[u8] = match api::lookup(api_key).unwrap().response_header_version(version) {
        0 => &[0; 4],
        _ => &[0; 5],
    };
    let length = (header.len() + encoded.len()) as i32;
    [&length.to_be_bytes()[..], header, &encoded].concat()
}

fn fetched(version: i16, topics: [&'static str; 2]) -> Vec<u8> {
    let topic = |name| {
        FetchableTopicResponse::default()
            .with_topic(TopicName(StrBytes::from_static_str(name)))
            .with_partitions(vec![PartitionData::default().with_records(Some(batch()))])
    };
    answer(key::FETCH, version, &FetchResponse::default().with_responses(topics.map(topic).to_vec()))
}

fn cards_in(bytes: &[u8]) -> usize {
    bytes.windows(CARD.len()).filter(|window| *window == CARD).count()
}

fn back(stream: &[u8], version: i16, size: usize, on: &'static [On]) -> PassedOn {
    let capture = drive::capture(&drive::scope(&[]), 0, key::FETCH);
    let exchange = drive::exchange(0, api::lookup(key::FETCH).unwrap(), version, capture);
    drive::way_back_masked(stream, vec![exchange], size, Some(&mut Cards(on)))
}

#[test]
fn an_answer_is_masked_however_it_comes_and_the_recording_has_what_the_client_has() {
    for version in [4, 11, 12] {
        let raw = fetched(version, ["cards", "others"]);
        let whole = back(&raw, version, raw.len(), &[On::Fetch]);
        assert_eq!(cards_in(&whole.bytes), 1, "the other topic's");
        for size in [1, 5, 40, raw.len()] {
            let passed = back(&raw, version, size, &[On::Fetch]);
            assert_eq!((&passed.fault, passed.whole), (&None, true));
            assert_eq!(passed.bytes, whole.bytes);
            passed.captured.covers(&passed.bytes);
        }
    }
}

#[test]
fn a_recording_is_masked_where_the_client_reads_the_card() {
    for size in [1, 40, 10_000] {
        let raw = fetched(12, ["cards", "cards"]);
        let passed = back(&raw, 12, size, &[On::Recording]);
        assert_eq!(passed.bytes, raw);
        assert_eq!(cards_in(&passed.captured.frames), 0);
        assert_eq!(passed.captured.frames.len(), raw.len() + 2, "all else is there, and a byte more a card");
    }
}

#[test]
fn who_no_rule_applies_to_gets_the_brokers_bytes() {
    for size in [1, 40, 10_000] {
        let raw = fetched(12, ["cards", "others"]);
        let passed = back(&raw, 12, size, &[On::Produce]);
        assert_eq!(passed.bytes, raw);
        passed.captured.covers(&raw);
    }
}

#[test]
fn an_answer_that_leaves_its_layout_does_not_pass_at_all() {
    for cut in [1, 10] {
        let mut raw = fetched(11, ["cards", "others"]);
        raw.truncate(raw.len() - cut);
        let length = (raw.len() - 4) as i32;
        raw[..4].copy_from_slice(&length.to_be_bytes());
        let passed = back(&raw, 11, 50, &[On::Fetch]);
        assert!(passed.fault.is_some_and(|told| told.starts_with("upstream: Fetch response")));
        assert!(passed.bytes.is_empty());
    }
}

#[test]
fn a_topic_whose_name_is_not_known_is_not_read() {
    let topic = FetchableTopicResponse::default()
        .with_topic_id(uuid::Uuid::from_u128(7))
        .with_partitions(vec![PartitionData::default().with_records(Some(batch()))]);
    let raw = answer(key::FETCH, 15, &FetchResponse::default().with_responses(vec![topic]));
    let passed = back(&raw, 15, 100, &[On::Fetch]);
    let body = FetchResponse::decode(&mut behind(9, &passed.bytes), 15).unwrap();
    let partition = &body.responses[0].partitions[0];
    assert_eq!(partition.error_code, UNKNOWN_TOPIC_ID);
    assert!(partition.records.as_ref().unwrap().is_empty());
}

#[test]
fn addresses_behind_masked_records_are_those_of_the_gateway() {
    let endpoint = |node: i32| NodeEndpoint::default().with_node_id(BrokerId(node)).with_host("broker.example".into());
    let topic = FetchableTopicResponse::default()
        .with_topic_id(uuid::Uuid::from_u128(7))
        .with_partitions(vec![PartitionData::default().with_records(Some(batch()))]);
    let body = FetchResponse::default().with_responses(vec![topic]).with_node_endpoints(vec![endpoint(1), endpoint(3)]);
    for (version, size) in [(16, 1), (16, 10_000), (18, 50)] {
        let passed = back(&answer(key::FETCH, version, &body), version, size, &[On::Fetch]);
        assert_eq!(passed.fault, None);
        let body = FetchResponse::decode(&mut behind(9, &passed.bytes), version).unwrap();
        let hosts: Vec<String> = body.node_endpoints.iter().map(|of| of.host.to_string()).collect();
        assert_eq!(hosts, ["gateway.example"], "broker 3 has no door");
        assert_eq!(body.responses[0].partitions[0].error_code, UNKNOWN_TOPIC_ID);
    }
}

/// What lies behind a head of so many bytes.
fn behind(head: usize, frame: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&frame[head..])
}

#[test]
fn a_produce_that_went_on_without_a_partition_is_answered_with_the_reason() {
    for version in [3, 9, 11] {
        let partition = |index| PartitionProduceResponse::default().with_index(index).with_error_code(87);
        let topic = TopicProduceResponse::default()
            .with_name(TopicName(StrBytes::from_static_str("cards")))
            .with_partition_responses(vec![partition(0), partition(1)]);
        let raw = answer(key::PRODUCE, version, &ProduceResponse::default().with_responses(vec![topic]));
        for size in [3, 10_000] {
            let refused = Refused { topic: Topic::Name("cards".into()), partition: 1, code: 44, why: "no".into() };
            let exchange = drive::exchange(0, api::lookup(key::PRODUCE).unwrap(), version, None);
            let exchange = Exchange { refused: vec![refused], ..exchange };
            let passed = drive::way_back_masked(&raw, vec![exchange], size, None);
            let head = if version < 9 { 8 } else { 9 };
            let body = ProduceResponse::decode(&mut behind(head, &passed.bytes), version).unwrap();
            let codes = body.responses[0].partition_responses.iter().map(|of| of.error_code);
            assert_eq!(codes.collect::<Vec<_>>(), [87, 44]);
            assert_eq!(passed.responses[0].items[1].error_code, 44, "the recording says what the client was told");
        }
    }
}

#[test]
fn a_produce_waits_for_the_names_of_its_topics_that_nobody_has_met_and_for_no_others() {
    struct Met;
    impl TopicDirectory for Met {
        fn name(&self, id: &[u8; 16]) -> Option<std::sync::Arc<str>> {
            (id[15] == 1).then(|| "met".into())
        }
        fn learn(&self, _: Vec<([u8; 16], std::sync::Arc<str>)>) {}
    }
    let topic = |id| TopicProduceData::default().with_topic_id(uuid::Uuid::from_u128(id));
    let request = ProduceRequest::default().with_topic_data([1, 2, 0, 2, 3].map(topic).to_vec());
    let mut body = BytesMut::new();
    request.encode(&mut body, 13).unwrap();
    assert_eq!(unnamed(13, &body, &Met), [2u128, 3].map(u128::to_be_bytes));
    let many = (0..100u128).map(|id| TopicProduceData::default().with_topic_id(uuid::Uuid::from_u128(id << 8)));
    body.clear();
    ProduceRequest::default().with_topic_data(many.collect()).encode(&mut body, 13).unwrap();
    assert_eq!(unnamed(13, &body, &Met).len(), limits::EVENT_ITEMS_MAX);
}

#[test]
fn clients_are_told_what_makes_them_stop_and_say_so() {
    let too_large = InflateError::TooLarge { codec: Codec::Zstd, compressed: 1, cap: 1 };
    let told = [
        (Refusal::ByRule { number: 1 }, POLICY_VIOLATION, TOPIC_AUTHORIZATION_FAILED),
        (Refusal::OldFormat(1), POLICY_VIOLATION, TOPIC_AUTHORIZATION_FAILED),
        (Refusal::Grown { from: 1, to: 3, max: 2 }, MESSAGE_TOO_LARGE, TOPIC_AUTHORIZATION_FAILED),
        (Refusal::Unreadable(too_large.into()), MESSAGE_TOO_LARGE, TOPIC_AUTHORIZATION_FAILED),
        (Refusal::Unreadable(RecordsError::NotWhole), INVALID_RECORD, TOPIC_AUTHORIZATION_FAILED),
        (Refusal::Checksum, CORRUPT_MESSAGE, CORRUPT_MESSAGE),
    ];
    for (refusal, produced, read) in told {
        assert_eq!((code(On::Produce, Some(&refusal)), code(On::Fetch, Some(&refusal))), (produced, read));
    }
}
