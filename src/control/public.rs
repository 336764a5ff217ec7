//! The TCP door: monitoring, which asks for no login and tells nothing of who uses the gateway or for what; and the API,
//! behind its guard.
//!
//! Invariant: where logins would cross a network in the clear there is no API.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use super::api::addressed::Addressed;
use super::api::guard::{self, Guard};
use super::api::health::Health;
use super::api::login::Logins;
use super::api::{self, Served};
use super::problem::Problem;
use super::serve;
use crate::tls::ServerTls;

/// Histograms hold raw samples until they are folded; this bounds how many.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Prometheus' text format (its "Exposition formats" page).
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) struct Door {
    pub(super) tcp: TcpListener,
    pub(super) url: Option<String>,
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) logins: Arc<Logins>,
    pub(super) metrics: PrometheusHandle,
    pub(super) served: Served,
}

impl Door {
    /// Serves until a stop is asked for.
    pub(super) async fn serve(self) {
        let Door { tcp, url, tls, logins, metrics, served } = self;
        let listener = tcp.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(tcp));
        let opened = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (bound, listener) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                return tracing::error!(error = %e, "the control plane's address cannot be served");
            }
        };
        let upkeep = tokio::spawn(keep_up(metrics.clone()));
        let in_the_clear = tls.is_none() && !bound.ip().to_canonical().is_loopback();
        let monitoring = Router::new()
            .route("/metrics", get(render).with_state(metrics))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready).with_state(served.clone()))
            .fallback(move |uri: Uri| async move { nothing_there(&uri, in_the_clear) })
            .method_not_allowed_fallback(|| async {
                Problem::of(StatusCode::METHOD_NOT_ALLOWED, "this path is there for GET")
            });
        let stopped = served.stopped.clone();
        let addressed = Arc::new(Addressed::new(bound, url.as_deref()));
        let app =
            if in_the_clear { monitoring } else { monitoring.merge(api_behind(Guard::new(logins, addressed), served)) };
        serve::serve(listener, tls, app.layer(map_response(guard::dress)), stopped).await;
        upkeep.abort();
    }
}

fn api_behind(guard: Guard, served: Served) -> Router {
    let (resources, _document) = api::resources().split_for_parts();
    resources.with_state(served).layer(from_fn_with_state(Arc::new(guard), guard::stand))
}

fn nothing_there(uri: &Uri, in_the_clear: bool) -> Problem {
    if in_the_clear && uri.path().starts_with("/api/") {
        return Problem::not_found(
            "the API is not served here, since logins would cross the network in the clear; set control.tls, or \
             control.bind to a loopback address",
        );
    }
    Problem::not_found("nothing is served at this path; there are /metrics, /healthz, /readyz and /api/v1")
}

async fn keep_up(metrics: PrometheusHandle) {
    let mut tick = tokio::time::interval(UPKEEP_EVERY);
    loop {
        tick.tick().await;
        metrics.run_upkeep();
    }
}

async fn render(State(metrics): State<PrometheusHandle>) -> Response {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], metrics.render()).into_response()
}

async fn ready(State(served): State<Served>) -> Result<Response, Problem> {
    let health = api::blocking(move || Ok(Health::of(&*served.readiness))).await?;
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(health)).into_response())
}
