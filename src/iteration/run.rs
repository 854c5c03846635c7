//! One iteration under way: its pages, its batches, what it remembers.

use std::future::Future;
use std::pin::{Pin, pin};

use chrono::{DateTime, Utc};
use futures_util::future::{MaybeDone, maybe_done};
use reqwest::{StatusCode, Url};

use super::PAGES_MAX;
use super::delivery::{Delivery, cant_remember};
use super::report::{IterationError, Report};
use super::watch::Observed;
use crate::fetch::{Answer, FetchError, Fetcher, next_link};
use crate::meter::Meter;
use crate::plan::Plan;
use crate::record::path::what_is_there;
use crate::record::{Fingerprint, FingerprintSet, Identity, KEYS_HIDDEN, Page, Record, date};
use crate::ship::{BATCH_BYTES_MAX, Batch, Batcher, Done, ShipError, Shipper, TooLong};
use crate::state::{Account, Folder, Oddity, Remembering};
use crate::window::{Order, Probe, Reach, Sieve, Window, is_future, is_too_old};

/// How many batches may be on their way while a page is split and the next one fetched: one that is sent, and one that is
/// compressed. Where a page alone fills a batch, those of earlier pages are delivered before the next is asked for.
const BEHIND_MAX: usize = 2;

/// One iteration under way.
pub(super) struct Run<'a> {
    plan: &'a Plan,
    folder: &'a Folder,
    delivery: Delivery,
    meter: &'a Meter,
    account: &'a mut Account,
    now: DateTime<Utc>,
    order: Order,
    sieve: Sieve,
    batcher: Batcher,
    /// Whether a batch could not be delivered, or what was refused of it not be kept.
    has_failed: bool,
    seen: Seen,
    /// The fingerprints of the page before: where a list grows, the next page begins with them.
    page_before: FingerprintSet,
    /// Whether new records tell how late they are.
    pub(super) is_measured: bool,
    /// What the listener refused and could not be kept in a file yet.
    pub(super) refused: Option<Refused>,
    pub(super) window: Window,
    pub(super) newest: Option<DateTime<Utc>>,
    pub(super) report: Report,
    pub(super) observed: Observed,
}

/// A batch that is delivered but for some lines, the listener doesn't say which. Until it is kept in a file it isn't
/// remembered, and nothing else is fetched: a crash may double its lines, and loses none.
#[derive(Debug)]
pub(super) struct Refused {
    piece: Batch,
    reason: String,
}

/// What came before in this iteration, as 16 bytes each.
#[derive(Default)]
struct Seen {
    links: FingerprintSet,
    pages: FingerprintSet,
}

