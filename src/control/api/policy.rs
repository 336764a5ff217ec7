//! The policy in force: which it is, what it says, what another would be told and would have done, putting another in its place,
//! and taking over what the file says now.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::extract::Body;
use super::looks::Seen;
use super::requests::requester;
use super::{Served, blocking, page, tags};
use crate::control::approvals::CaseView;
use crate::control::policy::{
    PolicyChange, PolicyChangeError, PolicyChecked, PolicyFile, PolicyInForce, PolicyProblem, PolicyQuestion,
    PolicyReloaded, PolicyTrial, PolicyTrialError,
};
use crate::control::problem::Problem;
use crate::limits::POLICY_FILES_MAX;
use crate::policy::{Action, Answer, Ask, Origin, Requester, Terms};

/// Ways of being denied that a simulation shows.
const WAYS_MAX: u32 = 10_000;

/// Characters of a file's name: what file systems take.
const FILE_NAME_MAX: usize = 255;

pub(super) fn routes() -> OpenApiRouter<Served> {
    OpenApiRouter::new()
        .routes(routes!(policy))
        .routes(routes!(policy_text, put_policy_text))
        .routes(routes!(check))
        .routes(routes!(explain))
        .routes(routes!(simulate))
        .routes(routes!(reload))
}

/// The policy in force.
#[derive(Serialize, ToSchema)]
struct Policy {
    /// SHA-256 in hexadecimal, as recordings name it; none without a policy file.
    hash: Option<String>,
    /// Rules about access.
    access_rules: usize,
    /// Rules about approvals.
    approval_rules: usize,
    /// Rules about recording.
    recording_rules: usize,
    /// Rules about masking.
    masking_rules: usize,
}

/// What the policy in force says.
#[derive(Serialize, ToSchema)]
struct PolicyText {
    /// SHA-256 in hexadecimal, as recordings name it; none without a policy file.
    hash: Option<String>,
    /// What whoever wrote it should know, though it is lawful.
    warnings: Vec<String>,
    /// Its files, in the order in which their lists are joined.
    files: Vec<PolicyFile>,
}

/// Files of a policy.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Candidate {
    /// The files, in the order in which their lists are joined.
    #[schema(min_items = 1, max_items = 1000)]
    files: Vec<PolicyFile>,
}

/// Which policy is in force
#[utoipa::path(get, path = "/api/v1/policy", tag = "policy",
    responses((status = 200, description = "Its hash, and how many rules it has", body = Policy)))]
async fn policy(State(served): State<Served>) -> Result<Json<Policy>, Problem> {
    let PolicyInForce { hash, access_rules, approval_rules, recording_rules, masking_rules, .. } =
        in_force(served).await?;
    Ok(Json(Policy { hash, access_rules, approval_rules, recording_rules, masking_rules }))
}

/// What the policy in force says
#[utoipa::path(get, path = "/api/v1/policy/text", tag = "policy",
    responses((status = 200, description = "Its files", body = PolicyText)))]
async fn policy_text(State(served): State<Served>) -> Result<Json<PolicyText>, Problem> {
    Ok(Json(in_force(served).await?.into()))
}

impl From<PolicyInForce> for PolicyText {
    fn from(PolicyInForce { hash, warnings, files, .. }: PolicyInForce) -> Self {
        PolicyText { hash, warnings, files }
    }
}

/// A policy to be put in the place of the one in force.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Replacement {
    /// All of its files: those that are not among them go.
    #[schema(min_items = 1, max_items = 1000)]
    files: Vec<PolicyFile>,
    /// Why, for those who have to approve it.
    #[serde(default)]
    reason: Option<String>,
}

/// Put another policy in the place of the one in force; answered when it is in force everywhere
#[utoipa::path(put, path = "/api/v1/policy/text", tag = "policy", request_body = Replacement,
    params(("If-Match" = Option<String>, Header,
        description = "The policy that was seen: the ETag of `GET policy/text`, or the hash. Without it nothing is changed (428)")),
    responses((status = 200, description = "It is in force", body = PolicyReloaded),
        (status = 202, description = "Rules hold it: the request, which others decide on. The same again makes it, once approved",
            body = CaseView),
        (status = 409, description = "There is no policy file, or it cannot be written", body = Problem,
            content_type = "application/problem+json"),
        (status = 412, description = "The policy is another than the one that was seen", body = Problem,
            content_type = "application/problem+json"),
        (status = 428, description = "It is not said which policy was seen", body = Problem,
            content_type = "application/problem+json")))]
