//! Whose groups: as they were given, or those of the tokens that a subject logs in with.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Question;
use crate::cli::args::ExplainArgs;
use crate::cli::error::CliError;
use crate::cli::source::Tokens;
use crate::config::{Auth, Config};
use crate::control::{TokenState, TokenView};
use crate::policy::Scopes;

/// One way to log in.
#[derive(Debug, Serialize)]
pub(super) struct Login {
    pub(super) groups: Vec<String>,
    /// What its tokens narrow it to; none: nothing is narrowed, or not known to be.
    pub(super) scopes: Option<Scopes>,
    groups_from: GroupsFrom,
    /// The tokens that have just these groups.
    tokens: Vec<String>,
}

/// How the groups are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum GroupsFrom {
    /// The command line says so.
    Given,
    /// By active tokens.
    Tokens,
    /// The subject has no active token: none are assumed.
    NoToken,
    /// The listener takes no tokens of Weir's: none are assumed.
    NoTokensTaken,
    /// Nobody is named: none are assumed.
    Nobody,
}

impl Login {
    fn without(groups_from: GroupsFrom) -> Login {
        Login { groups: Vec::new(), scopes: None, groups_from, tokens: Vec::new() }
    }

    /// The groups, and how they are known.
    pub(super) fn words(&self, who: &str, question: &Question<'_>) -> String {
        let listener = &question.listener.name;
        let groups = if self.groups.is_empty() { "none".to_owned() } else { self.groups.join(", ") };
        let outside = "; --groups says what an identity provider or a certificate states";
        match self.groups_from {
            GroupsFrom::Given => format!("{groups} (as given)"),
            GroupsFrom::Tokens => {
                let plural = if self.tokens.len() == 1 { "" } else { "s" };
                let only = self.scopes.as_ref().map(|scopes| format!("; only {scopes}")).unwrap_or_default();
                format!("{groups} (by token{plural} {}){only}", self.tokens.join(", "))
            }
            GroupsFrom::NoToken => format!("none: {who} has no active token of Weir's{outside}"),
            GroupsFrom::NoTokensTaken if question.listener.auth == [Auth::Anonymous] => {
                format!("none: listener {listener} lets everybody in as anonymous")
            }
            GroupsFrom::NoTokensTaken => format!("none: listener {listener} takes no tokens of Weir's{outside}"),
            GroupsFrom::Nobody => "none, since nobody is named; --as or --groups says who it is".to_owned(),
        }
    }
}

/// The ways in which whoever is asked about may log in: one for each set of groups and scopes, since no login has
/// those of two tokens together.
pub(super) fn logins(question: &Question<'_>, args: &ExplainArgs) -> Result<Vec<Login>, CliError> {
    if let Some(given) = &args.groups {
        let mut groups: Vec<String> = given.iter().filter(|group| !group.is_empty()).cloned().collect();
        groups.sort();
        groups.dedup();
        return Ok(vec![Login { groups, ..Login::without(GroupsFrom::Given) }]);
    }
    let Some(subject) = &args.subject else { return Ok(vec![Login::without(GroupsFrom::Nobody)]) };
    if !question.listener.auth.iter().any(|auth| matches!(auth, Auth::WeirToken | Auth::Scram)) {
        return Ok(vec![Login::without(GroupsFrom::NoTokensTaken)]);
    }
    let mut alike: BTreeMap<(Vec<String>, String), Login> = BTreeMap::new();
    for TokenView { id, groups, scopes, .. } in active_tokens(question, subject)? {
        let narrowed = scopes.as_ref().map(ToString::to_string).unwrap_or_default();
        let login = alike.entry((groups.clone(), narrowed)).or_insert_with(|| Login {
            groups,
            scopes,
            ..Login::without(GroupsFrom::Tokens)
        });
        login.tokens.push(id);
    }
    if alike.is_empty() {
        return Ok(vec![Login::without(GroupsFrom::NoToken)]);
    }
    Ok(alike.into_values().collect())
}

/// All tokens, from the gateway or its store.
pub(super) fn tokens_there_are(config: &Config) -> Result<Vec<TokenView>, CliError> {
    // Looking must not make a store; where there is none, no token was ever made.
    if !config.store.path.exists() {
        return Ok(Vec::new());
    }
    Tokens::find(config).and_then(|tokens| tokens.list())
}

fn active_tokens(question: &Question<'_>, subject: &str) -> Result<Vec<TokenView>, CliError> {
    let listed = (question.tokens)().map_err(|error| {
        CliError::Unsuitable(format!("{error}\nthe groups of {subject} are not known; say them by --groups"))
    })?;
    let of_subject = listed.into_iter().filter(|token| token.subject == subject && token.state == TokenState::Active);
    Ok(of_subject.collect())
}
