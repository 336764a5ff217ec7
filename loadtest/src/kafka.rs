//! A real Apache Kafka, KRaft, from its Maven jars.
//!
//! The first broker is the controller too; the others are brokers only, so that each of them can be stopped, started
//! again or added while the quorum stays. With three controllers ([`Options::highly_available`]) any broker can go.
//! Everything lives in one temporary folder that goes with the cluster.
//!
//! A cluster is ready when a Metadata answer of its own names every broker: what a client would see, not what a log says.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kafka_protocol::messages::MetadataRequest;

use crate::fault_proxy::FaultProxy;
use crate::ports::Block;
use crate::process::{self, Process};
use crate::scratch::Scratch;
use crate::wire::Connection;
use crate::{During, Failure, Result, cache, wait_for};

/// The version whose brokers and tools are used unless another is asked for; all three are fetched by `make setup-test`.
pub const VERSION: &str = "4.3.1";
/// Brokers one major version older.
pub const OLDER: &str = "3.9.1";
/// For its clients only.
pub const OLD_CLIENT: &str = "2.8.2";

/// A broker starts in 3 to 4 s on an idle machine; on a busy one it may take ten times that.
const READY_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The certificate that brokers show, and whose certificates they take.
#[derive(Debug, Clone)]
pub struct BrokerTls {
    /// PEM file with the key and the certificate.
    pub key_store: PathBuf,
    /// PEM file with the authority of clients.
    pub trust_store: PathBuf,
}

/// What a cluster is like besides its size.
#[derive(Debug, Clone)]
pub struct Options {
    /// Of [`VERSION`] and [`OLDER`], the brokers' version.
    pub version: &'static str,
    /// Users of a second listener, SASL_PLAINTEXT; without users there is no such listener.
    pub users: Vec<(String, String)>,
    /// How they may log in there. OAUTHBEARER takes any unsigned token ([`crate::token_endpoint`]), of users or not.
    pub mechanisms: Vec<&'static str>,
    /// Two more listeners: `SSL` asks clients for no certificate, `MTLS` for one. Both advertise `localhost`.
    pub tls: Option<BrokerTls>,
    /// One JSON line per request in [`Cluster::request_log`]: API, version and client as the broker saw them.
    pub request_log: bool,
    /// How many of the first brokers are controllers too: one, or a quorum of three.
    pub controllers: i32,
    /// One more listener, which is met through a [`FaultProxy`] only: that is the address it advertises.
    pub proxied: bool,
    /// Java heap per broker, MiB.
    pub heap_mib: u32,
    /// As benches want it: compile hot code fully, which is slower to start and faster once under load, and keep the
    /// log in memory.
    pub for_load: bool,
    /// Lines added to every broker's `server.properties`; `{node}` in them is its id.
    pub properties: Vec<String>,
    /// A folder with classes of the test's own that every broker can load.
    pub classes: Option<PathBuf>,
    /// Where brokers listen and what they advertise; with IPv6 without SASL, TLS and proxies.
    pub host: IpAddr,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: VERSION,
            users: Vec::new(),
            mechanisms: vec!["PLAIN"],
            tls: None,
            request_log: false,
            controllers: 1,
            proxied: false,
            heap_mib: 256,
            for_load: false,
            properties: Vec::new(),
            classes: None,
            host: Ipv4Addr::LOCALHOST.into(),
        }
    }
}

impl Options {
    /// For at least three brokers, any of which may fail: a quorum of controllers, three replicas of everything, two of
    /// which have to hold what is acknowledged. A broker that stops answering is taken for dead after 6 s.
    pub fn highly_available() -> Self {
        let properties = HIGHLY_AVAILABLE.lines().map(ToOwned::to_owned).collect();
        Self { controllers: 3, properties, ..Self::default() }
    }
}

/// A running cluster; its processes and its folder go when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    brokers: BTreeMap<i32, Broker>,
    id: String,
    controllers: BTreeMap<i32, u16>,
    ports: Block,
    options: Options,
    // Last, so that the brokers are gone before their folder.
    dir: Scratch,
}

/// One broker; without a process while it is stopped.
#[derive(Debug)]
struct Broker {
    port: u16,
    sasl_port: Option<u16>,
    tls_ports: Option<[u16; 2]>,
    front: Option<Front>,
    process: Option<Process>,
}

/// The listener behind a proxy.
#[derive(Debug)]
struct Front {
    port: u16,
    proxy: FaultProxy,
}

