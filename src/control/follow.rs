//! `GET /api/v1/follow`: what is being recorded, an object a line, for as long as somebody reads.
//!
//! Invariants:
//! - A reader that does not read costs one answer of the follower and a few chunks, and holds up nobody: it is told later
//!   what it was not told now, for as long as the recording has it.
//! - The last line says that the gateway stops, if that is why there are no more.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_lite::stream::poll_fn;
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::api::caller::Caller;
use super::api::looks::Seen;
use super::api::{Served, blocking};
use super::problem::Problem;
use crate::limits::FOLLOW_TICK;
use crate::recorder::{FollowFilter, FollowedEvent, Follower};

/// The `event` of the line that is the last one when the gateway stops.
pub const FOLLOW_ENDED: &str = "gateway_stopped";

/// Chunks on their way to a reader.
const CHUNKS_AHEAD: usize = 2;

pub(super) fn routes() -> Router<Served> {
    Router::new().route("/api/v1/follow", get(follow))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FollowQuery {
    identity: Option<String>,
    client_id: Option<String>,
    address: Option<IpAddr>,
    topic: Option<String>,
    #[serde(default)]
    errors_only: bool,
}

async fn follow(
    State(served): State<Served>,
    caller: Caller,
    query: Result<Query<FollowQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|e| Problem::bad_request(e.body_text()))?;
    let FollowQuery { identity, client_id, address, topic, errors_only } = query;
    let filter = FollowFilter { identity, client_id, address, topic, errors_only };
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
    let follower = Follower::new(&served.queries, filter, now_ns);
    let looks = served.looks.clone();
    blocking(move || looks.note(&caller, Seen::Follow, None)).await?;
    let (chunks, mut reader) = mpsc::channel(CHUNKS_AHEAD);
    tokio::spawn(feed(follower, chunks, served.stopped));
    let stream = poll_fn(move |cx| reader.poll_recv(cx).map(|chunk| chunk.map(Ok::<Bytes, Infallible>)));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream)).into_response())
}

/// Passes on what comes until nobody reads, the store fails or the gateway stops.
async fn feed(mut follower: Follower, chunks: mpsc::Sender<Bytes>, mut stopped: watch::Receiver<bool>) {
    loop {
        // What was recorded up to the stop is told before the end is.
        let stopping = *stopped.borrow();
        let polled = blocking(move || {
            let found = follower.poll()?;
            Ok((follower, found))
        });
        let found = match polled.await {
            Ok((same, found)) => {
                follower = same;
                found
            }
            Err(problem) => {
                tracing::error!(error = %problem.detail, "a follower of the recording is left alone");
                return;
            }
        };
        let idle = found.is_empty();
        if !idle && chunks.send(lines(&found)).await.is_err() {
            return;
        }
        if stopping && idle {
            let last = Bytes::from(format!("{{\"event\":\"{FOLLOW_ENDED}\"}}\n"));
            let _reader_gone = chunks.send(last).await.is_err();
            return;
        }
        if idle {
            tokio::select! {
                () = sleep(FOLLOW_TICK) => {}
                () = super::asked(&mut stopped) => {}
                () = chunks.closed() => return,
            }
        }
    }
}

fn lines(found: &[FollowedEvent]) -> Bytes {
    let mut lines = Vec::with_capacity(1024 * found.len());
    for event in found {
        if serde_json::to_writer(&mut lines, event).is_ok() {
            lines.push(b'\n');
        }
    }
    lines.into()
}
