//! The batches of one iteration on their way: compressed, sent, remembered, in their order and one at a time.
//!
//! Nothing here goes on by itself: whoever asks for the next delivery drives it, and may give up the wait at any time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use chrono::{DateTime, Utc};

use crate::ship::{Batch, Done, Outbox, Packed, ShipError, Shipper, cant_compress};
use crate::state::Remembering;

/// What is left of a batch, and what became of the piece of it that was sent.
type Sent = (Vec<Packed>, Result<Option<Done>, ShipError>);

/// Batches on their way.
pub(super) struct Delivery<'a> {
    pub(super) shipper: Shipper<'a>,
    /// When the iteration began.
    now: DateTime<Utc>,
    outbox: Outbox,
    /// What is left of the batch whose turn it is.
    pieces: Vec<Packed>,
    sending: Option<Pin<Box<dyn Future<Output = Sent> + Send + 'a>>>,
    /// What was delivered is on its way to the disk; nothing else is sent until it is there.
    remembering: Option<(u64, Remembering)>,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(shipper: Shipper<'a>, now: DateTime<Utc>) -> Self {
        let outbox = Outbox::new(shipper.listener.press());
        Self { shipper, now, outbox, pieces: Vec::new(), sending: None, remembering: None }
    }

    /// Puts a batch behind the others.
    pub(super) fn push(&mut self, batch: Batch) {
        self.outbox.push(batch);
    }

    /// How many batches are not delivered yet.
    pub(super) fn len(&self) -> usize {
        self.outbox.len() + usize::from(self.sending.is_some() || !self.pieces.is_empty())
    }

    /// Notes that so many delivered records are on their way to the disk.
    pub(super) fn remember(&mut self, records: u64, remembering: Remembering) {
        self.remembering = Some((records, remembering));
    }

    /// The next delivery; where there is none, it waits for ever. To give up the wait loses nothing.
    ///
    /// # Errors
    /// [`ShipError`]
    pub(super) async fn next(&mut self) -> Result<Done, ShipError> {
        loop {
            self.remembered().await;
            if let Some(sending) = &mut self.sending {
                let (pieces, done) = sending.await;
                (self.sending, self.pieces) = (None, pieces);
                match done? {
                    Some(done) => return Ok(done),
                    None => continue,
                }
            }
            if self.pieces.is_empty() {
                let packed = self.outbox.next().await.map_err(cant_compress)?;
                self.pieces.push(packed);
            }
            let (shipper, now, mut pieces) = (self.shipper, self.now, std::mem::take(&mut self.pieces));
            self.sending = Some(Box::pin(async move {
                let done = shipper.ship_next(&mut pieces, now).await;
                (pieces, done)
            }));
        }
    }

    /// Waits until everything that was delivered is on the disk.
    pub(super) async fn remembered(&mut self) {
        if let Some((records, remembering)) = &mut self.remembering {
            remembering.end().await;
            tracing::debug!(api = self.shipper.api, records, "a batch is delivered and remembered");
            self.remembering = None;
        }
    }
}

impl fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("batches", &self.len()).finish_non_exhaustive()
    }
}
