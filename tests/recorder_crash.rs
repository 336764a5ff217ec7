//! What a kill, a torn or damaged journal and a full one do to the recording: nothing lost, nothing doubled, nothing
//! without an end, and damage said aloud.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod recorder_support;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use recorder_support::*;
use weir::event::{ConnectionNo, Event, EventKind};
use weir::recorder::{EndReason, Queries, RecordedEvent, Recorder, SessionState, open_read_only};

const STORE: &str = "WEIR_TEST_STORE";
const SHARDS: &str = "WEIR_TEST_SHARDS";

/// Runs in a process of its own (see `start_child`): each shard appends in bursts and acknowledges on stdout.
#[test]
fn child_that_records_until_it_is_killed() {
    let (Ok(store), Ok(shards)) = (std::env::var(STORE), std::env::var(SHARDS)) else {
        return;
    };
    let (_recorder, journals) = open(Path::new(&store), shards.parse().unwrap());
    std::thread::scope(|scope| {
        for (shard, mut journal) in journals.into_iter().enumerate() {
            scope.spawn(move || {
                // Not `stdout()`: its buffer would die with the process and acknowledge less than was appended.
                let mut out = OpenOptions::new().write(true).open("/proc/self/fd/1").unwrap();
                for connection in 0u64.. {
                    let mut acknowledge = |kind| {
                        append(&mut journal, connection, now_ns(), kind);
                        out.write_all(&[shard as u8]).unwrap();
                    };
                    acknowledge(opened(&format!("10.0.0.{}:4000", connection % 5)));
                    if connection % 7 != 3 {
                        acknowledge(identified(&format!("client-{}", connection % 5), "load"));
                    }
                    for ordinal in 0..40 {
                        acknowledge(produce_noted(ordinal, "orders", 1));
                        acknowledge(produce_answered(ordinal, "orders", ordinal as i64));
                    }
                    acknowledge(closed());
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
    });
}

fn now_ns() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn start_child(store: &Path, shards: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_records_until_it_is_killed", "--nocapture", "--quiet"])
        .env(STORE, store)
        .env(SHARDS, shards.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the child after `life`; the answer is how many events each shard had acknowledged.
fn kill_after(mut child: Child, life: Duration) -> BTreeMap<u8, usize> {
    let mut out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        out.read_to_end(&mut acknowledged).unwrap();
        acknowledged
    });
    std::thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut counts = BTreeMap::new();
    // The test harness prints a line of its own first; shards are small numbers, its text is not.
    for shard in reader.join().unwrap().into_iter().filter(|byte| *byte < 8) {
        *counts.entry(shard).or_default() += 1;
    }
    counts
}

fn everything(queries: &Queries) -> Vec<RecordedEvent> {
    let mut all: Vec<RecordedEvent> =
        sessions(queries).iter().flat_map(|session| events(queries, session.id)).collect();
    all.sort_by_key(|event| (event.boot, event.shard, event.id));
    all
}

/// Each connection's events are complete and in order: nothing is missing between the first and the last, nothing twice.
fn check_without_gaps(events: &[RecordedEvent]) {
    let mut expected: BTreeMap<(u32, u16), (u64, u64)> = BTreeMap::new();
    for event in events {
        let (connection, place) = expected.entry((event.boot, event.shard)).or_default();
        let skips_identity = *connection % 7 == 3;
        let is_right = match (&event.kind, *place) {
            (EventKind::Opened { .. }, 0) | (EventKind::Identified { .. }, 1) | (EventKind::Closed { .. }, 82) => true,
            (EventKind::Noted { ordinal, .. }, place @ 2..82) => place == 2 + 2 * ordinal,
            (EventKind::Exchange { ordinal, .. }, place @ 2..82) => place == 3 + 2 * ordinal,
            _ => false,
        };
        assert!(is_right && event.connection.0 == *connection, "{event:?} at {connection}, {place}");
        (*connection, *place) = match *place {
            0 if skips_identity => (*connection, 2),
            82 => (*connection + 1, 0),
            place => (*connection, place + 1),
        };
    }
}

#[test]
fn a_kill_under_load_loses_nothing_acknowledged_doubles_nothing_and_leaves_no_session_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for (life_ms, shards) in [(900, 2), (60, 2), (700, 1), (120, 3), (1100, 2)] {
        let child = start_child(folder.path(), shards);
        let counts = kill_after(child, Duration::from_millis(life_ms));
        if !folder.path().join("db/CURRENT").exists() {
            continue;
        }
        let before = files(folder.path());
        let view = open_read_only(folder.path()).unwrap();
        let (seen, listed) = (everything(&view), sessions(&view));
        assert!(before == files(folder.path()), "the read-only view changed a file");
        check_without_gaps(&seen);
        assert!(listed.iter().all(|session| session.state == SessionState::Ended));
        let latest = seen.iter().map(|event| event.boot).max().unwrap_or(0);
        for (shard, count) in &counts {
            let of_shard = |event: &&RecordedEvent| event.boot == latest && event.shard == u16::from(*shard);
            let recorded = seen.iter().filter(of_shard).count();
            // One may have been appended and not acknowledged when the kill came.
            assert!((*count..=*count + 1).contains(&recorded), "shard {shard}: {count} acknowledged, {recorded} found");
            acknowledged += count;
        }
    }
    assert!(acknowledged > 20_000, "only {acknowledged} events: no load");
    // A view is of the files as they are; a recorder that starts may compact them away under it.
    let view = open_read_only(folder.path()).unwrap();
    let (listed, seen) = (sessions(&view), everything(&view));
    drop(view);
    let (recorder, _journals) = open(folder.path(), 4);
    let queries = recorder.queries();
    assert_eq!(listed, sessions(&queries), "recovery finds what the view showed");
    assert!(seen == everything(&queries), "recovery finds what the view showed");
    assert!(everything(&queries).len() >= acknowledged);
    assert!(recorder.health().damage.is_empty());
    let ends: Vec<_> = sessions(&queries).iter().map(|session| session.end_reason).collect();
    assert!(ends.iter().all(|end| *end == Some(EndReason::Recovered)), "{ends:?}");
}

/// A store whose journal holds `count` events that never reached the database: copied before the writer's tick.
fn killed_store(folder: &Path, count: u64) -> PathBuf {
    let (live, copy) = (folder.join("live"), folder.join("copy"));
    let (recorder, mut journals) = open(&live, 1);
    append(&mut journals[0], 1, NOON_NS, opened("10.0.0.7:4000"));
    append(&mut journals[0], 1, NOON_NS, identified("analyst-7", "reports"));
    settle(&recorder);
    // The writer has just ticked, so the next 250 ms are ours.
    for number in 0..count {
        append(&mut journals[0], 1, NOON_NS + number, fetch(number, "orders", 0, 1));
    }
    copy_folder(&live, &copy);
    drop(recorder);
    copy
}

fn journal_of(store: &Path) -> PathBuf {
    store.join("journal/shard-0.journal")
}

/// The position up to which entries were complete, as the file says.
fn head_of(journal: &Path) -> u64 {
    let mut head = [0; 8];
    std::fs::File::open(journal).unwrap().read_exact_at(&mut head, 2048).unwrap();
    u64::from_le_bytes(head)
}

fn fetches(queries: &Queries) -> usize {
    let all = everything(queries);
    all.iter().filter(|event| matches!(event.kind, EventKind::Exchange { .. })).count()
}

#[test]
fn a_half_written_entry_is_left_out_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let store = killed_store(folder.path(), 50);
    let journal = journal_of(&store);
    let file = OpenOptions::new().write(true).open(&journal).unwrap();
    file.write_all_at(&[0xaa; 40], 4096 + head_of(&journal)).unwrap();
    assert_eq!(fetches(&open_read_only(&store).unwrap()), 50);
    let (recorder, _journals) = open(&store, 1);
    assert_eq!(fetches(&recorder.queries()), 50);
    assert_eq!(recorder.health().damage, []);
}

#[test]
fn a_flipped_byte_ends_what_is_read_and_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let store = killed_store(folder.path(), 50);
    let journal = journal_of(&store);
    let head = head_of(&journal);
    let file = OpenOptions::new().read(true).write(true).open(&journal).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 4096 + head - 400).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 4096 + head - 400).unwrap();
    let before = fetches(&open_read_only(&store).unwrap());
    assert!((30..50).contains(&before), "{before}");
    let (recorder, _journals) = open(&store, 1);
    assert_eq!(fetches(&recorder.queries()), before);
    let damage = recorder.health().damage;
    assert_eq!(damage.len(), 1);
    assert!((400..600).contains(&damage[0].lost_bytes), "{damage:?}");
    assert_eq!(session_of(&recorder.queries(), "analyst-7").end_reason, Some(EndReason::Recovered));
}

