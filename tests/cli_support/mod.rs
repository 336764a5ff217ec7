//! A gateway without a data path for tests of the commands: a recording that tests write themselves, and its socket.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use tempfile::TempDir;
use weir::control::approvals::{Registry, RegistryOptions};
use weir::control::{
    Check, ControlHandle, ControlOptions, LoginOptions, Outbox, PolicyChange, PolicyChangeError, PolicyChecked,
    PolicyFile, PolicyInForce, PolicyQuestion, PolicyReload, PolicyReloaded, PolicyTrial, PolicyTrialError, Readiness,
    TokenRegistry, Webhooks,
};
use weir::event::piece::{Content, Piece, Way};
use weir::event::{
    CloseReason, ConnectionNo, Event, EventKind, Identity, Item, Latency, Mechanism, Outcome, RequestPart, Resource,
    ResponsePart,
};
use weir::recorder::{Queries, Recorder, RecorderOptions, SessionFilter, ShardJournal};

pub const CONFIG: &str = r#"store: { path: ./data }
control: { bind: "127.0.0.1:9280", socket: ./s }
clusters: [{ name: main, bootstrap: ["127.0.0.1:19092"] }]
listeners:
  - { name: main, cluster: main, bind: "127.0.0.1:9292", brokers: "127.0.0.1:9300-9399", auth: [weir_token] }
"#;

/// 2026-11-22T10:00:00Z
pub const START_NS: u64 = 1_795_341_600_000_000_000;
pub const SECOND_NS: u64 = 1_000_000_000;

struct AlwaysReady;

impl Readiness for AlwaysReady {
    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }
}

impl PolicyReload for AlwaysReady {
    fn reload(&self) -> Result<PolicyReloaded, String> {
        Err("there is no policy here".to_owned())
    }

    fn in_force(&self) -> PolicyInForce {
        PolicyInForce::default()
    }

    fn change(&self, _: PolicyChange<'_>) -> Result<PolicyReloaded, PolicyChangeError> {
        Err(PolicyChangeError::NoFile)
    }

    fn check(&self, _: Vec<PolicyFile>) -> PolicyChecked {
        PolicyChecked { valid: true, problems: Vec::new(), warnings: Vec::new() }
    }

    fn cluster(&self, _: Option<&str>) -> Result<String, String> {
        Ok("main".to_owned())
    }

    fn terms(&self, _: &weir::policy::Requester, _: &weir::policy::Action) -> Vec<weir::policy::Terms> {
        Vec::new()
    }

    fn simulate(&self, _: PolicyTrial, _: Queries) -> Result<Value, PolicyTrialError> {
        Err(PolicyTrialError::Failed("there is nothing to try it on".to_owned()))
    }

    fn explain(&self, _: PolicyQuestion) -> Result<Value, String> {
        Err("there is nothing to explain".to_owned())
    }
}

/// What a gateway is to the commands: a recording, tokens and a socket.
pub struct Gateway {
    pub folder: TempDir,
    pub webhooks: Webhooks,
    pub recorder: Recorder,
    pub journals: Vec<ShardJournal>,
    pub tokens: Arc<TokenRegistry>,
    pub control: Option<ControlHandle>,
}

fn approvals(recorder: &Recorder) -> Arc<Registry> {
    let outbox = Outbox::open(recorder.access()).unwrap();
    let options = RegistryOptions::new(recorder.access(), outbox, None, Duration::MAX);
    Arc::new(Registry::open(options).unwrap())
}

impl Gateway {
    pub fn start() -> Self {
        Self::start_with(LoginOptions::default())
    }

