//! What Weir refuses whoever asks, and what it tells of the versions it serves: an API or version outside the table, what
//! only brokers may say, and changes of security are answered or closed, and never reach a broker.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hazards_support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use hazards_support::*;
use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::alter_client_quotas_request as quotas;
use kafka_protocol::messages::alter_configs_request as replaced;
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AlterClientQuotasRequest, AlterConfigsRequest, AlterUserScramCredentialsRequest,
    ApiVersionsRequest, ApiVersionsResponse, BrokerId, CreateAclsRequest, CreateDelegationTokenRequest,
    EnvelopeRequest, FetchSnapshotRequest, IncrementalAlterConfigsRequest, ListOffsetsRequest,
    OffsetForLeaderEpochRequest, ProducerId, TransactionalId, UpdateFeaturesRequest, VoteRequest,
    WriteTxnMarkersRequest,
};
use kafka_protocol::protocol::{Decodable, Request, StrBytes};
use loadtest::kafka::{self, Cluster};
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::{Connection, encode};

const UNSUPPORTED_VERSION: i16 = 35;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;

const NOTHING: [i64; 0] = [];

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(1, kafka::Options { request_log: true, ..Default::default() }).unwrap())
}

fn broker() -> SocketAddr {
    cluster().address(1).unwrap()
}

fn shared() -> &'static [Gateway; 2] {
    static GATEWAYS: OnceLock<[Gateway; 2]> = OnceLock::new();
    GATEWAYS.get_or_init(|| gateways(&cluster().bootstrap(), &[]))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn connect(gateway: &Gateway, client_id: &str) -> Connection {
    Connection::open(gateway.address()).unwrap().with_client_id(client_id)
}

/// API keys that the broker was asked under this client id, once it has answered a Metadata of it: nothing sent before
/// is still on its way.
fn reached_the_broker(gateway: &Gateway, client_id: &str) -> Vec<i64> {
    let mut last = connect(gateway, client_id);
    last.call(METADATA, &no_topics()).unwrap();
    let asked = || -> Vec<i64> {
        let log = cluster().request_log(1).unwrap();
        let headers = log.iter().map(|line| &line["requestHeader"]);
        headers.filter(|h| h["clientId"] == client_id).map(|h| h["requestApiKey"].as_i64().unwrap()).collect()
    };
    wait_for("the last request in the broker's log", SOON, || Ok(asked().contains(&3).then_some(()))).unwrap();
    let mut asked = asked();
    let last = asked.iter().position(|key| *key == 3).unwrap();
    asked.remove(last);
    asked
}

#[test]
fn a_newer_client_gets_the_version_0_layout_with_error_35_and_tries_again() {
    let asked = ApiVersionsRequest::default()
        .with_client_software_name(text("weir-test"))
        .with_client_software_version(text("1"));
    for gateway in shared() {
        for version in [5i16, 6, 100] {
            let mut frame = encode("newer", 7, 4, &asked).unwrap().to_vec();
            frame[6..8].copy_from_slice(&version.to_be_bytes());
            let mut connection = connect(gateway, "newer");
            connection.send_bytes(&frame).unwrap();
            let mut answer = connection.receive_frame().unwrap().unwrap();
            // Version 0: correlation id without tags, error code, and the one range needed to try again.
            assert_eq!(&answer[..6], b"\0\0\0\x07\0\x23", "v{version}");
            let answer = ApiVersionsResponse::decode(&mut answer.split_off(4), 0).unwrap();
            let listed: Vec<_> = answer.api_keys.iter().map(|a| (a.api_key, a.min_version, a.max_version)).collect();
            assert_eq!(listed, [(18, 0, 4)]);
            connection.call(4, &asked).unwrap();
        }
    }
}