impl<'a> Run<'a> {
    /// Before its first page.
    pub(super) fn new(
        plan: &'a Plan,
        folder: &'a Folder,
        shipper: Shipper,
        meter: &'a Meter,
        account: &'a mut Account,
        window: Window,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            plan,
            folder,
            delivery: Delivery::new(shipper, now),
            meter,
            account,
            now,
            order: Order::default(),
            sieve: Sieve::default(),
            batcher: Batcher::default(),
            has_failed: false,
            seen: Seen::default(),
            page_before: FingerprintSet::default(),
            is_measured: false,
            refused: None,
            window,
            newest: None,
            report: Report::default(),
            observed: Observed::default(),
        }
    }

    /// Every page, from the first request on; at the end everything is delivered.
    pub(super) async fn pages(&mut self, fetcher: &Fetcher<'_>) -> Result<(), IterationError> {
        self.keep_refused().await?;
        let mut fetched = self.first_page(fetcher).await;
        self.seen.links.insert(Fingerprint::of(&[self.first_url(self.window.start).as_str().as_bytes()]));
        loop {
            let page = self.report.pages + 1;
            let taken = match fetched {
                Ok(answer) => self.take_in(answer, fetcher, Utc::now()).await,
                Err(cause) => Err(IterationError::of_fetch(page, cause, self.window.start, self.now)),
            };
            match taken {
                Ok(Some(next)) => fetched = next,
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

    /// The first page. Where the API refuses the start date as too old, that of the earliest date that it takes.
    async fn first_page(&mut self, fetcher: &Fetcher<'_>) -> Result<Answer, FetchError> {
        let wanted = self.window.start;
        let refused = match Box::pin(fetcher.page(&self.first_url(wanted))).await {
            Err(cause) if refused_as_too_old(&cause).is_some() => cause,
            other => return other,
        };
        let said = refused_as_too_old(&refused).unwrap_or_default();
        tracing::info!(api = self.plan.name, start = date::format(wanted), cause = %refused, "looking for a later start");
        let mut probe = Probe::new(wanted, said, self.now);
        let mut earliest = None;
        while let Some(start) = probe.next(self.now) {
            match Box::pin(fetcher.page(&self.first_url(start))).await {
                Ok(answer) => {
                    probe.accept(start);
                    earliest = Some((start, answer));
                }
                Err(cause) if refused_as_too_old(&cause).is_some() => probe.refuse(start),
                Err(cause) => return Err(cause),
            }
        }
        let Some((start, answer)) = earliest else { return Err(refused) };
        self.window.begin_later(start);
        self.account.reach = Some(Reach::learned(start, self.now));
        if self.account.notice(Oddity::StartTooOld, self.now) {
            tracing::warn!(api = self.plan.name, start = date::format(start), "{}", Oddity::StartTooOld.advice());
        }
        Ok(answer)
    }

    /// Reads a page and puts its new records into batches; the next one is fetched meanwhile. Gives what came of that.
    async fn take_in(
        &mut self,
        answer: Answer,
        fetcher: &Fetcher<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Result<Answer, FetchError>>, IterationError> {
        self.report.pages += 1;
        self.meter.add_page();
        let page = self.report.pages;
        if answer.was_lossy {
            tracing::warn!(api = self.plan.name, page, "the page holds bytes that are no UTF-8; they are replaced");
        }
        let (paths, fields) = (&self.plan.paths, &self.plan.custom_fields);
        let read = answer.text.as_deref().map_or_else(|| Ok(Page::empty()), |text| Page::read(text, paths, fields));
        let may_show = || !answer.text.as_deref().is_some_and(|text| answer.secrets.finds_in(text));
        let read = read.map_err(|cause| IterationError::Page { page, cause: cause.shown(may_show) })?;
        let records = &read.records;
        self.require_dates(records, may_show)?;
        self.see(records, now).await;
        let next = match self.next(&read, &answer.base) {
            Ok(Some(next)) => next,
            other => {
                self.batch(records, now).await?;
                return other.map(|_| None);
            }
        };
        // Requests are boxed, or the room for each would be part of every iteration.
        if fetcher.seat.is_wanted() {
            self.batch(records, now).await?;
            drop(read);
            drop(answer);
            // Nothing of this iteration stays in memory.
            self.ship_rest().await?;
            self.batcher = Batcher::default();
            return Ok(Some(Box::pin(fetcher.page_in_turn(&next)).await));
        }
        // One page ahead: what earlier pages filled goes first.
        let is_small = answer.text.as_ref().is_some_and(|text| text.len() < BATCH_BYTES_MAX);
        self.ship_until(if is_small { BEHIND_MAX } else { 0 }).await?;
        let mut fetch = pin!(maybe_done(Box::pin(fetcher.page(&next))));
        self.batch_alongside(records, now, fetch.as_mut()).await?;
        drop(read);
        drop(answer);
        self.ship_alongside(fetch.as_mut()).await?;
        match fetch.take_output() {
            Some(fetched) => Ok(Some(fetched)),
            // It is over in any case; where it were not, there is a next page all the same.
            None => Ok(Some(Box::pin(fetcher.page(&next)).await)),
        }
    }

    /// Learns from the dates of a page.
    async fn see(&mut self, records: &[Record<'_>], now: DateTime<Utc>) {
        let dates = || records.iter().filter_map(|record| record.date);
        let newest = self.window.see_dates(dates(), now);
        let first_seen = records.iter().filter(|record| !self.page_before.contains(&record.fingerprint));
        self.order.see(first_seen.filter_map(|record| record.date));
        self.page_before = records.iter().map(|record| record.fingerprint).collect();
        let sent = self.plan.request.start_format.sent(self.window.start);
        let is_odd = |date: &DateTime<Utc>| *date < sent && self.window.is_below(*date);
        self.observed.before_start += dates().filter(is_odd).count() as u64;
        self.observed.pages = self.report.pages;
        self.observed.direction = self.order.direction();
        // The floor of a first window outlives the process: the same one after a crash, and nothing is left out.
        if let (Some(beginning), Some(_)) = (&mut self.account.beginning, newest) {
            beginning.newest = newest;
            self.folder.save(&self.plan.name, self.account.clone()).await;
        }
    }

    /// `may_show` tells whether keys may be named.
    fn require_dates(&self, records: &[Record<'_>], may_show: impl FnOnce() -> bool) -> Result<(), IterationError> {
        match records.first() {
            Some(first) if records.iter().all(|record| record.date.is_none()) => Err(IterationError::Undated {
                page: self.report.pages,
                path: self.plan.paths.date.text().to_owned(),
                there: if may_show() { what_is_there(first.raw) } else { KEYS_HIDDEN.to_owned() },
            }),
            _ => Ok(()),
        }
    }

    /// The URL of the next page that is wanted.
    fn next(&mut self, read: &Page<'_>, base: &Url) -> Result<Option<Url>, IterationError> {
        let page = self.report.pages;
        let next = match &read.next_url {
            Some(link) => {
                let next = next_link(link, base, &self.plan.request.url);
                Some(next.map_err(|cause| IterationError::NextLink { page, cause })?)
            }
            None => None,
        };
        let is_known =
            |next: &Url, seen: &mut FingerprintSet| !seen.insert(Fingerprint::of(&[next.as_str().as_bytes()]));
        if next.as_ref().is_some_and(|next| is_known(next, &mut self.seen.links)) {
            return Err(IterationError::Circle { page, what: "its next link" });
        }
        self.require_new_page(&read.records, next.is_some())?;
        let next = next.filter(|_| !self.order.has_left(&self.window));
        if next.is_some() && page >= PAGES_MAX { Err(IterationError::TooManyPages) } else { Ok(next) }
    }

    /// A page whose records all came before, in the same order, is the beginning of a circle if more follow.
    fn require_new_page(&mut self, records: &[Record<'_>], is_followed: bool) -> Result<(), IterationError> {
        if records.is_empty() {
            return Ok(());
        }
        let parts: Vec<&[u8]> = records.iter().map(|record| record.fingerprint.bytes().as_slice()).collect();
        if !self.seen.pages.insert(Fingerprint::of(&parts)) && is_followed {
            return Err(IterationError::Circle { page: self.report.pages, what: "its records" });
        }
        Ok(())
    }

    /// Leaves out what is older than the window or known, and puts the rest into batches.
    async fn batch(&mut self, records: &[Record<'_>], now: DateTime<Utc>) -> Result<(), IterationError> {
        let mut in_window = Vec::with_capacity(records.len());
        for record in records {
            let Some(date) = record.date else {
                in_window.push(*record);
                continue;
            };
            if self.window.is_below(date) {
                self.report.older += 1;
                continue;
            }
            if !is_future(date, now) {
                self.newest = self.newest.max(Some(date));
            }
            in_window.push(*record);
        }
        let identities: Vec<Identity> = in_window.iter().map(Record::identity).collect();
        let delivered = self.folder.counts(self.account.number, identities).await.map_err(IterationError::Memory)?;
        let fingerprints = in_window.iter().map(|record| record.fingerprint);
        let is_new = self.sieve.admit(fingerprints.zip(delivered));
        let again = in_window.iter().zip(&is_new).filter(|(record, is_new)| !**is_new && record.date.is_none());
        let again: Vec<Identity> = again.map(|(record, _)| record.identity()).collect();
        if !again.is_empty() {
            self.folder.see_again(self.account.number, self.account.iteration, again).await;
        }
        let known = is_new.iter().filter(|is_new| !**is_new).count() as u64;
        self.report.known += known;
        self.meter.add_known(known);
        for (record, is_new) in in_window.iter().zip(is_new) {
            self.observe(record, is_new, now);
            if !is_new {
                continue;
            }
            self.sieve.send(record.fingerprint);
            let append = |line: &mut Vec<u8>| record.append_line(&self.plan.custom_fields, line);
            match self.batcher.push(append, record.identity()) {
                Ok(full) => self.enqueue(full),
                Err(TooLong { line }) => {
                    self.delivery.shipper.keep_too_long(&line, self.now).await?;
                    self.remember(vec![record.identity()]).await.end().await.map_err(cant_remember)?;
                    self.report.shipped.set_aside += 1;
                    self.meter.add_set_aside(1);
                }
            }
        }
        Ok(())
    }

    /// Counts what tells something about the API.
    fn observe(&mut self, record: &Record<'_>, is_new: bool, now: DateTime<Utc>) {
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
        let looks = [self.account.last_sweep, self.account.wide_look];
        let was_swept = looks.into_iter().flatten().any(|look| date >= look.start);
        if is_new && !is_ahead && self.is_measured && was_swept {
            self.account.lateness.add(now.signed_duration_since(date));
        }
    }

    /// Begins to remember that records were delivered, or set aside: from now on the store knows of them.
    async fn remember(&mut self, identities: Vec<Identity>) -> Remembering {
        identities.iter().for_each(|identity| self.sieve.acknowledge(identity.fingerprint));
        self.folder.remember(self.account.number, self.account.iteration, identities).await
    }

    /// Puts a full batch behind those that are on their way.
    fn enqueue(&mut self, batch: Option<Batch>) {
        batch.into_iter().for_each(|batch| self.delivery.push(batch));
    }

    async fn ship_rest(&mut self) -> Result<(), IterationError> {
        let rest = self.batcher.finish();
        self.enqueue(rest);
        self.ship_until(0).await?;
        Ok(self.delivery.remembered().await?)
    }

    /// Ships until so many batches are left.
    async fn ship_until(&mut self, left: usize) -> Result<(), IterationError> {
        while self.delivery.len() > left {
            let done = self.delivery.next().await;
            self.note(done).await?;
        }
        Ok(())
    }

    /// Puts a page's records into batches while the next page is fetched.
    async fn batch_alongside(
        &mut self,
        records: &[Record<'_>],
        now: DateTime<Utc>,
        mut fetch: Pin<&mut MaybeDone<impl Future>>,
    ) -> Result<(), IterationError> {
        let mut batched = pin!(self.batch(records, now));
        loop {
            tokio::select! {
                biased;
                () = &mut fetch, if fetch.as_mut().output_mut().is_none() => {}
                batched = &mut batched => return batched,
            }
        }
    }

    /// Ships while something is fetched. A failure to ship ends both at once.
    async fn ship_alongside<T>(&mut self, fetch: impl Future<Output = T>) -> Result<T, IterationError> {
        tokio::pin!(fetch);
        let fetched = loop {
            let done = tokio::select! {
                fetched = &mut fetch => break fetched,
                done = self.delivery.next() => done,
            };
            self.note(done).await?;
        };
        self.ship_until(BEHIND_MAX).await?;
        Ok(fetched)
    }

    /// Notes what became of a batch. What was delivered is on its way to the disk before anything else is shipped.
    async fn note(&mut self, done: Result<Done, ShipError>) -> Result<(), IterationError> {
        let noted = match done {
            Ok(done) => self.note_done(done).await,
            Err(error) => Err(error.into()),
        };
        self.has_failed |= noted.is_err();
        noted
    }

    async fn note_done(&mut self, Done { piece, shipped, refused }: Done) -> Result<(), IterationError> {
        self.report.shipped.records += shipped.records;
        self.report.shipped.bytes += shipped.bytes;
        self.report.shipped.set_aside += shipped.set_aside;
        self.meter.add_records(shipped.records, shipped.bytes);
        self.meter.add_set_aside(shipped.set_aside);
        match refused {
            None => {
                let remembering = self.remember(piece.identities().collect()).await;
                self.delivery.remember(shipped.records, remembering);
                self.batcher.reuse(piece);
                Ok(())
            }
            Some(reason) => {
                self.refused = Some(Refused { piece, reason });
                self.keep_refused().await
            }
        }
    }

    /// Keeps what the listener refused in a file, and remembers it then.
    async fn keep_refused(&mut self) -> Result<(), IterationError> {
        if let Some(Refused { piece, reason }) = &self.refused {
            self.delivery.shipper.keep(piece, self.now, reason).await?;
            let identities = piece.identities().collect();
            self.refused = None;
            self.remember(identities).await.end().await.map_err(cant_remember)?;
        }
        Ok(())
    }
}

/// What an answer says that refuses a start date as too old.
fn refused_as_too_old(cause: &FetchError) -> Option<&str> {
    match cause {
        FetchError::Status { status, said, .. } if *status == StatusCode::BAD_REQUEST && is_too_old(said) => Some(said),
        _ => None,
    }
}
