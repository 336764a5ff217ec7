//! What masks the records of a connection: rules looked up once it is known who it acts for, buffers shared by a shard.
//!
//! Where rules ask for consumer groups, what was looked up holds for those that its session is a member of, and is looked up
//! anew when they have changed.
//!
//! Invariants:
//! - Where there are no rules, nothing here costs more than a look at an option.
//! - What is kept of a look-up was found when it was known who the connection acts for, and what it calls itself.

use std::rc::Rc;
use std::sync::Arc;

use arc_swap::Guard;

use super::connection::Connection;
use super::members::{Groups, Session};
use super::runtime::Runtime;
use crate::limits;
use crate::pipeline::masking::plans::{ClientPlans, Plans};
use crate::pipeline::masking::{self, Masked, Masking, On, Tools};
use crate::pipeline::membership::ReadsFor;
use crate::policy::MaskClient;
use crate::wire::kafka::api;
use crate::wire::kafka::records::body::{Frame, Refused};
use crate::wire::kafka::records::locate::Topic;
use crate::wire::kafka::walk::Malformed;

/// What masks a connection's records; each none where no rule can ever apply.
pub(super) struct Masks {
    /// As long as it is not known for which group it reads: every rule about one holds.
    unknown: Option<ClientPlans>,
    /// Only where rules ask for groups.
    by_group: Option<ByGroup>,
}

struct ByGroup {
    session: Arc<Session>,
    /// Those that `plans` are for.
    groups: Arc<Groups>,
    plans: Option<ClientPlans>,
    /// The group that a request named last, and what masks what it reads.
    named: Option<(Arc<str>, Option<ClientPlans>)>,
}

impl<R: Runtime> Connection<R> {
    /// Whether a rule may apply to records of this client's that go this way.
    pub fn masks(&self, on: On, reads_for: ReadsFor<'_>) -> bool {
        self.shard.policy.borrow().masking.is_some()
            && self.with_masking(reads_for, |masking| masking.is_some_and(|masking| masking.any(on)))
    }

    /// Whether what it fetches has to be gathered, to be masked or for the recording's sake.
    pub fn masks_what_it_reads(&self) -> bool {
        self.masks(On::Fetch, ReadsFor::Unknown)
            || (self.masks(On::Recording, ReadsFor::Unknown) && self.scope().is_some())
    }

    /// Whether what it produces has to be gathered, to be masked or for the recording's sake.
    pub fn masks_what_it_writes(&self) -> bool {
        self.masks(On::Produce, ReadsFor::Unknown)
            || (self.masks(On::Recording, ReadsFor::Unknown) && self.scope().is_some())
    }

    /// Masks the records of a frame.
    pub fn mask<'a>(&self, frame: Frame<'a>, on: On, reads_for: ReadsFor<'_>) -> Result<Masked<'a>, Malformed> {
        let api = api::name(frame.api_key);
        let masked = self.with_masking(reads_for, |masking| match masking {
            None => Ok(Masked { frame: frame.bytes, refused: Vec::new() }),
            Some(masking) => {
                let mut rewriter = self.shard.rewriter.borrow_mut();
                masking::mask(frame, on, &mut Tools { masking, rewriter: &mut rewriter, topics: self })
            }
        })?;
        if !masked.refused.is_empty() {
            self.tell_of_refused(api, on, &masked.refused);
        }
        Ok(masked)
    }

    fn tell_of_refused(&self, api: &str, on: On, all: &[Refused]) {
        let (listener, peer, connection) = (&self.door.listener.name, self.peer, self.number.0);
        for refused in all.iter().take(limits::REFUSED_TOLD) {
            let (topic, partition, why) = (name(&refused.topic), refused.partition, &refused.why);
            tracing::warn!(listener, %peer, connection, api, topic, partition, ?on, "records do not pass, {why}");
        }
        if let Some(more) = all.len().checked_sub(limits::REFUSED_TOLD).filter(|more| *more > 0) {
            tracing::warn!(listener, %peer, connection, api, ?on, "records of {more} more partitions do not pass");
        }
        metrics::counter!("weir_masking_refused_total", "listener" => listener.clone()).increment(all.len() as u64);
    }

    fn with_masking<T>(&self, reads_for: ReadsFor<'_>, run: impl FnOnce(Option<&mut ClientPlans>) -> T) -> T {
        if self.login.borrow().who.is_none() || self.client_id.get().is_none() {
            // What is looked up before it is known who it acts for holds for this once.
            return run(self.plans_for(&[]).as_mut());
        }
        let mut masks = self.masking.borrow_mut();
        let Masks { unknown, by_group } = masks.get_or_insert_with(|| Masks {
            unknown: self.plans_for(&[]),
            by_group: self.asks_for_groups().then(|| self.by_group()).flatten(),
        });
        run(match (by_group, reads_for) {
            (None, _) | (_, ReadsFor::Unknown) => unknown,
            (Some(by_group), ReadsFor::Session) => self.of_session(by_group),
            (Some(by_group), ReadsFor::Group(group)) => self.of_group(by_group, group),
        }
        .as_mut())
    }

    fn by_group(&self) -> Option<ByGroup> {
        let session = self.session()?;
        let groups = Guard::into_inner(session.groups());
        let plans = self.plans_for(&groups);
        Some(ByGroup { session, groups, plans, named: None })
    }

    fn of_session<'a>(&self, by_group: &'a mut ByGroup) -> &'a mut Option<ClientPlans> {
        let groups = by_group.session.groups();
        if !Arc::ptr_eq(&groups, &by_group.groups) {
            by_group.plans = self.plans_for(&groups);
            by_group.groups = Guard::into_inner(groups);
        }
        &mut by_group.plans
    }

    fn of_group<'a>(&self, by_group: &'a mut ByGroup, group: &Arc<str>) -> &'a mut Option<ClientPlans> {
        let named = by_group.named.take().filter(|(name, _)| name == group);
        let named = named.unwrap_or_else(|| (group.clone(), self.plans_for(std::slice::from_ref(group))));
        &mut by_group.named.insert(named).1
    }

    fn plans_for(&self, consumer_groups: &[Arc<str>]) -> Option<ClientPlans> {
        let login = self.login.borrow();
        let groups = login.who.as_ref().map_or(&[][..], |who| &who.principal.groups);
        let client_id = self.client_id.get().map(String::as_str).filter(|id| !id.is_empty());
        let listener = &self.door.listener.name;
        let client = MaskClient { listener, groups, client_id, consumer_groups };
        self.shard.policy.borrow().masking.as_ref().and_then(|plans: &Rc<Plans>| plans.of(&client))
    }
}

fn name(topic: &Topic) -> String {
    match topic {
        Topic::Name(name) => name.to_string(),
        Topic::Id(id) => uuid::Uuid::from_bytes(*id).to_string(),
    }
}
