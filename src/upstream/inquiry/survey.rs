//! Finds out what an action would come to, for who shows it to people.
//!
//! Invariants: what a broker does not tell is said to be missing, and the rest stands; every request is bounded in time, all of
//! them together by who asks. Its connections close with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::Place;
use super::groups::Partitions;
use super::links::Links;
use super::readers::{self, Readers};
use super::settings::{self, Setting, SettingsOf};
use super::topics::{self, EARLIEST, LATEST, TopicFacts};
use super::trouble::Trouble;
use crate::limits;
use crate::upstream::cluster::Cluster;

/// Asks a cluster. Runs on any tokio runtime with its own I/O, never on a shard.
pub struct Inquirer {
    links: Arc<Links>,
}

/// What was found out of each partition.
type ByPlace<T> = HashMap<Place, Result<T, Trouble>>;

impl Inquirer {
    /// Nothing is asked yet.
    pub fn new(cluster: Arc<Cluster>) -> Inquirer {
        Inquirer { links: Arc::new(Links::new(cluster, limits::EFFECT_CALL_WAIT)) }
    }

    /// A broker that answered at the last look, if one did.
    pub fn any_broker(&self) -> Option<i32> {
        self.links.nodes().first().copied()
    }

    /// What these topics are like. One that does not exist is [`Trouble::NoTopic`].
    pub async fn topics(&self, names: &[&str]) -> BTreeMap<String, Result<TopicFacts, Trouble>> {
        let names: BTreeSet<&str> = names.iter().copied().collect();
        let asked: Vec<&str> = names.iter().copied().collect();
        let mut described = topics::describe(&self.links, &asked).await;
        let facts = names.into_iter().map(|name| {
            let facts = match &mut described {
                Ok(described) => described.remove(name).unwrap_or(Err(Trouble::NoTopic)),
                Err(trouble) => Err(trouble.clone()),
            };
            (name.to_owned(), facts)
        });
        facts.collect()
    }

    /// The first offset that these partitions still have, and the one behind their last.
    pub async fn bounds(&self, topics: &BTreeMap<String, TopicFacts>) -> ByPlace<Range<i64>> {
        let ask = async |links: Arc<Links>, leader: i32, places: Vec<Place>| {
            let first = topics::offsets(&links, leader, &places, EARLIEST).await;
            let last = topics::offsets(&links, leader, &places, LATEST).await;
            let at = |offsets: &Result<ByPlace<i64>, Trouble>, place: &Place| match offsets {
                Ok(offsets) => offsets.get(place).cloned().unwrap_or(Err(Trouble::Malformed(leader))),
                Err(trouble) => Err(trouble.clone()),
            };
            let bounds = |place: Place| {
                let bounds = at(&first, &place).and_then(|first| Ok(first..at(&last, &place)?.max(first)));
                (place, bounds)
            };
            places.into_iter().map(bounds).collect::<Vec<_>>()
        };
        self.at_leaders(topics, ask).await
    }

    /// What these partitions take on their leaders' disks, bytes.
    pub async fn sizes(&self, topics: &BTreeMap<String, TopicFacts>) -> ByPlace<u64> {
        let ask = async |links: Arc<Links>, leader: i32, places: Vec<Place>| {
            let sizes = topics::sizes(&links, leader, &places).await;
            let size = |place: Place| {
                let size = match &sizes {
                    Ok(sizes) => sizes.get(&place).and_then(|size| u64::try_from(*size).ok()).ok_or(Trouble::Untold),
                    Err(trouble) => Err(trouble.clone()),
                };
                (place, size)
            };
            places.into_iter().map(size).collect::<Vec<_>>()
        };
        self.at_leaders(topics, ask).await
    }

    /// The groups that have a position on these partitions, and how they are.
    pub async fn readers(&self, partitions: Partitions) -> Readers {
        readers::of_topics(&self.links, partitions).await
    }

    /// These groups with all of their positions. Those that do not exist are left out.
    pub async fn groups(&self, names: &[&str]) -> Readers {
        readers::named(&self.links, names).await
    }

    /// These settings as they are now, or all where none is named; those that brokers do not know are left out.
    pub async fn settings(&self, of: SettingsOf<'_>, names: &[&str]) -> Result<Vec<Setting>, Trouble> {
        settings::describe(&self.links, of, names).await
    }

    /// Asks every leader of these topics for its partitions, side by side.
    async fn at_leaders<T, F>(
        &self,
        topics: &BTreeMap<String, TopicFacts>,
        ask: impl Fn(Arc<Links>, i32, Vec<Place>) -> F,
    ) -> ByPlace<T>
    where
        T: Send + 'static,
        F: Future<Output = Vec<(Place, Result<T, Trouble>)>> + Send + 'static,
    {
        let (mut told, mut by_leader) = (ByPlace::new(), BTreeMap::<i32, Vec<Place>>::new());
        for (topic, facts) in topics {
            for partition in facts.partitions.keys() {
                let place = (topic.clone(), *partition);
                match facts.leader(*partition) {
                    Ok(leader) => by_leader.entry(leader).or_default().push(place),
                    Err(trouble) => drop(told.insert(place, Err(trouble))),
                }
            }
        }
        let mut running = JoinSet::new();
        for (leader, places) in by_leader {
            running.spawn(ask(self.links.clone(), leader, places));
        }
        while let Some(ended) = running.join_next().await {
            told.extend(ended.into_iter().flatten());
        }
        told
    }
}
