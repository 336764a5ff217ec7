//! All requests and what came of them; every change goes through here, one at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::claims::{Claims, StoredClaims};
use super::grants::GrantListed;
use super::view::{self, CaseView};
use super::{ApprovalError, rows};
use crate::control::notices::{NoticeKind, Outbox};
use crate::limits;
use crate::policy::{
    AccessRequest, Action, ActionEffect, Answer, Ask, Case, Digest, DigestKey, Listener, Open, OpenTable, Origin,
    Person, RequestState, Requester, ReviewDecision, Revoked, Said, Terms, Use, short_id,
};
use crate::recorder::AccessStore;

/// Finds out what an action would come to.
pub trait Effects: Send + Sync {
    /// Comes back at once; `done` is told later, from any thread.
    fn find_out(&self, action: &Action, done: Box<dyn FnOnce(ActionEffect) + Send>);
}

/// What a registry works with.
pub struct RegistryOptions {
    /// Where everything is kept.
    pub store: AccessStore,
    /// Where others are told of it.
    pub outbox: Outbox,
    /// The address of the page on which people decide, without a slash at its end; none where there is none.
    pub url: Option<String>,
    /// How long what is over is kept, ns.
    pub kept_ns: u64,
    /// What time it is, ns since the Unix epoch.
    pub clock: fn() -> u64,
}

impl RegistryOptions {
    /// By the machine's own clock.
    pub fn new(store: AccessStore, outbox: Outbox, url: Option<String>, kept: std::time::Duration) -> RegistryOptions {
        let kept_ns = u64::try_from(kept.as_nanos()).unwrap_or(u64::MAX);
        RegistryOptions { store, outbox, url, kept_ns, clock: crate::control::tokens::now_ns }
    }
}

/// A decision as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDecision {
    /// What is said.
    #[schema(value_type = crate::control::api::schema::Said)]
    pub said: Said,
    /// In the reviewer's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// An approval for no longer than this, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_s: Option<u64>,
    /// An approval of no more uses than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

/// What is asked for beforehand.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// Who asks.
    pub requester: Requester,
    /// For what.
    pub action: Action,
    /// The rules that would hold it.
    pub terms: Vec<Terms>,
    /// Why.
    pub reason: Option<String>,
}

/// Requests, decisions and grants of one store.
pub struct Registry {
    pub(super) options: RegistryOptions,
    claims: Box<dyn Claims>,
    key: DigestKey,
    kept: Mutex<Kept>,
    open: ArcSwap<OpenTable>,
    effects: std::sync::OnceLock<Arc<dyn Effects>>,
}

/// Who wants to do what.
type Doing = (Person, Digest);

#[derive(Default)]
pub(super) struct Kept {
    pub(super) cases: HashMap<String, Case>,
    /// Ids by who wants to do what, in the order in which they were asked for.
    by_doing: HashMap<Doing, Vec<String>>,
    /// Who waits for a request to be decided.
    waiting: HashMap<String, Vec<Box<dyn Listener>>>,
}

impl Registry {
    /// Reads what the store has.
    pub fn open(options: RegistryOptions) -> Result<Registry, ApprovalError> {
        let key = rows::digest_key(&options.store)?;
        let mut kept = Kept::default();
        let mut cases = rows::load(&options.store)?;
        cases.sort_by(|a, b| (a.request.created_ns, &a.request.id).cmp(&(b.request.created_ns, &b.request.id)));
        cases.into_iter().for_each(|case| kept.add(case));
        let claims = Box::new(StoredClaims::of(options.store.clone()));
        let effects = std::sync::OnceLock::new();
        let registry = Registry { options, claims, key, kept: Mutex::new(kept), open: ArcSwap::default(), effects };
        registry.publish(&registry.kept(), registry.now_ns());
        Ok(registry)
    }

    /// From now on effects are found out.
    pub fn find_effects_with(&self, effects: Arc<dyn Effects>) {
        // Only the first counts, and there is one.
        let _ = self.effects.set(effects);
    }

    /// The key of digests.
    pub fn key(&self) -> DigestKey {
        self.key.clone()
    }

    /// Times that are open.
    pub fn open_times(&self) -> Arc<OpenTable> {
        self.open.load_full()
    }

