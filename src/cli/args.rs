//! The command line, as clap understands it. Doc comments here are the help that users read.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::approvals::{ApproveArgs, MaybeWhyArgs, RequestArgs, RequestsArgs, WhyArgs};
use super::replay::Speed;
use super::time::parse_moment;
use super::webhook::WebhookCommand;
use crate::event::SessionId;
use crate::policy::{HeldOperation, Operation};
use crate::recorder::AddressRange;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  it failed: the gateway, the store or the network
  2  the command line or the configuration is wrong
  3  nothing has that id or name
  4  `weir doctor` warns
  5  `weir doctor` found a problem
  6  `weir simulate`: something would be newly denied or held";

/// A gateway on the wire between Kafka clients and Kafka clusters: identity, policy, evidence.
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the gateway
    Serve(ConfigArg),
    /// Check a configuration and its policy file, and start nothing
    Check(ConfigArg),
    /// Tell why somebody sees what they see: which rules of the policy file apply, which do not, and why
    Explain(ExplainArgs),
    /// Try a policy on what was recorded: what would be newly denied or held, before it holds
    Simulate(SimulateArgs),
    /// Have the running gateway read its policy file again; returns when it is in force
    Reload(ReloadArgs),
    /// Tell what would hurt in production, each with its remedy
    Doctor(DoctorArgs),
    /// Create, list and revoke the tokens that clients log in with
    #[command(subcommand)]
    Token(TokenCommand),
    /// List what is held for approval, or show one request
    Requests(RequestsArgs),
    /// Ask for approval beforehand, or say why for a request that is open
    Request(RequestArgs),
    /// Say yes to a request
    Approve(ApproveArgs),
    /// Say no to a request
    Deny(WhyArgs),
    /// Go ahead with a request of one's own without approval, in an emergency: it is told at once and reviewed afterwards
    BreakGlass(WhyArgs),
    /// Say that an emergency was looked at
    Review(MaybeWhyArgs),
    /// Take a grant back
    Revoke(MaybeWhyArgs),
    /// Try webhooks, see how they are doing, and send again what they gave up
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// List recorded sessions
    Sessions(SessionsArgs),
    /// Show what was done in a session
    Show(ShowArgs),
    /// Show what is being done through the running gateway, as it happens
    Follow(FollowArgs),
    /// Play a session once more in the terminal
    Replay(ReplayArgs),
    /// Write a session out for other programs
    Export(ExportArgs),
    /// List who looked at recordings
    Looks(LooksArgs),
    /// Print the API's OpenAPI document
    Openapi,
}

