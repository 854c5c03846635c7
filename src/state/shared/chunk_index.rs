//! Which chunks a lane has in the engine: when they can be forgotten, and which are worth being one.
//!
//! An API that delivers a few records at a time leaves a chunk for each batch, and whoever takes it over reads them all. So
//! small ones that follow each other are folded, the younger ones first: an old one that has grown is written again only
//! once as much has come after it, and each record is written some ten times at most. Pure.

use std::collections::BTreeMap;

use super::chunk::{ChunkSpan, Forgetting};
use crate::state::account::LedgerId;
use crate::state::store::REMEMBERED_MAX;

/// How many ranges of chunks are forgotten at once; the others are at the next end of an iteration.
const RANGES_MAX: usize = 16;
/// With more small chunks than this some are folded.
const SMALL_MAX: usize = 64;
/// With more chunks than this that folding can still make larger some are folded. A backfill of full batches is not written
/// twice before it has that many: what its window remembers is often forgotten earlier, all at once.
const FOLDABLE_MAX: usize = 512;
/// How many small chunks are folded at least: each time costs a transaction.
const FOLD_MIN: usize = 8;
/// How many are folded whatever each of them has.
const FOLD_FREELY: usize = SMALL_MAX / 2;
/// How large a chunk may become by folding: half of what a transaction holds, beside a batch of another lane.
pub const FOLDED_BYTES_MAX: usize = 512 * 1024;
/// A chunk that has less than half of that can become larger.
const FOLDABLE_BYTES: usize = FOLDED_BYTES_MAX / 2;
/// A chunk that has less than this is a small one: that of a full batch has more.
const SMALL_BYTES: usize = 8 * 1024;

/// The chunks that a lane has in the engine, by their numbers.
#[derive(Clone, Debug, Default)]
pub struct ChunkIndex {
    ledger: LedgerId,
    chunks: BTreeMap<u64, ChunkSpan>,
    bytes: u64,
    records: u64,
}

/// Chunks that are to be one, in the place of the last of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldOrder {
    /// Of which ledger.
    pub ledger: LedgerId,
    /// Their numbers, in their order.
    pub numbers: Vec<u64>,
}

impl ChunkIndex {
    /// Of a ledger.
    #[must_use]
    pub fn of(ledger: LedgerId) -> Self {
        Self { ledger, ..Self::default() }
    }

    /// Which ledger.
    #[must_use]
    pub fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// How many bytes all of them have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Notes a chunk.
    pub fn add(&mut self, number: u64, span: ChunkSpan) {
        self.remove(number);
        self.bytes = self.bytes.saturating_add(span.bytes as u64);
        self.records = self.records.saturating_add(span.records);
        self.chunks.insert(number, span);
    }

    fn remove(&mut self, number: u64) {
        if let Some(span) = self.chunks.remove(&number) {
            self.bytes = self.bytes.saturating_sub(span.bytes as u64);
            self.records = self.records.saturating_sub(span.records);
        }
    }

