//! Which role opens which route of the TCP door: one table, and what is not in it is not there.
//!
//! Invariant: a request that no row allows reaches no resource. A test holds the table against what resources there are.

use axum::http::Method;

use crate::policy::{Role, Roles};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Anybody, without a login.
    Anybody,
    /// Whoever has one of these roles.
    With(Roles),
}

/// A route.
pub(super) struct Row {
    pub(super) method: &'static str,
    /// With `{name}` where any one segment stands.
    pub(super) path: &'static str,
    pub(super) who: Who,
}

const EVERY_ROLE: Who = Who::With(Roles::ALL);
const OVERVIEW: Who = Who::With(Roles::of(&[Role::Viewer, Role::Auditor]));
const EVIDENCE: Who = Who::With(Roles::of(&[Role::Auditor]));
const RULES: Who = Who::With(Roles::of(&[Role::Reviewer, Role::Auditor, Role::Admin]));
const ADMIN: Who = Who::With(Roles::of(&[Role::Admin]));

const fn row(method: &'static str, path: &'static str, who: Who) -> Row {
    Row { method, path, who }
}

/// The table.
pub(super) const ROWS: &[Row] = &[
    row("GET", "/api/v1/health", Who::Anybody),
    row("GET", "/api/v1/openapi.json", EVERY_ROLE),
    row("GET", "/api/v1/caller", EVERY_ROLE),
    row("GET", "/api/v1/identities", OVERVIEW),
    row("GET", "/api/v1/topics", OVERVIEW),
    row("GET", "/api/v1/sessions", EVIDENCE),
    row("GET", "/api/v1/sessions/{id}", EVIDENCE),
    row("GET", "/api/v1/sessions/{id}/events", EVIDENCE),
    row("GET", "/api/v1/events", EVIDENCE),
    row("GET", "/api/v1/looks", EVIDENCE),
    row("GET", "/api/v1/tokens", Who::With(Roles::of(&[Role::Auditor, Role::Admin]))),
    row("POST", "/api/v1/tokens", ADMIN),
    row("DELETE", "/api/v1/tokens/{id}", ADMIN),
    row("GET", "/api/v1/requests", RULES),
    row("POST", "/api/v1/requests", EVERY_ROLE),
    row("GET", "/api/v1/requests/{id}", RULES),
    row("POST", "/api/v1/requests/{id}/decisions", EVERY_ROLE),
    row("POST", "/api/v1/requests/{id}/reason", EVERY_ROLE),
    row("GET", "/api/v1/grants", RULES),
    row("GET", "/api/v1/grants/{id}", RULES),
    row("POST", "/api/v1/grants/{id}/revocation", EVERY_ROLE),
    row("GET", "/api/v1/policy", EVERY_ROLE),
    row("GET", "/api/v1/policy/text", RULES),
    row("PUT", "/api/v1/policy/text", ADMIN),
    row("POST", "/api/v1/policy/explain", RULES),
    row("POST", "/api/v1/policy/simulate", EVIDENCE),
    row("POST", "/api/v1/policy/check", ADMIN),
    row("POST", "/api/v1/policy/reload", ADMIN),
];

/// What the table says of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// These may.
    Route(Who),
    /// The path is there for these methods only.
    OtherMethods(Vec<&'static str>),
    /// No such path.
    Nothing,
}

