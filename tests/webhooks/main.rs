//! Webhooks of a real gateway: what kill -9 does to them, what the commands show, and that nothing else waits for them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod commands;
mod killed;
mod secrets;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use loadtest::scratch::Scratch;
use loadtest::weir::{Gateway, Options};
use serde_json::json;
use weir::control::{NoticeKind, Outbox};
use weir::recorder::open_access;

const SOON: Duration = Duration::from_secs(30);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Another key, as while keys change.
const NEXT_SECRET: &str = "whsec_bmV4dG5leHRuZXh0bmV4dG5leHRuZXh0";

/// Secrets as files, as the configuration wants them.
struct Secrets(Scratch);

impl Secrets {
    fn new() -> Self {
        Self(Scratch::new("weir-webhooks-").unwrap())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        format!("{{ file: \"{}\" }}", path.display())
    }
}

/// A gateway with these webhooks in front of no cluster: nobody here speaks Kafka.
fn gateway(webhooks: &[String]) -> Gateway {
    gateway_that(webhooks, |_| {})
}

fn gateway_that(webhooks: &[String], change: impl FnOnce(&mut Options)) -> Gateway {
    let mut options = Options::new("127.0.0.1:1");
    options.top.push("node: n1".to_owned());
    options.top.push("webhooks:".to_owned());
    options.top.extend(webhooks.iter().map(|webhook| format!("  - {{ {webhook} }}")));
    change(&mut options);
    let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
    gateway.start_unready().unwrap();
    gateway
}

/// Writes notices into the store of a gateway that is at rest, as its registry would.
fn write_notices(store: &Path, kind: NoticeKind, ids: impl Iterator<Item = String>) {
    let store = open_access(store).unwrap();
    let outbox = Outbox::open(store.clone()).unwrap();
    for id in ids {
        let data = json!({
            "request": {
                "id": id, "state": "pending", "requester": {"issuer": "weir", "subject": "ann"}, "client_id": "deploy",
                "cluster": "main", "listener": "main", "operation": "delete_topics",
                "resources": [{"kind": "topic", "name": "prod.orders", "parameters": {}}],
                "reason": "clean-up", "rules": ["production topics"], "url": "https://weir.example.com/requests/1",
            }
        });
        let notice = outbox.prepare(kind, data);
        store.write([notice.change()]).unwrap();
    }
}
