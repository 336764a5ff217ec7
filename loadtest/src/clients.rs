//! Stock clients as people run them: Kafka's own console and perf tools, confluent-kafka (librdkafka), franz-go.
//!
//! All of them play the same scene: make a topic, produce given records under every codec, consume them with a group, and
//! tell what was read. Python and Go have a small program each under `tests/clients/` that takes the records as JSON
//! lines on standard input and prints what it read in the same form; the console tools are driven here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::scratch::Scratch;
use crate::tls::Files;
use crate::weir::Token;
use crate::{During, Failure, Result, cache, kafka, process};

/// Every codec Kafka knows.
pub const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

const LIMIT: Duration = Duration::from_secs(90);

/// Where to connect, and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// Bootstrap servers.
    pub bootstrap: String,
    /// How the client logs in.
    pub login: Login,
    /// Speaks TLS when there is something to do it with.
    pub tls: Option<ClientTls>,
    /// What the client calls itself.
    pub client_id: String,
}

/// What a client speaks TLS with.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// PEM file of the authority it trusts.
    pub ca: PathBuf,
    /// Its own certificate, where it shows one.
    pub identity: Option<Files>,
    /// The one version that Java's clients may speak, such as `TLSv1.2`; whatever the client takes when none is said.
    pub version: Option<&'static str>,
}

/// How a client logs in.
#[derive(Debug, Clone)]
pub enum Login {
    /// Not at all.
    Anonymous,
    /// SASL/PLAIN.
    Plain {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// SASL/SCRAM with a token of the gateway's.
    Scram {
        /// `SCRAM-SHA-256` or `SCRAM-SHA-512`.
        mechanism: &'static str,
        /// The token.
        token: Token,
    },
    /// SASL/OAUTHBEARER with tokens that the client itself gets, by its client credentials.
    Oidc {
        /// The provider's token endpoint.
        endpoint: String,
        /// The client's id there.
        client: String,
        /// Its secret there.
        secret: String,
    },
}

impl Target {
    /// Without a login.
    pub fn anonymous(bootstrap: impl Into<String>, client_id: &str) -> Self {
        Self::with_login(bootstrap, client_id, Login::Anonymous)
    }

    /// Logged in with a token, by SASL/PLAIN.
    pub fn with_token(bootstrap: impl Into<String>, client_id: &str, token: Token) -> Self {
        Self::with_login(bootstrap, client_id, Login::Plain { user: token.subject, password: token.token })
    }

    /// Logged in.
    pub fn with_login(bootstrap: impl Into<String>, client_id: &str, login: Login) -> Self {
        Self { bootstrap: bootstrap.into(), login, tls: None, client_id: client_id.to_owned() }
    }

    /// With TLS.
    #[must_use]
    pub fn over_tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The client properties of Kafka's Java tools.
    pub fn properties(&self) -> String {
        let protocol = match (&self.login, &self.tls) {
            (Login::Anonymous, None) => "PLAINTEXT",
            (_, None) => "SASL_PLAINTEXT",
            (Login::Anonymous, Some(_)) => "SSL",
            (_, Some(_)) => "SASL_SSL",
        };
        let mut text = format!("client.id={}\nsecurity.protocol={protocol}\n", self.client_id);
        if let Some(ClientTls { ca, identity, version }) = &self.tls {
            text += &format!("ssl.truststore.type=PEM\nssl.truststore.location={}\n", ca.display());
            if let Some(identity) = identity {
                text += &format!("ssl.keystore.type=PEM\nssl.keystore.location={}\n", identity.both.display());
            }
            if let Some(version) = version {
                text += &format!("ssl.protocol={version}\nssl.enabled.protocols={version}\n");
            }
        }
        text + &self.sasl_properties()
    }

    fn sasl_properties(&self) -> String {
        const SECURITY: &str = "org.apache.kafka.common.security";
        let (mechanism, module, options) = match &self.login {
            Login::Anonymous => return String::new(),
            Login::Plain { user, password } => {
                ("PLAIN", "plain.PlainLoginModule", format!("username=\"{user}\" password=\"{password}\""))
            }
            Login::Scram { mechanism, token: Token { subject, token, .. } } => {
                (*mechanism, "scram.ScramLoginModule", format!("username=\"{subject}\" password=\"{token}\""))
            }
            Login::Oidc { client, secret, .. } => (
                "OAUTHBEARER",
                "oauthbearer.OAuthBearerLoginModule",
                format!("clientId=\"{client}\" clientSecret=\"{secret}\""),
            ),
        };
        let mut text =
            format!("sasl.mechanism={mechanism}\nsasl.jaas.config={SECURITY}.{module} required {options};\n");
        if let Login::Oidc { endpoint, .. } = &self.login {
            text += &format!(
                "sasl.login.callback.handler.class={SECURITY}.oauthbearer.OAuthBearerLoginCallbackHandler\n\
                 sasl.oauthbearer.token.endpoint.url={endpoint}\n"
            );
        }
        text
    }

