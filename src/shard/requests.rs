//! From the client to the broker: reads, judges, notes, forwards.
//!
//! Invariants:
//! - Nothing is read while the ring is full or while the broker does not take what was read before.
//! - A request that changes something is in the journal before its last byte leaves.
//! - An answer given here takes its place in the ring behind what was forwarded before.
//! - What is done once or seldom is a future on the heap: the task has room for the largest future in it for as long as the
//!   connection lives, and most connections are idle.

mod held;
mod rights;

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_lite::future::yield_now;
use rustix::net::Shutdown;

use super::connection::Connection;
use super::outgoing::{Held, Outgoing};
use super::recording::Durability;
use super::runtime::Runtime;
use super::{dial, handshake, login, pool, renew};
use crate::event::piece::Way;
use crate::event::{CloseReason, EventKind, Outcome, ResponsePart};
use crate::limits;
use crate::pipeline::capture::{Capture, Cut};
use crate::pipeline::exchange::Exchange;
use crate::pipeline::fault::Fault;
use crate::pipeline::guard::{self, Verdict};
use crate::pipeline::head::RequestHead;
use crate::pipeline::masking::{self, On};
use crate::pipeline::membership::{Named, ReadsFor};
use crate::pipeline::request::{Action, Admission, Gate, Inbound, Whole};
use crate::policy::HeldOperation;
use crate::tls;
use crate::wire::kafka::api::{Class, key};
use crate::wire::kafka::layout::Direction;
use crate::wire::kafka::records::body::Frame;
use crate::wire::kafka::{api, error_reply, versions};

/// The reading task of a connection.
pub(super) async fn run<R: Runtime>(c: &Rc<Connection<R>>) -> Result<Option<CloseReason>, Fault> {
    let asked = Box::pin(handshake::ask_for_broker(c)).await;
    let listener = c.door.listener.name.clone();
    c.record(EventKind::Opened { listener, peer: c.peer, broker: c.node.get() }).await;
    if !asked? || !Box::pin(handshake::with_client(c)).await? {
        return Ok(Some(CloseReason::Client));
    }
    Box::pin(dial::knock(c)).await?;
    let mut requests =
        Requests { c: c.clone(), inbound: Inbound::new(c.shard.limits.request_frame_bytes), answered_here: false };
    while !c.reads_ended.get() {
        let (mut buffer, read) = match pool::read(&c.client, &c.shard.request_buffers).await {
            Ok((_, 0)) => return client_closed(c),
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) if tls::is_at_fault(&e) => return Err(Fault::ClientTls(tls::explain_io(&e, tls::Peer::Client))),
            Err(_) => return client_closed(c),
        };
        let taken_in = requests.take_in(&buffer, read).await;
        if c.masks_what_it_writes() {
            buffer.wipe(read);
        }
        taken_in?;
        if read == buffer.len() {
            // There is more to read at once: others have their turn first.
            drop(buffer);
            yield_now().await;
        }
    }
    Ok(None)
}

/// The client has sent its last byte. What is in flight is still worth knowing, and what was sent without awaiting an
/// answer must reach the broker: so its side is closed in order, and the answering task ends the connection.
fn client_closed<R: Runtime>(c: &Rc<Connection<R>>) -> Result<Option<CloseReason>, Fault> {
    c.reads_ended.set(true);
    c.client_gone.set(true);
    c.memberships.end();
    if !c.traffic.between_requests.get() && !c.is_ending() {
        let (listener, peer, connection) = (&c.door.listener.name, c.peer, c.number.0);
        tracing::warn!(listener, %peer, connection, "connection closed, client: it closed within a request");
    }
    if let Some(upstream) = c.upstream.get()
        && !c.is_ending()
    {
        upstream.shutdown(Shutdown::Write);
        c.traffic.lingers_since_ns.set(c.clock.now_ns());
        c.answered.notify_one();
        return Ok(None);
    }
    Ok(Some(CloseReason::Client))
}

struct Requests<R: Runtime> {
    c: Rc<Connection<R>>,
    inbound: Inbound,
    /// Something was answered here since the answering task was last told.
    answered_here: bool,
}

