//! Refusals, decoded as a client would: the code stands where its API carries it, and hostile bodies end quietly.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::wire::kafka::api::{Class, TABLE};
use crate::wire::kafka::fields::Fields;
use crate::wire::kafka::frame::{PREFIX_LEN, Parsed, frame_len, response_correlation_id, response_header_len};
use as_client::to_the_end;
use kafka_protocol::messages::{ApiKey, FetchResponse, ProduceResponse};
use samples::{TOPIC_ID, body};

mod as_client;
mod samples;

const POLICY_VIOLATION: i16 = 44;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const WHY: &str = "request 7 waits for approval";

fn refused(key: i16, version: i16, error: i16) -> Option<Bytes> {
    refuse(key, version, 7, &body(key, version), error, Some(WHY))
}

/// The body of a reply, after its length and header were held against the table.
fn reply_body(frame: &Bytes, key: i16, version: i16) -> Bytes {
    let len = frame_len(*frame.first_chunk().unwrap(), usize::MAX).unwrap();
    assert_eq!(len, frame.len() - PREFIX_LEN);
    let rest = frame.slice(PREFIX_LEN..);
    assert_eq!(response_correlation_id(&rest), Some(7));
    let header_version = api::lookup(key).unwrap().response_header_version(version);
    match response_header_len(&rest, rest.len(), header_version).unwrap() {
        Parsed::Whole(header) => rest.slice(header..),
        Parsed::NeedMore => panic!("a whole frame"),
    }
}

/// What a reply says to a client.
fn told(frame: &Bytes, key: i16, version: i16) -> String {
    as_client::told(key, version, reply_body(frame, key, version)).unwrap()
}

/// The versions of an API whose answers the codec reads.
fn read_by_codec(key: i16) -> std::ops::RangeInclusive<i16> {
    match ApiKey::try_from(key) {
        // Its valid range, without the versions that its types do not decode.
        Ok(known) => known.valid_versions().min..=known.valid_versions().max,
        #[allow(clippy::reversed_empty_ranges)]
        Err(()) => 0..=-1,
    }
}

/// Between brokers only, and of layouts not read here: the connection is closed.
const CLOSED: &[(i16, i16)] = &[
    (key::WRITE_TXN_MARKERS, 2),
    (key::BROKER_HEARTBEAT, 2),
    (key::INITIALIZE_SHARE_GROUP_STATE, 0),
    (key::READ_SHARE_GROUP_STATE, 0),
    (key::WRITE_SHARE_GROUP_STATE, 0),
    (key::WRITE_SHARE_GROUP_STATE, 1),
    (key::DELETE_SHARE_GROUP_STATE, 0),
    (key::READ_SHARE_GROUP_STATE_SUMMARY, 0),
    (key::READ_SHARE_GROUP_STATE_SUMMARY, 1),
];

#[test]
fn every_api_a_client_may_send_is_refused_in_a_form_the_client_reads() {
    let (mut read, mut closed) = (0, Vec::new());
    for api in TABLE.iter().filter(|api| api.class != Class::Here) {
        for version in api.defined.min..=api.defined.max {
            let Some(frame) = refused(api.key, version, POLICY_VIOLATION) else {
                closed.push((api.key, version));
                continue;
            };
            if read_by_codec(api.key).contains(&version) {
                let says = told(&frame, api.key, version);
                assert!(says.contains("error_code: 44"), "{} v{version}: {says}", api.name);
                read += 1;
            }
        }
    }
    assert_eq!(closed, CLOSED);
    assert!(read > 200, "only {read} replies were read back");
}

#[test]
fn the_reason_is_told_wherever_the_api_carries_a_message() {
    for (key, since) in [
        (key::PRODUCE, 8),
        (key::FIND_COORDINATOR, 1),
        (key::CREATE_TOPICS, 2),
        (key::DELETE_TOPICS, 5),
        (key::CREATE_PARTITIONS, 0),
        (key::ALTER_CONFIGS, 0),
        (key::INCREMENTAL_ALTER_CONFIGS, 0),
        (key::DESCRIBE_CONFIGS, 1),
        (key::ELECT_LEADERS, 0),
        (key::ALTER_PARTITION_REASSIGNMENTS, 0),
        (key::CREATE_ACLS, 1),
        (key::DELETE_ACLS, 1),
        (key::ALTER_CLIENT_QUOTAS, 0),
        (key::ALTER_USER_SCRAM_CREDENTIALS, 0),
        (key::UPDATE_FEATURES, 0),
        (key::UNREGISTER_BROKER, 0),
        (key::ADD_RAFT_VOTER, 0),
        (key::REMOVE_RAFT_VOTER, 0),
        (key::ALTER_SHARE_GROUP_OFFSETS, 0),
        (key::DELETE_SHARE_GROUP_OFFSETS, 0),
        (key::DESCRIBE_GROUPS, 6),
        (key::DESCRIBE_QUORUM, 2),
        (key::SHARE_FETCH, 1),
    ] {
        for version in read_by_codec(key) {
            let Some(frame) = refused(key, version, POLICY_VIOLATION) else { panic!("{} v{version}", api::name(key)) };
            let says_why = told(&frame, key, version).contains(WHY);
            assert_eq!(says_why, version >= since, "{} v{version}", api::name(key));
        }
    }
}

