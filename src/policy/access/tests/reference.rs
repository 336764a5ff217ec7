//! Rights against a naive reading of Kafka's rule: a deny that matches says no, an allow that matches, implied ones
//! included, says yes, else no.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

/// A rule in a form whose meaning needs no code of ours.
#[derive(Debug, Clone)]
struct Acl {
    deny: bool,
    /// None: whoever.
    group: Option<&'static str>,
    /// None: all of them.
    operations: Option<Vec<Operation>>,
    kind: ResourceKind,
    name: Name,
    partitions: Option<Vec<i32>>,
}

#[derive(Debug, Clone, Copy)]
enum Name {
    Any,
    Is(&'static str),
    Begins(&'static str),
}

const NAMES: &[&str] = &["a", "a.b", "a.c", "ab", "b", "unseen"];
const GROUPS: &[&str] = &["dev", "ops"];
/// Beyond all that rules name.
const PARTITIONS: std::ops::Range<i32> = 0..9;

impl Acl {
    fn matches(&self, groups: &[&str], kind: ResourceKind, name: &str, partition: i32) -> bool {
        let named = match self.name {
            _ if kind == ResourceKind::Cluster => true,
            Name::Any => true,
            Name::Is(is) => is == name,
            Name::Begins(begin) => name.starts_with(begin),
        };
        let parted = |partitions: &Vec<i32>| kind != ResourceKind::Topic || partitions.contains(&partition);
        self.kind == kind
            && named
            && self.group.is_none_or(|group| groups.contains(&group))
            && self.partitions.as_ref().is_none_or(parted)
    }

    fn says(&self, operation: Operation) -> bool {
        self.operations.as_ref().is_none_or(|some| some.contains(&operation))
    }

    fn implies(&self, operation: Operation) -> bool {
        let by: &[Operation] = match operation {
            Describe => &[Read, Write, Delete, Alter],
            Operation::DescribeConfigs => &[Operation::AlterConfigs],
            _ => &[],
        };
        self.says(operation) || by.iter().any(|by| self.says(*by))
    }

    fn text(&self) -> String {
        let name = match self.name {
            Name::Any => "*".to_owned(),
            Name::Is(name) => name.to_owned(),
            Name::Begins(begin) => format!("{begin}*"),
        };
        let numbers = |some: &Vec<i32>| some.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let partitions = self.partitions.as_ref().filter(|_| self.kind == ResourceKind::Topic);
        name + &partitions.map(|some| format!("[{}]", numbers(some))).unwrap_or_default()
    }

    fn rule(&self) -> AccessRule {
        let operations = self.operations.as_ref().map_or(Operations::ALL, |some| Operations::of(some));
        let text = self.text();
        let named = |kind| if self.kind == kind { vec![text.clone()] } else { Vec::new() };
        AccessRule {
            effect: if self.deny { Effect::Deny } else { Effect::Allow },
            groups: self.group.map(str::to_owned).into_iter().collect(),
            operations,
            topics: NamePatterns::topics(&named(ResourceKind::Topic)).unwrap(),
            consumer_groups: NamePatterns::names(&named(ResourceKind::Group)).unwrap(),
            transactional_ids: NamePatterns::names(&named(ResourceKind::TransactionalId)).unwrap(),
            cluster: self.kind == ResourceKind::Cluster,
            ..super::rule(&[])
        }
    }
}

/// What Kafka would say, for a partition of a topic as if it were a topic of its own.
fn kafka(acls: &[Acl], groups: &[&str], operation: Operation, kind: ResourceKind, name: &str, partition: i32) -> bool {
    let matching: Vec<&Acl> = acls.iter().filter(|acl| acl.matches(groups, kind, name, partition)).collect();
    let denied = matching.iter().any(|acl| acl.deny && acl.says(operation));
    let allowed = matching.iter().any(|acl| !acl.deny && acl.implies(operation));
    kind.operations().contains(operation) && allowed && !denied
}

fn acl(names: &'static [&'static str]) -> impl Strategy<Value = Acl> {
    let name = prop_oneof![
        1 => Just(Name::Any),
        2 => select(names).prop_map(Name::Is),
        2 => select(names).prop_map(Name::Begins),
    ];
    let operations = subsequence(Operation::all().collect::<Vec<_>>(), 1..4);
    let partitions = subsequence((PARTITIONS.start..PARTITIONS.end - 1).collect::<Vec<_>>(), 1..4);
    (
        proptest::bool::weighted(0.3),
        proptest::option::weighted(0.3, select(GROUPS)),
        proptest::option::weighted(0.8, operations),
        select(&ResourceKind::ALL[..]),
        name,
        proptest::option::weighted(0.3, partitions),
    )
        .prop_map(|(deny, group, operations, kind, name, partitions)| Acl {
            deny,
            group,
            operations,
            kind,
            name,
            partitions: partitions.filter(|_| kind == ResourceKind::Topic),
        })
}

/// Rights without looking for mistakes: what does nothing may be drawn, and has to do nothing.
fn unchecked(acls: &[Acl], groups: &[String], scopes: Option<&Scopes>) -> Option<Rights> {
    let rules = AccessRules(acls.iter().map(Acl::rule).collect());
    rules.rights_of(&AccessClient { groups, scopes, ..client() })
}

fn where_asked() -> impl Iterator<Item = (ResourceKind, &'static str)> {
    ResourceKind::ALL.into_iter().flat_map(|kind| NAMES.iter().map(move |name| (kind, *name)))
}

/// The scopes that a rule would be, without its groups.
fn scopes(acls: &[Acl]) -> Scopes {
    let scope = |acl: &Acl| {
        let AccessRule { operations, topics, consumer_groups, transactional_ids, .. } = acl.rule();
        Scope { topics, consumer_groups, transactional_ids, operations }
    };
    Scopes(acls.iter().map(scope).collect())
}

/// What a naive reading leaves: scopes that name nothing of a kind narrow no names of it.
fn left(acls: &[Acl], operation: Operation, kind: ResourceKind, name: &str, partition: i32) -> bool {
    let names = |acl: &&Acl| acl.kind != kind || acl.matches(GROUPS, kind, name, partition);
    acls.iter().filter(names).any(|acl| acl.implies(operation))
}

proptest! {
    #[test]
    fn rights_are_what_kafka_says(
        acls in proptest::collection::vec(acl(NAMES), 1..8),
        groups in subsequence(GROUPS, 0..=2),
    ) {
        let owned: Vec<String> = groups.iter().map(ToString::to_string).collect();
        let rights = unchecked(&acls, &owned, None).unwrap();
        for (kind, name) in where_asked() {
            for partition in PARTITIONS {
                let says = |operation: &Operation| kafka(&acls, &groups, *operation, kind, name, partition);
                let expected: Operations = Operation::all().filter(says).collect();
                let found = rights.operations(kind, name, Some(partition), 0);
                prop_assert_eq!(found, expected, "{:?} {} {}", kind, name, partition);
                for operation in Operation::all() {
                    let decision = rights.decide(operation, kind, name, Some(partition), 0);
                    prop_assert_eq!(decision.allowed, expected.contains(operation));
                    if let DecidedBy::Rule { number, .. } = decision.by {
                        prop_assert_eq!(acls[number].deny, !decision.allowed);
                    }
                }
            }
        }
    }

    #[test]
    fn a_whole_topic_is_allowed_what_all_of_its_partitions_are_and_described_if_one_is(
        acls in proptest::collection::vec(acl(NAMES), 1..8),
        narrow in proptest::option::weighted(0.3, proptest::collection::vec(acl(NAMES), 1..3)),
    ) {
        let narrow = narrow.map(|acls| scopes(&acls));
        let rights = unchecked(&acls, &[], narrow.as_ref()).unwrap();
        for (kind, name) in where_asked() {
            let here = |partition| rights.operations(kind, name, Some(partition), 0);
            let all = PARTITIONS.map(here).fold(Operations::ALL, Operations::intersect);
            let any = PARTITIONS.map(here).fold(Operations::NONE, Operations::union);
            let whole = rights.operations(kind, name, None, 0);
            prop_assert_eq!(whole, all.union(any.intersect(Operations::of(&[Describe]))), "{:?} {}", kind, name);
            let parted = kind == ResourceKind::Topic && rights.is_partitioned(name);
            prop_assert!(parted || all == any);
            for operation in Operation::all() {
                prop_assert_eq!(rights.decide(operation, kind, name, None, 0).allowed, whole.contains(operation));
            }
            prop_assert!(rights.everywhere(kind, 0).without(all).is_empty(), "{:?} {}", kind, name);
            prop_assert!(any.without(rights.somewhere(kind, 0)).is_empty(), "{:?} {}", kind, name);
        }
    }

    #[test]
    fn scopes_only_take_away_and_leave_what_they_name(
        acls in proptest::collection::vec(acl(NAMES), 0..6),
        narrow in proptest::collection::vec(acl(NAMES), 0..4),
    ) {
        let wide = unchecked(&acls, &[], None);
        let narrowed = unchecked(&acls, &[], Some(&scopes(&narrow))).unwrap();
        for (kind, name) in where_asked() {
            for partition in PARTITIONS {
                let before = wide.as_ref().map_or(kind.operations(), |r| r.operations(kind, name, Some(partition), 0));
                let leaves = |operation: &Operation| left(&narrow, *operation, kind, name, partition);
                let expected = before.intersect(Operation::all().filter(leaves).collect());
                prop_assert_eq!(narrowed.operations(kind, name, Some(partition), 0), expected);
            }
        }
    }

    /// What is told as a mistake or warned about may be left out, and nothing changes.
    #[test]
    fn rules_that_are_said_to_do_nothing_do_nothing(acls in proptest::collection::vec(acl(&["a", "a.b"]), 2..6)) {
        let rules: Vec<AccessRule> = acls.iter().map(Acl::rule).collect();
        let mistakes = mistakes(rules.clone());
        let useless = mistakes.iter().find(|(_, mistake)| matches!(mistake, AccessMistake::Same(_) | AccessMistake::Denied(_)));
        let warned = AccessRules(rules.into()).warnings();
        let warned = warned.iter().find_map(|w| w.strip_prefix("access[")?.split(']').next()?.parse().ok());
        for number in useless.map(|(number, _)| *number).into_iter().chain(warned) {
            let mut fewer = acls.clone();
            fewer.remove(number);
            for groups in [vec![], texts(GROUPS)] {
                let (all, fewer) = (unchecked(&acls, &groups, None).unwrap(), unchecked(&fewer, &groups, None).unwrap());
                for (kind, name) in where_asked() {
                    for place in PARTITIONS.map(Some).chain([None]) {
                        prop_assert_eq!(all.operations(kind, name, place, 0), fewer.operations(kind, name, place, 0));
                    }
                }
            }
        }
    }
}
