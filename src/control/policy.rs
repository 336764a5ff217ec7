//! The policy, as operators see it: which is in force, and reading it again.

use axum::Router;
use axum::extract::State;
use axum::response::Json;
use axum::routing::post;
use serde::{Deserialize, Serialize};

use super::local::{Served, blocking};
use super::problem::Problem;

/// Reads the policy file again and takes it over; returns when it is in force everywhere.
pub trait PolicyReload: Send + Sync {
    /// The error says why the policy in force stays, a problem a line.
    fn reload(&self) -> Result<PolicyReloaded, String>;
}

/// What came of reading the policy file again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyReloaded {
    /// Whether the file says anything else than before.
    pub changed: bool,
    /// SHA-256 of the file in force, in hexadecimal.
    pub hash: String,
    /// Rules about access.
    pub access_rules: usize,
    /// Rules about approvals.
    pub approval_rules: usize,
    /// Rules about recording.
    pub recording_rules: usize,
    /// Rules about masking.
    pub masking_rules: usize,
    /// Shards that took it over.
    pub shards: usize,
    /// Connections that had to be closed since they passed on too long what the older policy let pass.
    pub connections_closed: usize,
    /// Until it was in force everywhere, ms.
    pub took_ms: u64,
}

pub(super) fn routes() -> Router<Served> {
    Router::new().route("/api/v1/policy/reload", post(reload))
}

async fn reload(State(served): State<Served>) -> Result<Json<PolicyReloaded>, Problem> {
    blocking(move || served.policy.reload().map_err(Problem::unprocessable)).await.map(Json)
}
