//! Proves, without reading a document, that no field of the plan can be in it.
//!
//! A path's field is there only if each name of the path is. So of each path one name is looked for, as a word anywhere in
//! the bytes; whether it is a key is the walk's business. An escape with which a key could be written otherwise is as good
//! as a name.
//!
//! Invariants:
//! - What holds a field of the plan is never passed, in whichever way it is written.
//! - Nor is what is not text that begins and ends as JSON does: names might hide in it (UTF-16, binary formats).
//! - Quotes prove nothing: `{'pan': …}` and `{pan=…}` are no JSON, which the walk finds out, and hold the field all the same.
//!   Of a few names each is found as a word; of many what stands before a colon or an equals sign, between two quotes of one
//!   kind or without any.

use aho_corasick::packed::{Config, MatchKind, Searcher};
use memchr::memmem;

use super::scan;
use crate::mask::lanes;
use crate::mask::names::{End, Ends, Names};
use crate::mask::path::Segment;

/// Names at which one search for all of them (Teddy, which compares 32 bytes at a time with some patterns) is given up for
/// looks at each key: its candidates multiply with its patterns, and at 64 it is hardly faster.
const TOGETHER_MAX: usize = 64;

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
    Few(Box<Searcher>),
    /// Many names (or no vector instructions to look for few): each key is looked up.
    Many(Box<Keys>),
}

/// Names that keys are looked up in.
#[derive(Debug, Clone)]
struct Keys {
    names: Names,
    longest: usize,
    /// Of some hundred names every hundredth bit is set. 8 KiB.
    ends: Ends<1024>,
    /// Whether each name could be told from what is before it without quotes.
    all_words: bool,
    /// By the byte before a colon, or before a quote and a colon: 1 where a closer look has to tell whether a name is
    /// there. Without a quote these are the bytes that names end with; with and without, what may stand between.
    lasts: [[u8; 256]; 2],
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
            Search::Few(searcher) => word_in(searcher, bytes),
            Search::Many(keys) => keys.are_in(bytes),
        }
    }
}

impl Search {
    fn new(names: Vec<&str>) -> Search {
        let mut names = names;
        // Where two begin alike, the longer one is to be found: it may be a word where the shorter is only part of one.
        names.sort_unstable_by_key(|name| (std::cmp::Reverse(name.len()), *name));
        names.dedup();
        if names.is_empty() {
            return Search::Nothing;
        }
        let few = || {
            let mut builder = Config::new().match_kind(MatchKind::LeftmostFirst).builder();
            builder.extend(&names).build()
        };
        match (names.len() <= TOGETHER_MAX).then(few).flatten() {
            Some(searcher) => Search::Few(Box::new(searcher)),
            None => Search::Many(Box::new(Keys::new(&names))),
        }
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
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// What names without quotes are taken to consist of.
#[inline]
fn is_of_bare_name(byte: u8) -> bool {
    is_of_word(byte) || byte == b'-' || byte == b'.'
}

/// Whether one of the names stands in the text as a word of its own.
fn word_in(searcher: &Searcher, text: &[u8]) -> bool {
    let mut from = 0;
    while let Some(hit) = searcher.find_in(text, aho_corasick::Span { start: from, end: text.len() }) {
        if is_word(text, hit.start(), hit.end()) {
            return true;
        }
        from = hit.start() + 1;
    }
    false
}

fn is_word(text: &[u8], start: usize, end: usize) -> bool {
    let joins = |inner: u8, outer: Option<&u8>| is_of_word(inner) && outer.is_some_and(|outer| is_of_word(*outer));
    let before = start.checked_sub(1).and_then(|at| text.get(at));
    !joins(text[start], before) && !joins(text[end - 1], text.get(end))
}

impl Keys {
    fn new(names: &[&str]) -> Keys {
        let mut keys =
            Keys { names: Names::default(), longest: 0, ends: Ends::default(), lasts: [[0; 256]; 2], all_words: true };
        for byte in b"\"'\\ \n\r\t" {
            keys.lasts.iter_mut().for_each(|lasts| lasts[usize::from(*byte)] = 1);
        }
        for name in names {
            keys.names.add(name.as_bytes());
            keys.ends.add(name.as_bytes());
            keys.longest = keys.longest.max(name.len());
            keys.all_words &= name.bytes().all(is_of_bare_name);
            name.bytes().last().iter().for_each(|last| keys.lasts[0][usize::from(*last)] = 1);
        }
        keys
    }

    /// Whether one of the names stands before a colon or an equals sign, with white space and a quote, perhaps an escaped
    /// one, between them at most.
    fn are_in(&self, text: &[u8]) -> bool {
        let mut room = [0; lanes::WINDOW];
        (0..text.len()).step_by(lanes::BLOCK).any(|start| {
            let window = lanes::window(text, start, &mut room);
            let marks = lanes::marks(window, |byte| (byte == b':') | (byte == b'='));
            // All of a block are looked at without a branch; hardly ever is there one to look closer at.
            let some = marks.clone().fold(0, |some, place| some | self.may_end_at(window, place));
            some == 1 && self.one_ends_in(text, start, marks)
        })
    }

    #[cold]
    fn one_ends_in(&self, text: &[u8], start: usize, mut marks: lanes::Marks) -> bool {
        marks.any(|place| self.one_ends_at(text, start + place))
    }

    /// Whether a name could stand before a colon at this place of the block, by what is right before it: 1 or 0.
    #[inline(always)]
    fn may_end_at(&self, window: &lanes::Window, place: usize) -> u8 {
        let Some([eight @ .., last]) = window.get(place..).and_then(<[u8]>::first_chunk::<9>) else { return 1 };
        let quoted = usize::from(*last == b'"');
        let last = usize::from(window[place + 8 - quoted]);
        (self.ends.may_hold(End::of(eight)) & quoted as u8) | self.lasts[quoted][last]
    }

    fn one_ends_at(&self, text: &[u8], at: usize) -> bool {
        let end = text[..at].iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
        let (quote, end_of_name) = match text[..end].split_last() {
            Some((quote @ (b'"' | b'\''), inner)) => {
                (Some(*quote), inner.iter().rposition(|byte| *byte != b'\\').map_or(0, |last| last + 1))
            }
            _ => (None, end),
        };
        // Never further back than a name is long, or the time would grow with the square of the length.
        let near = &text[end_of_name.saturating_sub(self.longest + 1)..end_of_name];
        let before = match quote {
            Some(quote) => near.iter().rposition(|byte| *byte == quote),
            None if self.all_words => near.iter().rposition(|byte| !is_of_bare_name(*byte)),
            None => return (0..near.len()).any(|start| self.names.find(&near[start..]).is_some()),
        };
        self.names.find(&near[before.map_or(0, |before| before + 1)..]).is_some()
    }
}
