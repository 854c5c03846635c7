//! The one line that an API has in the text file, whose outputs each have a checkpoint: the earliest of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::checkpoint_text::Checkpoint;
use crate::template::CapturedValues;

/// The checkpoints of an API's outputs, by the keys of their states, as they are committed.
#[derive(Debug)]
pub struct SharedLine(Mutex<BTreeMap<String, Option<DateTime<Utc>>>>);

/// Dates that are about to be committed, before those that are.
pub(super) type PendingDates<'c> = BTreeMap<&'c str, Option<DateTime<Utc>>>;

impl SharedLine {
    /// Of these outputs.
    #[must_use]
    pub fn new(dates: impl IntoIterator<Item = (String, Option<DateTime<Utc>>)>) -> Self {
        Self(Mutex::new(dates.into_iter().collect()))
    }

    /// Notes that a checkpoint is committed.
    pub(super) fn commit(&self, key: &str, date: Option<DateTime<Utc>>) {
        self.dates().insert(key.to_owned(), date);
    }

    /// What the line says once what is pending is committed. An output that has no checkpoint yet doesn't count.
    pub(super) fn with(&self, pending: &PendingDates<'_>, values: CapturedValues) -> Checkpoint {
        let dates = self.dates();
        let dates = dates.iter().map(|(key, date)| pending.get(key.as_str()).unwrap_or(date));
        Checkpoint { date: dates.flatten().min().copied(), values }
    }

    fn dates(&self) -> MutexGuard<'_, BTreeMap<String, Option<DateTime<Utc>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(second, 0)
    }

    #[test]
    fn the_line_is_the_earliest_checkpoint_of_those_that_have_one() {
        let line = SharedLine::new([("a".to_owned(), at(10)), ("b".to_owned(), None), ("c".to_owned(), at(12))]);
        let said = |pending: &[(&'static str, Option<DateTime<Utc>>)]| {
            line.with(&pending.iter().copied().collect(), CapturedValues::default()).date
        };
        assert_eq!(said(&[]), at(10));
        assert_eq!(said(&[("a", at(20))]), at(12));
        assert_eq!(said(&[("a", at(20)), ("c", at(19))]), at(19), "both move at the same time");
        line.commit("a", at(20));
        line.commit("b", at(5));
        assert_eq!(said(&[]), at(5));
    }
}
