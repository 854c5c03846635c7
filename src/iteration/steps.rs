//! Which entries of a list are done, which were refused, and what that means for the iteration. Pure.
//!
//! Enters: each entry that is asked about, and what came of its requests. Leaves: when an entry is done, and at the end
//! whether the iteration failed, who is set aside, and up to which date every entry is done. What always holds: an entry is
//! done only when every request about it was answered; the checkpoint moves past none that isn't.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;

use super::report::{IterationError, status_of};
use crate::fetch::FetchError;
use crate::plan::Poll;
use crate::record::json::RawJson;
use crate::record::{Fingerprint, Record, RecordKey};
use crate::state::StepsState;

/// How an API says that this entry isn't there, or not for who asks.
const REFUSED: [StatusCode; 3] = [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::GONE];
/// So many entries in a row may fail; then the rest is left to the next iteration, as it hardly is the entries.
const FAILURES_MAX: u32 = 10;
/// How much of an entry's id is shown.
const SHOWN_CHARS_MAX: usize = 80;
/// How long a job is left alone before it is asked the first time.
const POLL_FIRST: Duration = Duration::from_secs(1);
/// How long it is left alone at most: what takes minutes isn't missed by seconds.
const POLL_LONGEST: Duration = Duration::from_secs(30);

/// What follows a request about an entry that failed.
#[derive(Debug)]
pub(super) enum EntryFailure {
    /// The entry isn't there; others may be.
    Refused(IterationError),
    /// The entry failed; others may be asked about.
    Failed(IterationError),
    /// Nothing more is to be asked.
    Ends(IterationError),
}

impl EntryFailure {
    /// What follows an error; `is_first` tells whether the first page of an answer was asked for.
    pub(super) fn of(error: IterationError, is_first: bool) -> Self {
        if error.is_stop() || error.is_recall() || error.until().is_some() {
            return Self::Ends(error);
        }
        match &error {
            IterationError::Fetch { cause, .. } => match (cause, status_of(cause)) {
                (FetchError::Token(_) | FetchError::Memory { .. } | FetchError::Outage { .. }, _) => Self::Ends(error),
                (_, Some(StatusCode::UNAUTHORIZED)) => Self::Ends(error),
                (_, Some(status)) if is_first && REFUSED.contains(&status) => Self::Refused(error),
                _ => Self::Failed(error),
            },
            _ => Self::Failed(error),
        }
    }
}

impl EntryFailure {
    /// Whether a job that led here is of no use any more.
    pub(super) fn ends_job(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Failed(error) => error.ends_job(),
            Self::Ends(_) => false,
        }
    }
}

/// By which a list's entry is known again; a record of the same id is another thing.
pub(super) fn entry_key(record: &Record<'_>) -> RecordKey {
    RecordKey { fingerprint: Fingerprint::of(&[b"entry", record.fingerprint.bytes()]), date: record.date }
}

