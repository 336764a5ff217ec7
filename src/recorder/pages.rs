//! Sessions a page at a time, the most recently active first, by the hours of the indexes.
//!
//! Invariants:
//! - Pages are disjoint, and together hold every session that stood still meanwhile. One that became active again after a
//!   page had been made may be missed on later pages: it is first when the list is asked for anew.
//! - A page reads no hours before its own; of later ones it asks at most whether a session stands there.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::addresses::ipv6_form;
use super::error::RecorderError;
use super::keys::{self, hour_of};
use super::queries::{Indexes, Queries, SessionFilter, is_within};
use super::rows::SessionRow;
use super::store::Family;
use super::summary::SessionSummary;
use crate::event::SessionId;

/// A page of sessions.
#[derive(Debug, Clone)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<SessionSummary>,
    /// Where the next page begins; none after the last one.
    pub next: Option<SessionCursor>,
}

/// Where a page begins: behind this session, of this hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionCursor {
    /// The hour at which the first page began.
    first_hour: u32,
    hour: u32,
    last_activity_ns: u64,
    id: SessionId,
}

impl Queries {
    /// The page of the sessions that `filter` describes which begins at `from`; of at most `filter.limit`.
    pub fn session_page(
        &self,
        filter: &SessionFilter,
        from: Option<SessionCursor>,
    ) -> Result<SessionPage, RecorderError> {
        let indexes = self.indexes(filter)?;
        let until = filter.until_ns.map(hour_of);
        let last = [until, from.map(|from| from.hour)].into_iter().flatten().min();
        let mut first_hour = from.map(|from| from.first_hour);
        let mut seen = BTreeSet::new();
        let mut found: Vec<(u32, SessionRow)> = Vec::new();
        self.visit_hours(indexes.rarest(), (filter.since_ns.map_or(0, hour_of), last), |hour| {
            first_hour.get_or_insert(hour);
            let mut rows = Vec::new();
            for id in self.sessions_of_hour(&indexes, hour)? {
                if !seen.insert(id) {
                    continue;
                }
                let Some(row) = self.row(id)?.filter(|row| is_within(row, filter)) else { continue };
                match from {
                    Some(from) if self.was_before(&indexes, &row, hour, &from)? => {}
                    _ => rows.push((hour, row)),
                }
            }
            rows.sort_by_key(|(_, row)| std::cmp::Reverse((row.last_activity_ns, row.id)));
            found.append(&mut rows);
            Ok(found.len() <= filter.limit)
        })?;
        let is_last = found.len() <= filter.limit;
        found.truncate(filter.limit);
        let next = found.last().filter(|_| !is_last).map(|(hour, row)| SessionCursor {
            first_hour: first_hour.unwrap_or(*hour),
            hour: *hour,
            last_activity_ns: row.last_activity_ns,
            id: row.id,
        });
        let mut rows: Vec<SessionRow> = found.into_iter().map(|(_, row)| row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.last_activity_ns, row.id)));
        Ok(SessionPage { sessions: rows.into_iter().map(SessionSummary::from).collect(), next })
    }

    /// Whether a session that is met in `hour` was met by the pages before `from`.
    fn was_before(
        &self,
        indexes: &Indexes,
        row: &SessionRow,
        hour: u32,
        from: &SessionCursor,
    ) -> Result<bool, RecorderError> {
        if hour == from.hour && (row.last_activity_ns, row.id) >= (from.last_activity_ns, from.id) {
            return Ok(true);
        }
        for later in (from.hour.saturating_add(1)..=from.first_hour.min(hour_of(row.last_activity_ns))).rev() {
            if self.stands(indexes, row, later)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a session is one of those of an hour that stand in all of the indexes.
    fn stands(&self, indexes: &Indexes, row: &SessionRow, hour: u32) -> Result<bool, RecorderError> {
        let named = indexes.all.iter().map(|(family, name)| (*family, [keys::hour(hour), name.clone()].concat()));
        let mut prefixes: Vec<(Family, Vec<u8>)> = named.collect();
        if indexes.by_address.is_some_and(|(_, from_hour)| hour >= from_hour) {
            prefixes.push((Family::ByAddress, keys::hour_and_address(hour, ipv6_form(row.client_ip))));
        }
        if prefixes.is_empty() {
            prefixes.push((Family::ByTime, keys::hour(hour)));
        }
        for (family, prefix) in prefixes {
            if self.store().get(family, &keys::with_session(prefix, row.id))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl fmt::Display for SessionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SessionCursor { first_hour, hour, last_activity_ns, id } = self;
        write!(f, "{first_hour:x}-{hour:x}-{last_activity_ns:x}-{:x}", id.as_u64())
    }
}

impl FromStr for SessionCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let parts: Vec<u64> = text.split('-').map_while(|part| u64::from_str_radix(part, 16).ok()).collect();
            let [first_hour, hour, last_activity_ns, id] = *parts.as_slice() else { return None };
            let (first_hour, hour) = (first_hour.try_into().ok()?, hour.try_into().ok()?);
            // Hours that no time has would be asked about one by one.
            let possible = hour <= first_hour && first_hour <= hour_of(u64::MAX);
            possible.then_some(SessionCursor { first_hour, hour, last_activity_ns, id: SessionId::from_u64(id) })
        };
        read().ok_or_else(|| "that cursor is not one of this list".to_owned())
    }
}
