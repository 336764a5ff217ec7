//! Walks of lawful, cut, hostile and random bodies: the same calls however a body comes, and no panic whatever comes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;
use crate::wire::kafka::batch::Format;
use crate::wire::kafka::edit::varint;
use crate::wire::kafka::layout::{Message, messages};
use crate::wire::kafka::samples::{self, Dice};

mod reads;

/// Writes down every call.
#[derive(Default)]
struct Calls(Vec<String>);

impl Visitor for Calls {
    fn value(&mut self, role: Role, value: Value<'_>, span: Span) {
        self.0.push(format!("{role:?} {value:?} {span:?}"));
    }
    fn array(&mut self, of: Element, count: Option<u32>, span: Span) {
        self.0.push(format!("array {of:?} {count:?} {span:?}"));
    }
    fn open(&mut self, group: Group, at: u64) {
        self.0.push(format!("open {group:?} {at}"));
    }
    fn close(&mut self, group: Group, at: u64) {
        self.0.push(format!("close {group:?} {at}"));
    }
    fn tagged(&mut self, field: TaggedField) {
        self.0.push(format!("{field:?}"));
    }
    fn batch(&mut self, batch: &Batch) {
        self.0.push(format!("{batch:?}"));
    }
    fn cut_off(&mut self, span: Span) {
        self.0.push(format!("cut off {span:?}"));
    }
}

fn walker(message: &Message, version: i16, body_len: usize) -> Walker {
    let start = match message.direction {
        Direction::Request => Walker::request,
        Direction::Response => Walker::response,
    };
    start(message.api_key, version, body_len as u64).expect("has a layout")
}

fn walk<'a>(
    message: &Message,
    version: i16,
    body_len: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<String>, Malformed> {
    let (mut walker, mut calls) = (walker(message, version, body_len), Calls::default());
    for piece in pieces {
        walker.feed(piece, &mut calls)?;
        assert!(walker.carry.len() <= TEXT_MAX as usize + 5);
    }
    walker.finish()?;
    assert_eq!(walker.position(), body_len as u64);
    Ok(calls.0)
}

fn every_version() -> impl Iterator<Item = (&'static Message, i16)> {
    let versions = |message: &'static Message| message.versions.first..=message.versions.last;
    messages().iter().flat_map(move |message| versions(message).map(move |version| (message, version)))
}

#[test]
fn however_a_body_is_cut_the_calls_are_the_same() {
    for (message, version) in every_version() {
        for seed in 1..6u64 {
            let body = samples::body(message, version, seed * 7919);
            let whole = walk(message, version, body.len(), std::iter::once(&body[..]));
            let whole = whole.unwrap_or_else(|malformed| panic!("{malformed}"));
            assert_eq!(whole, walk(message, version, body.len(), body.chunks(1)).unwrap(), "{message:?} v{version}");
            let mut dice = Dice(seed);
            let chunk = 1 + dice.roll(90);
            assert_eq!(whole, walk(message, version, body.len(), body.chunks(chunk)).unwrap());
        }
    }
}

#[test]
fn a_body_that_ends_early_or_late_is_malformed() {
    for (message, version) in every_version() {
        let body = samples::body(message, version, 4242);
        for len in (0..body.len()).rev().take(400) {
            let cut = walk(message, version, len, std::iter::once(&body[..len]));
            assert!(cut.is_err(), "{} v{version} of {len} bytes", message.name);
            let missing = walk(message, version, body.len(), std::iter::once(&body[..len]));
            assert!(missing.is_err(), "{} v{version} after {len} bytes", message.name);
        }
        let longer = [&body[..], &[0]].concat();
        assert!(walk(message, version, longer.len(), std::iter::once(&longer[..])).is_err(), "{}", message.name);
    }
}

/// The same bytes, read by a library that knows nothing of our table, are used up to the last one.
#[test]
fn kafka_protocol_reads_what_the_table_lays_out() {
    let mut compared = 0;
    for (message, version) in every_version() {
        // where its types fall short of the versions that it states
        if matches!((message.api_key, version), (8 | 9, 10)) {
            continue;
        }
        for seed in 1..4 {
            let body = samples::body(message, version, seed * 104_729);
            let Some(read) = reads::read(message, version, body) else {
                continue;
            };
            assert_eq!(read, Ok(0), "{} {} v{version}", message.name, message.direction);
            compared += 1;
        }
    }
    assert!(compared > 1200, "only {compared} compared");
}

