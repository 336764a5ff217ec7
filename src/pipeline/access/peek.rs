//! Looks at the beginning of a Produce, to relay it where that is enough: it names one topic, and the rest is its records.

use super::standing::Standing;
use crate::pipeline::describe::TopicDirectory;
use crate::policy::{Operation, ResourceKind};
use crate::wire::kafka::api::key;
use crate::wire::kafka::layout::{Element, Group, Role};
use crate::wire::kafka::walk::{Span, Value, Visitor, Walker};

/// As far as a first topic's name may be: a transactional id and a topic id or name, each as long as Kafka takes one.
const LOOK_BYTES: usize = 1024;

/// Whether the beginning of a Produce's body says that all of it may be written. One that names several topics, or whose
/// first topic lies beyond the bytes at hand, has to be whole to be judged.
pub fn may_all_be_written(
    version: i16,
    beginning: &[u8],
    body_bytes: u64,
    standing: &mut Standing,
    topics: &dyn TopicDirectory,
) -> bool {
    let everywhere = |kind| standing.everywhere(kind).contains(Operation::Write);
    if everywhere(ResourceKind::Topic) && everywhere(ResourceKind::TransactionalId) {
        return true;
    }
    let Some(mut walker) = Walker::request(key::PRODUCE, version, body_bytes) else { return false };
    let mut look = Look { standing, topics, count: None, may: None, transactional: true };
    let beginning = &beginning[..beginning.len().min(LOOK_BYTES)];
    // What leaves its layout further on is seen by whoever relays it.
    let _ = walker.feed(beginning, &mut look);
    look.count == Some(1) && look.transactional && look.may == Some(true)
}

struct Look<'a> {
    standing: &'a mut Standing,
    topics: &'a dyn TopicDirectory,
    /// Topics that it says it names.
    count: Option<u32>,
    /// The first may be written.
    may: Option<bool>,
    /// The transactional id, if there is one, may be.
    transactional: bool,
}

impl Visitor for Look<'_> {
    fn value(&mut self, role: Role, value: Value<'_>, _: Span) {
        let may = |standing: &mut Standing, name: &str| standing.topic(name).contains(Operation::Write);
        match (role, value) {
            (Role::TransactionalId, Value::Text(Some(id))) => {
                self.transactional = self.standing.named(ResourceKind::TransactionalId, id).contains(Operation::Write);
            }
            (Role::Topic, Value::Text(Some(name))) if self.may.is_none() => self.may = Some(may(self.standing, name)),
            (Role::TopicId, Value::Uuid(id)) if self.may.is_none() => {
                self.may = Some(self.topics.name(&id).is_some_and(|name| may(self.standing, &name)));
            }
            _ => {}
        }
    }

    fn array(&mut self, of: Element, count: Option<u32>, _: Span) {
        if of == Element::Group(Group::Topic) && self.count.is_none() {
            self.count = Some(count.unwrap_or(0));
        }
    }

    fn wants_batches(&self) -> bool {
        false
    }
}
