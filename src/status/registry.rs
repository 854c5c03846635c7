//! What is known of every API while the process lives, for whoever asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::ask::HealthReport;
use super::cluster::{ClusterReading, ClusterSources, ClusterStanding, SUSPENDED};
use super::snapshot::{
    ApiStatus, FAILED_ITERATIONS_MIN, Failure, Phase, RecentIteration, Reload, Snapshot, StateSummary,
};
use crate::cluster::since_boot;
use crate::counters::{Counters, Totals};
use crate::memory::MemoryBudget;
use crate::plan::Plan;
use crate::state::{ApiState, Pulse};
use crate::text::humanize;

/// How many failing APIs a word names.
const APIS_NAMED_MAX: usize = 5;

/// Where every API's state is noted. Nothing is done by it.
#[derive(Debug)]
pub struct StatusRegistry {
    started: DateTime<Utc>,
    memory: MemoryBudget,
    noted: Mutex<Noticed>,
}

/// An API and one of its outputs, to be taken up.
#[derive(Clone, Copy, Debug)]
pub struct RegisteredLane<'l> {
    /// Under which name it is shown.
    pub name: &'l str,
    /// The output, where the API has others.
    pub output: Option<&'l str>,
    /// What is known of it.
    pub account: &'l ApiState,
    /// What counts for it.
    pub counters: &'l Arc<Counters>,
}

#[derive(Debug)]
struct Noticed {
    apis: BTreeMap<String, RegisteredApi>,
    reload: Reload,
    /// Of the thread that keeps the state, where there is one.
    state: Option<Arc<Pulse>>,
    /// The cluster that this process is a member of.
    cluster: Option<(ClusterSources, ClusterReading)>,
    /// The APIs of the config, also those that other members run.
    configured: Vec<String>,
}

impl Noticed {
    fn cluster(&self) -> Option<ClusterStanding> {
        let (sources, reading) = self.cluster.as_ref()?;
        let runs = |name: &&String| self.apis.values().any(|entry| entry.status.api == **name);
        let elsewhere = self.configured.iter().filter(|name| !runs(name)).cloned().collect();
        Some(ClusterStanding::of(sources, reading, elsewhere, since_boot()))
    }

    /// Whether the cluster's engine doesn't answer.
    fn is_suspended(&self) -> bool {
        let clock = self.cluster.as_ref().map(|(sources, _)| *sources.clock.borrow());
        clock.is_some_and(|clock| clock.remaining(since_boot()).is_zero())
    }
}

#[derive(Debug)]
struct RegisteredApi {
    counters: Arc<Counters>,
    status: ApiStatus,
    /// When the next iteration should begin, while it waits for one.
    due: Option<Instant>,
    /// How many records there were when the last iteration ended.
    records_before: u64,
}

/// How many intervals an iteration may go without a byte,
const STUCK_INTERVALS: u32 = 25;
/// and how long at least: each wait within an iteration is shorter, the five minutes that an API may ask for, those that the
/// listener is asked again, and the timeouts of the requests after them;
const STUCK_MIN: Duration = Duration::from_secs(15 * 60);
/// and how long at most: none of those waits grows with the interval.
const STUCK_MAX: Duration = Duration::from_secs(6 * 3600);

impl RegisteredApi {
    fn status(&self, now: Instant) -> ApiStatus {
        let totals = self.counters.totals();
        let under_way = totals.records.saturating_sub(self.records_before);
        ApiStatus { totals, under_way, stuck_for: self.stuck_for(now), ..self.status.clone() }
    }

