//! Goes over what was recorded in a time: hour by hour to the sessions, and through each session once, a page at a time.
//!
//! Invariants:
//! - An exchange is looked at once: a session is gone through to the end of the time where it is first met, and remembered as
//!   long as later hours may list it again.
//! - At a time, the sessions of at most an hour are held, and a page of one's events.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::judge::{Bench, Client, Known};
use crate::cli::error::CliError;
use crate::cli::source::Recording;
use crate::cli::time::Clock;
use crate::control::EXCHANGES_PAGE;
use crate::event::{Item, Outcome, SessionId};
use crate::recorder::{EventCursor, SessionFilter};

const MINUTE_NS: u64 = 60_000_000_000;
const HOUR_NS: u64 = 60 * MINUTE_NS;
const DAY_NS: u64 = 24 * HOUR_NS;
/// Sessions that are asked for at a time, while a shorter time would have fewer; and as many as a gateway lists.
const SESSIONS_AT_ONCE: usize = 10_000;
const SESSIONS_MAX: usize = 100_000;
/// How often a terminal is told how far it is.
const PROGRESS: Duration = Duration::from_millis(200);

/// The time that is looked at: from `from_ns` to before `to_ns`, ns since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
}

impl Window {
    pub(super) fn of(since: u64, until: Option<u64>) -> Result<Window, CliError> {
        let now_ns = u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(u64::MAX);
        let window = Window { from_ns: since, to_ns: until.unwrap_or(now_ns) };
        if window.from_ns < window.to_ns {
            Ok(window)
        } else {
            Err(CliError::Usage("nothing lies between --since and --until".to_owned()))
        }
    }

    /// Its parts, as long as `span_ns` and ending where such spans end since the Unix epoch.
    fn parts(self, span_ns: u64) -> impl Iterator<Item = Window> {
        let mut from_ns = self.from_ns;
        std::iter::from_fn(move || {
            let to_ns = ((from_ns / span_ns + 1) * span_ns).min(self.to_ns);
            let part = Window { from_ns, to_ns };
            from_ns = to_ns;
            (part.from_ns < part.to_ns).then_some(part)
        })
    }
}

/// What of the recording is looked at, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Only what this subject did.
    pub(super) subject: Option<&'a str>,
    /// Only what came through this listener.
    pub(super) listener: Option<&'a str>,
    /// Nothing more is looked at from then on.
    pub(super) ends: Option<Instant>,
}

/// A session, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Session {
    id: SessionId,
    identity: Identity,
    client_id: Option<String>,
    client_address: IpAddr,
    listeners: Vec<String>,
    ended_ns: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Identity {
    issuer: String,
    subject: String,
    groups: Vec<String>,
}

/// An event, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    at_ns: u64,
    boot: u32,
    shard: u16,
    connection: u64,
    /// Of one that says that a connection was accepted.
    listener: Option<String>,
    /// Of an exchange.
    response: Option<Response>,
    request: Option<Request>,
}

/// An exchange to be judged.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) at_ns: u64,
    pub(super) request: Option<Request>,
    pub(super) response: Response,
}

/// The request's side of it.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    pub(super) api_key: i16,
    pub(super) api_version: i16,
    pub(super) items: Vec<Item>,
    pub(super) items_omitted: u32,
}

/// The answer's side of it.
#[derive(Debug, Deserialize)]
pub(super) struct Response {
    pub(super) outcome: Outcome,
    pub(super) items: Vec<Item>,
}

/// A walk over the recording.
pub(super) struct Walk<'a> {
    recording: &'a Recording,
    window: Window,
    asked: Asked<'a>,
    bench: Bench,
    /// Sessions that later hours may list again, and when they ended.
    met: HashMap<SessionId, u64>,
    progress: Progress,
}

impl<'a> Walk<'a> {
    pub(super) fn new(recording: &'a Recording, window: Window, asked: Asked<'a>, bench: Bench) -> Self {
        Walk { recording, window, asked, bench, met: HashMap::new(), progress: Progress::new() }
    }

    /// What was found.
    pub(super) fn done(self) -> Bench {
        self.bench
    }

    /// Goes from the beginning of the time to its end.
    pub(super) fn go(&mut self) -> Result<(), CliError> {
        for day in self.window.parts(DAY_NS) {
            // Most days of a long time may have nothing.
            if self.list(day, 1)?.is_empty() {
                continue;
            }
            for hour in day.parts(HOUR_NS) {
                self.sessions_of(hour)?;
                if self.is_late() {
                    self.bench.found.looked_at.stopped(hour.from_ns);
                    return Ok(());
                }
                self.met.retain(|_, ended_ns| *ended_ns >= hour.to_ns);
            }
        }
        self.progress.clear();
        Ok(())
    }

    fn is_late(&self) -> bool {
        self.asked.ends.is_some_and(|ends| Instant::now() >= ends)
    }

    fn sessions_of(&mut self, part: Window) -> Result<(), CliError> {
        let mut sessions = self.list(part, SESSIONS_AT_ONCE)?;
        if sessions.len() >= SESSIONS_AT_ONCE {
            let half_ns = (part.to_ns - part.from_ns) / 2;
            if half_ns >= MINUTE_NS {
                let middle_ns = part.from_ns + half_ns;
                self.sessions_of(Window { to_ns: middle_ns, ..part })?;
                return self.sessions_of(Window { from_ns: middle_ns, ..part });
            }
            sessions = self.list(part, SESSIONS_MAX)?;
            self.bench.found.looked_at.sessions_omitted |= sessions.len() >= SESSIONS_MAX;
        }
        for session in sessions {
            let through = |name: &str| session.listeners.is_empty() || session.listeners.iter().any(|one| one == name);
            if self.is_late() {
                return Ok(());
            }
            let wanted = self.asked.listener.is_none_or(through);
            if !wanted || self.met.insert(session.id, session.ended_ns.unwrap_or(u64::MAX)).is_some() {
                continue;
            }
            self.progress.tell(part.from_ns, &self.bench);
            self.go_through(&session)?;
        }
        Ok(())
    }

