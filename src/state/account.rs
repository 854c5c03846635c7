//! What is known of one API between its iterations, as it stands in the store.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::steps::StepsState;
use crate::paging::{Carried, ValueKind};
use crate::template::{Captured, CapturedValues};
use crate::window::{
    ArrivalDelay, Coverage, Direction, Halving, InitialWindow, Known, Lookback, Progress, Readings, RetentionLimit,
    Stall,
};

/// How many iterations are shown by `state show`.
const PAST_MAX: usize = 10;
/// How much of an error is kept.
const ERROR_CHARS_MAX: usize = 300;
/// What is not right is told again when it hasn't been seen for so long.
const TOLD_FOR: TimeDelta = TimeDelta::days(1);

/// Tells the ledgers of delivered records apart: each API has one, and a rewind takes a new one. Random.
pub type LedgerId = u64;

/// An API's account. Losing it costs duplicates and figures, never records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiState {
    /// The ledger in which its delivered records are remembered. A rewind takes a new one, and so forgets.
    #[serde(rename = "number")]
    pub ledger: LedgerId,
    /// The checkpoint in the text file, as far as the store knows.
    pub checkpoint: Option<DateTime<Utc>>,
    /// The checkpoint that was about to be written into the text file when this was saved.
    #[serde(rename = "about_to_be")]
    pub prepared_checkpoint: Option<DateTime<Utc>>,
    /// Everything delivered since is remembered.
    pub remembered_since: Option<DateTime<Utc>>,
    /// Of the first window, until an iteration succeeds.
    pub beginning: Option<InitialWindow>,
    /// How far back the API answers, if it has ever refused.
    pub reach: Option<RetentionLimit>,
    /// How far its records lay behind the newest one delivered before them.
    #[serde(rename = "behind_newest")]
    pub arrival_delay: ArrivalDelay,
    /// Which time was fetched.
    #[serde(rename = "swept")]
    pub coverage: Coverage,
    /// When the last complete iteration began, and where its window did: what surfaces inside was late.
    #[serde(rename = "last_sweep")]
    pub last_complete: Option<CompleteIteration>,
    /// The last complete iteration that looked back as far as a measured overlap can.
    pub wide_look: Option<CompleteIteration>,
    /// Which way dates went in the last iteration that could tell.
    pub direction: Option<Direction>,
    /// What is not right about it.
    #[serde(rename = "oddities")]
    pub anomalies: BTreeMap<Anomaly, AnomalySpan>,
    /// For how many iterations in a row no record of the edge was known again.
    #[serde(rename = "strange_edges")]
    pub unstable_edges: u32,
    /// The last iterations, the latest at the end.
    pub past: VecDeque<IterationSummary>,
    /// Where the last iteration was cut.
    #[serde(rename = "place")]
    pub progress: Option<Progress>,
    /// What the next iteration goes on with, where the API gives such a thing (`json_paths.cursor`, `next_iteration`).
    #[serde(rename = "cursor")]
    pub captured: CapturedValues,
    /// When that came, or was written into the text file.
    #[serde(rename = "cursor_since")]
    pub captured_since: Option<DateTime<Utc>>,
    /// What the text file said of it when this was saved; it is about to say the above.
    #[serde(rename = "written_cursor")]
    pub written_values: CapturedValues,
    /// The newest date as the record wrote it, where requests write theirs in that form.
    pub date_text: Option<Captured>,
    /// What the values are that say which record is the newest, where the next iteration goes on with them.
    pub value_kind: Option<ValueKind>,
    /// What the iteration under way has found to go on with.
    pub carried: Carried,
    /// The iteration in which the window under way began.
    pub window_begun: Option<u32>,
    /// The iteration since which records without a date stay remembered: in which the last window began that held any.
    pub undated_since: u32,
    /// The last readings of a list that is read again and again.
    pub readings: Readings,
    /// What is known of the entries that steps ask about.
    pub steps: StepsState,
    /// Where the next slice of the window begins, where others of it are complete.
    pub slice_from: Option<DateTime<Utc>>,
    /// How long a window may be, where iterations came no further in longer ones.
    pub halving: Option<Halving>,
    /// How far iterations came that were cut.
    pub stall: Stall,
    /// Before this moment the API doesn't want to be asked.
    pub not_before: Option<DateTime<Utc>>,
    /// The newest date delivered by a complete iteration, wherever the checkpoint stands.
    pub newest: Option<DateTime<Utc>>,
    /// When the first iteration began.
    pub first_iteration: Option<DateTime<Utc>>,
    /// When a whole chain of pages came newest first and went on below the window.
    pub sorted: Option<DateTime<Utc>>,
    /// Whether the place of the records was ever there.
    pub has_found_list: bool,
    /// Whether a next link was ever there.
    pub has_found_next: bool,
    /// For how many iterations in a row the list was left out.
    pub lists_left_out: u32,
    /// For how many iterations in a row errors came beside records.
    pub told_errors: u32,
    /// The most records that a page had.
    pub page_records_max: u64,
    /// For how many iterations in a row a full page had nothing new, and no way on.
    pub standing_still: u32,
    /// What looking back costs.
    pub lookback: Lookback,
    /// Counts iterations: records without a date are forgotten when they no longer come. Where the API filters by arrival, the
    /// second by which what is delivered now had arrived.
    pub iteration: u32,
    /// Whether the API filters by arrival, so that delivered records are forgotten by when they had arrived.
    pub is_by_arrival: bool,
    /// In which form of its entry it ran last.
    pub form: Option<u64>,
}

