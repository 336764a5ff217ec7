//! TLS before the API: with it the API is served anywhere, without it on loopback addresses only.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use loadtest::ports::Block;
use loadtest::process::Process;
use loadtest::scratch::Scratch;
use loadtest::tls::{A_DAY, Authority, Files, replace};
use loadtest::wait_for;

use crate::rig::{Answer, ROLES, send};

const LIMIT: Duration = Duration::from_secs(20);

/// A gateway that listens so, and curl, which trusts its authority.
struct World {
    dir: Scratch,
    authority: Authority,
    address: SocketAddr,
    _process: Process,
    _ports: Block,
}

impl World {
    fn start(host: &str, control: &str) -> World {
        let (dir, authority) = (Scratch::new("weir-api-tls-").unwrap(), Authority::new("weir test").unwrap());
        replace(&dir.path().join("ca.pem"), &authority.pem()).unwrap();
        let files = issue(&authority, &dir, "weir");
        let mut ports = Block::claim().unwrap();
        let port = ports.take().unwrap();
        let (listener, broker) = (ports.take().unwrap(), ports.take().unwrap());
        let tls = format!("{{ certificate: {}, key: {} }}", files.certificate.display(), files.key.display());
        let control = control.replace("TLS", &tls);
        let yaml = format!(
            "store: {{ path: ./data }}\ncontrol: {{ bind: \"{host}:{port}\"{control} }}\n\
             clusters: [{{ name: main, bootstrap: [\"127.0.0.1:1\"] }}]\nlisteners:\n  - {{ name: main, cluster: main, \
             bind: \"127.0.0.1:{listener}\", brokers: \"127.0.0.1:{broker}-{broker}\", auth: [weir_token] }}\n"
        );
        std::fs::write(dir.path().join("weir.yaml"), yaml).unwrap();
        let command = weir(&dir, &["serve"]);
        let mut process = Process::start("weir serve", &command, &dir.path().join("log")).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listens = || Ok(std::net::TcpStream::connect(address).ok().map(drop));
        process.wait_ready("its control address", LIMIT, listens).unwrap();
        World { dir, authority, address, _process: process, _ports: ports }
    }

    fn token(&self, groups: &str) -> String {
        let args = ["token", "create", "--subject", "ann", "--groups", groups, "--ttl", "1h", "--json"];
        let output = weir(&self.dir, &args).output().unwrap();
        let created: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        created["token"].as_str().unwrap().to_owned()
    }

    /// What curl, a client with a TLS library of its own, gets; none where it trusts not what it finds.
    fn curl(&self, path: &str, token: &str) -> Option<Answer> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--include", "--max-time", "20", "--cacert"]).arg(self.dir.path().join("ca.pem"));
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
        let output = command.arg(format!("https://localhost:{}{path}", self.address.port())).output().unwrap();
        output.status.success().then(|| Answer::parse(&String::from_utf8(output.stdout).unwrap()))
    }
}

fn weir(dir: &Scratch, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(args).arg("--config").arg(dir.path().join("weir.yaml"));
    command
}

fn issue(authority: &Authority, dir: &Scratch, name: &str) -> Files {
    authority.issue(&[("CN", "weir")], &["localhost", "127.0.0.1"], A_DAY).unwrap().write(dir.path(), name).unwrap()
}

#[test]
fn with_tls_the_api_is_served_anywhere_and_certificates_are_followed() {
    let world = World::start("0.0.0.0", &format!(", tls: TLS, {ROLES}"));
    let token = world.token("platform");
    let answer = world.curl("/api/v1/tokens", &token).unwrap();
    assert_eq!((answer.status, answer.json()["tokens"][0]["subject"].as_str()), (200, Some("ann")));
    for path in ["/healthz", "/requests/r-aaaaaaaa"] {
        assert_eq!(world.curl(path, &token).unwrap().status, 200, "{path}");
    }

    let stranger = Authority::new("stranger").unwrap();
    issue(&stranger, &world.dir, "weir");
    let taken_over = || Ok(world.curl("/healthz", &token).is_none().then_some(()));
    wait_for("another certificate", LIMIT, taken_over).unwrap();
    issue(&world.authority, &world.dir, "weir");
    let taken_back = || Ok(world.curl("/healthz", &token).map(drop));
    wait_for("the certificate", LIMIT, taken_back).unwrap();
}

#[test]
fn without_tls_other_addresses_serve_monitoring_and_no_api() {
    let world = World::start("0.0.0.0", "");
    let login = format!("Authorization: Bearer {}", world.token("platform"));
    for path in ["/metrics", "/healthz"] {
        assert_eq!(send(world.address, "GET", path, &[], "").status, 200, "{path}");
    }
    for path in
        ["/api/v1/health", "/api/v1/tokens", "/api/v1/openapi.json", "/requests/r-aaaaaaaa", "/requests/page.js"]
    {
        let refused = send(world.address, "GET", path, &[&login], "");
        assert_eq!(refused.status, 404, "{path}");
        assert!(refused.problem().contains("control.tls"), "{refused:?}");
    }
}
