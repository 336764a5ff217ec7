//! Chance where many would otherwise do the same thing at the same moment.

use std::time::Duration;

/// A time from `low` to `high`; the middle where the operating system gives no random bytes.
pub fn between(low: Duration, high: Duration) -> Duration {
    let mut random = [0u8; 4];
    let share = match getrandom::fill(&mut random) {
        Ok(()) => f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    };
    low + high.saturating_sub(low).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_stays_within_its_bounds_and_differs() {
        let (low, high) = (Duration::from_secs(10), Duration::from_secs(20));
        let times: Vec<Duration> = (0..100).map(|_| between(low, high)).collect();
        assert!(times.iter().all(|t| (low..=high).contains(t)) && times.iter().any(|t| *t != times[0]));
        assert_eq!(between(high, low), high);
    }
}