impl Cluster {
    /// Starts brokers with the ids 1 to `brokers` and waits until all are there.
    pub fn start(brokers: i32, options: Options) -> Result<Self> {
        let mut ports = Block::claim()?;
        let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(22).collect();
        let dir = if options.for_load { Scratch::in_memory("weir-kafka-") } else { Scratch::new("weir-kafka-") }?;
        let controllers = (1..=options.controllers).map(|node| Ok((node, ports.take()?))).collect::<Result<_>>()?;
        let mut cluster = Self { brokers: BTreeMap::new(), id, controllers, ports, options, dir };
        for node in 1..=brokers {
            cluster.prepare(node)?;
        }
        cluster.format_all()?;
        for node in 1..=brokers {
            cluster.launch(node)?;
        }
        cluster.wait_ready()?;
        Ok(cluster)
    }

    /// The plaintext listeners, by node id.
    pub fn addresses(&self) -> Vec<(i32, SocketAddr)> {
        self.brokers.iter().map(|(&node, b)| (node, self.at(b.port))).collect()
    }

    /// One broker's plaintext listener.
    pub fn address(&self, node: i32) -> Result<SocketAddr> {
        Ok(self.at(self.broker(node)?.port))
    }

    /// What a client takes as bootstrap servers.
    pub fn bootstrap(&self) -> String {
        join(self.brokers.values().map(|b| self.at(b.port)))
    }

    /// The same for the SASL listener; empty without [`Options::users`].
    pub fn sasl_bootstrap(&self) -> String {
        join(self.brokers.values().filter_map(|b| b.sasl_port).map(|port| self.at(port)))
    }

    /// What a client takes as bootstrap servers for TLS, and for TLS with a certificate of its own; empty without
    /// [`Options::tls`].
    pub fn tls_bootstraps(&self) -> [String; 2] {
        [0, 1].map(|which| {
            let ports = self.brokers.values().filter_map(|b| b.tls_ports.map(|ports| ports[which]));
            ports.map(|port| format!("localhost:{port}")).collect::<Vec<_>>().join(",")
        })
    }

    /// The proxies before the brokers ([`Options::proxied`]): their addresses are what a client behind them starts with.
    pub fn proxies(&self) -> impl Iterator<Item = &FaultProxy> {
        self.brokers.values().filter_map(|b| b.front.as_ref()).map(|front| &front.proxy)
    }

    /// The end of one broker's log.
    pub fn log(&self, node: i32) -> Result<String> {
        fs::read_to_string(self.home(node).join("log")).during("cannot read the broker's log")
    }

    /// Every request that broker has answered so far, one JSON object each ([`Options::request_log`]).
    pub fn request_log(&self, node: i32) -> Result<Vec<serde_json::Value>> {
        let text = fs::read_to_string(self.home(node).join("requests")).during("cannot read the request log")?;
        // What follows the last line break is still being written.
        let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let answered = whole.lines().filter_map(|line| line.strip_prefix("Completed request:"));
        answered.map(|json| serde_json::from_str(json).during("a line of the request log")).collect()
    }

    /// Stops a broker as an operator would (SIGTERM: leaders move first). A controller that is the only one stays.
    pub fn stop(&mut self, node: i32) -> Result<()> {
        self.take_process(node)?.terminate(STOP_LIMIT)?;
        Ok(())
    }

    /// `kill -9` of a broker.
    pub fn kill(&mut self, node: i32) -> Result<()> {
        self.take_process(node)?.kill();
        Ok(())
    }

    /// Stops a broker for good: it is none of ours any more. The cluster knows it until it is unregistered.
    pub fn remove(&mut self, node: i32) -> Result<()> {
        self.stop(node)?;
        self.brokers.remove(&node);
        Ok(())
    }

    /// SIGSTOP: the broker answers nothing, and its connections stay open.
    pub fn pause(&self, node: i32) -> Result<()> {
        self.running(node)?.pause()
    }

    /// SIGCONT after [`Cluster::pause`].
    pub fn resume(&self, node: i32) -> Result<()> {
        self.running(node)?.resume()
    }

    /// Whether the broker has a process.
    pub fn is_running(&self, node: i32) -> bool {
        self.running(node).is_ok()
    }

    /// Starts a stopped broker on the ports it had, and waits until all brokers are there.
    pub fn start_again(&mut self, node: i32) -> Result<()> {
        self.launch(node)?;
        self.wait_ready()
    }

