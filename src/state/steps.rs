//! What outlives an iteration of the entries that an API's steps ask about. Pure.
//!
//! Enters: which entries were refused in an iteration, and which jobs were started. Leaves: which of them are set aside,
//! and which job to go on with. What always holds: an entry is set aside only after iterations in which others were
//! answered; a job counts only for the requests that started it.

use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::record::Fingerprint;
use crate::template::ListEntry;
use crate::window::{Course, Window};

/// In so many iterations an entry is refused, while others are answered, before it is set aside.
const REFUSED_MAX: u32 = 3;
/// How many refused entries are counted; more are refused for another reason than their own.
const REFUSED_ENTRIES_MAX: usize = 1_000;
/// How many jobs are kept at a time; of more the oldest are started again.
const JOBS_MAX: usize = 64;
/// The most text of one job that is kept: an answer that starts a job is an id or two.
const JOB_BYTES_MAX: usize = 16 * 1024;
/// For so long a job is gone on with: no API keeps the result of one for longer.
const JOB_KEPT_FOR: TimeDelta = TimeDelta::days(1);

/// What is known of the entries that steps ask about. Losing it costs requests, and no record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepsState {
    /// Entries that were refused in the last iteration, in how many in a row.
    refused: BTreeMap<String, u32>,
    /// Jobs that were started, by the entry that they were started for; none for the first request.
    jobs: BTreeMap<String, StartedJob>,
}

/// A job that was started: what its next requests need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartedJob {
    /// Of the entry's requests: where they are edited, the job is void.
    requests: String,
    /// When it was started.
    pub begun: DateTime<Utc>,
    /// The window that it was started for.
    pub window: Window,
    /// What the chain of its list had shown.
    pub course: Course,
    /// The answer that started it, as entries.
    pub entries: Vec<ListEntry>,
}

impl StartedJob {
    /// One that was just started.
    #[must_use]
    pub fn new(
        requests: Fingerprint,
        begun: DateTime<Utc>,
        window: Window,
        course: Course,
        entries: Vec<ListEntry>,
    ) -> Self {
        Self { requests: hex(requests), begun, window, course, entries }
    }

    fn bytes(&self) -> usize {
        self.entries.iter().map(ListEntry::bytes).sum()
    }

    fn is_valid(&self, requests: Fingerprint, now: DateTime<Utc>) -> bool {
        let age = now.signed_duration_since(self.begun);
        self.requests == hex(requests) && age <= JOB_KEPT_FOR && age >= -JOB_KEPT_FOR
    }
}

impl StepsState {
    /// Notes which entries of an iteration were refused; `are_others_answered` tells whether another one was answered.
    /// Gives those of them that are set aside now.
    pub fn settle(&mut self, refused: &[Fingerprint], are_others_answered: bool) -> Vec<Fingerprint> {
        let before = std::mem::take(&mut self.refused);
        let mut aside = Vec::new();
        for entry in refused {
            let name = hex(*entry);
            let known = before.get(&name).copied().unwrap_or_default();
            let times = known.saturating_add(u32::from(are_others_answered));
            if times >= REFUSED_MAX && known < REFUSED_MAX {
                aside.push(*entry);
            }
            if self.refused.len() < REFUSED_ENTRIES_MAX {
                self.refused.insert(name, times);
            }
        }
        aside
    }

    /// Whether an entry is set aside.
    #[must_use]
    pub fn is_aside(&self, entry: Fingerprint) -> bool {
        self.refused.get(&hex(entry)).is_some_and(|times| *times >= REFUSED_MAX)
    }

    /// The job that was started for an entry, or by the first request, where it still counts.
    #[must_use]
    pub fn job(&self, of: Option<Fingerprint>, requests: Fingerprint, now: DateTime<Utc>) -> Option<&StartedJob> {
        self.jobs.get(&job_name(of)).filter(|job| job.is_valid(requests, now))
    }

