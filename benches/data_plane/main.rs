//! What the data plane costs: CPU per gigabyte and per small request of Weir with recording on, of a bare relay on the
//! same runtime, and of HAProxy, in front of one real broker.
//!
//! Then what access rules cost ([`governed`]) and what masking costs a consumer ([`masked`]); `-- governed` and `-- masked`
//! measure one alone.
//!
//! They take turns in one run on one core, broker and load on the others, and all their threads count: the recorder's
//! writer as well as the shard. The ratios are what carries over to other machines; no figure is asserted.

mod contestants;
#[path = "../mask/events.rs"]
#[allow(dead_code, reason = "the masking bench has events of both kinds")]
mod events;
mod governed;
mod masked;
mod relay;
mod report;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use contestants::{CORE, Contestant};
use loadtest::kafka::{Cluster, Options};
use loadtest::load::{self, Load, Shape};
use loadtest::ports::Block;
use loadtest::scratch::Scratch;
use loadtest::{During, Failure, Result};
use report::{Sample, Unit};

const ROUNDS: usize = 5;
const TURN: Duration = Duration::from_millis(1500);
/// What a contestant put off, such as writing the recording, still counts for its turn.
const SETTLE: Duration = Duration::from_millis(300);

/// 64 records of 1 KiB: a batch of 64 KiB.
const BATCH_RECORDS: i32 = 64;
const VALUE_BYTES: usize = 1012;
const FETCH_BYTES: i32 = 1 << 20;
/// Whole batches that one Fetch surely covers.
const FETCH_STEP: u64 = 8;

/// One kind of load, in one unit.
struct Phase {
    name: &'static str,
    unit: Unit,
    load: Load,
    connections: usize,
    in_flight: usize,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [command, runtime, listen, upstream] = args.as_slice()
        && command == "relay"
    {
        let address = |text: &str| text.parse::<SocketAddr>().during("an address");
        return relay::run(runtime, CORE, address(listen)?, address(upstream)?).during("the relay");
    }
    contestants::leave_their_core()?;
    let cluster = Cluster::start(1, broker_options())?;
    if args.iter().any(|arg| arg == "masked") {
        println!("{}", machine()?);
        return masked::run(&cluster);
    }
    let broker = cluster.address(1)?;
    let phases = prepare(broker)?;
    if args.iter().any(|arg| arg == "governed") {
        println!("{}", machine()?);
        return governed::run(&cluster, &phases);
    }
    let (mut ports, logs) = (Block::claim()?, Scratch::new("weir-bench-")?);
    let contestants = contestants::start(&cluster, &mut ports, &logs)?;
    println!("{}", machine()?);
    println!("one working thread each, all on core {CORE}; medians of {ROUNDS} rounds; ratios of CPU, round by round");
    for phase in &phases {
        let rounds = measure(&contestants, phase)?;
        let names: Vec<String> = contestants.iter().map(|c| c.name.clone()).collect();
        let haproxy = names.len() - 1;
        report::print(phase.name, phase.unit, &names, &rounds, &[1, 1, 3, 3, haproxy], haproxy);
    }
    drop(contestants);
    governed::run(&cluster, &phases)?;
    masked::run(&cluster)
}

/// Old segments go within seconds, or the log would outgrow the memory it lies in.
fn broker_options() -> Options {
    let properties =
        ["log.retention.check.interval.ms=1000", "log.initial.task.delay.ms=1000", "log.segment.delete.delay.ms=1000"];
    let properties = properties.map(str::to_owned).to_vec();
    Options { heap_mib: 512, for_load: true, properties, ..Options::default() }
}

/// Makes the topics and warms the broker up, which fills the topic that is read later.
fn prepare(broker: SocketAddr) -> Result<Vec<Phase>> {
    load::create_topic(broker, "stored", &[])?;
    load::create_topic(broker, "written", &[("retention.bytes", "268435456"), ("segment.bytes", "67108864")])?;
    let produce = |topic: &str, records| Load::Produce { topic: topic.to_owned(), records };
    let batch = load::batch(BATCH_RECORDS, VALUE_BYTES)?;
    let bulk = Shape { connections: 4, in_flight: 5, time: TURN };
    let stored = load::run(broker, &produce("stored", batch.clone()), bulk)?.requests;
    let last = stored.checked_sub(2 * FETCH_STEP).ok_or_else(|| Failure::new("the broker hardly took any records"))?;
    let offset = |step: u64| i64::try_from(step * FETCH_STEP).unwrap_or(0) * i64::from(BATCH_RECORDS);
    let offsets = (0..last / FETCH_STEP).map(offset).collect();
    let phase = |name, unit, load, connections, in_flight| Phase { name, unit, load, connections, in_flight };
    let small = produce("written", load::batch(1, 100)?);
    let fetch = Load::Fetch { topic: "stored".to_owned(), bytes: FETCH_BYTES, offsets };
    let phases = vec![
        phase("produce: 64 KiB batches, 4 connections, 5 in flight", Unit::Gigabyte, produce("written", batch), 4, 5),
        phase("consume: Fetch of 1 MiB, 64 KiB batches, 4 connections, 5 in flight", Unit::Gigabyte, fetch, 4, 5),
        phase("small: Produce of one record of 100 bytes, 16 connections", Unit::Request, small.clone(), 16, 1),
        phase("small, pipelined: the same, 5 in flight", Unit::Request, small, 16, 5),
    ];
    for phase in &phases {
        load::run(broker, &phase.load, phase.shape())?;
    }
    Ok(phases)
}

/// All turns of a phase: by contestant, then by round.
fn measure(contestants: &[Contestant], phase: &Phase) -> Result<Vec<Vec<Sample>>> {
    let mut rounds: Vec<Vec<Sample>> = contestants.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (contestant, samples) in contestants.iter().zip(&mut rounds) {
            let before = contestant.cpu()?;
            let done = load::run(contestant.address, &phase.load, phase.shape())
                .map_err(|failure| failure.during(format!("{}, {}", contestant.name, phase.name)))?;
            std::thread::sleep(SETTLE);
            samples.push(phase.unit.sample(done, before, contestant.cpu()?));
        }
    }
    Ok(rounds)
}

impl Phase {
    fn shape(&self) -> Shape {
        Shape { connections: self.connections, in_flight: self.in_flight, time: TURN }
    }
}

/// What this ran on.
fn machine() -> Result<String> {
    let read = |path: &str| fs::read_to_string(path).during(path);
    let (info, kernel) = (read("/proc/cpuinfo")?, read("/proc/sys/kernel/osrelease")?);
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    Ok(format!("{cores} cores, {}, Linux {}", model.unwrap_or("CPU unknown"), kernel.trim()))
}
