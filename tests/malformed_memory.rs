//! What lengths and counts on the wire say is not believed: whatever parsers are fed, they allocate by the bytes that are
//! there, within a small multiple of them, and what inflates stops at its cap.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use peak_alloc::PeakAlloc;
use weir::event::block::Block;
use weir::event::entry;
use weir::event::piece_block::PieceBlock;
use weir::pipeline::guard;
use weir::wire::kafka::addresses::{self, Outward};
use weir::wire::kafka::api::key;
use weir::wire::kafka::compression::{Codec, InflateError, inflate};
use weir::wire::kafka::layout::{self, Direction};
use weir::wire::kafka::records::{entries, locate, open};
use weir::wire::kafka::{error_reply, oauthbearer, sasl};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Tests of this file count one after the other.
static COUNTING: Mutex<()> = Mutex::new(());

/// What was allocated at a time at most while `work` ran, bytes; its result is dropped within.
fn allocated<T>(work: impl FnOnce() -> T) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    drop(work());
    MEMORY.peak_usage().saturating_sub(before)
}

fn alone() -> impl Drop {
    COUNTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A field's worth of every byte that makes a telling length or count, over and over.
fn liars() -> Vec<Vec<u8>> {
    let telling: [&[u8]; 9] = [
        &[0xff],
        &[0x7f],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0, 0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff],
        &[2, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x80, 0, 0, 0],
        &[1, 0],
    ];
    telling.iter().flat_map(|bytes| [64, 3000].map(|size| bytes.iter().copied().cycle().take(size).collect())).collect()
}

struct Gateway;
impl Outward for Gateway {
    fn outward(&mut self, _: i32, _: &str, _: i32) -> Option<(String, u16)> {
        Some(("gateway.example".into(), 9300))
    }
}

#[test]
fn bodies_of_every_api_and_version_take_memory_by_what_is_there() {
    let _alone = alone();
    for message in layout::messages() {
        for version in message.versions.first..=message.versions.last {
            for body in liars() {
                let read = || {
                    locate::locate(message.api_key, version, message.direction, &body);
                    match message.direction {
                        Direction::Request if guard::is_lawful(message.api_key, version, &body) => {
                            error_reply::refuse(message.api_key, version, 1, &body, 29, Some("refused"));
                        }
                        Direction::Request => {}
                        Direction::Response => {
                            let _ = addresses::rewrite(message.api_key, version, &body, &mut Gateway);
                            let _ = addresses::rewrite_tail(message.api_key, version, &body, &mut Gateway);
                        }
                    }
                };
                // The first time its layout is compiled, which stays.
                read();
                let used = allocated(read);
                assert!(
                    used <= 64 * body.len() + KIB,
                    "{} v{version}: {used} bytes for {:?}…",
                    message.name,
                    &body[..8]
                );
            }
        }
    }
}

/// A lawful request of as many items as go into so many bytes, the smallest there are.
fn dense(before: &[u8], item: &[u8], behind: &[u8], bytes: usize) -> Vec<u8> {
    let count = (bytes - before.len() - behind.len() - 4) / item.len();
    [before, &(count as u32).to_be_bytes(), &item.repeat(count), behind].concat()
}

#[test]
fn a_refusal_takes_a_small_multiple_of_the_largest_request_that_is_answered() {
    let _alone = alone();
    const LARGEST: usize = weir::limits::REFUSED_BODY_BYTES_MAX;
    let cases: [(i16, i16, Vec<u8>); 5] = [
        (key::CREATE_TOPICS, 2, dense(&[], &[0; 16], &[0; 5], LARGEST)),
        (key::INCREMENTAL_ALTER_CONFIGS, 0, dense(&[], &[0; 7], &[0], LARGEST)),
        (key::ALTER_CONFIGS, 0, dense(&[], &[0; 7], &[0], LARGEST)),
        (30, 1, dense(&[], &[0; 10], &[], LARGEST)),
        (31, 1, dense(&[], &[0; 10], &[], LARGEST)),
    ];
    for (api_key, version, body) in cases {
        assert!(guard::is_lawful(api_key, version, &body), "API {api_key} v{version}");
        let used =
            allocated(|| error_reply::refuse(api_key, version, 1, &body, 31, Some("weir: may not be changed here")));
        println!("API {api_key} v{version}: {used} bytes for {}", body.len());
        assert!(used <= 64 * body.len(), "API {api_key} v{version}: {used} bytes for {}", body.len());
    }
}

#[test]
fn logins_take_memory_by_what_is_there() {
    let _alone = alone();
    for message in liars() {
        let used = allocated(|| {
            drop(sasl::parse_plain(&message));
            let _ = sasl::handshake_mechanism(&message);
            (0..3).for_each(|version| drop(sasl::authenticate_token(&message, version).map(<[u8]>::to_vec)));
            drop(oauthbearer::parse(&message));
            drop(weir::scram::ClientFirst::parse(&message));
            drop(weir::scram::ServerFirst::parse(&message));
        });
        assert!(used <= 4 * message.len() + KIB, "{used} bytes for {:?}…", &message[..8]);
    }
}

#[test]
fn what_a_recording_holds_takes_memory_by_what_is_there() {
    let _alone = alone();
    for mut bytes in liars() {
        // A block's first number is its format's version.
        for first in [bytes[0], 1, 101] {
            bytes[0] = first;
            let used = allocated(|| {
                drop(entry::decode(&bytes));
                let _ = entry::decode_piece(&bytes);
                drop(Block::parse(&bytes).map(|block| block.events().map(Iterator::count)));
                drop(PieceBlock::parse(&bytes));
            });
            assert!(used <= 64 * bytes.len() + 512 * KIB, "{used} bytes for {:?}…", &bytes[..8]);
        }
    }
}

