//! The policy file while the gateway runs: read again when it changes, when it is asked for and at SIGHUP.
//!
//! Invariants:
//! - A file that is wrong, or gone, changes nothing: the policy in force stays, and what is wrong is told.
//! - A change that nobody announced is taken over once it was seen twice alike: a file that is being written may be lawful
//!   and lack the rules that come last.
//! - A reload that is reported as done is in force on every shard, and nothing that was decided before is under way.

mod change;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;

use crate::config::{Config, Problem, Problems};
use crate::control::{
    PolicyChange, PolicyChangeError, PolicyChecked, PolicyFile, PolicyInForce, PolicyProblem, PolicyQuestion,
    PolicyReload, PolicyReloaded, PolicyTrial, PolicyTrialError, TokenRegistry,
};
use crate::mask::detect::PatternError;
use crate::pipeline::masking::plans::Book;
use crate::policy::{AccessClient, Action, ActionKind, PolicySnapshot, PolicyText, Requester, ResourceKind, Terms};
use crate::recorder::{PolicyHash, Queries};
use crate::shard::{Command, Policy, ShardEar};
use crate::tls::Reload;

/// A policy as shards take it.
pub(super) fn for_shards(snapshot: &PolicySnapshot) -> Result<Policy, PatternError> {
    Ok(Policy {
        hash: snapshot.hash,
        access: snapshot.access.clone(),
        approvals: snapshot.approvals.clone(),
        recording: Arc::new(snapshot.recording.clone()),
        masking: Arc::new(Book::new(&snapshot.masking)?),
    })
}

/// Why the policy in force stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    #[error("the configuration names no policy file; add `policy: policy.yaml` to it and start the gateway anew")]
    NoFile,
    #[error(transparent)]
    Wrong(#[from] Problems),
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("the gateway is stopping")]
    Stopping,
}

/// Keeps the policy in force the one that the file says.
pub(super) struct PolicyKeeper {
    config: Arc<Config>,
    tokens: Arc<TokenRegistry>,
    ears: Vec<ShardEar>,
    kept: Mutex<Kept>,
}

struct Kept {
    in_force: Arc<PolicySnapshot>,
    /// What the last look found, where that is not what is in force.
    seen: Option<Seen>,
}

#[derive(PartialEq, Eq)]
enum Seen {
    Policy(PolicySnapshot),
    /// What is wrong with the file; told when it was first seen.
    Trouble(String),
}

impl PolicyKeeper {
    /// Of the policy that the shards were started with.
    pub(super) fn new(config: &Arc<Config>, tokens: &Arc<TokenRegistry>, ears: Vec<ShardEar>) -> Arc<PolicyKeeper> {
        let kept = Kept { in_force: config.policy.snapshot.clone(), seen: None };
        publish(&kept.in_force, 1.0);
        config.forget_policy_change();
        Arc::new(PolicyKeeper { config: config.clone(), tokens: tokens.clone(), ears, kept: Mutex::new(kept) })
    }

    /// Reads the file again on a thread of its own, since it may have to wait for clients; what comes of it is logged.
    pub(super) fn reload_aside(self: &Arc<Self>) {
        let keeper = self.clone();
        let spawned = std::thread::Builder::new().name("weir-policy".to_owned()).spawn(move || {
            // What is wrong was logged.
            let _ = keeper.reload();
        });
        if let Err(error) = spawned {
            tracing::error!("the policy cannot be read again, the one in force stays: {error}");
        }
    }

    fn read(&self) -> Result<PolicySnapshot, ReloadError> {
        Ok(self.config.read_policy().ok_or(ReloadError::NoFile)??)
    }

    /// Reads the file again and takes it over where it has changed.
    fn reload_kept(&self, kept: &mut Kept) -> Result<PolicyReloaded, ReloadError> {
        let reloaded = match self.read() {
            Ok(policy) if policy == *kept.in_force => Ok(told(&policy)),
            Ok(policy) => self.take_over(kept, policy),
            Err(error) => Err(error),
        };
        if reloaded.is_ok() {
            self.config.forget_policy_change();
        }
        log(&reloaded);
        reloaded
    }

