//! The window: what an iteration fetches, what of it is shipped, and where the checkpoint goes.
//!
//! Pure: `now` is an argument, and nothing here waits or writes. Order is never assumed, a start date is inclusive, and
//! the newest date that was delivered counts, wherever it stood.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::plan::StartRule;
use crate::record::date::{before, floor_to_second};
use crate::record::{Fingerprint, Record};

/// A date further ahead than this moves no checkpoint: clocks differ by seconds, not by minutes.
const FUTURE_MAX: TimeDelta = TimeDelta::minutes(5);
/// How many delivered records of one API are remembered before the oldest half is dropped, some 170 MB. What is dropped
/// may be shipped twice, never lost.
const REMEMBERED_MAX: usize = 2_000_000;

/// Where one iteration begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The start date, the same for all pages.
    pub start: DateTime<Utc>,
    /// Whether the checkpoint overrules an earlier start date of the config.
    pub overrules_config: bool,
    floor: Floor,
}

/// Below which date records are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Floor {
    /// Below the start date.
    At(DateTime<Utc>),
    /// Below the newest date of the first page less this span: no start is known.
    BelowNewest(TimeDelta),
}

impl Window {
    /// Where an iteration begins that starts now.
    ///
    /// Where no start is known, that is some days before `first`: the first time that an iteration of this API began and
    /// didn't succeed. Else a window that fails for a while would lose its oldest records.
    #[must_use]
    pub fn open(
        rule: &StartRule,
        checkpoint: Option<DateTime<Utc>>,
        first: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        let again = checkpoint.map(|checkpoint| before(checkpoint, rule.overlap));
        let (start, floor_known) = match (again, rule.configured) {
            (Some(again), Some(configured)) => (again.max(configured), true),
            (Some(known), None) | (None, Some(known)) => (known, true),
            (None, None) => (before(first.unwrap_or(now), rule.back), false),
        };
        // What is sent has whole seconds, and what is asked for is not left out.
        let start = floor_to_second(start);
        let overrules_config = matches!((checkpoint, rule.configured), (Some(at), Some(configured)) if at > configured);
        let floor = if floor_known { Floor::At(start) } else { Floor::BelowNewest(rule.back) };
        Self { start, overrules_config, floor }
    }

    /// Fixes the floor of a first run, from the dates of the first page that has any.
    pub fn see_dates(&mut self, dates: impl Iterator<Item = DateTime<Utc>>, now: DateTime<Utc>) {
        if let Floor::BelowNewest(span) = self.floor {
            let newest = dates.filter(|date| !is_future(*date, now)).max();
            if let Some(newest) = newest {
                self.floor = Floor::At(before(newest, span));
            }
        }
    }

    /// Whether a date lies before the window.
    #[must_use]
    pub fn is_below(&self, date: DateTime<Utc>) -> bool {
        matches!(self.floor, Floor::At(floor) if date < floor)
    }
}

/// Whether a date lies too far ahead to be true.
#[must_use]
pub fn is_future(date: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    date.signed_duration_since(now) > FUTURE_MAX
}

/// How many pages with dates must have come newest first before that is believed: one may fall by chance.
const ORDERED_PAGES_MIN: u32 = 2;

/// In which order the dates of an iteration come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Order {
    last: Option<DateTime<Utc>>,
    pages: u32,
    fell: bool,
    rose: bool,
}

impl Order {
    /// Sees the dates of the next page.
    pub fn see(&mut self, page: impl Iterator<Item = DateTime<Utc>>) {
        let mut has_dates = false;
        for date in page {
            if let Some(last) = self.last {
                self.fell |= date < last;
                self.rose |= date > last;
            }
            self.last = Some(date);
            has_dates = true;
        }
        self.pages += u32::from(has_dates);
    }

    /// Whether everything came newest first up to now, and the last date lies before the window: nothing that follows
    /// can lie in it.
    #[must_use]
    pub fn has_left(&self, window: &Window) -> bool {
        self.pages >= ORDERED_PAGES_MIN
            && self.fell
            && !self.rose
            && self.last.is_some_and(|last| window.is_below(last))
    }
}

/// What was delivered and may come again: the records at the edge, inside the overlap, and of iterations that failed.
#[derive(Debug, Default)]
pub struct Delivered {
    known: HashMap<Fingerprint, Seen>,
    iteration: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// How often it stood on one page: two identical records of one page are two.
    count: u32,
    date: Option<DateTime<Utc>>,
    /// The last iteration in which it came.
    iteration: u64,
}

impl Delivered {
    /// How often a record was delivered.
    #[must_use]
    pub fn count(&mut self, fingerprint: Fingerprint) -> u32 {
        let iteration = self.iteration;
        self.known.get_mut(&fingerprint).map_or(0, |seen| {
            seen.iteration = iteration;
            seen.count
        })
    }

    /// Remembers one more delivery.
    pub fn add(&mut self, fingerprint: Fingerprint, date: Option<DateTime<Utc>>) {
        let iteration = self.iteration;
        let seen = self.known.entry(fingerprint).or_insert(Seen { count: 0, date, iteration });
        seen.count += 1;
        seen.iteration = iteration;
        if self.known.len() > REMEMBERED_MAX {
            self.drop_oldest_half();
        }
    }

