//! Which connection belongs to which session, what a session says, and how sessions and their events are found.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod recorder_support;

use std::time::Duration;

use recorder_support::*;
use weir::event::{EventKind, Outcome};
use weir::recorder::{
    EndReason, EventCursor, Recorder, RecorderError, SessionFilter, SessionState, UNIDENTIFIED_ISSUER,
    UNIDENTIFIED_SUBJECT, open_access, open_read_only,
};

#[test]
fn connections_of_one_client_join_one_session_across_shards() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, mut journals) = open(folder.path(), 3);
    for (shard, journal) in journals.iter_mut().enumerate() {
        let at_ns = NOON_NS + shard as u64 * SECOND_NS;
        append(journal, 1, at_ns, opened(&format!("10.0.0.7:{}", 4000 + shard)));
        append(journal, 1, at_ns + 1, identified("analyst-7", "reports"));
        append(journal, 1, at_ns + 2, produce_noted(0, "orders", 5));
        append(journal, 1, at_ns + 3, produce_answered(0, "orders", 100));
        // Another client id, another subject and another address are other sessions.
        append(journal, 2, at_ns + 4, opened("10.0.0.7:5000"));
        append(journal, 2, at_ns + 5, identified("analyst-7", "other"));
        append(journal, 3, at_ns + 6, opened("10.0.0.8:5000"));
        append(journal, 3, at_ns + 7, identified("analyst-8", "reports"));
    }
    settle(&recorder);
    let all = sessions(&recorder.queries());
    assert_eq!(all.len(), 3, "{all:?}");
    let is_joined = |client: Option<&str>, subject: &str| client == Some("reports") && subject == "analyst-7";
    let joined = all.iter().find(|one| is_joined(one.client_id.as_deref(), &one.identity.subject)).unwrap();
    assert_eq!((joined.connections_open, joined.connections_total, joined.exchanges), (3, 3, 3));
    assert_eq!((joined.records_written, joined.records_read), (15, 0));
    assert_eq!((joined.bytes_in, joined.bytes_out), (3000, 240));
    assert_eq!((joined.started_ns, joined.last_activity_ns), (NOON_NS, NOON_NS + 2 * SECOND_NS + 3));
    assert_eq!((joined.topics.as_slice(), joined.state), (["orders".to_owned()].as_slice(), SessionState::Open));
    let seen = events(&recorder.queries(), joined.id);
    assert_eq!(seen.len(), 12);
    assert!(seen.windows(2).all(|pair| pair[0].id < pair[1].id && pair[0].at_ns <= pair[1].at_ns));
    recorder.shutdown().unwrap();
    let after = open_read_only(folder.path()).unwrap();
    assert!(sessions(&after).iter().all(|session| session.end_reason == Some(EndReason::Stopped)));
}

#[test]
fn a_session_ends_when_its_last_connection_has_been_closed_for_the_idle_time() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, mut journals) = open(folder.path(), 1);
    let journal = &mut journals[0];
    let visit = |journal: &mut _, connection, at_ns| {
        append(journal, connection, at_ns, opened("10.0.0.7:4000"));
        append(journal, connection, at_ns, identified("analyst-7", "reports"));
        append(journal, connection, at_ns + SECOND_NS, closed());
    };
    visit(journal, 1, NOON_NS);
    visit(journal, 2, NOON_NS + 60 * SECOND_NS); // 59 s after the close: the same session
    visit(journal, 3, NOON_NS + 122 * SECOND_NS); // 61 s after the close: another
    settle(&recorder);
    let mut all = sessions(&recorder.queries());
    all.sort_by_key(|session| session.id);
    assert_eq!(all.iter().map(|session| session.connections_total).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(all[0].ended_ns, Some(NOON_NS + 121 * SECOND_NS));
    assert_eq!(all[0].end_reason, Some(EndReason::Idle));
    drop(recorder);
}

#[test]
fn an_idle_session_ends_by_itself_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path(), 1);
    options.session_idle = Duration::from_millis(700);
    let (recorder, mut journals) = Recorder::open(options).unwrap();
    let now_ns = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    append(&mut journals[0], 1, now_ns, opened("10.0.0.7:4000"));
    append(&mut journals[0], 1, now_ns, identified("analyst-7", "reports"));
    append(&mut journals[0], 2, now_ns, opened("10.0.0.7:4001"));
    append(&mut journals[0], 2, now_ns, identified("stays", "reports"));
    append(&mut journals[0], 1, now_ns, closed());
    settle(&recorder);
    assert_eq!(session_of(&recorder.queries(), "analyst-7").state, SessionState::Idle);
    std::thread::sleep(Duration::from_millis(1300));
    let ended = session_of(&recorder.queries(), "analyst-7");
    assert_eq!((ended.state, ended.end_reason), (SessionState::Ended, Some(EndReason::Idle)));
    assert_eq!(ended.ended_ns, Some(now_ns + 700_000_000));
    assert_eq!(session_of(&recorder.queries(), "stays").state, SessionState::Open);
}

