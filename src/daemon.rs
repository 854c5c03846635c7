//! The daemon: one task per API, iteration after iteration, until the stop.
//!
//! Iterations of one API never overlap; a failure is logged here, once, with what happens next, and ends nothing but its
//! own iteration. Even a bug in one (a panic) leaves the other APIs alone, and its own API goes on at the next interval.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chrono::Utc;
use futures_util::FutureExt;
use tokio::task::JoinSet;

use crate::iteration::{Api, IterationError, Report, Services};
use crate::state::shown;
use crate::stop::Waited;

/// Runs every API until the stop, and gives up what isn't done at its end.
pub async fn run(apis: Vec<Api>, services: &Arc<Services>) {
    let mut tasks = JoinSet::new();
    for api in apis {
        let services = Arc::clone(services);
        tasks.spawn(async move { go_on(api, &services).await });
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    if services.stop.until_gone(all).await.is_none() {
        tracing::warn!("the grace window is over; what was under way is fetched again after the next start");
    }
}

/// One iteration of every API at the same time. Gives the APIs that succeeded, ready for another.
pub async fn run_once(apis: Vec<Api>, services: &Arc<Services>) -> Vec<Api> {
    let mut tasks = JoinSet::new();
    for mut api in apis {
        let services = Arc::clone(services);
        tasks.spawn(async move {
            let has_succeeded = !services.stop.is_requested()
                && iterate(&mut api, &services, "no further try, as this is a single run").await;
            has_succeeded.then_some(api)
        });
    }
    let mut succeeded = Vec::new();
    let all = async {
        while let Some(done) = tasks.join_next().await {
            succeeded.extend(done.ok().flatten());
        }
    };
    if services.stop.until_gone(all).await.is_none() {
        tracing::warn!("the grace window is over");
    }
    succeeded
}

async fn go_on(mut api: Api, services: &Services) {
    let interval = api.plan.interval;
    let next = format!("tries again in {}", interval_in_words(interval.as_secs_f64()));
    while !services.stop.is_requested() {
        iterate(&mut api, services, &next).await;
        if services.stop.wait(interval).await == Waited::Stopped {
            break;
        }
    }
}

/// One iteration, its outcome in the log. Gives whether it succeeded.
async fn iterate(api: &mut Api, services: &Services, next: &str) -> bool {
    let outcome = AssertUnwindSafe(api.iterate(services, Utc::now())).catch_unwind().await;
    services.meter.add_iteration();
    let name = api.plan.name.as_str();
    let checkpoint = shown(api.checkpoint());
    let next = if services.stop.is_requested() { "no further try, as the fetcher stops" } else { next };
    match outcome {
        Ok(Ok(report)) => {
            log_report(name, &report, &checkpoint);
            services.health.succeeded(name);
            true
        }
        Ok(Err(error)) => {
            log_error(name, &error, &checkpoint, &shown(api.swept_until()), next);
            services.health.failed(name, error.to_string());
            false
        }
        Err(_) => {
            tracing::error!(
                api = name,
                checkpoint,
                next,
                "iteration ended by a bug; please report it with the lines above"
            );
            services.health.failed(name, "a bug".to_owned());
            false
        }
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

fn log_error(api: &str, error: &IterationError, checkpoint: &str, swept_until: &str, next: &str) {
    if error.is_stop() {
        tracing::warn!(api, checkpoint, "iteration cut short by the stop; the next start goes on from the checkpoint");
        return;
    }
    tracing::error!(api, cause = %error, checkpoint, swept_until, next, "iteration failed");
}

fn interval_in_words(seconds: f64) -> String {
    match seconds {
        _ if seconds < 120.0 => format!("{seconds} s"),
        _ if seconds < 7200.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
