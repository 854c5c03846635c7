//! The place where an iteration was cut, so that the next one goes on instead of beginning again. Pure.
//!
//! A place proves itself: the last delivered page is asked for again, and only where the answer holds a record that it held
//! before do the pages behind it follow. A server that answers an old link by its first page, by nothing or by a list that
//! has moved on so costs the window again, and never a record.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Course, Window};
use crate::record::Fingerprint;
use crate::template::Position;

/// How many records of a page prove it: evenly spread over the page.
const PROOFS_MAX: usize = 64;
/// So many iterations in a row may come no further.
const STALLED_MIN: u32 = 2;
/// A place is forgotten when the API gave no answer for so long.
const KEPT_FOR: TimeDelta = TimeDelta::days(1);

/// Where an iteration was cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Of the entry's requests: where they are edited, the place is void.
    requests: String,
    /// The window, frozen.
    pub window: Window,
    /// Where the chain stood for the last delivered page.
    asked: Position,
    /// Where it stands behind it.
    next: Position,
    /// Some of its records; none where it was empty.
    proofs: Vec<String>,
    /// Whether the iteration that saved it got no further than its proof.
    is_only_proved: bool,
    /// What the chain had shown.
    pub course: Course,
    /// When the API answered last.
    pub answered: DateTime<Utc>,
}

/// What to ask first, to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof<'p> {
    /// The last delivered page again: it must hold one of its records, or be empty again with a way on.
    Again(&'p Position),
    /// The page behind it: it must hold a record that was never delivered.
    Behind(&'p Position),
}

impl Progress {
    /// The place behind a page that was delivered.
    #[must_use]
    pub fn new(requests: Fingerprint, window: Window, asked: Position, next: Position, course: Course) -> Self {
        let answered = DateTime::default();
        let requests = hex(&requests);
        Self { requests, window, asked, next, proofs: Vec::new(), is_only_proved: false, course, answered }
    }

    /// The same with what proves it, at a moment.
    #[must_use]
    pub fn proved_by(mut self, page: &[Fingerprint], is_only_proved: bool, now: DateTime<Utc>) -> Self {
        let every = page.len().div_ceil(PROOFS_MAX).max(1);
        self.proofs = page.iter().step_by(every).map(hex).collect();
        (self.is_only_proved, self.answered) = (is_only_proved, now);
        self
    }

    /// Whether it still counts: for the same requests, and not without an answer for a day. A clock that was set back ends
    /// it, too.
    #[must_use]
    pub fn is_valid(&self, requests: Fingerprint, now: DateTime<Utc>) -> bool {
        let age = now.signed_duration_since(self.answered);
        self.requests == hex(&requests) && age <= KEPT_FOR && age >= -KEPT_FOR
    }

    /// Where the chain stands behind the last delivered page.
    #[must_use]
    pub fn next(&self) -> &Position {
        &self.next
    }

    /// What to ask first.
    #[must_use]
    pub fn proof(&self) -> Proof<'_> {
        if self.is_only_proved { Proof::Behind(&self.next) } else { Proof::Again(&self.asked) }
    }

    /// Whether the iteration that saved it got no further than its proof, so that the next asks behind it.
    #[must_use]
    pub fn is_only_proved(&self) -> bool {
        self.is_only_proved
    }

    /// Whether the last delivered page came again.
    #[must_use]
    pub fn is_proved(&self, page: &[Fingerprint], has_next: bool) -> bool {
        match page {
            [] => self.proofs.is_empty() && has_next,
            page => page.iter().any(|record| self.proofs.contains(&hex(record))),
        }
    }
}

/// How far iterations of one window came that were cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stall {
    checkpoint: Option<DateTime<Utc>>,
    pages: u64,
    /// Iterations in a row that came no further.
    iterations: u32,
}

