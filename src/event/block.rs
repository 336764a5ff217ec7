//! The unit in which events are stored, indexed and later hashed: one shard's events of a quarter second or 64 KiB.
//!
//! A block is a plain header (who wrote it, when, which connection belonged to which session) and a body of columns, so
//! that like stands beside like: counted from the value before, a text once per block, zstd over all where it pays. A
//! small body stays as it is and leaves compression to the store, which sees its neighbours too.
//!
//! Invariants:
//! - A block can be read by itself, by any later build: it carries its format version, protocol, node, boot and shard.
//! - Reading never allocates by a count in the bytes; a damaged block is an error, never a panic.

use std::collections::HashMap;

use super::codec::{self, COLUMNS, Column, Sink, Source};
use super::varint::{self, DecodeError, Reader, unzigzag, zigzag};
use super::{ConnectionNo, Event, SessionId};
use crate::limits::{BLOCK_BYTES, BLOCK_INFLATED_BYTES_MAX};

/// The layout described here. Blocks of pieces (`piece_block`) have a number of their own, so that each kind is known.
pub const FORMAT_VERSION: u64 = 1;
const PROTOCOL_KAFKA: u64 = 0;
const BODY_PLAIN: u64 = 0;
const BODY_ZSTD: u64 = 1;
/// Below this a body is left to the store's own compression.
const COMPRESS_FROM_BYTES: usize = 512;
/// zstd's default: higher levels win a few per cent and cost the one writer thread several times as much.
const ZSTD_LEVEL: i32 = 3;

/// What a block says about all of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockHeader {
    /// The gateway's name.
    pub node: String,
    /// Which start of the gateway.
    pub boot: u32,
    /// Which of its shards.
    pub shard: u16,
    /// Counts this shard's blocks of this boot from 0.
    pub sequence: u32,
    /// The earliest event's time, ns since the Unix epoch.
    pub first_ns: u64,
    /// The latest event's time, ns since the Unix epoch.
    pub last_ns: u64,
    /// How many events, or pieces.
    pub events: u32,
    /// The policy that was in force: its hash, zeros without one.
    pub policy_hash: [u8; 32],
    /// The connections in order of first appearance, each with its session; none for one not identified so far.
    pub connections: Vec<(ConnectionNo, Option<SessionId>)>,
}

/// Gathers events for one block.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    columns: [Vec<u8>; COLUMNS],
    length: usize,
    texts: Vec<u8>,
    text_places: HashMap<String, u64>,
    connections: Vec<(ConnectionNo, u32)>,
    connection_places: HashMap<ConnectionNo, usize>,
    current: usize,
    previous: HashMap<(Column, usize, u64), i64>,
    previous_ns: u64,
    first_ns: u64,
    last_ns: u64,
    events: u32,
}

impl BlockBuilder {
    /// Adds one event.
    pub fn push(&mut self, event: &Event) {
        self.first_ns = if self.events == 0 { event.at_ns } else { self.first_ns.min(event.at_ns) };
        self.last_ns = self.last_ns.max(event.at_ns);
        codec::encode(event, self);
        self.events += 1;
        self.connections[self.current].1 += 1;
    }

    /// True without events.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// True when the block has reached its size.
    pub fn is_full(&self) -> bool {
        self.length + self.texts.len() >= BLOCK_BYTES
    }

    /// How many events.
    pub fn events(&self) -> u32 {
        self.events
    }

    /// The earliest and latest event's time.
    pub fn span_ns(&self) -> (u64, u64) {
        (self.first_ns, self.last_ns)
    }

    /// How long the block would span with an event of `at_ns`.
    pub fn would_span_ns(&self, at_ns: u64) -> u64 {
        if self.is_empty() { 0 } else { self.last_ns.max(at_ns) - self.first_ns.min(at_ns) }
    }

    /// The connections seen and how many events each has.
    pub fn connections(&self) -> &[(ConnectionNo, u32)] {
        &self.connections
    }

