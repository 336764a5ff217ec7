//! Access rules on their own: whom they are about, what they come to, what is wrong with them.
#![allow(clippy::unwrap_used)]

mod reference;

use jiff::tz::TimeZone;

use super::super::patterns::Patterns;
use super::*;

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn topics(patterns: &[&str]) -> NamePatterns {
    NamePatterns::topics(&texts(patterns)).unwrap()
}

fn names(patterns: &[&str]) -> NamePatterns {
    NamePatterns::names(&texts(patterns)).unwrap()
}

fn patterns(patterns: &[&str]) -> Patterns {
    Patterns::new(texts(patterns)).unwrap()
}

/// An allow for everybody that is about nothing yet.
fn rule(operations: &[Operation]) -> AccessRule {
    AccessRule { operations: Operations::of(operations), ..AccessRule::default() }
}

fn on(patterns: &[&str], operations: &[Operation]) -> AccessRule {
    AccessRule { topics: topics(patterns), ..rule(operations) }
}

fn deny(rule: AccessRule) -> AccessRule {
    AccessRule { effect: Effect::Deny, ..rule }
}

fn client() -> AccessClient<'static> {
    AccessClient {
        listener: "main",
        issuer: "weir",
        subject: "analyst-7",
        groups: &[],
        client_id: Some("app"),
        address: [10, 1, 2, 3].into(),
        scopes: None,
    }
}

fn rights(rules: Vec<AccessRule>) -> Rights {
    AccessRules::new(rules).unwrap().rights_of(&client()).unwrap()
}

fn on_topic(rights: &Rights, name: &str, partition: Option<i32>) -> String {
    rights.operations(ResourceKind::Topic, name, partition, 0).to_string()
}

use Operation::{Alter, Create, Delete, Describe, Read, Write};

#[test]
fn a_listener_without_rules_decides_nothing_and_one_with_rules_denies_what_none_allows() {
    let rules = vec![AccessRule { listeners: texts(&["main"]), ..on(&["orders.*"], &[Read]) }];
    let rules = AccessRules::new(rules).unwrap();
    assert!(rules.rights_of(&AccessClient { listener: "other", ..client() }).is_none());
    assert!(AccessRules::default().rights_of(&client()).is_none());
    let rights = rules.rights_of(&client()).unwrap();
    assert_eq!(on_topic(&rights, "orders.eu", None), "read, describe");
    assert_eq!(on_topic(&rights, "payments", None), "");
    assert_eq!(rights.operations(ResourceKind::Group, "g", None, 0), Operations::NONE);
    assert_eq!(rights.operations(ResourceKind::Cluster, "", None, 0), Operations::NONE);
}

#[test]
fn a_rule_about_somebody_else_still_closes_the_listener() {
    let rules = AccessRules::new(vec![AccessRule { groups: texts(&["sre"]), ..on(&["*"], &[Read]) }]).unwrap();
    assert_eq!(on_topic(&rules.rights_of(&client()).unwrap(), "orders", None), "");
    let of_group = AccessClient { groups: &["sre".to_owned()], ..client() };
    assert_eq!(on_topic(&rules.rights_of(&of_group).unwrap(), "orders", None), "read, describe");
}

#[test]
fn all_that_a_rule_says_of_the_client_has_to_hold() {
    let full = || AccessRule {
        listeners: texts(&["main", "other"]),
        issuers: patterns(&["weir"]),
        subjects: patterns(&["analyst-*"]),
        groups: texts(&["a", "b"]),
        client_ids: patterns(&["app*"]),
        networks: vec!["10.0.0.0/8".parse().unwrap()],
        ..on(&["t"], &[Read])
    };
    let groups = texts(&["b"]);
    let who = AccessClient { groups: &groups, ..client() };
    assert_eq!(full().why_not(&who), None);
    for (other, why) in [
        (AccessClient { listener: "third", ..who }, AccessExemption::Listener),
        (AccessClient { issuer: "https://id.example.com", ..who }, AccessExemption::Issuer),
        (AccessClient { subject: "service", ..who }, AccessExemption::Subject),
        (AccessClient { groups: &[], ..who }, AccessExemption::Groups),
        (AccessClient { client_id: Some("cli"), ..who }, AccessExemption::ClientId),
        (AccessClient { address: [192, 168, 0, 1].into(), ..who }, AccessExemption::Network),
    ] {
        assert_eq!(full().why_not(&other), Some(why));
    }
}

