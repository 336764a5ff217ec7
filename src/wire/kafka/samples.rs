//! Bodies for tests: lawful bytes of any message and version, made from the table of layouts and a seed; and what clients
//! write under each codec.

#![allow(clippy::expect_used)]

use std::io::Write;
use std::iter::Cycle;
use std::slice::Iter;

use super::compression::Codec;
use super::edit::varint;
use super::layout::{Direction, Field, Kind, Message, Role};

/// What secrets are made of, repeated; nothing else holds it twice in a row.
pub const SECRET: [u8; 2] = [0xd5, 0x5d];

/// A lawful body; the same seed gives the same one.
pub fn body(message: &Message, version: i16, seed: u64) -> Vec<u8> {
    body_of(message, version, seed, &[])
}

/// The same with these records in its partitions, in turn; without any, with made-up ones.
pub fn body_of(message: &Message, version: i16, seed: u64, given: &[Vec<u8>]) -> Vec<u8> {
    let (flexible, dice) = (message.is_flexible(version), Dice(seed | 1));
    let mut sample = Sample { version, flexible, message, given: given.iter().cycle(), dice, body: Vec::new() };
    sample.structure(&message.fields);
    sample.body
}

/// A magic 2 batch with a payload of so many bytes; its CRC is not right.
pub fn batch(base_offset: i64, records: i32, payload: usize) -> Vec<u8> {
    let mut batch = Vec::new();
    batch.extend(base_offset.to_be_bytes());
    batch.extend((49 + payload as i32).to_be_bytes());
    batch.extend(7i32.to_be_bytes()); // leader epoch
    batch.push(2);
    batch.extend(0xc0de_c0deu32.to_be_bytes());
    batch.extend(0x10i16.to_be_bytes()); // transactional
    batch.extend((records - 1).to_be_bytes());
    batch.extend(1_000i64.to_be_bytes());
    batch.extend(2_000i64.to_be_bytes());
    batch.extend(99i64.to_be_bytes());
    batch.extend(3i16.to_be_bytes());
    batch.extend(41i32.to_be_bytes());
    batch.extend(records.to_be_bytes());
    batch.extend(vec![0xee; payload]);
    batch
}

/// An entry of a message set of magic 0 or 1.
pub fn legacy(offset: i64, magic: u8, payload: usize) -> Vec<u8> {
    let fixed = if magic == 0 { 14 } else { 22 };
    let mut entry = Vec::new();
    entry.extend(offset.to_be_bytes());
    entry.extend((fixed + payload as i32).to_be_bytes());
    entry.extend([0; 4]);
    entry.push(magic);
    entry.extend(vec![0; fixed as usize - 5 + payload]);
    entry
}

/// What a client writes under a codec.
pub fn deflate(codec: Codec, plain: &[u8]) -> Vec<u8> {
    match codec {
        Codec::None => plain.to_vec(),
        Codec::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            writer.write_all(plain).expect("into memory");
            writer.finish().expect("into memory")
        }
        Codec::Snappy => snap::raw::Encoder::new().compress_vec(plain).expect("small"),
        Codec::Lz4 => {
            let mut writer = lz4_flex::frame::FrameEncoder::new(Vec::new());
            writer.write_all(plain).expect("into memory");
            writer.finish().expect("into memory")
        }
        Codec::Zstd => zstd::encode_all(plain, 3).expect("into memory"),
    }
}

/// The frame of snappy-java around blocks.
pub fn xerial(plain: &[u8], block: usize) -> Vec<u8> {
    let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for chunk in plain.chunks(block) {
        let block = deflate(Codec::Snappy, chunk);
        framed.extend((block.len() as u32).to_be_bytes());
        framed.extend(block);
    }
    framed
}

struct Sample<'a> {
    message: &'a Message,
    version: i16,
    flexible: bool,
    given: Cycle<Iter<'a, Vec<u8>>>,
    dice: Dice,
    body: Vec<u8>,
}

