//! Which names of topics, groups and transactional ids a rule is about, and which partitions of topics.
//!
//! A pattern is a name, the beginning of names (`orders.*`), or a shell pattern (`*`, `?`, `[ab]`, `{a,b}`, `\` before what is
//! to be taken as it stands). The first two are Kafka's own and are compared without a matcher. A topic's pattern may end in
//! partitions: `orders[0-3]`, `orders.*[1,5-7]`. So in access rules a bracket at the end that holds nothing but digits, commas
//! and ranges is no class of characters; `orders-{0,1,2}` says what such a class would.

use std::fmt;

use globset::{Glob, GlobMatcher};

use super::super::patterns::META;
use super::operation::ResourceKind;

/// Patterns of names. None of them match nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct NamePatterns(Vec<NamePattern>);

/// One pattern.
#[derive(Debug, Clone)]
pub struct NamePattern {
    /// As it was written, partitions included.
    text: String,
    form: Form,
    /// None: the whole topic.
    partitions: Option<Partitions>,
}

#[derive(Debug, Clone)]
enum Form {
    Literal(String),
    /// The empty one begins all names.
    Prefix(String),
    /// With the letters before its first sign.
    Glob(String, GlobMatcher),
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.partitions) == (&other.text, &other.partitions)
    }
}

impl Eq for NamePattern {}

impl std::hash::Hash for NamePattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.text, &self.partitions).hash(state);
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl NamePattern {
    /// A pattern of topics, which may name partitions. The error says what is wrong with it.
    pub fn topic(text: &str) -> Result<Self, String> {
        let Some((name, partitions)) = split_partitions(text) else { return Self::name(text) };
        if name.is_empty() {
            return Err("partitions of no topic; expected a topic before the bracket, such as `orders[0-3]`".to_owned());
        }
        let partitions = Partitions::read(partitions)?;
        Ok(NamePattern { text: text.to_owned(), partitions: Some(partitions), ..Self::name(name)? })
    }

    /// A pattern of groups or transactional ids.
    pub fn name(text: &str) -> Result<Self, String> {
        let before = text.split(META).next().unwrap_or_default();
        let form = match text.get(before.len()..) {
            Some("") | None => Form::Literal(text.to_owned()),
            Some("*") => Form::Prefix(before.to_owned()),
            _ => {
                let glob = Glob::new(text).map_err(|error| error.to_string())?;
                Form::Glob(before.to_owned(), glob.compile_matcher())
            }
        };
        Ok(NamePattern { text: text.to_owned(), form, partitions: None })
    }

    /// The part that is about names, without partitions.
    pub(super) fn name_text(&self) -> &str {
        match &self.partitions {
            Some(_) => self.text.rsplit_once('[').map_or(self.text.as_str(), |(name, _)| name),
            None => &self.text,
        }
    }

    /// The partitions it names.
    pub(super) fn partitions(&self) -> Option<&Partitions> {
        self.partitions.as_ref()
    }

    /// Whether it is about some partitions only.
    pub fn names_partitions(&self) -> bool {
        self.partitions().is_some()
    }

    fn matches_name(&self, name: &str) -> bool {
        match &self.form {
            Form::Literal(literal) => literal == name,
            Form::Prefix(prefix) => name.starts_with(prefix),
            Form::Glob(_, glob) => glob.is_match(name),
        }
    }

    /// Whether it is about a partition; where none is given, about the whole.
    pub(super) fn matches(&self, name: &str, partition: Option<i32>) -> bool {
        let here = match (&self.partitions, partition) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(partitions), Some(partition)) => partitions.contains(partition),
        };
        here && self.matches_name(name)
    }

    /// Whether it is about every name and partition.
    pub(super) fn is_everything(&self) -> bool {
        self.partitions.is_none() && matches!(&self.form, Form::Prefix(prefix) if prefix.is_empty())
    }

    /// Whether it is surely about all that `inner` is about.
    pub(super) fn covers(&self, inner: &NamePattern) -> bool {
        let partitions = match (&self.partitions, &inner.partitions) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(outer), Some(inner)) => outer.cover(inner),
        };
        let names = match (&self.form, &inner.form) {
            (_, Form::Literal(name)) => self.matches_name(name),
            (Form::Prefix(prefix), Form::Prefix(begin) | Form::Glob(begin, _)) => begin.starts_with(prefix.as_str()),
            (Form::Glob(..), Form::Glob(..)) => self.name_text() == inner.name_text(),
            _ => false,
        };
        partitions && names
    }

    /// Whether a name and partition may be one of both, told by what patterns begin with.
    pub(super) fn may_overlap(&self, other: &NamePattern) -> bool {
        let partitions = match (&self.partitions, &other.partitions) {
            (Some(one), Some(two)) => one.overlap(two),
            _ => true,
        };
        let names = match (&self.form, &other.form) {
            (Form::Literal(name), _) => other.matches_name(name),
            (_, Form::Literal(name)) => self.matches_name(name),
            (Form::Prefix(a) | Form::Glob(a, _), Form::Prefix(b) | Form::Glob(b, _)) => {
                a.starts_with(b.as_str()) || b.starts_with(a.as_str())
            }
        };
        partitions && names
    }
}

