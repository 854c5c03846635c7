//! The window: what an iteration fetches, what of it is shipped, and where the checkpoint goes.
//!
//! Pure: `now` is an argument, and nothing here waits or writes. Order is never assumed, a start date is inclusive, and
//! the newest date that was delivered counts, wherever it stood.

mod arrival_delay;
mod chain;
mod counted;
mod course;
mod coverage;
mod halving;
mod in_flight;
mod lookback;
mod moment;
mod order;
mod progress;
mod reach;
mod readings;
mod sight;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use arrival_delay::ArrivalDelay;
pub use chain::{Chain, ChainStep, EMPTY_PAGES_MAX, PAGES_MAX};
pub use course::Course;
pub use coverage::{Coverage, Gap, GapCause};
pub use halving::Halving;
pub use in_flight::InFlight;
pub use lookback::Lookback;
pub use moment::Moment;
pub use order::{ChainOrder, Direction};
pub use progress::{Progress, Proof, Stall};
pub use reach::{RetentionLimit, RetentionSearch, is_too_old};
pub use readings::Readings;
pub use sight::{SeenRecord, Sight};

use crate::plan::{AGE_MARGIN, Overlap, StartPolicy};
use crate::record::date::{before, floor_to_second};

/// A date further ahead than this moves no checkpoint: clocks differ by seconds, not by minutes.
const FUTURE_MAX: TimeDelta = TimeDelta::minutes(5);
/// How many records must be measured before a measured overlap follows them: a share of 99 % needs ten beyond it.
pub const MEASURES_MIN: u64 = 1_000;
/// Between these a measured overlap stays: clocks are not better, and each iteration reads the whole overlap again.
const OVERLAP_RANGE: (TimeDelta, TimeDelta) = (TimeDelta::minutes(1), TimeDelta::hours(6));
/// Of all records, which share a measured overlap must catch.
const OVERLAP_SHARE: f64 = 0.99;
/// How often a measured overlap looks back as far as it can: what is later than it would else never be seen, nor measured.
const WIDE_LOOK_EVERY: TimeDelta = TimeDelta::hours(3);
/// The first time after so long: what surfaces late after a first iteration is soon seen, too.
const FIRST_WIDE_LOOK_AFTER: TimeDelta = TimeDelta::hours(1);

/// What is known of an API from its iterations before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The newest date delivered.
    pub checkpoint: Option<DateTime<Utc>>,
    /// How far before the checkpoint to look again.
    pub overlap: TimeDelta,
    /// Everything delivered since is remembered; before it, it would be shipped twice.
    pub remembered_since: Option<DateTime<Utc>>,
    /// Of the first window, as long as there is no other.
    pub beginning: Option<InitialWindow>,
    /// How far back the API answers, if it has ever refused.
    pub reach: Option<TimeDelta>,
    /// Where the next slice of the window begins, once others are complete.
    pub slice_from: Option<DateTime<Utc>>,
    /// How long a window may be, where longer ones failed.
    pub longest: Option<TimeDelta>,
    /// How far the API's clock is behind ours.
    pub clock_behind: TimeDelta,
}

/// The window of an API that has no checkpoint. It stays the same until an iteration succeeds; else a window that fails
/// for a while would lose its oldest records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitialWindow {
    /// When the first iteration began.
    pub at: DateTime<Utc>,
    /// The newest date of the first page that had any.
    pub newest: Option<DateTime<Utc>>,
}

/// Where one iteration begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The start date, the same for all pages.
    pub start: DateTime<Utc>,
    /// Where it ends, the same for all pages.
    #[serde(default)]
    pub end: Option<DateTime<Utc>>,
    /// Whether another slice follows it.
    #[serde(default)]
    pub has_more: bool,
    /// Where it would begin, if the API answered so far back.
    pub out_of_reach: Option<DateTime<Utc>>,
    /// Whether the checkpoint overrules an earlier start date of the config.
    pub overrules_config: bool,
    /// Why time before the start was not fetched, if some was not.
    pub gap_cause: GapCause,
    #[serde(rename = "floor")]
    cutoff: Cutoff,
}

/// Below which date records are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Cutoff {
    /// Below the start date.
    At(DateTime<Utc>),
    /// Below the newest date of the first page less this span: no start is known.
    #[serde(rename = "BelowNewest")]
    RelativeToNewest(#[serde(with = "seconds")] TimeDelta),
}

/// A span as whole seconds.
mod seconds {
    use chrono::TimeDelta;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &TimeDelta, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(span.num_seconds())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<TimeDelta, D::Error> {
        Ok(TimeDelta::try_seconds(i64::deserialize(from)?).unwrap_or(TimeDelta::MAX))
    }
}

