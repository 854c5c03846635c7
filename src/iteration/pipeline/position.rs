//! What an iteration begins with, and what it leaves behind for the next one to go on with.

use chrono::{DateTime, Utc};

use super::Pipeline;
use crate::fetch::Answer;
use crate::iteration::report::IterationError;
use crate::paging::{Carried, CarriedPosition, PaginationError};
use crate::record::Page;
use crate::record::json::RawJson;
use crate::state::Anomaly;
use crate::template::{Captured, CapturedValues, Position};

impl Pipeline<'_> {
    /// Where a chain begins: with what the iteration before left, where there is such a thing.
    pub(super) fn first_position(&self) -> Position {
        self.position_from(self.intake.window.start)
    }

    /// The same with another start.
    pub(super) fn position_from(&self, start: DateTime<Utc>) -> Position {
        let cursor = self.account.captured.cursor().cloned();
        let continued = self.plan.next_iteration.as_ref().and_then(|rule| self.account.continued(rule, start));
        Position { cursor, continued, ..Position::default() }
    }

    /// Whether the request at a position says where the window begins.
    pub(super) fn names_start(&self, position: &Position) -> bool {
        let by_value = || self.plan.next_iteration.as_ref().is_some_and(|rule| self.account.goes_on_by_date(rule));
        self.plan.names_start(position) || (position.continued.is_some() && by_value())
    }

    /// Begins a chain anew: nothing is found yet.
    pub(super) fn begin_position(&mut self) {
        self.account.carried = Carried::default();
        let first = self.first_position();
        let is_kept = self.account.captured.iter().any(|(name, _)| name != CapturedValues::CURSOR);
        let is_dropped = self.plan.next_iteration.is_some() && is_kept && first.continued.is_none();
        if is_dropped && self.told.is_new("other values") {
            tracing::info!(
                api = self.plan.name,
                "next_iteration names other values than those that are kept, so the iteration begins at http_request"
            );
        }
        self.intake.names_start = self.names_start(&first);
    }

    /// Notes the cursor behind a page. One that holds a secret of the config is not kept, as it would be in a file then.
    pub(super) fn note_cursor(&mut self, cursor: Option<Captured>, answer: &Answer) {
        let holds_secret = cursor.as_ref().is_some_and(|cursor| answer.secrets.finds_in(&cursor.text()));
        if holds_secret {
            self.tell_secret();
        }
        self.intake.cursor = cursor.filter(|_| !holds_secret);
    }

    /// Tells once that what would be kept holds a secret.
    fn tell_secret(&mut self) {
        let is_first = !std::mem::replace(&mut self.intake.observed.has_secret_cursor, true);
        if is_first && self.told.is_new("a secret in the cursor") {
            tracing::warn!(
                api = self.plan.name,
                page = self.report.pages,
                "the cursor holds a secret of the config and is not kept; the next iteration begins where this one did, and \
                 leaves out what was delivered"
            );
        }
    }

    /// Notes what an answer says that the next iteration goes on with. A value that holds a secret of the config is not
    /// kept, as it would be in a file then.
    pub(super) fn note_values(&mut self, read: &Page<'_>, answer: &Answer) -> Result<(), IterationError> {
        let Some(rule) = &self.plan.next_iteration else { return Ok(()) };
        let root = answer.text.as_deref().and_then(|text| RawJson::parse(text).ok());
        let seen = self.account.carried.see(rule, root, &read.records, self.now);
        let page = self.report.pages;
        seen.map_err(|cause| IterationError::of_paging(page, PaginationError::Value(cause), None))?;
        if self.account.carried.values().any(|value| answer.secrets.finds_in(&value.text())) {
            self.tell_secret();
            self.account.carried = Carried::default();
        }
        Ok(())
    }

    /// Keeps what the next iteration goes on with, once everything is delivered.
    pub(super) fn keep_position(&mut self) {
        if let Some((_, text)) = self.intake.date_text.take() {
            self.account.date_text = Some(text);
        }
        // What an entry that isn't done holds is listed from here on alone. It moves only over lists that were there.
        if self.entries.undone().is_some() || self.intake.observed.has_left_out {
            return;
        }
        let cursor = self.intake.cursor.take().or_else(|| self.account.captured.cursor().cloned());
        let mut captured = CapturedValues::of_cursor(cursor);
        if let Some(rule) = &self.plan.next_iteration {
            let carried = std::mem::take(&mut self.account.carried);
            let CarriedPosition { values, kind, is_missing, is_mixed } = carried.position(rule, &self.account.captured);
            self.account.value_kind = kind.or(self.account.value_kind);
            self.intake.observed.lacks_position = is_missing;
            self.intake.observed.has_mixed_numbers = is_mixed;
            let is_kept = !self.intake.observed.has_secret_cursor;
            let values = if is_kept { values } else { self.account.captured.clone() };
            values.iter().for_each(|(name, value)| captured.insert(name, value.clone()));
        }
        self.account.keep(captured, self.now);
    }

    /// Drops what the API refuses to go on from; what it would have reached may be missing.
    pub(super) fn drop_position(&mut self) {
        self.account.keep(CapturedValues::default(), self.now);
        self.intake.observed.has_lost_position = true;
        let is_new =
            self.plan.next_iteration.is_some() && self.account.record_anomaly(Anomaly::PositionRefused, self.now);
        let hint = Anomaly::PositionRefused.hint();
        if is_new && self.told.is_new(hint) {
            tracing::warn!(api = self.plan.name, "{hint}");
        }
        self.intake.names_start = self.plan.request.names_start(&Position::default());
    }
}
