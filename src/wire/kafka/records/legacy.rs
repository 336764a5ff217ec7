//! Messages of magic 0 and 1: each stands alone, or is a compressed wrapper around others.

use super::{About, Headers, Record, RecordsError, TimestampType, codec_of, entries, malformed};
use crate::wire::kafka::batch::UP_TO_MAGIC;
use crate::wire::kafka::compression::{Codec, inflate};
use crate::wire::kafka::fields::{Fields, Stop};

/// Where that begins which the checksum covers: the magic.
const CHECKSUM_FROM: usize = 16;

/// Bits of the attributes that name the codec.
const CODEC: i8 = 0x07;

/// The bit of the attributes that says whose clock stamped the message (magic 1).
const LOG_APPEND_TIME: i8 = 0x08;

/// What is left of a message or of what a wrapper holds.
#[derive(Debug)]
pub(super) struct Source<'a> {
    rest: &'a [u8],
    magic: u8,
    /// What is added to the offsets of the messages.
    base_offset: i64,
    /// The broker's time, where the wrapper tells it for all.
    append_time: Option<i64>,
}

/// The fields of a message behind its magic.
struct Message<'a> {
    attributes: i8,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

pub(super) fn open<'a>(
    bytes: &'a [u8],
    magic: u8,
    offset: i64,
    cap: usize,
    inflated: &'a mut Vec<u8>,
) -> Result<(About, Source<'a>), RecordsError> {
    let message = message(bytes, magic).map_err(malformed(1))?;
    let codec = codec_of((message.attributes & CODEC) as u8)?;
    let log_append = magic > 0 && message.attributes & LOG_APPEND_TIME != 0;
    let mut checksum = flate2::Crc::new();
    checksum.update(&bytes[CHECKSUM_FROM..]);
    let about = About {
        magic,
        codec,
        timestamp_type: if log_append { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
        control: false,
        transactional: false,
        producer_id: None,
        checksum_holds: bytes[UP_TO_MAGIC - 5..].starts_with(&checksum.sum().to_be_bytes()),
        bytes: bytes.len(),
    };
    let append_time = log_append.then_some(message.timestamp);
    if codec == Codec::None {
        return Ok((about, Source { rest: bytes, magic, base_offset: 0, append_time }));
    }
    inflate(codec, magic, message.value.unwrap_or_default(), cap, inflated)?;
    let base_offset = if magic == 0 { 0 } else { base_of(inflated, offset) };
    Ok((about, Source { rest: inflated, magic, base_offset, append_time }))
}

/// From magic 1 on a wrapper has the offset of its last message, and those within count from 0 (KIP-32). The wrapper's
/// offset is 0 in what some producers send.
fn base_of(inner: &[u8], wrapper: i64) -> i64 {
    let last = entries(inner).filter(|entry| entry.whole).last();
    let last = last.and_then(|entry| Fields::whole(entry.bytes).int64().ok()).unwrap_or(0);
    if wrapper == 0 { 0 } else { wrapper.wrapping_sub(last) }
}

fn message(bytes: &[u8], magic: u8) -> Result<Message<'_>, Stop> {
    let mut fields = Fields::whole(bytes);
    fields.take(UP_TO_MAGIC)?;
    let attributes = fields.int8()?;
    let timestamp = if magic == 0 { -1 } else { fields.int64()? };
    let message = Message { attributes, timestamp, key: fields.nullable_bytes()?, value: fields.nullable_bytes()? };
    if fields.position() == bytes.len() { Ok(message) } else { Err(Stop::BadLength) }
}

impl<'a> Source<'a> {
    /// The record that is the `number`th, from 1.
    pub(super) fn next(&mut self, number: u32) -> Result<Option<Record<'a>>, RecordsError> {
        let Some(entry) = entries(self.rest).next() else { return Ok(None) };
        if !entry.whole {
            return Err(RecordsError::Malformed { number });
        }
        self.rest = &self.rest[entry.bytes.len()..];
        if entry.bytes[UP_TO_MAGIC - 1] != self.magic {
            return Err(RecordsError::Nested);
        }
        let message = message(entry.bytes, self.magic).map_err(malformed(number))?;
        if message.attributes & CODEC != 0 {
            return Err(RecordsError::Nested);
        }
        let offset = Fields::whole(entry.bytes).int64().map_err(malformed(number))?;
        Ok(Some(Record {
            offset: self.base_offset.wrapping_add(offset),
            timestamp_ms: Some(self.append_time.unwrap_or(message.timestamp)).filter(|ms| *ms >= 0),
            key: message.key,
            value: message.value,
            headers: Headers::default(),
        }))
    }
}
