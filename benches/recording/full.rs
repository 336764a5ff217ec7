//! Full recording: produced batches of 1 KiB records through one journal and the one writer thread into the store.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use weir::event::piece::{Content, Piece, Way};
use weir::event::{ConnectionNo, Event};
use weir::recorder::{FrameCursor, Recorder, RecorderOptions, SessionFilter, ShardJournal, open_read_only};

use super::{Error, START_NS, Uneven, begin, bytes_of, produce};

/// How long each kind is recorded.
const LASTS: Duration = Duration::from_secs(12);
const RECORD_BYTES: usize = 1024;
const BATCH_BYTES: usize = 64 * 1024;
/// Different batches, so that nothing repeats within a block.
const BATCHES: usize = 64;
const ANSWER_BYTES: usize = 71;

/// All kinds, each on connections of its own number.
pub(super) fn run_all() -> Result<(), Error> {
    println!("full recording: batches of 64 KiB of 1 KiB records, for {LASTS:?} each, on a journal of 64 MiB");
    for (name, batches) in [("JSON", batches(&json)), ("incompressible", batches(&incompressible))] {
        for connections in [1, 50] {
            run(name, &batches, connections)?;
        }
    }
    Ok(())
}

fn batches(make: &dyn Fn(&mut Uneven) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut uneven = Uneven(0x2545_f491_4f6c_dd1d);
    let mut batch = || {
        let mut batch = ((BATCH_BYTES - 4) as u32).to_be_bytes().to_vec();
        while batch.len() < BATCH_BYTES {
            batch.extend(make(&mut uneven));
        }
        batch.truncate(BATCH_BYTES);
        batch
    };
    (0..BATCHES).map(|_| batch()).collect()
}

/// An order as services write them: the same names in each, numbers and ids of their own, words of a language.
fn json(uneven: &mut Uneven) -> Vec<u8> {
    const WORDS: [&str; 24] = [
        "parcel",
        "left",
        "with",
        "neighbour",
        "urgent",
        "gift",
        "wrapped",
        "blue",
        "large",
        "small",
        "return",
        "paid",
        "express",
        "north",
        "gate",
        "before",
        "noon",
        "fragile",
        "second",
        "floor",
        "bell",
        "broken",
        "call",
        "ahead",
    ];
    let mut text = format!(
        r#"{{"order_id":"{:016x}{:016x}","customer":{{"id":{},"name":"customer-{}","country":"DE"}},"created":"2026-11-22T10:{:02}:{:02}.{:03}Z","currency":"EUR","items":["#,
        uneven.below(u64::MAX),
        uneven.below(u64::MAX),
        uneven.below(9_000_000),
        uneven.below(90_000),
        uneven.below(60),
        uneven.below(60),
        uneven.below(1000),
    );
    for _ in 0..5 {
        text += &format!(
            r#"{{"sku":"{:08x}","quantity":{},"price":{}.{:02},"tax":0.19}},"#,
            uneven.below(1 << 32),
            1 + uneven.below(9),
            uneven.below(500),
            uneven.below(100),
        );
    }
    text += r#"],"note":""#;
    while text.len() < RECORD_BYTES - 2 {
        text += WORDS[uneven.below(WORDS.len() as u64) as usize];
        text.push(' ');
    }
    text.truncate(RECORD_BYTES - 2);
    text += r#""}"#;
    text.into_bytes()
}

fn incompressible(uneven: &mut Uneven) -> Vec<u8> {
    (0..RECORD_BYTES / 8).flat_map(|_| uneven.below(u64::MAX).to_le_bytes()).collect()
}

