//! The policy in force on a shard, and how the next one takes its place.
//!
//! A policy is taken over between two steps of the executor: from then on every decision is the new one's. What was decided
//! before may still be on its way (an answer of which the first half was passed on as it is); a change counts as done when
//! none of that is left.
//!
//! Invariants:
//! - Every event in the journal stands behind the hash of the policy under which it happened.
//! - Nothing that was decided under an older policy leaves once a change was said to be done: a connection that does not get
//!   rid of it in time is closed.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::clock::wall_ns;
use super::connection::Connection;
use super::runtime::Runtime;
use super::state::Shard;
use crate::limits;
use crate::pipeline::capture::SampleBudgets;
use crate::pipeline::fault::Fault;
use crate::pipeline::masking::On;
use crate::pipeline::masking::plans::{Book, Plans};
use crate::pipeline::membership::ReadsFor;
use crate::policy::{AccessRules, ApprovalRules, RecordingRules};
use crate::wire::kafka::records::rewrite::Rewriter;

/// How often connections are looked at that still pass on what an older policy decided.
const LOOK: Duration = Duration::from_millis(5);

/// A policy, ready for all shards.
#[derive(Debug, Clone)]
pub struct Policy {
    /// SHA-256 of the file; zeros without one.
    pub hash: [u8; 32],
    /// Whose frames are kept.
    pub recording: Arc<RecordingRules>,
    /// Who may do what.
    pub access: AccessRules,
    /// What is held for approval.
    pub approvals: ApprovalRules,
    /// What is masked.
    pub masking: Arc<Book>,
}

/// What a shard says when it has taken over a policy and nothing that an older one decided is under way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Adopted {
    /// Connections that were closed for it.
    pub closed: usize,
}

/// A policy as one shard applies it.
pub(super) struct InForce {
    /// Counts up with each change.
    generation: u64,
    pub recording: Arc<RecordingRules>,
    pub samples: SampleBudgets,
    pub access: AccessRules,
    pub approvals: ApprovalRules,
    /// None where nothing is masked.
    pub masking: Option<Rc<Plans>>,
    /// What clients read may depend on the consumer group that they read for.
    pub asks_for_groups: bool,
}

impl InForce {
    pub fn new(policy: &Policy, generation: u64, shards: usize) -> Self {
        let masking = (!policy.masking.is_empty()).then(|| Plans::new(policy.masking.clone()));
        InForce {
            generation,
            recording: policy.recording.clone(),
            samples: SampleBudgets::new(&policy.recording, shards as u64),
            access: policy.access.clone(),
            approvals: policy.approvals.clone(),
            asks_for_groups: masking.as_ref().is_some_and(|plans| plans.ask_for_consumer_groups()),
            masking,
        }
    }
}

/// What a connection passes on in one direction, by the policy that decided on it.
#[derive(Default)]
pub(super) struct Passing {
    /// Of what has not left yet, or not to its end, the oldest decision's.
    oldest: Cell<Option<u64>>,
    /// Of what is not at hand to its end.
    latest: Cell<Option<u64>>,
}

impl Passing {
    fn decided(&self, generation: u64) {
        self.latest.set(Some(generation));
        self.oldest.set(self.oldest.get().or(Some(generation)));
    }

    /// The frame last decided on is at hand to its end.
    pub fn whole(&self) {
        self.latest.set(None);
    }

    /// What is at hand has left.
    pub fn left(&self) {
        self.oldest.set(self.latest.get());
    }

    fn is_older_than(&self, generation: u64) -> bool {
        self.oldest.get().is_some_and(|oldest| oldest < generation)
    }
}

impl<R: Runtime> Connection<R> {
    /// Notes that the policy in force decides on what is passed on next.
    pub fn decides(&self, passing: &Passing) {
        passing.decided(self.shard.policy.borrow().generation);
    }

    /// Whether anything is on its way by an older policy that this one would not let pass as it is.
    fn lags_behind(&self, generation: u64) -> bool {
        let older = self.requests_passing.is_older_than(generation) || self.answers_passing.is_older_than(generation);
        let masks = |on| self.masks(on, ReadsFor::Unknown);
        older && (self.is_governed() || [On::Produce, On::Fetch, On::Recording].into_iter().any(masks))
    }

    /// Whatever was looked up in the policy before is looked up again.
    fn forget_policy(&self) {
        self.scope_before_login.take();
        self.scope.take();
        self.masking.take();
        self.access.forget();
        self.approvals.forget();
        self.reconsider_groups();
    }
}

/// Takes over a policy; `done` is told when nothing of an older one is under way.
pub(super) async fn adopt<R: Runtime>(shard: &Rc<Shard<R>>, policy: &Policy, done: mpsc::UnboundedSender<Adopted>) {
    while shard.journal.borrow_mut().append_policy(wall_ns(), &policy.hash).is_err() {
        shard.meter.journal_full();
        R::sleep(limits::JOURNAL_RETRY).await;
    }
    // What the older one counted goes with it.
    shard.publish();
    let generation = shard.policy.borrow().generation + 1;
    shard.policy.replace(Rc::new(InForce::new(policy, generation, shard.recording.shards)));
    shard.rewriter.replace(Rewriter::new(policy.masking.levels()));
    let connections: Vec<Rc<Connection<R>>> = shard.connections.borrow().values().cloned().collect();
    connections.iter().for_each(|connection| connection.forget_policy());
    for connection in connections.iter().filter(|connection| connection.may_do_nothing()) {
        connection.fail(&Fault::Refused("the policy has changed and leaves its identity no right".to_owned()));
    }
    let lagging = connections.into_iter().filter(|connection| connection.lags_behind(generation)).collect();
    shard.spawn(async move {
        // The other end may have gone away, which does not matter.
        let _ = done.send(Adopted { closed: outlast(lagging, generation).await });
    });
}

/// Waits until none of them lags behind; the answer is how many had to be closed for that.
async fn outlast<R: Runtime>(mut lagging: Vec<Rc<Connection<R>>>, generation: u64) -> usize {
    let deadline = Instant::now() + limits::POLICY_DRAIN;
    loop {
        lagging.retain(|connection| !connection.is_ending() && connection.lags_behind(generation));
        if lagging.is_empty() {
            return 0;
        }
        if Instant::now() >= deadline {
            break;
        }
        R::sleep(LOOK).await;
    }
    let limit = limits::POLICY_DRAIN;
    for connection in &lagging {
        connection.fail(&Fault::Limit(format!(
            "records that an older policy let pass were still on their way {limit:?} after it had changed"
        )));
    }
    lagging.len()
}
