//! What is known of each API at one moment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::cluster::ClusterStanding;
use super::day::Day;
use crate::counters::Totals;
use crate::memory::Usage;
use crate::plan::Plan;
use crate::state::{Anomaly, ApiState, IterationSummary};
use crate::window::Gap;

/// After how many failed iterations in a row an API counts as failing: one or two may be a passing trouble.
pub const FAILED_ITERATIONS_MIN: u32 = 3;
/// How many gaps of an API are shown; `state` lists all.
const GAPS_MAX: usize = 3;
/// How many iterations of an API are kept for its plot.
pub const RECENT_MAX: usize = 60;
const HOUR_SECONDS: f64 = 3600.0;

/// One API, as far as its iterations have told.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiStatus {
    /// The API's name.
    pub api: String,
    /// The output, where the API has others.
    pub output: Option<String>,
    /// The URL that is asked, without its query.
    pub url: String,
    /// From the end of an iteration to the start of the next.
    pub interval: Duration,
    /// What it does now.
    pub phase: Phase,
    /// Since the process began.
    pub totals: Totals,
    /// Iterations that succeeded, since the process began.
    pub succeeded: u64,
    /// Iterations that failed, since the process began.
    pub failed: u64,
    /// How long all of these took.
    pub took: Duration,
    /// When an iteration succeeded last, since the process began.
    pub last_success: Option<DateTime<Utc>>,
    /// How many iterations in a row have failed.
    pub failures_in_a_row: u32,
    /// Why the last iteration failed, if it did.
    pub trouble: Option<Failure>,
    /// What the account says.
    pub standing: StateSummary,
    /// The last iterations, those before the process began among them; the latest at the end.
    pub recent: Arc<VecDeque<RecentIteration>>,
    /// The last 24 hours, as far as they are known.
    pub day: Arc<Day>,
    /// When the first of the iterations that have failed in a row began.
    pub failing_since: Option<DateTime<Utc>>,
    /// Records of the iteration that is under way.
    pub under_way: u64,
    /// For how long nothing has moved, where that is longer than any wait that is meant.
    pub stuck_for: Option<Duration>,
}

/// What an API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits for its next iteration.
    Waiting {
        /// When that begins; nothing where none follows.
        until: Option<DateTime<Utc>>,
    },
    /// An iteration is under way.
    Running {
        /// When it began.
        since: DateTime<Utc>,
    },
}

/// Why an iteration failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In words, scrubbed.
    pub cause: String,
    /// What to do about it.
    pub hint: &'static str,
    /// Until when the API asks to be left alone: then it doesn't count as failing.
    pub until: Option<DateTime<Utc>>,
}

/// What an API's account says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateSummary {
    /// The newest event date delivered.
    pub checkpoint: Option<DateTime<Utc>>,
    /// Until when everything was fetched.
    pub swept_until: Option<DateTime<Utc>>,
    /// Since when the cursor is kept that the next iteration goes on with, where there is one.
    pub cursor_since: Option<DateTime<Utc>>,
    /// How late half of the records, and 99 % of them, were.
    pub arrival_delay: Option<(TimeDelta, TimeDelta)>,
    /// The last spans of time that can't be fetched any more, the latest first.
    pub gaps: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// What is not right about it, and when that was seen last.
    pub anomalies: Vec<(Anomaly, DateTime<Utc>)>,
}

/// An iteration that ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecentIteration {
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took.
    pub seconds: f64,
    /// Records delivered.
    pub records: u64,
    /// Pages read.
    pub pages: u64,
    /// Whether it failed.
    pub is_failed: bool,
}

/// What became of the config when it was read last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// When a config was taken over last.
    pub succeeded: DateTime<Utc>,
    /// What is wrong with the one in the file, where it wasn't taken over, or not as a whole; as many faults as are shown.
    pub faults: Vec<String>,
    /// Whether it was taken over without the entries that have the faults.
    pub is_partial: bool,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// When the process began.
    pub started: DateTime<Utc>,
    /// The config in the file.
    pub reload: Reload,
    /// Every API and output, by the name under which it is shown.
    pub apis: BTreeMap<String, ApiStatus>,
    /// What of the memory budget is in use.
    pub memory: Usage,
    /// The cluster, where this process is a member of one.
    pub cluster: Option<ClusterStanding>,
}

