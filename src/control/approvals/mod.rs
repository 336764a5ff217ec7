//! Approvals as they are kept: access requests, decisions on them, grants and their uses.
//!
//! [`Registry`] keeps them all and decides; [`desk`] is its side towards the shards, on a thread of its own, and `api/requests`
//! that towards people. What it may do at which moment is said by `policy/approvals/`.
//!
//! Invariants:
//! - The store is written, synced, before anybody is told: whoever was told that a use is theirs has it, after a crash too,
//!   and nobody else has.
//! - Each change that others may want to know of is written together with its notice.

mod claims;
mod desk;
pub mod effect;
mod grants;
mod registry;
mod rows;
mod surveyor;
mod sweep;
#[cfg(test)]
mod tests;
mod view;

use crate::policy::CannotDecide;
use crate::recorder::RecorderError;

pub use desk::ApprovalDesk;
pub use grants::{GrantListed, GrantState};
pub use registry::{Effects, NewDecision, NewRequest, Registry, RegistryOptions};
pub use surveyor::Surveyor;
pub use view::{CaseView, DecisionView, GrantView};

/// Why an approval cannot be made, decided on or kept.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// There is none.
    #[error("no request has the id {0}; `weir requests` shows those there are")]
    NotFound(String),
    /// There is no such grant, or it is not good any more.
    #[error("no grant that is in force has the id {0}; `weir requests` shows what was granted")]
    NoGrant(String),
    /// It cannot be decided so.
    #[error("not decided: {0}")]
    Cannot(#[from] CannotDecide),
    /// Somebody else's.
    #[error("{0}")]
    NotYours(String),
    /// It was asked for wrongly.
    #[error("{0}")]
    Request(String),
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// The store failed.
    #[error("approvals in the store cannot be read or written: {0}")]
    Store(#[from] RecorderError),
    /// What the store holds is not what this version writes.
    #[error("the store's entry {row} is not one of this version: {why}")]
    Corrupt {
        /// The entry.
        row: String,
        /// What is wrong with it.
        why: String,
    },
}
