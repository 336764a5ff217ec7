//! The way back: a broker's bytes become answers, matched to what was asked.
//!
//! Answers are relayed with a walk reading along. Those that carry broker addresses are gathered and rewritten; in Fetch
//! and ShareFetch, whose records may be many, only the tail behind them is gathered and keeps its length, unless a rule may
//! apply to their records: then they are gathered whole, and masked.
//!
//! Invariants:
//! - No byte of an answer is passed on before it is known which request it answers.
//! - An answer that may carry an address is never passed on unread: if it leaves its layout, the connection ends. In any
//!   other a surprise costs the description only, since it is the client's to read.

mod plan;

use std::borrow::Cow;

use super::access::Amends;
use super::budget::Reservation;
use super::capture::{Both, Cut, held, shifted};
use super::describe::{Describer, Description, Side, TopicDirectory};
use super::exchange::Exchange;
use super::fault::Fault;
use super::head::{self, ResponseHead};
use super::hold::Passed;
use super::masking::{self, Masked, On};
use super::membership::ReadsFor;
use crate::event::piece::Way;
use crate::event::{Outcome, ResponsePart};
use crate::limits;
use crate::wire::kafka::addresses::{self, Outward};
use crate::wire::kafka::api::key;
use crate::wire::kafka::correlation::Surprise;
use crate::wire::kafka::layout::Direction;
use crate::wire::kafka::records::body::{self, Frame};
use crate::wire::kafka::records::emptied::Emptied;
use crate::wire::kafka::walk::{Malformed, Walker};
use crate::wire::wipe;
use plan::{Plan, emptied, lists};

/// What the way back needs from its connection.
pub trait Requests {
    /// The request that the next answer belongs to, by order and correlation id.
    fn take(&mut self, correlation_id: i32) -> Result<Box<Exchange>, Surprise>;
    /// Sets bytes aside for an answer that has to be gathered. `masked`: it may be masked, and takes room until it was taken.
    fn reserve(&mut self, bytes: u64, masked: bool) -> Option<Reservation>;
    /// Broker addresses as clients may know them. `learns`: the answer's own are those at which brokers serve clients.
    fn outward(&mut self, learns: bool) -> &mut dyn Outward;
    /// Topic names.
    fn topics(&self) -> &dyn TopicDirectory;
    /// Whether a rule may apply to records that go this way.
    fn masks(&self, on: On, reads_for: ReadsFor<'_>) -> bool;
    /// Whether what was asked under rights that were counted so has to be looked at again, since they are others now.
    fn rights_changed(&self, since: u64) -> bool;
    /// Whether what a share session brings has to be looked at.
    fn shares_with_others(&self) -> bool;
    /// An answer's body as access rules let its reader have it; none where it stays as it came.
    fn amend(&mut self, amends: &Amends, api_key: i16, version: i16, body: &[u8])
    -> Result<Option<Vec<u8>>, Malformed>;
    /// Takes out of an answer what its reader may not read any more.
    fn without_unreadable<'a>(&mut self, frame: Frame<'a>) -> Result<Cow<'a, [u8]>, Malformed>;
    /// Masks the records of an answer.
    fn mask<'a>(&mut self, frame: Frame<'a>, on: On, reads_for: ReadsFor<'_>) -> Result<Masked<'a>, Malformed>;
}

/// The end of an answer.
#[derive(Debug)]
pub struct Ended {
    /// What it answers.
    pub exchange: Box<Exchange>,
    /// What it says; its latency is not known yet.
    pub response: ResponsePart,
    /// The fetch session that it goes on with or opens.
    pub session_id: Option<i32>,
    /// What was read of each partition, where that is counted.
    pub passed: Option<Vec<Passed>>,
}

/// What to do with the bytes of a step.
#[derive(Debug)]
pub enum Action {
    /// They are kept.
    Absorb,
    /// Nothing was taken: there is no room to gather. Ask again later with the same bytes.
    Wait,
    /// Pass the bytes taken on as they are.
    Relay {
        /// The answer's end, when this was it.
        ended: Option<Ended>,
    },
    /// Pass these on instead of the bytes taken.
    Replace {
        /// Kept or rewritten bytes.
        bytes: Vec<u8>,
        /// The answer's end, when this was it.
        ended: Option<Ended>,
    },
}