    /// Closes the block under `header`.
    pub fn finish(&self, header: &BlockHeader) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.length + self.texts.len() + 64);
        varint::put(&mut body, self.text_places.len() as u64);
        body.extend_from_slice(&self.texts);
        for column in &self.columns {
            varint::put(&mut body, column.len() as u64);
            body.extend_from_slice(column);
        }
        let mut out = Vec::with_capacity(body.len() / 2 + 128);
        put_header(&mut out, FORMAT_VERSION, header);
        let packed = if body.len() < COMPRESS_FROM_BYTES { None } else { zstd::bulk::compress(&body, ZSTD_LEVEL).ok() };
        match packed {
            Some(packed) => {
                varint::put(&mut out, BODY_ZSTD);
                varint::put(&mut out, body.len() as u64);
                out.extend_from_slice(&packed);
            }
            None => {
                varint::put(&mut out, BODY_PLAIN);
                out.extend_from_slice(&body);
            }
        }
        out
    }

    fn number(&mut self, column: Column, value: u64) {
        let bytes = &mut self.columns[column as usize];
        let before = bytes.len();
        varint::put(bytes, value);
        self.length += bytes.len() - before;
    }
}

impl Sink for BlockBuilder {
    fn connection(&mut self, connection: ConnectionNo) {
        let next = self.connections.len();
        self.current = *self.connection_places.entry(connection).or_insert(next);
        if self.current == next {
            self.connections.push((connection, 0));
        }
        self.number(Column::Connection, self.current as u64);
    }

    fn time(&mut self, at_ns: u64) {
        let step = at_ns.wrapping_sub(self.previous_ns) as i64;
        self.previous_ns = at_ns;
        self.number(Column::Time, zigzag(step));
    }

    fn put(&mut self, column: Column, value: u64) {
        self.number(column, value);
    }

    fn delta(&mut self, column: Column, context: u64, value: i64) {
        let previous = self.previous.insert((column, self.current, context), value).unwrap_or(0);
        self.number(column, zigzag(value.wrapping_sub(previous)));
    }

    fn text(&mut self, column: Column, text: &str) -> u64 {
        let place = match self.text_places.get(text) {
            Some(place) => *place,
            None => {
                let place = self.text_places.len() as u64;
                self.text_places.insert(text.to_owned(), place);
                varint::put_text(&mut self.texts, text);
                place
            }
        };
        self.number(column, place);
        place
    }
}

/// Writes a block's header under the format version of its kind.
pub(super) fn put_header(out: &mut Vec<u8>, version: u64, header: &BlockHeader) {
    varint::put(out, version);
    varint::put(out, PROTOCOL_KAFKA);
    varint::put_text(out, &header.node);
    varint::put(out, header.boot.into());
    varint::put(out, header.shard.into());
    varint::put(out, header.sequence.into());
    varint::put(out, header.first_ns);
    varint::put(out, header.last_ns.wrapping_sub(header.first_ns));
    varint::put(out, header.events.into());
    out.extend_from_slice(&header.policy_hash);
    varint::put(out, header.connections.len() as u64);
    let (mut connection_before, mut session_before) = (0u64, 0u64);
    for (connection, session) in &header.connections {
        varint::put(out, zigzag(connection.0.wrapping_sub(connection_before) as i64));
        connection_before = connection.0;
        let session = session.map_or(0, SessionId::as_u64);
        varint::put(out, zigzag(session.wrapping_sub(session_before) as i64));
        session_before = session;
    }
}

/// Reads the header of a block whose kind has the format version `known`.
pub(super) fn get_header(reader: &mut Reader<'_>, known: u64) -> Result<BlockHeader, DecodeError> {
    let version = reader.varint()?;
    if version != known {
        return Err(DecodeError::Version(version));
    }
    match reader.varint()? {
        PROTOCOL_KAFKA => {}
        value => {
            return Err(DecodeError::Value { what: "a block's protocol", value });
        }
    }
    let node = reader.text()?.to_owned();
    let boot = reader.number("a boot number")?;
    let shard = reader.number("a shard number")?;
    let sequence = reader.number("a block's sequence")?;
    let first_ns = reader.varint()?;
    let last_ns = first_ns.wrapping_add(reader.varint()?);
    let events = reader.number("a count of events")?;
    let mut policy_hash = [0; 32];
    policy_hash.copy_from_slice(reader.take(32)?);
    let count = reader.varint()?;
    let (mut connection, mut session) = (0u64, 0u64);
    let mut connections = Vec::new();
    for _ in 0..count {
        connection = connection.wrapping_add(unzigzag(reader.varint()?) as u64);
        session = session.wrapping_add(unzigzag(reader.varint()?) as u64);
        connections.push((ConnectionNo(connection), (session != 0).then(|| SessionId::from_u64(session))));
    }
    Ok(BlockHeader { node, boot, shard, sequence, first_ns, last_ns, events, policy_hash, connections })
}

