//! Judges a whole request: what of it goes on, and what is answered instead.

use std::collections::HashSet;

use super::standing::Standing;
use super::table::{self, Answers, Asks, Rule};
use super::*;
use crate::pipeline::describe::TopicDirectory;
use crate::pipeline::guard;
use crate::policy::{Operation, ResourceKind};
use crate::wire::kafka::api::key;
use crate::wire::kafka::items::Item;
use crate::wire::kafka::layout::{Direction, Element, Group, Role};
use crate::wire::kafka::tree::{Array, Content, Node, Tree, Without};
use crate::wire::kafka::walk::Malformed;

/// A whole request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// API key.
    pub api_key: i16,
    /// API version.
    pub version: i16,
    /// Its body.
    pub body: &'a [u8],
}

/// What becomes of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It goes on as it is.
    Passes,
    /// It goes on, and its answer is changed.
    GoesOn {
        /// Its body, where that is not what came.
        body: Option<Vec<u8>>,
        /// What is changed in the answer.
        amends: Amends,
    },
    /// Nothing of it goes on: these items are the answer.
    Answered(Vec<Item>),
    /// Nothing of it goes on.
    Refused {
        /// Kafka error code.
        code: i16,
        /// What a person should know.
        why: String,
    },
}

/// `ConfigResource.Type.TOPIC`.
const TOPIC_CONFIGS: i64 = 2;
/// `ConfigResource.Type.GROUP`.
const GROUP_CONFIGS: i64 = 32;
/// FindCoordinator's key types; one more, of share groups' partitions, is for brokers.
const GROUP_COORDINATOR: i64 = 0;
const TRANSACTION_COORDINATOR: i64 = 1;
/// A full fetch that opens no session, and the first one of a session (KIP-227).
const NO_SESSION_EPOCH: i64 = -1;
const FIRST_EPOCH: i64 = 0;
/// Said of an id that nobody has told of, and of one whose topic may not be described: in the same words.
const UNKNOWN_ID: &str = "no topic that this identity may know of has the id";
/// From here on a Metadata says whether it may create what it names.
const CREATION_IS_ASKED_FOR: i16 = 4;
/// In this version of Metadata naming no topic asks for all of them; later ones have null for that.
const NONE_MEANS_ALL: i16 = 0;

/// Judges a request that follows its layout.
pub fn judge(
    request: Request<'_>,
    standing: &mut Standing,
    topics: &dyn TopicDirectory,
) -> Result<Judgement, Malformed> {
    let asks = match table::rule(request.api_key) {
        Rule::Free(_) => return Ok(Judgement::Passes),
        // Nobody gets here with one of these.
        Rule::Never => return Ok(refused(CLUSTER_AUTHORIZATION_FAILED, "this request is nobody's right")),
        Rule::Asks(asks) => asks,
    };
    if let Some(operation) = asks.cluster
        && !standing.cluster().contains(operation)
    {
        return Ok(refused(CLUSTER_AUTHORIZATION_FAILED, &lacks(operation, "the cluster")));
    }
    let mut judge = Judge { asks, request, standing, topics, coordinates: 0 };
    if judge.may_all() {
        return Ok(judge.passes());
    }
    let Request { api_key, version, body } = request;
    let Some(tree) = Tree::read(api_key, version, Direction::Request, body, false)? else {
        return Ok(unreadable());
    };
    judge.coordinates = tree.root.number(Role::KeyType).map_or(0, |(kind, _)| kind);
    if let Some(refused) = judge.top(&tree.root) {
        return Ok(refused);
    }
    match judge.any_refused(&tree.root) {
        None => Ok(judge.goes_on(&tree)),
        Some((code, why)) if asks.answers == Answers::Whole => Ok(Judgement::Refused { code, why }),
        Some((code, why)) => {
            let judged = judge.cut()?;
            let refuses = match &judged {
                Judgement::GoesOn { amends, .. } => !amends.items.is_empty(),
                Judgement::Passes => false,
                Judgement::Answered(_) | Judgement::Refused { .. } => true,
            };
            let unawaited = tree.root.number(Role::Acks).is_some_and(|(acks, _)| acks == 0);
            match asks.answers {
                _ if !refuses => Ok(judged),
                // With nothing awaited there is no answer to put an error in; brokers close then, and so does Weir.
                _ if unawaited => Ok(Judgement::Refused { code, why }),
                Answers::AllOrNothing => judge.answers_all(),
                Answers::PerItem | Answers::Whole => Ok(judged),
            }
        }
    }
}

