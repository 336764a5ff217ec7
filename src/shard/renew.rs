//! Logging in again on a connection that lives (KIP-368): brokers that limit a session's life close a connection that
//! sends a request after its end.
//!
//! As Kafka's own clients do, Weir logs in again when a request is about to be forwarded and 85 to 95 % of the session's
//! life are over: an idle connection costs nothing, and a late login is taken as well. The reading task asks, between two
//! of the client's requests; the answering task picks the answers out from among the client's.
//!
//! Invariants:
//! - No byte of this reaches the client, and none of the client's stands between its frames.
//! - A login that fails before it began leaves the connection as it was, until the session ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;

use super::connection::Connection;
use super::dial;
use super::runtime::Runtime;
use crate::limits;
use crate::pipeline::fault::Fault;
use crate::upstream::{Login, LoginStep, Session};
use crate::wire::kafka::frame::PREFIX_LEN;

/// Far from what clients count up from; brokers only repeat it.
const CORRELATION_ID: i32 = i32::MIN;

/// Weir's own session on one connection.
pub(super) struct Renewal {
    /// When to log in again, ns; never while nothing ends.
    due_ns: Cell<u64>,
    /// When the session ends, ns.
    ends_ns: Cell<u64>,
    /// The broker's answer to what Weir asked.
    answer: RefCell<Option<Vec<u8>>>,
}

impl Default for Renewal {
    fn default() -> Self {
        Renewal { due_ns: Cell::new(u64::MAX), ends_ns: Cell::new(u64::MAX), answer: RefCell::default() }
    }
}

impl Renewal {
    /// A session has begun.
    pub fn begin(&self, session: Session, now_ns: u64) {
        self.due_ns.set(session.renew_after().map_or(u64::MAX, |after| later(now_ns, after)));
        self.ends_ns.set(session.lifetime.map_or(u64::MAX, |lifetime| later(now_ns, lifetime)));
    }

    /// Whether it is time.
    pub fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.due_ns.get()
    }
}

fn later(now_ns: u64, by: Duration) -> u64 {
    now_ns.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX))
}

/// Logs in again. Everything read from the client before has been sent.
pub(super) async fn run<R: Runtime>(c: &Rc<Connection<R>>) -> Result<(), Fault> {
    let cluster = &c.door.listener.cluster;
    let mut login = Login::new(cluster.credential.as_deref(), CORRELATION_ID);
    let outcome = exchange(c, &mut login).await;
    let label = if outcome.is_ok() { "renewed" } else { "failed" };
    let count =
        metrics::counter!("weir_upstream_relogins_total", "cluster" => cluster.name.clone(), "outcome" => label);
    match outcome {
        Ok(Some(session)) => c.renewal.begin(session, c.clock.now_ns()),
        // The connection is ending, for a reason that is told already.
        Ok(None) => return Ok(()),
        Err(why) if !login.has_begun() && c.clock.now_ns() < c.renewal.ends_ns.get() => {
            tracing::debug!(cluster = cluster.name, peer = %c.peer, "Weir's own login is put off: {why}");
            c.renewal.due_ns.set(later(c.clock.now_ns(), limits::RELOGIN_PAUSE));
        }
        Err(why) => {
            count.increment(1);
            let text = format!("cannot stay logged in to cluster {}: {why}", cluster.name);
            return Err(Fault::Unreachable(text));
        }
    }
    count.increment(1);
    Ok(())
}

async fn exchange<R: Runtime>(c: &Rc<Connection<R>>, login: &mut Login) -> Result<Option<Session>, String> {
    let Some(upstream) = c.upstream.get() else { return Ok(None) };
    let mut answer: Option<Vec<u8>> = None;
    loop {
        let step = async { Some(login.next(answer.as_deref()).await) };
        let patience = async {
            R::sleep(limits::UPSTREAM_CONNECT_WAIT).await;
            None
        };
        let step = or(step, patience).await.ok_or("the credential had no answer in time")?;
        match step.map_err(|e| e.to_string())? {
            LoginStep::Done(session) => return Ok(Some(session)),
            LoginStep::Send(frame) => {
                c.ring.borrow_mut().push_own(CORRELATION_ID).map_err(|full| full.to_string())?;
                if dial::send(upstream, &frame).await.is_err() {
                    // The answering task sees the same end, with whatever the broker said before it.
                    return Ok(None);
                }
                answer = awaited(c).await?;
                if answer.is_none() {
                    return Ok(None);
                }
            }
        }
    }
}

/// The broker's answer; none where the connection ends. What was asked before it may take as long as the broker likes.
async fn awaited<R: Runtime>(c: &Rc<Connection<R>>) -> Result<Option<Vec<u8>>, String> {
    let mut was_next = false;
    loop {
        if let Some(answer) = c.renewal.answer.take() {
            return Ok(Some(answer));
        }
        if c.is_ending() {
            return Ok(None);
        }
        let woken = async {
            c.room.notified().await;
            true
        };
        let patience = async {
            R::sleep(limits::UPSTREAM_CONNECT_WAIT).await;
            false
        };
        let is_next = c.ring.borrow().awaits_own();
        if !or(woken, patience).await {
            if was_next && is_next {
                return Err(format!("no answer within {} s", limits::UPSTREAM_CONNECT_WAIT.as_secs()));
            }
            was_next = is_next;
        }
    }
}

/// Takes in bytes of the broker's answer to Weir itself, which is the ring's next; `kept` holds what came before. How many
/// were taken.
pub(super) fn take_in<R: Runtime>(c: &Connection<R>, kept: &mut Vec<u8>, bytes: &[u8]) -> Result<usize, Fault> {
    let mut taken = 0;
    let mut wanted = PREFIX_LEN;
    loop {
        let more = wanted.saturating_sub(kept.len()).min(bytes.len() - taken);
        kept.extend_from_slice(&bytes[taken..taken + more]);
        taken += more;
        if kept.len() < wanted {
            return Ok(taken);
        }
        if wanted > PREFIX_LEN {
            break;
        }
        let length = kept.first_chunk().map_or(-1, |prefix| i32::from_be_bytes(*prefix));
        let lawful = usize::try_from(length).ok().filter(|l| (PREFIX_LEN..=dial::LOGIN_ANSWER_MAX).contains(l));
        wanted +=
            lawful.ok_or_else(|| Fault::Unreachable(format!("an answer to Weir's own login has {length} bytes")))?;
    }
    let frame = kept.split_off(PREFIX_LEN);
    kept.clear();
    let got = frame.first_chunk().map_or(0, |id| i32::from_be_bytes(*id));
    c.ring.borrow_mut().take_own(got).map_err(Fault::Surprise)?;
    c.renewal.answer.replace(Some(frame));
    c.room.notify_one();
    Ok(taken)
}
