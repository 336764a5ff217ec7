//! What may happen to a gateway's recording in production, done to the real one in front of a real broker: it is killed a
//! hundred times, its disk fills up, its disk is slow. What a client saw answered is in the recording, byte for byte; what
//! could not be kept is counted; nothing crashes and nothing is silent.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hazards_support;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hazards_support::*;
use kafka_protocol::protocol::Request;
use loadtest::kafka::{self, Cluster};
use loadtest::weir::{Gateway, Options};
use loadtest::wire::{Connection, encode};
use loadtest::{http, wait_for};
use weir::event::piece::Way;
use weir::event::{EventKind, Outcome};
use weir::recorder::{EventCursor, FrameCursor, Queries, SessionFilter, SessionState, open_read_only};

const FULL: &str = "recording: [{ mode: full }]\n";
const KILLS_OF_RUNTIME: usize = 50;
const CLIENTS: usize = 3;
/// How long a gateway may take to fall behind, or to catch up again.
const PATIENCE: Duration = Duration::from_secs(60);

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(1, kafka::Options::default()).unwrap())
}

fn options(runtime: &str) -> Options {
    Options::new(cluster().bootstrap()).runtime(runtime).policy(FULL)
}

/// An exchange whose answer the client saw, both frames as they were on its side.
struct Seen {
    client_id: String,
    correlation_id: i32,
    request: Bytes,
    response: Vec<u8>,
}

/// A client that keeps what it saw.
struct Client {
    connection: Connection,
    client_id: String,
    seen: Vec<Seen>,
    dice: u64,
}