#[test]
fn every_version_of_api_versions_says_what_is_served_and_no_more() {
    for gateway in shared() {
        for version in 0..=4 {
            let mut connection = connect(gateway, "versions");
            let listed = ranges(&versions(&mut connection, version));
            assert_eq!(listed[&0], (0, 13), "Produce is advertised from 0, as Kafka does (KAFKA-18659)");
            assert_eq!(listed[&26], (0, 5), "EndTxn");
            assert_eq!(listed[&24], (0, 3), "AddPartitionsToTxn: 4 and up is for brokers");
            assert_eq!(listed[&18], (0, 4));
            for hidden in [4, 5, 6, 7, 27, 52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 82, 83, 84, 85, 86, 87] {
                assert!(!listed.contains_key(&hidden), "v{version} lists API {hidden}, which is for brokers");
            }
            for security in [30, 31, 38, 39, 40, 41, 49, 51, 57, 64, 80, 81] {
                assert!(!listed.contains_key(&security), "v{version} lists API {security}, a change of security");
            }
        }
    }
}

#[test]
fn what_is_listed_is_within_what_the_broker_lists_and_features_are_the_brokers_own() {
    let direct = versions(&mut Connection::open(broker()).unwrap(), 4);
    assert!(direct.finalized_features.iter().any(|f| f.name.as_str() == "transaction.version"));
    let direct_ranges = ranges(&direct);
    for gateway in shared() {
        let through = versions(&mut connect(gateway, "features"), 4);
        assert_eq!(sorted(&through), sorted(&direct));
        // The broker counts on; Weir tells what it saw at its last look.
        let now = versions(&mut Connection::open(broker()).unwrap(), 4).finalized_features_epoch;
        assert!((1..=now).contains(&through.finalized_features_epoch), "{}", through.finalized_features_epoch);
        for (api, (min, max)) in ranges(&through) {
            let own = matches!(api, 17 | 18 | 36);
            assert!(own || direct_ranges[&api].0 <= min && max <= direct_ranges[&api].1, "API {api}: {min} to {max}");
        }
    }
}

fn versions(connection: &mut Connection, version: i16) -> ApiVersionsResponse {
    let mut asked = ApiVersionsRequest::default();
    if version >= 3 {
        asked = asked.with_client_software_name(text("weir-test")).with_client_software_version(text("1"));
    }
    let answer = connection.call(version, &asked).unwrap();
    assert_eq!(answer.error_code, 0);
    answer
}

fn ranges(answer: &ApiVersionsResponse) -> BTreeMap<i16, (i16, i16)> {
    answer.api_keys.iter().map(|a| (a.api_key, (a.min_version, a.max_version))).collect()
}

/// Features supported and finalized, by name.
fn sorted(answer: &ApiVersionsResponse) -> Vec<(String, i16, i16)> {
    let supported =
        answer.supported_features.iter().map(|f| (format!("{}?", f.name.as_str()), f.min_version, f.max_version));
    let finalized = answer.finalized_features.iter();
    let finalized = finalized.map(|f| (format!("{}!", f.name.as_str()), f.min_version_level, f.max_version_level));
    let mut all: Vec<_> = supported.chain(finalized).collect();
    all.sort();
    all
}

#[test]
fn an_api_that_kafka_does_not_have_is_closed_and_never_forwarded() {
    for (gateway, runtime) in shared().iter().zip(RUNTIMES) {
        let client_id = format!("unknown-api-{runtime}");
        for key in [93i16, 999, i16::MAX, -1] {
            let mut connection = connect(gateway, &client_id);
            let header = [&key.to_be_bytes()[..], b"\0\0\0\0\0\x01", b"\0\x07unknown"].concat();
            connection.send_frame(&header).unwrap();
            ends_saying(gateway, &mut connection, &format!("API {key} is not one of Kafka 4.3's"));
        }
        assert_eq!(reached_the_broker(gateway, &client_id), NOTHING);
    }
}

#[test]
fn a_version_that_is_not_served_is_answered_or_closed_and_never_forwarded() {
    for (gateway, runtime) in shared().iter().zip(RUNTIMES) {
        let client_id = format!("unserved-version-{runtime}");
        // Metadata 14 and FindCoordinator 7 do not exist; Fetch 3, Produce 2 and ListOffsets 0 are gone from Kafka.
        for (key, version) in [(3i16, 14i16), (10, 7), (1, 3), (0, 2), (2, 0), (19, 1), (3, -1)] {
            let mut connection = connect(gateway, &client_id);
            let head = [&key.to_be_bytes()[..], &version.to_be_bytes(), &1i32.to_be_bytes()].concat();
            let id = [&(client_id.len() as i16).to_be_bytes()[..], client_id.as_bytes(), &[0; 24]].concat();
            connection.send_frame(&[head, id].concat()).unwrap();
            ends_saying(gateway, &mut connection, "is not served, v");
        }
        assert_eq!(reached_the_broker(gateway, &client_id), NOTHING);
    }
}

