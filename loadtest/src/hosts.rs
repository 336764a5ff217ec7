//! Host names that only the processes of a test know: what a wildcard in the DNS is in production.
//!
//! The system's own hosts file is not a test's to change. `nss_wrapper` stands between a process and the C library's look-up,
//! so that Java, librdkafka and the gateway itself find the names of another file.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::{During, Result};

/// A hosts file.
#[derive(Debug, Clone)]
pub struct Hosts(PathBuf);

impl Hosts {
    /// Writes one. A name may have several addresses.
    pub fn write(path: &Path, names: &[(&str, IpAddr)]) -> Result<Self> {
        let lines: String = names.iter().map(|(name, address)| format!("{address} {name}\n")).collect();
        fs::write(path, lines).during("write a hosts file")?;
        Ok(Self(path.to_owned()))
    }

    /// What a process is started with to know the names.
    pub fn env(&self) -> Vec<(String, String)> {
        let pairs = [("LD_PRELOAD", "libnss_wrapper.so"), ("NSS_WRAPPER_HOSTS", &self.0.display().to_string())];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }
}
