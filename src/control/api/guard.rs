//! What stands before the resources on the TCP door, in this order: was the request meant for us, by somebody who may log
//! in, who has logged in, not too often, by a route that is theirs, in a form that no foreign page can send.
//!
//! Invariants:
//! - Nothing but `Authorization` logs in: there is no cookie that a browser would add by itself. What changes something
//!   comes as JSON, which a page of another origin cannot send without being asked first, and is never told yes.
//! - What was meant for somebody else, or comes from somebody else's page, goes no further (`addressed`).
//! - A resource gets a body that is there and within its limit; whoever sends slowly holds up nobody.
//! - What a request may read it reads for a bounded time as one of a bounded number, though its client has gone.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Extensions, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::addressed::Addressed;
use super::caller::Caller;
use super::login::{LoginError, Logins};
use super::rates::{Rates, counted};
use super::roles::{self, Found, Who};
use super::tags;
use crate::control::problem::Problem;
use crate::limits::{
    API_BODY_BYTES_MAX, API_CALLER_BURST, API_CALLER_PER_SECOND, API_COUNTED_MAX, API_FAILURE_EVERY,
    API_FAILURES_BURST, API_LOGIN_REMEMBERED, API_REQUEST_WAIT, API_SIDE_BY_SIDE, API_STALL,
};
use crate::policy::Roles;

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(in crate::control) struct Peer(pub(in crate::control) SocketAddr);

/// Decides over requests.
pub(in crate::control) struct Guard {
    logins: Arc<Logins>,
    addressed: Arc<Addressed>,
    callers: Rates<(String, String)>,
    failures: Rates<IpAddr>,
    /// Digests of what has logged in before: who shares an address with somebody who guesses is not locked out.
    let_in: Mutex<HashMap<[u8; 32], Instant>>,
    work: Arc<Semaphore>,
}

impl Guard {
    pub(in crate::control) fn new(logins: Arc<Logins>, addressed: Arc<Addressed>) -> Guard {
        Guard {
            logins,
            addressed,
            callers: Rates::new(API_CALLER_BURST, Duration::from_secs(1) / API_CALLER_PER_SECOND),
            failures: Rates::new(API_FAILURES_BURST, API_FAILURE_EVERY),
            let_in: Mutex::default(),
            work: Arc::new(Semaphore::new(API_SIDE_BY_SIDE)),
        }
    }

    /// Who asks, once it is clear that they may; none where nobody needs to be somebody.
    async fn admit(&self, request: &Parts) -> Result<Option<Caller>, Response> {
        let (method, path, headers) = (&request.method, request.uri.path(), &request.headers);
        let meant = self.addressed.is_for_us(request).and_then(|()| self.addressed.is_from_us(request));
        meant.map_err(IntoResponse::into_response)?;
        let who = match roles::find(method, path) {
            Found::Route(who) => who,
            Found::OtherMethods(methods) => return Err(wrong_method(&methods)),
            Found::Nothing => return Err(Problem::not_found("nothing is served at this path").into_response()),
        };
        let Who::With(allowed) = who else { return Ok(None) };
        let caller = self.log_in(request).await?;
        let key = (caller.issuer.clone(), caller.subject.clone());
        self.callers.take(&key).map_err(|wait| too_often("requests", wait))?;
        if !caller.roles.meet(allowed) {
            return Err(no_role(&caller, allowed).into_response());
        }
        is_json(method, headers).map_err(IntoResponse::into_response)?;
        Ok(Some(caller))
    }

    async fn log_in(&self, request: &Parts) -> Result<Caller, Response> {
        let peer = request.extensions.get::<Peer>();
        let Some(Peer(peer)) = peer else {
            return Err(Problem::internal("it is not known where this request comes from").into_response());
        };
        let from = counted(peer.ip());
        let Some(presented) = request.headers.get(header::AUTHORIZATION) else {
            return Err(not_logged_in(&LoginError::Missing));
        };
        let digest: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
        if !self.was_let_in(&digest) {
            self.failures.look(&from).map_err(|wait| too_often("failed logins", wait))?;
        }
        let checked = match presented.to_str() {
            Ok(presented) => self.logins.check(presented, peer.ip()).await,
            Err(_) => Err(LoginError::Form),
        };
        checked.inspect(|_| self.remember(digest)).map_err(|error| {
            metrics::counter!("weir_api_failed_logins_total").increment(1);
            // What is too often is refused above before it is looked at, the next time.
            let _counted = self.failures.take(&from);
            tracing::warn!(address = %peer.ip(), reason = %error.for_operator(), "a login to the API failed");
            not_logged_in(&error)
        })
    }
}

impl Guard {
    fn was_let_in(&self, digest: &[u8; 32]) -> bool {
        let let_in = self.let_in.lock().unwrap_or_else(PoisonError::into_inner);
        let_in.get(digest).is_some_and(|at| at.elapsed() < API_LOGIN_REMEMBERED)
    }

