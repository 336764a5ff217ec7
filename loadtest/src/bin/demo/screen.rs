//! What the demo prints: numbered steps with their time, then headed sections. Colour only on a terminal.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::time::Instant;

use loadtest::Result;

/// Where a step's outcome starts.
const OUTCOME_COLUMN: usize = 40;

/// Rows of a section before it is cut.
const SECTION_ROWS_MAX: usize = 24;

pub struct Screen {
    coloured: bool,
    steps: Cell<usize>,
}

impl Screen {
    pub fn new() -> Self {
        let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { coloured, steps: Cell::new(0) }
    }

    pub fn title(&self, name: &str, line: &str) {
        println!("\n{}  {line}\n", self.bold(name));
    }

    /// Prints `what` at once, and what came of it, with the time it took, when it is done.
    pub fn step<T>(&self, what: &str, work: impl FnOnce() -> Result<(T, String)>) -> Result<T> {
        self.steps.set(self.steps.get() + 1);
        print!("  {}  {what:<OUTCOME_COLUMN$}", self.steps.get());
        // Only a closed standard output fails here, and then nobody reads on.
        let _ = std::io::stdout().flush();
        let started = Instant::now();
        let done = work();
        match &done {
            Ok((_, outcome)) => {
                let took = format!("{:.1} s", started.elapsed().as_secs_f64());
                println!("{outcome:<44}{}", self.dim(&took));
            }
            Err(_) => println!("{}", self.red("failed")),
        }
        done.map(|(value, _)| value)
    }

    /// A heading with the command that prints the same, and its rows.
    pub fn section(&self, heading: &str, source: &str, text: &str) {
        println!("\n{}  {}", self.bold(heading), self.dim(source));
        let rows: Vec<&str> = text.trim_end().lines().collect();
        for row in rows.iter().take(SECTION_ROWS_MAX) {
            println!("  {row}");
        }
        if let Some(more @ 1..) = rows.len().checked_sub(SECTION_ROWS_MAX) {
            println!("  {}", self.dim(&format!("… {more} more lines")));
        }
    }

    pub fn line(&self, text: &str) {
        println!("\n{text}");
    }

    pub fn blank(&self) {
        println!();
    }

    pub fn failed(&self, text: &str) {
        eprintln!("\n{} {text}", self.red("The demo failed:"));
    }

    fn bold(&self, text: &str) -> String {
        self.styled("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.styled("2", text)
    }

    fn red(&self, text: &str) -> String {
        self.styled("31", text)
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
