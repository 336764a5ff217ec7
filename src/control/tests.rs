//! The control plane as its users meet it: a real server on both doors, a real store behind.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{Client, ClientError};
use super::*;
use crate::policy::ScopeText;
use crate::recorder::{Queries, Recorder, RecorderOptions, ShardJournal, open_access};

/// A gateway whose store can be made to fail.
#[derive(Default)]
struct Gateway {
    store_full: AtomicBool,
}

impl PolicyReload for Gateway {
    fn reload(&self) -> Result<PolicyReloaded, String> {
        Err("policy.yaml:1:1: nothing good".to_owned())
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

    fn terms(&self, _: &crate::policy::Requester, _: &crate::policy::Action) -> Vec<crate::policy::Terms> {
        Vec::new()
    }

    fn simulate(&self, _: PolicyTrial, _: Queries) -> Result<Value, PolicyTrialError> {
        Err(PolicyTrialError::Failed("there is nothing to try it on".to_owned()))
    }

    fn explain(&self, _: PolicyQuestion) -> Result<Value, String> {
        Err("there is nothing to explain".to_owned())
    }
}

impl Readiness for Gateway {
    fn checks(&self) -> Vec<Check> {
        let full = self.store_full.load(Ordering::Relaxed);
        let check = |name: &str, ok, detail: &str| Check { name: name.to_owned(), ok, detail: detail.to_owned() };
        vec![
            check("listeners", true, "1 bound"),
            check("store", !full, if full { "the disk is full" } else { "writable" }),
        ]
    }
}

fn approvals(recorder: &Recorder) -> Arc<approvals::Registry> {
    let outbox = Outbox::open(recorder.access()).unwrap();
    let options = approvals::RegistryOptions::new(recorder.access(), outbox, None, Duration::MAX);
    Arc::new(approvals::Registry::open(options).unwrap())
}

struct Running {
    handle: ControlHandle,
    gateway: Arc<Gateway>,
    tokens: Arc<TokenRegistry>,
    webhooks: Webhooks,
    recorder: Recorder,
    _journals: Vec<ShardJournal>,
    folder: TempDir,
}

impl Running {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gateway = Arc::new(Gateway::default());
        let options = RecorderOptions::new(folder.path().join("store"), "n1", 1);
        let (recorder, journals) = Recorder::open(options).unwrap();
        let tokens = Arc::new(TokenRegistry::open(recorder.access()).unwrap());
        let prometheus = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        ::metrics::with_local_recorder(&prometheus, || ::metrics::counter!("weir_requests_total").increment(3));
        let outbox = Outbox::open(recorder.access()).unwrap();
        let webhooks = Webhooks::start(Vec::new(), outbox, recorder.access(), "n1").unwrap();
        let handle = start(ControlOptions {
            bind: "127.0.0.1:0".parse().unwrap(),
            url: None,
            tls: None,
            logins: LoginOptions::default(),
            looks: recorder.looks(),
            socket: folder.path().join("weir.sock"),
            queries: recorder.queries(),
            tokens: Arc::clone(&tokens),
            approvals: approvals(&recorder),
            policy: gateway.clone(),
            webhooks: webhooks.desk(),
            readiness: Arc::clone(&gateway) as Arc<dyn Readiness>,
            metrics: prometheus.handle(),
        });
        Self { handle: handle.unwrap(), gateway, tokens, webhooks, recorder, _journals: journals, folder }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("weir.sock")
    }

    fn client(&self) -> Client {
        Client::find(&self.socket()).unwrap().unwrap()
    }
}

/// Status and body.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn monitoring_reads_metrics_and_life() {
    let running = Running::start();
    let (status, body) = get(running.handle.bound(), "/metrics");
    assert_eq!(status, 200);
    assert!(body.contains("weir_requests_total 3"), "{body}");
    assert_eq!(get(running.handle.bound(), "/healthz"), (200, "ok\n".to_owned()));
}

