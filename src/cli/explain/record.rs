//! A record as it passes, beside what the recording would keep of it: both by the plans that the data path compiles.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::page::Page;
use super::{Question, words};
use crate::cli::args::ExplainArgs;
use crate::cli::error::CliError;
use crate::cli::records::json::put_bytes;
use crate::cli::records::pretty::{block, inline};
use crate::limits;
use crate::mask::{Fault, HeaderOutcome, Outcome, Plan, Scratch};
use crate::pipeline::masking::plans::Book;
use crate::policy::Direction;

/// A record, as far as rules look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Given {
    /// The record of the command line; none where it has none.
    pub(super) fn read(args: &ExplainArgs) -> Result<Option<Given>, CliError> {
        let value = args.value.as_deref().map(read).transpose()?;
        let key = args.key.as_ref().map(|key| key.clone().into_bytes());
        let header = |(name, value): &(String, String)| (name.clone(), Some(value.clone().into_bytes()));
        let given = Given { key, value, headers: args.headers.iter().map(header).collect() };
        Ok((given != Given { key: None, value: None, headers: Vec::new() }).then_some(given))
    }
}

/// The content of a file, without the line feed that editors and `echo` put at its end.
fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let most = limits::MASKED_BATCH_BYTES_MAX;
    let from: Result<Box<dyn Read>, io::Error> = if path == Path::new("-") {
        Ok(Box::new(io::stdin()))
    } else {
        File::open(path).map(|file| Box::new(file) as _)
    };
    let mut value = Vec::new();
    from.and_then(|from| from.take(most as u64 + 1).read_to_end(&mut value))
        .map_err(|error| CliError::Usage(format!("{} cannot be read: {error}", path.display())))?;
    if value.len() > most {
        return Err(CliError::Usage(format!(
            "{}: a record of more than {most} bytes passes no gateway",
            path.display()
        )));
    }
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    Ok(value)
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Is(Given),
    /// A rule leaves it out.
    Dropped,
    /// It cannot be parsed, and a rule refuses that.
    Refused(Fault),
    /// Only of the recording: no rule asks for records.
    NotKept,
}

/// Both sides.
pub(super) struct Section {
    given: Given,
    passed: Fate,
    recorded: Fate,
}

impl Section {
    pub(super) fn of(question: &Question<'_>, book: &Book, groups: &[String], given: &Given, is_kept: bool) -> Section {
        let (rules, client) = (question.rules(), question.client(groups));
        let plan = |on| book.compile(rules.on_topic(rules.of_client(on, &client), Some(question.topic)));
        let passed = mask(&plan(question.direction()), given);
        let recorded = match &passed {
            _ if !is_kept => Fate::NotKept,
            // The recording has what passed, masked once more.
            Fate::Is(passed) => mask(&plan(Direction::Recording), passed),
            gone => gone.clone(),
        };
        Section { given: given.clone(), passed, recorded }
    }

    pub(super) fn print(
        &self,
        question: &Question<'_>,
        who: &str,
        page: &mut Page<'_, impl Write>,
    ) -> Result<(), CliError> {
        let passes = match &self.passed {
            Fate::Is(passed) if *passed == self.given => "passes as it is",
            Fate::Is(_) => "passes masked",
            Fate::Dropped => "is left out",
            Fate::Refused(_) | Fate::NotKept => "does not pass",
        };
        page.section("RECORD", passes)?;
        page.text(
            2,
            &if question.is_read() { format!("as {who} gets it") } else { "as the broker gets it".to_owned() },
        )?;
        print_fate(question, &self.passed, page)?;
        page.text(2, "as the recording has it")?;
        match &self.recorded {
            recorded if *recorded == self.passed => page.text(4, "the same"),
            Fate::Refused(fault) => page.text(4, &format!("not there: {fault}, and a rule refuses that")),
            recorded => print_fate(question, recorded, page),
        }
    }

