//! Rewrites the records of a magic 2 batch: each is kept, replaced or left out, and everything else stays as it is.
//!
//! Invariants:
//! - A batch of which no record changes stays byte for byte, its compression included.
//! - Of a batch that changes, records that do not are copied as they lie. Base offset, last offset delta, producer id,
//!   epoch and sequence, timestamps, transactional and control bits and the offsets of records are never touched; length,
//!   record count and checksum are made right. Left out is a record as compaction leaves one out: a gap, and at last a
//!   batch without records, which readers step over by its last offset.
//! - What cannot be read to its end, or whose checksum does not hold, is an error: never passed, and never sealed anew.
//! - Batches of control records are never touched, and those of magic 0 and 1 are never opened.
//! - Buffers are reused, and wiped of records as they were; where replacements are as long as what they replace, an uncompressed batch is not copied at all.
//!
//! Source: "Record Batch" in Kafka's message format documentation; `MemoryRecords.filterTo` for what compaction leaves.

use std::ops::Range;

use super::v2::{self, CHECKSUM_FROM, Placed};
use super::{Record, RecordsError};
use crate::wire::kafka::batch::{self, Format, HEADER_V2, HeaderV2, UP_TO_MAGIC};
use crate::wire::kafka::compression::{Codec, DeflateError, Deflater, Levels};
use crate::wire::kafka::fields::{Fields, put_varint_bytes, put_varlong};
use crate::wire::wipe;

/// Places in a magic 2 header.
const LENGTH: Range<usize> = 8..12;
const CRC: Range<usize> = 17..21;
const ATTRIBUTES: Range<usize> = 21..23;
const COUNT: Range<usize> = 57..61;

/// Bits of the attributes that name the codec.
const CODEC: i16 = 0x07;

/// Capacity that a buffer keeps from one frame to the next: batches of usual size, several times over.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays as it is.
    Keep,
    /// What was set in the [`Replacement`] takes the place of what was there.
    Replace,
    /// It is left out; only of what is read, since a produced batch's count is its range of offsets.
    Drop,
    /// It may not pass, and so may not its batch.
    Refuse,
}

/// Bounds within which a batch is rewritten.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// What its records may inflate to, and what is made anew of them, bytes.
    pub inflated: usize,
    /// What a batch may grow to, bytes; one that was larger before may stay as large as it was.
    pub batch: usize,
    /// Records may be left out.
    pub may_drop: bool,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing changes.
    Untouched,
    /// Bytes change in place, see [`Rewriter::patch`].
    Patched,
    /// Another batch takes its place, see [`Rewriter::replacement`].
    Replaced,
}

/// Why a batch cannot be passed on rewritten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is of a format whose records are not rewritten.
    #[error("the batch is of magic {0}, whose records cannot be rewritten")]
    OldFormat(u8),
    /// It cannot be read to its end.
    #[error(transparent)]
    Unreadable(#[from] RecordsError),
    /// It was damaged, or never right.
    #[error("the batch's checksum is not that of its bytes")]
    Checksum,
    /// A record of it may not pass.
    #[error("a rule refuses record {number} of the batch")]
    ByRule {
        /// Which, from 1.
        number: u32,
    },
    /// It would be larger than is allowed.
    #[error("the batch would grow from {from} bytes to {to}, at most {max} are allowed")]
    Grown {
        /// Before, bytes.
        from: usize,
        /// After, bytes.
        to: usize,
        /// The bound, bytes.
        max: usize,
    },
    /// It and the rewritten batches before it in its frame would be larger than is allowed.
    #[error("the frame's batches would come to more than {max} bytes")]
    FrameGrown {
        /// The bound, bytes.
        max: usize,
    },
    /// Its records cannot be compressed again.
    #[error(transparent)]
    Deflate(#[from] DeflateError),
}

/// A change of a part of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Kept,
    Null,
    Bytes(Range<usize>),
    /// Of headers only: it is left out.
    Gone,
}

/// What takes the place of parts of a record; what is not set is kept.
#[derive(Debug, Default)]
pub struct Replacement {
    bytes: Vec<u8>,
    key: Part,
    value: Part,
    /// By index, in order: a record may have as many as fit.
    headers: Vec<(usize, Part)>,
}

