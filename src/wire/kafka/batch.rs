//! Headers of record batches, as they lie on the wire inside Produce requests and Fetch responses.
//!
//! Only headers are read; records stay where they are. Offsets and sizes are Kafka's own: see "Record Batch" and "Old
//! Message Format" in Kafka's message format documentation.

use super::walk::Span;

/// Bytes up to and including the magic byte, which all formats have at the same place.
pub(super) const UP_TO_MAGIC: usize = 17;

/// Bytes of a magic 2 header, from the base offset to the record count.
pub(super) const HEADER_V2: usize = 61;

/// Bytes in front of what a batch's length counts: base offset and the length itself.
const BEFORE_LENGTH_COUNTS: u64 = 12;

/// A record batch, or an entry of a message set in the formats before batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Where it lies in the body, cut off at the end of its records field.
    pub span: Span,
    /// Whether all of it is there; the last batch of a Fetch response may be cut off.
    pub complete: bool,
    /// Offset of the first record; in a Produce request the client's own count. Before magic 2 the offset of the last
    /// record of a compressed entry.
    pub base_offset: i64,
    /// What follows, by format.
    pub format: Format,
}

/// The format of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Magic 0 and 1: a message, or a compressed wrapper around several.
    Legacy {
        /// 0 or 1.
        magic: i8,
    },
    /// Magic 2.
    V2(HeaderV2),
}

/// What a magic 2 header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderV2 {
    /// Leader epoch under which it was appended.
    pub leader_epoch: i32,
    /// CRC-32C of everything from `attributes` on.
    pub crc: u32,
    /// Compression (bits 0-2), timestamp type (3), transactional (4), control (5), delete horizon (6).
    pub attributes: i16,
    /// Offset of the last record less the base offset; counts records that compaction removed.
    pub last_offset_delta: i32,
    /// Timestamp of the first record, ms since the Unix epoch.
    pub base_timestamp: i64,
    /// Greatest timestamp, ms since the Unix epoch.
    pub max_timestamp: i64,
    /// Producer id, -1 for none.
    pub producer_id: i64,
    /// Producer epoch, -1 for none.
    pub producer_epoch: i16,
    /// Sequence number of the first record, -1 for none.
    pub base_sequence: i32,
    /// Number of records that are there.
    pub records: i32,
}

impl HeaderV2 {
    /// Whether it holds a marker of the transaction coordinator instead of records.
    pub fn is_control(&self) -> bool {
        self.attributes & 0x20 != 0
    }

    /// Whether its records belong to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & 0x10 != 0
    }

    /// The compression codec's number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    pub fn compression(&self) -> u8 {
        (self.attributes & 0x07) as u8
    }
}

/// How many bytes a header of this magic has that must be together to be read; none for a magic that Kafka never had.
pub(super) fn header_len(magic: u8) -> Option<usize> {
    match magic {
        0 | 1 => Some(UP_TO_MAGIC),
        2 => Some(HEADER_V2),
        _ => None,
    }
}

/// Reads the header at the start of `bytes`, which hold at least `header_len` of them. `at` is its place in the body,
/// `left` what the records field still holds from there. None when its length is too small for its own header.
pub(super) fn read(bytes: &[u8], at: u64, left: u64) -> Option<Batch> {
    let length = u64::try_from(i32::from_be_bytes(field(bytes, 8))).ok()?;
    let (format, length_min) = match bytes[16] {
        // CRC, magic, attributes, in magic 1 a timestamp, and the lengths of key and value
        0 => (Format::Legacy { magic: 0 }, 14),
        1 => (Format::Legacy { magic: 1 }, 22),
        _ => (Format::V2(header_v2(bytes)), HEADER_V2 as u64 - BEFORE_LENGTH_COUNTS),
    };
    let size = length + BEFORE_LENGTH_COUNTS;
    (length >= length_min).then(|| Batch {
        span: Span { start: at, end: at + size.min(left) },
        complete: size <= left,
        base_offset: i64::from_be_bytes(field(bytes, 0)),
        format,
    })
}

fn header_v2(bytes: &[u8]) -> HeaderV2 {
    HeaderV2 {
        leader_epoch: i32::from_be_bytes(field(bytes, 12)),
        crc: u32::from_be_bytes(field(bytes, 17)),
        attributes: i16::from_be_bytes(field(bytes, 21)),
        last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
        base_timestamp: i64::from_be_bytes(field(bytes, 27)),
        max_timestamp: i64::from_be_bytes(field(bytes, 35)),
        producer_id: i64::from_be_bytes(field(bytes, 43)),
        producer_epoch: i16::from_be_bytes(field(bytes, 51)),
        base_sequence: i32::from_be_bytes(field(bytes, 53)),
        records: i32::from_be_bytes(field(bytes, 57)),
    }
}

/// `N` bytes at `at`; the caller knows that they are there.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}
