//! Records as people read them, indented below their exchange.

use std::io::Write;

use jiff::Timestamp;

use super::content::{Part, Place};
use super::pretty::{block, inline};
use super::select::Selection;
use super::{Absent, Sink};
use crate::cli::error::CliError;
use crate::cli::terminal::{Style, bytes, harmless};
use crate::wire::kafka::records::{About, Control, Record, TimestampType};

/// Columns before a record's first line, and before what belongs to it.
const INDENT: &str = "    ";
const INDENT_WITHIN: &str = "        ";

/// Writes what an exchange holds.
pub(in crate::cli) struct Lines<'a, W> {
    pub(in crate::cli) out: &'a mut W,
    pub(in crate::cli) selection: &'a Selection,
    pub(in crate::cli) style: Style,
    /// Values are shown to their end.
    pub(in crate::cli) full: bool,
    /// Written before the first line, if there is one, where only exchanges that hold something are asked for.
    pub(in crate::cli) before: Option<String>,
}

impl<W: Write> Lines<'_, W> {
    fn put(&mut self, indent: &str, line: &str) -> Result<(), CliError> {
        if let Some(before) = self.before.take() {
            writeln!(self.out, "{before}")?;
        }
        Ok(writeln!(self.out, "{indent}{line}")?)
    }

    fn record(&mut self, place: Place<'_>, about: &About, record: &Record<'_>) -> Result<(), CliError> {
        let (style, full) = (self.style, self.full);
        let mut head = format!("{}  {}", self.place(place, Some(record.offset)), time(about, record.timestamp_ms));
        if about.control {
            head.push_str(&format!("  {}", style.dim(&control(record.control()))));
            return self.put(INDENT, &head);
        }
        head.push_str(&format!("  {} {}", style.dim("key"), inline(record.key, full)));
        if about.transactional {
            head.push_str(&style.dim("  transactional"));
        }
        if !about.checksum_holds {
            head.push_str("  checksum does not hold");
        }
        self.put(INDENT, &head)?;
        for (name, value) in record.headers {
            let line = format!("{} {}", style.dim(&format!("{}:", inline(Some(name), full))), inline(value, full));
            self.put(INDENT_WITHIN, &line)?;
        }
        let Some(value) = record.value else {
            return self.put(INDENT_WITHIN, &style.dim("null, a tombstone"));
        };
        block(value, full).iter().try_for_each(|line| self.put(INDENT_WITHIN, line))
    }

    fn place(&self, place: Place<'_>, offset: Option<i64>) -> String {
        let offset = offset.map(|offset| format!(" @{offset}")).unwrap_or_default();
        self.style.bold(&format!("{}-{}{offset}", harmless(place.topic), place.partition))
    }
}

impl<W: Write> Sink for Lines<'_, W> {
    fn part(&mut self, part: Part<'_>) -> Result<(), CliError> {
        match part {
            Part::Record { place, about, record } if self.selection.takes_record(place, &record) => {
                self.record(place, about, &record)
            }
            Part::Missing { place, bytes: size, why } if self.selection.takes_place(place) => {
                let place = place.map(|place| format!("{}  ", self.place(place, None))).unwrap_or_default();
                self.put(INDENT, &format!("{place}{}", self.style.dim(&format!("{}, {why}", bytes(size)))))
            }
            _ => Ok(()),
        }
    }

    fn absent(&mut self, absent: Absent) -> Result<(), CliError> {
        let line = self.style.dim(&absent.to_string());
        self.put(INDENT, &line)
    }
}

fn time(about: &About, timestamp_ms: Option<i64>) -> String {
    let Some(ms) = timestamp_ms else { return "no timestamp".to_owned() };
    let time = Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |time| format!("{time:.3}"));
    match about.timestamp_type {
        TimestampType::CreateTime => time,
        TimestampType::LogAppendTime => format!("{time} (appended)"),
    }
}

fn control(control: Option<Control>) -> String {
    match control {
        Some(Control::Commit) => "marker: transaction committed".to_owned(),
        Some(Control::Abort) => "marker: transaction aborted".to_owned(),
        Some(Control::Other(number)) => format!("control record of type {number}"),
        None => "control record".to_owned(),
    }
}
