//! What topics hold, and what becomes of their partitions.

use std::collections::BTreeSet;

use super::{Bounds, Survey, Topics, parameters, words};
use crate::policy::{ActionItem, ActionKind};
use crate::upstream::{Place, SettingsOf, TopicFacts, Trouble};

impl Survey<'_> {
    /// The action's topics that exist. Of others it is told that they do not.
    pub(super) async fn topics(&mut self) -> Topics {
        let names: Vec<String> = self.items(ActionKind::Topic).into_iter().map(|item| item.name.clone()).collect();
        self.topics_named(&names).await
    }

    pub(super) async fn topics_named(&mut self, names: &[String]) -> Topics {
        let mut topics = Topics::new();
        if names.is_empty() {
            return topics;
        }
        let asked: Vec<&str> = names.iter().map(String::as_str).collect();
        for (name, facts) in self.inquirer.topics(&asked).await {
            match facts {
                Ok(facts) => drop(topics.insert(name, facts)),
                Err(Trouble::NoTopic) => self.tell(&name, "exists", "it does not exist"),
                Err(trouble) => self.unknown(&format!("topic {name} is"), trouble),
            }
        }
        topics
    }

    /// How many partitions, records and bytes the action's topics have.
    pub(super) async fn volume(&mut self) -> (Topics, Bounds) {
        let topics = self.topics().await;
        let (bounds, sizes) = tokio::join!(self.inquirer.bounds(&topics), self.inquirer.sizes(&topics));
        for (name, facts) in &topics {
            self.tell(name, "partitions", partitions_of(facts));
            let places = || facts.partitions.keys().map(|partition| (name.clone(), *partition));
            let records =
                self.sum("records are", places().map(|place| (bounds.get(&place), place)), |b| b.end - b.start);
            if let Some((records, more)) = records {
                self.tell(name, "records", format!("{more}{}", words::count(records, "record")));
            }
            let bytes = self.sum("bytes are", places().map(|place| (sizes.get(&place), place)), |size| {
                i64::try_from(*size).unwrap_or(i64::MAX)
            });
            if let Some((bytes, more)) = bytes {
                self.tell(name, "bytes", format!("{more}{}", words::bytes(bytes.unsigned_abs())));
            }
        }
        (topics, bounds)
    }

    /// What is known of partitions, added up, and `at least ` where that is not all; none where nothing is known.
    fn sum<'b, T: 'b>(
        &mut self,
        part: &str,
        of: impl Iterator<Item = (Option<&'b Result<T, Trouble>>, Place)>,
        amount: impl Fn(&T) -> i64,
    ) -> Option<(i64, &'static str)> {
        let (mut sum, mut known, mut more) = (0_i64, false, "");
        for (told, (topic, _)) in of {
            match told {
                Some(Ok(told)) => (sum, known) = (sum.saturating_add(amount(told)), true),
                Some(Err(trouble)) => {
                    more = "at least ";
                    self.unknown(&format!("of topic {topic} some {part}"), trouble);
                }
                None => more = "at least ",
            }
        }
        known.then_some((sum, more))
    }

    /// What topics would be made.
    pub(super) async fn create_topics(&mut self) {
        let items: Vec<ActionItem> = self.items(ActionKind::Topic).into_iter().cloned().collect();
        let names: Vec<&str> = items.iter().map(|item| &*item.name).collect();
        let (existing, defaults) = tokio::join!(self.inquirer.topics(&names), self.defaults());
        if let Err(trouble) = &defaults {
            self.unknown("the cluster's defaults are", trouble);
        }
        let defaults = defaults.unwrap_or_default();
        for item in &items {
            match existing.get(&item.name) {
                Some(Ok(facts)) => {
                    self.tell(&item.name, "exists", format!("it exists already, with {}", partitions_of(facts)));
                }
                Some(Err(Trouble::NoTopic)) => self.tell(&item.name, "exists", "it does not exist yet"),
                Some(Err(trouble)) => self.unknown(&format!("whether topic {} exists is", item.name), trouble),
                None => {}
            }
            let assigned = parameters::partitions(item, true);
            let replicas = assigned.values().map(|brokers| parameters::brokers(brokers).len()).max().unwrap_or(0);
            let asked = |names: &[&str], assigned: usize| match parameters::number(&item.parameters, names) {
                Some(asked) if asked > 0 => Some(asked),
                _ => i64::try_from(assigned).ok().filter(|assigned| *assigned > 0),
            };
            let partitions = asked(&["num_partitions", "partitions"], assigned.len());
            self.tell(&item.name, "partitions", or_default(partitions, "partition", defaults.0));
            let replicas = asked(&["replication_factor"], replicas);
            self.tell(&item.name, "replication", or_default(replicas, "replica", defaults.1));
        }
    }

    /// How many partitions and replicas a topic gets that asks for no number of them.
    async fn defaults(&self) -> Result<(Option<i64>, Option<i64>), Trouble> {
        let broker = self.inquirer.any_broker().ok_or(Trouble::NoBroker)?;
        let names = ["num.partitions", "default.replication.factor"];
        let settings = self.inquirer.settings(SettingsOf::Broker(Some(broker)), &names).await?;
        let of = |name: &str| settings.iter().find(|s| s.name == name).and_then(|s| s.value.as_ref()?.parse().ok());
        Ok((of(names[0]), of(names[1])))
    }

    /// From how many partitions to how many.
    pub(super) async fn create_partitions(&mut self) {
        let topics = self.topics().await;
        for item in &self.action.items {
            let Some(facts) = topics.get(&item.name) else { continue };
            let (from, to) = (facts.partitions.len(), parameters::number(&item.parameters, &["count"]));
            let to = to.map_or_else(|| "?".to_owned(), words::number);
            self.tell(&item.name, "partitions", format!("{from} -> {to} partitions: keys move to others"));
        }
    }

    /// What has to be copied for partitions to be where they are wanted.
    pub(super) async fn alter_reassignments(&mut self) {
        let topics = self.topics().await;
        let sizes = self.inquirer.sizes(&topics).await;
        let mut total = 0_u64;
        for item in &self.action.items {
            let Some(facts) = topics.get(&item.name) else { continue };
            for ((topic, partition), wanted) in parameters::partitions(item, true) {
                let Some(now) = facts.partitions.get(&partition) else {
                    self.tell(&topic, "moves", format!("partition {partition}: there is none"));
                    continue;
                };
                let wanted = parameters::brokers(wanted);
                if wanted.is_empty() {
                    self.tell(&topic, "moves", format!("partition {partition}: a move under way is called off"));
                    continue;
                }
                let new: Vec<i32> = wanted.iter().copied().filter(|node| !now.replicas.contains(node)).collect();
                let size = match sizes.get(&(topic.clone(), partition)) {
                    Some(Ok(size)) => size.saturating_mul(new.len() as u64),
                    Some(Err(trouble)) => {
                        self.unknown(&format!("of topic {topic} some bytes are"), trouble);
                        0
                    }
                    None => 0,
                };
                total = total.saturating_add(size);
                let (from, to) = (listed(&now.replicas), listed(&wanted));
                let copied = format!("{} copied to {}", words::bytes(size), words::len(new.len(), "broker"));
                self.tell(&topic, "moves", format!("partition {partition}: brokers {from} -> {to}, {copied}"));
            }
        }
        self.tell("cluster", "bytes", format!("{} move", words::bytes(total)));
    }

    /// Which partitions would be led by somebody else.
    pub(super) async fn elect_leaders(&mut self) {
        if self.items(ActionKind::Topic).is_empty() {
            return self.tell("cluster", "leaders", "all partitions of all topics");
        }
        let topics = self.topics().await;
        for item in &self.action.items {
            let Some(facts) = topics.get(&item.name) else { continue };
            let named: BTreeSet<i32> = parameters::partitions(item, true).into_keys().map(|(_, p)| p).collect();
            let listed = parameters::value(&item.parameters, &["partitions"]).map(parameters::brokers);
            let is_meant = |partition: &i32| match (&listed, named.is_empty()) {
                (Some(listed), _) => listed.contains(partition),
                (None, is_any) => is_any || named.contains(partition),
            };
            let meant: Vec<_> = facts.partitions.iter().filter(|(partition, _)| is_meant(partition)).collect();
            let others = meant.iter().filter(|(_, p)| p.leader.is_some() && p.leader.as_ref() != p.replicas.first());
            let (others, without) = (others.count(), meant.iter().filter(|(_, p)| p.leader.is_none()).count());
            let partitions = words::len(meant.len(), "partition");
            let value = format!("{partitions}: {others} led by another broker than preferred, {without} by none");
            self.tell(&item.name, "leaders", value);
        }
    }
}

/// `12 partitions, 3 replicas each`.
pub(super) fn partitions_of(facts: &TopicFacts) -> String {
    let replicas = facts.partitions.values().map(|partition| partition.replicas.len()).max().unwrap_or(0);
    let (partitions, replicas) = (words::len(facts.partitions.len(), "partition"), words::len(replicas, "replica"));
    format!("{partitions}, {replicas} each")
}

fn or_default(asked: Option<i64>, what: &str, default: Option<i64>) -> String {
    match (asked, default) {
        (Some(asked), _) => words::count(asked, what),
        (None, Some(default)) => format!("{}, by the cluster's default", words::count(default, what)),
        (None, None) => "as many as the cluster's default".to_owned(),
    }
}

fn listed(brokers: &[i32]) -> String {
    brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
