//! An identity provider's public keys, as its JWKS states them.
//!
//! Invariants:
//! - Only keys that may verify signatures are kept: `use` is `sig` or not said, `key_ops` allows it, the algorithm is an
//!   asymmetric one. A symmetric key in a JWKS is everybody's, so it is never a key here.
//! - A key verifies its own algorithm only, or where it names none, those of its type and curve.
//!
//! Sources: RFC 7517 (JWK), RFC 7518 (its parameters), RFC 8037 (Ed25519).

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use crate::limits::{JWKS_KEYS_MAX, JWT_KEY_ID_BYTES_MAX};

/// The algorithms there are: asymmetric ones, by their names in RFC 7518.
pub const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// The algorithm of that name; none for `none`, for HMAC and for what is unknown.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

/// Why a document is no JWKS to work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not `{"keys": […]}`.
    #[error("it is not a JWK set")]
    NotAKeySet,
    /// More keys than anybody needs.
    #[error("it holds {0} keys, at most {JWKS_KEYS_MAX} are taken")]
    TooMany(usize),
    /// Nothing in it verifies a signature.
    #[error("none of its {0} keys verifies signatures (use=sig, an asymmetric algorithm)")]
    NoneUsable(usize),
}

/// The keys of one issuer.
#[derive(Clone)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: Option<String>,
    /// The algorithms it may verify.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// A key as its JWKS writes it; what is not needed is not read.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    public_key_use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a JWKS document. Keys that are not understood are left out, as RFC 7517, 5 asks.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        let Jwks { keys: all } = serde_json::from_slice(document).map_err(|_| KeySetError::NotAKeySet)?;
        if all.len() > JWKS_KEYS_MAX {
            return Err(KeySetError::TooMany(all.len()));
        }
        let count = all.len();
        let keys: Vec<Key> = all.into_iter().filter_map(key).collect();
        if keys.is_empty() { Err(KeySetError::NoneUsable(count)) } else { Ok(Self { keys }) }
    }

    /// The names of the keys, for logs.
    pub fn ids(&self) -> Vec<&str> {
        self.keys.iter().map(|key| key.id.as_deref().unwrap_or("(without kid)")).collect()
    }

    /// The keys that may have signed with `algorithm` under that name; where the token names none, all that may.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&DecodingKey> {
        let named = |key: &&Key| id.is_none() || key.id.as_deref() == id;
        let able = |key: &&Key| key.algorithms.contains(&algorithm);
        self.keys.iter().filter(named).filter(able).map(|key| &key.key).collect()
    }

    /// Whether there is a key of that name, able or not.
    pub(super) fn has(&self, id: Option<&str>) -> bool {
        id.is_some() && self.keys.iter().any(|key| key.id.as_deref() == id)
    }
}

/// Public keys are no secret, but nobody reads them in a log either.
impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeySet").field(&self.ids()).finish()
    }
}

fn key(jwk: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    let signs = jwk.public_key_use.as_deref().is_none_or(|used| used == "sig");
    let verifies = jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    let named_well = jwk.kid.as_ref().is_none_or(|id| id.len() <= JWT_KEY_ID_BYTES_MAX);
    if !signs || !verifies || !named_well {
        return None;
    }
    let (able, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
            let key = DecodingKey::from_rsa_components(jwk.n.as_deref()?, jwk.e.as_deref()?);
            (vec![RS256, RS384, RS512, PS256, PS384, PS512], key)
        }
        ("EC", Some("P-256")) => {
            (vec![Algorithm::ES256], DecodingKey::from_ec_components(jwk.x.as_deref()?, jwk.y.as_deref()?))
        }
        ("EC", Some("P-384")) => {
            (vec![Algorithm::ES384], DecodingKey::from_ec_components(jwk.x.as_deref()?, jwk.y.as_deref()?))
        }
        ("OKP", Some("Ed25519")) => (vec![Algorithm::EdDSA], DecodingKey::from_ed_components(jwk.x.as_deref()?)),
        _ => return None,
    };
    let algorithms = match &jwk.alg {
        None => able,
        Some(name) => vec![algorithm(name).filter(|named| able.contains(named))?],
    };
    Some(Key { id: jwk.kid, algorithms, key: key.ok()? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn rsa(more: Value) -> Value {
        let mut key = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" });
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    }

    fn parse(keys: Vec<Value>) -> Result<KeySet, KeySetError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn only_keys_that_verify_signatures_are_kept() {
        let kept = parse(vec![
            rsa(json!({ "kid": "sig", "use": "sig", "alg": "RS256" })),
            rsa(json!({ "kid": "unsaid" })),
            rsa(json!({ "kid": "ops", "key_ops": ["verify"] })),
            rsa(json!({ "kid": "enc", "use": "enc", "alg": "RSA-OAEP" })),
            rsa(json!({ "kid": "enc-rs", "use": "enc", "alg": "RS256" })),
            rsa(json!({ "kid": "wraps", "key_ops": ["wrapKey"] })),
            rsa(json!({ "kid": "other-alg", "alg": "ES256" })),
            json!({ "kty": "oct", "kid": "everybodys", "k": "c2VjcmV0", "alg": "HS256", "use": "sig" }),
            json!({ "kty": "EC", "kid": "no-curve", "x": "AQAB", "y": "AQAB" }),
            json!({ "kty": "RSA", "kid": "halved", "n": "AQAB" }),
            json!("not a key"),
        ]);
        assert_eq!(kept.unwrap().ids(), ["sig", "unsaid", "ops"]);
    }

    #[test]
    fn a_key_that_names_its_algorithm_verifies_no_other() {
        let keys = parse(vec![rsa(json!({ "kid": "a", "alg": "RS256" })), rsa(json!({ "kid": "b" }))]).unwrap();
        assert_eq!(keys.candidates(Some("a"), Algorithm::RS256).len(), 1);
        assert_eq!(keys.candidates(Some("a"), Algorithm::PS256).len(), 0);
        assert_eq!(keys.candidates(Some("b"), Algorithm::PS256).len(), 1);
        assert_eq!(keys.candidates(Some("b"), Algorithm::ES256).len(), 0);
        assert_eq!(keys.candidates(None, Algorithm::RS256).len(), 2);
    }

    #[test]
    fn what_is_no_key_set_is_refused_whole() {
        for document in ["", "[]", "{}", "{\"keys\": {}}", "<html>", "{\"keys\": [1"] {
            assert_eq!(KeySet::parse(document.as_bytes()).unwrap_err(), KeySetError::NotAKeySet, "{document}");
        }
        assert_eq!(parse(vec![]).unwrap_err(), KeySetError::NoneUsable(0));
        assert_eq!(parse(vec![rsa(json!({ "use": "enc" }))]).unwrap_err(), KeySetError::NoneUsable(1));
        let many = JWKS_KEYS_MAX + 1;
        assert_eq!(parse(vec![rsa(json!({})); many]).unwrap_err(), KeySetError::TooMany(many));
    }
}
