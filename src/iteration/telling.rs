//! What an iteration tells of its API that may surprise whoever wrote the config. Where the API has several outputs, the
//! first of them that sees it tells it.

use chrono::{DateTime, TimeDelta, Utc};

use super::Api;
use super::outcome::{self, EndedChain};
use super::watch::{self, Observed};
use crate::record::date;
use crate::state::Anomaly;
use crate::text::humanize;
use crate::window::{Gap, GapCause, Halving, Window, is_future};

/// Beyond two intervals and this, an API was not asked: what surfaced meanwhile says nothing about arrival delay.
const LOOKED_AWAY: TimeDelta = TimeDelta::minutes(10);

impl Api {
    /// Tells that a window is asked in shorter parts than before.
    pub(super) fn tell_halving(&self, before: Option<Halving>) {
        if let Some(halving) =
            self.account.halving.filter(|_| self.account.halving != before && self.told.is_new("halving"))
        {
            let longest = humanize::span(halving.longest());
            tracing::warn!(
                api = self.plan.name,
                longest,
                "iterations come no further in this window, so it is asked in halves; they grow again behind what fails"
            );
        }
    }

    /// Tells once what may surprise whoever wrote the config or edited the checkpoints.
    pub(super) fn tell_oddities(&mut self, window: &Window, now: DateTime<Utc>) {
        let (api, checkpoint) = (self.plan.name.as_str(), self.checkpoint().map(date::format).unwrap_or_default());
        let overrules = window.overrules_config && !std::mem::replace(&mut self.has_told_overrule, true);
        if overrules && self.told.is_new("overrule") {
            tracing::info!(
                api,
                checkpoint,
                "the checkpoint is later than the start date in the filters and counts; to start over, stop, delete the \
                 API's line in last_start_dates.txt, and start again"
            );
        }
        let is_ahead = self.checkpoint().is_some_and(|checkpoint| is_future(checkpoint, now));
        if is_ahead && !std::mem::replace(&mut self.has_told_future, true) && self.told.is_new("future") {
            tracing::warn!(
                api,
                checkpoint,
                "the checkpoint lies in the future, and nothing before it is shipped; stop, correct the API's line in \
                 last_start_dates.txt, and start again"
            );
        }
    }

    /// Whether the API was asked not long ago.
    fn was_looked_at(&self, now: DateTime<Utc>) -> bool {
        let interval = TimeDelta::from_std(self.plan.interval).unwrap_or(TimeDelta::MAX);
        let away = interval.checked_mul(2).and_then(|away| away.checked_add(&LOOKED_AWAY)).unwrap_or(TimeDelta::MAX);
        self.account.last_complete.is_some_and(|last| now.signed_duration_since(last.at) <= away)
    }

    /// Notes what a complete iteration fetched, and what was not right about it.
    pub(super) fn note_sweep(&mut self, ended: &EndedChain, observed: &Observed, now: DateTime<Utc>) {
        let api = self.plan.name.as_str();
        if let Some(last) = self.account.last_complete.filter(|_| !self.was_looked_at(now) && self.told.is_new("swept"))
        {
            let since = date::format(last.at);
            tracing::info!(api, since, "everything since the last complete iteration has been swept");
        }
        let anomalies = watch::judge(&mut self.account, observed, now).into_iter().map(Anomaly::hint);
        for hint in anomalies.filter(|hint| self.told.is_new(hint)) {
            tracing::warn!(api, "{hint}");
        }
        if let Some(gap) = outcome::cover(&self.at_work.start, &mut self.account, ended, observed, now) {
            if self.told.is_new("gap") {
                tell_gap(api, &gap);
            }
            if gap.cause.is_loss() {
                self.counters.add_gap();
            }
        }
    }
}

/// Tells what was not fetched.
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
