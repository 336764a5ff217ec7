//! What applies to one reader or writer of one topic: rules, compiled once and asked about each record.
//!
//! Invariants:
//! - Where rules disagree about something, the strictest counts; of two that are as strict (the same number of characters
//!   kept at either end, hashes under two keys), the first.
//! - What a rule names fields of and what is no JSON is never passed: it is redacted whole or refused. Nor is what begins as
//!   JSON and breaks off, where a rule only has detectors: an escape could hide what they look for.
//! - A plan is immutable; what changes is in the [`Scratch`] that is handed in.

use super::action::{Action, mask_text, stars};
use super::detect::Detectors;
use super::fields::{ActionId, NONE};
use super::json::{self, Buffers, Found, Sought};
use super::path::{Path, Segment, Target};

/// One rule, of those that apply.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What it names.
    pub fields: Vec<Path>,
    /// What it finds in a record's value, whatever the field is called. Names are searched as well as what they stand for.
    pub detect: Detectors,
    /// What happens to either.
    pub action: Action,
    /// What happens to what cannot be parsed.
    pub unparsable: Unparsable,
    /// Whether strings are looked into that hold JSON.
    pub nested_json: bool,
}

/// What happens to a value or a key of which a rule names fields, and which is no JSON. The later one is stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Unparsable {
    /// It becomes a JSON string of stars, as long as it was.
    #[default]
    Redact,
    /// The record is not passed on.
    Refuse,
}

/// Why something cannot be parsed. It says nothing of what stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No JSON, or JSON that breaks off.
    #[error("it is not well-formed JSON")]
    Malformed,
    /// Objects and arrays nest deeper than the limit.
    #[error("it nests deeper than the limit")]
    TooDeep,
    /// Not UTF-8, UTF-16 included.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// It begins with the magic byte of a schema registry's formats.
    #[error("it is in a format of a schema registry, which cannot be read yet")]
    Registry,
}

/// What is to become of a value or a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It stays as it is.
    Untouched,
    /// It becomes this.
    Masked(&'a [u8]),
    /// The record is left out.
    Dropped,
    /// The record must not go on.
    Refused(Fault),
}

/// What is to become of a header. A value could not become null: that would be a deletion.
#[derive(Debug, PartialEq, Eq)]
pub enum HeaderOutcome<'a> {
    /// It stays as it is.
    Untouched,
    /// Its value becomes this.
    Masked(&'a [u8]),
    /// Its value becomes null.
    Null,
    /// It goes, its name with it.
    Removed,
    /// The record is left out.
    Dropped,
}

/// What was done, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Leaves that were masked, and fields dropped or made `null`, because of their names; keys and headers.
    pub fields: u64,
    /// What detectors found and was masked.
    pub found: u64,
    /// Values and keys that could not be parsed; documents in strings, too.
    pub unparsable: u64,
    /// Records that were dropped.
    pub dropped: u64,
}

/// What masking works in: one for each thread, kept, so that nothing is allocated for a record.
#[derive(Default)]
pub struct Scratch {
    buffers: Buffers,
    counts: Counts,
}

impl Scratch {
    /// What was done since this was last asked.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

impl std::fmt::Debug for Scratch {
    /// What it holds of records is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").field("counts", &self.counts).finish_non_exhaustive()
    }
}

/// The magic byte of a schema registry's formats (Confluent's wire format: 0, and a schema's id in four bytes).
const REGISTRY_MAGIC: u8 = 0;

/// Rules, compiled.
#[derive(Debug, Clone)]
pub struct Plan {
    value: Part,
    key: Part,
    headers: Vec<(String, Action)>,
}

/// What is sought in a value, or in a key.
#[derive(Debug, Clone)]
struct Part {
    sought: Sought,
    unparsable: Unparsable,
}

impl Plan {
    /// Compiles rules. `depth_max`: how deep JSON may nest; what nests deeper cannot be parsed.
    pub fn compile(rules: &[Rule], depth_max: usize) -> Plan {
        let mut headers: Vec<(String, Action)> = Vec::new();
        for rule in rules {
            for path in &rule.fields {
                if let Target::Header(name) = path.target() {
                    add_header(&mut headers, name, &rule.action);
                }
            }
        }
        let mut value = Part::compile(rules, depth_max, in_value);
        let actions = &value.sought.actions;
        let detecting = rules.iter().filter(|rule| !rule.detect.is_empty());
        let detect = detecting.clone().map(|rule| (id_of(actions, &rule.action), rule.detect.clone())).collect();
        value.sought.detect(detect);
        value.sought.nested |= detecting.clone().any(|rule| rule.nested_json);
        value.unparsable = detecting.map(|rule| rule.unparsable).fold(value.unparsable, Ord::max);
        Plan { value, key: Part::compile(rules, depth_max, in_key), headers }
    }

