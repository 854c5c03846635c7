//! One iteration under way: its pages, its batches, what it remembers.

mod first;
mod resume;
mod shipping;

use std::pin::pin;

use chrono::{DateTime, Utc};
use futures_util::future::maybe_done;
use reqwest::Url;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::delivery::{BatchSender, cant_remember};
use super::report::{IterationError, IterationReport};
use super::watch::Observed;
use crate::counters::Counters;
use crate::fetch::{Answer, FetchError, Fetcher, RequestTurn, error_words, next_link};
use crate::plan::Plan;
use crate::record::answer::{More, is_link, more};
use crate::record::json::{JsonType, RawJson};
use crate::record::path::what_is_there;
use crate::record::{Fingerprint, KEYS_HIDDEN, Page, PageError, Record, RecordKey, date};
use crate::ship::{BATCH_BYTES_MAX, Batch, Batcher, TooLong};
use crate::state::{ApiState, StateDir};
use crate::window::{Chain, ChainStep, InFlight, Moment, SeenRecord, Sight, Window, is_future};
use resume::Places;

/// How many batches may be on their way while a page is split and the next one fetched: one that is sent, and one that is
/// compressed. Where a page alone fills a batch, those of earlier pages are delivered before the next is asked for.
const BEHIND_MAX: usize = 2;
/// How many batches of one page may be on their way before more of it are made: the page itself is in memory, too.
const OF_PAGE_MAX: usize = 3;
/// A page of this size and more is parsed beside the runtime's thread: a smaller one takes less than a millisecond.
const LARGE_PAGE_BYTES: usize = 256 * 1024;
/// A page below this size is shipped by itself while the next is fetched, so that its place is saved soon; larger ones fill
/// batches together.
const SMALL_PAGE_BYTES: usize = 128 * 1024;

/// One iteration under way.
pub(super) struct Pipeline<'a> {
    plan: &'a Plan,
    directory: &'a StateDir,
    delivery: BatchSender,
    counters: &'a Counters,
    account: &'a mut ApiState,
    now: DateTime<Utc>,
    in_flight: InFlight,
    batcher: Batcher,
    places: Places,
    /// Whether the next page is the last one of an iteration that was cut, asked for again.
    is_proof: bool,
    /// Whether it went on where the last iteration was cut.
    pub(super) is_resumed: bool,
    /// Whether a batch could not be delivered, or what was refused of it not be kept.
    pub(super) has_failed: bool,
    /// What the listener refused and could not be kept in a file yet.
    pub(super) refused: Option<RefusedBatch>,
    pub(super) chain: Chain,
    pub(super) window: Window,
    pub(super) report: IterationReport,
    pub(super) observed: Observed,
}

/// A batch that is delivered but for some lines, the listener doesn't say which. Until it is kept in a file it isn't
/// remembered, and nothing else is fetched: a crash may double its lines, and loses none.
#[derive(Debug)]
pub(super) struct RefusedBatch {
    piece: Batch,
    reason: String,
}

/// A page that was asked for.
#[derive(Clone)]
struct PageRequest {
    url: Url,
    /// The link to it; nothing for the first page.
    link: Option<String>,
}

impl<'a> Pipeline<'a> {
    /// Before its first page.
    pub(super) fn new(
        plan: &'a Plan,
        directory: &'a StateDir,
        delivery: BatchSender,
        counters: &'a Counters,
        account: &'a mut ApiState,
        window: Window,
        now: DateTime<Utc>,
    ) -> Self {
        let chain = Chain::new(account.sorted, now);
        Self {
            plan,
            directory,
            delivery,
            counters,
            account,
            now,
            in_flight: InFlight::default(),
            batcher: Batcher::default(),
            places: Places::default(),
            is_proof: false,
            is_resumed: false,
            has_failed: false,
            refused: None,
            chain,
            window,
            report: IterationReport::default(),
            observed: Observed::default(),
        }
    }

