//! Batches of Kafka's own codec and of every format and compression, whole, damaged and hostile.
#![allow(clippy::unwrap_used)]
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, FetchResponse, ProduceRequest};
use kafka_protocol::protocol::{Decodable, StrBytes};
use kafka_protocol::records::{
    Compression, Record as CodecRecord, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
    TimestampType as CodecTimestampType,
};
use proptest::prelude::*;

use super::locate::{Topic, carries_records, locate};
use super::*;
use crate::wire::kafka::layout::{self, Direction, Message};
use crate::wire::kafka::samples;
use crate::wire::kafka::samples::deflate;

pub(super) const CAP: usize = 1 << 20;
pub(super) const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// A record with everything its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Own {
    pub(super) offset: i64,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl From<Record<'_>> for Own {
    fn from(record: Record<'_>) -> Own {
        Own {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect(),
        }
    }
}

pub(super) fn read(batch: &[u8]) -> Result<(About, Vec<Own>), RecordsError> {
    let mut inflated = Vec::new();
    let opened = open(batch, CAP, &mut inflated)?;
    let records: Result<Vec<Own>, RecordsError> = opened.records.map(|record| record.map(Own::from)).collect();
    Ok((opened.about, records?))
}

/// Puts the records of a plain batch under a codec, and the checksum right.
pub(super) fn under(codec: Codec, number: u8, plain: &[u8]) -> Vec<u8> {
    let mut batch = plain[..61].to_vec();
    batch.extend(deflate(codec, &plain[61..]));
    batch[22] |= number;
    seal(batch)
}

/// Makes length and checksum right.
pub(super) fn seal(mut batch: Vec<u8>) -> Vec<u8> {
    let length = batch.len() as i32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn codec_record(own: &Own, first_offset: i64) -> CodecRecord {
    let header = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| {
        (StrBytes::from_string(String::from_utf8(name.clone()).unwrap()), value.clone().map(Bytes::from))
    };
    CodecRecord {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 3,
        producer_id: 9,
        producer_epoch: 1,
        timestamp_type: CodecTimestampType::Creation,
        offset: own.offset,
        sequence: (own.offset - first_offset) as i32,
        timestamp: own.timestamp_ms.unwrap_or(-1),
        key: own.key.clone().map(Bytes::from),
        value: own.value.clone().map(Bytes::from),
        headers: own.headers.iter().map(header).collect(),
    }
}

pub(super) fn plain_batch(records: &[Own]) -> Vec<u8> {
    let first = records.first().map_or(0, |record| record.offset);
    let records: Vec<CodecRecord> = records.iter().map(|own| codec_record(own, first)).collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    bytes.to_vec()
}

pub(super) fn some_bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..200))
}

prop_compose! {
    pub(super) fn own()(
        timestamp_ms in 0i64..4_000_000_000_000,
        key in some_bytes(),
        value in some_bytes(),
        headers in prop::collection::btree_map("[a-zäß]{0,8}", some_bytes(), 0..4),
    ) -> Own {
        let headers = headers.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
        Own { offset: 0, timestamp_ms: Some(timestamp_ms), key, value, headers }
    }
}

pub(super) fn numbered(mut records: Vec<Own>, first: i64) -> Vec<Own> {
    (first..).zip(&mut records).for_each(|(offset, record)| record.offset = offset);
    records
}

