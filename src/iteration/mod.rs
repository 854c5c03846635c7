//! One iteration: from the first page to the last, and the checkpoint.
//!
//! Page by page: a page is read, its new records are put into batches, and while full batches ship, the next page is
//! fetched. What the listener acknowledged is remembered on the disk before the next batch goes, so that whatever happens,
//! an iteration that begins again ships only what is missing. The checkpoint moves once, at the end, when the listener has
//! everything.

mod at_work;
mod delivery;
mod intake;
mod joint;
mod kept;
mod lanes;
mod outcome;
mod pipeline;
mod report;
mod services;
#[cfg(test)]
mod simulation;
mod steps;
mod telling;
mod told;
mod watch;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

pub use lanes::{ApiLanes, LaneRun};
pub use report::{IterationError, IterationReport};
pub use services::Services;
pub use steps::{JobProgress, job_progress};
pub use told::ToldOnce;

use crate::counters::Counters;
use crate::fetch::{FetchError, Fetcher, Gate, TokenSlot, Waits};
use crate::http::ClientError;
use crate::plan::{Auth, Plan};
use crate::process::stop::Recall;
use crate::record::date;
use crate::retry;
use crate::ship::{Listener, Shipper};
use crate::state::{ApiState, Claim, IterationSummary, SharedLine, shown_lane};
use crate::transport::Transport;
use crate::window::Window;
use delivery::{BatchSender, WaitingPlace};
use intake::Intake;
use joint::JointFetch;
use outcome::{EndedChain, How, Moved};
use pipeline::{Lane, Pipeline, RefusedBatch};
use watch::Observed;

/// The most slices of one iteration; the next one goes on.
const SLICES_MAX: u32 = 100_000;

/// An iteration that was cut.
struct Cut {
    error: IterationError,
    /// Where the checkpoint moves all the same.
    moved: Option<Moved>,
}

/// An API and one of its outputs, between its iterations.
#[derive(Debug)]
pub struct Api {
    /// What to do.
    pub plan: Arc<Plan>,
    /// The same with what only records tell, as the iteration under way works by it.
    at_work: Arc<Plan>,
    /// The way to the output.
    listener: Arc<Listener>,
    /// Whether the API has other outputs.
    is_one_of_several: bool,
    /// How it is called on the status page: the API, and the output where it has others.
    shown_name: String,
    /// Whether the output took not all in the last iteration, so that it is asked before anything is fetched for it.
    is_in_doubt: bool,
    /// How many of its iterations in a row ended early, as others were done, though the output takes what it gets.
    left_behind: u32,
    /// Its part in what the outputs fetch together, in the iteration that is to come.
    joint: Option<JointFetch>,
    /// What of the API itself was told in the iteration.
    told: ToldOnce,
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
    pub fn new(plan: Arc<Plan>, listener: Arc<Listener>, claim: Claim, account: ApiState) -> Self {
        let shown_name = plan.name.clone();
        Self {
            at_work: Arc::clone(&plan),
            plan,
            listener,
            is_one_of_several: false,
            shown_name,
            is_in_doubt: false,
            left_behind: 0,
            joint: None,
            told: ToldOnce::default(),
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

    /// Takes a new plan, and perhaps another way to the output. What is known of the API stays.
    pub fn work_by(&mut self, plan: Arc<Plan>, listener: Arc<Listener>) {
        self.listener = listener;
        if self.plan.start != plan.start {
            self.has_told_overrule = false;
        }
        self.plan = plan;
        self.transport = None;
    }

    /// The name under which its state is kept.
    #[must_use]
    pub fn key(&self) -> &str {
        self.claim.key()
    }

    /// How it is called on the status page: the API, and the output where it has others.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        &self.shown_name
    }

    /// What of the API itself was told in the iteration that ended last.
    #[must_use]
    pub fn told(&self) -> &ToldOnce {
        &self.told
    }

    /// The way to the output.
    #[must_use]
    pub fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }

    /// The name of the output, where the API has others.
    #[must_use]
    pub fn output(&self) -> Option<&str> {
        self.is_one_of_several.then(|| self.listener.name().as_str())
    }

    /// Whether it ever had an iteration.
    fn has_begun(&self) -> bool {
        self.account.first_iteration.is_some()
    }

    /// Whether it holds a batch that could not be kept in a file yet.
    fn holds_batch(&self) -> bool {
        self.refused.is_some()
    }

    /// Shares the API's line in the text file with its other outputs, where it has others.
    fn is_one_of(&mut self, line: Option<Arc<SharedLine>>) {
        self.is_one_of_several = line.is_some();
        self.shown_name = match self.output() {
            Some(_) => shown_lane(&self.plan.name, self.listener.name()),
            None => self.plan.name.clone(),
        };
        self.claim.share(line);
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
        for number in 0..SLICES_MAX {
            let slice_before = self.account.slice_from;
            let passed = TimeDelta::from_std(clock.instant().saturating_duration_since(begun)).unwrap_or_default();
            let own = now + passed;
            let at = self.joint.as_ref().map_or(own, |joint| joint.seat.slice_begins(number, own));
            let (result, slice) = self.iterate_slice(services, at).await;
            report.add(&slice);
            let slice_after = self.account.slice_from;
            let has_next = slice_after.is_some() && slice_after != slice_before;
            let result = self.of_output(result);
            if result.is_err() || !has_next || services.stop.is_requested() {
                // Whatever ended it, something of what came may not be with the output.
                self.joint.take().iter().for_each(|joint| joint.seat.leave(result.is_err()));
                return (result, report);
            }
            tracing::debug!(api = self.plan.name, records = slice.shipped.records, "a slice of the window is complete");
        }
        self.joint.take().iter().for_each(|joint| joint.seat.leave(false));
        (Ok(()), report)
    }

