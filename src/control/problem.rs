//! Errors of the API as `application/problem+json` (RFC 9457): what went wrong, in words somebody can act on.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::policy::PolicyProblem;

/// An error as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(super) struct Problem {
    /// The HTTP status, repeated as RFC 9457 asks.
    pub(super) status: u16,
    /// The status in words.
    pub(super) title: String,
    /// What happened and what to do.
    pub(super) detail: String,
    /// Of a policy: each thing that is wrong with it, with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) problems: Vec<PolicyProblem>,
}

impl Problem {
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub(super) fn internal(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// One of any other status.
    pub(super) fn of(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        Self { status: status.as_u16(), title, detail: detail.into(), problems: Vec::new() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(self)).into_response()
    }
}
