//! Damaged files, older stores, and clocks that are set back: refused with the way out, read as they are, or harmless; never
//! a panic, and never another recording than was made.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod recorder_support;

use std::path::{Path, PathBuf};

use recorder_support::*;
use weir::event::ConnectionNo;
use weir::event::piece::{Content, Piece, Way};
use weir::recorder::{FrameCursor, Recorder, RecorderError, SessionFilter, SessionState, ShardJournal, open_read_only};

/// What a session that reads and writes leaves: events, and frames long enough for blob files.
fn record(journal: &mut ShardJournal, connection: u64, at_ns: u64) {
    append(journal, connection, at_ns, opened(&format!("10.0.0.{connection}:4000")));
    append(journal, connection, at_ns, identified(&format!("analyst-{connection}"), "reports"));
    let mut dice = connection + 1;
    let bytes: Vec<u8> = (0..30_000)
        .map(|_| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (dice >> 33) as u8
        })
        .collect();
    for number in 0..40 {
        append(journal, connection, at_ns + number, fetch(number, "orders", 0, 1));
        let piece = Piece { ordinal: number, way: Way::Request, at: 0, content: Content::Bytes(&bytes) };
        while journal.append_piece(ConnectionNo(connection), at_ns + number, &piece).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    append(journal, connection, at_ns + 50, closed());
}

/// All that can be asked; the answer is the number of events and of frames.
fn ask_everything(queries: &weir::recorder::Queries) -> Result<(usize, usize), RecorderError> {
    let (mut events, mut frames) = (0, 0);
    for session in queries.sessions(&SessionFilter { limit: usize::MAX, ..SessionFilter::default() })? {
        events += queries.exchanges(session.id, Default::default(), usize::MAX)?.len();
        frames += queries.frames(session.id, FrameCursor::default(), usize::MAX)?.frames.len();
    }
    Ok((events, frames))
}

fn files_of(db: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(db).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(".sst") || name.ends_with(".blob") || name.starts_with("MANIFEST") || name == "CURRENT"
    });
    files.sort();
    files
}