    /// Claims a use of a grant, or joins a pending request, or makes one. The listener is told at once, and again when a
    /// pending one is decided. What has no effect yet has it found out.
    pub fn ask(self: &Arc<Self>, ask: Ask, listener: Box<dyn Listener>) {
        let now_ns = self.now_ns();
        let mut kept = self.kept();
        let (answer, made) = self.answer(&mut kept, &ask, now_ns).unwrap_or_else(cannot_ask);
        let Answer::Pending { request, .. } = &answer else { return listener.tell(answer) };
        let waiting = kept.waiting.entry(request.clone()).or_default();
        waiting.retain(|listener| !listener.is_gone());
        listener.tell(answer.clone());
        waiting.push(listener);
        drop(kept);
        if made {
            self.find_effect(request, &ask.action);
        }
    }

    /// The same for whoever asks again by themselves, instead of being told what was decided.
    pub fn ask_once(self: &Arc<Self>, ask: &Ask) -> Answer {
        let answered = self.answer(&mut self.kept(), ask, self.now_ns());
        let (answer, made) = answered.unwrap_or_else(cannot_ask);
        if let (Answer::Pending { request, .. }, true) = (&answer, made) {
            self.find_effect(request, &ask.action);
        }
        answer
    }

    /// The answer, and whether a request was made for it.
    fn answer(&self, kept: &mut Kept, ask: &Ask, now_ns: u64) -> Result<(Answer, bool), ApprovalError> {
        let doing = (ask.requester.person.clone(), ask.digest);
        let ids = kept.by_doing.get(&doing).cloned().unwrap_or_default();
        let cases = ids.iter().filter_map(|id| kept.cases.get(id)).filter(|case| case.covers(&ask.terms));
        let cases: Vec<&Case> = cases.collect();
        let open = cases.iter().find(|case| ask.action.operation.goes_on() && case.open_until(now_ns).is_some());
        if let Some(answer) = open.and_then(|case| granted(case)) {
            return Ok((answer, false));
        }
        if let Some(id) = cases.iter().find(|case| case.may_be_used(now_ns)).map(|case| case.request.id.clone()) {
            let approved = Answer::Approved { request: id.clone() };
            let answer = if ask.claim { self.claim(kept, &id, ask, now_ns)? } else { approved };
            return Ok((answer, false));
        }
        let latest = cases.last().map(|case| (case.request.id.clone(), case.state(now_ns), denied_at(case)));
        match latest {
            Some((id, RequestState::Pending, _)) => self.join(kept, &id, ask).map(|answer| (answer, false)),
            Some((id, RequestState::Denied, Some(at_ns)))
                if now_ns < at_ns.saturating_add(limits::DENIAL_STANDS_NS) =>
            {
                let why =
                    kept.cases.get(&id).and_then(|case| case.decisions.last()).and_then(|last| last.comment.clone());
                Ok((Answer::Denied { request: id, why }, false))
            }
            _ => self.make(kept, ask, now_ns),
        }
    }

    fn claim(&self, kept: &mut Kept, id: &str, ask: &Ask, now_ns: u64) -> Result<Answer, ApprovalError> {
        let lost = || Answer::Refused("its grant is used up".to_owned());
        let Some(case) = kept.cases.get_mut(id) else { return Ok(lost()) };
        let Some(grant) = case.grant.clone() else { return Ok(lost()) };
        let claim = Use { at_ns: now_ns, by: ask.connection.clone() };
        let data = view::notice(case, now_ns, self.options.url.as_deref(), None);
        let notice = self.options.outbox.prepare(NoticeKind::GrantUsed, data);
        let place = self.claims.add(&grant.id, &claim, vec![notice.change()])?;
        case.uses.push(claim);
        if place >= u64::from(grant.uses) {
            return Ok(lost());
        }
        tracing::info!(request = id, grant = grant.id, by = %ask.requester.person, "a grant is used: {}", ask.action);
        let answer = Answer::Granted { request: id.to_owned(), grant: grant.id };
        self.publish(kept, now_ns);
        Ok(answer)
    }

    fn join(&self, kept: &mut Kept, id: &str, ask: &Ask) -> Result<Answer, ApprovalError> {
        if let Some(reason) = &ask.reason
            && kept.cases.get(id).is_some_and(|case| case.request.reason.is_none())
        {
            self.set_reason(kept, id, reason)?;
        }
        Ok(kept.cases.get(id).map_or_else(|| Answer::Refused(String::new()), |case| self.pending(case)))
    }

