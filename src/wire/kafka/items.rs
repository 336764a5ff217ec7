//! Items that Weir answers in the broker's place: put into the broker's answer, where it got only part of a request, or into
//! one of Weir's own, where it got nothing.
//!
//! What an answer's item looks like is read from its layout, so there is one writer for every API and version. The error
//! stands where a broker puts it: at the element where that has a place for one, else at each partition in it.
//!
//! Invariants:
//! - What the broker answered stays byte for byte, but for counts around what is put in.
//! - Fields that say nothing are what Kafka writes beside an error: no offset, no leader, nothing in it.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::api;
use super::edit::Edits;
use super::fields::put_unsigned_varint;
use super::frame::FrameWriter;
use super::layout::{self, Direction, Element, Field, Group, Kind, Message, Role};
use super::tree::{Array, Content, Node, Tree};
use super::walk::{Fault, Malformed, Span, Walker};

/// An item of a request, and what its asker is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub of: Group,
    /// Its names and numbers as the request has them.
    pub names: Vec<(Role, Content)>,
    /// Its error code; 0 where only items in it have one.
    pub code: i16,
    /// What goes beside the code, where there is a place for it.
    pub message: Option<String>,
    /// Items in it.
    pub items: Vec<Item>,
}

impl Item {
    /// A node of a request, with everything in it that is an item too, under one error code.
    pub fn of(node: &Node, of: Element, code: i16, message: Option<&str>) -> Item {
        let inner = node.arrays.iter().flat_map(|array| {
            array.nodes.iter().map(|node| Item::of(node, array.of, code, message)).collect::<Vec<_>>()
        });
        Item { items: inner.collect(), code, message: message.map(str::to_owned), ..Item::around(node, of) }
    }

    /// A node of a request without anything in it and without an error. What is named by an id is that and nothing else: a
    /// name beside it would be its asker's invention.
    pub fn around(node: &Node, of: Element) -> Item {
        let by_id = node.topic_id().is_some();
        let said = node.fields.iter().filter(|(role, ..)| !(by_id && *role == Role::Topic));
        let names = said.map(|(role, content, _)| (*role, content.clone())).collect();
        Item { of: group(of), names, code: 0, message: None, items: Vec::new() }
    }

    /// What tells it from others of its kind.
    fn key(&self) -> Option<Key<'_>> {
        let named = |role: Role| self.names.iter().find(|(of, _)| *of == role).map(|(role, content)| (*role, content));
        match self.of {
            Group::Topic => [named(Role::TopicId), named(Role::Topic)].into_iter().flatten().find(says).map(Key::one),
            Group::Resource => Some(Key(named(Role::ResourceName)?, named(Role::ResourceType))),
            of => named(role_of(of)?).map(Key::one),
        }
    }
}

/// What tells an element from others of its kind.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct Key<'a>((Role, &'a Content), Option<(Role, &'a Content)>);

impl<'a> Key<'a> {
    fn one(name: (Role, &'a Content)) -> Self {
        Key(name, None)
    }

    /// The keys under which an element of an answer is found: a topic's name and its id.
    fn all_of(node: &'a Node, of: Group) -> Vec<Self> {
        let named =
            |role: Role| node.fields.iter().find(|(of, ..)| *of == role).map(|(role, content, _)| (*role, content));
        match of {
            Group::Topic => {
                let both = [named(Role::TopicId), named(Role::Topic)].into_iter().flatten();
                both.filter(says).map(Key::one).collect()
            }
            Group::Resource => {
                named(Role::ResourceName).map(|name| Key(name, named(Role::ResourceType))).into_iter().collect()
            }
            of => role_of(of).and_then(named).map(Key::one).into_iter().collect(),
        }
    }
}

/// Whether it is a name at all.
fn says((_, content): &(Role, &Content)) -> bool {
    match content {
        Content::Text(text) => text.as_deref().is_some_and(|text| !text.is_empty()),
        Content::Id(id) => *id != [0; 16],
        Content::Number(_) => true,
    }
}

/// The role of the name that elements of a kind bear.
fn role_of(of: Group) -> Option<Role> {
    match of {
        Group::Group => Some(Role::GroupId),
        Group::Transaction => Some(Role::TransactionalId),
        Group::Coordinator => Some(Role::CoordinatorKey),
        Group::Partition => Some(Role::Partition),
        _ => None,
    }
}

/// What elements stand for, be they structures or bare names.
fn group(of: Element) -> Group {
    match of {
        Element::Group(group) => group,
        Element::Value(Role::GroupId) => Group::Group,
        Element::Value(Role::TransactionalId) => Group::Transaction,
        Element::Value(Role::CoordinatorKey) => Group::Coordinator,
        Element::Value(Role::Partition) => Group::Partition,
        Element::Value(_) => Group::Topic,
    }
}

/// The body of an answer with these items in it as well. Where there is no place for one of them the answer counts as one that
/// leaves its layout: it may not be passed on as if they had been done.
pub fn put_into<'i>(
    api_key: i16,
    version: i16,
    body: &[u8],
    items: impl IntoIterator<Item = &'i Item>,
) -> Result<Vec<u8>, Malformed> {
    let items: Vec<&Item> = items.into_iter().collect();
    let walker = Walker::response(api_key, version, body.len() as u64);
    let placeless = || walker.map_or(NO_LAYOUT, |walker| walker.malformed(Fault::Missing));
    // Partitions of an answer matter only where some of a topic go to it.
    let partitions = items.iter().any(|item| !item.items.is_empty());
    let tree = Tree::read(api_key, version, Direction::Response, body, partitions)?;
    let Some((tree, message)) = tree.zip(message(api_key)) else { return Err(placeless()) };
    let mut maker = Maker { flexible: message.is_flexible(version), version, body: Vec::new() };
    let mut edits = tree.edits();
    let put = maker.put(&tree.root, &message.fields, &items, &mut edits);
    put.map(|()| edits.splice(body)).ok_or_else(placeless)
}