    /// Starts a stopped broker on other ports: the broker has moved.
    pub fn start_elsewhere(&mut self, node: i32) -> Result<()> {
        if self.broker(node)?.process.is_some() {
            return Err(Failure::new(format!("broker {node} is running")));
        }
        self.prepare(node)?;
        self.launch(node)?;
        self.wait_ready()
    }

    /// Adds a broker with the next id, waits until the cluster has it, and gives the id.
    pub fn add_broker(&mut self) -> Result<i32> {
        let node = self.brokers.keys().max().map_or(1, |n| n + 1);
        self.prepare(node)?;
        process::run("kafka.tools.StorageTool", &self.format_command(node)?, b"", READY_LIMIT)?;
        self.launch(node)?;
        self.wait_ready()?;
        Ok(node)
    }

    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.options.host, port)
    }

    fn broker(&self, node: i32) -> Result<&Broker> {
        self.brokers.get(&node).ok_or_else(|| Failure::new(format!("there is no broker {node}")))
    }

    fn running(&self, node: i32) -> Result<&Process> {
        self.broker(node)?.process.as_ref().ok_or_else(|| Failure::new(format!("broker {node} is not running")))
    }

    fn take_process(&mut self, node: i32) -> Result<Process> {
        if self.controllers.len() == 1 && self.controllers.contains_key(&node) {
            return Err(Failure::new(format!("broker {node} is the controller: without it no other broker works")));
        }
        let broker = self.brokers.get_mut(&node);
        broker.and_then(|b| b.process.take()).ok_or_else(|| Failure::new(format!("broker {node} is not running")))
    }

    /// The folder in which a broker keeps a partition's segments.
    pub fn segments(&self, node: i32, topic: &str, partition: i32) -> PathBuf {
        self.home(node).join("data").join(format!("{topic}-{partition}"))
    }

    fn home(&self, node: i32) -> PathBuf {
        self.dir.path().join(format!("broker-{node}"))
    }

    /// Gives a broker its ports and writes its properties.
    fn prepare(&mut self, node: i32) -> Result<()> {
        let port = self.ports.take()?;
        let sasl_port = if self.options.users.is_empty() { None } else { Some(self.ports.take()?) };
        let tls_ports = match self.options.tls {
            None => None,
            Some(_) => Some([self.ports.take()?, self.ports.take()?]),
        };
        let home = self.home(node);
        fs::create_dir_all(&home).during("cannot make the broker's folder")?;
        let front = if self.options.proxied { Some(self.front()?) } else { None };
        let broker = Broker { port, sasl_port, tls_ports, front, process: None };
        let write =
            |name: &str, text: String| fs::write(home.join(name), text).during("cannot write the configuration");
        write("server.properties", self.server_properties(node, &broker))?;
        match self.options.version {
            OLDER => write("log4j.properties", log4j_1_properties(&home, self.options.request_log))?,
            _ => write("log4j2.properties", log4j_properties(&home, self.options.request_log))?,
        }
        self.brokers.insert(node, broker);
        Ok(())
    }

    fn front(&mut self) -> Result<Front> {
        let (port, shown) = (self.ports.take()?, self.ports.take()?);
        Ok(Front { port, proxy: FaultProxy::start(shown, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))? })
    }

    fn server_properties(&self, node: i32, broker: &Broker) -> String {
        let mut listeners = vec![format!("PLAINTEXT://{}", self.at(broker.port))];
        listeners.extend(broker.sasl_port.map(|port| format!("SASL://127.0.0.1:{port}")));
        if let Some([tls, mutual]) = broker.tls_ports {
            listeners.extend([format!("SSL://localhost:{tls}"), format!("MTLS://localhost:{mutual}")]);
        }
        let mut advertised = listeners.clone();
        if let Some(Front { port, proxy }) = &broker.front {
            listeners.push(format!("FRONT://127.0.0.1:{port}"));
            advertised.push(format!("FRONT://{}", proxy.address()));
        }
        let mut roles = "broker";
        if let Some(port) = self.controllers.get(&node) {
            roles = "broker,controller";
            listeners.push(format!("CONTROLLER://127.0.0.1:{port}"));
        }
        let (listeners, advertised) = (listeners.join(","), advertised.join(","));
        let voters: Vec<_> = self.controllers.iter().map(|(node, port)| format!("{node}@127.0.0.1:{port}")).collect();
        let (voters, data) = (voters.join(","), self.home(node).join("data"));
        let mut text = format!(
            "process.roles={roles}\nnode.id={node}\ncontroller.quorum.voters={voters}\n\
             listeners={listeners}\nadvertised.listeners={advertised}\nlog.dirs={}\n{FIXED_PROPERTIES}",
            data.display()
        );
        if broker.sasl_port.is_some() {
            text += &self.sasl_properties();
        }
        if let Some(BrokerTls { key_store, trust_store }) = &self.options.tls {
            for (listener, clients) in [("ssl", "none"), ("mtls", "required")] {
                let prefix = format!("listener.name.{listener}.ssl");
                text += &format!(
                    "{prefix}.keystore.type=PEM\n{prefix}.keystore.location={}\n{prefix}.truststore.type=PEM\n\
                     {prefix}.truststore.location={}\n{prefix}.client.auth={clients}\n",
                    key_store.display(),
                    trust_store.display()
                );
            }
        }
        for line in &self.options.properties {
            text += &format!("{}\n", line.replace("{node}", &node.to_string()));
        }
        text
    }

    fn sasl_properties(&self) -> String {
        let mut text = format!("listener.name.sasl.sasl.enabled.mechanisms={}\n", self.options.mechanisms.join(","));
        for mechanism in &self.options.mechanisms {
            let module = match *mechanism {
                "PLAIN" => {
                    let users =
                        self.options.users.iter().map(|(user, password)| format!(" user_{user}=\"{password}\""));
                    format!("plain.PlainLoginModule required{}", users.collect::<String>())
                }
                "OAUTHBEARER" => {
                    "oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\"".to_owned()
                }
                _ => "scram.ScramLoginModule required".to_owned(),
            };
            let name = mechanism.to_ascii_lowercase();
            text += &format!("listener.name.sasl.{name}.sasl.jaas.config=org.apache.kafka.common.security.{module};\n");
        }
        text
    }

    /// Formats the storage of all brokers side by side: each takes a Java start of its own.
    fn format_all(&self) -> Result<()> {
        let commands: Vec<Command> = self.brokers.keys().map(|&n| self.format_command(n)).collect::<Result<_>>()?;
        std::thread::scope(|scope| {
            let format = |c: &Command| process::run("kafka.tools.StorageTool", c, b"", READY_LIMIT).map(drop);
            let running: Vec<_> = commands.iter().map(|c| scope.spawn(move || format(c))).collect();
            let join = |t: std::thread::ScopedJoinHandle<'_, Result<()>>| {
                t.join().unwrap_or_else(|_| Err(Failure::new("formatting panicked")))
            };
            running.into_iter().try_for_each(join)
        })
    }

    fn format_command(&self, node: i32) -> Result<Command> {
        let mut command = java_of(self.options.version, 64)?;
        command.args(["kafka.tools.StorageTool", "format", "-t", &self.id, "-c"]);
        command.arg(self.home(node).join("server.properties"));
        for mechanism in self.options.mechanisms.iter().filter(|m| m.starts_with("SCRAM-")) {
            for (user, password) in &self.options.users {
                command.args(["--add-scram", &format!("{mechanism}=[name={user},password={password}]")]);
            }
        }
        Ok(command)
    }

    fn launch(&mut self, node: i32) -> Result<()> {
        let home = self.home(node);
        let mut command = jvm(self.options.heap_mib, self.options.for_load);
        command.arg(format!("-Dlog4j2.configurationFile={}", home.join("log4j2.properties").display()));
        command.arg(format!("-Dlog4j.configuration=file:{}", home.join("log4j.properties").display()));
        let own = self.options.classes.iter().map(|folder| format!("{}:", folder.display())).collect::<String>();
        command.arg("-cp").arg(format!("{own}{}", class_path_of(self.options.version)?.display()));
        command.arg("kafka.Kafka").arg(home.join("server.properties"));
        let process = Process::start(&format!("Kafka broker {node}"), &command, &home.join("log"))?;
        let broker = self.brokers.get_mut(&node);
        broker.ok_or_else(|| Failure::new(format!("there is no broker {node}")))?.process = Some(process);
        Ok(())
    }

    /// Waits until every running broker answers Metadata with all running brokers.
    fn wait_ready(&mut self) -> Result<()> {
        let running: Vec<i32> = self.brokers.iter().filter(|(_, b)| b.process.is_some()).map(|(&n, _)| n).collect();
        for broker in self.brokers.values_mut() {
            let Some(process) = &mut broker.process else {
                continue;
            };
            let address = SocketAddr::new(self.options.host, broker.port);
            process.wait_ready("all brokers in its Metadata", READY_LIMIT, || {
                Ok(brokers_known_to(address).is_ok_and(|known| running.iter().all(|n| known.contains(n))).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Waits until the brokers' own Metadata no longer names `node`.
    pub fn wait_gone(&self, node: i32) -> Result<()> {
        let Some(asked) = self.brokers.values().find(|b| b.process.is_some()) else {
            return Err(Failure::new("no broker is running"));
        };
        wait_for(&format!("Metadata without broker {node}"), READY_LIMIT, || {
            Ok((!brokers_known_to(self.at(asked.port))?.contains(&node)).then_some(()))
        })
    }
}

/// What every broker has: single replicas, small internal topics, no waiting, and little memory.
const FIXED_PROPERTIES: &str = "\
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,SSL:SSL,MTLS:SSL,FRONT:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
min.insync.replicas=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=4194304
";

/// Overrides [`FIXED_PROPERTIES`]: of a property that is given twice the last counts.
const HIGHLY_AVAILABLE: &str = "\
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=500
replica.lag.time.max.ms=6000
unclean.leader.election.enable=false
";

fn log4j_properties(home: &Path, request_log: bool) -> String {
    let mut text = String::from(
        "appender.out.type = Console\nappender.out.name = out\nappender.out.layout.type = PatternLayout\n\
         appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1} %m%n\n\
         rootLogger.level = WARN\nrootLogger.appenderRef.out.ref = out\n",
    );
    if request_log {
        text += &format!(
            "appender.requests.type = File\nappender.requests.name = requests\nappender.requests.fileName = {}\n\
             appender.requests.layout.type = PatternLayout\nappender.requests.layout.pattern = %m%n\n\
             logger.requests.name = kafka.request.logger\nlogger.requests.level = DEBUG\n\
             logger.requests.additivity = false\nlogger.requests.appenderRef.requests.ref = requests\n",
            home.join("requests").display()
        );
    }
    text
}

/// The same for the logging that Kafka had before 4.0.
fn log4j_1_properties(home: &Path, request_log: bool) -> String {
    let mut text = String::from(
        "log4j.rootLogger=WARN, out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n\
         log4j.appender.out.layout=org.apache.log4j.PatternLayout\n\
         log4j.appender.out.layout.ConversionPattern=%d{HH:mm:ss.SSS} %p %c{1} %m%n\n",
    );
    if request_log {
        text += &format!(
            "log4j.logger.kafka.request.logger=DEBUG, requests\nlog4j.additivity.kafka.request.logger=false\n\
             log4j.appender.requests=org.apache.log4j.FileAppender\nlog4j.appender.requests.File={}\n\
             log4j.appender.requests.layout=org.apache.log4j.PatternLayout\n\
             log4j.appender.requests.layout.ConversionPattern=%m%n\n",
            home.join("requests").display()
        );
    }
    text
}

/// `java` with Kafka's jars, for tools that run briefly: the class to run and its arguments follow.
pub fn java(heap_mib: u32) -> Result<Command> {
    java_of(VERSION, heap_mib)
}

/// The same with the jars of another version.
pub fn java_of(version: &str, heap_mib: u32) -> Result<Command> {
    let mut command = jvm(heap_mib, false);
    command.arg("-cp").arg(class_path_of(version)?);
    Ok(command)
}

/// Short runs never earn back what the second compiler and a parallel collector cost: a third of a broker's start.
fn jvm(heap_mib: u32, for_load: bool) -> Command {
    let mut command = Command::new("java");
    command.args([format!("-Xmx{heap_mib}m"), "-XX:+UseSerialGC".to_owned()]);
    if !for_load {
        command.arg("-XX:TieredStopAtLevel=1");
    }
    command
}

/// What `java -cp` takes to run Kafka and its tools.
pub fn class_path() -> Result<PathBuf> {
    class_path_of(VERSION)
}

fn class_path_of(version: &str) -> Result<PathBuf> {
    let libs = cache()?.join("kafka").join(version).join("libs");
    if !libs.is_dir() {
        return Err(Failure::new(format!("no Kafka jars in {}: run `make setup-test`", libs.display())));
    }
    Ok(libs.join("*"))
}

fn brokers_known_to(address: SocketAddr) -> Result<Vec<i32>> {
    let answer = Connection::open(address)?.call(12, &MetadataRequest::default().with_topics(Some(Vec::new())))?;
    Ok(answer.brokers.iter().map(|b| b.node_id.0).collect())
}

fn join(addresses: impl Iterator<Item = SocketAddr>) -> String {
    addresses.map(|address| address.to_string()).collect::<Vec<_>>().join(",")
}