#[test]
fn a_count_beyond_the_bytes_left_is_malformed_at_once() {
    let request = |version, body: &[u8]| {
        let mut walker = Walker::request(3, version, 1_000_000).unwrap();
        let fed = walker.feed(body, &mut Calls::default()).map_err(|malformed| malformed.fault);
        assert_eq!(walker.carry.capacity(), 0);
        fed
    };
    assert_eq!(request(1, &i32::MAX.to_be_bytes()), Err(Fault::PastTheEnd));
    assert_eq!(request(1, &500_000i32.to_be_bytes()), Err(Fault::PastTheEnd), "a topic takes two bytes");
    assert_eq!(request(1, &499_000i32.to_be_bytes()), Ok(()));
    assert_eq!(request(1, &(-2i32).to_be_bytes()), Err(Fault::UnlawfulNull));
    assert_eq!(request(0, &(-1i32).to_be_bytes()), Err(Fault::UnlawfulNull), "null topics came with version 1");
    assert_eq!(request(1, &(-1i32).to_be_bytes()), Ok(()));
    assert_eq!(request(9, &[0xff, 0xff, 0xff, 0xff, 0x0f]), Err(Fault::PastTheEnd));
    assert_eq!(request(9, &[0xff, 0xff, 0xff, 0xff, 0x10]), Err(Fault::LongVarint));
    assert_eq!(request(9, &[0xff, 0xff, 0xff, 0xff, 0xff, 0]), Err(Fault::LongVarint));
}

#[test]
fn text_must_be_utf8_and_no_longer_than_kafka_takes() {
    let group = |version, body: &[u8]| {
        let mut walker = Walker::request(12, version, 100_000).unwrap();
        walker.feed(body, &mut Calls::default()).map_err(|malformed| (malformed.field, malformed.fault))
    };
    assert_eq!(group(0, &[0, 2, 0xff, 0xfe]), Err(("GroupId", Fault::NotUtf8)));
    assert_eq!(group(4, &varint(32_769)), Err(("GroupId", Fault::LongText)));
    assert_eq!(group(4, &varint(32_768)), Ok(()));
}

/// The body of a Fetch v4 response for one partition with these records.
fn fetch(records: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(0i32.to_be_bytes()); // throttle
    body.extend(1i32.to_be_bytes()); // topics
    body.extend([0, 1, b't']);
    body.extend(1i32.to_be_bytes()); // partitions
    body.extend(0i32.to_be_bytes());
    body.extend(0i16.to_be_bytes());
    body.extend(10i64.to_be_bytes());
    body.extend(10i64.to_be_bytes());
    body.extend((-1i32).to_be_bytes()); // aborted transactions
    body.extend((records.len() as i32).to_be_bytes());
    body.extend(records);
    body
}

#[derive(Default)]
struct Batches(Vec<Batch>, Vec<Span>);

impl Visitor for Batches {
    fn batch(&mut self, batch: &Batch) {
        self.0.push(*batch);
    }
    fn cut_off(&mut self, span: Span) {
        self.1.push(span);
    }
}

fn batches(records: &[u8]) -> Result<Batches, Fault> {
    let body = fetch(records);
    let (mut walker, mut batches) = (Walker::response(1, 4, body.len() as u64).unwrap(), Batches::default());
    walker.feed(&body, &mut batches).map_err(|malformed| malformed.fault)?;
    walker.finish().unwrap();
    Ok(batches)
}

