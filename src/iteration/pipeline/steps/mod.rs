//! A request for each entry of a list (`steps`): the pages of the list, and what is asked about their entries, several at a
//! time.
//!
//! A page of the list is read, its new entries are asked about, and only then the next page is. What their answers hold
//! goes the way of all records; an entry is remembered as done together with the last of its records.

mod answer;
mod ask;

use chrono::{DateTime, Utc};

use super::super::delivery::cant_remember;
use super::super::outcome;
use super::super::report::IterationError;
use super::super::steps::{EntryFailure, Settled, entry_key, shown};
use super::{BEHIND_MAX, Pipeline, Position, beside_the_runtime};
use crate::fetch::{Answer, FetchError, Fetcher};
use crate::record::json::{JsonType, RawJson};
use crate::record::{Fingerprint, Record, RecordKey, date};
use crate::state::StartedJob;
use crate::template::ListEntry;
use crate::window::ChainStep;
use ask::{Ask, Inquiries, WindowValues};

impl Pipeline<'_> {
    /// Goes on with the job that an iteration before started, if there is one. Gives whether there was.
    pub(super) async fn go_on_with_job(&mut self, fetcher: &Fetcher<'_>) -> Result<bool, IterationError> {
        let requests = self.plan.requests_fingerprint();
        let Some(job) = self.account.steps.job(None, requests, self.now).cloned() else { return Ok(false) };
        tracing::debug!(api = self.plan.name, "going on with the job that was started before");
        self.intake.window = job.window;
        let chain = outcome::chain(&self.plan.start, self.account, self.now);
        self.intake.chain = chain.resumed(job.course, false);
        let asks = job.entries.into_iter().map(|entry| self.first_ask(None, entry, job.begun)).collect();
        self.ask_about(asks, fetcher).await?;
        Ok(true)
    }

    /// Reads a page of the list and asks about its entries, then for the next page. Gives what came of that.
    pub(super) async fn process_list(
        &mut self,
        mut answer: Answer,
        asked: &Position,
        fetcher: &Fetcher<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<(Position, Result<Answer, FetchError>)>, IterationError> {
        let permit = self.begin_page(&mut answer, now);
        let read = self.read(&answer)?;
        let next = self.next(&read, asked, &answer);
        let seen = self.look(&read.records, now).await;
        let step = self.step(&seen, asked, next.as_ref().ok().and_then(Option::as_ref), answer.moment)?;
        let following = next.as_ref().ok().and_then(Option::as_ref);
        let place = following.and_then(|next| self.place(asked, next, &seen, &answer, now));
        if following.is_none() {
            self.note_last(&answer, read.records.len());
        }
        let asks = self.due(&read.records, &answer, following.is_none(), now).await?;
        drop(read);
        drop(answer);
        self.drop_page(permit);
        self.ask_about(asks, fetcher).await?;
        // What the entries of a page held goes by itself, so that they are remembered soon.
        let of_page = self.lane.batcher.finish();
        self.enqueue(of_page);
        let place = place.filter(|_| !self.entries.has_undone());
        let (Ok(Some(next)), ChainStep::On { is_repeated }) = (&next, step) else {
            self.wait_at(place.filter(|_| step == ChainStep::Pause)).await;
            return self.ended(step, next);
        };
        self.wait_at(place).await;
        let turn = self.turn(is_repeated);
        if self.intake.chain.is_end_in_doubt() {
            return self.fetch_alone(next, turn, fetcher).await;
        }
        let scope = self.scope(next);
        let fetched = self.ship_alongside(Box::pin(fetcher.page(scope, turn)), fetcher).await?;
        Ok(Some((next.clone(), fetched)))
    }

    /// At the end of the list: those that are set aside, and whether the iteration failed.
    pub(super) async fn settle_entries(&mut self) -> Result<(), IterationError> {
        if self.plan.steps.is_empty() {
            return Ok(());
        }
        let Settled { aside, held, error } = self.entries.settle(&mut self.account.steps);
        let is_told = aside.is_empty() || self.told.is_new("entries set aside");
        for (_, entry) in aside.iter().filter(|_| is_told) {
            tracing::warn!(
                api = self.plan.name,
                entry,
                "an entry of the list is refused in three iterations in which others are answered; it is set aside, and \
                 what it holds is missing"
            );
        }
        if !aside.is_empty() && !self.plan.has_partitions() {
            let keys = aside.iter().map(|(key, _)| *key).collect();
            self.remember(keys).await.end().await.map_err(cant_remember)?;
        }
        let held = held.filter(|_| error.is_none() && self.told.is_new("entries held"));
        if let Some((entries, cause)) = held {
            tracing::warn!(
                api = self.plan.name,
                entries,
                cause,
                "entries of the list are refused; they are asked about again, and the checkpoint moves no further than them"
            );
        }
        if self.entries.undone().is_none() {
            self.account.steps.forget_jobs();
        }
        error.map_or(Ok(()), Err)
    }

    /// The entries of a page that are to be asked about: those that aren't done, of partitions all.
    async fn due(
        &mut self,
        records: &[Record<'_>],
        answer: &Answer,
        is_last: bool,
        now: DateTime<Utc>,
    ) -> Result<Vec<Ask>, IterationError> {
        let is_dated = !self.plan.has_partitions();
        let in_window = self.intake.in_window(self.plan, records, &mut self.report);
        let keys: Vec<RecordKey> = in_window.iter().map(entry_key).collect();
        let done = match is_dated {
            true => self.claim.counts(self.account.ledger, keys.clone()).await.map_err(IterationError::of_memory)?,
            false => vec![0; keys.len()],
        };
        let is_new = self.intake.admit_keys(&keys, &done);
        let root = answer.text().and_then(|text| RawJson::parse(text).ok());
        let paths = self.plan.steps.first().map(|step| step.plan.request.parent_paths()).unwrap_or_default();
        let (mut asks, mut again) = (Vec::new(), Vec::new());
        for ((record, key), is_new) in in_window.iter().zip(keys).zip(is_new) {
            if is_dated {
                self.intake.observe(self.account, record, is_new, &mut self.report, now);
            }
            if !is_new {
                again.extend(key.date.is_none().then_some(key));
                continue;
            }
            self.intake.send(key.fingerprint);
            let entry = ListEntry::of(record.raw, root.unwrap_or(record.raw), &paths);
            let name = self.entry_name(record, answer);
            asks.push(self.first_ask(Some((key, name)), entry, now));
        }
        if is_dated && !again.is_empty() {
            self.claim.see_again(self.account.ledger, self.account.iteration, again).await;
        }
        // What the first request started must not be started again.
        if !is_dated && is_last && self.plan.steps.first().is_some_and(|step| step.poll.is_some()) {
            self.keep_job(None, &asks, answer, now).await;
        }
        Ok(asks)
    }

    /// The first request about an entry of the list.
    fn first_ask(&mut self, of: Option<(RecordKey, String)>, entry: ListEntry, begun: DateTime<Utc>) -> Ask {
        let (key, name) = of.unwrap_or_else(|| {
            let parts: Vec<&[u8]> = std::iter::once(&b"job"[..]).chain(entry.texts().map(str::as_bytes)).collect();
            (RecordKey { fingerprint: Fingerprint::of(&parts), date: None }, "the job".to_owned())
        });
        Ask::first(self.entries.begin(key, name), key.fingerprint, entry, begun)
    }

    fn window_values(&self) -> WindowValues {
        WindowValues { start: self.intake.window.start, end: self.intake.window.end, now: self.now }
    }

    /// What an entry is called in messages: its id where it has one, unless the answer holds a secret.
    fn entry_name(&self, record: &Record<'_>, answer: &Answer) -> String {
        let id = self.plan.paths.id.as_ref().and_then(|id| id.first.first(record.raw));
        let text = id.map_or_else(|| record.raw.text().to_owned(), |id| id.scalar().unwrap_or_default().into_owned());
        match (id.is_some() || record.raw.kind() != JsonType::Object) && !answer.secrets.finds_in(&text) {
            true => format!("`{}`", shown(&self.plan.redactor.redact(&text))),
            false => {
                record.date.map_or_else(|| "without an id".to_owned(), |date| format!("of {}", date::format(date)))
            }
        }
    }

    /// Keeps what a request started, so that a restart goes on with it. What holds a secret is not kept.
    async fn keep_job(&mut self, of: Option<Fingerprint>, asks: &[Ask], answer: &Answer, now: DateTime<Utc>) {
        let entries: Vec<ListEntry> = asks.iter().map(|ask| ask.entry.clone()).collect();
        if entries.is_empty() || entries.iter().flat_map(ListEntry::texts).any(|text| answer.secrets.finds_in(text)) {
            return;
        }
        let (requests, course) = (self.plan.requests_fingerprint(), self.intake.chain.course());
        let job = StartedJob::new(requests, now, self.intake.window, course, entries);
        if self.account.steps.keep_job(of, job) {
            self.claim.save(self.account.clone()).await;
        }
    }

    /// Makes requests about entries, several at a time, until all are answered.
    async fn ask_about(&mut self, asks: Vec<Ask>, fetcher: &Fetcher<'_>) -> Result<(), IterationError> {
        let plan = self.plan;
        let fetchers: Vec<Fetcher<'_>> = plan.steps.iter().map(|step| fetcher.for_step(&step.plan)).collect();
        let window = self.window_values();
        let mut inquiries = Inquiries::new();
        // The first of what is left is at the end.
        let mut left = asks;
        left.reverse();
        loop {
            // Who waits for memory may wait for what the others hold.
            let most = if fetcher.memory.is_short() { 1 } else { plan.parallel };
            while inquiries.len() < most
                && let Some(ask) = left.pop()
            {
                if !self.entries.is_open(ask.number) {
                    continue;
                }
                if let Some(more) = self.known_job(&ask) {
                    self.entries.answer(ask.number, more.len());
                    left.extend(more);
                    continue;
                }
                if let (Some(fetcher), Some(step)) = (fetchers.get(ask.step), plan.steps.get(ask.step)) {
                    inquiries.begin(fetcher, step, ask, window);
                }
            }
            let Some((ask, fetched)) = self.ship_alongside(inquiries.next(), fetcher).await? else {
                return self.ship_until(BEHIND_MAX).await;
            };
            let Some(step) = plan.steps.get(ask.step) else { continue };
            let (is_first, now) = (ask.position.is_first(), fetcher.transport.clock().now());
            let (number, at) = (ask.number, ask.step);
            let jobs = ask.above.clone();
            let made = match fetched {
                Ok(answer) => self.process_answer((ask, answer), step, now, &mut inquiries).await?,
                Err(IterationError::Fetch { cause, .. }) if ask.is_behind_the_last(step, &cause) => {
                    match ask.is_refused_once {
                        false => Ok(vec![Ask { is_refused_once: true, ..ask }]),
                        true => {
                            self.answered(&ask, 0).await;
                            Ok(Vec::new())
                        }
                    }
                }
                Err(error) => Err(error),
            };
            match made {
                Ok(more) => left.extend(more.into_iter().rev()),
                Err(error) => {
                    let failure = EntryFailure::of(error, is_first);
                    if failure.ends_job() {
                        // Another one is started.
                        self.account.steps.forget_job(None);
                        jobs.into_iter().for_each(|key| self.account.steps.forget_job(Some(key)));
                    }
                    self.entries.fail(number, at + 1, failure)?;
                }
            }
        }
    }

    /// What the answer to a request led to that an iteration before made; nothing where it is to be made.
    fn known_job(&self, ask: &Ask) -> Option<Vec<Ask>> {
        self.plan.steps.get(ask.step + 1)?.poll.as_ref()?;
        let requests = self.plan.requests_fingerprint();
        let job = self.account.steps.job(Some(ask.key), requests, self.now).filter(|_| ask.position.is_first())?;
        let below = |entry: &ListEntry| ask.below(entry.clone(), job.begun);
        Some(job.entries.iter().map(below).collect())
    }
}
