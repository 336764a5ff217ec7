//! Who a client is, as rules see it.

use std::sync::Arc;

use super::access::Scopes;
use super::approvals::Person;

/// The outcome of a login.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// Who vouches: `anonymous`, `weir` for tokens issued here, an identity provider's issuer URL, or `certificate`.
    pub issuer: String,
    /// The person or service; `anonymous` where the listener lets anybody in.
    pub subject: String,
    /// Groups as the issuer states them, sorted.
    pub groups: Vec<String>,
    /// How it was proven.
    pub mechanism: Mechanism,
    /// The person that made its token, where a person did.
    pub minted_by: Option<Box<Person>>,
    /// What its token narrows it to; none: nothing is narrowed.
    pub scopes: Option<Arc<Scopes>>,
}

/// How a principal was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// Not at all: the listener says `anonymous`.
    Anonymous,
    /// SASL/PLAIN with a token that Weir issued.
    PlainToken,
    /// SCRAM with a token that Weir issued.
    ScramToken,
    /// A JWT of an identity provider, in SASL/OAUTHBEARER or SASL/PLAIN.
    Jwt,
    /// The certificate of a mutual TLS handshake.
    Certificate,
}

impl Principal {
    /// Whether it is the same person or service, whatever its groups and however proven.
    pub fn is_same_as(&self, other: &Principal) -> bool {
        (&self.issuer, &self.subject) == (&other.issuer, &other.subject)
    }

    /// Whoever connects to a listener that asks for nothing.
    pub fn anonymous() -> Self {
        Self {
            issuer: "anonymous".to_owned(),
            subject: "anonymous".to_owned(),
            groups: Vec::new(),
            mechanism: Mechanism::Anonymous,
            minted_by: None,
            scopes: None,
        }
    }
}
