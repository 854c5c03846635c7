//! Whether the listener takes anything: while it doesn't, nothing is read for it but a page now and then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How often a page is read for an output that takes nothing, to see whether it does again.
pub const TRIAL_EVERY: Duration = Duration::from_secs(30);
/// After how many deliveries that failed, with none acknowledged since, the output counts as down. One alone may be about
/// its batch.
const FAILED_MIN: u32 = 2;

/// What is known of an output that is down.
#[derive(Debug, Default)]
pub struct Outage {
    state: Mutex<OutageState>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct OutageState {
    /// Deliveries that failed at least once since something was acknowledged.
    failed: u32,
    /// When the next page may be read.
    trial_at: Option<Instant>,
}

/// Whether a page may be read for the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutageTurn {
    Now,
    At(Instant),
}

impl OutageState {
    fn fail(&mut self, now: Instant) {
        self.failed = self.failed.saturating_add(1);
        if self.failed == FAILED_MIN {
            self.trial_at = now.checked_add(TRIAL_EVERY);
        }
    }

    fn turn(&mut self, now: Instant) -> OutageTurn {
        if self.failed < FAILED_MIN {
            return OutageTurn::Now;
        }
        match self.trial_at {
            Some(at) if now < at => OutageTurn::At(at),
            _ => {
                self.trial_at = now.checked_add(TRIAL_EVERY);
                OutageTurn::Now
            }
        }
    }
}

impl Outage {
    /// Notes that a delivery failed for the first time, and is tried again.
    pub fn fail(&self, now: Instant) {
        self.state().fail(now);
    }

    /// Notes that the output took something.
    pub fn end(&self) {
        let was_down = std::mem::take(&mut *self.state()).failed > 0;
        if was_down {
            self.ended.notify_waiters();
        }
    }

    /// Whether a delivery failed since the output took something.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.state().failed > 0
    }

    /// Whether it counts as down.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.state().failed >= FAILED_MIN
    }

    /// Returns when a page may be read for the output: at once, unless it is down; then once in [`TRIAL_EVERY`] for one of
    /// all who wait.
    pub async fn turn(&self) {
        loop {
            let ended = self.ended.notified();
            let turn = self.state().turn(Instant::now());
            match turn {
                OutageTurn::Now => return,
                OutageTurn::At(at) => {
                    tokio::select! {
                        () = ended => {}
                        () = tokio::time::sleep_until(at.into()) => {}
                    }
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, OutageState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_delivery_is_no_outage_and_two_let_one_page_through_at_a_time() {
        let (mut state, begin) = (OutageState::default(), Instant::now());
        state.fail(begin);
        assert_eq!((state.turn(begin), state.turn(begin)), (OutageTurn::Now, OutageTurn::Now));
        state.fail(begin);
        let (first, second) = (begin + TRIAL_EVERY, begin + 2 * TRIAL_EVERY);
        assert_eq!(state.turn(begin), OutageTurn::At(first));
        assert_eq!(state.turn(first), OutageTurn::Now);
        assert_eq!(state.turn(first), OutageTurn::At(second), "the next one waits for its turn");
    }

    #[tokio::test]
    async fn an_acknowledgement_ends_it_for_everybody() {
        let outage = Outage::default();
        for _ in 0..FAILED_MIN {
            outage.fail(Instant::now());
        }
        tokio::join!(outage.turn(), outage.turn(), async {
            tokio::task::yield_now().await;
            outage.end();
        });
    }
}
