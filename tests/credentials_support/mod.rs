//! What the tests of Weir's own logins share: a cluster that takes every mechanism and limits a session's life, and the
//! configuration of each login.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use loadtest::kafka::{self, Cluster};
use loadtest::token_endpoint::TokenEndpoint;
use loadtest::weir::{Gateway, Options};

/// Both, always: what holds on one runtime only does not hold.
pub const RUNTIMES: [&str; 2] = ["io_uring", "epoll"];

/// The user of Weir's own logins, and its password: nothing else on this machine reads like it.
pub const USER: &str = "weir";
pub const PASSWORD: &str = "planted-password-8c1f";

/// The same for tokens.
pub const CLIENT: &str = "weir-client";
pub const CLIENT_SECRET: &str = "planted+client/secret=51d2";

/// Every mechanism, as the configuration names it.
pub const MECHANISMS: [&str; 4] = ["plain", "scram-sha-256", "scram-sha-512", "oauthbearer"];

/// After this time a broker closes a connection that has not logged in again. Weir does so when 5 to 15 % of it are left: more
/// than a busy machine lets pass between a request and its broker.
pub const SESSION: Duration = Duration::from_secs(5);

/// One broker that takes every mechanism, for tests that leave it as it is. It goes with the process.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let options = kafka::Options {
            users: vec![(USER.to_owned(), PASSWORD.to_owned())],
            mechanisms: vec!["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"],
            request_log: true,
            properties: vec![format!("connections.max.reauth.ms={}", SESSION.as_millis())],
            ..kafka::Options::default()
        };
        Cluster::start(1, options).unwrap()
    })
}

/// A token endpoint that knows Weir, with tokens of this life.
pub fn endpoint(lifetime: Duration) -> TokenEndpoint {
    TokenEndpoint::start((CLIENT, CLIENT_SECRET), lifetime).unwrap()
}

/// A gateway's options that log in by `mechanism`, with this secret.
pub fn options(mechanism: &str, secret: &str, endpoint: &TokenEndpoint) -> Options {
    let mut options = Options::new(cluster().sasl_bootstrap());
    let login = match mechanism {
        "oauthbearer" => format!(
            "token_endpoint: \"{}\", client_id: {CLIENT}, client_secret: {{ env: WEIR_SECRET }}, scope: kafka, \
             parameters: {{ resource: \"a b\" }}, extensions: {{ logicalCluster: lkc-1 }}",
            endpoint.url()
        ),
        _ => format!("username: {USER}, password: {{ env: WEIR_SECRET }}"),
    };
    options.cluster.push(format!("sasl: {{ mechanism: {mechanism}, {login} }}"));
    options.env.push(("WEIR_SECRET".to_owned(), secret.to_owned()));
    options
}

/// The secret that lets Weir in.
pub fn secret_of(mechanism: &str) -> &'static str {
    if mechanism == "oauthbearer" { CLIENT_SECRET } else { PASSWORD }
}

/// The address that stands for the cluster's only broker, once its door is open.
pub fn broker(gateway: &Gateway) -> SocketAddr {
    let door = gateway.broker_address(1).unwrap();
    let open = || Ok(loadtest::wire::Connection::open(door).ok());
    loadtest::wait_for("the door of the broker", Duration::from_secs(10), open).unwrap();
    door
}
