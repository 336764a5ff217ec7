//! The places a value can hide in.

use super::*;

fn pan() -> Plan {
    plan(&[rule(&["**.pan"], Action::Redact)])
}

#[test]
fn every_one_of_duplicate_keys_is_masked() {
    assert_eq!(
        masked(&pan(), r#"{"pan":"41","pan":"42","x":{"pan":"43"}}"#),
        r#"{"pan":"**","pan":"**","x":{"pan":"**"}}"#
    );
}

#[test]
fn an_escaped_key_is_the_same_key() {
    for name in [r"\u0070an", r"p\u0061n", r"\u0070\u0061\u006e", r"\u0070\u0061\u006E"] {
        assert_eq!(masked(&pan(), format!(r#"{{"{name}":"41"}}"#)), format!(r#"{{"{name}":"**"}}"#));
    }
    let slash = plan(&[rule(&["a/b"], Action::Redact)]);
    for name in ["a/b", r"a\/b", r"a\u002fb", r"\u0061/b"] {
        assert_eq!(masked(&slash, format!(r#"{{"{name}":"41"}}"#)), format!(r#"{{"{name}":"**"}}"#));
    }
}

#[test]
fn a_key_that_is_never_written_without_an_escape_is_found() {
    for (path, name) in [(r#""a\"b""#, r#"a\"b"#), (r#""a\\b""#, r"a\\b"), ("\"a\tb\"", r"a\tb")] {
        let plan = plan(&[rule(&[path], Action::Redact)]);
        assert_eq!(masked(&plan, format!(r#"{{"{name}":"41"}}"#)), format!(r#"{{"{name}":"**"}}"#));
    }
}

#[test]
fn keys_with_surrogate_pairs_are_the_character() {
    let plan = plan(&[rule(&["😀"], Action::Redact), rule(&["größe"], Action::Redact)]);
    for name in ["😀", r"\ud83d\ude00", r"\uD83D\uDE00", "größe", r"gr\u00f6\u00dfe", r"gr\u00f6ße"] {
        assert_eq!(masked(&plan, format!(r#"{{"{name}":"41"}}"#)), format!(r#"{{"{name}":"**"}}"#));
    }
    for name in [r"\ud83d", r"\ude00\ud83d"] {
        assert_eq!(masked(&plan, format!(r#"{{"{name}":"41"}}"#)), "untouched");
    }
}

#[test]
fn an_empty_key_is_a_key() {
    let plan = plan(&[rule(&[r#""""#, r#"a."".b"#], Action::Redact)]);
    assert_eq!(masked(&plan, r#"{"":"41","a":{"":{"b":"42"}}}"#), r#"{"":"**","a":{"":{"b":"**"}}}"#);
}

#[test]
fn nested_arrays_are_looked_through() {
    assert_eq!(
        masked(&pan(), r#"[[{"pan":["41",["42",{"x":43}]]}],[],{"a":[{"pan":null}]}]"#),
        r#"[[{"pan":["**",["**",{"x":0 }]]}],[],{"a":[{"pan":null}]}]"#
    );
    let rows = plan(&[rule(&["rows[*].iban"], Action::Redact)]);
    assert_eq!(
        masked(&rows, r#"{"rows":[[{"iban":"DE"}],{"iban":"FR"}],"iban":"GB"}"#),
        r#"{"rows":[[{"iban":"**"}],{"iban":"**"}],"iban":"GB"}"#
    );
}

#[test]
fn what_nests_too_deep_cannot_be_parsed() {
    let nested = |depth: usize| format!("{}{{\"pan\":\"41\"}}{}", "{\"a\":[".repeat(depth / 2), "]}".repeat(depth / 2));
    assert_eq!(masked(&pan(), nested(DEPTH_MAX - 2)), nested(DEPTH_MAX - 2).replace("41", "**"));
    assert_eq!(masked(&pan(), nested(DEPTH_MAX)), whole(nested(DEPTH_MAX).len()));
    // The depth of what is only skipped counts alike.
    let card = plan(&[rule(&["card.pan"], Action::Redact)]);
    let skipped = format!("{{\"x\":{}{},\"card\":{{\"pan\":\"41\"}}}}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
    assert_eq!(masked(&card, &skipped), whole(skipped.len()));
    let refusing = plan(&[Rule { unparsable: Unparsable::Refuse, ..rule(&["card.pan"], Action::Redact) }]);
    assert_eq!(masked(&refusing, &skipped), "refused: it nests deeper than the limit");
    let bomb = "[".repeat(1 << 20);
    assert_eq!(masked(&pan(), &bomb), whole(bomb.len()));
}

#[test]
fn truncated_json_is_never_passed_wherever_it_breaks_off() {
    let value = r#"{"a":[1,-2.5e3,true,null,"x\u00e9\n"],"card":{"pan":"4111111111111111"},"b":{}}"#;
    for plan in [
        pan(),
        plan(&[rule(&["card.pan"], Action::Redact)]),
        plan(&[detecting(&[Detector::PaymentCard], Action::Redact)]),
    ] {
        for end in 1..value.len() {
            assert_eq!(
                masked(&plan, &value[..end]),
                if end == 1 { "0".to_owned() } else { whole(end) },
                "{}",
                &value[..end]
            );
        }
        let start = masked(&plan, &value[1..]);
        assert!(!start.contains("4111111111111111"), "{start}");
    }
}

#[test]
fn what_breaks_off_can_be_refused_and_is_counted() {
    let refusing =
        plan(&[Rule { unparsable: Unparsable::Refuse, ..rule(&["pan"], Action::Redact) }, rule(&["x"], Action::Null)]);
    assert_eq!(masked(&refusing, r#"{"pan":"41"#), "refused: it is not well-formed JSON");
    assert_eq!(counts(&refusing, r#"{"x":"5","pan":"41"#), Counts { unparsable: 1, ..Counts::default() });
}

#[test]
fn a_byte_order_mark_hides_nothing() {
    assert_eq!(masked(&pan(), "\u{feff}{\"pan\":\"41\"}"), "\u{feff}{\"pan\":\"**\"}");
    assert_eq!(masked(&pan(), "\u{feff}{\"x\":\"41\"}"), "untouched");
    for big in [true, false] {
        let bytes = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        for mark in ["", "\u{feff}"] {
            let utf16: Vec<u8> = format!("{mark}{{\"pan\":\"41\"}}").encode_utf16().flat_map(bytes).collect();
            assert_eq!(masked(&pan(), &utf16), whole(utf16.len()));
        }
        // Nor from detectors, which would not see the digits together.
        let card = plan(&[detecting(&[Detector::PaymentCard], Action::Redact)]);
        let utf16: Vec<u8> = "\u{feff}4111111111111111".encode_utf16().flat_map(bytes).collect();
        assert_eq!(masked(&card, &utf16), whole(utf16.len()));
    }
}

#[test]
fn what_is_not_utf8_cannot_be_parsed() {
    // An overlong `a` in the key, which lenient decoders take for one.
    for value in
        [&b"{\"p\xc1\xa1n\":\"41\"}"[..], b"{\"pan\":\"4\xff1\"}", b"{\"x\":\"\xed\xa0\x80\"}", b"{\"x\":\"\xe9\"}"]
    {
        assert_eq!(masked(&pan(), value), whole(value.len()));
    }
    let refusing = plan(&[Rule { unparsable: Unparsable::Refuse, ..rule(&["pan"], Action::Redact) }]);
    assert_eq!(masked(&refusing, b"{\"x\":\"\xff\"}"), "refused: it is not UTF-8");
}

#[test]
fn numbers_of_every_form_are_masked_and_stay_numbers() {
    let value = r#"{"pan":[41,-41,4.1,4.1e15,1E400,-0,123456789012345678901234567890123456789012345678901]}"#;
    let expected = r#"{"pan":[0 ,0  ,0.0,0.0   ,0.0  ,0 ,0                                                  ]}"#;
    assert_eq!(masked(&pan(), value), expected);
    let card = plan(&[detecting(&[Detector::PaymentCard], Action::Redact)]);
    for number in
        ["4111111111111111", "-4111111111111111", "4.111111111111111e15", "4111111111111111.0", "41111111111111110E-1"]
    {
        let masked = masked(&card, format!("{{\"x\":[{number}]}}"));
        assert!(
            !masked.contains("411") && serde_json::from_str::<serde_json::Value>(&masked).is_ok(),
            "{number}: {masked}"
        );
    }
}

#[test]
fn arrays_and_scalars_at_the_top_are_documents() {
    let card = plan(&[detecting(&[Detector::PaymentCard], Action::KeepLast(4))]);
    assert_eq!(masked(&pan(), r#"[{"pan":"41"},{"pan":"42"}]"#), r#"[{"pan":"**"},{"pan":"**"}]"#);
    for scalar in ["5", "\"pan\"", "true", "null", " -1.5e3 ", "[]", "{}"] {
        assert_eq!(masked(&pan(), scalar), "untouched");
    }
    assert_eq!(masked(&card, "\"4111111111111111\""), "\"************1111\"");
    assert_eq!(masked(&card, r#""4111\u003111111111111""#), r#""*****************1111""#);
    assert_eq!(masked(&card, "4111111111111111"), "************1111");
}

#[test]
fn of_lines_each_is_a_document() {
    let card = plan(&[rule(&["card.pan"], Action::Redact)]);
    assert_eq!(
        masked(&card, "{\"card\":{\"pan\":\"41\"}}\n{\"x\":1}\r\n\n{\"card\":{\"pan\":\"42\"}}\n"),
        "{\"card\":{\"pan\":\"**\"}}\n{\"x\":1}\r\n\n{\"card\":{\"pan\":\"**\"}}\n"
    );
    for broken in [
        "{\"card\":{\"pan\":\"41\"}} {\"card\":{\"pan\":\"42\"}}",
        "{\"card\":{\"pan\":\"41\"}}{}",
        "{\"card\":{}}\n{\"card\":",
    ] {
        assert_eq!(masked(&card, broken), whole(broken.len()));
    }
}

#[test]
fn a_schema_registrys_format_cannot_be_parsed() {
    let value = b"\0\0\0\0\x07\x10pan4111111111111111";
    for rules in [rule(&["pan"], Action::Redact), detecting(&[Detector::PaymentCard], Action::Redact)] {
        assert_eq!(masked(&plan(std::slice::from_ref(&rules)), value), whole(value.len()));
        let refusing = plan(&[Rule { unparsable: Unparsable::Refuse, ..rules }]);
        assert_eq!(masked(&refusing, value), format!("refused: {}", crate::mask::Fault::Registry));
    }
    // Protobuf, whose first field may look like white space and a bracket.
    let protobuf = b"\n{\x12\x03pan\x1a\x1041111111}";
    assert_eq!(masked(&pan(), protobuf), whole(protobuf.len()));
}

#[test]
fn what_is_no_json_cannot_be_parsed_where_fields_are_named() {
    for value in [
        "pan=4111111111111111",
        "pan,name\n41,x",
        "{'pan':'41'}",
        "{pan=41, name=x}",
        "{pan:41}",
        "<pan>41</pan>",
        "x",
        "{\"pan\":\"41\",}",
        "[{\"pan\":'41'}]",
        "{\"a\":1 /* pan */}",
        "{\"pan\":041}",
        "{\"pan\":NaN}",
    ] {
        assert_eq!(
            masked(&pan(), value),
            if value.len() == 1 { "0".to_owned() } else { whole(value.len()) },
            "{value}"
        );
    }
    assert_eq!(counts(&pan(), "x").unparsable, 1);
}

#[test]
fn empty_values_and_null_are_nothing_to_mask() {
    assert_eq!(masked(&pan(), ""), "untouched");
    assert_eq!(masked(&pan(), r#"{"pan":null,"a":{"pan":""}}"#), r#"{"pan":null,"a":{"pan":""}}"#);
}

#[test]
fn names_in_texts_are_no_fields() {
    for value in [
        r#"{"a":"pan"}"#,
        r#"{"a":"\"pan\":\"41\""}"#,
        r#"["pan","41"]"#,
        r#"{"pancake":"41","x_pan":"42"}"#,
        r#"{"Pan":"41"}"#,
    ] {
        assert_eq!(masked(&pan(), value), "untouched", "{value}");
    }
}

#[test]
fn what_a_detector_looks_for_is_found_in_names_and_behind_escapes() {
    let card = plan(&[detecting(&[Detector::PaymentCard], Action::KeepLast(4))]);
    assert_eq!(masked(&card, r#"{"4111111111111111":{"x":"y"}}"#), r#"{"************1111":{"x":"y"}}"#);
    let escaped = r#"{"a":["is \u0034111111111111111, yes\n",true]}"#;
    assert_eq!(masked(&card, escaped), r#"{"a":["is *****************1111, yes\n",true]}"#);
    assert_eq!(counts(&card, escaped), Counts { found: 1, ..Counts::default() });
}

#[test]
fn broken_json_is_not_searched_as_a_text_where_an_escape_could_hide_something() {
    let card = plan(&[detecting(&[Detector::PaymentCard], Action::Redact)]);
    for value in [r#"{"a":"\u0034111111111111111"#, r#"["\u0034111111111111111",]"#, r#""\u0034111111111111111"#] {
        assert_eq!(masked(&card, value), whole(value.len()));
    }
    assert_eq!(
        masked(&card, "\"no\" he said, \"4111111111111111\" it is"),
        "\"no\" he said, \"****************\" it is"
    );
}

#[test]
fn members_that_are_masked_and_not_can_follow_each_other_in_any_order() {
    let plan = plan(&[rule(&["**.pan", "a.b"], Action::Redact), rule(&["**.gone"], Action::DropField)]);
    // Each with what is left of it; none at all where it goes.
    let members = [
        (r#""x":"y""#, Some(r#""x":"y""#)),
        (r#""pan":"41""#, Some(r#""pan":"**""#)),
        (r#""gone":{"pan":[1]}"#, None),
        (r#""a":{"b":"c","gone":0,"d":[]}"#, Some(r#""a":{"b":"*","d":[]}"#)),
        (r#""p\u0061n":1"#, Some(r#""p\u0061n":0"#)),
        (r#""é":null"#, Some(r#""é":null"#)),
    ];
    for number in 0..members.len().pow(4) {
        let chosen = (0..4).map(|place| members[number / members.len().pow(place) % members.len()]);
        let value: Vec<&str> = chosen.clone().map(|(member, _)| member).collect();
        let expected: Vec<&str> = chosen.filter_map(|(_, left)| left).collect();
        let (value, expected) = (format!("{{{}}}", value.join(",")), format!("{{{}}}", expected.join(",")));
        let expected = if value == expected { "untouched".to_owned() } else { expected };
        assert_eq!(masked(&plan, &value), expected, "{value}");
    }
}

#[test]
fn a_string_ends_at_its_quote_in_plain_documents_and_in_others() {
    for length in 0..40 {
        let text = "x".repeat(length);
        for around in [("", ""), ("\u{e9}", ""), ("", "\\n"), ("\\\"", "\\\\")] {
            let string = format!("{}{text}{}", around.0, around.1);
            let value = format!(r#"{{"{string}":"{string}","pan":"{string}","pan":["{string}",":"]}}"#);
            let stars = "*".repeat(string.len());
            let expected = format!(r#"{{"{string}":"{string}","pan":"{stars}","pan":["{stars}","*"]}}"#);
            assert_eq!(masked(&pan(), &value), expected);
            for end in 1..value.len() {
                let broken = masked(&pan(), &value.as_bytes()[..end]);
                assert!(broken == "0" || broken == whole(end), "{broken}");
            }
        }
    }
}
