//! Integers of variable length, and a reader that never believes a length before it has seen the bytes.
//!
//! Invariants:
//! - Reading never panics and never allocates by a number that was read: a text is a slice of what is really there.
//! - Every `u64` has one shortest form, and the writer writes that one.

use thiserror::Error;

/// Why recorded bytes could not be read. They come from our own files, so this means damage or a version mismatch.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("the bytes end in the middle of a value")]
    Truncated,
    /// An integer longer than 64 bits.
    #[error("an integer does not fit 64 bits")]
    Varint,
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A number outside what its field can hold.
    #[error("{what} holds the impossible value {value}")]
    Value {
        /// The field.
        what: &'static str,
        /// What was found there.
        value: u64,
    },
    /// Bytes left over after the last value.
    #[error("{0} bytes are left over after the last value")]
    Leftover(usize),
    /// A compressed part that does not inflate to what it says.
    #[error("a compressed part is damaged")]
    Compression,
    /// A format version that this build does not know.
    #[error("format version {0} is not known to this build; a newer weir wrote it")]
    Version(u64),
}

/// The longest form of a `u64`, bytes.
pub const VARINT_BYTES_MAX: usize = 10;

/// Maps small negative numbers to small unsigned ones.
#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value as u64) << 1) ^ ((value >> 63) as u64)
}

/// The way back from [`zigzag`].
#[inline]
pub fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ ((value & 1) as i64).wrapping_neg()
}

/// Appends `value` to `out`.
#[inline]
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a text with its length before it.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Bytes with a place in them.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// True at the end.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next `length` bytes.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The next byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.bytes.split_first().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    /// The next integer.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for index in 0..VARINT_BYTES_MAX as u32 {
            let byte = self.byte()?;
            if index == 9 && byte > 1 {
                return Err(DecodeError::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint)
    }

    /// The next integer, where `what` must fit `T`.
    pub fn number<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, DecodeError> {
        let value = self.varint()?;
        T::try_from(value).map_err(|_| DecodeError::Value { what, value })
    }

    /// Eight bytes, little-endian.
    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, DecodeError> {
        let (taken, rest) = self.bytes.split_first_chunk::<8>().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(u64::from_le_bytes(*taken))
    }

    /// The next text with its length before it.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = self.number::<usize>("a text's length")?;
        std::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::Text)
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError::Leftover(self.bytes.len())) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_integer_comes_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put(&mut out, value);
            put(&mut out, zigzag(signed));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint().unwrap(), value);
            prop_assert_eq!(unzigzag(reader.varint().unwrap()), signed);
            prop_assert!(reader.finish().is_ok());
        }
    }

    #[test]
    fn an_integer_beyond_64_bits_is_refused() {
        assert_eq!(Reader::new(&[0xff; 10]).varint(), Err(DecodeError::Varint));
        assert_eq!(Reader::new(&[0xff; 3]).varint(), Err(DecodeError::Truncated));
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused_before_anything_is_taken() {
        let mut out = Vec::new();
        put(&mut out, u64::MAX >> 1);
        assert_eq!(Reader::new(&out).text(), Err(DecodeError::Truncated));
    }
}
