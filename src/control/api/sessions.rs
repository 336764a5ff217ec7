//! Recorded sessions and their events; on the local socket their frames, too.

use axum::Router;
use axum::extract::State;
use axum::response::Json;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::{Caller, How};
use super::extract::{Named, Params};
use super::looks::Seen;
use super::{Served, blocking, page, schema};
use crate::control::problem::Problem;
use crate::event::SessionId;
use crate::limits::{API_PAGE_MAX, FRAMES_PAGE_BYTES};
use crate::recorder::{EventCursor, FrameCursor, FramePage, RecordedEvent, SessionFilter, SessionPage, SessionSummary};

/// Events in one answer: a page of a megabyte or so.
pub const EXCHANGES_PAGE: usize = API_PAGE_MAX;

/// Sessions in one answer of the local socket: `weir sessions` asks once.
const LOCAL_SESSIONS_MAX: usize = 100_000;

pub(super) fn routes() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(sessions)).routes(routes!(session)).routes(routes!(events))
}

/// What only the local socket has: frames are what passed on the wire, for `weir show --records` and `weir export`.
pub(in crate::control) fn local_routes() -> Router<Served> {
    Router::new().route("/api/v1/sessions/{id}/frames", get(frames))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SessionsQuery {
    /// Only of this subject.
    identity: Option<String>,
    /// Only those that touched this topic.
    topic: Option<String>,
    /// Only from this address, or a network: `10.1.0.0/16`.
    address: Option<String>,
    /// Only those active at this or later, ns since the Unix epoch.
    since_ns: Option<u64>,
    /// Only those that started at this or before, ns since the Unix epoch.
    until_ns: Option<u64>,
    /// How many; 100 where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Sessions, the most recently active first.
#[derive(Serialize, ToSchema)]
struct Sessions {
    #[schema(value_type = Vec<schema::Session>)]
    sessions: Vec<SessionSummary>,
    /// Where the next page begins; none after the last one.
    next_cursor: Option<String>,
}

/// Recorded sessions
#[utoipa::path(get, path = "/api/v1/sessions", tag = "recording", params(SessionsQuery),
    responses((status = 200, description = "A page of them", body = Sessions)))]
async fn sessions(
    State(served): State<Served>,
    caller: Caller,
    Params(query): Params<SessionsQuery>,
) -> Result<Json<Sessions>, Problem> {
    let most = if caller.how == How::LocalSocket { LOCAL_SESSIONS_MAX } else { API_PAGE_MAX };
    let filter = SessionFilter {
        address: query.address.map(|address| address.parse()).transpose().map_err(Problem::bad_request)?,
        identity: query.identity,
        topic: query.topic,
        since_ns: page::moment(query.since_ns)?,
        until_ns: page::moment(query.until_ns)?,
        limit: page::limit_up_to(query.limit, most)?,
    };
    let from = page::cursor(query.cursor)?;
    let page = blocking(move || Ok(served.queries.session_page(&filter, from)?)).await?;
    let SessionPage { sessions, next } = page;
    Ok(Json(Sessions { sessions, next_cursor: next.map(|next| next.to_string()) }))
}

/// One session
#[utoipa::path(get, path = "/api/v1/sessions/{id}", tag = "recording",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "The session", body = schema::Session)))]
async fn session(
    State(served): State<Served>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<SessionSummary>, Problem> {
    let id = session_id(&id)?;
    let session = blocking(move || found(&served, &caller, id, Seen::Session));
    session.await.map(Json)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// The `next_cursor` of the page before, or the id of an event to go on behind.
    cursor: Option<String>,
    /// How many; 100 where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Events of a session in order; an exchange stands where its request was noted.
#[derive(Serialize, ToSchema)]
struct Events {
    #[schema(value_type = Vec<schema::Event>)]
    events: Vec<RecordedEvent>,
    /// Where the next page begins; none where there are no more so far.
    next_cursor: Option<String>,
}

/// What was done in a session
#[utoipa::path(get, path = "/api/v1/sessions/{id}/events", tag = "recording",
    params(("id" = String, Path, description = "The session"), EventsQuery),
    responses((status = 200, description = "A page of its events", body = Events)))]
async fn events(
    State(served): State<Served>,
    caller: Caller,
    Named(id): Named<String>,
    Params(query): Params<EventsQuery>,
) -> Result<Json<Events>, Problem> {
    let id = session_id(&id)?;
    let after: Option<EventCursor> = page::cursor(query.cursor)?;
    let limit = page::limit(query.limit)?;
    let events = blocking(move || {
        found(&served, &caller, id, Seen::Session)?;
        Ok(served.queries.joined_exchanges(id, after.unwrap_or_default(), limit)?)
    });
    let events = events.await?;
    let next_cursor = events.last().filter(|_| events.len() == limit).map(|event| event.id.to_string());
    Ok(Json(Events { events, next_cursor }))
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
    caller: Caller,
    Named(id): Named<String>,
    Params(query): Params<FramesQuery>,
) -> Result<Json<FramePage>, Problem> {
    let id = session_id(&id)?;
    let from = match (query.after, query.since_ns) {
        (Some(after), _) => after.parse::<FrameCursor>().map_err(Problem::bad_request)?,
        (None, since_ns) => since_ns.map_or_else(FrameCursor::default, FrameCursor::at),
    };
    let limit = query.limit_bytes.unwrap_or(FRAMES_PAGE_BYTES).min(FRAMES_PAGE_BYTES);
    let page = blocking(move || {
        found(&served, &caller, id, Seen::Frames)?;
        Ok(served.queries.frames(id, from, limit)?)
    });
    page.await.map(Json)
}

/// The session, once it is noted that `caller` looks at it.
fn found(served: &Served, caller: &Caller, id: SessionId, seen: Seen) -> Result<SessionSummary, Problem> {
    let missing = || Problem::not_found(format!("no session has the id {id}; `weir sessions` shows those there are"));
    let session = served.queries.session(id)?.ok_or_else(missing)?;
    served.looks.note(caller, seen, Some(id))?;
    Ok(session)
}

fn session_id(text: &str) -> Result<SessionId, Problem> {
    text.parse().map_err(|e: crate::event::session_id::SessionIdError| Problem::bad_request(e.to_string()))
}
