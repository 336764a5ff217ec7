//! Inflates the records of a batch: gzip, snappy, lz4 and zstd, in the forms that Kafka's clients write.
//!
//! Invariants:
//! - No more than the caller's cap comes out, however small the input: inflating stops there, with an error that says so.
//! - Nothing is allocated by a length that the input states before that length is known to be possible; but for the blocks
//!   of lz4, whose largest lawful size, 4 MiB, bounds what its decoder sets aside (some 13 MiB).
//! - The output buffer is the caller's and is reused; after an error it is empty.

use std::hash::Hasher;
use std::io::Read;

use twox_hash::XxHash32;

use super::Codec;
use crate::wire::make_room;

/// Why records could not be inflated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// More would come out than the caller takes.
    #[error("{} of {compressed} bytes inflates to more than {cap} bytes", codec.name())]
    TooLarge {
        /// The codec.
        codec: Codec,
        /// Bytes that went in.
        compressed: usize,
        /// The caller's cap.
        cap: usize,
    },
    /// It is not what the codec writes, or its end is missing.
    #[error("this is no whole {}: {what}", codec.name())]
    Corrupt {
        /// The codec.
        codec: Codec,
        /// What is wrong, without content.
        what: String,
    },
}

/// Inflates `input` into `out`, which is cleared first; at most `cap` bytes. In messages of magic 0 the header checksum of
/// lz4 is known to be wrong and is not looked at (KIP-57, KAFKA-3160).
pub fn inflate(codec: Codec, magic: u8, input: &[u8], cap: usize, out: &mut Vec<u8>) -> Result<(), InflateError> {
    out.clear();
    let inflated = match codec {
        Codec::None => drain(codec, input, input, cap, out),
        Codec::Gzip => drain(codec, flate2::bufread::MultiGzDecoder::new(input), input, cap, out),
        Codec::Snappy => snappy(input, cap, out),
        Codec::Lz4 => lz4(input, magic, cap, out),
        Codec::Zstd => zstd::stream::read::Decoder::with_buffer(input)
            .map_err(|e| corrupt(codec, e))
            .and_then(|decoder| drain(codec, decoder, input, cap, out)),
    };
    if inflated.is_err() {
        out.clear();
    }
    inflated
}

fn corrupt(codec: Codec, what: impl ToString) -> InflateError {
    InflateError::Corrupt { codec, what: what.to_string() }
}

/// How much is inflated at a time.
const STEP: usize = 64 * 1024;

/// Reads until the end or one byte past the cap; the buffer grows with what really comes.
fn drain(codec: Codec, from: impl Read, input: &[u8], cap: usize, out: &mut Vec<u8>) -> Result<(), InflateError> {
    let one_more = cap.saturating_add(1);
    let (mut from, step) = (from.take(one_more as u64), STEP.min(one_more));
    loop {
        let filled = out.len();
        make_room(out, step);
        out.resize(filled + step, 0);
        let read = from.read(&mut out[filled..]);
        out.truncate(filled + read.as_ref().copied().unwrap_or(0));
        if read.map_err(|e| corrupt(codec, e))? == 0 {
            break;
        }
    }
    if out.len() > cap {
        return Err(InflateError::TooLarge { codec, compressed: input.len(), cap });
    }
    Ok(())
}

/// How snappy-java's stream begins: a magic number, its version and the oldest version that reads it.
pub(super) const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
pub(super) const XERIAL_HEADER: usize = 16;

/// The most that a byte of snappy can stand for: a copy element takes three bytes for 64, rounded up.
const SNAPPY_GROWTH_MAX: usize = 22;

fn snappy(input: &[u8], cap: usize, out: &mut Vec<u8>) -> Result<(), InflateError> {
    if !input.starts_with(XERIAL_MAGIC) {
        return snappy_block(input, input.len(), cap, out);
    }
    let mut rest = input.get(XERIAL_HEADER..).ok_or_else(|| corrupt(Codec::Snappy, "cut off in its header"))?;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).ok().filter(|length| *length <= after.len());
        let (block, after) = after.split_at(length.ok_or_else(|| corrupt(Codec::Snappy, "a block goes past the end"))?);
        snappy_block(block, input.len(), cap, out)?;
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(corrupt(Codec::Snappy, "cut off between two blocks")) }
}

