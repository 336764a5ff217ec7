//! Stock clients as people run them: Kafka's own console and perf tools, and a client of every family.
//!
//! All of them play the same script ([`Step`]): make a topic, produce given records under every codec, consume them with a
//! group, go back, transactions, deletion, descriptions; and tell what they found. Each family has a small program under
//! `tests/clients/` that takes the records as JSON lines on standard input and prints a JSON line a step; the console
//! tools and kcat are programs already, and are driven here.

mod java;
mod kcat;
mod program;
mod script;
mod target;
mod toolbox;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::java::JavaTools;
pub(crate) use self::program::Part;
pub use self::script::{Played, Record, Scene, Script, Step};
pub use self::target::{ClientTls, Login, Target};
pub use self::toolbox::{Ran, Toolbox};
use crate::Result;

/// Every codec Kafka knows.
pub const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

const LIMIT: Duration = Duration::from_secs(90);

/// A stock client that can play the scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// `kafka-topics`, `kafka-console-producer` and `kafka-console-consumer`; for the other steps the client within.
    JavaConsole,
    /// librdkafka through confluent-kafka.
    ConfluentKafka,
    /// kcat, with the librdkafka that its package brings.
    Kcat,
    /// franz-go.
    FranzGo,
    /// sarama.
    Sarama,
    /// segmentio's kafka-go.
    KafkaGo,
    /// kafka-python.
    KafkaPython,
    /// aiokafka.
    Aiokafka,
    /// kafkajs.
    KafkaJs,
}

impl Client {
    /// A name for topics and messages, and of the program's folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::JavaConsole => "java",
            Self::ConfluentKafka => "confluent-kafka",
            Self::Kcat => "kcat",
            Self::FranzGo => "franz-go",
            Self::Sarama => "sarama",
            Self::KafkaGo => "kafka-go",
            Self::KafkaPython => "kafka-python",
            Self::Aiokafka => "aiokafka",
            Self::KafkaJs => "kafkajs",
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
        let scene = Scene { target, steps: &Step::BASIC, topic, partitions, replication: 1, group, script };
        self.perform(&scene)?.records(Step::Consume)
    }

    /// Plays the steps that the scene asks for, every one of them: a step that the client cannot play is a failure.
    pub fn perform(self, scene: &Scene<'_>) -> Result<Played> {
        let played = match self {
            Self::JavaConsole => scene.play_java(),
            Self::Kcat => scene.play_kcat(),
            _ => scene.play_program(self),
        };
        played.map_err(|failure| failure.during(format!("{} as {}", self.name(), scene.target.client_id)))
    }
}

/// The checkout: where the client programs lie.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
