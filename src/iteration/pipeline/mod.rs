//! One iteration under way: its pages, its batches, what it remembers.

mod end;
mod first;
mod position;
mod resume;
mod server;
mod shipping;
mod steps;
mod waiting;

use std::path::PathBuf;
use std::pin::pin;

use chrono::{DateTime, Utc};
use futures_util::future::maybe_done;

use super::delivery::{BatchSender, cant_remember};
use super::intake::Intake;
use super::outcome;
use super::report::{IterationError, IterationReport};
use super::steps::EntryLedger;
use super::told::ToldOnce;
use crate::counters::Counters;
use crate::fetch::{Answer, FetchError, Fetcher, RequestTurn, error_words};
use crate::memory::Permit;
use crate::paging::{CURSOR_BYTES_MAX, PageFacts, in_header};
use crate::plan::{CheckpointKind, Plan};
use crate::record::answer::{More, more};
use crate::record::json::{JsonType, RawJson};
use crate::record::path::what_is_there;
use crate::record::{KEYS_HIDDEN, Page, PageError, Record, RecordKey};
use crate::runtime::beside_the_runtime;
use crate::ship::{BATCH_BYTES_MAX, Batch, Batcher, TooLong, WaitingQueue};
use crate::state::{ApiState, Claim};
use crate::template::{Position, ProofScope, Scope};
use crate::window::{ChainStep, Moment, SeenRecord, Sight};
use resume::Places;
pub(super) use resume::Resumed;

/// How many batches may be on their way while a page is split and the next one fetched: one that is sent, and one that is
/// compressed. Where a page alone fills a batch, those of earlier pages are delivered before the next is asked for.
const BEHIND_MAX: usize = 2;
/// How many batches of one page may be on their way before more of it are made: the page itself is in memory, too.
const OF_PAGE_MAX: usize = 3;
/// A page below this size is shipped by itself while the next is fetched, so that its place is saved soon; larger ones fill
/// batches together.
const SMALL_PAGE_BYTES: usize = 128 * 1024;

/// One iteration under way: it fetches, and ships what the intake admits.
pub(super) struct Pipeline<'a> {
    plan: &'a Plan,
    claim: &'a Claim,
    counters: &'a Counters,
    told: &'a ToldOnce,
    account: &'a mut ApiState,
    now: DateTime<Utc>,
    pub(super) intake: Intake,
    /// The entries that steps ask about.
    pub(super) entries: EntryLedger,
    pub(super) lane: Lane,
    /// How it went on where the last iteration was cut, if it did.
    pub(super) resumed: Option<Resumed>,
    pub(super) report: IterationReport,
}

/// The way to the output.
pub(super) struct Lane {
    delivery: BatchSender,
    batcher: Batcher,
    places: Places,
    /// Whether a batch could not be delivered, or what was refused of it not be kept.
    pub(super) has_failed: bool,
    /// What the listener refused and could not be kept in a file yet.
    pub(super) refused: Option<RefusedBatch>,
    /// Whether the output is to be asked before anything is fetched for it.
    is_in_doubt: bool,
}

/// A batch that is delivered but for some lines, the listener doesn't say which. Until it is kept in a file it isn't
/// remembered, and nothing else is fetched: a crash may double its lines, and loses none.
#[derive(Debug)]
pub(super) struct RefusedBatch {
    piece: Batch,
    reason: String,
    /// Where it waited on the disk, what is left of its batch.
    rest: Option<WaitingRest>,
}

/// What is left of a batch that waits on the disk, once the rest of it is with the output, or in a file.
#[derive(Debug)]
struct WaitingRest {
    queue: WaitingQueue,
    place: PathBuf,
    lines: Vec<u8>,
}

impl Lane {
    /// With nothing on its way, but what was refused before.
    pub(super) fn new(delivery: BatchSender, refused: Option<RefusedBatch>, is_in_doubt: bool) -> Self {
        let (batcher, places) = (Batcher::default(), Places::default());
        Self { delivery, batcher, places, has_failed: false, refused, is_in_doubt }
    }
}