/// Said of an answer that has no layout at all.
const NO_LAYOUT: Malformed = Malformed {
    api_key: -1,
    message: "unknown API",
    direction: Direction::Response,
    version: -1,
    field: "body",
    offset: 0,
    fault: Fault::Missing,
};

/// The frame of an answer that holds these items and nothing else; none where there is no place for one of them.
pub fn answer(api_key: i16, version: i16, correlation_id: i32, items: &[Item]) -> Option<Bytes> {
    let api = api::lookup(api_key)?;
    let message = message(api_key).filter(|message| message.versions.contains(version))?;
    let mut maker = Maker { flexible: message.is_flexible(version), version, body: Vec::new() };
    maker.structure(&message.fields, None, items)?;
    let mut frame = FrameWriter::response(correlation_id, api.response_header_version(version));
    frame.body().extend_from_slice(&maker.body);
    frame.finish()
}

/// Whether an answer has room for words beside its errors.
pub fn has_words(api_key: i16, version: i16) -> bool {
    fn says(fields: &[Field], version: i16) -> bool {
        let there = fields.iter().filter(|field| field.versions.contains(version));
        there.into_iter().any(|field| field.role == Some(Role::ErrorMessage) || says(&field.fields, version))
    }
    message(api_key).is_some_and(|message| says(&message.fields, version))
}

/// An element of an answer's array for this item alone.
pub(super) fn element(api_key: i16, version: i16, item: &Item) -> Option<Vec<u8>> {
    let message = message(api_key)?;
    let mut maker = Maker { flexible: message.is_flexible(version), version, body: Vec::new() };
    let field = message.fields.iter().find(|field| element_of(field).is_some_and(|of| group(of) == item.of))?;
    maker.structure(&field.fields, Some(item), &item.items)?;
    Some(maker.body)
}

fn message(api_key: i16) -> Option<&'static Message> {
    layout::messages().iter().find(|m| m.api_key == api_key && m.direction == Direction::Response)
}

struct Maker {
    flexible: bool,
    version: i16,
    body: Vec<u8>,
}

impl Maker {
    /// Edits what is there already: items go to the element of their name where there is one, else behind the others.
    fn put(&mut self, node: &Node, fields: &'static [Field], items: &[&Item], edits: &mut Edits) -> Option<()> {
        let mut placed = 0;
        for (array, field) in pairs(node, fields, self.version) {
            let of = group(array.of);
            let ours: Vec<&Item> = items.iter().copied().filter(|item| item.of == of).collect();
            if ours.is_empty() {
                continue;
            }
            placed += ours.len();
            let keyed = array
                .nodes
                .iter()
                .enumerate()
                .flat_map(|(at, node)| Key::all_of(node, of).into_iter().map(move |k| (k, at)));
            let there: HashMap<Key<'_>, usize> = keyed.collect();
            // A request may name a thing twice: what is in it goes there together.
            let mut within: BTreeMap<usize, Vec<&Item>> = BTreeMap::new();
            let (mut made, mut new) = (Vec::new(), 0);
            for item in ours {
                if let Some(at) = item.key().and_then(|key| there.get(&key)) {
                    within.entry(*at).or_default().extend(&item.items);
                    continue;
                }
                self.body.clear();
                self.structure(&field.fields, Some(item), &item.items)?;
                made.append(&mut self.body);
                new += 1;
            }
            for (at, items) in within.into_iter().filter(|(_, items)| !items.is_empty()) {
                self.put(&array.nodes[at], &field.fields, &items, edits)?;
            }
            if new > 0 {
                edits.count(array.at, array.count.unwrap_or(0).checked_add(new)?);
                edits.replace(Span { start: array.end(), end: array.end() }, made);
            }
        }
        (placed == items.len()).then_some(())
    }

