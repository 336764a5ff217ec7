//! `weir explain`: why somebody sees what they see.
//!
//! Told from the configuration and its policy file; only for the groups of a subject's tokens is the gateway asked, or the
//! store. A file a section, each an object of its own: what it found, as JSON has it, and how people read it. Of reading and
//! writing records all is told, of other operations whether they are allowed, and whether they are held for approval.
//!
//! Invariant: nothing is decided here. Which rules hold is what the policy says ([`Rights::decide`], [`MaskingRule::why_not`]),
//! what becomes of a record is done by the plan that the data path compiles ([`Book::compile`]).
//!
//! [`Rights::decide`]: crate::policy::Rights::decide
//! [`MaskingRule::why_not`]: crate::policy::MaskingRule::why_not

mod access;
mod approvals;
mod masking;
mod record;
mod recording;
mod who;
mod words;

use std::io::Write;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::args::{Asked, ConfigArg, ExplainArgs, parse_asked};
use super::error::CliError;
use super::page::{self, Page};
use super::policy::{self, PolicyFile};
use super::terminal;
use crate::config::{Config, Listener};
use crate::control::{PolicyQuestion, TokenView};
use crate::pipeline::masking::plans::Book;
use crate::policy::{Direction, MaskClient, MaskingRules, PolicySnapshot};
use who::Login;

/// What is asked, but for the groups of whoever it is.
struct Question<'a> {
    config: &'a Config,
    policy: &'a PolicySnapshot,
    listener: &'a Listener,
    /// Which way records go; none where it is not about records.
    records: Option<Direction>,
    topic: &'a str,
    client_id: Option<&'a str>,
    consumer_groups: Vec<Arc<str>>,
    /// Gets the tokens there are, where they are needed.
    tokens: &'a dyn Fn() -> Result<Vec<TokenView>, CliError>,
}

impl<'a> Question<'a> {
    fn new(
        config: &'a Config,
        args: &'a ExplainArgs,
        tokens: &'a dyn Fn() -> Result<Vec<TokenView>, CliError>,
    ) -> Result<Self, CliError> {
        let filled = |text: &'a Option<String>| text.as_deref().filter(|text| !text.is_empty());
        Ok(Question {
            config,
            policy: &config.policy.snapshot,
            listener: listener(config, args.listener.as_deref())?,
            records: match args.op {
                Asked::Fetch => Some(Direction::Fetch),
                Asked::Produce => Some(Direction::Produce),
                Asked::Operation(_) | Asked::Held(_) => None,
            },
            topic: match (&args.topic, args.op) {
                (Some(name), _) => topic(name)?,
                (None, Asked::Operation(_) | Asked::Held(_)) => "",
                (None, _) => return Err(CliError::Usage("say which topic, by --topic".to_owned())),
            },
            client_id: filled(&args.client_id),
            consumer_groups: filled(&args.consumer_group).map(Arc::from).into_iter().collect(),
            tokens,
        })
    }

    fn rules(&self) -> &'a MaskingRules {
        &self.policy.masking
    }

    fn client<'b>(&'b self, groups: &'b [String]) -> MaskClient<'b> {
        let (listener, client_id) = (&self.listener.name, self.client_id);
        MaskClient { listener, groups, client_id, consumer_groups: &self.consumer_groups }
    }

    fn direction(&self) -> Direction {
        self.records.unwrap_or(Direction::Fetch)
    }

    fn is_read(&self) -> bool {
        self.direction() == Direction::Fetch
    }
}

/// Everything that is told; `docs/json.md` documents its fields.
#[derive(Serialize)]
struct Explanation<'a> {
    subject: Option<&'a str>,
    op: &'static str,
    topic: Option<&'a str>,
    listener: &'a str,
    client_id: Option<&'a str>,
    consumer_group: Option<&'a str>,
    policy: Option<PolicyFile>,
    logins: Vec<Verdict>,
}

/// What holds for one way to log in.
#[derive(Serialize)]
struct Verdict {
    #[serde(flatten)]
    login: Login,
    /// None where nothing is decided: the listener has no access rules and the token no scopes.
    access: Option<access::Section>,
    /// None where it is nothing that can be held.
    approvals: Option<approvals::Section>,
    /// What becomes of records; none where it is not about records.
    masking: Option<masking::Section>,
    recording: Option<recording::Section>,
    record: Option<record::Section>,
}

