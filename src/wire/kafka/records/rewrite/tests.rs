//! Batches of every codec under any edits, held against Kafka's own codec and our reader; damaged and hostile ones.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use kafka_protocol::records::RecordBatchDecoder;
use proptest::prelude::*;

use super::super::tests::{CAP, CODECS, Own, numbered, own, plain_batch, read, seal, some_bytes, under};
use super::*;
use crate::wire::kafka::compression::inflate;
use crate::wire::kafka::samples::{legacy, xerial};

const BOUNDS: Bounds = Bounds { inflated: CAP, batch: CAP, may_drop: true };

/// What happens to one record.
#[derive(Debug, Clone)]
enum Edit {
    Keep,
    Drop,
    Key(Option<Vec<u8>>),
    Value(Option<Vec<u8>>),
    Header(usize, Option<Vec<u8>>),
    NoHeader(usize),
    /// Every byte of key, value and headers becomes a star: the same length.
    Stars,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => Just(Edit::Keep),
        1 => Just(Edit::Drop),
        1 => some_bytes().prop_map(Edit::Key),
        2 => some_bytes().prop_map(Edit::Value),
        1 => (0usize..4, some_bytes()).prop_map(|(at, value)| Edit::Header(at, value)),
        1 => (0usize..4).prop_map(Edit::NoHeader),
        2 => Just(Edit::Stars),
    ]
}

fn stars(of: Option<&[u8]>) -> Option<Vec<u8>> {
    of.map(|bytes| vec![b'*'; bytes.len()])
}

/// What the record should be afterwards.
fn edited(mut own: Own, edit: &Edit) -> Option<Own> {
    match edit {
        Edit::Keep => {}
        Edit::Drop => return None,
        Edit::Key(key) => own.key.clone_from(key),
        Edit::Value(value) => own.value.clone_from(value),
        Edit::Header(at, value) => {
            if let Some((_, was)) = own.headers.get_mut(*at) {
                was.clone_from(value);
            }
        }
        Edit::NoHeader(at) if *at < own.headers.len() => drop(own.headers.remove(*at)),
        Edit::NoHeader(_) => {}
        Edit::Stars => {
            (own.key, own.value) = (stars(own.key.as_deref()), stars(own.value.as_deref()));
            own.headers.iter_mut().for_each(|(_, value)| *value = stars(value.as_deref()));
        }
    }
    Some(own)
}

fn decide(edit: &Edit, record: &Record<'_>, with: &mut Replacement) -> Verdict {
    match edit {
        Edit::Keep => return Verdict::Keep,
        Edit::Drop => return Verdict::Drop,
        Edit::Key(key) => with.set_key(key.as_deref()),
        Edit::Value(value) => with.set_value(value.as_deref()),
        Edit::Header(at, value) => with.set_header(*at, value.as_deref()),
        Edit::NoHeader(at) => with.remove_header(*at),
        Edit::Stars => {
            with.set_key(stars(record.key).as_deref());
            with.set_value(stars(record.value).as_deref());
            for (index, (_, value)) in record.headers.enumerate() {
                with.set_header(index, stars(value).as_deref());
            }
        }
    }
    Verdict::Replace
}

/// Rewrites, and gives the batch that results.
fn rewritten(rewriter: &mut Rewriter, batch: &[u8], edits: &[Edit]) -> Result<(Outcome, Vec<u8>), Refusal> {
    let mut left = edits.iter();
    let outcome = rewriter.rewrite(batch, &BOUNDS, &mut |record, with| {
        left.next().map_or(Verdict::Keep, |edit| decide(edit, record, with))
    })?;
    let mut result = batch.to_vec();
    match outcome {
        Outcome::Untouched => {}
        Outcome::Patched => rewriter.patch(&mut result),
        Outcome::Replaced => result = rewriter.replacement().to_vec(),
    }
    Ok((outcome, result))
}

/// The batch with its records not compressed, for Kafka's codec, which is built without any compression.
fn plain(batch: &[u8]) -> Vec<u8> {
    let codec = Codec::from_number(batch[22] & 7).unwrap();
    let mut inflated = Vec::new();
    inflate(codec, 2, &batch[HEADER_V2..], CAP, &mut inflated).unwrap();
    let mut plain = [&batch[..HEADER_V2], &inflated].concat();
    plain[22] &= !7;
    seal(plain)
}

