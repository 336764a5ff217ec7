//! Dropping what is older than the configured days: a day's blocks as a whole family, its index rows as ranges.
//!
//! Invariants:
//! - Index rows and session rows go first, the family last: what a crash interrupts is found and finished the next time.
//! - Who looked at a recording is forgotten with the recordings of that day.
//! - A session goes when it has ended and all of it is older; one that still lives keeps its row.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::error::RecorderError;
use super::keys::{self, DAY_NS, HOURS_PER_DAY, day_of};
use super::rows::SessionRow;
use super::store::{Direction, Family, Rows, Store};
use crate::event::SessionId;

/// Drops the days before the last `days` whole ones; the answer is how many were dropped.
pub(super) fn drop_old(store: &Store, days: u32, now_ns: u64) -> Result<usize, RecorderError> {
    let keep_from = day_of(now_ns).saturating_sub(days);
    drop_looks(store, keep_from)?;
    let old: Vec<u32> = store.days()?.into_iter().filter(|day| *day < keep_from).collect();
    let Some(latest) = old.last() else {
        return Ok(0);
    };
    drop_rows(store, *latest + 1)?;
    for day in &old {
        store.drop_day(*day)?;
    }
    Ok(old.len())
}

/// Removes who looked before `day`.
fn drop_looks(store: &Store, day: u32) -> Result<(), RecorderError> {
    let (from, to) = (keys::look(0), keys::look(u64::from(day) * DAY_NS));
    let mut any = false;
    store.scan(Family::Access, (&from, Some(&to)), Direction::Up, &mut |_, _| {
        any = true;
        ControlFlow::Break(())
    })?;
    let mut rows = Rows::default();
    if any {
        rows.delete_range(Family::Access, from, to);
    }
    store.write(&rows)
}

/// Removes all rows about days before `day`.
fn drop_rows(store: &Store, day: u32) -> Result<(), RecorderError> {
    let hour = keys::hour(day * HOURS_PER_DAY);
    let mut rows = Rows::default();
    for id in sessions_before(store, &hour)? {
        let Some(row) = store.get(Family::Sessions, &keys::session(id))? else {
            continue;
        };
        let row = SessionRow::decode(&row).map_err(RecorderError::damaged("session"))?;
        if row.end.is_some() && row.last_activity_ns < u64::from(day) * DAY_NS {
            rows.delete(Family::Sessions, keys::session(id));
        }
    }
    for family in [Family::ByTime, Family::ByIdentity, Family::ByTopic, Family::ByAddress] {
        rows.delete_range(family, Vec::new(), hour.clone());
    }
    for family in [Family::BySession, Family::FramesBySession] {
        rows.delete_range(family, Vec::new(), day.to_be_bytes().to_vec());
    }
    store.write(&rows)
}

fn sessions_before(store: &Store, hour: &[u8]) -> Result<BTreeSet<SessionId>, RecorderError> {
    let mut ids = BTreeSet::new();
    store.scan(Family::ByTime, (&[], Some(hour)), Direction::Up, &mut |key, _| {
        ids.extend(keys::session_at_end(key));
        ControlFlow::Continue(())
    })?;
    Ok(ids)
}
