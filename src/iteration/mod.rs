//! One iteration: from the first page to the last, and the checkpoint.
//!
//! Page by page: a page is read, its new records are put into batches, and while full batches ship, the next page is
//! fetched. What the listener acknowledged is remembered on the disk before the next batch goes, so that whatever happens,
//! an iteration that begins again ships only what is missing. The checkpoint moves once, at the end, when the listener has
//! everything.

mod at_work;
mod delivery;
mod intake;
mod kept;
mod outcome;
mod pipeline;
mod report;
#[cfg(test)]
mod simulation;
mod steps;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

pub use report::{IterationError, IterationReport};
pub use steps::{JobProgress, job_progress};

use crate::counters::Counters;
use crate::fetch::{FetchError, Fetcher, Gate, Gates, TokenCache, TokenSlot, Waits};
use crate::http::ClientError;
use crate::memory::MemoryBudget;
use crate::plan::{Auth, Plan};
use crate::process::stop::{Recall, Stop};
use crate::record::date;
use crate::ship::{DeadLetterFile, Listener, Shipper};
use crate::state::{ApiState, Claim, IterationSummary, Store};
use crate::status::StatusRegistry;
use crate::text::humanize;
use crate::transport::Transport;
use crate::window::{Gap, GapCause, Halving, Window, is_future};
use delivery::BatchSender;
use intake::Intake;
use outcome::{EndedChain, How, Moved};
use pipeline::{Lane, Pipeline, RefusedBatch};
use watch::Observed;

/// Beyond two intervals and this, an API was not asked: what surfaced meanwhile says nothing about arrival delay.
const LOOKED_AWAY: TimeDelta = TimeDelta::minutes(10);

/// The most slices of one iteration; the next one goes on.
const SLICES_MAX: u32 = 100_000;

/// An iteration that was cut.
struct Cut {
    error: IterationError,
    /// Where the checkpoint moves all the same.
    moved: Option<Moved>,
}

/// What iterations share.
#[derive(Debug)]
pub struct Services {
    /// The way to the APIs.
    pub transport: Transport,
    /// The way to the listener.
    pub listener: Arc<Listener>,
    /// What can't be delivered.
    pub undelivered: DeadLetterFile,
    /// The checkpoints, and what was delivered.
    pub store: Store,
    /// Ends every wait.
    pub stop: Stop,
    /// How the APIs fare, for whoever watches.
    pub registry: Arc<StatusRegistry>,
    /// How much of pages, records and batches may be in memory.
    pub memory: MemoryBudget,
    /// The access tokens; entries that ask for one in the same words share it.
    pub tokens: TokenCache,
    /// Where the entries that ask one host with one login meet.
    pub gates: Gates,
    /// The longest wait that an API may ask for within an iteration; a longer one ends it.
    pub asked_max: Duration,
}

impl Services {
    /// The same with other connections.
    #[must_use]
    pub fn connected(&self, transport: Transport, listener: Listener) -> Self {
        Self {
            transport,
            listener: Arc::new(listener),
            undelivered: self.undelivered.clone(),
            store: self.store.clone(),
            stop: self.stop.clone(),
            registry: Arc::clone(&self.registry),
            memory: self.memory.clone(),
            tokens: self.tokens.clone(),
            gates: self.gates.clone(),
            asked_max: self.asked_max,
        }
    }
}

/// An API between its iterations.
#[derive(Debug)]
pub struct Api {
    /// What to do.
    pub plan: Arc<Plan>,
    /// The same with what only records tell, as the iteration under way works by it.
    at_work: Arc<Plan>,
    /// The right to write its state.
    claim: Claim,
    account: ApiState,
    counters: Arc<Counters>,
    /// Its own way to the API, where it shows certificates.
    transport: Option<Transport>,
    /// Where its access token is kept.
    token: Arc<TokenSlot>,
    /// Where it meets the others with its host and login.
    gate: Arc<Gate>,
    /// Calls it back from its waits.
    recall: Recall,
    /// A batch of which the listener refused lines, and that could not be kept in a file yet.
    refused: Option<RefusedBatch>,
    /// Whether the account was saved since the process began.
    is_saved: bool,
    has_told_overrule: bool,
    has_told_future: bool,
}

