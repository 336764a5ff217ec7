//! Follows the clusters from a thread of its own: brokers, their addresses and versions, topic ids.
//!
//! A look happens at start, every `refresh`, at once when a shard could not reach a broker, and each second while nothing
//! can be reached. Brokers are asked side by side, so that those that hang cost a look no more than one of them does, and
//! topic ids are looked up beside it. Invariant: a failed look keeps what was known; only `View::trouble` changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::StrBytes;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::client::{Client, ClientError};
use super::cluster::{Broker, Cluster, ClusterOptions, Endpoint, Inbox, LookUp, Tidings, View};
use super::credential::{self, Upkeep};
use super::http::HttpError;
use super::inquiry;
use crate::limits;
use crate::wire::kafka::api::key;
use crate::wire::kafka::versions::ClusterVersions;

/// Metadata v12 takes topic ids; v1 is the oldest with an empty list for "no topics"; 4.x serves 0-13, 2.8 serves 0-11.
const METADATA_VERSION_MAX: i16 = 12;

/// Why the clusters cannot be watched.
#[derive(Debug, Error)]
pub enum WatchError {
    /// No thread.
    #[error("the upstream thread does not start: {0}")]
    Thread(#[from] std::io::Error),
    /// A cluster's credential cannot be used.
    #[error("cluster {cluster}: {source}")]
    Credential {
        /// The cluster.
        cluster: String,
        /// Why.
        source: HttpError,
    },
}

/// The watching thread; it ends when dropped.
pub struct Watcher {
    stop: Option<tokio::sync::watch::Sender<bool>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watcher {
    /// Starts to follow the clusters; each gets its first look at once.
    pub fn start(clusters: Vec<ClusterOptions>) -> Result<(Self, Vec<Arc<Cluster>>), WatchError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let (mut shared, mut inboxes, mut upkeeps) = (Vec::new(), Vec::new(), Vec::new());
        for options in clusters {
            let opened = open(options)?;
            shared.push(opened.cluster);
            inboxes.push(opened.inbox);
            upkeeps.extend(opened.upkeep);
        }
        let watched = shared.clone();
        let thread = std::thread::Builder::new().name("weir-upstream".into()).spawn(move || {
            runtime.block_on(async move {
                upkeeps.into_iter().for_each(|upkeep| drop(tokio::spawn(upkeep)));
                for (cluster, inbox) in watched.into_iter().zip(inboxes) {
                    tokio::spawn(follow(cluster.clone(), inbox.tidings));
                    tokio::spawn(name_topics(cluster.clone(), inbox.lookups));
                    tokio::spawn(inquiry::answer_all(cluster, inbox.inquiries));
                }
                let mut stopped = stopped;
                let _ = stopped.wait_for(|s| *s).await;
            });
            // A name that is being looked up is not waited for.
            runtime.shutdown_background();
        })?;
        Ok((Watcher { stop: Some(stop), thread: Some(thread) }, shared))
    }
}

struct Opened {
    cluster: Arc<Cluster>,
    /// What it will be told.
    inbox: Inbox,
    /// What has to be run for its credential.
    upkeep: Option<Upkeep>,
}

fn open(options: ClusterOptions) -> Result<Opened, WatchError> {
    let opened = options.credential.clone().map(|credential| credential::open(&options.name, credential));
    let opened =
        opened.transpose().map_err(|source| WatchError::Credential { cluster: options.name.clone(), source })?;
    let (credential, upkeep) = opened.map_or((None, None), |o| (Some(o.credential), o.upkeep));
    let (cluster, inbox) = Cluster::new(options, credential);
    Ok(Opened { cluster, inbox, upkeep })
}

/// A cluster that nobody watches, for who looks at it once; what is given with it has to be run beside the look.
pub fn unwatched(options: ClusterOptions) -> Result<(Arc<Cluster>, Option<Upkeep>), WatchError> {
    open(options).map(|opened| (opened.cluster, opened.upkeep))
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(true);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn follow(cluster: Arc<Cluster>, mut inbox: mpsc::Receiver<Tidings>) {
    let mut next_look = Instant::now();
    let mut earliest = next_look;
    loop {
        tokio::select! {
            () = sleep_until(next_look) => {
                look(&cluster).await;
                let pause = if cluster.is_reachable() { cluster.refresh } else { Duration::from_secs(1) };
                next_look = Instant::now() + pause;
                // What shards report in a burst (a broker went away under a thousand connections) is one look.
                earliest = Instant::now() + Duration::from_millis(500);
            }
            tidings = inbox.recv() => match tidings {
                None => return,
                Some(Tidings::Changed) => next_look = next_look.min(earliest),
                Some(tidings) => heard(&cluster, tidings).await,
            }
        }
    }
}

/// Takes in what shards saw pass by.
async fn heard(cluster: &Cluster, tidings: Tidings) {
    let Tidings::Broker { node, host, port } = tidings else { return };
    let addresses = resolve(&host, port).await;
    let mut view = View::clone(&cluster.view.load());
    tracing::info!(cluster = cluster.name, node, "broker joined or moved");
    view.gone.remove(&node);
    view.brokers.insert(node, Broker { host, port, addresses, versions: None, silent: false });
    publish(cluster, view);
}

/// Looks up what shards ask for. It waits for no look: a client's request waits for it.
async fn name_topics(cluster: Arc<Cluster>, mut lookups: mpsc::Receiver<LookUp>) {
    while let Some(first) = lookups.recv().await {
        let mut batch = vec![first];
        while let Ok(more) = lookups.try_recv() {
            batch.push(more);
        }
        let known = cluster.topics.load_full();
        let ids: BTreeSet<[u8; 16]> = batch.iter().flat_map(|lookup| lookup.ids.iter().copied()).collect();
        let unknown: Vec<[u8; 16]> = ids.into_iter().filter(|id| !known.contains_key(id)).collect();
        if !unknown.is_empty() {
            look_up_topics(&cluster, unknown).await;
        }
        // Whoever waits for one of them is woken as the batch goes.
    }
}

fn publish(cluster: &Cluster, view: View) {
    cluster.view.store(Arc::new(view));
    cluster.changed.notify_waiters();
}

/// One look at the cluster: who is there and what they speak.
async fn look(cluster: &Arc<Cluster>) {
    let was = cluster.view.load_full();
    match see(cluster, &was).await {
        Ok(view) => {
            if was.versions.is_none() {
                tracing::info!(cluster = cluster.name, brokers = view.brokers.len(), "upstream reached");
            } else if was.trouble.is_some() {
                tracing::info!(cluster = cluster.name, "upstream reachable again");
            }
            publish(cluster, view);
        }
        Err(trouble) => {
            if was.trouble.as_ref() != Some(&trouble) {
                tracing::warn!(cluster = cluster.name, "no broker can be reached: {trouble}");
            }
            publish(cluster, View { trouble: Some(trouble), ..View::clone(&was) });
        }
    }
}

async fn see(cluster: &Arc<Cluster>, was: &View) -> Result<View, String> {
    let mut bootstrap = Vec::new();
    for address in &cluster.bootstrap {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "9092"));
        let port = port.parse().unwrap_or(9092);
        let host = host.trim_matches(['[', ']']);
        let name: Arc<str> = Arc::from(host);
        let addresses = resolve(host, port).await.into_iter();
        bootstrap.extend(addresses.map(|address| Endpoint { address, host: name.clone() }));
    }
    if bootstrap.is_empty() {
        return Err(format!("none of the bootstrap names resolve ({})", cluster.bootstrap.join(", ")));
    }
    let mut candidates: Vec<Endpoint> = bootstrap.iter().cloned().chain(was.known()).collect();
    was.silent_last(&mut candidates);
    let (mut client, versions) = reach_any(cluster, &candidates).await?;
    let first_look = cluster.topics.load().is_empty();
    let metadata = ask_metadata(&mut client, &versions, if first_look { None } else { Some(Vec::new()) }).await?;
    learn_topics(cluster, &metadata);
    let brokers = named(was, &metadata).await;
    let gone = was.gone.iter().chain(was.brokers.keys()).filter(|node| !brokers.contains_key(node)).copied().collect();
    let mut view = View { brokers, gone, bootstrap, versions: was.versions.clone(), trouble: None };
    if view.versions.is_some() {
        // Who has joined or moved is reached from now on, however long one that hangs is waited for.
        publish(cluster, view.clone());
    }
    probe(cluster, &mut view.brokers).await;
    let common =
        view.brokers.values().filter_map(|b| b.versions.as_deref()).fold(None, |common, versions| match common {
            None => Some(versions.clone()),
            Some(common) => Some(ClusterVersions::intersect(&common, versions)),
        });
    view.versions = Some(Arc::new(common.unwrap_or(versions)));
    Ok(view)
}

