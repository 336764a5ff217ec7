//! What people read: headings, and entries whose text goes on below itself where a line ends.

use std::io::Write;

use crate::cli::error::CliError;
use crate::cli::terminal::{self, Style, harmless};

/// Columns for an entry's label, and the spaces behind it.
const LABEL: usize = 18;

/// Text is never squeezed into fewer columns, however narrow the terminal.
const TEXT_MIN: usize = 24;

/// A page of text, as wide as the terminal.
pub(super) struct Page<'a, W> {
    out: &'a mut W,
    style: Style,
    width: usize,
}

impl<'a, W: Write> Page<'a, W> {
    pub(super) fn new(out: &'a mut W) -> Self {
        Page { out, style: Style::of_stdout(), width: terminal::width() }
    }

    /// An empty line.
    pub(super) fn space(&mut self) -> Result<(), CliError> {
        Ok(writeln!(self.out)?)
    }

    /// What the page, or a part of it, is about.
    pub(super) fn head(&mut self, text: &str) -> Result<(), CliError> {
        for line in wrapped(text, self.width) {
            writeln!(self.out, "{}", self.style.bold(&line))?;
        }
        Ok(())
    }

    /// The beginning of a section, with what it comes to.
    pub(super) fn section(&mut self, name: &'static str, verdict: &str) -> Result<(), CliError> {
        self.space()?;
        let painted = self.style.bold(name);
        self.hang(0, name, &painted, name.len() + 2, verdict)
    }

    /// A text of its own.
    pub(super) fn text(&mut self, indent: usize, text: &str) -> Result<(), CliError> {
        self.hang(indent, "", "", 0, text)
    }

    /// One of several texts: what goes on below it stands further in, so that each is seen to begin.
    pub(super) fn item(&mut self, indent: usize, text: &str) -> Result<(), CliError> {
        for (number, line) in wrapped(text, self.width.saturating_sub(indent + 2)).iter().enumerate() {
            let indent = if number == 0 { indent } else { indent + 2 };
            writeln!(self.out, "{:indent$}{line}", "")?;
        }
        Ok(())
    }

    /// A label and what there is to say.
    pub(super) fn entry(&mut self, indent: usize, label: &'static str, text: &str) -> Result<(), CliError> {
        let painted = self.style.dim(label);
        self.hang(indent, label, &painted, LABEL, text)
    }

    /// A line that is not wrapped: a part of a record, which was made harmless before.
    pub(super) fn verbatim(&mut self, indent: usize, line: &str) -> Result<(), CliError> {
        Ok(writeln!(self.out, "{:indent$}{line}", "")?)
    }

    /// `label` takes `label_width` columns, `painted` is how it looks.
    fn hang(
        &mut self,
        indent: usize,
        label: &'static str,
        painted: &str,
        label_width: usize,
        text: &str,
    ) -> Result<(), CliError> {
        let from = indent + label_width;
        let padding = label_width.saturating_sub(label.len());
        for (number, line) in wrapped(text, self.width.saturating_sub(from)).iter().enumerate() {
            match number {
                0 => writeln!(self.out, "{:indent$}{painted}{:padding$}{line}", "", "")?,
                _ => writeln!(self.out, "{:from$}{line}", "")?,
            }
        }
        Ok(())
    }
}

/// Lines of words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(TEXT_MIN);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in harmless(text).split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(String::new());
            used = 0;
        }
        let Some(line) = lines.last_mut() else { continue };
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += length;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_on_below_itself_and_a_long_word_stays_whole() {
        let text = "be in one of: pci-readers, auditors-of-the-payments-team";
        assert_eq!(wrapped(text, 26), ["be in one of: pci-readers,", "auditors-of-the-payments-team"]);
        assert_eq!(wrapped("", 80), [""]);
        assert_eq!(wrapped("a\u{1b}b", 80), ["a\u{fffd}b"]);
    }
}
