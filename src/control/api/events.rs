//! Events over all sessions: what was done, by whom, with what, in which time.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::extract::Params;
use super::looks::Seen;
use super::names::LOOKED_BACK_NS;
use super::{Served, blocking, page, schema};
use crate::control::problem::Problem;
use crate::event::{Outcome, SessionId};
use crate::recorder::{EventFilter, EventPage, FollowedEvent, SessionFilter};

pub(super) fn routes() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(events))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// Only of this subject.
    identity: Option<String>,
    /// Only exchanges that touch this topic.
    topic: Option<String>,
    /// Only from this address, or a network: `10.1.0.0/16`.
    address: Option<String>,
    /// Only exchanges of this Kafka API, by its key: 0 is Produce.
    api_key: Option<i16>,
    /// Only exchanges that ended so.
    #[param(value_type = Option<schema::Outcome>)]
    outcome: Option<Outcome>,
    /// Only what failed, was refused, has no known outcome or was not captured.
    #[serde(default)]
    errors_only: bool,
    /// Only what happened at this or later, ns since the Unix epoch; the last day where it is not said.
    since_ns: Option<u64>,
    /// Only what happened at this or before, ns since the Unix epoch.
    until_ns: Option<u64>,
    /// How many; 100 where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Events, session by session. A page may be short, or empty, and have a next one all the same.
#[derive(Serialize, ToSchema)]
struct EventsOfSessions {
    #[schema(value_type = Vec<schema::EventOfSession>)]
    events: Vec<FollowedEvent>,
    /// Where the next page begins; none after the last one.
    next_cursor: Option<String>,
}

/// What was done, in all sessions; that somebody looks at each of them is noted
#[utoipa::path(get, path = "/api/v1/events", tag = "recording", params(EventsQuery),
    responses((status = 200, body = EventsOfSessions,
        description = "A page of events: of the sessions that were active last, each session's in order")))]
async fn events(
    State(served): State<Served>,
    caller: Caller,
    Params(query): Params<EventsQuery>,
) -> Result<Json<EventsOfSessions>, Problem> {
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
    let (from, limit) = (page::cursor(query.cursor)?, page::limit(query.limit)?);
    let filter = EventFilter {
        sessions: SessionFilter {
            address: query.address.map(|address| address.parse()).transpose().map_err(Problem::bad_request)?,
            identity: query.identity,
            topic: query.topic,
            since_ns: Some(page::moment(query.since_ns)?.unwrap_or(now_ns.saturating_sub(LOOKED_BACK_NS))),
            until_ns: page::moment(query.until_ns)?,
            limit,
        },
        api_key: query.api_key,
        outcome: query.outcome,
        errors_only: query.errors_only,
    };
    let page = blocking(move || {
        let page = served.queries.event_page(&filter, from, limit)?;
        let shown: BTreeSet<SessionId> = page.events.iter().map(|event| event.session.id).collect();
        shown.into_iter().try_for_each(|session| served.looks.note(&caller, Seen::Session, Some(session)))?;
        Ok(page)
    });
    let EventPage { events, next } = page.await?;
    Ok(Json(EventsOfSessions { events, next_cursor: next.map(|next| next.to_string()) }))
}
