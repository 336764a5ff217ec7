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

/// The table of `weir show`: columns of known width, so that one page stands under the other; what is left is the
/// result's. Only the first page has a head.
pub(super) fn exchanges(first: bool) -> Table {
    const WIDTHS: [u16; 5] = [12, 24, 6, 6, 6];
    let mut table = table(&["TIME", "WHAT", "CLIENT", "WEIR", "BROKER", "RESULT"], &[]);
    for (column, width) in table.column_iter_mut().zip(WIDTHS) {
        // A constraint counts the padding.
        column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + PADDING)));
    }
    if !first {
        table.set_header(Vec::<Cell>::new());
    }
    table
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
    fn a_client_cannot_steer_the_operator_s_terminal() {
        assert_eq!(harmless("a\u{1b}]0;owned\u{7}b\n"), "a\u{fffd}]0;owned\u{fffd}b\u{fffd}");
    }
}