#[test]
fn a_connection_that_never_identifies_is_seen_though_its_blocks_were_cut_before() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, mut journals) = open(folder.path(), 1);
    let journal = &mut journals[0];
    append(journal, 1, NOON_NS, opened("10.0.0.9:4000"));
    append(journal, 2, NOON_NS, opened("10.0.0.9:4001"));
    append(journal, 3, NOON_NS, opened("10.0.0.9:4002"));
    settle(&recorder);
    let failed = EventKind::LoginFailed {
        mechanism: "PLAIN".into(),
        claimed: Some("eve".into()),
        reason: "no such token".into(),
    };
    append(journal, 1, NOON_NS + 1, failed);
    settle(&recorder);
    assert_eq!(sessions(&recorder.queries()), [], "nothing is decided while they may still log in");
    append(journal, 1, NOON_NS + 2, closed());
    append(journal, 2, NOON_NS + 3, closed());
    append(journal, 3, NOON_NS + 4, identified("late", "slow"));
    settle(&recorder);
    let unidentified = session_of(&recorder.queries(), UNIDENTIFIED_SUBJECT);
    assert_eq!(unidentified.identity.issuer, UNIDENTIFIED_ISSUER);
    assert_eq!((unidentified.connections_total, unidentified.errors), (2, 1));
    let kinds: Vec<(u64, bool)> = events(&recorder.queries(), unidentified.id)
        .iter()
        .map(|event| (event.connection.0, matches!(event.kind, EventKind::Closed { .. })))
        .collect();
    assert_eq!(kinds, [(1, false), (2, false), (1, false), (1, true), (2, true)]);
    let late = session_of(&recorder.queries(), "late");
    assert_eq!(events(&recorder.queries(), late.id).len(), 2, "what came before it said who it is belongs to it");
}

#[test]
fn sessions_are_found_by_identity_topic_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, mut journals) = open(folder.path(), 1);
    let hour_ns = 3600 * SECOND_NS;
    for (number, (subject, name)) in
        [("ann", "orders"), ("ann", "payments"), ("bob", "orders"), ("anna", "orders.eu")].into_iter().enumerate()
    {
        let (connection, at_ns) = (number as u64, NOON_NS + number as u64 * hour_ns);
        append(&mut journals[0], connection, at_ns, opened(&format!("10.0.0.{number}:4000")));
        append(&mut journals[0], connection, at_ns, identified(subject, "app"));
        append(&mut journals[0], connection, at_ns + SECOND_NS, fetch(0, name, 0, 3));
        append(&mut journals[0], connection, at_ns + 2 * SECOND_NS, closed());
    }
    settle(&recorder);
    let queries = recorder.queries();
    let ask = |filter: SessionFilter| -> Vec<u64> {
        let found = queries.sessions(&filter).unwrap();
        found.iter().map(|session| (session.started_ns - NOON_NS) / hour_ns).collect()
    };
    let any = SessionFilter::default;
    let (ann, orders) = (Some("ann".to_owned()), Some("orders".to_owned()));
    assert_eq!(ask(any()), [3, 2, 1, 0]);
    assert_eq!(ask(SessionFilter { limit: 2, ..any() }), [3, 2]);
    assert_eq!(ask(SessionFilter { limit: 0, ..any() }), Vec::<u64>::new());
    assert_eq!(ask(SessionFilter { identity: ann.clone(), ..any() }), [1, 0]);
    assert_eq!(ask(SessionFilter { topic: orders.clone(), ..any() }), [2, 0]);
    assert_eq!(ask(SessionFilter { identity: ann.clone(), topic: orders.clone(), ..any() }), [0]);
    assert_eq!(ask(SessionFilter { identity: Some("nobody".into()), ..any() }), Vec::<u64>::new());
    let since_ns = Some(NOON_NS + hour_ns);
    assert_eq!(ask(SessionFilter { since_ns, ..any() }), [3, 2, 1]);
    assert_eq!(ask(SessionFilter { since_ns: Some(NOON_NS + hour_ns + 3 * SECOND_NS), ..any() }), [3, 2]);
    assert_eq!(ask(SessionFilter { until_ns: since_ns, ..any() }), [1, 0]);
    assert_eq!(ask(SessionFilter { until_ns: Some(NOON_NS + hour_ns - 1), ..any() }), [0]);
    assert_eq!(ask(SessionFilter { identity: ann, since_ns, until_ns: since_ns, ..any() }), [1]);
    assert_eq!(ask(SessionFilter { topic: orders, since_ns, ..any() }), [2]);
    let first = queries.sessions(&any()).unwrap().remove(0);
    assert_eq!(queries.session(first.id).unwrap(), Some(first));
    assert_eq!(queries.session(weir::event::SessionId::from_u64(1)).unwrap(), None);
}

