//! Weir's own logins to a real broker: every mechanism, on both runtimes; connections that outlive the broker's limit on
//! sessions (KIP-368); tokens that are renewed before they expire; and what is said when a login fails.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod credentials_support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use credentials_support::*;
use kafka_protocol::messages::{FetchRequest, MetadataRequest, ProduceRequest, ProduceResponse};
use loadtest::admin;
use loadtest::batch::Batch;
use loadtest::load;
use loadtest::weir::Gateway;
use loadtest::wire::Connection;
use loadtest::{Failure, http, wait_for};
use uuid::Uuid;

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(20);

/// Versions that name topics.
const PRODUCE: i16 = 9;
const FETCH: i16 = 12;

fn gateway(mechanism: &str, runtime: &str, endpoint: &loadtest::token_endpoint::TokenEndpoint) -> Gateway {
    let options = options(mechanism, secret_of(mechanism), endpoint).runtime(runtime);
    Gateway::start(env!("CARGO_BIN_EXE_weir"), options).unwrap()
}

#[test]
fn every_mechanism_lets_weir_in_and_the_broker_knows_it_by_its_name() {
    let endpoint = endpoint(HOUR);
    admin::create_topic(cluster(), "greetings", &[1]).unwrap();
    for mechanism in MECHANISMS {
        for runtime in RUNTIMES {
            let gateway = gateway(mechanism, runtime, &endpoint);
            let offset = admin::produce(broker(&gateway), "greetings", 0, Batch::counting(3).bytes());
            assert!(offset.unwrap() >= 0, "{mechanism} {runtime}");
        }
    }
    let asked = endpoint.asked();
    assert!(asked.iter().all(|asked| asked.client == (CLIENT.to_owned(), CLIENT_SECRET.to_owned())), "{asked:?}");
    assert_eq!(asked[0].form["scope"], "kafka");
    assert_eq!(asked[0].form["resource"], "a b");
    assert_eq!(asked.len(), RUNTIMES.len(), "one token serves all of a gateway's connections");
    let principals = wait_for("the broker's account of the produced records", SOON, || {
        let log = cluster().request_log(1)?;
        let produced = log.iter().filter(|r| r["request"]["topicData"][0]["name"] == "greetings");
        let names: Vec<String> = produced.map(|r| r["principal"].as_str().unwrap_or_default().to_owned()).collect();
        Ok((names.len() >= 8).then_some(names))
    })
    .unwrap();
    assert_eq!(principals[..6], ["User:weir"; 6]);
    assert_eq!(principals[6..], ["User:weir-client"; 2]);
}

/// Pipelines a small write, a long poll and a write of many reads over one connection until `end`; every answer has to
/// come, in order and good.
fn keeps_busy(door: SocketAddr, topic: &str, end: Instant) -> Result<(), Failure> {
    let request = |records: Vec<u8>| admin::produce_request(topic, Uuid::nil(), PRODUCE, 0, 1, records);
    let (small, large) = (request(Batch::counting(2).bytes()), request(load::batch(300, 1000)?.to_vec()));
    let poll = admin::fetch_request(topic, Uuid::nil(), FETCH, &[0], 4096).with_min_bytes(1 << 20).with_max_wait_ms(50);
    let produced = |answer: ProduceResponse| assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    let mut connection = Connection::open(door)?;
    while Instant::now() < end {
        let ids =
            [connection.send(PRODUCE, &small)?, connection.send(FETCH, &poll)?, connection.send(PRODUCE, &large)?];
        produced(connection.receive::<ProduceRequest>(PRODUCE, ids[0])?);
        connection.receive::<FetchRequest>(FETCH, ids[1])?;
        produced(connection.receive::<ProduceRequest>(PRODUCE, ids[2])?);
    }
    Ok(())
}

#[test]
fn a_clients_connection_outlives_the_brokers_sessions() {
    let endpoint = endpoint(HOUR);
    admin::create_topic(cluster(), "long-lived", &[1]).unwrap();
    let all = MECHANISMS.iter().flat_map(|mechanism| RUNTIMES.map(|runtime| (*mechanism, runtime)));
    let gateways: Vec<_> = all.map(|(m, runtime)| (m, runtime, gateway(m, runtime, &endpoint))).collect();
    let end = Instant::now() + SESSION * 2;
    std::thread::scope(|scope| {
        for (mechanism, runtime, gateway) in &gateways {
            for _ in 0..2 {
                let door = broker(gateway);
                scope.spawn(move || {
                    let kept = keeps_busy(door, "long-lived", end);
                    kept.unwrap_or_else(|e| panic!("{mechanism}, {runtime}: {e}\n{}", gateway.log()));
                });
            }
        }
    });
    for (mechanism, runtime, gateway) in &gateways {
        let metrics = gateway.metrics().unwrap();
        let relogins = |outcome| metrics.sum("weir_upstream_relogins_total", &[("outcome", outcome)]);
        assert!(
            relogins("renewed").unwrap_or(0.0) >= 2.0,
            "two connections, one login more each: {mechanism}, {runtime}"
        );
        assert_eq!(relogins("failed"), None, "{mechanism}, {runtime}");
    }
}

