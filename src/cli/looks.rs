//! `weir looks`: who looked at recordings, when, and by which way.

use std::io::Write;

use super::args::LooksArgs;
use super::error::CliError;
use super::source::Looks;
use super::terminal::{self, harmless};
use super::time::Clock;
use crate::config::Config;
use crate::control::{Look, Seen};
use crate::limits::API_PAGE_MAX;

pub(super) fn run(args: &LooksArgs, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(&args.config.file)?;
    let looks = latest(&Looks::find(&config)?, args.limit as usize)?;
    if args.json {
        for look in &looks {
            writeln!(out, "{}", serde_json::to_string(look)?)?;
        }
        return Ok(());
    }
    if looks.is_empty() {
        return Ok(writeln!(out, "nobody has looked at a recording yet")?);
    }
    let clock = Clock::local();
    let when = format!("WHEN ({})", clock.zone_name());
    let mut table = terminal::table(&[&when, "WHO", "BY", "FROM", "SAW", "SESSION"], &[0]);
    for look in &looks {
        let minted = look.minted_by.as_ref().map(|person| format!(", minted by {person}")).unwrap_or_default();
        let seen = match look.seen {
            Seen::Session => "its events",
            Seen::Frames => "its frames",
            Seen::Follow => "what was being recorded",
            Seen::Request => "an access request",
            Seen::Simulation => "what a policy would have done",
        };
        table.add_row([
            clock.moment(look.at_ns),
            harmless(&format!("{}{minted}", look.subject)),
            harmless(&look.way),
            harmless(look.address.as_deref().unwrap_or("-")),
            seen.to_owned(),
            harmless(look.session.as_deref().or(look.request.as_deref()).unwrap_or("-")),
        ]);
    }
    Ok(terminal::print_table(out, &table)?)
}

fn latest(source: &Looks, limit: usize) -> Result<Vec<Look>, CliError> {
    let mut looks = Vec::new();
    let mut cursor = None;
    loop {
        let wanted = (limit - looks.len()).min(API_PAGE_MAX);
        let mut page = source.page(cursor.as_deref(), wanted)?;
        looks.append(&mut page.looks);
        cursor = page.next_cursor;
        if cursor.is_none() || looks.len() >= limit {
            return Ok(looks);
        }
    }
}
