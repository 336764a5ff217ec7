//! JSON in strings.

use super::*;

fn nested(fields: &[&str]) -> Plan {
    plan(&[Rule { nested_json: true, ..rule(fields, Action::KeepLast(2)) }])
}

/// `document` with `inner` in a string.
fn within(inner: &str) -> String {
    serde_json::json!({ "payload": inner, "n": 1 }).to_string()
}

#[test]
fn json_in_a_string_is_masked_and_escaped_again() {
    let inner = "{\"pan\":\"4111\",\"text\":\"a\\\"b\\n\\u0007é\",\"x\":[1,{}]}";
    let expected = inner.replace("4111", "**11");
    assert_eq!(masked(&nested(&["**.pan"]), within(inner)), within(&expected));
    for strange in
        [r#"{"payload":"\u007b\"pan\":\"4111\"}","n":1}"#, r#"{"payload":" {\"p\\u0061n\":\"4111\"}","n":1}"#]
    {
        let masked: serde_json::Value = serde_json::from_str(&masked(&nested(&["**.pan"]), strange)).unwrap();
        let inner: serde_json::Value = serde_json::from_str(masked["payload"].as_str().unwrap()).unwrap();
        assert_eq!(inner["pan"], "**11", "{strange}");
    }
}

#[test]
fn a_path_leads_into_a_string_or_begins_there() {
    let value = within(r#"{"card":{"number":"4111"}}"#);
    let expected = value.replace("4111", "**11");
    assert_eq!(masked(&nested(&["payload.card.number"]), &value), expected);
    assert_eq!(masked(&nested(&["card.number"]), &value), expected);
    assert_eq!(masked(&nested(&["n.card.number"]), &value), "untouched");
}

#[test]
fn json_in_strings_in_json_in_strings_is_masked_down_to_a_limit() {
    let mut value = r#"{"pan":"4111"}"#.to_owned();
    for level in 0..8 {
        let masked = masked(&nested(&["**.pan"]), &value);
        assert!(!masked.contains("4111"), "{level}: {masked}");
        serde_json::from_str::<serde_json::Value>(&masked).unwrap();
        assert_eq!(masked.contains("**11"), level <= 4, "{level}: {masked}");
        value = within(&value);
    }
}

#[test]
fn broken_json_in_a_string_is_redacted_where_a_field_could_be_in_it() {
    let value = within(r#"{"pan":"4111"#);
    let length = r#"{\"pan\":\"4111"#.len();
    assert_eq!(masked(&nested(&["**.pan"]), &value), value.replace(r#"{\"pan\":\"4111"#, &"*".repeat(length)));
    assert_eq!(counts(&nested(&["**.pan"]), &value), Counts { unparsable: 1, ..Counts::default() });
    for text in ["{name}, hello", "[INFO] all is well", "\"quoted\" text", "{}", "[1]"] {
        assert_eq!(masked(&nested(&["**.pan"]), within(text)), "untouched", "{text}");
    }
}

#[test]
fn strings_are_not_looked_into_unless_asked() {
    let plain = plan(&[rule(&["**.pan"], Action::Redact)]);
    assert_eq!(masked(&plain, within(r#"{"pan":"4111"}"#)), "untouched");
}

#[test]
fn detectors_look_into_json_in_a_string() {
    let card = plan(&[Rule { nested_json: true, ..detecting(&[Detector::PaymentCard], Action::KeepLast(4)) }]);
    let value = within(r#"{"a":"\u0034111111111111111"}"#);
    assert_eq!(masked(&card, &value), value.replace(r"\\u0034111111111111111", "*****************1111"));
}
