//! How long a question to the recording takes, and how that grows with what was recorded.
//!
//! Stores of ten thousand to ten million exchanges are made through real journals and the real writer: a gateway of two
//! shards that serves sixty exchanges a second, in sessions of two hundred, by 500 identities from 2000 addresses on 200
//! topics, some of each much busier than others. Then each question is put to them, cold (files out of the page cache, the
//! store just opened) and warm.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use weir::event::{
    CloseReason, ConnectionNo, Event, EventKind, Identity, Item, Latency, Mechanism, RequestPart, Resource,
    ResponsePart, SessionId,
};
use weir::recorder::{
    EventCursor, Queries, Recorder, RecorderError, RecorderOptions, SessionFilter, ShardJournal, open_read_only,
};

const START_NS: u64 = 1_795_341_600_000_000_000;
/// Sixty exchanges a second.
const STEP_NS: u64 = 1_000_000_000 / 60;
const EXCHANGES_OF_SESSION: u64 = 200;
/// Sessions that are open at a time.
const OPEN: u64 = 40;
const SHARDS: u64 = 2;
const WARM_RUNS: usize = 21;
const COLD_RUNS: usize = 5;

type Error = Box<dyn std::error::Error>;
/// Asks, and says how many rows answer it.
type Ask = Box<dyn Fn(&Queries) -> Result<usize, RecorderError>>;
type Question = (&'static str, Ask);

fn main() -> Result<(), Error> {
    let most = std::env::var("WEIR_BENCH_EXCHANGES").ok().and_then(|most| most.parse().ok()).unwrap_or(10_000_000);
    let sizes: Vec<u64> = [10_000, 100_000, 1_000_000, 10_000_000].into_iter().filter(|size| *size <= most).collect();
    println!("medians, cold / warm, and how many rows answer; sessions: at most 50, as `weir sessions` asks");
    for exchanges in sizes {
        let folder = tempfile::tempdir()?;
        let began = Instant::now();
        fill(folder.path(), exchanges)?;
        println!(
            "{exchanges} exchanges, {} sessions, made in {:.1} s",
            exchanges / EXCHANGES_OF_SESSION,
            began.elapsed().as_secs_f64()
        );
        ask_all(folder.path(), exchanges)?;
        simulate(folder.path())?;
    }
    Ok(())
}

/// Tries 65 rules that let half of the services do what they did, in the place of one that lets everybody.
fn simulate(store: &Path) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name);
    let config = format!(
        "store: {{ path: {store:?} }}\npolicy: policy.yaml\ncontrol: {{ bind: \"127.0.0.1:9280\" }}\n\
         clusters: [{{ name: main, bootstrap: [\"127.0.0.1:19092\"] }}]\n\
         listeners: [{{ name: main, cluster: main, bind: \"127.0.0.1:9292\", brokers: \"127.0.0.1:9300-9399\", auth: [weir_token] }}]\n"
    );
    std::fs::write(file("weir.yaml"), config)?;
    std::fs::write(file("policy.yaml"), "access: [{ operations: [all], topics: [\"*\"] }]\n")?;
    let rule = |number: u64| {
        let (subject, topic) = (number * 2, number * 2 % 200);
        format!(
            "  - {{ subjects: [\"service-{subject}*\"], operations: [read], topics: [\"orders.{topic}\", \"orders.1*\"] }}\n"
        )
    };
    std::fs::write(file("new.yaml"), format!("access:\n{}", (0..65).map(rule).collect::<String>()))?;
    let began = Instant::now();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(["simulate", "--since", "2026-01-01", "--json", "--policy"]).arg(file("new.yaml"));
    let output = command.arg("--config").arg(file("weir.yaml")).output()?;
    let took = began.elapsed().as_secs_f64();
    let told = String::from_utf8(output.stdout)?;
    let counts = |name: &str| told.split(&format!("\"{name}\":")).nth(1).and_then(|rest| rest.split([',', '}']).next());
    let (looked_at, denied) = (counts("exchanges").unwrap_or("none"), counts("newly_denied").unwrap_or("none"));
    println!("  weir simulate, 65 rules: {took:.2} s for {looked_at} exchanges, of which {denied} are newly denied");
    Ok(())
}

/// Numbers that look random and are the same in every run.
struct Uneven(u64);

impl Uneven {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Small numbers more often than large ones.
    fn skewed(&mut self, bound: u64) -> u64 {
        let first = self.below(bound);
        self.below(first + 1)
    }
}

/// An open session: one connection.
struct Open {
    connection: u64,
    topic: u64,
    ordinal: u64,
}

fn fill(path: &Path, exchanges: u64) -> Result<(), Error> {
    let mut options = RecorderOptions::new(path, "weir-1", SHARDS as usize);
    options.journal_bytes = 64 * 1024 * 1024;
    let (recorder, mut journals) = Recorder::open(options)?;
    let mut uneven = Uneven(0x9e37_79b9_7f4a_7c15);
    let mut open: Vec<Option<Open>> = (0..OPEN).map(|_| None).collect();
    let mut connections = 0;
    for number in 0..exchanges {
        let (at_ns, slot) = (START_NS + number * STEP_NS, (number % OPEN) as usize);
        let journal = &mut journals[slot % SHARDS as usize];
        // Sessions begin one after the other, not all at once.
        if open[slot].as_ref().is_none_or(|session| session.ordinal == EXCHANGES_OF_SESSION) {
            if let Some(ended) = open[slot].take() {
                let kind = EventKind::Closed { reason: CloseReason::Client, bytes_in: 1, bytes_out: 1 };
                append(journal, ended.connection, at_ns - 1, kind);
            }
            begin(journal, connections, at_ns, &mut uneven)?;
            open[slot] = Some(Open { connection: connections, topic: uneven.skewed(200), ordinal: uneven.below(20) });
            connections += 1;
        }
        if let Some(session) = &mut open[slot] {
            append(journal, session.connection, at_ns, fetch(session, &mut uneven));
            session.ordinal += 1;
        }
    }
    recorder.shutdown()?;
    Ok(())
}

