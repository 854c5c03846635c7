//! One iteration: from the first page to the last, and the checkpoint.
//!
//! Page by page: a page is read, its new records are put into batches, and while full batches ship, the next page is
//! fetched. What the listener acknowledged is remembered on the disk before the next batch goes, so that whatever happens,
//! an iteration that begins again ships only what is missing. The checkpoint moves once, at the end, when the listener has
//! everything.

mod delivery;
mod report;
mod run;
mod watch;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Client;
use tokio::time::Instant;

pub use report::{IterationError, Report};

use crate::fetch::{Fetcher, Seat, Seats, TokenCache};
use crate::meter::Meter;
use crate::plan::Plan;
use crate::record::date;
use crate::ship::{Listener, Shipper, Undelivered};
use crate::state::{Account, Folder, Past, Settlement, Sweep};
use crate::status::Board;
use crate::stop::Stop;
use crate::window::{Beginning, Gap, GapCause, Window, is_future, next_checkpoint};
use run::{Refused, Run};
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
    pub listener: Arc<Listener>,
    /// What can't be delivered.
    pub undelivered: Undelivered,
    /// The checkpoints, and what was delivered.
    pub folder: Arc<Folder>,
    /// Ends every wait.
    pub stop: Stop,
    /// How the APIs fare, for whoever watches.
    pub board: Arc<Board>,
    /// Where pages may be in memory.
    pub seats: Seats,
}

impl Services {
    /// The same with other connections.
    #[must_use]
    pub fn connected(&self, client: Client, listener: Listener) -> Self {
        Self {
            client,
            listener: Arc::new(listener),
            undelivered: self.undelivered.clone(),
            folder: Arc::clone(&self.folder),
            stop: self.stop.clone(),
            board: Arc::clone(&self.board),
            seats: self.seats.clone(),
        }
    }
}

/// An API between its iterations.
#[derive(Debug)]
pub struct Api {
    /// What to do.
    pub plan: Arc<Plan>,
    account: Account,
    meter: Arc<Meter>,
    token: TokenCache,
    /// A batch of which the listener refused lines, and that could not be kept in a file yet.
    refused: Option<Refused>,
    /// Whether the account was saved since the process began.
    is_saved: bool,
    has_told_overrule: bool,
    has_told_future: bool,
}

impl Api {
    /// Before its first iteration.
    #[must_use]
    pub fn new(plan: Arc<Plan>, account: Account) -> Self {
        Self {
            plan,
            account,
            meter: Arc::default(),
            token: TokenCache::default(),
            refused: None,
            is_saved: false,
            has_told_overrule: false,
            has_told_future: false,
        }
    }

    /// Takes a new plan. What is known of the API stays; a token stays where it is asked for as before.
    pub fn work_by(&mut self, plan: Arc<Plan>) {
        if self.plan.auth != plan.auth {
            self.token = TokenCache::default();
        }
        if self.plan.start != plan.start {
            self.has_told_overrule = false;
        }
        self.plan = plan;
    }

    /// What is to be kept of it where it may never come back; all of it, where it holds what isn't kept anywhere else.
    ///
    /// # Errors
    /// That is no error: the API, where it holds a batch that could not be kept in a file yet.
    pub fn at_rest(self) -> Result<Account, Box<Self>> {
        if self.refused.is_some() { Err(Box::new(self)) } else { Ok(self.account.at_rest()) }
    }

    /// What is known of it.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// What counts for it.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
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

