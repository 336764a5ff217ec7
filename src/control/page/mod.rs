//! The page that a link leads to: one HTML, one style sheet and one program for a browser, the same for every request.
//!
//! They stand outside `/api/v1`, on the TCP door only, and are what any other client of the API is: whoever opens the page logs
//! in on it, and what they see and say goes over the API with that login.
//!
//! Invariants:
//! - What is served here is constant: it tells nobody whether there is a request, and asking for it changes nothing.
//! - Nothing but these three files runs or shows on the page, no other page may frame it, and it talks to its own origin
//!   only.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::api::addressed::Addressed;
use super::problem::Problem;
use super::public::only_to_read;

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");

/// What browsers are told of each of the files. The form is sent by the program, never by the browser itself: it would
/// put what was typed into an address.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The page, where it is asked for by a name of ours.
pub(super) fn routes(addressed: Arc<Addressed>) -> Router {
    Router::new()
        .route("/requests/{id}", get(page))
        .route("/requests/page.css", get(|| async { file("text/css; charset=utf-8", CSS) }))
        .route("/requests/page.js", get(|| async { file("text/javascript; charset=utf-8", JS) }))
        .method_not_allowed_fallback(only_to_read)
        .layer(from_fn_with_state(addressed, stand))
}

/// A browser comes here from other pages, such as a chat: where from does not matter, since nothing is done.
async fn stand(State(addressed): State<Arc<Addressed>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match addressed.is_for_us(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}

async fn page(uri: Uri) -> Result<Response, Problem> {
    let id = uri.path().rsplit('/').next().unwrap_or_default();
    if !has_the_form_of_an_id(id) {
        return Err(Problem::not_found("no request has such an id; `weir requests` shows those there are"));
    }
    Ok(file("text/html; charset=utf-8", HTML))
}

/// As the registry makes them: `r-` and eight letters and digits of base32.
fn has_the_form_of_an_id(text: &str) -> bool {
    let lawful = |byte: u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
    text.strip_prefix("r-").is_some_and(|id| id.len() == 8 && id.bytes().all(lawful))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let mut response = (StatusCode::OK, [(header::CONTENT_TYPE, kind)], text).into_response();
    let headers = HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value)));
    response.headers_mut().extend(headers);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::short_id;

    #[test]
    fn every_id_that_is_made_has_its_form_and_nothing_else_does() {
        for random in [[0; 5], [255; 5], [1, 2, 3, 4, 5]] {
            assert!(has_the_form_of_an_id(&format!("r-{}", short_id(random))));
        }
        for other in ["", "r-", "r-aaaaaaa", "r-aaaaaaaaa", "g-aaaaaaaa", "r-aaaaaaa1", "r-AAAAAAAA", "r-aaaa%61aaa"] {
            assert!(!has_the_form_of_an_id(other), "{other}");
        }
    }
}
