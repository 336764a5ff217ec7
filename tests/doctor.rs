//! `weir doctor`: a healthy gateway in front of a real broker is told so, and each thing that would hurt in production is
//! found, with its remedy and its exit code.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod credentials_support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use credentials_support::*;
use loadtest::ports::Block;
use loadtest::weir::Gateway;
use serde_json::Value;
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3600);

/// A configuration of the test's own: what a case changes stands as a line of its own.
struct Setup {
    folder: TempDir,
    text: String,
    _ports: Block,
}

impl Setup {
    fn new() -> Self {
        let mut ports = Block::claim().unwrap();
        let (listener, control) = (ports.take().unwrap(), ports.take().unwrap());
        let (first, last) = ports.rest().unwrap();
        let text = format!(
            "store:\n  path: ./data\n\
             control:\n  bind: \"127.0.0.1:{control}\"\n\
             clusters:\n  - name: main\n    bootstrap: [\"{}\"]\n\
             listeners:\n  - name: main\n    cluster: main\n    bind: \"127.0.0.1:{listener}\"\n    \
             brokers: \"127.0.0.1:{first}-{last}\"\n    auth: [anonymous]\n",
            cluster().bootstrap()
        );
        Self { folder: tempfile::tempdir().unwrap(), text, _ports: ports }
    }

    fn change(mut self, from: &str, to: &str) -> Self {
        assert_eq!(self.text.matches(from).count(), 1, "the case must change one place: {from}\n{}", self.text);
        self.text = self.text.replace(from, to);
        self
    }

    fn path(&self) -> PathBuf {
        let path = self.folder.path().join("weir.yaml");
        fs::write(&path, &self.text).unwrap();
        path
    }

    fn weir(&self, args: &[&str]) -> Output {
        run(weir(&self.path(), args))
    }

    fn findings(&self) -> Findings {
        Findings::of(&self.weir(&["doctor", "--json"]))
    }
}

fn weir(config: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(args).arg("--config").arg(config).env_remove("WEIR_CONFIG").env("WEIR_SECRET", PASSWORD);
    command
}

fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// What the doctor said, and its exit code.
#[derive(Debug)]
struct Findings {
    all: Vec<Value>,
    code: i32,
}

impl Findings {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let code = output.status.code().unwrap();
        let worst = |level: &str| all.iter().any(|finding| finding["level"] == level);
        let due = if worst("problem") {
            5
        } else if worst("warning") {
            4
        } else {
            0
        };
        assert_eq!(code, due, "{all:#?} {}", String::from_utf8_lossy(&output.stderr));
        Self { all, code }
    }

    fn get(&self, id: &str) -> &Value {
        self.all.iter().find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("no {id} in {self:#?}"))
    }

    /// The finding is there, says so, and has a remedy that says so.
    fn has(&self, id: &str, level: &str, found: &str, remedy: &str) {
        let hit = self.all.iter().any(|finding| {
            let says = |key: &str, what: &str| finding[key].as_str().is_some_and(|text| text.contains(what));
            finding["id"] == id
                && finding["level"] == level
                && says("found", found)
                && (level == "ok" || says("why", "") && says("remedy", remedy))
        });
        assert!(hit, "no {id} of level {level} that says {found:?} and advises {remedy:?}: {self:#?}");
    }

    fn without_problems(&self) {
        assert!(self.all.iter().all(|finding| finding["level"] != "problem"), "{self:#?}");
    }
}

#[test]
fn a_healthy_gateway_is_told_so_while_it_runs() {
    let endpoint = endpoint(HOUR);
    for mechanism in ["scram-sha-256", "oauthbearer"] {
        let options = options(mechanism, secret_of(mechanism), &endpoint);
        let gateway = Gateway::start(env!("CARGO_BIN_EXE_weir"), options).unwrap();
        let mut command = weir(&gateway.config_path(), &["doctor", "--json"]);
        command.env("WEIR_SECRET", secret_of(mechanism));
        let findings = Findings::of(&run(command));
        findings.without_problems();
        findings.has("upstream_bootstrap", "ok", "lets Weir in", "");
        findings.has("broker", "ok", "speaks like Kafka 4.3", "");
        findings.has("broker_ports", "ok", "has a port for every broker (1)", "");
        findings.has("api_versions", "ok", "nothing of what clients may use is newer", "");
        findings.has("upstream_clock", "ok", "the clock of its controller and ours agree", "");
        findings.has("addresses", "ok", "held by the running gateway", "");
        findings.has("core_files", "ok", "the gateway writes none", "");
        findings.has("anonymous", "ok", "nobody from elsewhere", "");
        findings.has("store_folder", "ok", "mode 0700", "");
        for id in ["runtime", "cores", "open_files", "memory", "file_system", "store_room", "policy", "control"] {
            findings.get(id);
        }
        let pid = gateway.pid().unwrap().to_string();
        assert!(findings.get("open_files")["found"].as_str().unwrap().contains(&format!("(process {pid})")));
        if mechanism == "oauthbearer" {
            findings.has("upstream_token", "ok", "which live 1h00m", "");
        }
    }
}

