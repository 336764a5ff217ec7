//! Stock clients that keep a stream of records flowing while something happens to brokers or gateway, and what became
//! of every single record.
//!
//! Several clients work on one topic: each is an idempotent producer with acks from all, and a group that reads what all
//! produce. Each record says who sent it and which it is. In the end the topic is read straight from the brokers;
//! [`Evidence`] holds what producers were told, what is stored and what groups read, and compares them.
//!
//! Invariant: time limits of the clients are longer than any fault that a test makes, so that Kafka's promise holds in
//! full: all that is sent is acknowledged in the end.

pub mod errors;
pub mod evidence;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::clients::{Client, Part};
use crate::process::{self, Process};
use crate::scratch::Scratch;
use crate::{During, Failure, Result, admin, wait_for};
use evidence::{Acknowledged, Evidence, Read, Record};

/// Longer than the clients' own limit of 170 s on a delivery.
const FLUSH_LIMIT: Duration = Duration::from_secs(200);
const READ_LIMIT: Duration = Duration::from_secs(180);
/// How many records further a stream has to come before it is said to flow.
const FLOWS: usize = 200;

/// What is to flow.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Bootstrap servers of the clients.
    pub bootstrap: String,
    /// The topic, which is there already.
    pub topic: String,
    /// Its partitions.
    pub partitions: i32,
    /// Records a second of each producer.
    pub rate: u32,
    /// Bytes of a record's value, at least 64.
    pub value_bytes: u32,
    /// Members of each group.
    pub members: u32,
    /// librdkafka creates topics all the while.
    pub admin: bool,
    /// The clients, out of [`CLIENTS`]; records carry their place here.
    pub clients: &'static [Client],
}

impl Plan {
    /// As much as shows a fault, and no more than a busy machine carries.
    pub fn new(bootstrap: impl Into<String>, topic: &str, partitions: i32) -> Self {
        let (bootstrap, topic, clients) = (bootstrap.into(), topic.to_owned(), &CLIENTS[..2]);
        Self { bootstrap, topic, partitions, rate: 200, value_bytes: 200, members: 1, admin: false, clients }
    }
}

/// Every client that keeps a stream.
pub const CLIENTS: [Client; 5] =
    [Client::ConfluentKafka, Client::JavaConsole, Client::FranzGo, Client::KafkaJs, Client::Aiokafka];

/// What a client produces with: among them they use every codec.
fn codec(client: Client) -> &'static str {
    match client {
        Client::ConfluentKafka => "lz4",
        Client::FranzGo => "zstd",
        Client::KafkaJs => "snappy",
        Client::Aiokafka => "none",
        _ => "gzip",
    }
}

/// Clients at work; they end when it is dropped.
#[derive(Debug)]
pub struct Stream {
    plan: Plan,
    clients: Vec<Process>,
    // Last, so that the clients are gone before their folder.
    dir: Scratch,
}

impl Stream {
    /// Starts the clients and waits until records flow from both to both.
    pub fn start(plan: Plan) -> Result<Self> {
        let dir = Scratch::new("weir-stream-")?;
        fs::write(dir.path().join("log4j2.properties"), LOG4J).during("write log4j2.properties")?;
        let mut clients = Vec::new();
        for (number, client) in plan.clients.iter().enumerate() {
            let name = client.name();
            let mut command = program(*client, dir.path())?;
            command.args([
                "mode=stream".to_owned(),
                format!("name={name}"),
                format!("producer={number}"),
                format!("codec={}", codec(*client)),
                format!("bootstrap={}", plan.bootstrap),
                format!("topic={}", plan.topic),
                format!("partitions={}", plan.partitions),
                format!("group={}-{name}", plan.topic),
                format!("members={}", plan.members),
                format!("rate={}", plan.rate),
                format!("value_bytes={}", plan.value_bytes),
                format!("admin={}", plan.admin),
                format!("folder={}", dir.path().display()),
            ]);
            clients.push(Process::start(name, &command, &dir.path().join(format!("{name}.log")))?);
        }
        let mut stream = Self { plan, clients, dir };
        stream.flows(Duration::from_secs(90))?;
        Ok(stream)
    }

