//! Who somebody is where people are counted: the same person must not be counted as two.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A person or a service, and who made the token that it comes with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Person {
    /// Who vouches: `weir`, an identity provider's issuer URL, `certificate` or `anonymous`.
    pub issuer: String,
    /// Who it is there.
    pub subject: String,
    /// The person that made the token it comes with: whoever makes a token can use it. None where that was an operator of the
    /// gateway itself, over its local socket, or where there is no such token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minted_by: Option<Box<Person>>,
}

impl Person {
    /// Somebody who comes without a token of another's.
    pub fn new(issuer: &str, subject: &str) -> Person {
        Person { issuer: issuer.to_owned(), subject: subject.to_owned(), minted_by: None }
    }

    /// Whether both may be the same: one of the names that one goes by is one of the other's.
    pub fn is_the_same_as(&self, other: &Person) -> bool {
        self.names().any(|name| other.names().any(|theirs| theirs == name))
    }

    /// Whether both may be one human: people have the same name with several who vouch for them, such as a certificate's
    /// issuer and an identity provider. Where it matters that they are two, who may be one is one.
    pub fn may_be(&self, other: &Person) -> bool {
        let alike = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        self.names().any(|(_, name)| other.names().any(|(_, theirs)| alike(name, theirs)))
    }

    fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        std::iter::successors(Some(self), |person| person.minted_by.as_deref())
            .map(|person| (&*person.issuer, &*person.subject))
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)?;
        self.minted_by.iter().try_for_each(|minter| write!(f, " (with a token by {minter})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_token_by(subject: &str, minter: Person) -> Person {
        Person { minted_by: Some(Box::new(minter)), ..Person::new("weir", subject) }
    }

    #[test]
    fn a_token_counts_as_whoever_made_it() {
        let ann = Person::new("idp", "ann");
        let robot = with_token_by("robot", ann.clone());
        let robots = with_token_by("another", robot.clone());
        assert!(robot.is_the_same_as(&ann) && ann.is_the_same_as(&robots));
        assert!(with_token_by("x", ann.clone()).is_the_same_as(&with_token_by("y", ann.clone())));
        assert!(robot.is_the_same_as(&Person::new("weir", "robot")));
        assert!(!ann.is_the_same_as(&Person::new("other idp", "ann")), "names are an issuer's");
    }

    #[test]
    fn who_bears_the_same_name_elsewhere_may_be_the_same_human() {
        let ann = Person::new("idp", "ann");
        assert!(ann.may_be(&Person::new("certificate", "Ann")) && !ann.may_be(&Person::new("idp", "bob")));
        assert!(Person::new("certificate", "ann").may_be(&with_token_by("robot", ann)));
    }
}
