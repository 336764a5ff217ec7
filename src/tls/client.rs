//! A cluster's TLS: whom brokers have to be, and what Weir shows them.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::files::{FileReader, FileRole, TlsError};
use super::live::{Files, Live, Loaded, Owner};
use super::{provider, versions};

/// The files of a cluster's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// PEM file of the authorities whom brokers' certificates have to come from; none: those of the system.
    pub ca: Option<PathBuf>,
    /// PEM files of our certificate and its key, for brokers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// A broker's certificate has to name the host that it is reached by.
    pub verify_host: bool,
}

/// A cluster's TLS in force.
pub type ClientTls = Live<ClientFiles>;

impl ClientFiles {
    /// Reads the files and checks that they fit, without putting them to use.
    pub fn check(&self) -> Result<(), TlsError> {
        self.load().map(drop)
    }

    /// When our certificate or one of its chain ends, s since the Unix epoch; none where we show none.
    pub fn expires_s(&self) -> Result<Option<i64>, TlsError> {
        self.load().map(|loaded| loaded.expires_s)
    }
}

impl Files for ClientFiles {
    type Config = ClientConfig;
    const OWNER: Owner = Owner::Cluster;

    fn paths(&self) -> Vec<PathBuf> {
        let identity = self.identity.iter().flat_map(|(certificate, key)| [certificate.clone(), key.clone()]);
        self.ca.iter().cloned().chain(identity).collect()
    }

    fn load(&self) -> Result<Loaded<ClientConfig>, TlsError> {
        let (mut reader, provider) = (FileReader::default(), provider());
        let roots = reader.trusted(self.ca.as_deref())?;
        let unusable = |error: &dyn std::fmt::Display| TlsError::new(FileRole::Trust, format!("CA: {error}"));
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| unusable(&error))?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(false))
            .map_err(|error| unusable(&error))?;
        let verifier: Arc<dyn ServerCertVerifier> = if self.verify_host { chain } else { Arc::new(AnyName { chain }) };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let (mut config, expires_s) = match &self.identity {
            None => (builder.with_no_client_auth(), None),
            Some((certificate, key)) => {
                let (identity, expires_s) = reader.identity(certificate, key, &provider)?;
                (builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))), Some(expires_s))
            }
        };
        // Every connection sees the broker's certificate anew.
        config.resumption = Resumption::disabled();
        Ok(Loaded { config: Arc::new(config), expires_s, digest: reader.digest() })
    }
}

/// Checks everything but the name, for `verify_host: false`.
#[derive(Debug)]
struct AnyName {
    chain: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        // The name is looked at last: what fails there only has passed everything else.
        match self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