    /// Every page, from the first request on, or from where the last iteration was cut; at the end everything is
    /// delivered.
    pub(super) async fn pages(&mut self, fetcher: &Fetcher<'_>) -> Result<(), IterationError> {
        self.keep_refused().await?;
        self.places = Places::default();
        // Nothing is fetched for an output where nobody would take it.
        self.delivery.shipper.require_listener().await?;
        let (mut asked, mut fetched) = match self.resume(fetcher).await {
            Some(resumed) => resumed,
            None => {
                let fetched = self.first_page(fetcher).await;
                (PageRequest { url: self.first_url(self.window.start), link: None }, fetched)
            }
        };
        loop {
            let page = self.chain.course().pages + 1;
            let taken = match fetched {
                Ok(answer) => self.process_page(answer, &asked, fetcher, Utc::now()).await,
                Err(cause) => Err(IterationError::of_fetch(page, cause, self.window.start, self.now)),
            };
            match taken {
                Ok(Some((next, answer))) => (asked, fetched) = (next, answer),
                Ok(None) => return self.ship_rest().await,
                Err(error) => {
                    // What is in hand is good, whatever happened after it; but a listener that failed is left alone.
                    if !self.has_failed {
                        self.ship_rest().await?;
                    }
                    return Err(error);
                }
            }
        }
    }

    fn first_url(&self, start: DateTime<Utc>) -> Url {
        self.plan.request.first_url(start)
    }

    /// Reads a page and puts its new records into batches; the next one is fetched meanwhile. Gives what came of that.
    async fn process_page(
        &mut self,
        mut answer: Answer,
        asked: &PageRequest,
        fetcher: &Fetcher<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<(PageRequest, Result<Answer, FetchError>)>, IterationError> {
        self.report.pages += 1;
        self.counters.add_page();
        let mut permit = answer.permit.take();
        let bytes = answer.text.as_ref().map_or(0, String::len);
        let read = self.read(&answer)?;
        let records = &read.records;
        if let Some(permit) = &mut permit {
            permit.count_page(bytes, records.len());
        }
        let next = self.next(&read, &answer);
        let seen = self.see(records, now).await;
        let step = self.step(&seen, asked, next.as_ref().ok().and_then(Option::as_ref), answer.moment);
        let (place, next, turn) = match (next, step) {
            (Ok(Some(next)), ChainStep::On { is_repeated }) => {
                let turn = if is_repeated { RequestTurn::Repeated } else { RequestTurn::Next };
                (self.place(asked, &next, &seen, &answer, now), next, turn)
            }
            (next, step) => {
                self.note_last(&answer, records.len());
                self.batch(records, now).await?;
                self.drop_page(permit);
                return match (next, step) {
                    (Err(error), _) => Err(error),
                    (Ok(_), ChainStep::Circle) => Err(IterationError::Circle { page: self.chain.course().pages }),
                    (Ok(Some(next)), ChainStep::Pause) => {
                        let place = self.place(asked, &next, &seen, &answer, now);
                        self.wait_at(place).await;
                        Err(IterationError::Pause { page: self.chain.course().pages })
                    }
                    (Ok(_), _) => Ok(None),
                };
            }
        };
        drop(seen);
        // Requests are boxed, or the room for each would be part of every iteration.
        if fetcher.memory.is_short() {
            self.batch(records, now).await?;
            self.wait_at(place).await;
            drop(read);
            drop(answer);
            self.drop_page(permit);
            // Others wait for memory: nothing of this iteration stays there, and it asks when its turn comes.
            self.ship_rest().await?;
            self.drop_spare();
            let fetched = Box::pin(fetcher.page(&next.url, turn)).await;
            return Ok(Some((next, fetched)));
        }
        // One page ahead: what earlier pages filled goes first.
        let (is_small, fills_batches) = (bytes < SMALL_PAGE_BYTES, bytes >= BATCH_BYTES_MAX);
        self.ship_until(if is_small || fills_batches { 0 } else { BEHIND_MAX }).await?;
        let url = next.url.clone();
        let mut fetch = pin!(maybe_done(Box::pin(fetcher.page(&url, turn))));
        self.batch_alongside(records, now, fetch.as_mut()).await?;
        drop(read);
        drop(answer);
        self.drop_page(permit);
        if is_small {
            let small = self.batcher.finish();
            self.enqueue(small);
        }
        self.wait_at(place).await;
        self.ship_alongside(fetch.as_mut(), fetcher).await?;
        let fetched = match fetch.take_output() {
            Some(fetched) => fetched,
            // It is over in any case; where it were not, there is a next page all the same.
            None => Box::pin(fetcher.page(&url, turn)).await,
        };
        Ok(Some((next, fetched)))
    }

    /// A page's records and what it says beside them; an error where it says that it failed, or lacks its list.
    fn read<'p>(&mut self, answer: &'p Answer) -> Result<Page<'p>, IterationError> {
        let page = self.report.pages;
        if answer.was_lossy {
            tracing::warn!(api = self.plan.name, page, "the page holds bytes that are not UTF-8; they are replaced");
        }
        let (paths, fields) = (&self.plan.paths, &self.plan.custom_fields);
        let parse = |text: &'p str| beside_the_runtime(text, || Page::read(text, paths, fields));
        let read = answer.text.as_deref().map_or_else(|| Ok(Page::empty()), parse);
        let may_show = || !answer.text.as_deref().is_some_and(|text| answer.secrets.finds_in(text));
        let unreadable = |cause: PageError| IterationError::Page { page, cause: cause.shown(may_show) };
        let read = read.map_err(unreadable)?;
        if let Some(told) = read.error {
            let error_body = error_words(told.text(), &answer.secrets);
            if read.records.is_empty() {
                return Err(IterationError::ToldError { page, error_body });
            }
            if !std::mem::replace(&mut self.observed.has_told_error, true) {
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
            Some(_) => self.observed.has_left_out = true,
            None => self.account.has_found_list |= answer.text.is_some(),
        }
        self.require_dates(&read.records, may_show)?;
        Ok(Page { absent: None, ..read })
    }

