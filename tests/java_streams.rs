//! A Kafka Streams topology with state and `exactly_once_v2` counts every word exactly once through Weir, although its
//! process is killed and started again midway and a broker is restarted: with the classic protocol through one runtime and
//! with streams groups (KIP-1071) through the other, side by side.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use loadtest::clients::Toolbox;
use loadtest::kafka::{self, Cluster};
use loadtest::process::{self, Process};
use loadtest::scratch::Scratch;
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";
const STREAMS_GROUPS: &str = "org.apache.kafka.tools.streams.StreamsGroupCommand";

/// Sent at a steady pace, so that whatever happens to the topology happens midway.
const WORDS: usize = 6000;
const WORDS_PER_SECOND: usize = 250;
const DIFFERENT_WORDS: usize = 12;

const LIMIT: Duration = Duration::from_secs(120);

/// What the clients' own topics need to outlive a broker, and groups that notice soon that a member was killed.
const PROPERTIES: [&str; 8] = [
    "offsets.topic.replication.factor=3",
    "transaction.state.log.replication.factor=3",
    "transaction.state.log.min.isr=2",
    "default.replication.factor=3",
    "group.streams.min.session.timeout.ms=6000",
    "group.streams.session.timeout.ms=6000",
    "group.streams.min.heartbeat.interval.ms=1000",
    "group.streams.heartbeat.interval.ms=1000",
];

#[test]
fn every_word_is_counted_exactly_once_though_the_topology_is_killed_and_a_broker_restarts() {
    let properties = PROPERTIES.map(ToOwned::to_owned).to_vec();
    let mut cluster = Cluster::start(3, kafka::Options { properties, ..Default::default() }).unwrap();
    let gateways = common::RUNTIMES
        .map(|runtime| common::gateway_before(&cluster, Options::new(cluster.bootstrap()).runtime(runtime)));
    let dir = Scratch::new("weir-streams-").unwrap();
    let mut tools = Toolbox::start().unwrap();
    prepare(&mut tools, &gateways[0]);

    let [mut classic, mut streams] = [("classic", &gateways[0]), ("streams", &gateways[1])]
        .map(|(protocol, gateway)| Topology::new(protocol, gateway, dir.path()));
    for topology in [&mut classic, &mut streams] {
        topology.start();
    }
    let mut feeding = feed(&gateways[1], dir.path());
    for topology in [&mut classic, &mut streams] {
        topology.counted_some(&cluster, &mut tools, 50);
        topology.kill();
    }
    feeding.check_alive().unwrap();
    for topology in [&mut classic, &mut streams] {
        topology.start();
    }
    cluster.stop(3).unwrap();
    cluster.start_again(3).unwrap();
    assert!(feeding.wait(LIMIT).unwrap().success());

    let expected = counts_of(&read(&mut tools, &cluster, "words", WORDS, "read_uncommitted"));
    for topology in [&mut classic, &mut streams] {
        topology.counted_exactly(&cluster, &mut tools, &expected);
    }
    for gateway in &gateways {
        streams_group_is_shown(&mut tools, &cluster, gateway, &streams.name);
    }
    for topology in [&mut classic, &mut streams] {
        topology.stop();
    }
    streams_group_is_reset_and_deleted(&mut tools, &cluster, &gateways[1], &streams.name);
}

/// `kafka-streams-groups` shows of it what it shows at the brokers.
fn streams_group_is_shown(tools: &mut Toolbox, cluster: &Cluster, gateway: &Gateway, group: &str) {
    let listed = ran(tools, STREAMS_GROUPS, &gateway.bootstrap(), "--list");
    assert_eq!(listed.trim(), group);
    for what in ["--state", "--members --verbose", "--offsets --verbose"] {
        let args = format!("--describe {what} --group {group}");
        let mut through = ran(tools, STREAMS_GROUPS, &gateway.bootstrap(), &args);
        for (node, address) in cluster.addresses() {
            assert!(!through.contains(&address.to_string()), "{through}");
            through = through.replace(&gateway.broker_address(node).unwrap().to_string(), &address.to_string());
        }
        let direct = ran(tools, STREAMS_GROUPS, &cluster.bootstrap(), &args);
        assert_eq!(sorted(&through), sorted(&direct), "{args}");
    }
}

fn streams_group_is_reset_and_deleted(tools: &mut Toolbox, cluster: &Cluster, gateway: &Gateway, group: &str) {
    let bootstrap = gateway.bootstrap();
    let reset = |how: &str| format!("--reset-offsets --group {group} --input-topic words {how}");
    ran(tools, STREAMS_GROUPS, &bootstrap, &reset("--to-earliest --execute"));
    // Of a group without members, this shows where it stands.
    let stands = ran(tools, STREAMS_GROUPS, &cluster.bootstrap(), &reset("--to-current --dry-run"));
    let rows = stands.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_words: Vec<Vec<&str>> = rows.filter(|row| row.get(1) == Some(&"words")).collect();
    assert!(!of_words.is_empty() && of_words.iter().all(|row| row[3] == "0"), "{stands}");
    ran(tools, STREAMS_GROUPS, &bootstrap, &format!("--delete --group {group}"));
    assert_eq!(ran(tools, STREAMS_GROUPS, &cluster.bootstrap(), "--list").trim(), "");
}

/// A tool's standard output; it has to succeed.
fn ran(tools: &mut Toolbox, tool: &str, bootstrap: &str, args: &str) -> String {
    let words: Vec<&str> = ["--bootstrap-server", bootstrap].into_iter().chain(args.split_whitespace()).collect();
    let ran = tools.run(tool, &words, "").unwrap();
    assert_eq!(ran.status, 0, "{}: {}{}", ran.command, ran.stdout, ran.stderr);
    ran.stdout
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.sort_unstable();
    lines
}

