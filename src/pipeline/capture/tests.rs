//! What is kept of an exchange, by what its rules ask for.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchResponse, TopicName};
use kafka_protocol::protocol::{Encodable, StrBytes};

use super::*;
use crate::policy::{RecordingMode, RecordingRule, RecordingRules, Sample, TopicPatterns};
use crate::wire::kafka::api::key;

struct Topics;

impl TopicDirectory for Topics {
    fn name(&self, id: &[u8; 16]) -> Option<Arc<str>> {
        match id[0] {
            1 => Some("payments".into()),
            2 => Some("orders".into()),
            _ => None,
        }
    }
    fn learn(&self, _: Vec<([u8; 16], Arc<str>)>) {}
}

fn rule(topics: &[&str], mode: RecordingMode) -> RecordingRule {
    let topics = TopicPatterns::new(topics.iter().map(ToString::to_string).collect()).unwrap();
    RecordingRule { name: None, listeners: Vec::new(), groups: Vec::new(), topics, mode }
}

fn scope(rules: Vec<RecordingRule>) -> Rc<Scope> {
    let rules = RecordingRules::new(rules);
    let samples = SampleBudgets::new(&rules, 1);
    Scope::new(rules.plan("main", &[]).unwrap(), samples, Budget::new(limits::SHARD_CAPTURE_HELD_BYTES))
}

fn begin(scope: &Rc<Scope>, number: u64) -> Option<Box<Capture>> {
    scope.begin(Beginning { ordinal: 7, api_key: key::FETCH, number, request_bytes: 100 }, 1)
}

/// An answer with the records `payload` of each topic.
fn fetched(version: i16, topics: &[(u8, &str, &[u8])]) -> Vec<u8> {
    let topic = |(id, name, payload): &(u8, &str, &[u8])| {
        let partition = PartitionData::default().with_records(Some(bytes::Bytes::copy_from_slice(payload)));
        FetchableTopicResponse::default()
            .with_topic(TopicName(StrBytes::from_string((*name).to_owned())))
            .with_topic_id(uuid::Uuid::from_bytes([*id; 16]))
            .with_partitions(vec![partition])
    };
    let response = FetchResponse::default().with_responses(topics.iter().map(topic).collect());
    let mut frame = vec![0; 9];
    response.encode(&mut frame, version).unwrap();
    frame
}

/// What is kept of an answer, its bytes where they are and zeros where they are withheld; none where nothing is.
fn kept(capture: &mut Capture, version: i16, frame: &[u8]) -> (Option<Vec<u8>>, u64) {
    let whole = WholeFrame { way: Way::Response, api_key: key::FETCH, version, bytes: frame, body_at: 9 };
    let mut cuts = capture.whole(whole, &Topics, 1);
    cuts.extend(capture.finish(1));
    let (mut bytes, mut lost) = (Vec::new(), 0);
    for cut in cuts.into_iter().filter(|cut| cut.way == Way::Response) {
        match cut.kept {
            Kept::Passed(range) => bytes.extend_from_slice(&frame[range]),
            Kept::Held(held) => bytes.extend(held),
            Kept::Withheld { bytes: length, why } => {
                assert_eq!(why, Withheld::NotAsked);
                bytes.resize(bytes.len() + length as usize, 0);
            }
            Kept::Lost => lost += 1,
        }
    }
    ((!bytes.is_empty()).then_some(bytes), lost)
}

