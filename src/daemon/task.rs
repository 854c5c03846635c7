//! One API while the daemon lives: iteration after iteration.
//!
//! Even a bug in an iteration (a panic) leaves the other APIs alone, and its own API goes on at the next interval.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::timeout;

use super::outcome::{Ended, NextIteration, Outcome};
use super::telling::{Told, Untold};
use crate::cluster::RoomTurn;
use crate::iteration::{Api, ApiLanes, LaneRun, Services};
use crate::plan::Plan;
use crate::process::stop;

/// What the daemon wants of an API's task; the latest counts.
#[derive(Clone, Debug)]
pub(super) enum TaskCommand {
    /// Work by this plan, with these services, and begin after this delay: those that are told at the same time shall not
    /// begin at the same instant.
    Work(Arc<Plan>, Arc<Services>, Duration),
    /// Give the API back, after its iteration.
    End,
    /// Give the API back at once: its iteration ends at the next batch border.
    Halt,
}

/// How long an iteration keeps others from having theirs, where they take turns: a first fetch or a job may take hours.
const TURN_MAX: Duration = Duration::from_secs(10 * 60);
/// Between the first iterations of two APIs.
const START_SPACING: Duration = Duration::from_micros(700);

/// By how much of itself an interval may grow by chance, so that APIs of the same interval drift apart: it never shrinks.
const JITTER_SHARE: f64 = 0.05;
/// The most by which it grows.
const JITTER_MAX: Duration = Duration::from_secs(60);

/// When the API at a place in the config is asked first: the first at once, a thousand within a second, and so on, as
/// they would all need their memory and their sockets at the same instant.
pub(super) fn start_delay(place: usize) -> Duration {
    START_SPACING.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX))
}

/// The pause after an interval of the config; `chance` is from 0 to 1.
fn pause_after(interval: Duration, chance: f64) -> Duration {
    interval.saturating_add(interval.mul_f64(JITTER_SHARE * chance.clamp(0.0, 1.0)).min(JITTER_MAX))
}

/// Works until it is told to end, or the stop comes. An order is obeyed between two iterations; the pause ends for it, and
/// so does every wait of an iteration.
pub(super) async fn go_on(
    mut api: ApiLanes,
    mut orders: watch::Receiver<TaskCommand>,
    untold: Arc<Untold>,
) -> ApiLanes {
    let mut told = ToldOfLanes::new();
    loop {
        let order = orders.borrow_and_update().clone();
        let TaskCommand::Work(plan, services, delay) = order else { return api };
        api.work_by(plan, &services);
        api.take_up(&services.registry, Utc::now());
        let mut paused = pause(&services, &mut orders, delay).await;
        while paused == Paused::Whole {
            let turn = match wait_for_room(&api, &services, &mut orders).await {
                Ok(turn) => turn,
                Err(ended) => {
                    paused = ended;
                    break;
                }
            };
            let iteration = iterate_until_told(&mut api, &services, &orders, (&mut told, &untold));
            let ended = in_turn(turn, iteration).await;
            let until = ended.until.and_then(|until| until.signed_duration_since(Utc::now()).to_std().ok());
            let next = pause_after(api.plan.interval, fastrand::f64()).max(until.unwrap_or_default());
            paused = pause(&services, &mut orders, next).await;
        }
        if paused == Paused::Over {
            return api;
        }
    }
}

/// What was told of each output of an API, by the keys of their states.
pub(super) type ToldOfLanes = BTreeMap<String, Told>;

/// One iteration, of each output of the API; their outcomes on the status registry, and in the log as far as that is new.
pub(super) async fn iterate(
    api: &mut ApiLanes,
    services: &Services,
    next: NextIteration,
    (told, untold): (&mut ToldOfLanes, &Untold),
) -> Outcome {
    let mut of_lanes: Vec<Told> = api.lanes().iter().map(|lane| told.remove(lane.key()).unwrap_or_default()).collect();
    let mut telling = of_lanes.iter_mut();
    let begun = Utc::now();
    let outcomes = api
        .run(services, begun, |lane, _| {
            let told = telling.next();
            let run: LaneRun<'_, Outcome> = Box::pin(iterate_lane(lane, services, (begun, next), (told, untold)));
            run
        })
        .await;
    let keys = api.lanes().iter().map(|lane| lane.key().to_owned());
    told.extend(keys.zip(of_lanes));
    Outcome::of_all(&outcomes)
}

