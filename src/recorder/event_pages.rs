//! Events of all sessions a page at a time: session by session, the most recently active first, each session's in order.
//!
//! Invariants:
//! - A page looks at no more than [`EVENTS_LOOKED_AT_MAX`] events of [`EVENT_SESSIONS_MAX`] sessions, whatever is asked for: it
//!   may be short, or empty, and have a next one all the same.
//! - Pages are disjoint, and together hold every event there was when the first was made, but for those of sessions that became
//!   active again before their turn: these are first when the list is asked for anew.

use std::fmt;
use std::str::FromStr;

use super::error::RecorderError;
use super::events::{EventCursor, EventReader, JoinedReader, RecordedEvent};
use super::follow::{FollowedEvent, FollowedSession, has_failed, touches};
use super::pages::{SessionCursor, SessionPage};
use super::queries::{Queries, SessionFilter};
use super::summary::SessionSummary;
use crate::event::{EventKind, Outcome, SessionId};
use crate::limits::{EVENT_SESSIONS_MAX, EVENTS_LOOKED_AT_MAX};

/// Which events are asked for; all conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of which sessions; its times and its topic are asked of their events, too. Its limit counts for nothing.
    pub sessions: SessionFilter,
    /// Exchanges of this Kafka API.
    pub api_key: Option<i16>,
    /// Exchanges that ended so.
    pub outcome: Option<Outcome>,
    /// What failed, was refused, has no known outcome or was not captured.
    pub errors_only: bool,
}

/// A page of events.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// The events, each with whose it is.
    pub events: Vec<FollowedEvent>,
    /// Where the next page begins; none after the last one.
    pub next: Option<EventPageCursor>,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPageCursor {
    /// Where the page of sessions began that was being read.
    sessions: Option<SessionCursor>,
    /// How active the last session was that was looked at, and which it is.
    at: (u64, SessionId),
    /// Behind which of its events to go on; none: it is done.
    event: Option<EventCursor>,
}

/// Before all sessions of a page.
fn before_all() -> (u64, SessionId) {
    (u64::MAX, SessionId::from_u64(u64::MAX))
}

impl Queries {
    /// The page of the events that `filter` describes which begins at `from`; of at most `limit`.
    pub fn event_page(
        &self,
        filter: &EventFilter,
        from: Option<EventPageCursor>,
        limit: usize,
    ) -> Result<EventPage, RecorderError> {
        let of_sessions = SessionFilter { limit: EVENT_SESSIONS_MAX, ..filter.sessions.clone() };
        let mut reading = Reading { queries: self, filter, limit, events: Vec::new(), looked_at: 0 };
        let (mut from_session, mut at) = (None, before_all());
        let mut sessions = 0;
        if let Some(EventPageCursor { sessions: page, at: last, event }) = from {
            (from_session, at) = (page, last);
            if let Some(event) = event
                && let Some(session) = self.session(last.1)?
            {
                sessions += 1;
                if let Some(event) = reading.session(&session, event)? {
                    return Ok(reading.until(EventPageCursor { sessions: from_session, at, event: Some(event) }));
                }
            }
        }
        loop {
            let SessionPage { sessions: page, next } = self.session_page(&of_sessions, from_session)?;
            for session in page {
                let place = (session.last_activity_ns, session.id);
                if place >= at {
                    continue;
                }
                if sessions == EVENT_SESSIONS_MAX {
                    return Ok(reading.until(EventPageCursor { sessions: from_session, at, event: None }));
                }
                (sessions, at) = (sessions + 1, place);
                if let Some(event) = reading.session(&session, EventCursor::default())? {
                    return Ok(reading.until(EventPageCursor { sessions: from_session, at, event: Some(event) }));
                }
            }
            if next.is_none() {
                return Ok(EventPage { events: reading.events, next: None });
            }
            (from_session, at) = (next, before_all());
        }
    }
}

/// A page in the making.
struct Reading<'a> {
    queries: &'a Queries,
    filter: &'a EventFilter,
    limit: usize,
    events: Vec<FollowedEvent>,
    looked_at: usize,
}

impl Reading<'_> {
    /// Takes a session's events behind `from`, until the page is full: then it gives the last that was looked at.
    fn session(&mut self, session: &SessionSummary, from: EventCursor) -> Result<Option<EventCursor>, RecorderError> {
        let Some(row) = self.queries.row(session.id)? else { return Ok(None) };
        let times = &self.filter.sessions;
        let from = from.max(EventCursor::at(times.since_ns.unwrap_or(0)));
        let store = self.queries.store();
        let mut reader = JoinedReader::new(EventReader::new(&store, &row, from)?);
        while let Some(event) = reader.next()? {
            if times.until_ns.is_some_and(|until_ns| event.at_ns > until_ns) {
                return Ok(None);
            }
            let place = event.id;
            self.looked_at += 1;
            if is_asked_for(&event, self.filter) {
                let SessionSummary { id, identity, client_id, client_address, .. } = session.clone();
                self.events.push(FollowedEvent {
                    session: FollowedSession { id, identity, client_id, client_address },
                    event,
                });
            }
            if self.events.len() >= self.limit || self.looked_at >= EVENTS_LOOKED_AT_MAX {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn until(self, next: EventPageCursor) -> EventPage {
        EventPage { events: self.events, next: Some(next) }
    }
}

fn is_asked_for(event: &RecordedEvent, filter: &EventFilter) -> bool {
    let exchange = match &event.kind {
        EventKind::Exchange { request, response, .. } => Some((request.as_ref(), response)),
        _ => None,
    };
    let of_api = |key: i16| exchange.is_some_and(|(request, _)| request.is_some_and(|request| request.api_key == key));
    let ended = |outcome: Outcome| exchange.is_some_and(|(_, response)| response.outcome == outcome);
    filter.sessions.topic.as_ref().is_none_or(|topic| touches(event, topic))
        && filter.api_key.is_none_or(of_api)
        && filter.outcome.is_none_or(ended)
        && (!filter.errors_only || has_failed(event))
}

impl fmt::Display for EventPageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(sessions) = &self.sessions {
            write!(f, "{sessions}")?;
        }
        write!(f, ".{:x}-{:x}.", self.at.0, self.at.1.as_u64())?;
        self.event.iter().try_for_each(|event| write!(f, "{event}"))
    }
}

impl FromStr for EventPageCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let parts: Vec<&str> = text.split('.').collect();
            let [sessions, at, event] = *parts.as_slice() else { return None };
            let (activity, id) = at.split_once('-')?;
            let number = |text| u64::from_str_radix(text, 16).ok();
            let at = (number(activity)?, SessionId::from_u64(number(id)?));
            let sessions = if sessions.is_empty() { None } else { Some(sessions.parse().ok()?) };
            let event = if event.is_empty() { None } else { Some(event.parse().ok()?) };
            Some(EventPageCursor { sessions, at, event })
        };
        read().ok_or_else(|| "that cursor is not one of this list".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        let at = (7, SessionId::from_u64(9));
        for sessions in [None, "5-5-1-2".parse().ok()] {
            for event in [None, Some(EventCursor::at(3))] {
                let cursor = EventPageCursor { sessions, at, event };
                assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
        }
        for text in ["", "x", "..", ".1-2", ".1-2.x", "1-1.1-2.", ".1-2..", ".-1.", "1-2-1-1.1-1."] {
            assert!(text.parse::<EventPageCursor>().is_err(), "{text}");
        }
    }
}
