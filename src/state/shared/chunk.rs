//! What was delivered in one batch, as bytes for the engine; and which chunks can be forgotten.
//!
//! A chunk is a header and its records, in the order of their dates: what a date adds to the one before, and the fingerprint.
//! Of 770 records of a batch it takes some 15 KB. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::record::{Fingerprint, RecordKey};
use crate::state::account::ApiState;
use crate::state::store::had_arrived_since;

/// The layout.
const LAYOUT: u8 = 1;
/// The records were delivered.
const DELIVERED: u8 = 0;
/// The records had been delivered, and came again.
const SEEN_AGAIN: u8 = 1;
/// How many records a chunk has at most: with all that they can take it stays below what a transaction may hold.
pub const RECORDS_MAX: usize = 36_000;
/// How many ranges of chunks are forgotten at once; the others are at the next end of an iteration.
const RANGES_MAX: usize = 16;

/// The record keys of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedChunk {
    /// The iteration in which they came, or the second by which they had arrived.
    pub iteration: u32,
    /// Whether they had been delivered before, and only came again.
    pub is_again: bool,
    /// Which.
    pub records: Vec<RecordKey>,
}

/// Why bytes are no chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the engine holds of a batch can't be understood; another version wrote it, or something else")]
pub struct ChunkError;

impl SharedChunk {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut records: Vec<(Option<i64>, &Fingerprint)> = self
            .records
            .iter()
            .map(|record| (record.date.map(|date| date.timestamp_micros()), &record.fingerprint))
            .collect();
        records.sort_unstable();
        let mut bytes = vec![LAYOUT, if self.is_again { SEEN_AGAIN } else { DELIVERED }];
        bytes.extend(self.iteration.to_le_bytes());
        let undated = records.iter().take_while(|(date, _)| date.is_none()).count();
        put_number(undated as u64, &mut bytes);
        let mut last = 0;
        for (date, fingerprint) in records {
            if let Some(date) = date {
                put_number(zigzag(date.wrapping_sub(last)), &mut bytes);
                last = date;
            }
            bytes.extend(fingerprint.bytes());
        }
        bytes
    }

    /// Out of bytes.
    ///
    /// # Errors
    /// [`ChunkError`]
    pub fn decode(bytes: &[u8]) -> Result<Self, ChunkError> {
        let mut rest = bytes;
        let [LAYOUT, kind @ (DELIVERED | SEEN_AGAIN)] = *take(&mut rest)? else { return Err(ChunkError) };
        let iteration = u32::from_le_bytes(*take(&mut rest)?);
        let undated = take_number(&mut rest)?;
        let (mut records, mut last) = (Vec::new(), 0_i64);
        while !rest.is_empty() {
            let date = if (records.len() as u64) < undated {
                None
            } else {
                last = last.wrapping_add(unzigzag(take_number(&mut rest)?));
                Some(DateTime::from_timestamp_micros(last).ok_or(ChunkError)?)
            };
            records.push(RecordKey { fingerprint: Fingerprint::from_bytes(*take(&mut rest)?), date });
        }
        Ok(Self { iteration, is_again: kind == SEEN_AGAIN, records })
    }

    /// What tells when it can be forgotten.
    #[must_use]
    pub fn span(&self) -> ChunkSpan {
        ChunkSpan {
            newest: self.records.iter().filter_map(|record| record.date).max(),
            has_undated: self.records.iter().any(|record| record.date.is_none()),
            iteration: self.iteration,
        }
    }
}

/// What tells of a chunk when it can be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSpan {
    newest: Option<DateTime<Utc>>,
    has_undated: bool,
    iteration: u32,
}

/// What an end of an iteration lets be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgetting {
    /// What lies before can't come again.
    pub before: DateTime<Utc>,
    /// Records without a date that came in no iteration since.
    pub undated_since: u32,
    /// Whether it goes by when records had arrived.
    pub is_by_arrival: bool,
}

impl Forgetting {
    /// As an account has it after its commit.
    #[must_use]
    pub fn of(account: &ApiState, before: DateTime<Utc>) -> Self {
        Self { before, undated_since: account.undated_since, is_by_arrival: account.is_by_arrival }
    }

    /// Whether it takes every record of a chunk.
    fn takes(&self, chunk: &ChunkSpan) -> bool {
        let arrived = |date: Option<DateTime<Utc>>| {
            had_arrived_since(date.map_or(i64::MIN, |date| date.timestamp_micros()), chunk.iteration, self.before)
        };
        if self.is_by_arrival {
            return !(arrived(chunk.newest) || chunk.has_undated && arrived(None));
        }
        let is_dated_gone = chunk.newest.is_none_or(|newest| newest < self.before);
        is_dated_gone && !(chunk.has_undated && chunk.iteration >= self.undated_since)
    }
}

/// The chunks that a lane has in the engine, by their numbers.
#[derive(Clone, Debug, Default)]
pub struct ChunkIndex {
    chunks: BTreeMap<u64, ChunkSpan>,
}

impl ChunkIndex {
    /// Notes a chunk.
    pub fn add(&mut self, seq: u64, span: ChunkSpan) {
        self.chunks.insert(seq, span);
    }

