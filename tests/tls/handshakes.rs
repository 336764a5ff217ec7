//! Handshakes that fail or never end: cut in time, named in the log, counted, and nobody else's affair.

use std::io::Read;
use std::thread::sleep;
use std::time::Duration;

use loadtest::tls::A_DAY;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;

use crate::hazards_support::{self, METADATA, RUNTIMES, ends_saying, logged, no_topics};
use crate::world::{TLS12, TLS13, client, connect, gateway, listener_tls, world};

/// Somebody else's connection, which has to work after each hazard.
fn bystander(gateway: &Gateway) -> Connection {
    let identity = world().person("bystander");
    let mut connection = connect(gateway, &client(Some(&identity), TLS13));
    still_works(&mut connection);
    connection
}

fn still_works(connection: &mut Connection) {
    assert!(!connection.call(METADATA, &no_topics()).unwrap().brokers.is_empty());
}

fn failures(gateway: &Gateway) -> f64 {
    gateway.metrics().unwrap().sum("weir_tls_failures_total", &[("owner", "listener"), ("name", "main")]).unwrap_or(0.0)
}

#[test]
fn what_is_no_tls_is_called_by_its_name_and_ended() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime, &["mtls"], "", &[]);
        let mut bystander = bystander(&gateway);
        let mut plaintext = Connection::open(gateway.address()).unwrap();
        plaintext.send(METADATA, &no_topics()).unwrap();
        logged(&gateway, &plaintext, "this is Kafka in plaintext, on a listener that speaks TLS");
        // It is answered in TLS: a fatal alert (RFC 8446, 6.2), then the end.
        let mut answer = Vec::new();
        let _ = plaintext.stream().read_to_end(&mut answer);
        assert_eq!((answer[0], answer[5]), (21, 2), "{answer:?}");
        for (bytes, what) in [
            (&b"GET /metrics HTTP/1.1\r\n\r\n"[..], "this is HTTP, on a listener that speaks Kafka over TLS"),
            (&[0xfe; 400], "this is neither TLS nor Kafka"),
            (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "TLS handshake failed"),
        ] {
            let mut odd = Connection::open(gateway.address()).unwrap();
            odd.send_bytes(bytes).unwrap();
            logged(&gateway, &odd, what);
        }
        assert!(failures(&gateway) >= 4.0);
        still_works(&mut bystander);
    }
}

#[test]
fn a_handshake_that_does_not_end_is_cut_after_its_limit() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime, &["mtls"], "", &["limits: { handshake: 1s }"]);
        let mut bystander = bystander(&gateway);
        let mut silent = Connection::open(gateway.address()).unwrap();
        let mut half = Connection::open(gateway.address()).unwrap();
        half.send_bytes(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").unwrap();
        let mut drop_by_drop = Connection::open(gateway.address()).unwrap();
        // A record of 512 bytes, of which one comes every 100 ms.
        drop_by_drop.send_bytes(b"\x16\x03\x01\x02\x00").unwrap();
        for _ in 0..12 {
            let _ = drop_by_drop.send_bytes(b"\x01");
            sleep(Duration::from_millis(100));
        }
        for connection in [&mut silent, &mut half, &mut drop_by_drop] {
            ends_saying(&gateway, connection, "no TLS handshake within 1s");
        }
        still_works(&mut bystander);
    }
}

#[test]
fn who_shows_no_certificate_or_a_strangers_is_refused_and_told_of() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime, &["mtls"], "", &[]);
        let mut bystander = bystander(&gateway);
        let mallory = world().stranger.issue(&[("CN", "mallory")], &[], A_DAY).unwrap();
        let cases = [
            (Some(&mallory), "the client's certificate comes from no authority that is trusted here"),
            (None, "the client shows no certificate, and one is asked for"),
        ];
        for versions in [TLS12, TLS13] {
            for (identity, what) in cases {
                let mut refused = connect(&gateway, &client(identity, versions));
                let error = refused.call(METADATA, &no_topics()).unwrap_err().to_string();
                assert!(error.contains("fatal alert"), "{what}: {error}");
                logged(&gateway, &refused, what);
            }
        }
        let metrics = gateway.metrics().unwrap();
        assert_eq!(metrics.sum("weir_logins_total", &[("mechanism", "CERTIFICATE"), ("outcome", "failed")]), Some(4.0));
        still_works(&mut bystander);
    }
}

#[test]
fn a_certificate_that_a_client_does_not_take_is_told_of() {
    let gateway = gateway("epoll", &["anonymous"], "", &[]);
    let trusting_others = loadtest::tls::client_config(&world().stranger.pem(), None, TLS13).unwrap();
    let mut refused = connect(&gateway, &trusting_others);
    refused.call(METADATA, &no_topics()).unwrap_err();
    logged(&gateway, &refused, "the client does not take the certificate that it was shown");
}

#[test]
fn a_certificate_that_is_not_for_the_advertised_host_is_warned_about_at_start() {
    let warning = "the certificate is not for weir.example.com: clients that verify host names will refuse it";
    for (advertised, warned) in [("weir.example.com", true), ("localhost", false)] {
        let mut options = Options::new(world().cluster.bootstrap());
        options.listener = vec![format!("advertised: {advertised}"), listener_tls(&world().weir, "")];
        assert_eq!(hazards_support::gateway(options).log().contains(warning), warned, "{advertised}");
    }
}

#[test]
fn a_version_that_is_ruled_out_is_not_spoken() {
    let gateway = gateway("epoll", &["anonymous"], r#"min_version: "1.3""#, &[]);
    let mut old = connect(&gateway, &client(None, TLS12));
    old.call(METADATA, &no_topics()).unwrap_err();
    logged(&gateway, &old, "the client speaks no version of TLS that is taken here");
    still_works(&mut connect(&gateway, &client(None, TLS13)));
}

#[test]
fn a_connection_that_says_nothing_before_it_closes_is_no_failure() {
    let gateway = gateway("epoll", &["anonymous"], "", &[]);
    for _ in 0..5 {
        drop(Connection::open(gateway.address()).unwrap());
    }
    still_works(&mut connect(&gateway, &client(None, TLS13)));
    assert!(!gateway.log().contains("WARN"), "{}", gateway.log());
}

#[test]
fn the_gateway_says_goodbye_in_tls_when_it_stops() {
    for runtime in RUNTIMES {
        let mut gateway = gateway(runtime, &["anonymous"], "", &[]);
        let mut connection = connect(&gateway, &client(None, TLS13));
        still_works(&mut connection);
        gateway.stop().unwrap();
        // Without close_notify rustls calls the end unexpected, an error.
        assert!(connection.receive_frame().unwrap().is_none());
    }
}