    /// Keeps a job that was started, unless it is too large. Gives whether it is kept.
    pub fn keep_job(&mut self, of: Option<Fingerprint>, job: StartedJob) -> bool {
        if job.bytes() > JOB_BYTES_MAX {
            return false;
        }
        self.jobs.insert(job_name(of), job);
        while self.jobs.len() > JOBS_MAX {
            let oldest = self.jobs.iter().min_by_key(|(_, job)| job.begun).map(|(name, _)| name.clone());
            oldest.map(|name| self.jobs.remove(&name));
        }
        true
    }

    /// Forgets a job that is done, or that has failed.
    pub fn forget_job(&mut self, of: Option<Fingerprint>) {
        self.jobs.remove(&job_name(of));
    }

    /// Forgets all jobs, as everything that they were started for is done.
    pub fn forget_jobs(&mut self) {
        self.jobs.clear();
    }
}

fn job_name(of: Option<Fingerprint>) -> String {
    of.map(hex).unwrap_or_default()
}

fn hex(fingerprint: Fingerprint) -> String {
    fingerprint.bytes().iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{CheckpointKind, EndPolicy, Overlap, StartPolicy};
    use crate::record::json::RawJson;
    use crate::template::Granularity;
    use crate::window::Known;

    fn print(text: &str) -> Fingerprint {
        Fingerprint::of(&[text.as_bytes()])
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_716_900_000 + second, 0).expect("a date")
    }

    fn job(begun: i64, text: &str) -> StartedJob {
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
        let item = RawJson::parse(text).expect("JSON");
        StartedJob::new(print("requests"), at(begun), window, Course::default(), vec![ListEntry::of(item, item, &[])])
    }

    #[test]
    fn an_entry_is_set_aside_when_it_is_refused_in_three_iterations_in_which_others_are_answered() {
        let (gone, mut state) = (print("gone"), StepsState::default());
        assert_eq!(state.settle(&[gone], true), []);
        assert_eq!(state.settle(&[gone], false), [], "nobody else was answered, so it may not be the entry");
        assert_eq!(state.settle(&[gone], true), []);
        assert!(!state.is_aside(gone));
        assert_eq!(state.settle(&[gone], true), [gone]);
        assert!(state.is_aside(gone));
        let mut state = StepsState::default();
        for refused in [&[gone][..], &[gone], &[], &[gone], &[gone]] {
            assert_eq!(state.settle(refused, true), [], "an answer between begins anew");
        }
    }

    #[test]
    fn a_job_is_gone_on_with_for_a_day_and_for_the_requests_that_started_it() {
        let mut state = StepsState::default();
        assert!(state.keep_job(None, job(0, "{\"id\":1}")) && state.keep_job(Some(print("x")), job(0, "{\"id\":2}")));
        assert!(state.job(None, print("requests"), at(86_400)).is_some());
        assert!(state.job(None, print("requests"), at(86_401)).is_none());
        assert!(state.job(None, print("edited"), at(0)).is_none());
        assert!(state.job(Some(print("x")), print("requests"), at(1)).is_some());
        let text = serde_json::to_string(&state).expect("JSON");
        assert_eq!(serde_json::from_str::<StepsState>(&text).expect("it reads"), state);
        state.forget_job(None);
        assert!(state.job(None, print("requests"), at(0)).is_none());
    }

    #[test]
    fn what_is_kept_of_jobs_is_bounded() {
        let mut state = StepsState::default();
        assert!(!state.keep_job(None, job(0, &format!("\"{}\"", "x".repeat(JOB_BYTES_MAX)))));
        for number in 0..100 {
            state.keep_job(Some(print(&number.to_string())), job(number, "1"));
        }
        assert_eq!(state.jobs.len(), JOBS_MAX);
        assert!(state.job(Some(print("99")), print("requests"), at(100)).is_some(), "the oldest goes first");
        let many: Vec<Fingerprint> = (0..5_000).map(|number| print(&format!("r{number}"))).collect();
        state.settle(&many, true);
        assert_eq!(state.refused.len(), REFUSED_ENTRIES_MAX);
    }
}