    fn list(&self, part: Window, limit: usize) -> Result<Vec<Session>, CliError> {
        self.recording.sessions(&SessionFilter {
            identity: self.asked.subject.map(str::to_owned),
            since_ns: Some(part.from_ns),
            until_ns: Some(part.to_ns - 1),
            limit,
            ..SessionFilter::default()
        })
    }

    fn go_through(&mut self, session: &Session) -> Result<(), CliError> {
        self.bench.found.looked_at.sessions += 1;
        let mut clients = Clients { session, opened: HashMap::new(), known: HashMap::new() };
        let mut after = EventCursor::at(self.window.from_ns);
        loop {
            let page: Vec<Event> = self.recording.exchanges(session.id, after)?;
            let is_last = page.len() < EXCHANGES_PAGE;
            if let Some(event) = page.last() {
                after = event.id.parse().map_err(|e: String| CliError::Answer(serde::de::Error::custom(e)))?;
            }
            let to_ns = self.window.to_ns;
            let is_past = page.last().is_some_and(|event| event.at_ns >= to_ns);
            for event in page.into_iter().take_while(|event| event.at_ns < to_ns) {
                self.look_at(event, &mut clients);
            }
            if is_last || is_past || self.is_late() {
                break;
            }
            self.progress.tell(after.at_ns(), &self.bench);
        }
        clients.known.into_values().for_each(|known| self.bench.give_back(known));
        Ok(())
    }

    fn look_at(&mut self, event: Event, clients: &mut Clients<'_>) {
        let connection = (event.boot, event.shard, event.connection);
        if let Some(listener) = event.listener {
            clients.opened(connection, listener);
        }
        let Some(response) = event.response else { return };
        let exchange = Exchange { at_ns: event.at_ns, request: event.request, response };
        let listener = clients.listener_of(connection).map(str::to_owned);
        let other = listener.is_some() && self.asked.listener.is_some() && listener.as_deref() != self.asked.listener;
        if !other {
            let known = listener.map(|listener| clients.known(listener, &mut self.bench));
            self.bench.judge(known, &exchange);
        }
    }
}

/// Which start of the gateway, which of its shards, which of the shard's connections.
type ConnectionKey = (u32, u16, u64);

/// What one session is to rules: a client for each listener it came through.
struct Clients<'a> {
    session: &'a Session,
    /// The listeners of its connections, where there are several.
    opened: HashMap<ConnectionKey, String>,
    known: HashMap<String, Known>,
}

impl Clients<'_> {
    fn opened(&mut self, connection: ConnectionKey, listener: String) {
        if self.session.listeners.len() != 1 {
            self.opened.insert(connection, listener);
        }
    }

    fn listener_of(&self, connection: ConnectionKey) -> Option<&str> {
        match self.session.listeners.as_slice() {
            [only] => Some(only),
            _ => self.opened.get(&connection).map(String::as_str),
        }
    }

    fn known(&mut self, listener: String, bench: &mut Bench) -> &mut Known {
        let Session { identity, client_id, client_address, .. } = self.session;
        self.known.entry(listener).or_insert_with_key(|listener| {
            bench.take(Client {
                listener: listener.clone(),
                issuer: identity.issuer.clone(),
                subject: identity.subject.clone(),
                groups: identity.groups.clone(),
                client_id: client_id.clone(),
                address: *client_address,
            })
        })
    }
}

/// One line of a terminal that says how far it is.
struct Progress {
    is_seen: bool,
    told: Option<Instant>,
    clock: Clock,
}

impl Progress {
    fn new() -> Progress {
        Progress { is_seen: io::stderr().is_terminal(), told: None, clock: Clock::local() }
    }

    fn tell(&mut self, at_ns: u64, bench: &Bench) {
        if !self.is_seen || self.told.is_some_and(|told| told.elapsed() < PROGRESS) {
            return;
        }
        self.told = Some(Instant::now());
        let looked_at = &bench.found.looked_at;
        let (sessions, exchanges) = (looked_at.sessions, looked_at.exchanges);
        // Who does not see it has lost nothing.
        let _ = write!(
            io::stderr(),
            "\r\u{1b}[K{}: {sessions} sessions, {exchanges} exchanges, newly denied: {}",
            self.clock.moment(at_ns),
            bench.found.newly_denied
        );
    }

    fn clear(&self) {
        if self.told.is_some() {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_parts_that_end_on_the_hour() {
        let window = Window { from_ns: HOUR_NS / 2, to_ns: 2 * HOUR_NS + 1 };
        let parts: Vec<(u64, u64)> = window.parts(HOUR_NS).map(|part| (part.from_ns, part.to_ns)).collect();
        assert_eq!(parts, [(HOUR_NS / 2, HOUR_NS), (HOUR_NS, 2 * HOUR_NS), (2 * HOUR_NS, 2 * HOUR_NS + 1)]);
    }
}
