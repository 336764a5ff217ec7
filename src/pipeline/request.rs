//! The way in: a client's bytes become requests, piece by piece.
//!
//! Produce is relayed: its records flow on as they come. Every other request is gathered, since each is small and has to
//! be whole to be judged; one that lies whole in the read buffer is judged and forwarded from there, without a copy.
//!
//! Invariants:
//! - The gate is asked once a request, with its head, before any of its bytes are passed on.
//! - Nothing is gathered without a reservation; while there is none, no byte is taken.
//! - A body that leaves its layout ends the connection before its last byte is passed on.

use super::budget::Reservation;
use super::capture::{Both, Capture, Cut, shifted};
use super::describe::{Describer, Description, Side, TopicDirectory};
use super::exchange::{Exchange, Moments};
use super::fault::Fault;
use super::head::{self, RequestHead};
use crate::event::piece::Way;
use crate::limits;
use crate::wire::kafka::api;
use crate::wire::kafka::walk::Walker;
use crate::wire::wipe;
use zeroize::Zeroizing;

/// What may be done with a request, by its head alone.
pub enum Admission {
    /// Pass its pieces on as they come.
    Relay,
    /// Keep it until it is whole; the reservation covers a frame that does not lie whole in the read buffer.
    Gather(Option<Reservation>),
    /// No room now: ask again later.
    Later,
}

/// Decides by the head.
pub trait Gate {
    /// `body`: what is at hand of its body; `whole`: the frame lies whole in the buffer at hand and needs no reservation.
    fn admit(&mut self, head: &RequestHead<'_>, body: &[u8], whole: bool) -> Result<Admission, Fault>;

    /// What full recording keeps of the exchange that begins; asked after it was admitted.
    fn capture(&mut self, ordinal: u64, api_key: i16, request_bytes: u64) -> Option<Box<Capture>>;
}

/// What to do with the bytes of a step.
#[derive(Debug)]
pub enum Action {
    /// They are kept, or were nothing.
    Absorb,
    /// Nothing was taken: there is no room to gather. Ask again later with the same bytes.
    Wait,
    /// Pass the bytes taken on as they are.
    Relay {
        /// The request, described, when this was its end.
        ended: Option<Box<Exchange>>,
    },
    /// Pass on these, which were kept in earlier steps and this one, instead of the bytes taken.
    RelayKept(Vec<u8>),
    /// A gathered request is whole.
    Whole(Whole),
    /// A bare SASL token, after a version 0 handshake.
    Token {
        /// Without its length prefix.
        token: Zeroizing<Vec<u8>>,
        /// The exchange that it begins.
        exchange: Box<Exchange>,
    },
}

/// A gathered request.
#[derive(Debug)]
pub struct Whole {
    /// Its frame where it was kept; none when it is the bytes taken in this step.
    pub kept: Option<Vec<u8>>,
    /// Bytes of length prefix and header before its body.
    pub body_at: usize,
    /// The exchange it begins, without its description.
    pub exchange: Box<Exchange>,
    /// Set aside while it is here.
    pub reservation: Option<Reservation>,
}

/// A step: how many bytes were taken, and what to do with them.
#[derive(Debug)]
pub struct Step {
    /// Bytes taken from the front of the piece.
    pub taken: usize,
    /// What to do.
    pub action: Action,
    /// What full recording keeps of the bytes passed on; of a gathered request nothing is cut yet.
    pub cuts: Vec<Cut>,
}

impl Step {
    fn new(taken: usize, action: Action) -> Self {
        Step { taken, action, cuts: Vec::new() }
    }
}

enum State {
    /// Between requests, or inside a length prefix or header; what came of it lies in `partial`.
    Head,
    Relay {
        left: u64,
        walk: Box<(Walker, Description)>,
        exchange: Box<Exchange>,
    },
    Gather {
        left: u64,
        gathering: Gathering,
    },
}

struct Gathering {
    body_at: usize,
    exchange: Box<Exchange>,
    reservation: Option<Reservation>,
}

/// One connection's way in.
pub struct Inbound {
    state: State,
    partial: Vec<u8>,
    begun_ns: u64,
    ordinal: u64,
    frame_bytes_max: u64,
    /// The next frame is a bare SASL token.
    pub token_next: bool,
}

impl Drop for Inbound {
    /// What was kept of a frame that never became whole stays nowhere.
    fn drop(&mut self) {
        wipe(&mut self.partial);
    }
}

impl Inbound {
    /// At the start of a connection.
    pub fn new(frame_bytes_max: u64) -> Self {
        Inbound { state: State::Head, partial: Vec::new(), begun_ns: 0, ordinal: 0, frame_bytes_max, token_next: false }
    }

