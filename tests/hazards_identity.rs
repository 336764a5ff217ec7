//! Who is let in: by which token, for how long, and as whom; what is refused reaches no broker, and no secret is kept or
//! told anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hazards_support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hazards_support::*;
use kafka_protocol::messages::{
    ApiVersionsRequest, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
};
use kafka_protocol::protocol::StrBytes;
use loadtest::kafka::{self, Cluster};
use loadtest::weir::{Gateway, Options, Token};
use loadtest::wire::Connection;
use loadtest::{http, wait_for};

const SASL_AUTHENTICATION_FAILED: i16 = 58;
const UPSTREAM_PASSWORD: &str = "upstream-s3cret-7f3a";

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let users = vec![("weir".to_owned(), UPSTREAM_PASSWORD.to_owned())];
    CLUSTER
        .get_or_init(|| Cluster::start(1, kafka::Options { users, request_log: true, ..Default::default() }).unwrap())
}

fn broker() -> SocketAddr {
    cluster().address(1).unwrap()
}

/// A gateway of each runtime whose clients have to log in.
fn each_gateway(check: impl Fn(&Gateway, &str)) {
    for runtime in RUNTIMES {
        let options = Options::new(cluster().bootstrap()).runtime(runtime).auth(&["weir_token"]);
        check(&gateway(options), runtime);
    }
}

fn connect(gateway: &Gateway) -> Connection {
    Connection::open(gateway.address()).unwrap()
}

/// Logged in, and used once.
fn logged_in(gateway: &Gateway, token: &Token) -> Connection {
    let mut connection = connect(gateway);
    assert_eq!(connection.login_plain(&token.subject, &token.token).unwrap().error_code, 0);
    connection.call(METADATA, &no_topics()).unwrap();
    connection
}

fn short_lived(gateway: &Gateway, subject: &str, ttl: &str) -> Token {
    let issued = gateway.weir_json(&["token", "create", "--subject", subject, "--ttl", ttl]).unwrap();
    let text = |key: &str| issued[0][key].as_str().unwrap().to_owned();
    Token { subject: subject.to_owned(), id: text("id"), token: text("token") }
}

/// A failed login's words, after which the connection has to end.
fn refused(gateway: &Gateway, connection: &mut Connection, user: &str, password: &str) -> String {
    let answer = connection.login_plain(user, password).unwrap();
    assert_eq!(answer.error_code, SASL_AUTHENTICATION_FAILED, "{answer:?}");
    assert!(connection.closes_within(SOON).unwrap());
    logged(gateway, connection, "connection closed, client: ");
    answer.error_message.unwrap().to_string()
}

#[test]
fn before_a_login_nothing_of_a_client_reaches_a_broker() {
    each_gateway(|gateway, runtime| {
        let stranger = format!("stranger-{runtime}");
        let open = || connect(gateway).with_client_id(&stranger);
        let mut asking = open();
        asking.send(METADATA, &no_topics()).unwrap();
        ends_saying(gateway, &mut asking, "this listener asks for a login first");

        let mut writing = open();
        writing.send(PRODUCE, &produce("strangers", 0, batch(1, 10))).unwrap();
        ends_saying(gateway, &mut writing, "this listener asks for a login first");

        // Sent behind a login that fails, without awaiting its answer.
        let mut hasty = open();
        let mechanism = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN"));
        hasty.send(1, &mechanism).unwrap();
        hasty
            .send(2, &SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(b"\0eve\0guess")))
            .unwrap();
        hasty.send(METADATA, &no_topics()).unwrap();
        hasty.receive::<SaslHandshakeRequest>(1, 1).unwrap();
        let answer: SaslAuthenticateResponse = hasty.receive::<SaslAuthenticateRequest>(2, 2).unwrap();
        assert_eq!(answer.error_code, SASL_AUTHENTICATION_FAILED);
        assert!(hasty.closes_within(SOON).unwrap());

        let known = format!("known-{runtime}");
        let token = gateway.token("known", "dev").unwrap();
        let mut connection = connect(gateway).with_client_id(&known);
        connection.login_plain("known", &token.token).unwrap();
        connection.call(METADATA, &no_topics()).unwrap();
        let seen = |client_id: &str| {
            let log = cluster().request_log(1).unwrap();
            log.iter().any(|line| line["requestHeader"]["clientId"] == client_id)
        };
        wait_for("the request that was let in", SOON, || Ok(seen(&known).then_some(()))).unwrap();
        assert!(!seen(&stranger));
    });
}

