//! One iteration: from the first page to the last, and the checkpoint.
//!
//! Page by page: a page is read, its new records are put into batches, and while full batches ship, the next page is
//! fetched. What the listener acknowledged is remembered on the disk before the next batch goes, so that whatever happens,
//! an iteration that begins again ships only what is missing. The checkpoint moves once, at the end, when the listener has
//! everything.

mod report;
mod run;
mod watch;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Client;
use tokio::time::Instant;

pub use report::{IterationError, Report};

use crate::fetch::{Fetcher, TokenCache};
use crate::health::Health;
use crate::meter::Meter;
use crate::plan::Plan;
use crate::record::date;
use crate::ship::{Listener, Shipper, Undelivered};
use crate::state::{Account, Folder, Past, Settlement, Sweep};
use crate::stop::Stop;
use crate::window::{Beginning, Gap, GapCause, Window, is_future, next_checkpoint};
use run::Run;
use watch::Observed;

/// The most pages of one iteration: far more than a day of any API, and an end to any loop that is no repetition.
pub const PAGES_MAX: u64 = 100_000;
/// Beyond two intervals and this, an API was looked away from: what surfaced meanwhile says nothing about lateness.
const LOOKED_AWAY: TimeDelta = TimeDelta::minutes(10);

/// What iterations share.
#[derive(Debug)]
pub struct Services {
    /// The connections to the APIs.
    pub client: Client,
    /// The way to the listener.
    pub listener: Listener,
    /// What can't be delivered.
    pub undelivered: Undelivered,
    /// The checkpoints, and what was delivered.
    pub folder: Folder,
    /// Ends every wait.
    pub stop: Stop,
    /// Counts what is done, for whoever watches.
    pub meter: Arc<Meter>,
    /// How the APIs fare.
    pub health: Arc<Health>,
}

/// An API between its iterations.
#[derive(Debug)]
pub struct Api {
    /// What to do.
    pub plan: Arc<Plan>,
    account: Account,
    token: TokenCache,
    has_told_overrule: bool,
    has_told_future: bool,
}

impl Api {
    /// Before its first iteration.
    #[must_use]
    pub fn new(plan: Arc<Plan>, account: Account) -> Self {
        Self { plan, account, token: TokenCache::default(), has_told_overrule: false, has_told_future: false }
    }

    /// Where the next iteration begins, if it is known.
    #[must_use]
    pub fn checkpoint(&self) -> Option<DateTime<Utc>> {
        self.account.checkpoint
    }

    /// Until when everything was swept.
    #[must_use]
    pub fn swept_until(&self) -> Option<DateTime<Utc>> {
        self.account.swept.until()
    }

    /// One iteration.
    ///
    /// # Errors
    /// [`IterationError`]; the checkpoint stays, and what was delivered is remembered.
    pub async fn iterate(&mut self, services: &Services, now: DateTime<Utc>) -> Result<Report, IterationError> {
        let begun = Instant::now();
        let plan = Arc::clone(&self.plan);
        self.account.iteration = self.account.iteration.wrapping_add(1);
        let is_start_known = self.account.checkpoint.is_some() || plan.start.configured.is_some();
        if is_start_known {
            self.account.beginning = None;
        } else if self.account.beginning.is_none() {
            self.account.beginning = Some(Beginning { at: now, floor: None });
            services.folder.save(&plan.name, self.account.clone()).await;
        }
        let window = self.open_window(now);
        self.tell_oddities(&window, now);
        tracing::debug!(api = plan.name, start = date::format(window.start), "iteration begins");
        let (result, report) = self.sweep(services, &plan, window, now).await;
        let mut report = report;
        report.took = begun.elapsed();
        self.account.remember(Past {
            at: now,
            seconds: (report.took.as_secs_f64() * 1000.0).round() / 1000.0,
            records: report.shipped.records,
            pages: report.pages,
            error: result.as_ref().err().map(ToString::to_string),
        });
        let settlement = match result {
            Ok(settlement) => settlement,
            Err(error) => {
                services.folder.save(&plan.name, self.account.clone()).await;
                return Err(error);
            }
        };
        let settlement = Settlement { account: self.account.clone(), ..settlement };
        self.account = services.folder.settle(settlement).await.map_err(IterationError::Checkpoint)?;
        report.took = begun.elapsed();
        Ok(report)
    }

