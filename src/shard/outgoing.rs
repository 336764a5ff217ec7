//! What is about to be written: slices of the read buffer and bytes of our own, in order, in as few system calls as go.
//!
//! Invariants:
//! - Bytes that nothing touched are written from where they were read to; they are never copied.
//! - Room that was set aside for bytes of our own is given back when they have been written, or never will be.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::time::Instant;

use super::clock::Clock;
use super::runtime::Stream;
use crate::pipeline::budget::Reservation;

enum Piece {
    Read(Range<usize>),
    Own(Vec<u8>),
}

/// Pieces to be written to one socket.
#[derive(Default)]
pub struct Outgoing {
    pieces: Vec<Piece>,
    rooms: Vec<Reservation>,
}

/// Slices handed to one system call; more wait for the next.
const SLICES_MAX: usize = 16;

impl Outgoing {
    /// Adds bytes of the read buffer; neighbours become one slice.
    pub fn read(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        match self.pieces.last_mut() {
            Some(Piece::Read(last)) if last.end == range.start => last.end = range.end,
            _ => self.pieces.push(Piece::Read(range)),
        }
    }

    /// Adds bytes of our own.
    pub fn own(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.pieces.push(Piece::Own(bytes));
        }
    }

    /// Keeps the room that was set aside for bytes of our own until all has been written.
    pub fn in_room(&mut self, room: Option<Reservation>) {
        self.rooms.extend(room);
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Forgets what was to be written.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.rooms.clear();
    }

    /// Writes everything, out to the socket; returns how many bytes that were and for how many ns the peer's was full.
    pub async fn write<S: Stream>(&mut self, stream: &S, buffer: &[u8]) -> io::Result<(u64, u64)> {
        let (mut first, mut offset, mut written, mut blocked_ns) = (0, 0, 0, 0);
        while first < self.pieces.len() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut used = 0;
            for piece in self.pieces[first..].iter().take(SLICES_MAX) {
                let bytes = piece.bytes(buffer);
                slices[used] = IoSlice::new(if used == 0 { &bytes[offset..] } else { bytes });
                used += 1;
            }
            let mut taken = match stream.try_writev(&slices[..used]) {
                Ok(taken) => taken,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let since = Instant::now();
                    let taken = poll_fn(|cx| stream.poll_write(cx, &slices[0])).await?;
                    blocked_ns += nanoseconds_since(since);
                    taken
                }
                Err(e) => return Err(e),
            };
            written += taken as u64;
            while first < self.pieces.len() {
                let left = self.pieces[first].bytes(buffer).len() - offset;
                if taken < left {
                    offset += taken;
                    break;
                }
                taken -= left;
                offset = 0;
                first += 1;
            }
        }
        self.clear();
        let mut since = None;
        poll_fn(|cx| {
            let flushed = stream.poll_flush(cx);
            if flushed.is_pending() {
                since.get_or_insert_with(Instant::now);
            }
            flushed
        })
        .await?;
        blocked_ns += since.map_or(0, nanoseconds_since);
        Ok((written, blocked_ns))
    }
}

/// Says since when bytes are written for which room is set aside, as long as they are.
pub struct Held<'a>(&'a Cell<u64>);

impl<'a> Held<'a> {
    /// Where no room is set aside, nothing is said.
    pub fn begin(since_ns: &'a Cell<u64>, out: &Outgoing, clock: Clock) -> Option<Held<'a>> {
        (!out.rooms.is_empty()).then(|| {
            since_ns.set(clock.now_ns());
            Held(since_ns)
        })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.set(0);
    }
}

fn nanoseconds_since(moment: Instant) -> u64 {
    u64::try_from(moment.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl Piece {
    fn bytes<'a>(&'a self, buffer: &'a [u8]) -> &'a [u8] {
        match self {
            Piece::Read(range) => &buffer[range.clone()],
            Piece::Own(bytes) => bytes,
        }
    }
}