    /// With these logins to its API.
    pub fn start_with(logins: LoginOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("weir.yaml"), CONFIG).unwrap();
        let options = RecorderOptions::new(folder.path().join("data"), "n1", 1);
        let (recorder, journals) = Recorder::open(options).unwrap();
        let outbox = Outbox::open(recorder.access()).unwrap();
        let webhooks = Webhooks::start(Vec::new(), outbox, recorder.access(), "n1").unwrap();
        let tokens = Arc::new(TokenRegistry::open(recorder.access()).unwrap());
        let control = weir::control::start(ControlOptions {
            bind: "127.0.0.1:0".parse().unwrap(),
            url: None,
            tls: None,
            logins,
            looks: recorder.looks(),
            socket: folder.path().join("s"),
            queries: recorder.queries(),
            tokens: tokens.clone(),
            approvals: approvals(&recorder),
            policy: Arc::new(AlwaysReady),
            webhooks: webhooks.desk(),
            readiness: Arc::new(AlwaysReady),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
        });
        Self { folder, webhooks, recorder, journals, tokens, control: Some(control.unwrap()) }
    }

    pub fn append(&mut self, connection: u64, at_ns: u64, kind: EventKind) {
        let event = Event { connection: ConnectionNo(connection), at_ns, kind };
        self.journals[0].append(&event).unwrap();
    }

    /// Opens a connection of `subject`, produces to `topic`, commits an offset without hearing of it, and closes.
    pub fn record(&mut self, connection: u64, at_ns: u64, subject: &str, topic: &str) {
        let peer = "127.0.0.1:50000".parse().unwrap();
        self.append(connection, at_ns, EventKind::Opened { listener: "main".to_owned(), peer, broker: Some(1) });
        let identity = Identity {
            issuer: "weir".to_owned(),
            subject: subject.to_owned(),
            groups: vec!["analysts".to_owned()],
            mechanism: Mechanism::PlainToken,
        };
        let client_id = Some("perf".to_owned());
        self.append(connection, at_ns, EventKind::Identified { identity, client_id });
        self.append(connection, at_ns + SECOND_NS, produce(topic));
        let items = vec![Item { resource: Resource::Group, name: "readers".to_owned(), ..Item::default() }];
        let request = RequestPart { api_key: 8, api_version: 9, bytes: 200, items, ..RequestPart::default() };
        self.append(connection, at_ns + 2 * SECOND_NS, EventKind::Noted { ordinal: 1, request });
        let closed = EventKind::Closed { reason: CloseReason::Client, bytes_in: 1200, bytes_out: 24 };
        self.append(connection, at_ns + 3 * SECOND_NS, closed);
    }

    /// Opens a connection of `subject` that stays open.
    pub fn open(&mut self, connection: u64, at_ns: u64, subject: &str, peer: &str) {
        let (peer, broker) = (peer.parse().unwrap(), Some(1));
        self.append(connection, at_ns, EventKind::Opened { listener: "main".to_owned(), peer, broker });
        let (issuer, mechanism) = ("weir".to_owned(), Mechanism::PlainToken);
        let identity = Identity { issuer, subject: subject.to_owned(), groups: Vec::new(), mechanism };
        self.append(connection, at_ns, EventKind::Identified { identity, client_id: Some("perf".to_owned()) });
    }

    /// Closes a connection.
    pub fn close(&mut self, connection: u64, at_ns: u64) {
        let closed = EventKind::Closed { reason: CloseReason::Client, bytes_in: 1200, bytes_out: 24 };
        self.append(connection, at_ns, closed);
    }

    /// Appends a frame as full recording does.
    pub fn frame(&mut self, connection: u64, at_ns: u64, (ordinal, way): (u64, Way), bytes: &[u8]) {
        let piece = Piece { ordinal, way, at: 0, content: Content::Bytes(bytes) };
        self.journals[0].append_piece(ConnectionNo(connection), at_ns, &piece).unwrap();
    }

    pub fn wait_until_recorded(&mut self, sessions: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let done = |session: &weir::recorder::SessionSummary| session.connections_open == 0;
        loop {
            self.journals[0].wake_writer();
            let found = self.recorder.queries().sessions(&SessionFilter::default()).unwrap();
            if found.len() == sessions && found.iter().all(done) {
                return;
            }
            assert!(Instant::now() < deadline, "{found:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the gateway; what is left is the store.
    pub fn stop(self) -> Stopped {
        let Gateway { folder, webhooks, recorder, journals, tokens, control } = self;
        control.unwrap().stop();
        drop((webhooks, journals, tokens));
        recorder.shutdown().unwrap();
        Stopped { folder }
    }
}

pub struct Stopped {
    pub folder: TempDir,
}

pub fn weir(folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(arguments)
        .arg("--config")
        .arg(folder.path().join("weir.yaml"))
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub fn printed(folder: &TempDir, arguments: &[&str]) -> String {
    let output = weir(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn json_lines(folder: &TempDir, arguments: &[&str]) -> Vec<Value> {
    printed(folder, arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn produce(topic: &str) -> EventKind {
    let asked = Item { name: topic.to_owned(), partition: Some(0), ..Item::default() };
    let written = Item { offset: Some(42), records: Some(3), bytes: Some(1229), ..asked.clone() };
    EventKind::Exchange {
        ordinal: 0,
        request: Some(RequestPart { api_version: 9, bytes: 1000, items: vec![asked], ..RequestPart::default() }),
        response: ResponsePart {
            outcome: Outcome::Answered,
            bytes: 24,
            items: vec![written],
            latency: Latency { client_ns: 1_000, weir_ns: 31_000, broker_ns: 1_800_000 },
            ..ResponsePart::default()
        },
    }
}
