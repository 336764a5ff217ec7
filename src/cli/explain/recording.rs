//! What the recording keeps of it, by which rule, and by which rules that is masked, for everyone.

use std::io::Write;

use serde::Serialize;

use super::page::Page;
use super::{Question, words};
use crate::cli::error::CliError;
use crate::cli::terminal::bytes;
use crate::policy::{Direction, RecordingMode, Sample};

/// What there is to say; `docs/json.md` documents its fields.
#[derive(Serialize)]
pub(super) struct Section {
    mode: &'static str,
    /// None where no rule says so.
    rule: Option<String>,
    name: Option<String>,
    sample_rate: Option<f64>,
    sample_max_bytes_per_second: Option<u64>,
    masked_by: Vec<String>,
    #[serde(skip)]
    masked_by_named: Vec<String>,
}

impl Section {
    pub(super) fn of(question: &Question<'_>, groups: &[String]) -> Section {
        let deciding = question.policy.recording.deciding(&question.listener.name, groups, question.topic);
        let mode = deciding.map(|(_, rule)| rule.mode).unwrap_or_default();
        let sample: Option<Sample> = match mode {
            RecordingMode::Sample(sample) => Some(sample),
            RecordingMode::Metadata | RecordingMode::Full => None,
        };
        let (rules, client) = (question.rules(), question.client(groups));
        let masking = rules.on_topic(rules.of_client(Direction::Recording, &client), Some(question.topic));
        let named = masking.iter().zip(rules.of(masking));
        Section {
            mode: match mode {
                RecordingMode::Metadata => "metadata",
                RecordingMode::Sample(_) => "sample",
                RecordingMode::Full => "full",
            },
            rule: deciding.map(|(number, _)| format!("recording[{number}]")),
            name: deciding.and_then(|(_, rule)| rule.name.clone()),
            sample_rate: sample.map(|sample| sample.rate()),
            sample_max_bytes_per_second: sample.map(|sample| sample.max_bytes_per_second),
            masked_by: masking.iter().map(words::place).collect(),
            masked_by_named: named.map(|(at, rule)| words::named(&words::place(at), rule.name.as_deref())).collect(),
        }
    }

    /// Whether records are kept at all, of some exchanges or all.
    pub(super) fn keeps_records(&self) -> bool {
        self.mode != "metadata"
    }

    pub(super) fn print(&self, page: &mut Page<'_, impl Write>) -> Result<(), CliError> {
        let by = match &self.rule {
            Some(rule) => format!("by {}", words::named(rule, self.name.as_deref())),
            None => "since no rule says otherwise".to_owned(),
        };
        let what = match (self.sample_rate, self.sample_max_bytes_per_second) {
            (Some(rate), Some(most)) => {
                format!("{} % of exchanges with their records, at most {} a second", rate * 100.0, bytes(most))
            }
            _ if self.keeps_records() => "every exchange with its records".to_owned(),
            _ => "who did what and when, no records".to_owned(),
        };
        page.section("RECORDING", &format!("{}, {by}: {what}", self.mode))?;
        let masked = match (self.masked_by_named.join(", "), self.keeps_records()) {
            (by, _) if by.is_empty() => "No masking rule is about this topic on this listener.".to_owned(),
            (by, true) => format!("Masked for everyone, whoever they are, by {by}."),
            (by, false) => format!("Were records kept, they would be masked for everyone, by {by}."),
        };
        page.text(2, &masked)
    }
}
