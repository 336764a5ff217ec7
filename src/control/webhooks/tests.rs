//! Webhooks as their receivers meet them: real HTTP, a real store; only the pauses between attempts are shorter.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use loadtest::receiver::{Answer, Heard, Receiver, verify};
use loadtest::tls::{A_DAY, Authority};
use loadtest::wait_for;
use serde_json::{Value, json};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::control::notices::NoticeKind;
use crate::recorder::open_access;

const SOON: Duration = Duration::from_secs(20);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Pauses that a test can wait for.
const FAST: Schedule = Schedule {
    first: Duration::from_millis(20),
    longest: Duration::from_millis(80),
    refused: 3,
    failing: 5,
    unreachable: Duration::from_secs(60),
};

struct World {
    folder: TempDir,
    store: AccessStore,
    outbox: Outbox,
    webhooks: Webhooks,
}

impl World {
    fn start(options: Vec<WebhookOptions>) -> World {
        Self::start_in(tempfile::tempdir().unwrap(), options)
    }

    fn start_in(folder: TempDir, options: Vec<WebhookOptions>) -> World {
        let store = open_access(folder.path()).unwrap();
        let outbox = Outbox::open(store.clone()).unwrap();
        let webhooks = Webhooks::start_on(FAST, options, outbox.clone(), store.clone(), "n1").unwrap();
        World { folder, store, outbox, webhooks }
    }

    fn restart(self, options: Vec<WebhookOptions>) -> World {
        let World { folder, store, outbox, webhooks } = self;
        drop(webhooks);
        drop((store, outbox));
        Self::start_in(folder, options)
    }

    fn tell(&self, kind: NoticeKind, id: &str) {
        let data = json!({"request": {"id": id, "cluster": "main", "operation": "delete_topics",
            "requester": {"issuer": "weir", "subject": "ann"}, "url": "https://weir.example.com/r/1"}});
        let notice = self.outbox.prepare(kind, data);
        self.store.write([notice.change()]).unwrap();
    }

    fn look(&self, name: &str) -> WebhookView {
        self.webhooks.desk().list().into_iter().find(|view| view.name == name).unwrap()
    }

    fn wait(&self, name: &str, what: &str, holds: impl Fn(&WebhookView) -> bool) -> WebhookView {
        wait_for(what, SOON, || Ok(Some(self.look(name)).filter(&holds))).unwrap()
    }

    fn ask<T>(&self, asked: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(asked)
    }
}

fn signed(name: &str, url: &str) -> WebhookOptions {
    let key = Arc::new(Zeroizing::new(
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, SECRET.strip_prefix("whsec_").unwrap())
            .unwrap(),
    ));
    options(name, url, WebhookFormat::CloudEvents { keys: vec![key] })
}

fn options(name: &str, url: &str, format: WebhookFormat) -> WebhookOptions {
    WebhookOptions {
        name: name.to_owned(),
        url: Arc::new(Zeroizing::new(url.to_owned())),
        format,
        events: NoticeKind::ALL.to_vec(),
        allow_private: true,
        ca: None,
    }
}

