//! A listener's TLS: what it shows clients and what it asks of them.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;

use super::files::{FileReader, FileRole, TlsError};
use super::live::{Files, Live, Loaded, Owner};
use super::{provider, versions};
use crate::addressing::HostPattern;

/// Whether clients show certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    Ignored,
    /// One that comes from these authorities is taken; none is as well.
    Optional {
        /// PEM file of the authorities.
        ca: PathBuf,
    },
    /// One that comes from these authorities is asked for.
    Required {
        /// PEM file of the authorities.
        ca: PathBuf,
    },
}

/// The files of a listener's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// PEM: our certificate, then its chain.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// What is asked of clients.
    pub clients: ClientCertificates,
    /// TLS 1.2 is not spoken.
    pub tls13_only: bool,
}

/// A listener's TLS in force.
pub type ServerTls = Live<ServerFiles>;

impl ServerFiles {
    /// Reads the files and checks that they fit, without putting them to use.
    pub fn check(&self) -> Result<(), TlsError> {
        self.load().map(drop)
    }

    /// The hosts that the certificate is for.
    pub fn hosts(&self) -> Result<CertificateHosts, TlsError> {
        let (chain, _) = FileReader::default().chain(&self.certificate)?;
        Ok(CertificateHosts(chain.into_iter().next()))
    }

    /// When our certificate or one of its chain ends, s since the Unix epoch.
    pub fn expires_s(&self) -> Result<Option<i64>, TlsError> {
        self.load().map(|loaded| loaded.expires_s)
    }
}

/// The hosts that a certificate is for: clients that verify host names refuse it elsewhere.
pub struct CertificateHosts(Option<CertificateDer<'static>>);

/// Brokers whose names are tried where it is not known which there are; a certificate may list names one by one. Ids that
/// Kafka used to give itself begin at 1001 (`reserved.broker.max.id`).
const NODES_TRIED: i32 = 2000;

impl CertificateHosts {
    /// Whether this host is one of them.
    pub fn cover(&self, host: &str) -> bool {
        self.covers_any([host.to_owned()])
    }

    fn covers_any(&self, hosts: impl IntoIterator<Item = String>) -> bool {
        let Some(Ok(parsed)) = self.0.as_ref().map(ParsedCertificate::try_from) else { return false };
        let named =
            |host: String| ServerName::try_from(host).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok());
        hosts.into_iter().any(named)
    }

    /// Whether hosts of this pattern may be among them.
    pub fn may_cover(&self, pattern: &HostPattern) -> bool {
        let tried = if pattern.names_brokers() { NODES_TRIED } else { 1 };
        self.covers_any((0..tried).map(|node| pattern.host(node)))
    }
}

impl Files for ServerFiles {
    type Config = ServerConfig;
    const OWNER: Owner = Owner::Listener;

    fn paths(&self) -> Vec<PathBuf> {
        let ca = match &self.clients {
            ClientCertificates::Ignored => None,
            ClientCertificates::Optional { ca } | ClientCertificates::Required { ca } => Some(ca.clone()),
        };
        [self.certificate.clone(), self.key.clone()].into_iter().chain(ca).collect()
    }

    fn load(&self) -> Result<Loaded<ServerConfig>, TlsError> {
        let (mut reader, provider) = (FileReader::default(), provider());
        let (identity, expires_s) = reader.identity(&self.certificate, &self.key, &provider)?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(self.tls13_only))
            .map_err(|error| TlsError::new(FileRole::Certificate, error.to_string()))?;
        let builder = match &self.clients {
            ClientCertificates::Ignored => builder.with_no_client_auth(),
            ClientCertificates::Optional { ca } | ClientCertificates::Required { ca } => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(reader.trust(ca)?), provider);
                let verifier = match &self.clients {
                    ClientCertificates::Optional { .. } => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                let refused = |error: rustls::server::VerifierBuilderError| {
                    TlsError::new(FileRole::Trust, format!("file {} cannot be used: {error}", ca.display()))
                };
                builder.with_client_cert_verifier(verifier.build().map_err(refused)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        // Nothing is resumed: every connection proves anew who it is, to the authorities that are trusted now.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Loaded { config: Arc::new(config), expires_s: Some(expires_s), digest: reader.digest() })
    }
}
