//! The daemon: one task per API, iteration after iteration, until the stop; and a new config while it runs.
//!
//! Iterations of one API never overlap, whatever becomes of its entry: a task is told what to do by its orders, obeys
//! between two iterations, and an API that ended is back in the daemon's hands before it begins again. What a new config
//! doesn't change goes on with its schedule, its token and its connections.

mod diff;
mod held;
mod listener_check;
mod orders;
mod outcome;
mod rates;
mod reach;
mod rest;
mod seat;
mod seated;
mod task;
mod telling;

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

pub use diff::{Diff, DiffStep};
pub use listener_check::check_listeners;

use crate::cluster::MemberHandle;
use crate::config::LoadedConfig;
use crate::http::{Timeouts, clients};
use crate::iteration::{ApiLanes, Services};
use crate::plan::{Config, Plan};
use crate::reload::ConfigDigest;
use crate::ship::{Listener, WaitingBatches};
use crate::state::{ApiState, Configured, OrderRequest};
use crate::status::StatusServer;
use orders::Pending;
use outcome::NextIteration;
pub use rates::HostRates;
use rest::Rest;
use seat::SeatStart;
pub use seat::{ClusterSeat, entries_of};
use task::{TaskCommand, ToldOfLanes, go_on, iterate, start_delay};
use telling::Untold;

/// How often a line sums up the iterations that had nothing new.
const SUMMED_UP_EVERY: Duration = Duration::from_secs(5 * 60);
/// How many names a line of the log lists.
const NAMES_MAX: usize = 10;
/// How many errors the status page shows.
const ERRORS_SHOWN_MAX: usize = 20;

/// The first of a config's errors, as many as the status page shows.
#[must_use]
pub fn first_of(errors: &[String]) -> Vec<String> {
    errors.iter().take(ERRORS_SHOWN_MAX).cloned().collect()
}

/// What runs.
pub struct Daemon {
    /// The config that it follows.
    config: Config,
    services: Arc<Services>,
    tasks: JoinSet<ApiLanes>,
    /// Where each task takes commands, by the names of their APIs.
    commands: HashMap<String, watch::Sender<TaskCommand>>,
    /// APIs that have ended, and accounts of those that haven't run since the process began.
    rest: Rest,
    /// The status page, where the config wants one.
    page: StatusServer,
    /// Iterations that had nothing new.
    untold: Arc<Untold>,
    /// Changes of the state that wait for their API's iteration to end.
    pending: Pending,
    /// The place in a cluster, where there is one.
    seat: Option<ClusterSeat>,
}

impl Daemon {
    /// With a config, and the accounts that were found.
    #[must_use]
    pub fn new(config: Config, services: Arc<Services>, accounts: BTreeMap<String, ApiState>) -> Self {
        let page = StatusServer::new(Arc::clone(&services.registry));
        let (tasks, commands, rest) = (JoinSet::new(), HashMap::new(), Rest::of(accounts));
        Self {
            config,
            services,
            tasks,
            commands,
            rest,
            page,
            untold: Arc::default(),
            pending: Pending::new(),
            seat: None,
        }
    }

    /// Runs every API until the stop, and gives up what isn't done at its end. Obeys each config that comes.
    /// Obeys orders about the state, too. False where a bug has ended the member of a cluster that it was: then nothing could be
    /// written any more, and others take its APIs over.
    pub async fn run(
        mut self,
        mut readings: mpsc::Receiver<(LoadedConfig, ConfigDigest)>,
        mut orders: mpsc::Receiver<OrderRequest>,
    ) -> bool {
        self.page.listen(self.config.status_listen);
        self.tell_configured();
        for (place, plan) in self.config.apis.clone().into_iter().enumerate() {
            self.start(plan, start_delay(place));
        }
        self.rest.shrink();
        self.forget_unused();
        let stop = self.services.stop.clone();
        let mut sums = interval(SUMMED_UP_EVERY);
        sums.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let membership = self.seat.as_ref().map(|seat| seat.member.clone());
        let mut is_broken = false;
        let all = async {
            loop {
                tokio::select! {
                    biased;
                    () = stop.requested() => break,
                    () = has_ended(membership.as_ref()) => {
                        is_broken = true;
                        return tell_broken();
                    }
                    Some((reading, digest)) = readings.recv() => self.obey(reading, &digest),
                    Some(done) = self.tasks.join_next() => self.reap(done.ok()).await,
                    Some(asked) = orders.recv() => self.obey_order(asked).await,
                    order = seat::next_of(&mut self.seat) => self.obey_seat(order),
                    _ = sums.tick() => self.sum_up(),
                }
            }
            self.end_all().await;
        };
        if stop.until_gone(all).await.is_none() {
            tracing::warn!("the shutdown timeout is over; what was under way is fetched again after the next start");
        }
        !is_broken
    }

