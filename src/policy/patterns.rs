//! Names as shell patterns: `*`, `?`, `[ab]`, `{a,b}`.

use globset::{Glob, GlobSet, GlobSetBuilder};

/// What begins a part of a pattern that is no letter of the name.
pub(super) const META: &[char] = &['*', '?', '[', '{', '\\'];

/// Patterns of names; the default is everything.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    patterns: Vec<String>,
    /// None: everything.
    set: Option<GlobSet>,
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for Patterns {}

impl Patterns {
    /// Compiles patterns; none, or `*` among them, means everything. The error says which one cannot be read.
    pub fn new(patterns: Vec<String>) -> Result<Self, String> {
        if patterns.is_empty() || patterns.iter().any(|pattern| pattern == "*") {
            return Ok(Patterns::default());
        }
        let mut builder = GlobSetBuilder::new();
        for pattern in &patterns {
            builder.add(Glob::new(pattern).map_err(|error| error.to_string())?);
        }
        let set = builder.build().map_err(|error| error.to_string())?;
        Ok(Patterns { patterns, set: Some(set) })
    }

    /// Whether it holds for everything.
    pub fn is_everything(&self) -> bool {
        self.set.is_none()
    }

    /// The patterns as they were written; none where it is everything.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        self.patterns.iter()
    }

    /// Whether it holds for `name`.
    pub fn matches(&self, name: &str) -> bool {
        self.set.as_ref().is_none_or(|set| set.is_match(name))
    }

    /// Whether it surely holds for all that `other` holds for.
    pub fn cover(&self, other: &Patterns) -> bool {
        let covered = |inner: &String| self.patterns.contains(inner) || (is_literal(inner) && self.matches(inner));
        self.is_everything() || (!other.is_everything() && other.patterns.iter().all(covered))
    }

    /// Whether some name may be one of both. Told by what patterns begin and end with: `a*` and `b*` share none.
    pub fn may_overlap(&self, other: &Patterns) -> bool {
        let pair = |one: &String| other.patterns.iter().any(|two| overlap(one, two));
        self.is_everything() || other.is_everything() || self.patterns.iter().any(pair)
    }
}

fn is_literal(pattern: &str) -> bool {
    !pattern.contains(META)
}

fn overlap(one: &str, two: &str) -> bool {
    let begin = |pattern: &str| pattern.split(META).next().unwrap_or_default().to_owned();
    let (a, b) = (begin(one), begin(two));
    match (is_literal(one), is_literal(two)) {
        (true, true) => one == two,
        (true, false) => Patterns::new(vec![two.to_owned()]).is_ok_and(|set| set.matches(one)),
        (false, true) => Patterns::new(vec![one.to_owned()]).is_ok_and(|set| set.matches(two)),
        (false, false) => a.starts_with(&b) || b.starts_with(&a),
    }
}

/// Whether the names of `outer`, where none means all, surely hold all of `inner`.
pub(super) fn covers_names(outer: &[String], inner: &[String]) -> bool {
    outer.is_empty() || (!inner.is_empty() && inner.iter().all(|name| outer.contains(name)))
}

/// Whether a name that Kafka takes for a topic can match: told by the pattern's own letters, which all have to be there.
pub(super) fn can_be_a_topic(pattern: &str) -> bool {
    const NAME_MAX: usize = 249;
    let literal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    // What may stand in a class or between alternatives is not looked at closer.
    let open = pattern.contains(['[', '{']);
    let lawful = pattern.chars().all(|c| literal(c) || matches!(c, '*' | '?' | '\\'));
    let shortest = pattern.chars().filter(|c| *c != '*').count();
    !pattern.is_empty() && pattern != "." && pattern != ".." && (open || (lawful && shortest <= NAME_MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn patterns(texts: &[&str]) -> Patterns {
        Patterns::new(texts.iter().map(ToString::to_string).collect()).unwrap()
    }

    #[test]
    fn patterns_cover_what_they_surely_hold() {
        let all = patterns(&[]);
        assert!(all.cover(&patterns(&["a*"])) && !patterns(&["a*"]).cover(&all));
        assert!(patterns(&["a*", "b"]).cover(&patterns(&["a*"])) && patterns(&["a*"]).cover(&patterns(&["abc"])));
        assert!(!patterns(&["a*"]).cover(&patterns(&["b"])) && !patterns(&["a*"]).cover(&patterns(&["ab*"])));
    }

    #[test]
    fn patterns_overlap_unless_what_they_begin_with_says_otherwise() {
        for (one, two, overlap) in [
            ("a*", "ab*", true),
            ("a*", "b*", false),
            ("*", "b", true),
            ("*.x", "a.*", true),
            ("abc", "ab?", true),
            ("abd", "ab[c]", false),
            ("a", "b", false),
        ] {
            assert_eq!(patterns(&[one]).may_overlap(&patterns(&[two])), overlap, "{one} {two}");
            assert_eq!(patterns(&[two]).may_overlap(&patterns(&[one])), overlap, "{two} {one}");
        }
    }
}
