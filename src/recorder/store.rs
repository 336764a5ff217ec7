//! The RocksDB store: its column families, one atomic write, one read path.
//!
//! Reads look at an overlay first and then at the database. In a running gateway the overlay is empty; in the read-only
//! view it holds what recovery would have written, so that both answer alike.
//!
//! Invariants:
//! - All rows of one [`Rows`] become visible and durable together, or not at all; writing them twice is harmless.
//! - A store opened read-only changes no file.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DBCompressionType, DBWithThreadMode,
    IteratorMode, MultiThreaded, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::error::RecorderError;
use super::keys;

/// The schema described in `keys`.
pub const SCHEMA_VERSION: u64 = 2;

/// Read cache shared by all families: queries are a person's, the writer hardly reads.
const CACHE_BYTES: usize = 32 * 1024 * 1024;
/// Unflushed rows in memory over all families: some seconds of a busy gateway, half a second of one that keeps frames.
const WRITE_BUFFERS_BYTES: usize = 128 * 1024 * 1024;
/// A family's share of it.
const WRITE_BUFFER_BYTES: usize = 16 * 1024 * 1024;
/// The share of a day's blocks, and how many such buffers may wait for the disk: with fewer or smaller ones the writer
/// stands still while one is written out.
const DAY_BUFFER_BYTES: usize = 32 * 1024 * 1024;
const DAY_BUFFERS: i32 = 4;
/// Blocks from this size on go to blob files, which merging does not write again: those of frames do, few of events.
const BLOB_BYTES_MIN: u64 = 16 * 1024;
/// What a start has to replay at most, and what an idle family may keep from being freed.
const WAL_BYTES: u64 = 128 * 1024 * 1024;
/// Open table files: each costs memory for its index.
const FILES_OPEN: i32 = 256;
/// RocksDB's own log: enough to see the last days, not a disk's worth.
const INFO_LOG_BYTES: usize = 4 * 1024 * 1024;

type Db = DBWithThreadMode<MultiThreaded>;

/// A column family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Schema, boots, journals' positions.
    Meta,
    /// What is open now, for recovery.
    Live,
    /// A row per session.
    Sessions,
    /// Sessions by hour.
    ByTime,
    /// Sessions by hour and subject.
    ByIdentity,
    /// Sessions by hour and topic.
    ByTopic,
    /// Sessions by hour and client address.
    ByAddress,
    /// Blocks of events by day and session.
    BySession,
    /// Blocks of pieces of frames by day and session.
    FramesBySession,
    /// Tokens, later access requests and grants.
    Access,
    /// A day's blocks, the day counted from the Unix epoch.
    Blocks(u32),
}

const STANDING: [Family; 10] = [
    Family::Meta,
    Family::Live,
    Family::Sessions,
    Family::ByTime,
    Family::ByIdentity,
    Family::ByTopic,
    Family::ByAddress,
    Family::BySession,
    Family::FramesBySession,
    Family::Access,
];

const BLOCKS_PREFIX: &str = "blocks-";

impl Family {
    /// The name in the database.
    pub fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Family::Meta => "meta",
            Family::Live => "live",
            Family::Sessions => "sessions",
            Family::ByTime => "by_time",
            Family::ByIdentity => "by_identity",
            Family::ByTopic => "by_topic",
            Family::ByAddress => "by_address",
            Family::BySession => "by_session",
            Family::FramesBySession => "frames_by_session",
            Family::Access => "access",
            Family::Blocks(day) => {
                let date = jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(i64::from(day)));
                return Cow::Owned(format!("{BLOCKS_PREFIX}{}", date.strftime("%Y%m%d")));
            }
        })
    }

    /// The day whose blocks the family of that name holds.
    fn day(name: &str) -> Option<u32> {
        let date = jiff::civil::Date::strptime("%Y%m%d", name.strip_prefix(BLOCKS_PREFIX)?).ok()?;
        let days = date.since(jiff::civil::date(1970, 1, 1)).ok()?.get_days();
        u32::try_from(days).ok()
    }
}