#[test]
fn a_client_that_states_no_id_is_not_let_in_by_one_and_not_let_out_by_one() {
    let unnamed = AccessClient { client_id: None, ..client() };
    let about = |rule: AccessRule| AccessRule { client_ids: patterns(&["app"]), ..rule };
    assert_eq!(about(on(&["t"], &[Read])).why_not(&unnamed), Some(AccessExemption::ClientId));
    assert_eq!(about(deny(on(&["t"], &[Read]))).why_not(&unnamed), None);
}

#[test]
fn a_deny_takes_what_it_names_and_nothing_that_would_be_implied() {
    let rights = rights(vec![on(&["*"], &[Read, Write]), deny(on(&["secret.*"], &[Read]))]);
    assert_eq!(on_topic(&rights, "secret.a", None), "write, describe");
    assert_eq!(on_topic(&rights, "a", None), "read, write, describe");
    let rights = self::rights(vec![on(&["*"], &[Read]), deny(on(&["secret.*"], &[Describe]))]);
    assert_eq!(on_topic(&rights, "secret.a", None), "read");
}

#[test]
fn partitions_are_told_apart_and_a_whole_topic_is_allowed_what_all_of_them_are() {
    let rights = rights(vec![on(&["orders[0-3]"], &[Read]), on(&["orders"], &[Write]), on(&["other"], &[Read])]);
    assert!(rights.is_partitioned("orders") && !rights.is_partitioned("other"));
    assert_eq!(on_topic(&rights, "orders", Some(3)), "read, write, describe");
    assert_eq!(on_topic(&rights, "orders", Some(4)), "write, describe");
    assert_eq!(on_topic(&rights, "orders", None), "write, describe");
    let rights = self::rights(vec![on(&["orders[0-3]"], &[Read])]);
    assert_eq!(on_topic(&rights, "orders", None), "describe");
    assert_eq!(on_topic(&rights, "orders", Some(-1)), "describe");
    let rights = self::rights(vec![on(&["o*"], &[Read, Delete]), deny(on(&["orders[7]"], &[Read, Delete]))]);
    assert_eq!(on_topic(&rights, "orders", None), "describe");
    assert_eq!(on_topic(&rights, "orders", Some(8)), "read, delete, describe");
}

#[test]
fn scopes_narrow_whatever_rules_say_and_a_listener_without_rules() {
    let scope = |text: serde_json::Value| Scopes(vec![serde_json::from_value(text).unwrap()]);
    let orders = scope(serde_json::json!({ "topics": ["orders.*"], "operations": ["read"] }));
    let narrowed = AccessClient { scopes: Some(&orders), ..client() };
    let all = AccessRule { cluster: true, consumer_groups: names(&["*"]), ..on(&["*"], &[]) };
    let all = AccessRules::new(vec![AccessRule { operations: Operations::ALL, ..all }]).unwrap();
    for rules in [AccessRules::default(), all] {
        let rights = rules.rights_of(&narrowed).unwrap();
        assert_eq!(on_topic(&rights, "orders.eu", None), "read, describe");
        assert_eq!(on_topic(&rights, "payments", None), "");
        assert_eq!(rights.operations(ResourceKind::Group, "any", None, 0).to_string(), "read, describe");
        assert_eq!(rights.operations(ResourceKind::Cluster, "", None, 0).to_string(), "describe");
        let decision = rights.decide(Read, ResourceKind::Topic, "payments", None, 0);
        assert_eq!((decision.allowed, decision.by), (false, DecidedBy::Scope));
    }
    let nothing = AccessClient { scopes: Some(&Scopes::default()), ..client() };
    let rights = AccessRules::default().rights_of(&nothing).unwrap();
    assert_eq!(rights.somewhere(ResourceKind::Topic, 0), Operations::NONE);
    assert_eq!(rights.operations(ResourceKind::Cluster, "", None, 0), Operations::NONE);
    let partition = scope(serde_json::json!({ "topics": ["orders[1]"] }));
    let rights = AccessRules::default().rights_of(&AccessClient { scopes: Some(&partition), ..client() }).unwrap();
    assert!(rights.is_partitioned("orders"));
    assert_eq!(on_topic(&rights, "orders", None), "describe");
}

