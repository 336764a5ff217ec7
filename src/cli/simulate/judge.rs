//! Judges recorded exchanges by two policies, as they were asked: by the identity, groups, client id, address, listener and
//! time of each.
//!
//! Invariant: what is kept of verdicts holds for the client and the hours it was found under, and is bounded.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Range;

use super::found::{Change, Counted, Found, Way};
use super::walk::Exchange;
use crate::config::Config;
use crate::event::Outcome;
use crate::limits::EVENT_GROUPS_MAX;
use crate::pipeline::access::recorded::{self as access, Ask, Asks};
use crate::pipeline::guard;
use crate::pipeline::hold::recorded::{self as hold, Holdable, Holding};
use crate::policy::{
    AccessClient, AccessRules, ApprovalRules, DecidedBy, HeldOperation, HeldRules, Operation, PolicySnapshot,
    ResourceKind, Rights,
};
use crate::recorder::{UNIDENTIFIED_ISSUER, UNIDENTIFIED_SUBJECT};

/// Clients whose rights and verdicts are kept: those of the sessions of some minutes.
const CLIENTS_MAX: usize = 1000;
/// Names of a client whose verdicts are kept, and verdicts of a name.
const NAMES_MAX: usize = 256;
const VERDICTS_MAX: usize = 256;

/// Whose tokens may be narrowed.
pub(super) struct Narrowed {
    /// Subjects that Weir made narrowed tokens for.
    pub(super) subjects: BTreeSet<String>,
    /// Identity providers whose scopes mean something.
    pub(super) issuers: BTreeSet<String>,
}

/// Who asked, as far as rules look at it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) listener: String,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) groups: Vec<String>,
    pub(super) client_id: Option<String>,
    pub(super) address: IpAddr,
}

impl Client {
    fn as_rules_see_it(&self) -> AccessClient<'_> {
        AccessClient {
            listener: &self.listener,
            issuer: &self.issuer,
            subject: &self.subject,
            groups: &self.groups,
            client_id: self.client_id.as_deref(),
            address: self.address,
            scopes: None,
        }
    }
}

/// What two policies come to for a client.
pub(super) struct Known {
    client: Client,
    /// None: its listener has no rules.
    in_force: Option<Rights>,
    tried: Option<Rights>,
    /// None: nothing it does is held.
    held_in_force: Option<HeldRules>,
    held_if_tried: Option<HeldRules>,
    /// The seconds for which the verdicts hold.
    holds: Range<i64>,
    names: HashMap<Box<str>, OfName>,
    /// Whether the listener forwards what changes who may do what.
    allow_security_changes: bool,
    maybe_narrowed: bool,
}

#[derive(Default)]
struct OfName {
    /// Rules tell the topic's partitions apart.
    is_parted: bool,
    verdicts: HashMap<(i16, Question), Verdict>,
}

/// What is asked of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Question {
    Allowed(Operation, ResourceKind, Option<i32>),
    Held(HeldOperation, ResourceKind, hold::How),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// By both policies it passes.
    Passes,
    /// By neither.
    Neither,
    /// By the new one alone.
    Released,
    /// By the one in force alone; the row it is counted in, none where there are too many.
    Against(Option<usize>),
    /// The new one may hold it.
    Perhaps,
}

/// Two policies, and what came of them so far.
pub(super) struct Bench {
    in_force: (AccessRules, ApprovalRules),
    tried: (AccessRules, ApprovalRules),
    /// Listeners that forward what changes who may do what.
    open_listeners: BTreeSet<String>,
    narrowed: Narrowed,
    clients: HashMap<Client, Known>,
    pub(super) found: Found,
}

impl Bench {
    pub(super) fn new(config: &Config, tried: &PolicySnapshot, narrowed: Narrowed) -> Bench {
        let rules = |policy: &PolicySnapshot| (policy.access.clone(), policy.approvals.clone());
        let open = config.listeners.iter().filter(|listener| listener.allow_security_changes);
        Bench {
            in_force: rules(&config.policy.snapshot),
            tried: rules(tried),
            open_listeners: open.map(|listener| listener.name.clone()).collect(),
            narrowed,
            clients: HashMap::new(),
            found: Found::default(),
        }
    }

