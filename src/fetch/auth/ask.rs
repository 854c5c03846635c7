//! The token request: made, answered, and what it gives kept before anything else is done with it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::super::answer::{self, BodyReader, Silence};
use super::super::failure::Refused;
use super::super::send::{CrossOrigin, Outgoing, SentRequest, send};
use super::super::{AttemptError, FetchError, Waits};
use super::login::{self, LoginAnswer, RawAnswer};
use super::nonce;
use crate::counters::Counters;
use crate::decode::Decoded;
use crate::http::Timeouts;
use crate::plan::TokenRequest;
use crate::retry::{AttemptOutcome, Attempts};
use crate::state::{CredentialError, RefreshTokens};
use crate::template::{Position, ProofScope, ProofValues, Request, Scope};
use crate::text::{Redactor, Secret};
use crate::transport::Transport;

/// The largest answer to a token request.
const TOKEN_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Held by who asks with a refresh token, across the request: the next one who does must know the next one.
pub(super) type Turn = tokio::sync::Mutex<()>;

/// The token request, again and again where that may help.
pub(super) struct TokenAttempts<'a> {
    asking: TokenAsker,
    waits: &'a Waits,
    api: &'a str,
    /// Whether the server refused HTTP/2.
    is_http1: bool,
}

impl<'a> TokenAttempts<'a> {
    pub(super) fn new(asking: TokenAsker, waits: &'a Waits, api: &'a str) -> Self {
        Self { asking, waits, api, is_http1: false }
    }
}

impl Attempts<LoginAnswer, FetchError> for TokenAttempts<'_> {
    fn api(&self) -> &str {
        self.api
    }

    async fn make(&mut self, _: u32) -> AttemptOutcome<LoginAnswer, FetchError> {
        match self.asking.clone().attempt(self.is_http1).await {
            Ok(token) => AttemptOutcome::Done(token),
            Err(AttemptError { wants_http1: true, error, .. }) if !self.is_http1 => {
                self.is_http1 = true;
                AttemptOutcome::AtOnce(error)
            }
            Err(AttemptError { error, verdict, .. }) => AttemptOutcome::Failed(error, verdict),
        }
    }

    async fn pause(&mut self, wait: Duration) -> Result<bool, FetchError> {
        self.waits.wait(wait).await.map(|()| false)
    }

    fn longest(&self) -> Duration {
        self.waits.longest()
    }

    fn limited(&self, error: FetchError, asked: Duration) -> FetchError {
        error.limited(asked, self.waits.clock().now())
    }
}

/// All that a token request needs. It is its own, so that nothing cuts it off between the answer and what is kept of it.
#[derive(Clone)]
pub(in crate::fetch) struct TokenAsker {
    transport: Transport,
    request: TokenRequest,
    redactor: Redactor,
    saved: RefreshTokens,
    turn: Arc<Turn>,
}

impl TokenAsker {
    pub(in crate::fetch) fn new(
        transport: &Transport,
        request: &TokenRequest,
        redactor: &Redactor,
        (saved, turn): (&RefreshTokens, &Arc<Turn>),
    ) -> Self {
        let (transport, request, redactor) = (transport.clone(), request.clone(), redactor.clone());
        Self { transport, request, redactor, saved: saved.clone(), turn: Arc::clone(turn) }
    }

    /// One request. It goes on to its end also where nobody waits for it any more.
    pub(in crate::fetch) async fn attempt(self, is_http1: bool) -> Result<LoginAnswer, AttemptError> {
        let url = self.redactor.url(&self.request.request.url);
        let done = tokio::spawn(async move {
            let _turn = self.turn.lock().await;
            self.ask_and_keep(is_http1).await
        });
        let broken = |_| AttemptError::broken(url, "the token request was cut off".to_owned());
        done.await.map_err(broken)?
    }