/// Looks a request up. HEAD is what GET is.
pub(super) fn find(method: &Method, path: &str) -> Found {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let rows: Vec<&Row> = ROWS.iter().filter(|row| matches(row.path, path)).collect();
    match rows.iter().find(|row| row.method == method.as_str()) {
        Some(row) => Found::Route(row.who),
        None if rows.is_empty() => Found::Nothing,
        None => Found::OtherMethods(rows.iter().map(|row| row.method).collect()),
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == found => {}
            (Some(wanted), Some(found)) if wanted.starts_with('{') && !found.is_empty() => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;
    use crate::control::api::openapi;

    #[test]
    fn every_route_has_a_row_and_every_row_a_route() {
        let document = serde_json::to_value(openapi::document()).unwrap();
        let mut routes = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                routes.insert((method.to_uppercase(), path.clone()));
            }
        }
        let rows = ROWS.iter().map(|row| (row.method.to_owned(), row.path.to_owned()));
        assert_eq!(rows.collect::<BTreeSet<_>>(), routes);
        assert_eq!(ROWS.len(), routes.len(), "a route twice");
    }

    #[test]
    fn each_role_has_its_routes_and_no_other() {
        let of = |role: Role| {
            let with = ROWS.iter().filter(|row| matches!(row.who, Who::With(roles) if roles.has(role)));
            with.map(|row| format!("{} {}", row.method, row.path.strip_prefix("/api/v1/").unwrap())).collect::<Vec<_>>()
        };
        let everyone = ["GET openapi.json", "GET caller"];
        let asking = [
            "POST requests",
            "POST requests/{id}/decisions",
            "POST requests/{id}/reason",
            "POST grants/{id}/revocation",
        ];
        let requests = [
            &["GET requests", asking[0], "GET requests/{id}"][..],
            &asking[1..3],
            &["GET grants", "GET grants/{id}", asking[3]],
        ]
        .concat();
        assert_eq!(
            of(Role::Viewer),
            [&everyone[..], &["GET identities", "GET topics"], &asking[..], &["GET policy"]].concat()
        );
        assert_eq!(
            of(Role::Reviewer),
            [&everyone[..], &requests[..], &["GET policy", "GET policy/text", "POST policy/explain"]].concat()
        );
        let evidence = [
            "GET identities",
            "GET topics",
            "GET sessions",
            "GET sessions/{id}",
            "GET sessions/{id}/events",
            "GET events",
            "GET looks",
            "GET tokens",
        ];
        let rules = ["GET policy", "GET policy/text", "POST policy/explain"];
        let simulate = ["POST policy/simulate"];
        assert_eq!(
            of(Role::Auditor),
            [&everyone[..], &evidence[..], &requests[..], &rules[..], &simulate[..]].concat()
        );
        let tokens = ["GET tokens", "POST tokens", "DELETE tokens/{id}"];
        let policy = [
            "GET policy",
            "GET policy/text",
            "PUT policy/text",
            "POST policy/explain",
            "POST policy/check",
            "POST policy/reload",
        ];
        assert_eq!(of(Role::Admin), [&everyone[..], &tokens[..], &requests[..], &policy[..]].concat());
        let open: Vec<&str> = ROWS.iter().filter(|row| row.who == Who::Anybody).map(|row| row.path).collect();
        assert_eq!(open, ["/api/v1/health"]);
    }

    #[test]
    fn the_documentation_has_this_table() {
        let cell = |row: &Row, role| match row.who {
            Who::With(roles) if !roles.has(role) => " |",
            _ => " yes |",
        };
        let line = |row: &Row| {
            let login = if row.who == Who::Anybody { " (no login)" } else { "" };
            let cells: String =
                [Role::Viewer, Role::Reviewer, Role::Auditor, Role::Admin].map(|role| cell(row, role)).concat();
            format!("| `{} {}`{login} |{cells}\n", row.method, row.path.trim_start_matches("/api/v1/"))
        };
        let table: String = ROWS.iter().map(line).collect();
        let head = "| route | viewer | reviewer | auditor | admin |\n|---|---|---|---|---|\n";
        let documented = include_str!("../../../docs/api.md");
        assert!(documented.contains(&format!("{head}{table}\n")), "docs/api.md has another table than\n{head}{table}");
    }

    #[test]
    fn what_is_not_in_the_table_is_not_there() {
        for path in
            ["/api/v1", "/api/v1/", "/api/v1/sessions/", "/api/v1/sessions//events", "/api/v1/sessions/a/frames"]
        {
            assert_eq!(find(&Method::GET, path), Found::Nothing, "{path}");
        }
        assert_eq!(find(&Method::PUT, "/api/v1/tokens"), Found::OtherMethods(vec!["GET", "POST"]));
        assert_eq!(find(&Method::HEAD, "/api/v1/health"), Found::Route(Who::Anybody));
    }
}
