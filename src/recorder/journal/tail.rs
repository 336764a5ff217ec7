//! Reading journals: a live one through its ring, one of a previous life from its file, several merged by time.
//!
//! Invariants:
//! - A reader stops at the first place that holds no valid entry; it never skips over damage to guess at what follows.
//! - Reading a file changes nothing in it and holds a window of it in memory, not all.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::ring::{Consumer, DATA_START, Gauge, HEAD_AT};
use super::{ENTRY_HEAD, Entry, JournalHead, POLICY_BYTES, PolicyChange, read_entry};
use crate::event::piece::Piece;
use crate::event::{ConnectionNo, Event, entry};
use crate::limits::EVENT_BYTES_MAX;
use crate::recorder::error::RecorderError;

/// How much of a file is read at once; at least one entry of the longest kind.
const WINDOW_BYTES: usize = 4 * EVENT_BYTES_MAX;

/// Where a journal's bytes come from.
#[derive(Debug)]
pub(in crate::recorder) enum Bytes {
    /// The ring of this life.
    Live(Consumer),
    /// The file of a previous life.
    File { file: File, path: PathBuf, window: Vec<u8>, start: u64, head: u64 },
}

impl Bytes {
    /// The position before which every entry was complete.
    pub(in crate::recorder) fn head(&self) -> u64 {
        match self {
            Bytes::Live(consumer) => consumer.head(),
            Bytes::File { head, .. } => *head,
        }
    }

    /// The bytes at `position`, as far as they are at hand in one piece, at least an entry's if there is one.
    fn at(&mut self, position: u64, capacity: u64) -> Result<&[u8], RecorderError> {
        match self {
            Bytes::Live(consumer) => Ok(consumer.committed(position)),
            Bytes::File { file, path, window, start, .. } => {
                let lap_left = capacity - position % capacity;
                let wanted = (EVENT_BYTES_MAX as u64 + 8).min(lap_left);
                if position < *start || position + wanted > *start + window.len() as u64 {
                    window.resize(lap_left.min(WINDOW_BYTES as u64) as usize, 0);
                    let read = file.read_exact_at(window, DATA_START + position % capacity);
                    read.map_err(RecorderError::io("read the journal", path))?;
                    *start = position;
                }
                Ok(&window[(position - *start) as usize..])
            }
        }
    }
}

/// The entry that is next.
#[derive(Debug)]
enum Next {
    Event(Event),
    /// A piece stays where it is until it is taken: from this position on, so many bytes.
    Piece {
        at_ns: u64,
        from: u64,
        length: usize,
    },
    Policy(PolicyChange),
}

/// An entry as it is taken.
#[derive(Debug)]
pub(in crate::recorder) enum Taken<'a> {
    /// An event.
    Event(Event),
    /// A piece of a frame: its connection, when it passed, itself.
    Piece(ConnectionNo, u64, Piece<'a>),
    /// What follows happens under the policy of this hash.
    Policy([u8; 32]),
}

/// A place in a journal from which entries are read.
#[derive(Debug)]
pub(in crate::recorder) struct Tail {
    pub head: JournalHead,
    pub bytes: Bytes,
    /// After the last entry that was taken.
    pub position: u64,
    /// Entries whose checksum was right and whose content was not: another version's.
    pub unreadable: u64,
    next: Option<(Next, u64)>,
    read_to: u64,
}

impl Tail {
    /// Reads on from `position`.
    pub(in crate::recorder) fn new(head: JournalHead, bytes: Bytes, position: u64) -> Tail {
        Tail { head, bytes, position, unreadable: 0, next: None, read_to: position }
    }

    /// Reads from `position` on, which the store says was reached before.
    pub(in crate::recorder) fn start_at(&mut self, position: u64) {
        self.position = position;
        self.read_to = position;
    }

    /// Opens the journal that a previous life left in `path`; none when the file holds no journal.
    pub(in crate::recorder) fn open(path: &Path) -> Result<Option<Tail>, RecorderError> {
        let file = File::open(path).map_err(RecorderError::io("open the journal", path))?;
        let length = file.metadata().map_err(RecorderError::io("open the journal", path))?.len();
        let mut page = [0; DATA_START as usize];
        if length < DATA_START {
            return Ok(None);
        }
        file.read_exact_at(&mut page, 0).map_err(RecorderError::io("read the journal", path))?;
        let Some(head) = JournalHead::decode(&page) else {
            return Ok(None);
        };
        if head.capacity.checked_add(DATA_START) != Some(length) {
            return Ok(None);
        }
        let at = page[HEAD_AT as usize..].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let bytes = Bytes::File { file, path: path.to_owned(), window: Vec::new(), start: 0, head: at };
        Ok(Some(Tail::new(head, bytes, 0)))
    }

