//! `weir webhook`, and what monitoring sees.

use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use loadtest::receiver::{Answer, Receiver, verify};
use loadtest::weir::Gateway;
use loadtest::{http, wait_for};
use weir::control::NoticeKind;
use weir::policy::confined;

use crate::{SECRET, SOON, Secrets, gateway, write_notices};

fn webhook(secrets: &Secrets, receiver: &Receiver) -> String {
    let (url, secret) = (receiver.url("/hook"), secrets.file("signing", SECRET));
    format!("name: ops, url: \"{url}\", format: cloudevents, secret: {secret}, allow_private: true")
}

/// What a command prints though it fails.
fn failing(gateway: &Gateway, args: &[&str]) -> (i32, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(args)
        .arg("--config")
        .arg(gateway.config_path())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn a_test_event_is_signed_and_the_command_tells_what_came_back() {
    let (secrets, receiver) = (Secrets::new(), Receiver::start().unwrap());
    let gateway = gateway(&[webhook(&secrets, &receiver)]);
    receiver.answer(|_| Answer { status: 201, body: "thanks \u{1b}[31m".to_owned(), ..Answer::default() });
    let shown = gateway.weir(&["webhook", "test", "ops"]).unwrap().stdout;
    for line in ["delivered to ops (127.0.0.1) in ", "status:  201", "answer:  thanks \\u{1b}[31m", "webhook-signature"]
    {
        assert!(shown.contains(line), "{shown}");
    }
    let heard = receiver.heard().remove(0);
    verify(SECRET, &heard).unwrap();
    assert_eq!(heard.json()["type"], "io.weir.webhook.test");
    assert!(verify("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &heard).is_err());

    receiver.answer(|_| Answer::status(401));
    let (code, shown) = failing(&gateway, &["webhook", "test", "ops"]);
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("why:     its receiver answered 401"), "{shown}");
    let (code, shown) = failing(&gateway, &["webhook", "test", "nobody"]);
    assert_eq!(code, 3, "{shown}");
}

#[test]
fn dead_letters_are_listed_and_sent_again() {
    let (secrets, receiver) = (Secrets::new(), Receiver::start().unwrap());
    receiver.answer(|heard| Answer::status(if heard.json()["subject"] == "bad" { 400 } else { 200 }));
    let mut gateway = gateway(&[webhook(&secrets, &receiver)]);
    gateway.stop().unwrap();
    let ids = ["good", "bad", "next"].map(str::to_owned);
    write_notices(&gateway.store_path(), NoticeKind::BreakGlass, ids.into_iter());
    let (code, shown) = failing(&gateway, &["webhook", "list"]);
    assert_eq!(code, 1);
    assert!(shown.contains("no gateway runs that listens on"), "{shown}");

    gateway.start_unready().unwrap();
    wait_for("a retry", SOON, || {
        let listed = gateway.weir_json(&["webhook", "list"])?;
        Ok((listed[0]["state"] == "retrying").then_some(listed))
    })
    .map(|listed| assert_eq!((&listed[0]["trouble"], &listed[0]["behind"]), (&"answered 400".into(), &2.into())))
    .unwrap();
    // Five attempts, with pauses of 15 s in all.
    let letters = wait_for("the dead letter", SOON, || {
        Ok(Some(gateway.weir_json(&["webhook", "dead"])?).filter(|letters| !letters.is_empty()))
    })
    .unwrap();
    let letter = &letters[0];
    assert_eq!((&letter["request"], &letter["kind"]), (&"bad".into(), &"break_glass".into()));
    assert_eq!((&letter["attempts"], &letter["reason"]), (&5.into(), &"answered 400".into()));
    wait_for("the next notice", SOON, || {
        Ok((receiver.heard().last().unwrap().json()["subject"] == "next").then_some(()))
    })
    .unwrap();
    let id = letter["id"].as_str().unwrap();
    assert!(gateway.weir(&["webhook", "dead"]).unwrap().stdout.contains(id));
    let deliveries = |gateway: &Gateway, result: &str| {
        gateway.metrics().unwrap().sum("weir_webhook_deliveries_total", &[("webhook", "ops"), ("result", result)])
    };
    wait_for("the metrics", SOON, || {
        let dead = gateway.metrics()?.sum("weir_webhook_dead_letters", &[("webhook", "ops")]);
        Ok((dead == Some(1.0) && deliveries(&gateway, "delivered") == Some(2.0)).then_some(()))
    })
    .unwrap();
    assert_eq!(deliveries(&gateway, "refused"), Some(5.0));

    assert_eq!(failing(&gateway, &["webhook", "redeliver", id]).0, 1);
    receiver.answer(|_| Answer::status(200));
    let shown = gateway.weir(&["webhook", "redeliver", id]).unwrap().stdout;
    assert!(shown.starts_with("delivered to ops"), "{shown}");
    assert_eq!(receiver.heard().last().unwrap().header("webhook-id"), id);
    assert!(gateway.weir_json(&["webhook", "dead"]).unwrap().is_empty());
    assert_eq!(failing(&gateway, &["webhook", "redeliver", id]).0, 3);
}

#[test]
fn a_receiver_that_hangs_holds_nothing_up_and_its_lag_is_seen() {
    let (secrets, receiver) = (Secrets::new(), Receiver::start().unwrap());
    receiver.answer(|_| Answer { status: 200, after: Duration::from_secs(60), ..Answer::default() });
    let mut gateway = gateway(&[webhook(&secrets, &receiver)]);
    gateway.stop().unwrap();
    write_notices(&gateway.store_path(), NoticeKind::RequestCreated, ["a".to_owned()].into_iter());
    gateway.start_unready().unwrap();
    receiver.wait_for(1, SOON).unwrap();
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        assert_eq!(http::get(gateway.control(), "/healthz").unwrap().0, 200);
        slowest = slowest.max(asked.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("the slowest answer of /healthz took {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let lag = gateway.metrics().unwrap().sum("weir_webhook_lag_seconds", &[("webhook", "ops")]).unwrap();
    assert!(lag >= 3.0, "{lag}");
    let begun = Instant::now();
    gateway.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_webhook_does_not_lead_inside_unless_it_may() {
    let (secrets, receiver) = (Secrets::new(), Receiver::start().unwrap());
    // A name that the configuration cannot know to lead inside; machines whose own name leads out have none.
    let name = host_name();
    let leads_inside =
        (name.as_str(), 0).to_socket_addrs().is_ok_and(|mut all| all.any(|to| confined(to.ip()).is_some()));
    if name == "localhost" || !leads_inside {
        return;
    }
    let url = format!("https://{name}:{}/hook", receiver.address().port());
    let secret = secrets.file("signing", SECRET);
    let gateway = gateway(&[format!("name: ops, url: \"{url}\", format: cloudevents, secret: {secret}")]);
    let (code, shown) = failing(&gateway, &["webhook", "test", "ops"]);
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains(&format!("{name} is ")) && shown.contains("allow_private: true"), "{shown}");
    assert!(receiver.heard().is_empty());
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}
