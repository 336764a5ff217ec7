//! What became of every record of a stream: three views of each partition, and their comparison.
//!
//! What producers were acknowledged, what the brokers store and what each group read must be the same records with the same
//! bytes. A record is known by its producer and its number there, so that an acknowledgement needs no offset. Stored
//! records of one producer must stand in the order in which they were sent, each once. A group may read an offset twice,
//! and must read each once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::errors::Error;
use super::whole_lines;
use crate::{During, Failure, Result};

/// How many breaches of one kind are told in full.
const SHOWN: usize = 5;

/// A record that a producer was told is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its partition.
    pub partition: i32,
    /// Who, and which of its records.
    pub record: Record,
    /// The start of its value's SHA-256.
    pub hash: u64,
}

/// A producer's number, and the number of its record.
pub type Record = (u32, u64);

/// A record as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Who sent it.
    pub record: Record,
    /// The start of its value's SHA-256.
    pub hash: u64,
}

/// What a reader read: by partition and offset, and what it read at an offset a second time.
#[derive(Debug, Clone, Default)]
pub struct Read {
    partitions: BTreeMap<i32, BTreeMap<i64, Seen>>,
    /// Offsets at which it read one thing first and another later.
    changed: Vec<(i32, i64)>,
    again: usize,
}

impl Acknowledged {
    /// The lines of `NAME.produced`: partition, sequence, hash.
    pub(super) fn parse(producer: u32, path: &Path) -> Result<Vec<Self>> {
        let text = fs::read_to_string(path).during(format!("read {}", path.display()))?;
        let parse = |line: &str| {
            let [partition, sequence, hash] = fields(line)?;
            let hash = u64::from_str_radix(hash, 16).ok()?;
            Some(Self { partition: partition.parse().ok()?, record: (producer, sequence.parse().ok()?), hash })
        };
        whole_lines(&text).map(|line| parse(line).ok_or_else(|| not_a_line(path, line))).collect()
    }
}

impl Read {
    /// The lines of `NAME.consumed`: partition, offset, producer, sequence, hash.
    pub(super) fn parse(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).during(format!("read {}", path.display()))?;
        let mut read = Self::default();
        for line in whole_lines(&text) {
            let parsed = || {
                let [partition, offset, producer, sequence, hash] = fields(line)?;
                let record = (producer.parse().ok()?, sequence.parse().ok()?);
                let seen = Seen { record, hash: u64::from_str_radix(hash, 16).ok()? };
                Some((partition.parse().ok()?, offset.parse().ok()?, seen))
            };
            let (partition, offset, seen) = parsed().ok_or_else(|| not_a_line(path, line))?;
            read.add(partition, offset, seen);
        }
        Ok(read)
    }

    fn add(&mut self, partition: i32, offset: i64, seen: Seen) {
        let earlier = self.partitions.entry(partition).or_default().insert(offset, seen);
        self.again += usize::from(earlier.is_some());
        if earlier.is_some_and(|earlier| earlier != seen) {
            self.changed.push((partition, offset));
        }
    }

    /// How many different offsets it read.
    pub fn distinct(&self) -> usize {
        self.partitions.values().map(BTreeMap::len).sum()
    }

    /// What stands at two offsets: partition, record, and both.
    pub(super) fn twice(&self) -> Vec<(i32, Record, [i64; 2])> {
        let mut twice = Vec::new();
        for (partition, offsets) in &self.partitions {
            let mut first: BTreeMap<Record, i64> = BTreeMap::new();
            for (offset, seen) in offsets {
                let earlier = *first.entry(seen.record).or_insert(*offset);
                if earlier != *offset {
                    twice.push((*partition, seen.record, [earlier, *offset]));
                }
            }
        }
        twice
    }

    fn of(&self, partition: i32) -> impl Iterator<Item = (i64, Seen)> {
        self.partitions.get(&partition).into_iter().flatten().map(|(offset, seen)| (*offset, *seen))
    }
}

fn fields<const N: usize>(line: &str) -> Option<[&str; N]> {
    line.split(' ').collect::<Vec<_>>().try_into().ok()
}

fn not_a_line(path: &Path, line: &str) -> Failure {
    Failure::new(format!("{}: not a line of a report: {line}", path.display()))
}

