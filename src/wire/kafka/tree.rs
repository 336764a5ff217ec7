//! What a whole body names, as a tree: its topics, groups, resources and, where they are asked for, partitions. For whoever
//! takes some of them out of a request, or puts some into an answer.
//!
//! Invariants:
//! - What is not named by a role or a group of the layout is in no node: it moves with what surrounds it.
//! - The tree is as deep as the layout, and as wide as the body's own counts, up to a limit: beyond it there is no tree, since an
//!   element may take one byte of a body and a hundred here.

use super::edit::Edits;
use super::layout::{Direction, Element, Group, Role};
use super::walk::{Malformed, Span, TaggedField, Value, Visitor, Walker};

/// Elements that a tree has at most: several times the topics of a large cluster.
pub const NODES_MAX: usize = 32 * 1024;

/// A body's names.
#[derive(Debug)]
pub struct Tree {
    /// The body itself.
    pub root: Node,
    flexible: bool,
    tagged: Vec<TaggedField>,
}

/// An element of an array, or the body itself.
#[derive(Debug, Default)]
pub struct Node {
    /// Where it lies in the body.
    pub span: Option<Span>,
    /// Its own fields, those of elements in it excluded.
    pub fields: Vec<(Role, Content, Span)>,
    /// Arrays of named elements in it.
    pub arrays: Vec<Array>,
}

/// A field's content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content {
    /// A string, or null.
    Text(Option<Box<str>>),
    /// A UUID.
    Id([u8; 16]),
    /// A number, or a truth value as 0 or 1.
    Number(i64),
}

/// An array of named elements.
#[derive(Debug)]
pub struct Array {
    /// What they are.
    pub of: Element,
    /// How many the body says there are; none for a null array.
    pub count: Option<u32>,
    /// Where the count is written.
    pub at: Span,
    /// The elements, as many as the count says.
    pub nodes: Vec<Node>,
}

impl Array {
    /// Where the array ends.
    pub fn end(&self) -> u64 {
        self.nodes.last().and_then(|node| node.span).map_or(self.at.end, |span| span.end)
    }
}

impl Node {
    /// The number with this role.
    pub fn number(&self, role: Role) -> Option<(i64, Span)> {
        self.fields.iter().find_map(|(of, content, span)| match content {
            Content::Number(number) if *of == role => Some((*number, *span)),
            _ => None,
        })
    }

    /// The text with this role, unless it is null.
    pub fn text(&self, role: Role) -> Option<&str> {
        self.fields.iter().find_map(|(of, content, _)| match content {
            Content::Text(Some(text)) if *of == role => Some(&**text),
            _ => None,
        })
    }

    /// Its topic id, unless it is all zeros, which stands for none.
    pub fn topic_id(&self) -> Option<[u8; 16]> {
        self.fields.iter().find_map(|(of, content, _)| match content {
            Content::Id(id) if *of == Role::TopicId && *id != [0; 16] => Some(*id),
            _ => None,
        })
    }
}

impl Tree {
    /// Reads a whole body (headers excluded), with its partitions or without; none where the version has no layout, and where
    /// there are more than [`NODES_MAX`] elements.
    pub fn read(
        api_key: i16,
        version: i16,
        direction: Direction,
        body: &[u8],
        partitions: bool,
    ) -> Result<Option<Tree>, Malformed> {
        let walker = match direction {
            Direction::Request => Walker::request(api_key, version, body.len() as u64),
            Direction::Response => Walker::response(api_key, version, body.len() as u64),
        };
        let Some(mut walker) = walker else { return Ok(None) };
        let open = vec![Node::default()];
        let mut builder = Builder { open, passed_over: 0, partitions, tagged: Vec::new(), nodes: 0 };
        walker.feed(body, &mut builder)?;
        walker.finish()?;
        if builder.nodes > NODES_MAX {
            return Ok(None);
        }
        let root = builder.open.swap_remove(0);
        Ok(Some(Tree { root, flexible: walker.is_flexible(), tagged: builder.tagged }))
    }

    /// Edits of this body, none yet.
    pub(super) fn edits(&self) -> Edits {
        let mut edits = Edits::new(self.flexible);
        self.tagged.iter().for_each(|field| edits.tagged(*field));
        edits
    }

    /// Edits of this body: for whoever takes elements out of it.
    pub fn without(&self) -> Without<'_> {
        Without { edits: self.edits(), tree: self }
    }
}

/// A body in the making that lacks some of its elements.
pub struct Without<'t> {
    edits: Edits,
    tree: &'t Tree,
}

