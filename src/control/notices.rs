//! The outbox: what others have to be told of, written in the same atomic write as what it tells of.
//!
//! A notice is a row `notice/<number>` of the store's `access` family. Whoever changes access rows prepares the notice, adds
//! its row to the write of its own rows, and lets go of it afterwards. Webhooks read from there, each from its own cursor.
//!
//! Invariants:
//! - A change and its notice are both in the store, or neither is.
//! - Notices are read in the order of their numbers, and none is read before all with smaller numbers are written or given
//!   up: writes may end in another order than they began, and a reader that had gone past a number would never see it.
//! - A number is never given twice, whatever was removed meanwhile: cursors stay right.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::tokens::now_ns;
use crate::recorder::{AccessChange, AccessRow, AccessStore, RecorderError};

/// Keys in the store: this and the number, 8 bytes, big-endian.
const PREFIX: &[u8] = b"notice/";

/// Rows that are removed in one write.
const PRUNED_TOGETHER: usize = 256;

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NoticeKind {
    /// Somebody needs an approval.
    #[serde(rename = "request.created")]
    RequestCreated,
    /// A request was approved or denied, or nobody decided in time.
    #[serde(rename = "request.decided")]
    RequestDecided,
    /// Something was done under a grant.
    #[serde(rename = "grant.used")]
    GrantUsed,
    /// A grant was taken back.
    #[serde(rename = "grant.revoked")]
    GrantRevoked,
    /// Somebody took a right without approval.
    #[serde(rename = "break_glass")]
    BreakGlass,
    /// Nothing: somebody tries whether a webhook works. In no store.
    #[serde(rename = "webhook.test")]
    Test,
}

impl NoticeKind {
    /// All that happen.
    pub const ALL: [NoticeKind; 5] = [
        NoticeKind::RequestCreated,
        NoticeKind::RequestDecided,
        NoticeKind::GrantUsed,
        NoticeKind::GrantRevoked,
        NoticeKind::BreakGlass,
    ];

    /// As it is written in the configuration and in the store.
    pub fn name(self) -> &'static str {
        match self {
            NoticeKind::RequestCreated => "request.created",
            NoticeKind::RequestDecided => "request.decided",
            NoticeKind::GrantUsed => "grant.used",
            NoticeKind::GrantRevoked => "grant.revoked",
            NoticeKind::BreakGlass => "break_glass",
            NoticeKind::Test => "webhook.test",
        }
    }
}

/// Something that others are told of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Its number: one more than that of the notice before it, unless a write failed.
    pub seq: u64,
    /// Its name, a UUID of version 7; the same however often it is delivered.
    pub id: String,
    /// When it came to be, ns since the Unix epoch.
    pub at_ns: u64,
    /// What it is about.
    pub kind: NoticeKind,
    /// The rest, as `docs/webhooks.md` tells it. Much of it is what clients said: nothing in it is to be trusted.
    pub data: Value,
}

/// The notices of one store.
#[derive(Clone)]
pub struct Outbox {
    store: AccessStore,
    numbers: Arc<Numbers>,
}

struct Numbers {
    given: Mutex<Given>,
    /// The number up to which all is written or given up.
    settled: watch::Sender<u64>,
}

struct Given {
    last: u64,
    /// Numbers whose writes have not ended.
    pending: BTreeSet<u64>,
}

/// A notice that is about to be written. Letting go of it says that the write has ended, well or not, and wakes whoever
/// delivers: hold it until then.
#[must_use = "its row belongs into the write of what it tells of"]
pub struct PreparedNotice {
    numbers: Arc<Numbers>,
    seq: u64,
    change: AccessChange,
}

impl Outbox {
    /// The outbox of `store`.
    pub fn open(store: AccessStore) -> Result<Outbox, RecorderError> {
        let last = store.last(PREFIX)?.map_or(0, |(key, _)| number(&key));
        let given = Mutex::new(Given { last, pending: BTreeSet::new() });
        let numbers = Arc::new(Numbers { given, settled: watch::Sender::new(last) });
        Ok(Outbox { store, numbers })
    }

    /// Gives a notice its number, name and time.
    ///
    /// ```ignore
    /// let notice = outbox.prepare(NoticeKind::RequestDecided, data);
    /// store.write(own_rows.into_iter().chain([notice.change()]))?;
    /// drop(notice);
    /// ```
    pub fn prepare(&self, kind: NoticeKind, data: Value) -> PreparedNotice {
        let seq = self.numbers.next();
        let notice = json!({
            "seq": seq, "id": Uuid::now_v7().to_string(), "at_ns": now_ns(), "kind": kind.name(), "data": data,
        });
        PreparedNotice {
            numbers: Arc::clone(&self.numbers),
            seq,
            change: (key(seq), Some(notice.to_string().into_bytes())),
        }
    }

    /// The first `most` rows after number `cursor` that are settled, in order, each with its number. Not all need be notices
    /// of this version.
    pub fn after(&self, cursor: u64, most: usize) -> Result<Vec<(u64, serde_json::Result<Notice>)>, RecorderError> {
        let settled = *self.numbers.settled.borrow();
        let rows = self.store.scan_from(&key(cursor.saturating_add(1)), PREFIX, most)?;
        let read = |(key, value): AccessRow| (number(&key), serde_json::from_slice(&value));
        Ok(rows.into_iter().map(read).take_while(|(seq, _)| *seq <= settled).collect())
    }

    /// The number up to which notices can be read, as it grows.
    pub fn settled(&self) -> watch::Receiver<u64> {
        self.numbers.settled.subscribe()
    }
}

