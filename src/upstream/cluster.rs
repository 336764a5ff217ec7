//! One upstream cluster, as shards see it: an immutable [`View`] that the watcher replaces, and a way to tell it news.
//!
//! Invariants:
//! - Reading the view takes no lock and no I/O; addresses in it are resolved already.
//! - A topic id, once learnt, keeps its name: Kafka never reuses ids (KIP-516).
//! - Telling never blocks: when the watcher is behind, a tiding is dropped and its next regular look makes up for it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, oneshot};

use super::credential::{Credential, CredentialOptions};
use super::inquiry::Inquiry;
use crate::tls::ClientTls;
use crate::wire::kafka::versions::ClusterVersions;

/// What the configuration says of a cluster.
#[derive(Clone)]
pub struct ClusterOptions {
    /// Its name.
    pub name: String,
    /// `host:port` of some brokers.
    pub bootstrap: Vec<String>,
    /// TLS; none where brokers are reached in plaintext.
    pub tls: Option<Arc<ClientTls>>,
    /// How Weir logs in; none on a listener without SASL.
    pub credential: Option<CredentialOptions>,
    /// How often brokers and versions are looked at without a cause.
    pub refresh: Duration,
}

/// Where to connect, and which host name has to be proven there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub address: SocketAddr,
    /// The name that it is an address of: as configured, or as the broker advertises it.
    pub host: Arc<str>,
}

/// A broker of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Broker {
    /// Host as the broker advertises it; never shown to a client.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The host, resolved; empty when that failed.
    pub addresses: Vec<SocketAddr>,
    /// What it serves, once probed.
    pub versions: Option<Arc<ClusterVersions>>,
    /// It did not answer at the last look.
    pub silent: bool,
}

/// What is known of the cluster at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Brokers by node id.
    pub brokers: BTreeMap<i32, Broker>,
    /// Node ids that were brokers once and are named no longer: fenced, or removed.
    pub gone: BTreeSet<i32>,
    /// The bootstrap list, resolved.
    pub bootstrap: Vec<Endpoint>,
    /// What every broker serves: the answer on the bootstrap address, where any broker may be behind.
    pub versions: Option<Arc<ClusterVersions>>,
    /// Why no broker could be reached at the last look, in an operator's words.
    pub trouble: Option<String>,
}

impl View {
    /// What to answer a client's ApiVersions with on this broker's address (none: the bootstrap address).
    pub fn versions_of(&self, node: Option<i32>) -> Option<&Arc<ClusterVersions>> {
        node.and_then(|n| self.brokers.get(&n)).and_then(|b| b.versions.as_ref()).or(self.versions.as_ref())
    }

    /// Where to connect for this broker (none: any).
    pub fn endpoints_of(&self, node: Option<i32>) -> Vec<Endpoint> {
        match node {
            Some(node) => self.brokers.get(&node).map(|b| b.endpoints().collect()).unwrap_or_default(),
            None => self.bootstrap.iter().cloned().chain(self.known()).collect(),
        }
    }

    /// The addresses of brokers that answered at the last look. One that hangs still takes connections, so whoever has a
    /// choice asks before it connects.
    pub fn answering(&self) -> HashSet<SocketAddr> {
        self.brokers
            .values()
            .filter(|broker| !broker.silent)
            .flat_map(|broker| broker.addresses.iter().copied())
            .collect()
    }

    /// Puts the addresses of brokers that did not answer at the last look behind all others.
    pub(super) fn silent_last(&self, endpoints: &mut [Endpoint]) {
        let silent = |endpoint: &Endpoint| {
            self.brokers.values().any(|broker| broker.silent && broker.addresses.contains(&endpoint.address))
        };
        endpoints.sort_by_cached_key(silent);
    }

    /// Whether the cluster is known and has no such broker.
    pub fn lacks(&self, node: i32) -> bool {
        !self.brokers.is_empty() && !self.brokers.contains_key(&node)
    }

    /// What is known of a broker (none: of any) that may be down.
    pub fn presence(&self, node: Option<i32>) -> Presence {
        match (node, &self.trouble) {
            (Some(node), _) if self.gone.contains(&node) => Presence::Gone,
            (Some(node), _) if self.brokers.get(&node).is_some_and(|broker| broker.silent) => Presence::Doubtful,
            (Some(_), Some(_)) => Presence::Doubtful,
            (None, Some(_)) => Presence::Gone,
            (_, None) => Presence::Assumed,
        }
    }

    /// Every address of every broker that is known.
    pub(super) fn known(&self) -> impl Iterator<Item = Endpoint> {
        self.brokers.values().flat_map(Broker::endpoints)
    }
}

impl Broker {
    pub(super) fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        let host: Arc<str> = Arc::from(&*self.host);
        self.addresses.iter().map(move |address| Endpoint { address: *address, host: host.clone() })
    }
}

/// Whether a broker is there, as far as the last look tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Nothing speaks against it.
    Assumed,
    /// It did not answer; it may be there again.
    Doubtful,
    /// It is not there, and the watcher will tell when it is.
    Gone,
}

