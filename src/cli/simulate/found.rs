//! What a simulation found, counted: ways of being denied or held, what was looked at, what could not be judged.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::policy::ResourceKind;
use crate::recorder::Rfc3339;
use crate::wire::kafka::api;

/// Ways that are kept apart: more than people read; what comes beyond is counted.
const WAYS_MAX: usize = 10_000;

/// What would become of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Change {
    /// It is denied.
    Denied,
    /// It waits for approval.
    Held,
}

/// One way of being denied or held: somebody, with one client, does one thing with one resource, and one rule is against it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Way {
    pub(super) change: Change,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) client_id: Option<String>,
    pub(super) listener: String,
    /// By its name in the policy file.
    pub(super) operation: &'static str,
    pub(super) kind: ResourceKind,
    pub(super) name: String,
    pub(super) partition: Option<i32>,
    /// The rule that denies or holds, by its place; none: no rule allows it.
    pub(super) rule: Option<usize>,
}

/// How often a way was met.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(skip)]
    pub(super) change: Change,
    pub(super) issuer: String,
    pub(super) subject: String,
    /// Of the latest of them.
    pub(super) groups: Vec<String>,
    pub(super) client_id: Option<String>,
    /// Of the latest of them.
    pub(super) address: IpAddr,
    pub(super) listener: String,
    pub(super) operation: &'static str,
    #[serde(serialize_with = "kind")]
    pub(super) resource: ResourceKind,
    pub(super) name: Option<String>,
    pub(super) partition: Option<i32>,
    /// Names of Kafka's APIs that asked for it.
    #[serde(serialize_with = "names")]
    pub(super) apis: BTreeSet<i16>,
    pub(super) exchanges: u64,
    /// Those of them that Weir refused when they happened.
    pub(super) refused: u64,
    pub(super) first: Rfc3339,
    pub(super) first_ns: u64,
    pub(super) last: Rfc3339,
    pub(super) last_ns: u64,
    #[serde(skip)]
    pub(super) rule_number: Option<usize>,
    /// The latest exchange that was counted, so that one that names fifty partitions counts once.
    #[serde(skip)]
    counted: u64,
}

fn kind<S: Serializer>(kind: &ResourceKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind_name(*kind))
}

/// As `weir explain --json` has it.
pub(super) fn kind_name(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Topic => "topic",
        ResourceKind::Group => "consumer_group",
        ResourceKind::TransactionalId => "transactional_id",
        ResourceKind::Cluster => "cluster",
    }
}

fn names<S: Serializer>(apis: &BTreeSet<i16>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(apis.iter().map(|key| api::name(*key)))
}

/// What was looked at.
#[derive(Debug, Default, Serialize)]
pub(super) struct LookedAt {
    pub(super) sessions: u64,
    pub(super) exchanges: u64,
    /// Those that ask for a right.
    pub(super) judged: u64,
    pub(super) first: Option<Rfc3339>,
    pub(super) first_ns: Option<u64>,
    pub(super) last: Option<Rfc3339>,
    pub(super) last_ns: Option<u64>,
    /// Some sessions of a minute were left out: there were more than are listed at a time.
    pub(super) sessions_omitted: bool,
    /// The time for an answer was over: of this hour not all was looked at, and of later ones nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stopped_in: Option<Rfc3339>,
}

impl LookedAt {
    pub(super) fn stopped(&mut self, hour_ns: u64) {
        self.stopped_in = Some(Rfc3339(hour_ns));
    }

    pub(super) fn exchange(&mut self, at_ns: u64) {
        self.exchanges += 1;
        let first_ns = self.first_ns.map_or(at_ns, |first_ns| first_ns.min(at_ns));
        let last_ns = self.last_ns.map_or(at_ns, |last_ns| last_ns.max(at_ns));
        (self.first, self.first_ns) = (Some(Rfc3339(first_ns)), Some(first_ns));
        (self.last, self.last_ns) = (Some(Rfc3339(last_ns)), Some(last_ns));
    }
}

/// Exchanges that could not be judged, or not wholly.
#[derive(Debug, Default, Serialize)]
pub(super) struct NotJudged {
    /// Named more than an event keeps; the rest of them was judged.
    pub(super) items_omitted: u64,
    /// Named topics by ids whose names were not known.
    pub(super) unnamed_topics: u64,
    /// Of connections that were accepted before the time that is looked at, in sessions of several listeners.
    pub(super) listener_unknown: u64,
    /// Whose request is not recorded: it was noted before the time that is looked at.
    pub(super) request_unknown: u64,
    /// Of subjects that have tokens which are narrowed, or of an issuer whose tokens may be: judged by rules alone.
    pub(super) maybe_narrowed: u64,
    /// Perhaps held by a rule of the new policy: not all that it asks about is recorded.
    pub(super) maybe_held: u64,
    /// Of identities of which only the first groups are recorded: judged by these.
    pub(super) groups_omitted: u64,
}