/// By which a record of an entry's answer is known again. Those of dated entries are remembered with their entry, and as
/// long as it; those of partitions by their own id, or within their partition where they have none.
pub(super) fn record_key(record: &Record<'_>, of: Option<RecordKey>, is_dated: bool) -> RecordKey {
    match of {
        None => record.identity(),
        Some(entry) => RecordKey {
            fingerprint: Fingerprint::of(&[entry.fingerprint.bytes(), record.fingerprint.bytes()]),
            date: if is_dated { entry.date } else { record.date },
        },
    }
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobProgress {
    /// It is done.
    Done,
    /// It has failed; what its answer says.
    Failed(String),
    /// It isn't done yet; what its answer says.
    Busy(String),
}

/// How far a job is, by its answer.
#[must_use]
pub fn job_progress(poll: &Poll, answer: Option<&str>) -> JobProgress {
    let Some(root) = answer.and_then(|text| RawJson::parse(text).ok()) else {
        return JobProgress::Busy("nothing".to_owned());
    };
    let said = |conditions: &[crate::plan::Condition]| {
        let one = |condition: &crate::plan::Condition| {
            let found = condition.find(root).unwrap_or_else(|| "nothing".to_owned());
            format!("{}: {}", condition.path, shown(&found))
        };
        conditions.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    match poll.fails.iter().find(|condition| condition.holds(root)) {
        Some(failed) => JobProgress::Failed(said(std::slice::from_ref(failed))),
        None if poll.until.iter().all(|condition| condition.holds(root)) => JobProgress::Done,
        None => JobProgress::Busy(said(&poll.until)),
    }
}

/// How long a job is left alone before it is asked again, `asked` if it says so itself; `None` where its time is up.
pub(super) fn poll_pause(
    times: u32,
    asked: Option<Duration>,
    begun: DateTime<Utc>,
    within: Duration,
    now: DateTime<Utc>,
) -> Option<Duration> {
    let passed = now.signed_duration_since(begun).to_std().unwrap_or_default();
    let left = within.checked_sub(passed).filter(|left| !left.is_zero())?;
    let own = POLL_FIRST.saturating_mul(2_u32.saturating_pow(times)).min(POLL_LONGEST);
    Some(asked.unwrap_or(own).max(POLL_FIRST).min(left.max(POLL_FIRST)))
}

/// A text of an answer as it is shown.
pub(super) fn shown(text: &str) -> String {
    let mut chars = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    let start: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    if chars.next().is_some() { format!("{start}…") } else { start }
}

/// An entry that is asked about.
#[derive(Debug)]
struct OpenEntry {
    key: RecordKey,
    shown: String,
    /// Requests about it that are not answered yet.
    pending: usize,
}

/// An entry that was refused.
#[derive(Debug)]
struct RefusedEntry {
    key: RecordKey,
    shown: String,
    error: IterationError,
}

/// The entries of one iteration.
#[derive(Debug, Default)]
pub(super) struct EntryLedger {
    open: HashMap<u64, OpenEntry>,
    next: u64,
    /// How many are done.
    done: u64,
    refused: Vec<RefusedEntry>,
    /// The first that failed, and how many did.
    failed: Option<IterationError>,
    failures: u64,
    failures_in_a_row: u32,
    /// Up to where everything is done, if something isn't.
    undone: Option<DateTime<Utc>>,
    is_settled: bool,
}

/// What becomes of the entries that were refused.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// They are set aside now, and count as done: which, and what is said of them.
    pub(super) aside: Vec<(RecordKey, String)>,
    /// They are asked about again: how many, and what is said of the first.
    pub(super) held: Option<(usize, String)>,
    /// Why the iteration failed.
    pub(super) error: Option<IterationError>,
}

impl EntryLedger {
    /// Begins to ask about an entry. Gives its number.
    pub(super) fn begin(&mut self, key: RecordKey, shown: String) -> u64 {
        let number = self.next;
        self.next += 1;
        self.open.insert(number, OpenEntry { key, shown, pending: 1 });
        number
    }

    /// Whether an entry is still to be asked about.
    pub(super) fn is_open(&self, number: u64) -> bool {
        self.open.contains_key(&number)
    }

    /// Which entry it is.
    pub(super) fn key(&self, number: u64) -> Option<RecordKey> {
        self.open.get(&number).map(|entry| entry.key)
    }

    /// Notes that a request was answered, and led to so many more. Gives the entry where it was the last of it.
    pub(super) fn answer(&mut self, number: u64, more: usize) -> Option<RecordKey> {
        let entry = self.open.get_mut(&number)?;
        entry.pending = entry.pending.saturating_sub(1).saturating_add(more);
        if entry.pending > 0 {
            return None;
        }
        self.done += 1;
        self.failures_in_a_row = 0;
        self.open.remove(&number).map(|entry| entry.key)
    }

    /// Notes that a request about an entry failed: nothing more is asked about it.
    ///
    /// # Errors
    /// Where nothing more is to be asked at all.
    pub(super) fn fail(&mut self, number: u64, step: usize, failure: EntryFailure) -> Result<(), IterationError> {
        let Some(OpenEntry { key, shown, .. }) = self.open.remove(&number) else { return Ok(()) };
        let of_entry = |cause| IterationError::Entry { step, entry: shown.clone(), cause: Box::new(cause), others: 0 };
        match failure {
            EntryFailure::Refused(error) => {
                let error = of_entry(error);
                self.refused.push(RefusedEntry { key, shown, error });
                Ok(())
            }
            EntryFailure::Failed(error) => {
                self.hold(key.date);
                self.failures += 1;
                self.failures_in_a_row += 1;
                let error = of_entry(error);
                self.failed.get_or_insert(error);
                if self.failures_in_a_row < FAILURES_MAX {
                    return Ok(());
                }
                self.hold_open();
                Err(self.take_failure().unwrap_or(IterationError::Pause { page: 0 }))
            }
            EntryFailure::Ends(error) => {
                self.hold(key.date);
                self.hold_open();
                Err(match error.is_stop() || error.is_recall() {
                    true => error,
                    false => of_entry(error),
                })
            }
        }
    }

    /// Whether an entry isn't done, so that no place behind it may be gone on from.
    pub(super) fn has_undone(&self) -> bool {
        self.undone.is_some() || !self.refused.is_empty() || !self.open.is_empty()
    }

    /// Up to where every entry is done, where some isn't; the earliest of all dates where one without a date isn't.
    pub(super) fn undone(&self) -> Option<DateTime<Utc>> {
        self.undone
    }

    /// Whether the list came to its end.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// At the end of the list: what becomes of those that were refused, and whether the iteration failed.
    pub(super) fn settle(&mut self, state: &mut StepsState) -> Settled {
        self.is_settled = true;
        self.refused.sort_by_key(|entry| entry.key.date);
        let refused: Vec<Fingerprint> = self.refused.iter().map(|entry| entry.key.fingerprint).collect();
        let aside_now = state.settle(&refused, self.done > 0);
        let mut settled = Settled::default();
        let mut first_held = None;
        for RefusedEntry { key, shown, error } in std::mem::take(&mut self.refused) {
            if aside_now.contains(&key.fingerprint) {
                settled.aside.push((key, shown));
            } else if !state.is_aside(key.fingerprint) {
                self.hold(key.date);
                let count = settled.held.as_ref().map_or(0, |(count, _)| *count);
                let text = settled.held.take().map_or_else(|| error.to_string(), |(_, text)| text);
                settled.held = Some((count + 1, text));
                first_held.get_or_insert(error);
            }
        }
        settled.error = self.take_failure().or_else(|| first_held.filter(|_| self.done == 0));
        settled
    }

    fn take_failure(&mut self) -> Option<IterationError> {
        let others = self.failures.saturating_sub(1);
        match self.failed.take()? {
            IterationError::Entry { step, entry, cause, .. } => {
                Some(IterationError::Entry { step, entry, cause, others })
            }
            other => Some(other),
        }
    }

    fn hold(&mut self, date: Option<DateTime<Utc>>) {
        let date = date.unwrap_or(DateTime::<Utc>::MIN_UTC);
        self.undone = Some(self.undone.map_or(date, |undone| undone.min(date)));
    }

    fn hold_open(&mut self) {
        let dates: Vec<Option<DateTime<Utc>>> = self.open.drain().map(|(_, entry)| entry.key.date).collect();
        dates.into_iter().for_each(|date| self.hold(date));
        for at in 0..self.refused.len() {
            let date = self.refused.get(at).and_then(|entry| entry.key.date);
            self.hold(date);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::plan::Condition;
    use crate::record::path::JsonPath;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_716_900_000 + second, 0).expect("a date")
    }

    fn key(second: i64) -> RecordKey {
        RecordKey { fingerprint: Fingerprint::of(&[&second.to_le_bytes()]), date: Some(at(second)) }
    }

    fn status(status: u16) -> IterationError {
        let status = StatusCode::from_u16(status).expect("a status");
        let cause = FetchError::Status { url: String::new(), status, error_body: String::new() };
        IterationError::Fetch { page: 1, cause }
    }

    fn begin(ledger: &mut EntryLedger, second: i64) -> u64 {
        ledger.begin(key(second), second.to_string())
    }

    fn fail(ledger: &mut EntryLedger, second: i64, of: u16) -> Result<(), IterationError> {
        let number = begin(ledger, second);
        ledger.fail(number, 1, EntryFailure::of(status(of), true))
    }

    #[test]
    fn an_entry_is_done_with_the_last_answer_of_it() {
        let mut ledger = EntryLedger::default();
        let number = begin(&mut ledger, 1);
        assert_eq!(ledger.answer(number, 2), None, "its answer lists two more");
        assert_eq!(ledger.answer(number, 1), None, "one of them has a second page");
        assert_eq!(ledger.answer(number, 0), None);
        assert!(ledger.has_undone());
        assert_eq!(ledger.answer(number, 0), Some(key(1)));
        assert!(!ledger.has_undone() && ledger.undone().is_none());
        assert_eq!(ledger.answer(number, 0), None, "what comes late of it says nothing");
    }

    #[test]
    fn one_that_fails_fails_the_iteration_at_its_end_and_holds_what_is_later() {
        let (mut ledger, mut state) = (EntryLedger::default(), StepsState::default());
        for (second, of) in [(5, 500), (3, 500), (4, 404)] {
            fail(&mut ledger, second, of).expect("others go on");
        }
        let good = begin(&mut ledger, 1);
        assert_eq!(ledger.answer(good, 0), Some(key(1)));
        let settled = ledger.settle(&mut state);
        let Some(IterationError::Entry { entry, others, .. }) = settled.error else { panic!("{settled:?}") };
        assert_eq!((entry.as_str(), others), ("5", 1));
        assert_eq!(ledger.undone(), Some(at(3)));
    }

    #[test]
    fn one_that_is_refused_is_a_warning_beside_others_and_set_aside_the_third_time() {
        let mut state = StepsState::default();
        for time in 1..=3 {
            let mut ledger = EntryLedger::default();
            fail(&mut ledger, 7, 404).expect("others go on");
            let good = begin(&mut ledger, 9 + time);
            ledger.answer(good, 0);
            let settled = ledger.settle(&mut state);
            assert!(settled.error.is_none(), "{settled:?}");
            assert_eq!((settled.aside.len(), settled.held.is_some()), (usize::from(time == 3), time < 3));
            assert_eq!(ledger.undone(), (time < 3).then(|| at(7)), "set aside, it counts as done");
        }
    }

    #[test]
    fn where_every_entry_is_refused_the_iteration_failed() {
        let (mut ledger, mut state) = (EntryLedger::default(), StepsState::default());
        fail(&mut ledger, 7, 403).expect("others go on");
        fail(&mut ledger, 8, 410).expect("others go on");
        assert!(matches!(ledger.settle(&mut state).error, Some(IterationError::Entry { .. })));
        assert_eq!(ledger.undone(), Some(at(7)));
    }

    #[test]
    fn a_row_of_failures_a_refused_login_and_a_stop_end_the_iteration() {
        let mut ledger = EntryLedger::default();
        let ended = (1..=i64::from(FAILURES_MAX)).map(|second| fail(&mut ledger, second, 500).is_err());
        assert_eq!(ended.filter(|is_end| *is_end).count(), 1);
        let mut ledger = EntryLedger::default();
        begin(&mut ledger, 2);
        assert!(fail(&mut ledger, 5, 401).is_err());
        assert_eq!(ledger.undone(), Some(at(2)), "what was not asked about isn't done");
        let mut ledger = EntryLedger::default();
        let number = begin(&mut ledger, 1);
        let stopped = IterationError::Fetch { page: 1, cause: FetchError::Stopped };
        assert!(ledger.fail(number, 1, EntryFailure::of(stopped, true)).is_err_and(|error| error.is_stop()));
    }

    #[test]
    fn a_page_in_the_middle_that_is_missing_is_a_failure_and_no_refusal() {
        assert!(matches!(EntryFailure::of(status(404), true), EntryFailure::Refused(_)));
        assert!(matches!(EntryFailure::of(status(404), false), EntryFailure::Failed(_)));
        assert!(matches!(EntryFailure::of(status(400), true), EntryFailure::Failed(_)));
    }

    #[test]
    fn a_job_is_done_failed_or_busy_as_its_answer_says() {
        let condition = |path: &str, values: &[&str]| Condition {
            path: JsonPath::parse(path).expect("a path"),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let poll = Poll {
            until: vec![condition("status", &["DONE", "ready"]), condition("left", &["0"])],
            fails: vec![condition("status", &["ERROR"])],
            within: Duration::from_secs(60),
        };
        let state = |text: &str| job_progress(&poll, Some(text));
        assert_eq!(state(r#"{"status":"DONE","left":0}"#), JobProgress::Done);
        assert_eq!(state(r#"{"status":"DONE","left":3}"#), JobProgress::Busy("status: DONE, left: 3".to_owned()));
        assert_eq!(state(r#"{"left":0}"#), JobProgress::Busy("status: nothing, left: 0".to_owned()));
        assert_eq!(state(r#"{"status":"ERROR","left":0}"#), JobProgress::Failed("status: ERROR".to_owned()));
        assert_eq!(job_progress(&poll, None), JobProgress::Busy("nothing".to_owned()));
    }

    #[test]
    fn a_job_is_asked_less_and_less_often_and_as_it_says_until_its_time_is_up() {
        let minute = Duration::from_secs(60);
        let pause = |times, asked, passed| {
            let now = at(0) + TimeDelta::seconds(passed);
            poll_pause(times, asked, at(0), minute, now).map(|pause| pause.as_secs())
        };
        assert_eq!([0, 1, 2, 9].map(|times| pause(times, None, 0)), [Some(1), Some(2), Some(4), Some(30)]);
        assert_eq!(pause(0, Some(Duration::from_secs(20)), 0), Some(20));
        assert_eq!(pause(9, None, 50), Some(10));
        assert_eq!(pause(0, None, 60), None);
    }
}
