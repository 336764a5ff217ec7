//! Programs of stock clients, in `programs/`: where what a client makes of it is the promise, not a frame.
//!
//! Each takes one JSON object as its argument. One that goes step by step prints a line when it has come to a step, and goes
//! on once the file named in `gate` has grown by a byte.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use loadtest::process::{self, Output, Process};
use loadtest::scratch::Scratch;
use loadtest::{During, Result, cache, kafka};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(90);

/// A program that goes step by step.
pub struct Program {
    process: Process,
    gate: PathBuf,
    // Last, so that the process is gone before its folder.
    _dir: Scratch,
}

impl Program {
    pub fn start(name: &str, scene: &Value) -> Result<Self> {
        let dir = Scratch::new("weir-program-")?;
        let gate = dir.path().join("gate");
        fs::write(&gate, b"").during("make the gate")?;
        let mut scene = scene.clone();
        scene["gate"] = json!(gate);
        let process = Process::start(name, &command(name, &scene)?, &dir.path().join("log"))?;
        Ok(Self { process, gate, _dir: dir })
    }

    /// Waits for it to print this line.
    pub fn says(&mut self, what: &str) -> Result<()> {
        let path = self.process.log_path().to_owned();
        self.process.wait_ready(&format!("the line {what}"), LIMIT, || {
            let log = fs::read_to_string(&path).during("read the program's log")?;
            Ok(log.lines().any(|line| line == what).then_some(()))
        })
    }

    /// Lets it take the next step.
    pub fn go_on(&mut self) -> Result<()> {
        let mut gate = OpenOptions::new().append(true).open(&self.gate).during("open the gate")?;
        gate.write_all(b"+").during("open the gate")
    }

    /// Waits for its end, which has to be a good one, and gives what it printed.
    pub fn ends_well(self) -> Result<String> {
        let Self { process, _dir, .. } = self;
        let path = process.log_path().to_owned();
        let status = process.wait(LIMIT)?;
        let log = fs::read_to_string(path).during("read the program's log")?;
        if status.success() { Ok(log) } else { Err(loadtest::Failure::new(format!("{status}:\n{log}"))) }
    }
}

/// Runs one that needs no steering to its end.
pub fn run(name: &str, scene: &Value) -> Result<(ExitStatus, Output)> {
    process::run_any(name, &command(name, scene)?, b"", LIMIT)
}

fn command(name: &str, scene: &Value) -> Result<Command> {
    let mut command = match name.ends_with(".java") {
        true => kafka::java(128)?,
        false => Command::new(cache()?.join("venv/bin/python")),
    };
    // Programs share a module, which is not to be compiled into the checkout.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/features/programs").join(name));
    command.arg(scene.to_string());
    Ok(command)
}
