//! What leads from a page's records to acknowledged batches, and what is remembered of them.

use std::future::Future;
use std::pin::{Pin, pin};

use chrono::{DateTime, Utc};
use futures_util::future::MaybeDone;

use super::super::delivery::cant_remember;
use super::super::report::IterationError;
use super::{BEHIND_MAX, Pipeline, RefusedBatch};
use crate::fetch::Fetcher;
use crate::memory::Permit;
use crate::record::{Record, RecordKey};
use crate::ship::{Batch, DonePiece, ShipError};
use crate::state::Durable;

impl Pipeline<'_> {
    /// Begins to remember that records were delivered, or set aside: from now on the store knows of them.
    pub(super) async fn remember(&mut self, mut identities: Vec<RecordKey>) -> Durable {
        // With the last record of an entry the entry is done.
        identities.extend(self.lane.places.take_entries());
        identities.iter().for_each(|identity| self.intake.acknowledge(identity.fingerprint));
        match self.lane.places.deliver(0) {
            None => self.claim.remember(self.account.ledger, self.account.iteration, identities).await,
            Some(place) => {
                self.take_place(place);
                self.claim.remember_with(self.account.clone(), identities).await
            }
        }
    }

    /// Puts a full batch behind those that are on their way.
    pub(super) fn enqueue(&mut self, batch: Option<Batch>) {
        batch.into_iter().for_each(|batch| self.lane.delivery.push(batch));
    }

    /// Lets go of memory that is kept to be filled again, as others may wait for it.
    pub(super) fn drop_spare(&mut self) {
        self.lane.batcher.drop_spare();
        self.lane.delivery.let_go(0, self.lane.batcher.memory_bytes());
    }

    /// Notes that a page is out of memory: what is left of it stands in batches.
    pub(super) fn drop_page(&mut self, permit: Option<Permit>) {
        self.lane.delivery.hold_batches(self.lane.batcher.memory_bytes());
        drop(permit);
    }

    pub(super) async fn ship_rest(&mut self) -> Result<(), IterationError> {
        let rest = self.lane.batcher.finish();
        self.enqueue(rest);
        self.ship_until(0).await?;
        Ok(self.lane.delivery.remembered().await?)
    }

    /// Ships until so many batches are left.
    pub(super) async fn ship_until(&mut self, left: usize) -> Result<(), IterationError> {
        while self.lane.delivery.len() > left {
            let done = self.lane.delivery.next().await;
            self.note(done).await?;
        }
        Ok(())
    }

    /// Puts a page's records into batches while the next page is fetched.
    pub(super) async fn batch_alongside(
        &mut self,
        records: &[Record<'_>],
        now: DateTime<Utc>,
        mut fetch: Pin<&mut MaybeDone<impl Future>>,
    ) -> Result<(), IterationError> {
        let mut batched = pin!(self.admit(records, now));
        loop {
            tokio::select! {
                biased;
                () = &mut fetch, if fetch.as_mut().output_mut().is_none() => {}
                batched = &mut batched => return batched,
            }
        }
    }

    /// Ships while something is fetched; where that has to wait, what fills no batch, too. A failure to ship ends both at
    /// once.
    pub(super) async fn ship_alongside<T>(
        &mut self,
        fetch: impl Future<Output = T>,
        fetcher: &Fetcher<'_>,
    ) -> Result<T, IterationError> {
        tokio::pin!(fetch);
        let mut has_all = false;
        let fetched = loop {
            let done = tokio::select! {
                fetched = &mut fetch => break fetched,
                done = self.lane.delivery.next() => done,
                () = fetcher.waits.long_one(), if !has_all => {
                    let rest = self.lane.batcher.finish();
                    self.enqueue(rest);
                    has_all = true;
                    self.drop_spare();
                    continue;
                }
            };
            self.note(done).await?;
            if has_all {
                self.drop_spare();
            }
        };
        self.ship_until(BEHIND_MAX).await?;
        Ok(fetched)
    }

    /// Notes what became of a batch. What was delivered is on its way to the disk before anything else is shipped.
    async fn note(&mut self, done: Result<DonePiece, ShipError>) -> Result<(), IterationError> {
        let noted = match done {
            Ok(done) => self.note_done(done).await,
            Err(error) => Err(error.into()),
        };
        self.lane.has_failed |= noted.is_err();
        noted
    }

    async fn note_done(&mut self, DonePiece { piece, shipped, refused }: DonePiece) -> Result<(), IterationError> {
        self.report.shipped.records += shipped.records;
        self.report.shipped.bytes += shipped.bytes;
        self.report.shipped.set_aside += shipped.set_aside;
        self.report.shipped.waiting += shipped.waiting;
        self.counters.add_records(shipped.records, shipped.bytes);
        self.counters.add_set_aside(shipped.set_aside);
        match refused {
            None => {
                self.lane.places.delivered = self.lane.places.delivered.saturating_add(piece.len() as u64);
                let remembering = self.remember(piece.identities().collect()).await;
                self.lane.delivery.remember(shipped.records, remembering);
                let bytes = piece.memory_bytes();
                self.lane.batcher.reuse(piece);
                self.lane.delivery.let_go(bytes, self.lane.batcher.memory_bytes());
                self.lane.delivery.begin_next();
                Ok(())
            }
            Some(reason) => {
                self.lane.refused = Some(RefusedBatch { piece, reason, rest: None });
                self.keep_refused().await
            }
        }
    }

    /// Keeps what the listener refused in a file, and remembers it then.
    pub(super) async fn keep_refused(&mut self) -> Result<(), IterationError> {
        if let Some(RefusedBatch { piece, reason, rest }) = &self.lane.refused {
            self.lane.delivery.shipper.keep(piece, self.now, reason).await?;
            if let Some(rest) = rest {
                rest.write()?;
                // Its records count as delivered already.
                self.lane.refused = None;
                return Ok(());
            }
            let identities: Vec<RecordKey> = piece.identities().collect();
            self.lane.refused = None;
            self.lane.places.delivered = self.lane.places.delivered.saturating_add(identities.len() as u64);
            self.remember(identities).await.end().await.map_err(cant_remember)?;
        }
        Ok(())
    }
}
