//! What Weir logs in with is nowhere to be found: secrets of every mechanism are planted, used well and badly, and looked
//! for in logs at their most talkative, in the store, in what commands and monitoring show, and in the process's memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod credentials_support;

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use credentials_support::*;
use kafka_protocol::messages::MetadataRequest;
use loadtest::admin;
use loadtest::batch::Batch;
use loadtest::token_endpoint::TokenEndpoint;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use loadtest::{http, wait_for};
use regex::bytes::Regex;

const SOON: Duration = Duration::from_secs(20);

const WRONG: &str = "planted+wrong/secret=77ab";

fn talkative(mechanism: &str, secret: &str, endpoint: &TokenEndpoint) -> Options {
    let mut options = options(mechanism, secret, endpoint);
    options.top.push("log: { level: trace }".to_owned());
    options
}

/// The forms in which a secret could turn up.
fn forms(client: &str, secret: &str) -> Vec<String> {
    let encoded: String = secret.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let basic = STANDARD.encode(format!("{client}:{encoded}"));
    let plain = STANDARD.encode(format!("\0{client}\0{secret}"));
    [secret.to_owned(), encoded, basic, plain, STANDARD.encode(secret)].into()
}

/// Finds any of them in one pass: journals are large.
fn finder(secrets: &[String]) -> Regex {
    let escaped: Vec<String> = secrets.iter().map(|secret| regex::escape(secret)).collect();
    Regex::new(&escaped.join("|")).unwrap()
}

/// Looks for the secrets wherever the gateway leaves something.
fn nowhere(gateway: &Gateway, mechanism: &str, secrets: &[String]) {
    let secrets = finder(secrets);
    let mut places = vec![("the log".to_owned(), gateway.log().into_bytes())];
    for path in ["/metrics", "/readyz"] {
        if let Ok((_, body)) = http::get(gateway.control(), path) {
            places.push((path.to_owned(), body.into_bytes()));
        }
    }
    let sessions = gateway.weir(&["sessions", "--json"]).unwrap();
    for session in sessions.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        let shown = gateway.weir(&["show", session["id"].as_str().unwrap(), "--json"]).unwrap();
        places.push(("weir show".to_owned(), shown.stdout.into_bytes()));
    }
    places.push(("weir sessions".to_owned(), sessions.stdout.into_bytes()));
    for file in files_below(&gateway.store_path()) {
        places.push((file.display().to_string(), fs::read(&file).unwrap_or_default()));
    }
    for (place, bytes) in places {
        let found = secrets.find(&bytes).map(|found| found.as_bytes().escape_ascii().to_string());
        assert_eq!(found, None, "{mechanism}: in {place}");
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn no_secret_is_logged_recorded_or_shown() {
    admin::create_topic(cluster(), "kept-secrets", &[1]).unwrap();
    for mechanism in MECHANISMS {
        // Tokens that end soon, so that there are several, and sessions that are renewed with them.
        let endpoint = endpoint(Duration::from_secs(4));
        let good = talkative(mechanism, secret_of(mechanism), &endpoint);
        let mut gateway = Gateway::start(env!("CARGO_BIN_EXE_weir"), good).unwrap();
        let mut lives = Connection::open(broker(&gateway)).unwrap();
        for _ in 0..4 {
            let request = MetadataRequest::default().with_topics(Some(Vec::new()));
            lives.call(12, &request).unwrap();
            std::thread::sleep(SESSION / 3);
        }
        admin::produce(broker(&gateway), "kept-secrets", 0, Batch::counting(2).bytes()).unwrap();
        endpoint.behave(|behaviour| behaviour.works = false);
        gateway.kill9().unwrap();
        // The kernel takes an io_uring apart, and the sockets in it, a moment after the process is gone.
        let doors = [gateway.address(), gateway.broker_address(1).unwrap()];
        let free = || Ok(doors.iter().all(|door| TcpListener::bind(door).is_ok()).then_some(()));
        wait_for("the addresses of the killed gateway", SOON, free).unwrap();
        endpoint.behave(|behaviour| behaviour.works = true);
        gateway.start_again().unwrap();
        admin::produce(broker(&gateway), "kept-secrets", 0, Batch::counting(2).bytes()).unwrap();

        let mut refused = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), talkative(mechanism, WRONG, &endpoint)).unwrap();
        refused.start_unready().unwrap();
        wait_for("a refused login", SOON, || {
            let (status, body) = http::get(refused.control(), "/readyz")?;
            Ok((status == 503 && body.contains("refuse")).then_some(()))
        })
        .unwrap();
        let mut connection = Connection::open(refused.address()).unwrap();
        connection.send(12, &MetadataRequest::default().with_topics(Some(Vec::new()))).unwrap();
        assert!(connection.closes_within(SOON).unwrap());

        let mut secrets = forms(USER, PASSWORD);
        secrets.extend(forms(CLIENT, CLIENT_SECRET));
        secrets.extend(forms(if mechanism == "oauthbearer" { CLIENT } else { USER }, WRONG));
        secrets.extend(endpoint.asked().into_iter().filter_map(|asked| asked.token));
        nowhere(&gateway, mechanism, &secrets);
        nowhere(&refused, mechanism, &secrets);
    }
}

