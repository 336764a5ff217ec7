//! The gateway's own binary, started on a configuration of the test's.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::metrics::Scrape;
use crate::ports::Block;
use crate::process::{self, Process};
use crate::scratch::Scratch;
use crate::{During, Failure, Result, http};

/// Starting takes well under a second by promise; a machine busy with brokers may take longer.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// In-flight exchanges are finished first, up to the gateway's own limit.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// `weir reload` waits half a minute for clients.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// A configuration in the making: the smallest file, with what a test varies.
#[derive(Debug, Clone)]
pub struct Options {
    /// `auto`, `io_uring` or `epoll`.
    pub runtime: String,
    /// What the listener accepts: `anonymous`, `weir_token`.
    pub auth: Vec<String>,
    /// The upstream's bootstrap addresses, comma separated.
    pub upstream: String,
    /// Further keys at the top level, of the cluster, of the listener: YAML lines without indentation.
    pub top: Vec<String>,
    /// See `top`.
    pub cluster: Vec<String>,
    /// See `top`.
    pub listener: Vec<String>,
    /// Environment variables the gateway gets, and the commands about it.
    pub env: Vec<(String, String)>,
    /// Further keys of `store`, such as `durability: synced`.
    pub store: Vec<String>,
    /// The policy file's text, where there is one.
    pub policy: Option<String>,
    /// How many ports there are for brokers, node id 0 the first; all of the gateway's own when none is said.
    pub broker_ports: Option<u16>,
    /// Where the listener and its brokers' ports are bound.
    pub host: IpAddr,
    /// What `brokers` says in place of ports.
    pub brokers: Option<String>,
    /// Further clusters and listeners, a flow mapping each.
    pub clusters: Vec<String>,
    /// See `clusters`.
    pub listeners: Vec<String>,
}

impl Options {
    /// In front of `upstream`, open to anybody.
    pub fn new(upstream: impl Into<String>) -> Self {
        Self {
            runtime: "auto".to_owned(),
            auth: vec!["anonymous".to_owned()],
            upstream: upstream.into(),
            top: Vec::new(),
            cluster: Vec::new(),
            listener: Vec::new(),
            env: Vec::new(),
            store: Vec::new(),
            policy: None,
            broker_ports: None,
            host: Ipv4Addr::LOCALHOST.into(),
            brokers: None,
            clusters: Vec::new(),
            listeners: Vec::new(),
        }
    }

    /// On this runtime.
    #[must_use]
    pub fn runtime(mut self, runtime: &str) -> Self {
        runtime.clone_into(&mut self.runtime);
        self
    }

    /// With these ways to log in.
    #[must_use]
    pub fn auth(mut self, auth: &[&str]) -> Self {
        self.auth = auth.iter().map(|&a| a.to_owned()).collect();
        self
    }

    /// Under this policy.
    #[must_use]
    pub fn policy(mut self, text: &str) -> Self {
        self.policy = Some(text.to_owned());
        self
    }

    /// With these keys of `store`.
    #[must_use]
    pub fn store(mut self, keys: &[&str]) -> Self {
        self.store = keys.iter().map(|&key| key.to_owned()).collect();
        self
    }

