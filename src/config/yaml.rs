//! A YAML file as a tree whose every node and key knows its place.
//!
//! Built from the parser's events and not from its own tree, because that one ends at the first duplicate key, and an
//! operator wants to hear of all of them at once. Invariants: nesting is limited, so that neither building nor dropping
//! the tree can exhaust the stack; keys are kept in order, duplicates included; an alias is a problem, not expanded.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::problem::Mark;

/// Nobody nests a configuration deeper, and recursion over the tree stays shallow.
const DEPTH_MAX: usize = 32;

/// The file is read whole; nobody writes a larger one by hand.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// One value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Mark,
    pub(super) data: Data,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Data {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    /// Text without quotes: may be read as a number or a boolean.
    Plain(String),
    /// Text in quotes or a block: a string and nothing else.
    Quoted(String),
    List(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

/// A mapping's key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) at: Mark,
    pub(super) name: String,
}

/// Reads a file's text. An error says why not.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let unreadable = |e: io::Error| format!("cannot be read: {e}");
    let file = File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("larger than {FILE_BYTES_MAX} bytes: not a file somebody wrote"));
    }
    Ok(text)
}

/// Reads the one document of `text`; an empty file is `Null`. An error says what and where.
pub(super) fn parse(text: &str) -> Result<Node, (Mark, String)> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| (mark(*e.marker()), format!("not valid YAML: {}", e.info())))?;
        builder.event(event, span)?;
    }
    Ok(builder.root.unwrap_or(Node { at: Mark::START, data: Data::Null }))
}

fn mark(marker: saphyr_parser::Marker) -> Mark {
    Mark { line: marker.line(), column: marker.col() + 1 }
}

/// A list or mapping whose end has not come yet.
enum Open {
    List(Mark, Vec<Node>),
    Mapping(Mark, Vec<(Key, Node)>, Option<Key>),
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), (Mark, String)> {
        let at = mark(span.start);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err((at, "found a second document; expected one document in the file".to_owned()))
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
            Event::Alias(_) => Err((at, "found an alias (`*name`); expected the value written out".to_owned())),
            Event::SequenceStart(..) => self.push(Open::List(at, Vec::new()), at),
            Event::MappingStart(..) => self.push(Open::Mapping(at, Vec::new(), None), at),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(at, items)) => self.place(Node { at, data: Data::List(items) }),
                Some(Open::Mapping(at, entries, _)) => self.place(Node { at, data: Data::Mapping(entries) }),
                None => Ok(()),
            },
            Event::Scalar(text, style, ..) => self.place(Node { at, data: scalar(&text, style) }),
        }
    }

    fn push(&mut self, open: Open, at: Mark) -> Result<(), (Mark, String)> {
        if self.open.len() >= DEPTH_MAX {
            return Err((at, format!("found values nested deeper than {DEPTH_MAX}")));
        }
        self.open.push(open);
        Ok(())
    }

    fn place(&mut self, node: Node) -> Result<(), (Mark, String)> {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Mapping(_, entries, key)) => match (key.take(), node.data) {
                (Some(key), data) => entries.push((key, Node { at: node.at, data })),
                (None, Data::Plain(name) | Data::Quoted(name)) => *key = Some(Key { at: node.at, name }),
                (None, _) => return Err((node.at, "found a key that is not text".to_owned())),
            },
        }
        Ok(())
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Data {
    match style {
        ScalarStyle::Plain if matches!(text, "" | "~" | "null") => Data::Null,
        ScalarStyle::Plain => Data::Plain(text.to_owned()),
        _ => Data::Quoted(text.to_owned()),
    }
}
