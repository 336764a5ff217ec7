//! The cluster that the tests take turns at, and the streams through both runtimes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use loadtest::kafka::{self, Cluster};
use loadtest::stream::{Plan, Stream};
use loadtest::weir::{Gateway, Options};
use loadtest::{admin, batch, operate};

use crate::common;

/// After a fault records flow again within this: clients wait up to 10 s for an answer, and elections take their time.
pub const BACK: Duration = Duration::from_secs(60);
pub const PARTITIONS: i32 = 6;

pub fn cluster() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let start = || {
        let options = kafka::Options { proxied: true, ..kafka::Options::highly_available() };
        Mutex::new(Cluster::start(3, options).unwrap())
    };
    let mut cluster = CLUSTER.get_or_init(start).lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    make_whole(&mut cluster);
    cluster
}

/// One test's failure is not the next one's: no broker stays dead or silent, no connection goes on breaking.
fn make_whole(cluster: &mut Cluster) {
    cluster.proxies().for_each(|proxy| proxy.break_every(0));
    for (node, _) in cluster.addresses() {
        let whole = if cluster.is_running(node) { cluster.resume(node) } else { cluster.start_again(node) };
        whole.unwrap();
    }
}

/// A gateway with a stream through it.
pub struct Through {
    pub runtime: &'static str,
    pub gateway: Gateway,
    pub topic: String,
    pub stream: Stream,
}

/// A stream through a gateway on each runtime, flowing, in front of `upstream`; `plan` may change what flows.
pub fn streams_to(cluster: &Cluster, upstream: &str, name: &str, plan: fn(Plan) -> Plan) -> Vec<Through> {
    let start = |runtime| {
        let gateway = common::gateway(Options::new(upstream).runtime(runtime));
        let topic = format!("{name}-{runtime}");
        operate::create_topic(cluster, &topic, PARTITIONS).unwrap();
        let stream = Stream::start(plan(Plan::new(gateway.bootstrap(), &topic, PARTITIONS)));
        let stream = stream.unwrap_or_else(|e| panic!("{runtime}: {e:?}\n{}", gateway.log()));
        Through { runtime, gateway, topic, stream }
    };
    // Side by side: clients need seconds to start.
    std::thread::scope(|scope| {
        let started: Vec<_> = common::RUNTIMES.map(|runtime| scope.spawn(move || start(runtime))).into();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// The same, in front of the brokers' own addresses.
pub fn streams(cluster: &Cluster, name: &str) -> Vec<Through> {
    streams_to(cluster, &cluster.bootstrap(), name, |plan| plan)
}

impl Through {
    pub fn flows(&mut self) {
        self.stream.flows(BACK).unwrap_or_else(|e| panic!("{}: {e:?}\n{}", self.runtime, self.gateway.log()));
    }

    /// Lets the stream end, and holds it to every promise.
    pub fn holds(self, cluster: &Cluster) {
        let evidence = self.stream.finish(&cluster.bootstrap()).unwrap();
        println!("{evidence}");
        evidence.verify().unwrap_or_else(|e| {
            let producers = producers_of(cluster, &self.topic).join("\n");
            panic!("{}: {e:?}\n{producers}\n{}", self.runtime, self.gateway.log())
        });
        let log = self.gateway.log();
        assert!(!log.contains("panicked"), "{}: {log}", self.runtime);
    }
}

/// Who wrote what stands in each partition, as the brokers know producers: by id, epoch and sequence. A batch that stands
/// there twice under one id and epoch is the brokers' or the gateway's doing, under two it is the client's own.
fn producers_of(cluster: &Cluster, topic: &str) -> Vec<String> {
    let mut told = Vec::new();
    for (partition, leader) in operate::leaders(cluster, topic).unwrap() {
        let batches = admin::fetch(cluster.address(leader).unwrap(), topic, partition).unwrap();
        let mut ends: BTreeMap<(i64, i16), i32> = BTreeMap::new();
        for head in batch::heads(&batches) {
            let (id, epoch, sequence) = head.producer;
            let next = ends.insert((id, epoch), sequence + head.records);
            if next != Some(sequence) {
                let (offset, records) = (head.base_offset, head.records);
                told.push(format!(
                    "partition {partition}, offset {offset}: producer {id} in epoch {epoch} writes {records} records from \
                     {sequence} on where {next:?} comes next"
                ));
            }
        }
    }
    told
}

pub fn all_flow(streams: &mut [Through]) {
    streams.iter_mut().for_each(Through::flows);
}

pub fn all_hold(streams: Vec<Through>, cluster: &Cluster) {
    std::thread::scope(|scope| {
        let ended: Vec<_> = streams.into_iter().map(|through| scope.spawn(move || through.holds(cluster))).collect();
        ended.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
