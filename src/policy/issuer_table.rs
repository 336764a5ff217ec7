//! All identity providers and their keys as one immutable snapshot that shards check JWTs against.
//!
//! Whoever fetches keys makes the next snapshot out of this one; a fetch that failed leaves the keys as they were, so an
//! issuer that is down keeps nobody out whose token it has signed before.

use std::sync::Arc;

use super::jwt::{IssuerRules, JwtLogin, JwtRefusal, Unverified, quotable};
use super::key_set::KeySet;
use crate::limits::JWKS_REFRESH_PAUSE;

/// One issuer, and what is known of its keys.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// What its tokens have to be.
    pub rules: Arc<IssuerRules>,
    /// Its keys; none before they were fetched for the first time.
    pub keys: Option<Arc<KeySet>>,
    /// When they were fetched, ns since the Unix epoch; 0 before.
    pub fetched_ns: u64,
    /// How often fetching was tried.
    pub attempts: u64,
    /// When that was last done out of turn, because of a token, ns since the Unix epoch; 0 before.
    pub refreshed_ns: u64,
    /// Why the last attempt failed, if it did, in an operator's words.
    pub trouble: Option<Arc<str>>,
}

/// What came of an attempt to fetch an issuer's keys.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The keys, or why they could not be had, in an operator's words.
    pub outcome: Result<Arc<KeySet>, Arc<str>>,
    /// It was made because of a token.
    pub out_of_turn: bool,
    /// When, ns since the Unix epoch.
    pub now_ns: u64,
}

/// Every issuer of the configuration.
#[derive(Debug, Clone, Default)]
pub struct IssuerTable {
    issuers: Vec<Issuer>,
}

impl IssuerTable {
    /// The first snapshot, without keys.
    pub fn new(rules: impl IntoIterator<Item = IssuerRules>) -> Self {
        let issuer = |rules| Issuer {
            rules: Arc::new(rules),
            keys: None,
            fetched_ns: 0,
            attempts: 0,
            refreshed_ns: 0,
            trouble: None,
        };
        Self { issuers: rules.into_iter().map(issuer).collect() }
    }

    /// The next snapshot, after an attempt to fetch the keys of issuer `name`, in or out of turn.
    pub fn attempted(&self, name: &str, attempt: Attempt) -> Self {
        let mut next = self.clone();
        if let Some(issuer) = next.issuers.iter_mut().find(|issuer| issuer.rules.name == name) {
            let Attempt { outcome, out_of_turn, now_ns } = attempt;
            issuer.attempts += 1;
            if out_of_turn {
                issuer.refreshed_ns = now_ns;
            }
            match outcome {
                Ok(keys) => {
                    issuer.keys = Some(keys);
                    issuer.fetched_ns = now_ns;
                    issuer.trouble = None;
                }
                Err(trouble) => issuer.trouble = Some(trouble),
            }
        }
        next
    }

    /// All of them, in the configuration's order.
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// The issuer of that name.
    pub fn get(&self, name: &str) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.rules.name == name)
    }

    /// Checks a JWT of one of the `trusted` issuers, by their names in the configuration. It costs a verification of a
    /// signature: some 30 to 200 µs.
    pub fn verify(&self, token: &str, trusted: &[String], now_ns: u64) -> Result<JwtLogin, JwtRefusal> {
        let token = Unverified::parse(token)?;
        let claimed = token.issuer()?;
        let of_token = |issuer: &&Issuer| issuer.rules.issuer == claimed && trusted.contains(&issuer.rules.name);
        let issuer = self.issuers.iter().find(of_token).ok_or_else(|| JwtRefusal::Issuer(quotable(claimed)))?;
        let Some(keys) = &issuer.keys else {
            let trouble = issuer.trouble.as_deref().unwrap_or("they are being fetched").to_owned();
            return Err(JwtRefusal::NoKeys { issuer: issuer.rules.name.clone(), trouble });
        };
        token.verify(&issuer.rules, keys, now_ns)
    }
}

impl Issuer {
    /// Whether its keys may be fetched out of turn: not again and again for tokens that somebody makes up.
    pub fn may_refresh(&self, now_ns: u64) -> bool {
        u128::from(now_ns.saturating_sub(self.refreshed_ns)) >= JWKS_REFRESH_PAUSE.as_nanos()
    }
}

/// Whether a URL's host is this machine, which may be asked without TLS: nobody is on the way.
pub fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
