//! Weir tokens as they are kept: in the store's `access` family, and as the live table that shards check.
//!
//! Invariant: the store is written first and the live table is replaced before the caller is answered, so whoever was
//! told that a token is created or revoked can rely on it at once, and after a crash too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::policy::{ScopeText, Scopes, TOKEN_RANDOM_BYTES, TokenRecord, TokenRequest, TokenRequestError, TokenTable};
use crate::recorder::{AccessStore, RecorderError, Rfc3339};

/// Keys in the store: this and the token's id.
const PREFIX: &[u8] = b"token/";

/// The same for tokens that narrow their holders. Versions that know no scopes would let them do all; they do not look here,
/// and do not know the token.
const SCOPED_PREFIX: &[u8] = b"scoped-token/";

/// The tokens of one store.
pub struct TokenRegistry {
    store: AccessStore,
    live: Arc<ArcSwap<TokenTable>>,
    /// One change at a time: each builds on the table that the one before it left.
    changing: Mutex<()>,
}

/// Why a token cannot be created, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It was asked for wrongly.
    #[error("no token was created: {0}")]
    Request(#[from] TokenRequestError),
    /// There is none.
    #[error("no token has the id {id}; `weir token list` shows those there are")]
    NotFound {
        /// What was asked for.
        id: String,
    },
    /// The operating system gives no random bytes.
    #[error("no token was created: the operating system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// The store failed.
    #[error("the tokens in the store cannot be read or written: {0}")]
    Store(#[from] RecorderError),
    /// What the store holds is not a token.
    #[error("the store's entry {key} is not a token of this version: {source}")]
    Corrupt {
        /// The entry.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// What a new token should be, as it is asked for over the socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whom it stands for.
    pub subject: String,
    /// The groups it carries.
    #[serde(default)]
    pub groups: Vec<String>,
    /// How long it lives, seconds.
    pub ttl_seconds: u64,
    /// What it narrows its holder to; where it says nothing, nothing is narrowed.
    #[serde(default)]
    pub scope: ScopeText,
}

/// A token as it is shown: everything but what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Its public name.
    pub id: String,
    /// Whom it stands for.
    pub subject: String,
    /// The groups it carries, sorted.
    pub groups: Vec<String>,
    /// What it narrows its holder to: whatever one of these allows; none: nothing is narrowed.
    #[serde(default)]
    pub scopes: Option<Scopes>,
    /// Whether it can be used, at the time of asking.
    pub state: TokenState,
    /// When it was created, RFC 3339 in UTC.
    pub created: String,
    /// The same in ns since the Unix epoch.
    pub created_ns: u64,
    /// When it ends.
    pub expires: String,
    /// The same in ns since the Unix epoch.
    pub expires_ns: u64,
    /// When it was revoked.
    pub revoked: Option<String>,
    /// The same in ns since the Unix epoch.
    pub revoked_ns: Option<u64>,
    /// Who asked for it.
    pub minted_by: String,
}

/// Whether a token can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenState {
    /// It can.
    Active,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

/// A token that was just created; `token` is shown this once and kept nowhere.
#[derive(Serialize, Deserialize)]
pub struct CreatedToken {
    /// Everything but what proves it.
    #[serde(flatten)]
    pub view: TokenView,
    /// What the client gives as its password.
    #[serde(with = "zeroized")]
    pub token: Zeroizing<String>,
}

/// A secret as plain text on the socket; its copies here are wiped.
mod zeroized {
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(text: &Zeroizing<String>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(from).map(Zeroizing::new)
    }
}

impl TokenRegistry {
    /// Reads all tokens of `store`.
    pub fn open(store: AccessStore) -> Result<Self, TokenError> {
        let mut records = Vec::new();
        for (key, value) in store.scan(PREFIX)?.into_iter().chain(store.scan(SCOPED_PREFIX)?) {
            let key = String::from_utf8_lossy(&key).into_owned();
            let record = serde_json::from_slice(&value).map_err(|source| TokenError::Corrupt { key, source })?;
            records.push(record);
        }
        let live = Arc::new(ArcSwap::from_pointee(TokenTable::new(records)));
        Ok(Self { store, live, changing: Mutex::new(()) })
    }

    /// The live table, for those who check logins.
    pub fn table(&self) -> Arc<ArcSwap<TokenTable>> {
        Arc::clone(&self.live)
    }

    /// All tokens, oldest first.
    pub fn list(&self) -> Vec<TokenView> {
        let now_ns = now_ns();
        self.live.load().records().into_iter().map(|record| view(record, now_ns)).collect()
    }

    /// Creates a token for whoever `minted_by` names.
    pub fn create(&self, new: NewToken, minted_by: &str) -> Result<CreatedToken, TokenError> {
        let mut random = Zeroizing::new([0; TOKEN_RANDOM_BYTES]);
        getrandom::fill(random.as_mut()).map_err(TokenError::Random)?;
        let request = TokenRequest {
            subject: new.subject,
            groups: new.groups,
            ttl_ns: new.ttl_seconds.saturating_mul(1_000_000_000),
            minted_by: minted_by.to_owned(),
            minter: None,
            scope: new.scope,
        };
        let now_ns = now_ns();
        let minted = request.mint(&random, now_ns)?;
        self.change(minted.record.clone())?;
        Ok(CreatedToken { view: view(&minted.record, now_ns), token: minted.text })
    }

    /// Takes a token back. Doing so again changes nothing and is no error.
    pub fn revoke(&self, id: &str) -> Result<TokenView, TokenError> {
        let mut record = self.live.load().get(id).cloned().ok_or_else(|| TokenError::NotFound { id: id.to_owned() })?;
        let now_ns = now_ns();
        if record.revoked_ns.is_none() {
            record.revoked_ns = Some(now_ns);
            self.change(record.clone())?;
        }
        Ok(view(&record, now_ns))
    }

    fn change(&self, record: TokenRecord) -> Result<(), TokenError> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let prefix = if record.scopes.is_some() { SCOPED_PREFIX } else { PREFIX };
        let key = [prefix, record.id.as_bytes()].concat();
        let value =
            serde_json::to_vec(&record).map_err(|source| TokenError::Corrupt { key: record.id.clone(), source })?;
        self.store.put(&key, &value)?;
        self.live.store(Arc::new(self.live.load().with(record)));
        Ok(())
    }
}

fn view(record: &TokenRecord, now_ns: u64) -> TokenView {
    let state = match record.revoked_ns {
        Some(_) => TokenState::Revoked,
        None if record.expires_ns <= now_ns => TokenState::Expired,
        None => TokenState::Active,
    };
    TokenView {
        id: record.id.clone(),
        subject: record.subject.clone(),
        groups: record.groups.clone(),
        scopes: record.scopes.clone(),
        state,
        created: Rfc3339(record.created_ns).to_string(),
        created_ns: record.created_ns,
        expires: Rfc3339(record.expires_ns).to_string(),
        expires_ns: record.expires_ns,
        revoked: record.revoked_ns.map(|ns| Rfc3339(ns).to_string()),
        revoked_ns: record.revoked_ns,
        minted_by: record.minted_by.clone(),
    }
}

/// The time now, ns since the Unix epoch.
pub(super) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