/// Rows to be written together.
#[derive(Debug, Default)]
pub struct Rows {
    rows: Vec<(Family, Vec<u8>, Option<Vec<u8>>)>,
    ranges: Vec<(Family, Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl Rows {
    /// Sets a row.
    pub fn put(&mut self, family: Family, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        let (key, value) = (key.into(), value.into());
        self.bytes += key.len() + value.len();
        self.rows.push((family, key, Some(value)));
    }

    /// Removes a row.
    pub fn delete(&mut self, family: Family, key: impl Into<Vec<u8>>) {
        self.rows.push((family, key.into(), None));
    }

    /// Removes all rows from `from` up to before `to`.
    pub fn delete_range(&mut self, family: Family, from: Vec<u8>, to: Vec<u8>) {
        self.ranges.push((family, from, to));
    }

    /// True without anything to write.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.ranges.is_empty()
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

type Overlay = BTreeMap<Family, BTreeMap<Vec<u8>, Option<Vec<u8>>>>;

/// The store.
pub struct Store {
    folder: PathBuf,
    db: RwLock<Option<Db>>,
    cache: Cache,
    overlay: Overlay,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Looks at a row; breaks off the scan when it has seen enough.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Which way a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From small keys to large ones.
    Up,
    /// From large keys to small ones.
    Down,
}

impl Store {
    /// Opens the database under `folder`, making it where there is none. The caller holds the store's lock.
    pub fn open(folder: &Path) -> Result<Store, RecorderError> {
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let db = RwLock::new(Some(open(folder, &cache)?));
        let store = Store { folder: folder.to_owned(), db, cache, overlay: Overlay::new() };
        store.bring_up()?;
        Ok(store)
    }

    /// Gives a new store its schema version, and one of the first schema what the second has beyond it: sessions are
    /// indexed by address, and blocks are short, from the day after the latest that it holds.
    fn bring_up(&self) -> Result<(), RecorderError> {
        let known_before = self.schema()?;
        if known_before == Some(SCHEMA_VERSION) {
            return Ok(());
        }
        let mut rows = Rows::default();
        rows.put(Family::Meta, keys::SCHEMA, SCHEMA_VERSION.to_be_bytes());
        if known_before.is_some() {
            let from = self.days()?.last().map_or(0, |day| u64::from(*day) + 1);
            rows.put(Family::Meta, keys::SECOND_SCHEMA_FROM, from.to_be_bytes());
        }
        self.write(&rows)
    }

    /// The day from which on the store holds what the second schema has beyond the first.
    pub fn second_schema_from(&self) -> Result<u32, RecorderError> {
        let from = self.number(keys::SECOND_SCHEMA_FROM)?.unwrap_or(0);
        let first_schema_only = self.schema()? != Some(SCHEMA_VERSION);
        Ok(if first_schema_only { u32::MAX } else { u32::try_from(from).unwrap_or(u32::MAX) })
    }

    /// Opens the database under `folder` without changing anything there.
    pub fn open_read_only(folder: &Path) -> Result<Store, RecorderError> {
        let path = folder.join("db");
        if !path.join("CURRENT").exists() {
            return Err(RecorderError::Missing { path: folder.to_owned() });
        }
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let families = family_names(folder)?.into_iter().map(|name| {
            let options = family_options(&cache, &name);
            (name, options)
        });
        let db = Db::open_cf_with_opts_for_read_only(&database_options(), &path, families, false);
        let db = RwLock::new(Some(db.map_err(RecorderError::opening(folder))?));
        let store = Store { folder: folder.to_owned(), db, cache, overlay: Overlay::new() };
        store.schema()?;
        Ok(store)
    }

    /// The schema version the store says, if this build knows it; none in a new store.
    fn schema(&self) -> Result<Option<u64>, RecorderError> {
        match self.number(keys::SCHEMA)? {
            Some(found) if found > SCHEMA_VERSION => {
                Err(RecorderError::NewerSchema { path: self.folder.clone(), found, known: SCHEMA_VERSION })
            }
            found => Ok(found),
        }
    }

    /// A number under `name` in `meta`.
    pub fn number(&self, name: &[u8]) -> Result<Option<u64>, RecorderError> {
        let value = self.get(Family::Meta, name)?;
        Ok(value.and_then(|value| value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))))
    }

    fn db(&self) -> RwLockReadGuard<'_, Option<Db>> {
        self.db.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all of `rows` or none. Survives the death of the process, not of the machine.
    pub fn write(&self, rows: &Rows) -> Result<(), RecorderError> {
        self.write_with(rows, false)
    }

    /// Writes all of `rows` or none, and waits until the disk has them.
    pub fn write_synced(&self, rows: &Rows) -> Result<(), RecorderError> {
        self.write_with(rows, true)
    }

    fn write_with(&self, rows: &Rows, synced: bool) -> Result<(), RecorderError> {
        let guard = self.db();
        let db = guard.as_ref().ok_or(RecorderError::Unavailable)?;
        let mut batch = WriteBatch::default();
        for (family, key, value) in &rows.rows {
            match value {
                Some(value) => batch.put_cf(&self.made(db, *family)?, key, value),
                None => batch.delete_cf(&self.made(db, *family)?, key),
            }
        }
        for (family, from, to) in &rows.ranges {
            batch.delete_range_cf(&self.made(db, *family)?, from, to);
        }
        let mut options = WriteOptions::default();
        options.set_sync(synced);
        db.write_opt(batch, &options).map_err(RecorderError::store("write"))
    }

    /// The handle of a family, which is made when its day begins.
    fn made<'a>(&self, db: &'a Db, family: Family) -> Result<Arc<BoundColumnFamily<'a>>, RecorderError> {
        let name = family.name();
        if let Some(handle) = db.cf_handle(&name) {
            return Ok(handle);
        }
        db.create_cf(&name, &family_options(&self.cache, &name))
            .map_err(RecorderError::store("make a day's family"))?;
        db.cf_handle(&name).ok_or(RecorderError::Unavailable)
    }

    /// Lays `rows` over the database, in memory only.
    pub fn lay_over(&mut self, rows: Rows) {
        for (family, key, value) in rows.rows {
            self.overlay.entry(family).or_default().insert(key, value);
        }
    }

    /// The value of a row.
    pub fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, RecorderError> {
        if let Some(value) = self.overlay.get(&family).and_then(|rows| rows.get(key)) {
            return Ok(value.clone());
        }
        let guard = self.db();
        let db = guard.as_ref().ok_or(RecorderError::Unavailable)?;
        let Some(handle) = db.cf_handle(&family.name()) else {
            return Ok(None);
        };
        db.get_cf(&handle, key).map_err(|source| RecorderError::reading(&self.folder, &family.name(), source))
    }

    /// Visits the rows from `from` up to before `to` (none: to the end) until `visit` breaks.
    pub fn scan(
        &self,
        family: Family,
        (from, to): (&[u8], Option<&[u8]>),
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), RecorderError> {
        if to.is_some_and(|to| from >= to) {
            return Ok(());
        }
        let guard = self.db();
        let db = guard.as_ref().ok_or(RecorderError::Unavailable)?;
        let mut stored = stored_rows(db, family, (from, to), direction).peekable();
        let mut overlaid = overlaid_rows(self.overlay.get(&family), (from, to), direction).peekable();
        loop {
            let order = match (stored.peek(), overlaid.peek()) {
                (None, None) => return Ok(()),
                (Some(Ok((left, _))), Some((right, _))) if direction == Direction::Up => left[..].cmp(right),
                (Some(Ok((left, _))), Some((right, _))) => right[..].cmp(left),
                (None, Some(_)) => Ordering::Greater,
                (Some(_), _) => Ordering::Less,
            };
            // An overlaid row hides the stored one of its key, and one without a value is a removed one.
            let hidden = if order.is_le() { stored.next() } else { None };
            let flow = if order.is_ge() {
                let value = overlaid.next().and_then(|(key, value)| value.map(|value| (key, value)));
                value.map_or(ControlFlow::Continue(()), |(key, value)| visit(key, value))
            } else if let Some(row) = hidden {
                let row = row.map_err(|source| RecorderError::reading(&self.folder, &family.name(), source));
                let (key, value) = row?;
                visit(&key, &value)
            } else {
                ControlFlow::Continue(())
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }

    /// The days that have a family of blocks, in order.
    pub fn days(&self) -> Result<Vec<u32>, RecorderError> {
        let mut days: Vec<u32> = family_names(&self.folder)?.iter().filter_map(|name| Family::day(name)).collect();
        days.sort_unstable();
        Ok(days)
    }

    /// Drops a day's blocks.
    pub fn drop_day(&self, day: u32) -> Result<(), RecorderError> {
        let guard = self.db();
        let db = guard.as_ref().ok_or(RecorderError::Unavailable)?;
        db.drop_cf(&Family::Blocks(day).name()).map_err(RecorderError::store("drop a day"))
    }

    /// Closes the database and opens it again: after a failed write RocksDB may refuse all others until then.
    pub fn reopen(&self) -> Result<(), RecorderError> {
        let mut guard = self.db.write().unwrap_or_else(PoisonError::into_inner);
        drop(guard.take());
        *guard = Some(open(&self.folder, &self.cache)?);
        Ok(())
    }

    /// Brings everything written so far to the disk.
    pub fn sync(&self) -> Result<(), RecorderError> {
        let guard = self.db();
        let db = guard.as_ref().ok_or(RecorderError::Unavailable)?;
        db.flush_wal(true).map_err(RecorderError::store("sync"))
    }

    /// Writes everything in memory to table files, and with `compact` merges them.
    pub fn flush(&self, compact: bool) -> Result<(), RecorderError> {
        let guard = self.db();
        let db = guard.as_ref().ok_or(RecorderError::Unavailable)?;
        for name in family_names(&self.folder)? {
            if let Some(handle) = db.cf_handle(&name) {
                db.flush_cf(&handle).map_err(RecorderError::store("flush"))?;
                if compact {
                    db.compact_range_cf(&handle, None::<&[u8]>, None::<&[u8]>);
                }
            }
        }
        db.flush_wal(true).map_err(RecorderError::store("flush"))
    }
}

type StoredRow = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>;

fn stored_rows<'a>(
    db: &'a Db,
    family: Family,
    (from, to): (&[u8], Option<&[u8]>),
    direction: Direction,
) -> impl Iterator<Item = StoredRow> + use<'a> {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(from);
    if let Some(to) = to {
        options.set_iterate_upper_bound(to);
    }
    let mode = if direction == Direction::Up { IteratorMode::Start } else { IteratorMode::End };
    let handle = db.cf_handle(&family.name());
    handle.map(|handle| db.iterator_cf_opt(&handle, options, mode)).into_iter().flatten()
}

