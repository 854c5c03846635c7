//! What the pages of one iteration say: their order, where they end, and how far the checkpoint may move. Pure.
//!
//! Enters: of each page its request, its records and the request that it names next. Leaves: whether to ask on, and at the
//! end the checkpoint. What always holds: order is never assumed; a source whose clock is ahead moves the checkpoint past
//! nobody else's events; what ends the pages is the answer, never a repeated link by itself.

use chrono::{DateTime, TimeDelta, Utc};

use super::counted::{Counted, CountedEnd, CountedRecord, EMPTY_BEFORE_STOP_MAX};
use super::course::Course;
use super::moment::Moment;
use super::order::{ChainOrder, Direction};
use super::sight::{SeenRecord, Sight};
use crate::record::{Fingerprint, FingerprintMap, FingerprintSet};

/// The most pages that one iteration reads: far more than a day of any API. Beyond it the next iteration goes on.
pub const PAGES_MAX: u64 = 100_000;
/// The most empty pages in a row that are followed.
pub const EMPTY_PAGES_MAX: u32 = 1_000;
/// How many pages below the window reading goes on where the API is known to sort newest first.
const PAGES_BELOW_MIN: u32 = 2;
/// For so long an order that was kept by a whole chain is believed; then a whole chain is read again.
const ORDER_BELIEVED: TimeDelta = TimeDelta::days(1);
/// Between the pages that make a circle: an answer that only comes twice in a row may be the last one.
const CIRCLE_PAGES_MIN: u64 = 2;

/// What follows a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainStep {
    /// The next page.
    On {
        /// Whether the same was asked for before: the server keeps the position, so a lost answer can't be asked for
        /// again.
        is_repeated: bool,
    },
    /// It was the last one.
    Done,
    /// Nothing, for now: there are more pages than an iteration reads.
    Pause,
    /// The pages go in a circle.
    Circle,
    /// Nothing, for now: a counted list grows at its front as fast as it is read.
    Outgrown,
}

/// The pages of one iteration.
#[derive(Debug)]
pub struct Chain {
    course: Course,
    /// How far before the checkpoint the next window begins.
    overlap: TimeDelta,
    /// Whether an order that the API kept before may end the pages.
    is_sorted: bool,
    asked: FingerprintSet,
    /// By request and records, on which page an answer came.
    answers: FingerprintMap<u64>,
    before: Option<Fingerprint>,
    /// The records of the page before: where a list grows, the next page begins with them.
    records_before: FingerprintSet,
    pages: u64,
    empty: u32,
    /// Whether the first page is the last one of an iteration before, asked for again.
    is_again: bool,
    /// Pages in a row that lie below the window.
    below: u32,
    has_been_below: bool,
    /// What tells where counted pages end.
    counted: Counted,
    /// Whether the first page is to be asked for again before the next one.
    is_end_in_doubt: bool,
    /// When the last page was asked for.
    asked_at: Option<Moment>,
    /// Whether the dates of records say nothing about when they arrived: then none of them ends the pages.
    is_by_arrival: bool,
}

impl Chain {
    /// From its beginning. `sorted` is when a whole chain came newest first last.
    #[must_use]
    pub fn new(sorted: Option<DateTime<Utc>>, overlap: TimeDelta, now: DateTime<Utc>) -> Self {
        let is_recent = |at: DateTime<Utc>| at <= now && now.signed_duration_since(at) < ORDER_BELIEVED;
        Self {
            course: Course::default(),
            overlap,
            is_sorted: sorted.is_some_and(is_recent),
            asked: FingerprintSet::default(),
            answers: FingerprintMap::default(),
            before: None,
            records_before: FingerprintSet::default(),
            pages: 0,
            empty: 0,
            is_again: false,
            below: 0,
            has_been_below: false,
            counted: Counted::default(),
            is_end_in_doubt: false,
            asked_at: None,
            is_by_arrival: false,
        }
    }

    /// The same of an API that filters by arrival, where `is_by_arrival`.
    #[must_use]
    pub fn by_arrival(self, is_by_arrival: bool) -> Self {
        Self { is_by_arrival, ..self }
    }

