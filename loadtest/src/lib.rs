//! Real brokers, real clients and load for Weir's tests, demo and benches.
//!
//! Nothing here is a double where the real thing can do it: [`kafka`] starts Apache Kafka from its own jars, [`keycloak`] an
//! identity provider, [`weir`] the gateway's own binary, [`clients`] the clients people use; `make setup` fetches them into
//! [`cache`]. [`receiver`] takes webhooks; [`fake_broker`] does what no real broker does, [`fault_proxy`] what the network between does; [`tls`] makes
//! certificates for all of them. [`stream`] keeps stock clients at work and tells afterwards whether a record was lost;
//! [`soak`] does so for long.
//!
//! Invariants:
//! - Every process started here ends with the process that started it, and every folder goes with it, however it ends
//!   ([`process`], [`scratch`]).
//! - Every wait has an end, and its failure says what was waited for and shows the log of what did not come.
//! - Ports come from [`ports`], so that suites running side by side never meet.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub mod admin;
pub mod batch;
pub mod clients;
pub mod exposure;
pub mod fake_broker;
pub mod fault_proxy;
pub mod hosts;
pub mod http;
pub mod kafka;
pub mod keycloak;
pub mod load;
pub mod metrics;
pub mod operate;
pub mod ports;
pub mod process;
pub mod receiver;
pub mod scratch;
pub mod soak;
pub mod stream;
pub mod tls;
pub mod token_endpoint;
pub mod weir;
pub mod wire;

/// What went wrong in the harness, in words that end the search: what was tried, and the end of the log that knows why.
#[derive(thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

/// `unwrap` in a test prints this: the text as it is, its line breaks kept, since it ends in a log.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Failure {
    /// A failure in plain words.
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }

    /// The same, prefixed with what was being done.
    #[must_use]
    pub fn during(self, doing: impl fmt::Display) -> Self {
        Self(format!("{doing}: {}", self.0))
    }
}

/// The harness's result.
pub type Result<T> = std::result::Result<T, Failure>;

/// Says what was being done when an error of another kind came up.
pub trait During<T> {
    /// Turns the error into a [`Failure`] that starts with `doing`.
    fn during(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> During<T> for std::result::Result<T, E> {
    fn during(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|e| Failure(format!("{doing}: {e}")))
    }
}

/// Where `make setup` puts the jars, the Python environment and the built clients: `$WEIR_CACHE`, else `~/.cache/weir`.
pub fn cache() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("WEIR_CACHE") {
        return Ok(PathBuf::from(dir));
    }
    let home = env::var_os("HOME").ok_or_else(|| Failure::new("neither WEIR_CACHE nor HOME is set"))?;
    Ok(PathBuf::from(home).join(".cache/weir"))
}

/// Asks `ready` every 20 ms until it gives a value; after `limit` fails with `what`.
///
/// An error from `ready` ends the wait at once: it means that the thing will never come.
pub fn wait_for<T>(what: &str, limit: Duration, ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    poll(limit, ready)?.ok_or_else(|| timed_out(what, limit))
}

/// The same, and none when the time is up.
fn poll<T>(limit: Duration, mut ready: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let deadline = Instant::now() + limit;
    loop {
        let value = ready()?;
        if value.is_some() || Instant::now() >= deadline {
            return Ok(value);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn timed_out(what: &str, limit: Duration) -> Failure {
    Failure(format!("{what}: not within {} s", limit.as_secs_f32()))
}
