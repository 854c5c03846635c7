//! What was delivered in one batch, as bytes for the engine; and when it can be forgotten.
//!
//! A chunk is a header and its records, in the order of their dates: what a date adds to the one before, and the fingerprint.
//! Of 770 records of a batch it takes some 15 KB. Several chunks can be folded into the bytes of one; each keeps its header
//! there. Pure.

use chrono::{DateTime, Utc};

use crate::record::{Fingerprint, RecordKey};
use crate::state::account::ApiState;
use crate::state::store::{had_arrived_since, is_arrival};

/// The layout of one chunk.
const LAYOUT: u8 = 1;
/// The layout of several: their number, then for each its kind, its iteration, how many records it has, and these.
const FOLDED: u8 = 2;
/// The records were delivered.
const DELIVERED: u8 = 0;
/// The records had been delivered, and came again.
const SEEN_AGAIN: u8 = 1;
/// How many records a chunk has at most: with all that they can take it stays below what a transaction may hold.
pub const RECORDS_MAX: usize = 36_000;

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

/// A chunk as it goes to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedChunk {
    /// All of it.
    pub bytes: Vec<u8>,
    /// What tells when it can be forgotten.
    pub span: ChunkSpan,
    /// Whether its records had been delivered before, and only came again.
    pub is_again: bool,
}

impl EncodedChunk {
    /// Of a chunk.
    #[must_use]
    pub fn of(chunk: &SharedChunk) -> Self {
        let bytes = chunk.encode();
        let span = chunk.span(bytes.len());
        Self { bytes, span, is_again: chunk.is_again }
    }
}

/// Why bytes are no chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the engine holds of a batch can't be understood; another version wrote it, or something else")]
pub struct ChunkError;

impl SharedChunk {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![LAYOUT, self.kind()];
        bytes.extend(self.iteration.to_le_bytes());
        self.put_records(&mut bytes);
        bytes
    }

    /// Several chunks, in the order in which they were written, as the bytes of one. Deliveries of one iteration become one.
    /// Records that came again don't: of one that isn't known any more the first time counts, and the others follow it.
    #[must_use]
    pub fn fold(chunks: impl IntoIterator<Item = Self>) -> Vec<u8> {
        let mut parts: Vec<Self> = Vec::new();
        for chunk in chunks {
            match parts.last_mut() {
                Some(last)
                    if !chunk.is_again && (last.iteration, last.is_again) == (chunk.iteration, chunk.is_again) =>
                {
                    last.records.extend(chunk.records);
                }
                _ => parts.push(chunk),
            }
        }
        let mut bytes = vec![FOLDED];
        put_number(parts.len() as u64, &mut bytes);
        for part in &parts {
            bytes.push(part.kind());
            bytes.extend(part.iteration.to_le_bytes());
            put_number(part.records.len() as u64, &mut bytes);
            part.put_records(&mut bytes);
        }
        bytes
    }

    fn kind(&self) -> u8 {
        if self.is_again { SEEN_AGAIN } else { DELIVERED }
    }

    fn put_records(&self, bytes: &mut Vec<u8>) {
        let mut records: Vec<(Option<i64>, &Fingerprint)> = self
            .records
            .iter()
            .map(|record| (record.date.map(|date| date.timestamp_micros()), &record.fingerprint))
            .collect();
        records.sort_unstable();
        let undated = records.iter().take_while(|(date, _)| date.is_none()).count();
        put_number(undated as u64, bytes);
        let mut last = 0;
        for (date, fingerprint) in records {
            if let Some(date) = date {
                put_number(zigzag(date.wrapping_sub(last)), bytes);
                last = date;
            }
            bytes.extend(fingerprint.bytes());
        }
    }

    /// Out of bytes: one, or those that were folded, in their order.
    ///
    /// # Errors
    /// [`ChunkError`]
    pub fn decode(bytes: &[u8]) -> Result<Vec<Self>, ChunkError> {
        let mut rest = bytes;
        let [layout] = *take(&mut rest)?;
        let count = match layout {
            LAYOUT => 1,
            FOLDED => take_number(&mut rest)?,
            _ => return Err(ChunkError),
        };
        let mut chunks = Vec::new();
        for _ in 0..count {
            let [kind @ (DELIVERED | SEEN_AGAIN)] = *take(&mut rest)? else { return Err(ChunkError) };
            let iteration = u32::from_le_bytes(*take(&mut rest)?);
            let records = if layout == LAYOUT { None } else { Some(take_number(&mut rest)?) };
            let records = take_records(records, &mut rest)?;
            chunks.push(Self { iteration, is_again: kind == SEEN_AGAIN, records });
        }
        if rest.is_empty() { Ok(chunks) } else { Err(ChunkError) }
    }

    /// What tells when it can be forgotten, where it takes so many bytes.
    #[must_use]
    pub fn span(&self, bytes: usize) -> ChunkSpan {
        ChunkSpan {
            newest: self.records.iter().filter_map(|record| record.date).max(),
            has_undated: self.records.iter().any(|record| record.date.is_none()),
            iteration: self.iteration,
            records: self.records.len() as u64,
            bytes,
        }
    }

    /// The same of several in so many bytes; nothing where there is none.
    #[must_use]
    pub fn span_of_all(chunks: &[Self], bytes: usize) -> Option<ChunkSpan> {
        let together = chunks.iter().map(|chunk| chunk.span(0)).reduce(|all, one| all.with(&one))?;
        Some(ChunkSpan { bytes, ..together })
    }
}

