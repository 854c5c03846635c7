//! What waits on the disk for an output that didn't take it: shipped before anything is fetched.

use super::super::report::IterationError;
use super::Pipeline;
use crate::ship::{Batch, Pieces, ShipError, cant_compress};

impl Pipeline<'_> {
    /// Ships what waits, the oldest first. Where the output still doesn't take it, what comes waits behind it; without room
    /// for that nothing is fetched.
    ///
    /// # Errors
    /// [`ShipError::QueueFull`], and where the disk can't be used.
    pub(super) async fn ship_waiting(&mut self) -> Result<(), IterationError> {
        let Some(queue) = self.lane.delivery.waiting().map(|waiting| waiting.queue.clone()) else { return Ok(()) };
        let unreadable = |cause| ShipError::Local { what: "a batch that waits on the disk can't be read", cause };
        while let Some((place, batch)) = queue.first().map_err(unreadable)? {
            if self.lane.delivery.is_halted() {
                return Err(ShipError::Recalled.into());
            }
            let shipped = self.ship_one_waiting(batch).await;
            if let Err(error) = shipped {
                let (api, output) = (&self.plan.name, self.lane.delivery.shipper.listener.name().clone());
                let waiting = self.lane.delivery.waiting();
                waiting.map_or(Ok(()), |waiting| waiting.use_after(error, api, output.as_str()))?;
                break;
            }
            queue.remove(&place).map_err(unreadable)?;
        }
        match queue.is_full().map_err(unreadable)? {
            true => Err(ShipError::QueueFull { output: self.lane.delivery.shipper.listener.name().to_string() }.into()),
            false => Ok(()),
        }
    }

    /// Ships one batch that waited. Its records count as delivered already.
    async fn ship_one_waiting(&mut self, batch: Batch) -> Result<(), ShipError> {
        let shipper = self.lane.delivery.shipper.clone();
        let mut pieces = Pieces::of(shipper.listener.compression().pack(batch).await.map_err(cant_compress)?);
        while let Some(done) = shipper.ship_next(&mut pieces, self.now).await? {
            if let Some(reason) = &done.refused {
                shipper.keep(&done.piece, self.now, reason).await?;
            }
            self.report.shipped.records += done.shipped.records;
            self.report.shipped.bytes += done.shipped.bytes;
            self.report.shipped.set_aside += done.shipped.set_aside;
            self.counters.add_records(done.shipped.records, done.shipped.bytes);
            self.counters.add_set_aside(done.shipped.set_aside);
        }
        Ok(())
    }
}
