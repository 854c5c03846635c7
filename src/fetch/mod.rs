//! From a request to the text of a page.
//!
//! Enters: the values for the request of a page. Leaves: the answer's text, decoded and of bounded size, or the reason why there is none.
//! What always holds: credentials, headers and bodies of the config go to the configured origin, and to those that the
//! entry trusts with them; every wait ends, at once where a stop or an edit comes; no message shows a query, a header or a
//! body that was sent.

mod anchor;
mod answer;
mod attempt;
mod auth;
mod error;
mod failure;
mod flaw;
mod gate;
mod hint;
mod later;
mod once;
mod refusal;
mod room;
mod send;
mod shared;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{StatusCode, Url};

pub(crate) use answer::error_words;
pub(crate) use auth::Credentials;
pub use auth::{TokenCache, TokenSlot};
pub use error::FetchError;
pub use gate::{Gate, Gates};
pub(crate) use once::{Call, PageOnce, RefusedAnswer, access_once, page_once};
pub use shared::{KeepAnswer, SharedAnswers, SharedSeat};
pub use waits::Waits;

use crate::counters::Counters;
use crate::memory::{MemoryBudget, Outage, Permit};
use crate::plan::Plan;
use crate::retry::{self, AttemptOutcome, Attempts, Verdict, until_done};
use crate::template::Scope;
use crate::text::Redactor;
use crate::transport::Transport;
use crate::window::Moment;
use attempt::{Attempt, Got};
use auth::Authenticator;
use error::AttemptError;
use later::{Later, Readiness};
use refusal::Refusal;
use room::Room;

/// The largest page that is read, decoded.
pub const PAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How often a web page is asked for again where no data ever came: the URL itself may be wrong.
const FIRST_WEB_PAGES_MAX: u32 = 3;

/// Where in a chain of pages a request stands: what follows a failure depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestTurn {
    /// It begins the chain.
    First,
    /// It asks for what the page before led to. That this isn't there (404) may pass.
    Next,
    /// The same where pages are counted: behind the last page many APIs answer that there is none (404, 416).
    Counted,
    /// It is the same request as the one of the page before (a link or token that repeats itself): the server keeps the
    /// place, and moves on with each. It isn't made again after an answer that was lost.
    Repeated,
}

/// The text of a page.
#[derive(Debug)]
pub struct Answer {
    /// As it came, without a byte order mark; bytes that are not UTF-8 are replaced. Nothing for status 204.
    pub text: Option<Arc<String>>,
    /// The text as it was sent, where another one was made of it to read records from, and paging looks at this one: a rule
    /// for the last answer may be about a text that holds the records.
    pub as_sent: Option<Arc<String>>,
    /// Whether some bytes were no UTF-8.
    pub was_lossy: bool,
    /// What relative links in it refer to.
    pub base: Url,
    /// Knows what must not be shown of it.
    pub secrets: Redactor,
    /// When it was asked for, by our clock and the API's.
    pub moment: Moment,
    /// Its headers.
    pub headers: HeaderMap,
    /// What it takes of the memory budget, where it is counted.
    pub permit: Option<Permit>,
}

impl Answer {
    /// The text that paging looks at.
    #[must_use]
    pub fn text_as_sent(&self) -> Option<&str> {
        self.as_sent.as_ref().map(|text| text.as_str()).or_else(|| self.text())
    }

    /// Its text, where it has one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_ref().map(|text| text.as_str())
    }

    /// How long its text is.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text().map_or(0, str::len)
    }

    /// The same once more; the text is in memory once, and each of them counts it.
    fn shared(&self) -> Self {
        match &self.permit {
            Some(permit) => self.shared_within(permit.budget()),
            None => self.copied(None),
        }
    }

    /// The same, counted within a budget.
    fn shared_within(&self, memory: &MemoryBudget) -> Self {
        let mut permit = memory.permit();
        permit.count_page(self.text_bytes(), 0);
        self.copied(Some(permit))
    }

    fn copied(&self, permit: Option<Permit>) -> Self {
        Self {
            text: self.text.clone(),
            as_sent: self.as_sent.clone(),
            was_lossy: self.was_lossy,
            base: self.base.clone(),
            secrets: self.secrets.clone(),
            moment: self.moment,
            headers: self.headers.clone(),
            permit,
        }
    }
}

/// Asks one API for the pages of one iteration.
#[derive(Debug)]
pub struct Fetcher<'a> {
    /// The way of the requests, shared by all APIs.
    pub transport: &'a Transport,
    /// What to ask.
    pub plan: &'a Plan,
    /// How it waits, and what ends that.
    pub waits: Waits,
    /// Where the API's access token is kept.
    pub token: &'a TokenSlot,
    /// Where it meets the others that ask the same host with the same login.
    pub gate: &'a Gate,
    /// How much of its pages may be in memory.
    pub memory: &'a MemoryBudget,
    /// Whether the listener takes anything: else nothing is read for it.
    pub outage: &'a Outage,
    /// Where it is noted that bytes come.
    pub counters: &'a Counters,
    /// Its part in the answers that the API's outputs share, where it has several.
    pub shared: Option<SharedSeat>,
}