    /// Fields in a row: those of an item, or of the answer itself where there is none.
    fn structure(&mut self, fields: &'static [Field], item: Option<&Item>, items: &[Item]) -> Option<()> {
        // One that is refused as a whole says nothing of what is in it, where it has a place to say so.
        let version = self.version;
        let says_so = |field: &Field| field.role == Some(Role::ErrorCode) && field.versions.contains(version);
        let whole = item.is_some_and(|item| item.code != 0) && fields.iter().any(says_so);
        let items = if whole { &[] } else { items };
        let mut left = items.len();
        for field in fields.iter().filter(|field| field.tag.is_none() && field.versions.contains(version)) {
            match element_of(field) {
                Some(of) if items.iter().any(|item| item.of == group(of)) => {
                    let ours: Vec<&Item> = items.iter().filter(|item| item.of == group(of)).collect();
                    left -= ours.len();
                    self.count(Some(ours.len()));
                    for item in ours {
                        self.structure(&field.fields, Some(item), &item.items)?;
                    }
                }
                _ => self.field(field, item),
            }
        }
        if self.flexible {
            self.body.push(0);
        }
        (left == 0).then_some(())
    }

    fn field(&mut self, field: &'static Field, item: Option<&Item>) {
        let nullable = field.nullable.is_some_and(|versions| versions.contains(self.version));
        if field.array {
            return self.count((!nullable).then_some(0));
        }
        let name = item.zip(field.role).and_then(|(item, role)| item.names.iter().find(|(named, _)| *named == role));
        match (field.kind, name.map(|(_, content)| content)) {
            (Kind::Structure, _) if nullable => self.body.push(0xff),
            (Kind::Structure, _) => {
                // A structure that is no element holds no items.
                let _ = self.structure(&field.fields, None, &[]);
            }
            (Kind::String, Some(Content::Text(text))) => self.text(text.as_deref().or((!nullable).then_some(""))),
            (Kind::String, _) if field.role == Some(Role::ErrorMessage) => {
                self.text(item.and_then(|item| item.message.as_deref()).filter(|_| nullable));
            }
            (Kind::String, _) => self.text((!nullable).then_some("")),
            // Kafka writes no null records beside an error.
            (Kind::Records, _) => self.count(Some(0)),
            (Kind::Bytes, _) => self.count((!nullable).then_some(0)),
            (Kind::Uuid, Some(Content::Id(id))) => self.body.extend_from_slice(id),
            (Kind::Uuid, _) => self.body.extend_from_slice(&[0; 16]),
            (kind, Some(Content::Number(number))) => self.number(kind, *number),
            (kind, _) => self.number(kind, nothing(field, item)),
        }
    }

    fn number(&mut self, kind: Kind, number: i64) {
        let width = kind.fixed_size().unwrap_or_default() as usize;
        let bytes = number.to_be_bytes();
        self.body.extend_from_slice(&bytes[bytes.len() - width.min(bytes.len())..]);
    }

    fn text(&mut self, text: Option<&str>) {
        let length = text.map(|text| text.len().min(i16::MAX as usize));
        match (self.flexible, length) {
            (true, _) => self.count(length),
            (false, length) => {
                self.body.extend_from_slice(&length.map_or(-1, |length| length as i16).to_be_bytes());
            }
        }
        let text = text.unwrap_or_default().as_bytes();
        self.body.extend_from_slice(&text[..length.unwrap_or(0)]);
    }

    /// A count of elements, or a length of anything but text in versions that are not flexible.
    fn count(&mut self, count: Option<usize>) {
        let count = count.map(|count| count as u32);
        match (self.flexible, count) {
            (true, count) => put_unsigned_varint(&mut self.body, count.map_or(0, |count| count + 1)),
            (false, count) => {
                self.body.extend_from_slice(&count.map_or(-1, |count| count as i32).to_be_bytes());
            }
        }
    }
}

/// The named arrays of a node, each with its field of the layout.
fn pairs<'t>(
    node: &'t Node,
    fields: &'static [Field],
    version: i16,
) -> impl Iterator<Item = (&'t Array, &'static Field)> {
    node.arrays.iter().filter_map(move |array| {
        let is_it = |field: &&Field| element_of(field) == Some(array.of) && field.versions.contains(version);
        Some((array, fields.iter().find(is_it)?))
    })
}

/// What a field's elements are, where it is an array of something named.
fn element_of(field: &Field) -> Option<Element> {
    let of = field.group.map(Element::Group).or(field.role.map(Element::Value));
    of.filter(|_| field.array)
}

/// What a number says where there is nothing to be said.
fn nothing(field: &Field, item: Option<&Item>) -> i64 {
    match field.role {
        Some(Role::ErrorCode) => item.map_or(0, |item| item.code.into()),
        Some(Role::AuthorizedOperations) => i32::MIN.into(),
        Some(Role::Offset | Role::BaseOffset | Role::Timestamp | Role::HighWatermark | Role::LogStartOffset) => -1,
        Some(Role::LeaderId | Role::NodeId | Role::Port | Role::ProducerId | Role::Generation) => -1,
        None if MINUS_ONE.contains(&field.name) => -1,
        _ => 0,
    }
}

/// Numbers without a role that are -1 by default in Kafka's own messages. A `PreferredReadReplica` of 0 would send readers
/// to broker 0, and one that reads what is committed takes a `LastStableOffset` of 0 for the end of the partition.
const MINUS_ONE: [&str; 5] =
    ["PreferredReadReplica", "LastStableOffset", "LeaderEpoch", "CommittedLeaderEpoch", "LogAppendTimeMs"];
