//! Which connection belongs to which session, and what each session did.
//!
//! A session is an identity with one client id from one address. Its first connection opens it, further ones join it, on
//! whatever shard, and it ends when the last has been closed for the idle time. A connection that never says who it is
//! joins the session of the unidentified at its address when it closes, so that nothing is unseen.
//!
//! Invariants:
//! - The registry follows from the stored rows and the events alone, never from a clock or chance: a restart and the
//!   read-only view come to the same sessions under the same ids.
//! - Every session that was opened gets exactly one end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;

use super::addresses::ipv6_form;
use super::error::RecorderError;
use super::keys::{self, ConnectionKey, hour_of};
use super::rows::{BlockRef, ConnectionRow, EndReason, SessionRow, Tally};
use super::store::{Direction, Family, Rows, Store};
use super::tally::{tally_of, tally_of_piece, topics_of};
use crate::event::piece::Piece;
use crate::event::varint;
use crate::event::{Event, EventKind, Identity, Mechanism, SessionId};
use crate::limits;

/// The issuer of the identity that stands for no identity.
pub const UNIDENTIFIED_ISSUER: &str = "none";
/// The subject of the identity that stands for no identity.
pub const UNIDENTIFIED_SUBJECT: &str = "unidentified";

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SessionKey {
    identity: Identity,
    client_id: Option<String>,
    client_ip: IpAddr,
}

#[derive(Debug)]
struct Connection {
    row: ConnectionRow,
    closed: bool,
    stored: bool,
    dirty: bool,
}

#[derive(Debug)]
struct Session {
    row: SessionRow,
    /// When its last connection closed; meaningful while none is open.
    idle_since_ns: u64,
    dirty: bool,
    indexed_hour: Option<u32>,
    indexed_topics: HashSet<u64>,
}

/// The open connections and sessions.
#[derive(Debug)]
pub(super) struct Registry {
    idle_ns: u64,
    connections: HashMap<ConnectionKey, Connection>,
    sessions: BTreeMap<SessionId, Session>,
    by_key: HashMap<SessionKey, SessionId>,
    idle: BTreeSet<(u64, SessionId)>,
    touched: HashSet<ConnectionKey>,
    touched_sessions: BTreeSet<SessionId>,
    last_id: Option<SessionId>,
    last_id_stored: Option<SessionId>,
}

impl Registry {
    /// Takes over what `store` says was open.
    pub(super) fn load(store: &Store, idle_ns: u64) -> Result<Registry, RecorderError> {
        let last_id = store.number(keys::LAST_SESSION)?.map(SessionId::from_u64);
        let mut registry = Registry {
            idle_ns,
            connections: HashMap::new(),
            sessions: BTreeMap::new(),
            by_key: HashMap::new(),
            idle: BTreeSet::new(),
            touched: HashSet::new(),
            touched_sessions: BTreeSet::new(),
            last_id,
            last_id_stored: last_id,
        };
        let mut live = Vec::new();
        store.scan(Family::Live, (&[], None), Direction::Up, &mut |key, value| {
            live.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })?;
        for (key, value) in live {
            if let Some(key) = keys::live_connection_of(&key) {
                let row = ConnectionRow::decode(&value).map_err(RecorderError::damaged("connection"))?;
                registry.connections.insert(key, Connection { row, closed: false, stored: true, dirty: false });
                continue;
            }
            let Some(id) = keys::session_at_end(&key) else { continue };
            if let Some(row) = store.get(Family::Sessions, &keys::session(id))? {
                registry.take_over(SessionRow::decode(&row).map_err(RecorderError::damaged("session"))?);
            }
        }
        Ok(registry)
    }

    fn take_over(&mut self, row: SessionRow) {
        let (id, idle_since_ns) = (row.id, row.last_activity_ns);
        if row.connections_open == 0 {
            self.idle.insert((idle_since_ns, id));
        }
        self.by_key.insert(key_of(&row), id);
        let (indexed_hour, indexed_topics) = (None, HashSet::new());
        self.sessions.insert(id, Session { row, idle_since_ns, dirty: false, indexed_hour, indexed_topics });
    }

    /// The session of a connection; none before it is identified.
    pub(super) fn session_of(&self, key: &ConnectionKey) -> Option<SessionId> {
        self.connections.get(key)?.row.session
    }

