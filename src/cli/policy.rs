//! A policy as commands name it, and one that is tried in the place of the configuration's own.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::error::CliError;
use crate::config::{Config, Policy};

/// Characters of a policy's hash that people get, as from `weir reload`.
const HASH_SHOWN: usize = 12;

/// Where a policy was read from, and which it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(super) struct PolicyFile {
    /// The file or folder.
    pub(super) file: String,
    /// None where there is no such file.
    pub(super) sha256: Option<String>,
}

impl PolicyFile {
    /// None where the configuration names none.
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        let file = policy.path.as_ref()?.display().to_string();
        let hash = || policy.snapshot.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(PolicyFile { file, sha256: (!policy.missing).then(hash) })
    }
}

impl fmt::Display for PolicyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sha256 {
            Some(hash) => write!(f, "{} (sha256 {}…)", self.file, hash.get(..HASH_SHOWN).unwrap_or(hash)),
            None => write!(f, "{} (does not exist)", self.file),
        }
    }
}

/// Another policy, checked as the configuration's own is.
pub(super) fn candidate(config: &Config, path: &Path) -> Result<Policy, CliError> {
    let snapshot = Arc::new(config.read_policy_at(path).map_err(CliError::NotTried)?);
    Ok(Policy { path: Some(path.to_owned()), missing: false, snapshot })
}
