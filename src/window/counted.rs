//! Where counted pages end. Pure.
//!
//! There is always a next number to ask for, so the answers have to tell: behind the last page servers give nothing, or that
//! page again, or the first one.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use crate::record::{Fingerprint, FingerprintSet};

/// A record of a page: which one, and its date.
type CountedRecord = (Fingerprint, Option<DateTime<Utc>>);

/// So many counted pages in a row without a new record are behind the last page.
const COUNTED_WITHOUT_NEW: u32 = 3;
/// The records of so many of the latest counted pages are kept, to know them again.
const COUNTED_PAGES_KEPT: usize = 4;

/// Where counted pages end: a server gives nothing behind its last page, or that page again, or its first one.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// The records of the first page and of the latest ones.
    pages: VecDeque<FingerprintSet>,
    /// Pages in a row without a new record.
    without_new: u32,
}

impl Counted {
    /// Sees a page's records. Gives whether the last page is behind it.
    pub(super) fn see(&mut self, records: &[CountedRecord], begun: Option<DateTime<Utc>>) -> bool {
        let is_known = |(record, _): &CountedRecord| self.pages.iter().any(|page| page.contains(record));
        let is_later = |(_, date): &CountedRecord| begun.is_some_and(|begun| *date > Some(begun));
        let has_new = records.iter().any(|record| !is_known(record) && !is_later(record));
        self.without_new = if has_new { 0 } else { self.without_new + 1 };
        if self.pages.len() > COUNTED_PAGES_KEPT {
            self.pages.remove(1);
        }
        self.pages.push_back(records.iter().map(|(record, _)| *record).collect());
        self.without_new >= COUNTED_WITHOUT_NEW
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
            pages.iter().map(|ids| counted.see(&page(ids, 50), DateTime::from_timestamp(100, 0))).collect();
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
        assert!(!counted.see(&page(&[1], 50), begun));
        let ended: Vec<bool> = (2..5).map(|id| counted.see(&page(&[id], 101), begun)).collect();
        assert_eq!(ended, [false, false, true]);
    }
}