    /// Follows one event.
    pub(super) fn apply(&mut self, key: ConnectionKey, event: &Event, rows: &mut Rows) {
        let at_ns = event.at_ns;
        let connection = self.connections.entry(key).or_insert_with(|| Connection::opened(at_ns));
        connection.row.last_ns = connection.row.last_ns.max(at_ns);
        match &event.kind {
            EventKind::Opened { listener, peer, .. } => {
                connection.row.client_ip = peer.ip().to_canonical();
                connection.row.listener.clone_from(listener);
                connection.row.opened_ns = at_ns;
                self.touch_connection(key);
            }
            EventKind::Identified { identity, client_id } => {
                let client_ip = connection.row.client_ip;
                let whose = SessionKey { identity: identity.clone(), client_id: client_id.clone(), client_ip };
                self.bind(key, whose, at_ns, rows);
            }
            EventKind::Closed { .. } => {
                if connection.row.session.is_none() {
                    self.bind_unidentified(key, at_ns, rows);
                }
                self.close(key, at_ns);
            }
            kind => self.count(key, at_ns, kind, rows),
        }
        self.touch_session_of(key, at_ns, rows);
    }

    fn count(&mut self, key: ConnectionKey, at_ns: u64, kind: &EventKind, rows: &mut Rows) {
        let tally = tally_of(kind);
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        let Some(id) = connection.row.session else {
            connection.row.tally.add(&tally);
            self.touch_connection(key);
            return;
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.row.tally.add(&tally);
        session.enter_hour(at_ns, rows);
        session.note_topics(kind, rows);
    }

    /// Follows one piece of a frame. One of a connection that is not open counts nowhere: a journal is read in order, so
    /// its opening was lost with what was damaged there.
    pub(super) fn apply_piece(&mut self, key: ConnectionKey, at_ns: u64, piece: &Piece<'_>, rows: &mut Rows) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        connection.row.last_ns = connection.row.last_ns.max(at_ns);
        let tally = tally_of_piece(piece);
        match connection.row.session.and_then(|id| self.sessions.get_mut(&id)) {
            Some(session) => {
                session.row.tally.add(&tally);
                self.touch_session_of(key, at_ns, rows);
            }
            None => {
                connection.row.tally.add(&tally);
                self.touch_connection(key);
            }
        }
    }

    /// A block holds something of a connection that has no session yet.
    pub(super) fn await_session(&mut self, key: ConnectionKey, block: BlockRef, rows: &mut Rows) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        connection.row.blocks.push(block);
        let (full, at_ns) = (connection.row.blocks.len() >= limits::UNIDENTIFIED_BLOCKS_MAX, connection.row.last_ns);
        self.touch_connection(key);
        if full {
            self.bind_unidentified(key, at_ns, rows);
            self.touch_session_of(key, at_ns, rows);
        }
    }

    fn bind_unidentified(&mut self, key: ConnectionKey, at_ns: u64, rows: &mut Rows) {
        let Some(connection) = self.connections.get(&key) else {
            return;
        };
        let identity = Identity {
            issuer: UNIDENTIFIED_ISSUER.to_owned(),
            subject: UNIDENTIFIED_SUBJECT.to_owned(),
            groups: Vec::new(),
            mechanism: Mechanism::Anonymous,
        };
        let whose = SessionKey { identity, client_id: None, client_ip: connection.row.client_ip };
        self.bind(key, whose, at_ns, rows);
    }

    fn bind(&mut self, key: ConnectionKey, whose: SessionKey, at_ns: u64, rows: &mut Rows) {
        let Some(connection) = self.connections.get(&key) else {
            return;
        };
        let (before, opened_ns) = (connection.row.session, connection.row.opened_ns);
        let id = self.session_for(whose, opened_ns, at_ns, rows);
        if before == Some(id) {
            return;
        }
        if before.is_some() {
            self.leave(key, at_ns);
        }
        self.touch_connection(key);
        let (Some(connection), Some(session)) = (self.connections.get_mut(&key), self.sessions.get_mut(&id)) else {
            return;
        };
        self.idle.remove(&(session.idle_since_ns, id));
        connection.row.session = Some(id);
        session.row.connections_open += 1;
        session.row.connections_total += 1;
        session.row.started_ns = session.row.started_ns.min(opened_ns);
        session.row.tally.add(&std::mem::take(&mut connection.row.tally));
        let listeners = &mut session.row.listeners;
        if !listeners.contains(&connection.row.listener) && listeners.len() < limits::SESSION_LISTENERS_MAX {
            listeners.push(connection.row.listener.clone());
        }
        for block in connection.row.blocks.drain(..) {
            let row_key = keys::block_of_session(id, &block.key, Some(key.connection));
            rows.put(block.kind.by_session(), row_key, block_of_session_value(block.span_ns, block.count));
        }
    }

