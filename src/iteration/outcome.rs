//! What an iteration begins with, and what it leaves behind: the checkpoint, the place where it was cut, what was covered.
//! Pure.
//!
//! Enters: what is known of the API, what the pages said, and how the iteration ended. Leaves: the account as it is to be
//! saved. What always holds: a checkpoint never moves backwards, and moves past nothing that wasn't delivered.

use chrono::{DateTime, TimeDelta, Utc};

use super::report::IterationError;
use super::watch::{Observed, STRANGE_EDGES_MIN};
use crate::plan::{CheckpointKind, Overlap, Repeat, StartPolicy};
use crate::record::date::{before, floor_to_second};
use crate::state::{ApiState, CompleteIteration};
use crate::window::{
    Chain, Course, Gap, GapCause, Halving, InitialWindow, Known, Progress, Stall, Window, next_checkpoint,
};

/// For so many iterations in a row a checkpoint stays where errors came beside the records.
const TOLD_ERRORS_MAX: u32 = 3;

/// How far a clock that filters by arrival may be ahead of ours where no answer tells.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(5);

/// How many slices before now a quiet one no longer moves the checkpoint.
const QUIET_SLICES: i32 = 6;
/// The same as a span, where slices are long.
const QUIET_MAX: TimeDelta = TimeDelta::hours(6);

/// The checkpoint, and since when everything delivered is remembered.
pub(super) type Moved = (Option<DateTime<Utc>>, DateTime<Utc>);

/// What an iteration was at its end, complete or cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedChain {
    /// The window that it read.
    pub(super) window: Window,
    /// What its pages showed.
    pub(super) course: Course,
    /// Whether they came newest first and went below the window; nothing where they don't tell.
    pub(super) is_newest_first: Option<bool>,
    /// Whether it looked back as far as it can.
    pub(super) is_look: bool,
    /// Whether everything that was read is delivered.
    pub(super) is_delivered: bool,
    /// Up to where every entry of a list is done, where one isn't.
    pub(super) undone: Option<DateTime<Utc>>,
    /// Whether the list was read to its end, and every entry of it was asked about.
    pub(super) are_entries_settled: bool,
}

impl EndedChain {
    /// A date, or the one up to where every entry is done; nothing where that may be any.
    fn no_later_than_undone(&self, date: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(self.undone.map_or(date, |undone| undone.min(date))).filter(|date| *date > DateTime::<Utc>::MIN_UTC)
    }
}

/// How an iteration was cut.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct How {
    /// Whether the API answered, be it with a limit.
    pub(super) is_answer: bool,
    /// Whether the place is no good any more.
    pub(super) voids_place: bool,
    /// Whether it got pages, and tried for more.
    pub(super) has_tried: bool,
    /// Until when the API asks to be left alone.
    pub(super) until: Option<DateTime<Utc>>,
}

impl How {
    pub(super) fn of(error: &IterationError, pages: u64) -> Self {
        let (is_answer, voids_place) = (error.is_answer(), error.voids_progress());
        Self {
            is_answer,
            voids_place,
            // Where entries failed the pages of the list came to their end.
            has_tried: pages > 0 && !error.is_stop() && !error.is_recall() && !error.is_of_entry(),
            until: error.until(),
        }
    }
}

/// Notes that an iteration begins.
pub(super) fn begin(rule: &StartPolicy, account: &mut ApiState, now: DateTime<Utc>) {
    let is_start_known = account.checkpoint.is_some() || rule.configured.is_some();
    account.beginning = match account.beginning {
        _ if is_start_known => None,
        begun => begun.or(Some(InitialWindow { at: now, newest: None })),
    };
    account.first_iteration.get_or_insert(now);
    account.not_before = None;
    account.is_by_arrival = rule.goes_by_arrival();
    account.iteration = account.iteration.wrapping_add(1);
    account.window_begun.get_or_insert(account.iteration);
    arrive(account, now);
}

/// Notes that whatever is delivered from now on had arrived by a moment, where the API filters by arrival.
pub(super) fn arrive(account: &mut ApiState, by: DateTime<Utc>) {
    if account.is_by_arrival {
        let by = by.timestamp().saturating_add(CLOCKS_DIFFER.num_seconds());
        let second = u32::try_from(by).unwrap_or_default();
        account.iteration = account.iteration.max(second);
    }
}

/// A chain of pages before its first one.
pub(super) fn chain(rule: &StartPolicy, account: &ApiState, now: DateTime<Utc>) -> Chain {
    Chain::new(account.sorted, overlap(rule, account), now).by_arrival(rule.goes_by_arrival())
}

/// The window of an iteration that begins anew, and whether it looks back as far as it can. `clock_behind` is how far the
/// API's clock is behind ours, as far as its answers told.
pub(super) fn open(
    rule: &StartPolicy,
    account: &mut ApiState,
    now: DateTime<Utc>,
    clock_behind: TimeDelta,
) -> (Window, bool) {
    let is_wide = is_wide(rule, account, now);
    let overlap = if is_wide { rule.overlap.retention() } else { overlap(rule, account) };
    let known = Known { clock_behind, ..account.known(overlap, now) };
    (Window::open(rule, &known, now), is_wide)
}