#[test]
fn scopes_are_kept_as_they_were_written() {
    let text = r#"[{"topics":["orders[0-3]"],"operations":["read"]},{"consumer_groups":["g*"]}]"#;
    let scopes: Scopes = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&scopes).unwrap(), text);
    assert_eq!(scopes.to_string(), "read on topics orders[0-3] or all on consumer_groups g*");
    for wrong in [r#"[{"operations":["reed"]}]"#, r#"[{"topics":["a[1-0]"]}]"#, r#"[{"topic":["a"]}]"#] {
        assert!(serde_json::from_str::<Scopes>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_decides_is_told() {
    let named = |name: &str, rule: AccessRule| AccessRule { name: Some(name.to_owned()), ..rule };
    let rights = rights(vec![
        named("all", on(&["*"], &[Read, Create])),
        named("not secrets", deny(on(&["secret.*"], &[Read]))),
        named("part", on(&["b[0]"], &[Write])),
    ]);
    let by = |operation, topic: &str, partition| {
        let decision = rights.decide(operation, ResourceKind::Topic, topic, partition, 0);
        let name = match decision.by {
            DecidedBy::Rule { number, name } => format!("{number} {}", name.unwrap()),
            other => format!("{other:?}"),
        };
        (decision.allowed, name)
    };
    assert_eq!(by(Read, "a", None), (true, "0 all".to_owned()));
    assert_eq!(by(Describe, "secret.a", None), (true, "0 all".to_owned()));
    assert_eq!(by(Read, "secret.a", None), (false, "1 not secrets".to_owned()));
    assert_eq!(by(Write, "b", None), (false, "NoRule".to_owned()));
    assert_eq!(by(Write, "b", Some(0)), (true, "2 part".to_owned()));
    assert_eq!(by(Operation::ClusterAction, "a", None), (false, "Kind".to_owned()));
}

#[test]
fn what_hours_allow_holds_until_they_end() {
    let hours =
        |from: u16, to: u16| Some(Hours::new(from * 60, to * 60, &[0, 1, 2, 3, 4, 5, 6], TimeZone::UTC).unwrap());
    let rights = rights(vec![
        AccessRule { hours: hours(8, 18), ..on(&["a"], &[Read]) },
        AccessRule { hours: hours(12, 13), ..deny(on(&["a"], &[Read])) },
    ]);
    let (mut now, mut seen) = (0, Vec::new());
    while now < 86_400 {
        seen.push((now / 3600, rights.operations(ResourceKind::Topic, "a", None, now).contains(Read)));
        now = rights.valid_until(now);
    }
    assert_eq!(seen, [(0, false), (8, true), (12, false), (13, true), (18, false)]);
    assert_eq!(self::rights(vec![on(&["a"], &[Read])]).valid_until(7), i64::MAX);
}

fn mistakes(rules: Vec<AccessRule>) -> Vec<(usize, AccessMistake)> {
    AccessRules::new(rules).map(|_| Vec::new()).unwrap_or_else(|mistakes| mistakes)
}

#[test]
fn rules_that_do_nothing_are_mistakes() {
    let cases = [
        (rule(&[Read]), AccessMistake::NamesNothing),
        (on(&["a b"], &[Read]), AccessMistake::NoSuchTopic("a b".to_owned())),
        (on(&["a b[0]"], &[Read]), AccessMistake::NoSuchTopic("a b[0]".to_owned())),
        (
            on(&["a"], &[Read, Operation::ClusterAction]),
            AccessMistake::NeverApplies(Operations::of(&[Operation::ClusterAction])),
        ),
        (on(&["a[0]"], &[Read, Alter]), AccessMistake::OnlyPartitions(Operations::of(&[Alter]))),
    ];
    for (rule, mistake) in cases {
        assert_eq!(mistakes(vec![rule.clone()]), [(0, mistake.clone())]);
        assert_eq!(mistakes(vec![deny(rule)]), [(0, mistake)]);
    }
    let named = AccessRule { name: Some("again".to_owned()), ..on(&["a"], &[Read]) };
    assert_eq!(mistakes(vec![on(&["a"], &[Read]), named]), [(1, AccessMistake::Same(0))]);
    let too_many = (0..=crate::limits::ACCESS_RULES_MAX).map(|i| on(&[&format!("t{i}")], &[Read])).collect();
    assert_eq!(mistakes(too_many), [(crate::limits::ACCESS_RULES_MAX, AccessMistake::TooManyRules)]);
}

#[test]
fn an_allow_that_a_deny_takes_back_whole_is_a_mistake() {
    let all = AccessRule { operations: Operations::ALL, ..on(&["*"], &[]) };
    let allow = || on(&["a.b*"], &[Write]);
    assert_eq!(mistakes(vec![allow(), deny(all.clone())]), [(0, AccessMistake::Denied(1))]);
    assert_eq!(mistakes(vec![allow(), deny(on(&["a.*"], &[Write]))]), [], "it still allows to describe");
    assert_eq!(mistakes(vec![allow(), deny(on(&["a.*"], &[Write, Describe]))]), [(0, AccessMistake::Denied(1))]);
    let of_some = AccessRule { groups: texts(&["sre"]), ..all.clone() };
    assert_eq!(mistakes(vec![allow(), deny(of_some)]), []);
    let network = |text: &str| vec![text.parse().unwrap()];
    let outside = AccessRule { networks: network("10.0.0.0/8"), ..all };
    let inside = AccessRule { networks: network("10.1.0.0/16"), ..allow() };
    assert_eq!(mistakes(vec![inside, deny(outside.clone())]), [(0, AccessMistake::Denied(1))]);
    assert_eq!(mistakes(vec![allow(), deny(outside)]), []);
}

#[test]
fn a_listener_that_nothing_is_allowed_on_and_a_rule_that_adds_nothing_are_worth_a_warning() {
    let warnings = |rules| AccessRules::new(rules).unwrap().warnings();
    assert_eq!(warnings(vec![on(&["a"], &[Read]), deny(on(&["b"], &[Read]))]), Vec::<String>::new());
    let none = warnings(vec![deny(on(&["b"], &[Read]))]);
    assert!(none.len() == 1 && none[0].contains("everybody is denied everything"), "{none:?}");
    let on_main = |rule| AccessRule { listeners: texts(&["main"]), ..rule };
    let other = AccessRule { listeners: texts(&["other"]), ..on(&["a"], &[Read]) };
    let closed = warnings(vec![on_main(deny(on(&["b"], &[Read]))), other]);
    assert!(closed.len() == 1 && closed[0].contains("listener `main`"), "{closed:?}");
    let adds = warnings(vec![on(&["a.*"], &[Describe]), on(&["a.*", "b"], &[Read])]);
    assert_eq!(adds, ["access[0] adds nothing to access[1], which does all that it does"]);
}
