//! Where answers come from: the running gateway, or the store itself when none runs.
//!
//! Both give the same JSON, which is what `--json` prints and what tables are made of.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::CliError;
use crate::config::Config;
use crate::control::EXCHANGES_PAGE;
use crate::control::client::Client;
use crate::control::{CreatedToken, LookPage, Minter, NewToken, TokenRegistry, TokenView, look_page};
use crate::event::SessionId;
use crate::limits::FRAMES_PAGE_BYTES;
use crate::recorder::{
    EventCursor, FrameCursor, FramePage, LookStore, Queries, SessionFilter, open_access, open_read_only,
};

/// Who answers questions about tokens.
pub(super) enum Tokens {
    Gateway(Client),
    Store(TokenRegistry),
}

impl Tokens {
    pub(super) fn find(config: &Config) -> Result<Self, CliError> {
        match Client::find(&config.control.socket)? {
            Some(gateway) => Ok(Tokens::Gateway(gateway)),
            None => Ok(Tokens::Store(TokenRegistry::open(open_access(&config.store.path)?)?)),
        }
    }

    pub(super) fn create(&self, new: NewToken) -> Result<CreatedToken, CliError> {
        match self {
            Tokens::Gateway(gateway) => Ok(gateway.post("/api/v1/tokens", &new)?),
            Tokens::Store(tokens) => Ok(tokens.create(new, &Minter::LocalUser(caller()))?),
        }
    }

    pub(super) fn list(&self) -> Result<Vec<TokenView>, CliError> {
        #[derive(Deserialize)]
        struct Listed {
            tokens: Vec<TokenView>,
        }
        match self {
            Tokens::Gateway(gateway) => Ok(gateway.get::<Listed>("/api/v1/tokens")?.tokens),
            Tokens::Store(tokens) => Ok(tokens.list()),
        }
    }

    pub(super) fn revoke(&self, id: &str) -> Result<TokenView, CliError> {
        match self {
            Tokens::Gateway(gateway) => Ok(gateway.delete(&format!("/api/v1/tokens/{}", encoded(id)))?),
            Tokens::Store(tokens) => Ok(tokens.revoke(id)?),
        }
    }
}

/// Who answers questions about the recording.
pub(super) enum Recording {
    Gateway(Client),
    Store(Queries),
}

impl Recording {
    pub(super) fn find(config: &Config) -> Result<Self, CliError> {
        match Client::find(&config.control.socket)? {
            Some(gateway) => Ok(Recording::Gateway(gateway)),
            None => Ok(Recording::Store(open_read_only(&config.store.path)?)),
        }
    }

    /// The sessions that `filter` describes, the most recently active first.
    pub(super) fn sessions<T: DeserializeOwned>(&self, filter: &SessionFilter) -> Result<Vec<T>, CliError> {
        #[derive(Deserialize)]
        struct Listed<T> {
            sessions: Vec<T>,
        }
        match self {
            Recording::Gateway(gateway) => Ok(gateway.get::<Listed<T>>(&sessions_path(filter))?.sessions),
            Recording::Store(queries) => by_json(&queries.sessions(filter)?),
        }
    }

    /// One session.
    pub(super) fn session(&self, id: SessionId) -> Result<Value, CliError> {
        match self {
            Recording::Gateway(gateway) => Ok(gateway.get(&format!("/api/v1/sessions/{id}"))?),
            Recording::Store(queries) => {
                let missing =
                    || CliError::NotFound(format!("no session has the id {id}; `weir sessions` shows those there are"));
                Ok(serde_json::to_value(queries.session(id)?.ok_or_else(missing)?)?)
            }
        }
    }

    /// The page of events after `after`; the last page is shorter than `EXCHANGES_PAGE`.
    pub(super) fn exchanges<T: DeserializeOwned>(&self, id: SessionId, after: EventCursor) -> Result<Vec<T>, CliError> {
        #[derive(Deserialize)]
        struct Listed<T> {
            events: Vec<T>,
        }
        match self {
            Recording::Gateway(gateway) => {
                let path = format!("/api/v1/sessions/{id}/events?cursor={after}&limit={EXCHANGES_PAGE}");
                Ok(gateway.get::<Listed<T>>(&path)?.events)
            }
            Recording::Store(queries) => by_json(&queries.joined_exchanges(id, after, EXCHANGES_PAGE)?),
        }
    }

    /// The page of frames after `after`.
    pub(super) fn frames(&self, id: SessionId, after: FrameCursor) -> Result<FramePage, CliError> {
        match self {
            Recording::Gateway(gateway) => Ok(gateway.get(&format!("/api/v1/sessions/{id}/frames?after={after}"))?),
            Recording::Store(queries) => Ok(queries.frames(id, after, FRAMES_PAGE_BYTES)?),
        }
    }
}

/// Who answers questions about who looked.
pub(super) enum Looks {
    Gateway(Client),
    Store(LookStore),
}

impl Looks {
    pub(super) fn find(config: &Config) -> Result<Self, CliError> {
        match Client::find(&config.control.socket)? {
            Some(gateway) => Ok(Looks::Gateway(gateway)),
            None => Ok(Looks::Store(LookStore::of(open_access(&config.store.path)?))),
        }
    }

    /// The page of at most `limit` looks behind `cursor`, the latest first.
    pub(super) fn page(&self, cursor: Option<&str>, limit: usize) -> Result<LookPage, CliError> {
        match self {
            Looks::Gateway(gateway) => {
                let from = cursor.map(|cursor| format!("&cursor={}", encoded(cursor))).unwrap_or_default();
                Ok(gateway.get(&format!("/api/v1/looks?limit={limit}{from}"))?)
            }
            Looks::Store(looks) => {
                let from = cursor.map(str::parse).transpose().map_err(CliError::Unsuitable)?;
                Ok(look_page(looks, from, limit)?)
            }
        }
    }
}

/// What the gateway's answer would come to.
fn by_json<T: DeserializeOwned>(rows: &impl Serialize) -> Result<T, CliError> {
    Ok(serde_json::from_slice(&serde_json::to_vec(rows)?)?)
}

fn sessions_path(filter: &SessionFilter) -> String {
    let mut path = format!("/api/v1/sessions?limit={}", filter.limit);
    for (name, value) in [("identity", &filter.identity), ("topic", &filter.topic)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    if let Some(address) = &filter.address {
        path.push_str(&format!("&address={}", encoded(&address.to_string())));
    }
    for (name, value) in [("since_ns", filter.since_ns), ("until_ns", filter.until_ns)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={value}"));
        }
    }
    path
}

/// Who mints a token when there is no gateway to ask the kernel.
fn caller() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

/// Percent-encodes what somebody typed, for a URL's path or query (RFC 3986).
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
