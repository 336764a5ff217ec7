//! kcat, which is a program already: one run of it is one step, or one record of it.
//!
//! It sends the same headers with all of a run's records, and takes an empty value for null only when told so for the
//! whole run: hence a run a record.

use std::process::Command;

use serde_json::{Value, json};

use super::{LIMIT, Login, Played, Record, Scene, Step};
use crate::weir::Token;
use crate::{During, Failure, Result, process};

impl Scene<'_> {
    pub(super) fn play_kcat(&self) -> Result<Played> {
        let mut played = Played::default();
        for &step in self.steps {
            let outcome = match step {
                Step::Produce => {
                    for (codec, records) in self.script {
                        records.iter().try_for_each(|record| self.kcat_produce(codec, record))?;
                    }
                    json!({})
                }
                Step::Consume => {
                    let count = self.count().to_string();
                    let args = ["-G", self.group, "-X", "auto.offset.reset=earliest", "-c", &count, self.topic];
                    self.kcat_read(&args)?
                }
                // To seek is to start at another offset.
                Step::Seek => self.kcat_read(&["-C", "-t", self.topic, "-o", "beginning", "-e"])?,
                Step::DescribeTopic => {
                    let metadata = self.kcat_metadata()?;
                    let partitions = metadata["topics"][0]["partitions"].as_array().map(Vec::len);
                    json!({ "partitions": partitions })
                }
                Step::DescribeCluster => {
                    let metadata = self.kcat_metadata()?;
                    let brokers = metadata["brokers"].as_array().map_or(&[][..], Vec::as_slice).iter();
                    json!({ "addresses": brokers.map(|broker| &broker["name"]).collect::<Vec<_>>() })
                }
                other => return Err(Failure::new(format!("kcat cannot play {}", other.name()))),
            };
            played.add(step, outcome);
        }
        Ok(played)
    }

    fn kcat(&self, args: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new("kcat");
        // Nobody's own settings.
        command.env("KCAT_CONFIG", "/dev/null");
        command.args(["-b", &self.target.bootstrap, "-q", "-m", "30"]);
        for setting in self.kcat_settings() {
            command.args(["-X", &setting]);
        }
        command.args(args);
        Ok(process::run("kcat", &command, input.as_bytes(), LIMIT)?.stdout)
    }

    fn kcat_settings(&self) -> Vec<String> {
        let mut settings = vec![format!("client.id={}", self.target.client_id)];
        let login = match &self.target.login {
            Login::Plain { user, password } => Some(("PLAIN", user, password)),
            Login::Scram { mechanism, token: Token { subject, token, .. } } => Some((*mechanism, subject, token)),
            Login::Anonymous | Login::Oidc { .. } => None,
        };
        let protocol = match (&login, &self.target.tls) {
            (None, None) => "plaintext",
            (Some(_), None) => "sasl_plaintext",
            (None, Some(_)) => "ssl",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        settings.push(format!("security.protocol={protocol}"));
        if let Some((mechanism, user, password)) = login {
            settings.push(format!("sasl.mechanism={mechanism}"));
            settings.extend([format!("sasl.username={user}"), format!("sasl.password={password}")]);
        }
        if let Some(tls) = &self.target.tls {
            settings.push(format!("ssl.ca.location={}", tls.ca.display()));
        }
        settings
    }

    fn kcat_produce(&self, codec: &str, record: &Record) -> Result<()> {
        let headers: Vec<String> = record
            .headers
            .iter()
            .map(|(name, value)| value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}={value}")))
            .collect();
        let mut args = vec!["-P", "-t", self.topic, "-z", codec];
        headers.iter().for_each(|header| args.extend(["-H", header]));
        if record.key.is_some() || record.value.is_none() {
            args.extend(["-K", "\t"]);
        }
        if record.value.is_none() {
            args.push("-Z");
        }
        let value = record.value.as_deref().unwrap_or_default();
        let line = match &record.key {
            Some(key) => format!("{key}\t{value}\n"),
            None if record.value.is_none() => "\t\n".to_owned(),
            None => format!("{value}\n"),
        };
        self.kcat(&args, &line).map(drop)
    }

    fn kcat_read(&self, args: &[&str]) -> Result<Value> {
        let records = self.kcat(&[&["-J"], args].concat(), "")?;
        let records: Vec<Value> = records.lines().map(record_of_line).collect::<Result<_>>()?;
        Ok(json!({ "records": records }))
    }

    fn kcat_metadata(&self) -> Result<Value> {
        let metadata = self.kcat(&["-L", "-J", "-t", self.topic], "")?;
        serde_json::from_str(&metadata).during(format!("kcat's metadata: {metadata}"))
    }
}

/// Headers stand in one row, names and values in turn.
fn record_of_line(line: &str) -> Result<Value> {
    let message: Value = serde_json::from_str(line).during(format!("a line of kcat's: {line}"))?;
    let headers = message["headers"].as_array().map_or(&[][..], Vec::as_slice).chunks(2);
    Ok(json!({ "key": message["key"], "value": message["payload"], "headers": headers.collect::<Vec<_>>() }))
}
