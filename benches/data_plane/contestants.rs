//! The processes that are measured: each with one working thread, all on one core of their own.

use std::any::Any;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use loadtest::kafka::Cluster;
use loadtest::ports::Block;
use loadtest::process::Process;
use loadtest::scratch::Scratch;
use loadtest::weir::{Gateway, Options};
use loadtest::{During, Failure, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where contestants run. Weir and glommio pin their first thread here themselves; broker and load stay away from it.
pub const CORE: usize = 0;

const READY_LIMIT: Duration = Duration::from_secs(20);

/// What HAProxy is given; buffers and the rest as it ships.
const HAPROXY: &str = "\
global
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 5m
  timeout server 5m
";

/// One of those that are compared.
pub struct Contestant {
    pub name: String,
    pub address: SocketAddr,
    pid: u32,
    /// Ends the process when dropped.
    _running: Box<dyn Any>,
}

/// CPU time since a process began.
#[derive(Clone, Copy)]
pub struct Cpu {
    /// User and system time of all its threads.
    pub all: Duration,
    /// Of those, the threads that are a shard of Weir's; zero elsewhere.
    pub shards: Duration,
}

/// Starts them all, in the order in which they take turns.
pub fn start(cluster: &Cluster, ports: &mut Block, logs: &Scratch) -> Result<Vec<Contestant>> {
    let broker = cluster.address(1)?;
    let mut all = Vec::new();
    for runtime in ["io_uring", "epoll"] {
        all.push(weir(cluster, runtime, format!("Weir, {runtime}"), None)?);
        all.push(relay(runtime, broker, ports, logs)?);
    }
    all.push(haproxy(broker, ports, logs)?);
    all.iter().try_for_each(Contestant::pin)?;
    Ok(all)
}

/// Keeps this process, and what it starts, off the contestants' core.
pub fn leave_their_core() -> Result<()> {
    let mut ours = sched_getaffinity(None).during("read the affinity")?;
    ours.unset(CORE);
    if ours.count() == 0 {
        return Err(Failure::new("two cores are needed: one for who is measured, one for the broker and the load"));
    }
    sched_setaffinity(None, &ours).during("leave the contestants' core")
}

/// A gateway with one shard, under a policy where there is one.
pub fn weir(cluster: &Cluster, runtime: &str, name: String, policy: Option<&str>) -> Result<Contestant> {
    let mut options = Options::new(cluster.bootstrap()).runtime(runtime);
    if let Some(policy) = policy {
        options = options.policy(policy);
    }
    options.top.push("shards: 1".to_owned());
    let gateway = Gateway::start(env!("CARGO_BIN_EXE_weir"), options)?;
    let pid = gateway.pid().ok_or_else(|| Failure::new("the gateway is not running"))?;
    let address = gateway.address();
    Ok(Contestant { name, address, pid, _running: Box::new(gateway) })
}

fn relay(runtime: &str, broker: SocketAddr, ports: &mut Block, logs: &Scratch) -> Result<Contestant> {
    let address = local(ports.take()?);
    let mut command = Command::new(std::env::current_exe().during("find this program")?);
    command.args(["relay", runtime, &address.to_string(), &broker.to_string()]);
    other(format!("bare relay, {runtime}"), &command, address, logs)
}

fn haproxy(broker: SocketAddr, ports: &mut Block, logs: &Scratch) -> Result<Contestant> {
    let address = local(ports.take()?);
    let file = logs.path().join("haproxy.cfg");
    let text = format!("{HAPROXY}listen kafka\n  bind {address}\n  server broker {broker}\n");
    fs::write(&file, text).during("write HAProxy's configuration")?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    other("HAProxy".to_owned(), &command, address, logs)
}

fn other(name: String, command: &Command, address: SocketAddr, logs: &Scratch) -> Result<Contestant> {
    let mut process = Process::start(&name, command, &logs.path().join(name.replace([' ', ','], "-")))?;
    process
        .wait_ready("accepting connections", READY_LIMIT, || Ok(TcpStream::connect(address).is_ok().then_some(())))?;
    let pid = process.pid();
    Ok(Contestant { name, address, pid, _running: Box::new(process) })
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

impl Contestant {
    /// Moves all of its threads to the contestants' core.
    pub fn pin(&self) -> Result<()> {
        let mut theirs = CpuSet::new();
        theirs.set(CORE);
        for thread in self.threads()? {
            let id = thread.file_name().and_then(|name| name.to_str()?.parse().ok()).and_then(Pid::from_raw);
            sched_setaffinity(id, &theirs).during(format!("pin {}", self.name))?;
        }
        Ok(())
    }

    /// CPU time so far, to the nanosecond (`schedstat`), threads of io_uring's included.
    pub fn cpu(&self) -> Result<Cpu> {
        let mut cpu = Cpu { all: Duration::ZERO, shards: Duration::ZERO };
        for thread in self.threads()? {
            let text =
                |file: &str| fs::read_to_string(thread.join(file)).during(format!("the threads of {}", self.name));
            let ran = text("schedstat")?.split(' ').next().and_then(|ns| ns.parse().ok());
            let ran = Duration::from_nanos(ran.ok_or_else(|| Failure::new("this kernel keeps no schedstat"))?);
            cpu.all += ran;
            if text("comm")?.starts_with("weir-shard") {
                cpu.shards += ran;
            }
        }
        Ok(cpu)
    }

    fn threads(&self) -> Result<Vec<PathBuf>> {
        let doing = || format!("the threads of {}", self.name);
        let entries = fs::read_dir(format!("/proc/{}/task", self.pid)).during(doing())?;
        entries.map(|entry| Ok(entry.during(doing())?.path())).collect()
    }
}
