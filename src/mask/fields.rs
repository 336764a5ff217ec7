//! The paths of a plan as one automaton, which is asked a field at a time.
//!
//! Its states are places in the paths, beginnings shared; what is known at a point of a document is the set of places
//! that lead on from there. A field costs one look into a table of all names that paths have, and work only for the places in
//! the set: rules that are about other names cost nothing.

use std::collections::HashMap;
use std::ops::Range;

use super::names::{NameId, Names};
use super::path::Segment;

/// A place in the paths.
pub(super) type Place = u32;

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
        let mut known = HashMap::new();
        for (path, action) in paths {
            let end = path.iter().fold(0, |place, segment| fields.step_or_add(place, segment, &mut known));
            let node = &mut fields.nodes[end as usize];
            node.action = node.action.max(action);
        }
        fields.steps.resize(fields.names.len(), Vec::new());
        known.into_iter().for_each(|((from, name), to)| fields.steps[name as usize].push((from, to)));
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

    /// The place that a segment leads to, which is added if it is new; `names`: those that names lead to, as far as they are
    /// known.
    fn step_or_add(&mut self, place: Place, segment: &Segment, names: &mut HashMap<(Place, NameId), Place>) -> Place {
        let next = self.nodes.len() as Place;
        let known = match segment {
            Segment::Any => *self.nodes[place as usize].any.get_or_insert(next),
            // Twice in a row says no more than once.
            Segment::Deep if self.nodes[place as usize].is_deep => place,
            Segment::Deep => *self.nodes[place as usize].deep.get_or_insert(next),
            Segment::Name(name) => *names.entry((place, self.names.add(name.as_bytes()))).or_insert(next),
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
}
