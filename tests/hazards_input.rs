//! What is no lawful Kafka request ends its own connection: with a line in the log that says why, without an answer,
//! without memory taken, and without anybody else noticing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hazards_support;

use std::net::{Shutdown, SocketAddr};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hazards_support::*;
use kafka_protocol::messages::{ApiVersionsRequest, FindCoordinatorRequest, MetadataRequest, ProduceRequest};
use kafka_protocol::protocol::{Request, StrBytes};
use loadtest::kafka::{self, Cluster};
use loadtest::weir::{Gateway, Options};
use loadtest::wire::{Connection, encode};

/// Short, so that a slow request is too slow within a test's time.
const REQUEST_LIMIT: Duration = Duration::from_secs(2);

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(1, kafka::Options::default()).unwrap())
}

fn broker() -> SocketAddr {
    cluster().address(1).unwrap()
}

/// Shared by all tests of this file: what one of them does must not reach another.
fn shared() -> &'static [Gateway; 2] {
    static GATEWAYS: OnceLock<[Gateway; 2]> = OnceLock::new();
    GATEWAYS.get_or_init(|| gateways(&cluster().bootstrap(), &["limits: { request: 2s }"]))
}

#[test]
fn what_is_no_kafka_frame_is_named_for_what_it_is_and_ends_its_own_connection() {
    let client_id_not_utf8 = b"\0\0\0\x0e\0\x03\0\x09\0\0\0\x01\0\x02\xff\xfe\0\0";
    let cases: [(&[u8], &str); 10] = [
        (&[0x7f; 4096], "the limit is 104857600: this is not the Kafka protocol"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "this is TLS, on a connection that is plaintext here"),
        (b"GET /metrics HTTP/1.1\r\nHost: weir\r\n\r\n", "this is HTTP, on a port that speaks Kafka"),
        (b"\x7f\xff\xff\xff", "the length prefix says 2147483647 bytes, the limit is 104857600"),
        (b"\xff\xff\xff\xff", "the length prefix says -1 bytes, which no Kafka frame has"),
        (b"\x80\0\0\0", "the length prefix says -2147483648 bytes, which no Kafka frame has"),
        (b"\0\0\0\0", "the length prefix says 0 bytes, which no Kafka frame has"),
        (b"\0\0\0\x04\0\x12\0\x03", "the frame ends within its header"),
        (b"\0\0\0\x0a\0\x03\0\x09\0\0\0\x01\xff\xfe", "a length within the header is not lawful"),
        (client_id_not_utf8, "the client id is not UTF-8"),
    ];
    for gateway in shared() {
        let mut bystander = Bystander::open(gateway);
        for (bytes, why) in cases {
            let mut connection = Connection::open(gateway.address()).unwrap();
            connection.send_bytes(bytes).unwrap();
            ends_saying(gateway, &mut connection, why);
        }
        bystander.still_works();
    }
}

#[test]
fn garbage_ends_a_connection_also_behind_lawful_requests() {
    for gateway in shared() {
        let mut bystander = Bystander::open(gateway);
        let mut connection = Connection::open(gateway.address()).unwrap();
        connection.call(METADATA, &no_topics()).unwrap();
        connection.send_bytes(b"\xde\xad\xbe\xef").unwrap();
        ends_saying(gateway, &mut connection, "this is not the Kafka protocol");
        bystander.still_works();
    }
}

#[test]
fn a_close_within_a_frame_is_told_and_ends_the_connection() {
    let frame = encode("cut-off", 1, METADATA, &no_topics()).unwrap();
    for gateway in shared() {
        let mut bystander = Bystander::open(gateway);
        for kept in [1, 3, 4, 7, 12, 20, frame.len() - 1] {
            let mut connection = Connection::open(gateway.address()).unwrap();
            connection.send_bytes(&frame[..kept]).unwrap();
            connection.stream().shutdown(Shutdown::Write).unwrap();
            ends_saying(gateway, &mut connection, "it closed within a request");
        }
        bystander.still_works();
    }
}

