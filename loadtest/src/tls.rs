//! Certificates for tests: an authority of a test's own, what it issues, and both as the files that Weir, brokers and
//! clients read.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::{During, Failure, Result};

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its private key, PKCS#8.
    pub key: String,
}

/// Where a certificate was written to.
#[derive(Debug, Clone)]
pub struct Files {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Both in one file, as Java's PEM key stores want them.
    pub both: PathBuf,
}

/// Long enough for every test.
pub const A_DAY: Duration = Duration::from_secs(24 * 3600);

impl Authority {
    /// Makes one.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = params(&[("CN", name)], &[], A_DAY)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().during("a key")?;
        CertifiedIssuer::self_signed(params, key).map(Self).during("an authority's certificate")
    }

    /// Its own certificate, which whoever trusts it is given.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a certificate: the subject from the most general component to the common name, the host names and addresses
    /// it is for, and for how long from now.
    pub fn issue(&self, subject: &[(&str, &str)], hosts: &[&str], lasts: Duration) -> Result<Issued> {
        let key = KeyPair::generate().during("a key")?;
        let certificate = params(subject, hosts, lasts)?.signed_by(&key, &self.0).during("a certificate")?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn params(subject: &[(&str, &str)], hosts: &[&str], lasts: Duration) -> Result<CertificateParams> {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).during("a certificate's names")?;
    let mut name = DistinguishedName::new();
    for (kind, value) in subject {
        let kind = match *kind {
            "C" => DnType::CountryName,
            "O" => DnType::OrganizationName,
            "OU" => DnType::OrganizationalUnitName,
            "CN" => DnType::CommonName,
            other => return Err(Failure::new(format!("no certificate here has a {other}"))),
        };
        name.push(kind, *value);
    }
    params.distinguished_name = name;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).during("the clock")?;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(Duration::from_secs(3600));
    params.not_after = epoch + now + lasts;
    Ok(params)
}

impl Issued {
    /// Writes the files `name.crt`, `name.key` and `name.pem`, each replaced at once.
    pub fn write(&self, dir: &Path, name: &str) -> Result<Files> {
        let path = |ending: &str| dir.join(format!("{name}.{ending}"));
        let files = Files { certificate: path("crt"), key: path("key"), both: path("pem") };
        replace(&files.certificate, &self.certificate)?;
        replace(&files.key, &self.key)?;
        replace(&files.both, &format!("{}{}", self.key, self.certificate))?;
        Ok(files)
    }
}

/// Writes a file that only its owner can read beside `path` and moves it there.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    let doing = || format!("write {}", path.display());
    let fresh = path.with_extension("fresh");
    let mut file = fs::OpenOptions::new();
    let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&fresh).during(doing())?;
    file.write_all(text.as_bytes()).during(doing())?;
    fs::rename(&fresh, path).during(doing())
}

/// What a raw client of the test's own speaks TLS with.
pub fn client_config(
    ca: &str,
    identity: Option<&Issued>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.during("the authority's PEM")?).during("the authority")?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).during("versions")?;
    let builder = builder.with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain =
                CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect::<std::result::Result<_, _>>();
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).during("the client's key")?;
            builder.with_client_auth_cert(chain.during("the client's certificate")?, key).during("the client's pair")?
        }
    };
    Ok(Arc::new(config))
}
