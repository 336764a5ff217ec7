//! Frames come back from full recording byte for byte: from pieces of any cut, across blocks, shards and starts, with what
//! was withheld or lost said, page by page from any place, and after a kill at any byte of the journal.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod recorder_support;

use std::os::unix::fs::FileExt;

use proptest::collection::vec;
use proptest::prelude::*;
use recorder_support::*;
use weir::event::piece::{Content, Piece, Way, Withheld};
use weir::event::{ConnectionNo, SessionId};
use weir::limits;
use weir::recorder::{
    CapturedFrame, EndReason, FrameCursor, JournalFull, Queries, Recorder, ShardJournal, Stretch, open_read_only,
};

/// What became of a stretch of a frame on its way into the recording.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Kept,
    Withheld(Withheld),
    Lost,
}

/// A frame as it passed: its stretches in order, each with its length and fate.
#[derive(Debug, Clone)]
struct Passing {
    connection: u64,
    stretches: Vec<(usize, Fate)>,
    seed: u8,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Kept),
        1 => Just(Fate::Withheld(Withheld::Secret)),
        1 => Just(Fate::Withheld(Withheld::NotAsked)),
        1 => Just(Fate::Lost),
    ]
}

fn passing() -> impl Strategy<Value = Passing> {
    let length = prop_oneof![4 => 1usize..40, 2 => 1usize..5000, 1 => 1usize..100_000];
    (0u64..3, vec((length, fate()), 0..6), any::<u8>()).prop_map(|(connection, stretches, seed)| Passing {
        connection,
        stretches,
        seed,
    })
}

/// A frame with its length prefix before `stretches`, of bytes that are told apart.
fn bytes_of(stretches: &[(usize, Fate)], seed: u8) -> Vec<u8> {
    let length: usize = stretches.iter().map(|(length, _)| length).sum();
    let mut bytes = (length as u32).to_be_bytes().to_vec();
    bytes.extend((0..length).map(|place| (place / 7) as u8 ^ seed));
    bytes
}

