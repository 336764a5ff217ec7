//! Who has to say yes: groups with counts, joined by `all` and `any`.
//!
//! Invariant: a quorum counts distinct people. Somebody who is in two of the groups asked for counts in one of them, and a token
//! that somebody minted counts as that somebody.

use serde::{Deserialize, Serialize};

use super::person::Person;

/// How many alternatives an expression may come to; more is no rule that anybody can read.
pub const ALTERNATIVES_MAX: usize = 64;
/// How many people one alternative may ask for.
pub const PEOPLE_MAX: usize = 16;

/// An expression over groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approvers {
    /// So many people of a group.
    Of {
        /// The group.
        group: String,
        /// How many.
        count: usize,
    },
    /// Each of these.
    All(Vec<Approvers>),
    /// One of these.
    Any(Vec<Approvers>),
}

impl Approvers {
    /// Every group that is asked for.
    pub fn groups(&self) -> Vec<&str> {
        match self {
            Approvers::Of { group, .. } => vec![group],
            Approvers::All(inner) | Approvers::Any(inner) => inner.iter().flat_map(Approvers::groups).collect(),
        }
    }

    /// Whether one who is in these groups has a say.
    pub fn has_a_say(&self, groups: &[String]) -> bool {
        self.groups().iter().any(|asked| groups.iter().any(|group| group == asked))
    }

    /// Whether these people are enough. Those who may be one human count once.
    pub fn are_met_by(&self, people: &[(&Person, &[String])]) -> bool {
        let mut distinct: Vec<(&Person, Vec<&String>)> = Vec::new();
        for (person, groups) in people {
            match distinct.iter_mut().find(|(known, _)| known.may_be(person)) {
                Some((_, known)) => known.extend(groups.iter()),
                None => distinct.push((person, groups.iter().collect())),
            }
        }
        let groups: Vec<Vec<&String>> = distinct.into_iter().map(|(_, groups)| groups).collect();
        self.alternatives().is_some_and(|ways| ways.iter().any(|way| fills(way, &groups)))
    }

    /// Each way of meeting it, as the groups of the people that it takes; none where there are too many, or one takes too many
    /// people.
    pub fn alternatives(&self) -> Option<Vec<Vec<&str>>> {
        let ways = match self {
            Approvers::Of { group, count } => vec![vec![&**group; (*count).min(PEOPLE_MAX + 1)]],
            Approvers::Any(inner) => {
                let ways: Option<Vec<_>> = inner.iter().map(Approvers::alternatives).collect();
                ways?.concat()
            }
            Approvers::All(inner) => inner.iter().try_fold(vec![Vec::new()], |before, next| {
                let next = next.alternatives()?;
                let joined = before.iter().flat_map(|one| next.iter().map(|two| [&one[..], &two[..]].concat()));
                Some(joined.take(ALTERNATIVES_MAX + 1).collect())
            })?,
        };
        let lawful = ways.len() <= ALTERNATIVES_MAX && ways.iter().all(|way| way.len() <= PEOPLE_MAX);
        lawful.then_some(ways)
    }
}

/// As a person would write it: `2 of sre and 1 of security`.
impl std::fmt::Display for Approvers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (inner, word) = match self {
            Approvers::Of { group, count } => return write!(f, "{count} of {group}"),
            Approvers::All(inner) => (inner, " and "),
            Approvers::Any(inner) => (inner, " or "),
        };
        let one = |inner: &Approvers| match inner {
            Approvers::Of { .. } => inner.to_string(),
            _ => format!("({inner})"),
        };
        f.write_str(&inner.iter().map(one).collect::<Vec<_>>().join(word))
    }
}

/// Whether each seat can be given to a person of its own who is in its group (Kuhn's algorithm).
fn fills(seats: &[&str], people: &[Vec<&String>]) -> bool {
    let mut taken: Vec<Option<usize>> = vec![None; people.len()];
    (0..seats.len()).all(|seat| seat_found(seat, seats, people, &mut taken, &mut vec![false; people.len()]))
}

fn seat_found(
    seat: usize,
    seats: &[&str],
    people: &[Vec<&String>],
    taken: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for (at, groups) in people.iter().enumerate() {
        if tried[at] || !groups.iter().any(|group| *group == seats[seat]) {
            continue;
        }
        tried[at] = true;
        if taken[at].is_none_or(|other| seat_found(other, seats, people, taken, tried)) {
            taken[at] = Some(seat);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(group: &str, count: usize) -> Approvers {
        Approvers::Of { group: group.to_owned(), count }
    }

    fn met(asked: &Approvers, people: &[(&str, &[&str])]) -> bool {
        let people: Vec<(Person, Vec<String>)> = people
            .iter()
            .map(|(name, groups)| (Person::new("idp", name), groups.iter().map(ToString::to_string).collect()))
            .collect();
        let people: Vec<(&Person, &[String])> = people.iter().map(|(who, groups)| (who, &groups[..])).collect();
        asked.are_met_by(&people)
    }

    #[test]
    fn nobody_counts_twice() {
        let both = Approvers::All(vec![of("sre", 1), of("security", 1)]);
        assert!(!met(&both, &[("ann", &["sre", "security"])]));
        assert!(!met(&both, &[("ann", &["sre"]), ("ann", &["security"])]));
        assert!(met(&both, &[("ann", &["sre", "security"]), ("bob", &["sre"])]), "each seat finds its person");
        assert!(met(&both, &[("bob", &["sre"]), ("ann", &["sre", "security"])]));
        assert!(!met(&of("sre", 2), &[("ann", &["sre"]), ("ann", &["sre"])]));
        assert!(met(&of("sre", 2), &[("ann", &["sre"]), ("bob", &["sre"])]));
    }

    #[test]
    fn any_takes_one_alternative_and_all_each() {
        let asked = Approvers::Any(vec![of("owners", 1), Approvers::All(vec![of("sre", 2), of("security", 1)])]);
        assert!(met(&asked, &[("ann", &["owners"])]));
        assert!(!met(&asked, &[("ann", &["sre"]), ("bob", &["sre"])]));
        assert!(met(&asked, &[("ann", &["sre"]), ("bob", &["sre"]), ("eve", &["security"])]));
        assert_eq!(asked.to_string(), "1 of owners or (2 of sre and 1 of security)");
        assert!(asked.has_a_say(&["security".to_owned()]) && !asked.has_a_say(&["dev".to_owned()]));
    }

    #[test]
    fn what_asks_for_too_much_is_never_met() {
        assert!(of("sre", PEOPLE_MAX + 1).alternatives().is_none());
        let wide = Approvers::Any(vec![of("a", 1), of("b", 1)]);
        let deep =
            Approvers::All(vec![wide.clone(), wide.clone(), wide.clone(), wide.clone(), wide.clone(), wide.clone()]);
        assert_eq!(deep.alternatives().map(|ways| ways.len()), Some(ALTERNATIVES_MAX));
        assert!(Approvers::All(vec![deep, wide]).alternatives().is_none());
    }
}