    /// What an iteration came to, as it says something of the output.
    fn of_output(&mut self, result: Result<(), IterationError>) -> Result<(), IterationError> {
        let is_failing = self.listener.outage().is_failing();
        let result = match result {
            Err(error) if error.is_recall() && self.recall.is_left_behind() => {
                Err(IterationError::LeftBehind { is_failing })
            }
            other => other,
        };
        let is_behind = matches!(result, Err(IterationError::LeftBehind { is_failing: false }));
        self.left_behind = if is_behind { self.left_behind.saturating_add(1) } else { 0 };
        self.is_in_doubt = self.is_one_of_several && result.as_ref().is_err_and(|error| error.is_of_output());
        result
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
        let form = Some(self.plan.form());
        self.is_saved &= std::mem::replace(&mut self.account.form, form) == form;
        // Before the first delivery, or a crash would find deliveries of an account that nobody knows.
        if !std::mem::replace(&mut self.is_saved, true) {
            self.claim.save(self.account.clone()).await;
            if let Some(words) = plan.snapshot_words().filter(|_| self.told.is_new("snapshot")) {
                tracing::info!(api = plan.name, "{words}");
            }
        }
        let behind = self.counters.clock_behind();
        let (mut window, is_wide) = outcome::open(&plan.start, &mut self.account, now, behind);
        self.joint.iter_mut().filter_map(|joint| joint.start.take()).for_each(|start| window.begin_earlier(start));
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
                if self.told.is_new("cap") {
                    tracing::info!(api = plan.name, "{error}");
                }
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
        (failure.map_or(settled.map_err(IterationError::of_state), Err), report)
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
        Waits::new(services.stop.clone(), self.recall.clone(), services.asked_max, clock).with_leave(self.claim.leave())
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
        let shared = self.joint.as_ref().map(|joint| joint.seat.clone());
        let own_outage = self.listener.outage();
        let outage = self.joint.as_ref().map_or(own_outage, |joint| joint.seat.outage());
        let memory = &services.memory;
        let fetcher = Fetcher { transport, plan, waits, token, gate, memory, outage, counters, shared };
        let waiting = self.waiting_place(services);
        let shipper = self.shipper(services, waiting.is_some());
        let undelivered = Arc::clone(&shipper.tally);
        let remembered = self.claim.remembered(self.account.ledger).await;
        let delivery = BatchSender::new(shipper, services.memory.permit(), self.recall.clone(), waiting, now);
        let chain = outcome::chain(&plan.start, &self.account, now);
        let mut intake = Intake::new(plan.start.goes_by_arrival(), window, chain, remembered);
        intake.observed.skips_known = plan.start.skips_known();
        let lane = Lane::new(delivery, self.refused.take(), self.is_in_doubt);
        let parts = (&self.claim, &*self.counters, &self.told);
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
        undelivered.tell(&plan.name, self.output());
        if report.pages > 0 {
            self.account.lookback.add(report.pages, observed.back, ended.is_look, now);
        }
        let ended = self.conclude(read, &ended, &observed, report.pages, now);
        (ended.map_err(|cut| *cut), report)
    }

    /// What ships an iteration's batches.
    fn shipper(&self, services: &Services, may_wait: bool) -> Shipper {
        Shipper {
            listener: Arc::clone(&self.listener),
            undelivered: services.undelivered.clone(),
            stop: services.stop.clone(),
            leave: self.claim.leave(),
            recall: self.recall.clone(),
            api: self.plan.name.clone(),
            tally: Arc::default(),
            retries: if may_wait { retry::LISTENER_ONCE } else { retry::LISTENER },
            gives_way: (services.listeners.len() > 1).then(|| services.memory.clone()),
        }
    }

    /// Where what the output doesn't take waits on the disk: where the API wouldn't give it again, and has several outputs, so
    /// that none holds up the others. What waits since the entry was of that kind is shipped, too.
    fn waiting_place(&self, services: &Services) -> Option<WaitingPlace> {
        let queue = services.waiting.queue(self.listener.name(), &self.plan.name)?;
        let is_needed = self.plan.keeps_position();
        let has_place =
            (is_needed && self.is_one_of_several) || queue.is_empty().map_or(is_needed, |is_empty| !is_empty);
        has_place.then_some(WaitingPlace { queue, is_used: false })
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
        if let Some((Some(checkpoint), _)) = moved.filter(|_| self.told.is_new("cut")) {
            let checkpoint = date::format(checkpoint);
            tracing::warn!(
                api = self.plan.name,
                checkpoint,
                "the pages can't be read to their end; as they come oldest first, the checkpoint moves to what is delivered"
            );
        }
        Err(Box::new(Cut { error, moved }))
    }
}