#[test]
fn a_login_that_fails_is_told_why_in_words_that_help_and_give_nothing_away() {
    each_gateway(|gateway, _| {
        let token = gateway.token("analyst-7", "analysts").unwrap();
        let try_login = |user: &str, password: &str| refused(gateway, &mut connect(gateway), user, password);
        assert!(try_login("analyst-7", "hunter2").contains("not a Weir token"));
        let other_secret = format!("{}x", &token.token[..token.token.len() - 1]);
        let wrong_secret = try_login("analyst-7", &other_secret);
        let unknown_id = try_login("analyst-7", &token.token.replace(&token.id, &"0".repeat(token.id.len())));
        assert_eq!(wrong_secret, unknown_id, "which of the two was wrong helps who guesses");
        assert!(try_login("analyst-8", &token.token).contains("belongs to another user name"));
        gateway.weir(&["token", "revoke", &token.id]).unwrap();
        assert!(try_login("analyst-7", &token.token).contains(&format!("token {} was revoked", token.id)));
        let short = short_lived(gateway, "brief", "1s");
        sleep(Duration::from_millis(1100));
        assert!(try_login("brief", &short.token).contains(&format!("token {} expired at", short.id)));
    });
}

#[test]
fn a_revoked_token_ends_its_connections_within_a_second_and_no_others() {
    each_gateway(|gateway, _| {
        let (taken, kept) = (gateway.token("taken", "dev").unwrap(), gateway.token("kept", "dev").unwrap());
        let (mut first, mut second) = (logged_in(gateway, &taken), logged_in(gateway, &taken));
        let mut other = logged_in(gateway, &kept);
        gateway.weir(&["token", "revoke", &taken.id]).unwrap();
        let revoked = Instant::now();
        let why = format!("token {} was revoked", taken.id);
        ends_saying(gateway, &mut first, &why);
        ends_saying(gateway, &mut second, &why);
        assert!(revoked.elapsed() < Duration::from_secs(3), "{:?}, a second is meant", revoked.elapsed());
        other.call(METADATA, &no_topics()).unwrap();
    });
}

#[test]
fn a_connection_ends_with_its_token_and_is_told_its_lifetime_at_login() {
    each_gateway(|gateway, _| {
        let token = short_lived(gateway, "brief", "3s");
        let mut connection = connect(gateway);
        let answer = connection.login_plain("brief", &token.token).unwrap();
        assert_eq!(answer.error_code, 0);
        assert!((1..=3000).contains(&answer.session_lifetime_ms), "{answer:?}");
        connection.call(METADATA, &no_topics()).unwrap();
        ends_saying(gateway, &mut connection, &format!("token {} has expired", token.id));
    });
}

#[test]
fn tokens_are_created_listed_and_revoked_with_and_without_a_running_gateway() {
    for runtime in RUNTIMES {
        let options = Options::new(cluster().bootstrap()).runtime(runtime).auth(&["weir_token"]);
        let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
        let (before, gone) = (gateway.token("before", "dev").unwrap(), gateway.token("gone", "dev").unwrap());
        gateway.weir(&["token", "revoke", &gone.id]).unwrap();
        gateway.start_again().unwrap();
        logged_in(&gateway, &before);
        assert!(refused(&gateway, &mut connect(&gateway), "gone", &gone.token).contains("was revoked"));
        let during = gateway.token("during", "dev").unwrap();
        logged_in(&gateway, &during);
        gateway.kill9().unwrap();
        let listed = gateway.weir_json(&["token", "list"]).unwrap();
        let mut states: Vec<_> =
            listed.iter().map(|t| (t["subject"].as_str().unwrap(), t["state"].as_str().unwrap())).collect();
        states.sort_unstable();
        assert_eq!(states, [("before", "active"), ("during", "active"), ("gone", "revoked")], "{runtime}");
    }
}

