//! Plans over whole values: what is named for a hazard checks that it cannot get something past, the rest what a rule
//! promises.
#![allow(clippy::unwrap_used)]

mod actions;
mod hazards;
mod many;
mod nested;
mod reference;
mod rules;

use super::detect::{Detector, Detectors};
use super::plan::{Counts, Outcome, Plan, Rule, Scratch, Unparsable};
use super::{Action, Key};

const DEPTH_MAX: usize = 32;

fn rule(fields: &[&str], action: Action) -> Rule {
    let fields = fields.iter().map(|path| path.parse().unwrap()).collect();
    Rule { fields, detect: Detectors::default(), action, unparsable: Unparsable::Redact, nested_json: false }
}

fn detecting(detectors: &[Detector], action: Action) -> Rule {
    Rule { detect: Detectors::new(detectors.iter().cloned()).unwrap(), ..rule(&[], action) }
}

fn plan(rules: &[Rule]) -> Plan {
    Plan::compile(rules, DEPTH_MAX)
}

fn key() -> Key {
    Key::new(&[7; 32]).unwrap()
}

/// What becomes of a value, in words where it is not masked.
fn masked(plan: &Plan, value: impl AsRef<[u8]>) -> String {
    match plan.mask_value(value.as_ref(), &mut Scratch::default()) {
        Outcome::Untouched => "untouched".to_owned(),
        Outcome::Masked(masked) => String::from_utf8_lossy(masked).into_owned(),
        Outcome::Dropped => "dropped".to_owned(),
        Outcome::Refused(fault) => format!("refused: {fault}"),
    }
}

fn counts(plan: &Plan, value: &str) -> Counts {
    let mut scratch = Scratch::default();
    plan.mask_value(value.as_bytes(), &mut scratch);
    scratch.take_counts()
}

/// A value that cannot be parsed, redacted.
fn whole(length: usize) -> String {
    format!("\"{}\"", "*".repeat(length - 2))
}
