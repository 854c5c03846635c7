//! Answers about entries: records that go on their way, or entries that are asked about next.

use std::pin::pin;

use chrono::{DateTime, Utc};

use super::ask::{Ask, Inquiries};
use super::{Pipeline, beside_the_runtime};
use crate::fetch::{Answer, RequestTurn, error_words};
use crate::iteration::report::IterationError;
use crate::iteration::steps::record_key;
use crate::paging::PageFacts;
use crate::plan::{Plan, StepPlan};
use crate::record::json::RawJson;
use crate::record::path::what_is_there;
use crate::record::{KEYS_HIDDEN, Page, PageError, Record, RecordKey};
use crate::template::{ListEntry, Position, RequestError, Scope};
use crate::window::{ChainStep, SeenRecord, Sight};

impl Pipeline<'_> {
    /// Reads an answer about an entry: records of the last step go on their way, entries of another are asked about next.
    /// Gives the requests that follow; the inner error is the entry's.
    pub(super) async fn process_answer(
        &mut self,
        (mut ask, mut answer): (Ask, Answer),
        step: &StepPlan,
        now: DateTime<Utc>,
        inquiries: &mut Inquiries<'_>,
    ) -> Result<Result<Vec<Ask>, IterationError>, IterationError> {
        self.report.pages += 1;
        self.counters.add_page();
        let mut permit = answer.permit.take();
        let bytes = answer.text_bytes();
        let page = ask.chain.pages() + 1;
        let read = match read_answer(&answer, &step.plan, page) {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(permit) = &mut permit {
            permit.count_page(bytes, read.records.len());
        }
        let is_last_step = ask.step + 1 == self.plan.steps.len();
        let seen = match is_last_step && self.plan.has_partitions() {
            true => match self.look_at_partition((&read.records, now), step, &answer, page).await {
                Ok(seen) => seen,
                Err(error) => return Ok(Err(error)),
            },
            false => seen_in_entry(&read.records),
        };
        let next = match self.next_of(&mut ask, &answer, step, &read, &seen, page) {
            Ok(next) => next,
            Err(error) => return Ok(Err(error)),
        };
        let mut more = Vec::new();
        if !is_last_step {
            let paths =
                self.plan.steps.get(ask.step + 1).map(|step| step.plan.request.parent_paths()).unwrap_or_default();
            let root = answer.text().and_then(|text| RawJson::parse(text).ok());
            for record in &read.records {
                let entry = ListEntry::of(record.raw, root.unwrap_or(record.raw), &paths);
                more.push(ask.below(entry, now));
            }
            let starts_job = self.plan.steps.get(ask.step + 1).is_some_and(|step| step.poll.is_some());
            if starts_job && page == 1 && next.is_none() {
                self.keep_job(Some(ask.key), &more, &answer, now).await;
            }
        } else {
            self.admit_of_entry(&ask, (&read.records, now), inquiries).await?;
        }
        drop(read);
        drop(answer);
        self.drop_page(permit);
        match next {
            Some((position, turn)) => {
                self.entries.answer(ask.number, more.len() + 1);
                more.push(Ask { position, turn, is_refused_once: false, ..ask });
            }
            None => self.answered(&ask, more.len()).await,
        }
        Ok(Ok(more))
    }

    /// Notes that all pages of an answer came, and led to so many more requests. With the last one of an entry that is
    /// done: once its records are delivered it is remembered.
    pub(super) async fn answered(&mut self, ask: &Ask, more: usize) {
        if self.plan.has_partitions() {
            self.intake.chain.absorb(&ask.chain.course());
        }
        let Some(key) = self.entries.answer(ask.number, more) else { return };
        if self.plan.has_partitions() {
            return;
        }
        if let Some(keys) = self.lane.places.finish_entry(key) {
            // Losing it costs requests, so nobody waits for the disk.
            drop(self.remember(keys).await);
        }
    }

    /// Learns from the dates of a partition's page, as from one of an API without steps.
    async fn look_at_partition(
        &mut self,
        (records, now): (&[Record<'_>], DateTime<Utc>),
        step: &StepPlan,
        answer: &Answer,
        page: u64,
    ) -> Result<Vec<SeenRecord>, IterationError> {
        let seen = self.look(records, now).await;
        let (Some(path), Some(first)) = (&step.plan.paths.date, records.first()) else { return Ok(seen) };
        match seen.iter().all(|seen| seen.date.is_none()) {
            true if page == 1 => Err(IterationError::Undated {
                page,
                path: path.text().to_owned(),
                there: match answer.text().is_some_and(|text| answer.secrets.finds_in(text)) {
                    true => KEYS_HIDDEN.to_owned(),
                    false => what_is_there(first.raw),
                },
            }),
            _ => Ok(seen),
        }
    }

    /// Where the pages of an answer go on, if they do.
    fn next_of(
        &self,
        ask: &mut Ask,
        answer: &Answer,
        step: &StepPlan,
        read: &Page<'_>,
        seen: &[SeenRecord],
        page: u64,
    ) -> Result<Option<(Position, RequestTurn)>, IterationError> {
        let plan = &step.plan;
        let text = answer.text_as_sent().filter(|_| plan.paging.needs_root());
        let facts = PageFacts {
            headers: &answer.headers,
            root: text.and_then(|text| RawJson::parse(text).ok()),
            next_url: read.next_url.as_deref(),
            base: &answer.base,
            records: read.records.len() as u64,
        };
        let next = plan.paging.next(&plan.request, &ask.position, &facts);
        let next = next.map_err(|cause| IterationError::of_paging(page, cause, plan.paths.next_url.as_ref()))?;
        let window = self.window_values();
        let request = |position: &Position| {
            let scope = Scope { position, ..window.scope(ask) };
            let built = plan.request.build(&scope).map(|request| request.fingerprint());
            built.map_err(|cause: RequestError| IterationError::Fetch { page, cause: cause.into() })
        };
        let (request, following) = (request(&ask.position)?, next.as_ref().map(request).transpose()?);
        let is_counted = plan.paging.is_counted();
        let moment = answer.moment;
        let (has_stop_rule, pages_max) = (false, None);
        let sight = Sight { request, moment, records: seen, next: following, is_counted, has_stop_rule, pages_max };
        match (ask.chain.see(&sight), next) {
            (ChainStep::Circle, _) => Err(IterationError::Circle { page }),
            (ChainStep::Pause, _) => Err(IterationError::Pause { page }),
            (ChainStep::Outgrown, _) => Err(IterationError::Outgrown { page }),
            (ChainStep::On { is_repeated }, Some(next)) => {
                let turn = match (is_repeated, is_counted) {
                    (true, _) => RequestTurn::Repeated,
                    (false, true) => RequestTurn::Counted,
                    (false, false) => RequestTurn::Next,
                };
                Ok(Some((next, turn)))
            }
            _ => Ok(None),
        }
    }

    /// Puts an entry's records into batches, while other requests go on.
    async fn admit_of_entry(
        &mut self,
        ask: &Ask,
        (records, now): (&[Record<'_>], DateTime<Utc>),
        inquiries: &mut Inquiries<'_>,
    ) -> Result<(), IterationError> {
        let is_dated = !self.plan.has_partitions();
        let is_of_job = self.plan.steps.first().is_some_and(|step| step.poll.is_some());
        let has_id = self.plan.steps.last().is_some_and(|step| step.plan.paths.id.is_some());
        let of = self.entries.key(ask.number).filter(|_| is_dated || !(has_id || is_of_job));
        let records = match is_dated {
            true => records.to_vec(),
            false => self.intake.in_window(self.plan, records, &mut self.report),
        };
        let keys: Vec<RecordKey> = records.iter().map(|record| record_key(record, of, is_dated)).collect();
        let observed_at = (!is_dated).then_some(now);
        let mut admitted = pin!(self.admit_as(&records, keys, observed_at));
        let mut others = pin!(inquiries.go_on());
        loop {
            tokio::select! {
                biased;
                () = &mut others => {}
                admitted = &mut admitted => return admitted,
            }
        }
    }
}

/// A page of an answer; an error where it says that it failed, or lacks its list.
fn read_answer<'p>(answer: &'p Answer, plan: &Plan, page: u64) -> Result<Page<'p>, IterationError> {
    let parse = |text: &'p str| beside_the_runtime(text.len(), || Page::read(text, &plan.paths, &plan.custom_fields));
    let read = answer.text().map_or_else(|| Ok(Page::empty()), parse);
    let may_show = || !answer.text().is_some_and(|text| answer.secrets.finds_in(text));
    let unreadable = |cause: PageError| IterationError::Page { page, cause: cause.shown(may_show) };
    let read = read.map_err(unreadable)?;
    if let Some(told) = read.error.filter(|_| read.records.is_empty()) {
        return Err(IterationError::ToldError { page, error_body: error_words(told.text(), &answer.secrets) });
    }
    match read.absent {
        Some(absent) if !plan.paths.is_data_optional => Err(unreadable(absent.missing.into())),
        _ => Ok(Page { absent: None, ..read }),
    }
}

/// The records of an entry, whose dates say nothing of the window.
fn seen_in_entry(records: &[Record<'_>]) -> Vec<SeenRecord> {
    let seen = |record: &Record<'_>| SeenRecord { fingerprint: record.fingerprint, date: None, is_below: false };
    records.iter().map(seen).collect()
}
