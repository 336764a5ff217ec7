//! Records of magic 2: offsets and times are told as differences from the batch's own.

use std::ops::Range;

use super::{About, Headers, Record, RecordsError, TimestampType, codec_of, malformed};
use crate::wire::kafka::batch::{HEADER_V2, HeaderV2};
use crate::wire::kafka::compression::{Codec, inflate};
use crate::wire::kafka::fields::{Fields, Stop};

/// Where that begins which the checksum covers.
pub(super) const CHECKSUM_FROM: usize = 21;

/// The bit of the attributes that says whose clock stamped the records.
const LOG_APPEND_TIME: i16 = 0x08;

/// The records of a batch, and how far they are read.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// All of them, inflated.
    plain: &'a [u8],
    at: usize,
    base_offset: i64,
    base_timestamp: i64,
    /// The broker's time for all records.
    append_time: Option<i64>,
    stated: i32,
}

/// A record, and where it lies among the plain records of its batch.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    /// What it holds.
    pub record: Record<'a>,
    /// All of it, its length included.
    pub span: Range<usize>,
    /// Its attributes, and its time and offset as differences.
    pub head: &'a [u8],
    /// Where the bytes of its key begin, behind their length.
    pub key_at: usize,
    /// Where the bytes of its value begin.
    pub value_at: usize,
    /// Where its headers begin, behind their count.
    pub headers_at: usize,
}

pub(super) fn open<'a>(
    bytes: &'a [u8],
    base_offset: i64,
    header: HeaderV2,
    cap: usize,
    inflated: &'a mut Vec<u8>,
) -> Result<(About, Source<'a>), RecordsError> {
    let (codec, source) = records(bytes, base_offset, header, cap, inflated)?;
    let about = About {
        magic: 2,
        codec,
        timestamp_type: match source.append_time {
            Some(_) => TimestampType::LogAppendTime,
            None => TimestampType::CreateTime,
        },
        control: header.is_control(),
        transactional: header.is_transactional(),
        producer_id: Some(header.producer_id).filter(|id| *id >= 0),
        checksum_holds: crc32c::crc32c(&bytes[CHECKSUM_FROM..]) == header.crc,
        bytes: bytes.len(),
    };
    Ok((about, source))
}

/// The records of a batch, and the codec they lie in.
pub(super) fn records<'a>(
    bytes: &'a [u8],
    base_offset: i64,
    header: HeaderV2,
    cap: usize,
    inflated: &'a mut Vec<u8>,
) -> Result<(Codec, Source<'a>), RecordsError> {
    let codec = codec_of(header.compression())?;
    let mut plain = &bytes[HEADER_V2..];
    if codec != Codec::None && header.records > 0 {
        inflate(codec, 2, plain, cap, inflated)?;
        plain = inflated;
    }
    let source = Source {
        plain,
        at: 0,
        base_offset,
        base_timestamp: header.base_timestamp,
        append_time: (header.attributes & LOG_APPEND_TIME != 0).then_some(header.max_timestamp),
        stated: header.records,
    };
    Ok((codec, source))
}

impl<'a> Source<'a> {
    /// All records, inflated.
    pub(super) fn plain(&self) -> &'a [u8] {
        self.plain
    }

    /// The record that is the `number`th, from 1.
    pub(super) fn next(&mut self, number: u32) -> Result<Option<Placed<'a>>, RecordsError> {
        let due = i64::from(number) <= i64::from(self.stated);
        let rest = &self.plain[self.at..];
        match (due, rest.is_empty()) {
            (false, true) => return Ok(None),
            (true, false) => {}
            (true, true) => return Err(RecordsError::Miscounted { stated: self.stated, found: number - 1 }),
            (false, false) => return Err(RecordsError::Miscounted { stated: self.stated, found: number }),
        }
        let mut fields = Fields::whole(rest);
        let record = fields.varint_bytes().map_err(malformed(number))?.unwrap_or_default();
        let end = self.at + fields.position();
        let span = std::mem::replace(&mut self.at, end)..end;
        self.record(record, span).map(Some).map_err(malformed(number))
    }

    /// Reads the record that `bytes`, the last of `span`, are.
    fn record(&self, bytes: &'a [u8], span: Range<usize>) -> Result<Placed<'a>, Stop> {
        let from = span.end - bytes.len();
        let mut fields = Fields::whole(bytes);
        let _attributes = fields.int8()?;
        let timestamp = self.base_timestamp.wrapping_add(fields.varlong()?);
        let offset = self.base_offset.wrapping_add(fields.varlong()?);
        let head = &bytes[..fields.position()];
        let key = fields.varint_bytes()?;
        let key_at = from + fields.position() - key.map_or(0, <[u8]>::len);
        let value = fields.varint_bytes()?;
        let value_at = from + fields.position() - value.map_or(0, <[u8]>::len);
        let count = u32::try_from(fields.varlong()?).map_err(|_| Stop::BadLength)?;
        let headers_at = from + fields.position();
        let headers = Headers { bytes: &bytes[fields.position()..], left: count };
        for _ in 0..count {
            fields.varint_bytes()?.ok_or(Stop::BadLength)?;
            fields.varint_bytes()?;
        }
        if fields.position() != bytes.len() {
            return Err(Stop::BadLength);
        }
        let timestamp_ms = Some(self.append_time.unwrap_or(timestamp)).filter(|ms| *ms >= 0);
        let record = Record { offset, timestamp_ms, key, value, headers };
        Ok(Placed { record, span, head, key_at, value_at, headers_at })
    }
}
