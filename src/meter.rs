//! Counts what is done for one API, while it is done.

use std::sync::atomic::{AtomicU64, Ordering};

/// Running totals of one API, since the process began.
#[derive(Debug, Default)]
pub struct Meter {
    pages: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    known: AtomicU64,
    set_aside: AtomicU64,
    gaps: AtomicU64,
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

impl Meter {
    pub(crate) fn add_page(&self) {
        self.pages.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_records(&self, records: u64, bytes: u64) {
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