proptest! {
    #[test]
    fn records_are_read_as_kafka_s_codec_writes_and_reads_them(
        records in prop::collection::vec(own(), 1..12),
        first in 0i64..1_000_000,
    ) {
        let records = numbered(records, first);
        let plain = plain_batch(&records);
        for (number, codec) in (0u8..).zip(CODECS) {
            let batch = under(codec, number, &plain);
            let (about, found) = read(&batch).unwrap();
            prop_assert_eq!(&found, &records);
            prop_assert!(about.checksum_holds && !about.control);
            prop_assert_eq!((about.magic, about.codec, about.producer_id), (2, codec, Some(9)));
        }
        let decoded = RecordBatchDecoder::decode(&mut Bytes::from(plain)).unwrap().records;
        let decoded: Vec<Own> = decoded.iter().map(|record| Own {
            offset: record.offset,
            timestamp_ms: Some(record.timestamp),
            key: record.key.as_ref().map(|key| key.to_vec()),
            value: record.value.as_ref().map(|value| value.to_vec()),
            headers: record.headers.iter()
                .map(|(name, value)| (name.as_bytes().to_vec(), value.as_ref().map(|value| value.to_vec())))
                .collect(),
        }).collect();
        prop_assert_eq!(decoded, records);
    }

    #[test]
    fn damage_anywhere_is_an_error_or_other_records_never_a_panic(
        records in prop::collection::vec(own(), 1..4),
        codec in 0u8..5,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut batch = under(CODECS[usize::from(codec)], codec, &plain_batch(&numbered(records, 0)));
        for (at, byte) in damage {
            let at = at.index(batch.len());
            batch[at] = byte;
        }
        let _ = read(&batch);
        let _ = read(&batch[..cut.index(batch.len())]);
        let total: usize = entries(&batch).map(|entry| entry.bytes.len()).sum();
        prop_assert_eq!(total, batch.len());
    }

    #[test]
    fn garbage_as_a_message_of_any_magic_is_no_panic(mut bytes in prop::collection::vec(any::<u8>(), 17..200), magic in 0u8..3) {
        bytes[16] = magic;
        let length = bytes.len() as i32 - 12;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let _ = read(&bytes);
    }
}

/// A message of magic 0 or 1 with the right checksum.
fn message(offset: i64, magic: u8, attributes: u8, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
    let mut covered = vec![magic, attributes];
    if magic == 1 {
        covered.extend((1_000 + offset).to_be_bytes());
    }
    for bytes in [key, value] {
        covered.extend(bytes.map_or(-1, |bytes| bytes.len() as i32).to_be_bytes());
        covered.extend(bytes.unwrap_or_default());
    }
    let mut crc = flate2::Crc::new();
    crc.update(&covered);
    let mut message = offset.to_be_bytes().to_vec();
    message.extend((4 + covered.len() as i32).to_be_bytes());
    message.extend(crc.sum().to_be_bytes());
    message.extend(covered);
    message
}

#[test]
fn old_messages_alone_have_their_own_offset_and_time() {
    let (about, records) = read(&message(7, 0, 0, None, Some(b"v"))).unwrap();
    assert!(about.checksum_holds);
    let expected = Own { offset: 7, timestamp_ms: None, key: None, value: Some(b"v".to_vec()), headers: Vec::new() };
    assert_eq!(records, [expected]);
    let (about, records) = read(&message(7, 1, 0x08, Some(b"k"), None)).unwrap();
    assert_eq!(about.timestamp_type, TimestampType::LogAppendTime);
    assert_eq!((records[0].timestamp_ms, records[0].value.clone()), (Some(1_007), None));
    let mut wrong = message(7, 1, 0, None, None);
    wrong[12] ^= 1;
    assert!(!read(&wrong).unwrap().0.checksum_holds);
}

#[test]
fn compressed_old_messages_count_from_their_wrapper() {
    for (number, codec) in (1u8..).zip([Codec::Gzip, Codec::Snappy, Codec::Lz4]) {
        // Of magic 0 the offsets within are right; from magic 1 on the wrapper has that of the last.
        for (magic, within, wrapper) in [(0, [40, 41, 43], 43), (1, [0, 1, 3], 43)] {
            let inner: Vec<u8> =
                within.iter().flat_map(|offset| message(*offset, magic, 0, None, Some(b"same"))).collect();
            let batch = message(wrapper, magic, number, None, Some(&deflate(codec, &inner)));
            let (about, records) = read(&batch).unwrap();
            assert_eq!((about.codec, about.checksum_holds), (codec, true));
            assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [40, 41, 43]);
            assert_eq!(records[0].timestamp_ms.is_some(), magic == 1);
        }
    }
    // The broker's time stands in the wrapper and goes for all.
    let inner: Vec<u8> = [0, 1].iter().flat_map(|offset| message(*offset, 1, 0, None, None)).collect();
    let batch = message(500, 1, 0x08 | 1, None, Some(&deflate(Codec::Gzip, &inner)));
    let times: Vec<_> = read(&batch).unwrap().1.into_iter().map(|record| record.timestamp_ms).collect();
    assert_eq!(times, [Some(1_500), Some(1_500)]);
}

