//! What of a connection's client is held for approval, and what it asks for at the desk.
//!
//! Invariants:
//! - Where no rule is about its client, nothing here costs more than a look at an option.
//! - Which rules are about it goes with the policy and the login that it was looked up for.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use tokio::sync::mpsc;

use super::clock::wall_ns;
use super::connection::Connection;
use super::runtime::Runtime;
use crate::limits;
use crate::pipeline::hold::{Circumstances, Held, Passed, Refusal, ShareEpoch, ShareMember, ShareSession, Wanted};
use crate::policy::{AccessClient, Answer, Ask, HeldOperation, HeldRules, Listener, Origin, Person, Requester, Volume};
use crate::upstream::{Answered, Question};

/// What begins, in a client id, the reason for what the client does: `kafka-topics;reason=OPS-12`.
const REASON: &str = ";reason=";

/// The rules that are about a connection's client.
#[derive(Default)]
pub(super) struct Approvals {
    /// None until they were looked up; then none where there are none.
    rules: RefCell<Option<Option<Rc<HeldRules>>>>,
    /// Topics of the share sessions that were opened on it under these rules.
    shared: RefCell<HashMap<ShareMember, BTreeSet<String>>>,
    /// Requests on their way of which it is counted what they read.
    reading: Cell<u32>,
}

impl Approvals {
    /// They are looked up again.
    pub fn forget(&self) {
        self.rules.take();
        self.shared.take();
    }

    /// A request is on its way of which it is counted what it reads.
    pub fn begins_to_read(&self) {
        self.reading.set(self.reading.get() + 1);
    }

    /// It is counted.
    pub fn has_read(&self) {
        self.reading.set(self.reading.get().saturating_sub(1));
    }

    /// Whether something is read that is not counted yet.
    pub fn is_reading(&self) -> bool {
        self.reading.get() > 0
    }

    fn share(&self, ShareSession { member, at, topics }: &ShareSession) {
        let mut shared = self.shared.borrow_mut();
        match at {
            ShareEpoch::Opens => drop(shared.insert(member.clone(), topics.iter().cloned().collect())),
            ShareEpoch::GoesOn => shared.entry(member.clone()).or_default().extend(topics.iter().cloned()),
            ShareEpoch::Ends => drop(shared.remove(member)),
        }
        let kept: usize = shared.values().map(|topics| 1 + topics.len()).sum();
        if kept > limits::SHARED_TOPICS_MAX {
            // Not known any more: the client is told to open its sessions anew.
            shared.clear();
        }
    }
}

/// Hears what becomes of one of the actions that an exchange waits for.
pub(super) struct Ear {
    pub which: usize,
    pub heard: mpsc::UnboundedSender<(usize, Answer)>,
}

impl Listener for Ear {
    fn tell(&self, answer: Answer) {
        // Who has gone does not hear.
        let _ = self.heard.send((self.which, answer));
    }

    fn is_gone(&self) -> bool {
        self.heard.is_closed()
    }
}

impl<R: Runtime> Connection<R> {
    /// The rules that are about its client; none where there are none.
    pub fn held_rules(&self) -> Option<Rc<HeldRules>> {
        self.approvals.rules.borrow_mut().get_or_insert_with(|| self.look_up_held()).clone()
    }

    /// Whether any of them holds an operation.
    pub fn holds(&self, operation: HeldOperation) -> bool {
        self.held_rules().is_some_and(|rules| rules.hold(operation))
    }

    fn look_up_held(&self) -> Option<Rc<HeldRules>> {
        let policy = self.shard.policy.borrow().clone();
        if policy.approvals.is_empty() {
            return None;
        }
        let login = self.login.borrow();
        let principal = &login.who.as_ref()?.principal;
        let client = AccessClient {
            listener: &self.door.listener.name,
            issuer: &principal.issuer,
            subject: &principal.subject,
            groups: &principal.groups,
            client_id: None,
            address: self.peer.ip(),
            scopes: None,
        };
        policy.approvals.about(&client).map(Rc::new)
    }

    /// Who its client is where people are counted; none before it is known.
    pub fn requester(&self) -> Option<Requester> {
        let login = self.login.borrow();
        let principal = &login.who.as_ref()?.principal;
        let person =
            Person { minted_by: principal.minted_by.clone(), ..Person::new(&principal.issuer, &principal.subject) };
        Some(Requester { person, groups: principal.groups.clone() })
    }

