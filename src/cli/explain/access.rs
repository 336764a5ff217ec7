//! Whether it is allowed, by which access rule, and what would have to change for it to be.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use super::page::Page;
use super::who::Login;
use super::{Question, approvals, words};
use crate::cli::args::{Asked, ExplainArgs};
use crate::cli::error::CliError;
use crate::config::Auth;
use crate::policy::{
    AccessClient, AccessExemption, AccessRule, AccessRules, DecidedBy, Decision, Effect, HeldOperation, Operation,
    Operations, ResourceKind, Rights,
};

/// An operation on a resource.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) operation: Operation,
    pub(super) kind: ResourceKind,
    /// Empty for the cluster.
    pub(super) name: &'a str,
    partition: Option<i32>,
}

/// What access rules ask of a client beside what masking rules do.
pub(super) struct Circumstances<'a> {
    pub(super) asks: Vec<Ask<'a>>,
    /// What is named.
    pub(super) things: Vec<(ResourceKind, &'a str)>,
    /// What they ask for, as people say it.
    pub(super) does: String,
    /// Allowed by this as well; none where all of `asks` is needed.
    or: Option<Ask<'a>>,
    issuer: &'a str,
    subject: &'a str,
    address: IpAddr,
    now_s: i64,
}

/// What there is to say; `docs/json.md` documents its fields.
#[derive(Serialize)]
pub(super) struct Section(Vec<Answer>);

#[derive(Serialize)]
struct Answer {
    operation: &'static str,
    resource: &'static str,
    name: Option<String>,
    partition: Option<i32>,
    allowed: bool,
    by: &'static str,
    rule: Option<String>,
    rule_name: Option<String>,
    /// Seconds since the Unix epoch; none: for good.
    valid_until: Option<i64>,
    changes: Vec<Change>,
    /// What was asked, for people.
    #[serde(skip)]
    asked: String,
}

/// What would lead to another answer.
#[derive(Serialize)]
struct Change {
    rule: Option<String>,
    #[serde(skip)]
    rule_name: Option<String>,
    text: String,
}

impl Ask<'_> {
    /// `read topic payments`.
    pub(super) fn words(&self) -> String {
        let (operation, name) = (self.operation, self.name);
        let partition = self.partition.map(|partition| format!(" partition {partition}")).unwrap_or_default();
        match self.kind {
            ResourceKind::Cluster => format!("{operation} the cluster"),
            kind => format!("{operation} {} {name}{partition}", resource(kind).replace('_', " ")),
        }
    }
}

impl<'a> Circumstances<'a> {
    pub(super) fn of(args: &'a ExplainArgs, question: &Question<'a>) -> Result<Self, CliError> {
        let rules = question.policy.access.iter().filter(|rule| rule.is_on(&question.listener.name));
        let rules: Vec<&AccessRule> = rules.collect();
        let by_network = rules.iter().any(|rule| !rule.networks.is_empty());
        let address = match args.address {
            None if by_network => {
                return Err(CliError::Usage(
                    "access rules of this listener name networks; say where the client connects from, by --address"
                        .to_owned(),
                ));
            }
            address => address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
        };
        let holding = approvals::holding(question, args.op);
        let by_issuer = rules.iter().map(|rule| &rule.issuers).chain(holding.iter().map(|rule| &rule.issuers));
        let by_issuer = by_issuer.into_iter().any(|issuers| !issuers.is_everything());
        let issuer = match (&args.issuer, possible_issuers(question).as_slice()) {
            (Some(issuer), _) => issuer.as_str(),
            (None, [_, _, ..]) if by_issuer => {
                return Err(CliError::Usage(
                    "rules of this listener name issuers, and it takes logins of several; say whose, by --issuer"
                        .to_owned(),
                ));
            }
            (None, possible) => possible.first().copied().unwrap_or_default(),
        };
        let at_s = args.at.and_then(|ns| i64::try_from(ns / 1_000_000_000).ok());
        let now_s = at_s.unwrap_or_else(|| jiff::Timestamp::now().as_second());
        let by_subject = rules.iter().map(|rule| &rule.subjects).chain(holding.iter().map(|rule| &rule.subjects));
        let by_subject = by_subject.into_iter().any(|subjects| !subjects.is_everything());
        let subject = match args.subject.as_deref() {
            Some(subject) => subject,
            None if issuer == "anonymous" => "anonymous",
            None if by_subject => {
                let what = "rules of this listener name subjects; say who it is, by --as";
                return Err(CliError::Usage(what.to_owned()));
            }
            None => "",
        };
        let things = things(args);
        let asks = asks(args, &things)?;
        let creates = matches!(args.op, Asked::Held(HeldOperation::CreateTopics));
        let or = creates.then_some(Ask {
            operation: Operation::Create,
            kind: ResourceKind::Cluster,
            name: "",
            partition: None,
        });
        let does = match (args.op, asks.first()) {
            (Asked::Held(held), _) => {
                let names = things.iter().map(|(_, name)| format!(" {name}")).collect::<String>();
                format!("{}{names}", held.words())
            }
            (_, ask) => ask.map(Ask::words).unwrap_or_default(),
        };
        Ok(Circumstances { asks, things, does, or, issuer, subject, address, now_s })
    }