/// All that is known of a stream.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The topic.
    pub topic: String,
    /// How many records each producer sent.
    pub sent: Vec<usize>,
    /// What they were acknowledged.
    pub acknowledged: Vec<Acknowledged>,
    /// What the brokers hold.
    pub stored: Read,
    /// What of it stands there twice because its producer sent it again under another id or epoch: brokers cannot know
    /// it for the same, and nobody between them and the producer can.
    pub renewed: BTreeSet<(i32, Record)>,
    /// What each group read, by its client's name.
    pub groups: Vec<(String, Read)>,
    /// What clients were told went wrong.
    pub errors: Vec<Error>,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// Acknowledged and not stored.
    Lost(i32, Record),
    /// Stored twice.
    Doubled(i32, Record),
    /// Stored behind a later one of the same producer.
    Swapped(i32, Record),
    /// Stored with other bytes than were acknowledged, or read with others than are stored.
    Altered(i32, Record),
    /// Stored, and its producer never heard of it.
    NeverAcknowledged(i32, Record),
    /// Sent by this producer and not acknowledged: how many.
    GivenUp(u32, usize),
    /// Stored, and not read by this group.
    Unread(String, i32, i64),
    /// Read by this group where nothing, or another record, is stored.
    Invented(String, i32, i64),
    /// An error that is not Kafka's own and passing.
    Told(Error),
}

/// One partition's views as one hash each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// The partition.
    pub partition: i32,
    /// Records stored.
    pub records: usize,
    /// Over what was acknowledged.
    pub acknowledged: String,
    /// Over what is stored.
    pub stored: String,
    /// Over what each group read.
    pub groups: Vec<String>,
}

impl Evidence {
    /// The partitions that anybody knows of.
    fn partitions(&self) -> BTreeSet<i32> {
        let read = self.groups.iter().map(|(_, read)| read).chain([&self.stored]);
        let read = read.flat_map(|read| read.partitions.keys().copied());
        read.chain(self.acknowledged.iter().map(|a| a.partition)).collect()
    }

    /// One hash per partition and view, over producer, number and content in the producers' order.
    pub fn hashes(&self) -> Vec<Hashes> {
        let of = |partition| {
            let read = |read: &Read| hash_of(read.of(partition).map(|(_, seen)| (seen.record, seen.hash)));
            let acknowledged = self.acknowledged.iter().filter(|a| a.partition == partition);
            Hashes {
                partition,
                records: self.stored.of(partition).count(),
                acknowledged: hash_of(acknowledged.map(|a| (a.record, a.hash))),
                stored: read(&self.stored),
                groups: self.groups.iter().map(|(_, group)| read(group)).collect(),
            }
        };
        self.partitions().into_iter().map(of).collect()
    }

    /// Everything that is not as promised, each once.
    pub fn breaches(&self) -> Vec<Breach> {
        let mut found = Vec::new();
        for (producer, sent) in (0..).zip(&self.sent) {
            let acknowledged = self.acknowledged.iter().filter(|a| a.record.0 == producer).count();
            if acknowledged < *sent {
                found.push(Breach::GivenUp(producer, sent - acknowledged));
            }
        }
        for partition in self.partitions() {
            self.check_stored(partition, &mut found);
            for (name, read) in &self.groups {
                self.check_group(partition, name, read, &mut found);
            }
        }
        found.extend(self.errors.iter().filter(|e| !e.is_kafkas_own()).cloned().map(Breach::Told));
        // A hash that differs without a reason above would be a hole in this file.
        let differ = |h: &Hashes| h.acknowledged != h.stored || h.groups.iter().any(|group| *group != h.stored);
        if let Some(h) =
            self.hashes().iter().find(|h| differ(h)).filter(|_| found.is_empty() && self.renewed.is_empty())
        {
            found.push(Breach::Altered(h.partition, (u32::MAX, u64::MAX)));
        }
        found
    }

    fn check_stored(&self, partition: i32, found: &mut Vec<Breach>) {
        let mut stored: BTreeMap<Record, u64> = BTreeMap::new();
        let mut latest: BTreeMap<u32, u64> = BTreeMap::new();
        for (_, Seen { record, hash }) in self.stored.of(partition) {
            if stored.insert(record, hash).is_some() {
                if !self.renewed.contains(&(partition, record)) {
                    found.push(Breach::Doubled(partition, record));
                }
                continue;
            }
            let latest = latest.entry(record.0).or_insert(record.1);
            if record.1 < *latest {
                found.push(Breach::Swapped(partition, record));
            }
            *latest = record.1.max(*latest);
        }
        for told in self.acknowledged.iter().filter(|a| a.partition == partition) {
            match stored.remove(&told.record) {
                None => found.push(Breach::Lost(partition, told.record)),
                Some(hash) if hash != told.hash => found.push(Breach::Altered(partition, told.record)),
                Some(_) => {}
            }
        }
        found.extend(stored.into_keys().map(|record| Breach::NeverAcknowledged(partition, record)));
    }

