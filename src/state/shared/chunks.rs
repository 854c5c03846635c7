//! The chunks of all lanes that are written here. Pure.

use std::collections::BTreeMap;

use super::chunk::{ChunkSpan, Forgetting};
use super::chunk_index::{ChunkIndex, FoldOrder};
use crate::state::account::LedgerId;

/// By the keys of their states.
#[derive(Debug, Default)]
pub struct LaneChunks {
    by_lane: BTreeMap<String, ChunkIndex>,
    bytes: u64,
}

impl LaneChunks {
    /// How many bytes all of them have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Begins with a lane, as it was read.
    pub fn open(&mut self, lane: &str, ledger: LedgerId, chunks: Vec<(u64, ChunkSpan)>) {
        self.close(lane);
        let mut index = ChunkIndex::of(ledger);
        chunks.into_iter().for_each(|(number, span)| index.add(number, span));
        self.bytes = self.bytes.saturating_add(index.bytes());
        self.by_lane.insert(lane.to_owned(), index);
    }

    /// Ends with a lane.
    pub fn close(&mut self, lane: &str) {
        let closed = self.by_lane.remove(lane);
        self.bytes = self.bytes.saturating_sub(closed.map_or(0, |index| index.bytes()));
    }

    /// Notes a chunk.
    pub fn add(&mut self, lane: &str, number: u64, span: ChunkSpan) {
        self.with(lane, |index| index.add(number, span));
    }

    /// Takes out what a write of a ledger lets be forgotten, and what is too much of it.
    pub fn forget(&mut self, lane: &str, ledger: LedgerId, forgetting: Option<&Forgetting>) -> Vec<(u64, u64)> {
        let forgotten = self.with(lane, |index| {
            if index.ledger() != ledger {
                // It has none of the chunks of the one before.
                *index = ChunkIndex::of(ledger);
            }
            let mut ranges = forgetting.map(|forgetting| index.forget(forgetting)).unwrap_or_default();
            ranges.extend(index.thin());
            ranges
        });
        forgotten.unwrap_or_default()
    }

    /// What of a lane is worth to be folded now.
    #[must_use]
    pub fn to_fold(&self, lane: &str) -> Option<FoldOrder> {
        self.by_lane.get(lane)?.to_fold()
    }

    /// Notes that an order was carried out; false where the lane has other chunks by now.
    #[must_use]
    pub fn fold(&mut self, lane: &str, order: &FoldOrder, bytes: usize) -> bool {
        self.with(lane, |index| index.fold(order, bytes)).unwrap_or_default()
    }

    fn with<T>(&mut self, lane: &str, work: impl FnOnce(&mut ChunkIndex) -> T) -> Option<T> {
        let index = self.by_lane.get_mut(lane)?;
        let before = index.bytes();
        let done = work(index);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(index.bytes());
        Some(done)
    }
}
