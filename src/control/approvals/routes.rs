//! Requests, decisions and grants for people: the same on every door.

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::Json;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::registry::NewDecision;
use super::{ApprovalError, CaseView};
use crate::control::local::{Served, blocking};
use crate::control::problem::Problem;
use crate::control::tokens::now_ns;
use crate::policy::{Person, Requester};

pub(in crate::control) fn routes() -> Router<Served> {
    Router::new()
        .route("/api/v1/requests", get(list))
        .route("/api/v1/requests/{id}", get(one))
        .route("/api/v1/requests/{id}/decisions", post(decide))
        .route("/api/v1/requests/{id}/reason", post(give_reason))
        .route("/api/v1/grants/{id}/revocation", post(revoke))
}

/// A reason in words.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The words.
    #[serde(default)]
    pub reason: Option<String>,
}

async fn list(State(served): State<Served>) -> Json<serde_json::Value> {
    Json(json!({ "requests": served.approvals.list() }))
}

async fn one(State(served): State<Served>, Path(id): Path<String>) -> Result<Json<CaseView>, Problem> {
    Ok(Json(served.approvals.get(&id)?))
}

async fn decide(
    State(served): State<Served>,
    Path(id): Path<String>,
    headers: HeaderMap,
    new: Result<Json<NewDecision>, JsonRejection>,
) -> Result<Json<CaseView>, Problem> {
    let Json(new) = new.map_err(|e| Problem::bad_request(e.body_text()))?;
    let by = requester(&served, &headers)?;
    blocking(move || Ok(served.approvals.decide(&id, by, new)?)).await.map(Json)
}

async fn give_reason(
    State(served): State<Served>,
    Path(id): Path<String>,
    headers: HeaderMap,
    reason: Result<Json<Reason>, JsonRejection>,
) -> Result<Json<CaseView>, Problem> {
    let Json(Reason { reason }) = reason.map_err(|e| Problem::bad_request(e.body_text()))?;
    let by = requester(&served, &headers)?;
    blocking(move || Ok(served.approvals.give_reason(&id, &by, reason.as_deref().unwrap_or_default())?)).await.map(Json)
}

async fn revoke(
    State(served): State<Served>,
    Path(id): Path<String>,
    headers: HeaderMap,
    reason: Result<Json<Reason>, JsonRejection>,
) -> Result<Json<CaseView>, Problem> {
    let Json(Reason { reason }) = reason.map_err(|e| Problem::bad_request(e.body_text()))?;
    let by = requester(&served, &headers)?;
    blocking(move || Ok(served.approvals.revoke(&id, &by, reason)?)).await.map(Json)
}

/// Who asks, by their token.
fn requester(served: &Served, headers: &HeaderMap) -> Result<Requester, Problem> {
    let presented = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = presented.and_then(|value| value.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| Problem::bad_request("who decides has to say who they are: set WEIR_TOKEN"))?;
    let tokens = served.tokens.table();
    let tokens = tokens.load();
    let (login, record) =
        tokens.verify_bearer(token, now_ns()).map_err(|refusal| Problem::bad_request(refusal.for_client()))?;
    let minted_by = record.minter.clone().map(Box::new);
    let person = Person { minted_by, ..Person::new(&login.principal.issuer, &login.principal.subject) };
    Ok(Requester { person, groups: login.principal.groups })
}

impl From<ApprovalError> for Problem {
    fn from(error: ApprovalError) -> Self {
        match error {
            ApprovalError::NotFound(_) | ApprovalError::NoGrant(_) => Problem::not_found(error.to_string()),
            ApprovalError::Cannot(_) | ApprovalError::NotYours(_) => Problem::unprocessable(error.to_string()),
            ApprovalError::Request(_) => Problem::bad_request(error.to_string()),
            ApprovalError::Random(_) | ApprovalError::Store(_) | ApprovalError::Corrupt { .. } => {
                Problem::internal(error.to_string())
            }
        }
    }
}