    /// What is wrong with a policy, or what it says; nothing that it refers to is read.
    fn checked(&self, files: Vec<PolicyText>) -> Result<PolicySnapshot, Vec<PolicyProblem>> {
        let whole = files.first().map(|file| file.name.clone()).unwrap_or_default();
        let snapshot = self.config.check_policy(files).map_err(problems)?;
        match for_shards(&snapshot) {
            Ok(_) => Ok(snapshot),
            // A pattern that compiles by itself and not together with the others: it is about the policy as a whole.
            Err(error) => Err(vec![PolicyProblem { file: whole, line: 1, column: 1, reason: error.to_string() }]),
        }
    }

    /// Hands a policy to the shards and waits for them.
    fn take_over(&self, kept: &mut Kept, policy: PolicySnapshot) -> Result<PolicyReloaded, ReloadError> {
        let begun = Instant::now();
        let for_shards = for_shards(&policy)?;
        let (done, mut adopted) = mpsc::unbounded_channel();
        for ear in &self.ears {
            ear.tell(Command::Adopt(for_shards.clone(), done.clone()));
        }
        drop(done);
        let (mut shards, mut connections_closed) = (0, 0);
        while let Some(one) = adopted.blocking_recv() {
            shards += 1;
            connections_closed += one.closed;
        }
        if shards < self.ears.len() {
            return Err(ReloadError::Stopping);
        }
        publish(&kept.in_force, 0.0);
        publish(&policy, 1.0);
        (kept.in_force, kept.seen) = (Arc::new(policy), None);
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(PolicyReloaded { changed: true, shards, connections_closed, took_ms, ..told(&kept.in_force) })
    }
}

fn told(policy: &PolicySnapshot) -> PolicyReloaded {
    PolicyReloaded {
        changed: false,
        hash: PolicyHash(policy.hash).to_string(),
        access_rules: policy.access.len(),
        approval_rules: policy.approvals.len(),
        recording_rules: policy.recording.iter().count(),
        masking_rules: policy.masking.len(),
        shards: 0,
        connections_closed: 0,
        took_ms: 0,
    }
}

/// Says in the metrics which policy is in force (1) or no longer is (0), and in the log what is worth a warning of it.
fn publish(policy: &PolicySnapshot, in_force: f64) {
    if in_force > 0.0 {
        policy.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    }
    metrics::gauge!("weir_policy_info", "hash" => PolicyHash(policy.hash).to_string()).set(in_force);
}

fn log(reloaded: &Result<PolicyReloaded, ReloadError>) {
    let result = if reloaded.is_ok() { "done" } else { "refused" };
    metrics::counter!("weir_policy_reloads_total", "result" => result).increment(1);
    match reloaded {
        Ok(PolicyReloaded { changed: false, hash, .. }) => tracing::info!(hash, "the policy has not changed"),
        Ok(PolicyReloaded {
            hash,
            access_rules,
            approval_rules,
            recording_rules,
            masking_rules,
            connections_closed,
            took_ms,
            ..
        }) => {
            tracing::info!(
                hash,
                access_rules,
                approval_rules,
                recording_rules,
                masking_rules,
                connections_closed,
                "the policy is in force on every shard after {took_ms} ms"
            );
        }
        Err(error) => tracing::error!("the policy in force stays: {error}"),
    }
}

fn in_force(policy: &PolicySnapshot) -> PolicyInForce {
    let told = told(policy);
    let files = policy.files.iter().map(|file| PolicyFile { name: file.name.clone(), text: file.text.clone() });
    PolicyInForce {
        hash: (policy.hash != [0; 32]).then_some(told.hash),
        access_rules: told.access_rules,
        approval_rules: told.approval_rules,
        recording_rules: told.recording_rules,
        masking_rules: told.masking_rules,
        warnings: policy.warnings(),
        files: files.collect(),
    }
}

fn problems(Problems(problems): Problems) -> Vec<PolicyProblem> {
    let problem = |Problem { file, at, what }| PolicyProblem {
        file: file.display().to_string(),
        line: at.line,
        column: at.column,
        reason: what,
    };
    problems.into_iter().map(problem).collect()
}