/// A batch whose payload is this text.
fn batch(text: &str) -> Vec<u8> {
    let mut batch = crate::wire::kafka::samples::batch(0, 1, text.len());
    let at = batch.len() - text.len();
    batch[at..].copy_from_slice(text.as_bytes());
    batch
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_frame_about_several_topics_is_kept_without_the_records_of_those_not_asked_for() {
    let scope = scope(vec![rule(&["payments"], RecordingMode::Full)]);
    let (gold, lead) = (batch("gold"), batch("lead"));
    for version in [12, 13] {
        for order in [[0, 1], [1, 0]] {
            let topics: [(u8, &str, &[u8]); 2] = [(1, "payments", &gold), (2, "orders", &lead)];
            let frame = fetched(version, &order.map(|index| topics[index]));
            let (kept, _) = kept(&mut begin(&scope, 0).unwrap(), version, &frame);
            let kept = kept.expect("payments are asked for");
            assert_eq!(kept.len(), frame.len());
            assert!(holds(&kept, "gold") && !holds(&kept, "lead"), "v{version} {order:?}");
            let mut body = &kept[9..];
            kafka_protocol::protocol::Decodable::decode(&mut body, version).map(|_: FetchResponse| ()).unwrap();
        }
        let frame = fetched(version, &[(2, "orders", &lead)]);
        assert_eq!(kept(&mut begin(&scope, 0).unwrap(), version, &frame).0, None);
    }
}

#[test]
fn an_unknown_topic_id_keeps_the_frame_and_none_of_its_records() {
    let scope = scope(vec![rule(&["payments"], RecordingMode::Full)]);
    let frame = fetched(13, &[(9, "", &batch("dust"))]);
    let (kept, _) = kept(&mut begin(&scope, 0).unwrap(), 13, &frame);
    let kept = kept.expect("it may be payments");
    assert_eq!(kept.len(), frame.len());
    assert!(!holds(&kept, "dust"), "it may be another");
}

#[test]
fn an_exchange_that_names_no_topic_is_kept_where_a_rule_without_topics_says_so() {
    let frame = fetched(12, &[]);
    let only_payments = scope(vec![rule(&["payments"], RecordingMode::Full)]);
    assert_eq!(kept(&mut begin(&only_payments, 0).unwrap(), 12, &frame).0, None);
    let all_but_orders = scope(vec![rule(&["orders"], RecordingMode::Metadata), rule(&[], RecordingMode::Full)]);
    assert_eq!(kept(&mut begin(&all_but_orders, 0).unwrap(), 12, &frame).0.as_deref(), Some(&frame[..]));
    let orders = fetched(12, &[(2, "orders", &batch("lead"))]);
    assert_eq!(kept(&mut begin(&all_but_orders, 0).unwrap(), 12, &orders).0, None);
}

#[test]
fn what_would_be_held_for_too_long_is_kept() {
    let scope = scope(vec![rule(&["payments"], RecordingMode::Full)]);
    let name = "o".repeat(200);
    let topics: Vec<_> = (0..400).map(|_| (2, name.as_str(), &b""[..])).collect();
    let frame = fetched(12, &topics);
    assert!(frame.len() as u64 > limits::CAPTURE_HELD_BYTES_MAX);
    assert_eq!(kept(&mut begin(&scope, 0).unwrap(), 12, &frame).0.as_deref(), Some(&frame[..]));
    assert_eq!(scope.held.in_use(), 0);
}

#[test]
fn waiting_for_a_topic_passes_neither_share_nor_budget() {
    let sample = RecordingMode::Sample(Sample::new(0.5, 1_000_000));
    let scope = scope(vec![rule(&["payments"], sample)]);
    let name = "o".repeat(200);
    let topics: Vec<_> = (0..400).map(|_| (2, name.as_str(), &b""[..])).collect();
    let frame = fetched(12, &topics);
    assert_eq!(kept(&mut begin(&scope, u64::MAX).unwrap(), 12, &frame), (None, 0), "not in the share");
    assert_eq!(kept(&mut begin(&scope, 0).unwrap(), 12, &frame), (None, 1), "it might have been");
    assert_eq!(scope.held.in_use(), 0);
}

#[test]
fn a_sample_is_a_share_and_what_goes_over_its_budget_is_counted() {
    let sample = RecordingMode::Sample(Sample::new(0.5, 1_000));
    let scope = scope(vec![rule(&[], sample)]);
    assert!(begin(&scope, u64::MAX).is_none(), "not in the share");
    let small = fetched(12, &[(2, "orders", &batch("lead"))]);
    let large = fetched(12, &[(2, "orders", &batch(&"lead".repeat(300)))]);
    assert_eq!(kept(&mut begin(&scope, 0).unwrap(), 12, &small), (Some(small), 0));
    assert_eq!(kept(&mut begin(&scope, 0).unwrap(), 12, &large), (None, 1));
}

#[test]
fn what_cannot_be_read_is_withheld() {
    let scope = scope(vec![rule(&[], RecordingMode::Full)]);
    let frame = [&[0; 9][..], b"password"].concat();
    let mut capture = begin(&scope, 0).unwrap();
    let whole =
        WholeFrame { way: Way::Request, api_key: key::SASL_AUTHENTICATE, version: 2, bytes: &frame, body_at: 9 };
    let cuts = capture.whole(whole, &Topics, 1);
    assert!(matches!(cuts[0].kept, Kept::Passed(Range { start: 0, end: 9 })));
    assert!(matches!(cuts[1].kept, Kept::Withheld { bytes: 8, why: Withheld::Secret }));
    assert_eq!(cuts.len(), 2);
}
