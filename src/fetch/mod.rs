//! From a request to the text of a page.
//!
//! Enters: the values for the request of a page. Leaves: the answer's text, decoded and of bounded size, or the reason why there is none.
//! What always holds: credentials, headers and bodies of the config go to the configured origin, and to those that the
//! entry trusts with them; every wait ends, at once where a stop or an edit comes; no message shows a query, a header or a
//! body that was sent.

mod anchor;
mod answer;
mod attempt;
mod error;
mod flaw;
mod gate;
mod hint;
mod once;
mod refusal;
mod room;
mod send;
mod token;
mod waits;

use reqwest::header::HeaderMap;
use reqwest::{StatusCode, Url};

pub(crate) use answer::error_words;
pub(crate) use attempt::Credentials;
pub use error::FetchError;
pub use gate::{Gate, Gates};
pub(crate) use once::{Call, RefusedAnswer, access_once, page_once};
pub use token::{TokenCache, TokenSlot};
pub use waits::Waits;

use crate::counters::Counters;
use crate::memory::{MemoryBudget, Outage, Permit};
use crate::plan::{Auth, Plan};
use crate::retry::{self, Retries, Verdict};
use crate::template::Scope;
use crate::text::Redactor;
use crate::transport::Transport;
use crate::window::Moment;
use attempt::{Attempt, Got};
use error::AttemptError;
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
pub struct Answer {
    /// As it came, without a byte order mark; bytes that are not UTF-8 are replaced. Nothing for status 204.
    pub text: Option<String>,
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
}

impl Fetcher<'_> {
    /// One page: tries, waits and tries again as the verdicts say.
    ///
    /// # Errors
    /// [`FetchError`] of the last try.
    pub async fn page(&self, scope: Scope<'_>, turn: RequestTurn) -> Result<Answer, FetchError> {
        let page = self.waits.stop().until_cut(self.page_with_retries(scope, turn));
        tokio::select! {
            biased;
            page = page => page.unwrap_or(Err(FetchError::Stopped)),
            () = self.waits.halted() => Err(FetchError::Recalled),
        }
    }

    async fn page_with_retries(&self, scope: Scope<'_>, turn: RequestTurn) -> Result<Answer, FetchError> {
        let mut retries = Retries::new(retry::API);
        let mut has_renewed = false;
        let host = self.plan.request.url.origin().ascii_serialization();
        let has_tree = self.plan.paths.has_tree();
        let mut room = Room::new(self.memory, self.outage, &self.waits, self.counters, has_tree);
        loop {
            self.gate.pass(self.plan.rate, &self.waits, &host).await?;
            let (token, access) = self.access().await?;
            let is_http1 = self.gate.is_http1();
            room.take_first().await?;
            let (transport, plan, counters) = (self.transport, self.plan, self.counters);
            let at = transport.request_time();
            let attempt = Attempt { transport, plan, access: &access, is_http1, at, counters };
            let request = self.plan.request.build(&Scope { now: at, ..scope })?;
            let made = attempt.make(&request, Some(&mut room)).await;
            let refusal = match &made {
                Ok(got) if got.refuses_token() => Some(Refusal::Clear),
                Ok(_) => None,
                Err(failure) => failure.refusal,
            };
            if let (Some(refusal), Some(token), false) = (refusal, token, has_renewed)
                && self.token.refuse(token, refusal, self.transport.clock().instant())
            {
                tracing::info!(api = self.plan.name, "the access token is refused, asking for a fresh one");
                has_renewed = true;
                continue;
            }
            let failure = match made {
                Ok(Got { answer, flaw: None, .. }) => {
                    let clock = self.transport.clock();
                    self.gate.note(retry::quota(&answer.headers, clock.now()), clock.instant());
                    return Ok(Answer { permit: Some(room.into_permit()), ..answer });
                }
                Ok(Got { flaw: Some(flaw), .. }) => flaw,
                Err(failure) => failure,
            };
            if failure.wants_http1 && self.gate.go_on_by_http1() {
                tracing::info!(api = self.plan.name, "the server refuses HTTP/2, going on by HTTP/1.1");
                continue;
            }
            let failure = judged(failure, turn, retries.failed());
            if let Verdict::Retry { asked: Some(asked) } = failure.verdict {
                self.gate.hold(asked, self.transport.clock().instant());
            }
            room.give_back();
            self.waits.pause_or_end(&mut retries, failure, &self.plan.name).await?;
        }
    }

    /// What the next request goes with, and the number of its token.
    async fn access(&self) -> Result<(Option<u64>, Credentials), FetchError> {
        let Auth::Token(request) = &self.plan.auth else { return Ok((None, Credentials::by_config(self.plan))) };
        let token = self.token.get(self.transport, request, &self.plan.redactor, &self.waits, &self.plan.name).await;
        let (number, token) = token.map_err(FetchError::of_token)?;
        Ok((Some(number), Credentials::by_token(self.plan, &token)))
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
