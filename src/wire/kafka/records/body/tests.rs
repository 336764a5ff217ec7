//! Frames of every version, written and read by Kafka's own codec.
#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::share_fetch_response::{self, ShareFetchableTopicResponse};
use kafka_protocol::messages::{FetchResponse, ProduceRequest, ProduceResponse, ShareFetchResponse, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use uuid::Uuid;

use super::super::tests::{CAP, Own, plain_batch, read, seal, under};
use super::*;
use crate::wire::kafka::api;
use crate::wire::kafka::compression::Codec;
use crate::wire::kafka::layout;
use crate::wire::kafka::samples::{self, legacy};

const BOUNDS: FrameBounds =
    FrameBounds { batch: Bounds { inflated: CAP, batch: CAP, may_drop: true }, rewritten: CAP, may_cut: true };

/// Masks the topic `cards`, by name or id: values become `*`s, as many or one. Remembers what was refused.
#[derive(Default)]
struct Cards {
    same_length: bool,
    refused: Vec<(i32, Option<Refusal>)>,
}

fn id(of: u128) -> Uuid {
    Uuid::from_u128(of)
}

impl Partitions for Cards {
    fn begin(&mut self, topic: &Topic, _: i32) -> Treatment {
        match topic {
            Topic::Name(name) if name.starts_with("card") => Treatment::Rewrite,
            Topic::Id(topic) if *topic == *id(7).as_bytes() => Treatment::Rewrite,
            Topic::Id(topic) if *topic == *id(9).as_bytes() => Treatment::Refuse,
            _ => Treatment::Pass,
        }
    }

    fn record(&mut self, record: &Record<'_>, with: &mut Replacement) -> Verdict {
        match record.value {
            Some(value) if value.starts_with(b"refuse") => Verdict::Refuse,
            Some(value) if value.starts_with(b"4111") => {
                with.set_value(Some(if self.same_length { b"****************" } else { b"*" }));
                Verdict::Replace
            }
            _ => Verdict::Keep,
        }
    }

    fn refused(&mut self, _: &Topic, partition: i32, why: Option<&Refusal>) -> Option<i16> {
        self.refused.push((partition, why.cloned()));
        Some(29)
    }
}

fn batch(values: &[&str]) -> Vec<u8> {
    let record = |(offset, value): (i64, &&str)| Own {
        offset,
        timestamp_ms: Some(1),
        key: None,
        value: Some(value.as_bytes().to_vec()),
        headers: Vec::new(),
    };
    plain_batch(&(0..).zip(values).map(record).collect::<Vec<Own>>())
}

/// Bytes of a batch that is cut off.
const CUT_OFF: usize = 70;

/// What partitions of a topic hold: cards under two codecs with a cut-off third batch, none, and what may not pass.
fn partitions() -> Vec<Vec<u8>> {
    let cards = batch(&["4111111111111111", "nothing", "4111111111111111"]);
    let mut several = [cards.clone(), under(Codec::Zstd, 4, &cards)].concat();
    several.extend(&cards[..CUT_OFF]);
    vec![several, batch(&["nothing"]), [batch(&["4111111111111111"]), batch(&["refuse"])].concat(), legacy(3, 1, 9)]
}

fn values(mut records: &[u8]) -> Vec<String> {
    let mut values = Vec::new();
    while !records.is_empty() {
        let length = 12 + i32::from_be_bytes(records[8..12].try_into().unwrap()) as usize;
        let (about, found) = read(&records[..length]).unwrap();
        assert!(about.checksum_holds);
        values.extend(found.into_iter().map(|own| String::from_utf8(own.value.unwrap()).unwrap()));
        records = &records[length..];
    }
    values
}

/// A frame around a body, with a head of no meaning.
fn frame(key: i16, version: i16, direction: Direction, body: &impl Encodable) -> Frame<'static> {
    let mut encoded = BytesMut::new();
    body.encode(&mut encoded, version).unwrap();
    let mut bytes = (encoded.len() as i32 + 5).to_be_bytes().to_vec();
    bytes.extend(b"head!");
    bytes.extend(encoded);
    Frame { api_key: key, version, direction, bytes: Cow::Owned(bytes), body_at: 9 }
}

fn body<T: Decodable>(frame: &Frame<'_>) -> T {
    let bytes = &frame.bytes;
    assert_eq!(i32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len() - 4, "the frame's length");
    assert_eq!(bytes[4..9], *b"head!");
    let mut body = Bytes::copy_from_slice(&bytes[9..]);
    let decoded = T::decode(&mut body, frame.version).unwrap();
    assert!(body.is_empty());
    decoded
}

fn rewritten(frame: &mut Frame<'_>, cards: &mut Cards) {
    rewrite(frame, &mut Rewriter::default(), &BOUNDS, cards).unwrap();
}

