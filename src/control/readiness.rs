//! Whether the gateway can serve: asked by load balancers through `/readyz`, answered by whoever knows.

/// One thing that must hold before clients are sent here.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Check {
    /// What is checked: `listeners`, `upstream`, `store`.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was found; what to do where it does not hold.
    pub detail: String,
}

/// Answers for the gateway's parts; may block for a moment, is asked on a thread where that is allowed.
pub trait Readiness: Send + Sync + 'static {
    /// Every check there is, the ones that hold included.
    fn checks(&self) -> Vec<Check>;
}