impl Replacement {
    fn clear(&mut self) {
        self.bytes.clear();
        self.headers.clear();
        (self.key, self.value) = (Part::Kept, Part::Kept);
    }

    fn keep(&mut self, bytes: Option<&[u8]>) -> Part {
        let Some(bytes) = bytes else { return Part::Null };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Part::Bytes(start..self.bytes.len())
    }

    /// The key; none for null.
    pub fn set_key(&mut self, key: Option<&[u8]>) {
        self.key = self.keep(key);
    }

    /// The value; none for null.
    pub fn set_value(&mut self, value: Option<&[u8]>) {
        self.value = self.keep(value);
    }

    /// The value of the header at `index`, from 0; none for null.
    pub fn set_header(&mut self, index: usize, value: Option<&[u8]>) {
        let part = self.keep(value);
        self.set(index, part);
    }

    /// Leaves out the header at `index`, from 0.
    pub fn remove_header(&mut self, index: usize) {
        self.set(index, Part::Gone);
    }

    fn set(&mut self, index: usize, part: Part) {
        match self.headers.binary_search_by_key(&index, |(at, _)| *at) {
            Ok(at) => self.headers[at].1 = part,
            Err(at) => self.headers.insert(at, (index, part)),
        }
    }

    /// What was set last for a header.
    fn header(&self, index: usize) -> &Part {
        let found = self.headers.binary_search_by_key(&index, |(at, _)| *at);
        found.map_or(&Part::Kept, |at| &self.headers[at].1)
    }

    /// A part's bytes: the new ones, or those that were there.
    fn resolve<'a>(&'a self, part: &Part, was: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match part {
            Part::Kept => was,
            Part::Null | Part::Gone => None,
            Part::Bytes(range) => Some(&self.bytes[range.clone()]),
        }
    }
}

/// Bytes among the plain records of a batch, and those of [`Changes::new`] that take their place.
#[derive(Debug, Clone)]
struct Change {
    span: Range<usize>,
    new: Range<usize>,
}

impl Change {
    fn keeps_length(&self) -> bool {
        self.span.len() == self.new.len()
    }
}

/// What changes in one batch, in order.
#[derive(Debug, Default)]
struct Changes {
    all: Vec<Change>,
    new: Vec<u8>,
    dropped: i32,
    /// Headers in the making.
    headers: Vec<u8>,
}

impl Changes {
    fn clear(&mut self) {
        self.all.clear();
        self.new.clear();
        self.dropped = 0;
    }

    fn leave_out(&mut self, span: Range<usize>) {
        let at = self.new.len();
        self.all.push(Change { span, new: at..at });
        self.dropped += 1;
    }

    fn replace(&mut self, at: usize, by: &[u8]) {
        let start = self.new.len();
        self.new.extend_from_slice(by);
        self.all.push(Change { span: at..at + by.len(), new: start..self.new.len() });
    }

    /// Replaces parts of a record in place where each is as long as what it replaces, else writes the record anew.
    fn record(&mut self, placed: &Placed<'_>, with: &Replacement) {
        let (changes, bytes) = (self.all.len(), self.new.len());
        if !self.in_place(placed, with) {
            self.all.truncate(changes);
            self.new.truncate(bytes);
            self.anew(placed, with);
        }
    }

    /// False when a part changes its length.
    fn in_place(&mut self, placed: &Placed<'_>, with: &Replacement) -> bool {
        let record = &placed.record;
        let parts = [(&with.key, record.key, placed.key_at), (&with.value, record.value, placed.value_at)];
        for (part, was, at) in parts {
            if !self.part(part, was, at, with) {
                return false;
            }
        }
        if with.headers.is_empty() {
            return true;
        }
        let mut headers = record.headers;
        let mut at = placed.headers_at;
        for index in 0.. {
            let left = headers.bytes.len();
            let Some((_, was)) = headers.next() else { break };
            at += left - headers.bytes.len();
            if !self.part(with.header(index), was, at - was.map_or(0, <[u8]>::len), with) {
                return false;
            }
        }
        true
    }

