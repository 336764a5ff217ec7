//! Where masking meets the exchange: which frames may have to be masked, and what becomes of them.
//!
//! What masks records is behind [`Masking`], in the gateway [`plans`]; how frames and batches are rewritten is `wire/kafka/records/`. An exchange
//! whose records a rule may apply to is gathered; for whom no rule can apply, nothing here is asked a second time.
//!
//! Invariants:
//! - What a rule applies to never passes raw: where records cannot be read, or the name behind a topic's id is not known,
//!   their partition goes on without any and says why.
//! - What is recorded is masked as rules say of recordings, whoever it is that reads, on top of what they say of them.
//! - A produced record is never left out: its batch's count is its range of offsets.
//!
//! A produced partition that is refused goes on to the broker with no records at all. Brokers answer that with an error,
//! write nothing, and treat the other partitions as ever; in the answer the error is replaced by ours.

pub mod plans;

use std::borrow::Cow;

use super::access::UNKNOWN_TOPIC_ID;
use super::describe::TopicDirectory;
use crate::limits;
use crate::wire::kafka::api::key;
use crate::wire::kafka::compression::InflateError;
use crate::wire::kafka::layout::Direction;
use crate::wire::kafka::listing::TOPIC_AUTHORIZATION_FAILED;
use crate::wire::kafka::records::Record;
use crate::wire::kafka::records::body::{self, Frame, FrameBounds, Partitions, Refused, Treatment};
use crate::wire::kafka::records::locate::Topic;
use crate::wire::kafka::records::rewrite::{Bounds, Refusal, Replacement, Rewriter, Verdict};
use crate::wire::kafka::records::{RecordsError, locate};
use crate::wire::kafka::walk::Malformed;
use crate::wire::wipe;

/// Kafka's UNKNOWN_SERVER_ERROR.
const UNKNOWN_SERVER_ERROR: i16 = -1;
/// Kafka's CORRUPT_MESSAGE.
const CORRUPT_MESSAGE: i16 = 2;
/// Kafka's MESSAGE_TOO_LARGE.
const MESSAGE_TOO_LARGE: i16 = 10;
/// Kafka's POLICY_VIOLATION.
const POLICY_VIOLATION: i16 = 44;
/// Kafka's INVALID_RECORD.
const INVALID_RECORD: i16 = 87;

pub use crate::policy::Direction as On;

/// What the records in frames of an API are to whoever sends the request; none where there are none.
pub fn records_in(api_key: i16) -> Option<On> {
    let carries = |direction| locate::carries_records(api_key, direction);
    if carries(Direction::Request) { Some(On::Produce) } else { carries(Direction::Response).then_some(On::Fetch) }
}

/// What masks records for the client at hand.
pub trait Masking {
    /// Whether a rule may apply to records of any topic. Asked for each exchange that may carry records.
    fn any(&self, on: On) -> bool;
    /// Whether a rule applies to records of this topic; those that follow are its.
    fn choose(&mut self, on: On, topic: &str) -> bool;
    /// Masks a record of the topic chosen last.
    fn record(&mut self, record: &Record<'_>, with: &mut Replacement) -> Verdict;
}

/// A frame as it goes on.
#[derive(Debug)]
pub struct Masked<'a> {
    /// Its bytes: those that came, unless one of them changed.
    pub frame: Cow<'a, [u8]>,
    /// The partitions that go without their records.
    pub refused: Vec<Refused>,
}

/// What masking needs besides the frame.
pub struct Tools<'a> {
    /// What masks.
    pub masking: &'a mut dyn Masking,
    /// What rewrites batches; it may serve all connections of a shard.
    pub rewriter: &'a mut Rewriter,
    /// Topic names by id.
    pub topics: &'a dyn TopicDirectory,
}