    /// A client to judge by, to be given back when its session is over.
    pub(super) fn take(&mut self, client: Client) -> Known {
        if let Some(known) = self.clients.remove(&client) {
            return known;
        }
        let seen = client.as_rules_see_it();
        let (in_force, tried) = (self.in_force.0.rights_of(&seen), self.tried.0.rights_of(&seen));
        let (held_in_force, held_if_tried) = (self.in_force.1.about(&seen), self.tried.1.about(&seen));
        let maybe_narrowed =
            self.narrowed.issuers.contains(&client.issuer) || self.narrowed.subjects.contains(&client.subject);
        Known {
            in_force,
            tried,
            held_in_force,
            held_if_tried,
            // Nothing holds yet.
            holds: 0..0,
            names: HashMap::new(),
            allow_security_changes: self.open_listeners.contains(&client.listener),
            maybe_narrowed,
            client,
        }
    }

    pub(super) fn give_back(&mut self, known: Known) {
        if self.clients.len() >= CLIENTS_MAX {
            self.clients.clear();
        }
        self.clients.insert(known.client.clone(), known);
    }

    /// Judges an exchange; without a client it is only counted.
    pub(super) fn judge(&mut self, known: Option<&mut Known>, exchange: &Exchange) {
        self.found.looked_at.exchange(exchange.at_ns);
        let not_judged = &mut self.found.not_judged;
        let Some(request) = &exchange.request else {
            not_judged.request_unknown += 1;
            return;
        };
        let Some(known) = known else {
            not_judged.listener_unknown += 1;
            return;
        };
        // What is answered here, or refused whoever asks, is no question of access.
        let unidentified = known.client.issuer == UNIDENTIFIED_ISSUER && known.client.subject == UNIDENTIFIED_SUBJECT;
        let head = guard::judge_head(request.api_key, request.api_version, known.allow_security_changes);
        if unidentified || head.is_some() {
            return;
        }
        let asked = access::asks(request.api_key, &request.items, &exchange.response.items);
        let holdable = match (&known.held_in_force, &known.held_if_tried) {
            // Rules that are the same hold the same, also where it is not known what.
            (in_force, tried) if (in_force.is_some() || tried.is_some()) && self.in_force.1 != self.tried.1 => {
                hold::holdable(request.api_key, &request.items, &exchange.response.items)
            }
            _ => Vec::new(),
        };
        not_judged.unnamed_topics += u64::from(asked.unnamed > 0);
        not_judged.items_omitted += u64::from(request.items_omitted > 0);
        if asked.asks.is_empty() && holdable.is_empty() {
            return;
        }
        self.found.looked_at.judged += 1;
        not_judged.maybe_narrowed += u64::from(known.maybe_narrowed);
        not_judged.groups_omitted += u64::from(known.client.groups.len() >= EVENT_GROUPS_MAX);
        let now_s = i64::try_from(exchange.at_ns / 1_000_000_000).unwrap_or(i64::MAX);
        known.at(now_s);
        let refused = exchange.response.outcome == Outcome::Refused;
        let counted = Counted { api_key: request.api_key, at_ns: exchange.at_ns, refused };
        let blocked = self.rights(known, &asked, now_s, counted);
        self.holds(known, &holdable, &blocked, counted);
    }

    /// Judges what an exchange asks for, and gives what not both policies allow.
    fn rights<'e>(
        &mut self,
        known: &mut Known,
        asked: &Asks<'e>,
        now_s: i64,
        counted: Counted,
    ) -> Vec<(ResourceKind, &'e str)> {
        let (mut denied, mut allowed, mut blocked) = (false, false, Vec::new());
        for ask in &asked.asks {
            match known.access(counted.api_key, ask, now_s, &mut self.found) {
                Verdict::Passes | Verdict::Perhaps => continue,
                Verdict::Neither => {}
                Verdict::Released => allowed = true,
                Verdict::Against(row) => {
                    denied = true;
                    row.iter()
                        .for_each(|row| self.found.count(*row, counted, &known.client.groups, known.client.address));
                }
            }
            blocked.push((ask.kind, ask.name));
        }
        self.found.newly_denied += u64::from(denied);
        self.found.newly_allowed += u64::from(allowed);
        blocked
    }

    /// Judges what of an exchange can be held, but for what is denied in any case.
    fn holds(
        &mut self,
        known: &mut Known,
        holdable: &[Holdable<'_>],
        blocked: &[(ResourceKind, &str)],
        counted: Counted,
    ) {
        if blocked.iter().any(|(kind, _)| *kind == ResourceKind::Cluster) {
            return;
        }
        let (mut held, mut released, mut perhaps) = (false, false, false);
        for one in holdable.iter().filter(|one| !blocked.contains(&(one.kind, one.name))) {
            match known.hold(counted.api_key, one, &self.tried.1, &mut self.found) {
                Verdict::Passes | Verdict::Neither => {}
                Verdict::Perhaps => perhaps = true,
                Verdict::Released => released = true,
                Verdict::Against(row) => {
                    held = true;
                    row.iter()
                        .for_each(|row| self.found.count(*row, counted, &known.client.groups, known.client.address));
                }
            }
        }
        self.found.newly_held += u64::from(held);
        self.found.no_longer_held += u64::from(released);
        self.found.not_judged.maybe_held += u64::from(perhaps && !held);
    }
}

