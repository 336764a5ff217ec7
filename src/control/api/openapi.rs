//! The OpenAPI document, made of what the resources say of themselves and of the table of roles.

use axum::response::Json;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, PathItem, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::roles::{ROWS, Row, Who};
use super::{Served, resources, schema};
use crate::control::problem::Problem;

/// The name under which the document speaks of logins.
const LOGIN: &str = "bearer";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weir",
        description = "The control API of a Weir gateway. docs/api.md says how to log in and what each role may do. \
                       Every failure is a problem (RFC 9457)."
    ),
    components(schemas(Problem, schema::Outcome)),
    tags(
        (name = "overview", description = "What there is and how it is doing"),
        (name = "recording", description = "What was done, and who looked at it"),
        (name = "tokens", description = "Weir tokens"),
        (name = "policy", description = "The policy in force"),
    )
)]
struct Start;

/// A router whose document says what holds for all of it.
pub(super) fn start() -> OpenApiRouter<Served> {
    OpenApiRouter::with_openapi(Start::openapi())
}

pub(super) fn routes() -> OpenApiRouter<Served> {
    OpenApiRouter::new().routes(routes!(openapi))
}

/// This document
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "overview",
    responses((status = 200, description = "The API, as OpenAPI 3.1 describes it", body = serde_json::Value)))]
async fn openapi() -> Json<Document> {
    Json(document())
}

/// The whole document.
pub(in crate::control) fn document() -> Document {
    let (_, mut document) = resources().split_for_parts();
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A Weir token or a JWT")).build();
    if let Some(components) = &mut document.components {
        components.add_security_scheme(LOGIN, SecurityScheme::Http(scheme));
    }
    for row in ROWS {
        let item = document.paths.paths.get_mut(row.path);
        if let Some(operation) = item.and_then(|item| operation_of(item, row.method)) {
            complete(operation, row);
        }
    }
    document
}

fn operation_of<'a>(item: &'a mut PathItem, method: &str) -> Option<&'a mut Operation> {
    match method {
        "GET" => item.get.as_mut(),
        "POST" => item.post.as_mut(),
        "PUT" => item.put.as_mut(),
        "DELETE" => item.delete.as_mut(),
        _ => None,
    }
}

/// Adds who may, and the failures that any operation may have.
fn complete(operation: &mut Operation, row: &Row) {
    let mut failures = vec![("403", "A page of another origin"), ("503", "Too busy to answer in time")];
    if let Who::With(roles) = row.who {
        operation.security = Some(vec![SecurityRequirement::new(LOGIN, Vec::<String>::new())]);
        operation.description = Some(format!("Needs the role {roles}."));
        failures.push(("400", "What was asked cannot be read"));
        failures.push(("401", "Not logged in"));
        failures.push(("403", "None of the caller's roles may do this"));
        failures.push(("429", "Too often; Retry-After says when again"));
    }
    if row.path.contains('{') {
        failures.push(("404", "There is none of that name"));
    }
    if matches!(row.method, "POST" | "PUT") {
        failures.push(("413", "The body is too large"));
        failures.push(("415", "The body is not declared as JSON"));
        failures.push(("422", "The body is JSON and not what is expected"));
    }
    for (status, description) in failures {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new().description(description).content("application/problem+json", content);
        operation.responses.responses.insert(status.to_owned(), RefOr::T(response.build()));
    }
}
