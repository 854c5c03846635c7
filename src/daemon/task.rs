//! One API while the daemon lives: iteration after iteration, each outcome told once.
//!
//! Even a bug in an iteration (a panic) leaves the other APIs alone, and its own API goes on at the next interval.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use tokio::sync::watch;

use super::telling::{FailureReport, Success, Told, Untold, ordinal};
use crate::iteration::{Api, IterationReport, Services};
use crate::plan::Plan;
use crate::process::stop;
use crate::record::date;
use crate::state::shown;
use crate::status::{Failure, RecentIteration, StateSummary};
use crate::text::humanize;

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

/// Where failures are explained, by their anchors.
const TROUBLESHOOTING: &str = "docs/troubleshooting.md";
/// Between the first iterations of two APIs.
const START_SPACING: Duration = Duration::from_micros(700);

/// By how much of itself an interval may grow by chance, so that APIs of the same interval drift apart: it never shrinks.
const JITTER_SHARE: f64 = 0.05;
/// The most by which it grows.
const JITTER_MAX: Duration = Duration::from_secs(60);

/// What follows an iteration.
#[derive(Clone, Copy)]
pub(super) enum Next {
    /// Another one, after a pause.
    After(Duration),
    /// None.
    Nothing,
}

impl Next {
    /// The same, where the API isn't to be asked before a moment.
    fn not_before(self, until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        let left = until.and_then(|until| until.signed_duration_since(now).to_std().ok());
        match self {
            Self::After(interval) => Self::After(interval.max(left.unwrap_or_default())),
            Self::Nothing => Self::Nothing,
        }
    }
}

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
pub(super) async fn go_on(mut api: Api, mut orders: watch::Receiver<TaskCommand>, untold: Arc<Untold>) -> Api {
    let mut told = Told::default();
    loop {
        let order = orders.borrow_and_update().clone();
        let TaskCommand::Work(plan, services, delay) = order else { return api };
        api.work_by(plan);
        let mut paused = pause(&services, &mut orders, delay).await;
        while paused == Paused::Whole {
            let ended = iterate_until_told(&mut api, &services, &orders, (&mut told, &untold)).await;
            let until = ended.until.and_then(|until| until.signed_duration_since(Utc::now()).to_std().ok());
            let next = pause_after(api.plan.interval, fastrand::f64()).max(until.unwrap_or_default());
            paused = pause(&services, &mut orders, next).await;
        }
        if paused == Paused::Over {
            return api;
        }
    }
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
    api: &mut Api,
    services: &Services,
    orders: &watch::Receiver<TaskCommand>,
    telling: (&mut Told, &Untold),
) -> Outcome {
    let name = api.plan.name.clone();
    let (trigger, recall) = stop::recall();
    api.listen_to(recall);
    let next = Next::After(api.plan.interval);
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

/// What came of an iteration, for whoever plans the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// Whether it succeeded.
    pub(super) is_success: bool,
    /// Until when the API is not to be asked again, where it said so.
    pub(super) until: Option<DateTime<Utc>>,
}

/// One iteration, its outcome in the log, as far as that is new.
pub(super) async fn iterate(
    api: &mut Api,
    services: &Services,
    next: Next,
    (told, untold): (&mut Told, &Untold),
) -> Outcome {
    let begun = Utc::now();
    let name = api.plan.name.clone();
    services.registry.begin(&name, begun);
    let outcome = AssertUnwindSafe(api.iterate(services, begun)).catch_unwind().await;
    let (now, checkpoint) = (Utc::now(), shown(api.checkpoint()));
    let until = outcome.as_ref().ok().and_then(|(result, _)| result.as_ref().err()?.until());
    let next = next.not_before(until, now);
    let then = next_in_words(next, services.stop.is_requested());
    let end = |trouble: Option<Failure>, report: &IterationReport| {
        let ended = ended_at(begun, report, trouble.is_some());
        services.registry.end(&name, ended, trouble, StateSummary::of(api.account()), at(next, now), now);
    };
    // On the board first: whoever reads the log finds it there.
    match outcome {
        Ok((Ok(()), report)) => {
            end(None, &report);
            tell_success(&name, &report, &checkpoint, (told, untold));
            Outcome { is_success: true, until: None }
        }
        Ok((Err(error), _)) if error.is_recall() => {
            services.registry.rest(&name);
            tracing::info!(api = name, checkpoint, "iteration ended early: its entry or its checkpoint changes");
            Outcome::default()
        }
        Ok((Err(error), _)) if error.is_stop() => {
            services.registry.rest(&name);
            tracing::warn!(
                api = name,
                checkpoint,
                "iteration cut short by the stop; the next start goes on from the checkpoint"
            );
            Outcome::default()
        }
        Ok((Err(error), report)) => {
            let cause = api.plan.redactor.redact(&error.to_string());
            let advice = error.hint(&api.plan.auth);
            let see = format!("{TROUBLESHOOTING}#{}", error.anchor());
            end(Some(Failure { cause: cause.clone(), hint: advice, until }), &report);
            let complete_until = shown(api.swept_until());
            match told.fail(&cause, until, now) {
                FailureReport::Waits(until) => {
                    let until = date::format(until);
                    tracing::warn!(
                        api = name,
                        cause,
                        advice,
                        see,
                        checkpoint,
                        complete_until,
                        until,
                        "waiting, as the API asks"
                    );
                }
                FailureReport::Full => tracing::error!(
                    api = name,
                    cause,
                    advice,
                    see,
                    checkpoint,
                    complete_until,
                    next = then,
                    "iteration failed"
                ),
                FailureReport::Again { times, since } => {
                    let (times, since) = (ordinal(times), humanize::second(since));
                    tracing::error!(api = name, next = then, "still failing, {times} time, since {since}");
                }
            }
            Outcome { is_success: false, until }
        }
        Err(_) => {
            let advice = "please report it with the lines of the log before it";
            end(
                Some(Failure { cause: "internal error".to_owned(), hint: advice, until: None }),
                &IterationReport::default(),
            );
            tracing::error!(
                api = name,
                checkpoint,
                next = then,
                "internal error; please report it with the lines above"
            );
            Outcome::default()
        }
    }
}

