//! HTTP as Weir speaks it: to token endpoints, for secrets; to issuers, for their keys; to webhooks' receivers.
//!
//! Invariants: no redirect is followed and no proxy taken from the environment, since a secret goes where the
//! configuration says and nowhere else; every request is bounded in time, every answer in size.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::limits;
use crate::tls::{self, TlsError};

/// Why there is no HTTP client.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The file with certificates is of no use.
    #[error("{0}")]
    Certificates(#[from] TlsError),
    /// TLS could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The client could not be set up.
    #[error("HTTP cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// A client that trusts the certificates in `ca`, or the system's where none is named.
pub fn client(ca: Option<&Path>) -> Result<reqwest::Client, HttpError> {
    Ok(builder(ca)?.build()?)
}

/// The same, for whoever has more to say about it.
pub fn builder(ca: Option<&Path>) -> Result<reqwest::ClientBuilder, HttpError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(limits::TOKEN_FETCH_WAIT)
        .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION"))))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, TlsError> {
    match (ca, tls::trusted(ca)) {
        // An address without TLS needs nobody to vouch for it; one with TLS is then refused, for want of anybody.
        (None, Err(why)) => {
            tracing::warn!("servers over TLS cannot be verified: {why}");
            Ok(RootCertStore::empty())
        }
        (_, trusted) => trusted,
    }
}

/// The answer's body, at most [`limits::TOKEN_ANSWER_BYTES_MAX`] of it, in memory that is wiped; none beyond that.
pub(super) async fn body(mut answer: reqwest::Response) -> Result<Option<Zeroizing<Vec<u8>>>, reqwest::Error> {
    // Reserved at once: growing would leave copies of a token behind in freed memory.
    let mut body = Zeroizing::new(Vec::with_capacity(limits::TOKEN_ANSWER_BYTES_MAX));
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > limits::TOKEN_ANSWER_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

/// An error of [`reqwest`] with its causes and without the URL, which is told by whoever knows what it is for.
pub fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(deeper) = cause {
        let said = deeper.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = deeper.source();
    }
    text
}