    /// Whether values can be changed by it.
    pub fn touches_values(&self) -> bool {
        !self.value.is_idle()
    }

    /// Whether keys can be changed by it.
    pub fn touches_keys(&self) -> bool {
        !self.key.is_idle()
    }

    /// Whether headers can be changed by it.
    pub fn touches_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// Whether nothing that it masks ever changes its length, so that a batch keeps its own. Never so where it looks into JSON
    /// in strings, which may become shorter: escapes that it did not need are not written again.
    pub fn same_length(&self) -> bool {
        let part = |part: &Part| {
            let sought = &part.sought;
            part.is_idle() || (!sought.nested && sought.actions.iter().all(Action::keeps_length))
        };
        part(&self.value) && part(&self.key) && self.headers.iter().all(|(_, action)| action.keeps_length())
    }

    /// Masks a record's value. One that is null has nothing to mask.
    pub fn mask_value<'s>(&self, value: &[u8], scratch: &'s mut Scratch) -> Outcome<'s> {
        self.value.mask(value, scratch)
    }

    /// Masks a record's key. One that is null has nothing to mask.
    pub fn mask_key<'s>(&self, key: &[u8], scratch: &'s mut Scratch) -> Outcome<'s> {
        self.key.mask(key, scratch)
    }

    /// Masks a header's value, which is taken as text whatever it holds.
    pub fn mask_header<'s>(&self, name: &[u8], value: &[u8], scratch: &'s mut Scratch) -> HeaderOutcome<'s> {
        let Some((_, action)) = self.headers.iter().find(|(header, _)| header.as_bytes() == name) else {
            return HeaderOutcome::Untouched;
        };
        let outcome = match action {
            Action::DropRecord => {
                scratch.counts.dropped += 1;
                return HeaderOutcome::Dropped;
            }
            Action::DropField => HeaderOutcome::Removed,
            Action::Null => HeaderOutcome::Null,
            Action::Redact | Action::KeepFirst(_) | Action::KeepLast(_) | Action::Hash(_) => {
                return match scratch.as_text(action, value) {
                    Outcome::Masked(masked) => HeaderOutcome::Masked(masked),
                    _ => HeaderOutcome::Untouched,
                };
            }
        };
        scratch.counts.fields += 1;
        outcome
    }
}

/// Adds a header, or a stricter action of one that is there.
fn add_header(headers: &mut Vec<(String, Action)>, name: &str, action: &Action) {
    match headers.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) if known.strictness() >= action.strictness() => {}
        Some((_, known)) => known.clone_from(action),
        None => headers.push((name.to_owned(), action.clone())),
    }
}

/// The rules' actions, each once, by strictness, behind one that stands for none.
fn actions(rules: &[Rule]) -> Vec<Action> {
    let mut actions: Vec<Action> = Vec::new();
    for rule in rules {
        if !actions.contains(&rule.action) {
            actions.push(rule.action.clone());
        }
    }
    // Of two that are as strict, the one that stands first is to count: greater numbers do.
    actions.reverse();
    actions.sort_by_key(Action::strictness);
    actions.insert(NONE as usize, Action::Redact);
    actions
}

fn in_value(target: &Target) -> Option<&[Segment]> {
    match target {
        Target::Value(segments) => Some(segments),
        Target::Key(_) | Target::Header(_) => None,
    }
}

fn in_key(target: &Target) -> Option<&[Segment]> {
    match target {
        Target::Key(segments) => Some(segments),
        Target::Value(_) | Target::Header(_) => None,
    }
}

fn id_of(actions: &[Action], action: &Action) -> ActionId {
    let place = actions.iter().rposition(|known| known == action);
    place.unwrap_or(actions.len() - 1) as ActionId
}

impl Part {
    /// What rules name of it by paths.
    fn compile(rules: &[Rule], depth_max: usize, of_part: fn(&Target) -> Option<&[Segment]>) -> Part {
        let actions = actions(rules);
        let (mut paths, mut whole, mut nested, mut unparsable) = (Vec::new(), NONE, false, Unparsable::default());
        for rule in rules {
            let action = id_of(&actions, &rule.action);
            for segments in rule.fields.iter().filter_map(|path| of_part(path.target())) {
                nested |= rule.nested_json;
                unparsable = unparsable.max(rule.unparsable);
                if segments.is_empty() {
                    whole = whole.max(action);
                } else {
                    paths.push((segments, action));
                }
            }
        }
        let mut sought = Sought::new(actions, &paths, depth_max);
        (sought.whole, sought.nested) = (whole, nested);
        Part { sought, unparsable }
    }

    fn is_idle(&self) -> bool {
        self.sought.fields.is_empty() && self.sought.whole == NONE && self.sought.detect.is_empty()
    }

