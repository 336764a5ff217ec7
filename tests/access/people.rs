//! What people see: with kcat (librdkafka), Kafka's own tools, and requests that no tool makes.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use loadtest::admin;
use loadtest::batch::Batch;
use loadtest::process;
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options, Token};
use loadtest::wire::Connection;

use super::common;
use super::person::Person;

const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const LIMIT: Duration = Duration::from_secs(90);

const RULES: &str = r#"access:
  - name: analysts read orders
    groups: [analysts]
    operations: [read, describe]
    topics: ["open-*"]
    consumer_groups: ["analytics-*"]
  - name: makers make and write them
    groups: [makers]
    operations: [create, write, describe]
    topics: ["open-*"]
"#;

pub fn gateway(runtime: &str, rules: &str) -> Gateway {
    let options = Options::new(common::cluster().bootstrap()).runtime(runtime).auth(&["weir_token"]);
    common::gateway_before(common::cluster(), options.policy(rules))
}

impl Person {
    pub fn connection(&self, address: SocketAddr) -> Connection {
        let mut connection = Connection::open(address).unwrap();
        assert_eq!(connection.login_plain(&self.token.subject, &self.token.token).unwrap().error_code, 0);
        connection
    }

    fn kcat(&self, args: &[&str], input: &str) -> process::Output {
        process::run_any("kcat", &self.kcat_command(args), input.as_bytes(), LIMIT).unwrap().1
    }
}

pub fn asks_for(names: &[&str], creation: bool) -> MetadataRequest {
    let topics = names.iter().map(|name| MetadataRequestTopic::default().with_name(Some(admin::topic(name))));
    MetadataRequest::default().with_topics(Some(topics.collect())).with_allow_auto_topic_creation(creation)
}

/// Names with their error codes.
pub fn told(answer: &MetadataResponse) -> Vec<(String, i16)> {
    let topics = answer.topics.iter().map(|topic| (topic.name.as_ref().unwrap().to_string(), topic.error_code));
    let mut told: Vec<_> = topics.collect();
    told.sort();
    told
}

#[test]
fn what_no_rule_allows_is_refused_in_kafkas_words_and_hidden_from_every_listing() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, RULES);
        let (open, closed) = (format!("open-{runtime}"), format!("closed-{runtime}"));
        admin::create_topic(common::cluster(), &closed, &[1]).unwrap();
        let (analyst, maker) = (Person::of(&gateway, "analyst", "analysts"), Person::of(&gateway, "maker", "makers"));
        maker.java("tools").create_topic(&open, 2).unwrap();
        let written = maker.kcat(&["-P", "-q", "-t", &open], "one\ntwo\n");
        assert_eq!(written.stderr, "");
        let read = analyst.kcat(&["-C", "-q", "-e", "-o", "beginning", "-t", &open], "");
        assert_eq!(read.stdout.lines().count(), 2, "{}", read.stderr);
        let grouped = analyst.kcat(&["-q", "-e", "-G", "analytics-1", "-X", "auto.offset.reset=earliest", &open], "");
        assert_eq!(grouped.stdout.lines().count(), 2, "{}", grouped.stderr);

        let listed = analyst.kcat(&["-L"], "").stdout;
        assert!(listed.contains(&format!("topic \"{open}\"")) && !listed.contains("closed-"), "{listed}");
        let listed =
            analyst.java("tools").tool("org.apache.kafka.tools.TopicCommand", &["--list"], b"").unwrap().stdout;
        assert!(listed.contains(&open) && !listed.contains("closed-"), "{listed}");
        let refused = analyst.kcat(&["-C", "-e", "-t", &closed], "");
        assert!(refused.stderr.contains("Topic authorization failed"), "{}", refused.stderr);
        let refused = analyst.kcat(&["-P", "-t", &open], "three\n");
        assert!(refused.stderr.contains("Topic authorization failed"), "{}", refused.stderr);
        let refused = analyst.kcat(&["-G", "others", &open], "");
        assert!(
            refused.stderr.contains("no access rule lets this identity describe group others"),
            "{}",
            refused.stderr
        );
        wait_for("the refusals in the recording", LIMIT, || Ok((refusals(&gateway) >= 4).then_some(()))).unwrap();
    }
}

