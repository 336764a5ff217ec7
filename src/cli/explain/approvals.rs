//! Which approval rules hold it until others have said yes, who those are, and what follows.

use std::io::Write;

use serde::Serialize;

use super::access::Circumstances;
use super::page::Page;
use super::who::Login;
use super::{Question, words};
use crate::cli::args::Asked;
use crate::cli::error::CliError;
use crate::cli::terminal::bytes;
use crate::policy::{ApprovalRule, HeldOperation, ResourceKind};

/// What there is to say; `docs/json.md` documents its fields.
#[derive(Serialize)]
pub(super) struct Section {
    /// Whether rules hold it, or may hold some of it.
    held: bool,
    /// Why nobody is asked though they do; none where reviewers are asked.
    not_asked: Option<&'static str>,
    rules: Vec<Rule>,
    #[serde(skip)]
    listener: String,
}

#[derive(Serialize)]
struct Rule {
    rule: String,
    name: String,
    things: Vec<Thing>,
    when: Option<When>,
    approvers: String,
    reason_required: bool,
    hold_ms: u128,
    expires_s: u64,
    valid_s: u64,
    uses: u32,
    /// Only where a use opens a time.
    window_s: Option<u64>,
    break_glass: Vec<String>,
}

/// What of that which was named a rule is about.
#[derive(Serialize)]
struct Thing {
    resource: &'static str,
    name: Option<String>,
}

/// What of reading or writing is held.
#[derive(Serialize)]
struct When {
    from_earliest: bool,
    over_bytes: Option<u64>,
    within_s: Option<u64>,
}

/// What can be held of what is asked about; none where it is nothing that rules hold.
pub(super) fn operation(asked: Asked) -> Option<HeldOperation> {
    match asked {
        Asked::Fetch => Some(HeldOperation::Fetch),
        Asked::Produce => Some(HeldOperation::Produce),
        Asked::Held(operation) => Some(operation),
        // The two vocabularies have these names in common.
        Asked::Operation(operation) => operation.name().parse().ok(),
    }
}

/// Rules of the listener that hold it for somebody.
pub(super) fn holding<'a>(question: &Question<'a>, asked: Asked) -> Vec<&'a ApprovalRule> {
    let is_here = |rule: &&ApprovalRule| rule.listeners.is_empty() || rule.listeners.contains(&question.listener.name);
    let holds = |rule: &&ApprovalRule| operation(asked).is_some_and(|operation| rule.operations.contains(&operation));
    question.policy.approvals.iter().filter(is_here).filter(holds).collect()
}

impl Section {
    /// `denied`: access rules do not let it happen in any case.
    pub(super) fn of(
        question: &Question<'_>,
        asked: &Circumstances<'_>,
        login: &Login,
        operation: HeldOperation,
        denied: bool,
    ) -> Section {
        let held = question.policy.approvals.about(&asked.client(question, login));
        let about = |rule: &ApprovalRule| -> Vec<Thing> {
            let named = asked.things.iter().filter(|(kind, name)| rule.names(operation, *kind, name));
            named.map(|(kind, name)| thing(*kind, name)).collect()
        };
        let of = held.iter().flat_map(|held| held.of(operation));
        let of = of.map(|rule| (rule, about(rule)));
        let of = of.filter(|(_, things)| operation.kinds().is_empty() || !things.is_empty());
        let place = |rule: &ApprovalRule| question.policy.approvals.iter().position(|other| other == rule);
        let rules: Vec<Rule> = of.map(|(rule, things)| Rule::of(place(rule), rule, things, operation)).collect();
        let secure = matches!(operation, HeldOperation::AlterUsers | HeldOperation::AlterQuotas);
        let not_asked = match rules.is_empty() {
            true => None,
            false if secure && !question.listener.allow_security_changes => Some("security_changes"),
            false => denied.then_some("denied"),
        };
        Section { held: !rules.is_empty(), not_asked, rules, listener: question.listener.name.clone() }
    }

    /// Whether rules hold it.
    pub(super) fn holds(&self) -> bool {
        self.held
    }