impl<'a> Pipeline<'a> {
    /// Before its first page.
    pub(super) fn new(
        (plan, now): (&'a Plan, DateTime<Utc>),
        (claim, counters, told): (&'a Claim, &'a Counters, &'a ToldOnce),
        account: &'a mut ApiState,
        intake: Intake,
        lane: Lane,
    ) -> Self {
        let report = IterationReport::default();
        let entries = EntryLedger::default();
        Self { plan, claim, counters, told, account, now, intake, entries, lane, resumed: None, report }
    }

    /// Every page, from the first request on, or from where the last iteration was cut; at the end everything is
    /// delivered.
    pub(super) async fn pages(&mut self, fetcher: &Fetcher<'_>) -> Result<(), IterationError> {
        if self.plan.start.checkpoint == CheckpointKind::Server {
            return self.pages_of_server(fetcher).await;
        }
        self.keep_refused().await?;
        self.lane.places = Places::default();
        self.ship_waiting().await?;
        // Nothing is fetched for an output where nobody would take it, and where it can't wait.
        if self.lane.delivery.waiting().is_none() {
            self.lane.delivery.shipper.require_listener(self.lane.is_in_doubt).await?;
        }
        match Box::pin(self.go_on_with_job(fetcher)).await {
            Ok(false) => {}
            Ok(true) => return self.end().await,
            Err(error) => return self.ship_rest_before(error).await,
        }
        let (mut asked, mut fetched) = match self.resume(fetcher).await {
            Some(resumed) => resumed,
            None => {
                self.begin_position();
                let fetched = self.first_page(fetcher).await;
                (self.first_position(), fetched)
            }
        };
        let mut before = None;
        loop {
            let page = self.intake.chain.course().pages + 1;
            let taken = match fetched {
                Ok(answer) if !self.plan.steps.is_empty() => {
                    Box::pin(self.process_list(answer, &asked, fetcher, fetcher.transport.clock().now())).await
                }
                Ok(answer) => self.process_page(answer, &asked, fetcher, fetcher.transport.clock().now()).await,
                Err(cause) if self.ends_before(fetcher, before.as_ref(), &asked, &cause).await => Ok(None),
                Err(cause) => Err(IterationError::of_fetch(page, cause, self.intake.window.start, self.now)),
            };
            match taken {
                Ok(Some((next, answer))) => {
                    before = Some(std::mem::replace(&mut asked, next));
                    fetched = answer;
                }
                Ok(None) => return self.end().await,
                Err(error) => return self.ship_rest_before(error).await,
            }
        }
    }

    /// Gives an error that ends the chain. What is in hand is good, whatever happened after it; but a listener that failed
    /// is left alone.
    pub(super) async fn ship_rest_before(&mut self, error: IterationError) -> Result<(), IterationError> {
        if !self.lane.has_failed {
            self.ship_rest().await?;
        }
        Err(error)
    }

    /// Ships the rest, and ends the chain.
    async fn end(&mut self) -> Result<(), IterationError> {
        self.ship_rest().await?;
        self.settle_entries().await?;
        self.keep_position();
        Ok(())
    }

    /// The values for the request at a position.
    fn scope<'s>(&self, position: &'s Position) -> Scope<'s> {
        Scope {
            start: self.intake.window.start,
            end: self.intake.window.end,
            now: self.now,
            position,
            entry: None,
            proof: ProofScope::StandIn,
        }
    }

