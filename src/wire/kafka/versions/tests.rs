//! ApiVersions as clients of every age ask for it, during upgrades too.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::wire::kafka::frame::{PREFIX_LEN, response_correlation_id};

/// A cluster that serves all that Kafka 4.3 defines, with the features a 4.3 has.
fn kafka_4_3() -> ApiVersionsResponse {
    let apis = api::TABLE.iter().filter(|api| !api.defined.is_empty());
    let supported = [("transaction.version", 0, 2), ("group.version", 0, 1), ("metadata.version", 7, 29)];
    let finalized = [("transaction.version", 2, 2), ("metadata.version", 29, 29)];
    ApiVersionsResponse::default()
        .with_api_keys(
            apis.map(|api| api_version((&api.key, &Versions { min: api.advertised_min(), max: api.defined.max })))
                .collect(),
        )
        .with_supported_features(
            supported
                .map(|(name, min, max)| {
                    let name = StrBytes::from_static_str(name);
                    SupportedFeatureKey::default().with_name(name).with_min_version(min).with_max_version(max)
                })
                .to_vec(),
        )
        .with_finalized_features(
            finalized
                .map(|(name, min, max)| {
                    let name = StrBytes::from_static_str(name);
                    FinalizedFeatureKey::default()
                        .with_name(name)
                        .with_min_version_level(min)
                        .with_max_version_level(max)
                })
                .to_vec(),
        )
        .with_finalized_features_epoch(41)
}

fn capped(key: i16, max: i16) -> ClusterVersions {
    let mut response = kafka_4_3();
    response.api_keys.iter_mut().filter(|a| a.api_key == key).for_each(|a| a.max_version = max);
    ClusterVersions::from_response(&response).unwrap()
}

fn cluster() -> ClusterVersions {
    ClusterVersions::from_response(&kafka_4_3()).unwrap()
}

fn request(version: i16, name: &'static str, software: &'static str) -> Vec<u8> {
    let mut body = Vec::new();
    let mut request = ApiVersionsRequest::default();
    if version >= 3 {
        request.client_software_name = StrBytes::from_static_str(name);
        request.client_software_version = StrBytes::from_static_str(software);
    }
    request.encode(&mut body, version).unwrap();
    body
}

fn decode(frame: &Bytes, version: i16) -> ApiVersionsResponse {
    assert_eq!(response_correlation_id(&frame[PREFIX_LEN..]), Some(7));
    let mut body = &frame[PREFIX_LEN + 4..];
    let response = ApiVersionsResponse::decode(&mut body, version).unwrap();
    assert!(body.is_empty(), "the answer is longer than its layout");
    response
}

fn ask(version: i16, cluster: &ClusterVersions, allow_security_changes: bool) -> ApiVersionsResponse {
    let body = request(version, "librdkafka", "2.16.1");
    decode(&answer(version, 7, &body, cluster, allow_security_changes).unwrap(), version)
}

fn range(response: &ApiVersionsResponse, key: i16) -> Option<(i16, i16)> {
    response.api_keys.iter().find(|a| a.api_key == key).map(|a| (a.min_version, a.max_version))
}

fn finalized(response: &ApiVersionsResponse, name: &str) -> Option<i16> {
    response.finalized_features.iter().find(|f| f.name.as_str() == name).map(|f| f.max_version_level)
}

fn supported(response: &ApiVersionsResponse, name: &str) -> Option<(i16, i16)> {
    let found = response.supported_features.iter().find(|f| f.name.as_str() == name)?;
    Some((found.min_version, found.max_version))
}

#[test]
fn every_version_is_answered_in_its_own_layout() {
    for version in 0..=4 {
        let response = ask(version, &cluster(), false);
        assert_eq!((response.error_code, response.throttle_time_ms), (0, 0));
        assert_eq!(range(&response, key::FETCH), Some((4, 18)));
        assert_eq!(response.finalized_features_epoch, if version >= 3 { 41 } else { -1 });
    }
}

#[test]
fn a_newer_clients_api_versions_gets_a_v0_body_with_error_35() {
    for version in [5, 99, i16::MAX, -1] {
        let frame = answer(version, 7, &[0xff; 3], &cluster(), true).unwrap();
        let response = decode(&frame, 0);
        assert_eq!((response.error_code, range(&response, key::API_VERSIONS)), (35, Some((0, 4))));
        // franz-go compares these very bytes: error 35, one entry, key 18, from 0.
        assert_eq!(&frame[8..18], b"\x00\x23\x00\x00\x00\x01\x00\x12\x00\x00");
    }
}

#[test]
fn produce_is_advertised_from_zero_so_librdkafka_keeps_compressing() {
    assert_eq!(range(&ask(0, &cluster(), false), key::PRODUCE), Some((0, 13)));
    assert!(!api::lookup(key::PRODUCE).unwrap().serves(2), "advertised, not served");
}

#[test]
fn a_cluster_whose_produce_begins_later_is_not_said_to_begin_earlier() {
    let mut response = kafka_4_3();
    response.api_keys[0].min_version = 3;
    let cluster = ClusterVersions::from_response(&response).unwrap();
    assert_eq!(range(&ask(4, &cluster, false), key::PRODUCE), Some((3, 13)));
}