    pub(super) fn print(&self, page: &mut Page<'_, impl Write>) -> Result<(), CliError> {
        let verdict = match (self.not_asked, self.held) {
            (Some("denied"), _) => "nobody is asked, since it is denied".to_owned(),
            (Some(_), _) => {
                format!(
                    "nobody is asked: listener {} lets nothing like it through (allow_security_changes)",
                    self.listener
                )
            }
            (None, false) => "nothing holds it".to_owned(),
            (None, true) if self.rules.iter().all(|rule| rule.when.is_some()) => {
                "some of it is held until others have approved it".to_owned()
            }
            (None, true) => "held until others have approved it".to_owned(),
        };
        page.section("APPROVALS", &verdict)?;
        for rule in &self.rules {
            page.space()?;
            rule.print(page)?;
        }
        Ok(())
    }
}

impl Rule {
    fn of(place: Option<usize>, rule: &ApprovalRule, things: Vec<Thing>, operation: HeldOperation) -> Rule {
        let terms = &rule.terms;
        let when = rule.when.map(|when| When {
            from_earliest: when.from_earliest,
            over_bytes: when.volume.map(|volume| volume.over),
            within_s: when.volume.map(|volume| volume.within.as_secs()),
        });
        Rule {
            rule: place.map(|place| format!("approvals[{place}]")).unwrap_or_default(),
            name: terms.rule.clone(),
            things,
            when,
            approvers: terms.approvers.to_string(),
            reason_required: terms.reason_required,
            hold_ms: rule.hold.as_millis(),
            expires_s: terms.expires_s,
            valid_s: terms.valid_s,
            uses: terms.uses,
            window_s: operation.goes_on().then_some(terms.window_s),
            break_glass: terms.break_glass.clone(),
        }
    }

    fn print(&self, page: &mut Page<'_, impl Write>) -> Result<(), CliError> {
        page.text(2, &words::named(&self.rule, Some(&self.name)))?;
        let named = |thing: &Thing| match &thing.name {
            Some(name) => format!("{} {name}", thing.resource.replace('_', " ")),
            None => format!("the {}", thing.resource),
        };
        if !self.things.is_empty() {
            page.entry(4, "holds it of", &self.things.iter().map(named).collect::<Vec<_>>().join(", "))?;
        }
        if let Some(when) = &self.when {
            let earliest = when.from_earliest.then(|| "what begins at the earliest offset".to_owned());
            let volume = when.over_bytes.zip(when.within_s);
            let volume =
                volume.map(|(over, within)| format!("what is more than {} within {}", bytes(over), span(within)));
            let parts: Vec<String> = earliest.into_iter().chain(volume).collect();
            page.entry(4, "only", &parts.join(", or "))?;
        }
        let reason = if self.reason_required { ", once the requester has said why" } else { "" };
        page.entry(4, "to approve", &format!("{}{reason}; never the requester", self.approvers))?;
        let hold = match self.hold_ms {
            0 => "not at all on the wire".to_owned(),
            ms => format!("{} on the wire, less where its client is less patient", span_ms(ms)),
        };
        page.entry(4, "waits", &format!("{hold}; then it can be approved for {}", span(self.expires_s)))?;
        let uses = if self.uses == 1 { "once".to_owned() } else { format!("{} times", self.uses) };
        let window = self.window_s.map(|window| format!(", each time for {}", span(window))).unwrap_or_default();
        page.entry(4, "grants", &format!("{uses}{window}, within {} of the approval", span(self.valid_s)))?;
        if !self.break_glass.is_empty() {
            let text = format!("whoever is in {} may go ahead alone, for all to see", self.break_glass.join(", "));
            page.entry(4, "in an emergency", &text)?;
        }
        Ok(())
    }
}

fn thing(kind: ResourceKind, name: &str) -> Thing {
    let name = (kind != ResourceKind::Cluster).then(|| name.to_owned());
    Thing { resource: super::access::resource(kind), name }
}

/// As the policy file writes it.
fn span(seconds: u64) -> String {
    match seconds {
        s if s > 0 && s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s > 0 && s % 3600 == 0 => format!("{}h", s / 3600),
        s if s > 0 && s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

fn span_ms(ms: u128) -> String {
    match u64::try_from(ms) {
        Ok(ms) if ms % 1000 == 0 => span(ms / 1000),
        _ => format!("{ms}ms"),
    }
}
