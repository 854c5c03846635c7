//! The last 24 hours of an API, half hour by half hour. Small, as there may be ten thousand of them.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

/// How many half hours are kept.
pub const HALF_HOURS_MAX: usize = 48;
/// How long each is, in seconds.
pub const HALF_HOUR: i64 = 1_800;

/// For how many there is room at first.
const ROOM_MIN: usize = 6;

/// What happened in the last 24 hours, as far as it is known. Nothing is allocated before the first iteration has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// The number of the first half hour, counted since 1970.
    first: i64,
    half_hours: VecDeque<HalfHour>,
}

/// What happened in half an hour. The counters stop at their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HalfHour {
    /// Records delivered.
    pub records: u32,
    /// Iterations that ended.
    pub iterations: u16,
    /// How many of these failed.
    pub failures: u16,
}

impl Day {
    /// Counts an iteration that has ended. Where the clock was set back, it counts for the latest half hour.
    pub fn add(&mut self, at: DateTime<Utc>, records: u64, is_failed: bool) {
        let number = number_of(at);
        let last = self.first.saturating_add(self.half_hours.len() as i64);
        // Nothing of what is known lies within 24 hours.
        if self.half_hours.is_empty() || number.saturating_sub(last) >= HALF_HOURS_MAX as i64 {
            self.half_hours.clear();
            self.half_hours.shrink_to_fit();
            self.first = number;
        }
        while self.first.saturating_add(self.half_hours.len() as i64) <= number {
            if self.half_hours.len() == HALF_HOURS_MAX {
                self.half_hours.pop_front();
                self.first += 1;
            }
            if self.half_hours.len() == self.half_hours.capacity() {
                let more = self.half_hours.len().clamp(ROOM_MIN, HALF_HOURS_MAX / 2);
                self.half_hours.reserve_exact(more.min(HALF_HOURS_MAX - self.half_hours.len()));
            }
            self.half_hours.push_back(HalfHour::default());
        }
        let Some(half_hour) = self.half_hours.back_mut() else { return };
        half_hour.records = half_hour.records.saturating_add(u32::try_from(records).unwrap_or(u32::MAX));
        half_hour.iterations = half_hour.iterations.saturating_add(1);
        half_hour.failures = half_hour.failures.saturating_add(u16::from(is_failed));
    }

    /// The half hours of the last 24 hours that are known, with when each began; the current one at the end. Those after
    /// the last iteration are empty.
    pub fn half_hours(&self, now: DateTime<Utc>) -> impl Iterator<Item = (DateTime<Utc>, HalfHour)> {
        let current = number_of(now);
        let known = if self.half_hours.is_empty() { current + 1 } else { self.first };
        let from = known.max(current + 1 - HALF_HOURS_MAX as i64);
        (from..=current).filter_map(|number| {
            Some((DateTime::from_timestamp(number.saturating_mul(HALF_HOUR), 0)?, self.half_hour(number)))
        })
    }

    /// Records delivered within the last hour: of the half hour that the hour begins in, the share that lies in it.
    #[must_use]
    pub fn last_hour(&self, now: DateTime<Utc>) -> f64 {
        let current = number_of(now);
        let outside = now.timestamp().rem_euclid(HALF_HOUR) as f64 / HALF_HOUR as f64;
        let records = |number: i64| f64::from(self.half_hour(number).records);
        records(current) + records(current - 1) + records(current - 2) * (1.0 - outside)
    }

    fn half_hour(&self, number: i64) -> HalfHour {
        let at = usize::try_from(number.saturating_sub(self.first)).ok();
        at.and_then(|at| self.half_hours.get(at)).copied().unwrap_or_default()
    }
}

fn number_of(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(HALF_HOUR)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 / HALF_HOUR * HALF_HOUR, 0).unwrap() + TimeDelta::minutes(minutes)
    }

    #[test]
    fn counts_by_half_hours_and_forgets_what_is_a_day_old() {
        let mut day = Day::default();
        assert_eq!(day.half_hours(at(0)).count(), 0, "nothing is known");
        day.add(at(1), 5, false);
        day.add(at(29), 7, true);
        day.add(at(95), u64::MAX, false);
        let shown: Vec<_> = day.half_hours(at(125)).collect();
        assert_eq!(shown.len(), 5);
        assert_eq!(shown[0], (at(0), HalfHour { records: 12, iterations: 2, failures: 1 }));
        assert_eq!(shown[1], (at(30), HalfHour::default()));
        assert_eq!(shown[3].1.records, u32::MAX);
        assert_eq!(day.half_hours(at(24 * 60)).next().unwrap().0, at(30));
        for minute in 0..3_000 {
            day.add(at(minute), 1, false);
        }
        assert_eq!(day.half_hours(at(3_000)).count(), HALF_HOURS_MAX);
        assert!(day.half_hours.capacity() * size_of::<HalfHour>() <= 384, "it stays small");
        day.add(at(90_000), 1, false);
        assert_eq!(day.half_hours(at(90_000)).count(), 1, "what lies before is not known any more");
        day.add(at(0), 1, false);
        assert_eq!(day.half_hours(at(90_000)).next().unwrap().1.iterations, 2, "a clock that was set back");
    }

    #[test]
    fn the_last_hour_slides() {
        let mut day = Day::default();
        day.add(at(10), 60, false);
        assert_eq!(day.last_hour(at(20)), 60.0);
        assert_eq!((day.last_hour(at(60)), day.last_hour(at(75)), day.last_hour(at(90))), (60.0, 30.0, 0.0));
    }
}
