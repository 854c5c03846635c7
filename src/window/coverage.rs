//! Which time of an API was fetched whole, and which was not.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How many spans are kept; with more, the oldest goes, and the gap after it.
const SPANS_MAX: usize = 100;

/// The spans of time that iterations have fetched whole, from their start dates to their beginnings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Coverage {
    /// In order; no two touch.
    spans: Vec<CoveredSpan>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CoveredSpan {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    /// Why it doesn't touch the span before.
    gap_before: GapCause,
}

/// Why some time was not fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// The API refuses to go so far back.
    OutOfReach,
    /// A start date in the filters lies later.
    Filter,
    /// Somebody moved the checkpoint.
    Moved,
    /// A list held nothing of what it held before (`checkpoint: snapshot`).
    ListMovedOn,
    /// The API no longer took what the iteration was to go on with (`next_iteration`).
    PositionRefused,
}

impl GapCause {
    /// Whether records may be lost by it, and nobody chose to leave them out.
    #[must_use]
    pub fn is_loss(self) -> bool {
        matches!(self, Self::OutOfReach | Self::ListMovedOn | Self::PositionRefused)
    }

    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::OutOfReach => "the API refuses start dates so far back",
            Self::Filter => "the start date in the filters is later",
            Self::Moved => "the checkpoint was moved past it",
            Self::PositionRefused => "the API refused the place to go on from, so some of it may be missing",
            Self::ListMovedOn => "the list held nothing of what it held before, so some of it may be missing",
        }
    }
}

/// Time that was not fetched, between spans that were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Its begin.
    pub from: DateTime<Utc>,
    /// Its end.
    pub until: DateTime<Utc>,
    /// Why.
    pub cause: GapCause,
}

impl Coverage {
    /// Adds a span. Where it leaves a gap after what was fetched before, gives that gap.
    pub fn add(&mut self, from: DateTime<Utc>, until: DateTime<Utc>, gap_before: GapCause) -> Option<Gap> {
        let before = self.until();
        let mut new = CoveredSpan { from, until: until.max(from), gap_before };
        // What it touches becomes one span with it; the gap before the first of them stays as it was.
        let touches = |span: &CoveredSpan| span.from <= new.until && new.from <= span.until;
        if let Some(first) = self.spans.iter().find(|span| touches(span)).copied() {
            let until = self.spans.iter().filter(|span| touches(span)).map(|span| span.until).max();
            self.spans.retain(|span| !touches(span));
            if first.from <= new.from {
                new.gap_before = first.gap_before;
            }
            new.from = new.from.min(first.from);
            new.until = new.until.max(until.unwrap_or(new.until));
        }
        let at = self.spans.partition_point(|span| span.from < new.from);
        self.spans.insert(at, new);
        let excess = self.spans.len().saturating_sub(SPANS_MAX);
        self.spans.drain(..excess);
        before.filter(|before| *before < from).map(|before| Gap { from: before, until: from, cause: gap_before })
    }

    /// Notes that what lies before all that was fetched is out of the API's reach. Gives that gap, where it is new.
    pub fn leave_out(&mut self, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<Gap> {
        let first = self.spans.first_mut().filter(|first| from < first.from)?;
        first.gap_before = GapCause::OutOfReach;
        let gap = Gap { from, until: until.min(first.from), cause: GapCause::OutOfReach };
        self.spans.insert(0, CoveredSpan { from, until: from, gap_before: GapCause::Moved });
        Some(gap)
    }

    /// Until when everything was fetched last.
    #[must_use]
    pub fn until(&self) -> Option<DateTime<Utc>> {
        self.spans.last().map(|span| span.until)
    }

    /// What was left out between spans, oldest first.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> {
        let pairs = self.spans.iter().zip(self.spans.iter().skip(1));
        pairs.map(|(before, after)| Gap { from: before.until, until: after.from, cause: after.gap_before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a date")
    }

    fn gaps(swept: &Coverage) -> Vec<(i64, i64)> {
        swept.gaps().map(|gap| (gap.from.timestamp(), gap.until.timestamp())).collect()
    }

    #[test]
    fn joins_what_touches_and_tells_of_what_does_not() {
        let mut swept = Coverage::default();
        assert_eq!(swept.add(at(0), at(10), GapCause::Moved), None);
        assert_eq!(swept.add(at(8), at(20), GapCause::Moved), None);
        assert_eq!(swept.spans.len(), 1);
        let gap = swept.add(at(30), at(40), GapCause::OutOfReach).expect("a gap");
        assert_eq!((gap.from, gap.until, gap.cause), (at(20), at(30), GapCause::OutOfReach));
        swept.add(at(50), at(60), GapCause::Filter);
        assert_eq!(gaps(&swept), [(20, 30), (40, 50)]);
        // A rewind fills one gap and a part of the other.
        swept.add(at(25), at(50), GapCause::Moved);
        assert_eq!(gaps(&swept), [(20, 25)]);
        assert_eq!(swept.add(at(15), at(70), GapCause::Moved), None);
        assert_eq!((gaps(&swept), swept.until()), (vec![], Some(at(70))));
    }

    #[test]
    fn what_is_out_of_reach_before_all_that_was_fetched_is_a_gap_once() {
        let mut swept = Coverage::default();
        swept.add(at(100), at(200), GapCause::Moved);
        let gap = swept.leave_out(at(10), at(110)).expect("a gap");
        assert_eq!((gap.from, gap.until, gap.cause), (at(10), at(100), GapCause::OutOfReach));
        assert_eq!(swept.gaps().collect::<Vec<_>>(), [gap]);
        assert_eq!(swept.leave_out(at(10), at(110)), None);
        assert_eq!(swept.until(), Some(at(200)));
    }

    #[test]
    fn keeps_a_bounded_number_of_spans() {
        let mut swept = Coverage::default();
        (0..1_000).for_each(|number| {
            swept.add(at(number * 10), at(number * 10 + 1), GapCause::Moved);
        });
        assert_eq!(swept.spans.len(), SPANS_MAX);
        assert_eq!(swept.until(), Some(at(9_991)));
    }
}
