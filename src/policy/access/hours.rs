//! When a rule holds: hours of the day, days of the week, by the clocks of a place.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

const DAY_MINUTES: u16 = 24 * 60;

/// The days, as they are written; the bit of each in [`Hours`] is its place here.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// From a time of day to another, on some days of the week. Where the end is not after the beginning it is the next day's,
/// and the days are those on which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// Minutes after midnight, less than a day.
    from: u16,
    /// Minutes after midnight, at most a day.
    to: u16,
    /// A bit a day, Monday's first.
    days: u8,
    zone: TimeZone,
}

impl Hours {
    /// `from` and `to` are in minutes after midnight, `days` are places in [`DAYS`] and not none. The error says what was
    /// expected.
    pub fn new(from: u16, to: u16, days: &[usize], zone: TimeZone) -> Result<Self, String> {
        if from >= DAY_MINUTES || to > DAY_MINUTES {
            return Err("expected times of day from `00:00` to `24:00`".to_owned());
        }
        if from == to {
            return Err("begin and end at the same time; expected different ones, or `00:00` to `24:00`".to_owned());
        }
        let days = days.iter().filter(|day| **day < DAYS.len()).fold(0, |all, day| all | 1 << day);
        Ok(Hours { from, to, days, zone })
    }

    /// Whether they are now, in seconds since the Unix epoch.
    pub fn hold(&self, now_s: i64) -> bool {
        let (day, minute) = self.local(now_s);
        let on = |day: i64| self.days >> day.rem_euclid(7) & 1 == 1;
        if self.from < self.to {
            return on(day) && (self.from..self.to).contains(&minute);
        }
        (on(day) && minute >= self.from) || (on(day - 1) && minute < self.to)
    }

    /// A moment later than now before which nothing changes: the next beginning or end on whatever day, or when clocks are
    /// put forward or back.
    pub fn same_until(&self, now_s: i64) -> i64 {
        let (_, minute) = self.local(now_s);
        let into_minute = now_s.saturating_add(self.offset(now_s)).rem_euclid(60);
        let to_go = |bound: u16| i64::from((bound + DAY_MINUTES - minute - 1) % DAY_MINUTES + 1) * 60 - into_minute;
        let bound = now_s.saturating_add(to_go(self.from).min(to_go(self.to)));
        let clocks_change = self.zone.following(timestamp(now_s)).next().map(|change| change.timestamp().as_second());
        clocks_change.map_or(bound, |change| bound.min(change)).max(now_s.saturating_add(1))
    }

    /// Days since a Monday and minutes after midnight, by the clocks there.
    fn local(&self, now_s: i64) -> (i64, u16) {
        // The Unix epoch was a Thursday.
        const EPOCH_DAY: i64 = 3;
        let minutes = now_s.saturating_add(self.offset(now_s)).div_euclid(60);
        let day = i64::from(DAY_MINUTES);
        (minutes.div_euclid(day) + EPOCH_DAY, u16::try_from(minutes.rem_euclid(day)).unwrap_or(0))
    }

    /// How far clocks there are ahead of UTC, s.
    fn offset(&self, now_s: i64) -> i64 {
        i64::from(self.zone.to_offset(timestamp(now_s)).seconds())
    }

    /// Whether they surely hold whenever `inner` do.
    pub(super) fn cover(&self, inner: &Hours) -> bool {
        let within = self.from <= inner.from && inner.from < inner.to && inner.to <= self.to;
        let whenever = self.from == inner.from && self.to == inner.to;
        self.zone == inner.zone && self.days & inner.days == inner.days && (within || whenever)
    }
}

/// Times beyond the calendar count as its ends.
fn timestamp(now_s: i64) -> Timestamp {
    let beyond = if now_s < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(now_s).unwrap_or(beyond)
}

