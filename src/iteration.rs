//! One iteration: from the first page to the last, and the checkpoint.
//!
//! Page by page: a page is read, its new records are put into batches, and while full batches ship, the next page is
//! fetched. The checkpoint moves once, at the end, when the listener has everything. An iteration that fails leaves it
//! where it is, and what was delivered until then is remembered, so that the next one ships only what is missing.

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{Client, StatusCode, Url};
use tokio::time::Instant;

use crate::fetch::{Answer, FetchError, Fetcher, NextLinkError, TokenCache, next_link};
use crate::health::Health;
use crate::meter::Meter;
use crate::plan::Plan;
use crate::record::path::what_is_there;
use crate::record::{Fingerprint, Page, PageError, Record, date};
use crate::ship::{Batch, Batcher, Identity, Listener, ShipError, Shipped, Shipper, Undelivered};
use crate::state::Folder;
use crate::stop::Stop;
use crate::window::{Delivered, Order, Sieve, Window, is_future, next_checkpoint};

/// The most pages of one iteration: far more than a day of any API, and an end to any loop that is no repetition.
pub const PAGES_MAX: u64 = 100_000;

/// What iterations share.
#[derive(Debug)]
pub struct Services {
    /// The connections to the APIs.
    pub client: Client,
    /// The way to the listener.
    pub listener: Listener,
    /// What can't be delivered.
    pub undelivered: Undelivered,
    /// The checkpoints.
    pub folder: Folder,
    /// Ends every wait.
    pub stop: Stop,
    /// Counts what is done, for whoever watches.
    pub meter: Arc<Meter>,
    /// How the APIs fare.
    pub health: Arc<Health>,
}

/// An API between its iterations.
#[derive(Debug)]
pub struct Api {
    /// What to do.
    pub plan: Arc<Plan>,
    checkpoint: Option<DateTime<Utc>>,
    /// The checkpoint that is on the disk.
    saved: Option<DateTime<Utc>>,
    delivered: Delivered,
    token: TokenCache,
    /// When the first iteration began, until one succeeds.
    first: Option<DateTime<Utc>>,
    has_told_overrule: bool,
    has_told_future: bool,
}

/// What a successful iteration did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// What went to the listener.
    pub shipped: Shipped,
    /// Pages read.
    pub pages: u64,
    /// Records that were delivered before.
    pub known: u64,
    /// Records older than the window.
    pub older: u64,
    /// Shipped records without a readable date.
    pub undated: u64,
    /// Shipped records with a date in the future.
    pub future: u64,
    /// From the first request to the saved checkpoint.
    pub took: Duration,
}

/// Why an iteration ended before its end. The checkpoint stays.
#[derive(Debug, thiserror::Error)]
pub enum IterationError {
    /// A page could not be fetched.
    #[error("page {page}: {cause}")]
    Fetch {
        /// Which, from 1.
        page: u64,
        /// Why.
        cause: FetchError,
    },
    /// The link to a next page was refused as stale.
    #[error("page {page}: {cause}; the link may have gone stale, so the window is begun again")]
    StaleLink {
        /// Which, from 1.
        page: u64,
        /// Why.
        cause: FetchError,
    },
    /// A page could not be understood.
    #[error("page {page}: {cause}")]
    Page {
        /// Which, from 1.
        page: u64,
        /// Why.
        cause: PageError,
    },
    /// No record of a page has a date.
    #[error("page {page}: no record has a readable date at json path `{path}`; in the first record {there}")]
    Undated {
        /// Which, from 1.
        page: u64,
        /// The path of the config.
        path: String,
        /// The keys there are.
        there: String,
    },
    /// A next link can't be followed.
    #[error("page {page}: {cause}")]
    NextLink {
        /// Which, from 1.
        page: u64,
        /// Why.
        cause: NextLinkError,
    },
    /// The pages go in a circle.
    #[error("page {page}: {what} came before in this iteration, so its pages would never end")]
    Circle {
        /// Which, from 1.
        page: u64,
        /// The next link, or the page.
        what: &'static str,
    },
    /// More than [`PAGES_MAX`].
    #[error("there are more than {PAGES_MAX} pages")]
    TooManyPages,
    /// A batch could not be delivered.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// Everything was delivered, but the checkpoint is not on the disk.
    #[error("everything was delivered, but the checkpoint can't be saved: {0}; a restart would deliver it again")]
    Checkpoint(io::Error),
}

impl IterationError {
    /// Whether the API refused the first request as wrong: its start date may lie too far back.
    fn is_refused_start(&self) -> bool {
        matches!(self, Self::Fetch { cause, .. } if cause.status() == Some(StatusCode::BAD_REQUEST))
    }

    /// Whether it is only that the process stops.
    #[must_use]
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Fetch { cause: FetchError::Stopped, .. } | Self::Ship(ShipError::Stopped))
    }
}

impl Api {
    /// Before its first iteration.
    #[must_use]
    pub fn new(plan: Arc<Plan>, checkpoint: Option<DateTime<Utc>>) -> Self {
        Self {
            plan,
            checkpoint,
            saved: checkpoint,
            delivered: Delivered::default(),
            token: TokenCache::default(),
            first: None,
            has_told_overrule: false,
            has_told_future: false,
        }
    }

