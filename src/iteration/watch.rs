//! Watches what the fetcher assumes of an API. Pure: from what an iteration saw to what is not right about it.

use chrono::{DateTime, Utc};

use crate::state::{Anomaly, ApiState};
use crate::window::Direction;

/// How many iterations in a row must know no record of the edge again: one may be chance.
pub(super) const STRANGE_EDGES_MIN: u32 = 2;

/// So many iterations in a row must show what is ordinary once: a page that is full by chance, a list that is left out.
const REPEATED_MIN: u32 = 3;
/// A page with fewer records is hardly full.
const FULL_PAGE_MIN: u64 = 10;

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
    /// How many of them held nothing but what lies before the checkpoint.
    pub(super) back: u64,
    /// Records of the last page.
    pub(super) records: u64,
    /// How many records were new.
    pub(super) new: u64,
    /// Whether the last page shows that more follows, beside the configured link.
    pub(super) shows_more: bool,
    /// Whether a link was followed.
    pub(super) has_followed: bool,
    /// Whether a page lacked the list of records, and its path isn't marked as optional.
    pub(super) has_left_out: bool,
    /// Whether a page told of an error beside its records.
    pub(super) has_told_error: bool,
    /// How many records were known.
    pub(super) known: u64,
    /// Whether known records of a list that is read again and again are left out.
    pub(super) skips_known: bool,
    /// Whether answers with records lacked what the next iteration goes on with.
    pub(super) lacks_position: bool,
    /// Whether the largest number of an answer stood in its middle.
    pub(super) has_mixed_numbers: bool,
    /// Whether the API refused what the iteration was to go on with.
    pub(super) has_lost_position: bool,
    /// Whether a page gave a cursor that holds a secret of the config.
    pub(super) has_secret_cursor: bool,
}

/// Notes what is odd in the account. Gives what is to be told.
pub(super) fn judge(account: &mut ApiState, observed: &Observed, now: DateTime<Utc>) -> Vec<Anomaly> {
    let mut odd = Vec::new();
    if observed.known_at_edge > 0 {
        account.unstable_edges = 0;
    } else if observed.remembered > 0 && observed.at_edge > 0 {
        account.unstable_edges = account.unstable_edges.saturating_add(1);
        if account.unstable_edges >= STRANGE_EDGES_MIN {
            odd.push(Anomaly::RecordsChange);
        }
    }
    if observed.future > 0 {
        odd.push(Anomaly::FutureDates);
    }
    if observed.before_start > 0 {
        odd.push(Anomaly::StartIgnored);
    }
    if observed.shows_more {
        odd.push(Anomaly::MoreUnread);
    }
    if observed.skips_known && account.readings.has_moved_on(observed.known, observed.new) {
        odd.push(Anomaly::ListMovedOn);
    }
    odd.extend(observed.lacks_position.then_some(Anomaly::PositionMissing));
    odd.extend(observed.has_mixed_numbers.then_some(Anomaly::NumbersMixed));
    // A list that is read again and again may well stay the same.
    let may_stand_still = !observed.skips_known && observed.new == 0 && !observed.has_followed;
    let stands_still = may_stand_still && is_full(account, observed);
    account.standing_still = if stands_still { account.standing_still.saturating_add(1) } else { 0 };
    account.page_records_max = account.page_records_max.max(observed.records);
    account.lists_left_out = if observed.has_left_out { account.lists_left_out.saturating_add(1) } else { 0 };
    account.told_errors = if observed.has_told_error { account.told_errors.saturating_add(1) } else { 0 };
    odd.extend((account.standing_still >= REPEATED_MIN).then_some(Anomaly::StandsStill));
    odd.extend((account.lists_left_out >= REPEATED_MIN).then_some(Anomaly::ListLeftOut));
    odd.extend(observed.has_told_error.then_some(Anomaly::ErrorsBeside));
    if let Some(direction) = observed.direction.filter(|_| observed.pages > 1) {
        let was = account.direction.replace(direction);
        if was == Some(Direction::NewestFirst) && direction != Direction::NewestFirst {
            odd.push(Anomaly::OrderChanged);
        }
    }
    // What may hide records is over when it isn't seen any more.
    account.anomalies.retain(|known, _| !known.hides_records() || odd.contains(known));
    odd.retain(|anomaly| account.record_anomaly(*anomaly, now));
    odd
}

