//! What samples may take: bytes a second for each rule, counted on the shard.

use std::cell::Cell;
use std::rc::Rc;

use crate::policy::{RecordingMode, RecordingRules};

/// The budgets of a shard's samples, one for each rule that has one.
#[derive(Debug, Clone)]
pub struct SampleBudgets(Rc<[Option<Bucket>]>);

/// Bytes that may be taken now; they come back with time, up to what a second brings.
#[derive(Debug)]
struct Bucket {
    bytes_per_second: u64,
    free: Cell<u64>,
    filled_ns: Cell<u64>,
}

impl SampleBudgets {
    /// This shard's part of what `rules` allow, one of `shards`.
    pub fn new(rules: &RecordingRules, shards: u64) -> Self {
        let bucket = |sample: u64| {
            let bytes_per_second = (sample / shards.max(1)).max(1);
            Bucket { bytes_per_second, free: Cell::new(bytes_per_second), filled_ns: Cell::new(0) }
        };
        let of_rule = |mode| match mode {
            RecordingMode::Sample(sample) => Some(bucket(sample.max_bytes_per_second)),
            RecordingMode::Full | RecordingMode::Metadata => None,
        };
        SampleBudgets(rules.iter().map(|rule| of_rule(rule.mode)).collect())
    }

    /// Takes `bytes` of a rule's budget; false, and nothing taken, where it does not have them.
    pub fn take(&self, rule: usize, bytes: u64, now_ns: u64) -> bool {
        let Some(Some(bucket)) = self.0.get(rule) else { return false };
        let passed_ns = now_ns.saturating_sub(bucket.filled_ns.get());
        let filled = u128::from(passed_ns) * u128::from(bucket.bytes_per_second) / 1_000_000_000;
        if filled > 0 {
            let filled = u64::try_from(filled).unwrap_or(u64::MAX);
            bucket.free.set(bucket.free.get().saturating_add(filled).min(bucket.bytes_per_second));
            bucket.filled_ns.set(now_ns);
        }
        let left = bucket.free.get().checked_sub(bytes);
        if let Some(left) = left {
            bucket.free.set(left);
        }
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::policy::{RecordingRule, Sample, TopicPatterns};

    #[test]
    fn a_second_brings_what_a_second_may_take() {
        let rule = RecordingRule {
            name: None,
            listeners: Vec::new(),
            groups: Vec::new(),
            topics: TopicPatterns::default(),
            mode: RecordingMode::Sample(Sample::new(0.5, 2_000)),
        };
        let budgets = SampleBudgets::new(&RecordingRules::new(vec![rule]), 2);
        let second = 1_000_000_000;
        assert!(budgets.take(0, 600, 10 * second));
        assert!(!budgets.take(0, 600, 10 * second), "400 are left");
        assert!(budgets.take(0, 400, 10 * second));
        assert!(budgets.take(0, 500, 10 * second + second / 2));
        assert!(!budgets.take(0, 1, 10 * second + second / 2));
        assert!(budgets.take(0, 1_000, 100 * second));
        assert!(!budgets.take(0, 1, 100 * second), "no more comes together than a second brings");
        assert!(!budgets.take(1, 1, 100 * second), "a rule without a sample has none");
    }
}
