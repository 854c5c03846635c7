//! Several small chunks of a lane, read to become one.

use super::chunk::SharedChunk;
use super::chunk_index::{FOLDED_BYTES_MAX, FoldOrder};
use crate::cluster::{Engine, FoldedChunks, KeyRange, LaneKeys};

/// Of how many lanes chunks are read at the same time: each takes up to a megabyte meanwhile.
pub const FOLDS_MAX: usize = 4;

/// What came of an order.
#[derive(Debug)]
pub struct Folded {
    /// The key of the lane's state.
    pub lane: String,
    /// The order.
    pub order: FoldOrder,
    /// The one chunk; nothing where they can't be read now: they stay as they are.
    pub chunk: Option<FoldedChunks>,
}

/// Reads the chunks of an order, and makes one of them.
pub async fn fold(engine: &Engine, keys: &LaneKeys, lane: String, order: FoldOrder) -> Folded {
    let chunk = read(engine, keys, &order).await;
    Folded { lane, order, chunk }
}

async fn read(engine: &Engine, keys: &LaneKeys, order: &FoldOrder) -> Option<FoldedChunks> {
    let (first, last) = (*order.numbers.first()?, *order.numbers.last()?);
    let to = format!("{}\0", keys.chunk(order.ledger, last));
    let range = KeyRange { from: keys.chunk(order.ledger, first), to };
    let (entries, _) = engine.read(&range).await.ok()?;
    let numbers = entries.iter().map(|entry| keys.chunk_in(&entry.key).map(|(_, number)| number));
    if !numbers.eq(order.numbers.iter().map(|number| Some(*number))) {
        return None;
    }
    let mut chunks = Vec::new();
    for entry in &entries {
        chunks.extend(SharedChunk::decode(&entry.value).ok()?);
    }
    let bytes = SharedChunk::fold(chunks);
    // Each header is a little longer in it.
    (bytes.len() <= FOLDED_BYTES_MAX + FOLDED_BYTES_MAX / 8).then_some(FoldedChunks { first, last, bytes })
}
