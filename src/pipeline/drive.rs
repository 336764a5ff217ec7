//! Drives the state machines of a connection over streams that are cut into pieces: for tests and fuzz targets.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use super::access::{self, Amends};
use super::budget::{Budget, Reservation};
use super::capture::{Beginning, Capture, Cut, Kept, SampleBudgets, Scope};
use super::describe::TopicDirectory;
use super::exchange::{Exchange, Moments};
use super::fault::Fault;
use super::guard::{self, Verdict};
use super::head::RequestHead;
use super::masking::{self, Masked, Masking, On, Tools};
use super::membership::ReadsFor;
use super::request::{self, Admission, Gate, Inbound, Whole};
use super::response::{self, Outbound, Requests};
use crate::event::piece::{Way, Withheld};
use crate::event::{RequestPart, ResponsePart};
use crate::policy::{RecordingMode, RecordingRule, RecordingRules, TopicPatterns};
use crate::wire::kafka::addresses::Outward;
use crate::wire::kafka::api::{self, Api, Class, key};
use crate::wire::kafka::correlation::{Ring, Surprise};
use crate::wire::kafka::error_reply;
use crate::wire::kafka::layout::{self, Direction, Message};
use crate::wire::kafka::records::body::Frame;
use crate::wire::kafka::records::rewrite::Rewriter;
use crate::wire::kafka::samples;
use crate::wire::kafka::walk::Malformed;

/// Knows no topic.
pub struct NoTopics;

impl TopicDirectory for NoTopics {
    fn name(&self, _: &[u8; 16]) -> Option<Arc<str>> {
        None
    }
    fn learn(&self, _: Vec<([u8; 16], Arc<str>)>) {}
}

