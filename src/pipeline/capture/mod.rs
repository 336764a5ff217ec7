//! Full recording: which bytes of an exchange's frames are kept, cut from them as they pass.
//!
//! A [`Capture`] goes with an exchange. It is fed what the request and the answer pass on, in order, and gives [`Cut`]s:
//! where in these bytes lies what is to be kept, and what is withheld. Where rules ask for topics, what is cut is held
//! until one is named that they ask for; by then nothing but heads and names has passed, for records of topics that no
//! rule asks for are never held.
//!
//! Invariants:
//! - Cuts of a frame come in order and cover it from its first byte to its last, unless the exchange is not kept.
//! - Bytes are cut only after the walk has told what they are; what it cannot tell is withheld.
//! - What is held is bounded, an exchange and a shard. Beyond the bound the exchange is kept.

mod marks;
mod sample;

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use super::budget::{Budget, Reservation};
use super::describe::TopicDirectory;
use crate::event::piece::{Way, Withheld};
use crate::limits;
use crate::policy::{Keep, RecordingPlan};
use crate::wire::kafka::frame::PREFIX_LEN;
use crate::wire::kafka::walk::Walker;
use marks::Marks;
pub use marks::{Both, Marker};
pub use sample::SampleBudgets;

/// A stretch of a frame, on its way to the journal.
#[derive(Debug)]
pub struct Cut {
    /// The exchange it belongs to.
    pub ordinal: u64,
    /// Which of its frames.
    pub way: Way,
    /// Place of its first byte in the frame.
    pub at: u64,
    /// When it passed, ns since the Unix epoch.
    pub at_ns: u64,
    /// What was there.
    pub kept: Kept,
}

/// What is kept of a stretch.
#[derive(Debug)]
pub enum Kept {
    /// These of the bytes that were passed on together with the cut.
    Passed(Range<usize>),
    /// These, which passed before.
    Held(Vec<u8>),
    /// So many bytes, which are not kept.
    Withheld {
        /// How many.
        bytes: u64,
        /// Why.
        why: Withheld,
    },
    /// The exchange was in the share that is to be kept, and found its bytes a second spent.
    Lost,
}

/// What captures of one connection have in common.
#[derive(Debug)]
pub struct Scope {
    plan: RecordingPlan,
    samples: SampleBudgets,
    held: Budget,
}

impl Scope {
    /// For a connection to which `plan` applies; samples and what is held count against the shard's.
    pub fn new(plan: RecordingPlan, samples: SampleBudgets, held: Budget) -> Rc<Self> {
        Rc::new(Scope { plan, samples, held })
    }

    /// Begins an exchange; none where it is clear already that no frame of it is kept.
    pub fn begin(self: &Rc<Self>, exchange: Beginning, now_ns: u64) -> Option<Box<Capture>> {
        let everything = self.plan.of_everything();
        let mut capture = Box::new(Capture {
            ordinal: exchange.ordinal,
            api_key: exchange.api_key,
            number: exchange.number,
            scope: self.clone(),
            by_topic: everything.is_none(),
            choice: Choice::Open,
            over_budget: false,
            named: false,
            held: Vec::new(),
            held_bytes: 0,
            reservations: Vec::new(),
            frame: Frame::new(Way::Request, exchange.request_bytes, 0),
        });
        if let Some(keep) = everything {
            if matches!(capture.resolve(keep), Keep::Nothing) {
                return None;
            }
            capture.choose(keep, now_ns);
        }
        Some(capture)
    }
}

/// What is known of an exchange by its request's head.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    /// Counts the connection's exchanges from 0.
    pub ordinal: u64,
    /// API key as sent.
    pub api_key: i16,
    /// Evenly spread over exchanges; decides on samples.
    pub number: u64,
    /// The request with its length prefix.
    pub request_bytes: u64,
}

/// Whether an exchange's frames are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Nothing named so far asks for it.
    Open,
    /// Yes, whatever it takes.
    Kept,
    /// Yes, as part of this rule's share, against its bytes a second.
    Sampled(usize),
}

/// The frame at hand.
#[derive(Debug)]
struct Frame {
    way: Way,
    bytes: u64,
    body_at: u64,
    /// Place of the next byte to be cut.
    at: u64,
    /// Bytes from there on that have passed, and of which the walk has not told yet what they are.
    unsettled: Vec<u8>,
    marks: Marks,
}

impl Frame {
    fn new(way: Way, bytes: u64, body_at: usize) -> Self {
        Frame { way, bytes, body_at: body_at as u64, at: 0, unsettled: Vec::new(), marks: Marks::default() }
    }
}

/// What is captured of one exchange.
#[derive(Debug)]
pub struct Capture {
    ordinal: u64,
    api_key: i16,
    number: u64,
    scope: Rc<Scope>,
    /// Rules ask for topics.
    by_topic: bool,
    choice: Choice,
    over_budget: bool,
    /// A topic was named.
    named: bool,
    held: Vec<Cut>,
    held_bytes: u64,
    reservations: Vec<Reservation>,
    frame: Frame,
}

