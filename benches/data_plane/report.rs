//! Figures of all rounds, as medians and ratios.

use std::time::Duration;

use loadtest::load::Done;

use crate::contestants::Cpu;

/// What one contestant cost in one round of one phase.
#[derive(Clone, Copy)]
pub struct Sample {
    /// CPU per unit: s/GB or us/request.
    pub cpu: f64,
    /// The part of it that a shard of Weir's spent.
    pub shards: f64,
    /// Units a second: MB/s or requests/s.
    pub rate: f64,
}

/// In what a phase is counted.
#[derive(Clone, Copy)]
pub enum Unit {
    /// Bytes, as bulk is.
    Gigabyte,
    /// Requests, as small ones are.
    Request,
}

impl Unit {
    /// Turns what was done and spent into the figures of this unit.
    pub fn sample(self, done: Done, before: Cpu, after: Cpu) -> Sample {
        let (count, scale, rate_scale) = match self {
            Unit::Gigabyte => (done.bytes as f64 / 1e9, 1.0, 1e3),
            Unit::Request => (done.requests as f64, 1e6, 1.0),
        };
        let per_unit = |spent: Duration| spent.as_secs_f64() * scale / count;
        Sample {
            cpu: per_unit(after.all.saturating_sub(before.all)),
            shards: per_unit(after.shards.saturating_sub(before.shards)),
            rate: count * rate_scale / done.took.as_secs_f64(),
        }
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Unit::Gigabyte => ("CPU s/GB", "MB/s"),
            Unit::Request => ("CPU us/request", "requests/s"),
        }
    }
}

/// Prints a phase: `rounds[contestant][round]`, each contestant's own baseline and HAProxy given by their places.
pub fn print(phase: &str, unit: Unit, names: &[String], rounds: &[Vec<Sample>], relay_of: &[usize], haproxy: usize) {
    let (cpu, rate) = unit.names();
    println!("\n{phase}");
    println!("  {:22} {cpu:>14} {:>14} {:>12} {:>10} {rate:>12}", "", "its shard", "/ bare relay", "/ HAProxy");
    for (place, name) in names.iter().enumerate() {
        let samples = &rounds[place];
        let shards = median(samples.iter().map(|s| s.shards));
        let shards = if shards > 0.0 { format!("{shards:.3}") } else { String::new() };
        println!(
            "  {name:22} {:14.3} {shards:>14} {:12.2} {:10.2} {:12.0}",
            median(samples.iter().map(|s| s.cpu)),
            ratio(samples, &rounds[relay_of[place]]),
            ratio(samples, &rounds[haproxy]),
            median(samples.iter().map(|s| s.rate)),
        );
    }
}

/// Prints a phase: each beside the first of its `group`, which has no rules.
pub fn print_beside(phase: &str, unit: Unit, names: &[String], rounds: &[Vec<Sample>], group: usize) {
    let (cpu, rate) = unit.names();
    println!("\n{phase}");
    println!("  {:28} {cpu:>14} {:>12} {rate:>12} {:>12}", "", "/ no rules", "/ no rules");
    for (place, name) in names.iter().enumerate() {
        let (samples, baseline) = (&rounds[place], &rounds[place - place % group]);
        let faster = median(samples.iter().zip(baseline).map(|(s, b)| s.rate / b.rate));
        println!(
            "  {name:28} {:14.3} {:12.2} {:12.0} {faster:12.2}",
            median(samples.iter().map(|s| s.cpu)),
            ratio(samples, baseline),
            median(samples.iter().map(|s| s.rate)),
        );
    }
}

/// Compared round by round, since a round's two turns are seconds apart and rounds are not.
fn ratio(samples: &[Sample], baseline: &[Sample]) -> f64 {
    median(samples.iter().zip(baseline).map(|(s, b)| s.cpu / b.cpu))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
