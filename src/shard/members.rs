//! For which consumer groups each session may be reading: those that it is a live member of, by what brokers answered to any
//! of its connections, on whatever shard.
//!
//! Each connection keeps what it has learnt ([`Memberships`]): a heartbeat that confirms a membership sets a time there, and
//! the sweep ends those that nothing confirmed for too long. Its session ([`Session`]) is told only when one comes or goes,
//! and holds all groups as a snapshot, of which a Fetch on any shard reads the pointer.
//!
//! Nothing is kept where no rule asks for consumer groups, but for a mark on connections on which there are members: when
//! such a rule comes, their session's groups are not known until they are heard of again.
//!
//! Invariants:
//! - A session of which a group is not known, or that has too many, is one without groups: every rule holds for it.
//! - What a connection has learnt ends with it, and a session with its last connection.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use super::connection::Connection;
use super::runtime::Runtime;
use crate::limits;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::membership::{self, Named, Told};

/// The names of a session's groups; empty: none, or not known.
pub(super) type Groups = Vec<Arc<str>>;

/// The sessions of which anybody asked, shared by all shards.
#[derive(Debug, Clone, Default)]
pub struct Members(Arc<Mutex<HashMap<SessionKey, Weak<Session>>>>);

/// What makes a session: all connections that are alike in this belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SessionKey {
    /// It has one cluster, which has the groups.
    listener: String,
    issuer: String,
    subject: String,
    client_id: String,
    client_ip: IpAddr,
}

/// A session, held by its connections.
#[derive(Debug)]
pub(super) struct Session {
    key: SessionKey,
    members: Members,
    /// How many of its connections' memberships are of a group; none: of one that is not known.
    joined: Mutex<BTreeMap<Option<Arc<str>>, usize>>,
    groups: ArcSwap<Groups>,
}

impl Members {
    fn session(&self, key: SessionKey) -> Arc<Session> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(&key).and_then(Weak::upgrade) {
            return session;
        }
        let (joined, groups) = Default::default();
        let session = Arc::new(Session { key: key.clone(), members: self.clone(), joined, groups });
        sessions.insert(key, Arc::downgrade(&session));
        session
    }
}

impl Session {
    /// The groups it is a member of now. They are others when the pointer is another.
    pub fn groups(&self) -> Guard<Arc<Groups>> {
        self.groups.load()
    }

    fn join(self: &Arc<Self>, group: Option<Arc<str>>) -> Joined {
        self.change(|joined| *joined.entry(group.clone()).or_default() += 1);
        Joined { session: self.clone(), group }
    }

    fn leave(&self, group: &Option<Arc<str>>) {
        self.change(|joined| {
            if let Some(count) = joined.get_mut(group) {
                *count -= 1;
                if *count == 0 {
                    joined.remove(group);
                }
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<Option<Arc<str>>, usize>)) {
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut joined);
        let known = joined.len() <= limits::SESSION_GROUPS_MAX && !joined.contains_key(&None);
        let groups: Groups = if known { joined.keys().flatten().cloned().collect() } else { Vec::new() };
        if **self.groups.load() != groups {
            self.groups.store(Arc::new(groups));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut sessions = self.members.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have begun under the same key since this one's last connection let go of it.
        if sessions.get(&self.key).is_some_and(|session| session.strong_count() == 0) {
            sessions.remove(&self.key);
        }
    }
}

/// A session's place in a group, left when this is dropped.
#[derive(Debug)]
struct Joined {
    session: Arc<Session>,
    group: Option<Arc<str>>,
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.session.leave(&self.group);
    }
}

/// That a connection's client is a member of a group.
#[derive(Debug)]
struct Membership {
    joined: Joined,
    /// It is from before anybody asked, and so of a group that is not known.
    before: bool,
    confirmed_ns: u64,
    silence: Duration,
}

/// What a connection has learnt of groups.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    session: RefCell<Option<Arc<Session>>>,
    learnt: RefCell<Vec<Membership>>,
    /// There may be a member on it that nobody asked for.
    unasked: Cell<bool>,
    ended: Cell<bool>,
}

