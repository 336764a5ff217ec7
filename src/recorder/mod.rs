//! The recording: what shards append, kept, indexed and found again.
//!
//! Shards append events to their journals (`journal`, over its mapped `ring`). One thread (`writer`) reads them
//! (`journal::tail`), puts blocks and rows together (`assemble`, `registry`) and writes them to the store (`store`, laid out
//! in `keys` and `rows`). Questions are answered from there (`queries`, `events`). A start first takes over what the last
//! life left (`recovery`); days beyond retention are dropped whole (`retention`). Beside it stand the access rows (`access`)
//! and who looked at the recording (`looks`).
//!
//! Invariants:
//! - An event that `append` accepted is found in the store exactly once, though the process be killed at any moment.
//! - No session is without an end once its gateway has stopped or started again.
//! - Shards never wait for the disk: they meet only their journal.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Sender, bounded};

mod access;
mod addresses;
mod assemble;
mod error;
mod event_pages;
mod events;
mod folder;
mod follow;
mod frame_reader;
mod frames;
mod gather;
mod health;
pub(crate) mod journal;
mod keys;
mod looks;
mod names;
mod pages;
mod queries;
mod recovery;
mod registry;
mod retention;
mod rows;
mod session_blocks;
mod store;
mod summary;
mod tally;
mod writer;

pub use access::{AccessChange, AccessRow, AccessStore, open_access};
pub use addresses::AddressRange;
pub use error::RecorderError;
pub use event_pages::{EventFilter, EventPage, EventPageCursor};
pub use events::{EventCursor, PolicyHash, RecordedEvent};
pub use follow::{FollowFilter, FollowedEvent, FollowedSession, Follower};
pub use frames::{CapturedFrame, FrameCursor, FramePage, Stretch};
pub use health::RecorderHealth;
pub use journal::sync::{JournalSync, NotSynced};
pub use journal::{JournalFull, ShardJournal};
pub use looks::{LookCursor, LookRow, LookStore};
pub use names::{NameCursor, NamePage, SeenName};
pub use pages::{SessionCursor, SessionPage};
pub use queries::{Queries, SessionFilter, open_read_only};
pub use recovery::JournalDamage;
pub use registry::{UNIDENTIFIED_ISSUER, UNIDENTIFIED_SUBJECT};
pub use rows::EndReason;
pub use summary::{Rfc3339, SessionState, SessionSummary};

use crate::limits;
use assemble::Assembler;
use folder::{Folder, Lock};
use health::HealthState;
use journal::JournalHead;
use journal::sync::Syncer;
use journal::tail::{Bytes, Tail};
use recovery::Recovered;
use store::{Family, Rows, Store};

use writer::Writer;

/// How a recording is kept.
#[derive(Debug, Clone)]
pub struct RecorderOptions {
    /// The store's folder, made where there is none.
    pub path: PathBuf,
    /// The gateway's name, at most 64 bytes; stands in every block.
    pub node: String,
    /// How many shards append: as many journals are made.
    pub shards: usize,
    /// Size of each shard's journal, bytes, set aside at start.
    pub journal_bytes: u64,
    /// Shards promise that an exchange is on the disk before its answer leaves: the store keeps that up.
    pub synced: bool,
    /// Whole days (UTC) that are kept before today; none keeps all.
    pub retention_days: Option<u32>,
    /// How long after its last connection a session ends.
    pub session_idle: Duration,
    /// How long a stop waits for a store that fails.
    pub stop_limit: Duration,
    /// The policy in force: its hash, which stands in every block; zeros without one.
    pub policy_hash: [u8; 32],
}

impl RecorderOptions {
    /// The defaults: 32 MiB of journal per shard (seconds of a busy shard while the disk stalls), everything kept,
    /// sessions ending 60 s after their last connection.
    pub fn new(path: impl Into<PathBuf>, node: impl Into<String>, shards: usize) -> RecorderOptions {
        RecorderOptions {
            path: path.into(),
            node: node.into(),
            shards,
            journal_bytes: 32 * 1024 * 1024,
            retention_days: None,
            session_idle: Duration::from_secs(60),
            stop_limit: Duration::from_secs(5),
            policy_hash: [0; 32],
            synced: false,
        }
    }

    fn check(&self) -> Result<(), RecorderError> {
        let complain = |what: String| Err(RecorderError::Options(what));
        if self.shards == 0 || self.shards > usize::from(u16::MAX) {
            return complain(format!("{} shards cannot be recorded", self.shards));
        }
        if self.journal_bytes < limits::JOURNAL_BYTES_MIN {
            let least = limits::JOURNAL_BYTES_MIN;
            return complain(format!("journal_bytes is {}, it must be at least {least}", self.journal_bytes));
        }
        if self.node.len() > limits::NODE_NAME_BYTES_MAX {
            let most = limits::NODE_NAME_BYTES_MAX;
            return complain(format!("the node's name is {} bytes long, at most {most} are kept", self.node.len()));
        }
        Ok(())
    }

