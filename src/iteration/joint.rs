//! Which of an API's outputs fetch together: those whose iterations ask for the same.
//!
//! Each output's iteration makes its own requests, by its own state; what another one got by the same request is not asked
//! for again ([`SharedAnswers`]). So those that begin at nearly the same date begin at the earliest of theirs, and each leaves
//! out what it has. One that took not all in its last iteration, or goes on in the middle of a window, begins where it must,
//! alone or with those that are at the same place.

use chrono::{DateTime, TimeDelta, Utc};

use super::kept::AnswerFile;
use super::told::ToldOnce;
use super::{Api, at_work, outcome};
use crate::fetch::{KeepAnswer, SharedAnswers, SharedSeat};
use crate::memory::MemoryBudget;
use crate::plan::CheckpointKind;
use crate::template::{CapturedValues, Position};

/// Outputs whose windows begin no further apart fetch together: as far as a measured overlap may look back, so that a look
/// back of one of them costs no second chain of pages.
const JOINED_WITHIN: TimeDelta = TimeDelta::hours(6);

/// An output's part in what several fetch together.
#[derive(Debug)]
pub(super) struct JointFetch {
    pub(super) seat: SharedSeat,
    /// Where the window begins, for the first slice.
    pub(super) start: Option<DateTime<Utc>>,
}

/// Where an iteration begins to ask.
#[derive(Clone, Debug, PartialEq)]
struct FetchStart {
    start: DateTime<Utc>,
    end: Option<DateTime<Utc>>,
    /// In the middle of a chain.
    next: Option<Position>,
    captured: CapturedValues,
    /// Whether something else than the checkpoint says where it begins or ends.
    is_bound: bool,
}

impl FetchStart {
    fn of(lane: &Api, now: DateTime<Utc>) -> Self {
        let (plan, mut account) = (at_work::at_work(&lane.plan, &lane.account), lane.account.clone());
        let rule = &plan.start;
        outcome::begin(rule, &mut account, now);
        let (window, _) = outcome::open(rule, &mut account, now, lane.counters.clock_behind());
        let (start, end) = match &account.progress {
            Some(progress) => (progress.window.start, progress.window.end),
            None => (window.start, window.end),
        };
        let requests = plan.requests_fingerprint();
        let is_bound = account.progress.is_some()
            || account.slice_from.is_some()
            || account.halving.is_some()
            || account.steps.job(None, requests, now).is_some();
        let next = account.progress.as_ref().map(|progress| progress.next().clone());
        Self { start, end, next, captured: account.captured, is_bound }
    }

    /// Whether it may begin earlier, together with another one.
    fn joins(&self, first: &Self) -> bool {
        let is_near = self.start.signed_duration_since(first.start) <= JOINED_WITHIN;
        self == first || (!self.is_bound && !first.is_bound && is_near && self.captured == first.captured)
    }
}

/// Has those of an API's outputs share what they fetch that ask for the same.
pub(super) fn share(lanes: &mut [Api], memory: &MemoryBudget, now: DateTime<Utc>) {
    lanes.iter_mut().for_each(|lane| (lane.joint, lane.told) = (None, ToldOnce::default()));
    if lanes.len() < 2 {
        return;
    }
    let starts: Vec<Option<FetchStart>> = lanes
        .iter()
        .map(|lane| (!lane.is_in_doubt || lane.plan.keeps_position()).then(|| FetchStart::of(lane, now)))
        .collect();
    let is_queue = lanes.first().is_some_and(|lane| lane.plan.start.checkpoint == CheckpointKind::Server);
    if is_queue {
        take_newest_cursor(lanes, now);
    }
    let groups = if is_queue { vec![(0..lanes.len()).collect()] } else { groups(&starts) };
    for group in groups {
        let start = group.iter().filter_map(|place| starts.get(*place)?.as_ref()).map(|from| from.start).min();
        let of_group = || group.iter().filter_map(|place| lanes.get(*place));
        let keeping = of_group().next().filter(|lane| lane.plan.keeps_position()).map(|_| {
            let keep = of_group().filter(|lane| lane.plan.start.checkpoint == CheckpointKind::Server);
            keeping_for(keep.map(|lane| AnswerFile::of(lane.claim.directory(), lane.key())).collect())
        });
        let shared = SharedAnswers::new(memory.clone(), group.iter().copied(), keeping);
        let told = ToldOnce::shared();
        for place in group {
            let Some(lane) = lanes.get_mut(place) else { continue };
            let is_bound = starts.get(place).is_some_and(|from| from.as_ref().is_some_and(|from| from.is_bound));
            let start = start.filter(|_| is_queue || !is_bound);
            lane.joint = Some(JointFetch { seat: shared.seat(place), start });
            lane.told = told.clone();
        }
    }
}

