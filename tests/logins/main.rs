//! Logging in by every mechanism that a listener can offer, as a client on the wire sees it; what each refuses, how it says
//! so, and what an ill identity provider may not spoil.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../hazards_support/mod.rs"]
mod hazards_support;
mod issuer;
mod jwt;
mod keys;
mod mixed;
mod scram;

use std::sync::OnceLock;

use hazards_support::*;
use kafka_protocol::messages::SaslAuthenticateResponse;
use loadtest::kafka::{self, Cluster};
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;

const SASL_AUTHENTICATION_FAILED: i16 = 58;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(1, kafka::Options::default()).unwrap())
}

fn connect(gateway: &Gateway) -> Connection {
    Connection::open(gateway.address()).unwrap()
}

/// A login that went well, and the connection of use after it.
fn let_in(connection: &mut Connection, answer: &SaslAuthenticateResponse) {
    assert_eq!(answer.error_code, 0, "{answer:?}");
    connection.call(METADATA, &no_topics()).unwrap();
}

/// A failed login's words, after which the connection has to end.
fn refused(gateway: &Gateway, connection: &mut Connection, answer: SaslAuthenticateResponse) -> String {
    assert_eq!(answer.error_code, SASL_AUTHENTICATION_FAILED, "{answer:?}");
    assert!(connection.closes_within(SOON).unwrap());
    logged(gateway, connection, "connection closed, client: ");
    answer.error_message.unwrap().to_string()
}

/// A gateway whose clients log in so, with these lines added to its configuration.
fn options(runtime: &str, auth: &[&str], top: &[&str]) -> Options {
    let mut options = Options::new(cluster().bootstrap()).runtime(runtime).auth(auth);
    options.top = top.iter().map(|&line| line.to_owned()).collect();
    options
}
