//! What of an iteration went to `undelivered.ndjson`: told once, at its end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::undelivered::{API_BYTES_MAX, Appended, FILE_NAME};

/// Counts what goes to `undelivered.ndjson`.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Tallied>);

#[derive(Debug, Default)]
struct Tallied {
    kept: Appended,
    /// The reasons, up to [`REASONS_MAX`] of them.
    reasons: Vec<String>,
}

/// How many reasons a line of the log names; all are in the file.
const REASONS_MAX: usize = 3;

impl Tally {
    fn counted(&self) -> MutexGuard<'_, Tallied> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts lines that were kept.
    pub(super) fn add(&self, kept: Appended, reason: &str) {
        let mut counted = self.counted();
        counted.kept.records += kept.records;
        counted.kept.without_record += kept.without_record;
        if counted.reasons.len() < REASONS_MAX && !counted.reasons.iter().any(|known| known == reason) {
            counted.reasons.push(reason.to_owned());
        }
    }

    /// Warns of what was counted, if anything was, and begins anew.
    pub fn tell(&self, api: &str, output: Option<&str>) {
        let Tallied { kept: Appended { records, without_record }, reasons } = std::mem::take(&mut *self.counted());
        if records == 0 {
            return;
        }
        let reason = reasons.join("; ");
        tracing::warn!(api, output, records, reason, "records are undelivered, and kept in {FILE_NAME}");
        if without_record > 0 {
            tracing::warn!(
                api,
                output,
                records = without_record,
                bytes_max = API_BYTES_MAX,
                "the API has all the room in {FILE_NAME} that it gets: records are kept there by id, date and hash alone; move \
                 the file away to make room"
            );
        }
    }
}