    fn make(&self, kept: &mut Kept, ask: &Ask, now_ns: u64) -> Result<(Answer, bool), ApprovalError> {
        let own = |case: &&Case| case.request.requester.person == ask.requester.person;
        let pending = kept.cases.values().filter(|case| case.state(now_ns) == RequestState::Pending);
        let (all, own) = pending.fold((0, 0), |(all, mine), case| (all + 1, mine + usize::from(own(&case))));
        if own >= limits::PENDING_REQUESTS_OF_ONE_MAX || all >= limits::PENDING_REQUESTS_MAX {
            let why = format!("{own} requests of {} are undecided already, {all} of all", ask.requester.person);
            return Ok((Answer::Refused(why), false));
        }
        let expires_s = ask.terms.iter().map(|terms| terms.expires_s).min().unwrap_or(0);
        let reason = ask.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
        let request = AccessRequest {
            id: kept.free_id()?,
            created_ns: now_ns,
            expires_ns: now_ns.saturating_add(expires_s.saturating_mul(1_000_000_000)),
            requester: ask.requester.clone(),
            origin: ask.origin.clone(),
            action: ask.action.clone(),
            digest: ask.digest,
            terms: ask.terms.clone(),
            reason: reason.map(|reason| view::cut(reason, limits::APPROVAL_TEXT_BYTES_MAX)),
            effect: None,
            expiry_told: false,
        };
        let case = Case { request, decisions: Vec::new(), grant: None, uses: Vec::new() };
        let data = view::notice(&case, now_ns, self.options.url.as_deref(), None);
        let notice = self.options.outbox.prepare(NoticeKind::RequestCreated, data);
        self.options.store.write([rows::request(&case.request)?, notice.change()])?;
        tracing::info!(
            request = case.request.id, by = %ask.requester.person, cluster = ask.action.cluster,
            "held for approval: {}", ask.action
        );
        let answer = self.pending(&case);
        kept.add(case);
        Ok((answer, true))
    }

    /// Asks for something beforehand; answers with the request.
    pub fn file(self: &Arc<Self>, new: NewRequest) -> Result<CaseView, ApprovalError> {
        let NewRequest { requester, action, terms, reason } = new;
        if terms.is_empty() {
            return Err(ApprovalError::Request(
                "no approval rule holds this: it can be done without asking".to_owned(),
            ));
        }
        if !action.can_be_shown() {
            let why = "it says more than a reviewer can be shown, or of one thing twice how; ask for less at a time";
            return Err(ApprovalError::Request(why.to_owned()));
        }
        let digest = action.digest(&self.key, &[]);
        let ask = Ask {
            requester,
            origin: Origin::default(),
            action,
            digest,
            terms,
            reason,
            connection: String::new(),
            claim: false,
        };
        let now_ns = self.now_ns();
        let mut kept = self.kept();
        let doing = (ask.requester.person.clone(), ask.digest);
        let ids = kept.by_doing.get(&doing).cloned().unwrap_or_default();
        let joins = |case: &Case| case.state(now_ns) == RequestState::Pending && case.covers(&ask.terms);
        let pending = ids.iter().rev().find(|id| kept.cases.get(*id).is_some_and(joins));
        let answer = match pending {
            Some(id) => (self.join(&mut kept, id, &ask)?, false),
            None => self.make(&mut kept, &ask, now_ns)?,
        };
        let (id, made) = match answer {
            (Answer::Pending { request, .. }, made) => (request, made),
            (Answer::Refused(why), _) => return Err(ApprovalError::Request(why)),
            (answer, _) => return Err(ApprovalError::Request(format!("{answer:?}"))),
        };
        let view = self.view_of(&kept, &id, now_ns);
        drop(kept);
        if made {
            self.find_effect(&id, &ask.action);
        }
        view
    }

    /// Takes a decision of somebody's.
    pub fn decide(&self, id: &str, by: Requester, new: NewDecision) -> Result<CaseView, ApprovalError> {
        let now_ns = self.now_ns();
        let mut kept = self.kept();
        let case = kept.cases.get(id).ok_or_else(|| ApprovalError::NotFound(id.to_owned()))?;
        let NewDecision { said, comment, valid_s, uses } = new;
        let comment = comment.map(|text| view::cut(&text, limits::APPROVAL_TEXT_BYTES_MAX));
        let decision = ReviewDecision { request: id.to_owned(), by, said, at_ns: now_ns, comment, valid_s, uses };
        case.why_not(&decision)?;
        let grant = case.granted_by(&decision, format!("g-{}", random_id()?)).filter(|_| case.grant.is_none());
        let mut next = case.clone();
        next.decisions.push(decision.clone());
        next.grant = next.grant.or(grant.clone());
        let kind = if said == Said::BreakGlass { NoticeKind::BreakGlass } else { NoticeKind::RequestDecided };
        let data = view::notice(&next, now_ns, self.options.url.as_deref(), Some(&decision));
        let notice = self.options.outbox.prepare(kind, data);
        let mut changes = vec![rows::decision(&decision, case.decisions.len())?, notice.change()];
        changes.extend(grant.as_ref().map(rows::grant).transpose()?);
        self.options.store.write(changes)?;
        drop(notice);
        tracing::info!(request = id, by = %decision.by.person, said = ?said, "{}", next.request.action);
        let state = next.state(now_ns);
        kept.cases.insert(id.to_owned(), next);
        if state != RequestState::Pending {
            let answer = match state {
                RequestState::Approved => Answer::Approved { request: id.to_owned() },
                _ => Answer::Denied { request: id.to_owned(), why: decision.comment },
            };
            kept.waiting.remove(id).into_iter().flatten().for_each(|listener| listener.tell(answer.clone()));
        }
        self.view_of(&kept, id, now_ns)
    }