#[test]
fn what_is_for_the_socket_is_not_served_to_the_network() {
    let running = Running::start();
    for path in ["/api/v1/sessions/0/frames", "/api/v1/follow", "/"] {
        assert_eq!(get(running.handle.bound(), path).0, 404, "{path}");
    }
}

#[test]
fn readiness_names_the_check_that_fails() {
    let running = Running::start();
    let (status, body) = get(running.handle.bound(), "/readyz");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["ready"]), (200, &json!(true)));
    running.gateway.store_full.store(true, Ordering::Relaxed);
    let (status, body) = get(running.handle.bound(), "/readyz");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["ready"]), (503, &json!(false)));
    assert_eq!(body["checks"][0], json!({ "name": "listeners", "ok": true, "detail": "1 bound" }));
    assert_eq!(body["checks"][1], json!({ "name": "store", "ok": false, "detail": "the disk is full" }));
}

#[test]
fn only_the_owner_can_reach_the_tokens() {
    let running = Running::start();
    assert_eq!(std::fs::metadata(running.socket()).unwrap().mode() & 0o777, 0o600);
}

fn new_token(ttl_seconds: u64) -> NewToken {
    let (subject, groups) = ("analyst-7".to_owned(), vec!["analysts".to_owned()]);
    NewToken { subject, groups, ttl_seconds, scope: ScopeText::default() }
}

#[test]
fn a_token_logs_in_once_its_creation_was_answered_and_never_after_its_revocation_was() {
    let running = Running::start();
    let client = running.client();
    let table = running.tokens.table();
    let created: CreatedToken = client.post("/api/v1/tokens", &new_token(60)).unwrap();
    let now_ns = created.view.created_ns;
    let login = table.load().verify("analyst-7", &created.token, now_ns).unwrap();
    assert_eq!(login.principal.groups, ["analysts"]);
    assert!(created.view.minted_by.starts_with("uid "), "{}", created.view.minted_by);

    let revoked: TokenView = client.delete(&format!("/api/v1/tokens/{}", created.view.id)).unwrap();
    assert_eq!(revoked.state, TokenState::Revoked);
    assert!(table.load().verify("analyst-7", &created.token, now_ns).is_err());
    assert!(table.load().still_valid(&login.token_id, now_ns).is_err());
}

#[test]
fn listing_tokens_shows_nothing_that_could_log_in() {
    let running = Running::start();
    let created: CreatedToken = running.client().post("/api/v1/tokens", &new_token(60)).unwrap();
    let listed: Value = running.client().get("/api/v1/tokens").unwrap();
    assert_eq!(listed["tokens"][0]["id"], created.view.id);
    assert_eq!(listed["tokens"][0]["state"], "active");
    let secret = created.token.rsplit('_').next().unwrap();
    assert!(!listed.to_string().contains(secret));
    assert!(!listed.to_string().contains("sha256"));
}

#[test]
fn tokens_outlive_the_gateway() {
    let running = Running::start();
    let created: CreatedToken = running.client().post("/api/v1/tokens", &new_token(60)).unwrap();
    let Running { handle, tokens, webhooks, recorder, folder, .. } = running;
    handle.stop();
    drop((tokens, webhooks));
    recorder.shutdown().unwrap();
    let reopened = TokenRegistry::open(open_access(&folder.path().join("store")).unwrap()).unwrap();
    let table = reopened.table().load_full();
    assert!(table.verify("analyst-7", &created.token, created.view.created_ns).is_ok());
}