    fn yaml(&self, dir: &Path, addresses: &Addresses) -> String {
        let upstream: Vec<String> = self.upstream.split(',').map(|a| format!("\"{a}\"")).collect();
        let (first, last) = addresses.brokers;
        let last = self.broker_ports.map_or(last, |ports| last.min(first + ports - 1));
        let ports = format!("\"{}-{last}\"", SocketAddr::new(self.host, first));
        let lines = |indent: &str, lines: &[String]| lines.iter().map(|l| format!("{indent}{l}\n")).collect::<String>();
        format!(
            "runtime: {runtime}\nstore: {{ path: {store}{of_store} }}\ncontrol: {{ bind: \"{control}\" }}\n{policy}{top}\
             clusters:\n  - name: main\n    bootstrap: [{upstream}]\n{cluster}{clusters}\
             listeners:\n  - name: main\n    cluster: main\n    bind: \"{listener}\"\n    \
             brokers: {brokers}\n    auth: [{auth}]\n{of_listener}{listeners}",
            runtime = self.runtime,
            store = dir.join("store").display(),
            of_store = self.store.iter().map(|key| format!(", {key}")).collect::<String>(),
            control = addresses.control,
            policy = if self.policy.is_some() { "policy: policy.yaml\n" } else { "" },
            top = lines("", &self.top),
            upstream = upstream.join(", "),
            cluster = lines("    ", &self.cluster),
            listener = addresses.listener,
            auth = self.auth.join(", "),
            of_listener = lines("    ", &self.listener),
            brokers = self.brokers.as_ref().unwrap_or(&ports),
            clusters = lines("  - ", &self.clusters),
            listeners = lines("  - ", &self.listeners),
        )
    }
}

#[derive(Debug, Clone, Copy)]
struct Addresses {
    listener: SocketAddr,
    control: SocketAddr,
    brokers: (u16, u16),
}

/// An issued token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The SASL user name.
    pub subject: String,
    /// The token's id, which says nothing secret.
    pub id: String,
    /// The SASL password.
    pub token: String,
}

/// A gateway with its own folder (configuration, store, log); killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    process: Option<Process>,
    binary: PathBuf,
    options: Options,
    addresses: Addresses,
    _ports: Block,
    // Last, so that the process is gone before its folder.
    dir: Scratch,
}

impl Gateway {
    /// Starts `binary` (a test passes `env!("CARGO_BIN_EXE_weir")`) and waits for `/readyz`.
    pub fn start(binary: impl AsRef<Path>, options: Options) -> Result<Self> {
        let mut gateway = Self::prepare(binary, options)?;
        gateway.start_again()?;
        Ok(gateway)
    }

    /// Writes the configuration without starting: for the commands that work on a gateway at rest.
    pub fn prepare(binary: impl AsRef<Path>, options: Options) -> Result<Self> {
        let mut ports = Block::claim()?;
        let addresses = Addresses {
            listener: SocketAddr::new(options.host, ports.take()?),
            control: local(ports.take()?),
            brokers: ports.rest()?,
        };
        let dir = Scratch::new("weir-gateway-")?;
        fs::write(dir.path().join("weir.yaml"), options.yaml(dir.path(), &addresses)).during("write weir.yaml")?;
        if let Some(policy) = &options.policy {
            fs::write(dir.path().join("policy.yaml"), policy).during("write policy.yaml")?;
        }
        let binary = binary.as_ref().to_owned();
        Ok(Self { process: None, binary, options, addresses, _ports: ports, dir })
    }

    /// Starts it, on the same store and ports as before, and waits for `/readyz`.
    pub fn start_again(&mut self) -> Result<()> {
        self.start_until("/readyz")
    }

    /// The same, and waits only until it is up: for a gateway whose cluster cannot be reached.
    pub fn start_unready(&mut self) -> Result<()> {
        self.start_until("/healthz")
    }

