//! A request that is held until people have said yes: it waits here, and nothing more is read meanwhile.
//!
//! Invariants:
//! - What is held goes on only after a use of a grant was claimed for it, and a use is claimed only while its client is there
//!   and may still do it.
//! - Whatever ends the wait, the client gets an answer in the protocol's own words, or its connection ends.
//! - What waits takes room of a budget of its own; without room it is refused, never let through.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures_lite::future::or;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;

use super::rights::GoesOn;
use super::{Batch, Requests};
use crate::event::{CloseReason, EventKind, HeldStage};
use crate::limits;
use crate::pipeline::access::{FETCH_SESSION_ID_NOT_FOUND, Judgement, Request, SHARE_SESSION_NOT_FOUND};
use crate::pipeline::budget::Reservation;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::fault::Fault;
use crate::pipeline::guard;
use crate::pipeline::head;
use crate::pipeline::hold::{self, Held, POLICY_VIOLATION, Refusal, Session, Unshowable, Wanted};
use crate::policy::{Answer, Requester};
use crate::shard::approvals::{Around, Ear};
use crate::shard::runtime::{Runtime, Stream};
use crate::shard::{dial, login};
use crate::upstream::{Answered, Question};
use crate::wire::kafka::api::key;

/// Where an action of a held request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// Nothing was heard of it yet.
    Unheard,
    /// Reviewers are asked.
    Pending { request: String, url: Option<String>, needs_reason: bool },
    /// Enough have said yes; a use is to be claimed.
    Approved { request: String },
    /// It may be done.
    Granted,
    /// It may not.
    No { why: String },
}

/// How often is looked whether the client is still there.
const LOOK: Duration = Duration::from_millis(100);

/// What the cluster has said.
type Known = HashMap<Question, Answered>;

/// Where each action of a request stands, and where it is heard.
struct Standings {
    at: Vec<Standing>,
    answers: mpsc::UnboundedReceiver<(usize, Answer)>,
    /// So that there is always somebody who may yet speak.
    _heard: mpsc::UnboundedSender<(usize, Answer)>,
}

/// A request that waits, and for what.
struct Waiting<'a> {
    body: &'a [u8],
    wanted: &'a [&'a Wanted],
    known: &'a Known,
    requester: &'a Requester,
    patience: Duration,
}

