//! Rules about topics, and secrets in frames that are kept.

use bytes::Bytes;
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, FetchRequest, FetchResponse, IncrementalAlterConfigsRequest, ProduceRequest,
    SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Decodable, Request, StrBytes};
use loadtest::admin;
use loadtest::batch::Batch;
use loadtest::clients::Record;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use weir::event::piece::{Way, Withheld};
use weir::recorder::CapturedFrame;

use super::common;
use super::recording::{Recording, holds};

const WANTED: &str = "planted-payload-of-payments";
const UNWANTED: &str = "planted-payload-of-orders";

#[test]
fn of_topics_that_no_rule_asks_for_no_record_reaches_the_store() {
    let cluster = common::cluster();
    for runtime in common::RUNTIMES {
        let (payments, orders) = (format!("payments.{runtime}"), format!("orders.{runtime}"));
        let ids = [&payments, &orders].map(|name| admin::create_topic(cluster, name, &[1]).unwrap());
        let options = Options::new(cluster.bootstrap()).runtime(runtime).auth(&["weir_token"]);
        let mut gateway =
            common::gateway_before(cluster, options.policy("recording: [{ topics: [\"payments.*\"], mode: full }]\n"));
        for version in [9, 13] {
            let subject = format!("both-v{version}");
            let mut client = login(&gateway, &subject);
            // So that the gateway knows the topics' names.
            let known = admin::known_by(&mut client, &[&payments, &orders]).unwrap();
            assert_eq!(known, ids.to_vec());
            let mut produce = admin::produce_request(&payments, ids[0], version, 0, -1, planted(WANTED));
            let other = admin::produce_request(&orders, ids[1], version, 0, -1, planted(UNWANTED));
            produce.topic_data.extend(other.topic_data);
            let produced = client.call(version, &produce).unwrap();
            assert!(
                produced.responses.iter().all(|topic| topic.partition_responses[0].error_code == 0),
                "{produced:?}"
            );
            let version = if version == 9 { 12 } else { 17 };
            let mut fetch = admin::fetch_request(&orders, ids[1], version, &[0], 1 << 20);
            fetch.topics.extend(admin::fetch_request(&payments, ids[0], version, &[0], 1 << 20).topics);
            client.call(version, &fetch).unwrap();
            let alone = admin::fetch_request(&orders, ids[1], version, &[0], 1 << 20);
            client.call(version, &alone).unwrap();
        }
        gateway.stop().unwrap();
        let recording = Recording::open(&gateway.store_path());
        for version in [9, 13] {
            let sessions = recording.sessions_of(&format!("both-v{version}"));
            let frames: Vec<_> = sessions.iter().flat_map(|session| session.frames()).collect();
            let fetches = if version == 9 { 12 } else { 17 };
            of_both(&frames, ProduceRequest::KEY, version, Way::Request);
            let answer = of_both(&frames, FetchRequest::KEY, fetches, Way::Response);
            let mut body = Bytes::copy_from_slice(&answer.bytes[9..]);
            let fetched = FetchResponse::decode(&mut body, fetches).expect("an unmodified decoder reads it");
            assert_eq!(fetched.responses.len(), 2);
            let asked = frames.iter().filter(|f| f.way == Way::Request && api_of(f) == FetchRequest::KEY).count();
            assert_eq!(asked, 1, "the fetch of orders alone is not kept");
        }
        assert!(!holds(&gateway.store_path(), UNWANTED.as_bytes()), "{runtime}");
    }
}

/// The one frame of this API and way: it has the records that are asked for, and zeros in place of the others.
fn of_both<'a>(frames: &[&'a CapturedFrame], api: i16, version: i16, way: Way) -> &'a CapturedFrame {
    let of_api: Vec<u64> = frames
        .iter()
        .filter(|frame| frame.way == Way::Request && api_of(frame) == api)
        .map(|frame| frame.ordinal)
        .collect();
    let found: Vec<_> = frames.iter().filter(|frame| frame.way == way && of_api.contains(&frame.ordinal)).collect();
    assert_eq!(found.len(), 1, "API {api} v{version}");
    let frame = found[0];
    assert!(frame.is_whole() && frame.lost.is_empty());
    assert!(contains(&frame.bytes, WANTED) && !contains(&frame.bytes, UNWANTED), "API {api} v{version}");
    assert!(!frame.withheld.is_empty());
    assert!(frame.withheld.iter().all(|stretch| stretch.why == Some(Withheld::NotAsked)));
    frame
}

