//! `weir doctor`: what would hurt in production, and what to do about it.
//!
//! It looks with the configuration's eyes at the machine, the store, the clusters and those who vouch for clients, beside
//! a running gateway or without one. Invariant: it changes nothing: it writes no file, creates no store, produces nothing.

mod certificates;
mod exposure;
mod finding;
mod identity;
mod machine;
mod store;
mod upstream;

use std::io::{IsTerminal, Write};

use super::args::DoctorArgs;
use super::error::CliError;
use super::terminal;
use crate::config::Config;
use finding::{Finding, Level};

/// What all findings come to.
pub(super) struct Verdict(Level);

impl Verdict {
    /// As `weir --help` documents them.
    pub(super) fn exit_code(&self) -> u8 {
        match self.0 {
            Level::Ok => 0,
            Level::Warning => 4,
            Level::Problem => 5,
        }
    }
}

pub(super) fn run(args: &DoctorArgs, out: &mut impl Write) -> Result<Verdict, CliError> {
    let config = Config::load(&args.config.file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let gateway = machine::running_gateway(&config);
    let mut findings = machine::look(&config, gateway);
    findings.extend(store::look(&config));
    findings.extend(exposure::look(&config, gateway));
    findings.extend(identity::tokens(&config));
    findings.extend(certificates::look(&config));
    findings.extend(runtime.block_on(identity::issuers(&config)));
    findings.extend(runtime.block_on(upstream::look(&config))?);
    if args.json {
        for finding in &findings {
            writeln!(out, "{}", serde_json::to_string(finding)?)?;
        }
    } else {
        print(&findings, out)?;
    }
    Ok(Verdict(findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)))
}

fn print(findings: &[Finding], out: &mut impl Write) -> std::io::Result<()> {
    let colour = terminal::colour(std::io::stdout().is_terminal());
    let mut table = terminal::table(&["", "WHAT", "FOUND"], &[0]);
    terminal::at_least(&mut table, 1, findings.iter().map(|f| f.subject.len()).max().unwrap_or(0).min(24));
    for finding in findings {
        table.add_row(finding.cells(colour));
    }
    terminal::print_table(out, &table)?;
    let count = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    let (problems, warnings, good) = (count(Level::Problem), count(Level::Warning), count(Level::Ok));
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (of_problems, of_warnings) = (plural(problems), plural(warnings));
    writeln!(out, "\n{problems} problem{of_problems}, {warnings} warning{of_warnings}, {good} good")
}
