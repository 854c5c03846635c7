//! Shorter windows for an API that fails in long ones. Pure.
//!
//! A window in which iterations came no further is asked in halves, each of them a place that is saved when it is done. A
//! half that fails as well is halved again. Behind what failed they grow, so that one bad hour doesn't make a backlog slow.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Window;

/// How many units of the start date a half has at least: what is sent overlaps by one.
const HALF_UNITS_MIN: i32 = 2;

/// How long a window may be, since a longer one failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halving {
    seconds: i64,
    /// The latest end of the windows that failed.
    failed_until: DateTime<Utc>,
}

impl Halving {
    /// After a window in which iterations came no further, and perhaps others before; `None` where it can't be any shorter.
    /// `unit` is the smallest difference of two start dates.
    #[must_use]
    pub fn of(failed: &Window, before: Option<Self>, unit: TimeDelta) -> Option<Self> {
        let end = failed.end?;
        let half = end.signed_duration_since(failed.start) / 2;
        let failed_until = before.map_or(end, |before| before.failed_until.max(end));
        (half >= unit * HALF_UNITS_MIN).then_some(Self { seconds: half.num_seconds(), failed_until })
    }

    /// How long a window may be.
    #[must_use]
    pub fn longest(self) -> TimeDelta {
        TimeDelta::try_seconds(self.seconds).unwrap_or(TimeDelta::MAX)
    }

    /// After a window that was read to its end: twice as long behind what failed, and `None` where nothing is left to ask.
    #[must_use]
    pub fn after(self, done: &Window) -> Option<Self> {
        let grown = Self { seconds: self.seconds.saturating_mul(2), ..self };
        let is_behind = done.end.is_some_and(|end| end >= self.failed_until);
        done.has_more.then_some(if is_behind { grown } else { self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{CheckpointKind, EndPolicy, Overlap, StartPolicy};
    use crate::template::Granularity;
    use crate::window::Known;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_716_900_000 + second, 0).expect("a date")
    }

    /// The window that begins at a second, no longer than 800 s or what a half allows, and ends at second 1,600 at the latest.
    fn window(from: i64, half: Option<Halving>) -> Window {
        let end = EndPolicy {
            longest: Some(TimeDelta::seconds(800)),
            written: Some(Granularity::Second),
            ..EndPolicy::default()
        };
        let rule = StartPolicy {
            configured: Some(at(0)),
            back: TimeDelta::days(1),
            overlap: Overlap::Unit,
            granularity: Granularity::Second,
            end,
            checkpoint: CheckpointKind::default(),
            max_age: None,
        };
        let slice_from = (from > 0).then(|| at(from + 1));
        let longest = half.map(Halving::longest);
        Window::open(&rule, &Known { slice_from, longest, ..Known::default() }, at(1_600))
    }

    fn span(window: &Window) -> (i64, i64) {
        ((window.start - at(0)).num_seconds(), (window.end.expect("an end") - at(0)).num_seconds())
    }

    #[test]
    fn a_half_that_fails_is_halved_and_they_grow_behind_all_that_failed() {
        let unit = TimeDelta::seconds(1);
        let whole = window(0, None);
        assert_eq!((span(&whole), whole.has_more), ((0, 800), true));
        let half = Halving::of(&whole, None, unit).expect("a half");
        assert_eq!(span(&window(0, Some(half))), (0, 400));
        let quarter = Halving::of(&window(0, Some(half)), Some(half), unit).expect("a quarter");
        let mut part = window(0, Some(quarter));
        let (mut spans, mut next) = (vec![span(&part)], quarter.after(&part));
        while let Some(halving) = next {
            part = window(span(&part).1, Some(halving));
            spans.push(span(&part));
            next = halving.after(&part);
        }
        let grown = [(800, 1_200), (1_200, 1_600)];
        assert_eq!(spans, [&[(0, 200), (200, 400), (400, 600), (600, 800)][..], &grown].concat());
    }

    #[test]
    fn a_window_of_a_few_units_is_not_halved() {
        assert_eq!(Halving::of(&window(1_597, None), None, TimeDelta::seconds(1)), None);
        assert_eq!(Halving::of(&window(0, None), None, TimeDelta::days(1)), None);
    }
}
