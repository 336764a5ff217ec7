//! What each action makes of a document.

use super::*;

fn field(action: Action) -> Plan {
    plan(&[rule(&["**.x"], action)])
}

#[test]
fn strings_with_escapes_are_kept_by_whole_characters() {
    assert_eq!(
        masked(&field(Action::KeepLast(2)), r#"{"x":"ab\u00e9\n\ud83d\ude00"}"#),
        r#"{"x":"********\n\ud83d\ude00"}"#
    );
    assert_eq!(masked(&field(Action::KeepFirst(3)), r#"{"x":"a\"é\\b"}"#), r#"{"x":"a\"é***"}"#);
    assert_eq!(masked(&field(Action::KeepLast(4)), r#"{"x":"4111111111111111"}"#), r#"{"x":"************1111"}"#);
}

#[test]
fn booleans_become_true_in_their_place_and_null_stays() {
    for action in [Action::Redact, Action::KeepFirst(1), Action::KeepLast(4), Action::Hash(key())] {
        assert_eq!(masked(&field(action), r#"{"x":[true,false,null]}"#), r#"{"x":[true,true ,null]}"#);
    }
    let nested = plan(&[Rule { nested_json: true, ..rule(&["**.x"], Action::Redact) }]);
    assert_eq!(masked(&nested, r#"{"y":"{\"x\":false}"}"#), r#"{"y":"{\"x\":true }"}"#);
}

#[test]
fn objects_and_arrays_keep_their_form_and_each_leaf_is_masked() {
    let value = r#"{"x":{"a":"bc","d":[1,{"e":"2024-05-17"}],"f":{}},"y":"z"}"#;
    assert_eq!(masked(&field(Action::Redact), value), r#"{"x":{"a":"**","d":[0,{"e":"1970-01-01"}],"f":{}},"y":"z"}"#);
    assert_eq!(counts(&field(Action::Redact), value).fields, 3);
}

#[test]
fn null_takes_a_field_whole_and_fills_its_place() {
    assert_eq!(masked(&field(Action::Null), r#"{"x":{"a":[1,"}"]},"y":1}"#), r#"{"x":null         ,"y":1}"#);
    assert_eq!(masked(&field(Action::Null), r#"{"x":1,"y":{"x":"abc"}}"#), r#"{"x":null,"y":{"x":null }}"#);
    assert_eq!(counts(&field(Action::Null), r#"{"x":[1,2],"y":{"x":null}}"#).fields, 1);
}

#[test]
fn a_dropped_field_takes_one_comma_with_it_wherever_it_stands() {
    let drop = field(Action::DropField);
    for (value, expected) in [
        (r#"{"x":1}"#, "{}"),
        (r#"{"x":1,"b":2}"#, r#"{"b":2}"#),
        (r#"{"b":2,"x":1}"#, r#"{"b":2}"#),
        (r#"{"a":1,"x":{"y":[1,2]},"b":2}"#, r#"{"a":1,"b":2}"#),
        (r#"{"x":1,"x":2,"x":3}"#, "{}"),
        (r#"{"x":1,"x":2,"a":3,"x":4,"x":5,"b":6,"x":7}"#, r#"{"a":3,"b":6}"#),
        (r#"{"a":[{"x":1},{"x":1,"b":{"x":2}}]}"#, r#"{"a":[{},{"b":{}}]}"#),
        ("{ \"x\" : 1 , \"b\" : 2 , \"x\" : 3 }", "{  \"b\" : 2  }"),
        (r#"{"a":{"b":1,"x":2},"x":3,"c":4}"#, r#"{"a":{"b":1},"c":4}"#),
    ] {
        assert_eq!(masked(&drop, value), expected, "{value}");
    }
}

#[test]
fn what_a_detector_finds_can_be_made_null_or_dropped_with_its_field() {
    let on = |action| plan(&[detecting(&[Detector::Email], action)]);
    let value = r#"{"a":1,"b":"mail a@example.com","c":["a@example.com",2],"a@example.com":"b@example.com","d":3}"#;
    assert_eq!(
        masked(&on(Action::Null), value),
        r#"{"a":1,"b":null                ,"c":[null           ,2],"*************":null           ,"d":3}"#
    );
    assert_eq!(masked(&on(Action::DropField), value), r#"{"a":1,"c":[null           ,2],"d":3}"#);
    assert_eq!(masked(&on(Action::DropField), r#"{"a@example.com":"b@example.com","d":3}"#), r#"{"d":3}"#);
    assert_eq!(masked(&on(Action::DropRecord), value), "dropped");
    assert_eq!(masked(&on(Action::Null), "mail a@example.com now"), "");
}

#[test]
fn a_hash_is_the_same_wherever_a_value_stands_and_keeps_its_type() {
    let hash = field(Action::Hash(key()));
    let first = masked(&hash, r#"{"x":"abc","y":{"x":"\u0061bc"}}"#);
    let document: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(document["x"], document["y"]["x"]);
    assert_eq!(document["x"].as_str().unwrap().len(), Key::HASH_CHARS);
    let numbers: serde_json::Value = serde_json::from_str(&masked(&hash, r#"{"x":[2147483647,true,1.5]}"#)).unwrap();
    assert!(numbers["x"][0].as_i64().unwrap() < 1_000_000_000 && numbers["x"][1] == true && numbers["x"][2].is_f64());
}

#[test]
fn a_record_is_dropped_whatever_its_field_holds() {
    let drop = field(Action::DropRecord);
    assert_eq!(masked(&drop, r#"{"y":1}"#), "untouched");
    assert_eq!(masked(&drop, r#"{"y":{"x":null}}"#), "dropped");
    assert_eq!(counts(&drop, r#"{"x":1}"#).dropped, 1);
    assert_eq!(masked(&drop, r#"{"y":"#), whole(5));
}