/// A complete iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompleteIteration {
    /// Its start date.
    pub start: DateTime<Utc>,
    /// When it began.
    pub at: DateTime<Utc>,
}

/// One iteration, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IterationSummary {
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took.
    pub seconds: f64,
    /// Records delivered.
    pub records: u64,
    /// Pages read.
    pub pages: u64,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// What is not right about an API, and can be put right by whoever owns the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anomaly {
    /// No record of the edge is known when it is read again.
    RecordsChange,
    /// Records have a date in the future.
    FutureDates,
    /// The API no longer has what lies at the checkpoint.
    StartTooOld,
    /// Records before the start date come all the same.
    StartIgnored,
    /// Pages came newest first, and no longer do.
    OrderChanged,
    /// An answer shows that another page follows, and nothing follows it.
    MoreUnread,
    /// A full page has nothing but known records, again and again, and no way on.
    StandsStill,
    /// Answers lack the list of records, again and again.
    ListLeftOut,
    /// Answers tell of errors beside their records.
    ErrorsBeside,
    /// An answer got lost that the API won't give again.
    AnswerLost,
    /// A list that is read again and again held nothing of what it held before.
    ListMovedOn,
    /// Answers lack what the next iteration is to go on with.
    PositionMissing,
    /// The API refused what the iteration was to go on with.
    PositionRefused,
    /// The largest number of an answer stands in its middle, so it may be no position.
    NumbersMixed,
}

/// When an anomaly was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnomalySpan {
    /// At first.
    pub first: DateTime<Utc>,
    /// At last.
    pub last: DateTime<Utc>,
}

impl ApiState {
    /// Of an API that nothing is known of. Its number is random: whatever the store holds, it isn't this API's.
    #[must_use]
    pub fn blank() -> Self {
        Self { ledger: fastrand::u64(..), ..Self::default() }
    }

    /// What the window needs to know.
    #[must_use]
    pub fn known(&self, overlap: TimeDelta, now: DateTime<Utc>) -> Known {
        Known {
            checkpoint: self.checkpoint,
            overlap,
            remembered_since: self.remembered_since,
            beginning: self.beginning,
            reach: self.reach.and_then(|reach| reach.span(now)),
            slice_from: self.slice_from,
            longest: self.halving.map(Halving::longest),
            clock_behind: TimeDelta::zero(),
        }
    }

    /// Begins anew at a date, or without one, and without a cursor; what was delivered is forgotten, by taking a new number.
    #[must_use]
    pub fn restarted(&self, checkpoint: Option<DateTime<Utc>>) -> Self {
        Self {
            checkpoint,
            // Exactly there, and no overlap before it.
            remembered_since: checkpoint,
            arrival_delay: self.arrival_delay.clone(),
            coverage: self.coverage.clone(),
            anomalies: self.anomalies.clone(),
            first_iteration: self.first_iteration,
            sorted: self.sorted,
            date_text: self.date_text.clone(),
            value_kind: self.value_kind,
            has_found_list: self.has_found_list,
            has_found_next: self.has_found_next,
            page_records_max: self.page_records_max,
            not_before: self.not_before,
            direction: self.direction,
            past: self.past.clone(),
            ..Self::blank()
        }
    }

    /// The same checkpoint and cursor for another output, and nothing else of what is known.
    #[must_use]
    pub fn for_another_output(&self) -> Self {
        Self {
            checkpoint: self.checkpoint,
            captured: self.captured.clone(),
            captured_since: self.captured_since,
            written_values: self.written_values.clone(),
            ..Self::blank()
        }
    }

    /// What an API needs that comes back, without what is only shown. Kept for every API that ever ended.
    #[must_use]
    pub fn at_rest(self) -> Self {
        Self { past: VecDeque::new(), anomalies: BTreeMap::new(), ..self }
    }

    /// Notes an anomaly. Gives whether it is to be told: it wasn't seen lately.
    pub fn record_anomaly(&mut self, anomaly: Anomaly, now: DateTime<Utc>) -> bool {
        let noticed = self.anomalies.entry(anomaly);
        let is_new = match &noticed {
            std::collections::btree_map::Entry::Vacant(_) => true,
            std::collections::btree_map::Entry::Occupied(noticed) => {
                now.signed_duration_since(noticed.get().last) > TOLD_FOR
            }
        };
        noticed.or_insert(AnomalySpan { first: now, last: now }).last = now;
        is_new
    }

