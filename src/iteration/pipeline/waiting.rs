//! What waits on the disk for an output that didn't take it: shipped before anything is fetched.

use std::io;
use std::path::PathBuf;

use super::super::report::IterationError;
use super::{Pipeline, RefusedBatch, WaitingRest};
use crate::ship::{Batch, DonePiece, Pieces, ShipError, WaitingQueue, cant_compress};

impl Pipeline<'_> {
    /// Ships what waits, the oldest first. Where the output still doesn't take it, what comes waits behind it; without room
    /// for that nothing is fetched.
    ///
    /// # Errors
    /// [`ShipError::QueueFull`], and where the disk can't be used.
    pub(super) async fn ship_waiting(&mut self) -> Result<(), IterationError> {
        let Some(queue) = self.lane.delivery.waiting().map(|waiting| waiting.queue.clone()) else { return Ok(()) };
        while let Some((place, batch)) = queue.first().map_err(unusable)? {
            if self.lane.delivery.is_halted() {
                return Err(ShipError::Recalled.into());
            }
            if let Err(error) = self.ship_one_waiting(&queue, place, batch).await {
                let (api, output) = (&self.plan.name, self.lane.delivery.shipper.listener.name().clone());
                let waiting = self.lane.delivery.waiting();
                waiting.map_or(Ok(()), |waiting| waiting.use_after(error, api, output.as_str()))?;
                break;
            }
        }
        match queue.is_full().map_err(unusable)? {
            true => Err(ShipError::QueueFull { output: self.lane.delivery.shipper.listener.name().to_string() }.into()),
            false => Ok(()),
        }
    }

    /// Ships one batch that waited; what the output has of it waits no more. Its records count as delivered already.
    async fn ship_one_waiting(&mut self, queue: &WaitingQueue, place: PathBuf, batch: Batch) -> Result<(), ShipError> {
        let shipper = self.lane.delivery.shipper.clone();
        let mut pieces = Pieces::of(shipper.listener.compression().pack(batch).await.map_err(cant_compress)?);
        let mut is_whole = true;
        let shipped = loop {
            let DonePiece { piece, shipped, refused } = match shipper.ship_next(&mut pieces, self.now).await {
                Ok(Some(done)) => done,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            is_whole = false;
            self.report.shipped.records += shipped.records;
            self.report.shipped.bytes += shipped.bytes;
            self.report.shipped.set_aside += shipped.set_aside;
            self.counters.add_records(shipped.records, shipped.bytes);
            self.counters.add_set_aside(shipped.set_aside);
            let Some(reason) = refused else { continue };
            if let Err(error) = shipper.keep(&piece, self.now, &reason).await {
                // The output has it, so that it isn't sent again, also where it can't be kept in a file for long.
                let rest = WaitingRest { queue: queue.clone(), place, lines: lines_of(pieces) };
                self.lane.refused = Some(RefusedBatch { piece, reason, rest: Some(rest) });
                return Err(error);
            }
        };
        if is_whole && shipped.is_err() {
            return shipped;
        }
        WaitingRest { queue: queue.clone(), place, lines: lines_of(pieces) }.write().and(shipped)
    }
}

impl WaitingRest {
    /// Has it wait in the place of the whole batch; where nothing is left, nothing waits.
    pub(super) fn write(&self) -> Result<(), ShipError> {
        self.queue.keep_rest(&self.place, &self.lines).map_err(unusable)
    }
}

/// The lines of what is still to be sent.
fn lines_of(mut pieces: Pieces) -> Vec<u8> {
    let mut lines = Vec::new();
    while let Some(piece) = pieces.take() {
        lines.extend_from_slice(piece.text());
    }
    lines
}

fn unusable(cause: io::Error) -> ShipError {
    ShipError::Local { what: "a batch that waits on the disk can't be read or written", cause }
}
