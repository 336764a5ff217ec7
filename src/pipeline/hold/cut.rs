//! Takes out of a request what may not be done, with what its client is told instead.

use std::collections::{HashMap, HashSet};

use crate::pipeline::access::{
    Amends, FETCH_SESSION_ID_NOT_FOUND, GROUP_AUTHORIZATION_FAILED, Judgement, Request, SHARE_SESSION_NOT_FOUND,
    UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION,
};
use crate::pipeline::describe::TopicDirectory;
use crate::pipeline::guard::CLUSTER_AUTHORIZATION_FAILED;
use crate::policy::ActionKind;
use crate::wire::kafka::api::key;
use crate::wire::kafka::items::{self, Item};
use crate::wire::kafka::layout::{Direction, Element, Group, Role};
use crate::wire::kafka::listing::TOPIC_AUTHORIZATION_FAILED;
use crate::wire::kafka::tree::{Array, Node, Tree, Without};
use crate::wire::kafka::walk::Malformed;

/// What is not done, and what its client is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What of the request it is; none: all of it.
    pub names: Option<Vec<(ActionKind, String)>>,
    /// In words.
    pub why: String,
}

/// Kafka's POLICY_VIOLATION.
pub const POLICY_VIOLATION: i16 = 44;

/// What becomes of a request without these. Where it reads records, those are answered as if there were none yet.
pub fn cut(
    request: Request<'_>,
    refusals: &[Refusal],
    unknown: &[[u8; 16]],
    topics: &dyn TopicDirectory,
) -> Result<Judgement, Malformed> {
    if refusals.is_empty() && unknown.is_empty() {
        return Ok(Judgement::Passes);
    }
    let (key, version) = (request.api_key, request.version);
    let whole = |kind| Judgement::Refused { code: code_of(key, version, kind), why: all_of(refusals) };
    if let Some(all) = refusals.iter().find(|refusal| refusal.names.is_none()) {
        return Ok(Judgement::Refused { code: code_of(key, version, ActionKind::Cluster), why: all.why.clone() });
    }
    if key == key::STREAMS_GROUP_HEARTBEAT {
        return Ok(whole(ActionKind::Topic));
    }
    let Some(tree) = Tree::read(key, version, Direction::Request, request.body, true)? else {
        return Ok(whole(ActionKind::Cluster));
    };
    if tree.root.number(Role::Acks).is_some_and(|(acks, _)| acks == 0) {
        // With nothing awaited there is no answer to put an error in.
        return Ok(whole(ActionKind::Topic));
    }
    let refused = Refused { why: refused(refusals), unknown, topics };
    let Some((items, left, without)) = refused.taken_out(&tree, key, version) else {
        return Ok(whole(ActionKind::Cluster));
    };
    // Metadata's answer tells of the brokers too.
    if left == 0 && !items.is_empty() && key != key::METADATA {
        return Ok(match (key, tree.root.arrays.first()) {
            // Of others the whole is answered, but where nobody could say what it names: an election's answer has words beside
            // partitions only, and records are too many bytes for it.
            (key::FETCH | key::PRODUCE | key::ELECT_LEADERS, _) | (_, None) => Judgement::Answered(items),
            _ if refusals.is_empty() => Judgement::Answered(items),
            (_, Some(array)) => {
                whole(array.nodes.first().and_then(|node| kind_of(array, Some(node))).unwrap_or(ActionKind::Cluster))
            }
        });
    }
    // In version 0 naming no topic asks for all of them.
    let only = (key == key::METADATA && version == 0 && left == 0).then(Vec::new);
    let amends = Amends { items, only, ..Amends::default() };
    Ok(Judgement::GoesOn { body: Some(without.done(request.body)), amends })
}

/// What is refused as a whole is told of each of its refusals, as far as anybody reads.
fn all_of(refusals: &[Refusal]) -> String {
    const TOLD: usize = 3;
    let told: Vec<&str> = refusals.iter().take(TOLD).map(|refusal| &*refusal.why).collect();
    match refusals.len().saturating_sub(TOLD) {
        _ if refusals.is_empty() => "no topic has this id".to_owned(),
        0 => told.join("; "),
        more => format!("{}; and {more} more", told.join("; ")),
    }
}

/// Why something is not done, by the name that it has in the request.
type Whys<'a> = HashMap<(ActionKind, String), &'a str>;

