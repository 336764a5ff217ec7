//! Weir tokens: what is handed out once, and what is kept of it.
//!
//! A token reads `weir_<id>_<secret>`. The id is not secret: it names the token in lists, logs and recordings. The
//! secret is 256 random bits, so a plain SHA-256 of it is kept: there is no word list to try, hence nothing for a slow
//! password hash to slow down. Both are base32 in lower case: one double click selects a whole token, and no shell touches it.
//!
//! For SCRAM, whose password is the whole token, its keys are kept for both hashes. All tokens of a subject share one salt,
//! made of the subject's name: so the salt can be told before it is known which of them is used, and tells nothing of
//! who exists. A salt is there to make word lists useless, and there is none for these passwords.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::access::{Scope, ScopeText, Scopes};
use super::approvals::Person;
use crate::limits::SCRAM_ITERATIONS_MIN;
use crate::scram::{self, Hash, ScramError};

/// Random bytes that minting one token takes: 5 for the id, 32 for the secret.
pub const TOKEN_RANDOM_BYTES: usize = ID_BYTES + SECRET_BYTES;

/// What every token starts with, so that scanners for leaked secrets can find one.
const PREFIX: &str = "weir";
const ID_BYTES: usize = 5;
const SECRET_BYTES: usize = 32;

/// Kafka's user names and Weir's groups are short; recordings repeat them.
pub(super) const NAME_BYTES_MAX: usize = 255;
const GROUPS_MAX: usize = 64;
const SCOPE_PATTERNS_MAX: usize = 64;

/// Ten years, in nanoseconds: longer than a token should live, short enough for arithmetic to be safe.
const TTL_NS_MAX: u64 = 3650 * 24 * 3600 * 1_000_000_000;

/// What is kept of a token; never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// The token's public name.
    pub id: String,
    /// Whom it stands for: the user name of the login.
    pub subject: String,
    /// The groups it carries, sorted.
    pub groups: Vec<String>,
    /// When it was created, ns since the Unix epoch.
    pub created_ns: u64,
    /// When it ends, ns since the Unix epoch.
    pub expires_ns: u64,
    /// When it was revoked, if it was, ns since the Unix epoch.
    pub revoked_ns: Option<u64>,
    /// Who asked for it.
    pub minted_by: String,
    /// The person who asked for it; none where that was an operator of the gateway, over its local socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minter: Option<Person>,
    /// SHA-256 of the secret's text.
    pub secret_sha256: [u8; 32],
    /// What SCRAM checks a proof against; none in tokens of versions that had no SCRAM.
    #[serde(default)]
    pub scram: Option<ScramVerifiers>,
    /// What it narrows its holder to; none in one that narrows nothing, and in tokens of versions that had no scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
}

/// What is kept of a token for SCRAM; no proof can be made from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramVerifiers {
    sha_256: scram::Verifier,
    sha_512: scram::Verifier,
}

impl ScramVerifiers {
    fn derive(subject: &str, token: &str) -> Result<Self, ScramError> {
        let salt = scram_salt(subject);
        let derive = |hash| scram::Verifier::derive(hash, token, &salt, SCRAM_ITERATIONS);
        Ok(Self { sha_256: derive(Hash::Sha256)?, sha_512: derive(Hash::Sha512)? })
    }

    /// The one of a mechanism's hash.
    pub fn of(&self, hash: Hash) -> &scram::Verifier {
        match hash {
            Hash::Sha256 => &self.sha_256,
            Hash::Sha512 => &self.sha_512,
        }
    }
}

/// How often a token is hashed for SCRAM: the least that clients accept, since more protects passwords that can be guessed.
pub const SCRAM_ITERATIONS: u32 = SCRAM_ITERATIONS_MIN;

/// The salt of all tokens of a subject, whether there are any or not.
pub fn scram_salt(subject: &str) -> [u8; 32] {
    Sha256::new().chain_update(b"weir SCRAM salt\0").chain_update(subject).finalize().into()
}

/// What a new token should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Whom it stands for.
    pub subject: String,
    /// The groups it carries, in any order.
    pub groups: Vec<String>,
    /// How long it lives, ns.
    pub ttl_ns: u64,
    /// Who asks for it.
    pub minted_by: String,
    /// The same where it is a person, known by a login.
    pub minter: Option<Person>,
    /// What it narrows its holder to; where it says nothing, nothing is narrowed.
    pub scope: ScopeText,
}

