//! How long after its event date a record was first seen.
//!
//! A histogram with four buckets per doubling, so that a share read from it is at most 19 % too high. Old measures fade,
//! so that it follows an API that changes.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// Buckets per doubling of the time.
const PER_DOUBLING: f64 = 4.0;
/// The last bucket begins at 2^25 seconds, a year.
const BUCKET_MAX: u8 = 100;
/// With so many measures all counts are halved: what was measured lately weighs more.
const MEASURES_MAX: u64 = 100_000;

/// The measures of one API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArrivalDelay {
    /// How many measures fell into each bucket.
    buckets: BTreeMap<u8, u64>,
    /// The longest ever measured.
    most_seconds: u64,
}

impl ArrivalDelay {
    /// Adds a measure; one below zero (clocks differ) counts as zero.
    pub fn add(&mut self, late: TimeDelta) {
        let seconds = u64::try_from(late.num_seconds()).unwrap_or_default();
        *self.buckets.entry(bucket(seconds)).or_default() += 1;
        self.most_seconds = self.most_seconds.max(seconds);
        if self.measures() >= MEASURES_MAX {
            self.buckets.values_mut().for_each(|count| *count /= 2);
            self.buckets.retain(|_, count| *count > 0);
        }
    }

    /// How many measures there are.
    #[must_use]
    pub fn measures(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// The time within which a share of the records (0.5, 0.99) was seen; nothing without measures.
    #[must_use]
    pub fn within(&self, share: f64) -> Option<TimeDelta> {
        let wanted = self.measures() as f64 * share;
        let mut seen = 0;
        let bucket = self.buckets.iter().find_map(|(bucket, count)| {
            seen += count;
            (seen as f64 >= wanted).then_some(*bucket)
        })?;
        Some(seconds(upper_seconds(bucket).min(self.most_seconds)))
    }

    /// The longest ever measured.
    #[must_use]
    pub fn most(&self) -> TimeDelta {
        seconds(self.most_seconds)
    }
}

fn seconds(seconds: u64) -> TimeDelta {
    i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or(TimeDelta::MAX)
}

/// Bucket 0 holds what is below a second; bucket n begins at 2^((n-1)/4) seconds.
fn bucket(seconds: u64) -> u8 {
    if seconds == 0 {
        return 0;
    }
    let index = 1.0 + ((seconds as f64).log2() * PER_DOUBLING).floor();
    // In range: the bound is a u8, and the logarithm of a positive integer isn't negative.
    index.min(f64::from(BUCKET_MAX)) as u8
}

fn upper_seconds(bucket: u8) -> u64 {
    if bucket == BUCKET_MAX {
        return u64::MAX;
    }
    (f64::from(bucket) / PER_DOUBLING).exp2().ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_shares_from_what_was_measured() {
        let mut arrival_delay = ArrivalDelay::default();
        assert_eq!((arrival_delay.within(0.5), arrival_delay.measures()), (None, 0));
        (0..98).for_each(|_| arrival_delay.add(TimeDelta::seconds(10)));
        arrival_delay.add(TimeDelta::seconds(-5));
        arrival_delay.add(TimeDelta::hours(2));
        let (half, most) = (arrival_delay.within(0.5).expect("measures"), arrival_delay.within(1.0).expect("measures"));
        assert!((10..=12).contains(&half.num_seconds()), "{half}");
        assert_eq!((most, arrival_delay.most()), (TimeDelta::hours(2), TimeDelta::hours(2)));
        assert!(arrival_delay.within(0.99).expect("measures") < TimeDelta::minutes(1));
    }

    #[test]
    fn is_never_too_low_and_at_most_19_percent_too_high() {
        for late in [0, 1, 2, 3, 7, 59, 60, 900, 3_600, 86_399, 2_592_000] {
            let mut arrival_delay = ArrivalDelay::default();
            arrival_delay.add(TimeDelta::seconds(late));
            arrival_delay.add(TimeDelta::days(365));
            let read = arrival_delay.within(0.5).expect("measures").num_seconds();
            assert!(read >= late && read as f64 <= (late as f64 * 1.19).ceil() + 1.0, "{late}: {read}");
        }
    }

    #[test]
    fn lets_old_measures_fade() {
        let mut arrival_delay = ArrivalDelay::default();
        (0..90_000).for_each(|_| arrival_delay.add(TimeDelta::hours(1)));
        (0..400_000).for_each(|_| arrival_delay.add(TimeDelta::seconds(5)));
        assert!(arrival_delay.within(0.9).expect("measures") < TimeDelta::seconds(10));
        assert!(arrival_delay.measures() <= MEASURES_MAX);
        let text = serde_json::to_string(&arrival_delay).expect("JSON");
        assert_eq!(serde_json::from_str::<ArrivalDelay>(&text).expect("it reads"), arrival_delay);
    }
}
