//! Stock clients log in as they are made to: with tokens that they themselves get from a real Keycloak and renew there, and
//! with the gateway's own tokens by SCRAM.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use kafka_protocol::messages::MetadataRequest;
use loadtest::clients::{Client, JavaTools, Login, Record, Script, Target};
use loadtest::keycloak::Keycloak;
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(10);

fn keycloak() -> &'static Keycloak {
    static KEYCLOAK: OnceLock<Keycloak> = OnceLock::new();
    KEYCLOAK.get_or_init(|| Keycloak::start().unwrap())
}

/// A gateway that trusts the Keycloak's realm, besides its own tokens.
fn gateway(runtime: &str) -> Gateway {
    let mut options =
        Options::new(common::cluster().bootstrap()).runtime(runtime).auth(&["weir_token", "scram", "jwt"]);
    options.top = vec![format!(
        "issuers: [{{ name: keycloak, issuer: \"{}\", audience: [kafka], subject: preferred_username, \
         groups: realm_access.roles }}]",
        keycloak().issuer()
    )];
    common::gateway_before(common::cluster(), options)
}

/// How a service of the realm logs in.
fn service(client: &str) -> Login {
    Login::Oidc { endpoint: keycloak().token_endpoint(), client: client.to_owned(), secret: format!("{client}-s3cret") }
}

fn plays(client: Client, target: &Target, topic: &str) {
    let record = |n: usize| Record { key: Some(format!("k{n}")), value: Some(format!("v{n}")), headers: Vec::new() };
    let script: Script = BTreeMap::from([("none", (0..20).map(record).collect())]);
    let mut read = client.play(target, topic, 2, &format!("{topic}-group"), &script).unwrap();
    read.sort();
    let mut sent = script["none"].clone();
    sent.sort();
    assert_eq!(read, sent, "{topic}");
}

/// The identity in the sessions that named this topic, once the recording has them.
fn identity_at(gateway: &Gateway, subject: &str) -> Value {
    wait_for(&format!("a session of {subject}"), SOON, || {
        Ok(gateway.weir_json(&["sessions", "--identity", subject])?.first().map(|s| s["identity"].clone()))
    })
    .unwrap()
}

fn brokers() -> MetadataRequest {
    MetadataRequest::default().with_topics(Some(Vec::new()))
}

/// Logged in with a JWT, and used.
fn let_in(gateway: &Gateway, token: &str) {
    let mut connection = Connection::open(gateway.address()).unwrap();
    assert_eq!(connection.login_bearer(token).unwrap().error_code, 0);
    connection.call(12, &brokers()).unwrap();
}

#[test]
fn java_and_librdkafka_log_in_with_tokens_that_they_get_from_keycloak() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime);
        std::thread::scope(|scope| {
            for client in [Client::JavaConsole, Client::ConfluentKafka] {
                let name = format!("oidc-{}-{runtime}", client.name());
                let target = Target::with_login(gateway.bootstrap(), &name, service("orders-service"));
                scope.spawn(move || plays(client, &target, &name));
            }
        });
        let identity = identity_at(&gateway, "service-account-orders-service");
        assert_eq!(identity["issuer"], keycloak().issuer());
        assert_eq!(identity["mechanism"], "jwt");
        assert_eq!(identity["groups"], serde_json::json!(["analysts"]));
    }
}

#[test]
fn every_client_family_logs_in_by_scram_under_both_hashes() {
    for (runtime, mechanism) in common::RUNTIMES.into_iter().zip(["SCRAM-SHA-256", "SCRAM-SHA-512"]) {
        let gateway = gateway(runtime);
        std::thread::scope(|scope| {
            for client in [Client::JavaConsole, Client::ConfluentKafka, Client::FranzGo] {
                let name = format!("{mechanism}-{}", client.name());
                let token = gateway.token(&name, "e2e").unwrap();
                let target = Target::with_login(gateway.bootstrap(), &name, Login::Scram { mechanism, token });
                let gateway = &gateway;
                scope.spawn(move || {
                    plays(client, &target, &name);
                    assert_eq!(identity_at(gateway, &name)["mechanism"], "scram_token");
                });
            }
        });
    }
}

#[test]
fn a_person_logs_in_by_plain_with_a_jwt_for_a_password() {
    let gateway = gateway("auto");
    let password = keycloak().user_token("ann").unwrap();
    let login = Login::Plain { user: "ann".to_owned(), password };
    let target = Target::with_login(gateway.bootstrap(), "person", login);
    plays(Client::ConfluentKafka, &target, "a-person");
    assert_eq!(identity_at(&gateway, "ann")["groups"], serde_json::json!(["analysts", "sre"]));
}

