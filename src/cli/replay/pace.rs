//! How fast a replay goes: what a stretch of the session's time takes on the wall.

use std::fmt;
use std::time::Duration;

/// Times the session's own pace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::cli) enum Speed {
    Times(f64),
    /// Without waiting at all.
    Max,
}

/// Between these a speed may be asked for.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.01..=100_000.0;

impl Speed {
    /// Reads `10`, `0.5`, `10x` or `max`.
    pub(in crate::cli) fn parse(text: &str) -> Result<Speed, String> {
        if text == "max" {
            return Ok(Speed::Max);
        }
        let times = text.strip_suffix('x').unwrap_or(text).parse().ok().filter(|times| SPEEDS.contains(times));
        times.map(Speed::Times).ok_or_else(|| "expected how many times faster, such as 10 or 0.5, or max".to_owned())
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Speed::Times(times) => write!(f, "{times}x"),
            Speed::Max => f.write_str("max"),
        }
    }
}

/// A replay's speed, and the longest gap it keeps.
#[derive(Debug)]
pub(super) struct Pace {
    speed: Speed,
    idle_ns: u64,
}

impl Pace {
    /// Gaps of the session of more than `idle_ns` are shortened to that.
    pub(super) fn new(speed: Speed, idle_ns: u64) -> Self {
        Pace { speed, idle_ns }
    }

    pub(super) fn speed(&self) -> Speed {
        self.speed
    }

    pub(super) fn idle_ns(&self) -> u64 {
        self.idle_ns
    }

    /// What is left out of a gap, if it is too long.
    pub(super) fn skips(&self, gap_ns: u64) -> Option<u64> {
        gap_ns.checked_sub(self.idle_ns).filter(|skipped_ns| *skipped_ns > 0)
    }

    /// What a stretch of the session's time takes.
    pub(super) fn takes(&self, session_ns: u64) -> Duration {
        match self.speed {
            Speed::Max => Duration::ZERO,
            Speed::Times(times) => Duration::from_nanos((session_ns as f64 / times) as u64),
        }
    }

    /// How much of the session's time passes meanwhile, ns.
    pub(super) fn passed(&self, elapsed: Duration) -> u64 {
        match self.speed {
            Speed::Max => u64::MAX,
            Speed::Times(times) => (elapsed.as_nanos() as f64 * times) as u64,
        }
    }

    pub(super) fn faster(&mut self) {
        self.speed = match self.speed {
            Speed::Times(times) if times * 2.0 <= *SPEEDS.end() => Speed::Times(times * 2.0),
            _ => Speed::Max,
        };
    }

    pub(super) fn slower(&mut self) {
        self.speed = match self.speed {
            Speed::Max => Speed::Times(64.0),
            Speed::Times(times) => Speed::Times((times / 2.0).max(*SPEEDS.start())),
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_speed_is_a_number_or_max() {
        assert_eq!(Speed::parse("10"), Ok(Speed::Times(10.0)));
        assert_eq!(Speed::parse("0.5x"), Ok(Speed::Times(0.5)));
        assert_eq!(Speed::parse("max"), Ok(Speed::Max));
        for wrong in ["", "0", "-1", "fast", "NaN", "inf", "1e9"] {
            assert!(Speed::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn time_passes_as_fast_as_it_is_told_to() {
        let mut pace = Pace::new(Speed::Times(4.0), 2_000_000_000);
        assert_eq!(pace.takes(8_000_000_000), Duration::from_secs(2));
        assert_eq!(pace.passed(Duration::from_secs(2)), 8_000_000_000);
        assert_eq!(pace.skips(5_000_000_000), Some(3_000_000_000));
        assert_eq!(pace.skips(2_000_000_000), None);
        pace.faster();
        assert_eq!(pace.takes(8_000_000_000), Duration::from_secs(1));
        (0..40).for_each(|_| pace.faster());
        assert_eq!((pace.takes(u64::MAX), pace.speed()), (Duration::ZERO, Speed::Max));
        pace.slower();
        assert_eq!(pace.speed().to_string(), "64x");
    }
}
