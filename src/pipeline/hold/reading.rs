//! What each identity has read and written lately of topics that rules count: how much, and up to which offsets. Shared by all
//! shards, since a client's connections are on several.
//!
//! Invariants:
//! - Nothing is counted where no rule asks for it.
//! - It is bounded: of too many, those that were heard of the longest ago, or have read and written the least, are forgotten;
//!   a position that is forgotten counts as not read.
//! - It lives as long as the process: after a start, nobody has read anything yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits;
use crate::policy::{HeldOperation, Person, Volume};

/// What was read of, or written to, one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Behind the last record read; none where there were no records, and of what was written.
    pub upto: Option<i64>,
    /// Bytes of records.
    pub bytes: u64,
}

/// What identities have read and written.
#[derive(Debug, Clone, Default)]
pub struct Readings(Arc<Mutex<HashMap<Who, Marks>>>);

/// One identity on one cluster.
type Who = (String, Person);

#[derive(Debug, Default)]
struct Marks {
    last_s: u64,
    /// Bytes by what was done with which topic, a minute each.
    bytes: HashMap<(HeldOperation, Arc<str>), BTreeMap<u64, u64>>,
    /// Behind the last record read.
    upto: HashMap<(Arc<str>, i32), i64>,
}

const MINUTE_S: u64 = 60;

/// The longest name that a topic has (`Topic.MAX_NAME_LENGTH` of Kafka).
const TOPIC_NAME_MAX: usize = 249;

impl Marks {
    fn add(&mut self, operation: HeldOperation, topic: &Arc<str>, bytes: u64, minute: u64) {
        let key = (operation, topic.clone());
        if self.bytes.len() >= limits::TOPICS_COUNTED_MAX && !self.bytes.contains_key(&key) {
            let sum = |by_minute: &BTreeMap<u64, u64>| by_minute.values().sum::<u64>();
            let mut sums: Vec<u64> = self.bytes.values().map(sum).collect();
            let (_, median, _) = sums.select_nth_unstable(limits::TOPICS_COUNTED_MAX / 2);
            let median = *median;
            self.bytes.retain(|_, by_minute| sum(by_minute) > median);
        }
        let by_minute = self.bytes.entry(key).or_default();
        *by_minute.entry(minute).or_default() += bytes;
        if by_minute.len() as u64 > limits::VOLUME_MINUTES {
            *by_minute = by_minute.split_off(&minute.saturating_sub(limits::VOLUME_MINUTES));
        }
    }
}

impl Readings {
    /// Counts what has passed.
    pub fn count(&self, cluster: &str, person: &Person, operation: HeldOperation, passed: &[Passed], now_s: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let who = (cluster.to_owned(), person.clone());
        if all.len() >= limits::READERS_MAX && !all.contains_key(&who) {
            let oldest = all.iter().min_by_key(|(_, marks)| marks.last_s).map(|(who, _)| who.clone());
            oldest.map(|oldest| all.remove(&oldest));
        }
        let marks = all.entry(who).or_default();
        marks.last_s = now_s;
        for Passed { topic, partition, upto, bytes } in passed {
            if marks.upto.len() >= limits::PARTITIONS_READ_MAX {
                marks.upto.clear();
            }
            if let Some(upto) = upto {
                let before = marks.upto.entry((topic.clone(), *partition)).or_default();
                *before = (*before).max(*upto);
            }
            // A longer one is made up.
            if *bytes > 0 && topic.len() <= TOPIC_NAME_MAX {
                marks.add(operation, topic, *bytes, now_s / MINUTE_S);
            }
        }
    }

    /// Bytes of a topic in the time that is looked back, to the minute.
    pub fn volume(
        &self,
        cluster: &str,
        person: &Person,
        operation: HeldOperation,
        topic: &str,
        volume: Volume,
        now_s: u64,
    ) -> u64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now_s.saturating_sub(volume.within.as_secs()) / MINUTE_S;
        let marks = all.get(&(cluster.to_owned(), person.clone()));
        let by_minute = marks.and_then(|marks| marks.bytes.get(&(operation, Arc::from(topic))));
        by_minute.map_or(0, |by_minute| by_minute.range(since..).map(|(_, bytes)| bytes).sum())
    }

    /// Behind the last record that was read of a partition; none where none was.
    pub fn upto(&self, cluster: &str, person: &Person, topic: &str, partition: i32) -> Option<i64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(cluster.to_owned(), person.clone()))?.upto.get(&(Arc::from(topic), partition)).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn passed(bytes: u64, upto: i64) -> [Passed; 1] {
        [Passed { topic: "t".into(), partition: 0, upto: Some(upto), bytes }]
    }

    #[test]
    fn volumes_are_of_the_time_that_is_looked_back_and_of_one_identity() {
        let (readings, ann, bob) = (Readings::default(), Person::new("idp", "ann"), Person::new("idp", "bob"));
        let hour = Volume { over: 0, within: Duration::from_secs(3600) };
        let volume = |who: &Person, now_s| readings.volume("main", who, HeldOperation::Fetch, "t", hour, now_s);
        readings.count("main", &ann, HeldOperation::Fetch, &passed(10, 5), 600);
        readings.count("main", &ann, HeldOperation::Fetch, &passed(20, 3), 4_000);
        assert_eq!((volume(&ann, 4_000), volume(&ann, 4_300), volume(&bob, 4_000)), (30, 20, 0));
        assert_eq!(readings.upto("main", &ann, "t", 0), Some(5), "who has read a record has read it");
        assert_eq!(readings.upto("other", &ann, "t", 0), None);
    }
    #[test]
    fn topics_that_are_made_up_neither_stay_nor_push_out_what_was_really_written() {
        let (readings, ann) = (Readings::default(), Person::new("idp", "ann"));
        let count = |topic: String, bytes| {
            let passed = [Passed { topic: topic.into(), partition: 0, upto: None, bytes }];
            readings.count("main", &ann, HeldOperation::Produce, &passed, 60);
        };
        count("orders".to_owned(), 1_000_000);
        (0..3 * limits::TOPICS_COUNTED_MAX).for_each(|n| count(format!("made-up-{n}"), 100));
        count("x".repeat(30_000), 100);
        let kept: usize =
            readings.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(|m| m.bytes.len()).sum();
        assert!(kept <= limits::TOPICS_COUNTED_MAX, "{kept}");
        let hour = Volume { over: 0, within: Duration::from_secs(3600) };
        assert_eq!(readings.volume("main", &ann, HeldOperation::Produce, "orders", hour, 60), 1_000_000);
    }
}