fn ended_at(begun: DateTime<Utc>, report: &IterationReport, is_failed: bool) -> RecentIteration {
    let seconds = report.took.as_secs_f64();
    RecentIteration { at: begun, seconds, records: report.shipped.records, pages: report.pages, is_failed }
}

/// When the next iteration begins.
fn at(next: Next, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match next {
        Next::After(interval) => now.checked_add_signed(TimeDelta::from_std(interval).ok()?),
        Next::Nothing => None,
    }
}

fn next_in_words(next: Next, is_stopping: bool) -> String {
    match next {
        _ if is_stopping => "none, as the fetcher stops".to_owned(),
        Next::Nothing => "none (single run)".to_owned(),
        Next::After(interval) => format!("in {}", humanize::pause(interval)),
    }
}

fn tell_success(api: &str, report: &IterationReport, checkpoint: &str, (told, untold): (&mut Told, &Untold)) {
    let has_news = report.shipped.records > 0 || report.shipped.set_aside > 0;
    let said = told.succeed(has_news);
    if let Success::Recovered { failures, since } = said {
        let since = humanize::second(since);
        tracing::info!(api, failures, since, "recovered");
    }
    if said == Success::Quiet {
        untold.add();
        tracing::debug!(api, pages = report.pages, duplicates = report.known, checkpoint, "iteration done");
    } else {
        let seconds = (report.took.as_secs_f64() * 1000.0).round() / 1000.0;
        tracing::info!(
            api,
            records = report.shipped.records,
            pages = report.pages,
            bytes = report.shipped.bytes,
            seconds,
            duplicates = report.known,
            undelivered = report.shipped.set_aside,
            checkpoint,
            "iteration done"
        );
    }
    if report.older > 0 {
        tracing::debug!(api, records = report.older, "records older than the start date are left out");
    }
    if report.later > 0 {
        tracing::info!(api, records = report.later, "records dated at or after the end of the span are left out");
    }
    if report.undated > 0 {
        tracing::warn!(
            api,
            records = report.undated,
            "shipped records have no readable date; check json_paths.data_date"
        );
    }
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

    #[test]
    fn an_api_that_asked_for_a_long_wait_is_planned_after_it() {
        let now = DateTime::UNIX_EPOCH;
        let after = |interval_s, until_s: Option<i64>| {
            let until = until_s.map(|seconds| now + TimeDelta::seconds(seconds));
            match Next::After(Duration::from_secs(interval_s)).not_before(until, now) {
                Next::After(pause) => pause.as_secs(),
                Next::Nothing => 0,
            }
        };
        assert_eq!(
            [after(60, None), after(60, Some(30)), after(60, Some(7200)), after(60, Some(-5))],
            [60, 60, 7200, 60]
        );
    }

    #[test]
    fn the_first_api_is_asked_at_once_and_a_thousand_within_a_second() {
        assert_eq!(start_delay(0), Duration::ZERO);
        assert!(start_delay(1) > Duration::ZERO && start_delay(999) < Duration::from_secs(1));
        assert!(start_delay(usize::MAX) > start_delay(100_000), "no number of APIs is too many");
    }
}
