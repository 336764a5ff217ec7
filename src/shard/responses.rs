//! From the broker to the client: matches, rewrites, records, passes on.
//!
//! Invariants:
//! - What an exchange did is in the journal before its answer's last byte is written.
//! - Answers given here are written between the broker's, where the ring says.
//! - While the client does not take what it asked for, no more is read from its broker.

use std::borrow::Cow;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::{or, yield_now};

use super::connection::Connection;
use super::listener;
use super::outgoing::{Held, Outgoing};
use super::pool;
use super::recording::Durability;
use super::renew;
use super::runtime::Runtime;
use crate::event::{CloseReason, EventKind, Outcome};
use crate::pipeline::access::Amends;
use crate::pipeline::budget::Reservation;
use crate::pipeline::describe::TopicDirectory;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::fault::Fault;
use crate::pipeline::masking::{Masked, On};
use crate::pipeline::membership::ReadsFor;
use crate::pipeline::response::{self, Action, Ended, Outbound};
use crate::policy::HeldOperation;
use crate::tls;
use crate::wire::kafka::addresses::Outward;
use crate::wire::kafka::correlation::Surprise;
use crate::wire::kafka::records::body::Frame;
use crate::wire::kafka::walk::Malformed;

/// The answering task of a connection.
pub(super) async fn run<R: Runtime>(c: &Rc<Connection<R>>) -> Result<Option<CloseReason>, Fault> {
    let (outbound, own, later) = (Outbound::default(), Vec::new(), Vec::new());
    let mut responses = Responses { c: c.clone(), outbound, blocked_ns: 0, later, own };
    let end = responses.pump().await;
    responses.record_later().await;
    if let Some(mut exchange) = responses.outbound.unfinished() {
        c.keep(exchange.finish_capture(c.clock.now_ns()), &[]).await;
        c.shard.meter.exchange(&exchange, Outcome::Unknown, c.clock.now_ns());
        c.record(exchange.abandon(c.clock.now_ns())).await;
    }
    end
}

struct Responses<R: Runtime> {
    c: Rc<Connection<R>>,
    outbound: Outbound,
    /// For how long the client did not take the answer that is under way, ns.
    blocked_ns: u64,
    /// With durability `relaxed`: what is recorded once the answers at hand have left.
    later: Vec<EventKind>,
    /// What has come of an answer to Weir itself.
    own: Vec<u8>,
}

impl<R: Runtime> Responses<R> {
    async fn pump(&mut self) -> Result<Option<CloseReason>, Fault> {
        let c = self.c.clone();
        let Some(upstream) = c.upstream.get() else { return Ok(None) };
        loop {
            if self.outbound.between_answers() {
                let mut out = Outgoing::default();
                c.traffic.answer_under_way.set(true);
                c.take_answered(&mut out, c.clock.now_ns()).await;
                self.write(&mut out, &[]).await?;
                c.traffic.answer_under_way.set(false);
                if c.client_gone.get() && c.ring.borrow().is_empty() {
                    return Ok(Some(CloseReason::Client));
                }
            }
            if c.is_ending() {
                return Ok(None);
            }
            let read = async { Some(pool::read(upstream, &c.shard.response_buffers).await) };
            let answered = async {
                c.answered.notified().await;
                None
            };
            let (mut buffer, read) = match or(read, answered).await {
                None => continue,
                Some(Ok((_, 0))) => return self.upstream_closed(),
                Some(Ok(read)) => read,
                Some(Err(e)) if e.kind() == io::ErrorKind::Interrupted => continue,
                Some(Err(e)) if tls::is_at_fault(&e) => {
                    return Err(Fault::UpstreamTls(tls::explain_io(&e, tls::Peer::Broker)));
                }
                Some(Err(_)) => return self.upstream_closed(),
            };
            let passed = self.pass_on(&buffer, read).await;
            if c.masks_what_it_reads() {
                buffer.wipe(read);
            }
            passed?;
            if read == buffer.len() {
                // There is more to read at once: others have their turn first.
                drop(buffer);
                yield_now().await;
            }
        }
    }

    fn upstream_closed(&self) -> Result<Option<CloseReason>, Fault> {
        let c = &self.c;
        let asked = c.ring.borrow().len() + usize::from(self.outbound.is_within_matched());
        // One that is still being passed on is in no place of the ring yet.
        let in_flight = asked.max(usize::from(!c.traffic.between_requests.get()));
        if c.is_ending() {
            return Ok(None);
        }
        if c.client_gone.get() {
            return Ok(Some(CloseReason::Client));
        }
        if in_flight > 0 {
            return Err(Fault::UpstreamClosed { in_flight });
        }
        Ok(Some(CloseReason::Upstream))
    }

