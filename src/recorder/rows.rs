//! The rows of sessions and of open connections, and their bytes.
//!
//! Invariants:
//! - A row's bytes start with their format version; what is added later goes to the end under a higher one, and older rows
//!   are read as if it were zero there.
//! - Reading a damaged row is an error, never a panic.

use std::net::IpAddr;

use super::keys::BlockKey;
use super::store::Family;
use crate::event::varint::{self, DecodeError, Reader};
use crate::event::{Identity, Mechanism, SessionId};

/// The second added what full recording counts.
const FORMAT_VERSION: u64 = 2;

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Exchanges that ended.
    pub exchanges: u64,
    /// Exchanges with an error code, and failed logins.
    pub errors: u64,
    /// Exchanges refused by Weir.
    pub refused: u64,
    /// Bytes of requests.
    pub bytes_in: u64,
    /// Bytes of responses.
    pub bytes_out: u64,
    /// Records in requests handed to a broker.
    pub records_written: u64,
    /// Records in responses.
    pub records_read: u64,
    /// Events without their detail.
    pub not_captured: u64,
    /// Frames of which pieces are kept.
    pub frames: u64,
    /// Bytes of frames that are kept.
    pub frame_bytes: u64,
    /// Bytes of frames that were withheld.
    pub frame_bytes_withheld: u64,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum EndReason {
    /// Its last connection had been closed for the idle time.
    Idle = 0,
    /// The gateway was stopped.
    Stopped = 1,
    /// The gateway died; the end was written at the next start.
    Recovered = 2,
}

/// A session as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub identity: Identity,
    /// The client id of its connections.
    pub client_id: Option<String>,
    /// The address of its connections.
    pub client_ip: IpAddr,
    /// The listeners it came through.
    pub listeners: Vec<String>,
    /// When its first connection was accepted.
    pub started_ns: u64,
    /// Its latest event.
    pub last_activity_ns: u64,
    /// When and why it ended.
    pub end: Option<(u64, EndReason)>,
    /// Connections open now.
    pub connections_open: u32,
    /// Connections ever.
    pub connections_total: u32,
    /// What was counted.
    pub tally: Tally,
    /// The first topics it touched.
    pub topics: Vec<String>,
    /// Topics beyond those, each counted once an hour.
    pub topics_omitted: u64,
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Events.
    Events,
    /// Pieces of frames.
    Pieces,
}

impl BlockKind {
    /// The family that leads from sessions to such blocks.
    pub fn by_session(self) -> Family {
        match self {
            BlockKind::Events => Family::BySession,
            BlockKind::Pieces => Family::FramesBySession,
        }
    }
}

/// A block that holds something of a connection whose session was not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    /// What it holds.
    pub kind: BlockKind,
    /// The block.
    pub key: BlockKey,
    /// From its first event or piece to its last, ns.
    pub span_ns: u64,
    /// The connection's events or pieces in it.
    pub count: u32,
}

/// An open connection as stored, so that a restart can go on where the journal does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRow {
    /// The session; none before it is identified.
    pub session: Option<SessionId>,
    /// The client's address.
    pub client_ip: IpAddr,
    /// The listener's name.
    pub listener: String,
    /// When it was accepted.
    pub opened_ns: u64,
    /// Its latest event, kept until it has a session.
    pub last_ns: u64,
    /// What was counted before it had a session.
    pub tally: Tally,
    /// The blocks before it had a session.
    pub blocks: Vec<BlockRef>,
}