#[test]
fn reading_goes_on_from_any_event_and_a_note_without_an_answer_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, mut journals) = open(folder.path(), 2);
    for (shard, journal) in journals.iter_mut().enumerate() {
        append(journal, 1, NOON_NS, opened(&format!("10.0.0.7:{}", 4000 + shard)));
        append(journal, 1, NOON_NS + 1, identified("analyst-7", "reports"));
    }
    for round in 0..40u64 {
        let journal = &mut journals[(round % 2) as usize];
        let (ordinal, at_ns) = (round / 2, NOON_NS + 10 + round * SECOND_NS / 10);
        append(journal, 1, at_ns, produce_noted(ordinal, "orders", 1));
        if round % 10 == 3 {
            settle(&recorder);
        }
        if round != 6 && round != 39 {
            append(journal, 1, at_ns + 5, produce_answered(ordinal, "orders", round as i64));
        }
    }
    append(&mut journals[0], 1, NOON_NS + 10 * SECOND_NS, closed());
    settle(&recorder);
    let (queries, id) = (recorder.queries(), session_of(&recorder.queries(), "analyst-7").id);
    let whole = events(&queries, id);
    assert_eq!(whole.len(), 4 + 40 + 38 + 1);
    let joined = queries.joined_exchanges(id, EventCursor::default(), usize::MAX).unwrap();
    let outcomes: Vec<Outcome> = joined
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Exchange { request, response, .. } => {
                assert_eq!(request.as_ref().map(|request| request.items.len()), Some(1));
                Some(response.outcome)
            }
            EventKind::Noted { .. } => panic!("a note was left unjoined"),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes.len(), 40);
    let unknown: Vec<usize> = (0..40).filter(|place| outcomes[*place] == Outcome::Unknown).collect();
    assert_eq!(unknown, [6, 39]);
    for size in [1, 3, 7] {
        for (all, read) in [
            (&whole, &(|from| queries.exchanges(id, from, size).unwrap()) as &dyn Fn(EventCursor) -> Vec<_>),
            (&joined, &|from| queries.joined_exchanges(id, from, size).unwrap()),
        ] {
            let mut paged = Vec::new();
            loop {
                let from =
                    paged.last().map_or(EventCursor::default(), |event: &weir::recorder::RecordedEvent| event.id);
                assert_eq!(from.to_string().parse(), Ok(from));
                let page = read(from);
                if page.is_empty() {
                    break;
                }
                paged.extend(page);
            }
            assert_eq!(&paged, all, "pages of {size}");
        }
    }
}

#[test]
fn refusals_errors_and_what_was_not_captured_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, mut journals) = open(folder.path(), 1);
    let journal = &mut journals[0];
    append(journal, 1, NOON_NS, opened("10.0.0.7:4000"));
    append(journal, 1, NOON_NS, identified("analyst-7", "reports"));
    append(journal, 1, NOON_NS, refused(0, 29));
    append(journal, 1, NOON_NS, fetch(1, "orders", 5, 7));
    append(journal, 1, NOON_NS, EventKind::NotCaptured { events: 12 });
    for number in 0..100 {
        append(journal, 1, NOON_NS, fetch(2 + number, &format!("topic-{number}"), 0, 0));
    }
    settle(&recorder);
    let session = session_of(&recorder.queries(), "analyst-7");
    assert_eq!((session.exchanges, session.errors, session.refused, session.not_captured), (102, 1, 1, 12));
    assert_eq!((session.records_read, session.records_written), (7, 0));
    assert_eq!((session.topics.len(), session.topics_omitted), (64, 37));
    let json = serde_json::to_value(&session).unwrap();
    assert_eq!(json["id"], session.id.to_string());
    assert_eq!((&json["state"], &json["identity"]["mechanism"]), (&"open".into(), &"plain_token".into()));
    assert_eq!((&json["started"], &json["started_ns"]), (&"2026-11-22T10:00:00Z".into(), &NOON_NS.into()));
    let event = serde_json::to_value(&events(&recorder.queries(), session.id)[2]).unwrap();
    assert_eq!((&event["event"], &event["response"]["outcome"]), (&"exchange".into(), &"refused".into()));
}