    /// What is asked for at the desk for an action of its client's.
    pub fn ask_for(&self, wanted: &Wanted, requester: &Requester, claim: bool) -> Ask {
        let client_id = self.client_id.get().filter(|id| !id.is_empty());
        let reason = client_id.and_then(|id| id.split_once(REASON)).map(|(_, reason)| reason.trim().to_owned());
        Ask {
            requester: requester.clone(),
            origin: Origin {
                client_id: client_id.cloned(),
                address: Some(self.peer.to_string()),
                listener: Some(self.door.listener.name.clone()),
            },
            digest: wanted.action.digest(&self.shard.desk.key(), &wanted.withheld),
            action: wanted.action.clone(),
            terms: wanted.terms.clone(),
            reason: reason.filter(|reason| !reason.is_empty()),
            connection: format!("{}/{}", self.shard.recording.place, self.number.0),
            claim,
        }
    }

    /// Whether a time is open in which its client may do this.
    pub fn may_go_on(&self, wanted: &Wanted, requester: &Requester) -> bool {
        wanted.action.operation.goes_on() && {
            let digest = wanted.action.digest(&self.shard.desk.key(), &wanted.withheld);
            // By the wall clock as it is now: the connection's own goes on from when it was accepted.
            self.shard.desk.open().has(&requester.person, digest, &wanted.terms, wall_ns())
        }
    }
}

/// What a request itself does not say, as far as it is known; what is not is asked for.
pub(super) struct Around<'a, R: Runtime> {
    pub c: &'a Connection<R>,
    pub requester: &'a Requester,
    /// What the cluster has said.
    pub known: &'a HashMap<Question, Answered>,
    /// What it has to be asked.
    pub asked: RefCell<HashSet<Question>>,
}

impl<R: Runtime> Around<'_, R> {
    fn ask(&self, question: Question) -> Option<&Answered> {
        let known = self.known.get(&question);
        if known.is_none() {
            self.asked.borrow_mut().insert(question);
        }
        known
    }
}

impl<R: Runtime> Circumstances for Around<'_, R> {
    fn exists(&self, topic: &str) -> Option<bool> {
        self.ask(Question::TopicExists(topic.to_owned()))?.exists()
    }

    fn log_start(&self, topic: &str, partition: i32) -> Option<i64> {
        self.ask(Question::LogStart { topic: topic.to_owned(), partition })?.offset()
    }

    fn goes_on(&self, group: &str, topic: &str, partition: i32, offset: i64) -> Option<bool> {
        let c = self.c;
        let read = c.shard.readings.upto(&c.door.listener.cluster.name, &self.requester.person, topic, partition);
        if read.is_none_or(|upto| upto < offset) {
            return Some(false);
        }
        let question = Question::Committed { group: group.to_owned(), topic: topic.to_owned(), partition };
        Some(self.ask(question)?.offset()? <= offset)
    }

    fn shared(&self, member: &ShareMember) -> Option<Vec<String>> {
        self.c.approvals.shared.borrow().get(member).map(|topics| topics.iter().cloned().collect())
    }

    fn volume(&self, operation: HeldOperation, topic: &str, volume: Volume) -> u64 {
        let (c, now_s) = (self.c, self.c.now_s());
        let cluster = &c.door.listener.cluster.name;
        c.shard.readings.volume(cluster, &self.requester.person, operation, topic, volume, now_s)
    }
}

impl<R: Runtime> Connection<R> {
    /// Counts what goes on of a request, and remembers what its share session reads.
    pub fn goes_on(&self, held: &Held, refusals: &[Refusal]) {
        let refused = |topic: &str| {
            let names = refusals.iter().flat_map(|refusal| refusal.names.iter().flatten());
            names.into_iter().any(|(_, name)| name == topic)
        };
        if refusals.iter().any(|refusal| refusal.names.is_none()) {
            return;
        }
        let writes: Vec<Passed> = held.writes.iter().filter(|passed| !refused(&passed.topic)).cloned().collect();
        self.count(HeldOperation::Produce, &writes);
        held.shares.iter().for_each(|session| self.approvals.share(session));
    }

    /// Counts what its client has read or written.
    pub fn count(&self, operation: HeldOperation, passed: &[Passed]) {
        let Some(rules) = self.held_rules().filter(|_| !passed.is_empty()) else { return };
        let Some(requester) = self.requester() else { return };
        let bound = |passed: &Passed| if rules.bound(operation, &passed.topic) { passed.bytes } else { 0 };
        let counted: Vec<Passed> =
            passed.iter().map(|passed| Passed { bytes: bound(passed), ..passed.clone() }).collect();
        let cluster = &self.door.listener.cluster.name;
        self.shard.readings.count(cluster, &requester.person, operation, &counted, self.now_s());
    }

    fn now_s(&self) -> u64 {
        self.clock.now_ns() / 1_000_000_000
    }
}
