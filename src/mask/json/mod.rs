//! Masking in JSON: a prefilter that passes what holds no field of the plan, and one structural walk of the rest.
//!
//! A value is one document or several, a line each. What is masked is spliced into a copy; everything else is copied as it
//! stands, so that numbers, duplicate keys, escapes and white space are what they were.
//!
//! Decided here:
//! - An object or an array under a masked path keeps its form and its names, and each leaf in it is masked: whoever decodes
//!   it by a schema still can. `null` and dropping take it whole.
//! - `null` stays `null`, under every action but dropping.
//! - Detectors see texts without their escapes, names included, and numbers without their exponents.
//! - JSON in a string, where a rule asks for it, is a document of its own and goes on with the path that leads to it: a path
//!   may be written either way.

mod buffers;
mod keys;
mod leaf;
mod look;
mod prefilter;
mod scan;
mod text;
mod walk;

use super::action::Action;
use super::detect::Detectors;
use super::fields::{ActionId, Fields};
use super::path::Segment;
use super::plan::{Counts, Fault};
pub(super) use buffers::Buffers;
pub(super) use look::{detect, merge};
use prefilter::Prefilter;
use walk::{Stop, Walker};

/// What is sought in a document.
#[derive(Debug, Clone)]
pub(super) struct Sought {
    /// The plan's actions, by their ids; the first stands for none.
    pub actions: Vec<Action>,
    /// By field.
    pub fields: Fields,
    /// By content.
    pub detect: Vec<(ActionId, Detectors)>,
    /// All of these.
    any: Detectors,
    /// What happens to every leaf.
    pub whole: ActionId,
    /// Whether strings are looked into that hold JSON.
    pub nested: bool,
    /// How deep objects and arrays may nest.
    pub depth_max: usize,
    prefilter: Prefilter,
}

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing is in it.
    Nothing,
    /// The masked document is in the buffers.
    Masked,
    /// The record is to be dropped.
    Drop,
}

impl Sought {
    /// Compiles paths, each with its action.
    pub(super) fn new(actions: Vec<Action>, paths: &[(&[Segment], ActionId)], depth_max: usize) -> Sought {
        Sought {
            actions,
            fields: Fields::new(paths.iter().copied()),
            detect: Vec::new(),
            any: Detectors::default(),
            whole: super::fields::NONE,
            nested: false,
            depth_max,
            prefilter: Prefilter::new(paths.iter().map(|(path, _)| *path)),
        }
    }

    /// Adds what is sought by content, each with its action.
    pub(super) fn detect(&mut self, detect: Vec<(ActionId, Detectors)>) {
        self.any = Detectors::of_all(detect.iter().map(|(_, detectors)| detectors));
        self.detect = detect;
    }

    /// Whether it is sure, without a walk, that nothing is to be masked in these bytes, whatever they are.
    pub(super) fn passes(&self, bytes: &[u8]) -> bool {
        let by_field_only = self.detect.is_empty() && self.whole == super::fields::NONE;
        by_field_only && self.prefilter.proves_nothing_in(bytes)
    }

    /// Walks a value, whole.
    pub(super) fn mask(&self, bytes: &[u8], buffers: &mut Buffers, counts: &mut Counts) -> Result<Found, Fault> {
        let plain = scan::is_plain(bytes);
        if !plain && !is_utf8(bytes) {
            return Err(Fault::NotUtf8);
        }
        buffers.clear();
        // Else it would grow by copies, which are left behind.
        buffers.out.reserve(bytes.len());
        self.fields.start(&mut buffers.places);
        let mut walker = Walker::new(self, bytes, plain, buffers, counts);
        match walker.documents() {
            Ok(true) => Ok(Found::Masked),
            Ok(false) => Ok(Found::Nothing),
            Err(Stop::Drop) => Ok(Found::Drop),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }
}

/// Whether a text begins as a document does that can hold fields or text: a byte order mark and white space aside.
pub(super) fn begins_as_json(text: &[u8]) -> bool {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'[' | b'"'))
}

/// A byte order mark in UTF-8, which may precede a document (RFC 8259, section 8.1).
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Most JSON is ASCII, which is found out many bytes at a time.
fn is_utf8(bytes: &[u8]) -> bool {
    bytes.is_ascii() || std::str::from_utf8(bytes).is_ok()
}