    /// Passes on what one read gave, to the last byte.
    async fn pass_on(&mut self, buffer: &[u8], read: usize) -> Result<(), Fault> {
        let c = self.c.clone();
        let now_ns = c.clock.now_ns();
        c.traffic.last_ns.set(now_ns);
        c.traffic.answer_under_way.set(true);
        let mut out = Outgoing::default();
        let mut ended: Vec<Box<Exchange>> = Vec::new();
        let mut at = 0;
        while at < read {
            if self.outbound.between_answers() && c.ring.borrow().awaits_own() {
                at += renew::take_in(&c, &mut self.own, &buffer[at..read])?;
                c.take_answered(&mut out, now_ns).await;
                continue;
            }
            let step = self.outbound.advance(&buffer[at..read], now_ns, &mut Matcher { c: &c, learns: false })?;
            let taken = at..at + step.taken;
            at = taken.end;
            let end = match step.action {
                Action::Absorb => None,
                Action::Wait => {
                    self.write(&mut out, buffer).await?;
                    R::sleep(Duration::from_millis(5)).await;
                    None
                }
                Action::Relay { ended } => {
                    c.keep(step.cuts, &buffer[taken.clone()]).await;
                    out.read(taken);
                    ended
                }
                Action::Replace { bytes, ended } => {
                    c.keep(step.cuts, &bytes).await;
                    out.own(bytes);
                    out.in_room(step.room);
                    ended
                }
            };
            if let Some(end) = end {
                ended.push(self.finish(end).await);
                c.take_answered(&mut out, now_ns).await;
            }
        }
        self.write(&mut out, buffer).await?;
        c.answers_passing.left();
        let now_ns = c.clock.now_ns();
        for exchange in ended {
            c.shard.meter.exchange(&exchange, Outcome::Answered, now_ns);
        }
        self.record_later().await;
        Ok(())
    }

    /// Records an exchange whose answer is whole, or puts it off until the answer has left.
    async fn finish(&mut self, ended: Ended) -> Box<Exchange> {
        self.c.answers_passing.whole();
        let Ended { mut exchange, response, session_id, passed } = ended;
        passed.into_iter().for_each(|passed| self.c.count(HeldOperation::Fetch, &passed));
        if exchange.counted {
            self.c.approvals.has_read();
        }
        // One that was asked for under earlier rights holds what they allowed.
        let known = session_id.filter(|_| !self.c.rights_changed(exchange.rights));
        known.into_iter().for_each(|id| self.c.opened_session(id));
        self.c.hear_of_group(&exchange, response.error_code);
        exchange.moments.client_blocked_ns = std::mem::take(&mut self.blocked_ns);
        let event = exchange.finish(response, self.c.clock.now_ns());
        match self.c.shard.recording.durability {
            Durability::Relaxed => self.later.push(event),
            Durability::Flushed | Durability::Synced => self.c.record(event).await,
        }
        self.c.kept(exchange.ordinal);
        self.c.room.notify_one();
        exchange
    }

    /// Records what was put off: answers of one read at the most.
    async fn record_later(&mut self) {
        for event in std::mem::take(&mut self.later) {
            self.c.record(event).await;
        }
    }

    async fn write(&mut self, out: &mut Outgoing, buffer: &[u8]) -> Result<(), Fault> {
        if out.is_empty() {
            return Ok(());
        }
        if self.c.client_gone.get() {
            out.clear();
            return Ok(());
        }
        let c = &self.c;
        let held = Held::begin(&c.traffic.answer_held_since_ns, out, c.clock);
        match c.write_client(out, buffer).await {
            Ok(blocked_ns) => self.blocked_ns += blocked_ns,
            Err(reason) => c.end(reason),
        }
        drop(held);
        Ok(())
    }
}

struct Matcher<'a, R: Runtime> {
    c: &'a Rc<Connection<R>>,
    /// The answer at hand tells where brokers serve clients.
    learns: bool,
}

impl<R: Runtime> response::Requests for Matcher<'_, R> {
    fn take(&mut self, correlation_id: i32) -> Result<Box<Exchange>, Surprise> {
        self.c.ring.borrow_mut().take_forwarded(correlation_id)
    }

    fn reserve(&mut self, bytes: u64, masked: bool) -> Option<Reservation> {
        let shard = &self.c.shard;
        if masked { &shard.masked_answers } else { &shard.response_budget }.reserve(bytes)
    }

    fn outward(&mut self, learns: bool) -> &mut dyn Outward {
        self.learns = learns;
        self
    }

    fn topics(&self) -> &dyn TopicDirectory {
        &**self.c
    }

    fn masks(&self, on: On, reads_for: ReadsFor<'_>) -> bool {
        self.c.decides(&self.c.answers_passing);
        self.c.masks(on, reads_for)
    }

    fn rights_changed(&self, since: u64) -> bool {
        self.c.rights_changed(since)
    }

    fn shares_with_others(&self) -> bool {
        self.c.shares_with_others()
    }

    fn amend(
        &mut self,
        amends: &Amends,
        api_key: i16,
        version: i16,
        body: &[u8],
    ) -> Result<Option<Vec<u8>>, Malformed> {
        self.c.amend(amends, api_key, version, body)
    }

    fn without_unreadable<'a>(&mut self, frame: Frame<'a>) -> Result<Cow<'a, [u8]>, Malformed> {
        self.c.without_unreadable(frame)
    }

    fn mask<'a>(&mut self, frame: Frame<'a>, on: On, reads_for: ReadsFor<'_>) -> Result<Masked<'a>, Malformed> {
        self.c.mask(frame, on, reads_for)
    }
}

impl<R: Runtime> Outward for Matcher<'_, R> {
    /// The address of a broker's door, which is open before its name is released.
    fn outward(&mut self, node: i32, host: &str, port: i32) -> Option<(String, u16)> {
        let listener = &self.c.door.listener;
        if self.learns {
            listener.cluster.saw_broker(node, host, u16::try_from(port).ok()?);
        } else if !listener.cluster.view().brokers.contains_key(&node) {
            return None;
        }
        if !listener::ensure_broker(&self.c.shard, listener, node) {
            return None;
        }
        listener.advertised.address(node)
    }
}
