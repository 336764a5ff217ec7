//! A request as people and programs see it: one JSON for commands, the API and notices.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::control::api::schema;

use crate::policy::{
    ActionEffect, ActionItem, ActionKind, Case, Grant, HeldOperation, Person, RequestState, Requester, ReviewDecision,
    Said, Terms, Use,
};
use crate::recorder::Rfc3339;

/// How many past requests are shown beside one.
const SIMILAR_MAX: usize = 5;

/// Names and values.
type Parameters = std::collections::BTreeMap<String, String>;

/// A request with all that came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CaseView {
    /// What people call it.
    pub id: String,
    /// Where it stands, at the time of asking.
    #[schema(value_type = schema::RequestState)]
    pub state: RequestState,
    /// The action in one line.
    pub summary: String,
    /// Who asks.
    #[schema(value_type = schema::Requester)]
    pub requester: Requester,
    /// What the client calls itself.
    pub client_id: Option<String>,
    /// Where it connects from.
    pub address: Option<String>,
    /// Through which listener.
    pub listener: Option<String>,
    /// On which cluster.
    pub cluster: String,
    /// What.
    #[schema(value_type = String)]
    pub operation: HeldOperation,
    /// With what, and how.
    pub resources: Vec<ResourceView>,
    /// How, as far as that is said of all of it.
    pub parameters: Parameters,
    /// Why, in the requester's words.
    pub reason: Option<String>,
    /// The rules that hold it.
    pub rules: Vec<RuleView>,
    /// What it would come to; none until that is found out.
    #[schema(value_type = Option<schema::ActionEffect>)]
    pub effect: Option<ActionEffect>,
    /// When it was asked for, RFC 3339 in UTC.
    pub created: String,
    /// The same in ns since the Unix epoch.
    pub created_ns: u64,
    /// Until when it may be decided.
    pub expires: String,
    /// The same in ns since the Unix epoch.
    pub expires_ns: u64,
    /// What was said of it, in order.
    pub decisions: Vec<DecisionView>,
    /// What followed.
    pub grant: Option<GrantView>,
    /// Somebody went ahead without approval, and nobody has looked at that yet.
    pub to_be_reviewed: bool,
    /// Past requests that are like it, the newest first; only where one request is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub similar: Vec<SimilarView>,
    /// The page on which people decide.
    pub url: Option<String>,
}

/// One of the things that an action is done to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResourceView {
    /// What kind of thing.
    #[schema(value_type = String)]
    pub kind: ActionKind,
    /// Its name.
    pub name: String,
    /// How.
    pub parameters: Parameters,
}

/// What a rule asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleView {
    /// What people call it.
    pub name: String,
    /// Who has to say yes.
    pub approvers: String,
    /// Nobody says yes before there is a reason.
    pub reason_required: bool,
    /// How long a grant is good for, seconds.
    pub valid_s: u64,
    /// How often it may be used.
    pub uses: u32,
}

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionView {
    /// Who.
    #[schema(value_type = schema::Requester)]
    pub by: Requester,
    /// What.
    #[schema(value_type = schema::Said)]
    pub said: Said,
    /// When.
    pub at: String,
    /// In their words.
    pub comment: Option<String>,
}

/// A grant and how it was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GrantView {
    /// What people call it.
    pub id: String,
    /// From when.
    pub from: String,
    /// Until when.
    pub until: String,
    /// How often it may be used.
    pub uses: u32,
    /// How it was, in order.
    pub used: Vec<UseView>,
    /// Whether it may be used, or a time it opened goes on, at the time of asking.
    pub in_force: bool,
    /// Who took it back.
    #[schema(value_type = Option<schema::Person>)]
    pub revoked_by: Option<Person>,
}

/// One use of a grant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UseView {
    /// When.
    pub at: String,
    /// By which connection.
    pub by: String,
}

/// A past request in a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SimilarView {
    /// What people call it.
    pub id: String,
    /// Where it stands.
    #[schema(value_type = schema::RequestState)]
    pub state: RequestState,
    /// The action in one line.
    pub summary: String,
    /// Who asked.
    #[schema(value_type = schema::Person)]
    pub requester: Person,
    /// Who decided last.
    #[schema(value_type = Option<schema::Person>)]
    pub decided_by: Option<Person>,
    /// When it was asked for.
    pub created: String,
}

impl CaseView {
    pub(super) fn of(case: &Case, now_ns: u64, url: Option<&str>) -> CaseView {
        let request = &case.request;
        CaseView {
            id: request.id.clone(),
            state: case.state(now_ns),
            summary: request.action.to_string(),
            requester: request.requester.clone(),
            client_id: request.origin.client_id.clone(),
            address: request.origin.address.clone(),
            listener: request.origin.listener.clone(),
            cluster: request.action.cluster.clone(),
            operation: request.action.operation,
            resources: request.action.items.iter().map(resource).collect(),
            parameters: map(&request.action.parameters),
            reason: request.reason.clone(),
            rules: request.terms.iter().map(rule).collect(),
            effect: request.effect.clone(),
            created: Rfc3339(request.created_ns).to_string(),
            created_ns: request.created_ns,
            expires: Rfc3339(request.expires_ns).to_string(),
            expires_ns: request.expires_ns,
            decisions: case.decisions.iter().map(decision).collect(),
            grant: case.grant.as_ref().map(|grant| granted(case, grant, now_ns)),
            to_be_reviewed: case.is_to_be_reviewed(),
            similar: Vec::new(),
            url: url.map(|url| link(url, &request.id)),
        }
    }
}

