//! Where the records lie in the body of a Produce request, or of a Fetch or ShareFetch response, of any version.

use std::ops::Range;
use std::sync::Arc;

use crate::wire::kafka::api::key;
use crate::wire::kafka::layout::{Direction, Group, Role};
use crate::wire::kafka::walk::{Malformed, Span, Value, Visitor, Walker};

/// How a body names a topic (KIP-516).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// By its name.
    Name(Arc<str>),
    /// By its id.
    Id([u8; 16]),
}

/// The records of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordsField {
    /// The topic.
    pub topic: Topic,
    /// The partition's index.
    pub partition: i32,
    /// Where the records lie in the body, without their length.
    pub span: Range<usize>,
    /// The same with their length.
    pub(super) field: Span,
    /// Where the partition's error code lies, in a response.
    pub(super) error: Option<Span>,
}

/// What was found in a body.
#[derive(Debug)]
pub struct Located {
    /// Every records field that is not null, in the body's order.
    pub fields: Vec<RecordsField>,
    /// Why the walk ended before the body did.
    pub fault: Option<Malformed>,
}

/// Whether records lie in bodies of this API and direction.
pub fn carries_records(api_key: i16, direction: Direction) -> bool {
    match direction {
        Direction::Request => api_key == key::PRODUCE,
        Direction::Response => matches!(api_key, key::FETCH | key::SHARE_FETCH),
    }
}

/// Finds the records in a whole body (headers excluded). The records themselves are not looked into, so that they may
/// be anything; none where the version has no layout.
pub fn locate(api_key: i16, version: i16, direction: Direction, body: &[u8]) -> Option<Located> {
    let mut walker = match direction {
        Direction::Request => Walker::request(api_key, version, body.len() as u64)?,
        Direction::Response => Walker::response(api_key, version, body.len() as u64)?,
    };
    let mut finder = Finder { topic: None, partition: 0, error: None, fields: Vec::new() };
    let walked = walker.feed(body, &mut finder).and_then(|()| walker.finish());
    Some(Located { fields: finder.fields, fault: walked.err() })
}

/// Tells every topic id that a whole body names.
pub fn each_topic_id(api_key: i16, version: i16, direction: Direction, body: &[u8], tell: &mut dyn FnMut([u8; 16])) {
    struct Ids<'a>(&'a mut dyn FnMut([u8; 16]));
    impl Visitor for Ids<'_> {
        fn value(&mut self, role: Role, value: Value<'_>, _: Span) {
            if let (Role::TopicId, Value::Uuid(id)) = (role, value) {
                (self.0)(id);
            }
        }

        fn wants_batches(&self) -> bool {
            false
        }
    }
    let walker = match direction {
        Direction::Request => Walker::request(api_key, version, body.len() as u64),
        Direction::Response => Walker::response(api_key, version, body.len() as u64),
    };
    // Where it leaves its layout, whoever reads the body itself says so.
    let _ = walker.map(|mut walker| walker.feed(body, &mut Ids(tell)));
}

struct Finder {
    topic: Option<Topic>,
    partition: i32,
    error: Option<Span>,
    fields: Vec<RecordsField>,
}

impl Visitor for Finder {
    fn value(&mut self, role: Role, value: Value<'_>, span: Span) {
        match (role, value) {
            (Role::Topic, Value::Text(Some(name))) => self.topic = Some(Topic::Name(Arc::from(name))),
            (Role::TopicId, Value::Uuid(id)) => self.topic = Some(Topic::Id(id)),
            (Role::Partition, Value::Int(index)) => self.partition = i32::try_from(index).unwrap_or(-1),
            // The first one: ShareFetch has another, of the acknowledgements that came with the request.
            (Role::ErrorCode, Value::Int(_)) => self.error = self.error.or(Some(span)),
            (_, Value::Records(Some(length))) => {
                let (Some(topic), Ok(end)) = (&self.topic, usize::try_from(span.end)) else { return };
                let (topic, partition, error) = (topic.clone(), self.partition, self.error);
                let content = end.saturating_sub(length as usize)..end;
                self.fields.push(RecordsField { topic, partition, span: content, field: span, error });
            }
            _ => {}
        }
    }

    fn open(&mut self, group: Group, _at: u64) {
        match group {
            Group::Topic => self.topic = None,
            Group::Partition => self.error = None,
            _ => {}
        }
    }

    fn wants_batches(&self) -> bool {
        false
    }
}
