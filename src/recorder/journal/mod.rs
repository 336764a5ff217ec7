//! A shard's journal: the ring it appends events to, and how entries stand in it.
//!
//! An entry is `[crc32c][length][event]`, or with the length's highest bit set `[crc32c][length][piece]`, or with the next
//! one set `[crc32c][length][time][hash of the policy in force from here on]`. The checksum is seeded with the journal's
//! random number and the lap, so that the bytes of an earlier lap, or of another file that had these blocks before, never
//! pass for an entry. An entry never crosses the ring's end: a pad entry fills what is left.
//!
//! Invariants:
//! - Appending allocates nothing and makes no system call, but for a wake of the writer each half megabyte.
//! - What `append` accepted is in the page cache before it returns: it survives the process being killed.
//! - Pieces of frames leave a quarter of the journal to events: what is detail never stands in the way of what happened.

#[cfg(any(test, fuzzing))]
#[path = "../../../fuzz/targets/journal.rs"]
pub(crate) mod fuzz_target;
pub(super) mod ring;
pub(super) mod sync;
pub(super) mod tail;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crossbeam::channel::Sender;
use rustix::fs::{FallocateFlags, fallocate};
use thiserror::Error;

use super::error::RecorderError;
use crate::event::piece::{Content, Piece};
use crate::event::varint::{self, Reader};
use crate::event::{ConnectionNo, Event, entry};
use crate::limits;
use ring::{Consumer, DATA_START, HEAD_AT, Producer};
use sync::{JournalSync, Syncer};

/// Checksum and length.
pub(super) const ENTRY_HEAD: usize = 8;
/// The bit of the length that says: this is a piece of a frame.
const PIECE: u32 = 1 << 31;
/// The bit of the length that says: this is a change of the policy.
const POLICY: u32 = 1 << 30;
/// A change of the policy: when, ns since the Unix epoch, and the hash.
const POLICY_BYTES: usize = 8 + 32;
/// The length that says: nothing more in this lap.
const PAD: u32 = u32::MAX;
const MAGIC: &[u8; 8] = b"weirjrn1";

/// The journal has no room: the writer is behind. Wait and append again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the shard's journal is full: the recording's writer is behind")]
pub struct JournalFull;

/// What a journal's file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JournalHead {
    pub node: String,
    pub boot: u32,
    pub shard: u16,
    pub capacity: u64,
    /// Random: seeds the checksums and names the journal in the store.
    pub epoch: u64,
    /// The policy under which its events begin: its hash, zeros without one.
    pub policy_hash: [u8; 32],
}

/// The appending end of a shard's journal.
#[derive(Debug)]
pub struct ShardJournal {
    producer: Producer,
    place: String,
    epoch: u64,
    capacity: u64,
    wake: Sender<()>,
    wake_bytes: u64,
    woken_at: u64,
    sync: JournalSync,
}

impl ShardJournal {
    /// Behind everything appended so far.
    #[inline]
    pub fn position(&self) -> u64 {
        self.producer.head()
    }

    /// Whose it is: node, start and shard, as events name them.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Brings positions of this journal to the disk.
    pub fn sync(&self) -> JournalSync {
        self.sync.clone()
    }

    /// Appends `event`. It is safe from the death of the process when this returns.
    #[inline]
    pub fn append(&mut self, event: &Event) -> Result<(), JournalFull> {
        self.append_entry(1, |room, seed| {
            let length = entry::encode(event, room.get_mut(ENTRY_HEAD..)?)?;
            seal(room, seed, length as u32, length);
            Some(ENTRY_HEAD + length)
        })?;
        self.wake_at(self.wake_bytes);
        Ok(())
    }

    /// Appends a piece of a frame that passed at `at_ns`, all of it or nothing. It is full for pieces already when less
    /// than a quarter of it would be left to events; a piece of more than half of a journal is never taken.
    pub fn append_piece(&mut self, connection: ConnectionNo, at_ns: u64, piece: &Piece<'_>) -> Result<(), JournalFull> {
        let length = match piece.content {
            Content::Bytes(bytes) => bytes.len(),
            Content::Withheld { .. } => 0,
        };
        let entries = length.div_ceil(limits::PIECE_BYTES_MAX).max(1);
        // A pad at the ring's end may take the room of one more.
        let heads = (entries + 1) * (ENTRY_HEAD + entry::PIECE_HEAD_BYTES_MAX) + limits::PIECE_BYTES_MAX;
        if self.producer.room() < (length + heads) as u64 + self.capacity / 4 {
            self.wake_writer();
            return Err(JournalFull);
        }
        match piece.content {
            Content::Withheld { .. } => self.append_one_piece(connection, at_ns, piece)?,
            Content::Bytes(bytes) => {
                let mut at = piece.at;
                for bytes in bytes.chunks(limits::PIECE_BYTES_MAX) {
                    let content = Content::Bytes(bytes);
                    self.append_one_piece(connection, at_ns, &Piece { at, content, ..*piece })?;
                    at += bytes.len() as u64;
                }
            }
        }
        self.wake_at(self.wake_bytes);
        Ok(())
    }

