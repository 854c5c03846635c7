//! What an iteration leaves behind for the next one to go on with.

use super::Pipeline;
use crate::template::CapturedValues;

impl Pipeline<'_> {
    /// Keeps what the next iteration goes on with, once everything is delivered.
    pub(super) fn keep_position(&mut self) {
        if let Some((_, text)) = self.intake.date_text.take() {
            self.account.date_text = Some(text);
        }
        // What an entry that isn't done holds is listed from here on alone.
        if self.entries.undone().is_some() {
            return;
        }
        // It moves only over lists that were there.
        let cursor = self.intake.cursor.take().filter(|_| !self.intake.observed.has_left_out);
        if let Some(cursor) = cursor {
            self.account.keep(CapturedValues::of_cursor(Some(cursor)), self.now);
        }
    }
}
