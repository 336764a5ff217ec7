//! At least once and in order, whenever the process dies.

use std::time::Duration;

use loadtest::receiver::{Answer, Receiver, verify};
use loadtest::wait_for;
use weir::control::NoticeKind;

use crate::{NEXT_SECRET, SECRET, SOON, Secrets, gateway, write_notices};

const NOTICES: usize = 60;
/// So that the process dies within a delivery more often than between two.
const SLOW: Duration = Duration::from_millis(15);

#[test]
fn no_notice_is_lost_to_kill_9_and_none_overtakes_another() {
    let (good, moody) = (Receiver::start().unwrap(), Receiver::start().unwrap());
    good.answer(|_| Answer { status: 200, after: SLOW, ..Answer::default() });
    let mut count = 0;
    moody.answer(move |_| {
        count += 1;
        Answer { status: if count % 5 == 0 { 503 } else { 202 }, after: SLOW, ..Answer::default() }
    });
    let secrets = Secrets::new();
    let keys = format!("[{}, {}]", secrets.file("new", NEXT_SECRET), secrets.file("old", SECRET));
    let webhook = |name: &str, receiver: &Receiver| {
        let url = receiver.url("/hook");
        format!("name: {name}, url: \"{url}\", format: cloudevents, secret: {keys}, allow_private: true")
    };
    let mut gateway = gateway(&[webhook("good", &good), webhook("moody", &moody)]);
    gateway.stop().unwrap();
    let ids: Vec<String> = (0..NOTICES).map(|i| format!("r{i}")).collect();
    write_notices(&gateway.store_path(), NoticeKind::RequestCreated, ids.iter().cloned());

    let mut kills = 0;
    for after in (0..).map(|round| Duration::from_millis(20 + round * 37 % 300)) {
        let arrived = good.heard().len();
        gateway.start_unready().unwrap();
        wait_for("the next delivery", SOON, || Ok((good.heard().len() > arrived).then_some(()))).unwrap();
        std::thread::sleep(after);
        if distinct(&good).len() >= NOTICES * 3 / 4 {
            break;
        }
        gateway.kill9().unwrap();
        kills += 1;
    }
    let done = |receiver: &Receiver| Ok((distinct(receiver).len() == NOTICES).then_some(()));
    wait_for("all notices at the good receiver", SOON, || done(&good)).unwrap();
    wait_for("all notices at the moody one", SOON * 2, || done(&moody)).unwrap();
    assert!(kills >= 3, "killed {kills} times only");
    for receiver in [&good, &moody] {
        assert_eq!(distinct(receiver), ids);
        for heard in receiver.heard() {
            verify(SECRET, &heard).unwrap();
            verify(NEXT_SECRET, &heard).unwrap();
        }
    }
    // What arrived twice did so under one id.
    let heard = good.heard();
    for one in &heard {
        let same = heard.iter().filter(|other| other.json()["subject"] == one.json()["subject"]);
        assert!(same.into_iter().all(|other| other.header("webhook-id") == one.header("webhook-id")));
    }
}

/// The requests a receiver was told of, in the order in which it first heard of each.
fn distinct(receiver: &Receiver) -> Vec<String> {
    let mut all = Vec::new();
    for heard in receiver.heard() {
        let id = heard.json()["subject"].as_str().unwrap().to_owned();
        if !all.contains(&id) {
            all.push(id);
        }
    }
    all
}
