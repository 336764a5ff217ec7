//! The cluster, and bystanders whose waits are measured.
//!
//! Times are compared with those of bystanders who talk straight to the same broker at the same moment, and whose waits the
//! hazard lengthens as well, by the cores and the disk that all share; never with a figure of some other machine.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use loadtest::admin;
use loadtest::kafka::{self, Cluster};
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use loadtest::{Failure, wait_for};

use crate::hazards_support::{self, METADATA, PRODUCE, SOON, batch, no_topics, own_memory_mib, produce};

/// Room for a request of 64 MiB.
const MESSAGE_MAX: usize = 80 << 20;

/// Broker 1, which bystanders talk to, and 2, which hazards meet.
pub const BYSTANDERS: i32 = 1;
pub const HAZARD: i32 = 2;

/// What bystanders behind Weir may wait, as a multiple of what those beside it wait at the same moment, at the median and
/// for nine of ten. Weir's shards are the ones that carry the hazard, and it has two cores together with brokers and
/// clients: a request finds its shard at work for a few turns of a scheduler more often than it finds its broker so.
const TIMES: u32 = 4;
/// What the multiple of a very short wait may be besides: some of a scheduler's turns.
const BESIDES: Duration = Duration::from_millis(20);
/// The same for one of a hundred, which on a machine of two cores is whoever was not scheduled.
const RARELY_BESIDES: Duration = Duration::from_millis(200);

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
        let [half, most, nearly, all] = [0.5, 0.9, 0.99, 1.0].map(|q| self.at(q));
        format!("{} requests, p50 {half:?}, p90 {most:?}, p99 {nearly:?}, longest {all:?}", self.count())
    }
}

/// Connections to the broker [`BYSTANDERS`], which the kernel spreads over the shards; each asks for Metadata and produces a
/// record, one after the other, for as long as it is told. Behind Weir they come by the broker's door and by the bootstrap
/// address, where hazards come as well; as many others go straight to the broker.
pub struct Bystanders {
    door: SocketAddr,
    bootstrap: SocketAddr,
    broker: SocketAddr,
    topic: String,
}

impl Bystanders {
    pub fn new(cluster: &Cluster, gateway: &Gateway, topic: &str) -> Self {
        topic_on(cluster, topic, BYSTANDERS);
        Self {
            door: gateway.broker_address(BYSTANDERS).unwrap(),
            bootstrap: gateway.address(),
            broker: cluster.address(BYSTANDERS).unwrap(),
            topic: topic.to_owned(),
        }
    }

    /// Runs `hazard` while they work: what it gave, and how long those behind Weir and those beside it waited meanwhile.
    fn during<T>(&self, hazard: impl FnOnce() -> T) -> (T, [Waits; 2]) {
        let stop = AtomicBool::new(false);
        let stop = &stop;
        // Connected before the hazard begins: whoever bootstraps later may be sent to another broker.
        let connect = |doors: [SocketAddr; 4]| doors.map(|door| self.connect(door));
        let behind = connect([self.door, self.door, self.bootstrap, self.bootstrap]);
        let beside = connect([self.broker; 4]);
        std::thread::scope(|scope| {
            let work = |side: [Connection; 4]| side.map(|one| scope.spawn(move || self.work(one, stop)));
            let running = [work(behind), work(beside)];
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(hazard));
            stop.store(true, Ordering::Relaxed);
            let waits = running.map(|side| {
                let mut waits: Vec<Duration> = side.into_iter().flat_map(|one| one.join().unwrap()).collect();
                waits.sort();
                Waits(waits)
            });
            (done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), waits)
        })
    }

    /// A connection that leads to the bystanders' broker; the bootstrap address leads to any, in turn.
    fn connect(&self, door: SocketAddr) -> Connection {
        const NOT_LEADER_OR_FOLLOWER: i16 = 6;
        let to_it = || {
            let mut connection = Connection::open(door)?.with_client_id("bystander");
            match self.produce(&mut connection) {
                0 => Ok(Some(connection)),
                NOT_LEADER_OR_FOLLOWER => Ok(None),
                code => Err(Failure::new(format!("error {code}"))),
            }
        };
        wait_for(&format!("{door} to lead to broker {BYSTANDERS}"), SOON, to_it).unwrap()
    }

    fn produce(&self, connection: &mut Connection) -> i16 {
        let record = produce(&self.topic, 1, batch(1, 100));
        let answer = connection.call(PRODUCE, &record).unwrap();
        answer.responses[0].partition_responses[0].error_code
    }

    fn work(&self, mut connection: Connection, stop: &AtomicBool) -> Vec<Duration> {
        let mut waits = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            assert!(!connection.call(METADATA, &no_topics()).unwrap().brokers.is_empty());
            waits.push(begun.elapsed());
            let begun = Instant::now();
            assert_eq!(self.produce(&mut connection), 0);
            waits.push(begun.elapsed());
            std::thread::sleep(Duration::from_millis(2));
        }
        waits
    }

    /// Holds that those behind Weir wait no longer than those beside it, but for their share of what the machine has.
    pub fn keep_their_latency<T>(&self, what: &str, hazard: impl FnOnce() -> T) -> T {
        let (done, [behind, beside]) = self.during(hazard);
        let shown = format!("{what}:\n behind Weir {}\n beside it   {}", behind.shown(), beside.shown());
        println!("{shown}");
        assert!(behind.count() >= 100, "{shown}");
        for (quantile, besides) in [(0.5, BESIDES), (0.9, BESIDES), (0.99, RARELY_BESIDES)] {
            assert!(behind.at(quantile) <= beside.at(quantile) * TIMES + besides, "p{quantile}: {shown}");
        }
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
