//! What a recorded exchange costs: bytes of disk, nanoseconds of the shard, and how many events a second the writer takes;
//! and how many bytes a second it takes where frames are kept whole (`full`).
//!
//! Goes through a real journal into a real store, with numbers as uneven as a network makes them.

mod full;

use std::path::Path;
use std::time::{Duration, Instant};

use weir::event::{
    ConnectionNo, Event, EventKind, Identity, Item, Latency, Mechanism, RequestPart, Resource, ResponsePart,
};
use weir::recorder::{Recorder, RecorderOptions, ShardJournal};

const EXCHANGES: u64 = 1_000_000;
const START_NS: u64 = 1_795_341_600_000_000_000;
/// How far the clock moves per exchange: five thousand exchanges a second.
const STEP_NS: u64 = 200_000;

/// Exchanges made and then appended together.
const EXCHANGES_AT_ONCE: usize = 200;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    if std::env::args().any(|argument| argument == "full") {
        return full::run_all();
    }
    println!("{EXCHANGES} exchanges each, one connection, one topic-partition, the store flushed and compacted");
    run("produce", produce)?;
    run("fetch", fetch)?;
    full::run_all()
}

/// Numbers that look random and are the same in every run.
struct Uneven(u64);

impl Uneven {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn item(offset: Option<i64>, records: Option<u32>, bytes: Option<u64>) -> Item {
    let (resource, name) = (Resource::Topic, "orders.eu.created".to_owned());
    Item { resource, name, partition: Some(3), offset, records, bytes, error_code: 0 }
}

fn latency(uneven: &mut Uneven) -> Latency {
    Latency {
        client_ns: 2_000 + uneven.below(30_000),
        weir_ns: 9_000 + uneven.below(12_000),
        broker_ns: 400_000 + uneven.below(900_000),
    }
}

fn produce(number: u64, at_ns: u64, uneven: &mut Uneven) -> Vec<Event> {
    let records = 90 + uneven.below(20) as u32;
    let bytes = u64::from(records) * 160 + uneven.below(4000);
    let request = RequestPart {
        api_key: 0,
        api_version: 13,
        correlation_id: number as i32,
        bytes: bytes + 140,
        items: vec![item(None, Some(records), Some(bytes))],
        ..RequestPart::default()
    };
    let latency = latency(uneven);
    let offset = (number * 100) as i64;
    let response =
        ResponsePart { bytes: 71, items: vec![item(Some(offset), None, None)], latency, ..ResponsePart::default() };
    let answered_ns = at_ns + latency.broker_ns + latency.weir_ns;
    let connection = ConnectionNo(7);
    vec![
        Event { connection, at_ns, kind: EventKind::Noted { ordinal: number, request } },
        Event {
            connection,
            at_ns: answered_ns,
            kind: EventKind::Exchange { ordinal: number, request: None, response },
        },
    ]
}

fn fetch(number: u64, at_ns: u64, uneven: &mut Uneven) -> Vec<Event> {
    let records = 90 + uneven.below(20) as u32;
    let bytes = u64::from(records) * 160 + uneven.below(4000);
    let offset = (number * 100) as i64;
    let request = RequestPart {
        api_key: 1,
        api_version: 18,
        correlation_id: number as i32,
        bytes: 98,
        items: vec![item(Some(offset), None, None)],
        ..RequestPart::default()
    };
    let response = ResponsePart {
        bytes: bytes + 120,
        items: vec![item(Some(offset), Some(records), Some(bytes))],
        latency: latency(uneven),
        ..ResponsePart::default()
    };
    let kind = EventKind::Exchange { ordinal: number, request: Some(request), response };
    vec![Event { connection: ConnectionNo(7), at_ns, kind }]
}

fn begin(journal: &mut ShardJournal, connection: u64) -> Result<(), Error> {
    let identity = Identity {
        issuer: "weir".into(),
        subject: "order-service".into(),
        groups: vec!["services".into()],
        mechanism: Mechanism::PlainToken,
    };
    let opened = EventKind::Opened { listener: "main".into(), peer: "10.1.2.3:50000".parse()?, broker: Some(1) };
    let identified = EventKind::Identified { identity, client_id: Some("orders".into()) };
    for kind in [opened, identified] {
        journal.append(&Event { connection: ConnectionNo(connection), at_ns: START_NS, kind })?;
    }
    Ok(())
}

fn run(name: &str, make: fn(u64, u64, &mut Uneven) -> Vec<Event>) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let mut uneven = Uneven(0x9e37_79b9_7f4a_7c15);
    let mut options = RecorderOptions::new(folder.path(), "weir-1", 1);
    options.journal_bytes = 64 * 1024 * 1024;
    let (recorder, mut journals) = Recorder::open(options)?;
    begin(&mut journals[0], 7)?;
    let started = Instant::now();
    let (mut appending, mut count) = (Vec::new(), 0);
    for first in (0..EXCHANGES).step_by(EXCHANGES_AT_ONCE) {
        // Waiting for the writer is not counted as appending, and events are fresh in the cache, as a shard's are.
        while recorder.health().lag_bytes > 32 * 1024 * 1024 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let numbers = first..EXCHANGES.min(first + EXCHANGES_AT_ONCE as u64);
        let events: Vec<Event> =
            numbers.flat_map(|number| make(number, START_NS + number * STEP_NS, &mut uneven)).collect();
        let began = Instant::now();
        for event in &events {
            journals[0].append(event)?;
        }
        appending.push(began.elapsed().as_nanos() / events.len() as u128);
        count += events.len();
    }
    while recorder.health().lag_bytes > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let writing = started.elapsed();
    appending.sort_unstable();
    recorder.compact()?;
    let wal = bytes_of(&folder.path().join("db"), &|name| name.ends_with(".log"))?;
    let all = bytes_of(&folder.path().join("db"), &|_| true)?;
    recorder.shutdown()?;
    let count = count as f64;
    println!(
        "{name:8} {:6.1} bytes of disk per exchange (indexes included; {:.1} with RocksDB's WAL and logs)  append {} (median) \
         ns/event  writer {:.2} million events/s",
        bytes_of(&folder.path().join("db"), &|name| name.ends_with(".sst"))? as f64 / EXCHANGES as f64,
        all as f64 / EXCHANGES as f64,
        appending[appending.len() / 2],
        count / writing.as_secs_f64() / 1e6,
    );
    println!("{:8} WAL at that moment {wal} bytes (bounded, not per exchange); journals are preallocated", "");
    Ok(())
}

/// Bytes that the files of `folder` take whose name `counts`.
fn bytes_of(folder: &Path, counts: &dyn Fn(&str) -> bool) -> Result<u64, Error> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if counts(&entry.file_name().to_string_lossy()) {
            bytes += entry.metadata()?.blocks() * 512;
        }
    }
    Ok(bytes)
}
