//! Kafka's own command-line tools, one after another in one JVM: a start of Java costs more than what most of them do.
//!
//! `tests/clients/java/Tools.java` is the JVM's side of it: a line of JSON asks for a tool, a line of JSON is what it left.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::ChildStdin;
use std::sync::mpsc::{self, RecvTimeoutError};

use serde_json::{Value, json};

use super::java::QUIET_LOG4J;
use super::{LIMIT, repository};
use crate::process::Process;
use crate::scratch::Scratch;
use crate::{During, Failure, Result, kafka};

/// What a tool left.
#[derive(Debug)]
pub struct Ran {
    /// What it was, for messages.
    pub command: String,
    /// Its exit status.
    pub status: i64,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A JVM that runs one tool after another.
#[derive(Debug)]
pub struct Toolbox {
    process: Process,
    stdin: ChildStdin,
    answers: mpsc::Receiver<String>,
    // Last, so that the process is gone before its folder.
    _dir: Scratch,
}

impl Toolbox {
    /// Starts the JVM; tools may be asked for at once.
    pub fn start() -> Result<Self> {
        let dir = Scratch::new("weir-tools-")?;
        let log4j = dir.path().join("log4j2.properties");
        // A tool's own warnings belong to what it says on standard error.
        let quiet = format!("{QUIET_LOG4J}appender.err.follow = true\n");
        fs::write(&log4j, quiet).during("write log4j2.properties")?;
        let mut command = kafka::java(192)?;
        command.env("JDK_JAVA_OPTIONS", format!("-Dlog4j2.configurationFile={}", log4j.display()));
        command.arg(repository().join("tests/clients/java/Tools.java"));
        let (process, stdin, stdout) = Process::start_piped("Tools.java", &command, &dir.path().join("log"))?;
        let (tell, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { process, stdin, answers, _dir: dir })
    }

    /// Runs a tool's main class to its end, `input` on its standard input.
    pub fn run(&mut self, class: &str, args: &[&str], input: &str) -> Result<Ran> {
        let command = format!("{} {}", class.rsplit('.').next().unwrap_or(class), args.join(" "));
        let asked = json!({ "class": class, "args": args, "input": input });
        writeln!(self.stdin, "{asked}").during(format!("cannot ask for {command}"))?;
        let answer = self.answers.recv_timeout(LIMIT).map_err(|e| match e {
            RecvTimeoutError::Timeout => {
                self.process.failure(&format!("{command}: no end within {} s", LIMIT.as_secs()))
            }
            RecvTimeoutError::Disconnected => self.process.failure(&format!("{command}: the JVM has ended")),
        })?;
        let answer: Value = serde_json::from_str(&answer).during(format!("the answer to {command}"))?;
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let status =
            answer["status"].as_i64().ok_or_else(|| Failure::new(format!("{command}: no status: {answer}")))?;
        Ok(Ran { command, status, stdout: text("stdout"), stderr: text("stderr") })
    }
}
