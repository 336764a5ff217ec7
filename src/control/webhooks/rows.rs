//! What webhooks keep in the store's `access` family: how far each has come, and what it gave up.
//!
//! | key | value |
//! |---|---|
//! | `webhook/<name>/cursor` | how far it has come |
//! | `webhook/<name>/dead/<number, 8 bytes, big-endian>` | a dead letter |

use serde::{Deserialize, Serialize};

use crate::control::notices::Notice;
use crate::limits::DEAD_LETTERS_MAX;
use crate::recorder::{AccessChange, AccessStore, RecorderError};

const PREFIX: &[u8] = b"webhook/";

/// How far a webhook has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The number of the last notice that it is done with.
    pub(super) seq: u64,
    /// Attempts at the one after it that failed: a restart does not begin anew.
    #[serde(default)]
    pub(super) attempts: u32,
    /// When the first of them began, ns since the Unix epoch.
    #[serde(default)]
    pub(super) since_ns: u64,
}

/// A notice that a webhook gave up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DeadLetter {
    pub(super) webhook: String,
    pub(super) notice: Notice,
    pub(super) reason: String,
    pub(super) attempts: u32,
    /// When it was given up, or last tried again by hand; ns since the Unix epoch.
    pub(super) at_ns: u64,
}

/// The rows.
#[derive(Clone)]
pub(super) struct WebhookRows {
    store: AccessStore,
}

impl WebhookRows {
    pub(super) fn new(store: AccessStore) -> Self {
        Self { store }
    }

    pub(super) fn write(&self, changes: Vec<AccessChange>) -> Result<(), RecorderError> {
        self.store.write(changes)
    }

    /// None for a webhook that is new, or whose row no version of ours wrote.
    pub(super) fn cursor(&self, name: &str) -> Result<Option<Cursor>, RecorderError> {
        let row = self.store.get(&cursor_key(name))?;
        Ok(row.and_then(|row| serde_json::from_slice(&row).ok()))
    }

    /// All dead letters, those of webhooks that are not configured any more included; each webhook's oldest first.
    pub(super) fn all_dead(&self) -> Result<Vec<DeadLetter>, RecorderError> {
        self.scan(PREFIX)
    }

    pub(super) fn dead_of(&self, name: &str) -> Result<Vec<DeadLetter>, RecorderError> {
        self.scan(&dead_prefix(name))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<DeadLetter>, RecorderError> {
        let rows = self.store.scan(prefix)?;
        Ok(rows.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect())
    }

    /// What keeps `letter`, and lets go of the oldest of its webhook where there are too many; how many those are.
    pub(super) fn bury(&self, letter: &DeadLetter) -> Result<(Vec<AccessChange>, usize), RecorderError> {
        let kept = self.dead_of(&letter.webhook)?;
        let surplus = (kept.len() + 1).saturating_sub(DEAD_LETTERS_MAX);
        let mut changes: Vec<AccessChange> = kept.iter().take(surplus).map(unbury).collect();
        changes.push(dead_change(letter));
        Ok((changes, surplus))
    }
}

pub(super) fn cursor_change(name: &str, cursor: Cursor) -> AccessChange {
    (cursor_key(name), Some(as_json(&cursor)))
}

pub(super) fn dead_change(letter: &DeadLetter) -> AccessChange {
    (dead_key(letter), Some(as_json(letter)))
}

pub(super) fn unbury(letter: &DeadLetter) -> AccessChange {
    (dead_key(letter), None)
}

/// These have no map with other keys than text, the one thing that JSON cannot say.
fn as_json(row: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(row).unwrap_or_default()
}

fn cursor_key(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes(), b"/cursor"].concat()
}

fn dead_prefix(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes(), b"/dead/"].concat()
}

fn dead_key(letter: &DeadLetter) -> Vec<u8> {
    [dead_prefix(&letter.webhook), letter.notice.seq.to_be_bytes().to_vec()].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::*;
    use crate::control::notices::NoticeKind;
    use crate::recorder::open_access;

    fn letter(webhook: &str, seq: u64) -> DeadLetter {
        let notice = Notice { seq, id: format!("n{seq}"), at_ns: 1, kind: NoticeKind::GrantUsed, data: Value::Null };
        DeadLetter { webhook: webhook.to_owned(), notice, reason: "answered 400".to_owned(), attempts: 5, at_ns: 2 }
    }

    #[test]
    fn dead_letters_are_bounded_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let rows = WebhookRows::new(open_access(folder.path()).unwrap());
        rows.write((1..=DEAD_LETTERS_MAX as u64).map(|seq| dead_change(&letter("a", seq))).collect()).unwrap();
        rows.write(vec![dead_change(&letter("a.b", 1)), cursor_change("a", Cursor { seq: 7, ..Cursor::default() })])
            .unwrap();
        let (changes, lost) = rows.bury(&letter("a", 5000)).unwrap();
        rows.write(changes).unwrap();
        let seqs: Vec<u64> = rows.dead_of("a").unwrap().iter().map(|letter| letter.notice.seq).collect();
        assert_eq!((lost, seqs.len(), seqs[0], seqs[DEAD_LETTERS_MAX - 1]), (1, DEAD_LETTERS_MAX, 2, 5000));
        assert_eq!(rows.all_dead().unwrap().len(), DEAD_LETTERS_MAX + 1);
        assert_eq!(rows.cursor("a").unwrap().unwrap().seq, 7);
        assert_eq!(rows.cursor("b").unwrap(), None);
    }
}