    fn check_group(&self, partition: i32, name: &str, group: &Read, found: &mut Vec<Breach>) {
        let mut read: BTreeMap<i64, Seen> = group.of(partition).collect();
        for (offset, stored) in self.stored.of(partition) {
            match read.remove(&offset) {
                None => found.push(Breach::Unread(name.to_owned(), partition, offset)),
                Some(seen) if seen.record != stored.record => {
                    found.push(Breach::Invented(name.to_owned(), partition, offset));
                }
                Some(seen) if seen != stored => found.push(Breach::Altered(partition, stored.record)),
                Some(_) => {}
            }
        }
        let changed = group.changed.iter().filter(|(p, _)| *p == partition).map(|(_, offset)| *offset);
        found
            .extend(read.into_keys().chain(changed).map(|offset| Breach::Invented(name.to_owned(), partition, offset)));
    }

    /// Fails with what is not as promised, the first few of each kind.
    pub fn verify(&self) -> Result<()> {
        let breaches = self.breaches();
        if breaches.is_empty() { Ok(()) } else { Err(Failure::new(format!("{self}\n{}", told(&breaches)))) }
    }

    /// The kinds of errors that clients were told, with how often: `client place NAME`.
    pub fn error_counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for error in &self.errors {
            *counts.entry(format!("{} {} {}", error.client, error.place, error.name)).or_default() += 1;
        }
        counts
    }
}

/// The first breaches of each kind, and how many there are.
pub fn told(breaches: &[Breach]) -> String {
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for breach in breaches {
        let text = format!("{breach:?}");
        kinds.entry(text.split('(').next().unwrap_or_default().to_owned()).or_default().push(text);
    }
    let kind = |(name, all): (&String, &Vec<String>)| {
        let shown: Vec<&str> = all.iter().take(SHOWN).map(String::as_str).collect();
        format!("{} x {name}: {}", all.len(), shown.join("; "))
    };
    kinds.iter().map(kind).collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, acknowledged): (usize, usize) = (self.sent.iter().sum(), self.acknowledged.len());
        write!(f, "{}: {sent} sent, {acknowledged} acknowledged, {} stored", self.topic, self.stored.distinct())?;
        for (name, read) in &self.groups {
            write!(f, ", {} read by {name} ({} of them again)", read.distinct() + read.again, read.again)?;
        }
        if !self.renewed.is_empty() {
            write!(f, "\n  {} sent again by their producer under another id or epoch", self.renewed.len())?;
        }
        for (error, count) in self.error_counts() {
            write!(f, "\n  told: {count} x {error}")?;
        }
        Ok(())
    }
}

