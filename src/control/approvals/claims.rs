//! Claiming a use of a grant: the one place where it is decided who may go ahead.
//!
//! Claims on a grant have an order; the first as many as the grant has uses win, and a claimant learns its place by reading its
//! own claim back. One gateway keeps them in its store; several that share grants keep them where all of them see the same
//! order.
//!
//! Invariants:
//! - A claim is durable before its place is told: after a crash it counts as used, whatever became of the action.
//! - No two claims have one place.

use std::sync::{Mutex, PoisonError};

use super::{ApprovalError, rows};
use crate::policy::Use;
use crate::recorder::{AccessChange, AccessStore};

/// Where claims are kept.
pub(super) trait Claims: Send + Sync {
    /// Adds a claim, and tells how many were before it. `beside` is written with it, or not at all.
    fn add(&self, grant: &str, claim: &Use, beside: Vec<AccessChange>) -> Result<u64, ApprovalError>;
}

/// Claims of one gateway.
pub(super) struct StoredClaims {
    store: AccessStore,
    one_at_a_time: Mutex<()>,
}

impl StoredClaims {
    pub(super) fn of(store: AccessStore) -> StoredClaims {
        StoredClaims { store, one_at_a_time: Mutex::new(()) }
    }
}

impl Claims for StoredClaims {
    fn add(&self, grant: &str, claim: &Use, beside: Vec<AccessChange>) -> Result<u64, ApprovalError> {
        let _one = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let place = rows::uses(&self.store, grant)?.len() as u64;
        let row = rows::used(grant, place, claim)?;
        self.store.write(beside.into_iter().chain([row]))?;
        Ok(place)
    }
}