#[test]
fn messages_nested_in_messages_are_refused_at_the_first_level() {
    let mut bomb = message(0, 1, 0, None, Some(&[0; 1000]));
    for _ in 0..50 {
        bomb = message(0, 1, 1, None, Some(&deflate(Codec::Gzip, &bomb)));
    }
    assert_eq!(read(&bomb), Err(RecordsError::Nested));
    let mixed = message(0, 1, 1, None, Some(&deflate(Codec::Gzip, &message(0, 0, 0, None, None))));
    assert_eq!(read(&mixed), Err(RecordsError::Nested));
}

#[test]
fn a_bomb_is_named_and_costs_no_more_than_the_cap() {
    let plain = plain_batch(&numbered(
        vec![Own { offset: 0, timestamp_ms: Some(1), key: None, value: Some(vec![0; 32 << 20]), headers: Vec::new() }],
        0,
    ));
    for (number, codec) in [(1, Codec::Gzip), (3, Codec::Lz4), (4, Codec::Zstd)] {
        let bomb = under(codec, number, &plain);
        let mut inflated = Vec::new();
        let error = open(&bomb, CAP, &mut inflated).unwrap_err();
        assert!(matches!(error, RecordsError::Inflate(InflateError::TooLarge { .. })), "{error}");
        assert!(error.to_string().contains("more than 1048576 bytes"), "{error}");
        assert!(inflated.capacity() <= 4 * CAP);
    }
}

#[test]
fn counts_are_checked_against_what_is_there() {
    let records = vec![Own { offset: 0, timestamp_ms: Some(1), key: None, value: None, headers: Vec::new() }; 3];
    let plain = plain_batch(&numbered(records, 0));
    let stated = |count: i32| {
        let mut batch = plain.clone();
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        seal(batch)
    };
    assert_eq!(read(&stated(3)).unwrap().1.len(), 3);
    assert_eq!(read(&stated(i32::MAX)), Err(RecordsError::Miscounted { stated: i32::MAX, found: 3 }));
    assert_eq!(read(&stated(2)), Err(RecordsError::Miscounted { stated: 2, found: 3 }));
    assert_eq!(read(&stated(-1)), Err(RecordsError::Miscounted { stated: -1, found: 1 }));
}

#[test]
fn control_records_say_what_they_mark() {
    let marker = |kind: u8| {
        let key = Some(vec![0, 0, 0, kind]);
        let record = Own { offset: 5, timestamp_ms: Some(1), key, value: Some(vec![0; 6]), headers: Vec::new() };
        let mut batch = plain_batch(&[record]);
        batch[22] |= 0x30;
        seal(batch)
    };
    for (kind, expected) in [(0, Control::Abort), (1, Control::Commit), (2, Control::Other(2))] {
        let batch = marker(kind);
        let mut inflated = Vec::new();
        let mut opened = open(&batch, CAP, &mut inflated).unwrap();
        assert!(opened.about.control && opened.about.transactional);
        assert_eq!(opened.records.next().unwrap().unwrap().control(), Some(expected));
    }
}

#[test]
fn duplicate_header_names_stay_apart_and_in_order() {
    let mut record = vec![0, 0, 0, 1, 1];
    record.push(6); // three headers
    for (name, value) in [("a", Some("1")), ("a", Some("2")), ("a", None)] {
        record.push(2 * name.len() as u8);
        record.extend(name.bytes());
        record.push(value.map_or(1, |value: &str| 2 * value.len() as u8));
        record.extend(value.unwrap_or_default().bytes());
    }
    let mut batch =
        plain_batch(&[Own { offset: 0, timestamp_ms: Some(1), key: None, value: None, headers: Vec::new() }]);
    batch.truncate(61);
    batch.push(2 * record.len() as u8);
    batch.extend(record);
    let (_, records) = read(&seal(batch)).unwrap();
    let values: Vec<_> = records[0].headers.iter().map(|(_, value)| value.clone()).collect();
    assert_eq!(values, [Some(b"1".to_vec()), Some(b"2".to_vec()), None]);
}

