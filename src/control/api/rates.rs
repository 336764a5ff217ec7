//! How often somebody may: a bucket that holds so many at once and fills up slowly.
//!
//! Invariant: memory is bounded, whoever knocks: of more than [`API_COUNTED_MAX`] the fullest buckets are forgotten, which
//! lets nobody do more than a bucket holds.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::API_COUNTED_MAX;

/// Buckets, one for each `K`.
pub(super) struct Rates<K> {
    burst: u32,
    every: Duration,
    buckets: Mutex<HashMap<K, Bucket>>,
}

/// When it will be full again: what is missing is the time until then.
struct Bucket {
    full_at: Instant,
}

impl<K: Eq + Hash + Clone> Rates<K> {
    /// `burst` at once, and one more each `every`.
    pub(super) fn new(burst: u32, every: Duration) -> Rates<K> {
        Rates { burst, every, buckets: Mutex::default() }
    }

    /// Takes one; the error says how long to wait for one.
    pub(super) fn take(&self, key: &K) -> Result<(), Duration> {
        self.take_at(key, Instant::now())
    }

    /// Whether there is one to take; the error says how long to wait for one.
    pub(super) fn look(&self, key: &K) -> Result<(), Duration> {
        let now = Instant::now();
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.get(key).map_or(Ok(()), |bucket| self.room(bucket, now))
    }

    fn room(&self, bucket: &Bucket, now: Instant) -> Result<(), Duration> {
        let missing = bucket.full_at.saturating_duration_since(now);
        let most = self.every * (self.burst - 1);
        if missing <= most { Ok(()) } else { Err(missing - most) }
    }

    fn take_at(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= API_COUNTED_MAX && !buckets.contains_key(key) {
            forget(&mut buckets);
        }
        let bucket = buckets.entry(key.clone()).or_insert(Bucket { full_at: now });
        self.room(bucket, now)?;
        bucket.full_at = bucket.full_at.max(now) + self.every;
        Ok(())
    }
}

/// Makes room: half of the buckets go, the fullest ones.
fn forget<K: Eq + Hash + Clone>(buckets: &mut HashMap<K, Bucket>) {
    let mut times: Vec<Instant> = buckets.values().map(|bucket| bucket.full_at).collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    buckets.retain(|_, bucket| bucket.full_at > median);
}

/// An address as failed logins are counted: who has one IPv6 address has a /64 of them (RFC 4291, 2.5.4).
pub(super) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bucket_holds_a_burst_and_fills_up_again() {
        let rates = Rates::new(3, Duration::from_secs(2));
        let start = Instant::now();
        for _ in 0..3 {
            rates.take_at(&"a", start).unwrap();
        }
        assert_eq!(rates.take_at(&"a", start), Err(Duration::from_secs(2)));
        assert_eq!(rates.take_at(&"b", start), Ok(()));
        assert_eq!(rates.take_at(&"a", start + Duration::from_secs(2)), Ok(()));
        assert!(rates.take_at(&"a", start + Duration::from_secs(2)).is_err());
    }

    #[test]
    fn counting_forgets_whom_it_need_not_remember_and_keeps_who_is_at_the_limit() {
        let rates = Rates::new(2, Duration::from_secs(60));
        let now = Instant::now();
        rates.take_at(&0, now).unwrap();
        rates.take_at(&0, now).unwrap();
        for other in 1..3 * API_COUNTED_MAX {
            rates.take_at(&other, now).unwrap();
        }
        assert!(rates.buckets.lock().unwrap().len() <= API_COUNTED_MAX);
        assert!(rates.take_at(&0, now).is_err());
    }

    #[test]
    fn the_addresses_of_one_network_count_as_one() {
        let of = |text: &str| counted(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