    /// What it comes through.
    pub(super) fn way(&self, question: &Question<'_>) -> String {
        // The policy is changed by whoever has a role, and through no listener.
        if self.asks.is_empty() { "the API".to_owned() } else { format!("listener {}", question.listener.name) }
    }

    /// Whoever logs in so, as rules see them.
    pub(super) fn client<'b>(&'b self, question: &'b Question<'_>, login: &'b Login) -> AccessClient<'b> {
        AccessClient {
            listener: &question.listener.name,
            issuer: self.issuer,
            subject: self.subject,
            groups: &login.groups,
            client_id: question.client_id,
            address: self.address,
            scopes: login.scopes.as_ref(),
        }
    }
}

/// Everything that is named.
fn things(args: &ExplainArgs) -> Vec<(ResourceKind, &str)> {
    let topic = args.topic.as_deref().map(|name| (ResourceKind::Topic, name));
    let group = args.consumer_group.as_deref().filter(|name| !name.is_empty()).map(|name| (ResourceKind::Group, name));
    let id = args.transactional_id.as_deref().map(|name| (ResourceKind::TransactionalId, name));
    let cluster = args.cluster.then_some((ResourceKind::Cluster, ""));
    topic.into_iter().chain(group).chain(id).chain(cluster).collect()
}

/// What has to be allowed for it.
fn asks<'a>(args: &ExplainArgs, things: &[(ResourceKind, &'a str)]) -> Result<Vec<Ask<'a>>, CliError> {
    let ask = |operation, kind, name| Ask {
        operation,
        kind,
        name,
        partition: args.partition.filter(|_| kind == ResourceKind::Topic),
    };
    let of = |kinds: &[ResourceKind], operation| {
        let named = things.iter().filter(|(kind, _)| kinds.contains(kind));
        named.map(|(kind, name)| ask(operation, *kind, name)).collect::<Vec<_>>()
    };
    match args.op {
        Asked::Fetch => Ok(of(&[ResourceKind::Topic, ResourceKind::Group], Operation::Read)),
        Asked::Produce => Ok(of(&[ResourceKind::Topic, ResourceKind::TransactionalId], Operation::Write)),
        Asked::Operation(operation) => {
            let [what] = things else {
                return Err(CliError::Usage(
                    "say what with: one of --topic, --group, --transactional-id or --cluster".to_owned(),
                ));
            };
            if !what.0.operations().contains(operation) {
                let (resource, possible) = (resource(what.0).replace('_', " "), what.0.operations());
                return Err(CliError::Usage(format!(
                    "`{operation}` cannot be done with a {resource}; expected one of {possible}"
                )));
            }
            Ok(vec![ask(operation, what.0, what.1)])
        }
        Asked::Held(held) => {
            let kinds = held.kinds();
            let lawful = things.iter().all(|(kind, _)| kinds.contains(kind));
            if !lawful || things.is_empty() != kinds.is_empty() {
                let flags: Vec<&str> = kinds.iter().map(|kind| flag(*kind)).collect();
                let flags = if flags.is_empty() { "nothing".to_owned() } else { flags.join(" or ") };
                return Err(CliError::Usage(format!("say what to {} with: {flags}", held.words())));
            }
            Ok(match right_for(held) {
                None => Vec::new(),
                Some((operation, true)) => vec![ask(operation, ResourceKind::Cluster, "")],
                Some((operation, false)) => of(kinds, operation),
            })
        }
    }
}

/// What Kafka asks for before it does something that can be held; whether of the cluster. None: it is not Kafka's.
fn right_for(held: HeldOperation) -> Option<(Operation, bool)> {
    match held {
        HeldOperation::CreateTopics => Some((Operation::Create, false)),
        HeldOperation::DeleteTopics | HeldOperation::DeleteRecords | HeldOperation::DeleteGroups => {
            Some((Operation::Delete, false))
        }
        HeldOperation::CreatePartitions => Some((Operation::Alter, false)),
        HeldOperation::ResetOffsets | HeldOperation::Fetch => Some((Operation::Read, false)),
        HeldOperation::Produce => Some((Operation::Write, false)),
        HeldOperation::AlterConfigs => Some((Operation::AlterConfigs, false)),
        HeldOperation::AlterReassignments | HeldOperation::ElectLeaders | HeldOperation::AlterUsers => {
            Some((Operation::Alter, true))
        }
        HeldOperation::AlterQuotas => Some((Operation::AlterConfigs, true)),
        HeldOperation::ChangePolicy => None,
    }
}

