//! Access: who may do what, in Kafka's ACL vocabulary. Rules of the policy file, and what tokens narrow them to.
//!
//! Which rules are about a client is known once it is known who it is ([`AccessRules::rights_of`]); what they come to is
//! asked with each name ([`Rights`]). A listener that some rule holds on denies what no rule allows; on others all is allowed
//! that a token's scopes leave.
//!
//! Invariants:
//! - Answers depend on the rules, the client and the time that is passed in, and on nothing else; until when they hold is
//!   said with them.
//! - What is not known counts against the client: one that states no id is not one of those that an allow names, and one of
//!   those that a deny does.

mod hours;
mod mistakes;
mod names;
mod network;
mod operation;
mod rights;
mod rule;
mod scopes;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use hours::{DAYS as HOURS_DAYS, Hours};
pub use mistakes::AccessMistake;
pub use names::{NamePattern, NamePatterns};
pub use network::Network;
pub use operation::{Operation, Operations, ResourceKind};
pub use rights::{DecidedBy, Decision, Rights};
pub use rule::{AccessClient, AccessExemption, AccessRule, Effect};
pub use scopes::{Scope, ScopeText, Scopes};

/// All access rules of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessRules(Arc<[AccessRule]>);

impl AccessRules {
    /// Rules in the policy's order, which decides nothing. One that does nothing is a mistake that is told.
    pub fn new(rules: Vec<AccessRule>) -> Result<Self, Vec<(usize, AccessMistake)>> {
        let mistakes = mistakes::find(&rules);
        if mistakes.is_empty() { Ok(AccessRules(rules.into())) } else { Err(mistakes) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rule at a place.
    pub fn get(&self, number: usize) -> Option<&AccessRule> {
        self.0.get(number)
    }

    /// All of them, in the policy's order.
    pub fn iter(&self) -> impl Iterator<Item = &AccessRule> {
        self.0.iter()
    }

    /// What whoever wrote the rules should know of them, a line each, though it is lawful.
    pub fn warnings(&self) -> Vec<String> {
        mistakes::warnings(self)
    }

    /// What a client may do. None: nothing is decided here, since the listener has no rules and the client's token no
    /// scopes; then all is allowed, and asking would be for nothing.
    pub fn rights_of(&self, client: &AccessClient<'_>) -> Option<Rights> {
        let ruled = self.0.iter().any(|rule| rule.is_on(client.listener));
        let about = self.0.iter().enumerate().filter(|(_, rule)| rule.why_not(client).is_none());
        let own = ruled.then(|| about.map(|(number, _)| number).collect());
        let scopes = client.scopes.cloned().map(Arc::new);
        (own.is_some() || scopes.is_some()).then(|| Rights { rules: self.clone(), own, scopes })
    }
}