    /// The time of the next entry that starts before `limit`.
    pub(in crate::recorder) fn peek_ns(&mut self, limit: u64) -> Result<Option<u64>, RecorderError> {
        while self.next.is_none() && self.read_to < limit {
            let (capacity, at) = (self.head.capacity, self.read_to);
            match read_entry(self.bytes.at(at, capacity)?, &self.head, at) {
                None => break,
                Some(Entry::Pad) => self.read_to += capacity - at % capacity,
                Some(Entry::Policy(change)) => {
                    self.read_to += (ENTRY_HEAD + POLICY_BYTES) as u64;
                    self.next = Some((Next::Policy(change), self.read_to));
                }
                Some(Entry::Event(bytes)) => {
                    self.read_to += (ENTRY_HEAD + bytes.len()) as u64;
                    match entry::decode(bytes) {
                        Ok(event) => self.next = Some((Next::Event(event), self.read_to)),
                        Err(_) => self.unreadable += 1,
                    }
                }
                Some(Entry::Piece(bytes)) => {
                    let (from, length) = (at + ENTRY_HEAD as u64, bytes.len());
                    self.read_to = from + length as u64;
                    match entry::decode_piece(bytes) {
                        Ok((_, at_ns, _)) => self.next = Some((Next::Piece { at_ns, from, length }, self.read_to)),
                        Err(_) => self.unreadable += 1,
                    }
                }
            }
        }
        if self.next.is_none() {
            self.position = self.position.max(self.read_to);
        }
        Ok(self.next.as_ref().map(|(next, _)| match next {
            Next::Event(event) => event.at_ns,
            Next::Piece { at_ns, .. } => *at_ns,
            Next::Policy(change) => change.at_ns,
        }))
    }

    /// Gives up on what lies before `limit` when no valid entry stands there; the answer is how many bytes that were.
    pub(in crate::recorder) fn give_up_to(&mut self, limit: u64) -> u64 {
        let lost_bytes = limit.saturating_sub(self.read_to);
        self.read_to = self.read_to.max(limit);
        self.position = self.position.max(limit);
        lost_bytes
    }

    /// How far this journal's reader is behind; none for a file.
    pub(in crate::recorder) fn gauge(&self) -> Option<Gauge> {
        match &self.bytes {
            Bytes::Live(consumer) => Some(consumer.gauge()),
            Bytes::File { .. } => None,
        }
    }

    /// Takes the entry that was peeked at; it ends at the position that comes with it.
    pub(in crate::recorder) fn take(&mut self) -> Result<Option<(Taken<'_>, u64)>, RecorderError> {
        let Some((next, end)) = self.next.take() else {
            return Ok(None);
        };
        self.position = end;
        match next {
            Next::Event(event) => Ok(Some((Taken::Event(event), end))),
            Next::Policy(change) => Ok(Some((Taken::Policy(change.hash), end))),
            Next::Piece { from, length, .. } => {
                let bytes = self.bytes.at(from, self.head.capacity)?;
                let piece = bytes.get(..length).and_then(|bytes| entry::decode_piece(bytes).ok());
                Ok(piece.map(|(connection, at_ns, piece)| (Taken::Piece(connection, at_ns, piece), end)))
            }
        }
    }
}