/// The same of one output.
async fn iterate_lane(
    lane: &mut Api,
    services: &Services,
    (begun, next): (DateTime<Utc>, NextIteration),
    (told, untold): (Option<&mut Told>, &Untold),
) -> Outcome {
    services.registry.begin(lane.shown_name(), begun);
    let result = AssertUnwindSafe(lane.iterate(services, begun)).catch_unwind().await;
    let mut unknown = Told::default();
    Ended::new(lane, services, begun, next).tell(result, (told.unwrap_or(&mut unknown), untold))
}

/// How a pause ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paused {
    /// The time is over.
    Whole,
    /// There is another order.
    Told,
    /// Everything ends.
    Over,
}

/// Does something that has a turn, which is given back when it ends, or takes long: it may wait for hours itself.
async fn in_turn<T>(turn: RoomTurn, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    let ended = timeout(TURN_MAX, &mut work).await;
    drop(turn);
    match ended {
        Ok(ended) => ended,
        Err(_) => work.await,
    }
}

/// Waits until there is room for what an iteration delivers.
///
/// # Errors
/// Which is none: what else came first.
async fn wait_for_room(
    api: &ApiLanes,
    services: &Services,
    orders: &mut watch::Receiver<TaskCommand>,
) -> Result<RoomTurn, Paused> {
    tokio::select! {
        biased;
        () = services.stop.requested() => Err(Paused::Over),
        changed = orders.changed() => Err(if changed.is_err() { Paused::Over } else { Paused::Told }),
        turn = services.store.turn(api.has_open_window()) => Ok(turn),
    }
}

async fn pause(services: &Services, orders: &mut watch::Receiver<TaskCommand>, span: Duration) -> Paused {
    tokio::select! {
        biased;
        () = services.stop.requested() => Paused::Over,
        // Whoever gives orders is gone only when everything ends.
        changed = orders.changed() => if changed.is_err() { Paused::Over } else { Paused::Told },
        () = tokio::time::sleep(span) => Paused::Whole,
    }
}

/// One iteration. Another order ends its waits; the receiver isn't touched, so that it still tells of it.
async fn iterate_until_told(
    api: &mut ApiLanes,
    services: &Services,
    orders: &watch::Receiver<TaskCommand>,
    telling: (&mut ToldOfLanes, &Untold),
) -> Outcome {
    let name = api.plan.name.clone();
    let (trigger, recall) = stop::recall();
    api.listen_to(recall);
    let next = NextIteration::After(api.plan.interval);
    // Boxed, or an idle API's task would hold the room for it all the time. Whatever happens, that task goes on.
    let mut iteration = AssertUnwindSafe(Box::pin(iterate(api, services, next, telling))).catch_unwind();
    let mut orders = orders.clone();
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut iteration => break ended,
            changed = orders.changed() => {
                if matches!(*orders.borrow_and_update(), TaskCommand::Halt) {
                    trigger.halt();
                } else {
                    trigger.recall();
                }
                if changed.is_err() {
                    break iteration.await;
                }
            }
        }
    };
    ended.unwrap_or_else(|_| {
        tracing::error!(api = name, "internal error around an iteration; please report it with the lines above");
        Outcome::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_grow_a_little_by_chance_and_never_shrink() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(pause_after(minutes(1), 0.0), minutes(1));
        assert_eq!(pause_after(minutes(1), 1.0), Duration::from_secs(63));
        assert_eq!(pause_after(minutes(1440), 1.0), minutes(1441));
        assert_eq!(pause_after(Duration::MAX, 1.0), Duration::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn an_iteration_that_takes_long_gives_its_turn_back_and_goes_on() {
        let (turns, little) = (crate::cluster::RoomTurns::default(), || (900 << 20, 512));
        let mut taken = Vec::new();
        while let Ok(turn) = timeout(Duration::from_secs(1), turns.take(false, little)).await {
            taken.push(turn);
        }
        let begun = tokio::time::Instant::now();
        let turn = taken.pop().expect("a turn");
        let (ended, _next) = tokio::join!(
            in_turn(turn, async {
                tokio::time::sleep(4 * TURN_MAX).await;
                begun.elapsed()
            }),
            async {
                let next = turns.take(false, little).await;
                assert!(begun.elapsed() < 2 * TURN_MAX, "others wait for {:?}", begun.elapsed());
                next
            }
        );
        assert_eq!(ended, 4 * TURN_MAX);
    }

    #[test]
    fn the_first_api_is_asked_at_once_and_a_thousand_within_a_second() {
        assert_eq!(start_delay(0), Duration::ZERO);
        assert!(start_delay(1) > Duration::ZERO && start_delay(999) < Duration::from_secs(1));
        assert!(start_delay(usize::MAX) > start_delay(100_000), "no number of APIs is too many");
    }
}