#[test]
fn batches_of_a_fetch_are_told_with_the_cut_off_one_at_its_end() {
    let whole = [samples::batch(100, 5, 300), samples::legacy(105, 1, 40), samples::batch(106, 7, 200)].concat();
    let Batches(told, cut_off) = batches(&whole).unwrap();
    assert_eq!(told.iter().map(|batch| batch.base_offset).collect::<Vec<_>>(), [100, 105, 106]);
    assert!(told.iter().all(|batch| batch.complete) && cut_off.is_empty());
    assert_eq!(told[1].format, Format::Legacy { magic: 1 });
    let Format::V2(header) = told[2].format else { panic!("magic 2 expected") };
    assert_eq!((header.records, header.last_offset_delta, header.producer_id), (7, 6, 99));
    assert_eq!((header.base_sequence, header.crc), (41, 0xc0de_c0de));
    assert!(header.is_transactional() && !header.is_control() && header.compression() == 0);

    let first_two = whole.len() - 261;
    for len in first_two..whole.len() {
        let Batches(told, cut_off) = batches(&whole[..len]).unwrap();
        let missing_header = (1..61).contains(&(len - first_two));
        assert_eq!(told.iter().filter(|batch| batch.complete).count(), 2, "{len}");
        assert_eq!(told.len(), if len > first_two && !missing_header { 3 } else { 2 }, "{len}");
        assert_eq!(cut_off.len(), usize::from(missing_header), "{len}");
    }
}

#[test]
fn a_batch_that_cannot_be_is_malformed() {
    let with_length = |length: i32| {
        let mut batch = samples::batch(0, 1, 10);
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batches(&batch).err()
    };
    assert_eq!(with_length(-1), Some(Fault::ShortBatch));
    assert_eq!(with_length(48), Some(Fault::ShortBatch));
    assert_eq!(with_length(59), None);
    assert_eq!(with_length(i32::MAX), None, "cut off");
    let mut unknown = samples::batch(0, 1, 10);
    unknown[16] = 3;
    assert_eq!(batches(&unknown).err(), Some(Fault::UnknownMagic));
}

#[test]
fn a_batch_cut_off_in_a_produce_is_malformed() {
    let produce = |cut: usize| {
        let records = samples::batch(0, 1, 10);
        let records = &records[..records.len() - cut];
        let mut body = vec![0xff, 0xff, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0];
        body.extend((records.len() as i32).to_be_bytes());
        body.extend(records);
        let mut walker = Walker::request(0, 3, body.len() as u64).unwrap();
        walker.feed(&body, &mut Calls::default()).map_err(|malformed| malformed.fault)?;
        walker.finish().map_err(|malformed| malformed.fault)
    };
    assert_eq!(produce(0), Ok(()));
    assert!((1..71).all(|cut| produce(cut) == Err(Fault::CutOffBatch)));
}

#[test]
fn the_tail_of_a_fetch_begins_behind_its_topics() {
    let body = fetch(&samples::batch(0, 1, 10));
    let mut walker = Walker::response(1, 4, body.len() as u64).unwrap();
    walker.feed(&body[..body.len() - 1], &mut Calls::default()).unwrap();
    assert_eq!(walker.tail_at(), None);
    walker.feed(&body[body.len() - 1..], &mut Calls::default()).unwrap();
    assert_eq!(walker.tail_at(), Some(body.len() as u64));
}

#[test]
fn an_error_names_the_field_and_its_place_and_no_content() {
    let mut walker = Walker::request(12, 0, 100).unwrap();
    let body = [&[0, 2, b'o', b'k', 0, 0, 0, 9, 0, 3][..], b"\xffpw"].concat();
    let malformed = walker.feed(&body, &mut Calls::default()).unwrap_err();
    assert_eq!(malformed.to_string(), "Heartbeat request v0, MemberId at byte 8: expected UTF-8");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic_and_cuts_do_not_matter(
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(2), any::<u8>()], 1..300),
        cut in 1usize..40,
    ) {
        let all: Vec<_> = every_version().collect();
        let (message, version) = all[at.index(all.len())];
        let whole = walk(message, version, bytes.len(), std::iter::once(&bytes[..]));
        let pieces = walk(message, version, bytes.len(), bytes.chunks(cut));
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn a_flipped_byte_never_panics(seed in any::<u64>(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let all: Vec<_> = every_version().collect();
        let (message, version) = all[at.index(all.len())];
        let mut body = samples::body(message, version, seed);
        if !body.is_empty() {
            let place = at.index(body.len());
            body[place] = to;
        }
        let whole = walk(message, version, body.len(), std::iter::once(&body[..]));
        prop_assert_eq!(whole, walk(message, version, body.len(), body.chunks(3)));
    }
}
