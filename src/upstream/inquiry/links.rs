//! Connections of our own to a cluster's brokers: few at a time, kept for a while after use.
//!
//! Invariants: a connection that failed is not used again; one that was kept and broke meanwhile costs a new one, no answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_protocol::protocol::Request;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::trouble::Trouble;
use crate::limits;
use crate::upstream::client::{Client, ClientError};
use crate::upstream::cluster::{Cluster, Presence};
use crate::wire::kafka::api::Versions;

/// The connections.
pub(super) struct Links {
    cluster: Arc<Cluster>,
    /// How long connecting, each step of a login and each answer may take.
    wait: Duration,
    room: Semaphore,
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    node: i32,
    since: Instant,
    client: Client,
}

impl Links {
    pub(super) fn new(cluster: Arc<Cluster>, wait: Duration) -> Links {
        let room = Semaphore::new(limits::INQUIRY_CONNECTIONS_MAX);
        Links { cluster, wait, room, kept: Mutex::new(Vec::new()) }
    }

    /// Every broker that is known, those that did not answer at the last look behind all others.
    pub(super) fn nodes(&self) -> Vec<i32> {
        let view = self.cluster.view();
        let mut nodes: Vec<i32> = view.brokers.keys().copied().collect();
        nodes.sort_by_key(|node| view.presence(Some(*node)) != Presence::Assumed);
        nodes
    }

    /// The highest version of an API that the broker serves and we ask.
    pub(super) fn version(&self, node: i32, key: i16, ours: Versions) -> Result<i16, Trouble> {
        let view = self.cluster.view();
        let versions = view.versions_of(Some(node)).ok_or(Trouble::NoBroker)?;
        versions.highest(key, ours).ok_or(Trouble::NotServed { node, key })
    }

    /// Tells the watcher where a broker is that an answer has named.
    pub(super) fn saw(&self, node: i32, host: &str, port: i32) {
        if let Some(port) = u16::try_from(port).ok().filter(|port| node >= 0 && *port != 0) {
            self.cluster.saw_broker(node, host, port);
        }
    }

    /// Asks one broker. `ours` are the versions whose form the request has.
    pub(super) async fn call<R: Request>(
        &self,
        node: i32,
        request: &R,
        ours: Versions,
    ) -> Result<R::Response, Trouble> {
        let version = self.version(node, R::KEY, ours)?;
        let _room = self.room.acquire().await.map_err(|_| Trouble::Busy)?;
        loop {
            let kept = self.take(node);
            let was_kept = kept.is_some();
            let mut client = match kept {
                Some(client) => client,
                None => self.connect(node).await?,
            };
            match client.call(request, version).await {
                Ok(answer) => {
                    self.keep(node, client);
                    return Ok(answer);
                }
                Err(ClientError::Broken { .. }) if was_kept => {}
                Err(error) => return Err(self.trouble(node, &error)),
            }
        }
    }

    /// Asks whichever broker answers.
    pub(super) async fn call_any<R: Request>(&self, request: &R, ours: Versions) -> Result<R::Response, Trouble> {
        let mut nodes = self.nodes();
        if let Some(at) = self.kept().first().and_then(|kept| nodes.iter().position(|node| *node == kept.node)) {
            nodes[..=at].rotate_right(1);
        }
        let mut trouble = Trouble::NoBroker;
        for node in nodes.into_iter().take(limits::INQUIRY_BROKERS_TRIED) {
            match self.call(node, request, ours).await {
                Ok(answer) => return Ok(answer),
                Err(error) => trouble = error,
            }
        }
        Err(trouble)
    }

    /// Closes what nobody has used for a while.
    pub(super) fn close_idle(&self) {
        self.kept().retain(|kept| kept.since.elapsed() < limits::INQUIRY_IDLE);
    }

    async fn connect(&self, node: i32) -> Result<Client, Trouble> {
        let endpoints = self.cluster.view().endpoints_of(Some(node));
        let mut trouble = Trouble::UnknownBroker(node);
        for endpoint in endpoints {
            let (tls, credential) = (self.cluster.tls.as_deref(), self.cluster.credential.as_deref());
            // A login has several steps, each of which may take the whole time.
            match timeout(self.wait, Client::connect(&endpoint, tls, credential, self.wait)).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) => trouble = self.trouble(node, &error),
                Err(_) => trouble = Trouble::Silent { node, waited: self.wait },
            }
        }
        Err(trouble)
    }

    fn trouble(&self, node: i32, error: &ClientError) -> Trouble {
        tracing::debug!(cluster = self.cluster.name, node, "what Weir asked has no answer: {error}");
        Trouble::of(node, error, self.wait)
    }

    fn take(&self, node: i32) -> Option<Client> {
        let mut kept = self.kept();
        let at = kept.iter().position(|kept| kept.node == node && kept.since.elapsed() < limits::INQUIRY_IDLE)?;
        Some(kept.swap_remove(at).client)
    }

    fn keep(&self, node: i32, client: Client) {
        let mut kept = self.kept();
        if kept.len() < limits::INQUIRY_CONNECTIONS_MAX {
            kept.push(Kept { node, since: Instant::now(), client });
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