/// Full recording of these topics, or of everything.
pub fn scope(topics: &[&str]) -> Rc<Scope> {
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

pub fn capture(scope: &Rc<Scope>, ordinal: u64, api_key: i16) -> Option<Box<Capture>> {
    scope.begin(Beginning { ordinal, api_key, number: 0, request_bytes: 0 }, 1)
}

/// What full recording kept: bytes that were withheld are zeros.
#[derive(Debug, PartialEq, Default, Clone)]
pub struct Captured {
    pub frames: Vec<u8>,
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
    pub fn covers(&self, frames: &[u8]) {
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
    fn admit(&mut self, head: &RequestHead<'_>, _: &[u8], whole: bool) -> Result<Admission, Fault> {
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
pub fn messages(direction: Direction) -> Vec<(&'static Api, &'static Message, i16)> {
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

pub fn request(api: &Api, message: &Message, version: i16, id: i32, seed: u64) -> Vec<u8> {
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

pub fn response(api: &Api, message: &Message, version: i16, id: i32, seed: u64) -> Vec<u8> {
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

/// What came of a stream.
#[derive(Debug, PartialEq, Default)]
pub struct PassedOn {
    /// What was passed on.
    pub bytes: Vec<u8>,
    /// The requests that ended; described where they were relayed.
    pub requests: Vec<Option<RequestPart>>,
    /// The answers that ended.
    pub responses: Vec<ResponsePart>,
    /// What full recording kept.
    pub captured: Captured,
    /// Why the connection ended before the stream did.
    pub fault: Option<String>,
    /// Whether the stream ended with a frame's end.
    pub whole: bool,
}

/// Sends a client's bytes in pieces of at most `size` bytes. Frames have at most `frame_bytes_max`.
pub fn way_in(stream: &[u8], size: usize, frame_bytes_max: u64, scope: Option<Rc<Scope>>) -> PassedOn {
    let mut inbound = Inbound::new(frame_bytes_max);
    let mut gate = EveryOther { budget: Budget::new(1 << 30), asked: 0, scope };
    let mut passed = PassedOn::default();
    let ended = pieces(stream, size).try_for_each(|piece| take_in(piece, &mut inbound, &mut gate, &mut passed));
    passed.fault = ended.err().map(|fault| fault.to_string());
    passed.whole = inbound.between_requests();
    drop(inbound);
    assert_eq!(gate.budget.in_use(), 0, "nothing stays reserved");
    passed
}

fn take_in(mut rest: &[u8], inbound: &mut Inbound, gate: &mut EveryOther, passed: &mut PassedOn) -> Result<(), Fault> {
    while !rest.is_empty() {
        let step = inbound.advance(rest, 1, gate, &NoTopics)?;
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
            request::Action::Token { token, .. } => {
                passed.bytes.extend((token.len() as i32).to_be_bytes());
                passed.bytes.extend_from_slice(&token);
                passed.captured.add(step.cuts, &[]);
            }
            request::Action::Whole(whole) => gathered(whole, taken, inbound, passed)?,
        }
    }
    Ok(())
}

/// Judges a gathered request as a shard does, and passes it on whatever the verdict.
fn gathered(mut whole: Whole, taken: &[u8], inbound: &mut Inbound, passed: &mut PassedOn) -> Result<(), Fault> {
    let frame = whole.kept.unwrap_or_else(|| taken.to_vec());
    let cuts = whole.exchange.pass_whole(Way::Request, &frame, whole.body_at, &NoTopics, 1);
    passed.captured.add(cuts, &frame);
    let (body, exchange) = (&frame[whole.body_at..], &whole.exchange);
    let (key, version) = (exchange.api_key, exchange.version);
    match guard::judge(exchange, body, &NoTopics, false)? {
        Verdict::Refuse { code, .. } if guard::is_lawful(key, version, body) => {
            error_reply::refuse(key, version, exchange.correlation_id, body, code, Some("refused"));
        }
        Verdict::Here => inbound.token_next = key == key::SASL_HANDSHAKE && version == 0,
        Verdict::Forward(_) | Verdict::Refuse { .. } => {}
    }
    passed.bytes.extend(frame);
    passed.requests.push(None);
    Ok(())
}

struct Awaited<'a> {
    ring: Ring<Box<Exchange>>,
    budget: Budget,
    masking: Option<&'a mut dyn Masking>,
}

impl Requests for Awaited<'_> {
    fn take(&mut self, correlation_id: i32) -> Result<Box<Exchange>, Surprise> {
        self.ring.take_forwarded(correlation_id)
    }
    fn reserve(&mut self, bytes: u64, _: bool) -> Option<Reservation> {
        self.budget.reserve(bytes)
    }
    fn outward(&mut self, _learns: bool) -> &mut dyn Outward {
        self
    }
    fn topics(&self) -> &dyn TopicDirectory {
        &NoTopics
    }
    fn masks(&self, on: On, _: ReadsFor<'_>) -> bool {
        self.masking.as_ref().is_some_and(|masking| masking.any(on))
    }
    fn rights_changed(&self, _: u64) -> bool {
        false
    }
    fn shares_with_others(&self) -> bool {
        false
    }
    fn amend(&mut self, amends: &Amends, key: i16, version: i16, body: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        access::amend(amends, key, version, body, None, &NoTopics)
    }
    fn without_unreadable<'a>(&mut self, frame: Frame<'a>) -> Result<Cow<'a, [u8]>, Malformed> {
        Ok(frame.bytes)
    }
    fn mask<'a>(&mut self, frame: Frame<'a>, on: On, _: ReadsFor<'_>) -> Result<Masked<'a>, Malformed> {
        let Some(masking) = &mut self.masking else { return Ok(Masked { frame: frame.bytes, refused: Vec::new() }) };
        let rewriter = &mut Rewriter::default();
        masking::mask(frame, on, &mut Tools { masking: &mut **masking, rewriter, topics: &NoTopics })
    }
}

impl Outward for Awaited<'_> {
    fn outward(&mut self, node: i32, _: &str, _: i32) -> Option<(String, u16)> {
        (node % 3 != 0).then(|| ("gateway.example".into(), 9300))
    }
}

/// Sends a broker's bytes in pieces of at most `size` bytes; `awaited` are in flight, their correlation ids count from 0.
pub fn way_back(stream: &[u8], awaited: &[(&'static Api, i16)], size: usize, scope: Option<&Rc<Scope>>) -> PassedOn {
    let mut exchanges = Vec::new();
    for (id, (api, version)) in awaited.iter().enumerate() {
        let capture = scope.and_then(|scope| capture(scope, id as u64, api.key));
        exchanges.push(exchange(id, api, *version, capture));
    }
    way_back_masked(stream, exchanges, size, None)
}

/// The same for exchanges whose records may be masked; their correlation ids count from 0.
pub fn way_back_masked(
    stream: &[u8],
    exchanges: Vec<Exchange>,
    size: usize,
    masking: Option<&mut dyn Masking>,
) -> PassedOn {
    let mut ring = Ring::default();
    for exchange in exchanges {
        ring.push_forwarded(exchange.correlation_id, Box::new(exchange)).unwrap();
    }
    let mut requests = Awaited { ring, budget: Budget::new(1 << 30), masking };
    let mut outbound = Outbound::default();
    let mut passed = PassedOn::default();
    let ended = pieces(stream, size).try_for_each(|piece| take_back(piece, &mut outbound, &mut requests, &mut passed));
    passed.fault = ended.err().map(|fault| fault.to_string());
    passed.whole = outbound.between_answers();
    drop(outbound);
    assert_eq!(requests.budget.in_use(), 0, "nothing stays reserved");
    passed
}

/// An exchange in flight.
pub fn exchange(id: usize, api: &'static Api, version: i16, capture: Option<Box<Capture>>) -> Exchange {
    Exchange {
        ordinal: id as u64,
        api_key: api.key,
        api: Some(api),
        request: None,
        unnamed: Vec::new(),
        version,
        correlation_id: id as i32,
        frame_bytes: 0,
        unanswered: false,
        bare: false,
        group: None,
        lowered: false,
        refused: Vec::new(),
        amends: None,
        room: None,
        counted: false,
        rights: 0,
        moments: Moments::default(),
        capture,
    }
}

fn take_back(
    mut rest: &[u8],
    outbound: &mut Outbound,
    requests: &mut Awaited<'_>,
    passed: &mut PassedOn,
) -> Result<(), Fault> {
    while !rest.is_empty() {
        let step = outbound.advance(rest, 1, requests)?;
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
                if let Some(room) = &step.room {
                    assert!(room.bytes() >= bytes.len() as u64, "what is passed on is counted");
                }
                passed.captured.add(step.cuts, &bytes);
                passed.bytes.extend(bytes);
                ended
            }
        };
        passed.responses.extend(ended.map(|ended| ended.response));
    }
    Ok(())
}
