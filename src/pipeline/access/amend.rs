//! What is done with an answer: what its reader may not know of goes, what Weir answers itself comes in.

use std::collections::HashSet;

use super::standing::Standing;
use super::{TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION};
use crate::limits;
use crate::pipeline::describe::TopicDirectory;
use crate::policy::Operation;
use crate::wire::kafka::items::{self, Item};
use crate::wire::kafka::layout::{Group, Role};
use crate::wire::kafka::listing::{self, Reader};
use crate::wire::kafka::records::Record;
use crate::wire::kafka::records::body::{self, Frame, FrameBounds, Partitions, Treatment};
use crate::wire::kafka::records::locate::Topic;
use crate::wire::kafka::records::rewrite::{Bounds, Refusal, Replacement, Rewriter, Verdict};
use crate::wire::kafka::tree::Content;
use crate::wire::kafka::walk::Malformed;

/// What is changed in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amends {
    /// It names what its reader may not know of, or says what the reader may do.
    pub listing: bool,
    /// What Weir answers.
    pub items: Vec<Item>,
    /// Of topics it may name these alone, which were asked for; others are left out, and what is not there is said to be so.
    pub only: Option<Vec<String>>,
}

impl Amends {
    /// These and what was to be changed already.
    pub fn with(mut self, earlier: Option<Box<Amends>>) -> Self {
        if let Some(earlier) = earlier {
            self.listing |= earlier.listing;
            self.items.extend(earlier.items);
            self.only = self.only.or(earlier.only);
        }
        self
    }
}

/// An answer's body as its reader may have it; none where it stays as it came. Without a standing nothing is hidden from it.
pub fn amend(
    amends: &Amends,
    api_key: i16,
    version: i16,
    body: &[u8],
    standing: Option<&mut Standing>,
    topics: &dyn TopicDirectory,
) -> Result<Option<Vec<u8>>, Malformed> {
    let mut shown = None;
    let mut missing = Vec::new();
    let standing = standing.filter(|_| amends.listing);
    if standing.is_some() || amends.only.is_some() {
        let only = amends.only.as_ref().map(|only| only.iter().map(String::as_str).collect());
        let mut reader = Asker { standing, topics, only, met: HashSet::new() };
        shown = listing::for_reader(api_key, version, body, &mut reader)?;
        missing = reader.missing();
    }
    if amends.items.is_empty() && missing.is_empty() {
        return Ok(shown);
    }
    let all = amends.items.iter().chain(&missing);
    items::put_into(api_key, version, shown.as_deref().unwrap_or(body), all).map(Some)
}

/// Who asked for topics by name, and has not asked for others.
struct Asker<'a> {
    standing: Option<&'a mut Standing>,
    topics: &'a dyn TopicDirectory,
    only: Option<HashSet<&'a str>>,
    met: HashSet<String>,
}

impl Asker<'_> {
    fn missing(self) -> Vec<Item> {
        let absent = self.only.unwrap_or_default().into_iter().filter(|name| !self.met.contains(*name));
        let item = |name: &str| Item {
            of: Group::Topic,
            names: vec![(Role::Topic, Content::Text(Some(name.into())))],
            code: UNKNOWN_TOPIC_OR_PARTITION,
            message: None,
            items: Vec::new(),
        };
        absent.map(item).collect()
    }
}

impl Reader for Asker<'_> {
    fn knows(&mut self, role: Role, name: &str) -> bool {
        if let Some(only) = self.only.as_ref().filter(|_| role == Role::Topic) {
            if !only.contains(name) {
                return false;
            }
            self.met.insert(name.to_owned());
        }
        self.standing.as_mut().is_none_or(|standing| standing.knows(role, name))
    }

    fn knows_topic(&mut self, id: &[u8; 16]) -> bool {
        match self.topics.name(id) {
            Some(name) => self.knows(Role::Topic, &name),
            None => self.standing.is_none(),
        }
    }

    fn may(&mut self, named: Option<(Role, &str)>) -> i32 {
        self.standing.as_mut().map_or(-1, |standing| standing.may(named))
    }
}

/// Takes records out of an answer that was asked for under other rights: those of topics that may not be read any more.
pub fn without_unreadable(
    frame: &mut Frame<'_>,
    standing: &mut Standing,
    topics: &dyn TopicDirectory,
    rewriter: &mut Rewriter,
) -> Result<(), Malformed> {
    // No record is rewritten: they pass, or they do not.
    let batch =
        Bounds { inflated: limits::MASKED_INFLATED_BYTES_MAX, batch: limits::MASKED_BATCH_BYTES_MAX, may_drop: false };
    let bounds = FrameBounds { batch, rewritten: limits::MASKED_FRAME_BYTES_MAX, may_cut: false };
    body::rewrite(frame, rewriter, &bounds, &mut Readable { standing, topics })
}

struct Readable<'a> {
    standing: &'a mut Standing,
    topics: &'a dyn TopicDirectory,
}

impl Partitions for Readable<'_> {
    fn begin(&mut self, topic: &Topic, partition: i32) -> Treatment {
        let name = match topic {
            Topic::Name(name) => Some(name.clone()),
            Topic::Id(id) => self.topics.name(id),
        };
        let may = name.is_some_and(|name| match self.standing.is_partitioned(&name) {
            false => self.standing.topic(&name).contains(Operation::Read),
            true => self.standing.partition(&name, partition).contains(Operation::Read),
        });
        if may { Treatment::Pass } else { Treatment::Refuse }
    }

    fn record(&mut self, _: &Record<'_>, _: &mut Replacement) -> Verdict {
        Verdict::Keep
    }

    fn refused(&mut self, _: &Topic, _: i32, _: Option<&Refusal>) -> Option<i16> {
        Some(TOPIC_AUTHORIZATION_FAILED)
    }
}
