//! One client's connection, from accept to close.
//!
//! Two tasks share it: `requests` reads the client and writes the broker, `responses` the other way round, so that
//! back-pressure on one side never stops the other. The second begins when the first request has to be forwarded; until
//! then the first one also writes the answers given here.
//!
//! Invariants:
//! - One task writes to the client at a time.
//! - Whoever notices the end says why, once; both sockets are shut down, both tasks end, the last one closes the books:
//!   what was in flight is recorded as of unknown outcome, then the close.
//! - No borrow is held across an await.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::FutureExt;
use rustix::net::Shutdown;
use tokio::sync::Notify;

use super::access::Access;
use super::approvals::Approvals;
use super::clock::Clock;
use super::listener::Door;
use super::login::Login;
use super::masking::Masks;
use super::members::Memberships;
use super::meter::Standing;
use super::outgoing::Outgoing;
use super::policy::Passing;
use super::renew::Renewal;
use super::runtime::{Runtime, Stream};
use super::state::Shard;
use super::tls::{TlsStream, Transport};
use super::{requests, responses};
use crate::event::{CloseReason, ConnectionNo, EventKind, Outcome};
use crate::limits;
use crate::pipeline::capture::Scope;
use crate::pipeline::describe::TopicDirectory;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::fault::Fault;
use crate::wire::kafka::correlation::Ring;

/// A client's connection.
pub(super) struct Connection<R: Runtime> {
    pub shard: Rc<Shard<R>>,
    pub door: Rc<Door>,
    /// The broker that the connection is for; none: any. Known with the door or, where names tell brokers apart, once the
    /// client has asked for one.
    pub node: Cell<Option<i32>>,
    pub number: ConnectionNo,
    pub peer: SocketAddr,
    pub clock: Clock,
    pub opened_ns: u64,
    pub client: Transport<R::Stream>,
    pub upstream: OnceCell<Transport<R::Stream>>,
    pub ring: RefCell<Ring<Box<Exchange>>>,
    /// Wakes the answering task: something was answered here, or the end has come.
    pub answered: Notify,
    /// Wakes the reading task: the ring has room again, or an answer to Weir itself has come.
    pub room: Notify,
    /// Weir's own session with the broker.
    pub renewal: Renewal,
    pub login: RefCell<Login>,
    /// What full recording keeps before it is known who it acts for; none until it was looked up.
    pub scope_before_login: RefCell<Option<Option<Rc<Scope>>>>,
    /// The same from then on.
    pub scope: RefCell<Option<Option<Rc<Scope>>>>,
    /// What it called itself with the first request that needed somebody.
    pub client_id: OnceCell<String>,
    /// What its client may do.
    pub access: Access,
    /// What of that is held for approval.
    pub approvals: Approvals,
    /// What masks its records; none until it was looked up.
    pub masking: RefCell<Option<Masks>>,
    /// The consumer groups that it is a member of, and its session's.
    pub memberships: Memberships,
    /// Requests with records on their way to the broker, by the policy that decided on them.
    pub requests_passing: Passing,
    /// Answers with records on their way to the client.
    pub answers_passing: Passing,
    /// Behind its last event in the journal.
    pub recorded_to: Cell<u64>,
    /// Exchanges in flight of which a piece found no room in the journal.
    pub incomplete: RefCell<Vec<u64>>,
    pub traffic: Traffic,
    /// Nothing more is read from the client: it closed, or its login failed. What is owed is still written.
    pub reads_ended: Cell<bool>,
    /// The client has closed: answers still come in for the recording's sake, but nobody takes them.
    pub client_gone: Cell<bool>,
    reason: Cell<Option<CloseReason>>,
    tasks: Cell<u8>,
}

/// Counters of a connection.
#[derive(Default)]
pub(super) struct Traffic {
    /// Bytes read from the client.
    pub bytes_in: Cell<u64>,
    /// Bytes written to the client.
    pub bytes_out: Cell<u64>,
    /// When bytes last moved, ns.
    pub last_ns: Cell<u64>,
    /// Since when bytes of an unfinished request are kept, ns; 0 when none are.
    pub kept_since_ns: Cell<u64>,
    /// Since when a request is written to the broker that room is set aside for, ns; 0 when none is.
    pub request_held_since_ns: Cell<u64>,
    /// The same of an answer to the client.
    pub answer_held_since_ns: Cell<u64>,
    /// When the client closed with requests in flight, ns; 0 before.
    pub lingers_since_ns: Cell<u64>,
    /// No request is under way.
    pub between_requests: Cell<bool>,
    /// An answer has left the ring and is not yet written to its last byte.
    pub answer_under_way: Cell<bool>,
}

