//! What becomes of records below an offset, and of positions that are set to one.

use std::collections::BTreeMap;
use std::ops::Range;

use super::groups::liveliness;
use super::{Bounds, Survey, parameters, words};
use crate::policy::ActionKind;
use crate::upstream::{GroupFacts, Place};

/// Where positions go; none where they are removed.
type Targets = BTreeMap<Place, Option<i64>>;

impl Survey<'_> {
    /// How many records go, which share of the topic, and who has not read them.
    pub(super) async fn delete_records(&mut self) {
        let topics = self.topics().await;
        let bounds = self.inquirer.bounds(&topics).await;
        let mut below = Targets::new();
        for item in self.items(ActionKind::Topic) {
            let asked = parameters::partitions(item, true).into_iter();
            below.extend(asked.map(|(place, value)| (place, parameters::offset(value))));
        }
        for (name, facts) in &topics {
            let (mut gone, mut all) = (0, 0);
            for partition in facts.partitions.keys() {
                let place = (name.clone(), *partition);
                let range = match bounds.get(&place) {
                    Some(Ok(range)) => range,
                    Some(Err(trouble)) => {
                        self.unknown(&format!("of topic {name} some records are"), trouble);
                        continue;
                    }
                    None => continue,
                };
                all += range.end - range.start;
                gone += below.get(&place).map_or(0, |offset| up_to(*offset, range) - range.start);
            }
            let share = if all > 0 { gone as f64 * 100.0 / all as f64 } else { 0.0 };
            let value = format!("{} of {} go ({share:.0} %)", words::number(gone), words::count(all, "record"));
            self.tell(name, "records", value);
        }
        let groups = self.groups_on(&topics).await;
        for (place, offset) in &below {
            let Some(Ok(range)) = bounds.get(place) else { continue };
            let end = up_to(*offset, range);
            for group in &groups {
                let Some(position) = group.positions.get(place).filter(|position| **position < end) else { continue };
                let unread = words::count(end - (*position).max(range.start), "record");
                let (name, at) = (&group.name, words::number(*position));
                let how = liveliness(group);
                let value =
                    format!("{name}: {how}, at {at} in partition {}: {unread} go that it has not read", place.1);
                self.tell(&place.0, "group", value);
            }
        }
    }

    /// From where to where each position moves, and which records are skipped or read again.
    pub(super) async fn reset_offsets(&mut self) {
        let (names, targets) = self.positions_asked();
        let topics: Vec<String> = targets.keys().map(|(topic, _)| topic.clone()).collect();
        let topics = self.topics_named(&topics).await;
        let bounds = self.inquirer.bounds(&topics).await;
        let groups = self.groups_named(&names).await;
        for name in &names {
            let group = groups.iter().find(|group| group.name == *name);
            match group {
                Some(group) => self.tell(name, "members", liveliness(group)),
                // Where a broker did not answer it may be there all the same.
                None if self.trouble.is_empty() => self.tell(name, "exists", "it does not exist yet"),
                None => continue,
            }
            self.moves(name, group, &targets, &bounds);
        }
    }

    /// Which groups' positions are meant, and which of them.
    fn positions_asked(&self) -> (Vec<String>, Targets) {
        const GROUP: &[&str] = &["group_id", "group"];
        let (mut names, mut targets) = (Vec::new(), Targets::new());
        names.extend(parameters::value(&self.action.parameters, GROUP).map(ToOwned::to_owned));
        for item in &self.action.items {
            match item.kind {
                ActionKind::Group => names.push(item.name.clone()),
                _ => names.extend(parameters::value(&item.parameters, GROUP).map(ToOwned::to_owned)),
            }
            let asked = parameters::partitions(item, item.kind == ActionKind::Topic).into_iter();
            targets.extend(asked.map(|(place, value)| (place, parameters::offset(value))));
        }
        names.sort();
        names.dedup();
        (names, targets)
    }

    fn moves(&mut self, name: &str, group: Option<&GroupFacts>, targets: &Targets, bounds: &Bounds) {
        let (mut again, mut skipped, mut behind) = (0_i64, 0_i64, Some(0_i64));
        for (place, to) in targets {
            let range = bounds.get(place).and_then(|range| range.as_ref().ok());
            if let Some(Err(trouble)) = bounds.get(place) {
                self.unknown(&format!("of topic {} some offsets are", place.0), trouble);
            }
            let from = group.and_then(|group| group.positions.get(place)).copied();
            let moved = match (from, to) {
                (Some(from), Some(to)) if to < &from => {
                    // What is gone already cannot be read again.
                    let read = from - (*to).max(range.map_or(*to, |range| range.start.min(from)));
                    again += read;
                    format!(", {} read again", words::count(read, "record"))
                }
                (Some(from), Some(to)) if to > &from => {
                    skipped += to - from;
                    format!(", {} skipped", words::count(to - from, "record"))
                }
                _ => String::new(),
            };
            behind =
                behind.zip(range).zip(*to).map(|((sum, range), to)| sum + range.end - to.clamp(range.start, range.end));
            let shown = |offset: Option<i64>| offset.map_or_else(|| "none".to_owned(), words::number);
            let (topic, partition) = place;
            self.tell(
                name,
                "position",
                format!("{topic} partition {partition}: {} -> {}{moved}", shown(from), shown(*to)),
            );
        }
        let mut value = format!("{} read again, {} skipped", words::count(again, "record"), words::number(skipped));
        if let Some(behind) = behind.filter(|_| !targets.is_empty()) {
            value += &format!("; {} behind afterwards", words::number(behind));
        }
        self.tell(name, "lag", value);
    }
}

/// Where a log begins once everything below `offset` is gone; without an offset, or with -1, all of it goes.
fn up_to(offset: Option<i64>, range: &Range<i64>) -> i64 {
    offset.filter(|offset| *offset >= 0).unwrap_or(range.end).clamp(range.start, range.end)
}
