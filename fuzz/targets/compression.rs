//! Every codec on any bytes: at most the cap comes out, nothing is kept of what failed, and what it costs is bounded.

use std::io::Write;

use super::input::Input;
use crate::wire::kafka::compression::{Codec, inflate};
use crate::wire::kafka::samples::{deflate, xerial};

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// A byte chooses codec and magic, another the cap; the rest is what is inflated.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let codec = CODECS[usize::from(choice % 5)];
    let cap = 1 << (input.byte() % 19);
    let compressed = input.rest();
    let mut out = vec![7; 3];
    let inflated = inflate(codec, choice / 5 % 3, compressed, cap, &mut out);
    assert!(out.len() <= cap, "{codec:?}: {} bytes of at most {cap}", out.len());
    assert!(out.capacity() <= 4 * cap + 64, "{codec:?}: room for {} bytes, the cap is {cap}", out.capacity());
    match inflated {
        Ok(()) => {}
        Err(error) => {
            assert!(out.is_empty(), "nothing is kept of what failed");
            let _ = error.to_string();
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let text = b"a weir is a low wall across a stream; a weir is a low wall".repeat(3);
    let bomb = vec![0u8; 1 << 20];
    let mut seeds = Vec::new();
    for (number, codec) in (0u8..).zip(CODECS).skip(1) {
        for cap in [5, 12, 18] {
            seeds.push([vec![number + 10, cap], deflate(codec, &text)].concat());
            seeds.push([vec![number, cap], deflate(codec, &bomb)].concat());
        }
    }
    seeds.push([vec![12, 12], xerial(&text, 40)].concat());
    seeds.push([vec![12, 12], xerial(&bomb, 32 << 10)].concat());
    // The block sizes of the lz4 frame format, and its format before that.
    use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
    for size in [BlockSize::Max64KB, BlockSize::Max4MB] {
        let info = FrameInfo::new().block_size(size).content_checksum(true).block_checksums(true);
        let mut writer = FrameEncoder::with_frame_info(info, Vec::new());
        writer.write_all(&text).expect("into memory");
        seeds.push([vec![13, 12], writer.finish().expect("into memory")].concat());
    }
    let legacy = lz4_flex::block::compress(&text);
    seeds.push([&[13, 12, 0x02, 0x21, 0x4c, 0x18][..], &(legacy.len() as u32).to_le_bytes(), &legacy].concat());
    seeds
}
