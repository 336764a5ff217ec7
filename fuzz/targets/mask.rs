//! Values under plans of every kind: what comes out of a plan holds nothing more for it.

use super::input::Input;
use crate::limits;
use crate::mask::detect::{Detector, Detectors};
use crate::mask::{Action, Key, Outcome, Plan, Rule, Scratch, Unparsable};

const PATHS: &[&[&str]] = &[&["**.pan"], &["card.number", "items[*].*"], &["a/b", "**.😀.x"], &["$value"], &[]];
const DETECTORS: &[&[Detector]] = &[&[], &[Detector::PaymentCard, Detector::Email]];

fn actions() -> [Action; 6] {
    let key = Key::new(&[7; Key::BYTES_MIN]).unwrap();
    [Action::Redact, Action::KeepLast(4), Action::KeepFirst(2), Action::Hash(key), Action::Null, Action::DropField]
}

/// Two bytes choose the plan, the rest is the value.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (choice, action) = (usize::from(input.byte()), usize::from(input.byte()));
    let rule = Rule {
        fields: PATHS[choice % PATHS.len()].iter().map(|path| path.parse().unwrap()).collect(),
        detect: Detectors::new(DETECTORS[choice / 8 % 2].iter().cloned()).unwrap(),
        action: actions()[action % 6].clone(),
        unparsable: Unparsable::Redact,
        nested_json: choice / 16 % 2 == 1,
    };
    let action = rule.action.clone();
    let plan = Plan::compile(std::slice::from_ref(&rule), limits::JSON_DEPTH_MAX);
    let value = input.rest();
    let mut scratch = Scratch::default();
    let masked = match plan.mask_value(value, &mut scratch) {
        Outcome::Masked(masked) => masked.to_vec(),
        Outcome::Untouched => return,
        other => panic!("{other:?} was not asked for"),
    };
    let unparsable = scratch.take_counts().unparsable;
    if plan.same_length() {
        assert_eq!(masked.len(), value.len());
    }
    // Among many names, for which there is another prefilter, none is missed. What holds one of them is another matter: a
    // string that it stands in may be no JSON.
    let holds_another = value.windows(5).any(|window| window == b"_name");
    if choice % PATHS.len() < 3 && unparsable == 0 && !holds_another {
        let others = (0..100).map(|n| format!("other_{n}_name").parse().unwrap());
        let many = Rule { fields: rule.fields.iter().cloned().chain(others).collect(), ..rule };
        let outcome =
            Plan::compile(&[many], limits::JSON_DEPTH_MAX).mask_value(value, &mut scratch) == Outcome::Masked(&masked);
        assert!(outcome, "many names mask the same");
        scratch.take_counts();
    }
    // What was redacted is of the form that it had.
    if action == Action::Redact && unparsable == 0 {
        plan.mask_value(&masked, &mut scratch);
        assert_eq!(scratch.take_counts().unparsable, 0, "what was masked can be parsed");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let values = [
        r#"{"pan":"4111111111111111","card":{"number":4111111111111111,"x":[true,null,-1.5e3]},"items":[{"a":"b"},{"c":{}}]}"#,
        r#"{"payload":"{\"pan\":\"4111\\u0031\",\"card\":{\"number\":[1]}}","a\/b":"x","n":[{"\ud83d\ude00":{"x":"y"}}]}"#,
        "{ \"pan\" : \"2024-05-17T08:15:00Z\" , \"b\" : 2 }\n[ { \"p\\u0061n\" : { \"a\" : \"mail a@example.com\" } } ]\r\n",
        "mail a@example.com or pay with 4111 1111 1111 1111",
        "\u{feff}[[[{\"pan\":[\"4.111111111111111e15\",4.111111111111111e15]}]]]",
    ];
    let plans = (0..32).flat_map(|choice| (0..6).map(move |action| [choice, action]));
    plans.flat_map(|plan| values.map(|value| [&plan[..], value.as_bytes()].concat())).collect()
}