/// The one copy of a secret is the credential's; what logins and token requests made of it on the way is wiped.
#[test]
fn the_process_holds_a_secret_once() {
    let endpoint = endpoint(Duration::from_secs(3600));
    for mechanism in MECHANISMS {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, secret_of(mechanism)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut options = options(mechanism, "", &endpoint);
        // From a file: what is in the environment stays there, and the kernel shows it.
        options.env = vec![("WEIR_ALLOW_CORE".to_owned(), "1".to_owned())];
        let line = options.cluster[0].replace("env: WEIR_SECRET", &format!("file: \"{}\"", file.display()));
        options.cluster[0] = line;
        let gateway = Gateway::start(env!("CARGO_BIN_EXE_weir"), options).unwrap();
        let door = broker(&gateway);
        for _ in 0..20 {
            let request = MetadataRequest::default().with_topics(Some(Vec::new()));
            Connection::open(door).unwrap().call(12, &request).unwrap();
        }
        let copies = copies_in_memory(gateway.pid().unwrap(), secret_of(mechanism));
        assert_eq!(copies, 1, "{mechanism}");
    }
}

/// How often `secret` stands in the private memory of a process: heap, stacks, everything it may write to.
fn copies_in_memory(pid: u32, secret: &str) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let secret_once = finder(&[secret.to_owned()]);
    let mut copies = 0;
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let (mut at, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut piece = vec![0; 1 << 20];
        while at < to {
            let wanted = usize::try_from(to - at).unwrap().min(piece.len());
            // What has gone since, or was never there, holds nothing.
            let read = memory.read_at(&mut piece[..wanted], at).unwrap_or(0);
            copies += secret_once.find_iter(&piece[..read]).count();
            // The next piece begins early enough for what lies across the border, and too late to count twice.
            at += if read < wanted || at + read as u64 == to { wanted } else { read - secret.len() + 1 } as u64;
        }
    }
    copies
}

#[test]
fn no_core_file_and_no_neighbour_gets_at_the_memory() {
    let endpoint = endpoint(Duration::from_secs(3600));
    let limits = |gateway: &Gateway| {
        let text = fs::read_to_string(format!("/proc/{}/limits", gateway.pid().unwrap())).unwrap();
        text.lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned()
    };
    let started = |allow: bool| {
        let mut options = options("plain", PASSWORD, &endpoint);
        if allow {
            options.env.push(("WEIR_ALLOW_CORE".to_owned(), "1".to_owned()));
        }
        Gateway::start(env!("CARGO_BIN_EXE_weir"), options).unwrap()
    };
    let (private, open) = (started(false), started(true));
    let words: Vec<String> = limits(&private).split_whitespace().map(ToOwned::to_owned).collect();
    assert_eq!(words[4..6], ["0", "0"], "{words:?}");
    assert!(open.log().contains("WEIR_ALLOW_CORE is set"), "{}", open.log());
    // Files of a process that is not dumpable belong to root; those of another, to its user. As root there is no telling.
    if rustix::process::getuid().is_root() {
        return;
    }
    assert!(File::open(format!("/proc/{}/mem", private.pid().unwrap())).is_err());
}