/// What came of one read: bytes to forward, and exchanges that end with them.
#[derive(Default)]
struct Batch {
    out: Outgoing,
    /// A note among them has to be on the disk first.
    to_sync: bool,
    unanswered: Vec<Exchange>,
}

impl<R: Runtime> Requests<R> {
    /// Takes in what one read gave, to the last byte.
    async fn take_in(&mut self, buffer: &[u8], read: usize) -> Result<(), Fault> {
        let c = self.c.clone();
        let now_ns = c.clock.now_ns();
        c.traffic.bytes_in.set(c.traffic.bytes_in.get() + read as u64);
        c.traffic.last_ns.set(now_ns);
        c.traffic.between_requests.set(false);
        c.shard.meter.bytes_in(read as u64);
        let mut batch = Batch::default();
        let mut at = 0;
        while at < read && !c.reads_ended.get() {
            if c.ring.borrow().is_full() {
                self.send(&mut batch, buffer).await?;
                self.make_room().await?;
                continue;
            }
            if c.renewal.is_due(now_ns) && self.inbound.between_requests() {
                self.send(&mut batch, buffer).await?;
                self.flush_answers().await?;
                Box::pin(renew::run(&c)).await?;
            }
            let mut gate = Doorkeeper { c: &c, now_ns };
            let step = self.inbound.advance(&buffer[at..read], now_ns, &mut gate, &*c)?;
            let taken = at..at + step.taken;
            at = taken.end;
            if !step.cuts.is_empty() {
                self.keep_passed(&step.action, step.cuts, &buffer[taken.clone()]).await;
            }
            match step.action {
                Action::Absorb => {}
                Action::Wait => {
                    self.send(&mut batch, buffer).await?;
                    R::sleep(Duration::from_millis(5)).await;
                }
                Action::Relay { mut ended } => {
                    if let Some(exchange) = ended.as_mut().filter(|exchange| !exchange.unnamed.is_empty()) {
                        // What came before does not wait for it.
                        self.send(&mut batch, buffer).await?;
                        c.look_up_topics(&exchange.unnamed).await;
                        exchange.name_topics(&*c);
                    }
                    batch.out.read(taken);
                    if let Some(exchange) = ended {
                        self.forward(exchange, true, &mut batch).await?;
                    }
                }
                Action::RelayKept(head) => batch.out.own(head),
                Action::Token { token, exchange } => {
                    let answer = Box::pin(login::bare(&c, &token)).await;
                    self.inbound.token_next = answer.goes_on;
                    Box::pin(self.answer_login(exchange, answer)).await?;
                }
                Action::Whole(whole) => self.judge(whole, taken, buffer, &mut batch).await?,
            }
        }
        self.send(&mut batch, buffer).await?;
        c.traffic.kept_since_ns.set(self.inbound.kept_since().unwrap_or(0));
        c.traffic.between_requests.set(self.inbound.between_requests());
        self.flush_answers().await
    }

    /// Waits until an answer has left the ring.
    async fn make_room(&mut self) -> Result<(), Fault> {
        self.flush_answers().await?;
        if self.c.ring.borrow().is_full() && !self.c.is_ending() {
            self.c.room.notified().await;
        }
        Ok(())
    }

    /// Tells the recording who the connection acts for, before the first thing it does.
    async fn introduce(&mut self) {
        if let Some(event) = login::introduce(&self.c, self.c.client_id.get().map(String::as_str)) {
            self.c.record(event).await;
        }
    }

    /// Keeps what was cut from the bytes of a step before they are passed on.
    async fn keep_passed(&mut self, action: &Action, cuts: Vec<Cut>, taken: &[u8]) {
        match action {
            Action::Token { .. } => self.c.keep(cuts, &[]).await,
            Action::RelayKept(head) => {
                // Frames of somebody's belong to their session.
                self.introduce().await;
                self.c.keep(cuts, head).await;
            }
            _ => {
                self.introduce().await;
                self.c.keep(cuts, taken).await;
            }
        }
    }