/// The group and the member that a share session is kept by.
fn share_member(root: &Node) -> (String, String) {
    let text = |role| root.text(role).unwrap_or_default().to_owned();
    (text(Role::GroupId), text(Role::MemberId))
}

fn unreadable() -> Judgement {
    refused(CLUSTER_AUTHORIZATION_FAILED, "Weir does not know this request's layout")
}

fn refused(code: i16, why: &str) -> Judgement {
    Judgement::Refused { code, why: why.to_owned() }
}

fn lacks(operation: Operation, what: &str) -> String {
    format!("no access rule lets this identity {operation} {what}")
}

struct Judge<'a> {
    asks: Asks,
    request: Request<'a>,
    standing: &'a mut Standing,
    topics: &'a dyn TopicDirectory,
    /// FindCoordinator's key type.
    coordinates: i64,
}

impl Judge<'_> {
    /// Whether all that the API can ask for is allowed, whatever it names.
    fn may_all(&self) -> bool {
        let Asks { topic, group, transactional_id, resource, .. } = self.asks;
        let everywhere = |operation: Option<Operation>, kind| {
            operation.is_none_or(|operation| self.standing.everywhere(kind).contains(operation))
        };
        let creates = match self.request.api_key {
            key::METADATA | key::STREAMS_GROUP_HEARTBEAT => self.may_create_all(),
            // It has a question of its own.
            key::INIT_PRODUCER_ID => false,
            _ => true,
        };
        creates
            && everywhere(topic, ResourceKind::Topic)
            && everywhere(group, ResourceKind::Group)
            && everywhere(transactional_id, ResourceKind::TransactionalId)
            && everywhere(resource, ResourceKind::Topic)
            && everywhere(resource, ResourceKind::Group)
            && resource.is_none_or(|operation| self.standing.cluster().contains(operation))
    }

    fn may_create_all(&self) -> bool {
        let topics = self.standing.everywhere(ResourceKind::Topic);
        topics.contains(Operation::Create) || self.standing.cluster().contains(Operation::Create)
    }

    fn passes(&self) -> Judgement {
        let amends = Amends { listing: self.asks.listing && !self.cluster_does(), ..Amends::default() };
        if amends.listing { Judgement::GoesOn { body: None, amends } } else { Judgement::Passes }
    }

    /// What is named at the top, which stands for all of the request.
    fn top(&mut self, root: &Node) -> Option<Judgement> {
        for (role, content, _) in &root.fields {
            let name = match content {
                Content::Text(Some(name)) => name,
                // No group is as good as one without a name.
                Content::Text(None) if *role == Role::GroupId => "",
                _ => continue,
            };
            let fault = match role {
                Role::GroupId => self.named(self.asks.group, ResourceKind::Group, name),
                Role::TransactionalId => self.named(self.asks.transactional_id, ResourceKind::TransactionalId, name),
                Role::CoordinatorKey => self.coordinator(name),
                Role::Topic => self.named(self.asks.topic, ResourceKind::Topic, name),
                Role::TopicRegex if !name.is_empty() => self.regex(),
                _ => None,
            };
            if let Some((code, why)) = fault {
                return Some(Judgement::Refused { code, why });
            }
        }
        match self.request.api_key {
            key::INIT_PRODUCER_ID if root.text(Role::TransactionalId).is_none() => self.idempotence(),
            key::FETCH => self.fetch_session(root),
            key::SHARE_FETCH => self.share_session(root),
            _ => None,
        }
    }

    /// A producer without a transactional id: since Kafka 2.8 who may write somewhere may be idempotent.
    fn idempotence(&self) -> Option<Judgement> {
        let may = self.standing.cluster().contains(Operation::IdempotentWrite)
            || self.standing.somewhere(Operation::Write, ResourceKind::Topic);
        (!may).then(|| refused(CLUSTER_AUTHORIZATION_FAILED, &lacks(Operation::Write, "any topic")))
    }

    /// What an incremental fetch reads is what its session holds: only one that was opened under these rights counts.
    fn fetch_session(&self, root: &Node) -> Option<Judgement> {
        let (id, _) = root.number(Role::SessionId)?;
        let (epoch, _) = root.number(Role::SessionEpoch)?;
        let known = i32::try_from(id).is_ok_and(|id| self.standing.sessions.knows(id));
        let why = "the fetch session was not opened on this connection under the rights it has now";
        (epoch > FIRST_EPOCH && !known).then(|| refused(FETCH_SESSION_ID_NOT_FOUND, why))
    }

    /// A broker keeps share sessions by group and member, which clients name as they like.
    fn share_session(&self, root: &Node) -> Option<Judgement> {
        let (epoch, _) = root.number(Role::SessionEpoch)?;
        let known = self.standing.sessions.shares(&share_member(root));
        let why = "the share session was not opened on this connection under the rights it has now";
        (epoch > FIRST_EPOCH && !known).then(|| refused(SHARE_SESSION_NOT_FOUND, why))
    }

    /// A share session is opened anew, with what this request names and nothing else.
    fn opens_share_session(&mut self, root: &Node) {
        let opens = root.number(Role::SessionEpoch).is_some_and(|(epoch, _)| epoch == FIRST_EPOCH);
        if self.request.api_key == key::SHARE_FETCH && opens {
            self.standing.sessions.share_opened(share_member(root));
        }
    }

    /// The broker would evaluate it over all topics, with Weir's rights.
    fn regex(&self) -> Option<(i16, String)> {
        let all = self.standing.everywhere(ResourceKind::Topic).contains(Operation::Describe);
        let why =
            "a regular expression is evaluated by the broker over all topics; it takes the right to describe them all";
        (!all).then(|| (TOPIC_AUTHORIZATION_FAILED, why.to_owned()))
    }

    fn named(&mut self, operation: Option<Operation>, kind: ResourceKind, name: &str) -> Option<(i16, String)> {
        let operation = operation.filter(|_| !self.cluster_does())?;
        let (code, what) = match kind {
            ResourceKind::Group => (GROUP_AUTHORIZATION_FAILED, "group"),
            ResourceKind::TransactionalId => (TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "transactional id"),
            ResourceKind::Topic => (TOPIC_AUTHORIZATION_FAILED, "topic"),
            ResourceKind::Cluster => (CLUSTER_AUTHORIZATION_FAILED, "cluster"),
        };
        let may = self.standing.named(kind, name).contains(operation);
        (!may).then(|| (code, lacks(operation, &format!("{what} {name}"))))
    }

    fn cluster_does(&self) -> bool {
        self.asks.or_cluster.is_some_and(|operation| self.standing.cluster().contains(operation))
    }

    fn coordinator(&mut self, name: &str) -> Option<(i16, String)> {
        match self.coordinates {
            GROUP_COORDINATOR => self.named(self.asks.group, ResourceKind::Group, name),
            TRANSACTION_COORDINATOR => self.named(self.asks.transactional_id, ResourceKind::TransactionalId, name),
            _ if self.standing.cluster().contains(Operation::ClusterAction) => None,
            _ => Some((CLUSTER_AUTHORIZATION_FAILED, lacks(Operation::ClusterAction, "the cluster"))),
        }
    }

    /// The first item that may not be done, or a topic of which that depends on the partition.
    fn any_refused(&mut self, node: &Node) -> Option<(i16, String)> {
        let mut nodes = node.arrays.iter().flat_map(|array| array.nodes.iter().map(move |node| (node, array.of)));
        nodes.find_map(|(node, of)| self.item(node, of).or_else(|| self.any_refused(node)))
    }

    /// Why an item may not be done; none where it may, as far as it is named.
    fn item(&mut self, node: &Node, of: Element) -> Option<(i16, String)> {
        match of {
            Element::Group(Group::Topic) | Element::Value(Role::Topic) => self.topic(node, of),
            Element::Group(Group::Group) | Element::Value(Role::GroupId) => {
                self.named(self.asks.group, ResourceKind::Group, node.text(Role::GroupId).unwrap_or_default())
            }
            Element::Group(Group::Transaction) | Element::Value(Role::TransactionalId) => {
                let id = node.text(Role::TransactionalId).unwrap_or_default();
                self.named(self.asks.transactional_id, ResourceKind::TransactionalId, id)
            }
            Element::Value(Role::CoordinatorKey) => {
                self.coordinator(node.text(Role::CoordinatorKey).unwrap_or_default())
            }
            Element::Group(Group::Resource) => self.resource(node),
            Element::Value(Role::TopicRegex) => self.regex(),
            _ => None,
        }
    }

    fn topic(&mut self, node: &Node, of: Element) -> Option<(i16, String)> {
        let operation = self.asks.topic.filter(|_| !self.cluster_does())?;
        let id = node.topic_id();
        // A member's heartbeat names by id what it was assigned, which may be gone by now.
        if id.is_some() && self.asks.answers == Answers::Whole {
            return None;
        }
        let Some(name) = self.name_of(node) else {
            return Some((UNKNOWN_TOPIC_ID, UNKNOWN_ID.to_owned()));
        };
        let may = self.standing.topic(&name);
        if self.request.api_key == key::STREAMS_GROUP_HEARTBEAT && of == Element::Group(Group::Topic) {
            // Its internal topics, which the broker creates for it.
            let creates = may.contains(Operation::Create) || self.standing.cluster().contains(Operation::Create);
            if !creates {
                return Some((TOPIC_AUTHORIZATION_FAILED, lacks(Operation::Create, &format!("topic {name}"))));
            }
        }
        if may.contains(operation) {
            return None;
        }
        if id.is_some() && !may.contains(Operation::Describe) {
            return Some((UNKNOWN_TOPIC_ID, UNKNOWN_ID.to_owned()));
        }
        Some((TOPIC_AUTHORIZATION_FAILED, lacks(operation, &format!("topic {name}"))))
    }

    /// A topic's name; none for an id that nobody has told of. Where both are there, a broker goes by the id.
    fn name_of(&self, node: &Node) -> Option<String> {
        match node.topic_id() {
            Some(id) => self.topics.name(&id).map(|name| name.to_string()),
            None => Some(node.text(Role::Topic).unwrap_or_default().to_owned()),
        }
    }

    fn resource(&mut self, node: &Node) -> Option<(i16, String)> {
        let operation = self.asks.resource?;
        let name = node.text(Role::ResourceName).unwrap_or_default();
        match node.number(Role::ResourceType).map(|(kind, _)| kind) {
            Some(TOPIC_CONFIGS) => self.named(Some(operation), ResourceKind::Topic, name),
            Some(GROUP_CONFIGS) => self.named(Some(operation), ResourceKind::Group, name),
            _ if self.standing.cluster().contains(operation) => None,
            _ => Some((CLUSTER_AUTHORIZATION_FAILED, lacks(operation, "the cluster"))),
        }
    }

    /// Nothing is refused: what may still have to be changed.
    fn goes_on(&mut self, tree: &Tree) -> Judgement {
        self.opens_share_session(&tree.root);
        if self.request.api_key == key::METADATA {
            let mut without = tree.without();
            let (changed, only) = self.creates_nothing(tree, &[], &mut without);
            let body = changed.then(|| without.done(self.request.body));
            return Judgement::GoesOn { body, amends: Amends { listing: true, items: Vec::new(), only } };
        }
        self.passes()
    }

    /// Nothing of it is done, since one item may not be.
    fn answers_all(&mut self) -> Result<Judgement, Malformed> {
        let Request { api_key, version, body } = self.request;
        let Some(tree) = Tree::read(api_key, version, Direction::Request, body, true)? else {
            return Ok(unreadable());
        };
        let mut answered = Vec::new();
        for array in &tree.root.arrays {
            for node in &array.nodes {
                let fault = self.item(node, array.of);
                answered.push(match self.parted(node, array.of, fault.as_ref()) {
                    Some(topic) => self.each_partition(node, array.of, &topic),
                    None => Item::of(node, array.of, fault.map_or(OPERATION_NOT_ATTEMPTED, |(code, _)| code), None),
                });
            }
        }
        Ok(Judgement::Answered(answered))
    }

    /// A topic of which some partitions may be had, when nothing is done with any of them.
    fn each_partition(&self, node: &Node, of: Element, topic: &str) -> Item {
        let inner = node.arrays.iter().flat_map(|array| array.nodes.iter().map(move |node| (node, array.of)));
        let code = |node| self.partition(node, topic).map_or(OPERATION_NOT_ATTEMPTED, |(code, _)| code);
        let items = inner.map(|(node, of)| Item::of(node, of, code(node), None)).collect();
        Item { items, ..Item::around(node, of) }
    }

    /// Takes what may not be done out of the request.
    fn cut(&mut self) -> Result<Judgement, Malformed> {
        let Request { api_key, version, body } = self.request;
        let Some(tree) = Tree::read(api_key, version, Direction::Request, body, true)? else {
            return Ok(unreadable());
        };
        let mut without = tree.without();
        let mut cut = Cut::default();
        let mut out = Vec::new();
        for array in &tree.root.arrays {
            out = self.cut_array(array, None, &mut without, &mut cut);
        }
        let Cut { items, kept } = cut;
        if items.is_empty() {
            return Ok(self.goes_on(&tree));
        }
        if api_key == key::FETCH {
            let epoch = tree.root.number(Role::SessionEpoch);
            if epoch.is_some_and(|(epoch, _)| epoch > FIRST_EPOCH) {
                let why = "what the session holds and what it may hold would no longer be the same";
                return Ok(refused(FETCH_SESSION_ID_NOT_FOUND, why));
            }
            // Without a session the client names everything each time, and is told each time.
            if let (Some((_, id)), Some((_, epoch))) = (tree.root.number(Role::SessionId), epoch) {
                without.number(id, 0);
                without.number(epoch, NO_SESSION_EPOCH);
            }
        }
        // Metadata's answer tells of the brokers too.
        if !kept && api_key != key::METADATA {
            return Ok(Judgement::Answered(items));
        }
        self.opens_share_session(&tree.root);
        let only = match api_key {
            key::METADATA => self.creates_nothing(&tree, &out, &mut without).1,
            _ => None,
        };
        let body = without.done(body);
        if !guard::is_lawful(api_key, version, &body) {
            return Ok(refused(CLUSTER_AUTHORIZATION_FAILED, "what is left of the request would not be lawful"));
        }
        let body = Some(body);
        Ok(Judgement::GoesOn { body, amends: Amends { listing: self.asks.listing, items, only } })
    }

    /// Takes out of an array what may not be done: whole elements, whose places are given, or what is in them.
    fn cut_array(
        &mut self,
        array: &Array,
        topic: Option<&str>,
        without: &mut Without<'_>,
        cut: &mut Cut,
    ) -> Vec<usize> {
        let mut out = Vec::new();
        for (place, node) in array.nodes.iter().enumerate() {
            let fault = match topic {
                Some(topic) => self.partition(node, topic),
                None => self.item(node, array.of),
            };
            let parted = self.parted(node, array.of, fault.as_ref());
            let mark = without.mark();
            if fault.is_some() && parted.is_none() {
                let (code, why) = fault.unwrap_or_default();
                cut.items.push(Item::of(node, array.of, code, Some(&why)));
                out.push(place);
                continue;
            }
            let mut within = Cut::default();
            for inner in node.arrays.iter().filter(|inner| parted.is_some() || !is_partitions(inner.of)) {
                self.cut_array(inner, parted.as_deref(), without, &mut within);
            }
            let nothing_left = parted.is_some() && !within.kept;
            if !within.items.is_empty() {
                cut.items.push(Item { items: within.items, ..Item::around(node, array.of) });
            }
            if nothing_left {
                // It goes as a whole, with what was taken out of it.
                without.take_back(mark);
                out.push(place);
            } else {
                cut.kept = true;
            }
        }
        without.take_out(array, &out);
        out
    }

    /// The name of a topic of which some partitions may be had and others not, in a request that names them.
    fn parted(&self, node: &Node, of: Element, fault: Option<&(i16, String)>) -> Option<String> {
        // One that may not be described has no partitions either.
        let may_be = fault.is_some_and(|(code, _)| *code != UNKNOWN_TOPIC_ID);
        self.name_of(node).filter(|name| may_be && self.is_parted(node, of, name))
    }

    fn is_parted(&self, node: &Node, of: Element, name: &str) -> bool {
        let by_partition = [Operation::Read, Operation::Write, Operation::Describe, Operation::Delete];
        let names_some = node.arrays.iter().any(|inner| is_partitions(inner.of) && !inner.nodes.is_empty());
        of == Element::Group(Group::Topic)
            && self.asks.topic.is_some_and(|operation| by_partition.contains(&operation))
            && names_some
            && self.standing.is_partitioned(name)
    }

    fn partition(&self, node: &Node, topic: &str) -> Option<(i16, String)> {
        let operation = self.asks.topic?;
        let index = node.number(Role::Partition).and_then(|(index, _)| i32::try_from(index).ok())?;
        let may = self.standing.partition(topic, index);
        let why = || lacks(operation, &format!("partition {index} of topic {topic}"));
        (!may.contains(operation)).then(|| (TOPIC_AUTHORIZATION_FAILED, why()))
    }

    /// Sees to it that a Metadata creates no topic that may not be created. Before there was a flag for it, a broker created
    /// whatever was named: then all topics are asked for, and the others left out of the answer. Whether anything is changed,
    /// and which topics the answer may have.
    fn creates_nothing(
        &mut self,
        tree: &Tree,
        refused: &[usize],
        without: &mut Without<'_>,
    ) -> (bool, Option<Vec<String>>) {
        let Some(array) = tree.root.arrays.first().filter(|array| !array.nodes.is_empty()) else {
            return (false, None);
        };
        let refused: HashSet<usize> = refused.iter().copied().collect();
        let left = array.nodes.iter().enumerate().filter(|(place, _)| !refused.contains(place));
        let named = left.filter_map(|(_, node)| node.text(Role::Topic));
        let named: Vec<String> = named.map(str::to_owned).collect();
        let may = |standing: &mut Standing, name: &String| standing.topic(name).contains(Operation::Create);
        let all = self.standing.cluster().contains(Operation::Create);
        if named.is_empty() && self.request.version == NONE_MEANS_ALL {
            return (false, Some(named));
        }
        if all || named.iter().all(|name| may(self.standing, name)) {
            return (false, None);
        }
        if self.request.version >= CREATION_IS_ASKED_FOR {
            let asked = tree.root.number(Role::AllowAutoTopicCreation).filter(|(asked, _)| *asked == 1);
            asked.iter().for_each(|(_, at)| without.number(*at, 0));
            return (asked.is_some(), None);
        }
        without.only_without_all_of(array, self.request.version > NONE_MEANS_ALL);
        (true, Some(named))
    }
}

/// What came of cutting.
#[derive(Default)]
struct Cut {
    items: Vec<Item>,
    /// Something is left.
    kept: bool,
}

fn is_partitions(of: Element) -> bool {
    matches!(of, Element::Group(Group::Partition) | Element::Value(Role::Partition))
}
