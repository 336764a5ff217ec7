//! The keys of identity providers, fetched and kept fresh on a thread of their own.
//!
//! For each issuer: its discovery document, which has to be its own, names where its keys are; or the configuration does.
//! Keys are fetched at start, again as the issuer's `Cache-Control` asks (within bounds), after a failure with growing
//! pauses, and out of turn when a client shows a token with an unknown key.
//!
//! Invariants:
//! - Keys are replaced by good ones only: whatever an issuer answers while it is ill, those fetched before stay.
//! - What is fetched is bounded in bytes and time, follows no redirect, and is plain HTTP only where that was allowed.
//! - Nobody can make Weir ask an issuer more often than [`JWKS_REFRESH_PAUSE`] out of turn.
//!
//! Sources: OpenID Connect Discovery 1.0 (4), RFC 8414, RFC 7517, RFC 9111 (5.2.2.1, `max-age`).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use reqwest::header::{CACHE_CONTROL, DATE};
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use crate::limits::{
    JWKS_BYTES_MAX, JWKS_FETCH_LIMIT, JWKS_REFRESH, JWKS_REFRESH_BOUNDS, JWKS_REFRESH_PAUSE, JWKS_RETRY_MAX,
};
use crate::policy::{Attempt, IssuerRules, IssuerTable, KeySet, KeySetError, is_loopback};
use crate::upstream::{self, HttpError};

/// An issuer, and how its keys are got.
#[derive(Debug, Clone)]
pub struct IssuerSource {
    /// What its tokens have to be.
    pub rules: IssuerRules,
    /// Where its keys are found.
    pub keys: KeysAt,
    /// Who may vouch for its server; none: whom the system trusts.
    pub ca: Option<PathBuf>,
    /// Keys may come over plain HTTP, which anybody on the way can change.
    pub allow_http: bool,
}

/// Where an issuer's keys are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysAt {
    /// Where the discovery document of this issuer says.
    Discovery(Url),
    /// Here.
    Jwks(Url),
}

/// Why issuers cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// No thread, or no runtime on it.
    #[error("the issuers' thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// TLS cannot be set up for it.
    #[error("issuer {issuer}: HTTPS cannot be set up: {why}")]
    Client {
        /// The issuer's name.
        issuer: String,
        /// Why.
        why: HttpError,
    },
}

/// Why keys could not be fetched; for the operator.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{url} cannot be reached: {why}")]
    Unreachable { url: Url, why: String },
    #[error("{url} answered {status}")]
    Status { url: Url, status: u16 },
    #[error("{url} answered more than {JWKS_BYTES_MAX} bytes")]
    TooLong { url: Url },
    #[error("{url} is not a discovery document")]
    NoDiscovery { url: Url },
    #[error("{url} is the discovery document of {found:?}, not of this issuer; correct `issuer`")]
    OtherIssuer { url: Url, found: String },
    #[error("keys at {0} would come over plain HTTP; use https, or set `allow_http: true`")]
    PlainHttp(Url),
    #[error("the answer of {url} cannot be used: {why}")]
    Keys { url: Url, why: KeySetError },
}

/// The issuers that are being followed; following ends when this is dropped.
pub struct IssuerKeys {
    table: Arc<ArcSwap<IssuerTable>>,
    asks: Arc<HashMap<String, mpsc::Sender<()>>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl IssuerKeys {
    /// Starts following on a thread named `weir-issuers`; waits for no answer. Without issuers there is no thread.
    pub fn start(sources: Vec<IssuerSource>) -> Result<Self, IssuerError> {
        let table = IssuerTable::new(sources.iter().map(|source| source.rules.clone()));
        let table = Arc::new(ArcSwap::from_pointee(table));
        let (stop, stopped) = watch::channel(false);
        let mut asks = HashMap::new();
        let mut followers = Vec::new();
        for source in sources {
            let (ask, asked) = mpsc::channel(1);
            asks.insert(source.rules.name.clone(), ask);
            let client = upstream::http_client(source.ca.as_deref())
                .map_err(|why| IssuerError::Client { issuer: source.rules.name.clone(), why })?;
            followers.push(Follower { source, client, table: table.clone(), asked, failures: 0 });
        }
        let thread = if followers.is_empty() { None } else { Some(spawn(followers, stopped)?) };
        Ok(Self { table, asks: Arc::new(asks), stop, thread })
    }

    /// The live table, for those who check logins.
    pub fn table(&self) -> Arc<ArcSwap<IssuerTable>> {
        Arc::clone(&self.table)
    }

    /// Asks for the keys of an issuer out of turn; never blocks. While one request is waiting, others add nothing.
    pub fn refresher(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let asks = Arc::clone(&self.asks);
        move |issuer| {
            if let Some(ask) = asks.get(issuer) {
                let _full_is_fine = ask.try_send(());
            }
        }
    }
}

impl Drop for IssuerKeys {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the issuers' thread ended with a fault of its own");
        }
    }
}