type OverlaidRow<'a> = (&'a [u8], Option<&'a [u8]>);

fn overlaid_rows<'a>(
    rows: Option<&'a BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
    (from, to): (&[u8], Option<&[u8]>),
    direction: Direction,
) -> Box<dyn Iterator<Item = OverlaidRow<'a>> + 'a> {
    let Some(rows) = rows else {
        return Box::new(std::iter::empty());
    };
    let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
    let range = rows.range::<[u8], _>((Bound::Included(from), upper));
    let range = range.map(|(key, value)| (key.as_slice(), value.as_deref()));
    if direction == Direction::Up { Box::new(range) } else { Box::new(range.rev()) }
}

fn open(folder: &Path, cache: &Cache) -> Result<Db, RecorderError> {
    let mut names: Vec<String> = STANDING.iter().map(|family| family.name().into_owned()).collect();
    names.extend(family_names(folder)?);
    names.sort_unstable();
    names.dedup();
    let families = names.into_iter().map(|name| {
        let options = family_options(cache, &name);
        ColumnFamilyDescriptor::new(name, options)
    });
    let db = Db::open_cf_descriptors(&database_options(), folder.join("db"), families);
    db.map_err(RecorderError::opening(folder))
}

/// The families the database has; none where there is no database.
fn family_names(folder: &Path) -> Result<Vec<String>, RecorderError> {
    let path = folder.join("db");
    if !path.join("CURRENT").exists() {
        return Ok(Vec::new());
    }
    Db::list_cf(&database_options(), &path).map_err(RecorderError::opening(folder))
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES);
    options.set_max_total_wal_size(WAL_BYTES);
    options.set_max_open_files(FILES_OPEN);
    options.set_max_background_jobs(2);
    options.set_max_log_file_size(INFO_LOG_BYTES);
    options.set_keep_log_file_num(2);
    options.set_bytes_per_sync(1024 * 1024);
    options
}

/// Blocks of one event are small and alike, so large table blocks under zstd pay; blocks that are compressed already
/// do not shrink again, and RocksDB then stores them as they are.
fn family_options(cache: &Cache, name: &str) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 * 1024);
    table.set_format_version(5);
    table.set_cache_index_and_filter_blocks(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    if Family::day(name).is_some() {
        options.set_write_buffer_size(DAY_BUFFER_BYTES);
        options.set_max_write_buffer_number(DAY_BUFFERS);
        options.set_enable_blob_files(true);
        options.set_min_blob_size(BLOB_BYTES_MIN);
    }
    options
}