    fn as_json(&self, fate: &Fate) -> Value {
        let mut object = Map::new();
        let (outcome, why) = match fate {
            Fate::Is(record) if *record == self.given => ("unchanged", None),
            Fate::Is(_) => ("masked", None),
            Fate::Dropped => ("dropped", None),
            Fate::Refused(fault) => ("refused", Some(fault.to_string())),
            Fate::NotKept => ("not_kept", None),
        };
        object.insert("outcome".to_owned(), json!(outcome));
        object.insert("why".to_owned(), json!(why));
        if let Fate::Is(record) = fate {
            put_bytes(&mut object, "key", record.key.as_deref());
            put_bytes(&mut object, "value", record.value.as_deref());
            let headers = record.headers.iter().map(|(name, value)| {
                let mut header = Map::from_iter([("name".to_owned(), json!(name))]);
                put_bytes(&mut header, "value", value.as_deref());
                Value::Object(header)
            });
            object.insert("headers".to_owned(), headers.collect());
        }
        Value::Object(object)
    }
}

impl serde::Serialize for Section {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        json!({ "passed": self.as_json(&self.passed), "recorded": self.as_json(&self.recorded) }).serialize(to)
    }
}

fn print_fate(question: &Question<'_>, fate: &Fate, page: &mut Page<'_, impl Write>) -> Result<(), CliError> {
    let record = match fate {
        Fate::Is(record) => record,
        Fate::Dropped => return page.text(4, "not there: a rule drops the record"),
        Fate::Refused(fault) => {
            let code = words::refusal(question.is_read());
            return page.text(
                4,
                &format!("not there: {fault}, and a rule refuses that; the client gets {code} for the partition"),
            );
        }
        Fate::NotKept => return page.text(4, "not there: no rule asks for records"),
    };
    if let Some(key) = &record.key {
        page.verbatim(4, &format!("key: {}", inline(Some(key), true)))?;
    }
    for (name, value) in &record.headers {
        page.verbatim(4, &format!("{}: {}", inline(Some(name.as_bytes()), true), inline(value.as_deref(), true)))?;
    }
    let value = record.value.as_deref().map(|value| block(value, true)).unwrap_or_default();
    value.iter().try_for_each(|line| page.verbatim(4, line))
}

/// What a plan makes of a record: its value, its key, its headers, in the data path's order.
fn mask(plan: &Plan, given: &Given) -> Fate {
    try_mask(plan, given).map_or_else(|fate| fate, Fate::Is)
}

fn try_mask(plan: &Plan, given: &Given) -> Result<Given, Fate> {
    let mut scratch = Scratch::default();
    let mut masked = Given { headers: Vec::new(), ..given.clone() };
    if let Some(value) = &mut masked.value {
        put(plan.mask_value(&value.clone(), &mut scratch), value)?;
    }
    if let Some(key) = &mut masked.key {
        put(plan.mask_key(&key.clone(), &mut scratch), key)?;
    }
    for (name, value) in &given.headers {
        let outcome = value.as_deref().map(|value| plan.mask_header(name.as_bytes(), value, &mut scratch));
        let value = match outcome {
            None | Some(HeaderOutcome::Null) => None,
            Some(HeaderOutcome::Untouched) => value.clone(),
            Some(HeaderOutcome::Masked(masked)) => Some(masked.to_vec()),
            Some(HeaderOutcome::Removed) => continue,
            Some(HeaderOutcome::Dropped) => return Err(Fate::Dropped),
        };
        masked.headers.push((name.clone(), value));
    }
    Ok(masked)
}

fn put(outcome: Outcome<'_>, to: &mut Vec<u8>) -> Result<(), Fate> {
    match outcome {
        Outcome::Untouched => {}
        Outcome::Masked(masked) => *to = masked.to_vec(),
        Outcome::Dropped => return Err(Fate::Dropped),
        Outcome::Refused(fault) => return Err(Fate::Refused(fault)),
    }
    Ok(())
}