impl Outbox {
    /// Removes notices up to number `delivered`, and all from before `before_ns`, delivered or not; the newest one always
    /// stays, since the next number follows from it. The number up to which there are none now, where any was removed.
    pub(super) fn prune(&self, delivered: u64, before_ns: u64) -> Result<Option<u64>, RecorderError> {
        let Some((newest, _)) = self.store.last(PREFIX)? else { return Ok(None) };
        let mut removed = None;
        loop {
            let rows = self.store.scan_from(PREFIX, PREFIX, PRUNED_TOGETHER)?;
            let full = rows.len() == PRUNED_TOGETHER;
            // One that cannot be read tells nobody anything, however long it stays.
            let at_ns = |value: &[u8]| serde_json::from_slice::<Notice>(value).map_or(0, |notice| notice.at_ns);
            let goes =
                |(key, value): &AccessRow| *key != newest && (number(key) <= delivered || at_ns(value) < before_ns);
            let old: Vec<AccessChange> = rows.into_iter().take_while(goes).map(|(key, _)| (key, None)).collect();
            let Some((last, _)) = old.last() else { return Ok(removed) };
            removed = Some(number(last));
            let more = full && old.len() == PRUNED_TOGETHER;
            self.store.write(old)?;
            if !more {
                return Ok(removed);
            }
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

impl Numbers {
    fn next(&self) -> u64 {
        let mut given = self.given();
        given.last += 1;
        let seq = given.last;
        given.pending.insert(seq);
        seq
    }

    fn settle(&self, seq: u64) {
        let mut given = self.given();
        given.pending.remove(&seq);
        let settled = given.pending.first().map_or(given.last, |first| first - 1);
        self.settled.send_replace(settled);
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PreparedNotice {
    /// Its row.
    pub fn change(&self) -> AccessChange {
        self.change.clone()
    }
}

impl Drop for PreparedNotice {
    fn drop(&mut self) {
        self.numbers.settle(self.seq);
    }
}

fn key(seq: u64) -> Vec<u8> {
    [PREFIX, &seq.to_be_bytes()].concat()
}

/// The number that a key ends with.
fn number(key: &[u8]) -> u64 {
    key.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::recorder::open_access;

    fn seqs(outbox: &Outbox, cursor: u64) -> Vec<u64> {
        outbox.after(cursor, 100).unwrap().into_iter().map(|(seq, notice)| (seq, notice.unwrap()).0).collect()
    }

    #[test]
    fn a_notice_is_in_the_store_with_what_it_tells_of_and_comes_back_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let store = open_access(folder.path()).unwrap();
        let outbox = Outbox::open(store.clone()).unwrap();
        let notice = outbox.prepare(NoticeKind::BreakGlass, json!({"break_glass": {"by": "ann"}}));
        assert!(seqs(&outbox, 0).is_empty());
        store.write([(b"grant/7".to_vec(), Some(b"{}".to_vec())), notice.change()]).unwrap();
        drop(notice);
        drop((store, outbox));

        let store = open_access(folder.path()).unwrap();
        assert!(store.get(b"grant/7").unwrap().is_some());
        let outbox = Outbox::open(store.clone()).unwrap();
        let (seq, notice) = outbox.after(0, 10).unwrap().remove(0);
        let notice = notice.unwrap();
        assert_eq!((seq, notice.seq, notice.kind), (1, 1, NoticeKind::BreakGlass));
        assert_eq!(Uuid::parse_str(&notice.id).unwrap().get_version_num(), 7);
        assert_eq!(notice.data["break_glass"]["by"], "ann");
        let next = outbox.prepare(NoticeKind::GrantUsed, Value::Null);
        store.write([next.change()]).unwrap();
        drop(next);
        assert_eq!(seqs(&outbox, 1), [2]);
    }

    #[test]
    fn a_reader_does_not_go_past_a_write_that_is_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let store = open_access(folder.path()).unwrap();
        let outbox = Outbox::open(store.clone()).unwrap();
        let settled = outbox.settled();
        let slow = outbox.prepare(NoticeKind::RequestCreated, Value::Null);
        let failed = outbox.prepare(NoticeKind::RequestCreated, Value::Null);
        let fast = outbox.prepare(NoticeKind::RequestDecided, Value::Null);
        drop(failed);
        store.write([fast.change()]).unwrap();
        drop(fast);
        assert_eq!((seqs(&outbox, 0), *settled.borrow()), (vec![], 0));
        store.write([slow.change()]).unwrap();
        drop(slow);
        assert_eq!((seqs(&outbox, 0), *settled.borrow()), (vec![1, 3], 3));
        assert_eq!(outbox.after(0, 1).unwrap().len(), 1);
    }

    #[test]
    fn what_nobody_waits_for_goes_and_numbers_go_on_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = open_access(folder.path()).unwrap();
        let outbox = Outbox::open(store.clone()).unwrap();
        for _ in 0..PRUNED_TOGETHER + 10 {
            let notice = outbox.prepare(NoticeKind::GrantUsed, Value::Null);
            store.write([notice.change()]).unwrap();
        }
        let last = PRUNED_TOGETHER as u64 + 10;
        assert_eq!(outbox.prune(0, 0).unwrap(), None);
        assert_eq!(outbox.prune(last - 3, 0).unwrap(), Some(last - 3));
        assert_eq!(seqs(&outbox, 0), [last - 2, last - 1, last]);
        assert_eq!(outbox.prune(0, u64::MAX).unwrap(), Some(last - 1));
        assert_eq!(outbox.prune(last, u64::MAX).unwrap(), None);
        drop((store, outbox));
        let outbox = Outbox::open(open_access(folder.path()).unwrap()).unwrap();
        assert_eq!(outbox.prepare(NoticeKind::GrantUsed, Value::Null).seq, last + 1);
    }

    #[test]
    fn kinds_are_named_alike_everywhere() {
        for kind in NoticeKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