async fn reach_any(cluster: &Cluster, candidates: &[Endpoint]) -> Result<(Client, ClusterVersions), String> {
    let mut trouble = String::from("no address is known");
    for endpoint in candidates {
        match reach(cluster, endpoint).await {
            Ok(reached) => return Ok(reached),
            Err(error) => trouble = error.to_string(),
        }
    }
    Err(trouble)
}

/// ApiVersions as Weir asks it, the newest first: v4 carries all features (KAFKA-17011), v3 those of a minimum above 0; a
/// broker that does not know a version answers in the layout of v0, which does not read as the version that was asked.
const PROBES: [i16; 3] = [4, 3, 0];

/// Connects to a broker, logs in, and asks for its versions.
pub async fn reach(cluster: &Cluster, endpoint: &Endpoint) -> Result<(Client, ClusterVersions), ClientError> {
    let wait = limits::UPSTREAM_CONNECT_WAIT;
    let unusable = || ClientError::Malformed { address: endpoint.address, what: "ApiVersions" };
    let mut trouble = unusable();
    for version in PROBES {
        let mut client = Client::connect(endpoint, cluster.tls.as_deref(), cluster.credential.as_deref(), wait).await?;
        let mut request = ApiVersionsRequest::default();
        if version >= 3 {
            request = request
                .with_client_software_name(StrBytes::from_static_str("weir"))
                .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        }
        match client.call(&request, version).await {
            Ok(answer) if answer.error_code == 0 => {
                return Ok((client, ClusterVersions::from_response(&answer).map_err(|_| unusable())?));
            }
            Ok(_) | Err(ClientError::Malformed { .. }) => trouble = unusable(),
            Err(error @ ClientError::Broken { .. }) => trouble = error,
            Err(error) => return Err(error),
        }
    }
    Err(trouble)
}