    /// Whether the bytes so far end with a request's end.
    pub fn between_requests(&self) -> bool {
        matches!(self.state, State::Head) && self.partial.is_empty()
    }

    /// When the request that is under way began, ns; none between requests, and none for a relayed one, which holds no
    /// memory however slowly it comes.
    pub fn kept_since(&self) -> Option<u64> {
        match self.state {
            State::Relay { .. } => None,
            _ => (!self.partial.is_empty()).then_some(self.begun_ns),
        }
    }

    /// Takes the next bytes, at least one of them unless the action is `Wait`.
    pub fn advance(
        &mut self,
        bytes: &[u8],
        now_ns: u64,
        gate: &mut dyn Gate,
        topics: &dyn TopicDirectory,
    ) -> Result<Step, Fault> {
        match std::mem::replace(&mut self.state, State::Head) {
            State::Head => self.head(bytes, now_ns, gate, topics),
            State::Relay { left, walk, exchange } => self.relay(bytes, left, walk, exchange, now_ns, topics),
            State::Gather { left, gathering } => Ok(self.gather(bytes, left, gathering, now_ns)),
        }
    }

    fn head(
        &mut self,
        bytes: &[u8],
        now_ns: u64,
        gate: &mut dyn Gate,
        topics: &dyn TopicDirectory,
    ) -> Result<Step, Fault> {
        if self.partial.is_empty() {
            self.begun_ns = now_ns;
        }
        if self.token_next {
            return self.token(bytes, now_ns, gate);
        }
        if self.partial.is_empty()
            && let Some(head) = RequestHead::parse(bytes, self.frame_bytes_max).map_err(Fault::ClientFrame)?
        {
            return self.begin_in_place(bytes, &head, now_ns, gate, topics);
        }
        self.begin_kept(bytes, now_ns, gate)
    }

    /// Begins a request whose head lies whole in the piece.
    fn begin_in_place(
        &mut self,
        bytes: &[u8],
        head: &RequestHead<'_>,
        now_ns: u64,
        gate: &mut dyn Gate,
        topics: &dyn TopicDirectory,
    ) -> Result<Step, Fault> {
        let whole = bytes.len() as u64 >= head.frame_bytes;
        let body_bytes = head.frame_bytes - head.bytes as u64;
        let at_hand = usize::try_from(head.frame_bytes).unwrap_or(usize::MAX).min(bytes.len());
        match gate.admit(head, &bytes[head.bytes..at_hand], whole)? {
            Admission::Later => Ok(Step::new(0, Action::Wait)),
            Admission::Relay => {
                let mut exchange = self.exchange(head, now_ns, gate);
                let walk = walk(head, body_bytes)?;
                let mut cuts = exchange.pass(&bytes[..head.bytes], None, now_ns);
                let mut step = self.relay(&bytes[head.bytes..], body_bytes, walk, exchange, now_ns, topics)?;
                step.taken += head.bytes;
                cuts.append(&mut shifted(step.cuts, head.bytes));
                Ok(Step { cuts, ..step })
            }
            Admission::Gather(reservation) if whole => {
                let mut exchange = self.exchange(head, now_ns, gate);
                exchange.moments.received_ns = now_ns;
                let whole = Whole { kept: None, body_at: head.bytes, exchange, reservation };
                // It lies whole in the piece, so its length is one of memory.
                Ok(Step::new(head.frame_bytes as usize, Action::Whole(whole)))
            }
            Admission::Gather(reservation) => {
                let exchange = self.exchange(head, now_ns, gate);
                let gathering = Gathering { body_at: head.bytes, exchange, reservation };
                Ok(self.gather(bytes, head.frame_bytes, gathering, now_ns))
            }
        }
    }