fn hash_of(records: impl Iterator<Item = (Record, u64)>) -> String {
    let mut sorted: Vec<_> = records.collect();
    sorted.sort_unstable();
    let mut hash = Sha256::new();
    for ((producer, sequence), content) in sorted {
        hash.update(producer.to_be_bytes());
        hash.update(sequence.to_be_bytes());
        hash.update(content.to_be_bytes());
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Two producers, three records each, in one partition.
    const STORED: [(i64, Record); 6] = [(0, (0, 0)), (1, (1, 0)), (2, (0, 1)), (4, (1, 1)), (5, (0, 2)), (6, (1, 2))];

    fn seen(record: Record) -> Seen {
        Seen { record, hash: 1000 * u64::from(record.0) + record.1 }
    }

    fn read(log: &[(i64, Record)]) -> Read {
        let mut read = Read::default();
        log.iter().for_each(|&(offset, record)| read.add(0, offset, seen(record)));
        read
    }

    fn whole() -> Evidence {
        let told = |(_, record): (i64, Record)| Acknowledged { partition: 0, record, hash: seen(record).hash };
        Evidence {
            topic: "t".to_owned(),
            sent: vec![3, 3],
            acknowledged: STORED.into_iter().map(told).collect(),
            stored: read(&STORED),
            renewed: BTreeSet::new(),
            groups: vec![("g".to_owned(), read(&STORED))],
            errors: Vec::new(),
        }
    }

    /// What the group reads follows what is stored, so that only one thing is wrong.
    fn storing(log: &[(i64, Record)]) -> Evidence {
        Evidence { stored: read(log), groups: vec![("g".to_owned(), read(log))], ..whole() }
    }

    fn differs(evidence: &Evidence) -> bool {
        let hashes = evidence.hashes().remove(0);
        hashes.acknowledged != hashes.stored || hashes.groups[0] != hashes.stored
    }

    #[test]
    fn what_is_whole_has_no_breach_and_equal_hashes() {
        assert_eq!(whole().breaches(), []);
        assert!(!differs(&whole()));
        whole().verify().unwrap();
    }

    #[test]
    fn a_lost_record_is_found() {
        let lost = storing(&[STORED[0], STORED[1], STORED[2], STORED[4], STORED[5]]);
        assert_eq!(lost.breaches(), [Breach::Lost(0, (1, 1))]);
        assert!(differs(&lost));
        assert!(lost.verify().unwrap_err().to_string().contains("1 x Lost"));
    }

    #[test]
    fn a_doubled_record_is_found() {
        let mut log = STORED.to_vec();
        log.push((7, (1, 2)));
        let doubled = storing(&log);
        assert_eq!(doubled.breaches(), [Breach::Doubled(0, (1, 2))]);
        assert!(differs(&doubled));
        assert_eq!(doubled.stored.twice(), [(0, (1, 2), [6, 7])]);
        let another = Evidence { renewed: BTreeSet::from([(0, (1, 1))]), ..doubled.clone() };
        assert_eq!(another.breaches(), [Breach::Doubled(0, (1, 2))], "another record's excuse");
        let renewed = Evidence { renewed: BTreeSet::from([(0, (1, 2))]), ..doubled };
        assert_eq!(renewed.breaches(), []);
    }

    #[test]
    fn a_swapped_record_is_found_though_the_content_is_the_same() {
        let swapped = storing(&[(0, (0, 1)), (1, (1, 0)), (2, (0, 0)), (4, (1, 1)), (5, (0, 2)), (6, (1, 2))]);
        assert_eq!(swapped.breaches(), [Breach::Swapped(0, (0, 0))]);
    }

    #[test]
    fn an_altered_byte_is_found_in_what_is_stored_and_in_what_is_read() {
        let mut altered = whole();
        altered.acknowledged[2].hash += 1;
        assert_eq!(altered.breaches(), [Breach::Altered(0, (0, 1))]);
        assert!(differs(&altered));
        let mut altered = whole();
        altered.groups[0].1.partitions.get_mut(&0).unwrap().get_mut(&4).unwrap().hash += 1;
        assert_eq!(altered.breaches(), [Breach::Altered(0, (1, 1))]);
    }

    #[test]
    fn a_record_that_a_group_missed_or_made_up_is_found_and_one_read_twice_is_in_order() {
        let mut group = whole();
        group.groups[0].1 = read(&[STORED[0], STORED[1], STORED[2], STORED[2], STORED[4], STORED[5]]);
        assert_eq!(group.breaches(), [Breach::Unread("g".to_owned(), 0, 4)]);
        group.groups[0].1 = read(&[&STORED[..], &[STORED[3], (9, (0, 9))]].concat());
        assert_eq!(group.breaches(), [Breach::Invented("g".to_owned(), 0, 9)]);
        group.groups[0].1 = read(&[&STORED[..], &[STORED[3]]].concat());
        assert_eq!(group.breaches(), []);
        group.groups[0].1.add(0, 4, seen((0, 2)));
        assert!(!group.breaches().is_empty(), "another record at an offset that was read before");
    }

    #[test]
    fn what_was_given_up_or_never_acknowledged_or_told_is_found() {
        let mut evidence = whole();
        evidence.acknowledged.pop();
        assert_eq!(evidence.breaches(), [Breach::GivenUp(1, 1), Breach::NeverAcknowledged(0, (1, 2))]);
        let mut evidence = whole();
        evidence.errors = super::super::errors::reported("c", "client _TRANSPORT x\nclient _FATAL x");
        assert_eq!(evidence.breaches(), [Breach::Told(evidence.errors[1].clone())]);
    }
}
