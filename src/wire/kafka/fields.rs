//! Reading the protocol's primitive fields from bytes that may be hostile, or not all there yet.
//!
//! Invariants: nothing is read past what has arrived, nothing is believed past the end of the frame, nothing is
//! allocated, and the two cases are told apart: [`Stop::NeedMore`] is a matter of time, [`Stop::Truncated`] a broken
//! frame.

use bytes::{Buf, BufMut};

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes have not arrived yet.
    NeedMore,
    /// The field would end after its frame.
    Truncated,
    /// A length that no writer produces: negative where null is not allowed, a varint of more than five bytes, or a count
    /// above what its place allows.
    BadLength,
    /// A string that is not UTF-8.
    NotUtf8,
}

/// A reader over the part of a frame that has arrived.
pub(super) struct Fields<'a> {
    arrived: &'a [u8],
    at: usize,
    frame_len: usize,
}

impl<'a> Fields<'a> {
    /// Reads from the start of a frame of `frame_len` bytes, of which `arrived` are here.
    pub(super) fn new(arrived: &'a [u8], frame_len: usize) -> Self {
        Self { arrived: &arrived[..arrived.len().min(frame_len)], at: 0, frame_len }
    }

    /// Reads from bytes that are all there.
    pub(super) fn whole(bytes: &'a [u8]) -> Self {
        Self::new(bytes, bytes.len())
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next `n` bytes.
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.frame_len).ok_or(Stop::Truncated)?;
        let bytes = self.arrived.get(self.at..end).ok_or(Stop::NeedMore)?;
        self.at = end;
        Ok(bytes)
    }

    /// `int16`.
    pub(super) fn int16(&mut self) -> Result<i16, Stop> {
        Ok(self.take(2)?.get_i16())
    }

    /// `int32`.
    pub(super) fn int32(&mut self) -> Result<i32, Stop> {
        Ok(self.take(4)?.get_i32())
    }

    /// `int8`.
    pub(super) fn int8(&mut self) -> Result<i8, Stop> {
        Ok(self.take(1)?.get_i8())
    }

    /// `int64`.
    pub(super) fn int64(&mut self) -> Result<i64, Stop> {
        Ok(self.take(8)?.get_i64())
    }

    /// Bytes behind an `int32` length, -1 for null, as in messages before batches.
    pub(super) fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, Stop> {
        match self.int32()? {
            -1 => Ok(None),
            n => self.take(usize::try_from(n).map_err(|_| Stop::BadLength)?).map(Some),
        }
    }

    /// Zigzag varint of at most 64 bits, as in the records of a batch.
    pub(super) fn varlong(&mut self) -> Result<i64, Stop> {
        let mut zigzag = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            if shift == 63 && byte > 1 {
                return Err(Stop::BadLength);
            }
            zigzag |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
            }
        }
        Err(Stop::BadLength)
    }

    /// Bytes behind a zigzag varint length, -1 for null.
    pub(super) fn varint_bytes(&mut self) -> Result<Option<&'a [u8]>, Stop> {
        match self.varlong()? {
            -1 => Ok(None),
            n => self.take(usize::try_from(n).map_err(|_| Stop::BadLength)?).map(Some),
        }
    }

    /// Unsigned varint of at most 32 bits.
    pub(super) fn unsigned_varint(&mut self) -> Result<u32, Stop> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.take(1)?[0];
            if shift == 28 && byte > 0x0f {
                return Err(Stop::BadLength);
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Stop::BadLength)
    }

    /// `nullable_string`: an `int16` length, -1 for null.
    pub(super) fn nullable_string(&mut self) -> Result<Option<&'a str>, Stop> {
        match self.int16()? {
            -1 => Ok(None),
            n => self.text(usize::try_from(n).map_err(|_| Stop::BadLength)?).map(Some),
        }
    }

    /// `string`: an `int16` length.
    pub(super) fn string(&mut self) -> Result<&'a str, Stop> {
        self.nullable_string()?.ok_or(Stop::BadLength)
    }

    /// `compact_nullable_string`: a varint of length plus one, 0 for null.
    pub(super) fn compact_nullable_string(&mut self) -> Result<Option<&'a str>, Stop> {
        match self.compact_count()? {
            None => Ok(None),
            Some(n) => self.text(n).map(Some),
        }
    }

    /// `compact_string`.
    pub(super) fn compact_string(&mut self) -> Result<&'a str, Stop> {
        self.compact_nullable_string()?.ok_or(Stop::BadLength)
    }

    /// The count before a compact array, string or bytes: a varint of count plus one, 0 for null.
    pub(super) fn compact_count(&mut self) -> Result<Option<usize>, Stop> {
        Ok(self.unsigned_varint()?.checked_sub(1).map(|n| n as usize))
    }

    /// Passes over the tagged fields of a flexible structure (KIP-482).
    pub(super) fn skip_tagged(&mut self) -> Result<(), Stop> {
        self.skip_tagged_of(u32::MAX)
    }

    /// As [`Fields::skip_tagged`], where more than `max` fields are no structure that anybody writes.
    pub(super) fn skip_tagged_of(&mut self, max: u32) -> Result<(), Stop> {
        let count = self.unsigned_varint()?;
        if count > max {
            return Err(Stop::BadLength);
        }
        for _ in 0..count {
            self.unsigned_varint()?;
            let size = self.unsigned_varint()?;
            self.take(size as usize)?;
        }
        Ok(())
    }

    fn text(&mut self, n: usize) -> Result<&'a str, Stop> {
        std::str::from_utf8(self.take(n)?).map_err(|_| Stop::NotUtf8)
    }
}