impl Client {
    /// Connects to the broker's door, which opens once the broker is known.
    fn open(door: SocketAddr, client_id: String, dice: u64) -> Client {
        let open = || Ok(Connection::open(door).ok());
        let connection = wait_for("the broker's door", Duration::from_secs(20), open).unwrap();
        Client { connection, client_id, seen: Vec::new(), dice: dice.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// One exchange; false when the connection ended before its answer.
    fn exchange<R: Request>(&mut self, version: i16, request: &R) -> bool {
        let correlation_id = 1 + self.seen.len() as i32;
        let request = encode(&self.client_id, correlation_id, version, request).unwrap();
        if self.connection.send_bytes(&request).is_err() {
            return false;
        }
        let Ok(Some(body)) = self.connection.receive_frame() else {
            return false;
        };
        let response = [&(body.len() as u32).to_be_bytes()[..], &body].concat();
        self.seen.push(Seen { client_id: self.client_id.clone(), correlation_id, request, response });
        true
    }

    /// Produces a batch of `bytes` that no compression makes smaller, and that no other is like.
    fn produce(&mut self, topic: &str, bytes: usize) -> bool {
        let mut body = batch(1, bytes).to_vec();
        // Behind the value is the count of headers, a byte.
        let end = body.len() - 1;
        for byte in &mut body[end - bytes..end] {
            self.dice ^= self.dice << 13;
            self.dice ^= self.dice >> 7;
            self.dice ^= self.dice << 17;
            *byte = (self.dice >> 32) as u8;
        }
        // The checksum covers all from the attributes on.
        let checksum = crc32c::crc32c(&body[21..]);
        body[17..21].copy_from_slice(&checksum.to_be_bytes());
        self.exchange(PRODUCE, &produce(topic, 1, body.into()))
    }
}

/// What the recording says of one client's session: outcomes by correlation id, frames by correlation id and way.
#[derive(Default)]
struct Recorded {
    outcomes: BTreeMap<i32, Outcome>,
    frames: BTreeMap<(i32, Way), Vec<u8>>,
    not_captured: u64,
    ended: bool,
}

fn recorded(queries: &Queries) -> BTreeMap<String, Recorded> {
    let mut all = BTreeMap::new();
    for session in queries.sessions(&SessionFilter { limit: usize::MAX, ..SessionFilter::default() }).unwrap() {
        let of_client: &mut Recorded = all.entry(session.client_id.clone().unwrap_or_default()).or_default();
        of_client.not_captured += session.not_captured;
        of_client.ended = session.state == SessionState::Ended;
        let mut correlation_ids = BTreeMap::new();
        for event in queries.joined_exchanges(session.id, EventCursor::default(), usize::MAX).unwrap() {
            if let EventKind::Exchange { ordinal, request: Some(request), response } = event.kind {
                of_client.outcomes.insert(request.correlation_id, response.outcome);
                let exchange = (event.boot, event.shard, event.connection, ordinal);
                correlation_ids.insert(exchange, request.correlation_id);
            }
        }
        let mut from = FrameCursor::default();
        loop {
            let page = queries.frames(session.id, from, 1 << 20).unwrap();
            for frame in page.frames {
                let exchange = (frame.boot, frame.shard, frame.connection, frame.ordinal);
                if let Some(id) = correlation_ids.get(&exchange).filter(|_| frame.is_whole() && frame.lost.is_empty()) {
                    of_client.frames.insert((*id, frame.way), frame.bytes);
                }
            }
            from = page.next;
            if page.is_last {
                break;
            }
        }
    }
    all
}

/// Every exchange that was seen answered is recorded as answered; the answer is how many have both frames as they were.
fn check_seen(recorded: &BTreeMap<String, Recorded>, seen: &[Seen]) -> usize {
    let mut whole = 0;
    for Seen { client_id, correlation_id, request, response } in seen {
        let session = recorded.get(client_id).unwrap_or_else(|| panic!("no session of {client_id}"));
        let outcome = session.outcomes.get(correlation_id);
        assert_eq!(outcome, Some(&Outcome::Answered), "{client_id}, {correlation_id}");
        let frame = |way| session.frames.get(&(*correlation_id, way));
        if let (Some(asked), Some(answered)) = (frame(Way::Request), frame(Way::Response)) {
            assert!(asked == request && answered == response, "{client_id}, {correlation_id}: other bytes");
            whole += 1;
        }
    }
    whole
}

/// Clients that do what clients do until the gateway dies under them.
fn load_until_killed(gateway: &mut Gateway, topic: &str, round: usize, runtime: &str) -> Vec<Seen> {
    let door = gateway.broker_address(1).unwrap();
    let answered = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let answered = &answered;
                scope.spawn(move || {
                    let client_id = format!("{runtime}-{round}-{client}");
                    let mut client = Client::open(door, client_id, (round * CLIENTS + client) as u64);
                    loop {
                        let goes_on = match client.seen.len() % 4 {
                            0 => client.exchange(METADATA, &no_topics()),
                            3 => client.exchange(FETCH, &fetch(topic, 0, 20_000, 10)),
                            turn => client.produce(topic, 300 * turn * turn),
                        };
                        if !goes_on {
                            return client.seen;
                        }
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let under_load = || Ok((answered.load(Ordering::Relaxed) >= CLIENTS as u64).then_some(()));
        wait_for("load", Duration::from_secs(30), under_load).unwrap();
        std::thread::sleep(Duration::from_millis(20 + (round * 37 % 120) as u64));
        gateway.kill9().unwrap();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

#[test]
fn what_a_client_saw_answered_survives_a_hundred_kills_and_every_session_has_an_end() {
    for runtime in RUNTIMES {
        let topic = format!("killed-{runtime}");
        create_topic(cluster().address(1).unwrap(), &topic);
        let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options(runtime)).unwrap();
        let mut seen = Vec::new();
        for round in 0..KILLS_OF_RUNTIME {
            gateway.start_again().unwrap();
            seen.extend(load_until_killed(&mut gateway, &topic, round, runtime));
        }
        assert!(seen.len() > KILLS_OF_RUNTIME * CLIENTS * 4, "{} exchanges: no load", seen.len());
        // As the files are, and once more after the next start has taken the journals over.
        for take_over in [false, true] {
            if take_over {
                gateway.start_again().unwrap();
                gateway.stop().unwrap();
            }
            let recorded = recorded(&open_read_only(&gateway.store_path()).unwrap());
            assert_eq!(check_seen(&recorded, &seen), seen.len(), "every frame of what was answered");
            assert!(recorded.values().all(|session| session.ended));
            assert!(recorded.values().all(|session| session.not_captured == 0));
        }
        assert!(!gateway.log().contains("was damaged"), "{}", gateway.log());
        println!("{runtime}: {KILLS_OF_RUNTIME} kills, {} exchanges seen answered, all recorded", seen.len());
    }
}

/// A file system of its own in memory, of so many MiB, for a store; goes when dropped or when we are killed.
struct SmallDisk {
    path: PathBuf,
    janitor: Child,
}

impl SmallDisk {
    /// None, said aloud, where we may not mount.
    fn mount(path: &Path, mib: u64) -> Option<SmallDisk> {
        fs::create_dir_all(path).unwrap();
        let size = format!("size={mib}m,mode=700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "weir-test"]).arg(path).output();
        match mounted {
            Ok(output) if output.status.success() => {}
            failed => {
                eprintln!("SKIPPED: a small file system cannot be mounted, which takes root: {failed:?}");
                return None;
            }
        }
        let mut janitor = Command::new("sh");
        janitor.args(["-c", r#"read -r _; umount -l "$0""#]).arg(path);
        let janitor = janitor.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Some(SmallDisk { path: path.to_owned(), janitor })
    }

    /// Takes all but `left` bytes of what is free.
    fn fill(&self, left: u64) {
        let free = rustix::fs::statvfs(&self.path).map(|stat| stat.f_bavail * stat.f_frsize).unwrap();
        let filler = fs::File::create(self.path.join("filler")).unwrap();
        rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, free - left).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}

fn metric(gateway: &Gateway, name: &str) -> f64 {
    gateway.metrics().unwrap().sum(name, &[]).unwrap_or(0.0)
}

fn readiness(gateway: &Gateway) -> (u16, String) {
    http::get(gateway.control(), "/readyz").unwrap()
}

/// A gateway whose store lies on a small disk; none where that cannot be.
fn gateway_on_a_small_disk(runtime: &str, on_overload: &str) -> Option<(Gateway, SmallDisk)> {
    let mut options = options(runtime).store(&["journal: 2MiB", on_overload]);
    options.top = vec!["shards: 1".to_owned()];
    let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
    let disk = SmallDisk::mount(&gateway.store_path(), 64)?;
    gateway.start_again().unwrap();
    Some((gateway, disk))
}

#[test]
fn a_full_disk_makes_clients_wait_and_loses_nothing() {
    for runtime in RUNTIMES {
        let topic = format!("full-{runtime}");
        create_topic(cluster().address(1).unwrap(), &topic);
        let Some((mut gateway, disk)) = gateway_on_a_small_disk(runtime, "on_overload: block") else { return };
        disk.fill(8 << 20);
        let door = gateway.broker_address(1).unwrap();
        let (answered, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let seen = std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                let mut client = Client::open(door, "writer".to_owned(), 1);
                // It waits for as long as the disk is full, which is longer than the harness's own limit allows.
                client.connection.stream().set_read_timeout(Some(2 * PATIENCE)).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    assert!(client.produce(&topic, 30_000), "the gateway ended the connection:\n{}", gateway.log());
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                client.seen
            });
            let said = || Ok((readiness(&gateway).0 == 503).then_some(()));
            wait_for("the full disk to show", PATIENCE, said).unwrap();
            let (_, said) = readiness(&gateway);
            assert!(said.contains("No space left"), "{said}");
            assert_eq!(metric(&gateway, "weir_recorder_degraded"), 1.0);
            // The journal fills up behind it, and then the client waits.
            let mut before = u64::MAX;
            let waits = || {
                let now = answered.load(Ordering::Relaxed);
                let waits = std::mem::replace(&mut before, now) == now;
                std::thread::sleep(Duration::from_secs(1));
                Ok(waits.then_some(now))
            };
            let at_rest = wait_for("the client to wait", PATIENCE, waits).unwrap();
            disk.free();
            let goes_on = || Ok((answered.load(Ordering::Relaxed) > at_rest + 20).then_some(()));
            wait_for("the client to go on", PATIENCE, goes_on).unwrap();
            stop.store(true, Ordering::Relaxed);
            client.join().unwrap()
        });
        assert_eq!(readiness(&gateway).0, 200);
        gateway.stop().unwrap();
        let recorded = recorded(&open_read_only(&gateway.store_path()).unwrap());
        assert_eq!(check_seen(&recorded, &seen), seen.len(), "every frame of what was answered");
        assert_eq!(recorded["writer"].not_captured, 0);
        println!("{runtime}: {} exchanges over a full disk, all recorded", seen.len());
    }
}

#[test]
fn a_full_disk_takes_frames_where_the_configuration_says_so_and_says_how_many() {
    for runtime in RUNTIMES {
        let topic = format!("degraded-{runtime}");
        create_topic(cluster().address(1).unwrap(), &topic);
        let Some((mut gateway, disk)) = gateway_on_a_small_disk(runtime, "on_overload: metadata") else { return };
        disk.fill(8 << 20);
        let mut client = Client::open(gateway.broker_address(1).unwrap(), "writer".to_owned(), 2);
        let began = Instant::now();
        while readiness(&gateway).0 == 200 {
            assert!(client.produce(&topic, 30_000) && began.elapsed() < PATIENCE);
        }
        // Twice what the journal holds goes on without a wait, with its events and without its frames.
        for _ in 0..140 {
            assert!(client.produce(&topic, 30_000), "{}", gateway.log());
        }
        let counted = |gateway: &Gateway| metric(gateway, "weir_recorder_not_captured_total");
        disk.free();
        wait_for("the store to take writes", PATIENCE, || Ok((readiness(&gateway).0 == 200).then_some(()))).unwrap();
        wait_for("the loss in the metrics", PATIENCE, || Ok((counted(&gateway) > 0.0).then_some(()))).unwrap();
        let whole_from = client.seen.len();
        for _ in 0..20 {
            assert!(client.produce(&topic, 30_000));
        }
        gateway.stop().unwrap();
        let recorded = recorded(&open_read_only(&gateway.store_path()).unwrap());
        let whole = check_seen(&recorded, &client.seen);
        let lost = client.seen.len() - whole;
        assert!(lost >= 50, "{lost} of {} lost: the journal cannot have held so much", client.seen.len());
        assert_eq!(recorded["writer"].not_captured, lost as u64, "as many are counted as are missing");
        assert_eq!(check_seen(&recorded, &client.seen[whole_from..]), 20, "detail again once there is room");
        println!(
            "{runtime}: {} exchanges over a full disk, {lost} of them without frames, all counted",
            client.seen.len()
        );
    }
}

/// Makes every write of the recording's threads take 100 ms: strace holds each up for so long. None, said aloud, where
/// strace is missing or may not.
fn slow_disk(gateway: &Gateway) -> Option<Child> {
    let threads = fs::read_dir(format!("/proc/{}/task", gateway.pid().unwrap())).unwrap();
    let of_recorder = threads.filter_map(|thread| {
        let thread = thread.unwrap().path();
        let name = fs::read_to_string(thread.join("comm")).ok()?;
        (name.starts_with("weir-recorder") || name.starts_with("rocksdb"))
            .then(|| thread.file_name().unwrap().to_string_lossy().into_owned())
    });
    let writes = "write,writev,pwrite64,fsync,fdatasync,sync_file_range";
    let mut strace = Command::new("strace");
    strace.args(["-q", "-o", "/dev/null", "-e", &format!("trace={writes}")]);
    strace.args(["-e", &format!("inject={writes}:delay_enter=100000")]);
    of_recorder.for_each(|thread| {
        strace.args(["-p", &thread]);
    });
    let started = strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    std::thread::sleep(Duration::from_millis(500));
    match started.map(|mut strace| (strace.try_wait(), strace)) {
        Ok((Ok(None), strace)) => Some(strace),
        failed => {
            eprintln!("SKIPPED: strace cannot hold up the recording's threads: {failed:?}");
            None
        }
    }
}

#[test]
fn a_slow_disk_slows_clients_down_or_takes_frames_as_configured_and_is_caught_up_with() {
    for (runtime, on_overload) in RUNTIMES.into_iter().zip(["on_overload: block", "on_overload: metadata"]) {
        let topic = format!("slow-{runtime}");
        create_topic(cluster().address(1).unwrap(), &topic);
        let mut options = options(runtime).store(&["journal: 2MiB", on_overload]);
        options.top = vec!["shards: 1".to_owned()];
        let mut gateway = gateway(options);
        let Some(mut strace) = slow_disk(&gateway) else { return };
        let door = gateway.broker_address(1).unwrap();
        let seen: Vec<Seen> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let topic = &topic;
                    scope.spawn(move || {
                        let mut client = Client::open(door, format!("writer-{number}"), number as u64);
                        (0..100).for_each(|_| assert!(client.produce(topic, 60_000)));
                        client.seen
                    })
                })
                .collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        let waits = metric(&gateway, "weir_journal_full_waits_total");
        strace.kill().unwrap();
        strace.wait().unwrap();
        let behind = || metric(&gateway, "weir_recorder_lag_bytes");
        wait_for("the recorder to catch up", PATIENCE, || Ok((behind() == 0.0).then_some(()))).unwrap();
        gateway.stop().unwrap();
        let recorded = recorded(&open_read_only(&gateway.store_path()).unwrap());
        let lost = seen.len() - check_seen(&recorded, &seen);
        let counted: u64 = recorded.values().map(|session| session.not_captured).sum();
        assert_eq!(counted, lost as u64, "as many are counted as are missing");
        if on_overload.ends_with("block") {
            assert!(waits > 0.0, "it never was slow: this checked nothing");
            assert_eq!(lost, 0);
        } else {
            assert!(lost > 0, "it never was slow: this checked nothing");
        }
        println!("{runtime}, {on_overload}: {} exchanges, {waits} waits, {lost} without frames", seen.len());
    }
}