impl Known {
    /// Forgets verdicts that were found for other hours.
    fn at(&mut self, now_s: i64) {
        if self.holds.contains(&now_s) {
            return;
        }
        let until = [&self.in_force, &self.tried].into_iter().flatten().map(|rights| rights.valid_until(now_s)).min();
        // Where no hours matter verdicts hold for what was before, too.
        self.holds = match until.unwrap_or(i64::MAX) {
            i64::MAX => i64::MIN..i64::MAX,
            until => now_s..until,
        };
        self.names.clear();
    }

    fn access(&mut self, api_key: i16, ask: &Ask<'_>, now_s: i64, found: &mut Found) -> Verdict {
        let partition = ask.partition.filter(|_| self.is_parted(ask.name));
        let question = (api_key, Question::Allowed(ask.operation, ask.kind, partition));
        if let Some(verdict) = self.kept(ask.name, question) {
            return verdict;
        }
        let was = self.in_force.as_ref().is_none_or(|rights| ask.decide(rights, now_s).allowed);
        let decision = self.tried.as_ref().map(|rights| ask.decide(rights, now_s));
        let verdict = match (was, decision) {
            (was, Some(decision)) if !decision.allowed => {
                let rule = match decision.by {
                    DecidedBy::Rule { number, .. } => Some(number),
                    _ => None,
                };
                let way = self.client.way(Change::Denied, ask.operation.name(), (ask.kind, ask.name, partition), rule);
                if was { Verdict::Against(found.row_of(way, self.client.address)) } else { Verdict::Neither }
            }
            (true, _) => Verdict::Passes,
            (false, _) => Verdict::Released,
        };
        self.keep(ask.name, question, verdict)
    }

    fn hold(&mut self, api_key: i16, one: &Holdable<'_>, tried: &ApprovalRules, found: &mut Found) -> Verdict {
        let question = (api_key, Question::Held(one.operation, one.kind, one.how));
        if let Some(verdict) = self.kept(one.name, question) {
            return verdict;
        }
        let [was, will] = [&self.held_in_force, &self.held_if_tried]
            .map(|rules| rules.as_ref().map_or(Holding::No, |rules| one.held_by(rules)));
        let verdict = match (was, will) {
            (Holding::By(_), Holding::By(_)) => Verdict::Neither,
            (Holding::By(_), _) => Verdict::Released,
            (_, Holding::By(rule)) => {
                let number = tried.iter().position(|other| other.terms.rule == rule.terms.rule);
                let way = self.client.way(Change::Held, one.operation.name(), (one.kind, one.name, None), number);
                Verdict::Against(found.row_of(way, self.client.address))
            }
            (_, Holding::Perhaps) => Verdict::Perhaps,
            (_, Holding::No) => Verdict::Passes,
        };
        self.keep(one.name, question, verdict)
    }

    /// Whether rules tell the partitions of a topic apart.
    fn is_parted(&mut self, name: &str) -> bool {
        if let Some(known) = self.names.get(name) {
            return known.is_parted;
        }
        let is_parted = [&self.in_force, &self.tried].into_iter().flatten().any(|rights| rights.is_partitioned(name));
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
        }
        self.names.insert(name.into(), OfName { is_parted, verdicts: HashMap::new() });
        is_parted
    }

    fn kept(&self, name: &str, question: (i16, Question)) -> Option<Verdict> {
        self.names.get(name)?.verdicts.get(&question).copied()
    }

    fn keep(&mut self, name: &str, question: (i16, Question), verdict: Verdict) -> Verdict {
        // Whoever has not asked yet makes its place.
        self.is_parted(name);
        if let Some(of_name) = self.names.get_mut(name) {
            if of_name.verdicts.len() >= VERDICTS_MAX {
                of_name.verdicts.clear();
            }
            of_name.verdicts.insert(question, verdict);
        }
        verdict
    }
}

impl Client {
    fn way(
        &self,
        change: Change,
        operation: &'static str,
        (kind, name, partition): (ResourceKind, &str, Option<i32>),
        rule: Option<usize>,
    ) -> Way {
        Way {
            change,
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            client_id: self.client_id.clone(),
            listener: self.listener.clone(),
            operation,
            kind,
            name: name.to_owned(),
            partition,
            rule,
        }
    }
}