    /// Waits until every producer has been acknowledged, and every group has read, records from now on.
    pub fn flows(&mut self, limit: Duration) -> Result<()> {
        let before: Vec<usize> = self.reports().iter().map(|path| lines(path)).collect();
        let deadline = Instant::now() + limit;
        loop {
            self.clients.iter_mut().try_for_each(Process::check_alive)?;
            let stuck: Vec<_> =
                self.reports().into_iter().zip(&before).filter(|(p, n)| lines(p) < *n + FLOWS).collect();
            let Some((path, before)) = stuck.first() else { return Ok(()) };
            if Instant::now() >= deadline {
                let (name, now) = (path.file_name().unwrap_or_default().display(), lines(path));
                let what = format!("{name} of {} is not flowing: {before} records, then {now}", self.plan.topic);
                let logs = self.clients.iter().map(|c| process::tail(&c.log(), 20)).collect::<Vec<_>>().join("\n--\n");
                return Err(Failure::new(format!("{what} after {} s; clients' logs:\n{logs}", limit.as_secs())));
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// How many records were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.names().map(|name| lines(&self.path(name, "produced"))).sum()
    }

    /// The topics that librdkafka made, and all that its requests for them were answered with.
    pub fn created(&self) -> Result<(Vec<String>, Vec<String>)> {
        let text = fs::read_to_string(self.path(Client::ConfluentKafka.name(), "created"))
            .during("read the created topics")?;
        let asked: Vec<_> = whole_lines(&text).filter_map(|line| line.split_once(' ')).collect();
        let there = asked.iter().filter(|(_, code)| matches!(*code, "OK" | "TOPIC_ALREADY_EXISTS"));
        Ok((there.map(|(name, _)| (*name).to_owned()).collect(), asked.iter().map(|(_, c)| (*c).to_owned()).collect()))
    }

    /// Lets producers finish, reads the topic from the brokers themselves, lets groups read it to the end, and gives all
    /// that is known of it.
    pub fn finish(mut self, brokers: &str) -> Result<Evidence> {
        self.signal("stop-producing")?;
        let mut sent = Vec::new();
        for (number, name) in self.names().enumerate() {
            let done = self.path(name, "done");
            self.clients[number].wait_ready("all of its records acknowledged", FLUSH_LIMIT, || {
                Ok(fs::read_to_string(&done).ok().filter(|text| text.ends_with('\n')))
            })?;
            let text = fs::read_to_string(&done).during("read what was sent")?;
            sent.push(text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0));
        }
        let stored = self.stored(brokers)?;
        let mut groups = Vec::new();
        for name in self.names() {
            let path = self.path(name, "consumed");
            // The groups' last word is judged by the evidence: a group that never gets there is a breach, not a failure.
            let read = wait_for("the group at the end", READ_LIMIT, || {
                if lines(&path) < stored.distinct() {
                    return Ok(None);
                }
                Ok(Some(Read::parse(&path)?).filter(|read| read.distinct() >= stored.distinct()))
            });
            groups.push((name.to_owned(), read.or_else(|_| Read::parse(&path))?));
        }
        self.signal("stop-consuming")?;
        for client in std::mem::take(&mut self.clients) {
            let failed = client.failure("failed");
            if !client.wait(Duration::from_secs(60))?.success() {
                return Err(failed);
            }
        }
        let acknowledged =
            self.names().zip(0..).map(|(name, number)| Acknowledged::parse(number, &self.path(name, "produced")));
        let acknowledged = acknowledged.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        let (topic, renewed, errors) = (self.plan.topic.clone(), self.renewed(brokers, &stored)?, self.errors()?);
        Ok(Evidence { topic, sent, acknowledged, stored, renewed, groups, errors })
    }

    /// What stands twice under two identities of its producer.
    fn renewed(&self, brokers: &str, stored: &Read) -> Result<BTreeSet<(i32, Record)>> {
        let mut renewed = BTreeSet::new();
        for (partition, record, offsets) in stored.twice() {
            let [first, second] = offsets.map(|offset| admin::writer(brokers, &self.plan.topic, partition, offset));
            if first? != second? {
                renewed.insert((partition, record));
            }
        }
        Ok(renewed)
    }

    /// What the brokers hold, read from them.
    fn stored(&self, brokers: &str) -> Result<Read> {
        let mut command = program(Client::ConfluentKafka, self.dir.path())?;
        command.args([
            "mode=read".to_owned(),
            "name=stored".to_owned(),
            format!("bootstrap={brokers}"),
            format!("topic={}", self.plan.topic),
            format!("partitions={}", self.plan.partitions),
            format!("folder={}", self.dir.path().display()),
        ]);
        process::run("reading the topic", &command, b"", READ_LIMIT)?;
        Read::parse(&self.path("stored", "consumed"))
    }

    /// Every error that a client was told, by client.
    fn errors(&self) -> Result<Vec<errors::Error>> {
        let mut all = Vec::new();
        for name in self.names() {
            let read = |path: PathBuf| fs::read_to_string(&path).during(format!("read {}", path.display()));
            all.extend(errors::reported(name, &read(self.path(name, "errors"))?));
            all.extend(errors::logged(name, &read(self.path(name, "log"))?));
        }
        Ok(all)
    }

    fn signal(&self, what: &str) -> Result<()> {
        fs::write(self.dir.path().join(what), "").during(what)
    }

    fn path(&self, name: &str, suffix: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.{suffix}"))
    }

    fn reports(&self) -> Vec<PathBuf> {
        self.names().flat_map(|name| ["produced", "consumed"].map(|suffix| self.path(name, suffix))).collect()
    }

    fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.plan.clients.iter().map(|client| client.name())
    }
}

/// The program of a client, its arguments to follow.
fn program(client: Client, dir: &Path) -> Result<Command> {
    let mut command = client.program(Part::Stream)?;
    command.env("JDK_JAVA_OPTIONS", format!("-Dlog4j2.configurationFile={}", dir.join("log4j2.properties").display()));
    Ok(command)
}

/// What Java's clients warn of goes to their log: errors that they retry are told nowhere else.
const LOG4J: &str = "\
appender.err.type = Console
appender.err.name = err
appender.err.target = SYSTEM_ERR
appender.err.layout.type = PatternLayout
appender.err.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1} %m%n
rootLogger.level = WARN
rootLogger.appenderRef.err.ref = err
";

/// The lines that have been written to their end.
fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.rsplit_once('\n').map_or("", |(whole, _)| whole).lines()
}

fn lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |bytes| bytes.iter().filter(|&&b| b == b'\n').count())
}
