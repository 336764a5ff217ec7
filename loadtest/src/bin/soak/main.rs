//! `make soak`: stock clients on both runtimes for ten minutes (`SOAK_SECONDS` for more or less) while brokers restart, and
//! a report on every record and on what the gateways hold. Exits with 1 when a single promise was not kept.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use loadtest::soak::{self, Report, Settings};
use loadtest::{During, Failure, Result};

const TEN_MINUTES: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    match run() {
        Ok(report) => {
            println!("\n{report}");
            if report.breaches().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(failure) => {
            eprintln!("soak: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Report> {
    let own = std::env::current_exe().during("cannot tell where this program is")?;
    let binary = own.with_file_name("weir");
    if !binary.exists() {
        return Err(Failure::new(format!("{} is missing: make build", binary.display())));
    }
    let time = match std::env::var("SOAK_SECONDS") {
        Ok(text) if !text.is_empty() => Duration::from_secs(text.parse().during(format!("SOAK_SECONDS={text}"))?),
        _ => TEN_MINUTES,
    };
    let begun = Instant::now();
    soak::run(&Settings::new(binary, time), |what| println!("{:>5} s  {what}", begun.elapsed().as_secs()))
}