/// What a shard tells the watcher.
#[derive(Debug)]
pub enum Tidings {
    /// A response named this broker at an address that the view does not have.
    Broker {
        /// Node id.
        node: i32,
        /// Host.
        host: String,
        /// Port.
        port: u16,
    },
    /// A broker could not be reached, or one that did not answer is there again.
    Changed,
}

/// Topic ids that nobody here knows.
pub(super) struct LookUp {
    pub(super) ids: Vec<[u8; 16]>,
    /// Dropped once they have been asked for; none where nobody waits.
    pub(super) _asked: Option<oneshot::Sender<()>>,
}

/// What the watcher is told.
pub(super) struct Inbox {
    pub(super) tidings: mpsc::Receiver<Tidings>,
    pub(super) lookups: mpsc::Receiver<LookUp>,
    pub(super) inquiries: mpsc::Receiver<Inquiry>,
}

/// Topic names by id.
pub type TopicNames = HashMap<[u8; 16], Arc<str>>;

/// An upstream cluster, shared by all shards and its watcher.
pub struct Cluster {
    /// Its name in the configuration.
    pub name: String,
    /// TLS, where brokers speak it.
    pub tls: Option<Arc<ClientTls>>,
    /// How Weir logs in.
    pub credential: Option<Arc<dyn Credential>>,
    /// The bootstrap list as configured, for messages.
    pub bootstrap: Vec<String>,
    pub(super) refresh: Duration,
    pub(super) view: ArcSwap<View>,
    pub(super) topics: ArcSwap<TopicNames>,
    pub(super) changed: Notify,
    tidings: mpsc::Sender<Tidings>,
    lookups: mpsc::Sender<LookUp>,
    pub(super) inquiries: mpsc::Sender<Inquiry>,
}

/// News that may wait for the watcher; beyond it they are dropped, since its next regular look finds the same.
const TIDINGS_MAX: usize = 4096;

impl Cluster {
    pub(super) fn new(options: ClusterOptions, credential: Option<Arc<dyn Credential>>) -> (Arc<Self>, Inbox) {
        let (tidings, told) = mpsc::channel(TIDINGS_MAX);
        let (lookups, asked) = mpsc::channel(TIDINGS_MAX);
        let (inquiries, inquired) = mpsc::channel(TIDINGS_MAX);
        let cluster = Cluster {
            name: options.name,
            tls: options.tls,
            credential,
            bootstrap: options.bootstrap,
            refresh: options.refresh,
            view: ArcSwap::from_pointee(View::default()),
            topics: ArcSwap::from_pointee(TopicNames::new()),
            changed: Notify::new(),
            tidings,
            lookups,
            inquiries,
        };
        (Arc::new(cluster), Inbox { tidings: told, lookups: asked, inquiries: inquired })
    }

    /// What is known now.
    pub fn view(&self) -> arc_swap::Guard<Arc<View>> {
        self.view.load()
    }

    /// The name of a topic, where its id is known.
    pub fn topic_name(&self, id: &[u8; 16]) -> Option<Arc<str>> {
        self.topics.load().get(id).cloned()
    }

    /// Tells the watcher; never blocks.
    pub fn tell(&self, tidings: Tidings) {
        let _ = self.tidings.try_send(tidings);
    }

    /// Has a topic id looked up that an answer named; never blocks.
    pub fn met_topic(&self, id: [u8; 16]) {
        let _ = self.lookups.try_send(LookUp { ids: vec![id], _asked: None });
    }

    /// Has topic ids looked up and waits until the cluster was asked, or could not be; works on every executor.
    pub async fn look_up_topics(&self, ids: Vec<[u8; 16]>) {
        let (asked, done) = oneshot::channel();
        // Where there are too many already, the sender is dropped, and nobody waits.
        let _ = self.lookups.try_send(LookUp { ids, _asked: Some(asked) });
        let _ = done.await;
    }

    /// Takes in topic ids; what is known already costs a look-up, what is new a copy of the map.
    pub fn learn_topics(&self, mut topics: Vec<([u8; 16], Arc<str>)>) {
        let known = self.topics.load();
        topics.retain(|(id, _)| *id != [0; 16] && !known.contains_key(id));
        if topics.is_empty() {
            return;
        }
        self.topics.rcu(|known| {
            let mut names = TopicNames::clone(known);
            names.extend(topics.iter().cloned());
            names
        });
        self.changed.notify_waiters();
    }

    /// Tells of a broker's address unless the view has it already.
    pub fn saw_broker(&self, node: i32, host: &str, port: u16) {
        let view = self.view.load();
        if view.brokers.get(&node).is_none_or(|b| b.host != host || b.port != port) {
            self.tell(Tidings::Broker { node, host: host.to_owned(), port });
        }
    }

    /// Waits for the view to change; works on every executor.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether a broker answered at the last look.
    pub fn is_reachable(&self) -> bool {
        let view = self.view.load();
        view.versions.is_some() && view.trouble.is_none()
    }
}
