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
    /// Whether the next date doesn't follow the last one.
    #[serde(default)]
    begins_again: bool,
}

impl ChainOrder {
    /// That of several chains together, which tells nothing.
    #[must_use]
    pub fn mixed() -> Self {
        Self { fell: true, rose: true, ..Self::default() }
    }

    /// Sees the next date.
    pub fn see(&mut self, date: DateTime<Utc>) {
        if let Some(last) = self.last.filter(|_| !std::mem::take(&mut self.begins_again)) {
            self.fell |= date < last;
            self.rose |= date > last;
        }
        self.last = Some(date);
    }

    /// A page begins. Where it is the last one again, its end stands behind what comes now, not before it.
    pub fn begin_page(&mut self, is_again: bool) {
        self.begins_again = is_again;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_comes_again_breaks_no_order() {
        let mut order = ChainOrder::default();
        for (is_again, page) in [(false, [90, 80]), (true, [90, 80]), (false, [70, 60])] {
            order.begin_page(is_again);
            page.iter().filter_map(|second| DateTime::from_timestamp(*second, 0)).for_each(|date| order.see(date));
        }
        assert_eq!(order.direction(), Some(Direction::NewestFirst));
        order.begin_page(false);
        DateTime::from_timestamp(90, 0).into_iter().for_each(|date| order.see(date));
        assert_eq!(order.direction(), Some(Direction::Mixed));
    }
}
