//! Whom rules bind, and what is told about rules that do nothing or too much.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::mask::detect::Detectors;
use crate::mask::{Key, Outcome, Plan, Rule, Scratch};

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

#[test]
fn the_first_condition_that_is_not_met_is_the_reason_that_is_told() {
    let rule = MaskingRule {
        listeners: own(&["inner"]),
        groups: own(&["staff"]),
        unless_groups: own(&["audit", "pci"]),
        client_ids: Patterns::new(own(&["batch-*"])).unwrap(),
        consumer_groups: Patterns::new(own(&["team-*"])).unwrap(),
        ..rule(&["payments.*"], &["pan"])
    };
    let (staff, both) = (own(&["staff"]), own(&["pci", "staff"]));
    let team: [Arc<str>; 1] = ["team-a".into()];
    let other: [Arc<str>; 1] = ["other".into()];
    let held = MaskClient { listener: "inner", groups: &staff, client_id: Some("batch-1"), consumer_groups: &team };
    let why =
        |client: &MaskClient<'_>, topic| rule.why_not(Direction::Fetch, client, Some(topic)).map(|why| why.word());
    assert_eq!(why(&held, "payments.eu"), None);
    assert_eq!(why(&MaskClient { listener: "outer", ..held }, "orders"), Some("listener"));
    assert_eq!(why(&held, "orders"), Some("topic"));
    assert_eq!(rule.why_not(Direction::Produce, &held, None), Some(MaskExemption::Direction));
    assert_eq!(why(&MaskClient { groups: &[], ..held }, "payments.eu"), Some("groups"));
    let pci = MaskClient { groups: &both, client_id: Some("app"), ..held };
    assert_eq!(rule.why_not(Direction::Fetch, &pci, None), Some(MaskExemption::Excepted("pci")));
    assert_eq!(rule.why_not(Direction::Recording, &pci, None), None, "a recording is masked for everyone");
    assert_eq!(why(&MaskClient { client_id: Some("app"), ..held }, "payments.eu"), Some("client_id"));
    assert_eq!(why(&MaskClient { consumer_groups: &other, ..held }, "payments.eu"), Some("consumer_group"));
}

fn some_of(names: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    subsequence(names, 0..=names.len()).prop_map(|names| own(&names))
}

fn any_rule() -> impl Strategy<Value = MaskingRule> {
    let patterns = |names| some_of(names).prop_map(|names| Patterns::new(names).unwrap());
    let on = (any::<bool>(), any::<bool>()).prop_map(|(produce, fetch)| MaskDirections { produce, fetch });
    let groups = || some_of(&["a", "b", "c"]);
    let (topics, client_ids) = (patterns(&["x*", "y"]), patterns(&["p*", "q"]));
    let who = (some_of(&["inner", "outer"]), groups(), groups(), client_ids, patterns(&["p*", "q"]));
    (topics, on, who).prop_map(|(topics, on, (listeners, groups, unless_groups, client_ids, consumer_groups))| {
        let base = rule(&[], &["f"]);
        MaskingRule { topics, on, listeners, groups, unless_groups, client_ids, consumer_groups, ..base }
    })
}

