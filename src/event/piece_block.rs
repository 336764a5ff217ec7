//! The unit in which pieces of frames are stored: apart from the events, so that who reads what happened inflates no payload.
//!
//! A block is the header that all blocks have, a directory that says of each piece where it belongs, and the bytes of all
//! of them one behind the other. The directory is plain, the bytes are compressed where that saves an eighth: records come
//! compressed often enough.
//!
//! Invariants:
//! - The directory can be read without inflating the bytes.
//! - Reading never allocates by a count in the bytes; a damaged block is an error, never a panic.

use std::cell::OnceCell;

use super::block::{self, BlockHeader};
use super::entry::{piece_kind, piece_kind_of};
use super::piece::{Content, Piece, Way, Withheld};
use super::varint::{self, DecodeError, Reader, unzigzag, zigzag};
use super::{ConnectionNo, SessionId};
use crate::limits::{PIECE_BLOCK_BYTES, PIECE_BLOCK_INFLATED_BYTES_MAX};

/// The layout described here.
pub const FORMAT_VERSION: u64 = 101;
const DATA_PLAIN: u64 = 0;
const DATA_ZSTD: u64 = 1;

/// Compresses blocks; keeps its working memory from one to the next.
pub struct Packer(Option<zstd::bulk::Compressor<'static>>);

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Packer").finish()
    }
}

impl Default for Packer {
    fn default() -> Packer {
        Packer(zstd::bulk::Compressor::new(ZSTD_LEVEL).ok())
    }
}

/// The fastest of zstd's ordinary levels: the one writer thread carries it at the speed of the wire.
const ZSTD_LEVEL: i32 = 1;
/// Of data, the part that compressing has to save to be worth inflating later: one in so many.
const SAVES_AT_LEAST: usize = 8;

impl Packer {
    /// The compressed form of `data` at the end of `out`; false, with `out` as it was, when that saves too little.
    fn pack(&mut self, data: &[u8], out: &mut Vec<u8>) -> bool {
        let (Some(compressor), start) = (&mut self.0, out.len()) else {
            return false;
        };
        out.resize(start + data.len() - data.len() / SAVES_AT_LEAST, 0);
        // A result that would be longer than the room is an error, which here is an answer.
        match compressor.compress_to_buffer(data, &mut out[start..]) {
            Ok(length) => {
                out.truncate(start + length);
                true
            }
            Err(_) => {
                out.truncate(start);
                false
            }
        }
    }
}

/// Gathers pieces for one block.
#[derive(Debug, Default)]
pub struct PieceBlockBuilder {
    directory: Vec<u8>,
    data: Vec<u8>,
    connections: Vec<(ConnectionNo, u32)>,
    pieces: u32,
    first_ns: u64,
    last_ns: u64,
    before: Before,
}

/// What a directory's entry is counted from.
#[derive(Debug, Default)]
struct Before {
    at_ns: u64,
    ordinal: u64,
    end: u64,
}

impl PieceBlockBuilder {
    /// Adds a piece. Pieces of one connection follow each other.
    pub fn push(&mut self, connection: ConnectionNo, at_ns: u64, piece: &Piece<'_>) {
        self.first_ns = if self.pieces == 0 { at_ns } else { self.first_ns.min(at_ns) };
        self.last_ns = self.last_ns.max(at_ns);
        if self.connections.last().is_none_or(|(last, _)| *last != connection) {
            self.connections.push((connection, 0));
        }
        if let Some((_, pieces)) = self.connections.last_mut() {
            *pieces += 1;
        }
        let bytes = match piece.content {
            Content::Bytes(bytes) => {
                self.data.extend_from_slice(bytes);
                bytes.len() as u64
            }
            Content::Withheld { bytes, .. } => bytes,
        };
        self.directory.push(piece_kind(piece.way, &piece.content));
        let (out, before) = (&mut self.directory, &mut self.before);
        varint::put(out, (self.connections.len() - 1) as u64);
        varint::put(out, zigzag(at_ns.wrapping_sub(before.at_ns) as i64));
        varint::put(out, zigzag(piece.ordinal.wrapping_sub(before.ordinal) as i64));
        varint::put(out, zigzag(piece.at.wrapping_sub(before.end) as i64));
        varint::put(out, bytes);
        *before = Before { at_ns, ordinal: piece.ordinal, end: piece.at.wrapping_add(bytes) };
        self.pieces += 1;
    }

    /// True without pieces.
    pub fn is_empty(&self) -> bool {
        self.pieces == 0
    }

    /// True when the block has reached its size.
    pub fn is_full(&self) -> bool {
        self.data.len() >= PIECE_BLOCK_BYTES || self.directory.len() >= PIECE_BLOCK_BYTES / 2
    }

    /// The earliest and latest piece's time.
    pub fn span_ns(&self) -> (u64, u64) {
        (self.first_ns, self.last_ns)
    }

    /// How many pieces.
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// The connections in the order of their pieces and how many each has.
    pub fn connections(&self) -> &[(ConnectionNo, u32)] {
        &self.connections
    }

