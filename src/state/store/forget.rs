//! What is forgotten of the delivered records.

use chrono::{DateTime, Utc};
use redb::Error;

use crate::state::account::LedgerId;
use crate::state::delivered;

/// What is smaller than this counts iterations, what isn't is a moment: the year 2001 in seconds, and more iterations than
/// anybody makes.
const FIRST_ARRIVAL: u32 = 1_000_000_000;

/// Whether a record may have arrived since a date. Where it was delivered while its API's window still went by the dates of
/// records, its own date tells.
///
/// `of` is its own date in microseconds, and `iteration` what was remembered with it.
#[must_use]
pub fn had_arrived_since(of: i64, iteration: u32, date: DateTime<Utc>) -> bool {
    if is_arrival(iteration) { i64::from(iteration) >= date.timestamp() } else { of >= date.timestamp_micros() }
}

/// Whether what was remembered with a record is the second by which it had arrived, and no number of an iteration.
#[must_use]
pub fn is_arrival(iteration: u32) -> bool {
    iteration >= FIRST_ARRIVAL
}

/// Forgets the records before a date, and those without a date that came in no iteration since. Gives how many.
pub(super) fn forget(
    ledger: LedgerId,
    before: DateTime<Utc>,
    iteration: u32,
    delivered: &mut delivered::Table<'_>,
) -> Result<u64, Error> {
    let end = delivered::beginning_of(before.timestamp_micros());
    delivered::retain(ledger, end, delivered, |seen| !seen.is_dated() && seen.iteration >= iteration)
}

/// Forgets the records that had arrived before a date. Gives how many.
pub(super) fn forget_arrived(
    ledger: LedgerId,
    before: DateTime<Utc>,
    delivered: &mut delivered::Table<'_>,
) -> Result<u64, Error> {
    delivered::retain(ledger, delivered::LAST, delivered, |seen| {
        had_arrived_since(seen.place.0, seen.iteration, before)
    })
}

/// Of so many records, keeps the first and the last quarter by date. Gives how many are forgotten, and since which date
/// all are kept.
pub(super) fn forget_middle(
    ledger: LedgerId,
    count: u64,
    delivered: &mut delivered::Table<'_>,
) -> Result<(u64, i64), Error> {
    let (mut at, mut last) = (0, i64::MIN);
    let forgotten = delivered::retain(ledger, delivered::LAST, delivered, |seen| {
        at += 1;
        let is_kept = at <= count / 4 || at > count - count / 4;
        if !is_kept {
            last = seen.place.0;
        }
        is_kept
    })?;
    Ok((forgotten, last.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_is_forgotten_by_its_arrival_and_what_came_before_that_by_its_date() {
        let date = DateTime::from_timestamp(1_716_900_000, 0).expect("a date");
        let cases =
            [(1_716_900_001, 7, true), (1_716_899_999, 7, false), (5, 1_716_900_000, true), (5, 1_716_899_999, false)];
        for (of, iteration, expected) in cases {
            assert_eq!(had_arrived_since(of * 1_000_000, iteration, date), expected, "{of} {iteration}");
        }
    }
}
