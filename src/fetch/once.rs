//! One try each, with its status and time, for whoever sits and waits for it; nothing is asked twice but what isn't ready.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::Instant;

use super::attempt::{Attempt, Got};
use super::auth::{Credentials, LoginAnswer, TokenCache};
use super::later::Readiness;
use super::{Answer, AttemptError, FetchError};
use crate::counters::Counters;
use crate::plan::{Auth, Plan};
use crate::retry::{ASKED_MAX_ATTENDED, Verdict};
use crate::template::{RequestTemplate, Scope};
use crate::transport::Transport;

/// A call that was answered well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// The status of the last answer.
    pub(crate) status: StatusCode,
    /// From the request to the last byte.
    pub(crate) took: Duration,
    /// How long the token lasts, where one was asked for and the answer says so.
    pub(crate) token_life: Option<Duration>,
}

/// A call that was not.
#[derive(Debug)]
pub(crate) struct RefusedAnswer {
    /// Why.
    pub(crate) error: FetchError,
    /// From the request to the failure.
    pub(crate) took: Duration,
    /// The wait that the server asks for.
    pub(crate) wait: Option<Duration>,
}

impl RefusedAnswer {
    fn after(begun: Instant, AttemptError { error, verdict, .. }: AttemptError) -> Self {
        let wait = match verdict {
            Verdict::Retry { asked } => asked,
            Verdict::End => None,
        };
        Self { error, took: begun.elapsed(), wait }
    }
}

/// What the API's requests need; asks for a token where the plan has one, once. `tokens` keeps the refresh token that
/// comes with it.
///
/// # Errors
/// Where there is no token.
pub(crate) async fn access_once(
    transport: &Transport,
    plan: &Plan,
    tokens: &TokenCache,
) -> Result<(Credentials, Option<Call>), RefusedAnswer> {
    let Auth::Token(request) = &plan.auth else { return Ok((Credentials::by_config(plan), None)) };
    let begun = Instant::now();
    let slot = tokens.slot(request);
    let asking = slot.asking(transport, request, &plan.redactor);
    let mut asked = asking.clone().attempt(false).await;
    if asked.as_ref().is_err_and(|failure| failure.wants_http1) {
        asked = asking.attempt(true).await;
    }
    match asked {
        Ok(LoginAnswer { login, life, status, .. }) => {
            let call = Call { status, took: begun.elapsed(), token_life: life };
            Ok((Credentials::by_login(plan, Arc::new(login)), Some(call)))
        }
        Err(failure) => {
            let RefusedAnswer { error, took, wait } = RefusedAnswer::after(begun, failure);
            Err(RefusedAnswer { error: error.of_token(), took, wait })
        }
    }
}

/// A page that is asked for.
#[derive(Clone, Copy)]
pub(crate) struct PageOnce<'a> {
    /// The plan's own request, or one that was made of it.
    pub(crate) template: &'a RequestTemplate,
    /// Its values, but for what proves who asks.
    pub(crate) scope: Scope<'a>,
}

/// One page. What is wrong with its body is for who reads it.
///
/// # Errors
/// Where there is none.
pub(crate) async fn page_once(
    transport: &Transport,
    plan: &Plan,
    access: &Credentials,
    page: PageOnce<'_>,
) -> Result<(Answer, Call), RefusedAnswer> {
    let begun = Instant::now();
    let counters = Counters::default();
    let mut readiness = Readiness::default();
    loop {
        let request = access.request(plan, page.template, &page.scope);
        let mut request = request.map_err(|error| RefusedAnswer::after(begun, AttemptError::end(error.into())))?;
        readiness.put_into(&mut request.request.headers);
        let attempt = Attempt { transport, plan, is_http1: false, at: transport.request_time(), counters: &counters };
        let mut made = attempt.make(&request, None).await;
        if made.as_ref().is_err_and(|failure| failure.wants_http1) {
            made = Attempt { is_http1: true, ..attempt }.make(&request, None).await;
        }
        let failure = match made {
            Ok(Got { answer, status, .. }) => {
                return Ok((answer, Call { status, took: begun.elapsed(), token_life: None }));
            }
            Err(failure) => failure,
        };
        let later = failure.later.clone().filter(|_| readiness.waited() < ASKED_MAX_ATTENDED);
        match later.and_then(|later| readiness.pause(*later)) {
            Some(pause) => transport.clock().sleep(pause.min(ASKED_MAX_ATTENDED)).await,
            None => return Err(RefusedAnswer::after(begun, failure)),
        }
    }
}
