//! A shard's own state, and how it is started, told things and stopped.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc};

use super::census::Census;
use super::connection::Connection;
use super::listener::{self, ListenerOptions};
use super::login::Issuers;
use super::members::Members;
use super::meter::Meter;
use super::policy::{self, Adopted, InForce, Policy};
use super::pool::Pool;
use super::recording::{Recording, RecordingOptions};
use super::runtime::{Epoll, Runtime, Uring};
use super::sweep;
use super::tls::Scratch;
use crate::limits;
use crate::pipeline::budget::Budget;
use crate::pipeline::hold::Readings;
use crate::policy::{Desk, TokenTable};
use crate::recorder::ShardJournal;
use crate::wire::kafka::records::rewrite::Rewriter;

/// Limits that the configuration sets.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections on one shard.
    pub connections: usize,
    /// Largest request frame, bytes.
    pub request_frame_bytes: u64,
    /// Largest request that is gathered, bytes; a Produce that no rule looks into is relayed at any size.
    pub gathered_request_bytes: u64,
    /// A connection without traffic is closed after this.
    pub idle: Duration,
    /// A connection has to say who it is within this.
    pub handshake: Duration,
    /// A request of which bytes are kept has to be whole within this.
    pub request: Duration,
}

/// What a shard is started with.
pub struct ShardOptions {
    /// Its number, from 0.
    pub index: usize,
    /// The core it is pinned to; none: wherever the kernel puts it.
    pub core: Option<usize>,
    /// Run on io_uring; else on epoll.
    pub io_uring: bool,
    /// The addresses to serve.
    pub listeners: Vec<Arc<ListenerOptions>>,
    /// Its journal.
    pub journal: ShardJournal,
    /// What it puts there.
    pub recording: RecordingOptions,
    /// What is kept, and what is masked.
    pub policy: Policy,
    /// Where what is held for approval is asked for.
    pub desk: Arc<dyn Desk>,
    /// What identities have read and written, shared by all shards.
    pub readings: Readings,
    /// The tokens in force.
    pub tokens: Arc<ArcSwap<TokenTable>>,
    /// The identity providers.
    pub issuers: Issuers,
    /// Limits.
    pub limits: Limits,
    /// Connections an identity, shared by all shards.
    pub census: Census,
    /// Which sessions are members of which consumer groups, shared by all shards.
    pub members: Members,
}

/// What a shard can be told.
#[derive(Debug, Clone)]
pub enum Command {
    /// Another shard learnt of a broker: open its door here too.
    OpenBroker {
        /// The listener's name.
        listener: String,
        /// Node id.
        node: i32,
    },
    /// Take over a policy, and say so when nothing that an older one decided is under way.
    Adopt(Policy, mpsc::UnboundedSender<Adopted>),
    /// Stop accepting, finish what is in flight, end after this at the latest.
    Drain(Duration),
}

/// A running shard.
pub struct ShardHandle {
    ear: ShardEar,
    thread: JoinHandle<io::Result<()>>,
}

/// Where a shard hears what it is told.
#[derive(Debug, Clone)]
pub struct ShardEar(mpsc::UnboundedSender<Command>);

impl ShardEar {
    /// Tells it; one that has ended does not hear.
    pub fn tell(&self, command: Command) {
        let _ = self.0.send(command);
    }
}

impl ShardHandle {
    /// Where it can be told things by others as well.
    pub fn ear(&self) -> ShardEar {
        self.ear.clone()
    }

    /// Tells it.
    pub fn tell(&self, command: Command) {
        self.ear.tell(command);
    }

    /// Waits for its end.
    pub fn join(self) -> io::Result<()> {
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a shard's thread panicked")))
    }
}

/// Starts the shards; returns when each has bound its addresses, or with the first that could not.
pub fn start(shards: Vec<ShardOptions>) -> io::Result<Vec<ShardHandle>> {
    let (senders, receivers): (Vec<_>, Vec<_>) = shards.iter().map(|_| mpsc::unbounded_channel()).unzip();
    let (ready, bound) = crossbeam::channel::bounded::<io::Result<()>>(shards.len());
    let mut handles = Vec::new();
    for (options, commands) in shards.into_iter().zip(receivers) {
        let others: Vec<_> =
            senders.iter().enumerate().filter(|(i, _)| *i != options.index).map(|(_, s)| s.clone()).collect();
        let own = senders[options.index].clone();
        let ready = ready.clone();
        let name = format!("weir-shard-{}", options.index);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let ended = std::panic::catch_unwind(AssertUnwindSafe(|| match (options.core, options.io_uring) {
                (core, true) => Uring::run(core, run::<Uring>(options, others, commands, ready)),
                (core, false) => Epoll::run(core, run::<Epoll>(options, others, commands, ready)),
            }));
            ended.unwrap_or_else(|_| {
                // A gateway that lost a shard would answer some clients and not others: better a restart.
                tracing::error!("a shard panicked, a fault of Weir's own; the process ends and the recording is taken over at the next start");
                std::thread::sleep(limits::LAST_WORDS);
                std::process::abort()
            })
        })?;
        handles.push(ShardHandle { ear: ShardEar(own), thread });
    }
    drop(ready);
    for _ in 0..handles.len() {
        bound.recv().map_err(|_| io::Error::other("a shard ended while starting"))??;
    }
    Ok(handles)
}