async fn ask_metadata(
    client: &mut Client,
    versions: &ClusterVersions,
    topics: Option<Vec<MetadataRequestTopic>>,
) -> Result<MetadataResponse, String> {
    let version = versions.range(key::METADATA).map(|r| r.max).unwrap_or(1).min(METADATA_VERSION_MAX);
    let request = MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false);
    client.call(&request, version).await.map_err(|e| e.to_string())
}

/// The brokers that Metadata names, with what was known of each.
async fn named(was: &View, metadata: &MetadataResponse) -> BTreeMap<i32, Broker> {
    let named = metadata.brokers.iter().filter_map(|broker| {
        let (node, host, port) = (broker.node_id.0, broker.host.to_string(), u16::try_from(broker.port).ok()?);
        let before = was.brokers.get(&node).cloned();
        Some(async move {
            let mut addresses = resolve(&host, port).await;
            if addresses.is_empty() {
                addresses = before.as_ref().filter(|b| b.host == host).map(|b| b.addresses.clone()).unwrap_or_default();
            }
            let (versions, silent) = before.map_or((None, false), |b| (b.versions, b.silent));
            (node, Broker { host, port, addresses, versions, silent })
        })
    });
    side_by_side(named).await.into_iter().collect()
}

/// Asks each broker for its versions; what is not answered stays as it was.
async fn probe(cluster: &Arc<Cluster>, brokers: &mut BTreeMap<i32, Broker>) {
    let probes = brokers.iter().map(|(node, broker)| {
        let (node, cluster, endpoints) = (*node, cluster.clone(), broker.endpoints().collect::<Vec<_>>());
        async move { (node, reach_any(&cluster, &endpoints).await.map(|(_, versions)| versions)) }
    });
    for (node, probed) in side_by_side(probes).await {
        let Some(broker) = brokers.get_mut(&node) else { continue };
        broker.silent = probed.is_err();
        match probed {
            Ok(versions) => broker.versions = Some(Arc::new(versions)),
            Err(error) => tracing::warn!(cluster = cluster.name, node, "broker not probed: {error}"),
        }
    }
}

/// What all of these come to, in no order; so many at a time that a look at a large cluster is no burst of connections.
async fn side_by_side<F>(tasks: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let (mut running, mut done) = (JoinSet::new(), Vec::new());
    for task in tasks {
        if running.len() >= limits::LOOKS_SIDE_BY_SIDE {
            done.extend(running.join_next().await.and_then(Result::ok));
        }
        running.spawn(task);
    }
    while let Some(ended) = running.join_next().await {
        done.extend(ended.ok());
    }
    done
}

fn learn_topics(cluster: &Cluster, metadata: &MetadataResponse) {
    let named = |t: &MetadataResponseTopic| Some((*t.topic_id.as_bytes(), Arc::from(&*t.name.as_ref()?.0)));
    cluster.learn_topics(metadata.topics.iter().filter_map(named).collect());
}

async fn look_up_topics(cluster: &Cluster, ids: Vec<[u8; 16]>) {
    let view = cluster.view.load_full();
    let mut candidates = view.endpoints_of(None);
    view.silent_last(&mut candidates);
    let asked =
        ids.into_iter().map(|id| MetadataRequestTopic::default().with_topic_id(Uuid::from_bytes(id)).with_name(None));
    let asked = asked.take(limits::TOPIC_LOOKUPS_MAX).collect();
    let answer = match reach_any(cluster, &candidates).await {
        Ok((mut client, versions))
            if versions.range(key::METADATA).map(|r| r.max).unwrap_or(0) >= METADATA_VERSION_MAX =>
        {
            ask_metadata(&mut client, &versions, Some(asked)).await
        }
        Ok(_) => return,
        Err(trouble) => Err(trouble),
    };
    match answer {
        Ok(metadata) => learn_topics(cluster, &metadata),
        Err(trouble) => tracing::warn!(cluster = cluster.name, "topic ids could not be looked up: {trouble}"),
    }
}

async fn resolve(host: &str, port: u16) -> Vec<SocketAddr> {
    match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            tracing::warn!(port, "a broker's host name does not resolve: {error}");
            Vec::new()
        }
    }
}