    /// Takes a grant back, by its own id or its request's.
    pub fn revoke(&self, id: &str, by: &Requester, reason: Option<String>) -> Result<CaseView, ApprovalError> {
        let now_ns = self.now_ns();
        let mut kept = self.kept();
        let is_it = |case: &&Case| {
            let named = |grant: &crate::policy::Grant| grant.id == id || grant.request == id;
            case.grant.as_ref().is_some_and(|grant| named(grant) && grant.is_good(now_ns))
        };
        let case = kept.cases.values().find(is_it).ok_or_else(|| ApprovalError::NoGrant(id.to_owned()))?;
        let own = case.request.requester.person.is_the_same_as(&by.person);
        if !own && !case.request.terms.iter().any(|terms| terms.approvers.has_a_say(&by.groups)) {
            let why = format!("not revoked: {} neither asked for it nor has a say in it", by.person);
            return Err(ApprovalError::NotYours(why));
        }
        let (request, mut next) = (case.request.id.clone(), case.clone());
        let reason = reason.map(|text| view::cut(&text, limits::APPROVAL_TEXT_BYTES_MAX));
        if let Some(grant) = &mut next.grant {
            grant.revoked = Some(Revoked { by: by.person.clone(), at_ns: now_ns, reason });
            let revoked = rows::grant(grant)?;
            let data = view::notice(&next, now_ns, self.options.url.as_deref(), None);
            let notice = self.options.outbox.prepare(NoticeKind::GrantRevoked, data);
            self.options.store.write([revoked, notice.change()])?;
        }
        tracing::info!(request, by = %by.person, "a grant is revoked: {}", next.request.action);
        kept.cases.insert(request.clone(), next);
        self.publish(&kept, now_ns);
        self.view_of(&kept, &request, now_ns)
    }

    /// Adds the reason to a request that has none yet.
    pub fn give_reason(&self, id: &str, by: &Requester, reason: &str) -> Result<CaseView, ApprovalError> {
        let now_ns = self.now_ns();
        let mut kept = self.kept();
        let case = kept.cases.get(id).ok_or_else(|| ApprovalError::NotFound(id.to_owned()))?;
        if !case.request.requester.person.is_the_same_as(&by.person) {
            return Err(ApprovalError::NotYours(format!(
                "{} did not ask for {id}: its reason is for others to give",
                by.person
            )));
        }
        if case.request.reason.is_some() || case.state(now_ns) != RequestState::Pending {
            let why = format!("{id} has a reason already, or is decided: what reviewers read is not changed");
            return Err(ApprovalError::Request(why));
        }
        self.set_reason(&mut kept, id, reason)?;
        self.view_of(&kept, id, now_ns)
    }

    fn set_reason(&self, kept: &mut Kept, id: &str, reason: &str) -> Result<(), ApprovalError> {
        let Some(case) = kept.cases.get_mut(id) else { return Ok(()) };
        let reason = Some(view::cut(reason, limits::APPROVAL_TEXT_BYTES_MAX));
        let next = AccessRequest { reason, ..case.request.clone() };
        self.options.store.write([rows::request(&next)?])?;
        case.request = next;
        Ok(())
    }

    /// The effect may be told at once: nothing of the registry is held then.
    fn find_effect(self: &Arc<Self>, id: &str, action: &Action) {
        let Some(effects) = self.effects.get() else { return };
        let (registry, id) = (Arc::clone(self), id.to_owned());
        effects.find_out(action, Box::new(move |effect| registry.set_effect(&id, effect)));
    }

