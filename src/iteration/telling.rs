//! What an iteration tells of its API that may surprise whoever wrote the config. Where the API has several outputs, one of
//! them tells it.

use chrono::{DateTime, Utc};

use super::Api;
use crate::record::date;
use crate::text::humanize;
use crate::window::{Gap, GapCause, Halving, Window, is_future};

impl Api {
    /// Tells that a window is asked in shorter parts than before.
    pub(super) fn tell_halving(&self, before: Option<Halving>) {
        if let Some(halving) = self.account.halving.filter(|_| self.tells_of_api && self.account.halving != before) {
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
        if !self.tells_of_api {
            return;
        }
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

/// Tells what was not fetched.
pub(super) fn tell_gap(api: &str, gap: &Gap) {
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
