//! The rows of sessions and of open connections, and their bytes.
//!
//! Invariants:
//! - A row's bytes start with their format version; what is added later goes to the end under a higher one.
//! - Reading a damaged row is an error, never a panic.

use std::net::IpAddr;

use super::keys::BlockKey;
use crate::event::varint::{self, DecodeError, Reader};
use crate::event::{Identity, Mechanism, SessionId};

const FORMAT_VERSION: u64 = 1;

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

/// A block that holds events of a connection whose session was not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    /// The block.
    pub key: BlockKey,
    /// From its first event to its last, ns.
    pub span_ns: u64,
    /// The connection's events in it.
    pub events: u32,
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
    fn fields(&self) -> [u64; 8] {
        let Tally { exchanges, errors, refused, bytes_in, bytes_out, records_written, records_read, not_captured } =
            *self;
        [exchanges, errors, refused, bytes_in, bytes_out, records_written, records_read, not_captured]
    }

    fn from_fields(fields: [u64; 8]) -> Tally {
        let [exchanges, errors, refused, bytes_in, bytes_out, records_written, records_read, not_captured] = fields;
        Tally { exchanges, errors, refused, bytes_in, bytes_out, records_written, records_read, not_captured }
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Tally) {
        let mut sum = self.fields();
        for (mine, theirs) in sum.iter_mut().zip(other.fields()) {
            *mine = mine.saturating_add(theirs);
        }
        *self = Tally::from_fields(sum);
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.fields().into_iter().for_each(|field| varint::put(out, field));
    }

    fn get(reader: &mut Reader<'_>) -> Result<Tally, DecodeError> {
        let mut fields = [0; 8];
        for field in &mut fields {
            *field = reader.varint()?;
        }
        Ok(Tally::from_fields(fields))
    }
}

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
        self.tally.put(&mut out);
        put_texts(&mut out, &self.topics);
        varint::put(&mut out, self.topics_omitted);
        out
    }

    /// From its bytes.
    pub fn decode(bytes: &[u8]) -> Result<SessionRow, DecodeError> {
        let mut reader = Reader::new(bytes);
        let reader = &mut reader;
        check_version(reader)?;
        Ok(SessionRow {
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
            tally: Tally::get(reader)?,
            topics: get_texts(reader)?,
            topics_omitted: reader.varint()?,
        })
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
        self.tally.put(&mut out);
        varint::put(&mut out, self.blocks.len() as u64);
        for block in &self.blocks {
            out.extend_from_slice(&block.key.encode());
            varint::put(&mut out, block.span_ns);
            varint::put(&mut out, block.events.into());
        }
        out
    }

    /// From its bytes.
    pub fn decode(bytes: &[u8]) -> Result<ConnectionRow, DecodeError> {
        let mut reader = Reader::new(bytes);
        let reader = &mut reader;
        check_version(reader)?;
        let session = reader.varint()?;
        let mut row = ConnectionRow {
            session: (session != 0).then(|| SessionId::from_u64(session)),
            client_ip: get_ip(reader)?,
            listener: reader.text()?.to_owned(),
            opened_ns: reader.varint()?,
            last_ns: reader.varint()?,
            tally: Tally::get(reader)?,
            blocks: Vec::new(),
        };
        for _ in 0..reader.varint()? {
            let key = BlockKey::decode(reader.take(BlockKey::BYTES)?).ok_or(DecodeError::Truncated)?;
            row.blocks.push(BlockRef { key, span_ns: reader.varint()?, events: reader.number("a count of events")? });
        }
        Ok(row)
    }
}

fn check_version(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.varint()? {
        FORMAT_VERSION => Ok(()),
        version => Err(DecodeError::Version(version)),
    }
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