    fn set_effect(&self, id: &str, effect: ActionEffect) {
        let mut kept = self.kept();
        let Some(case) = kept.cases.get_mut(id) else { return };
        let next = AccessRequest { effect: Some(effect), ..case.request.clone() };
        match rows::request(&next).and_then(|row| Ok(self.options.store.write([row])?)) {
            Ok(()) => case.request = next,
            Err(error) => tracing::error!(request = id, "the effect of a request cannot be kept: {error}"),
        }
    }

    /// All requests, the newest first.
    pub fn list(&self) -> Vec<CaseView> {
        let now_ns = self.now_ns();
        let kept = self.kept();
        let mut cases: Vec<&Case> = kept.cases.values().collect();
        cases.sort_by(|a, b| (b.request.created_ns, &b.request.id).cmp(&(a.request.created_ns, &a.request.id)));
        cases.into_iter().map(|case| CaseView::of(case, now_ns, self.options.url.as_deref())).collect()
    }

    /// All grants, whatever became of them, the latest first.
    pub fn grants(&self) -> Vec<GrantListed> {
        let (now_ns, kept) = (self.now_ns(), self.kept());
        let mut grants: Vec<GrantListed> =
            kept.cases.values().filter_map(|case| GrantListed::of(case, now_ns)).collect();
        grants.sort_by(|a, b| (b.from_ns, &b.id).cmp(&(a.from_ns, &a.id)));
        grants
    }

    /// One request, with past ones that are like it.
    pub fn get(&self, id: &str) -> Result<CaseView, ApprovalError> {
        self.view_of(&self.kept(), id, self.now_ns())
    }

    fn view_of(&self, kept: &Kept, id: &str, now_ns: u64) -> Result<CaseView, ApprovalError> {
        let case = kept.cases.get(id).ok_or_else(|| ApprovalError::NotFound(id.to_owned()))?;
        let mut view = CaseView::of(case, now_ns, self.options.url.as_deref());
        view.similar = view::similar(case, kept.cases.values(), now_ns);
        Ok(view)
    }

    fn pending(&self, case: &Case) -> Answer {
        let request = &case.request;
        let needs_reason = request.reason.is_none() && request.terms.iter().any(|terms| terms.reason_required);
        let url = self.options.url.as_deref().map(|url| view::link(url, &request.id));
        Answer::Pending { request: request.id.clone(), url, needs_reason }
    }

    fn publish(&self, kept: &Kept, now_ns: u64) {
        let open = kept.cases.values().filter_map(|case| {
            let until_ns = case.open_until(now_ns).filter(|_| case.request.action.operation.goes_on())?;
            let AccessRequest { id, requester, digest, terms, .. } = &case.request;
            let (request, person, terms) = (id.clone(), requester.person.clone(), terms.clone());
            Some(Open { request, person, digest: *digest, terms, until_ns })
        });
        self.open.store(Arc::new(OpenTable(open.collect())));
    }

    pub(super) fn now_ns(&self) -> u64 {
        (self.options.clock)()
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// An id that no request has: what it grants stands under it.
    fn free_id(&self) -> Result<String, ApprovalError> {
        loop {
            let id = format!("r-{}", random_id()?);
            if !self.cases.contains_key(&id) {
                return Ok(id);
            }
        }
    }

    fn add(&mut self, case: Case) {
        let doing = (case.request.requester.person.clone(), case.request.digest);
        self.by_doing.entry(doing).or_default().push(case.request.id.clone());
        self.cases.insert(case.request.id.clone(), case);
    }

    pub(super) fn remove(&mut self, id: &str) {
        let Some(case) = self.cases.remove(id) else { return };
        let doing = (case.request.requester.person, case.request.digest);
        if let Some(ids) = self.by_doing.get_mut(&doing) {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                self.by_doing.remove(&doing);
            }
        }
        self.waiting.remove(id);
    }
}

/// What whoever asks is told where the store fails.
fn cannot_ask(error: ApprovalError) -> (Answer, bool) {
    tracing::error!("an approval cannot be asked for: {error}");
    (Answer::Refused("the gateway cannot keep requests at the moment".to_owned()), false)
}

fn granted(case: &Case) -> Option<Answer> {
    let grant = case.grant.as_ref()?;
    Some(Answer::Granted { request: case.request.id.clone(), grant: grant.id.clone() })
}

fn denied_at(case: &Case) -> Option<u64> {
    case.decisions.iter().find(|decision| decision.said == Said::Deny).map(|decision| decision.at_ns)
}

fn random_id() -> Result<String, ApprovalError> {
    let mut random = [0; 5];
    getrandom::fill(&mut random).map_err(ApprovalError::Random)?;
    Ok(short_id(random))
}
