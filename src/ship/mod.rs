//! From lines to acknowledged batches.
//!
//! Enters: batches of lines. Leaves: for each record the word that it was delivered, or set aside for good. What always
//! holds: a batch that the listener took, even in part, is never sent again; a record that can never be delivered is in
//! `undelivered.ndjson` before it counts as done.

mod batch;
mod gzip;
mod listener;
mod outbox;
mod undelivered;

use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use batch::{BATCH_BYTES_MAX, Batch, Batcher, LINE_BYTES_MAX, TooLong};
pub use gzip::{Packed, Packer, Press};
pub use listener::{Listener, ShipError};
pub use outbox::Outbox;
pub use undelivered::{FILE_BYTES_MAX, FILE_NAME as UNDELIVERED_FILE_NAME, ROTATED_FILE_NAME, Undelivered};

use crate::stop::Stop;
use listener::{Counts, Taken};

/// Ships the batches of one API.
#[derive(Clone, Debug)]
pub struct Shipper {
    /// Where to.
    pub listener: Arc<Listener>,
    /// What can't be shipped.
    pub undelivered: Undelivered,
    /// Ends every wait.
    pub stop: Stop,
    /// Whose records they are.
    pub api: String,
}

/// What became of a batch's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shipped {
    /// Records that the listener has.
    pub records: u64,
    /// Their lines' bytes, uncompressed.
    pub bytes: u64,
    /// Records that can't be delivered; they are in `undelivered.ndjson`.
    pub set_aside: u64,
}

/// A piece of a batch that is done: it must not be sent again.
#[derive(Debug)]
pub struct Done {
    /// The piece.
    pub piece: Batch,
    /// What became of it.
    pub shipped: Shipped,
    /// Why it is to be kept in `undelivered.ndjson`: the listener refused some of its lines.
    pub refused: Option<String>,
}

impl Shipper {
    /// Delivers the next piece: the last of `pieces`, or a part of it where the listener wants less at a time. Gives
    /// nothing where no piece is left.
    ///
    /// # Errors
    /// [`ShipError`], where the piece could not be delivered.
    pub async fn ship_next(&self, pieces: &mut Vec<Packed>, now: DateTime<Utc>) -> Result<Option<Done>, ShipError> {
        // Each split leaves two halves, so there is never more than one piece per halving.
        while let Some(Packed { batch: piece, body }) = pieces.pop() {
            if self.stop.is_cut() {
                return Err(ShipError::Stopped);
            }
            let (records, bytes) = (piece.len() as u64, piece.text().len() as u64);
            let (shipped, refused) = match self.listener.deliver(&body, &self.stop, &self.api).await? {
                Taken::Whole => (Shipped { records, bytes, set_aside: 0 }, None),
                Taken::ButSome(counts) => {
                    let refused = self.reason(&piece, counts);
                    let taken = counts.successful_lines.min(records);
                    // The whole batch is kept, as nobody knows which lines those are.
                    let set_aside = if refused.is_some() { (records - taken).max(1) } else { 0 };
                    (Shipped { records: taken, bytes, set_aside }, refused)
                }
                Taken::TooLarge if piece.len() == 1 => {
                    self.keep(&piece, now, "the listener says that it is too large").await?;
                    (Shipped { records: 0, bytes: 0, set_aside: 1 }, None)
                }
                Taken::TooLarge => {
                    for half in piece.split().map(|(head, tail)| [tail, head]).into_iter().flatten() {
                        pieces.push(self.listener.press().pack(half).await.map_err(cant_compress)?);
                    }
                    continue;
                }
            };
            return Ok(Some(Done { piece, shipped, refused }));
        }
        Ok(None)
    }

    /// Sets a record aside whose line is too long for the listener.
    ///
    /// # Errors
    /// Where it can't be written.
    pub async fn keep_too_long(&self, line: &[u8], now: DateTime<Utc>) -> Result<(), ShipError> {
        let (bytes, max) = (line.len(), LINE_BYTES_MAX);
        let reason = format!("its line has {bytes} bytes, and the listener takes {max}");
        self.write(now, &reason, [line].into_iter()).await?;
        tracing::warn!(api = self.api, bytes, bytes_max = max, "a record is too long, kept in {UNDELIVERED_FILE_NAME}");
        Ok(())
    }

    /// Why a batch is to be kept that was answered by 400: the listener doesn't say which lines it refused.
    fn reason(&self, batch: &Batch, counts: Counts) -> Option<String> {
        let Counts { malformed_lines, successful_lines, oversized_lines, empty_log_lines } = counts;
        if counts.are_whole(batch.len()) {
            tracing::info!(
                api = self.api,
                taken = successful_lines,
                empty = empty_log_lines,
                "the listener answered 400, and has every line"
            );
            return None;
        }
        let lines = batch.len();
        Some(format!(
            "the listener answered 400 to a batch of {lines}: {malformed_lines} malformed, {oversized_lines} too long, \
             {successful_lines} taken"
        ))
    }

    /// Keeps a batch in `undelivered.ndjson`.
    ///
    /// # Errors
    /// Where it can't be written.
    pub async fn keep(&self, batch: &Batch, now: DateTime<Utc>, reason: &str) -> Result<(), ShipError> {
        self.write(now, reason, batch.lines().map(|(line, _)| line)).await?;
        tracing::warn!(api = self.api, records = batch.len(), reason, "kept in {UNDELIVERED_FILE_NAME}");
        Ok(())
    }

    async fn write<'l>(
        &self,
        now: DateTime<Utc>,
        reason: &str,
        lines: impl Iterator<Item = &'l [u8]>,
    ) -> Result<(), ShipError> {
        let kept = self.undelivered.keep(&self.api, now, reason, lines).await;
        kept.map_err(|cause| ShipError::Local { what: "a record can't be kept in undelivered.ndjson", cause })
    }
}

/// A batch that can't be compressed.
#[must_use]
pub fn cant_compress(cause: std::io::Error) -> ShipError {
    ShipError::Local { what: "a batch can't be compressed", cause }
}