impl<'a> Fetcher<'a> {
    /// The same for the requests of a step, by its plan.
    #[must_use]
    pub fn for_step(&self, plan: &'a Plan) -> Self {
        let Self { transport, token, gate, memory, outage, counters, .. } = self;
        let (waits, shared) = (self.waits.clone(), self.shared.clone());
        Self { transport, plan, waits, token, gate, memory, outage, counters, shared }
    }

    /// One page: tries, waits and tries again as the verdicts say; or what another output's iteration got by the same request.
    ///
    /// # Errors
    /// [`FetchError`] of the last try.
    pub async fn page(&self, scope: Scope<'_>, turn: RequestTurn) -> Result<Answer, FetchError> {
        let Some(shared) = &self.shared else { return self.own_page(scope, turn).await };
        let Ok(request) = self.plan.request.build(&scope) else { return self.own_page(scope, turn).await };
        let shared = shared.page(request.fingerprint(), turn, || Box::pin(self.own_page(scope, turn)));
        tokio::select! {
            biased;
            page = self.waits.stop().until_cut(self.waits.counted(shared)) => page.unwrap_or(Err(FetchError::Stopped)),
            () = self.waits.halted() => Err(FetchError::Recalled),
        }
    }

    /// One page that is asked for.
    async fn own_page(&self, scope: Scope<'_>, turn: RequestTurn) -> Result<Answer, FetchError> {
        let room = Room::new(self.memory, self.outage, &self.waits, self.counters, self.plan.paths.has_tree());
        let host = self.plan.request.url.origin().ascii_serialization();
        let readiness = Readiness::default();
        let attempts =
            PageAttempts { fetcher: self, scope, turn, room: Some(room), host, has_renewed: false, readiness };
        let page = self.waits.stop().until_cut(until_done(retry::API, attempts));
        tokio::select! {
            biased;
            page = page => page.unwrap_or(Err(FetchError::Stopped)),
            () = self.waits.halted() => Err(FetchError::Recalled),
        }
    }
}

/// The attempts to get one page.
struct PageAttempts<'f> {
    fetcher: &'f Fetcher<'f>,
    scope: Scope<'f>,
    turn: RequestTurn,
    /// Where the page may be in memory; it goes with the page.
    room: Option<Room<'f>>,
    host: String,
    /// Whether other credentials were got for it.
    has_renewed: bool,
    /// How often its answer wasn't ready.
    readiness: Readiness,
}

impl Attempts<Answer, FetchError> for PageAttempts<'_> {
    fn api(&self) -> &str {
        &self.fetcher.plan.name
    }

    async fn make(&mut self, failed: u32) -> AttemptOutcome<Answer, FetchError> {
        loop {
            match self.attempt(failed).await {
                // Not ready, and waited for: bounded by [`Readiness`].
                Ok(None) => {}
                Ok(Some(outcome)) => return outcome,
                Err(error) => return AttemptOutcome::Failed(error, Verdict::End),
            }
        }
    }

    async fn pause(&mut self, wait: Duration) -> Result<bool, FetchError> {
        self.room.iter_mut().for_each(Room::give_back);
        self.fetcher.waits.wait(wait).await.map(|()| false)
    }

    fn longest(&self) -> Duration {
        self.fetcher.waits.longest()
    }

    fn limited(&self, error: FetchError, asked: Duration) -> FetchError {
        error.limited(asked, self.fetcher.transport.clock().now())
    }
}