    fn part(&mut self, part: &Part, was: Option<&[u8]>, at: usize, with: &Replacement) -> bool {
        match (part, was) {
            (Part::Kept, _) | (Part::Null, None) => true,
            (Part::Bytes(new), Some(was)) if new.len() == was.len() => {
                self.replace(at, &with.bytes[new.clone()]);
                true
            }
            _ => false,
        }
    }

    fn anew(&mut self, placed: &Placed<'_>, with: &Replacement) {
        let record = &placed.record;
        self.headers.clear();
        let kept = (0..).zip(record.headers).filter(|(index, _)| *with.header(*index) != Part::Gone);
        let mut count = 0;
        for (index, (name, value)) in kept {
            put_varint_bytes(&mut self.headers, Some(name));
            put_varint_bytes(&mut self.headers, with.resolve(with.header(index), value));
            count += 1;
        }
        let start = self.new.len();
        let key = with.resolve(&with.key, record.key);
        let value = with.resolve(&with.value, record.value);
        let field = |bytes: Option<&[u8]>| {
            let length = bytes.map_or(-1, |bytes| bytes.len() as i64);
            varlong_len(length) + bytes.map_or(0, <[u8]>::len)
        };
        let length = placed.head.len() + field(key) + field(value) + varlong_len(count) + self.headers.len();
        put_varlong(&mut self.new, length as i64);
        self.new.extend_from_slice(placed.head);
        put_varint_bytes(&mut self.new, key);
        put_varint_bytes(&mut self.new, value);
        put_varlong(&mut self.new, count);
        self.new.extend_from_slice(&self.headers);
        self.all.push(Change { span: placed.span.clone(), new: start..self.new.len() });
    }

    fn splice(&self, plain: &[u8], out: &mut Vec<u8>) {
        let mut from = 0;
        for Change { span, new } in &self.all {
            out.extend_from_slice(&plain[from..span.start]);
            out.extend_from_slice(&self.new[new.clone()]);
            from = span.end;
        }
        out.extend_from_slice(&plain[from..]);
    }
}

/// Rewrites batches, one after the other, in buffers of its own.
#[derive(Debug, Default)]
pub struct Rewriter {
    deflater: Deflater,
    inflated: Vec<u8>,
    replacement: Replacement,
    changes: Changes,
    plain: Vec<u8>,
    batch: Vec<u8>,
}

/// What decides on a record, in the batch's order.
pub type Decide<'a> = dyn FnMut(&Record<'_>, &mut Replacement) -> Verdict + 'a;

impl Rewriter {
    /// Compresses at these levels.
    pub fn new(levels: Levels) -> Self {
        Rewriter { deflater: Deflater::new(levels), ..Rewriter::default() }
    }

    /// Rewrites the batch that `batch` is, as a whole, by what `decide` says of each of its records.
    pub fn rewrite(&mut self, batch: &[u8], bounds: &Bounds, decide: &mut Decide<'_>) -> Result<Outcome, Refusal> {
        let outcome = self.rewritten(batch, bounds, decide);
        // Records as they were stay nowhere.
        wipe(&mut self.inflated);
        outcome
    }

    fn rewritten(&mut self, batch: &[u8], bounds: &Bounds, decide: &mut Decide<'_>) -> Result<Outcome, Refusal> {
        let header = header(batch)?;
        if crc32c::crc32c(&batch[CHECKSUM_FROM..]) != header.crc {
            return Err(Refusal::Checksum);
        }
        if header.is_control() {
            return Ok(Outcome::Untouched);
        }
        self.changes.clear();
        let (codec, mut source) = v2::records(batch, base_offset(batch), header, bounds.inflated, &mut self.inflated)?;
        let mut number = 1;
        while let Some(placed) = source.next(number)? {
            self.replacement.clear();
            match decide(&placed.record, &mut self.replacement) {
                Verdict::Keep => {}
                Verdict::Replace => {
                    self.changes.record(&placed, &self.replacement);
                    let (from, to, max) = (source.plain().len(), self.changes.new.len(), bounds.inflated);
                    if to > max.max(from) {
                        return Err(Refusal::Grown { from, to, max });
                    }
                }
                Verdict::Drop if bounds.may_drop => self.changes.leave_out(placed.span),
                Verdict::Drop | Verdict::Refuse => return Err(Refusal::ByRule { number }),
            }
            number += 1;
        }
        if self.changes.all.is_empty() {
            return Ok(Outcome::Untouched);
        }
        if codec == Codec::None && self.changes.all.iter().all(Change::keeps_length) {
            return Ok(Outcome::Patched);
        }
        let records = header.records - self.changes.dropped;
        let payload = &mut self.batch;
        payload.clear();
        payload.extend_from_slice(&batch[..HEADER_V2]);
        match codec {
            _ if records == 0 => without_codec(payload),
            Codec::None => self.changes.splice(source.plain(), payload),
            codec => {
                self.plain.clear();
                self.changes.splice(source.plain(), &mut self.plain);
                self.deflater.deflate(codec, &batch[HEADER_V2..], &self.plain, payload)?;
            }
        }
        self.seal(batch.len(), records, bounds)
    }

