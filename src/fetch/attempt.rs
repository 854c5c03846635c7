//! One try to get a page: the request, its redirects, the body, and what is wrong with either.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{StatusCode, Url};

use super::answer::{self, BodyReader, Silence};
use super::auth::AuthorizedRequest;
use super::failure::{Refused, flawed};
use super::later::Later;
use super::room::Room;
use super::send::{CrossOrigin, Outgoing, SentRequest, send};
use super::{Answer, AttemptError, FetchError, PAGE_BYTES_MAX, flaw, refusal};
use crate::counters::Counters;
use crate::decode::{DecodeError, Decoded, Decoder};
use crate::plan::{Plan, RecordRule};
use crate::record::{any, table};
use crate::retry;
use crate::runtime::beside_the_runtime;
use crate::text::Redactor;
use crate::transport::Transport;
use crate::window::Moment;

/// A success that refuses the token is no larger than this.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;
/// By how much more may be made out of a body where it was too little.
const LIMIT_FACTOR: usize = 4;
/// The key that sets how long an API may be silent.
const TIMEOUT_KEY: &str = "http_request.timeout";

/// How a page is asked for.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) transport: &'a Transport,
    pub(super) plan: &'a Plan,
    pub(super) is_http1: bool,
    /// When it is made, by our clock.
    pub(super) at: DateTime<Utc>,
    /// Where it is noted that bytes come.
    pub(super) counters: &'a Counters,
}

/// An answer that is a success.
pub(super) struct Got {
    pub(super) answer: Answer,
    pub(super) status: StatusCode,
    /// What its body has of a failure.
    pub(super) flaw: Option<AttemptError>,
}