    /// Decides on a gathered request.
    async fn judge(
        &mut self,
        whole: Whole,
        taken: Range<usize>,
        buffer: &[u8],
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let c = self.c.clone();
        let Whole { kept, body_at, exchange, mut reservation } = whole;
        let frame = kept.map_or(Cow::Borrowed(&buffer[taken.clone()]), Cow::Owned);
        let security = c.door.listener.allow_security_changes;
        let judge = |exchange: &Exchange, frame: &[u8]| guard::judge(exchange, &frame[body_at..], &*c, security);
        // Of a Produce, judged and described is what goes on; before it is masked, only its topics' names matter.
        let produces = masking::records_in(exchange.api_key) == Some(On::Produce);
        let early = (!produces).then(|| judge(&exchange, &frame));
        let unnamed = match &early {
            None => masking::unnamed(exchange.version, &frame[body_at..], &*c),
            Some(Ok(Verdict::Forward(description))) => description.unnamed.clone(),
            Some(_) => Vec::new(),
        };
        if !unnamed.is_empty() {
            // What came before does not wait for it.
            self.send(batch, buffer).await?;
            c.look_up_topics(&unnamed).await;
        }
        let Some((exchange, frame)) = self.let_through(exchange, frame, body_at).await? else { return Ok(()) };
        // Nobody is asked for what is refused whatever they say.
        let refused = early.as_ref().is_some_and(|judged| !matches!(judged, Ok(Verdict::Forward(_))));
        let goes_on = match refused {
            true => Some((exchange, frame)),
            false => self.held_back(exchange, frame, body_at, &mut reservation, (&mut *batch, buffer)).await?,
        };
        let Some((mut exchange, frame)) = goes_on else { return Ok(()) };
        let frame = self.masked(&mut exchange, frame, body_at)?;
        self.keep_whole(&mut exchange, &frame, body_at).await?;
        let judged = early.filter(|_| unnamed.is_empty()).unwrap_or_else(|| judge(&exchange, &frame));
        let body = &frame[body_at..];
        match judged? {
            Verdict::Here => {
                // Answering may take a moment: what came before does not wait for it.
                self.send(batch, buffer).await?;
                Box::pin(self.answer_here(exchange, body)).await
            }
            Verdict::Refuse { code, why } => Box::pin(self.refuse(exchange, body, code, why)).await,
            Verdict::Forward(description) => {
                let changes = description.changes_something();
                exchange.group = c.asks_for_groups().then(|| Named::of(&description)).flatten();
                exchange.described(*description);
                match frame {
                    Cow::Owned(frame) => {
                        // What was masked takes room until it has left.
                        batch.out.in_room(reservation.filter(|_| produces).map(|room| room.of(&frame)));
                        batch.out.own(frame);
                    }
                    Cow::Borrowed(_) => batch.out.read(taken),
                }
                self.forward(exchange, changes, batch).await
            }
        }
    }

