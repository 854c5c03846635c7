//! What is known of every API while the process lives, for whoever asks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::health::Word;
use crate::memory::{MemoryBudget, Usage};
use crate::meter::{Meter, Totals};
use crate::plan::Plan;
use crate::state::{Account, Oddity, Past, Pulse};
use crate::window::{Gap, GapCause};
use crate::words;

/// After how many failed iterations in a row an API counts as failing: one or two may be a passing trouble.
pub const FAILED_ITERATIONS_MIN: u32 = 3;
/// How many failing APIs a word names.
const APIS_NAMED_MAX: usize = 5;
/// How many gaps of an API are shown; `state` lists all.
const GAPS_MAX: usize = 3;
/// How many iterations of an API are kept for its plot.
pub const RECENT_MAX: usize = 60;

/// Where every API's state is noted. Nothing is done by it.
#[derive(Debug)]
pub struct Board {
    started: DateTime<Utc>,
    memory: MemoryBudget,
    noted: Mutex<Noted>,
}

#[derive(Debug)]
struct Noted {
    apis: BTreeMap<String, Entry>,
    reload: Reload,
    /// Of the thread that keeps the state, where there is one.
    state: Option<Arc<Pulse>>,
}

#[derive(Debug)]
struct Entry {
    meter: Arc<Meter>,
    status: ApiStatus,
    /// When the next iteration should begin, while it waits for one.
    due: Option<Instant>,
}

/// How many intervals an iteration may go without a byte,
const STUCK_INTERVALS: u32 = 25;
/// and how long at least: each wait within an iteration is shorter, the five minutes that an API may ask for, those that the
/// listener is asked again, and the timeouts of the requests after them;
const STUCK_MIN: Duration = Duration::from_secs(15 * 60);
/// and how long at most: none of those waits grows with the interval.
const STUCK_MAX: Duration = Duration::from_secs(6 * 3600);

impl Entry {
    /// How long nothing has moved in an iteration that is under way, or the next one is overdue; nothing where all is as it
    /// should be. All waits have an end, so this is a bug, or a machine that does not get on.
    fn stuck_for(&self, now: Instant) -> Option<Duration> {
        let still = match (self.status.phase, self.due) {
            (Phase::Running { .. }, _) => self.meter.still_for(now),
            (Phase::Waiting { .. }, Some(due)) => now.saturating_duration_since(due),
            (Phase::Waiting { .. }, None) => Duration::ZERO,
        };
        Some(still).filter(|still| *still >= patience(self.status.interval))
    }
}

/// How long nothing may move.
fn patience(interval: Duration) -> Duration {
    interval.saturating_mul(STUCK_INTERVALS).clamp(STUCK_MIN, STUCK_MAX)
}

/// One API, as far as its iterations have told.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiStatus {
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
    pub trouble: Option<Trouble>,
    /// What the account says.
    pub standing: Standing,
    /// The last iterations, those before the process began among them; the latest at the end.
    pub recent: Arc<VecDeque<Ended>>,
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
pub struct Trouble {
    /// In words, scrubbed.
    pub cause: String,
    /// What to do about it.
    pub advice: &'static str,
    /// Until when the API asks to be left alone: then it doesn't count as failing.
    pub until: Option<DateTime<Utc>>,
}

/// What an API's account says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// The newest event date delivered.
    pub checkpoint: Option<DateTime<Utc>>,
    /// Until when everything was fetched.
    pub swept_until: Option<DateTime<Utc>>,
    /// How late half of the records, and 99 % of them, were.
    pub lateness: Option<(TimeDelta, TimeDelta)>,
    /// The last spans of time that can't be fetched any more, the latest first.
    pub gaps: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// What is odd about it, and when that was seen last.
    pub oddities: Vec<(Oddity, DateTime<Utc>)>,
}

/// An iteration that ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended {
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
    /// What is wrong with the one in the file, where it wasn't taken over; as many faults as are shown.
    pub faults: Vec<String>,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// When the process began.
    pub started: DateTime<Utc>,
    /// The config in the file.
    pub reload: Reload,
    /// Every API, by name.
    pub apis: BTreeMap<String, ApiStatus>,
    /// What of the memory budget is in use.
    pub memory: Usage,
}

