//! The journal's form of an event and of a piece of a frame: plain bytes, each readable by itself, written where they will
//! stay.
//!
//! Invariants:
//! - Writing allocates nothing and makes no system call.
//! - What does not fit is not written at all; the caller learns it and may offer more room.

use super::codec::{self, Column, Sink, Source};
use super::piece::{Content, Piece, Way, Withheld};
use super::varint::{DecodeError, Reader, VARINT_BYTES_MAX, unzigzag, zigzag};
use super::{ConnectionNo, Event};

/// Writes `event` to the start of `room`; the answer is its length, or none when it does not fit.
#[inline]
pub fn encode(event: &Event, room: &mut [u8]) -> Option<usize> {
    let mut sink = EntrySink { room, length: 0, full: false };
    codec::encode(event, &mut sink);
    (!sink.full).then_some(sink.length)
}

/// Reads the one event that `bytes` are.
pub fn decode(bytes: &[u8]) -> Result<Event, DecodeError> {
    let mut source = EntrySource(Reader::new(bytes));
    let event = codec::decode(&mut source)?;
    source.0.finish()?;
    Ok(event)
}

/// What a piece's entry takes beside the bytes it holds, at the most.
pub const PIECE_HEAD_BYTES_MAX: usize = 4 * VARINT_BYTES_MAX + 8 + 1;

/// Bit of a piece's first byte: from here on the way.
const RESPONSE: u8 = 1;
/// Bits of a piece's first byte: 0 for bytes, else why they are withheld, counted from 1.
const WITHHELD_SHIFT: u32 = 1;

/// Writes a piece of a frame to the start of `room`; the answer is its length, or none when it does not fit.
#[inline]
pub fn encode_piece(connection: ConnectionNo, at_ns: u64, piece: &Piece<'_>, room: &mut [u8]) -> Option<usize> {
    let mut sink = EntrySink { room, length: 0, full: false };
    sink.varint(connection.0);
    sink.bytes(&at_ns.to_le_bytes());
    sink.bytes(&[piece_kind(piece.way, &piece.content)]);
    sink.varint(piece.ordinal);
    sink.varint(piece.at);
    match piece.content {
        Content::Bytes(bytes) => sink.bytes(bytes),
        Content::Withheld { bytes, .. } => sink.varint(bytes),
    }
    (!sink.full).then_some(sink.length)
}

/// Reads the one piece that `bytes` are: its connection, when it passed, and itself.
pub fn decode_piece(bytes: &[u8]) -> Result<(ConnectionNo, u64, Piece<'_>), DecodeError> {
    let mut reader = Reader::new(bytes);
    let connection = ConnectionNo(reader.varint()?);
    let at_ns = reader.fixed64()?;
    let (way, why) = piece_kind_of(reader.byte()?)?;
    let (ordinal, at) = (reader.varint()?, reader.varint()?);
    let content = match why {
        None => Content::Bytes(reader.rest()),
        Some(why) => {
            let bytes = reader.varint()?;
            reader.finish()?;
            Content::Withheld { bytes, why }
        }
    };
    Ok((connection, at_ns, Piece { ordinal, way, at, content }))
}

/// A piece's way and whether it is withheld, in a byte.
pub(super) fn piece_kind(way: Way, content: &Content<'_>) -> u8 {
    let why = match content {
        Content::Bytes(_) => 0,
        Content::Withheld { why, .. } => *why as u8 + 1,
    };
    why << WITHHELD_SHIFT | way as u8
}

/// The way back from [`piece_kind`].
pub(super) fn piece_kind_of(byte: u8) -> Result<(Way, Option<Withheld>), DecodeError> {
    let way = if byte & RESPONSE == 0 { Way::Request } else { Way::Response };
    let why = match byte >> WITHHELD_SHIFT {
        0 => None,
        1 => Some(Withheld::Secret),
        2 => Some(Withheld::NotAsked),
        value => return Err(DecodeError::Value { what: "why bytes are withheld", value: value.into() }),
    };
    Ok((way, why))
}

struct EntrySink<'a> {
    room: &'a mut [u8],
    length: usize,
    full: bool,
}

impl EntrySink<'_> {
    #[inline]
    fn varint(&mut self, value: u64) {
        match self.room.get_mut(self.length) {
            Some(room) if value < 0x80 => {
                *room = value as u8;
                self.length += 1;
            }
            _ => self.long_varint(value),
        }
    }

    fn long_varint(&mut self, mut value: u64) {
        let Some(room) = self.room.get_mut(self.length..).and_then(|rest| rest.first_chunk_mut::<VARINT_BYTES_MAX>())
        else {
            self.full = true;
            return;
        };
        let mut used = 0;
        while value >= 0x80 && used < VARINT_BYTES_MAX - 1 {
            room[used] = value as u8 | 0x80;
            value >>= 7;
            used += 1;
        }
        room[used] = value as u8;
        self.length += used + 1;
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        match self.room.get_mut(self.length..).and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.full = true,
        }
    }
}

impl Sink for EntrySink<'_> {
    #[inline]
    fn connection(&mut self, connection: ConnectionNo) {
        self.varint(connection.0);
    }

    #[inline]
    fn time(&mut self, at_ns: u64) {
        self.bytes(&at_ns.to_le_bytes());
    }

    #[inline]
    fn put(&mut self, _: Column, value: u64) {
        self.varint(value);
    }

    #[inline]
    fn delta(&mut self, _: Column, _: u64, value: i64) {
        self.varint(zigzag(value));
    }

    #[inline]
    fn text(&mut self, _: Column, text: &str) -> u64 {
        self.varint(text.len() as u64);
        self.bytes(text.as_bytes());
        0
    }
}

struct EntrySource<'a>(Reader<'a>);

impl Source for EntrySource<'_> {
    fn connection(&mut self) -> Result<ConnectionNo, DecodeError> {
        self.0.varint().map(ConnectionNo)
    }

    fn time(&mut self) -> Result<u64, DecodeError> {
        self.0.fixed64()
    }

    fn get(&mut self, _: Column) -> Result<u64, DecodeError> {
        self.0.varint()
    }

    fn delta(&mut self, _: Column, _: u64) -> Result<i64, DecodeError> {
        self.0.varint().map(unzigzag)
    }

    fn text(&mut self, _: Column) -> Result<(String, u64), DecodeError> {
        Ok((self.0.text()?.to_owned(), 0))
    }
}