    /// What the chain makes of a page. The server keeps the position where the same link comes again.
    fn step(
        &mut self,
        seen: &[SeenRecord],
        asked: &PageRequest,
        next: Option<&PageRequest>,
        moment: Moment,
    ) -> ChainStep {
        let request = |asked: &PageRequest| Fingerprint::of(&[asked.url.as_str().as_bytes()]);
        let sight = Sight { request: request(asked), moment, records: seen, next: next.map(request) };
        let step = self.chain.see(&sight);
        self.observed.pages = self.chain.pages();
        self.observed.direction = self.chain.course().direction();
        step
    }

    /// Learns from the dates of a page, and tells which of its records lie below the window.
    async fn see(&mut self, records: &[Record<'_>], now: DateTime<Utc>) -> Vec<SeenRecord> {
        let dates = || records.iter().filter_map(|record| record.date);
        let newest = self.window.see_dates(dates(), now);
        let sent = self.plan.request.start_format.sent(self.window.start);
        let is_odd = |date: &DateTime<Utc>| *date < sent && self.window.is_below(*date);
        self.observed.before_start += dates().filter(is_odd).count() as u64;
        self.observed.records = records.len() as u64;
        if let Some(checkpoint) = self.account.checkpoint.filter(|_| !records.is_empty()) {
            let unit = self.plan.start.format.unit();
            let is_back = dates().all(|date| date < date::before(checkpoint, unit));
            self.observed.back += u64::from(is_back);
        }
        // The floor of a first window outlives the process: the same one after a crash, and nothing is left out.
        if let (Some(beginning), Some(_)) = (&mut self.account.beginning, newest) {
            beginning.newest = newest;
            self.directory.save(&self.plan.name, self.account.clone()).await;
        }
        let seen = |record: &Record<'_>| SeenRecord {
            fingerprint: record.fingerprint,
            date: record.date,
            is_below: record.date.is_some_and(|date| self.window.is_below(date)),
        };
        records.iter().map(seen).collect()
    }

    /// What the last page shows of others that nothing follows.
    fn note_last(&mut self, answer: &Answer, records: usize) {
        if self.account.has_found_next || self.observed.has_followed || records == 0 {
            return;
        }
        let root = answer.text.as_deref().and_then(|text| RawJson::parse(text).ok());
        let shown = root.and_then(|root| more(root, records));
        // A total may count something else.
        let is_sure = shown.is_some_and(|more| !matches!(more, More::Count(_)));
        self.observed.shows_more = answer.has_next_header || is_sure;
    }

