//! The batches of one iteration on their way: compressed, sent, remembered, in their order and one at a time.
//!
//! What is being sent goes on by itself, so that nobody's timeouts pass while a page is read or the disk is slow. So does the
//! batch after one that was delivered, once that is remembered. Whoever waits for a delivery may give up at any time.

use std::io::ErrorKind;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;

use crate::cluster::UnwrittenError;
use crate::memory::Permit;
use crate::process::stop::Recall;
use crate::ship::{Batch, CompressQueue, DonePiece, Pieces, ShipError, Shipped, Shipper, WaitingQueue, cant_compress};
use crate::state::Durable;

/// How long a batch under way may take when the iteration is to end.
const HALTED_WITHIN: Duration = Duration::from_secs(10);

/// What is left of a batch, and what became of the piece of it that was sent.
type SentPiece = (Pieces, Result<Option<DonePiece>, ShipError>);

/// Batches on their way.
#[derive(Debug)]
pub(super) struct BatchSender {
    pub(super) shipper: Shipper,
    /// What the batches take of the memory budget, once their page is gone.
    held: Permit,
    /// The memory of the batches that are on their way.
    bytes: usize,
    /// When the iteration began.
    now: DateTime<Utc>,
    queue: CompressQueue,
    /// What is left of the batch whose turn it is.
    pieces: Pieces,
    /// One task at most; it ends with the iteration.
    sending: JoinSet<SentPiece>,
    /// What was delivered is on its way to the disk; nothing else is sent until it is there.
    remembering: Option<Remembering>,
    /// Ends the iteration at a batch border.
    recall: Recall,
    /// Where batches wait that the output doesn't take.
    waiting: Option<WaitingPlace>,
}

/// Where batches wait on the disk that the output doesn't take.
#[derive(Debug)]
pub(super) struct WaitingPlace {
    pub(super) queue: WaitingQueue,
    /// Whether batches go there at once, as the output took nothing in this iteration.
    pub(super) is_used: bool,
}

impl WaitingPlace {
    /// Notes that the output doesn't take a batch, told once an iteration. Gives the error back where that is no reason for
    /// a batch to wait.
    pub(super) fn use_after(&mut self, error: ShipError, api: &str, output: &str) -> Result<(), ShipError> {
        if !error.is_of_output() {
            return Err(error);
        }
        if !std::mem::replace(&mut self.is_used, true) {
            let cause = error.to_string();
            tracing::warn!(api, output, cause, "the output doesn't take its batch; what it lacks waits on the disk");
        }
        Ok(())
    }
}

impl BatchSender {
    pub(super) fn new(
        shipper: Shipper,
        held: Permit,
        recall: Recall,
        waiting: Option<WaitingPlace>,
        now: DateTime<Utc>,
    ) -> Self {
        let queue = CompressQueue::new(shipper.listener.compression());
        Self {
            shipper,
            held,
            bytes: 0,
            now,
            queue,
            pieces: Pieces::default(),
            sending: JoinSet::new(),
            remembering: None,
            recall,
            waiting,
        }
    }

    /// Where batches wait that the output doesn't take, if they do.
    pub(super) fn waiting(&mut self) -> Option<&mut WaitingPlace> {
        self.waiting.as_mut()
    }

    /// Puts a batch behind the others.
    pub(super) fn push(&mut self, batch: Batch) {
        self.bytes = self.bytes.saturating_add(batch.memory_bytes());
        self.queue.push(batch);
    }

    /// Counts the batches from now on, as their page, which took their room, is gone.
    pub(super) fn hold_batches(&mut self, open_bytes: usize) {
        self.held.count_batches(self.bytes.saturating_add(open_bytes));
    }

    /// Notes that a batch of so much memory is no longer on its way.
    pub(super) fn let_go(&mut self, bytes: usize, open_bytes: usize) {
        self.bytes = if self.len() == 0 { 0 } else { self.bytes.saturating_sub(bytes) };
        self.held.shrink_to_batches(self.bytes.saturating_add(open_bytes));
    }