#[test]
fn a_close_within_a_relayed_produce_reaches_no_log_and_ends_the_connection() {
    for (gateway, runtime) in shared().iter().zip(RUNTIMES) {
        let topic = format!("cut-produce-{runtime}");
        create_topic(broker(), &topic);
        let frame = encode("cut-off", 1, PRODUCE, &produce(&topic, -1, batch(10, 100))).unwrap();
        let mut connection = Connection::open(gateway.address()).unwrap();
        connection.send_bytes(&frame[..frame.len() - 1]).unwrap();
        connection.stream().shutdown(Shutdown::Write).unwrap();
        ends_saying(gateway, &mut connection, "it closed within a request");
        assert_eq!(end_offset(broker(), &topic), Some(0));
    }
}

#[test]
fn a_lawful_request_is_answered_wherever_its_bytes_are_cut() {
    for (gateway, runtime) in shared().iter().zip(RUNTIMES) {
        let topic = format!("cut-anywhere-{runtime}");
        create_topic(broker(), &topic);
        let mut connection = Connection::open(gateway.address()).unwrap();
        cut_everywhere(&mut connection, 3, &api_versions());
        cut_everywhere(&mut connection, METADATA, &no_topics());
        cut_everywhere(&mut connection, 1, &MetadataRequest::default().with_topics(Some(Vec::new())));
        let written = cut_everywhere::<ProduceRequest>(&mut connection, PRODUCE, &produce(&topic, -1, batch(1, 10)));
        assert_eq!(end_offset(broker(), &topic), Some(written));
    }
}

/// Sends the request once for every place it can be cut in two; how often that was.
fn cut_everywhere<R: Request>(connection: &mut Connection, version: i16, request: &R) -> i64 {
    let length = encode("cut", 1, version, request).unwrap().len();
    for cut in 1..length {
        let frame = encode("cut", cut as i32, version, request).unwrap();
        connection.send_bytes(&frame[..cut]).unwrap();
        sleep(Duration::from_millis(2));
        connection.send_bytes(&frame[cut..]).unwrap();
        connection.receive::<R>(version, cut as i32).unwrap();
    }
    length as i64 - 1
}

#[test]
fn requests_that_come_byte_by_byte_are_answered() {
    let coordinator = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("slow-group"));
    let frames = [
        encode("slow", 1, 3, &api_versions()).unwrap(),
        encode("slow", 2, METADATA, &no_topics()).unwrap(),
        encode("slow", 3, 3, &coordinator).unwrap(),
    ];
    for gateway in shared() {
        let mut connection = Connection::open(gateway.address()).unwrap();
        for byte in frames.concat() {
            connection.send_bytes(&[byte]).unwrap();
            sleep(Duration::from_millis(1));
        }
        connection.receive::<ApiVersionsRequest>(3, 1).unwrap();
        connection.receive::<MetadataRequest>(METADATA, 2).unwrap();
        connection.receive::<FindCoordinatorRequest>(3, 3).unwrap();
    }
}

#[test]
fn a_client_that_takes_too_long_over_a_request_is_cut_off() {
    let frame = encode("drip", 1, METADATA, &no_topics()).unwrap();
    for gateway in shared() {
        let mut bystander = Bystander::open(gateway);
        let mut connection = Connection::open(gateway.address()).unwrap();
        let begun = Instant::now();
        // A byte each half second: whole only after long more than the limit.
        for byte in frame.iter().take(12) {
            if connection.send_bytes(&[*byte]).is_err() || connection.closes_within(Duration::from_millis(500)).unwrap()
            {
                break;
            }
        }
        assert!(begun.elapsed() >= REQUEST_LIMIT, "cut off after {:?}", begun.elapsed());
        ends_saying(gateway, &mut connection, "a request did not come in whole within 2s");
        bystander.still_works();
    }
}