    /// Every page of the window. Gives what is to be written where it succeeds.
    async fn sweep(
        &mut self,
        services: &Services,
        plan: &Plan,
        window: Window,
        now: DateTime<Utc>,
    ) -> (Result<Settlement, IterationError>, Report) {
        let remembered = services.folder.remembered(self.account.number).await;
        let fetcher = Fetcher { client: &services.client, plan, stop: &services.stop, token: &self.token };
        let shipper = Shipper {
            listener: &services.listener,
            undelivered: &services.undelivered,
            stop: &services.stop,
            api: &plan.name,
        };
        let is_looked_at = self.was_looked_at(now);
        let mut run = Run::new(plan, &services.folder, shipper, &services.meter, &mut self.account, window, now);
        run.is_measured = is_looked_at;
        run.observed.remembered = remembered;
        let read = run.pages(&fetcher).await;
        let (window, report, newest, observed) = (run.window, run.report, run.newest, run.observed);
        if let Err(error) = read {
            if error.is_refused_start() {
                self.account.beginning = None;
            }
            return (Err(error), report);
        }
        self.note_sweep(&window, &observed, now);
        let checkpoint = next_checkpoint(self.account.checkpoint, newest);
        let account = Account { checkpoint, ..self.account.clone() };
        let next = Window::open(&plan.start, &account.known(self.overlap(), now), now);
        let settlement = Settlement {
            name: plan.name.clone(),
            account: self.account.clone(),
            checkpoint,
            remembered_since: next.start.max(window.start),
        };
        (Ok(settlement), report)
    }

    fn open_window(&self, now: DateTime<Utc>) -> Window {
        Window::open(&self.plan.start, &self.account.known(self.overlap(), now), now)
    }

    fn overlap(&self) -> TimeDelta {
        self.plan.start.overlap.span(&self.account.lateness)
    }

    /// Whether the API was asked not long ago, so that what is new surfaced since.
    fn was_looked_at(&self, now: DateTime<Utc>) -> bool {
        let interval = TimeDelta::from_std(self.plan.interval).unwrap_or(TimeDelta::MAX);
        let away = interval.checked_mul(2).and_then(|away| away.checked_add(&LOOKED_AWAY)).unwrap_or(TimeDelta::MAX);
        self.account.last_sweep.is_some_and(|last| now.signed_duration_since(last.at) <= away)
    }

    /// Notes what a complete iteration swept, and what was odd about it.
    fn note_sweep(&mut self, window: &Window, observed: &Observed, now: DateTime<Utc>) {
        let api = self.plan.name.as_str();
        if let Some(last) = self.account.last_sweep.filter(|_| !self.was_looked_at(now)) {
            let since = date::format(last.at);
            tracing::info!(api, since, "everything since the last complete iteration has been swept");
        }
        let account = &mut self.account;
        account.beginning = None;
        account.last_sweep = Some(Sweep { start: window.start, at: now });
        if let Some(wanted) = window.out_of_reach.filter(|_| account.swept.until().is_none()) {
            account.swept.add(wanted, wanted, GapCause::Moved);
        }
        if let Some(gap) = account.swept.add(window.start, now, window.gap_cause) {
            tell_gap(api, &gap);
        }
        for oddity in watch::judge(account, observed, now) {
            tracing::warn!(api, "{}", oddity.advice());
        }
    }

    /// Tells once what may surprise whoever wrote the config or edited the checkpoints.
    fn tell_oddities(&mut self, window: &Window, now: DateTime<Utc>) {
        let (api, checkpoint) = (self.plan.name.as_str(), self.checkpoint().map(date::format).unwrap_or_default());
        if window.overrules_config && !std::mem::replace(&mut self.has_told_overrule, true) {
            tracing::info!(
                api,
                checkpoint,
                "the checkpoint is later than the start date in the filters and counts; to start over, stop, delete the \
                 API's line in last_start_dates.txt, and start again"
            );
        }
        let is_ahead = self.checkpoint().is_some_and(|checkpoint| is_future(checkpoint, now));
        if is_ahead && !std::mem::replace(&mut self.has_told_future, true) {
            tracing::warn!(
                api,
                checkpoint,
                "the checkpoint lies in the future, and nothing before it is shipped; stop, mend the API's line in \
                 last_start_dates.txt, and start again"
            );
        }
    }
}

fn tell_gap(api: &str, gap: &Gap) {
    let (from, until) = (date::format(gap.from), date::format(gap.until));
    let why = gap.cause.words();
    match gap.cause {
        GapCause::OutOfReach => tracing::warn!(api, from, until, why, "a gap: what lies between can't be fetched"),
        GapCause::Filter | GapCause::Moved => {
            tracing::info!(api, from, until, why, "a gap: what lies between is left out")
        }
    }
}