fn spawn(followers: Vec<Follower>, mut stopped: watch::Receiver<bool>) -> Result<JoinHandle<()>, IssuerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(IssuerError::Thread)?;
    let work = move || {
        runtime.block_on(async {
            for follower in followers {
                tokio::spawn(follower.follow());
            }
            let _handle_gone = stopped.wait_for(|stopped| *stopped).await.is_err();
        });
        // A name that is being looked up is not waited for.
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name("weir-issuers".to_owned()).spawn(work).map_err(IssuerError::Thread)
}

/// Follows one issuer.
struct Follower {
    source: IssuerSource,
    client: Client,
    table: Arc<ArcSwap<IssuerTable>>,
    asked: mpsc::Receiver<()>,
    /// Since it last went well.
    failures: u32,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// What was fetched.
struct Fetched {
    body: Vec<u8>,
    /// How long it may be kept, where the server says.
    max_age: Option<Duration>,
    /// The server's clock, as HTTP's `Date` says it.
    date: Option<String>,
}

/// What one look at an issuer showed.
#[derive(Debug)]
pub struct IssuerLook {
    /// The ids of its keys.
    pub keys: Vec<String>,
    /// Its clock, as HTTP's `Date` says it (RFC 9110, 6.6.1), to the second.
    pub date: Option<String>,
}

/// Looks at an issuer once, for who wants to know whether that works; the error says why not.
pub async fn look_at_issuer(source: IssuerSource) -> Result<IssuerLook, String> {
    let client = upstream::http_client(source.ca.as_deref()).map_err(|why| why.to_string())?;
    let table = Arc::new(ArcSwap::from_pointee(IssuerTable::new([])));
    let follower = Follower { source, client, table, asked: mpsc::channel(1).1, failures: 0 };
    let (keys, fetched) = follower.document().await.map_err(|e| e.to_string())?;
    Ok(IssuerLook { keys: keys.ids().into_iter().map(str::to_owned).collect(), date: fetched.date })
}

impl Follower {
    async fn follow(mut self) {
        let mut refreshed: Option<Instant> = None;
        let mut out_of_turn = false;
        loop {
            if out_of_turn {
                refreshed = Some(Instant::now());
            }
            let fetched = self.fetch().await;
            let pause = self.publish(fetched, out_of_turn);
            // Whoever asked during the fetch has been answered by it.
            while self.asked.try_recv().is_ok() {}
            let asked = async {
                while self.asked.recv().await.is_some() {
                    if refreshed.is_none_or(|at| at.elapsed() >= JWKS_REFRESH_PAUSE) {
                        return;
                    }
                }
                std::future::pending().await
            };
            out_of_turn = tokio::select! { () = tokio::time::sleep(pause) => false, () = asked => true };
        }
    }

    /// Makes what came of an attempt known; when to try again.
    fn publish(&mut self, fetched: Result<(KeySet, Option<Duration>), FetchError>, out_of_turn: bool) -> Duration {
        let name = &self.source.rules.name;
        let outcome = if fetched.is_ok() { "succeeded" } else { "failed" };
        let labels = [("issuer", name.clone()), ("outcome", outcome.to_owned())];
        metrics::counter!("weir_issuer_fetches_total", &labels).increment(1);
        let (outcome, pause) = match fetched {
            Ok((keys, max_age)) => {
                self.tell_of(&keys);
                self.failures = 0;
                metrics::gauge!("weir_issuer_keys_fetched_seconds", "issuer" => name.clone())
                    .set(now_ns() as f64 / 1e9);
                let (least, most) = JWKS_REFRESH_BOUNDS;
                (Ok(Arc::new(keys)), max_age.unwrap_or(JWKS_REFRESH).clamp(least, most))
            }
            Err(error) => {
                let pause = Duration::from_secs(1 << self.failures.min(16)).min(JWKS_RETRY_MAX);
                self.failures += 1;
                tracing::error!(issuer = name, "the keys of an issuer cannot be fetched: {error}");
                (Err(Arc::from(error.to_string())), pause)
            }
        };
        let attempt = Attempt { outcome, out_of_turn, now_ns: now_ns() };
        self.table.rcu(|table| table.attempted(name, attempt.clone()));
        pause
    }

