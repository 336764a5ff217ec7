//! A simulation as people read it: what was tried on what, a row for each way of being denied, and what it comes to.

use std::io::Write;

use super::found::{NotJudged, kind_name};
use super::{Report, Told};
use crate::cli::args::SimulateArgs;
use crate::cli::error::CliError;
use crate::cli::page::Page;
use crate::cli::terminal::{self, Columns, harmless, shortened};
use crate::cli::time::Clock;
use crate::policy::ResourceKind;

/// From so many columns on names have more room.
const WIDE: usize = 120;
/// WHO is the identity and the client's id, WHAT the operation and the resource, TIMES counts exchanges.
const NARROW_COLUMNS: [(&str, u16); 4] = [("WHO", 18), ("WHAT", 24), ("TIMES", 8), ("LAST", 10)];
const WIDE_COLUMNS: [(&str, u16); 4] = [("WHO", 30), ("WHAT", 40), ("TIMES", 10), ("LAST", 10)];

pub(super) fn print(report: &Report<'_>, args: &SimulateArgs, page: &mut Page<'_, impl Write>) -> Result<(), CliError> {
    let clock = Clock::local();
    page.head(&format!("{} tried on what was recorded", report.policy.file))?;
    page.entry(2, "policy", &report.policy.to_string())?;
    let in_force = match &report.in_force {
        None => "none: whoever is let in may do all".to_owned(),
        Some(policy) if policy.sha256 == report.policy.sha256 => format!("{policy}, which is the same"),
        Some(policy) => policy.to_string(),
    };
    page.entry(2, "in force", &in_force)?;
    let looked_at = report.looked_at;
    let time = match (looked_at.first_ns, looked_at.last_ns) {
        (Some(first), Some(last)) => {
            format!(", from {} to {} {}", clock.moment(first), clock.moment(last), clock.zone_name())
        }
        _ => format!(" since {} {}", clock.moment(report.since_ns), clock.zone_name()),
    };
    page.entry(2, "looked at", &format!("exchanges: {}, sessions: {}{time}", looked_at.exchanges, looked_at.sessions))?;
    let told = Ways { denied: report.newly_denied, ways: report.ways_denied, rows: &report.denied };
    told.print("NEWLY DENIED", report.ways_omitted, page, &clock)?;
    let told = Ways { denied: report.newly_held, ways: report.ways_held, rows: &report.held };
    told.print("NEWLY HELD", report.ways_omitted, page, &clock)?;
    let allowed = match (report.newly_allowed, report.no_longer_held) {
        (0, 0) => "nothing".to_owned(),
        (count, 0) => format!("exchanges: {count}"),
        (0, count) => format!("nothing; no longer held: {count}"),
        (allowed, released) => format!("exchanges: {allowed}; no longer held: {released}"),
    };
    page.section("NEWLY ALLOWED", &allowed)?;
    not_judged(report.not_judged, looked_at.sessions_omitted, page)?;
    if let Some(worst) = report.denied.first() {
        page.space()?;
        page.text(0, "What would have to change for the first of them:")?;
        // On one line, to be copied.
        page.verbatim(2, &explain(worst, args))?;
    }
    Ok(())
}

/// What is newly against the policy that is tried, in one of two ways.
struct Ways<'a> {
    denied: u64,
    ways: usize,
    rows: &'a [Told<'a>],
}

impl Ways<'_> {
    fn print(
        &self,
        name: &'static str,
        omitted: bool,
        page: &mut Page<'_, impl Write>,
        clock: &Clock,
    ) -> Result<(), CliError> {
        let more = if omitted { ", and some that were not kept apart" } else { "" };
        let shown = match self.rows.len() {
            shown if shown < self.ways => format!("; shown are the {shown} most frequent, --limit shows more"),
            _ => String::new(),
        };
        match self.denied {
            0 => page.section(name, "nothing")?,
            count => page.section(name, &format!("exchanges: {count}, in ways: {}{more}{shown}", self.ways))?,
        }
        if self.rows.is_empty() {
            return Ok(());
        }
        page.space()?;
        table(self.rows, page, clock)
    }
}