impl Tally {
    /// In the order in which they are stored; those of the second format are the last.
    fn fields(&mut self) -> [&mut u64; 11] {
        [
            &mut self.exchanges,
            &mut self.errors,
            &mut self.refused,
            &mut self.bytes_in,
            &mut self.bytes_out,
            &mut self.records_written,
            &mut self.records_read,
            &mut self.not_captured,
            &mut self.frames,
            &mut self.frame_bytes,
            &mut self.frame_bytes_withheld,
        ]
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Tally) {
        let mut other = *other;
        for (mine, theirs) in self.fields().into_iter().zip(other.fields()) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    fn first(reader: &mut Reader<'_>) -> Result<Tally, DecodeError> {
        let mut tally = Tally::default();
        tally.get(reader, FIRST_FIELDS)?;
        Ok(tally)
    }

    fn put(mut self, out: &mut Vec<u8>, fields: std::ops::Range<usize>) {
        self.fields()[fields].iter().for_each(|field| varint::put(out, **field));
    }

    fn get(&mut self, reader: &mut Reader<'_>, fields: std::ops::Range<usize>) -> Result<(), DecodeError> {
        for field in &mut self.fields()[fields] {
            **field = reader.varint()?;
        }
        Ok(())
    }
}

/// The fields of a tally in the first format, and those that the second added.
const FIRST_FIELDS: std::ops::Range<usize> = 0..8;
const SECOND_FIELDS: std::ops::Range<usize> = 8..11;

impl SessionRow {
    /// As stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        varint::put(&mut out, FORMAT_VERSION);
        varint::put(&mut out, self.id.as_u64());
        put_identity(&mut out, &self.identity);
        put_optional(&mut out, self.client_id.as_deref());
        put_ip(&mut out, self.client_ip);
        put_texts(&mut out, &self.listeners);
        varint::put(&mut out, self.started_ns);
        varint::put(&mut out, self.last_activity_ns);
        varint::put(&mut out, self.end.map_or(0, |(_, reason)| reason as u64 + 1));
        varint::put(&mut out, self.end.map_or(0, |(ended_ns, _)| ended_ns));
        varint::put(&mut out, self.connections_open.into());
        varint::put(&mut out, self.connections_total.into());
        self.tally.put(&mut out, FIRST_FIELDS);
        put_texts(&mut out, &self.topics);
        varint::put(&mut out, self.topics_omitted);
        self.tally.put(&mut out, SECOND_FIELDS);
        out
    }

    /// From its bytes.
    pub fn decode(bytes: &[u8]) -> Result<SessionRow, DecodeError> {
        let mut reader = Reader::new(bytes);
        let reader = &mut reader;
        let version = version_of(reader)?;
        let mut row = SessionRow {
            id: SessionId::from_u64(reader.varint()?),
            identity: get_identity(reader)?,
            client_id: get_optional(reader)?,
            client_ip: get_ip(reader)?,
            listeners: get_texts(reader)?,
            started_ns: reader.varint()?,
            last_activity_ns: reader.varint()?,
            end: get_end(reader)?,
            connections_open: reader.number("a count of connections")?,
            connections_total: reader.number("a count of connections")?,
            tally: Tally::first(reader)?,
            topics: get_texts(reader)?,
            topics_omitted: reader.varint()?,
        };
        if version > 1 {
            row.tally.get(reader, SECOND_FIELDS)?;
        }
        Ok(row)
    }
}

impl ConnectionRow {
    /// As stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        varint::put(&mut out, FORMAT_VERSION);
        varint::put(&mut out, self.session.map_or(0, SessionId::as_u64));
        put_ip(&mut out, self.client_ip);
        varint::put_text(&mut out, &self.listener);
        varint::put(&mut out, self.opened_ns);
        varint::put(&mut out, self.last_ns);
        self.tally.put(&mut out, FIRST_FIELDS);
        for kind in [BlockKind::Events, BlockKind::Pieces] {
            let blocks = || self.blocks.iter().filter(|block| block.kind == kind);
            varint::put(&mut out, blocks().count() as u64);
            for block in blocks() {
                out.extend_from_slice(&block.key.encode());
                varint::put(&mut out, block.span_ns);
                varint::put(&mut out, block.count.into());
            }
        }
        self.tally.put(&mut out, SECOND_FIELDS);
        out
    }

    /// From its bytes.
    pub fn decode(bytes: &[u8]) -> Result<ConnectionRow, DecodeError> {
        let mut reader = Reader::new(bytes);
        let reader = &mut reader;
        let version = version_of(reader)?;
        let session = reader.varint()?;
        let mut row = ConnectionRow {
            session: (session != 0).then(|| SessionId::from_u64(session)),
            client_ip: get_ip(reader)?,
            listener: reader.text()?.to_owned(),
            opened_ns: reader.varint()?,
            last_ns: reader.varint()?,
            tally: Tally::first(reader)?,
            blocks: Vec::new(),
        };
        get_blocks(reader, BlockKind::Events, &mut row.blocks)?;
        if version > 1 {
            get_blocks(reader, BlockKind::Pieces, &mut row.blocks)?;
            row.tally.get(reader, SECOND_FIELDS)?;
        }
        Ok(row)
    }
}