fn subjects(heard: &[Heard]) -> Vec<String> {
    heard.iter().map(|heard| heard.json()["subject"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn notices_come_in_order_signed_and_once_where_all_goes_well() {
    let receiver = Receiver::start().unwrap();
    let options = vec![signed("ops", &receiver.url("/hook"))];
    let world = World::start(options.clone());
    for id in ["a", "b", "c"] {
        world.tell(NoticeKind::RequestCreated, id);
    }
    let heard = receiver.wait_for(3, SOON).unwrap();
    assert_eq!(subjects(&heard), ["a", "b", "c"]);
    for heard in &heard {
        verify(SECRET, heard).unwrap();
        assert_eq!(heard.line, "POST /hook HTTP/1.1");
        assert_eq!(heard.header("content-type"), "application/cloudevents+json; charset=utf-8");
        let event = heard.json();
        assert_eq!(event["id"], heard.header("webhook-id"));
        assert_eq!((&event["specversion"], &event["type"]), (&json!("1.0"), &json!("io.weir.request.created")));
        assert_eq!(event["source"], "/weir/nodes/n1/clusters/main");
    }
    world.wait("ops", "the cursor", |view| view.behind == 0);
    let world = world.restart(options);
    world.tell(NoticeKind::GrantUsed, "d");
    receiver.wait_for(4, SOON).unwrap();
    assert_eq!(subjects(&receiver.heard()), ["a", "b", "c", "d"]);
}

#[test]
fn a_webhook_that_is_new_is_told_of_what_comes_and_of_what_it_asked_for() {
    let (first, second) = (Receiver::start().unwrap(), Receiver::start().unwrap());
    let world = World::start(vec![signed("first", &first.url("/"))]);
    world.tell(NoticeKind::RequestCreated, "old");
    first.wait_for(1, SOON).unwrap();
    let mut picky = signed("second", &second.url("/"));
    picky.events = vec![NoticeKind::BreakGlass];
    let world = world.restart(vec![signed("first", &first.url("/")), picky]);
    world.tell(NoticeKind::RequestCreated, "other");
    world.tell(NoticeKind::BreakGlass, "new");
    second.wait_for(1, SOON).unwrap();
    assert_eq!(subjects(&second.heard()), ["new"]);
}

#[test]
fn a_receiver_that_fails_is_tried_again_with_the_same_id() {
    let receiver = Receiver::start().unwrap();
    let mut left = 3;
    receiver.answer(move |_| {
        left -= 1;
        Answer::status(if left >= 0 { [503, 0, 429][left as usize] } else { 204 })
    });
    let world = World::start(vec![signed("ops", &receiver.url("/"))]);
    world.tell(NoticeKind::RequestCreated, "a");
    world.tell(NoticeKind::RequestDecided, "b");
    let heard = receiver.wait_for(5, SOON).unwrap();
    assert_eq!(subjects(&heard), ["a", "a", "a", "a", "b"]);
    assert!(heard[..4].iter().all(|again| again.header("webhook-id") == heard[0].header("webhook-id")));
    heard.iter().for_each(|heard| verify(SECRET, heard).unwrap());
    let view = world.wait("ops", "all delivered", |view| view.behind == 0);
    assert_eq!((view.trouble, view.dead_letters), (None, 0));
}

#[test]
fn a_receiver_that_asks_for_time_gets_it() {
    let receiver = Receiver::start().unwrap();
    let mut first = true;
    receiver.answer(move |_| {
        let busy = std::mem::take(&mut first);
        let headers = vec![("Retry-After", "2".to_owned())];
        if busy { Answer { status: 429, headers, ..Answer::default() } } else { Answer::status(200) }
    });
    let world = World::start(vec![signed("ops", &receiver.url("/"))]);
    world.tell(NoticeKind::RequestCreated, "a");
    let heard = receiver.wait_for(2, SOON).unwrap();
    assert!(heard[1].at - heard[0].at >= Duration::from_secs(2), "{:?}", heard[1].at - heard[0].at);
}

#[test]
fn what_a_receiver_refuses_lies_among_the_dead_and_the_next_come() {
    let receiver = Receiver::start().unwrap();
    receiver.answer(|heard| Answer::status(if heard.json()["subject"] == "bad" { 422 } else { 200 }));
    let options = vec![signed("ops", &receiver.url("/"))];
    let world = World::start(options.clone());
    for id in ["a", "bad", "c"] {
        world.tell(NoticeKind::RequestCreated, id);
    }
    let heard = receiver.wait_for(5, SOON).unwrap();
    assert_eq!(subjects(&heard), ["a", "bad", "bad", "bad", "c"]);
    world.wait("ops", "the cursor", |view| view.behind == 0 && view.dead_letters == 1);

    let world = world.restart(options);
    let letters = world.webhooks.desk().dead().unwrap();
    let letter = &letters[0];
    assert_eq!((letters.len(), letter.attempts, letter.reason.as_str()), (1, 3, "answered 422"));
    assert_eq!(letter.request.as_deref(), Some("bad"));
    let again = |world: &World| world.ask(world.webhooks.desk().redeliver(&letter.id)).unwrap().remove(0);
    assert_eq!((again(&world).outcome.as_str(), world.look("ops").dead_letters), ("refused", 1));
    receiver.answer(|_| Answer::status(200));
    assert_eq!((again(&world).outcome.as_str(), world.look("ops").dead_letters), ("delivered", 0));
    assert_eq!(receiver.heard().last().unwrap().header("webhook-id"), letter.id);
    assert!(world.webhooks.desk().dead().unwrap().is_empty());
    assert_eq!(world.ask(world.webhooks.desk().redeliver(&letter.id)).unwrap_err().status, 404);
}

#[test]
fn attempts_are_counted_over_restarts() {
    let receiver = Receiver::start().unwrap();
    receiver.answer(|_| Answer { status: 500, headers: vec![("Retry-After", "1".to_owned())], ..Answer::default() });
    let options = vec![signed("ops", &receiver.url("/"))];
    let mut world = World::start(options.clone());
    world.tell(NoticeKind::RequestCreated, "a");
    for attempts in 1..FAST.failing {
        world.wait("ops", "a failure", |view| view.attempts == attempts);
        world = world.restart(options.clone());
    }
    world.wait("ops", "the dead letter", |view| view.dead_letters == 1);
    assert_eq!(receiver.heard().len(), FAST.failing as usize);
}

#[test]
fn who_is_gone_is_told_nothing_until_somebody_says_otherwise() {
    let receiver = Receiver::start().unwrap();
    receiver.answer(|_| Answer::status(410));
    let world = World::start(vec![signed("ops", &receiver.url("/"))]);
    world.tell(NoticeKind::RequestCreated, "a");
    world.wait("ops", "being disabled", |view| view.state == "disabled");
    world.tell(NoticeKind::RequestCreated, "b");
    std::thread::sleep(FAST.longest * 4);
    assert_eq!(receiver.heard().len(), 1);
    assert_eq!(world.ask(world.webhooks.desk().test("ops")).unwrap().outcome, "gone");
    receiver.answer(|_| Answer::status(200));
    let tried = world.ask(world.webhooks.desk().test("ops")).unwrap();
    assert_eq!((tried.outcome.as_str(), tried.status), ("delivered", Some(200)));
    let heard = receiver.wait_for(5, SOON).unwrap();
    assert_eq!(heard[1].json()["type"], "io.weir.webhook.test");
    assert_eq!(subjects(&heard[3..]), ["a", "b"]);
}

#[test]
fn a_slow_receiver_delays_nobody_else_nor_the_stop() {
    let (slow, quick) = (Receiver::start().unwrap(), Receiver::start().unwrap());
    slow.answer(|_| Answer { status: 200, after: Duration::from_secs(60), ..Answer::default() });
    let world = World::start(vec![signed("slow", &slow.url("/")), signed("quick", &quick.url("/"))]);
    let begun = Instant::now();
    for i in 0..50 {
        world.tell(NoticeKind::GrantUsed, &i.to_string());
    }
    quick.wait_for(50, SOON).unwrap();
    assert_eq!(slow.heard().len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(world.look("slow").state, "delivering");
    let begun = Instant::now();
    drop(world);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_redirect_leads_nowhere() {
    let (receiver, elsewhere) = (Receiver::start().unwrap(), Receiver::start().unwrap());
    let to = elsewhere.url("/");
    receiver.answer(move |_| Answer { status: 307, headers: vec![("Location", to.clone())], ..Answer::default() });
    let world = World::start(vec![signed("ops", &receiver.url("/"))]);
    world.tell(NoticeKind::RequestCreated, "a");
    world.wait("ops", "the dead letter", |view| view.dead_letters == 1);
    assert!(world.webhooks.desk().dead().unwrap()[0].reason.contains("redirects are not followed"));
    assert!(elsewhere.heard().is_empty());
}

#[test]
fn a_name_or_address_that_leads_inside_is_not_connected_to() {
    let receiver = Receiver::start().unwrap();
    let port = receiver.address().port();
    for host in ["localhost", "127.0.0.1", "127.1", "[::ffff:127.0.0.1]", "[::1]"] {
        let mut guarded = signed("ops", &format!("http://{host}:{port}/"));
        guarded.allow_private = false;
        let world = World::start(vec![guarded]);
        let tried = world.ask(world.webhooks.desk().test("ops")).unwrap();
        assert_eq!(tried.outcome, "unreachable", "{host}");
        let detail = tried.detail.unwrap();
        assert!(detail.contains("which is loopback") && detail.contains("allow_private"), "{host}: {detail}");
    }
    assert!(receiver.heard().is_empty());
}

#[test]
fn an_answer_without_end_is_not_read_to_its_end() {
    let receiver = Receiver::start().unwrap();
    receiver.answer(|_| Answer { status: 200, endless: true, ..Answer::default() });
    let world = World::start(vec![signed("ops", &receiver.url("/"))]);
    let tried = world.ask(world.webhooks.desk().test("ops")).unwrap();
    assert_eq!((tried.outcome.as_str(), tried.answer.unwrap()), ("delivered", "x".repeat(200)));
}

#[test]
fn an_answer_that_repeats_a_secret_is_not_shown() {
    let receiver = Receiver::start().unwrap();
    receiver.answer(|heard| Answer {
        status: 404,
        body: format!("{}\n{}", heard.line, heard.body),
        ..Answer::default()
    });
    let routing_key = Arc::new(Zeroizing::new("R0uT1nGk3y0000000000000000000000".to_owned()));
    let world = World::start(vec![
        options("slack", &receiver.url("/services/T0/B0/s3cr3t"), WebhookFormat::Slack),
        options("pagerduty", &receiver.url("/"), WebhookFormat::PagerDuty { routing_key }),
    ]);
    for name in ["slack", "pagerduty"] {
        let tried = world.ask(world.webhooks.desk().test(name)).unwrap();
        let shown = serde_json::to_string(&tried).unwrap();
        assert!(!shown.contains("s3cr3t") && !shown.contains("R0uT1nG"), "{shown}");
        assert!(tried.answer.unwrap().starts_with("(not shown"));
    }
}

#[test]
fn slack_and_pagerduty_are_spoken_to_in_their_own_words() {
    let (slack, pagerduty) = (Receiver::start().unwrap(), Receiver::start().unwrap());
    let routing_key = Arc::new(Zeroizing::new("R".repeat(32)));
    let world = World::start(vec![
        options("slack", &slack.url("/services/T/B/x"), WebhookFormat::Slack),
        options("pagerduty", &pagerduty.url("/v2/enqueue"), WebhookFormat::PagerDuty { routing_key }),
    ]);
    for kind in [NoticeKind::RequestCreated, NoticeKind::GrantUsed, NoticeKind::RequestDecided] {
        world.tell(kind, "r1");
    }
    let heard = slack.wait_for(3, SOON).unwrap();
    assert_eq!(heard[0].header("content-type"), "application/json");
    let blocks = heard[0].json()["blocks"].as_array().unwrap().clone();
    assert_eq!(blocks[0]["type"], "header");
    assert!(
        blocks
            .iter()
            .any(|block| block["text"]["text"] == "<https://weir.example.com/r/1|Open the request and decide>")
    );
    let heard = pagerduty.wait_for(2, SOON).unwrap();
    let actions: Vec<Value> = heard.iter().map(|heard| heard.json()["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
    for heard in heard {
        assert_eq!((&heard.json()["routing_key"], &heard.json()["dedup_key"]), (&json!("R".repeat(32)), &json!("r1")));
    }
    world.wait("pagerduty", "the cursor", |view| view.behind == 0);
}

#[test]
fn a_receiver_has_to_prove_its_name_to_whom_the_webhook_trusts() {
    let authority = Authority::new("receivers").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let receiver = |host| {
        let certificate = authority.issue(&[("CN", "receiver")], &[host], A_DAY).unwrap();
        Receiver::start_tls(&certificate).unwrap()
    };
    let (right, wrong) = (receiver("localhost"), receiver("elsewhere.example.com"));
    let with = |name: &str, receiver: &Receiver, ca| {
        let url = format!("https://localhost:{}/", receiver.address().port());
        WebhookOptions { ca, ..signed(name, &url) }
    };
    let world = World::start(vec![
        with("right", &right, Some(ca.clone())),
        with("wrong", &wrong, Some(ca)),
        with("untrusted", &right, None),
    ]);
    let outcome = |name: &str| world.ask(world.webhooks.desk().test(name)).unwrap().outcome;
    assert_eq!(
        (outcome("right"), outcome("wrong"), outcome("untrusted")),
        ("delivered".to_owned(), "unreachable".to_owned(), "unreachable".to_owned(),)
    );
    assert_eq!((right.heard().len(), wrong.heard().len()), (1, 0));
    assert!(right.heard()[0].header("host").starts_with("localhost:"));
}

#[test]
fn notices_that_nobody_could_be_told_of_go_after_a_week() {
    let receiver = Receiver::start().unwrap();
    receiver.answer(|_| Answer::status(410));
    let world = World::start(vec![signed("ops", &receiver.url("/"))]);
    for id in ["a", "b", "c"] {
        world.tell(NoticeKind::RequestCreated, id);
    }
    world.wait("ops", "being disabled", |view| view.state == "disabled");
    let state = Arc::new(State::new(Cursor::default(), 0));
    let keeper = Keeper {
        outbox: world.outbox.clone(),
        rows: WebhookRows::new(world.store.clone()),
        states: vec![("ops".to_owned(), state)],
    };
    let now = crate::control::tokens::now_ns();
    keeper.prune_at(now).unwrap();
    assert_eq!(world.outbox.after(0, 10).unwrap().len(), 3);
    keeper.prune_at(now + crate::limits::NOTICE_KEPT.as_nanos() as u64).unwrap();
    let kept: Vec<u64> = world.outbox.after(0, 10).unwrap().into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(kept, [3]);
}