impl Overlap {
    /// How far before the checkpoint to look again.
    #[must_use]
    pub fn span(self, arrival_delay: &ArrivalDelay) -> TimeDelta {
        match self {
            Self::Unit => TimeDelta::zero(),
            Self::Fixed(span) => span,
            Self::Measured { until_measured } if arrival_delay.measures() < MEASURES_MIN => until_measured,
            Self::Measured { until_measured } => {
                let (least, most) = OVERLAP_RANGE;
                arrival_delay.within(OVERLAP_SHARE).unwrap_or(until_measured).clamp(least, most)
            }
        }
    }

    /// How far before the checkpoint what was delivered stays remembered.
    #[must_use]
    pub fn retention(self) -> TimeDelta {
        match self {
            Self::Unit => TimeDelta::zero(),
            Self::Fixed(span) => span,
            Self::Measured { .. } => OVERLAP_RANGE.1,
        }
    }

    /// Whether it is time to look back as far as memory reaches: `last` is when that was done last, `first` when the first
    /// iteration began.
    #[must_use]
    pub fn is_wide_look_due(
        self,
        first: Option<DateTime<Utc>>,
        last: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> bool {
        // A clock that was set back makes it due, too.
        let is_over = |since: DateTime<Utc>, span| since > now || now.signed_duration_since(since) >= span;
        let is_due = match (last, first) {
            (Some(last), _) => is_over(last, WIDE_LOOK_EVERY),
            (None, Some(first)) => is_over(first, FIRST_WIDE_LOOK_AFTER),
            (None, None) => false,
        };
        matches!(self, Self::Measured { .. }) && is_due
    }
}

impl StartPolicy {
    /// The earliest start that the API takes, with a margin for the time until it is asked; `None` where it takes any.
    #[must_use]
    pub fn oldest(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let oldest = before(now, self.max_age?).checked_add_signed(AGE_MARGIN)?;
        let sent = self.granularity.sent(oldest);
        // Not what the format cuts it to: that would be earlier.
        if sent < oldest { sent.checked_add_signed(self.granularity.unit()) } else { Some(sent) }
    }
}

impl Window {
    /// Where an iteration begins that starts now.
    #[must_use]
    pub fn open(rule: &StartPolicy, known: &Known, now: DateTime<Utc>) -> Self {
        let again = known.checkpoint.map(|checkpoint| {
            let again = before(checkpoint, known.overlap);
            // An overlap that has grown reaches back as memory does: what came before is forgotten.
            known.remembered_since.map_or(again, |since| again.max(since.min(checkpoint)))
        });
        let first = known.beginning.map_or(now, |beginning| beginning.at);
        let is_known = again.is_some() || rule.configured.is_some();
        let wanted = again.max(rule.configured).unwrap_or_else(|| before(first, rule.back));
        let oldest = rule.oldest(now);
        let reached = known.reach.map_or(wanted, |reach| wanted.max(before(now, reach))).max(oldest.unwrap_or(wanted));
        let is_again = again.is_some_and(|again| again == reached);
        // What is sent has whole seconds, or days; and whether a start is inclusive isn't known, so one unit earlier.
        let unit = rule.granularity.unit();
        let start = if is_again { before(rule.granularity.sent(reached), unit) } else { floor_to_second(reached) };
        // Before a date that the user wrote, and before what is remembered, nothing is asked for.
        let remembered = known.remembered_since.filter(|_| is_again).zip(known.checkpoint);
        let remembered = remembered.map(|(since, checkpoint)| since.min(floor_to_second(checkpoint)));
        let asked = Some(start).max(rule.configured.filter(|_| is_again)).max(remembered).unwrap_or(start);
        let slice = known.slice_from.map(|from| before(rule.granularity.sent(from), unit));
        let asked = slice.map_or(asked, |slice| slice.max(asked)).max(oldest.unwrap_or(asked));
        // As it is sent, where that is what the checkpoint will be.
        let sent = |end| rule.end.written.filter(|_| rule.goes_by_arrival()).map_or(end, |written| written.sent(end));
        // An API that goes by its own clock may refuse an end that its clock hasn't reached.
        let reached_by_clock = if rule.goes_by_arrival() { before(now, known.clock_behind) } else { now };
        let latest = sent(before(reached_by_clock, rule.end.delay)).max(asked);
        let halved = known.longest.filter(|_| rule.end.written.is_some());
        let longest = [rule.end.longest, halved].into_iter().flatten().min();
        let end = longest
            .and_then(|longest| asked.checked_add_signed(longest))
            .map_or(latest, |end| sent(end).max(asked).min(latest));
        let cutoff = match (is_known, known.beginning.and_then(|beginning| beginning.newest)) {
            (true, _) => Cutoff::At(asked),
            (false, Some(newest)) => Cutoff::At(before(newest, rule.back)),
            (false, None) => Cutoff::RelativeToNewest(rule.back),
        };
        let gap_cause = match (reached > wanted, rule.configured > again) {
            (true, _) => GapCause::OutOfReach,
            (false, true) => GapCause::Filter,
            (false, false) => GapCause::Moved,
        };
        let start = if slice.is_some() { asked } else { start.max(oldest.unwrap_or(start)) };
        Self {
            start,
            end: Some(end),
            has_more: end < latest,
            out_of_reach: (reached > wanted).then_some(wanted),
            overrules_config: rule.configured.is_some() && known.checkpoint > rule.configured,
            gap_cause,
            cutoff,
        }
    }

