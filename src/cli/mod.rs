//! The `weir` commands. Results go to standard output, all else to standard error; `docs/json.md` tells of `--json`.
//!
//! Commands about recordings and tokens ask the running gateway over its local socket, and open the store themselves
//! when none runs (`source`).

mod approvals;
mod args;
mod doctor;
mod error;
mod exchange;
mod explain;
mod export;
mod follow;
mod logging;
mod looks;
mod page;
mod policy;
mod records;
mod reload;
mod replay;
mod sessions;
mod show;
mod simulate;
mod source;
mod terminal;
mod time;
mod token;
mod view;
mod webhook;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::boot;
use crate::config::Config;
use crate::control::{PolicyQuestion, PolicyTrial, PolicyTrialError, TokenView};
use crate::policy::PolicySnapshot;
use crate::recorder::Queries;

use args::{Cli, Command, ConfigArg};
use error::CliError;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let command = Cli::parse().command;
    match dispatch(command) {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.reader_left() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// The exit code of a command that did what it was asked.
fn dispatch(command: Command) -> Result<u8, CliError> {
    let out = &mut io::BufWriter::new(io::stdout().lock());
    let mut code = 0;
    match command {
        Command::Serve(config) => serve(&config)?,
        Command::Check(config) => check(&config, out)?,
        Command::Explain(args) => explain::run(&args, out)?,
        Command::Simulate(args) => code = simulate::run(&args, out)?,
        Command::Reload(args) => reload::run(&args, out)?,
        Command::Doctor(args) => code = doctor::run(&args, out)?.exit_code(),
        Command::Sessions(args) => sessions::run(&args, out)?,
        Command::Show(args) => show::run(&args, out)?,
        Command::Follow(args) => follow::run(&args, out)?,
        Command::Replay(args) => replay::run(&args, out)?,
        Command::Export(args) => export::run(&args, out)?,
        Command::Requests(args) => approvals::list(&args, out)?,
        Command::Request(args) => approvals::request(args, out)?,
        Command::Approve(args) => approvals::approve(args, out)?,
        Command::Deny(args) => approvals::deny(args, out)?,
        Command::BreakGlass(args) => approvals::break_glass(args, out)?,
        Command::Review(args) => approvals::review(args, out)?,
        Command::Revoke(args) => approvals::revoke(args, out)?,
        Command::Looks(args) => looks::run(&args, out)?,
        Command::Openapi => write!(out, "{}", crate::control::openapi()?)?,
        Command::Token(command) => token::run(command, out)?,
        Command::Webhook(command) => webhook::run(command, out)?,
    }
    out.flush()?;
    Ok(code)
}

/// What `weir explain --json` would say under the configuration's policy, for the API of the running gateway.
pub(crate) fn explain(
    config: &Config,
    question: PolicyQuestion,
    tokens: Vec<TokenView>,
) -> Result<serde_json::Value, String> {
    explain::answer(config, question, &tokens).map_err(|error| error.to_string())
}

/// What `weir simulate --json` would say, for the same.
pub(crate) fn simulate(
    config: &Config,
    tried: PolicySnapshot,
    trial: &PolicyTrial,
    tokens: Vec<TokenView>,
    recording: Queries,
) -> Result<serde_json::Value, PolicyTrialError> {
    simulate::answer(config, tried, trial, tokens, recording).map_err(|error| match error {
        CliError::Usage(what) => PolicyTrialError::Asked(what),
        other => PolicyTrialError::Failed(other.to_string()),
    })
}

fn serve(config: &ConfigArg) -> Result<(), CliError> {
    let config = Config::load(&config.file)?;
    let _log = logging::start(config.log);
    if let Some(path) = config.policy.path.as_ref().filter(|_| config.policy.missing) {
        tracing::warn!(
            policy = %path.display(),
            "THE POLICY FILE DOES NOT EXIST: no rules apply, whoever is let in may do all; create it or unset `policy`"
        );
    }
    Ok(boot::serve(config)?)
}

fn check(config: &ConfigArg, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(&config.file)?;
    let (listeners, clusters) = (config.listeners.len(), config.clusters.len());
    writeln!(out, "{}: good; listeners: {listeners}, clusters: {clusters}", config.file.display())?;
    for listener in &config.listeners {
        for host in listener.hosts_without_certificate().unwrap_or_default() {
            let name = &listener.name;
            writeln!(
                out,
                "listener {name}: the certificate is not for {host}; clients that verify host names will refuse it"
            )?;
        }
    }
    match &config.policy.path {
        Some(path) if config.policy.missing => {
            writeln!(out, "{}: does not exist; whoever is let in may do all", path.display())?;
        }
        Some(path) => writeln!(out, "{}: good", path.display())?,
        None => {}
    }
    for warning in config.policy.snapshot.warnings() {
        writeln!(out, "{warning}")?;
    }
    Ok(())
}