impl Api {
    /// Before its first iteration.
    #[must_use]
    pub fn new(plan: Arc<Plan>, claim: Claim, account: ApiState) -> Self {
        Self {
            at_work: Arc::clone(&plan),
            plan,
            claim,
            account,
            counters: Arc::default(),
            transport: None,
            token: Arc::default(),
            gate: Arc::default(),
            recall: Recall::never(),
            refused: None,
            is_saved: false,
            has_told_overrule: false,
            has_told_future: false,
        }
    }

    /// What calls it back from a wait, from the next iteration on.
    pub fn listen_to(&mut self, recall: Recall) {
        self.recall = recall;
    }

    /// Takes a new plan. What is known of the API stays.
    pub fn work_by(&mut self, plan: Arc<Plan>) {
        if self.plan.start != plan.start {
            self.has_told_overrule = false;
        }
        self.plan = plan;
        self.transport = None;
    }

    /// What is to be kept of it where it may never come back; all of it, where it holds what isn't kept anywhere else.
    ///
    /// # Errors
    /// That is no error: the API, where it holds a batch that could not be kept in a file yet.
    pub fn at_rest(self) -> Result<ApiState, Box<Self>> {
        if self.refused.is_some() { Err(Box::new(self)) } else { Ok(self.account.at_rest()) }
    }

    /// What is known of it.
    #[must_use]
    pub fn account(&self) -> &ApiState {
        &self.account
    }

    /// Puts another account in the place of its own, as somebody moved its checkpoint.
    pub fn replace_account(&mut self, account: ApiState) {
        self.account = account;
    }

    /// What counts for it.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Where the next iteration begins, if it is known.
    #[must_use]
    pub fn checkpoint(&self) -> Option<DateTime<Utc>> {
        self.account.checkpoint
    }

    /// Until when everything was fetched.
    #[must_use]
    pub fn swept_until(&self) -> Option<DateTime<Utc>> {
        self.account.coverage.until()
    }

    /// One iteration, slice by slice, and what it did, also where it failed: then the checkpoint stays where the last
    /// complete slice moved it, and what was delivered is remembered.
    pub async fn iterate(
        &mut self,
        services: &Services,
        now: DateTime<Utc>,
    ) -> (Result<(), IterationError>, IterationReport) {
        let clock = services.transport.clock();
        let begun = clock.instant();
        let mut report = IterationReport::default();
        for _ in 0..SLICES_MAX {
            let slice_before = self.account.slice_from;
            let passed = TimeDelta::from_std(clock.instant().saturating_duration_since(begun)).unwrap_or_default();
            let (result, slice) = self.iterate_slice(services, now + passed).await;
            report.add(&slice);
            let slice_after = self.account.slice_from;
            let has_next = slice_after.is_some() && slice_after != slice_before;
            if result.is_err() || !has_next || services.stop.is_requested() {
                return (result, report);
            }
            tracing::debug!(api = self.plan.name, records = slice.shipped.records, "a slice of the window is complete");
        }
        (Ok(()), report)
    }

    /// One slice of the window: all of it, where nothing limits its length.
    async fn iterate_slice(
        &mut self,
        services: &Services,
        now: DateTime<Utc>,
    ) -> (Result<(), IterationError>, IterationReport) {
        let begun = Instant::now();
        self.at_work = at_work::at_work(&self.plan, &self.account);
        let plan = Arc::clone(&self.at_work);
        if let Err(error) = self.wait_as_asked(services, now).await {
            return (Err(error), IterationReport::default());
        }
        outcome::begin(&plan.start, &mut self.account, now);
        // Before the first delivery, or a crash would find deliveries of an account that nobody knows.
        if !std::mem::replace(&mut self.is_saved, true) {
            self.claim.save(self.account.clone()).await;
            if let Some(words) = plan.snapshot_words() {
                tracing::info!(api = plan.name, "{words}");
            }
        }
        let (window, is_wide) = outcome::open(&plan.start, &mut self.account, now, self.counters.clock_behind());
        self.tell_oddities(&window, now);
        tracing::debug!(api = plan.name, start = date::format(window.start), "iteration begins");
        let (result, mut report) = self.sweep(services, &plan, window, is_wide, now).await;
        report.took = begun.elapsed();
        self.account.remember(IterationSummary {
            at: now,
            seconds: (report.took.as_secs_f64() * 1000.0).round() / 1000.0,
            records: report.shipped.records,
            pages: report.pages,
            error: result
                .as_ref()
                .err()
                .filter(|cut| !cut.error.is_cap())
                .map(|cut| plan.redactor.redact(&cut.error.to_string())),
        });
        let (failure, moved) = match result {
            Ok(settled) => (None, Some(settled)),
            Err(Cut { error, moved }) if error.is_cap() => {
                tracing::info!(api = plan.name, "{error}");
                (None, moved)
            }
            Err(Cut { error, moved }) => (Some(error), moved),
        };
        let Some((checkpoint, remembered_since)) = moved else {
            self.claim.save(self.account.clone()).await;
            return (failure.map_or(Ok(()), Err), report);
        };
        let settled = self.claim.commit(self.account.clone(), checkpoint, remembered_since).await;
        let settled = settled.map(|account| self.account = account);
        report.took = begun.elapsed();
        (failure.map_or(settled.map_err(IterationError::State), Err), report)
    }

