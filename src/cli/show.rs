//! `weir show`: a session's head, then a line for each exchange, in order, and below it its records if they are asked for.

use std::collections::HashMap;
use std::io::Write;
use std::ops::ControlFlow;

use serde::Deserialize;
use serde_json::Value;

use super::args::ShowArgs;
use super::error::CliError;
use super::exchange::Line;
use super::records::select::Selection;
use super::records::{Shower, cursor_at, json, text};
use super::source::Recording;
use super::terminal::{Columns, Style, bytes, harmless};
use super::time::{Clock, length};
use super::view::{Event, Session};
use crate::config::Config;
use crate::control::EXCHANGES_PAGE;
use crate::event::SessionId;
use crate::recorder::EventCursor;

/// Columns of an event but for its result.
const COLUMNS: [(&str, u16); 5] = [("TIME", 12), ("WHAT", 24), ("CLIENT", 6), ("WEIR", 6), ("BROKER", 6)];

/// Characters of a policy's hash that people get, as from `weir reload`.
const HASH_SHOWN: usize = 12;

/// Said of a policy that takes over.
const FROM_HERE: &str = "in force from here on";

/// Said where records are asked for and there are none.
pub(super) const NO_FRAMES: &str = "no records are kept of this session: it was recorded in metadata mode; \
    `recording: [{ mode: full }]` in the policy file keeps them from then on";

pub(super) fn run(args: &ShowArgs, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(&args.config.file)?;
    let recording = Recording::find(&config)?;
    let session = recording.session(args.session)?;
    let view: Session = Session::deserialize(&session)?;
    let selection =
        Selection { topic: args.topic.clone(), since_ns: args.since, until_ns: args.until, grep: args.grep.clone() };
    let records = args.records || args.grep.is_some();
    if args.json {
        if records && view.frames == 0 {
            eprintln!("weir: {NO_FRAMES}");
        }
        return json_lines(&recording, args.session, &selection, records, out);
    }
    let clock = Clock::local();
    head(&view, &clock, out)?;
    if records && view.frames == 0 {
        writeln!(out, "{NO_FRAMES}\n")?;
    }
    let mut shower = records.then(|| Shower::new(&recording, args.session, args.since.unwrap_or(0)));
    let mut columns = Columns::new(&COLUMNS, "RESULT");
    let mut policies = Policies::default();
    let style = Style::of_stdout();
    each_event(&recording, args.session, &selection, |_, event| {
        let changed = policies.changed(event).filter(|_| selection.grep.is_none());
        if let Some(policy) = changed {
            let [client, weir, broker] = [const { String::new() }; 3];
            let cells = vec![clock.time_of_day(event.at_ns), policy, client, weir, broker, FROM_HERE.to_owned()];
            writeln!(out, "{}", columns.row(cells))?;
        }
        let row = columns.row(row(event, &clock));
        let before = selection.grep.as_ref().map(|_| row.clone());
        if before.is_none() {
            writeln!(out, "{row}")?;
        }
        let mut lines = text::Lines { out, selection: &selection, style, full: args.full, before };
        shower.as_mut().map_or(Ok(()), |shower| shower.show(event, &mut lines))?;
        Ok(ControlFlow::Continue(()))
    })
}

/// The policies under which events happened. Shards take a new one over one after the other: where one of them is behind,
/// that is no change back.
#[derive(Default)]
struct Policies {
    latest: Option<Option<String>>,
    of_shard: HashMap<(u32, u16), Option<String>>,
}

impl Policies {
    /// What is said of the policy before this event, where it is another than before.
    fn changed(&mut self, event: &Event) -> Option<String> {
        let hash = &event.policy_hash;
        let stays = self.of_shard.insert((event.boot, event.shard), hash.clone()).is_some_and(|before| before == *hash);
        if stays || self.latest.as_ref() == Some(hash) {
            return None;
        }
        let said = match hash {
            Some(hash) => format!("policy {}…", hash.get(..HASH_SHOWN).unwrap_or(hash)),
            None => "policy none".to_owned(),
        };
        self.latest.replace(hash.clone()).map(|_| said)
    }
}

fn row(event: &Event, clock: &Clock) -> Vec<String> {
    let Line { what, latency: [client, weir, broker], result } = Line::of(&event.kind);
    vec![clock.time_of_day(event.at_ns), what, client, weir, broker, result]
}