#[test]
fn anonymous_and_named_clients_share_a_listener_and_are_told_apart() {
    for runtime in RUNTIMES {
        let options = Options::new(cluster().bootstrap()).runtime(runtime).auth(&["anonymous", "weir_token"]);
        let gateway = gateway(options);
        let token = gateway.token("named", "dev").unwrap();
        logged_in(&gateway, &token);
        connect(&gateway).call(METADATA, &no_topics()).unwrap();
        // Who tries to log in and fails is not let in as nobody.
        refused(&gateway, &mut connect(&gateway), "named", "wrong");
        wait_for("both sessions", SOON, || {
            let sessions = gateway.weir_json(&["sessions"])?;
            let mut who: Vec<_> = sessions.iter().filter_map(|s| s["identity"]["subject"].as_str()).collect();
            who.sort_unstable();
            who.dedup();
            Ok((who.contains(&"anonymous") && who.contains(&"named")).then_some(()))
        })
        .unwrap();
    }
}

#[test]
fn a_bare_token_behind_a_version_0_handshake_logs_in_or_is_closed() {
    each_gateway(|gateway, _| {
        let token = gateway.token("old", "dev").unwrap();
        let handshake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN"));
        let plain = |password: &str| format!("\0old\0{password}").into_bytes();

        let mut connection = connect(gateway);
        assert_eq!(connection.call(0, &handshake).unwrap().error_code, 0);
        connection.send_frame(&plain(&token.token)).unwrap();
        assert_eq!(connection.receive_frame().unwrap().unwrap(), Bytes::new());
        connection.call(METADATA, &no_topics()).unwrap();

        let mut wrong = connect(gateway);
        wrong.call(0, &handshake).unwrap();
        wrong.send_frame(&plain("wrong")).unwrap();
        ends_saying(gateway, &mut wrong, "the password is not a Weir token");

        let mut flood = connect(gateway);
        flood.call(0, &handshake).unwrap();
        flood.send_bytes(&i32::to_be_bytes(1 << 20)).unwrap();
        ends_saying(gateway, &mut flood, "the length prefix says 1048576 bytes, the limit is 65536");
    });
}

#[test]
fn a_connection_authenticates_again_as_the_same_principal_only() {
    each_gateway(|gateway, _| {
        let (mine, renewed) = (gateway.token("me", "dev").unwrap(), gateway.token("me", "dev").unwrap());
        let other = gateway.token("other", "dev").unwrap();
        let mut connection = logged_in(gateway, &mine);
        let again = connection.login_plain("me", &renewed.token).unwrap();
        assert_eq!(again.error_code, 0);
        assert!(again.session_lifetime_ms > 23 * 3_600_000, "{again:?}");
        // From here on it rests on the second token.
        gateway.weir(&["token", "revoke", &mine.id]).unwrap();
        sleep(Duration::from_millis(700));
        connection.call(METADATA, &no_topics()).unwrap();
        let words = refused(gateway, &mut connection, "other", &other.token);
        assert!(words.contains("as the same principal only"), "{words}");
    });
}

#[test]
fn a_handshake_for_another_mechanism_is_told_what_is_offered() {
    each_gateway(|gateway, _| {
        let mut connection = connect(gateway);
        connection.call(0, &ApiVersionsRequest::default()).unwrap();
        let asked = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("SCRAM-SHA-256"));
        let answer = connection.call(1, &asked).unwrap();
        assert_eq!(answer.error_code, 33);
        assert_eq!(answer.mechanisms.iter().map(|m| m.as_str()).collect::<Vec<_>>(), ["PLAIN"]);
        ends_saying(gateway, &mut connection, "SASL mechanism \"SCRAM-SHA-256\" is not offered here, PLAIN is");
    });
}