    fn idle_ns(&self) -> u64 {
        u64::try_from(self.session_idle.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A running recording.
#[derive(Debug)]
pub struct Recorder {
    store: Arc<Store>,
    health: Arc<HealthState>,
    stopping: Arc<AtomicBool>,
    wake: Sender<()>,
    writer: Option<JoinHandle<Result<(), RecorderError>>>,
    _lock: Lock,
}

impl Recorder {
    /// Opens the store, takes over what a previous life left in its journals, ends the sessions it left open, and starts
    /// the writer. Gives one journal per shard.
    pub fn open(options: RecorderOptions) -> Result<(Recorder, Vec<ShardJournal>), RecorderError> {
        options.check()?;
        let folder = Folder::create(&options.path)?;
        let lock = folder.lock()?;
        let store = Arc::new(Store::open(folder.path())?);
        let journals = folder::journals_of(folder.path());
        let recovered = take_over(&store, &journals)?;
        let boot = next_boot(&store, options.idle_ns())?;
        let (wake, woken) = bounded(1);
        let mut assembler = Assembler::load(&store, options.idle_ns())?;
        let (mut writing, mut tails, mut syncer) = (Vec::new(), Vec::new(), Syncer::new());
        for shard in 0..options.shards as u16 {
            let (node, capacity, policy_hash) = (options.node.clone(), options.journal_bytes, options.policy_hash);
            let head = JournalHead { node, boot, shard, capacity, epoch: random()?, policy_hash };
            let (journal, consumer) = journal::create(&journals, &head, wake.clone(), &mut syncer)?;
            assembler.add_journal(&store, head.clone())?;
            writing.push(journal);
            tails.push(Tail::new(head, Bytes::Live(consumer), 0));
        }
        let gauges = tails.iter().filter_map(Tail::gauge).collect();
        let health = Arc::new(HealthState::new(gauges, recovered.damage));
        let stopping = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            store: Arc::clone(&store),
            assembler,
            tails,
            wake: woken,
            stopping: Arc::clone(&stopping),
            stop_limit: options.stop_limit,
            health: Arc::clone(&health),
            retention_days: options.retention_days,
            synced: options.synced,
            promises: syncer.promises(),
        };
        syncer.start()?;
        let writer = Some(start(writer, &health)?);
        Ok((Recorder { store, health, stopping, wake, writer, _lock: lock }, writing))
    }

    /// Answers questions about what was recorded; at most a quarter second behind.
    pub fn queries(&self) -> Queries {
        Queries::of(Arc::clone(&self.store))
    }

    /// The access rows.
    pub fn access(&self) -> AccessStore {
        AccessStore::of(Arc::clone(&self.store))
    }

    /// Who looked at the recording.
    pub fn looks(&self) -> LookStore {
        LookStore::of(self.access())
    }

    /// How the recording is doing.
    pub fn health(&self) -> RecorderHealth {
        self.health.report()
    }

    /// As [`Recorder::health`], for those who ask again and again from elsewhere.
    pub fn health_reporter(&self) -> impl Fn() -> RecorderHealth + Send + Sync + 'static {
        let health = Arc::clone(&self.health);
        move || health.report()
    }

    /// Merges the store's tables now instead of when RocksDB sees fit: for measuring what a recording takes on disk.
    pub fn compact(&self) -> Result<(), RecorderError> {
        self.store.flush(true)
    }

    /// Takes over what the journals still hold, ends all sessions as stopped, flushes, and gives the store up. Shards must
    /// have stopped appending.
    pub fn shutdown(mut self) -> Result<(), RecorderError> {
        self.stop()
    }

    fn stop(&mut self) -> Result<(), RecorderError> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        self.stopping.store(true, Ordering::Release);
        // A full channel wakes the writer as well.
        let _ = self.wake.try_send(());
        writer.join().unwrap_or_else(|_| Err(RecorderError::Writer("it panicked".to_owned())))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the recording could not be stopped in order; its journals keep what is missing");
        }
    }
}

/// Brings what the last life left in its journals into the store, says what was found, and clears the journals away.
fn take_over(store: &Store, journals: &Path) -> Result<Recovered, RecorderError> {
    let recovered = recovery::replay(store, journals, |rows| store.write(&rows))?;
    for damage in &recovered.damage {
        tracing::error!(path = %damage.path.display(), lost_bytes = damage.lost_bytes, "a journal was damaged");
    }
    if recovered.events > 0 {
        tracing::info!(events = recovered.events, "took over events that the last run had left in its journals");
    }
    // The journals go now, and what they promised must not depend on them.
    store.sync()?;
    recovery::discard(store, &recovered)?;
    Ok(recovered)
}

/// Starts the writer's thread. Should it ever end with an error while the gateway runs, health says so.
fn start(writer: Writer, health: &Arc<HealthState>) -> Result<JoinHandle<Result<(), RecorderError>>, RecorderError> {
    let health = Arc::clone(health);
    let run = move || {
        let ended = writer.run();
        if let Err(error) = &ended {
            tracing::error!(%error, "the recording's writer has ended");
            health.set_failed(Some(error.to_string()));
        }
        ended
    };
    let thread = std::thread::Builder::new().name("weir-recorder".to_owned()).spawn(run);
    thread.map_err(|error| RecorderError::Writer(error.to_string()))
}

/// Counts the starts of this store's gateways, and leaves the rule by which this one's sessions end.
fn next_boot(store: &Store, idle_ns: u64) -> Result<u32, RecorderError> {
    let boot = store.number(keys::BOOT)?.unwrap_or(0) + 1;
    let mut rows = Rows::default();
    rows.put(Family::Meta, keys::BOOT, boot.to_be_bytes());
    rows.put(Family::Meta, keys::SESSION_IDLE, idle_ns.to_be_bytes());
    store.write(&rows)?;
    u32::try_from(boot).map_err(|_| RecorderError::Options("the store has been opened too often".to_owned()))
}

fn random() -> Result<u64, RecorderError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| RecorderError::Options(format!("no random numbers: {error}")))?;
    Ok(u64::from_le_bytes(bytes))
}
