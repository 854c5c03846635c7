//! How an iteration ended: what is noted and told of it, once, and what follows.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::telling::{FailureReport, Success, Told, Untold, ordinal};
use crate::iteration::{Api, IterationError, IterationReport, Services};
use crate::record::date;
use crate::state::shown;
use crate::status::{Failure, RecentIteration, StateSummary};
use crate::text::humanize;

/// Where failures are explained, by their anchors.
const TROUBLESHOOTING: &str = "docs/troubleshooting.md";

/// What follows an iteration.
#[derive(Clone, Copy)]
pub(super) enum NextIteration {
    /// Another one, after a pause.
    After(Duration),
    /// None.
    Nothing,
}

impl NextIteration {
    /// The same, where the API isn't to be asked before a moment.
    fn not_before(self, until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        let left = until.and_then(|until| until.signed_duration_since(now).to_std().ok());
        match self {
            Self::After(interval) => Self::After(interval.max(left.unwrap_or_default())),
            Self::Nothing => Self::Nothing,
        }
    }

    /// When it begins.
    fn begins(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::After(interval) => now.checked_add_signed(TimeDelta::from_std(interval).ok()?),
            Self::Nothing => None,
        }
    }

    fn in_words(self, is_stopping: bool) -> String {
        match self {
            _ if is_stopping => "none, as the fetcher stops".to_owned(),
            Self::Nothing => "none (single run)".to_owned(),
            Self::After(interval) => format!("in {}", humanize::pause(interval)),
        }
    }
}

/// What came of an iteration, for whoever plans the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// Whether it succeeded.
    pub(super) is_success: bool,
    /// Until when the API is not to be asked again, where it said so.
    pub(super) until: Option<DateTime<Utc>>,
}

impl Outcome {
    /// Of an API's outputs: a success where each is one, and as long a wait as any was asked for.
    pub(super) fn of_all(outcomes: &[Self]) -> Self {
        let is_success = !outcomes.is_empty() && outcomes.iter().all(|outcome| outcome.is_success);
        Self { is_success, until: outcomes.iter().filter_map(|outcome| outcome.until).max() }
    }
}

/// What an iteration comes to: whether it succeeded, and what it did all the same where it didn't; an error where it
/// panicked.
type IterationResult = std::thread::Result<(Result<(), IterationError>, IterationReport)>;

/// An iteration that has ended.
pub(super) struct Ended<'a> {
    api: &'a Api,
    services: &'a Services,
    begun: DateTime<Utc>,
    now: DateTime<Utc>,
    next: NextIteration,
    checkpoint: String,
}

impl<'a> Ended<'a> {
    /// One that ends now.
    pub(super) fn new(api: &'a Api, services: &'a Services, begun: DateTime<Utc>, next: NextIteration) -> Self {
        Self { api, services, begun, now: Utc::now(), next, checkpoint: shown(api.checkpoint()) }
    }

    /// Notes and tells it. On the registry first: whoever reads the log finds it there.
    pub(super) fn tell(mut self, result: IterationResult, (told, untold): (&mut Told, &Untold)) -> Outcome {
        match result {
            Ok((Ok(()), report)) => {
                self.note(None, &report);
                self.tell_success(&report, told, untold);
                Outcome { is_success: true, until: None }
            }
            Ok((Err(error), _)) if error.is_recall() || error.is_stop() => self.tell_early_end(&error),
            Ok((Err(error), report)) => self.tell_failure(&error, &report, told),
            Err(_) => self.tell_panic(),
        }
    }

    /// Notes it on the registry.
    fn note(&self, trouble: Option<Failure>, report: &IterationReport) {
        let ended = RecentIteration {
            at: self.begun,
            seconds: report.took.as_secs_f64(),
            records: report.shipped.records,
            pages: report.pages,
            is_failed: trouble.is_some(),
        };
        let summary = StateSummary::of(self.api.account());
        let next = self.next.begins(self.now);
        self.services.registry.end(self.api.shown_name(), ended, trouble, summary, next, self.now);
    }

    /// What follows, in words.
    fn next_in_words(&self) -> String {
        self.next.in_words(self.services.stop.is_requested())
    }