/// The tail with the earliest next entry, each read up to its limit. Each journal keeps its own order.
pub(in crate::recorder) fn earliest(tails: &mut [Tail], limits: &[u64]) -> Result<Option<usize>, RecorderError> {
    let mut earliest: Option<(u64, usize)> = None;
    for (place, (tail, limit)) in tails.iter_mut().zip(limits).enumerate() {
        let Some(at_ns) = tail.peek_ns(*limit)? else { continue };
        if earliest.is_none_or(|(best, _)| at_ns < best) {
            earliest = Some((at_ns, place));
        }
    }
    Ok(earliest.map(|(_, place)| place))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::event::{ConnectionNo, EventKind};
    use crate::recorder::journal::{self, JournalFull, ShardJournal};
    use crossbeam::channel::bounded;
    use proptest::prelude::*;

    fn event(number: u64, length: usize) -> Event {
        let (mechanism, reason) = (String::new(), "x".repeat(length));
        let kind = EventKind::LoginFailed { mechanism, claimed: None, reason };
        Event { connection: ConnectionNo(number), at_ns: number, kind }
    }

    fn journal_of(folder: &Path, capacity: u64, epoch: u64) -> (ShardJournal, Tail) {
        let head = JournalHead { node: "weir-1".into(), boot: 1, shard: 0, capacity, epoch, policy_hash: [0; 32] };
        let (journal, consumer) =
            journal::create(folder, &head, bounded(1).0, &mut super::super::sync::Syncer::new()).unwrap();
        (journal, Tail::new(head, Bytes::Live(consumer), 0))
    }

    fn take_one(tail: &mut Tail) -> Option<Event> {
        let limit = tail.bytes.head();
        tail.peek_ns(limit).unwrap();
        let event = tail.take().unwrap().map(|(taken, _)| match taken {
            Taken::Event(event) => event,
            Taken::Piece(..) | Taken::Policy(_) => panic!("only events went in"),
        });
        if let Bytes::Live(consumer) = &mut tail.bytes {
            consumer.release_to(tail.position);
        }
        event
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn events_pass_the_rings_end_in_order_and_full_means_full(
            capacity in 300u64..3000, steps in prop::collection::vec((any::<bool>(), 0usize..200), 1..400),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (mut journal, mut tail) = journal_of(folder.path(), capacity, 9);
            let (mut appended, mut taken) = (0, 0);
            for (append, length) in steps {
                if append && journal.append(&event(appended, length)).is_ok() {
                    appended += 1;
                } else if let Some(event) = take_one(&mut tail) {
                    prop_assert_eq!(event.connection.0, taken);
                    taken += 1;
                } else {
                    prop_assert_eq!(taken, appended, "nothing to take, yet not all was taken");
                }
            }
            // What a kill at this moment leaves: exactly what was appended and not given back.
            let mut left = Tail::open(&journal::file_of(folder.path(), 0)).unwrap().unwrap();
            left.start_at(tail.position);
            while let Some(at_ns) = left.peek_ns(u64::MAX).unwrap() {
                prop_assert_eq!(at_ns, taken);
                left.take().unwrap();
                taken += 1;
            }
            prop_assert_eq!(taken, appended);
        }
    }

    #[test]
    fn a_full_journal_takes_nothing_until_bytes_are_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, mut tail) = journal_of(folder.path(), 1000, 9);
        let mut appended = 0;
        while journal.append(&event(appended, 50)).is_ok() {
            appended += 1;
        }
        assert_eq!(journal.append(&event(appended, 50)), Err(JournalFull));
        assert_eq!(take_one(&mut tail).unwrap().connection.0, 0);
        assert_eq!(take_one(&mut tail).unwrap().connection.0, 1);
        assert_eq!(journal.append(&event(appended, 50)), Ok(()));
    }

    #[test]
    fn what_an_earlier_lap_or_an_earlier_journal_left_is_no_entry() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, mut tail) = journal_of(folder.path(), 700, 9);
        // Equal events lie at equal places in every lap: only the seed tells the laps apart.
        for number in 0..40 {
            journal.append(&event(7, 50)).unwrap();
            assert!(take_one(&mut tail).is_some(), "{number}");
        }
        let path = journal::file_of(folder.path(), 0);
        let reread = |from: u64| {
            let mut tail = Tail::open(&path).unwrap().unwrap();
            tail.start_at(from);
            tail.peek_ns(u64::MAX).unwrap()
        };
        assert!(tail.position > 2 * 700);
        assert_eq!(reread(tail.position), None, "the lap before is not read again");
        let mut bytes = std::fs::read(&path).unwrap();
        let head = JournalHead::decode(&bytes).unwrap();
        let at = (DATA_START + tail.position % 700) as usize;
        let lap_before = tail.position - 700;
        assert!(read_entry(&bytes[at..], &head, lap_before).is_some(), "the bytes are there, of the lap before");
        let other = JournalHead { epoch: 10, ..head };
        assert!(read_entry(&bytes[at..], &other, lap_before).is_none());
        bytes[at + 10] ^= 4;
        assert!(read_entry(&bytes[at..], &other, lap_before).is_none());
    }
}
