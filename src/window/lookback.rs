//! What looking back costs an API: pages that hold nothing but what lies before the checkpoint.
//!
//! Overlap and looks together may take half of an API's requests, averaged over about a day.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// After so long all counts are halved, so that what was a day ago hardly counts.
const HALVED_AFTER: TimeDelta = TimeDelta::hours(12);

/// Counts of one API's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lookback {
    since: Option<DateTime<Utc>>,
    requests: u64,
    /// Those that only looked back.
    back: u64,
    /// How many of them the last wide look took.
    wide: u64,
}

impl Lookback {
    /// Adds an iteration. The first request is made in any case.
    pub fn add(&mut self, requests: u64, back: u64, is_wide: bool, now: DateTime<Utc>) {
        let age = self.since.map(|since| now.signed_duration_since(since));
        if age.is_none_or(|age| age >= HALVED_AFTER || age < TimeDelta::zero()) {
            (self.requests, self.back, self.since) = (self.requests / 2, self.back / 2, Some(now));
        }
        let back = back.min(requests.saturating_sub(1));
        self.requests = self.requests.saturating_add(requests);
        self.back = self.back.saturating_add(back);
        if is_wide {
            self.wide = back;
        }
    }

    /// Whether the next iteration may look back at all.
    #[must_use]
    pub fn is_affordable(&self) -> bool {
        self.back.saturating_mul(2) <= self.requests
    }

    /// Whether it may look back as far as it can, if that costs what it did last.
    #[must_use]
    pub fn is_wide_affordable(&self) -> bool {
        let (back, requests) = (self.back.saturating_add(self.wide), self.requests.saturating_add(self.wide));
        back.saturating_mul(2) <= requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_back_takes_half_of_the_requests_at_most() {
        let mut lookback = Lookback::default();
        let mut now = DateTime::<Utc>::default();
        let (mut requests, mut back) = (0_u64, 0_u64);
        // Each iteration has one page of its own, nine of overlap, and a wide look has ninety.
        for iteration in 0..3_000_u64 {
            now += TimeDelta::minutes(1);
            let is_wide = iteration % 180 == 60 && lookback.is_wide_affordable();
            let again = if is_wide { 90 } else { 9 * u64::from(lookback.is_affordable()) };
            lookback.add(1 + again, again, is_wide, now);
            (requests, back) = (requests + 1 + again, back + again);
        }
        let share = back as f64 / requests as f64;
        assert!((0.4..0.53).contains(&share), "{back} of {requests}");
    }

    #[test]
    fn a_request_that_is_made_in_any_case_is_no_cost() {
        let mut lookback = Lookback::default();
        (0..100).for_each(|_| lookback.add(1, 1, true, DateTime::default()));
        assert!(lookback.is_affordable() && lookback.is_wide_affordable());
        lookback.add(1_000, 999, true, DateTime::default());
        assert!(!lookback.is_affordable() && !lookback.is_wide_affordable());
    }
}