    /// Waits until the API may be asked again, also over a restart; an error where that is longer than an iteration waits.
    async fn wait_as_asked(&self, services: &Services, now: DateTime<Utc>) -> Result<(), IterationError> {
        let Some(until) = self.account.not_before.filter(|until| *until > now) else { return Ok(()) };
        let left = until.signed_duration_since(now).to_std().unwrap_or_default();
        let host = self.plan.request.url.origin().ascii_serialization();
        let ended = |cause| Err(IterationError::Fetch { page: 1, cause });
        if left > services.asked_max {
            return ended(FetchError::Held { host, until });
        }
        let waits = self.waits(services);
        waits.wait(left).await.or_else(ended)
    }

    fn waits(&self, services: &Services) -> Waits {
        let clock = services.transport.clock();
        Waits::new(services.stop.clone(), self.recall.clone(), services.asked_max, clock)
    }

    /// Sees to a way of its own, where the entry has certificates.
    fn connect(&mut self, services: &Services, plan: &Plan) -> Result<(), IterationError> {
        let Some(identity) = plan.identity.as_ref().filter(|_| self.transport.is_none()) else { return Ok(()) };
        let made = services.transport.with_identity(identity);
        let broken = |error: ClientError| {
            let (url, cause) = (plan.redactor.url(&plan.request.url), error.to_string());
            IterationError::Fetch { page: 1, cause: FetchError::Broken { url, cause } }
        };
        self.transport = Some(made.map_err(broken)?);
        Ok(())
    }

    /// Every page of the window. Gives the checkpoint after it, and since when everything is remembered.
    async fn sweep(
        &mut self,
        services: &Services,
        plan: &Plan,
        window: Window,
        is_wide: bool,
        now: DateTime<Utc>,
    ) -> (Result<Moved, Cut>, IterationReport) {
        if let Auth::Token(request) = &plan.auth {
            self.token = services.tokens.slot(request);
        }
        if let Err(error) = self.connect(services, plan) {
            return (Err(Cut { error, moved: None }), IterationReport::default());
        }
        let waits = self.waits(services);
        self.gate = services.gates.of(plan);
        let transport = self.transport.as_ref().unwrap_or(&services.transport);
        let (token, gate) = (&self.token, &self.gate);
        let counters = &*self.counters;
        let (memory, outage) = (&services.memory, services.listener.outage());
        let fetcher = Fetcher { transport, plan, waits, token, gate, memory, outage, counters };
        let shipper = Shipper {
            listener: Arc::clone(&services.listener),
            undelivered: services.undelivered.clone(),
            stop: services.stop.clone(),
            api: plan.name.clone(),
            tally: Arc::default(),
        };
        let undelivered = Arc::clone(&shipper.tally);
        let remembered = self.claim.remembered(self.account.ledger).await;
        let delivery = BatchSender::new(shipper, services.memory.permit(), self.recall.clone(), now);
        let chain = outcome::chain(&plan.start, &self.account, now);
        let mut intake = Intake::new(plan.start.goes_by_arrival(), window, chain, remembered);
        intake.observed.skips_known = plan.start.skips_known();
        let lane = Lane::new(delivery, self.refused.take());
        let parts = (&self.claim, &*self.counters);
        let mut pipeline = Pipeline::new((plan, now), parts, &mut self.account, intake, lane);
        let read = pipeline.pages(&fetcher).await;
        let Pipeline { intake, entries, lane, resumed, report, .. } = pipeline;
        let (chain, observed) = (&intake.chain, intake.observed);
        let ended = EndedChain {
            window: intake.window,
            course: chain.course(),
            is_newest_first: chain.is_newest_first(),
            is_look: is_wide && resumed.is_none(),
            is_delivered: !lane.has_failed && (entries.is_settled() || !entries.has_undone()),
            undone: entries.undone(),
            are_entries_settled: entries.is_settled(),
        };
        self.refused = lane.refused;
        undelivered.tell(&plan.name);
        if report.pages > 0 {
            self.account.lookback.add(report.pages, observed.back, ended.is_look, now);
        }
        let ended = self.conclude(read, &ended, &observed, report.pages, now);
        (ended.map_err(|cut| *cut), report)
    }