    /// From where it was cut; `is_again` tells whether the first page that comes was seen before.
    #[must_use]
    pub fn resumed(mut self, course: Course, is_again: bool) -> Self {
        (self.course, self.is_again) = (course, is_again);
        self
    }

    /// What it has shown.
    #[must_use]
    pub fn course(&self) -> Course {
        self.course
    }

    /// Takes over what another chain of the same iteration has shown, one of a partition. Nobody knows their common order, so
    /// the checkpoint moves no further than the first request of all.
    pub fn absorb(&mut self, other: &Course) {
        self.course.newest = self.course.newest.max(other.newest);
        self.course.begun = [self.course.begun, other.begun].into_iter().flatten().min();
        self.course.order = ChainOrder::mixed();
    }

    /// Pages that were read in this iteration.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Whether an order that the API kept in a whole chain may end its pages from now on: it came newest first and went
    /// on below the window. Nothing where this chain doesn't tell, as it ended early itself.
    #[must_use]
    pub fn is_newest_first(&self) -> Option<bool> {
        match self.course.direction() {
            Some(Direction::NewestFirst) if self.has_ended_early() => None,
            Some(Direction::NewestFirst) => Some(self.has_been_below),
            Some(_) => Some(false),
            None => None,
        }
    }

    fn has_ended_early(&self) -> bool {
        self.is_sorted && self.below >= PAGES_BELOW_MIN
    }

    /// Whether these are the records of the page that was seen last.
    #[must_use]
    pub fn is_last_page(&self, records: &[Fingerprint]) -> bool {
        let records: FingerprintSet = records.iter().copied().collect();
        records == self.records_before
    }

    /// Sees the next page, and tells what follows it.
    pub fn see(&mut self, page: &Sight<'_>) -> ChainStep {
        self.pages += 1;
        self.course.pages += u64::from(!self.is_again);
        self.course.begun.get_or_insert(page.moment.earlier);
        self.course.rising_before_last = self.course.rising;
        self.see_dates(page);
        self.asked.insert(page.request);
        let parts: Vec<&[u8]> = page.records.iter().map(|seen| seen.fingerprint.bytes().as_slice()).collect();
        let records = Fingerprint::of(&parts);
        let is_empty = page.records.is_empty();
        let is_equal = self.before.replace(records) == Some(records);
        self.empty = if is_empty { self.empty + 1 } else { 0 };
        let Some(next) = page.next else { return ChainStep::Done };
        let end = self.counted_end(page);
        (self.is_end_in_doubt, self.asked_at) = (end == CountedEnd::InDoubt, Some(page.moment));
        if end == CountedEnd::Behind {
            return ChainStep::Done;
        }
        let is_repeated = self.asked.contains(&next);
        if is_repeated && (is_empty || is_equal) {
            return ChainStep::Done;
        }
        // A number that comes again is the server's way to say that there is no higher one.
        if !is_empty && self.is_circle(page.request, records) {
            return if page.is_counted { ChainStep::Done } else { ChainStep::Circle };
        }
        if self.has_passed_its_beginning(page.records) || self.has_ended_early() {
            return ChainStep::Done;
        }
        if self.pages >= page.pages_max.unwrap_or(PAGES_MAX) || self.empty >= EMPTY_PAGES_MAX {
            return ChainStep::Pause;
        }
        if end == CountedEnd::Outgrown { ChainStep::Outgrown } else { ChainStep::On { is_repeated } }
    }

    /// What a page says of the end where pages are counted.
    fn counted_end(&mut self, page: &Sight<'_>) -> CountedEnd {
        if !page.is_counted {
            return CountedEnd::On;
        }
        if page.records.is_empty() && page.has_stop_rule {
            return if self.empty >= EMPTY_BEFORE_STOP_MAX { CountedEnd::Behind } else { CountedEnd::On };
        }
        let begun = self.begun_by_date();
        self.counted.see(&for_counted(page.records), begun, self.course.order.has_fallen())
    }

    /// When its first request was made, where dates of records can be later than that.
    fn begun_by_date(&self) -> Option<DateTime<Utc>> {
        self.course.begun.filter(|_| !self.is_by_arrival)
    }