impl Without<'_> {
    /// How much has been edited: to be given back to [`Without::take_back`].
    pub fn mark(&self) -> usize {
        self.edits.mark()
    }

    /// Forgets the edits since the mark.
    pub fn take_back(&mut self, mark: usize) {
        self.edits.take_back(mark);
    }

    /// Takes these elements out of their array, by their places in it.
    pub fn take_out(&mut self, array: &Array, places: &[usize]) {
        let spans = places.iter().filter_map(|place| array.nodes.get(*place)?.span);
        spans.for_each(|span| self.edits.replace(span, Vec::new()));
        if let (Some(count), false) = (array.count, places.is_empty()) {
            self.edits.count(array.at, count.saturating_sub(places.len() as u32));
        }
    }

    /// Starts over with all of an array taken out: it is empty then, or null.
    pub fn only_without_all_of(&mut self, array: &Array, null: bool) {
        self.edits = self.tree.edits();
        let count: i32 = if null { -1 } else { 0 };
        let count = if self.tree.flexible { vec![(count + 1) as u8] } else { count.to_be_bytes().to_vec() };
        self.edits.replace(Span { start: array.at.start, end: array.end() }, count);
    }

    /// Writes another number in the place of one.
    pub fn number(&mut self, at: Span, number: i64) {
        self.edits.int(at, number);
    }

    /// The body without them.
    pub fn done(self, body: &[u8]) -> Vec<u8> {
        self.edits.splice(body)
    }
}

struct Builder {
    /// The nodes that surround what comes next, the body first.
    open: Vec<Node>,
    /// Depth of structures that are in no node.
    passed_over: u32,
    partitions: bool,
    tagged: Vec<TaggedField>,
    /// How many elements there are; those beyond [`NODES_MAX`] are counted only.
    nodes: usize,
}

impl Builder {
    fn wants(&self, group: Group) -> bool {
        match group {
            Group::Topic | Group::Group | Group::Resource | Group::Transaction | Group::Coordinator => true,
            Group::Partition => self.partitions,
            _ => false,
        }
    }

    fn wants_value(&self, role: Role) -> bool {
        match role {
            Role::Topic | Role::TopicId | Role::GroupId | Role::TransactionalId | Role::CoordinatorKey => true,
            Role::ResourceName | Role::ResourceType | Role::KeyType | Role::TopicRegex => true,
            Role::MemberId | Role::SessionId | Role::SessionEpoch | Role::AllowAutoTopicCreation | Role::Acks => true,
            Role::Partition => self.partitions,
            _ => false,
        }
    }

    fn innermost(&mut self) -> Option<&mut Node> {
        if self.passed_over > 0 { None } else { self.open.last_mut() }
    }
}

impl Visitor for Builder {
    fn value(&mut self, role: Role, value: Value<'_>, span: Span) {
        if !self.wants_value(role) {
            return;
        }
        let full = self.nodes >= NODES_MAX;
        let Some(node) = self.innermost() else { return };
        let content = match value {
            Value::Text(text) => Content::Text(text.map(Box::from)),
            Value::Uuid(id) => Content::Id(id),
            Value::Int(number) => Content::Number(number),
            Value::Bool(on) => Content::Number(on.into()),
            Value::Bytes(_) | Value::Records(_) => return,
        };
        let within = node.arrays.last_mut().filter(|array| {
            array.of == Element::Value(role) && (array.nodes.len() as u64) < u64::from(array.count.unwrap_or(0))
        });
        let Some(array) = within else {
            node.fields.push((role, content, span));
            return;
        };
        if !full {
            let fields = vec![(role, content, span)];
            array.nodes.push(Node { span: Some(span), fields, arrays: Vec::new() });
        }
        self.nodes += 1;
    }

    fn array(&mut self, of: Element, count: Option<u32>, at: Span) {
        let wanted = match of {
            Element::Group(group) => self.wants(group),
            Element::Value(role) => self.wants_value(role),
        };
        if let (true, Some(node)) = (wanted, self.innermost()) {
            node.arrays.push(Array { of, count, at, nodes: Vec::new() });
        }
    }

    fn open(&mut self, group: Group, at: u64) {
        if self.passed_over > 0 || !self.wants(group) {
            self.passed_over += 1;
            return;
        }
        self.open.push(Node { span: Some(Span { start: at, end: at }), ..Node::default() });
    }

    fn close(&mut self, group: Group, at: u64) {
        if self.passed_over > 0 {
            self.passed_over -= 1;
            return;
        }
        // The body itself stays open.
        let Some(mut node) = (self.open.len() > 1).then(|| self.open.pop()).flatten() else { return };
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return;
        }
        node.span = node.span.map(|span| Span { start: span.start, end: at });
        let arrays = self.open.last_mut().map(|node| &mut node.arrays);
        let array = arrays.and_then(|arrays| arrays.iter_mut().rev().find(|a| a.of == Element::Group(group)));
        if let Some(array) = array {
            array.nodes.push(node);
        }
    }

    fn tagged(&mut self, field: TaggedField) {
        self.tagged.push(field);
    }

    fn wants_batches(&self) -> bool {
        false
    }
}
