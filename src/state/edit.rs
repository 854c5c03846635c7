//! What the user did to an API's line in the text file since the fetcher wrote it, and what comes of it. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::account::ApiState;
use super::checkpoint_text::Checkpoint;
use crate::template::CapturedValues;

/// How the user's file differs from what the fetcher wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The date was moved back, or the line deleted: everything since is shipped again.
    Back,
    /// The date is later: moved on, or written while the store could not be.
    On,
    /// Another cursor stands there: everything from it on is shipped, whether it was before or not.
    Cursor,
    /// The cursor was deleted, and the date is there: the window begins at the date, and what was delivered is known.
    NoCursor,
}

impl ApiState {
    /// Compares the account with the text file, which counts. A crash between the two writes is told from an edit by
    /// [`ApiState::prepared_checkpoint`] and [`ApiState::written_values`].
    #[must_use]
    pub fn edit(&self, written: &Checkpoint) -> Option<Edit> {
        let date = written.date;
        let is_own = date == self.checkpoint || (date.is_some() && date == self.prepared_checkpoint);
        match (self.prepared_checkpoint.max(self.checkpoint), date) {
            _ if is_own => self.cursor_edit(written),
            (Some(own), Some(date)) if date > own => Some(Edit::On),
            (Some(_), _) => Some(Edit::Back),
            (None, _) => Some(Edit::On),
        }
    }

    /// The same where only the cursor may differ. Without it and without a date the whole line is gone.
    fn cursor_edit(&self, written: &Checkpoint) -> Option<Edit> {
        match written.values.is_empty() {
            _ if self.is_own_cursor(written) => None,
            false => Some(Edit::Cursor),
            true if written.date.is_none() => Some(Edit::Back),
            true => Some(Edit::NoCursor),
        }
    }

    fn is_own_cursor(&self, written: &Checkpoint) -> bool {
        written.values == self.captured || written.values == self.written_values
    }

    /// What the text file says where all is written.
    #[must_use]
    pub fn line(&self) -> Checkpoint {
        Checkpoint { date: self.checkpoint, values: self.captured.clone() }
    }

    /// Takes over what the text file says, where nobody edited it.
    pub fn take_over(&mut self, written: &Checkpoint) {
        self.checkpoint = written.date;
        self.prepared_checkpoint = None;
        self.written_values = written.values.clone();
    }

    /// The same where several outputs have a part in the line: it may be the checkpoint that was about to be written.
    pub fn take_over_where_announced(&mut self, written: &Checkpoint) {
        if written.date.is_some() && written.date == self.prepared_checkpoint {
            (self.checkpoint, self.prepared_checkpoint) = (written.date, None);
        }
    }

    /// What comes of an edit of the text file.
    #[must_use]
    pub fn edited(&self, edit: Edit, written: &Checkpoint, now: DateTime<Utc>) -> Self {
        // Beside a date that was edited, a cursor that wasn't belongs to the date before.
        let is_stale = matches!(edit, Edit::Back | Edit::On) && self.is_own_cursor(written);
        let captured = if is_stale { CapturedValues::default() } else { written.values.clone() };
        let mut after = match edit {
            Edit::Back => self.restarted(written.date),
            Edit::Cursor => self.restarted(self.checkpoint),
            // What lies before a date that somebody wrote is left out.
            Edit::On => Self { remembered_since: written.date.max(self.remembered_since), ..self.clone() },
            Edit::NoCursor => self.clone(),
        };
        (after.progress, after.prepared_checkpoint, after.checkpoint) = (None, None, written.date);
        after.keep(captured, now);
        after.written_values = written.values.clone();
        after
    }
}