impl<R: Runtime> Requests<R> {
    /// The request as far as people let it go on; none where nothing of it goes on, and it was answered here.
    pub(super) async fn held_back<'a>(
        &mut self,
        mut exchange: Box<Exchange>,
        frame: Cow<'a, [u8]>,
        body_at: usize,
        room: &mut Option<Reservation>,
        passed: (&mut Batch, &[u8]),
    ) -> Result<Option<GoesOn<'a>>, Fault> {
        let c = &self.c;
        let reads = matches!(exchange.api_key, key::FETCH | key::SHARE_FETCH);
        exchange.counted = reads && c.held_rules().is_some_and(|rules| rules.count_reads());
        let held = hold::operation(exchange.api_key).is_some_and(|operation| c.holds(operation));
        let security = c.door.listener.allow_security_changes;
        let is_held = held && guard::judge_head(exchange.api_key, exchange.version, security).is_none();
        let Some(requester) = is_held.then(|| c.requester()).flatten() else { return Ok(Some((exchange, frame))) };
        Box::pin(self.held_for(requester, exchange, frame, body_at, room, passed)).await
    }

    /// The same of a request of the kind that rules about its client hold.
    async fn held_for<'a>(
        &mut self,
        requester: Requester,
        mut exchange: Box<Exchange>,
        frame: Cow<'a, [u8]>,
        body_at: usize,
        room: &mut Option<Reservation>,
        (batch, buffer): (&mut Batch, &[u8]),
    ) -> Result<Option<GoesOn<'a>>, Fault> {
        let c = self.c.clone();
        let frame = match session_of(&exchange, &frame[body_at..])? {
            Session::None => frame,
            Session::NotAskedFor(body) => Cow::Owned(head::reframed(&frame[..body_at], &body)),
            Session::GoesOn => {
                let why = "reading is held for approval here, and a fetch session does not say what it reads";
                return self.judged(exchange, frame, body_at, refused(FETCH_SESSION_ID_NOT_FOUND, why)).await;
            }
        };
        self.read_before(&exchange, (batch, buffer)).await?;
        let Ok((held, known)) = self.find_held(&exchange, &frame[body_at..], &requester, (batch, buffer)).await? else {
            let why = "it says more than a reviewer can be shown, or of one thing twice how; ask for less at a time";
            return self.judged(exchange, frame, body_at, refused(POLICY_VIOLATION, why)).await;
        };
        if held.unknown_session {
            let why = "the share session was not opened on this connection under the rules it has now";
            return self.judged(exchange, frame, body_at, refused(SHARE_SESSION_NOT_FOUND, why)).await;
        }
        let wanted: Vec<&Wanted> = held.wanted.iter().filter(|wanted| !c.may_go_on(wanted, &requester)).collect();
        if wanted.is_empty() && held.unknown.is_empty() {
            c.goes_on(&held, &[]);
            return Ok(Some((exchange, frame)));
        }
        // What came before does not wait for it.
        self.send(batch, buffer).await?;
        self.flush_answers().await?;
        self.introduce().await;
        let patience = patience(exchange.api_key, &held, &wanted);
        let body = &frame[body_at..];
        let waiting = Waiting { body, wanted: &wanted, known: &known, requester: &requester, patience };
        let Some(standings) = self.wait(&mut exchange, waiting, room).await? else {
            let why = "the policy, or a grant, has changed while it waited for approval; try again";
            let code = hold::code_of_all(exchange.api_key, exchange.version);
            return self.judged(exchange, frame, body_at, refused(code, why)).await;
        };
        let refusals: Vec<Refusal> =
            wanted.iter().zip(&standings).filter_map(|(wanted, at)| refusal(wanted, at)).collect();
        c.goes_on(&held, &refusals);
        let request = Request { api_key: exchange.api_key, version: exchange.version, body };
        let judged = hold::cut(request, &refusals, &held.unknown, &*c).map_err(Fault::ClientBody)?;
        self.judged(exchange, frame, body_at, judged).await
    }

    /// Where volumes are bound, waits until it is counted what was asked for before: else a client could ask for all at once.
    async fn read_before(&mut self, exchange: &Exchange, (batch, buffer): (&mut Batch, &[u8])) -> Result<(), Fault> {
        let c = self.c.clone();
        if !exchange.counted || !c.held_rules().is_some_and(|rules| rules.bound_reads()) {
            return Ok(());
        }
        self.send(batch, buffer).await?;
        self.flush_answers().await?;
        while c.approvals.is_reading() && !c.is_ending() {
            or(c.room.notified(), R::sleep(LOOK)).await;
        }
        Ok(())
    }

    /// What is held of a request; what the cluster has to be asked for that is asked once.
    async fn find_held(
        &mut self,
        exchange: &Exchange,
        body: &[u8],
        requester: &Requester,
        (batch, buffer): (&mut Batch, &[u8]),
    ) -> Result<Result<(Held, Known), Unshowable>, Fault> {
        let c = self.c.clone();
        let (held, asked) = self.look(exchange, body, requester, &Known::new());
        if asked.is_empty() || held.is_err() {
            return Ok(held.map(|held| (held, Known::new())));
        }
        // What came before does not wait for it.
        self.send(batch, buffer).await?;
        let too_late = async {
            R::sleep(limits::QUESTIONS_WAIT).await;
            Vec::new()
        };
        let answers = or(c.door.listener.cluster.ask(asked.into_iter().collect()), too_late).await;
        let known: Known = answers.into_iter().collect();
        let (held, _) = self.look(exchange, body, requester, &known);
        Ok(held.map(|held| (held, known)))
    }

    fn look(
        &self,
        exchange: &Exchange,
        body: &[u8],
        requester: &Requester,
        known: &Known,
    ) -> (Result<Held, Unshowable>, HashSet<Question>) {
        let c = &self.c;
        let Some(rules) = c.held_rules() else { return (Ok(Held::default()), HashSet::new()) };
        let request = Request { api_key: exchange.api_key, version: exchange.version, body };
        let around = Around { c, requester, known, asked: RefCell::default() };
        let held = hold::look(request, &c.door.listener.cluster.name, &rules, &**c, &around);
        (held, around.asked.into_inner())
    }

    /// Waits until each action is decided, as long as the client is there and has patience; then claims a use for each that
    /// was approved. None where it may not be done any more as it was when it came.
    async fn wait(
        &mut self,
        exchange: &mut Exchange,
        waiting: Waiting<'_>,
        room: &mut Option<Reservation>,
    ) -> Result<Option<Vec<Standing>>, Fault> {
        let c = self.c.clone();
        // It is whole, however long it waits.
        c.traffic.kept_since_ns.set(0);
        let Some(held) = c.shard.held_requests.reserve(waiting.body.len() as u64) else {
            return Ok(Some(no(&waiting, "too many requests wait for approval already; try again later")));
        };
        // What it took of the room of requests that go on is theirs again.
        *room = Some(held);
        let mut standings = self.ask(&waiting);
        let (begun, reads) = (Instant::now(), exchange.api_key == key::FETCH);
        loop {
            let unheard =
                standings.at.contains(&Standing::Unheard) && begun.elapsed() < waiting.patience + limits::DESK_WAIT;
            // A consumer that is answered at once without records asks again at once.
            let undecided = standings.at.iter().any(|at| match at {
                Standing::Pending { .. } => true,
                Standing::No { .. } => reads,
                _ => false,
            });
            let may_wait = begun.elapsed() < waiting.patience && !c.shard.is_draining();
            if c.is_ending() || !(unheard || (undecided && may_wait)) {
                break;
            }
            if self.client_has_gone() {
                self.leave(exchange, &standings.at).await;
                return Ok(Some(no(&waiting, "its client has gone")));
            }
            let told = async { standings.answers.recv().await };
            let look = async {
                R::sleep(LOOK).await;
                None
            };
            if let Some((which, answer)) = or(told, look).await {
                self.hear(exchange, &mut standings.at, which, answer).await;
            }
        }
        login::in_force(&c, c.clock.now_ns()).map_err(Fault::Authentication)?;
        if !self.still_holds(exchange, &waiting)? {
            return Ok(None);
        }
        self.claim(exchange, &waiting, &mut standings.at).await?;
        Ok(Some(standings.at))
    }

    /// Asks for each action at the desk.
    fn ask(&self, waiting: &Waiting<'_>) -> Standings {
        let c = &self.c;
        let (heard, answers) = mpsc::unbounded_channel();
        let mut at = vec![Standing::Unheard; waiting.wanted.len()];
        for (which, wanted) in waiting.wanted.iter().enumerate() {
            if which < limits::ASKED_BY_ONE_MAX {
                let ear = Box::new(Ear { which, heard: heard.clone() });
                c.shard.desk.ask(c.ask_for(wanted, waiting.requester, false), ear);
            } else {
                let most = limits::ASKED_BY_ONE_MAX;
                let why = format!("it needs approval, and a request can ask for {most} at a time; do less at once");
                at[which] = Standing::No { why };
            }
        }
        Standings { at, answers, _heard: heard }
    }

    async fn hear(&mut self, exchange: &Exchange, standings: &mut [Standing], which: usize, answer: Answer) {
        let Some(at) = standings.get_mut(which) else { return };
        let (next, said) = match answer {
            Answer::Granted { request, .. } => (Standing::Granted, Some((request, HeldStage::Granted))),
            Answer::Approved { request } => (Standing::Approved { request }, None),
            Answer::Pending { request, url, needs_reason } => {
                let id = request.clone();
                (Standing::Pending { request, url, needs_reason }, Some((id, HeldStage::Asked)))
            }
            Answer::Denied { request, why } => {
                let words = why.map(|why| format!(": \"{why}\"")).unwrap_or_default();
                let why = format!("denied, request {request}{words}");
                (Standing::No { why }, Some((request, HeldStage::Denied)))
            }
            Answer::Refused(why) => {
                (Standing::No { why: format!("it needs approval, which cannot be asked for: {why}") }, None)
            }
        };
        *at = next;
        if let Some((request, stage)) = said {
            self.c.record(EventKind::Held { ordinal: exchange.ordinal, request, stage }).await;
        }
    }

    /// Claims a use for each action that was approved, once there is a broker to do it.
    async fn claim(
        &mut self,
        exchange: &Exchange,
        waiting: &Waiting<'_>,
        standings: &mut [Standing],
    ) -> Result<(), Fault> {
        let c = self.c.clone();
        let mut approved: Vec<usize> =
            (0..standings.len()).filter(|at| matches!(standings[*at], Standing::Approved { .. })).collect();
        // A heartbeat goes on whole or not at all: no use is claimed for a part of it.
        if exchange.api_key == key::STREAMS_GROUP_HEARTBEAT && approved.len() < standings.len() {
            for at in standings.iter_mut() {
                if let Standing::Approved { request } = at {
                    *at = Standing::No { why: format!("request {request} is approved, and waits for the others") };
                }
            }
            approved.clear();
        }
        if !approved.is_empty() {
            // A use that is claimed counts as used.
            dial::upstream(&c).await?;
        }
        for which in approved {
            if self.client_has_gone() || c.is_ending() {
                self.leave(exchange, standings).await;
                standings.clone_from_slice(&no(waiting, "its client has gone"));
                return Ok(());
            }
            let (heard, mut answers) = mpsc::unbounded_channel();
            c.shard.desk.ask(c.ask_for(waiting.wanted[which], waiting.requester, true), Box::new(Ear { which, heard }));
            let in_time = async {
                R::sleep(limits::DESK_WAIT).await;
                None
            };
            let answer = or(async { answers.recv().await }, in_time).await;
            // One that comes too late has claimed a use for nothing: it counts as used.
            let (which, answer) = answer.unwrap_or((which, Answer::Refused("no answer came in time".to_owned())));
            self.hear(exchange, standings, which, answer).await;
        }
        for at in standings.iter() {
            if let Standing::Pending { request, .. } = at {
                let (ordinal, request) = (exchange.ordinal, request.clone());
                c.record(EventKind::Held { ordinal, request, stage: HeldStage::Undecided }).await;
            }
        }
        Ok(())
    }

    /// Whether its client may still do what it asked for, and no rule asks for more than reviewers were shown.
    fn still_holds(&self, exchange: &mut Exchange, waiting: &Waiting<'_>) -> Result<bool, Fault> {
        let Waiting { body, wanted: asked, known, requester, .. } = waiting;
        let may = match self.c.judge_rights(exchange, body).map_err(Fault::ClientBody)? {
            Judgement::Passes => true,
            Judgement::GoesOn { body: None, amends } => amends.items.is_empty(),
            _ => false,
        };
        let (Ok(now), _) = self.look(exchange, body, requester, known) else { return Ok(false) };
        let shown = |wanted: &Wanted| {
            let same = asked.iter().find(|asked| asked.action == wanted.action);
            same.is_some_and(|asked| wanted.terms.iter().all(|terms| asked.terms.contains(terms)))
        };
        let open = |wanted: &Wanted| self.c.may_go_on(wanted, requester);
        Ok(may && now.wanted.iter().all(|wanted| shown(wanted) || open(wanted)))
    }

    /// Whether the client has closed its side: nothing is done for one that has.
    fn client_has_gone(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let fd = self.c.client.fd();
        let mut asked = [PollFd::new(&fd, PollFlags::RDHUP)];
        let closed = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        poll(&mut asked, Some(&now)).is_ok() && asked[0].revents().intersects(closed)
    }

    async fn leave(&mut self, exchange: &Exchange, standings: &[Standing]) {
        for at in standings {
            if let Standing::Pending { request, .. } | Standing::Approved { request } = at {
                let (ordinal, request) = (exchange.ordinal, request.clone());
                self.c.record(EventKind::Held { ordinal, request, stage: HeldStage::Gone }).await;
            }
        }
        self.c.end(CloseReason::Client);
    }
}