/// Events, and below each its records where they are asked for, an object a line.
pub(super) fn json_lines(
    recording: &Recording,
    id: SessionId,
    selection: &Selection,
    records: bool,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut shower = records.then(|| Shower::new(recording, id, selection.since_ns.unwrap_or(0)));
    each_event(recording, id, selection, |value, event| {
        // With --grep an exchange is shown only where one of its records is.
        let before = selection.grep.as_ref().map(|_| value);
        if before.is_none() {
            writeln!(out, "{value}")?;
        }
        let mut lines = json::Lines { out, exchange: event.id.as_str(), selection, before };
        shower.as_mut().map_or(Ok(()), |shower| shower.show(event, &mut lines))?;
        Ok(ControlFlow::Continue(()))
    })
}

/// Goes through the events of a session that are asked for, in order, until `show` has seen enough.
pub(super) fn each_event(
    recording: &Recording,
    id: SessionId,
    selection: &Selection,
    mut show: impl FnMut(&Value, &Event) -> Result<ControlFlow<()>, CliError>,
) -> Result<(), CliError> {
    each_page(recording, id, cursor_at(selection.since_ns), |page| {
        for value in &page {
            let event = Event::deserialize(value)?;
            if selection.is_past(&event) {
                return Ok(false);
            }
            if selection.takes(&event) && show(value, &event)?.is_break() {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// Goes through the events of a session behind `after`, a page at a time, until `show` says false.
fn each_page(
    recording: &Recording,
    id: SessionId,
    mut after: EventCursor,
    mut show: impl FnMut(Vec<Value>) -> Result<bool, CliError>,
) -> Result<(), CliError> {
    loop {
        let page: Vec<Value> = recording.exchanges(id, after)?;
        let last = page.len() < EXCHANGES_PAGE;
        if let Some(event) = page.last() {
            after = cursor(event)?;
        }
        if !show(page)? || last {
            return Ok(());
        }
    }
}

fn cursor(event: &Value) -> Result<EventCursor, CliError> {
    let id = event.get("id").and_then(Value::as_str).unwrap_or_default();
    id.parse().map_err(|e: String| CliError::Answer(serde::de::Error::custom(e)))
}

fn head(session: &Session, clock: &Clock, out: &mut impl Write) -> Result<(), CliError> {
    let identity = &session.identity;
    let groups = if identity.groups.is_empty() { "none".to_owned() } else { identity.groups.join(", ") };
    let client = session.client_id.as_deref().unwrap_or("a client without an id");
    let state = session.end_reason.as_ref().map_or_else(|| session.state.clone(), |reason| format!("ended, {reason}"));
    let lasted = length(session.last_activity_ns.saturating_sub(session.started_ns));
    let (started, last) = (clock.moment(session.started_ns), clock.moment(session.last_activity_ns));
    writeln!(out, "session    {} ({state})", session.id)?;
    writeln!(
        out,
        "identity   {} (by {}; groups: {})",
        harmless(&identity.subject),
        identity.issuer,
        harmless(&groups)
    )?;
    writeln!(
        out,
        "client     {} from {}, through {}; connections: {}",
        harmless(client),
        session.client_address,
        session.listeners.join(", "),
        session.connections_total
    )?;
    writeln!(out, "time       {started} to {last} {}, {lasted}", clock.zone_name())?;
    let (count, errors, refused) = (session.exchanges, session.errors, session.refused);
    writeln!(out, "exchanges  {count}; failed: {errors}, refused: {refused}, not captured: {}", session.not_captured)?;
    let (read, written) = (session.records_read, session.records_written);
    writeln!(
        out,
        "volume     {} in, {} out; records written: {written}, read: {read}",
        bytes(session.bytes_in),
        bytes(session.bytes_out)
    )?;
    writeln!(out, "topics     {}\n", session.topics())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_of_the_policy_is_told_once_however_late_a_shard_takes_it_over() {
        let mut policies = Policies::default();
        let mut said = |shard: u16, hash: Option<&str>| {
            let event = json!({ "id": "1", "at_ns": 1, "boot": 1, "shard": shard, "connection": 1, "policy_hash": hash,
                                "event": "not_captured", "events": 1 });
            policies.changed(&Event::deserialize(&event).unwrap())
        };
        let (one, two) = (Some("0123456789abcdef"), Some("fedcba9876543210"));
        assert_eq!([said(0, one), said(1, one), said(0, one)], [None, None, None]);
        assert_eq!(said(0, two).unwrap(), "policy fedcba987654…");
        assert_eq!([said(1, one), said(1, two), said(0, two)], [None, None, None]);
        assert_eq!(said(1, None).unwrap(), "policy none");
        assert_eq!(said(0, None), None);
    }
}
