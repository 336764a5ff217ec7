//! Proves, without reading a document, that no field of the plan can be in it.
//!
//! A path's field is there only if each name of the path is. So of each path one name is looked for, as a word anywhere in
//! the bytes; whether it is a key is the walk's business. An escape with which a key could be written otherwise is as good
//! as a name.
//!
//! Invariants:
//! - What holds a field of the plan is never passed, in whichever way it is written.
//! - Nor is what is not text that begins and ends as JSON does: names might hide in it (UTF-16, binary formats).
//! - Quotes prove nothing: `{'pan': …}`, `{'pan": …}` and `{pan=…}` are no JSON, which the walk finds out, and hold the field
//!   all the same. Of a few names each is found as a word wherever it stands; of many, where it could be a key (`keys.rs`).
//!   What is found by the second is found by the first.

use aho_corasick::packed::{Config, MatchKind, Searcher};
use memchr::memmem;

use super::keys::Keys;
use super::scan;
use crate::mask::lanes;
use crate::mask::path::Segment;

/// Names up to which there is one search for all of them (Teddy, which compares 32 bytes at a time with some patterns): its
/// candidates multiply with its patterns. With 64 it takes a third longer than a look at each key.
const TOGETHER_MAX: usize = 16;

/// What is looked for.
#[derive(Debug, Clone)]
pub(super) struct Prefilter {
    search: Search,
    /// Escapes with which a key could be written.
    escapes: Escapes,
}

#[derive(Debug, Clone)]
enum Search {
    /// There is nothing to look for.
    Nothing,
    /// Some path has no name: every document is walked.
    Always,
    /// A few names, anywhere.
    Few(Box<Words>),
    /// Many names (or no vector instructions to look for few): each key is looked up.
    Many(Box<Keys>),
}

/// A few names, found as words.
#[derive(Debug, Clone)]
struct Words {
    searcher: Searcher,
    /// Those that are words within a longer name, which the search finds instead.
    within: Vec<Box<[u8]>>,
}

#[derive(Debug, Clone)]
enum Escapes {
    /// `\u`, by which any character can be written.
    Unicode(Box<memmem::Finder<'static>>),
    /// And `\/`: some name has a slash.
    Slash,
    /// Any: some name is never written without one.
    Any,
}

impl Prefilter {
    /// For paths; an empty one needs no search.
    pub(super) fn new<'a>(paths: impl IntoIterator<Item = &'a [Segment]>) -> Prefilter {
        let (mut names, mut always, mut any, mut slash): (Vec<&str>, _, _, _) = (Vec::new(), false, false, false);
        for path in paths {
            let of_path = path.iter().filter_map(|segment| match segment {
                Segment::Name(name) => Some(name.as_str()),
                Segment::Any | Segment::Deep => None,
            });
            let plain =
                |name: &&str| !name.is_empty() && !name.contains(['"', '\\']) && !name.contains(char::is_control);
            // The longest is the rarest, as a rule.
            let Some(name) = of_path.clone().filter(plain).max_by_key(|name| (!name.contains('/'), name.len())) else {
                let empty = of_path.clone().next().is_none() || of_path.clone().all(str::is_empty);
                (always, any) = (always | empty, true);
                continue;
            };
            slash |= name.contains('/');
            names.push(name);
        }
        let escapes = match (any, slash) {
            (true, _) => Escapes::Any,
            (false, true) => Escapes::Slash,
            (false, false) => Escapes::Unicode(Box::new(memmem::Finder::new("\\u"))),
        };
        let search = if always { Search::Always } else { Search::new(names) };
        Prefilter { search, escapes }
    }

    /// Whether these bytes are text, and no field of the plan can be in them, if they are a document.
    pub(super) fn proves_nothing_in(&self, bytes: &[u8]) -> bool {
        // Names first: where there is one, the search ends there.
        let text =
            || scan::is_plain(bytes) || (!self.escape_in(bytes) && !has_controls(bytes) && super::is_utf8(bytes));
        !self.name_in(bytes) && is_enclosed(bytes) && text()
    }