    /// Forgets what can't come again: what lies before the next start, and what has no date and didn't come this time.
    pub fn settle(&mut self, next_start: DateTime<Utc>) {
        let iteration = self.iteration;
        self.known.retain(|_, seen| seen.date.map_or(seen.iteration == iteration, |date| date >= next_start));
        self.known.shrink_to(self.known.len() * 2);
        self.iteration += 1;
    }

    /// How many different records are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn drop_oldest_half(&mut self) {
        let mut dates: Vec<_> = self.known.values().map(|seen| seen.date).collect();
        let middle = dates.len() / 2;
        let (_, median, _) = dates.select_nth_unstable(middle);
        let median = *median;
        self.known.retain(|_, seen| seen.date > median);
    }
}

/// Decides which records of an iteration are shipped.
#[derive(Debug)]
pub struct Sieve<'d> {
    delivered: &'d mut Delivered,
    /// Admitted, not acknowledged yet.
    under_way: HashMap<Fingerprint, u32>,
}

impl<'d> Sieve<'d> {
    /// For one iteration.
    #[must_use]
    pub fn new(delivered: &'d mut Delivered) -> Self {
        Self { delivered, under_way: HashMap::new() }
    }

    /// For each record of a page, whether it is new. Of records that a page holds `n` times, those count that were
    /// neither delivered nor are under way: the same record on two pages is one.
    pub fn admit(&mut self, page: &[Record<'_>]) -> Vec<bool> {
        let mut on_page: HashMap<Fingerprint, (u32, u32)> = HashMap::with_capacity(page.len());
        let new = page.iter().map(|record| {
            let fingerprint = record.fingerprint;
            let (seen, known) = on_page.entry(fingerprint).or_insert_with(|| {
                let under_way = self.under_way.get(&fingerprint).copied().unwrap_or_default();
                (0, self.delivered.count(fingerprint) + under_way)
            });
            *seen += 1;
            *seen > *known
        });
        new.collect()
    }

    /// Notes that a record is under way to the listener.
    pub fn send(&mut self, fingerprint: Fingerprint) {
        *self.under_way.entry(fingerprint).or_default() += 1;
    }

    /// Notes that a record was delivered, or set aside for good.
    pub fn acknowledge(&mut self, fingerprint: Fingerprint, date: Option<DateTime<Utc>>) {
        if let Some(count) = self.under_way.get_mut(&fingerprint) {
            *count -= 1;
            if *count == 0 {
                self.under_way.remove(&fingerprint);
            }
        }
        self.delivered.add(fingerprint, date);
    }
}

/// The checkpoint after an iteration whose newest delivered date is `newest`; it never moves backwards.
#[must_use]
pub fn next_checkpoint(checkpoint: Option<DateTime<Utc>>, newest: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    checkpoint.max(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::date;
    use crate::record::json::Raw;
    use crate::record::path::JsonPath;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        date::parse(text).expect("a date")
    }

    fn rule(configured: Option<&str>, overlap_minutes: i64) -> StartRule {
        StartRule {
            configured: configured.map(at),
            back: TimeDelta::days(14),
            overlap: TimeDelta::minutes(overlap_minutes),
        }
    }

    #[track_caller]
    fn check(rule: StartRule, checkpoint: Option<&str>, start: &str, overrules: bool) {
        let window = Window::open(&rule, checkpoint.map(at), None, at("2024-05-28T12:00:00Z"));
        assert_eq!((window.start, window.overrules_config), (at(start), overrules));
    }

    #[test]
    fn begins_at_the_checkpoint_else_the_filter_else_some_days_back() {
        check(rule(None, 0), None, "2024-05-14T12:00:00Z", false);
        check(rule(Some("2024-05-01"), 0), None, "2024-05-01", false);
        check(rule(Some("2024-05-01"), 0), Some("2024-05-02T10:00:00.9Z"), "2024-05-02T10:00:00Z", true);
        check(rule(Some("2024-05-03"), 0), Some("2024-05-02T10:00:00Z"), "2024-05-03", false);
        check(rule(None, 15), Some("2024-05-02T10:00:00Z"), "2024-05-02T09:45:00Z", false);
        check(rule(Some("2024-05-02T09:50:00Z"), 15), Some("2024-05-02T10:00:00Z"), "2024-05-02T09:50:00Z", true);
    }

    #[test]
    fn leaves_out_what_lies_before_the_window() {
        let now = at("2024-05-28T12:00:00Z");
        let mut first_run = Window::open(&rule(None, 0), None, None, now);
        assert!(!first_run.is_below(at("1990-01-01")));
        first_run.see_dates([at("2022-03-18"), at("2099-01-01"), at("2022-03-01")].into_iter(), now);
        assert!(first_run.is_below(at("2022-03-03")) && !first_run.is_below(at("2022-03-04")));
        let known = Window::open(&rule(None, 0), Some(at("2024-05-02T10:00:00.5Z")), None, now);
        assert!(known.is_below(at("2024-05-02T09:59:59.9Z")) && !known.is_below(at("2024-05-02T10:00:00Z")));
    }

    #[test]
    fn stops_only_where_newest_first_is_certain() {
        let window = Window::open(&rule(None, 0), Some(at("2024-05-10")), None, at("2024-05-28"));
        let left = |pages: &[&[&str]]| {
            let mut order = Order::default();
            pages.iter().for_each(|page| order.see(page.iter().map(|date| at(date))));
            order.has_left(&window)
        };
        assert!(left(&[&["2024-05-12", "2024-05-11"], &["2024-05-11", "2024-05-09"]]));
        assert!(left(&[&["2024-05-12"], &[], &["2024-05-09"]]));
        assert!(!left(&[&["2024-05-12", "2024-05-11", "2024-05-09"], &[]]), "one page may fall by chance");
        assert!(!left(&[&["2024-05-12"], &["2024-05-10"]]), "the floor itself is in the window");
        assert!(!left(&[&["2024-05-09"], &["2024-05-09"]]), "nothing fell");
        assert!(!left(&[&["2024-05-11", "2024-05-12"], &["2024-05-09"]]), "it rose");
    }

    fn records<'a>(page: &[&'a str], path: &JsonPath) -> Vec<Record<'a>> {
        page.iter().map(|text| Record::read(Raw::parse(text).expect("JSON"), path, None)).collect()
    }

    #[test]
    fn counts_identical_records_of_one_page_and_knows_them_on_the_next() {
        let path = JsonPath::parse("date").expect("a path");
        let a = r#"{"date":"2024-05-28T12:00:00Z"}"#;
        let mut delivered = Delivered::default();
        let mut sieve = Sieve::new(&mut delivered);
        let page = records(&[a, a], &path);
        assert_eq!(sieve.admit(&page), [true, true]);
        page.iter().for_each(|record| sieve.send(record.fingerprint));
        let page = records(&[a, a, a], &path);
        assert_eq!(sieve.admit(&page), [false, false, true], "under way counts as known");
        page.iter().take(2).for_each(|record| sieve.acknowledge(record.fingerprint, record.date));
        // The iteration fails: what was under way and not acknowledged is new again.
        let mut sieve = Sieve::new(&mut delivered);
        assert_eq!(sieve.admit(&records(&[a, a, a], &path)), [false, false, true]);
        delivered.settle(at("2024-05-28T12:00:00Z"));
        assert_eq!(delivered.len(), 1);
        delivered.settle(at("2024-05-28T12:00:01Z"));
        assert!(delivered.is_empty());
    }

    /// Records come late, twice, in any order, several in a second; the API honours the start date. Each one that
    /// surfaces no later than the overlap allows is shipped exactly once.
    #[test]
    fn windows_leave_no_gap_and_double_nothing() {
        let record = (0_i64..600, 0_i64..120);
        proptest!(|(records in prop::collection::vec(record, 1..60), rounds in 2_i64..8)| {
            let origin = at("2024-05-28T00:00:00Z");
            let path = JsonPath::parse("date").map_err(|e| TestCaseError::fail(e.to_string()))?;
            let rule = rule(Some("2024-05-28T00:00:00Z"), 2);
            let (mut delivered, mut checkpoint) = (Delivered::default(), None);
            let mut shipped = vec![0_u32; records.len()];
            for round in 1..=rounds {
                let now_s = 720 * round / rounds;
                let window = Window::open(&rule, checkpoint, None, origin + TimeDelta::seconds(now_s));
                let texts: Vec<(usize, String)> = records.iter().enumerate()
                    .filter(|(_, (event_s, late_s))| event_s + late_s <= now_s)
                    .map(|(number, (event_s, _))| (number, format!(r#"{{"n":{number},"date":"{}"}}"#, date::format(origin + TimeDelta::seconds(*event_s)))))
                    .collect();
                let mut sieve = Sieve::new(&mut delivered);
                let mut newest = None;
                for page in texts.chunks(7) {
                    let read: Vec<Record<'_>> = page.iter()
                        .filter_map(|(_, text)| Raw::parse(text).ok())
                        .map(|raw| Record::read(raw, &path, None))
                        .collect();
                    for ((record, new), (number, _)) in read.iter().zip(sieve.admit(&read)).zip(page) {
                        if record.date.is_some_and(|date| window.is_below(date)) { continue; }
                        newest = newest.max(record.date);
                        if new {
                            if let Some(count) = shipped.get_mut(*number) { *count += 1; }
                            sieve.send(record.fingerprint);
                            sieve.acknowledge(record.fingerprint, record.date);
                        }
                    }
                }
                let next = next_checkpoint(checkpoint, newest);
                prop_assert!(next >= checkpoint, "the checkpoint moved backwards");
                checkpoint = next;
                if let Some(at) = checkpoint {
                    delivered.settle(Window::open(&rule, Some(at), None, at).start);
                }
            }
            prop_assert!(shipped.iter().all(|count| *count == 1), "{shipped:?}");
        });
    }
}