#[test]
fn a_login_that_never_comes_ends_the_connection_and_nobody_has_to_log_in_where_anybody_is_let_in() {
    for runtime in RUNTIMES {
        let mut options = Options::new(cluster().bootstrap()).runtime(runtime).auth(&["weir_token"]);
        options.top = vec!["limits: { handshake: 1s }".to_owned()];
        let gateway = gateway(options.clone());
        let mut silent = Connection::open(gateway.address()).unwrap();
        let mut asking = Connection::open(gateway.address()).unwrap();
        asking.call(3, &api_versions()).unwrap();
        ends_saying(&gateway, &mut silent, "no login within 1s");
        ends_saying(&gateway, &mut asking, "no login within 1s");

        let open = hazards_support::gateway(options.auth(&["anonymous"]));
        let mut quiet = Connection::open(open.address()).unwrap();
        quiet.call(3, &api_versions()).unwrap();
        assert!(!quiet.closes_within(Duration::from_secs(2)).unwrap());
        quiet.call(METADATA, &no_topics()).unwrap();
    }
}

#[test]
fn before_a_login_nobody_gets_room_for_a_large_request() {
    // SaslAuthenticate v0 that announces 8 MiB.
    let head = b"\0\x80\0\0\0\x24\0\0\0\0\0\x01\xff\xff\0\x7f\xff\0";
    for gateway in shared() {
        let mut connection = Connection::open(gateway.address()).unwrap();
        connection.send_bytes(head).unwrap();
        ends_saying(gateway, &mut connection, "SaslAuthenticate of 8388612 bytes, at most");
    }
}

#[test]
fn counts_that_no_body_can_hold_end_the_connection_and_take_no_memory() {
    for gateway in gateways(&cluster().bootstrap(), &[]) {
        let mut bystander = Bystander::open(&gateway);
        let before = own_memory_mib(&gateway);
        for round in 0..20 {
            for (api, version, body) in unlawful_bodies() {
                let mut connection = Connection::open(gateway.address()).unwrap();
                connection.send_frame(&request(api, version, &body)).unwrap();
                assert!(connection.closes_within(SOON).unwrap(), "API {api} v{version} was not closed");
                if round == 0 {
                    logged(&gateway, &connection, "connection closed, client: ");
                }
            }
        }
        let grown = own_memory_mib(&gateway).saturating_sub(before);
        assert!(grown < 24, "memory grew by {grown} MiB");
        bystander.still_works();
    }
}

/// API, version, and a body that does not follow its layout.
fn unlawful_bodies() -> Vec<(i16, i16, Bytes)> {
    let bytes = |body: &'static [u8]| Bytes::from_static(body);
    vec![
        (3, 1, bytes(b"\x7f\xff\xff\xff")),                  // Metadata: 2^31 topics
        (3, 9, bytes(b"\xff\xff\xff\xff\x0f\0")),            // the same, compact
        (3, 1, bytes(b"\0\0\0\0trailing")),                  // bytes left over
        (19, 5, bytes(b"\xff\xff\xff\xff\x0f\0\0\0\0\0\0")), // CreateTopics
        (20, 1, bytes(b"\x7f\xff\xff\xff")),                 // DeleteTopics
        (8, 2, bytes(b"\0\x01g\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x7f\xff\xff\xff")), // OffsetCommit
        (11, 0, bytes(b"\0\x01g\0\0\0\0\0\0\0\x01c\x7f\xff\xff\xff")), // JoinGroup
        (2, 1, bytes(b"\xff\xff\xff\xff\x7f\xff\xff\xff")),  // ListOffsets
        (1, 12, bytes(b"\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\x0f")), // Fetch
        (0, 9, bytes(b"\0\xff\xff\0\0\0\0\xff\xff\xff\xff\x0f")), // Produce, which is relayed
        (0, 3, bytes(b"\xff\xff\xff\xff\0\0\0\0\x7f\xff\xff\xff")),
        (10, 0, bytes(b"\x7f\xff")), // FindCoordinator: a string past the end
    ]
}

/// Header v1 or v2 with the client id "unlawful", then `body`.
fn request(api: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let flexible = matches!((api, version), (3, 9) | (19, 5) | (1, 12) | (0, 9));
    let mut frame = [&api.to_be_bytes()[..], &version.to_be_bytes(), &7i32.to_be_bytes(), b"\0\x08unlawful"].concat();
    frame.extend(flexible.then_some(0));
    frame.extend(body);
    frame
}

fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("weir-test"))
        .with_client_software_version(StrBytes::from_static_str("1"))
}
