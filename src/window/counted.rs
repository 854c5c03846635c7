//! Where counted pages end. Pure.
//!
//! There is always a next number to ask for, so the answers have to tell: behind the last page servers give nothing, or that
//! page again, or the first one. Where a list grows at its front while it is read, pages come again, too: what was on one page
//! is on a later one then, and behind it is what wasn't read yet.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use crate::record::{Fingerprint, FingerprintSet};

/// A record of a page: which one, and its date.
pub(super) type CountedRecord = (Fingerprint, Option<DateTime<Utc>>);

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

/// What a counted page says of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountedEnd {
    /// The last page isn't behind it.
    On,
    /// Either the last page is behind it, or the list has grown at its front by some pages: the first page tells which.
    InDoubt,
    /// The last page is behind it.
    Behind,
    /// The list grows as fast as it is read.
    Outgrown,
}

/// Where counted pages end: a server gives nothing behind its last page, or that page again, or its first one.
#[derive(Debug)]
pub(super) struct Counted {
    /// The records of the first page and of the latest ones.
    pages: VecDeque<FingerprintSet>,
    /// How many pages were seen.
    seen: u32,
    /// Pages in a row without a new record.
    without_new: u32,
    /// How many of the last of them look as no page does that a list has grown before.
    sure: u32,
    /// The first record of the page before, and its last one.
    ends: Option<(Fingerprint, Fingerprint)>,
    /// After how many pages without a new record the first page is to be asked for: seldom, where it was before.
    doubted_at: u32,
    /// Whether the first page said that the list has grown, or nothing, since there was a new record.
    is_grown: bool,
}

impl Default for Counted {
    fn default() -> Self {
        let (pages, doubted_at) = (VecDeque::default(), COUNTED_WITHOUT_NEW);
        Self { pages, seen: 0, without_new: 0, sure: 0, ends: None, doubted_at, is_grown: false }
    }
}

impl Counted {
    /// Sees a page's records.
    /// `has_fallen` tells whether dates went back in this chain: where they didn't, later records come at its end.
    pub(super) fn see(
        &mut self,
        records: &[CountedRecord],
        begun: Option<DateTime<Utc>>,
        has_fallen: bool,
    ) -> CountedEnd {
        let has_new = records.iter().any(|record| !self.is_known(record) && !is_later(record, begun));
        let is_before_again = self.is_page_before(records);
        if has_new {
            (self.without_new, self.sure, self.doubted_at, self.is_grown) = (0, 0, COUNTED_WITHOUT_NEW, false);
        } else {
            self.without_new += 1;
            let is_all_later = !has_fallen && records.iter().all(|record| is_later(record, begun));
            let is_sure = records.is_empty() || is_before_again || is_all_later;
            self.sure = if is_sure { self.sure + 1 } else { 0 };
        }
        self.seen = self.seen.saturating_add(1);
        if self.pages.len() > COUNTED_PAGES_KEPT {
            self.pages.remove(1);
        }
        self.pages.push_back(records.iter().map(|(record, _)| *record).collect());
        let read = self.seen.saturating_sub(self.without_new);
        let is_at_bound = self.without_new >= COUNTED_WITHOUT_NEW.saturating_add(read.max(GROWN_PAGES_MAX));
        match () {
            () if self.sure >= COUNTED_WITHOUT_NEW => CountedEnd::Behind,
            () if is_at_bound && self.is_grown => CountedEnd::Outgrown,
            () if is_at_bound => CountedEnd::Behind,
            () if self.without_new >= self.doubted_at => {
                self.doubted_at = self.without_new.saturating_mul(2);
                CountedEnd::InDoubt
            }
            () => CountedEnd::On,
        }
    }

    /// Whether a page is the one before again: it ends or begins with the same record, and holds the same for the most part.
    /// So does the last one, given for any number, of a list that grows at its front, or at its end. Another page does only
    /// where the list has grown by just a page.
    fn is_page_before(&mut self, records: &[CountedRecord]) -> bool {
        let ends = records.first().zip(records.last()).map(|(first, last)| (first.0, last.0));
        let before = std::mem::replace(&mut self.ends, ends);
        let has_same_end = before.zip(ends).is_some_and(|(before, ends)| before.0 == ends.0 || before.1 == ends.1);
        let is_known = |(record, _): &&CountedRecord| self.pages.back().is_some_and(|before| before.contains(record));
        has_same_end && 2 * records.iter().filter(is_known).count() > records.len()
    }

    /// Sees the records of the first page, asked for again while the end is in doubt; nothing where it couldn't be read.
    /// Gives whether the last page is behind those that were seen: the server gives its first page for any number. Where it
    /// shows no growth there may be some behind it all the same.
    pub(super) fn ends_by(&mut self, first: Option<&[CountedRecord]>, begun: Option<DateTime<Utc>>) -> bool {
        let is_of_last = |(record, _): &&CountedRecord| self.pages.back().is_some_and(|last| last.contains(record));
        let is_same = first.is_some_and(|first| 2 * first.iter().filter(is_of_last).count() > first.len());
        let is_new = |record: &CountedRecord| !self.is_known(record) || is_later(record, begun);
        self.is_grown |= !is_same && first.is_none_or(|first| first.iter().any(is_new));
        is_same
    }