#[test]
fn days_beyond_retention_go_and_later_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let day_ns = 86_400 * SECOND_NS;
    let today_ns = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let (recorder, mut journals) = open(folder.path(), 1);
    let journal = &mut journals[0];
    append(journal, 9, today_ns - 5 * day_ns, opened("10.0.0.9:4000"));
    append(journal, 9, today_ns - 5 * day_ns, identified("long", "app"));
    for (number, days) in [5, 3, 1, 0].into_iter().enumerate() {
        let (connection, at_ns) = (number as u64, today_ns - days * day_ns);
        append(journal, connection, at_ns, opened("10.0.0.7:4000"));
        append(journal, connection, at_ns, identified(&format!("days-{days}"), "app"));
        append(journal, connection, at_ns, fetch(0, "orders", 0, 3));
        append(journal, connection, at_ns, closed());
        settle(&recorder);
    }
    append(journal, 9, today_ns, closed());
    recorder.shutdown().unwrap();
    drop(journals);
    assert_eq!(sessions(&open_read_only(folder.path()).unwrap()).len(), 5);

    let mut options = options(folder.path(), 1);
    options.retention_days = Some(2);
    let (recorder, _journals) = Recorder::open(options).unwrap();
    let mut subjects = Vec::new();
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(50));
        subjects = sessions(&recorder.queries()).into_iter().map(|session| session.identity.subject).collect();
        if subjects.len() == 3 {
            break;
        }
    }
    subjects.sort();
    assert_eq!(subjects, ["days-0", "days-1", "long"]);
    let queries = recorder.queries();
    let by_topic = SessionFilter { topic: Some("orders".into()), ..SessionFilter::default() };
    assert_eq!(queries.sessions(&by_topic).unwrap().len(), 2);
    assert_eq!(events(&queries, session_of(&queries, "days-1").id).len(), 4);
    assert_eq!(events(&queries, session_of(&queries, "long").id).len(), 1, "its first day went, its last stays");
    recorder.shutdown().unwrap();
    let families = rocksdb::DB::list_cf(&rocksdb::Options::default(), folder.path().join("db")).unwrap();
    assert_eq!(families.iter().filter(|name| name.starts_with("blocks-")).count(), 2, "{families:?}");
}

#[test]
fn a_store_of_a_newer_schema_is_refused_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), 1).0.shutdown().unwrap();
    let path = folder.path().join("db");
    let families = rocksdb::DB::list_cf(&rocksdb::Options::default(), &path).unwrap();
    let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), &path, families).unwrap();
    db.put_cf(db.cf_handle("meta").unwrap(), b"schema", 9u64.to_be_bytes()).unwrap();
    drop(db);
    for refused in [
        Recorder::open(options(folder.path(), 1)).err(),
        open_read_only(folder.path()).err(),
        open_access(folder.path()).err(),
    ] {
        let refused = refused.expect("refused");
        assert!(matches!(refused, RecorderError::NewerSchema { found: 9, .. }));
        assert!(refused.to_string().contains("use the weir that wrote it"), "{refused}");
    }
}

#[test]
fn one_process_writes_a_store_and_others_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, _journals) = open(folder.path(), 1);
    recorder.access().put(b"token/1", b"hash").unwrap();
    assert!(matches!(Recorder::open(options(folder.path(), 1)), Err(RecorderError::InUse { .. })));
    assert!(matches!(open_access(folder.path()), Err(RecorderError::InUse { .. })));
    recorder.shutdown().unwrap();
    let access = open_access(folder.path()).unwrap();
    access.put(b"token/2", b"other").unwrap();
    access.put(b"tokem", b"not below the prefix").unwrap();
    let rows = access.scan(b"token/").unwrap();
    assert_eq!(rows, [(b"token/1".to_vec(), b"hash".to_vec()), (b"token/2".to_vec(), b"other".to_vec())]);
    access.delete(b"token/1").unwrap();
    assert_eq!((access.get(b"token/1").unwrap(), access.scan(b"token/").unwrap().len()), (None, 1));
    drop(access);
    let missing = tempfile::tempdir().unwrap();
    assert!(matches!(open_read_only(missing.path()), Err(RecorderError::Missing { .. })));
    assert_eq!(std::fs::read_dir(missing.path()).unwrap().count(), 0);
}

#[test]
fn only_its_user_can_look_into_a_store() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let (recorder, _journals) = open(&path, 1);
    let mode = |path: std::path::PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o700);
    assert_eq!(mode(path.join("journal")), 0o700);
    assert_eq!(mode(path.join("journal/shard-0.journal")), 0o600);
    assert_eq!(mode(path.join("lock")), 0o600);
    drop(recorder);
}