#[test]
fn a_file_that_is_no_journal_any_more_is_put_aside_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let store = killed_store(folder.path(), 5);
    let file = OpenOptions::new().write(true).open(journal_of(&store)).unwrap();
    file.write_all_at(&[0; 64], 0).unwrap();
    let (recorder, _journals) = open(&store, 1);
    assert_eq!(recorder.health().damage.len(), 1);
    assert!(store.join("journal/shard-0.damaged").exists());
    assert_eq!(session_of(&recorder.queries(), "analyst-7").end_reason, Some(EndReason::Recovered));
}

#[test]
fn a_full_journal_says_so_and_goes_on_when_the_writer_has_caught_up() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, mut journals) = open(folder.path(), 1);
    append(&mut journals[0], 1, NOON_NS, opened("10.0.0.7:4000"));
    append(&mut journals[0], 1, NOON_NS, identified("analyst-7", "reports"));
    let (mut full, count) = (0, 120_000u64);
    for number in 0..count {
        let kind = fetch(number, "orders", number as i64, 1);
        let event = Event { connection: ConnectionNo(1), at_ns: NOON_NS + number, kind };
        while journals[0].append(&event).is_err() {
            full += 1;
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    assert!(full > 0, "the journal never was full: this checked nothing");
    settle(&recorder);
    let session = session_of(&recorder.queries(), "analyst-7");
    assert_eq!((session.exchanges, session.records_read), (count, count));
    // Ten megabytes went through one megabyte of ring: in order, each once.
    let ordinals: Vec<u64> = events(&recorder.queries(), session.id)
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::Exchange { ordinal, .. } => Some(ordinal),
            _ => None,
        })
        .collect();
    assert!(ordinals.into_iter().eq(0..count));
}