    /// Whether a name, or what might be one, is in a text of any form.
    pub(super) fn may_be_in(&self, text: &[u8]) -> bool {
        self.escape_in(text) || self.name_in(text)
    }

    fn escape_in(&self, bytes: &[u8]) -> bool {
        match &self.escapes {
            Escapes::Unicode(finder) => finder.find(bytes).is_some(),
            Escapes::Slash => {
                memchr::memchr_iter(b'\\', bytes).any(|at| matches!(bytes.get(at + 1), Some(b'u' | b'/')))
            }
            Escapes::Any => memchr::memchr(b'\\', bytes).is_some(),
        }
    }

    fn name_in(&self, bytes: &[u8]) -> bool {
        match &self.search {
            Search::Nothing => false,
            Search::Always => true,
            Search::Few(words) => words.are_in(bytes),
            Search::Many(keys) => keys.are_in(bytes),
        }
    }
}

impl Search {
    fn new(names: Vec<&str>) -> Search {
        let mut names = names;
        // Where two begin alike, the longer one is found: it may be a word where the shorter is only part of one.
        names.sort_unstable_by_key(|name| (std::cmp::Reverse(name.len()), *name));
        names.dedup();
        if names.is_empty() {
            return Search::Nothing;
        }
        match (names.len() <= TOGETHER_MAX).then(|| Words::new(&names)).flatten() {
            Some(words) => Search::Few(Box::new(words)),
            None => Search::Many(Box::new(Keys::new(&names))),
        }
    }
}

impl Words {
    /// None without the instructions that the search needs.
    fn new(names: &[&str]) -> Option<Words> {
        let mut builder = Config::new().match_kind(MatchKind::LeftmostFirst).builder();
        let searcher = builder.extend(names).build()?;
        let is_within = |name: &&&str| {
            names
                .iter()
                .any(|long| long.starts_with(**name) && is_word(long.as_bytes(), 0, name.len()) && long != *name)
        };
        let within = names.iter().filter(is_within).map(|name| name.as_bytes().into()).collect();
        Some(Words { searcher, within })
    }

    /// Whether one of the names stands in the text as a word of its own.
    fn are_in(&self, text: &[u8]) -> bool {
        let mut from = 0;
        while let Some(hit) = self.searcher.find_in(text, aho_corasick::Span { start: from, end: text.len() }) {
            let start = hit.start();
            let shorter = |name: &[u8]| text[start..].starts_with(name) && is_word(text, start, start + name.len());
            if is_word(text, start, hit.end()) || self.within.iter().any(|name| shorter(name)) {
                return true;
            }
            from = start + 1;
        }
        false
    }
}

/// Whether bytes begin and end as an object or an array does.
fn is_enclosed(bytes: &[u8]) -> bool {
    let begins = bytes.iter().find(|byte| !is_space(**byte));
    let ends = bytes.iter().rev().find(|byte| !is_space(**byte));
    matches!((begins, ends), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')))
}

fn has_controls(bytes: &[u8]) -> bool {
    bytes.chunks(256).any(|part| lanes::any(part, |byte| (byte < b' ') & !is_space(byte)))
}

#[inline]
fn is_space(byte: u8) -> bool {
    (byte == b' ') | (byte == b'\n') | (byte == b'\r') | (byte == b'\t')
}

/// Letters, digits, `_` and whatever is beyond ASCII: what makes a longer name of a name.
#[inline]
pub(super) fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn is_word(text: &[u8], start: usize, end: usize) -> bool {
    let joins = |inner: u8, outer: Option<&u8>| is_of_word(inner) && outer.is_some_and(|outer| is_of_word(*outer));
    let before = start.checked_sub(1).and_then(|at| text.get(at));
    !joins(text[start], before) && !joins(text[end - 1], text.get(end))
}