#[derive(Debug, Args)]
pub(super) struct ConfigArg {
    /// The gateway's configuration
    #[arg(long = "config", value_name = "FILE", env = "WEIR_CONFIG")]
    pub(super) file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Another policy, a file or a folder, in the place of the one that the configuration names
    #[arg(long, value_name = "PATH")]
    pub(super) policy: Option<PathBuf>,
    /// Who: the subject that logs in. Its groups are those of its active tokens
    #[arg(long = "as", value_name = "SUBJECT")]
    pub(super) subject: Option<String>,
    /// The groups of whoever it is, instead of those of tokens; '' for none
    #[arg(long, value_delimiter = ',', value_name = "GROUP,…")]
    pub(super) groups: Option<Vec<String>>,
    /// The listener they come through; may be left out where there is one
    #[arg(long, value_name = "NAME")]
    pub(super) listener: Option<String>,
    /// What their client calls itself
    #[arg(long, value_name = "ID")]
    pub(super) client_id: Option<String>,
    /// Who vouches for them: weir, certificate, anonymous or an issuer's URL
    #[arg(long, value_name = "ISSUER")]
    pub(super) issuer: Option<String>,
    /// Where they connect from
    #[arg(long, value_name = "IP")]
    pub(super) address: Option<IpAddr>,
    /// When: how long ago (2h, 7d) or a time (2026-11-22T10:00, local unless it names its zone). Default: now
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(super) at: Option<u64>,
    /// The consumer group that they read for, or do something with
    #[arg(long, visible_alias = "group", value_name = "GROUP")]
    pub(super) consumer_group: Option<String>,
    /// The transactional id that they write under, or do something with
    #[arg(long, value_name = "ID")]
    pub(super) transactional_id: Option<String>,
    /// They do something with the cluster
    #[arg(long)]
    pub(super) cluster: bool,
    /// What they do: fetch, produce, an operation of access rules, such as describe or alter_configs, or one of approval
    /// rules, such as delete_topics
    #[arg(long, value_name = "OPERATION", value_parser = parse_asked)]
    pub(super) op: Asked,
    /// The topic
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// The topic's partition; where none is given, all of them
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
    pub(super) partition: Option<i32>,
    /// A file with a record's value, - for standard input: shown as they get it and as the recording keeps it
    #[arg(long, value_name = "FILE")]
    pub(super) value: Option<PathBuf>,
    /// The record's key
    #[arg(long, value_name = "TEXT")]
    pub(super) key: Option<String>,
    /// A header of the record; may be given several times
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = parse_header)]
    pub(super) headers: Vec<(String, String)>,
    /// Print a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The policy to try, a file or a folder
    #[arg(long, value_name = "PATH")]
    pub(super) policy: PathBuf,
    /// From when on: how long ago (2h, 7d) or a time (2026-11-22T10:00, local unless it names its zone)
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_moment)]
    pub(super) since: u64,
    /// Until when; the same forms. Default: now
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(super) until: Option<u64>,
    /// Only what this subject did
    #[arg(long = "as", value_name = "SUBJECT")]
    pub(super) subject: Option<String>,
    /// Only what came through this listener
    #[arg(long, value_name = "NAME")]
    pub(super) listener: Option<String>,
    /// At most this many ways of being denied, and of being held, the most frequent ones; all are counted
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) limit: u32,
    /// Print a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Read records.
    Fetch,
    /// Write records.
    Produce,
    /// One operation on one resource.
    Operation(Operation),
    /// What can be held for approval, by the name that approval rules have for it.
    Held(HeldOperation),
}

#[derive(Debug, Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Print a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Print a JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Create a token and print it, this once
    Create(TokenCreateArgs),
    /// List tokens
    List(TokenListArgs),
    /// Take a token back: logins with it end
    Revoke(TokenRevokeArgs),
}

