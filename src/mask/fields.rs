//! The paths of a plan as one automaton, which is asked a field at a time.
//!
//! Its states are places in the paths, beginnings shared; what is known at a point of a document is the set of places
//! that lead on from there. A field costs one look into a table of all names that paths have, and work only for the places in
//! the set: rules that are about other names cost nothing.

use std::ops::Range;

use super::path::Segment;

/// A place in the paths.
pub(super) type Place = u32;

/// A name that paths have.
pub(super) type NameId = u32;

/// An action of the plan: a greater number is a stricter one, 0 is none.
pub(super) type ActionId = u32;

/// No action.
pub(super) const NONE: ActionId = 0;

#[derive(Debug, Clone, Default)]
struct Node {
    /// Where `*` leads.
    any: Option<Place>,
    /// Where `**` leads.
    deep: Option<Place>,
    /// Whether this is a `**`, which every field leads to again.
    is_deep: bool,
    /// What happens to the field that leads here.
    action: ActionId,
}

/// Paths, each with its action.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    nodes: Vec<Node>,
    names: Names,
    /// By name: from which place to which, sorted.
    steps: Vec<Vec<(Place, Place)>>,
}

impl Fields {
    /// Compiles paths; an empty one is about the document itself, and not for here.
    pub(super) fn new<'a>(paths: impl IntoIterator<Item = (&'a [Segment], ActionId)>) -> Fields {
        let mut fields = Fields { nodes: vec![Node::default()], names: Names::default(), steps: Vec::new() };
        for (path, action) in paths {
            let end = path.iter().fold(0, |place, segment| fields.step_or_add(place, segment));
            let node = &mut fields.nodes[end as usize];
            node.action = node.action.max(action);
        }
        fields.steps.iter_mut().for_each(|steps| steps.sort_unstable());
        fields
    }

    /// Whether there is no path.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Adds where a document begins.
    pub(super) fn start(&self, set: &mut Vec<Place>) {
        if !self.is_empty() {
            self.enter(0, 0, set);
        }
    }

    /// The name, if any path has it.
    pub(super) fn name(&self, name: &[u8]) -> Option<NameId> {
        self.names.find(name)
    }

    /// The name that stands at `at` in a text, behind a quote, if any path has it.
    #[inline(always)]
    pub(super) fn quoted_name(&self, text: &[u8], at: Range<usize>) -> Option<NameId> {
        self.names.find_quoted(text, at)
    }

    /// Adds to the places behind `set` those that the field `name` leads to from there; gives the strictest action that any
    /// path which ends at this field has.
    pub(super) fn step(&self, set: Range<usize>, name: Option<NameId>, places: &mut Vec<Place>) -> ActionId {
        let (from, mut action) = (places.len(), NONE);
        for i in set {
            let place = places[i];
            let node = &self.nodes[place as usize];
            let named = name.and_then(|name| self.named(place, name));
            for next in [named, node.any].into_iter().flatten() {
                action = action.max(self.nodes[next as usize].action);
                self.enter(next, from, places);
            }
            if node.is_deep {
                add(place, from, places);
            }
        }
        action
    }

    /// The strictest action that any path which ends at the field `name` has, from places in `set` on.
    #[inline]
    pub(super) fn action(&self, set: &[Place], name: NameId) -> ActionId {
        set.iter().fold(NONE, |action, place| {
            let named = self.named(*place, name).map_or(NONE, |next| self.nodes[next as usize].action);
            let any = self.nodes[*place as usize].any.map_or(NONE, |next| self.nodes[next as usize].action);
            action.max(named).max(any)
        })
    }

    /// Whether a field of a name that no path has leads from `set` to `set` again, without an action.
    pub(super) fn stays(&self, set: &[Place]) -> bool {
        set.iter().all(|place| {
            let node = &self.nodes[*place as usize];
            node.is_deep && node.any.is_none()
        })
    }

    fn enter(&self, place: Place, from: usize, places: &mut Vec<Place>) {
        add(place, from, places);
        let mut place = place;
        // `**` stands for no step, too.
        while let Some(deep) = self.nodes[place as usize].deep {
            add(deep, from, places);
            place = deep;
        }
    }

    fn named(&self, place: Place, name: NameId) -> Option<Place> {
        let steps = &self.steps[name as usize];
        let at = steps.binary_search_by_key(&place, |(from, _)| *from).ok()?;
        Some(steps[at].1)
    }

    fn step_or_add(&mut self, place: Place, segment: &Segment) -> Place {
        let next = self.nodes.len() as Place;
        let known = match segment {
            Segment::Any => *self.nodes[place as usize].any.get_or_insert(next),
            // Twice in a row says no more than once.
            Segment::Deep if self.nodes[place as usize].is_deep => place,
            Segment::Deep => *self.nodes[place as usize].deep.get_or_insert(next),
            Segment::Name(name) => {
                let name = self.names.add(name.as_bytes()) as usize;
                self.steps.resize(self.steps.len().max(name + 1), Vec::new());
                let known = self.steps[name].iter().find(|(from, _)| *from == place).map(|(_, to)| *to);
                known.unwrap_or_else(|| {
                    self.steps[name].push((place, next));
                    next
                })
            }
        };
        if known == next {
            self.nodes.push(Node { is_deep: *segment == Segment::Deep, ..Node::default() });
        }
        known
    }
}

