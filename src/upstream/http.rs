//! HTTP as Weir speaks it to identity providers: to token endpoints, for secrets; to issuers, for their keys.
//!
//! Invariants: no redirect is followed and no proxy taken from the environment, since a secret goes where the
//! configuration says and nowhere else; every request is bounded in time, every answer in size.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::limits;

/// Why there is no HTTP client.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The file with certificates is of no use.
    #[error("the certificates in {file} cannot be used: {why}", file = .file.display())]
    Certificates {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// TLS could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The client could not be set up.
    #[error("HTTP cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// A client that trusts the certificates in `ca`, or the system's where none is named.
pub fn client(ca: Option<&Path>) -> Result<reqwest::Client, HttpError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(limits::TOKEN_FETCH_WAIT)
        .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
        .build()?;
    Ok(client)
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, HttpError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca else {
        // One unreadable certificate of the system's is no reason to distrust the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let unusable = |why: String| HttpError::Certificates { file: file.to_owned(), why };
    let read = CertificateDer::pem_file_iter(file).map_err(|e| unusable(e.to_string()))?;
    for certificate in read {
        let certificate = certificate.map_err(|e| unusable(e.to_string()))?;
        roots.add(certificate).map_err(|e| unusable(e.to_string()))?;
    }
    if roots.is_empty() { Err(unusable("it holds no PEM certificate".into())) } else { Ok(roots) }
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