/// Whether this iteration looks back as far as a measured overlap can.
fn is_wide(rule: &StartPolicy, account: &ApiState, now: DateTime<Utc>) -> bool {
    let last = account.wide_look.map(|look| look.at);
    // Without memory it would ship again whatever it sees.
    let has_memory = account.remembered_since.is_some() && account.checkpoint.is_some();
    let may_look = has_memory && !does_ship_again(account) && account.lookback.is_wide_affordable();
    may_look && rule.overlap.is_wide_look_due(account.first_iteration, last, now)
}

/// How far before the checkpoint a window begins.
pub(super) fn overlap(rule: &StartPolicy, account: &ApiState) -> TimeDelta {
    let is_measured = matches!(rule.overlap, Overlap::Measured { .. });
    let is_too_much = does_ship_again(account) || !account.lookback.is_affordable();
    if is_measured && is_too_much { TimeDelta::zero() } else { rule.overlap.span(&account.arrival_delay) }
}

/// Whether what is read twice is shipped twice, as its records differ at each read.
fn does_ship_again(account: &ApiState) -> bool {
    account.unstable_edges >= STRANGE_EDGES_MIN
}

/// Notes which time a complete iteration covered. Gives the gap that it leaves.
pub(super) fn cover(
    rule: &StartPolicy,
    account: &mut ApiState,
    ended: &EndedChain,
    observed: &Observed,
    now: DateTime<Utc>,
) -> Option<Gap> {
    let window = &ended.window;
    account.last_complete = Some(CompleteIteration { start: window.start, at: now });
    // Where records may be missing nothing is called complete.
    if account.anomalies.keys().any(|anomaly| anomaly.hides_records()) {
        return None;
    }
    // What surfaced while it ran was fetched, too.
    let newest = ended.course.newest.map_or(now, |newest| newest.max(now));
    let until = match rule.goes_by_arrival() {
        true => window_end(rule, ended).unwrap_or(window.start),
        false => window.end.filter(|_| window.has_more).unwrap_or(newest),
    };
    let until = ended.no_later_than_undone(until)?;
    if observed.skips_known && account.readings.has_moved_on(observed.known, observed.new) {
        return account.coverage.add(until, until, GapCause::ListMovedOn);
    }
    if observed.has_lost_position {
        return account.coverage.add(until, until, GapCause::PositionRefused);
    }
    let gap = account.coverage.add(window.start, until, window.gap_cause);
    gap.or_else(|| account.coverage.leave_out(window.out_of_reach?, window.start))
}

/// Notes that an iteration read its window to the end, and that everything is delivered. Gives where the checkpoint moves.
pub(super) fn complete(
    rule: &StartPolicy,
    account: &mut ApiState,
    ended: &EndedChain,
    observed: &Observed,
    now: DateTime<Utc>,
) -> Moved {
    match ended.is_newest_first {
        Some(true) => account.sorted = Some(now),
        Some(false) => account.sorted = None,
        None => {}
    }
    if ended.is_look {
        account.wide_look = account.last_complete;
    }
    let window_begun = account.window_begun.take().unwrap_or(account.iteration);
    if observed.known + observed.new > 0 {
        account.undated_since = window_begun;
    }
    account.beginning = None;
    (account.progress, account.stall) = (None, Stall::default());
    account.newest = account.newest.max(ended.course.newest);
    // What an error beside records left out may come yet.
    let is_held = observed.has_told_error && account.told_errors <= TOLD_ERRORS_MAX;
    let reached = match rule.checkpoint {
        CheckpointKind::Newest => ended.course.checkpoint().max(quiet_until(rule, ended, observed, now)),
        CheckpointKind::WindowEnd | CheckpointKind::Server | CheckpointKind::Snapshot(_) => {
            window_end(rule, ended).filter(|_| !observed.has_left_out)
        }
    };
    let reached = reached.filter(|_| !is_held).and_then(|reached| ended.no_later_than_undone(reached));
    let checkpoint = next_checkpoint(account.checkpoint, reached);
    // A slice is over where its list was there, and nothing of it may come yet.
    if ended.undone.is_some() {
        // Where an entry is not done the next iteration begins with it.
        account.slice_from = None;
    } else if !is_held && !observed.has_left_out {
        account.slice_from = ended.window.end.filter(|_| ended.window.has_more);
        account.halving = account.halving.and_then(|halving| halving.after(&ended.window));
    }
    if let CheckpointKind::Snapshot(repeat) = rule.checkpoint {
        if !is_held && !observed.has_left_out {
            account.readings.add(now, observed.known + observed.new);
        }
        return (checkpoint, reading_remembered_since(repeat, account, now));
    }
    (checkpoint, remembered_since(rule, account, &ended.window, checkpoint, now))
}

