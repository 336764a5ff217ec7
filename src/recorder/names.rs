//! Who was seen and which topics were touched, as the indexes by name know it: the most recently seen first, by hours.
//!
//! Invariants:
//! - A page looks at no more names than [`NAMES_LOOKED_AT`]: it may be short, or empty, and still have a next one.
//! - A name is told once, in the latest hour in which it stands, over all pages from the first one on.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

use super::error::RecorderError;
use super::keys::{self, HOUR_NS, hour_of};
use super::queries::Queries;
use super::store::{Direction, Family};
use super::summary::{Rfc3339, SessionSummary};
use crate::limits::NAMES_LOOKED_AT;

/// A page of names.
#[derive(Debug, Clone)]
pub struct NamePage {
    /// The names.
    pub names: Vec<SeenName>,
    /// Where the next page begins; none after the last one.
    pub next: Option<NameCursor>,
}

/// A name, and when it was last seen.
#[derive(Debug, Clone)]
pub struct SeenName {
    /// The identity's subject, or the topic.
    pub name: String,
    /// The beginning of the hour in which it was last seen.
    pub last_hour: Rfc3339,
    /// A session of that hour, the latest that began; none where retention has just taken it.
    pub session: Option<SessionSummary>,
}

/// Where a page begins: behind this name, of this hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameCursor {
    /// The hour at which the first page began.
    first_hour: u32,
    hour: u32,
    /// As keys have it: with its length.
    name: Vec<u8>,
}

/// A page in the making.
struct Gathering<'a> {
    queries: &'a Queries,
    family: Family,
    from: Option<&'a NameCursor>,
    first_hour: Option<u32>,
    limit: usize,
    looked_at: usize,
    seen: BTreeSet<Vec<u8>>,
    /// The name that was looked at last.
    at: Option<NameCursor>,
    page: NamePage,
}

impl Queries {
    /// The subjects that were seen at `since_ns` or later, from `from` on, at most `limit` of them.
    pub fn identities(
        &self,
        since_ns: u64,
        from: Option<&NameCursor>,
        limit: usize,
    ) -> Result<NamePage, RecorderError> {
        self.names(Family::ByIdentity, since_ns, from, limit)
    }

    /// The topics that were touched at `since_ns` or later, from `from` on, at most `limit` of them.
    pub fn topics(&self, since_ns: u64, from: Option<&NameCursor>, limit: usize) -> Result<NamePage, RecorderError> {
        self.names(Family::ByTopic, since_ns, from, limit)
    }

    /// The latest hour that has rows: later ones need not be asked about, whatever a cursor says.
    fn latest_hour(&self, family: Family) -> Result<Option<u32>, RecorderError> {
        let mut latest = None;
        self.visit_hours(family, (0, None), |hour| {
            latest = Some(hour);
            Ok(false)
        })?;
        Ok(latest)
    }

    fn names(
        &self,
        family: Family,
        since_ns: u64,
        from: Option<&NameCursor>,
        limit: usize,
    ) -> Result<NamePage, RecorderError> {
        let mut gathering = Gathering {
            queries: self,
            family,
            from,
            first_hour: self.latest_hour(family)?.zip(from).map(|(latest, from)| from.first_hour.min(latest)),
            limit,
            looked_at: 0,
            seen: BTreeSet::new(),
            at: None,
            page: NamePage { names: Vec::new(), next: None },
        };
        let hours = (hour_of(since_ns), from.map(|from| from.hour));
        self.visit_hours(family, hours, |hour| gathering.hour(hour))?;
        Ok(gathering.page)
    }
}

impl Gathering<'_> {
    /// Takes the names of an hour; false once the page has all that it may.
    fn hour(&mut self, hour: u32) -> Result<bool, RecorderError> {
        let first_hour = *self.first_hour.get_or_insert(hour);
        let mut behind = match self.from {
            Some(from) if from.hour == hour => keys::after(&[keys::hour(hour), from.name.clone()].concat()),
            _ => Some(keys::hour(hour)),
        };
        while let Some(from) = behind {
            let Some((name, text)) = self.next_name(hour, &from)? else { return Ok(true) };
            if self.page.names.len() == self.limit || self.looked_at == NAMES_LOOKED_AT {
                self.page.next = self.at.take().or_else(|| self.from.cloned());
                return Ok(false);
            }
            self.looked_at += 1;
            let prefix = [keys::hour(hour), name.clone()].concat();
            if self.seen.insert(name.clone()) && !self.was_before(hour, &name)? {
                let session = self.latest_session(&prefix)?;
                let last_hour = Rfc3339(u64::from(hour) * HOUR_NS);
                self.page.names.push(SeenName { name: text, last_hour, session });
            }
            self.at = Some(NameCursor { first_hour, hour, name });
            behind = keys::after(&prefix);
        }
        Ok(true)
    }

    /// The first name of an hour at or behind a key, as keys have it and as text.
    fn next_name(&self, hour: u32, from: &[u8]) -> Result<Option<(Vec<u8>, String)>, RecorderError> {
        let to = keys::after(&keys::hour(hour));
        let mut found = None;
        self.queries.store().scan(self.family, (from, to.as_deref()), Direction::Up, &mut |key, _| {
            found = keys::name_after_hour(key);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Whether the pages before have met a name in a later hour.
    fn was_before(&self, hour: u32, name: &[u8]) -> Result<bool, RecorderError> {
        let Some(from) = self.from else { return Ok(false) };
        for later in from.hour.max(hour.saturating_add(1))..=self.first_hour.unwrap_or(hour) {
            let prefix = [keys::hour(later), name.to_vec()].concat();
            let mut any = false;
            let to = keys::after(&prefix);
            self.queries.store().scan(self.family, (&prefix, to.as_deref()), Direction::Up, &mut |_, _| {
                any = true;
                ControlFlow::Break(())
            })?;
            if any {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn latest_session(&self, prefix: &[u8]) -> Result<Option<SessionSummary>, RecorderError> {
        let mut id = None;
        let to = keys::after(prefix);
        self.queries.store().scan(self.family, (prefix, to.as_deref()), Direction::Down, &mut |key, _| {
            id = keys::session_at_end(key);
            ControlFlow::Break(())
        })?;
        id.map_or(Ok(None), |id| self.queries.session(id))
    }
}

impl fmt::Display for NameCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-", self.first_hour, self.hour)?;
        self.name.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for NameCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let mut parts = text.splitn(3, '-');
            let mut number = || u32::from_str_radix(parts.next()?, 16).ok();
            let (first_hour, hour) = (number()?, number()?);
            let digits = parts.next()?.as_bytes();
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            if digits.len() % 2 != 0 {
                return None;
            }
            let name = digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>()?;
            // Hours that no time has would be asked about one by one.
            let possible = hour <= first_hour && first_hour <= hour_of(u64::MAX);
            possible.then_some(NameCursor { first_hour, hour, name })
        };
        read().ok_or_else(|| "that cursor is not one of this list".to_owned())
    }
}
