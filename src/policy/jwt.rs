//! JSON Web Tokens of identity providers: who one speaks for, or why it is refused.
//!
//! Invariants:
//! - Nothing a token says counts before its signature was verified, but for finding out whose keys to verify it with.
//! - The algorithm is one that the configuration allows and the key is for; `none` and HMAC are no algorithms here.
//! - Issuer, audience and expiry are checked always, they cannot be switched off.
//! - No error holds the token; what it quotes is short and printable.
//!
//! Sources: RFC 7515 (JWS), RFC 7519 (JWT), RFC 8725 (best current practice), RFC 9068 (access tokens).

mod scopes;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::key_set::{self, KeySet};
use super::principal::{Mechanism, Principal};
use super::token::{NAME_BYTES_MAX, clock_time};
pub use scopes::ScopeMapping;

use crate::limits::{JWT_BYTES_MAX, JWT_GROUPS_MAX, JWT_KEY_ID_BYTES_MAX};

/// Keys of one name that are tried: names are meant to be unique, and each try costs a verification.
const CANDIDATES_MAX: usize = 4;

/// What a token of one issuer has to be, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerRules {
    /// Its name in the configuration.
    pub name: String,
    /// What `iss` has to say, to the letter.
    pub issuer: String,
    /// One of these has to be in `aud`; not empty.
    pub audience: Vec<String>,
    /// What tokens may be signed with; not empty.
    pub algorithms: Vec<Algorithm>,
    /// Where the subject is.
    pub subject: ClaimPath,
    /// Where the groups are.
    pub groups: ClaimPath,
    /// What its tokens narrow their holders to; none: nothing.
    pub scopes: Option<ScopeMapping>,
    /// How far the issuer's clock may be from ours, ns.
    pub clock_skew_ns: u64,
}

/// Where in a token's claims something is: `preferred_username`, `realm_access.roles`, `https://example.com/groups`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(Vec<String>);

impl ClaimPath {
    /// Dots lead into objects, unless a slash says that the whole is one name (RFC 7519, 4.2 has URIs for private claims).
    pub fn new(text: &str) -> Self {
        match text.contains('/') {
            true => Self(vec![text.to_owned()]),
            false => Self(text.split('.').map(str::to_owned).collect()),
        }
    }

    fn of<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        let found = rest.iter().try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))?;
        (!found.is_null()).then_some(found)
    }
}

impl std::fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// A token that was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtLogin {
    /// Who.
    pub principal: Principal,
    /// When the login ends, ns since the Unix epoch: with the token, or where the skew of clocks let in one that has
    /// ended already, with the skew.
    pub expires_ns: u64,
}

/// Why a token is refused. The texts are for the operator; `for_client` is what its holder is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtRefusal {
    /// It is not a JWT at all.
    #[error("what was presented is not a JWT")]
    NotAJwt,
    /// Longer than [`JWT_BYTES_MAX`].
    #[error("the JWT has {0} bytes, at most {JWT_BYTES_MAX} are taken")]
    TooLong(usize),
    /// A JWE, which only its audience can read.
    #[error("the JWT is encrypted; signed ones are understood")]
    Encrypted,
    /// Its header asks for something that is not understood (RFC 7515, 4.1.11).
    #[error("the JWT's header has critical extensions, none are understood")]
    Critical,
    /// Its key's name is longer than [`JWT_KEY_ID_BYTES_MAX`].
    #[error("the JWT's key id has more than {JWT_KEY_ID_BYTES_MAX} bytes")]
    KeyIdTooLong,
    /// It is of an issuer that this listener does not trust.
    #[error("the JWT is of issuer {0:?}, which this listener does not trust")]
    Issuer(String),
    /// It is signed with an algorithm that is not allowed.
    #[error("the JWT is signed with {algorithm:?}, which is not allowed for issuer {issuer}")]
    Algorithm {
        /// What its header says.
        algorithm: String,
        /// The issuer's name.
        issuer: String,
    },
    /// The issuer's keys were never fetched.
    #[error("the keys of issuer {issuer} are not there yet: {trouble}")]
    NoKeys {
        /// The issuer's name.
        issuer: String,
        /// Why not.
        trouble: String,
    },
    /// The issuer has no key of that name, as far as is known.
    #[error("the JWT is signed with key {key_id:?}, which issuer {issuer} does not have")]
    UnknownKey {
        /// The key's name; empty where the token names none.
        key_id: String,
        /// The issuer's name.
        issuer: String,
    },
    /// The key of that name is not for the algorithm.
    #[error("the JWT is signed with {algorithm}, which its key is not for")]
    KeyOfOther {
        /// What its header says.
        algorithm: String,
    },
    /// It names no key where there are several.
    #[error("the JWT names no key (kid), and issuer {0} has several")]
    NoKeyId(String),
    /// The signature is not the issuer's.
    #[error("the JWT's signature is not that of issuer {0}")]
    Signature(String),
    /// It is for somebody else.
    #[error("the JWT is for audience {found}; expected {expected}")]
    Audience {
        /// What it says.
        found: String,
        /// What is configured.
        expected: String,
    },
    /// A claim that has to be there is not, or is not of its form.
    #[error("the JWT's claim {0} is missing or malformed")]
    Claim(String),
    /// Its time is over.
    #[error("the JWT expired at {}", clock_time(*.0))]
    Expired(u64),
    /// Its time has not come.
    #[error("the JWT is not valid before {}; compare the clocks", clock_time(*.0))]
    NotYet(u64),
    /// It was issued in the future.
    #[error("the JWT was issued at {}, which is still to come; compare the clocks", clock_time(*.0))]
    IssuedLater(u64),
    /// The subject cannot be a user name.
    #[error("the JWT's claim {0} is not a name of 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Subject(String),
    /// The groups are not names, or too many: rules that depend on them could not be kept.
    #[error("the JWT's claim {0} is not a list of at most {JWT_GROUPS_MAX} names")]
    Groups(String),
    /// The user name beside it is another one's.
    #[error("the JWT is not the claimed user's; give the user name `{USERNAME}` or the token's subject")]
    OtherUser,
}