impl NotJudged {
    pub(super) fn is_nothing(&self) -> bool {
        let NotJudged {
            items_omitted,
            unnamed_topics,
            listener_unknown,
            request_unknown,
            maybe_narrowed,
            maybe_held,
            groups_omitted,
        } = self;
        [items_omitted, unnamed_topics, listener_unknown, request_unknown, maybe_narrowed, maybe_held, groups_omitted]
            .into_iter()
            .all(|count| *count == 0)
    }
}

/// Everything that is found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) looked_at: LookedAt,
    pub(super) not_judged: NotJudged,
    /// Exchanges of which something is newly denied.
    pub(super) newly_denied: u64,
    /// Exchanges of which something is newly held.
    pub(super) newly_held: u64,
    /// Exchanges of which something is newly allowed.
    pub(super) newly_allowed: u64,
    /// Exchanges of which something is held by the policy in force alone.
    pub(super) no_longer_held: u64,
    pub(super) ways_omitted: bool,
    rows: Vec<Row>,
    places: HashMap<Way, usize>,
}

/// An exchange that is counted in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub(super) api_key: i16,
    pub(super) at_ns: u64,
    pub(super) refused: bool,
}

impl Found {
    /// The row of a way; none where there are too many.
    pub(super) fn row_of(&mut self, way: Way, address: IpAddr) -> Option<usize> {
        if let Some(place) = self.places.get(&way) {
            return Some(*place);
        }
        if self.rows.len() >= WAYS_MAX {
            self.ways_omitted = true;
            return None;
        }
        let of = way.clone();
        self.rows.push(Row {
            change: of.change,
            issuer: of.issuer,
            subject: of.subject,
            groups: Vec::new(),
            client_id: of.client_id,
            address,
            listener: of.listener,
            operation: of.operation,
            resource: of.kind,
            name: (of.kind != ResourceKind::Cluster).then_some(of.name),
            partition: of.partition,
            apis: BTreeSet::new(),
            exchanges: 0,
            refused: 0,
            first: Rfc3339(u64::MAX),
            first_ns: u64::MAX,
            last: Rfc3339(0),
            last_ns: 0,
            rule_number: of.rule,
            counted: 0,
        });
        self.places.insert(way, self.rows.len() - 1);
        Some(self.rows.len() - 1)
    }

    /// Counts the exchange that is looked at in a row, once.
    pub(super) fn count(&mut self, row: usize, exchange: Counted, groups: &[String], address: IpAddr) {
        let number = self.looked_at.exchanges;
        let Some(row) = self.rows.get_mut(row).filter(|row| row.counted != number) else { return };
        row.counted = number;
        row.exchanges += 1;
        row.refused += u64::from(exchange.refused);
        row.apis.insert(exchange.api_key);
        row.first_ns = row.first_ns.min(exchange.at_ns);
        if exchange.at_ns >= row.last_ns {
            row.last_ns = exchange.at_ns;
            row.address = address;
            groups.clone_into(&mut row.groups);
        }
        (row.first, row.last) = (Rfc3339(row.first_ns), Rfc3339(row.last_ns));
    }

    /// The rows of a change, the most frequent first, of equals the latest.
    pub(super) fn worst_first(&self, change: Change) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.iter().filter(|row| row.change == change).collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.exchanges, row.last_ns)));
        rows
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::Ipv4Addr;

    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn way(name: &str) -> Way {
        Way {
            change: Change::Denied,
            issuer: "weir".to_owned(),
            subject: "a".to_owned(),
            client_id: None,
            listener: "main".to_owned(),
            operation: "read",
            kind: ResourceKind::Topic,
            name: name.to_owned(),
            partition: None,
            rule: None,
        }
    }

    fn counted(at_ns: u64) -> Counted {
        Counted { api_key: 1, at_ns, refused: false }
    }

    #[test]
    fn an_exchange_counts_once_in_a_row_and_the_worst_row_stands_first() {
        let mut found = Found::default();
        for (at_ns, name) in [(3, "rare"), (1, "often"), (2, "often")] {
            found.looked_at.exchange(at_ns);
            let row = found.row_of(way(name), HOME).unwrap();
            found.count(row, counted(at_ns), &[], HOME);
            found.count(row, counted(at_ns), &[], HOME);
        }
        let rows: Vec<(&str, u64, u64, u64)> = found
            .worst_first(Change::Denied)
            .iter()
            .map(|row| (row.name.as_deref().unwrap(), row.exchanges, row.first_ns, row.last_ns))
            .collect();
        assert_eq!(rows, [("often", 2, 1, 2), ("rare", 1, 3, 3)]);
        assert_eq!((found.looked_at.first_ns, found.looked_at.last_ns), (Some(1), Some(3)));
    }

    #[test]
    fn more_ways_than_are_kept_apart_are_said_to_be_there() {
        let mut found = Found::default();
        for number in 0..=WAYS_MAX {
            let row = found.row_of(way(&number.to_string()), HOME);
            assert_eq!(row.is_none(), number == WAYS_MAX);
        }
        assert!(found.ways_omitted && found.row_of(way("0"), HOME).is_some());
    }
}