#[test]
fn produce_without_acknowledgement_has_no_reply() {
    for version in 3..=13 {
        let body = samples::produce(version, 0);
        assert_eq!(refuse(key::PRODUCE, version, 7, &body, POLICY_VIOLATION, None), None);
        let frame = refused(key::PRODUCE, version, POLICY_VIOLATION).unwrap();
        let response: ProduceResponse = to_the_end(reply_body(&frame, key::PRODUCE, version), version);
        let responses = response.responses;
        let partition = &responses[0].partition_responses[0];
        assert_eq!((partition.index, partition.base_offset), (3, -1));
        assert_eq!(responses[0].topic_id == TOPIC_ID, version >= 13);
    }
}

fn fetch_reply(version: i16, error: i16) -> FetchResponse {
    let frame = refused(key::FETCH, version, error).unwrap();
    to_the_end(reply_body(&frame, key::FETCH, version), version)
}

#[test]
fn a_fetch_is_refused_at_its_partitions_for_its_topic_and_at_the_top_for_all_else() {
    for version in 4..=18 {
        let whole = fetch_reply(version, POLICY_VIOLATION);
        assert_eq!((whole.error_code, whole.responses.len()), if version >= 7 { (44, 0) } else { (0, 1) });
        assert_eq!(whole.session_id, 0);
        let topic = fetch_reply(version, TOPIC_AUTHORIZATION_FAILED);
        let partition = &topic.responses[0].partitions[0];
        assert_eq!((topic.error_code, partition.error_code, partition.partition_index), (0, 29, 3));
        assert_eq!((partition.high_watermark, partition.records.as_deref()), (-1, Some(&[][..])));
    }
    let session = samples::fetch_of_a_session(13);
    let frame = refuse(key::FETCH, 13, 7, &session, TOPIC_AUTHORIZATION_FAILED, None).unwrap();
    let response: FetchResponse = to_the_end(reply_body(&frame, key::FETCH, 13), 13);
    assert_eq!(response.error_code, 29, "a fetch that names no partition still learns that it was refused");
}

#[test]
fn a_request_for_all_topics_is_never_answered_with_an_empty_success() {
    for version in 0..=12 {
        assert_eq!(refuse(key::METADATA, version, 7, &samples::metadata_of_all(version), 29, None), None);
    }
    let frame = refuse(key::METADATA, 13, 7, &samples::metadata_of_all(13), 29, None).unwrap();
    assert!(told(&frame, key::METADATA, 13).contains("error_code: 29"));
    assert_eq!(refuse(key::ELECT_LEADERS, 0, 7, &samples::elect_all(0), 31, None), None);
    assert!(refuse(key::ELECT_LEADERS, 1, 7, &samples::elect_all(1), 31, None).is_some());
    assert_eq!(refuse(key::DESCRIBE_TOPIC_PARTITIONS, 0, 7, &[1, 0, 0, 0, 0, 0xff, 0], 29, None), None);
}