/// Appends what a bare block holds. Its length stands first; it is believed only as far as the block can hold it.
fn snappy_block(block: &[u8], compressed: usize, cap: usize, out: &mut Vec<u8>) -> Result<(), InflateError> {
    let length = snap::raw::decompress_len(block).map_err(|e| corrupt(Codec::Snappy, e))?;
    if length > block.len().saturating_mul(SNAPPY_GROWTH_MAX) {
        return Err(corrupt(Codec::Snappy, "it states a length that it cannot have"));
    }
    let start = out.len();
    if length > cap - start {
        return Err(InflateError::TooLarge { codec: Codec::Snappy, compressed, cap });
    }
    out.resize(start + length, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut out[start..]);
    let written = written.map_err(|e| corrupt(Codec::Snappy, e))?;
    out.truncate(start + written);
    Ok(())
}

/// How the frame format of lz4 begins. Kafka never wrote the format before it, whose blocks are larger.
const LZ4_FRAME: [u8; LZ4_MAGIC] = 0x184d_2204_u32.to_le_bytes();
/// Bytes of lz4's magic number, which Kafka's old checksum wrongly covered.
const LZ4_MAGIC: usize = 4;
/// The bit of lz4's flags that announces four bytes of checksum behind the end mark.
const LZ4_CONTENT_CHECKSUM: u8 = 0x04;
/// The bit that announces them behind each block.
const LZ4_BLOCK_CHECKSUM: u8 = 0x10;
/// The bit of a block's length that says that it holds plain bytes.
const LZ4_UNCOMPRESSED: u32 = 1 << 31;

/// One frame. For magic 0 the right header checksum is put in place of whatever is there; the decoder takes a missing end
/// mark for an end, so that is looked at here.
fn lz4(input: &[u8], magic: u8, cap: usize, out: &mut Vec<u8>) -> Result<(), InflateError> {
    let cut_off = |where_| corrupt(Codec::Lz4, format!("cut off {where_}"));
    // Flags: bit 3 announces eight bytes of content size, bit 0 four of a dictionary's id; a block descriptor follows.
    let (Some(flags), Some(block)) = (input.get(LZ4_MAGIC), input.get(LZ4_MAGIC + 1)) else {
        return Err(cut_off("in its header"));
    };
    // Block sizes are 64 KiB to 4 MiB, the other bits are reserved: a decoder that takes more sets more aside.
    if !input.starts_with(&LZ4_FRAME) || !matches!(block, 0x40 | 0x50 | 0x60 | 0x70) {
        return Err(corrupt(Codec::Lz4, "neither its magic number nor its block size is that of Kafka's clients"));
    }
    let described = 2 + if flags & 0x08 != 0 { 8 } else { 0 } + if flags & 0x01 != 0 { 4 } else { 0 };
    let checksum_at = LZ4_MAGIC + described;
    let (Some(stated), Some(blocks)) = (input.get(checksum_at), input.get(checksum_at + 1..)) else {
        return Err(cut_off("in its header"));
    };
    let mut hasher = XxHash32::with_seed(0);
    hasher.write(&input[LZ4_MAGIC..checksum_at]);
    let checksum = [if magic == 0 { (hasher.finish() >> 8) as u8 } else { *stated }];
    let frame = input[..checksum_at].chain(&checksum[..]).chain(blocks);
    drain(Codec::Lz4, lz4_flex::frame::FrameDecoder::new(frame), input, cap, out)?;
    if ends_with_mark(blocks, *flags) { Ok(()) } else { Err(cut_off("before its end mark")) }
}