    /// Notes an iteration.
    pub fn remember(&mut self, mut past: IterationSummary) {
        past.error = past.error.map(|error| error.chars().take(ERROR_CHARS_MAX).collect());
        self.past.push_back(past);
        while self.past.len() > PAST_MAX {
            self.past.pop_front();
        }
    }
}

impl Anomaly {
    /// Whether records may be missing: then nobody says that the API is complete.
    #[must_use]
    pub fn hides_records(self) -> bool {
        matches!(self, Self::MoreUnread | Self::StandsStill | Self::ListLeftOut | Self::ErrorsBeside)
    }

    /// What was seen, and what to set.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::RecordsChange => {
                "records that were delivered look different when they are read again, and are shipped again; say in \
                 json_paths.id where a record holds its id; until then `overlap: auto` looks back no further than a second"
            }
            Self::FutureDates => {
                "records have a date in the future; they are shipped and move no checkpoint; check json_paths.data_date, \
                 and the clocks"
            }
            Self::StartTooOld => {
                "the API no longer has what lies at the start date; what can't be fetched any more is listed by \
                 `logzio-api-fetcher state`; run the fetcher more often than the API forgets, or lower days_back_fetch"
            }
            Self::StartIgnored => {
                "the API sends records from before the start date; they are left out; check start_date_name, and how a \
                 start date in filters is written; an API that filters by a clock of its own, such as arrival, needs \
                 checkpoint: window, or records are missing"
            }
            Self::MoreUnread => {
                "the answer shows that more follows, but only the first page is read, and records may be missing; set \
                 json_paths.next_url to the link to the next page; `logzio-api-fetcher probe` names what it sees"
            }
            Self::StandsStill => {
                "a full page holds nothing but records that were delivered, again and again, and no link to more: newer \
                 records may be missing; ask for larger pages in filters, or set json_paths.next_url"
            }
            Self::ListLeftOut => {
                "the answers lack the list of records; if the API leaves it out where there is nothing, put a `?` behind \
                 json_paths.data"
            }
            Self::ErrorsBeside => {
                "the answers tell of errors beside their records, so some may be missing; if that is no error, set \
                 json_paths.error: null"
            }
            Self::AnswerLost => {
                "an answer got lost on its way, and the API, which keeps the position itself, won't give it again: what it \
                 held may be missing"
            }
            Self::ListMovedOn => {
                "a reading of the list held nothing of what the one before held, so records between them may be missing; set \
                 a shorter time_interval, or ask for a longer list; where records change, set json_paths.id"
            }
            Self::PositionMissing => {
                "answers with records lack a value that next_iteration names, so the next iteration begins where this one \
                 did; check the paths there"
            }
            Self::PositionRefused => {
                "the API refused twice what the iteration was to go on with, so it began at http_request again; what that no \
                 longer reaches may be missing"
            }
            Self::NumbersMixed => {
                "next_iteration goes on with the largest number, which stands neither first nor last in the answers; if the \
                 API means a place in its answer, set next_iteration.take: position"
            }
            Self::OrderChanged => {
                "pages came newest first and no longer do, so every page is read each time; ask for that order in filters"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::date;

    fn at(text: &str) -> Option<DateTime<Utc>> {
        (!text.is_empty()).then(|| date::parse(text).expect("a date"))
    }

    #[test]
    fn tells_what_is_odd_once_and_again_after_a_pause() {
        let mut account = ApiState::default();
        let now = at("2024-05-01").expect("a date");
        assert!(account.record_anomaly(Anomaly::FutureDates, now));
        assert!(!account.record_anomaly(Anomaly::FutureDates, now + TimeDelta::hours(23)));
        assert!(!account.record_anomaly(Anomaly::FutureDates, now + TimeDelta::hours(40)));
        assert!(account.record_anomaly(Anomaly::StartIgnored, now));
        assert!(account.record_anomaly(Anomaly::FutureDates, now + TimeDelta::hours(80)));
        assert_eq!(account.anomalies.len(), 2);
    }

    #[test]
    fn forgets_by_taking_a_new_number() {
        let mut account = ApiState {
            ledger: 1,
            checkpoint: at("2024-05-02"),
            remembered_since: at("2024-05-01"),
            ..ApiState::default()
        };
        (0..20).for_each(|number| {
            account.remember(IterationSummary {
                at: DateTime::default(),
                seconds: 0.5,
                records: number,
                pages: 1,
                error: None,
            });
        });
        let anew = account.restarted(at("2024-01-01"));
        assert_ne!(anew.ledger, account.ledger);
        assert_eq!((anew.checkpoint, anew.remembered_since), (at("2024-01-01"), at("2024-01-01")));
        assert_eq!(anew.past.iter().map(|past| past.records).collect::<Vec<_>>(), (10..20).collect::<Vec<_>>());
        let text = serde_json::to_string(&anew).expect("JSON");
        assert_eq!(serde_json::from_str::<ApiState>(&text).expect("it reads"), anew);
    }
}
