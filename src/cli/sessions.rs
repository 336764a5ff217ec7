//! `weir sessions`: who did something through this gateway, the latest first.

use std::io::Write;

use serde_json::Value;

use super::args::SessionsArgs;
use super::error::CliError;
use super::source::Recording;
use super::terminal::{self, Columns, bytes, harmless, shortened};
use super::time::{Clock, length};
use super::view::Session;
use crate::config::Config;
use crate::recorder::SessionFilter;

/// From so many columns on a session fits one line.
const WIDE: usize = 120;

/// Columns of a narrower table but for the topics. Times are local; WHO is the identity, the client's id, its address.
const COLUMNS: [(&str, u16); 4] = [("SESSION", 14), ("WHO", 22), ("STARTED", 10), ("EXCHANGES", 14)];

pub(super) fn run(args: &SessionsArgs, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(&args.config.file)?;
    let filter = SessionFilter {
        identity: args.identity.clone(),
        topic: args.topic.clone(),
        address: args.address,
        since_ns: args.since,
        until_ns: args.until,
        limit: args.limit as usize,
    };
    let sessions: Vec<Value> = Recording::find(&config)?.sessions(&filter)?;
    if args.json {
        for session in &sessions {
            writeln!(out, "{session}")?;
        }
        return Ok(());
    }
    if sessions.is_empty() {
        return Ok(writeln!(out, "no sessions are recorded that fit")?);
    }
    let clock = Clock::local();
    if terminal::width() < WIDE {
        let mut columns = Columns::new(&COLUMNS, "TOPICS");
        for session in sessions {
            writeln!(out, "{}", columns.row(narrow_row(&serde_json::from_value(session)?, &clock)))?;
        }
        return Ok(());
    }
    let started = format!("STARTED ({})", clock.zone_name());
    let head = ["SESSION", "IDENTITY", "CLIENT", &started, "LASTED", "EXCH.", "IN/OUT", "TOPICS"];
    let mut table = terminal::table(&head, &[0, 4]);
    terminal::at_least(&mut table, 3, "2026-11-22".len());
    for session in sessions {
        table.add_row(row(&serde_json::from_value(session)?, &clock));
    }
    Ok(terminal::print_table(out, &table)?)
}

/// A session in three lines: names keep their ends rather than break anywhere.
fn narrow_row(session: &Session, clock: &Clock) -> Vec<String> {
    let who = |text: &str| shortened(&harmless(text), usize::from(COLUMNS[1].1));
    let (subject, client) = (who(&session.identity.subject), who(session.client_id.as_deref().unwrap_or("-")));
    let address = who(&session.client_address);
    let lasted = length(session.last_activity_ns.saturating_sub(session.started_ns));
    let lasted = if session.state == "ended" { lasted } else { format!("{lasted} +") };
    vec![
        session.id.clone(),
        format!("{subject}\n{client}\n{address}"),
        format!("{}\n{lasted}", clock.moment(session.started_ns).replace(' ', "\n")),
        format!("{}\nin  {}\nout {}", exchanges(session), bytes(session.bytes_in), bytes(session.bytes_out)),
        session.topics(),
    ]
}

fn row(session: &Session, clock: &Clock) -> [String; 8] {
    let client = session.client_id.as_deref().unwrap_or("-");
    let lasted = length(session.last_activity_ns.saturating_sub(session.started_ns));
    [
        session.id.clone(),
        harmless(&session.identity.subject),
        format!("{} {}", harmless(client), session.client_address),
        clock.moment(session.started_ns),
        if session.state == "ended" { lasted } else { format!("{lasted} +") },
        exchanges(session),
        format!("{} / {}", bytes(session.bytes_in), bytes(session.bytes_out)),
        session.topics(),
    ]
}

fn exchanges(session: &Session) -> String {
    let mut text = session.exchanges.to_string();
    for (count, what) in [(session.errors, "failed"), (session.refused, "refused"), (session.not_captured, "lost")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}