    /// Says in one line what was said of no iteration.
    fn sum_up(&self) {
        let iterations = self.untold.take();
        if iterations > 0 {
            let minutes = SUMMED_UP_EVERY.as_secs() / 60;
            tracing::info!(
                iterations,
                apis = self.tasks.len(),
                "iterations without new records in the last {minutes} min"
            );
        }
    }

    /// Takes a config over as a whole, or leaves everything as it is.
    fn obey(&mut self, reading: LoadedConfig, digest: &ConfigDigest) {
        reading.diagnostics.log();
        let errors = &reading.diagnostics.errors;
        let Some(mut new) = reading.config else {
            // On the board first: whoever reads the log finds it there.
            let shown = errors.iter().take(ERRORS_SHOWN_MAX).map(ToString::to_string).collect();
            self.services.registry.reloaded(shown, Utc::now());
            tracing::error!(faults = errors.len(), "the config is invalid; still running the previous version");
            return;
        };
        let diff = Diff::between(&self.config, &new);
        diff.keep_unchanged(&self.config, &mut new);
        if diff.is_everything {
            match clients(&new.extra_roots, Timeouts::default()) {
                Ok(clients) => {
                    let listeners = Listener::all(&clients.usual, &new.outputs);
                    self.services = Arc::new(self.services.connected(clients.into(), listeners));
                    check_listeners(&self.services);
                }
                Err(error) => {
                    tracing::error!(cause = %error, "the config can't be used; still running the previous version");
                    return self.services.registry.reloaded(vec![error.to_string()], Utc::now());
                }
            }
        }
        self.services.memory.set_limit(new.memory_bytes);
        self.services.registry.taken_over(first_of(&new.faulty), Utc::now());
        tell(&diff);
        if let Some(seat) = &mut self.seat {
            seat.describe(digest.shown(), &new, diff.steps.keys().map(String::as_str));
        }
        for (place, (name, step)) in diff.steps.into_iter().enumerate() {
            match step {
                DiffStep::Start(plan) => self.start(plan, start_delay(place)),
                DiffStep::Change(plan) => self.change(plan, start_delay(place)),
                DiffStep::End => self.end(&name),
            }
        }
        self.page.listen(new.status_listen);
        self.config = new;
        self.tell_configured();
        self.forget_unused();
    }

    /// Has the page know which APIs there are, wherever they run.
    fn tell_configured(&self) {
        self.services.registry.configured(self.config.apis.iter().map(|plan| plan.name.clone()).collect());
    }

    /// Has the store forget what no config has used for long, while iterations go on.
    fn forget_unused(&self) {
        let (configured, queues) = (Configured::of(&self.config), WaitingBatches::queues_of(&self.config));
        let waiting = self.services.waiting.clone();
        tokio::task::spawn_blocking(move || waiting.tell_left_over(&queues));
        let store = self.services.store.clone();
        tokio::spawn(async move { store.forget_unused(configured, Utc::now()).await });
    }

    fn start(&mut self, plan: Arc<Plan>, delay: Duration) {
        if let Some(seat) = &mut self.seat {
            // What the cluster knows of it comes first. One whose task is about to end begins anew once it is back.
            return if seat.admits(&plan.name) && !self.commands.contains_key(&plan.name) {
                seat.read(&plan.name, SeatStart::AtOnce)
            };
        }
        self.begin(plan, delay);
    }

    /// Begins with an API, about which all is known.
    fn begin(&mut self, plan: Arc<Plan>, delay: Duration) {
        // Its task may be about to end: then it goes on instead, or begins anew once it is back.
        if self.commands.contains_key(&plan.name) {
            return self.change(plan, delay);
        }
        let name = plan.name.clone();
        let api = self.rest.take(&plan, &self.services);
        api.take_up(&self.services.registry, Utc::now());
        let (orders, received) = watch::channel(TaskCommand::Work(plan, Arc::clone(&self.services), delay));
        self.commands.insert(name, orders);
        self.tasks.spawn(go_on(api, received, Arc::clone(&self.untold)));
    }