    /// The request as it goes on: its records masked, or asking for no more of them than can be.
    fn masked<'a>(
        &self,
        exchange: &mut Exchange,
        bytes: Cow<'a, [u8]>,
        body_at: usize,
    ) -> Result<Cow<'a, [u8]>, Fault> {
        let (c, api_key, version) = (&self.c, exchange.api_key, exchange.version);
        match masking::records_in(api_key) {
            Some(On::Produce) if c.masks(On::Produce, ReadsFor::Unknown) => {
                let frame = Frame { api_key, version, direction: Direction::Request, bytes, body_at };
                let masked = c.mask(frame, On::Produce, ReadsFor::Unknown).map_err(Fault::ClientBody)?;
                let (refused, max) = (masked.refused.len(), limits::REFUSED_PARTITIONS_MAX);
                if refused > max {
                    return Err(Fault::Limit(format!(
                        "a Produce with {refused} partitions that may not pass, at most {max} are told of"
                    )));
                }
                exchange.refused = masked.refused;
                Ok(masked.frame)
            }
            // When the answer comes, its session may be a member of other groups than now, or of none.
            Some(On::Fetch)
                if c.is_governed()
                    || exchange.amends.is_some()
                    || c.masks(On::Fetch, ReadsFor::Unknown)
                    || (exchange.capture.is_some() && c.masks(On::Recording, ReadsFor::Unknown)) =>
            {
                exchange.lowered = true;
                Ok(masking::cap_fetch(api_key, version, bytes, body_at))
            }
            _ => Ok(bytes),
        }
    }

    /// Keeps a gathered request's frame where full recording asks for it, as rules say of recordings.
    async fn keep_whole(&mut self, exchange: &mut Exchange, bytes: &[u8], body_at: usize) -> Result<(), Fault> {
        if exchange.capture.is_none() {
            return Ok(());
        }
        let c = self.c.clone();
        if exchange.api.is_none_or(|api| api.class != Class::Here) {
            self.introduce().await;
        }
        let (api_key, version, bytes) = (exchange.api_key, exchange.version, Cow::Borrowed(bytes));
        let recorded = if masking::records_in(api_key) == Some(On::Produce) && c.masks(On::Recording, ReadsFor::Unknown)
        {
            let frame = Frame { api_key, version, direction: Direction::Request, bytes, body_at };
            c.mask(frame, On::Recording, ReadsFor::Unknown).map_err(Fault::ClientBody)?.frame
        } else {
            bytes
        };
        let cuts = exchange.pass_whole(Way::Request, &recorded, body_at, &*c, exchange.moments.begun_ns);
        c.keep(cuts, &recorded).await;
        Ok(())
    }

    /// Notes a described request and gives it its place; its bytes are in the batch.
    async fn forward(&mut self, mut exchange: Box<Exchange>, changes: bool, batch: &mut Batch) -> Result<(), Fault> {
        self.c.requests_passing.whole();
        self.introduce().await;
        if changes && let Some(note) = exchange.note() {
            self.c.record(note).await;
            let risky = exchange.api.is_none_or(|api| matches!(api.class, Class::Risky | Class::Security));
            batch.to_sync |= match self.c.shard.recording.durability {
                Durability::Synced => true,
                Durability::Flushed => risky,
                Durability::Relaxed => false,
            };
        }
        if exchange.counted {
            self.c.approvals.begins_to_read();
        }
        exchange.moments.forwarded_ns = self.c.clock.now_ns();
        if exchange.unanswered {
            batch.unanswered.push(*exchange);
            return Ok(());
        }
        let pushed = self.c.ring.borrow_mut().push_forwarded(exchange.correlation_id, exchange);
        pushed.map_err(|full| Fault::Limit(full.to_string()))
    }

    /// Sends the batch to the broker.
    async fn send(&mut self, batch: &mut Batch, buffer: &[u8]) -> Result<(), Fault> {
        if std::mem::take(&mut batch.to_sync)
            && let Err(reason) = self.c.synced().await
        {
            // Nothing of it is passed on: what cannot be recorded is not done.
            batch.out.clear();
            batch.unanswered.clear();
            self.c.end(reason);
            return Ok(());
        }
        if !batch.out.is_empty() {
            let upstream = dial::upstream(&self.c).await?;
            let held = Held::begin(&self.c.traffic.request_held_since_ns, &batch.out, self.c.clock);
            let written = batch.out.write(upstream, buffer).await;
            drop(held);
            if written.is_err() {
                // The answering task sees the same end, passes on what the broker said before it, and tells of it.
                batch.out.clear();
                self.c.reads_ended.set(true);
                self.c.traffic.lingers_since_ns.set(self.c.clock.now_ns());
                upstream.shutdown(Shutdown::Write);
                for mut exchange in batch.unanswered.drain(..) {
                    self.c.record(exchange.abandon(self.c.clock.now_ns())).await;
                }
                return Ok(());
            }
        }
        self.c.requests_passing.left();
        for mut exchange in batch.unanswered.drain(..) {
            self.c.kept(exchange.ordinal);
            let now_ns = self.c.clock.now_ns();
            exchange.moments.answered_ns = exchange.moments.forwarded_ns;
            let response = ResponsePart { outcome: Outcome::NoAnswer, ..ResponsePart::default() };
            self.c.shard.meter.exchange(&exchange, Outcome::NoAnswer, now_ns);
            self.c.record(exchange.finish(response, now_ns)).await;
        }
        Ok(())
    }

    /// Answers what Weir answers itself.
    async fn answer_here(&mut self, exchange: Box<Exchange>, body: &[u8]) -> Result<(), Fault> {
        let c = self.c.clone();
        let (version, correlation_id) = (exchange.version, exchange.correlation_id);
        match exchange.api_key {
            key::SASL_HANDSHAKE => {
                let answer = login::handshake(&c, version, correlation_id, body);
                self.inbound.token_next = version == 0 && answer.goes_on;
                self.answer_login(exchange, answer).await
            }
            key::SASL_AUTHENTICATE => {
                let answer = login::authenticate(&c, version, correlation_id, body).await;
                self.answer_login(exchange, answer).await
            }
            _ => {
                let listener = &c.door.listener;
                let known = || listener.cluster.view().versions_of(c.node.get()).cloned();
                let Some(cluster) = c.await_view(known).await else {
                    return Err(Fault::Unreachable(format!(
                        "cluster {} has not been reached yet",
                        listener.cluster.name
                    )));
                };
                let frame = versions::answer(version, correlation_id, body, &cluster, listener.allow_security_changes);
                let frame = frame.ok_or_else(|| Fault::Refused("ApiVersions cannot be answered".into()))?;
                self.answered(exchange, frame, Outcome::AnsweredHere, 0).await
            }
        }
    }

    async fn answer_login(&mut self, exchange: Box<Exchange>, answer: login::Answer) -> Result<(), Fault> {
        if let Some(event) = answer.event {
            self.c.record(event).await;
        }
        let code = if answer.fatal.is_some() { login::SASL_AUTHENTICATION_FAILED } else { 0 };
        if let Some(frame) = answer.frame {
            self.answered(exchange, frame, Outcome::AnsweredHere, code).await?;
        }
        match answer.fatal {
            None => Ok(()),
            Some(why) => {
                self.c.reads_ended.set(true);
                self.settle().await?;
                Err(Fault::Authentication(why))
            }
        }
    }

    /// Tells the client that its request is not forwarded; closes where the API has no way to say so.
    async fn refuse(&mut self, exchange: Box<Exchange>, body: &[u8], code: i16, why: String) -> Result<(), Fault> {
        self.introduce().await;
        let (key, version, id) = (exchange.api_key, exchange.version, exchange.correlation_id);
        let listener = &self.c.door.listener.name;
        let message = format!("weir: {why}");
        let answerable = body.len() <= limits::REFUSED_BODY_BYTES_MAX && guard::is_lawful(key, version, body);
        let reply = answerable.then(|| error_reply::refuse(key, version, id, body, code, Some(&message))).flatten();
        match reply.filter(|frame| frame.len() <= limits::ANSWERED_BYTES_MAX) {
            Some(frame) => {
                let name_of = |who: &login::Who| (who.principal.issuer.clone(), who.principal.subject.clone());
                let (issuer, subject) = self.c.login.borrow().who.as_ref().map(name_of).unzip();
                let (peer, api) = (self.c.peer, api::name(key));
                tracing::warn!(listener, %peer, issuer, subject, api, "request refused: {why}");
                self.answered(exchange, frame, Outcome::Refused, code).await
            }
            None => Err(self.refuse_by_closing(exchange, code, why).await),
        }
    }

    /// Records a request that is refused and has no answer to say so.
    async fn refuse_by_closing(&mut self, mut exchange: Box<Exchange>, code: i16, why: String) -> Fault {
        let now_ns = self.c.clock.now_ns();
        let response = ResponsePart { outcome: Outcome::Refused, error_code: code, ..ResponsePart::default() };
        self.c.shard.meter.exchange(&exchange, Outcome::Refused, now_ns);
        exchange.describe_head_only();
        self.c.record(exchange.finish(response, now_ns)).await;
        Fault::Refused(why)
    }

    /// Puts an answer given here into its place.
    async fn answered(
        &mut self,
        mut exchange: Box<Exchange>,
        frame: Bytes,
        outcome: Outcome,
        error_code: i16,
    ) -> Result<(), Fault> {
        let now_ns = self.c.clock.now_ns();
        self.c.requests_passing.whole();
        exchange.describe_head_only();
        self.c.shard.meter.exchange(&exchange, outcome, now_ns);
        let response = ResponsePart { outcome, error_code, bytes: frame.len() as u64, ..ResponsePart::default() };
        self.c.record(exchange.finish(response, now_ns)).await;
        self.answered_here = true;
        let pushed = self.c.ring.borrow_mut().push_answered(frame, exchange);
        pushed.map_err(|full| Fault::Limit(full.to_string()))
    }

    /// Waits until the answers owed have left, since the last of them says why the connection ends.
    async fn settle(&mut self) -> Result<(), Fault> {
        let deadline = Instant::now() + limits::LINGER;
        self.flush_answers().await?;
        while self.c.owes_answers() && !self.c.is_ending() && Instant::now() < deadline {
            R::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Writes answers given here, as long as no answering task does.
    async fn flush_answers(&mut self) -> Result<(), Fault> {
        if self.c.upstream.get().is_some() {
            if std::mem::take(&mut self.answered_here) {
                self.c.answered.notify_one();
            }
            return Ok(());
        }
        let mut out = Outgoing::default();
        self.c.traffic.answer_under_way.set(true);
        self.c.take_answered(&mut out, self.c.clock.now_ns()).await;
        if !out.is_empty()
            && let Err(reason) = self.c.write_client(&mut out, &[]).await
        {
            self.c.end(reason);
        }
        self.c.traffic.answer_under_way.set(false);
        Ok(())
    }
}

/// Decides by the head what may be done with a request.
struct Doorkeeper<'a, R: Runtime> {
    c: &'a Rc<Connection<R>>,
    now_ns: u64,
}

