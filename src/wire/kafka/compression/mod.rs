//! How the records of a batch are compressed: gzip, snappy, lz4 and zstd, in the forms that Kafka's clients write and read.

mod deflate;
mod inflate;

pub use deflate::{DeflateError, Deflater, Levels};
pub use inflate::{InflateError, inflate};

/// How records are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    None,
    /// RFC 1952, one member or several.
    Gzip,
    /// Blocks of snappy: a bare one, or several in the frame of snappy-java.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// RFC 8878 (KIP-110).
    Zstd,
}

impl Codec {
    /// The codec of a number in a batch's attributes, bits 0 to 2.
    pub fn from_number(number: u8) -> Option<Codec> {
        Some(match number {
            0 => Codec::None,
            1 => Codec::Gzip,
            2 => Codec::Snappy,
            3 => Codec::Lz4,
            4 => Codec::Zstd,
            _ => return None,
        })
    }

    /// Its name in Kafka's `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}