#[test]
fn a_clients_request_in_a_brokers_name_is_refused_and_never_forwarded() {
    const TOPIC: &str = "replica";
    create_topic(broker(), TOPIC);
    for (gateway, runtime) in shared().iter().zip(RUNTIMES) {
        let client_id = format!("replica-{runtime}");
        let mut connection = connect(gateway, &client_id);

        let fetched = connection.call(FETCH, &fetch(TOPIC, 0, 1000, 0).with_replica_id(BrokerId(1))).unwrap();
        let partition_error = fetched.responses.first().map_or(0, |t| t.partitions[0].error_code);
        assert_eq!(fetched.error_code.max(partition_error), CLUSTER_AUTHORIZATION_FAILED);

        let offsets = ListOffsetsTopic::default().with_name(name(TOPIC));
        let offsets = offsets.with_partitions(vec![ListOffsetsPartition::default().with_timestamp(-1)]);
        let offsets = ListOffsetsRequest::default().with_replica_id(BrokerId(1)).with_topics(vec![offsets]);
        let answer = connection.call(6, &offsets).unwrap();
        assert_eq!(answer.topics[0].partitions[0].error_code, CLUSTER_AUTHORIZATION_FAILED);

        let epochs = OffsetForLeaderTopic::default().with_topic(name(TOPIC));
        let epochs = epochs.with_partitions(vec![OffsetForLeaderPartition::default()]);
        let epochs = OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(0)).with_topics(vec![epochs]);
        let answer = connection.call(4, &epochs).unwrap();
        assert_eq!(answer.topics[0].partitions[0].error_code, CLUSTER_AUTHORIZATION_FAILED);

        logged(gateway, &connection, "replica id 1 is a broker's");
        assert_eq!(reached_the_broker(gateway, &client_id), NOTHING);
    }
}

#[test]
fn what_brokers_say_to_each_other_is_refused_and_never_forwarded() {
    for (gateway, runtime) in shared().iter().zip(RUNTIMES) {
        let client_id = format!("inter-broker-{runtime}");
        let topic = AddPartitionsToTxnTopic::default().with_name(name("t")).with_partitions(vec![0]);
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(TransactionalId(text("tx")))
            .with_producer_id(ProducerId(1))
            .with_topics(vec![topic]);
        let batch = AddPartitionsToTxnRequest::default().with_transactions(vec![transaction]);
        refused(gateway, &client_id, 4, &batch);
        refused(gateway, &client_id, 5, &batch);
        let marker = WritableTxnMarker::default().with_producer_id(ProducerId(1)).with_transaction_result(true);
        refused(gateway, &client_id, 1, &WriteTxnMarkersRequest::default().with_markers(vec![marker]));
        refused(gateway, &client_id, 0, &EnvelopeRequest::default());
        refused(gateway, &client_id, 0, &VoteRequest::default());
        refused(gateway, &client_id, 0, &FetchSnapshotRequest::default());
        // LeaderAndIsr, StopReplica, UpdateMetadata, ControlledShutdown, BrokerRegistration, AllocateProducerIds.
        for key in [4u8, 5, 6, 7, 62, 67] {
            let mut connection = connect(gateway, &client_id);
            connection.send_frame(&[0, key, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0]).unwrap();
            ends_saying(gateway, &mut connection, "spoken between brokers only");
        }
        assert_eq!(reached_the_broker(gateway, &client_id), NOTHING);
    }
}

