//! Weir's own logins to a real broker: every mechanism, on both runtimes; connections that outlive the broker's limit on
//! sessions (KIP-368); tokens that are renewed before they expire; and what is said when a login fails.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod credentials_support;

use std::time::{Duration, Instant};

use credentials_support::*;
use kafka_protocol::messages::MetadataRequest;
use loadtest::admin;
use loadtest::batch::Batch;
use loadtest::load::{self, Load, Shape};
use loadtest::weir::Gateway;
use loadtest::wire::Connection;
use loadtest::{http, wait_for};

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(20);

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
    let principals: Vec<String> = wait_for("the broker's account of the produced records", SOON, || {
        let log = cluster().request_log(1)?;
        let produced = log.iter().filter(|r| r["requestHeader"]["requestApiKeyName"] == "PRODUCE");
        let names: Vec<String> = produced.map(|r| r["principal"].as_str().unwrap_or_default().to_owned()).collect();
        Ok((names.len() >= 8).then_some(names))
    })
    .unwrap();
    assert_eq!(principals.iter().filter(|name| *name == "User:weir").count(), 6, "{principals:?}");
    assert_eq!(principals.iter().filter(|name| *name == "User:weir-client").count(), 2, "{principals:?}");
}

/// Pipelined requests, half of them long polls, for three of the broker's sessions: not one connection ends.
#[test]
fn a_clients_connection_outlives_the_brokers_sessions() {
    let endpoint = endpoint(HOUR);
    admin::create_topic(cluster(), "long-lived", &[1]).unwrap();
    let records = load::batch(10, 100).unwrap();
    admin::produce(cluster().address(1).unwrap(), "long-lived", 0, records.to_vec()).unwrap();
    let shape = Shape { connections: 3, in_flight: 5, time: SESSION * 3 };
    let produce = Load::Produce { topic: "long-lived".into(), records };
    let fetch = Load::Fetch { topic: "long-lived".into(), bytes: 64 << 10, offsets: vec![0] };
    for mechanism in MECHANISMS {
        for gateway in RUNTIMES.map(|runtime| gateway(mechanism, runtime, &endpoint)) {
            let door = broker(&gateway);
            std::thread::scope(|scope| {
                let reading = scope.spawn(|| load::run(door, &fetch, shape));
                load::run(door, &produce, shape).unwrap_or_else(|e| panic!("{mechanism}: {e}\n{}", gateway.log()));
                reading.join().unwrap().unwrap_or_else(|e| panic!("{mechanism}: {e}\n{}", gateway.log()));
            });
            let metrics = wait_for("metrics of the logins", SOON, || gateway.metrics().map(Some)).unwrap();
            let relogins = |outcome| metrics.sum("weir_upstream_relogins_total", &[("outcome", outcome)]);
            assert!(relogins("renewed").unwrap_or(0.0) >= 12.0, "six connections, two sessions each: {mechanism}");
            assert_eq!(relogins("failed"), None, "{mechanism}");
        }
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
        std::thread::sleep(SESSION * 2);
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
