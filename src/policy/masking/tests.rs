//! Whom rules bind, and what is told about rules that do nothing or too much.
#![allow(clippy::unwrap_used)]

use super::*;

fn own(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn rule(topics: &[&str], fields: &[&str]) -> MaskingRule {
    MaskingRule {
        name: None,
        listeners: Vec::new(),
        topics: Patterns::new(own(topics)).unwrap(),
        fields: fields.iter().map(|field| field.parse().unwrap()).collect(),
        detect: Vec::new(),
        action: Action::Redact,
        on: MaskDirections { produce: false, fetch: true },
        groups: Vec::new(),
        unless_groups: Vec::new(),
        client_ids: Patterns::default(),
        consumer_groups: Patterns::default(),
        unparsable: Unparsable::Redact,
        nested_json: false,
        compression_level: None,
    }
}

fn rules(rules: Vec<MaskingRule>) -> MaskingRules {
    MaskingRules::new(rules).unwrap()
}

const APP: MaskClient<'_> = MaskClient { listener: "main", groups: &[], client_id: Some("app"), consumer_groups: &[] };

fn selected(rules: &MaskingRules, direction: Direction, client: &MaskClient<'_>, topic: Option<&str>) -> Vec<usize> {
    rules.on_topic(rules.of_client(direction, client), topic).iter().collect()
}

fn fetched(rules: &MaskingRules, groups: &[&str], topic: &str) -> Vec<usize> {
    selected(rules, Direction::Fetch, &MaskClient { groups: &own(groups), ..APP }, Some(topic))
}

#[test]
fn two_people_who_read_one_topic_are_under_different_rules() {
    let cards = MaskingRule { unless_groups: own(&["pci"]), ..rule(&["payments.*"], &["**.pan"]) };
    let staff = MaskingRule { groups: own(&["staff"]), ..rule(&[], &["salary"]) };
    let rules = rules(vec![cards, staff]);
    assert_eq!(fetched(&rules, &[], "payments.eu"), [0]);
    assert_eq!(fetched(&rules, &["staff"], "payments.eu"), [0, 1]);
    assert_eq!(fetched(&rules, &["pci", "staff"], "payments.eu"), [1]);
    assert_eq!(fetched(&rules, &["staff"], "orders"), [1]);
    let pci = own(&["pci"]);
    let pci = MaskClient { groups: &pci, ..APP };
    assert!(rules.of_client(Direction::Fetch, &pci).is_empty());
    assert!(!rules.of_client(Direction::Recording, &pci).is_empty());
}

#[test]
fn a_recording_is_masked_for_everyone_whatever_the_rule_says_of_them() {
    let narrow = MaskingRule {
        on: MaskDirections { produce: true, fetch: false },
        groups: own(&["staff"]),
        unless_groups: own(&["pci"]),
        client_ids: Patterns::new(own(&["batch-*"])).unwrap(),
        ..rule(&["payments.*"], &["pan"])
    };
    let rules = rules(vec![narrow]);
    let pci = own(&["pci"]);
    let recorded = |topic| selected(&rules, Direction::Recording, &MaskClient { groups: &pci, ..APP }, Some(topic));
    assert_eq!(recorded("payments.eu"), [0]);
    assert!(recorded("orders").is_empty());
    assert!(fetched(&rules, &["staff"], "payments.eu").is_empty());
}

#[test]
fn what_is_not_known_counts_as_what_the_rule_is_about() {
    let rules = rules(vec![
        rule(&["payments.*"], &["a"]),
        MaskingRule { client_ids: Patterns::new(own(&["batch-*"])).unwrap(), ..rule(&["x"], &["b"]) },
        MaskingRule { consumer_groups: Patterns::new(own(&["team-*"])).unwrap(), ..rule(&["x"], &["c"]) },
    ]);
    let by = |topic, client_id, consumer_groups: &[&str]| {
        let consumer_groups: Vec<Arc<str>> = consumer_groups.iter().map(|group| Arc::from(*group)).collect();
        let client = MaskClient { client_id, consumer_groups: &consumer_groups, ..APP };
        selected(&rules, Direction::Fetch, &client, topic)
    };
    assert_eq!(by(None, None, &[]), [0, 1, 2]);
    assert_eq!(by(Some("x"), None, &[]), [1, 2]);
    assert_eq!(by(Some("x"), Some("app"), &["other"]), Vec::<usize>::new());
    assert_eq!(by(Some("x"), Some("batch-1"), &["team-a"]), [1, 2]);
    assert_eq!(by(Some("x"), Some("app"), &["other", "team-a"]), [2], "it may be reading for either");
}

#[test]
fn a_connection_on_another_listener_has_no_rules() {
    let rules = rules(vec![MaskingRule { listeners: own(&["inner"]), ..rule(&[], &["a"]) }]);
    let of = |listener, direction| rules.of_client(direction, &MaskClient { listener, ..APP });
    for direction in [Direction::Fetch, Direction::Recording] {
        assert!(of("outer", direction).is_empty());
        assert_eq!(rules.of(of("inner", direction)).count(), 1);
    }
}

fn mistakes(rules: Vec<MaskingRule>) -> Vec<(usize, MaskMistake)> {
    MaskingRules::new(rules).map(|_| Vec::new()).unwrap_or_else(|mistakes| mistakes)
}

#[test]
fn rules_that_can_never_apply_are_told() {
    let base = || rule(&["x"], &["a"]);
    let recording = MaskDirections { produce: false, fetch: false };
    let produce = MaskDirections { produce: true, fetch: false };
    let some = || Patterns::new(own(&["g*"])).unwrap();
    let cases = [
        (rule(&["x"], &[]), MaskMistake::MasksNothing),
        (rule(&["pay ments"], &["a"]), MaskMistake::NoSuchTopic("pay ments".to_owned())),
        (rule(&["payments/*"], &["a"]), MaskMistake::NoSuchTopic("payments/*".to_owned())),
        (MaskingRule { groups: own(&["a"]), unless_groups: own(&["a"]), ..base() }, MaskMistake::ExceptsItself),
        (MaskingRule { on: produce, action: Action::DropRecord, ..base() }, MaskMistake::DropsProduced),
        (MaskingRule { on: produce, consumer_groups: some(), ..base() }, MaskMistake::NothingConsumed),
        (MaskingRule { on: recording, client_ids: some(), ..base() }, MaskMistake::NobodyInRecording),
    ];
    for (rule, mistake) in cases {
        assert_eq!(mistakes(vec![rule]), [(0, mistake)]);
    }
    assert_eq!(mistakes(vec![rule(&["[ab]*", "{x,y}.z", "a?_-.*"], &["a"])]), []);
}

#[test]
fn a_rule_whose_work_another_does_as_strictly_is_told() {
    let keep = |n| MaskingRule { action: Action::KeepLast(n), ..rule(&["payments.eu"], &["card.pan"]) };
    let all = rule(&["payments.*"], &["**.pan"]);
    assert_eq!(mistakes(vec![all.clone(), keep(4)]), [(1, MaskMistake::Shadowed(0))]);
    assert_eq!(mistakes(vec![keep(4), all.clone()]), [(0, MaskMistake::Shadowed(1))]);
    assert_eq!(mistakes(vec![keep(4), keep(4)]), [(1, MaskMistake::Shadowed(0))]);
    assert_eq!(mistakes(vec![keep(4), keep(2)]), [(0, MaskMistake::Shadowed(1))]);
    let excepting = MaskingRule { unless_groups: own(&["pci"]), ..all.clone() };
    assert_eq!(mistakes(vec![excepting, keep(4)]), []);
    assert_eq!(mistakes(vec![MaskingRule { unparsable: Unparsable::Refuse, ..keep(4) }, all]), []);
}

#[test]
fn rules_that_together_cost_more_than_is_measured_are_told() {
    let fields: Vec<String> = (0..limits::MASKING_FIELDS_MAX).map(|i| format!("f{i}")).collect();
    let many = rule(&["a*"], &fields.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(mistakes(vec![many.clone(), rule(&["b*"], &["x"])]), []);
    let over = limits::MASKING_FIELDS_MAX + 1;
    assert_eq!(mistakes(vec![many, rule(&["ab"], &["x"])]), [(1, MaskMistake::TooManyFields(over))]);
    let patterns = |count: usize| MaskingRule {
        detect: (0..count).map(|i| Detector::Pattern(format!("p{i}"))).collect(),
        ..rule(&["a"], &[])
    };
    let most = limits::MASKING_PATTERNS_MAX;
    assert_eq!(mistakes(vec![patterns(most)]), []);
    assert_eq!(mistakes(vec![patterns(most + 1)]), [(0, MaskMistake::TooManyPatterns(most + 1))]);
    let rules: Vec<MaskingRule> = (0..=limits::MASKING_RULES_MAX).map(|i| rule(&[&format!("t{i}")], &["a"])).collect();
    assert_eq!(mistakes(rules), [(limits::MASKING_RULES_MAX, MaskMistake::TooManyRules)]);
}
