//! Room in memory for one page: taken before it is asked for, and as its body comes in.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use super::{FetchError, Waits};
use crate::counters::Counters;
use crate::memory::{MemoryBudget, Outage, Permit};

/// How long a page waits for room, or for a listener that takes nothing: as long as a batch is tried.
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);
/// How often somebody who waits shows that it isn't stuck.
const SHOWN_EVERY: Duration = Duration::from_secs(5);

/// Room for one page, over all attempts to get it.
pub(super) struct Room<'a> {
    permit: Permit,
    outage: &'a Outage,
    waiting: RoomWait<'a>,
    /// Whether the page will be parsed to a tree of values.
    has_tree: bool,
}

impl<'a> Room<'a> {
    pub(super) fn new(
        budget: &MemoryBudget,
        outage: &'a Outage,
        waits: &'a Waits,
        counters: &'a Counters,
        has_tree: bool,
    ) -> Self {
        let waiting = RoomWait { waits, counters, limit_bytes: budget.usage().limit_bytes };
        Self { permit: budget.permit(), outage, waiting, has_tree }
    }

    /// Waits until the page may be asked for.
    pub(super) async fn take_first(&mut self) -> Result<(), FetchError> {
        let Self { permit, waiting, outage, .. } = self;
        waiting.end(outage.turn(), FetchError::Outage { waited: WAIT_MAX }).await?;
        waiting.end(permit.take_first(), waiting.full()).await
    }

    /// Waits until an answer may be read that promises so many bytes.
    pub(super) async fn take_for_answer(&mut self, bytes_promised: Option<u64>) -> Result<(), FetchError> {
        let Self { permit, waiting, .. } = self;
        waiting.end(permit.take_for_answer(bytes_promised), waiting.full()).await
    }

    /// Waits until there is room for a body of so many bytes.
    pub(super) async fn take_for_body(&mut self, bytes: usize) -> Result<(), FetchError> {
        let Self { permit, waiting, has_tree, .. } = self;
        waiting.end(permit.take_for_body(bytes, *has_tree), waiting.full()).await
    }

    /// Does what may keep it waiting, with so many bytes of the body in memory; when that takes long, what it has beyond
    /// them is given back.
    pub(super) async fn patiently<T>(&mut self, body_bytes: usize, work: impl Future<Output = T>) -> T {
        self.permit.patiently(body_bytes, work).await
    }

    /// Gives everything back before a pause.
    pub(super) fn give_back(&mut self) {
        self.permit.give_back();
    }

    /// What the page has, which goes with it.
    pub(super) fn into_permit(self) -> Permit {
        self.permit
    }
}

/// How it waits for room: seen by whoever has something in hand, ended by a stop or a recall, and not for ever.
struct RoomWait<'a> {
    waits: &'a Waits,
    counters: &'a Counters,
    limit_bytes: u64,
}

impl RoomWait<'_> {
    fn full(&self) -> FetchError {
        FetchError::Memory { limit_bytes: self.limit_bytes, waited: WAIT_MAX }
    }

    async fn end(&self, work: impl Future<Output = ()>, error: FetchError) -> Result<(), FetchError> {
        let mut work = pin!(self.waits.for_room(work));
        for _ in 0..WAIT_MAX.as_secs() / SHOWN_EVERY.as_secs() {
            match timeout(SHOWN_EVERY, work.as_mut()).await {
                Ok(done) => return done,
                Err(_) => self.counters.touch(),
            }
        }
        Err(error)
    }
}
