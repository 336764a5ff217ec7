//! The machine: runtime, cores, descriptors, memory.

use std::fs;

use rustix::process::{Pid, Resource, getrlimit};
use rustix::thread::sched_getaffinity;

use super::finding::Finding;
use crate::boot;
use crate::cli::terminal::bytes;
use crate::config::{Config, Runtime};
use crate::limits;
use crate::shard::{IoUring, probe_io_uring};

/// Descriptors of the store: see `docs/operations.md`, Sizing.
const STORE_DESCRIPTORS: u64 = 300;

/// What a gateway holds besides its shards: the store's buffers and caches, bytes.
const STORE_BYTES: u64 = 200 << 20;

/// The gateway that answers on the configured socket, by its process id.
pub(super) fn running_gateway(config: &Config) -> Option<Pid> {
    let stream = std::os::unix::net::UnixStream::connect(&config.control.socket).ok()?;
    rustix::net::sockopt::socket_peercred(&stream).ok().map(|peer| peer.pid)
}

pub(super) fn look(config: &Config, gateway: Option<Pid>) -> Vec<Finding> {
    vec![runtime(config), cores(config), open_files(config, gateway), memory(config), core_files(gateway)]
}

fn runtime(config: &Config) -> Finding {
    let (id, subject) = ("runtime", "runtime");
    match (config.runtime, probe_io_uring()) {
        (Runtime::Epoll, _) => Finding::ok(id, subject, "epoll, as `runtime: epoll` says"),
        (_, IoUring::Usable) => Finding::ok(id, subject, "io_uring: the kernel allows it and has all that is needed"),
        (Runtime::Auto, IoUring::Missing(why)) => {
            Finding::ok(id, subject, format!("epoll, since io_uring cannot be used here: {why}"))
        }
        (Runtime::IoUring, IoUring::Missing(why)) => {
            Finding::problem(id, subject, format!("`runtime: io_uring`, which cannot be used here: {why}"))
                .why("the gateway will not start")
                .remedy("set `runtime: auto` or `epoll`, or allow io_uring (docs/operations.md, Runtime)")
        }
    }
}

fn cores(config: &Config) -> Finding {
    let (id, subject) = ("cores", "cores");
    let allowed = sched_getaffinity(None).map_or(1, |set| set.count() as usize);
    let time_for = std::thread::available_parallelism().map_or(1, usize::from);
    let shards = config.shards;
    let pinned = if boot::cores_for(shards).is_empty() { "not pinned" } else { "a core each" };
    let found = format!("{shards} shards, {pinned}; {allowed} cores allowed, time for {time_for}");
    if shards > time_for {
        return Finding::warning(id, subject, found)
            .why("shards that share a core wait for each other: latency rises, throughput does not")
            .remedy(format!("set `shards: {time_for}` or leave it out, or give the process more cores"));
    }
    Finding::ok(id, subject, found)
}

/// The hard limit on descriptors: the running gateway's own where there is one.
fn descriptors(gateway: Option<Pid>) -> (u64, String) {
    let of_gateway = gateway.and_then(|pid| {
        let limits = fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).ok()?;
        let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
        let hard = line.split_whitespace().nth(4)?;
        Some((hard.parse().unwrap_or(u64::MAX), format!("of the running gateway (process {})", pid.as_raw_nonzero())))
    });
    of_gateway.unwrap_or_else(|| {
        (getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX), "of this shell; the service's may differ".into())
    })
}

fn open_files(config: &Config, gateway: Option<Pid>) -> Finding {
    let (id, subject) = ("open_files", "open files");
    let ports: u64 = config.listeners.iter().map(|l| l.broker_addresses().count() as u64 + 1).sum();
    let shards = u64::try_from(config.shards).unwrap_or(u64::MAX);
    let connections = config.limits.connections;
    let needed = connections.saturating_mul(2) + ports.saturating_mul(shards) + STORE_DESCRIPTORS;
    let (limit, whose) = descriptors(gateway);
    let shown = if limit == u64::MAX { "none".to_owned() } else { limit.to_string() };
    let found =
        format!("hard limit {shown} ({whose}); up to {needed} are needed at `limits.connections` {connections}");
    if limit >= needed {
        return Finding::ok(id, subject, found);
    }
    Finding::warning(id, subject, found)
        .why("when they run out, new connections are not accepted and new brokers get no port")
        .remedy(format!("raise it to {needed} (`LimitNOFILE=` in systemd, `--ulimit nofile`), or lower the setting"))
}

/// What this process may use: the smaller one of the machine's memory and the container's, bytes.
fn memory_limit() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.split_whitespace().next()?.parse().ok()?;
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    Some(container.unwrap_or(u64::MAX).min(kib << 10))
}

fn memory(config: &Config) -> Finding {
    let (id, subject) = ("memory", "memory");
    let shards = u64::try_from(config.shards).unwrap_or(u64::MAX);
    let pools = (limits::SHARD_BUFFER_BYTES as u64 + limits::SHARD_GATHER_BYTES).saturating_mul(2);
    let pools = pools.saturating_add(limits::SHARD_LOGIN_BYTES);
    let journals = config.store.journal_bytes.saturating_mul(shards);
    let most = pools.saturating_mul(shards).saturating_add(journals).saturating_add(STORE_BYTES);
    let Some(limit) = memory_limit() else {
        return Finding::ok(id, subject, format!("at most about {}; how much there is cannot be told", bytes(most)));
    };
    let found =
        format!("at most about {}, {} of it journals; there are {}", bytes(most), bytes(journals), bytes(limit));
    if most > limit {
        return Finding::warning(id, subject, found)
            .why("under the heaviest load the kernel would end the process; the recording survives, connections do not")
            .remedy("give it more memory, or lower `shards` or `store.journal`");
    }
    if journals > limit / 2 {
        return Finding::warning(id, subject, found)
            .why("journals that are full live in the page cache and push all else out of it")
            .remedy("lower `store.journal`");
    }
    Finding::ok(id, subject, found)
}

fn core_files(gateway: Option<Pid>) -> Finding {
    let (id, subject) = ("core_files", "core files");
    let allowed = std::env::var_os(boot::ALLOW_CORE).is_some();
    let of_gateway = gateway.and_then(|pid| {
        let limits = fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).ok()?;
        let line = limits.lines().find(|line| line.starts_with("Max core file size"))?;
        Some(line.split_whitespace().nth(5)? != "0")
    });
    if of_gateway.unwrap_or(allowed) {
        return Finding::warning(id, subject, format!("allowed: {} is set", boot::ALLOW_CORE))
            .why("a core file holds the secrets that Weir logs in with, and what clients sent")
            .remedy(format!("unset {} once the fault is found, and delete the core files", boot::ALLOW_CORE));
    }
    Finding::ok(id, subject, "the gateway writes none, and no other process of its user may read its memory")
}