impl PageAttempts<'_> {
    /// One attempt; `None` where the answer isn't ready, once the wait for it is over. An error ends them all.
    async fn attempt(&mut self, failed: u32) -> Result<Option<AttemptOutcome<Answer, FetchError>>, FetchError> {
        let Fetcher { transport, plan, waits, token, gate, counters, .. } = self.fetcher;
        gate.pass(plan.rate, waits, &self.host).await?;
        waits.for_leave().await?;
        let authenticator = Authenticator { transport, plan, token, waits };
        let credentials = authenticator.credentials().await?;
        let is_http1 = gate.is_http1();
        if let Some(room) = &mut self.room {
            room.take_first().await?;
        }
        let (at, clock) = (transport.request_time(), transport.clock());
        let scope = Scope { now: at, ..self.scope };
        let mut request = credentials.request(plan, &plan.request, &scope)?;
        self.readiness.put_into(&mut request.request.headers);
        let attempt = Attempt { transport, plan, is_http1, at, counters };
        let made = attempt.make(&request, self.room.as_mut()).await;
        let refusal = match &made {
            Ok(got) if got.refuses_token() => Some(Refusal::Clear),
            Ok(_) => None,
            Err(failure) => failure.refusal,
        };
        let is_renewed =
            !self.has_renewed && refusal.is_some_and(|refusal| authenticator.renews(&credentials, refusal));
        let failure = match made {
            Ok(Got { flaw: None, answer, .. }) if !is_renewed => {
                gate.note(retry::quota(&answer.headers, clock.now()), clock.instant());
                let permit = self.room.take().map(Room::into_permit);
                return Ok(Some(AttemptOutcome::Done(Answer { permit, ..answer })));
            }
            Ok(got) => got.failure(&request.request.url, &request.redactor),
            Err(failure) => failure,
        };
        if is_renewed {
            tracing::info!(api = plan.name, "the access token is refused, asking for a fresh one");
            self.has_renewed = true;
            return Ok(Some(AttemptOutcome::AtOnce(failure.error)));
        }
        if let Some(later) = failure.later.as_deref().cloned() {
            return self.wait_until_ready(later, failure).await;
        }
        if failure.wants_http1 && gate.go_on_by_http1() {
            tracing::info!(api = plan.name, "the server refuses HTTP/2, going on by HTTP/1.1");
            return Ok(Some(AttemptOutcome::AtOnce(failure.error)));
        }
        let AttemptError { error, verdict, .. } = judged(failure, self.turn, failed);
        if let Verdict::Retry { asked: Some(asked) } = verdict {
            gate.hold(asked, clock.instant());
        }
        Ok(Some(AttemptOutcome::Failed(error, verdict)))
    }

    /// Waits until the same may be asked for again; a failure where that was long enough, or the wait it asks for is longer than
    /// an iteration lasts.
    async fn wait_until_ready(
        &mut self,
        later: Later,
        failure: AttemptError,
    ) -> Result<Option<AttemptOutcome<Answer, FetchError>>, FetchError> {
        let (waits, asked) = (&self.fetcher.waits, later.asked);
        let waited = self.readiness.waited();
        let error = match failure.error {
            FetchError::NotReady { url, status, .. } => FetchError::NotReady { url, status, waited },
            other => other,
        };
        if let Some(asked) = asked.filter(|asked| *asked > waits.longest()) {
            return Ok(Some(AttemptOutcome::Failed(self.limited(error, asked), Verdict::End)));
        }
        let Some(pause) = self.readiness.pause(later) else {
            return Ok(Some(AttemptOutcome::Failed(error, Verdict::End)));
        };
        tracing::debug!(api = self.fetcher.plan.name, "the answer isn't ready, asking again in {} s", pause.as_secs());
        self.room.iter_mut().for_each(Room::give_back);
        waits.wait(pause).await?;
        Ok(None)
    }
}

/// What follows a failure where the request stands in the chain.
fn judged(failure: AttemptError, turn: RequestTurn, failed: u32) -> AttemptError {
    let is_missing = failure.error.status() == Some(StatusCode::NOT_FOUND);
    let is_page = matches!(failure.error, FetchError::WebPage { .. } | FetchError::Empty { .. });
    match turn {
        RequestTurn::Repeated if failure.is_lost && failure.verdict != Verdict::End => {
            AttemptError::end(FetchError::Lost(Box::new(failure.error)))
        }
        RequestTurn::Next | RequestTurn::Repeated if is_missing => {
            AttemptError { verdict: Verdict::Retry { asked: None }, ..failure }
        }
        RequestTurn::First if is_page && failed + 1 >= FIRST_WEB_PAGES_MAX => {
            AttemptError { verdict: Verdict::End, ..failure }
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16) -> AttemptError {
        let status = StatusCode::from_u16(status).expect("a status");
        AttemptError::end(FetchError::Status { url: String::new(), status, error_body: String::new() })
    }

    fn lost(error: FetchError) -> AttemptError {
        AttemptError { is_lost: true, ..AttemptError::passing(error) }
    }

    fn is_retried(failure: AttemptError, turn: RequestTurn, failed: u32) -> bool {
        judged(failure, turn, failed).verdict != Verdict::End
    }

    #[test]
    fn what_is_missing_may_pass_in_the_middle_of_a_chain_alone() {
        assert!(!is_retried(of(404), RequestTurn::First, 0) && is_retried(of(404), RequestTurn::Next, 0));
        assert!(!is_retried(of(400), RequestTurn::Next, 0));
    }

    #[test]
    fn a_request_that_moves_the_server_on_is_not_made_again_after_a_lost_answer() {
        let broken = || FetchError::Broken { url: String::new(), cause: String::new() };
        assert!(
            is_retried(lost(broken()), RequestTurn::Next, 0) && !is_retried(lost(broken()), RequestTurn::Repeated, 0)
        );
        assert!(is_retried(AttemptError::passing(broken()), RequestTurn::Repeated, 0), "nobody was reached");
        assert!(matches!(judged(lost(broken()), RequestTurn::Repeated, 0).error, FetchError::Lost(_)));
    }

    #[test]
    fn a_web_page_is_believed_sooner_where_no_data_ever_came() {
        let page = || lost(FetchError::WebPage { url: String::new(), title: String::new() });
        assert!(is_retried(page(), RequestTurn::First, 0) && is_retried(page(), RequestTurn::First, 1));
        assert!(!is_retried(page(), RequestTurn::First, 2) && is_retried(page(), RequestTurn::Next, 2));
    }
}