    /// Where the next iteration begins, if it is known.
    #[must_use]
    pub fn checkpoint(&self) -> Option<DateTime<Utc>> {
        self.checkpoint
    }

    /// One iteration.
    ///
    /// # Errors
    /// [`IterationError`]; the checkpoint stays, and what was delivered is remembered.
    pub async fn iterate(&mut self, services: &Services, now: DateTime<Utc>) -> Result<Report, IterationError> {
        let begun = Instant::now();
        let plan = Arc::clone(&self.plan);
        let first = *self.first.get_or_insert(now);
        let window = Window::open(&plan.start, self.checkpoint, Some(first), now);
        self.tell_oddities(&window, now);
        tracing::debug!(api = plan.name, start = date::format(window.start), "iteration begins");
        let fetcher = Fetcher { client: &services.client, plan: &plan, stop: &services.stop, token: &self.token };
        let shipper = Shipper {
            listener: &services.listener,
            undelivered: &services.undelivered,
            stop: &services.stop,
            api: &plan.name,
        };
        let start = window.start;
        let mut run = Run {
            plan: &plan,
            shipper,
            meter: &services.meter,
            now,
            window,
            order: Order::default(),
            sieve: Sieve::new(&mut self.delivered),
            batcher: Batcher::default(),
            ready: Vec::new(),
            seen: Seen::default(),
            newest: None,
            report: Report::default(),
        };
        let read = run.pages(&fetcher, plan.request.first_url(start)).await;
        let (mut report, newest) = (run.report, run.newest);
        if read.as_ref().err().is_none_or(IterationError::is_refused_start) {
            self.first = None;
        }
        read?;
        self.advance(services, newest, now).await?;
        report.took = begun.elapsed();
        Ok(report)
    }

    /// Moves the checkpoint to the newest date delivered, and forgets what can't come again.
    async fn advance(
        &mut self,
        services: &Services,
        newest: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), IterationError> {
        let next = next_checkpoint(self.checkpoint, newest);
        self.checkpoint = next;
        self.delivered.settle(Window::open(&self.plan.start, next, None, now).start);
        // One that could not be saved is tried again after the next iteration, also if it didn't move.
        if let Some(next) = next.filter(|next| self.saved != Some(*next)) {
            services.folder.save_checkpoint(&self.plan.name, next).await.map_err(IterationError::Checkpoint)?;
            self.saved = Some(next);
        }
        Ok(())
    }

    /// Tells once what may surprise whoever wrote the config or edited the checkpoints.
    fn tell_oddities(&mut self, window: &Window, now: DateTime<Utc>) {
        let (api, checkpoint) = (self.plan.name.as_str(), self.checkpoint.map(date::format).unwrap_or_default());
        if window.overrules_config && !std::mem::replace(&mut self.has_told_overrule, true) {
            tracing::info!(
                api,
                checkpoint,
                "the checkpoint is later than the start date in the filters and counts; to start over, stop, delete the \
                 API's line in last_start_dates.txt, and start again"
            );
        }
        let is_ahead = self.checkpoint.is_some_and(|checkpoint| is_future(checkpoint, now));
        if is_ahead && !std::mem::replace(&mut self.has_told_future, true) {
            tracing::warn!(
                api,
                checkpoint,
                "the checkpoint lies in the future, and nothing before it is shipped; stop, mend the API's line in \
                 last_start_dates.txt, and start again"
            );
        }
    }
}

/// One iteration under way.
struct Run<'a> {
    plan: &'a Plan,
    shipper: Shipper<'a>,
    meter: &'a Meter,
    now: DateTime<Utc>,
    window: Window,
    order: Order,
    sieve: Sieve<'a>,
    batcher: Batcher,
    /// Batches that are full.
    ready: Vec<Batch>,
    seen: Seen,
    newest: Option<DateTime<Utc>>,
    report: Report,
}

/// What came before in this iteration, as 16 bytes each.
#[derive(Default)]
struct Seen {
    links: HashSet<Fingerprint>,
    pages: HashSet<Fingerprint>,
}