#[test]
fn what_is_refused_is_not_advertised() {
    for allow_security_changes in [false, true] {
        let response = ask(4, &cluster(), allow_security_changes);
        for api in api::TABLE {
            let hidden = api.class == Class::Refused || (api.class == Class::Security && !allow_security_changes);
            let max = (!hidden).then_some(api.served.max);
            assert_eq!(range(&response, api.key).map(|r| r.1), max, "{}", api.name);
        }
        assert_eq!(range(&response, key::ADD_PARTITIONS_TO_TXN), Some((0, 3)));
    }
}

#[test]
fn what_the_cluster_does_not_serve_is_not_advertised_but_the_login_always_is() {
    let only_metadata = ApiVersionsResponse::default().with_api_keys(vec![
        api_version((&key::METADATA, &Versions { min: 1, max: 9 })),
        api_version((&key::FETCH, &Versions { min: 0, max: 3 })),
    ]);
    let response = ask(4, &ClusterVersions::from_response(&only_metadata).unwrap(), true);
    let listed: Vec<_> = response.api_keys.iter().map(|a| (a.api_key, a.min_version, a.max_version)).collect();
    let login = [(key::SASL_HANDSHAKE, 0, 1), (key::API_VERSIONS, 0, 4), (key::SASL_AUTHENTICATE, 0, 2)];
    assert_eq!(listed, [&[(key::METADATA, 1, 9)], &login[..]].concat());
}

#[test]
fn an_older_brokers_produce_lowers_the_feature_transaction_version() {
    for (key, max) in [(key::PRODUCE, 11), (key::END_TXN, 4), (key::TXN_OFFSET_COMMIT, 4)] {
        let response = ask(4, &capped(key, max), false);
        assert_eq!(finalized(&response, "transaction.version"), Some(1));
        assert_eq!(supported(&response, "transaction.version"), Some((0, 1)));
        assert_eq!(finalized(&response, "metadata.version"), Some(29));
    }
    assert_eq!(finalized(&ask(4, &cluster(), false), "transaction.version"), Some(2));
}

#[test]
fn features_from_level_zero_are_shown_from_v4_on_only() {
    let (v3, v4) = (ask(3, &cluster(), false), ask(4, &cluster(), false));
    assert_eq!(supported(&v3, "group.version"), None);
    assert_eq!(supported(&v4, "group.version"), Some((0, 1)));
    assert_eq!(supported(&v3, "metadata.version"), Some((7, 29)));
    assert_eq!(finalized(&v3, "transaction.version"), Some(2), "finalized levels are shown in v3 too");
    assert!(ask(2, &cluster(), false).finalized_features.is_empty());
}

#[test]
fn a_software_name_outside_kafkas_pattern_is_an_invalid_request() {
    for (name, software) in
        [("", "1"), ("a", ""), ("-a", "1"), ("a.", "1"), ("a b", "1"), ("a", "1\u{e9}"), ("a", "1_2")]
    {
        for version in [3, 4] {
            let frame = answer(version, 7, &request(version, name, software), &cluster(), false).unwrap();
            let response = decode(&frame, version);
            assert_eq!((response.error_code, response.api_keys.len()), (42, 0), "{name:?} {software:?}");
        }
    }
    for (name, software) in [("a", "1"), ("apache-kafka-java", "4.3.1"), ("A.-9", "v1.0-rc.1")] {
        let frame = answer(3, 7, &request(3, name, software), &cluster(), false).unwrap();
        assert_eq!(decode(&frame, 3).error_code, 0, "{name:?} {software:?}");
    }
    let truncated = answer(3, 7, &[9, b'a'], &cluster(), false).unwrap();
    assert_eq!(decode(&truncated, 3).error_code, 42);
}

#[test]
fn during_a_rolling_upgrade_only_what_every_broker_serves_is_advertised() {
    let mut older = kafka_4_3();
    older.api_keys.retain(|a| a.api_key != key::STREAMS_GROUP_HEARTBEAT);
    older.api_keys.iter_mut().filter(|a| a.api_key == key::FETCH).for_each(|a| a.max_version = 17);
    older.finalized_features.iter_mut().for_each(|f| {
        f.max_version_level = f.max_version_level.min(25);
        f.min_version_level = f.min_version_level.min(25);
    });
    older.supported_features.retain(|f| f.name.as_str() != "group.version");
    older.finalized_features_epoch = 40;
    let older = ClusterVersions::from_response(&older).unwrap();
    for both in [cluster().intersect(&older), older.intersect(&cluster())] {
        let response = ask(4, &both, false);
        assert_eq!(range(&response, key::FETCH), Some((4, 17)));
        assert_eq!(range(&response, key::STREAMS_GROUP_HEARTBEAT), None);
        assert_eq!(supported(&response, "group.version"), None);
        assert_eq!(finalized(&response, "metadata.version"), Some(25));
        assert_eq!(response.finalized_features_epoch, 40);
    }
}

#[test]
fn a_probe_that_failed_is_no_cluster_without_apis() {
    let refused = ApiVersionsResponse::default().with_error_code(35);
    assert_eq!(ClusterVersions::from_response(&refused), Err(ProbeError::Refused(35)));
    assert_eq!(ClusterVersions::from_response(&ApiVersionsResponse::default()), Err(ProbeError::Empty));
}

#[test]
fn our_own_requests_take_the_highest_version_in_common() {
    let ours = Versions { min: 0, max: 12 };
    assert_eq!(cluster().highest(key::METADATA, ours), Some(12));
    assert_eq!(capped(key::METADATA, 5).highest(key::METADATA, ours), Some(5));
    assert_eq!(cluster().highest(key::FETCH, Versions { min: 0, max: 3 }), None);
    assert_eq!(cluster().highest(999, ours), None);
}
