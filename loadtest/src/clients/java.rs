//! Kafka's own command-line tools against one target.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::{Client, LIMIT, Login, Part, Played, Record, Scene, Step, Target};
use crate::scratch::Scratch;
use crate::{During, Failure, Result, kafka, process};

impl Scene<'_> {
    /// What the console tools can by them; the other steps, which come after those, by Java's client in one JVM.
    pub(super) fn play_java(&self) -> Result<Played> {
        let tools = JavaTools::new(self.target)?;
        let (by_tools, by_client): (Vec<Step>, Vec<Step>) =
            self.steps.iter().partition(|step| Step::BASIC.contains(step));
        let mut played = Played::default();
        for step in by_tools {
            let outcome = match step {
                Step::Create => {
                    tools.create_replicated_topic(self.topic, self.partitions, self.replication)?;
                    json!({})
                }
                Step::Produce => {
                    for (codec, records) in self.script {
                        tools.produce(self.topic, codec, records)?;
                    }
                    json!({})
                }
                _ => {
                    let records = tools.consume(self.topic, self.group, self.count())?;
                    json!({ "records": records.iter().map(Record::to_json).collect::<Vec<_>>() })
                }
            };
            played.add(step, outcome);
        }
        if !by_client.is_empty() {
            let mut command = Client::JavaConsole.program(Part::Scene)?;
            command.env("JDK_JAVA_OPTIONS", tools.jvm_options()).arg(tools.properties_path());
            played.extend(self.play_by("Scene.java", command, &by_client)?);
        }
        Ok(played)
    }
}

/// What stands for null on the console tools' lines; the tools cannot tell it from a text that reads the same.
const NULL: &str = "<null>";

/// Kafka's own command-line tools against one target.
#[derive(Debug)]
pub struct JavaTools {
    target: Target,
    // Holds the properties file.
    dir: Scratch,
}

impl JavaTools {
    /// Writes the properties file that the tools take.
    pub fn new(target: &Target) -> Result<Self> {
        let dir = Scratch::new("weir-client-")?;
        fs::write(dir.path().join("client.properties"), target.properties()).during("write client.properties")?;
        fs::write(dir.path().join("log4j2.properties"), QUIET_LOG4J).during("write log4j2.properties")?;
        Ok(Self { target: target.clone(), dir })
    }

    /// The properties file, for people who go on by hand; it goes with `self`.
    pub fn properties_path(&self) -> PathBuf {
        self.dir.path().join("client.properties")
    }

    /// `kafka-topics --create`, on one broker.
    pub fn create_topic(&self, topic: &str, partitions: u32) -> Result<()> {
        self.create_replicated_topic(topic, partitions, 1)
    }

    /// `kafka-topics --create`.
    pub fn create_replicated_topic(&self, topic: &str, partitions: u32, replication: u16) -> Result<()> {
        let (partitions, replication) = (partitions.to_string(), replication.to_string());
        let args = ["--create", "--topic", topic, "--partitions", &partitions, "--replication-factor", &replication];
        self.tool("org.apache.kafka.tools.TopicCommand", &args, b"").map(drop)
    }

    /// `kafka-console-producer`, waiting for every acknowledgement.
    pub fn produce(&self, topic: &str, codec: &str, records: &[Record]) -> Result<()> {
        let mut args = vec!["--topic", topic, "--compression-codec", codec];
        for property in [
            "parse.key=true",
            "parse.headers=true",
            "headers.delimiter=\t",
            "headers.separator=,",
            "headers.key.separator=:",
            "key.separator=\t",
        ] {
            args.extend(["--reader-property", property]);
        }
        let marker = format!("null.marker={NULL}");
        args.extend(["--reader-property", &marker]);
        let lines: String = records.iter().map(console_line).collect();
        self.tool("org.apache.kafka.tools.ConsoleProducer", &args, lines.as_bytes()).map(drop)
    }

