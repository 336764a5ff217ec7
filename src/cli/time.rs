//! Times as people type and read them. What is shown is local time, and says of which zone.

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::config::parse_duration;

/// Reads a moment: `2h` (ago), `2026-11-22`, `2026-11-22T10:00` (local time), or RFC 3339 with its zone. Ns since the
/// Unix epoch; an error says what was expected.
pub(super) fn parse_moment(text: &str) -> Result<u64, String> {
    parse_at(text, Timestamp::now(), &TimeZone::system())
}

fn parse_at(text: &str, now: Timestamp, zone: &TimeZone) -> Result<u64, String> {
    let expected = || "expected how long ago, such as 15m, 2h or 7d, or a time, such as 2026-11-22T10:00".to_owned();
    if let Some(ago) = parse_duration(text) {
        return now.checked_sub(ago).map(to_ns).map_err(|_| expected());
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(to_ns(moment));
    }
    let local = text.parse::<civil::DateTime>().or_else(|_| text.parse::<civil::Date>().map(civil::DateTime::from));
    let local = local.map_err(|_| expected())?;
    zone.to_timestamp(local).map(to_ns).map_err(|_| expected())
}

fn to_ns(moment: Timestamp) -> u64 {
    u64::try_from(moment.as_nanosecond()).unwrap_or(0)
}

/// Shows moments in one zone.
pub(super) struct Clock {
    zone: TimeZone,
}

impl Clock {
    /// Of the zone this machine, or the variable TZ, says.
    pub(super) fn local() -> Self {
        Self { zone: TimeZone::system() }
    }

    /// The zone's abbreviation, for a table's head.
    pub(super) fn zone_name(&self) -> String {
        Zoned::new(Timestamp::now(), self.zone.clone()).strftime("%Z").to_string()
    }

    /// `2026-11-22 10:00:05`.
    pub(super) fn moment(&self, ns: u64) -> String {
        self.show(ns, "%Y-%m-%d %H:%M:%S")
    }

    /// `10:00:05.123`.
    pub(super) fn time_of_day(&self, ns: u64) -> String {
        self.show(ns, "%H:%M:%S%.3f")
    }

    fn show(&self, ns: u64, format: &str) -> String {
        let moment = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::MAX);
        Zoned::new(moment, self.zone.clone()).strftime(format).to_string()
    }
}

/// A length of time in two parts at most: `850us`, `1.8ms`, `12ms`, `3.4s`, `2m05s`, `3h12m`, `4d02h`.
pub(super) fn length(ns: u64) -> String {
    let (ms, s) = (ns / 1_000_000, ns / 1_000_000_000);
    match () {
        () if ns < 1_000_000 => format!("{}us", ns / 1_000),
        () if ms < 10 => format!("{ms}.{}ms", ns / 100_000 % 10),
        () if ms < 1_000 => format!("{ms}ms"),
        () if s < 60 => format!("{}.{}s", s, ms % 1000 / 100),
        () if s < 3600 => format!("{}m{:02}s", s / 60, s % 60),
        () if s < 86_400 => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
        () => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: &str = "2026-11-22T10:00:00Z";

    fn at(text: &str) -> Result<String, String> {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let ns = parse_at(text, NOW.parse().unwrap(), &zone)?;
        Ok(Timestamp::from_nanosecond(i128::from(ns)).unwrap().to_string())
    }

    #[test]
    fn a_moment_is_how_long_ago_or_a_local_time_or_one_with_its_zone() {
        assert_eq!(at("2h").unwrap(), "2026-11-22T08:00:00Z");
        assert_eq!(at("7d").unwrap(), "2026-11-15T10:00:00Z");
        assert_eq!(at("2026-11-22T09:30").unwrap(), "2026-11-22T07:30:00Z");
        assert_eq!(at("2026-11-22").unwrap(), "2026-11-21T22:00:00Z");
        assert_eq!(at("2026-11-22T09:30:00Z").unwrap(), "2026-11-22T09:30:00Z");
        assert_eq!(at("2026-11-22T09:30:00+01:00").unwrap(), "2026-11-22T08:30:00Z");
        for wrong in ["", "2", "yesterday", "2026-13-01", "99999999999d"] {
            assert!(at(wrong).unwrap_err().starts_with("expected how long ago"), "{wrong}");
        }
    }

    #[test]
    fn moments_are_shown_in_the_clock_s_zone_which_has_a_name() {
        let clock = Clock { zone: TimeZone::UTC };
        let ns = to_ns("2026-11-22T10:00:05.1239Z".parse().unwrap());
        assert_eq!(clock.moment(ns), "2026-11-22 10:00:05");
        assert_eq!(clock.time_of_day(ns), "10:00:05.123");
        assert_eq!(clock.zone_name(), "UTC");
        assert!(clock.moment(u64::MAX).starts_with("2554-"));
    }

    #[test]
    fn lengths_are_short_and_keep_their_unit() {
        let shown: Vec<String> = [
            0,
            850_000,
            1_890_000,
            12_000_000,
            3_450_000_000,
            125_000_000_000,
            11_520_000_000_000,
            352_800_000_000_000,
        ]
        .map(length)
        .into();
        assert_eq!(shown, ["0us", "850us", "1.8ms", "12ms", "3.4s", "2m05s", "3h12m", "4d02h"]);
    }
}
