//! Keys, routing keys and URLs are nowhere to be found but where they are sent.

use std::fs;
use std::path::{Path, PathBuf};

use loadtest::receiver::{Answer, Receiver};
use loadtest::{http, wait_for};
use weir::control::NoticeKind;

use crate::{SECRET, SOON, Secrets, gateway_that, write_notices};

const ROUTING_KEY: &str = "pl4nt3dr0ut1ngk3y000000000000000";

#[test]
fn no_secret_of_a_webhook_is_logged_stored_or_shown() {
    let receiver = Receiver::start().unwrap();
    // One that sends back all it got.
    receiver.answer(|heard| Answer {
        status: 400,
        body: format!("{} {}", heard.line, heard.body),
        ..Answer::default()
    });
    let secrets = Secrets::new();
    let slack = secrets.file("slack", &receiver.url("/services/T0/B0/plantedslack"));
    let (signing, routing) = (secrets.file("signing", SECRET), secrets.file("routing", ROUTING_KEY));
    let url = receiver.url("/hook?token=plantedquery");
    let webhooks = [
        format!("name: slack, url: {slack}, format: slack, allow_private: true"),
        format!(
            "name: pager, url: \"{}\", format: pagerduty, secret: {routing}, allow_private: true",
            receiver.url("/v2")
        ),
        format!(
            "name: ops, url: {}, format: cloudevents, secret: {signing}, allow_private: true",
            secrets.file("url", &url)
        ),
    ];
    let mut gateway = gateway_that(&webhooks, |options| options.top.push("log: { level: trace }".to_owned()));
    gateway.stop().unwrap();
    write_notices(&gateway.store_path(), NoticeKind::RequestCreated, ["a".to_owned()].into_iter());
    gateway.start_unready().unwrap();
    let mut places = Vec::new();
    for name in ["slack", "pager", "ops"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["webhook", "test", name, "--config"])
            .arg(gateway.config_path())
            .output()
            .unwrap();
        places.push((format!("weir webhook test {name}"), [output.stdout, output.stderr].concat()));
    }
    wait_for("dead letters", SOON, || {
        Ok((gateway.weir_json(&["webhook", "dead"])?.len() == webhooks.len()).then_some(()))
    })
    .unwrap();
    for command in ["list", "dead"] {
        places.push((command.to_owned(), gateway.weir(&["webhook", command, "--json"]).unwrap().stdout.into_bytes()));
    }
    places.push(("/metrics".to_owned(), http::get(gateway.control(), "/metrics").unwrap().1.into_bytes()));
    gateway.stop().unwrap();
    places.push(("the log".to_owned(), gateway.log().into_bytes()));
    for file in files_below(&gateway.store_path()) {
        places.push((file.display().to_string(), fs::read(&file).unwrap_or_default()));
    }
    assert!(gateway.log().contains("a notice was given up"), "{}", gateway.log());
    let secret = SECRET.trim_start_matches("whsec_");
    for (place, bytes) in places {
        for planted in ["plantedslack", "plantedquery", ROUTING_KEY, secret] {
            let found = bytes.windows(planted.len()).any(|window| window == planted.as_bytes());
            assert!(!found, "{planted} in {place}: {}", String::from_utf8_lossy(&bytes));
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
