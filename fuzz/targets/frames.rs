//! Length prefixes and headers, both ways: whatever part of a frame has arrived, the verdict on it never changes later.

use super::input::Input;
use crate::pipeline::head::{RequestHead, ResponseHead};
use crate::wire::kafka::samples::Dice;

/// Below what a header may have, past which more bytes are not waited for.
const BYTES_MAX: usize = 40 << 10;

/// A byte chooses limit and header version, the rest is what arrives.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let limit = if choice & 1 == 0 { 100 << 20 } else { 1000 };
    let header_version = i16::from(choice >> 1 & 1);
    let arrived = input.rest();
    let arrived = &arrived[..arrived.len().min(BYTES_MAX)];
    stands(arrived, |bytes| {
        let head = RequestHead::parse(bytes, limit);
        head.map(|head| head.map(|h| (h.bytes, h.frame_bytes, h.client_id.map(str::len), h.correlation_id)))
    });
    stands(arrived, |bytes| {
        let head = ResponseHead::parse(bytes, header_version, limit);
        head.map(|head| head.map(|h| (h.bytes, h.frame_bytes, None, h.correlation_id)))
    });
}

type Head = (usize, u64, Option<usize>, i32);

/// What is said of a part is what is said of all that arrived.
fn stands<E: PartialEq + std::fmt::Debug>(arrived: &[u8], parse: impl Fn(&[u8]) -> Result<Option<Head>, E>) {
    let all = parse(arrived);
    if let Ok(Some((bytes, frame_bytes, ..))) = &all {
        assert!(
            *bytes <= arrived.len() && *bytes as u64 <= *frame_bytes,
            "a head lies in what arrived and in its frame"
        );
    }
    let step = 1 + arrived.len() / 64;
    for part in (0..arrived.len()).step_by(step) {
        match parse(&arrived[..part]) {
            Ok(None) => {}
            told => assert_eq!(told, all, "after {part} bytes"),
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds =
        vec![b"\0\x16\x03\x01\x02\0".to_vec(), b"\0GET / HTTP/1.1".to_vec(), b"\0\xff\xff\xff\xff".to_vec()];
    let mut dice = Dice(77);
    for (direction, seed) in [(0u8, 1), (1, 2), (2, 3), (3, 4)] {
        for (at, frame) in super::pipeline::frames(seed).into_iter().enumerate() {
            if at % 9 == 0 {
                let length = frame.len().min(64 + dice.roll(100));
                seeds.push([&[direction], &frame[..length]].concat());
            }
        }
    }
    seeds
}
