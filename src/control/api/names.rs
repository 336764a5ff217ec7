//! Who was seen and which topics were touched, as the recording's indexes know it.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Params;
use super::{Served, blocking, page, schema};
use crate::control::problem::Problem;
use crate::event::{Identity, SessionId};
use crate::recorder::{NameCursor, SeenName};

/// How far back is looked where nobody says, ns: a day.
pub(super) const LOOKED_BACK_NS: u64 = 24 * 3600 * 1_000_000_000;

pub(super) fn routes() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(identities)).routes(routes!(topics))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct NamesQuery {
    /// Only what was seen at this or later, by the hour, ns since the Unix epoch; the last day where it is not said.
    since_ns: Option<u64>,
    /// How many; 100 where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Identities, the most recently seen first. A page may be short and have a next one all the same.
#[derive(Serialize, ToSchema)]
struct Identities {
    identities: Vec<SeenIdentity>,
    /// Where the next page begins; none after the last one.
    next_cursor: Option<String>,
}

/// Somebody who was seen.
#[derive(Serialize, ToSchema)]
struct SeenIdentity {
    /// The subject, by which the index knows them.
    subject: String,
    /// The beginning of the hour in which they were last seen, RFC 3339.
    last_hour: String,
    /// The same in ns since the Unix epoch.
    last_hour_ns: u64,
    /// Who they were in a session of that hour.
    #[schema(value_type = Option<schema::Identity>)]
    identity: Option<Identity>,
    /// That session.
    #[schema(value_type = Option<String>)]
    session: Option<SessionId>,
}

/// Topics, the most recently touched first. A page may be short and have a next one all the same.
#[derive(Serialize, ToSchema)]
struct Topics {
    topics: Vec<SeenTopic>,
    /// Where the next page begins; none after the last one.
    next_cursor: Option<String>,
}

/// A topic that was touched.
#[derive(Serialize, ToSchema)]
struct SeenTopic {
    /// Its name, as clients wrote it.
    topic: String,
    /// The beginning of the hour in which it was last touched, RFC 3339.
    last_hour: String,
    /// The same in ns since the Unix epoch.
    last_hour_ns: u64,
    /// A session that touched it in that hour.
    #[schema(value_type = Option<String>)]
    session: Option<SessionId>,
}

/// Who has been seen
#[utoipa::path(get, path = "/api/v1/identities", tag = "overview", params(NamesQuery),
    responses((status = 200, description = "A page of them", body = Identities)))]
async fn identities(
    State(served): State<Served>,
    Params(query): Params<NamesQuery>,
) -> Result<Json<Identities>, Problem> {
    let (since_ns, from, limit) = asked(query)?;
    let page = blocking(move || Ok(served.queries.identities(since_ns, from.as_ref(), limit)?)).await?;
    let identity = |SeenName { name, last_hour, session }| SeenIdentity {
        subject: name,
        last_hour: last_hour.to_string(),
        last_hour_ns: last_hour.0,
        session: session.as_ref().map(|session| session.id),
        identity: session.map(|session| session.identity),
    };
    let identities = page.names.into_iter().map(identity).collect();
    Ok(Json(Identities { identities, next_cursor: page.next.map(|next| next.to_string()) }))
}

/// Which topics were touched
#[utoipa::path(get, path = "/api/v1/topics", tag = "overview", params(NamesQuery),
    responses((status = 200, description = "A page of them", body = Topics)))]
async fn topics(State(served): State<Served>, Params(query): Params<NamesQuery>) -> Result<Json<Topics>, Problem> {
    let (since_ns, from, limit) = asked(query)?;
    let page = blocking(move || Ok(served.queries.topics(since_ns, from.as_ref(), limit)?)).await?;
    let topic = |SeenName { name, last_hour, session }| SeenTopic {
        topic: name,
        last_hour: last_hour.to_string(),
        last_hour_ns: last_hour.0,
        session: session.map(|session| session.id),
    };
    let topics = page.names.into_iter().map(topic).collect();
    Ok(Json(Topics { topics, next_cursor: page.next.map(|next| next.to_string()) }))
}

fn asked(query: NamesQuery) -> Result<(u64, Option<NameCursor>, usize), Problem> {
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
    let since_ns = page::moment(query.since_ns)?.unwrap_or(now_ns.saturating_sub(LOOKED_BACK_NS));
    Ok((since_ns, page::cursor(query.cursor)?, page::limit(query.limit)?))
}
