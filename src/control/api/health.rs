//! How the gateway is doing, and who the caller is.

use axum::extract::State;
use axum::response::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::{Served, blocking, schema};
use crate::control::problem::Problem;
use crate::control::readiness::{Check, Readiness};
use crate::policy::{Person, Role};

pub(super) fn routes() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(who))
}

/// Whether the gateway can serve.
#[derive(Serialize, ToSchema)]
pub(in crate::control) struct Health {
    /// Whether every check holds.
    pub(in crate::control) ready: bool,
    checks: Vec<Check>,
}

impl Health {
    /// Asks every check; for a thread where that may block.
    pub(in crate::control) fn of(readiness: &dyn Readiness) -> Health {
        let checks = readiness.checks();
        Health { ready: checks.iter().all(|check| check.ok), checks }
    }
}

/// Whether the gateway can serve
#[utoipa::path(get, path = "/api/v1/health", tag = "overview",
    responses((status = 200, description = "Every check, whether it holds or not", body = Health)))]
async fn health(State(served): State<Served>) -> Result<Json<Health>, Problem> {
    blocking(move || Ok(Health::of(&*served.readiness))).await.map(Json)
}

/// Who somebody is to the API.
#[derive(Serialize, ToSchema)]
struct Who {
    /// Who vouches: `weir`, or an identity provider's issuer URL.
    issuer: String,
    /// The person or service.
    subject: String,
    /// Their groups, sorted.
    groups: Vec<String>,
    /// What they may use the API for: `viewer`, `reviewer`, `auditor`, `admin`.
    roles: Vec<&'static str>,
    /// How they proved who they are.
    how: &'static str,
    /// Who minted the token they came with, where a person did.
    #[schema(value_type = Option<schema::Person>)]
    minted_by: Option<Person>,
}

/// Who the caller is, and what they may do
#[utoipa::path(get, path = "/api/v1/caller", tag = "overview",
    responses((status = 200, description = "The caller", body = Who)))]
async fn who(caller: Caller) -> Json<Who> {
    Json(Who {
        roles: caller.roles.iter().map(Role::name).collect(),
        how: caller.how.name(),
        issuer: caller.issuer,
        subject: caller.subject,
        groups: caller.groups,
        minted_by: caller.minted_by,
    })
}
