//! Which groups have positions on topics, where, and whether they have members.
//!
//! Every broker is asked for the groups that it coordinates, which creates nothing; positions are asked for at the same broker.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kafka_protocol::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DescribeClusterRequest, DescribeGroupsRequest, DescribeShareGroupOffsetsRequest,
    GroupId, ListGroupsRequest, ShareGroupDescribeRequest,
};
use kafka_protocol::protocol::StrBytes;
use tokio::task::JoinSet;

use super::Place;
use super::groups::{self, Partitions};
use super::links::Links;
use super::topics::named as topic_named;
use super::trouble::Trouble;
use crate::limits;
use crate::wire::kafka::api::{Versions, key};

const LIST_GROUPS: Versions = Versions { min: 0, max: 5 };
const DESCRIBE_GROUPS: Versions = Versions { min: 0, max: 6 };
const CONSUMER_GROUP_DESCRIBE: Versions = Versions { min: 0, max: 1 };
const SHARE_GROUP_DESCRIBE: Versions = Versions { min: 1, max: 1 };
const SHARE_OFFSETS: Versions = Versions { min: 0, max: 0 };

const DESCRIBE_CLUSTER: Versions = Versions { min: 0, max: 1 };

/// `AclOperation.DESCRIBE` of Kafka, a bit of what is authorized.
const DESCRIBE: u32 = 8;

/// Groups in one request.
const AT_ONCE: usize = 100;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFacts {
    /// Its name.
    pub name: String,
    /// Its state in Kafka's words, such as `Stable` or `Empty`; empty where brokers do not tell.
    pub state: String,
    /// How many members it has; none where that is not known.
    pub members: Option<usize>,
    /// What it has committed, or where a share group begins.
    pub positions: BTreeMap<Place, i64>,
    /// `classic`, `consumer`, `share` or `streams`; brokers before 3.8 do not tell.
    kind: String,
}

impl GroupFacts {
    /// Whether somebody reads with it now; none where that is not known.
    pub fn is_active(&self) -> Option<bool> {
        match (self.members, &*self.state) {
            (Some(members), _) => Some(members > 0),
            (None, "Empty" | "Dead") => Some(false),
            (None, "") => None,
            (None, _) => Some(true),
        }
    }

    /// Whether it shares records among its members instead of having one position a partition.
    pub fn shares(&self) -> bool {
        self.kind == "share"
    }
}

/// Groups, and how much of the cluster was looked at for them.
#[derive(Debug, Default)]
pub struct Readers {
    /// The groups, by name.
    pub groups: Vec<GroupFacts>,
    /// Groups that were not looked at, because there are too many.
    pub left_out: usize,
    /// What some broker did not tell.
    pub trouble: Vec<Trouble>,
}

/// What is looked for.
enum Wanted {
    /// Groups with a position on one of these.
    Positions(Partitions),
    /// These groups, with all positions.
    Names(BTreeSet<String>),
}

pub(super) async fn of_topics(links: &Arc<Links>, partitions: Partitions) -> Readers {
    let mut readers = everywhere(links, Wanted::Positions(partitions)).await;
    readers.trouble.extend(lists_all(links).await.err());
    readers
}

pub(super) async fn named(links: &Arc<Links>, names: &[&str]) -> Readers {
    let mut readers = everywhere(links, Wanted::Names(names.iter().map(|name| (*name).to_owned()).collect())).await;
    if names.iter().any(|name| readers.groups.iter().all(|group| group.name != **name)) {
        readers.trouble.extend(lists_all(links).await.err());
    }
    readers
}

/// Whether brokers list all groups to Weir: they leave out without a word what it has no right to see, and list all to
/// who may describe the cluster.
async fn lists_all(links: &Links) -> Result<(), Trouble> {
    let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
    let answer = links.call_any(&request, DESCRIBE_CLUSTER).await?;
    Trouble::refused(key::DESCRIBE_CLUSTER, answer.error_code, ())?;
    if answer.cluster_authorized_operations & (1 << DESCRIBE) == 0 { Err(Trouble::Untold) } else { Ok(()) }
}

async fn everywhere(links: &Arc<Links>, wanted: Wanted) -> Readers {
    let (wanted, mut running, mut all) = (Arc::new(wanted), JoinSet::new(), Readers::default());
    for node in links.nodes() {
        let (links, wanted) = (links.clone(), wanted.clone());
        running.spawn(async move {
            let mut readers = Readers::default();
            if let Err(trouble) = of_broker(&links, node, &wanted, &mut readers).await {
                readers.trouble.push(trouble);
            }
            readers
        });
    }
    while let Some(ended) = running.join_next().await {
        let Ok(readers) = ended else { continue };
        all.groups.extend(readers.groups);
        all.left_out += readers.left_out;
        all.trouble.extend(readers.trouble);
    }
    all.groups.sort_by(|one, two| one.name.cmp(&two.name));
    all
}