async fn put_policy_text(
    State(served): State<Served>,
    caller: Caller,
    headers: HeaderMap,
    Body(Replacement { files, reason }): Body<Replacement>,
) -> Result<Response, Problem> {
    let seen = headers.get(header::IF_MATCH).and_then(|seen| seen.to_str().ok()).unwrap_or_default().to_owned();
    if seen.trim().is_empty() || seen.trim() == "*" {
        let what = "say in `If-Match` which policy you have seen: the ETag of GET policy/text, or its hash";
        return Err(Problem::of(StatusCode::PRECONDITION_REQUIRED, what));
    }
    fits(&files)?;
    let by = requester(&caller)?;
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    blocking(move || {
        let seen = |in_force: &PolicyInForce| is_seen(&seen, in_force);
        let ask = |action: Action, terms: Vec<Terms>| {
            served.approvals.ask_once(&asked(&served, &caller, &by, (action, terms), reason.clone()))
        };
        match served.policy.change(PolicyChange { files, by: &by, seen: &seen, ask: &ask }) {
            Ok(reloaded) => Ok(Json(reloaded).into_response()),
            Err(PolicyChangeError::Held(Answer::Pending { request, .. })) => {
                Ok((StatusCode::ACCEPTED, Json(served.approvals.get(&request)?)).into_response())
            }
            Err(error) => Err(error.into()),
        }
    })
    .await
}

/// Whether an `If-Match` names the policy in force, by the tag of its text or by its hash.
fn is_seen(named: &str, in_force: &PolicyInForce) -> bool {
    let text = serde_json::to_vec(&PolicyText::from(in_force.clone())).unwrap_or_default();
    let tag = tags::tag(&text);
    named.split(',').map(str::trim).any(|one| {
        let bare = one.strip_prefix('"').and_then(|one| one.strip_suffix('"')).unwrap_or(one);
        one == tag || in_force.hash.as_deref() == Some(bare)
    })
}

fn asked(
    served: &Served,
    caller: &Caller,
    by: &Requester,
    (action, terms): (Action, Vec<Terms>),
    reason: Option<String>,
) -> Ask {
    let address = caller.address.map(|address| address.to_string());
    Ask {
        requester: by.clone(),
        connection: format!("the API, from {}", address.as_deref().unwrap_or("the gateway's machine")),
        origin: Origin { client_id: None, address, listener: None },
        digest: action.digest(&served.approvals.key(), &[]),
        action,
        terms,
        reason,
        claim: true,
    }
}

impl From<PolicyChangeError> for Problem {
    fn from(error: PolicyChangeError) -> Self {
        let what = error.to_string();
        match error {
            PolicyChangeError::NoFile | PolicyChangeError::Unwritable(_) => Problem::of(StatusCode::CONFLICT, what),
            PolicyChangeError::NotSeen(_) => Problem::of(StatusCode::PRECONDITION_FAILED, what),
            PolicyChangeError::Names(_) | PolicyChangeError::TooLarge | PolicyChangeError::PutBack(_) => {
                Problem::unprocessable(what)
            }
            PolicyChangeError::Wrong(problems) => wrong(what, problems),
            PolicyChangeError::Held(Answer::Denied { request, why }) => {
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                Problem::of(StatusCode::FORBIDDEN, format!("request {request} to change the policy was denied{why}"))
            }
            PolicyChangeError::Held(Answer::Refused(why)) => {
                Problem::of(StatusCode::CONFLICT, format!("{what}: {why}"))
            }
            PolicyChangeError::Held(_) => Problem::of(StatusCode::CONFLICT, format!("{what}; try again")),
            PolicyChangeError::Broken(_) => Problem::internal(what),
        }
    }
}