    fn remember(&self, digest: [u8; 32]) {
        let mut let_in = self.let_in.lock().unwrap_or_else(PoisonError::into_inner);
        if let_in.len() >= API_COUNTED_MAX {
            let_in.retain(|_, at| at.elapsed() < API_LOGIN_REMEMBERED);
        }
        if let_in.len() < API_COUNTED_MAX || let_in.contains_key(&digest) {
            let_in.insert(digest, Instant::now());
        }
    }
}

/// The middleware.
pub(in crate::control) async fn stand(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let answer = match guard.admit(&parts).await {
        Ok(caller) => {
            parts.extensions.extend(caller.map(known).unwrap_or_default());
            guarded(&guard, parts, body, next).await.unwrap_or_else(IntoResponse::into_response)
        }
        Err(refused) => refused,
    };
    metrics::counter!("weir_api_requests_total", "status" => answer.status().as_str().to_owned()).increment(1);
    answer
}

/// What tells resources who asks.
fn known(caller: Caller) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(caller);
    extensions
}

async fn guarded(guard: &Guard, parts: Parts, body: Body, next: Next) -> Result<Response, Problem> {
    let (method, tags) = (parts.method.clone(), parts.headers.get(header::IF_NONE_MATCH).cloned());
    let request = Request::from_parts(parts, Body::from(gathered(body).await?));
    let busy =
        || Problem::of(StatusCode::SERVICE_UNAVAILABLE, "the gateway is busy with other requests; try again later");
    let answered = timeout(API_REQUEST_WAIT, async {
        let permit = guard.work.clone().acquire_owned().await;
        // A task of its own keeps its place among the others until its work is done, though nobody waits for it any more.
        tokio::spawn(async move {
            let _place = permit;
            next.run(request).await
        })
        .await
    });
    let response = match answered.await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => return Err(Problem::internal("the gateway failed to answer this; its log says more")),
        Err(_) => return Err(busy()),
    };
    if method == Method::GET { tags::tagged(response, tags.as_ref()).await } else { Ok(response) }
}

/// A body, whole.
async fn gathered(body: Body) -> Result<Bytes, Problem> {
    let too_large = || {
        let what = format!("the body has more than {API_BODY_BYTES_MAX} bytes");
        Problem::of(StatusCode::PAYLOAD_TOO_LARGE, what)
    };
    match timeout(API_STALL, Limited::new(body, API_BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::bad_request("the body ended before it was whole")),
        Err(_) => Err(Problem::of(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

/// Adds what browsers need to be told, whatever the answer is.
pub(in crate::control) async fn dress(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The page says for itself what it needs; nothing else is to be shown as one.
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(nothing);
    let keep = if headers.contains_key(header::ETAG) { "private, no-cache" } else { "no-store" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    response
}

/// What changes something says that it is JSON. A DELETE has no body, and no page can send one without asking first.
fn is_json(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        return Ok(());
    }
    let kind = text(headers, header::CONTENT_TYPE).and_then(|kind| kind.split(';').next()).map(str::trim);
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(Problem::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the request needs `Content-Type: application/json`"))
}

/// A header that is text.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn not_logged_in(error: &LoginError) -> Response {
    let how = match error {
        LoginError::Missing => "Bearer realm=\"weir\"",
        _ => "Bearer realm=\"weir\", error=\"invalid_token\"",
    };
    let problem = Problem::of(StatusCode::UNAUTHORIZED, error.to_string());
    ([(header::WWW_AUTHENTICATE, how)], problem).into_response()
}

fn too_often(what: &str, wait: Duration) -> Response {
    let seconds = wait.as_secs() + 1;
    let problem = Problem::of(StatusCode::TOO_MANY_REQUESTS, format!("too many {what}; try again in {seconds} s"));
    ([(header::RETRY_AFTER, seconds.to_string())], problem).into_response()
}

fn wrong_method(methods: &[&'static str]) -> Response {
    let allowed = methods.join(", ");
    let problem = Problem::of(StatusCode::METHOD_NOT_ALLOWED, format!("this path is there for {allowed}"));
    ([(header::ALLOW, allowed)], problem).into_response()
}

fn no_role(caller: &Caller, allowed: Roles) -> Problem {
    let groups = if caller.groups.is_empty() { "no groups".to_owned() } else { caller.groups.join(", ") };
    let has = if caller.roles == Roles::NONE { "no role".to_owned() } else { caller.roles.to_string() };
    let what = format!(
        "this needs the role {allowed}; {} has {has}, by {groups} (control.roles says which groups have which; a token or \
         JWT that is narrowed by scopes has none)",
        caller.subject
    );
    Problem::of(StatusCode::FORBIDDEN, what)
}