    /// Says that what follows happens under the policy of this hash.
    pub fn append_policy(&mut self, at_ns: u64, hash: &[u8; 32]) -> Result<(), JournalFull> {
        self.append_entry(0, |room, seed| {
            let payload = room.get_mut(ENTRY_HEAD..ENTRY_HEAD + POLICY_BYTES)?;
            let (at, of) = payload.split_at_mut(8);
            at.copy_from_slice(&at_ns.to_le_bytes());
            of.copy_from_slice(hash);
            seal(room, seed, POLICY_BYTES as u32 | POLICY, POLICY_BYTES);
            Some(ENTRY_HEAD + POLICY_BYTES)
        })
    }

    fn append_one_piece(&mut self, connection: ConnectionNo, at_ns: u64, piece: &Piece<'_>) -> Result<(), JournalFull> {
        self.append_entry(0, |room, seed| {
            let length = entry::encode_piece(connection, at_ns, piece, room.get_mut(ENTRY_HEAD..)?)?;
            seal(room, seed, length as u32 | PIECE, length);
            Some(ENTRY_HEAD + length)
        })
    }

    /// Asks the writer to drain now instead of at its next tick.
    pub fn wake_writer(&mut self) {
        self.woken_at = self.producer.head();
        // A full channel means that it was asked already; a closed one that it has ended, which health reports.
        let _ = self.wake.try_send(());
    }

    #[inline]
    fn wake_at(&mut self, bytes: u64) {
        if self.producer.head() - self.woken_at >= bytes {
            self.wake_writer();
        }
    }

    /// Appends what `write` writes to the start of the room it is given under the seed it is given. `events` of it count.
    #[inline]
    fn append_entry(
        &mut self,
        events: u64,
        write: impl Fn(&mut [u8], u32) -> Option<usize>,
    ) -> Result<(), JournalFull> {
        let seed = seed(self.epoch, self.producer.head() / self.capacity);
        match write(self.producer.free(), seed) {
            Some(length) => {
                self.producer.publish(length, events);
                Ok(())
            }
            None => self.append_in_next_lap(events, write),
        }
    }

    #[cold]
    fn append_in_next_lap(
        &mut self,
        events: u64,
        write: impl Fn(&mut [u8], u32) -> Option<usize>,
    ) -> Result<(), JournalFull> {
        let lap = self.producer.head() / self.capacity;
        let left = self.producer.lap_left() as usize;
        let free = self.producer.free();
        if free.len() < left {
            self.wake_writer();
            return Err(JournalFull);
        }
        if left >= ENTRY_HEAD {
            seal(free, seed(self.epoch, lap), PAD, 0);
        }
        self.producer.publish(left, 0);
        match write(self.producer.free(), seed(self.epoch, lap + 1)) {
            Some(length) => {
                self.producer.publish(length, events);
                Ok(())
            }
            None => {
                self.wake_writer();
                Err(JournalFull)
            }
        }
    }
}

fn seed(epoch: u64, lap: u64) -> u32 {
    (epoch ^ lap) as u32
}

/// Writes the entry's head before its `payload` bytes. `room` holds both.
fn seal(room: &mut [u8], seed: u32, length: u32, payload: usize) {
    room[4..ENTRY_HEAD].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c_append(seed, &room[4..ENTRY_HEAD + payload]);
    room[..4].copy_from_slice(&checksum.to_le_bytes());
}

/// What stands at a place of a journal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    /// An event's bytes.
    Event(&'a [u8]),
    /// The bytes of a piece of a frame.
    Piece(&'a [u8]),
    /// The policy in force from here on.
    Policy(PolicyChange),
    /// Nothing more in this lap.
    Pad,
}

/// A change of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PolicyChange {
    /// When, ns since the Unix epoch.
    pub at_ns: u64,
    /// The hash of the one in force from here on.
    pub hash: [u8; 32],
}

impl PolicyChange {
    fn read(payload: &[u8]) -> Option<PolicyChange> {
        let (at, hash) = payload.split_first_chunk()?;
        Some(PolicyChange { at_ns: u64::from_le_bytes(*at), hash: hash.try_into().ok()? })
    }
}

