//! The TCP door: monitoring, which asks for no login and tells nothing of who uses the gateway or for what; the API, behind
//! its guard; and the page on which people decide, which is nothing without the API.
//!
//! Invariant: where logins would cross a network in the clear there is neither API nor page.

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
use super::page;
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
            .method_not_allowed_fallback(only_to_read);
        let stopped = served.stopped.clone();
        let addressed = Arc::new(Addressed::new(bound, url.as_deref()));
        let somebody_may = !logins.options.roles.is_empty();
        let mut app = monitoring;
        if !in_the_clear {
            app = app.merge(api_behind(Guard::new(logins, addressed.clone()), served));
        }
        if !in_the_clear && somebody_may {
            app = app.merge(page::routes(addressed));
        }
        serve::serve(listener, tls, app.layer(map_response(guard::dress)), stopped).await;
        upkeep.abort();
    }
}

/// What is there for GET is not there for anything else.
pub(super) async fn only_to_read() -> Problem {
    Problem::of(StatusCode::METHOD_NOT_ALLOWED, "this path is there for GET")
}

fn api_behind(guard: Guard, served: Served) -> Router {
    let (resources, _document) = api::resources().split_for_parts();
    resources.with_state(served).layer(from_fn_with_state(Arc::new(guard), guard::stand))
}

fn nothing_there(uri: &Uri, in_the_clear: bool) -> Problem {
    let is_page = uri.path().starts_with("/requests/");
    if in_the_clear && (is_page || uri.path().starts_with("/api/")) {
        return Problem::not_found(
            "neither the API nor its page is served here, since logins would cross the network in the clear; set control.tls, \
             or control.bind to a loopback address",
        );
    }
    if is_page {
        let what = "requests have a page here, /requests/ID, once somebody may use the API; set control.roles";
        return Problem::not_found(what);
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
