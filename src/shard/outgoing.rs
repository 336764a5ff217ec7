//! What is about to be written: slices of the read buffer and bytes of our own, in order, in as few system calls as go.
//!
//! Invariant: bytes that nothing touched are written from where they were read to; they are never copied.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::time::Instant;

use super::runtime::Stream;

enum Piece {
    Read(Range<usize>),
    Own(Vec<u8>),
}

/// Pieces to be written to one socket.
#[derive(Default)]
pub struct Outgoing {
    pieces: Vec<Piece>,
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

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Forgets what was to be written.
    pub fn clear(&mut self) {
        self.pieces.clear();
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
        self.pieces.clear();
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
