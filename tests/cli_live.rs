//! `weir follow` beside a recording that goes on, and `weir replay` with and without a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cli_support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cli_support::*;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use weir::event::{EventKind, Item, Outcome, RequestPart, ResponsePart};

const LIMIT: Duration = Duration::from_secs(20);

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// A command whose lines are read as they come.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn weir(folder: &TempDir, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(arguments).arg("--config").arg(folder.path().join("weir.yaml")).env("TZ", "UTC");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The next line that is wanted.
    fn next(&self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).expect("a line");
            if wanted(&line) {
                return line;
            }
        }
    }

    fn interrupt(&self) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), Signal::INT).unwrap();
    }

    fn end(mut self) -> (ExitStatus, String) {
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap(), stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

fn fetch(ordinal: u64, topic: &str, error_code: i16) -> EventKind {
    let item = Item { name: topic.to_owned(), partition: Some(0), error_code, ..Item::default() };
    let request = RequestPart { api_key: 1, api_version: 12, ..RequestPart::default() };
    let response = ResponsePart { outcome: Outcome::Answered, items: vec![item], ..ResponsePart::default() };
    EventKind::Exchange { ordinal, request: Some(request), response }
}

/// A gateway with a follower that has seen a first event of connection 1.
fn followed(arguments: &[&str]) -> (Gateway, Running) {
    let gateway = Gateway::start();
    let running = Running::weir(&gateway.folder, &[&["follow"], arguments].concat());
    // It follows from the moment it is answered on.
    std::thread::sleep(Duration::from_millis(500));
    (gateway, running)
}

fn append(gateway: &mut Gateway, connection: u64, kind: EventKind) {
    gateway.append(connection, now_ns(), kind);
    gateway.journals[0].wake_writer();
}

#[test]
fn follow_shows_what_happens_once_joined_and_whose_it_is() {
    let (mut gateway, running) = followed(&["--json"]);
    gateway.open(1, now_ns(), "analyst-7", "127.0.0.1:50000");
    for ordinal in 0..20 {
        append(&mut gateway, 1, fetch(ordinal, "orders", 0));
        std::thread::sleep(Duration::from_millis(30));
    }
    // A change is noted first and told with its outcome, once.
    let request = RequestPart { api_key: 19, api_version: 7, ..RequestPart::default() };
    append(&mut gateway, 1, EventKind::Noted { ordinal: 20, request });
    std::thread::sleep(Duration::from_millis(400));
    let response = ResponsePart { outcome: Outcome::Answered, ..ResponsePart::default() };
    append(&mut gateway, 1, EventKind::Exchange { ordinal: 20, request: None, response });
    append(&mut gateway, 1, fetch(21, "last", 0));
    let mut seen = Vec::new();
    loop {
        let line: Value = serde_json::from_str(&running.next(|_| true)).unwrap();
        assert_eq!(line["session"]["identity"]["subject"], "analyst-7");
        match line["event"].as_str().unwrap() {
            "exchange" => seen.push((line["ordinal"].as_u64().unwrap(), line["request"]["api_key"].as_i64().unwrap())),
            other => assert!(["opened", "identified"].contains(&other), "{line}"),
        }
        if seen.last() == Some(&(21, 1)) {
            break;
        }
    }
    let expected: Vec<(u64, i64)> = (0..22).map(|ordinal| (ordinal, if ordinal == 20 { 19 } else { 1 })).collect();
    assert_eq!(seen, expected);
    running.interrupt();
    let (status, stderr) = running.end();
    assert!(status.success() && stderr.is_empty(), "{status}: {stderr}");
}

#[test]
fn followers_choose_and_end_with_the_gateway() {
    let (mut gateway, by_topic) = followed(&["--topic", "orders", "--json"]);
    let errors = Running::weir(&gateway.folder, &["follow", "--errors-only", "--json"]);
    let nobody = Running::weir(&gateway.folder, &["follow", "--identity", "nobody"]);
    let table = Running::weir(&gateway.folder, &["follow", "--address", "127.0.0.1", "--client-id", "perf"]);
    std::thread::sleep(Duration::from_millis(500));
    gateway.open(1, now_ns(), "analyst-7", "127.0.0.1:50000");
    for (ordinal, topic, error) in [(0, "payments", 0), (1, "orders", 0), (2, "payments", 29), (3, "orders", 6)] {
        append(&mut gateway, 1, fetch(ordinal, topic, error));
    }
    let ordinal = |line: &str| serde_json::from_str::<Value>(line).unwrap()["ordinal"].as_u64();
    assert_eq!([(); 2].map(|()| ordinal(&by_topic.next(|_| true))), [Some(1), Some(3)]);
    assert_eq!([(); 2].map(|()| ordinal(&errors.next(|_| true))), [Some(2), Some(3)]);
    let head = table.next(|line| line.starts_with("TIME"));
    assert!(head.contains("WHO") && head.contains("RESULT"), "{head}");
    let row = table.next(|line| line.contains("Fetch v12"));
    assert!(row.contains("analyst-7"), "{row}");
    drop(gateway.stop());
    for running in [by_topic, errors, nobody, table] {
        let (status, stderr) = running.end();
        assert!(status.success() && stderr.contains("the gateway stopped"), "{status}: {stderr}");
    }
}

#[test]
fn nobody_to_follow_is_said() {
    let gateway = Gateway::start();
    let stopped = gateway.stop();
    let output = weir(&stopped.folder, &["follow"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no gateway runs"));
}

/// A session of five events over an hour and a little.
fn long_session() -> (Gateway, String) {
    let mut gateway = Gateway::start();
    gateway.record(1, START_NS, "analyst-7", "orders");
    gateway.append(1, START_NS + 3600 * SECOND_NS, fetch(2, "orders", 6));
    gateway.wait_until_recorded(1);
    let deadline = Instant::now() + LIMIT;
    loop {
        let session = json_lines(&gateway.folder, &["sessions", "--json"]).remove(0);
        let id = session["id"].as_str().unwrap().to_owned();
        if json_lines(&gateway.folder, &["show", &id, "--json"]).len() == 6 {
            return (gateway, id);
        }
        assert!(Instant::now() < deadline);
        gateway.journals[0].wake_writer();
    }
}

#[test]
fn a_replay_without_a_terminal_prints_at_its_pace() {
    let (gateway, id) = long_session();
    let began = Instant::now();
    let text = printed(&gateway.folder, &["replay", &id, "--speed", "10", "--idle", "2s"]);
    // Three seconds at tenfold speed, and an hour that is shortened to two seconds at tenfold speed.
    assert!(began.elapsed() >= Duration::from_millis(490), "{:?}", began.elapsed());
    assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
    for shown in
        ["analyst-7, perf from 127.0.0.1", "+1.000s", "Produce v9", "59m55s idle", "+1h00m00s", "events shown: 6"]
    {
        assert!(text.contains(shown), "{shown}\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let from = printed(&gateway.folder, &["replay", &id, "--speed", "max", "--from", "+2500ms"]);
    assert!(from.contains("closed") && !from.contains("Produce"), "{from}");
    let from = printed(&gateway.folder, &["replay", &id, "--speed", "max", "--from", "2026-11-22T10:30:00Z"]);
    assert!(from.contains("events shown: 1") && from.contains("NOT_LEADER"), "{from}");
    let output = weir(&gateway.folder, &["replay", &id, "--step"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no terminal"));
}

/// Runs a command on a terminal of its own: sends each key once its text has been seen, and tells the terminal's mode
/// before and after, the command's status, and what it drew.
const ON_A_TERMINAL: &str = r#"
import json, os, pty, select, signal, sys, termios, time
script, command = json.loads(sys.argv[1]), sys.argv[2:]
master, slave = pty.openpty()
termios.tcsetwinsize(slave, (24, 80))
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.environ["TERM"] = "xterm-256color"
    os.execv(command[0], command)
drawn, sent, status, deadline = b"", 0, None, time.monotonic() + 30
raw = False
while status is None:
    assert time.monotonic() < deadline, drawn
    if select.select([master], [], [], 0.05)[0]:
        drawn += os.read(master, 65536)
    raw = raw or not termios.tcgetattr(slave)[3] & termios.ICANON
    if script and script[0][0].encode() in drawn[sent:]:
        sent = len(drawn)
        key = script.pop(0)[1]
        os.kill(pid, signal.SIGTERM) if key == "SIGTERM" else os.write(master, key.encode())
    done, code = os.waitpid(pid, os.WNOHANG)
    status = os.waitstatus_to_exitcode(code) if done else None
while select.select([master], [], [], 0.1)[0]:
    drawn += os.read(master, 65536)
print(json.dumps({"status": status, "restored": before == termios.tcgetattr(slave), "raw": raw, "left": script,
                  "drawn": drawn.decode()}))
"#;

fn on_a_terminal(gateway: &Gateway, script: &[(&str, &str)], arguments: &[&str]) -> Value {
    let script = serde_json::to_string(script).unwrap();
    let python = option_env!("PYTHON").unwrap_or("python3");
    let mut command = Command::new(python);
    command.args(["-c", ON_A_TERMINAL, &script, env!("CARGO_BIN_EXE_weir")]).args(arguments);
    command.arg("--config").arg(gateway.folder.path().join("weir.yaml")).env("TZ", "UTC").env_remove("NO_COLOR");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_replay_on_a_terminal_steps_by_key_and_gives_the_terminal_back() {
    let (gateway, id) = long_session();
    // Each step shows one event and then waits again, paused.
    let script = [("paused", " "), ("connected", "\r"), ("identified", "+"), ("paused 2x", " "), ("Produce v9", "q")];
    let told = on_a_terminal(&gateway, &script, &["replay", &id, "--step"]);
    assert_eq!((&told["status"], &told["restored"], &told["raw"]), (&0.into(), &true.into(), &true.into()), "{told:#}");
    assert_eq!(told["left"], serde_json::json!([]), "{told:#}");
    let drawn = told["drawn"].as_str().unwrap();
    assert!(drawn.contains("events shown: 3") && !drawn.contains("OffsetCommit"), "{drawn}");
    assert!(drawn.contains("q quit"), "{drawn}");

    // Ctrl-C and a signal from elsewhere end it as well, and the terminal is as it was.
    let told = on_a_terminal(&gateway, &[("paused", "\u{3}")], &["replay", &id, "--step"]);
    assert_eq!((&told["status"], &told["restored"]), (&0.into(), &true.into()), "{told:#}");
    let told = on_a_terminal(&gateway, &[("paused", "SIGTERM")], &["replay", &id, "--step"]);
    assert_eq!((&told["status"], &told["restored"]), (&143.into(), &true.into()), "{told:#}");
    // Played to its end at full speed, paused and resumed on the way.
    let told = on_a_terminal(&gateway, &[("replay", "p"), ("paused", "p")], &["replay", &id, "--speed", "4"]);
    assert!(told["drawn"].as_str().unwrap().contains("events shown: 6"), "{told:#}");
    assert_eq!(told["restored"], true);
}