    /// Takes out what can be forgotten: ranges of numbers, each from its first to its last.
    pub fn forget(&mut self, forgetting: &Forgetting) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut is_open = false;
        for (number, span) in &self.chunks {
            if !forgetting.takes(span) {
                is_open = false;
            } else if is_open && let Some((_, last)) = ranges.last_mut() {
                *last = *number;
            } else if ranges.len() < RANGES_MAX {
                ranges.push((*number, *number));
                is_open = true;
            } else {
                break;
            }
        }
        for (first, last) in &ranges {
            self.remove_range(*first, *last);
        }
        ranges
    }

    fn remove_range(&mut self, first: u64, last: u64) {
        let gone: Vec<u64> = self.chunks.range(first..=last).map(|(number, _)| *number).collect();
        gone.into_iter().for_each(|number| self.remove(number));
    }

    /// Takes the middle half out where there are more records than a store remembers of a ledger, as a store does: the ends
    /// hold what was delivered last, in whatever order pages come.
    pub fn thin(&mut self) -> Option<(u64, u64)> {
        if self.records <= REMEMBERED_MAX {
            return None;
        }
        let (quarter, mut before) = (self.records / 4, 0_u64);
        let end = self.records.saturating_sub(quarter);
        let mut middle: Option<(u64, u64)> = None;
        for (number, span) in &self.chunks {
            let after = before.saturating_add(span.records);
            if before >= quarter && after <= end {
                middle = Some((middle.map_or(*number, |(first, _)| first), *number));
            }
            before = after;
        }
        let (first, last) = middle?;
        self.remove_range(first, last);
        Some((first, last))
    }

    /// What is worth to be folded now.
    #[must_use]
    pub fn to_fold(&self) -> Option<FoldOrder> {
        let below = |bytes| self.chunks.values().filter(|span| span.bytes < bytes).count();
        if below(SMALL_BYTES) <= SMALL_MAX && below(FOLDABLE_BYTES) <= FOLDABLE_MAX {
            return None;
        }
        let mut run: Option<(ChunkSpan, Vec<u64>)> = None;
        for (number, span) in self.chunks.iter().rev() {
            match &mut run {
                Some((together, numbers)) if takes(together, numbers.len(), span) => {
                    *together = together.with(span);
                    numbers.push(*number);
                }
                Some((_, numbers)) if numbers.len() >= FOLD_MIN => break,
                _ => run = Some((*span, vec![*number])),
            }
        }
        let (_, mut numbers) = run.filter(|(_, numbers)| numbers.len() >= FOLD_MIN)?;
        numbers.reverse();
        Some(FoldOrder { ledger: self.ledger, numbers })
    }

    /// Notes that an order was carried out, and the one chunk has so many bytes; false where the lane has other chunks by now.
    #[must_use]
    pub fn fold(&mut self, order: &FoldOrder, bytes: usize) -> bool {
        let (Some(first), Some(last)) = (order.numbers.first(), order.numbers.last()) else { return false };
        let there = self.chunks.range(first..=last);
        if order.ledger != self.ledger || !there.clone().map(|(number, _)| number).eq(&order.numbers) {
            return false;
        }
        let Some(mut together) = there.map(|(_, span)| *span).reduce(|all, one| all.with(&one)) else { return false };
        together.bytes = bytes;
        self.remove_range(*first, *last);
        self.add(*last, together);
        true
    }
}

