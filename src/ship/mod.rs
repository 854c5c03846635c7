//! From lines to acknowledged batches.
//!
//! Enters: batches of lines. Leaves: for each record the word that it was delivered, or set aside for good. What always
//! holds: delivered is only what a listener acknowledged; a batch that the listener took, even in part, is never sent again;
//! a record that can never be delivered is in `undelivered.ndjson` before it counts as done; and none is set aside where
//! the output takes nothing at all.

mod acceptance;
mod batch;
mod error;
mod gzip;
mod kept;
mod listener;
mod outbox;
mod pieces;
mod sink;
mod standing;
mod tally;
mod undelivered;
mod waiting;

use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use batch::{BATCH_BYTES_MAX, Batch, Batcher, LINE_BYTES_MAX, TooLong};
pub use error::ShipError;
pub use gzip::{CompressionPool, Compressor, Packed};
pub use kept::{KeptLine, MayHaveRecord, count_kept, read_kept, rewrite_kept};
pub use listener::Listener;
pub use outbox::CompressQueue;
pub use pieces::Pieces;
pub use sink::BatchSink;
pub use standing::{ACKNOWLEDGED_RECENTLY, ASK_EVERY};
pub use tally::Tally;
pub use undelivered::{API_BYTES_MAX, Appended, DeadLetterFile, DeadLetterReason, FILE_NAME as UNDELIVERED_FILE_NAME};
pub use waiting::{OUTPUT_BYTES_MAX, WaitingBatches, WaitingQueue};

use crate::cluster::SendLeave;
use crate::memory::MemoryBudget;
use crate::process::stop::{Recall, Stop};
use crate::record::RecordKey;
use crate::retry::Policy;
use acceptance::{Acceptance, BatchRefusal, ListenerCounts};
use pieces::{BatchPiece, PieceStep};

/// Ships the batches of one API.
#[derive(Clone, Debug)]
pub struct Shipper {
    /// Where to.
    pub listener: Arc<Listener>,
    /// What can't be shipped.
    pub undelivered: DeadLetterFile,
    /// Ends every wait.
    pub stop: Stop,
    /// Whether it is ours to ship them.
    pub leave: SendLeave,
    /// Ends every wait, and lets no other try begin, where the iteration is to end.
    pub recall: Recall,
    /// Whose records they are.
    pub api: String,
    /// What of this iteration went to `undelivered.ndjson`.
    pub tally: Arc<Tally>,
    /// How often and how long a batch is tried.
    pub retries: Policy,
    /// Where there are other outputs: the memory that their pages may wait for. Then a batch isn't tried for as long.
    pub gives_way: Option<MemoryBudget>,
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
    /// Records that wait on the disk until the output takes them.
    pub waiting: u64,
}

/// A piece of a batch that is done: it must not be sent again.
#[derive(Debug)]
pub struct DonePiece {
    /// The piece.
    pub piece: Batch,
    /// What became of it.
    pub shipped: Shipped,
    /// Why it is to be kept in `undelivered.ndjson`: the listener refused some of its lines.
    pub refused: Option<String>,
}

impl Shipper {
    /// Makes sure that nobody but a listener is known to answer at the output, before anything is fetched for it. One that is
    /// in doubt is asked by an empty request.
    ///
    /// # Errors
    /// [`ShipError::Foreign`], or [`ShipError::Stopped`]; where it is in doubt any other one.
    pub async fn require_listener(&self, is_in_doubt: bool) -> Result<(), ShipError> {
        let asked = async {
            self.listener.require_listener().await?;
            if is_in_doubt { self.listener.ask_again().await } else { Ok(()) }
        };
        self.stop.until_end(asked).await.unwrap_or(Err(ShipError::Stopped))
    }

