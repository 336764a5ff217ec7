//! The command line of approvals, as clap understands it. Doc comments here are the help that users read.

use clap::{Args, ValueEnum};

use crate::cli::args::ConfigArg;
use crate::config::parse_duration;
use crate::policy::HeldOperation;

#[derive(Debug, Args)]
pub(in crate::cli) struct RequestsArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// One request, with all that is known of it
    pub(super) id: Option<String>,
    /// Only those in this state
    #[arg(long, value_enum)]
    pub(super) state: Option<State>,
    /// Only one's own: of whoever the token in WEIR_TOKEN is
    #[arg(long)]
    pub(super) mine: bool,
    /// Print a JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    /// Nobody has decided yet, or not enough have
    Pending,
    /// Enough have said yes
    Approved,
    /// Somebody said no
    Denied,
    /// Nobody decided in time
    Expired,
    /// Somebody went ahead without approval, and nobody has looked at that yet
    ToBeReviewed,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RequestArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// A request that is open already, to say why for it
    #[arg(conflicts_with_all = ["op", "topics", "groups", "parameters"])]
    pub(super) id: Option<String>,
    /// What is to be done, such as delete_topics or fetch
    #[arg(long, value_name = "OPERATION", value_parser = parse_operation, required_unless_present = "id")]
    pub(super) op: Option<HeldOperation>,
    /// With which topic; may be given several times
    #[arg(long = "topic", value_name = "NAME")]
    pub(super) topics: Vec<String>,
    /// With which consumer group; may be given several times
    #[arg(long = "group", value_name = "NAME")]
    pub(super) groups: Vec<String>,
    /// How, as a request shows it, such as num_partitions=3; may be given several times
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse_parameter)]
    pub(super) parameters: Vec<(String, String)>,
    /// On which cluster; may be left out where there is one
    #[arg(long, value_name = "NAME")]
    pub(super) cluster: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Print a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ApproveArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The request
    pub(super) id: String,
    /// For no longer than this, such as 15m
    #[arg(long = "for", value_name = "TIME", value_parser = parse_seconds)]
    pub(super) valid_s: Option<u64>,
    /// For no more uses than this
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) uses: Option<u32>,
    /// What the requester and others should know
    #[arg(long, value_name = "TEXT")]
    pub(super) comment: Option<String>,
    /// Print a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Of the commands that name a request and say why.
#[derive(Debug, Args)]
pub(in crate::cli) struct WhyArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The request
    pub(super) id: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
    /// Print a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Of the commands that name a request and may say why.
#[derive(Debug, Args)]
pub(in crate::cli) struct MaybeWhyArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The request, or its grant
    pub(super) id: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Print a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

fn parse_operation(name: &str) -> Result<HeldOperation, String> {
    name.replace('-', "_").parse().map_err(|_| {
        let known: Vec<&str> = HeldOperation::all().map(HeldOperation::name).collect();
        format!("expected one of {}", known.join(", "))
    })
}

fn parse_parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_seconds(text: &str) -> Result<u64, String> {
    let length = parse_duration(text).map(|length| length.as_secs()).filter(|seconds| *seconds > 0);
    length.ok_or_else(|| "expected a time of at least a second, such as 15m or 2h".to_owned())
}
