//! The unix socket's door: the API that the `weir` commands use. Whoever can open the file may do all of it.

use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

use super::api::caller::Caller;
use super::api::{self, Served};
use super::follow;
use super::problem::Problem;
use super::socket::LocalSocket;

pub(super) struct Door {
    pub(super) unix: LocalSocket,
    pub(super) served: Served,
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
        let Door { unix, served } = self;
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
            .fallback(|| async { Problem::not_found("nothing is served at this path") })
            .layer(from_fn(introduce))
            .with_state(served)
            .into_make_service_with_connect_info::<LocalUser>();
        let served = axum::serve(listener, app).with_graceful_shutdown(async move { super::asked(&mut stopped).await });
        if let Err(e) = served.await {
            tracing::error!(error = %e, "the control plane stopped serving its local socket");
        }
    }
}

/// Says who asks.
async fn introduce(ConnectInfo(LocalUser(user)): ConnectInfo<LocalUser>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Caller::local(user));
    next.run(request).await
}