fn append_piece(journal: &mut ShardJournal, connection: u64, at_ns: u64, piece: &Piece<'_>) {
    while let Err(JournalFull) = journal.append_piece(ConnectionNo(connection), at_ns, piece) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Appends a whole frame as one piece.
fn append_frame(journal: &mut ShardJournal, connection: u64, at_ns: u64, (ordinal, way): (u64, Way), bytes: &[u8]) {
    append_piece(journal, connection, at_ns, &Piece { ordinal, way, at: 0, content: Content::Bytes(bytes) });
}

/// Appends `passing` as the `ordinal`'s frame and says how it is to come back.
fn pass(journal: &mut ShardJournal, passing: &Passing, ordinal: u64, way: Way, now_ns: &mut u64) -> CapturedFrame {
    let mut bytes = bytes_of(&passing.stretches, passing.seed);
    let frame_bytes = Some(bytes.len() as u64);
    let at_ns = *now_ns + 1;
    let (mut withheld, mut lost) = (Vec::<Stretch>::new(), Vec::<Stretch>::new());
    let mut at = 0;
    for (length, fate) in std::iter::once((4, Fate::Kept)).chain(passing.stretches.iter().copied()) {
        *now_ns += 1;
        let place = at as u64;
        let why = match fate {
            Fate::Kept => None,
            Fate::Withheld(why) => Some(why),
            Fate::Lost => None,
        };
        let content = match why {
            None => Content::Bytes(&bytes[at..at + length]),
            Some(why) => Content::Withheld { bytes: length as u64, why },
        };
        if fate != Fate::Lost {
            append_piece(journal, passing.connection, *now_ns, &Piece { ordinal, way, at: place, content });
        }
        if fate != Fate::Kept {
            bytes[at..at + length].fill(0);
            let stretches = if why.is_some() { &mut withheld } else { &mut lost };
            match stretches.last_mut() {
                Some(last) if last.at + last.bytes == place && last.why == why => last.bytes += length as u64,
                _ => stretches.push(Stretch { at: place, bytes: length as u64, why }),
            }
        }
        at += length;
    }
    let (id, connection) = (FrameCursor::default(), ConnectionNo(passing.connection));
    CapturedFrame { id, boot: 1, shard: 0, connection, ordinal, way, at_ns, at: 0, bytes, frame_bytes, withheld, lost }
}

fn begin(journal: &mut ShardJournal, connection: u64, at_ns: u64) {
    append(journal, connection, at_ns, opened("10.0.0.7:4000"));
    append(journal, connection, at_ns, identified("analyst-7", "reports"));
}

fn frames_from(queries: &Queries, id: SessionId, mut from: FrameCursor, limit_bytes: usize) -> Vec<CapturedFrame> {
    let mut frames = Vec::new();
    loop {
        let page = queries.frames(id, from, limit_bytes).expect("frames");
        assert!(page.frames.last().is_none_or(|last| last.id == page.next));
        frames.extend(page.frames);
        from = page.next;
        if page.is_last {
            return frames;
        }
    }
}

fn frames(queries: &Queries, id: SessionId) -> Vec<CapturedFrame> {
    frames_from(queries, id, FrameCursor::default(), usize::MAX)
}

fn without_ids(frames: Vec<CapturedFrame>) -> Vec<CapturedFrame> {
    frames.into_iter().map(|frame| CapturedFrame { id: FrameCursor::default(), ..frame }).collect()
}

/// Records `all` on one shard, requests and responses by turns.
fn record(journal: &mut ShardJournal, all: &[Passing]) -> Vec<CapturedFrame> {
    let (mut now_ns, mut counts) = (NOON_NS, [0u64; 3]);
    (0..3).for_each(|connection| begin(journal, connection, now_ns));
    let mut expected = Vec::new();
    for passing in all {
        let count = &mut counts[passing.connection as usize];
        let way = if count.is_multiple_of(2) { Way::Request } else { Way::Response };
        expected.push(pass(journal, passing, *count / 2, way, &mut now_ns));
        *count += 1;
    }
    expected
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn frames_come_back_whatever_the_cut_page_by_page_and_from_any_place(
        all in vec(passing(), 1..60), limit_bytes in 1usize..200_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, mut journals) = open(folder.path(), 1);
        let expected = record(&mut journals[0], &all);
        settle(&recorder);
        let id = session_of(&recorder.queries(), "analyst-7").id;
        recorder.shutdown().unwrap();
        let view = open_read_only(folder.path()).unwrap();
        let session = session_of(&view, "analyst-7");
        prop_assert_eq!(session.frames, all.len() as u64);
        let found = frames(&view, id);
        // The end of a connection's last frame may be lost unnoticed: nothing came after it.
        let (is, should) = (without_ids(found.clone()), expected);
        prop_assert_eq!(is.len(), should.len());
        for (is, should) in is.iter().zip(&should) {
            if should.lost.last().is_some_and(|lost| lost.at + lost.bytes == should.bytes.len() as u64) {
                prop_assert!(should.bytes.starts_with(&is.bytes));
                prop_assert_eq!(is.frame_bytes, should.frame_bytes);
            } else {
                prop_assert_eq!(is, should);
            }
        }
        prop_assert_eq!(&frames_from(&view, id, FrameCursor::default(), limit_bytes), &found);
        for (place, frame) in found.iter().enumerate() {
            let from: FrameCursor = frame.id.to_string().parse().unwrap();
            prop_assert_eq!(from, frame.id);
            prop_assert_eq!(&frames_from(&view, id, from, limit_bytes)[..], &found[place + 1..]);
        }
    }

    #[test]
    fn a_journal_damaged_at_any_byte_gives_the_frames_before_it_and_once(
        all in vec(passing(), 1..30), place in 0.0f64..1.0,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (live, copy) = (folder.path().join("live"), folder.path().join("copy"));
        let (recorder, mut journals) = open(&live, 1);
        settle(&recorder);
        let kept: Vec<Passing> = all
            .iter()
            .map(|passing| {
                let stretches = passing.stretches.iter().map(|(length, _)| (*length, Fate::Kept)).collect();
                Passing { stretches, ..passing.clone() }
            })
            .collect();
        let expected = without_ids(record(&mut journals[0], &kept));
        copy_folder(&live, &copy);
        drop(recorder);
        let journal = copy.join("journal/shard-0.journal");
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&journal).unwrap();
        let mut head = [0; 8];
        file.read_exact_at(&mut head, 2048).unwrap();
        let at = 4096 + (u64::from_le_bytes(head) as f64 * place) as u64;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x55], at).unwrap();
        let view = open_read_only(&copy).unwrap();
        let listed = sessions(&view);
        let viewed: Vec<_> = listed.iter().map(|session| frames(&view, session.id)).collect();
        drop(view);
        let (recorder, _journals) = open(&copy, 1);
        prop_assert_eq!(&sessions(&recorder.queries()), &listed);
        let recovered: Vec<_> = listed.iter().map(|session| frames(&recorder.queries(), session.id)).collect();
        prop_assert_eq!(&recovered, &viewed, "recovery finds what the view showed");
        for session in &listed {
            prop_assert_eq!(session.end_reason, Some(EndReason::Recovered));
        }
        let found = without_ids(viewed.into_iter().flatten().collect());
        for (is, should) in found.iter().zip(&expected) {
            // The frame in which reading ended is cut off there.
            prop_assert!(is == should || should.bytes.starts_with(&is.bytes) && is.lost.is_empty());
        }
        prop_assert!(found.len() <= expected.len());
    }
}

