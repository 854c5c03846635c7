//! When something happened, by two clocks that may differ. Pure.

use chrono::{DateTime, TimeDelta, Utc};

/// When a request was made, by our clock and by the API's (`Date`, RFC 9110, section 6.6.1), where its answer has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the clock that is behind.
    pub earlier: DateTime<Utc>,
    /// By the clock that is ahead.
    pub later: DateTime<Utc>,
    /// How far the API's clock is behind ours; zero where it is ahead, or doesn't tell.
    pub behind: TimeDelta,
}

impl Moment {
    /// From our clock when the request was made, and the `Date` of its answer.
    #[must_use]
    pub fn new(own: DateTime<Utc>, of_api: Option<DateTime<Utc>>) -> Self {
        let of_api = of_api.unwrap_or(own);
        let behind = own.signed_duration_since(of_api).max(TimeDelta::zero());
        Self { earlier: own.min(of_api), later: own.max(of_api), behind }
    }
}