/// Has all outputs of an API that keeps the position go on with the cursor that came last: what came before it is kept for
/// each that lacks it.
fn take_newest_cursor(lanes: &mut [Api], now: DateTime<Utc>) {
    let newest = lanes.iter().max_by_key(|lane| lane.account.captured_since);
    let captured = newest.map(|lane| lane.account.captured.clone()).unwrap_or_default();
    lanes.iter_mut().for_each(|lane| lane.account.keep(captured.clone(), now));
}

/// Keeps an answer for each output before any of them ships it.
fn keeping_for(files: Vec<AnswerFile>) -> KeepAnswer {
    Box::new(move |text| files.iter().try_for_each(|file| file.keep(text)))
}

/// The places of those that fetch together, two at least in each group.
fn groups(starts: &[Option<FetchStart>]) -> Vec<Vec<usize>> {
    let mut left: Vec<(usize, &FetchStart)> =
        starts.iter().enumerate().filter_map(|(place, from)| Some((place, from.as_ref()?))).collect();
    // The earliest first; in the order of the config where they are the same.
    left.sort_by_key(|(_, from)| from.start);
    let mut groups = Vec::new();
    while let Some((_, first)) = left.first().copied() {
        let (group, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|(_, from)| from.joins(first));
        left = others;
        groups.push(group.into_iter().map(|(place, _)| place).collect::<Vec<usize>>());
    }
    groups.retain(|group| group.len() > 1);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Captured;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn from(minute: i64) -> Option<FetchStart> {
        Some(FetchStart {
            start: at(minute),
            end: Some(at(100_000)),
            next: None,
            captured: CapturedValues::default(),
            is_bound: false,
        })
    }

    fn amid(minute: i64, link: &str) -> Option<FetchStart> {
        let next = Position { next_url: Some(link.to_owned()), ..Position::default() };
        from(minute).map(|from| FetchStart { next: Some(next), is_bound: true, ..from })
    }

    #[test]
    fn those_that_begin_near_each_other_fetch_together_and_the_others_alone() {
        assert_eq!(groups(&[from(10), from(10)]), [[0, 1]]);
        assert_eq!(groups(&[from(370), from(10)]), [[1, 0]], "within six hours of the earliest");
        assert!(groups(&[from(371), from(10)]).is_empty(), "one would read hours again for the other");
        assert!(groups(&[from(10), None]).is_empty(), "one that is in doubt is alone");
        assert_eq!(groups(&[from(1_000), from(10), from(1_001), from(20)]), [vec![1, 3], vec![0, 2]]);
    }

    #[test]
    fn in_the_middle_of_a_window_the_place_must_be_the_same() {
        assert_eq!(groups(&[amid(10, "a"), amid(10, "a")]), [[0, 1]]);
        assert!(groups(&[amid(10, "a"), amid(10, "b")]).is_empty());
        assert!(groups(&[amid(10, "a"), from(10)]).is_empty());
        let with_cursor = |text: &str| {
            from(10)
                .map(|from| FetchStart { captured: CapturedValues::of_cursor(Some(Captured::of_text(text))), ..from })
        };
        assert_eq!(groups(&[with_cursor("c"), with_cursor("c")]), [[0, 1]]);
        assert!(groups(&[with_cursor("c"), with_cursor("d")]).is_empty());
    }
}