/// Whether an older chunk is folded with so many younger ones.
fn takes(younger: &ChunkSpan, count: usize, older: &ChunkSpan) -> bool {
    let has_room = younger.bytes.saturating_add(older.bytes) <= FOLDED_BYTES_MAX;
    has_room && younger.is_like(older) && (count < FOLD_FREELY || older.bytes <= younger.bytes)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::record::{Fingerprint, RecordKey};
    use crate::state::shared::chunk::SharedChunk;

    fn span(second: i64, iteration: u32, (records, bytes): (u64, usize)) -> ChunkSpan {
        let date = DateTime::from_timestamp(second, 0);
        let record = RecordKey { fingerprint: Fingerprint::of(&[&[1]]), date };
        let mut one = SharedChunk { iteration, is_again: false, records: vec![record] }.span(bytes);
        one.records = records;
        one
    }

    fn before(second: i64) -> Forgetting {
        let before = DateTime::from_timestamp(second, 0).unwrap_or_default();
        Forgetting { before, undated_since: 5, is_by_arrival: false }
    }

    #[test]
    fn ranges_are_forgotten_in_which_every_chunk_can_be() {
        let mut index = ChunkIndex::default();
        for (number, second) in [(1, 50), (2, 150), (5, 60), (9, 70), (12, 200)] {
            index.add(number, span(second, 1, (1, 10)));
        }
        assert_eq!(index.forget(&before(100)), [(1, 1), (5, 9)]);
        assert_eq!(index.forget(&before(100)), []);
        assert_eq!(index.chunks.keys().copied().collect::<Vec<_>>(), [2, 12]);
        assert_eq!((index.bytes(), index.records), (20, 2));
    }

    #[test]
    fn many_small_chunks_become_one_in_the_place_of_the_last() {
        let mut index = ChunkIndex::of(3);
        (0..64).for_each(|number| index.add(2 * number, span(100, 1, (1, 40))));
        assert_eq!(index.to_fold(), None);
        index.add(200, span(100, 1, (1, 40)));
        let order = index.to_fold().expect("something to fold");
        assert_eq!((order.ledger, order.numbers.len(), order.numbers.last()), (3, 65, Some(&200)));
        assert!(index.fold(&order, 1_000));
        assert_eq!((index.chunks.len(), index.bytes(), index.records), (1, 1_000, 65));
        assert!(!index.fold(&order, 1_000), "those chunks are no longer there");
    }

    #[test]
    fn an_old_chunk_that_has_grown_is_left_until_as_much_has_come_after_it() {
        let mut index = ChunkIndex::default();
        index.add(1, span(1, 1, (1_000, 100_000)));
        (2..=66).for_each(|number| index.add(number, span(1, 1, (1, 40))));
        assert_eq!(index.to_fold().map(|order| order.numbers.len()), Some(65));
        (2..=66).for_each(|number| index.add(number, span(1, 1, (1, 1_600))));
        assert_eq!(index.to_fold().map(|order| order.numbers.len()), Some(66));
    }

    #[test]
    fn full_batches_are_folded_once_they_are_very_many() {
        let mut index = ChunkIndex::default();
        (1..=512).for_each(|number| index.add(number, span(1, 1, (770, 15_000))));
        assert_eq!(index.to_fold(), None, "none is small");
        index.add(513, span(1, 1, (770, 15_000)));
        assert_eq!(index.to_fold().map(|order| order.numbers), Some((480..=513).collect()));
    }

    #[test]
    fn what_is_forgotten_by_other_rules_is_not_folded_together() {
        let mut index = ChunkIndex::default();
        (1..=40).for_each(|number| index.add(number, span(1, 7, (1, 40))));
        (41..=80).for_each(|number| index.add(number, span(1, 1_716_900_000, (1, 40))));
        assert_eq!(index.to_fold().map(|order| order.numbers), Some((41..=80).collect()));
    }

    #[test]
    fn of_too_many_records_the_middle_half_is_forgotten() {
        let mut index = ChunkIndex::default();
        (1..=8).for_each(|number| index.add(number, span(1, 1, (REMEMBERED_MAX / 8, 1))));
        assert_eq!(index.thin(), None);
        index.add(9, span(1, 1, (8, 1)));
        assert_eq!(index.thin(), Some((4, 6)));
        assert_eq!(index.thin(), None);
        assert!(index.records <= REMEMBERED_MAX);
    }

    proptest! {
        #[test]
        fn chunks_stay_few_and_nothing_is_written_again_too_often(sizes in prop::collection::vec(30_usize..20_000, 1..1_500)) {
            let (mut index, mut written, mut all) = (ChunkIndex::default(), 0, 0);
            for (number, bytes) in (1..).zip(&sizes) {
                index.add(number, span(1, 1, (1, *bytes)));
                all += bytes;
                if let Some(order) = index.to_fold() {
                    let (first, last) = (order.numbers[0], order.numbers[order.numbers.len() - 1]);
                    let bytes: usize = index.chunks.range(first..=last).map(|(_, span)| span.bytes).sum();
                    prop_assert!(bytes <= FOLDED_BYTES_MAX);
                    prop_assert!(index.fold(&order, bytes));
                    written += bytes;
                }
            }
            prop_assert_eq!((index.bytes(), index.records), (all as u64, sizes.len() as u64));
            let most = FOLDABLE_MAX + 1 + all / FOLDABLE_BYTES;
            prop_assert!(index.chunks.len() <= most, "{} chunks of {all} bytes", index.chunks.len());
            prop_assert!(written <= 10 * all, "{written} bytes written again of {all}");
        }
    }
}
