//! A journal as a crash or a bad disk leaves it: entries of any content under right checksums, and bytes turned over.
//! Reading comes to an end, in order, and never gives what no checksum covers.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, missing_docs)]

use super::ring::{DATA_START, HEAD_AT};
use super::tail::{Tail, Taken};
use super::{ENTRY_HEAD, JournalHead, PAD, PIECE, seal, seed};
use crate::event::{ConnectionNo, Event, EventKind, entry};
use crate::limits;

/// Two bytes choose the capacity, one where reading starts; then come steps of two bytes and what they take.
pub fn run(bytes: &[u8]) {
    let Some((choice, steps)) = bytes.split_first_chunk::<3>() else { return };
    let capacity = 16 + u64::from(u16::from_be_bytes([choice[0], choice[1]])) % 8192;
    let mut image = Image::new(capacity);
    image.steps(steps);
    let from = if choice[2] & 1 == 0 { 0 } else { image.position.saturating_sub(capacity) };
    let path = std::env::temp_dir().join(format!("weir-fuzz-{}.journal", std::process::id()));
    std::fs::write(&path, &image.bytes).expect("a file of its own");
    let tail = Tail::open(&path).expect("it can be read");
    let _ = std::fs::remove_file(&path);
    // The head has a checksum of its own: with a byte turned over there, the file is no journal.
    let Some(mut tail) = tail else { return };
    tail.start_at(from);
    let (mut last, mut taken) = (from, 0);
    while tail.peek_ns(u64::MAX).expect("it can be read").is_some() {
        match tail.take().expect("it can be read") {
            Some((Taken::Event(_) | Taken::Piece(..) | Taken::Policy(_), end)) => {
                assert!(end > last, "positions grow");
                last = end;
            }
            None => panic!("what was peeked at is there"),
        }
        taken += 1;
        assert!(taken <= 2 * capacity / ENTRY_HEAD as u64 + 2, "reading comes to an end");
    }
}

/// A journal's file in memory.
struct Image {
    bytes: Vec<u8>,
    head: JournalHead,
    position: u64,
}

impl Image {
    fn new(capacity: u64) -> Image {
        let head = JournalHead { node: "weir-1".into(), boot: 1, shard: 0, capacity, epoch: 9, policy_hash: [7; 32] };
        let mut bytes = vec![0; (DATA_START + capacity) as usize];
        let encoded = head.encode();
        bytes[..encoded.len()].copy_from_slice(&encoded);
        Image { bytes, head, position: 0 }
    }

    fn steps(&mut self, mut steps: &[u8]) {
        while let Some(([kind, size], rest)) = steps.split_first_chunk::<2>() {
            let size = usize::from(*size);
            let (taken, after) = rest.split_at(if kind % 4 < 2 { size.min(rest.len()) } else { 0 });
            steps = after;
            match kind % 4 {
                0 => self.append(0, taken),
                1 => self.append(PIECE, taken),
                2 => {
                    let (mechanism, reason) = (String::new(), "x".repeat(size));
                    let kind = EventKind::LoginFailed { mechanism, claimed: None, reason };
                    let event = Event { connection: ConnectionNo(size as u64), at_ns: 7, kind };
                    let mut room = vec![0; limits::EVENT_BYTES_MAX];
                    let length = entry::encode(&event, &mut room).expect("fits");
                    self.append(0, &room[..length]);
                }
                _ => {
                    let at = (usize::from(*kind) << 8 | size) * 7 % self.bytes.len();
                    self.bytes[at] ^= kind | 1;
                }
            }
        }
        let at = HEAD_AT as usize;
        self.bytes[at..at + 8].copy_from_slice(&self.position.to_le_bytes());
    }

    fn append(&mut self, piece: u32, payload: &[u8]) {
        let (capacity, length) = (self.head.capacity, ENTRY_HEAD + payload.len());
        if length as u64 > capacity || payload.is_empty() {
            return;
        }
        let left = (capacity - self.position % capacity) as usize;
        if left < length {
            if left >= ENTRY_HEAD {
                let seed = seed(self.head.epoch, self.position / capacity);
                seal(self.room(), seed, PAD, 0);
            }
            self.position += left as u64;
        }
        let seed = seed(self.head.epoch, self.position / capacity);
        let room = self.room();
        room[ENTRY_HEAD..length].copy_from_slice(payload);
        seal(room, seed, payload.len() as u32 | piece, payload.len());
        self.position += length as u64;
    }

    fn room(&mut self) -> &mut [u8] {
        let at = (DATA_START + self.position % self.head.capacity) as usize;
        &mut self.bytes[at..]
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut room = vec![0; limits::EVENT_BYTES_MAX];
    let lawful = |capacity: u16, from: u8, count: usize| {
        let steps = (0..count).flat_map(|at| [2, 20 + at as u8]);
        let choice = capacity.to_be_bytes();
        [choice[0], choice[1], from].into_iter().chain(steps).collect::<Vec<u8>>()
    };
    let mut seeds = vec![lawful(4000, 0, 10), lawful(700, 1, 40), lawful(300, 1, 9), lawful(100, 0, 3)];
    for event in crate::fuzz_targets::events::events() {
        let length = entry::encode(&event, &mut room).expect("fits").min(255);
        seeds.push([&[8, 0, 0, 0, length as u8][..], &room[..length], &[3, 40, 2, 9]].concat());
    }
    seeds.push(
        [&[8, 0, 0, 1, 12][..], b"\x09\x07\0\0\0\0\0\0\0\0\x01\x02", b"\x01\x0d\x09\x07\0\0\0\0\0\0\0\x02\x01\x02\x05"]
            .concat(),
    );
    seeds
}
