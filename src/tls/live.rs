//! A configuration that follows its files: looked at every few seconds, replaced as a whole, read without a lock.
//!
//! Files are compared by what the file system says of them, and read only when that has changed. A pair of which only one
//! half has been written yet does not fit together: it is warned about once and tried again at each look.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use crossbeam::channel::{RecvTimeoutError, Sender, bounded};

use super::files::{Stamp, TlsError, day, stamps};
use crate::limits;

/// Whose files they are: the two kinds that metrics and logs tell apart.
#[derive(Debug, Clone, Copy)]
pub enum Owner {
    /// A listener's.
    Listener,
    /// A cluster's.
    Cluster,
}

impl Owner {
    fn name(self) -> &'static str {
        match self {
            Owner::Listener => "listener",
            Owner::Cluster => "cluster",
        }
    }
}

/// Files that make a TLS configuration together.
pub trait Files {
    /// What they make.
    type Config;
    /// Whose they are.
    const OWNER: Owner;

    /// All of them.
    fn paths(&self) -> Vec<PathBuf>;

    /// Reads them.
    fn load(&self) -> Result<Loaded<Self::Config>, TlsError>;
}

/// What came of reading files.
pub struct Loaded<C> {
    /// The configuration.
    pub config: Arc<C>,
    /// When our certificate or one of its chain ends, s since the Unix epoch; none where we show none.
    pub expires_s: Option<i64>,
    /// SHA-256 of all that was read.
    pub digest: [u8; 32],
}

/// A configuration in force, and the files it follows.
pub struct Live<F: Files> {
    name: String,
    files: F,
    config: ArcSwap<F::Config>,
    seen: Mutex<Seen>,
}

struct Seen {
    /// Of the files as they were last read to the end.
    stamps: Vec<Stamp>,
    digest: [u8; 32],
    /// What was last warned about; none since it went well.
    trouble: Option<String>,
}

impl<F: Files> Live<F> {
    /// Reads the files of the listener or cluster of this name.
    pub fn open(name: &str, files: F) -> Result<Self, TlsError> {
        // Before reading: what changes in between is seen at the next look.
        let stamps = stamps(&files.paths());
        let loaded = files.load()?;
        tell_expiry::<F>(name, loaded.expires_s);
        let seen = Mutex::new(Seen { stamps, digest: loaded.digest, trouble: None });
        Ok(Live { name: name.to_owned(), files, config: ArcSwap::new(loaded.config), seen })
    }

    /// Counts a handshake, or a record, that failed.
    pub fn count_failure(&self) {
        let (owner, name) = (F::OWNER.name(), self.name.clone());
        metrics::counter!("weir_tls_failures_total", "owner" => owner, "name" => name).increment(1);
    }

    /// What new handshakes use.
    pub fn current(&self) -> Arc<F::Config> {
        self.config.load_full()
    }
}

/// Something that can look whether its files have changed.
pub trait Reload: Send + Sync {
    /// Looks; takes over what has changed and fits together.
    fn look(&self);
}

impl<F> Reload for Live<F>
where
    F: Files + Send + Sync,
    F::Config: Send + Sync,
{
    fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps(&self.files.paths());
        if now == seen.stamps {
            seen.trouble = None;
            return;
        }
        let (owner, name) = (F::OWNER.name(), &self.name);
        match self.files.load() {
            Ok(loaded) => {
                (seen.stamps, seen.trouble) = (now, None);
                if loaded.digest == std::mem::replace(&mut seen.digest, loaded.digest) {
                    return;
                }
                self.config.store(loaded.config);
                tell_expiry::<F>(name, loaded.expires_s);
                let expires = loaded.expires_s.map(day);
                tracing::info!(owner, name, expires, "certificates reloaded: new connections use them, others go on");
            }
            // The stamps stay: what could not be read, or is not valid yet, may be at the next look without a change.
            Err(error) => {
                let trouble = Some(error.to_string());
                if seen.trouble != trouble {
                    tracing::warn!(
                        owner,
                        name,
                        "certificates have changed and are not usable, those in use stay: {error}"
                    );
                    seen.trouble = trouble;
                }
            }
        }
    }
}

fn tell_expiry<F: Files>(name: &str, expires_s: Option<i64>) {
    if let Some(expires_s) = expires_s {
        let (owner, name) = (F::OWNER.name(), name.to_owned());
        #[allow(clippy::cast_precision_loss, reason = "a moment of this age is far below 2^52 s")]
        metrics::gauge!("weir_certificate_expiry_seconds", "owner" => owner, "name" => name).set(expires_s as f64);
    }
}

/// The thread that looks; it ends when dropped.
pub struct Reloader {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reloader {
    /// Starts to look after these; starts nothing where there are none.
    pub fn start(all: Vec<Arc<dyn Reload>>) -> std::io::Result<Self> {
        if all.is_empty() {
            return Ok(Reloader { stop: None, thread: None });
        }
        let (stop, stopped) = bounded::<()>(0);
        let thread = std::thread::Builder::new().name("weir-files".into()).spawn(move || {
            while stopped.recv_timeout(limits::FILES_LOOK) == Err(RecvTimeoutError::Timeout) {
                all.iter().for_each(|one| one.look());
            }
        })?;
        Ok(Reloader { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Reloader {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