fn text(PolicyFile { name, text }: PolicyFile) -> PolicyText {
    PolicyText { name, text }
}

impl PolicyReload for PolicyKeeper {
    fn in_force(&self) -> PolicyInForce {
        in_force(&self.kept.lock().unwrap_or_else(PoisonError::into_inner).in_force)
    }

    fn change(&self, change: PolicyChange<'_>) -> Result<PolicyReloaded, PolicyChangeError> {
        self.change_to(change)
    }

    fn check(&self, files: Vec<PolicyFile>) -> PolicyChecked {
        match self.checked(files.into_iter().map(text).collect()) {
            Ok(policy) => PolicyChecked { valid: true, problems: Vec::new(), warnings: policy.warnings() },
            Err(problems) => PolicyChecked { valid: false, problems, warnings: Vec::new() },
        }
    }

    fn cluster(&self, asked: Option<&str>) -> Result<String, String> {
        let names: Vec<&str> = self.config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        match (asked, names.as_slice()) {
            (Some(asked), _) if names.contains(&asked) => Ok(asked.to_owned()),
            (None, [only]) => Ok((*only).to_owned()),
            _ => Err(format!("say which cluster: {}", names.join(", "))),
        }
    }

    fn terms(&self, requester: &Requester, action: &Action) -> Vec<Terms> {
        let policy = self.kept.lock().unwrap_or_else(PoisonError::into_inner).in_force.clone();
        let mut terms = Vec::new();
        for listener in self.config.listeners.iter().filter(|listener| listener.cluster == action.cluster) {
            let client = AccessClient {
                listener: &listener.name,
                issuer: &requester.person.issuer,
                subject: &requester.person.subject,
                groups: &requester.groups,
                client_id: None,
                address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                scopes: None,
            };
            let Some(rules) = policy.approvals.about(&client) else { continue };
            for item in &action.items {
                let kind = match item.kind {
                    ActionKind::Topic => ResourceKind::Topic,
                    ActionKind::Group => ResourceKind::Group,
                    _ => ResourceKind::Cluster,
                };
                let held = rules.holding(action.operation, kind, &item.name).into_iter();
                terms
                    .extend(held.map(|rule| rule.terms.clone()).filter(|one| !terms.contains(one)).collect::<Vec<_>>());
            }
        }
        terms
    }

    fn explain(&self, question: PolicyQuestion) -> Result<serde_json::Value, String> {
        let snapshot = self.kept.lock().unwrap_or_else(PoisonError::into_inner).in_force.clone();
        let mut config = Config::clone(&self.config);
        config.policy.snapshot = snapshot;
        crate::cli::explain(&config, question, self.tokens.list())
    }

    fn simulate(&self, trial: PolicyTrial, recording: Queries) -> Result<serde_json::Value, PolicyTrialError> {
        let files = trial.files.iter().cloned().map(text).collect();
        let tried = self.checked(files).map_err(PolicyTrialError::Wrong)?;
        let mut config = Config::clone(&self.config);
        config.policy.snapshot = self.kept.lock().unwrap_or_else(PoisonError::into_inner).in_force.clone();
        crate::cli::simulate(&config, tried, &trial, self.tokens.list(), recording)
    }

    fn reload(&self) -> Result<PolicyReloaded, String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.reload_kept(&mut kept).map_err(|error| error.to_string())
    }
}

impl Reload for PolicyKeeper {
    fn look(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match self.read() {
            Ok(policy) if policy == *kept.in_force => {
                kept.seen = None;
                return;
            }
            Ok(policy) => Seen::Policy(policy),
            Err(error) => Seen::Trouble(error.to_string()),
        };
        let again = kept.seen.as_ref() == Some(&now);
        match (again, now) {
            (true, Seen::Policy(policy)) => log(&self.take_over(&mut kept, policy)),
            (true, Seen::Trouble(_)) => {}
            (false, now) => {
                if let Seen::Trouble(trouble) = &now {
                    tracing::error!("the policy file has changed and is wrong, the policy in force stays:\n{trouble}");
                }
                kept.seen = Some(now);
            }
        }
    }
}
