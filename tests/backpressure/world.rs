//! The cluster, and bystanders whose waits are measured.
//!
//! Times are compared with those of the same bystanders a moment before, on the same machine, and with what a person would call
//! stuck; never with a figure of some other machine.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use loadtest::admin;
use loadtest::kafka::{self, Cluster};
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;

use crate::hazards_support::{self, METADATA, PRODUCE, SOON, batch, no_topics, own_memory_mib, produce};

/// Room for a request of 64 MiB.
const MESSAGE_MAX: usize = 80 << 20;

/// Broker 1, which bystanders talk to, and 2, which hazards meet.
pub const BYSTANDERS: i32 = 1;
pub const HAZARD: i32 = 2;

/// What a bystander may wait at most, whatever the machine: clients give up and try again after 10 s and more.
const STUCK: Duration = Duration::from_secs(2);

pub fn cluster() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let start = || {
        let properties =
            vec![format!("message.max.bytes={MESSAGE_MAX}"), format!("socket.request.max.bytes={MESSAGE_MAX}")];
        Mutex::new(Cluster::start(2, kafka::Options { properties, heap_mib: 768, ..Default::default() }).unwrap())
    };
    CLUSTER.get_or_init(start).lock().unwrap_or_else(PoisonError::into_inner)
}

/// A gateway with its doors open; `top` are further lines of its configuration.
pub fn gateway(cluster: &Cluster, runtime: &str, top: &[&str]) -> Gateway {
    let mut options = Options::new(cluster.bootstrap()).runtime(runtime);
    options.top = top.iter().map(|&line| line.to_owned()).collect();
    let gateway = hazards_support::gateway(options);
    for node in [BYSTANDERS, HAZARD] {
        let door = gateway.broker_address(node).unwrap();
        wait_for("a door", SOON, || Ok(Connection::open(door).ok())).unwrap();
    }
    gateway
}

/// A topic that lives on this broker alone.
pub fn topic_on(cluster: &Cluster, name: &str, node: i32) {
    admin::create_topic(cluster, name, &[node]).unwrap();
}

/// A broker that answers nothing until this is dropped, so that one test's failure is not the next one's.
pub struct Silent<'a>(&'a Cluster);

impl<'a> Silent<'a> {
    pub fn begin(cluster: &'a Cluster) -> Self {
        cluster.pause(HAZARD).unwrap();
        Self(cluster)
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        let _ = self.0.resume(HAZARD);
    }
}

/// How long requests took, sorted.
#[derive(Debug)]
pub struct Waits(Vec<Duration>);

impl Waits {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The quantile `q`, 0 to 1.
    pub fn at(&self, q: f64) -> Duration {
        self.0[((self.0.len() - 1) as f64 * q) as usize]
    }

    pub fn shown(&self) -> String {
        let [half, most, all] = [0.5, 0.99, 1.0].map(|q| self.at(q));
        format!("{} requests, p50 {half:?}, p99 {most:?}, longest {all:?}", self.count())
    }
}

/// Connections to the door of [`BYSTANDERS`], which the kernel spreads over the shards; each asks for Metadata and produces a record, one after the other, for as long as it is told.
pub struct Bystanders {
    door: SocketAddr,
    topic: String,
}

impl Bystanders {
    pub fn new(cluster: &Cluster, gateway: &Gateway, topic: &str) -> Self {
        topic_on(cluster, topic, BYSTANDERS);
        Self { door: gateway.broker_address(BYSTANDERS).unwrap(), topic: topic.to_owned() }
    }

    /// Runs `hazard` while they work: what it gave, and how long they waited meanwhile.
    pub fn during<T>(&self, hazard: impl FnOnce() -> T) -> (T, Waits) {
        const CONNECTIONS: usize = 6;
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| self.work(&stop))).collect();
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(hazard));
            stop.store(true, Ordering::Relaxed);
            let mut waits: Vec<Duration> = running.into_iter().flat_map(|one| one.join().unwrap()).collect();
            waits.sort();
            (done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), Waits(waits))
        })
    }

    fn work(&self, stop: &AtomicBool) -> Vec<Duration> {
        let mut connection = Connection::open(self.door).unwrap().with_client_id("bystander");
        let record = produce(&self.topic, 1, batch(1, 100));
        let mut waits = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            assert!(!connection.call(METADATA, &no_topics()).unwrap().brokers.is_empty());
            waits.push(begun.elapsed());
            let begun = Instant::now();
            let answer = connection.call(PRODUCE, &record).unwrap();
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
            waits.push(begun.elapsed());
            std::thread::sleep(Duration::from_millis(2));
        }
        waits
    }

    /// The same, after a moment without hazard to compare with: nobody is stuck, most are served as before.
    pub fn keep_their_latency<T>(&self, what: &str, hazard: impl FnOnce() -> T) -> T {
        let ((), before) = self.during(|| std::thread::sleep(Duration::from_secs(1)));
        let (done, meanwhile) = self.during(hazard);
        let shown = format!("{what}:\n before    {}\n meanwhile {}", before.shown(), meanwhile.shown());
        println!("{shown}");
        assert!(meanwhile.count() >= 100, "{shown}");
        assert!(meanwhile.at(0.99) < STUCK, "{shown}");
        // A machine with two cores, which the hazard keeps busy as well, needs room here.
        assert!(meanwhile.at(0.5) < (before.at(0.5) * 50).max(Duration::from_millis(50)), "{shown}");
        done
    }
}

/// By how much the gateway's own memory grew at most during `work`, MiB, and what the work gave.
pub fn growth_mib<T>(gateway: &Gateway, work: impl FnOnce() -> T) -> (T, u64) {
    let before = own_memory_mib(gateway);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut peak = before;
            while !stop.load(Ordering::Relaxed) {
                peak = peak.max(own_memory_mib(gateway));
                std::thread::sleep(Duration::from_millis(10));
            }
            peak
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        let grown = watching.join().unwrap() - before;
        (done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), grown)
    })
}