#[test]
fn frames_of_many_connections_and_shards_come_in_order_of_time() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, mut journals) = open(folder.path(), 3);
    for (shard, journal) in journals.iter_mut().enumerate() {
        for connection in 0..20 {
            begin(journal, connection, NOON_NS + shard as u64);
        }
    }
    let mut expected = Vec::new();
    for number in 0..3000u64 {
        let (shard, connection) = ((number * 7 % 3) as usize, number * 13 % 20);
        let bytes = bytes_of(&[(200 + (number % 900) as usize, Fate::Kept)], number as u8);
        append_frame(&mut journals[shard], connection, NOON_NS + 1000 + number, (number, Way::Request), &bytes);
        expected.push((shard as u16, connection, number, bytes));
    }
    settle(&recorder);
    let id = session_of(&recorder.queries(), "analyst-7").id;
    let found = frames_from(&recorder.queries(), id, FrameCursor::default(), 50_000);
    let found: Vec<_> =
        found.into_iter().map(|frame| (frame.shard, frame.connection.0, frame.ordinal, frame.bytes)).collect();
    assert!(found == expected, "{} of {}", found.len(), expected.len());
}

#[test]
fn what_was_held_or_answered_here_does_not_tear_the_frame_that_began_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, mut journals) = open(folder.path(), 1);
    let journal = &mut journals[0];
    begin(journal, 0, NOON_NS);
    let frame = |seed| bytes_of(&[(500, Fate::Kept)], seed);
    let (second, third) = (frame(2), frame(3));
    for way in [Way::Request, Way::Response] {
        let part = |ordinal, at: usize, bytes| Piece { ordinal, way, at: at as u64, content: Content::Bytes(bytes) };
        append_frame(journal, 0, NOON_NS + 10, (1, way), &frame(1));
        // The third comes with the end of the first and goes on later; the second was held until then.
        append_piece(journal, 0, NOON_NS + 10, &part(3, 0, &third[..300]));
        append_piece(journal, 0, NOON_NS + 10, &part(2, 0, &second));
        append_piece(journal, 0, NOON_NS + 20, &part(3, 300, &third[300..]));
        append_frame(journal, 0, NOON_NS + 30, (4, way), &frame(4));
    }
    settle(&recorder);
    let id = session_of(&recorder.queries(), "analyst-7").id;
    for limit_bytes in [1, 1_000_000] {
        let found = frames_from(&recorder.queries(), id, FrameCursor::default(), limit_bytes);
        let of = |way| found.iter().filter(move |frame| frame.way == way);
        for way in [Way::Request, Way::Response] {
            let mut ordinals: Vec<u64> = of(way).map(|frame| frame.ordinal).collect();
            ordinals.sort_unstable();
            assert_eq!(ordinals, [1, 2, 3, 4], "{way:?}, pages of {limit_bytes}");
            let is_whole = |found: &CapturedFrame| found.lost.is_empty() && found.bytes == frame(found.ordinal as u8);
            assert!(of(way).all(is_whole), "{found:?}");
        }
    }
}