#[derive(Debug, Args)]
pub(super) struct TokenCreateArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The person or service it stands for: the client's user name
    #[arg(long)]
    pub(super) subject: String,
    /// Groups it carries
    #[arg(long, value_delimiter = ',', value_name = "GROUP,…")]
    pub(super) groups: Vec<String>,
    /// Only these topics, whatever the policy allows: names, `orders.*`, `orders[0-3]` for partitions; may be given several
    /// times
    #[arg(long, value_name = "PATTERN")]
    pub(super) topics: Vec<String>,
    /// Only these consumer groups; may be given several times
    #[arg(long, value_name = "PATTERN")]
    pub(super) consumer_groups: Vec<String>,
    /// Only these transactional ids; may be given several times
    #[arg(long, value_name = "PATTERN")]
    pub(super) transactional_ids: Vec<String>,
    /// Only these operations (read, write, create, …) and what they imply
    #[arg(long, value_delimiter = ',', value_name = "OPERATION,…")]
    pub(super) operations: Vec<String>,
    /// How long it lives, such as 30m, 24h or 7d
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    pub(super) ttl: u64,
    /// Print a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct TokenListArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Print a JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct TokenRevokeArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The token's id, as `weir token list` shows it
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct SessionsArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Only those of this subject
    #[arg(long, value_name = "SUBJECT")]
    pub(super) identity: Option<String>,
    /// Only those that touched this topic
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// Only those from this address or network (10.1.2.3, 10.1.0.0/16)
    #[arg(long, value_name = "ADDRESS")]
    pub(super) address: Option<AddressRange>,
    /// Only those active after: how long ago (2h, 7d) or a time (2026-11-22T10:00, local unless it names its zone)
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(super) since: Option<u64>,
    /// Only those active before; the same forms
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(super) until: Option<u64>,
    /// At most this many, the latest ones
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) limit: u32,
    /// Print a JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct LooksArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// At most this many, the latest ones
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) limit: u32,
    /// Print a JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The session's id, as `weir sessions` shows it
    pub(super) session: SessionId,
    /// Show the records, too: keys, headers, values, timestamps (where full recording kept them)
    #[arg(long)]
    pub(super) records: bool,
    /// Show values to their end, however long
    #[arg(long)]
    pub(super) full: bool,
    /// Only what touches this topic
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// Only from then on: how long ago (2h, 7d) or a time (2026-11-22T10:00, local unless it names its zone)
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(super) since: Option<u64>,
    /// Only until then; the same forms
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(super) until: Option<u64>,
    /// Only records that hold this text in their key, value or headers, and their exchanges
    #[arg(long, value_name = "TEXT")]
    pub(super) grep: Option<String>,
    /// Print a JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct FollowArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Only of this subject
    #[arg(long, value_name = "SUBJECT")]
    pub(super) identity: Option<String>,
    /// Only exchanges that touch this topic
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// Only from this client address
    #[arg(long, value_name = "IP")]
    pub(super) address: Option<IpAddr>,
    /// Only of clients that call themselves this
    #[arg(long, value_name = "ID")]
    pub(super) client_id: Option<String>,
    /// Only what failed, was refused or has no known outcome
    #[arg(long)]
    pub(super) errors_only: bool,
    /// Show the records, too
    #[arg(long)]
    pub(super) records: bool,
    /// Print a JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The session's id, as `weir sessions` shows it
    pub(super) session: SessionId,
    /// How many times faster than it was (10, 0.5), or max
    #[arg(long, value_name = "SPEED", default_value = "1", value_parser = Speed::parse)]
    pub(super) speed: Speed,
    /// Where to begin: so long after the session's beginning (+90s), how long ago (2h), or a time
    #[arg(long, value_name = "TIME", value_parser = parse_from, allow_hyphen_values = true)]
    pub(super) from: Option<From>,
    /// Go on by key press only
    #[arg(long)]
    pub(super) step: bool,
    /// Shorten what is longer without an event to this
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_idle)]
    pub(super) idle: u64,
    /// Only exchanges that touch this topic
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// Show the records, too
    #[arg(long)]
    pub(super) records: bool,
}

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// So many ns after the session's beginning.
    After(u64),
    /// At a moment, ns since the Unix epoch.
    At(u64),
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The session's id, as `weir sessions` shows it
    pub(super) session: SessionId,
    /// How it is written
    #[arg(long, value_enum)]
    pub(super) format: ExportFormat,
    /// Where to, a file that is not there yet. Default: standard output
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Only from then on: how long ago (2h, 7d) or a time (2026-11-22T10:00, local unless it names its zone)
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(super) since: Option<u64>,
    /// Only until then; the same forms
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(super) until: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ExportFormat {
    /// The session, its events and its records, a JSON object a line (docs/json.md)
    Jsonl,
    /// Recorded frames as they passed, in a simple container (docs/frames.md)
    Frames,
    /// The same as a capture file of TCP connections, for Wireshark and tshark
    Pcapng,
}

pub(super) fn parse_asked(text: &str) -> Result<Asked, String> {
    match text {
        "fetch" => Ok(Asked::Fetch),
        "produce" => Ok(Asked::Produce),
        name => name.parse().map(Asked::Operation).or_else(|_| name.parse().map(Asked::Held)).map_err(|_| {
            let mut all: Vec<&str> = Operation::all().map(Operation::name).collect();
            all.extend(
                HeldOperation::all().map(HeldOperation::name).filter(|name| parse_asked(name).is_ok_and(is_held)),
            );
            format!("expected fetch, produce, {}", all.join(", "))
        }),
    }
}

fn is_held(asked: Asked) -> bool {
    matches!(asked, Asked::Held(_))
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or_else(|| "expected NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_from(text: &str) -> Result<From, String> {
    match text.strip_prefix('+') {
        Some(after) => parse_idle(after).map(From::After),
        None => parse_moment(text).map(From::At),
    }
}

/// Nanoseconds.
fn parse_idle(text: &str) -> Result<u64, String> {
    let time = crate::config::parse_duration(text).and_then(|time| u64::try_from(time.as_nanos()).ok());
    time.ok_or_else(|| "expected a time with its unit, such as 500ms, 2s or 5m".to_owned())
}

/// Seconds.
fn parse_ttl(text: &str) -> Result<u64, String> {
    let ttl = crate::config::parse_duration(text).map(|ttl| ttl.as_secs()).filter(|seconds| *seconds > 0);
    ttl.ok_or_else(|| "expected a time of a second or more with its unit, such as 30m, 24h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
