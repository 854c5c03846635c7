//! One delivered record, as it stands in a chunk.

use chrono::DateTime;

use super::{RECORD_BYTES, SortKey, UNDATED};
use crate::record::{Fingerprint, RecordKey};

/// A delivered record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) struct DeliveredRecord {
    pub place: SortKey,
    /// How often it was delivered.
    pub times: u32,
    /// In which iteration it came last; where the API filters by arrival, the second by which it had arrived.
    pub iteration: u32,
}

/// What becomes of records that are added where they are already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) enum Merge {
    /// They were delivered once more.
    Deliver,
    /// They only came again; those that are not there stay away.
    SeeAgain,
    /// They were counted in two accounts; the larger count is right.
    Unite,
}

impl DeliveredRecord {
    /// Delivered once.
    pub(in crate::state) fn once(identity: &RecordKey, iteration: u32) -> Self {
        Self { place: place(identity), times: 1, iteration }
    }

    /// Which record it is.
    pub(in crate::state) fn record_key(&self) -> RecordKey {
        let (date, fingerprint) = self.place;
        let date = Some(date).filter(|date| *date != UNDATED).and_then(DateTime::from_timestamp_micros);
        RecordKey { fingerprint: Fingerprint::from_bytes(fingerprint), date }
    }

    pub(in crate::state) fn is_dated(&self) -> bool {
        self.place.0 != UNDATED
    }

    pub(super) fn read(bytes: &[u8; RECORD_BYTES]) -> Self {
        let (date, rest) = bytes.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let (fingerprint, rest) = rest.split_first_chunk().unwrap_or((&[0; 16], &[]));
        let (times, rest) = rest.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let iteration = rest.first_chunk().unwrap_or(&[0; 4]);
        Self {
            place: (i64::from_le_bytes(*date), *fingerprint),
            times: u32::from_le_bytes(*times),
            iteration: u32::from_le_bytes(*iteration),
        }
    }

    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.place.0.to_le_bytes());
        bytes.extend_from_slice(&self.place.1);
        bytes.extend_from_slice(&self.times.to_le_bytes());
        bytes.extend_from_slice(&self.iteration.to_le_bytes());
    }

    pub(super) fn take(&mut self, other: &Self, how: Merge) {
        self.times = match how {
            Merge::Deliver => self.times.saturating_add(other.times),
            Merge::SeeAgain => self.times,
            Merge::Unite => self.times.max(other.times),
        };
        self.iteration = other.iteration;
    }
}

pub(in crate::state) fn place(identity: &RecordKey) -> SortKey {
    (identity.date.map_or(UNDATED, |date| date.timestamp_micros()), *identity.fingerprint.bytes())
}