impl NamePatterns {
    /// Patterns of topics. The error says which one cannot be read.
    pub fn topics(texts: &[String]) -> Result<Self, String> {
        texts.iter().map(|text| NamePattern::topic(text)).collect::<Result<_, _>>().map(NamePatterns)
    }

    /// Patterns of groups or transactional ids. The error says which one cannot be read.
    pub fn names(texts: &[String]) -> Result<Self, String> {
        texts.iter().map(|text| NamePattern::name(text)).collect::<Result<_, _>>().map(NamePatterns)
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each pattern, in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = &NamePattern> {
        self.0.iter()
    }

    /// Whether one of them is about a partition, or where none is given about the whole.
    pub fn matches(&self, name: &str, partition: Option<i32>) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name, partition))
    }

    /// Whether one of them is about every name.
    pub(super) fn is_everything(&self) -> bool {
        self.0.iter().any(NamePattern::is_everything)
    }

    /// Whether together they are surely about all that `inner` are about.
    pub(super) fn cover(&self, inner: &NamePatterns) -> bool {
        inner.0.iter().all(|inner| self.covers(inner))
    }

    /// Whether one of them is surely about all that `inner` is about.
    pub(super) fn covers(&self, inner: &NamePattern) -> bool {
        self.0.iter().any(|outer| outer.covers(inner))
    }

    /// The partitions that they name of a topic.
    pub(super) fn partitions_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Partitions> {
        self.0.iter().filter_map(move |pattern| pattern.partitions.as_ref().filter(|_| pattern.matches_name(name)))
    }
}

/// Of patterns of topics, groups and transactional ids those of a kind; none for the cluster, which has no name.
pub(super) fn of_kind<'a>(
    kind: ResourceKind,
    topics: &'a NamePatterns,
    groups: &'a NamePatterns,
    transactional_ids: &'a NamePatterns,
) -> Option<&'a NamePatterns> {
    match kind {
        ResourceKind::Topic => Some(topics),
        ResourceKind::Group => Some(groups),
        ResourceKind::TransactionalId => Some(transactional_ids),
        ResourceKind::Cluster => None,
    }
}

impl fmt::Display for NamePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(|pattern| pattern.text.as_str()).collect();
        f.write_str(&texts.join(", "))
    }
}

/// Partitions of a topic: ranges from a first to a last one, in order and apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Partitions(Vec<(i32, i32)>);

/// A topic's pattern without its partitions, and what their bracket holds.
fn split_partitions(text: &str) -> Option<(&str, &str)> {
    let (name, inside) = text.strip_suffix(']')?.rsplit_once('[')?;
    let counts = |c: char| c.is_ascii_digit() || matches!(c, ',' | '-');
    let named = inside.chars().all(counts) && inside.contains(|c: char| c.is_ascii_digit()) && !name.ends_with('\\');
    named.then_some((name, inside))
}