#[test]
fn no_secret_of_a_login_is_kept_or_told() {
    each_gateway(|gateway, _| {
        let token = gateway.token("careful", "dev").unwrap();
        let secret = token.token.rsplit('_').next().unwrap().to_owned();
        let mut connection = logged_in(gateway, &token);
        connection.call(PRODUCE, &produce("careful-topic", -1, batch(1, 10))).unwrap();
        refused(gateway, &mut connect(gateway), "careful", "p4ssw0rd-in-the-wrong-field");
        let shown = wait_for("the session in the recording", SOON, || {
            let sessions = gateway.weir_json(&["sessions", "--identity", "careful"])?;
            let Some(id) = sessions.first().and_then(|s| s["id"].as_str()) else { return Ok(None) };
            let shown = gateway.weir(&["show", id, "--json"])?.stdout;
            Ok(shown.contains("careful-topic").then_some(shown))
        })
        .unwrap();
        let sessions = gateway.weir(&["sessions", "--json"]).unwrap().stdout;
        let (_, metrics) = http::get(gateway.control(), "/metrics").unwrap();
        for secret in [secret.as_str(), "p4ssw0rd-in-the-wrong-field"] {
            for (place, text) in
                [("show", &shown), ("sessions", &sessions), ("log", &gateway.log()), ("metrics", &metrics)]
            {
                assert!(!text.contains(secret), "the secret is in {place}");
            }
            assert_eq!(files_with(&gateway.store_path(), secret.as_bytes()), Vec::<String>::new());
        }
        // The search does find what is there.
        assert!(!files_with(&gateway.store_path(), token.id.as_bytes()).is_empty());
    });
}

fn upstream_login(runtime: &str, password: &str) -> Options {
    let mut options = Options::new(cluster().sasl_bootstrap()).runtime(runtime);
    options.cluster = vec![format!("sasl: {{ mechanism: plain, username: weir, password: {password} }}")];
    options
}

#[test]
fn the_gateway_logs_in_upstream_with_a_secret_from_environment_or_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, format!("{UPSTREAM_PASSWORD}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    for runtime in RUNTIMES {
        let mut from_env = upstream_login(runtime, "{ env: WEIR_TEST_UPSTREAM }");
        from_env.env = vec![("WEIR_TEST_UPSTREAM".to_owned(), UPSTREAM_PASSWORD.to_owned())];
        let from_file = upstream_login(runtime, &format!("{{ file: {} }}", file.display()));
        for options in [from_env, from_file] {
            let gateway = gateway(options);
            let answer = connect(&gateway).call(METADATA, &no_topics()).unwrap();
            assert!(gateway.owns_port(answer.brokers[0].port as u16));
            assert!(!gateway.log().contains(UPSTREAM_PASSWORD));
            assert_eq!(files_with(&gateway.store_path(), UPSTREAM_PASSWORD.as_bytes()), Vec::<String>::new());
        }
    }
}

#[test]
fn a_wrong_upstream_secret_is_told_at_readyz_and_clients_are_closed() {
    for runtime in RUNTIMES {
        let mut options = upstream_login(runtime, "{ env: WEIR_TEST_UPSTREAM }");
        options.env = vec![("WEIR_TEST_UPSTREAM".to_owned(), "wr0ng-s3cret-91".to_owned())];
        let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
        gateway.start_unready().unwrap();
        wait_for("the reason at /readyz", SOON, || {
            let (status, body) = http::get(gateway.control(), "/readyz")?;
            let told = body.contains("refused Weir's own login") && !body.contains("wr0ng-s3cret-91");
            Ok((status == 503 && told).then_some(()))
        })
        .unwrap();
        let mut connection = connect(&gateway);
        connection.send(METADATA, &no_topics()).unwrap();
        ends_saying(&gateway, &mut connection, "refused Weir's own login");
        assert!(!gateway.log().contains("wr0ng-s3cret-91"));
    }
    // The cluster itself is well.
    Connection::open(broker()).unwrap().call(METADATA, &no_topics()).unwrap();
}
