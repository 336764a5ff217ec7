//! Looks: that somebody looked at a recording is itself kept, and shown.
//!
//! Invariants:
//! - Over TCP a recording is shown once the look is on the disk, or not at all. Over the local socket it is shown even where
//!   noting fails, which is logged: whoever can open that can read the store's files.
//! - The same caller's looks at the same session the same way within [`LOOK_SPAN`] are one: its time is the first one's.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::{Caller, How};
use super::extract::Params;
use super::{Served, blocking, page, schema};
use crate::control::problem::Problem;
use crate::event::SessionId;
use crate::limits::{LOOK_SPAN, LOOKS_KNOWN_MAX};
use crate::policy::Person;
use crate::recorder::{LookCursor, LookStore, RecorderError, Rfc3339};

/// Notes looks.
pub(in crate::control) struct Looks {
    store: LookStore,
    /// Looks that may still be gone on with.
    recent: Mutex<HashMap<Key, Instant>>,
}

type Key = (String, String, &'static str, Seen, Option<String>);

/// What of a recording was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// A session's head or its events.
    Session,
    /// A session's frames: records among them.
    Frames,
    /// What was being recorded, as it happened.
    Follow,
    /// An access request.
    Request,
    /// What another policy would have done to what was recorded.
    Simulation,
}

/// A look as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    issuer: String,
    subject: String,
    minted_by: Option<Person>,
    way: String,
    address: Option<String>,
    seen: Seen,
    session: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<String>,
}

/// A look at a recording.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Look {
    /// Its place.
    pub id: String,
    /// When, RFC 3339.
    pub at: String,
    /// The same in ns since the Unix epoch.
    pub at_ns: u64,
    /// Who vouches for who looked: `weir`, an identity provider's issuer URL, or `local` for a user of the gateway's machine.
    pub issuer: String,
    /// Who looked.
    pub subject: String,
    /// Who minted the token they came with, where a person did.
    #[schema(value_type = Option<schema::Person>)]
    pub minted_by: Option<Person>,
    /// By which way: `local_socket`, `weir_token`, `jwt`.
    pub way: String,
    /// Where from; none on the local socket.
    pub address: Option<String>,
    /// What was shown.
    pub seen: Seen,
    /// The session; none where it was none in particular.
    pub session: Option<String>,
    /// The access request, where it was one.
    pub request: Option<String>,
}

/// Looks, the latest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LookPage {
    /// The looks.
    pub looks: Vec<Look>,
    /// Where the next page begins; none after the last one.
    pub next_cursor: Option<String>,
}

impl Looks {
    pub(in crate::control) fn new(store: LookStore) -> Looks {
        Looks { store, recent: Mutex::default() }
    }

    /// Notes that `caller` looks, before anything is shown.
    pub(in crate::control) fn note(
        &self,
        caller: &Caller,
        seen: Seen,
        session: Option<SessionId>,
    ) -> Result<(), Problem> {
        self.note_of(caller, seen, session.map(|session| session.to_string()))
    }

    /// The same of an access request.
    pub(in crate::control) fn note_request(&self, caller: &Caller, seen: Seen, request: &str) -> Result<(), Problem> {
        self.note_of(caller, seen, Some(request.to_owned()))
    }

    fn note_of(&self, caller: &Caller, seen: Seen, what: Option<String>) -> Result<(), Problem> {
        let key = (caller.issuer.clone(), caller.subject.clone(), caller.how.name(), seen, what.clone());
        if self.goes_on(&key) {
            return Ok(());
        }
        let kept = Kept {
            issuer: caller.issuer.clone(),
            subject: caller.subject.clone(),
            minted_by: caller.minted_by.clone(),
            way: caller.how.name().to_owned(),
            address: caller.address.map(|address| address.to_string()),
            seen,
            session: what.clone().filter(|_| seen != Seen::Request),
            request: what.filter(|_| seen == Seen::Request),
        };
        let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
        let kept = serde_json::to_vec(&kept).map_err(|error| Problem::internal(error.to_string()))?;
        match self.store.note(now_ns, &kept) {
            Ok(()) => self.remember(key),
            Err(error) if caller.how == How::LocalSocket => {
                tracing::error!(%error, who = ?caller.subject, "that somebody looks at the recording cannot be noted");
            }
            Err(error) => {
                let what = "nothing is shown, since it cannot be noted who looks";
                return Err(Problem::internal(format!("{what}: {error}")));
            }
        }
        Ok(())
    }

    fn goes_on(&self, key: &Key) -> bool {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(key).is_some_and(|noted| noted.elapsed() < LOOK_SPAN)
    }

    fn remember(&self, key: Key) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= LOOKS_KNOWN_MAX {
            recent.retain(|_, noted| noted.elapsed() < LOOK_SPAN);
        }
        if recent.len() < LOOKS_KNOWN_MAX {
            recent.insert(key, Instant::now());
        }
    }
}

/// A page of the looks in `store`, the latest first.
pub fn look_page(store: &LookStore, before: Option<LookCursor>, limit: usize) -> Result<LookPage, RecorderError> {
    let mut rows = store.before(before, limit + 1)?;
    let is_last = rows.len() <= limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| !is_last).map(|(place, _)| place.to_string());
    // A later version may keep looks that this one cannot read; they are passed over.
    let looks = rows.into_iter().filter_map(|(place, kept)| {
        let kept: Kept = serde_json::from_slice(&kept).ok()?;
        Some(Look {
            id: place.to_string(),
            at: Rfc3339(place.0).to_string(),
            at_ns: place.0,
            issuer: kept.issuer,
            subject: kept.subject,
            minted_by: kept.minted_by,
            way: kept.way,
            address: kept.address,
            seen: kept.seen,
            session: kept.session,
            request: kept.request,
        })
    });
    Ok(LookPage { looks: looks.collect(), next_cursor })
}

pub(super) fn routes() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(looks))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct LooksQuery {
    /// How many; 100 where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Who looked at recordings
#[utoipa::path(get, path = "/api/v1/looks", tag = "recording", params(LooksQuery),
    responses((status = 200, description = "A page of looks, the latest first", body = LookPage)))]
async fn looks(State(served): State<Served>, Params(query): Params<LooksQuery>) -> Result<Json<LookPage>, Problem> {
    let (from, limit) = (page::cursor(query.cursor)?, page::limit(query.limit)?);
    blocking(move || Ok(look_page(&served.looks.store, from, limit)?)).await.map(Json)
}