fn flag(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Topic => "--topic",
        ResourceKind::Group => "--group",
        ResourceKind::TransactionalId => "--transactional-id",
        ResourceKind::Cluster => "--cluster",
    }
}

/// Who may vouch for a client of the listener.
fn possible_issuers<'a>(question: &Question<'a>) -> Vec<&'a str> {
    let mut issuers = Vec::new();
    for auth in &question.listener.auth {
        match auth {
            Auth::Anonymous => issuers.push("anonymous"),
            Auth::WeirToken | Auth::Scram if issuers.contains(&"weir") => {}
            Auth::WeirToken | Auth::Scram => issuers.push("weir"),
            Auth::Mtls => issuers.push("certificate"),
            Auth::Jwt => {
                let trusted = question.config.issuers.iter();
                let trusted = trusted.filter(|issuer| question.listener.issuers.contains(&issuer.rules.name));
                issuers.extend(trusted.map(|issuer| issuer.rules.issuer.as_str()));
            }
        }
    }
    issuers
}

impl Section {
    /// None: nothing is decided here, all is allowed.
    pub(super) fn of(question: &Question<'_>, asked: &Circumstances<'_>, login: &Login) -> Option<Section> {
        let client = asked.client(question, login);
        let rights = question.policy.access.rights_of(&client).filter(|_| !asked.asks.is_empty())?;
        let answer = |ask: &Ask<'_>| Answer::of(question, &client, &rights, ask, asked.now_s);
        let instead = asked.or.as_ref().map(answer).filter(|answer| answer.allowed);
        Some(Section(instead.map_or_else(|| asked.asks.iter().map(answer).collect(), |answer| vec![answer])))
    }

    /// Whether nothing stands in the way.
    pub(super) fn is_allowed(&self) -> bool {
        self.0.iter().all(|answer| answer.allowed)
    }

    pub(super) fn print(&self, page: &mut Page<'_, impl Write>) -> Result<(), CliError> {
        page.section("ACCESS", if self.is_allowed() { "allowed" } else { "denied" })?;
        for answer in &self.0 {
            page.space()?;
            page.text(2, &format!("{}: {}", answer.asked, answer.words()))?;
            if let Some(until) = answer.valid_until.and_then(|until| jiff::Timestamp::from_second(until).ok()) {
                page.entry(
                    4,
                    "looked at again",
                    &format!("{until}, when hours of a rule begin or end, or clocks change"),
                )?;
            }
            if !answer.changes.is_empty() {
                page.text(4, "what would change that:")?;
            }
            for change in &answer.changes {
                let named = |rule| format!("{}: ", words::named(rule, change.rule_name.as_deref()));
                let rule = change.rule.as_ref().map(|rule| named(rule)).unwrap_or_default();
                page.item(6, &format!("{rule}{}", change.text))?;
            }
        }
        Ok(())
    }
}

impl Answer {
    fn of(question: &Question<'_>, client: &AccessClient<'_>, rights: &Rights, ask: &Ask<'_>, now_s: i64) -> Answer {
        let decision = rights.decide(ask.operation, ask.kind, ask.name, ask.partition, now_s);
        let (by, rule) = match decision.by {
            DecidedBy::Rule { number, name } => ("rule", Some((number, name))),
            DecidedBy::NoRule | DecidedBy::Kind => ("no_rule", None),
            DecidedBy::NoRules => ("no_rules", None),
            DecidedBy::Scope => ("scope", None),
        };
        let mut changes = changes(question, client, ask, decision, now_s);
        // What rules deny, the token may be narrowed away from, too.
        let of_token = AccessRules::default().rights_of(client);
        let narrowed = of_token
            .is_some_and(|token| !token.decide(ask.operation, ask.kind, ask.name, ask.partition, now_s).allowed);
        if narrowed {
            changes.push(Change {
                rule: None,
                rule_name: None,
                text: "log in with a token that is not narrowed, or to this, too".to_owned(),
            });
        }
        let until = rights.valid_until(now_s);
        Answer {
            asked: ask.words(),
            operation: ask.operation.name(),
            resource: resource(ask.kind),
            name: (ask.kind != ResourceKind::Cluster).then(|| ask.name.to_owned()),
            partition: ask.partition,
            allowed: decision.allowed,
            by,
            rule: rule.map(|(number, _)| place(number)),
            rule_name: rule.and_then(|(_, name)| name.map(str::to_owned)),
            valid_until: (until != i64::MAX).then_some(until),
            changes,
        }
    }