    /// Reads a page and puts its new records into batches; the next one is fetched meanwhile. Gives what came of that.
    async fn process_page(
        &mut self,
        mut answer: Answer,
        asked: &Position,
        fetcher: &Fetcher<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<(Position, Result<Answer, FetchError>)>, IterationError> {
        let mut permit = self.begin_page(&mut answer, now);
        let bytes = answer.text_bytes();
        let read = self.read(&answer)?;
        let records = &read.records;
        permit.iter_mut().for_each(|permit| permit.count_page(bytes, records.len()));
        let next = self.next(&read, asked, &answer);
        let seen = self.look(records, now).await;
        let leads_to = next.as_ref().ok().and_then(Option::as_ref);
        let step = self.step(&seen, asked, leads_to, answer.moment)?;
        let leads_to = leads_to.filter(|_| matches!(step, ChainStep::On { .. } | ChainStep::Pause));
        let place = leads_to.and_then(|next| self.place(asked, next, &seen, &answer, now));
        let (Ok(Some(next)), ChainStep::On { is_repeated }) = (&next, step) else {
            self.note_last(&answer, records.len());
            self.admit(records, now).await?;
            self.drop_page(permit);
            self.wait_at(place).await;
            return self.ended(step, next);
        };
        let turn = self.turn(is_repeated);
        drop(seen);
        // Requests are boxed, or the room for each would be part of every iteration.
        if fetcher.memory.is_short() || self.intake.chain.is_end_in_doubt() {
            self.admit(records, now).await?;
            self.wait_at(place).await;
            drop(read);
            drop(answer);
            self.drop_page(permit);
            return self.fetch_alone(next, turn, fetcher).await;
        }
        // One page ahead: what earlier pages filled goes first.
        let (is_small, fills_batches) = (bytes < SMALL_PAGE_BYTES, bytes >= BATCH_BYTES_MAX);
        self.ship_until(if is_small || fills_batches { 0 } else { BEHIND_MAX }).await?;
        let scope = self.scope(next);
        let mut fetch = pin!(maybe_done(Box::pin(fetcher.page(scope, turn))));
        self.batch_alongside(records, now, fetch.as_mut()).await?;
        drop(read);
        drop(answer);
        self.drop_page(permit);
        if is_small {
            let small = self.lane.batcher.finish();
            self.enqueue(small);
        }
        self.wait_at(place).await;
        self.ship_alongside(fetch.as_mut(), fetcher).await?;
        let fetched = match fetch.take_output() {
            Some(fetched) => fetched,
            // It is over in any case; where it were not, there is a next page all the same.
            None => Box::pin(fetcher.page(scope, turn)).await,
        };
        Ok(Some((next.clone(), fetched)))
    }

    /// The next page, where others wait for memory, or where the chain may end here: nothing of this iteration stays in memory,
    /// and it asks when its turn comes.
    async fn fetch_alone(
        &mut self,
        next: &Position,
        turn: RequestTurn,
        fetcher: &Fetcher<'_>,
    ) -> Result<Option<(Position, Result<Answer, FetchError>)>, IterationError> {
        self.ship_rest().await?;
        self.drop_spare();
        if self.ends_in_doubt(fetcher).await {
            return Ok(None);
        }
        let fetched = Box::pin(fetcher.page(self.scope(next), turn)).await;
        Ok(Some((next.clone(), fetched)))
    }

    /// Counts a page, and takes what it holds of the memory budget.
    fn begin_page(&mut self, answer: &mut Answer, now: DateTime<Utc>) -> Option<Permit> {
        self.report.pages += 1;
        self.counters.add_page();
        outcome::arrive(self.account, answer.moment.later.max(now));
        answer.permit.take()
    }

    /// Where in the chain the next request stands.
    fn turn(&self, is_repeated: bool) -> RequestTurn {
        match (is_repeated, self.plan.paging.is_counted()) {
            (true, _) => RequestTurn::Repeated,
            (false, true) => RequestTurn::Counted,
            (false, false) => RequestTurn::Next,
        }
    }

    /// A page's records and what it says beside them; an error where it says that it failed, or lacks its list.
    fn read<'p>(&mut self, answer: &'p Answer) -> Result<Page<'p>, IterationError> {
        let page = self.report.pages;
        if answer.was_lossy && self.told.is_new_of("bytes that are not UTF-8", page) {
            tracing::warn!(api = self.plan.name, page, "the page holds bytes that are not UTF-8; they are replaced");
        }
        let (paths, fields) = (&self.plan.paths, &self.plan.custom_fields);
        let parse = |text: &'p str| beside_the_runtime(text.len(), || Page::read(text, paths, fields));
        let read = answer.text().map_or_else(|| Ok(Page::empty()), parse);
        let may_show = || !answer.text().is_some_and(|text| answer.secrets.finds_in(text));
        let unreadable = |cause: PageError| IterationError::Page { page, cause: cause.shown(may_show) };
        let mut read = read.map_err(unreadable)?;
        if let Some(rule) = &self.plan.next_iteration {
            rule.drop_false_dates(paths.date.as_ref(), &mut read.records, self.now);
        }
        if let Some(told) = read.error {
            let error_body = error_words(told.text(), &answer.secrets);
            if read.records.is_empty() {
                return Err(IterationError::ToldError { page, error_body });
            }
            let is_first = !std::mem::replace(&mut self.intake.observed.has_told_error, true);
            if is_first && self.told.is_new("an error beside the records") {
                tracing::warn!(
                    api = self.plan.name,
                    page,
                    "the answer tells of an error beside its records{error_body}"
                );
            }
        }
        match read.absent {
            Some(_) if paths.is_data_optional => {}
            Some(absent) if absent.has_other_list || !self.account.has_found_list => {
                return Err(unreadable(absent.missing.into()));
            }
            Some(_) => self.intake.observed.has_left_out = true,
            None => self.account.has_found_list |= answer.text.is_some(),
        }
        self.require_dates(&read.records, may_show)?;
        Ok(Page { absent: None, ..read })
    }

    /// What the chain makes of a page. The server keeps the position where the same request comes again.
    fn step(
        &mut self,
        seen: &[SeenRecord],
        asked: &Position,
        next: Option<&Position>,
        moment: Moment,
    ) -> Result<ChainStep, IterationError> {
        let request = |position: &Position| {
            let request = self.plan.request.build(&self.scope(position));
            let page = self.report.pages;
            request
                .map(|request| request.fingerprint())
                .map_err(|cause| IterationError::Fetch { page, cause: cause.into() })
        };
        let (request, next) = (request(asked)?, next.map(request).transpose()?);
        let paging = &self.plan.paging;
        let (is_counted, has_stop_rule) = (paging.is_counted(), paging.stop.is_some());
        let pages_max = paging.pages_per_iteration();
        Ok(self.intake.step(&Sight { request, moment, records: seen, next, is_counted, has_stop_rule, pages_max }))
    }

    /// Learns from the dates of a page, and tells which of its records lie below the window.
    async fn look(&mut self, records: &[Record<'_>], now: DateTime<Utc>) -> Vec<SeenRecord> {
        let (seen, newest) = self.intake.look(self.plan, self.account, records, now);
        // The cutoff of a first window outlives the process: the same one after a crash, and nothing is left out.
        if let (Some(beginning), Some(_)) = (&mut self.account.beginning, newest) {
            beginning.newest = newest;
            self.claim.save(self.account.clone()).await;
        }
        seen
    }

    /// What the last page shows of others that nothing follows.
    fn note_last(&mut self, answer: &Answer, records: usize) {
        let is_followed = self.account.has_found_next || self.intake.observed.has_followed;
        if is_followed || self.plan.paging.says_end() || records == 0 {
            return;
        }
        let root = answer.text().and_then(|text| RawJson::parse(text).ok());
        let shown = root.and_then(|root| more(root, records));
        // A total may count something else.
        let is_sure = shown.is_some_and(|more| !matches!(more, More::Count(_)));
        self.intake.observed.shows_more = in_header(&answer.headers).is_some() || is_sure;
    }

    /// A first page where no record has a date can't be what the config means. `may_show` tells whether keys may be named.
    fn require_dates(&self, records: &[Record<'_>], may_show: impl FnOnce() -> bool) -> Result<(), IterationError> {
        let Some(path) = self.plan.paths.date.as_ref().filter(|_| !self.plan.guesses_date()) else { return Ok(()) };
        // Behind dated records those without a date are believed, but not something that is no record at all.
        let is_later = self.intake.chain.course().has_dates();
        let is_odd =
            |record: &Record<'_>| record.date.is_none() && !(is_later && record.raw.kind() == JsonType::Object);
        match records.first() {
            Some(first) if records.iter().all(is_odd) => Err(IterationError::Undated {
                page: self.report.pages,
                path: path.text().to_owned(),
                there: if may_show() { what_is_there(first.raw) } else { KEYS_HIDDEN.to_owned() },
            }),
            _ => Ok(()),
        }
    }

    /// What paging looks at.
    fn facts<'p>(&self, answer: &'p Answer, read: &'p Page<'_>) -> PageFacts<'p> {
        let text = answer.text_as_sent().filter(|_| self.plan.paging.needs_root());
        PageFacts {
            headers: &answer.headers,
            root: text.and_then(|text| RawJson::parse(text).ok()),
            next_url: read.next_url.as_deref(),
            base: &answer.base,
            records: read.records.len() as u64,
        }
    }

    /// Where the chain stands behind a page.
    fn next(&mut self, read: &Page<'_>, asked: &Position, answer: &Answer) -> Result<Option<Position>, IterationError> {
        let page = self.report.pages;
        let facts = self.facts(answer, read);
        let cursor = self.plan.paging.cursor_after(asked.cursor.as_ref(), &facts);
        if let Some(bytes) = cursor.as_ref().map(|cursor| cursor.json().len()).filter(|bytes| *bytes > CURSOR_BYTES_MAX)
        {
            return Err(IterationError::CursorTooLong { page, bytes });
        }
        let next = self.plan.paging.next(&self.plan.request, asked, &facts);
        let next = next.map_err(|cause| IterationError::of_paging(page, cause, self.plan.paths.next_url.as_ref()))?;
        self.note_cursor(cursor, answer);
        self.note_values(read, answer)?;
        if next.is_some() {
            (self.account.has_found_next, self.intake.observed.has_followed) = (true, true);
        }
        Ok(next)
    }

    /// Leaves out what is older than the window or a duplicate, and puts the rest into batches.
    async fn admit(&mut self, records: &[Record<'_>], now: DateTime<Utc>) -> Result<(), IterationError> {
        let in_window = self.intake.in_window(self.plan, records, &mut self.report);
        let keys: Vec<RecordKey> = in_window.iter().map(Record::identity).collect();
        self.admit_as(&in_window, keys, Some(now)).await
    }

    /// Leaves out duplicates, and puts the rest into batches. Each record is known by its key; what it tells of the API is
    /// counted where a moment is given.
    async fn admit_as(
        &mut self,
        records: &[Record<'_>],
        keys: Vec<RecordKey>,
        observed_at: Option<DateTime<Utc>>,
    ) -> Result<(), IterationError> {
        let delivered =
            self.claim.counts(self.account.ledger, keys.clone()).await.map_err(IterationError::of_memory)?;
        let is_new = self.intake.admit_keys(&keys, &delivered);
        let is_kept_by_sight = |key: &RecordKey| key.date.is_none() || self.plan.start.skips_known();
        let seen_again = keys.iter().zip(&is_new).filter(|(key, is_new)| !**is_new && is_kept_by_sight(key));
        let again: Vec<RecordKey> = seen_again.map(|(key, _)| *key).collect();
        if !again.is_empty() {
            self.claim.see_again(self.account.ledger, self.account.iteration, again).await;
        }
        let duplicates = is_new.iter().filter(|is_new| !**is_new).count() as u64;
        self.report.known += duplicates;
        self.counters.add_known(duplicates);
        for ((record, key), is_new) in records.iter().zip(keys).zip(is_new) {
            if let Some(now) = observed_at {
                self.intake.observe(self.account, record, is_new, &mut self.report, now);
            }
            if is_new {
                self.batch(record, key).await?;
            }
        }
        Ok(())
    }

    /// Puts a record into the batch that is being filled; a full one is on its way.
    async fn batch(&mut self, record: &Record<'_>, key: RecordKey) -> Result<(), IterationError> {
        self.intake.send(key.fingerprint);
        let append = |line: &mut Vec<u8>| record.append_line(&self.plan.custom_fields, line);
        match self.lane.batcher.push(append, key) {
            Ok(full) => {
                self.lane.places.batched += 1;
                if full.is_some() {
                    self.enqueue(full);
                    self.ship_until(OF_PAGE_MAX).await?;
                }
            }
            Err(TooLong { line }) => {
                self.lane.delivery.shipper.keep_too_long(&line, key, self.now).await?;
                self.remember(vec![key]).await.end().await.map_err(cant_remember)?;
                self.report.shipped.set_aside += 1;
                self.counters.add_set_aside(1);
            }
        }
        Ok(())
    }
}
