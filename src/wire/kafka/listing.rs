//! Answers without what their reader may not know of: elements left out by their names, and what the reader may do with the
//! others brought down to what is true through Weir.
//!
//! Invariants:
//! - An element whose name is not shown is left out with all that is in it; a name alone in an array likewise.
//! - A described group of which something would have to be left out is described as brokers do it: by an error.
//! - What is shown stays byte for byte, but for counts and sizes around what is left out.

use super::api::key;
use super::edit::Edits;
use super::fields::Fields;
use super::items::{self, Item};
use super::layout::{Element, Group, Role};
use super::tree::Content;
use super::walk::{Fault, Malformed, Span, TaggedField, Value, Visitor, Walker};

/// Who reads an answer.
pub trait Reader {
    /// Whether the reader may know of what bears this name; the role says what kind of thing it is.
    fn knows(&mut self, role: Role, name: &str) -> bool;
    /// Whether the reader may know of the topic with this id, where nothing else names it.
    fn knows_topic(&mut self, id: &[u8; 16]) -> bool;
    /// What the reader may do, a bit for each of Kafka's operations: with what bears the name, or with the cluster.
    fn may(&mut self, named: Option<(Role, &str)>) -> i32;
}

/// What says that a structure which may be null is there; in its place for one that is not.
const PRESENT_BYTES: u64 = 1;
const NULL: u8 = 0xff;

/// Kafka's TOPIC_AUTHORIZATION_FAILED.
pub const TOPIC_AUTHORIZATION_FAILED: i16 = 29;

/// Not asked for, as brokers write it (KIP-430).
const NOT_ASKED: i64 = i32::MIN as i64;

/// An answer's body as its reader may have it; none when nothing in it changes.
pub fn for_reader(
    api_key: i16,
    version: i16,
    body: &[u8],
    reader: &mut dyn Reader,
) -> Result<Option<Vec<u8>>, Malformed> {
    let Some(mut walker) = Walker::response(api_key, version, body.len() as u64) else { return Ok(None) };
    let describes_groups =
        matches!(api_key, key::CONSUMER_GROUP_DESCRIBE | key::SHARE_GROUP_DESCRIBE | key::STREAMS_GROUP_DESCRIBE);
    let of = describes_groups.then_some((api_key, version));
    let edits = Edits::new(walker.is_flexible());
    let mut filter =
        Filter { reader, edits, describes_groups: of, arrays: Vec::new(), open: Vec::new(), hidden_cursor: None };
    walker.feed(body, &mut filter)?;
    walker.finish()?;
    filter.counts();
    if let Some(cursor) = filter.hidden_cursor.take() {
        // DescribeTopicPartitions' cursor names the topic to go on with: the listing ends there.
        let mut fields = Fields::whole(body.get(cursor.end as usize..).unwrap_or_default());
        fields.skip_tagged().map_err(|_| walker.malformed(Fault::PastTheEnd))?;
        let end = cursor.end + fields.position() as u64;
        filter.edits.replace(Span { start: cursor.start, end }, vec![NULL]);
    }
    Ok((!filter.edits.is_empty()).then(|| filter.edits.splice(body)))
}

struct Filter<'a> {
    reader: &'a mut dyn Reader,
    edits: Edits,
    /// API key and version, where whole groups are described.
    describes_groups: Option<(i16, i16)>,
    /// Arrays met so far; those of elements that were left out are forgotten.
    arrays: Vec<Counted>,
    /// The structures around what comes next.
    open: Vec<Open>,
    /// Where a cursor lies whose topic is not shown, up to its tagged section.
    hidden_cursor: Option<Span>,
}

struct Counted {
    of: Element,
    at: Span,
    count: u32,
    /// Values met so far, in an array of those.
    met: u32,
    left_out: u32,
}

struct Open {
    group: Group,
    at: u64,
    /// How much was collected when it began, to go back to when it is left out.
    edits: usize,
    arrays: usize,
    name: Option<(Role, Box<str>)>,
    /// The id of a topic, and whether the answer has a place for its name too, though it may be null.
    id: Option<[u8; 16]>,
    has_name: bool,
    hidden: bool,
    /// Something in it is.
    hides: bool,
}