    /// Makes length, count and checksum of the new batch right.
    fn seal(&mut self, before: usize, records: i32, bounds: &Bounds) -> Result<Outcome, Refusal> {
        let (batch, max) = (&mut self.batch, bounds.batch.max(before));
        let length = i32::try_from(batch.len() - LENGTH.end).ok().filter(|_| batch.len() <= max);
        let length = length.ok_or(Refusal::Grown { from: before, to: batch.len(), max })?;
        batch[LENGTH].copy_from_slice(&length.to_be_bytes());
        batch[COUNT].copy_from_slice(&records.to_be_bytes());
        checksum(batch);
        Ok(Outcome::Replaced)
    }

    /// Gives back buffers that an unusually large batch has left.
    pub fn trim(&mut self) {
        let Rewriter { inflated, plain, batch, replacement, changes, .. } = self;
        for buffer in [inflated, plain, batch, &mut replacement.bytes, &mut changes.new, &mut changes.headers] {
            trim(buffer);
        }
        trim(&mut replacement.headers);
        trim(&mut changes.all);
    }

    /// After [`Outcome::Patched`]: makes the changes in the batch itself.
    pub fn patch(&self, batch: &mut [u8]) {
        for Change { span, new } in &self.changes.all {
            batch[HEADER_V2 + span.start..HEADER_V2 + span.end].copy_from_slice(&self.changes.new[new.clone()]);
        }
        checksum(batch);
    }

    /// After [`Outcome::Replaced`]: the batch that takes the place of the one that was.
    pub fn replacement(&self) -> &[u8] {
        &self.batch
    }
}

fn trim<T>(buffer: &mut Vec<T>) {
    if buffer.capacity() * size_of::<T>() > KEPT_BYTES_MAX {
        *buffer = Vec::new();
    }
}

/// The header of a batch that is there as a whole.
fn header(batch: &[u8]) -> Result<HeaderV2, Refusal> {
    let magic = *batch.get(UP_TO_MAGIC - 1).ok_or(RecordsError::NotWhole)?;
    match magic {
        0 | 1 => return Err(Refusal::OldFormat(magic)),
        2 if batch.len() >= HEADER_V2 => {}
        2 => return Err(RecordsError::NotWhole.into()),
        _ => return Err(RecordsError::UnknownMagic(magic).into()),
    }
    let read = batch::read(batch, 0, batch.len() as u64).filter(|b| b.complete && b.span.len() == batch.len() as u64);
    match read.map(|read| read.format) {
        Some(Format::V2(header)) => Ok(header),
        _ => Err(RecordsError::NotWhole.into()),
    }
}

fn base_offset(batch: &[u8]) -> i64 {
    Fields::whole(batch).int64().unwrap_or_default()
}

/// A batch without records is not compressed, as compaction leaves it: no decoder is asked to inflate nothing.
fn without_codec(batch: &mut [u8]) {
    let attributes = batch[ATTRIBUTES].iter().fold(0, |number, byte| number << 8 | i16::from(*byte)) & !CODEC;
    batch[ATTRIBUTES].copy_from_slice(&attributes.to_be_bytes());
}

fn checksum(batch: &mut [u8]) {
    let checksum = crc32c::crc32c(&batch[CHECKSUM_FROM..]);
    batch[CRC].copy_from_slice(&checksum.to_be_bytes());
}

/// Bytes of a zigzag varint.
fn varlong_len(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests;
