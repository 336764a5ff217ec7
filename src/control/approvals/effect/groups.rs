//! Who reads topics, and what becomes of groups.

use std::collections::BTreeSet;

use super::{Bounds, Survey, Topics, words};
use crate::policy::ActionKind;
use crate::upstream::{GroupFacts, Partitions, Place, Readers};

impl Survey<'_> {
    /// The groups with a position on these topics; how far the cluster was looked through for them is told.
    pub(super) async fn groups_on(&mut self, topics: &Topics) -> Vec<GroupFacts> {
        if topics.is_empty() {
            return Vec::new();
        }
        let partitions = |(name, facts): (&String, &crate::upstream::TopicFacts)| {
            (name.clone(), facts.partitions.keys().copied().collect())
        };
        let readers = self.inquirer.readers(topics.iter().map(partitions).collect::<Partitions>()).await;
        self.looked_at(readers)
    }

    /// These groups, those that exist.
    pub(super) async fn groups_named(&mut self, names: &[String]) -> Vec<GroupFacts> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let readers = self.inquirer.groups(&names).await;
        self.looked_at(readers)
    }

    fn looked_at(&mut self, readers: Readers) -> Vec<GroupFacts> {
        for trouble in &readers.trouble {
            self.unknown("some groups are", trouble);
        }
        if readers.left_out > 0 {
            self.amiss(format!("{} were not looked at", words::len(readers.left_out, "more group")));
        }
        readers.groups
    }

    /// Tells of each topic which groups read it.
    pub(super) async fn readers(&mut self, topics: &Topics, bounds: &Bounds) {
        let groups = self.groups_on(topics).await;
        for topic in topics.keys() {
            let reading: Vec<&GroupFacts> =
                groups.iter().filter(|group| group.positions.keys().any(|(name, _)| name == topic)).collect();
            let active = reading.iter().filter(|group| group.is_active() == Some(true)).count();
            let value = match reading.len() {
                0 => "no group has a position on it".to_owned(),
                some => format!("{} read it, {active} active", words::len(some, "group")),
            };
            self.tell(topic, "groups", value);
            for group in reading {
                let behind = behind(group, topic, bounds);
                self.tell(topic, "group", format!("{}: {}{behind}", group.name, liveliness(group)));
            }
        }
    }

    /// Groups with their members and the topics that they have positions on.
    pub(super) async fn delete_groups(&mut self) {
        let names: Vec<String> = self.items(ActionKind::Group).into_iter().map(|item| item.name.clone()).collect();
        let groups = self.groups_named(&names).await;
        for name in &names {
            let Some(group) = groups.iter().find(|group| group.name == *name) else {
                // Where a broker did not answer it may be there all the same.
                if self.trouble.is_empty() {
                    self.tell(name, "exists", "it does not exist");
                }
                continue;
            };
            self.tell(name, "members", liveliness(group));
            let topics: BTreeSet<&str> = group.positions.keys().map(|(topic, _)| &**topic).collect();
            let value = match topics.len() {
                0 => "it has no positions".to_owned(),
                some => {
                    let listed = topics.iter().copied().take(TOPICS_NAMED).collect::<Vec<_>>().join(", ");
                    let more = if some > TOPICS_NAMED { ", …" } else { "" };
                    format!("positions on {} are lost: {listed}{more}", words::len(some, "topic"))
                }
            };
            self.tell(name, "topics", value);
        }
    }
}

/// Topics of a group that a fact names.
const TOPICS_NAMED: usize = 20;

/// `active, 3 members`, `empty`.
pub(super) fn liveliness(group: &GroupFacts) -> String {
    match (group.is_active(), group.members) {
        (Some(true), Some(members)) => format!("active, {}", words::len(members, "member")),
        (Some(true), None) => "active".to_owned(),
        (Some(false), _) => "empty".to_owned(),
        (None, _) => "not known whether it has members".to_owned(),
    }
}

/// `, 1,204 records behind`; nothing where not all of it is known.
fn behind(group: &GroupFacts, topic: &str, bounds: &Bounds) -> String {
    let of_topic = group.positions.iter().filter(|((name, _), _)| name == topic);
    let lag = |(place, position): (&Place, &i64)| Some((bounds.get(place)?.as_ref().ok()?.end - position).max(0));
    match of_topic.map(lag).sum::<Option<i64>>() {
        Some(behind) => format!(", {} behind", words::count(behind, "record")),
        None => String::new(),
    }
}
