//! A look at every connection, a few times a second: what has been idle, unfinished or expired for too long ends here, so
//! that no connection needs a timer of its own. The same loop drains a shard that is to stop.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::login;
use super::runtime::Runtime;
use super::state::Shard;
use crate::event::CloseReason;
use crate::limits;
use crate::pipeline::fault::Fault;

const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_WHILE_DRAINING: Duration = Duration::from_millis(10);
/// After the drain's limit, how long connections may take to write their last events.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Runs until the shard begins to drain.
pub(super) async fn run<R: Runtime>(shard: Rc<Shard<R>>) {
    let mut rounds = 0u32;
    while !shard.is_draining() {
        R::sleep(PAUSE).await;
        rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(4) {
            shard.publish();
        }
        let lacking =
            Lacking { requests: shard.masked_requests.take_shortage(), answers: shard.masked_answers.take_shortage() };
        for connection in connections(&shard) {
            connection.memberships.expire(connection.clock.now_ns());
            if let Some(fault) = overdue(&connection).or_else(|| untaken(&connection, &lacking)) {
                connection.fail(&fault);
            } else if is_idle(&connection) {
                connection.end(CloseReason::Idle);
            }
        }
    }
}

fn connections<R: Runtime>(shard: &Shard<R>) -> Vec<Rc<Connection<R>>> {
    shard.connections.borrow().values().cloned().collect()
}

fn overdue<R: Runtime>(c: &Rc<Connection<R>>) -> Option<Fault> {
    let now_ns = c.clock.now_ns();
    let passed = |since_ns: u64, limit: Duration| u128::from(now_ns.saturating_sub(since_ns)) > limit.as_nanos();
    let limit = c.shard.limits.handshake;
    if passed(c.opened_ns, limit) {
        if !c.client.is_secured() {
            return Some(Fault::ClientTls(format!("no TLS handshake within {limit:?}")));
        }
        let login = c.login.borrow();
        let is_somebody = c.door.listener.anonymous || login.certificate.is_some();
        if login.who.is_none() && (login.is_under_way() || !is_somebody) {
            return Some(Fault::Authentication(format!("no login within {limit:?}")));
        }
    }
    let kept = c.traffic.kept_since_ns.get();
    if kept > 0 && passed(kept, c.shard.limits.request) {
        let limit = c.shard.limits.request;
        return Some(Fault::Limit(format!("a request did not come in whole within {limit:?}")));
    }
    login::in_force(c, now_ns).err().map(Fault::Authentication)
}

/// Whether others have lacked room, since the last look, that what is masked takes until it has left.
struct Lacking {
    requests: bool,
    answers: bool,
}

fn untaken<R: Runtime>(c: &Connection<R>, lacking: &Lacking) -> Option<Fault> {
    let limit = limits::MASKED_UNTAKEN;
    let now_ns = c.clock.now_ns();
    let sits = |since_ns: u64| since_ns > 0 && u128::from(now_ns.saturating_sub(since_ns)) > limit.as_nanos();
    let whose = match (&c.traffic, lacking) {
        (traffic, Lacking { answers: true, .. }) if sits(traffic.answer_held_since_ns.get()) => "client",
        (traffic, Lacking { requests: true, .. }) if sits(traffic.request_held_since_ns.get()) => "broker",
        _ => return None,
    };
    Some(Fault::Limit(format!(
        "the {whose} did not take what was masked for it within {limit:?}, and others need its room"
    )))
}

fn is_idle<R: Runtime>(c: &Connection<R>) -> bool {
    let now_ns = c.clock.now_ns();
    let lingers = c.traffic.lingers_since_ns.get();
    if lingers > 0 && u128::from(now_ns.saturating_sub(lingers)) > limits::LINGER.as_nanos() {
        return true;
    }
    u128::from(now_ns.saturating_sub(c.traffic.last_ns.get())) > c.shard.limits.idle.as_nanos()
}

/// Stops accepting, lets what is in flight finish, ends what is left at the limit.
pub(super) async fn drain<R: Runtime>(shard: &Rc<Shard<R>>, limit: Duration) {
    shard.begin_drain();
    let deadline = Instant::now() + limit;
    loop {
        let left = connections(shard);
        if left.is_empty() || Instant::now() > deadline + LAST_EVENTS {
            break;
        }
        for connection in left {
            if connection.traffic.between_requests.get() {
                connection.reads_ended.set(true);
                if !connection.owes_answers() {
                    connection.end(CloseReason::Drained);
                }
            }
            if Instant::now() > deadline {
                connection.end(CloseReason::Drained);
            }
        }
        R::sleep(PAUSE_WHILE_DRAINING).await;
    }
    shard.publish();
}
