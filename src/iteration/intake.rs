//! Which records of a page are shipped, and what its records tell of the API. Pure.
//!
//! Enters: the records of one page after the other, and how often each was delivered before. Leaves: for each whether it is
//! shipped, and at the end what the pages showed. What always holds: what lies before the window is left out, what was
//! delivered or is under way isn't shipped again, and of records that one page holds several times none is lost.

use chrono::{DateTime, Utc};

use super::report::IterationReport;
use super::watch::Observed;
use crate::plan::Plan;
use crate::record::{Fingerprint, Record, date};
use crate::state::ApiState;
use crate::template::Captured;
use crate::window::{Chain, ChainStep, InFlight, SeenRecord, Sight, Window, is_future};

/// What decides on the records of one iteration.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) window: Window,
    pub(super) chain: Chain,
    pub(super) observed: Observed,
    /// The cursor that the pages gave last.
    pub(super) cursor: Option<Captured>,
    /// Whether the requests say where the window begins: else nothing is left out by its date.
    pub(super) names_start: bool,
    in_flight: InFlight,
}

/// What is done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is new, and goes to the listener.
    Ship,
    /// It was delivered before, or is under way.
    Duplicate,
}

impl Intake {
    /// Before the first page of a window.
    pub(super) fn new(window: Window, chain: Chain, remembered: u64) -> Self {
        let observed = Observed { remembered, ..Observed::default() };
        Self { window, chain, observed, cursor: None, names_start: true, in_flight: InFlight::default() }
    }

    /// Whether a date lies before what was asked for.
    fn is_below(&self, date: DateTime<Utc>) -> bool {
        self.names_start && self.window.is_below(date)
    }

    /// Learns from the dates of a page. Gives what the chain looks at, and the newest date where it fixes the window of a
    /// first run.
    pub(super) fn look(
        &mut self,
        plan: &Plan,
        state: &ApiState,
        records: &[Record<'_>],
        now: DateTime<Utc>,
    ) -> (Vec<SeenRecord>, Option<DateTime<Utc>>) {
        let dates = || records.iter().filter_map(|record| record.date);
        let newest = self.window.see_dates(dates(), now);
        let sent = plan.start.granularity.sent(self.window.start);
        let is_before_start = |date: &DateTime<Utc>| *date < sent && self.is_below(*date);
        self.observed.before_start += dates().filter(is_before_start).count() as u64;
        self.observed.records = records.len() as u64;
        if let Some(checkpoint) = state.checkpoint.filter(|_| !records.is_empty()) {
            let unit = plan.start.granularity.unit();
            let is_back = dates().all(|date| date < date::before(checkpoint, unit));
            self.observed.back += u64::from(is_back);
        }
        let seen = |record: &Record<'_>| SeenRecord {
            fingerprint: record.fingerprint,
            date: record.date,
            is_below: record.date.is_some_and(|date| self.is_below(date)),
        };
        (records.iter().map(seen).collect(), newest)
    }

    /// What the chain makes of a page.
    pub(super) fn step(&mut self, sight: &Sight<'_>) -> ChainStep {
        let step = self.chain.see(sight);
        self.observed.pages = self.chain.pages();
        self.observed.direction = self.chain.course().direction();
        step
    }

    /// The records that lie in the window; the others are counted.
    pub(super) fn in_window<'r>(
        &self,
        plan: &Plan,
        records: &[Record<'r>],
        report: &mut IterationReport,
    ) -> Vec<Record<'r>> {
        let mut inside = Vec::with_capacity(records.len());
        for record in records {
            if record.date.is_some_and(|date| self.is_below(date)) {
                report.older += 1;
            } else if plan.until.zip(record.date).is_some_and(|(until, date)| date >= until) {
                report.later += 1;
            } else {
                inside.push(*record);
            }
        }
        inside
    }

    /// What is done with each record of a page, given how often it was delivered before.
    pub(super) fn admit(&self, records: &[Record<'_>], delivered: &[u32]) -> Vec<Admission> {
        let page = records.iter().map(|record| record.fingerprint).zip(delivered.iter().copied());
        let admission = |is_new| if is_new { Admission::Ship } else { Admission::Duplicate };
        self.in_flight.admit(page).into_iter().map(admission).collect()
    }

    /// Counts what a record tells of the API.
    pub(super) fn observe(
        &mut self,
        state: &mut ApiState,
        record: &Record<'_>,
        is_new: bool,
        report: &mut IterationReport,
        now: DateTime<Utc>,
    ) {
        self.observed.new += u64::from(is_new);
        let Some(date) = record.date else {
            report.undated += u64::from(is_new);
            return;
        };
        if state.checkpoint.is_some_and(|checkpoint| date <= checkpoint) {
            self.observed.at_edge += 1;
            self.observed.known_at_edge += u64::from(!is_new);
        }
        let is_ahead = is_future(date, now);
        self.observed.future += u64::from(is_new && is_ahead);
        let complete = [state.last_complete, state.wide_look];
        let was_fetched = complete.into_iter().flatten().any(|iteration| date >= iteration.start);
        // How late it is, the newest record tells that was delivered before, not the clock: a source may be late throughout.
        if let Some(newest) = state.newest.filter(|_| is_new && !is_ahead && was_fetched) {
            state.arrival_delay.add(newest.signed_duration_since(date));
        }
    }

    /// Notes that a record is under way to the listener.
    pub(super) fn send(&mut self, fingerprint: Fingerprint) {
        self.in_flight.send(fingerprint);
    }

    /// Notes that a record is remembered as delivered, or is in the dead letter file.
    pub(super) fn acknowledge(&mut self, fingerprint: Fingerprint) {
        self.in_flight.acknowledge(fingerprint);
    }
}
