//! PEM files: certificate chains, private keys (PKCS#8, PKCS#1, SEC1) and the certificates of trusted authorities.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// A bundle of every authority there is has some 250 KiB; a larger file is the wrong file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Others on the machine may not read a secret's file, nor its group change it. Group read is left, because that is how
/// mounted secrets reach a process that does not run as root.
const MODE_TOO_OPEN: u32 = 0o027;

/// Whether a file's mode lets others at the secret in it.
pub fn is_too_open(mode: u32) -> bool {
    mode & MODE_TOO_OPEN != 0
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileRole {
    /// Our own certificate, its chain behind it.
    Certificate,
    /// The private key of our certificate.
    Key,
    /// The authorities whom peers' certificates have to come from.
    Trust,
}

impl fmt::Display for FileRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileRole::Certificate => "certificate",
            FileRole::Key => "key",
            FileRole::Trust => "CA",
        })
    }
}

/// Why TLS cannot be set up from the files that are there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TlsError {
    /// Which of the files is to blame.
    pub role: FileRole,
    /// What is wrong, naming the file; never a part of a key.
    pub what: String,
}

impl TlsError {
    pub(super) fn new(role: FileRole, what: impl Into<String>) -> Self {
        Self { role, what: what.into() }
    }
}

/// Reads files once each and remembers what was read by a hash.
#[derive(Default)]
pub(super) struct FileReader {
    hash: Sha256,
}

impl FileReader {
    /// SHA-256 of all that was read.
    pub(super) fn digest(self) -> [u8; 32] {
        self.hash.finalize().into()
    }

    /// A certificate chain, the own certificate first, and when the first of them ends, s since the Unix epoch.
    pub(super) fn chain(&mut self, path: &Path) -> Result<(Vec<CertificateDer<'static>>, i64), TlsError> {
        let chain = self.certificates(path, FileRole::Certificate)?;
        let mut expires_s = i64::MAX;
        for certificate in &chain {
            expires_s = expires_s.min(in_force(certificate, path, FileRole::Certificate)?);
        }
        Ok((chain, expires_s))
    }

    /// A chain with its key; they have to belong together.
    pub(super) fn identity(
        &mut self,
        certificate: &Path,
        key: &Path,
        provider: &CryptoProvider,
    ) -> Result<(Arc<CertifiedKey>, i64), TlsError> {
        let (chain, expires_s) = self.chain(certificate)?;
        let private = self.key(key)?;
        let pair = CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::new(
                FileRole::Key,
                format!("the key in {} does not belong to the certificate in {}", key.display(), certificate.display()),
            ),
            other => TlsError::new(FileRole::Key, format!("the key in {} cannot be used: {other}", key.display())),
        })?;
        Ok((Arc::new(pair), expires_s))
    }

    /// The authorities of a file, or of the system where none is named.
    pub(super) fn trusted(&mut self, file: Option<&Path>) -> Result<RootCertStore, TlsError> {
        file.map_or_else(system_trust, |file| self.trust(file))
    }

    /// The authorities of a file; expired ones may be among them, since bundles hold them for long.
    pub(super) fn trust(&mut self, path: &Path) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates(path, FileRole::Trust)? {
            roots.add(certificate).map_err(|error| {
                let what = format!("file {} holds a certificate that cannot be trusted: {error}", path.display());
                TlsError::new(FileRole::Trust, what)
            })?;
        }
        Ok(roots)
    }

    fn certificates(&mut self, path: &Path, role: FileRole) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let bytes = self.read(path, role)?;
        let parsed: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
        let shown = path.display();
        match parsed {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            Ok(_) => Err(TlsError::new(role, format!("file {shown} holds no certificate in PEM form"))),
            Err(error) => Err(TlsError::new(role, format!("file {shown} is not proper PEM: {error}"))),
        }
    }

    fn key(&mut self, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
        let bytes = self.read(path, FileRole::Key)?;
        let shown = path.display();
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
            let locked = b"ENCRYPTED PRIVATE KEY";
            let why = match error {
                pem::Error::NoItemsFound if bytes.windows(locked.len()).any(|w| w == locked) => {
                    "holds a key that is encrypted with a password; store it without one"
                }
                pem::Error::NoItemsFound => "holds no private key in PEM form",
                _ => "is not proper PEM",
            };
            TlsError::new(FileRole::Key, format!("file {shown} {why}"))
        })
    }

    fn read(&mut self, path: &Path, role: FileRole) -> Result<Zeroizing<Vec<u8>>, TlsError> {
        let shown = path.display();
        let unreadable = |e: std::io::Error| TlsError::new(role, format!("file {shown} cannot be read: {e}"));
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(TlsError::new(role, format!("file {shown} is not a regular file")));
        }
        let mode = metadata.mode() & 0o777;
        if role == FileRole::Key && is_too_open(mode) {
            let what = format!("file {shown} has mode {mode:04o}, too open for a private key; run `chmod 600 {shown}`");
            return Err(TlsError::new(role, what));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(TlsError::new(role, format!("file {shown} is larger than {FILE_BYTES_MAX} bytes")));
        }
        // Reserved at once: growing would leave copies of a key behind in freed memory.
        let room = usize::try_from(metadata.len()).unwrap_or(0) + 4096;
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        file.take(room as u64).read_to_end(&mut bytes).map_err(unreadable)?;
        self.hash.update(bytes.as_slice());
        Ok(bytes)
    }
}

/// The authorities of a file, or of the system where none is named.
pub fn trusted(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    FileReader::default().trusted(file)
}

fn system_trust() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // One unreadable certificate of the system's is no reason to distrust the others.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map_or_else(|| "none is installed".to_owned(), ToString::to_string);
    Err(TlsError::new(FileRole::Trust, format!("the system's certificate authorities cannot be read: {why}; set `ca`")))
}

/// When a certificate ends, s since the Unix epoch; an error where it has ended or not begun.
fn in_force(certificate: &CertificateDer<'_>, path: &Path, role: FileRole) -> Result<i64, TlsError> {
    let shown = path.display();
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|_| TlsError::new(role, format!("file {shown} holds a certificate that is not proper X.509")))?;
    let validity = parsed.validity();
    let now = jiff::Timestamp::now().as_second();
    let (begins, ends) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let whose = parsed.subject().to_string();
    if now >= ends {
        return Err(TlsError::new(role, format!("the certificate of {whose} in {shown} expired at {}", day(ends))));
    }
    if now < begins {
        return Err(TlsError::new(role, format!("the certificate of {whose} in {shown} begins at {}", day(begins))));
    }
    Ok(ends)
}

/// A moment as logs show it.
pub(super) fn day(second: i64) -> String {
    jiff::Timestamp::from_second(second).map_or_else(|_| second.to_string(), |moment| moment.to_string())
}

/// Where a file is and what it looks like from outside; unequal once it was replaced or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Option<[i64; 7]>);

impl Stamp {
    /// Follows links: Kubernetes swaps one to replace all files of a secret at once.
    pub(super) fn of(path: &Path) -> Self {
        let metadata = std::fs::metadata(path).ok();
        Stamp(metadata.map(|m| {
            let whole = |n: u64| i64::from_ne_bytes(n.to_ne_bytes());
            let (device, inode, size) = (whole(m.dev()), whole(m.ino()), whole(m.size()));
            [device, inode, size, m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()]
        }))
    }
}

/// The stamps of some files.
pub(super) fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    paths.iter().map(|path| Stamp::of(path)).collect()
}
