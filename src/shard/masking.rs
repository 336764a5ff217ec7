//! What masks the records of a connection: rules looked up once it is known who it acts for, buffers shared by a shard.
//!
//! Invariants:
//! - Where there are no rules, nothing here costs more than a look at an option.
//! - What is kept of a look-up was found when it was known who the connection acts for, and what it calls itself.

use super::connection::Connection;
use super::runtime::Runtime;
use crate::pipeline::masking::plans::ClientPlans;
use crate::pipeline::masking::{self, Masked, Masking, On, Tools};
use crate::policy::MaskClient;
use crate::wire::kafka::api;
use crate::wire::kafka::records::body::Frame;
use crate::wire::kafka::records::locate::Topic;
use crate::wire::kafka::walk::Malformed;

impl<R: Runtime> Connection<R> {
    /// Whether a rule may apply to records of this client's that go this way.
    pub fn masks(&self, on: On) -> bool {
        self.shard.policy.borrow().masking.is_some()
            && self.with_masking(|masking| masking.is_some_and(|masking| masking.any(on)))
    }

    /// Whether what it fetches has to be gathered, to be masked or for the recording's sake.
    pub fn masks_what_it_reads(&self) -> bool {
        self.masks(On::Fetch) || (self.masks(On::Recording) && self.scope().is_some())
    }

    /// Whether what it produces has to be gathered, to be masked or for the recording's sake.
    pub fn masks_what_it_writes(&self) -> bool {
        self.masks(On::Produce) || (self.masks(On::Recording) && self.scope().is_some())
    }

    /// Masks the records of a frame.
    pub fn mask<'a>(&self, frame: Frame<'a>, on: On) -> Result<Masked<'a>, Malformed> {
        let api = api::name(frame.api_key);
        let masked = self.with_masking(|masking| match masking {
            None => Ok(Masked { frame: frame.bytes, refused: Vec::new() }),
            Some(masking) => {
                let mut rewriter = self.shard.rewriter.borrow_mut();
                masking::mask(frame, on, &mut Tools { masking, rewriter: &mut rewriter, topics: self })
            }
        })?;
        let (listener, peer, connection) = (&self.door.listener.name, self.peer, self.number.0);
        for refused in &masked.refused {
            let (topic, partition, why) = (name(&refused.topic), refused.partition, &refused.why);
            tracing::warn!(listener, %peer, connection, api, topic, partition, ?on, "records do not pass, {why}");
            metrics::counter!("weir_masking_refused_total", "listener" => listener.clone()).increment(1);
        }
        Ok(masked)
    }

    fn with_masking<T>(&self, run: impl FnOnce(Option<&mut ClientPlans>) -> T) -> T {
        let mut masking = self.masking.borrow_mut();
        if self.login.borrow().who.is_none() || self.client_id.get().is_none() {
            // What was looked up before it is known who it acts for holds for this once.
            *masking = None;
        }
        let masking = masking.get_or_insert_with(|| {
            let login = self.login.borrow();
            let groups = login.who.as_ref().map_or(&[][..], |who| &who.principal.groups);
            let client_id = self.client_id.get().map(String::as_str).filter(|id| !id.is_empty());
            let listener = &self.door.listener.name;
            let client = MaskClient { listener, groups, client_id, consumer_groups: &[] };
            self.shard.policy.borrow().masking.as_ref().and_then(|plans| plans.of(&client))
        });
        run(masking.as_mut())
    }
}

fn name(topic: &Topic) -> String {
    match topic {
        Topic::Name(name) => name.to_string(),
        Topic::Id(id) => uuid::Uuid::from_bytes(*id).to_string(),
    }
}
