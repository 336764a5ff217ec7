//! Stock clients as people run them: Kafka's own console and perf tools, confluent-kafka (librdkafka), franz-go.
//!
//! All of them play the same scene: make a topic, produce given records under every codec, consume them with a group, and
//! tell what was read. Python and Go have a small program each under `tests/clients/` that takes the records as JSON
//! lines on standard input and prints what it read in the same form; the console tools are driven here.

mod java;
mod program;
mod target;
mod toolbox;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

pub use self::java::JavaTools;
pub use self::target::{ClientTls, Login, Target};
pub use self::toolbox::{Ran, Toolbox};
use crate::{During, Failure, Result, cache};

/// Every codec Kafka knows.
pub const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

const LIMIT: Duration = Duration::from_secs(90);

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

/// The checkout: where the client programs lie.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
