//! When a delivery that failed is tried again, and when it has failed for good.
//!
//! Pauses double from the first to the longest, less some chance, so that webhooks that failed together do not come back
//! together. What a receiver asks for with `Retry-After` counts where it is longer.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use super::target::{Class, Failure};
use crate::limits::WEBHOOK_RETRY_AFTER_MAX;
use crate::upstream::time_between;

/// Pauses and bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    /// The pause after the first failure.
    pub(super) first: Duration,
    /// The longest pause.
    pub(super) longest: Duration,
    /// Attempts at a notice that the receiver does not want: it will not want it later.
    pub(super) refused: u32,
    /// Attempts at a notice over which the receiver fails: perhaps because of it, and others wait behind.
    pub(super) failing: u32,
    /// How long a receiver that is not there is tried: no other notice would reach it either.
    pub(super) unreachable: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(5 * 60),
            refused: 5,
            failing: 12,
            unreachable: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl Schedule {
    /// How long to wait after attempt number `attempts`, the first of which began `since` ago; none: it has failed for good.
    pub(super) fn pause(&self, failure: &Failure, attempts: u32, since: Duration) -> Option<Duration> {
        let go_on = match failure.class {
            Class::Refused => attempts < self.refused,
            Class::Failing => attempts < self.failing,
            Class::Unreachable => since < self.unreachable,
        };
        let doubled = self.first.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(self.longest);
        let asked = failure.retry_after.unwrap_or_default().min(WEBHOOK_RETRY_AFTER_MAX);
        go_on.then(|| time_between(doubled * 3 / 4, doubled).max(asked))
    }
}

/// What `Retry-After` says (RFC 9110, 10.2.3): seconds, or a time.
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn failure(class: Class, retry_after: Option<Duration>) -> Failure {
        Failure { class, what: String::new(), retry_after }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_vary() {
        let schedule = Schedule::default();
        let failing = failure(Class::Failing, None);
        let pause = |attempts| schedule.pause(&failing, attempts, Duration::ZERO).unwrap();
        for (attempts, seconds) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (11, 300)] {
            let longest = Duration::from_secs(seconds);
            assert!((longest * 3 / 4..=longest).contains(&pause(attempts)), "{attempts}");
        }
        assert!((0..50).any(|_| pause(11) != pause(11)));
    }

    #[test]
    fn it_ends_soon_where_the_receiver_refuses_and_late_where_it_is_not_there() {
        let schedule = Schedule::default();
        let ends = |class, attempts, since| schedule.pause(&failure(class, None), attempts, since).is_none();
        assert!(!ends(Class::Refused, 4, Duration::ZERO) && ends(Class::Refused, 5, Duration::ZERO));
        assert!(!ends(Class::Failing, 11, Duration::ZERO) && ends(Class::Failing, 12, Duration::ZERO));
        let day = Duration::from_secs(24 * 60 * 60);
        assert!(!ends(Class::Unreachable, 1000, day / 2) && ends(Class::Unreachable, 1000, day));
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_within_bounds() {
        let schedule = Schedule::default();
        let asked = |seconds| {
            let failing = failure(Class::Failing, Some(Duration::from_secs(seconds)));
            schedule.pause(&failing, 1, Duration::ZERO).unwrap()
        };
        assert_eq!(asked(90), Duration::from_secs(90));
        assert!(asked(0) <= Duration::from_secs(1));
        assert_eq!(asked(u64::MAX), WEBHOOK_RETRY_AFTER_MAX);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now: Timestamp = "2026-11-30T10:00:00Z".parse().unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Mon, 30 Nov 2026 10:01:30 GMT", now), Some(Duration::from_secs(90)));
        assert_eq!(retry_after("Mon, 30 Nov 2026 09:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