/// A step: how many bytes were taken, and what to do with them.
#[derive(Debug)]
pub struct Step {
    /// Bytes taken from the front of the piece.
    pub taken: usize,
    /// What to do.
    pub action: Action,
    /// What full recording keeps of the bytes passed on, and of the exchange when it has ended.
    pub cuts: Vec<Cut>,
    /// Set aside for what is passed on, until it has left.
    pub room: Option<Reservation>,
}

impl Step {
    fn new(taken: usize, action: Action) -> Self {
        Step { taken, action, cuts: Vec::new(), room: None }
    }
}

struct Answer {
    exchange: Box<Exchange>,
    description: Description,
    walker: Option<Walker>,
    plan: Plan,
    frame_bytes: u64,
    body_at: usize,
    reservation: Option<Reservation>,
    /// Its records are left out while it is gathered.
    emptied: Option<Box<Emptied>>,
}

enum State {
    /// Between answers, or inside a length prefix or header; what came of it lies in `partial`.
    Head,
    Relay {
        left: u64,
        answer: Box<Answer>,
    },
    /// Everything kept so far lies in `partial`: the whole frame, or its tail.
    Gather {
        left: u64,
        answer: Box<Answer>,
    },
}

/// One connection's way back.
pub struct Outbound {
    state: State,
    partial: Vec<u8>,
    matched: Option<Box<Exchange>>,
}

impl Default for Outbound {
    fn default() -> Self {
        Outbound { state: State::Head, partial: Vec::new(), matched: None }
    }
}

impl Drop for Outbound {
    /// What was kept of a frame that never became whole stays nowhere.
    fn drop(&mut self) {
        wipe(&mut self.partial);
    }
}

impl Outbound {
    /// Whether the bytes so far end with an answer's end: only then may something else be written in between.
    pub fn between_answers(&self) -> bool {
        matches!(self.state, State::Head) && self.partial.is_empty()
    }

    /// Whether an exchange has left the ring and its answer is not whole.
    pub fn is_within_matched(&self) -> bool {
        self.matched.is_some() || !matches!(self.state, State::Head)
    }

    /// The exchange whose answer was under way when the connection ended.
    pub fn unfinished(&mut self) -> Option<Box<Exchange>> {
        match std::mem::replace(&mut self.state, State::Head) {
            State::Head => self.matched.take(),
            State::Relay { answer, .. } | State::Gather { answer, .. } => Some(answer.exchange),
        }
    }

    /// Takes the next bytes, at least one of them unless the action is `Wait`.
    pub fn advance(&mut self, bytes: &[u8], now_ns: u64, requests: &mut dyn Requests) -> Result<Step, Fault> {
        match std::mem::replace(&mut self.state, State::Head) {
            State::Head => self.head(bytes, now_ns, requests),
            State::Relay { left, answer } => self.relay(bytes, left, answer, now_ns, requests),
            State::Gather { left, answer } => self.gather(bytes, left, answer, now_ns, requests),
        }
    }