    /// How many batches are not delivered yet.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + usize::from(!self.sending.is_empty() || !self.pieces.is_empty())
    }

    /// Notes that so many delivered records are on their way to the disk.
    pub(super) fn remember(&mut self, records: u64, remembering: Durable) {
        self.remembering = Some(Remembering { records, on_its_way: remembering });
    }

    /// Whether the iteration is to end at the next border of a batch.
    pub(super) fn is_halted(&self) -> bool {
        self.recall.is_halted()
    }

    /// The next delivery; where there is none, it waits for ever. To give up the wait loses nothing.
    ///
    /// # Errors
    /// [`ShipError`]; [`ShipError::Recalled`] where the iteration is to end, once the batch under way is done or takes long.
    pub(super) async fn next(&mut self) -> Result<DonePiece, ShipError> {
        let recall = self.recall.clone();
        if recall.is_halted() && self.sending.is_empty() {
            return Err(ShipError::Recalled);
        }
        let halted = async {
            recall.halted().await;
            tokio::time::sleep(HALTED_WITHIN).await;
        };
        tokio::select! {
            biased;
            done = self.next_done() => done,
            () = halted => Err(ShipError::Recalled),
        }
    }

    async fn next_done(&mut self) -> Result<DonePiece, ShipError> {
        loop {
            if let Some(sent) = self.sending.join_next().await {
                let (pieces, done) = sent.map_err(|ended| cant_send(ended.into()))?;
                self.pieces = pieces;
                match (done, &mut self.waiting) {
                    (Ok(Some(done)), _) => return Ok(done),
                    (Ok(None), _) => {}
                    (Err(error), None) => return Err(error),
                    (Err(error), Some(waiting)) => {
                        let output = self.shipper.listener.name().as_str();
                        waiting.use_after(error, &self.shipper.api, output)?;
                    }
                }
            }
            if self.begin_next() {
                continue;
            }
            self.remembered().await?;
            if self.pieces.is_empty() {
                self.pieces = Pieces::of(self.queue.next().await.map_err(cant_compress)?);
            }
            let queue = self.waiting.as_ref().map(|waiting| waiting.queue.clone());
            if let Some(queue) = queue {
                return self.keep_waiting(&queue);
            }
        }
    }

    /// Has the next batch sent, if there is one, once the one before is remembered; false where nothing is to be sent.
    pub(super) fn begin_next(&mut self) -> bool {
        if self.waiting.as_ref().is_some_and(|waiting| waiting.is_used) || !self.sending.is_empty() {
            return false;
        }
        let mut pieces = std::mem::take(&mut self.pieces);
        let packed = if pieces.is_empty() { self.queue.take_next() } else { None };
        if pieces.is_empty() && packed.is_none() {
            return false;
        }
        let (shipper, now, recall) = (self.shipper.clone(), self.now, self.recall.clone());
        let remembering = self.remembering.take();
        self.sending.spawn(async move {
            let done = async {
                if let Some(packed) = packed {
                    pieces = Pieces::of(packed.end().await.map_err(cant_compress)?);
                }
                if let Some(mut remembering) = remembering {
                    remembering.end(&shipper.api).await?;
                    if recall.is_halted() {
                        return Err(ShipError::Recalled);
                    }
                }
                shipper.ship_next(&mut pieces, now).await
            };
            let done = done.await;
            (pieces, done)
        });
        true
    }

    /// Has the next piece wait on the disk. It is there afterwards.
    fn keep_waiting(&mut self, queue: &WaitingQueue) -> Result<DonePiece, ShipError> {
        let piece = self.pieces.take().unwrap_or_default();
        queue.push(&piece).map_err(|cause| self.cant_wait(cause))?;
        let shipped = Shipped { waiting: piece.len() as u64, ..Shipped::default() };
        Ok(DonePiece { piece, shipped, refused: None })
    }

    /// Why a batch can't wait on the disk.
    pub(super) fn cant_wait(&self, cause: std::io::Error) -> ShipError {
        match cause.kind() {
            ErrorKind::StorageFull => ShipError::QueueFull { output: self.shipper.listener.name().to_string() },
            _ => ShipError::Local { what: "a batch that the output doesn't take can't be kept", cause },
        }
    }

    /// Waits until everything that was delivered is on the disk.
    ///
    /// # Errors
    /// Where the disk hangs: a crash might double more than one batch.
    pub(super) async fn remembered(&mut self) -> Result<(), ShipError> {
        if let Some(remembering) = &mut self.remembering {
            remembering.end(&self.shipper.api).await?;
            self.remembering = None;
        }
        Ok(())
    }
}

/// So many delivered records are on their way to the disk.
#[derive(Debug)]
struct Remembering {
    records: u64,
    on_its_way: Durable,
}

impl Remembering {
    /// Waits until they are there.
    ///
    /// # Errors
    /// Where the disk hangs: a crash might double more than one batch.
    async fn end(&mut self, api: &str) -> Result<(), ShipError> {
        self.on_its_way.end().await.map_err(cant_remember)?;
        tracing::debug!(api, records = self.records, "a batch is delivered and remembered");
        Ok(())
    }
}

/// The task that sends ended before its time, as nothing but the end of the process makes it.
fn cant_send(cause: std::io::Error) -> ShipError {
    ShipError::Local { what: "a batch can't be sent", cause }
}

/// The disk hangs, and a crash might double more than one batch if others followed.
pub(super) fn cant_remember(cause: std::io::Error) -> ShipError {
    let local = |cause| ShipError::Local { what: "what was delivered can't be remembered", cause };
    UnwrittenError::of(&cause).map_or_else(|| local(cause), ShipError::Unwritten)
}