    async fn ask_and_keep(&self, is_http1: bool) -> Result<LoginAnswer, AttemptError> {
        let Some(source) = self.request.refresh_source() else { return self.ask(None, is_http1).await };
        let unkept = |cause: CredentialError| AttemptError::passing(FetchError::Credentials(cause));
        let (turn, saved) = self.saved.begin(source).await.map_err(unkept)?;
        let refresh_token = saved.or_else(|| self.request.refresh_token.clone());
        let answer = self.ask(refresh_token.as_ref(), is_http1).await;
        let next = answer.as_ref().ok().and_then(|answer| answer.refresh_token.clone());
        let next = next.filter(|next| Some(next) != refresh_token.as_ref());
        let kept = self.saved.end(turn, next.as_ref()).await;
        let answer = answer?;
        kept.map_err(unkept)?;
        Ok(answer)
    }

    /// It never leaves its origin: the secret in it is meant for nobody else.
    async fn ask(&self, refresh_token: Option<&Secret>, is_http1: bool) -> Result<LoginAnswer, AttemptError> {
        let (now, clock) = (self.transport.request_time(), self.transport.clock());
        let asked_at = clock.instant();
        let mut redactor = self.redactor.and(refresh_token.cloned());
        let request = self.built(refresh_token, now, &mut redactor).map_err(AttemptError::end)?;
        let url = &request.url;
        let silence = Silence { max: Timeouts::default().idle, key: None };
        let outgoing = Outgoing {
            transport: &self.transport,
            method: &request.method,
            headers: request.headers.clone(),
            cookies: None,
            body: request.body.as_ref(),
            configured: &self.request.request.url,
            beyond: CrossOrigin::Refuse,
            is_http1,
            silence,
        };
        let SentRequest { response, .. } = send(&outgoing, url, &redactor).await?;
        let status = response.status();
        let headers = response.headers().clone();
        if !status.is_success() {
            let refused = Refused::read(response, url, None).await;
            let redactor = redactor.and(login::credentials_in(refused.body(), &headers));
            return Err(refused.failure(clock.now(), &redactor));
        }
        let reading =
            BodyReader { bytes_max: TOKEN_ANSWER_BYTES_MAX, silence, counters: &Counters::default(), room: None };
        let body = match status {
            StatusCode::NO_CONTENT => String::new(),
            _ => Decoded::as_sent(answer::read(response, url, reading, &redactor).await?).text,
        };
        let answer = RawAnswer { status, body: &body, headers: &headers, asked_at, now };
        login::read(&answer, &self.request).ok_or_else(|| {
            let redactor = redactor.and(login::credentials_in(&body, &headers));
            self.without_token(&body, url, &redactor)
        })
    }

    fn built(
        &self,
        refresh_token: Option<&Secret>,
        now: DateTime<Utc>,
        redactor: &mut Redactor,
    ) -> Result<Request, FetchError> {
        let nonce = nonce(self.transport.is_replay());
        let assertion = self.request.assertion.as_ref().map(|assertion| assertion.sign(now, &nonce));
        let assertion = assertion.transpose().map_err(|cause| FetchError::Assertion { cause })?;
        *redactor = redactor.and(assertion.clone());
        let proof = ProofValues {
            login: None,
            refresh_token,
            assertion: assertion.as_ref(),
            nonce: &nonce,
            unsigned: None,
            signature: None,
        };
        let scope = Scope {
            start: now,
            end: None,
            now,
            position: &Position::default(),
            entry: None,
            proof: ProofScope::Of(proof),
        };
        Ok(self.request.request.build(&scope)?)
    }

    fn without_token(&self, body: &str, url: &reqwest::Url, redactor: &Redactor) -> AttemptError {
        // Not even a piece of such an answer is shown unless it is an error in words: a token may stand in it.
        let is_error = serde_json::from_str::<Value>(body).is_ok_and(|json| json.get("error").is_some());
        let error_body = if is_error { answer::error_body(&HeaderMap::new(), body, redactor) } else { String::new() };
        let place = self.request.token.to_string();
        AttemptError::end(FetchError::NoToken { url: redactor.url(url), place, error_body })
    }
}