impl Standing {
    /// Of an account.
    #[must_use]
    pub fn of(account: &Account) -> Self {
        let lateness = &account.lateness;
        let lost: Vec<Gap> = account.swept.gaps().filter(|gap| gap.cause == GapCause::OutOfReach).collect();
        let lost = lost.into_iter();
        Self {
            checkpoint: account.checkpoint,
            swept_until: account.swept.until(),
            lateness: lateness.within(0.5).zip(lateness.within(0.99)),
            gaps: lost.rev().take(GAPS_MAX).map(|gap| (gap.from, gap.until)).collect(),
            oddities: account.oddities.iter().map(|(oddity, noticed)| (*oddity, noticed.last)).collect(),
        }
    }
}

impl From<&Past> for Ended {
    fn from(past: &Past) -> Self {
        let Past { at, seconds, records, pages, .. } = *past;
        Self { at, seconds, records, pages, is_failed: past.error.is_some() }
    }
}

impl ApiStatus {
    fn new(plan: &Plan, account: &Account, now: DateTime<Utc>) -> Self {
        Self {
            url: plan.scrubber.url(&plan.request.url),
            interval: plan.interval,
            phase: Phase::Waiting { until: Some(now) },
            totals: Totals::default(),
            succeeded: 0,
            failed: 0,
            took: Duration::ZERO,
            last_success: None,
            failures_in_a_row: 0,
            trouble: None,
            standing: Standing::of(account),
            recent: Arc::new(account.past.iter().map(Ended::from).collect()),
        }
    }

    fn follow(&mut self, plan: &Plan) {
        self.url = plan.scrubber.url(&plan.request.url);
        self.interval = plan.interval;
    }

    /// Whether so many iterations in a row have failed that it is no passing trouble.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failures_in_a_row >= FAILED_ITERATIONS_MIN
    }
}

impl Board {
    /// Without APIs.
    #[must_use]
    pub fn new(now: DateTime<Utc>, memory: MemoryBudget) -> Self {
        let reload = Reload { succeeded: now, faults: Vec::new() };
        Self { started: now, memory, noted: Mutex::new(Noted { apis: BTreeMap::new(), reload, state: None }) }
    }

    /// Has an eye on the thread that keeps the state.
    pub fn watch_state(&self, pulse: Arc<Pulse>) {
        self.lock().state = Some(pulse);
    }

    /// Takes an API up, with what counts for it; where it is known, its figures go on.
    pub fn take_up(&self, plan: &Plan, account: &Account, meter: &Arc<Meter>, now: DateTime<Utc>) {
        let new = || Entry {
            meter: Arc::clone(meter),
            status: ApiStatus::new(plan, account, now),
            due: Some(Instant::now()),
        };
        self.lock().apis.entry(plan.name.clone()).or_insert_with(new).status.follow(plan);
    }

    /// Notes that an API has another plan.
    pub fn change(&self, plan: &Plan) {
        self.note(&plan.name, |status| status.follow(plan));
    }

    /// Notes that an API is gone.
    pub fn remove(&self, api: &str) {
        self.lock().apis.remove(api);
    }

    /// Notes that an iteration begins.
    pub fn begin(&self, api: &str, now: DateTime<Utc>) {
        if let Some(entry) = self.lock().apis.get_mut(api) {
            entry.status.phase = Phase::Running { since: now };
            entry.meter.touch();
        }
    }

    /// Notes how an iteration ended, and when the next begins.
    pub fn end(
        &self,
        api: &str,
        ended: Ended,
        trouble: Option<Trouble>,
        standing: Standing,
        next: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        let pause = next.and_then(|next| next.signed_duration_since(now).to_std().ok());
        if let Some(entry) = self.lock().apis.get_mut(api) {
            entry.due = pause.and_then(|pause| Instant::now().checked_add(pause));
        }
        self.note(api, |status| {
            status.phase = Phase::Waiting { until: next };
            status.took += Duration::try_from_secs_f64(ended.seconds).unwrap_or_default();
            if trouble.as_ref().is_some_and(|trouble| trouble.until.is_some()) {
                status.failed += 1;
            } else if trouble.is_some() {
                status.failed += 1;
                status.failures_in_a_row = status.failures_in_a_row.saturating_add(1);
            } else {
                status.succeeded += 1;
                status.failures_in_a_row = 0;
                status.last_success = Some(now);
            }
            status.trouble = trouble;
            status.standing = standing;
            // Copied only where somebody looks at it right now.
            let recent = Arc::make_mut(&mut status.recent);
            recent.push_back(ended);
            while recent.len() > RECENT_MAX {
                recent.pop_front();
            }
        });
    }