#[test]
fn commits_by_topic_id_are_refused_at_their_partitions() {
    let frame = refused(key::OFFSET_COMMIT, 10, 29).unwrap();
    let says = told(&frame, key::OFFSET_COMMIT, 10);
    for part in [&format!("topic_id: {TOPIC_ID}"), "partition_index: 3", "partition_index: 4", "error_code: 29"] {
        assert!(says.contains(part), "{says}");
    }
    let frame = refused(key::OFFSET_FETCH, 10, 30).unwrap();
    let says = told(&frame, key::OFFSET_FETCH, 10);
    assert!(says.contains(r#"group_id: "analytics""#) && says.contains("error_code: 30"), "{says}");
}

#[test]
fn answers_written_by_hand_are_laid_out_as_kafka_defines_them() {
    let frame = refused(key::SHARE_ACKNOWLEDGE, 2, POLICY_VIOLATION).unwrap();
    let body = reply_body(&frame, key::SHARE_ACKNOWLEDGE, 2);
    let tail = read_beginning(&body);
    assert_eq!(tail, [0, 0, 0, 0, 1, 1, 0], "lock timeout, no responses, no endpoints, no tags");

    let frame = refused(key::STREAMS_GROUP_HEARTBEAT, 0, POLICY_VIOLATION).unwrap();
    let body = reply_body(&frame, key::STREAMS_GROUP_HEARTBEAT, 0);
    let tail = read_beginning(&body);
    let mut expected = vec![1];
    expected.extend_from_slice(&[0; 16]);
    expected.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(tail, expected);

    let frame = refused(key::STREAMS_GROUP_DESCRIBE, 0, POLICY_VIOLATION).unwrap();
    let body = reply_body(&frame, key::STREAMS_GROUP_DESCRIBE, 0);
    let mut fields = Fields::whole(&body);
    assert_eq!((fields.int32(), fields.compact_count()), (Ok(0), Ok(Some(1))));
    assert_eq!(fields.int16(), Ok(POLICY_VIOLATION));
    assert_eq!(fields.compact_nullable_string(), Ok(Some(WHY)));
    assert_eq!((fields.compact_string(), fields.compact_string()), (Ok("analytics"), Ok("")));
    assert_eq!((fields.int32(), fields.int32()), (Ok(0), Ok(0)));
    let tail = &body[fields.position()..];
    assert_eq!(tail, [0xff, 1, 0x80, 0, 0, 0, 0, 0], "no topology, no members, operations not asked, no tags");
}

/// Reads throttle time, error and message, and returns what follows.
fn read_beginning(body: &[u8]) -> &[u8] {
    let mut fields = Fields::whole(body);
    assert_eq!((fields.int32(), fields.int16()), (Ok(0), Ok(POLICY_VIOLATION)));
    assert_eq!(fields.compact_nullable_string(), Ok(Some(WHY)));
    &body[fields.position()..]
}

#[test]
fn versions_the_codec_lacks_are_answered_in_the_layout_they_share() {
    for (key, version, stands_for) in [
        (key::LIST_OFFSETS, 11, 10),
        (key::DESCRIBE_LOG_DIRS, 5, 4),
        (key::SHARE_FETCH, 2, 1),
        (key::ADD_RAFT_VOTER, 1, 0),
        (key::DESCRIBE_SHARE_GROUP_OFFSETS, 1, 0),
    ] {
        let newer = refused(key, version, POLICY_VIOLATION).unwrap();
        assert_eq!(newer, refused(key, stands_for, POLICY_VIOLATION).unwrap(), "{}", api::name(key));
    }
}

#[test]
fn what_nobody_can_read_has_no_reply() {
    for (key, version) in [(999, 0), (-1, 0), (key::METADATA, 14), (key::METADATA, -1), (key::PRODUCE, 2), (4, 0)] {
        assert_eq!(refuse(key, version, 7, &[0; 64], 35, None), None);
    }
    for key in [key::API_VERSIONS, key::SASL_HANDSHAKE, key::SASL_AUTHENTICATE] {
        assert_eq!(refuse(key, 0, 7, &[0; 8], 34, None), None, "answered elsewhere");
    }
}

#[test]
fn the_brokers_batched_form_is_told_that_it_is_not_supported() {
    for version in 4..=5 {
        let frame = refuse(key::ADD_PARTITIONS_TO_TXN, version, 7, &[], 35, None).unwrap();
        assert!(told(&frame, key::ADD_PARTITIONS_TO_TXN, version).contains("error_code: 35"));
    }
}

#[test]
fn a_body_cut_off_anywhere_or_with_more_behind_it_panics_nothing() {
    for api in TABLE {
        for version in api.defined.min..=api.defined.max {
            let whole = body(api.key, version);
            for end in 0..whole.len() {
                let _ = refuse(api.key, version, 7, &whole[..end], POLICY_VIOLATION, Some(WHY));
            }
        }
    }
    for (key, version) in [(key::PRODUCE, 9), (key::OFFSET_COMMIT, 10), (key::OFFSET_FETCH, 10), (key::CREATE_ACLS, 3)]
    {
        let mut longer = body(key, version);
        assert!(refuse(key, version, 7, &longer, POLICY_VIOLATION, None).is_some());
        longer.push(0);
        assert_eq!(refuse(key, version, 7, &longer, POLICY_VIOLATION, None), None, "{}", api::name(key));
    }
}
