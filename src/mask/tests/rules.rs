//! Several rules, and what of a record they are about.

use super::*;
use crate::mask::Fault;
use crate::mask::HeaderOutcome;

#[test]
fn the_strictest_of_several_rules_counts_in_whichever_order_they_stand() {
    let (keep, null) = (rule(&["card"], Action::KeepLast(4)), rule(&["**.cvv"], Action::Null));
    let fewer = rule(&["card.number"], Action::KeepFirst(2));
    let value = r#"{"card":{"number":"4111111111111111","cvv":123,"name":"Somebody"}}"#;
    let expected = r#"{"card":{"number":"41**************","cvv":null,"name":"****body"}}"#;
    for rules in [[keep.clone(), null.clone(), fewer.clone()], [fewer, null, keep]] {
        assert_eq!(masked(&plan(&rules), value), expected);
    }
}

#[test]
fn a_detector_is_not_appeased_by_a_milder_rule_about_the_field() {
    let card = detecting(&[Detector::PaymentCard], Action::Redact);
    let both = plan(&[rule(&["x"], Action::KeepLast(4)), card]);
    assert_eq!(
        masked(&both, r#"{"x":"is 4111111111111111","y":"4111111111111111 x"}"#),
        r#"{"x":"*******************","y":"**************** x"}"#
    );
    assert_eq!(masked(&both, r#"{"x":"something"}"#), r#"{"x":"*****hing"}"#);
}

#[test]
fn a_path_begins_at_the_root_of_a_document() {
    let card = plan(&[rule(&["card.number", "**.deep", "any.*"], Action::Redact)]);
    assert_eq!(masked(&card, r#"{"x":{"card":{"number":"1"}},"number":"2"}"#), "untouched");
    assert_eq!(
        masked(&card, r#"[{"card":[{"number":"1"}]},{"x":[{"deep":"2"}],"any":{"a":"b"}}]"#),
        r#"[{"card":[{"number":"*"}]},{"x":[{"deep":"*"}],"any":{"a":"*"}}]"#
    );
}

#[test]
fn a_plan_says_what_it_touches() {
    let of = |path: &str| plan(&[rule(&[path], Action::Redact)]);
    let touches = |plan: &Plan| (plan.touches_values(), plan.touches_keys(), plan.touches_headers());
    assert_eq!(touches(&of("a.b")), (true, false, false));
    assert_eq!(touches(&of("$value")), (true, false, false));
    assert_eq!(touches(&of("$key.a")), (false, true, false));
    assert_eq!(touches(&of("headers.a.b")), (false, false, true));
    assert_eq!(touches(&plan(&[detecting(&[Detector::Email], Action::Null)])), (true, false, false));
    assert_eq!(touches(&plan(&[])), (false, false, false));
}

#[test]
fn a_plan_promises_lengths_only_where_it_keeps_them() {
    let promises = |rules: &[Rule]| plan(rules).same_length();
    let email = |action| detecting(&[Detector::Email], action);
    assert!(promises(&[]) && promises(&[email(Action::Redact), email(Action::KeepFirst(1))]));
    assert!(promises(&[rule(&["headers.a", "a", "$key.b"], Action::Redact), rule(&["$value"], Action::KeepLast(4))]));
    assert!(!promises(&[email(Action::Hash(key()))]) && !promises(&[rule(&["a"], Action::Hash(key()))]));
    assert!(!promises(&[rule(&["headers.a"], Action::Null)]) && !promises(&[rule(&["$value"], Action::Null)]));
    assert!(!promises(&[Rule { nested_json: true, ..email(Action::Redact) }]));
}

#[test]
fn keys_and_headers_are_masked_where_they_are_named_and_only_there() {
    let plan =
        plan(&[rule(&["$key", "headers.x-user"], Action::KeepLast(2)), detecting(&[Detector::Email], Action::Redact)]);
    let mut scratch = Scratch::default();
    assert_eq!(plan.mask_key(b"12345", &mut scratch), Outcome::Masked(b"***45"));
    assert_eq!(plan.mask_key(br#"{"id":"12345"}"#, &mut scratch), Outcome::Masked(br#"{"id":"***45"}"#));
    assert_eq!(plan.mask_key(b"\0\0\0\0\0\0\x01\x02", &mut scratch), Outcome::Masked(b"******\x01\x02"));
    assert_eq!(plan.mask_key(b"", &mut scratch), Outcome::Untouched);
    assert_eq!(plan.mask_header(b"x-user", b"{\"a\":1}", &mut scratch), HeaderOutcome::Masked(b"*****1}"));
    assert_eq!(plan.mask_header(b"x-other", b"a@example.com", &mut scratch), HeaderOutcome::Untouched);
    assert_eq!(scratch.take_counts(), Counts { fields: 4, ..Counts::default() });
    assert_eq!(scratch.take_counts(), Counts::default());
}

#[test]
fn a_header_can_become_null_or_go_and_take_its_record_along() {
    let of = |action| plan(&[rule(&["headers.h"], action)]);
    let mut scratch = Scratch::default();
    for (action, outcome) in [
        (Action::Null, HeaderOutcome::Null),
        (Action::DropField, HeaderOutcome::Removed),
        (Action::DropRecord, HeaderOutcome::Dropped),
    ] {
        assert_eq!(of(action).mask_header(b"h", b"x", &mut scratch), outcome);
    }
    assert_eq!(scratch.take_counts(), Counts { fields: 2, dropped: 1, ..Counts::default() });
}

#[test]
fn a_field_of_a_key_is_masked_and_a_key_that_is_no_json_cannot_be_parsed() {
    let refusing = Rule { unparsable: Unparsable::Refuse, ..rule(&["$key.id"], Action::Redact) };
    let plan = plan(&[refusing]);
    let mut scratch = Scratch::default();
    assert_eq!(plan.mask_key(br#"{"id":"1"}"#, &mut scratch), Outcome::Masked(br#"{"id":"*"}"#));
    assert_eq!(plan.mask_key(b"id-1", &mut scratch), Outcome::Refused(Fault::Malformed));
    assert_eq!(plan.mask_value(br#"{"id":"1"}"#, &mut scratch), Outcome::Untouched);
}

#[test]
fn a_whole_value_is_masked_leaf_by_leaf_where_it_is_json_and_as_a_text_where_not() {
    let redact = plan(&[rule(&["$value"], Action::Redact)]);
    assert_eq!(masked(&redact, r#"{"a":"bc","d":[1,true]}"#), r#"{"a":"**","d":[0,true]}"#);
    for text in ["12345", "plain text", "{broken", "\0\0\0\0\x01x"] {
        assert_eq!(masked(&redact, text), "*".repeat(text.len()));
    }
    let null = plan(&[rule(&["$value"], Action::Null)]);
    assert_eq!((masked(&null, "[1]"), masked(&null, "text")), ("null".to_owned(), String::new()));
}

#[test]
fn texts_and_bytes_are_searched_by_detectors() {
    let rules =
        [detecting(&[Detector::Email], Action::Redact), detecting(&[Detector::PaymentCard], Action::KeepLast(4))];
    let plan = plan(&rules);
    assert_eq!(masked(&plan, "from a@example.com to 4111111111111111."), "from ************* to ************1111.");
    let mut scratch = Scratch::default();
    let binary = b"\x08\x96\x01\x12\x0da@example.com\xff\xfe";
    assert_eq!(plan.mask_value(binary, &mut scratch), Outcome::Masked(b"\x08\x96\x01\x12\x0d*************\xff\xfe"));
    assert_eq!(masked(&plan, "nothing here"), "untouched");
}