fn refused(refusals: &[Refusal]) -> Whys<'_> {
    let names = refusals.iter().flat_map(|refusal| refusal.names.iter().flatten().map(|name| (name, &*refusal.why)));
    names.map(|((kind, name), why)| ((*kind, name.clone()), why)).collect()
}

/// What does not go on.
struct Refused<'a> {
    why: Whys<'a>,
    unknown: &'a [[u8; 16]],
    topics: &'a dyn TopicDirectory,
}

impl Refused<'_> {
    /// What is answered, how many elements are left, and the request without the others. None where something that is refused
    /// has another name by now, or stands elsewhere: in doubt nothing goes on.
    fn taken_out<'t>(&self, tree: &'t Tree, key: i16, version: i16) -> Option<(Vec<Item>, usize, Without<'t>)> {
        let mut without = tree.without();
        let (mut items, mut left, mut met) = (Vec::new(), 0, HashSet::new());
        for array in tree.root.arrays.iter().filter(|array| kind_of(array, None).is_some()) {
            let mut out = Vec::new();
            for (place, node) in array.nodes.iter().enumerate() {
                if node.topic_id().is_some_and(|id| self.unknown.contains(&id)) {
                    items.push(Item::of(node, array.of, UNKNOWN_TOPIC_ID, None));
                } else if let Some((named, why)) = self.why(array, node) {
                    let why = format!("weir: {why}");
                    items.push(Item::of(node, array.of, code_of(key, version, named.0), Some(&why)));
                    met.insert(named);
                } else {
                    left += 1;
                    continue;
                }
                out.push(place);
            }
            without.take_out(array, &out);
        }
        (met.len() == self.why.len()).then_some((items, left, without))
    }

    /// What an element is and why it is refused; none where it is not.
    fn why(&self, array: &Array, node: &Node) -> Option<(&(ActionKind, String), &str)> {
        let kind = kind_of(array, Some(node))?;
        let of_an_id = match (kind, node.topic_id()) {
            (ActionKind::Topic, Some(id)) => Some(self.topics.name(&id)?),
            _ => None,
        };
        let name = match kind {
            ActionKind::Topic => of_an_id.as_deref().or(node.text(Role::Topic)),
            ActionKind::Group => node.text(Role::GroupId),
            _ => None,
        };
        let name = name.or(node.text(Role::ResourceName)).unwrap_or_default();
        self.why.get_key_value(&(kind, name.to_owned())).map(|(named, why)| (named, *why))
    }
}

/// What an array's elements are, of configurations by the element.
fn kind_of(array: &Array, node: Option<&Node>) -> Option<ActionKind> {
    match array.of {
        Element::Group(Group::Topic) | Element::Value(Role::Topic) => Some(ActionKind::Topic),
        Element::Group(Group::Group) | Element::Value(Role::GroupId) => Some(ActionKind::Group),
        Element::Group(Group::Resource) => {
            let number = node.and_then(|node| node.number(Role::ResourceType)).map_or(-1, |(number, _)| number);
            Some(super::wanted::kind_of_configs(number))
        }
        _ => None,
    }
}

/// The error for a request that is refused whole, of those that can be held.
pub fn code_of_all(api_key: i16, version: i16) -> i16 {
    match api_key {
        // Clients open another session, and ask again.
        key::FETCH => FETCH_SESSION_ID_NOT_FOUND,
        key::SHARE_FETCH => SHARE_SESSION_NOT_FOUND,
        key::PRODUCE | key::METADATA => TOPIC_AUTHORIZATION_FAILED,
        _ => code_of(api_key, version, ActionKind::Cluster),
    }
}

/// The error that a client of this version takes for a clear no: with words where the answer has room for them, else the one of
/// a right that is lacking.
fn code_of(api_key: i16, version: i16, kind: ActionKind) -> i16 {
    match api_key {
        // It is not there yet; clients ask again.
        key::METADATA => return UNKNOWN_TOPIC_OR_PARTITION,
        // As if there were nothing yet.
        key::FETCH => return 0,
        _ => {}
    }
    match kind {
        _ if items::has_words(api_key, version) => POLICY_VIOLATION,
        ActionKind::Topic => TOPIC_AUTHORIZATION_FAILED,
        ActionKind::Group => GROUP_AUTHORIZATION_FAILED,
        _ => CLUSTER_AUTHORIZATION_FAILED,
    }
}
