//! The small programs under `tests/clients/`, one process a scene.

use std::process::Command;

use serde_json::json;

use super::{LIMIT, Record, Scene};
use crate::{Result, process};

impl Scene<'_> {
    /// One program, one process: everything in a JSON object as its only argument, records on standard input.
    pub(super) fn play_program(&self, name: &str, mut command: Command) -> Result<Vec<Record>> {
        let arguments = json!({
            "bootstrap": self.target.bootstrap,
            "client_id": self.target.client_id,
            "login": self.target.login_json(),
            "topic": self.topic,
            "tls": self.target.tls.as_ref().map(|tls| json!({
                "ca": tls.ca,
                "certificate": tls.identity.as_ref().map(|files| &files.certificate),
                "key": tls.identity.as_ref().map(|files| &files.key),
            })),
            "partitions": self.partitions,
            "group": self.group,
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
        output.stdout.lines().map(Record::from_json).collect()
    }
}