/// Takes an accepted connection on.
pub(super) fn begin<R: Runtime>(shard: &Rc<Shard<R>>, door: &Rc<Door>, client: R::Stream) {
    let listener = &door.listener.name;
    if shard.connections.borrow().len() >= shard.limits.connections {
        tracing::warn!(listener, limit = shard.limits.connections, "connection refused: the limit is reached");
        metrics::counter!("weir_connections_refused_total", "listener" => listener.clone()).increment(1);
        return;
    }
    let peer = match peer_of(&client) {
        Ok(peer) => peer,
        Err(error) => {
            tracing::debug!(listener, "a connection was gone before it could be served: {error}");
            return;
        }
    };
    let Some(client) = transport(shard, door, client) else { return };
    let clock = Clock::start();
    let connection = Rc::new(Connection {
        shard: shard.clone(),
        door: door.clone(),
        node: Cell::new(door.node),
        number: ConnectionNo(shard.next_connection()),
        peer,
        clock,
        opened_ns: clock.now_ns(),
        client,
        upstream: OnceCell::new(),
        ring: RefCell::default(),
        answered: Notify::new(),
        room: Notify::new(),
        renewal: Renewal::default(),
        login: RefCell::default(),
        scope_before_login: RefCell::default(),
        scope: RefCell::default(),
        client_id: OnceCell::new(),
        access: Access::default(),
        approvals: Approvals::default(),
        masking: RefCell::default(),
        memberships: Memberships::default(),
        requests_passing: Passing::default(),
        answers_passing: Passing::default(),
        recorded_to: Cell::new(0),
        incomplete: RefCell::default(),
        traffic: Traffic::default(),
        reads_ended: Cell::new(false),
        client_gone: Cell::new(false),
        reason: Cell::new(None),
        tasks: Cell::new(0),
    });
    connection.traffic.last_ns.set(connection.opened_ns);
    connection.traffic.between_requests.set(true);
    shard.connections.borrow_mut().insert(connection.number.0, connection.clone());
    shard.meter.connections(listener, Standing::Unidentified, 1);
    connection.spawn(async |c| requests::run(c).await);
}

fn transport<R: Runtime>(shard: &Shard<R>, door: &Door, client: R::Stream) -> Option<Transport<R::Stream>> {
    let Some(tls) = &door.listener.tls else { return Some(Transport::Plain(client)) };
    match TlsStream::server(client, tls.server.current(), shard.scratch.clone()) {
        Ok(client) => Some(Transport::Tls(Box::new(client))),
        Err(error) => {
            let listener = &door.listener.name;
            tracing::error!(listener, "a connection cannot be served with TLS: {error}");
            None
        }
    }
}

fn peer_of<S: Stream>(stream: &S) -> rustix::io::Result<SocketAddr> {
    rustix::net::sockopt::set_tcp_nodelay(stream.fd(), true)?;
    let peer = rustix::net::getpeername(stream.fd())?.ok_or(rustix::io::Errno::NOTCONN)?;
    // Where IPv4 comes in on an IPv6 socket, the client has its IPv4 address all the same.
    SocketAddr::try_from(peer).map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()))
}

impl<R: Runtime> Connection<R> {
    /// Starts one of the two tasks; the last to end closes the books. A task that gives no reason leaves the end to the
    /// other; one that panics ends its own connection only.
    pub fn spawn(self: &Rc<Self>, task: impl AsyncFnOnce(&Rc<Self>) -> Result<Option<CloseReason>, Fault> + 'static) {
        self.tasks.set(self.tasks.get() + 1);
        let connection = self.clone();
        self.shard.spawn(async move {
            match AssertUnwindSafe(task(&connection)).catch_unwind().await {
                Ok(Ok(Some(reason))) => connection.end(reason),
                Ok(Ok(None)) => {}
                Ok(Err(fault)) => connection.fail(&fault),
                Err(_) => {
                    let (listener, peer) = (&connection.door.listener.name, connection.peer);
                    tracing::error!(listener, %peer, "connection closed, a fault of Weir's own: its task panicked");
                    connection.end(CloseReason::Internal);
                }
            }
            connection.tasks.set(connection.tasks.get() - 1);
            if connection.tasks.get() == 0 {
                connection.close_books().await;
            }
        });
    }

    /// Starts the answering task, once there is an upstream.
    pub fn spawn_responses(self: &Rc<Self>) {
        self.spawn(async |c| responses::run(c).await);
    }

    /// Ends the connection, unless it is ending already.
    pub fn end(&self, reason: CloseReason) {
        if self.reason.get().is_none() {
            self.reason.set(Some(reason));
        }
        self.reads_ended.set(true);
        self.memberships.end();
        self.client.shutdown(Shutdown::Both);
        if let Some(upstream) = self.upstream.get() {
            upstream.shutdown(Shutdown::Both);
        }
        self.answered.notify_one();
        self.room.notify_one();
    }