#[test]
fn what_a_token_is_narrowed_to_is_shown_and_outlives_the_gateway_and_older_versions_do_not_know_the_token() {
    let running = Running::start();
    let scope =
        ScopeText { topics: vec!["orders.*".to_owned()], operations: vec!["read".to_owned()], ..ScopeText::default() };
    let new = NewToken { scope, ..new_token(60) };
    let created: CreatedToken = running.client().post("/api/v1/tokens", &new).unwrap();
    let listed: Value = running.client().get("/api/v1/tokens").unwrap();
    assert_eq!(listed["tokens"][0]["scopes"], json!([{ "topics": ["orders.*"], "operations": ["read"] }]));
    let wrong = json!({ "subject": "a", "ttl_seconds": 1, "scope": { "operations": ["reed"] } });
    let wrong = running.client().post::<Value>("/api/v1/tokens", &wrong).unwrap_err();
    assert!(matches!(&wrong, ClientError::Problem(what) if what.contains("reed")), "{wrong}");
    let Running { handle, tokens, webhooks, recorder, folder, .. } = running;
    handle.stop();
    drop((tokens, webhooks));
    recorder.shutdown().unwrap();
    let store = || open_access(&folder.path().join("store")).unwrap();
    assert_eq!(store().scan(b"token/").unwrap(), [], "where versions without scopes look");
    let table = TokenRegistry::open(store()).unwrap().table().load_full();
    let login = table.verify("analyst-7", &created.token, created.view.created_ns).unwrap();
    assert_eq!(login.principal.scopes.unwrap().to_string(), "read on topics orders.*");
}

#[test]
fn a_wrong_question_is_answered_with_what_is_wrong() {
    let running = Running::start();
    let client = running.client();
    let missing = client.delete::<Value>("/api/v1/tokens/nosuch").unwrap_err();
    assert!(matches!(&missing, ClientError::NotFound(what) if what.contains("nosuch")), "{missing}");
    for (path, what) in [
        ("/api/v1/sessions?limit=many", "limit"),
        ("/api/v1/sessions?color=red", "color"),
        ("/api/v1/sessions/nosuch", "a session id has 14 characters"),
    ] {
        let refused = client.get::<Value>(path).unwrap_err();
        assert!(matches!(&refused, ClientError::Problem(why) if why.contains(what)), "{refused}");
    }
    let no_session = format!("/api/v1/sessions/{}/events", crate::event::SessionId::from_u64(7));
    let no_session = client.get::<Value>(&no_session).unwrap_err();
    assert!(matches!(&no_session, ClientError::NotFound(_)), "{no_session}");
    let no_ttl = client.post::<Value>("/api/v1/tokens", &new_token(0)).unwrap_err();
    assert!(matches!(&no_ttl, ClientError::Problem(what) if what.contains("time to live")), "{no_ttl}");
    let unknown = json!({ "subject": "a", "ttl_seconds": 1, "admin": true });
    let unknown = client.post::<Value>("/api/v1/tokens", &unknown).unwrap_err();
    assert!(matches!(&unknown, ClientError::Problem(what) if what.contains("admin")), "{unknown}");
}

#[test]
fn a_stop_ends_soon_even_with_a_client_that_says_nothing_and_removes_the_socket() {
    let running = Running::start();
    let socket = running.socket();
    let _silent = TcpStream::connect(running.handle.bound()).unwrap();
    let _silent_too = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let began = Instant::now();
    running.handle.stop();
    assert!(began.elapsed() < STOP_GRACE + Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(!socket.exists());
    assert!(Client::find(&socket).unwrap().is_none());
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap();
    let running = Running::start();
    let options = ControlOptions {
        bind,
        url: None,
        tls: None,
        logins: LoginOptions::default(),
        looks: running.recorder.looks(),
        socket: running.folder.path().join("other.sock"),
        queries: running.recorder.queries(),
        tokens: Arc::clone(&running.tokens),
        approvals: approvals(&running.recorder),
        policy: running.gateway.clone(),
        webhooks: running.webhooks.desk(),
        readiness: Arc::clone(&running.gateway) as Arc<dyn Readiness>,
        metrics: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle(),
    };
    let error = start(options).err().expect("the address is taken").to_string();
    assert!(error.contains(&bind.to_string()), "{error}");
    assert!(!running.folder.path().join("other.sock").exists());
}