/// Why a token cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRequestError {
    /// The subject cannot be a user name.
    #[error("the subject must be 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Subject,
    /// A group has no proper name, or there are too many.
    #[error(
        "groups must be at most {GROUPS_MAX} names of 1 to {NAME_BYTES_MAX} bytes without control characters or commas"
    )]
    Groups,
    /// It would not live at all, or for ever.
    #[error("the time to live must be more than nothing and at most ten years")]
    Ttl,
    /// What it should be narrowed to cannot be read.
    #[error("what it is narrowed to: {0}")]
    Scope(String),
    /// It names more than is held against each name.
    #[error("it may be narrowed to at most {SCOPE_PATTERNS_MAX} patterns of 1 to {NAME_BYTES_MAX} bytes of each kind")]
    ScopePatterns,
    /// Its keys for SCRAM cannot be derived.
    #[error("its keys for SCRAM cannot be derived: {0}")]
    Scram(#[from] ScramError),
}

/// A new token: the record to keep, and the text to hand out once.
pub struct Minted {
    /// What is kept.
    pub record: TokenRecord,
    /// What is shown once and then forgotten.
    pub text: Zeroizing<String>,
}

impl TokenRequest {
    /// Makes the token out of `random` bytes, which must come from the operating system and be used once. Costs some
    /// milliseconds of CPU: never on a shard.
    pub fn mint(self, random: &Zeroizing<[u8; TOKEN_RANDOM_BYTES]>, now_ns: u64) -> Result<Minted, TokenRequestError> {
        let name =
            |name: &String| !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
        if !name(&self.subject) {
            return Err(TokenRequestError::Subject);
        }
        if self.groups.len() > GROUPS_MAX || !self.groups.iter().all(|g| name(g) && !g.contains(',')) {
            return Err(TokenRequestError::Groups);
        }
        if self.ttl_ns == 0 || self.ttl_ns > TTL_NS_MAX {
            return Err(TokenRequestError::Ttl);
        }
        let scopes = scopes(self.scope)?;
        let mut groups = self.groups;
        groups.sort();
        groups.dedup();
        let (id, secret) = random.split_at(ID_BYTES);
        let id = base32(id);
        let secret = Zeroizing::new(base32(secret));
        let text = Zeroizing::new(format!("{PREFIX}_{id}_{}", *secret));
        let scram = Some(ScramVerifiers::derive(&self.subject, &text)?);
        let record = TokenRecord {
            id,
            subject: self.subject,
            groups,
            created_ns: now_ns,
            expires_ns: now_ns.saturating_add(self.ttl_ns),
            revoked_ns: None,
            minted_by: self.minted_by,
            minter: self.minter,
            secret_sha256: digest(&secret),
            scram,
            scopes,
        };
        Ok(Minted { record, text })
    }
}

fn scopes(text: ScopeText) -> Result<Option<Scopes>, TokenRequestError> {
    if text == ScopeText::default() {
        return Ok(None);
    }
    let lawful = |patterns: &[String]| {
        patterns.len() <= SCOPE_PATTERNS_MAX && patterns.iter().all(|p| !p.is_empty() && p.len() <= NAME_BYTES_MAX)
    };
    if ![&text.topics, &text.consumer_groups, &text.transactional_ids].into_iter().all(|patterns| lawful(patterns)) {
        return Err(TokenRequestError::ScopePatterns);
    }
    Ok(Some(Scopes(vec![Scope::try_from(text).map_err(TokenRequestError::Scope)?])))
}

/// Whether a text claims to be a token of Weir.
pub fn looks_like_token(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('_'))
}