    /// Fixes the floor of a first run, from the dates of the first page that has any. Gives the newest of them then.
    pub fn see_dates(
        &mut self,
        dates: impl Iterator<Item = DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let Cutoff::RelativeToNewest(span) = self.cutoff else { return None };
        let newest = dates.filter(|date| !is_future(*date, now)).max()?;
        self.cutoff = Cutoff::At(before(newest, span));
        Some(newest)
    }

    /// Begins earlier than it was opened, as another output needs what lies before. What is left out stays the same.
    pub fn begin_earlier(&mut self, start: DateTime<Utc>) {
        self.start = self.start.min(start);
    }

    /// Begins later than it was opened: the API refuses the start date as too old.
    pub fn begin_later(&mut self, start: DateTime<Utc>) {
        self.out_of_reach = Some(self.out_of_reach.unwrap_or(self.start));
        self.gap_cause = GapCause::OutOfReach;
        if self.cutoff == Cutoff::At(self.start) {
            self.cutoff = Cutoff::At(start);
        }
        self.start = start;
    }

    /// Below which date records are left out, once it is known.
    #[must_use]
    pub fn cutoff(&self) -> Option<DateTime<Utc>> {
        match self.cutoff {
            Cutoff::At(cutoff) => Some(cutoff),
            Cutoff::RelativeToNewest(_) => None,
        }
    }

