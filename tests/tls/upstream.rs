//! Weir as a client of brokers that speak TLS: whom it takes for a broker, and what it shows.

use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;

use crate::hazards_support::{METADATA, PRODUCE, RUNTIMES, batch, create_topic, no_topics, produce};
use crate::world::{log_says, world};

/// In front of `upstream`, whose `tls` is this; waits until it is up, not until it is ready.
fn before(upstream: &str, runtime: &str, tls: &str) -> Gateway {
    let mut options = Options::new(upstream).runtime(runtime);
    options.cluster.push(format!("tls: {{ {tls} }}"));
    let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
    gateway.start_unready().unwrap();
    gateway
}

fn ca() -> String {
    format!("ca: {}", world().ca.display())
}

fn identity() -> String {
    let weir = &world().weir;
    format!("certificate: {}, key: {}", weir.certificate.display(), weir.key.display())
}

fn works(gateway: &Gateway) {
    let mut client = Connection::open(gateway.address()).unwrap();
    assert!(!client.call(METADATA, &no_topics()).unwrap().brokers.is_empty());
}

#[test]
fn a_broker_that_asks_for_a_certificate_is_shown_ours() {
    let [_, mutual] = world().cluster.tls_bootstraps();
    for runtime in RUNTIMES {
        let gateway = before(&mutual, runtime, &format!("{}, {}", ca(), identity()));
        works(&gateway);
        let topic = format!("mutual-{runtime}");
        create_topic(gateway.address(), &topic);
        let mut client = Connection::open(gateway.address()).unwrap();
        let answer = client.call(PRODUCE, &produce(&topic, -1, batch(3, 100))).unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
}

#[test]
fn a_broker_that_misses_our_certificate_is_told_of_in_the_log() {
    let [_, mutual] = world().cluster.tls_bootstraps();
    let gateway = before(&mutual, "epoll", &ca());
    log_says(&gateway, &["no broker can be reached", "asks for one and was shown none"]);
    assert!(!gateway.log().contains("upstream reached"), "{}", gateway.log());
}

#[test]
fn a_broker_whose_certificate_is_for_another_host_is_refused_unless_hosts_are_not_verified() {
    let [tls, _] = world().cluster.tls_bootstraps();
    let by_address = tls.replace("localhost", "127.0.0.1");
    let gateway = before(&by_address, "epoll", &ca());
    log_says(&gateway, &["no broker can be reached", "127.0.0.1", "certificate is for another host"]);
    assert!(
        gateway.metrics().unwrap().sum("weir_tls_failures_total", &[("owner", "cluster"), ("name", "main")])
            > Some(0.0)
    );
    for runtime in RUNTIMES {
        works(&before(&by_address, runtime, &format!("{}, verify_host: false", ca())));
    }
}

#[test]
fn a_broker_whose_authority_is_not_trusted_is_refused_even_where_hosts_are_not_verified() {
    let [tls, _] = world().cluster.tls_bootstraps();
    let other = world().folder("upstream").join("stranger.pem");
    loadtest::tls::replace(&other, &world().stranger.pem()).unwrap();
    let gateway = before(&tls, "epoll", &format!("ca: {}, verify_host: false", other.display()));
    log_says(&gateway, &["no broker can be reached", "comes from no authority that is trusted here"]);
}

#[test]
fn a_broker_that_speaks_plaintext_is_no_place_for_tls() {
    let gateway = before(&world().cluster.bootstrap(), "epoll", &ca());
    log_says(&gateway, &["no broker can be reached", "TLS handshake with broker 127.0.0.1"]);
}
