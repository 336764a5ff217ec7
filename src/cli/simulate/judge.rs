//! Judges recorded exchanges by two policies, as they were asked: by the identity, groups, client id, address, listener and
//! time of each.
//!
//! Invariant: what is kept of verdicts holds for the client and the hours it was found under, and is bounded.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Range;

use super::found::{Counted, Found, Way};
use super::walk::Exchange;
use crate::config::Config;
use crate::event::Outcome;
use crate::limits::EVENT_GROUPS_MAX;
use crate::pipeline::access::recorded::{self, Ask};
use crate::pipeline::guard;
use crate::policy::{AccessClient, AccessRules, DecidedBy, Operation, ResourceKind, Rights};
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
    verdicts: HashMap<(i16, Operation, ResourceKind, Option<i32>), Verdict>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    Allowed,
    /// The row it is counted in; none: there are too many.
    Denied(Option<usize>),
}

/// Two policies, and what came of them so far.
pub(super) struct Bench {
    in_force: AccessRules,
    tried: AccessRules,
    /// Listeners that forward what changes who may do what.
    open_listeners: BTreeSet<String>,
    narrowed: Narrowed,
    clients: HashMap<Client, Known>,
    pub(super) found: Found,
}

impl Bench {
    pub(super) fn new(config: &Config, tried: AccessRules, narrowed: Narrowed) -> Bench {
        let open = config.listeners.iter().filter(|listener| listener.allow_security_changes);
        Bench {
            in_force: config.policy.snapshot.access.clone(),
            tried,
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
        let rights = |rules: &AccessRules| rules.rights_of(&client.as_rules_see_it());
        let (in_force, tried) = (rights(&self.in_force), rights(&self.tried));
        let maybe_narrowed =
            self.narrowed.issuers.contains(&client.issuer) || self.narrowed.subjects.contains(&client.subject);
        Known {
            in_force,
            tried,
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
        let asked = recorded::asks(request.api_key, &request.items, &exchange.response.items);
        not_judged.unnamed_topics += u64::from(asked.unnamed > 0);
        not_judged.items_omitted += u64::from(request.items_omitted > 0);
        if asked.asks.is_empty() {
            return;
        }
        self.found.looked_at.judged += 1;
        not_judged.maybe_narrowed += u64::from(known.maybe_narrowed);
        not_judged.groups_omitted += u64::from(known.client.groups.len() >= EVENT_GROUPS_MAX);
        let now_s = i64::try_from(exchange.at_ns / 1_000_000_000).unwrap_or(i64::MAX);
        known.at(now_s);
        let (mut denied, mut allowed) = (false, false);
        for ask in &asked.asks {
            match known.verdict(request.api_key, ask, now_s, &mut self.found) {
                Verdict::Same => {}
                Verdict::Allowed => allowed = true,
                Verdict::Denied(row) => {
                    denied = true;
                    let Client { groups, address, .. } = &known.client;
                    let refused = exchange.response.outcome == Outcome::Refused;
                    let (api_key, at_ns) = (request.api_key, exchange.at_ns);
                    let counted = Counted { api_key, at_ns, refused, groups, address: *address };
                    row.iter().for_each(|row| self.found.count(*row, &counted));
                }
            }
        }
        self.found.newly_denied += u64::from(denied);
        self.found.newly_allowed += u64::from(allowed);
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

    fn verdict(&mut self, api_key: i16, ask: &Ask<'_>, now_s: i64, found: &mut Found) -> Verdict {
        if !self.names.contains_key(ask.name) {
            if self.names.len() >= NAMES_MAX {
                self.names.clear();
            }
            let mut rights = [&self.in_force, &self.tried].into_iter().flatten();
            let is_parted = ask.kind == ResourceKind::Topic && rights.any(|rights| rights.is_partitioned(ask.name));
            self.names.insert(ask.name.into(), OfName { is_parted, verdicts: HashMap::new() });
        }
        let Some(of_name) = self.names.get_mut(ask.name) else { return Verdict::Same };
        let partition = ask.partition.filter(|_| of_name.is_parted);
        let key = (api_key, ask.operation, ask.kind, partition);
        if let Some(verdict) = of_name.verdicts.get(&key) {
            return *verdict;
        }
        if of_name.verdicts.len() >= VERDICTS_MAX {
            of_name.verdicts.clear();
        }
        let was = self.in_force.as_ref().is_none_or(|rights| ask.decide(rights, now_s).allowed);
        let decision = self.tried.as_ref().map(|rights| ask.decide(rights, now_s));
        let verdict = match (was, decision) {
            (true, Some(decision)) if !decision.allowed => {
                let rule = match decision.by {
                    DecidedBy::Rule { number, .. } => Some(number),
                    _ => None,
                };
                Verdict::Denied(found.row_of(self.client.way(ask, partition, rule), self.client.address))
            }
            (false, decision) if decision.is_none_or(|decision| decision.allowed) => Verdict::Allowed,
            _ => Verdict::Same,
        };
        of_name.verdicts.insert(key, verdict);
        verdict
    }
}

impl Client {
    fn way(&self, ask: &Ask<'_>, partition: Option<i32>, rule: Option<usize>) -> Way {
        Way {
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            client_id: self.client_id.clone(),
            listener: self.listener.clone(),
            operation: ask.operation,
            kind: ask.kind,
            name: ask.name.to_owned(),
            partition,
            rule,
        }
    }
}
