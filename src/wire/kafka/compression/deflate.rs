//! Compresses records again that were opened: under the codec they came in, in a form that every client of Kafka reads.
//!
//! Invariants:
//! - What comes out is what Kafka's own producer would write: one gzip member; snappy in the frame of snappy-java where it
//!   came in one, else bare; one lz4 frame of independent blocks of 64 KiB without checksums of their content (KIP-57);
//!   one zstd frame that states the size of its content, by which librdkafka sets its buffer aside.
//! - What the codecs need is kept from one batch to the next; none of it holds anything of a batch that is read again.

use std::fmt;
use std::io::{self, Write};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};

use super::Codec;
use super::inflate::{XERIAL_HEADER, XERIAL_MAGIC};

/// How hard the codecs that have levels try; the others have none, or (lz4) one that Kafka's clients rarely change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// 1 to 9.
    pub gzip: u32,
    /// -131072 to 22.
    pub zstd: i32,
}

impl Default for Levels {
    /// Kafka's own defaults (`compression.gzip.level`, `compression.zstd.level`, KIP-390).
    fn default() -> Self {
        Levels { gzip: 6, zstd: 3 }
    }
}

/// Records that a codec did not take: a fault of Weir's own, or of the level it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("records cannot be compressed with {}: {what}", codec.name())]
pub struct DeflateError {
    /// The codec.
    codec: Codec,
    /// What it says, without content.
    what: String,
}

/// A gzip header: deflate, no name, no time, an unknown system (RFC 1952).
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Plain bytes of a block in snappy-java's frame: what its stream writes by default.
const XERIAL_BLOCK: usize = 32 * 1024;

/// Room that deflate is given at a time.
const GZIP_ROOM: usize = 32 * 1024;

/// Compresses batches, one after the other.
pub struct Deflater {
    levels: Levels,
    gzip: Option<Compress>,
    snappy: snap::raw::Encoder,
    lz4: Option<FrameEncoder<Vec<u8>>>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Default for Deflater {
    fn default() -> Self {
        Deflater::new(Levels::default())
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("levels", &self.levels).finish_non_exhaustive()
    }
}

impl Deflater {
    /// At these levels; those that a codec does not have are brought into its range.
    pub fn new(levels: Levels) -> Self {
        Deflater { levels, gzip: None, snappy: snap::raw::Encoder::new(), lz4: None, zstd: None }
    }

    /// Appends `plain`, compressed, to `out`. `like` is what it was opened from: it tells how snappy was framed.
    pub fn deflate(&mut self, codec: Codec, like: &[u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), DeflateError> {
        let deflated = match codec {
            Codec::None => {
                out.extend_from_slice(plain);
                Ok(())
            }
            Codec::Gzip => self.gzip(plain, out),
            Codec::Snappy if like.starts_with(XERIAL_MAGIC) => self.xerial(like, plain, out),
            Codec::Snappy => self.snappy(plain, out),
            Codec::Lz4 => self.lz4(plain, out),
            Codec::Zstd => self.zstd(plain, out),
        };
        deflated.map_err(|what| DeflateError { codec, what: what.to_string() })
    }

    fn gzip(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let level = Compression::new(self.levels.gzip.clamp(1, 9));
        let gzip = self.gzip.get_or_insert_with(|| Compress::new(level, false));
        gzip.reset();
        out.extend_from_slice(&GZIP_HEADER);
        loop {
            out.reserve(GZIP_ROOM);
            // Counted from the reset, so it never passes the end.
            let rest = plain.get(gzip.total_in() as usize..).unwrap_or_default();
            if gzip.compress_vec(rest, out, FlushCompress::Finish)? == Status::StreamEnd {
                break;
            }
        }
        let mut checksum = Crc::new();
        checksum.update(plain);
        out.extend_from_slice(&checksum.sum().to_le_bytes());
        out.extend_from_slice(&checksum.amount().to_le_bytes());
        Ok(())
    }

    fn xerial(&mut self, like: &[u8], plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        out.extend_from_slice(&like[..like.len().min(XERIAL_HEADER)]);
        for block in plain.chunks(XERIAL_BLOCK) {
            let length_at = out.len();
            out.extend_from_slice(&[0; 4]);
            self.snappy(block, out)?;
            // A block of at most 32 KiB: its length fits.
            let length = (out.len() - length_at - 4) as u32;
            out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    fn snappy(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let start = out.len();
        out.resize(start + snap::raw::max_compress_len(plain.len()), 0);
        let written = self.snappy.compress(plain, &mut out[start..])?;
        out.truncate(start + written);
        Ok(())
    }

    /// The encoder writes into a buffer of its own, for which the caller's is lent to it.
    fn lz4(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        if plain.is_empty() {
            // It ends a frame without content only if it has ended none before.
            self.lz4 = None;
        }
        let info = || FrameInfo::new().block_size(BlockSize::Max64KB);
        let lz4 = self.lz4.get_or_insert_with(|| FrameEncoder::with_frame_info(info(), Vec::new()));
        std::mem::swap(lz4.get_mut(), out);
        let written = lz4.write_all(plain).and_then(|()| lz4.try_finish().map_err(io::Error::from));
        std::mem::swap(lz4.get_mut(), out);
        if written.is_err() {
            self.lz4 = None;
        }
        written
    }

    fn zstd(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(zstd::bulk::Compressor::new(self.levels.zstd)?),
        };
        let start = out.len();
        out.resize(start + zstd::zstd_safe::compress_bound(plain.len()), 0);
        let written = zstd.compress_to_buffer(plain, &mut out[start..])?;
        out.truncate(start + written);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::inflate;
    use super::*;
    use crate::wire::kafka::samples::{deflate, xerial};

    const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    fn again(deflater: &mut Deflater, codec: Codec, like: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        deflater.deflate(codec, like, plain, &mut out).unwrap();
        assert!(out.starts_with(b"before"), "it appends");
        out.split_off(6)
    }

    proptest! {
        #[test]
        fn what_is_compressed_again_comes_back_whatever_was_compressed_before(
            plains in prop::collection::vec(prop::collection::vec(0u8..9, 0..90_000), 1..4),
            gzip in 0u32..12,
            zstd in -5i32..5,
        ) {
            let mut deflater = Deflater::new(Levels { gzip, zstd });
            let mut back = Vec::new();
            for plain in &plains {
                for codec in CODECS {
                    let deflated = again(&mut deflater, codec, &deflate(codec, plain), plain);
                    inflate(codec, 2, &deflated, plain.len(), &mut back).unwrap();
                    prop_assert_eq!(&back, plain);
                }
                let like = xerial(plain, 1000);
                let deflated = again(&mut deflater, Codec::Snappy, &like, plain);
                prop_assert_eq!(&deflated[..XERIAL_HEADER], &like[..XERIAL_HEADER]);
                inflate(Codec::Snappy, 2, &deflated, plain.len(), &mut back).unwrap();
                prop_assert_eq!(&back, plain);
            }
        }
    }

    #[test]
    fn lz4_blocks_are_independent_and_without_checksums_as_java_demands() {
        let plain = vec![7; 200_000];
        let frame = again(&mut Deflater::default(), Codec::Lz4, &[], &plain);
        // Version 1, independent blocks, nothing else; blocks of 64 KiB.
        assert_eq!(frame[4..6], [0x60, 0x40]);
    }

    #[test]
    fn zstd_states_the_size_of_its_content() {
        let frame = again(&mut Deflater::default(), Codec::Zstd, &[], &[7; 70_000]);
        assert_eq!(zstd::zstd_safe::get_frame_content_size(&frame).unwrap(), Some(70_000));
    }
}
