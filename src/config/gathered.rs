//! One section of the policy over all its files: their lists joined in the files' order, each rule with its place.
//!
//! A rule is numbered as everything that is said of it later numbers it, through all files and whether or not those before
//! it could be read: `masking[3]` is the fourth there is.

use super::problem::Mark;
use super::reader::{Reader, Section};

/// One file of the policy, and the sections in it.
pub(super) struct Part<'n> {
    pub(super) reader: Reader,
    /// None where there are none, or none that could be read.
    pub(super) sections: Option<Section<'n>>,
}

/// The rules of a section that could be read.
pub(super) struct Gathered<T> {
    key: &'static str,
    pub(super) rules: Vec<T>,
    /// Where each of them stands.
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    part: usize,
    number: usize,
    at: Mark,
}

impl<T> Gathered<T> {
    /// Reads `key` of all files, a list of `of` with a mapping of `keys` each, one by one.
    pub(super) fn read(
        parts: &mut [Part<'_>],
        key: &'static str,
        of: &str,
        keys: &[&str],
        one: impl Fn(&Section<'_>, &mut Reader) -> Option<T>,
    ) -> Self {
        let mut gathered = Gathered { key, rules: Vec::new(), places: Vec::new() };
        let mut number = 0;
        for (part, Part { reader, sections }) in parts.iter_mut().enumerate() {
            let node = sections.as_ref().and_then(|sections| sections.node(key));
            let items = node.and_then(|node| reader.list(node, key, of)).unwrap_or_default();
            for item in items {
                let section = reader.section(item, &format!("{key}[{number}]"), keys, &[]);
                if let Some(rule) = section.and_then(|section| one(&section, reader)) {
                    gathered.rules.push(rule);
                    gathered.places.push(Place { part, number, at: item.at });
                }
                number += 1;
            }
        }
        gathered
    }

    /// The number of a rule among all there are, of its place in `rules`.
    pub(super) fn number(&self, place: usize) -> usize {
        self.places.get(place).map_or(place, |place| place.number)
    }

    /// Reports what is wrong with a rule as a whole, by its place in `rules`.
    pub(super) fn report(&self, parts: &mut [Part<'_>], place: usize, what: impl std::fmt::Display) {
        let Some(Place { part, number, at }) = self.places.get(place).copied() else { return };
        if let Some(part) = parts.get_mut(part) {
            part.reader.report(at, format!("{}[{number}]: {what}", self.key));
        }
    }
}