    fn change(&mut self, plan: Arc<Plan>, delay: Duration) {
        if self.ends_for_form(&plan) {
            return;
        }
        let Some(orders) = self.commands.get(&plan.name) else { return self.start(plan, delay) };
        orders.send_replace(TaskCommand::Work(plan, Arc::clone(&self.services), delay));
    }

    fn end(&mut self, name: &str) {
        if let Some(orders) = self.commands.get(name) {
            orders.send_replace(TaskCommand::End);
        }
    }

    /// An API is back. Where it was wanted again in the meantime, it begins anew.
    async fn reap(&mut self, api: Option<ApiLanes>) {
        let Some(api) = api else {
            tracing::error!(
                "the task of an API ended by a bug; restart the fetcher, and please report it with the lines above"
            );
            return;
        };
        let name = api.plan.name.clone();
        let last = self.commands.remove(&name).map(|orders| orders.borrow().clone());
        let plan = Arc::clone(&api.plan);
        if self.seat.is_some() {
            return self.reap_of_cluster(&plan, last);
        }
        self.rest.put(api);
        if self.pending.contains_key(&name) {
            self.change_state(&name).await;
            if matches!(last, Some(TaskCommand::Halt)) {
                return self.start(plan, Duration::ZERO);
            }
        }
        match last {
            Some(TaskCommand::Work(plan, ..)) => self.start(plan, Duration::ZERO),
            _ => {
                self.services.registry.remove(&name);
                tracing::info!(api = name, "the API is no longer in the config, or is not enabled, and has ended");
            }
        }
    }
}

/// Returns when a member has ended that nobody has asked to leave.
async fn has_ended(member: Option<&MemberHandle>) {
    match member {
        Some(member) => member.has_left().await,
        None => pending().await,
    }
}

fn tell_broken() {
    tracing::error!(
        "a bug has ended this member of the cluster; the process ends, others take its APIs over, and it joins again when it is \
         restarted; please report it with the lines above"
    );
}

/// Tells what a new config changes.
fn tell(diff: &Diff) {
    if diff.needs_restart {
        tracing::warn!("the cluster of the config has changed; restart to take it over");
    }
    let [new, changed, removed] = diff.names().map(|names| listed(&names));
    if diff.steps.is_empty() {
        tracing::info!("the config is read again; no API has changed");
        return;
    }
    let what = if diff.is_everything { "config reloaded, for all APIs" } else { "config reloaded" };
    let lists = [("new", new), ("changed", changed), ("removed", removed)];
    let named = lists.into_iter().filter(|(_, names)| !names.is_empty()).map(|(list, names)| format!("{list} {names}"));
    tracing::info!("{what}: {}; running iterations end first", named.collect::<Vec<_>>().join("; "));
    for (old, new) in &diff.renamed {
        tracing::warn!(
            api = new,
            was = old,
            "the API looks like one that was renamed: it is a new one, begins without a checkpoint, and ships again what was \
             shipped by its old name. To rename without that, name it back; then stop, rename it in the config and in \
             last_start_dates.txt, and start"
        );
    }
}

/// Names, as many as a line may hold.
fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// One iteration of every API at the same time. Gives the APIs that succeeded, ready for another.
pub async fn run_once(apis: Vec<ApiLanes>, services: &Arc<Services>) -> Vec<ApiLanes> {
    let mut tasks = JoinSet::new();
    for (place, mut api) in apis.into_iter().enumerate() {
        let services = Arc::clone(services);
        tasks.spawn(async move {
            services.stop.wait(start_delay(place)).await;
            if services.stop.is_requested() {
                return None;
            }
            // Boxed, or the task would hold the room for it while it waits for its turn.
            let telling = (&mut ToldOfLanes::new(), &Untold::default());
            Box::pin(iterate(&mut api, &services, NextIteration::Nothing, telling)).await.is_success.then_some(api)
        });
    }
    let mut succeeded = Vec::new();
    let all = async {
        while let Some(done) = tasks.join_next().await {
            succeeded.extend(done.ok().flatten());
        }
    };
    if services.stop.until_gone(all).await.is_none() {
        tracing::warn!("the shutdown timeout is over");
    }
    succeeded
}
