//! TLS as configured: certificates, keys and trust out of PEM files, made into what rustls works with, replaced when the
//! files change. The handshakes themselves are in `shard/` and `upstream/`.
//!
//! Invariants:
//! - What does not fit together (a key of another certificate, one that has expired, a file without certificates) is never
//!   put to use: at start it is an error that names the file, later a warning, and what was in use stays.
//! - A private key is read from files that only its owner and group can read, and shown by nothing.
//! - Nothing here runs on a shard but reading the configuration in force, which takes no lock and no I/O.

mod client;
mod explain;
mod files;
mod live;
mod server;
mod subject;

pub use client::{ClientFiles, ClientTls};
pub use explain::{Peer, explain, explain_io, is_at_fault};
pub use files::{FileRole, TlsError, is_too_open, trusted};
pub use live::{Reload, Reloader};
pub use server::{CertificateHosts, ClientCertificates, ServerFiles, ServerTls};
pub use subject::{CertificateSubject, SubjectError};

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The cipher suites and key exchanges of aws-lc.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// TLS 1.3 and, unless it is ruled out, 1.2.
fn versions(tls13_only: bool) -> &'static [&'static SupportedProtocolVersion] {
    static ONLY_1_3: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
    if tls13_only { &ONLY_1_3 } else { rustls::DEFAULT_VERSIONS }
}