    fn head(&mut self, bytes: &[u8], now_ns: u64, requests: &mut dyn Requests) -> Result<Step, Fault> {
        let mut taken = 0;
        let in_place = self.partial.is_empty();
        let head = loop {
            let seen = if self.partial.is_empty() { bytes } else { &self.partial };
            let header_version = self.matched.as_ref().map_or(0, |e| e.response_header_version());
            let parsed = ResponseHead::parse(seen, header_version, limits::RESPONSE_FRAME_BYTES_MAX);
            match parsed.map_err(Fault::UpstreamFrame)? {
                Some(head) if self.matched.is_some() => break head,
                Some(head) => self.matched = Some(requests.take(head.correlation_id).map_err(Fault::Surprise)?),
                // The header's tagged fields come a byte at a time: there are none in practice, and so nothing of the
                // body is ever kept with them.
                None if taken < bytes.len() => {
                    let wanted = ResponseHead::BYTES_MIN.saturating_sub(self.partial.len()).max(1);
                    let next = wanted.min(bytes.len() - taken);
                    self.partial.extend_from_slice(&bytes[taken..taken + next]);
                    taken += next;
                }
                None => return Ok(Step::new(taken, Action::Absorb)),
            }
        };
        let in_place = in_place && self.partial.is_empty();
        let plan = self.matched.as_ref().map_or(Plan::Relay, |e| plan::plan(e, requests));
        let whole = in_place && bytes.len() as u64 >= head.frame_bytes;
        let emptied = self.matched.as_ref().and_then(|exchange| emptied(exchange, plan, &head));
        let to_gather = if emptied.is_some() { limits::EMPTIED_BYTES_MAX } else { head.frame_bytes };
        let reservation = match (plan, whole) {
            // One that lies whole in the buffer may come out larger.
            (Plan::Gather, false) | (Plan::Mask, _) => match self.reserve(to_gather, plan, requests)? {
                Some(reservation) => Some(reservation),
                None => return Ok(Step::new(taken, Action::Wait)),
            },
            _ => None,
        };
        let Some(exchange) = self.matched.take() else { return Ok(Step::new(taken, Action::Absorb)) };
        let answer = Box::new(Answer { emptied, ..Answer::new(exchange, plan, &head, reservation, now_ns) });
        self.begin(bytes, taken, in_place, &head, answer, now_ns, requests)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one state")]
    fn begin(
        &mut self,
        bytes: &[u8],
        taken: usize,
        in_place: bool,
        head: &ResponseHead,
        mut answer: Box<Answer>,
        now_ns: u64,
        requests: &mut dyn Requests,
    ) -> Result<Step, Fault> {
        let left = head.frame_bytes - head.bytes as u64;
        match (answer.plan, in_place) {
            (plan, true) if plan.gathers() => self.gather(bytes, head.frame_bytes, answer, now_ns, requests),
            (plan, false) if plan.gathers() => {
                // Nothing more may come: then it is whole.
                let step = self.gather(&[], left, answer, now_ns, requests)?;
                Ok(Step { taken, ..step })
            }
            (_, true) => {
                let mut cuts = answer.exchange.pass(&bytes[..head.bytes], None, now_ns);
                let mut step = self.relay(&bytes[head.bytes..], left, answer, now_ns, requests)?;
                step.taken += head.bytes;
                cuts.append(&mut shifted(step.cuts, head.bytes));
                Ok(Step { cuts, ..step })
            }
            (_, false) => {
                let bytes = std::mem::take(&mut self.partial);
                let mut cuts = answer.exchange.pass(&bytes, None, now_ns);
                let ended = if left == 0 {
                    Some(answer.end_relayed(&mut cuts, now_ns, requests.topics())?)
                } else {
                    self.state = State::Relay { left, answer };
                    None
                };
                Ok(Step { cuts, ..Step::new(taken, Action::Replace { bytes, ended }) })
            }
        }
    }

    fn reserve(&self, bytes: u64, plan: Plan, requests: &mut dyn Requests) -> Result<Option<Reservation>, Fault> {
        if bytes > limits::GATHERED_RESPONSE_BYTES_MAX {
            let max = limits::GATHERED_RESPONSE_BYTES_MAX;
            let text = format!("an answer that has to be rewritten has {bytes} bytes, at most {max} can be");
            return Err(Fault::AnswerLimit(text));
        }
        Ok(requests.reserve(bytes, plan == Plan::Mask))
    }

    fn relay(
        &mut self,
        bytes: &[u8],
        left: u64,
        mut answer: Box<Answer>,
        now_ns: u64,
        requests: &mut dyn Requests,
    ) -> Result<Step, Fault> {
        let there = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let taken = answer.read_along(&bytes[..there], requests.topics(), now_ns)?;
        let left = left - taken as u64;
        let settled = if left > 0 { answer.walker.as_ref().map(Walker::settled) } else { None };
        let mut cuts = answer.exchange.pass(&bytes[..taken], settled, now_ns);
        if left == 0 {
            let ended = Some(answer.end_relayed(&mut cuts, now_ns, requests.topics())?);
            return Ok(Step { cuts, ..Step::new(taken, Action::Relay { ended }) });
        }
        self.state = if answer.in_tail() { State::Gather { left, answer } } else { State::Relay { left, answer } };
        Ok(Step { cuts, ..Step::new(taken, Action::Relay { ended: None }) })
    }

    fn gather(
        &mut self,
        bytes: &[u8],
        left: u64,
        mut answer: Box<Answer>,
        now_ns: u64,
        requests: &mut dyn Requests,
    ) -> Result<Step, Fault> {
        if answer.plan == Plan::RelayThenTail && left > limits::TAIL_BYTES_MAX {
            return Err(Fault::AnswerLimit(format!("an answer has {left} bytes behind its records")));
        }
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let in_place = self.partial.is_empty() && taken as u64 == left;
        if let Some(emptied) = &mut answer.emptied {
            // Of what is kept there is the head, if anything.
            emptied.feed(&std::mem::take(&mut self.partial)).map_err(Fault::UpstreamBody)?;
            emptied.feed(&bytes[..taken]).map_err(Fault::UpstreamBody)?;
            if emptied.bytes() as u64 > limits::EMPTIED_BYTES_MAX {
                let text = "an answer is too large to be masked, and to be passed on without its records";
                return Err(Fault::AnswerLimit(text.to_owned()));
            }
        } else if !in_place {
            // At once, within what is reserved: a buffer that grows leaves copies of records behind.
            self.partial.reserve_exact(usize::try_from(left).unwrap_or(0));
            self.partial.extend_from_slice(&bytes[..taken]);
        }
        let left = left - taken as u64;
        if left > 0 {
            self.state = State::Gather { left, answer };
            return Ok(Step::new(taken, Action::Absorb));
        }
        let kept = std::mem::take(&mut self.partial);
        let gathered = match answer.emptied.take() {
            Some(emptied) => {
                let bytes = answer.frame_bytes;
                tracing::info!("an answer of {bytes} bytes from before rules held for it passes without its records");
                Cow::Owned(emptied.finish().map_err(Fault::UpstreamBody)?)
            }
            None if in_place => Cow::Borrowed(&bytes[..taken]),
            None => Cow::Owned(kept),
        };
        let frame = answer.rewrite(gathered, requests)?;
        let cuts = answer.cut_gathered(&frame, requests, now_ns)?;
        let room = if let Cow::Owned(bytes) = &frame { answer.room(bytes) } else { None };
        let ended = Some(answer.end(now_ns, requests.topics()));
        let action = match frame {
            Cow::Borrowed(_) => Action::Relay { ended },
            Cow::Owned(bytes) => Action::Replace { bytes, ended },
        };
        Ok(Step { taken, action, cuts, room })
    }
}

impl Answer {
    fn new(
        mut exchange: Box<Exchange>,
        plan: Plan,
        head: &ResponseHead,
        reservation: Option<Reservation>,
        now_ns: u64,
    ) -> Self {
        let body_bytes = head.frame_bytes - head.bytes as u64;
        let walker = Walker::response(exchange.api_key, exchange.version, body_bytes);
        // One that is gathered is opened when it is whole.
        if let Some(capture) = exchange.capture.as_mut().filter(|_| !plan.gathers()) {
            capture.open(Way::Response, head.frame_bytes, head.bytes, now_ns);
            if walker.is_none() {
                capture.lose_sight(0);
            }
        }
        Answer {
            description: Description::counting(exchange.api_key, Side::Response, exchange.counted),
            walker,
            exchange,
            plan,
            frame_bytes: head.frame_bytes,
            body_at: head.bytes,
            reservation,
            emptied: None,
        }
    }

