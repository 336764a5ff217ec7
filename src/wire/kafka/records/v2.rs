//! Records of magic 2: offsets and times are told as differences from the batch's own.

use super::{About, Headers, Record, RecordsError, TimestampType, codec_of, malformed};
use crate::wire::kafka::batch::{HEADER_V2, HeaderV2};
use crate::wire::kafka::compression::{Codec, inflate};
use crate::wire::kafka::fields::{Fields, Stop};

/// Where that begins which the checksum covers.
const CHECKSUM_FROM: usize = 21;

/// The bit of the attributes that says whose clock stamped the records.
const LOG_APPEND_TIME: i16 = 0x08;

/// What is left of a batch.
#[derive(Debug)]
pub(super) struct Source<'a> {
    rest: &'a [u8],
    base_offset: i64,
    base_timestamp: i64,
    /// The broker's time for all records.
    append_time: Option<i64>,
    stated: i32,
}

pub(super) fn open<'a>(
    bytes: &'a [u8],
    base_offset: i64,
    header: HeaderV2,
    cap: usize,
    inflated: &'a mut Vec<u8>,
) -> Result<(About, Source<'a>), RecordsError> {
    let codec = codec_of(header.compression())?;
    let log_append = header.attributes & LOG_APPEND_TIME != 0;
    let about = About {
        magic: 2,
        codec,
        timestamp_type: if log_append { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
        control: header.is_control(),
        transactional: header.is_transactional(),
        producer_id: Some(header.producer_id).filter(|id| *id >= 0),
        checksum_holds: crc32c::crc32c(&bytes[CHECKSUM_FROM..]) == header.crc,
        bytes: bytes.len(),
    };
    let mut rest = &bytes[HEADER_V2..];
    if codec != Codec::None && header.records > 0 {
        inflate(codec, 2, rest, cap, inflated)?;
        rest = inflated;
    }
    let source = Source {
        rest,
        base_offset,
        base_timestamp: header.base_timestamp,
        append_time: log_append.then_some(header.max_timestamp),
        stated: header.records,
    };
    Ok((about, source))
}

impl<'a> Source<'a> {
    /// The record that is the `number`th, from 1.
    pub(super) fn next(&mut self, number: u32) -> Result<Option<Record<'a>>, RecordsError> {
        let due = i64::from(number) <= i64::from(self.stated);
        match (due, self.rest.is_empty()) {
            (false, true) => return Ok(None),
            (true, false) => {}
            (true, true) => return Err(RecordsError::Miscounted { stated: self.stated, found: number - 1 }),
            (false, false) => return Err(RecordsError::Miscounted { stated: self.stated, found: number }),
        }
        let mut fields = Fields::whole(self.rest);
        let record = fields.varint_bytes().map_err(malformed(number))?.unwrap_or_default();
        self.rest = &self.rest[fields.position()..];
        self.record(record).map(Some).map_err(malformed(number))
    }

    fn record(&self, bytes: &'a [u8]) -> Result<Record<'a>, Stop> {
        let mut fields = Fields::whole(bytes);
        let _attributes = fields.int8()?;
        let timestamp = self.base_timestamp.wrapping_add(fields.varlong()?);
        let offset = self.base_offset.wrapping_add(fields.varlong()?);
        let (key, value) = (fields.varint_bytes()?, fields.varint_bytes()?);
        let count = u32::try_from(fields.varlong()?).map_err(|_| Stop::BadLength)?;
        let headers = Headers { bytes: &bytes[fields.position()..], left: count };
        for _ in 0..count {
            fields.varint_bytes()?.ok_or(Stop::BadLength)?;
            fields.varint_bytes()?;
        }
        if fields.position() != bytes.len() {
            return Err(Stop::BadLength);
        }
        let timestamp_ms = Some(self.append_time.unwrap_or(timestamp)).filter(|ms| *ms >= 0);
        Ok(Record { offset, timestamp_ms, key, value, headers })
    }
}