    /// Whether a date lies before the window.
    #[must_use]
    pub fn is_below(&self, date: DateTime<Utc>) -> bool {
        self.cutoff().is_some_and(|cutoff| date < cutoff)
    }
}

/// Whether a date lies too far ahead to be true.
#[must_use]
pub fn is_future(date: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    date.signed_duration_since(now) > FUTURE_MAX
}

/// The checkpoint after an iteration whose newest delivered date is `newest`; it never moves backwards.
#[must_use]
pub fn next_checkpoint(checkpoint: Option<DateTime<Utc>>, newest: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    checkpoint.max(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{CheckpointKind, EndPolicy};
    use crate::record::{Fingerprint, date};
    use crate::template::Granularity;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn at(text: &str) -> DateTime<Utc> {
        date::parse(text).expect("a date")
    }

    fn rule(configured: Option<&str>) -> StartPolicy {
        StartPolicy {
            configured: configured.map(at),
            back: TimeDelta::days(14),
            overlap: Overlap::Fixed(TimeDelta::zero()),
            granularity: Granularity::Second,
            end: EndPolicy::default(),
            checkpoint: CheckpointKind::default(),
            max_age: None,
        }
    }

    fn known(checkpoint: Option<&str>, overlap_minutes: i64) -> Known {
        Known { checkpoint: checkpoint.map(at), overlap: TimeDelta::minutes(overlap_minutes), ..Known::default() }
    }

    #[track_caller]
    fn check(configured: Option<&str>, known: Known, start: &str, overrules: bool) {
        let window = Window::open(&rule(configured), &known, at("2024-05-28T12:00:00Z"));
        assert_eq!((window.start, window.overrules_config), (at(start), overrules));
    }

    #[test]
    fn begins_at_the_checkpoint_else_the_filter_else_some_days_back() {
        check(None, known(None, 0), "2024-05-14T12:00:00Z", false);
        check(Some("2024-05-01"), known(None, 0), "2024-05-01", false);
        check(Some("2024-05-01"), known(Some("2024-05-02T10:00:00.9Z"), 0), "2024-05-02T09:59:59Z", true);
        check(Some("2024-05-03"), known(Some("2024-05-02T10:00:00Z"), 0), "2024-05-03", false);
        check(None, known(Some("2024-05-02T10:00:00Z"), 15), "2024-05-02T09:44:59Z", false);
        check(Some("2024-05-02T09:50:00Z"), known(Some("2024-05-02T10:00:00Z"), 15), "2024-05-02T09:50:00Z", true);
        let beginning = Some(InitialWindow { at: at("2024-05-20T00:00:00Z"), newest: None });
        check(None, Known { beginning, ..Known::default() }, "2024-05-06", false);
    }

    #[test]
    fn an_overlap_reaches_no_further_back_than_memory() {
        let checkpoint = "2024-05-02T10:00:00Z";
        let since = |text| Known { remembered_since: Some(at(text)), ..known(Some(checkpoint), 60) };
        check(None, since("2024-05-02T08:00:00Z"), "2024-05-02T08:59:59Z", false);
        check(None, since("2024-05-02T09:50:00Z"), "2024-05-02T09:49:59Z", false);
        check(None, since("2024-05-02T11:00:00Z"), "2024-05-02T09:59:59Z", false);
        let window = Window::open(&rule(None), &since("2024-05-02T09:50:00Z"), at("2024-05-28"));
        assert!(window.is_below(at("2024-05-02T09:49:59Z")), "what isn't remembered is left out");
    }

    #[test]
    fn a_start_that_is_out_of_reach_is_told() {
        let beyond = Known { reach: Some(TimeDelta::days(20)), ..known(Some("2024-05-01"), 0) };
        let window = Window::open(&rule(None), &beyond, at("2024-05-28"));
        assert_eq!((window.start, window.out_of_reach), (at("2024-05-08"), Some(at("2024-05-01"))));
        assert_eq!(window.gap_cause, GapCause::OutOfReach);
        let within = Known { reach: Some(TimeDelta::days(30)), ..known(Some("2024-05-01"), 0) };
        assert_eq!(Window::open(&rule(None), &within, at("2024-05-28")).out_of_reach, None);
    }

    #[test]
    fn a_start_is_never_sent_from_before_what_the_api_lets_it_be() {
        let now = at("2024-05-28T12:00:00.5Z");
        let week = StartPolicy { max_age: Some(TimeDelta::days(7)), ..rule(None) };
        let window = Window::open(&week, &known(Some("2024-05-01"), 0), now);
        assert_eq!((window.start, window.out_of_reach), (at("2024-05-21T12:01:01Z"), Some(at("2024-05-01"))));
        let window = Window::open(&week, &known(Some("2024-05-21T12:01:01.2Z"), 0), now);
        assert_eq!((window.start, window.out_of_reach), (at("2024-05-21T12:01:01Z"), None), "no unit before it");
        let by_day = StartPolicy { granularity: Granularity::Day, ..week };
        let window = Window::open(&by_day, &known(Some("2024-05-01"), 0), now);
        assert_eq!(window.start, at("2024-05-22"), "a day that begins before isn't asked for");
        let window = Window::open(&week, &known(Some("2024-05-28T11:00:00Z"), 0), now);
        assert_eq!((window.start, window.out_of_reach), (at("2024-05-28T10:59:59Z"), None));
    }

    #[test]
    fn a_measured_overlap_follows_what_was_measured() {
        let mut arrival_delay = ArrivalDelay::default();
        let minutes = |arrival_delay: &ArrivalDelay| {
            (Overlap::Measured { until_measured: TimeDelta::minutes(15) }).span(arrival_delay).num_minutes()
        };
        (0..999).for_each(|_| arrival_delay.add(TimeDelta::minutes(40)));
        assert_eq!(minutes(&arrival_delay), 15, "too few measures");
        arrival_delay.add(TimeDelta::minutes(40));
        assert_eq!(minutes(&arrival_delay), 40);
        (0..400_000).for_each(|_| arrival_delay.add(TimeDelta::seconds(2)));
        assert_eq!(minutes(&arrival_delay), 1, "never shorter");
        (0..9_000).for_each(|_| arrival_delay.add(TimeDelta::days(3)));
        assert_eq!(minutes(&arrival_delay), 360, "never longer");
        assert_eq!(Overlap::Fixed(TimeDelta::minutes(3)).span(&arrival_delay), TimeDelta::minutes(3));
    }

    #[test]
    fn leaves_out_what_lies_before_the_window() {
        let now = at("2024-05-28T12:00:00Z");
        let mut first_run = Window::open(&rule(None), &known(None, 0), now);
        assert!(!first_run.is_below(at("1990-01-01")));
        first_run.see_dates([at("2022-03-18"), at("2099-01-01"), at("2022-03-01")].into_iter(), now);
        assert!(first_run.is_below(at("2022-03-03")) && !first_run.is_below(at("2022-03-04")));
        let again = Window::open(&rule(None), &known(Some("2024-05-02T10:00:00.5Z"), 0), now);
        assert!(again.is_below(at("2024-05-02T09:59:58.9Z")) && !again.is_below(at("2024-05-02T09:59:59Z")));
    }

    #[test]
    fn what_is_sent_lies_a_unit_before_the_checkpoint_and_what_the_user_wrote_is_the_floor() {
        let now = at("2024-05-28T12:00:00Z");
        let by_day = StartPolicy { granularity: Granularity::Day, ..rule(None) };
        let window = Window::open(&by_day, &known(Some("2024-05-10T15:00:00Z"), 0), now);
        assert_eq!(window.start, at("2024-05-09"), "a day that is exclusive is asked for, too");
        // A rewind, or an edited line: nothing before it is shipped.
        let edited =
            Known { remembered_since: Some(at("2024-05-10T15:00:00Z")), ..known(Some("2024-05-10T15:00:00Z"), 0) };
        let window = Window::open(&rule(None), &edited, now);
        assert_eq!(window.start, at("2024-05-10T14:59:59Z"));
        assert!(window.is_below(at("2024-05-10T14:59:59Z")) && !window.is_below(at("2024-05-10T15:00:00Z")));
        let filtered = rule(Some("2024-05-10T15:00:00Z"));
        let window = Window::open(&filtered, &known(Some("2024-05-10T15:00:00Z"), 0), now);
        assert!(window.is_below(at("2024-05-10T14:59:59Z")));
    }

    #[test]
    fn a_wide_look_comes_an_hour_after_the_first_iteration_and_then_every_three() {
        let measured = Overlap::Measured { until_measured: TimeDelta::minutes(1) };
        let minutes = |minutes| at("2024-05-28T12:00:00Z") + TimeDelta::minutes(minutes);
        let is_due =
            |last: Option<i64>, now| measured.is_wide_look_due(Some(minutes(0)), last.map(minutes), minutes(now));
        assert!(!is_due(None, 59) && is_due(None, 60));
        assert!(!is_due(Some(60), 239) && is_due(Some(60), 240));
        assert!(is_due(Some(60), 59), "the clock was set back");
        assert!(!Overlap::Unit.is_wide_look_due(Some(minutes(0)), None, minutes(999)));
    }

    /// Records come late, twice, in any order, several in a second; the API honours the start date. Each one that
    /// surfaces no later than the overlap allows is shipped exactly once.
    #[test]
    fn windows_leave_no_gap_and_double_nothing() {
        let record = (0_i64..600, 0_i64..120);
        proptest!(|(records in prop::collection::vec(record, 1..60), rounds in 2_i64..8)| {
            let origin = at("2024-05-28T00:00:00Z");
            let rule = rule(Some("2024-05-28T00:00:00Z"));
            let (mut delivered, mut known) = (HashMap::<Fingerprint, DateTime<Utc>>::new(), known(None, 2));
            let mut shipped = vec![0_u32; records.len()];
            for round in 1..=rounds {
                let now_s = 720 * round / rounds;
                let window = Window::open(&rule, &known, origin + TimeDelta::seconds(now_s));
                let there: Vec<(usize, DateTime<Utc>)> = records.iter().enumerate()
                    .filter(|(_, (event_s, late_s))| event_s + late_s <= now_s)
                    .map(|(number, (event_s, _))| (number, origin + TimeDelta::seconds(*event_s)))
                    .filter(|(_, date)| !window.is_below(*date))
                    .collect();
                let in_flight = InFlight::default();
                for page in there.chunks(7) {
                    let fingerprint = |number: usize| Fingerprint::of(&[&number.to_le_bytes()]);
                    let counts = page.iter().map(|(number, _)| {
                        (fingerprint(*number), u32::from(delivered.contains_key(&fingerprint(*number))))
                    });
                    for (new, (number, date)) in in_flight.admit(counts).into_iter().zip(page) {
                        if new {
                            if let Some(count) = shipped.get_mut(*number) { *count += 1; }
                            delivered.insert(fingerprint(*number), *date);
                        }
                    }
                }
                let next = next_checkpoint(known.checkpoint, there.iter().map(|(_, date)| *date).max());
                prop_assert!(next >= known.checkpoint, "the checkpoint moved backwards");
                known.checkpoint = next;
                let since = Window::open(&rule, &known, origin).start.max(window.start);
                known.remembered_since = next.map(|_| since);
                delivered.retain(|_, date| *date >= since);
            }
            prop_assert!(shipped.iter().all(|count| *count == 1), "{shipped:?}");
        });
    }
}
