//! Plans of many names, which have a prefilter of their own: it looks at what is before each colon, a block of the value at
//! a time.

use super::*;

/// More names than one search takes; the last ones are those that the tests are about.
const NAMES: &[&str] =
    &["pan", "p", "id", "card_number", "card number", "o'neil", "größe", "a/b", "x=y", "pan:", "number'"];

fn many(action: Action) -> Plan {
    let others: Vec<String> = (0..200).map(|n| format!("other_{n}_number")).collect();
    let quoted: Vec<String> = NAMES.iter().map(|name| format!("\"{name}\"")).collect();
    let all: Vec<&str> = others.iter().chain(&quoted).map(String::as_str).collect();
    plan(&[rule(&all, action)])
}

#[test]
fn a_name_is_found_wherever_it_stands_in_a_value() {
    let plan = many(Action::Redact);
    for name in NAMES.iter().copied().chain(["other_0_number", "other_199_number"]) {
        for before in 0..200 {
            let value = format!("{{{}\"{name}\":\"41\"}}", " ".repeat(before));
            assert_eq!(masked(&plan, &value), value.replace("\"41\"", "\"**\""), "{before}");
        }
    }
    for spaced in ["{\"pan\" : \"41\"}", "{\"x\":0,\"pan\"\r\n\t:\"41\"}", "{\"a\":\"b=c\",\"x=y\":\"41\"}"] {
        assert_eq!(masked(&plan, spaced), spaced.replace("41", "**"));
    }
}

#[test]
fn what_is_no_json_and_holds_a_name_is_not_passed() {
    let plan = many(Action::Redact);
    for name in NAMES.iter().filter(|name| !name.contains('\'')) {
        for before in 0..80 {
            let spaces = " ".repeat(before);
            for value in [
                format!("{{{spaces}{name}=41}}"),
                format!("{{{spaces}{name}: 41}}"),
                format!("{{{spaces}'{name}': 41}}"),
                format!("{{{spaces}'{name}' : 41}}"),
                format!("{{{spaces}\\\"{name}\\\":41}}"),
            ] {
                assert_eq!(masked(&plan, &value), whole(value.len()), "{value}");
            }
        }
    }
}

#[test]
fn keys_that_resemble_a_name_are_none() {
    let plan = many(Action::Redact);
    for key in ["x_pan", "panx", "Pan", "ard_number", "xcard_number", "other_200_number", "_number", "i", "", "neil"] {
        for before in [0, 1, 55, 60, 64] {
            let value =
                format!("{{{}\"{key}\":\"41\",\"a\":\"pan\",\"b\":\"2026-11-24T21:08:00Z\"}}", " ".repeat(before));
            assert_eq!(masked(&plan, &value), "untouched", "{value}");
        }
    }
}
