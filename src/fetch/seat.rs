//! Whose pages are in memory.
//!
//! A page that is read, its records and its batches take some megabytes, and when a thousand APIs have much to tell at the
//! same time, after a night without network, they would take gigabytes. So an answer's body is read by whoever has one of
//! the [`SEATS`]. An iteration keeps its seat to its end, unless others wait when it has taken in a page, or when its own
//! API keeps it waiting. Every API is asked all the same; only what it answers has to wait.
//!
//! This keeps memory small while APIs and listener get on, and nobody from its work: who has waited for [`WAIT_MAX`] goes on
//! without a seat.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// How many iterations have pages in memory: enough to keep two cores and a listener busy. With pages of 700 KB, a hundred
/// APIs took 90 to 100 MB, and a thousand 180 MB.
pub const SEATS: usize = 32;
/// How long an API may keep a seat from others: longer than a page takes.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer waits for a seat: less than servers wait for who doesn't read, which is mostly a minute.
const WAIT_MAX: Duration = Duration::from_secs(45);

/// Not worth a seat.
const SMALL_BYTES_MAX: u64 = 64 * 1024;

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
    taken: Mutex<Option<Taken>>,
    has_read: AtomicBool,
}

#[derive(Debug)]
struct Taken {
    _permit: OwnedSemaphorePermit,
    since: Instant,
}

/// Counts somebody who waits, also where the wait is given up.
struct Waiting<'a>(&'a AtomicUsize);

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
        Self { seats: seats.clone(), taken: Mutex::default(), has_read: AtomicBool::new(false) }
    }

    /// Takes one, if it has none; who came first gets it first. Gives whether it has one now.
    pub async fn take(&self) -> bool {
        if self.taken().is_some() {
            return true;
        }
        let Shared { free, waiting, wait_max, .. } = &*self.seats.0;
        let waits = Waiting::new(waiting);
        let permit = timeout(*wait_max, Arc::clone(free).acquire_owned()).await;
        drop(waits);
        let Ok(Ok(permit)) = permit else { return false };
        *self.taken() = Some(Taken { _permit: permit, since: Instant::now() });
        true
    }

    /// Notes that an answer is about to be read, and gives whether it needs no seat: the first of an iteration doesn't, if
    /// it is small. Mostly it is the only one; of many, small ones fill batches, too.
    #[must_use]
    pub fn waive(&self, bytes: Option<u64>) -> bool {
        !self.has_read.swap(true, Ordering::Relaxed) && bytes.is_some_and(|bytes| bytes <= SMALL_BYTES_MAX)
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

    /// Does what an API may keep waiting. A seat that others want isn't kept from them for long.
    pub async fn patiently<T>(&self, work: impl Future<Output = T>) -> T {
        let patience = self.seats.0.patience;
        let begun = Instant::now();
        let mut work = pin!(work);
        loop {
            let since = self.taken().as_ref().map(|taken| taken.since.max(begun));
            let left = since.map_or(patience, |since| patience.saturating_sub(since.elapsed()));
            if left.is_zero() && self.is_wanted() {
                self.give_back();
            }
            // Looked at again, as somebody may begin to wait at any time.
            let look = if left.is_zero() { patience } else { left };
            if let Ok(done) = timeout(look, work.as_mut()).await {
                return done;
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, Option<Taken>> {
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
            assert!(seat.take().await, "a seat, or the one that it has");
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
        assert!(taken && !other.is_wanted(), "nobody waits any more");
        drop(late);
        assert!(one.take().await, "a seat comes back with the end of its iteration");
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_and_who_gives_up_is_not_counted() {
        let (one, _other, late) = filled(LONG, SHORT).await;
        assert!(!late.take().await, "it goes on without");
        assert!(!one.is_wanted());
        let (one, _other, late) = filled(LONG, LONG).await;
        assert!(timeout(SHORT, late.take()).await.is_err(), "given up from outside");
        assert!(!one.is_wanted());
    }

    #[tokio::test]
    async fn an_api_that_keeps_a_wanted_seat_waiting_loses_it() {
        let (one, _other, late) = filled(SHORT, LONG).await;
        tokio::select! {
            () = one.patiently(pending()) => {}
            taken = late.take() => assert!(taken),
        }
        assert_eq!(one.patiently(async { 7 }).await, 7);
    }

    #[test]
    fn only_a_small_first_answer_needs_none() {
        let seats = Seats::default();
        let of = |answers: &[Option<u64>]| {
            let seat = Seat::new(&seats);
            answers.iter().map(|bytes| seat.waive(*bytes)).collect::<Vec<_>>()
        };
        assert_eq!(of(&[Some(100), Some(100)]), [true, false]);
        assert_eq!(of(&[Some(SMALL_BYTES_MAX + 1), Some(100)]), [false, false]);
        assert_eq!(of(&[None]), [false]);
    }

    #[tokio::test]
    async fn a_seat_that_nobody_wants_is_kept() {
        let (one, other, _) = filled(SHORT, LONG).await;
        assert!(timeout(5 * SHORT, one.patiently(pending::<()>())).await.is_err());
        drop(other);
        let late = [Seat::new(&one.seats), Seat::new(&one.seats)];
        assert!(late[0].take().await);
        assert!(late[1].has_to_wait(), "it still has it");
    }
}
