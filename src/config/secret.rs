//! Secrets: named in the configuration, read from the environment or from a file, never shown.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::reader::{Reader, keys};
use super::value;
use super::yaml::{Data, Node};
use crate::tls::is_too_open;

/// What a secret in the configuration looks like.
pub(super) const EXPECTED: &str = "`{ env: NAME }` or `{ file: PATH }`";

/// No password is longer; a larger file is the wrong file.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// What stands for a secret that is not to be read: long enough for whatever it is for.
const STAND_IN: &str = "a secret that was not read, of a length that will do for a key";

/// A secret's text: zeroized when the last clone goes, shown by nothing.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Wraps a secret's text.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(Arc::new(text))
    }

    /// The text itself, shared: a copy would be one more to wipe.
    pub fn share(&self) -> Arc<Zeroizing<String>> {
        self.0.clone()
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Reads a reference and what it refers to. What stands in the file is never shown: it may be the secret itself.
pub(super) fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Secret> {
    let reference = match &node.data {
        Data::Mapping(entries) => match entries.as_slice() {
            [(key, value)] => Some((key.name.as_str(), value)),
            _ => None,
        },
        _ => None,
    };
    let text = match reference {
        Some(("env" | "file", _)) if !reader.reads_secrets() => Ok(Zeroizing::new(STAND_IN.to_owned())),
        Some(("env", name)) => from_environment(name),
        Some(("file", file)) => value::text(file)
            .map_err(|_| "file: expected a path".to_owned())
            .and_then(|file| from_file(&reader.resolve(file))),
        _ => Err(format!("expected {EXPECTED}; secrets do not belong in this file")),
    };
    match text.and_then(usable) {
        Ok(text) => Some(Secret::new(text)),
        Err(what) => {
            reader.report(node.at, format!("{path}: {what}"));
            None
        }
    }
}

fn from_environment(name: &Node) -> Result<Zeroizing<String>, String> {
    let expected =
        || format!("env: expected the name of an environment variable, not its value, in {}", keys(&["env"]));
    let name = value::text(name).map_err(|_| expected())?;
    let plain = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    if !plain {
        return Err("env: expected the name of an environment variable: capitals, digits and `_`".to_owned());
    }
    match std::env::var(name) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(std::env::VarError::NotPresent) => {
            Err(format!("environment variable {name} is not set; expected it to hold the secret"))
        }
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("environment variable {name} is not valid UTF-8")),
    }
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let shown = path.display();
    let unreadable = |e: std::io::Error| format!("file {shown} cannot be read: {e}");
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(format!("file {shown} is not a regular file"));
    }
    let mode = metadata.mode() & 0o777;
    if is_too_open(mode) {
        return Err(format!("file {shown} has mode {mode:04o}, too open for a secret; run `chmod 600 {shown}`"));
    }
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(format!("file {shown} is larger than {SECRET_BYTES_MAX} bytes: not a secret"));
    }
    // Reserved at once: growing would leave copies of the secret behind in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(SECRET_BYTES_MAX as usize + 1));
    file.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    let kept = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(kept);
    Ok(text)
}

/// NUL separates the fields of SASL/PLAIN (RFC 4616), so no password can hold one.
fn usable(text: Zeroizing<String>) -> Result<Zeroizing<String>, String> {
    if text.is_empty() {
        return Err("the secret is empty".to_owned());
    }
    if text.contains('\0') {
        return Err("the secret holds a NUL character, which no login can carry".to_owned());
    }
    Ok(text)
}
