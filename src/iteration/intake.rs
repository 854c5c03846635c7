//! Which records of a page are shipped, and what its records tell of the API. Pure.
//!
//! Enters: the records of one page after the other, and how often each was delivered before. Leaves: for each whether it is
//! shipped, and at the end what the pages showed. What always holds: what lies before the window is left out, what was
//! delivered or is under way isn't shipped again, and of records that one page holds several times none is lost.

use chrono::{DateTime, Utc};

use super::report::IterationReport;
use super::watch::Observed;
use crate::plan::Plan;
use crate::record::{Fingerprint, Record, RecordKey, date};
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
    /// The newest date and its text, where requests write theirs in that form.
    pub(super) date_text: Option<(DateTime<Utc>, Captured)>,
    /// Whether the requests say where the window begins: else nothing is left out by its date.
    pub(super) names_start: bool,
    /// Whether the API filters by arrival: then the dates of records say nothing about what belongs to a window.
    is_by_arrival: bool,
    in_flight: InFlight,
}

impl Intake {
    /// Before the first page of a window.
    pub(super) fn new(is_by_arrival: bool, window: Window, chain: Chain, remembered: u64) -> Self {
        let observed = Observed { remembered, ..Observed::default() };
        let in_flight = InFlight::default();
        Self { window, chain, observed, cursor: None, date_text: None, names_start: true, is_by_arrival, in_flight }
    }

