//! Whose pages are in memory.
//!
//! A page that is read, its records and its batches take some megabytes, and when a thousand APIs have much to tell at the
//! same time, after a night without network, they would take gigabytes. So an answer's body is read by whoever has one of
//! the [`SEATS`]. An iteration keeps its seat to its end, unless others wait when it has taken in a page, or its own API
//! keeps it waiting. Every API is asked all the same; only what it answers has to wait.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How many iterations have pages in memory: enough to keep two cores and a listener busy, in some 100 MB.
pub const SEATS: usize = 32;
/// How long an API may keep a seat empty: longer than a page takes.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer waits for a seat: as long as a batch is tried to be delivered, which is what takes longest.
pub const WAIT_MAX: Duration = Duration::from_secs(300);

/// The seats, shared by all APIs.
#[derive(Clone, Debug)]
pub struct Seats(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    patience: Duration,
    wait_max: Duration,
}

/// One iteration's seat, while it has one.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    taken: Mutex<Option<OwnedSemaphorePermit>>,
}

/// Nobody gave a seat back.
#[derive(Debug)]
pub struct NoSeat;

impl Default for Seats {
    fn default() -> Self {
        Self::new(SEATS, PATIENCE, WAIT_MAX)
    }
}

impl Seats {
    fn new(seats: usize, patience: Duration, wait_max: Duration) -> Self {
        let (free, waiting) = (Arc::new(Semaphore::new(seats)), AtomicUsize::new(0));
        Self(Arc::new(Shared { free, waiting, patience, wait_max }))
    }
}

/// Counts somebody who waits, also where the wait is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Seat {
    /// None yet.
    #[must_use]
    pub fn new(seats: &Seats) -> Self {
        Self { seats: seats.clone(), taken: Mutex::default() }
    }

    /// Takes one, if it has none; who came first gets it first.
    ///
    /// # Errors
    /// Where none is given back for [`WAIT_MAX`].
    pub async fn take(&self) -> Result<(), NoSeat> {
        if self.taken().is_some() {
            return Ok(());
        }
        let Shared { free, waiting, wait_max, .. } = &*self.seats.0;
        let waits = Waiting::new(waiting);
        let permit = timeout(*wait_max, Arc::clone(free).acquire_owned()).await;
        drop(waits);
        *self.taken() = Some(permit.map_err(|_| NoSeat)?.map_err(|_| NoSeat)?);
        Ok(())
    }

    /// Whether it has none, and none is free.
    #[must_use]
    pub fn has_to_wait(&self) -> bool {
        self.seats.0.free.available_permits() == 0 && self.taken().is_none()
    }

    /// Lets somebody else have it.
    pub fn give_back(&self) {
        drop(self.taken().take());
    }

    /// Whether it has one that others wait for.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.seats.0.waiting.load(Ordering::Relaxed) > 0 && self.taken().is_some()
    }

    /// Does what an API may keep waiting; its seat isn't kept empty meanwhile.
    pub async fn patiently<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            match timeout(self.seats.0.patience, work.as_mut()).await {
                Ok(done) => return done,
                Err(_) => self.give_back(),
            }
        }
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::yield_now;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    /// Two iterations that have the only seats, and one that comes late.
    async fn filled(patience: Duration, wait_max: Duration) -> (Seat, Seat, Seat) {
        let seats = Seats::new(2, patience, wait_max);
        let (one, other) = (Seat::new(&seats), Seat::new(&seats));
        for seat in [&one, &other, &one] {
            seat.take().await.expect("a seat, or the one that it has");
        }
        (one, other, Seat::new(&seats))
    }

    #[tokio::test]
    async fn the_next_one_waits_until_a_seat_is_given_back() {
        let (one, other, late) = filled(LONG, LONG).await;
        assert!(!one.is_wanted() && !late.is_wanted());
        let (taken, ()) = tokio::join!(late.take(), async {
            yield_now().await;
            assert!(one.is_wanted() && other.is_wanted() && !late.is_wanted());
            assert!(late.has_to_wait() && !one.has_to_wait());
            one.give_back();
            assert!(!one.is_wanted(), "it has none any more");
        });
        assert!(taken.is_ok() && !other.is_wanted(), "nobody waits any more");
        drop(late);
        one.take().await.expect("a seat comes back with the end of its iteration");
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_and_who_gives_up_is_not_counted() {
        let (one, _other, late) = filled(LONG, SHORT).await;
        assert!(late.take().await.is_err());
        assert!(!one.is_wanted());
        let (one, _other, late) = filled(LONG, LONG).await;
        assert!(timeout(SHORT, late.take()).await.is_err(), "given up from outside");
        assert!(!one.is_wanted());
    }

    #[tokio::test]
    async fn an_api_that_keeps_its_seat_waiting_loses_it() {
        let (one, _other, late) = filled(SHORT, LONG).await;
        tokio::select! {
            () = one.patiently(pending()) => {}
            taken = late.take() => assert!(taken.is_ok()),
        }
        assert_eq!(one.patiently(async { 7 }).await, 7);
    }
}