    /// Notes that no iteration follows, as the fetcher stops.
    pub fn rest(&self, api: &str) {
        if let Some(entry) = self.lock().apis.get_mut(api) {
            entry.status.phase = Phase::Waiting { until: None };
            entry.due = None;
        }
    }

    /// Notes that the config in the file was taken over, or what is wrong with it.
    pub fn reloaded(&self, faults: Vec<String>, now: DateTime<Utc>) {
        let mut noted = self.lock();
        if faults.is_empty() {
            noted.reload.succeeded = now;
        }
        noted.reload.faults = faults;
    }

    /// How many iterations have ended.
    #[must_use]
    pub fn iterations(&self) -> u64 {
        self.lock().apis.values().map(|entry| entry.status.succeeded + entry.status.failed).sum()
    }

    /// The totals of all APIs.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.lock().apis.values().map(|entry| entry.meter.totals()).fold(Totals::default(), Totals::and)
    }

    /// Everything as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let noted = self.lock();
        let apis = noted
            .apis
            .iter()
            .map(|(name, entry)| (name.clone(), ApiStatus { totals: entry.meter.totals(), ..entry.status.clone() }));
        let (started, reload, apis) = (self.started, noted.reload.clone(), apis.collect());
        Snapshot { started, reload, apis, memory: self.memory.usage() }
    }

    /// Healthy as long as one API is not failing, as the others' trouble is their own; and as long as nothing is stuck, which
    /// is the fetcher's own trouble, or its machine's.
    #[must_use]
    pub fn word(&self, now: Instant) -> Word {
        let noted = self.lock();
        let count = noted.apis.len();
        let failing: Vec<_> = noted.apis.iter().filter(|(_, entry)| entry.status.is_failing()).collect();
        let stuck: Vec<_> = noted.apis.iter().filter_map(|(name, entry)| Some((name, entry.stuck_for(now)?))).collect();
        let state = noted.state.as_ref().and_then(|pulse| pulse.hangs_for(now));
        let has_working = failing.len() < count || count == 0;
        let is_healthy = has_working && stuck.is_empty() && state.is_none();
        let mut text = match (is_healthy, has_working) {
            (true, _) if failing.is_empty() => format!("healthy: {count} of {count} APIs"),
            (true, _) => format!("degraded: {} of {count} APIs failing", failing.len()),
            (_, false) => {
                format!("unhealthy: all {count} APIs have been failing for {FAILED_ITERATIONS_MIN} iterations")
            }
            _ if state.is_some() => "unhealthy: the state can't be saved".to_owned(),
            _ => format!("unhealthy: {} of {count} APIs are stuck", stuck.len()),
        };
        if let Some(still) = state {
            text.push_str(&format!(
                "\nthe disk with the config's directory has not answered for {} s",
                still.as_secs()
            ));
        }
        for (name, still) in stuck.iter().take(APIS_NAMED_MAX) {
            text.push_str(&format!("\n{name}: nothing has moved for {}; restart the fetcher", words::pause(*still)));
        }
        for (name, entry) in failing.iter().take(APIS_NAMED_MAX) {
            let cause = entry.status.trouble.as_ref().map(|trouble| trouble.cause.as_str()).unwrap_or_default();
            text.push_str(&format!("\n{name}: {cause}"));
        }
        Word { is_healthy, text }
    }

    fn note(&self, api: &str, change: impl FnOnce(&mut ApiStatus)) {
        if let Some(entry) = self.lock().apis.get_mut(api) {
            change(&mut entry.status);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Surroundings, compile};

    fn end(board: &Board, api: &str, cause: Option<&str>) {
        let now = DateTime::default();
        let ended = Ended { at: now, seconds: 0.5, records: 7, pages: 1, is_failed: cause.is_some() };
        let trouble = cause.map(|cause| Trouble { cause: cause.to_owned(), advice: "look", until: None });
        board.end(api, ended, trouble, Standing::default(), None, now);
    }

    fn board_of(names: &[&str]) -> Board {
        let board = Board::new(DateTime::default(), MemoryBudget::default());
        for name in names {
            let text = format!(
                "logzio: {{url: 'http://127.0.0.1:1', token: t}}\nauth_apis:\n- {{type: cisco_secure_x, name: {name}, \
                 credentials: {{id: i, key: k}}, settings: {{time_interval: 5}}}}\n"
            );
            let config = compile(&text, &Surroundings { variable: &|_| None, folder: Path::new(".") }).config;
            let plan = config.expect("a config").apis.remove(0);
            board.take_up(&plan, &Account::default(), &Arc::default(), DateTime::default());
        }
        board
    }

    #[test]
    fn is_healthy_until_every_api_has_failed_three_times_in_a_row() {
        let board = board_of(&["a", "b"]);
        (0..5).for_each(|_| end(&board, "a", Some("no luck")));
        let text = "degraded: 1 of 2 APIs failing\na: no luck".to_owned();
        assert_eq!(board.word(Instant::now()), Word { is_healthy: true, text });
        (0..2).for_each(|_| end(&board, "b", Some("x")));
        assert!(board.word(Instant::now()).is_healthy);
        end(&board, "b", Some("no luck either"));
        assert!(
            !board.word(Instant::now()).is_healthy && board.word(Instant::now()).text.contains("b: no luck either")
        );
        end(&board, "b", None);
        assert!(board.word(Instant::now()).is_healthy);
    }

    #[test]
    fn an_iteration_without_a_byte_for_25_intervals_is_stuck_and_a_meant_wait_is_not() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        assert_eq!(patience(minutes(5)), minutes(125));
        assert_eq!((patience(Duration::from_millis(10)), patience(minutes(1440))), (STUCK_MIN, STUCK_MAX));
        let board = board_of(&["a", "b"]);
        let word_in = |span: Duration| board.word(Instant::now() + span);
        board.begin("a", DateTime::default());
        // The other one waits for nothing.
        end(&board, "b", None);
        assert!(word_in(Duration::ZERO).is_healthy && word_in(minutes(124)).is_healthy);
        let word = word_in(minutes(126));
        assert!(
            !word.is_healthy && word.text.starts_with("unhealthy: 1 of 2 APIs are stuck\na: nothing has moved for")
        );
        board.lock().apis["a"].meter.wait(minutes(10));
        assert!(word_in(minutes(134)).is_healthy && !word_in(minutes(136)).is_healthy);
        end(&board, "a", None);
        assert!(word_in(minutes(1000)).is_healthy, "no iteration follows");
    }

    #[test]
    fn an_iteration_that_does_not_begin_is_stuck() {
        let board = board_of(&["a"]);
        let word_in = |minutes: u64| board.word(Instant::now() + Duration::from_secs(minutes * 60));
        let now = DateTime::default();
        let ended = Ended { at: now, seconds: 0.5, records: 7, pages: 1, is_failed: false };
        board.end("a", ended, None, Standing::default(), Some(now + TimeDelta::minutes(60)), now);
        assert!(word_in(60 + 124).is_healthy && !word_in(60 + 126).is_healthy);
        board.rest("a");
        assert!(word_in(60 + 126).is_healthy);
    }

    #[test]
    fn a_disk_that_hangs_is_told_until_it_answers() {
        let board = board_of(&["a"]);
        let pulse = Arc::new(Pulse::default());
        board.watch_state(Arc::clone(&pulse));
        let later = || Instant::now() + crate::state::HANGS_AFTER;
        assert!(board.word(later()).is_healthy, "there is nothing to do");
        pulse.beat();
        assert!(board.word(Instant::now()).is_healthy);
        let word = board.word(later());
        assert!(
            !word.is_healthy && word.text.contains("the disk with the config's directory has not answered for 20 s")
        );
        pulse.rest();
        assert!(board.word(later()).is_healthy);
    }

    #[test]
    fn keeps_a_bounded_number_of_iterations_and_nothing_of_an_api_that_is_gone() {
        let board = board_of(&["a", "b"]);
        (0..RECENT_MAX * 2).for_each(|_| end(&board, "a", None));
        end(&board, "unknown", None);
        let snapshot = board.snapshot();
        assert_eq!(snapshot.apis.len(), 2);
        let api = &snapshot.apis["a"];
        assert_eq!((api.recent.len(), api.succeeded), (RECENT_MAX, 2 * RECENT_MAX as u64));
        board.remove("a");
        assert_eq!(board.snapshot().apis.keys().collect::<Vec<_>>(), ["b"]);
    }
}