async fn run<R: Runtime>(
    options: ShardOptions,
    others: Vec<mpsc::UnboundedSender<Command>>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    ready: crossbeam::channel::Sender<io::Result<()>>,
) {
    let shard = Rc::new(Shard::<R>::new(options, others));
    let opened = shard.listeners.iter().try_for_each(|listener| listener::open(&shard, listener));
    let failed = opened.is_err();
    let _ = ready.send(opened);
    if failed {
        return;
    }
    shard.spawn(sweep::run(shard.clone()));
    let mut drain_for = Duration::ZERO;
    while let Some(command) = commands.recv().await {
        match command {
            Command::OpenBroker { listener, node } => {
                if let Some(listener) = shard.listeners.iter().find(|l| l.name == listener) {
                    listener::open_broker(&shard, listener, node);
                }
            }
            Command::Adopt(policy, done) => policy::adopt(&shard, &policy, done).await,
            Command::Drain(limit) => {
                drain_for = limit;
                break;
            }
        }
    }
    sweep::drain(&shard, drain_for).await;
}

/// A shard's state; everything on it happens on one thread.
pub(super) struct Shard<R: Runtime> {
    pub listeners: Vec<Arc<ListenerOptions>>,
    pub journal: RefCell<ShardJournal>,
    pub recording: Recording,
    pub policy: RefCell<Rc<InForce>>,
    /// Rewrites batches, of one connection at a time.
    pub rewriter: RefCell<Rewriter>,
    pub desk: Arc<dyn Desk>,
    pub readings: Readings,
    pub tokens: Arc<ArcSwap<TokenTable>>,
    pub issuers: Issuers,
    pub limits: Limits,
    pub census: Census,
    pub members: Members,
    pub request_buffers: Rc<Pool>,
    pub response_buffers: Rc<Pool>,
    pub scratch: Rc<Scratch>,
    pub request_budget: Budget,
    /// For requests that Weir answers, which need no login.
    pub login_budget: Budget,
    pub response_budget: Budget,
    /// For what may be masked, until it was taken.
    /// For requests that wait for approval.
    pub held_requests: Budget,
    pub masked_requests: Budget,
    pub masked_answers: Budget,
    pub meter: Meter,
    pub connections: RefCell<BTreeMap<u64, Rc<Connection<R>>>>,
    pub doors: RefCell<HashSet<(String, Option<i32>)>>,
    /// Brokers without a door that the log has been told of.
    pub complaints: RefCell<HashSet<(String, i32)>>,
    /// Wakes the accept loops when the shard begins to drain.
    pub drained: Notify,
    draining: Cell<bool>,
    next_connection: Cell<u64>,
    others: Vec<mpsc::UnboundedSender<Command>>,
}

impl<R: Runtime> Shard<R> {
    fn new(options: ShardOptions, others: Vec<mpsc::UnboundedSender<Command>>) -> Self {
        Shard {
            listeners: options.listeners,
            recording: Recording::new(&options.recording, &options.journal),
            journal: RefCell::new(options.journal),
            rewriter: RefCell::new(Rewriter::new(options.policy.masking.levels())),
            policy: RefCell::new(Rc::new(InForce::new(&options.policy, 0, options.recording.shards))),
            desk: options.desk,
            readings: options.readings,
            tokens: options.tokens,
            issuers: options.issuers,
            limits: options.limits,
            census: options.census,
            members: options.members,
            request_buffers: Pool::new(limits::SHARD_BUFFER_BYTES),
            response_buffers: Pool::new(limits::SHARD_BUFFER_BYTES),
            scratch: Rc::default(),
            request_budget: Budget::new(limits::SHARD_GATHER_BYTES),
            login_budget: Budget::new(limits::SHARD_LOGIN_BYTES),
            response_budget: Budget::new(limits::SHARD_GATHER_BYTES),
            held_requests: Budget::new(limits::SHARD_HELD_BYTES),
            masked_requests: Budget::new(limits::SHARD_MASKED_BYTES),
            masked_answers: Budget::new(limits::SHARD_MASKED_BYTES),
            meter: Meter::default(),
            connections: RefCell::default(),
            doors: RefCell::default(),
            complaints: RefCell::default(),
            drained: Notify::new(),
            draining: Cell::new(false),
            next_connection: Cell::new(0),
            others,
        }
    }

    /// Starts a task on this thread, the only way to: it is counted for as long as the executor keeps it, however it ends.
    pub fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let counted = Counted::begin(self.clone());
        // Moved into another future as it is, it would take its room twice for as long as it lives.
        let task = Box::pin(task);
        R::spawn(async move {
            let _counted = counted;
            task.await;
        });
    }

    /// Hands everything counted since the last time to the metrics registry.
    pub fn publish(&self) {
        self.meter.publish();
        if let Some(plans) = &self.policy.borrow().masking {
            Meter::masked(plans.take_counts());
        }
    }

    pub fn next_connection(&self) -> u64 {
        let number = self.next_connection.get();
        self.next_connection.set(number + 1);
        number
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    pub fn begin_drain(&self) {
        self.draining.set(true);
        self.drained.notify_waiters();
    }

    pub fn tell_others(&self, command: impl Fn() -> Command) {
        for other in &self.others {
            let _ = other.send(command());
        }
    }
}

/// Counts the task that owns it.
struct Counted<R: Runtime>(Rc<Shard<R>>);

impl<R: Runtime> Counted<R> {
    fn begin(shard: Rc<Shard<R>>) -> Self {
        shard.meter.tasks(1);
        Counted(shard)
    }
}

impl<R: Runtime> Drop for Counted<R> {
    fn drop(&mut self) {
        self.0.meter.tasks(-1);
    }
}
