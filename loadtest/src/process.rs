//! Processes that never outlive us.
//!
//! A child is started through `setpriv --pdeathsig KILL`, so the kernel ends it when its parent goes, even by `kill -9`.
//! The kernel's "parent" is the thread that forked: children are forked by one thread that lives as long as we do, since
//! a test's own thread ends before the cluster that all tests share. Each child has its own process group, or a Ctrl-C
//! meant for us would reach the broker before the gateway in front of it has drained.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::scratch::Scratch;
use crate::{During, Failure, Result, poll, timed_out};

/// How much of a log a failure shows.
const LOG_LINES_SHOWN: usize = 40;

/// A running process with its log; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program args…` (as `command` says it, environment and folder included), its output appended to `log`.
    pub fn start(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let out =
            File::options().create(true).append(true).open(log).during(format!("cannot open {}", log.display()))?;
        let err = out.try_clone().during("cannot share the log")?;
        let mut bound = bound_to_us(command);
        bound.stdin(Stdio::null()).stdout(out).stderr(err);
        let child = spawn(bound).during(format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// The same, and what it says on standard output comes back through a pipe, as what it is told goes to it.
    pub(crate) fn start_piped(name: &str, command: &Command, log: &Path) -> Result<(Self, ChildStdin, ChildStdout)> {
        let err = File::create(log).during(format!("cannot open {}", log.display()))?;
        let mut bound = bound_to_us(command);
        bound.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(err);
        let mut child = spawn(bound).during(format!("cannot start {name}"))?;
        let pipes = (child.stdin.take(), child.stdout.take());
        let process = Self { name: name.to_owned(), child, log: log.to_owned() };
        match pipes {
            (Some(stdin), Some(stdout)) => Ok((process, stdin, stdout)),
            _ => Err(process.failure("has no pipes")),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// All it wrote so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }

    /// A failure that ends with the last lines of this process's log.
    pub fn failure(&self, what: &str) -> Failure {
        Failure::new(format!("{}: {what}; the end of its log:\n{}", self.name, tail(&self.log(), LOG_LINES_SHOWN)))
    }

    /// Fails, with the log, when the process has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failure(&format!("ended by itself ({status})"))),
            Err(e) => Err(self.failure(&format!("cannot be waited for ({e})"))),
        }
    }

    /// Asks `ready` until it gives a value; fails early when the process ends, late with its log.
    pub fn wait_ready<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let ready = poll(limit, || {
            self.check_alive()?;
            ready()
        });
        ready?.ok_or_else(|| self.failure(&timed_out(what, limit).to_string()))
    }

    /// Sends SIGTERM and waits for the end; after `limit` fails, and the process is killed.
    pub fn terminate(mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait_end("its end after SIGTERM", limit)
    }

    /// Waits for the process to end by itself; after `limit` fails, and the process is killed.
    pub fn wait(mut self, limit: Duration) -> Result<ExitStatus> {
        self.wait_end("its end", limit)
    }

    /// SIGSTOP: it does nothing until [`Process::resume`].
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn wait_end(&mut self, what: &str, limit: Duration) -> Result<ExitStatus> {
        let ended = poll(limit, || self.child.try_wait().during("cannot wait for a process"));
        ended?.ok_or_else(|| self.failure(&timed_out(what, limit).to_string()))
    }

    /// `kill -9`, and its end awaited.
    pub fn kill(mut self) {
        self.kill_and_reap();
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failure::new(format!("{}: no process id", self.name)))?;
        kill_process(pid, signal).during(format!("cannot signal {}", self.name))
    }

    fn kill_and_reap(&mut self) {
        // Both fail only when the process is gone already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_and_reap();
    }
}

/// What a command that ran to its end left.
#[derive(Debug)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `command` to its end, `input` on its standard input; fails with its output when it exits non-zero or outlasts
/// `limit`.
pub fn run(name: &str, command: &Command, input: &[u8], limit: Duration) -> Result<Output> {
    let (status, output) = run_any(name, command, input, limit)?;
    if status.success() {
        return Ok(output);
    }
    let shown = tail(&format!("{}{}", output.stdout, output.stderr), LOG_LINES_SHOWN);
    Err(Failure::new(format!("{name} failed ({status}):\n{shown}")))
}

/// The same for commands whose failure is of interest.
pub fn run_any(name: &str, command: &Command, input: &[u8], limit: Duration) -> Result<(ExitStatus, Output)> {
    // Files, not pipes: a child that fills a pipe nobody drains would wait for ever.
    let dir = Scratch::new("weir-client-")?;
    let (stdin, stdout, stderr) = (dir.path().join("in"), dir.path().join("out"), dir.path().join("err"));
    fs::write(&stdin, input).during("cannot write the input")?;
    let mut bound = bound_to_us(command);
    bound.stdin(File::open(&stdin).during("cannot open the input")?);
    bound.stdout(File::create(&stdout).during("cannot open the output")?);
    bound.stderr(File::create(&stderr).during("cannot open the output")?);

    let child = spawn(bound).during(format!("cannot start {name}"))?;
    let process = Process { name: name.to_owned(), child, log: stderr.clone() };
    let status = process.wait(limit)?;
    let read =
        |path: &Path| fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).during("cannot read output");
    Ok((status, Output { stdout: read(&stdout)?, stderr: read(&stderr)? }))
}

/// The last `lines` lines.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The command, wrapped so that the kernel kills it with the thread that forks it.
fn bound_to_us(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(key, value),
            None => bound.env_remove(key),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        bound.current_dir(dir);
    }
    bound.process_group(0);
    bound
}

/// Forks on the one thread that lives as long as this process.
fn spawn(command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static FORKER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let forker = FORKER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                // The asker waits for this answer; it can only be gone with the whole process.
                let _ = reply.send(command.spawn());
            }
        });
        jobs
    });
    let gone = |_| io::Error::other("the forking thread is gone");
    let (reply, answer) = mpsc::channel();
    forker.send((command, reply)).map_err(|_| io::Error::other("the forking thread is gone"))?;
    answer.recv().map_err(gone)?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_process_outlives_the_thread_that_asked_for_it_and_dies_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut process =
            std::thread::spawn(move || Process::start("sleeper", &sh("exec sleep 60"), &log).unwrap()).join().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        process.check_alive().unwrap();
        let proc_entry = PathBuf::from(format!("/proc/{}", process.pid()));
        assert!(proc_entry.exists());
        drop(process);
        assert!(!proc_entry.exists());
    }

    #[test]
    fn what_ends_while_it_is_waited_for_fails_at_once_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = Process::start("loser", &sh("echo the reason; exit 3"), &dir.path().join("log")).unwrap();
        let waited = process.wait_ready("a miracle", Duration::from_secs(60), || Ok(None::<()>));
        let text = waited.unwrap_err().to_string();
        assert!(text.contains("the reason") && text.contains("exit status: 3"), "{text}");
    }

    #[test]
    fn a_run_gets_its_input_and_a_failing_one_shows_its_output() {
        let out = run("cat", &sh("cat; echo aside >&2"), b"in", Duration::from_secs(10)).unwrap();
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("in", "aside\n"));
        let failed = run("fails", &sh("echo why >&2; exit 1"), b"", Duration::from_secs(10)).unwrap_err();
        assert!(failed.to_string().contains("why"), "{failed}");
    }

    #[test]
    fn a_run_that_hangs_is_killed_at_its_limit() {
        let failed = run("hangs", &sh("exec sleep 60"), b"", Duration::from_millis(200)).unwrap_err();
        assert!(failed.to_string().contains("not within 0.2 s"), "{failed}");
    }
}