    /// One iteration, and what it did, also where it failed: then the checkpoint stays, and what was delivered is
    /// remembered.
    pub async fn iterate(&mut self, services: &Services, now: DateTime<Utc>) -> (Result<(), IterationError>, Report) {
        let begun = Instant::now();
        let plan = Arc::clone(&self.plan);
        self.account.iteration = self.account.iteration.wrapping_add(1);
        let is_start_known = self.account.checkpoint.is_some() || plan.start.configured.is_some();
        self.account.beginning = match self.account.beginning {
            _ if is_start_known => None,
            begun => begun.or(Some(Beginning { at: now, newest: None })),
        };
        // Before the first delivery, or a crash would find deliveries of an account that nobody knows.
        if !std::mem::replace(&mut self.is_saved, true) {
            services.folder.save(&plan.name, self.account.clone()).await;
        }
        let is_wide = self.is_wide(now);
        let overlap = if is_wide { plan.start.overlap.retention() } else { self.overlap() };
        let window = Window::open(&plan.start, &self.account.known(overlap, now), now);
        self.tell_oddities(&window, now);
        tracing::debug!(api = plan.name, start = date::format(window.start), "iteration begins");
        let (result, mut report) = self.sweep(services, &plan, window, now).await;
        report.took = begun.elapsed();
        self.account.remember(Past {
            at: now,
            seconds: (report.took.as_secs_f64() * 1000.0).round() / 1000.0,
            records: report.shipped.records,
            pages: report.pages,
            error: result.as_ref().err().map(|error| plan.scrubber.scrub(&error.to_string())),
        });
        let (checkpoint, remembered_since) = match result {
            Ok(settled) => settled,
            Err(error) => {
                services.folder.save(&plan.name, self.account.clone()).await;
                return (Err(error), report);
            }
        };
        if is_wide {
            self.account.wide_look = self.account.last_sweep;
        }
        let (name, account) = (plan.name.clone(), self.account.clone());
        let settlement = Settlement { name, account, checkpoint, remembered_since };
        let settled = services.folder.settle(settlement).await.map(|account| self.account = account);
        report.took = begun.elapsed();
        (settled.map_err(IterationError::State), report)
    }

    /// Every page of the window. Gives the checkpoint after it, and since when everything is remembered.
    async fn sweep(
        &mut self,
        services: &Services,
        plan: &Plan,
        window: Window,
        now: DateTime<Utc>,
    ) -> (Result<(Option<DateTime<Utc>>, DateTime<Utc>), IterationError>, Report) {
        let seat = Seat::new(&services.seats);
        let (client, stop, meter) = (&services.client, &services.stop, &*self.meter);
        let fetcher = Fetcher { client, plan, stop, token: &self.token, seat, meter };
        let shipper = Shipper {
            listener: Arc::clone(&services.listener),
            undelivered: services.undelivered.clone(),
            stop: services.stop.clone(),
            api: plan.name.clone(),
        };
        let is_measured = self.was_looked_at(now);
        let remembered = services.folder.remembered(self.account.number).await;
        let (read, window, report, newest, observed) = {
            let mut run = Run::new(plan, &services.folder, shipper, &self.meter, &mut self.account, window, now);
            run.is_measured = is_measured;
            run.observed.remembered = remembered;
            run.refused = self.refused.take();
            let read = run.pages(&fetcher).await;
            self.refused = run.refused;
            (read, run.window, run.report, run.newest, run.observed)
        };
        if let Err(error) = read {
            return (Err(error), report);
        }
        let checkpoint = next_checkpoint(self.account.checkpoint, newest);
        self.note_sweep(&window, newest, &observed, now);
        let settled = (checkpoint, self.remembered_since(&window, checkpoint, now));
        (Ok(settled), report)
    }

    /// Since when everything delivered must stay remembered, after a complete sweep of a window.
    fn remembered_since(
        &self,
        window: &Window,
        checkpoint: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let floor = window.floor().unwrap_or(window.start);
        // What was remembered from before the window still is.
        let until_now = self.account.remembered_since.map_or(floor, |since| since.min(floor));
        let account = Account { checkpoint, ..self.account.clone() };
        let known = account.known(self.plan.start.overlap.retention(), now);
        let needed = Window::open(&self.plan.start, &known, now).start;
        // The edge is always needed, wherever filters and limits let the next window begin.
        needed.max(until_now).min(checkpoint.map_or(DateTime::<Utc>::MAX_UTC, date::floor_to_second))
    }

    /// Whether this iteration looks back as far as a measured overlap can.
    fn is_wide(&self, now: DateTime<Utc>) -> bool {
        let last = self.account.wide_look.map(|look| look.at);
        // Without memory it would ship again whatever it sees.
        let has_memory = self.account.remembered_since.is_some() && self.account.checkpoint.is_some();
        has_memory && self.plan.start.overlap.is_wide_look_due(last, now)
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
    fn note_sweep(&mut self, window: &Window, newest: Option<DateTime<Utc>>, observed: &Observed, now: DateTime<Utc>) {
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
        // What surfaced while it ran was swept, too.
        let until = newest.map_or(now, |newest| newest.max(now));
        if let Some(gap) = account.swept.add(window.start, until, window.gap_cause) {
            tell_gap(api, &gap);
            if gap.cause == GapCause::OutOfReach {
                self.meter.add_gap();
            }
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