/// Sends it and awaits an error of the right kind in the answer's bytes, or the end of the connection.
fn refused<R: Request>(gateway: &Gateway, client_id: &str, version: i16, request: &R) {
    let mut connection = connect(gateway, client_id);
    connection.send(version, request).unwrap();
    if let Some(answer) = connection.receive_frame().unwrap() {
        let says = |code: i16| answer.windows(2).any(|bytes| bytes == code.to_be_bytes());
        let codes = [UNSUPPORTED_VERSION, CLUSTER_AUTHORIZATION_FAILED];
        assert!(codes.into_iter().any(says), "API {} v{version} was answered {answer:?}", R::KEY);
    }
    let refused = if version >= 4 { "is not served" } else { "spoken between brokers only" };
    logged(gateway, &connection, refused);
}

#[test]
fn changes_of_security_are_refused_with_words_unless_the_listener_allows_them() {
    for (gateway, runtime) in shared().iter().zip(RUNTIMES) {
        let client_id = format!("security-{runtime}");
        let mut connection = connect(gateway, &client_id);
        for (api, code, message) in change_security(&mut connection) {
            assert_eq!(code, CLUSTER_AUTHORIZATION_FAILED, "{api}");
            let message = message.unwrap_or_else(|| "allow_security_changes".to_owned());
            assert!(message.contains("allow_security_changes"), "{api}: {message}");
        }
        assert_eq!(reached_the_broker(gateway, &client_id), NOTHING);

        let mut options = Options::new(cluster().bootstrap()).runtime(runtime);
        options.listener = vec!["allow_security_changes: true".to_owned()];
        let open = gateway_with(options);
        let client_id = format!("allowed-{runtime}");
        let mut connection = connect(&open, &client_id);
        let listed = ranges(&versions(&mut connection, 4));
        assert!([30, 38, 49, 51, 57].iter().all(|api| listed.contains_key(api)), "{listed:?}");
        // This broker has no authorizer and no delegation tokens: its own errors show that it was asked.
        for (api, code, _) in change_security(&mut connection) {
            assert_ne!(code, CLUSTER_AUTHORIZATION_FAILED, "{api}");
        }
        let mut reached = reached_the_broker(&open, &client_id);
        reached.sort_unstable();
        // The controller logs what the broker hands on to it as well.
        reached.dedup();
        assert_eq!(reached, [30, 38, 44, 49, 51, 57]);
    }
}

fn gateway_with(options: Options) -> Gateway {
    hazards_support::gateway(options)
}

/// Tries each kind of change: the API, the error code and the message of its answer.
fn change_security(connection: &mut Connection) -> Vec<(&'static str, i16, Option<String>)> {
    let words = |message: &Option<StrBytes>| message.as_ref().map(ToString::to_string);
    let mut answers = Vec::new();

    let acl = AclCreation::default()
        .with_resource_type(2)
        .with_resource_name(text("orders"))
        .with_resource_pattern_type(3)
        .with_principal(text("User:eve"))
        .with_host(text("*"))
        .with_operation(2)
        .with_permission_type(3);
    let answer = connection.call(3, &CreateAclsRequest::default().with_creations(vec![acl])).unwrap();
    answers.push(("CreateAcls", answer.results[0].error_code, words(&answer.results[0].error_message)));

    let upsert = ScramCredentialUpsertion::default()
        .with_name(text("eve"))
        .with_mechanism(1)
        .with_iterations(4096)
        .with_salt(b"salt".to_vec().into())
        .with_salted_password(vec![7; 32].into());
    let answer =
        connection.call(0, &AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsert])).unwrap();
    answers.push(("AlterUserScramCredentials", answer.results[0].error_code, words(&answer.results[0].error_message)));

    let entity = quotas::EntityData::default().with_entity_type(text("user")).with_entity_name(Some(text("eve")));
    let op = quotas::OpData::default().with_key(text("producer_byte_rate")).with_value(1e9);
    let quota = quotas::EntryData::default().with_entity(vec![entity]).with_ops(vec![op]);
    let answer = connection.call(1, &AlterClientQuotasRequest::default().with_entries(vec![quota])).unwrap();
    answers.push(("AlterClientQuotas", answer.entries[0].error_code, words(&answer.entries[0].error_message)));

    let update =
        FeatureUpdateKey::default().with_feature(text("group.version")).with_max_version_level(1).with_upgrade_type(1);
    let update = UpdateFeaturesRequest::default().with_timeout_ms(5000).with_feature_updates(vec![update]);
    let answer = connection.call(1, &update.with_validate_only(true)).unwrap();
    answers.push(("UpdateFeatures", answer.error_code, words(&answer.error_message)));

    let answer = connection.call(3, &CreateDelegationTokenRequest::default().with_max_lifetime_ms(1000)).unwrap();
    answers.push(("CreateDelegationToken", answer.error_code, None));

    let setting = AlterableConfig::default().with_name(text("log.cleaner.threads")).with_value(Some(text("2")));
    let resource = AlterConfigsResource::default().with_resource_type(4).with_resource_name(text("1"));
    let resource = resource.with_configs(vec![setting]);
    let answer = connection.call(1, &IncrementalAlterConfigsRequest::default().with_resources(vec![resource])).unwrap();
    answers.push((
        "IncrementalAlterConfigs",
        answer.responses[0].error_code,
        words(&answer.responses[0].error_message),
    ));
    answers
}