fn run(name: &str, batches: &[Vec<u8>], connections: u64) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let mut options = RecorderOptions::new(folder.path(), "weir-1", 1);
    options.journal_bytes = 64 * 1024 * 1024;
    let (recorder, mut journals) = Recorder::open(options)?;
    let journal = &mut journals[0];
    (0..connections).try_for_each(|connection| begin(journal, connection))?;
    let mut uneven = Uneven(0x9e37_79b9_7f4a_7c15);
    let (mut recorded, mut waits) = (0u64, 0u64);
    let before = cpu_of_threads()?;
    let started = Instant::now();
    for number in 0u64.. {
        if started.elapsed() >= LASTS {
            break;
        }
        let connection = ConnectionNo(number % connections);
        let at_ns = START_NS + started.elapsed().as_nanos() as u64;
        let batch = &batches[(number * 7 % BATCHES as u64) as usize];
        let request = Piece { ordinal: number, way: Way::Request, at: 0, content: Content::Bytes(batch) };
        let response = Piece { way: Way::Response, content: Content::Bytes(&batch[..ANSWER_BYTES]), ..request };
        waits += append(journal, |journal| journal.append_piece(connection, at_ns, &request).is_ok());
        waits += append(journal, |journal| journal.append_piece(connection, at_ns, &response).is_ok());
        for event in produce(number, at_ns, &mut uneven) {
            let event = Event { connection, at_ns, ..event };
            waits += append(journal, |journal| journal.append(&event).is_ok());
        }
        recorded += (batch.len() + ANSWER_BYTES) as u64;
    }
    while recorder.health().lag_bytes > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let lasted = started.elapsed().as_secs_f64();
    let after = cpu_of_threads()?;
    recorder.shutdown()?;
    let read = read_back(folder.path())?;
    let on_disk = bytes_of(&folder.path().join("db"), &|name| name.ends_with(".sst") || name.ends_with(".blob"))?;
    println!(
        "{name:15} {connections:3} connections  {:6.0} MB/s  {:.3} bytes of disk a byte  {waits} waits for the writer, \
         read back at {read:.0} MB/s",
        recorded as f64 / lasted / 1e6,
        on_disk as f64 / recorded as f64,
    );
    for (thread, ticks) in after {
        let spent = ticks.saturating_sub(before.get(&thread).copied().unwrap_or(0)) as f64 / 100.0;
        if spent > 0.0 {
            println!(
                "{:15} {thread:16} {:.2} s of CPU a GB, {:.0} % of a core",
                "",
                spent / recorded as f64 * 1e9,
                spent / lasted * 100.0
            );
        }
    }
    Ok(())
}

/// Reads all frames of the session, in pages of 4 MiB; the answer is how many MB a second that were.
fn read_back(store: &Path) -> Result<f64, Error> {
    let queries = open_read_only(store)?;
    let id = queries.sessions(&SessionFilter::default())?.first().ok_or("no session")?.id;
    let (began, mut bytes, mut from) = (Instant::now(), 0, FrameCursor::default());
    loop {
        let page = queries.frames(id, from, 4 << 20)?;
        bytes += page.frames.iter().map(|frame| frame.bytes.len()).sum::<usize>();
        from = page.next;
        if page.is_last {
            return Ok(bytes as f64 / began.elapsed().as_secs_f64() / 1e6);
        }
    }
}

/// Appends, waiting for the writer as a shard does; the answer is how often.
fn append(journal: &mut ShardJournal, mut append: impl FnMut(&mut ShardJournal) -> bool) -> u64 {
    let mut waits = 0;
    while !append(journal) {
        std::thread::sleep(Duration::from_micros(200));
        waits += 1;
    }
    waits
}

/// CPU time of this process's threads by name, hundredths of a second.
fn cpu_of_threads() -> Result<BTreeMap<String, u64>, Error> {
    let mut spent: BTreeMap<String, u64> = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task")? {
        let Ok(stat) = std::fs::read_to_string(task?.path().join("stat")) else { continue };
        let (head, tail) = stat.rsplit_once(')').unwrap_or_default();
        let name = head.split_once('(').map_or(head, |(_, name)| name);
        let fields: Vec<u64> =
            tail.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        *spent.entry(name.to_owned()).or_default() += fields.iter().sum::<u64>();
    }
    Ok(spent)
}
