//! The policy in force: which it is, what it says, what another would be told, and taking over what the file says now.

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::extract::Body;
use super::{Served, blocking, page};
use crate::control::policy::{PolicyChecked, PolicyFile, PolicyInForce, PolicyQuestion, PolicyReloaded};
use crate::control::problem::Problem;
use crate::limits::POLICY_FILES_MAX;

/// Characters of a file's name: what file systems take.
const FILE_NAME_MAX: usize = 255;

pub(super) fn routes() -> OpenApiRouter<Served> {
    OpenApiRouter::new()
        .routes(routes!(policy))
        .routes(routes!(policy_text))
        .routes(routes!(check))
        .routes(routes!(explain))
        .routes(routes!(reload))
}

/// The policy in force.
#[derive(Serialize, ToSchema)]
struct Policy {
    /// SHA-256 in hexadecimal, as recordings name it; none without a policy file.
    hash: Option<String>,
    /// Rules about access.
    access_rules: usize,
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
    let PolicyInForce { hash, access_rules, recording_rules, masking_rules, .. } = in_force(served).await?;
    Ok(Json(Policy { hash, access_rules, recording_rules, masking_rules }))
}

/// What the policy in force says
#[utoipa::path(get, path = "/api/v1/policy/text", tag = "policy",
    responses((status = 200, description = "Its files", body = PolicyText)))]
async fn policy_text(State(served): State<Served>) -> Result<Json<PolicyText>, Problem> {
    let PolicyInForce { hash, warnings, files, .. } = in_force(served).await?;
    Ok(Json(PolicyText { hash, warnings, files }))
}

/// Whoever keeps the policy may be waiting for shards to take one over.
async fn in_force(served: Served) -> Result<PolicyInForce, Problem> {
    blocking(move || Ok(served.policy.in_force())).await
}

/// What is wrong with a policy, if anything; it is not taken over
#[utoipa::path(post, path = "/api/v1/policy/check", tag = "policy", request_body = Candidate,
    responses((status = 200, description = "Everything that is wrong with it, with its place", body = PolicyChecked)))]
async fn check(State(served): State<Served>, Body(asked): Body<Candidate>) -> Result<Json<PolicyChecked>, Problem> {
    let names_fit = asked.files.iter().all(|file| (1..=FILE_NAME_MAX).contains(&file.name.chars().count()));
    if !(1..=POLICY_FILES_MAX).contains(&asked.files.len()) || !names_fit {
        let what =
            format!("a policy has 1 to {POLICY_FILES_MAX} files, each with a name of 1 to {FILE_NAME_MAX} characters");
        return Err(Problem::unprocessable(what));
    }
    blocking(move || Ok(served.policy.check(asked.files))).await.map(Json)
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

/// Read the policy file again and take it over; answered when it is in force everywhere
#[utoipa::path(post, path = "/api/v1/policy/reload", tag = "policy",
    responses((status = 200, description = "What came of it", body = PolicyReloaded),
        (status = 422, description = "It is wrong, and the policy in force stays", body = Problem,
            content_type = "application/problem+json")))]
async fn reload(State(served): State<Served>, caller: Caller) -> Result<Json<PolicyReloaded>, Problem> {
    tracing::info!(by = ?caller.person().to_string(), "the policy file is to be read again");
    blocking(move || served.policy.reload().map_err(Problem::unprocessable)).await.map(Json)
}
