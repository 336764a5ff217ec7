//! Grants as a list shows them: each with what it is for, whose it is, and how much of it is left.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::view::{UseView, uses};
use crate::control::api::schema;
use crate::policy::{Case, HeldOperation, Person};
use crate::recorder::Rfc3339;

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// It may be used, or a time that a use has opened goes on.
    Open,
    /// Every use was claimed.
    UsedUp,
    /// Its time is over, with uses left.
    RunOut,
    /// Somebody took it back.
    Revoked,
}

/// A grant, whatever became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GrantListed {
    /// What people call it.
    pub id: String,
    /// The request that it followed from.
    pub request: String,
    /// Where it stands, at the time of asking.
    pub state: GrantState,
    /// Whose it is.
    #[schema(value_type = schema::Person)]
    pub requester: Person,
    /// The action in one line.
    pub summary: String,
    /// What.
    #[schema(value_type = String)]
    pub operation: HeldOperation,
    /// On which cluster; empty where it is on none.
    pub cluster: String,
    /// The rules that hold the action.
    pub rules: Vec<String>,
    /// Nobody but the requester said yes.
    pub break_glass: bool,
    /// From when, RFC 3339 in UTC.
    pub from: String,
    /// The same in ns since the Unix epoch.
    pub from_ns: u64,
    /// Until when.
    pub until: String,
    /// The same in ns since the Unix epoch.
    pub until_ns: u64,
    /// How often it may be used.
    pub uses: u32,
    /// How often it may be used yet.
    pub uses_left: u32,
    /// How it was used, in order.
    pub used: Vec<UseView>,
    /// Who took it back.
    #[schema(value_type = Option<schema::Person>)]
    pub revoked_by: Option<Person>,
    /// When.
    pub revoked: Option<String>,
    /// Why.
    pub revoked_because: Option<String>,
}

impl GrantListed {
    /// The grant of a case; none where there is none.
    pub(super) fn of(case: &Case, now_ns: u64) -> Option<GrantListed> {
        let (grant, request) = (case.grant.as_ref()?, &case.request);
        let is_open = request.action.operation.goes_on() && case.open_until(now_ns).is_some();
        let left = grant.uses.saturating_sub(u32::try_from(case.uses.len()).unwrap_or(u32::MAX));
        let state = match &grant.revoked {
            Some(_) => GrantState::Revoked,
            None if case.may_be_used(now_ns) || is_open => GrantState::Open,
            None if left == 0 => GrantState::UsedUp,
            None => GrantState::RunOut,
        };
        let revoked = grant.revoked.as_ref();
        Some(GrantListed {
            id: grant.id.clone(),
            request: request.id.clone(),
            state,
            requester: request.requester.person.clone(),
            summary: request.action.to_string(),
            operation: request.action.operation,
            cluster: request.action.cluster.clone(),
            rules: request.terms.iter().map(|terms| terms.rule.clone()).collect(),
            break_glass: case.broke_the_glass(),
            from: Rfc3339(grant.from_ns).to_string(),
            from_ns: grant.from_ns,
            until: Rfc3339(grant.until_ns).to_string(),
            until_ns: grant.until_ns,
            uses: grant.uses,
            uses_left: left,
            used: uses(case),
            revoked_by: revoked.map(|revoked| revoked.by.clone()),
            revoked: revoked.map(|revoked| Rfc3339(revoked.at_ns).to_string()),
            revoked_because: revoked.and_then(|revoked| revoked.reason.clone()),
        })
    }
}
