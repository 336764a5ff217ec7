//! A recording as a replay reads it: sessions, their connections, each with its frames.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kafka_protocol::messages::ApiKey;
use weir::event::piece::Way;
use weir::event::{ConnectionNo, EventKind};
use weir::recorder::{CapturedFrame, EventCursor, FrameCursor, Queries, SessionFilter, SessionSummary, open_read_only};

/// A store that no gateway holds.
pub struct Recording(Queries);

/// Boot, shard, number.
pub type Key = (u32, u16, ConnectionNo);

/// One session.
pub struct Session {
    pub subject: String,
    pub summary: SessionSummary,
    pub connections: Vec<Connection>,
    pub events: Vec<EventKind>,
}

/// One connection of it.
pub struct Connection {
    pub key: Key,
    /// As its end tells.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub frames: Vec<CapturedFrame>,
}

impl Session {
    pub fn frames(&self) -> impl Iterator<Item = &CapturedFrame> {
        self.connections.iter().flat_map(|connection| &connection.frames)
    }

    pub fn requests_of(&self, api: ApiKey) -> usize {
        let key = (api as i16).to_be_bytes();
        self.frames().filter(|frame| frame.way == Way::Request && frame.bytes[4..6] == key).count()
    }
}

impl Recording {
    pub fn open(store: &Path) -> Self {
        Recording(open_read_only(store).unwrap())
    }

    pub fn sessions_of(&self, subject: &str) -> Vec<Session> {
        let filter = SessionFilter { identity: Some(subject.to_owned()), ..SessionFilter::default() };
        let found = self.0.sessions(&filter).unwrap();
        found.into_iter().map(|summary| self.session(subject, summary)).collect()
    }

    fn session(&self, subject: &str, summary: SessionSummary) -> Session {
        let mut connections: BTreeMap<Key, Connection> = BTreeMap::new();
        let mut events = Vec::new();
        for event in self.0.exchanges(summary.id, EventCursor::default(), 1_000_000).unwrap() {
            let key = (event.boot, event.shard, event.connection);
            let new = || Connection { key, bytes_in: 0, bytes_out: 0, frames: Vec::new() };
            let connection = connections.entry(key).or_insert_with(new);
            if let EventKind::Closed { bytes_in, bytes_out, .. } = event.kind {
                (connection.bytes_in, connection.bytes_out) = (bytes_in, bytes_out);
            }
            events.push(event.kind);
        }
        let mut from = FrameCursor::default();
        loop {
            let page = self.0.frames(summary.id, from, 1 << 20).unwrap();
            for frame in page.frames {
                let connection = connections.get_mut(&(frame.boot, frame.shard, frame.connection));
                connection.expect("a frame of a connection of the session").frames.push(frame);
            }
            if page.is_last {
                break;
            }
            from = page.next;
        }
        let mut connections: Vec<_> = connections.into_values().collect();
        connections.iter_mut().for_each(|c| c.frames.sort_by_key(|frame| (frame.ordinal, frame.way)));
        Session { subject: subject.to_owned(), summary, connections, events }
    }
}

/// Whether any file below `folder` holds `text` as it is.
pub fn holds(folder: &Path, text: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text)
    })
}
