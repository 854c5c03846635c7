//! What time it is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// A clock. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's.
    #[default]
    System,
    /// That of a tape: it stands still between two requests.
    Tape(std::sync::Arc<TapeClock>),
}

/// The clock of a tape. It moves with each request and each wait, so that recording and replaying go by the same times.
#[derive(Debug)]
pub struct TapeClock {
    /// Whether waits are real.
    waits: bool,
    begun: Instant,
    begun_at: DateTime<Utc>,
    now: Mutex<DateTime<Utc>>,
}

impl Clock {
    /// The time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => Utc::now(),
            Self::Tape(clock) => clock.now(),
        }
    }

    /// The same for measuring spans.
    #[must_use]
    pub fn instant(&self) -> Instant {
        match self {
            Self::System => Instant::now(),
            Self::Tape(clock) => clock.instant(),
        }
    }

    /// Lets time go by; where a tape is replayed it does so at once.
    pub async fn sleep(&self, span: Duration) {
        match self {
            Self::System => tokio::time::sleep(span).await,
            Self::Tape(clock) if clock.waits => {
                tokio::time::sleep(span).await;
                clock.set(Utc::now());
            }
            Self::Tape(clock) => {
                let span = TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX);
                clock.set(clock.now().checked_add_signed(span).unwrap_or(DateTime::<Utc>::MAX_UTC));
            }
        }
    }
}

impl TapeClock {
    /// A clock that goes by the system's, one request at a time.
    #[must_use]
    pub fn recording(now: DateTime<Utc>) -> Self {
        Self { waits: true, ..Self::replaying(now) }
    }

    /// A clock that goes by what is recorded, and waits for nothing.
    #[must_use]
    pub fn replaying(now: DateTime<Utc>) -> Self {
        Self { waits: false, begun: Instant::now(), begun_at: now, now: Mutex::new(now) }
    }

    /// The time that was set last.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets it, and gives it back.
    pub fn set(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
        now
    }

    fn instant(&self) -> Instant {
        let passed = self.now().signed_duration_since(self.begun_at).to_std().unwrap_or_default();
        self.begun.checked_add(passed).unwrap_or(self.begun)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn the_clock_of_a_tape_moves_by_what_is_recorded_and_by_waits_alone() {
        let at = |second: i64| DateTime::from_timestamp(1_716_900_000 + second, 0).expect("a date");
        let tape = Arc::new(TapeClock::replaying(at(0)));
        let clock = Clock::Tape(Arc::clone(&tape));
        let begun = clock.instant();
        tape.set(at(60));
        assert_eq!((clock.now(), clock.instant() - begun), (at(60), Duration::from_secs(60)));
        let before = std::time::Instant::now();
        clock.sleep(Duration::from_secs(3600)).await;
        assert!(before.elapsed() < Duration::from_secs(60), "nobody waits for a wait that was recorded");
        assert_eq!((clock.now(), clock.instant() - begun), (at(3660), Duration::from_secs(3660)));
    }
}