    fn is_known(&self, (record, _): &CountedRecord) -> bool {
        self.pages.iter().any(|page| page.contains(record))
    }
}

/// Whether a record is later than the first request of the chain.
fn is_later((_, date): &CountedRecord, begun: Option<DateTime<Utc>>) -> bool {
    begun.is_some_and(|begun| *date > Some(begun))
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::CountedEnd::{Behind, InDoubt, On, Outgrown};
    use super::*;

    /// Records with these numbers, of a second each.
    fn page(records: &[(u32, i64)]) -> Vec<CountedRecord> {
        let seen =
            |(id, second): &(u32, i64)| (Fingerprint::of(&[&id.to_le_bytes()]), DateTime::from_timestamp(*second, 0));
        records.iter().map(seen).collect()
    }

    fn begun() -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(100, 0)
    }

    #[track_caller]
    fn assert_ends(pages: &[&[u32]], expected: &[CountedEnd]) {
        let mut counted = Counted::default();
        let dated = |ids: &[u32]| ids.iter().map(|id| (*id, 50)).collect::<Vec<_>>();
        let ended: Vec<CountedEnd> = pages.iter().map(|ids| counted.see(&page(&dated(ids)), begun(), true)).collect();
        assert_eq!(ended, expected, "{pages:?}");
    }

    #[test]
    fn three_pages_in_a_row_without_a_new_record_are_the_end() {
        assert_ends(&[&[1, 2], &[3], &[], &[], &[]], &[On, On, On, On, Behind]);
        assert_ends(&[&[1, 2], &[3], &[3], &[3], &[3]], &[On, On, On, On, Behind]);
        assert_ends(&[&[1], &[], &[], &[2], &[], &[], &[]], &[On, On, On, On, On, On, Behind]);
        // Whether the list has grown only the first page knows; if it can't be asked, three that are sure are.
        assert_ends(&[&[1, 2], &[3], &[1, 2], &[1, 2], &[1, 2]], &[On, On, On, On, InDoubt]);
        assert_ends(&[&[1, 2], &[3], &[1, 2], &[1, 2], &[1, 2], &[1, 2]], &[On, On, On, On, InDoubt, Behind]);
    }

    #[test]
    fn what_is_new_since_the_first_request_is_left_to_the_next_iteration() {
        let mut counted = Counted::default();
        assert_eq!(counted.see(&page(&[(1, 50)]), begun(), false), On);
        let ended: Vec<CountedEnd> = (2..5).map(|id| counted.see(&page(&[(id, 101)]), begun(), false)).collect();
        assert_eq!(ended, [On, On, Behind]);
    }

    /// How a server answers a number behind its last page.
    #[derive(Clone, Copy, Debug)]
    enum BehindLast {
        Nothing,
        LastAgain,
        FirstAgain,
        /// It begins again.
        Around,
    }

    /// A list of twenty that are there, the newest first, and of those that surface while it is read.
    struct GrowingList {
        records: Vec<(u32, i64)>,
        size: usize,
        behind_last: BehindLast,
        /// Behind how many records it grows.
        grows_behind: usize,
    }

    impl GrowingList {
        fn new(size: usize, behind_last: BehindLast) -> Self {
            Self { records: page_of(20), size, behind_last, grows_behind: 0 }
        }

        fn grow(&mut self, by: usize, second: i64) {
            let first = 20 + self.records.len() as u32;
            let news: Vec<(u32, i64)> = (0..by as u32).rev().map(|id| (first + id, second)).collect();
            let at = self.grows_behind.min(self.records.len());
            self.records.splice(at..at, news);
        }

        fn page(&self, number: usize) -> Vec<CountedRecord> {
            let count = self.records.len().div_ceil(self.size);
            let number = match self.behind_last {
                BehindLast::LastAgain => number.min(count - 1),
                BehindLast::FirstAgain if number >= count => 0,
                BehindLast::Around => number % count,
                _ => number,
            };
            page(&self.records.iter().copied().skip(self.size * number).take(self.size).collect::<Vec<_>>())
        }

        /// Reads it, from a page on; it grows by so many before each request. Gives how that ended, the pages that were
        /// asked for, how often the first one was asked for again, and how many of the twenty weren't read.
        fn read(mut self, from: usize, mut grows_by: impl FnMut(usize) -> usize) -> (CountedEnd, usize, usize, usize) {
            let (mut counted, mut read) = (Counted::default(), FingerprintSet::default());
            let (mut pages, mut again) = (0, 0);
            let old = page(&self.records);
            let end = loop {
                self.grow(grows_by(pages), 101 + pages as i64);
                let records = self.page(from + pages);
                pages += 1;
                read.extend(records.iter().map(|(record, _)| *record));
                match counted.see(&records, begun(), true) {
                    On => {}
                    InDoubt => {
                        again += 1;
                        self.grow(grows_by(pages), 101 + pages as i64);
                        if counted.ends_by(Some(&self.page(0)), begun()) {
                            break Behind;
                        }
                    }
                    end => break end,
                }
                assert!(pages < 200, "it never ends");
            };
            let unread = old.iter().skip(self.size * from).filter(|(record, _)| !read.contains(record)).count();
            (end, pages, again, unread)
        }
    }

    #[test]
    fn a_list_that_grows_while_it_is_read_is_read_to_its_end() {
        let random = &mut Rng::with_seed(7);
        for round in 0..20_000 {
            let behind_last = random.choice([BehindLast::Nothing, BehindLast::LastAgain, BehindLast::FirstAgain]);
            let (size, behind_last) = (random.usize(2..8), behind_last.expect("one of three"));
            // By less than a page a request, with a burst now and then; for some time. (By just a page three times in a row
            // it doesn't: then the same page comes each time, as behind the last one of some servers.)
            let (below, burst, calm_after) = (size, size + random.usize(1..60), random.usize(..40));
            let from = random.usize(..3);
            let grows = |request| match random.u32(..10) {
                _ if request == 0 || request > calm_after => 0,
                0 => burst,
                _ => random.usize(..below),
            };
            let (end, pages, _, unread) = GrowingList::new(size, behind_last).read(from, grows);
            assert!(
                unread == 0 || end == Outgrown,
                "round {round}: {unread} unread behind {pages} pages of {size}, {behind_last:?}, bursts of {burst}"
            );
        }
    }

    #[test]
    fn a_list_that_grows_faster_than_it_is_read_is_never_called_complete() {
        for growth in [3, 5, 9, 40] {
            let grows = |request| if request == 0 { 0 } else { growth };
            let (end, pages, ..) = GrowingList::new(2, BehindLast::Nothing).read(0, grows);
            assert_eq!(end, Outgrown, "by {growth}, {pages} pages");
        }
    }

    #[test]
    fn a_server_that_gives_its_first_page_for_any_number_is_left_soon() {
        for growth in 0..3 {
            let first_page_alone = GrowingList { records: page_of(5), ..GrowingList::new(5, BehindLast::FirstAgain) };
            let (end, pages, again, _) = first_page_alone.read(0, |request| usize::from(request > 0) * growth);
            // What has grown beyond its first page is on a second one.
            assert!(end == Behind && pages <= 8 && again <= 1, "by {growth}: {end:?}, {pages} pages, {again}");
        }
    }

    fn page_of(count: u32) -> Vec<(u32, i64)> {
        (0..count).map(|id| (id, 90 - i64::from(id))).collect()
    }

    /// What surfaces late, or a first page out of a cache.
    #[test]
    fn a_list_that_grows_behind_its_first_page_is_read_to_its_end() {
        for pages_read in 2..6 {
            let list =
                GrowingList { records: page_of(60), grows_behind: 5, ..GrowingList::new(5, BehindLast::Nothing) };
            let (end, pages, _, unread) = list.read(0, |request| if request == pages_read { 20 } else { 0 });
            assert_eq!((end, unread), (Behind, 0), "grown behind {pages_read} pages, {pages} pages read");
        }
    }

    #[test]
    fn a_server_that_gives_its_last_page_for_any_number_of_a_list_that_grows_is_left_soon() {
        for (count, size, growth) in [(8, 5, 1), (8, 5, 2), (7, 5, 2), (20, 6, 2), (20, 10, 4), (3, 10, 1)] {
            // At its front, or at its end.
            for (grows_behind, pages_max) in [(0, 20), (usize::MAX, 30)] {
                let list = GrowingList {
                    records: page_of(count),
                    grows_behind,
                    ..GrowingList::new(size, BehindLast::LastAgain)
                };
                let (end, pages, _, unread) = list.read(0, |request| if request == 0 { 0 } else { growth });
                let what = format!("{count} by {size}, {growth} more each time behind {grows_behind}, {pages} pages");
                assert_eq!((end, unread), (Behind, 0), "{what}");
                assert!(pages <= pages_max, "{what}");
            }
        }
    }

    #[test]
    fn a_server_that_begins_again_and_one_whose_later_records_never_end_are_left() {
        let (end, pages, again, unread) = GrowingList::new(5, BehindLast::Around).read(0, |_| 0);
        assert!(end == Behind && pages <= 30 && again <= 4 && unread == 0, "{end:?}, {pages} pages, {again}");
        let mut counted = Counted::default();
        let live = |number| counted.see(&page(&[(number, 50 + 60 * i64::from(number))]), begun(), true);
        let ended = (0..200).map(live).position(|end| end == Behind);
        assert!(ended.is_some_and(|pages| pages < 40), "{ended:?}");
    }

    #[test]
    fn where_the_first_page_cannot_be_read_nothing_is_called_complete() {
        let mut counted = Counted::default();
        let mut ends = Vec::new();
        for id in 0..60 {
            // Of a page a request, each with a known record and a later one.
            let end = counted.see(&page(&[(0, 50), (100 + id, 101)]), begun(), true);
            ends.push(end);
            if end == InDoubt {
                assert!(!counted.ends_by(None, begun()));
            }
            if matches!(end, Behind | Outgrown) {
                break;
            }
        }
        assert_eq!(ends.last(), Some(&Outgrown), "{ends:?}");
    }
}