impl Sample<'_> {
    fn structure(&mut self, fields: &[Field]) {
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.versions.contains(version)) {
            self.field(field);
        }
        if self.flexible {
            self.tagged(fields);
        }
    }

    fn tagged(&mut self, fields: &[Field]) {
        let mut section = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|field| field.versions.contains(version)) {
            if let Some(tag) = field.tag
                && self.dice.roll(2) == 0
            {
                let around = std::mem::take(&mut self.body);
                self.field(field);
                section.push((tag, std::mem::replace(&mut self.body, around)));
            }
        }
        // Fields that nobody knows yet.
        if self.dice.roll(3) == 0 {
            for at in 0..1 + self.dice.roll(3) as u32 {
                section.push((10_000 + 7 * at, vec![0xaa; self.dice.roll(200)]));
            }
        }
        self.body.extend(varint(section.len() as u32));
        for (tag, value) in section {
            self.body.extend(varint(tag));
            self.body.extend(varint(value.len() as u32));
            self.body.extend(value);
        }
    }

    fn field(&mut self, field: &Field) {
        let nullable = field.nullable.is_some_and(|versions| versions.contains(self.version));
        let null = nullable && self.dice.roll(4) == 0;
        match field.kind {
            _ if field.array && null => self.length(None, 4),
            _ if field.array => {
                let simple = field.kind != Kind::Structure && field.kind != Kind::Records;
                let count = if simple && self.dice.roll(16) == 0 { self.dice.roll(300) } else { self.dice.roll(4) };
                self.length(Some(count), 4);
                (0..count).for_each(|_| self.value(field));
            }
            Kind::Structure if nullable => {
                self.body.push(if null { 0xff } else { 1 });
                if !null {
                    self.value(field);
                }
            }
            Kind::String if null => self.length(None, 2),
            Kind::Bytes | Kind::Records if null => self.length(None, 4),
            _ => self.value(field),
        }
    }

    fn value(&mut self, field: &Field) {
        let small = self.dice.roll(300) as i64;
        let number = match self.dice.roll(8) {
            0 => self.dice.word() as i64,
            1 => -1,
            _ => small,
        };
        match field.kind {
            Kind::Bool => self.body.push(self.dice.roll(2) as u8),
            Kind::Int8 => self.body.push(number as u8),
            Kind::Int16 | Kind::Uint16 => self.body.extend((number as i16).to_be_bytes()),
            Kind::Int32 => self.body.extend((number as i32).to_be_bytes()),
            Kind::Int64 => self.body.extend(number.to_be_bytes()),
            Kind::Float64 => self.body.extend((small as f64).to_be_bytes()),
            Kind::Uuid => self.body.extend([number.to_be_bytes(), small.to_be_bytes()].concat()),
            Kind::String => {
                let text = match self.dice.roll(32) {
                    0 => "weir-".repeat(self.dice.roll(700)),
                    1 => "wëhr·堰 ".repeat(self.dice.roll(20)),
                    2 => String::new(),
                    _ => "weir-".repeat(self.dice.roll(40)),
                };
                self.length(Some(text.len()), 2);
                self.body.extend(text.bytes());
            }
            Kind::Bytes => {
                self.length(Some(small as usize), 4);
                let of = if field.role == Some(Role::Secret) { SECRET } else { [0xbb; 2] };
                self.body.extend(of.iter().cycle().take(small as usize));
            }
            Kind::Records => {
                let records = self.given.next().cloned().unwrap_or_else(|| self.records());
                self.length(Some(records.len()), 4);
                self.body.extend(records);
            }
            Kind::Structure => self.structure(&field.fields),
        }
    }

    /// Some batches, in a response now and then of old formats or cut off.
    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        for at in 0..self.dice.roll(4) {
            let payload = self.dice.roll(200);
            records.extend(match self.dice.roll(6) {
                magic @ 0..=1 => legacy(at as i64, magic as u8, payload),
                _ => batch(at as i64, 5, payload),
            });
        }
        if self.message.direction == Direction::Response && !records.is_empty() {
            records.truncate(records.len() - self.dice.roll(20).min(records.len() - 1));
        }
        records
    }

    fn length(&mut self, length: Option<usize>, width: usize) {
        match (self.flexible, width) {
            (true, _) => self.body.extend(varint(length.map_or(0, |length| length as u32 + 1))),
            (false, 2) => self.body.extend(length.map_or(-1, |length| length as i16).to_be_bytes()),
            (false, _) => self.body.extend(length.map_or(-1, |length| length as i32).to_be_bytes()),
        }
    }
}

/// Xorshift: enough for samples, and the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    /// Any number.
    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        (self.word() >> 33) as usize % sides
    }
}