/// Past requests for the same operation, of the same person or with one of the same things; the newest first.
pub(super) fn similar<'a>(case: &Case, all: impl Iterator<Item = &'a Case>, now_ns: u64) -> Vec<SimilarView> {
    let request = &case.request;
    let shares = |other: &Case| {
        let named =
            |item: &ActionItem| request.action.items.iter().any(|own| own.kind == item.kind && own.name == item.name);
        other.request.requester.person == request.requester.person || other.request.action.items.iter().any(named)
    };
    let is_past = |other: &&Case| {
        other.request.id != request.id
            && other.request.created_ns <= request.created_ns
            && other.request.action.operation == request.action.operation
            && shares(other)
    };
    let mut past: Vec<&Case> = all.filter(is_past).collect();
    past.sort_by_key(|other| std::cmp::Reverse(other.request.created_ns));
    let view = |other: &Case| SimilarView {
        id: other.request.id.clone(),
        state: other.state(now_ns),
        summary: other.request.action.to_string(),
        requester: other.request.requester.person.clone(),
        decided_by: other.decisions.last().map(|decision| decision.by.person.clone()),
        created: Rfc3339(other.request.created_ns).to_string(),
    };
    past.into_iter().take(SIMILAR_MAX).map(view).collect()
}

/// What others are told of it.
pub(super) fn notice(case: &Case, now_ns: u64, url: Option<&str>, decided: Option<&ReviewDecision>) -> Value {
    let request = CaseView::of(case, now_ns, url);
    let mut data = json!({ "request": {
        "id": request.id, "state": request.state, "summary": request.summary,
        "requester": case.request.requester.person, "client_id": request.client_id, "address": request.address,
        "cluster": request.cluster, "listener": request.listener, "operation": request.operation,
        "resources": request.resources, "reason": request.reason,
        "rules": request.rules.iter().map(|rule| &rule.name).collect::<Vec<_>>(),
        "effect": request.effect, "created": request.created, "expires": request.expires, "url": request.url,
    } });
    if let Some(decided) = decided {
        let by = &decided.by.person;
        // Who hears that an emergency was looked at has to know that it was one.
        if let Some(broke) = case.decisions.iter().find(|earlier| earlier.said == Said::BreakGlass) {
            data["break_glass"] = json!({ "by": broke.by.person, "reason": broke.comment });
        }
        data["decision"] = json!({ "verdict": decided.said, "by": by, "comment": decided.comment });
    }
    if let Some(grant) = &request.grant {
        data["grant"] = json!({ "id": grant.id, "until": grant.until, "uses": grant.uses });
        if let Some(by) = &grant.revoked_by {
            data["grant"]["revoked_by"] = json!(by);
        }
    }
    data
}

/// The page of one request.
pub(super) fn link(url: &str, id: &str) -> String {
    format!("{url}/requests/{id}")
}

/// At most so many bytes of a text, without what would drive a terminal.
pub(super) fn cut(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for c in text.trim().chars().filter(|c| !c.is_control()) {
        if shown.len() + c.len_utf8() > most {
            break;
        }
        shown.push(c);
    }
    shown
}

fn resource(item: &ActionItem) -> ResourceView {
    ResourceView { kind: item.kind, name: item.name.clone(), parameters: map(&item.parameters) }
}

fn rule(terms: &Terms) -> RuleView {
    let approvers = terms.approvers.to_string();
    let &Terms { reason_required, valid_s, uses, .. } = terms;
    RuleView { name: terms.rule.clone(), approvers, reason_required, valid_s, uses }
}

fn decision(decision: &ReviewDecision) -> DecisionView {
    let at = Rfc3339(decision.at_ns).to_string();
    DecisionView { by: decision.by.clone(), said: decision.said, at, comment: decision.comment.clone() }
}

fn granted(case: &Case, grant: &Grant, now_ns: u64) -> GrantView {
    let open = case.request.action.operation.goes_on() && case.open_until(now_ns).is_some();
    GrantView {
        id: grant.id.clone(),
        from: Rfc3339(grant.from_ns).to_string(),
        until: Rfc3339(grant.until_ns).to_string(),
        uses: grant.uses,
        used: uses(case),
        in_force: case.may_be_used(now_ns) || open,
        revoked_by: grant.revoked.as_ref().map(|revoked| revoked.by.clone()),
    }
}

/// How a case's grant was used, in order.
pub(super) fn uses(case: &Case) -> Vec<UseView> {
    let view = |used: &Use| UseView { at: Rfc3339(used.at_ns).to_string(), by: used.by.clone() };
    case.uses.iter().map(view).collect()
}

fn map(parameters: &[(String, String)]) -> Parameters {
    parameters.iter().cloned().collect()
}