/// How the user's line of an API differs from what the fetcher wrote, where several outputs have a part in it: for each
/// state that changes, by its key. The line is the earliest of their checkpoints, so it is the fetcher's own where one of
/// them has it. A date before all of them takes all back to it; a later one takes those on that are not so far.
#[must_use]
pub(super) fn of_lanes(states: &BTreeMap<String, ApiState>, written: &Checkpoint) -> BTreeMap<String, Edit> {
    let of_all = |edit: Edit| states.keys().map(|key| (key.clone(), edit)).collect();
    let is_known = |state: &ApiState| state.checkpoint.is_some() || !state.captured.is_empty();
    let Some(date) = written.date else {
        let is_own = states.values().any(|state| state.checkpoint.is_none() && state.cursor_edit(written).is_none());
        let has_own = if written.values.is_empty() { !states.values().any(is_known) } else { is_own };
        return if has_own { BTreeMap::new() } else { of_all(Edit::Back) };
    };
    let has_date = |state: &&ApiState| [state.checkpoint, state.prepared_checkpoint].contains(&Some(date));
    if states.values().any(|state| has_date(&state)) {
        let is_own = states.values().any(|state| state.is_own_cursor(written));
        return match written.values.is_empty() {
            _ if is_own => BTreeMap::new(),
            false => of_all(Edit::Cursor),
            true => of_all(Edit::NoCursor),
        };
    }
    let earliest = states.values().filter_map(|state| state.checkpoint).min();
    let edit = |state: &ApiState| match earliest {
        Some(earliest) if date < earliest => Some(Edit::Back),
        Some(_) => Some(Edit::On).filter(|_| state.checkpoint.is_some_and(|checkpoint| checkpoint < date)),
        None => Some(Edit::On),
    };
    states.iter().filter_map(|(key, state)| Some((key.clone(), edit(state)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::date;
    use crate::template::Captured;

    fn at(text: &str) -> Option<DateTime<Utc>> {
        (!text.is_empty()).then(|| date::parse(text).expect("a date"))
    }

    #[track_caller]
    fn check(checkpoint: &str, prepared_checkpoint: &str, written: &str, expected: Option<Edit>) {
        let account = ApiState {
            checkpoint: at(checkpoint),
            prepared_checkpoint: at(prepared_checkpoint),
            ..ApiState::default()
        };
        let written = Checkpoint::new(at(written), None);
        assert_eq!(account.edit(&written), expected, "{checkpoint} → {prepared_checkpoint}: {written:?}");
    }

    fn cursor(text: &str) -> Option<Captured> {
        (!text.is_empty()).then(|| Captured::of_text(text))
    }

    /// What is made of a line with `2024-05-02` and a cursor: the account's cursor is `c2`, and the file said `c1` before.
    fn edited(date: &str, written: &str) -> (Option<Edit>, ApiState, ApiState) {
        let before = ApiState {
            ledger: 1,
            checkpoint: at("2024-05-02"),
            captured: CapturedValues::of_cursor(cursor("c2")),
            written_values: CapturedValues::of_cursor(cursor("c1")),
            ..ApiState::default()
        };
        let written = Checkpoint::new(at(date), cursor(written));
        let edit = before.edit(&written);
        let after = edit.map_or_else(|| before.clone(), |edit| before.edited(edit, &written, DateTime::default()));
        (edit, before, after)
    }

    #[test]
    fn a_cursor_that_was_edited_counts_and_one_of_before_a_crash_does_not() {
        for own in ["c2", "c1"] {
            let (edit, _, after) = edited("2024-05-02", own);
            assert_eq!((edit, after.captured.cursor()), (None, cursor("c2").as_ref()), "{own}");
        }
        let (edit, before, after) = edited("2024-05-02", "c9");
        assert_eq!(
            (edit, after.captured.cursor(), after.checkpoint),
            (Some(Edit::Cursor), cursor("c9").as_ref(), before.checkpoint)
        );
        assert_ne!(after.ledger, before.ledger, "what comes from there on is shipped, whether it was before or not");
        assert!(after.captured_since.is_some() && after.edit(&after.line()).is_none(), "it is obeyed once");
        let (edit, before, after) = edited("2024-05-02", "");
        assert_eq!(
            (edit, after.captured.is_empty(), after.ledger),
            (Some(Edit::NoCursor), true, before.ledger),
            "what was delivered is known"
        );
        let (edit, before, after) = edited("", "");
        assert_eq!((edit, after.captured.is_empty()), (Some(Edit::Back), true), "the line is gone");
        assert_ne!(after.ledger, before.ledger);
    }

    #[test]
    fn beside_an_edited_date_a_cursor_counts_only_where_it_was_edited_too() {
        for (date, edit) in [("2024-05-01", Edit::Back), ("2024-05-03", Edit::On)] {
            for (written, kept) in [("c2", ""), ("c1", ""), ("", ""), ("c9", "c9")] {
                let (found, _, after) = edited(date, written);
                assert_eq!((found, after.checkpoint), (Some(edit), at(date)), "{date} {written}");
                assert_eq!(after.captured.cursor(), cursor(kept).as_ref(), "{date} {written}");
            }
        }
    }

    #[test]
    fn a_line_without_a_date_that_is_gone_starts_over() {
        let before = ApiState {
            ledger: 1,
            captured: CapturedValues::of_cursor(cursor("c2")),
            written_values: CapturedValues::of_cursor(cursor("c2")),
            ..ApiState::default()
        };
        assert_eq!(before.edit(&before.line()), None);
        assert_eq!(before.edit(&Checkpoint::default()), Some(Edit::Back));
        // Of a version that kept the cursor in the store alone.
        let old = ApiState { written_values: CapturedValues::default(), checkpoint: at("2024-05-02"), ..before };
        assert_eq!(old.edit(&Checkpoint::new(at("2024-05-02"), None)), None);
    }

    /// What is made of a line where two outputs are at the 2nd and the 4th, the second of them perhaps about to be further.
    fn of_two(second: (&str, &str), written: &str) -> Vec<(String, Edit)> {
        let state = |checkpoint: &str, prepared: &str| ApiState {
            checkpoint: at(checkpoint),
            prepared_checkpoint: at(prepared),
            ..ApiState::default()
        };
        let states = [("a".to_owned(), state("2024-05-02", "")), ("b".to_owned(), state(second.0, second.1))];
        of_lanes(&states.into(), &Checkpoint::new(at(written), None)).into_iter().collect()
    }

    #[test]
    fn the_line_of_several_outputs_is_own_where_one_of_them_has_it_and_else_moves_those_that_it_must() {
        let (back, on) = (|key: &str| (key.to_owned(), Edit::Back), |key: &str| (key.to_owned(), Edit::On));
        let later = ("2024-05-04", "");
        for own in ["2024-05-02", "2024-05-04"] {
            assert_eq!(of_two(later, own), [], "{own}");
        }
        assert_eq!(of_two(("2024-05-04", "2024-05-05"), "2024-05-05"), [], "a crash before it was noted");
        assert_eq!(of_two(later, "2024-05-01"), [back("a"), back("b")]);
        assert_eq!(of_two(later, ""), [back("a"), back("b")], "the line is gone");
        assert_eq!(of_two(later, "2024-05-03"), [on("a")], "the other one is further");
        assert_eq!(of_two(later, "2024-05-06"), [on("a"), on("b")]);
        assert_eq!(of_two(("", ""), "2024-05-02"), [], "a new output has no checkpoint yet");
        assert_eq!(of_two(("", ""), "2024-05-03"), [on("a")], "and begins at a start of its own");
    }

    #[test]
    fn tells_an_edit_from_a_crash() {
        let (one, two, three) = ("2024-05-01", "2024-05-02", "2024-05-03");
        check("", "", "", None);
        check("", "", one, Some(Edit::On));
        check(one, "", one, None);
        check(one, "", "", Some(Edit::Back));
        check(two, "", one, Some(Edit::Back));
        check(one, "", two, Some(Edit::On));
        // A crash before the line was written, and one after it.
        check(one, two, one, None);
        check(one, two, two, None);
        check("", two, "", None);
        check("", two, two, None);
        // An edit on top of a crash.
        check(one, three, two, Some(Edit::Back));
        check(one, two, three, Some(Edit::On));
        check(one, two, "", Some(Edit::Back));
        check("", two, one, Some(Edit::Back));
    }
}
