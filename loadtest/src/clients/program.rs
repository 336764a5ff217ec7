//! The small programs under `tests/clients/`, one process a scene.

use std::process::Command;

use serde_json::json;

use super::{Client, LIMIT, Played, Scene, Step, repository};
use crate::{Result, cache, kafka, process};

/// What a client's folder holds a program for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Plays a scene.
    Scene,
    /// Keeps a stream of records flowing: [`crate::stream`].
    Stream,
}

impl Client {
    /// How one of the client's programs is started, its arguments to follow.
    pub(crate) fn program(self, part: Part) -> Result<Command> {
        let source = |file: &str| repository().join("tests/clients").join(self.name()).join(file);
        let (stem, class, binary) = match part {
            Part::Scene => ("client", "Scene", self.name().to_owned()),
            Part::Stream => ("stream", "Stream", format!("{}-stream", self.name())),
        };
        Ok(match self {
            Self::JavaConsole => {
                let mut command = kafka::java(128)?;
                command.arg(source(&format!("{class}.java")));
                command
            }
            Self::ConfluentKafka | Self::KafkaPython | Self::Aiokafka => {
                let mut command = Command::new(cache()?.join("venv/bin/python"));
                // They share modules, which are not to be compiled into the checkout.
                command.env("PYTHONPATH", repository().join("tests/clients/scene"));
                command.env("PYTHONDONTWRITEBYTECODE", "1").arg(source(&format!("{stem}.py")));
                command
            }
            Self::KafkaJs => {
                let mut command = Command::new("node");
                let modules = cache()?.join("kafkajs/node_modules");
                command.env("NODE_PATH", modules).arg(source(&format!("{stem}.js")));
                command
            }
            Self::Kcat => Command::new("kcat"),
            Self::FranzGo | Self::Sarama | Self::KafkaGo => Command::new(cache()?.join("clients").join(binary)),
        })
    }
}

impl Scene<'_> {
    /// Everything in a JSON object as the only argument, records on standard input, a line a step on standard output.
    pub(super) fn play_program(&self, client: Client) -> Result<Played> {
        self.play_by(client.name(), client.program(Part::Scene)?, self.steps)
    }

    /// The same steps or some of them, by a program that may have arguments already.
    pub(super) fn play_by(&self, name: &str, mut command: Command, steps: &[Step]) -> Result<Played> {
        let arguments = json!({
            "bootstrap": self.target.bootstrap,
            "client_id": self.target.client_id,
            "login": self.target.login_json(),
            "tls": self.target.tls.as_ref().map(|tls| json!({
                "ca": tls.ca,
                "certificate": tls.identity.as_ref().map(|files| &files.certificate),
                "key": tls.identity.as_ref().map(|files| &files.key),
            })),
            "topic": self.topic,
            "partitions": self.partitions,
            "replication": self.replication,
            "group": self.group,
            "steps": steps.iter().map(|step| step.name()).collect::<Vec<_>>(),
        });
        command.arg(arguments.to_string()).envs(self.target.env());
        let mut input = String::new();
        for (codec, records) in self.script {
            for record in records {
                let mut line = record.to_json();
                line["codec"] = json!(codec);
                input += &format!("{line}\n");
            }
        }
        let output = process::run(name, &command, input.as_bytes(), LIMIT)?;
        Played::from_lines(&output.stdout, steps)
    }
}