fn served(key: i16) -> impl Iterator<Item = i16> {
    let served = api::lookup(key).unwrap().served;
    served.min..=served.max
}

fn fetched(version: i16) -> FetchResponse {
    let partition = |(index, records): (i32, Vec<u8>)| {
        let aborted = vec![AbortedTransaction::default().with_first_offset(5)];
        PartitionData::default()
            .with_partition_index(index)
            .with_high_watermark(77)
            .with_last_stable_offset(70)
            .with_aborted_transactions(Some(aborted))
            .with_records(Some(records.into()))
    };
    let topic = |(name, number): (&'static str, u128)| {
        let topic = FetchableTopicResponse::default().with_partitions((0..).zip(partitions()).map(partition).collect());
        match version {
            13.. => topic.with_topic_id(id(number)),
            _ => topic.with_topic(TopicName(StrBytes::from_static_str(name))),
        }
    };
    FetchResponse::default().with_responses([("others", 8), ("cards", 7)].map(topic).to_vec())
}

#[test]
fn a_fetch_of_every_version_is_masked_where_it_should_be_and_nowhere_else() {
    for version in served(key::FETCH) {
        for same_length in [true, false] {
            let before = fetched(version);
            let mut frame = frame(key::FETCH, version, Direction::Response, &before);
            let mut cards = Cards { same_length, ..Cards::default() };
            rewritten(&mut frame, &mut cards);
            let mut after: FetchResponse = body(&frame);
            assert_eq!(cards.refused.len(), 2, "a rule's refusal, and an old format");
            let star = if same_length { "****************" } else { "*" };
            let masked = &mut after.responses[1].partitions;
            let records: Vec<Bytes> = masked.iter_mut().map(|p| p.records.take().unwrap()).collect();
            assert_eq!(values(&records[0]), [star, "nothing", star].repeat(2), "the cut-off tail is gone");
            assert_eq!(values(&records[1]), ["nothing"]);
            assert!(records[2].is_empty() && records[3].is_empty());
            assert_eq!(masked.iter().map(|p| p.error_code).collect::<Vec<_>>(), [0, 0, 29, 29]);
            // All else is what it was.
            for (partition, records) in masked.iter_mut().zip(partitions()) {
                (partition.records, partition.error_code) = (Some(records.into()), 0);
            }
            assert_eq!(after, before, "v{version}");
        }
    }
}

#[test]
fn a_share_fetch_is_masked_and_an_unknown_topic_has_no_records() {
    // Kafka's codec knows no other; frames of the other are below.
    let version = 1;
    let partition = |records: Vec<u8>| {
        share_fetch_response::PartitionData::default().with_records(Some(records.into())).with_acknowledge_error_code(3)
    };
    let topic = |number: u128| {
        let partitions = partitions().into_iter().map(partition).collect();
        ShareFetchableTopicResponse::default().with_topic_id(id(number)).with_partitions(partitions)
    };
    let before = ShareFetchResponse::default().with_responses([7, 8, 9].map(topic).to_vec());
    let mut frame = frame(key::SHARE_FETCH, version, Direction::Response, &before);
    rewritten(&mut frame, &mut Cards::default());
    let after: ShareFetchResponse = body(&frame);
    let topics = after.responses;
    assert_eq!(values(topics[0].partitions[0].records.as_ref().unwrap()), ["*", "nothing", "*"].repeat(2));
    assert_eq!(topics[1], before.responses[1]);
    for partition in &topics[2].partitions {
        assert!(partition.records.as_ref().is_none_or(Bytes::is_empty));
        assert_eq!((partition.error_code, partition.acknowledge_error_code), (29, 3));
    }
}

fn produced(version: i16) -> ProduceRequest {
    let partition = |(index, records): (i32, Vec<u8>)| {
        PartitionProduceData::default().with_index(index).with_records(Some(records.into()))
    };
    let topic = |(name, number): (&'static str, u128)| {
        let mut records = partitions();
        // Nothing produced is cut off.
        let whole = records[0].len() - CUT_OFF;
        records[0].truncate(whole);
        let partitions = (0..).zip(records).map(partition).collect();
        let topic = TopicProduceData::default().with_partition_data(partitions);
        match version {
            13.. => topic.with_topic_id(id(number)),
            _ => topic.with_name(TopicName(StrBytes::from_static_str(name))),
        }
    };
    ProduceRequest::default().with_acks(-1).with_topic_data([("others", 8), ("cards", 7)].map(topic).to_vec())
}

