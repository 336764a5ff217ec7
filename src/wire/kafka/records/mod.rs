//! The records of batches: offsets, times, keys, values and headers, of every format that Kafka ever had.
//!
//! Invariants:
//! - No count and no length is believed beyond the bytes that are there, and nothing is allocated by one.
//! - Records borrow from the batch, or from what it inflates to; at most the caller's cap inflates.
//! - Compressed messages within compressed ones are refused, as Kafka refuses them: nothing nests deeper than one level.
//!
//! Source: "Record Batch" and "Old Message Format" in Kafka's message format documentation; KIP-32 for the offsets and
//! times of old messages, KIP-98 for control records.

pub mod body;
pub mod emptied;
mod legacy;
pub mod locate;
pub mod rewrite;
mod v2;

#[cfg(test)]
mod tests;

use super::batch::{self, Format, UP_TO_MAGIC};
use super::compression::{Codec, InflateError};
use super::fields::{Fields, Stop};

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset; in a Produce request the client's own count.
    pub offset: i64,
    /// Its timestamp, ms since the Unix epoch; none in magic 0 and where the producer set none.
    pub timestamp_ms: Option<i64>,
    /// The key; none for null.
    pub key: Option<&'a [u8]>,
    /// The value; none for null, which compaction reads as "delete".
    pub value: Option<&'a [u8]>,
    /// The headers, in order; names may repeat.
    pub headers: Headers<'a>,
}

impl Record<'_> {
    /// What a record of a control batch says; none where its key is no control key.
    pub fn control(&self) -> Option<Control> {
        let mut key = Fields::whole(self.key?);
        key.int16().ok()?;
        Some(match key.int16().ok()? {
            0 => Control::Abort,
            1 => Control::Commit,
            other => Control::Other(other),
        })
    }
}

/// What a control record marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The transaction was aborted.
    Abort,
    /// The transaction was committed.
    Commit,
    /// Something of the cluster's own, by Kafka's number (`ControlRecordType`).
    Other(i16),
}

/// The headers of a record: name and value, which may be null. They were found to be whole when the record was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    left: u32,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut fields = Fields::whole(self.bytes);
        let name = fields.varint_bytes().ok()??;
        let value = fields.varint_bytes().ok()?;
        self.bytes = &self.bytes[fields.position()..];
        Some((name, value))
    }
}

/// Whose clock stamped the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's, when it made the record.
    CreateTime,
    /// The broker's, when it appended the batch.
    LogAppendTime,
}

/// What a batch says of all its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// 0, 1 or 2.
    pub magic: u8,
    /// How its records are compressed.
    pub codec: Codec,
    /// Whose clock stamped them.
    pub timestamp_type: TimestampType,
    /// They are markers of the transaction coordinator or the controller.
    pub control: bool,
    /// They belong to a transaction.
    pub transactional: bool,
    /// The producer's id; none where it has none.
    pub producer_id: Option<i64>,
    /// Whether the batch's checksum is that of its bytes.
    pub checksum_holds: bool,
    /// Bytes of the whole batch as it lies on the wire.
    pub bytes: usize,
}

/// Why a batch, or what is left of it, cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// It is cut off, or its length is too small for its header.
    #[error("the batch is not whole")]
    NotWhole,
    /// Its format is none that Kafka ever had.
    #[error("the batch is of magic {0}, which Kafka never had")]
    UnknownMagic(u8),
    /// Its attributes name no codec.
    #[error("the batch is compressed with codec {0}, which Kafka does not have")]
    UnknownCodec(u8),
    /// Its records cannot be inflated.
    #[error("{0}")]
    Inflate(#[from] InflateError),
    /// A record is not what its format says.
    #[error("record {number} of the batch leaves its layout")]
    Malformed {
        /// Which, from 1.
        number: u32,
    },
    /// The header counts other records than are there.
    #[error("the batch's header counts {stated} records, {found} are there")]
    Miscounted {
        /// By the header.
        stated: i32,
        /// Really there, or one more than stated.
        found: u32,
    },
    /// A compressed message holds a message that Kafka does not allow there.
    #[error("the message holds one that is compressed again or of another magic")]
    Nested,
}

/// A batch that has been opened.
#[derive(Debug)]
pub struct Opened<'a> {
    /// What it says of all its records.
    pub about: About,
    /// The records; after an error there are no more.
    pub records: Records<'a>,
}

/// The records of a batch, one after the other.
#[derive(Debug)]
pub struct Records<'a> {
    source: Source<'a>,
    /// How many were given.
    given: u32,
    ended: bool,
}

#[derive(Debug)]
enum Source<'a> {
    V2(v2::Source<'a>),
    Legacy(legacy::Source<'a>),
}

/// Opens the batch that `bytes` are; before magic 2 that is one message, which may hold others. `inflated` takes what it
/// inflates to, at most `cap` bytes.
pub fn open<'a>(bytes: &'a [u8], cap: usize, inflated: &'a mut Vec<u8>) -> Result<Opened<'a>, RecordsError> {
    let magic = *bytes.get(UP_TO_MAGIC - 1).ok_or(RecordsError::NotWhole)?;
    let header_len = batch::header_len(magic).ok_or(RecordsError::UnknownMagic(magic))?;
    if bytes.len() < header_len {
        return Err(RecordsError::NotWhole);
    }
    let batch = batch::read(bytes, 0, bytes.len() as u64).ok_or(RecordsError::NotWhole)?;
    if !batch.complete || batch.span.len() != bytes.len() as u64 {
        return Err(RecordsError::NotWhole);
    }
    let (about, source) = match batch.format {
        Format::V2(header) => {
            let (about, source) = v2::open(bytes, batch.base_offset, header, cap, inflated)?;
            (about, Source::V2(source))
        }
        Format::Legacy { .. } => {
            let (about, source) = legacy::open(bytes, magic, batch.base_offset, cap, inflated)?;
            (about, Source::Legacy(source))
        }
    };
    Ok(Opened { about, records: Records { source, given: 0, ended: false } })
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let number = self.given.saturating_add(1);
        let next = match &mut self.source {
            Source::V2(source) => source.next(number).map(|placed| placed.map(|placed| placed.record)),
            Source::Legacy(source) => source.next(number),
        };
        self.given = number;
        self.ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

fn codec_of(number: u8) -> Result<Codec, RecordsError> {
    Codec::from_number(number).ok_or(RecordsError::UnknownCodec(number))
}

/// What a reader of fields that are all there says of the record at `number`.
fn malformed(number: u32) -> impl Fn(Stop) -> RecordsError {
    move |_| RecordsError::Malformed { number }
}

/// A part of a records field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Place of its first byte in the field.
    pub at: usize,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Whether it is a whole batch; the last of a Fetch response may be cut off.
    pub whole: bool,
}

/// Splits a records field into its batches. What is no batch comes as the last entry, not whole, with all that is left.
pub fn entries(field: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = field.get(at..).filter(|rest| !rest.is_empty())?;
        // The length counts what stands behind it.
        let stated = rest.get(8..12).and_then(|length| length.try_into().ok()).map(i32::from_be_bytes);
        let length = stated.and_then(|length| usize::try_from(length).ok()?.checked_add(12));
        let whole = length.filter(|length| (UP_TO_MAGIC..=rest.len()).contains(length));
        let entry = Entry { at, bytes: &rest[..whole.unwrap_or(rest.len())], whole: whole.is_some() };
        at += entry.bytes.len();
        Some(entry)
    })
}
