//! Where an iteration that is cut can go on, and how it goes on there.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use super::super::report::is_refusal;
use super::{PageRequest, Pipeline, beside_the_runtime};
use crate::fetch::{Answer, FetchError, Fetcher, RequestTurn, next_link};
use crate::record::{Fingerprint, Page, Record};
use crate::window::{Chain, Progress, Proof, SeenRecord};

/// Where an iteration can go on, behind pages whose records are not all delivered yet.
#[derive(Default)]
pub(super) struct Places {
    /// By the number of records that were put into batches before.
    pub(super) waiting: VecDeque<(u64, Progress)>,
    pub(super) batched: u64,
    pub(super) delivered: u64,
}

impl Places {
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
    pub(super) async fn resume(&mut self, fetcher: &Fetcher<'_>) -> Option<(PageRequest, Result<Answer, FetchError>)> {
        let progress = self.account.progress.clone()?;
        let asked = self.asked_to_resume(&progress);
        let fetched = match &asked {
            Some(asked) if progress.is_valid(self.plan.requests_fingerprint(), self.now) => {
                let turn = if asked.link.is_some() { RequestTurn::Next } else { RequestTurn::First };
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

    fn asked_to_resume(&self, progress: &Progress) -> Option<PageRequest> {
        let (Proof::Behind(link) | Proof::Again(Some(link))) = progress.proof() else {
            return Some(PageRequest { url: self.first_url(progress.window.start), link: None });
        };
        let configured = &self.plan.request.url;
        Some(PageRequest {
            url: next_link(link, configured, configured, &self.plan.request.hosts).ok()?,
            link: Some(link.to_owned()),
        })
    }

    /// Whether an answer shows that pages go on as they did.
    async fn proves(&self, answer: &Answer, progress: &Progress) -> bool {
        let Some(text) = answer.text.as_deref() else { return false };
        let (paths, fields) = (&self.plan.paths, &self.plan.custom_fields);
        let Ok(page) = beside_the_runtime(text, || Page::read(text, paths, fields)) else { return false };
        match progress.proof() {
            Proof::Again(_) => {
                let records: Vec<Fingerprint> = page.records.iter().map(|record| record.fingerprint).collect();
                progress.is_proved(&records, page.next_url.is_some())
            }
            Proof::Behind(_) => {
                let identities = page.records.iter().map(Record::identity).collect();
                let delivered = self.directory.counts(self.account.ledger, identities).await.unwrap_or_default();
                delivered.contains(&0)
            }
        }
    }

    /// The place behind a page. A link that holds a secret is not saved: then the window begins again.
    pub(super) fn place(
        &self,
        asked: &PageRequest,
        next: &PageRequest,
        seen: &[SeenRecord],
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
    pub(super) async fn wait_at(&mut self, place: Option<Progress>) {
        let Some(place) = place else { return };
        self.places.waiting.push_back((self.places.batched, place));
        if let Some(place) = self.places.deliver(0) {
            self.account.progress = Some(place);
            drop(self.directory.save_soon(&self.plan.name, self.account.clone()).await);
        }
    }
}