fn session_of(exchange: &Exchange, body: &[u8]) -> Result<Session, Fault> {
    match exchange.api_key {
        key::FETCH => hold::session(exchange.version, body).map_err(Fault::ClientBody),
        _ => Ok(Session::None),
    }
}

fn refused(code: i16, why: &str) -> Judgement {
    Judgement::Refused { code, why: why.to_owned() }
}

/// Nothing of it is done, for this reason.
fn no(waiting: &Waiting<'_>, why: &str) -> Vec<Standing> {
    vec![Standing::No { why: why.to_owned() }; waiting.wanted.len()]
}

/// How long the client is ready to wait: as the rules say, and no longer than it would take for a broken connection.
fn patience(api_key: i16, held: &Held, wanted: &[&Wanted]) -> Duration {
    let hold = wanted.iter().map(|wanted| wanted.hold).max().unwrap_or_default();
    match (api_key, held.timeout) {
        // It asks again by itself, and its other topics are not to wait.
        (key::METADATA, _) => Duration::ZERO,
        (key::FETCH, max_wait) => max_wait.unwrap_or_default().min(limits::HELD_FETCH_MAX),
        (_, Some(timeout)) => hold.min(timeout.saturating_sub(limits::HELD_MARGIN)),
        (_, None) => hold.min(limits::HELD_MAX),
    }
}

fn refusal(wanted: &Wanted, at: &Standing) -> Option<Refusal> {
    let why = match at {
        Standing::Granted => return None,
        Standing::Pending { request, url, needs_reason } => {
            let approvers =
                wanted.terms.iter().map(|terms| terms.approvers.to_string()).collect::<Vec<_>>().join(", and ");
            let look = url.clone().unwrap_or_else(|| format!("`weir requests {request}`"));
            let reason = match needs_reason {
                true => {
                    format!("; nobody can approve it before you say why: `weir request {request} --reason \"...\"`")
                }
                false => String::new(),
            };
            format!(
                "this needs approval by {approvers}: request {request} is open{reason}; once it is approved, do it again. See {look}"
            )
        }
        Standing::No { why } => why.clone(),
        Standing::Unheard | Standing::Approved { .. } => {
            "it needs approval, and the gateway cannot ask for it at the moment".to_owned()
        }
    };
    Some(Refusal { names: wanted.names.clone(), why })
}