/// A whole frame.
#[derive(Debug, Clone, Copy)]
pub struct WholeFrame<'a> {
    /// Request or response.
    pub way: Way,
    /// API key as sent.
    pub api_key: i16,
    /// API version as sent.
    pub version: i16,
    /// With its length prefix.
    pub bytes: &'a [u8],
    /// Bytes of length prefix and header.
    pub body_at: usize,
}

impl Capture {
    /// Begins a frame of `bytes` whose body begins at `body_at`.
    pub fn open(&mut self, way: Way, bytes: u64, body_at: usize, now_ns: u64) {
        self.frame = Frame::new(way, bytes, body_at);
        if let (Choice::Sampled(rule), Way::Response) = (self.choice, way)
            && !self.scope.samples.take(rule, bytes, now_ns)
        {
            self.choice = Choice::Open;
            self.over_budget = true;
        }
    }

    /// Reads the frame's body along.
    pub fn marker<'a>(&'a mut self, topics: &'a dyn TopicDirectory, now_ns: u64) -> Marker<'a> {
        Marker { capture: self, topics, now_ns }
    }

    /// The walk cannot go on behind this place of the body: nothing behind it is kept, since it may be a secret.
    pub fn lose_sight(&mut self, settled: u64) {
        self.frame.marks.withhold_from(settled);
    }

    /// Cuts the next bytes of the frame, which were passed on. `settled` says up to which place of the body the walk has
    /// told what is there; none when it has come to its end.
    pub fn pass(&mut self, bytes: &[u8], settled: Option<u64>, now_ns: u64) -> Vec<Cut> {
        let mut cuts = Vec::new();
        if self.choice == Choice::Open && !self.by_topic {
            // Its share is spent; nothing that it may name changes that.
            return cuts;
        }
        let mut unsettled = std::mem::take(&mut self.frame.unsettled);
        let there = (unsettled.len() + bytes.len()) as u64;
        let ready =
            settled.map_or(there, |place| (self.frame.body_at + place).saturating_sub(self.frame.at).min(there));
        let (ready, earlier) = (ready as usize, unsettled.len());
        let from_earlier = ready.min(earlier);
        self.cut(&unsettled[..from_earlier], true, now_ns, &mut cuts);
        self.cut(&bytes[..ready - from_earlier], false, now_ns, &mut cuts);
        unsettled.drain(..from_earlier);
        unsettled.extend_from_slice(&bytes[ready - from_earlier..]);
        self.frame.unsettled = unsettled;
        cuts
    }

    /// Cuts a frame that is there as a whole.
    pub fn whole(&mut self, frame: WholeFrame<'_>, topics: &dyn TopicDirectory, now_ns: u64) -> Vec<Cut> {
        let WholeFrame { way, api_key, version, bytes, body_at } = frame;
        self.open(way, bytes.len() as u64, body_at, now_ns);
        let body = bytes.get(body_at..).unwrap_or_default();
        let walker = match way {
            Way::Request => Walker::request(api_key, version, body.len() as u64),
            Way::Response => Walker::response(api_key, version, body.len() as u64),
        };
        let walked = walker.is_some_and(|mut walker| {
            walker.feed(body, &mut self.marker(topics, now_ns)).and_then(|()| walker.finish()).is_ok()
        });
        if !walked {
            self.lose_sight(0);
        }
        self.pass(bytes, None, now_ns)
    }

    /// Cuts a frame that is one secret behind its length prefix: what goes to and fro after a SaslHandshake of version 0.
    pub fn bare_token(&mut self, way: Way, frame: &[u8], now_ns: u64) -> Vec<Cut> {
        let mut cuts = Vec::new();
        self.open(way, frame.len() as u64, PREFIX_LEN, now_ns);
        self.lose_sight(0);
        self.cut(frame, true, now_ns, &mut cuts);
        cuts
    }

    /// The exchange has ended: what is left to be said of it. An exchange that named no topic is one of those that name
    /// none, which is known only now.
    pub fn finish(&mut self, now_ns: u64) -> Vec<Cut> {
        if self.by_topic && !self.named && self.choice == Choice::Open {
            let keep = self.scope.plan.of_no_topic();
            self.choose(keep, now_ns);
        }
        let mut cuts = Vec::new();
        if self.choice != Choice::Open {
            self.release(&mut cuts);
        }
        self.held = Vec::new();
        self.reservations = Vec::new();
        if std::mem::take(&mut self.over_budget) {
            cuts.push(self.cut_of(0, Kept::Lost, now_ns));
        }
        cuts
    }

    /// Leaves out those whom the share does not take.
    fn resolve(&self, keep: Keep) -> Keep {
        match keep {
            Keep::Share(_, sample) if !sample.takes(self.number) => Keep::Nothing,
            keep => keep,
        }
    }