    /// Whether a date lies before what was asked for.
    fn is_below(&self, date: DateTime<Utc>) -> bool {
        self.names_start && !self.is_by_arrival && self.window.is_below(date)
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
        let newest = if self.is_by_arrival { None } else { self.window.see_dates(dates(), now) };
        let sent = plan.start.granularity.sent(self.window.start);
        let is_before_start = |date: &DateTime<Utc>| *date < sent && self.is_below(*date);
        self.observed.before_start += dates().filter(is_before_start).count() as u64;
        self.observed.records = records.len() as u64;
        if plan.follows_date_text() {
            self.note_date_text(plan, records, now);
        }
        if let Some(checkpoint) = state.checkpoint.filter(|_| !records.is_empty() && !self.is_by_arrival) {
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

    /// Keeps the text of the newest date.
    fn note_date_text(&mut self, plan: &Plan, records: &[Record<'_>], now: DateTime<Utc>) {
        let dated =
            records.iter().filter_map(|record| Some((record.date.filter(|date| !is_future(*date, now))?, record)));
        let Some((date, record)) = dated.max_by_key(|(date, _)| *date) else { return };
        let is_newest = self.date_text.as_ref().is_none_or(|(newest, _)| date > *newest);
        let found = plan.paths.date.as_ref().filter(|_| is_newest).and_then(|path| path.first(record.raw));
        if let Some(written) = found.and_then(|found| Captured::of_value(found.text())) {
            self.date_text = Some((date, written));
        }
    }

    /// What the chain makes of a page.
    pub(super) fn step(&mut self, sight: &Sight<'_>) -> ChainStep {
        let step = self.chain.see(sight);
        self.observed.pages = self.chain.pages();
        self.observed.direction = self.chain.course().direction().filter(|_| !self.is_by_arrival);
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

    /// For each of these keys, the records or entries of one page, whether it is new: neither delivered before nor under
    /// way. `delivered` tells how often it was delivered.
    pub(super) fn admit_keys(&mut self, keys: &[RecordKey], delivered: &[u32]) -> Vec<bool> {
        let is_new = self.in_flight.admit(keys.iter().map(|key| key.fingerprint).zip(delivered.iter().copied()));
        let is_back = self.is_by_arrival && !keys.is_empty() && !is_new.contains(&true);
        self.observed.back += u64::from(is_back);
        is_new
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
        self.observed.known += u64::from(!is_new);
        let Some(date) = record.date else {
            report.undated += u64::from(is_new);
            return;
        };
        if !self.is_by_arrival && state.checkpoint.is_some_and(|checkpoint| date <= checkpoint) {
            self.observed.at_edge += 1;
            self.observed.known_at_edge += u64::from(!is_new);
        }
        let is_ahead = is_future(date, now);
        self.observed.future += u64::from(is_new && is_ahead);
        if self.is_by_arrival {
            return;
        }
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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::config::{self, Environment};
    use crate::record::Page;

    const NOW: &str = "2026-05-28T12:00:00Z";

    fn at(text: &str) -> DateTime<Utc> {
        date::parse(text).expect("a date")
    }

    fn plan() -> std::sync::Arc<Plan> {
        let text = "logzio: {url: 'https://listener.example', token: t}\nauth_apis: [{type: general, name: a, \
                    credentials: {id: i, key: k}, settings: {time_interval: 1}, start_date_name: since, \
                    http_request: {url: 'https://api.example'}, json_paths: {data: data, data_date: date, next_url: next}}]";
        let around = Environment { variable: &|_| None, directory: std::path::Path::new(".") };
        let config = config::compile(text, &around).config.expect("a config");
        std::sync::Arc::clone(&config.apis[0])
    }

    /// An intake whose window begins at the state's checkpoint, or some days back.
    fn intake(plan: &Plan, state: &ApiState) -> Intake {
        let window = Window::open(&plan.start, &state.known(TimeDelta::zero(), at(NOW)), at(NOW));
        Intake::new(plan.start.goes_by_arrival(), window, Chain::new(None, TimeDelta::zero(), at(NOW)), 0)
    }

    /// A page with a record for each date; an empty one has none.
    fn page(dates: &[&str]) -> String {
        let record = |(id, date): (usize, &&str)| match date.is_empty() {
            true => format!("{{\"id\":{id}}}"),
            false => format!("{{\"id\":{id},\"date\":\"{date}\"}}"),
        };
        format!("{{\"data\":[{}]}}", dates.iter().enumerate().map(record).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn what_lies_before_the_window_is_left_out_and_counted() {
        let (plan, state) = (plan(), ApiState { checkpoint: Some(at("2026-05-28T10:00:00Z")), ..ApiState::blank() });
        let mut intake = intake(&plan, &state);
        let text = page(&["2026-05-28T09:00:00Z", "2026-05-28T11:00:00Z", ""]);
        let read = Page::read(&text, &plan.paths, &plan.custom_fields).expect("a page");
        let (seen, _) = intake.look(&plan, &state, &read.records, at(NOW));
        assert_eq!(seen.iter().map(|seen| seen.is_below).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(intake.observed.before_start, 1, "the API ignores the start date");
        let mut report = IterationReport::default();
        assert_eq!(intake.in_window(&plan, &read.records, &mut report).len(), 2, "one without a date is shipped");
        assert_eq!(report.older, 1);
        // Where the request names no start, nothing is left out by its date.
        intake.names_start = false;
        assert_eq!(intake.in_window(&plan, &read.records, &mut report).len(), 3);
    }

    #[test]
    fn what_was_delivered_or_is_under_way_is_a_duplicate_and_twins_of_one_page_are_two() {
        let (plan, state) = (plan(), ApiState::blank());
        let mut intake = intake(&plan, &state);
        let text = page(&["2026-05-28T11:00:00Z", "2026-05-28T11:00:01Z"]);
        let read = Page::read(&text, &plan.paths, &plan.custom_fields).expect("a page");
        let twins = [read.records[0], read.records[0], read.records[1]];
        let twins = twins.map(|record| record.identity());
        assert_eq!(intake.admit_keys(&twins, &[0, 0, 1]), [true, true, false]);
        intake.send(read.records[0].fingerprint);
        assert_eq!(intake.admit_keys(&twins, &[0, 0, 0]), [false, true, true]);
        intake.acknowledge(read.records[0].fingerprint);
        assert_eq!(intake.admit_keys(&twins, &[1, 1, 0]), [false, true, true]);
    }

    #[test]
    fn a_late_record_is_measured_by_the_newest_one_delivered_before() {
        let plan = plan();
        let mut state = ApiState { newest: Some(at("2026-05-28T11:30:00Z")), ..ApiState::blank() };
        state.last_complete =
            Some(crate::state::CompleteIteration { start: at("2026-05-28T10:00:00Z"), at: at("2026-05-28T11:31:00Z") });
        let mut intake = intake(&plan, &state);
        let text = page(&["2026-05-28T11:20:00Z", "2026-05-28T09:00:00Z", "2027-01-01T00:00:00Z", ""]);
        let read = Page::read(&text, &plan.paths, &plan.custom_fields).expect("a page");
        let mut report = IterationReport::default();
        for record in &read.records {
            intake.observe(&mut state, record, true, &mut report, at(NOW));
        }
        assert_eq!(state.arrival_delay.measures(), 1, "only what was fetched before, and isn't ahead");
        assert_eq!((intake.observed.new, intake.observed.future, report.undated), (4, 1, 1));
    }
}