impl<R: Runtime> Gate for Doorkeeper<'_, R> {
    fn admit(&mut self, head: &RequestHead<'_>, body: &[u8], whole: bool) -> Result<Admission, Fault> {
        let class = api::lookup(head.api_key).map(|api| api.class);
        if class != Some(Class::Here) {
            self.must_be_somebody(head)?;
        }
        if head.api_key == key::PRODUCE {
            self.c.decides(&self.c.requests_passing);
        }
        let here = guard::judge_head(head.api_key, head.api_version, true);
        let body_bytes = head.frame_bytes - head.bytes as u64;
        if head.api_key == key::PRODUCE
            && here.is_none()
            && !self.c.masks_what_it_writes()
            && !self.c.holds(HeldOperation::Produce)
            && self.c.may_relay(head.api_version, body, body_bytes)
        {
            return Ok(Admission::Relay);
        }
        let masked = head.api_key == key::PRODUCE && here.is_none();
        if whole && !masked {
            return Ok(Admission::Gather(None));
        }
        let shard = &self.c.shard;
        let (budget, max) = match class {
            _ if masked => (&shard.masked_requests, shard.limits.gathered_request_bytes),
            // Before a login nobody gets room for more than a login takes, nor any that is others'.
            Some(Class::Here) => (&shard.login_budget, (limits::HEADER_MAX + limits::SASL_MESSAGE_MAX) as u64),
            _ => (&shard.request_budget, shard.limits.gathered_request_bytes),
        };
        if head.frame_bytes > max {
            let (name, bytes) = (api::name(head.api_key), head.frame_bytes);
            return Err(Fault::Limit(format!("{name} of {bytes} bytes, at most {max} are taken")));
        }
        match budget.reserve(head.frame_bytes) {
            Some(reservation) => Ok(Admission::Gather(Some(reservation))),
            None => Ok(Admission::Later),
        }
    }

    fn capture(&mut self, ordinal: u64, api_key: i16, request_bytes: u64) -> Option<Box<Capture>> {
        self.c.capture(ordinal, api_key, request_bytes, self.now_ns)
    }
}

impl<R: Runtime> Doorkeeper<'_, R> {
    fn must_be_somebody(&mut self, head: &RequestHead<'_>) -> Result<(), Fault> {
        login::is_somebody(self.c)
            .map_err(|why| Fault::Authentication(format!("{} is not taken: {why}", api::name(head.api_key))))?;
        self.c.client_id.get_or_init(|| head.client_id.unwrap_or_default().to_owned());
        login::in_force(self.c, self.now_ns).map_err(Fault::Authentication)
    }
}
