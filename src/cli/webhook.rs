//! `weir webhook list | test | dead | redeliver`: all ask the running gateway, which is the one that delivers.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::args::ConfigArg;
use super::error::CliError;
use super::source::encoded;
use super::terminal::{self, harmless};
use super::time::Clock;
use crate::config::Config;
use crate::control::client::Client;
use crate::control::{DeadLetterView, Tried, WebhookView};

#[derive(Debug, Subcommand)]
pub(super) enum WebhookCommand {
    /// List webhooks and how they are doing
    List(WebhookListArgs),
    /// Send a signed test event, and tell what came back
    Test(WebhookTestArgs),
    /// List the notices that webhooks gave up
    Dead(WebhookListArgs),
    /// Send notices that were given up once more
    Redeliver(WebhookRedeliverArgs),
}

#[derive(Debug, Args)]
pub(super) struct WebhookListArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct WebhookTestArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The webhook, as `weir webhook list` shows it
    name: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct WebhookRedeliverArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The notices' ids, as `weir webhook dead` shows them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: WebhookCommand, out: &mut impl Write) -> Result<(), CliError> {
    match command {
        WebhookCommand::List(args) => list(&args, out),
        WebhookCommand::Test(args) => test(&args, out),
        WebhookCommand::Dead(args) => dead(&args, out),
        WebhookCommand::Redeliver(args) => redeliver(&args, out),
    }
}

fn gateway(config: &ConfigArg) -> Result<Client, CliError> {
    let config = Config::load(&config.file)?;
    Client::find(&config.control.socket)?.ok_or_else(|| {
        let socket = config.control.socket.display();
        CliError::Unsuitable(format!("no gateway runs that listens on {socket}; webhooks are its work: start it first"))
    })
}

fn list(args: &WebhookListArgs, out: &mut impl Write) -> Result<(), CliError> {
    #[derive(Deserialize)]
    struct Listed {
        webhooks: Vec<WebhookView>,
    }
    let webhooks = gateway(&args.config)?.get::<Listed>("/api/v1/webhooks")?.webhooks;
    if args.json {
        for webhook in &webhooks {
            writeln!(out, "{}", serde_json::to_string(webhook)?)?;
        }
        return Ok(());
    }
    if webhooks.is_empty() {
        return Ok(writeln!(out, "no webhooks; `webhooks` in the configuration names some")?);
    }
    let mut table =
        terminal::table(&["NAME", "FORMAT", "HOST", "STATE", "BEHIND", "LAG", "DEAD", "TROUBLE"], &[0, 1, 3, 4, 5, 6]);
    for webhook in &webhooks {
        let state = match webhook.state.as_str() {
            "retrying" => format!("retrying ({})", webhook.attempts),
            state => state.replace('_', " "),
        };
        table.add_row([
            webhook.name.clone(),
            webhook.format.clone(),
            harmless(&webhook.host),
            state,
            webhook.behind.to_string(),
            format!("{} s", webhook.lag_seconds),
            webhook.dead_letters.to_string(),
            webhook.trouble.as_deref().map_or_else(|| "-".to_owned(), harmless),
        ]);
    }
    Ok(terminal::print_table(out, &table)?)
}

fn test(args: &WebhookTestArgs, out: &mut impl Write) -> Result<(), CliError> {
    let path = format!("/api/v1/webhooks/{}/test", encoded(&args.name));
    let tried: Tried = gateway(&args.config)?.post(&path, &())?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&tried)?)?;
    } else {
        print_tried(&tried, out)?;
        writeln!(out, "\n{}", what_to_check(&tried.format))?;
    }
    outcome(&[tried])
}

fn what_to_check(format: &str) -> &'static str {
    match format {
        "slack" => "The channel should show: Weir: a test; nothing has happened.",
        "pagerduty" => "The service should show an alert of severity info that was opened and closed at once.",
        _ => {
            "What the receiver should check, in this order:\n  \
             webhook-timestamp   is within 5 minutes of its own clock\n  \
             webhook-signature   holds v1,BASE64 of HMAC-SHA256 over webhook-id.webhook-timestamp.body, under the secret's bytes\n  \
             webhook-id          was not seen before: notices come at least once\n\
             docs/webhooks.md shows how."
        }
    }
}

fn dead(args: &WebhookListArgs, out: &mut impl Write) -> Result<(), CliError> {
    #[derive(Deserialize)]
    struct Listed {
        dead_letters: Vec<DeadLetterView>,
    }
    let letters = gateway(&args.config)?.get::<Listed>("/api/v1/dead-letters")?.dead_letters;
    if args.json {
        for letter in &letters {
            writeln!(out, "{}", serde_json::to_string(letter)?)?;
        }
        return Ok(());
    }
    if letters.is_empty() {
        return Ok(writeln!(out, "no dead letters")?);
    }
    let clock = Clock::local();
    let (at, given_up) = (format!("AT ({})", clock.zone_name()), "GIVEN UP");
    let mut table =
        terminal::table(&["ID", "WEBHOOK", "EVENT", "REQUEST", &at, given_up, "TRIES", "REASON"], &[0, 1, 2]);
    for letter in &letters {
        table.add_row([
            harmless(&letter.id),
            letter.webhook.clone(),
            letter.kind.clone(),
            letter.request.as_deref().map_or_else(|| "-".to_owned(), harmless),
            clock.moment(letter.at_ns),
            clock.moment(letter.given_up_ns),
            letter.attempts.to_string(),
            harmless(&letter.reason),
        ]);
    }
    Ok(terminal::print_table(out, &table)?)
}

fn redeliver(args: &WebhookRedeliverArgs, out: &mut impl Write) -> Result<(), CliError> {
    #[derive(Deserialize)]
    struct Answered {
        tried: Vec<Tried>,
    }
    let gateway = gateway(&args.config)?;
    let mut all = Vec::new();
    for id in &args.ids {
        let path = format!("/api/v1/dead-letters/{}/redeliver", encoded(id));
        for tried in gateway.post::<Answered>(&path, &())?.tried {
            if args.json {
                writeln!(out, "{}", serde_json::to_string(&tried)?)?;
            } else {
                print_tried(&tried, out)?;
            }
            all.push(tried);
        }
    }
    outcome(&all)
}

fn print_tried(tried: &Tried, out: &mut impl Write) -> io::Result<()> {
    let arrived = if tried.outcome == "delivered" { "delivered" } else { "not delivered" };
    writeln!(out, "{arrived} to {} ({}) in {} ms", tried.webhook, harmless(&tried.host), tried.took_ms)?;
    writeln!(out, "id:      {}", harmless(&tried.id))?;
    if let Some(status) = tried.status {
        writeln!(out, "status:  {status}")?;
    }
    if let Some(detail) = &tried.detail {
        writeln!(out, "why:     its receiver {}", harmless(detail))?;
    }
    if let Some(answer) = &tried.answer {
        writeln!(out, "answer:  {}", harmless(answer))?;
    }
    Ok(())
}

/// What did not arrive is a failure for scripts.
fn outcome(all: &[Tried]) -> Result<(), CliError> {
    let failed = all.iter().filter(|tried| tried.outcome != "delivered").count();
    if failed == 0 {
        return Ok(());
    }
    Err(CliError::Unsuitable(format!("{failed} of {} did not arrive", all.len())))
}