    fn words(&self) -> String {
        let verdict = if self.allowed { "allowed" } else { "denied" };
        match (self.by, &self.rule) {
            (_, Some(rule)) => format!("{verdict} by {}", words::named(rule, self.rule_name.as_deref())),
            ("scope", _) => format!("{verdict}, since the token is narrowed to something else"),
            ("no_rules", _) => format!("{verdict}, since the listener has no access rules"),
            _ => format!("{verdict}, since no rule allows it"),
        }
    }
}

fn changes(
    question: &Question<'_>,
    client: &AccessClient<'_>,
    ask: &Ask<'_>,
    decision: Decision<'_>,
    now_s: i64,
) -> Vec<Change> {
    let rules = &question.policy.access;
    match decision.by {
        _ if decision.allowed => Vec::new(),
        DecidedBy::Rule { number, .. } => {
            let Some(rule) = rules.get(number) else { return Vec::new() };
            let mut texts = escapes(rule);
            if texts.is_empty() {
                texts.push("nothing but another policy, the rule is about everybody, always".to_owned());
            }
            texts.into_iter().map(|text| Change { rule: Some(place(number)), rule_name: None, text }).collect()
        }
        // What the token leaves is told beside.
        DecidedBy::Scope => Vec::new(),
        DecidedBy::NoRule | DecidedBy::NoRules | DecidedBy::Kind => {
            let allows = |rule: &AccessRule| {
                rule.effect == Effect::Allow
                    && rule.operations.with_implied().contains(ask.operation)
                    && rule.names(ask.kind, ask.name, ask.partition)
            };
            let others = rules.iter().enumerate().filter(|(_, rule)| allows(rule));
            let needed = |(number, rule): (usize, &AccessRule)| {
                let hours = (!rule.holds_at(now_s)).then_some(AccessExemption::Hours);
                let unmet: Vec<String> = rule.unmet(client).chain(hours).map(|why| condition(why, rule)).collect();
                Change { rule: Some(place(number)), rule_name: rule.name.clone(), text: unmet.join(", and ") }
            };
            let mut changes: Vec<Change> = others.map(needed).collect();
            if changes.is_empty() {
                let names = match ask.kind {
                    ResourceKind::Cluster => "`cluster: true`".to_owned(),
                    kind => format!("`{}: [{}]`", kind.key(), ask.name),
                };
                let operation = Operations::of(&[ask.operation]);
                let text = format!("a rule with `operations: [{operation}]` and {names}; none allows it to anybody");
                changes.push(Change { rule: None, rule_name: None, text });
            }
            changes
        }
    }
}

/// What a client would have to be for an allow to be about it.
fn condition(why: AccessExemption, rule: &AccessRule) -> String {
    let does = match why {
        AccessExemption::Listener => "come through listener",
        AccessExemption::Issuer => "be vouched for by",
        AccessExemption::Subject => "be",
        AccessExemption::Groups => "be in one of",
        AccessExemption::ClientId => "have a client id like",
        AccessExemption::Network => "connect from",
        AccessExemption::Hours => "do it from",
    };
    format!("{does} {}", named(why, rule).join(", "))
}

/// What would take a client out of a deny, each alone.
fn escapes(rule: &AccessRule) -> Vec<String> {
    let escape = |why: AccessExemption| {
        let names = named(why, rule);
        let does = match why {
            AccessExemption::Listener => "come through a listener other than",
            AccessExemption::Issuer => "be vouched for by another than",
            AccessExemption::Subject => "be another than",
            AccessExemption::Groups => "be in none of",
            AccessExemption::ClientId => "have a client id other than",
            AccessExemption::Network => "connect from outside",
            AccessExemption::Hours => "do it at another time than from",
        };
        (!names.is_empty()).then(|| format!("{does} {}", names.join(", ")))
    };
    AccessExemption::ALL.into_iter().filter_map(escape).collect()
}

/// What a rule says for one of its conditions; nothing where it asks for nothing.
fn named(why: AccessExemption, rule: &AccessRule) -> Vec<String> {
    match why {
        AccessExemption::Listener => rule.listeners.clone(),
        AccessExemption::Issuer => rule.issuers.iter().cloned().collect(),
        AccessExemption::Subject => rule.subjects.iter().cloned().collect(),
        AccessExemption::Groups => rule.groups.clone(),
        AccessExemption::ClientId => rule.client_ids.iter().cloned().collect(),
        AccessExemption::Network => rule.networks.iter().map(ToString::to_string).collect(),
        AccessExemption::Hours => rule.hours.iter().map(ToString::to_string).collect(),
    }
}

fn place(number: usize) -> String {
    format!("access[{number}]")
}

pub(super) fn resource(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Topic => "topic",
        ResourceKind::Group => "consumer_group",
        ResourceKind::TransactionalId => "transactional_id",
        ResourceKind::Cluster => "cluster",
    }
}
