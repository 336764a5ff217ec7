//! The unix socket's door: the API that the `weir` commands use. Whoever can open the file may do all of it.

use std::sync::Arc;

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

use super::api::caller::Caller;
use super::api::login::Logins;
use super::api::{self, Served};
use super::follow;
use super::problem::Problem;
use super::socket::LocalSocket;
use super::webhooks::{self, WebhookDesk};
use crate::policy::Roles;

pub(super) struct Door {
    pub(super) unix: LocalSocket,
    pub(super) served: Served,
    pub(super) logins: Arc<Logins>,
    pub(super) webhooks: WebhookDesk,
}

/// The user on the other end, as the kernel knows it.
#[derive(Clone)]
struct LocalUser(String);

impl Connected<IncomingStream<'_, UnixListener>> for LocalUser {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let user = stream.io().peer_cred().map(|peer| format!("uid {}", peer.uid()));
        LocalUser(user.unwrap_or_else(|_| "unknown".to_owned()))
    }
}

impl Door {
    /// Serves until a stop is asked for.
    pub(super) async fn serve(self) {
        let Door { unix, served, logins, webhooks } = self;
        let mut stopped = served.stopped.clone();
        let (listener, _file) = unix.into_parts();
        let listener = match UnixListener::from_std(listener) {
            Ok(listener) => listener,
            Err(e) => return tracing::error!(error = %e, "the local socket cannot be served"),
        };
        let (resources, _document) = api::resources().split_for_parts();
        let app = resources
            .merge(api::sessions::local_routes())
            .merge(follow::routes())
            .merge(webhooks::routes(webhooks))
            .fallback(|| async { Problem::not_found("nothing is served at this path") })
            .layer(from_fn_with_state(logins, introduce))
            .with_state(served)
            .into_make_service_with_connect_info::<LocalUser>();
        let served = axum::serve(listener, app).with_graceful_shutdown(async move { super::asked(&mut stopped).await });
        if let Err(e) = served.await {
            tracing::error!(error = %e, "the control plane stopped serving its local socket");
        }
    }
}

/// Says who asks.
async fn introduce(
    State(logins): State<Arc<Logins>>,
    ConnectInfo(LocalUser(user)): ConnectInfo<LocalUser>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match logins.on_local_socket(request.headers()).await {
        // Whoever can open the file may do all of it, as whoever they say they are.
        Ok(Some(caller)) => Caller { roles: Roles::ALL, ..caller },
        Ok(None) => Caller::local(user),
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}