    /// Whether the walk has come to what may hold addresses behind the records.
    fn in_tail(&self) -> bool {
        self.plan == Plan::RelayThenTail && self.walker.as_ref().is_some_and(|w| w.tail_at().is_some())
    }

    /// Reads along; how many of the bytes may be passed on: all of them, or those before the tail.
    fn read_along(&mut self, bytes: &[u8], topics: &dyn TopicDirectory, now_ns: u64) -> Result<usize, Fault> {
        let Some(walker) = &mut self.walker else { return Ok(bytes.len()) };
        let before = walker.position();
        let describer = Describer::new(&mut self.description, topics);
        let fed = match &mut self.exchange.capture {
            None => walker.feed(bytes, &mut { describer }),
            Some(capture) => walker.feed(bytes, &mut Both(describer, capture.marker(topics, now_ns))),
        };
        match fed {
            Ok(()) if self.plan == Plan::RelayThenTail => {
                let tail = walker.tail_at().map_or(bytes.len() as u64, |at| at.saturating_sub(before));
                Ok(usize::try_from(tail).unwrap_or(usize::MAX).min(bytes.len()))
            }
            Ok(()) => Ok(bytes.len()),
            Err(malformed) if self.plan == Plan::Relay => {
                tracing::warn!("an answer is passed on without being described: {malformed}");
                if let Some(capture) = &mut self.exchange.capture {
                    capture.lose_sight(walker.settled());
                }
                self.walker = None;
                Ok(bytes.len())
            }
            Err(malformed) => Err(Fault::UpstreamBody(malformed)),
        }
    }

