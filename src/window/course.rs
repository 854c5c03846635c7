//! What a chain of pages has shown of its dates. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use super::order::{ChainOrder, Direction};
use crate::record::date::before;

/// What a chain of pages has shown so far, as it outlives a cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// When its first request was made, by the earlier clock.
    pub begun: Option<DateTime<Utc>>,
    /// The newest date that was seen, those too far ahead left out.
    pub newest: Option<DateTime<Utc>>,
    /// How far the checkpoint might have moved before the last page, where the chain came oldest first.
    pub rising_before_last: Option<DateTime<Utc>>,
    /// How far the checkpoint may move where the chain came oldest first.
    pub(super) rising: Option<DateTime<Utc>>,
    /// The first request that brought a record dated after itself, or no further before than the overlap: nothing moves past
    /// it.
    pub(super) ceiling: Option<DateTime<Utc>>,
    pub(super) order: ChainOrder,
    /// Whether a record came that is not later than the first request.
    pub(super) has_past: bool,
    /// Pages of the chain, those of iterations before that were cut among them.
    pub pages: u64,
}

impl Course {
    /// Where the checkpoint may move when the chain is complete: to the newest date, and never past the first request.
    #[must_use]
    pub fn checkpoint(&self) -> Option<DateTime<Utc>> {
        let newest = self.newest?;
        if self.order.has_fallen() { Some(self.begun.map_or(newest, |begun| newest.min(begun))) } else { self.rising }
    }

    /// Which way its dates went.
    #[must_use]
    pub fn direction(&self) -> Option<Direction> {
        self.order.direction()
    }

    /// Whether any record had a date.
    #[must_use]
    pub fn has_dates(&self) -> bool {
        self.order.has_dates()
    }

    /// Whether no date lay before an earlier one.
    #[must_use]
    pub fn is_rising(&self) -> bool {
        !self.order.has_fallen()
    }

    /// `overlap` is how far before the checkpoint the next window begins. Events that surface late have dates up to so far
    /// before now: once a request brought a date of that span, later requests may miss some, and move nothing past it.
    pub(super) fn see_date(&mut self, date: DateTime<Utc>, moment: Moment, overlap: TimeDelta) {
        self.newest = self.newest.max(Some(date));
        if date > before(moment.earlier, overlap) {
            self.ceiling = Some(self.ceiling.map_or(moment.earlier, |ceiling| ceiling.min(moment.earlier)));
        }
        self.has_past |= self.begun.is_some_and(|begun| date <= begun);
        let most = self.ceiling.map_or(moment.earlier, |ceiling| ceiling.min(moment.earlier));
        self.rising = self.rising.max(Some(date.min(most)));
    }
}