#[test]
fn a_damaged_database_is_refused_or_its_questions_are_and_the_file_and_the_way_out_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, mut journals) = open(folder.path(), 1);
    (0..3).for_each(|connection| record(&mut journals[0], connection, NOON_NS));
    settle(&recorder);
    recorder.shutdown().unwrap();
    let db = folder.path().join("db");
    let whole = ask_everything(&open_read_only(folder.path()).unwrap()).unwrap();
    assert_eq!(whole, (3 * 43, 3 * 40));
    let files = files_of(&db);
    assert!(files.iter().any(|file| file.extension().is_some_and(|extension| extension == "blob")), "{files:?}");
    let (mut refused, mut unread) = (0, 0);
    for file in files {
        let healthy = std::fs::read(&file).unwrap();
        let flipped = |place: usize| {
            let mut bytes = healthy.clone();
            bytes[place] ^= 0x40;
            Some(bytes)
        };
        let half = Some(healthy[..healthy.len() / 2].to_vec());
        for damaged in [flipped(healthy.len() / 2), flipped(healthy.len() - 1), flipped(0), half, None] {
            match damaged {
                Some(bytes) => std::fs::write(&file, bytes).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            let looked = open_read_only(folder.path()).and_then(|queries| ask_everything(&queries));
            std::fs::write(&file, &healthy).unwrap();
            match looked {
                // A byte that nobody reads: RocksDB's own notes.
                Ok(found) => {
                    assert_eq!(found, whole, "{}", file.display());
                    unread += 1;
                }
                Err(RecorderError::Missing { .. }) => assert!(file.ends_with("CURRENT")),
                Err(error) => {
                    let said = error.to_string();
                    let names = said.contains(&db.display().to_string());
                    // Of a blob file RocksDB says what is wrong and not where: the family says whose it is.
                    let is_named = said.contains(".sst") || said.contains("family `blocks-");
                    let whole_database = matches!(error, RecorderError::DatabaseDamaged { .. });
                    assert!(names && (whole_database || is_named), "{}: {said}", file.display());
                    assert!(said.contains("backup"), "{}: {said}", file.display());
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 20 && unread < refused, "{refused} refused, {unread} unread");
    // A start meets the same words.
    let manifest = files_of(&db).into_iter().find(|file| file.to_string_lossy().contains("MANIFEST")).unwrap();
    let healthy = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, &healthy[..healthy.len() / 2 + 1]).unwrap();
    let said = Recorder::open(options(folder.path(), 1)).map(|_| ()).expect_err("refused").to_string();
    assert!(said.contains(&db.display().to_string()) && said.contains("move it aside"), "{said}");
    std::fs::write(&manifest, &healthy).unwrap();
    // The way out: without the database it starts, empty.
    std::fs::rename(&db, folder.path().join("db.damaged")).unwrap();
    let (recorder, _journals) = open(folder.path(), 1);
    assert_eq!(ask_everything(&recorder.queries()).unwrap(), (0, 0));
}

#[test]
fn sessions_are_found_by_address_and_in_days_without_that_index_too() {
    let folder = tempfile::tempdir().unwrap();
    let of = |address: &str| SessionFilter { address: address.parse().ok(), ..SessionFilter::default() };
    let (recorder, mut journals) = open(folder.path(), 1);
    (0..3).for_each(|connection| record(&mut journals[0], connection, NOON_NS));
    settle(&recorder);
    recorder.shutdown().unwrap();
    let check = |queries: &weir::recorder::Queries, later: bool| {
        let found = |address: &str| queries.sessions(&of(address)).unwrap().len();
        assert_eq!(found("10.0.0.1"), 1);
        assert_eq!(found("10.0.0.0/31"), 2);
        assert_eq!(found("10.0.0.0/24"), 3 + usize::from(later));
        assert_eq!(found("10.0.0.9"), usize::from(later));
        assert_eq!(found("10.1.0.0/16") + found("::1"), 0);
        let topic = SessionFilter { topic: Some("orders".into()), ..of("10.0.0.2") };
        assert_eq!(queries.sessions(&topic).unwrap().len(), 1);
        let identity = SessionFilter { identity: Some("analyst-1".into()), ..of("10.0.0.2") };
        assert_eq!(queries.sessions(&identity).unwrap().len(), 0);
    };
    check(&open_read_only(folder.path()).unwrap(), false);

    // The same store as the first schema would have left it.
    let path = folder.path().join("db");
    let names = rocksdb::DB::list_cf(&rocksdb::Options::default(), &path).unwrap();
    let mut db = rocksdb::DB::open_cf(&rocksdb::Options::default(), &path, names).unwrap();
    db.put_cf(db.cf_handle("meta").unwrap(), b"schema", 1u64.to_be_bytes()).unwrap();
    db.drop_cf("by_address").unwrap();
    db.drop_cf("frames_by_session").unwrap();
    drop(db);
    check(&open_read_only(folder.path()).unwrap(), false);
    let (recorder, mut journals) = open(folder.path(), 1);
    check(&recorder.queries(), false);
    record(&mut journals[0], 9, NOON_NS + 3 * 86_400 * SECOND_NS);
    settle(&recorder);
    check(&recorder.queries(), true);
}

#[test]
fn a_clock_that_was_set_back_loses_no_session_and_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, mut journals) = open(folder.path(), 2);
    // A connection keeps its own time; one that is accepted after the step begins an hour, or a day, earlier.
    for (number, back_ns) in [0, 3600 * SECOND_NS, 30 * 3600 * SECOND_NS, 1].into_iter().enumerate() {
        record(&mut journals[number % 2], number as u64, NOON_NS - back_ns);
    }
    // One session over the step: its second connection begins before its first.
    append(&mut journals[0], 20, NOON_NS, opened("10.0.0.7:4000"));
    append(&mut journals[0], 20, NOON_NS, identified("analyst-over", "reports"));
    append(&mut journals[1], 21, NOON_NS - 7200 * SECOND_NS, opened("10.0.0.7:4001"));
    append(&mut journals[1], 21, NOON_NS - 7200 * SECOND_NS, identified("analyst-over", "reports"));
    append(&mut journals[0], 20, NOON_NS + 5, fetch(0, "orders", 0, 1));
    append(&mut journals[1], 21, NOON_NS - 7199 * SECOND_NS, fetch(0, "payments", 0, 1));
    settle(&recorder);
    recorder.shutdown().unwrap();
    let view = open_read_only(folder.path()).unwrap();
    let all = sessions(&view);
    assert_eq!(all.len(), 5);
    let ids: std::collections::BTreeSet<_> = all.iter().map(|session| session.id).collect();
    assert_eq!(ids.len(), 5, "ids are unique though time was given out twice");
    assert!(
        all.iter().all(|session| session.state == SessionState::Ended && session.ended_ns >= Some(session.started_ns))
    );
    assert_eq!(ask_everything(&view).unwrap(), (4 * 43 + 6, 4 * 40));
    let over = session_of(&view, "analyst-over");
    assert_eq!((over.exchanges, over.connections_total), (2, 2));
    assert_eq!(over.started_ns, NOON_NS - 7200 * SECOND_NS);
    let at: Vec<u64> = events(&view, over.id).iter().map(|event| event.at_ns).collect();
    assert!(at.is_sorted() && at.len() == 6, "{at:?}");
    // Found in the hours in which it did something, on both sides of the step.
    for topic in ["orders", "payments"] {
        let filter =
            SessionFilter { topic: Some(topic.into()), identity: Some("analyst-over".into()), ..Default::default() };
        assert_eq!(view.sessions(&filter).unwrap().len(), 1, "{topic}");
    }
}