#[test]
fn a_topics_settings_may_be_changed_without_allowing_security_changes() {
    create_topic(broker(), "settings");
    for gateway in shared() {
        let setting = AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text("3600000")));
        let resource = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text("settings"));
        let resource = resource.with_configs(vec![setting]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let answer = connect(gateway, "settings").call(1, &request).unwrap();
        assert_eq!(answer.responses[0].error_code, 0);
    }
}

#[test]
fn how_fast_brokers_copy_replicas_may_be_set_alone_and_never_beside_another_setting() {
    const BROKER: i8 = 4;
    const BROKER_LOGGER: i8 = 8;
    let set = |connection: &mut Connection, kind: i8, names: &[&str]| {
        let setting = |name: &&str| AlterableConfig::default().with_name(text(name)).with_value(Some(text("1000000")));
        let resource = AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text("1"));
        let resource = resource.with_configs(names.iter().map(setting).collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        connection.call(1, &request.with_validate_only(true)).unwrap().responses[0].error_code
    };
    const THROTTLES: [&str; 2] = ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];
    for gateway in shared() {
        let mut connection = connect(gateway, "throttles");
        assert_eq!(set(&mut connection, BROKER, &THROTTLES), 0);
        let and_another = [THROTTLES[0], "log.cleaner.threads", THROTTLES[1]];
        assert_eq!(set(&mut connection, BROKER, &and_another), CLUSTER_AUTHORIZATION_FAILED);
        assert_eq!(set(&mut connection, BROKER, &["leader.replication.throttled.rates"]), CLUSTER_AUTHORIZATION_FAILED);
        // A logger of that name is no throttle.
        assert_eq!(set(&mut connection, BROKER_LOGGER, &THROTTLES), CLUSTER_AUTHORIZATION_FAILED);

        // AlterConfigs takes back every setting that it does not name.
        let setting = replaced::AlterableConfig::default().with_name(text(THROTTLES[0]));
        let resource = replaced::AlterConfigsResource::default().with_resource_type(4).with_resource_name(text("1"));
        let resource = resource.with_configs(vec![setting.with_value(Some(text("1000000")))]);
        let request = AlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(true);
        let answer = connection.call(2, &request).unwrap();
        assert_eq!(answer.responses[0].error_code, CLUSTER_AUTHORIZATION_FAILED);
    }
}

#[test]
fn a_refusal_leaves_the_connection_usable_and_in_order() {
    for gateway in shared() {
        let mut connection = connect(gateway, "in-order");
        let refused = CreateDelegationTokenRequest::default().with_max_lifetime_ms(1000);
        let ids = [
            connection.send(METADATA, &no_topics()).unwrap(),
            connection.send(3, &refused).unwrap(),
            connection.send(METADATA, &no_topics()).unwrap(),
        ];
        connection.receive::<kafka_protocol::messages::MetadataRequest>(METADATA, ids[0]).unwrap();
        let answer = connection.receive::<CreateDelegationTokenRequest>(3, ids[1]).unwrap();
        assert_eq!(answer.error_code, CLUSTER_AUTHORIZATION_FAILED);
        connection.receive::<kafka_protocol::messages::MetadataRequest>(METADATA, ids[2]).unwrap();
        assert!(!connection.closes_within(Duration::from_millis(200)).unwrap());
    }
}
