//! What access rules cost: the same load through a gateway without rules and through one whose rules let its client do just
//! this, on these topics and no others, so that nothing is decided before names are seen.

use loadtest::Result;
use loadtest::kafka::Cluster;

use crate::contestants::{self, Contestant};
use crate::{Phase, measure, report};

/// As many rules as a team's file may have; the last one is the one that counts.
const OTHERS: usize = 64;

pub fn run(cluster: &Cluster, phases: &[Phase]) -> Result<()> {
    let contestants = start(cluster)?;
    let names: Vec<String> = contestants.iter().map(|contestant| contestant.name.clone()).collect();
    for phase in phases {
        let rounds = measure(&contestants, phase)?;
        report::print_beside(&format!("access rules: {}", phase.name), phase.unit, &names, &rounds, 2);
    }
    Ok(())
}

fn start(cluster: &Cluster) -> Result<Vec<Contestant>> {
    let rule = |topics: &str| format!("  - {{ operations: [read, write, describe], topics: [{topics}] }}\n");
    let others: String = (0..OTHERS).map(|number| rule(&format!("\"team-{number}.*\""))).collect();
    let policy = format!("access:\n{others}{}", rule("\"stored\", \"writ*\""));
    let mut all = Vec::new();
    for runtime in ["io_uring", "epoll"] {
        for (what, policy) in [("no rules", None), ("governed", Some(policy.as_str()))] {
            all.push(contestants::weir(cluster, runtime, format!("{what}, {runtime}"), policy)?);
        }
    }
    all.iter().try_for_each(Contestant::pin)?;
    Ok(all)
}