    /// Says it in the log when keys came, came back or changed.
    fn tell_of(&self, keys: &KeySet) {
        let name = &self.source.rules.name;
        let table = self.table.load();
        let before = table.get(name).and_then(|issuer| issuer.keys.as_deref()).map(KeySet::ids).unwrap_or_default();
        if self.failures > 0 || before != keys.ids() {
            tracing::info!(issuer = name, keys = keys.ids().join(", "), "the keys of an issuer were fetched");
        }
    }

    async fn fetch(&self) -> Result<(KeySet, Option<Duration>), FetchError> {
        let (keys, fetched) = self.document().await?;
        Ok((keys, fetched.max_age))
    }

    /// The keys, and the answer they came in.
    async fn document(&self) -> Result<(KeySet, Fetched), FetchError> {
        let url = match &self.source.keys {
            KeysAt::Jwks(url) => url.clone(),
            KeysAt::Discovery(issuer) => self.discover(issuer).await?,
        };
        let fetched = self.get(&url).await?;
        let keys = KeySet::parse(&fetched.body).map_err(|why| FetchError::Keys { url, why })?;
        Ok((keys, fetched))
    }

    /// Where the issuer's discovery document says that its keys are.
    async fn discover(&self, issuer: &Url) -> Result<Url, FetchError> {
        let url = discovery_document(issuer);
        let fetched = self.get(&url).await?;
        let discovery: Discovery =
            serde_json::from_slice(&fetched.body).map_err(|_| FetchError::NoDiscovery { url: url.clone() })?;
        if discovery.issuer != self.source.rules.issuer {
            return Err(FetchError::OtherIssuer { url, found: discovery.issuer });
        }
        Url::parse(&discovery.jwks_uri).map_err(|_| FetchError::NoDiscovery { url })
    }

    async fn get(&self, url: &Url) -> Result<Fetched, FetchError> {
        if url.scheme() != "https" && !self.source.allow_http && !url.host_str().is_some_and(is_loopback) {
            return Err(FetchError::PlainHttp(url.clone()));
        }
        let unreachable =
            |error: reqwest::Error| FetchError::Unreachable { url: url.clone(), why: upstream::http_reason(error) };
        let mut response = self.client.get(url.clone()).timeout(JWKS_FETCH_LIMIT).send().await.map_err(unreachable)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status { url: url.clone(), status: response.status().as_u16() });
        }
        let cache_control = response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok());
        let max_age = cache_control.and_then(max_age);
        let date = response.headers().get(DATE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > JWKS_BYTES_MAX {
                return Err(FetchError::TooLong { url: url.clone() });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched { body, max_age, date })
    }
}

/// OpenID Connect Discovery 1.0, 4: below the issuer's own path.
fn discovery_document(issuer: &Url) -> Url {
    let mut url = issuer.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend([".well-known", "openid-configuration"]);
    }
    url
}

/// `max-age` of a `Cache-Control`; none where there is none, or the answer should not be kept at all.
fn max_age(cache_control: &str) -> Option<Duration> {
    let mut directives = cache_control.split(',').map(str::trim);
    let seconds = directives.find_map(|directive| directive.strip_prefix("max-age="))?;
    seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_discovery_document_lies_below_the_issuers_path() {
        for (issuer, document) in [
            ("https://id.example.com", "https://id.example.com/.well-known/openid-configuration"),
            ("https://id.example.com/", "https://id.example.com/.well-known/openid-configuration"),
            (
                "https://id.example.com/realms/main",
                "https://id.example.com/realms/main/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(discovery_document(&issuer.parse().unwrap()).as_str(), document);
        }
    }

    #[test]
    fn max_age_is_read_among_other_directives() {
        assert_eq!(max_age("public, max-age=3600, must-revalidate"), Some(Duration::from_secs(3600)));
        assert_eq!(max_age("max-age=\"60\""), Some(Duration::from_secs(60)));
        assert_eq!(max_age("no-cache"), None);
        assert_eq!(max_age("max-age=soon"), None);
    }
}