fn deflate(codec: Codec, plain: &[u8]) -> Vec<u8> {
    match codec {
        Codec::None => plain.to_vec(),
        Codec::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            writer.write_all(plain).unwrap();
            writer.finish().unwrap()
        }
        Codec::Snappy => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        Codec::Lz4 => lz4(plain, lz4_flex::frame::BlockSize::Max64KB),
        Codec::Zstd => zstd::encode_all(plain, 3).unwrap(),
    }
}

fn lz4(plain: &[u8], size: lz4_flex::frame::BlockSize) -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new().block_size(size);
    let mut writer = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

/// The widest window that a decoder takes without being asked to, 128 MiB, and no length in the frame's head.
fn zstd_of_a_long_window(plain: &[u8]) -> Vec<u8> {
    let mut writer = zstd::Encoder::new(Vec::new(), 3).unwrap();
    writer.set_parameter(zstd::zstd_safe::CParameter::WindowLog(27)).unwrap();
    writer.include_contentsize(false).unwrap();
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

fn xerial(plain: &[u8]) -> Vec<u8> {
    let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for chunk in plain.chunks(64 * KIB) {
        let block = deflate(Codec::Snappy, chunk);
        framed.extend((block.len() as u32).to_be_bytes());
        framed.extend(block);
    }
    framed
}

/// Bombs of 64 MiB each, by name.
fn bombs() -> Vec<(&'static str, Codec, Vec<u8>)> {
    use lz4_flex::frame::BlockSize;
    let plain = vec![0u8; 64 * MIB];
    vec![
        ("gzip", Codec::Gzip, deflate(Codec::Gzip, &plain)),
        ("gzip of many members", Codec::Gzip, deflate(Codec::Gzip, &plain[..MIB]).repeat(64)),
        ("snappy", Codec::Snappy, deflate(Codec::Snappy, &plain)),
        ("xerial", Codec::Snappy, xerial(&plain)),
        ("lz4", Codec::Lz4, deflate(Codec::Lz4, &plain)),
        ("lz4 of the largest blocks", Codec::Lz4, lz4(&plain, BlockSize::Max4MB)),
        ("zstd", Codec::Zstd, deflate(Codec::Zstd, &plain)),
        ("zstd of a long window", Codec::Zstd, zstd_of_a_long_window(&plain)),
    ]
}

/// Resident memory at its peak since the last call, KiB: codecs in C allocate beside our allocator.
fn resident_peak_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let peak = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    fs::write("/proc/self/clear_refs", "5").unwrap();
    peak
}

#[test]
fn a_bomb_of_every_codec_stops_at_the_cap() {
    let _alone = alone();
    for (name, codec, bomb) in bombs() {
        for cap in [64 * KIB, 4 * MIB] {
            resident_peak_kib();
            let before = resident_peak_kib();
            let mut out = Vec::new();
            let used = allocated(|| {
                let stopped = inflate(codec, 2, &bomb, cap, &mut out);
                assert_eq!(stopped, Err(InflateError::TooLarge { codec, compressed: bomb.len(), cap }), "{name}");
                out = Vec::new();
            });
            let resident = resident_peak_kib().saturating_sub(before);
            println!("{name}, {} bytes, cap {cap}: {used} bytes allocated, {resident} KiB resident", bomb.len());
            // Beside what comes out, a decoder has buffers of its own: lz4's of two of its largest blocks and their input.
            assert!(used <= 4 * cap + 16 * MIB, "{name}: {used} bytes for a cap of {cap}");
            assert!(resident * KIB <= 4 * cap + 24 * MIB, "{name}: {resident} KiB for a cap of {cap}");
        }
    }
}

/// A batch of magic 2 around compressed records that are said to be one; length and checksum are right.
fn batch(codec: u8, records: &[u8]) -> Vec<u8> {
    let mut batch = vec![0; 61];
    batch[8..12].copy_from_slice(&(records.len() as i32 + 49).to_be_bytes());
    batch[16] = 2;
    batch[22] = codec;
    batch[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    batch.extend(records);
    let checksum = crc32c::crc32c(&batch[21..]).to_be_bytes();
    batch[17..21].copy_from_slice(&checksum);
    batch
}

#[test]
fn batches_of_bombs_and_of_counts_that_cannot_be_are_read_within_the_cap() {
    let _alone = alone();
    const CAP: usize = 4 * MIB;
    let number =
        |codec| [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd].iter().position(|c| *c == codec);
    let batches = bombs().into_iter().map(|(name, codec, bomb)| (name, batch(number(codec).unwrap() as u8, &bomb)));
    // Two billion records are stated, and headers within a record as well.
    let headers = [&[40, 0, 0, 0, 1, 1][..], &[0xfe, 0xff, 0xff, 0xff, 0x0f], &[0; 9]].concat();
    for (name, batch) in batches.chain([("no record", batch(0, &[])), ("headers", batch(0, &headers))]) {
        let used = allocated(|| {
            let mut inflated = Vec::new();
            for entry in entries(&batch) {
                if let Ok(opened) = open(entry.bytes, CAP, &mut inflated) {
                    assert!(opened.records.flatten().count() <= batch.len(), "{name}");
                }
            }
        });
        assert!(used <= 4 * CAP + 16 * MIB, "{name}: {used} bytes");
    }
}
