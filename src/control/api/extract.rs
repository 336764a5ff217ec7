//! What resources take out of a request; what cannot be taken is told as a problem.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::control::problem::Problem;

/// The parameters in the query.
pub(super) struct Params<T>(pub(super) T);

/// What a path names.
pub(super) struct Named<T>(pub(super) T);

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(params) = Query::try_from_uri(&parts.uri).map_err(|e| Problem::bad_request(e.body_text()))?;
        Ok(Params(params))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named = Path::from_request_parts(parts, state).await;
        let Path(named) = named.map_err(|e| Problem::bad_request(e.body_text()))?;
        Ok(Named(named))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(body) =
            Json::from_request(request, state).await.map_err(|e| Problem::of(e.status(), e.body_text()))?;
        Ok(Body(body))
    }
}
