//! Requests as people read them: a table of many, a page of one.

use std::io::{self, Write};

use crate::cli::terminal::{self, escaped};
use crate::cli::time::Clock;
use crate::control::approvals::{CaseView, GrantView};
use crate::policy::Said;

pub(super) fn table(cases: &[&CaseView], out: &mut impl Write) -> io::Result<()> {
    if cases.is_empty() {
        return writeln!(out, "no requests");
    }
    let clock = Clock::local();
    let created = format!("ASKED ({})", clock.zone_name());
    let mut table = terminal::table(&["ID", "STATE", "WHO", "WHAT", "REASON", &created], &[0, 1]);
    for case in cases {
        let state = if case.to_be_reviewed { "to be reviewed".to_owned() } else { case.state.to_string() };
        table.add_row([
            case.id.clone(),
            state,
            escaped(&case.requester.person.to_string()),
            escaped(&what(case, "on")),
            case.reason.as_deref().map_or_else(|| "-".to_owned(), escaped),
            clock.moment(case.created_ns),
        ]);
    }
    terminal::print_table(out, &table)
}

pub(super) fn one(case: &CaseView, out: &mut impl Write) -> io::Result<()> {
    let clock = Clock::local();
    let mut line = |name: &str, text: &str| {
        let label = if name.is_empty() { String::new() } else { format!("{name}:") };
        writeln!(out, "{label:<11}{}", escaped(text))
    };
    line("request", &case.id)?;
    line("state", &case.state.to_string())?;
    line("what", &what(case, "on cluster"))?;
    line("who", &format!("{} of {}", case.requester.person, case.requester.person.issuer))?;
    let client = case.client_id.as_deref().unwrap_or("-");
    match (&case.address, &case.listener) {
        (Some(address), Some(listener)) => line("from", &format!("{client} at {address}, listener {listener}"))?,
        (Some(address), None) => line("from", &format!("{address}, through the API"))?,
        (None, _) => {}
    }
    line(
        "asked",
        &format!(
            "{} {}, open until {}",
            clock.moment(case.created_ns),
            clock.zone_name(),
            clock.moment(case.expires_ns)
        ),
    )?;
    line("reason", case.reason.as_deref().unwrap_or("none given"))?;
    for rule in &case.rules {
        let reason = if rule.reason_required { ", with a reason" } else { "" };
        line("rule", &format!("{}: {}{reason}", rule.name, rule.approvers))?;
    }
    for resource in &case.resources {
        line(&resource.kind.to_string(), if resource.name.is_empty() { "all" } else { &resource.name })?;
        // A line each, so that no value can look like another parameter.
        for (name, value) in &resource.parameters {
            match value.contains('\n') {
                true => value.lines().try_for_each(|text| line("", text))?,
                false => line("", &format!("{name}: {value}"))?,
            }
        }
    }
    for (name, value) in &case.parameters {
        line("with", &format!("{name}: {}", value))?;
    }
    if let Some(effect) = &case.effect {
        for fact in &effect.facts {
            line("effect", &format!("{}: {} {}", fact.about, fact.what.replace('_', " "), fact.value))?;
        }
        effect.trouble.iter().try_for_each(|trouble| line("effect", &format!("not all is known: {trouble}")))?;
    }
    outcome(case, &mut line)?;
    if let Some(url) = &case.url {
        line("see", url)?;
    }
    next(case, out)
}

/// What is to be done, and on which cluster where it is on one.
fn what(case: &CaseView, on: &str) -> String {
    if case.cluster.is_empty() { case.summary.clone() } else { format!("{} {on} {}", case.summary, case.cluster) }
}

/// What was said of it, what followed, and what was said of the like.
fn outcome(case: &CaseView, line: &mut impl FnMut(&str, &str) -> io::Result<()>) -> io::Result<()> {
    for decision in &case.decisions {
        let said = match decision.said {
            Said::Approve => "approved",
            Said::Deny => "denied",
            Said::BreakGlass => "broke the glass",
            Said::Review => "reviewed",
        };
        let words = decision.comment.as_deref().map(|comment| format!(": {comment}")).unwrap_or_default();
        line("decision", &format!("{} {said} at {}{words}", decision.by.person, decision.at))?;
    }
    if let Some(grant) = &case.grant {
        line("grant", &granted(grant))?;
    }
    for past in &case.similar {
        let by = past.decided_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        line("before", &format!("{} {}{by}: {} for {}", past.id, past.state, past.summary, past.requester))?;
    }
    Ok(())
}

fn granted(grant: &GrantView) -> String {
    let state = match (&grant.revoked_by, grant.in_force) {
        (Some(by), _) => format!("revoked by {by}"),
        (None, true) => "in force".to_owned(),
        (None, false) => "not in force any more".to_owned(),
    };
    format!("{} until {}, used {} of {} times, {state}", grant.id, grant.until, grant.used.len(), grant.uses)
}

/// What is to be done next.
fn next(case: &CaseView, out: &mut impl Write) -> io::Result<()> {
    let id = &case.id;
    let missing = case.reason.is_none() && case.rules.iter().any(|rule| rule.reason_required);
    match case.state {
        crate::policy::RequestState::Pending if missing => {
            writeln!(out, "\nNobody can approve it before its requester says why: weir request {id} --reason \"…\"")
        }
        crate::policy::RequestState::Pending => {
            writeln!(out, "\nTo decide: weir approve {id}, or weir deny {id} --reason \"…\"")
        }
        _ if case.to_be_reviewed => {
            writeln!(out, "\nSomebody went ahead without approval; look at it, then: weir review {id}")
        }
        _ => Ok(()),
    }
}
