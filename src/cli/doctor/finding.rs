//! What one check found.

use comfy_table::{Cell, Color};
use serde::Serialize;

use crate::cli::terminal::harmless;

/// How bad it is; the worst one is the command's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It works, and will hurt one day.
    Warning,
    /// It does not work, or somebody gets in who should not.
    Problem,
}

/// One finding; `docs/json.md` documents its fields.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// Which check, for programs.
    id: &'static str,
    pub(super) level: Level,
    /// What was looked at.
    pub(super) subject: String,
    /// What was found.
    found: String,
    /// Why it matters; none where it is good.
    why: Option<&'static str>,
    /// What to do; none where it is good.
    remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(id: &'static str, subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self { id, level: Level::Ok, subject: subject.into(), found: found.into(), why: None, remedy: None }
    }

    pub(super) fn warning(id: &'static str, subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::ok(id, subject, found) }
    }

    pub(super) fn problem(id: &'static str, subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self { level: Level::Problem, ..Self::ok(id, subject, found) }
    }

    /// Why it matters.
    pub(super) fn why(mut self, why: &'static str) -> Self {
        self.why = Some(why);
        self
    }

    /// What to do.
    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// A row of the table.
    pub(super) fn cells(&self, colour: bool) -> [Cell; 3] {
        let (word, paint) = match self.level {
            Level::Ok => ("ok", Color::Green),
            Level::Warning => ("warning", Color::Yellow),
            Level::Problem => ("PROBLEM", Color::Red),
        };
        let level = if colour { Cell::new(word).fg(paint) } else { Cell::new(word) };
        // Some of it is what brokers and issuers said.
        let mut text = harmless(&self.found);
        for (label, more) in [("why", self.why), ("do", self.remedy.as_deref())] {
            if let Some(more) = more {
                text.push_str(&format!("\n{label}: {}", harmless(more)));
            }
        }
        [level, Cell::new(harmless(&self.subject)), Cell::new(text)]
    }
}