    /// A first page where no record has a date can't be what the config means. `may_show` tells whether keys may be named.
    fn require_dates(&self, records: &[Record<'_>], may_show: impl FnOnce() -> bool) -> Result<(), IterationError> {
        // Behind dated records those without a date are believed, but not something that is no record at all.
        let is_later = self.chain.course().has_dates();
        let is_odd =
            |record: &Record<'_>| record.date.is_none() && !(is_later && record.raw.kind() == JsonType::Object);
        match records.first() {
            Some(first) if records.iter().all(is_odd) => Err(IterationError::Undated {
                page: self.report.pages,
                path: self.plan.paths.date.text().to_owned(),
                there: if may_show() { what_is_there(first.raw) } else { KEYS_HIDDEN.to_owned() },
            }),
            _ => Ok(()),
        }
    }

    /// The next page that a page names.
    fn next(&mut self, read: &Page<'_>, answer: &Answer) -> Result<Option<PageRequest>, IterationError> {
        let page = self.report.pages;
        let Some(link) = &read.next_url else { return Ok(None) };
        if !is_link(link) {
            let path = self.plan.paths.next_url.as_ref().map(|path| path.text().to_owned()).unwrap_or_default();
            return Err(IterationError::NextToken { page, path });
        }
        let url = next_link(link, &answer.base, &self.plan.request.url, &self.plan.request.hosts)
            .map_err(|cause| IterationError::NextLink { page, cause })?;
        (self.account.has_found_next, self.observed.has_followed) = (true, true);
        Ok(Some(PageRequest { link: Some(url.to_string()), url }))
    }

    /// Leaves out what is older than the window or known, and puts the rest into batches.
    async fn batch(&mut self, records: &[Record<'_>], now: DateTime<Utc>) -> Result<(), IterationError> {
        let mut in_window = Vec::with_capacity(records.len());
        for record in records {
            if record.date.is_some_and(|date| self.window.is_below(date)) {
                self.report.older += 1;
                continue;
            }
            if let (Some(until), Some(date)) = (self.plan.until, record.date)
                && date >= until
            {
                self.report.later += 1;
                continue;
            }
            in_window.push(*record);
        }
        let identities: Vec<RecordKey> = in_window.iter().map(Record::identity).collect();
        let delivered = self.directory.counts(self.account.ledger, identities).await.map_err(IterationError::Memory)?;
        let fingerprints = in_window.iter().map(|record| record.fingerprint);
        let is_new = self.in_flight.admit(fingerprints.zip(delivered));
        let again = in_window.iter().zip(&is_new).filter(|(record, is_new)| !**is_new && record.date.is_none());
        let again: Vec<RecordKey> = again.map(|(record, _)| record.identity()).collect();
        if !again.is_empty() {
            self.directory.see_again(self.account.ledger, self.account.iteration, again).await;
        }
        let known = is_new.iter().filter(|is_new| !**is_new).count() as u64;
        self.report.known += known;
        self.counters.add_known(known);
        for (record, is_new) in in_window.iter().zip(is_new) {
            self.observe(record, is_new, now);
            if !is_new {
                continue;
            }
            self.in_flight.send(record.fingerprint);
            let append = |line: &mut Vec<u8>| record.append_line(&self.plan.custom_fields, line);
            match self.batcher.push(append, record.identity()) {
                Ok(full) => {
                    self.places.batched += 1;
                    if full.is_some() {
                        self.enqueue(full);
                        self.ship_until(OF_PAGE_MAX).await?;
                    }
                }
                Err(TooLong { line }) => {
                    self.delivery.shipper.keep_too_long(&line, record.identity(), self.now).await?;
                    self.remember(vec![record.identity()]).await.end().await.map_err(cant_remember)?;
                    self.report.shipped.set_aside += 1;
                    self.counters.add_set_aside(1);
                }
            }
        }
        Ok(())
    }

    /// Counts what tells something about the API.
    fn observe(&mut self, record: &Record<'_>, is_new: bool, now: DateTime<Utc>) {
        self.observed.new += u64::from(is_new);
        let Some(date) = record.date else {
            self.report.undated += u64::from(is_new);
            return;
        };
        if self.account.checkpoint.is_some_and(|checkpoint| date <= checkpoint) {
            self.observed.at_edge += 1;
            self.observed.known_at_edge += u64::from(!is_new);
        }
        let is_ahead = is_future(date, now);
        self.observed.future += u64::from(is_new && is_ahead);
        let looks = [self.account.last_complete, self.account.wide_look];
        let was_swept = looks.into_iter().flatten().any(|look| date >= look.start);
        // How late it is, the newest record tells that was delivered before, not the clock: a source may be late throughout.
        if let Some(newest) = self.account.newest.filter(|_| is_new && !is_ahead && was_swept) {
            self.account.arrival_delay.add(newest.signed_duration_since(date));
        }
    }
}

/// Does what reads the whole text; where that is long, the thread's other tasks go on elsewhere meanwhile.
fn beside_the_runtime<T>(text: &str, work: impl FnOnce() -> T) -> T {
    let can_block = || Handle::try_current().is_ok_and(|on| on.runtime_flavor() == RuntimeFlavor::MultiThread);
    if text.len() >= LARGE_PAGE_BYTES && can_block() { tokio::task::block_in_place(work) } else { work() }
}
