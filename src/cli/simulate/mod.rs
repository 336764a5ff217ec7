//! `weir simulate`: what another policy would do to what was recorded, told before it holds.
//!
//! Every recorded exchange of a time is judged twice, by the policy that the configuration names and by the one that is tried;
//! what only the second denies is listed by who, what and which rule. `walk` goes over the recording, `judge` decides, `found`
//! counts, `text` tells. Approvals add what is newly held beside what is newly denied.
//!
//! Invariants:
//! - Nothing is decided here: what an exchange asks for is [`recorded::asks`]'s word, whether that is allowed [`Rights`]'.
//! - Memory is bounded however much was recorded: sessions and events come in pages, what is found in at most so many ways.
//! - What could not be judged is counted and said.
//!
//! [`recorded::asks`]: crate::pipeline::access::recorded::asks
//! [`Rights`]: crate::policy::Rights

mod found;
mod judge;
mod text;
mod walk;

use std::collections::BTreeSet;
use std::io::Write;

use serde::Serialize;

use super::args::SimulateArgs;
use super::error::CliError;
use super::page::Page;
use super::policy::{self, PolicyFile};
use super::source::{Recording, Tokens};
use crate::config::Config;
use crate::recorder::Rfc3339;
use found::{LookedAt, NotJudged, Row};
use judge::{Bench, Narrowed};
use walk::{Walk, Window};

/// Something would be newly denied.
const NEWLY_DENIED: u8 = 6;

/// Everything that is told; `docs/json.md` documents its fields.
#[derive(Serialize)]
struct Report<'a> {
    policy: PolicyFile,
    in_force: Option<PolicyFile>,
    since: Rfc3339,
    since_ns: u64,
    until: Rfc3339,
    until_ns: u64,
    looked_at: &'a LookedAt,
    newly_denied: u64,
    newly_allowed: u64,
    /// Ways beyond those that are kept apart.
    ways_omitted: bool,
    ways: usize,
    denied: Vec<Denied<'a>>,
    not_judged: &'a NotJudged,
}

/// One way of being denied.
#[derive(Serialize)]
struct Denied<'a> {
    #[serde(flatten)]
    row: &'a Row,
    /// The rule that denies; none: no rule allows it.
    rule: Option<String>,
    rule_name: Option<&'a str>,
}

/// The exit code.
pub(super) fn run(args: &SimulateArgs, out: &mut impl Write) -> Result<u8, CliError> {
    let config = Config::load(&args.config.file)?;
    let tried = policy::candidate(&config, &args.policy)?;
    for warning in tried.snapshot.warnings() {
        eprintln!("weir: {}: {warning}", args.policy.display());
    }
    if let Some(name) = &args.listener
        && !config.listeners.iter().any(|listener| listener.name == *name)
    {
        let known: Vec<&str> = config.listeners.iter().map(|listener| listener.name.as_str()).collect();
        return Err(CliError::Usage(format!("no listener has that name; there are: {}", known.join(", "))));
    }
    let window = Window::of(args.since, args.until)?;
    let narrowed = narrowed(&config);
    let recording = Recording::find(&config)?;
    let bench = Bench::new(&config, tried.snapshot.access.clone(), narrowed);
    let mut walk = Walk::new(&recording, window, args, bench);
    walk.go()?;
    let bench = walk.done();
    let found = bench.found;
    let rows = found.worst_first();
    let denied = rows.iter().take(args.limit as usize).map(|row| {
        let rule = row.rule_number.and_then(|number| tried.snapshot.access.get(number));
        Denied {
            row,
            rule: row.rule_number.map(|number| format!("access[{number}]")),
            rule_name: rule.and_then(|rule| rule.name.as_deref()),
        }
    });
    let report = Report {
        policy: PolicyFile { file: args.policy.display().to_string(), ..PolicyFile::of(&tried).unwrap_or_default() },
        in_force: PolicyFile::of(&config.policy),
        since: Rfc3339(window.from_ns),
        since_ns: window.from_ns,
        until: Rfc3339(window.to_ns),
        until_ns: window.to_ns,
        looked_at: &found.looked_at,
        newly_denied: found.newly_denied,
        newly_allowed: found.newly_allowed,
        ways_omitted: found.ways_omitted,
        ways: rows.len(),
        denied: denied.collect(),
        not_judged: &found.not_judged,
    };
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        text::print(&report, args, &mut Page::new(out))?;
    }
    Ok(if report.newly_denied > 0 { NEWLY_DENIED } else { 0 })
}

/// Whose tokens may have been narrowed: events do not say.
fn narrowed(config: &Config) -> Narrowed {
    let issuers = config.issuers.iter().filter(|issuer| issuer.rules.scopes.is_some());
    let issuers: BTreeSet<String> = issuers.map(|issuer| issuer.rules.issuer.clone()).collect();
    // Looking must not make a store; where there is none, no token was ever made.
    if !config.store.path.exists() {
        return Narrowed { subjects: BTreeSet::new(), issuers };
    }
    let listed = Tokens::find(config).and_then(|tokens| tokens.list()).unwrap_or_else(|error| {
        eprintln!("weir: which tokens are narrowed is not known, so rules alone are judged by: {error}");
        Vec::new()
    });
    let subjects = listed.into_iter().filter(|token| token.scopes.is_some()).map(|token| token.subject).collect();
    Narrowed { subjects, issuers }
}