#[test]
fn secrets_in_any_frame_are_withheld() {
    const SALTED: &str = "planted-salted-password";
    const KEYSTORE: &str = "planted-keystore-password";
    let cluster = common::cluster();
    for runtime in common::RUNTIMES {
        let options = Options::new(cluster.bootstrap()).runtime(runtime).auth(&["weir_token"]);
        let mut gateway = common::gateway_before(cluster, options.policy("recording: [{ mode: full }]\n"));
        let token = gateway.token("careless", "recorded").unwrap();
        let mut client = Connection::open(gateway.broker_address(1).unwrap()).unwrap();
        // The first version of the handshake is followed by a token that stands alone.
        let plain = StrBytes::from_static_str("PLAIN");
        assert_eq!(client.call(0, &SaslHandshakeRequest::default().with_mechanism(plain)).unwrap().error_code, 0);
        client.send_frame(format!("\0careless\0{}", token.token).as_bytes()).unwrap();
        assert_eq!(client.receive_frame().unwrap().expect("an answer").len(), 0);
        let upsertion = ScramCredentialUpsertion::default()
            .with_name(StrBytes::from_static_str("somebody"))
            .with_salt(Bytes::from_static(b"salt"))
            .with_salted_password(Bytes::from_static(SALTED.as_bytes()));
        client.call(0, &AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion])).unwrap();
        let setting = |name, value| {
            AlterableConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(StrBytes::from_static_str(value)))
        };
        let settings = vec![setting("ssl.keystore.password", KEYSTORE), setting("retention.ms", "86400000")];
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(StrBytes::from_static_str("a-topic"))
            .with_configs(settings);
        let alter = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(true);
        client.call(1, &alter).unwrap();
        drop(client);
        gateway.stop().unwrap();

        let recording = Recording::open(&gateway.store_path());
        let sessions = recording.sessions_of("careless");
        let frames: Vec<_> = sessions.iter().flat_map(|session| session.frames()).collect();
        assert_eq!(frames.iter().map(|frame| frame.ordinal).max(), Some(3), "handshake, token and two requests");
        assert_eq!(frames.len(), 8);
        assert!(frames.iter().all(|frame| frame.is_whole()));
        let asked = |ordinal| frames.iter().find(|f| (f.ordinal, f.way) == (ordinal, Way::Request)).unwrap();
        assert_eq!(asked(1).bytes[4..], vec![0; asked(1).bytes.len() - 4]);
        assert!(contains(&asked(2).bytes, "somebody"), "what is no secret is kept");
        assert!(contains(&asked(3).bytes, "ssl.keystore.password") && contains(&asked(3).bytes, "86400000"));
        for secret in [SALTED, KEYSTORE, token.token.as_str(), token.token.rsplit('_').next().unwrap()] {
            assert!(!frames.iter().any(|frame| contains(&frame.bytes, secret)), "{runtime}: {secret}");
            assert!(!holds(&gateway.store_path(), secret.as_bytes()), "{runtime}: {secret} is in the store");
        }
    }
}

fn login(gateway: &Gateway, subject: &str) -> Connection {
    let token = gateway.token(subject, "recorded").unwrap();
    let mut client = Connection::open(gateway.broker_address(1).unwrap()).unwrap().with_client_id(subject);
    assert_eq!(client.login_plain(subject, &token.token).unwrap().error_code, 0);
    client
}

fn planted(text: &str) -> Vec<u8> {
    let record = Record { key: Some("k".to_owned()), value: Some(text.to_owned()), headers: Vec::new() };
    Batch::of(vec![record]).bytes()
}

fn api_of(request: &CapturedFrame) -> i16 {
    i16::from_be_bytes([request.bytes[4], request.bytes[5]])
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
