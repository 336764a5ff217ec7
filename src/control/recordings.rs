//! Recorded sessions and their exchanges, as the local socket answers for them.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Json;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::local::{Served, blocking};
use super::problem::Problem;
use crate::event::SessionId;
use crate::limits::FRAMES_PAGE_BYTES;
use crate::recorder::{EventCursor, FrameCursor, FramePage, SessionFilter};

/// Exchanges in one answer: a page of a megabyte or so.
pub const EXCHANGES_PAGE: usize = 1000;

/// Sessions in one answer.
const SESSIONS_MAX: usize = 100_000;

pub(super) fn routes() -> Router<Served> {
    Router::new()
        .route("/api/v1/sessions", get(sessions))
        .route("/api/v1/sessions/{id}", get(session))
        .route("/api/v1/sessions/{id}/exchanges", get(exchanges))
        .route("/api/v1/sessions/{id}/frames", get(frames))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionsQuery {
    identity: Option<String>,
    topic: Option<String>,
    /// The client's address, or a network: `10.1.0.0/16`.
    address: Option<String>,
    since_ns: Option<u64>,
    until_ns: Option<u64>,
    limit: Option<usize>,
}

async fn sessions(
    State(served): State<Served>,
    query: Result<Query<SessionsQuery>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(query) = query.map_err(|e| Problem::bad_request(e.body_text()))?;
    let address = query.address.map(|address| address.parse()).transpose().map_err(Problem::bad_request)?;
    let filter = SessionFilter {
        address,
        identity: query.identity,
        topic: query.topic,
        since_ns: query.since_ns,
        until_ns: query.until_ns,
        limit: query.limit.unwrap_or(SessionFilter::default().limit).min(SESSIONS_MAX),
    };
    let sessions = blocking(move || Ok(served.queries.sessions(&filter)?)).await?;
    Ok(Json(json!({ "sessions": sessions })))
}

async fn session(State(served): State<Served>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = session_id(&id)?;
    let session = blocking(move || Ok(served.queries.session(id)?)).await?;
    session.map(|session| Json(json!(session))).ok_or_else(|| no_session(id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExchangesQuery {
    /// The id of the last event that the caller has.
    after: Option<String>,
    limit: Option<usize>,
}

async fn exchanges(
    State(served): State<Served>,
    Path(id): Path<String>,
    query: Result<Query<ExchangesQuery>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(query) = query.map_err(|e| Problem::bad_request(e.body_text()))?;
    let id = session_id(&id)?;
    let after = query.after.map(|after| after.parse::<EventCursor>()).transpose().map_err(Problem::bad_request)?;
    let limit = query.limit.unwrap_or(EXCHANGES_PAGE).min(EXCHANGES_PAGE);
    let exchanges = blocking(move || match served.queries.session(id)? {
        Some(_) => Ok(served.queries.joined_exchanges(id, after.unwrap_or_default(), limit)?),
        None => Err(no_session(id)),
    });
    Ok(Json(json!({ "exchanges": exchanges.await? })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FramesQuery {
    /// Where the page before said to go on.
    after: Option<String>,
    /// Frames that begin at this or later, ns since the Unix epoch; instead of `after`.
    since_ns: Option<u64>,
    limit_bytes: Option<usize>,
}

async fn frames(
    State(served): State<Served>,
    Path(id): Path<String>,
    query: Result<Query<FramesQuery>, QueryRejection>,
) -> Result<Json<FramePage>, Problem> {
    let Query(query) = query.map_err(|e| Problem::bad_request(e.body_text()))?;
    let id = session_id(&id)?;
    let from = match (query.after, query.since_ns) {
        (Some(after), _) => after.parse::<FrameCursor>().map_err(Problem::bad_request)?,
        (None, since_ns) => since_ns.map_or_else(FrameCursor::default, FrameCursor::at),
    };
    let limit = query.limit_bytes.unwrap_or(FRAMES_PAGE_BYTES).min(FRAMES_PAGE_BYTES);
    let page = blocking(move || match served.queries.session(id)? {
        Some(_) => Ok(served.queries.frames(id, from, limit)?),
        None => Err(no_session(id)),
    });
    Ok(Json(page.await?))
}

fn session_id(text: &str) -> Result<SessionId, Problem> {
    text.parse().map_err(|e: crate::event::session_id::SessionIdError| Problem::bad_request(e.to_string()))
}

fn no_session(id: SessionId) -> Problem {
    Problem::not_found(format!("no session has the id {id}; `weir sessions` shows those there are"))
}