#[test]
fn without_a_gateway_it_looks_as_well_and_leaves_nothing_behind() {
    let setup = Setup::new();
    let findings = setup.findings();
    findings.without_problems();
    findings.has("addresses", "ok", "no gateway runs", "");
    findings.has("store_folder", "ok", "not there yet", "");
    assert!(!setup.folder.path().join("data").exists());
    let shown = setup.weir(&["doctor"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.status.code(), Some(findings.code));
    assert!(text.contains("broker 1 of main") && text.contains("\n0 problems, "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour where no terminal is: {text}");
}

#[test]
fn brokers_that_cannot_be_reached_or_do_not_let_weir_in_are_problems() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = taken.local_addr().unwrap().to_string();
    drop(taken);
    let bootstrap = cluster().bootstrap();
    let setup = Setup::new().change(&bootstrap, &closed);
    setup.findings().has("upstream_bootstrap", "problem", &closed, "see that the broker runs");
    let setup = Setup::new().change(&format!("\"{bootstrap}\""), &format!("\"{bootstrap}\", \"{closed}\""));
    setup.findings().has("upstream_bootstrap", "warning", &closed, "see that the broker runs");
    let setup = Setup::new().change(&bootstrap, "broker.invalid:9092");
    setup.findings().has("upstream_bootstrap", "problem", "its name does not resolve", "known to this machine's DNS");

    let sasl = cluster().sasl_bootstrap();
    let login = |sasl_section: &str| {
        Setup::new().change(&format!("[\"{bootstrap}\"]"), &format!("[\"{sasl}\"]\n    sasl: {{ {sasl_section} }}"))
    };
    let wrong = login("mechanism: scram-sha-512, username: nobody, password: { env: WEIR_SECRET }");
    wrong.findings().has("upstream_bootstrap", "problem", "the broker refused Weir's own login", "`sasl` section");
    let endpoint = endpoint(HOUR);
    let refused = format!(
        "mechanism: oauthbearer, token_endpoint: \"{}\", client_id: {CLIENT}, client_secret: {{ env: WEIR_SECRET }}",
        endpoint.url()
    );
    let findings = login(&refused).findings();
    findings.has("upstream_token", "problem", "HTTP status 401 (invalid_client", "that Weir is registered there");
    assert!(!format!("{findings:?}").contains(PASSWORD), "{findings:#?}");
    let plaintext = Setup::new().change(&bootstrap, &sasl);
    plaintext.findings().has("upstream_metadata", "problem", "it does not tell its brokers", "say in `sasl` how");
}

#[test]
fn a_broker_without_a_port_and_a_machine_without_descriptors_are_found() {
    let setup = Setup::new();
    let at = setup.text.find("brokers: ").unwrap();
    let line = setup.text[at..].lines().next().unwrap().to_owned();
    let first = line.split([':', '-']).nth(2).unwrap().to_owned();
    let setup = setup.change(&line, &format!("brokers: \"127.0.0.1:{first}-{first}\""));
    let port = first.parse::<u16>().unwrap() + 1;
    let reach = format!("let `brokers` reach to port {port}");
    setup.findings().has("broker_ports", "problem", "has no port for broker 1", &reach);

    let setup = Setup::new();
    let mut limited = Command::new("sh");
    let script = "ulimit -n 512; exec \"$0\" doctor --json --config \"$1\"";
    limited.args(["-c", script, env!("CARGO_BIN_EXE_weir")]).arg(setup.path());
    let findings = Findings::of(&run(limited));
    findings.has("open_files", "warning", "hard limit 512 (of this shell", "LimitNOFILE=");
}

#[test]
fn what_is_open_to_everybody_and_ports_that_are_taken_are_found() {
    let setup = Setup::new();
    let control = setup.text.find("bind: \"127.0.0.1:").unwrap();
    let control = setup.text[control..].lines().next().unwrap().to_owned();
    let open = control.replace("127.0.0.1", "0.0.0.0");
    setup.change(&control, &open).findings().has("control", "warning", "may be reached from elsewhere", "loopback");

    let setup = Setup::new();
    let bind = setup.text.rfind("bind: \"127.0.0.1:").unwrap();
    let bind = setup.text[bind..].lines().next().unwrap().to_owned();
    let open = format!("{}\n    advertised: 127.0.0.1", bind.replace("127.0.0.1", "0.0.0.0"));
    let findings = setup.change(&bind, &open).findings();
    findings.has("anonymous", "warning", "lets anybody in without a login on 0.0.0.0", "take `anonymous` out");

    let setup = Setup::new().change("control:", "policy: missing.yaml\ncontrol:");
    setup.findings().has("policy", "warning", "missing.yaml does not exist", "create it");

    let setup = Setup::new();
    let bind = setup.text.rfind("bind: \"").unwrap();
    let address = setup.text[bind..].split('"').nth(1).unwrap().to_owned();
    let _taken = TcpListener::bind(address.parse::<SocketAddr>().unwrap()).unwrap();
    setup.findings().has(
        "addresses",
        "problem",
        &format!("{address} cannot be listened on"),
        "stop what listens there",
    );
}

#[test]
fn a_store_in_a_bad_place_is_found() {
    let huge =
        Setup::new().change("path: ./data", "path: ./data\n  journal: 4GiB").change("store:", "shards: 1024\nstore:");
    let findings = huge.findings();
    findings.has("store_room", "problem", "are needed", "lower `store.journal`");
    findings.has("cores", "warning", "1024 shards, not pinned", "set `shards: ");
    findings.has("memory", "warning", "4.0 TiB of it journals", "`shards` or `store.journal`");

    let in_memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let setup = Setup::new().change("./data", &in_memory.path().join("data").display().to_string());
    setup.findings().has("file_system", "warning", "on tmpfs", "put it on a local disk");

    let setup = Setup::new();
    let data = setup.folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    setup.findings().has("store_folder", "warning", "is 0755", "chmod 700");
    fs::remove_dir(&data).unwrap();
    fs::write(&data, "a file").unwrap();
    setup.findings().has("store_folder", "problem", "is not a folder", "choose another `store.path`");
}

#[test]
fn tokens_that_nobody_can_use_any_more_are_found() {
    let setup = Setup::new().change("[anonymous]", "[weir_token]");
    setup.findings().has("tokens", "warning", "there are none", "weir token create");
    let create = |ttl: &str| {
        let made = setup.weir(&["token", "create", "--subject", "analyst-7", "--ttl", ttl]);
        assert!(made.status.success(), "{made:?}");
    };
    create("1s");
    std::thread::sleep(Duration::from_millis(1100));
    setup.findings().has("tokens", "warning", "none of 1 is active", "weir token create");
    create("30d");
    setup.findings().has("tokens", "ok", "1 active, none ends within 7 days", "");
    create("2d");
    setup.findings().has(
        "tokens",
        "warning",
        "1 of 2 active ones end within 7 days; the first, ",
        "hand them out in time",
    );
}

#[test]
fn an_issuer_that_is_away_or_lives_in_another_time_is_found() {
    let with = |url: &str| {
        let issuer =
            format!("issuers:\n  - {{ name: idp, issuer: \"{url}\", jwks: \"{url}/keys\", audience: [kafka] }}\n");
        Setup::new()
            .change("listeners:", &format!("{issuer}listeners:"))
            .change("[anonymous]", "[jwt]\n    issuers: [idp]")
    };
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    with(&url).findings().has("issuer", "problem", "cannot be reached", "check `issuer`, `jwks`");
    let past = with(&keys_served_with("Tue, 24 Nov 2020 10:00:00 GMT"));
    past.findings().has(
        "issuer_clock",
        "problem",
        "s behind ours; `clock_skew` tolerates 30 s",
        "synchronize both clocks",
    );
    let future = with(&keys_served_with("Fri, 24 Nov 2090 10:00:00 GMT"));
    future.findings().has("issuer_clock", "problem", "s ahead of ours", "synchronize both clocks");
}

/// An issuer's keys over HTTP, with this `Date`.
fn keys_served_with(date: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let keys = r#"{"keys":[{"kty":"EC","kid":"one","use":"sig","alg":"ES256","crv":"P-256",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let length = keys.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {length}\r\n\r\n{keys}");
        }
    });
    url
}

#[test]
fn a_configuration_that_is_wrong_is_told_so_and_nothing_is_looked_at() {
    let output = Setup::new().change("cluster: main", "cluster: other").weir(&["doctor"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("listeners[0].cluster"));
}
