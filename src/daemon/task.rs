//! One API while the daemon lives: iteration after iteration, each outcome told once.
//!
//! Even a bug in an iteration (a panic) leaves the other APIs alone, and its own API goes on at the next interval.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use tokio::sync::watch;

use crate::iteration::{Api, Report, Services};
use crate::plan::Plan;
use crate::state::shown;
use crate::status::{Ended, Standing, Trouble};
use crate::words;

/// What the daemon wants of an API's task; the latest counts.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// Work by this plan, with these services.
    Work(Arc<Plan>, Arc<Services>),
    /// Give the API back.
    End,
}

/// Between the first iterations of two APIs.
const START_SPACING: Duration = Duration::from_micros(700);

/// What follows an iteration.
#[derive(Clone, Copy)]
pub(super) enum Next {
    /// Another one, after a pause.
    After(Duration),
    /// None.
    Nothing,
}

/// When the API at a place in the config is asked first: the first at once, a thousand within a second, and so on, as
/// they would all need their memory and their sockets at the same instant.
pub(super) fn start_delay(place: usize) -> Duration {
    START_SPACING.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX))
}

/// Works until it is told to end, or the stop comes. An order is obeyed between two iterations; the pause ends for it.
pub(super) async fn go_on(mut api: Api, mut orders: watch::Receiver<Order>, delay: Duration) -> Api {
    let first = orders.borrow().clone();
    if let Order::Work(_, services) = first {
        services.stop.wait(delay).await;
    }
    loop {
        let order = orders.borrow_and_update().clone();
        let Order::Work(plan, services) = order else { return api };
        api.work_by(plan);
        if services.stop.is_requested() {
            return api;
        }
        let interval = api.plan.interval;
        // Boxed, or an idle API's task would hold the room for it all the time. Whatever happens, that task goes on.
        let iteration = Box::pin(iterate(&mut api, &services, Next::After(interval)));
        if AssertUnwindSafe(iteration).catch_unwind().await.is_err() {
            tracing::error!(api = api.plan.name, "a bug around an iteration; please report it with the lines above");
        }
        tokio::select! {
            biased;
            () = services.stop.requested() => return api,
            // Whoever gives orders is gone only when everything ends.
            changed = orders.changed() => if changed.is_err() { return api },
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// One iteration, its outcome in the log. Gives whether it succeeded.
pub(super) async fn iterate(api: &mut Api, services: &Services, next: Next) -> bool {
    let begun = Utc::now();
    let name = api.plan.name.clone();
    services.board.begin(&name, begun);
    let outcome = AssertUnwindSafe(api.iterate(services, begun)).catch_unwind().await;
    let (now, checkpoint) = (Utc::now(), shown(api.checkpoint()));
    let then = next_in_words(next, services.stop.is_requested());
    let end = |trouble: Option<Trouble>, report: &Report| {
        let ended = ended_at(begun, report, trouble.is_some());
        services.board.end(&name, ended, trouble, Standing::of(api.account()), at(next, now), now);
    };
    // On the board first: whoever reads the log finds it there.
    match outcome {
        Ok((Ok(()), report)) => {
            end(None, &report);
            log_report(&name, &report, &checkpoint);
            true
        }
        Ok((Err(error), _)) if error.is_stop() => {
            services.board.rest(&name);
            tracing::warn!(
                api = name,
                checkpoint,
                "iteration cut short by the stop; the next start goes on from the checkpoint"
            );
            false
        }
        Ok((Err(error), report)) => {
            let cause = api.plan.scrubber.scrub(&error.to_string());
            let advice = error.advice(&api.plan.auth);
            end(Some(Trouble { cause: cause.clone(), advice }), &report);
            let swept_until = shown(api.swept_until());
            tracing::error!(api = name, cause, checkpoint, swept_until, next = then, "iteration failed");
            false
        }
        Err(_) => {
            let advice = "please report it with the lines of the log before it";
            end(Some(Trouble { cause: "a bug".to_owned(), advice }), &Report::default());
            tracing::error!(
                api = name,
                checkpoint,
                next = then,
                "iteration ended by a bug; please report it with the lines above"
            );
            false
        }
    }
}

fn ended_at(begun: DateTime<Utc>, report: &Report, is_failed: bool) -> Ended {
    let seconds = report.took.as_secs_f64();
    Ended { at: begun, seconds, records: report.shipped.records, pages: report.pages, is_failed }
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
        _ if is_stopping => "no further try, as the fetcher stops".to_owned(),
        Next::Nothing => "no further try, as this is a single run".to_owned(),
        Next::After(interval) => format!("tries again in {}", words::pause(interval)),
    }
}

fn log_report(api: &str, report: &Report, checkpoint: &str) {
    let seconds = (report.took.as_secs_f64() * 1000.0).round() / 1000.0;
    tracing::info!(
        api,
        records = report.shipped.records,
        pages = report.pages,
        bytes = report.shipped.bytes,
        seconds,
        known = report.known,
        set_aside = report.shipped.set_aside,
        checkpoint,
        "iteration done"
    );
    if report.older > 0 {
        tracing::debug!(api, records = report.older, "records older than the start date are left out");
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
    fn the_first_api_is_asked_at_once_and_a_thousand_within_a_second() {
        assert_eq!(start_delay(0), Duration::ZERO);
        assert!(start_delay(1) > Duration::ZERO && start_delay(999) < Duration::from_secs(1));
        assert!(start_delay(usize::MAX) > start_delay(100_000), "no number of APIs is too many");
    }
}
