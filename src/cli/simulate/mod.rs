//! `weir simulate`: what another policy would do to what was recorded, told before it holds.
//!
//! Every recorded exchange of a time is judged twice, by the policy that the configuration names and by the one that is tried;
//! what only the second denies or holds is listed by who, what and which rule. `walk` goes over the recording, `judge` decides, `found`
//! counts, `text` tells.
//!
//! Invariants:
//! - Nothing is decided here: what an exchange asks for and can be held as is told beside the data path's own judges
//!   ([`access::recorded`], [`hold::recorded`]), whether that is allowed or held by the policy's rules.
//! - Memory is bounded however much was recorded: sessions and events come in pages, what is found in at most so many ways.
//! - What could not be judged is counted and said.
//!
//! [`access::recorded`]: crate::pipeline::access::recorded
//! [`hold::recorded`]: crate::pipeline::hold::recorded

mod found;
mod judge;
mod text;
mod walk;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::args::SimulateArgs;
use super::error::CliError;
use super::page::Page;
use super::policy::{self, PolicyFile};
use super::source::{Recording, Tokens};
use crate::config::{Config, Policy};
use crate::control::{PolicyTrial, TokenView};
use crate::policy::PolicySnapshot;
use crate::recorder::{Queries, Rfc3339};
use found::{Change, Found, LookedAt, NotJudged, Row};
use judge::{Bench, Narrowed};
use walk::{Asked, Walk, Window};

/// How long the API looks before it answers with what was found by then: others wait for their answers, too.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
/// How far it looks back where it is not said, as the command does: a week.
const LOOKED_BACK_NS: u64 = 7 * 24 * 3600 * 1_000_000_000;
/// Ways that it shows where it is not said, as the command does.
const WAYS_SHOWN: u32 = 50;
/// In the place of a file's name.
const AS_SENT: &str = "(as sent)";

/// Something would be newly denied or held.
const NEWLY_AGAINST: u8 = 6;

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
    newly_held: u64,
    newly_allowed: u64,
    no_longer_held: u64,
    /// There are ways beyond those that are kept apart.
    ways_omitted: bool,
    ways_denied: usize,
    denied: Vec<Told<'a>>,
    ways_held: usize,
    held: Vec<Told<'a>>,
    not_judged: &'a NotJudged,
}

/// One way of being denied or held.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    row: &'a Row,
    /// The rule that denies or holds; none: no rule allows it.
    rule: Option<String>,
    rule_name: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(row: &'a Row, tried: &'a PolicySnapshot) -> Told<'a> {
        let (section, name) = match (row.change, row.rule_number) {
            (Change::Denied, Some(number)) => {
                ("access", tried.access.get(number).and_then(|rule| rule.name.as_deref()))
            }
            (Change::Held, Some(number)) => {
                ("approvals", tried.approvals.iter().nth(number).map(|rule| rule.terms.rule.as_str()))
            }
            (_, None) => ("", None),
        };
        Told { row, rule: row.rule_number.map(|number| format!("{section}[{number}]")), rule_name: name }
    }
}

/// The exit code.
pub(super) fn run(args: &SimulateArgs, out: &mut impl Write) -> Result<u8, CliError> {
    let config = Config::load(&args.config.file)?;
    let tried = policy::candidate(&config, &args.policy)?;
    for warning in tried.snapshot.warnings() {
        eprintln!("weir: {}: {warning}", args.policy.display());
    }
    is_a_listener(&config, args.listener.as_deref())?;
    let window = Window::of(args.since, args.until)?;
    let (subject, listener) = (args.subject.as_deref(), args.listener.as_deref());
    let asked = Asked { subject, listener, ends: None };
    let found = found(&config, &tried, tokens(&config), &Recording::find(&config)?, window, asked)?;
    let report = report(args.limit, &config, &tried, window, &found);
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        text::print(&report, args, &mut Page::new(out))?;
    }
    Ok(if report.newly_denied + report.newly_held > 0 { NEWLY_AGAINST } else { 0 })
}

