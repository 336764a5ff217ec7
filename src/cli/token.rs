//! `weir token create | list | revoke`.

use std::io::{self, Write};

use super::args::{TokenCommand, TokenCreateArgs, TokenListArgs, TokenRevokeArgs};
use super::error::CliError;
use super::source::Tokens;
use super::terminal::{self, harmless};
use super::time::Clock;
use crate::config::Config;
use crate::control::{NewToken, TokenState, TokenView};
use crate::policy::ScopeText;

pub(super) fn run(command: TokenCommand, out: &mut impl Write) -> Result<(), CliError> {
    match command {
        TokenCommand::Create(args) => create(args, out),
        TokenCommand::List(args) => list(&args, out),
        TokenCommand::Revoke(args) => revoke(&args, out),
    }
}

fn create(args: TokenCreateArgs, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(&args.config.file)?;
    let scope = ScopeText {
        topics: args.topics,
        consumer_groups: args.consumer_groups,
        transactional_ids: args.transactional_ids,
        operations: args.operations,
    };
    let new = NewToken { subject: args.subject, groups: args.groups, ttl_seconds: args.ttl, scope };
    let created = Tokens::find(&config)?.create(new)?;
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&created)?)?);
    }
    let clock = Clock::local();
    let expires = clock.moment(created.view.expires_ns);
    writeln!(out, "id:       {}", created.view.id)?;
    writeln!(out, "subject:  {}", harmless(&created.view.subject))?;
    writeln!(out, "groups:   {}", groups(&created.view))?;
    if let Some(scopes) = &created.view.scopes {
        writeln!(out, "only:     {}", harmless(&scopes.to_string()))?;
    }
    writeln!(out, "expires:  {expires} {}", clock.zone_name())?;
    writeln!(out, "token:    {}", *created.token)?;
    writeln!(
        out,
        "\nThe token is shown this once. It is the password of SASL/PLAIN and SCRAM, the subject is the user name."
    )?;
    Ok(())
}

fn list(args: &TokenListArgs, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(&args.config.file)?;
    let tokens = Tokens::find(&config)?.list()?;
    if args.json {
        for token in &tokens {
            writeln!(out, "{}", serde_json::to_string(token)?)?;
        }
        return Ok(());
    }
    if tokens.is_empty() {
        return Ok(writeln!(out, "no tokens yet; `weir token create` makes one")?);
    }
    Ok(print(&tokens, out)?)
}

fn print(tokens: &[TokenView], out: &mut impl Write) -> io::Result<()> {
    let clock = Clock::local();
    let expires = format!("EXPIRES ({})", clock.zone_name());
    let mut table = terminal::table(&["ID", "SUBJECT", "GROUPS", "ONLY", "STATE", &expires, "MINTED BY"], &[0, 4]);
    terminal::at_least(&mut table, 5, "2026-11-22".len());
    for token in tokens {
        let state = match token.state {
            TokenState::Active => "active",
            TokenState::Expired => "expired",
            TokenState::Revoked => "revoked",
        };
        table.add_row([
            token.id.clone(),
            harmless(&token.subject),
            groups(token),
            token.scopes.as_ref().map_or_else(|| "-".to_owned(), |scopes| harmless(&scopes.to_string())),
            state.to_owned(),
            clock.moment(token.expires_ns),
            harmless(&token.minted_by),
        ]);
    }
    terminal::print_table(out, &table)
}

fn groups(token: &TokenView) -> String {
    if token.groups.is_empty() { "-".to_owned() } else { harmless(&token.groups.join(", ")) }
}

fn revoke(args: &TokenRevokeArgs, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(&args.config.file)?;
    let token = Tokens::find(&config)?.revoke(&args.id)?;
    Ok(writeln!(out, "token {} of {} is revoked", token.id, harmless(&token.subject))?)
}