impl StateSummary {
    /// Of an account.
    #[must_use]
    pub fn of(account: &ApiState) -> Self {
        let arrival_delay = &account.arrival_delay;
        let lost: Vec<Gap> = account.coverage.gaps().filter(|gap| gap.cause.is_loss()).collect();
        let lost = lost.into_iter();
        Self {
            checkpoint: account.checkpoint,
            swept_until: account.coverage.until(),
            cursor_since: account.captured_since.filter(|_| !account.captured.is_empty()),
            arrival_delay: arrival_delay.within(0.5).zip(arrival_delay.within(0.99)),
            gaps: lost.rev().take(GAPS_MAX).map(|gap| (gap.from, gap.until)).collect(),
            anomalies: account.anomalies.iter().map(|(anomaly, noticed)| (*anomaly, noticed.last)).collect(),
        }
    }
}

impl RecentIteration {
    /// When it ended.
    #[must_use]
    pub fn end(&self) -> DateTime<Utc> {
        let took = TimeDelta::try_milliseconds((self.seconds * 1e3) as i64).unwrap_or_default();
        self.at.checked_add_signed(took).unwrap_or(self.at)
    }
}

/// The last 24 hours, of iterations that have ended, the latest at the end.
fn day_of(ended: impl Iterator<Item = RecentIteration>) -> Day {
    let mut day = Day::default();
    for ended in ended {
        day.add(ended.end(), ended.records, ended.is_failed);
    }
    day
}

impl From<&IterationSummary> for RecentIteration {
    fn from(past: &IterationSummary) -> Self {
        let IterationSummary { at, seconds, records, pages, .. } = *past;
        Self { at, seconds, records, pages, is_failed: past.error.is_some() }
    }
}

impl ApiStatus {
    pub(super) fn new(plan: &Plan, output: Option<&str>, account: &ApiState, now: DateTime<Utc>) -> Self {
        Self {
            api: plan.name.clone(),
            output: output.map(str::to_owned),
            url: plan.redactor.url(&plan.request.url),
            interval: plan.interval,
            phase: Phase::Waiting { until: Some(now) },
            totals: Totals::default(),
            succeeded: 0,
            failed: 0,
            took: Duration::ZERO,
            last_success: None,
            failures_in_a_row: 0,
            trouble: None,
            standing: StateSummary::of(account),
            day: Arc::new(day_of(account.past.iter().map(RecentIteration::from))),
            recent: Arc::new(account.past.iter().map(RecentIteration::from).collect()),
            failing_since: None,
            under_way: 0,
            stuck_for: None,
        }
    }

    pub(super) fn follow(&mut self, plan: &Plan) {
        self.url = plan.redactor.url(&plan.request.url);
        self.interval = plan.interval;
    }

    /// Notes how an iteration ended.
    pub(super) fn end(&mut self, ended: RecentIteration, trouble: Option<Failure>, now: DateTime<Utc>) {
        self.took += Duration::try_from_secs_f64(ended.seconds).unwrap_or_default();
        match &trouble {
            Some(trouble) => {
                self.failed += 1;
                if trouble.until.is_none() {
                    self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                    self.failing_since = self.failing_since.or_else(|| Some(self.first_failure().unwrap_or(ended.at)));
                }
            }
            None => {
                self.succeeded += 1;
                self.failures_in_a_row = 0;
                self.failing_since = None;
                self.last_success = Some(now);
            }
        }
        self.trouble = trouble;
        // Copied only where somebody looks at it right now.
        Arc::make_mut(&mut self.day).add(now, ended.records, ended.is_failed);
        let recent = Arc::make_mut(&mut self.recent);
        recent.push_back(ended);
        while recent.len() > RECENT_MAX {
            recent.pop_front();
        }
    }

    /// When the first of the failed iterations at the end of those that are known began.
    fn first_failure(&self) -> Option<DateTime<Utc>> {
        self.recent.iter().rev().take_while(|ended| ended.is_failed).last().map(|ended| ended.at)
    }

    /// When an iteration succeeded last, also before the process began, as far as that is known.
    #[must_use]
    pub fn last_success(&self) -> Option<DateTime<Utc>> {
        self.last_success.or_else(|| self.recent.iter().rev().find(|ended| !ended.is_failed).map(RecentIteration::end))
    }

    /// Records delivered within the last hour. What an iteration that has been under way for longer delivered counts by
    /// its share.
    #[must_use]
    pub fn records_last_hour(&self, now: DateTime<Utc>) -> u64 {
        let share = match self.phase {
            Phase::Running { since } => {
                HOUR_SECONDS / now.signed_duration_since(since).as_seconds_f64().max(HOUR_SECONDS)
            }
            Phase::Waiting { .. } => 1.0,
        };
        (self.day.last_hour(now) + self.under_way as f64 * share).round() as u64
    }

    /// Whether so many iterations in a row have failed that it is no passing trouble.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failures_in_a_row >= FAILED_ITERATIONS_MIN
    }
}
