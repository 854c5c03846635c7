//! Counts what is done, for whoever watches: the progress shown on a terminal.

use std::sync::atomic::{AtomicU64, Ordering};

/// Running totals over all APIs.
#[derive(Debug, Default)]
pub struct Meter {
    pages: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    iterations: AtomicU64,
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
    /// Iterations that ended, well or not.
    pub iterations: u64,
}

impl Meter {
    pub(crate) fn add_page(&self) {
        self.pages.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_records(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_iteration(&self) {
        self.iterations.fetch_add(1, Ordering::Relaxed);
    }

    /// The totals now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            pages: self.pages.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            iterations: self.iterations.load(Ordering::Relaxed),
        }
    }
}