fn version_of(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    match reader.varint()? {
        version @ 1..=FORMAT_VERSION => Ok(version),
        version => Err(DecodeError::Version(version)),
    }
}

fn get_blocks(reader: &mut Reader<'_>, kind: BlockKind, blocks: &mut Vec<BlockRef>) -> Result<(), DecodeError> {
    for _ in 0..reader.varint()? {
        let key = BlockKey::decode(reader.take(BlockKey::BYTES)?).ok_or(DecodeError::Truncated)?;
        let (span_ns, count) = (reader.varint()?, reader.number("a block's count")?);
        blocks.push(BlockRef { kind, key, span_ns, count });
    }
    Ok(())
}

fn put_identity(out: &mut Vec<u8>, identity: &Identity) {
    varint::put_text(out, &identity.issuer);
    varint::put_text(out, &identity.subject);
    put_texts(out, &identity.groups);
    varint::put(out, identity.mechanism as u64);
}

fn get_identity(reader: &mut Reader<'_>) -> Result<Identity, DecodeError> {
    Ok(Identity {
        issuer: reader.text()?.to_owned(),
        subject: reader.text()?.to_owned(),
        groups: get_texts(reader)?,
        mechanism: get_mechanism(reader)?,
    })
}

fn get_mechanism(reader: &mut Reader<'_>) -> Result<Mechanism, DecodeError> {
    let number = reader.varint()?;
    Mechanism::from_number(number).ok_or(DecodeError::Value { what: "a login mechanism", value: number })
}

fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    varint::put(out, text.is_some().into());
    if let Some(text) = text {
        varint::put_text(out, text);
    }
}

fn get_optional(reader: &mut Reader<'_>) -> Result<Option<String>, DecodeError> {
    Ok(if reader.varint()? == 0 { None } else { Some(reader.text()?.to_owned()) })
}

fn put_texts(out: &mut Vec<u8>, texts: &[String]) {
    varint::put(out, texts.len() as u64);
    texts.iter().for_each(|text| varint::put_text(out, text));
}

fn get_texts(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let count = reader.varint()?;
    (0..count).map(|_| Ok(reader.text()?.to_owned())).collect()
}

fn put_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
}

fn get_ip(reader: &mut Reader<'_>) -> Result<IpAddr, DecodeError> {
    match reader.byte()? {
        4 => Ok(IpAddr::from(*reader.take(4)?.first_chunk::<4>().ok_or(DecodeError::Truncated)?)),
        6 => Ok(IpAddr::from(*reader.take(16)?.first_chunk::<16>().ok_or(DecodeError::Truncated)?)),
        value => Err(DecodeError::Value { what: "an address family", value: value.into() }),
    }
}

fn get_end(reader: &mut Reader<'_>) -> Result<Option<(u64, EndReason)>, DecodeError> {
    let reason = match reader.varint()? {
        0 => None,
        1 => Some(EndReason::Idle),
        2 => Some(EndReason::Stopped),
        3 => Some(EndReason::Recovered),
        value => {
            return Err(DecodeError::Value { what: "a session's end", value });
        }
    };
    let ended_ns = reader.varint()?;
    Ok(reason.map(|reason| (ended_ns, reason)))
}
