//! How Weir proves itself to a cluster: credentials that answer a broker's challenges.
//!
//! They answer through an async trait, so that whoever holds the key may sit elsewhere: a separate key-holder process is
//! one more implementation, and a gateway that is seized then gives up no key.
//!
//! Invariants:
//! - Answering never blocks the thread that asks, which may be a shard: what costs CPU (salting a password) or waits
//!   (fetching a token) is done by the credential's [`Upkeep`], on the upstream thread.
//! - A secret is in the answers and nowhere else: not in an error, not in `Debug`. It is wiped when it is dropped.

mod oauth;
mod plain;
mod scram;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use thiserror::Error;
use zeroize::Zeroizing;

pub use oauth::{OauthOptions, OauthToken, fetch_token};

use super::http::HttpError;
use crate::scram::{Hash, ScramError};

/// A way to prove who Weir is.
pub trait Credential: Send + Sync {
    /// The SASL mechanism's name.
    fn mechanism(&self) -> &'static str;

    /// Begins one login.
    fn begin(&self) -> Box<dyn Conversation>;
}

/// One login's side of the conversation.
pub trait Conversation: Send {
    /// Answers the broker's challenge; none is there at the start, when the client speaks first.
    fn answer<'a>(&'a mut self, challenge: Option<&'a [u8]>) -> Answering<'a>;
}

/// An answer in the making; it can be awaited on every executor.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, CredentialError>> + Send + 'a>>;

/// What a credential has to say.
#[derive(Debug)]
pub enum Answer {
    /// Send this, which may be a secret.
    Send(Zeroizing<Vec<u8>>),
    /// Nothing more: the broker has proven what it had to.
    Done,
}

/// Why a credential has no answer.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum CredentialError {
    /// The broker's part of a SCRAM login does not fit.
    #[error("{0}")]
    Scram(#[from] ScramError),
    /// No token is to be had.
    #[error("there is no token to log in with: {0}")]
    Token(String),
    /// The broker asks for more than the mechanism has.
    #[error("the broker goes on with a login that is over")]
    OutOfTurn,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    Random,
    /// The upstream thread has ended, as it does in a stop.
    #[error("the credential is no longer kept")]
    Gone,
}

/// What a credential needs to have done on a thread that may wait and compute; it ends with the credential.
pub type Upkeep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the configuration says of a credential.
#[derive(Clone)]
pub enum CredentialOptions {
    /// SASL/PLAIN (RFC 4616).
    Plain {
        /// The user Weir logs in as.
        username: String,
        /// Its password; shared, so that there is one copy of it.
        password: Arc<Zeroizing<String>>,
    },
    /// SCRAM-SHA-256 or SCRAM-SHA-512 (RFC 5802).
    Scram {
        /// Which of them.
        hash: Hash,
        /// The user Weir logs in as.
        username: String,
        /// Its password; shared, so that there is one copy of it.
        password: Arc<Zeroizing<String>>,
    },
    /// OAUTHBEARER (RFC 7628) with tokens of the client credentials grant (RFC 6749, 4.4).
    Oauth(OauthOptions),
}

impl fmt::Debug for CredentialOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CredentialOptions::Plain { username, .. } => write!(f, "Plain({username:?}, …)"),
            CredentialOptions::Scram { hash, username, .. } => write!(f, "{}({username:?}, …)", hash.mechanism()),
            CredentialOptions::Oauth(options) => options.fmt(f),
        }
    }
}

/// A credential, and what has to be run for it, if anything has.
pub struct Opened {
    /// Answers.
    pub credential: Arc<dyn Credential>,
    /// For the upstream thread.
    pub upkeep: Option<Upkeep>,
}

/// Makes the credential of `cluster`.
pub fn open(cluster: &str, options: CredentialOptions) -> Result<Opened, HttpError> {
    Ok(match options {
        CredentialOptions::Plain { username, password } => {
            Opened { credential: Arc::new(plain::Plain::new(username, password)), upkeep: None }
        }
        CredentialOptions::Scram { hash, username, password } => {
            let (credential, upkeep) = scram::open(hash, username, password);
            Opened { credential: Arc::new(credential), upkeep: Some(upkeep) }
        }
        CredentialOptions::Oauth(options) => {
            let (credential, upkeep) = oauth::open(cluster, options)?;
            Opened { credential: Arc::new(credential), upkeep: Some(upkeep) }
        }
    })
}