impl Stall {
    /// Adds an iteration that got pages and was cut. Gives whether another way must be found, as two in a row came no
    /// further than those before.
    pub fn add(&mut self, checkpoint: Option<DateTime<Utc>>, pages: u64) -> bool {
        let place = (checkpoint, pages);
        if place > (self.checkpoint, self.pages) {
            (self.checkpoint, self.pages, self.iterations) = (checkpoint, pages, 0);
            return false;
        }
        self.iterations = self.iterations.saturating_add(1);
        self.iterations >= STALLED_MIN
    }
}

fn hex(fingerprint: &Fingerprint) -> String {
    fingerprint.bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{CheckpointKind, EndPolicy, Overlap, StartPolicy};
    use crate::template::Granularity;
    use crate::window::Known;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_716_900_000 + second, 0).expect("a date")
    }

    fn records(numbers: std::ops::Range<u32>) -> Vec<Fingerprint> {
        numbers.map(|number| Fingerprint::of(&[&number.to_le_bytes()])).collect()
    }

    fn by_link(link: &str) -> Position {
        Position { next_url: Some(link.to_owned()), ..Position::default() }
    }

    fn progress(page: &[Fingerprint], is_only_proved: bool) -> Progress {
        let rule = StartPolicy {
            configured: None,
            back: TimeDelta::days(1),
            overlap: Overlap::Unit,
            granularity: Granularity::Second,
            end: EndPolicy::default(),
            checkpoint: CheckpointKind::default(),
            max_age: None,
        };
        let window = Window::open(&rule, &Known::default(), at(0));
        Progress::new(
            Fingerprint::of(&[b"entry"]),
            window,
            by_link("https://a/2"),
            by_link("https://a/3"),
            Course::default(),
        )
        .proved_by(page, is_only_proved, at(0))
    }

    #[test]
    fn a_place_proves_itself_by_a_record_that_it_held() {
        let place = progress(&records(0..10), false);
        assert_eq!(place.proof(), Proof::Again(&by_link("https://a/2")));
        assert!(place.is_proved(&records(0..10), true) && place.is_proved(&records(9..19), false), "it has moved on");
        assert!(!place.is_proved(&records(10..20), true), "another page");
        assert!(!place.is_proved(&[], true), "a stale token's empty answer");
        let empty = progress(&[], false);
        assert!(empty.is_proved(&[], true), "empty again, with a way on");
        assert!(!empty.is_proved(&[], false) && !empty.is_proved(&records(0..1), true));
        let behind = progress(&records(0..10), true);
        assert_eq!(behind.proof(), Proof::Behind(&by_link("https://a/3")), "it got no further than its proof");
    }

    #[test]
    fn a_place_of_a_large_page_stays_small_and_still_proves_itself() {
        let place = progress(&records(0..5_000), false);
        assert!(place.proofs.len() <= PROOFS_MAX, "{}", place.proofs.len());
        assert!(place.is_proved(&records(0..5_000), true));
        let text = serde_json::to_string(&place).expect("JSON");
        assert_eq!(serde_json::from_str::<Progress>(&text).expect("it reads"), place);
    }

    #[test]
    fn a_place_is_void_where_requests_are_edited_and_after_a_day_without_an_answer() {
        let place = progress(&records(0..1), false);
        let entry = Fingerprint::of(&[b"entry"]);
        assert!(place.is_valid(entry, at(86_400)) && !place.is_valid(entry, at(86_401)));
        assert!(!place.is_valid(Fingerprint::of(&[b"edited"]), at(1)));
        assert!(!place.is_valid(entry, at(-90_000)), "the clock was set back");
    }

    #[test]
    fn two_iterations_that_come_no_further_are_a_stall() {
        let mut stall = Stall::default();
        assert!(!stall.add(None, 3), "the first time is further than none");
        assert!(!stall.add(None, 3) && stall.add(None, 2));
        assert!(!stall.add(None, 4), "further");
        assert!(!stall.add(Some(at(1)), 1), "the checkpoint has moved");
    }
}