#[test]
fn a_cut_off_tail_is_the_last_entry_and_not_whole() {
    let batch = plain_batch(&[Own { offset: 0, timestamp_ms: Some(1), key: None, value: None, headers: Vec::new() }]);
    let field = [batch.as_slice(), &batch, &batch[..batch.len() - 1]].concat();
    let found: Vec<(usize, bool)> = entries(&field).map(|entry| (entry.at, entry.whole)).collect();
    assert_eq!(found, [(0, true), (batch.len(), true), (2 * batch.len(), false)]);
    assert_eq!(entries(&[0; 40]).map(|entry| entry.whole).collect::<Vec<_>>(), [false]);
    assert_eq!(entries(&[]).count(), 0);
}

fn message_of(api_key: i16, direction: Direction) -> &'static Message {
    layout::messages().iter().find(|message| message.api_key == api_key && message.direction == direction).unwrap()
}

/// Records fields by the codec: topic name, partition, bytes.
type Fields = Vec<(String, i32, Vec<u8>)>;

fn by_codec(api_key: i16, version: i16, body: &[u8]) -> Option<Fields> {
    let mut body = Bytes::copy_from_slice(body);
    Some(if api_key == ApiKey::Produce as i16 {
        let request = ProduceRequest::decode(&mut body, version).ok()?;
        let topics = request.topic_data.into_iter().flat_map(|topic| {
            let name = if version > 12 { topic.topic_id.to_string() } else { topic.name.to_string() };
            topic.partition_data.into_iter().map(move |data| (name.clone(), data.index, data.records))
        });
        topics.filter_map(|(name, index, records)| Some((name, index, records?.to_vec()))).collect()
    } else {
        let response = FetchResponse::decode(&mut body, version).ok()?;
        let topics = response.responses.into_iter().flat_map(|topic| {
            let name = if version > 12 { topic.topic_id.to_string() } else { topic.topic.to_string() };
            topic.partitions.into_iter().map(move |data| (name.clone(), data.partition_index, data.records))
        });
        topics.filter_map(|(name, index, records)| Some((name, index, records?.to_vec()))).collect()
    })
}

#[test]
fn records_are_located_in_every_version_where_the_codec_finds_them() {
    let mut compared = 0;
    for (api_key, direction) in [(0, Direction::Request), (1, Direction::Response), (78, Direction::Response)] {
        assert!(carries_records(api_key, direction));
        let message = message_of(api_key, direction);
        for version in message.versions.first..=message.versions.last {
            for seed in 0..40 {
                let body = samples::body(message, version, seed * 977 + 13);
                let located = locate(api_key, version, direction, &body).unwrap();
                assert_eq!(located.fault, None);
                let found: Fields = located
                    .fields
                    .iter()
                    .map(|field| {
                        let name = match &field.topic {
                            Topic::Name(name) => name.to_string(),
                            Topic::Id(id) => uuid::Uuid::from_bytes(*id).to_string(),
                        };
                        (name, field.partition, body[field.span.clone()].to_vec())
                    })
                    .collect();
                if api_key != 78 {
                    assert_eq!(Some(found), by_codec(api_key, version, &body), "{api_key} v{version}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 500);
    assert!(!carries_records(0, Direction::Response) && !carries_records(3, Direction::Response));
    assert!(locate(999, 0, Direction::Request, &[]).is_none());
}

#[test]
fn what_the_records_are_does_not_matter_to_where_they_lie() {
    let message = message_of(1, Direction::Response);
    let seeds = 0..200u64;
    let mut blanked = 0;
    for seed in seeds {
        let mut body = samples::body(message, 12, seed * 31 + 7);
        let before = locate(1, 12, Direction::Response, &body).unwrap();
        before.fields.iter().for_each(|field| body[field.span.clone()].fill(0));
        blanked += before.fields.iter().filter(|field| !field.span.is_empty()).count();
        let after = locate(1, 12, Direction::Response, &body).unwrap();
        assert_eq!((after.fields, after.fault), (before.fields, None));
    }
    assert!(blanked > 50);
}