    /// Whether only the first page, asked for again, tells whether the pages end here: see [`Self::ends_by`].
    #[must_use]
    pub fn is_end_in_doubt(&self) -> bool {
        self.is_end_in_doubt
    }

    /// Whether the pages end here by what the first page holds now, and when that was asked for; nothing where it couldn't be
    /// read. An answer that another output got before says nothing.
    pub fn ends_by(&mut self, first: Option<(&[SeenRecord], Moment)>) -> bool {
        self.is_end_in_doubt = false;
        // Servers behind one name have clocks of their own.
        let is_fresh = |at: &Moment| self.asked_at.is_none_or(|asked_at| at.later >= asked_at.earlier);
        let first = first.filter(|(_, at)| is_fresh(at)).map(|(records, _)| for_counted(records));
        let begun = self.begun_by_date();
        self.counted.ends_by(first.as_deref(), begun)
    }

    fn see_dates(&mut self, page: &Sight<'_>) {
        self.course.order.begin_page(std::mem::take(&mut self.is_again));
        for seen in page.records {
            let Some(date) = seen.date else { continue };
            if !self.records_before.contains(&seen.fingerprint) {
                self.course.order.see(date);
            }
            if !seen.is_below && !super::is_future(date, page.moment.later) {
                self.course.see_date(date, page.moment, self.overlap);
            }
        }
        self.records_before = page.records.iter().map(|seen| seen.fingerprint).collect();
        let mut dated = page.records.iter().filter(|seen| seen.date.is_some()).peekable();
        if dated.peek().is_some() {
            let is_below = dated.all(|seen| seen.is_below) && self.course.direction() == Some(Direction::NewestFirst);
            self.below = if is_below { self.below + 1 } else { 0 };
            self.has_been_below |= self.below >= PAGES_BELOW_MIN;
        }
    }

    /// The same answer to the same request, two pages or more apart.
    fn is_circle(&mut self, request: Fingerprint, records: Fingerprint) -> bool {
        let answer = Fingerprint::of(&[request.bytes(), records.bytes()]);
        let before = self.answers.insert(answer, self.pages);
        before.is_some_and(|before| self.pages - before >= CIRCLE_PAGES_MIN)
    }

    /// Whether a chain that came oldest first has nothing left but what is later than its first request.
    fn has_passed_its_beginning(&self, records: &[SeenRecord]) -> bool {
        let is_later = |seen: &SeenRecord| self.course.begun.is_some_and(|begun| seen.date > Some(begun));
        let is_oldest_first = self.course.direction() == Some(Direction::OldestFirst) && self.course.has_past;
        is_oldest_first && !self.is_by_arrival && !records.is_empty() && records.iter().all(is_later)
    }
}