#[test]
fn a_produce_of_every_version_goes_on_without_what_may_not_pass_and_its_answer_says_so() {
    for version in served(key::PRODUCE) {
        let before = produced(version);
        let mut request = frame(key::PRODUCE, version, Direction::Request, &before);
        let mut cards = Cards::default();
        rewritten(&mut request, &mut cards);
        let after: ProduceRequest = body(&request);
        assert_eq!(after.topic_data[0], before.topic_data[0]);
        let records: Vec<&Bytes> =
            after.topic_data[1].partition_data.iter().map(|p| p.records.as_ref().unwrap()).collect();
        assert_eq!(values(records[0]), ["*", "nothing", "*"].repeat(2), "v{version}");
        assert_eq!(values(records[1]), ["nothing"]);
        assert!(records[2].is_empty() && records[3].is_empty());

        let topic = match version {
            13.. => Topic::Id(*id(7).as_bytes()),
            _ => Topic::Name("cards".into()),
        };
        let refused = |partition| Refused { topic: topic.clone(), partition, code: 44, why: "weir: no".into() };
        let partition = |index| PartitionProduceResponse::default().with_index(index).with_error_code(87);
        let topic = |of: &TopicProduceData| {
            let partitions = (0..4).map(partition).collect();
            TopicProduceResponse::default()
                .with_name(of.name.clone())
                .with_topic_id(of.topic_id)
                .with_partition_responses(partitions)
        };
        let answer = ProduceResponse::default().with_responses(before.topic_data.iter().map(topic).collect());
        let mut answer = frame(key::PRODUCE, version, Direction::Response, &answer);
        let edited = answer_refused(version, &answer.bytes, answer.body_at, &[refused(2), refused(3)]).unwrap();
        answer.bytes = Cow::Owned(edited.unwrap());
        let told: ProduceResponse = body(&answer);
        let codes = |topic: &TopicProduceResponse| -> Vec<i16> {
            topic.partition_responses.iter().map(|partition| partition.error_code).collect()
        };
        assert_eq!((codes(&told.responses[0]), codes(&told.responses[1])), (vec![87; 4], vec![87, 87, 44, 44]));
        let says = told.responses[1].partition_responses[2].error_message.as_ref().map(|text| text.to_string());
        assert_eq!(says.as_deref(), (version >= 8).then_some("weir: no"));
    }
}

#[test]
fn what_no_rule_applies_to_is_not_even_copied() {
    struct Nobody;
    impl Partitions for Nobody {
        fn begin(&mut self, _: &Topic, _: i32) -> Treatment {
            Treatment::Pass
        }
        fn record(&mut self, _: &Record<'_>, _: &mut Replacement) -> Verdict {
            panic!("nobody asked")
        }
        fn refused(&mut self, _: &Topic, _: i32, _: Option<&Refusal>) -> Option<i16> {
            panic!("nobody asked")
        }
    }
    for version in served(key::FETCH) {
        let mut frame = frame(key::FETCH, version, Direction::Response, &fetched(version));
        let bytes = std::mem::take(&mut frame.bytes);
        frame.bytes = Cow::Borrowed(&bytes);
        rewrite(&mut frame, &mut Rewriter::default(), &BOUNDS, &mut Nobody).unwrap();
        assert!(matches!(frame.bytes, Cow::Borrowed(_)), "v{version}");
    }
}

/// Every partition is refused, or every record asked about, whatever is in it.
struct All(Treatment);

impl Partitions for All {
    fn begin(&mut self, _: &Topic, _: i32) -> Treatment {
        self.0
    }
    fn record(&mut self, _: &Record<'_>, _: &mut Replacement) -> Verdict {
        Verdict::Keep
    }
    fn refused(&mut self, _: &Topic, _: i32, _: Option<&Refusal>) -> Option<i16> {
        Some(29)
    }
}

#[test]
fn bodies_of_any_shape_stay_lawful_when_their_records_are_taken_out() {
    let carriers = [
        (key::PRODUCE, Direction::Request),
        (key::FETCH, Direction::Response),
        (key::SHARE_FETCH, Direction::Response),
    ];
    for (key, direction) in carriers {
        let message = layout::messages().iter().find(|m| m.api_key == key && m.direction == direction).unwrap();
        for (version, seed) in served(key).flat_map(|version| (1..200u64).map(move |seed| (version, seed))) {
            let body = samples::body(message, version, seed * 77);
            let bytes = [&(body.len() as i32).to_be_bytes()[..], &body].concat();
            for treatment in [Treatment::Refuse, Treatment::Rewrite] {
                let bytes = Cow::Borrowed(&bytes[..]);
                let mut frame = Frame { api_key: key, version, direction, bytes, body_at: 4 };
                rewrite(&mut frame, &mut Rewriter::default(), &BOUNDS, &mut All(treatment)).unwrap();
                let located = locate(key, version, direction, &frame.bytes[4..]).unwrap();
                assert_eq!(located.fault, None, "{} v{version}", message.name);
                // The samples' checksums are wrong, so none of their batches may pass either.
                assert!(located.fields.iter().all(|field| field.span.is_empty()), "{} v{version}", message.name);
            }
        }
    }
}

