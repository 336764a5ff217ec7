//! What exactly somebody wants to do, in a form in which the same is always the same: what a reviewer sees, and what a grant
//! is bound to.
//!
//! Invariants:
//! - Two actions have one digest only if they are alike to the last parameter. What is withheld from people (a password) is in
//!   the digest all the same, keyed, so that it cannot be guessed from it.
//! - Order of items and parameters, and how a client happened to write them, is no part of it.

use std::collections::HashSet;
use std::fmt;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::operation::HeldOperation;
use crate::limits;

/// What is shown in the place of a value that nobody may see.
pub const WITHHELD: &str = "(withheld)";

/// A name and a value.
pub type Parameter = (String, String);

/// What somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// On which cluster.
    pub cluster: String,
    /// What.
    pub operation: HeldOperation,
    /// With what; sorted.
    pub items: Vec<ActionItem>,
    /// How, as far as that is said of all of it; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
}

/// One of the things that it is done to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActionItem {
    /// What kind of thing.
    pub kind: ActionKind,
    /// Its name; of the cluster none.
    pub name: String,
    /// How; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
}

impl ActionItem {
    /// What tells it from others of a request: of users also the kind of credential, of quotas whom it is for.
    fn told_apart_by(&self) -> (ActionKind, &str, Option<&str>) {
        let apart = self.parameters.iter().find(|(name, _)| matches!(&**name, "entity" | "mechanism"));
        let apart = apart.filter(|_| matches!(self.kind, ActionKind::User | ActionKind::Quota));
        (self.kind, &self.name, apart.map(|(_, value)| &**value))
    }
}

/// Kinds of things that actions are done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// A topic.
    Topic,
    /// A consumer, share or streams group.
    Group,
    /// A broker, by node id; without a name all of them.
    Broker,
    /// A user of the cluster.
    User,
    /// Whom a quota is for.
    Quota,
    /// The cluster.
    Cluster,
    /// Weir's policy.
    Policy,
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ActionKind::Topic => "topic",
            ActionKind::Group => "group",
            ActionKind::Broker => "broker",
            ActionKind::User => "user",
            ActionKind::Quota => "quota",
            ActionKind::Cluster => "cluster",
            ActionKind::Policy => "policy",
        })
    }
}

/// What tells one action from all others of a gateway: HMAC-SHA256 under the store's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// The key of digests.
#[derive(Clone)]
pub struct DigestKey(pub Zeroizing<[u8; 32]>);

impl Action {
    /// An action with everything in its order. Alike items count once: asking twice for the same is asking for it.
    pub fn new(
        cluster: &str,
        operation: HeldOperation,
        mut items: Vec<ActionItem>,
        mut parameters: Vec<Parameter>,
    ) -> Action {
        items.iter_mut().for_each(|item| item.parameters.sort());
        items.sort();
        items.dedup();
        parameters.sort();
        Action { cluster: cluster.to_owned(), operation, items, parameters }
    }

    /// Its digest, with what is withheld from people.
    pub fn digest(&self, key: &DigestKey, withheld: &[Zeroizing<Vec<u8>>]) -> Digest {
        // A key of any length is taken.
        let Ok(mut hash) = Hmac::<Sha256>::new_from_slice(key.0.as_slice()) else { return Digest([0; 32]) };
        let mut say = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        say(self.cluster.as_bytes());
        say(self.operation.name().as_bytes());
        let lists = self.items.iter().map(|item| (Some(item), &item.parameters));
        for (item, parameters) in lists.chain([(None, &self.parameters)]) {
            let (kind, name) = item.map_or((String::new(), ""), |item| (item.kind.to_string(), &*item.name));
            say(kind.as_bytes());
            say(name.as_bytes());
            say(&(parameters.len() as u64).to_be_bytes());
            for (name, value) in parameters {
                say(name.as_bytes());
                say(value.as_bytes());
            }
        }
        withheld.iter().for_each(|secret| say(secret));
        Digest(hash.finalize().into_bytes().into())
    }

    /// Whether a reviewer can be shown all of it, and be sure what it says.
    pub fn can_be_shown(&self) -> bool {
        self.bytes() <= limits::ACTION_BYTES_MAX && !self.says_it_twice()
    }