/// Writes an unsigned varint.
pub(super) fn put_unsigned_varint(to: &mut Vec<u8>, mut value: u32) {
    while value > 0x7f {
        to.put_u8((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    to.put_u8(value as u8);
}

/// Writes a zigzag varint of at most 64 bits.
pub(super) fn put_varlong(to: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag > 0x7f {
        to.put_u8((zigzag as u8 & 0x7f) | 0x80);
        zigzag >>= 7;
    }
    to.put_u8(zigzag as u8);
}

/// Writes bytes behind a zigzag varint length, -1 for null.
pub(super) fn put_varint_bytes(to: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varlong(to, bytes.map_or(-1, |bytes| bytes.len() as i64));
    to.put_slice(bytes.unwrap_or_default());
}

/// Writes a `compact_nullable_string`; none when no length can say it.
pub(super) fn put_compact_nullable_string(to: &mut Vec<u8>, text: Option<&str>) -> Option<()> {
    let count = match text {
        Some(text) => u32::try_from(text.len()).ok()?.checked_add(1)?,
        None => 0,
    };
    put_unsigned_varint(to, count);
    to.put_slice(text.unwrap_or_default().as_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_arrived_is_told_from_what_can_never_arrive() {
        assert_eq!(Fields::new(&[0, 5, b'a'], 7).string(), Err(Stop::NeedMore));
        assert_eq!(Fields::new(&[0, 5, b'a'], 6).string(), Err(Stop::Truncated));
        assert_eq!(Fields::new(&[0xff; 64], 3).int32(), Err(Stop::Truncated));
    }

    #[test]
    fn a_count_is_never_believed_beyond_the_frame() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(Fields::whole(&huge).compact_string(), Err(Stop::Truncated));
        assert_eq!(Fields::whole(&huge).skip_tagged(), Err(Stop::Truncated));
        assert_eq!(Fields::whole(&[0x7f, 0xff]).string(), Err(Stop::Truncated));
    }

    #[test]
    fn lengths_that_no_writer_produces_are_refused() {
        assert_eq!(Fields::whole(&[0xff, 0xff, 0xff, 0xff, 0x10]).unsigned_varint(), Err(Stop::BadLength));
        assert_eq!(Fields::whole(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]).unsigned_varint(), Err(Stop::BadLength));
        assert_eq!(Fields::whole(&[0xff, 0xfe]).nullable_string(), Err(Stop::BadLength));
        assert_eq!(Fields::whole(&[0xff, 0xff]).string(), Err(Stop::BadLength));
        assert_eq!(Fields::whole(&[0]).compact_string(), Err(Stop::BadLength));
        assert_eq!(Fields::whole(&[0, 1, 0xc0]).string(), Err(Stop::NotUtf8));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u32::MAX] {
            let mut bytes = Vec::new();
            put_unsigned_varint(&mut bytes, value);
            assert_eq!(Fields::whole(&bytes).unsigned_varint(), Ok(value));
        }
        for value in [0, -1, 1, 63, -64, 64, i64::from(i32::MIN), i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_varlong(&mut bytes, value);
            assert_eq!(Fields::whole(&bytes).varlong(), Ok(value));
        }
        for text in [None, Some(""), Some("prod.orders")] {
            let mut bytes = Vec::new();
            assert_eq!(put_compact_nullable_string(&mut bytes, text), Some(()));
            assert_eq!(Fields::whole(&bytes).compact_nullable_string(), Ok(text));
        }
    }

    #[test]
    fn null_is_not_empty() {
        assert_eq!(Fields::whole(&[0xff, 0xff]).nullable_string(), Ok(None));
        assert_eq!(Fields::whole(&[0, 0]).nullable_string(), Ok(Some("")));
        assert_eq!(Fields::whole(&[0]).compact_nullable_string(), Ok(None));
        assert_eq!(Fields::whole(&[1]).compact_nullable_string(), Ok(Some("")));
    }
}