    /// `kafka-console-consumer` from the beginning until `count` records came.
    pub fn consume(&self, topic: &str, group: &str, count: usize) -> Result<Vec<Record>> {
        let (count, marker) = (count.to_string(), format!("null.literal={NULL}"));
        let mut args = vec!["--topic", topic, "--group", group, "--from-beginning"];
        args.extend(["--max-messages", &count, "--timeout-ms", "60000"]);
        for property in ["print.key=true", "print.headers=true", "key.separator=\t", "headers.separator=,", &marker] {
            args.extend(["--formatter-property", property]);
        }
        let output = self.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &args, b"")?;
        output
            .stdout
            .lines()
            .map(|l| record_of_line(l).ok_or_else(|| Failure::new(format!("not a record: {l}"))))
            .collect()
    }

    /// `kafka-producer-perf-test`, unthrottled; gives its summary line.
    pub fn producer_perf(&self, topic: &str, records: u64, record_bytes: u32, settings: &[&str]) -> Result<String> {
        let (records, record_bytes) = (records.to_string(), record_bytes.to_string());
        let mut args = vec!["--topic", topic, "--num-records", &records, "--record-size", &record_bytes];
        args.extend(["--throughput", "-1"]);
        if !settings.is_empty() {
            args.push("--command-property");
            args.extend(settings);
        }
        let output = self.tool("org.apache.kafka.tools.ProducerPerformance", &args, b"")?;
        Ok(process::tail(&output.stdout, 1))
    }

    /// `kafka-consumer-perf-test` until `records` came; gives its line of numbers.
    pub fn consumer_perf(&self, topic: &str, group: &str, records: u64) -> Result<String> {
        let records = records.to_string();
        let args = ["--topic", topic, "--group", group, "--num-records", &records, "--timeout", "60000"];
        let output = self.tool("org.apache.kafka.tools.ConsumerPerformance", &args, b"")?;
        Ok(process::tail(&output.stdout, 1))
    }

    /// Runs a tool's main class, `--bootstrap-server` and `--command-config` given to it first.
    pub fn tool(&self, class: &str, args: &[&str], input: &[u8]) -> Result<process::Output> {
        let mut command = kafka::java(128)?;
        // `-cp …` is the last thing `java` gave us.
        command.env("JDK_JAVA_OPTIONS", self.jvm_options()).envs(self.target.env());
        command.args([class, "--bootstrap-server", &self.target.bootstrap, "--command-config"]);
        command.arg(self.properties_path()).args(args);
        process::run(class.rsplit('.').next().unwrap_or(class), &command, input, LIMIT)
    }

    /// What has to stand before the class on Java's command line.
    fn jvm_options(&self) -> String {
        let log4j = self.dir.path().join("log4j2.properties");
        let mut options = format!("-Dlog4j2.configurationFile={}", log4j.display());
        if let Login::Oidc { endpoint, .. } = &self.target.login {
            // Kafka 4 asks for where tokens may come from, besides where they do.
            options += &format!(" -Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={endpoint}");
        }
        options
    }
}

/// Only what a failure needs, and on standard error: the tools' standard output is data.
pub(super) const QUIET_LOG4J: &str = "\
appender.err.type = Console
appender.err.name = err
appender.err.target = SYSTEM_ERR
appender.err.layout.type = PatternLayout
appender.err.layout.pattern = %p %c{1} %m%n
rootLogger.level = WARN
rootLogger.appenderRef.err.ref = err
";

/// `name:value,name:value TAB key TAB value`.
fn console_line(record: &Record) -> String {
    let or_null = |text: &Option<String>| text.clone().unwrap_or_else(|| NULL.to_owned());
    let headers: Vec<String> = record.headers.iter().map(|(k, v)| format!("{k}:{}", or_null(v))).collect();
    let headers = if headers.is_empty() { NULL.to_owned() } else { headers.join(",") };
    format!("{headers}\t{}\t{}\n", or_null(&record.key), or_null(&record.value))
}

/// The same line as the consumer prints it.
fn record_of_line(line: &str) -> Option<Record> {
    let or_null = |text: &str| (text != NULL).then(|| text.to_owned());
    let mut parts = line.splitn(3, '\t');
    let (headers, key, value) = (parts.next()?, parts.next()?, parts.next()?);
    let header = |pair: &str| pair.split_once(':').map(|(k, v)| (k.to_owned(), or_null(v)));
    let headers = match headers {
        "NO_HEADERS" => Some(Vec::new()),
        some => some.split(',').map(header).collect(),
    };
    Some(Record { headers: headers?, key: or_null(key), value: or_null(value) })
}
