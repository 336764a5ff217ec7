//! The TCP door: monitoring. No login, and nothing here tells who uses the gateway or for what.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Router, serve};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::sync::watch;

use super::problem::Problem;
use super::readiness::{Check, Readiness};

/// Histograms hold raw samples until they are folded; this bounds how many.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Prometheus' text format (its "Exposition formats" page).
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) struct Door {
    pub(super) tcp: TcpListener,
    pub(super) readiness: Arc<dyn Readiness>,
    pub(super) metrics: PrometheusHandle,
    pub(super) stopped: watch::Receiver<bool>,
}

#[derive(Clone)]
struct Served {
    readiness: Arc<dyn Readiness>,
    metrics: PrometheusHandle,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    checks: Vec<Check>,
}

impl Door {
    /// Serves until a stop is asked for.
    pub(super) async fn serve(self) {
        let Door { tcp, readiness, metrics, mut stopped } = self;
        let listener = tcp.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(tcp));
        let listener = match listener {
            Ok(listener) => listener,
            Err(e) => {
                return tracing::error!(error = %e, "the control plane's address cannot be served");
            }
        };
        let upkeep = tokio::spawn(keep_up(metrics.clone()));
        let app = Router::new()
            .route("/metrics", get(render))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .fallback(|| async { Problem::not_found("only /metrics, /healthz and /readyz are served here") })
            .with_state(Served { readiness, metrics });
        let served = serve(listener, app).with_graceful_shutdown(async move { super::asked(&mut stopped).await });
        if let Err(e) = served.await {
            tracing::error!(error = %e, "the control plane stopped serving its address");
        }
        upkeep.abort();
    }
}

async fn keep_up(metrics: PrometheusHandle) {
    let mut tick = tokio::time::interval(UPKEEP_EVERY);
    loop {
        tick.tick().await;
        metrics.run_upkeep();
    }
}

async fn render(State(served): State<Served>) -> Response {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], served.metrics.render()).into_response()
}

async fn ready(State(served): State<Served>) -> Response {
    let checks = tokio::task::spawn_blocking(move || served.readiness.checks()).await;
    let Ok(checks) = checks else {
        return Problem::internal("the readiness checks failed to run").into_response();
    };
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, checks })).into_response()
}