fn by_kafkas_codec(batch: &[u8]) -> Vec<Own> {
    let decoded = RecordBatchDecoder::decode(&mut Bytes::from(plain(batch))).unwrap().records;
    let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.to_vec());
    let own = |record: &kafka_protocol::records::Record| Own {
        offset: record.offset,
        timestamp_ms: Some(record.timestamp),
        key: bytes(&record.key),
        value: bytes(&record.value),
        headers: record.headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), bytes(value))).collect(),
    };
    decoded.iter().map(own).collect()
}

/// Everything that a rewritten batch must have kept.
fn same_header(before: &[u8], after: &[u8]) {
    assert_eq!(before[..8], after[..8], "base offset");
    assert_eq!(before[12..17], after[12..17], "leader epoch and magic");
    assert_eq!(before[23..57], after[23..57], "last offset delta, timestamps, producer");
    let codec = if after[57..61] == [0; 4] { before[22] & !7 } else { before[22] };
    assert_eq!((before[21], codec), (after[21], after[22]), "attributes");
}

fn forms(plain: &[u8]) -> Vec<Vec<u8>> {
    let mut forms: Vec<Vec<u8>> = (0u8..).zip(CODECS).map(|(number, codec)| under(codec, number, plain)).collect();
    let mut framed = [&plain[..HEADER_V2], &xerial(&plain[HEADER_V2..], 700)].concat();
    framed[22] |= 2;
    forms.push(seal(framed));
    forms
}

proptest! {
    #[test]
    fn what_comes_out_is_exactly_the_edited_records(
        records in prop::collection::vec((own(), edit()), 1..12),
        first in 0i64..1_000_000,
    ) {
        let (records, edits): (Vec<Own>, Vec<Edit>) = records.into_iter().unzip();
        let records = numbered(records, first);
        let expected: Vec<Own> = records.iter().zip(&edits).filter_map(|(own, edit)| edited(own.clone(), edit)).collect();
        let mut rewriter = Rewriter::default();
        for batch in forms(&plain_batch(&records)) {
            let (outcome, result) = rewritten(&mut rewriter, &batch, &edits).unwrap();
            let (about, found) = read(&result).unwrap();
            prop_assert_eq!(&found, &expected);
            prop_assert!(about.checksum_holds);
            prop_assert_eq!(&by_kafkas_codec(&result), &expected);
            same_header(&batch, &result);
            prop_assert_eq!(outcome == Outcome::Untouched, result == batch);
            if edits.iter().all(|edit| matches!(edit, Edit::Keep)) {
                prop_assert_eq!(outcome, Outcome::Untouched);
            }
            if outcome == Outcome::Replaced && batch[22] & 7 == 2 && !expected.is_empty() {
                let framed = |batch: &[u8]| batch[HEADER_V2..].starts_with(b"\x82SNAPPY\0");
                prop_assert_eq!(framed(&batch), framed(&result), "snappy stays in its frame, or bare");
            }
        }
    }

    #[test]
    fn a_damaged_batch_is_an_error_wherever_the_damage_is(
        records in prop::collection::vec(own(), 1..5),
        at in any::<prop::sample::Index>(),
        flip in 1u8..=255,
    ) {
        for batch in forms(&plain_batch(&numbered(records, 7))) {
            let mut damaged = batch.clone();
            let at = at.index(damaged.len());
            damaged[at] ^= flip;
            let result = rewritten(&mut Rewriter::default(), &damaged, &[Edit::Stars]);
            // Neither the base offset nor the leader epoch, which brokers set, is covered by the checksum.
            prop_assert_eq!(result.is_ok(), at < 8 || (12..16).contains(&at), "byte {}", at);
            let cut = rewritten(&mut Rewriter::default(), &batch[..at], &[Edit::Stars]);
            prop_assert!(cut.is_err(), "cut off at {}", at);
        }
    }

    #[test]
    fn garbage_with_a_right_checksum_is_an_error_or_read_to_its_end(
        mut header in prop::collection::vec(any::<u8>(), 61),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        codec in 0u8..8,
        count in -2i32..5,
    ) {
        header[16] = 2;
        header[21..23].copy_from_slice(&[0, codec]);
        header[57..61].copy_from_slice(&count.to_be_bytes());
        let batch = seal([header, payload].concat());
        let mut rewriter = Rewriter::default();
        if let Ok((_, result)) = rewritten(&mut rewriter, &batch, &[Edit::Stars]) {
            prop_assert!(read(&result).is_ok());
        }
    }
}