/// The broker is asked nothing while the client sleeps; a session that is long over is renewed all the same.
#[test]
fn a_client_that_slept_through_its_session_goes_on() {
    let endpoint = endpoint(HOUR);
    for runtime in RUNTIMES {
        let gateway = gateway("scram-sha-512", runtime, &endpoint);
        let mut connection = Connection::open(broker(&gateway)).unwrap();
        let request = MetadataRequest::default().with_topics(Some(Vec::new()));
        connection.call(12, &request).unwrap();
        std::thread::sleep(SESSION * 3 / 2);
        // Three at once: the first one waits for the login, the others must not pass it.
        for _ in 0..3 {
            connection.send(12, &request).unwrap();
        }
        for _ in 0..3 {
            connection.receive_frame().unwrap().expect("an answer");
        }
    }
}

#[test]
fn a_login_that_fails_says_whose_doing_it_was_and_what_to_do() {
    let endpoint = endpoint(HOUR);
    let (wrong, runtime) = ("planted-wrong-secret-77ab", "epoll");
    for (mechanism, expected) in [
        (
            "plain",
            "the broker refused Weir's own login (error 58): Authentication failed: Invalid username or password",
        ),
        (
            "scram-sha-256",
            "the broker refused Weir's own login (error 58): Authentication failed during authentication \
                           due to invalid credentials with SASL mechanism SCRAM-SHA-256",
        ),
        ("scram-sha-512", "with SASL mechanism SCRAM-SHA-512; check the cluster's `sasl` section"),
        (
            "oauthbearer",
            "refuses Weir with HTTP status 401 (invalid_client: Invalid client or Invalid client \
                         credentials); check `client_id`, `client_secret` and `scope` of the cluster's `sasl` section",
        ),
    ] {
        let options = options(mechanism, wrong, &endpoint).runtime(runtime);
        let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
        gateway.start_unready().unwrap();
        let ready = wait_for("the reason at /readyz", SOON, || {
            let (status, body) = http::get(gateway.control(), "/readyz")?;
            Ok((status == 503 && body.contains(expected)).then_some(body))
        });
        let ready = ready.unwrap_or_else(|e| panic!("{mechanism}: {e}\n{}", gateway.log()));
        let mut connection = Connection::open(gateway.address()).unwrap();
        connection.send(12, &MetadataRequest::default().with_topics(Some(Vec::new()))).unwrap();
        assert!(connection.closes_within(SOON).unwrap(), "{mechanism}");
        let log = gateway.log();
        assert!(log.contains(expected), "{mechanism}: {log}");
        assert!(!log.contains(wrong) && !ready.contains(wrong), "{mechanism}: {log}");
    }
}

#[test]
fn a_token_is_renewed_before_it_expires_and_the_last_good_one_serves_while_none_is_to_be_had() {
    let lifetime = Duration::from_secs(6);
    let endpoint = endpoint(lifetime);
    for runtime in RUNTIMES {
        endpoint.behave(|behaviour| behaviour.works = true);
        let gateway = gateway("oauthbearer", runtime, &endpoint);
        let door = broker(&gateway);
        let mut lives = Connection::open(door).unwrap();
        let request = MetadataRequest::default().with_topics(Some(Vec::new()));
        let before = endpoint.asked().len();
        wait_for("a renewal before the expiry", lifetime, || Ok((endpoint.asked().len() > before).then_some(())))
            .unwrap();
        endpoint.behave(|behaviour| behaviour.works = false);
        let failing_since = Instant::now();
        while failing_since.elapsed() < lifetime / 2 {
            lives.call(12, &request).unwrap();
            Connection::open(door).unwrap().call(12, &request).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
        wait_for("the end of the last good token", SOON, || {
            let answer = Connection::open(door)?.call(12, &request);
            Ok(answer.is_err().then_some(()))
        })
        .unwrap();
        let log = gateway.log();
        assert!(log.contains("no new token for Weir's own login: the token endpoint"), "{log}");
        assert!(log.contains("refuses Weir with HTTP status 503 (temporarily_unavailable)"), "{log}");
        endpoint.behave(|behaviour| behaviour.works = true);
        wait_for("tokens again", SOON, || Ok(Connection::open(door)?.call(12, &request).ok())).unwrap();
        let given = endpoint.asked().into_iter().filter_map(|asked| asked.token);
        let log = gateway.log();
        given.for_each(|token| assert!(!log.contains(&token), "a token in the log"));
    }
}