#[test]
fn a_frame_on_its_way_holds_back_what_began_after_it_until_it_is_whole_or_its_connection_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, mut journals) = open(folder.path(), 1);
    let journal = &mut journals[0];
    (0..2).for_each(|connection| begin(journal, connection, NOON_NS));
    let bytes = bytes_of(&[(100, Fate::Kept)], 1);
    let piece = |at: usize, to: usize| Piece {
        ordinal: 0,
        way: Way::Request,
        at: at as u64,
        content: Content::Bytes(&bytes[at..to]),
    };
    append_piece(journal, 0, NOON_NS + 1, &piece(0, 3));
    append_frame(journal, 1, NOON_NS + 2, (0, Way::Request), &bytes);
    settle(&recorder);
    let queries = recorder.queries();
    let id = session_of(&queries, "analyst-7").id;
    assert_eq!(frames(&queries, id), []);
    append_piece(journal, 0, NOON_NS + 3, &piece(3, 80));
    settle(&recorder);
    assert_eq!(frames(&queries, id), []);
    append_piece(journal, 0, NOON_NS + 4, &piece(80, 104));
    settle(&recorder);
    let both = frames(&queries, id);
    assert_eq!(both.iter().map(|frame| frame.connection.0).collect::<Vec<_>>(), [0, 1]);
    assert!(both.iter().all(|frame| frame.is_whole() && frame.bytes == bytes));

    // The connection's end cuts its last frame off: it is given out as far as it came, and nothing waits for it.
    append_piece(journal, 0, NOON_NS + 5, &Piece { ordinal: 1, ..piece(0, 50) });
    append_frame(journal, 1, NOON_NS + 6, (1, Way::Request), &bytes);
    settle(&recorder);
    assert_eq!(frames_from(&queries, id, both[1].id, usize::MAX), []);
    append(journal, 0, NOON_NS + 7, closed());
    settle(&recorder);
    let rest = frames_from(&queries, id, both[1].id, usize::MAX);
    assert_eq!(rest.len(), 2);
    assert_eq!((rest[0].bytes.len(), rest[0].frame_bytes, rest[0].is_whole()), (50, Some(104), false));
    assert_eq!(rest[0].lost, []);
}

