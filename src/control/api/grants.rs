//! Grants: what may be done for a while since others approved it, and what became of it.

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::extract::{Named, Params};
use super::looks::Seen;
use super::page::ByAge;
use super::requests::requester;
use super::{Served, blocking, page};
use crate::control::approvals::{GrantListed, GrantState};
use crate::control::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(list_grants)).routes(routes!(one_grant))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct GrantsQuery {
    /// Only those in this state.
    state: Option<GrantState>,
    /// Only the caller's own.
    #[serde(default)]
    mine: bool,
    /// How many; 100 where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Grants, the latest first.
#[derive(Serialize, ToSchema)]
struct Grants {
    grants: Vec<GrantListed>,
    /// Where the next page begins; none after the last one.
    next_cursor: Option<String>,
}

/// Grants
#[utoipa::path(get, path = "/api/v1/grants", tag = "approvals", params(GrantsQuery),
    responses((status = 200, description = "A page of them, the latest first", body = Grants)))]
async fn list_grants(
    State(served): State<Served>,
    caller: Caller,
    Params(query): Params<GrantsQuery>,
) -> Result<Json<Grants>, Problem> {
    let limit = page::limit(query.limit)?;
    let own = query.mine.then(|| requester(&caller)).transpose()?.map(|requester| requester.person);
    let mut grants = served.approvals.grants();
    grants.retain(|grant| {
        query.state.is_none_or(|state| grant.state == state)
            && own.as_ref().is_none_or(|own| grant.requester.is_the_same_as(own))
    });
    let (grants, next_cursor) = page::by_age(grants, limit, query.cursor, place)?;
    Ok(Json(Grants { grants, next_cursor }))
}

fn place(grant: &GrantListed) -> ByAge {
    ByAge(grant.from_ns, grant.id.clone())
}

/// One grant; that somebody looks at its request is noted
#[utoipa::path(get, path = "/api/v1/grants/{id}", tag = "approvals",
    params(("id" = String, Path, description = "The grant, or its request")),
    responses((status = 200, description = "It", body = GrantListed)))]
async fn one_grant(
    State(served): State<Served>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<GrantListed>, Problem> {
    blocking(move || {
        let grants = served.approvals.grants();
        let grant = grants.into_iter().find(|grant| grant.id == id || grant.request == id);
        let grant = grant.ok_or_else(|| Problem::not_found(format!("no grant has the id {id}")))?;
        served.looks.note_request(&caller, Seen::Request, &grant.request)?;
        Ok(grant)
    })
    .await
    .map(Json)
}