/// A stored block, opened.
#[derive(Debug)]
pub struct Block {
    /// What it says about all of its events.
    pub header: BlockHeader,
    body: Vec<u8>,
}

impl Block {
    /// Opens a block: reads the header and inflates the body.
    pub fn parse(bytes: &[u8]) -> Result<Block, DecodeError> {
        let mut reader = Reader::new(bytes);
        let header = get_header(&mut reader, FORMAT_VERSION)?;
        let body = match reader.varint()? {
            BODY_PLAIN => reader.rest().to_vec(),
            BODY_ZSTD => {
                let length: usize = reader.number("a block's length")?;
                if length > BLOCK_INFLATED_BYTES_MAX {
                    return Err(DecodeError::Value { what: "a block's length", value: length as u64 });
                }
                let body = zstd::bulk::decompress(reader.rest(), length).map_err(|_| DecodeError::Compression)?;
                if body.len() != length {
                    return Err(DecodeError::Compression);
                }
                body
            }
            value => {
                return Err(DecodeError::Value { what: "a block's compression", value });
            }
        };
        Ok(Block { header, body })
    }

    /// The events in the order in which they were pushed. Ends after the first that cannot be read.
    pub fn events(&self) -> Result<BlockEvents<'_>, DecodeError> {
        let mut reader = Reader::new(&self.body);
        let texts = reader.varint()?;
        let texts = (0..texts).map(|_| reader.text()).collect::<Result<Vec<_>, _>>()?;
        let mut columns = [Reader::new(&[]); COLUMNS];
        for column in &mut columns {
            let length = reader.number("a column's length")?;
            *column = Reader::new(reader.take(length)?);
        }
        reader.finish()?;
        let connections = &self.header.connections;
        let columns = Columns { columns, texts, connections, current: 0, previous: HashMap::new(), previous_ns: 0 };
        Ok(BlockEvents { columns, left: self.header.events })
    }
}

/// Iterates over a block's events.
#[derive(Debug)]
pub struct BlockEvents<'a> {
    columns: Columns<'a>,
    left: u32,
}

impl Iterator for BlockEvents<'_> {
    type Item = Result<Event, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let event = codec::decode(&mut self.columns);
        if event.is_err() {
            self.left = 0;
        }
        Some(event)
    }
}

#[derive(Debug)]
struct Columns<'a> {
    columns: [Reader<'a>; COLUMNS],
    texts: Vec<&'a str>,
    connections: &'a [(ConnectionNo, Option<SessionId>)],
    current: usize,
    previous: HashMap<(Column, usize, u64), i64>,
    previous_ns: u64,
}

impl Source for Columns<'_> {
    fn connection(&mut self) -> Result<ConnectionNo, DecodeError> {
        let place = self.get(Column::Connection)?;
        self.current = place as usize;
        let known = self.connections.get(self.current);
        Ok(known.ok_or(DecodeError::Value { what: "a connection's place", value: place })?.0)
    }

    fn time(&mut self) -> Result<u64, DecodeError> {
        let step = unzigzag(self.get(Column::Time)?);
        self.previous_ns = self.previous_ns.wrapping_add(step as u64);
        Ok(self.previous_ns)
    }

    fn get(&mut self, column: Column) -> Result<u64, DecodeError> {
        self.columns[column as usize].varint()
    }

    fn delta(&mut self, column: Column, context: u64) -> Result<i64, DecodeError> {
        let step = unzigzag(self.get(column)?);
        let previous = self.previous.entry((column, self.current, context)).or_insert(0);
        *previous = previous.wrapping_add(step);
        Ok(*previous)
    }

    fn text(&mut self, column: Column) -> Result<(String, u64), DecodeError> {
        let place = self.get(column)?;
        let text = usize::try_from(place).ok().and_then(|place| self.texts.get(place));
        Ok(((*text.ok_or(DecodeError::Value { what: "a text's place", value: place })?).to_owned(), place))
    }
}