/// Whether a page has as many records as APIs give at most: as many as any before, and a number that people choose.
fn is_full(account: &ApiState, observed: &Observed) -> bool {
    let records = observed.records;
    let is_chosen = records.is_multiple_of(10) || records.is_multiple_of(25) || records.is_power_of_two();
    records >= FULL_PAGE_MIN && is_chosen && records >= account.page_records_max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(observed: &[Observed], expected: &[Anomaly]) {
        let mut account = ApiState::blank();
        let odd: Vec<_> =
            observed.iter().flat_map(|observed| judge(&mut account, observed, DateTime::default())).collect();
        assert_eq!(odd, expected);
    }

    #[test]
    fn records_that_change_are_told_of_after_two_edges() {
        let strange = Observed { remembered: 3, at_edge: 1, ..Observed::default() };
        let known = Observed { known_at_edge: 1, at_edge: 2, ..strange };
        check(&[strange], &[]);
        check(&[strange, strange, strange], &[Anomaly::RecordsChange]);
        check(&[strange, known, strange], &[]);
        check(&[Observed { remembered: 0, ..strange }; 3], &[]);
        check(&[Observed { at_edge: 0, ..strange }; 3], &[]);
    }

    #[test]
    fn an_order_that_changes_is_told_of_where_there_are_pages() {
        let of = |direction, pages| Observed { direction: Some(direction), pages, ..Observed::default() };
        let (down, mixed) = (of(Direction::NewestFirst, 2), of(Direction::Mixed, 2));
        check(&[down, down, mixed], &[Anomaly::OrderChanged]);
        check(&[mixed, down], &[]);
        check(&[of(Direction::NewestFirst, 1), of(Direction::Mixed, 1)], &[]);
        check(&[down, Observed::default(), down], &[]);
    }

    #[test]
    fn a_full_page_of_known_records_without_a_way_on_is_told_of_when_it_comes_again() {
        let full = Observed { records: 100, ..Observed::default() };
        check(&[full, full, full], &[Anomaly::StandsStill]);
        check(&[full, full, Observed { new: 1, ..full }, full, full], &[]);
        check(&[Observed { records: 3, ..full }; 5], &[]);
        check(&[Observed { records: 37, ..full }; 5], &[]);
        check(&[Observed { has_followed: true, ..full }; 5], &[]);
        check(&[Observed { records: 200, new: 9, ..full }, full, full, full], &[]);
    }

    #[test]
    fn what_may_hide_records_is_told_and_over_when_it_is_gone() {
        let more = Observed { shows_more: true, ..Observed::default() };
        check(&[more, more], &[Anomaly::MoreUnread]);
        check(&[more, Observed::default(), more], &[Anomaly::MoreUnread, Anomaly::MoreUnread]);
        let left_out = Observed { has_left_out: true, ..Observed::default() };
        check(&[left_out, left_out], &[]);
        check(&[left_out; 3], &[Anomaly::ListLeftOut]);
        check(&[Observed { has_told_error: true, ..Observed::default() }], &[Anomaly::ErrorsBeside]);
    }

    #[test]
    fn a_list_that_is_read_again_and_again_may_stay_the_same_but_not_be_another_one() {
        let list = |known, new| Observed { records: 100, skips_known: true, known, new, ..Observed::default() };
        check(&[list(100, 0); 5], &[]);
        let mut account = ApiState::blank();
        account.readings.add(DateTime::default(), 100);
        assert_eq!(judge(&mut account, &list(0, 100), DateTime::default()), [Anomaly::ListMovedOn]);
    }

    #[test]
    fn what_is_odd_is_told_once() {
        let odd = Observed { future: 1, before_start: 2, ..Observed::default() };
        check(&[odd, odd, odd], &[Anomaly::FutureDates, Anomaly::StartIgnored]);
    }
}
