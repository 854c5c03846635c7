//! Where an iteration that is cut can go on, and how it goes on there.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use super::super::outcome;
use super::super::report::is_refusal;
use super::super::steps::entry_key;
use super::Pipeline;
use crate::fetch::{Answer, FetchError, Fetcher, RequestTurn};
use crate::paging::{Pagination, next_link};
use crate::record::date::before;
use crate::record::{Fingerprint, Page, Record, RecordKey};
use crate::template::{Position, Scope};
use crate::window::{Progress, Proof, SeenRecord};

/// How an iteration went on where the last one was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Resumed {
    /// Whether its first page is the last one of the iteration that was cut, asked for again.
    is_proof: bool,
}

/// Where an iteration can go on, behind pages whose records are not all delivered yet.
#[derive(Default)]
pub(super) struct Places {
    /// By the number of records that were put into batches before.
    pub(super) waiting: VecDeque<(u64, Progress)>,
    pub(super) batched: u64,
    pub(super) delivered: u64,
    /// Entries of a list that are answered to their end, by the number of records that were put into batches before.
    entries: VecDeque<(u64, RecordKey)>,
}

impl Places {
    /// Notes that all of an entry was answered. Gives the entries that are done, where all their records are delivered.
    pub(super) fn finish_entry(&mut self, key: RecordKey) -> Option<Vec<RecordKey>> {
        self.entries.push_back((self.batched, key));
        Some(self.take_entries()).filter(|done| !done.is_empty())
    }

    /// The entries all of whose records are delivered; each is given once.
    pub(super) fn take_entries(&mut self) -> Vec<RecordKey> {
        let complete = self.entries.partition_point(|(batched, _)| *batched <= self.delivered);
        self.entries.drain(..complete).map(|(_, key)| key).collect()
    }

    /// Notes that records were delivered. Gives the last place that they complete.
    pub(super) fn deliver(&mut self, records: u64) -> Option<Progress> {
        self.delivered = self.delivered.saturating_add(records);
        let complete = self.waiting.partition_point(|(batched, _)| *batched <= self.delivered);
        self.waiting.drain(..complete).next_back().map(|(_, place)| place)
    }
}

impl Pipeline<'_> {
    /// Goes on where the last iteration was cut. Gives nothing where it wasn't, or where the place doesn't prove itself:
    /// then the window begins again, and what was delivered of it is known.
    pub(super) async fn resume(&mut self, fetcher: &Fetcher<'_>) -> Option<(Position, Result<Answer, FetchError>)> {
        let progress = self.account.progress.clone()?;
        let asked = self.asked_to_resume(&progress);
        let fetched =
            match &asked {
                Some(asked) if progress.is_valid(self.plan.requests_fingerprint(), self.now) => {
                    let turn = if asked.is_first() { RequestTurn::First } else { RequestTurn::Next };
                    Box::pin(fetcher.page(
                        Scope { start: progress.window.start, end: progress.window.end, ..self.scope(asked) },
                        turn,
                    ))
                    .await
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
        let is_proof = matches!(progress.proof(), Proof::Again(_));
        let chain = outcome::chain(&self.plan.start, self.account, self.now);
        self.intake.chain = chain.resumed(progress.course, is_proof);
        self.intake.window = progress.window;
        self.intake.names_start = asked.as_ref().is_some_and(|asked| self.names_start(asked));
        self.resumed = Some(Resumed { is_proof });
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

    /// What to ask first; nothing where its link may not be followed any more, or the API no longer takes its start.
    fn asked_to_resume(&self, progress: &Progress) -> Option<Position> {
        let (Proof::Behind(position) | Proof::Again(position)) = progress.proof();
        if let Some(link) = &position.next_url {
            let configured = &self.plan.request.url;
            next_link(link, configured, configured, &self.plan.request.hosts).ok()?;
        }
        let names_start = self.plan.request.names_start(position);
        let is_too_old = self.plan.start.max_age.is_some_and(|age| progress.window.start < before(self.now, age));
        Some(position.clone()).filter(|_| !(names_start && is_too_old))
    }

    /// Whether an answer shows that pages go on as they did.
    async fn proves(&self, answer: &Answer, progress: &Progress) -> bool {
        let Some(page) = self.read_again(answer) else { return false };
        match progress.proof() {
            Proof::Again(_) => {
                let records: Vec<Fingerprint> = page.records.iter().map(|record| record.fingerprint).collect();
                progress.is_proved(&records, self.leads_on(answer, &page, progress))
            }
            Proof::Behind(_) => {
                let key = if self.plan.steps.is_empty() { Record::identity } else { entry_key };
                let identities = page.records.iter().map(key).collect();
                let delivered = self.claim.counts(self.account.ledger, identities).await.unwrap_or_default();
                delivered.contains(&0)
            }
        }
    }

    /// Whether a page that came again leads on.
    fn leads_on(&self, answer: &Answer, page: &Page<'_>, progress: &Progress) -> bool {
        let (Proof::Behind(position) | Proof::Again(position)) = progress.proof();
        let facts = self.facts(answer, page);
        self.plan.paging.next(&self.plan.request, position, &facts).is_ok_and(|next| next.is_some())
    }

    /// The place behind a page. One that holds a secret is not saved: then the window begins again.
    pub(super) fn place(
        &self,
        asked: &Position,
        next: &Position,
        seen: &[SeenRecord],
        answer: &Answer,
        now: DateTime<Utc>,
    ) -> Option<Progress> {
        if next.texts().any(|text| answer.secrets.finds_in(&text)) {
            return None;
        }
        let (requests, window) = (self.plan.requests_fingerprint(), self.intake.window);
        let place = Progress::new(requests, window, asked.clone(), next.clone(), self.intake.chain.course());
        let records: Vec<Fingerprint> = seen.iter().map(|seen| seen.fingerprint).collect();
        let is_only_proved = self.resumed.is_some_and(|resumed| resumed.is_proof) && self.intake.chain.pages() == 1;
        Some(place.proved_by(&records, is_only_proved, now))
    }

    /// Notes that everything before a place is delivered. A cursor that itself leads to the next page moves with it.
    pub(super) fn take_place(&mut self, place: Progress) {
        if self.plan.paging.kind == Pagination::Cursor && !self.intake.observed.has_left_out {
            self.account.keep_cursor(place.next().cursor.clone(), self.now);
        }
        self.account.progress = Some(place);
    }

    /// Saves a place, once everything before it is delivered.
    pub(super) async fn wait_at(&mut self, place: Option<Progress>) {
        let Some(place) = place else { return };
        self.lane.places.waiting.push_back((self.lane.places.batched, place));
        if let Some(place) = self.lane.places.deliver(0) {
            self.take_place(place);
            drop(self.claim.save_soon(self.account.clone()).await);
        }
    }
}