impl Filter<'_> {
    fn named(&mut self, role: Role, name: &str, span: Span) {
        let value_of = |array: &&mut Counted| array.of == Element::Value(role) && array.met < array.count;
        if let Some(array) = self.arrays.last_mut().filter(|array| value_of(array)) {
            array.met += 1;
            if !name.is_empty() && !self.reader.knows(role, name) {
                array.left_out += 1;
                self.edits.replace(span, Vec::new());
                self.open.iter_mut().for_each(|open| open.hides = true);
            }
            return;
        }
        if self.open.is_empty() && role == Role::Topic && !self.reader.knows(role, name) {
            self.hidden_cursor = Some(Span { start: span.start - PRESENT_BYTES, end: span.end });
        }
        let Some(open) = self.open.last_mut().filter(|open| open.name.is_none() && bears(open.group, role)) else {
            return;
        };
        open.hidden = !name.is_empty() && !self.reader.knows(role, name);
        open.name = Some((role, name.into()));
    }

    fn operations(&mut self, bits: i64, span: Span) {
        if bits == NOT_ASKED {
            return;
        }
        let named = self.open.last().and_then(|open| open.name.as_ref());
        let may = self.reader.may(named.map(|(role, name)| (*role, &**name)));
        let both = bits & i64::from(may);
        if both != bits {
            self.edits.int(span, both);
        }
    }

    /// What stands for a described group that has to do with topics that are not shown.
    fn error_instead(&self, open: &Open) -> Option<Vec<u8>> {
        let (api_key, version) = self.describes_groups.filter(|_| open.hides && open.group == Group::Group)?;
        let (role, name) = open.name.as_ref()?;
        let message = "The group has to do with topics that its reader is not authorized to describe.".to_owned();
        let item = Item {
            of: Group::Group,
            names: vec![(*role, Content::Text(Some(name.clone())))],
            code: TOPIC_AUTHORIZATION_FAILED,
            message: Some(message),
            items: Vec::new(),
        };
        items::element(api_key, version, &item)
    }

    fn counts(&mut self) {
        for array in self.arrays.drain(..).filter(|array| array.left_out > 0) {
            self.edits.count(array.at, array.count - array.left_out);
        }
    }
}

/// Whether the name with this role is that of a structure of this group.
fn bears(group: Group, role: Role) -> bool {
    matches!(
        (group, role),
        (Group::Topic, Role::Topic)
            | (Group::Group, Role::GroupId)
            | (Group::Transaction, Role::TransactionalId)
            | (Group::Resource, Role::ResourceName)
    )
}

impl Visitor for Filter<'_> {
    fn value(&mut self, role: Role, value: Value<'_>, span: Span) {
        match value {
            Value::Text(name) => {
                if let Some(topic) = self.open.last_mut().filter(|open| bears(open.group, role)) {
                    topic.has_name = true;
                }
                name.into_iter().for_each(|name| self.named(role, name, span));
            }
            Value::Uuid(id) if role == Role::TopicId => {
                let topic = self.open.last_mut().filter(|open| open.group == Group::Topic);
                topic.into_iter().for_each(|topic| topic.id = Some(id));
            }
            Value::Int(bits) if role == Role::AuthorizedOperations => self.operations(bits, span),
            Value::Int(_) if role == Role::Partition && self.open.is_empty() => {
                self.hidden_cursor.iter_mut().for_each(|cursor| cursor.end = span.end);
            }
            _ => {}
        }
    }

    fn array(&mut self, of: Element, count: Option<u32>, at: Span) {
        self.arrays.push(Counted { of, at, count: count.unwrap_or(0), met: 0, left_out: 0 });
    }

    fn open(&mut self, group: Group, at: u64) {
        let (edits, arrays) = (self.edits.mark(), self.arrays.len());
        self.open.push(Open {
            group,
            at,
            edits,
            arrays,
            name: None,
            id: None,
            has_name: false,
            hidden: false,
            hides: false,
        });
    }

    fn close(&mut self, group: Group, at: u64) {
        let Some(mut open) = self.open.pop() else { return };
        if let Some(id) = open.id.filter(|_| !open.has_name) {
            open.hidden = !self.reader.knows_topic(&id);
        }
        let instead = if open.hidden { Some(Vec::new()) } else { self.error_instead(&open) };
        let Some(instead) = instead else { return };
        self.edits.take_back(open.edits);
        self.arrays.truncate(open.arrays);
        self.edits.replace(Span { start: open.at, end: at }, instead);
        if !open.hidden {
            return;
        }
        self.open.iter_mut().for_each(|open| open.hides = true);
        if let Some(array) = self.arrays.iter_mut().rev().find(|array| array.of == Element::Group(group)) {
            array.left_out += 1;
        }
    }

    fn tagged(&mut self, field: TaggedField) {
        self.edits.tagged(field);
    }
}
