//! Entity tags (RFC 9110, 8.8.3): an answer that a client has already is not sent again.
//!
//! A tag is made of the answer's bytes, so that it cannot say that something has not changed which has.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue};
use axum::response::Response;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use crate::control::problem::Problem;

/// Bytes of the hash that make a tag: what is compared is two answers to one question.
const TAG_BYTES: usize = 16;

/// Puts a tag on a good answer, and takes its body off where `known` has the tag.
pub(super) async fn tagged(response: Response, known: Option<&HeaderValue>) -> Result<Response, Problem> {
    if response.status() != StatusCode::OK {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| Problem::internal("the answer could not be made"))?.to_bytes();
    let tag = tag(&body);
    let is_known = known.and_then(|known| known.to_str().ok()).is_some_and(|known| names(known, &tag));
    parts.headers.insert(ETAG, HeaderValue::try_from(tag).map_err(|error| Problem::internal(error.to_string()))?);
    if is_known {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(CONTENT_TYPE);
        parts.headers.remove(CONTENT_LENGTH);
        return Ok(Response::from_parts(parts, Body::empty()));
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// The tag of an answer.
pub(super) fn tag(body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    let hash: String = hash.iter().take(TAG_BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hash}\"")
}

/// Whether an `If-None-Match` names a tag (RFC 9110, 13.1.2: weakness does not matter there).
fn names(known: &str, tag: &str) -> bool {
    known.trim() == "*" || known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_among_others_and_weakened_by_a_proxy() {
        let tag = tag(b"{}");
        assert_eq!(tag.len(), 2 + 2 * TAG_BYTES);
        for known in [tag.clone(), format!("\"a\", W/{tag}"), " * ".to_owned()] {
            assert!(names(&known, &tag), "{known}");
        }
        assert!(!names("\"a\", \"b\"", &tag));
    }
}
