//! Access requests, decisions on them, and the grants that follow.
//!
//! Who may decide on which is the registry's to say, by the rules that hold it; here it is only looked whether the caller is
//! somebody, and whether reviewing is what they are here for.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::{Caller, How};
use super::extract::{Body, Named, Params};
use super::looks::Seen;
use super::page::ByAge;
use super::{Served, blocking, page};
use crate::control::approvals::{ApprovalError, CaseView, NewDecision, NewRequest};
use crate::control::problem::Problem;
use crate::policy::{Action, ActionItem, ActionKind, HeldOperation, RequestState, Requester, Role, Said};

pub(super) fn routes() -> OpenApiRouter<Served> {
    OpenApiRouter::new()
        .routes(routes!(list_requests, file_request))
        .routes(routes!(one_request))
        .routes(routes!(decide))
        .routes(routes!(give_reason))
        .routes(routes!(revoke))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RequestsQuery {
    /// Only those in this state.
    #[param(value_type = Option<super::schema::RequestState>)]
    state: Option<RequestState>,
    /// Only the caller's own.
    #[serde(default)]
    mine: bool,
    /// How many; 100 where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Requests, the newest first.
#[derive(Serialize, ToSchema)]
struct Requests {
    requests: Vec<CaseView>,
    /// Where the next page begins; none after the last one.
    next_cursor: Option<String>,
}

/// A reason in words.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What is asked for beforehand.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Filed {
    /// What, such as `delete_topics`.
    #[schema(value_type = String)]
    pub operation: HeldOperation,
    /// With which topics.
    #[serde(default)]
    pub topics: Vec<String>,
    /// With which consumer groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// How, as a request that was held shows it: of each thing named.
    #[serde(default)]
    pub parameters: Vec<(String, String)>,
    /// On which cluster; may be left out where there is one.
    #[serde(default)]
    pub cluster: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Access requests
#[utoipa::path(get, path = "/api/v1/requests", tag = "approvals", params(RequestsQuery),
    responses((status = 200, description = "A page of them, the newest first", body = Requests)))]
async fn list_requests(
    State(served): State<Served>,
    caller: Caller,
    Params(query): Params<RequestsQuery>,
) -> Result<Json<Requests>, Problem> {
    let limit = page::limit(query.limit)?;
    let own = query.mine.then(|| requester(&caller)).transpose()?.map(|requester| requester.person);
    let mut requests = served.approvals.list();
    requests.retain(|case| {
        query.state.is_none_or(|state| case.state == state)
            && own.as_ref().is_none_or(|own| case.requester.person.is_the_same_as(own))
    });
    let (requests, next_cursor) = page::by_age(requests, limit, query.cursor, place)?;
    Ok(Json(Requests { requests, next_cursor }))
}

fn place(case: &CaseView) -> ByAge {
    ByAge(case.created_ns, case.id.clone())
}

/// One request, with all that is known of it; that somebody looks is noted
#[utoipa::path(get, path = "/api/v1/requests/{id}", tag = "approvals",
    params(("id" = String, Path, description = "The request")),
    responses((status = 200, description = "It", body = CaseView)))]
async fn one_request(
    State(served): State<Served>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<CaseView>, Problem> {
    blocking(move || {
        let case = served.approvals.get(&id)?;
        served.looks.note_request(&caller, Seen::Request, &case.id)?;
        Ok(case)
    })
    .await
    .map(Json)
}

/// Ask for approval beforehand
#[utoipa::path(post, path = "/api/v1/requests", tag = "approvals", request_body = Filed,
    responses((status = 201, description = "The request", body = CaseView)))]