/// Reads the entry at the start of `bytes`, which lie at `position`; none when there is no valid one.
pub(super) fn read_entry<'a>(bytes: &'a [u8], head: &JournalHead, position: u64) -> Option<Entry<'a>> {
    let left = head.capacity - position % head.capacity;
    if left < ENTRY_HEAD as u64 {
        return Some(Entry::Pad);
    }
    let checksum = u32::from_le_bytes(*bytes.first_chunk::<4>()?);
    let length = u32::from_le_bytes(*bytes.get(4..)?.first_chunk::<4>()?);
    let payload = if length == PAD { 0 } else { (length & !(PIECE | POLICY)) as usize };
    if length == 0 || payload > limits::EVENT_BYTES_MAX {
        return None;
    }
    let covered = bytes.get(4..ENTRY_HEAD + payload)?;
    let seed = seed(head.epoch, position / head.capacity);
    if crc32c::crc32c_append(seed, covered) != checksum {
        return None;
    }
    Some(match length {
        PAD => Entry::Pad,
        length if length & PIECE != 0 => Entry::Piece(&covered[4..]),
        length if length & POLICY != 0 => Entry::Policy(PolicyChange::read(&covered[4..])?),
        _ => Entry::Event(&covered[4..]),
    })
}

/// The file of a shard's journal under the store's folder.
pub(super) fn file_of(folder: &Path, shard: u16) -> PathBuf {
    folder.join(format!("shard-{shard}.journal"))
}

/// Makes a journal's file, its space set aside, and maps it.
pub(super) fn create(
    folder: &Path,
    head: &JournalHead,
    wake: Sender<()>,
    syncer: &mut Syncer,
) -> Result<(ShardJournal, Consumer), RecorderError> {
    let path = file_of(folder, head.shard);
    let bytes = DATA_START + head.capacity;
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path);
    let mut file = file.map_err(RecorderError::io("create the journal", &path))?;
    set_aside(&mut file, bytes).map_err(|source| {
        // A half-made journal would be in the way of the next start.
        let _ = std::fs::remove_file(&path);
        RecorderError::Space { path: path.clone(), bytes, source }
    })?;
    let written = std::os::unix::fs::FileExt::write_all_at(&file, &head.encode(), 0);
    written.map_err(RecorderError::io("write the journal", &path))?;
    // A file that is not there after a loss of power keeps no promise.
    let synced = file.sync_all().and_then(|()| File::open(folder)?.sync_all());
    synced.map_err(RecorderError::io("sync the journal", &path))?;
    let (producer, consumer) = ring::map(&file, head.capacity).map_err(RecorderError::io("map the journal", &path))?;
    let wake_bytes = limits::JOURNAL_WAKE_BYTES.min(head.capacity / 4);
    let sync = syncer.add(file);
    let (epoch, capacity) = (head.epoch, head.capacity);
    let place = format!("{}/{}/{}", head.node, head.boot, head.shard);
    let journal = ShardJournal { producer, place, epoch, capacity, wake, wake_bytes, woken_at: 0, sync };
    Ok((journal, consumer))
}

/// Without its space set aside a mapped write on a full disk would kill the process (SIGBUS).
fn set_aside(file: &mut File, bytes: u64) -> std::io::Result<()> {
    match fallocate(&*file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let zeros = [0u8; 64 * 1024];
            let mut left = bytes;
            while left > 0 {
                let piece = left.min(zeros.len() as u64) as usize;
                file.write_all(&zeros[..piece])?;
                left -= piece as u64;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

impl JournalHead {
    fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        varint::put_text(&mut fields, &self.node);
        varint::put(&mut fields, self.boot.into());
        varint::put(&mut fields, self.shard.into());
        varint::put(&mut fields, self.capacity);
        varint::put(&mut fields, self.epoch);
        fields.extend_from_slice(&self.policy_hash);
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&crc32c::crc32c(&fields).to_le_bytes());
        out.extend_from_slice(&(fields.len() as u16).to_le_bytes());
        out.extend_from_slice(&fields);
        out
    }

    /// Reads a file's first page; none when it is not a journal's.
    pub(super) fn decode(page: &[u8]) -> Option<JournalHead> {
        let mut reader = Reader::new(page.get(..HEAD_AT as usize)?);
        if reader.take(MAGIC.len()).ok()? != MAGIC {
            return None;
        }
        let checksum = u32::from_le_bytes(*reader.take(4).ok()?.first_chunk()?);
        let length = u16::from_le_bytes(*reader.take(2).ok()?.first_chunk()?);
        let fields = reader.take(length.into()).ok()?;
        if crc32c::crc32c(fields) != checksum {
            return None;
        }
        let mut reader = Reader::new(fields);
        let node = reader.text().ok()?.to_owned();
        let boot = reader.number("a boot number").ok()?;
        let shard = reader.number("a shard number").ok()?;
        let capacity = reader.varint().ok().filter(|capacity| *capacity > ENTRY_HEAD as u64)?;
        let epoch = reader.varint().ok()?;
        // Journals of the first schema end here.
        let policy_hash = reader.rest().first_chunk().copied().unwrap_or_default();
        Some(JournalHead { node, boot, shard, capacity, epoch, policy_hash })
    }
}
