//! The small programs under `tests/clients/`, one process a scene.

use std::process::Command;

use serde_json::json;

use super::{Client, LIMIT, Played, Scene, repository};
use crate::{Result, cache, process};

impl Client {
    /// How the client's program is started.
    fn program(self) -> Result<Command> {
        let source = |file: &str| repository().join("tests/clients").join(self.name()).join(file);
        Ok(match self {
            Self::ConfluentKafka | Self::KafkaPython | Self::Aiokafka => {
                let mut command = Command::new(cache()?.join("venv/bin/python"));
                // They share a module, which is not to be compiled into the checkout.
                command.env("PYTHONPATH", repository().join("tests/clients/scene"));
                command.env("PYTHONDONTWRITEBYTECODE", "1").arg(source("client.py"));
                command
            }
            Self::KafkaJs => {
                let mut command = Command::new("node");
                command.env("NODE_PATH", cache()?.join("kafkajs/node_modules")).arg(source("client.js"));
                command
            }
            _ => Command::new(cache()?.join("clients").join(self.name())),
        })
    }
}

impl Scene<'_> {
    /// Everything in a JSON object as the only argument, records on standard input, a line a step on standard output.
    pub(super) fn play_program(&self, client: Client) -> Result<Played> {
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
            "steps": self.steps.iter().map(|step| step.name()).collect::<Vec<_>>(),
        });
        let mut command = client.program()?;
        command.arg(arguments.to_string()).envs(self.target.env());
        let mut input = String::new();
        for (codec, records) in self.script {
            for record in records {
                let mut line = record.to_json();
                line["codec"] = json!(codec);
                input += &format!("{line}\n");
            }
        }
        let output = process::run(client.name(), &command, input.as_bytes(), LIMIT)?;
        Played::from_lines(&output.stdout, self.steps)
    }
}
