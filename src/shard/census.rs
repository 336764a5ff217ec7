//! How many connections each identity has on all shards together, so that one cannot shut out the others.
//!
//! Asked once a connection, when it is known who it is: the one thing that shards share and change. Invariant: whoever
//! was counted is counted out when its [`Place`] is dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::policy::Principal;

/// The count, shared by all shards.
#[derive(Debug, Clone)]
pub struct Census {
    connections: Arc<Mutex<HashMap<(String, String), usize>>>,
    limit: usize,
}

/// An identity's place for one connection.
#[derive(Debug)]
pub struct Place {
    census: Census,
    who: (String, String),
}

impl Census {
    /// Nobody yet; at most `limit` connections an identity.
    pub fn new(limit: usize) -> Self {
        Census { connections: Arc::default(), limit }
    }

    /// A place for one more connection of `who`; none when it has as many as it may.
    pub fn place(&self, who: &Principal) -> Option<Place> {
        let who = (who.issuer.clone(), who.subject.clone());
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let count = connections.entry(who.clone()).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        drop(connections);
        Some(Place { census: self.clone(), who })
    }

    /// The limit.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut connections = self.census.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = connections.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_identity_cannot_take_every_connection() {
        let census = Census::new(2);
        let somebody = Principal::anonymous();
        let mut other = somebody.clone();
        other.subject = "other".into();
        let first = census.place(&somebody).unwrap();
        let second = census.place(&somebody).unwrap();
        assert!(census.place(&somebody).is_none());
        assert!(census.place(&other).is_some());
        drop(first);
        let third = census.place(&somebody).unwrap();
        drop((second, third));
        assert!(census.connections.lock().unwrap().is_empty());
    }
}