fn add(place: Place, from: usize, places: &mut Vec<Place>) {
    if !places[from..].contains(&place) {
        places.push(place);
    }
}

/// A set of names, asked for each key of each document: how a key ends tells for most that it is none of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    names: Vec<Box<[u8]>>,
    /// Open addressing, at most a quarter full. A slot holds a name's fingerprint and its number; an empty one [`EMPTY`].
    slots: Vec<(u64, NameId)>,
    ends: Ends<256>,
}

const EMPTY: NameId = NameId::MAX;

impl Names {
    /// The number of a name, which is added if it is new.
    pub(super) fn add(&mut self, name: &[u8]) -> NameId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let id = self.names.len() as NameId;
        self.names.push(name.into());
        self.ends.add(name);
        if self.slots.len() < 4 * self.names.len() {
            let places = (8 * self.names.len()).next_power_of_two();
            self.slots = vec![(0, EMPTY); places];
            (0..=id).for_each(|id| self.place(id));
        } else {
            self.place(id);
        }
        id
    }

    /// The number of a name.
    pub(super) fn find(&self, name: &[u8]) -> Option<NameId> {
        self.look_up(name, End::of_name(name))
    }

    /// The number of the name that stands at `at` in a text, behind a quote.
    #[inline(always)]
    fn find_quoted(&self, text: &[u8], at: Range<usize>) -> Option<NameId> {
        let end = match text[..at.end].last_chunk() {
            Some(eight) => End::of(eight),
            None => End::of_name(&text[at.clone()]),
        };
        (self.ends.may_hold(end) == 1).then(|| self.look_up(&text[at], end)).flatten()
    }

    fn look_up(&self, name: &[u8], end: End) -> Option<NameId> {
        let fingerprint = fingerprint(name, end);
        let mut at = fingerprint as usize & self.slots.len().checked_sub(1)?;
        loop {
            let (known, id) = self.slots[at];
            if id == EMPTY {
                return None;
            }
            if known == fingerprint && *self.names[id as usize] == *name {
                return Some(id);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn place(&mut self, id: NameId) {
        let name = &self.names[id as usize];
        let fingerprint = fingerprint(name, End::of_name(name));
        let mut at = fingerprint as usize & (self.slots.len() - 1);
        while self.slots[at].1 != EMPTY {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = (fingerprint, id);
    }
}

/// How names end: a bit for each hash of it, in so many words.
#[derive(Debug, Clone)]
pub(super) struct Ends<const WORDS: usize>(Box<[u64; WORDS]>);

impl<const WORDS: usize> Default for Ends<WORDS> {
    fn default() -> Self {
        Ends(Box::new([0; WORDS]))
    }
}

impl<const WORDS: usize> Ends<WORDS> {
    pub(super) fn add(&mut self, name: &[u8]) {
        let bit = End::of_name(name).hash(64 * WORDS);
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    /// Whether some name ends like this, as far as a hash can tell: 1 or 0.
    #[inline(always)]
    pub(super) fn may_hold(&self, end: End) -> u8 {
        let bit = end.hash(64 * WORDS);
        (self.0[bit / 64 % WORDS] >> (bit % 64)) as u8 & 1
    }
}

/// How a name in quotes ends: its last eight bytes, or all of them and the quote before them.
#[derive(Clone, Copy)]
pub(super) struct End(u64);

impl End {
    /// Of the eight bytes at a name's end, and before it where it is shorter.
    #[inline(always)]
    pub(super) fn of(eight: &[u8; 8]) -> End {
        const ONES: u64 = u64::from_le_bytes([1; 8]);
        // The first byte becomes the highest, so that the last quote is the first in the order of bits.
        let eight = u64::from_be_bytes(*eight);
        let others = eight ^ (ONES * b'"' as u64);
        let quotes = others.wrapping_sub(ONES) & !others & (ONES << 7);
        End(eight & quotes.wrapping_sub(1) & !quotes)
    }

    /// A number below so many, a power of two; others may have it too.
    #[inline(always)]
    fn hash(self, below: usize) -> usize {
        // Only a product's highest bits depend on all of what was multiplied.
        (self.0.wrapping_mul(MIXER) >> (64 - below.ilog2())) as usize
    }

    fn of_name(name: &[u8]) -> End {
        match name.last_chunk() {
            Some(eight) => End::of(eight),
            None => {
                let mut eight = [b'"'; 8];
                eight[8 - name.len()..].copy_from_slice(name);
                End::of(&eight)
            }
        }
    }
}

/// What spreads bits over the higher ones of a product (Fibonacci hashing).
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Of a name's length, its first and last bytes: names that differ elsewhere only are told apart by comparing them.
fn fingerprint(name: &[u8], end: End) -> u64 {
    let first = name.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    let mixed = (end.0 ^ first.rotate_left(29) ^ name.len() as u64).wrapping_mul(MIXER);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::mask::path::{Path, Target};

    fn fields(paths: &[(&str, ActionId)]) -> Fields {
        let read = |text: &str| match text.parse::<Path>().unwrap().target() {
            Target::Value(segments) => segments.clone(),
            other => panic!("{other:?}"),
        };
        let read: Vec<(Vec<Segment>, ActionId)> = paths.iter().map(|(text, action)| (read(text), *action)).collect();
        Fields::new(read.iter().map(|(segments, action)| (segments.as_slice(), *action)))
    }

    /// The action at a field, found by its names from the root on.
    fn at(fields: &Fields, names: &[&str]) -> ActionId {
        let (mut places, mut action) = (Vec::new(), NONE);
        fields.start(&mut places);
        let mut set = 0..places.len();
        for name in names {
            let from = places.len();
            action = fields.step(set, fields.name(name.as_bytes()), &mut places);
            set = from..places.len();
        }
        action
    }

    #[test]
    fn a_path_names_its_fields_and_no_others() {
        let card = fields(&[("card.number", 1)]);
        assert_eq!(at(&card, &["card", "number"]), 1);
        assert!(
            [&["number"][..], &["card"], &["a", "card", "number"], &["card", "a", "number"]]
                .iter()
                .all(|names| at(&card, names) == NONE)
        );
        let deep = fields(&[("**.pan", 1), ("a.**.b.c", 2)]);
        assert_eq!(at(&deep, &["pan"]), 1);
        assert_eq!(at(&deep, &["x", "pan", "y", "pan"]), 1);
        assert_eq!(at(&deep, &["pan", "x"]), NONE);
        assert_eq!(at(&deep, &["a", "b", "c"]), 2);
        assert_eq!(at(&deep, &["a", "b", "b", "x", "b", "c"]), 2);
        assert_eq!(at(&deep, &["a", "b", "x", "c"]), NONE);
        let any = fields(&[("a.*", 1), ("*.b.c", 2)]);
        assert_eq!(at(&any, &["a", "whatever"]), 1);
        assert_eq!(at(&any, &["a"]), NONE);
        assert_eq!(at(&any, &["x", "b", "c"]), 2);
    }

    #[test]
    fn of_several_paths_to_a_field_the_strictest_counts() {
        let several = fields(&[("a.b", 1), ("**.b", 3), ("*.b", 2), ("a.b", 2)]);
        assert_eq!(at(&several, &["a", "b"]), 3);
        assert_eq!(at(&several, &["x", "y", "b"]), 3);
    }

    #[test]
    fn a_set_holds_a_place_once_however_deep_a_document_is() {
        let fields = fields(&[("**.a.**.a.**.b", 1)]);
        let mut places = Vec::new();
        fields.start(&mut places);
        let mut set = 0..places.len();
        for _ in 0..100 {
            let from = places.len();
            fields.step(set, fields.name(b"a"), &mut places);
            set = from..places.len();
            assert!(set.len() <= 6, "{}", set.len());
        }
    }

    #[test]
    fn names_of_every_length_are_found_again() {
        let mut names = Names::default();
        assert_eq!(names.find(b"abc"), None);
        let all: Vec<String> =
            (0..600).map(|n| "abcdefghij".repeat(2 + n / 100)[..n % 20].to_owned() + &n.to_string()).collect();
        let ids: Vec<NameId> = all.iter().map(|name| names.add(name.as_bytes())).collect();
        assert!(all.iter().zip(&ids).all(|(name, id)| names.find(name.as_bytes()) == Some(*id)));
        for (before, behind) in [("\"", "\""), ("{\"", "\": 1"), ("{\"key\": 1, \"", "")] {
            let within = |name: &String| {
                let text = before.to_owned() + name + behind;
                names.find_quoted(text.as_bytes(), before.len()..before.len() + name.len())
            };
            assert!(all.iter().zip(&ids).all(|(name, id)| within(name) == Some(*id)));
        }
        assert_eq!(names.find(b""), None);
        assert_eq!(names.add(b""), 600);
        assert_eq!(names.find(b""), Some(600));
        assert_eq!(names.find(b"abc"), None);
    }

    #[test]
    fn names_that_differ_in_their_middle_or_length_only_are_told_apart() {
        let mut names = Names::default();
        let long = |middle: &str| format!("beginning{middle}the_ending");
        let all = [long("a"), long("b"), long(""), "the_ending".to_owned(), "_ending".to_owned(), "g".to_owned()];
        let ids: Vec<NameId> = all.iter().map(|name| names.add(name.as_bytes())).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4, 5]);
        assert!(all.iter().zip(0..).all(|(name, id)| names.find(name.as_bytes()) == Some(id)));
        for other in [long("c"), "e_ending".to_owned(), "ending".to_owned(), "ng".to_owned()] {
            assert_eq!(names.find(other.as_bytes()), None);
        }
    }
}
