//! Counts what is done for one API, while it is done, and when something was done last.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;

/// Running totals of one API, since the process began.
#[derive(Debug)]
pub struct Counters {
    made: Instant,
    /// When something moved last, in milliseconds since this was made.
    moved_ms: AtomicU64,
    pages: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    known: AtomicU64,
    set_aside: AtomicU64,
    gaps: AtomicU64,
    clock_behind_s: AtomicI64,
}

/// The totals at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Pages read.
    pub pages: u64,
    /// Records that the listener has.
    pub records: u64,
    /// Their lines' bytes, uncompressed.
    pub bytes: u64,
    /// Records that came again and were not shipped again.
    pub known: u64,
    /// Records that can never be delivered, kept in a file.
    pub set_aside: u64,
    /// Gaps: spans of time that can't be fetched any more.
    pub gaps: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            made: Instant::now(),
            moved_ms: AtomicU64::default(),
            pages: AtomicU64::default(),
            records: AtomicU64::default(),
            bytes: AtomicU64::default(),
            known: AtomicU64::default(),
            set_aside: AtomicU64::default(),
            gaps: AtomicU64::default(),
            clock_behind_s: AtomicI64::default(),
        }
    }
}

impl Counters {
    /// Notes that something moves: bytes came, a batch was acknowledged, an iteration began.
    pub(crate) fn touch(&self) {
        self.wait(Duration::ZERO);
    }

    /// Notes that nothing will move for a while, and that this is meant: a wait that a server asked for.
    pub(crate) fn wait(&self, span: Duration) {
        let until = self.made.elapsed().saturating_add(span).as_millis();
        self.moved_ms.fetch_max(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// For how long nothing has moved.
    #[must_use]
    pub fn still_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.made)
            .saturating_sub(Duration::from_millis(self.moved_ms.load(Ordering::Relaxed)))
    }

    pub(crate) fn add_page(&self) {
        self.touch();
        self.pages.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_records(&self, records: u64, bytes: u64) {
        self.touch();
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_known(&self, records: u64) {
        self.known.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn add_set_aside(&self, records: u64) {
        self.set_aside.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn add_gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how far the API's clock was behind ours at its last answer.
    pub(crate) fn note_clock(&self, behind: TimeDelta) {
        self.clock_behind_s.store(behind.num_seconds(), Ordering::Relaxed);
    }

    /// How far the API's clock was behind ours at its last answer, in whole seconds; zero where it was not, or nothing is
    /// known.
    #[must_use]
    pub fn clock_behind(&self) -> TimeDelta {
        TimeDelta::try_seconds(self.clock_behind_s.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// The totals now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            pages: read(&self.pages),
            records: read(&self.records),
            bytes: read(&self.bytes),
            known: read(&self.known),
            set_aside: read(&self.set_aside),
            gaps: read(&self.gaps),
        }
    }
}

impl Totals {
    /// The sum of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            pages: self.pages + other.pages,
            records: self.records + other.records,
            bytes: self.bytes + other.bytes,
            known: self.known + other.known,
            set_aside: self.set_aside + other.set_aside,
            gaps: self.gaps + other.gaps,
        }
    }
}
