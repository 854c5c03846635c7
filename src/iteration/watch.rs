//! Watches what the fetcher assumes of an API. Pure: from what an iteration saw to what is odd about it.

use chrono::{DateTime, Utc};

use crate::state::{Account, Oddity};
use crate::window::Direction;

/// How many iterations in a row must know no record of the edge again: one may be chance.
const STRANGE_EDGES_MIN: u32 = 2;

/// What one complete iteration saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    /// How many records were remembered when it began.
    pub(super) remembered: u64,
    /// Records up to the checkpoint that came again.
    pub(super) at_edge: u64,
    /// How many of them were known.
    pub(super) known_at_edge: u64,
    /// Records from before the start date that was sent.
    pub(super) before_start: u64,
    /// New records with a date in the future.
    pub(super) future: u64,
    /// Which way their dates went.
    pub(super) direction: Option<Direction>,
    /// How many pages there were.
    pub(super) pages: u64,
}

/// Notes what is odd in the account. Gives what is to be told.
pub(super) fn judge(account: &mut Account, observed: &Observed, now: DateTime<Utc>) -> Vec<Oddity> {
    let mut odd = Vec::new();
    if observed.known_at_edge > 0 {
        account.strange_edges = 0;
    } else if observed.remembered > 0 && observed.at_edge > 0 {
        account.strange_edges = account.strange_edges.saturating_add(1);
        if account.strange_edges >= STRANGE_EDGES_MIN {
            odd.push(Oddity::RecordsChange);
        }
    }
    if observed.future > 0 {
        odd.push(Oddity::FutureDates);
    }
    if observed.before_start > 0 {
        odd.push(Oddity::StartIgnored);
    }
    if let Some(direction) = observed.direction.filter(|_| observed.pages > 1) {
        let was = account.direction.replace(direction);
        if was == Some(Direction::NewestFirst) && direction != Direction::NewestFirst {
            odd.push(Oddity::OrderChanged);
        }
    }
    odd.retain(|oddity| account.notice(*oddity, now));
    odd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(observed: &[Observed], expected: &[Oddity]) {
        let mut account = Account::blank();
        let odd: Vec<_> =
            observed.iter().flat_map(|observed| judge(&mut account, observed, DateTime::default())).collect();
        assert_eq!(odd, expected);
    }

    #[test]
    fn records_that_change_are_told_of_after_two_edges() {
        let strange = Observed { remembered: 3, at_edge: 1, ..Observed::default() };
        let known = Observed { known_at_edge: 1, at_edge: 2, ..strange };
        check(&[strange], &[]);
        check(&[strange, strange, strange], &[Oddity::RecordsChange]);
        check(&[strange, known, strange], &[]);
        check(&[Observed { remembered: 0, ..strange }; 3], &[]);
        check(&[Observed { at_edge: 0, ..strange }; 3], &[]);
    }

    #[test]
    fn an_order_that_changes_is_told_of_where_there_are_pages() {
        let of = |direction, pages| Observed { direction: Some(direction), pages, ..Observed::default() };
        let (down, mixed) = (of(Direction::NewestFirst, 2), of(Direction::Mixed, 2));
        check(&[down, down, mixed], &[Oddity::OrderChanged]);
        check(&[mixed, down], &[]);
        check(&[of(Direction::NewestFirst, 1), of(Direction::Mixed, 1)], &[]);
        check(&[down, Observed::default(), down], &[]);
    }

    #[test]
    fn what_is_odd_is_told_once() {
        let odd = Observed { future: 1, before_start: 2, ..Observed::default() };
        check(&[odd, odd, odd], &[Oddity::FutureDates, Oddity::StartIgnored]);
    }
}