/// The same for the API of the running gateway, from its own store: as `--json` says it.
pub(super) fn answer(
    config: &Config,
    tried: PolicySnapshot,
    trial: &PolicyTrial,
    tokens: Vec<TokenView>,
    recording: Queries,
) -> Result<serde_json::Value, CliError> {
    is_a_listener(config, trial.listener.as_deref())?;
    let now_ns = u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(u64::MAX);
    let window = Window::of(trial.since_ns.unwrap_or(now_ns.saturating_sub(LOOKED_BACK_NS)), trial.until_ns)?;
    let tried = Policy { path: Some(AS_SENT.into()), missing: false, snapshot: Arc::new(tried) };
    let (subject, listener) = (trial.subject.as_deref(), trial.listener.as_deref());
    let asked = Asked { subject, listener, ends: Some(Instant::now() + ANSWERED_WITHIN) };
    let found = found(config, &tried, tokens, &Recording::Store(recording), window, asked)?;
    let limit = trial.limit.unwrap_or(WAYS_SHOWN);
    Ok(serde_json::to_value(report(limit, config, &tried, window, &found))?)
}

fn is_a_listener(config: &Config, name: Option<&str>) -> Result<(), CliError> {
    match name {
        Some(name) if config.listeners.iter().all(|listener| listener.name != name) => {
            let known: Vec<&str> = config.listeners.iter().map(|listener| listener.name.as_str()).collect();
            Err(CliError::Usage(format!("no listener has that name; there are: {}", known.join(", "))))
        }
        _ => Ok(()),
    }
}

fn found(
    config: &Config,
    tried: &Policy,
    tokens: Vec<TokenView>,
    recording: &Recording,
    window: Window,
    asked: Asked<'_>,
) -> Result<Found, CliError> {
    let bench = Bench::new(config, &tried.snapshot, narrowed(config, tokens));
    let mut walk = Walk::new(recording, window, asked, bench);
    walk.go()?;
    Ok(walk.done().found)
}

fn report<'a>(limit: u32, config: &Config, tried: &'a Policy, window: Window, found: &'a Found) -> Report<'a> {
    let (denied, held) = (found.worst_first(Change::Denied), found.worst_first(Change::Held));
    let told = |rows: &[&'a Row]| rows.iter().take(limit as usize).map(|row| Told::of(row, &tried.snapshot)).collect();
    Report {
        policy: PolicyFile::of(tried).unwrap_or_default(),
        in_force: PolicyFile::of(&config.policy),
        since: Rfc3339(window.from_ns),
        since_ns: window.from_ns,
        until: Rfc3339(window.to_ns),
        until_ns: window.to_ns,
        looked_at: &found.looked_at,
        newly_denied: found.newly_denied,
        newly_held: found.newly_held,
        newly_allowed: found.newly_allowed,
        no_longer_held: found.no_longer_held,
        ways_omitted: found.ways_omitted,
        ways_denied: denied.len(),
        denied: told(&denied),
        ways_held: held.len(),
        held: told(&held),
        not_judged: &found.not_judged,
    }
}

/// Whose tokens may have been narrowed: events do not say.
fn narrowed(config: &Config, tokens: Vec<TokenView>) -> Narrowed {
    let issuers = config.issuers.iter().filter(|issuer| issuer.rules.scopes.is_some());
    let issuers: BTreeSet<String> = issuers.map(|issuer| issuer.rules.issuer.clone()).collect();
    let subjects = tokens.into_iter().filter(|token| token.scopes.is_some()).map(|token| token.subject).collect();
    Narrowed { subjects, issuers }
}

fn tokens(config: &Config) -> Vec<TokenView> {
    // Looking must not make a store; where there is none, no token was ever made.
    if !config.store.path.exists() {
        return Vec::new();
    }
    Tokens::find(config).and_then(|tokens| tokens.list()).unwrap_or_else(|error| {
        eprintln!("weir: which tokens are narrowed is not known, so rules alone are judged by: {error}");
        Vec::new()
    })
}