/// Whether the blocks of a frame come to its end mark, and to the checksum behind it where one was announced. Zeros at the
/// end prove nothing: a block may end with some.
fn ends_with_mark(mut blocks: &[u8], flags: u8) -> bool {
    let checksum = |bit: u8| if flags & bit != 0 { 4 } else { 0 };
    while let Some((length, after)) = blocks.split_first_chunk() {
        let length = u32::from_le_bytes(*length);
        if length == 0 {
            return after.len() >= checksum(LZ4_CONTENT_CHECKSUM);
        }
        let block = (length & !LZ4_UNCOMPRESSED) as usize + checksum(LZ4_BLOCK_CHECKSUM);
        blocks = after.get(block..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::wire::kafka::samples::{deflate, xerial};

    const CAP: usize = 1 << 20;
    const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// What Kafka wrote before KIP-57: a checksum that covers the magic number, too.
    fn with_broken_checksum(mut frame: Vec<u8>) -> Vec<u8> {
        let mut hasher = XxHash32::with_seed(0);
        hasher.write(&frame[..6]);
        assert_eq!(frame[4] & 0x09, 0, "the encoder states neither size nor dictionary");
        frame[6] = (hasher.finish() >> 8) as u8;
        frame
    }

    fn inflated(codec: Codec, magic: u8, input: &[u8]) -> Result<Vec<u8>, InflateError> {
        let mut out = vec![7; 3];
        inflate(codec, magic, input, CAP, &mut out).map(|()| out)
    }

    proptest! {
        #[test]
        fn what_a_codec_deflates_comes_back(plain in prop::collection::vec(0u8..4, 0..5000), block in 1usize..2000) {
            for codec in CODECS {
                prop_assert_eq!(&inflated(codec, 2, &deflate(codec, &plain)).unwrap(), &plain);
            }
            prop_assert_eq!(&inflated(Codec::Snappy, 2, &xerial(&plain, block)).unwrap(), &plain);
            let old = with_broken_checksum(deflate(Codec::Lz4, &plain));
            prop_assert!(inflated(Codec::Lz4, 1, &old).is_err());
            prop_assert_eq!(&inflated(Codec::Lz4, 0, &old).unwrap(), &plain);
        }

        #[test]
        fn garbage_is_an_error_or_bounded(bytes in prop::collection::vec(any::<u8>(), 0..300), magic in 0u8..3) {
            for codec in CODECS {
                let mut out = Vec::new();
                let _ = inflate(codec, magic, &bytes, 1000, &mut out);
                prop_assert!(out.len() <= 1000);
            }
        }

        #[test]
        fn what_is_cut_off_is_never_taken_for_whole(plain in prop::collection::vec(any::<u8>(), 1..2000), cut in 1usize..20) {
            for codec in CODECS {
                let whole = deflate(codec, &plain);
                let part = &whole[..whole.len() - cut.min(whole.len())];
                prop_assert!(inflated(codec, 2, part).is_err() || part.is_empty(), "{codec:?}");
            }
        }
    }

    #[test]
    fn zeros_at_the_end_of_a_block_are_no_end_mark() {
        for plain in (1..12).map(|length| vec![0; length]) {
            let whole = deflate(Codec::Lz4, &plain);
            assert_eq!(inflated(Codec::Lz4, 2, &whole).unwrap(), plain);
            for cut in 1..whole.len() {
                assert!(inflated(Codec::Lz4, 2, &whole[..whole.len() - cut]).is_err(), "{cut} of {whole:?}");
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let plain = vec![0u8; 64 << 20];
        for codec in CODECS {
            let bomb = if codec == Codec::Snappy { xerial(&plain, 32 << 10) } else { deflate(codec, &plain) };
            let mut out = Vec::new();
            let error = inflate(codec, 2, &bomb, CAP, &mut out).unwrap_err();
            assert_eq!(error, InflateError::TooLarge { codec, compressed: bomb.len(), cap: CAP });
            assert!(out.is_empty() && out.capacity() <= 4 * CAP, "{codec:?}: {}", out.capacity());
        }
        let exact = deflate(Codec::Zstd, &plain[..CAP]);
        assert_eq!(inflated(Codec::Zstd, 2, &exact).unwrap().len(), CAP);
    }

    #[test]
    fn a_stated_length_is_believed_only_as_far_as_the_bytes_can_hold_it() {
        // A bare block that says it holds almost 4 GiB, and has five bytes.
        let liar = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0];
        let mut out = Vec::new();
        assert!(inflate(Codec::Snappy, 2, &liar, usize::MAX, &mut out).is_err());
        assert_eq!(out.capacity(), 0);
        let mut framed = [XERIAL_MAGIC, &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
        framed.extend(i32::MAX.to_be_bytes());
        assert!(inflated(Codec::Snappy, 2, &framed).is_err());
        framed.truncate(20);
        framed[16..].copy_from_slice(&(-5i32).to_be_bytes());
        assert!(inflated(Codec::Snappy, 2, &framed).is_err());
    }

    #[test]
    fn lz4_blocks_that_no_client_writes_are_refused_before_room_is_made_for_them() {
        // Found by fuzzing: one bit beyond the lawful sizes makes the decoder set aside 16 MiB.
        let mut frame = deflate(Codec::Lz4, b"some text");
        frame[5] = 0x80;
        let before =
            [&0x184c_2102_u32.to_le_bytes()[..], &[7, 0, 0, 0, 0x60, b's', b'o', b'm', b'e', b's', b'o']].concat();
        for input in [frame, before] {
            let error = inflated(Codec::Lz4, 2, &input).unwrap_err().to_string();
            assert!(error.contains("block size"), "{error}");
        }
    }

    #[test]
    fn gzip_of_several_members_is_read_to_the_end() {
        let members = [deflate(Codec::Gzip, b"one "), deflate(Codec::Gzip, b"two")].concat();
        assert_eq!(inflated(Codec::Gzip, 2, &members).unwrap(), b"one two");
    }

    #[test]
    fn an_error_holds_no_content_and_names_the_codec() {
        let error = inflated(Codec::Zstd, 2, b"4111 1111 1111 1111").unwrap_err().to_string();
        assert!(error.contains("zstd") && !error.contains("4111"), "{error}");
    }
}
