//! Reading journals: a live one through its ring, one of a previous life from its file, several merged by time.
//!
//! Invariants:
//! - A reader stops at the first place that holds no valid entry; it never skips over damage to guess at what follows.
//! - Reading a file changes nothing in it and holds a window of it in memory, not all.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::RecorderError;
use super::journal::{Entry, JournalHead, read_entry};
use super::ring::{Consumer, DATA_START, Gauge, HEAD_AT};
use crate::event::{Event, entry};
use crate::limits::EVENT_BYTES_MAX;

/// How much of a file is read at once; at least one entry of the longest kind.
const WINDOW_BYTES: usize = 4 * EVENT_BYTES_MAX;

/// Where a journal's bytes come from.
#[derive(Debug)]
pub(super) enum Bytes {
    /// The ring of this life.
    Live(Consumer),
    /// The file of a previous life.
    File {
        file: File,
        path: PathBuf,
        window: Vec<u8>,
        start: u64,
        head: u64,
    },
}

impl Bytes {
    /// The position before which every entry was complete.
    pub(super) fn head(&self) -> u64 {
        match self {
            Bytes::Live(consumer) => consumer.head(),
            Bytes::File { head, .. } => *head,
        }
    }

    /// The bytes at `position`, as far as they are at hand in one piece, at least an entry's if there is one.
    fn at(&mut self, position: u64, capacity: u64) -> Result<&[u8], RecorderError> {
        match self {
            Bytes::Live(consumer) => Ok(consumer.committed(position)),
            Bytes::File {
                file,
                path,
                window,
                start,
                ..
            } => {
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

/// A place in a journal from which events are read.
#[derive(Debug)]
pub(super) struct Tail {
    pub head: JournalHead,
    pub bytes: Bytes,
    /// After the last event that was taken.
    pub position: u64,
    /// Entries whose checksum was right and whose content was not: another version's.
    pub unreadable: u64,
    next: Option<(Event, u64)>,
    read_to: u64,
}

impl Tail {
    /// Reads on from `position`.
    pub(super) fn new(head: JournalHead, bytes: Bytes, position: u64) -> Tail {
        Tail {
            head,
            bytes,
            position,
            unreadable: 0,
            next: None,
            read_to: position,
        }
    }

    /// Reads from `position` on, which the store says was reached before.
    pub(super) fn start_at(&mut self, position: u64) {
        self.position = position;
        self.read_to = position;
    }

    /// Opens the journal that a previous life left in `path`; none when the file holds no journal.
    pub(super) fn open(path: &Path) -> Result<Option<Tail>, RecorderError> {
        let file = File::open(path).map_err(RecorderError::io("open the journal", path))?;
        let length = file
            .metadata()
            .map_err(RecorderError::io("open the journal", path))?
            .len();
        let mut page = [0; DATA_START as usize];
        if length < DATA_START {
            return Ok(None);
        }
        file.read_exact_at(&mut page, 0)
            .map_err(RecorderError::io("read the journal", path))?;
        let Some(head) = JournalHead::decode(&page) else {
            return Ok(None);
        };
        if head.capacity.checked_add(DATA_START) != Some(length) {
            return Ok(None);
        }
        let at = page[HEAD_AT as usize..]
            .first_chunk::<8>()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let bytes = Bytes::File {
            file,
            path: path.to_owned(),
            window: Vec::new(),
            start: 0,
            head: at,
        };
        Ok(Some(Tail::new(head, bytes, 0)))
    }

    /// The time of the next event that starts before `limit`.
    pub(super) fn peek_ns(&mut self, limit: u64) -> Result<Option<u64>, RecorderError> {
        while self.next.is_none() && self.read_to < limit {
            let (capacity, at) = (self.head.capacity, self.read_to);
            match read_entry(self.bytes.at(at, capacity)?, &self.head, at) {
                None => break,
                Some(Entry::Pad) => self.read_to += capacity - at % capacity,
                Some(Entry::Event(bytes)) => {
                    self.read_to += (super::journal::ENTRY_HEAD + bytes.len()) as u64;
                    match entry::decode(bytes) {
                        Ok(event) => self.next = Some((event, self.read_to)),
                        Err(_) => self.unreadable += 1,
                    }
                }
            }
        }
        if self.next.is_none() {
            self.position = self.position.max(self.read_to);
        }
        Ok(self.next.as_ref().map(|(event, _)| event.at_ns))
    }

    /// How far this journal's reader is behind; none for a file.
    pub(super) fn gauge(&self) -> Option<Gauge> {
        match &self.bytes {
            Bytes::Live(consumer) => Some(consumer.gauge()),
            Bytes::File { .. } => None,
        }
    }

    /// Takes the event that was peeked at.
    pub(super) fn take(&mut self) -> Option<Event> {
        let (event, end) = self.next.take()?;
        self.position = end;
        Some(event)
    }
}

/// The tail with the earliest next event, each read up to its limit. Each journal keeps its own order.
pub(super) fn earliest(tails: &mut [Tail], limits: &[u64]) -> Result<Option<usize>, RecorderError> {
    let mut earliest: Option<(u64, usize)> = None;
    for (place, (tail, limit)) in tails.iter_mut().zip(limits).enumerate() {
        if let Some(at_ns) = tail.peek_ns(*limit)? {
            if earliest.is_none_or(|(best, _)| at_ns < best) {
                earliest = Some((at_ns, place));
            }
        }
    }
    Ok(earliest.map(|(_, place)| place))
}