    /// Begins, or goes on to wait for, a request whose head was cut by a read. Only bytes of the head are kept.
    fn begin_kept(&mut self, bytes: &[u8], now_ns: u64, gate: &mut dyn Gate) -> Result<Step, Fault> {
        let mut kept = std::mem::take(&mut self.partial);
        let before = kept.len();
        // As much as a head can be, read once; then what turns out to be body goes back.
        let room = RequestHead::BYTES_MAX.saturating_sub(before).min(bytes.len());
        kept.extend_from_slice(&bytes[..room]);
        let ends_at =
            RequestHead::parse(&kept, self.frame_bytes_max).map_err(Fault::ClientFrame)?.map(|head| head.bytes);
        if let Some(ends_at) = ends_at {
            kept.truncate(ends_at);
            kept.shrink_to_fit();
        }
        let taken = kept.len() - before;
        let Some(head) = RequestHead::parse(&kept, self.frame_bytes_max).map_err(Fault::ClientFrame)? else {
            self.partial = kept;
            return Ok(Step::new(taken, Action::Absorb));
        };
        let left = head.frame_bytes - head.bytes as u64;
        let at_hand = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - taken);
        match gate.admit(&head, &bytes[taken..taken + at_hand], false)? {
            Admission::Later => {
                // The head's last byte is left to come again: where no body follows it, nothing else would.
                kept.pop();
                self.partial = kept;
                Ok(Step::new(taken.saturating_sub(1), Action::Wait))
            }
            Admission::Relay => {
                let mut exchange = self.exchange(&head, now_ns, gate);
                let cuts = exchange.pass(&kept, None, now_ns);
                self.state = State::Relay { left, walk: walk(&head, left)?, exchange };
                Ok(Step { taken, action: Action::RelayKept(kept), cuts })
            }
            Admission::Gather(reservation) => {
                let exchange = self.exchange(&head, now_ns, gate);
                let gathering = Gathering { body_at: head.bytes, exchange, reservation };
                self.partial = kept;
                let mut step = self.gather(&[], left, gathering, now_ns);
                step.taken = taken;
                Ok(step)
            }
        }
    }

    /// A bare token is a frame without a header (SaslHandshake v0, before KIP-152).
    fn token(&mut self, bytes: &[u8], now_ns: u64, gate: &mut dyn Gate) -> Result<Step, Fault> {
        let mut taken = 0;
        loop {
            let length = head::length(&self.partial, limits::SASL_MESSAGE_MAX as u64).map_err(Fault::ClientFrame)?;
            let whole = length.map_or(4, |length| 4 + length);
            let next = (whole - self.partial.len()).min(bytes.len() - taken);
            self.partial.extend_from_slice(&bytes[taken..taken + next]);
            taken += next;
            if length.is_some() && self.partial.len() == whole {
                self.token_next = false;
                let mut frame = Zeroizing::new(std::mem::take(&mut self.partial));
                let mut exchange = Box::new(Exchange::bare_token(self.next_ordinal(), frame.len() as u64, now_ns));
                exchange.capture = gate.capture(exchange.ordinal, exchange.api_key, exchange.frame_bytes);
                let capture = exchange.capture.as_mut();
                let cuts = capture.map_or_else(Vec::new, |c| c.bare_token(Way::Request, &frame, now_ns));
                let token = Zeroizing::new(frame.split_off(4));
                return Ok(Step { taken, action: Action::Token { token, exchange }, cuts });
            }
            if next == 0 {
                return Ok(Step::new(taken, Action::Absorb));
            }
        }
    }

