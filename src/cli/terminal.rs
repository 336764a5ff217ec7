//! What goes to the terminal: tables that fit it, colour only where it helps, and a quiet end when the reader leaves.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Attribute, Cell, ColumnConstraint, ContentArrangement, Table, Width, presets};

/// The width assumed where nobody says: a terminal of old, and what logs and mails show unwrapped.
const WIDTH_DEFAULT: u16 = 80;

/// Spaces between columns.
const PADDING: u16 = 1;

/// Whether to colour what goes to a terminal (`tty`); the variable NO_COLOR (no-color.org) forbids it.
pub(super) fn colour(tty: bool) -> bool {
    tty && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Emphasis where the output is a terminal that may be coloured; nothing elsewhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    colour: bool,
}

impl Style {
    /// For standard output.
    pub(super) fn of_stdout() -> Self {
        Self { colour: colour(io::stdout().is_terminal()) }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// How many columns there are.
pub(super) fn width() -> usize {
    let columns = || std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = crossterm::terminal::size().ok().map(|(columns, _)| columns).filter(|columns| *columns > 0);
    terminal.or_else(columns).unwrap_or(WIDTH_DEFAULT).into()
}

/// A table with a head and no lines; `fixed` columns are never wrapped, so that ids can be copied.
pub(super) fn table(head: &[&str], fixed: &[usize]) -> Table {
    let tty = io::stdout().is_terminal();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !tty {
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        table.set_width(columns.unwrap_or(WIDTH_DEFAULT));
    }
    let bold = colour(tty);
    let head = head.iter().map(|name| {
        let cell = Cell::new(name);
        if bold { cell.add_attribute(Attribute::Bold) } else { cell }
    });
    table.set_header(head);
    for column in fixed {
        if let Some(column) = table.column_mut(*column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, PADDING));
    }
    table
}

/// Keeps a column from being wrapped below `width`: a date stays in one piece.
pub(super) fn at_least(table: &mut Table, column: usize, width: usize) {
    if let (Some(column), Ok(width)) = (table.column_mut(column), u16::try_from(width)) {
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width + PADDING)));
    }
}

/// A table that is printed a row at a time: columns of known width, so that one stands under the other; what is left is
/// the last column's. Only the first row has a head.
pub(super) struct Columns {
    columns: &'static [(&'static str, u16)],
    last: &'static str,
    begun: bool,
}

impl Columns {
    /// Columns with their widths, and the last one's name.
    pub(super) const fn new(columns: &'static [(&'static str, u16)], last: &'static str) -> Self {
        Columns { columns, last, begun: false }
    }

    /// A row, wrapped to the terminal's width, without the end of its last line.
    pub(super) fn row(&mut self, cells: Vec<String>) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).chain([self.last]).collect();
        let mut table = table(&names, &[]);
        for (column, (_, width)) in table.column_iter_mut().zip(self.columns) {
            // A constraint counts the padding.
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + PADDING)));
        }
        if std::mem::replace(&mut self.begun, true) {
            table.set_header(Vec::<Cell>::new());
        }
        table.add_row(cells);
        // Without a head there is an empty line in its place.
        let lines = table.lines().map(|line| line.trim_end().to_owned()).skip_while(String::is_empty);
        lines.collect::<Vec<String>>().join("\n")
    }
}

/// Text of at most `width` characters; of a longer one its beginning and its end, which tell ids apart.
pub(super) fn shortened(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let (head, tail) = ((width - 1).div_ceil(2), (width - 1) / 2);
    let end: String = text.chars().skip(length - tail).collect();
    format!("{}…{end}", text.chars().take(head).collect::<String>())
}

/// Prints a table without the spaces that fill its right side.
pub(super) fn print_table(out: &mut impl Write, table: &Table) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Text that a client chose, made safe for a terminal: control characters could move the cursor or change the title.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Text out of a record, made safe for a terminal and still readable back: control characters, and those that turn or hide
/// text (Unicode's bidirectional and line separators), stand as escapes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if c.is_control() || turns_or_hides(c) => safe.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

fn turns_or_hides(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Bytes as people read them: `512 B`, `1.5 KiB`, `3.0 GiB`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let unit = usize::min(count.ilog2() as usize / 10, UNITS.len());
    let tenths = (u128::from(count) * 10) >> (10 * unit);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts_keep_one_digit_and_a_unit() {
        let shown = [0, 1023, 1024, 1536, 1 << 20, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "15.9 EiB"]);
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shortened("analyst-7", 9), "analyst-7");
        assert_eq!(shortened("console-producer-fb0c2a", 12), "consol…b0c2a");
    }

    #[test]
    fn a_record_s_text_is_escaped_where_it_would_act() {
        assert_eq!(escaped("ä\u{1b}[2J\t\r\n"), "ä\\u{1b}[2J\\t\\r\\n");
        assert_eq!(escaped("a\u{202e}b\u{9b}c"), "a\\u{202e}b\\u{9b}c");
    }

    #[test]
    fn a_client_cannot_steer_the_operator_s_terminal() {
        assert_eq!(harmless("a\u{1b}]0;owned\u{7}b\n"), "a\u{fffd}]0;owned\u{fffd}b\u{fffd}");
    }
}
