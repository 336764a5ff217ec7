//! Plans of many names, which have a prefilter of their own: it looks at what is before each sign, a block of the value at
//! a time. The one for few names looks for words; where a name could be a key, both are to say so.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// More names than one search takes; the last ones are those that the tests are about.
const NAMES: &[&str] =
    &["pan", "p", "id", "card_number", "card number", "o'neil", "größe", "a/b", "x=y", "pan:", "number'", "iso2"];

fn few(action: Action) -> Plan {
    let quoted: Vec<String> = NAMES.iter().map(|name| format!("\"{name}\"")).collect();
    plan(&[rule(&quoted.iter().map(String::as_str).collect::<Vec<_>>(), action)])
}

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
                format!("{{{spaces}'{name}\":41}}"),
                format!("{{{spaces}\"{name}':41}}"),
                format!("{{{spaces}{name}\":41}}"),
                format!("{{{spaces}[`{name}`)\n\"> : 41}}"),
            ] {
                assert_eq!(masked(&plan, &value), whole(value.len()), "{value}");
            }
        }
    }
}

#[test]
fn in_what_is_of_another_notation_a_name_is_found_wherever_it_stands() {
    let (few, many) = (few(Action::Redact), many(Action::Redact));
    for value in [
        "{pan 41}",
        "{:pan 41, :x 1}",
        "{ x 1, card number 41 }",
        "{'pan', 41}",
        "[(\"pan\", 41)]",
        "[fan, pan, 41]",
        "[\"pan\", 41,]",
        "{\"a\":1 /* pan */}",
        "{\"a\":1} // pan 41",
    ] {
        assert_eq!(masked(&many, value), whole(value.len()), "{value}");
        assert_eq!(masked(&few, value), whole(value.len()), "{value}");
        let other = value.replace("pan", "pam").replace("card number", "cards");
        assert_eq!(masked(&many, &other), masked(&few, &other), "{other}");
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

/// Whether one of the names stands, as a word, before a sign, with nothing of a word between: the simple way.
fn is_named(text: &str) -> bool {
    let of_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
    let joined = |a: Option<char>, b: Option<char>| a.is_some_and(of_word) && b.is_some_and(of_word);
    NAMES.iter().any(|name| {
        text.match_indices(name).any(|(at, _)| {
            let (before, behind) = (&text[..at], &text[at + name.len()..]);
            let is_word = !joined(before.chars().last(), name.chars().next())
                && !joined(name.chars().last(), behind.chars().next());
            let between = behind.find(|c: char| of_word(c) || (':'..='?').contains(&c));
            is_word && between.is_some_and(|sign| !behind[sign..].starts_with(of_word))
        })
    })
}

/// Members as programs write them that print their maps, and as nobody does.
fn members() -> impl Strategy<Value = String> {
    const QUOTES: &[&str] =
        &["", "\"", "'", "`", "\\\"", "\\'", "[", "(", "<", " ", "\t\"", "\"'", "''", "*/", "\u{7f}"];
    const OTHERS: &[&str] = &["x", "pancake", "x_pan", "panx", "ID", "_p", "number", "so2", "size", "groesse", "n"];
    const SIGNS: &[&str] = &[":", "=", " : ", "=>", "\n=", "::", " ", ",", "->", "\":", "':", "?", ""];
    const VALUES: &[&str] = &["41", "\"41\"", "'41'", "{", "}", "true", "\"12:30\"", "[1,2]", "x;", "\"\"", "/* 1 */"];
    let name = prop_oneof![select(NAMES), select(OTHERS)];
    let member = (select(QUOTES), name, select(QUOTES), select(SIGNS), select(VALUES));
    let member = member.prop_map(|(open, name, close, sign, value)| format!("{open}{name}{close}{sign}{value}"));
    let ends = select(&[("{", "}"), ("[", "]"), (" {", "]\n"), ("{\"a\":{", "}}"), ("[[", "]")][..]);
    (ends, vec(member, 0..5), select(&[",", ", ", " ", "\n", ";", ",\"b\":\"c\","][..]))
        .prop_map(|((open, close), members, between)| format!("{open}{}{close}", members.join(between)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_taken_for_a_key_does_not_depend_on_how_many_names_there_are(
        text in members(),
        spaces in 0usize..70,
        changes in vec((any::<Index>(), select(b"\"'\\{}[],:=0a \n".to_vec())), 0..3),
    ) {
        let mut text = " ".repeat(spaces) + &text;
        for (at, byte) in changes {
            let at = at.index(text.len());
            if text.as_bytes()[at].is_ascii() {
                text.replace_range(at..=at, &char::from(byte).to_string());
            }
        }
        let (mut one, mut other) = (Scratch::default(), Scratch::default());
        let (few, many) = (few(Action::Redact), many(Action::Redact));
        let (few, many) = (few.mask_value(text.as_bytes(), &mut one), many.mask_value(text.as_bytes(), &mut other));
        if is_named(&text) {
            // Never passed unread, whatever it is.
            let lawful = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert!(lawful || text.contains('\n') || few != Outcome::Untouched, "{}", text);
            prop_assert_eq!(&few, &many, "{}", text);
        } else {
            // A few names are looked for elsewhere as well.
            prop_assert!(few == many || many == Outcome::Untouched, "{}", text);
        }
    }
}
