//! An API and all of its outputs: an iteration of it is one of each output's, at the same time.
//!
//! Each output has its own state, window and checkpoint of the API, so that whatever becomes of one says nothing about the
//! others. What always holds: an output that takes nothing holds up no other one. Once the others are done it is left
//! behind, its checkpoint stays, and its next iteration begins there.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::{Api, Services, joint};
use crate::fetch::SharedSeat;
use crate::plan::Plan;
use crate::process::stop::{self, Recall, RecallTrigger};
use crate::ship::Listener;
use crate::state::{ApiState, SharedLine, api_of, output_of};
use crate::status::{RegisteredLane, StatusRegistry};

/// How much longer than the others an output may take that takes what it gets, but slowly: the interval of the API, but no
/// longer than this,
const SLOW_MAX: Duration = Duration::from_secs(5 * 60);
/// and no shorter than this.
const SLOW_MIN: Duration = Duration::from_secs(5);
/// How often that doubles where one iteration after the other is ended by it: what takes an hour comes to its end, too.
const SLOW_DOUBLED_MAX: u32 = 6;
/// How often it is looked whether an output lags behind the others.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(200);

/// An API between its iterations, with all of its outputs.
#[derive(Debug)]
pub struct ApiLanes {
    /// What to do.
    pub plan: Arc<Plan>,
    /// Its lanes, in the order of the outputs in the config.
    lanes: Vec<Api>,
    /// Lanes to outputs that no longer get its records, or only did so in earlier configs.
    resting: Vec<Api>,
    /// Calls it back from its waits.
    recall: Recall,
}

/// What one lane of an iteration comes to.
pub type LaneRun<'l, T> = Pin<Box<dyn Future<Output = T> + Send + 'l>>;

impl ApiLanes {
    /// Before its first iteration. `states` are those of this API, by their keys.
    #[must_use]
    pub fn new(plan: Arc<Plan>, services: &Services, states: BTreeMap<String, ApiState>) -> Self {
        let mut api = Self { plan, lanes: Vec::new(), resting: Vec::new(), recall: Recall::never() };
        // Where it isn't one of the config's, its output is never asked.
        if let Some(any) = services.listeners.first() {
            let lane = |(key, state): (String, ApiState)| {
                let claim = services.store.claim(api_of(&key), &output_of(&key));
                Api::new(Arc::clone(&api.plan), Arc::clone(any), claim, state)
            };
            api.resting = states.into_iter().map(lane).collect();
        }
        api.connect(services);
        api
    }

    /// Takes a new plan, and the outputs that there are now. What is known of the API stays.
    pub fn work_by(&mut self, plan: Arc<Plan>, services: &Services) {
        self.plan = plan;
        self.connect(services);
    }

    /// Has a lane to each output that gets its records.
    fn connect(&mut self, services: &Services) {
        let mut known: Vec<Api> = self.lanes.drain(..).chain(self.resting.drain(..)).collect();
        let is_new = !known.iter().any(Api::has_begun);
        // Of an API that the text file alone knows every output begins there.
        let written = known.iter().find(|_| is_new).map(|known| known.account().clone());
        for listener in services.listeners.iter().filter(|listener| listener.takes(&self.plan.name)) {
            let at = known.iter().position(|lane| output_of(lane.key()) == *listener.name());
            let mut lane = at.map(|at| known.swap_remove(at)).unwrap_or_else(|| {
                let claim = services.store.claim(&self.plan.name, listener.name());
                let state = written.as_ref().map_or_else(ApiState::blank, ApiState::for_another_output);
                Api::new(Arc::clone(&self.plan), Arc::clone(listener), claim, state)
            });
            lane.work_by(Arc::clone(&self.plan), Arc::clone(listener));
            self.lanes.push(lane);
        }
        self.resting = known;
        self.share_line();
    }

    /// Has the lanes share the API's line in the text file.
    fn share_line(&mut self) {
        let is_several = self.lanes.len() > 1;
        let dates = || self.lanes.iter().map(|lane| (lane.key().to_owned(), lane.checkpoint()));
        let line = is_several.then(|| Arc::new(SharedLine::new(dates())));
        self.lanes.iter_mut().for_each(|lane| lane.is_one_of(line.clone()));
    }

    /// Takes it up on the status registry, as it is now.
    pub fn take_up(&self, registry: &StatusRegistry, now: DateTime<Utc>) {
        let lanes = self.lanes.iter().map(|lane| RegisteredLane {
            name: lane.shown_name(),
            output: lane.output(),
            account: lane.account(),
            counters: lane.counters(),
        });
        registry.take_up(&self.plan, &lanes.collect::<Vec<_>>(), now);
    }

    /// What calls it back from a wait, from the next iteration on.
    pub fn listen_to(&mut self, recall: Recall) {
        self.recall = recall;
    }

    /// Whether one of them is in the middle of a window: what it has delivered stays remembered until that is complete.
    #[must_use]
    pub fn has_open_window(&self) -> bool {
        self.lanes.iter().any(|lane| lane.account().window_begun.is_some())
    }

    /// Its lanes, one to each output.
    #[must_use]
    pub fn lanes(&self) -> &[Api] {
        &self.lanes
    }

    /// Puts other accounts in the place of those of these keys, as somebody moved the checkpoint.
    pub fn replace_accounts(&mut self, accounts: &BTreeMap<String, ApiState>) {
        for lane in self.lanes.iter_mut().chain(&mut self.resting) {
            if let Some(account) = accounts.get(lane.key()) {
                lane.replace_account(account.clone());
            }
        }
        self.share_line();
    }