    /// Cuts what was gathered, as the client gets it or, where the recording is masked further, as that has it: the whole
    /// frame, or the tail behind the records.
    fn cut_gathered(&mut self, bytes: &[u8], requests: &mut dyn Requests, now_ns: u64) -> Result<Vec<Cut>, Fault> {
        let mut cuts = match self.plan {
            Plan::Gather | Plan::Mask => match self.recorded(bytes, requests)? {
                Some(recorded) => {
                    let topics = requests.topics();
                    let cuts = self.exchange.pass_whole(Way::Response, &recorded, self.body_at, topics, now_ns);
                    held(cuts, &recorded)
                }
                None => self.exchange.pass_whole(Way::Response, bytes, self.body_at, requests.topics(), now_ns),
            },
            // The walk has been past it, and nothing in it may not be kept.
            Plan::Relay | Plan::RelayThenTail => self.exchange.pass(bytes, None, now_ns),
        };
        cuts.append(&mut self.exchange.finish_capture(now_ns));
        Ok(cuts)
    }

    /// The frame as the recording has it; none where that is what the client gets, or where nothing is kept of it.
    fn recorded(&self, bytes: &[u8], requests: &mut dyn Requests) -> Result<Option<Vec<u8>>, Fault> {
        let reads_for = self.exchange.reads_for();
        if self.exchange.capture.is_none() || !self.is_read() || !requests.masks(On::Recording, reads_for) {
            return Ok(None);
        }
        let frame = self.frame(Cow::Borrowed(bytes));
        let masked = requests.mask(frame, On::Recording, reads_for).map_err(Fault::UpstreamBody)?;
        Ok(match masked.frame {
            Cow::Borrowed(_) => None,
            Cow::Owned(recorded) => Some(recorded),
        })
    }

    /// The room that bytes of our own take until they have left; only where they may be masked are they counted so long.
    fn room(&mut self, bytes: &Vec<u8>) -> Option<Reservation> {
        self.reservation.take().filter(|_| self.plan == Plan::Mask).map(|room| room.of(bytes))
    }

    /// Whether it carries records that a client reads.
    fn is_read(&self) -> bool {
        masking::records_in(self.exchange.api_key) == Some(On::Fetch)
    }

