//! What the recorder's tests share: events as shards make them, and looking at what was recorded.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use weir::event::{
    CloseReason, ConnectionNo, Event, EventKind, Identity, Item, Latency, Mechanism, Outcome, RequestPart, Resource,
    ResponsePart, SessionId,
};
use weir::recorder::{
    EventCursor, JournalFull, Queries, RecordedEvent, Recorder, RecorderOptions, SessionFilter, SessionSummary,
    ShardJournal,
};

/// 2026-11-22 10:00:00 UTC.
pub const NOON_NS: u64 = 1_795_341_600_000_000_000;
pub const SECOND_NS: u64 = 1_000_000_000;

pub fn options(path: &Path, shards: usize) -> RecorderOptions {
    let mut options = RecorderOptions::new(path, "weir-test", shards);
    options.journal_bytes = 1024 * 1024;
    options
}

pub fn open(path: &Path, shards: usize) -> (Recorder, Vec<ShardJournal>) {
    Recorder::open(options(path, shards)).expect("opens")
}

pub fn append(journal: &mut ShardJournal, connection: u64, at_ns: u64, kind: EventKind) {
    let event = Event { connection: ConnectionNo(connection), at_ns, kind };
    while let Err(JournalFull) = journal.append(&event) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn opened(peer: &str) -> EventKind {
    EventKind::Opened { listener: "main".into(), peer: peer.parse::<SocketAddr>().expect("an address"), broker: None }
}

pub fn identified(subject: &str, client_id: &str) -> EventKind {
    let identity = Identity {
        issuer: "weir".into(),
        subject: subject.into(),
        groups: vec!["analysts".into()],
        mechanism: Mechanism::PlainToken,
    };
    EventKind::Identified { identity, client_id: Some(client_id.into()) }
}

pub fn closed() -> EventKind {
    EventKind::Closed { reason: CloseReason::Client, bytes_in: 10, bytes_out: 20 }
}

pub fn topic(name: &str, offset: Option<i64>, records: Option<u32>) -> Item {
    Item {
        resource: Resource::Topic,
        name: name.into(),
        partition: Some(0),
        offset,
        records,
        bytes: records.map(|records| u64::from(records) * 100),
        error_code: 0,
    }
}

pub fn produce_noted(ordinal: u64, name: &str, records: u32) -> EventKind {
    let items = vec![topic(name, None, Some(records))];
    let request = RequestPart {
        api_key: 0,
        api_version: 13,
        correlation_id: ordinal as i32,
        bytes: 1000,
        items,
        ..RequestPart::default()
    };
    EventKind::Noted { ordinal, request }
}

pub fn produce_answered(ordinal: u64, name: &str, offset: i64) -> EventKind {
    let latency = Latency { client_ns: 1_000, weir_ns: 20_000, broker_ns: 900_000 };
    let items = vec![topic(name, Some(offset), None)];
    let response = ResponsePart { bytes: 80, items, latency, ..ResponsePart::default() };
    EventKind::Exchange { ordinal, request: None, response }
}

pub fn fetch(ordinal: u64, name: &str, offset: i64, records: u32) -> EventKind {
    let request = RequestPart {
        api_key: 1,
        api_version: 18,
        correlation_id: ordinal as i32,
        bytes: 90,
        items: vec![topic(name, Some(offset), None)],
        ..RequestPart::default()
    };
    let items = vec![topic(name, Some(offset), Some(records))];
    let response = ResponsePart { bytes: 5000, items, ..ResponsePart::default() };
    EventKind::Exchange { ordinal, request: Some(request), response }
}

pub fn refused(ordinal: u64, error_code: i16) -> EventKind {
    let request = RequestPart { api_key: 19, bytes: 50, ..RequestPart::default() };
    let response = ResponsePart { outcome: Outcome::Refused, error_code, bytes: 30, ..ResponsePart::default() };
    EventKind::Exchange { ordinal, request: Some(request), response }
}

/// Waits until everything appended is in the store.
pub fn settle(recorder: &Recorder) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while recorder.health().lag_bytes > 0 {
        assert!(Instant::now() < deadline, "the writer does not catch up: {:?}", recorder.health());
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn sessions(queries: &Queries) -> Vec<SessionSummary> {
    queries.sessions(&SessionFilter { limit: 100_000, ..SessionFilter::default() }).expect("sessions")
}

pub fn session_of(queries: &Queries, subject: &str) -> SessionSummary {
    let mut found = sessions(queries);
    found.retain(|session| session.identity.subject == subject);
    assert_eq!(found.len(), 1, "one session of {subject}: {found:?}");
    found.remove(0)
}

pub fn events(queries: &Queries, id: SessionId) -> Vec<RecordedEvent> {
    queries.exchanges(id, EventCursor::default(), usize::MAX).expect("events")
}

/// Every file below `folder`: its bytes and when it was last written.
pub fn files(folder: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let mut out = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let modified = path.metadata().unwrap().modified().unwrap();
        if path.is_dir() {
            out.extend(files(&path));
            out.insert(path.display().to_string(), (Vec::new(), modified));
        } else {
            out.insert(path.display().to_string(), (std::fs::read(&path).unwrap(), modified));
        }
    }
    out
}

/// Copies a store as it lies there, its gateway running or not.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