impl Attempt<'_> {
    /// One request, with its redirects. Where many are made at a time, room is taken for the body as it comes in.
    pub(super) async fn make(
        self,
        authorized: &AuthorizedRequest,
        mut room: Option<&mut Room<'_>>,
    ) -> Result<Got, AttemptError> {
        let AuthorizedRequest { request, redactor, .. } = authorized;
        let url = &request.url;
        let outgoing = self.outgoing(authorized);
        let sent = send(&outgoing, url, redactor);
        let sent = match &mut room {
            Some(room) => room.patiently(0, sent).await,
            None => sent.await,
        };
        let SentRequest { response, base, elsewhere } = sent?;
        self.counters.touch();
        let status = response.status();
        let headers = response.headers().clone();
        let moment = Moment::new(self.at, answer::date(&headers));
        if base.origin() == self.plan.request.url.origin() {
            self.counters.note_clock(moment.behind);
        }
        let secrets = redactor.clone();
        let without_records =
            Answer { text: None, as_sent: None, was_lossy: false, base, secrets, moment, headers, permit: None };
        let asked = retry::asked_wait(&without_records.headers, self.transport.clock().now());
        if let Some(later) = Later::of(&self.plan.response, status, &without_records.headers, asked) {
            let error = FetchError::NotReady { url: redactor.url(url), status, waited: Duration::ZERO };
            return Err(AttemptError { later: Some(Box::new(later)), ..AttemptError::end(error) });
        }
        let is_empty = self.plan.response.empty_statuses.contains(&status);
        if is_empty || !status.is_success() {
            let refused = Refused::read(response, url, elsewhere).await;
            return match is_empty && !refused.is_web_page() {
                true => Ok(Got { answer: without_records, status, flaw: None }),
                false => Err(refused.failure(self.transport.clock().now(), redactor)),
            };
        }
        let reading = BodyReader {
            bytes_max: PAGE_BYTES_MAX,
            silence: self.silence(),
            counters: self.counters,
            room: room.as_deref_mut(),
        };
        let bytes = answer::read(response, url, reading, redactor).await?;
        if status == StatusCode::NO_CONTENT {
            return Ok(Got { answer: without_records, status, flaw: None });
        }
        let decoded = self.decode(bytes, (url, redactor), &without_records.headers, room.as_deref_mut()).await?;
        let Decoded { text, was_lossy, is_made } = decoded;
        if self.plan.response.records == RecordRule::Any && text.trim().is_empty() {
            return Ok(Got { answer: without_records, status, flaw: None });
        }
        // What was made here is whole.
        let flaw = if is_made { None } else { flaw::of(&text) };
        let flaw = flaw.map(|flaw| flawed(flaw, url, status, redactor));
        let (text, as_sent) = if flaw.is_none() { self.with_records(text) } else { (text, None) };
        let text = self.with_columns(text, (url, redactor), room).await?;
        let (text, as_sent) = (Some(Arc::new(text)), as_sent.map(Arc::new));
        Ok(Got { answer: Answer { text, as_sent, was_lossy, ..without_records }, status, flaw })
    }

    /// The text of a body in which rows are objects, where the config says where their columns stand.
    async fn with_columns(
        self,
        text: String,
        (url, redactor): (&Url, &Redactor),
        room: Option<&mut Room<'_>>,
    ) -> Result<String, AttemptError> {
        let Some(columns) = &self.plan.response.columns else { return Ok(text) };
        let data = &self.plan.paths.data;
        let made = beside_the_runtime(text.len(), || table::with_columns(&text, data, columns, PAGE_BYTES_MAX));
        let too_large = |_| AttemptError::end(FetchError::TooLarge { url: redactor.url(url), max: PAGE_BYTES_MAX });
        let Some(made) = made.map_err(too_large)? else { return Ok(text) };
        if let Some(room) = room {
            room.take_for_body(made.len()).await.map_err(AttemptError::end)?;
        }
        Ok(made)
    }

    /// The text of a body in which records are objects, where the config takes whatever comes for a record; and the text as it
    /// was sent, where paging still has to look at that.
    fn with_records(self, text: String) -> (String, Option<String>) {
        if self.plan.response.records == RecordRule::Strict {
            return (text, None);
        }
        let unfolded = beside_the_runtime(text.len(), || any::unfolded(&text, &self.plan.paths.data));
        match unfolded {
            Some(unfolded) => (unfolded, Some(text).filter(|_| self.plan.paging.needs_root())),
            None => (text, None),
        }
    }

    /// The text of a body. Where more is made out of it than it is, room is taken before that is in memory.
    async fn decode(
        self,
        body: Vec<u8>,
        (url, redactor): (&Url, &Redactor),
        headers: &HeaderMap,
        mut room: Option<&mut Room<'_>>,
    ) -> Result<Decoded, AttemptError> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let takes_any_line = self.plan.response.records == RecordRule::Any;
        let decoder = Decoder::new(self.plan.response.format, content_type).taking_any_line(takes_any_line);
        let Some(mut limit) = decoder.first_limit(&body) else { return Ok(Decoded::as_sent(body)) };
        loop {
            limit = limit.min(PAGE_BYTES_MAX);
            if let Some(room) = &mut room {
                room.take_for_body(body.len().saturating_add(limit)).await.map_err(AttemptError::end)?;
            }
            let decoded = beside_the_runtime(body.len(), || decoder.decode(&body, limit));
            match decoded {
                Err(DecodeError::TooLarge { .. }) if limit < PAGE_BYTES_MAX => {
                    limit = limit.saturating_mul(LIMIT_FACTOR)
                }
                decoded => return decoded.map_err(|cause| undecoded(cause, url, redactor)),
            }
        }
    }

    fn outgoing<'o>(&'o self, authorized: &'o AuthorizedRequest) -> Outgoing<'o> {
        let (template, request) = (&self.plan.request, &authorized.request);
        Outgoing {
            transport: self.transport,
            method: &request.method,
            headers: request.headers.clone(),
            cookies: authorized.cookies.as_ref(),
            body: request.body.as_ref(),
            configured: &template.url,
            beyond: CrossOrigin::Strip(&template.hosts),
            is_http1: self.is_http1,
            silence: self.silence(),
        }
    }

    fn silence(&self) -> Silence {
        Silence { max: self.plan.request.timeout, key: Some(TIMEOUT_KEY) }
    }
}

impl Got {
    /// Whether it is an error that refuses the token, though its status is a success.
    pub(super) fn refuses_token(&self) -> bool {
        self.answer.text().is_some_and(|text| text.len() <= REFUSAL_BYTES_MAX && refusal::of_success(text))
    }

    /// What is wrong with it; where nothing else is, that it refuses the token.
    pub(super) fn failure(self, url: &Url, redactor: &Redactor) -> AttemptError {
        let refused = || {
            let error_body = answer::error_words(self.answer.text().unwrap_or_default(), redactor);
            AttemptError::end(FetchError::Status { url: redactor.url(url), status: self.status, error_body })
        };
        self.flaw.unwrap_or_else(refused)
    }
}

/// A body that can't be decoded. One that was cut off may come whole the next time.
fn undecoded(cause: DecodeError, url: &Url, redactor: &Redactor) -> AttemptError {
    let url = redactor.url(url);
    match cause {
        DecodeError::TooLarge { max } => AttemptError::end(FetchError::TooLarge { url, max }),
        cause if cause.is_cut() => {
            AttemptError { is_lost: true, ..AttemptError::passing(FetchError::Undecoded { url, cause }) }
        }
        cause => AttemptError::end(FetchError::Undecoded { url, cause }),
    }
}