impl fmt::Display for Hours {
    /// `08:00 to 18:00 (Europe/Paris) on mon, tue`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let zone = self.zone.iana_name().unwrap_or("UTC");
        write!(f, "{} to {} ({zone})", clock(self.from), clock(self.to))?;
        let days: Vec<&str> = (0..DAYS.len()).filter(|day| self.days >> day & 1 == 1).map(|day| DAYS[day]).collect();
        if days.len() < DAYS.len() { write!(f, " on {}", days.join(", ")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hours(from: u16, to: u16, days: &[usize], zone: &str) -> Hours {
        Hours::new(from * 60, to * 60, days, TimeZone::get(zone).unwrap()).unwrap()
    }

    fn at(time: &str) -> i64 {
        time.parse::<Timestamp>().unwrap().as_second()
    }

    const WORKDAYS: &[usize] = &[0, 1, 2, 3, 4];
    const EVERY_DAY: &[usize] = &[0, 1, 2, 3, 4, 5, 6];

    #[test]
    fn hours_hold_on_their_days_from_begin_to_before_end() {
        let office = hours(8, 18, WORKDAYS, "UTC");
        // 2026-11-30 is a Monday.
        for (time, hold) in [
            ("2026-11-30T07:59:59Z", false),
            ("2026-11-30T08:00:00Z", true),
            ("2026-11-30T17:59:59Z", true),
            ("2026-11-30T18:00:00Z", false),
            ("2026-11-29T12:00:00Z", false),
            ("2026-12-04T12:00:00Z", true),
            ("2026-12-05T12:00:00Z", false),
            ("1969-12-31T12:00:00Z", true),
        ] {
            assert_eq!(office.hold(at(time)), hold, "{time}");
        }
        assert!(hours(0, 24, &[6], "UTC").hold(at("2026-11-29T23:59:59Z")));
    }

    #[test]
    fn hours_that_cross_midnight_belong_to_the_day_on_which_they_begin() {
        let night = hours(22, 6, &[4], "UTC");
        for (time, hold) in [
            ("2026-12-04T21:59:00Z", false),
            ("2026-12-04T22:00:00Z", true),
            ("2026-12-05T05:59:00Z", true),
            ("2026-12-05T06:00:00Z", false),
            ("2026-12-05T22:00:00Z", false),
            ("2026-12-04T05:00:00Z", false),
        ] {
            assert_eq!(night.hold(at(time)), hold, "{time}");
        }
    }

    #[test]
    fn hours_follow_the_clocks_of_their_place() {
        let office = hours(8, 18, EVERY_DAY, "Europe/Paris");
        assert!(office.hold(at("2026-07-01T06:00:00Z")) && !office.hold(at("2026-01-01T06:00:00Z")));
        assert!(office.hold(at("2026-01-01T07:00:00Z")) && !office.hold(at("2026-01-01T17:00:00Z")));
        // 02:30 does not exist on that day: clocks go from 01:59:59 to 03:00.
        let gap = Hours::new(150, 240, EVERY_DAY, TimeZone::get("Europe/Paris").unwrap()).unwrap();
        assert!(!gap.hold(at("2026-03-29T00:59:59Z")) && gap.hold(at("2026-03-29T01:00:00Z")));
        assert_eq!(gap.same_until(at("2026-03-29T00:59:00Z")), at("2026-03-29T01:00:00Z"));
    }

    /// Goes through two weeks with changes of clocks, minute by minute.
    #[test]
    fn nothing_changes_before_it_was_said_to() {
        for (zone, start) in [("Europe/Paris", "2026-10-20T00:00:00Z"), ("Australia/Lord_Howe", "2026-03-30T00:00:30Z")]
        {
            for (from, to) in [(60, 150), (130, 100), (0, 1440), (1439, 1)] {
                let hours = Hours::new(from, to, &[0, 5, 6], TimeZone::get(zone).unwrap()).unwrap();
                let (mut now, mut until, mut held) = (at(start), i64::MIN, false);
                let end = now + 14 * 86_400;
                let mut looks = 0;
                while now < end {
                    if now >= until {
                        (until, held, looks) = (hours.same_until(now), hours.hold(now), looks + 1);
                        assert!(until > now);
                    }
                    assert_eq!(hours.hold(now), held, "{hours} {now}");
                    now += 30;
                }
                assert!(looks <= 2 * 14 + 3, "{looks}");
            }
        }
    }

    #[test]
    fn times_without_end_are_no_trouble() {
        let office = hours(8, 18, WORKDAYS, "Europe/Paris");
        for now in [i64::MIN, i64::MAX] {
            office.hold(now);
            assert!(office.same_until(now) >= now);
        }
    }

    #[test]
    fn hours_without_length_are_refused() {
        let new = |from, to| Hours::new(from, to, EVERY_DAY, TimeZone::UTC);
        assert!(new(60, 60).is_err() && new(1440, 60).is_err() && new(0, 1441).is_err() && new(0, 1440).is_ok());
    }
}
