//! A page as the chain sees it. Pure.

use chrono::{DateTime, Utc};

use super::moment::Moment;
use crate::record::Fingerprint;

/// A page, as far as the chain looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'s> {
    /// What was asked for.
    pub request: Fingerprint,
    /// When.
    pub moment: Moment,
    /// Its records in their order: which they are, their dates, and whether they lie below the window.
    pub records: &'s [SeenRecord],
    /// What it names as the next request.
    pub next: Option<Fingerprint>,
    /// Whether pages are counted, so that there is always a next one to ask for.
    pub is_counted: bool,
    /// Whether an answer says itself which is the last (`next_request.stop`), and this one didn't.
    pub has_stop_rule: bool,
    /// How many pages an iteration reads before it leaves the rest to the next one, where the config says so.
    pub pages_max: Option<u64>,
}

/// A record of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenRecord {
    /// Which one.
    pub fingerprint: Fingerprint,
    /// Its date.
    pub date: Option<DateTime<Utc>>,
    /// Whether it lies below the window, and is left out.
    pub is_below: bool,
}