/// The groups that one broker coordinates.
async fn of_broker(links: &Links, node: i32, wanted: &Wanted, readers: &mut Readers) -> Result<(), Trouble> {
    let answer = links.call(node, &ListGroupsRequest::default(), LIST_GROUPS).await?;
    let answer = Trouble::refused(key::LIST_GROUPS, answer.error_code, answer)?;
    let listed = answer.groups.into_iter().map(|group| GroupFacts {
        name: group.group_id.to_string(),
        kind: group.group_type.to_ascii_lowercase(),
        state: group.group_state.to_string(),
        members: None,
        positions: BTreeMap::new(),
    });
    let mut listed: Vec<GroupFacts> = match wanted {
        Wanted::Positions(_) => listed.collect(),
        Wanted::Names(names) => listed.filter(|group| names.contains(&group.name)).collect(),
    };
    readers.left_out += listed.len().saturating_sub(limits::EFFECT_GROUPS_MAX);
    listed.truncate(limits::EFFECT_GROUPS_MAX);
    let (mut sharing, mut reading): (Vec<_>, Vec<_>) = listed.into_iter().partition(GroupFacts::shares);
    let partitions = match wanted {
        Wanted::Positions(partitions) => Some(partitions),
        Wanted::Names(_) => None,
    };
    for some in reading.chunks_mut(AT_ONCE) {
        readers.trouble.extend(add_positions(links, node, some, partitions).await);
    }
    for some in sharing.chunks_mut(AT_ONCE) {
        readers.trouble.extend(add_share_positions(links, node, some, partitions).await.err());
    }
    let mut found: Vec<GroupFacts> = reading.into_iter().chain(sharing).collect();
    if partitions.is_some() {
        found.retain(|group| !group.positions.is_empty());
    }
    for some in found.chunks_mut(AT_ONCE) {
        readers.trouble.extend(add_members(links, node, some).await.err());
    }
    readers.groups.extend(found);
    Ok(())
}

async fn add_positions(
    links: &Links,
    node: i32,
    groups: &mut [GroupFacts],
    partitions: Option<&Partitions>,
) -> Option<Trouble> {
    let asked: Vec<(&str, Option<&Partitions>)> = groups.iter().map(|group| (&*group.name, partitions)).collect();
    let mut positions = groups::positions(links, node, &asked).await;
    let mut trouble = None;
    for group in groups {
        match positions.remove(&group.name) {
            Some(Ok(positions)) => {
                for (place, offset) in positions {
                    match offset {
                        Ok(offset) if offset >= 0 => drop(group.positions.insert(place, offset)),
                        Ok(_) => {}
                        Err(error) => trouble = Some(error),
                    }
                }
            }
            Some(Err(error)) => trouble = Some(error),
            None => trouble = Some(Trouble::Malformed(node)),
        }
    }
    trouble
}

fn group_ids<'a>(groups: impl Iterator<Item = &'a GroupFacts>) -> Vec<GroupId> {
    groups.map(|group| GroupId(StrBytes::from_string(group.name.clone()))).collect()
}

async fn add_share_positions(
    links: &Links,
    node: i32,
    groups: &mut [GroupFacts],
    partitions: Option<&Partitions>,
) -> Result<(), Trouble> {
    let topics = partitions.map(|partitions| {
        let topic = |(topic, partitions): (&String, &Vec<i32>)| {
            DescribeShareGroupOffsetsRequestTopic::default()
                .with_topic_name(topic_named(topic))
                .with_partitions(partitions.clone())
        };
        partitions.iter().map(topic).collect::<Vec<_>>()
    });
    let asked = group_ids(groups.iter())
        .into_iter()
        .map(|group| DescribeShareGroupOffsetsRequestGroup::default().with_group_id(group).with_topics(topics.clone()));
    let request = DescribeShareGroupOffsetsRequest::default().with_groups(asked.collect());
    let answer = links.call(node, &request, SHARE_OFFSETS).await?;
    for told in answer.groups {
        let Some(group) = groups.iter_mut().find(|group| *group.name == **told.group_id) else { continue };
        Trouble::refused(key::DESCRIBE_SHARE_GROUP_OFFSETS, told.error_code, ())?;
        for topic in told.topics {
            let name = topic.topic_name.to_string();
            let begun = topic.partitions.into_iter().filter(|p| p.error_code == 0 && p.start_offset >= 0);
            group.positions.extend(begun.map(|p| ((name.clone(), p.partition_index), p.start_offset)));
        }
    }
    Ok(())
}

/// How many members each has. Of streams groups only the state is known.
async fn add_members(links: &Links, node: i32, groups: &mut [GroupFacts]) -> Result<(), Trouble> {
    let of = |kinds: &[&str]| group_ids(groups.iter().filter(|group| kinds.contains(&&*group.kind)));
    let (classic, consumer, share) = (of(&["classic", ""]), of(&["consumer"]), of(&["share"]));
    let mut told: HashMap<String, (String, usize)> = HashMap::new();
    if !classic.is_empty() {
        let request = DescribeGroupsRequest::default().with_groups(classic);
        let answer = links.call(node, &request, DESCRIBE_GROUPS).await?;
        // A group of another kind counts as dead there; brokers that do not tell kinds apart list it all the same.
        let known = answer.groups.into_iter().filter(|g| g.error_code == 0 && &*g.group_state != "Dead");
        told.extend(known.map(|g| (g.group_id.to_string(), (g.group_state.to_string(), g.members.len()))));
    }
    if !consumer.is_empty() {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(consumer);
        let answer = links.call(node, &request, CONSUMER_GROUP_DESCRIBE).await?;
        let known = answer.groups.into_iter().filter(|group| group.error_code == 0);
        told.extend(known.map(|g| (g.group_id.to_string(), (g.group_state.to_string(), g.members.len()))));
    }
    if !share.is_empty() {
        let request = ShareGroupDescribeRequest::default().with_group_ids(share);
        let answer = links.call(node, &request, SHARE_GROUP_DESCRIBE).await?;
        let known = answer.groups.into_iter().filter(|group| group.error_code == 0);
        told.extend(known.map(|g| (g.group_id.to_string(), (g.group_state.to_string(), g.members.len()))));
    }
    for group in groups {
        if let Some((state, members)) = told.remove(&group.name) {
            (group.state, group.members) = (state, Some(members));
        }
    }
    Ok(())
}