/// RFC 3339, to the second.
pub(super) fn clock_time(ns: u64) -> String {
    let seconds = i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// A token's text taken apart, `(id, secret)`; none where it is not one.
pub(super) fn parts(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
    (!id.is_empty() && !secret.is_empty()).then_some((id, secret))
}

/// What is kept of a secret.
pub(super) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A name for something that people read out and type: 8 letters and digits.
pub fn short_id(random: [u8; ID_BYTES]) -> String {
    base32(&random)
}

/// RFC 4648 base32, in lower case and without padding.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    // Reserved at once: growing would leave copies of a secret behind in freed memory.
    let mut text = String::with_capacity((bytes.len() * 8).div_ceil(5));
    let (mut held, mut bits) = (0u32, 0u32);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(held >> bits) as usize & 31]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[(held << (5 - bits)) as usize & 31]));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn request() -> TokenRequest {
        TokenRequest {
            subject: "analyst-7".to_owned(),
            groups: vec!["dev".to_owned(), "analysts".to_owned(), "dev".to_owned()],
            ttl_ns: 1_000,
            minted_by: "uid 0".to_owned(),
            minter: None,
            scope: ScopeText::default(),
        }
    }

    #[test]
    fn base32_agrees_with_the_vectors_of_rfc_4648() {
        assert_eq!(base32(b""), "");
        assert_eq!(base32(b"f"), "my");
        assert_eq!(base32(b"fo"), "mzxq");
        assert_eq!(base32(b"foo"), "mzxw6");
        assert_eq!(base32(b"foob"), "mzxw6yq");
        assert_eq!(base32(b"fooba"), "mzxw6ytb");
        assert_eq!(base32(b"foobar"), "mzxw6ytboi");
    }

    #[test]
    fn what_is_kept_does_not_hold_the_secret() {
        let minted = request().mint(&Zeroizing::new([7; TOKEN_RANDOM_BYTES]), 10).unwrap();
        let (id, secret) = parts(&minted.text).unwrap();
        assert_eq!(id, minted.record.id);
        assert_eq!(secret.len(), 52);
        let kept = serde_json::to_string(&minted.record).unwrap();
        assert!(!kept.contains(secret) && !kept.contains(minted.text.as_str()));
        assert_eq!(minted.record.secret_sha256, digest(secret));
    }

    #[test]
    fn a_record_of_a_version_without_scram_still_loads() {
        let minted = request().mint(&Zeroizing::new([7; TOKEN_RANDOM_BYTES]), 10).unwrap();
        let mut kept = serde_json::to_value(&minted.record).unwrap();
        assert_eq!(serde_json::from_value::<TokenRecord>(kept.clone()).unwrap(), minted.record);
        kept.as_object_mut().unwrap().remove("scram");
        let old: TokenRecord = serde_json::from_value(kept).unwrap();
        assert_eq!((old.id, old.scram, old.scopes), (minted.record.id, None, None));
    }

    #[test]
    fn what_a_token_is_narrowed_to_is_kept_with_it() {
        let text = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<String>>();
        let scope = ScopeText { topics: text(&["orders[0-3]"]), operations: text(&["read"]), ..ScopeText::default() };
        let narrowed = TokenRequest { scope, ..request() };
        let minted = narrowed.mint(&Zeroizing::new([7; TOKEN_RANDOM_BYTES]), 10).unwrap();
        let kept = serde_json::to_string(&minted.record).unwrap();
        assert!(kept.contains(r#""scopes":[{"topics":["orders[0-3]"],"operations":["read"]}]"#), "{kept}");
        assert_eq!(serde_json::from_str::<TokenRecord>(&kept).unwrap(), minted.record);
        let unnarrowed = request().mint(&Zeroizing::new([7; TOKEN_RANDOM_BYTES]), 10).unwrap().record;
        assert!(unnarrowed.scopes.is_none() && !serde_json::to_string(&unnarrowed).unwrap().contains("scopes"));
    }

    #[test]
    fn groups_are_sorted_and_counted_once() {
        let minted = request().mint(&Zeroizing::new([7; TOKEN_RANDOM_BYTES]), 10).unwrap();
        assert_eq!(minted.record.groups, ["analysts", "dev"]);
        assert_eq!(minted.record.expires_ns, 1_010);
    }

    #[test]
    fn a_token_that_could_not_log_in_is_not_made() {
        let random = Zeroizing::new([7; TOKEN_RANDOM_BYTES]);
        let with = |change: fn(&mut TokenRequest)| {
            let mut request = request();
            change(&mut request);
            request.mint(&random, 10).err()
        };
        assert_eq!(with(|r| r.subject.clear()), Some(TokenRequestError::Subject));
        assert_eq!(with(|r| r.subject = "a\0b".to_owned()), Some(TokenRequestError::Subject));
        assert_eq!(with(|r| r.groups = vec![String::new()]), Some(TokenRequestError::Groups));
        assert_eq!(with(|r| r.groups = vec!["a,b".to_owned()]), Some(TokenRequestError::Groups));
        assert_eq!(with(|r| r.ttl_ns = 0), Some(TokenRequestError::Ttl));
        assert_eq!(with(|r| r.ttl_ns = u64::MAX), Some(TokenRequestError::Ttl));
        assert_eq!(with(|r| r.scope.topics = vec![String::new()]), Some(TokenRequestError::ScopePatterns));
        for scope in [r#"{"topics":["orders,payments"]}"#, r#"{"topics":["a[2-1]"]}"#, r#"{"operations":["reed"]}"#] {
            let request = TokenRequest { scope: serde_json::from_str(scope).unwrap(), ..request() };
            assert!(matches!(request.mint(&random, 10).err(), Some(TokenRequestError::Scope(_))), "{scope}");
        }
    }
}