    /// The open session of that key, or a new one.
    fn session_for(&mut self, whose: SessionKey, opened_ns: u64, at_ns: u64, rows: &mut Rows) -> SessionId {
        if let Some(id) = self.by_key.get(&whose).copied() {
            let idle_end_ns = self.sessions.get(&id).and_then(|session| session.idle_end_ns(self.idle_ns));
            match idle_end_ns {
                Some(end_ns) if at_ns >= end_ns => self.end(id, end_ns, EndReason::Idle, rows),
                _ => return id,
            }
        }
        let id = SessionId::next(opened_ns, self.last_id);
        self.last_id = Some(id);
        let row = SessionRow {
            id,
            identity: whose.identity.clone(),
            client_id: whose.client_id.clone(),
            client_ip: whose.client_ip,
            listeners: Vec::new(),
            started_ns: opened_ns,
            last_activity_ns: at_ns,
            end: None,
            connections_open: 0,
            connections_total: 0,
            tally: Tally::default(),
            topics: Vec::new(),
            topics_omitted: 0,
        };
        rows.put(Family::Live, keys::live_session(id), []);
        self.take_over(row);
        id
    }

    fn close(&mut self, key: ConnectionKey, at_ns: u64) {
        self.touch_connection(key);
        self.leave(key, at_ns);
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.closed = true;
        }
    }

    /// The connection leaves its session; the last one to leave starts the idle time.
    fn leave(&mut self, key: ConnectionKey, at_ns: u64) {
        let Some(connection) = self.connections.get(&key).filter(|connection| !connection.closed) else {
            return;
        };
        let Some(id) = connection.row.session else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.row.connections_open = session.row.connections_open.saturating_sub(1);
        session.dirty = true;
        self.touched_sessions.insert(id);
        if session.row.connections_open == 0 {
            session.idle_since_ns = at_ns.max(session.row.last_activity_ns);
            self.idle.insert((session.idle_since_ns, id));
        }
    }

    /// Ends the sessions whose idle time has passed by `now_ns`, once all events before it were followed.
    pub(super) fn end_idle(&mut self, now_ns: u64, rows: &mut Rows) {
        while let Some((since_ns, id)) = self.idle.first().copied() {
            let end_ns = since_ns.saturating_add(self.idle_ns);
            if end_ns > now_ns {
                return;
            }
            self.end(id, end_ns, EndReason::Idle, rows);
        }
    }

    /// Ends everything: at a stop with its time, after a crash each with its own latest event's.
    pub(super) fn end_all(&mut self, reason: EndReason, at_ns: Option<u64>, rows: &mut Rows) {
        let mut open: Vec<ConnectionKey> =
            self.connections.iter().filter(|(_, connection)| !connection.closed).map(|(key, _)| *key).collect();
        open.sort_unstable();
        for key in open {
            let Some(connection) = self.connections.get(&key) else {
                continue;
            };
            let last_ns = connection.row.last_ns;
            if connection.row.session.is_none() {
                self.bind_unidentified(key, last_ns, rows);
                self.touch_session_of(key, last_ns, rows);
            }
            self.close(key, at_ns.unwrap_or(last_ns));
        }
        let ends: Vec<(SessionId, u64)> =
            self.sessions.iter().map(|(id, session)| (*id, session.row.last_activity_ns)).collect();
        for (id, last_ns) in ends {
            self.end(id, at_ns.unwrap_or(last_ns), reason, rows);
        }
    }

    fn end(&mut self, id: SessionId, end_ns: u64, reason: EndReason, rows: &mut Rows) {
        let Some(mut session) = self.sessions.remove(&id) else {
            return;
        };
        self.idle.remove(&(session.idle_since_ns, id));
        self.touched_sessions.remove(&id);
        self.by_key.remove(&key_of(&session.row));
        session.row.connections_open = 0;
        session.row.end = Some((end_ns, reason));
        rows.put(Family::Sessions, keys::session(id), session.row.encode());
        rows.delete(Family::Live, keys::live_session(id));
    }

    fn touch_connection(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.dirty = true;
            self.touched.insert(key);
        }
    }

    fn touch_session_of(&mut self, key: ConnectionKey, at_ns: u64, rows: &mut Rows) {
        let Some(id) = self.session_of(&key) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if !session.dirty {
            session.dirty = true;
            self.touched_sessions.insert(id);
        }
        if at_ns > session.row.last_activity_ns {
            session.row.last_activity_ns = at_ns;
        }
        session.enter_hour(at_ns, rows);
    }

    /// Writes what has changed since the last time.
    pub(super) fn flush(&mut self, rows: &mut Rows) {
        for key in std::mem::take(&mut self.touched) {
            let Some(connection) = self.connections.get_mut(&key) else {
                continue;
            };
            if connection.closed {
                if connection.stored {
                    rows.delete(Family::Live, keys::live_connection(&key));
                }
                self.connections.remove(&key);
            } else if std::mem::take(&mut connection.dirty) {
                connection.stored = true;
                rows.put(Family::Live, keys::live_connection(&key), connection.row.encode());
            }
        }
        for id in std::mem::take(&mut self.touched_sessions) {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.dirty = false;
                rows.put(Family::Sessions, keys::session(id), session.row.encode());
            }
        }
        if let Some(last) = self.last_id.filter(|_| self.last_id != self.last_id_stored) {
            self.last_id_stored = Some(last);
            rows.put(Family::Meta, keys::LAST_SESSION, last.as_u64().to_be_bytes());
        }
    }
}