fn prepare(tools: &mut Toolbox, gateway: &Gateway) {
    let bootstrap = gateway.bootstrap();
    for topic in ["words", "names", "counts-classic", "counts-streams"] {
        ran(tools, TOPICS, &bootstrap, &format!("--create --topic {topic} --partitions 3 --replication-factor 3"));
    }
    let names: String = (0..DIFFERENT_WORDS).map(|n| format!("word-{n}\tname-{n}\n")).collect();
    let args = ["--bootstrap-server", &bootstrap, "--topic", "names", "--reader-property", "parse.key=true"];
    let ran = tools.run(PRODUCER, &args, &names).unwrap();
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

/// Starts to send words, picked at random, one after another.
fn feed(gateway: &Gateway, dir: &Path) -> Process {
    let words = dir.join("words");
    fs::write(&words, (0..DIFFERENT_WORDS).map(|n| format!("word-{n}\n")).collect::<String>()).unwrap();
    let mut command = kafka::java(128).unwrap();
    command.args([PERFORMANCE, "--bootstrap-server", &gateway.bootstrap(), "--topic", "words"]);
    command.args(["--num-records", &WORDS.to_string(), "--throughput", &WORDS_PER_SECOND.to_string()]);
    command.arg("--payload-file").arg(words);
    Process::start("the words' producer", &command, &dir.join("words.log")).unwrap()
}

/// One application: `tests/clients/java/Counts.java` through one gateway.
struct Topology {
    name: String,
    command: std::process::Command,
    log: std::path::PathBuf,
    running: Option<Process>,
}

impl Topology {
    fn new(protocol: &str, gateway: &Gateway, dir: &Path) -> Self {
        let name = format!("counts-{protocol}");
        let properties = dir.join(format!("{name}.properties"));
        // Without a cache every count goes out. The classic protocol's session is the client's setting.
        let mut text = format!(
            "application.id={name}\nbootstrap.servers={}\nprocessing.guarantee=exactly_once_v2\ncommit.interval.ms=100\n\
             state.dir={}\nstatestore.cache.max.bytes=0\nnum.stream.threads=2\ngroup.protocol={protocol}\n",
            gateway.bootstrap(),
            dir.join("state").display(),
        );
        if protocol == "classic" {
            text += "session.timeout.ms=6000\nheartbeat.interval.ms=1000\n";
        }
        fs::write(&properties, text).unwrap();
        let mut command = kafka::java(192).unwrap();
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/java/Counts.java"));
        command.arg(properties).args(["words", "names", &name]);
        Self { log: dir.join(format!("{name}.log")), name, command, running: None }
    }

    fn start(&mut self) {
        self.running = Some(Process::start(&self.name, &self.command, &self.log).unwrap());
    }

    fn stop(&mut self) {
        assert!(self.running.take().unwrap().terminate(LIMIT).is_ok());
    }

    fn kill(&mut self) {
        self.running.take().unwrap().kill();
    }

    /// Waits until this many counts are committed: few enough to be midway.
    fn counted_some(&mut self, cluster: &Cluster, tools: &mut Toolbox, some: usize) {
        let running = self.running.as_mut().unwrap();
        let mut counted = 0;
        running
            .wait_ready("its first counts", LIMIT, || {
                counted = read(tools, cluster, &self.name, some, "read_committed").len();
                Ok((counted >= some).then_some(()))
            })
            .unwrap();
    }

    /// What is committed are the counts 1 to N of every word, each once and in order.
    fn counted_exactly(&mut self, cluster: &Cluster, tools: &mut Toolbox, expected: &BTreeMap<String, usize>) {
        let mut counted = Vec::new();
        let waited = wait_for("all counts", LIMIT, || {
            self.running.as_mut().unwrap().check_alive()?;
            counted = read(tools, cluster, &self.name, WORDS, "read_committed");
            Ok((counted.len() >= WORDS).then_some(()))
        });
        let log = || process::tail(&fs::read_to_string(&self.log).unwrap_or_default(), 40);
        waited.unwrap_or_else(|e| panic!("{}: {} counts: {e}: {}", self.name, counted.len(), log()));
        // One more than there should be would show here.
        let counted = read(tools, cluster, &self.name, WORDS + 1, "read_committed");
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (word, count) in counted {
            told.entry(word).or_default().push(count);
        }
        let of = |(word, count): (&String, &usize)| {
            let name = word.replace("word", "name");
            (word.clone(), (1..=*count).map(|n| format!("{name} {n}")).collect::<Vec<_>>())
        };
        assert_eq!(told, expected.iter().map(of).collect(), "{}", self.name);
    }
}

/// Up to so many records straight from the brokers, keys and values; fewer where no more come for three seconds.
fn read(tools: &mut Toolbox, cluster: &Cluster, topic: &str, most: usize, isolation: &str) -> Vec<(String, String)> {
    let (bootstrap, most) = (cluster.bootstrap(), most.to_string());
    let args = ["--bootstrap-server", &bootstrap, "--topic", topic, "--from-beginning", "--max-messages", &most];
    let with = ["--timeout-ms", "3000", "--isolation-level", isolation, "--formatter-property", "print.key=true"];
    let ran = tools.run(CONSUMER, &[&args[..], &with[..]].concat(), "").unwrap();
    let pair = |line: &str| line.split_once('\t').map(|(key, value)| (key.to_owned(), value.to_owned()));
    ran.stdout.lines().filter_map(pair).collect()
}

fn counts_of(words: &[(String, String)]) -> BTreeMap<String, usize> {
    assert_eq!(words.len(), WORDS);
    let mut counts = BTreeMap::new();
    for (_, word) in words {
        *counts.entry(word.clone()).or_default() += 1;
    }
    counts
}
