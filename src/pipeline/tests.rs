//! However a connection's bytes are cut into pieces, what is passed on, described and matched is the same.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::rc::Rc;

use proptest::prelude::*;

use super::capture::Scope;
use super::drive::{self, PassedOn, messages, request, response, scope};
use crate::wire::kafka::api::{self, Api, Class, key};
use crate::wire::kafka::layout::Direction;

mod every_version;

/// A client's lawful bytes.
fn way_in(stream: &[u8], size: usize, scope: Option<Rc<Scope>>) -> PassedOn {
    let passed = drive::way_in(stream, size, 100 << 20, scope);
    assert_eq!(passed.fault, None);
    assert!(passed.whole, "the last request is whole");
    passed
}

/// A broker's lawful bytes.
fn way_back(stream: &[u8], awaited: &[(&'static Api, i16)], size: usize, scope: Option<&Rc<Scope>>) -> PassedOn {
    let passed = drive::way_back(stream, awaited, size, scope);
    assert_eq!(passed.fault, None);
    assert!(passed.whole, "the last answer is whole");
    passed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn requests_leave_as_they_came_however_they_are_cut(seed: u64, size in 1usize..200) {
        let all = messages(Direction::Request);
        let picked = (0..12).map(|i| all[(seed as usize).wrapping_mul(31).wrapping_add(i * 7919) % all.len()]);
        let stream: Vec<u8> = picked
            .enumerate()
            .flat_map(|(id, (api, message, version))| request(api, message, version, id as i32, seed ^ id as u64))
            .collect();
        let whole = way_in(&stream, stream.len(), Some(scope(&[])));
        whole.captured.covers(&stream);
        prop_assert_eq!(&whole.bytes, &stream);
        prop_assert_eq!(whole.requests.len(), 12);
        for size in [size, 1, 11, 4096] {
            prop_assert_eq!(&way_in(&stream, size, Some(scope(&[]))), &whole);
        }
    }

    #[test]
    fn answers_are_passed_on_the_same_however_they_are_cut(seed: u64, size in 1usize..200) {
        let all = messages(Direction::Response);
        let picked: Vec<_> =
            (0..12).map(|i| all[(seed as usize).wrapping_mul(31).wrapping_add(i * 7919) % all.len()]).collect();
        let awaited: Vec<_> = picked.iter().map(|(api, _, version)| (*api, *version)).collect();
        let stream: Vec<u8> = picked
            .iter()
            .enumerate()
            .flat_map(|(id, (api, message, version))| response(api, message, *version, id as i32, seed ^ id as u64))
            .collect();
        let whole = way_back(&stream, &awaited, stream.len(), Some(&scope(&[])));
        whole.captured.covers(&whole.bytes);
        prop_assert_eq!(whole.responses.len(), 12);
        for size in [size, 1, 9, 4096] {
            prop_assert_eq!(&way_back(&stream, &awaited, size, Some(&scope(&[]))), &whole);
        }
    }

    #[test]
    fn answers_without_addresses_leave_as_they_came(seed: u64, size in 1usize..200) {
        let all: Vec<_> = messages(Direction::Response)
            .into_iter()
            .filter(|(api, _, _)| api.class != Class::Rewrite)
            .collect();
        let (api, message, version) = all[seed as usize % all.len()];
        let stream = response(api, message, version, 0, seed);
        prop_assert_eq!(way_back(&stream, &[(api, version)], size, None).bytes, stream);
    }

    #[test]
    fn bytes_of_any_kind_end_a_connection_and_not_the_gateway(bytes: Vec<u8>, size in 1usize..64) {
        drive::way_in(&bytes, size, 1 << 20, Some(scope(&[])));
    }

    #[test]
    fn of_topics_that_no_rule_asks_for_no_record_is_kept(seed: u64, size in 1usize..400) {
        let fetch = messages(Direction::Response);
        let fetch: Vec<_> = fetch.into_iter().filter(|(api, _, version)| api.key == key::FETCH && *version < 13).collect();
        let (api, message, version) = fetch[seed as usize % fetch.len()];
        let stream = response(api, message, version, 0, seed);
        let by_topic = scope(&["weir-weir-*", "nobody's"]);
        let kept = way_back(&stream, &[(api, version)], size, Some(&by_topic)).captured;
        if !kept.frames.is_empty() {
            prop_assert_eq!(kept.frames.len(), stream.len());
        }
        prop_assert_eq!(&kept, &way_back(&stream, &[(api, version)], stream.len(), Some(&by_topic)).captured);
        // Nothing matches: nothing is kept.
        let none = way_back(&stream, &[(api, version)], size, Some(&scope(&["nobody's"]))).captured;
        prop_assert!(none.frames.is_empty());
    }
}

#[test]
fn an_answer_that_ends_with_its_header_is_as_malformed_in_pieces_as_it_is_whole() {
    // Found by fuzzing: what came in pieces was passed on.
    let stream = [0, 0, 0, 5, 0, 0, 0, 0, 0];
    for (key, version, name) in [(key::FETCH, 16, "Fetch response v16"), (key::METADATA, 12, "Metadata response v12")] {
        let api = api::lookup(key).unwrap();
        for size in [1, 3, stream.len()] {
            let passed = drive::way_back(&stream, &[(api, version)], size, None);
            let fault = passed.fault.unwrap_or_default();
            let told = fault.starts_with(&format!("upstream: {name}"));
            assert!(told && passed.responses.is_empty(), "{size}: {fault}");
        }
    }
}