    /// Delivers the next piece: the last of `pieces`, or a part of it where the listener wants less at a time or refuses a
    /// record. Gives nothing where no piece is left. What could not be delivered stays among them.
    ///
    /// # Errors
    /// [`ShipError`], where the piece could not be delivered.
    pub async fn ship_next(&self, pieces: &mut Pieces, now: DateTime<Utc>) -> Result<Option<DonePiece>, ShipError> {
        // Each piece is sent once, halved or put off, so there are never more rounds than twice the records.
        while let Some(BatchPiece { batch, body }) = pieces.pop() {
            if self.stop.is_draining_over() {
                return Err(ShipError::Stopped);
            }
            let Packed { batch: piece, body } = match body {
                Some(body) => Packed { batch, body },
                None => self.listener.compression().pack(batch).await.map_err(cant_compress)?,
            };
            let (records, bytes) = (piece.len() as u64, piece.text().len() as u64);
            let answered = match self.listener.deliver(&body, self).await {
                Ok(answered) => answered,
                Err(error) => {
                    pieces.put_back(piece);
                    return Err(error);
                }
            };
            let (shipped, refused) = match answered {
                Acceptance::All => {
                    pieces.acknowledge();
                    (Shipped { records, bytes, ..Shipped::default() }, None)
                }
                Acceptance::Partial(counts) => {
                    pieces.acknowledge();
                    let refused = self.reason(&piece, counts);
                    let taken = counts.successful_lines.min(records);
                    // The whole batch is kept, as nobody knows which lines those are.
                    let set_aside = if refused.is_some() { (records - taken).max(1) } else { 0 };
                    (Shipped { records: taken, bytes, set_aside, ..Shipped::default() }, refused)
                }
                Acceptance::TooLarge if piece.len() == 1 => {
                    return self.set_aside(piece, now, "the listener says that it is too large").await.map(Some);
                }
                Acceptance::TooLarge => {
                    pieces.halve(piece);
                    continue;
                }
                Acceptance::Refused(refusal) => match self.find_refused(pieces, piece, &refusal).await? {
                    Some(record) => {
                        return self.set_aside(record, now, &self.listener.reason(&refusal)).await.map(Some);
                    }
                    None => continue,
                },
            };
            return Ok(Some(DonePiece { piece, shipped, refused }));
        }
        Ok(None)
    }

    /// Goes on to search a refused piece for the record that is refused; gives it back once it is found.
    ///
    /// # Errors
    /// The refusal, where it is the output that takes nothing.
    async fn find_refused(
        &self,
        pieces: &mut Pieces,
        piece: Batch,
        refusal: &BatchRefusal,
    ) -> Result<Option<Batch>, ShipError> {
        let (step, piece) = match pieces.refuse(piece, refusal.is_of_token(), self.listener.acknowledged()) {
            None => return Ok(None),
            Some((PieceStep::SetAside, record)) => return Ok(Some(record)),
            Some(unsure) => unsure,
        };
        let asked = async {
            match step {
                PieceStep::Doubt => self.listener.takes_others().await,
                _ => self.listener.check().await.is_ok(),
            }
        };
        match self.stop.until_end(asked).await {
            None => {
                pieces.put_back(piece);
                return Err(ShipError::Stopped);
            }
            Some(false) => {
                pieces.put_back(piece);
                return Err(self.listener.refused(refusal));
            }
            Some(true) if step == PieceStep::Doubt => pieces.trust(),
            Some(true) => {}
        }
        Ok(pieces.narrow_down(piece))
    }

    /// Sets a record aside that the listener never takes.
    async fn set_aside(&self, piece: Batch, now: DateTime<Utc>, reason: &str) -> Result<DonePiece, ShipError> {
        self.write(now, reason, false, piece.lines()).await?;
        Ok(DonePiece { piece, shipped: Shipped { set_aside: 1, ..Shipped::default() }, refused: None })
    }

    /// Sets a record aside whose line is too long for the listener.
    ///
    /// # Errors
    /// Where it can't be written.
    pub async fn keep_too_long(&self, line: &[u8], record: RecordKey, now: DateTime<Utc>) -> Result<(), ShipError> {
        let reason = format!("the record is too long: {} bytes, and the listener takes {LINE_BYTES_MAX}", line.len());
        self.write(now, &reason, false, [(line, record)].into_iter()).await
    }

    /// Why a batch is to be kept that was answered by 400: the listener doesn't say which lines it refused.
    fn reason(&self, batch: &Batch, counts: ListenerCounts) -> Option<String> {
        let ListenerCounts { malformed_lines, successful_lines, oversized_lines, empty_log_lines } = counts;
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
            "the listener answered 400 to a batch of {lines}: {malformed_lines} malformed, {oversized_lines} oversized, \
             {successful_lines} accepted"
        ))
    }

    /// Keeps a batch in `undelivered.ndjson` of which the listener refused some lines.
    ///
    /// # Errors
    /// Where it can't be written.
    pub async fn keep(&self, batch: &Batch, now: DateTime<Utc>, reason: &str) -> Result<(), ShipError> {
        self.write(now, reason, true, batch.lines()).await
    }

    async fn write<'l>(
        &self,
        time: DateTime<Utc>,
        reason: &str,
        is_taken_in_part: bool,
        lines: impl Iterator<Item = (&'l [u8], RecordKey)>,
    ) -> Result<(), ShipError> {
        let cause =
            DeadLetterReason { output: self.listener.name().as_str(), api: &self.api, time, reason, is_taken_in_part };
        let kept = self.undelivered.keep(cause, lines).await;
        let kept =
            kept.map_err(|cause| ShipError::Local { what: "a record can't be kept in undelivered.ndjson", cause })?;
        self.tally.add(kept, reason);
        Ok(())
    }
}

/// A batch that can't be compressed.
#[must_use]
pub fn cant_compress(cause: std::io::Error) -> ShipError {
    ShipError::Local { what: "a batch can't be compressed", cause }
}