    /// Whether it says of one thing twice how: of two values for one setting, a reviewer cannot tell which one counts.
    fn says_it_twice(&self) -> bool {
        let twice = |parameters: &[Parameter]| parameters.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let mut met = HashSet::new();
        let mut again = |item| !met.insert(ActionItem::told_apart_by(item));
        twice(&self.parameters) || self.items.iter().any(|item| twice(&item.parameters) || again(item))
    }

    /// What its texts take, bytes.
    pub fn bytes(&self) -> usize {
        let of =
            |parameters: &[Parameter]| parameters.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.items.iter().map(|item| item.name.len() + of(&item.parameters)).sum::<usize>() + of(&self.parameters)
    }
}

/// In one line: `delete topics prod.a, prod.b`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        write!(f, "{}", self.operation.words())?;
        for (at, item) in self.items.iter().take(SHOWN).enumerate() {
            let name = if item.name.is_empty() { item.kind.to_string() } else { item.name.clone() };
            write!(f, "{} {name}", if at > 0 { "," } else { "" })?;
        }
        match self.items.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mut bytes = [0; 32];
        let lawful = text.len() == 64 && text.is_ascii();
        for (at, byte) in bytes.iter_mut().enumerate().take(if lawful { 32 } else { 0 }) {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(serde::de::Error::custom)?;
        }
        if lawful { Ok(Digest(bytes)) } else { Err(serde::de::Error::custom("a digest has 64 hexadecimal digits")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, parameters: &[(&str, &str)]) -> ActionItem {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ActionItem { kind: ActionKind::Topic, name: name.to_owned(), parameters }
    }

    fn create(items: Vec<ActionItem>) -> Action {
        Action::new("main", HeldOperation::CreateTopics, items, Vec::new())
    }

    fn digest(action: &Action, withheld: &[&[u8]]) -> Digest {
        let withheld: Vec<_> = withheld.iter().map(|secret| Zeroizing::new(secret.to_vec())).collect();
        action.digest(&DigestKey(Zeroizing::new([7; 32])), &withheld)
    }

    #[test]
    fn the_same_in_another_order_is_the_same_action() {
        let one = create(vec![topic("a", &[("x", "1"), ("y", "2")]), topic("b", &[])]);
        let two = create(vec![topic("b", &[]), topic("a", &[("y", "2"), ("x", "1")]), topic("b", &[])]);
        assert_eq!(one, two);
        assert_eq!(digest(&one, &[]), digest(&two, &[]));
    }

    #[test]
    fn another_name_parameter_cluster_operation_or_secret_is_another_action() {
        let base = create(vec![topic("a", &[("x", "1")])]);
        let mut others = vec![
            create(vec![topic("b", &[("x", "1")])]),
            create(vec![topic("a", &[("x", "2")])]),
            create(vec![topic("a", &[("x1", "")])]),
            create(vec![topic("a", &[]), topic("x", &[])]),
            create(vec![topic("a", &[("x", "1")]), topic("b", &[])]),
        ];
        others.push(Action { cluster: "other".to_owned(), ..base.clone() });
        others.push(Action { operation: HeldOperation::DeleteTopics, ..base.clone() });
        others.push(Action { parameters: vec![("x".to_owned(), "1".to_owned())], ..base.clone() });
        for other in &others {
            assert_ne!(digest(&base, &[]), digest(other, &[]), "{other:?}");
        }
        assert_ne!(digest(&base, &[b"a"]), digest(&base, &[b"b"]));
        assert_ne!(digest(&base, &[b"ab"]), digest(&base, &[b"a", b"b"]));
    }

    #[test]
    fn one_thing_with_two_values_is_told_from_two_things() {
        assert!(create(vec![topic("a", &[("x", "1"), ("y", "1"), ("x", "2")])]).says_it_twice());
        assert!(create(vec![topic("a", &[("x", "1")]), topic("b", &[]), topic("a", &[])]).says_it_twice());
        assert!(!create(vec![topic("a", &[("x", "1"), ("y", "1")]), topic("b", &[("x", "1")])]).says_it_twice());
    }

    #[test]
    fn a_digest_is_read_back_and_nothing_else_is() {
        let digest = digest(&create(vec![topic("a", &[])]), &[]);
        let text = serde_json::to_string(&digest).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Digest>(&text).ok(), Some(digest));
        assert!(serde_json::from_str::<Digest>("\"é\"").is_err());
        assert!(serde_json::from_str::<Digest>(&format!("\"{}\"", "zz".repeat(32))).is_err());
    }
}
