//! Reads typed values off the tree and collects what is wrong on the way, so that one run reports everything.
//!
//! Invariant: whenever a read yields `None`, a problem was reported. Callers read all their keys first and unwrap with
//! `?` only after that; nothing is lost behind the first mistake.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::problem::{Mark, Problem};
use super::yaml::{self, Data, Node};

/// What later versions understand: refused, because a rule or a protection that is silently ignored is worse than none.
pub(super) const NOT_YET: &str = "not in this version: refusing to start rather than ignore it";

/// The file being read and what was found wrong in it.
pub(super) struct Reader {
    file: PathBuf,
    problems: Vec<Problem>,
    adopted: Vec<Problem>,
    reads_secrets: bool,
}

impl Reader {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), problems: Vec::new(), adopted: Vec::new(), reads_secrets: true }
    }

    /// One that does not look at what secrets are referred to.
    pub(super) fn without_secrets(mut self) -> Self {
        self.reads_secrets = false;
        self
    }

    /// Whether secrets that are referred to are read.
    pub(super) fn reads_secrets(&self) -> bool {
        self.reads_secrets
    }

    /// The file being read, as it was named.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Notes one problem.
    pub(super) fn report(&mut self, at: Mark, what: impl Into<String>) {
        self.problems.push(Problem { file: self.file.clone(), at, what: what.into() });
    }

    /// Parses the file being read, and notes why not.
    pub(super) fn parse(&mut self, text: Result<String, String>) -> Option<Node> {
        let tree = text.map_err(|what| (Mark::START, what)).and_then(|text| yaml::parse(&text));
        tree.map_err(|(at, what)| self.report(at, what)).ok()
    }

    /// Takes over what another file's reader found.
    pub(super) fn adopt(&mut self, other: Reader) {
        self.adopted.extend(other.into_problems());
    }

    /// Everything noted, by line; then the adopted ones.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.at);
        self.problems.extend(self.adopted);
        self.problems
    }

    /// `path` resolved against the folder of the file being read.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Opens a mapping: reports what it is instead, unknown keys and duplicates. `later` are keys that DESIGN names and
    /// this version does not understand.
    pub(super) fn section<'n>(
        &mut self,
        node: &'n Node,
        path: &str,
        known: &[&str],
        later: &[&str],
    ) -> Option<Section<'n>> {
        let Data::Mapping(entries) = &node.data else {
            self.report(
                node.at,
                format!("{}found {}; expected a mapping with {}", prefix(path), found(node), keys(known)),
            );
            return None;
        };
        let mut values: HashMap<&str, &Node> = HashMap::new();
        let mut lines: HashMap<&str, usize> = HashMap::new();
        for (key, value) in entries {
            let name = key.name.as_str();
            let dotted = join(path, name);
            if let Some(line) = lines.insert(name, key.at.line) {
                self.report(key.at, format!("{dotted}: found a second time; expected once (first on line {line})"));
            } else if later.contains(&name) {
                self.report(key.at, format!("{dotted}: {NOT_YET}"));
            } else if known.contains(&name) {
                values.insert(name, value);
            } else {
                self.report(key.at, format!("{dotted}: unknown key; {}", suggestion(name, known)));
            }
        }
        Some(Section { path: path.to_owned(), at: node.at, values })
    }

    /// The items of a list that must not be empty.
    pub(super) fn list<'n>(&mut self, node: &'n Node, path: &str, of: &str) -> Option<&'n [Node]> {
        match &node.data {
            Data::List(items) if !items.is_empty() => Some(items),
            Data::List(_) => {
                self.report(node.at, format!("{path}: found an empty list; expected a list of {of}, at least one"));
                None
            }
            _ => {
                self.report(node.at, format!("{path}: found {}; expected a list of {of}", found(node)));
                None
            }
        }
    }

    /// One scalar through `parse`, whose error says what was expected.
    pub(super) fn scalar<T>(
        &mut self,
        node: &Node,
        path: &str,
        parse: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        match parse(node) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.report(node.at, format!("{path}: found {}; expected {expected}", found(node)));
                None
            }
        }
    }
}

/// A mapping whose keys are all known.
pub(super) struct Section<'n> {
    path: String,
    pub(super) at: Mark,
    values: HashMap<&'n str, &'n Node>,
}

impl<'n> Section<'n> {
    /// The dotted path of `key`, for problems.
    pub(super) fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// The node of `key`, where the key is there.
    pub(super) fn node(&self, key: &str) -> Option<&'n Node> {
        self.values.get(key).copied()
    }

    /// The node of a key that must be there.
    pub(super) fn needed(&self, reader: &mut Reader, key: &str, expected: &str) -> Option<&'n Node> {
        let node = self.node(key);
        if node.is_none() {
            reader.report(self.at, format!("{}: missing; expected {expected}", self.path(key)));
        }
        node
    }

    /// A scalar that must be there; `expected` is said when it is missing.
    pub(super) fn required<T>(
        &self,
        reader: &mut Reader,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        let node = self.needed(reader, key, expected)?;
        reader.scalar(node, &self.path(key), parse)
    }

    /// A scalar that may be left out.
    pub(super) fn or<T>(
        &self,
        reader: &mut Reader,
        key: &str,
        default: T,
        parse: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        match self.node(key) {
            None => Some(default),
            Some(node) => reader.scalar(node, &self.path(key), parse),
        }
    }
}

/// How a node is named in a problem. Values that may be secrets never come through here.
pub(super) fn found(node: &Node) -> String {
    const SHOWN_MAX: usize = 60;
    match &node.data {
        Data::Null => "nothing".to_owned(),
        Data::List(_) => "a list".to_owned(),
        Data::Mapping(_) => "a mapping".to_owned(),
        // Somebody's password may be in it, wherever a URL stands.
        Data::Plain(text) | Data::Quoted(text) if has_login(text) => "a URL with a login in it".to_owned(),
        Data::Plain(text) | Data::Quoted(text) => {
            let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
            if text.chars().nth(SHOWN_MAX).is_some() {
                shown.push('…');
            }
            if matches!(node.data, Data::Plain(_)) { format!("`{shown}`") } else { format!("`\"{shown}\"`") }
        }
    }
}

fn has_login(text: &str) -> bool {
    let authority = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    authority.is_some_and(|authority| authority.contains('@'))
}

/// "`a`, `b` or `c`".
pub(super) fn keys(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}

/// Helps somebody who mistyped one of `known`.
pub(super) fn suggestion(name: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|k| (edits(name, k), k)).min();
    match nearest {
        Some((distance, key)) if distance <= key.len().div_ceil(2) => {
            format!("did you mean `{key}`?")
        }
        _ => format!("expected {}", keys(known)),
    }
}

/// What a problem begins with; nothing for the file as a whole.
fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

fn join(path: &str, key: &str) -> String {
    let key: String = key.chars().take(60).flat_map(char::escape_debug).collect();
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// Levenshtein's distance, for names of a few characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