/// Tokens live for 12 s here, the producer for 30.
#[test]
fn a_java_client_renews_its_login_by_itself_and_its_connection_stays() {
    std::thread::scope(|scope| {
        for runtime in common::RUNTIMES {
            scope.spawn(move || {
                let gateway = gateway(runtime);
                let target = Target::with_login(gateway.bootstrap(), "renewing", service("short-lived"));
                let tools = JavaTools::new(&target).unwrap();
                let topic = format!("renewing-{runtime}");
                tools.create_topic(&topic, 1).unwrap();
                let args = ["--topic", &topic, "--num-records", "300", "--record-size", "100", "--throughput", "10"];
                let output = tools.tool("org.apache.kafka.tools.ProducerPerformance", &args, b"").unwrap();
                assert!(output.stdout.contains("300 records sent"), "{}", output.stdout);
                let (producing, logins) = wait_for("all records in the recording", SOON, || {
                    Ok(produced(&gateway, "service-account-short-lived", 300))
                })
                .unwrap();
                assert_eq!(producing, 1, "one connection produced all of it");
                assert!(logins >= 3, "{logins} logins on it: the first, and two more at least");
            });
        }
    });
}

/// How many connections of `subject` produced, and how often those logged in; once the recording has `records` of them.
fn produced(gateway: &Gateway, subject: &str, records: u64) -> Option<(usize, usize)> {
    const PRODUCE: i64 = 0;
    const SASL_AUTHENTICATE: i64 = 36;
    let sessions = gateway.weir_json(&["sessions", "--identity", subject]).unwrap();
    let written: u64 = sessions.iter().filter_map(|session| session["records_written"].as_u64()).sum();
    if written < records {
        return None;
    }
    let ids = sessions.iter().map(|session| session["id"].as_str().unwrap().to_owned());
    let shown: Vec<Value> = ids.flat_map(|id| gateway.weir_json(&["show", &id]).unwrap()).collect();
    let of = |api: i64| shown.iter().filter(move |event| event["request"]["api_key"] == api);
    let place = |event: &Value| (event["shard"].as_u64(), event["connection"].as_u64());
    let producing: BTreeSet<_> = of(PRODUCE).map(place).collect();
    let logins = of(SASL_AUTHENTICATE).filter(|event| producing.contains(&place(event))).count();
    Some((producing.len(), logins))
}

#[test]
fn a_client_that_does_not_renew_its_login_is_cut_off_when_its_token_ends() {
    let gateway = gateway("auto");
    let mut connection = Connection::open(gateway.address()).unwrap();
    let answer = connection.login_bearer(&keycloak().service_token("short-lived").unwrap()).unwrap();
    assert_eq!(answer.error_code, 0, "{answer:?}");
    assert!((1..=12_000).contains(&answer.session_lifetime_ms), "{answer:?}");
    connection.call(12, &brokers()).unwrap();
    assert!(connection.closes_within(Duration::from_secs(20)).unwrap());
    let told = || Ok(gateway.log().contains("the JWT of service-account-short-lived has expired").then_some(()));
    wait_for("the log saying why", SOON, told).unwrap();
}

#[test]
fn keys_rotated_in_keycloak_are_followed_without_a_restart_or_a_failed_login() {
    let gateway = gateway("auto");
    let before = keycloak().service_token("orders-service").unwrap();
    let_in(&gateway, &before);
    keycloak().rotate_keys().unwrap();
    let after = keycloak().service_token("orders-service").unwrap();
    let header = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_ne!(header(&before), header(&after), "another key");
    let_in(&gateway, &after);
    let_in(&gateway, &before);
}

#[test]
fn clients_show_why_their_token_was_refused() {
    let gateway = gateway("auto");
    let target = Target::with_login(gateway.bootstrap(), "elsewhere", service("elsewhere"));
    let words = JavaTools::new(&target).unwrap().create_topic("never", 1).unwrap_err().to_string();
    assert!(words.contains("SaslAuthenticationException") && words.contains("expected kafka"), "{words}");
    let script: Script = BTreeMap::from([("none", Vec::new())]);
    let words = Client::ConfluentKafka.play(&target, "never", 1, "never", &script).unwrap_err().to_string();
    assert!(words.contains("expected kafka"), "{words}");
    let log = gateway.log();
    assert!(log.contains("is for audience") && !log.contains("eyJ"), "{log}");
}
