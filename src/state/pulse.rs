//! Whether the thread that keeps the state gets on: its disk may hang, and then it says nothing any more. And how often it had to
//! begin with an empty store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long one piece of work of the thread may take before its disk is said to hang: a write of a few megabytes, or the
/// store made smaller.
pub const HANGS_AFTER: Duration = Duration::from_secs(20);

/// When the thread began the piece of work that it is at.
#[derive(Debug)]
pub struct Pulse {
    made: Instant,
    /// In milliseconds since this was made, plus one; 0 while it waits for work.
    began_ms: AtomicU64,
    /// How often a store was replaced by an empty one.
    emptied: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { made: Instant::now(), began_ms: AtomicU64::default(), emptied: AtomicU64::default() }
    }
}

impl Pulse {
    /// A piece of work begins.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.began_ms.store(now + 1, Ordering::Relaxed);
    }

    /// There is no work.
    pub(crate) fn rest(&self) {
        self.began_ms.store(0, Ordering::Relaxed);
    }

    /// How long the thread has been at one piece of work; nothing while it waits for some.
    #[must_use]
    pub fn still_for(&self, now: Instant) -> Option<Duration> {
        let began = self.began_ms.load(Ordering::Relaxed).checked_sub(1)?;
        Some(now.saturating_duration_since(self.made).saturating_sub(Duration::from_millis(began)))
    }

    /// The store was gone, or damaged, and an empty one is in its place.
    pub(crate) fn tell_emptied(&self) {
        self.emptied.fetch_add(1, Ordering::Release);
    }

    /// How often that was so.
    #[must_use]
    pub fn emptied(&self) -> u64 {
        self.emptied.load(Ordering::Acquire)
    }

    /// How long its disk has been hanging, if it does.
    #[must_use]
    pub fn hangs_for(&self, now: Instant) -> Option<Duration> {
        self.still_for(now).filter(|still| *still >= HANGS_AFTER)
    }
}
