//! What a soak found, as text.

use std::fmt;
use std::time::Duration;

use super::Settings;
use super::vitals::{COLUMNS, Memory, Trend, Vitals};
use crate::stream::evidence::{Evidence, told};

/// How many looks a report shows of each gateway.
const LOOKS_SHOWN: usize = 12;

/// A soak that was carried out.
#[derive(Debug)]
pub struct Report {
    /// What was asked for.
    pub settings: Settings,
    /// For how long records flowed.
    pub took: Duration,
    /// Restarts of brokers.
    pub restarts: usize,
    /// What each gateway carried.
    pub carried: Vec<Carried>,
}

/// One gateway's part.
#[derive(Debug)]
pub struct Carried {
    /// Its runtime.
    pub runtime: &'static str,
    /// What became of its records.
    pub evidence: Evidence,
    /// What it held before clients came.
    pub before: Vitals,
    /// While they were there.
    pub looks: Vec<Vitals>,
    /// After they left.
    pub after: Vitals,
    /// Whether its log tells of a panic.
    pub panicked: bool,
}

impl Carried {
    /// Everything that is not as promised, in words.
    pub fn breaches(&self) -> Vec<String> {
        let mut found = Vec::new();
        let lost = self.evidence.breaches();
        if !lost.is_empty() {
            found.push(told(&lost));
        }
        match Memory::over(&self.looks) {
            None => found.push("too short a run to judge memory by".to_owned()),
            Some(memory) if memory.grew() => {
                found.push(format!("memory grew from {} to {} KiB", memory.warm_kib, memory.end_kib));
            }
            Some(_) => {}
        }
        let trends = Trend::over(&self.looks).unwrap_or_default();
        found.extend(trends.iter().filter(|trend| trend.grew()).map(|trend| format!("grew: {trend}")));
        found.extend(self.after.beyond(&self.before).map(|held| format!("after the clients left: {held}")));
        if self.panicked {
            found.push("the gateway's log tells of a panic".to_owned());
        }
        found.into_iter().map(|breach| format!("{}: {breach}", self.runtime)).collect()
    }
}

impl Report {
    /// Everything that is not as promised.
    pub fn breaches(&self) -> Vec<String> {
        self.carried.iter().flat_map(Carried::breaches).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let Settings { rate, value_bytes, .. } = &self.settings;
        let (seconds, gateways) = (self.took.as_secs(), self.carried.len());
        writeln!(f, "Soak: {seconds} s, {gateways} gateways before three brokers, {cores} cores")?;
        writeln!(f, "broker restarts: {}; each producer {rate} records/s of {value_bytes} bytes", self.restarts)?;
        for carried in &self.carried {
            writeln!(f, "\n{carried}")?;
        }
        let breaches = self.breaches();
        match breaches.len() {
            0 => write!(f, "No breach."),
            n => write!(f, "{n} BREACHES\n{}", breaches.join("\n")),
        }
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "== {} ==\n{}", self.runtime, self.evidence)?;
        let groups: Vec<String> = self.evidence.groups.iter().map(|(name, _)| format!("{name:<16}")).collect();
        let heads = ["acknowledged", "stored", &groups.join(" ")].map(|head| format!("{head:<16}")).join(" ");
        writeln!(f, "partition  records {heads}")?;
        for hashes in self.evidence.hashes() {
            let (acknowledged, stored, groups) = (&hashes.acknowledged, &hashes.stored, hashes.groups.join(" "));
            writeln!(f, "{:>9} {:>8} {acknowledged} {stored} {groups}", hashes.partition, hashes.records)?;
        }
        writeln!(f, "{COLUMNS}\n{}  before clients", self.before)?;
        let step = self.looks.len().div_ceil(LOOKS_SHOWN).max(1);
        for look in self.looks.iter().step_by(step) {
            writeln!(f, "{look}")?;
        }
        writeln!(f, "{}  after they left", self.after)?;
        if let Some(memory) = Memory::over(&self.looks) {
            let (warm, end, allowed) = (memory.warm_kib, memory.end_kib, memory.allowed_kib());
            writeln!(
                f,
                "own memory but what is unwritten, medians: {warm} KiB in the second quarter, {end} KiB in the last ({allowed} allowed)"
            )?;
        }
        let trends: Vec<String> = Trend::over(&self.looks).unwrap_or_default().iter().map(Trend::to_string).collect();
        writeln!(f, "medians of the first and the last third, {}", trends.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_of_a_gateway_is_in_the_report() {
        let steady = vec![Vitals::default(); 40];
        let (before, evidence) = (Vitals::default(), Evidence::default());
        let whole = Carried { runtime: "epoll", evidence, before, looks: steady, after: before, panicked: false };
        assert_eq!(whole.breaches(), Vec::<String>::new());
        let left = Carried { after: Vitals { connections: 2, ..before }, panicked: true, looks: Vec::new(), ..whole };
        let settings = Settings::new("weir", Duration::from_secs(1));
        let report = Report { settings, took: Duration::from_secs(1), restarts: 0, carried: vec![left] };
        assert_eq!(report.breaches().len(), 3);
        assert!(report.to_string().contains("3 BREACHES") && report.to_string().contains("2 connections, 0 before"));
    }
}
