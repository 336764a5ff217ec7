//! The unix socket's door: the API that the `weir` commands use. Whoever can open the file may do all of it.

use std::sync::Arc;

use axum::Router;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{delete, get};
use axum::serve::IncomingStream;
use serde_json::json;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::approvals;
use super::follow;
use super::policy::{self, PolicyReload};
use super::problem::Problem;
use super::recordings;
use super::socket::LocalSocket;
use super::tokens::{NewToken, TokenError, TokenRegistry};
use crate::recorder::{Queries, RecorderError};

pub(super) struct Door {
    pub(super) unix: LocalSocket,
    pub(super) queries: Queries,
    pub(super) tokens: Arc<TokenRegistry>,
    pub(super) approvals: Arc<approvals::Registry>,
    pub(super) policy: Arc<dyn PolicyReload>,
    pub(super) stopped: watch::Receiver<bool>,
}

/// What the answers come from.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) queries: Queries,
    pub(super) tokens: Arc<TokenRegistry>,
    pub(super) approvals: Arc<approvals::Registry>,
    pub(super) policy: Arc<dyn PolicyReload>,
    /// Says when the gateway stops, to answers that would not end by themselves.
    pub(super) stopped: watch::Receiver<bool>,
}

/// The user on the other end, as the kernel knows it.
#[derive(Clone)]
struct Caller(String);

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let user = stream.io().peer_cred().map(|peer| format!("uid {}", peer.uid()));
        Caller(user.unwrap_or_else(|_| "unknown".to_owned()))
    }
}

impl Door {
    /// Serves until a stop is asked for.
    pub(super) async fn serve(self) {
        let Door { unix, queries, tokens, approvals, policy, mut stopped } = self;
        let (listener, _file) = unix.into_parts();
        let listener = match UnixListener::from_std(listener) {
            Ok(listener) => listener,
            Err(e) => return tracing::error!(error = %e, "the local socket cannot be served"),
        };
        let app = Router::new()
            .route("/api/v1/tokens", get(list_tokens).post(create_token))
            .route("/api/v1/tokens/{id}", delete(revoke_token))
            .merge(recordings::routes())
            .merge(approvals::routes())
            .merge(follow::routes())
            .merge(policy::routes())
            .fallback(|| async { Problem::not_found("nothing is served at this path") })
            .with_state(Served { queries, tokens, approvals, policy, stopped: stopped.clone() })
            .into_make_service_with_connect_info::<Caller>();
        let served = axum::serve(listener, app).with_graceful_shutdown(async move { super::asked(&mut stopped).await });
        if let Err(e) = served.await {
            tracing::error!(error = %e, "the control plane stopped serving its local socket");
        }
    }
}

/// Runs what reads or writes the store where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Problem::internal("the gateway failed to answer this; its log says more")))
}

async fn list_tokens(State(served): State<Served>) -> Json<serde_json::Value> {
    Json(json!({ "tokens": served.tokens.list() }))
}

async fn create_token(
    State(served): State<Served>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    new: Result<Json<NewToken>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(new) = new.map_err(|e| Problem::bad_request(e.body_text()))?;
    let created = blocking(move || Ok(served.tokens.create(new, &caller.0)?)).await?;
    tracing::info!(
        id = %created.view.id, subject = ?created.view.subject, minted_by = %created.view.minted_by, "token created"
    );
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

async fn revoke_token(State(served): State<Served>, Path(id): Path<String>) -> Result<Response, Problem> {
    let revoked = blocking(move || Ok(served.tokens.revoke(&id)?)).await?;
    tracing::info!(id = %revoked.id, subject = ?revoked.subject, "token revoked");
    Ok(Json(revoked).into_response())
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Request(_) => Problem::bad_request(error.to_string()),
            TokenError::NotFound { .. } => Problem::not_found(error.to_string()),
            TokenError::Random(_) | TokenError::Store(_) | TokenError::Corrupt { .. } => {
                Problem::internal(error.to_string())
            }
        }
    }
}

impl From<RecorderError> for Problem {
    fn from(error: RecorderError) -> Self {
        Problem::internal(error.to_string())
    }
}
