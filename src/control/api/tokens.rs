//! Weir tokens: listed, created and revoked. What is created is shown once.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::extract::{Body, Named, Params};
use super::page::ByAge;
use super::{Served, blocking, page};
use crate::control::problem::Problem;
use crate::control::tokens::{CreatedToken, NewToken, TokenError, TokenView};

pub(super) fn routes() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(list_tokens, create_token)).routes(routes!(revoke_token))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TokensQuery {
    /// How many; all of them where it is not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Tokens, the oldest first, without what proves them.
#[derive(Serialize, ToSchema)]
struct Tokens {
    tokens: Vec<TokenView>,
    /// Where the next page begins; none after the last one.
    next_cursor: Option<String>,
}

/// Tokens
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", params(TokensQuery),
    responses((status = 200, description = "A page of them", body = Tokens)))]
async fn list_tokens(
    State(served): State<Served>,
    Params(query): Params<TokensQuery>,
) -> Result<Json<Tokens>, Problem> {
    let limit = query.limit.map(|limit| page::limit(Some(limit))).transpose()?.unwrap_or(usize::MAX);
    let mut tokens = served.tokens.list();
    if let Some(from) = page::cursor::<ByAge>(query.cursor)? {
        tokens.retain(|token| place(token) > from);
    }
    let next_cursor = tokens.get(limit - 1).filter(|_| tokens.len() > limit).map(|token| place(token).to_string());
    tokens.truncate(limit);
    Ok(Json(Tokens { tokens, next_cursor }))
}

fn place(token: &TokenView) -> ByAge {
    ByAge(token.created_ns, token.id.clone())
}

/// Create a token; the answer shows it this once
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, description = "The token", body = CreatedToken)))]
async fn create_token(
    State(served): State<Served>,
    caller: Caller,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let created = blocking(move || Ok(served.tokens.create(new, &caller.minter())?)).await?;
    tracing::info!(
        id = %created.view.id, subject = ?created.view.subject, minted_by = ?created.view.minted_by, "token created"
    );
    Ok((StatusCode::CREATED, Json(created)))
}

/// Take a token back: logins with it end. Doing so again changes nothing
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "The token")),
    responses((status = 200, description = "It is revoked", body = TokenView)))]
async fn revoke_token(
    State(served): State<Served>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<TokenView>, Problem> {
    let revoked = blocking(move || Ok(served.tokens.revoke(&id)?)).await?;
    tracing::info!(id = %revoked.id, subject = ?revoked.subject, by = ?caller.person().to_string(), "token revoked");
    Ok(Json(revoked))
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Request(_) => Problem::bad_request(error.to_string()),
            TokenError::NotFound { .. } => Problem::not_found(error.to_string()),
            TokenError::Random(_) | TokenError::Store(_) | TokenError::Corrupt { .. } => {
                Problem::internal(error.to_string())
            }
        }
    }
}