#[test]
fn a_long_frame_comes_in_parts_that_make_it_up_and_a_page_holds_what_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path(), 1);
    options.journal_bytes = 64 << 20;
    let (recorder, mut journals) = Recorder::open(options).unwrap();
    let journal = &mut journals[0];
    (0..2).for_each(|connection| begin(journal, connection, NOON_NS));
    let part = limits::FRAME_PART_BYTES as usize;
    let long = bytes_of(&[(2 * part + part / 2, Fate::Kept)], 3);
    let small = bytes_of(&[(10, Fate::Kept)], 4);
    // 100,000 bytes are no divisor of a part: pieces cross from one to the next.
    for (number, bytes) in (0u64..).zip(long.chunks(100_000)) {
        let at = number * 100_000;
        let piece = Piece { ordinal: 7, way: Way::Response, at, content: Content::Bytes(bytes) };
        append_piece(journal, 0, NOON_NS + 1 + 2 * number, &piece);
        if number % 100 == 50 {
            append_frame(journal, 1, NOON_NS + 2 + 2 * number, (number, Way::Request), &small);
        }
    }
    settle(&recorder);
    let queries = recorder.queries();
    let id = session_of(&queries, "analyst-7").id;
    let found = frames_from(&queries, id, FrameCursor::default(), 1);
    assert_eq!(found, frames(&queries, id));
    let parts: Vec<_> = found.iter().filter(|frame| frame.ordinal == 7).collect();
    assert_eq!(parts.iter().map(|part| part.at).collect::<Vec<_>>(), [0, part as u64, 2 * part as u64]);
    assert!(parts.iter().all(|part| !part.is_whole() && part.frame_bytes == Some(long.len() as u64)));
    assert!(parts.iter().flat_map(|part| &part.bytes).eq(&long), "the parts make up the frame");
    assert_eq!(found.len(), 3 + 4);
    assert!(found.is_sorted_by_key(|frame| frame.at_ns));
}

#[test]
fn frames_before_the_login_belong_to_the_session_and_reading_may_begin_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, mut journals) = open(folder.path(), 1);
    let journal = &mut journals[0];
    append(journal, 1, NOON_NS, opened("10.0.0.7:4000"));
    let bytes = bytes_of(&[(30, Fate::Kept)], 5);
    append_frame(journal, 1, NOON_NS + 1, (0, Way::Request), &bytes);
    settle(&recorder);
    append(journal, 1, NOON_NS + 2, identified("analyst-7", "reports"));
    append_piece(
        journal,
        1,
        NOON_NS + 3,
        &Piece { ordinal: 1, way: Way::Request, at: 0, content: Content::Bytes(&bytes[..20]) },
    );
    settle(&recorder);
    append_piece(
        journal,
        1,
        NOON_NS + 4,
        &Piece { ordinal: 1, way: Way::Request, at: 20, content: Content::Bytes(&bytes[20..]) },
    );
    append_frame(journal, 1, NOON_NS + 5, (1, Way::Response), &bytes);
    settle(&recorder);
    let queries = recorder.queries();
    let session = session_of(&queries, "analyst-7");
    assert_eq!((session.frames, session.frame_bytes, session.frame_bytes_withheld), (3, 3 * 34, 0));
    let found = frames(&queries, session.id);
    assert_eq!(
        found.iter().map(|frame| (frame.ordinal, frame.at_ns - NOON_NS)).collect::<Vec<_>>(),
        [(0, 1), (1, 3), (1, 5)]
    );
    // What was on its way at that time is left out.
    let later = frames_from(&queries, session.id, FrameCursor::at(NOON_NS + 4), usize::MAX);
    assert_eq!(later, found[2..]);
}

#[test]
fn pieces_leave_a_quarter_of_the_journal_to_events() {
    let folder = tempfile::tempdir().unwrap();
    let (_recorder, mut journals) = open(folder.path(), 1);
    let journal = &mut journals[0];
    begin(journal, 1, NOON_NS);
    let bytes = vec![0x61; limits::PIECE_BYTES_MAX];
    let piece = Piece { ordinal: 0, way: Way::Request, at: 0, content: Content::Bytes(&bytes) };
    let mut taken = 0;
    while journal.append_piece(ConnectionNo(1), NOON_NS + 1, &piece).is_ok() {
        taken += 1;
        assert!(taken < 10_000, "it is never full: this checks nothing");
    }
    // 256 KiB are left: room for 1000 events of some 100 bytes, whatever the writer does meanwhile.
    for number in 0..1000 {
        let kind = fetch(number, "orders", 0, 1);
        let event = weir::event::Event { connection: ConnectionNo(1), at_ns: NOON_NS + 2 + number, kind };
        assert_eq!(journal.append(&event), Ok(()), "{number} after {taken}");
    }
}