    /// Closes the block under `header` and starts anew.
    pub fn finish(&mut self, header: &BlockHeader, packer: &mut Packer) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.data.len() + self.directory.len() + 256);
        block::put_header(&mut out, FORMAT_VERSION, header);
        varint::put(&mut out, self.directory.len() as u64);
        out.extend_from_slice(&self.directory);
        varint::put(&mut out, self.data.len() as u64);
        let how_at = out.len();
        varint::put(&mut out, DATA_ZSTD);
        if !packer.pack(&self.data, &mut out) {
            out.truncate(how_at);
            varint::put(&mut out, DATA_PLAIN);
            out.extend_from_slice(&self.data);
        }
        self.directory.clear();
        self.data.clear();
        self.connections.clear();
        (self.pieces, self.first_ns, self.last_ns, self.before) = (0, 0, 0, Before::default());
        out
    }
}

/// What a block's directory says of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredPiece {
    /// The connection.
    pub connection: ConnectionNo,
    /// When it passed, ns since the Unix epoch.
    pub at_ns: u64,
    /// The exchange.
    pub ordinal: u64,
    /// Which of its frames.
    pub way: Way,
    /// Place of its first byte in the frame.
    pub at: u64,
    /// How many bytes of the frame it stands for.
    pub bytes: u64,
    /// Why they are not kept, if they are not.
    pub withheld: Option<Withheld>,
    /// Place of its bytes in the block's.
    start: usize,
}

/// A stored block of pieces, its directory read.
#[derive(Debug)]
pub struct PieceBlock {
    /// What it says about all of its pieces.
    pub header: BlockHeader,
    /// Its pieces in the order in which they were pushed.
    pub pieces: Vec<StoredPiece>,
    length: usize,
    zstd: bool,
    stored: Vec<u8>,
    inflated: OnceCell<Vec<u8>>,
}

impl PieceBlock {
    /// Opens a block: reads the header and the directory.
    pub fn parse(bytes: &[u8]) -> Result<PieceBlock, DecodeError> {
        let mut reader = Reader::new(bytes);
        let header = block::get_header(&mut reader, FORMAT_VERSION)?;
        let directory: usize = reader.number("a directory's length")?;
        let directory = reader.take(directory)?;
        let length: usize = reader.number("a block's length")?;
        if length > PIECE_BLOCK_INFLATED_BYTES_MAX {
            return Err(DecodeError::Value { what: "a block's length", value: length as u64 });
        }
        let zstd = match reader.varint()? {
            DATA_PLAIN => false,
            DATA_ZSTD => true,
            value => return Err(DecodeError::Value { what: "a block's compression", value }),
        };
        let pieces = read_directory(directory, &header.connections, length)?;
        let stored = reader.rest().to_vec();
        if !zstd && stored.len() != length {
            return Err(DecodeError::Truncated);
        }
        Ok(PieceBlock { header, pieces, length, zstd, stored, inflated: OnceCell::new() })
    }

    /// A piece's bytes, or how many were withheld.
    pub fn content(&self, piece: &StoredPiece) -> Result<Content<'_>, DecodeError> {
        if let Some(why) = piece.withheld {
            return Ok(Content::Withheld { bytes: piece.bytes, why });
        }
        let end = usize::try_from(piece.bytes).ok().and_then(|bytes| piece.start.checked_add(bytes));
        let bytes = end.and_then(|end| self.data().ok()?.get(piece.start..end));
        bytes.map(Content::Bytes).ok_or(DecodeError::Compression)
    }

    /// All pieces' bytes, inflated the first time.
    fn data(&self) -> Result<&[u8], DecodeError> {
        if !self.zstd {
            return Ok(&self.stored);
        }
        if let Some(data) = self.inflated.get() {
            return Ok(data);
        }
        let data = zstd::bulk::decompress(&self.stored, self.length).map_err(|_| DecodeError::Compression)?;
        if data.len() != self.length {
            return Err(DecodeError::Compression);
        }
        Ok(self.inflated.get_or_init(|| data))
    }
}

fn read_directory(
    directory: &[u8],
    connections: &[(ConnectionNo, Option<SessionId>)],
    length: usize,
) -> Result<Vec<StoredPiece>, DecodeError> {
    let mut reader = Reader::new(directory);
    let (mut before, mut start, mut pieces) = (Before::default(), 0usize, Vec::new());
    while !reader.is_empty() {
        let (way, withheld) = piece_kind_of(reader.byte()?)?;
        let place = reader.varint()?;
        let connection = usize::try_from(place).ok().and_then(|place| connections.get(place));
        let connection = connection.ok_or(DecodeError::Value { what: "a connection's place", value: place })?.0;
        let at_ns = before.at_ns.wrapping_add(unzigzag(reader.varint()?) as u64);
        let ordinal = before.ordinal.wrapping_add(unzigzag(reader.varint()?) as u64);
        let at = before.end.wrapping_add(unzigzag(reader.varint()?) as u64);
        let bytes = reader.varint()?;
        before = Before { at_ns, ordinal, end: at.wrapping_add(bytes) };
        pieces.push(StoredPiece { connection, at_ns, ordinal, way, at, bytes, withheld, start });
        if withheld.is_none() {
            start = usize::try_from(bytes).ok().and_then(|bytes| start.checked_add(bytes)).unwrap_or(usize::MAX);
            if start > length {
                return Err(DecodeError::Value { what: "a piece's length", value: bytes });
            }
        }
    }
    Ok(pieces)
}
