//! How questions are answered: as few requests as they take, each to the broker that knows.
//!
//! Each answer goes out as soon as it is there, so that a partition whose leader hangs holds up nothing but what is asked of
//! it. What may be answered differently a moment later (a leader has changed) is asked once more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::groups::{self, OFFSETS_TOPIC, Partitions};
use super::links::Links;
use super::topics::{self, EARLIEST, TopicFacts};
use super::trouble::Trouble;
use super::{Answered, Place, Question, Value};

/// Between the two tries: leaders are elected within some hundred ms.
const PAUSE: Duration = Duration::from_millis(200);

type Told = (Question, Result<Value, Trouble>);

/// Answers each question exactly once.
pub(super) async fn answer(links: Arc<Links>, questions: Vec<Question>, told: UnboundedSender<(Question, Answered)>) {
    let tell = |question, answered| drop(told.send((question, answered)));
    let mut again = Vec::new();
    round(&links, questions, |question, answered| match answered {
        Ok(value) => tell(question, Answered::Known(value)),
        Err(trouble) if trouble.is_passing() => again.push(question),
        Err(trouble) => tell(question, Answered::Unknown(trouble)),
    })
    .await;
    if again.is_empty() {
        return;
    }
    sleep(PAUSE).await;
    round(&links, again, |question, answered| match answered {
        Ok(value) => tell(question, Answered::Known(value)),
        Err(trouble) => tell(question, Answered::Unknown(trouble)),
    })
    .await;
}

/// Asks for all of it once.
async fn round(links: &Arc<Links>, questions: Vec<Question>, mut tell: impl FnMut(Question, Result<Value, Trouble>)) {
    let mut names: BTreeSet<&str> = questions.iter().filter_map(Question::topic_looked_up).collect();
    if questions.iter().any(|question| matches!(question, Question::Committed { .. })) {
        names.insert(OFFSETS_TOPIC);
    }
    let names: Vec<&str> = names.into_iter().collect();
    let topics = match topics::describe(links, &names).await {
        Ok(topics) => topics,
        Err(trouble) => return questions.into_iter().for_each(|question| tell(question, Err(trouble.clone()))),
    };
    let has_no_groups = topics.get(OFFSETS_TOPIC) == Some(&Err(Trouble::NoTopic));
    let mut running: JoinSet<Vec<Told>> = JoinSet::new();
    let (mut by_leader, mut by_group) = (BTreeMap::<i32, Vec<_>>::new(), BTreeMap::<String, Vec<_>>::new());
    for question in questions {
        match &question {
            Question::TopicExists(topic) => {
                let exists = exists(topics.get(topic));
                tell(question, exists);
            }
            Question::LogStart { topic, partition } => match leader(topics.get(topic), *partition) {
                Ok(leader) => by_leader.entry(leader).or_default().push((topic.clone(), *partition)),
                Err(trouble) => tell(question, Err(trouble)),
            },
            Question::Committed { .. } if has_no_groups => tell(question, Ok(Value::Offset(-1))),
            Question::Committed { group, topic, partition } => {
                by_group.entry(group.clone()).or_default().push((topic.clone(), *partition));
            }
        }
    }
    for (leader, partitions) in by_leader {
        running.spawn(log_starts(links.clone(), leader, partitions));
    }
    if !by_group.is_empty() {
        running.spawn(committed(links.clone(), by_group));
    }
    while let Some(ended) = running.join_next().await {
        ended.into_iter().flatten().for_each(|(question, answered)| tell(question, answered));
    }
}

fn exists(described: Option<&Result<TopicFacts, Trouble>>) -> Result<Value, Trouble> {
    match described {
        Some(Ok(_)) => Ok(Value::Exists(true)),
        Some(Err(Trouble::NoTopic)) => Ok(Value::Exists(false)),
        Some(Err(trouble)) => Err(trouble.clone()),
        None => Err(Trouble::Late),
    }
}

fn leader(described: Option<&Result<TopicFacts, Trouble>>, partition: i32) -> Result<i32, Trouble> {
    described.cloned().unwrap_or(Err(Trouble::NoTopic))?.leader(partition)
}

async fn log_starts(links: Arc<Links>, leader: i32, places: Vec<Place>) -> Vec<Told> {
    let mut offsets = topics::offsets(&links, leader, &places, EARLIEST).await;
    let told = places.into_iter().map(|place| {
        let offset = match &mut offsets {
            Ok(offsets) => offsets.remove(&place).unwrap_or(Err(Trouble::Malformed(leader))),
            Err(trouble) => Err(trouble.clone()),
        };
        (Question::LogStart { topic: place.0, partition: place.1 }, offset.map(Value::Offset))
    });
    told.collect()
}

/// Places by the group whose positions are asked for.
type ByGroup = BTreeMap<String, Vec<Place>>;

async fn committed(links: Arc<Links>, mut groups: ByGroup) -> Vec<Told> {
    let names: Vec<&str> = groups.keys().map(String::as_str).collect();
    let found = groups::coordinators(&links, &names).await;
    let (mut by_coordinator, mut told) = (BTreeMap::<i32, ByGroup>::new(), Vec::new());
    for (group, coordinator) in found {
        let Some(places) = groups.remove(&group) else { continue };
        match coordinator {
            Ok(node) => drop(by_coordinator.entry(node).or_default().insert(group, places)),
            Err(trouble) => told.extend(of_group(group, places, |_| Err(trouble.clone()))),
        }
    }
    told.extend(groups.into_iter().flat_map(|(group, places)| of_group(group, places, |_| Err(Trouble::NoBroker))));
    let mut running: JoinSet<Vec<Told>> = JoinSet::new();
    for (coordinator, groups) in by_coordinator {
        running.spawn(positions(links.clone(), coordinator, groups));
    }
    while let Some(ended) = running.join_next().await {
        told.extend(ended.into_iter().flatten());
    }
    told
}

async fn positions(links: Arc<Links>, coordinator: i32, groups: ByGroup) -> Vec<Told> {
    let mut wanted: HashMap<&str, Partitions> = HashMap::new();
    for (group, places) in &groups {
        for (topic, partition) in places {
            wanted.entry(group).or_default().entry(topic.clone()).or_default().push(*partition);
        }
    }
    let asked: Vec<(&str, Option<&Partitions>)> = wanted.iter().map(|(group, places)| (*group, Some(places))).collect();
    let mut positions = groups::positions(&links, coordinator, &asked).await;
    let told = groups.into_iter().flat_map(|(group, places)| {
        let of_this = positions.remove(&group).unwrap_or(Err(Trouble::Malformed(coordinator)));
        of_group(group, places, move |place| match &of_this {
            Ok(positions) => positions.get(place).cloned().unwrap_or(Ok(-1)),
            Err(trouble) => Err(trouble.clone()),
        })
    });
    told.collect()
}

fn of_group(
    group: String,
    places: Vec<Place>,
    position: impl Fn(&Place) -> Result<i64, Trouble>,
) -> impl Iterator<Item = Told> {
    places.into_iter().map(move |place| {
        let answered = position(&place).map(Value::Offset);
        (Question::Committed { group: group.clone(), topic: place.0, partition: place.1 }, answered)
    })
}