#[test]
fn a_fetch_asks_for_no_more_than_it_may() {
    let bodies = [(key::FETCH, 5..=5), (key::FETCH, 16..=16), (key::SHARE_FETCH, 1..=1)];
    for (key, version) in bodies.into_iter().flat_map(|(key, versions)| versions.map(move |version| (key, version))) {
        let message =
            layout::messages().iter().find(|m| m.api_key == key && m.direction == Direction::Request).unwrap();
        for seed in 1..50 {
            let body = samples::body(message, version, seed);
            let capped = cap_max_bytes(key, version, Cow::Borrowed(&body), 0, 100);
            assert_eq!(capped.len(), body.len());
            assert!(matches!(cap_max_bytes(key, version, capped, 0, 100), Cow::Owned(_) | Cow::Borrowed(_)));
            let free = cap_max_bytes(key, version, Cow::Borrowed(&body), 0, i32::MAX);
            assert!(matches!(free, Cow::Borrowed(_)));
        }
    }
    // Kafka's own default, 50 MiB, in a Fetch of version 4: replica, wait, min, max, isolation, no topics.
    let asked = [&(-1i32).to_be_bytes()[..], &[0; 8], &(50i32 << 20).to_be_bytes(), &[0; 5]].concat();
    let capped = cap_max_bytes(key::FETCH, 4, Cow::Borrowed(&asked), 0, 8 << 20);
    assert_eq!(capped[12..16], (8i32 << 20).to_be_bytes());
    assert_eq!((&capped[..12], &capped[16..]), (&asked[..12], &asked[16..]));
}

#[test]
fn a_batch_of_another_place_does_not_end_the_masking_of_its_partition() {
    // Two batches back to back, the second with a wrong checksum: nothing of the partition passes.
    let good = batch(&["4111111111111111"]);
    let mut bad = seal(batch(&["nothing"]));
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let partition = PartitionData::default().with_records(Some([good, bad].concat().into()));
    let topic = FetchableTopicResponse::default()
        .with_topic(TopicName(StrBytes::from_static_str("cards")))
        .with_partitions(vec![partition]);
    let mut frame = frame(key::FETCH, 11, Direction::Response, &FetchResponse::default().with_responses(vec![topic]));
    let mut cards = Cards::default();
    rewritten(&mut frame, &mut cards);
    let after: FetchResponse = body(&frame);
    assert!(after.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
    assert_eq!(cards.refused, [(0, Some(Refusal::Checksum))]);
}

/// Two partitions of one topic: a batch under a codec three times, and once.
fn several_batches() -> FetchResponse {
    let one = under(Codec::Lz4, 3, &batch(&["4111111111111111", "more"]));
    let partition = |(index, times): (i32, usize)| {
        PartitionData::default().with_partition_index(index).with_records(Some(one.repeat(times).into()))
    };
    let topic = FetchableTopicResponse::default().with_topic(TopicName(StrBytes::from_static_str("cards")));
    FetchResponse::default().with_responses(vec![topic.with_partitions((0..).zip([3, 1]).map(partition).collect())])
}

#[test]
fn a_reader_gets_whole_batches_up_to_the_bound_and_at_least_one_but_a_writer_is_refused_beyond_it() {
    let whole: usize = {
        let mut frame = frame(key::FETCH, 12, Direction::Response, &several_batches());
        rewritten(&mut frame, &mut Cards::default());
        body::<FetchResponse>(&frame).responses[0].partitions[1].records.as_ref().unwrap().len()
    };
    for (rewritten, given) in [(4 * whole, [3, 1]), (4 * whole - 1, [3, 0]), (2 * whole, [2, 0]), (1, [1, 0])] {
        let bounds = FrameBounds { rewritten, ..BOUNDS };
        let (mut frame, mut cards) = (frame(key::FETCH, 12, Direction::Response, &several_batches()), Cards::default());
        rewrite(&mut frame, &mut Rewriter::default(), &bounds, &mut cards).unwrap();
        assert!(cards.refused.is_empty(), "there is no error in it");
        let after: FetchResponse = body(&frame);
        let records = after.responses[0].partitions.iter().map(|of| of.records.as_ref().unwrap());
        assert_eq!(records.clone().map(|records| records.len() / whole).collect::<Vec<_>>(), given, "{rewritten}");
        assert!(records.clone().all(|records| values(records).iter().all(|value| !value.starts_with("4111"))));
    }
    let bounds = FrameBounds { rewritten: whole, may_cut: false, ..BOUNDS };
    let (mut frame, mut cards) = (frame(key::FETCH, 12, Direction::Response, &several_batches()), Cards::default());
    rewrite(&mut frame, &mut Rewriter::default(), &bounds, &mut cards).unwrap();
    assert_eq!(cards.refused, [(0, Some(Refusal::FrameGrown { max: whole }))]);
}
