//! One iteration under way: its pages, its batches, what it remembers.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};

use chrono::{DateTime, Utc};
use futures_util::future::{MaybeDone, maybe_done};
use reqwest::{StatusCode, Url};

use super::delivery::{Delivery, cant_remember};
use super::report::{IterationError, Report, is_refusal};
use super::watch::Observed;
use crate::fetch::{Answer, FetchError, Fetcher, Turn, error_words, next_link};
use crate::meter::Meter;
use crate::plan::Plan;
use crate::record::answer::{More, is_link, more};
use crate::record::json::{Kind, Raw};
use crate::record::path::what_is_there;
use crate::record::{Fingerprint, Identity, KEYS_HIDDEN, Page, PageError, Record, date};
use crate::ship::{BATCH_BYTES_MAX, Batch, Batcher, Done, ShipError, Shipper, TooLong};
use crate::state::{Account, Folder, Oddity, Remembering};
use crate::window::{
    Chain, Moment, Probe, Progress, Proof, Reach, Seen, Sieve, Sight, Step, Window, is_future, is_too_old,
};

/// How many batches may be on their way while a page is split and the next one fetched: one that is sent, and one that is
/// compressed. Where a page alone fills a batch, those of earlier pages are delivered before the next is asked for.
const BEHIND_MAX: usize = 2;
/// A page below this size is shipped by itself while the next is fetched, so that its place is saved soon; larger ones fill
/// batches together.
const SMALL_PAGE_BYTES: usize = 128 * 1024;

/// One iteration under way.
pub(super) struct Run<'a> {
    plan: &'a Plan,
    folder: &'a Folder,
    delivery: Delivery,
    meter: &'a Meter,
    account: &'a mut Account,
    now: DateTime<Utc>,
    sieve: Sieve,
    batcher: Batcher,
    places: Places,
    /// Whether the next page is the last one of an iteration that was cut, asked for again.
    is_proof: bool,
    /// Whether it went on where the last iteration was cut.
    pub(super) is_resumed: bool,
    /// Whether a batch could not be delivered, or what was refused of it not be kept.
    pub(super) has_failed: bool,
    /// What the listener refused and could not be kept in a file yet.
    pub(super) refused: Option<Refused>,
    pub(super) chain: Chain,
    pub(super) window: Window,
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

/// A page that was asked for.
#[derive(Clone)]
struct Asked {
    url: Url,
    /// The link to it; nothing for the first page.
    link: Option<String>,
}

/// Where an iteration can go on, behind pages whose records are not all delivered yet.
#[derive(Default)]
struct Places {
    /// By the number of records that were put into batches before.
    waiting: VecDeque<(u64, Progress)>,
    batched: u64,
    delivered: u64,
}

