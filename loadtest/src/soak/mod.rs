//! The soak: stock clients on both runtimes for as long as one likes, while brokers restart one after the other.
//!
//! Two gateways stand before one cluster of three brokers, one on io_uring, one on epoll, and each carries a [`Stream`] of
//! its own, with clients of five families. In the end every partition's content has to be the same in all views
//! ([`Evidence`]), and the gateways must hold no more than before: memory, descriptors, threads and tasks level out while the
//! clients are there, and are back where they were once these have left ([`vitals`]). [`run`] gives a report, in which
//! breaches are listed, and not only the first.

mod report;
pub mod vitals;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::kafka::{self, Cluster};
use crate::stream::evidence::Evidence;
use crate::stream::{CLIENTS, Plan, Stream};
use crate::weir::{Gateway, Options};
use crate::wire::Connection;
use crate::{Failure, Result, operate, wait_for};
pub use report::{Carried, Report};
use vitals::Vitals;

const RUNTIMES: [&str; 2] = ["io_uring", "epoll"];
const BROKERS: i32 = 3;
const PARTITIONS: i32 = 6;
/// Streams have to flow again within this after a broker's restart.
const BACK: Duration = Duration::from_secs(60);
/// What clients leave behind goes within this: a connection whose client is gone lives 3 s at most for its last answers.
const GONE: Duration = Duration::from_secs(30);

/// What kind of soak.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The gateway's binary.
    pub binary: PathBuf,
    /// For how long records flow.
    pub time: Duration,
    /// Records a second of each producer, of whom every gateway has one of each client.
    pub rate: u32,
    /// Bytes of a record's value.
    pub value_bytes: u32,
}

impl Settings {
    /// As `make soak` runs it.
    pub fn new(binary: impl Into<PathBuf>, time: Duration) -> Self {
        Self { binary: binary.into(), time, rate: 120, value_bytes: 2048 }
    }
}

/// A gateway with what is known of it.
struct Watched {
    runtime: &'static str,
    gateway: Gateway,
    before: Vitals,
    stream: Stream,
}

/// Soaks, telling what happens as it goes; fails when it could not be carried out.
pub fn run(settings: &Settings, tell: impl Fn(&str)) -> Result<Report> {
    tell("starting three brokers and two gateways");
    let mut cluster = Cluster::start(BROKERS, kafka::Options::highly_available())?;
    let mut watched = Vec::new();
    for runtime in RUNTIMES {
        watched.push(start(settings, &cluster, runtime)?);
    }
    tell(&format!("records flow; {} s to go", settings.time.as_secs()));
    let started = Instant::now();
    let over = AtomicBool::new(false);
    let (restarts, looks) = std::thread::scope(|scope| {
        let (gateways, mut streams): (Vec<&Gateway>, Vec<&mut Stream>) =
            watched.iter_mut().map(|w| (&w.gateway, &mut w.stream)).unzip();
        let over = &over;
        let lookers: Vec<_> =
            gateways.into_iter().map(|gateway| scope.spawn(move || look_until(gateway, started, over))).collect();
        let restarts = restart_in_turn(&mut cluster, &mut streams, started + settings.time, &tell);
        over.store(true, Ordering::Relaxed);
        let looks: Result<Vec<Vec<Vitals>>> = lookers
            .into_iter()
            .map(|looker| looker.join().unwrap_or_else(|_| Err(Failure::new("looking at a gateway panicked"))))
            .collect();
        Ok::<_, Failure>((restarts?, looks?))
    })?;
    tell("producers finish, the brokers are read");
    let took = started.elapsed();
    let mut carried = Vec::new();
    for (watched, looks) in watched.into_iter().zip(looks) {
        carried.push(finish(watched, looks, &cluster)?);
    }
    Ok(Report { settings: settings.clone(), took, restarts, carried })
}

fn start(settings: &Settings, cluster: &Cluster, runtime: &'static str) -> Result<Watched> {
    let gateway = Gateway::start(&settings.binary, Options::new(cluster.bootstrap()).runtime(runtime))?;
    for (node, _) in cluster.addresses() {
        let door = gateway.broker_address(node)?;
        wait_for(&format!("the door of broker {node}"), BACK, || Ok(Connection::open(door).ok()))?;
    }
    let topic = format!("soak-{runtime}");
    operate::create_topic(cluster, &topic, PARTITIONS)?;
    let before = settled(&gateway)?;
    let plan = Plan {
        rate: settings.rate,
        value_bytes: settings.value_bytes,
        members: 2,
        clients: &CLIENTS,
        ..Plan::new(gateway.bootstrap(), &topic, PARTITIONS)
    };
    Ok(Watched { runtime, before, stream: Stream::start(plan)?, gateway })
}

/// A look at a gateway without clients: those that knocked at its doors are gone.
fn settled(gateway: &Gateway) -> Result<Vitals> {
    let started = Instant::now();
    wait_for("a gateway without clients", GONE, || {
        // The gauge is published once a second.
        sleep(Duration::from_millis(1100));
        Ok(Some(Vitals::of(gateway, started)?).filter(|look| look.connections == 0))
    })
}

/// A look each half second.
fn look_until(gateway: &Gateway, started: Instant, over: &AtomicBool) -> Result<Vec<Vitals>> {
    let mut looks = Vec::new();
    while !over.load(Ordering::Relaxed) {
        looks.push(Vitals::of(gateway, started)?);
        sleep(Duration::from_millis(500));
    }
    Ok(looks)
}

/// Restarts broker after broker, each once the one before is in sync again and records flow, until the time is up.
fn restart_in_turn(
    cluster: &mut Cluster,
    streams: &mut [&mut Stream],
    until: Instant,
    tell: &impl Fn(&str),
) -> Result<usize> {
    let mut restarts = 0;
    for node in (1..=BROKERS).cycle() {
        cluster.stop(node)?;
        cluster.start_again(node)?;
        operate::wait_in_sync(cluster)?;
        for stream in &mut *streams {
            stream.flows(BACK)?;
        }
        restarts += 1;
        let left = until.saturating_duration_since(Instant::now()).as_secs();
        let acknowledged: usize = streams.iter().map(|stream| stream.acknowledged()).sum();
        tell(&format!("broker {node} was restarted; {acknowledged} records acknowledged, {left} s to go"));
        // Every broker once, however short the time.
        if Instant::now() >= until && restarts >= BROKERS as usize {
            break;
        }
        sleep(Duration::from_secs(2).min(until.saturating_duration_since(Instant::now())));
    }
    Ok(restarts)
}

fn finish(watched: Watched, looks: Vec<Vitals>, cluster: &Cluster) -> Result<Carried> {
    let Watched { runtime, mut gateway, before, stream } = watched;
    let evidence: Evidence = stream.finish(&cluster.bootstrap())?;
    let started = Instant::now();
    let mut after = Vitals::of(&gateway, started)?;
    while after.beyond(&before).is_some() && started.elapsed() < GONE {
        sleep(Duration::from_millis(500));
        after = Vitals::of(&gateway, started)?;
    }
    // Fails unless it drains and exits with 0.
    gateway.stop()?;
    Ok(Carried { runtime, evidence, before, looks, after, panicked: gateway.log().contains("panicked") })
}