/// Masks the records of a frame. An error means that its body leaves its layout, and nothing of it may pass.
pub fn mask<'a>(mut frame: Frame<'a>, on: On, tools: &mut Tools<'_>) -> Result<Masked<'a>, Malformed> {
    let bounds = FrameBounds {
        batch: Bounds {
            inflated: limits::MASKED_INFLATED_BYTES_MAX,
            batch: limits::MASKED_BATCH_BYTES_MAX,
            may_drop: frame.direction == Direction::Response || on == On::Recording,
        },
        rewritten: limits::MASKED_FRAME_BYTES_MAX,
        // Of a ShareFetch the client would take what is not there for lost, and say so.
        may_cut: on == On::Fetch && frame.api_key == key::FETCH,
    };
    let Tools { masking, rewriter, topics } = tools;
    let mut judge = Judge { on, masking: &mut **masking, topics: *topics, refused: Vec::new() };
    body::rewrite(&mut frame, rewriter, &bounds, &mut judge).inspect_err(|_| {
        // What does not pass stays nowhere either.
        if let Cow::Owned(bytes) = &mut frame.bytes {
            wipe(bytes);
        }
    })?;
    Ok(Masked { frame: frame.bytes, refused: judge.refused })
}

/// Ids of topics in a whole Produce that have no name yet: rules are by name. At most as many as a request is held up for.
pub fn unnamed(version: i16, body: &[u8], topics: &dyn TopicDirectory) -> Vec<[u8; 16]> {
    let mut unnamed = Vec::new();
    locate::each_topic_id(key::PRODUCE, version, Direction::Request, body, &mut |id| {
        let is_new = id != [0; 16] && !unnamed.contains(&id) && topics.name(&id).is_none();
        if is_new && unnamed.len() < limits::EVENT_ITEMS_MAX {
            unnamed.push(id);
        }
    });
    unnamed
}

struct Judge<'a> {
    on: On,
    masking: &'a mut dyn Masking,
    topics: &'a dyn TopicDirectory,
    refused: Vec<Refused>,
}

impl Partitions for Judge<'_> {
    fn begin(&mut self, topic: &Topic, _partition: i32) -> Treatment {
        let applies = match topic {
            Topic::Name(name) => self.masking.choose(self.on, name),
            Topic::Id(id) => match self.topics.name(id) {
                Some(name) => self.masking.choose(self.on, &name),
                None => return Treatment::Refuse,
            },
        };
        if applies { Treatment::Rewrite } else { Treatment::Pass }
    }

    fn record(&mut self, record: &Record<'_>, with: &mut Replacement) -> Verdict {
        self.masking.record(record, with)
    }

    fn refused(&mut self, topic: &Topic, partition: i32, why: Option<&Refusal>) -> Option<i16> {
        let code = code(self.on, why);
        let why = match why {
            None => "weir: the topic's name is not known yet, and rules are by name".into(),
            Some(refusal) => format!("weir: {refusal}").into(),
        };
        self.refused.push(Refused { topic: topic.clone(), partition, code, why });
        (self.on == On::Fetch).then_some(code)
    }
}

/// What a client is told. Of what it reads: the error that makes every client stop and say so; most retry, skip or hang
/// on others.
fn code(on: On, why: Option<&Refusal>) -> i16 {
    let Some(refusal) = why else { return UNKNOWN_TOPIC_ID };
    match (on, refusal) {
        (_, Refusal::Checksum) => CORRUPT_MESSAGE,
        (On::Produce, Refusal::Grown { .. } | Refusal::FrameGrown { .. })
        | (On::Produce, Refusal::Unreadable(RecordsError::Inflate(InflateError::TooLarge { .. }))) => MESSAGE_TOO_LARGE,
        (On::Produce, Refusal::Unreadable(_)) => INVALID_RECORD,
        (On::Produce, Refusal::OldFormat(_) | Refusal::ByRule { .. }) => POLICY_VIOLATION,
        (On::Produce, Refusal::Deflate(_)) => UNKNOWN_SERVER_ERROR,
        (On::Fetch | On::Recording, _) => TOPIC_AUTHORIZATION_FAILED,
    }
}

/// A Fetch or ShareFetch that asks for no more than can be gathered: brokers answer with less, as they may anyway.
pub fn cap_fetch<'a>(api_key: i16, version: i16, frame: Cow<'a, [u8]>, body_at: usize) -> Cow<'a, [u8]> {
    body::cap_max_bytes(api_key, version, frame, body_at, limits::MASKED_FETCH_BYTES_MAX)
}

#[cfg(test)]
mod tests;