    fn frame<'a>(&self, bytes: Cow<'a, [u8]>) -> Frame<'a> {
        let (api_key, version, body_at) = (self.exchange.api_key, self.exchange.version, self.body_at);
        Frame { api_key, version, direction: Direction::Response, bytes, body_at }
    }

    fn must_be_whole(&self) -> Result<(), Fault> {
        self.walker.as_ref().map_or(Ok(()), Walker::finish).map_err(Fault::UpstreamBody)
    }

    /// The gathered bytes with records masked and addresses as clients may know them: those that came, where they are so
    /// already.
    fn rewrite<'a>(&mut self, gathered: Cow<'a, [u8]>, requests: &mut dyn Requests) -> Result<Cow<'a, [u8]>, Fault> {
        let (key, version) = (self.exchange.api_key, self.exchange.version);
        let learns = tells_where_clients_are_served(key);
        if self.plan == Plan::RelayThenTail {
            let tail = addresses::rewrite_tail(key, version, &gathered, requests.outward(learns));
            return Ok(tail.map_err(Fault::UpstreamBody)?.map_or(gathered, Cow::Owned));
        }
        let frame = self.let_through(gathered, requests)?;
        let frame = self.masked(frame, requests)?;
        let (head, body) = frame.split_at(self.body_at);
        self.walker = Walker::response(key, version, body.len() as u64);
        if let Some(walker) = &mut self.walker {
            let mut describer = Describer::new(&mut self.description, requests.topics());
            walker.feed(body, &mut describer).map_err(Fault::UpstreamBody)?;
        }
        self.must_be_whole()?;
        if self.walker.is_some() && !self.description.names_hosts {
            return Ok(frame);
        }
        let rewritten = addresses::rewrite(key, version, body, requests.outward(learns));
        let Some(body) = rewritten.map_err(Fault::UpstreamBody)? else { return Ok(frame) };
        Ok(Cow::Owned(head::reframed(head, &body)))
    }

    /// The frame as access rules let its reader have it.
    fn let_through<'a>(&self, gathered: Cow<'a, [u8]>, requests: &mut dyn Requests) -> Result<Cow<'a, [u8]>, Fault> {
        let (key, version) = (self.exchange.api_key, self.exchange.version);
        let mut frame = gathered;
        let listing = Amends { listing: true, ..Amends::default() };
        let amends = self.exchange.amends.as_deref();
        let others = || (lists(key) && requests.rights_changed(self.exchange.rights)).then_some(&listing);
        if let Some(amends) = amends.or_else(others) {
            let (head, body) = frame.split_at(self.body_at);
            let amended = requests.amend(amends, key, version, body).map_err(Fault::UpstreamBody)?;
            if let Some(body) = amended {
                frame = Cow::Owned(head::reframed(head, &body));
            }
        }
        if self.is_read() && plan::has_to_be_readable(&self.exchange, requests) {
            frame = requests.without_unreadable(self.frame(frame)).map_err(Fault::UpstreamBody)?;
        }
        Ok(frame)
    }

    /// The frame with its records masked; or, of a Produce, with the errors of what did not go on.
    fn masked<'a>(&self, gathered: Cow<'a, [u8]>, requests: &mut dyn Requests) -> Result<Cow<'a, [u8]>, Fault> {
        let (version, refused) = (self.exchange.version, &self.exchange.refused);
        if !refused.is_empty() {
            let answered = body::answer_refused(version, &gathered, self.body_at, refused);
            return Ok(answered.map_err(Fault::UpstreamBody)?.map_or(gathered, Cow::Owned));
        }
        let reads_for = self.exchange.reads_for();
        if !self.is_read() || !requests.masks(On::Fetch, reads_for) {
            return Ok(gathered);
        }
        Ok(requests.mask(self.frame(gathered), On::Fetch, reads_for).map_err(Fault::UpstreamBody)?.frame)
    }

    /// The end of an answer that was relayed to its last byte.
    fn end_relayed(
        mut self: Box<Self>,
        cuts: &mut Vec<Cut>,
        now_ns: u64,
        topics: &dyn TopicDirectory,
    ) -> Result<Ended, Fault> {
        if self.plan == Plan::RelayThenTail {
            self.must_be_whole()?;
        }
        cuts.append(&mut self.exchange.finish_capture(now_ns));
        Ok(self.end(now_ns, topics))
    }

    fn end(self: Box<Self>, now_ns: u64, topics: &dyn TopicDirectory) -> Ended {
        let Answer { mut exchange, mut description, frame_bytes, reservation, .. } = *self;
        let passed = description.passed.take();
        drop(reservation);
        // Before the answer is released: the client's next request may use the ids it names.
        if !description.learnt.is_empty() {
            topics.learn(std::mem::take(&mut description.learnt));
        }
        exchange.moments.answered_ns = now_ns;
        let response = ResponsePart {
            outcome: Outcome::Answered,
            bytes: frame_bytes,
            error_code: description.error_code,
            throttle_ms: description.throttle_ms,
            items_omitted: description.omitted,
            items: description.items,
            ..ResponsePart::default()
        };
        Ended { exchange, response, session_id: description.session_id, passed }
    }
}

/// Others name listeners that are not for clients too: those of controllers, or all that a broker has.
fn tells_where_clients_are_served(api_key: i16) -> bool {
    !matches!(api_key, key::DESCRIBE_CONFIGS | key::DESCRIBE_QUORUM | key::DESCRIBE_CLUSTER)
}
