//! Where counted pages end. Pure.
//!
//! There is always a next number to ask for, so the answers have to tell: behind the last page servers give nothing, or that
//! page again, or the first one. Where a list grows at its front while it is read, pages come again, too: what was on one page
//! is on a later one then, and behind it is what wasn't read yet.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use crate::record::{Fingerprint, FingerprintSet};

/// A record of a page: which one, and its date.
type CountedRecord = (Fingerprint, Option<DateTime<Utc>>);

/// So many counted pages in a row without a new record are behind the last page.
const COUNTED_WITHOUT_NEW: u32 = 3;
/// A list may have grown by so many pages between two requests, or by as many as were read of it: then as many pages hold
/// nothing new, and those behind them do.
const GROWN_PAGES_MAX: u32 = 20;
/// So many empty pages in a row are behind the last page, whatever else an answer says of its end: a rule for it may be wrong,
/// and the original fetcher asks for no more either.
pub(super) const EMPTY_BEFORE_STOP_MAX: u32 = 100;
/// The records of so many of the latest counted pages are kept, to know them again.
const COUNTED_PAGES_KEPT: usize = 4;

/// Where counted pages end: a server gives nothing behind its last page, or that page again, or its first one.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// The records of the first page and of the latest ones.
    pages: VecDeque<FingerprintSet>,
    /// How many pages were seen.
    seen: u32,
    /// Pages in a row without a new record.
    without_new: u32,
    /// How many of them look as they do where a list has grown.
    as_if_grown: u32,
    /// How many of them hold records of the first page, and nothing else that isn't later than the first request.
    first_again: u32,
}

impl Counted {
    /// Sees a page's records. Gives whether the last page is behind it.
    /// `has_fallen` tells whether dates went back in this chain: where they didn't, later records come at its end.
    pub(super) fn see(&mut self, records: &[CountedRecord], begun: Option<DateTime<Utc>>, has_fallen: bool) -> bool {
        let is_known = |(record, _): &CountedRecord| self.pages.iter().any(|page| page.contains(record));
        let is_later = |(_, date): &CountedRecord| begun.is_some_and(|begun| *date > Some(begun));
        let has_new = records.iter().any(|record| !is_known(record) && !is_later(record));
        if has_new {
            (self.without_new, self.as_if_grown, self.first_again) = (0, 0, 0);
        } else {
            self.without_new += 1;
            let is_of_first = |one: &CountedRecord| self.pages.front().is_some_and(|first| first.contains(&one.0));
            let is_before_again = self.pages.back().is_some_and(|before| {
                before.len() == records.len() && records.iter().all(|(record, _)| before.contains(record))
            });
            let is_all_later = !has_fallen && records.iter().all(is_later);
            let is_sure = records.is_empty() || is_before_again || is_all_later;
            self.as_if_grown += u32::from(!is_sure);
            let is_first_again =
                records.iter().any(is_of_first) && records.iter().all(|one| is_of_first(one) || is_later(one));
            self.first_again += u32::from(is_first_again);
        }
        self.seen = self.seen.saturating_add(1);
        if self.pages.len() > COUNTED_PAGES_KEPT {
            self.pages.remove(1);
        }
        self.pages.push_back(records.iter().map(|(record, _)| *record).collect());
        let may_have_grown = self.as_if_grown > 0 && self.first_again < COUNTED_WITHOUT_NEW;
        let read = self.seen.saturating_sub(self.without_new);
        let grown_max = if may_have_grown { read.max(GROWN_PAGES_MAX) } else { 0 };
        self.without_new >= COUNTED_WITHOUT_NEW.saturating_add(grown_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(ids: &[u32], second: i64) -> Vec<CountedRecord> {
        let date = DateTime::from_timestamp(second, 0);
        let seen = |id: &u32| (Fingerprint::of(&[&id.to_le_bytes()]), date);
        ids.iter().map(seen).collect()
    }

    #[track_caller]
    fn assert_ends(pages: &[&[u32]], expected: &[bool]) {
        let mut counted = Counted::default();
        let ended: Vec<bool> =
            pages.iter().map(|ids| counted.see(&page(ids, 50), DateTime::from_timestamp(100, 0), true)).collect();
        assert_eq!(ended, expected, "{pages:?}");
    }

    #[test]
    fn three_pages_in_a_row_without_a_new_record_are_the_end() {
        assert_ends(&[&[1, 2], &[3], &[], &[], &[]], &[false, false, false, false, true]);
        assert_ends(&[&[1, 2], &[3], &[3], &[3], &[3]], &[false, false, false, false, true]);
        assert_ends(&[&[1, 2], &[3], &[1, 2], &[1, 2], &[1, 2]], &[false, false, false, false, true]);
        assert_ends(&[&[1], &[], &[], &[2], &[], &[], &[]], &[false, false, false, false, false, false, true]);
    }

    #[test]
    fn what_is_new_since_the_first_request_is_left_to_the_next_iteration() {
        let mut counted = Counted::default();
        let begun = DateTime::from_timestamp(100, 0);
        assert!(!counted.see(&page(&[1], 50), begun, false));
        let ended: Vec<bool> = (2..5).map(|id| counted.see(&page(&[id], 101), begun, false)).collect();
        assert_eq!(ended, [false, false, true]);
    }

    /// Newest first, a page of two, and between two requests four pages more.
    #[test]
    fn a_list_that_grows_by_pages_while_it_is_read_is_read_to_its_end() {
        let begun = DateTime::from_timestamp(100, 0);
        for grows_behind in 1..6 {
            let mut list: Vec<(u32, i64)> = (0..20).map(|id| (id, 90 - i64::from(id))).collect();
            let (mut counted, mut read, mut pages) = (Counted::default(), FingerprintSet::default(), 0);
            loop {
                let records: Vec<CountedRecord> =
                    list.iter().skip(2 * pages).take(2).flat_map(|(id, second)| page(&[*id], *second)).collect();
                read.extend(records.iter().map(|(record, _)| *record));
                pages += 1;
                if counted.see(&records, begun, pages > 0) {
                    break;
                }
                if pages == grows_behind {
                    list.splice(0..0, (100..108).map(|id| (id, 101)));
                }
                assert!(pages < 60, "it never ends");
            }
            let unread = (0..20).filter(|id: &u32| !read.contains(&Fingerprint::of(&[&id.to_le_bytes()])));
            assert_eq!(unread.count(), 0, "grown behind page {grows_behind}, {pages} pages read");
        }
    }

    #[test]
    fn a_server_that_begins_again_and_one_whose_later_records_never_end_are_left() {
        let begun = DateTime::from_timestamp(100, 0);
        let mut counted = Counted::default();
        let around = (0..200_u32).position(|number| counted.see(&page(&[number % 4], 50), begun, true));
        assert!(around.is_some_and(|pages| pages < 40), "{around:?}");
        let mut counted = Counted::default();
        let live =
            (0..200_u32).position(|number| counted.see(&page(&[number], 50 + 60 * i64::from(number)), begun, true));
        assert!(live.is_some_and(|pages| pages < 40), "{live:?}");
    }
}