/// How many exchanges of the recording hold the error of a right that is missing: brokers, whose super user Weir is, say none.
fn refusals(gateway: &Gateway) -> usize {
    let of = |code: &serde_json::Value| code.as_i64().is_some_and(|code| (29..=31).contains(&code));
    let is_one = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let items = event["response"]["items"].as_array().cloned().unwrap_or_default();
        of(&event["response"]["error_code"]) || items.iter().any(|item| of(&item["error_code"]))
    };
    let sessions = gateway.weir_json(&["sessions"]).unwrap();
    let shown =
        |session: &serde_json::Value| gateway.weir(&["show", session["id"].as_str().unwrap(), "--json"]).unwrap();
    sessions.iter().map(|session| shown(session).stdout.lines().filter(|line| is_one(line)).count()).sum()
}

#[test]
fn whoever_may_not_create_topics_does_not_by_asking_for_them_in_any_version() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, RULES);
        let (there, absent) = (format!("open-there-{runtime}"), format!("open-absent-{runtime}"));
        admin::create_topic(common::cluster(), &there, &[1]).unwrap();
        let analyst = Person::of(&gateway, "analyst", "analysts");
        let mut connection = analyst.connection(gateway.address());
        for version in 0..=12 {
            // Before version 4 there is no flag, and a broker creates what it is asked for.
            let answer = connection.call(version, &asks_for(&[&there, &absent, "closed"], true)).unwrap();
            let expected = [("closed".to_owned(), TOPIC_AUTHORIZATION_FAILED), (absent.clone(), 3), (there.clone(), 0)];
            assert_eq!(told(&answer), expected, "v{version}");
        }
        // A topic that was made would be known a moment later.
        std::thread::sleep(Duration::from_secs(1));
        let mut direct = Connection::open(common::cluster().address(1).unwrap()).unwrap();
        assert_eq!(told(&direct.call(9, &asks_for(&[&absent], false)).unwrap()), [(absent, 3)]);
    }
}

/// What was asked for before and is not answered yet, what a session goes on with, and what is asked next.
#[test]
fn a_right_ends_with_the_policy_that_gave_it_on_connections_that_are_open() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, RULES);
        let topic = format!("open-revoked-{runtime}");
        let id = admin::create_topic(common::cluster(), &topic, &[1]).unwrap();
        let broker = common::cluster().address(1).unwrap();
        admin::produce(broker, &topic, 0, Batch::counting(1).bytes()).unwrap();
        let analyst = Person::of(&gateway, "analyst", "analysts");
        let door = gateway.broker_address(1).unwrap();
        let (mut waits, mut goes_on) = (analyst.connection(door), analyst.connection(door));
        let fetch = |offset: i64, session: (i32, i32), wait_ms: i32| {
            let mut fetch = admin::fetch_request(&topic, id, 12, &[0], 1 << 20).with_session_id(session.0);
            fetch.topics[0].partitions[0].fetch_offset = offset;
            fetch.with_session_epoch(session.1).with_max_wait_ms(wait_ms).with_min_bytes(1)
        };
        let opened = goes_on.call(12, &fetch(0, (0, 0), 100)).unwrap();
        assert_eq!(opened.responses[0].partitions[0].error_code, 0);
        assert!(opened.session_id != 0);
        // It waits at the broker for what is not there yet, and opens a session with that.
        let awaited = waits.send(12, &fetch(1, (0, 0), 20_000)).unwrap();

        let narrower =
            RULES.replace("topics: [\"open-*\"]\n    consumer_groups", "topics: [\"open-x\"]\n    consumer_groups");
        assert_ne!(narrower, RULES);
        fs::write(gateway.config_path().with_file_name("policy.yaml"), narrower).unwrap();
        let reloaded = gateway.weir_json(&["reload"]).unwrap();
        assert_eq!(reloaded[0]["changed"], true);

        admin::produce(broker, &topic, 0, Batch::counting(1).bytes()).unwrap();
        let begun = Instant::now();
        let late = waits.receive::<kafka_protocol::messages::FetchRequest>(12, awaited).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(15));
        let said = &late.responses[0].partitions[0];
        assert_eq!(said.error_code, TOPIC_AUTHORIZATION_FAILED);
        assert!(said.records.as_ref().is_none_or(|records| records.is_empty()), "what came after is not read");

        for (connection, session) in [(&mut goes_on, opened.session_id), (&mut waits, late.session_id)] {
            let mut next = fetch(1, (session, 1), 100);
            next.topics.clear();
            let next = connection.call(12, &next).unwrap();
            assert_eq!((next.error_code, next.responses.len()), (70, 0), "the session is not known any more");
        }
        let next = goes_on.call(12, &fetch(1, (0, 0), 100)).unwrap();
        assert_eq!(next.responses[0].partitions[0].error_code, TOPIC_AUTHORIZATION_FAILED);
        assert_eq!(next.session_id, 0);
    }
}