    /// How long nothing has moved in an iteration that is under way, or the next one is overdue; nothing where all is as it
    /// should be. All waits have an end, so this is a bug, or a machine that does not get on.
    fn stuck_for(&self, now: Instant) -> Option<Duration> {
        let still = match (self.status.phase, self.due) {
            (Phase::Running { .. }, _) => self.counters.still_for(now),
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

impl StatusRegistry {
    /// Without APIs.
    #[must_use]
    pub fn new(now: DateTime<Utc>, memory: MemoryBudget) -> Self {
        let reload = Reload { succeeded: now, faults: Vec::new(), is_partial: false };
        Self {
            started: now,
            memory,
            noted: Mutex::new(Noticed {
                apis: BTreeMap::new(),
                reload,
                state: None,
                cluster: None,
                configured: Vec::new(),
            }),
        }
    }

    /// Has an eye on the thread that keeps the state.
    pub fn watch_state(&self, pulse: Arc<Pulse>) {
        self.lock().state = Some(pulse);
    }

    /// Tells of a cluster from now on.
    pub fn joined(&self, sources: ClusterSources) {
        self.lock().cluster = Some((sources, ClusterReading::default()));
    }

    /// Notes what its engine held.
    pub fn cluster_was_read(&self, reading: ClusterReading) {
        if let Some((_, known)) = &mut self.lock().cluster {
            *known = reading;
        }
    }

    /// What is wrong with the cluster and isn't told where it happens.
    pub(super) fn cluster_troubles(&self) -> Vec<String> {
        let standing = self.lock().cluster();
        let troubles = standing.map(|standing| standing.troubles()).unwrap_or_default();
        troubles.into_iter().filter(|trouble| trouble != SUSPENDED).collect()
    }

    /// Notes the names of the config's APIs, wherever they run.
    pub fn configured(&self, names: Vec<String>) {
        self.lock().configured = names;
    }

    /// Takes up an API with all of its outputs, and what counts for each; where one is known, its figures go on. Outputs that
    /// it has no longer are gone.
    pub fn take_up(&self, plan: &Plan, lanes: &[RegisteredLane<'_>], now: DateTime<Utc>) {
        let mut noted = self.lock();
        let is_gone =
            |name: &str, status: &ApiStatus| status.api == plan.name && !lanes.iter().any(|lane| lane.name == name);
        noted.apis.retain(|name, entry| !is_gone(name, &entry.status));
        for lane in lanes {
            let new = || RegisteredApi {
                counters: Arc::clone(lane.counters),
                status: ApiStatus::new(plan, lane.output, lane.account, now),
                due: Some(Instant::now()),
                records_before: lane.counters.totals().records,
            };
            noted.apis.entry(lane.name.to_owned()).or_insert_with(new).status.follow(plan);
        }
    }

    /// Notes that an API is gone.
    pub fn remove(&self, api: &str) {
        self.lock().apis.retain(|_, entry| entry.status.api != api);
    }

    /// Notes that an iteration begins.
    pub fn begin(&self, api: &str, now: DateTime<Utc>) {
        if let Some(entry) = self.lock().apis.get_mut(api) {
            entry.status.phase = Phase::Running { since: now };
            entry.counters.touch();
        }
    }

    /// Notes how an iteration ended, and when the next begins.
    pub fn end(
        &self,
        api: &str,
        ended: RecentIteration,
        trouble: Option<Failure>,
        standing: StateSummary,
        next: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        let pause = next.and_then(|next| next.signed_duration_since(now).to_std().ok());
        if let Some(entry) = self.lock().apis.get_mut(api) {
            entry.due = pause.and_then(|pause| Instant::now().checked_add(pause));
            entry.records_before = entry.counters.totals().records;
        }
        self.note(api, |status| {
            status.phase = Phase::Waiting { until: next };
            status.standing = standing;
            status.end(ended, trouble, now);
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
        (noted.reload.faults, noted.reload.is_partial) = (faults, false);
    }

    /// Notes that the config in the file was taken over, without the entries that have these faults.
    pub fn taken_over(&self, faults: Vec<String>, now: DateTime<Utc>) {
        let is_partial = !faults.is_empty();
        self.lock().reload = Reload { succeeded: now, faults, is_partial };
    }

    /// How many iterations have ended.
    #[must_use]
    pub fn iterations(&self) -> u64 {
        self.lock().apis.values().map(|entry| entry.status.succeeded + entry.status.failed).sum()
    }

    /// The totals of all APIs.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.lock().apis.values().map(|entry| entry.counters.totals()).fold(Totals::default(), Totals::and)
    }

    /// Everything as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let noted = self.lock();
        let clock = Instant::now();
        let apis = noted.apis.iter().map(|(name, entry)| (name.clone(), entry.status(clock)));
        let (started, reload, apis) = (self.started, noted.reload.clone(), apis.collect());
        Snapshot { started, reload, apis, memory: self.memory.usage(), cluster: noted.cluster() }
    }

    /// Healthy as long as one API is not failing, as the others' trouble is their own; and as long as nothing is stuck, which
    /// is the fetcher's own trouble, or its machine's.
    #[must_use]
    pub fn word(&self, now: Instant) -> HealthReport {
        let noted = self.lock();
        let count = noted.apis.len();
        let failing: Vec<_> = noted.apis.iter().filter(|(_, entry)| entry.status.is_failing()).collect();
        let stuck: Vec<_> = noted.apis.iter().filter_map(|(name, entry)| Some((name, entry.stuck_for(now)?))).collect();
        let state = noted.state.as_ref().and_then(|pulse| pulse.hangs_for(now));
        let has_working = failing.len() < count || count == 0;
        let is_suspended = noted.is_suspended();
        let is_healthy = has_working && stuck.is_empty() && state.is_none() && !is_suspended;
        let mut text = match (is_healthy, has_working) {
            (true, _) if failing.is_empty() => format!("healthy: {count} of {count} APIs"),
            (true, _) => format!("degraded: {} of {count} APIs failing", failing.len()),
            (_, false) => {
                format!("unhealthy: all {count} APIs have been failing for {FAILED_ITERATIONS_MIN} iterations")
            }
            _ if is_suspended => format!("unhealthy: {SUSPENDED}"),
            _ if state.is_some() => "unhealthy: the state can't be saved".to_owned(),
            _ => format!("unhealthy: {} of {count} APIs are stuck", stuck.len()),
        };
        let skipped = Some(&noted.reload).filter(|reload| reload.is_partial);
        if let (Some(reload), true, true) = (skipped, is_healthy, failing.is_empty()) {
            let without = humanize::counted(reload.faults.len() as u64, "error");
            text = format!("degraded: {count} APIs run, without the entries of the config that have {without}");
        }
        if let Some(still) = state {
            text.push_str(&format!(
                "\nthe disk with the config's directory has not answered for {} s",
                still.as_secs()
            ));
        }
        for (name, still) in stuck.iter().take(APIS_NAMED_MAX) {
            text.push_str(&format!("\n{name}: nothing has moved for {}; restart the fetcher", humanize::pause(*still)));
        }
        for (name, entry) in failing.iter().take(APIS_NAMED_MAX) {
            let cause = entry.status.trouble.as_ref().map(|trouble| trouble.cause.as_str()).unwrap_or_default();
            text.push_str(&format!("\n{name}: {cause}"));
        }
        for fault in skipped.into_iter().flat_map(|reload| &reload.faults).take(APIS_NAMED_MAX) {
            text.push_str(&format!("\n{fault}"));
        }
        HealthReport { is_healthy, text }
    }

    fn note(&self, api: &str, change: impl FnOnce(&mut ApiStatus)) {
        if let Some(entry) = self.lock().apis.get_mut(api) {
            change(&mut entry.status);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noticed> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use chrono::TimeDelta;

    use super::super::snapshot::RECENT_MAX;
    use super::*;
    use crate::config::{Environment, compile};

    fn end(registry: &StatusRegistry, api: &str, cause: Option<&str>) {
        let now = DateTime::default();
        let ended = RecentIteration { at: now, seconds: 0.5, records: 7, pages: 1, is_failed: cause.is_some() };
        let trouble = cause.map(|cause| Failure { cause: cause.to_owned(), hint: "look", until: None });
        registry.end(api, ended, trouble, StateSummary::default(), None, now);
    }

    fn board_of(names: &[&str]) -> StatusRegistry {
        let registry = StatusRegistry::new(DateTime::default(), MemoryBudget::default());
        for name in names {
            let text = format!(
                "logzio: {{url: 'http://127.0.0.1:1', token: t}}\nauth_apis:\n- {{type: cisco_secure_x, name: {name}, \
                 credentials: {{id: i, key: k}}, settings: {{time_interval: 5}}}}\n"
            );
            let config = compile(&text, &Environment { variable: &|_| None, directory: Path::new(".") }).config;
            let plan = config.expect("a config").apis.remove(0);
            let (account, counters) = (&ApiState::default(), &Arc::default());
            let lane = RegisteredLane { name: &plan.name, output: None, account, counters };
            registry.take_up(&plan, &[lane], DateTime::default());
        }
        registry
    }

    #[test]
    fn is_healthy_until_every_api_has_failed_three_times_in_a_row() {
        let registry = board_of(&["a", "b"]);
        (0..5).for_each(|_| end(&registry, "a", Some("no luck")));
        let text = "degraded: 1 of 2 APIs failing\na: no luck".to_owned();
        assert_eq!(registry.word(Instant::now()), HealthReport { is_healthy: true, text });
        (0..2).for_each(|_| end(&registry, "b", Some("x")));
        assert!(registry.word(Instant::now()).is_healthy);
        end(&registry, "b", Some("no luck either"));
        assert!(
            !registry.word(Instant::now()).is_healthy
                && registry.word(Instant::now()).text.contains("b: no luck either")
        );
        end(&registry, "b", None);
        assert!(registry.word(Instant::now()).is_healthy);
    }

    #[test]
    fn an_iteration_without_a_byte_for_25_intervals_is_stuck_and_a_meant_wait_is_not() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        assert_eq!(patience(minutes(5)), minutes(125));
        assert_eq!((patience(Duration::from_millis(10)), patience(minutes(1440))), (STUCK_MIN, STUCK_MAX));
        let registry = board_of(&["a", "b"]);
        let word_in = |span: Duration| registry.word(Instant::now() + span);
        registry.begin("a", DateTime::default());
        // The other one waits for nothing.
        end(&registry, "b", None);
        assert!(word_in(Duration::ZERO).is_healthy && word_in(minutes(124)).is_healthy);
        let word = word_in(minutes(126));
        assert!(
            !word.is_healthy && word.text.starts_with("unhealthy: 1 of 2 APIs are stuck\na: nothing has moved for")
        );
        registry.lock().apis["a"].counters.wait(minutes(10));
        assert!(word_in(minutes(134)).is_healthy && !word_in(minutes(136)).is_healthy);
        end(&registry, "a", None);
        assert!(word_in(minutes(1000)).is_healthy, "no iteration follows");
    }

    #[test]
    fn an_iteration_that_does_not_begin_is_stuck() {
        let registry = board_of(&["a"]);
        let word_in = |minutes: u64| registry.word(Instant::now() + Duration::from_secs(minutes * 60));
        let now = DateTime::default();
        let ended = RecentIteration { at: now, seconds: 0.5, records: 7, pages: 1, is_failed: false };
        registry.end("a", ended, None, StateSummary::default(), Some(now + TimeDelta::minutes(60)), now);
        assert!(word_in(60 + 124).is_healthy && !word_in(60 + 126).is_healthy);
        registry.rest("a");
        assert!(word_in(60 + 126).is_healthy);
    }

    #[test]
    fn a_disk_that_hangs_is_told_until_it_answers() {
        let registry = board_of(&["a"]);
        let pulse = Arc::new(Pulse::default());
        registry.watch_state(Arc::clone(&pulse));
        let later = || Instant::now() + crate::state::HANGS_AFTER;
        assert!(registry.word(later()).is_healthy, "there is nothing to do");
        pulse.beat();
        assert!(registry.word(Instant::now()).is_healthy);
        let word = registry.word(later());
        assert!(
            !word.is_healthy && word.text.contains("the disk with the config's directory has not answered for 20 s")
        );
        pulse.rest();
        assert!(registry.word(later()).is_healthy);
    }

    #[test]
    fn keeps_a_bounded_number_of_iterations_and_nothing_of_an_api_that_is_gone() {
        let registry = board_of(&["a", "b"]);
        (0..RECENT_MAX * 2).for_each(|_| end(&registry, "a", None));
        end(&registry, "unknown", None);
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.apis.len(), 2);
        let api = &snapshot.apis["a"];
        assert_eq!((api.recent.len(), api.succeeded), (RECENT_MAX, 2 * RECENT_MAX as u64));
        registry.remove("a");
        assert_eq!(registry.snapshot().apis.keys().collect::<Vec<_>>(), ["b"]);
    }
}
