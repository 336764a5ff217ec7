//! However a connection's bytes are cut into pieces, what is passed on, described and matched is the same.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;

use super::budget::{Budget, Reservation};
use super::capture::{Beginning, Capture, Cut, Kept, SampleBudgets, Scope};
use super::describe::TopicDirectory;
use super::exchange::{Exchange, Moments};
use super::fault::Fault;
use super::head::RequestHead;
use super::request::{self, Admission, Gate, Inbound};
use super::response::{self, Outbound, Requests};
use crate::event::piece::{Way, Withheld};
use crate::event::{RequestPart, ResponsePart};
use crate::policy::{RecordingMode, RecordingRule, RecordingRules, TopicPatterns};
use crate::wire::kafka::addresses::Outward;
use crate::wire::kafka::api::{self, Api, Class, key};
use crate::wire::kafka::correlation::Surprise;
use crate::wire::kafka::layout::{self, Direction, Message};
use crate::wire::kafka::samples;

struct NoTopics;

impl TopicDirectory for NoTopics {
    fn name(&self, _: &[u8; 16]) -> Option<Arc<str>> {
        None
    }
    fn learn(&self, _: Vec<([u8; 16], Arc<str>)>) {}
}

/// Full recording of these topics, or of everything.
fn scope(topics: &[&str]) -> Rc<Scope> {
    let rule = RecordingRule {
        name: None,
        listeners: Vec::new(),
        groups: Vec::new(),
        topics: TopicPatterns::new(topics.iter().map(ToString::to_string).collect()).unwrap(),
        mode: RecordingMode::Full,
    };
    let rules = RecordingRules::new(vec![rule]);
    Scope::new(rules.plan("main", &[]).unwrap(), SampleBudgets::new(&rules, 1), Budget::new(1 << 20))
}

fn capture(scope: &Rc<Scope>, ordinal: u64, api_key: i16) -> Option<Box<Capture>> {
    scope.begin(Beginning { ordinal, api_key, number: 0, request_bytes: 0 }, 1)
}

/// What full recording kept: bytes that were withheld are zeros.
#[derive(Debug, PartialEq, Default, Clone)]
struct Captured {
    frames: Vec<u8>,
    withheld: Vec<(usize, Withheld)>,
}

impl Captured {
    fn add(&mut self, cuts: Vec<Cut>, passed: &[u8]) {
        for cut in cuts {
            match cut.kept {
                Kept::Passed(range) => self.frames.extend_from_slice(&passed[range]),
                Kept::Held(bytes) => self.frames.extend(bytes),
                Kept::Withheld { bytes, why } => {
                    let from = self.frames.len();
                    self.withheld.extend((from..from + bytes as usize).map(|at| (at, why)));
                    self.frames.resize(from + bytes as usize, 0);
                }
                Kept::Lost => unreachable!("nothing is sampled"),
            }
        }
    }

    /// What was kept are these frames, and what was withheld stands at its place.
    fn covers(&self, frames: &[u8]) {
        assert_eq!(self.frames.len(), frames.len(), "every byte is accounted for");
        let mut blanked = frames.to_vec();
        for (at, _) in &self.withheld {
            blanked[*at] = 0;
        }
        assert!(self.frames == blanked, "what is kept is what passed");
        let twice = [samples::SECRET, samples::SECRET].concat();
        assert!(!self.frames.windows(4).any(|window| window == twice), "a secret is among what is kept");
    }
}

/// Relays Produce, gathers the rest; lets every other question wait once.
struct EveryOther {
    budget: Budget,
    asked: u32,
    scope: Option<Rc<Scope>>,
}

impl Gate for EveryOther {
    fn admit(&mut self, head: &RequestHead<'_>, whole: bool) -> Result<Admission, Fault> {
        self.asked += 1;
        Ok(match (head.api_key == key::PRODUCE, whole, self.asked % 2) {
            (_, _, 0) => Admission::Later,
            (true, _, _) => Admission::Relay,
            (_, true, _) => Admission::Gather(None),
            (_, false, _) => Admission::Gather(self.budget.reserve(head.frame_bytes)),
        })
    }

    fn capture(&mut self, ordinal: u64, api_key: i16, _: u64) -> Option<Box<Capture>> {
        capture(self.scope.as_ref()?, ordinal, api_key)
    }
}

/// Every message of an API that may be forwarded, in every version served.
fn messages(direction: Direction) -> Vec<(&'static Api, &'static Message, i16)> {
    let forwarded = |api: &&Api| !matches!(api.class, Class::Refused | Class::Here);
    let mut found = Vec::new();
    for api in api::TABLE.iter().filter(forwarded) {
        let of_api = layout::messages().iter().filter(|m| m.api_key == api.key && m.direction == direction);
        for message in of_api {
            found.extend((api.served.min..=api.served.max).map(|version| (api, message, version)));
        }
    }
    found
}

fn framed(mut frame: Vec<u8>, body: &[u8]) -> Vec<u8> {
    frame.extend_from_slice(body);
    let length = (frame.len() as i32).to_be_bytes();
    [&length[..], &frame].concat()
}

fn request(api: &Api, message: &Message, version: i16, id: i32, seed: u64) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(api.key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(id.to_be_bytes());
    frame.extend(4i16.to_be_bytes());
    frame.extend(b"test");
    if api.request_header_version(version) == 2 {
        frame.push(0);
    }
    framed(frame, &samples::body(message, version, seed))
}

