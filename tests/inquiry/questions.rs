//! The questions of shards, before one broker.

use std::sync::Arc;
use std::time::Duration;

use loadtest::kafka;
use loadtest::wait_for;
use weir::tls::ClientFiles;
use weir::upstream::{Answered, CredentialOptions, Trouble, Value};
use zeroize::Zeroizing;

use crate::world::*;

fn offset(offset: i64) -> Answered {
    Answered::Known(Value::Offset(offset))
}

fn existing(exists: bool) -> Answered {
    Answered::Known(Value::Exists(exists))
}

#[test]
fn each_question_gets_its_answer_from_one_broker() {
    let (kafka, weir) = (&world().kafka, plain());
    topic(kafka, "asked", &[1, 1], &[10, 5]);
    delete_records(kafka, 1, "asked", 0, 4);
    commit(kafka, "readers", "asked", &[7]);
    let answers = ask(
        weir,
        vec![
            exists("asked"),
            exists("never-made"),
            exists("no topic/can have this name"),
            log_start("asked", 0),
            log_start("asked", 1),
            log_start("asked", 2),
            log_start("never-made", 0),
            committed("readers", "asked", 0),
            committed("readers", "asked", 1),
            committed("nobody", "asked", 0),
            committed("readers", "never-made", 0),
        ],
    );
    let unknown = |why| Answered::Unknown(why);
    assert_eq!(
        answers,
        [
            existing(true),
            existing(false),
            existing(false),
            offset(4),
            offset(0),
            unknown(Trouble::NoPartition(2)),
            unknown(Trouble::NoTopic),
            offset(7),
            offset(-1),
            offset(-1),
            offset(-1),
        ]
    );
}

/// Brokers create topics on being asked for them, by default, and the one of groups' positions when a coordinator is looked for.
#[test]
fn asking_creates_nothing() {
    let kafka = kafka::Cluster::start(1, kafka::Options::default()).unwrap();
    let weir = weir(&kafka.bootstrap(), None, None);
    let answers = ask(&weir, vec![exists("ghost"), log_start("ghost", 0), committed("ghosts", "ghost", 0)]);
    assert_eq!(answers, [existing(false), Answered::Unknown(Trouble::NoTopic), offset(-1)]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(topics(&kafka), Vec::<String>::new());
}

#[test]
fn brokers_that_ask_for_a_login_or_for_tls_answer_alike() {
    let World { kafka, ca, .. } = world();
    topic(kafka, "guarded", &[1], &[3]);
    commit(kafka, "guards", "guarded", &[2]);
    let password = Arc::new(Zeroizing::new(PASSWORD.to_owned()));
    let credentials = [
        CredentialOptions::Plain { username: USER.to_owned(), password: password.clone() },
        CredentialOptions::Scram { hash: weir::scram::Hash::Sha512, username: USER.to_owned(), password },
    ];
    let [tls, _] = kafka.tls_bootstraps();
    let files = ClientFiles { ca: Some(ca.clone()), identity: None, verify_host: true };
    let mut sides: Vec<Weir> = Vec::new();
    sides.extend(credentials.map(|credential| weir(&kafka.sasl_bootstrap(), None, Some(credential))));
    sides.push(weir(&tls, Some(files), None));
    for side in &sides {
        let answers = ask(side, vec![exists("guarded"), log_start("guarded", 0), committed("guards", "guarded", 0)]);
        assert_eq!(answers, [existing(true), offset(0), offset(2)]);
    }
}

#[test]
fn a_topic_that_came_or_went_is_known_a_moment_later() {
    let (kafka, weir) = (&world().kafka, plain());
    assert_eq!(ask(weir, vec![exists("short-lived")]), [existing(false)]);
    topic(kafka, "short-lived", &[1], &[0]);
    assert_eq!(ask(weir, vec![exists("short-lived")]), [existing(true)], "what does not exist is not remembered");
    delete_topic(kafka, "short-lived");
    let gone = || Ok((ask(weir, vec![exists("short-lived")]) == [existing(false)]).then_some(()));
    wait_for("the topic to be gone", Duration::from_secs(5), gone).unwrap();
}

/// The broker's log of requests tells how many there were.
#[test]
fn questions_of_many_who_wait_share_requests() {
    let (kafka, weir) = (&world().kafka, plain());
    topic(kafka, "popular", &[1], &[1]);
    let waiting = 200;
    let asked = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..waiting).map(|_| scope.spawn(|| ask(weir, vec![exists("popular"), log_start("popular", 0)]))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(asked.iter().all(|answers| *answers == [existing(true), offset(0)]));
    let log = kafka.request_log(1).unwrap();
    let about = log.iter().filter(|line| line["clientId"] == "weir" || line["requestHeader"]["clientId"] == "weir");
    let about = about.filter(|line| line["request"].to_string().contains("popular")).count();
    assert!((1..waiting / 2).contains(&about), "{about} requests for {waiting} who waited");
}

#[test]
fn too_many_questions_are_unknown_at_once() {
    let many = (0..=weir::limits::INQUIRY_QUESTIONS_MAX).map(|n| log_start("asked", n as i32)).collect();
    assert!(ask(plain(), many).iter().all(|answered| *answered == Answered::Unknown(Trouble::Busy)));
}

/// Before version 4 of FindCoordinator and 8 of OffsetFetch a request names one group; 3.9 serves both forms, and newer ones.
#[test]
fn brokers_one_major_version_older_answer_alike() {
    let kafka =
        kafka::Cluster::start(1, kafka::Options { version: kafka::OLDER, ..kafka::Options::default() }).unwrap();
    let weir = weir(&kafka.bootstrap(), None, None);
    topic(&kafka, "old", &[1], &[6]);
    delete_records(&kafka, 1, "old", 0, 2);
    for group in ["one", "two"] {
        commit(&kafka, group, "old", &[5]);
    }
    let questions = vec![
        exists("old"),
        exists("ghost"),
        log_start("old", 0),
        committed("one", "old", 0),
        committed("two", "old", 0),
        committed("three", "old", 0),
    ];
    let expected = [existing(true), existing(false), offset(2), offset(5), offset(5), offset(-1)];
    assert_eq!(ask(&weir, questions), expected);
    assert!(!topics(&kafka).contains(&"ghost".to_owned()));
}
