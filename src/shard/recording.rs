//! What a connection puts into its shard's journal: events always, frames where a rule asks for them.
//!
//! Invariants:
//! - With durability `synced`, nothing is written to a client before its events so far are on the disk.
//! - An event is never dropped: while the journal is full, its connection waits.
//! - A piece of a frame waits too, or, where the configuration says so, is left out; then the exchange's further pieces are
//!   as well, and one event says that an exchange is without its detail.
//! - Where no rule asks for frames, nothing here costs more than a look at an option.

use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use super::connection::Connection;
use super::runtime::Runtime;
use crate::event::piece::{Content, Piece, Way};
use crate::event::{CloseReason, Event, EventKind};
use crate::limits;
use crate::pipeline::budget::Budget;
use crate::pipeline::capture::{Beginning, Capture, Cut, Kept, Scope};
use crate::recorder::{JournalSync, ShardJournal};

/// What happens to frames for which the journal has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnOverload {
    /// They wait, and their connection with them.
    Block,
    /// They are left out, which is counted.
    Metadata,
}

/// When an exchange counts as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// In the journal before its answer's last byte leaves.
    Flushed,
    /// On the disk before its answer's last byte leaves.
    Synced,
    /// In the journal once its answer has left.
    Relaxed,
}

/// How a shard records.
#[derive(Debug, Clone)]
pub struct RecordingOptions {
    /// When an exchange counts as recorded.
    pub durability: Durability,
    /// What happens to frames for which the journal has no room.
    pub on_overload: OnOverload,
    /// Shards that share what samples may take.
    pub shards: usize,
}

/// A shard's part in the recording.
pub(super) struct Recording {
    pub durability: Durability,
    /// Shards that share what samples may take.
    pub shards: usize,
    /// Node, start and shard, as events name them.
    pub place: String,
    sync: JournalSync,
    on_overload: OnOverload,
    held: Budget,
    numbers: RandomState,
}

impl Recording {
    pub fn new(options: &RecordingOptions, journal: &ShardJournal) -> Self {
        Recording {
            durability: options.durability,
            shards: options.shards,
            place: journal.place().to_owned(),
            sync: journal.sync(),
            on_overload: options.on_overload,
            held: Budget::new(limits::SHARD_CAPTURE_HELD_BYTES),
            numbers: RandomState::new(),
        }
    }
}

impl<R: Runtime> Connection<R> {
    /// Appends to the journal; waits while it is full, which is how a recorder that is behind slows clients down.
    pub async fn record(&self, kind: EventKind) {
        let event = Event { connection: self.number, at_ns: self.clock.now_ns(), kind };
        while self.shard.journal.borrow_mut().append(&event).is_err() {
            self.shard.meter.journal_full();
            R::sleep(limits::JOURNAL_RETRY).await;
        }
        self.recorded_to.set(self.shard.journal.borrow().position());
    }

    /// Waits until every event of this connection is on the disk.
    pub async fn synced(&self) -> Result<(), CloseReason> {
        let synced = self.shard.recording.sync.reached(self.recorded_to.get()).await;
        synced.map_err(|error| {
            let (listener, peer) = (&self.door.listener.name, self.peer);
            tracing::error!(listener, %peer, connection = self.number.0, "connection closed, {error}");
            CloseReason::Internal
        })
    }

    /// Waits until it may be said to the client: what it did is recorded.
    pub async fn may_be_told(&self) -> Result<(), CloseReason> {
        match self.shard.recording.durability {
            Durability::Synced => self.synced().await,
            Durability::Flushed | Durability::Relaxed => Ok(()),
        }
    }

    /// What full recording keeps of an exchange that begins; none where no rule asks for a frame of it.
    pub fn capture(&self, ordinal: u64, api_key: i16, request_bytes: u64, now_ns: u64) -> Option<Box<Capture>> {
        let scope = self.scope()?;
        let number = self.shard.recording.numbers.hash_one((self.number.0, ordinal));
        scope.begin(Beginning { ordinal, api_key, number, request_bytes }, now_ns)
    }

    /// What full recording keeps of it at the moment; none where that is nothing.
    pub fn scope(&self) -> Option<Rc<Scope>> {
        let policy = self.shard.policy.borrow();
        if policy.recording.is_empty() {
            return None;
        }
        let listener = &self.door.listener.name;
        let held = &self.shard.recording.held;
        let of_plan = |plan| Some(Scope::new(plan?, policy.samples.clone(), held.clone()));
        match &self.login.borrow().who {
            None => {
                let mut scope = self.scope_before_login.borrow_mut();
                scope.get_or_insert_with(|| of_plan(policy.recording.plan_before_login(listener))).clone()
            }
            Some(who) => {
                let mut scope = self.scope.borrow_mut();
                scope.get_or_insert_with(|| of_plan(policy.recording.plan(listener, &who.principal.groups))).clone()
            }
        }
    }

    /// Appends what was cut from `passed`; to be awaited before these bytes leave.
    pub async fn keep(&self, cuts: Vec<Cut>, passed: &[u8]) {
        for Cut { ordinal, way, at, at_ns, kept } in cuts {
            if self.client_gone.get() && way == Way::Response && !matches!(kept, Kept::Lost) {
                // Nobody gets it.
                continue;
            }
            let bytes = match &kept {
                Kept::Passed(range) => &passed[range.clone()],
                Kept::Held(bytes) => bytes,
                Kept::Withheld { bytes, why } => {
                    let content = Content::Withheld { bytes: *bytes, why: *why };
                    self.keep_piece(at_ns, &Piece { ordinal, way, at, content }).await;
                    continue;
                }
                Kept::Lost => {
                    self.record(EventKind::NotCaptured { events: 1 }).await;
                    continue;
                }
            };
            let mut at = at;
            for bytes in bytes.chunks(limits::PIECE_BYTES_MAX) {
                self.keep_piece(at_ns, &Piece { ordinal, way, at, content: Content::Bytes(bytes) }).await;
                at += bytes.len() as u64;
            }
        }
    }

    async fn keep_piece(&self, at_ns: u64, piece: &Piece<'_>) {
        if self.incomplete.borrow().contains(&piece.ordinal) {
            return;
        }
        while self.shard.journal.borrow_mut().append_piece(self.number, at_ns, piece).is_err() {
            if self.shard.recording.on_overload == OnOverload::Metadata {
                self.incomplete.borrow_mut().push(piece.ordinal);
                self.record(EventKind::NotCaptured { events: 1 }).await;
                return;
            }
            self.shard.meter.journal_full();
            R::sleep(limits::JOURNAL_RETRY).await;
        }
    }

    /// No more frames come of this exchange.
    pub fn kept(&self, ordinal: u64) {
        self.incomplete.borrow_mut().retain(|incomplete| *incomplete != ordinal);
    }
}