fn begin(journal: &mut ShardJournal, connection: u64, at_ns: u64, uneven: &mut Uneven) -> Result<(), Error> {
    let address = uneven.skewed(2000);
    let peer: SocketAddr = format!("10.1.{}.{}:50000", address / 200, address % 200).parse()?;
    append(journal, connection, at_ns, EventKind::Opened { listener: "main".into(), peer, broker: Some(1) });
    let identity = Identity {
        issuer: "weir".into(),
        subject: format!("service-{}", uneven.skewed(500)),
        groups: vec!["services".into()],
        mechanism: Mechanism::PlainToken,
    };
    let client_id = Some(format!("client-{}", uneven.below(3)));
    append(journal, connection, at_ns, EventKind::Identified { identity, client_id });
    Ok(())
}

fn fetch(session: &Open, uneven: &mut Uneven) -> EventKind {
    // A session stays with a few topics.
    let name = format!("orders.{}", (session.topic + session.ordinal % 3) % 200);
    let offset = Some((session.ordinal * 100) as i64);
    let item = Item { resource: Resource::Topic, name, partition: Some(3), offset, ..Item::default() };
    let bytes = 10_000 + uneven.below(9000);
    let request = RequestPart {
        api_key: 1,
        api_version: 18,
        correlation_id: session.ordinal as i32,
        bytes: 98,
        items: vec![item.clone()],
        ..RequestPart::default()
    };
    let latency = Latency { client_ns: 2000, weir_ns: 9000 + uneven.below(9000), broker_ns: uneven.below(900_000) };
    let items = vec![Item { records: Some(100), bytes: Some(bytes), ..item }];
    let response = ResponsePart { bytes: bytes + 120, items, latency, ..ResponsePart::default() };
    EventKind::Exchange { ordinal: session.ordinal, request: Some(request), response }
}

fn append(journal: &mut ShardJournal, connection: u64, at_ns: u64, kind: EventKind) {
    let event = Event { connection: ConnectionNo(connection), at_ns, kind };
    while journal.append(&event).is_err() {
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn sessions(filter: SessionFilter) -> Ask {
    Box::new(move |queries| Ok(queries.sessions(&filter)?.len()))
}

fn questions(exchanges: u64, session: SessionId) -> Vec<Question> {
    let any = || SessionFilter { limit: 50, ..SessionFilter::default() };
    let middle_ns = START_NS + exchanges / 2 * STEP_NS;
    let (since_ns, until_ns) = (Some(middle_ns), Some(middle_ns + 600_000_000_000));
    let identity = |number: u64| Some(format!("service-{number}"));
    let topic = |number: u64| Some(format!("orders.{number}"));
    let page = move |queries: &Queries| Ok(queries.joined_exchanges(session, EventCursor::default(), 1000)?.len());
    vec![
        ("the latest", sessions(any())),
        ("busy identity", sessions(SessionFilter { identity: identity(3), ..any() })),
        ("rare identity", sessions(SessionFilter { identity: identity(495), ..any() })),
        ("all of an identity", sessions(SessionFilter { identity: identity(3), limit: 100_000, ..any() })),
        ("unknown identity", sessions(SessionFilter { identity: identity(7777), ..any() })),
        ("busy topic", sessions(SessionFilter { topic: topic(5), ..any() })),
        ("rare topic", sessions(SessionFilter { topic: topic(198), ..any() })),
        ("address", sessions(SessionFilter { address: "10.1.3.7".parse().ok(), ..any() })),
        ("rare address", sessions(SessionFilter { address: "10.1.9.190".parse().ok(), ..any() })),
        ("network /24", sessions(SessionFilter { address: "10.1.9.0/24".parse().ok(), ..any() })),
        ("ten minutes", sessions(SessionFilter { since_ns, until_ns, ..any() })),
        ("identity and topic", sessions(SessionFilter { identity: identity(3), topic: topic(5), ..any() })),
        (
            "all four",
            sessions(SessionFilter {
                identity: identity(3),
                topic: topic(5),
                address: "10.1.0.0/16".parse().ok(),
                since_ns,
                until_ns,
                limit: 50,
            }),
        ),
        ("a session's events", Box::new(page)),
    ]
}

fn ask_all(path: &Path, exchanges: u64) -> Result<(), Error> {
    let view = open_read_only(path)?;
    let middle_ns = START_NS + exchanges / 2 * STEP_NS;
    let filter = SessionFilter { until_ns: Some(middle_ns), limit: 1, ..SessionFilter::default() };
    let session = view.sessions(&filter)?.first().ok_or("no session")?.id;
    drop(view);
    for (name, ask) in questions(exchanges, session) {
        let (mut cold, mut warm, mut rows) = (Vec::new(), Vec::new(), 0);
        for _ in 0..COLD_RUNS {
            forget(&path.join("db"))?;
            let view = open_read_only(path)?;
            let began = Instant::now();
            rows = ask(&view)?;
            cold.push(began.elapsed());
        }
        let view = open_read_only(path)?;
        for _ in 0..WARM_RUNS {
            let began = Instant::now();
            ask(&view)?;
            warm.push(began.elapsed());
        }
        println!("  {name:20} {:9.2} / {:8.2} ms  {rows} rows", median(cold), median(warm));
    }
    Ok(())
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// Puts the files of `folder` out of the page cache.
fn forget(folder: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder)? {
        let file = std::fs::File::open(entry?.path())?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}