impl Connection {
    fn opened(at_ns: u64) -> Connection {
        let row = ConnectionRow {
            session: None,
            client_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            listener: String::new(),
            opened_ns: at_ns,
            last_ns: at_ns,
            tally: Tally::default(),
            blocks: Vec::new(),
        };
        Connection { row, closed: false, stored: false, dirty: false }
    }
}

impl Session {
    /// When it ends for idleness, if no connection is open.
    fn idle_end_ns(&self, idle_ns: u64) -> Option<u64> {
        (self.row.connections_open == 0).then(|| self.idle_since_ns.saturating_add(idle_ns))
    }

    /// Index rows are written once for each hour in which the session does something.
    fn enter_hour(&mut self, at_ns: u64, rows: &mut Rows) {
        let hour = hour_of(at_ns);
        if self.indexed_hour == Some(hour) {
            return;
        }
        self.indexed_hour = Some(hour);
        self.indexed_topics.clear();
        rows.put(Family::ByTime, keys::with_session(keys::hour(hour), self.row.id), []);
        let subject = keys::hour_and_name(hour, &self.row.identity.subject);
        rows.put(Family::ByIdentity, keys::with_session(subject, self.row.id), []);
        let address = keys::hour_and_address(hour, ipv6_form(self.row.client_ip));
        rows.put(Family::ByAddress, keys::with_session(address, self.row.id), []);
    }

    fn note_topics(&mut self, kind: &EventKind, rows: &mut Rows) {
        for topic in topics_of(kind) {
            let mut hasher = DefaultHasher::new();
            topic.hash(&mut hasher);
            if self.indexed_topics.len() >= limits::SESSION_INDEXED_TOPICS_MAX {
                self.indexed_topics.clear();
            }
            if !self.indexed_topics.insert(hasher.finish()) {
                continue;
            }
            let prefix = keys::hour_and_name(self.indexed_hour.unwrap_or(0), topic);
            rows.put(Family::ByTopic, keys::with_session(prefix, self.row.id), []);
            if self.row.topics.iter().any(|known| known == topic) {
                continue;
            }
            if self.row.topics.len() < limits::SESSION_TOPICS_MAX {
                self.row.topics.push(topic.to_owned());
            } else {
                self.row.topics_omitted += 1;
            }
        }
    }
}

/// The value of a row that leads from a session to a block.
pub(super) fn block_of_session_value(span_ns: u64, count: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(8);
    varint::put(&mut out, span_ns);
    varint::put(&mut out, count.into());
    out
}

fn key_of(row: &SessionRow) -> SessionKey {
    SessionKey { identity: row.identity.clone(), client_id: row.client_id.clone(), client_ip: row.client_ip }
}