fn wrong(what: String, problems: Vec<PolicyProblem>) -> Problem {
    let lines = problems.iter().map(|one| format!("{}:{}:{}: {}", one.file, one.line, one.column, one.reason));
    let what = [what].into_iter().chain(lines).collect::<Vec<_>>().join("\n");
    Problem { problems, ..Problem::unprocessable(what) }
}

/// Whoever keeps the policy may be waiting for shards to take one over.
async fn in_force(served: Served) -> Result<PolicyInForce, Problem> {
    blocking(move || Ok(served.policy.in_force())).await
}

/// What is wrong with a policy, if anything; it is not taken over
#[utoipa::path(post, path = "/api/v1/policy/check", tag = "policy", request_body = Candidate,
    responses((status = 200, description = "Everything that is wrong with it, with its place", body = PolicyChecked)))]
async fn check(State(served): State<Served>, Body(asked): Body<Candidate>) -> Result<Json<PolicyChecked>, Problem> {
    fits(&asked.files)?;
    blocking(move || Ok(served.policy.check(asked.files))).await.map(Json)
}

/// Whether there are as many files as a policy may have, with names.
fn fits(files: &[PolicyFile]) -> Result<(), Problem> {
    let names_fit = files.iter().all(|file| (1..=FILE_NAME_MAX).contains(&file.name.chars().count()));
    if (1..=POLICY_FILES_MAX).contains(&files.len()) && names_fit {
        return Ok(());
    }
    let what =
        format!("a policy has 1 to {POLICY_FILES_MAX} files, each with a name of 1 to {FILE_NAME_MAX} characters");
    Err(Problem::unprocessable(what))
}

/// Which rules decide over something
#[utoipa::path(post, path = "/api/v1/policy/explain", tag = "policy", request_body = PolicyQuestion,
    responses((status = 200, description = "As `weir explain --json` says it (docs/json.md)", body = serde_json::Value)))]
async fn explain(
    State(served): State<Served>,
    Body(question): Body<PolicyQuestion>,
) -> Result<Json<serde_json::Value>, Problem> {
    page::moment(question.at_ns)?;
    blocking(move || served.policy.explain(question).map_err(Problem::unprocessable)).await.map(Json)
}

/// What another policy would have done to what was recorded; that somebody looks is noted
#[utoipa::path(post, path = "/api/v1/policy/simulate", tag = "policy", request_body = PolicyTrial,
    responses((status = 200, description = "As `weir simulate --json` says it (docs/json.md)", body = serde_json::Value)))]
async fn simulate(
    State(served): State<Served>,
    caller: Caller,
    Body(trial): Body<PolicyTrial>,
) -> Result<Json<serde_json::Value>, Problem> {
    fits(&trial.files)?;
    page::moment(trial.since_ns)?;
    page::moment(trial.until_ns)?;
    if !trial.limit.is_none_or(|limit| (1..=WAYS_MAX).contains(&limit)) {
        return Err(Problem::unprocessable(format!("`limit` is 1 to {WAYS_MAX}")));
    }
    blocking(move || {
        served.looks.note(&caller, Seen::Simulation, None)?;
        let tried = served.policy.simulate(trial, served.queries.clone());
        tried.map_err(|error| {
            let what = error.to_string();
            match error {
                PolicyTrialError::Wrong(problems) => wrong(what, problems),
                PolicyTrialError::Asked(_) => Problem::unprocessable(what),
                PolicyTrialError::Failed(_) => Problem::internal(what),
            }
        })
    })
    .await
    .map(Json)
}

/// Read the policy file again and take it over; answered when it is in force everywhere
#[utoipa::path(post, path = "/api/v1/policy/reload", tag = "policy",
    responses((status = 200, description = "What came of it", body = PolicyReloaded),
        (status = 422, description = "It is wrong, and the policy in force stays", body = Problem,
            content_type = "application/problem+json")))]
async fn reload(State(served): State<Served>, caller: Caller) -> Result<Json<PolicyReloaded>, Problem> {
    tracing::info!(by = ?caller.person().to_string(), "the policy file is to be read again");
    blocking(move || served.policy.reload().map_err(Problem::unprocessable)).await.map(Json)
}