fn three() -> Vec<Own> {
    let record = |at: u8| Own {
        offset: i64::from(at),
        timestamp_ms: Some(5),
        key: Some(vec![b'k'; 3]),
        value: Some(vec![at; 300]),
        headers: vec![(b"h".to_vec(), Some(b"secret".to_vec())), (b"i".to_vec(), None)],
    };
    (0..3).map(record).collect()
}

#[test]
fn replacements_of_the_same_length_change_nothing_but_their_bytes_and_the_checksum() {
    let batch = plain_batch(&three());
    let edits = [Edit::Keep, Edit::Value(Some(vec![b'*'; 300])), Edit::Header(0, Some(b"******".to_vec()))];
    let mut rewriter = Rewriter::default();
    let (outcome, result) = rewritten(&mut rewriter, &batch, &edits).unwrap();
    assert_eq!(outcome, Outcome::Patched);
    let differ = batch.iter().zip(&result).skip(HEADER_V2).filter(|(before, after)| before != after).count();
    assert_eq!((result.len(), differ), (batch.len(), 306));
}

#[test]
fn a_batch_whose_records_are_all_left_out_is_one_as_compaction_keeps_them() {
    let plain = plain_batch(&three());
    for batch in forms(&plain) {
        let (_, result) = rewritten(&mut Rewriter::default(), &batch, &[Edit::Drop, Edit::Drop, Edit::Drop]).unwrap();
        assert_eq!(result.len(), HEADER_V2);
        assert_eq!(result[22] & 7, 0, "not compressed");
        assert_eq!(result[23..27], 2i32.to_be_bytes(), "its last offset stays");
        same_header(&batch, &result);
        let again = rewritten(&mut Rewriter::default(), &result, &[]).unwrap();
        assert_eq!(again, (Outcome::Untouched, result));
    }
}

#[test]
fn control_batches_are_never_touched() {
    let mut batch = plain_batch(&three());
    batch[22] |= 0x30;
    let batch = seal(batch);
    let refuse = &mut |_: &Record<'_>, _: &mut Replacement| Verdict::Refuse;
    assert_eq!(Rewriter::default().rewrite(&batch, &BOUNDS, refuse), Ok(Outcome::Untouched));
}

#[test]
fn what_may_not_pass_is_told_apart() {
    let batch = plain_batch(&three());
    let mut rewriter = Rewriter::default();
    let mut told = |batch: &[u8], bounds: Bounds, edit: Edit| {
        rewriter.rewrite(batch, &bounds, &mut |record, with| match record.offset {
            2 => decide(&edit, record, with),
            _ => Verdict::Keep,
        })
    };
    for magic in [0, 1] {
        assert_eq!(told(&legacy(0, magic, 9), BOUNDS, Edit::Keep), Err(Refusal::OldFormat(magic)));
    }
    let produced = Bounds { may_drop: false, ..BOUNDS };
    assert_eq!(told(&batch, produced, Edit::Drop), Err(Refusal::ByRule { number: 3 }));
    let large = Edit::Value(Some(vec![0; 5000]));
    let tight = Bounds { batch: 3000, ..BOUNDS };
    assert!(matches!(told(&batch, tight, large.clone()), Err(Refusal::Grown { max: 3000, .. })));
    let anew = Bounds { inflated: 3000, ..BOUNDS };
    assert!(matches!(told(&under(Codec::Gzip, 1, &batch), anew, large.clone()), Err(Refusal::Grown { max: 3000, .. })));
    assert_eq!(told(&batch, BOUNDS, large), Ok(Outcome::Replaced));
    let zeros = under(Codec::Zstd, 4, &batch);
    let narrow = Bounds { inflated: 500, ..BOUNDS };
    assert!(matches!(told(&zeros, narrow, Edit::Keep), Err(Refusal::Unreadable(RecordsError::Inflate(_)))));
    // A batch that is larger than may be made of others may stay so.
    let small = Bounds { batch: 100, ..BOUNDS };
    assert_eq!(told(&batch, small, Edit::Value(None)), Ok(Outcome::Replaced));
}