pub(super) fn run(args: &ExplainArgs, out: &mut impl Write) -> Result<(), CliError> {
    let config = config(args)?;
    let tokens = || who::tokens_there_are(&config);
    let question = Question::new(&config, args, &tokens)?;
    let given = record::Given::read(args)?;
    let asked = access::Circumstances::of(args, &question)?;
    let explanation = Explanation::of(args, &question, &asked, given.as_ref())?;
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&explanation)?)?);
    }
    print(&question, &asked, &explanation, &mut Page::new(out))
}

/// The same for whoever asks the running gateway's API, whose policy in force and tokens are known.
pub(super) fn answer(config: &Config, question: PolicyQuestion, tokens: &[TokenView]) -> Result<Value, CliError> {
    let args = ExplainArgs::asked(question)?;
    let tokens = || Ok(tokens.to_vec());
    let question = Question::new(config, &args, &tokens)?;
    let asked = access::Circumstances::of(&args, &question)?;
    Ok(serde_json::to_value(Explanation::of(&args, &question, &asked, None)?)?)
}

impl<'a> Explanation<'a> {
    fn of(
        args: &'a ExplainArgs,
        question: &'a Question<'a>,
        asked: &access::Circumstances<'a>,
        given: Option<&record::Given>,
    ) -> Result<Self, CliError> {
        if given.is_some() && question.records.is_none() {
            return Err(CliError::Usage("a record goes with --op fetch or --op produce".to_owned()));
        }
        let book = Book::new(question.rules()).map_err(|error| CliError::Usage(error.to_string()))?;
        let verdict = |login: Login| {
            let of_records = question.records.is_some();
            let recording = of_records.then(|| recording::Section::of(question, &login.groups));
            let record = given.zip(recording.as_ref()).map(|(given, recording)| {
                record::Section::of(question, &book, &login.groups, given, recording.keeps_records())
            });
            let masking = of_records.then(|| masking::Section::of(question, &login.groups));
            let access = access::Section::of(question, asked, &login);
            let denied = access.as_ref().is_some_and(|access| !access.is_allowed());
            let approvals = approvals::operation(args.op)
                .map(|operation| approvals::Section::of(question, asked, &login, operation, denied));
            Verdict { access, approvals, masking, recording, record, login }
        };
        Ok(Explanation {
            subject: args.subject.as_deref(),
            op: match args.op {
                Asked::Operation(operation) => operation.name(),
                Asked::Held(operation) => operation.name(),
                Asked::Fetch | Asked::Produce => words::operation(question.is_read()),
            },
            topic: Some(question.topic).filter(|topic| !topic.is_empty()),
            listener: &question.listener.name,
            client_id: question.client_id,
            consumer_group: question.consumer_groups.first().map(|group| &**group),
            policy: PolicyFile::of(&question.config.policy),
            logins: who::logins(question, args)?.into_iter().map(verdict).collect(),
        })
    }
}

impl ExplainArgs {
    /// A question of the API's as the command line would ask it.
    fn asked(question: PolicyQuestion) -> Result<ExplainArgs, CliError> {
        if question.partition.is_some_and(|partition| partition < 0) {
            return Err(CliError::Usage("a partition is 0 or more".to_owned()));
        }
        Ok(ExplainArgs {
            config: ConfigArg { file: std::path::PathBuf::new() },
            op: parse_asked(&question.operation).map_err(|what| CliError::Usage(format!("operation: {what}")))?,
            policy: None,
            subject: question.subject,
            groups: question.groups,
            listener: question.listener,
            client_id: question.client_id,
            issuer: question.issuer,
            address: question.address,
            at: question.at_ns,
            consumer_group: question.consumer_group,
            transactional_id: question.transactional_id,
            cluster: question.cluster,
            topic: question.topic,
            partition: question.partition,
            value: None,
            key: None,
            headers: Vec::new(),
            json: true,
        })
    }
}