/// Since when what a list that is read again and again holds stays known: it must have been seen by then.
fn reading_remembered_since(repeat: Repeat, account: &ApiState, now: DateTime<Utc>) -> DateTime<Utc> {
    match repeat {
        // Nothing: the next reading is shipped whole.
        Repeat::Ship => DateTime::from_timestamp(i64::from(account.iteration) + 1, 0).unwrap_or(now),
        Repeat::Skip => match account.readings.known_since(now) {
            Some(since) => since.checked_add_signed(CLOCKS_DIFFER).unwrap_or(since),
            None => account.first_iteration.unwrap_or(now),
        },
    }
}

/// Until when an API that filters by arrival has given everything: the end that was asked for, and no later than what its own
/// clock had reached at the first request, less the delay after which it lists what arrives.
fn window_end(rule: &StartPolicy, ended: &EndedChain) -> Option<DateTime<Utc>> {
    let listed = ended.course.begun.map(|begun| before(begun, rule.end.delay));
    Some(ended.window.end?.min(listed?))
}

/// Until when a slice that is complete is done with, also where it held nothing. It comes no closer to now than some
/// slices, as what surfaces late is looked for there again.
fn quiet_until(
    rule: &StartPolicy,
    ended: &EndedChain,
    observed: &Observed,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let longest = rule.end.longest?;
    let closest = longest.checked_mul(QUIET_SLICES).map_or(QUIET_MAX, |span| span.min(QUIET_MAX));
    let end = ended.window.end.filter(|_| !observed.has_left_out)?;
    Some(end.min(before(now, closest)))
}

/// Notes that an iteration was cut. Where two came no further, the window is asked in halves from now on; where the requests
/// name no end, and everything before the last page was delivered oldest first, gives where the checkpoint moves.
pub(super) fn cut(
    rule: &StartPolicy,
    account: &mut ApiState,
    ended: &EndedChain,
    how: How,
    now: DateTime<Utc>,
) -> Option<Moved> {
    account.not_before = how.until;
    if let Some(progress) = account.progress.as_mut().filter(|_| how.is_answer) {
        // A wait that the API asks for isn't its silence.
        progress.answered = account.not_before.map_or(now, |until| until.max(now));
    }
    if how.voids_place {
        account.progress = None;
    }
    if ended.is_look {
        // A look that is cut is dropped; the next iteration begins without it.
        account.progress = None;
        account.wide_look = Some(CompleteIteration { start: ended.window.start, at: now });
        return None;
    }
    let course = &ended.course;
    // Behind a place that has proved itself, a refusal says as much as a page that leads nowhere.
    let is_behind = account.progress.as_ref().is_some_and(Progress::is_only_proved);
    let has_tried = how.has_tried || (is_behind && how.is_answer && how.until.is_none());
    let is_stalled = has_tried && account.stall.add(account.checkpoint, course.pages);
    let may_halve = is_stalled && ended.is_delivered && rule.end.written.is_some();
    let half = Halving::of(&ended.window, account.halving, rule.granularity.unit()).filter(|_| may_halve);
    if half.is_some() {
        (account.progress, account.stall, account.halving) = (None, Stall::default(), half);
        return None;
    }
    let may_reach = is_stalled && ended.is_delivered && course.is_rising() && !rule.goes_by_arrival();
    let reached = course.rising_before_last.filter(|_| may_reach);
    let checkpoint = reached.filter(|reached| Some(*reached) > account.checkpoint)?;
    (account.progress, account.stall) = (None, Stall::default());
    Some((Some(checkpoint), remembered_since(rule, account, &ended.window, Some(checkpoint), now)))
}

/// Notes that the list was read to its end and entries of it failed. Gives where the checkpoint moves all the same: up to
/// the first that isn't done.
pub(super) fn entries_failed(
    rule: &StartPolicy,
    account: &mut ApiState,
    ended: &EndedChain,
    now: DateTime<Utc>,
) -> Option<Moved> {
    let newest = ended.course.checkpoint().filter(|_| ended.is_delivered && !ended.is_look);
    let reached = newest.and_then(|newest| ended.no_later_than_undone(newest));
    let checkpoint = reached.filter(|reached| Some(*reached) > account.checkpoint)?;
    (account.progress, account.stall) = (None, Stall::default());
    Some((Some(checkpoint), remembered_since(rule, account, &ended.window, Some(checkpoint), now)))
}

/// Since when everything delivered must stay remembered: as far back as any start may be sent.
fn remembered_since(
    rule: &StartPolicy,
    account: &ApiState,
    window: &Window,
    checkpoint: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let cutoff = window.cutoff().filter(|_| !rule.goes_by_arrival()).unwrap_or(window.start);
    // What was remembered from before the window still is.
    let until_now = account.remembered_since.map_or(cutoff, |since| since.min(cutoff));
    let known = Known { checkpoint, slice_from: None, ..account.known(rule.overlap.retention(), now) };
    let needed = Window::open(rule, &known, now).start;
    // The edge is always needed, wherever filters and limits let the next window begin.
    needed.max(until_now).min(checkpoint.map_or(DateTime::<Utc>::MAX_UTC, floor_to_second))
}