    fn start_until(&mut self, path: &str) -> Result<()> {
        if self.process.is_some() {
            return Err(Failure::new("the gateway is running"));
        }
        let command = self.command(&["serve"]);
        let mut process = Process::start("weir serve", &command, &self.dir.path().join("log"))?;
        let control = self.addresses.control;
        process.wait_ready(&format!("{path} answering 200"), READY_LIMIT, || {
            Ok(matches!(http::get(control, path), Ok((200, _))).then_some(()))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// What clients get as bootstrap address.
    pub fn bootstrap(&self) -> String {
        self.addresses.listener.to_string()
    }

    /// The bootstrap address as a socket address.
    pub fn address(&self) -> SocketAddr {
        self.addresses.listener
    }

    /// The address that stands for one broker.
    pub fn broker_address(&self, node: i32) -> Result<SocketAddr> {
        let port = i32::from(self.addresses.brokers.0).checked_add(node).and_then(|p| u16::try_from(p).ok());
        port.map(|port| SocketAddr::new(self.options.host, port))
            .ok_or_else(|| Failure::new(format!("broker {node} has no port")))
    }

    /// Every port that a client of this gateway may meet: the bootstrap port and the brokers' range.
    pub fn owns_port(&self, port: u16) -> bool {
        let (first, last) = self.addresses.brokers;
        port == self.addresses.listener.port() || (first..=last).contains(&port)
    }

    /// Where the API, `/metrics` and `/readyz` are.
    pub fn control(&self) -> SocketAddr {
        self.addresses.control
    }

    /// Its configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join("weir.yaml")
    }

    /// Its store's folder.
    pub fn store_path(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// All it logged, over restarts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Its process id; none while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// One scrape of `/metrics`.
    pub fn metrics(&self) -> Result<Scrape> {
        let (status, body) = http::get(self.addresses.control, "/metrics")?;
        if status == 200 { Ok(Scrape::parse(&body)) } else { Err(Failure::new(format!("/metrics answered {status}"))) }
    }

    /// `kill -9`.
    pub fn kill9(&mut self) -> Result<()> {
        self.take_process()?.kill();
        Ok(())
    }

    /// SIGTERM, the drain, and the exit code, which must be 0.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.take_process()?.terminate(STOP_LIMIT)?;
        if status.success() {
            return Ok(());
        }
        let log = process::tail(&self.log(), 40);
        Err(Failure::new(format!("weir serve ended with {status} after SIGTERM; the end of its log:\n{log}")))
    }

    /// Runs `weir args… --config FILE` to its end.
    pub fn weir(&self, args: &[&str]) -> Result<process::Output> {
        process::run(&format!("weir {}", args.join(" ")), &self.command(args), b"", COMMAND_LIMIT)
    }

    /// The same as somebody: with this token in `WEIR_TOKEN`, succeeding or not.
    pub fn weir_as(&self, token: &Token, args: &[&str]) -> Result<(std::process::ExitStatus, process::Output)> {
        let mut command = self.command(args);
        command.env("WEIR_TOKEN", &token.token);
        process::run_any(&format!("weir {}", args.join(" ")), &command, b"", COMMAND_LIMIT)
    }

    /// The same; what it printed may be no text.
    pub fn weir_bytes(&self, args: &[&str]) -> Result<Vec<u8>> {
        let doing = format!("weir {}", args.join(" "));
        let output = self.command(args).output().during(&doing)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(Failure::new(format!("{doing}: {}", String::from_utf8_lossy(&output.stderr))))
    }

    /// The same, with `--json`: its objects, one per line.
    pub fn weir_json(&self, args: &[&str]) -> Result<Vec<serde_json::Value>> {
        let output = self.weir(&[args, &["--json"]].concat())?;
        let parse = |line: &str| serde_json::from_str(line).during(format!("weir {}: the line {line}", args.join(" ")));
        output.stdout.lines().map(parse).collect()
    }

    /// Issues a token.
    pub fn token(&self, subject: &str, groups: &str) -> Result<Token> {
        let args = ["token", "create", "--subject", subject, "--groups", groups, "--ttl", "24h"];
        let issued = self.weir_json(&args)?;
        let text = |key: &str| issued.first().and_then(|t| t[key].as_str()).map(ToOwned::to_owned);
        match (text("id"), text("token")) {
            (Some(id), Some(token)) => Ok(Token { subject: subject.to_owned(), id, token }),
            _ => Err(Failure::new("weir token create --json printed no id and token")),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args).arg("--config").arg(self.config_path());
        command.envs(self.options.env.iter().map(|(k, v)| (k, v)));
        command
    }

    fn take_process(&mut self) -> Result<Process> {
        self.process.take().ok_or_else(|| Failure::new("the gateway is not running"))
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
