//! What is known of an API whose request never changes (`checkpoint: snapshot`): when it was read to its end, and how much
//! it held. Pure.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::record::date::before;

/// A record is forgotten once it was missing from so many complete readings in a row: answers flap.
const MISSING_MIN: usize = 3;
/// And not before so long: a list that is read every minute may lack a record for longer than three readings.
const MISSING_FOR: TimeDelta = TimeDelta::hours(24);
/// A shorter list says nothing about what it no longer holds: a single value is another one each time.
const LIST_MIN: u64 = 2;

/// The last complete readings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Readings {
    /// When each began, the latest at the end.
    begun: VecDeque<DateTime<Utc>>,
    /// How many records the last one held.
    records: u64,
}

impl Readings {
    /// Adds a complete reading.
    pub fn add(&mut self, begun: DateTime<Utc>, records: u64) {
        self.records = records;
        self.begun.push_back(begun);
        while self.begun.len() > MISSING_MIN {
            self.begun.pop_front();
        }
    }

    /// The moment since which a record must have been seen to stay known; `None` as long as none is forgotten.
    #[must_use]
    pub fn known_since(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let third = self.begun.front().filter(|_| self.begun.len() >= MISSING_MIN)?;
        Some(before(now, MISSING_FOR).min(*third))
    }

    /// Whether the list may have moved on further than it is long: the reading before held records, and none of them is in
    /// this one.
    #[must_use]
    pub fn has_moved_on(&self, known: u64, new: u64) -> bool {
        self.records >= LIST_MIN && known == 0 && new > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_716_900_000 + hour * 3600, 0).expect("a date")
    }

    #[test]
    fn a_record_is_forgotten_after_three_readings_and_a_day_without_it() {
        let mut readings = Readings::default();
        for hour in [0, 10] {
            readings.add(at(hour), 5);
            assert_eq!(readings.known_since(at(100)), None, "too few readings");
        }
        readings.add(at(40), 5);
        assert_eq!(readings.known_since(at(40)), Some(at(0)), "what the third last one held is known");
        readings.add(at(41), 5);
        readings.add(at(42), 5);
        assert_eq!(readings.known_since(at(42)), Some(at(18)), "three readings within two hours say little");
        let text = serde_json::to_string(&readings).expect("JSON");
        assert_eq!(serde_json::from_str::<Readings>(&text).expect("it reads"), readings);
    }

    #[test]
    fn a_list_that_holds_none_of_what_it_held_has_moved_on() {
        let mut readings = Readings::default();
        assert!(!readings.has_moved_on(0, 5), "the first reading");
        readings.add(at(0), 5);
        assert!(readings.has_moved_on(0, 3));
        assert!(!readings.has_moved_on(1, 4) && !readings.has_moved_on(0, 0), "one is there; the list is empty");
        readings.add(at(1), 1);
        assert!(!readings.has_moved_on(0, 1), "a single value");
    }
}
