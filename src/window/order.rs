//! In which order the dates of a chain of pages come. Pure.
//!
//! Order is never assumed: it is what the dates themselves show.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Which way the dates of an iteration go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the newest on.
    NewestFirst,
    /// From the oldest on.
    OldestFirst,
    /// Up and down.
    Mixed,
}

/// In which order the dates of a chain come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainOrder {
    last: Option<DateTime<Utc>>,
    fell: bool,
    rose: bool,
}

impl ChainOrder {
    /// Sees the next date.
    pub fn see(&mut self, date: DateTime<Utc>) {
        if let Some(last) = self.last {
            self.fell |= date < last;
            self.rose |= date > last;
        }
        self.last = Some(date);
    }

    /// Whether any date was seen.
    #[must_use]
    pub fn has_dates(&self) -> bool {
        self.last.is_some()
    }

    /// Whether a date lay before an earlier one.
    #[must_use]
    pub fn has_fallen(&self) -> bool {
        self.fell
    }

    /// Which way the dates went; nothing where they were all the same.
    #[must_use]
    pub fn direction(&self) -> Option<Direction> {
        match (self.fell, self.rose) {
            (true, true) => Some(Direction::Mixed),
            (true, false) => Some(Direction::NewestFirst),
            (false, true) => Some(Direction::OldestFirst),
            (false, false) => None,
        }
    }
}