fn table(rows: &[Told<'_>], page: &mut Page<'_, impl Write>, clock: &Clock) -> Result<(), CliError> {
    let widths = if terminal::width() < WIDE { &NARROW_COLUMNS } else { &WIDE_COLUMNS };
    let mut columns = Columns::new(widths, "WHY");
    let fit = |text: &str, column: usize| {
        shortened(&harmless(text), widths.get(column).map_or(usize::MAX, |(_, width)| usize::from(*width)))
    };
    for told in rows {
        let row = told.row;
        let client = row.client_id.as_deref().unwrap_or("-");
        let kind = kind_name(row.resource).replace('_', " ");
        let partition = row.partition.map(|partition| format!("[{partition}]")).unwrap_or_default();
        let what = match &row.name {
            Some(name) => format!("{} {kind}\n{}", row.operation, fit(&format!("{name}{partition}"), 1)),
            None => format!("{} {kind}", row.operation),
        };
        let cells = vec![
            format!("{}\n{}", fit(&row.subject, 0), fit(client, 0)),
            what,
            row.exchanges.to_string(),
            clock.moment(row.last_ns).replace(' ', "\n"),
            harmless(&why(told)),
        ];
        for line in columns.row(cells).lines() {
            page.verbatim(0, line)?;
        }
    }
    Ok(())
}

fn why(told: &Told<'_>) -> String {
    match (&told.rule, told.rule_name) {
        (None, _) => "no rule allows it".to_owned(),
        (Some(rule), Some(name)) => format!("{rule} \"{name}\""),
        (Some(rule), None) => rule.clone(),
    }
}

fn not_judged(counts: &NotJudged, sessions_omitted: bool, page: &mut Page<'_, impl Write>) -> Result<(), CliError> {
    if counts.is_nothing() && !sessions_omitted {
        return Ok(());
    }
    page.section("NOT KNOWN", "of the exchanges that were looked at")?;
    for (count, what) in [
        (counts.items_omitted, "name more than is recorded; what is recorded was judged"),
        (counts.unnamed_topics, "name topics by ids whose names were not known"),
        (
            counts.listener_unknown,
            "came through a listener that is not known: their connections are older than --since",
        ),
        (counts.request_unknown, "were asked before --since"),
        (
            counts.maybe_narrowed,
            "are of clients whose tokens may be narrowed, which is not recorded: rules alone count",
        ),
        (counts.maybe_held, "may be held: more than is recorded decides it"),
        (counts.groups_omitted, "are of identities with more groups than are recorded"),
    ] {
        if count > 0 {
            page.item(2, &format!("{count} {what}"))?;
        }
    }
    if sessions_omitted {
        page.item(2, "sessions were left out: more were active at a time than are listed")?;
    }
    Ok(())
}

/// How to ask what would have to change, of the worst row.
fn explain(worst: &Told<'_>, args: &SimulateArgs) -> String {
    let row = worst.row;
    let mut words = vec!["weir".to_owned(), "explain".to_owned()];
    let mut say = |option: &str, value: &str| words.extend([option.to_owned(), quoted(value)]);
    say("--config", &args.config.file.display().to_string());
    say("--policy", &args.policy.display().to_string());
    say("--as", &row.subject);
    say("--groups", &row.groups.join(","));
    say("--issuer", &row.issuer);
    say("--listener", &row.listener);
    row.client_id.iter().for_each(|id| say("--client-id", id));
    say("--address", &row.address.to_string());
    say("--at", &row.last.to_string());
    say("--op", row.operation);
    let option = match row.resource {
        ResourceKind::Topic => "--topic",
        ResourceKind::Group => "--group",
        ResourceKind::TransactionalId => "--transactional-id",
        ResourceKind::Cluster => "",
    };
    row.name.iter().for_each(|name| say(option, name));
    row.partition.iter().for_each(|partition| say("--partition", &partition.to_string()));
    if row.resource == ResourceKind::Cluster {
        words.push("--cluster".to_owned());
    }
    words.join(" ")
}

/// A word as a shell takes it whole.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@%+=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", harmless(word).replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_client_chose_stays_one_word_of_the_command() {
        for (word, shown) in
            [("orders.eu", "orders.eu"), ("", "''"), ("a b", "'a b'"), ("it's;$(x)", r"'it'\''s;$(x)'")]
        {
            assert_eq!(quoted(word), shown);
        }
    }
}
