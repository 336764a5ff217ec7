//! Who masks: serde_json, the `regex` crate, plans of different numbers of rules, a plan of detectors.

use regex::bytes::Regex;
use serde_json::Value;
use weir::mask::detect::{Detector, Detectors};
use weir::mask::{Action, Outcome, Plan, Rule, Scratch, Unparsable};

use crate::events::SENSITIVE;

type Error = Box<dyn std::error::Error>;

/// How deep JSON may nest.
const DEPTH_MAX: usize = 128;

/// How many rules the plans have.
pub const COUNTS: [usize; 4] = [1, 8, 64, 512];

/// One way to mask.
pub struct Contestant {
    pub name: String,
    /// How many of the sensitive fields it knows.
    pub fields: usize,
    /// How many rules it has, if it is one of those that differ in that.
    pub rules: Option<usize>,
    /// Whether it knows them by their names; else it masks what they hold wherever that stands.
    pub by_name: bool,
    mask: Mask,
}

/// Masks an event into the buffer; whether anything was in it.
type Mask = Box<dyn FnMut(&[u8], &mut Vec<u8>) -> bool>;

impl Contestant {
    fn new(name: impl Into<String>, fields: usize, mask: impl FnMut(&[u8], &mut Vec<u8>) -> bool + 'static) -> Self {
        Contestant { name: name.into(), fields, rules: None, by_name: true, mask: Box::new(mask) }
    }

    pub fn mask(&mut self, event: &[u8], out: &mut Vec<u8>) -> bool {
        (self.mask)(event, out)
    }
}

/// serde_json is the first, the `regex` crate the second.
pub fn contestants() -> Result<Vec<Contestant>, Error> {
    let mut all =
        vec![Contestant::new("serde_json: decode, mask, encode", SENSITIVE.len(), decode_and_encode), regex()?];
    for count in COUNTS {
        all.push(plan(count)?);
    }
    all.push(detectors()?);
    Ok(all)
}

fn decode_and_encode(event: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(mut document) = serde_json::from_slice::<Value>(event) else { return false };
    if !mask_value(&mut document) {
        return false;
    }
    out.clear();
    serde_json::to_writer(out, &document).is_ok()
}

fn mask_value(value: &mut Value) -> bool {
    match value {
        Value::Array(items) => items.iter_mut().fold(false, |any, item| mask_value(item) | any),
        Value::Object(members) => members.iter_mut().fold(false, |any, (name, value)| {
            if SENSITIVE.iter().any(|(sensitive, _)| sensitive == name)
                && let Value::String(text) = value
            {
                *text = "*".repeat(text.len());
                return true;
            }
            mask_value(value) | any
        }),
        _ => false,
    }
}

/// What a search and replace would do, which reads no JSON: it knows strings only, and no key that is escaped.
fn regex() -> Result<Contestant, Error> {
    let names: Vec<&str> = SENSITIVE.iter().map(|(name, _)| *name).collect();
    let expression = format!(r#""(?:{})"\s*:\s*"((?:[^"\\]|\\.)*)""#, names.join("|"));
    let name = "regex: one of 8 keys and its string";
    let regex = Regex::new(&expression)?;
    Ok(Contestant::new(name, SENSITIVE.len(), move |event, out| {
        out.clear();
        let mut copied = 0;
        for found in regex.captures_iter(event) {
            if let Some(value) = found.get(1) {
                out.extend_from_slice(&event[copied..value.start()]);
                out.resize(out.len() + value.len(), b'*');
                copied = value.end();
            }
        }
        out.extend_from_slice(&event[copied..]);
        copied > 0
    }))
}

fn rule(path: &str) -> Result<Rule, Error> {
    let fields = vec![path.parse()?];
    let (action, unparsable) = (Action::Redact, Unparsable::Redact);
    Ok(Rule { fields, detect: Detectors::default(), action, unparsable, nested_json: false })
}

/// So many rules: the first are about the sensitive fields, the others about fields of other systems.
pub fn rules(count: usize) -> Result<Vec<Rule>, Error> {
    const WORDS: [&str; 16] = [
        "tax",
        "salary",
        "account",
        "holder",
        "secret",
        "token",
        "health",
        "diagnosis",
        "maiden",
        "licence",
        "insurance",
        "member",
        "pin",
        "voter",
        "income",
        "biometric",
    ];
    const ENDS: [&str; 32] = [
        "no", "code", "hash", "key", "ref", "value", "text", "data", "date", "state", "kind", "file", "image", "scan",
        "copy", "holder", "issuer", "owner", "parent", "spouse", "child", "doctor", "office", "country", "region",
        "level", "score", "limit", "balance", "history", "remark", "proof",
    ];
    let known = SENSITIVE.iter().map(|(name, _)| (*name).to_owned());
    let others = ENDS.iter().flat_map(|end| WORDS.iter().map(move |word| format!("{word}_{end}")));
    known.chain(others).take(count).map(|name| rule(&format!("**.{name}"))).collect()
}

/// What these rules come to.
pub fn compile(rules: &[Rule]) -> Plan {
    Plan::compile(rules, DEPTH_MAX)
}

fn plan(count: usize) -> Result<Contestant, Error> {
    let plan = compile(&rules(count)?);
    let contestant = of_plan(format!("weir: {count} rules"), count.min(SENSITIVE.len()), plan);
    Ok(Contestant { rules: Some(count), ..contestant })
}

/// A plan that looks into every text; of the sensitive fields only the first three have what these detectors know.
fn detectors() -> Result<Contestant, Error> {
    let detectors = [Detector::PaymentCard, Detector::Iban, Detector::Email];
    let rule = Rule { detect: Detectors::new(detectors)?, fields: Vec::new(), ..rule("x")? };
    let name = "weir: detectors of cards, IBANs, emails".to_owned();
    Ok(Contestant { by_name: false, ..of_plan(name, 3, compile(&[rule])) })
}

fn of_plan(name: String, fields: usize, plan: Plan) -> Contestant {
    let mut scratch = Scratch::default();
    Contestant::new(name, fields, move |event, out| match plan.mask_value(event, &mut scratch) {
        Outcome::Masked(masked) => {
            // What a caller does with it: it goes into the batch.
            out.clear();
            out.extend_from_slice(masked);
            true
        }
        _ => false,
    })
}