impl Partitions {
    fn read(inside: &str) -> Result<Self, String> {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<i32>().ok()?, last.parse::<i32>().ok()?);
            (first <= last).then_some((first, last))
        };
        let wrong = || {
            "the bracket at the end names partitions: expected numbers and ranges, lower one first, such as `[0-3]` or \
             `[1,5-7]`"
                .to_owned()
        };
        let mut ranges: Vec<(i32, i32)> = inside.split(',').map(range).collect::<Option<_>>().ok_or_else(wrong)?;
        ranges.sort_unstable();
        let mut apart: Vec<(i32, i32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match apart.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => apart.push((first, last)),
            }
        }
        Ok(Partitions(apart))
    }

    fn contains(&self, partition: i32) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&partition))
    }

    fn cover(&self, inner: &Partitions) -> bool {
        inner.0.iter().all(|inner| self.0.iter().any(|outer| outer.0 <= inner.0 && inner.1 <= outer.1))
    }

    fn overlap(&self, other: &Partitions) -> bool {
        self.0.iter().any(|one| other.0.iter().any(|two| one.0 <= two.1 && two.0 <= one.1))
    }

    /// Where what is said of partitions may change: the first of each range, and the first behind it.
    pub(super) fn bounds(&self) -> impl Iterator<Item = i32> {
        self.0.iter().flat_map(|(first, last)| std::iter::once(*first).chain(last.checked_add(1)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn topic(text: &str) -> NamePattern {
        NamePattern::topic(text).unwrap()
    }

    #[test]
    fn names_are_told_literally_by_their_beginning_or_as_a_shell_would() {
        for (pattern, name, matches) in [
            ("orders", "orders", true),
            ("orders", "orders.eu", false),
            ("orders.*", "orders.eu", true),
            ("orders.*", "orders", false),
            ("orders.*", "ordersXeu", false),
            ("*", "", true),
            ("*", "any/thing\nat all", true),
            ("*.eu", "orders.eu", true),
            ("orders.?", "orders.1", true),
            ("{a,b}.x", "b.x", true),
            ("or[dx]ers", "orxers", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
        ] {
            assert_eq!(topic(pattern).matches(name, None), matches, "{pattern} {name}");
            assert_eq!(topic(pattern).matches(name, Some(7)), matches, "{pattern} {name} 7");
        }
    }

    #[test]
    fn a_bracket_of_numbers_at_the_end_of_a_topic_means_partitions() {
        let pattern = topic("orders[1,5-7]");
        let named: Vec<i32> = (0..10).filter(|p| pattern.matches("orders", Some(*p))).collect();
        assert_eq!(named, [1, 5, 6, 7]);
        assert!(!pattern.matches("orders", None) && !pattern.matches("orders1", Some(1)));
        assert!(topic("o*[0-3]").matches("orders", Some(3)) && !topic("o*[0-3]").matches("orders", Some(4)));
        assert!(topic("a[bc]").matches("ab", None) && topic("a[0-3]*").matches("a2", None));
        assert!(NamePattern::name("g[0-3]").unwrap().matches("g2", None), "groups have no partitions");
        assert_eq!(topic("a[5,0-3,4,2]").partitions().unwrap().bounds().collect::<Vec<_>>(), [0, 6]);
        let last = format!("a[{}]", i32::MAX);
        assert_eq!(topic(&last).partitions().unwrap().bounds().collect::<Vec<_>>(), [i32::MAX]);
        for wrong in ["a[3-1]", "a[1,]", "a[-1]", "a[1--2]", "a[4294967296]", "[0-3]"] {
            assert!(NamePattern::topic(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn patterns_cover_only_what_they_surely_hold() {
        for (outer, inner, covers) in [
            ("*", "orders.*", true),
            ("orders.*", "orders.eu.*", true),
            ("orders.*", "orders.{eu,us}", true),
            ("orders.*", "orders", false),
            ("orders.eu.*", "orders.*", false),
            ("o?", "ox", true),
            ("o?", "o*", false),
            ("*.eu", "*.eu", true),
            ("*.eu", "a.*", false),
            ("a", "a[0-3]", true),
            ("a[0-3]", "a", false),
            ("a[0-3]", "a[1,3]", true),
            ("a[0-1,2-3]", "a[1-2]", true),
            ("a[0-3]", "a[3-4]", false),
            ("*[0]", "a[0]", true),
        ] {
            assert_eq!(topic(outer).covers(&topic(inner)), covers, "{outer} {inner}");
        }
    }

    #[test]
    fn patterns_overlap_unless_names_or_partitions_surely_differ() {
        for (one, two, overlap) in [
            ("orders.*", "orders.eu.*", true),
            ("a.*", "b.*", false),
            ("*.eu", "a.*", true),
            ("a", "a", true),
            ("a", "b", false),
            ("a[0-3]", "a", true),
            ("a[0-3]", "a[3-5]", true),
            ("a[0-3]", "a[4-5]", false),
            ("a?", "ab", true),
        ] {
            assert_eq!(topic(one).may_overlap(&topic(two)), overlap, "{one} {two}");
            assert_eq!(topic(two).may_overlap(&topic(one)), overlap, "{two} {one}");
        }
    }
}
