//! Where several rules name the same, which of them decides. What plans compile to says so without a word; people ask.

use super::{MaskingRules, RuleSet};
use crate::mask::detect::Detector;
use crate::mask::{Action, Path, Segment, Target};

/// One thing that rules name, and which rule decides what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskDecision<'a> {
    /// What is named.
    pub named: MaskNamed<'a>,
    /// The number of the rule that leaves least of it; of several that leave as little, the first.
    pub rule: usize,
    /// The numbers of the others that are about it, too, in the policy's order.
    pub others: Vec<usize>,
}

/// What a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskNamed<'a> {
    /// By its place.
    Field(&'a Path),
    /// By its form.
    Detected(&'a Detector),
}

impl MaskingRules {
    /// All that the rules of a set name, each once, in the policy's order. A rule is about all that lies below a field
    /// that it names, too.
    pub fn decisions(&self, set: RuleSet) -> Vec<MaskDecision<'_>> {
        let mut named: Vec<MaskNamed<'_>> = Vec::new();
        for rule in self.of(set) {
            let fields = rule.fields.iter().map(MaskNamed::Field);
            for one in fields.chain(rule.detect.iter().map(MaskNamed::Detected)) {
                if !named.contains(&one) {
                    named.push(one);
                }
            }
        }
        named.into_iter().filter_map(|named| self.decide(set, named)).collect()
    }

    fn decide<'a>(&'a self, set: RuleSet, named: MaskNamed<'a>) -> Option<MaskDecision<'a>> {
        let about = |number: &usize| {
            let Some(rule) = self.0.get(*number) else { return false };
            match named {
                MaskNamed::Field(field) => rule.fields.iter().any(|outer| covers_path(outer, field)),
                MaskNamed::Detected(detector) => {
                    rule.detect.contains(detector) || rule.fields.iter().any(is_whole_value)
                }
            }
        };
        let numbers: Vec<usize> = set.iter().filter(about).collect();
        // Of two that are as strict, that counts whose action stands first among all rules, as in what they compile to.
        let stands = |action: &Action| set.iter().position(|number| self.0[number].action == *action);
        let strictness = |number: usize| {
            let action = &self.0[number].action;
            (action.strictness(), std::cmp::Reverse(stands(action)))
        };
        let first = numbers.first().copied()?;
        let rule =
            numbers.iter().fold(first, |best, next| if strictness(*next) > strictness(best) { *next } else { best });
        Some(MaskDecision { named, rule, others: numbers.into_iter().filter(|number| *number != rule).collect() })
    }
}

fn is_whole_value(path: &Path) -> bool {
    matches!(path.target(), Target::Value(segments) if segments.is_empty())
}

/// Whether `outer` surely names all that `inner` does: itself, a field above it, or wherever it stands.
pub(super) fn covers_path(outer: &Path, inner: &Path) -> bool {
    match (outer.target(), inner.target()) {
        (Target::Value(outer), Target::Value(inner)) | (Target::Key(outer), Target::Key(inner)) => {
            covers_segments(outer, inner)
        }
        (Target::Header(outer), Target::Header(inner)) => outer == inner,
        _ => false,
    }
}

/// Goes through `outer` with all places in `inner` that it may have come to.
fn covers_segments(outer: &[Segment], inner: &[Segment]) -> bool {
    let mut places = vec![false; inner.len() + 1];
    places[0] = true;
    for segment in outer {
        if *segment == Segment::Deep {
            let first = places.iter().position(|place| *place).unwrap_or(places.len());
            places[first..].fill(true);
            continue;
        }
        for at in (1..places.len()).rev() {
            places[at] = places[at - 1] && covers_segment(segment, &inner[at - 1]);
        }
        places[0] = false;
    }
    places.contains(&true)
}

fn covers_segment(outer: &Segment, inner: &Segment) -> bool {
    match (outer, inner) {
        (Segment::Any, Segment::Any | Segment::Name(_)) => true,
        (outer, inner) => outer == inner,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn covers(outer: &str, inner: &str) -> bool {
        covers_path(&outer.parse().unwrap(), &inner.parse().unwrap())
    }

    #[test]
    fn a_path_covers_what_lies_below_it_and_wherever_it_may_stand() {
        for (outer, inner) in [
            ("card.number", "card.number"),
            ("card", "card.number"),
            ("$value", "card.number"),
            ("$value", "$value"),
            ("**.pan", "card.pan"),
            ("**.pan", "pan"),
            ("**.pan", "**.pan"),
            ("**.pan", "a.**.pan"),
            ("**.card.pan", "x.card.pan.bin"),
            ("card.*", "card.number"),
            ("card.*", "card.*"),
            ("*", "*.pan"),
            ("items.iban", "items[*].iban"),
            ("$key", "$key.id"),
            ("headers.x-card", "headers.x-card"),
        ] {
            assert!(covers(outer, inner), "{outer} {inner}");
        }
    }

    #[test]
    fn a_path_does_not_cover_what_it_may_miss() {
        for (outer, inner) in [
            ("card.number", "card"),
            ("card.number", "**.number"),
            ("card.number", "card.*"),
            ("card", "$value"),
            ("*", "**.pan"),
            ("**.pan", "card.*"),
            ("$value", "$key"),
            ("$key.id", "id"),
            ("headers.a", "headers.b"),
            ("**.a.b", "a.x.b"),
        ] {
            assert!(!covers(outer, inner), "{outer} {inner}");
        }
    }
}
