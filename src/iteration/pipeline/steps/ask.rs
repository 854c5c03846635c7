//! Requests about entries: what is to be asked, what is under way, and what came.

use std::collections::VecDeque;
use std::pin::Pin;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::StatusCode;

use crate::fetch::{Answer, FetchError, Fetcher, RequestTurn};
use crate::iteration::report::{IterationError, status_of};
use crate::iteration::steps::{JobProgress, job_progress, poll_pause};
use crate::plan::StepPlan;
use crate::record::Fingerprint;
use crate::retry;
use crate::template::{ListEntry, Position, ProofScope, Scope};
use crate::window::Chain;

/// How an API says that there is no page of that number.
const NO_SUCH_PAGE: [StatusCode; 2] = [StatusCode::NOT_FOUND, StatusCode::RANGE_NOT_SATISFIABLE];

/// A request about an entry that is to be made.
pub(super) struct Ask {
    /// The entry of the first list that it is about.
    pub(super) number: u64,
    /// Which step, from 0.
    pub(super) step: usize,
    /// What tells the entry that this step asks about from others.
    pub(super) key: Fingerprint,
    /// The same of the entries of the steps before: under these the jobs are kept that led here.
    pub(super) above: Vec<Fingerprint>,
    pub(super) entry: ListEntry,
    /// Where its pages stand.
    pub(super) position: Position,
    pub(super) chain: Box<Chain>,
    pub(super) turn: RequestTurn,
    /// When its job was started, where it is one.
    pub(super) begun: DateTime<Utc>,
    /// Whether the page behind the last one was refused once.
    pub(super) is_refused_once: bool,
}

/// An answer about an entry, or why there is none.
pub(super) type EntryAnswer = (Ask, Result<Answer, IterationError>);

/// Requests that are under way, and what came while another answer was looked at.
pub(super) struct Inquiries<'f> {
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = EntryAnswer> + Send + 'f>>>,
    ready: VecDeque<EntryAnswer>,
}

impl<'f> Inquiries<'f> {
    /// With none.
    pub(super) fn new() -> Self {
        Self { under_way: FuturesUnordered::new(), ready: VecDeque::new() }
    }

    /// How many are under way or wait to be looked at.
    pub(super) fn len(&self) -> usize {
        self.under_way.len() + self.ready.len()
    }

    /// Begins another one.
    pub(super) fn begin(&mut self, fetcher: &'f Fetcher<'f>, step: &'f StepPlan, ask: Ask, window: WindowValues) {
        self.under_way.push(Box::pin(fetch(fetcher, step, ask, window)));
    }

    /// What came, or comes next; nothing where none is under way.
    pub(super) async fn next(&mut self) -> Option<EntryAnswer> {
        match self.ready.pop_front() {
            Some(asked) => Some(asked),
            None => self.under_way.next().await,
        }
    }

    /// Goes on with those that are under way; what comes waits to be looked at.
    pub(super) async fn go_on(&mut self) {
        while let Some(asked) = self.under_way.next().await {
            self.ready.push_back(asked);
        }
        std::future::pending().await
    }
}

impl Ask {
    /// The first request about an entry of the list.
    pub(super) fn first(number: u64, key: Fingerprint, entry: ListEntry, begun: DateTime<Utc>) -> Self {
        Self {
            number,
            step: 0,
            key,
            above: Vec::new(),
            entry,
            position: Position::default(),
            chain: Box::new(Chain::new(None, TimeDelta::zero(), begun)),
            turn: RequestTurn::First,
            begun,
            is_refused_once: false,
        }
    }

    /// The first request of the next step, about an entry of the answer to this one.
    pub(super) fn below(&self, entry: ListEntry, begun: DateTime<Utc>) -> Self {
        let texts = entry.texts().map(str::as_bytes);
        let key = Fingerprint::of(&std::iter::once(self.key.bytes().as_slice()).chain(texts).collect::<Vec<_>>());
        let above = self.above.iter().copied().chain([self.key]).collect();
        Self { step: self.step + 1, above, ..Self::first(self.number, key, entry, begun) }
    }

    /// Whether a counted page that is refused may lie behind the last one.
    pub(super) fn is_behind_the_last(&self, step: &StepPlan, cause: &FetchError) -> bool {
        let is_such = status_of(cause).is_some_and(|status| NO_SUCH_PAGE.contains(&status));
        is_such && step.plan.paging.is_counted() && !self.position.is_first()
    }
}

/// The values of a window for requests.
#[derive(Clone, Copy)]
pub(super) struct WindowValues {
    pub(super) start: DateTime<Utc>,
    pub(super) end: Option<DateTime<Utc>>,
    pub(super) now: DateTime<Utc>,
}

impl WindowValues {
    /// Those of a request; its `now` is filled in with each attempt.
    pub(super) fn scope<'s>(self, ask: &'s Ask) -> Scope<'s> {
        let Self { start, end, now } = self;
        Scope { start, end, now, position: &ask.position, entry: Some(&ask.entry), proof: ProofScope::StandIn }
    }
}

/// One request about an entry; a job is asked until it is done.
async fn fetch(fetcher: &Fetcher<'_>, step: &StepPlan, ask: Ask, window: WindowValues) -> EntryAnswer {
    let page = ask.chain.pages() + 1;
    let failed = |cause| IterationError::Fetch { page, cause };
    for times in 0.. {
        let answer = match Box::pin(fetcher.page(window.scope(&ask), ask.turn)).await {
            Ok(answer) => answer,
            Err(cause) => return (ask, Err(failed(cause))),
        };
        let Some(poll) = step.poll.as_ref().filter(|_| ask.position.is_first()) else { return (ask, Ok(answer)) };
        let redact = |found: String| answer.secrets.redact(&found);
        let found = match job_progress(poll, answer.text()) {
            JobProgress::Done => return (ask, Ok(answer)),
            JobProgress::Failed(found) => return (ask, Err(IterationError::JobFailed { found: redact(found) })),
            JobProgress::Busy(found) => redact(found),
        };
        let (now, within) = (fetcher.transport.clock().now(), poll.within);
        let asked = retry::asked_wait(&answer.headers, now);
        let Some(pause) = poll_pause(times, asked, ask.begun, within, now) else {
            return (ask, Err(IterationError::JobLate { within, found }));
        };
        tracing::debug!(api = fetcher.plan.name, found, "a job isn't done, asking again in {} s", pause.as_secs());
        drop(answer);
        if let Err(cause) = fetcher.waits.wait(pause).await {
            return (ask, Err(failed(cause)));
        }
    }
    (ask, Err(failed(FetchError::Stopped)))
}