impl Memberships {
    /// Takes in what an answer says of the group that its request named.
    fn hear(&self, session: &Arc<Session>, named: &Named, told: Told, now_ns: u64) {
        let mut learnt = self.learnt.borrow_mut();
        let of = |group: &Option<Arc<str>>, learnt: &[Membership]| {
            learnt.iter().position(|known| !known.before && known.joined.group == *group)
        };
        let mut group = named.group.clone();
        let mut at = of(&group, &learnt);
        if at.is_none() && learnt.len() >= limits::CONNECTION_GROUPS_MAX {
            group = None;
            at = of(&group, &learnt);
        }
        match (told, at) {
            (Told::Member | Told::StillMember, Some(at)) => {
                learnt[at].confirmed_ns = now_ns;
                learnt[at].silence = named.session_timeout.unwrap_or(learnt[at].silence);
            }
            (Told::Member, None) => {
                let silence = named.session_timeout.unwrap_or(limits::GROUP_MEMBER_SILENCE);
                let joined = session.join(group);
                learnt.push(Membership { joined, before: false, confirmed_ns: now_ns, silence });
            }
            // One that is not known may stand for several, and ends by itself.
            (Told::NoMember, Some(at)) if group.is_some() => drop(learnt.swap_remove(at)),
            _ => {}
        }
        // Last, so that there is no moment in which its session seems to be a member of the others only.
        learnt.retain(|known| !known.before);
        self.unasked.set(false);
    }

    /// There is a member of a group that was not asked for in time.
    fn hear_unasked(&self, session: Option<&Arc<Session>>, now_ns: u64) {
        self.unasked.set(true);
        let mut learnt = self.learnt.borrow_mut();
        if let (Some(session), true) = (session, learnt.is_empty()) {
            let silence = limits::GROUP_MEMBER_SILENCE;
            learnt.push(Membership { joined: session.join(None), before: true, confirmed_ns: now_ns, silence });
        }
    }

    /// Nobody asks any more.
    fn forget(&self) {
        self.unasked.set(self.unasked.get() || !self.learnt.borrow().is_empty());
        self.learnt.borrow_mut().clear();
        self.session.take();
    }

    /// Ends what nothing confirmed for too long.
    pub fn expire(&self, now_ns: u64) {
        let lives =
            |known: &Membership| u128::from(now_ns.saturating_sub(known.confirmed_ns)) <= known.silence.as_nanos();
        self.learnt.borrow_mut().retain(lives);
    }

    /// The connection ends: what is still answered says nothing any more.
    pub fn end(&self) {
        self.ended.set(true);
        self.learnt.borrow_mut().clear();
    }
}

impl<R: Runtime> Connection<R> {
    /// Whether what clients read may depend on the consumer group that they read for.
    pub fn asks_for_groups(&self) -> bool {
        self.shard.policy.borrow().asks_for_groups
    }

    /// Its session; none before it is known who it acts for.
    pub fn session(&self) -> Option<Arc<Session>> {
        if let Some(session) = &*self.memberships.session.borrow() {
            return Some(session.clone());
        }
        let login = self.login.borrow();
        let principal = &login.who.as_ref()?.principal;
        let session = self.shard.members.session(SessionKey {
            listener: self.door.listener.name.clone(),
            issuer: principal.issuer.clone(),
            subject: principal.subject.clone(),
            client_id: self.client_id.get()?.clone(),
            client_ip: self.peer.ip(),
        });
        *self.memberships.session.borrow_mut() = Some(session.clone());
        Some(session)
    }

    /// Takes in what an answer says about who is a member of a group, before its last byte leaves.
    pub fn hear_of_group(&self, exchange: &Exchange, error_code: i16) {
        if !membership::is_told_by(exchange.api_key) || self.memberships.ended.get() {
            return;
        }
        let session = self.asks_for_groups().then(|| self.session()).flatten();
        match (&session, &exchange.group) {
            (Some(session), Some(named)) => {
                self.memberships.hear(session, named, named.told(error_code), self.clock.now_ns());
            }
            _ if error_code == 0 => self.memberships.hear_unasked(session.as_ref(), self.clock.now_ns()),
            _ => {}
        }
    }

    /// Another policy is in force, which may ask for groups or not.
    pub fn reconsider_groups(&self) {
        if !self.asks_for_groups() {
            self.memberships.forget();
        } else if self.memberships.unasked.get() && !self.memberships.ended.get() {
            self.memberships.hear_unasked(self.session().as_ref(), self.clock.now_ns());
        }
    }
}

#[cfg(test)]
mod tests;