impl Run<'_> {
    /// Every page, from the first request on; at the end everything is delivered.
    async fn pages(&mut self, fetcher: &Fetcher<'_>, first: Url) -> Result<(), IterationError> {
        self.seen.links.insert(Fingerprint::of(&[first.as_str().as_bytes()]));
        let mut fetched = fetcher.page(&first).await;
        loop {
            let page = self.report.pages + 1;
            let taken = match fetched {
                Ok(answer) => self.take_in(answer, Utc::now()).await,
                Err(cause) => Err(fetch_error(page, cause)),
            };
            match taken {
                Ok(Some(next)) => fetched = alongside(self.ship_ready(), fetcher.page(&next)).await?,
                Ok(None) => return self.ship_rest().await,
                Err(error) => {
                    // What is in hand is good, whatever happened after it.
                    self.ship_rest().await?;
                    return Err(error);
                }
            }
        }
    }

    /// Reads a page and puts its new records into batches. Gives the next page's URL.
    async fn take_in(&mut self, answer: Answer, now: DateTime<Utc>) -> Result<Option<Url>, IterationError> {
        self.report.pages += 1;
        self.meter.add_page();
        let page = self.report.pages;
        if answer.was_lossy {
            tracing::warn!(api = self.plan.name, page, "the page holds bytes that are no UTF-8; they are replaced");
        }
        let read = answer.text.as_deref().map_or_else(|| Ok(Page::empty()), |text| Page::read(text, &self.plan.paths));
        let read = read.map_err(|cause| IterationError::Page { page, cause })?;
        let paths = &self.plan.paths;
        let records: Vec<Record<'_>> =
            read.records.iter().map(|raw| Record::read(*raw, &paths.date, paths.id.as_ref())).collect();
        self.require_dates(&records)?;
        self.window.see_dates(records.iter().filter_map(|record| record.date), now);
        self.order.see(records.iter().filter_map(|record| record.date));
        self.batch(&records, now).await?;
        let next = self.next(&read, &answer.base)?;
        self.require_new_page(&records, next.is_some())?;
        let next = next.filter(|_| !self.order.has_left(&self.window));
        if next.is_some() && page >= PAGES_MAX {
            return Err(IterationError::TooManyPages);
        }
        Ok(next)
    }

    fn require_dates(&self, records: &[Record<'_>]) -> Result<(), IterationError> {
        match records.first() {
            Some(first) if records.iter().all(|record| record.date.is_none()) => Err(IterationError::Undated {
                page: self.report.pages,
                path: self.plan.paths.date.text().to_owned(),
                there: what_is_there(first.raw),
            }),
            _ => Ok(()),
        }
    }

    fn next(&mut self, page: &Page<'_>, base: &Url) -> Result<Option<Url>, IterationError> {
        let Some(link) = &page.next_url else { return Ok(None) };
        let page = self.report.pages;
        let next = next_link(link, base, &self.plan.request.url);
        let next = next.map_err(|cause| IterationError::NextLink { page, cause })?;
        if !self.seen.links.insert(Fingerprint::of(&[next.as_str().as_bytes()])) {
            return Err(IterationError::Circle { page, what: "its next link" });
        }
        Ok(Some(next))
    }

    /// A page whose records all came before, in the same order, is the beginning of a circle if more follow.
    fn require_new_page(&mut self, records: &[Record<'_>], is_followed: bool) -> Result<(), IterationError> {
        if records.is_empty() {
            return Ok(());
        }
        let parts: Vec<&[u8]> = records.iter().map(|record| record.fingerprint.bytes()).collect();
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
        let mut line = Vec::new();
        for (record, is_new) in in_window.iter().zip(self.sieve.admit(&in_window)) {
            if !is_new {
                self.report.known += 1;
                continue;
            }
            self.report.undated += u64::from(record.date.is_none());
            self.report.future += u64::from(record.date.is_some_and(|date| is_future(date, now)));
            line.clear();
            self.plan.custom_fields.append_line(record.raw, &mut line);
            let identity = Identity { fingerprint: record.fingerprint, date: record.date };
            self.sieve.send(identity.fingerprint);
            match self.batcher.push(&line, identity) {
                Ok(full) => self.ready.extend(full),
                Err(_) => {
                    self.shipper.keep_too_long(&line, self.now).await?;
                    self.sieve.acknowledge(identity.fingerprint, identity.date);
                    self.report.shipped.set_aside += 1;
                }
            }
        }
        Ok(())
    }

    async fn ship_rest(&mut self) -> Result<(), IterationError> {
        self.ready.extend(self.batcher.finish());
        self.ship_ready().await
    }

    async fn ship_ready(&mut self) -> Result<(), IterationError> {
        let Self { shipper, sieve, report, meter, now, ready, .. } = self;
        for batch in std::mem::take(ready) {
            let done = |batch: &Batch, shipped: Shipped| {
                batch.identities().for_each(|identity| sieve.acknowledge(identity.fingerprint, identity.date));
                report.shipped.records += shipped.records;
                report.shipped.bytes += shipped.bytes;
                report.shipped.set_aside += shipped.set_aside;
                meter.add_records(shipped.records, shipped.bytes);
            };
            shipper.ship(batch, *now, done).await?;
        }
        Ok(())
    }
}

fn fetch_error(page: u64, cause: FetchError) -> IterationError {
    let is_stale = page > 1 && cause.status() == Some(StatusCode::BAD_REQUEST);
    if is_stale { IterationError::StaleLink { page, cause } } else { IterationError::Fetch { page, cause } }
}

/// Ships and fetches at the same time. A failure to ship ends both at once; a failure to fetch waits for the shipping.
async fn alongside<T, E>(ship: impl Future<Output = Result<(), E>>, fetch: impl Future<Output = T>) -> Result<T, E> {
    tokio::pin!(ship, fetch);
    tokio::select! {
        shipped = &mut ship => {
            shipped?;
            Ok(fetch.await)
        }
        fetched = &mut fetch => {
            ship.await?;
            Ok(fetched)
        }
    }
}