/// What tells of a chunk when it can be forgotten, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSpan {
    newest: Option<DateTime<Utc>>,
    has_undated: bool,
    iteration: u32,
    /// How many records it has.
    pub records: u64,
    /// How many bytes it has in the engine.
    pub bytes: usize,
}

impl ChunkSpan {
    /// Whether both are forgotten by the same rule: by when their records arrived, or by their dates.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        is_arrival(self.iteration) == is_arrival(other.iteration)
    }

    /// Of both together, which can be forgotten when each of them can.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self {
            newest: self.newest.max(other.newest),
            has_undated: self.has_undated || other.has_undated,
            iteration: self.iteration.max(other.iteration),
            records: self.records.saturating_add(other.records),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
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
    #[must_use]
    pub fn takes(&self, chunk: &ChunkSpan) -> bool {
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

/// So many records; all that follow, where nobody says how many.
fn take_records(count: Option<u64>, rest: &mut &[u8]) -> Result<Vec<RecordKey>, ChunkError> {
    let undated = take_number(rest)?;
    let (mut records, mut last) = (Vec::new(), 0_i64);
    while count.map_or(!rest.is_empty(), |count| (records.len() as u64) < count) {
        let date = if (records.len() as u64) < undated {
            None
        } else {
            last = last.wrapping_add(unzigzag(take_number(rest)?));
            Some(DateTime::from_timestamp_micros(last).ok_or(ChunkError)?)
        };
        records.push(RecordKey { fingerprint: Fingerprint::from_bytes(*take(rest)?), date });
    }
    Ok(records)
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
            let [read] = &SharedChunk::decode(&chunk.encode()).expect("a chunk")[..] else { panic!("one chunk") };
            let sorted = |chunk: &SharedChunk| {
                let mut records: Vec<_> = chunk.records.iter().map(|key| (key.date, key.fingerprint)).collect();
                records.sort_unstable();
                records
            };
            prop_assert_eq!(sorted(read), sorted(&chunk));
            prop_assert_eq!((read.iteration, read.is_again, read.span(7)), (iteration, is_again, chunk.span(7)));
        }

        #[test]
        fn what_was_folded_is_read_in_its_order(
            parts in prop::collection::vec((0..3_u32, any::<bool>(), prop::collection::vec((prop::option::of(0..90_i64), 0..50_u64), 0..9)), 0..9),
        ) {
            let part = |(iteration, is_again, records): (u32, bool, Vec<_>)| {
                let records = records.into_iter().map(|(date, name)| key(date, name)).collect();
                SharedChunk { iteration, is_again, records }
            };
            let parts: Vec<_> = parts.into_iter().map(part).collect();
            let told = |chunks: &[SharedChunk]| {
                let mut told: Vec<_> = chunks
                    .iter()
                    .enumerate()
                    .flat_map(|(at, of)| of.records.iter().map(move |key| (at, of.iteration, of.is_again, key.date, key.fingerprint)))
                    .collect();
                told.sort_unstable();
                told
            };
            let folded = SharedChunk::fold(parts.clone());
            let read = SharedChunk::decode(&folded).expect("chunks");
            // What says the same is one part.
            let mut merged: Vec<SharedChunk> = Vec::new();
            for part in parts {
                match merged.last_mut() {
                    Some(last) if !part.is_again && last.iteration == part.iteration && last.is_again == part.is_again => last.records.extend(part.records),
                    _ => merged.push(part),
                }
            }
            prop_assert_eq!(told(&read), told(&merged));
            prop_assert_eq!(&SharedChunk::fold(read), &folded, "to fold again changes nothing");
            prop_assert!(SharedChunk::decode(&[&folded[..], &[0]].concat()).is_err(), "there is more");
        }

        #[test]
        fn nothing_else_is_taken_for_one_without_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(SharedChunk::decode(&bytes));
            for header in [vec![LAYOUT, DELIVERED], vec![FOLDED, 2, DELIVERED]] {
                drop(SharedChunk::decode(&[header, bytes.clone()].concat()));
            }
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
            SharedChunk { iteration, is_again: false, records }.span(0)
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
    }
}