    /// Something was named of which the plan says this; whether its content is kept.
    fn choose(&mut self, keep: Keep, now_ns: u64) -> bool {
        match (self.resolve(keep), self.choice) {
            (Keep::Nothing, _) => false,
            (Keep::Everything, _) => {
                self.choice = Choice::Kept;
                true
            }
            (Keep::Share(..), Choice::Kept | Choice::Sampled(_)) => true,
            (Keep::Share(..), Choice::Open) if self.over_budget => false,
            (Keep::Share(rule, _), Choice::Open) => {
                if self.scope.samples.take(rule, self.frame.bytes, now_ns) {
                    self.choice = Choice::Sampled(rule);
                    true
                } else {
                    self.over_budget = true;
                    false
                }
            }
        }
    }

    fn cut(&mut self, bytes: &[u8], earlier: bool, now_ns: u64, cuts: &mut Vec<Cut>) {
        let mut done = 0;
        while done < bytes.len() {
            let left = (bytes.len() - done) as u64;
            // Heads lie before the body, where nothing is withheld.
            let (stretch, why) = match self.frame.at.checked_sub(self.frame.body_at) {
                None => (left.min(self.frame.body_at - self.frame.at), None),
                Some(place) => self.frame.marks.next(place, left),
            };
            let until = done + stretch as usize;
            let kept = match why {
                Some(why) => Kept::Withheld { bytes: stretch, why },
                None if earlier => Kept::Held(bytes[done..until].to_vec()),
                None => Kept::Passed(done..until),
            };
            let cut = self.cut_of(self.frame.at, kept, now_ns);
            self.frame.at += stretch;
            done = until;
            if self.choice == Choice::Open {
                self.hold(cut, bytes, cuts);
            } else {
                self.release(cuts);
                cuts.push(cut);
            }
        }
    }

    fn cut_of(&self, at: u64, kept: Kept, now_ns: u64) -> Cut {
        Cut { ordinal: self.ordinal, way: self.frame.way, at, at_ns: now_ns, kept }
    }

    /// Keeps a cut until it is known whether it is wanted; `passed` is what it may be cut from.
    fn hold(&mut self, mut cut: Cut, passed: &[u8], cuts: &mut Vec<Cut>) {
        if let (Kept::Withheld { bytes, why }, Some(last)) = (&cut.kept, self.held.last_mut())
            && let Kept::Withheld { bytes: before, why: same } = &mut last.kept
            && (*same, last.way, last.at + *before) == (*why, cut.way, cut.at)
        {
            *before += bytes;
            return;
        }
        if let Kept::Passed(range) = &cut.kept {
            cut.kept = Kept::Held(passed[range.clone()].to_vec());
        }
        let content = if let Kept::Held(bytes) = &cut.kept { bytes.len() } else { 0 };
        let bytes = (content + size_of::<Cut>()) as u64;
        self.held_bytes += bytes;
        self.held.push(cut);
        let room = self.scope.held.reserve(bytes).map(|room| self.reservations.push(room));
        if room.is_none() || self.held_bytes > limits::CAPTURE_HELD_BYTES_MAX {
            self.stop_holding(cuts);
        }
    }

    /// What is held can wait no longer: it is kept where a rule may still ask for all of it. A share's budget is not passed
    /// by waiting; what it might have taken counts as left out.
    fn stop_holding(&mut self, cuts: &mut Vec<Cut>) {
        let possible: Vec<Keep> = self.scope.plan.of_unknown_topic().map(|keep| self.resolve(keep)).collect();
        if possible.contains(&Keep::Everything) {
            self.choice = Choice::Kept;
            self.release(cuts);
            return;
        }
        self.over_budget |= possible.iter().any(|keep| matches!(keep, Keep::Share(..)));
        self.by_topic = false;
        self.held = Vec::new();
        self.reservations = Vec::new();
    }

    fn release(&mut self, cuts: &mut Vec<Cut>) {
        if !self.held.is_empty() {
            cuts.append(&mut self.held);
            self.reservations.clear();
        }
    }
}

/// Makes `cuts`, which were cut from the bytes behind the first `by`, cuts of all of these bytes.
pub fn shifted(mut cuts: Vec<Cut>, by: usize) -> Vec<Cut> {
    for cut in &mut cuts {
        if let Kept::Passed(range) = &mut cut.kept {
            *range = range.start + by..range.end + by;
        }
    }
    cuts
}

/// Makes `cuts`, which were cut from `bytes`, hold what they were cut from: what passes is not what is kept.
pub fn held(mut cuts: Vec<Cut>, bytes: &[u8]) -> Vec<Cut> {
    for cut in &mut cuts {
        if let Kept::Passed(range) = &cut.kept {
            cut.kept = Kept::Held(bytes[range.clone()].to_vec());
        }
    }
    cuts
}

/// Stretches of a body that are withheld, in order.
type Stretches = VecDeque<(Range<u64>, Withheld)>;

#[cfg(test)]
mod tests;
