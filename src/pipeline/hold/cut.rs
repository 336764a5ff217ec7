//! Takes out of a request what may not be done, with what its client is told instead.

use crate::pipeline::access::{
    Amends, GROUP_AUTHORIZATION_FAILED, Judgement, Request, UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION,
};
use crate::pipeline::describe::TopicDirectory;
use crate::pipeline::guard::CLUSTER_AUTHORIZATION_FAILED;
use crate::policy::ActionKind;
use crate::wire::kafka::api::key;
use crate::wire::kafka::items::{self, Item};
use crate::wire::kafka::layout::{Direction, Element, Group, Role};
use crate::wire::kafka::listing::TOPIC_AUTHORIZATION_FAILED;
use crate::wire::kafka::tree::{Array, Node, Tree};
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
    let mut without = tree.without();
    let (mut items, mut left) = (Vec::new(), 0);
    for array in tree.root.arrays.iter().filter(|array| kind_of(array, None).is_some()) {
        let mut out = Vec::new();
        for (place, node) in array.nodes.iter().enumerate() {
            if node.topic_id().is_some_and(|id| unknown.contains(&id)) {
                items.push(Item::of(node, array.of, UNKNOWN_TOPIC_ID, None));
            } else if let Some(refusal) = refusals.iter().find(|refusal| is_of(refusal, array, node, topics)) {
                let kind = kind_of(array, Some(node)).unwrap_or(ActionKind::Cluster);
                let why = format!("weir: {}", refusal.why);
                items.push(Item::of(node, array.of, code_of(key, version, kind), Some(&why)));
            } else {
                left += 1;
                continue;
            }
            out.push(place);
        }
        without.take_out(array, &out);
    }
    // With nothing awaited there is no answer to put an error in.
    let unawaited = tree.root.number(Role::Acks).is_some_and(|(acks, _)| acks == 0);
    // Metadata's answer tells of the brokers too.
    if left == 0 && !items.is_empty() && key != key::METADATA {
        return Ok(match (key, tree.root.arrays.first()) {
            // An election's answer has words beside partitions only; records are too large for an answer to the whole.
            (key::FETCH | key::ELECT_LEADERS, _) | (_, None) => Judgement::Answered(items),
            _ if refusals.is_empty() || (key == key::PRODUCE && !unawaited) => Judgement::Answered(items),
            (_, Some(array)) => {
                whole(array.nodes.first().and_then(|node| kind_of(array, Some(node))).unwrap_or(ActionKind::Cluster))
            }
        });
    }
    if unawaited {
        return Ok(whole(ActionKind::Topic));
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

fn is_of(refusal: &Refusal, array: &Array, node: &Node, topics: &dyn TopicDirectory) -> bool {
    let kind = kind_of(array, Some(node));
    let name = match (kind, node.topic_id()) {
        (Some(ActionKind::Topic), Some(id)) => topics.name(&id).map(|name| name.to_string()).unwrap_or_default(),
        (Some(ActionKind::Topic), None) => {
            node.text(Role::Topic).or(node.text(Role::ResourceName)).unwrap_or_default().to_owned()
        }
        (Some(ActionKind::Group), _) => {
            node.text(Role::GroupId).or(node.text(Role::ResourceName)).unwrap_or_default().to_owned()
        }
        _ => node.text(Role::ResourceName).unwrap_or_default().to_owned(),
    };
    let names = refusal.names.as_deref().unwrap_or_default();
    names.iter().any(|(of, named)| Some(*of) == kind && *named == name)
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