proptest! {
    #[test]
    fn what_is_explained_is_what_the_data_path_selects(
        rules in prop::collection::vec(any_rule(), 0..6),
        (listener, topic) in (select(&["inner", "outer"][..]), select(&["x1", "y", "z"][..])),
        groups in some_of(&["a", "b", "c"]),
        client_id in prop::option::of(select(&["p1", "q", "r"][..])),
        consumer_groups in some_of(&["p1", "q", "r"]),
        direction in select(&[Direction::Produce, Direction::Fetch, Direction::Recording][..]),
    ) {
        let rules = MaskingRules(rules.into());
        let consumer_groups: Vec<Arc<str>> = consumer_groups.iter().map(|group| group.as_str().into()).collect();
        let client = MaskClient { listener, groups: &groups, client_id, consumer_groups: &consumer_groups };
        let holds = |rule: &MaskingRule| rule.why_not(direction, &client, Some(topic)).is_none();
        let explained: Vec<usize> = (0..rules.len()).filter(|number| holds(&rules.0[*number])).collect();
        prop_assert_eq!(explained, selected(&rules, direction, &client, Some(topic)));
    }

    #[test]
    fn the_rule_that_is_said_to_decide_is_the_one_that_masks(
        rules in prop::collection::vec(
            (
                some_of(&["card.number", "card", "**.number", "card.*", "$value", "number", "*.*.x"]),
                select(vec![
                    Action::KeepLast(4),
                    Action::KeepFirst(4),
                    Action::KeepLast(2),
                    Action::Redact,
                    Action::Hash(Key::new(&[1; 16]).unwrap()),
                ]),
            ),
            1..5,
        ),
    ) {
        let field = "card.number";
        let rules: Vec<MaskingRule> = rules
            .into_iter()
            .map(|(fields, action)| {
                let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
                MaskingRule { action, ..rule(&[], &fields) }
            })
            .collect();
        let rules = MaskingRules(rules.into());
        let set = rules.of_client(Direction::Fetch, &APP);
        let number: Path = field.parse().unwrap();
        let decided = rules.decisions(set).into_iter().find(|one| one.named == MaskNamed::Field(&number));
        let Some(decided) = decided else { return Ok(()) };
        let alone = MaskingRule { action: rules.0[decided.rule].action.clone(), ..rule(&[], &[field]) };
        prop_assert_eq!(masked(rules.iter()), masked([&alone]));
    }
}

/// A document, as rules that hold together make it.
fn masked<'a>(rules: impl IntoIterator<Item = &'a MaskingRule>) -> Vec<u8> {
    let compiled = rules.into_iter().map(|rule| Rule {
        fields: rule.fields.clone(),
        detect: Detectors::default(),
        action: rule.action.clone(),
        unparsable: rule.unparsable,
        nested_json: rule.nested_json,
    });
    let mut scratch = Scratch::default();
    let plan = Plan::compile(&compiled.collect::<Vec<Rule>>(), limits::JSON_DEPTH_MAX);
    match plan.mask_value(br#"{"card":{"number":"4111111111111234"}}"#, &mut scratch) {
        Outcome::Masked(masked) => masked.to_vec(),
        other => panic!("{other:?}"),
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
fn masking_keys_of_what_is_produced_is_worth_a_warning() {
    let on = |produce| MaskDirections { produce, fetch: true };
    let rules = [
        MaskingRule { on: on(true), ..rule(&["x"], &["$key.id"]) },
        MaskingRule { on: on(false), ..rule(&["y"], &["$key"]) },
        MaskingRule { on: on(true), ..rule(&["z"], &["key"]) },
    ];
    let warnings = MaskingRules::new(rules.into()).unwrap().warnings();
    assert!(warnings.len() == 1 && warnings[0].starts_with("masking[0] masks keys"), "{warnings:?}");
}

#[test]
fn a_rule_whose_work_another_does_as_strictly_is_told() {
    let keep = |n| MaskingRule { action: Action::KeepLast(n), ..rule(&["payments.eu"], &["card.pan"]) };
    let all = rule(&["payments.*"], &["**.pan"]);
    assert_eq!(mistakes(vec![all.clone(), keep(4)]), [(1, MaskMistake::Shadowed(0))]);
    assert_eq!(mistakes(vec![keep(4), all.clone()]), [(0, MaskMistake::Shadowed(1))]);
    assert_eq!(mistakes(vec![keep(4), keep(4)]), [(1, MaskMistake::Shadowed(0))]);
    assert_eq!(mistakes(vec![keep(4), keep(2)]), [(0, MaskMistake::Shadowed(1))]);
    let parent = rule(&["payments.*"], &["card"]);
    assert_eq!(mistakes(vec![parent, keep(4)]), [(1, MaskMistake::Shadowed(0))], "all below a field is masked with it");
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