/// What counting looks at of the records of a page.
fn for_counted(records: &[SeenRecord]) -> Vec<CountedRecord> {
    records.iter().map(|seen| (seen.fingerprint, seen.date)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_716_900_000 + second, 0).expect("a date")
    }

    fn print(text: &str) -> Fingerprint {
        Fingerprint::of(&[text.as_bytes()])
    }

    fn moment(second: i64) -> Moment {
        Moment::new(at(second), None)
    }

    /// A chain whose window begins at second 0, and the pages that it has seen.
    struct Played(Chain, usize);

    impl Played {
        fn with_overlap(seconds: i64) -> Self {
            Self(Chain::new(None, TimeDelta::seconds(seconds), at(0)), 0)
        }

        fn new() -> Self {
            Self::with_overlap(0)
        }

        fn sorted() -> Self {
            Self(Chain::new(Some(at(-3_600)), TimeDelta::zero(), at(0)), 0)
        }

        /// The next page, asked for at a second: its dates, and what it names next.
        fn page(&mut self, asked_at: i64, dates: &[i64], next: Option<&str>) -> ChainStep {
            self.1 += 1;
            let request = format!("page {}", self.1);
            let ids: Vec<String> = (0..dates.len()).map(|at| format!("{} {at}", self.1)).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            self.records(&request, asked_at, &ids, dates, next)
        }

        fn records(
            &mut self,
            request: &str,
            second: i64,
            ids: &[&str],
            dates: &[i64],
            next: Option<&str>,
        ) -> ChainStep {
            let seen = |(id, date): (&&str, &i64)| SeenRecord {
                fingerprint: print(id),
                date: Some(at(*date)),
                is_below: *date < 0,
            };
            let records: Vec<SeenRecord> = ids.iter().zip(dates).map(seen).collect();
            let (request, next) = (print(request), next.map(print));
            self.0.see(&Sight {
                request,
                moment: moment(second),
                records: &records,
                next,
                is_counted: false,
                has_stop_rule: false,
                pages_max: None,
            })
        }

        fn checkpoint(&self) -> Option<i64> {
            self.0.course().checkpoint().map(|date| (date - at(0)).num_seconds())
        }
    }

    const ON: ChainStep = ChainStep::On { is_repeated: false };

    #[test]
    fn the_checkpoint_is_the_newest_date_but_never_later_than_the_first_request() {
        let mut played = Played::new();
        played.page(100, &[340, 95, 90], Some("2"));
        played.page(105, &[80, 104], None);
        assert_eq!(played.checkpoint(), Some(100), "a source whose clock is ahead pushes nobody out of the window");
        let mut played = Played::new();
        played.page(100, &[90, 80], None);
        assert_eq!(played.checkpoint(), Some(90));
        let mut played = Played::new();
        played.page(100, &[90, 900], None);
        assert_eq!(played.checkpoint(), Some(90), "too far ahead counts nothing");
    }

    #[test]
    fn a_chain_that_came_oldest_first_moves_as_far_as_the_request_of_each_record() {
        let mut played = Played::new();
        played.page(100, &[10, 20], Some("2"));
        played.page(200, &[99, 150], Some("3"));
        played.page(300, &[250], None);
        assert_eq!(played.checkpoint(), Some(250));
        let mut played = Played::new();
        played.page(100, &[10, 220], Some("2"));
        played.page(300, &[230, 290], None);
        assert_eq!(played.checkpoint(), Some(100), "never later than the first that brought one dated after itself");
    }

    #[test]
    fn what_surfaces_late_behind_a_page_that_was_read_stays_within_the_overlap() {
        // A late record dated 98 surfaces at 101: the page that would hold it was read at 100.
        let mut played = Played::with_overlap(8);
        played.page(60, &[10, 20], Some("2"));
        played.page(100, &[30, 99], Some("3"));
        played.page(115, &[100, 114], None);
        assert_eq!(played.checkpoint(), Some(100), "the next window begins at 92");
        let mut played = Played::with_overlap(8);
        played.page(100, &[10, 20], Some("2"));
        played.page(200, &[30, 150], Some("3"));
        assert_eq!(played.0.course().rising_before_last, Some(at(20)));
        played.page(300, &[160, 299], None);
        assert_eq!(played.checkpoint(), Some(299), "what lies further back is no late event");
    }

    #[test]
    fn a_source_whose_clock_is_ahead_moves_no_checkpoint_of_a_chain_that_is_cut() {
        let mut played = Played::new();
        played.page(100, &[10, 320], Some("2"));
        played.page(101, &[330], Some("3"));
        assert_eq!(played.0.course().rising_before_last, Some(at(100)));
    }

    #[test]
    fn the_earlier_of_both_clocks_counts() {
        let behind = Moment::new(at(100), Some(at(40)));
        let ahead = Moment::new(at(100), Some(at(700)));
        assert_eq!((behind.earlier, behind.later, ahead.earlier, ahead.later), (at(40), at(100), at(100), at(700)));
    }

    #[test]
    fn what_comes_oldest_first_ends_where_only_later_records_are_left() {
        let mut played = Played::new();
        assert_eq!(played.page(100, &[10, 20], Some("2")), ON);
        assert_eq!(played.page(101, &[99, 101], Some("3")), ON);
        assert_eq!(played.page(102, &[101, 102], Some("4")), ChainStep::Done);
        let mut played = Played::new();
        assert_eq!(played.page(100, &[160], Some("2")), ON, "one record alone is no order");
        assert_eq!(played.page(101, &[150], Some("3")), ON);
        let mut played = Played::new();
        played.page(100, &[160], Some("2"));
        assert_eq!(played.page(101, &[170], Some("3")), ON, "it didn't begin in the past");
    }

    #[test]
    fn the_answer_ends_the_pages_and_not_a_link_that_comes_again() {
        let mut played = Played::new();
        played.records("a", 100, &["1", "2"], &[1, 2], Some("b"));
        assert_eq!(played.records("b", 100, &[], &[], Some("b")), ChainStep::Done, "empty, and names itself");
        let mut played = Played::new();
        played.records("a", 100, &["1", "2"], &[1, 2], Some("b"));
        assert_eq!(played.records("b", 100, &["3"], &[3], Some("b")), ChainStep::On { is_repeated: true }, "a scroll");
        assert_eq!(played.records("b", 100, &["4"], &[4], Some("b")), ChainStep::On { is_repeated: true });
        assert_eq!(played.records("b", 100, &["4"], &[4], Some("b")), ChainStep::Done, "equal, and names itself");
        let mut played = Played::new();
        assert_eq!(played.records("a", 100, &[], &[], Some("a")), ChainStep::Done, "the first page itself");
    }

    #[test]
    fn equal_pages_under_fresh_links_are_no_circle_and_equal_answers_to_equal_requests_are() {
        let mut played = Played::new();
        for link in ["b", "c", "d", "e"] {
            assert_eq!(played.records(&format!("before {link}"), 100, &["1", "1"], &[1, 1], Some(link)), ON);
        }
        let mut played = Played::new();
        let records =
            |played: &mut Played, request: &str, id: &str, next| played.records(request, 100, &[id], &[1], Some(next));
        records(&mut played, "a", "1", "b");
        records(&mut played, "b", "2", "a");
        assert_eq!(records(&mut played, "a", "1", "b"), ChainStep::Circle);
    }

    #[test]
    fn empty_pages_are_followed_and_a_thousand_of_them_are_a_pause() {
        let mut played = Played::new();
        for number in 1..EMPTY_PAGES_MAX {
            assert_eq!(played.page(100, &[], Some(&format!("next {number}"))), ON);
        }
        assert_eq!(played.page(100, &[], Some("more")), ChainStep::Pause);
        let mut played = Played::new();
        for number in 1..PAGES_MAX {
            assert_eq!(played.page(100, &[1], Some(&format!("next {number}"))), ON);
        }
        assert_eq!(played.page(100, &[1], Some("more")), ChainStep::Pause);
    }

    #[test]
    fn an_order_that_was_kept_before_ends_the_pages_two_below_the_window_and_chance_does_not() {
        let pages: [&[i64]; 4] = [&[30, 20], &[10, -1], &[-2, -3], &[-4, -5]];
        let mut played = Played::sorted();
        let steps = pages.map(|dates| played.page(100, dates, Some("on")));
        assert_eq!(steps, [ON, ON, ON, ChainStep::Done]);
        assert_eq!(played.0.is_newest_first(), None, "it ended early, and tells nothing");
        let mut played = Played::new();
        let steps = pages.map(|dates| played.page(100, dates, Some("on")));
        assert_eq!(steps, [ON; 4], "an order that is only seen now ends nothing");
        played.page(100, &[-6], None);
        assert_eq!(played.0.is_newest_first(), Some(true), "read to its end: next time it may");
        let mut played = Played::sorted();
        let steps = [&[30, 20][..], &[-1, -2], &[25, 24], &[-3]].map(|dates| played.page(100, dates, Some("on")));
        assert_eq!(steps, [ON; 4], "another device follows");
        assert_eq!(played.0.is_newest_first(), Some(false));
        let mut played = Played::new();
        played.page(100, &[30, 20], None);
        assert_eq!(played.0.is_newest_first(), Some(false), "it never went below");
        let old = Chain::new(Some(at(-86_400)), TimeDelta::zero(), at(0));
        assert!(!old.is_sorted, "looked at again once a day");
    }
}