    fn next_ordinal(&mut self) -> u64 {
        let ordinal = self.ordinal;
        self.ordinal += 1;
        ordinal
    }

    fn exchange(&mut self, head: &RequestHead<'_>, now_ns: u64, gate: &mut dyn Gate) -> Box<Exchange> {
        let ordinal = self.next_ordinal();
        let mut capture = gate.capture(ordinal, head.api_key, head.frame_bytes);
        if let Some(capture) = &mut capture {
            capture.open(Way::Request, head.frame_bytes, head.bytes, now_ns);
        }
        Box::new(Exchange {
            ordinal,
            api_key: head.api_key,
            api: api::lookup(head.api_key),
            request: None,
            unnamed: Vec::new(),
            version: head.api_version,
            correlation_id: head.correlation_id,
            unanswered: false,
            bare: false,
            group: None,
            lowered: false,
            refused: Vec::new(),
            amends: None,
            room: None,
            counted: false,
            rights: 0,
            frame_bytes: head.frame_bytes,
            moments: Moments { begun_ns: self.begun_ns, ..Moments::default() },
            capture,
        })
    }

    fn relay(
        &mut self,
        bytes: &[u8],
        left: u64,
        mut walk: Box<(Walker, Description)>,
        mut exchange: Box<Exchange>,
        now_ns: u64,
        topics: &dyn TopicDirectory,
    ) -> Result<Step, Fault> {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (walker, description) = &mut *walk;
        let mut describer = Describer::new(description, topics);
        let fed = match &mut exchange.capture {
            None => walker.feed(&bytes[..taken], &mut describer),
            Some(capture) => walker.feed(&bytes[..taken], &mut Both(describer, capture.marker(topics, now_ns))),
        };
        fed.map_err(Fault::ClientBody)?;
        let left = left - taken as u64;
        let mut cuts = exchange.pass(&bytes[..taken], (left > 0).then(|| walker.settled()), now_ns);
        if left > 0 {
            self.state = State::Relay { left, walk, exchange };
            return Ok(Step { taken, action: Action::Relay { ended: None }, cuts });
        }
        walker.finish().map_err(Fault::ClientBody)?;
        exchange.moments.received_ns = now_ns;
        let (_, description) = *walk;
        exchange.described(description);
        if exchange.unanswered {
            cuts.append(&mut exchange.finish_capture(now_ns));
        }
        Ok(Step { taken, action: Action::Relay { ended: Some(exchange) }, cuts })
    }

    fn gather(&mut self, bytes: &[u8], left: u64, mut gathering: Gathering, now_ns: u64) -> Step {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        // At once, within what is reserved: a buffer that grows leaves copies of records behind.
        self.partial.reserve_exact(usize::try_from(left).unwrap_or(0));
        self.partial.extend_from_slice(&bytes[..taken]);
        let left = left - taken as u64;
        if left > 0 {
            self.state = State::Gather { left, gathering };
            return Step::new(taken, Action::Absorb);
        }
        gathering.exchange.moments.received_ns = now_ns;
        let Gathering { body_at, exchange, reservation } = gathering;
        let kept = Some(std::mem::take(&mut self.partial));
        Step::new(taken, Action::Whole(Whole { kept, body_at, exchange, reservation }))
    }
}

fn walk(head: &RequestHead<'_>, body_bytes: u64) -> Result<Box<(Walker, Description)>, Fault> {
    let walker = Walker::request(head.api_key, head.api_version, body_bytes)
        .ok_or_else(|| Fault::Refused(format!("{} v{} has no layout", api::name(head.api_key), head.api_version)))?;
    Ok(Box::new((walker, Description::new(head.api_key, Side::Request))))
}