    /// Ends the connection and tells the log why.
    pub fn fail(&self, fault: &Fault) {
        if self.reason.get().is_some() {
            return;
        }
        let (listener, peer, connection) = (&self.door.listener.name, self.peer, self.number.0);
        let (client_tls, broker_tls) = (&self.door.listener.tls, &self.door.listener.cluster.tls);
        match (fault, client_tls, broker_tls) {
            (Fault::ClientTls(_), Some(tls), _) => tls.server.count_failure(),
            (Fault::UpstreamTls(_), _, Some(tls)) => tls.count_failure(),
            _ => {}
        }
        match fault {
            Fault::Unreachable(_)
            | Fault::UpstreamFrame(_)
            | Fault::UpstreamBody(_)
            | Fault::UpstreamTls(_)
            | Fault::AnswerLimit(_)
            | Fault::Surprise(_)
            | Fault::UpstreamClosed { .. } => {
                tracing::error!(listener, %peer, connection, "connection closed, {fault}");
            }
            _ => tracing::warn!(listener, %peer, connection, "connection closed, {fault}"),
        }
        self.end(fault.close_reason());
    }

    /// Whether the end has been decided on.
    pub fn is_ending(&self) -> bool {
        self.reason.get().is_some()
    }

    /// Whether the client waits for anything that it asked for.
    pub fn owes_answers(&self) -> bool {
        !self.ring.borrow().is_empty() || self.traffic.answer_under_way.get()
    }

    /// Takes the answers given here whose turn has come, for the client.
    pub async fn take_answered(&self, out: &mut Outgoing, at_ns: u64) {
        loop {
            let Some((frame, mut exchange)) = self.ring.borrow_mut().pop_answered() else { return };
            if exchange.capture.is_some() {
                let cuts = exchange.pass_answer(&frame, self, at_ns);
                self.keep(cuts, &frame).await;
                self.kept(exchange.ordinal);
            }
            out.own(frame.into());
            self.room.notify_one();
        }
    }

    /// Writes to the client.
    pub async fn write_client(&self, out: &mut Outgoing, buffer: &[u8]) -> Result<u64, CloseReason> {
        self.may_be_told().await?;
        let (bytes, blocked_ns) = out.write(&self.client, buffer).await.map_err(|_| CloseReason::Client)?;
        self.traffic.bytes_out.set(self.traffic.bytes_out.get() + bytes);
        self.shard.meter.bytes_out(bytes);
        Ok(blocked_ns)
    }

    async fn close_books(&self) {
        let left: Vec<(bool, Box<Exchange>)> = self.ring.borrow_mut().drain().collect();
        for (forwarded, mut exchange) in left {
            self.keep(exchange.finish_capture(self.clock.now_ns()), &[]).await;
            if forwarded {
                self.shard.meter.exchange(&exchange, Outcome::Unknown, self.clock.now_ns());
                self.record(exchange.abandon(self.clock.now_ns())).await;
            }
        }
        let reason = self.reason.get().unwrap_or(CloseReason::Internal);
        let (bytes_in, bytes_out) = (self.traffic.bytes_in.get(), self.traffic.bytes_out.get());
        self.record(EventKind::Closed { reason, bytes_in, bytes_out }).await;
        let standing = if self.login.borrow().told { Standing::Identified } else { Standing::Unidentified };
        self.shard.meter.connections(&self.door.listener.name, standing, -1);
        self.shard.connections.borrow_mut().remove(&self.number.0);
        tracing::debug!(listener = self.door.listener.name, peer = %self.peer, ?reason, "connection ended");
    }

    /// Waits for the cluster's view to give something, at most as long as connecting may take.
    pub async fn await_view<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let deadline = self.clock.now_ns() + limits::UPSTREAM_CONNECT_WAIT.as_nanos() as u64;
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            if self.clock.now_ns() >= deadline || self.is_ending() {
                return None;
            }
            let changed = self.door.listener.cluster.changed();
            futures_lite::future::or(changed, R::sleep(Duration::from_millis(100))).await;
        }
    }

    /// Has topic ids looked up that a request names and nobody has met, and waits for it.
    pub async fn look_up_topics(&self, ids: &[[u8; 16]]) {
        let asked = self.door.listener.cluster.look_up_topics(ids.to_vec());
        futures_lite::future::or(asked, R::sleep(limits::TOPIC_LOOKUP_WAIT)).await;
    }
}

/// Topic names as the connection's cluster knows them.
impl<R: Runtime> TopicDirectory for Connection<R> {
    fn name(&self, id: &[u8; 16]) -> Option<Arc<str>> {
        self.door.listener.cluster.topic_name(id)
    }

    fn met(&self, id: &[u8; 16]) {
        self.door.listener.cluster.met_topic(*id);
    }

    fn learn(&self, topics: Vec<([u8; 16], Arc<str>)>) {
        self.door.listener.cluster.learn_topics(topics);
    }
}