    /// One that was ended from outside: neither a success nor a failure.
    fn tell_early_end(&self, error: &IterationError) -> Outcome {
        let (api, output, checkpoint) = (&self.api.plan.name, self.api.output(), &self.checkpoint);
        self.services.registry.rest(self.api.shown_name());
        if error.is_recall() {
            tracing::info!(api, output, checkpoint, "iteration ended early: its entry or its checkpoint changes");
        } else {
            let text = "iteration cut short by the stop; the next start goes on from the checkpoint";
            tracing::warn!(api, output, checkpoint, "{text}");
        }
        Outcome::default()
    }

    fn tell_failure(&mut self, error: &IterationError, report: &IterationReport, told: &mut Told) -> Outcome {
        let until = error.until();
        self.next = self.next.not_before(until, self.now);
        let plan = &self.api.plan;
        let (api, checkpoint, next) = (&plan.name, &self.checkpoint, self.next_in_words());
        let output = self.api.output();
        let (cause, advice) = (plan.redactor.redact(&error.to_string()), error.hint(&plan.auth));
        let see = format!("{TROUBLESHOOTING}#{}", error.anchor());
        self.note(Some(Failure { cause: cause.clone(), hint: advice, until }), report);
        let complete_until = shown(self.api.swept_until());
        match told.fail(&cause, until, self.now) {
            FailureReport::Waits(until) => {
                let until = date::format(until);
                tracing::warn!(
                    api,
                    output,
                    cause,
                    advice,
                    see,
                    checkpoint,
                    complete_until,
                    until,
                    "waiting, as the API asks"
                );
            }
            FailureReport::Full => {
                tracing::error!(api, output, cause, advice, see, checkpoint, complete_until, next, "iteration failed");
            }
            FailureReport::Again { times, since } => {
                let (times, since) = (ordinal(times), humanize::second(since));
                tracing::error!(api, output, next, "still failing, {times} time, since {since}");
            }
        }
        Outcome { is_success: false, until }
    }

    /// One that ended by a bug.
    fn tell_panic(&self) -> Outcome {
        let (api, checkpoint, next) = (&self.api.plan.name, &self.checkpoint, self.next_in_words());
        let output = self.api.output();
        let hint = "please report it with the lines of the log before it";
        let trouble = Failure { cause: "internal error".to_owned(), hint, until: None };
        self.note(Some(trouble), &IterationReport::default());
        tracing::error!(api, output, checkpoint, next, "internal error; please report it with the lines above");
        Outcome::default()
    }

    fn tell_success(&self, report: &IterationReport, told: &mut Told, untold: &Untold) {
        let (api, output, checkpoint) = (&self.api.plan.name, self.api.output(), &self.checkpoint);
        let has_news = report.shipped.records > 0 || report.shipped.set_aside > 0;
        let said = told.succeed(has_news);
        if let Success::Recovered { failures, since } = said {
            let since = humanize::second(since);
            tracing::info!(api, output, failures, since, "recovered");
        }
        if said == Success::Quiet {
            untold.add();
            tracing::debug!(api, output, pages = report.pages, duplicates = report.known, checkpoint, "iteration done");
        } else {
            let seconds = (report.took.as_secs_f64() * 1000.0).round() / 1000.0;
            tracing::info!(
                api,
                output,
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
        // Where none is looked for, none is missing.
        let is_undated = report.undated > 0 && self.api.plan.paths.date.is_some() && !self.api.plan.guesses_date();
        if is_undated && self.api.told().is_new("undated") {
            tracing::warn!(
                api,
                records = report.undated,
                "shipped records have no readable date; check json_paths.data_date"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_that_asked_for_a_long_wait_is_planned_after_it() {
        let now = DateTime::UNIX_EPOCH;
        let after = |interval_s, until_s: Option<i64>| {
            let until = until_s.map(|seconds| now + TimeDelta::seconds(seconds));
            match NextIteration::After(Duration::from_secs(interval_s)).not_before(until, now) {
                NextIteration::After(pause) => pause.as_secs(),
                NextIteration::Nothing => 0,
            }
        };
        assert_eq!(
            [after(60, None), after(60, Some(30)), after(60, Some(7200)), after(60, Some(-5))],
            [60, 60, 7200, 60]
        );
    }
}
