//! `weir show`: a session's head, then a line for each exchange, in order.

use std::io::Write;

use serde_json::Value;

use super::args::ShowArgs;
use super::error::CliError;
use super::exchange::Line;
use super::source::Recording;
use super::terminal::{self, bytes, harmless};
use super::time::{Clock, length};
use super::view::{Event, Session};
use crate::config::Config;
use crate::control::EXCHANGES_PAGE;
use crate::event::SessionId;
use crate::recorder::EventCursor;

pub(super) fn run(args: &ShowArgs, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(&args.config.file)?;
    let recording = Recording::find(&config)?;
    let session = recording.session(args.session)?;
    if args.json {
        return each_page(&recording, args.session, |page| {
            for event in page {
                writeln!(out, "{event}")?;
            }
            Ok(())
        });
    }
    let clock = Clock::local();
    head(&serde_json::from_value(session)?, &clock, out)?;
    let mut first = true;
    each_page(&recording, args.session, |page| {
        let mut table = terminal::exchanges(std::mem::take(&mut first));
        for event in page {
            let event: Event = serde_json::from_value(event)?;
            let line = Line::of(&event.kind);
            let [client, weir, broker] = line.latency;
            let at = clock.time_of_day(event.at_ns);
            table.add_row([at, line.what, client, weir, broker, line.result]);
        }
        Ok(terminal::print_table(out, &table)?)
    })
}

/// Goes through all events of a session, a page at a time.
fn each_page(
    recording: &Recording,
    id: SessionId,
    mut show: impl FnMut(Vec<Value>) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut after = EventCursor::default();
    loop {
        let page = recording.exchanges(id, after)?;
        let last = page.len() < EXCHANGES_PAGE;
        if let Some(event) = page.last() {
            after = cursor(event)?;
        }
        if !page.is_empty() {
            show(page)?;
        }
        if last {
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