async fn file_request(
    State(served): State<Served>,
    caller: Caller,
    Body(filed): Body<Filed>,
) -> Result<(StatusCode, Json<CaseView>), Problem> {
    let requester = requester(&caller)?;
    let Filed { operation, topics, groups, parameters, cluster, reason } = filed;
    if operation == HeldOperation::ChangePolicy {
        let what = "a change of the policy is asked for by making it: PUT /api/v1/policy/text with the new text; held, it \
                    waits as a request and is made by the same PUT once approved";
        return Err(Problem::unprocessable(what));
    }
    let cluster = served.policy.cluster(cluster.as_deref()).map_err(Problem::bad_request)?;
    let item = |kind, name| ActionItem { kind, name, parameters: parameters.clone() };
    let mut items: Vec<ActionItem> = topics.into_iter().map(|name| item(ActionKind::Topic, name)).collect();
    // A group whose positions move is named beside its topics, which say how.
    let beside = operation == HeldOperation::ResetOffsets && !items.is_empty();
    items.extend(groups.into_iter().map(|name| match beside {
        true => ActionItem { kind: ActionKind::Group, name, parameters: Vec::new() },
        false => item(ActionKind::Group, name),
    }));
    if items.is_empty() {
        return Err(Problem::bad_request("name what it is done to: topics, or groups"));
    }
    let action = Action::new(&cluster, operation, items, Vec::new());
    let terms = served.policy.terms(&requester, &action);
    let case = blocking(move || Ok(served.approvals.file(NewRequest { requester, action, terms, reason })?)).await?;
    Ok((StatusCode::CREATED, Json(case)))
}

/// Say yes or no, break the glass, or say that an emergency was looked at
#[utoipa::path(post, path = "/api/v1/requests/{id}/decisions", tag = "approvals",
    params(("id" = String, Path, description = "The request")), request_body = NewDecision,
    responses((status = 200, description = "The request as it stands now", body = CaseView)))]
async fn decide(
    State(served): State<Served>,
    caller: Caller,
    Named(id): Named<String>,
    Body(new): Body<NewDecision>,
) -> Result<Json<CaseView>, Problem> {
    let by = requester(&caller)?;
    if new.said != Said::BreakGlass && !caller.roles.has(Role::Reviewer) {
        return Err(Problem::of(StatusCode::FORBIDDEN, "it takes the role reviewer to decide on requests"));
    }
    blocking(move || Ok(served.approvals.decide(&id, by, new)?)).await.map(Json)
}

/// Say why for a request of one's own that has no reason yet
#[utoipa::path(post, path = "/api/v1/requests/{id}/reason", tag = "approvals",
    params(("id" = String, Path, description = "The request")), request_body = Reason,
    responses((status = 200, description = "The request as it stands now", body = CaseView)))]
async fn give_reason(
    State(served): State<Served>,
    caller: Caller,
    Named(id): Named<String>,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Json<CaseView>, Problem> {
    let by = requester(&caller)?;
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    let reason = reason.ok_or_else(|| Problem::bad_request("say why in `reason`"))?;
    blocking(move || Ok(served.approvals.give_reason(&id, &by, &reason)?)).await.map(Json)
}

/// Take a grant back
#[utoipa::path(post, path = "/api/v1/grants/{id}/revocation", tag = "approvals",
    params(("id" = String, Path, description = "The grant, or its request")), request_body = Reason,
    responses((status = 200, description = "The request as it stands now", body = CaseView)))]
async fn revoke(
    State(served): State<Served>,
    caller: Caller,
    Named(id): Named<String>,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Json<CaseView>, Problem> {
    let by = requester(&caller)?;
    blocking(move || Ok(served.approvals.revoke(&id, &by, reason)?)).await.map(Json)
}

/// Who asks or decides: somebody who has proven who they are. A user of the gateway's machine is nobody in particular.
pub(super) fn requester(caller: &Caller) -> Result<Requester, Problem> {
    match caller.how {
        How::LocalSocket => {
            let what = "who asks, decides or changes the policy has to say who they are: set WEIR_TOKEN to your token";
            Err(Problem::bad_request(what))
        }
        How::WeirToken { .. } | How::Jwt => Ok(Requester { person: caller.person(), groups: caller.groups.clone() }),
    }
}

impl From<ApprovalError> for Problem {
    fn from(error: ApprovalError) -> Self {
        match error {
            ApprovalError::NotFound(_) | ApprovalError::NoGrant(_) => Problem::not_found(error.to_string()),
            ApprovalError::Cannot(_) | ApprovalError::NotYours(_) => {
                Problem::of(StatusCode::CONFLICT, error.to_string())
            }
            ApprovalError::Request(_) => Problem::bad_request(error.to_string()),
            ApprovalError::Random(_) | ApprovalError::Store(_) | ApprovalError::Corrupt { .. } => {
                Problem::internal(error.to_string())
            }
        }
    }
}