impl Places {
    /// Notes that records were delivered. Gives the last place that they complete.
    fn deliver(&mut self, records: u64) -> Option<Progress> {
        self.delivered = self.delivered.saturating_add(records);
        let complete = self.waiting.partition_point(|(batched, _)| *batched <= self.delivered);
        self.waiting.drain(..complete).next_back().map(|(_, place)| place)
    }
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
        let chain = Chain::new(account.sorted, now);
        Self {
            plan,
            folder,
            delivery: Delivery::new(shipper, now),
            meter,
            account,
            now,
            sieve: Sieve::default(),
            batcher: Batcher::default(),
            places: Places::default(),
            is_proof: false,
            is_resumed: false,
            has_failed: false,
            refused: None,
            chain,
            window,
            report: Report::default(),
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
                (Asked { url: self.first_url(self.window.start), link: None }, fetched)
            }
        };
        loop {
            let page = self.chain.course().pages + 1;
            let taken = match fetched {
                Ok(answer) => self.take_in(answer, &asked, fetcher, Utc::now()).await,
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

    /// Goes on where the last iteration was cut. Gives nothing where it wasn't, or where the place doesn't prove itself:
    /// then the window begins again, and what was delivered of it is known.
    async fn resume(&mut self, fetcher: &Fetcher<'_>) -> Option<(Asked, Result<Answer, FetchError>)> {
        let progress = self.account.progress.clone()?;
        let asked = self.asked_to_resume(&progress);
        let fetched = match &asked {
            Some(asked) if progress.is_valid(self.plan.requests_fingerprint(), self.now) => {
                let turn = if asked.link.is_some() { Turn::Next } else { Turn::First };
                Box::pin(fetcher.page(&asked.url, turn)).await
            }
            _ => return self.begin_again(),
        };
        let is_proved = match &fetched {
            Ok(answer) => self.proves(answer, &progress).await,
            Err(cause) if cause.status().is_some_and(is_refusal) => false,
            Err(_) => true,
        };
        if !is_proved {
            return self.begin_again();
        }
        self.is_proof = matches!(progress.proof(), Proof::Again(_));
        self.chain = Chain::new(self.account.sorted, self.now).resumed(progress.course, self.is_proof);
        self.window = progress.window;
        self.is_resumed = true;
        tracing::debug!(
            api = self.plan.name,
            page = progress.course.pages,
            "going on where the last iteration was cut"
        );
        asked.map(|asked| (asked, fetched))
    }

    fn begin_again<T>(&mut self) -> Option<T> {
        self.account.progress = None;
        tracing::info!(
            api = self.plan.name,
            "the place where the last iteration was cut can't be found again; the window begins again, and what was \
             delivered of it is left out"
        );
        None
    }

    fn asked_to_resume(&self, progress: &Progress) -> Option<Asked> {
        let (Proof::Behind(link) | Proof::Again(Some(link))) = progress.proof() else {
            return Some(Asked { url: self.first_url(progress.window.start), link: None });
        };
        let configured = &self.plan.request.url;
        Some(Asked {
            url: next_link(link, configured, configured, &self.plan.request.hosts).ok()?,
            link: Some(link.to_owned()),
        })
    }

    /// Whether an answer shows that pages go on as they did.
    async fn proves(&self, answer: &Answer, progress: &Progress) -> bool {
        let Some(text) = answer.text.as_deref() else { return false };
        let Ok(page) = Page::read(text, &self.plan.paths, &self.plan.custom_fields) else { return false };
        match progress.proof() {
            Proof::Again(_) => {
                let records: Vec<Fingerprint> = page.records.iter().map(|record| record.fingerprint).collect();
                progress.is_proved(&records, page.next_url.is_some())
            }
            Proof::Behind(_) => {
                let identities = page.records.iter().map(Record::identity).collect();
                let delivered = self.folder.counts(self.account.number, identities).await.unwrap_or_default();
                delivered.contains(&0)
            }
        }
    }

    fn first_url(&self, start: DateTime<Utc>) -> Url {
        self.plan.request.first_url(start)
    }

    /// The first page. Where the API refuses the start date as too old, that of the earliest date that it takes.
    ///
    /// The same words may mean something else that passes, and what lies before a later start is given up. So the same
    /// request is made again before they are believed, and once more when a later start was taken.
    async fn first_page(&mut self, fetcher: &Fetcher<'_>) -> Result<Answer, FetchError> {
        let wanted = self.window.start;
        let first_url = self.first_url(wanted);
        match Box::pin(fetcher.page(&first_url, Turn::First)).await {
            Err(cause) if refused_as_too_old(&cause).is_some() => {}
            other => return other,
        }
        match Box::pin(fetcher.page(&first_url, Turn::First)).await {
            Err(cause) if refused_as_too_old(&cause).is_some() => self.later_first_page(fetcher, cause).await,
            other => other,
        }
    }

    /// The first page from the earliest start on that the API takes.
    async fn later_first_page(&mut self, fetcher: &Fetcher<'_>, refused: FetchError) -> Result<Answer, FetchError> {
        let wanted = self.window.start;
        let said = refused_as_too_old(&refused).unwrap_or_default();
        tracing::info!(api = self.plan.name, start = date::format(wanted), cause = %refused, "looking for a later start");
        let mut probe = Probe::new(wanted, said, self.now);
        let mut earliest = None;
        while let Some(start) = probe.next(self.now) {
            match Box::pin(fetcher.page(&self.first_url(start), Turn::First)).await {
                Ok(answer) => {
                    probe.accept(start);
                    earliest = Some((start, answer));
                }
                Err(cause) if refused_as_too_old(&cause).is_some() => probe.refuse(start),
                Err(cause) => return Err(cause),
            }
        }
        let Some((start, answer)) = earliest else { return Err(refused) };
        match Box::pin(fetcher.page(&self.first_url(wanted), Turn::First)).await {
            Err(cause) if refused_as_too_old(&cause).is_some() => {}
            other => return other,
        }
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
        asked: &Asked,
        fetcher: &Fetcher<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<(Asked, Result<Answer, FetchError>)>, IterationError> {
        self.report.pages += 1;
        self.meter.add_page();
        let read = self.read(&answer)?;
        let records = &read.records;
        let next = self.next(&read, &answer);
        let seen = self.see(records, now).await;
        let step = self.step(&seen, asked, next.as_ref().ok().and_then(Option::as_ref), answer.moment);
        let (place, next, turn) = match (next, step) {
            (Ok(Some(next)), Step::On { is_repeated }) => {
                let turn = if is_repeated { Turn::Repeated } else { Turn::Next };
                (self.place(asked, &next, &seen, &answer, now), next, turn)
            }
            (next, step) => {
                self.note_last(&answer, records.len());
                self.batch(records, now).await?;
                return match (next, step) {
                    (Err(error), _) => Err(error),
                    (Ok(_), Step::Circle) => Err(IterationError::Circle { page: self.chain.course().pages }),
                    (Ok(Some(next)), Step::Pause) => {
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
        if fetcher.seat.is_wanted() {
            self.batch(records, now).await?;
            self.wait_at(place).await;
            drop(read);
            drop(answer);
            // Nothing of this iteration stays in memory.
            self.ship_rest().await?;
            self.batcher = Batcher::default();
            let fetched = Box::pin(fetcher.page_in_turn(&next.url, turn)).await;
            return Ok(Some((next, fetched)));
        }
        // One page ahead: what earlier pages filled goes first.
        let bytes = answer.text.as_ref().map_or(0, String::len);
        let (is_small, fills_batches) = (bytes < SMALL_PAGE_BYTES, bytes >= BATCH_BYTES_MAX);
        self.ship_until(if is_small || fills_batches { 0 } else { BEHIND_MAX }).await?;
        let url = next.url.clone();
        let mut fetch = pin!(maybe_done(Box::pin(fetcher.page(&url, turn))));
        self.batch_alongside(records, now, fetch.as_mut()).await?;
        drop(read);
        drop(answer);
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
            tracing::warn!(api = self.plan.name, page, "the page holds bytes that are no UTF-8; they are replaced");
        }
        let (paths, fields) = (&self.plan.paths, &self.plan.custom_fields);
        let read = answer.text.as_deref().map_or_else(|| Ok(Page::empty()), |text| Page::read(text, paths, fields));
        let may_show = || !answer.text.as_deref().is_some_and(|text| answer.secrets.finds_in(text));
        let unreadable = |cause: PageError| IterationError::Page { page, cause: cause.shown(may_show) };
        let read = read.map_err(unreadable)?;
        if let Some(told) = read.error {
            let said = error_words(told.text(), &answer.secrets);
            if read.records.is_empty() {
                return Err(IterationError::ToldError { page, said });
            }
            if !std::mem::replace(&mut self.observed.has_told_error, true) {
                tracing::warn!(api = self.plan.name, page, "the answer tells of an error beside its records{said}");
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
    fn step(&mut self, seen: &[Seen], asked: &Asked, next: Option<&Asked>, moment: Moment) -> Step {
        let request = |asked: &Asked| Fingerprint::of(&[asked.url.as_str().as_bytes()]);
        let sight = Sight { request: request(asked), moment, records: seen, next: next.map(request) };
        let step = self.chain.see(&sight);
        self.observed.pages = self.chain.pages();
        self.observed.direction = self.chain.course().direction();
        step
    }

    /// The place behind a page. A link that holds a secret is not saved: then the window begins again.
    fn place(
        &self,
        asked: &Asked,
        next: &Asked,
        seen: &[Seen],
        answer: &Answer,
        now: DateTime<Utc>,
    ) -> Option<Progress> {
        let link = next.link.clone().filter(|link| !answer.secrets.finds_in(link))?;
        let requests = self.plan.requests_fingerprint();
        let place = Progress::new(requests, self.window, asked.link.clone(), link, self.chain.course());
        let records: Vec<Fingerprint> = seen.iter().map(|seen| seen.fingerprint).collect();
        Some(place.proved_by(&records, self.is_proof && self.chain.pages() == 1, now))
    }

    /// Saves a place, once everything before it is delivered.
    async fn wait_at(&mut self, place: Option<Progress>) {
        let Some(place) = place else { return };
        self.places.waiting.push_back((self.places.batched, place));
        if let Some(place) = self.places.deliver(0) {
            self.account.progress = Some(place);
            drop(self.folder.save_soon(&self.plan.name, self.account.clone()).await);
        }
    }

    /// Learns from the dates of a page, and tells which of its records lie below the window.
    async fn see(&mut self, records: &[Record<'_>], now: DateTime<Utc>) -> Vec<Seen> {
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
            self.folder.save(&self.plan.name, self.account.clone()).await;
        }
        let seen = |record: &Record<'_>| Seen {
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
        let root = answer.text.as_deref().and_then(|text| Raw::parse(text).ok());
        let shown = root.and_then(|root| more(root, records));
        // A total may count something else.
        let is_sure = shown.is_some_and(|more| !matches!(more, More::Count(_)));
        self.observed.shows_more = answer.has_next_header || is_sure;
    }

    /// A first page where no record has a date can't be what the config means. `may_show` tells whether keys may be named.
    fn require_dates(&self, records: &[Record<'_>], may_show: impl FnOnce() -> bool) -> Result<(), IterationError> {
        // Behind dated records those without a date are believed, but not something that is no record at all.
        let is_later = self.chain.course().has_dates();
        let is_odd = |record: &Record<'_>| record.date.is_none() && !(is_later && record.raw.kind() == Kind::Object);
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
    fn next(&mut self, read: &Page<'_>, answer: &Answer) -> Result<Option<Asked>, IterationError> {
        let page = self.report.pages;
        let Some(link) = &read.next_url else { return Ok(None) };
        if !is_link(link) {
            let path = self.plan.paths.next_url.as_ref().map(|path| path.text().to_owned()).unwrap_or_default();
            return Err(IterationError::NextToken { page, path });
        }
        let url = next_link(link, &answer.base, &self.plan.request.url, &self.plan.request.hosts)
            .map_err(|cause| IterationError::NextLink { page, cause })?;
        (self.account.has_found_next, self.observed.has_followed) = (true, true);
        Ok(Some(Asked { link: Some(url.to_string()), url }))
    }

    /// Leaves out what is older than the window or known, and puts the rest into batches.
    async fn batch(&mut self, records: &[Record<'_>], now: DateTime<Utc>) -> Result<(), IterationError> {
        let mut in_window = Vec::with_capacity(records.len());
        for record in records {
            if record.date.is_some_and(|date| self.window.is_below(date)) {
                self.report.older += 1;
                continue;
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
                Ok(full) => {
                    self.places.batched += 1;
                    self.enqueue(full);
                }
                Err(TooLong { line }) => {
                    self.delivery.shipper.keep_too_long(&line, record.identity(), self.now).await?;
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
        let looks = [self.account.last_sweep, self.account.wide_look];
        let was_swept = looks.into_iter().flatten().any(|look| date >= look.start);
        // How late it is, the newest record tells that was delivered before, not the clock: a source may be late throughout.
        if let Some(newest) = self.account.newest.filter(|_| is_new && !is_ahead && was_swept) {
            self.account.lateness.add(newest.signed_duration_since(date));
        }
    }

    /// Begins to remember that records were delivered, or set aside: from now on the store knows of them.
    async fn remember(&mut self, identities: Vec<Identity>) -> Remembering {
        identities.iter().for_each(|identity| self.sieve.acknowledge(identity.fingerprint));
        match self.places.deliver(0) {
            None => self.folder.remember(self.account.number, self.account.iteration, identities).await,
            Some(place) => {
                self.account.progress = Some(place);
                self.folder.remember_with(&self.plan.name, self.account.clone(), identities).await
            }
        }
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

    /// Ships while something is fetched; where that has to wait, what fills no batch, too. A failure to ship ends both at
    /// once.
    async fn ship_alongside<T>(
        &mut self,
        fetch: impl Future<Output = T>,
        fetcher: &Fetcher<'_>,
    ) -> Result<T, IterationError> {
        tokio::pin!(fetch);
        let mut has_all = false;
        let fetched = loop {
            let done = tokio::select! {
                fetched = &mut fetch => break fetched,
                done = self.delivery.next() => done,
                () = fetcher.waits.long_one(), if !has_all => {
                    let rest = self.batcher.finish();
                    self.enqueue(rest);
                    has_all = true;
                    continue;
                }
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
                self.places.delivered = self.places.delivered.saturating_add(piece.len() as u64);
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
            let identities: Vec<Identity> = piece.identities().collect();
            self.refused = None;
            self.places.delivered = self.places.delivered.saturating_add(identities.len() as u64);
            self.remember(identities).await.end().await.map_err(cant_remember)?;
        }
        Ok(())
    }
}

/// What an answer says that refuses a start date as too old.
fn refused_as_too_old(cause: &FetchError) -> Option<&str> {
    match cause {
        FetchError::Status { status, said, .. } => {
            let is_such =
                [StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN, StatusCode::UNPROCESSABLE_ENTITY].contains(status);
            Some(said.as_str()).filter(|said| is_such && is_too_old(said))
        }
        _ => None,
    }
}
