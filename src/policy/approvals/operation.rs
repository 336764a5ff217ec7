//! What can be held until somebody approves, by the names that the policy file has for it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::policy::ResourceKind;

/// Something dangerous that a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HeldOperation {
    /// Topics come to be, by CreateTopics or because a Metadata names them.
    CreateTopics,
    /// Topics go, with their records.
    DeleteTopics,
    /// A topic gets more partitions: keys move to others.
    CreatePartitions,
    /// Settings of a topic, a group or a broker change.
    AlterConfigs,
    /// Records up to an offset go.
    DeleteRecords,
    /// A group's position moves by something else than its members' reading.
    ResetOffsets,
    /// Groups go, with their positions.
    DeleteGroups,
    /// Records are written.
    Produce,
    /// Records are read.
    Fetch,
    /// Replicas move between brokers.
    AlterReassignments,
    /// Partitions get other leaders.
    ElectLeaders,
    /// Users' credentials change.
    AlterUsers,
    /// Quotas change.
    AlterQuotas,
    /// Weir's own policy changes.
    ChangePolicy,
}

const NAMES: &[(&str, HeldOperation)] = &[
    ("create_topics", HeldOperation::CreateTopics),
    ("delete_topics", HeldOperation::DeleteTopics),
    ("create_partitions", HeldOperation::CreatePartitions),
    ("alter_configs", HeldOperation::AlterConfigs),
    ("delete_records", HeldOperation::DeleteRecords),
    ("reset_offsets", HeldOperation::ResetOffsets),
    ("delete_groups", HeldOperation::DeleteGroups),
    ("produce", HeldOperation::Produce),
    ("fetch", HeldOperation::Fetch),
    ("alter_reassignments", HeldOperation::AlterReassignments),
    ("elect_leaders", HeldOperation::ElectLeaders),
    ("alter_users", HeldOperation::AlterUsers),
    ("alter_quotas", HeldOperation::AlterQuotas),
    ("change_policy", HeldOperation::ChangePolicy),
];

impl HeldOperation {
    /// Every one.
    pub fn all() -> impl Iterator<Item = HeldOperation> {
        NAMES.iter().map(|(_, operation)| *operation)
    }

    /// Its name in the policy file.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, operation)| *operation == self).map_or("", |(name, _)| name)
    }

    /// Kinds of what it is done to, by one of which a rule has to name it; none where it is always the cluster's.
    pub fn kinds(self) -> &'static [ResourceKind] {
        match self {
            HeldOperation::AlterConfigs => &[ResourceKind::Topic, ResourceKind::Group, ResourceKind::Cluster],
            HeldOperation::ResetOffsets => &[ResourceKind::Topic, ResourceKind::Group],
            HeldOperation::DeleteGroups => &[ResourceKind::Group],
            HeldOperation::AlterUsers | HeldOperation::AlterQuotas | HeldOperation::ChangePolicy => &[],
            _ => &[ResourceKind::Topic],
        }
    }

    /// Whether a use of a grant opens a time in which it is done again and again, instead of being one action.
    pub fn goes_on(self) -> bool {
        matches!(self, HeldOperation::Produce | HeldOperation::Fetch)
    }

    /// What it does, as a person would say it: "delete topics".
    pub fn words(self) -> String {
        self.name().replace('_', " ")
    }
}

impl fmt::Display for HeldOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HeldOperation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = NAMES.iter().find(|(known, _)| *known == name);
        known
            .map(|(_, operation)| *operation)
            .ok_or_else(|| format!("no operation that can be held is called `{name}`"))
    }
}

impl Serialize for HeldOperation {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for HeldOperation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}