    /// Takes out what can be forgotten: ranges of numbers, each from its first to its last.
    pub fn forget(&mut self, forgetting: &Forgetting) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut is_open = false;
        for (seq, span) in &self.chunks {
            if !forgetting.takes(span) {
                is_open = false;
            } else if is_open && let Some((_, last)) = ranges.last_mut() {
                *last = *seq;
            } else if ranges.len() < RANGES_MAX {
                ranges.push((*seq, *seq));
                is_open = true;
            } else {
                break;
            }
        }
        for (first, last) in &ranges {
            self.chunks.retain(|seq, _| seq < first || seq > last);
        }
        ranges
    }
}

/// The next bytes.
fn take<'b, const N: usize>(rest: &mut &'b [u8]) -> Result<&'b [u8; N], ChunkError> {
    let (first, after) = rest.split_first_chunk().ok_or(ChunkError)?;
    *rest = after;
    Ok(first)
}

/// A number, seven bits a byte, the lowest first; the eighth says that more follow (LEB128).
fn put_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(rest: &mut &[u8]) -> Result<u64, ChunkError> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let [byte] = *take(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(ChunkError)
}

/// Small numbers of either sign as small numbers without one.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(date: Option<i64>, name: u64) -> RecordKey {
        RecordKey {
            fingerprint: Fingerprint::of(&[&name.to_le_bytes()]),
            date: date.and_then(DateTime::from_timestamp_micros),
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap_or_default()
    }

    proptest! {
        #[test]
        fn a_chunk_is_read_as_it_was_written(
            iteration: u32,
            is_again: bool,
            records in prop::collection::vec((prop::option::of(-8_000_000_000_000_000..8_000_000_000_000_000_i64), 0..50_u64), 0..60),
        ) {
            let records: Vec<_> = records.into_iter().map(|(date, name)| key(date, name)).collect();
            let chunk = SharedChunk { iteration, is_again, records };
            let read = SharedChunk::decode(&chunk.encode()).expect("a chunk");
            let sorted = |chunk: &SharedChunk| {
                let mut records: Vec<_> = chunk.records.iter().map(|key| (key.date, key.fingerprint)).collect();
                records.sort_unstable();
                records
            };
            prop_assert_eq!(sorted(&read), sorted(&chunk));
            prop_assert_eq!((read.iteration, read.is_again, read.span()), (iteration, is_again, chunk.span()));
        }

        #[test]
        fn nothing_else_is_taken_for_one_without_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(SharedChunk::decode(&bytes));
            let mut with_header = vec![LAYOUT, DELIVERED];
            with_header.extend(bytes);
            drop(SharedChunk::decode(&with_header));
        }
    }

    #[test]
    fn a_full_chunk_fits_into_a_transaction_and_a_usual_one_is_small() {
        let far = |name: u64| key(Some((name as i64 % 2) * 8_000_000_000_000_000), name);
        let full = SharedChunk { iteration: 1, is_again: false, records: (0..RECORDS_MAX as u64).map(far).collect() };
        let bytes = full.encode().len();
        assert!(bytes < crate::cluster::BYTES_MAX, "{bytes}");
        let usual = |name: u64| key(Some(1_716_900_000_000_000 + 250_000 * name as i64), name);
        let batch = SharedChunk { iteration: 1, is_again: false, records: (0..770).map(usual).collect() };
        assert!(batch.encode().len() < 20 * 770, "{}", batch.encode().len());
    }

    #[test]
    fn a_chunk_is_forgotten_when_all_of_it_can_be() {
        let span = |dates: &[Option<i64>], iteration| {
            let records = dates.iter().map(|date| key(date.map(|second| second * 1_000_000), 1)).collect();
            SharedChunk { iteration, is_again: false, records }.span()
        };
        let by_date = Forgetting { before: at(100), undated_since: 5, is_by_arrival: false };
        let by_arrival = Forgetting { before: at(1_700_000_000), undated_since: 5, is_by_arrival: true };
        let cases = [
            (by_date, span(&[Some(98), Some(99)], 9), true),
            (by_date, span(&[Some(1), Some(100)], 1), false),
            (by_date, span(&[Some(1), None], 5), false),
            (by_date, span(&[Some(1), None], 4), true),
            (by_arrival, span(&[Some(1)], 1_700_000_000), false),
            (by_arrival, span(&[Some(1)], 1_699_999_999), true),
            (by_arrival, span(&[Some(1_700_000_001)], 3), false),
        ];
        for (forgetting, span, expected) in cases {
            assert_eq!(forgetting.takes(&span), expected, "{forgetting:?} {span:?}");
        }
        let mut index = ChunkIndex::default();
        for (seq, second) in [(1, 50), (2, 150), (5, 60), (9, 70), (12, 200)] {
            index.add(seq, span(&[Some(second)], 1));
        }
        assert_eq!(index.forget(&by_date), [(1, 1), (5, 9)]);
        assert_eq!(index.forget(&by_date), []);
        assert_eq!(index.chunks.keys().copied().collect::<Vec<_>>(), [2, 12]);
    }
}