#[test]
fn a_journal_without_space_is_refused_at_start_with_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path(), 1);
    options.journal_bytes = 1 << 60;
    let refused = Recorder::open(options).map(|_| ()).expect_err("refused").to_string();
    assert!(refused.contains("1152921504606851072 bytes") && refused.contains("journal_bytes"), "{refused}");
    open(folder.path(), 1).0.shutdown().unwrap();
}

/// Runs in a process of its own whose files may not grow beyond 2 MiB at first.
#[test]
fn child_whose_disk_is_full() {
    let (Ok(store), Err(_)) = (std::env::var(STORE), std::env::var(SHARDS)) else {
        return;
    };
    let (recorder, mut journals) = open(Path::new(&store), 1);
    append(&mut journals[0], 1, NOON_NS, opened("10.0.0.7:4000"));
    append(&mut journals[0], 1, NOON_NS, identified("analyst-7", "reports"));
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut count, mut full) = (0u64, 0);
    // Until the store has failed and the journal behind it has filled up.
    while full < 50 {
        assert!(Instant::now() < deadline, "{count} events, {:?}", recorder.health());
        let name = format!("topic-{:x}", count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let kind = fetch(count, &name, 0, 1);
        let event = Event { connection: ConnectionNo(1), at_ns: NOON_NS + count, kind };
        match journals[0].append(&event) {
            Ok(()) => count += 1,
            Err(_) if recorder.health().writable => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => full += 1,
        }
    }
    let health = recorder.health();
    assert!(!health.writable && health.lag_bytes > 500_000, "{health:?}");
    assert!(health.failed.is_some_and(|reason| reason.contains("the store")));
    let limits = rustix::process::getrlimit(rustix::process::Resource::Fsize);
    let raised = rustix::process::Rlimit { current: limits.maximum, ..limits };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, raised).unwrap();
    while !recorder.health().writable || recorder.health().lag_bytes > 0 {
        assert!(Instant::now() < deadline, "it does not recover: {:?}", recorder.health());
        std::thread::sleep(Duration::from_millis(20));
    }
    let session = session_of(&recorder.queries(), "analyst-7");
    assert_eq!(session.exchanges, count);
    let seen = events(&recorder.queries(), session.id);
    assert_eq!(seen.len() as u64, count + 2, "each event once, also those of the write that failed");
    recorder.shutdown().unwrap();
}

#[test]
fn a_full_disk_is_said_aloud_holds_the_shards_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -S -f 4096; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_whose_disk_is_full", "--nocapture"])
        .env(STORE, folder.path())
        .env_remove(SHARDS)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}