#[test]
fn a_connection_is_closed_when_a_policy_leaves_it_nothing() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, RULES);
        let analyst = Person::of(&gateway, "analyst", "analysts");
        let mut connection = analyst.connection(gateway.address());
        connection.call(9, &asks_for(&["open-x"], false)).unwrap();
        fs::write(gateway.config_path().with_file_name("policy.yaml"), RULES.replace("[analysts]", "[others]"))
            .unwrap();
        assert_eq!(gateway.weir_json(&["reload"]).unwrap()[0]["changed"], true);
        assert!(connection.closes_within(Duration::from_secs(5)).unwrap());
        assert!(gateway.log().contains("leaves its identity no right"), "{}", gateway.log());
    }
}

/// Whatever the policy allows its bearer.
#[test]
fn a_token_that_was_narrowed_does_no_more_than_it_says() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, "recording: [{ mode: metadata }]\n");
        let [mine, other] = ["narrow", "wide"].map(|name| format!("{name}-{runtime}"));
        for topic in [&mine, &other] {
            admin::create_topic(common::cluster(), topic, &[1]).unwrap();
            admin::produce(common::cluster().address(1).unwrap(), topic, 0, Batch::counting(1).bytes()).unwrap();
        }
        let create = ["token", "create", "--subject", "bot", "--groups", "bots", "--ttl", "1h"];
        let made =
            gateway.weir_json(&[&create[..], &["--topics", "narrow-*", "--operations", "read"]].concat()).unwrap();
        let said = |key: &str| made[0][key].as_str().unwrap().to_owned();
        let token = Token { subject: "bot".to_owned(), id: said("id"), token: said("token") };
        let bot = Person { bootstrap: gateway.bootstrap(), token };
        let read = |topic: &str| bot.kcat(&["-C", "-e", "-o", "beginning", "-t", topic], "");
        assert_eq!(read(&mine).stdout.lines().count(), 1, "{}", read(&mine).stderr);
        assert!(read(&other).stderr.contains("Topic authorization failed"), "{}", read(&other).stderr);
        let refused = bot.kcat(&["-P", "-t", &mine], "more\n");
        assert!(refused.stderr.contains("Topic authorization failed"), "{}", refused.stderr);
        let listed = bot.kcat(&["-L"], "").stdout;
        assert!(listed.contains(&mine) && !listed.contains(&other), "{listed}");
        // Somebody else's token is as wide as it was.
        let free = Person::of(&gateway, "free", "bots");
        assert_eq!(free.kcat(&["-C", "-e", "-o", "beginning", "-t", &other], "").stdout.lines().count(), 1);
    }
}