    fn mask<'s>(&self, bytes: &[u8], scratch: &'s mut Scratch) -> Outcome<'s> {
        if bytes.is_empty() || self.is_idle() || self.sought.passes(bytes) {
            return Outcome::Untouched;
        }
        let whole = (self.sought.whole != NONE).then(|| &self.sought.actions[self.sought.whole as usize]);
        match whole {
            Some(Action::DropRecord) => return scratch.dropped(),
            Some(Action::Null | Action::DropField) => return scratch.nothing(bytes),
            _ => {}
        }
        let by_name = !self.sought.fields.is_empty();
        if by_name || json::begins_as_json(bytes) {
            match self.walk(bytes, scratch) {
                Ok(Found::Nothing) => return Outcome::Untouched,
                Ok(Found::Masked) => return Outcome::Masked(&scratch.buffers.out),
                Ok(Found::Drop) => return scratch.dropped(),
                Err(fault) if by_name || (whole.is_none() && is_broken_json(bytes)) => {
                    return self.unparsable(fault, bytes, scratch);
                }
                Err(_) => {}
            }
        }
        match whole {
            Some(action) => scratch.as_text(action, bytes),
            None if is_hidden(bytes) => self.unparsable(fault_of(bytes), bytes, scratch),
            None => self.detect(bytes, scratch),
        }
    }

    fn walk(&self, bytes: &[u8], scratch: &mut Scratch) -> Result<Found, Fault> {
        let before = scratch.counts;
        let found = self.sought.mask(bytes, &mut scratch.buffers, &mut scratch.counts);
        found.map_err(|fault| {
            scratch.counts = before;
            if is_hidden(bytes) { fault_of(bytes) } else { fault }
        })
    }

    /// Masks what detectors find in a text, or in any bytes.
    fn detect<'s>(&self, text: &[u8], scratch: &'s mut Scratch) -> Outcome<'s> {
        let Buffers { found, hits, .. } = &mut scratch.buffers;
        hits.clear();
        let strictest = json::detect(&self.sought, text, found, hits);
        if strictest == NONE {
            return Outcome::Untouched;
        }
        scratch.counts.found += hits.len() as u64;
        match self.sought.actions[strictest as usize] {
            Action::DropRecord => return scratch.dropped(),
            // There is no field to drop and no `null` in a text: it is the text that goes.
            Action::DropField | Action::Null => return scratch.nothing(text),
            _ => {}
        }
        let Buffers { hits, out, .. } = &mut scratch.buffers;
        json::merge(hits);
        out.clear();
        let mut copied = 0;
        for (range, action) in hits.iter() {
            out.extend_from_slice(&text[copied..range.start]);
            mask_text(&self.sought.actions[*action as usize], &text[range.clone()], out);
            copied = range.end;
        }
        out.extend_from_slice(&text[copied..]);
        Outcome::Masked(out)
    }

    fn unparsable<'s>(&self, fault: Fault, bytes: &[u8], scratch: &'s mut Scratch) -> Outcome<'s> {
        scratch.counts.unparsable += 1;
        if self.unparsable == Unparsable::Refuse {
            return Outcome::Refused(fault);
        }
        let out = &mut scratch.buffers.out;
        out.clear();
        match bytes.len().checked_sub(2) {
            Some(inner) => {
                out.push(b'"');
                stars(inner, out);
                out.push(b'"');
            }
            None => out.push(b'0'),
        }
        Outcome::Masked(out)
    }
}

/// Whether text that is no JSON was meant to be: detectors cannot be trusted with its escapes.
fn is_broken_json(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() != Some(&b'"') || bytes.contains(&b'\\')
}

/// Whether detectors would not find in it what they look for.
fn is_hidden(bytes: &[u8]) -> bool {
    bytes.first() == Some(&REGISTRY_MAGIC) || bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")
}

fn fault_of(bytes: &[u8]) -> Fault {
    if bytes.first() == Some(&REGISTRY_MAGIC) { Fault::Registry } else { Fault::NotUtf8 }
}

impl Scratch {
    fn dropped(&mut self) -> Outcome<'_> {
        self.counts.dropped += 1;
        Outcome::Dropped
    }

    fn as_text(&mut self, action: &Action, text: &[u8]) -> Outcome<'_> {
        if text.is_empty() {
            return Outcome::Untouched;
        }
        self.counts.fields += 1;
        self.buffers.out.clear();
        mask_text(action, text, &mut self.buffers.out);
        Outcome::Masked(&self.buffers.out)
    }

    /// In the place of all of something: `null` where it looks like JSON, else no bytes.
    fn nothing(&mut self, bytes: &[u8]) -> Outcome<'_> {
        self.counts.fields += 1;
        self.buffers.out.clear();
        if json::begins_as_json(bytes) {
            self.buffers.out.extend_from_slice(b"null");
        }
        Outcome::Masked(&self.buffers.out)
    }
}