fn print(
    question: &Question<'_>,
    asked: &access::Circumstances<'_>,
    explanation: &Explanation<'_>,
    page: &mut Page<'_, impl Write>,
) -> Result<(), CliError> {
    let who = explanation.subject.unwrap_or("somebody");
    let does = match (question.records, &asked.does) {
        (None, does) => format!("asks to {does}"),
        (Some(Direction::Produce), _) => format!("writes to {}", question.topic),
        (Some(_), _) => format!("reads from {}", question.topic),
    };
    page.head(&format!("{who} {does} through {}", asked.way(question)))?;
    let [only] = explanation.logins.as_slice() else {
        print_head(question, explanation, page)?;
        let narrowed = explanation.logins.iter().any(|verdict| verdict.login.scopes.is_some());
        let or_scopes = if narrowed { " or scopes" } else { "" };
        page.text(
            2,
            &format!(
                "{who} has active tokens with different groups{or_scopes}: it depends on the one that it logs in with."
            ),
        )?;
        for verdict in &explanation.logins {
            page.space()?;
            page.head(&format!("With groups {}", verdict.login.words(who, question)))?;
            print_sections(question, asked, who, verdict, page)?;
        }
        return Ok(());
    };
    page.entry(2, "groups", &only.login.words(who, question))?;
    print_head(question, explanation, page)?;
    print_sections(question, asked, who, only, page)
}

fn print_head(
    question: &Question<'_>,
    explanation: &Explanation<'_>,
    page: &mut Page<'_, impl Write>,
) -> Result<(), CliError> {
    if let Some(client_id) = explanation.client_id {
        page.entry(2, "client id", client_id)?;
    }
    if let Some(group) = explanation.consumer_group {
        let matters = if question.is_read() { "" } else { " (makes no difference to what is written)" };
        page.entry(2, "consumer group", &format!("{group}{matters}"))?;
    }
    let policy = match &explanation.policy {
        None => "none is named in the configuration: nothing is masked".to_owned(),
        Some(PolicyFile { file, sha256: None }) => format!("{file} does not exist: nothing is masked"),
        Some(policy) => policy.to_string(),
    };
    page.entry(2, "policy", &policy)
}

fn print_sections(
    question: &Question<'_>,
    asked: &access::Circumstances<'_>,
    who: &str,
    verdict: &Verdict,
    page: &mut Page<'_, impl Write>,
) -> Result<(), CliError> {
    match &verdict.access {
        Some(access) => access.print(page)?,
        None if asked.asks.is_empty() => page.section("ACCESS", "whoever has the role admin may ask for it")?,
        None if question.records.is_none() => {
            page.section("ACCESS", "allowed: the listener has no access rules, whoever is let in may do all")?;
        }
        None => {}
    }
    // Of records it is told where there is something to tell.
    let approvals = verdict.approvals.iter().filter(|approvals| approvals.holds() || question.records.is_none());
    approvals.into_iter().try_for_each(|approvals| approvals.print(page))?;
    verdict.masking.iter().try_for_each(|masking| masking.print(question, page))?;
    verdict.recording.iter().try_for_each(|recording| recording.print(page))?;
    verdict.record.iter().try_for_each(|record| record.print(question, who, page))
}

/// The configuration, with the policy that is asked about in the place of its own.
fn config(args: &ExplainArgs) -> Result<Config, CliError> {
    let mut config = Config::load(&args.config.file)?;
    if let Some(path) = &args.policy {
        config.policy = policy::candidate(&config, path)?;
    }
    Ok(config)
}

fn listener<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Listener, CliError> {
    let known = || config.listeners.iter().map(|listener| listener.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, config.listeners.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(CliError::Usage(format!("say through which listener, by --listener; there are: {}", known()))),
        (Some(name), listeners) => listeners.iter().find(|listener| listener.name == name).ok_or_else(|| {
            CliError::Usage(format!("no listener has the name {}; there are: {}", terminal::harmless(name), known()))
        }),
    }
}

/// A pattern in the place of a topic would be answered as if a topic had that name.
fn topic(name: &str) -> Result<&str, CliError> {
    let lawful = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.is_empty() && name.chars().all(lawful) {
        return Ok(name);
    }
    Err(CliError::Usage(format!(
        "{} is no topic's name: those are letters, digits, `.`, `_` and `-`; expected one topic, no pattern",
        terminal::harmless(name)
    )))
}