    /// What the programs under `tests/clients/` take as `login`; null without one.
    fn to_json(&self) -> Value {
        match &self.login {
            Login::Anonymous => Value::Null,
            Login::Plain { user, password } => json!({ "mechanism": "PLAIN", "user": user, "password": password }),
            Login::Scram { mechanism, token: Token { subject, token, .. } } => {
                json!({ "mechanism": mechanism, "user": subject, "password": token })
            }
            Login::Oidc { endpoint, client, secret } => {
                json!({ "mechanism": "OAUTHBEARER", "endpoint": endpoint, "user": client, "password": secret })
            }
        }
    }
}

/// A record as a test compares it. Kafka's null is `None`, which is not the empty text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// The key.
    pub key: Option<String>,
    /// The value; none is a tombstone.
    pub value: Option<String>,
    /// In order, names may repeat.
    pub headers: Vec<(String, Option<String>)>,
}

impl Record {
    fn to_json(&self) -> Value {
        json!({ "key": self.key, "value": self.value, "headers": self.headers })
    }

    fn from_json(line: &str) -> Result<Self> {
        let doing = || format!("a record read back: {line}");
        let json: Value = serde_json::from_str(line).during(doing())?;
        let text = |v: &Value| v.as_str().map(ToOwned::to_owned);
        let headers = json["headers"].as_array().ok_or_else(|| Failure::new(doing()))?.iter();
        let header = |pair: &Value| Some((text(&pair[0])?, text(&pair[1])));
        let headers = headers.map(|h| header(h).ok_or_else(|| Failure::new(doing()))).collect::<Result<_>>()?;
        Ok(Self { key: text(&json["key"]), value: text(&json["value"]), headers })
    }
}

/// The records to send, by codec.
pub type Script = BTreeMap<&'static str, Vec<Record>>;

/// A stock client that can play the scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// `kafka-topics`, `kafka-console-producer`, `kafka-console-consumer`.
    JavaConsole,
    /// librdkafka through confluent-kafka.
    ConfluentKafka,
    /// franz-go.
    FranzGo,
}

impl Client {
    /// A name for topics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::JavaConsole => "java",
            Self::ConfluentKafka => "confluent-kafka",
            Self::FranzGo => "franz-go",
        }
    }

    /// Makes `topic`, produces the script, consumes as `group`, and gives what was read, in no particular order.
    pub fn play(
        self,
        target: &Target,
        topic: &str,
        partitions: u32,
        group: &str,
        script: &Script,
    ) -> Result<Vec<Record>> {
        let scene = Scene { target, topic, partitions, group, script };
        match self {
            Self::JavaConsole => scene.play_java(),
            Self::ConfluentKafka => {
                let mut command = Command::new(cache()?.join("venv/bin/python"));
                command.arg(repository().join("tests/clients/confluent-kafka/client.py"));
                scene.play_program(self.name(), command)
            }
            Self::FranzGo => scene.play_program(self.name(), Command::new(cache()?.join("bin/franz-go"))),
        }
    }
}

struct Scene<'a> {
    target: &'a Target,
    topic: &'a str,
    partitions: u32,
    group: &'a str,
    script: &'a Script,
}

impl Scene<'_> {
    /// One program, one process: everything in a JSON object as its only argument, records on standard input.
    fn play_program(&self, name: &str, mut command: Command) -> Result<Vec<Record>> {
        let arguments = json!({
            "bootstrap": self.target.bootstrap,
            "client_id": self.target.client_id,
            "login": self.target.to_json(),
            "topic": self.topic,
            "tls": self.target.tls.as_ref().map(|tls| json!({
                "ca": tls.ca,
                "certificate": tls.identity.as_ref().map(|files| &files.certificate),
                "key": tls.identity.as_ref().map(|files| &files.key),
            })),
            "partitions": self.partitions,
            "group": self.group,
        });
        command.arg(arguments.to_string());
        let mut input = String::new();
        for (codec, records) in self.script {
            for record in records {
                let mut line = record.to_json();
                line["codec"] = json!(codec);
                input += &format!("{line}\n");
            }
        }
        let output = process::run(name, &command, input.as_bytes(), LIMIT)?;
        output.stdout.lines().map(Record::from_json).collect()
    }

    fn play_java(&self) -> Result<Vec<Record>> {
        let tools = JavaTools::new(self.target)?;
        tools.create_topic(self.topic, self.partitions)?;
        for (codec, records) in self.script {
            tools.produce(self.topic, codec, records)?;
        }
        let expected = self.script.values().map(Vec::len).sum();
        tools.consume(self.topic, self.group, expected)
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

    /// `kafka-topics --create`.
    pub fn create_topic(&self, topic: &str, partitions: u32) -> Result<()> {
        let partitions = partitions.to_string();
        let args = ["--create", "--topic", topic, "--partitions", &partitions, "--replication-factor", "1"];
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
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let mut command = kafka::java(128)?;
        // The option must come before the class; `-cp …` is the last thing `java` gave us.
        let mut options = format!("-Dlog4j2.configurationFile={}", path("log4j2.properties"));
        if let Login::Oidc { endpoint, .. } = &self.target.login {
            // Kafka 4 asks for where tokens may come from, besides where they do.
            options += &format!(" -Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={endpoint}");
        }
        command.env("JDK_JAVA_OPTIONS", options);
        command.args([
            class,
            "--bootstrap-server",
            &self.target.bootstrap,
            "--command-config",
            &path("client.properties"),
        ]);
        command.args(args);
        process::run(class.rsplit('.').next().unwrap_or(class), &command, input, LIMIT)
    }
}

/// Only what a failure needs, and on standard error: the tools' standard output is data.
const QUIET_LOG4J: &str = "\
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

/// The checkout: where the client programs lie.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