/// The user name that stands for whoever a JWT names, where SASL/PLAIN carries one.
pub const USERNAME: &str = "jwt";

impl JwtRefusal {
    /// What may be sent to the client: all but what concerns this gateway's own network.
    pub fn for_client(&self) -> String {
        match self {
            JwtRefusal::NoKeys { issuer, .. } => {
                format!(
                    "authentication failed: the keys of issuer {issuer} cannot be had at the moment; try again later"
                )
            }
            _ => format!("authentication failed: {self}"),
        }
    }

    /// The issuer whose keys, fetched again, might change the outcome.
    pub fn wants_keys_of(&self) -> Option<&str> {
        match self {
            JwtRefusal::NoKeys { issuer, .. } | JwtRefusal::UnknownKey { issuer, .. } => Some(issuer),
            _ => None,
        }
    }
}

/// Whether a text has a JWT's form: three parts, the first a JSON object's beginning in base64url.
pub fn looks_like_jwt(text: &str) -> bool {
    text.starts_with("ey") && text.matches('.').count() == 2
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// A token taken apart; nothing of it is believed yet.
pub(super) struct Unverified<'a> {
    signed: &'a str,
    signature: &'a str,
    header: Header,
    claims: Map<String, Value>,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, JwtRefusal> {
        if token.len() > JWT_BYTES_MAX {
            return Err(JwtRefusal::TooLong(token.len()));
        }
        match token.matches('.').count() {
            2 => {}
            4 => return Err(JwtRefusal::Encrypted),
            _ => return Err(JwtRefusal::NotAJwt),
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtRefusal::NotAJwt)?;
        let (header, claims) = signed.split_once('.').ok_or(JwtRefusal::NotAJwt)?;
        let header: Header = part(header).ok_or(JwtRefusal::NotAJwt)?;
        let claims = part(claims).ok_or(JwtRefusal::NotAJwt)?;
        if header.crit.is_some() {
            return Err(JwtRefusal::Critical);
        }
        if header.kid.as_ref().is_some_and(|id| id.len() > JWT_KEY_ID_BYTES_MAX) {
            return Err(JwtRefusal::KeyIdTooLong);
        }
        Ok(Self { signed, signature, header, claims })
    }

    /// Who it says it is of; to find the issuer by, nothing else.
    pub(super) fn issuer(&self) -> Result<&str, JwtRefusal> {
        self.claims.get("iss").and_then(Value::as_str).ok_or_else(|| JwtRefusal::Claim("iss".into()))
    }

    /// Checks it against its issuer's rules and keys.
    pub(super) fn verify(self, rules: &IssuerRules, keys: &KeySet, now_ns: u64) -> Result<JwtLogin, JwtRefusal> {
        self.signed_by(rules, keys)?;
        let expires_ns = self.in_time(rules, now_ns)?;
        self.for_us(rules)?;
        let principal = Principal {
            issuer: rules.issuer.clone(),
            subject: self.subject(&rules.subject)?,
            groups: self.groups(&rules.groups)?,
            mechanism: Mechanism::Jwt,
            minted_by: None,
            scopes: rules.scopes.as_ref().map(|mapping| Arc::new(mapping.of(&self.claims))),
        };
        Ok(JwtLogin { principal, expires_ns })
    }

    fn signed_by(&self, rules: &IssuerRules, keys: &KeySet) -> Result<(), JwtRefusal> {
        let named = &self.header.alg;
        let algorithm = key_set::algorithm(named).filter(|algorithm| rules.algorithms.contains(algorithm));
        let issuer = || rules.name.clone();
        let algorithm =
            algorithm.ok_or_else(|| JwtRefusal::Algorithm { algorithm: quotable(named), issuer: issuer() })?;
        let key_id = self.header.kid.as_deref();
        let candidates = keys.candidates(key_id, algorithm);
        match (candidates.len(), key_id) {
            (0, _) if keys.has(key_id) => return Err(JwtRefusal::KeyOfOther { algorithm: quotable(named) }),
            (0, _) => {
                let key_id = quotable(key_id.unwrap_or_default());
                return Err(JwtRefusal::UnknownKey { key_id, issuer: issuer() });
            }
            (2.., None) => return Err(JwtRefusal::NoKeyId(issuer())),
            _ => {}
        }
        let verified = candidates.iter().take(CANDIDATES_MAX).any(|key| {
            jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), key, algorithm).unwrap_or(false)
        });
        if verified { Ok(()) } else { Err(JwtRefusal::Signature(issuer())) }
    }

    /// When the login ends.
    fn in_time(&self, rules: &IssuerRules, now_ns: u64) -> Result<u64, JwtRefusal> {
        let skew_ns = rules.clock_skew_ns;
        let expires_ns = self.time("exp")?.ok_or_else(|| JwtRefusal::Claim("exp".into()))?;
        if expires_ns.saturating_add(skew_ns) <= now_ns {
            return Err(JwtRefusal::Expired(expires_ns));
        }
        if let Some(from_ns) = self.time("nbf")?
            && from_ns > now_ns.saturating_add(skew_ns)
        {
            return Err(JwtRefusal::NotYet(from_ns));
        }
        if let Some(issued_ns) = self.time("iat")?
            && issued_ns > now_ns.saturating_add(skew_ns)
        {
            return Err(JwtRefusal::IssuedLater(issued_ns));
        }
        Ok(if expires_ns > now_ns { expires_ns } else { expires_ns.saturating_add(skew_ns) })
    }

    /// A time in ns since the Unix epoch; RFC 7519, 2 has it in seconds, with or without a fraction.
    fn time(&self, claim: &str) -> Result<Option<u64>, JwtRefusal> {
        /// The year 2286: later ones count as that.
        const SECONDS_MAX: f64 = 1e10;
        match self.claims.get(claim) {
            None => Ok(None),
            Some(value) => {
                let seconds = value.as_f64().ok_or_else(|| JwtRefusal::Claim(claim.to_owned()))?;
                Ok(Some((seconds.clamp(0.0, SECONDS_MAX) * 1e9) as u64))
            }
        }
    }

    fn for_us(&self, rules: &IssuerRules) -> Result<(), JwtRefusal> {
        let claim = self.claims.get("aud");
        let found: Option<Vec<&str>> = match claim {
            Some(Value::String(one)) => Some(vec![one]),
            Some(Value::Array(several)) => several.iter().map(Value::as_str).collect(),
            _ => None,
        };
        let found = found.ok_or_else(|| JwtRefusal::Claim("aud".into()))?;
        if found.iter().any(|audience| rules.audience.iter().any(|ours| ours == audience)) {
            return Ok(());
        }
        Err(JwtRefusal::Audience { found: quotable(&found.join(", ")), expected: rules.audience.join(" or ") })
    }

    fn subject(&self, path: &ClaimPath) -> Result<String, JwtRefusal> {
        let subject = path.of(&self.claims).ok_or_else(|| JwtRefusal::Claim(path.to_string()))?;
        let subject = subject.as_str().filter(|name| is_name(name));
        subject.map(str::to_owned).ok_or_else(|| JwtRefusal::Subject(path.to_string()))
    }

    /// The groups, sorted, each once. A claim that is not there means none; one that is not names is refused, since a rule
    /// may forbid something to a group that would get lost.
    fn groups(&self, path: &ClaimPath) -> Result<Vec<String>, JwtRefusal> {
        let malformed = || JwtRefusal::Groups(path.to_string());
        let names: Vec<&str> = match path.of(&self.claims) {
            None => Vec::new(),
            Some(Value::String(list)) => list.split([' ', ',']).filter(|name| !name.is_empty()).collect(),
            Some(Value::Array(list)) => list.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(malformed)?,
            Some(_) => return Err(malformed()),
        };
        if names.len() > JWT_GROUPS_MAX || !names.iter().all(|name| is_name(name)) {
            return Err(malformed());
        }
        let mut groups: Vec<String> = names.into_iter().map(str::to_owned).collect();
        groups.sort();
        groups.dedup();
        Ok(groups)
    }
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    serde_json::from_slice(&BASE64URL.decode(text).ok()?).ok()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

/// The beginning of what a token says, fit for a log.
pub(super) fn quotable(text: &str) -> String {
    const SHOWN_MAX: usize = 96;
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests;
