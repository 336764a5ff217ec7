//! `weir requests | request | approve | deny | break-glass | review | revoke`: what is held for approval, for the people who ask
//! and those who decide. All of it is the running gateway's; who somebody is says the token in `WEIR_TOKEN`.

mod args;
mod show;

use std::io::Write;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::error::CliError;
use crate::config::Config;
use crate::control::approvals::{CaseView, NewDecision};
use crate::control::client::Client;
use crate::control::{Filed, Reason};
use crate::policy::{RequestState, Said};

pub(super) use args::{ApproveArgs, MaybeWhyArgs, RequestArgs, RequestsArgs, WhyArgs};

/// The environment variable with the token of whoever asks or decides.
const TOKEN: &str = "WEIR_TOKEN";

#[derive(Deserialize)]
struct Page {
    requests: Vec<CaseView>,
    next_cursor: Option<String>,
}

/// All requests, page by page, the newest first.
fn all(gateway: &Client, mine: bool) -> Result<Vec<CaseView>, CliError> {
    let (mut requests, mut from) = (Vec::new(), String::new());
    loop {
        let page: Page = gateway.get(&format!("/api/v1/requests?limit=1000&mine={mine}{from}"))?;
        requests.extend(page.requests);
        match page.next_cursor {
            // It is made of digits, letters and dashes.
            Some(cursor) => from = format!("&cursor={cursor}"),
            None => return Ok(requests),
        }
    }
}

/// `weir requests`.
pub(super) fn list(args: &RequestsArgs, out: &mut impl Write) -> Result<(), CliError> {
    let gateway = gateway(&args.config.file, args.mine)?;
    if let Some(id) = &args.id {
        let case: CaseView = gateway.get(&format!("/api/v1/requests/{}", path(id)?))?;
        return print(&case, args.json, out);
    }
    let requests = all(&gateway, args.mine)?;
    let asked_for = |case: &&CaseView| match args.state {
        None => true,
        Some(args::State::Pending) => case.state == RequestState::Pending,
        Some(args::State::Approved) => case.state == RequestState::Approved,
        Some(args::State::Denied) => case.state == RequestState::Denied,
        Some(args::State::Expired) => case.state == RequestState::Expired,
        Some(args::State::ToBeReviewed) => case.to_be_reviewed,
    };
    let cases: Vec<&CaseView> = requests.iter().filter(asked_for).collect();
    if args.json {
        for case in cases {
            writeln!(out, "{}", serde_json::to_string(case)?)?;
        }
        return Ok(());
    }
    Ok(show::table(&cases, out)?)
}

/// `weir request`.
pub(super) fn request(args: RequestArgs, out: &mut impl Write) -> Result<(), CliError> {
    let gateway = gateway(&args.config.file, true)?;
    let Some(id) = &args.id else {
        let Some(operation) = args.op else { return Err(CliError::Usage("say what: --op delete_topics".to_owned())) };
        let RequestArgs { topics, groups, parameters, cluster, reason, .. } = args;
        let new = Filed { operation, topics, groups, parameters, cluster, reason };
        let case: CaseView = gateway.post("/api/v1/requests", &new)?;
        return print(&case, args.json, out);
    };
    let Some(reason) = args.reason else {
        return Err(CliError::Usage(format!(
            "say why for request {id}: --reason \"…\"; `weir requests {id}` shows it"
        )));
    };
    let path = format!("/api/v1/requests/{}/reason", path(id)?);
    let case: CaseView = gateway.post(&path, &Reason { reason: Some(reason) })?;
    print(&case, args.json, out)
}

/// `weir approve`.
pub(super) fn approve(args: ApproveArgs, out: &mut impl Write) -> Result<(), CliError> {
    let ApproveArgs { config, id, valid_s, uses, comment, json } = args;
    decide(&config.file, &id, NewDecision { said: Said::Approve, comment, valid_s, uses }, json, out)
}

/// `weir deny`.
pub(super) fn deny(args: WhyArgs, out: &mut impl Write) -> Result<(), CliError> {
    say(args, Said::Deny, out)
}

/// `weir break-glass`.
pub(super) fn break_glass(args: WhyArgs, out: &mut impl Write) -> Result<(), CliError> {
    say(args, Said::BreakGlass, out)
}

/// `weir review`.
pub(super) fn review(args: MaybeWhyArgs, out: &mut impl Write) -> Result<(), CliError> {
    let decision = NewDecision { said: Said::Review, comment: args.reason, valid_s: None, uses: None };
    decide(&args.config.file, &args.id, decision, args.json, out)
}

/// `weir revoke`.
pub(super) fn revoke(args: MaybeWhyArgs, out: &mut impl Write) -> Result<(), CliError> {
    let gateway = gateway(&args.config.file, true)?;
    let path = format!("/api/v1/grants/{}/revocation", path(&args.id)?);
    let case: CaseView = gateway.post(&path, &Reason { reason: args.reason })?;
    print(&case, args.json, out)
}

fn say(args: WhyArgs, said: Said, out: &mut impl Write) -> Result<(), CliError> {
    let decision = NewDecision { said, comment: Some(args.reason), valid_s: None, uses: None };
    decide(&args.config.file, &args.id, decision, args.json, out)
}

fn decide(
    config: &std::path::Path,
    id: &str,
    decision: NewDecision,
    json: bool,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let path = format!("/api/v1/requests/{}/decisions", path(id)?);
    let case: CaseView = gateway(config, true)?.post(&path, &decision)?;
    print(&case, json, out)
}

/// The running gateway; `as_somebody`: the token in the environment is needed.
fn gateway(config: &std::path::Path, as_somebody: bool) -> Result<Client, CliError> {
    let config = Config::load(config)?;
    let socket = &config.control.socket;
    let gateway = Client::find(socket)?.ok_or_else(|| {
        CliError::Unsuitable(format!("no gateway runs that listens on {}; it keeps the requests", socket.display()))
    })?;
    match std::env::var(TOKEN).map(Zeroizing::new) {
        Ok(token) if !token.is_empty() => Ok(gateway.with_token(token)),
        _ if as_somebody => Err(CliError::Usage(format!(
            "set {TOKEN} to your token: it says who you are (`weir token create` makes one, or take a JWT of your identity \
             provider)"
        ))),
        _ => Ok(gateway),
    }
}

/// An id as a part of a path; nothing else is one.
fn path(id: &str) -> Result<&str, CliError> {
    let lawful = !id.is_empty() && id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    lawful.then_some(id).ok_or_else(|| CliError::NotFound(format!("no request has the id {id:?}")))
}

fn print(case: &CaseView, json: bool, out: &mut impl Write) -> Result<(), CliError> {
    if json {
        return Ok(writeln!(out, "{}", serde_json::to_string(case)?)?);
    }
    Ok(show::one(case, out)?)
}