    /// Notes how an iteration ended. Gives the checkpoint after it, and since when everything is remembered.
    fn conclude(
        &mut self,
        read: Result<(), IterationError>,
        ended: &EndedChain,
        observed: &Observed,
        pages: u64,
        now: DateTime<Utc>,
    ) -> Result<Moved, Box<Cut>> {
        let rule = self.at_work.start;
        let Err(error) = read else {
            self.note_sweep(ended, observed, now);
            return Ok(outcome::complete(&rule, &mut self.account, ended, observed, now));
        };
        let (how, halving) = (How::of(&error, pages), self.account.halving);
        let moved = outcome::cut(&rule, &mut self.account, ended, how, now);
        self.tell_halving(halving);
        if ended.are_entries_settled {
            let moved = moved.or_else(|| outcome::entries_failed(&rule, &mut self.account, ended, now));
            return Err(Box::new(Cut { error, moved }));
        }
        if let Some((Some(checkpoint), _)) = moved {
            let checkpoint = date::format(checkpoint);
            tracing::warn!(
                api = self.plan.name,
                checkpoint,
                "the pages can't be read to their end; as they come oldest first, the checkpoint moves to what is delivered"
            );
        }
        Err(Box::new(Cut { error, moved }))
    }

    /// Whether the API was asked not long ago.
    fn was_looked_at(&self, now: DateTime<Utc>) -> bool {
        let interval = TimeDelta::from_std(self.plan.interval).unwrap_or(TimeDelta::MAX);
        let away = interval.checked_mul(2).and_then(|away| away.checked_add(&LOOKED_AWAY)).unwrap_or(TimeDelta::MAX);
        self.account.last_complete.is_some_and(|last| now.signed_duration_since(last.at) <= away)
    }

    /// Notes what a complete iteration fetched, and what was not right about it.
    fn note_sweep(&mut self, ended: &EndedChain, observed: &Observed, now: DateTime<Utc>) {
        let api = self.plan.name.as_str();
        if let Some(last) = self.account.last_complete.filter(|_| !self.was_looked_at(now)) {
            let since = date::format(last.at);
            tracing::info!(api, since, "everything since the last complete iteration has been swept");
        }
        for anomaly in watch::judge(&mut self.account, observed, now) {
            tracing::warn!(api, "{}", anomaly.hint());
        }
        if let Some(gap) = outcome::cover(&self.at_work.start, &mut self.account, ended, observed, now) {
            tell_gap(api, &gap);
            if gap.cause.is_loss() {
                self.counters.add_gap();
            }
        }
    }

    /// Tells that a window is asked in shorter parts than before.
    fn tell_halving(&self, before: Option<Halving>) {
        if let Some(halving) = self.account.halving.filter(|_| self.account.halving != before) {
            let longest = humanize::span(halving.longest());
            tracing::warn!(
                api = self.plan.name,
                longest,
                "iterations come no further in this window, so it is asked in halves; they grow again behind what fails"
            );
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
                "the checkpoint lies in the future, and nothing before it is shipped; stop, correct the API's line in \
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
        GapCause::ListMovedOn | GapCause::PositionRefused => tracing::warn!(api, from, until, why, "a possible gap"),
        GapCause::Filter | GapCause::Moved => {
            tracing::info!(api, from, until, why, "a gap: what lies between is left out")
        }
    }
}
