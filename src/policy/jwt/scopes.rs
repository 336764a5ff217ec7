//! What claims of a JWT narrow its holder to.
//!
//! Invariant: whatever the configuration does not map gives nothing. A token that says nothing known logs its holder in, and
//! lets the holder do nothing.

use serde_json::{Map, Value};

use super::super::access::{Scope, Scopes};
use super::ClaimPath;

/// Where in a token's claims its scopes are, and what each of them is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeMapping {
    /// A list of texts, or one text with spaces between them (RFC 8693, 4.2).
    pub claim: ClaimPath,
    /// Each by what the token says, to the letter.
    pub map: Vec<(String, Scope)>,
}

impl ScopeMapping {
    /// What a token may be used for: whatever one of its scopes allows.
    pub(super) fn of(&self, claims: &Map<String, Value>) -> Scopes {
        let said: Vec<&str> = match self.claim.of(claims) {
            Some(Value::String(list)) => list.split(' ').collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let known = self.map.iter().filter(|(name, _)| said.contains(&name.as_str()));
        Scopes(known.map(|(_, scope)| scope.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_mapped_gives_anything() {
        let scope = |topic: &str| serde_json::from_value::<Scope>(json!({ "topics": [topic] })).unwrap();
        let map = vec![("read:a".to_owned(), scope("a")), ("read:b".to_owned(), scope("b"))];
        let mapping = ScopeMapping { claim: ClaimPath::new("access.scope"), map };
        let of = |said: Value| mapping.of(json!({ "access": { "scope": said } }).as_object().unwrap()).to_string();
        assert_eq!(of(json!("openid read:b read:a")), "all on topics a or all on topics b");
        assert_eq!(of(json!(["read:b", 7, "read:a read:b"])), "all on topics b");
        for nothing in [json!("openid"), json!(""), json!(null), json!(7), json!({ "read:a": true }), json!("READ:A")] {
            assert_eq!(of(nothing), "nothing");
        }
        assert_eq!(mapping.of(&Map::new()), Scopes::default());
    }
}
