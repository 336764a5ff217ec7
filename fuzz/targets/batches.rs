//! Record batches of every format: split, opened, inflated and read to the last header.

use super::input::Input;
use crate::wire::kafka::compression::Codec;
use crate::wire::kafka::records::{entries, open};
use crate::wire::kafka::samples::{self, deflate};

/// What a batch may inflate to.
const CAP: usize = 256 << 10;

/// A records field.
pub fn run(bytes: &[u8]) {
    let field = Input::new(bytes).rest();
    let mut inflated = Vec::new();
    let mut at = 0;
    for entry in entries(field) {
        assert_eq!(entry.at, at, "entries follow each other");
        at += entry.bytes.len();
        let Ok(opened) = open(entry.bytes, CAP, &mut inflated) else { continue };
        let mut bytes = 0;
        for record in opened.records {
            let Ok(record) = record else { break };
            record.control();
            bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            let headers = record.headers.map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len));
            bytes += headers.sum::<usize>();
        }
        assert!(bytes <= CAP.max(field.len()), "records lie in their batch, or in what it inflated to");
    }
    assert_eq!(at, field.len(), "entries cover the field");
}

/// One record of magic 2: key, value, a header, a null header.
fn record(offset: u8) -> Vec<u8> {
    let mut record = vec![0, 0, offset << 1];
    for part in [&b"key"[..], b"some value that is longer than its key"] {
        record.push((part.len() as u8) << 1);
        record.extend(part);
    }
    record.push(2 << 1);
    record.extend(b"\x02h\x02v\x02n\x01");
    [vec![(record.len() as u8) << 1], record].concat()
}

/// A batch of magic 2 under a codec; length and checksum are right.
fn batch(codec: Codec, number: u8) -> Vec<u8> {
    let records: Vec<u8> = (0..5).flat_map(record).collect();
    let mut batch = samples::batch(100, 5, 0);
    batch.extend(deflate(codec, &records));
    batch[22] |= number;
    let length = batch.len() as i32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&batch[21..]).to_be_bytes();
    batch[17..21].copy_from_slice(&checksum);
    batch
}

/// A message of magic 0 or 1.
fn message(offset: i64, magic: u8, codec: u8, value: &[u8]) -> Vec<u8> {
    let mut behind = vec![magic, codec];
    if magic == 1 {
        behind.extend(1_000i64.to_be_bytes());
    }
    behind.extend((-1i32).to_be_bytes());
    behind.extend((value.len() as i32).to_be_bytes());
    behind.extend(value);
    let mut message = offset.to_be_bytes().to_vec();
    message.extend((behind.len() as i32 + 4).to_be_bytes());
    message.extend([0; 4]);
    [message, behind].concat()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    let mut seeds: Vec<Vec<u8>> = codecs.iter().zip(0..).map(|(codec, number)| batch(*codec, number)).collect();
    let plain: Vec<u8> = (0..2).flat_map(|offset| message(offset, 1, 0, b"a value")).collect();
    for (codec, number) in codecs.into_iter().zip(0..).skip(1).take(3) {
        seeds.push(message(9, 1, number, &deflate(codec, &plain)));
        seeds.push(message(9, 0, number, &deflate(codec, &message(3, 0, 0, b"v"))));
    }
    seeds.push(seeds.concat());
    seeds.push(samples::batch(0, 3, 20));
    seeds
}