fn response(api: &Api, message: &Message, version: i16, id: i32, seed: u64) -> Vec<u8> {
    let mut frame = id.to_be_bytes().to_vec();
    if api.response_header_version(version) == 1 {
        frame.push(0);
    }
    framed(frame, &samples::body(message, version, seed))
}

/// Cuts `bytes` at pieces of at most `size` bytes.
fn pieces(bytes: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(size.max(1))
}

#[derive(Debug, PartialEq, Default)]
struct PassedOn {
    bytes: Vec<u8>,
    requests: Vec<Option<RequestPart>>,
    responses: Vec<ResponsePart>,
    captured: Captured,
}

fn way_in(stream: &[u8], size: usize, scope: Option<Rc<Scope>>) -> PassedOn {
    let mut inbound = Inbound::new(100 << 20);
    let mut gate = EveryOther { budget: Budget::new(1 << 30), asked: 0, scope };
    let mut passed = PassedOn::default();
    for piece in pieces(stream, size) {
        let mut rest = piece;
        while !rest.is_empty() {
            let step = inbound.advance(rest, 1, &mut gate, &NoTopics).unwrap();
            let (taken, left) = rest.split_at(step.taken);
            rest = left;
            match step.action {
                request::Action::Absorb | request::Action::Wait => {}
                request::Action::Relay { ended } => {
                    passed.captured.add(step.cuts, taken);
                    passed.bytes.extend_from_slice(taken);
                    passed.requests.extend(ended.map(|exchange| exchange.request));
                }
                request::Action::RelayKept(head) => {
                    passed.captured.add(step.cuts, &head);
                    passed.bytes.extend(head);
                }
                request::Action::Token { .. } => unreachable!("no handshake was made"),
                request::Action::Whole(mut whole) => {
                    let frame = whole.kept.unwrap_or_else(|| taken.to_vec());
                    let cuts = whole.exchange.pass_whole(Way::Request, &frame, whole.body_at, &NoTopics, 1);
                    passed.captured.add(cuts, &frame);
                    passed.bytes.extend(frame);
                    passed.requests.push(None);
                }
            }
        }
    }
    assert!(inbound.between_requests(), "the last request is whole");
    assert_eq!(gate.budget.in_use(), 0, "nothing stays reserved");
    passed
}

struct Awaited {
    exchanges: VecDeque<Box<Exchange>>,
    budget: Budget,
}

impl Requests for Awaited {
    fn take(&mut self, correlation_id: i32) -> Result<Box<Exchange>, Surprise> {
        let exchange = self.exchanges.pop_front().expect("one for each answer");
        assert_eq!(exchange.correlation_id, correlation_id);
        Ok(exchange)
    }
    fn reserve(&mut self, bytes: u64) -> Option<Reservation> {
        self.budget.reserve(bytes)
    }
    fn outward(&mut self, _learns: bool) -> &mut dyn Outward {
        self
    }
    fn topics(&self) -> &dyn TopicDirectory {
        &NoTopics
    }
}

impl Outward for Awaited {
    fn outward(&mut self, node: i32, _: &str, _: i32) -> Option<(String, u16)> {
        (node % 3 != 0).then(|| ("gateway.example".into(), 9300))
    }
}

fn way_back(stream: &[u8], awaited: &[(&'static Api, i16)], size: usize, scope: Option<&Rc<Scope>>) -> PassedOn {
    let exchange = |(id, (api, version)): (usize, &(&'static Api, i16))| {
        Box::new(Exchange {
            ordinal: id as u64,
            api_key: api.key,
            api: Some(api),
            request: None,
            version: *version,
            correlation_id: id as i32,
            frame_bytes: 0,
            unanswered: false,
            bare: false,
            moments: Moments::default(),
            capture: scope.and_then(|scope| capture(scope, id as u64, api.key)),
        })
    };
    let exchanges = awaited.iter().enumerate().map(exchange).collect();
    let mut requests = Awaited { exchanges, budget: Budget::new(1 << 30) };
    let mut outbound = Outbound::default();
    let mut passed = PassedOn::default();
    for piece in pieces(stream, size) {
        let mut rest = piece;
        while !rest.is_empty() {
            let step = outbound.advance(rest, 1, &mut requests).unwrap();
            let (taken, left) = rest.split_at(step.taken);
            rest = left;
            let ended = match step.action {
                response::Action::Absorb | response::Action::Wait => None,
                response::Action::Relay { ended } => {
                    passed.captured.add(step.cuts, taken);
                    passed.bytes.extend_from_slice(taken);
                    ended
                }
                response::Action::Replace { bytes, ended } => {
                    passed.captured.add(step.cuts, &bytes);
                    passed.bytes.extend(bytes);
                    ended
                }
            };
            passed.responses.extend(ended.map(|ended| ended.response));
        }
    }
    assert!(outbound.between_answers(), "the last answer is whole");
    assert_eq!(requests.budget.in_use(), 0, "nothing stays reserved");
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
        let mut inbound = Inbound::new(1 << 20);
        let mut gate = EveryOther { budget: Budget::new(1 << 20), asked: 0, scope: Some(scope(&[])) };
        'all: for piece in pieces(&bytes, size) {
            let mut rest = piece;
            while !rest.is_empty() {
                let Ok(step) = inbound.advance(rest, 1, &mut gate, &NoTopics) else { break 'all };
                rest = &rest[step.taken..];
            }
        }
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