    /// What is to be kept of it where it may never come back, by the keys of the states; all of it, where it holds what isn't
    /// kept anywhere else.
    ///
    /// # Errors
    /// That is no error: the API, where it holds a batch that could not be kept in a file yet.
    pub fn at_rest(self) -> Result<BTreeMap<String, ApiState>, Box<Self>> {
        if self.lanes.iter().chain(&self.resting).any(Api::holds_batch) {
            return Err(Box::new(self));
        }
        let all = self.lanes.into_iter().chain(self.resting);
        Ok(all.map(|lane| (lane.key().to_owned(), lane.account().clone().at_rest())).collect())
    }

    /// Leaves the lane of one output, or none where it isn't one of them.
    pub fn keep_output(&mut self, output: &str) {
        self.lanes.retain(|lane| lane.listener().name().as_str() == output);
        self.share_line();
    }

    /// An iteration of each lane at the same time; `begin` begins that of a lane, which is given with its place. Gives what
    /// they came to, in their order. What lags behind the others is called back.
    pub async fn run<'l, T>(
        &'l mut self,
        services: &Services,
        now: DateTime<Utc>,
        mut begin: impl FnMut(&'l mut Api, usize) -> LaneRun<'l, T>,
    ) -> Vec<T> {
        joint::share(&mut self.lanes, &services.memory, now);
        let Self { plan, lanes, recall, .. } = self;
        let (count, mut watched, mut under_way) = (lanes.len(), Vec::new(), FuturesUnordered::new());
        for (place, lane) in lanes.iter_mut().enumerate() {
            if count == 1 {
                lane.listen_to(recall.clone());
                return vec![begin(lane, place).await];
            }
            let (trigger, called) = stop::recall();
            lane.listen_to(called);
            let seat = lane.joint.as_ref().map(|joint| joint.seat.clone());
            let (listener, is_patient) = (Arc::clone(lane.listener()), plan.keeps_position());
            let slow_max = slow_max(plan.interval, lane.left_behind);
            watched.push(WatchedLane { trigger, listener, seat, is_patient, slow_max, is_done: false });
            let run = begin(lane, place);
            under_way.push(async move { (place, run.await) });
        }
        let mut came: Vec<Option<T>> = watched.iter().map(|_| None).collect();
        let (mut calls, mut first_done) = (RecallCalls::new(recall.clone()), None);
        while !under_way.is_empty() {
            tokio::select! {
                biased;
                Some((place, ended)) = under_way.next() => {
                    first_done.get_or_insert_with(Instant::now);
                    if let (Some(slot), Some(lane)) = (came.get_mut(place), watched.get_mut(place)) {
                        (*slot, lane.is_done) = (Some(ended), true);
                        // Nobody waits for it. One that hasn't left by itself was ended by a fault.
                        lane.seat.iter().for_each(|seat| seat.leave(true));
                    }
                }
                is_halted = calls.next() => watched.iter().for_each(|lane| lane.call(is_halted)),
                () = tokio::time::sleep(LOOKED_AT_EVERY), if first_done.is_some() => {}
            }
            let waited = first_done.map(|since| since.elapsed());
            for lane in watched.iter().filter(|lane| waited.is_some_and(|waited| lane.lags(waited))) {
                lane.trigger.leave_behind();
            }
        }
        came.into_iter().flatten().collect()
    }
}

/// A lane whose iteration is under way beside those of others.
struct WatchedLane {
    trigger: RecallTrigger,
    listener: Arc<Listener>,
    /// Its part in what the lanes fetch together.
    seat: Option<SharedSeat>,
    /// Whether what its output doesn't take waits on the disk.
    is_patient: bool,
    /// How much longer than the others it may take.
    slow_max: Duration,
    is_done: bool,
}

/// How much longer than the others an output may take that takes what it gets, where so many of its iterations in a row ended
/// early.
fn slow_max(interval: Duration, left_behind: u32) -> Duration {
    interval.clamp(SLOW_MIN, SLOW_MAX).saturating_mul(2_u32.pow(left_behind.min(SLOW_DOUBLED_MAX)))
}

impl WatchedLane {
    /// Whether it is to be left behind, so long after the first of the others was done.
    fn lags(&self, waited: Duration) -> bool {
        let takes_nothing = !self.is_patient && self.listener.outage().is_failing();
        !self.is_done && (takes_nothing || waited >= self.slow_max)
    }

    fn call(&self, is_halted: bool) {
        if is_halted { self.trigger.halt() } else { self.trigger.recall() }
    }
}

/// The calls that come for an API, to be handed on to its lanes.
struct RecallCalls {
    recall: Recall,
    /// How many came: at first that waits end, then that the iteration does.
    came: u8,
}

impl RecallCalls {
    fn new(recall: Recall) -> Self {
        Self { recall, came: 0 }
    }

    /// Whether the next call is that the iteration is to end. To give up the wait loses nothing.
    async fn next(&mut self) -> bool {
        match self.came {
            0 => self.recall.requested().await,
            1 => self.recall.halted().await,
            _ => std::future::pending().await,
        }
        self.came += 1;
        self.came > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_ended_early_again_and_again_gets_longer_each_time() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        assert_eq!((slow_max(minutes(1), 0), slow_max(minutes(60), 0)), (minutes(1), SLOW_MAX));
        assert_eq!(slow_max(Duration::from_millis(1), 0), SLOW_MIN);
        assert_eq!((slow_max(minutes(1), 3), slow_max(minutes(60), u32::MAX)), (minutes(8), minutes(320)));
    }
}
