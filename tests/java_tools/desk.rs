//! Where the tools are tried: three brokers, a gateway on each runtime, and a JVM a test that runs one tool after another.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use loadtest::clients::{Ran, Toolbox};
use loadtest::kafka::{self, Cluster};
use loadtest::process::Process;
use loadtest::scratch::Scratch;
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use serde_json::Value;

use crate::common;

pub const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
pub const CONFIGS: &str = "kafka.admin.ConfigCommand";
pub const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
pub const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
pub const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
pub const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

/// A machine busy with brokers and Java takes its time.
const SOON: Duration = Duration::from_secs(60);

/// Three brokers with an authorizer that lets everybody do everything, since Weir stands in front of it; and Weir twice.
pub struct Scene {
    pub cluster: Cluster,
    pub gateways: [Gateway; 2],
}

/// All tests share it, and each keeps to names of its own.
pub fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        let properties = [
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
            "delegation.token.secret.key=what-tokens-are-made-of",
        ];
        let properties = properties.map(ToOwned::to_owned).to_vec();
        let cluster = Cluster::start(3, kafka::Options { properties, ..Default::default() }).unwrap();
        let gateways = common::RUNTIMES.map(|runtime| before(&cluster, runtime, &[]));
        Scene { cluster, gateways }
    })
}

/// A gateway in front of the cluster, its listener with these further keys.
pub fn before(cluster: &Cluster, runtime: &str, listener: &[&str]) -> Gateway {
    let mut options = Options::new(cluster.bootstrap()).runtime(runtime);
    options.listener = listener.iter().map(|&key| key.to_owned()).collect();
    common::gateway_before(cluster, options)
}

/// For tests that set what all brokers have in common, such as throttles, or look at it: one of them at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The gateways with names for what a test makes through each: `topic` becomes `topic-epoll`.
pub fn sides(name: &str) -> [(&'static Gateway, String); 2] {
    [0, 1].map(|n| (&scene().gateways[n], format!("{name}-{}", common::RUNTIMES[n])))
}

/// One test's JVM, and a folder for the files that tools take.
pub struct Desk {
    toolbox: Toolbox,
    dir: Scratch,
}

impl Desk {
    pub fn new() -> Self {
        scene();
        Self { toolbox: Toolbox::start().unwrap(), dir: Scratch::new("weir-desk-").unwrap() }
    }

    /// Runs a tool through the gateway: it has to succeed. Gives its standard output.
    pub fn through(&mut self, gateway: &Gateway, tool: &str, args: &str) -> String {
        self.through_with(gateway, tool, args, "")
    }

    /// The same, with this on its standard input.
    pub fn through_with(&mut self, gateway: &Gateway, tool: &str, args: &str, input: &str) -> String {
        let ran = self.run(&gateway.bootstrap(), tool, args, input);
        shows_no_broker(&ran, gateway);
        succeeded(ran)
    }

    /// Runs a tool through the gateway: it has to fail, and gives all that it said.
    pub fn refused(&mut self, gateway: &Gateway, tool: &str, args: &str) -> String {
        let ran = self.run(&gateway.bootstrap(), tool, args, "");
        shows_no_broker(&ran, gateway);
        assert_ne!(ran.status, 0, "{} succeeded: {}", ran.command, ran.stdout);
        format!("{}{}", ran.stdout, ran.stderr)
    }

    /// Runs a tool at the brokers themselves: the truth.
    pub fn direct(&mut self, tool: &str, args: &str) -> String {
        succeeded(self.run(&scene().cluster.bootstrap(), tool, args, ""))
    }

    /// Runs a tool both ways: it has to show the same, but for the gateway's addresses in place of the brokers'. Lines may
    /// come in another order. Gives what it showed at the brokers.
    pub fn same(&mut self, gateway: &Gateway, tool: &str, args: &str) -> String {
        let mut through = self.through(gateway, tool, args);
        for (node, address) in scene().cluster.addresses() {
            through = through.replace(&gateway.broker_address(node).unwrap().to_string(), &address.to_string());
        }
        let direct = self.direct(tool, args);
        assert_eq!(sorted(&through), sorted(&direct), "{tool} {args}");
        direct
    }

    /// Asks the brokers until they say what is expected: what a tool starts may end later, and brokers learn of it one by
    /// one.
    pub fn until(&mut self, tool: &str, args: &str, expected: impl Fn(&str) -> bool) -> String {
        let mut said = String::new();
        let waited = wait_for("the brokers to say what is expected", SOON, || {
            said = self.direct(tool, args);
            Ok(expected(&said).then_some(()))
        });
        waited.unwrap_or_else(|e| panic!("{tool} {args}: {said}: {e}"));
        said
    }

    /// Runs a tool; `AT` among its arguments says where the address goes, which else comes first.
    fn run(&mut self, bootstrap: &str, tool: &str, args: &str, input: &str) -> Ran {
        let mut words: Vec<&str> = args.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "AT");
        let at = at.map_or(0..0, |at| at..at + 1);
        words.splice(at, ["--bootstrap-server", bootstrap]);
        self.toolbox.run(tool, &words, input).unwrap()
    }

    /// Writes a file that a tool takes, and gives its path.
    pub fn file(&self, name: &str, json: &Value) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, json.to_string()).unwrap();
        path.display().to_string()
    }
}

fn succeeded(ran: Ran) -> String {
    assert_eq!(ran.status, 0, "{}: {}{}", ran.command, ran.stdout, ran.stderr);
    ran.stdout
}

/// Every `127.0.0.1:PORT` that a tool shows is the gateway's.
fn shows_no_broker(ran: &Ran, gateway: &Gateway) {
    let said = format!("{}{}", ran.stdout, ran.stderr);
    for after in said.split("127.0.0.1:").skip(1) {
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        let owned = digits.parse().is_ok_and(|port| gateway.owns_port(port));
        assert!(owned, "{}: port {digits} is not the gateway's: {said}", ran.command);
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines
}

/// The columns of the one line in which this stands.
pub fn columns<'a>(table: &'a str, with: &str) -> Vec<&'a str> {
    let mut lines = table.lines().filter(|line| line.split_whitespace().any(|word| word == with));
    let (Some(line), None) = (lines.next(), lines.next()) else { panic!("no single line with {with}: {table}") };
    line.split_whitespace().collect()
}

/// The columns of the one line that begins with this.
pub fn row<'a>(table: &'a str, first: &str) -> Vec<&'a str> {
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.find(|row| row.first() == Some(&first)).unwrap_or_else(|| panic!("no line begins with {first}: {table}"))
}

/// A client that goes on until it is dropped, through the gateway.
pub fn start_client(gateway: &Gateway, dir: &Path, tool: &str, args: &str) -> Process {
    let mut command = kafka::java(128).unwrap();
    command.args([tool, "--bootstrap-server", &gateway.bootstrap()]).args(args.split_whitespace());
    Process::start(tool, &command, &dir.join("client.log")).unwrap()
}

/// Makes a topic and fills partition 0, all through the gateway.
pub fn filled_topic(desk: &mut Desk, gateway: &Gateway, topic: &str, records: u32) {
    desk.through(gateway, TOPICS, &format!("--create --topic {topic} --replica-assignment 1:2"));
    desk.until(OFFSETS, &format!("--topic {topic}"), |said| said.trim() == format!("{topic}:0:0"));
    let lines: String = (0..records).map(|n| format!("value {n}\n")).collect();
    desk.through_with(gateway, PRODUCER, &format!("--topic {topic}"), &lines);
}
