//! The resources of `/api/v1`, and what stands before them on the TCP door.
//!
//! A file a resource, each mounted on both doors: on the local socket for the `weir` commands, whoever can open it may do
//! all; on TCP behind `guard`, which asks who calls (`login`), how often (`rates`) and whether they may (`roles`).
//! `openapi` makes the document out of what the resources say of themselves.
//!
//! Invariants:
//! - A request reaches a resource only with a [`Caller`], on TCP only by a row of `roles::ROWS`.
//! - Every failure is a [`Problem`](super::problem::Problem); no answer, log line or error holds what proves a login.

pub(super) mod addressed;
pub(super) mod caller;
mod events;
mod extract;
mod grants;
pub(super) mod guard;
pub(super) mod health;
pub(super) mod login;
pub(super) mod looks;
mod names;
pub(super) mod openapi;
mod page;
pub(super) mod policy;
mod rates;
pub(super) mod requests;
mod roles;
pub(super) mod schema;
pub(super) mod sessions;
mod tags;
mod tokens;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use utoipa_axum::router::OpenApiRouter;

use self::looks::Looks;
use super::PolicyReload;
use super::approvals::Registry;
use super::problem::Problem;
use super::readiness::Readiness;
use super::tokens::TokenRegistry;
use crate::recorder::{Queries, RecorderError};

/// What the answers come from.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) queries: Queries,
    pub(super) tokens: Arc<TokenRegistry>,
    pub(super) approvals: Arc<Registry>,
    pub(super) policy: Arc<dyn PolicyReload>,
    pub(super) readiness: Arc<dyn Readiness>,
    pub(super) looks: Arc<Looks>,
    /// Says when the gateway stops, to answers that would not end by themselves.
    pub(super) stopped: watch::Receiver<bool>,
}

/// Every resource that both doors have.
pub(super) fn resources() -> OpenApiRouter<Served> {
    openapi::start()
        .merge(health::routes())
        .merge(sessions::routes())
        .merge(events::routes())
        .merge(names::routes())
        .merge(tokens::routes())
        .merge(requests::routes())
        .merge(grants::routes())
        .merge(policy::routes())
        .merge(looks::routes())
        .merge(openapi::routes())
}

/// Runs what reads or writes the store where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Problem::internal("the gateway failed to answer this; its log says more")))
}

impl From<RecorderError> for Problem {
    fn from(error: RecorderError) -> Self {
        Problem::internal(error.to_string())
    }
}
